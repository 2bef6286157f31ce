"""Rprop."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_optim._checks import checked, number_of
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import ElementwiseOptimizer, filled, kept, real, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Rprop"]


@documented
class Rprop(ElementwiseOptimizer):
    """Resilient backpropagation: only the signs of the gradient count.

    Parameters
    ----------
    {params}
    lr : float or Tensor with one element, default 0.01
        The size of the first step.
    etas : pair of float, default (0.5, 1.2)
        The factors of a step's size when the sign of the gradient has changed, and when not.
    step_sizes : pair of float, default (1e-6, 50)
        The smallest and the largest size of a step.
    {without_effect=foreach, capturable}
    {directions}

    Raises
    ------
    {out_of_range}

    Notes
    -----
    For each element, with gradient g and parameter p::

        s = min(max(s etas[0], step_sizes[0]), step_sizes[1]), g = 0     if g prev < 0
        s = min(max(s etas[1], step_sizes[0]), step_sizes[1])            if g prev > 0
        p = p - s sign(g)
        prev = g

    as in [1]_ and documented for `torch.optim.Rprop` (PyTorch 2.13). It is meant for whole batches.

    .. [1] M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: the RPROP
       algorithm", ICNN 1993.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.Rprop([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = checked(
            lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach, maximize=maximize, differentiable=differentiable,
            capturable=capturable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        return {"step": scalar(0), **zeros(param, "prev"), "step_size": filled(param, number_of(group["lr"]))}

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        shrinking, growing = group["etas"]
        smallest, largest = group["step_sizes"]
        state["step"].add_(1)
        param, grad = real(param), real(grad)
        previous, size = real(state["prev"]), real(state["step_size"])
        agreement = grad * kept(group, previous)
        turned = agreement < 0
        factor = tensorgrad.ones_like(size).masked_fill(turned, shrinking).masked_fill(agreement > 0, growing)
        size.mul_(factor).clamp_(smallest, largest)
        grad = grad.masked_fill(turned, 0)
        param.sub_(grad.sign() * kept(group, size))
        previous.copy_(grad)
