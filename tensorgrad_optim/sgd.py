"""Stochastic gradient descent."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor, _fused_sgd_  # type: ignore[attr-defined]
from tensorgrad.autograd import with_grad
from tensorgrad_optim._checks import check_fused, check_lr, check_not_negative
from tensorgrad_optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["SGD"]

_KEYS = ("momentum_buffer",)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor), or of dict
        What to optimize; see `Optimizer`.
    lr : float or Tensor with one element, default 0.001
        The learning rate.
    momentum : float, default 0
        How much of the last step is kept.
    dampening : float, default 0
        How much of the gradient is kept out of the momentum.
    weight_decay : float, default 0
        The coefficient of an L2 penalty.
    nesterov : bool, default False
        Nesterov's form of momentum.
    maximize : bool, default False
        Go up instead of down.
    foreach : bool, optional
        Accepted for PyTorch's sake; without effect.
    differentiable : bool, default False
        Let autograd record the step. The parameters then must not be leaves
        that require gradients.
    fused : bool, optional
        Accepted for PyTorch's sake; without effect.

    Raises
    ------
    ValueError
        If an option is negative, or Nesterov momentum is asked for without
        momentum or with dampening.
    RuntimeError
        If `fused` is combined with `foreach` or `differentiable`.

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
        check_lr(lr)
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._complete({"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the gradients anew and returns the loss.

        Returns
        -------
        Tensor or float or None
            What `closure` returned.
        """
        loss = None if closure is None else self._evaluate(closure)
        for group in self.param_groups:
            if group["momentum"] == 0:
                params, grads = with_grad(group["params"])
                buffers = ()
            else:
                found = with_grad(group["params"], self.state, _KEYS)
                if found is None:
                    self._first_step(group)
                    continue
                params, grads, buffers = found
            _step(group, params, grads, buffers, False)
        return loss

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
