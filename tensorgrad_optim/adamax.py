"""Adamax."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_optim._checks import checked, number_of
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import ElementwiseOptimizer, decayed, kept, real, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Adamax"]


@documented
class Adamax(ElementwiseOptimizer):
    """Adam with the infinity norm in the place of the second moment.

    Parameters
    ----------
    {params}
    {lr=0.002}
    betas : pair of float, default (0.9, 0.999)
        How much the running averages of the gradient and its largest size keep.
    eps : float, default 1e-8
        Added to the size of the gradient.
    {weight_decay}
    {without_effect=foreach, capturable}
    {directions}

    Raises
    ------
    {out_of_range}

    Notes
    -----
    At step t, with gradient g and parameter p::

        g = g + weight_decay p
        m = beta1 m + (1 - beta1) g
        u = max(beta2 u, abs(g) + eps)
        p = p - lr / (1 - beta1^t) m / u

    as in section 7 of [1]_ and documented for `torch.optim.Adamax` (PyTorch 2.13).

    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.Adamax([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        options = checked(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
            differentiable=differentiable, capturable=capturable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        return {"step": scalar(0), **zeros(param, "exp_avg", "exp_inf")}

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        step = state["step"].add_(1).item()
        grad = decayed(grad, param, group["weight_decay"])
        param, grad = real(param), real(grad)
        average, largest = real(state["exp_avg"]), real(state["exp_inf"])
        average.lerp_(grad, 1 - beta1)
        largest.copy_(tensorgrad.maximum(largest * beta2, grad.abs() + group["eps"]))
        rate = number_of(group["lr"]) / (1 - beta1**step)
        param.sub_(rate * kept(group, average) / kept(group, largest))
