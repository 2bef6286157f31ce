"""ElementwiseOptimizer: what the algorithms that are written in operators have in common."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad.autograd import with_grad
from tensorgrad_optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar


class ElementwiseOptimizer(Optimizer):
    """Steps parameter by parameter: a subclass defines `_start` and `_update`."""

    _added_options: ClassVar[dict[str, Any]] = {
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
    }
    _numbers: tuple[str, ...] = ("step",)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._complete(self._added_options, self._numbers)

    def _start(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        """Return the state of a parameter before its first step."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], param: Tensor, grad: Tensor, state: dict[str, Any]) -> None:
        """Do one step of one parameter in place; `grad` has the sign of descent."""
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
        with tensorgrad.set_grad_enabled(self.defaults["differentiable"]):
            for group in self.param_groups:
                maximize = group["maximize"]
                for param, grad in zip(*with_grad(group["params"])):
                    state = self.state[param]
                    if not state:
                        state.update(self._start(group, param))
                    self._update(group, param, -grad if maximize else grad, state)
        return loss


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
