"""Less usual elementwise operators of two tensors: extremes without nan, number theory, steps between floats."""
from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.operator cimport Operator, handle

import math

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, elementwise, operator
from tensorgrad._core.dtype import names
from tensorgrad._core.elementwise import result_type

cdef Operator exp2, where, isnan, pow_, to, broadcast_tensors, zeros_like
exp2, where, isnan, pow_, to = (handle(n) for n in ("exp2", "where", "isnan", "pow", "to"))
broadcast_tensors, zeros_like = handle("broadcast_tensors"), handle("zeros_like")
cdef Operator sigmoid = handle("sigmoid")

LN2 = 0.6931471805599453

cdef extern from *:
    """
    #include "loops.h"
    #include "more_special_math.h"
    TG_BINARY(fmax, REAL, x != x ? y : y != y ? x : tg_max(x, y))
    TG_BINARY(fmin, REAL, x != x ? y : y != y ? x : tg_min(x, y))
    TG_BINARY(heaviside, REAL, x == 0 ? y : (T)(x > 0))
    TG_BINARY(gcd, INTEGER, tg_gcd(x, y))
    TG_BINARY(lcm, INTEGER, tg_lcm(x, y))
    TG_BINARY(nextafter, FLOAT, tg_nextafter(x, y))
    TG_BINARY(logaddexp2, FLOAT, x == y && x - x != x - x ? x                                                       \
              : tg_max(x, y) + tg_log1p(tg_exp2(-tg_abs(x - y))) * (T)1.44269504088896340736)
    TG_TEST(isposinf, REAL, x > 0 && x == x && x - x != x - x)
    TG_TEST(isneginf, REAL, x < 0 && x == x && x - x != x - x)
    TG_UNARY(mantissa, FLOAT, tg_mantissa_d(x))
    TG_UNARY(exponent, FLOAT, tg_exponent_d(x))
    """
    const tg_kernel tg_k_fmax, tg_k_fmin, tg_k_heaviside, tg_k_gcd, tg_k_lcm, tg_k_nextafter, tg_k_logaddexp2
    const tg_kernel tg_k_isposinf, tg_k_isneginf, tg_k_mantissa, tg_k_exponent

elementwise(<size_t>&tg_k_fmax, "fmax(Tensor self, Tensor other)", inplace=False,
            partials={"self": lambda self, other: (self >= other) | isnan(other),
                      "other": lambda self, other: ~((self >= other) | isnan(other))},
            jvp=lambda self, other, self_t, other_t: _fmax_tangent(self, other, self_t, other_t),
            reference="np.fmax(self, other)", doc="The larger of two elements; of a number and nan the number.")
elementwise(<size_t>&tg_k_fmin, "fmin(Tensor self, Tensor other)", inplace=False,
            partials={"self": lambda self, other: (self <= other) | isnan(other),
                      "other": lambda self, other: ~((self <= other) | isnan(other))},
            reference="np.fmin(self, other)", doc="The smaller of two elements; of a number and nan the number.")


def _fmax_tangent(self, other, self_t, other_t):
    """Of equal elements PyTorch takes the tangent of `other`, whose gradient goes to `self`; not so in fmin."""
    return where((self > other) | isnan(other), 0 if self_t is None else self_t, 0 if other_t is None else other_t)


def _one_dtype(self, values):
    if self.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


elementwise(<size_t>&tg_k_heaviside, "heaviside(Tensor self, Tensor values)", check=_one_dtype, domain=(0.2, 2.0),
            reference="np.where(self == 0, values, self > 0)", doc="0 of a negative element, 1 of a positive one, `values` of zero.")
elementwise(<size_t>&tg_k_gcd, "gcd(Tensor self, Tensor other)", reference="np.gcd(self, other)",
            doc="The greatest common divisor of integers.")
elementwise(<size_t>&tg_k_lcm, "lcm(Tensor self, Tensor other)", reference="np.lcm(self, other)",
            doc="The least common multiple of integers.")


elementwise(<size_t>&tg_k_nextafter, "_nextafter(Tensor self, Tensor other)", internal=True, inplace=False, node="nextafter",
            partials={"self": lambda self, other: self != other, "other": 0}, reference="np.nextafter(self, other)",
            doc="`nextafter` of single and double precision.")
composite("nextafter(Tensor self, Tensor other)", lambda self, other: _next_number(self, other), inplace=True,
          doc="The next number that the dtype has after `self` in the direction of `other`.")


def _next_number(self, other):
    dtype = result_type(self, other)
    if dtype.itemsize > 2 or not dtype.is_floating_point:
        return handle("_nextafter")(self, other)
    a, b = broadcast_tensors((to(self, dtype), to(other, dtype)))
    return handle("_next_half")(a, b)


def _next_half(self, other):
    """Loops compute halves as floats, which have other neighbours; these are found by counting bit patterns up or down."""
    bits = self.contiguous().view(names()["int16"])
    away = (self < other) == (self > 0)
    step = where(away, 1, -1)
    smallest = where(other > 0, 1, -32767)
    following = to(where(self == 0, smallest, bits + step), names()["int16"]).view(self.dtype)
    return where(isnan(self) | isnan(other), math.nan, where(self == other, other, following))


def _next_half_batch(batch_size, in_dims, self, other):
    fronts = [x.expand(batch_size, *x.shape) if d is None else x.movedim(d, 0) for x, d in zip((self, other), in_dims)]
    return handle("_next_half")(*fronts), 0


operator("_next_half(Tensor self, Tensor other)", _next_half, internal=True, batch=_next_half_batch, node="nextafter",
         vjp={"self": lambda grad, self, other: where(self != other, grad, 0), "other": lambda other: zeros_like(other)},
         jvp=lambda self, other, self_t: where(self != other, 0 if self_t is None else self_t, 0), doc="`nextafter` of two halves.")
elementwise(<size_t>&tg_k_logaddexp2, "logaddexp2(Tensor self, Tensor other)", to_float=True, inplace=False,
            partials={"self": lambda self, other: sigmoid((self - other) * LN2),
                      "other": lambda self, other: sigmoid((other - self) * LN2)},
            reference="np.logaddexp2(self, other)", doc="``log2(2^self + 2^other)``, without overflow in between.")
elementwise(<size_t>&tg_k_isposinf, "isposinf(Tensor self)", inplace=False, reference="np.isposinf(self)",
            doc="Whether each element is infinite and positive.")
elementwise(<size_t>&tg_k_isneginf, "isneginf(Tensor self)", inplace=False, reference="np.isneginf(self)",
            doc="Whether each element is infinite and negative.")
elementwise(<size_t>&tg_k_mantissa, "_mantissa(Tensor self)", internal=True, node="frexp", inplace=False,
            vjp={"self": lambda grad, self: to(grad * _without_exponent(self), self.dtype)},
            jvp=lambda self, self_t: to(self_t * _without_exponent(self), self.dtype), domain=(0.3, 2.0),
            reference="np.frexp(self)[0]", doc="The mantissa, from 0.5 on below 1.")
elementwise(<size_t>&tg_k_exponent, "_exponent(Tensor self)", internal=True, inplace=False, domain=(0.3, 2.0),
            reference="np.frexp(self)[1] * 1.0", doc="The exponent that goes with the mantissa.")
composite("frexp(Tensor self) -> (Tensor mantissa, Tensor exponent)", lambda self: _frexp(self), samples=lambda make: [],
          doc="Mantissas from 0.5 on below 1, and exponents as int32: ``self = mantissa * 2^exponent``.")


def _without_exponent(self):
    """2^-exponent: a constant, as far as the derivative goes. Of a half it may be beyond the halves."""
    exponent = handle("_exponent")(to(self, names()["float32"]) if self.dtype.itemsize == 2 else self)
    return exp2(-exponent.detach())


def _frexp(self):
    if not self.is_floating_point():
        raise RuntimeError("torch.frexp() only supports floating-point dtypes".replace("torch.", ""))
    return return_types.frexp((handle("_mantissa")(self), to(handle("_exponent")(self), names()["int32"])))


composite("ldexp(Tensor self, Tensor other)", lambda self, other: self * pow_(2.0, other), inplace=True,
          reference="self * np.power(2.0, other)", doc="``self * 2^other``.")
composite("float_power(Operand self, Operand exponent)", lambda self, exponent: _float_power(self, exponent),
          samples=lambda make: [((make(3, 4, low=0.3, high=2.0), make(4)), {}), ((make(3), 2), {}), ((2, make(3)), {})],
          doc="Each element raised to a power, in double precision.")


def _float_power(self, exponent):
    if not hasattr(self, "dtype") and not hasattr(exponent, "dtype"):
        raise TypeError(f"float_power() received an invalid combination of arguments - got ({type(self).__name__}, "
                        f"{type(exponent).__name__}), but expected one of:\n * (Tensor input, Tensor exponent)\n * (Number self, Tensor "
                        "exponent)\n * (Tensor input, Number exponent)\n")
    complex_ = any([isinstance(x, complex) or getattr(x, "is_complex", bool)() for x in (self, exponent)])
    wide = names()["complex128" if complex_ else "float64"]
    self, exponent = (x if isinstance(x, (int, float, complex)) else to(x, wide) for x in (self, exponent))
    return pow_(self, exponent)
