"""Stochastic gradient descent."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["SGD"]


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
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
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
        if fused and differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            # Options that older files do not have.
            group.setdefault("nesterov", False)
            group.setdefault("maximize", False)
            group.setdefault("foreach", None)
            group.setdefault("differentiable", False)
            group.setdefault("fused", False)

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
        with tensorgrad.set_grad_enabled(self.defaults["differentiable"]):
            loss = None
            if closure is not None:
                with tensorgrad.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params, grads = [], []
        for param in group["params"]:
            grad = param.grad
            if grad is not None:
                params.append(param)
                grads.append(grad)
        momentum = group["momentum"]
        # Looked up only with momentum: state is a defaultdict, and plain SGD has none.
        buffers = [self.state[param].get("momentum_buffer") if momentum else None for param in params]
        _update(
            params,
            grads,
            buffers,
            lr=group["lr"],
            momentum=momentum,
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
        if momentum:
            for param, buffer in zip(params, buffers):
                self.state[param]["momentum_buffer"] = buffer


def _update(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor | None],
    *,
    lr: float | Tensor,
    momentum: float,
    dampening: float,
    weight_decay: float | Tensor,
    nesterov: bool,
    maximize: bool,
) -> None:
    """Do one step in place; buffers that are None are made."""
    for place, (param, grad) in enumerate(zip(params, grads)):
        if maximize:
            grad = -grad
        if isinstance(weight_decay, Tensor):
            grad = grad + param * weight_decay
        elif weight_decay:
            grad = grad.add(param, alpha=weight_decay)
        if momentum:
            buffer = buffers[place]
            if buffer is None:
                # A copy: backward accumulates into the gradient's memory.
                buffer = buffers[place] = grad.detach().clone()
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
            grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
        if isinstance(lr, Tensor):
            param.sub_(grad * lr)
        else:
            param.add_(grad, alpha=-lr)
