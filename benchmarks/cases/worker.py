"""Measures the cases of one library in this process, and prints the results as JSON.

``python worker.py '{"library": "torch", "threads": 2, "groups": ["small"], "budget": 0.02, "only": null}'``
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import timeit
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])  # not the directory of the cases, whose names are common ones

from cases.library import Library, Timed  # noqa: E402


def seconds(timed: Timed, budget: float, repetitions: int = 5) -> float:
    """Of one run of the statement, the best of several repetitions that take `budget` or more seconds each."""
    setup = "; ".join(f"{name} = _names[{name!r}]" for name in timed.names) or "pass"
    timer = timeit.Timer(timed.code, setup, globals={"_names": timed.names})
    timer.timeit(1)  # compiles, where there is something to compile
    once = min(timer.repeat(2, 1))
    number = 1
    while once * number < budget / 4 and number < 10**7:  # a first run says little about short statements
        number = max(number * 2, min(number * 16, int(budget / 4 / max(once, 1e-8))))
        once = timer.timeit(number) / number
    number = max(1, round(budget / once))
    until = time.perf_counter() + 40 * budget
    best = timer.timeit(number) / number
    for done in range(1, repetitions):
        if done >= 2 and time.perf_counter() > until:
            break
        best = min(best, timer.timeit(number) / number)
    return best


def measure(library: Library, groups: Iterable[str], budget: float, only: list[str] | None) -> dict[str, Any]:
    """Seconds (or whatever number a case is) by case; the text of the error for what is not there."""
    results: dict[str, Any] = {}
    for group in groups:
        for name, prepare in importlib.import_module(f"cases.{group}").cases(library).items():
            if only is not None and name not in only:
                continue
            try:
                made = prepare()
                results[name] = seconds(made, budget) if isinstance(made, Timed) else made
            except Exception as error:  # the table says "not there", and why
                results[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    return results


def main() -> None:
    """Measure what the command line asks for."""
    task = json.loads(sys.argv[1])
    if hasattr(os, "sched_setaffinity"):  # as many processors as threads, also for those that ask nobody
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["threads"]])
    library = Library(task["library"], task["threads"])
    results = measure(library, task["groups"], task["budget"], task.get("only"))
    print(json.dumps({"versions": library.versions(), "results": results}))


if __name__ == "__main__":
    main()
