"""Layers and losses as functions, without modules."""

from __future__ import annotations

import warnings

import tensorgrad
from tensorgrad import Tensor, linear, sigmoid, tanh
from tensorgrad_nn import (
    _functional_activation,
    _functional_attention,
    _functional_ctc,
    _functional_layers,
    _functional_loss,
    _reduction,
)
from tensorgrad_nn._functional_activation import *  # noqa: F403
from tensorgrad_nn._functional_attention import *  # noqa: F403
from tensorgrad_nn._functional_ctc import *  # noqa: F403
from tensorgrad_nn._functional_layers import *  # noqa: F403
from tensorgrad_nn._functional_loss import *  # noqa: F403

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "dropout",
    "l1_loss",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
__all__ += _functional_activation.__all__
__all__ += _functional_attention.__all__
__all__ += _functional_ctc.__all__
__all__ += _functional_layers.__all__
__all__ += _functional_loss.__all__


# Activations


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Set what is negative to zero.

    Parameters
    ----------
    input : Tensor, any shape
        The values.
    inplace : bool, default False
        Overwrite `input`.

    Returns
    -------
    Tensor, the shape and dtype of `input`

    Notes
    -----
    max(x, 0); the derivative at 0 is 0.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.relu(tensorgrad.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return tensorgrad.relu_(input) if inplace else tensorgrad.relu(input)


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Turn values into positive weights that sum to one along a dimension.

    Parameters
    ----------
    input : Tensor, any shape
        The values.
    dim : int
        The dimension. Leaving it out is deprecated.
    dtype : dtype, optional
        Convert `input` to it first, which guards float16 against overflow.

    Returns
    -------
    Tensor, the shape of `input`

    Notes
    -----
    exp(x_i) / sum_j exp(x_j), computed from x - max(x).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.softmax(tensorgrad.zeros(4), dim=0)
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    if dim is None:
        dim = _implicit_dim("softmax", input.ndim, _stacklevel)
    return tensorgrad.softmax(input, dim) if dtype is None else tensorgrad.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return the logarithm of `softmax`, without its loss of precision.

    Parameters
    ----------
    input : Tensor, any shape
        The values.
    dim : int
        The dimension. Leaving it out is deprecated.
    dtype : dtype, optional
        Convert `input` to it first.

    Returns
    -------
    Tensor, the shape of `input`

    Notes
    -----
    x_i - log(sum_j exp(x_j)), computed from x - max(x).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.log_softmax(tensorgrad.zeros(1), dim=0)
    tensor([0.])
    """
    if dim is None:
        dim = _implicit_dim("log_softmax", input.ndim, _stacklevel)
    return (
        tensorgrad.log_softmax(input, dim)
        if dtype is None
        else tensorgrad.log_softmax(input, dim, dtype=dtype)
    )


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each element to zero with probability `p`, and scale the others up.

    Parameters
    ----------
    input : Tensor, any shape, floating point
        The values.
    p : float, default 0.5
        The probability, from 0 to 1.
    training : bool, default True
        If False, `input` is returned as it is.
    inplace : bool, default False
        Overwrite `input`.

    Returns
    -------
    Tensor, the shape and dtype of `input`

    Raises
    ------
    ValueError
        If `p` is not a probability.

    Notes
    -----
    x_i b_i / (1 - p) with b_i drawn from Bernoulli(1 - p), so that the
    expectation is x_i [1]_.

    .. [1] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural
       Networks from Overfitting", JMLR 15 (2014).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.dropout(tensorgrad.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return tensorgrad.dropout_(input, p, training) if inplace else tensorgrad.dropout(input, p, training)


# Losses


def _same_shapes(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Broadcast the two, with a warning when that changes anything."""
    if not tensorgrad.is_same_size(input, target):
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
        return tensorgrad.broadcast_tensors(input, target)
    return input, target


def _reduced(loss: Tensor, code: int) -> Tensor:
    return loss.mean() if code == 1 else loss.sum() if code == 2 else loss


def _weighted(loss: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Reduce with weights; a mean divides by the sum of the weights."""
    if weight.shape != loss.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.sum() / weight.sum()
    raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the squared error.

    Parameters
    ----------
    input : Tensor, any shape
        The prediction.
    target : Tensor, the shape of `input`
        What it should be.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.
    weight : Tensor, the shape of `input`, optional
        The weight of each element.

    Returns
    -------
    Tensor, a scalar, or the shape of `input` for 'none'

    Raises
    ------
    ValueError
        If `reduction` is none of the three or `weight` has another shape.

    Warns
    -----
    UserWarning
        If the shapes differ and are broadcast.

    Notes
    -----
    (x - y)^2; the weighted mean is sum(w (x - y)^2) / sum(w).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.mse_loss(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 4.0]))
    tensor(2.)
    """
    input, target = _same_shapes(input, target)
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    if weight is not None:
        return _weighted(tensorgrad.mse_loss(input, target, 0), weight, reduction)
    return tensorgrad.mse_loss(input, target, _reduction.get_enum(reduction))


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the absolute error.

    Parameters
    ----------
    input : Tensor, any shape
        The prediction.
    target : Tensor, the shape of `input`
        What it should be.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.
    weight : Tensor, the shape of `input`, optional
        The weight of each element.

    Returns
    -------
    Tensor, a scalar, or the shape of `input` for 'none'

    Raises
    ------
    ValueError
        If `reduction` is none of the three or `weight` has another shape.

    Warns
    -----
    UserWarning
        If the shapes differ and are broadcast.

    Notes
    -----
    abs(x - y); the derivative where x = y is 0.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.l1_loss(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 4.0]))
    tensor(1.)
    """
    input, target = _same_shapes(input, target)
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    if weight is not None:
        return _weighted((input - target).abs(), weight, reduction)
    code = _reduction.get_enum(reduction)
    return _reduced((input - target).abs(), code)


class BinaryCrossEntropy(tensorgrad.autograd.Function):
    """-(y log(x) + (1 - y) log(1 - x)), element by element, finite also where x is 0 or 1.

    A function of its own because the derivative of the clamped logarithms
    would be 0 * inf there.
    """

    @staticmethod
    def forward(input: Tensor, target: Tensor) -> Tensor:
        log_input = input.log().clamp(min=-100)
        log_other = (1 - input).log().clamp(min=-100)
        return (target - 1) * log_other - target * log_input

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)
        ctx.set_materialize_grads(False)  # no tangent is not a tangent of zeros: zero times infinity would be nan

    @staticmethod
    def jvp(ctx: Any, input_t: Tensor | None, target_t: Tensor | None) -> Tensor | None:
        input, target = ctx.saved_tensors
        tangent = None
        if input_t is not None:
            tangent = input_t * (input - target) / ((1 - input) * input).clamp(min=1e-12)
        if target_t is not None:
            of_target = target_t * ((1 - input).log() - input.log())
            tangent = of_target if tangent is None else tangent + of_target
        return tangent

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        input, target = ctx.saved_tensors
        grad_input = grad_target = None
        if ctx.needs_input_grad[0]:
            grad_input = grad * (input - target) / ((1 - input) * input).clamp(min=1e-12)
        if ctx.needs_input_grad[1]:
            grad_target = grad * ((1 - input).log() - input.log())
        return grad_input, grad_target


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross entropy between probabilities.

    Parameters
    ----------
    input : Tensor, any shape, floating point
        Probabilities, from 0 to 1.
    target : Tensor, the shape of `input`
        Probabilities that they should be.
    weight : Tensor, broadcastable to `input`, optional
        The weight of each element.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.

    Returns
    -------
    Tensor, a scalar, or the shape of `input` for 'none'

    Raises
    ------
    ValueError
        If the shapes differ or `reduction` is none of the three.
    RuntimeError
        If an element of `input` is not a probability.

    Notes
    -----
    -w (y log(x) + (1 - y) log(1 - x)). The logarithms are taken as at least
    -100, and x (1 - x) in the derivative as at least 1e-12, so that both are
    finite for x = 0 and x = 1, as in PyTorch. From logits,
    `binary_cross_entropy_with_logits` is more precise.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.binary_cross_entropy(tensorgrad.tensor([0.5]), tensorgrad.tensor([1.0]))
    tensor(0.6931)
    """
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    code = _reduction.get_enum(reduction)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is "
            "deprecated. Please ensure they have the same size."
        )
    probabilities = input.detach()
    # Asked in this form, NaN is refused too.
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise RuntimeError("all elements of input should be between 0 and 1")
    loss = BinaryCrossEntropy.apply(input, target)
    if weight is not None:
        loss = loss * weight.expand(target.shape)
    return _reduced(loss, code)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the cross entropy between probabilities, the first given as logits.

    Parameters
    ----------
    input : Tensor, any shape, floating point
        Logits.
    target : Tensor, the shape of `input`
        Probabilities that their sigmoid should be.
    weight : Tensor, broadcastable to `input`, optional
        The weight of each element.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.
    pos_weight : Tensor, broadcastable to `input`, optional
        The weight of the positive part.

    Returns
    -------
    Tensor, a scalar, or the shape of `input` for 'none'

    Raises
    ------
    ValueError
        If the shapes differ or `reduction` is none of the three.

    Notes
    -----
    -w (p y log(s(x)) + (1 - y) log(1 - s(x))) with the sigmoid s, computed
    from log(1 + exp(-abs(x))), which neither overflows nor loses digits.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.binary_cross_entropy_with_logits(tensorgrad.zeros(3), tensorgrad.ones(3))
    tensor(0.6931)
    """
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    code = _reduction.get_enum(reduction)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    return tensorgrad.binary_cross_entropy_with_logits(input, target, weight, pos_weight, code)
