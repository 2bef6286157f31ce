"""Time of neural-network operators: tensorgrad beside PyTorch, where that is installed.

Each library runs in a process of its own; case by case they take turns for several rounds (turns.py). The table shows
the shortest time of a call in microseconds, and PyTorch's time over ours.

    python benchmarks/nn_operators.py [--rounds 12] [--threads 1] [--torch PYTHON]
"""

from __future__ import annotations

import argparse
import sys

from turns import Library, has, table

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
    "MLP 128x784-1024-1024-10, a step": "mlp_step()",
    "16x1000-100-10, a step": "tiny_step()",
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
mlp = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
rows, row_labels = t.rand(128, 784), t.tensor([i % 10 for i in range(128)])
mlp_sgd = optim.SGD(mlp.parameters(), lr=0.01, momentum=0.9)
def mlp_step():
    mlp_sgd.zero_grad()
    F.cross_entropy(mlp(rows), row_labels).backward()
    mlp_sgd.step()
tiny = nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 10))
tiny_x, tiny_y = t.rand(16, 1000), t.rand(16, 10)
tiny_sgd = optim.SGD(tiny.parameters(), lr=0.01)
def tiny_step():
    tiny_sgd.zero_grad()
    F.mse_loss(tiny(tiny_x), tiny_y).backward()
    tiny_sgd.step()
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--torch", default=sys.executable, help="the Python that has PyTorch")
    options = parser.parse_args()
    pythons = {"tensorgrad": sys.executable, "torch": options.torch}
    processes = {}
    for name, python in pythons.items():
        if name == "tensorgrad" or has(name, python):
            setup = IMPORTS[name].replace("{threads}", str(options.threads)) + SETUP
            processes[name] = Library(python, setup, options.threads)
    cases: dict[str, dict[str, str | None]] = {name: dict.fromkeys(processes, code) for name, code in CASES.items()}
    table(processes, cases, options.rounds)
    for process in processes.values():
        process.close()


if __name__ == "__main__":
    main()
