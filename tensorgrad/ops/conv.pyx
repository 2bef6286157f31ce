"""Convolutions in one to three dimensions, and their transposes.

A convolution is bilinear: with the windows of x, y = w x. Its three directions are two operators, for the gradient of the
input is the transposed convolution and the gradient of that is the convolution again.
"""
from libc.stdint cimport int64_t

from tensorgrad._core cimport fused
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_BOOL, TG_F16, TG_F32, dtype_of
from tensorgrad._core.fused cimport tg_conv
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty

from math import prod

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import type_name
from tensorgrad.ops.windows import _conv_sizes, _transposed_sizes, ints, windows_added, windows_of

cdef Operator convolution, convolution_weight, conj, sum_, reshape, movedim, expand, narrow, matmul, to, constant_pad
convolution, convolution_weight, conj = (handle(n) for n in ("convolution", "_convolution_weight", "conj_physical"))
sum_, reshape, movedim, expand, narrow = (handle(n) for n in ("sum", "reshape", "movedim", "expand", "narrow"))
matmul, to, constant_pad = (handle(n) for n in ("matmul", "to", "constant_pad_nd"))


cdef str spoken(TensorBase x):
    return type_name(x).partition(".")[2].removesuffix("Tensor")


cdef str _c_name(TensorBase x):
    """The type as PyTorch names it where it asks C++ for the name."""
    name = spoken(x)
    return {"Long": "long int", "Short": "short int", "Byte": "unsigned char", "Char": "signed char"}.get(name, name.lower())


cdef int _check(TensorBase input, TensorBase weight, TensorBase bias, stride, padding, dilation, bint transposed, output_padding,
                int64_t groups) except -1:
    """PyTorch's checks, in its order."""
    cdef int n = weight.ndim - 2
    x, w = [input.shape[d] for d in range(input.ndim)], [weight.shape[d] for d in range(weight.ndim)]
    if n < 1 or n > 3:
        raise RuntimeError(f"weight should have at least three dimensions, and at most five: got weight of size {w} (convolution)")
    if input.ndim != n + 2:
        raise RuntimeError(f"Expected {n + 2}-dimensional input for {n + 2}-dimensional weight {w}, but got {input.ndim}-dimensional "
                           f"input of size {x} instead")
    for values, name in ((stride, "stride"), (padding, "padding"), (dilation, "dilation"), (output_padding, "output_padding")):
        if len(values) != n:
            raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to match the convolution "
                               f"dimensions, but got {name}={list(values)}")
    if any([p < 0 for p in padding]):
        raise RuntimeError("negative padding is not supported")
    if any([p < 0 for p in output_padding]):
        raise RuntimeError("negative output_padding is not supported")
    if any([s <= 0 for s in stride]):
        raise RuntimeError("non-positive stride is not supported")
    if any([s <= 0 for s in dilation]):
        raise RuntimeError("dilation should be greater than zero")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if w[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {w} "
                           "instead")
    if w[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size "
                           f"{w} instead")
    channels = w[0] if transposed else w[1] * groups
    if x[1] != channels:
        raise RuntimeError((f"Given transposed={1}, weight of size {w}" if transposed else f"Given groups={groups}, weight of size {w}")
                           + f", expected input{x} to have {channels} channels, but got {x[1]} channels instead")
    outputs = w[1] * groups if transposed else w[0]
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != outputs):
        raise RuntimeError(f"Given {'transposed=1' if transposed else f'weight of size {w}'}, expected bias to be 1-dimensional with "
                           f"{outputs} elements, but got bias of size {[bias.shape[d] for d in range(bias.ndim)]} instead")
    if any([k <= 0 for k in w[2:]]):
        raise RuntimeError(f"kernel size should be greater than zero, but got weight of size {w} (convolution)")
    if not transposed:
        padded = [x[2 + d] + 2 * padding[d] for d in range(n)]
        if any([padded[d] < dilation[d] * (w[2 + d] - 1) + 1 for d in range(n)]):
            raise RuntimeError(
                f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel size: "
                f"({' x '.join([str(dilation[d] * (w[2 + d] - 1) + 1) for d in range(n)])}). Kernel size can't be greater than actual "
                "input size")
    else:
        if any([output_padding[d] >= max(stride[d], dilation[d]) for d in range(n)]):
            raise RuntimeError("output padding must be smaller than either stride or dilation, but got output_padding: "
                               f"{list(output_padding)}, stride: {list(stride)}, dilation: {list(dilation)}")
    if weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {spoken(input)} but found {spoken(weight)}: Input type ({spoken(input)}) and weight type "
                           f"({spoken(weight)}) should be the same (convolution: convert one of them with .to(dtype))")
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(f"Input type ({_c_name(input)}) and bias type ({_c_name(bias)}) should be the same (convolution: convert one of "
                           "them with .to(dtype))")
    if input.dtype.code == TG_BOOL:
        raise NotImplementedError(f"\"convolution\" not implemented for '{spoken(input)}'")
    return 0


cdef int _fill(tg_conv* c, x, y, w, stride, padding, dilation, int64_t groups, int dtype) except -1:
    """Sizes of the image's side, of the positions' side and of the weight."""
    cdef int d, n = <int>len(w) - 2, shift = 3 - n
    c.batch, c.groups, c.in_channels, c.out_channels, c.dtype = x[0], groups, w[1], w[0] // groups, dtype
    for d in range(3):
        c.inside[d] = x[2 + d - shift] if d >= shift else 1
        c.out[d] = y[2 + d - shift] if d >= shift else 1
        c.kernel[d] = w[2 + d - shift] if d >= shift else 1
        c.stride[d] = stride[d - shift] if d >= shift else 1
        c.padding[d] = padding[d - shift] if d >= shift else 0
        c.dilation[d] = dilation[d - shift] if d >= shift else 1
    return 0


cdef TensorBase _new(TensorBase like, sizes):
    cdef int64_t shape[64]
    cdef int d
    for d in range(len(sizes)):
        shape[d] = sizes[d]
    return empty(<int>len(sizes), shape, like.dtype, like.storage.device)


cdef list _sizes(TensorBase x):
    return [x.shape[d] for d in range(x.ndim)]


cdef bint _is_half(TensorBase x):
    return x.dtype.code == TG_F16 or x.dtype.code == TG_BF16


def _wide(x):
    return None if x is None else to(x, dtype_of(TG_F32))


# ---- the convolution and its transpose -------------------------------------------------------------------
def _convolution(TensorBase input, TensorBase weight, TensorBase bias, stride, padding, dilation, bint transposed, output_padding,
                 int64_t groups):
    cdef tg_conv c
    cdef TensorBase out, i, w, b
    cdef char* to_
    cdef char* from_
    cdef char* by
    cdef char* plus
    cdef int status
    _check(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    if _is_half(input):
        return to(_convolution(_wide(input), _wide(weight), _wide(bias), stride, padding, dilation, transposed, output_padding, groups),
                  input.dtype)
    x, k = _sizes(input), _sizes(weight)
    if transposed:
        sizes = [x[0], k[1] * groups] + _transposed_sizes(x[2:], k[2:], stride, padding, dilation, output_padding)
        if any([s < 0 for s in sizes]) or any([s < 1 for s in sizes[2:]]) and prod(x[2:]):
            raise RuntimeError(f"Given input size per channel: ({' x '.join(map(str, x[2:]))}). Calculated output size per channel: "
                               f"({' x '.join(map(str, sizes[2:]))}). Output size is too small")
    else:
        sizes = [x[0], k[0]] + _conv_sizes(x[2:], k[2:], stride, padding, dilation)
    if fused.fused_of(input) == NULL or input.dtype.category < CAT_FLOAT:
        return _convolution_of_others(input, weight, bias, stride, padding, dilation, transposed, sizes, groups)
    out = _new(input, sizes)
    if out.numel == 0:
        return out
    i, w, b = fused.packed(input), fused.packed(weight), None if bias is None else fused.packed(bias)
    if transposed:
        _fill(&c, sizes, x, k, stride, padding, dilation, groups, input.dtype.code)
    else:
        _fill(&c, x, sizes, k, stride, padding, dilation, groups, input.dtype.code)
    to_, from_, by, plus = fused.memory(out), fused.memory(i), fused.memory(w), fused.memory(b)
    _held = fused.storages((i, w, b))
    with nogil:
        status = fused.fused_of_cpu().conv_input(&c, to_, from_, by, plus) if transposed else \
            fused.fused_of_cpu().conv(&c, to_, from_, by, plus)
    fused.settle(status, "convolution", input)
    return out


def _convolution_of_others(input, weight, bias, stride, padding, dilation, transposed, sizes, groups):
    k = list(weight.shape)
    w = reshape(weight, (1, groups, k[0] // groups, -1))
    if transposed:
        spatial = list(input.shape[2:])
        y = reshape(input, (input.shape[0], groups, k[0] // groups, -1))
        columns = reshape(matmul(w.transpose(-1, -2), y), (input.shape[0], sizes[1], *k[2:], *spatial))
        out = windows_added(columns, sizes[2:], k[2:], stride, padding, dilation, spatial)
    else:
        columns = windows_of(input, k[2:], stride, padding, dilation, sizes[2:])
        out = reshape(matmul(w, reshape(columns, (input.shape[0], groups, w.shape[3], -1))), sizes)
    return out if bias is None else out + reshape(bias, (1, -1, *(1,) * (len(k) - 2)))


def _conjugate(TensorBase x):
    return conj(x) if x.dtype.category == CAT_COMPLEX else x


def _cut(x, sizes):
    """The first positions, where there are more: a transposed convolution may have been padded beyond a stride."""
    for d in range(2, x.ndim):
        if x.shape[d] > sizes[d]:
            x = narrow(x, d, 0, sizes[d])
    return x


def _input_vjp(grad, input_shape, weight, stride, padding, dilation, transposed, groups):
    if transposed:
        return _cut(convolution(grad, _conjugate(weight), None, stride, padding, dilation, False, (0,) * len(stride), groups), input_shape)
    least = _transposed_sizes(grad.shape[2:], weight.shape[2:], stride, padding, dilation, (0,) * len(stride))
    rest = tuple([size - m for size, m in zip(input_shape[2:], least)])
    return convolution(grad, _conjugate(weight), None, stride, padding, dilation, True, rest, groups)


def _weight_vjp(grad, input, weight_shape, stride, padding, dilation, transposed, groups):
    if transposed:
        return convolution_weight(_conjugate(input), grad, tuple(weight_shape[2:]), stride, padding, dilation, groups)
    return convolution_weight(grad, _conjugate(input), tuple(weight_shape[2:]), stride, padding, dilation, groups)


def _convolution_jvp(input, input_t, weight, weight_t, bias_t, rest):
    total = None if input_t is None else convolution(input_t, weight, None, *rest)
    if weight_t is not None:
        term = convolution(input, weight_t, None, *rest)
        total = term if total is None else total + term
    if bias_t is not None:
        shift = reshape(bias_t, (1, -1, *(1,) * (weight.ndim - 2)))
        total = shift if total is None else total + shift
    return total


def _front(x, dim, batch_size):
    return expand(x, (batch_size, *x.shape)) if dim is None else movedim(x, dim, 0)


def _in_channels(x, dim, batch_size):
    """A batch of (N, C, ...) as more channels: (N, B C, ...)."""
    x = movedim(_front(x, dim, batch_size), 0, 1)
    return reshape(x, (x.shape[0], -1, *x.shape[3:])) if x.numel() else reshape(x, (x.shape[0], batch_size * x.shape[2], *x.shape[3:]))


def _convolution_batch(batch_size, in_dims, input, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """A batched weight makes groups of its own; else the batch joins the samples."""
    rest = (stride, padding, dilation, transposed, output_padding)
    if in_dims[1] is None:
        x = _front(input, in_dims[0], batch_size)
        out = convolution(reshape(x, (batch_size * x.shape[1], *x.shape[2:])), weight, None, *rest, groups)
        out = reshape(out, (batch_size, x.shape[1], *out.shape[1:]))
    else:
        w = movedim(weight, in_dims[1], 0)
        out = convolution(_in_channels(input, in_dims[0], batch_size), reshape(w, (batch_size * w.shape[1], *w.shape[2:])), None, *rest,
                          groups * batch_size)
        out = movedim(reshape(out, (out.shape[0], batch_size, out.shape[1] // batch_size, *out.shape[2:])), 1, 0)
    if bias is not None:
        b = bias if in_dims[2] is None else movedim(bias, in_dims[2], 0)
        out = out + reshape(b, (1 if in_dims[2] is None else batch_size, 1, -1, *(1,) * (out.ndim - 3)))
    return out, 0


operator("convolution(Tensor input, Tensor weight, Tensor? bias, Size stride, Size padding, Size dilation, bool transposed, "
         "Size output_padding, int groups)", _convolution, batch=_convolution_batch, method=False,
         vjp={"input": lambda grad, input_shape, weight, stride, padding, dilation, transposed, groups:
              _input_vjp(grad, input_shape, weight, stride, padding, dilation, transposed, groups),
              "weight": lambda grad, input, weight_shape, stride, padding, dilation, transposed, groups:
              _weight_vjp(grad, input, weight_shape, stride, padding, dilation, transposed, groups),
              "bias": lambda grad: sum_(grad, (0, *range(2, grad.ndim)))},
         jvp=lambda input, input_t, weight, weight_t, bias_t, stride, padding, dilation, transposed, output_padding, groups:
         _convolution_jvp(input, input_t, weight, weight_t, bias_t, (stride, padding, dilation, transposed, output_padding, groups)),
         samples=lambda make: [
             ((make(2, 2, 5), make(3, 2, 3), make(3), (2,), (1,), (1,), False, (0,), 1), {}),
             ((make(1, 4, 5, 4), make(2, 2, 2, 3), None, (1, 2), (1, 2), (2, 1), False, (0, 0), 2), {}),
             ((make(1, 2, 3, 4), make(2, 2, 2, 3), make(2), (2, 1), (1, 0), (1, 2), True, (1, 0), 1), {}),
             ((make(1, 4, 3), make(4, 1, 2), None, (2,), (0,), (3,), True, (2,), 2), {}),
             ((make(1, 1, 3, 3, 2), make(2, 1, 2, 2, 2), make(2), (1, 1, 1), (0, 0, 1), (1, 1, 1), False, (0, 0, 0), 1), {})],
         doc="""A convolution, or its transpose, in as many dimensions as the weight has.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    weight : Tensor of shape (C_out, C / groups, ...), or (C, C_out / groups, ...) if `transposed`
    bias : Tensor of shape (C_out,), optional
    stride, padding, dilation, output_padding : tuple of int
        One number for each dimension.
    transposed : bool
    groups : int

    Notes
    -----
    ``y[n, o, p] = b[o] + sum(w[o, c, k] * x[n, c, p * stride - padding + k * dilation])`` over c and k. It is computed as a
    product with the matrix of windows, a tile of which is in memory at a time (Chellapilla, Puri and Simard, 2006).
    """)


# ---- the gradient of the weight ------------------------------------------------------------------------
def _convolution_weight(TensorBase grad_output, TensorBase input, kernel, stride, padding, dilation, int64_t groups):
    cdef tg_conv c
    cdef TensorBase out, y, x
    cdef char* o
    cdef char* g
    cdef char* i
    cdef int status
    if input.dtype is not grad_output.dtype or input.ndim != grad_output.ndim or input.ndim != <int>len(kernel) + 2:
        raise RuntimeError("convolution_weight: expected a gradient and an input of one dtype and rank")
    if input.dtype.category < CAT_FLOAT:
        raise NotImplementedError(f"\"convolution\" not implemented for '{spoken(input)}'")
    if len(kernel) not in (1, 2, 3) or any([k < 1 for k in kernel]) or any([s < 1 for s in stride]) or any([d < 1 for d in dilation]) \
            or any([p < 0 for p in padding]):
        raise RuntimeError(f"convolution_weight: invalid geometry: kernel {list(kernel)}, stride {list(stride)}, padding {list(padding)}, "
                           f"dilation {list(dilation)}")
    if _is_half(input):
        return to(_convolution_weight(_wide(grad_output), _wide(input), kernel, stride, padding, dilation, groups), input.dtype)
    xs, ys = _sizes(input), _sizes(grad_output)
    for d in range(len(kernel)):
        if (ys[2 + d] > (xs[2 + d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 or xs[0] != ys[0]
                or groups < 1 or xs[1] % groups or ys[1] % groups):
            raise RuntimeError(f"convolution_weight: no convolution makes {ys} of {xs} with kernel {list(kernel)}")
    if input.dtype.category < CAT_FLOAT:
        raise NotImplementedError(f"\"convolution\" not implemented for '{spoken(input)}'")
    sizes = [ys[1], xs[1] // groups, *kernel]
    if fused.fused_of(input) == NULL:
        columns = windows_of(input, kernel, stride, padding, dilation, ys[2:])
        columns = reshape(columns, (xs[0], groups, sizes[1] * prod(kernel), prod(ys[2:])))
        products = matmul(reshape(grad_output, (xs[0], groups, ys[1] // groups, prod(ys[2:]))), columns.transpose(-1, -2))
        return reshape(sum_(products, (0,)), sizes)
    out = _new(input, sizes)
    if out.numel == 0:
        return out
    _fill(&c, xs, ys, sizes, stride, padding, dilation, groups, input.dtype.code)
    y, x = fused.packed(grad_output), fused.packed(input)
    o, g, i = fused.memory(out), fused.memory(y), fused.memory(x)
    _held = fused.storages((y, x))
    with nogil:
        status = fused.fused_of_cpu().conv_weight(&c, o, g, i)
    fused.settle(status, "convolution", input)
    return out


def _weight_output_vjp(grad, grad_output_shape, input, stride, padding, dilation, groups):
    return _cut(convolution(_conjugate(input), grad, None, stride, padding, dilation, False, (0,) * len(stride), groups),
                grad_output_shape)


def _convolution_weight_jvp(grad_output, grad_output_t, input, input_t, rest):
    total = None if grad_output_t is None else convolution_weight(grad_output_t, input, *rest)
    if input_t is not None:
        term = convolution_weight(grad_output, input_t, *rest)
        total = term if total is None else total + term
    return total


def _convolution_weight_batch(batch_size, in_dims, grad_output, input, kernel, stride, padding, dilation, groups):
    out = convolution_weight(_in_channels(grad_output, in_dims[0], batch_size), _in_channels(input, in_dims[1], batch_size), kernel, stride,
                             padding, dilation, groups * batch_size)
    return reshape(out, (batch_size, out.shape[0] // batch_size, *out.shape[1:])), 0


operator("_convolution_weight(Tensor grad_output, Tensor input, Size kernel_size, Size stride, Size padding, Size dilation, int groups)",
         _convolution_weight, batch=_convolution_weight_batch, internal=True, node="convolution_weight",
         vjp={"grad_output": lambda grad, grad_output_shape, input, stride, padding, dilation, groups:
              _weight_output_vjp(grad, grad_output_shape, input, stride, padding, dilation, groups),
              "input": lambda grad, grad_output, input_shape, stride, padding, dilation, groups:
              _input_vjp(_conjugate(grad_output), input_shape, _conjugate(grad), stride, padding, dilation, False, groups)},
         jvp=lambda grad_output, grad_output_t, input, input_t, kernel_size, stride, padding, dilation, groups:
         _convolution_weight_jvp(grad_output, grad_output_t, input, input_t, (kernel_size, stride, padding, dilation, groups)),
         samples=lambda make: [((make(2, 2, 3), make(2, 4, 6), (2,), (2,), (0,), (1,), 2), {}),
                               ((make(1, 2, 3, 2), make(1, 2, 3, 3), (2, 3), (1, 2), (1, 1), (2, 1), 1), {})],
         doc="The gradient of a convolution's weight.")


# ---- conv1d to conv3d ----------------------------------------------------------------------------------
def _batched(input, n, name):
    if input.ndim == n + 1:
        return input.unsqueeze(0), True
    if input.ndim != n + 2:
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: "
                           f"{list(input.shape)}")
    return input, False


def _forward(n):
    def conv(input, weight, bias, stride, padding, dilation, groups):
        x, single = _batched(input, n, f"conv{n}d")
        if weight.ndim != n + 2:
            w = list(weight.shape)
            if len(w) < 3:
                raise RuntimeError(f"weight should have at least three dimensions, got {w} (conv{n}d)")
            raise RuntimeError(f"Expected {len(w)}-dimensional input for {len(w)}-dimensional weight {w}, but got {x.ndim}-dimensional "
                               f"input of size {list(x.shape)} instead: conv{n}d takes a weight of {n + 2} dimensions")
        stride, dilation = ints(stride, n, "stride"), ints(dilation, n, "dilation")
        if isinstance(padding, str):
            x, padding = _padded_by_name(x, weight, stride, padding, dilation)
        out = convolution(x, weight, bias, stride, ints(padding, n, "padding"), dilation, False, (0,) * n, groups)
        return out.squeeze(0) if single else out
    return conv


def _padded_by_name(x, weight, stride, padding, dilation):
    """'same' pads as much on either side as it can, and the odd element on the right."""
    n = weight.ndim - 2
    if padding == "valid":
        return x, 0
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any([s != 1 for s in stride]):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [dilation[d] * (weight.shape[2 + d] - 1) for d in range(n)]
    if any([t % 2 for t in total]):
        x = constant_pad(x, tuple([p for t in reversed(total) for p in (0, t % 2)]), 0)
    return x, tuple([t // 2 for t in total])


def _transposed(n):
    def conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation):
        x, single = _batched(input, n, f"conv_transpose{n}d")
        out = convolution(x, weight, bias, ints(stride, n, "stride"), ints(padding, n, "padding"), ints(dilation, n, "dilation"), True,
                          ints(output_padding, n, "output_padding"), groups)
        return out.squeeze(0) if single else out
    return conv_transpose


DIMENSIONS = {1: "(..., L)", 2: "(..., H, W)", 3: "(..., D, H, W)"}
for _n in (1, 2, 3):
    composite(f"conv{_n}d(Tensor input, Tensor weight, Tensor? bias=None, Any stride=1, Any padding=0, Any dilation=1, int groups=1)",
              _forward(_n), method=False,
              samples=lambda make, n=_n: [((make(1, 2, *(4,) * n), make(2, 2, *(2,) * n), make(2)), {}),
                                          ((make(2, *(4,) * n), make(2, 1, *(2,) * n), None, 1, "same", 1, 2), {})],
              doc=f"""Convolution over the last {_n} dimension{"s"[:_n > 1]}.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...) or (C, ...)
    weight : Tensor of shape (C_out, C / groups, ...)
    bias : Tensor of shape (C_out,), optional
    stride : int or tuple of int, default: 1
    padding : int, tuple of int, 'valid' or 'same', default: 0
        Zeros on either side of the input; 'same' gives an output of the input's size.
    dilation : int or tuple of int, default: 1
        The distance between elements of the kernel.
    groups : int, default: 1
        Groups of channels that see nothing of each other.

    Notes
    -----
    ``y[o, p] = b[o] + sum(w[o, c, k] * x[c, p * stride - padding + k * dilation])`` over c and k.

    Examples
    --------
    >>> tensorgrad.conv{_n}d(tensorgrad.ones{(1, 1, *(3,) * _n)}, tensorgrad.ones{(1, 1, *(3,) * _n)}).item()
    {3.0 ** _n}
    """)
    composite(f"conv_transpose{_n}d(Tensor input, Tensor weight, Tensor? bias=None, Any stride=1, Any padding=0, Any output_padding=0, "
              "int groups=1, Any dilation=1)", _transposed(_n), method=False,
              samples=lambda make, n=_n: [((make(1, 2, *(3,) * n), make(2, 2, *(2,) * n), make(2)), {}),
                                          ((make(2, *(2,) * n), make(2, 1, *(3,) * n), None, 2, 1, 1, 2), {})],
              doc=f"""The transpose of `conv{_n}d`: what its gradient does to the gradient of its result.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...) or (C, ...)
    weight : Tensor of shape (C, C_out / groups, ...)
    bias : Tensor of shape (C_out,), optional
    stride, padding : int or tuple of int
        Of the convolution that this is the transpose of.
    output_padding : int or tuple of int, default: 0
        Elements to add at the end, for several sizes are convolved to one.
    groups : int, default: 1
    dilation : int or tuple of int, default: 1
    """)
