"""Adagrad."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor, _fused_adagrad_  # type: ignore[attr-defined]
from tensorgrad.autograd import with_grad
from tensorgrad_optim._checks import check_fused, check_lr, check_not_negative
from tensorgrad_optim.optimizer import Optimizer, scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["Adagrad"]

_KEYS = ("sum", "step")


class Adagrad(Optimizer):
    """Divides by the size of all gradients so far.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor), or of dict
        What to optimize; see `Optimizer`.
    lr : float or Tensor with one element, default 0.01
        The learning rate.
    lr_decay : float, default 0
        How the learning rate decays with the number of steps.
    weight_decay : float, default 0
        The coefficient of an L2 penalty.
    initial_accumulator_value : float, default 0
        What the sum of squares begins with.
    eps : float, default 1e-10
        Added to the denominator.
    foreach
        Accepted for PyTorch's sake; without effect.
    maximize : bool, default False
        Go up instead of down.
    differentiable : bool, default False
        Let autograd record the step. The parameters then must not be leaves
        that require gradients.
    fused : bool, optional
        Accepted for PyTorch's sake: the step always is, unless it is differentiable.

    Raises
    ------
    ValueError
        If an option is out of its range.
    RuntimeError
        If `fused` is combined with `foreach` or `differentiable`.

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
        check_lr(lr)
        check_not_negative("lr_decay", lr_decay)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("initial_accumulator_value", initial_accumulator_value)
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                self._start(group, param)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._complete({"foreach": None, "maximize": False, "differentiable": False, "fused": None})

    def _start(self, group: dict[str, Any], param: Tensor) -> None:
        start = group["initial_accumulator_value"]
        self.state[param].update(
            step=scalar(0),
            sum=tensorgrad.full_like(
                param, complex(start, start) if param.is_complex() else start, requires_grad=False
            ),
        )

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
        return loss
