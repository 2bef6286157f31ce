"""Small contiguous tensors of one dtype take a shorter way to the same loop: it must not show in any result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
DTYPES = [tg.bool, tg.uint8, tg.int32, tg.int64, tg.float16, tg.bfloat16, tg.float32, tg.float64, tg.complex64]
BINARY = ["add", "mul", "div", "eq", "lt", "maximum", "atan2"]
UNARY = ["neg", "exp", "abs", "sign", "relu"]


def filled(shape, dtype, seed):
    tg.manual_seed(seed)
    x = tg.randint(1, 5, shape)
    return (x > 2) if dtype is tg.bool else x.to(dtype)


def apart(x):
    """The same values where no dimension is contiguous."""
    wide = tg.zeros((*x.shape, 2), dtype=x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def outcome(function, *args):
    try:
        return function(*args)
    except (RuntimeError, NotImplementedError) as error:
        return type(error)


def assert_same(a, b):
    if isinstance(a, type) or isinstance(b, type):
        assert a is b
        return
    assert a.dtype is b.dtype and a.shape == b.shape
    np.testing.assert_array_equal(a.double().numpy() if not a.is_complex() else a.numpy(),
                                  b.double().numpy() if not b.is_complex() else b.numpy())


@given(SHAPES, st.integers(0, 4), st.sampled_from(DTYPES), st.sampled_from(BINARY), st.booleans())
@settings(max_examples=300, deadline=None)
def test_two_tensors_one_of_them_repeated(shape, cut, dtype, name, inplace):
    x, y = filled(shape, dtype, 1), filled(shape[cut:], dtype, 2)
    function = getattr(tg.Tensor, name + "_" * (inplace and hasattr(tg.Tensor, name + "_")))
    assert_same(outcome(function, x.clone(), y), outcome(function, apart(x), apart(y)))


@given(SHAPES, st.sampled_from(DTYPES), st.sampled_from(BINARY[:5]), st.sampled_from([2, 2.5, True, -1]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_tensor_and_a_number(shape, dtype, name, number, inplace):
    x = filled(shape, dtype, 3)
    function = getattr(tg.Tensor, name + "_" * (inplace and hasattr(tg.Tensor, name + "_")))
    assert_same(outcome(function, x.clone(), number), outcome(function, apart(x), number))


@given(SHAPES, st.sampled_from(DTYPES), st.sampled_from(UNARY), st.booleans())
@settings(max_examples=300, deadline=None)
def test_one_tensor(shape, dtype, name, inplace):
    x = filled(shape, dtype, 4)
    function = getattr(tg.Tensor, name + "_" * inplace)
    assert_same(outcome(function, x.clone()), outcome(function, apart(x)))


def test_memory_that_is_shared():
    x = tg.arange(12.0).reshape(3, 4)
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        x.view(12)[:4].add_(x.view(12)[1:5])
    expected = x.numpy().copy()
    x.add_(x)
    np.testing.assert_array_equal(x.numpy(), 2 * expected)
    x = tg.arange(12.0).reshape(3, 4)
    x.add_(x[0].clone())
    np.testing.assert_array_equal(x.numpy(), expected + expected[0])
    x = tg.arange(12.0).reshape(3, 4)
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        x.add_(x[0])


def test_a_check_of_integers_still_refuses_bools():
    for x in (tg.ones(2, dtype=tg.bool), apart(tg.ones(2, dtype=tg.bool))):
        with pytest.raises(RuntimeError, match="with a bool tensor|two bool tensors"):
            x - x
        with pytest.raises(RuntimeError, match="with a bool tensor"):
            tg.ones(2) - x
        with pytest.raises(RuntimeError, match="bool tensor is not supported"):
            -x
    with pytest.raises(RuntimeError, match="with a bool tensor"):
        tg.ones(2) - True
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        tg.ones(2, dtype=tg.int32) // tg.zeros(2, dtype=tg.int32)


def test_shapes_are_compared():
    assert tg.is_same_size(tg.ones(2, 3), tg.ones(2, 3)) is True
    assert tg.is_same_size(tg.ones(3), tg.ones(1, 3)) is False
    assert tg.ones(()).is_same_size(tg.ones(1)) is False
