"""Activations as modules."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn.module import Module

__all__ = ["LogSoftmax", "ReLU", "Sigmoid", "Softmax", "Tanh"]


class ReLU(Module):
    """max(x, 0), element by element.

    Parameters
    ----------
    inplace : bool, default False
        Overwrite the input.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.ReLU()(tensorgrad.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return F.relu(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        """Return 'inplace=True' or nothing."""
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element by element.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Sigmoid()(tensorgrad.zeros(2))
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return tensorgrad.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent, element by element.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Tanh()(tensorgrad.zeros(2))
    tensor([0., 0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return tensorgrad.tanh(input)


class _AlongDim(Module):
    """An activation that works along one dimension."""

    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """Return the dimension."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """Positive weights that sum to one: exp(x_i) / sum_j exp(x_j).

    Parameters
    ----------
    dim : int
        The dimension of the sum. Leaving it out is deprecated.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Softmax(dim=1)(tensorgrad.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return F.softmax(input, self.dim, _stacklevel=5)


class LogSoftmax(_AlongDim):
    """The logarithm of Softmax: x_i - log(sum_j exp(x_j)).

    Parameters
    ----------
    dim : int
        The dimension of the sum. Leaving it out is deprecated.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.LogSoftmax(dim=0)(tensorgrad.zeros(1))
    tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to `input`, of any shape."""
        return F.log_softmax(input, self.dim, _stacklevel=5)
