"""tensor, as_tensor, asarray and the constructor Tensor(...). The expectations are PyTorch 2.13's."""

import array
import fractions
import math
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tensorgrad
from tensorgrad import Tensor, as_tensor, asarray, tensor

INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPLEX = ("complex64", "complex128")


def dtype(name):
    return getattr(tensorgrad, name)


def check(x, values, dtype_name, shape):
    assert type(x) is Tensor
    assert x.dtype is dtype(dtype_name)
    assert x.shape == shape
    assert x.is_contiguous() and x.is_leaf and not x.requires_grad
    got = x.tolist()
    assert got == values
    assert repr(got) == repr(values)  # True and 1 and 1.0 are equal, but not the same


# ---- dtypes and shapes ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "data, values, name, shape",
    [
        ([1, 2, 3], [1, 2, 3], "int64", (3,)),
        ([1.0, 2], [1.0, 2.0], "float32", (2,)),
        ([True, False], [True, False], "bool", (2,)),
        ([True, 2], [1, 2], "int64", (2,)),
        ([True, 2.5], [1.0, 2.5], "float32", (2,)),
        ([1j, 2], [1j, 2 + 0j], "complex64", (2,)),
        ([], [], "float32", (0,)),
        ((), [], "float32", (0,)),
        ([[], []], [[], []], "float32", (2, 0)),
        ([[], [1]], [[], []], "float32", (2, 0)),
        ([[[]], [[]]], [[[]], [[]]], "float32", (2, 1, 0)),
        (3, 3, "int64", ()),
        (3.0, 3.0, "float32", ()),
        (True, True, "bool", ()),
        (1j, 1j, "complex64", ()),
        ([(1, 2), [3, 4]], [[1, 2], [3, 4]], "int64", (2, 2)),
        ([[True, False], [1, 0]], [[1, 0], [1, 0]], "int64", (2, 2)),
        (range(4), [0, 1, 2, 3], "int64", (4,)),
        ([range(3), range(3)], [[0, 1, 2], [0, 1, 2]], "int64", (2, 3)),
        (bytearray(b"abc"), [97, 98, 99], "int64", (3,)),
        (array.array("d", [1, 2]), [1.0, 2.0], "float32", (2,)),
        (-(2**63), -(2**63), "int64", ()),
        ([1.0, 2**63], [1.0, 2.0**63], "float32", (2,)),
        (np.float32(3), 3.0, "float32", ()),
        (np.float64(3), 3.0, "float64", ()),
        (np.int32(3), 3, "int32", ()),
        (np.bool_(True), True, "bool", ()),
        (np.complex64(3), 3 + 0j, "complex64", ()),
        ([np.float64(3), np.float64(4)], [3.0, 4.0], "float64", (2,)),
        ([np.int8(3), np.int8(4)], [3, 4], "int8", (2,)),
        ([np.float16(3)], [3.0], "float16", (1,)),
        ([np.int32(3), 2.5], [3.0, 2.5], "float32", (2,)),
        ([np.arange(3.0), [1, 2, 3]], [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], "float64", (2, 3)),
        ([[1, 2], np.array([3, 4])], [[1, 2], [3, 4]], "int64", (2, 2)),
        (np.array(3), 3, "int64", ()),
        (np.arange(3, dtype="f2"), [0.0, 1.0, 2.0], "float16", (3,)),
        (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]], "int64", (3, 2)),
    ],
)
def test_inference(data, values, name, shape):
    check(tensor(data), values, name, shape)


def test_zero_dimensional_tensors_among_numbers():
    t = tensor
    check(tensor([t(1), t(2.0)]), [1.0, 2.0], "float32", (2,))
    check(tensor([t(1.0, dtype=tensorgrad.float64), t(2.0)]), [1.0, 2.0], "float64", (2,))
    check(tensor([[t(1.0), 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]], "float32", (2, 2))
    check(tensor([t([1.0]), t([2.0])]), [1.0, 2.0], "float32", (2,))
    check(tensor([t(1, dtype=tensorgrad.int32)]), [1], "int32", (1,))
    check(tensor([t(True), t(False)]), [True, False], "bool", (2,))
    with pytest.warns(UserWarning, match="Converting a tensor with requires_grad=True to a scalar"):
        check(tensor([t(1.0, requires_grad=True), t(2.0)]), [1.0, 2.0], "float32", (2,))
    for data in ([t([1.0, 2.0])], [t([])], [t(1.0), t([1.0, 2.0])]):
        with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
            tensor(data)
    with pytest.raises(TypeError, match="only integer tensors of a single element"):
        tensor([t(1.5)], dtype=tensorgrad.int64)
    with pytest.raises(RuntimeError, match="value cannot be converted to type double without overflow"):
        tensor([t(1j)], dtype=tensorgrad.float32)


def test_default_dtype():
    tensorgrad.set_default_dtype(tensorgrad.float64)
    try:
        check(tensor([1.5]), [1.5], "float64", (1,))
        check(tensor([1.5, 1j]), [1.5 + 0j, 1j], "complex128", (2,))
        check(tensor([1.5, np.float32(2)]), [1.5, 2.0], "float64", (2,))
        check(tensor([]), [], "float64", (0,))
        check(Tensor([1]), [1.0], "float64", (1,))
        assert Tensor(2).dtype is tensorgrad.float64
    finally:
        tensorgrad.set_default_dtype(tensorgrad.float32)


@pytest.mark.parametrize("name", ("bool", *INTEGERS, *FLOATS, *COMPLEX))
@pytest.mark.parametrize("data", ([1, 0, 1], (1.0, 0.0, True), range(2), np.array([1, 0])))
def test_every_dtype(name, data):
    x = tensor(data, dtype=dtype(name))
    assert x.dtype is dtype(name)
    assert x.tolist() == list(data)


@pytest.mark.parametrize(
    "value, name, stored",
    [
        (-1, "uint8", 255),
        (-255, "uint8", 1),
        (-1, "uint16", 65535),
        (1 - 2**32, "uint32", 1),
        (2**64 - 1, "uint64", 2**64 - 1),
        (1.5, "int32", 1),
        (-2.7, "int64", -2),
        (-(2.0**63), "int64", -(2**63)),
        (1.5, "bool", True),
        (0.0, "bool", False),
        (math.nan, "bool", True),
        (1j, "bool", True),
        (1e39, "float32", math.inf),
        (70000.0, "float16", math.inf),
        (1e300, "bfloat16", math.inf),
        (2**63, "float32", 2.0**63),
        (np.float64(2.7), "int32", 2),
        (fractions.Fraction(1, 2), "float64", 0.5),
    ],
)
def test_conversion(value, name, stored):
    got = tensor([value], dtype=dtype(name)).tolist()
    assert got == [stored] and type(got[0]) is type(stored)
    assert tensor(value, dtype=dtype(name)).item() == stored


@pytest.mark.parametrize(
    "value, name",
    [
        (256, "uint8"),
        (-256, "uint8"),
        (300, "int8"),
        (-129, "int8"),
        (70000, "int16"),
        (2**40, "int32"),
        (-65536, "uint16"),
        (2**32, "uint32"),
        (256.0, "uint8"),
        (-1.0, "uint8"),
        (255.5, "uint8"),
        (127.9, "int8"),
        (-128.9, "int8"),
        (math.nan, "int64"),
        (math.inf, "int64"),
        (1e30, "int64"),
        (-1.0, "uint64"),
    ],
)
def test_what_does_not_fit(value, name):
    for data in (value, [value], (value,), [[value]]):
        with pytest.raises(RuntimeError, match=f"value cannot be converted to type {name} without overflow"):
            tensor(data, dtype=dtype(name))


@given(st.lists(st.floats(width=32)))
def test_float32_bits(values):
    x = tensor(values)
    assert x.numpy().tobytes() == struct.pack(f"={len(values)}f", *values)
    assert tensor(tuple(values), dtype=tensorgrad.float64).numpy().tobytes() == struct.pack(
        f"={len(values)}d", *values
    )


@given(st.lists(st.complex_numbers(width=64, allow_nan=False), min_size=1))
def test_complex_bits(values):
    for name, code, kind in (("complex64", "f", "c8"), ("complex128", "d", "c16")):
        x = tensor(values, dtype=dtype(name))
        assert x.numpy().tobytes() == np.array(values, kind).tobytes()
        assert repr(x.tolist()) == repr(np.array(values, kind).tolist())
        parts = [part for value in values for part in (value.real, value.imag)]
        assert x.numpy().tobytes() == struct.pack(f"={len(parts)}{code}", *parts)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_int64_exactly(values):
    assert tensor(values).tolist() == values
    assert tensor([values, values]).tolist() == [values, values]


@given(st.recursive(st.just(0), lambda inner: st.tuples(st.integers(0, 3), inner), max_leaves=5), st.data())
def test_shapes(tree, data):
    shape = []
    while tree != 0:
        shape.append(tree[0])
        tree = tree[1]
    values = np.arange(math.prod(shape)).reshape(shape)
    x = tensor(values.tolist(), dtype=tensorgrad.int64)
    # NumPy's nested lists end where a size is zero.
    cut = shape.index(0) + 1 if 0 in shape else len(shape)
    assert x.shape == tuple(shape[:cut])
    assert x.tolist() == values.tolist()


# ---- errors --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "data, error, message",
    [
        ([[1, 2, 3], [1, 2]], ValueError, r"expected sequence of length 3 at dim 1 \(got 2\)"),
        ([[1, 2], [1, 2, 3]], ValueError, r"expected sequence of length 2 at dim 1 \(got 3\)"),
        ([[[1], [2]], [[1], [2, 3]]], ValueError, r"expected sequence of length 1 at dim 2 \(got 2\)"),
        ([[1], []], ValueError, r"expected sequence of length 1 at dim 1 \(got 0\)"),
        ([np.arange(3), np.arange(4)], ValueError, r"expected sequence of length 3 at dim 1 \(got 4\)"),
        ([[1, 2], 3], TypeError, "not a sequence"),
        ([1, [2, 3]], TypeError, "'list' object cannot be interpreted as an integer"),
        ([1.0, [2.0]], TypeError, "must be real number, not list"),
        ([1j, [2.0]], TypeError, "must be real number, not list"),
        (None, RuntimeError, "Could not infer dtype of NoneType"),
        ([1, None], RuntimeError, "Could not infer dtype of NoneType"),
        ({1: 2}, RuntimeError, "Could not infer dtype of dict"),
        ({1}, RuntimeError, "Could not infer dtype of set"),
        (print, RuntimeError, "Could not infer dtype of builtin_function_or_method"),
        ((x for x in ()), RuntimeError, "Could not infer dtype of generator"),
        ("a", TypeError, r"new\(\): invalid data type 'str'"),
        (b"a", TypeError, r"new\(\): invalid data type 'bytes'"),
        ([1.0, "a"], TypeError, r"new\(\): invalid data type 'str'"),
        (["a"], ValueError, "too many dimensions 'str'"),
        (2**63, ValueError, "Overflow when unpacking long long"),
        ([2**70], ValueError, "Overflow when unpacking long long"),
        (np.array(["a"]), TypeError, r"can't convert np.ndarray of type numpy.str_"),
        (np.arange(3, dtype=">f4"), ValueError, "given numpy array has byte order different from the native"),
        (np.arange(3)[::-1], ValueError, "At least one stride in the given numpy array is negative"),
    ],
)
def test_errors(data, error, message):
    with pytest.raises(error, match=message):
        tensor(data)


def test_more_errors():
    with pytest.raises(TypeError, match="must be real number, not complex"):
        tensor(1j, dtype=tensorgrad.float32)
    with pytest.raises(TypeError, match="'complex' object cannot be interpreted as an integer"):
        tensor([1j], dtype=tensorgrad.int32)
    for name in FLOATS + COMPLEX:
        with pytest.raises(TypeError, match="must be real number, not str"):
            tensor([1, "2"], dtype=dtype(name))
    with pytest.raises(OverflowError, match="can't convert negative int to unsigned"):
        tensor(-1, dtype=tensorgrad.uint64)
    with pytest.raises(TypeError, match="argument 'dtype' must be tensorgrad.dtype, not str"):
        tensor([1], dtype="float32")
    with pytest.raises(TypeError, match="positional argument"):
        tensor(1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        tensor([1], foo=3)
    for data in (1, [1, 2], np.array([1])):
        with pytest.raises(
            RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"
        ):
            tensor(data, requires_grad=True)


def test_depth():
    nested = 1.0
    for _ in range(64):
        nested = [nested]
    assert tensor(nested).shape == (1,) * 64
    with pytest.raises(ValueError, match="too many dimensions 'list'"):
        tensor([nested])
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="too many dimensions 'list'"):
        tensor(loop)
    loop[:] = [1, loop]
    with pytest.raises(ValueError, match="too many dimensions 'list'"):
        tensor(loop)


def test_sequences_that_change_while_they_are_read():
    data = []

    class Shrinking:
        def __float__(self):
            data.clear()
            return 1.0

    class Growing:
        def __float__(self):
            data.extend([1.0] * 1000)
            return 1.0

    data.extend([Shrinking(), 2.0, 3.0])
    with pytest.raises(IndexError):
        tensor(data, dtype=tensorgrad.float32)
    data[:] = [Growing(), 2.0]
    assert tensor(data, dtype=tensorgrad.float32).tolist() == [1.0, 2.0]

    class Failing:
        def __float__(self):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tensor([1.0, Failing()], dtype=tensorgrad.float32)

    class Lying:
        def __len__(self):
            return 1000

        def __getitem__(self, i):
            if i > 2:
                raise IndexError(i)
            return 1.0

    with pytest.raises(IndexError):
        tensor(Lying())


# ---- sources -------------------------------------------------------------------------------------
def test_requires_grad():
    x = tensor([1.0, 2.0], requires_grad=True)
    assert x.requires_grad and x.is_leaf
    assert tensor([1, 2], dtype=tensorgrad.float32, requires_grad=True).requires_grad
    assert tensor(np.zeros(2), requires_grad=True).requires_grad
    with tensorgrad.no_grad():
        assert tensor(1.0, requires_grad=True).requires_grad


def test_from_a_tensor():
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match=r"use sourceTensor.detach\(\).clone\(\)"):
        y = tensor(x)
    check(y, [1.0, 2.0], "float32", (2,))
    assert y.data_ptr() != x.data_ptr()
    with pytest.warns(UserWarning):
        check(tensor(x * 1.5, dtype=tensorgrad.int32), [1, 3], "int32", (2,))
    with pytest.warns(UserWarning):
        assert tensor(x, requires_grad=True).requires_grad


def test_objects_that_are_arrays():
    class WithArray:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3.0)

    class WithInterface:
        def __init__(self):
            self.array = np.arange(3.0)
            self.__array_interface__ = self.array.__array_interface__

    class Sequence:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return [[1, 2], [3, 4]][i]

    check(tensor(WithArray()), [0.0, 1.0, 2.0], "float64", (3,))
    check(tensor(WithInterface()), [0.0, 1.0, 2.0], "float64", (3,))
    check(tensor(Sequence()), [[1, 2], [3, 4]], "int64", (2, 2))


def test_copies_arrays():
    source = np.arange(3.0)
    source.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is shared: no warning
        x = tensor(source)
    x[0] = 7
    assert source[0] == 0
    packed = np.zeros(3, dtype=[("a", "i1"), ("b", "f4")])["b"]
    assert tensor(packed).tolist() == [0.0, 0.0, 0.0]


def test_device(vault):
    x = tensor([[1.0, 2.0]], device="vault:1")
    assert str(x.device) == "vault:1" and x.data_ptr() == 0
    assert x.cpu().tolist() == [[1.0, 2.0]]
    assert x.tolist() == [[1.0, 2.0]]
    assert tensor(np.arange(3), device="vault").tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="no device type 'foo'"):
        tensor([1], device="foo")


# ---- as_tensor and asarray -----------------------------------------------------------------------
def test_as_tensor():
    x = tensor([1.0], requires_grad=True)
    assert as_tensor(x) is x
    assert as_tensor(x, dtype=tensorgrad.float32, device="cpu") is x
    y = as_tensor(x, dtype=tensorgrad.float64)
    assert y.dtype is tensorgrad.float64
    y.backward()
    assert x.grad.tolist() == [1.0]
    source = np.arange(3.0)
    as_tensor(source)[1] = 7
    assert source.tolist() == [0.0, 7.0, 2.0]
    converted = as_tensor(source, dtype=tensorgrad.float32)
    converted[0] = 9
    assert source[0] == 0 and converted.tolist() == [9.0, 7.0, 2.0]
    check(as_tensor([1, 2]), [1, 2], "int64", (2,))
    check(as_tensor([1, 2], dtype=float), [1.0, 2.0], "float64", (2,))
    check(as_tensor(np.float32(1)), 1.0, "float32", ())
    with pytest.raises(TypeError, match=r"invalid data type 'str'"):
        as_tensor("a")


def test_asarray():
    x = tensor([1.0, 2.0])
    assert asarray(x) is x
    assert asarray(x, copy=True).data_ptr() != x.data_ptr()
    assert asarray(x, requires_grad=True) is x and x.requires_grad
    assert not asarray(x, requires_grad=False).requires_grad
    assert not asarray(x, copy=True).requires_grad
    assert asarray(x.detach(), copy=True, requires_grad=True).requires_grad
    assert asarray(x * 2).grad_fn is not None
    with pytest.raises(ValueError, match="can't alias tensor with dtype"):
        asarray(x, dtype=tensorgrad.float64, copy=False)
    with pytest.raises(ValueError, match="can't alias arbitrary sequence into a tensor"):
        asarray([1, 2], copy=False)
    source = np.arange(2.0)
    asarray(source)[0] = 7
    assert source[0] == 7
    asarray(source, copy=True)[0] = 8
    assert source[0] == 7
    check(asarray([1.0, 2]), [1.0, 2.0], "float32", (2,))
    check(asarray(np.float64(3)), 3.0, "float64", ())
    check(asarray(bytearray(b"abcdefgh"), dtype=tensorgrad.int32), [1684234849, 1751606885], "int32", (2,))
    with pytest.raises(RuntimeError, match="Could not infer dtype of NoneType"):
        asarray(None)


# ---- Tensor(...) ---------------------------------------------------------------------------------
def test_legacy_constructor():
    check(Tensor(), [], "float32", (0,))
    check(Tensor(0), [], "float32", (0,))
    check(Tensor([1, 2]), [1.0, 2.0], "float32", (2,))
    check(Tensor([True, False]), [1.0, 0.0], "float32", (2,))
    check(Tensor((2, 3)), [2.0, 3.0], "float32", (2,))
    check(Tensor(range(3)), [0.0, 1.0, 2.0], "float32", (3,))
    check(Tensor(np.arange(2)), [0.0, 1.0], "float32", (2,))
    check(Tensor(data=[1, 2]), [1.0, 2.0], "float32", (2,))
    check(Tensor([1], device="cpu"), [1.0], "float32", (1,))
    for x in (Tensor(2, 3), Tensor(tensorgrad.Size([2, 3])), Tensor(size=(2, 3)), Tensor(np.int64(2), 3)):
        assert x.shape == (2, 3) and x.dtype is tensorgrad.float32 and x.stride() == (3, 1)
        assert x.zero_().tolist() == [[0.0] * 3] * 2


def test_legacy_constructor_shares_tensors():
    x = tensor([1, 2])
    y = Tensor(x)
    assert y.dtype is tensorgrad.int64 and y.data_ptr() == x.data_ptr()
    y[0] = 5
    assert x.tolist() == [5, 2]
    leaf = tensor([1.0], requires_grad=True)
    Tensor(leaf).sum().backward()
    assert leaf.grad.tolist() == [1.0]


def test_legacy_constructor_errors():
    for argument, kind in ((2.0, "float"), (None, "NoneType"), (True, "bool")):
        with pytest.raises(TypeError, match=rf"new\(\): data must be a sequence \(got {kind}\)"):
            Tensor(argument)
    with pytest.raises(TypeError, match=r"new\(\): invalid data type 'str'"):
        Tensor("a")
    with pytest.raises(RuntimeError, match=r"negative dimension -1: \[2, -1\]"):
        Tensor(2, -1)
    with pytest.raises(ValueError, match=r"expected sequence of length 2 at dim 1 \(got 1\)"):
        Tensor([[1, 2], [3]])
    with pytest.raises(
        RuntimeError, match="legacy constructor expects device type: cpu but device type: cuda"
    ):
        Tensor(2, device="cuda")
    for arguments, keywords in (((2, [1]), {}), (([1],), {"requires_grad": True}), (([1],), {"size": (2,)})):
        with pytest.raises(TypeError, match=r"new\(\) received an invalid combination of arguments"):
            Tensor(*arguments, **keywords)


def test_subclasses_are_filled():
    class Sub(Tensor):
        pass

    class Named(Tensor):
        def __init__(self, data, name):
            super().__init__(data)
            self.name = name

    x = Sub([[1, 2]])
    assert type(x) is Sub and x.tolist() == [[1.0, 2.0]]
    assert type(x + 1) is Tensor
    y = Named([3], "n")
    assert type(y) is Named and y.name == "n" and y.tolist() == [3.0]
    y += 1
    assert y.tolist() == [4.0] and y._version == 1


def test_memory(no_leak):
    for _ in range(100):
        tensor([1.0] * 1000)
        tensor([[1, 2], [3, 4]])
        Tensor(1000)
        with pytest.raises(ValueError):
            tensor([[1.0] * 1000, [1.0]])
