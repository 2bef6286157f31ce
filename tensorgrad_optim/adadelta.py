"""Adadelta."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_optim._checks import checked, number_of
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import ElementwiseOptimizer, decayed, real, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Adadelta"]


@documented
class Adadelta(ElementwiseOptimizer):
    """Steps in the ratio of past steps to past gradients.

    Parameters
    ----------
    {params}
    lr : float or Tensor with one element, default 1.0
        A factor of the step.
    rho : float, default 0.9
        How much the running averages keep.
    eps : float, default 1e-6
        Added to both averages.
    {weight_decay}
    {without_effect=foreach, capturable}
    {directions}

    Raises
    ------
    {out_of_range}

    Notes
    -----
    With gradient g and parameter p::

        g = g + weight_decay p
        v = rho v + (1 - rho) g^2
        d = sqrt(u + eps) / sqrt(v + eps) g
        u = rho u + (1 - rho) d^2
        p = p - lr d

    as in [1]_ and documented for `torch.optim.Adadelta` (PyTorch 2.13).

    .. [1] M. D. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.Adadelta([weight], lr=100)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.6838, 0.6838], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = checked(
            lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable,
            foreach=foreach, differentiable=differentiable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        return {"step": scalar(0), **zeros(param, "square_avg", "acc_delta")}

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]
        state["step"].add_(1)
        grad = decayed(grad, param, group["weight_decay"])
        param, grad = real(param), real(grad)
        square, deltas = real(state["square_avg"]), real(state["acc_delta"])
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = (deltas + eps).sqrt() / (square + eps).sqrt() * grad
        deltas.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        param.sub_(number_of(group["lr"]) * delta)
