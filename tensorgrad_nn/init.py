"""Filling a tensor with initial values.

All functions change the tensor in place, without recording it for autograd,
and return it.
"""

from __future__ import annotations

import math
import warnings

import tensorgrad
from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_LINEAR = frozenset(
    [
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "sigmoid",
    ]
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a nonlinearity wants its weights larger.

    Parameters
    ----------
    nonlinearity : str
        'linear', 'conv1d' and its like, 'sigmoid', 'tanh', 'relu', 'leaky_relu' or 'selu'.
    param : float, optional
        The negative slope of 'leaky_relu', 0.01 when left out.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the nonlinearity is unknown or the slope is not a number.

    Notes
    -----
    1 for linear maps and the sigmoid, 5/3 for tanh, sqrt(2) for ReLU,
    sqrt(2 / (1 + slope^2)) for leaky ReLU, 3/4 for SELU, as in PyTorch.

    Examples
    --------
    >>> import tensorgrad_nn as nn
    >>> nn.init.calculate_gain("leaky_relu", 1)
    1.0
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity != "leaky_relu":
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    if param is None:
        param = 0.01
    elif isinstance(param, bool) or not isinstance(param, (int, float)):
        raise ValueError(f"negative_slope {param} not a valid number")
    return math.sqrt(2.0 / (1 + param**2))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Draw from the uniform distribution on [a, b).

    Parameters
    ----------
    tensor : Tensor, any shape, floating point
        Changed in place.
    a, b : float
        The bounds.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> bool((nn.init.uniform_(tensorgrad.empty(100), 1.0, 2.0) >= 1).all())
    True
    """
    with tensorgrad.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Draw from the normal distribution.

    Parameters
    ----------
    tensor : Tensor, any shape, floating point
        Changed in place.
    mean, std : float
        Mean and standard deviation.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.normal_(tensorgrad.empty(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    with tensorgrad.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Draw from the normal distribution, restricted to [a, b].

    Parameters
    ----------
    tensor : Tensor, any shape, floating point
        Changed in place.
    mean, std : float
        Mean and standard deviation before the restriction.
    a, b : float
        The bounds.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    RuntimeError
        If a > b.

    Warns
    -----
    UserWarning
        If the mean is more than two standard deviations outside of [a, b].

    Notes
    -----
    By inversion: mean + std sqrt(2) erfinv(u) with u uniform between
    erf((a - mean) / (std sqrt(2))) and the same for b. Far out in the tail,
    by rejection.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> bool((nn.init.trunc_normal_(tensorgrad.empty(100)).abs() <= 2).all())
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    if a > b:
        raise RuntimeError(f"trunc_normal_ expects to return a [a, b] range, but found a={a} > b={b}")
    with tensorgrad.no_grad():
        if std == 0:
            return tensor.fill_(min(max(mean, a), b))
        std = abs(std)
        scale = std * math.sqrt(2.0)
        low, high = math.erf((a - mean) / scale), math.erf((b - mean) / scale)
        if high - low < 1e-3:
            return _draw_tail_(tensor, mean, std, a, b, generator)
        tensor.uniform_(low, high, generator=generator)
        tensor.erfinv_().mul_(scale).add_(mean)
        # Rounding, or erfinv(1) = inf, can pass the bounds.
        return tensor.clamp_(min=a, max=b)


def _draw_tail_(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Tensor:
    """Draw by rejection where the normal distribution function has too few digits to be inverted."""
    peak = min(max(mean, a), b)
    nearest = (peak - mean) / std
    # Farther out the density is below exp(-40) of its peak: nothing would be accepted there.
    reach = std * math.sqrt(nearest**2 + 80)
    a, b = max(a, mean - reach), min(b, mean + reach)
    chance = tensorgrad.empty_like(tensor)
    pending = tensorgrad.ones_like(tensor, dtype=tensorgrad.bool)
    while bool(pending.any()):
        proposal = tensorgrad.empty_like(tensor).uniform_(a, b, generator=generator)
        density = ((nearest**2 - ((proposal - mean) / std) ** 2) / 2).exp()
        accepted = pending & (chance.uniform_(0, 1, generator=generator) < density)
        tensor.copy_(tensorgrad.where(accepted, proposal, tensor))
        pending = pending & ~accepted
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with a value.

    Parameters
    ----------
    tensor : Tensor, any shape and dtype
        Changed in place.
    val : float
        The value.

    Returns
    -------
    Tensor
        `tensor`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.constant_(tensorgrad.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    with tensorgrad.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1.

    Parameters
    ----------
    tensor : Tensor, any shape and dtype
        Changed in place.

    Returns
    -------
    Tensor
        `tensor`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.ones_(tensorgrad.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0.

    Parameters
    ----------
    tensor : Tensor, any shape and dtype
        Changed in place.

    Returns
    -------
    Tensor
        `tensor`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.zeros_(tensorgrad.empty(2))
    tensor([0., 0.])
    """
    with tensorgrad.no_grad():
        return tensor.zero_()


def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity.

    Parameters
    ----------
    tensor : Tensor, two dimensions
        Changed in place.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If it does not have two dimensions.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.eye_(tensorgrad.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with tensorgrad.no_grad():
        tensor.zero_().diagonal().fill_(1)
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Return how many inputs an output depends on, and how many outputs an input reaches."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    # The dimensions after the second are those of a convolution's window.
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """Return the standard deviation of `kaiming_*`; None for an empty tensor, with a warning."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Draw uniformly with the variance that balances forward and backward pass.

    Parameters
    ----------
    tensor : Tensor, at least two dimensions, floating point
        Changed in place.
    gain : float, default 1
        A factor; see `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If it has fewer than two dimensions.

    Notes
    -----
    U(-c, c) with c = gain sqrt(6 / (fan_in + fan_out)) [1]_.

    .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training
       deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> bool((nn.init.xavier_uniform_(tensorgrad.empty(3, 3)).abs() <= 1).all())
    True
    """
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Draw normally with the variance that balances forward and backward pass.

    Parameters
    ----------
    tensor : Tensor, at least two dimensions, floating point
        Changed in place.
    gain : float, default 1
        A factor; see `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If it has fewer than two dimensions.

    Notes
    -----
    N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)); see `xavier_uniform_`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.xavier_normal_(tensorgrad.empty(3, 5)).shape
    tensorgrad.Size([3, 5])
    """
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Draw uniformly with the variance that keeps activations in scale under ReLU.

    Parameters
    ----------
    tensor : Tensor, at least two dimensions, floating point
        Changed in place.
    a : float, default 0
        The negative slope of leaky ReLU.
    mode : {'fan_in', 'fan_out'}, default 'fan_in'
        Keep the scale in the forward or in the backward pass.
    nonlinearity : str, default 'leaky_relu'
        As for `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If it has fewer than two dimensions, or mode or nonlinearity is unknown.

    Notes
    -----
    U(-c, c) with c = gain sqrt(3 / fan) [1]_.

    .. [1] K. He et al., "Delving Deep into Rectifiers", ICCV 2015.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.kaiming_uniform_(tensorgrad.empty(3, 5), nonlinearity="relu").shape
    tensorgrad.Size([3, 5])
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Draw normally with the variance that keeps activations in scale under ReLU.

    Parameters
    ----------
    tensor : Tensor, at least two dimensions, floating point
        Changed in place.
    a : float, default 0
        The negative slope of leaky ReLU.
    mode : {'fan_in', 'fan_out'}, default 'fan_in'
        Keep the scale in the forward or in the backward pass.
    nonlinearity : str, default 'leaky_relu'
        As for `calculate_gain`.
    generator : Generator, optional
        Where the random numbers come from.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ValueError
        If it has fewer than two dimensions, or mode or nonlinearity is unknown.

    Notes
    -----
    N(0, s^2) with s = gain / sqrt(fan); see `kaiming_uniform_`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.init.kaiming_normal_(tensorgrad.empty(3, 5), mode="fan_out").shape
    tensorgrad.Size([3, 5])
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)
