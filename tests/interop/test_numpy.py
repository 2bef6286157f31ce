"""NumPy arrays and buffers that share their memory with tensors, and tolist."""

import gc
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad
from tensorgrad import from_numpy, frombuffer, tensor

NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def arrays():
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    return st.sampled_from(NAMES).flatmap(lambda name: hnp.arrays(name, shapes))


def views(source):
    """Transposed, and every other element."""
    return [source, source.T, source[..., None], source[::2] if source.ndim else source]


# ---- from_numpy ----------------------------------------------------------------------------------
@given(arrays())
def test_round_trip(source):
    for view in views(source):
        x = from_numpy(view)
        assert x.dtype is getattr(tensorgrad, view.dtype.name)
        assert x.shape == view.shape
        back = x.numpy()
        assert back.dtype == view.dtype and back.shape == view.shape
        assert back.tobytes() == view.tobytes()
        if view.size:
            assert back.ctypes.data == view.ctypes.data == x.data_ptr()
            assert x.stride() == tuple(s // view.itemsize for s in view.strides)
            assert back.strides == view.strides
        assert repr(x.tolist()) == repr(view.tolist())


@given(arrays())
def test_operators_on_shared_views(source):
    for view in views(source):
        assert from_numpy(view).clone().numpy().tobytes() == view.tobytes()


def test_writes_are_seen_on_both_sides():
    source = np.zeros((2, 3))
    x = from_numpy(source.T)
    source[1, 2] = 5
    assert x[2, 1].item() == 5
    x[0, 0] = 7
    assert source[0, 0] == 7
    array = x.numpy()
    array[1, 0] = 9
    assert source[0, 1] == 9 and x[1, 0].item() == 9


@pytest.mark.parametrize(
    "value, error, message",
    [
        ([1, 2], TypeError, r"expected np.ndarray \(got list\)"),
        (np.float32(3), TypeError, r"expected np.ndarray \(got numpy.float32\)"),
        (
            np.array(["a"]),
            TypeError,
            "can't convert np.ndarray of type numpy.str_. The only supported types are",
        ),
        (np.zeros(2, "M8[s]"), TypeError, "can't convert np.ndarray of type numpy.datetime64"),
        (np.array([None]), TypeError, "can't convert np.ndarray of type numpy.object_"),
        (np.zeros(2, np.longdouble), TypeError, "can't convert np.ndarray of type numpy.longdouble"),
        (np.arange(3)[::-1], ValueError, "At least one stride in the given numpy array is negative"),
        (np.zeros((1, 3))[::-1], ValueError, "At least one stride in the given numpy array is negative"),
        (
            np.zeros(3, [("a", "i1"), ("b", "f4")])["b"],
            ValueError,
            "strides not a multiple of the element byte",
        ),
        (np.arange(3, dtype=">i4"), ValueError, "byte order different from the native byte order"),
        (np.zeros(13, "u1")[1:].view("f4"), ValueError, "must start at a multiple of 4 bytes"),
    ],
)
def test_errors(value, error, message):
    with pytest.raises(error, match=message):
        from_numpy(value)


def test_what_is_accepted():
    assert from_numpy(np.zeros((0, 3))[::-1]).shape == (0, 3)
    assert from_numpy(np.arange(3, dtype=">i1")).tolist() == [0, 1, 2]
    assert from_numpy(np.zeros(2, np.longlong)).dtype is tensorgrad.int64
    assert from_numpy(np.array(3.0)).shape == ()
    assert from_numpy(np.ma.array([1, 2], mask=[0, 1])).tolist() == [1, 2]


def test_read_only_arrays_warn():
    source = np.arange(3.0)
    source.flags.writeable = False
    for make in (from_numpy, tensorgrad.as_tensor):
        with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
            assert make(source).tolist() == [0.0, 1.0, 2.0]


def test_the_array_lives_as_long_as_the_tensor():
    source = np.arange(1000.0)
    count = sys.getrefcount(source)
    x = from_numpy(source)
    assert sys.getrefcount(source) == count + 1
    y = x[500:]
    del x
    assert sys.getrefcount(source) == count + 1
    gone = weakref.ref(source)
    del source
    gc.collect()
    assert gone() is not None and y[0].item() == 500
    del y
    assert gone() is None


# ---- numpy() -------------------------------------------------------------------------------------
def test_the_memory_lives_as_long_as_the_array(no_leak):
    x = tensor([1.0, 2.0, 3.0])
    storage = weakref.ref(x.untyped_storage())
    array = x[1:].numpy()
    del x
    gc.collect()
    assert storage() is not None and array.tolist() == [2.0, 3.0]
    part = array[1:]
    del array
    assert part.tolist() == [3.0]
    del part
    assert storage() is None


def test_numpy_shares_strides_and_offset():
    x = tensorgrad.arange(12).reshape(3, 4)
    view = x.t()[1:, ::2]
    array = view.numpy()
    assert array.tolist() == [[1, 9], [2, 10], [3, 11]]
    assert array.strides == (8, 64) and array.flags.writeable and not array.flags.owndata
    assert tensor([1, 2]).expand(2, 2).numpy().strides == (0, 8)
    assert tensorgrad.zeros(2, 0, 3).numpy().shape == (2, 0, 3)
    assert tensor(3.0).numpy() == np.array(3.0, "f4")
    assert tensorgrad.zeros(2, 3).numpy().flags.c_contiguous


def test_numpy_errors(vault):
    x = tensor([1.0], requires_grad=True)
    message = r"Can't call numpy\(\) on Tensor that requires grad. Use tensor.detach\(\).numpy\(\) instead."
    for y in (x, x * 2):
        with pytest.raises(RuntimeError, match=message):
            y.numpy()
        with pytest.raises(RuntimeError, match=message):
            np.asarray(y)
        assert y.numpy(force=True).tolist() == y.tolist()
    assert x.detach().numpy().tolist() == [1.0]
    for force in (False, True):
        with pytest.raises(TypeError, match="Got unsupported ScalarType BFloat16"):
            tensor([1.0], dtype=tensorgrad.bfloat16).numpy(force=force)
    remote = tensor([1.0, 2.0], device="vault")
    with pytest.raises(
        TypeError, match="can't convert vault:0 device type tensor to numpy. Use Tensor.cpu()"
    ):
        remote.numpy()
    assert remote.numpy(force=True).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="positional argument"):
        x.numpy(True)


def test_wrappers_of_transforms():
    for method in ("numpy", "tolist", "__array__", "__dlpack__"):
        with pytest.raises(
            RuntimeError, match="Cannot access data pointer of Tensor that doesn't have storage"
        ):
            tensorgrad.func.vmap(lambda x, name=method: getattr(x, name)())(tensorgrad.ones(2))
    seen = []

    def f(x):
        seen.append(x.tolist())
        with pytest.raises(RuntimeError, match="Can't call numpy"):
            x.numpy()
        return x.sum()

    tensorgrad.func.grad(f)(tensor([1.0, 2.0]))
    assert seen == [[1.0, 2.0]]


def test_instances_that_were_never_initialised_are_empty():
    class Forgetful(tensorgrad.Tensor):
        def __init__(self):
            pass

    x = Forgetful()
    assert x.tolist() == [] and x.numpy().shape == (0,) and x.dtype is tensorgrad.get_default_dtype()


# ---- __array__ -----------------------------------------------------------------------------------
def test_array_protocol():
    x = tensor([1.0, 2.0])
    assert x.__array__().ctypes.data == x.data_ptr()
    assert x.__array__(copy=False).ctypes.data == x.data_ptr()
    assert x.__array__(np.float32, copy=False).ctypes.data == x.data_ptr()
    assert x.__array__(copy=True).ctypes.data != x.data_ptr()
    wide = x.__array__(np.float64)
    assert wide.dtype == np.float64 and wide.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="Unable to avoid copy while creating an array as requested"):
        x.__array__(np.float64, copy=False)
    with pytest.raises(TypeError, match="BFloat16"):
        x.bfloat16().__array__(np.float32)
    assert np.asarray(x).ctypes.data == x.data_ptr()
    assert np.array(x).ctypes.data != x.data_ptr()
    assert np.asarray(x, dtype="i4").tolist() == [1, 2]
    assert np.add(x.numpy(), x).tolist() == [2.0, 4.0]


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="copy= is NumPy 2's")
def test_array_protocol_of_numpy_2():
    x = tensor([1.0, 2.0])
    assert np.asarray(x, copy=False).ctypes.data == x.data_ptr()
    assert np.asarray(x, copy=True).ctypes.data != x.data_ptr()
    with pytest.raises(ValueError, match="Unable to avoid copy"):
        np.asarray(x, dtype=np.float64, copy=False)


# ---- tolist --------------------------------------------------------------------------------------
def test_tolist():
    assert tensor(3).tolist() == 3 and type(tensor(3).tolist()) is int
    assert tensorgrad.zeros(2, 0, 3).tolist() == [[], []]
    assert tensor([[True], [False]]).tolist() == [[True], [False]]
    assert tensor([0.1]).tolist() == [0.10000000149011612]
    assert tensor([0.1j]).tolist() == [0.10000000149011612j]
    assert tensor([1.5], dtype=tensorgrad.bfloat16).tolist() == [1.5]
    assert tensor([1.0], requires_grad=True).tolist() == [1.0]
    assert tensorgrad.arange(6).reshape(2, 3).t()[1:].tolist() == [[1, 4], [2, 5]]
    assert tensor([2**64 - 1], dtype=tensorgrad.uint64).tolist() == [2**64 - 1]


# ---- frombuffer ----------------------------------------------------------------------------------
def test_frombuffer():
    buffer = bytearray(range(8))
    x = frombuffer(buffer, dtype=tensorgrad.int16)
    assert x.tolist() == [0x0100, 0x0302, 0x0504, 0x0706]
    x[0] = -1
    assert buffer[:2] == b"\xff\xff"
    assert frombuffer(buffer, dtype=tensorgrad.int32, offset=4).tolist() == [0x07060504]
    assert frombuffer(buffer, dtype=tensorgrad.int16, count=1, offset=2).tolist() == [0x0302]
    assert frombuffer(buffer, dtype=tensorgrad.int32, count=-2).shape == (2,)
    assert frombuffer(bytearray(9), dtype=tensorgrad.uint8, offset=1).shape == (8,)
    assert frombuffer(buffer, dtype=tensorgrad.float32, requires_grad=True).requires_grad
    assert frombuffer(bytearray(4), dtype=tensorgrad.bfloat16).tolist() == [0.0, 0.0]


def test_frombuffer_holds_the_buffer():
    buffer = bytearray(8)
    x = frombuffer(buffer, dtype=tensorgrad.int32)
    with pytest.raises(BufferError):
        buffer.extend(b"x" * 100)
    del x
    buffer.extend(b"x")


def test_frombuffer_of_read_only_memory_warns():
    with pytest.warns(UserWarning, match="The given buffer is not writable"):
        assert frombuffer(b"1234", dtype=tensorgrad.uint8).tolist() == [49, 50, 51, 52]


@pytest.mark.parametrize(
    "size, options, message",
    [
        (
            7,
            {},
            r"buffer length \(7 bytes\) after offset \(0 bytes\) must be a multiple of element size \(4\)",
        ),
        (
            8,
            {"offset": 2},
            r"buffer length \(6 bytes\) after offset \(2 bytes\) must be a multiple of element",
        ),
        (
            8,
            {"count": 3},
            r"requested buffer length \(3 \* 4 bytes\) after offset \(0 bytes\) must not be gr",
        ),
        (8, {"count": 2**62}, "requested buffer length"),
        (8, {"count": 0}, r"both buffer length \(8\) and count \(0\) must not be 0"),
        (0, {}, r"both buffer length \(0\) and count \(-1\) must not be 0"),
        (
            8,
            {"offset": 8},
            r"offset \(8 bytes\) must be non-negative and no greater than buffer length \(8 b",
        ),
        (8, {"offset": -1}, r"offset \(-1 bytes\) must be non-negative"),
        (8, {"offset": 2, "count": 1}, "must start at a multiple of 4 bytes"),
    ],
)
def test_frombuffer_bounds(size, options, message):
    with pytest.raises(ValueError, match=message):
        frombuffer(bytearray(size), dtype=tensorgrad.int32, **options)


def test_frombuffer_errors():
    with pytest.raises(ValueError, match="object does not implement Python buffer protocol"):
        frombuffer(3, dtype=tensorgrad.int32)
    with pytest.raises(RuntimeError, match="could not retrieve buffer from object"):
        frombuffer(np.zeros((4, 4))[:, 1], dtype=tensorgrad.float64)
    with pytest.raises(TypeError, match="dtype"):
        frombuffer(bytearray(8))
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype"):
        frombuffer(bytearray(8), dtype=tensorgrad.int32, requires_grad=True)


def test_memory(no_leak):
    source = np.zeros((100, 100))
    count = sys.getrefcount(source)
    for _ in range(100):
        x = tensor(source)
        x.numpy()[0, 0] = 1
        x.tolist()
        np.asarray(from_numpy(source))
        with pytest.raises(ValueError):
            from_numpy(source[::-1])
    del x
    assert sys.getrefcount(source) == count
