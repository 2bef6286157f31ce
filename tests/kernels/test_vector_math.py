"""The vectorised elementary functions against mpmath: at most 2 ULP over the whole range, in every instruction set.

Each instruction set runs in a process of its own (TENSORGRAD_SIMD); those that the processor lacks are skipped.
"""

import math
import os
import subprocess
import sys
import warnings

import mpmath as mp
import numpy as np
import pytest

mp.mp.prec = 160
LEVELS = ["plain", "avx2", "avx512"]
UNARY = ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"]
UNARY += ["sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sigmoid", "erf", "erfc", "sqrt", "rsqrt"]
DTYPES = {"float32": np.float32, "float64": np.float64}
EXPONENTS = [2, 3, 1, -1, -2, 0.5, -0.5, 0, 2.5, -3]
COUNT = 400  # random numbers of each kind

WORKER = """
import sys
import numpy as np
import tensorgrad
from tensorgrad.kernels.cpu.cpu import simd_level
given, results = np.load(sys.argv[1]), {"level": np.array(simd_level())}
for key in given.files:
    name, *rest = key.split(":")
    if rest[0] == "y":
        continue
    x = tensorgrad.from_numpy(given[key])
    if name == "pow" and rest[0] != "x":
        out = tensorgrad.pow(x, float(rest[0]))
    elif name == "pow":
        out = tensorgrad.pow(x, tensorgrad.from_numpy(given[key.replace(":x:", ":y:")]))
    else:
        out = getattr(tensorgrad, name)(x)
    results[key] = out.numpy()
    # the same whatever lies beside an element, and wherever the element lies
    alone = [getattr(tensorgrad, name)(x[i:i + 1]).item() for i in range(0, len(x), 37)] if name != "pow" else []
    results["alone:" + key] = np.array(alone, given[key].dtype)
np.savez(sys.argv[2], **results)
"""


# ---- arguments -----------------------------------------------------------------------------------------
def arguments(dtype, seed):
    """Random bit patterns, the usual magnitudes, the neighbourhood of 1 and of multiples of pi/2, and special values."""
    random, bits = np.random.default_rng(seed), np.uint64 if dtype == np.float64 else np.uint32
    parts = [random.integers(0, np.iinfo(bits).max, 2 * COUNT, dtype=bits, endpoint=True).view(dtype)]
    for scale in (1e-3, 0.3, 1, 10, 800, 1e5, 1e9):
        parts.append(random.uniform(-scale, scale, COUNT).astype(dtype))
    for scale in (1e-7, 1e-3, 0.3):
        parts.append((1 + scale * random.standard_normal(COUNT)).astype(dtype))
    multiples = [float(mp.pi / 2 * int(k)) for k in random.integers(1, 640_000, COUNT)]
    parts.append(np.array(multiples).astype(dtype))
    info = np.finfo(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 28.0, -28.0]
    special += [info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal, -info.smallest_subnormal, 1e22, 1e6]
    special += [709.7827, 709.79, -708.4, -745.13, -745.14, 88.7228, 88.723, -87.33, -103.97, -103.98, 1024.0, -1075.0]
    parts.append(np.array(special).astype(dtype))
    with np.errstate(over="ignore"):
        return np.concatenate(parts).astype(dtype)


def powers(dtype, seed):
    """Bases and exponents: everywhere, where the power is in range, and each special value with each."""
    random = np.random.default_rng(seed)
    end = 740 if dtype == np.float64 else 103
    bases = np.abs(arguments(dtype, seed + 1)[: 2 * COUNT])
    near = np.abs(1 + random.choice([1e-5, 1e-2, 0.5], 2 * COUNT) * random.standard_normal(2 * COUNT)).astype(dtype)
    with np.errstate(all="ignore"):
        fitting = [(random.uniform(-end, end, x.size) / np.log(x)).astype(dtype) for x in (bases, near)]
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1.5, np.inf, -np.inf, np.nan, 1e30, -1e30]
    special += [2.0**24 - 1, -(2.0**23) - 1, 2.0**24 + 2, 2.0**52 + 1, 2.0**53 - 1, 2.0**53, 1e-40]
    x, y = np.meshgrid(np.array(special, dtype), np.array(special, dtype))
    return np.concatenate([bases, near, x.ravel()]), np.concatenate([*fitting, y.ravel()])


def given():
    arrays = {}
    for code, dtype in DTYPES.items():
        for seed, name in enumerate(UNARY):
            arrays[f"{name}:x:{code}"] = arguments(dtype, seed)
        arrays[f"pow:x:{code}"], arrays[f"pow:y:{code}"] = powers(dtype, 100)
        for exponent in EXPONENTS:
            arrays[f"pow:{exponent}:{code}"] = arguments(dtype, 200)[:2500]
    return arrays


# ---- references ----------------------------------------------------------------------------------------
def _clipped(function, end):
    return lambda x: function(max(min(x, mp.mpf(end)), mp.mpf(-end)))


EXACT = {name: getattr(mp, name) for name in UNARY if hasattr(mp, name)}
EXACT |= {name: _clipped(getattr(mp, name), 3000) for name in ("exp", "expm1", "sinh", "cosh", "tanh", "erf", "erfc")}
EXACT |= {
    "exp2": _clipped(lambda x: mp.power(2, x), 3000),
    "log2": lambda x: mp.log(x, 2),
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "sigmoid": _clipped(lambda x: 1 / (1 + mp.exp(-x)), 3000),
}
NUMPY = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}


def special_value(name, x):
    """Values at zero, infinities and nan: C's, which NumPy has."""
    formulas = {
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "rsqrt": lambda v: 1 / np.sqrt(v),
        "erf": lambda v: v if v == 0 else np.sign(v),
        "erfc": lambda v: 1 - np.sign(v),
    }
    with np.errstate(all="ignore"):
        return float(formulas.get(name, getattr(np, NUMPY.get(name, name), None))(np.float64(x)))


def pair(value):
    """A number of mpmath as a sum of two doubles; nan for a complex one."""
    if not isinstance(value, mp.mpf):
        return np.nan, 0.0
    high = float(value)
    return (high, float(value - mp.mpf(high))) if np.isfinite(high) else (high, 0.0)


def exact(name, xs):
    pairs = []
    for x in map(float, xs):
        if x == 0 or not np.isfinite(x):
            pairs.append((special_value(name, x), 0.0))
        elif name == "atanh" and abs(x) == 1:
            pairs.append((np.copysign(np.inf, x), 0.0))
        elif name == "log1p" and x == -1:
            pairs.append((-np.inf, 0.0))
        else:
            pairs.append(pair(EXACT[name](mp.mpf(x))))
    return np.array(pairs).T


def _special_power(x, y):
    """C's pow; not NumPy's, whose vectorised one gives -0 for sqrt-like powers of -0."""
    try:
        return math.pow(x, y)
    except ValueError:  # a negative power of zero, or a root of a negative number
        return math.nan if x != 0 else math.copysign(math.inf, x) if y % 2 == 1 else math.inf


def exact_power(xs, ys):
    pairs = []
    for x, y in zip(map(float, xs), map(float, ys)):
        if x == 0 or y == 0 or not (np.isfinite(x) and np.isfinite(y)) or (x < 0 and y != np.floor(y)) or x == 1:
            pairs.append((_special_power(x, y), 0.0))
            continue
        exponent = mp.mpf(y) * mp.log(abs(mp.mpf(x)), 2)
        power = mp.power(2, max(min(exponent, mp.mpf(3000)), mp.mpf(-3000)))
        pairs.append(pair(-power if x < 0 and y % 2 == 1 else power))
    return np.array(pairs).T


def ulps(got, high, low, dtype):
    """How far off each value is, in units of the last place of the exact one; infinity for a wrong inf, nan or sign of zero."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = np.asarray(high).astype(dtype)
        same = (got == rounded) & ((got != 0) | (np.signbit(got) == np.signbit(high))) | (np.isnan(got) & np.isnan(rounded))
        _, exponent = np.frexp(np.maximum(np.abs(high), float(info.tiny)))
        unit = np.ldexp(1.0, np.maximum(exponent - 1 - info.nmant, -1074))
        error = np.abs((got.astype(np.float64) - high) - low) / unit
    # one more value lies, as far as rounding goes, beyond the largest finite number
    edge = np.isinf(rounded) & np.isfinite(high) & (np.abs(got) == info.max) & (np.abs(high) < 2.0 * float(info.max))
    error = np.where(np.isfinite(got) & np.isfinite(high), error, np.inf)
    error = np.where(edge, np.abs(np.abs(high) / float(info.max) - 1) * 2.0**info.nmant, error)
    error = np.where((got == 0) & (high == 0) & ~same, np.inf, error)
    return np.where(same & ~np.isfinite(rounded), 0.0, error)


# ---- the tests -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def inputs():
    return given()


@pytest.fixture(scope="module")
def references(inputs):
    return {}


@pytest.fixture(scope="module", params=LEVELS)
def results(request, inputs, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    np.savez(directory / "given.npz", **inputs)
    environment = {**os.environ, "TENSORGRAD_SIMD": request.param, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", WORKER, str(directory / "given.npz"), str(directory / "results.npz")]
    subprocess.run(command, check=True, env=environment)
    arrays = np.load(directory / "results.npz")
    if str(arrays["level"]) != request.param:
        pytest.skip(f"this processor, or this build, has no {request.param}")
    return arrays


def reference(references, inputs, key):
    """Computed once for all instruction sets."""
    if key not in references:
        name, kind, code = key.split(":")
        if name != "pow":
            references[key] = exact(name, inputs[key])
        elif kind == "x":
            references[key] = exact_power(inputs[key], inputs[f"pow:y:{code}"])
        else:
            references[key] = exact_power(inputs[key], np.full(inputs[key].shape, float(kind)))
    return references[key]


def check(results, references, inputs, key, bound):
    dtype = DTYPES[key.split(":")[-1]]
    error = ulps(results[key], *reference(references, inputs, key), dtype)
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{error[worst]:.2f} ULP at {inputs[key][worst]!r}: got {results[key][worst]!r}"


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_within_two_ulp(results, references, inputs, name, code):
    check(results, references, inputs, f"{name}:x:{code}", 2.0)


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("kind", ["x", *map(str, EXPONENTS)])
def test_powers_within_two_ulp(results, references, inputs, kind, code):
    check(results, references, inputs, f"pow:{kind}:{code}", 2.0)


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_an_element_does_not_depend_on_its_neighbours(results, name, code):
    key = f"{name}:x:{code}"
    np.testing.assert_array_equal(results["alone:" + key], results[key][::37])


def test_an_unknown_instruction_set_is_warned_of():
    code = "import warnings; warnings.simplefilter('error'); import tensorgrad"
    environment = {**os.environ, "TENSORGRAD_SIMD": "mmx"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "TENSORGRAD_SIMD=mmx is ignored: it may be plain, avx2 or avx512" in done.stderr


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_is_computed_in_float(dtype):
    import tensorgrad

    x = tensorgrad.linspace(-4, 4, 1001).to(getattr(tensorgrad, dtype))
    for name in ("exp", "sin", "tanh", "sigmoid", "erf"):
        function = getattr(tensorgrad, name)
        assert (function(x) == function(x.float()).to(x.dtype)).all().item()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_integer_powers(dtype):
    import tensorgrad

    x = np.arange(0, 12).astype(dtype)
    for exponent in (0, 1, 2, 3, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = x ** np.asarray(exponent, dtype)
        np.testing.assert_array_equal((tensorgrad.from_numpy(x) ** exponent).numpy(), expected)
