"""Stochastic gradient descent."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor, _fused_sgd_  # type: ignore[attr-defined]
from tensorgrad.autograd import with_grad
from tensorgrad_optim._checks import check_fused, checked
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import GroupwiseOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

__all__ = ["SGD"]

_KEYS = ("momentum_buffer",)


@documented
class SGD(GroupwiseOptimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    {params}
    {lr=0.001}
    momentum : float, default 0
        How much of the last step is kept.
    dampening : float, default 0
        How much of the gradient is kept out of the momentum.
    {weight_decay}
    nesterov : bool, default False
        Nesterov's form of momentum.
    {without_effect=foreach, fused : bool, optional}
    {directions}

    Raises
    ------
    ValueError
        If an option is negative, or Nesterov momentum is asked for without
        momentum or with dampening.
    {fused_combined}

    Notes
    -----
    With gradient g, parameter p and buffer b, which is g at the first step::

        g = -g                                if maximize
        g = g + weight_decay p
        b = momentum b + (1 - dampening) g    if momentum
        g = g + momentum b                    if nesterov, else g = b
        p = p - lr g

    as documented for `torch.optim.SGD` (PyTorch 2.13). The learning rate
    stands outside the momentum, unlike in Sutskever et al. [1]_.

    .. [1] I. Sutskever et al., "On the importance of initialization and
       momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.SGD([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.5000, 0.5000], requires_grad=True)
    >>> optimizer.zero_grad()
    >>> weight.grad
    tensor([0., 0.])
    """

    _added_options: ClassVar[dict[str, Any]] = {**GroupwiseOptimizer._added_options, "nesterov": False, "fused": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        options = checked(
            lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov,
            maximize=maximize, foreach=foreach, differentiable=differentiable, fused=fused,
        )
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, options)
        check_fused(fused, foreach, differentiable)

    def _step_group(self, group: dict[str, Any]) -> None:
        if group["momentum"] == 0:
            params, grads = with_grad(group["params"])
            buffers = ()
        else:
            found = with_grad(group["params"], self.state, _KEYS)
            if found is None:
                self._first_step(group)
                return
            params, grads, buffers = found
        _step(group, params, grads, buffers, False)

    def _first_step(self, group: dict[str, Any]) -> None:
        """Step where some parameters have no momentum yet: theirs starts with the gradient."""
        known: list[Tensor] = []
        new: list[Tensor] = []
        for param in with_grad(group["params"])[0]:
            has_buffer = param in self.state and self.state[param].get("momentum_buffer") is not None
            (known if has_buffer else new).append(param)
        for param in new:
            self.state[param]["momentum_buffer"] = tensorgrad.empty_like(param, requires_grad=False)
        _step(group, *with_grad(new, self.state, _KEYS), True)
        _step(group, *with_grad(known, self.state, _KEYS), False)


def _step(group: dict[str, Any], params: Any, grads: Any, buffers: Any, first: bool) -> None:
    _fused_sgd_(
        params,
        grads,
        buffers,
        group["weight_decay"],
        group["momentum"],
        group["lr"],
        group["dampening"],
        group["nesterov"],
        group["maximize"],
        first,
        None,
        None,
        group["differentiable"],
    )
