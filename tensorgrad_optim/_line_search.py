"""A line search for the strong Wolfe conditions, as L-BFGS uses it."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NamedTuple

    from tensorgrad import Tensor

    class Point(NamedTuple):
        """A place on the line: the length of the step, loss, gradient and slope there."""

        length: float
        loss: float
        grad: Tensor
        slope: float
else:
    from collections import namedtuple

    Point = namedtuple("Point", ["length", "loss", "grad", "slope"])


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Return where the cubic through two points with these slopes is least, within bounds.

    Equation 3.59 of Nocedal and Wright; the middle of the bounds when the cubic has no minimum.
    """
    low, high = bounds if bounds is not None else sorted((a.length, b.length))
    if a.length == b.length:
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    near, far = (a, b) if a.length <= b.length else (b, a)
    divisor = far.slope - near.slope + 2 * d2
    if divisor == 0:
        return (low + high) / 2
    least = far.length - (far.length - near.length) * ((far.slope + d2 - d1) / divisor)
    return min(max(least, low), high)


def strong_wolfe(
    evaluate: Callable[[float], tuple[float, Tensor]],
    length: float,
    direction: Tensor,
    loss: float,
    grad: Tensor,
    slope: float,
    max_evaluations: int,
    sufficient_decrease: float = 1e-4,
    curvature: float = 0.9,
    tolerance_change: float = 1e-9,
) -> tuple[float, Tensor, float, int]:
    """Search along `direction` for a point with enough decrease and a small slope.

    Algorithms 3.5 and 3.6 of Nocedal and Wright: first a bracket is found, then it is narrowed by cubic
    interpolation, kept away from its ends. Bounds and order of tests are those of PyTorch.

    Returns
    -------
    tuple
        Loss, gradient and length at the best point, and how often `evaluate` was called.
    """
    size = direction.abs().max().item()

    def at(length: float) -> Point:
        value, gradient = evaluate(length)
        return Point(length, value, gradient, gradient.dot(direction).item())

    def too_high(point: Point) -> bool:
        return point.loss > loss + sufficient_decrease * point.length * slope

    start = previous = Point(0.0, loss, grad.clone(), slope)
    new = at(length)
    evaluations, iterations, done = 1, 0, False
    bracket = [start, new]
    while iterations < max_evaluations:
        if too_high(new) or (iterations > 1 and new.loss >= previous.loss):
            bracket = [previous, new]
            break
        if abs(new.slope) <= -curvature * slope:
            bracket, done = [new], True
            break
        if new.slope >= 0:
            bracket = [previous, new]
            break
        bounds = (new.length + 0.01 * (new.length - previous.length), new.length * 10)
        length = cubic_minimum(previous, new, bounds)
        previous, new = new, at(length)
        evaluations += 1
        iterations += 1
    if iterations == max_evaluations:
        bracket = [start, new]

    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
    while not done and iterations < max_evaluations:
        ends = [point.length for point in bracket]
        left, right = min(ends), max(ends)
        if (right - left) * size < tolerance_change:
            break
        length = cubic_minimum(bracket[0], bracket[1])
        # Twice close to an end, or on it, would be no progress: step away from it.
        margin = 0.1 * (right - left)
        if min(right - length, length - left) < margin:
            if stuck or length >= right or length <= left:
                length = right - margin if abs(length - right) < abs(length - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(length)
        evaluations += 1
        iterations += 1
        if too_high(new) or new.loss >= bracket[low].loss:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
        else:
            if abs(new.slope) <= -curvature * slope:
                done = True
            elif new.slope * (bracket[high].length - bracket[low].length) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = new
    best = bracket[low]
    return best.loss, best.grad, best.length, evaluations
