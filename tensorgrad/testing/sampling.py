"""Sample inputs of operators, and their values in NumPy: what tests of every operator are made of.

Nothing here names an operator: signatures, domains and NumPy expressions come from the declarations.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

import tensorgrad

INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
HALVES = ("float16", "bfloat16")
REALS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
DTYPES = [getattr(tensorgrad, name) for name in ("bool", *INTEGERS, *HALVES, *REALS, *COMPLEX)]


def is_inexact(dtype):
    return dtype.is_floating_point or dtype.is_complex


def wide(dtype):
    """The double precision dtype whose results those of `dtype` are held against."""
    if dtype.is_complex:
        return tensorgrad.complex128
    return tensorgrad.float64 if dtype.is_floating_point else dtype


def to_numpy(x):
    """The values of a tensor; those of bfloat16 as float32, since NumPy does not have it."""
    x = x.detach()
    return (x.float() if x.dtype is tensorgrad.bfloat16 else x).numpy()


class Maker:
    """Makes tensors of distinct values: none of a tensor tie, so that order and extremes are smooth."""

    def __init__(self, seed, dtype=tensorgrad.float64, requires_grad=False, domain=(-2.0, 2.0)):
        self.rng = np.random.default_rng(seed)
        self.dtype, self.requires_grad, self.domain = dtype, requires_grad, domain

    def __call__(self, *shape, dtype=None, low=None, high=None, requires_grad=None, integer=None):
        if integer is not None:
            return tensorgrad.tensor(self.rng.integers(0, integer, shape))
        dtype = self.dtype if dtype is None else dtype
        low = self.domain[0] if low is None else low
        high = self.domain[1] if high is None else high
        x = tensorgrad.tensor(self.values(shape, dtype, low, high)).to(dtype)
        recorded = self.requires_grad if requires_grad is None else requires_grad
        return x.requires_grad_() if recorded and is_inexact(dtype) else x

    def values(self, shape, dtype, low, high):
        if dtype is tensorgrad.bool:
            # where zero is outside of the domain, so is False
            return np.asarray(self.rng.integers(low > 0, 2, shape).astype(bool))
        if not is_inexact(dtype):
            first = max(math.ceil(low), 0 if not dtype.is_signed else -100)
            last = math.floor(high)
            # A domain between two integers holds none: one to three are in the domain of everything.
            first, last = (first, last) if first <= last else (1, 3)
            return np.asarray(self.rng.integers(first, last, shape, endpoint=True))
        real = self.spread(shape, low, high)
        if dtype.is_complex:
            # a moderate imaginary part keeps away from the branch cuts along the real axis
            return real + 1j * self.spread(shape, 0.15, 0.85) * self.rng.choice([-1.0, 1.0], shape)
        return real

    def spread(self, shape, low, high):
        """One value from the inner part of each of as many intervals as there are elements, shuffled."""
        n = math.prod(shape)
        place = self.rng.permutation(n) + self.rng.uniform(0.2, 0.8, n)
        return (low + (high - low) * place / max(n, 1)).reshape(shape)


def make(*shape, dtype=None, low=-2, high=2, requires_grad=True, integer=None, seed=0):
    """A tensor of values from `low` to `high`; ``integer=n``: of int64 values below n, without grad."""
    dtype = tensorgrad.float64 if dtype is None else dtype
    return Maker(seed, dtype, requires_grad, (low, high))(*shape, integer=integer)


# ---- samples ---------------------------------------------------------------------------------------
def seed_of(overload):
    return zlib.crc32(overload.signature_text.encode())


def kind_of(param):
    return param.type_name.rstrip("?!")


def takes_only_numbers(overload):
    """Whether the default samples fit: tensors and numbers that broadcast."""
    params = overload.parsed().params
    pointwise = overload.kind_name == "elementwise" or overload.reference is not None
    return pointwise and all(kind_of(p) in ("Tensor", "Operand", "Number") for p in params)


def samples_of(overload, dtype, requires_grad=False, variant=0):
    """``[(args, kwargs), ...]`` to call an overload with; [] where neither declaration nor signature tells.

    Each `variant` has other values, in the same shapes.
    """
    overload = overload.functional or overload
    maker = Maker(seed_of(overload) + variant, dtype, requires_grad, overload.options.get("domain", (-2.0, 2.0)))
    if overload.samples is not None:
        return [(tuple(args), dict(kwargs)) for args, kwargs in overload.samples(maker)]
    return default_samples(overload, maker) if takes_only_numbers(overload) else []


def default_samples(overload, maker):
    """Same shapes, broadcasting, no dimensions, no elements, gaps in memory; and each operand as a number."""
    params = overload.parsed().params
    tensors = [p for p in params if kind_of(p) == "Tensor"]
    operands = [p for p in params if kind_of(p) == "Operand"]
    n = len(tensors) + len(operands)
    layouts = [[(3, 4)] * n, [()] * n, [(0, 3)] * n]
    if n > 1:
        layouts += [[(3, 1), *[(4,)] * (n - 1)], [(2, 1, 3), *[()] * (n - 1)]]
    samples = [sample(params, {}, maker, shapes) for shapes in layouts]
    samples.append(sample(params, {}, maker, [(4, 3)] * n, gaps=True))
    for i, p in enumerate(params):
        if kind_of(p) == "Operand" and (len(operands) < n or len(operands) > 1):
            samples.append(sample(params, {i: number_for(p, maker, overload)}, maker, [(2, 3)] * n))
    return samples


def number_for(param, maker, overload):
    low, high = bounds_for(param, maker)
    if maker.dtype is tensorgrad.bool:
        return True
    if not is_inexact(maker.dtype):
        return 2 if overload.options.get("shifts") else max(1, math.floor(high))
    return round(low + 0.77 * (high - low), 2)


def bounds_for(param, maker):
    """Bounds come in order (``min`` below ``max``), whatever else is sampled."""
    if param.name == "min":
        return (-1.4, -0.8)
    return (0.8, 1.4) if param.name == "max" else maker.domain


def sample(params, numbers, maker, shapes, gaps=False):
    args, kwargs, shapes = [], {}, list(shapes)
    for i, p in enumerate(params):
        if kind_of(p) == "Number" and p.optional:
            value = p.default
        elif kind_of(p) == "Number":
            value = 0.5 if is_inexact(maker.dtype) else True if maker.dtype is tensorgrad.bool else 2
        elif numbers.get(i) is not None:
            value = numbers[i]
            shapes.pop(0)
        else:
            low, high = bounds_for(p, maker)
            dtype = tensorgrad.bool if p.name == "condition" else None
            shape = shapes.pop(0)
            if gaps:
                with tensorgrad.no_grad():
                    value = maker(*shape[::-1], dtype=dtype, low=low, high=high, requires_grad=False).t()
                    value = tensorgrad.stack((value, value), -1)[..., 0]
                if maker.requires_grad and is_inexact(value.dtype):
                    value.requires_grad_()
            else:
                value = maker(*shape, dtype=dtype, low=low, high=high)
        if p.keyword_only:
            kwargs[p.name] = value
        else:
            args.append(value)
    return tuple(args), kwargs


# ---- the same in NumPy -------------------------------------------------------------------------------
def bound(overload, args, kwargs):
    """Arguments by the names of the parameters, defaults included."""
    params = (overload.functional or overload).parsed().params
    values = {p.name: p.default for p in params if p.has_default}
    values.update(zip([p.name for p in params], args, strict=False))
    values.update(kwargs)
    return values


def numpy_value(x, exact):
    """An argument for a NumPy expression: inexact tensors (and all, unless `exact`) in double precision."""
    if isinstance(x, tensorgrad.Tensor):
        value = to_numpy(x.detach().to(wide(x.dtype)))
        return value if exact or value.dtype.kind not in "iub" else value.astype(np.float64)
    if isinstance(x, (tuple, list)):
        return tuple(numpy_value(item, exact) for item in x)
    return x


def reference_of(overload, args, kwargs):
    """The value of the declaration's NumPy expression.

    Integers are computed as they are, since they may wrap around; but where the result is inexact, in
    double precision, for NumPy would take half precision for int8.
    """
    overload = overload.functional or overload
    arguments = bound(overload, args, kwargs)

    def evaluate(exact):
        names = {name: numpy_value(x, exact) for name, x in arguments.items()}
        for p in overload.parsed().params:
            if kind_of(p) in ("Operand", "Number") and isinstance(names[p.name], bool):
                names[p.name] = np.bool_(names[p.name])  # True + True is 2 in Python
        with np.errstate(all="ignore"):
            return eval(overload.reference, {"np": np, "math": math, **names})

    value = evaluate(True)
    parts = value if isinstance(value, (tuple, list)) else (value,)
    small = any(np.asarray(part).dtype.kind in "fc" for part in parts) and not any(
        is_inexact(x.dtype) for x in tensors_in((args, kwargs))
    )
    return evaluate(False) if small else value


# ---- arguments as trees --------------------------------------------------------------------------------
def tensors_in(tree):
    """Every tensor among arguments, in order."""
    if isinstance(tree, tensorgrad.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (tuple, list)):
        return []
    return [x for item in tree for x in tensors_in(item)]


def with_tensors(tree, replacements):
    """Arguments with their tensors replaced, in order, by those that an iterator gives."""
    if isinstance(tree, tensorgrad.Tensor):
        return next(replacements)
    if isinstance(tree, dict):
        return {key: with_tensors(value, replacements) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return tuple(with_tensors(item, replacements) for item in tree)
    return tree


def mapped(function, tree):
    return with_tensors(tree, iter([function(x) for x in tensors_in(tree)]))


def as_function(operator, args, kwargs):
    """``(function of the tensors alone, the tensors)`` of a call."""
    everything = (args, kwargs)

    def function(*tensors):
        a, k = with_tensors(everything, iter(tensors))
        return operator(*a, **k)

    return function, tuple(tensors_in(everything))


def results_of(result):
    """The tensors of a result, whatever it came as."""
    return tuple(tensors_in(result))


def tolerance(dtype, slack=16):
    """Relative error that rounding may leave, as a multiple of the distance between 1 and its neighbour."""
    return slack * tensorgrad.finfo(dtype).eps if is_inexact(dtype) else 0.0


def assert_close(actual, expected, dtype, slack=16, note=""):
    """Equal up to rounding in `dtype`, relative to the largest expected value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{note}: shape {actual.shape}, expected {expected.shape}"
    rounding = tolerance(dtype, slack)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    if actual.dtype.kind in "iu" and np.asarray(expected).dtype.kind in "iu":
        # NumPy 1.26 widens zero-dimensional integers where NumPy 2 and C wrap around
        expected = np.asarray(expected).astype(actual.dtype)
    np.testing.assert_allclose(actual, expected, rtol=rounding, atol=rounding * scale, err_msg=note)
