"""Elementwise kernels on one thread: nanoseconds an element, against NumPy and PyTorch.

    python benchmarks/elementwise_kernels.py [--torch PYTHON] [--sizes 10000 1000000] [--rounds 25]

NumPy is measured in turn with tensorgrad, in one process; PyTorch in a process of its own, by the Python that
--torch names.
Every call allocates its result, as in a program; the numbers are medians over the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TENSORGRAD_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# expressions of x, y, c (a scalar), positive numbers, in terms of the library `m`
CASES = {
    "x + y": "x + y",
    "x - y": "x - y",
    "x * y": "x * y",
    "x / y": "x / y",
    "x * 2.5": "x * 2.5",
    "x > y": "x > y",
    "x == y": "x == y",
    "where": "m.where(b, x, y)",
    "maximum": "m.maximum(x, y)",
    "abs": "m.abs(x)",
    "-x": "-x",
    "relu": "m.relu(x)",
    "sqrt": "m.sqrt(x)",
    "exp": "m.exp(x)",
    "expm1": "m.expm1(x)",
    "log": "m.log(x)",
    "log1p": "m.log1p(x)",
    "sin": "m.sin(x)",
    "cos": "m.cos(x)",
    "tan": "m.tan(x)",
    "atan": "m.atan(x)",
    "tanh": "m.tanh(x)",
    "sigmoid": "m.sigmoid(x)",
    "erf": "m.erf(x)",
    "x ** 2": "x ** 2",
    "x ** 3": "x ** 3",
    "x ** 0.5": "x ** 0.5",
    "x ** 2.5": "x ** 2.5",
    "x ** y": "x ** y",
}
NUMPY = {
    "relu": "m.maximum(x, 0)",
    "sigmoid": "1 / (1 + m.exp(-x))",
    "atan": "m.arctan(x)",
    "erf": None,
}


def arrays(size):
    import numpy as np

    random = np.random.default_rng(0)
    x, y = (random.uniform(0.1, 3.0, size).astype(np.float32) for _ in range(2))
    return x, y


def seconds(function, budget=0.002):
    """One measurement: enough calls to fill the budget, which is shorter than a time slice of a busy machine."""
    start = time.perf_counter()
    function()
    calls = max(1, int(budget / max(time.perf_counter() - start, 1e-7)))
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def compiled(library, expression, x, y):
    return eval(f"lambda: {expression}", {"m": library, "x": x, "y": y, "b": x > y})


def measure(functions, rounds):
    """Medians of each function, measured in turn."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def torch_worker(sizes, rounds):
    import torch

    torch.set_num_threads(1)
    table = {}
    for size in sizes:
        x, y = map(torch.from_numpy, arrays(size))
        functions = {name: compiled(torch, expression, x, y) for name, expression in CASES.items()}
        table[str(size)] = measure(functions, rounds)
    print(json.dumps([torch.__version__, table]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="a Python that has PyTorch")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--torch-worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch_worker:
        torch_worker(options.sizes, options.rounds)
        return

    import numpy as np

    import tensorgrad
    from tensorgrad.kernels.cpu.cpu import simd_level

    if hasattr(tensorgrad, "set_num_threads"):
        tensorgrad.set_num_threads(1)
    version, torch_times = "absent", {}
    if options.torch:
        command = [options.torch, __file__, "--torch-worker", "--rounds", str(options.rounds)]
        command += ["--sizes", *map(str, options.sizes)]
        version, torch_times = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"tensorgrad {tensorgrad.__version__} ({simd_level()}), NumPy {np.__version__}, PyTorch {version}, "
          f"Python {sys.version.split()[0]}, float, one thread")
    for size in options.sizes:
        x, y = arrays(size)
        tx, ty = tensorgrad.from_numpy(x), tensorgrad.from_numpy(y)
        print(f"\n{size} elements\n{'ns an element':14} tensorgrad    NumPy  PyTorch  against the better")
        for name, expression in CASES.items():
            functions = {"tensorgrad": compiled(tensorgrad, expression, tx, ty)}
            numpy_expression = NUMPY.get(name, expression)
            if numpy_expression:
                functions["NumPy"] = compiled(np, numpy_expression, x, y)
            times = measure(functions, options.rounds)
            if torch_times:
                times["PyTorch"] = torch_times[str(size)][name]
            own = times.pop("tensorgrad")
            texts = {other: f"{value / size * 1e9:8.3f}" for other, value in times.items()}
            columns = " ".join(texts.get(other, " " * 8) for other in ("NumPy", "PyTorch"))
            ratio = f"{min(times.values()) / own:10.2f} x" if times else ""
            print(f"{name:14} {own / size * 1e9:10.3f} {columns} {ratio}")


if __name__ == "__main__":
    main()
