"""RMSprop."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_optim._checks import check_not_negative, checked, number_of
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import ElementwiseOptimizer, decayed, kept, real, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

__all__ = ["RMSprop"]


@documented
class RMSprop(ElementwiseOptimizer):
    """Divides by a running average of the gradient's size.

    Parameters
    ----------
    {params}
    {lr=0.01}
    alpha : float, default 0.99
        How much the running averages keep.
    {eps=1e-8}
    {weight_decay}
    momentum : float, default 0
        How much of the last step is kept.
    centered : bool, default False
        Divide by the standard deviation: take the square of the average off the average of squares.
    {without_effect=foreach, capturable}
    {directions}

    Raises
    ------
    {out_of_range}

    Notes
    -----
    With gradient g and parameter p::

        g = g + weight_decay p
        v = alpha v + (1 - alpha) g^2
        a = alpha a + (1 - alpha) g                if centered
        d = sqrt(v - a^2) + eps                    if centered, else sqrt(v) + eps
        b = momentum b + g / d                     if momentum, else b = g / d
        p = p - lr b

    as in lecture 6 of [1]_, centered as in [2]_, and documented for `torch.optim.RMSprop` (PyTorch 2.13).

    .. [1] G. Hinton, "Neural networks for machine learning", Coursera 2012.
    .. [2] A. Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.RMSprop([weight], lr=0.025)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    _added_options: ClassVar[dict[str, Any]] = {**ElementwiseOptimizer._added_options, "momentum": 0, "centered": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative("alpha", alpha)
        options = checked(
            lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay,
            capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return {"step": scalar(0), **zeros(param, *names)}

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        alpha, momentum, lr = group["alpha"], group["momentum"], number_of(group["lr"])
        state["step"].add_(1)
        grad = decayed(grad, param, group["weight_decay"])
        param, grad = real(param), real(grad)
        square = real(state["square_avg"])
        square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if group["centered"]:
            average = real(state["grad_avg"])
            average.lerp_(grad, 1 - alpha)
            variance = square - kept(group, average).square()
        else:
            variance = square
        change = grad / (variance.sqrt() + group["eps"])
        if momentum > 0:
            change = real(state["momentum_buffer"]).mul_(momentum).add_(change)
        param.sub_(lr * kept(group, change))
