"""Time of operators on large arrays: tensorgrad beside NumPy and, where it is installed, PyTorch.

Each library runs in a process of its own, with the same number of threads; case by case they take turns for several
rounds (turns.py). The table shows the shortest time of a call in microseconds, and how many times faster than each of
the others tensorgrad is.

    python benchmarks/large_arrays.py [--rounds 12] [--threads 2] [--only matmul]
    python benchmarks/large_arrays.py --torch /path/to/python    PyTorch, from an environment of its own
"""

from __future__ import annotations

import argparse
import sys

from turns import Library, has, table

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

def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="the rows whose names contain this")
    parser.add_argument("--torch", default=sys.executable, help="an interpreter that has PyTorch")
    options = parser.parse_args()
    pythons = {"tensorgrad": sys.executable, "numpy": sys.executable, "torch": options.torch}
    libraries = [name for name, python in pythons.items() if has(name, python)]
    setups = {name: SETUP[name].replace("THREADS", str(options.threads)) for name in libraries}
    cases: dict[str, dict[str, str | None]] = {
        name: {"tensorgrad": ours, "torch": ours, "numpy": numpys}
        for name, (ours, numpys) in CASES.items()
        if options.only in name
    }
    processes = {name: Library(pythons[name], setups[name], options.threads) for name in libraries}
    table(processes, cases, options.rounds)
    for process in processes.values():
        process.close()


if __name__ == "__main__":
    main()
