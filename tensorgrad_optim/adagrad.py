"""Adagrad."""

from __future__ import annotations

from tensorgrad import Tensor, _fused_adagrad_  # type: ignore[attr-defined]
from tensorgrad.autograd import with_grad
from tensorgrad_optim._checks import check_fused, checked
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import GroupwiseOptimizer, filled
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

__all__ = ["Adagrad"]

_KEYS = ("sum", "step")


@documented
class Adagrad(GroupwiseOptimizer):
    """Divides by the size of all gradients so far.

    Parameters
    ----------
    {params}
    {lr=0.01}
    lr_decay : float, default 0
        How the learning rate decays with the number of steps.
    {weight_decay}
    initial_accumulator_value : float, default 0
        What the sum of squares begins with.
    {eps=1e-10}
    {without_effect=foreach}
    {directions}
    {fused}

    Raises
    ------
    {out_of_range}
    {fused_combined}

    Notes
    -----
    At step t, with gradient g and parameter p::

        g = g + weight_decay p
        s = s + g^2
        p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    as in [1]_ and documented for `torch.optim.Adagrad` (PyTorch 2.13).

    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic
       optimization", JMLR 12 (2011).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.Adagrad([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    _added_options: ClassVar[dict[str, Any]] = {**GroupwiseOptimizer._added_options, "fused": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options = checked(
            lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, foreach=foreach, maximize=maximize,
            differentiable=differentiable, fused=fused,
        )
        super().__init__(params, options)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                self._start(group, param)

    def _start(self, group: dict[str, Any], param: Tensor) -> None:
        self.state[param].update(step=scalar(0), sum=filled(param, group["initial_accumulator_value"]))

    def _step_group(self, group: dict[str, Any]) -> None:
        found = with_grad(group["params"], self.state, _KEYS)
        if found is None:  # a parameter of a group that was added later
            for param in group["params"]:
                if not self.state[param]:
                    self._start(group, param)
            found = with_grad(group["params"], self.state, _KEYS)
        _fused_adagrad_(
            *found,
            group["lr"],
            group["lr_decay"],
            group["weight_decay"],
            group["eps"],
            group["maximize"],
            None,
            None,
            True,
            group["differentiable"],
        )
