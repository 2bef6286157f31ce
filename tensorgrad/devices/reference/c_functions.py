"""C's numbers in NumPy: conversions, the usual arithmetic conversions, and the tg_NAME functions.

The functions follow kernels/cpu/scalar_math.h. Each takes arrays of one dtype and computes in it; those that
NumPy lacks are computed in double, element by element.
"""

from __future__ import annotations

import math

import numpy as np

from tensorgrad.devices.reference import special
from tensorgrad.devices.reference.typed import ON_INTEGERS

DOUBLE = np.dtype("float64")


# ---- conversions -----------------------------------------------------------------------------------
def bfloat16_to_float(bits):
    # NumPy 1.26 makes int64 of a zero-dimensional array shifted by a Python int
    return np.asarray(np.asarray(bits).astype(np.uint32) << np.uint32(16), dtype=np.uint32).view(np.float32)


def float_to_bfloat16(x):
    """Round to nearest, ties to even; a nan stays one."""
    bits = np.asarray(x, dtype=np.float32).view(np.uint32).astype(np.int64)  # NumPy 1.26 makes floats of uint64 scalars
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), (bits >> 16).astype(np.uint16) | 0x40, rounded).astype(np.uint16)


def convert(x, dtype):
    """A C cast to a NumPy dtype; what C leaves undefined is what kernels/cpu/cast.h gives."""
    x, dtype = np.asarray(x), np.dtype(dtype)
    if x.dtype == dtype:
        return x
    if dtype.kind == "b":
        return x != 0
    if x.dtype.kind == "c" and dtype.kind != "c":
        x = x.real
    if x.dtype.kind == "f" and dtype.kind in "iu":
        return _truncated(x.astype(np.float64), dtype)
    if dtype == np.float16:
        x = convert(x, np.float32)  # the double rounding is the CPU's, too
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def _truncated(x, dtype):
    whole = np.trunc(x)
    if dtype == np.int32:
        inside = (whole >= -(2.0**31)) & (whole < 2.0**31)
        return np.where(inside, np.where(inside, whole, 0).astype(np.int64), -(2**31)).astype(np.int32)
    inside = (whole >= -(2.0**63)) & (whole < 2.0**63)
    narrow = np.where(inside, np.where(inside, whole, 0).astype(np.int64), np.int64(-(2**63))).astype(dtype)
    if dtype == np.uint64:
        large = (whole >= 2.0**63) & (whole < 2.0**64)
        return np.where(large, np.where(large, whole, 0).astype(np.uint64), narrow)
    return narrow


def truncated_quotient(x, y):
    """C's x / y for integers; 0 where y is 0."""
    zero = y == 0
    safe = np.where(zero, 1, y).astype(y.dtype)
    quotient = np.floor_divide(x, safe)
    if x.dtype.kind == "i":
        quotient = quotient + ((x - quotient * safe != 0) & ((x < 0) != (safe < 0)))
    return np.where(zero, 0, quotient).astype(x.dtype)


def truncated_remainder(x, y):
    """C's x % y for integers; 0 where y is 0."""
    return np.where(y == 0, 0, x - truncated_quotient(x, y) * y).astype(x.dtype)


# ---- the functions of kernels/cpu/scalar_math.h ----------------------------------------------------------
def _is_integer(x):
    return x.dtype.kind in "iu"


def _sign(x):
    if x.dtype.kind == "c":
        modulus = np.abs(x)
        return np.where(modulus == 0, 0, x / np.where(modulus == 0, 1, modulus))
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def _truncdiv(x, y):
    return truncated_quotient(x, y) if _is_integer(x) else np.trunc(x / y)


def _fmod(x, y):
    return truncated_remainder(x, y) if _is_integer(x) else np.fmod(x, y)


def _remainder(x, y):
    r = _fmod(x, y)
    return np.where((r != 0) & ((r < 0) != (y < 0)), r + y, r)


def _floordiv(x, y):
    if not _is_integer(x):
        return np.where(y == 0, x / y, np.floor_divide(x, y))
    down = (truncated_remainder(x, y) != 0) & ((x < 0) != (y < 0))
    return truncated_quotient(x, y) - down.astype(x.dtype)


def _pow(x, y):
    if not _is_integer(x):
        return np.power(x, y)
    negative = y < 0
    ones = np.where(x == 1, 1, 0)
    if x.dtype.kind == "i":
        ones = np.where(x == -1, np.where(y & 1, -1, 1), ones)
    power = np.power(x, np.where(negative, 0, y).astype(y.dtype))
    return np.where(negative, ones, power)


def _element_by_element(function):
    """A function of Python floats, for arrays of floats."""

    def guarded(*args):
        try:
            return function(*map(float, args))
        except (OverflowError, ZeroDivisionError):
            return math.inf
        except ValueError:
            return math.inf if function is math.lgamma and args[0] < math.inf else math.nan

    vectorized = np.vectorize(guarded, otypes=[np.float64])
    return lambda *args: vectorized(*args) if args[0].size else args[0].astype(np.float64)


def _first_wins(compare):
    return lambda x, y: np.where(compare(x, y) | (x != x), x, y)


def _scaled_log(base):
    real = {2: np.log2, 10: np.log10}[base]
    return lambda x: np.log(x) / math.log(base) if x.dtype.kind == "c" else real(x)


FUNCTIONS = {
    **{name: getattr(np, "arc" + name[1:]) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
    **{name: _element_by_element(getattr(math, name)) for name in ("erf", "erfc", "lgamma")},
    **{name: _element_by_element(function) for name, function in special.OF_NUMBERS.items()},
    **special.OF_ARRAYS,
    "exp2": lambda x: np.exp(x * x.dtype.type(math.log(2))) if x.dtype.kind == "c" else np.exp2(x),
    "log2": _scaled_log(2),
    "log10": _scaled_log(10),
    "arg": np.angle,
    "atan2": np.arctan2,
    "make_c64": lambda x, y: (x + 1j * y).astype(np.complex64),
    "make_c128": lambda x, y: (x + 1j * y).astype(np.complex128),
    "sign": _sign,
    "max": _first_wins(np.greater),
    "min": _first_wins(np.less),
    "truncdiv": _truncdiv,
    "floordiv": _floordiv,
    "fmod": _fmod,
    "remainder": _remainder,
    "pow": _pow,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def call(name, args):
    """``tg_NAME(args)``: a function of its first argument's type, to which the others are converted."""
    function = FUNCTIONS.get(name) or getattr(np, name, None)  # many have one name in C and NumPy
    if function is None:
        raise NotImplementedError(f"the expression calls tg_{name}, which is unknown here")
    dtype = args[0].dtype
    if name.endswith("_d") or (dtype.kind in "iub" and name not in ON_INTEGERS):
        dtype = DOUBLE
    elif dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    result = np.asarray(function(*[convert(x, dtype) for x in args]))
    return result.astype(dtype) if result.dtype.kind == dtype.kind else result
