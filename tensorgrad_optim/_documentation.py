"""What the docstrings of the optimizers have in common, written once."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _Class = TypeVar("_Class", bound=type)

_PARTS = {
    "params": """params : iterable of Tensor, of (str, Tensor), or of dict
    What to optimize; see `Optimizer`.""",
    "lr": """lr : float or Tensor with one element, default DEFAULT
    The learning rate.""",
    "betas": """betas : pair of float, default (0.9, 0.999)
    How much the running averages of the gradient and of its square keep.""",
    "eps": """eps : float, default DEFAULT
    Added to the denominator.""",
    "weight_decay": """weight_decay : float, default 0
    The coefficient of an L2 penalty.""",
    "decoupled_weight_decay": """decoupled_weight_decay : bool, default False
    Shrink the parameters, as `AdamW` does, instead of changing the gradient.""",
    "without_effect": """DEFAULT
    Accepted for PyTorch's sake; without effect.""",
    "directions": """maximize : bool, default False
    Go up instead of down.
differentiable : bool, default False
    Let autograd record the step. The parameters then must not be leaves
    that require gradients.""",
    "fused": """fused : bool, optional
    Accepted for PyTorch's sake: the step always is, unless it is differentiable.""",
    "out_of_range": """ValueError
    If an option is out of its range.""",
    "fused_combined": """RuntimeError
    If `fused` is combined with `foreach` or `differentiable`.""",
}
_PLACE = re.compile(r"^( *)\{(\w+)(?:=(.*))?\}$", re.MULTILINE)


def _part(place: re.Match[str]) -> str:
    indent, name, default = place.groups()
    return indent + _PARTS[name].replace("DEFAULT", default or "").replace("\n", "\n" + indent)


def documented(cls: _Class) -> _Class:
    """Fill the lines ``{name}`` and ``{name=default}`` of a docstring with the common part of that name."""
    if cls.__doc__:  # there is none under -OO
        cls.__doc__ = _PLACE.sub(_part, cls.__doc__)
    return cls
