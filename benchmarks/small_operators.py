"""Time of a call on small tensors: tensorgrad beside NumPy and, where it is installed, PyTorch.

Each library runs in a process of its own, in turn, for several rounds; the table shows medians over the rounds of the
best of five repetitions, in nanoseconds. One thread each.

    python benchmarks/small_operators.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys

CASES = {
    "x + y": ("x + y", "x + y"),
    "x + y, recorded": ("r + y", None),
    "x * 2": ("x * 2", "x * 2"),
    "sin": ("x.sin()", "np.sin(x)"),
    "x[0]": ("x[0]", "x[0]"),
    "x[:, 1:]": ("x[:, 1:]", "x[:, 1:]"),
    "sum": ("x.sum()", "x.sum()"),
    "sum over rows": ("x.sum(0)", "x.sum(0)"),
    "8x8 product": ("m @ m", "m @ m"),
    "softmax": ("x.softmax(1)", None),
    "item": ("s.item()", "s.item()"),
    "var": ("x.var()", "x.var(ddof=1)"),
    "topk": ("x.topk(2)", None),
    "x[mask]": ("m[k]", None),
    "x[index]": ("m[i]", None),
    "masked_fill": ("m.masked_fill(k, 0.0)", None),
    "repeat": ("x.repeat(2, 2)", "np.tile(x, (2, 2))"),
    "forward and backward": ("(r * r).sum().backward()", None),
}
TENSORS = (
    "x = t.ones(2, 3); y = t.ones(2, 3); r = t.ones(2, 3, requires_grad=True); m = t.ones(8, 8); s = x.sum(); "
    "k = m > 0; i = t.arange(8)"
)
SETUP = {
    "tensorgrad": f"import tensorgrad as t; {TENSORS}",
    "torch": f"import torch as t; t.set_num_threads(1); {TENSORS}",
    "numpy": "import numpy as np; x, y = np.ones((2, 2, 3), 'f4'); m = np.ones((8, 8), 'f4'); s = x.sum()",
}
WORKER = """
import json, sys, timeit
setup, cases = json.loads(sys.argv[1])
result = {}
for name, statement in cases.items():
    timer = timeit.Timer(statement, setup)
    n = max(1, int(0.02 / (timer.timeit(100) / 100)))
    result[name] = min(timer.repeat(5, n)) / n * 1e9
print(json.dumps(result))
"""


def measure(library: str) -> dict[str, float]:
    """Nanoseconds a call, by case."""
    column = 1 if library == "numpy" else 0
    cases = {name: statements[column] for name, statements in CASES.items() if statements[column]}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, json.dumps([SETUP[library], cases])],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    libraries = [name for name in SETUP if importlib.util.find_spec(name)]
    runs = {name: [] for name in libraries}
    for _ in range(rounds):
        for name in libraries:
            runs[name].append(measure(name))
    print("case".ljust(24) + "".join(name.rjust(14) for name in libraries))
    for case in CASES:
        cells = []
        for name in libraries:
            values = [run[case] for run in runs[name] if case in run]
            cells.append(f"{statistics.median(values):.0f}" if values else "-")
        print(case.ljust(24) + "".join(cell.rjust(14) for cell in cells))


if __name__ == "__main__":
    main()
