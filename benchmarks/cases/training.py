"""Whole training steps: zero the gradients, run forward and backward, update the parameters.

Here with PyTorch's interface, eagerly or with the model compiled; the same steps are written in JAX in `training_jax`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from cases.library import Library, Timed, call

SGD, ADAM = "step of 4x2-8-1, SGD", "step of 4x2-8-1, Adam"
TINY, DEEP, MLP = "TinyModel, 16x1000-100-10, SGD", "30 layers of 64, batch 8", "MLP 128x784-1024-1024-10, momentum"
RECURRENT, CNN = "recurrent loop, 50 steps of 4x32", "CNN 32x1x28x28, two convolutions"
CURVE_SIZES = (4, 16, 64, 256, 1024)


def width(size: int) -> str:
    """The name of a step of an MLP whose layers all have `size` units."""
    return f"step, 3 layers of {size}, batch 32"


def step(model: Any, optimizer: Any, loss: Callable[[], Any]) -> Timed:
    """One step as a case; the loss is computed by calling `model` in `loss`."""

    def train() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return call(train)


def layers(library: Library, sizes: tuple[int, ...], activation: str) -> Any:
    """Linear layers of these sizes with an activation between them."""
    nn, made = library.nn, []
    for before, after in pairwise(sizes):
        made += [nn.Linear(before, after), getattr(nn, activation)()]
    return nn.Sequential(*made[:-1])


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """The steps, by the name of the row."""
    if not library.has_torch_interface:
        return {}
    t, nn, F, optim = library.t, library.nn, library.F, library.optim
    compiled = library.name == "compile"

    def ready(model: Any) -> Any:
        return t.compile(model) if compiled else model

    def regression(
        sizes: tuple[int, ...], batch: int, activation: str, optimizer: Callable[..., Any], squares: bool = False
    ) -> Timed:
        t.manual_seed(0)
        model = ready(layers(library, sizes, activation))
        x, y = t.randn(batch, sizes[0]), t.randn(batch, sizes[-1])
        criterion = (lambda out, y: (out - y).pow(2).sum()) if squares else nn.MSELoss()
        return step(model, optimizer(model.parameters()), lambda: criterion(model(x), y))

    def sgd(parameters: Any) -> Any:
        return optim.SGD(parameters, lr=1e-5)

    def adam(parameters: Any) -> Any:
        return optim.Adam(parameters, lr=1e-5)

    def classification() -> Timed:
        t.manual_seed(0)
        model = ready(layers(library, (784, 1024, 1024, 10), "ReLU"))
        x, y = t.randn(128, 784), t.tensor([i % 10 for i in range(128)])
        momentum = optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
        return step(model, momentum, lambda: F.cross_entropy(model(x), y))

    def convolutions() -> Timed:
        t.manual_seed(0)
        model = ready(
            nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 16, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(784, 10),
            )
        )
        x, y = t.randn(32, 1, 28, 28), t.tensor([i % 10 for i in range(32)])
        return step(model, sgd(model.parameters()), lambda: F.cross_entropy(model(x), y))

    def recurrent() -> Timed:
        t.manual_seed(0)
        w, u, b = (t.randn(32, n).mul_(0.1).requires_grad_() for n in (32, 32, 1))
        b = b.detach().reshape(32).clone().requires_grad_()
        xs = [t.randn(4, 32) for _ in range(50)]
        start = t.zeros(4, 32)

        def loss() -> Any:
            h = start
            for x in xs:
                h = (x @ w + h @ u + b).tanh()
            return h.sum()

        def run() -> None:
            w.grad = u.grad = b.grad = None
            loss().backward()

        return call(run)

    found: dict[str, Callable[[], Timed]] = {
        SGD: lambda: regression((2, 8, 1), 4, "Tanh", sgd),
        ADAM: lambda: regression((2, 8, 1), 4, "Tanh", adam),
        TINY: lambda: regression((1000, 100, 10), 16, "ReLU", sgd, squares=True),
        DEEP: lambda: regression((64,) * 31, 8, "Tanh", sgd),
        MLP: classification,
        CNN: convolutions,
    }
    if not compiled:  # each of them would be compiled for a minute
        found[RECURRENT] = recurrent
        for size in CURVE_SIZES:
            found[width(size)] = lambda size=size: regression((size,) * 4, 32, "ReLU", sgd)
    return found
