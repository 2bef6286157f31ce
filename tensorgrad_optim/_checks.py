"""Checks of options that many optimizers share, with PyTorch's messages."""

from __future__ import annotations

from functools import partial

from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _check_lr(lr: Any) -> None:
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def _check_rho(rho: Any) -> None:
    if not 0.0 <= rho <= 1.0:
        raise ValueError(f"Invalid rho value: {rho}")


def _check_etas(etas: Any) -> None:
    if not 0.0 < etas[0] < 1.0 < etas[1]:
        raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")


def _check_betas(betas: Any) -> None:
    for place in (0, 1):
        if not 0.0 <= betas[place] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {place}: {betas[place]}")


def check_not_negative(name: str, value: Any) -> None:
    """Refuse a negative or NaN value."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {name} value: {value}")


def checked(**options: Any) -> dict[str, Any]:
    """Return options as a dict, once those whose name stands for a range are found in it."""
    for name, check in _RANGES.items():
        if name in options:
            check(options[name])
    for name in _NOT_NEGATIVE:
        if name in options:
            check_not_negative(name, options[name])
    return options


_RANGES = {
    "lr": _check_lr,
    "rho": _check_rho,
    "eps": partial(check_not_negative, "epsilon"),
    "betas": _check_betas,
    "etas": _check_etas,
}
_NOT_NEGATIVE = ("momentum", "lr_decay", "weight_decay", "initial_accumulator_value", "momentum_decay")


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Refuse combinations that PyTorch refuses."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def number_of(value: Any) -> Any:
    """Return the number in a tensor of one element; anything else as it is.

    A tensor that requires a gradient stays one, without dimensions: a differentiable step needs it.
    """
    if not isinstance(value, Tensor):
        return value
    return value.reshape(()) if value.requires_grad else value.item()
