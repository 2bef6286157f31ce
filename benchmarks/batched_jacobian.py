"""A Jacobian by rows: one batched traversal of the graph beside a loop over the outputs.

The Jacobian of some outputs with respect to the input of a small network is computed by
``autograd.grad(..., is_grads_batched=True)`` and by one call of ``autograd.grad`` for each output. Both run in turn, in
one process, for several rounds; the table shows medians in milliseconds and their ratio.

    python benchmarks/batched_jacobian.py [--outputs 100] [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import tensorgrad
from tensorgrad.autograd import grad


def elementwise(n: int) -> tuple[tensorgrad.Tensor, tensorgrad.Tensor]:
    x = tensorgrad.randn(n, requires_grad=True)
    return (x.sin() * x.exp()).tanh() + x.cumsum(0), x


def network(n: int) -> tuple[tensorgrad.Tensor, tensorgrad.Tensor]:
    x = tensorgrad.randn(20, requires_grad=True)
    hidden = x
    for _ in range(3):
        width = hidden.numel()
        hidden = (tensorgrad.randn(32, width) @ hidden / width**0.5).tanh()
    return tensorgrad.randn(n, 32) @ hidden, x


def layers(n: int) -> tuple[tensorgrad.Tensor, tensorgrad.Tensor]:
    x = tensorgrad.randn(1, 20, requires_grad=True)
    hidden = x
    for _ in range(3):
        w = tensorgrad.randn(32, hidden.shape[1])
        hidden = tensorgrad.linear(hidden, w, tensorgrad.zeros(32)).relu()
    return tensorgrad.linear(hidden, tensorgrad.randn(n, 32)).softmax(1).reshape(n), x


CASES = {"elementwise": elementwise, "matrix-vector network": network, "linear layers, softmax": layers}


def milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outputs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    n = options.outputs
    print(f"{'Jacobian of ' + str(n) + ' outputs':28}{'loop, ms':>12}{'batched, ms':>14}{'ratio':>9}")
    for name, make in CASES.items():
        tensorgrad.manual_seed(0)
        y, x = make(n)
        rows = tensorgrad.eye(n)

        def looped(y=y, x=x, rows=rows) -> tensorgrad.Tensor:
            return tensorgrad.stack([grad(y, x, row, retain_graph=True)[0] for row in rows])

        def batched(y=y, x=x, rows=rows) -> tensorgrad.Tensor:
            return grad(y, x, rows, retain_graph=True, is_grads_batched=True)[0]

        assert tensorgrad.allclose(looped(), batched(), rtol=1e-4, atol=1e-5)
        times = [(milliseconds(looped), milliseconds(batched)) for _ in range(options.rounds)]
        loop, batch = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:28}{loop:12.3f}{batch:14.3f}{loop / batch:9.1f}")


if __name__ == "__main__":
    main()
