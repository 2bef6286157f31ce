"""Checks of options that many optimizers share, with PyTorch's messages."""

from __future__ import annotations

from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def check_lr(lr: Any) -> None:
    """Refuse a learning rate that is negative or more than one number."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_not_negative(name: str, value: Any) -> None:
    """Refuse a negative or NaN value."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {name} value: {value}")


def check_betas(betas: Any) -> None:
    """Refuse coefficients of running averages outside of [0, 1)."""
    for place in (0, 1):
        if not 0.0 <= betas[place] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {place}: {betas[place]}")


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
