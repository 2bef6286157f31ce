"""tensorgrad beside PyTorch, torch.compile, JAX and NumPy, in every row of the table in ``docs/benchmarks.md``.

Each library runs in processes of its own, in turn, for several rounds, on as many processors and threads as are
asked for. A time is the best of five repetitions, its median over the rounds is what counts, and the spread is half the
distance between the fastest and the slowest round. Writes the table and its charts into ``docs/``::

    python benchmarks/table.py [--python-torch PYTHON] [--python-jax PYTHON] [--quick] [--only small,training]

(pyperf would start twenty processes for each of 200 cases, each of which imports PyTorch: hours.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report
from cases import imports
from cases.library import LIBRARIES, environment

WORKER = Path(__file__).with_name("cases") / "worker.py"
GROUPS = ("small", "graphs", "training", "arrays", "matrices", "products", "memory")
GROUPS_OF = {"compile": ("training",), "jax": ("training_jax",), "numpy": ("small", "arrays", "products")}


def measure(library: str, python: str, groups: list[str], budget: float, threads: int, directory: Path) -> dict:
    """One round of one library: its versions, and a number or the text of an error for each case."""
    task = {"library": library, "threads": threads, "groups": groups, "budget": budget}
    # torch.compile finds in later rounds what it has compiled in the first.
    extra = {"TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor")}
    done = subprocess.run(
        [python, str(WORKER), json.dumps(task)],
        env=environment(threads) | extra,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        print(f"{LIBRARIES[library]}: {reason}", file=sys.stderr)
        return {"versions": {}, "results": {}}
    return json.loads(done.stdout.splitlines()[-1])


def collect(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """All rounds: for each library and case its numbers, or the error."""
    pythons = {"tensorgrad": sys.executable, "numpy": sys.executable, "jax": options.python_jax}
    pythons |= {"torch": options.python_torch, "compile": options.python_torch}
    groups = options.only or [*GROUPS, "imports"]
    numbers: dict[str, dict[str, list[float]]] = {library: {} for library in LIBRARIES}
    errors: dict[str, dict[str, str]] = {library: {} for library in LIBRARIES}
    versions: dict[str, str] = {}
    libraries = [library for library in LIBRARIES if library != "compile" or not options.no_compile]
    start, load = time.monotonic(), os.getloadavg()[0]
    for number in range(options.rounds):
        for library in libraries[number % len(libraries) :] + libraries[: number % len(libraries)]:
            if library == "compile" and number >= 3:  # compiling costs most of the time
                continue
            mine = [group for group in GROUPS_OF.get(library, GROUPS) if group.partition("_")[0] in groups]
            found = {"versions": {}, "results": {}}
            if mine:
                found = measure(library, pythons[library], mine, options.budget, options.threads, directory)
            if "imports" in groups and library != "compile":
                where = (library, pythons[library], options.threads, directory)
                try:
                    found["results"][imports.IMPORT] = imports.import_seconds(*where, times=3)
                    found["results"] |= imports.installed_bytes(*where)
                except subprocess.CalledProcessError as error:
                    found["results"][imports.IMPORT] = error.stderr.strip().splitlines()[-1]
            versions |= found["versions"]
            for case, value in found["results"].items():
                if isinstance(value, str):
                    errors[library][case] = value
                else:
                    numbers[library].setdefault(case, []).append(value)
            seconds = time.monotonic() - start
            print(f"round {number + 1} of {options.rounds}, {LIBRARIES[library]}: {seconds:.0f} s", flush=True)
    return {
        "numbers": numbers,
        "errors": errors,
        "machine": report.machine(versions, options.threads)
        | {
            "load": f"{load:.1f} before, {os.getloadavg()[0]:.1f} after",
            "rounds": str(options.rounds) + (", quick" if options.quick else ""),
            "seconds": f"{time.monotonic() - start:.0f}",
        },
    }


def summary(numbers: dict[str, dict[str, list[float]]]) -> tuple[dict, dict]:
    """Median and relative spread of each library's cases."""
    medians = {library: {case: statistics.median(ns) for case, ns in of.items()} for library, of in numbers.items()}
    spreads = {
        library: {case: (max(ns) - min(ns)) / 2 / (statistics.median(ns) or 1) for case, ns in of.items()}
        for library, of in numbers.items()
    }
    return medians, spreads


def main() -> None:
    """Measure, and write the table and the charts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python-torch", default=sys.executable, help="the Python that has PyTorch")
    parser.add_argument("--python-jax", default=sys.executable, help="the Python that has JAX")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    parser.add_argument("--budget", type=float, help="seconds of a repetition: 0.01, or 0.002 with --quick")
    parser.add_argument("--quick", action="store_true", help="two minutes instead of ten, and more noise")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of {', '.join((*GROUPS, 'imports'))}")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs", help="where to write")
    parser.add_argument("--save", type=Path, help="keep the numbers in this file")
    parser.add_argument("--load", type=Path, help="write the table from such a file, without measuring")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.budget = options.budget or (0.002 if options.quick else 0.01)
    options.no_compile = options.no_compile or options.quick
    if options.load:
        data = json.loads(options.load.read_text())
    else:
        with tempfile.TemporaryDirectory() as directory:
            data = collect(options, Path(directory))
    if options.save:
        options.save.write_text(json.dumps(data))
    medians, spreads = summary(data["numbers"])
    charts = report.draw_charts(medians, options.docs)
    text = report.page(medians, spreads, data["errors"], data["machine"], charts)
    (options.docs / "benchmarks.md").write_text(text)
    print(report.verdicts(medians))


if __name__ == "__main__":
    main()
