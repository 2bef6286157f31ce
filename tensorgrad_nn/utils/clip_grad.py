"""Keeping gradients in bounds."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [grad for grad in [parameter.grad for parameter in parameters] if grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Return the norm of several tensors, taken as one vector.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        The parts of the vector.
    norm_type : float or 'inf', default 2
        The order of the norm.
    error_if_nonfinite : bool, default False
        Refuse a norm that is NaN or infinite.
    foreach : bool, optional
        Accepted for PyTorch's sake; without effect.

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    RuntimeError
        If the norm is not finite and `error_if_nonfinite`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.utils.get_total_norm([tensorgrad.tensor([3.0]), tensorgrad.tensor([4.0])])
    tensor(5.)
    """
    parts = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    order = float(norm_type)
    if not parts:
        return tensorgrad.tensor(0.0)
    with tensorgrad.no_grad():
        device = parts[0].device
        # The norm of the norms is the norm of the whole.
        total = tensorgrad.stack([part.norm(order).to(device) for part in parts]).norm(order)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients of `parameters` so that a norm of `total_norm` becomes `max_norm`, if it is larger.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients to scale, in place.
    max_norm : float
        The bound.
    total_norm : Tensor, a scalar
        The norm, from `get_total_norm`.
    foreach : bool, optional
        Accepted for PyTorch's sake; without effect.

    Notes
    -----
    The factor is min(1, max_norm / (total_norm + 1e-6)).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.utils.clip_grads_with_norm_([], 1.0, tensorgrad.tensor(2.0))
    """
    with tensorgrad.no_grad():
        factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
        # Multiplied also when it is 1: looking at it would wait for the device.
        for grad in _gradients(parameters):
            grad.mul_(factor.to(grad.device))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale gradients down so that their common norm is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients to scale, in place.
    max_norm : float
        The bound.
    norm_type : float or 'inf', default 2
        The order of the norm.
    error_if_nonfinite : bool, default False
        Refuse a norm that is NaN or infinite.
    foreach : bool, optional
        Accepted for PyTorch's sake; without effect.

    Returns
    -------
    Tensor, a scalar
        The norm before.

    Raises
    ------
    RuntimeError
        If the norm is not finite and `error_if_nonfinite`.

    Notes
    -----
    The factor is min(1, max_norm / (norm + 1e-6)), for all gradients the same.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> weight = nn.Parameter(tensorgrad.zeros(2))
    >>> weight.grad = tensorgrad.tensor([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_(weight, max_norm=1.0)
    tensor(5.)
    >>> weight.grad
    tensor([0.6000, 0.8000])
    """
    # Iterated twice, so a generator has to be unrolled.
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total_norm = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total_norm)
    return total_norm


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp every element of the gradients to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients to clamp, in place.
    clip_value : float
        The bound.
    foreach : bool, optional
        Accepted for PyTorch's sake; without effect.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> weight = nn.Parameter(tensorgrad.zeros(2))
    >>> weight.grad = tensorgrad.tensor([3.0, -0.5])
    >>> nn.utils.clip_grad_value_(weight, 1.0)
    >>> weight.grad
    tensor([ 1.0000, -0.5000])
    """
    bound = float(clip_value)
    with tensorgrad.no_grad():
        for grad in _gradients(parameters):
            grad.clamp_(min=-bound, max=bound)
