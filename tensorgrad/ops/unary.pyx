"""Elementwise operators of one tensor.

Each operator stands here whole: the expression that the loops are made of (kernels/cpu/loops.h), then
the declaration with its partial derivative. Adding one needs nothing anywhere else.
"""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport native
from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.dtype cimport TG_BOOL, TG_I64, dtype_of
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.types cimport TensorBase

from tensorgrad._core.declaration import composite, elementwise

cdef Operator conj = handle("conj_physical")
cdef Operator tanh_backward, sigmoid_backward, threshold_backward, sgn
sgn = handle("sgn")
tanh_backward, sigmoid_backward = handle("tanh_backward"), handle("sigmoid_backward")
threshold_backward = handle("threshold_backward")
cdef Operator sin, cos, exp, log, sqrt, rsqrt, where, zeros_like, real, full_like
sin, cos, exp, log, sqrt, rsqrt = handle("sin"), handle("cos"), handle("exp"), handle("log"), handle("sqrt"), handle("rsqrt")
where, zeros_like, real, full_like = handle("where"), handle("zeros_like"), handle("real"), handle("full_like")
cdef Operator sinh, cosh, tanh
cdef Operator infinite = handle("_isinf"), square_of = handle("_square"), to = handle("to")
sinh, cosh, tanh = handle("sinh"), handle("cosh"), handle("tanh")

# pi/180, 2/sqrt(pi), ln 2, ln 10
RADIANS_PER_DEGREE = 0.017453292519943295
TWO_OVER_SQRT_PI = 1.1283791670955126
LN2 = 0.6931471805599453
LN10 = 2.302585092994046

# ---- trigonometric and hyperbolic -------------------------------------------------------------
cdef extern from *:
    """
    #include "loops.h"
    TG_UNARY_WITHIN(sin, FLOAT_AND_COMPLEX, TG_TRIG_LIMIT, tg_sin(x))
    TG_UNARY_WITHIN(cos, FLOAT_AND_COMPLEX, TG_TRIG_LIMIT, tg_cos(x))
    TG_UNARY_WITHIN(tan, FLOAT_AND_COMPLEX, TG_TRIG_LIMIT, tg_tan(x))
    TG_UNARY(asin, FLOAT_AND_COMPLEX, tg_asin(x))
    TG_UNARY(acos, FLOAT_AND_COMPLEX, tg_acos(x))
    TG_UNARY(atan, FLOAT_AND_COMPLEX, tg_atan(x))
    TG_UNARY(sinh, FLOAT_AND_COMPLEX, tg_sinh(x))
    TG_UNARY(cosh, FLOAT_AND_COMPLEX, tg_cosh(x))
    TG_UNARY(tanh, FLOAT_AND_COMPLEX, tg_tanh(x))
    TG_UNARY(asinh, FLOAT_AND_COMPLEX, tg_asinh(x))
    TG_UNARY(acosh, FLOAT_AND_COMPLEX, tg_acosh(x))
    TG_UNARY(atanh, FLOAT_AND_COMPLEX, tg_atanh(x))
    """
    const tg_kernel tg_k_sin, tg_k_cos, tg_k_tan, tg_k_asin, tg_k_acos, tg_k_atan
    const tg_kernel tg_k_sinh, tg_k_cosh, tg_k_tanh, tg_k_asinh, tg_k_acosh, tg_k_atanh

elementwise(<size_t>&tg_k_sin, "sin(Tensor self)", to_float=True, partials={"self": lambda self: cos(self)},
            reference="np.sin(self)", doc="""Sine of each element, in radians.

    Examples
    --------
    >>> tensorgrad.sin(tensorgrad.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8415])
    """)
elementwise(<size_t>&tg_k_cos, "cos(Tensor self)", to_float=True, partials={"self": lambda self: -sin(self)},
            reference="np.cos(self)", doc="""Cosine of each element, in radians.

    Examples
    --------
    >>> tensorgrad.cos(tensorgrad.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5403])
    """)
elementwise(<size_t>&tg_k_tan, "tan(Tensor self)", to_float=True, partials={"self": lambda out: 1 + out * out},
            reference="np.tan(self)", domain=(-1.3, 1.3), doc="Tangent of each element, in radians.")
elementwise(<size_t>&tg_k_asin, "asin(Tensor self)", to_float=True, partials={"self": lambda self: rsqrt(1 - self * self)},
            reference="np.arcsin(self)", domain=(-0.9, 0.9), aliases=("arcsin",), doc="Inverse sine of each element.")
elementwise(<size_t>&tg_k_acos, "acos(Tensor self)", to_float=True, partials={"self": lambda self: -rsqrt(1 - self * self)},
            reference="np.arccos(self)", domain=(-0.9, 0.9), aliases=("arccos",), doc="Inverse cosine of each element.")
elementwise(<size_t>&tg_k_atan, "atan(Tensor self)", to_float=True, partials={"self": lambda self: 1 / (self * self + 1)},
            reference="np.arctan(self)", domain=(-0.9, 0.9), aliases=("arctan",), doc="Inverse tangent of each element.")
elementwise(<size_t>&tg_k_sinh, "sinh(Tensor self)", to_float=True, partials={"self": lambda self: cosh(self)},
            reference="np.sinh(self)", doc="Hyperbolic sine of each element.")
elementwise(<size_t>&tg_k_cosh, "cosh(Tensor self)", to_float=True, partials={"self": lambda self: sinh(self)},
            reference="np.cosh(self)", doc="Hyperbolic cosine of each element.")
elementwise(<size_t>&tg_k_tanh, "tanh(Tensor self)", to_float=True, partials={"self": lambda out: 1 - out * out},
            vjp={"self": lambda grad, out: tanh_backward(grad, out) if not out.is_complex() else grad * conj(1 - out * out)},
            reference="np.tanh(self)", doc="Hyperbolic tangent of each element.")
elementwise(<size_t>&tg_k_asinh, "asinh(Tensor self)", to_float=True, partials={"self": lambda self: rsqrt(self * self + 1)},
            reference="np.arcsinh(self)", domain=(-0.9, 0.9), aliases=("arcsinh",), doc="Inverse hyperbolic sine of each element.")
elementwise(<size_t>&tg_k_acosh, "acosh(Tensor self)", to_float=True,
            partials={"self": lambda self: rsqrt(self - 1) * rsqrt(self + 1)},
            reference="np.arccosh(self)", domain=(1.2, 4.0), aliases=("arccosh",), doc="Inverse hyperbolic cosine of each element.")
elementwise(<size_t>&tg_k_atanh, "atanh(Tensor self)", to_float=True, partials={"self": lambda self: 1 / (1 - self * self)},
            reference="np.arctanh(self)", domain=(-0.9, 0.9), aliases=("arctanh",),
            doc="Inverse hyperbolic tangent of each element.")

# ---- exponentials, logarithms, roots --------------------------------------------------------------
cdef extern from *:
    """
    /* C's library has these for real numbers only */
    static inline tg_c128 tg_exp2_c128(tg_c128 z) { return cexp(z * 0.69314718055994530942); }
    static inline tg_c128 tg_expm1_c128(tg_c128 z) {
        const double s = sin(cimag(z) / 2), c = cos(cimag(z));
        return tg_make_c128(expm1(creal(z)) * c - 2 * s * s, exp(creal(z)) * sin(cimag(z)));
    }
    static inline tg_c128 tg_log1p_c128(tg_c128 z) {
        const double a = creal(z), b = cimag(z);
        if (fabs(a) > 0.5 || fabs(b) > 0.5) return clog(tg_make_c128(1 + a, b));
        return tg_make_c128(0.5 * log1p(a * (2 + a) + b * b), atan2(b, 1 + a));
    }
    static inline tg_c64 tg_exp2_c64(tg_c64 z) { return (tg_c64)tg_exp2_c128(z); }
    static inline tg_c64 tg_expm1_c64(tg_c64 z) { return (tg_c64)tg_expm1_c128(z); }
    static inline tg_c64 tg_log1p_c64(tg_c64 z) { return (tg_c64)tg_log1p_c128(z); }
    #undef tg_exp2
    #undef tg_expm1
    #undef tg_log1p
    #define TG_WITH_COMPLEX(x, NAME)                                                                    \
        _Generic((x), float: tg_v##NAME##_f32, double: tg_v##NAME##_f64, tg_c64: tg_##NAME##_c64, tg_c128: tg_##NAME##_c128)(x)
    #define tg_exp2(x) TG_WITH_COMPLEX(x, exp2)
    #define tg_expm1(x) TG_WITH_COMPLEX(x, expm1)
    #define tg_log1p(x) TG_WITH_COMPLEX(x, log1p)
    TG_UNARY(exp, FLOAT_AND_COMPLEX, tg_exp(x))
    TG_UNARY(exp2, FLOAT_AND_COMPLEX, tg_exp2(x))
    TG_UNARY(expm1, FLOAT_AND_COMPLEX, tg_expm1(x))
    TG_UNARY(log, FLOAT_AND_COMPLEX, tg_log(x))
    TG_UNARY(log2, FLOAT_AND_COMPLEX, tg_log2(x))
    TG_UNARY(log10, FLOAT_AND_COMPLEX, tg_log10(x))
    TG_UNARY(log1p, FLOAT_AND_COMPLEX, tg_log1p(x))
    TG_UNARY(sqrt, FLOAT_AND_COMPLEX, tg_sqrt(x))
    TG_UNARY(rsqrt, FLOAT_AND_COMPLEX, 1 / tg_sqrt(x))
    TG_UNARY(reciprocal, FLOAT_AND_COMPLEX, 1 / x)
    TG_UNARY(square, NUMERIC, x * x)
    """
    const tg_kernel tg_k_exp, tg_k_exp2, tg_k_expm1, tg_k_log, tg_k_log2, tg_k_log10, tg_k_log1p
    const tg_kernel tg_k_sqrt, tg_k_rsqrt, tg_k_reciprocal, tg_k_square

elementwise(<size_t>&tg_k_exp, "exp(Tensor self)", to_float=True, partials={"self": "out"},
            reference="np.exp(self)", doc="""Exponential of each element.

    Examples
    --------
    >>> tensorgrad.exp(tensorgrad.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """)
elementwise(<size_t>&tg_k_exp2, "exp2(Tensor self)", to_float=True, partials={"self": lambda out: out * LN2},
            reference="np.exp2(self)", doc="Two to the power of each element.")
elementwise(<size_t>&tg_k_expm1, "expm1(Tensor self)", to_float=True, partials={"self": lambda out: out + 1},
            reference="np.expm1(self)", doc="``exp(x) - 1`` of each element, without cancellation near zero.")
elementwise(<size_t>&tg_k_log, "log(Tensor self)", to_float=True, partials={"self": lambda self: 1 / self},
            vjp={"self": lambda grad, self: grad / conj(self)},
            reference="np.log(self)", domain=(0.2, 4.0), doc="Natural logarithm of each element.")
elementwise(<size_t>&tg_k_log2, "log2(Tensor self)", to_float=True, partials={"self": lambda self: 1 / (self * LN2)},
            reference="np.log2(self)", domain=(0.2, 4.0), doc="Logarithm to base two of each element.")
elementwise(<size_t>&tg_k_log10, "log10(Tensor self)", to_float=True, partials={"self": lambda self: 1 / (self * LN10)},
            reference="np.log10(self)", domain=(0.2, 4.0), doc="Logarithm to base ten of each element.")
elementwise(<size_t>&tg_k_log1p, "log1p(Tensor self)", to_float=True, partials={"self": lambda self: 1 / (self + 1)},
            reference="np.log1p(self)", domain=(-0.5, 3.0), doc="``log(1 + x)`` of each element, accurate near zero.")
elementwise(<size_t>&tg_k_sqrt, "sqrt(Tensor self)", to_float=True, partials={"self": lambda out: 1 / (2 * out)},
            vjp={"self": lambda grad, out: grad / (2 * conj(out))},
            reference="np.sqrt(self)", domain=(0.2, 4.0), doc="Square root of each element.")
elementwise(<size_t>&tg_k_rsqrt, "rsqrt(Tensor self)", to_float=True, partials={"self": lambda out: -0.5 * out * out * out},
            reference="1 / np.sqrt(self)", domain=(0.2, 4.0), doc="Reciprocal of the square root of each element.")
elementwise(<size_t>&tg_k_reciprocal, "reciprocal(Tensor self)", to_float=True, partials={"self": lambda out: -out * out},
            reference="1 / self", domain=(0.2, 4.0), doc="Reciprocal of each element.")
elementwise(<size_t>&tg_k_square, "_square(Tensor self)", partials={"self": lambda self: 2 * self}, internal=True,
            reference="self * self", node="pow", doc="`square` of numbers.")


cdef object _square(PyObject** a):
    """As `pow` has it, the square of a bool is an int64."""
    cdef TensorBase self = <TensorBase>a[0]
    return call2(to, self, dtype_of(TG_I64)) if self.dtype.code == TG_BOOL else call1(square_of, self)


composite("square(Tensor self)", native(_square), inplace=True, reference="self * (self * 1)", doc="Square of each element.")

# ---- sigmoid and its kin -------------------------------------------------------------------------------
cdef extern from *:
    """
    TG_UNARY(sigmoid, FLOAT_AND_COMPLEX, tg_sigmoid(x))
    TG_UNARY(relu, INTEGER_AND_FLOAT, x > 0 ? x : (x != x ? x : (T)0))
    TG_UNARY(erf, FLOAT, tg_erf(x))
    TG_UNARY(erfc, FLOAT, tg_erfc(x))
    TG_BINARY(tanh_backward, FLOAT, x * (1 - y * y))
    TG_BINARY(sigmoid_backward, FLOAT, x * y * (1 - y))
    TG_BINARY(threshold_backward, INTEGER_AND_FLOAT, y <= 0 ? (T)0 : x)
    """
    const tg_kernel tg_k_sigmoid, tg_k_relu, tg_k_erf, tg_k_erfc
    const tg_kernel tg_k_tanh_backward, tg_k_sigmoid_backward, tg_k_threshold_backward

elementwise(<size_t>&tg_k_sigmoid, "sigmoid(Tensor self)", to_float=True, partials={"self": lambda out: out * (1 - out)},
            vjp={"self": lambda grad, out: (sigmoid_backward(grad, out) if not out.is_complex()
                                            else grad * conj(out * (1 - out)))},
            reference="1 / (1 + np.exp(self * -1.0))", aliases=("special_expit",), doc="""Logistic function of each element.

    Notes
    -----
    ``sigmoid(x) = 1 / (1 + exp(-x))``
    """)
elementwise(<size_t>&tg_k_relu, "relu(Tensor self)", partials={"self": lambda out: ~(out <= 0)},
            vjp={"self": lambda grad, out: threshold_backward(grad, out)},
            reference="np.maximum(self, 0)", domain=(0.1, 2.0), doc="The positive part of each element, ``max(x, 0)``.")
elementwise(<size_t>&tg_k_erf, "erf(Tensor self)", to_float=True,
            partials={"self": lambda self: TWO_OVER_SQRT_PI * exp(-self * self)},
            reference="np.vectorize(math.erf, otypes=[float])(self)", doc="Error function of each element.")
elementwise(<size_t>&tg_k_erfc, "erfc(Tensor self)", to_float=True,
            partials={"self": lambda self: -TWO_OVER_SQRT_PI * exp(-self * self)},
            reference="np.vectorize(math.erfc, otypes=[float])(self)", doc="Complementary error function of each element.")
elementwise(<size_t>&tg_k_tanh_backward, "tanh_backward(Tensor grad_output, Tensor output)", inplace=False,
            partials={"grad_output": lambda output: 1 - output * output,
                      "output": lambda grad_output, output: -2 * grad_output * output},
            reference="grad_output * (1 - output * output)", doc="The gradient of `tanh`, from its output.", internal=True)
elementwise(<size_t>&tg_k_sigmoid_backward, "sigmoid_backward(Tensor grad_output, Tensor output)", inplace=False,
            partials={"grad_output": lambda output: output * (1 - output),
                      "output": lambda grad_output, output: grad_output * (1 - 2 * output)},
            reference="grad_output * output * (1 - output)", doc="The gradient of `sigmoid`, from its output.", internal=True)
elementwise(<size_t>&tg_k_threshold_backward, "threshold_backward(Tensor grad_output, Tensor self)", inplace=False,
            partials={"grad_output": lambda self: ~(self <= 0)}, reference="np.where(self <= 0, 0, grad_output)",
            doc="The gradient of `relu`: what comes back where the output was positive (or nan, which is not to be hidden).", internal=True)

# ---- sign, rounding, complex parts -------------------------------------------------------------------
cdef extern from *:
    """
    TG_UNARY(neg, NUMERIC, -x)
    TG_UNARY_REAL(abs, NUMERIC, tg_abs(x))
    TG_UNARY(sign, REAL, tg_sign(x))
    TG_UNARY(sgn, NUMERIC, tg_sign(x))
    TG_UNARY(floor, FLOAT, tg_floor(x))
    TG_UNARY(ceil, FLOAT, tg_ceil(x))
    TG_UNARY(trunc, FLOAT, tg_trunc(x))
    TG_UNARY(round, FLOAT, tg_rint(x))
    TG_UNARY(frac, FLOAT, x - tg_trunc(x))
    TG_UNARY(conj_physical, COMPLEX, tg_conj(x))
    TG_UNARY_REAL(real_part, COMPLEX, tg_real(x))
    TG_UNARY_REAL(imag_part, COMPLEX, tg_imag(x))
    TG_UNARY_REAL(angle_part, COMPLEX, tg_arg(x))
    """
    const tg_kernel tg_k_neg, tg_k_abs, tg_k_sign, tg_k_sgn, tg_k_floor, tg_k_ceil, tg_k_trunc, tg_k_round, tg_k_frac
    const tg_kernel tg_k_conj_physical, tg_k_real_part, tg_k_imag_part, tg_k_angle_part


def _neg_check(self):
    if str(self.dtype) == "tensorgrad.bool":
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
                           "use the `~` or `logical_not()` operator instead.")


elementwise(<size_t>&tg_k_neg, "neg(Tensor self)", partials={"self": -1}, reference="-self", aliases=("negative",),
            check_integers=_neg_check, doc="The negative of each element.")
elementwise(<size_t>&tg_k_abs, "abs(Tensor self)", vjp={"self": lambda grad, self: grad * sgn(self)},
            jvp=lambda self, self_t: real(self_t * conj(sgn(self))), reference="np.abs(self)", domain=(0.2, 2.0),
            aliases=("absolute",), doc="Absolute value of each element; of a complex one the modulus, a real number.")
elementwise(<size_t>&tg_k_sign, "sign(Tensor self)", partials={"self": 0}, reference="np.sign(self * 1)", domain=(0.2, 2.0),
            doc="The sign of each element: -1, 0 or 1.")
elementwise(<size_t>&tg_k_sgn, "sgn(Tensor self)",
            vjp={"self": lambda grad, self, out: _sgn_vjp(grad, self, out)},
            jvp=lambda self, self_t, out: _sgn_vjp(self_t, self, out),
            reference="np.where(self == 0, 0, self / np.abs(np.where(self == 0, 1, self)))", domain=(0.2, 2.0),
            doc="``x / |x|`` of each element, 0 of zero; of a real one the sign.")


def _sgn_vjp(grad, self, out):
    """The part of the change at right angles to x, over the modulus; a real sign does not change."""
    if not self.is_complex():
        return zeros_like(grad)
    modulus = self.abs()
    return where(modulus == 0, 0, (grad - real(grad / out) * out) / modulus)


elementwise(<size_t>&tg_k_floor, "floor(Tensor self)", partials={"self": 0}, reference="np.floor(self)", keep_integers=True,
            domain=(0.2, 0.8), doc="The largest integer that is not larger than each element.")
elementwise(<size_t>&tg_k_ceil, "ceil(Tensor self)", partials={"self": 0}, reference="np.ceil(self)", keep_integers=True,
            domain=(0.2, 0.8), doc="The smallest integer that is not smaller than each element.")
elementwise(<size_t>&tg_k_trunc, "trunc(Tensor self)", partials={"self": 0}, reference="np.trunc(self)", keep_integers=True,
            domain=(0.2, 0.8), aliases=("fix",), doc="Each element without its fraction.")
elementwise(<size_t>&tg_k_round, "round(Tensor self)", partials={"self": 0}, reference="np.round(self)", keep_integers=True,
            domain=(0.2, 0.4), doc="The nearest integer to each element, halves to the even one.")
elementwise(<size_t>&tg_k_frac, "frac(Tensor self)", partials={"self": 1}, reference="self - np.trunc(self)",
            domain=(0.2, 0.8), doc="The fraction of each element, with its sign.")
composite("round(Tensor self, *, int decimals)", lambda self, decimals: _round_to(self, 10.0 ** abs(decimals), decimals < 0), inplace=True,
          samples=lambda make: [((make(3, 4),), {"decimals": 1})],
          reference="np.round(self * 1.0, decimals)")


def _round_to(self, unit, up):
    return (self / unit).round() * unit if up else (self * unit).round() / unit


elementwise(<size_t>&tg_k_conj_physical, "conj_physical(Tensor self)", vjp={"self": lambda grad: conj(grad)}, jvp="linear",
            identity_of_real=True, reference="np.conj(self)", doc="The complex conjugate of each element.")
elementwise(<size_t>&tg_k_real_part, "_real(Tensor self)", vjp={"self": lambda grad: grad}, jvp="linear",
            identity_of_real=True, inplace=False, node="real", reference="np.real(self)",
            doc="The real part of each element, as a copy.", internal=True)
elementwise(<size_t>&tg_k_imag_part, "_imag(Tensor self)", vjp={"self": lambda grad: grad * 1j}, jvp="linear",
            inplace=False, node="imag", reference="np.imag(self)",
            doc="The imaginary part of each element, as a copy.", internal=True)
elementwise(<size_t>&tg_k_angle_part, "_angle(Tensor self)", vjp={"self": lambda grad, self: _angle_vjp(grad, self)},
            jvp=lambda self, self_t: real(-1j * self_t / self), inplace=False, node="angle", reference="np.angle(self)",
            doc="The argument of each element, in radians.", internal=True)


def _angle_vjp(grad, self):
    """d angle(x + iy) = (x dy - y dx) / |z|^2, and zero at zero."""
    return where(self == 0, 0, 1j * grad * self / (self.abs() * self.abs()))


# ---- tests ----------------------------------------------------------------------------------------------
cdef extern from *:
    """
    TG_TEST(isnan, NUMERIC, x != x)
    TG_TEST(isinf, REAL, x == x && x - x != x - x)
    TG_TEST(isfinite, NUMERIC, x - x == x - x)
    TG_TEST(logical_not, NUMERIC, x == 0)
    TG_UNARY(bitwise_not_int, INTEGER, ~x)
    TG_TEST(signbit, REAL, __builtin_signbit((double)(x)) != 0)
    """
    const tg_kernel tg_k_isnan, tg_k_isinf, tg_k_isfinite, tg_k_logical_not, tg_k_bitwise_not_int, tg_k_signbit

elementwise(<size_t>&tg_k_isnan, "isnan(Tensor self)", inplace=False, reference="np.isnan(self)",
            doc="Whether each element is not a number.")
elementwise(<size_t>&tg_k_isinf, "_isinf(Tensor self)", inplace=False, reference="np.isinf(self)", internal=True,
            doc="Whether each real element is infinite.")
composite("isinf(Tensor self)", lambda self: infinite(real(self)) | infinite(self.imag) if self.is_complex() else infinite(self),
          reference="np.isinf(self)", doc="Whether each element is infinite; of a complex one, either part.")
elementwise(<size_t>&tg_k_isfinite, "isfinite(Tensor self)", inplace=False, reference="np.isfinite(self)",
            doc="Whether each element is neither infinite nor not a number.")
elementwise(<size_t>&tg_k_logical_not, "logical_not(Tensor self)", reference="np.logical_not(self)",
            doc="Whether each element is zero (or False).")
elementwise(<size_t>&tg_k_signbit, "signbit(Tensor self)", inplace=False, reference="np.signbit(self)",
            doc="Whether each element has its sign bit set; also of -0.0.")
elementwise(<size_t>&tg_k_bitwise_not_int, "_bitwise_not(Tensor self)", reference="~self", internal=True,
            doc="The bits of each integer inverted.")
composite("bitwise_not(Tensor self)", lambda self: _bitwise_not(self), inplace=True,
          doc="The bits of each integer inverted; of a bool its negation.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="~self")


def _bitwise_not(self):
    if str(self.dtype) == "tensorgrad.bool":
        return self.logical_not()
    if self.is_floating_point() or self.is_complex():
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return handle("_bitwise_not")(self)


composite("positive(Tensor self)", lambda self: self, doc="The tensor itself, as the unary + gives it.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="self")
composite("isreal(Tensor self)", lambda self: self.imag == 0 if self.is_complex() else full_like(self, True, dtype=bool),
          doc="Whether each element is real.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="np.isreal(self)")
composite("deg2rad(Tensor self)", lambda self: self * RADIANS_PER_DEGREE, inplace=True, doc="Degrees to radians.",
          reference="self * (np.pi / 180)")
composite("rad2deg(Tensor self)", lambda self: self * (1 / RADIANS_PER_DEGREE), inplace=True, doc="Radians to degrees.",
          reference="self * (180 / np.pi)")
