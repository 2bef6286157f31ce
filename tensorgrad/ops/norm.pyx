"""Normalisations: of the last dimensions (layers), of channels, of groups of them, over a batch."""
from libc.stdint cimport int64_t

from tensorgrad._core cimport fused
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_F16, TG_F32, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty

from math import prod

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import type_name

cdef Operator mean, mul, add, rsqrt, reshape, movedim, sum_to_size, to, native_layer_norm, zeros_like, detach, var_mean, clone
clone = handle("clone")
mean, mul, add, rsqrt, reshape, movedim = (handle(n) for n in ("mean", "mul", "add", "rsqrt", "reshape", "movedim"))
sum_to_size, to, native_layer_norm, zeros_like, detach, var_mean = (
    handle(n) for n in ("sum_to_size", "to", "native_layer_norm", "zeros_like", "detach", "var_mean"))


cdef str spoken(TensorBase x):
    return type_name(x).partition(".")[2].removesuffix("Tensor")


# ---- layers -----------------------------------------------------------------------------------------
cdef int _check_layer(TensorBase input, normalized_shape, TensorBase weight, TensorBase bias, bint or_complex=False) except -1:
    cdef int n = <int>len(normalized_shape), d, shift = input.ndim - n
    cdef object x
    if n < 1:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
                           "normalized_shape = []")
    shape = list(normalized_shape)
    for x, name in ((<object>weight, "weight"), (<object>bias, "bias")):
        if x is not None and list(x.shape) != shape:
            raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {list(x.shape)} and "
                               f"normalized_shape = {shape}")
    if shift < 0 or any([input.shape[shift + d] != shape[d] for d in range(n)]):
        raise RuntimeError(f"Given normalized_shape={shape}, expected input with shape [*, {', '.join(map(str, shape))}], but got input "
                           f"of size{list((<object>input).shape)}")
    if input.dtype.category != CAT_FLOAT and not (or_complex and input.dtype.category == CAT_COMPLEX):
        raise NotImplementedError(f"\"LayerNormKernelImpl\" not implemented for '{spoken(input)}'")
    for x in (<object>weight, <object>bias):
        if x is not None and (<TensorBase>x).dtype is not input.dtype:
            raise RuntimeError(f"expected scalar type {spoken(input)} but found {spoken(x)} (layer_norm: convert one with .to(dtype))")
    return 0


def _layer_norm(TensorBase input, normalized_shape, TensorBase weight, TensorBase bias, double eps):
    cdef int64_t n = prod(normalized_shape), rows
    cdef TensorBase out, m, r
    _check_layer(input, normalized_shape, weight, bias)
    if input.dtype.code == TG_F16 or input.dtype.code == TG_BF16:
        f32 = dtype_of(TG_F32)
        result, m, r = _layer_norm(to(input, f32), normalized_shape, None if weight is None else to(weight, f32),
                                   None if bias is None else to(bias, f32), eps)
        return to(result, input.dtype), to(m, input.dtype), to(r, input.dtype)
    shape = [input.shape[d] if d < input.ndim - <int>len(normalized_shape) else 1 for d in range(input.ndim)]
    rows = prod(shape)
    if fused.fused_of(input) == NULL or rows == 0 or n == 0:
        return _normalized(input, len(normalized_shape), weight, bias, eps)
    out = empty(input.ndim, input.shape, input.dtype, input.storage.device)
    m, r = _stats(input, shape), _stats(input, shape)
    fused.layer_norm(out, m, r, fused.packed(input), None if weight is None else fused.packed(weight),
                     None if bias is None else fused.packed(bias), rows, n, eps)
    return out, m, r


cdef TensorBase _stats(TensorBase x, list shape):
    cdef int64_t sizes[64]
    cdef int d
    for d in range(x.ndim):
        sizes[d] = shape[d]
    return empty(x.ndim, sizes, x.dtype, x.storage.device)


def _centred(input, int rank, eps):
    """The last dimensions, and the input in units of its standard deviation there; mean and 1 / deviation."""
    dims = tuple(range(input.ndim - rank, input.ndim))
    m = mean(input, dims, True)
    centred = input - m
    r = rsqrt(mean(centred * centred, dims, True) + eps)
    return dims, centred * r, m, r


def _normalized(input, int rank, weight, bias, eps):
    """Layer normalisation made of other operators."""
    _, z, m, r = _centred(input, rank, eps)
    if weight is not None:
        z = z * weight
    return (z if bias is None else z + bias), m, r


def _layer_norm_vjp(TensorBase grad, TensorBase input, TensorBase weight, bias_shape, TensorBase mean_, TensorBase rstd,
                    normalized_shape, eps, needs):
    """By one pass over the rows; by operators where that is itself to be differentiated."""
    cdef TensorBase dx = None, dw = None, db = None
    cdef int64_t n = prod(normalized_shape)
    if n and input.numel and fused.is_plain(grad) and fused.is_plain(input) and fused.is_plain(weight) and mean_.dtype is input.dtype:
        if needs[0]:
            dx = empty(input.ndim, input.shape, input.dtype, input.storage.device)
        if needs[1]:
            dw = empty(weight.ndim, weight.shape, input.dtype, input.storage.device)
        if needs[2]:
            db = input.new_empty(bias_shape)
        fused.layer_norm_backward(dx, dw, db, fused.packed(grad), fused.packed(input), mean_, rstd,
                                  None if weight is None else fused.packed(weight), input.numel // n, n)
        return dx, dw, db
    if input.dtype.code == TG_F16 or input.dtype.code == TG_BF16:
        f32 = dtype_of(TG_F32)
        wide = _layer_norm_formula(to(grad, f32), to(input, f32), None if weight is None else to(weight, f32), bias_shape,
                                   len(normalized_shape), eps, needs)
        return tuple([None if x is None else to(x, input.dtype) for x in wide])
    return _layer_norm_formula(grad, input, weight, bias_shape, len(normalized_shape), eps, needs)


def _layer_norm_formula(grad, input, weight, bias_shape, rank, eps, needs):
    """With z = (x - mean) rstd and h = g w: rstd (h - mean(h) - z mean(h z)), sum(g z) and sum(g)."""
    dims, z, _, r = _centred(input, rank, eps)
    dx = None
    if needs[0]:
        h = grad if weight is None else grad * weight
        dx = r * (h - mean(h, dims, True) - z * mean(h * z, dims, True))
    return dx, sum_to_size(grad * z, weight.shape) if needs[1] else None, sum_to_size(grad, bias_shape) if needs[2] else None


def _layer_norm_jvp(input, input_t, weight, weight_t, bias_t, normalized_shape, eps):
    dims, z, _, r = _centred(input, len(normalized_shape), eps)
    total = None
    if input_t is not None:
        total = r * (input_t - mean(input_t, dims, True) - z * mean(input_t * z, dims, True))
        if weight is not None:
            total = total * weight
    if weight_t is not None:
        total = z * weight_t if total is None else total + z * weight_t
    if bias_t is not None:
        total = bias_t + zeros_like(input) if total is None else total + bias_t
    return total, None, None


def _layer_norm_batch(batch_size, in_dims, input, normalized_shape, weight, bias, eps):
    """The batch in front; a batched weight is aligned behind the input's own dimensions."""
    rank = input.ndim - (in_dims[0] is not None)
    if in_dims[0] is None:
        input = handle("expand")(input, (batch_size, *input.shape))
    else:
        input = movedim(input, in_dims[0], 0)

    def aligned(x, dim):
        if x is None or dim is None:
            return x
        x = movedim(x, dim, 0)
        return reshape(x, (batch_size, *(1,) * (rank - x.ndim + 1), *x.shape[1:]))
    return _normalized(input, len(normalized_shape), aligned(weight, in_dims[2]), aligned(bias, in_dims[3]), eps), (0, 0, 0)


operator("native_layer_norm(Tensor input, Size normalized_shape, Tensor? weight, Tensor? bias, float eps) "
         "-> (Tensor out, Tensor mean, Tensor rstd)", _layer_norm, batch=_layer_norm_batch, method=False,
         nondifferentiable=("mean", "rstd"),
         vjp=lambda grad_out, input, weight, bias_shape, mean, rstd, normalized_shape, eps, needs:
         _layer_norm_vjp(grad_out, input, weight, bias_shape, mean, rstd, normalized_shape, eps, needs),
         jvp=lambda input, input_t, weight, weight_t, bias_t, normalized_shape, eps:
         _layer_norm_jvp(input, input_t, weight, weight_t, bias_t, normalized_shape, eps),
         doc="`layer_norm`, with the means and the reciprocals of the standard deviations that it divided by.")
composite("layer_norm(Tensor input, Size normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05)",
          lambda input, normalized_shape, weight, bias, eps: native_layer_norm(input, normalized_shape, weight, bias, eps)[0], method=False,
          reference="(lambda d: (input - input.mean(d, keepdims=True)) / np.sqrt(input.var(d, keepdims=True) + eps) "
                    "* (1 if weight is None else weight) + (0 if bias is None else bias))"
                    "(tuple(range(input.ndim - len(normalized_shape), input.ndim)))",
          samples=lambda make: [((make(3, 4), (4,), make(4), make(4)), {}), ((make(2, 3, 4), (3, 4)), {}),
                                ((make(3, 4), (4,), make(4)), {"eps": 0.1}), ((make(4), (4,), None, make(4)), {})],
          doc="""Normalise the last dimensions to mean 0 and variance 1, then scale and shift each element.

    Parameters
    ----------
    input : Tensor of shape (..., *normalized_shape)
    normalized_shape : tuple of int
    weight, bias : Tensor of shape normalized_shape, optional
    eps : float, default: 1e-05
        Added to the variance.

    Notes
    -----
    ``(x - mean) / sqrt(variance + eps) * weight + bias``, the variance being the biased one (Ba, Kiros and Hinton,
    arXiv:1607.06450).

    Examples
    --------
    >>> tensorgrad.layer_norm(tensorgrad.tensor([1.0, 2.0, 3.0]), (3,))
    tensor([-1.2247,  0.0000,  1.2247])
    """)


def _rms_norm(input, normalized_shape, weight, eps):
    _check_layer(input, normalized_shape, weight, None, True)
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    if eps is None:
        eps = _epsilon(input.dtype.name if hasattr(input.dtype, "name") else str(input.dtype))
    x = input
    if (<TensorBase>input).dtype.code == TG_F16 or (<TensorBase>input).dtype.code == TG_BF16:
        x = to(input, dtype_of(TG_F32))
    x = x * rsqrt(mean(x * x, dims, True) + eps)
    x = to(x, input.dtype) if x.dtype is not input.dtype else x
    return x if weight is None else x * weight


def _epsilon(name):
    return {"float16": 2.0 ** -10, "bfloat16": 2.0 ** -7, "float32": 2.0 ** -23, "float64": 2.0 ** -52,
            "complex64": 2.0 ** -23, "complex128": 2.0 ** -52}[name.rpartition(".")[2]]


composite("rms_norm(Tensor input, Size normalized_shape, Tensor? weight=None, Number? eps=None)", _rms_norm, method=False,
          reference="input / np.sqrt((input ** 2).mean(tuple(range(input.ndim - len(normalized_shape), input.ndim)), keepdims=True) "
                    "+ (0 if eps is None else eps)) * (1 if weight is None else weight)",
          samples=lambda make: [((make(3, 4), (4,), make(4)), {}), ((make(2, 3, 4), (3, 4), None, 0.1), {})],
          doc="""Divide the last dimensions by their root mean square.

    Notes
    -----
    ``x / sqrt(mean(x ** 2) + eps) * weight`` (Zhang and Sennrich, arXiv:1910.07467); `eps` is the dtype's distance
    between 1 and its neighbour where it is None. Of complex numbers the mean is that of the squares, not of the squared
    magnitudes, as in PyTorch.
    """)


# ---- channels ---------------------------------------------------------------------------------------------
def _by_channel(x, rank):
    """One number for each channel, against (N, C, ...)."""
    return reshape(x, (1, -1, *(1,) * (rank - 2)))


def _scaled(x, weight, bias):
    if weight is not None:
        x = x * _by_channel(weight, x.ndim)
    return x if bias is None else x + _by_channel(bias, x.ndim)


def _group_norm(input, groups, weight, bias, eps):
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    n, channels = input.shape[0], input.shape[1]
    if groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {groups}")
    if channels % groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of shape "
                           f"{list(input.shape)} and num_groups={groups}")
    for x, name in ((weight, "weight"), (bias, "bias")):
        if x is not None and (x.ndim != 1 or x.shape[0] != channels):
            raise RuntimeError(f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape "
                               f"{list(x.shape)} and input of shape {list(input.shape)}")
    size = (channels // groups) * prod(input.shape[2:])
    z = native_layer_norm(reshape(input, (n, groups, size)), (size,), None, None, eps)[0]
    return _scaled(reshape(z, input.shape), weight, bias)


composite("group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool cudnn_enabled=True)",
          lambda input, num_groups, weight, bias, eps, cudnn_enabled: _group_norm(input, num_groups, weight, bias, eps), method=False,
          reference="(lambda g: (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + eps))"
                    "(input.reshape(input.shape[0], num_groups, -1)).reshape(input.shape) "
                    "* (1 if weight is None else weight.reshape(1, -1, *(1,) * (input.ndim - 2))) "
                    "+ (0 if bias is None else bias.reshape(1, -1, *(1,) * (input.ndim - 2)))",
          samples=lambda make: [((make(2, 4, 3), 2, make(4), make(4)), {}), ((make(2, 4, 2, 2), 4), {})],
          doc="""Normalise groups of channels of each sample to mean 0 and variance 1, then scale and shift each channel.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    num_groups : int
        A divisor of C.
    weight, bias : Tensor of shape (C,), optional
    eps : float, default: 1e-05

    Notes
    -----
    Wu and He, arXiv:1803.08494.
    """)


def _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    if input.ndim < 2:
        if input.ndim and not input.numel():
            return clone(input)         # of no sample and no channel, which PyTorch lets through
        raise IndexError(f"Dimension out of range (expected to be in range of [-1, 0], but got 1): batch_norm expects an input of at "
                         f"least 2 dimensions (N, C, ...), got {list(input.shape)}")
    if (<TensorBase>input).dtype.category != CAT_FLOAT:
        raise NotImplementedError(f"\"batch_norm\" not implemented for '{spoken(<TensorBase>input)}'")
    channels = input.shape[1]
    for x, name in ((running_mean, "running_mean"), (running_var, "running_var"), (weight, "weight"), (bias, "bias")):
        if x is not None and x.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {x.numel()}")
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("running_mean must be defined in evaluation mode" if running_mean is None
                           else "running_var must be defined in evaluation mode")
    half = (<TensorBase>input).dtype.code == TG_F16 or (<TensorBase>input).dtype.code == TG_BF16
    x = to(input, dtype_of(TG_F32)) if half else input
    if training:
        dims = (0, *range(2, x.ndim))
        count = x.numel() // channels if channels else 0
        m = mean(x, dims, True)
        centred = x - m
        variance = mean(centred * centred, dims, True)
        if running_mean is not None:
            _follow(running_mean, m, momentum, 1.0)
        if running_var is not None:
            _follow(running_var, variance, momentum, count / (count - 1) if count > 1 else float("nan"))
        scale = rsqrt(variance + eps)
    else:
        centred = x - _by_channel(running_mean, x.ndim)
        scale = rsqrt(_by_channel(running_var, x.ndim) + eps)
    if weight is not None:
        scale = scale * _by_channel(weight, x.ndim)
    x = centred * scale
    x = x if bias is None else x + _by_channel(bias, x.ndim)
    return to(x, input.dtype) if half else x


def _follow(running, value, momentum, factor):
    """running = (1 - momentum) running + momentum factor value, beside the graph."""
    value = reshape(detach(value), (-1,))
    detach(running).mul_(1 - momentum).add_(to(value, running.dtype) * (momentum * factor))


composite("batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, "
          "float momentum, float eps, bool cudnn_enabled=True)",
          lambda input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled:
          _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps), method=False,
          reference="(lambda d, c: (input - (input.mean(d, keepdims=True) if training else c(running_mean))) "
                    "/ np.sqrt((input.var(d, keepdims=True) if training else c(running_var)) + eps) "
                    "* (1 if weight is None else c(weight)) + (0 if bias is None else c(bias)))"
                    "((0, *range(2, input.ndim)), lambda x: x.reshape(1, -1, *(1,) * (input.ndim - 2)))",
          samples=lambda make: [((make(3, 2, 2), make(2), make(2), None, None, True, 0.1, 1e-5), {}),
                                ((make(3, 2), make(2), make(2), make(2, requires_grad=False), make(2, low=0.5, requires_grad=False),
                                  False, 0.1, 1e-5), {})],
          doc="""Normalise each channel over the batch to mean 0 and variance 1, then scale and shift it.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    weight, bias, running_mean, running_var : Tensor of shape (C,), optional
    training : bool
        Take the batch's mean and variance, and let the running ones follow; otherwise the running ones are taken.
    momentum : float
        The part of a running value that is replaced.
    eps : float

    Notes
    -----
    The normalisation takes the biased variance, the running variance follows the unbiased one (Ioffe and Szegedy,
    arXiv:1502.03167).
    """)


def _instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps):
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    n, channels = input.shape[0], input.shape[1]
    if not use_input_stats:
        return _batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    if running_mean is not None or running_var is not None:
        flat = reshape(detach(input), (n, channels, -1))
        count = flat.shape[2]
        m = mean(flat, (2,), True)
        if running_mean is not None:
            _follow(running_mean, mean(m, (0, 2)), momentum, 1.0)
        if running_var is not None:
            _follow(running_var, mean((flat - m) * (flat - m), (0, 2)), momentum, count / (count - 1) if count > 1 else float("nan"))
    return _group_norm(input, channels, weight, bias, eps) if channels else input


composite("instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, "
          "float momentum, float eps, bool cudnn_enabled=True)",
          lambda input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled:
          _instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps), method=False,
          reference="(lambda d, c: (input - input.mean(d, keepdims=True)) / np.sqrt(input.var(d, keepdims=True) + eps) "
                    "* (1 if weight is None else c(weight)) + (0 if bias is None else c(bias)))"
                    "(tuple(range(2, input.ndim)), lambda x: x.reshape(1, -1, *(1,) * (input.ndim - 2)))",
          samples=lambda make: [((make(2, 3, 4), make(3), make(3), None, None, True, 0.1, 1e-5), {})],
          doc="""Normalise each channel of each sample to mean 0 and variance 1, then scale and shift it.

    Parameters
    ----------
    input : Tensor of shape (N, C, ...)
    weight, bias, running_mean, running_var : Tensor of shape (C,), optional
    use_input_stats : bool
        Take the sample's own mean and variance, not the running ones.
    momentum, eps : float

    Notes
    -----
    Ulyanov, Vedaldi and Lempitsky, arXiv:1607.08022.
    """)
