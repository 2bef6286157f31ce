"""Two Python threads that each train a model, against one: how much more they do in the same time.

    python benchmarks/two_threads.py [--rounds 7] [--seconds 0.5]

One thread trains a multilayer perceptron, then two threads one each, in turn for several rounds; kernels run on the
thread that calls them (`set_num_threads(1)`). The table shows, for each size, the steps in a second of one thread and
of two together, and the ratio; two idle processors are needed for it to reach 2. As a measure of what the machine has
to give, the same is done with a loop of matrix products in NumPy, which holds the GIL for next to nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time

import numpy as np

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
import tensorgrad_optim as optim

# batch, and the widths of the layers
SIZES = {
    "16x1000-100-10": (16, (1000, 100, 10)),
    "64x784-256-10": (64, (784, 256, 10)),
    "128x784-1024-1024-10": (128, (784, 1024, 1024, 10)),
}


def trainer(batch, widths, seed):
    """A function that does one step of training on a model of its own."""
    rng = np.random.default_rng(seed)
    layers = []
    for i in range(len(widths) - 1):
        layers += [nn.Linear(widths[i], widths[i + 1]), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = tensorgrad.from_numpy(rng.standard_normal((batch, widths[0])).astype("float32"))
    target = tensorgrad.from_numpy(rng.integers(0, widths[-1], batch))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()

    return step


def product(size=512):
    a = np.random.default_rng(0).standard_normal((size, size)).astype("float32")
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def rate(steps, seconds):
    """How often a second the functions are called, each by a thread of its own."""
    counts = [0] * len(steps)
    begin = threading.Barrier(len(steps))
    ends = [0.0] * len(steps)
    starts = [0.0] * len(steps)

    def work(i):
        step = steps[i]
        step()
        begin.wait()
        starts[i] = now = time.perf_counter()
        until = now + seconds
        count = 0
        while now < until:
            step()
            count += 1
            now = time.perf_counter()
        counts[i], ends[i] = count, now

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(steps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (max(ends) - min(starts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each measurement takes")
    options = parser.parse_args()
    tensorgrad.set_num_threads(1)
    cases = {name: [trainer(*size, seed) for seed in range(2)] for name, size in SIZES.items()}
    cases["NumPy, 512x512 products"] = [product(), product()]
    print(f"tensorgrad {tensorgrad.__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}")
    print("case".ljust(28), "one /s".rjust(10), "two /s".rjust(10), "ratio".rjust(8), "best".rjust(8))
    for name, steps in cases.items():
        pairs = [(rate(steps[:1], options.seconds), rate(steps, options.seconds)) for _ in range(options.rounds)]
        one, two = (statistics.median(pair[i] for pair in pairs) for i in range(2))
        ratios = [pair[1] / pair[0] for pair in pairs]
        middle, best = statistics.median(ratios), max(ratios)
        print(name.ljust(28), f"{one:10.1f}", f"{two:10.1f}", f"{middle:8.2f}", f"{best:8.2f}")


if __name__ == "__main__":
    main()
