"""RAdam."""

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

__all__ = ["RAdam"]


@documented
class RAdam(ElementwiseOptimizer):
    """Adam whose variance is rectified in the first steps.

    Parameters
    ----------
    {params}
    {lr=0.001}
    {betas}
    {eps=1e-8}
    {weight_decay}
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
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        n = 2 / (1 - beta2) - 1
        r = n - 2 t beta2^t / (1 - beta2^t)
        p = p - lr / (1 - beta1^t) m               if r <= 5, else
        p = p - lr / (1 - beta1^t) m sqrt(1 - beta2^t) / (sqrt(v) + eps)
                sqrt((r - 4) (r - 2) n / ((n - 4) (n - 2) r))

    as in [1]_ and documented for `torch.optim.RAdam` (PyTorch 2.13).

    .. [1] L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.RAdam([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    _added_options: ClassVar[dict[str, Any]] = {**ElementwiseOptimizer._added_options, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = checked(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize, foreach=foreach,
            capturable=capturable, decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable,
        )
        super().__init__(params, options)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        return {"step": scalar(0), **zeros(param, "exp_avg", "exp_avg_sq")}

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        step, param, _, average, square = moments(group, param, grad, state)
        rate, correction = number_of(group["lr"]) / (1 - beta1**step), 1 - beta2**step
        length_limit = 2 / (1 - beta2) - 1
        length = length_limit - 2 * step * beta2**step / correction
        change = rate * kept(group, average)
        # The variance of the adaptive rate is finite only when the average spans more than this.
        if length > 5:
            rectification = (
                (length - 4) * (length - 2) * length_limit / ((length_limit - 4) * (length_limit - 2) * length)
            )
            change = change * ((correction * rectification) ** 0.5 / (square.sqrt() + group["eps"]))
        param.sub_(change)
