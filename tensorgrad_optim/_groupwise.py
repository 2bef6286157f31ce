"""What the algorithms share: they step group by group, and those written in operators parameter by parameter."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad.autograd import with_grad
from tensorgrad_optim._checks import number_of
from tensorgrad_optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar


class GroupwiseOptimizer(Optimizer):
    """Steps group by group: a subclass defines `_step_group`."""

    # What groups of older files may lack, and what was a Python number in them.
    _added_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False, "differentiable": False}
    _numbers: tuple[str, ...] = ("step",)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._complete(self._added_options, self._numbers)

    def _step_group(self, group: dict[str, Any]) -> None:
        """Change the parameters of one group that have a gradient."""
        raise NotImplementedError

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
            self._step_group(group)
        return loss


class ElementwiseOptimizer(GroupwiseOptimizer):
    """Steps parameter by parameter: a subclass defines `_start` and `_update`."""

    _added_options: ClassVar[dict[str, Any]] = {**GroupwiseOptimizer._added_options, "capturable": False}

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        """Return the state of a parameter before its first step."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        """Do one step of one parameter in place; `grad` has the sign of descent."""
        raise NotImplementedError

    def _step_group(self, group: dict[str, Any]) -> None:
        maximize = group["maximize"]
        with tensorgrad.set_grad_enabled(self.defaults["differentiable"]):
            for param, grad in zip(*with_grad(group["params"])):
                state = self.state[param]
                if not state:
                    state.update(self._start(group, param))
                self._update(group, param, -grad if maximize else grad, state)


def zeros(param: Tensor, *names: str) -> dict[str, Tensor]:
    """Return state that begins with zero: a tensor like the parameter for each name."""
    return {name: tensorgrad.zeros_like(param, requires_grad=False) for name in names}


def filled(param: Tensor, value: float) -> Tensor:
    """Return state that begins with a number: the parts of a complex parameter step on their own."""
    return tensorgrad.full_like(param, complex(value, value) if param.is_complex() else value, requires_grad=False)


def real(x: Tensor) -> Tensor:
    """Return the real and imaginary parts of a complex tensor as a view, for algorithms that take them one by one."""
    return tensorgrad.view_as_real(x) if x.is_complex() else x


def decayed(grad: Tensor, param: Tensor, weight_decay: Any) -> Tensor:
    """Add the gradient of the L2 penalty."""
    if isinstance(weight_decay, Tensor):  # its derivative saves the parameter, which the step overwrites
        return grad + weight_decay * param.clone()
    return grad if weight_decay == 0 else grad + weight_decay * param


def kept(group: dict[str, Any], x: Tensor) -> Tensor:
    """Return what may be saved for a derivative of the step: a later step overwrites `x`."""
    return x.clone() if group["differentiable"] else x


def moments(
    group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]
) -> tuple[float, Tensor, Tensor, Tensor, Tensor]:
    """Begin a step as Adam does: count it, decay the weights, move the averages of the gradient and of its square.

    Returns the number of the step, and the parameter, the gradient and both averages as real tensors.
    """
    beta1, beta2 = group["betas"]
    step = state["step"].add_(1).item()
    if group["decoupled_weight_decay"]:
        param.mul_(1 - number_of(group["lr"]) * group["weight_decay"])
    else:
        grad = decayed(grad, param, group["weight_decay"])
    param, grad = real(param), real(grad)
    average, square = real(state["exp_avg"]), real(state["exp_avg_sq"])
    average.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    return step, param, grad, average, square
