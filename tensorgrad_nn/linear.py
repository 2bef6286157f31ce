"""Identity, Linear and Bilinear."""

from __future__ import annotations

import math

import tensorgrad
from tensorgrad import Tensor, linear
from tensorgrad_nn import functional as F
from tensorgrad_nn import init
from tensorgrad_nn.module import Module
from tensorgrad_nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """Returns its input.

    Parameters
    ----------
    *args, **kwargs
        Ignored, so that it can stand where another layer was.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Identity(54, unused=True)(tensorgrad.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return `input`."""
        return input


class Linear(Module):
    """An affine map of the last dimension.

    Parameters
    ----------
    in_features : int
        The length of the last dimension of the input.
    out_features : int
        The length of the last dimension of the output.
    bias : bool, default True
        Whether there is an additive term.
    device : device or str, optional
        Where the parameters live.
    dtype : dtype, optional
        Their dtype, floating point or complex.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Notes
    -----
    y = x W^T + b. Both are drawn from U(-k, k) with k = in_features^-1/2,
    as in PyTorch.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> layer = nn.Linear(20, 30)
    >>> layer(tensorgrad.ones(128, 20)).shape
    tensorgrad.Size([128, 30])
    """

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(tensorgrad.empty((out_features, in_features), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(tensorgrad.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        # With a = sqrt(5), the bound of kaiming_uniform_ is in_features^-1/2.
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the map.

        Parameters
        ----------
        input : Tensor, shape (..., in_features)

        Returns
        -------
        Tensor, shape (..., out_features)
        """
        # Straight from where parameters are: `self.weight` takes the long way through __getattr__.
        parameters = self.__dict__["_parameters"]
        try:
            weight, bias = parameters["weight"], parameters["bias"]
        except KeyError:  # somebody has put something else in the place of a parameter
            weight, bias = self.weight, self.bias
        return linear(input, weight, bias)

    def extra_repr(self) -> str:
        """Return the sizes, and whether there is a bias."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """A map of two vectors that is linear in each of them, and a bias.

    Parameters
    ----------
    in1_features, in2_features : int
        The lengths of the last dimensions of the two inputs.
    out_features : int
        The length of the last dimension of the output.
    bias : bool, default True
        Whether there is an additive term.
    device : device or str, optional
        Where the parameters live.
    dtype : dtype, optional
        Their dtype, floating point or complex.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in1_features, in2_features)
    bias : Parameter, shape (out_features,), or None

    Notes
    -----
    y_k = x1^T W_k x2 + b_k. Both are drawn from U(-k, k) with k = in1_features^-1/2, as in PyTorch.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> layer = nn.Bilinear(20, 30, 40)
    >>> layer(tensorgrad.ones(128, 20), tensorgrad.ones(128, 30)).shape
    tensorgrad.Size([128, 40])
    """

    in1_features: int
    in2_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={in1_features})")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(tensorgrad.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(tensorgrad.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Apply the map.

        Parameters
        ----------
        input1, input2 : Tensor, shapes (..., in1_features) and (..., in2_features)

        Returns
        -------
        Tensor, shape (..., out_features)
        """
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes, and whether there is a bias."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
