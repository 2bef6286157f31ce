"""Losses as functions. (mse_loss, l1_loss and the binary cross entropies are in functional.py.)

`size_average` and `reduce`, which PyTorch deprecates, are accepted and decide the reduction when given.
"""

from __future__ import annotations

import math
import warnings

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import _reduction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pairwise_distance",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _code(size_average: bool | None, reduce: bool | None, reduction: str) -> int:
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce, stacklevel=5)
    return _reduction.get_enum(reduction)


def _reduced(loss: Tensor, code: int) -> Tensor:
    return loss.mean() if code == 1 else loss.sum() if code == 2 else loss


def _broadcast(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Broadcast the two, with a warning when that changes anything."""
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
        input, target = tensorgrad.broadcast_tensors(input, target)
    return input, target


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy of logits and classes.

    Parameters
    ----------
    input : Tensor, shape (C,), (N, C) or (N, C, d1, ...)
        Logits.
    target : Tensor
        Classes, of the input's shape without C; or probabilities, of its shape.
    weight : Tensor, shape (C,), optional
        The weight of each class.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    ignore_index : int, default -100
        A target that counts nothing.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        The mean divides by the sum of the targets' weights.
    label_smoothing : float, default 0.0
        How much of a target is spread evenly over the classes.

    Returns
    -------
    Tensor, a scalar, or the shape of the targets for 'none'

    Notes
    -----
    -w_y log(exp(x_y) / sum_c exp(x_c)).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.cross_entropy(tensorgrad.zeros(1, 4), tensorgrad.tensor([2]))
    tensor(1.3863)
    """
    code = _code(size_average, reduce, reduction)
    return tensorgrad.cross_entropy(input, target, weight, code, ignore_index, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return minus the logarithms of the targets' probabilities: -w_y x_y, as `cross_entropy` of logarithms."""
    return tensorgrad.nll_loss(input, target, weight, _code(size_average, reduce, reduction), ignore_index)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return the divergence y (log(y) - x) of probabilities from logarithms; 'batchmean' divides by the batch size."""
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    code = 2 if reduction == "batchmean" else _reduction.get_enum(reduction)
    loss = tensorgrad.kl_div(input, target, code, log_target=log_target)
    return loss / input.shape[0] if reduction == "batchmean" and input.ndim else loss


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return (x - y)^2 / (2 beta) where abs(x - y) < beta, else abs(x - y) - beta / 2."""
    input, target = _broadcast(input, target)
    return tensorgrad.smooth_l1_loss(input, target, _code(size_average, reduce, reduction), float(beta))


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Return (x - y)^2 / 2 where abs(x - y) <= delta, else delta (abs(x - y) - delta / 2)."""
    input, target = _broadcast(input, target)
    if weight is None:
        return tensorgrad.huber_loss(input, target, _reduction.get_enum(reduction), float(delta))
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = tensorgrad.huber_loss(input, target, 0, float(delta)) * weight
    code = _reduction.get_enum(reduction)
    return loss.sum() / weight.sum() if code == 1 else _reduced(loss, code)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return exp(x) - y x, or x - y log(x + eps) without `log_input`.

    `full` adds Stirling's y log(y) - y + log(2 pi y) / 2 where y is above 1.
    """
    code = _code(size_average, reduce, reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        large = target > 1
        y = tensorgrad.where(large, target, 1.0)
        loss = loss + tensorgrad.where(large, y * y.log() - y + 0.5 * (2 * math.pi * y).log(), 0.0)
    return _reduced(loss, code)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return (log(v) + (x - y)^2 / v) / 2 with the variance v taken as at least eps; `full` adds log(2 pi) / 2."""
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * tensorgrad.ones_like(input)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif not (input.shape[:-1] == var.shape[:-1] and var.shape[-1] == 1) and not (
            input.ndim == var.ndim and all(v in (1, x) for v, x in zip(var.shape, input.shape, strict=True))
        ):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var + (var.clamp(min=eps) - var).detach()  # no derivative of the clamp, as in PyTorch
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduced(loss, _reduction.get_enum(reduction))


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return x where y is 1, and max(0, margin - x) where y is -1; any other y gets their sum."""
    # a target that is neither counts both, as in PyTorch
    positive = tensorgrad.where(target != -1, input, 0.0)
    negative = tensorgrad.where(target != 1, (margin - input).clamp_min(0), 0.0)
    return _reduced(positive + negative, _code(size_average, reduce, reduction))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return max(0, -y (x1 - x2) + margin)."""
    code = _code(size_average, reduce, reduction)
    if input1.ndim != input2.ndim or input1.ndim != target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return _reduced((-target * (input1 - input2) + margin).clamp_min(0), code)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return log(1 + exp(-y x))."""
    return _reduced(-tensorgrad.logsigmoid(target * input), _code(size_average, reduce, reduction))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean over the classes of the cross entropy of each class and its logit."""
    code = _code(size_average, reduce, reduction)
    loss = -(target * tensorgrad.logsigmoid(input) + (1 - target) * tensorgrad.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss.mean(-1), code)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return sum_c w_y max(0, margin - x_y + x_c)^p / C over the classes other than y."""
    code = _code(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    _check_classes(input)
    x = input if input.ndim > 1 else input.reshape(1, -1)
    if target.ndim > 1 or target.numel() != x.shape[0]:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            "size). "
            f"Expected target size [{x.shape[0]}], but got {list(target.shape)}. Input has shape {list(input.shape)}."
        )
    if weight is not None and weight.numel() != x.shape[1]:
        raise RuntimeError(
            f"inconsistent weight size, expected {x.shape[1]} but got {list(weight.shape)} (multi_margin_loss)"
        )
    if target.dtype is not tensorgrad.int64:
        raise RuntimeError(
            f"expected scalar type Long but found {_scalar_type(target)} (multi_margin_loss: the target)"
        )
    y = target.reshape(-1)
    if y.numel() and not bool(((y >= 0) & (y < x.shape[1])).all()):
        raise RuntimeError(f"target out of range (multi_margin_loss: expected classes from 0 to {x.shape[1] - 1})")
    index = y.unsqueeze(1)
    loss = (margin - x.gather(1, index) + x).clamp_min(0)
    loss = loss if p == 1 else loss * loss
    if weight is not None:
        loss = loss * weight[y].unsqueeze(1)
    loss = loss.scatter(1, index, 0.0).sum(1) / x.shape[1]
    return _reduced(loss.reshape(target.shape), code)


def _scalar_type(x: Tensor) -> str:
    return x.type().rpartition(".")[2].removesuffix("Tensor")


def _check_classes(input: Tensor) -> None:
    """Raise unless `input` is one number, (C,) or (N, C) with classes."""
    if input.ndim > 2 or (input.ndim and not input.shape[-1]):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return sum_cj max(0, 1 - (x_yj - x_c)) / C over the targets yj before the first -1 and all other classes c."""
    code = _code(size_average, reduce, reduction)
    _check_classes(input)
    if target.shape != input.shape and not (input.numel() == target.numel() == 1 and max(input.ndim, target.ndim) < 2):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    x, y = (input, target) if input.ndim > 1 else (input.reshape(1, -1), target.reshape(1, -1))
    if y.numel() and not bool(((y >= -1) & (y < x.shape[1])).all()):
        raise RuntimeError(
            "argument #2 'target' is out of range (multilabel_margin_loss: expected classes from 0 to "
            f"{x.shape[1] - 1}, and -1 at the end)"
        )
    counted = ((y < 0).to(y.dtype).cumsum(1) == 0).to(x.dtype)  # (N, C): before the first -1
    index = y.clamp(min=0)
    is_target = tensorgrad.zeros_like(x.detach()).scatter_add(1, index, counted) > 0
    losses = (1 - x.gather(1, index).unsqueeze(2) + x.unsqueeze(1)).clamp_min(0)  # (N, target, class)
    losses = losses * counted.unsqueeze(2) * tensorgrad.where(is_target, 0.0, 1.0).to(x.dtype).unsqueeze(1)
    loss = losses.sum((1, 2)) / x.shape[1]
    return _reduced(loss if input.ndim > 1 else loss.squeeze(0), code)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return x1 . x2 over the product of their norms along a dimension, each norm taken as at least eps."""
    x1, x2 = tensorgrad.broadcast_tensors(x1, x2)
    norms = [x.norm(2, dim, keepdim=True).clamp_min(eps) for x in (x1, x2)]
    return ((x1 / norms[0]) * (x2 / norms[1])).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the p-norm of x1 - x2 + eps along the last dimension."""
    return tensorgrad.norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return 1 - cos(x1, x2) where y is 1, and max(0, cos(x1, x2) - margin) where y is -1."""
    code = _code(size_average, reduce, reduction)
    if target.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    epsilon = 1e-12
    products = (input1 * input2).sum(-1)
    cosine = products / ((input1 * input1).sum(-1) + epsilon).mul((input2 * input2).sum(-1) + epsilon).sqrt()
    positive = tensorgrad.where(target == 1, 1 - cosine, 0.0)
    negative = tensorgrad.where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return _reduced(positive + negative, code)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return max(0, d(anchor, positive) - d(anchor, negative) + margin) with d the p-norm of the difference.

    With `swap` the distance of the positive and the negative takes the second one's place where it is smaller.
    """
    code = _code(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(
        anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, code
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with another distance."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    code = _reduction.get_enum(reduction)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(anchor, positive, negative, distance, margin, swap, code)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    code: int,
) -> Tensor:
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = tensorgrad.minimum(far, distance(positive, negative))
    return _reduced((near - far + margin).clamp_min(0), code)
