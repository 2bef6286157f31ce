"""Convolutions, pooling, normalisation, embedding and padding as functions."""

from __future__ import annotations

import math

import tensorgrad
from tensorgrad import (
    Tensor,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "embedding",
    "fold",
    "group_norm",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "rms_norm",
    "unfold",
]


# Pooling


def _max_pool(n: int, input: Tensor, args: tuple[Any, ...], return_indices: bool) -> Any:
    name = f"max_pool{n}d_with_indices" if return_indices else f"max_pool{n}d"
    return getattr(tensorgrad, name)(input, *args)


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of each window of the last dimension, and where it is if `return_indices`."""
    return _max_pool(1, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of each window of the last two dimensions, and where it is if `return_indices`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.max_pool2d(tensorgrad.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _max_pool(2, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of each window of the last three dimensions, and where it is if `return_indices`."""
    return _max_pool(3, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return `output_size` largest elements of windows that cover the last dimension."""
    result = tensorgrad.adaptive_max_pool1d(input, output_size)
    return result if return_indices else result[0]


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return `output_size` largest elements of windows that cover the last two dimensions."""
    result = tensorgrad.adaptive_max_pool2d(input, output_size)
    return result if return_indices else result[0]


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return `output_size` largest elements of windows that cover the last three dimensions."""
    result = tensorgrad.adaptive_max_pool3d(input, output_size)
    return result if return_indices else result[0]


def _many(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def _lp_pool(n: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    powers = getattr(tensorgrad, f"avg_pool{n}d")(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return (powers.sign() * powers.abs().relu() * math.prod(_many(kernel_size, n))).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum x^p)^(1/p) over each window of the last dimension."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum x^p)^(1/p) over each window of the last two dimensions."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Return (sum x^p)^(1/p) over each window of the last three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _max_unpool(
    n: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    kernel = _many(kernel_size, n)
    step = kernel if stride is None else _many(stride, n)
    sides = _many(padding, n)
    sizes = input.shape[input.ndim - n :]
    default = [(sizes[d] - 1) * step[d] + kernel[d] - 2 * sides[d] for d in range(n)]
    if output_size is None:
        target = default
    else:
        target = list(output_size)[-n:]
        if len(target) != n:
            raise ValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a length of "
                f"'{len(output_size)}'"
            )
        for d in range(n):
            if not default[d] - step[d] < target[d] < default[d] + step[d]:
                raise ValueError(f"invalid output_size '{output_size}' (dim {d} must be between "
                                 f"{default[d] - step[d]} and {default[d] + step[d]})")
    return getattr(tensorgrad, f"max_unpool{n}d")(input, indices, tuple(target))


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Return elements put back where `max_pool1d` found them, zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Return elements put back where `max_pool2d` found them, zeros elsewhere."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """Return elements put back where `max_pool3d` found them, zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# Normalisation


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return (x - mean) / sqrt(variance + eps) w + b over the last dimensions."""
    return tensorgrad.layer_norm(input, tuple(normalized_shape), weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Return x / sqrt(mean(x^2) + eps) w over the last dimensions."""
    return tensorgrad.rms_norm(input, tuple(normalized_shape), weight, eps)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return (x - mean) / sqrt(variance + eps) w + b over groups of channels."""
    return tensorgrad.group_norm(input, num_groups, weight, bias, eps)


def _more_than_one(size: Sequence[int]) -> None:
    if size[0] * math.prod(size[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {tensorgrad.Size(size)}"
        )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return (x - mean) / sqrt(variance + eps) w + b with each channel's mean and variance over the batch.

    In training the running ones follow; otherwise they are taken.
    """
    if training:
        _more_than_one(input.shape)
    return tensorgrad.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return (x - mean) / sqrt(variance + eps) w + b with each channel's mean and variance over each sample."""
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {tensorgrad.Size(input.shape)}"
        )
    return tensorgrad.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Return x / (k + alpha mean(x^2))^beta with the mean over `size` neighbouring channels.

    Notes
    -----
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (2012).
    """
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    if input.numel() == 0:
        return input
    n, channels = input.shape[:2]
    squares = (input * input).reshape(n, 1, channels, -1)
    squares = tensorgrad.constant_pad_nd(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = tensorgrad.avg_pool2d(squares, (size, 1), 1).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)


# Bilinear


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x1^T W_k x2 + b_k, linear in each of two vectors.

    Parameters
    ----------
    input1, input2 : Tensor, shapes (..., N1) and (..., N2)
        The vectors, with the same leading dimensions.
    weight : Tensor, shape (K, N1, N2)
        A matrix for each element of the result.
    bias : Tensor, shape (K,), optional
        Added to the result.

    Returns
    -------
    Tensor, shape (..., K)

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> x, y = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([3.0])
    >>> F.bilinear(x, y, tensorgrad.ones(1, 2, 1))
    tensor([9.])
    """
    if input1.ndim != input2.ndim:
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}"
        )
    for d in range(input1.ndim - 1):
        if input1.shape[d] != input2.shape[d]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {d}: got {input1.shape[d]} and "
                f"{input2.shape[d]}"
            )
    for number, x in ((1, input1), (2, input2)):
        if x.shape[-1] != weight.shape[number]:
            raise RuntimeError(
                f"bilinear(): input{number} size does not match weight size: got {x.shape[-1]} but expected "
                f"{weight.shape[number]}"
            )
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected {weight.shape[0]}"
        )
    lead, (k, n1, n2) = tuple(input1.shape[:-1]), weight.shape
    # (B, N1) (N1, K N2) is (B, K, N2): what is left to sum over is the second vector
    half = (input1.reshape(-1, n1) @ weight.permute(1, 0, 2).reshape(n1, k * n2)).reshape(-1, k, n2)
    result = (half @ input2.reshape(-1, n2, 1)).reshape(*lead, k)
    return result if bias is None else result + bias


# Embedding


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of `weight` that integers name.

    Parameters
    ----------
    input : Tensor, any shape, integers
        Rows.
    weight : Tensor, shape (V, D)
        The table.
    padding_idx : int, optional
        A row that gets no gradient.
    max_norm : float, optional
        Rows of a larger norm are scaled down to it, in the table itself.
    norm_type : float, default 2.0
        Of that norm.
    scale_grad_by_freq : bool, default False
        Divide the gradient of a row by how often it occurs in `input`.
    sparse : bool, default False
        Sparse gradients; there are none here, so True is refused.

    Returns
    -------
    Tensor, the shape of `input` and D

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.embedding(tensorgrad.tensor([1, 0]), tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if sparse:
        raise NotImplementedError("embedding: sparse gradients are not supported: leave sparse=False")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if input.dtype not in (tensorgrad.int64, tensorgrad.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{input.type()} instead (while checking arguments for embedding)"
        )
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx += weight.shape[0] if padding_idx < 0 else 0
    index = input.reshape(-1)
    if max_norm is not None:
        with tensorgrad.no_grad():
            rows = weight.index_select(0, index)
            norms = rows.norm(norm_type, 1, keepdim=True)
            weight.index_copy_(0, index, tensorgrad.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows))
    rows = weight.index_select(0, index)
    if scale_grad_by_freq:
        counts = tensorgrad.zeros(weight.shape[0], dtype=weight.dtype, device=weight.device)
        counts = counts.index_add(0, index, tensorgrad.ones_like(index, dtype=weight.dtype))
        scale = (1 / counts.index_select(0, index)).unsqueeze(1)
        rows = rows * scale + (rows * (1 - scale)).detach()
    if padding_idx is not None:
        rows = tensorgrad.where((index == padding_idx).unsqueeze(1), rows.detach(), rows)
    return rows.reshape(*input.shape, weight.shape[1])


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return 1 where the last dimension's index is the class, 0 elsewhere.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.one_hot(tensorgrad.tensor([1, 0]), 3)
    tensor([[0, 1, 0],
            [1, 0, 0]])
    """
    if tensor.dtype is not tensorgrad.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype}.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    elif int(tensor.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    elif num_classes == -1:
        num_classes = int(tensor.max()) + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif int(tensor.max()) >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return (tensor.unsqueeze(-1) == tensorgrad.arange(num_classes, device=tensor.device)).to(tensorgrad.int64)


# Padding and rearrangement


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return `input` with elements added on the sides of its last dimensions, the last one first.

    Parameters
    ----------
    input : Tensor, any shape
        What to pad.
    pad : sequence of int
        Elements before and after the last dimension, then the one before it; a negative number crops.
    mode : {'constant', 'reflect', 'replicate', 'circular'}, default 'constant'
        What the elements are.
    value : float, optional
        Of the constant; 0 by default.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> F.pad(tensorgrad.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    return tensorgrad.pad(input, tuple(pad), mode, value)


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Return the windows of images as columns: (N, C prod(kernel_size), L) from (N, C, H, W)."""
    return tensorgrad.im2col(input, kernel_size, dilation, padding, stride)


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Return images in which the columns of `unfold` are added to where they come from."""
    return tensorgrad.col2im(input, output_size, kernel_size, dilation, padding, stride)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Return (..., C, H r, W r) from (..., C r^2, H, W)."""
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    x = input.reshape(*lead, channels // (r * r), r, r, height, width)
    n = len(lead)
    x = x.permute(*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, channels // (r * r), height * r, width * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Return (..., C r^2, H / r, W / r) from (..., C, H, W)."""
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, channels, height, width = input.shape
    if height % r or width % r:
        raise RuntimeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, "
            f"but got {height}x{width} and {r}"
        )
    n = len(lead)
    x = input.reshape(*lead, channels, height // r, r, width // r, r)
    x = x.permute(*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*lead, channels * r * r, height // r, width // r)


def _resample(x: Tensor, dim: int, size: int, scale: float | None, mode: str, align_corners: bool) -> Tensor:
    """Resample one dimension: each output is a weighted sum of a few inputs."""
    length = x.shape[dim]
    place = tensorgrad.arange(size, device=x.device, dtype=tensorgrad.float64)
    if mode.startswith("nearest"):
        step = length / size if scale is None else 1 / scale
        where = (place + 0.5) * step if mode == "nearest-exact" else place * step
        return x.index_select(dim, where.floor().clamp(max=length - 1).to(tensorgrad.int64))
    if align_corners:
        where = place * ((length - 1) / (size - 1) if size > 1 else 0.0)
    else:
        where = (place + 0.5) * (length / size if scale is None else 1 / scale) - 0.5
        where = where.clamp(min=0.0) if mode == "linear" else where
    left = where.floor()
    t = where - left
    if mode == "linear":
        taps, weights = [0, 1], [1 - t, t]
    else:  # Keys' cubic convolution with a = -0.75
        a = -0.75
        near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
        far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
        taps, weights = [-1, 0, 1, 2], [far[0], near[0], near[1], far[1]]
    places = [(left + tap).clamp(0, length - 1).to(tensorgrad.int64) for tap in taps]
    if x.dtype is tensorgrad.uint8:
        return _resample_bytes(x, dim, places, weights)
    shape = [1] * x.ndim
    shape[dim] = size
    terms = []
    for index, weight in zip(places, weights, strict=True):
        terms.append(x.index_select(dim, index) * weight.to(x.dtype).reshape(shape))
    return sum(terms[1:], terms[0])


def _resample_bytes(x: Tensor, dim: int, places: list[Tensor], weights: list[Tensor]) -> Tensor:
    """The weighted sum, with weights in the finest units of a power of 2 that 16 bits hold, as in Pillow."""
    largest = max(float(weight.max()) for weight in weights) if weights[0].numel() else 0.0
    precision = 0
    while precision < 22 and int(0.5 + largest * (1 << (precision + 1))) < 1 << 15:
        precision += 1
    shape = [1] * x.ndim
    shape[dim] = -1
    total = tensorgrad.full((1,), 1 << (precision - 1) if precision else 0, dtype=tensorgrad.int32, device=x.device)
    for index, weight in zip(places, weights, strict=True):
        scaled = weight * (1 << precision)
        scaled = tensorgrad.where(scaled < 0, scaled - 0.5, scaled + 0.5).trunc().to(tensorgrad.int32)
        total = total + x.index_select(dim, index).to(tensorgrad.int32) * scaled.reshape(shape)
    return (total >> precision).clamp(0, 255).to(tensorgrad.uint8)


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resample the last one to three dimensions to `size`, or to `scale_factor` times their size.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        What to resample.
    size, scale_factor : int or float, or one for each dimension
        One of the two.
    mode : {'nearest', 'nearest-exact', 'linear', 'bilinear', 'bicubic', 'trilinear', 'area'}, default 'nearest'
        How to compute the elements in between.
    align_corners : bool, optional
        Whether the centres of the corner elements stay where they are; not for 'nearest' and 'area'.
    recompute_scale_factor : bool, optional
        Compute with the ratio of the sizes in place of the given factor.
    antialias : bool, default False
        True is refused.

    Returns
    -------
    Tensor
    """
    n = input.ndim - 2
    linear = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
    if mode not in ("nearest", "nearest-exact", "area", *linear):
        raise NotImplementedError(f"Input Error: unknown interpolation mode {mode}")
    if n not in (1, 2, 3) or linear.get(mode, n) != n:
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported "
            f"(got {input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | area | "
            f"nearest-exact (got {mode})"
        )
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported; smooth the input first")
    if mode not in linear and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined" if size is not None
                         else "either size or scale_factor should be defined")
    scales: list[float | None] = [None] * n
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes = list(_many(size, n))
    else:
        given = (scale_factor,) * n if isinstance(scale_factor, (int, float)) else scale_factor
        factors = [float(factor) for factor in given]
        sizes = [math.floor(input.shape[2 + d] * factors[d]) for d in range(n)]
        if not recompute_scale_factor:
            scales = list(factors)
    if mode == "area":
        return getattr(tensorgrad, f"adaptive_avg_pool{n}d")(input, tuple(sizes))
    kind = "cubic" if mode == "bicubic" else "linear" if mode in linear else mode
    # bytes are rounded after each dimension, the last one first
    for d in reversed(range(n)) if input.dtype is tensorgrad.uint8 else range(n):
        input = _resample(input, 2 + d, sizes[d], scales[d], kind, bool(align_corners))
    return input


# Dropout of channels


def _channel_dropout(input: Tensor, p: float, training: bool, inplace: bool, n: int) -> Tensor:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"dropout{n}d: Expected {n + 1}D or {n + 2}D input, but received a {input.ndim}D input.")
    if not training or p == 0:
        return input
    channels = input.shape[: input.ndim - n]
    mask = tensorgrad.dropout(
        tensorgrad.ones(*channels, *(1,) * n, dtype=input.dtype, device=input.device), p, True
    )
    return input.mul_(mask) if inplace else input * mask


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels (N, C, L) to zero with probability p, and scale the others by 1 / (1 - p)."""
    return _channel_dropout(input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels (N, C, H, W) to zero with probability p, and scale the others by 1 / (1 - p)."""
    return _channel_dropout(input, p, training, inplace, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels (N, C, D, H, W) to zero with probability p, and scale the others by 1 / (1 - p)."""
    return _channel_dropout(input, p, training, inplace, 3)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set elements to SELU's lower limit with probability p, then scale and shift so that mean and variance stay.

    Notes
    -----
    Klambauer et al., "Self-Normalizing Neural Networks", arXiv:1706.02515.
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    low = -1.7580993408473766
    if p == 1:
        return input.mul_(0.0) if inplace else input * 0.0
    kept = tensorgrad.empty_like(input.detach()).bernoulli_(1 - p)
    scale = 1 / math.sqrt((low * low * p + 1) * (1 - p))
    shift = (1 - kept) * (low * scale) - low * p * scale
    return input.mul_(kept * scale).add_(shift) if inplace else input * (kept * scale) + shift
