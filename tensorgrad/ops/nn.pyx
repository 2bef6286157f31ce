"""Activations, softmax, dropout and fused layers. (Losses are in loss.pyx and cross_entropy.pyx.)"""
from tensorgrad._core cimport fused
from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.dtype cimport CAT_FLOAT, TG_BF16, TG_F16, TG_F32, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty

from tensorgrad._core.declaration import composite, elementwise, operator
from tensorgrad._core.graph import type_name
from tensorgrad.ops.linear import _linear_jvp, linear_batch, linear_bias_vjp, linear_input_vjp, linear_weight_vjp

cdef Operator where, exp, exp_, log, sub, mul, mul_, div_, sum_, amax, to, cat, chunk, empty_like, logical_or, logical_not, relu_, linear
where, exp, exp_, log, sub, mul, mul_, div_ = (handle(n) for n in ("where", "exp", "exp_", "log", "sub", "mul", "mul_", "div_"))
sum_, amax, to, cat, chunk, empty_like, logical_or, logical_not = (
    handle(n) for n in ("sum", "amax", "to", "cat", "chunk", "empty_like", "logical_or", "logical_not"))
cdef Operator ones_like = handle("ones_like")
cdef Operator sigmoid, tanh, erf, softplus, relu, threshold_backward, hardtanh, hardtanh_
relu_, linear, sigmoid, tanh, erf, softplus, relu = (
    handle(n) for n in ("relu_", "linear", "sigmoid", "tanh", "erf", "softplus", "relu"))
threshold_backward, hardtanh, hardtanh_ = handle("threshold_backward"), handle("hardtanh"), handle("hardtanh_")

INV_SQRT_2 = 0.7071067811865476
INV_SQRT_2PI = 0.3989422804014327
GELU_SCALE, GELU_CUBE = 0.7978845608028654, 0.044715     # sqrt(2/pi), and Hendrycks and Gimpel's coefficient
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


# ---- piecewise activations --------------------------------------------------------------------------
cdef extern from *:
    """
    #include "loops.h"
    TG_TERNARY(threshold, INTEGER_AND_FLOAT, x <= y ? z : x)
    TG_BINARY(leaky_relu, FLOAT, x > 0 ? x : x * y)
    TG_TERNARY(leaky_relu_backward, FLOAT, y > 0 ? x : x * z)
    TG_TERNARY(hardtanh, INTEGER_AND_FLOAT, tg_min(tg_max(x, y), z))
    TG_BINARY(elu, FLOAT, x > 0 ? x : y * tg_expm1(x))
    TG_BINARY(celu, FLOAT, x > 0 ? x : y * tg_expm1(x / y))
    TG_UNARY(selu, FLOAT, (T)1.0507009873554805 * (x > 0 ? x : (T)1.6732632423543772 * tg_expm1(x)))
    """
    const tg_kernel tg_k_threshold, tg_k_leaky_relu, tg_k_leaky_relu_backward, tg_k_hardtanh, tg_k_elu, tg_k_celu, tg_k_selu


def _leaky_relu_backward(grad, self, negative_slope):
    return handle("leaky_relu_backward")(grad, self, negative_slope)


elementwise(<size_t>&tg_k_threshold, "threshold(Tensor self, Number threshold, Number value)",
            partials={"self": lambda self, threshold: self > threshold}, method=False,
            reference="np.where(self <= threshold, value, self)",
            samples=lambda make: [((make(2, 3), 0.1, 20.0), {})], doc="Elements above a threshold, and a value in place of the others.")
elementwise(<size_t>&tg_k_leaky_relu, "leaky_relu(Tensor self, Number negative_slope=0.01)",
            vjp={"self": lambda grad, self, negative_slope: _leaky_relu_backward(grad, self, negative_slope)},
            jvp=lambda self, self_t, negative_slope: _leaky_relu_backward(self_t, self, negative_slope), method=False,
            reference="np.where(self > 0, self, negative_slope * self)",
            samples=lambda make: [((make(2, 3),), {}), ((make(4), 0.3), {})], doc="Each element, the negative ones times a slope.")
elementwise(<size_t>&tg_k_leaky_relu_backward, "leaky_relu_backward(Tensor grad_output, Tensor self, Number negative_slope)",
            partials={"grad_output": lambda self, negative_slope: where(self > 0, ones_like(self), float(negative_slope))}, inplace=False,
            reference="np.where(self > 0, grad_output, negative_slope * grad_output)", internal=True,
            samples=lambda make: [((make(4), make(4), 0.3), {})], doc="The gradient of `leaky_relu`.")
elementwise(<size_t>&tg_k_hardtanh, "hardtanh(Tensor self, Number min_val=-1, Number max_val=1)",
            partials={"self": lambda self, min_val, max_val: logical_not(logical_or(self <= min_val, self >= max_val))}, method=False,
            check=lambda self, min_val, max_val: _check_hardtanh(self, min_val, max_val),
            reference="np.clip(self, min_val, max_val)", samples=lambda make: [((make(3, 4), 0, 1), {})],
            doc="Each element, but no less than `min_val` and no more than `max_val`.")
composite("relu6(Tensor self)", lambda self: hardtanh(self, 0, 6), method=False, reference="np.clip(self, 0, 6)",
          samples=lambda make: [((make(4, low=4, high=8),), {})], doc="``min(max(x, 0), 6)`` of each element.")
composite("relu6_(Tensor! self)", lambda self: hardtanh_(self, 0, 6), method=False, doc="The in-place form of `relu6`.")
elementwise(<size_t>&tg_k_elu, "elu(Tensor self, Number alpha=1.0)", method=False,
            partials={"self": lambda self, alpha, out: where(self <= 0, out + alpha, 1.0)},
            reference="np.where(self > 0, self, alpha * np.expm1(np.minimum(self, 0)))",
            samples=lambda make: [((make(2, 3),), {}), ((make(4), 0.5), {})],
            doc="Exponential linear unit: ``alpha * (exp(x) - 1)`` where an element is negative.")
elementwise(<size_t>&tg_k_celu, "celu(Tensor self, Number alpha=1.0)", check=lambda self, alpha: _check_celu(alpha),
            partials={"self": lambda self, alpha, out: where(self <= 0, out / alpha + 1, 1.0)}, method=False,
            reference="np.where(self > 0, self, alpha * np.expm1(np.minimum(self, 0) / alpha))",
            samples=lambda make: [((make(2, 3),), {}), ((make(4), 0.5), {})],
            doc="Exponential linear unit with a continuous derivative: ``alpha * (exp(x / alpha) - 1)`` where an element is negative.")
elementwise(<size_t>&tg_k_selu, "selu(Tensor self)", node="elu", method=False,
            partials={"self": lambda self, out: where(self <= 0, out + SELU_SCALE * SELU_ALPHA, SELU_SCALE)},
            reference="1.0507009873554805 * np.where(self > 0, self, 1.6732632423543772 * np.expm1(np.minimum(self, 0)))",
            doc="Scaled exponential linear unit, which keeps mean zero and variance one.")


def _check_hardtanh(self, min_val, max_val):
    if not self.is_signed() and (min_val < 0 or max_val < 0):
        raise RuntimeError(f"cannot do hardtanh on an unsigned type with negative limits: they must be at least 0 for {self.dtype}, "
                           f"got {min_val} and {max_val}")


def _check_celu(alpha):
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")


cdef int check_real(TensorBase x, str name) except -1:
    if x.dtype.category != CAT_FLOAT:
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name(x).partition('.')[2].removesuffix('Tensor')}'")
    return 0


# ---- smooth activations ------------------------------------------------------------------------------
cdef extern from *:
    """
    TG_UNARY(gelu, FLOAT, (T)0.5 * x * (1 + tg_erf(x * (T)0.7071067811865476)))
    TG_BINARY(gelu_backward, FLOAT, x * ((T)0.5 * (1 + tg_erf(y * (T)0.7071067811865476))                 \
                                         + y * (T)0.3989422804014327 * tg_exp((T)-0.5 * y * y)))
    TG_UNARY(gelu_tanh, FLOAT, (T)0.5 * x * (1 + tg_tanh((T)0.7978845608028654 * (x + (T)0.044715 * x * x * x))))
    TG_UNARY(silu, FLOAT_AND_COMPLEX, x / (1 + tg_exp(-x)))
    TG_BINARY(silu_backward, FLOAT, x * tg_sigmoid(y) * (1 + y * (1 - tg_sigmoid(y))))
    TG_TERNARY(softplus, FLOAT, x * y > z ? x : tg_log1p(tg_exp(x * y)) / y)
    TG_UNARY(mish, FLOAT, x * tg_tanh(tg_log1p(tg_exp(x))))
    TG_UNARY(logsigmoid, FLOAT, tg_min(x, (T)0) - tg_log1p(tg_exp(-tg_abs(x))))
    """
    const tg_kernel tg_k_gelu, tg_k_gelu_backward, tg_k_gelu_tanh, tg_k_silu, tg_k_silu_backward, tg_k_softplus, tg_k_mish
    const tg_kernel tg_k_logsigmoid


def _normal_density(x):
    return INV_SQRT_2PI * exp(-0.5 * x * x)


def _gelu_slope(x):
    """Phi(x) + x phi(x)"""
    return 0.5 * (1 + erf(x * INV_SQRT_2)) + x * _normal_density(x)


def _gelu_tanh_slope(x):
    """With u = k (x + a x^3): (1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2"""
    t = tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (GELU_SCALE * (1 + 3 * GELU_CUBE * x * x))


def _silu_slope(x):
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def _silu_curvature(x):
    s = sigmoid(x)
    return s * (1 - s) * (2 + x * (1 - 2 * s))


def _mish_slope(x):
    """With w = tanh(softplus(x)): w + x sigmoid(x) (1 - w^2)"""
    w = tanh(softplus(x))
    return w + x * sigmoid(x) * (1 - w * w)


elementwise(<size_t>&tg_k_gelu, "_gelu(Tensor self)", node="gelu",
            vjp={"self": lambda grad, self: handle("gelu_backward")(grad, self)},
            jvp=lambda self, self_t: handle("gelu_backward")(self_t, self), internal=True,
            reference="0.5 * self * (1 + np.vectorize(math.erf, otypes=[float])(self / np.sqrt(2)))", doc="`gelu` by the error function.")
elementwise(<size_t>&tg_k_gelu_backward, "gelu_backward(Tensor grad_output, Tensor self)", inplace=False, internal=True,
            partials={"grad_output": lambda self: _gelu_slope(self),
                      "self": lambda grad_output, self: grad_output * (2 - self * self) * _normal_density(self)},
            reference="grad_output * (0.5 * (1 + np.vectorize(math.erf, otypes=[float])(self / np.sqrt(2)))"
                      " + self * np.exp(-0.5 * self * self) / np.sqrt(2 * np.pi))", doc="The gradient of `gelu`.")
elementwise(<size_t>&tg_k_gelu_tanh, "_gelu_tanh(Tensor self)", node="gelu", partials={"self": lambda self: _gelu_tanh_slope(self)},
            internal=True, reference="0.5 * self * (1 + np.tanh(np.sqrt(2 / np.pi) * (self + 0.044715 * self ** 3)))",
            doc="`gelu` by the hyperbolic tangent.")
composite("gelu(Tensor self, *, str approximate='none')", lambda self, approximate: _gelu_by(self, approximate, "_gelu"), method=False,
          reference="0.5 * self * (1 + np.vectorize(math.erf, otypes=[float])(self / np.sqrt(2)))",
          samples=lambda make: [((make(2, 3),), {})], doc="""Each element times the probability that a normal number is smaller.

    Parameters
    ----------
    self : Tensor
    approximate : str, default: 'none'
        'tanh' approximates the normal distribution by a hyperbolic tangent.
    """)
composite("gelu_(Tensor! self, *, str approximate='none')",
          lambda self, approximate: handle(_gelu_name(approximate) + "_")(self), method=False, doc="The in-place form of `gelu`.")


def _gelu_name(approximate):
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return "_gelu" if approximate == "none" else "_gelu_tanh"


def _gelu_by(self, approximate, name):
    return handle(_gelu_name(approximate))(self)


elementwise(<size_t>&tg_k_silu, "silu(Tensor self)", method=False,
            vjp={"self": lambda grad, self: (handle("silu_backward")(grad, self) if not self.is_complex()
                                             else grad * handle("conj_physical")(_silu_slope(self)))},
            jvp=lambda self, self_t: handle("silu_backward")(self_t, self) if not self.is_complex() else self_t * _silu_slope(self),
            reference="self / (1 + np.exp(-self))", doc="Each element times its `sigmoid`.")
elementwise(<size_t>&tg_k_silu_backward, "silu_backward(Tensor grad_output, Tensor self)", inplace=False, internal=True,
            partials={"grad_output": lambda self: _silu_slope(self),
                      "self": lambda grad_output, self: grad_output * _silu_curvature(self)},
            reference="grad_output * (1 + self * (1 - 1 / (1 + np.exp(-self)))) / (1 + np.exp(-self))", doc="The gradient of `silu`.")
elementwise(<size_t>&tg_k_softplus, "softplus(Tensor self, Number beta=1, Number threshold=20)", method=False,
            partials={"self": lambda self, beta, threshold: where(self * beta > threshold, 1.0, sigmoid(self * beta))},
            reference="np.where(self * beta > threshold, self, np.log1p(np.exp(np.minimum(self * beta, threshold))) / beta)",
            samples=lambda make: [((make(2, 3),), {}), ((make(4), 2.0, 1.0), {})],
            doc="``log(1 + exp(beta * x)) / beta`` of each element; the element itself where ``beta * x`` is above the threshold.")
elementwise(<size_t>&tg_k_mish, "mish(Tensor self)", partials={"self": lambda self: _mish_slope(self)}, method=False,
            reference="self * np.tanh(np.log1p(np.exp(self)))", doc="Each element times the `tanh` of its `softplus`.")
elementwise(<size_t>&tg_k_logsigmoid, "logsigmoid(Tensor self)", node="log_sigmoid", partials={"self": lambda self: sigmoid(-self)},
            method=False, inplace=False, reference="-np.log1p(np.exp(-self))",
            doc="Logarithm of the `sigmoid` of each element, without its loss of precision.")


def _glu(TensorBase self, int dim):
    check_real(self, "glu_cpu")
    if self.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if self.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {self.shape[dim]}")
    value, gate = chunk(self, 2, dim)
    return value * sigmoid(gate)


def _glu_vjp(grad, self, dim):
    value, gate = chunk(self, 2, dim)
    s = sigmoid(gate)
    return cat((grad * s, grad * value * s * (1 - s)), dim)


def _glu_jvp(self, self_t, dim):
    value, gate = chunk(self, 2, dim)
    value_t, gate_t = chunk(self_t, 2, dim)
    s = sigmoid(gate)
    return value_t * s + value * gate_t * s * (1 - s)


operator("glu(Tensor self, Dim dim=-1)", _glu, vjp={"self": lambda grad, self, dim: _glu_vjp(grad, self, dim)}, method=False,
         jvp=lambda self, self_t, dim: _glu_jvp(self, self_t, dim),
         reference="np.split(self, 2, dim)[0] / (1 + np.exp(-np.split(self, 2, dim)[1]))",
         samples=lambda make: [((make(2, 4),), {}), ((make(2, 3), 0), {})],
         doc="Gated linear unit: the first half of a dimension times the `sigmoid` of the second.")


# ---- softmax -----------------------------------------------------------------------------------------
cdef TensorBase _softmax_by(TensorBase self, int dim, bint logarithm):
    """Halves are computed as floats, as the other reductions are."""
    cdef TensorBase out, x
    check_real(self, "log_softmax_lastdim_kernel_impl" if logarithm else "softmax_lastdim_kernel_impl")
    if self.dtype.code == TG_F16 or self.dtype.code == TG_BF16:
        return to(_softmax_by(to(self, dtype_of(TG_F32)), dim, logarithm), self.dtype)
    out = empty(self.ndim, self.shape, self.dtype, self.storage.device)
    if self.numel == 0:
        return out
    x = fused.packed(self)
    return out if fused.softmax(logarithm, out, x, dim) else _softmax_of_others(x, dim, logarithm)


def _softmax_of_others(self, dim, logarithm):
    shifted = sub(self, amax(self, dim, True))
    if logarithm:
        return shifted.sub_(log(sum_(exp(shifted), (dim,), True)))
    e = exp_(shifted)
    return div_(e, sum_(e, (dim,), True))


def _softmax(TensorBase self, int dim):
    return _softmax_by(self, dim, False)


def _log_softmax(TensorBase self, int dim):
    return _softmax_by(self, dim, True)


cdef TensorBase _softmax_backward_by(TensorBase grad_output, TensorBase output, int dim, bint logarithm):
    cdef TensorBase out
    check_real(grad_output, "log_softmax_backward" if logarithm else "softmax_backward")
    check_real(output, "log_softmax_backward" if logarithm else "softmax_backward")
    if grad_output.dtype.code == TG_F16 or grad_output.dtype.code == TG_BF16:
        return to(_softmax_backward_by(to(grad_output, dtype_of(TG_F32)), to(output, dtype_of(TG_F32)), dim, logarithm),
                  grad_output.dtype)
    if grad_output.dtype is not output.dtype or not _same_shape(grad_output, output):
        raise RuntimeError("softmax_backward: expected a gradient of the output's shape and dtype, got "
                           f"{tuple((<object>grad_output).shape)}, {grad_output.dtype} and {tuple((<object>output).shape)}, {output.dtype}")
    out = empty(output.ndim, output.shape, output.dtype, output.storage.device)
    if output.numel == 0 or fused.softmax_backward(logarithm, out, fused.packed(grad_output), fused.packed(output), dim):
        return out
    if logarithm:
        return grad_output - exp(output) * sum_(grad_output, (dim,), True)
    weighted = mul(grad_output, output)
    return weighted.sub_(output * sum_(weighted, (dim,), True))


cdef bint _same_shape(TensorBase x, TensorBase y):
    cdef int d
    if x.ndim != y.ndim:
        return False
    for d in range(x.ndim):
        if x.shape[d] != y.shape[d]:
            return False
    return True


def _softmax_backward(TensorBase grad_output, TensorBase output, int dim):
    return _softmax_backward_by(grad_output, output, dim, False)


def _log_softmax_backward(TensorBase grad_output, TensorBase output, int dim):
    return _softmax_backward_by(grad_output, output, dim, True)


# What softmax's inputs get: the same linear map serves both directions, for its Jacobian is symmetric.
cdef Operator softmax_backward = handle("_softmax_backward_data")
cdef Operator log_softmax_backward = handle("_log_softmax_backward_data")
operator("softmax(Tensor self, Dim dim)", _softmax,
         vjp={"self": lambda grad, out, dim: softmax_backward(grad, out, dim)},
         jvp=lambda self_t, out, dim: softmax_backward(self_t, out, dim),
         reference="np.exp(self) / np.exp(self).sum(dim, keepdims=True)",
         samples=lambda make: [((make(2, 3), 1), {}), ((make(3, 2), 0), {})],
         doc="""Exponentials of the elements, over their sum along a dimension.

    Parameters
    ----------
    self : Tensor
    dim : int
    dtype : dtype, optional
        The input is converted to it first.

    Examples
    --------
    >>> tensorgrad.softmax(tensorgrad.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """)
composite("softmax(Tensor self, Dim dim, DType? dtype)",
          lambda self, dim, dtype: handle("softmax")(self if dtype is None else to(self, dtype), dim))
operator("log_softmax(Tensor self, Dim dim)", _log_softmax,
         vjp={"self": lambda grad, out, dim: log_softmax_backward(grad, out, dim)},
         jvp=lambda self_t, out, dim: self_t - sum_(exp(out) * self_t, (dim,), True),
         reference="self - np.log(np.exp(self).sum(dim, keepdims=True))",
         samples=lambda make: [((make(2, 3), 1), {}), ((make(3, 2), 0), {})],
         doc="Logarithm of `softmax`, without its loss of precision.")
composite("log_softmax(Tensor self, Dim dim, DType? dtype)",
          lambda self, dim, dtype: handle("log_softmax")(self if dtype is None else to(self, dtype), dim))


operator("_softmax_backward_data(Tensor grad_output, Tensor output, Dim dim)", _softmax_backward, internal=True,
         node="softmax_backward_data",
         vjp={"grad_output": lambda grad, output, dim: softmax_backward(grad, output, dim),
              "output": lambda grad, grad_output, output, dim: _softmax_output_vjp(grad, grad_output, output, dim)},
         jvp=lambda grad_output, output, dim, grad_output_t, output_t:
         _softmax_backward_jvp(grad_output, output, dim, grad_output_t, output_t),
         reference="output * (grad_output - (grad_output * output).sum(dim, keepdims=True))",
         samples=lambda make: [((make(2, 3), make(2, 3), 1), {})], doc="The gradient of `softmax`, from its output.")
operator("_log_softmax_backward_data(Tensor grad_output, Tensor output, Dim dim)", _log_softmax_backward, internal=True,
         node="log_softmax_backward_data",
         vjp={"grad_output": lambda grad, output, dim: grad - sum_(grad * exp(output), (dim,), True),
              "output": lambda grad, grad_output, output, dim: -grad * exp(output) * sum_(grad_output, (dim,), True)},
         jvp=lambda grad_output, output, dim, grad_output_t, output_t:
         _log_softmax_backward_jvp(grad_output, output, dim, grad_output_t, output_t),
         reference="grad_output - np.exp(output) * grad_output.sum(dim, keepdims=True)",
         samples=lambda make: [((make(2, 3), make(2, 3), 1), {})], doc="The gradient of `log_softmax`, from its output.")


def _softmax_output_vjp(grad, grad_output, output, dim):
    return (grad * (grad_output - sum_(grad_output * output, (dim,), True))
            - grad_output * sum_(grad * output, (dim,), True))


def _softmax_backward_jvp(grad_output, output, dim, grad_output_t, output_t):
    tangent = None if grad_output_t is None else softmax_backward(grad_output_t, output, dim)
    if output_t is None:
        return tangent
    moved = (output_t * (grad_output - sum_(grad_output * output, (dim,), True))
             - output * sum_(grad_output * output_t, (dim,), True))
    return moved if tangent is None else tangent + moved


def _log_softmax_backward_jvp(grad_output, output, dim, grad_output_t, output_t):
    tangent = None if grad_output_t is None else grad_output_t - exp(output) * sum_(grad_output_t, (dim,), True)
    if output_t is None:
        return tangent
    moved = exp(output) * output_t * sum_(grad_output, (dim,), True)
    return -moved if tangent is None else tangent - moved


# ---- a layer and its activation ------------------------------------------------------------------------
def _linear_relu_vjp(grad, out, input, weight, bias_shape, needs):
    grad = threshold_backward(grad, out)
    return (linear_input_vjp(grad, weight) if needs[0] else None,
            linear_weight_vjp(grad, input, weight.shape) if needs[1] else None,
            linear_bias_vjp(grad, bias_shape, weight.shape) if needs[2] else None)


operator("linear_relu(Tensor input, Tensor weight, Tensor? bias=None)", lambda input, weight, bias: relu_(linear(input, weight, bias)),
         batch=lambda batch_size, in_dims, *args: (relu(linear_batch(batch_size, in_dims, *args)[0]), 0), method=False,
         vjp=lambda grad, out, input, weight, bias_shape, needs: _linear_relu_vjp(grad, out, input, weight, bias_shape, needs),
         jvp=lambda input, weight, input_t, weight_t, bias_t, out:
         threshold_backward(_linear_jvp(input, weight, input_t, weight_t, bias_t) + 0 * out, out),
         reference="np.maximum(input @ weight.T + (0 if bias is None else bias), 0)",
         samples=lambda make: [((make(2, 3), make(4, 3), make(4)), {}), ((make(2, 2, 3), make(4, 3)), {})],
         doc="``relu(linear(input, weight, bias))``, without a tensor in between.")


# ---- dropout ---------------------------------------------------------------------------------------------
cdef extern from *:
    """
    TG_SELECT(masked_scale, FLOAT_AND_COMPLEX, x ? y * z : (T)0)
    """
    const tg_kernel tg_k_masked_scale

cdef Operator masked_scale = handle("_masked_scale")
cdef Operator native_dropout = handle("native_dropout")

elementwise(<size_t>&tg_k_masked_scale, "_masked_scale(Tensor mask, Tensor self, Number scale)", inplace=False, internal=True,
            vjp={"self": lambda grad, mask, scale: masked_scale(mask, grad, scale)},
            jvp=lambda mask, self_t, scale: masked_scale(mask, self_t, scale), reference="np.where(mask, self * scale, 0)",
            doc="Elements times a number where the mask holds, zeros elsewhere.")


def _check_probability(p):
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")


def _native_dropout(TensorBase input, double p, train):
    cdef TensorBase mask
    _check_probability(p)
    if input.dtype.category < CAT_FLOAT:
        raise RuntimeError(f"result type Float can't be cast to the desired output type "
                           f"{type_name(input).partition('.')[2].removesuffix('Tensor')}")
    mask = empty_like(input, dtype=bool)
    if not train:
        return mask.fill_(True), 1.0
    return mask.bernoulli_(1 - p), 0.0 if p == 1 else 1 / (1 - p)


def _dropped(input, p, train):
    mask, scale = _native_dropout(input, p, train)
    return masked_scale(mask, input, scale), mask


def _dropout_scale(p, train):
    return 1.0 if train is False else (0.0 if p == 1 else 1 / (1 - p))


operator("native_dropout(Tensor input, float p, bool? train) -> (Tensor output, Tensor mask)", _dropped, random=True, method=False,
         nondifferentiable=("mask",),
         vjp={"input": lambda grad_output, mask, p, train: masked_scale(mask, grad_output, _dropout_scale(p, train))},
         jvp=lambda input_t, mask, p, train: (masked_scale(mask, input_t, _dropout_scale(p, train)), None),
         doc="`dropout`, and the mask of the elements that it kept.")
composite("dropout(Tensor input, float p=0.5, bool train=True)", lambda input, p, train: _dropout(input, p, train), method=False,
          doc="""Zeros in place of elements with probability `p`, the others times ``1 / (1 - p)``.

    Parameters
    ----------
    input : Tensor
    p : float, default: 0.5
    train : bool, default: True
        False returns the input as it is.

    Examples
    --------
    >>> tensorgrad.dropout(tensorgrad.ones(2), p=0.5, train=False)
    tensor([1., 1.])
    """)
composite("dropout_(Tensor! self, float p=0.5, bool train=True)", lambda self, p, train: _dropout_inplace(self, p, train), method=False,
          doc="The in-place form of `dropout`.")


def _dropout(input, p, train):
    _check_probability(p)
    if not train or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input * 0.0 if input.is_floating_point() or input.is_complex() else native_dropout(input, p, True)[0]
    return native_dropout(input, p, True)[0]


def _dropout_inplace(self, p, train):
    _check_probability(p)
    if not train or p == 0 or self.numel() == 0:
        return self
    if p == 1:
        return self.mul_(0.0)
    return self.mul_(empty_like(self).bernoulli_(1 - p).div_(1 - p))
