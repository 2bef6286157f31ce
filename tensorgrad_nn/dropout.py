"""Dropout."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn.module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


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


class Dropout1d(Dropout):
    """In training, sets each channel of the last dimension to zero with probability `p`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, (N, C, ...) or (C, ...)."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(Dropout):
    """In training, sets each channel of the last two dimensions to zero with probability `p`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, (N, C, ...) or (C, ...)."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(Dropout):
    """In training, sets each channel of the last three dimensions to zero with probability `p`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, (N, C, ...) or (C, ...)."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(Dropout):
    """Dropout that keeps mean and variance of what `SELU` gives; see `functional.alpha_dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)
