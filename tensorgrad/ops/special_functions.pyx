"""The functions of `tensorgrad.special` that have no other name: Bessel functions, the normal distribution, entropies."""
from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.operator cimport Operator, handle

import math

from tensorgrad._core.declaration import composite, elementwise
from tensorgrad._core.dtype import finfo
from tensorgrad.ops.special import times_log

cdef Operator where, exp, log, log1p, sign
where, exp, log, log1p, sign = (handle(n) for n in ("where", "exp", "log", "log1p", "sign"))
cdef Operator i0, i0e, i1, i1e, erfcx, zeta, j0, j1
i0, i0e, i1, i1e = handle("i0"), handle("special_i0e"), handle("special_i1"), handle("special_i1e")
erfcx, zeta, j0, j1 = handle("special_erfcx"), handle("special_zeta"), handle("special_bessel_j0"), handle("special_bessel_j1")

cdef extern from *:
    """
    #include "loops.h"
    #include "special_math.h"
    #include "more_special_math.h"
    /* C's library has these; for devices bessel_math.h has them */
    #define tg_bessel_j0_d(x) j0(x)
    #define tg_bessel_j1_d(x) j1(x)
    #define tg_bessel_y0_d(x) y0(x)
    #define tg_bessel_y1_d(x) y1(x)
    TG_UNARY(i0, FLOAT, tg_i0_d(x))
    TG_UNARY(i0e, FLOAT, tg_i0e_d(x))
    TG_UNARY(i1, FLOAT, tg_i1_d(x))
    TG_UNARY(i1e, FLOAT, tg_i1e_d(x))
    TG_UNARY(j0, FLOAT, tg_bessel_j0_d(x))
    TG_UNARY(j1, FLOAT, tg_bessel_j1_d(x))
    TG_UNARY(y0, FLOAT, tg_bessel_y0_d(x))
    TG_UNARY(y1, FLOAT, tg_bessel_y1_d(x))
    TG_UNARY(erfcx, FLOAT, tg_erfcx_d(x))
    TG_UNARY(ndtr, FLOAT, tg_ndtr_d(x))
    TG_UNARY(ndtri, FLOAT, tg_ndtri_d(x))
    TG_UNARY(log_ndtr, FLOAT, tg_log_ndtr_d(x))
    TG_UNARY(entr, FLOAT, tg_entr_d(x))
    TG_BINARY(zeta, FLOAT, tg_zeta_d(x, y))
    """
    const tg_kernel tg_k_i0, tg_k_i0e, tg_k_i1, tg_k_i1e, tg_k_j0, tg_k_j1, tg_k_y0, tg_k_y1
    const tg_kernel tg_k_erfcx, tg_k_ndtr, tg_k_ndtri, tg_k_log_ndtr, tg_k_entr, tg_k_zeta


def _small(x):
    """Where the first term of a series is all there is, and a quotient such as I1(x) / x would not be differentiable as it is computed."""
    return x.abs() <= finfo(x.dtype).eps


def _nonzero(x):
    """What may be divided by: 0 / 0 would be nan in the derivative of the branch that is not taken, too."""
    return where(_small(x), 1, x)


elementwise(<size_t>&tg_k_i0, "i0(Tensor self)", to_float=True, partials={"self": lambda self: i1(self)}, reference="np.i0(self)",
            aliases=("special_i0",), doc="The modified Bessel function of the first kind of order 0.")
elementwise(<size_t>&tg_k_i0e, "special_i0e(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self, out: i1e(self) - sign(self) * out},
            reference="np.i0(self) * np.exp(-np.abs(self * 1.0))", doc="``exp(-|x|) I0(x)``.")
elementwise(<size_t>&tg_k_i1, "special_i1(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self, out: where(_small(self), 0.5, i0(self) - out / _nonzero(self))}, domain=(0.2, 3.0),
            doc="The modified Bessel function of the first kind of order 1.")
elementwise(<size_t>&tg_k_i1e, "special_i1e(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self, out: where(_small(self), 0.5, i0e(self) - out * (sign(self) + 1 / _nonzero(self)))},
            domain=(0.2, 3.0),
            doc="``exp(-|x|) I1(x)``.")
elementwise(<size_t>&tg_k_j0, "special_bessel_j0(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self: -j1(self)}, doc="The Bessel function of the first kind of order 0.")
elementwise(<size_t>&tg_k_j1, "special_bessel_j1(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self, out: where(_small(self), 0.5, j0(self) - out / _nonzero(self))}, domain=(0.2, 3.0),
            doc="The Bessel function of the first kind of order 1.")
elementwise(<size_t>&tg_k_y0, "special_bessel_y0(Tensor self)", to_float=True, method=False, inplace=False, domain=(0.2, 3.0),
            partials={"self": lambda self: -handle("special_bessel_y1")(self)}, doc="The Bessel function of the second kind of order 0.")
elementwise(<size_t>&tg_k_y1, "special_bessel_y1(Tensor self)", to_float=True, method=False, inplace=False, domain=(0.2, 3.0),
            partials={"self": lambda self, out: handle("special_bessel_y0")(self) - out / self},
            doc="The Bessel function of the second kind of order 1.")
elementwise(<size_t>&tg_k_erfcx, "special_erfcx(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self, out: 2 * self * out - 2 / math.sqrt(math.pi)},
            reference="np.exp(self * self * 1.0) * np.vectorize(math.erfc, otypes=[float])(self)", doc="``exp(x^2) erfc(x)``.")
elementwise(<size_t>&tg_k_ndtr, "special_ndtr(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self: exp(self * self * -0.5) / math.sqrt(2 * math.pi)},
            reference="np.vectorize(math.erfc, otypes=[float])(self * -math.sqrt(0.5)) / 2",
            doc="The distribution function of the standard normal distribution.")
elementwise(<size_t>&tg_k_ndtri, "special_ndtri(Tensor self)", to_float=True, method=False, inplace=False, domain=(0.05, 0.95),
            partials={"self": lambda out: math.sqrt(2 * math.pi) * exp(out * out * 0.5)}, doc="The inverse of `ndtr`.")
elementwise(<size_t>&tg_k_log_ndtr, "special_log_ndtr(Tensor self)", to_float=True, method=False, inplace=False,
            partials={"self": lambda self: math.sqrt(2 / math.pi) / erfcx(self * -math.sqrt(0.5))},
            reference="np.log(np.vectorize(math.erfc, otypes=[float])(self * -math.sqrt(0.5)) / 2)", doc="The logarithm of `ndtr`.")
elementwise(<size_t>&tg_k_entr, "special_entr(Tensor self)", to_float=True, method=False, inplace=False, domain=(0.2, 2.0),
            partials={"self": lambda self: -log(self) - 1}, reference="-1.0 * self * np.log(self)", doc="``-x log(x)``, 0 at 0.")
elementwise(<size_t>&tg_k_zeta, "special_zeta(Tensor self, Tensor other)", to_float=True, method=False, inplace=False,
            samples=lambda make: [((make(3, 4, low=1.5, high=4.0, requires_grad=False), make(4, low=1.5, high=4.0)), {})],
            vjp={"other": lambda grad, self, other: -grad * self * zeta(self + 1, other)},
            jvp=lambda self, other, other_t: -other_t * self * zeta(self + 1, other),
            doc="Hurwitz' zeta function: the sum of ``(k + other)^-self`` over k = 0, 1, ...")
composite("special_xlog1py(Tensor self, Tensor other)",
          lambda self, other: times_log(self, other, log1p, -1), method=False, domain=(0.3, 2.0),
          reference="self * np.log1p(other)", doc="``x * log1p(y)``, and 0 where x is 0.")
composite("special_multigammaln(Tensor self, int p)", lambda self, p: _mvlgamma(self, p), method=False, domain=(3.0, 6.0),
          samples=lambda make: [((make(3, low=3.0, high=5.0), 2), {})],
          doc="The logarithm of the multivariate gamma function of p dimensions.")
composite("mvlgamma(Tensor self, int p)", lambda self, p: _mvlgamma(self, p), inplace=True,
          samples=lambda make: [((make(3, low=3.0, high=5.0), 2), {})],
          doc="The logarithm of the multivariate gamma function of p dimensions.")


def _mvlgamma(self, p):
    """Gamma_p(x) = pi^(p (p - 1) / 4) times the product of Gamma(x - i / 2) for i < p."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if not self.is_floating_point():
        self = self * 1.0
    halves = handle("arange")(p, dtype=self.dtype, device=self.device) / 2
    return handle("lgamma")(handle("unsqueeze")(self, -1) - halves).sum(-1) + p * (p - 1) / 4 * math.log(math.pi)
