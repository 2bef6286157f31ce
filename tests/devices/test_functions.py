"""A device that lacks some of the functions that elementwise operators call says so, and is asked for nothing else."""

import pickle
from typing import ClassVar

import pytest

import tensorgrad
from tensorgrad import devices
from tensorgrad.devices.reference import c_functions, c_source
from tensorgrad.devices.reference.typed import calls, typed

from .ghost import GhostBackend


class Lacking(GhostBackend):
    functions: ClassVar = {"exp": "f", "abs": "if", "i0e_d": "f", "sign": "f"}


devices.register_backend("lacking", Lacking())


def test_what_is_declared_is_computed():
    x = tensorgrad.tensor([1.0, -2.0], device="lacking")
    assert x.abs().tolist() == [1.0, 2.0] and x.int().abs().tolist() == [1, 2]
    assert tensorgrad.special.i0e(x).tolist() == pytest.approx(tensorgrad.special.i0e(x.cpu()).tolist())
    assert (x * 2 + 1).tolist() == [3.0, -3.0], "C's operators are no functions"


@pytest.mark.parametrize(
    "dtype, call, expected",
    [
        ("complex64", lambda x: x.exp(), ("exp", "exp", "complex64")),
        ("complex64", lambda x: x.abs(), ("abs", "abs", "complex64")),
        ("float32", lambda x: tensorgrad.special.i0(x), ("i0", "i0_d", "float64")),
        ("float16", lambda x: x.sin(), ("sin", "sin", "float32")),
        ("int64", lambda x: x.sign(), ("sign", "sign", "int64")),
        ("int32", lambda x: x.sqrt(), ("sqrt", "sqrt", "float32")),
    ],
)
def test_what_is_not_is_refused_by_name(dtype, call, expected):
    x = tensorgrad.ones(2, dtype=getattr(tensorgrad, dtype), device="lacking")
    backend = devices.backend("lacking")
    backend.calls.clear()
    for _ in range(2):
        with pytest.raises(devices.UnsupportedFunctionError) as caught:
            call(x)
    error = caught.value
    assert (error.operator, error.function, error.dtype, error.device) == (*expected, "lacking:0")
    assert isinstance(error, NotImplementedError)
    assert str(error).startswith(f'"{expected[0]}" not implemented for')
    assert f"lacking:0: the device has no function '{expected[1]}' of {expected[2]}" in str(error)
    assert not backend.calls, "the backend is not asked for it"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)


def test_a_derivative_may_need_more_than_the_operator():
    x = tensorgrad.ones(2, device="lacking", requires_grad=True)
    y = tensorgrad.special.i0e(x).sum()
    with pytest.raises(devices.UnsupportedFunctionError, match="'i1e_d' of float64"):
        y.backward()


# ---- what plugins are made of ----------------------------------------------------------------------------
def test_types_are_those_of_c():
    assert typed("x < 1", "complex64").operand == "complex64" and typed("x < 1", "int8").operand == "int32"
    assert typed("x + 0.5", "float32").dtype == "float64" == typed("tg_erfinv_d(x)", "float32").dtype
    assert typed("x + 0.5", "float32", doubles=False).dtype == "float32"
    assert typed("tg_sin(x)", "int32").operand == "float64" and typed("tg_max(x, y)", "bool").operand == "uint8"
    assert calls("tg_make_c64(tg_abs(x), 0)", "complex64") == [("abs", "complex64"), ("make_c64", "float32")]


def test_the_text_of_special_functions_is_whole():
    """Each function that ends in ``_d`` has a definition in C, and one in Python."""
    special = {name for name in c_functions.FUNCTIONS if name.endswith("_d")}
    assert set(c_source.names()) == special
    texts = c_source.definitions()
    for text in texts.values():
        assert text.count("{") == text.count("}") and "static" not in text
    floats = "\n".join(c_source.definitions(doubles=False).values())
    assert "double" not in floats and "7.1661652561756670113e18f" in floats
