"""Libraries measured in turn, each in a process of its own: what the scripts beside this one share.

A process is started for each library and stays. Case by case, and round by round, one after the other runs the case's
statement for some milliseconds and answers with the shortest time of a single call; the others wait meanwhile. What is
kept is the minimum over all rounds: on a busy machine the only number that says something about the program.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator

WORKER = """
import gc, json, sys, time
setup, seconds = json.loads(sys.stdin.readline())
scope, functions = {}, {}
exec(setup, scope)
gc.disable()
clock = time.perf_counter
for line in sys.stdin:
    statement = json.loads(line)
    if statement not in functions:
        exec("def case():\\n    " + statement, scope)
        functions[statement] = scope["case"]
        functions[statement]()
    case, best, calls, end = functions[statement], float("inf"), 0, clock() + seconds
    while calls < 3 or clock() < end:
        start = clock()
        case()
        best = min(best, clock() - start)
        calls += 1
    print(best * 1e6, flush=True)
"""


class Library:
    """A process that has run `setup` and runs statements on demand."""

    def __init__(self, python: str, setup: str, threads: int, seconds: float = 0.01) -> None:
        count = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "TENSORGRAD")}
        self.process = subprocess.Popen(
            [python, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **count},
        )
        self._send([setup, seconds])

    def _send(self, message: object) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def microseconds(self, statement: str) -> float:
        """The shortest of several calls."""
        self._send(statement)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{statement!r} failed: see above")
        return float(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(
    libraries: dict[str, Library], cases: dict[str, dict[str, str | None]], rounds: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """For each case the microseconds of each library that has a statement for it."""
    for name, statements in cases.items():
        best: dict[str, float] = {}
        for _ in range(rounds):
            for library, process in libraries.items():
                statement = statements.get(library)
                if statement:
                    best[library] = min(best.get(library, float("inf")), process.microseconds(statement))
        yield name, best


def table(libraries: dict[str, Library], cases: dict[str, dict[str, str | None]], rounds: int) -> None:
    """Print microseconds, and the time of each library over that of the first one."""
    first, *others = libraries
    print("case".ljust(44), *(name.rjust(12) for name in libraries), *(f"/{name}".rjust(9) for name in others))
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for case, times in measure(libraries, cases, rounds):
        cells = [f"{times[name]:12.1f}" if name in times else "-".rjust(12) for name in libraries]
        for name in others:
            if name in times:
                ratios[name].append(times[name] / times[first])
            cells.append(f"{ratios[name][-1]:9.2f}" if name in times else "-".rjust(9))
        print(case.ljust(44), *cells, flush=True)
    means = [f"{statistics.geometric_mean(values):9.2f}" if values else "-".rjust(9) for values in ratios.values()]
    print("geometric mean".ljust(44), *("".rjust(12) for _ in libraries), *means)


def has(library: str, python: str) -> bool:
    """Whether an interpreter can import a library."""
    return subprocess.run([python, "-c", f"import {library}"], capture_output=True, check=False).returncode == 0
