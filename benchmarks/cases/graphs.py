"""Traversals of graphs of many small nodes."""

from __future__ import annotations

from collections.abc import Callable

from cases.library import Library, Timed, call

CHAIN, BACKWARD, FAN_OUT, HESSIAN = (
    "1000 chained muls, forward and backward",
    "1000 chained muls, backward alone",
    "fan-out of 300",
    "ten rows of a Hessian",
)


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """What builds a graph, if that is part of the case, and runs through it."""
    if library.name not in ("tensorgrad", "torch"):
        return {}
    t, np = library.t, library.np
    grad = t.autograd.grad

    def chain() -> Timed:
        x, w = library.tensor(np.ones((2, 3), "f4"), True), library.tensor(np.full((2, 3), 0.999, "f4"))

        def forward_and_backward() -> None:
            y = x
            for _ in range(1000):
                y = y * w
            y.sum().backward()

        return call(forward_and_backward)

    def backward() -> Timed:
        x, w = library.tensor(np.ones((2, 3), "f4"), True), library.tensor(np.full((2, 3), 0.999, "f4"))
        y = x
        for _ in range(1000):
            y = y * w
        return Timed("y.backward(retain_graph=True)", {"y": y.sum()})

    def fan_out() -> Timed:
        x = library.tensor(np.ones((2, 3), "f4"), True)

        def used_often() -> None:
            total = x * 0.5
            for _ in range(299):
                total = total + x * 0.5
            total.sum().backward()

        return call(used_often)

    def hessian() -> Timed:
        x = library.tensor(np.linspace(0.1, 1, 10).astype("f4"), True)

        def rows() -> None:
            (gradient,) = grad((x * x).sum() ** 2, x, create_graph=True)
            for i in range(10):
                grad(gradient[i], x, retain_graph=True)

        return call(rows)

    return {CHAIN: chain, BACKWARD: backward, FAN_OUT: fan_out, HESSIAN: hessian}
