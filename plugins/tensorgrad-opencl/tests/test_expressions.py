"""Expressions in OpenCL C, and shapes as kernels want them."""

import numpy as np
import pytest

from tensorgrad_opencl import library
from tensorgrad_opencl.dtypes import COMPUTED
from tensorgrad_opencl.expressions import translate
from tensorgrad_opencl.layout import collapse, padded
from tensorgrad_opencl.memory import rounded


@pytest.mark.parametrize(
    "expression, dtype, code",
    [
        ("x + y", "float32", "((x) + (y))"),
        ("x * y", "complex64", "tg_mul_c64(x, y)"),
        ("x * (R)2", "complex64", "((x) * (((float)(2))))"),
        ("-x", "int8", "(char)((-(x)))"),
        ("x == y", "complex128", "tg_eq_c128(x, y)"),
        ("tg_exp(x)", "float64", "tg_exp_f64(x)"),
        ("x ? y : z", "complex64", "((tg_nonzero_c64(x)) ? y : z)"),
        ("x > 0.5 ? x : 1e-3", "float64", "(((((x) > (0.5))) != 0) ? x : 0.001)"),
        ("tg_abs(x)", "complex64", "tg_abs_c64(x)"),
        ("sizeof(T)", "int64", "(long)(8UL)"),
    ],
)
def test_translation(expression, dtype, code):
    assert translate(expression, COMPUTED[dtype])[0] == code


def test_a_device_without_doubles_computes_in_float():
    code, of = translate("0.5 * tg_digamma_d(x)", COMPUTED["float32"], doubles=False)
    assert code == "((0.5f) * (tg_digamma_d(x)))" and of.name == "float32"
    source = library.source(f"float f(float x) {{ return {code}; }}", doubles=False)
    assert "float tg_digamma_d(float x)" in source and "double" not in source


def test_functions_are_declared_for_the_kinds_that_they_are_defined_for():
    assert library.FUNCTIONS["exp"] == "fc" and library.FUNCTIONS["gcd"] == "i"
    assert library.FUNCTIONS["zeta_d"] == library.FUNCTIONS["make_c64"] == "f"
    assert set(library.FUNCTIONS["abs"]) == set("ifc") and "beta" not in library.FUNCTIONS


def test_programs_contain_what_they_call_and_no_more():
    source = library.source("float2 f(float2 x) { return tg_asinh_c64(x); }")
    assert source.index("tg_sqrt_c64(float2 z)") < source.index("tg_asin_c64(float2 z)") < source.index("float2 f(")
    assert "tg_cosh" not in source and "f64" not in source


@pytest.mark.parametrize("seed", range(50))
def test_collapsed_shapes_name_the_same_places(seed):
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(0, 6))
    shape = tuple(int(n) for n in rng.integers(1, 4, ndim))
    arrays = []
    for _ in range(2):
        whole = np.arange(4**6).reshape((4,) * 6)
        part = whole.transpose(rng.permutation(6)) if rng.random() < 0.5 else whole
        part = part[(0,) * (6 - ndim)] if rng.random() < 0.5 else part[(..., *[0] * (6 - ndim))]
        arrays.append(part[tuple(slice(0, n) for n in shape)])
    strides = [tuple(s // 8 for s in a.strides) for a in arrays]
    small, steps = collapse(shape, *strides)
    more, more_steps = padded(small, steps)
    assert len(more) in (0, 1, 3, 6)
    for array, step, more_step in zip(arrays, steps, more_steps):
        for sizes, strides in ((small, step), (more, more_step)):
            places = sum(i * s for i, s in zip(np.indices(sizes), strides)) if sizes else np.zeros(())
            expected = array.ravel() - array.ravel()[0]
            np.testing.assert_array_equal(np.ravel(places + np.zeros(sizes)), expected)


def test_sizes_of_blocks():
    for n in [1, 511, 513, 1000, 4097, 10**6, 10**9]:
        size = rounded(n)
        assert n <= size <= max(512, 1.26 * n) and rounded(size) == size
