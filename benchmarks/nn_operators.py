"""Time of neural-network operators: tensorgrad beside PyTorch, where that is installed.

Each library runs in a process of its own, in turn, for several rounds; the table shows medians over the rounds of the
best of five repetitions, in microseconds, and PyTorch's time over ours.

    python benchmarks/nn_operators.py [--rounds 5] [--threads 1] [--torch PYTHON]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

CASES = {
    "softmax 2x3": "F.softmax(small, 1)",
    "softmax 1000x1000, rows": "F.softmax(large, 1)",
    "softmax 1000x1000, columns": "F.softmax(large, 0)",
    "log_softmax 1000x1000, rows": "F.log_softmax(large, 1)",
    "softmax 1000x1000, with its gradient": "F.softmax(large_r, 1).backward(large)",
    "layer_norm 1000x1000": "F.layer_norm(large, (1000,), gamma, beta)",
    "layer_norm 1000x1000, with its gradients": "F.layer_norm(large_r, (1000,), gamma, beta).backward(large)",
    "cross_entropy 128x10": "F.cross_entropy(logits, classes)",
    "cross_entropy 128x10, with its gradient": "F.cross_entropy(logits_r, classes).backward()",
    "linear 16x1000x100": "F.linear(x, w, b)",
    "linear 16x1000x100, with its gradients": "F.linear(x_r, w_r, b_r).backward(g)",
    "conv2d 32x8x28x28, 16 kernels 3x3": "F.conv2d(images, kernels, None, 1, 1)",
    "max_pool2d 32x8x28x28": "F.max_pool2d(images, 2)",
    "CNN 32x1x28x28, two convolutions, a step": "step()",
}
SETUP = """
small, large = t.rand(2, 3), t.rand(1000, 1000)
large_r = t.rand(1000, 1000, requires_grad=True)
gamma, beta = t.rand(1000, requires_grad=True), t.rand(1000, requires_grad=True)
logits, classes = t.rand(128, 10), t.tensor([i % 10 for i in range(128)])
logits_r = t.rand(128, 10, requires_grad=True)
x, w, b, g = t.rand(16, 1000), t.rand(100, 1000), t.rand(100), t.rand(16, 100)
x_r, w_r, b_r = (a.clone().requires_grad_() for a in (x, w, b))
images, kernels = t.rand(32, 8, 28, 28), t.rand(16, 8, 3, 3)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10))
digits, labels = t.rand(32, 1, 28, 28), t.tensor([i % 10 for i in range(32)])
sgd = optim.SGD(model.parameters(), lr=0.01)
def step():
    sgd.zero_grad()
    loss = F.cross_entropy(model(digits), labels)
    loss.backward()
    sgd.step()
"""
IMPORTS = {
    "tensorgrad": """
import tensorgrad as t, tensorgrad_nn as nn, tensorgrad_nn.functional as F, tensorgrad_optim as optim
""",
    "torch": """
import torch as t, torch.nn as nn, torch.nn.functional as F, torch.optim as optim
t.set_num_threads({threads})
""",
}
WORKER = """
import json, sys, timeit
setup, cases = json.loads(sys.argv[1])
space = {}
exec(setup, space)
result = {}
for name, statement in cases.items():
    timer = timeit.Timer(statement, globals=space)
    once = min(timer.repeat(3, 1))
    n = max(1, int(0.03 / max(once, 1e-7)))
    result[name] = min(timer.repeat(5, n)) / n * 1e6
print(json.dumps(result))
"""


def measure(library: str, python: str, threads: int) -> dict[str, float]:
    """Microseconds a call, by case."""
    setup = IMPORTS[library].replace("{threads}", str(threads)) + "\n" + SETUP
    done = subprocess.run(
        [python, "-c", WORKER, json.dumps([setup, CASES])],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--torch", default=sys.executable, help="the Python that has PyTorch")
    options = parser.parse_args()
    pythons = {"tensorgrad": sys.executable, "torch": options.torch}
    if subprocess.run([options.torch, "-c", "import torch"], capture_output=True, check=False).returncode:
        del pythons["torch"]
    runs = {name: [] for name in pythons}
    for _ in range(options.rounds):
        for name, python in pythons.items():
            runs[name].append(measure(name, python, options.threads))
    print("case".ljust(44) + "".join(name.rjust(12) for name in pythons) + "ratio".rjust(8))
    for case in CASES:
        medians = [statistics.median(run[case] for run in runs[name]) for name in pythons]
        ratio = f"{medians[1] / medians[0]:.2f}" if len(medians) > 1 else "-"
        print(case.ljust(44) + "".join(f"{value:.2f}".rjust(12) for value in medians) + ratio.rjust(8))


if __name__ == "__main__":
    main()
