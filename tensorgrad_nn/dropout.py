"""Dropout."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, sets each element to zero with probability `p` and scales the others by 1 / (1 - p).

    Parameters
    ----------
    p : float, default 0.5
        The probability, from 0 to 1.
    inplace : bool, default False
        Overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not a probability.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Dropout(0.2).eval()(tensorgrad.ones(2))
    tensor([1., 1.])
    """

    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Return both options."""
        return f"p={self.p}, inplace={self.inplace}"
