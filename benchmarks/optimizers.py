"""Time of an optimiser's step, and of whole training steps: tensorgrad beside PyTorch, where that is installed.

Each library runs in a process of its own, in turn, for several rounds; the table shows medians over the rounds of the
median of seven repetitions, in microseconds. PyTorch's variants (foreach, fused) are columns of their own.

    python benchmarks/optimizers.py [--rounds 3] [--threads 1] [--torch /path/to/python]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys

# name: (the model's sizes, batch, optimiser, options, what is timed)
CASES = {
    "step, 2-8-1, SGD": ((2, 8, 1), 4, "SGD", {"lr": 1e-3}, "step"),
    "step, 2-8-1, SGD, momentum": ((2, 8, 1), 4, "SGD", {"lr": 1e-3, "momentum": 0.9}, "step"),
    "step, 2-8-1, Adam": ((2, 8, 1), 4, "Adam", {"lr": 1e-3}, "step"),
    "step, 2-8-1, AdamW": ((2, 8, 1), 4, "AdamW", {"lr": 1e-3}, "step"),
    "step, 2-8-1, Adagrad": ((2, 8, 1), 4, "Adagrad", {"lr": 1e-3}, "step"),
    "step, 2-8-1, RMSprop": ((2, 8, 1), 4, "RMSprop", {"lr": 1e-3}, "step"),
    "zero_grad, 2-8-1": ((2, 8, 1), 4, "SGD", {"lr": 1e-3}, "zero_grad"),
    "training step, 4x2-8-1, SGD": ((2, 8, 1), 4, "SGD", {"lr": 1e-3}, "train"),
    "training step, 4x2-8-1, Adam": ((2, 8, 1), 4, "Adam", {"lr": 1e-3}, "train"),
    "step, 784-1024-1024-10, Adam": ((784, 1024, 1024, 10), 128, "Adam", {"lr": 1e-3}, "step"),
    "step, 784-1024-1024-10, SGD": ((784, 1024, 1024, 10), 128, "SGD", {"lr": 1e-3, "momentum": 0.9}, "step"),
}
LIBRARIES = ("tensorgrad", "torch", "torch foreach", "torch fused")
WORKER = """
import json, statistics, sys, timeit
library, cases, threads = json.loads(sys.argv[1])
name, _, variant = library.partition(" ")
if name == "torch":
    import torch as t
    from torch import nn, optim
    t.set_num_threads(threads)
else:
    import tensorgrad as t, tensorgrad_nn as nn, tensorgrad_optim as optim
results = {}
for case, (sizes, batch, optimizer_name, options, timed) in cases.items():
    t.manual_seed(0)
    layers = []
    for before, after in zip(sizes, sizes[1:]):
        layers += [nn.Linear(before, after), nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    x, y = t.randn(batch, sizes[0]), t.randn(batch, sizes[-1])
    extra = {variant: True} if variant else {}
    try:
        optimizer = getattr(optim, optimizer_name)(model.parameters(), **options, **extra)
    except TypeError:      # this one has no such variant
        continue
    criterion = nn.MSELoss()

    def backward():
        criterion(model(x), y).backward()

    def train():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    backward()
    call = {"step": optimizer.step, "zero_grad": optimizer.zero_grad, "train": train}[timed]
    call()
    timer = timeit.Timer(call)
    n = max(1, int(0.05 / (timer.timeit(20) / 20)))
    results[case] = statistics.median(timer.repeat(7, n)) / n * 1e6
print(json.dumps(results))
"""


def measure(library: str, python: str, threads: int) -> dict[str, float]:
    """Microseconds a call, by case."""
    done = subprocess.run(
        [python, "-c", WORKER, json.dumps([library, CASES, threads])],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--torch", default=sys.executable, help="the Python that has PyTorch")
    options = parser.parse_args()
    has_torch = options.torch != sys.executable or importlib.util.find_spec("torch") is not None
    libraries = LIBRARIES if has_torch else LIBRARIES[:1]
    rounds: dict[str, list[dict[str, float]]] = {library: [] for library in libraries}
    for _ in range(options.rounds):
        for library in libraries:
            python = sys.executable if library == "tensorgrad" else options.torch
            rounds[library].append(measure(library, python, options.threads))
    print("case".ljust(34) + "".join(library.rjust(15) for library in libraries) + "   torch / tensorgrad")
    for case in CASES:
        row = {
            library: statistics.median(one[case] for one in some) for library, some in rounds.items() if case in some[0]
        }
        line = case.ljust(34) + "".join(
            (f"{row[library]:15.2f}" if library in row else "-".rjust(15)) for library in libraries
        )
        others = [value for library, value in row.items() if library != "tensorgrad"]
        print(line + (f"{min(others) / row['tensorgrad']:12.1f}" if others else ""))


if __name__ == "__main__":
    main()
