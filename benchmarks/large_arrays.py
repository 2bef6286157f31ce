"""Time of operators on large arrays: tensorgrad beside NumPy and, where it is installed, PyTorch.

Each library runs in a process of its own, in turn, for several rounds, with the same number of threads; the table
shows medians over the rounds of the best of several repetitions, in microseconds, and how many times faster than each
of the others tensorgrad is.

    python benchmarks/large_arrays.py [--rounds 5] [--threads 2] [--only matmul]
    python benchmarks/large_arrays.py --torch /path/to/python    PyTorch, from an environment of its own
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

TORCH_SETUP = """
t.manual_seed(0)
r4, s4 = t.rand(10_000), t.rand(10_000)
r6, s6 = t.rand(1_000_000), t.rand(1_000_000)
r7, s7 = t.rand(16_000_000), t.rand(16_000_000)
m, wide, row = t.rand(1000, 1000), t.rand(1000, 2000), t.rand(1000)
h, b, d, c = r6.to(t.float16), r6.to(t.bfloat16), r6.to(t.float64), r6.to(t.complex64)
a = {n: t.rand(n, n) for n in (64, 128, 256, 512, 1024, 2048)}
batch = t.rand(64, 32, 32)
x, w, g = t.rand(16, 1000), t.rand(100, 1000), t.rand(16, 100)
"""
NUMPY_SETUP = """
rng = np.random.default_rng(0)
f = lambda *shape: rng.random(shape, "f4")
r4, s4 = f(10_000), f(10_000)
r6, s6 = f(1_000_000), f(1_000_000)
r7, s7 = f(16_000_000), f(16_000_000)
m, wide, row = f(1000, 1000), f(1000, 2000), f(1000)
h, d, c = r6.astype("f2"), r6.astype("f8"), r6.astype("c8")
a = {n: f(n, n) for n in (64, 128, 256, 512, 1024, 2048)}
batch = f(64, 32, 32)
x, w, g = f(16, 1000), f(100, 1000), f(16, 100)
"""
SETUP = {
    "tensorgrad": f"import tensorgrad as t; t.set_num_threads(THREADS){TORCH_SETUP}",
    "torch": f"import torch as t; t.set_num_threads(THREADS){TORCH_SETUP}",
    "numpy": f"import numpy as np{NUMPY_SETUP}",
}
# The statement for tensorgrad and PyTorch, and NumPy's where that is another; None where it has none.
CASES: dict[str, tuple[str, str | None]] = {}
for size, name in (("4", "1e4"), ("6", "1e6"), ("7", "16e6")):
    for reduction in ("sum", "max", "mean"):
        CASES[f"{reduction} {name}"] = (f"r{size}.{reduction}()", f"r{size}.{reduction}()")
    CASES[f"x + y {name}"] = (f"r{size} + s{size}",) * 2
CASES |= {
    "clone 1e6": ("r6.clone()", "r6.copy()"),
    "clone 16e6": ("r7.clone()", "r7.copy()"),
    "row broadcast": ("m + row", "m + row"),
    "sum over rows": ("m.sum(0)", "m.sum(0)"),
    "sum over columns": ("m.sum(1)", "m.sum(1)"),
    "strided add": ("m + wide[:, ::2]", "m + wide[:, ::2]"),
    "transposed copy": ("m.t().contiguous()", "m.T.copy()"),
    "cumsum over rows": ("m.cumsum(0)", "m.cumsum(0)"),
    "cumsum over columns": ("m.cumsum(1)", "m.cumsum(1)"),
    "argmax": ("m.argmax()", "m.argmax()"),
    "argmax over rows": ("m.argmax(0)", "m.argmax(0)"),
    "argmax over columns": ("m.argmax(1)", "m.argmax(1)"),
    "half add 1e6": ("h + h", "h + h"),
    "bfloat16 add 1e6": ("b + b", None),
    "double add 1e6": ("d + d", "d + d"),
    "cfloat add 1e6": ("c + c", "c + c"),
}
for size in (64, 128, 256, 512, 1024, 2048):
    CASES[f"matmul {size}"] = (f"a[{size}] @ a[{size}]",) * 2
CASES |= {
    "matrix by vector 1000": ("m @ row", "m @ row"),
    "bmm 64x32x32": ("batch @ batch", "batch @ batch"),
    "linear 16x1000x100": ("x @ w.t()", "x @ w.T"),
    "its gradient by x": ("g @ w", "g @ w"),
    "its gradient by w": ("g.t() @ x", "g.T @ x"),
}
WORKER = """
import json, sys, time, timeit
setup, cases = json.loads(sys.argv[1])
scope = {}
exec(setup, scope)
result = {}
for name, statement in cases.items():
    timer = timeit.Timer(statement, globals=scope)
    timer.timeit(2)
    n = max(1, int(0.01 / (timer.timeit(3) / 3)))
    result[name] = min(timer.repeat(7, n)) / n * 1e6
print(json.dumps(result))
"""


def measure(library: str, python: str, threads: int, only: str) -> dict[str, float]:
    """Microseconds a call, by case."""
    column = 1 if library == "numpy" else 0
    cases = {name: both[column] for name, both in CASES.items() if both[column] and only in name}
    count = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "TENSORGRAD")}
    done = subprocess.run(
        [python, "-c", WORKER, json.dumps([SETUP[library].replace("THREADS", str(threads)), cases])],
        env={**os.environ, **count},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{library}: {done.stderr}")
    return json.loads(done.stdout)


def has(library: str, python: str) -> bool:
    """Whether an interpreter can import a library."""
    return subprocess.run([python, "-c", f"import {library}"], capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="the rows whose names contain this")
    parser.add_argument("--torch", default=sys.executable, help="an interpreter that has PyTorch")
    options = parser.parse_args()
    pythons = {"tensorgrad": sys.executable, "numpy": sys.executable, "torch": options.torch}
    libraries = [name for name, python in pythons.items() if has(name, python)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in libraries}
    for _ in range(options.rounds):
        for name in libraries:
            runs[name].append(measure(name, pythons[name], options.threads, options.only))
    others = [name for name in libraries if name != "tensorgrad"]
    print("case".ljust(24), *(name.rjust(12) for name in libraries), *(f"/{name}".rjust(9) for name in others))
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for case in CASES:
        times = {
            name: statistics.median(run[case] for run in runs[name]) for name in libraries if case in runs[name][0]
        }
        if "tensorgrad" not in times:
            continue
        cells = [f"{times[name]:12.1f}" if name in times else "-".rjust(12) for name in libraries]
        for name in others:
            if name in times:
                ratios[name].append(times[name] / times["tensorgrad"])
                cells.append(f"{ratios[name][-1]:9.2f}")
            else:
                cells.append("-".rjust(9))
        print(case.ljust(24), *cells)
    means = [statistics.geometric_mean(ratios[name]) for name in others if ratios[name]]
    print("geometric mean".ljust(24), *("".rjust(12) for _ in libraries), *(f"{mean:9.2f}" for mean in means))


if __name__ == "__main__":
    main()
