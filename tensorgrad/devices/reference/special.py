"""The special functions of kernels/cpu/special_math.h and its neighbours in Python: other formulas, clear before fast.

Functions of one number each take and return Python floats, those of arrays NumPy's; `c_functions` calls both.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np


def erfinv(y):
    if not -1 < y < 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    return NormalDist().inv_cdf((y + 1) / 2) / math.sqrt(2) if y > -1 else -math.inf


def digamma(x):
    """Recurrence up to 10, then the asymptotic series (DLMF 5.11.2)."""
    if x == 0:
        return math.copysign(math.inf, -x)
    if x < 0:
        return math.nan if x == math.floor(x) else digamma(1 - x) - math.pi / math.tan(math.pi * (x % 1))
    shift = 0.0
    while x < 10:
        shift, x = shift - 1 / x, x + 1
    z = 1 / (x * x)
    coefficients = [1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12]
    series = sum(c * z ** (k + 1) for k, c in enumerate(coefficients))
    return shift + math.log(x) - 0.5 / x - series


def zeta(s, x):
    """Sum over k of 1 / (x + k)^s, the tail by Euler and Maclaurin (DLMF 25.11.5)."""
    if s <= 1:
        return math.inf if s == 1 else math.nan
    if x <= 0 and x == math.floor(x):
        return math.inf
    if x <= 0 and s != math.floor(s):
        return math.nan
    terms = 20 + max(0, math.ceil(-x))
    a = x + terms
    total = sum((x + k) ** -s for k in range(terms)) + a ** (1 - s) / (s - 1) + 0.5 * a**-s
    rising = s * a ** (-s - 1)
    for k, coefficient in enumerate((1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)):  # B_2k / (2k)!
        total += coefficient * rising
        rising *= (s + 2 * k + 1) * (s + 2 * k + 2) / a**2
    return total


def polygamma(x, n):
    """(-1)^(n+1) n! zeta(n + 1, x)."""
    return digamma(x) if n == 0 else (-1.0) ** (n + 1) * math.gamma(n + 1) * zeta(n + 1, x)


def erfcx(x):
    """exp(x^2) erfc(x); from 3 on by Laplace's continued fraction (DLMF 7.9.1)."""
    if x < 3:
        return math.exp(x * x) * math.erfc(x)
    fraction = functools.reduce(lambda t, k: k / 2 / (x + t), range(60, 0, -1), 0.0)
    return 1 / (math.sqrt(math.pi) * (x + fraction))


def ndtr(x):
    return math.erfc(-x * math.sqrt(0.5)) / 2


def log_ndtr(x):
    return math.log(erfcx(-x * math.sqrt(0.5)) / 2) - x * x / 2 if x < -1 else math.log1p(-ndtr(-x))


def ndtri(p):
    return NormalDist().inv_cdf(p) if 0 < p < 1 else {0: -math.inf, 1: math.inf}.get(p, math.nan)


def entr(x):
    return -x * math.log(x) if x > 0 else 0.0 if x == 0 else x if x != x else -math.inf


def exponent(x):
    """Of ``x = mantissa * 2^exponent``; 0 where x is not finite."""
    return float(math.frexp(x)[1]) if math.isfinite(x) else 0.0


def _mean_over_angles(function, x):
    """The mean of a function over the circle: of periodic functions the trapezoidal rule converges exponentially."""
    x = np.asarray(x, np.float64)[..., None]
    return function(x, np.arange(256) * (2 * np.pi / 256)).mean(-1)


def scaled_bessel_i(order, x):
    """exp(-|x|) I_n(x) (DLMF 10.32.3)."""
    mean = _mean_over_angles(lambda x, t: np.exp(np.abs(x) * (np.cos(t) - 1)) * np.cos(order * t), x)
    return mean * np.sign(x) ** order if order else mean


def bessel_i(order, x):
    return np.exp(np.abs(x)) * scaled_bessel_i(order, x)


def bessel_j(order, x):
    """J_n(x) (DLMF 10.9.2)."""
    return _mean_over_angles(lambda x, t: np.cos(order * t - x * np.sin(t)), x)


def bessel_y(order, x):
    """Y_0 and Y_1 as series of J_k (DLMF 10.8.3, and its derivative)."""
    logarithm = np.log(x / 2) + np.euler_gamma
    if order == 0:
        series = sum((-1) ** k * bessel_j(2 * k, x) / k for k in range(1, 60))
        return 2 / np.pi * logarithm * bessel_j(0, x) - 4 / np.pi * series
    slopes = sum((-1) ** k * (bessel_j(2 * k - 1, x) - bessel_j(2 * k + 1, x)) / (2 * k) for k in range(1, 60))
    return 2 / np.pi * (logarithm * bessel_j(1, x) - bessel_j(0, x) / x) + 4 / np.pi * slopes


OF_NUMBERS = {
    "erfinv_d": erfinv,
    "digamma_d": digamma,
    "zeta_d": zeta,
    "polygamma_d": polygamma,
    "erfcx_d": erfcx,
    "ndtr_d": ndtr,
    "log_ndtr_d": log_ndtr,
    "ndtri_d": ndtri,
    "entr_d": entr,
    "exponent_d": exponent,
    "mantissa_d": lambda x: math.frexp(x)[0],
}
OF_ARRAYS = {
    f"{name}{order}{suffix}_d": functools.partial(function, order)
    for order in (0, 1)
    for name, suffix, function in (
        ("i", "", bessel_i),
        ("i", "e", scaled_bessel_i),
        ("bessel_j", "", bessel_j),
        ("bessel_y", "", bessel_y),
    )
}
