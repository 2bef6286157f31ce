"""ASGD."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_optim._checks import checked, number_of
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import ElementwiseOptimizer, decayed, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["ASGD"]


@documented
class ASGD(ElementwiseOptimizer):
    """Averaged stochastic gradient descent.

    Parameters
    ----------
    {params}
    {lr=0.01}
    lambd : float, default 1e-4
        The decay of the parameters and of the learning rate.
    alpha : float, default 0.75
        The power of the learning rate's decay.
    t0 : float, default 1e6
        The step at which averaging begins.
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
        p = (1 - lambd eta) p - eta g
        ax = ax + mu (p - ax)
        eta = lr / (1 + lambd lr t)^alpha
        mu = 1 / max(1, t - t0)

    as in [1]_ and documented for `torch.optim.ASGD` (PyTorch 2.13). The average is `state[p]["ax"]`.

    .. [1] B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging",
       SIAM J. Control Optim. 30 (1992).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.ASGD([weight], lr=0.25, lambd=0)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    _numbers = ("step", "eta", "mu")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        options = checked(
            lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
            differentiable=differentiable, capturable=capturable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        return {
            "step": scalar(0),
            "eta": scalar(number_of(group["lr"])),
            "mu": scalar(1),
            **zeros(param, "ax"),
        }

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        lambd, lr = group["lambd"], number_of(group["lr"])
        step, eta, mu = state["step"].add_(1).item(), state["eta"].item(), state["mu"].item()
        grad = decayed(grad, param, group["weight_decay"])
        param.mul_(1 - lambd * eta).sub_(eta * grad)
        average = state["ax"]
        if mu == 1:
            average.copy_(param)
        else:
            average.add_((param - average) * mu)
        state["eta"].fill_(float(lr / (1 + lambd * lr * step) ** group["alpha"]))
        state["mu"].fill_(1 / max(1, step - group["t0"]))
