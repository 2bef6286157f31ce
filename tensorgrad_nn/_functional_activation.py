"""Activations as functions. (The common ones are in functional.py.)"""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor, gelu, logsigmoid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "normalize",
    "prelu",
    "relu6",
    "rrelu",
    "selu",
    "silu",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
]


def _into(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    """Write a result that was computed on a copy over the input, if that is wished for."""
    return input.copy_(result) if inplace else result


def _source(input: Tensor, inplace: bool) -> Tensor:
    """What a result may be computed from when `input` is to be overwritten: derivatives need the old values."""
    return input.clone() if inplace else input


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, else alpha (exp(x) - 1)."""
    return tensorgrad.elu_(input, alpha) if inplace else tensorgrad.elu(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu` with the scale and alpha that keep mean 0 and variance 1."""
    return tensorgrad.selu_(input) if inplace else tensorgrad.selu(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    return tensorgrad.celu_(input, alpha) if inplace else tensorgrad.celu(input, alpha)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, else negative_slope x.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.leaky_relu(tensorgrad.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    if inplace:
        return tensorgrad.leaky_relu_(input, negative_slope)
    return tensorgrad.leaky_relu(input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where it is positive, else weight x, with one weight for all or one for each channel (dimension 1)."""
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
    shape = [1] * input.ndim
    if input.ndim > 1:
        shape[1] = -1
    return tensorgrad.where(input > 0, input, input * weight.reshape(shape))


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where it is positive, else a x, with a drawn from U(lower, upper) in training and their mean otherwise."""
    if lower > upper:
        raise RuntimeError(
            f"Lower bound should be less than or equal to the upper bound, got {lower} and {upper} (rrelu)"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    x = _source(input, inplace)
    slope = tensorgrad.rand_like(x.detach()) * (upper - lower) + lower
    return _into(input, tensorgrad.where(x > 0, x, x * slope), inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val)."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if inplace:
        return tensorgrad.hardtanh_(input, min_val, max_val)
    return tensorgrad.hardtanh(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return tensorgrad.relu6_(input) if inplace else tensorgrad.relu6(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    result = tensorgrad.relu6(_source(input, inplace) + 3) / 6
    return _into(input, result, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(x + 3, 0), 6) / 6."""
    x = _source(input, inplace)
    return _into(input, x * tensorgrad.relu6(x + 3) / 6, inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where its absolute value is above lambd, else 0."""
    return tensorgrad.where((input >= -lambd) & (input <= lambd), 0.0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where it would cross it."""
    if not lambd >= 0:
        raise RuntimeError(
            f"lambda must be in range [0, {tensorgrad.finfo(input.dtype).max:g}] for input dtype "
            f"{input.type().rpartition('.')[2].removesuffix('Tensor')}, but found {lambd:g}"
        )
    return tensorgrad.where(input > lambd, input - lambd, tensorgrad.where(input < -lambd, input + lambd, input * 0.0))


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - tensorgrad.tanh(input)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + abs(x)).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.softsign(tensorgrad.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return input / (input.abs() + 1)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x where beta x is above the threshold."""
    return tensorgrad.softplus(input, beta, threshold)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)."""
    return tensorgrad.silu_(input) if inplace else tensorgrad.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x))."""
    return tensorgrad.mish_(input) if inplace else tensorgrad.mish(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above the threshold, else value."""
    if inplace:
        return tensorgrad.threshold_(input, threshold, value)
    return tensorgrad.threshold(input, threshold, value)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of a dimension times the sigmoid of the second."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    return tensorgrad.glu(input, dim)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """`softmax` of -x."""
    from_below = -input if dtype is None else -input.to(dtype)
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
    return tensorgrad.softmax(from_below, dim)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """`softmax` of (x + g) / tau with g drawn from Gumbel(0, 1); one-hot in the forward direction if `hard`.

    Notes
    -----
    Jang, Gu and Poole, arXiv:1611.01144.
    """
    gumbels = -tensorgrad.empty_like(logits).exponential_().log()
    soft = tensorgrad.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = tensorgrad.zeros_like(logits).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Divide by the p-norm along a dimension, taken as at least eps.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.normalize(tensorgrad.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    return input / tensorgrad.norm(input, p, dim, keepdim=True).clamp_min(eps).expand_as(input)
