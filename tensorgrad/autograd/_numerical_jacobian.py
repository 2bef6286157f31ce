"""Finite differences for `gradcheck`: what a function does when one of its inputs is moved a little.

Every Jacobian here is a matrix of *probes*. A probe of an input is a direction in which it is moved, a
probe of an output is a vector of weights with which its change is summed. With the unit vectors as probes
(``None``, slow mode) the matrix is the Jacobian itself, one row per input element and one column per
output element; with one random vector on either side (fast mode) it is the single number
:math:`u^T J^T v`. The analytical side is projected by the same two helpers, `directions` and `contract`,
so that both modes are the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import tensorgrad


class NumericalJacobian(NamedTuple):
    """The change of one output per unit of one input; `imag` only where that input is complex.

    Attributes
    ----------
    real : Tensor, shape (input probes, output probes)
        Derivatives for moves along the real axis. Complex where the output is.
    imag : Tensor or None
        Derivatives for moves along the imaginary axis.
    """

    real: tensorgrad.Tensor
    imag: tensorgrad.Tensor | None


def as_tuple(value: Any) -> tuple[Any, ...]:
    """A tuple of the members of a tuple or list, or of the one thing that `value` is."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def is_continuous(value: Any) -> bool:
    """Whether `value` is a tensor over which one can differentiate at all."""
    return isinstance(value, tensorgrad.Tensor) and (value.is_floating_point() or value.is_complex())


def continuous_outputs(result: Any) -> tuple[tensorgrad.Tensor, ...]:
    """The floating-point and complex tensors among what a function returned."""
    return tuple(out for out in as_tuple(result) if is_continuous(out))


def differentiable_outputs(result: Any) -> tuple[tensorgrad.Tensor, ...]:
    """The outputs through which gradients flow."""
    return tuple(out for out in continuous_outputs(result) if out.requires_grad)


def random_like(
    like: tensorgrad.Tensor, rng: np.random.Generator, low: float = -1.0, high: float = 1.0
) -> tensorgrad.Tensor:
    """Uniform numbers with the shape, dtype and device of `like`; the library's own generator stays put."""
    values = np.asarray(rng.uniform(low, high, size=tuple(like.shape)))
    if like.is_complex():
        values = np.asarray(values + 1j * rng.uniform(low, high, size=tuple(like.shape)))
    return tensorgrad.from_numpy(values).to(dtype=like.dtype, device=like.device)


def random_probe(like: tensorgrad.Tensor, rng: np.random.Generator) -> tensorgrad.Tensor:
    """A random real vector of length one for the flattened `like`.

    No component is negative: with signs, errors in two places of the Jacobian could cancel, and the
    projection of a Jacobian of one sign could be small against its elements, which is what `rtol` scales.
    """
    values = rng.uniform(0.0, 1.0, size=like.numel())
    norm = float(np.linalg.norm(values))
    unit = values / norm if norm > 0 else values
    return tensorgrad.from_numpy(unit).to(dtype=like.dtype.to_real(), device=like.device)


def directions(like: tensorgrad.Tensor, probe: tensorgrad.Tensor | None) -> Iterator[tensorgrad.Tensor]:
    """The probe, or without one each unit vector, in the shape and dtype of `like`."""
    if probe is not None:
        yield probe.to(like.dtype).reshape(like.shape)
        return
    for position in range(like.numel()):
        unit = tensorgrad.zeros(like.numel(), dtype=like.dtype, device=like.device)
        unit[position] = 1
        yield unit.reshape(like.shape)


def contract(values: tensorgrad.Tensor, probe: tensorgrad.Tensor | None) -> tensorgrad.Tensor:
    """The one-dimensional `values` themselves, or their sum weighted by the probe."""
    flat = values.reshape(-1)
    return flat if probe is None else (flat * probe).sum().reshape(1)


def stack(
    vectors: Sequence[tensorgrad.Tensor], length: int, like: tensorgrad.Tensor, dim: int
) -> tensorgrad.Tensor:
    """Stack vectors, of which there may be none, into a matrix whose other side is `length`."""
    if vectors:
        return tensorgrad.stack(list(vectors), dim)
    shape = (0, length) if dim == 0 else (length, 0)
    return tensorgrad.zeros(shape, dtype=like.dtype, device=like.device)


def _central_difference(
    func: Callable[..., Any],
    inputs: Sequence[Any],
    target: tensorgrad.Tensor,
    direction: tensorgrad.Tensor,
    eps: float,
    select: Callable[[Any], tuple[tensorgrad.Tensor, ...]],
) -> list[tensorgrad.Tensor]:
    """The derivative of each selected output when `target` moves along `direction`.

    `target` is moved where it lies, not in a copy: a function may reach it by another way than its
    arguments (a module's parameter, the same tensor given twice), and its gradient counts every way.
    `.data` has a version counter of its own, so that graphs already recorded stay usable.
    """
    place = target.data
    original = target.detach().clone()

    def outputs_at(step: float) -> list[tensorgrad.Tensor]:
        place.copy_(original + step * direction)
        # An output may be a view of the input, which moves on.
        return [out.detach().clone() for out in select(func(*inputs))]

    try:
        above = outputs_at(eps)
        below = outputs_at(-eps)
    finally:
        place.copy_(original)
    return [(high - low) / (2 * eps) for high, low in zip(above, below, strict=True)]


def numerical_jacobians(
    func: Callable[..., Any],
    inputs: Sequence[Any],
    target: tensorgrad.Tensor,
    outputs: Sequence[tensorgrad.Tensor],
    eps: float,
    *,
    input_probe: tensorgrad.Tensor | None = None,
    output_probes: Sequence[tensorgrad.Tensor | None] | None = None,
    select: Callable[[Any], tuple[tensorgrad.Tensor, ...]] = differentiable_outputs,
) -> list[NumericalJacobian]:
    """The Jacobian of each output with respect to `target`, by central differences.

    Parameters
    ----------
    func, inputs
        The function and all of its arguments.
    target : Tensor
        The member of `inputs` to move. It has its old values again afterwards.
    outputs : sequence of Tensor
        What `select` makes of ``func(*inputs)``.
    eps : float
        How far to move, each way.
    input_probe, output_probes
        Vectors to project on; without them, the whole Jacobian.
    select
        Which of the results count as outputs.

    Returns
    -------
    list of NumericalJacobian
        One for each output.
    """
    probes = [None] * len(outputs) if output_probes is None else list(output_probes)

    def along(axis: complex) -> list[tensorgrad.Tensor]:
        rows: list[list[tensorgrad.Tensor]] = [[] for _ in outputs]
        for direction in directions(target, input_probe):
            turned = direction if axis == 1 else direction * axis
            changes = _central_difference(func, inputs, target, turned, eps, select)
            for row, change, probe in zip(rows, changes, probes, strict=True):
                row.append(contract(change, probe))
        return [
            stack(row, out.numel() if probe is None else 1, out, 0)
            for row, out, probe in zip(rows, outputs, probes, strict=True)
        ]

    real = along(1)
    imag = along(1j) if target.is_complex() else [None] * len(real)
    return [NumericalJacobian(*pair) for pair in zip(real, imag, strict=True)]
