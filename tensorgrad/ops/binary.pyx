"""Elementwise operators of two tensors or numbers, and of three.

Each operator stands here whole: the expression that the loops are made of (kernels/cpu/loops.h), then
the declaration with its partial derivatives.
"""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport native
from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BOOL
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.operator cimport Operator, call2, handle
from tensorgrad._core.types cimport TensorBase

from tensorgrad._core.declaration import composite, elementwise
from tensorgrad._core.dtype import names
from tensorgrad._core.elementwise import result_type

cdef Operator add, sub, mul, div, neg, pow_, log, exp, where, conj, real, maximum, zeros_like
add, sub, mul, div, neg = handle("add"), handle("sub"), handle("mul"), handle("div"), handle("neg")
pow_, log, exp, where = handle("pow"), handle("log"), handle("exp"), handle("where")
conj, real, maximum, zeros_like = handle("conj_physical"), handle("real"), handle("maximum"), handle("zeros_like")
cdef Operator trunc_divide, floor_divide, clamp_min, clamp_max, log1p = handle("log1p"), isinf = handle("isinf")
cdef Operator real_logaddexp = handle("_logaddexp"), to = handle("to"), sigmoid = handle("sigmoid")
trunc_divide, floor_divide = handle("_trunc_divide"), handle("floor_divide")
clamp_min, clamp_max = handle("clamp_min"), handle("clamp_max")
cdef Operator clamp_min_ = handle("clamp_min_"), clamp_max_ = handle("clamp_max_")

# ---- arithmetic ------------------------------------------------------------------------------------
cdef extern from *:
    """
    #include "loops.h"
    TG_BINARY(add, NUMERIC, x + y)
    TG_TERNARY(add_scaled, NUMERIC, x + z * y)
    TG_BINARY(sub, NUMERIC, x - y)
    TG_TERNARY(sub_scaled, NUMERIC, x - z * y)
    TG_BINARY(rsub, NUMERIC, y - x)
    TG_BINARY(mul, NUMERIC, x * y)
    TG_BINARY(div, FLOAT_AND_COMPLEX, x / y)
    TG_BINARY(trunc_divide, INTEGER_AND_FLOAT, tg_truncdiv(x, y))
    TG_BINARY(floor_divide, INTEGER_AND_FLOAT, tg_floordiv(x, y))
    TG_BINARY(remainder, INTEGER_AND_FLOAT, tg_remainder(x, y))
    TG_BINARY(fmod, INTEGER_AND_FLOAT, tg_fmod(x, y))
    TG_POWER(pow, NUMERIC, tg_pow(x, y))
    """
    const tg_kernel tg_k_add, tg_k_add_scaled, tg_k_sub, tg_k_sub_scaled, tg_k_rsub, tg_k_mul, tg_k_div
    const tg_kernel tg_k_trunc_divide, tg_k_floor_divide, tg_k_remainder, tg_k_fmod, tg_k_pow


def _refuse_bool_subtraction(self, other, *alpha):
    bools = [getattr(x, "dtype", None) is _bool() or isinstance(x, bool) for x in (self, other)]
    if all(bools) and not any([isinstance(x, bool) for x in (self, other)]):
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                           "`logical_xor()` operator instead.")
    if any(bools):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
                           "use the `~` or `logical_not()` operator instead.")


def _bool():
    return names()["bool"]


def _refuse_zero_divisor(self, other):
    """Integers have no infinity: dividing by zero is an error, raised before anything is computed."""
    for x in (self, other):
        if isinstance(x, float) or (not isinstance(x, (int, bool)) and (x.is_floating_point() or x.is_complex())):
            return
    if (other == 0) if isinstance(other, int) else (other == 0).any().item():
        raise RuntimeError("ZeroDivisionError")


elementwise(<size_t>&tg_k_add, "add(Tensor self, Operand other)", partials={"self": 1, "other": 1},
            reference="self + other", doc="""Sum of two tensors, or of a tensor and a number.

    With ``alpha``, ``self + alpha * other``.

    Examples
    --------
    >>> tensorgrad.add(tensorgrad.tensor([1.0, 2.0]), 3)
    tensor([4., 5.])
    """)
elementwise(<size_t>&tg_k_add_scaled, "add(Tensor self, Operand other, *, Number alpha)",
            partials={"self": 1, "other": lambda alpha: alpha}, reference="self + alpha * other", node="add",
            alpha=True)
elementwise(<size_t>&tg_k_sub, "sub(Tensor self, Operand other)", partials={"self": 1, "other": -1},
            check_integers=_refuse_bool_subtraction, reference="self - other", aliases=("subtract",),
            doc="Difference of two tensors, or of a tensor and a number; with ``alpha``, ``self - alpha * other``.")
elementwise(<size_t>&tg_k_sub_scaled, "sub(Tensor self, Operand other, *, Number alpha)",
            partials={"self": 1, "other": lambda alpha: -alpha}, check_integers=_refuse_bool_subtraction,
            reference="self - alpha * other", node="sub", alpha=True)
elementwise(<size_t>&tg_k_rsub, "rsub(Tensor self, Operand other)", partials={"self": -1, "other": 1}, inplace=False,
            check_integers=_refuse_bool_subtraction, reference="other - self", doc="``other - self``.")
composite("rsub(Tensor self, Operand other, *, Number alpha)", lambda self, other, alpha: other - self * alpha,
          samples=lambda make: [((make(3, 4), make(4)), {"alpha": 2}), ((make(3), 5), {"alpha": 3})],
          reference="other - alpha * self")
elementwise(<size_t>&tg_k_mul, "mul(Tensor self, Operand other)",
            partials={"self": "other", "other": "self"}, reference="self * other",
            aliases=("multiply",), doc="""Product of two tensors, or of a tensor and a number.

    Examples
    --------
    >>> tensorgrad.mul(tensorgrad.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """)
elementwise(<size_t>&tg_k_div, "div(Tensor self, Operand other)", to_float=True,
            jvp=lambda self_t, other_t, other, out: _quotient_tangent(self_t, other_t, other, out),
            vjp={"self": lambda grad, other: grad / _conj(other), "other": lambda grad, other, out: -grad * _conj(out / other)},
            reference="self / other", domain=(0.3, 2.0), aliases=("divide", "true_divide"),
            doc="Quotient of two tensors, or of a tensor and a number; integers are divided as floating point numbers.")
composite("div(Tensor self, Operand other, *, str? rounding_mode)",
          lambda self, other, rounding_mode: _divide_rounded(self, other, rounding_mode), inplace=True,
          samples=lambda make: [((make(3, 4, low=1, high=5), make(4, low=1, high=2)), {"rounding_mode": mode})
                                for mode in (None, "floor", "trunc")]
          + [((make(3, low=1, high=5), 2), {"rounding_mode": "floor"})])
composite("true_divide(Tensor self, Operand other)", lambda self, other: div(self, other), reference="self / other",
          samples=lambda make: [((make(3, 4, low=1, high=5), make(4, low=1, high=2)), {}), ((make(3), 2), {})],
          doc="The same as `div`.")


def _quotient_tangent(self_t, other_t, other, out):
    """(self' - out other') / other. The tangent is divided: 1 / other overflows sooner, and is of less precision where `other` is ints."""
    if other_t is None:
        return self_t / other
    change = -(other_t * out)
    return (change if self_t is None else self_t + change) / other


def _conj(x):
    """Of a tensor or of a Python number."""
    return x.conjugate() if isinstance(x, (int, float, complex)) else conj(x)


def _divide_rounded(self, other, mode):
    if mode is None:
        return div(self, other)
    if mode == "trunc":
        return trunc_divide(self, other)
    if mode == "floor":
        return floor_divide(self, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{mode}'")


elementwise(<size_t>&tg_k_trunc_divide, "_trunc_divide(Tensor self, Operand other)", partials={"self": 0, "other": 0},
            check_integers=_refuse_zero_divisor, reference="np.trunc(self / other)", domain=(1.0, 3.0), internal=True,
            doc="Quotient without its fraction.")
elementwise(<size_t>&tg_k_floor_divide, "floor_divide(Tensor self, Operand other)", partials={"self": 0, "other": 0},
            check_integers=_refuse_zero_divisor, reference="np.floor_divide(self, other)", domain=(1.0, 3.0), discontinuous=True,
            doc="The largest integer that is not larger than the quotient.")
elementwise(<size_t>&tg_k_remainder, "remainder(Tensor self, Operand other)",
            partials={"self": 1, "other": lambda self, other: -div(self, other, rounding_mode="floor")},
            check_integers=_refuse_zero_divisor, reference="np.remainder(self, other)", domain=(1.0, 3.0), discontinuous=True,
            doc="Remainder of the division, with the sign of the divisor (Python's %).")
elementwise(<size_t>&tg_k_fmod, "fmod(Tensor self, Operand other)",
            partials={"self": 1, "other": lambda self, other: -div(self, other, rounding_mode="trunc")},
            check_integers=_refuse_zero_divisor, reference="np.fmod(self, other)", domain=(1.0, 3.0), discontinuous=True,
            doc="Remainder of the division, with the sign of the dividend (C's fmod).")


def _pow_self_partial(self, exponent):
    """y * x^(y-1), and 0 where y is 0 (x^-1 may be infinite there)."""
    if isinstance(exponent, (int, float, complex)):
        if exponent == 0:
            return 0
        if not thread_state().grad:     # nothing will differentiate this again: the short forms do
            if exponent == 1:
                return 1
            if exponent == 2:
                return 2 * self
        return exponent * pow_(self, exponent - 1)
    return where(exponent == 0, 0, exponent * pow_(self, exponent - 1))


def _pow_exponent_partial(self, exponent, out):
    """x^y log x, and 0 where x is 0 and the power stays 0."""
    if isinstance(self, (int, float, complex)):
        if self == 0:
            return where(exponent.real >= 0 if exponent.is_complex() else exponent >= 0, 0.0, float("nan")) \
                if not isinstance(exponent, (int, float)) else 0
        import cmath
        import math
        base_log = math.log(self) if not isinstance(self, complex) and self > 0 else cmath.log(self)
        return out * (base_log if not isinstance(base_log, complex) or out.is_complex() else float("nan"))
    positive = exponent >= 0 if isinstance(exponent, (int, float)) else (
        exponent.real >= 0 if exponent.is_complex() else exponent >= 0)
    return where((self == 0) & positive, 0, out * log(self))


def _pow_check(self, exponent):
    if isinstance(self, TensorBase) and (<TensorBase>self).dtype.category >= CAT_FLOAT:
        return      # whatever the exponent is
    numbers = [isinstance(x, (int, float, complex)) for x in (self, exponent)]
    if all(numbers):
        raise TypeError(f"pow() received an invalid combination of arguments - got ({type(self).__name__}, {type(exponent).__name__}), but "
                        "expected one of:\n * (Tensor input, Tensor exponent)\n * (Number self, Tensor exponent)\n * (Tensor input, "
                        "Number exponent)\n")
    if not numbers[1] and all([isinstance(x, bool) if is_number else (<TensorBase>x).dtype.code == TG_BOOL
                               for x, is_number in zip((self, exponent), numbers)]):
        raise NotImplementedError("\"pow\" not implemented for 'Bool': convert one of the operands with .to(dtype)")
    if isinstance(exponent, int) and not isinstance(exponent, bool) and exponent < 0 and not isinstance(self, (int, float, complex)) \
            and not (self.is_floating_point() or self.is_complex()):
        raise RuntimeError("Integers to negative integer powers are not allowed.")


elementwise(<size_t>&tg_k_pow, "pow(Operand self, Operand exponent)",
            partials={"self": _pow_self_partial, "exponent": _pow_exponent_partial}, check_integers=_pow_check,
            reference="np.power(self, exponent)", domain=(0.3, 2.0), doc="""Each element raised to a power.

    Examples
    --------
    >>> tensorgrad.pow(tensorgrad.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """)

# ---- larger, smaller, angles --------------------------------------------------------------------------
cdef extern from *:
    """
    TG_BINARY(maximum, REAL, tg_max(x, y))
    TG_BINARY(minimum, REAL, tg_min(x, y))
    TG_TERNARY(clamp, INTEGER_AND_FLOAT, tg_min(tg_max(x, y), z))
    TG_BINARY(atan2, FLOAT, tg_atan2(x, y))
    TG_BINARY(hypot, FLOAT, tg_hypot(x, y))
    TG_BINARY(logaddexp, FLOAT, x == y && x - x != x - x ? x : tg_max(x, y) + tg_log1p(tg_exp(-tg_abs(x - y))))
    TG_BINARY(copysign, FLOAT, copysign(x, y))
    TG_TERNARY(lerp, FLOAT_AND_COMPLEX, x + z * (y - x))
    TG_SELECT(where, NUMERIC, x ? y : z)
    """
    const tg_kernel tg_k_maximum, tg_k_minimum, tg_k_clamp, tg_k_atan2, tg_k_hypot, tg_k_logaddexp, tg_k_lerp, tg_k_where, tg_k_copysign


def _share(self, other, loses):
    """1 unless this operand loses, one half where both are equal; as precise as the operands, of which one may have no dimensions."""
    dtype = result_type(self, other)
    return 1 - to(loses, dtype) - to(self == other, dtype) * 0.5


def _over_square(x, a, b):
    """x / (a^2 + b^2), and 0 where that is 0."""
    square = a * a + b * b
    return where(square == 0, 0, x / where(square == 0, 1, square))


elementwise(<size_t>&tg_k_maximum, "maximum(Tensor self, Tensor other)", inplace=False,
            partials={"self": lambda self, other: _share(self, other, self < other),
                      "other": lambda self, other: _share(self, other, self > other)},
            reference="np.maximum(self, other)", doc="The larger of two elements; nan if either is.")
elementwise(<size_t>&tg_k_minimum, "minimum(Tensor self, Tensor other)", inplace=False,
            partials={"self": lambda self, other: _share(self, other, self > other),
                      "other": lambda self, other: _share(self, other, self < other)},
            reference="np.minimum(self, other)", doc="The smaller of two elements; nan if either is.")
elementwise(<size_t>&tg_k_maximum, "clamp_min(Tensor self, Operand min)",
            partials={"self": lambda self, min: self >= min, "min": lambda self, min: self < min},
            reference="np.maximum(self, min)", doc="Each element, but no less than `min`.")
elementwise(<size_t>&tg_k_minimum, "clamp_max(Tensor self, Operand max)",
            partials={"self": lambda self, max: self <= max, "max": lambda self, max: self > max},
            reference="np.minimum(self, max)", doc="Each element, but no more than `max`.")
elementwise(<size_t>&tg_k_clamp, "clamp(Tensor self, Operand min, Operand max)",
            partials={"self": lambda self, min, max: (self >= min) & (self <= max),
                      "min": lambda self, min, max: (self < min) & (min < max),
                      "max": lambda self, min, max: (self > max) if isinstance(max, (int, float))
                      else (self > max) * 1.0 + (max < min) * (self <= max)},
            jvp=lambda self, min, max, self_t, min_t, max_t: _clamp_tangent(self, min, max, self_t, min_t, max_t),
            reference="np.minimum(np.maximum(self, min), max)", aliases=("clip",), ordered=True,
            doc="Each element, but no less than `min` and no more than `max`; either may be None.")
cdef object clamped(PyObject** a, str name, Operator least, Operator most):
    """One of the two bounds is None."""
    cdef PyObject* b[2]
    b[0] = a[0]
    b[1] = a[2] if <object>a[1] is None else a[1]
    if <object>b[1] is None:
        raise ValueError(f"{name}: At least one of 'min' or 'max' must not be None")
    return invoke(most if <object>a[1] is None else least, b)


cdef object _clamp(PyObject** a):
    return clamped(a, "clamp", clamp_min, clamp_max)


cdef object _clamp_(PyObject** a):
    return clamped(a, "clamp_", clamp_min_, clamp_max_)


composite("clamp(Tensor self, Operand? min=None, Operand? max=None)", native(_clamp),
          samples=lambda make: [((make(3, 4), -0.45), {}), ((make(3, 4), None, 0.45), {}), ((make(3, 4),), {"max": make(4)})],
          reference="np.clip(self, min, max)")
composite("clamp_(Tensor! self, Operand? min=None, Operand? max=None)", native(_clamp_))


def _clamp_tangent(self, min, max, self_t, min_t, max_t):
    """That of what was chosen; where the bounds have crossed, of the upper one."""
    if isinstance(min, (int, float)) and isinstance(max, (int, float)):
        return self_t * ((self >= min) & (self <= max))
    self_t, min_t, max_t = (0 if t is None else t for t in (self_t, min_t, max_t))
    tangent = where(self < min, min_t, where(self > max, max_t, self_t))
    return where(min > max, max_t, tangent)


elementwise(<size_t>&tg_k_atan2, "atan2(Tensor self, Tensor other)", to_float=True,
            partials={"self": lambda self, other: _over_square(other, self, other),
                      "other": lambda self, other: _over_square(-self, self, other)},
            reference="np.arctan2(self, other)", aliases=("arctan2",), domain=(0.3, 2.0),
            doc="The angle of the point (other, self), in radians between -pi and pi.")
elementwise(<size_t>&tg_k_hypot, "hypot(Tensor self, Tensor other)", to_float=True,
            partials={"self": lambda self, out: self / out, "other": lambda other, out: other / out},
            reference="np.hypot(self, other)", domain=(0.3, 2.0),
            doc="``sqrt(self^2 + other^2)``, without overflow in between.")
elementwise(<size_t>&tg_k_logaddexp, "_logaddexp(Tensor self, Tensor other)", to_float=True, inplace=False, node="logaddexp",
            partials={"self": lambda self, other: sigmoid(self - other), "other": lambda self, other: sigmoid(other - self)},
            reference="np.logaddexp(self, other)", internal=True, doc="`logaddexp` of real numbers.")


cdef object _logaddexp(PyObject** a):
    if (<TensorBase>a[0]).dtype.category == CAT_COMPLEX or (<TensorBase>a[1]).dtype.category == CAT_COMPLEX:
        return _complex_logaddexp(<object>a[0], <object>a[1])
    return call2(real_logaddexp, <object>a[0], <object>a[1])


composite("logaddexp(Tensor self, Tensor other)", native(_logaddexp),
          reference="np.log(np.exp(self * 1.0) + np.exp(other * 1.0))",
          doc="``log(exp(self) + exp(other))``, without overflow in between.")


def _complex_logaddexp(self, other):
    a, b = real(self), real(other)
    first = a >= b
    top, low = where(first, self, other), where(first, other, self)
    return top + log1p(exp(where((a == b) & isinf(a), 0, low - top)))     # the difference of infinities is nan


elementwise(<size_t>&tg_k_copysign, "copysign(Tensor self, Operand other)", to_float=True,
            partials={"self": lambda self, out: where(self == 0, 0, out / self), "other": 0},
            reference="np.copysign(self, other)", domain=(0.3, 2.0),
            doc="The magnitude of `self` with the sign of `other`.")
elementwise(<size_t>&tg_k_lerp, "lerp(Tensor self, Tensor end, Operand weight)",
            partials={"self": lambda weight: 1 - weight, "end": lambda weight: weight,
                      "weight": lambda self, end: end - self},
            reference="self + weight * (end - self)", doc="Linear interpolation: ``self + weight * (end - self)``.")
elementwise(<size_t>&tg_k_where, "where(Tensor condition, Operand self, Operand other)", inplace=False,
            vjp={"self": lambda grad, condition: where(condition, grad, 0),
                 "other": lambda grad, condition: where(condition, 0, grad)},
            jvp=lambda condition, self_t, other_t: where(condition, 0 if self_t is None else self_t,
                                                         0 if other_t is None else other_t),
            reference="np.where(condition, self, other)", method=False, doc="""Elements of `self` where `condition` holds, else of `other`.

    Examples
    --------
    >>> x = tensorgrad.tensor([-1.0, 2.0])
    >>> tensorgrad.where(x > 0, x, 0)
    tensor([0., 2.])
    """)
composite("addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Number value=1)",
          lambda self, tensor1, tensor2, value: self + tensor1 * tensor2 * value, inplace=True,
          reference="self + value * tensor1 * tensor2", doc="``self + value * tensor1 * tensor2``.")
composite("addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Number value=1)",
          lambda self, tensor1, tensor2, value: self + tensor1 / tensor2 * value, inplace=True,
          reference="self + value * tensor1 / tensor2", domain=(0.3, 2.0), doc="``self + value * tensor1 / tensor2``.")

# ---- comparisons and logic ------------------------------------------------------------------------------
cdef extern from *:
    """
    TG_COMPARE(eq, NUMERIC, x == y)
    TG_COMPARE(ne, NUMERIC, x != y)
    TG_COMPARE(lt, REAL, x < y)
    TG_COMPARE(le, REAL, x <= y)
    TG_COMPARE(gt, REAL, x > y)
    TG_COMPARE(ge, REAL, x >= y)
    TG_COMPARE(logical_and, NUMERIC, x != 0 && y != 0)
    TG_COMPARE(logical_or, NUMERIC, x != 0 || y != 0)
    TG_COMPARE(logical_xor, NUMERIC, (x != 0) != (y != 0))
    TG_BINARY(bitwise_and, INTEGRAL, x & y)
    TG_BINARY(bitwise_or, INTEGRAL, x | y)
    TG_BINARY(bitwise_xor, INTEGRAL, x ^ y)
    TG_BINARY(bitwise_left_shift, INTEGER, (uint64_t)y >= 8 * sizeof(T) ? (T)0 : (T)((uint64_t)x << y))
    TG_BINARY(bitwise_right_shift, INTEGER, (uint64_t)y >= 8 * sizeof(T) ? (T)(x < 0 ? -1 : 0) : (T)(x >> y))
    """
    const tg_kernel tg_k_eq, tg_k_ne, tg_k_lt, tg_k_le, tg_k_gt, tg_k_ge
    const tg_kernel tg_k_logical_and, tg_k_logical_or, tg_k_logical_xor
    const tg_kernel tg_k_bitwise_and, tg_k_bitwise_or, tg_k_bitwise_xor
    const tg_kernel tg_k_bitwise_left_shift, tg_k_bitwise_right_shift

elementwise(<size_t>&tg_k_eq, "eq(Tensor self, Operand other)", reference="self == other", doc="Whether elements are equal.")
elementwise(<size_t>&tg_k_ne, "ne(Tensor self, Operand other)", reference="self != other", aliases=("not_equal",),
            doc="Whether elements differ.")
elementwise(<size_t>&tg_k_lt, "lt(Tensor self, Operand other)", reference="self < other", aliases=("less",),
            doc="Whether elements of `self` are smaller.")
elementwise(<size_t>&tg_k_le, "le(Tensor self, Operand other)", reference="self <= other", aliases=("less_equal",),
            doc="Whether elements of `self` are smaller or equal.")
elementwise(<size_t>&tg_k_gt, "gt(Tensor self, Operand other)", reference="self > other", aliases=("greater",),
            doc="Whether elements of `self` are larger.")
elementwise(<size_t>&tg_k_ge, "ge(Tensor self, Operand other)", reference="self >= other", aliases=("greater_equal",),
            doc="Whether elements of `self` are larger or equal.")
elementwise(<size_t>&tg_k_logical_and, "logical_and(Tensor self, Tensor other)", reference="np.logical_and(self, other)",
            doc="Whether both elements are non-zero.")
elementwise(<size_t>&tg_k_logical_or, "logical_or(Tensor self, Tensor other)", reference="np.logical_or(self, other)",
            doc="Whether either element is non-zero.")
elementwise(<size_t>&tg_k_logical_xor, "logical_xor(Tensor self, Tensor other)", reference="np.logical_xor(self, other)",
            doc="Whether exactly one element is non-zero.")
elementwise(<size_t>&tg_k_bitwise_and, "bitwise_and(Tensor self, Operand other)", reference="self & other",
            doc="Bitwise and of integers; of bools the logical one.")
elementwise(<size_t>&tg_k_bitwise_or, "bitwise_or(Tensor self, Operand other)", reference="self | other",
            doc="Bitwise or of integers; of bools the logical one.")
elementwise(<size_t>&tg_k_bitwise_xor, "bitwise_xor(Tensor self, Operand other)", reference="self ^ other",
            doc="Bitwise exclusive or of integers; of bools the logical one.")
elementwise(<size_t>&tg_k_bitwise_left_shift, "bitwise_left_shift(Tensor self, Operand other)",
            reference="np.left_shift(self, other)", shifts=True, doc="The bits of each integer moved up.")
elementwise(<size_t>&tg_k_bitwise_right_shift, "bitwise_right_shift(Tensor self, Operand other)",
            reference="np.right_shift(self, other)", shifts=True, doc="The bits of each integer moved down.")
