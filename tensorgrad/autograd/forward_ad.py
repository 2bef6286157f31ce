"""Forward mode by dual numbers: tensors that carry a tangent through the operations."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple

from tensorgrad._core import grad_mode as _modes
from tensorgrad._core.graph import clear_duals
from tensorgrad._core.operator import all_operators
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.transforms import get_tangent, unwrap_value, wrap_value
from tensorgrad._core.view import set_dual
from tensorgrad.autograd.grad_mode import _ForwardGrad

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]

_VMAP = 2


class UnpackedDualTensor(NamedTuple):
    """The two parts of a dual tensor.

    Attributes
    ----------
    primal : Tensor
    tangent : Tensor or None
    """

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Begin a forward-mode computation; `dual_level` does it for a block.

    Raises
    ------
    RuntimeError
        If one has begun already: nested levels are what `tensorgrad.func.jvp` is for.
    """
    level: int = _modes.enter_dual_level()
    return level


def exit_dual_level(*, level: int | None = None) -> None:
    """End a forward-mode computation: the tangents of its tensors are gone."""
    current = _modes.dual_level()
    if current < 0:
        raise RuntimeError("Dual level must be a positive number.")
    if level is not None and level != current:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    clear_duals()
    _modes.exit_dual_level()


class dual_level:
    """The block in which dual tensors live.

    Examples
    --------
    >>> import tensorgrad
    >>> import tensorgrad.autograd.forward_ad as fwAD
    >>> x, t = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 0.0])
    >>> with fwAD.dual_level():
    ...     out = fwAD.make_dual(x, t) ** 2
    ...     fwAD.unpack_dual(out).tangent
    tensor([2., 0.])
    """

    __slots__ = ()

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        exit_dual_level()


def _check_level(level: int | None, what: str) -> int:
    current: int = _modes.dual_level() if level is None else level
    if current < 0:
        raise RuntimeError(
            f"Trying to {what} for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    return current


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of `tensor` that carries `tangent`.

    Parameters
    ----------
    tensor : Tensor
        Floating point or complex.
    tangent : Tensor
        Of the same shape.
    level : int, optional
        The level in force by default, and there is only one.

    Raises
    ------
    RuntimeError
        Outside of a `dual_level`, for another shape, or if `tensor` is dual already.
    """
    current = _check_level(level, "create a dual Tensor")
    for name, x in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(x, Tensor):
            raise TypeError(f"make_dual(): {name} must be a Tensor, not {type(x).__name__}")
        if not (x.is_floating_point() or x.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {x.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this "
            f"is not supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of "
            f"size {list(tangent.shape)}."
        )
    return _make_dual(tensor, tangent, current)


def _make_dual(tensor: Tensor, tangent: Tensor, number: int) -> Tensor:
    level = _modes.current_level()
    if level is None:
        if get_tangent(tensor) is not None:
            raise RuntimeError(
                "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
                f"{number} is not supported."
            )
        dual: Tensor = all_operators()["alias"](tensor)
        set_dual(dual, tangent)
        return dual
    _require_vmap(level, "make_dual")
    primals, tangents = (unwrap_value(x, level.number) for x in (tensor, tangent))
    # The level is the process's, below all transforms: both parts get a batch, if either has one, and go there.
    batched = primals[1] is not None or tangents[1] is not None
    before = _modes.enter_below(level)
    try:
        if not batched:
            return _make_dual(tensor, tangent, number)
        values = [_batch_first(value, dim, level.batch_size) for value, dim in (primals, tangents)]
        return wrap_value(_make_dual(values[0], values[1], number), level.number, 0)
    finally:
        _modes.leave_below(before)


def _batch_first(value: Any, dim: int | None, size: int) -> Any:
    if dim is None:
        return value.unsqueeze(0).expand(size, *value.shape)
    return value.movedim(dim, 0)


def _require_vmap(level: Any, name: str) -> None:
    if level.kind != _VMAP:
        raise RuntimeError(
            f"{name}() is not supported inside tensorgrad.func.grad, vjp or jvp: use tensorgrad.func.jvp there, "
            "which nests"
        )


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The primal and the tangent of a tensor; the tangent is None if it has none.

    Parameters
    ----------
    tensor : Tensor
    level : int, optional
        The level in force by default.

    Returns
    -------
    UnpackedDualTensor
    """
    if (_modes.dual_level() if level is None else level) < 0:
        return UnpackedDualTensor(tensor, None)
    return _unpack_dual(tensor)


def _unpack_dual(tensor: Tensor) -> UnpackedDualTensor:
    level = _modes.current_level()
    if level is None:
        tangent = get_tangent(tensor)
        with _ForwardGrad(False):
            primal = all_operators()["alias"](tensor)
        return UnpackedDualTensor(primal, tangent)
    _require_vmap(level, "unpack_dual")
    value, dim = unwrap_value(tensor, level.number)
    before = _modes.enter_below(level)
    try:
        primal, tangent = _unpack_dual(value)
    finally:
        _modes.leave_below(before)
    if dim is not None:
        primal = wrap_value(primal, level.number, dim)
        tangent = None if tangent is None else wrap_value(tangent, level.number, dim)
    return UnpackedDualTensor(primal, tangent)
