"""The windows of images, made of other operators, and as columns."""
from tensorgrad._core.operator cimport Operator, handle

from math import prod

from tensorgrad._core.declaration import composite

cdef Operator reshape, narrow, permute, index_select, index_add, constant_pad, arange
reshape, narrow, permute, index_select = (handle(n) for n in ("reshape", "narrow", "permute", "index_select"))
index_add, constant_pad, arange = (handle(n) for n in ("index_add", "constant_pad_nd", "arange"))


def ints(value, int n, str name):
    """`n` numbers from one or from as many."""
    if isinstance(value, bool) or not hasattr(value, "__index__") and not isinstance(value, (tuple, list)):
        raise TypeError(f"argument '{name}' must be tuple of ints, not {type(value).__name__}")
    if hasattr(value, "__index__"):
        return (value.__index__(),) * n
    values = tuple([v.__index__() for v in value])
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, "
                           f"but got {name}={list(values)}")
    return values


# ---- windows made of other operators ------------------------------------------------------------------
def _places(like, size, kernel, stride, dilation):
    """For each place in the kernel and each position: an index into a padded dimension."""
    where = arange(kernel, device=like.device) * dilation
    return reshape(reshape(where, (-1, 1)) + arange(size, device=like.device) * stride, (-1,))


def windows_of(x, kernel, stride, padding, dilation, out):
    """(..., kernel..., out...) from (..., in...)."""
    n, first = len(kernel), x.ndim - len(kernel)
    if any(padding):
        x = constant_pad(x, tuple([p for side in reversed(padding) for p in (side, side)]), 0)
    for d in range(n):
        x = index_select(x, first + d, _places(x, out[d], kernel[d], stride[d], dilation[d]))
    pairs = [size for d in range(n) for size in (kernel[d], out[d])]
    x = reshape(x, (*x.shape[:first], *pairs))
    return permute(x, (*range(first), *range(first, first + 2 * n, 2), *range(first + 1, first + 2 * n, 2)))


def windows_added(x, sizes, kernel, stride, padding, dilation, out):
    """The transpose of `windows_of`: (..., in...) from (..., kernel..., out...), what falls together being added."""
    n, first = len(kernel), x.ndim - 2 * len(kernel)
    x = permute(x, (*range(first), *[axis for d in range(n) for axis in (first + d, first + n + d)]))
    x = reshape(x, (*x.shape[:first], *[k * o for k, o in zip(kernel, out)]))
    for d in range(n):
        size = sizes[d] + 2 * padding[d]
        shape = (*x.shape[:first + d], size, *x.shape[first + d + 1:])
        x = index_add(x.new_zeros(shape), first + d, _places(x, out[d], kernel[d], stride[d], dilation[d]), x)
        x = narrow(x, first + d, padding[d], sizes[d])
    return x


# ---- geometry -----------------------------------------------------------------------------------------
def _conv_sizes(sizes, kernel, stride, padding, dilation):
    return [(sizes[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(len(kernel))]


def _transposed_sizes(sizes, kernel, stride, padding, dilation, output_padding):
    return [(sizes[d] - 1) * stride[d] - 2 * padding[d] + dilation[d] * (kernel[d] - 1) + output_padding[d] + 1
            for d in range(len(kernel))]


# ---- windows as columns ----------------------------------------------------------------------------------
def _im2col(input, kernel_size, dilation, padding, stride):
    n = 2
    kernel, dilation, padding, stride = (ints(v, n, name) for v, name in (
        (kernel_size, "kernel_size"), (dilation, "dilation"), (padding, "padding"), (stride, "stride")))
    if any([k <= 0 for k in kernel]) or any([d <= 0 for d in dilation]) or any([s <= 0 for s in stride]):
        raise RuntimeError("kernel size, dilation and stride should be greater than zero, but got kernel_size: "
                           f"{kernel}, dilation: {dilation}, stride: {stride} (im2col)")
    if any([p < 0 for p in padding]):
        raise RuntimeError(f"padding should be non-negative, but got padding: {padding} (im2col)")
    if input.ndim not in (3, 4):
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
                           f"but got: {list(input.shape)}")
    out = _conv_sizes(input.shape[-2:], kernel, stride, padding, dilation)
    if any([o < 1 for o in out]):
        raise RuntimeError(f"Given input with spatial size {tuple(input.shape[-2:])}, kernel_size={kernel}, dilation={dilation}, "
                           f"padding={padding}, stride={stride}, calculated shape of the array of sliding blocks as {tuple(out)}, but its "
                           "components must be at least one.")
    x = windows_of(input, kernel, stride, padding, dilation, out)
    return reshape(x, (*input.shape[:-3], input.shape[-3] * prod(kernel), prod(out)))


def _col2im(input, output_size, kernel_size, dilation, padding, stride):
    sizes, kernel, dilation, padding, stride = (ints(v, 2, name) for v, name in (
        (output_size, "output_size"), (kernel_size, "kernel_size"), (dilation, "dilation"), (padding, "padding"), (stride, "stride")))
    if any([k <= 0 for k in kernel]) or any([d <= 0 for d in dilation]) or any([s <= 0 for s in stride]):
        raise RuntimeError("kernel size, dilation and stride should be greater than zero, but got kernel_size: "
                           f"{kernel}, dilation: {dilation}, stride: {stride} (col2im)")
    if any([p < 0 for p in padding]):
        raise RuntimeError(f"padding should be non-negative, but got padding: {padding} (col2im)")
    if input.ndim not in (2, 3):
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, "
                           f"but got: {list(input.shape)}")
    if input.shape[-2] % prod(kernel):
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
                           f"input.size(1)={input.shape[-2]} and kernel_size={kernel}.")
    out = _conv_sizes(sizes, kernel, stride, padding, dilation)
    if any([o < 1 for o in out]) or prod(out) != input.shape[-1]:
        raise RuntimeError(f"Given output_size={sizes}, kernel_size={kernel}, dilation={dilation}, padding={padding}, stride={stride}, "
                           f"expected size of input's dimension 2 to match the calculated number of sliding blocks {out[0]} * {out[1]} = "
                           f"{prod(out)}, but got input.size(2)={input.shape[-1]}.")
    x = reshape(input, (*input.shape[:-2], input.shape[-2] // prod(kernel), *kernel, *out))
    return windows_added(x, sizes, kernel, stride, padding, dilation, out)


composite("im2col(Tensor input, Any kernel_size, Any dilation=1, Any padding=0, Any stride=1)", _im2col, method=False,
          samples=lambda make: [((make(1, 2, 4, 3), (2, 2)), {}), ((make(2, 4, 4), 2, 2, 1, 2), {})],
          doc="The windows of an image as columns: (N, C * kernel, L) from (N, C, H, W).")
composite("col2im(Tensor input, Any output_size, Any kernel_size, Any dilation=1, Any padding=0, Any stride=1)", _col2im, method=False,
          samples=lambda make: [((make(1, 8, 6), (4, 3), (2, 2)), {})],
          doc="The transpose of `im2col`: columns added to where their elements come from.")
