"""NAdam."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_optim._checks import checked, number_of
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import ElementwiseOptimizer, kept, moments, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

__all__ = ["NAdam"]


@documented
class NAdam(ElementwiseOptimizer):
    """Adam with Nesterov momentum.

    Parameters
    ----------
    {params}
    {lr=0.002}
    {betas}
    {eps=1e-8}
    {weight_decay}
    momentum_decay : float, default 0.004
        How fast the momentum grows towards beta1.
    {decoupled_weight_decay}
    {without_effect=foreach, capturable}
    {directions}

    Raises
    ------
    {out_of_range}

    Notes
    -----
    At step t, with gradient g and parameter p::

        g = g + weight_decay p                     or, decoupled, p = p - lr weight_decay p
        mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        d = sqrt(v / (1 - beta2^t)) + eps
        p = p - lr (1 - mu_t) / (1 - mu_1 ... mu_t) g / d
              - lr mu_t+1 / (1 - mu_1 ... mu_t+1) m / d

    as in [1]_ and documented for `torch.optim.NAdam` (PyTorch 2.13).

    .. [1] T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.NAdam([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7359, 0.7359], requires_grad=True)
    """

    _added_options: ClassVar[dict[str, Any]] = {**ElementwiseOptimizer._added_options, "decoupled_weight_decay": False}
    _numbers = ("step", "mu_product")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = checked(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay, maximize=maximize, foreach=foreach, capturable=capturable,
            differentiable=differentiable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        return {"step": scalar(0), "mu_product": scalar(1), **zeros(param, "exp_avg", "exp_avg_sq")}

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        lr, decay = number_of(group["lr"]), group["momentum_decay"]
        step, param, grad, average, square = moments(group, param, grad, state)
        momentum = beta1 * (1 - 0.5 * 0.96 ** (step * decay))
        next_momentum = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * decay))
        product = state["mu_product"].mul_(momentum).item()
        denominator = (square / (1 - beta2**step)).sqrt() + group["eps"]
        param.sub_(lr * (1 - momentum) / (1 - product) * grad / denominator)
        param.sub_(lr * next_momentum / (1 - product * next_momentum) * kept(group, average) / denominator)
