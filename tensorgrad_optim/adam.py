"""Adam and AdamW."""

from __future__ import annotations

from tensorgrad import Tensor, _fused_adam_, _fused_adamw_  # type: ignore[attr-defined]
from tensorgrad.autograd import with_grad
from tensorgrad_optim._checks import check_fused, checked
from tensorgrad_optim._documentation import documented
from tensorgrad_optim._groupwise import GroupwiseOptimizer, zeros
from tensorgrad_optim.optimizer import scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar

__all__ = ["Adam", "AdamW"]

_KEYS = ("exp_avg", "exp_avg_sq", "step")
_AMSGRAD_KEYS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")


@documented
class Adam(GroupwiseOptimizer):
    """Adaptive moment estimation.

    Parameters
    ----------
    {params}
    {lr=0.001}
    betas : pair of float, or of Tensor with one element, default (0.9, 0.999)
        How much the running averages of the gradient and of its square keep.
    {eps=1e-8}
    weight_decay : float, default 0
        The coefficient of an L2 penalty, or of the decay if that is decoupled.
    amsgrad : bool, default False
        Divide by the largest average of squares so far [2]_.
    {without_effect=foreach, capturable}
    {directions}
    {fused}
    decoupled_weight_decay : bool, default False
        Shrink the parameters instead of changing the gradient [3]_; see `AdamW`.

    Raises
    ------
    {out_of_range}
    {fused_combined}

    Notes
    -----
    At step t, with gradient g and parameter p::

        g = -g                                     if maximize
        g = g + weight_decay p                     or, decoupled, p = p - lr weight_decay p
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        h = max(h, v)                              if amsgrad, else h = v
        p = p - lr / (1 - beta1^t) m / (sqrt(h / (1 - beta2^t)) + eps)

    as in [1]_ and documented for `torch.optim.Adam` (PyTorch 2.13). The parts of a complex
    parameter are treated as two real ones.

    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [2] S. J. Reddi et al., "On the convergence of Adam and beyond", ICLR 2018.
    .. [3] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.Adam([weight], lr=0.25)
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    _added_options: ClassVar[dict[str, Any]] = {
        **GroupwiseOptimizer._added_options,
        "amsgrad": False,
        "capturable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        options = checked(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize, foreach=foreach,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=decoupled_weight_decay,
        )
        if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        for place, beta in enumerate(betas):
            if isinstance(beta, Tensor):
                if foreach and not capturable:
                    raise ValueError(
                        f"betas[{place}] as a Tensor is not supported for capturable=False and foreach=True"
                    )
                if beta.numel() != 1:
                    raise ValueError(f"Tensor betas[{place}] must be 1-element")
        super().__init__(params, options)
        check_fused(fused, foreach, differentiable)

    def _step_group(self, group: dict[str, Any]) -> None:
        amsgrad = group["amsgrad"]
        keys = _AMSGRAD_KEYS if amsgrad else _KEYS
        found = with_grad(group["params"], self.state, keys)
        if found is None:
            self._start(group)
            found = with_grad(group["params"], self.state, keys)
        beta1, beta2 = group["betas"]
        (_fused_adamw_ if group["decoupled_weight_decay"] else _fused_adam_)(
            found[0],
            found[1],
            found[2],
            found[3],
            found[4] if amsgrad else (),
            found[-1],
            group["lr"],
            beta1,
            beta2,
            group["weight_decay"],
            group["eps"],
            amsgrad,
            group["maximize"],
            None,
            None,
            True,
            group["differentiable"],
        )

    def _start(self, group: dict[str, Any]) -> None:
        """Make the state of parameters whose first gradient this is."""
        for param in with_grad(group["params"])[0]:
            state = self.state[param]
            if not state:
                state.update(step=scalar(0), **zeros(param, "exp_avg", "exp_avg_sq"))
            if group["amsgrad"] and "max_exp_avg_sq" not in state:
                state.update(zeros(param, "max_exp_avg_sq"))


@documented
class AdamW(Adam):
    """Adam with decoupled weight decay.

    Parameters
    ----------
    {params}
    lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused
        As for `Adam`.
    weight_decay : float, default 0.01
        Each step multiplies the parameters by 1 - lr weight_decay.

    Notes
    -----
    `Adam` with `decoupled_weight_decay=True`, which see for the formula and its sources.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = optim.AdamW([weight], lr=0.25, weight_decay=1)
    >>> (weight * 0).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Files of Adam, and of AdamW before it had the option, are decoupled too once they are here.
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
