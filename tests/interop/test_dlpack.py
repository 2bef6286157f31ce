"""DLPack, both ways, and who frees what."""

import ctypes
import gc
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad
from tensorgrad import from_dlpack, tensor

NAMES = [
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
CPU = (1, 0)


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Managed(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]


class Foreign:
    """A capsule as another library would make it, field by field."""

    def __init__(
        self, *, versioned=True, shape=(2,), strides=None, code=2, bits=32, lanes=1, data=None, **fields
    ):
        self.memory = (ctypes.c_float * 64)(*range(64))
        self.deleted = 0
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        self.strides = (ctypes.c_int64 * len(shape))(*strides) if strides is not None else None
        self.deleter = DELETER(self._delete)
        self.managed = Versioned() if versioned else Managed()
        self.managed.deleter = ctypes.cast(self.deleter, ctypes.c_void_p).value
        t = self.managed.tensor
        t.data = ctypes.addressof(self.memory) if data is None else data
        t.device_type, t.device_id, t.ndim = 1, 0, len(shape)
        t.code, t.bits, t.lanes = code, bits, lanes
        t.shape = self.shape
        if self.strides is not None:
            t.strides = self.strides
        if versioned:
            self.managed.major, self.managed.minor = fields.pop("major", 1), 0
            self.managed.flags = fields.pop("flags", 0)
        for name, value in fields.items():
            setattr(t, name, value)
        self.name = b"dltensor_versioned" if versioned else b"dltensor"

    def _delete(self, pointer):
        assert pointer == ctypes.addressof(self.managed)
        self.deleted += 1

    def capsule(self):
        return _new(ctypes.addressof(self.managed), self.name, None)


def fields(capsule):
    """The structure in one of our capsules."""
    name = _name(capsule)
    return (Versioned if name == b"dltensor_versioned" else Managed).from_address(_pointer(capsule, name))


# ---- with NumPy ----------------------------------------------------------------------------------
@given(
    st.sampled_from(NAMES).flatmap(
        lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    )
)
def test_round_trip(source):
    for view in (source, source.T, source[::2] if source.ndim else source):
        x = from_dlpack(view)
        assert x.dtype is getattr(tensorgrad, view.dtype.name) and x.shape == view.shape
        assert x.numpy().tobytes() == view.tobytes()
        if view.size:
            assert x.data_ptr() == view.ctypes.data
        back = np.from_dlpack(x)
        assert back.dtype == view.dtype and back.tobytes() == view.tobytes()
        if view.size:
            assert back.ctypes.data == view.ctypes.data


def test_writes_are_seen():
    source = np.zeros(3)
    x = from_dlpack(source)
    x[1] = 5
    assert source[1] == 5
    y = tensor([1.0, 2.0])
    array = np.from_dlpack(y)
    y[0] = 7
    assert array[0] == 7
    assert from_dlpack(np.array([True, False])).tolist() == [True, False]


def test_offset_and_strides():
    x = tensorgrad.arange(12).reshape(3, 4)[1:, ::2]
    array = np.from_dlpack(x)
    assert array.tolist() == [[4, 6], [8, 10]]
    assert array.ctypes.data == x.data_ptr()
    assert from_dlpack(x).stride() == (4, 2)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="the flag came with DLPack 1.0")
def test_read_only_memory_warns():
    source = np.arange(3.0)
    source.flags.writeable = False
    with pytest.warns(UserWarning, match="read-only"):
        assert from_dlpack(source).tolist() == [0.0, 1.0, 2.0]


# ---- export --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, code, bits",
    [
        ("bool", 6, 8),
        ("uint8", 1, 8),
        ("uint64", 1, 64),
        ("int8", 0, 8),
        ("int64", 0, 64),
        ("float16", 2, 16),
        ("bfloat16", 4, 16),
        ("float64", 2, 64),
        ("complex64", 5, 64),
        ("complex128", 5, 128),
    ],
)
def test_type_codes(name, code, bits):
    x = tensor([[1, 0], [1, 1]], dtype=getattr(tensorgrad, name))
    for version in (None, (1, 0)):
        capsule = x.__dlpack__(max_version=version)
        t = fields(capsule).tensor
        assert (t.code, t.bits, t.lanes) == (code, bits, 1)
        assert (t.device_type, t.device_id, t.ndim, t.byte_offset) == (1, 0, 2, 0)
        assert (t.shape[:2], t.strides[:2]) == ([2, 2], [2, 1])
        assert t.data == x.data_ptr()
        y = from_dlpack(x.__dlpack__(max_version=version))
        assert y.dtype is x.dtype and y.tolist() == x.tolist() and y.data_ptr() == x.data_ptr()


def test_versions_and_flags():
    x = tensor([1.0])
    assert x.__dlpack_device__() == CPU
    assert '"dltensor"' in repr(x.__dlpack__())
    assert '"dltensor"' in repr(x.__dlpack__(max_version=(0, 8)))
    capsule = x.__dlpack__(max_version=(1, 3))
    assert '"dltensor_versioned"' in repr(capsule)
    assert (fields(capsule).major, fields(capsule).flags) == (1, 0)
    copied = x.__dlpack__(max_version=(1, 0), copy=True)
    assert fields(copied).flags == 2 and fields(copied).tensor.data != x.data_ptr()
    shared = x.__dlpack__(dl_device=CPU, copy=False)
    assert fields(shared).tensor.data == x.data_ptr()


def test_export_errors(vault):
    x = tensor([1.0], requires_grad=True)
    message = r"Can't export tensors that require gradient, use tensor.detach\(\)"
    for y in (x, x * 2):
        with pytest.raises(BufferError, match=message):
            y.__dlpack__()
        with pytest.raises(BufferError, match=message):
            from_dlpack(y)
    x = x.detach()
    with pytest.raises(AssertionError, match="stream should be None on cpu."):
        x.__dlpack__(stream=1)
    assert x.__dlpack__(stream=-1) is not None
    with pytest.raises(TypeError, match="stream must be ``int`` or ``none``"):
        x.__dlpack__(stream="a")
    with pytest.raises(BufferError, match="no device type is known for DLPack's device type 99"):
        x.__dlpack__(dl_device=(99, 0))
    with pytest.raises(BufferError, match="without a copy"):
        x.__dlpack__(dl_device=(2, 0), copy=False)
    remote = tensor([1.0, 2.0], device="vault:1")
    assert remote.__dlpack_device__() == (12, 1)
    with pytest.raises(BufferError, match="the backend of vault:1 does not export to DLPack"):
        remote.__dlpack__()
    assert from_dlpack(remote.__dlpack__(dl_device=CPU)).tolist() == [1.0, 2.0]
    with pytest.raises(BufferError, match="without a copy"):
        remote.__dlpack__(dl_device=CPU, copy=False)


def test_a_backend_that_exports(vault, monkeypatch):
    calls = []

    def export(array, owner, stream, max_version):
        calls.append((array.dtype, array.shape, array.offset, len(owner), stream, max_version))
        return "capsule"

    monkeypatch.setattr(vault, "to_dlpack", export, raising=False)
    x = tensor([[1.0, 2.0], [3.0, 4.0]], device="vault")
    assert x[1].__dlpack__(stream=5, max_version=(1, 0)) == "capsule"
    assert calls == [("float32", (2,), 8, 16, 5, (1, 0))]


# ---- import --------------------------------------------------------------------------------------
@pytest.mark.parametrize("versioned", [True, False])
def test_import(versioned):
    foreign = Foreign(versioned=versioned, shape=(2, 3), byte_offset=8)
    capsule = foreign.capsule()
    x = from_dlpack(capsule)
    assert x.tolist() == [[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]] and x.stride() == (3, 1)
    assert b"used" in _name(capsule)
    view = x[1]
    del x, capsule
    assert foreign.deleted == 0
    foreign.memory[5] = 50
    assert view.tolist() == [50.0, 6.0, 7.0]
    del view
    assert foreign.deleted == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lanes": 4}, "4 lanes"),
        ({"code": 3}, "no dtype for DLPack's type code 3 with 32 bits"),
        ({"bits": 128}, "no dtype for DLPack's type code 2 with 128 bits"),
        ({"code": 5, "bits": 32}, "no dtype"),
        ({"strides": (-1,)}, "negative stride -1"),
        ({"shape": (-2,)}, "negative size -2"),
        ({"shape": (2**40, 2**40), "strides": (2**40, 1)}, "larger than an address space"),
        ({"shape": (2**40, 2**40), "strides": (0, 0)}, "larger than an address space"),
        ({"byte_offset": 2}, "must start at a multiple of 4 bytes"),
        ({"data": 0}, "address zero"),
        ({"ndim": 65}, "at most 64 dimensions"),
        ({"ndim": -1}, "at most 64 dimensions"),
        ({"major": 2}, "DLPack version 2.0"),
        ({"device_type": 99}, "no device type is known for DLPack's device type 99"),
    ],
)
def test_what_cannot_be_imported(options, message):
    foreign = Foreign(**options)
    capsule = foreign.capsule()
    with pytest.raises(BufferError, match=message):
        from_dlpack(capsule)
    # It is still the capsule's, whose own destructor gives it back.
    assert _name(capsule) == b"dltensor_versioned" and foreign.deleted == 0


def test_strides_that_are_not_used():
    foreign = Foreign(shape=(1, 2), strides=(-7, 1))
    assert from_dlpack(foreign.capsule()).tolist() == [[0.0, 1.0]]
    foreign = Foreign(shape=(0, 2), data=0)
    assert from_dlpack(foreign.capsule()).shape == (0, 2)
    assert foreign.deleted == 1


def test_read_only_flag():
    foreign = Foreign(flags=1)
    with pytest.warns(UserWarning, match="The memory in the DLPack capsule is read-only"):
        x = from_dlpack(foreign.capsule())
    del x
    assert foreign.deleted == 1


def test_no_deleter():
    foreign = Foreign()
    foreign.managed.deleter = None
    assert from_dlpack(foreign.capsule()).tolist() == [0.0, 1.0]


def test_capsules_are_used_once():
    message = "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once"
    for version in (None, (1, 0)):
        capsule = tensor([1.0]).__dlpack__(max_version=version)
        assert from_dlpack(capsule).tolist() == [1.0]
        with pytest.raises(RuntimeError, match=message):
            from_dlpack(capsule)
    for other in (3, [1]):
        with pytest.raises(RuntimeError, match="from_dlpack received an invalid capsule"):
            from_dlpack(other)


def test_copy_and_device(vault):
    source = np.arange(3.0)
    assert from_dlpack(source, copy=False).data_ptr() == source.ctypes.data
    assert from_dlpack(source, copy=True).data_ptr() != source.ctypes.data
    assert from_dlpack(source, device="cpu").data_ptr() == source.ctypes.data
    assert from_dlpack(source.__dlpack__(), copy=True).data_ptr() != source.ctypes.data
    assert from_dlpack(source.__dlpack__(), device="vault").tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(BufferError, match="without a copy"):
        from_dlpack(source.__dlpack__(), device="vault", copy=False)


def test_producers_of_old():
    class Old:
        """DLPack before 1.0 has no arguments but the stream."""

        def __init__(self):
            self.array = np.arange(3.0)

        def __dlpack__(self, stream=None):
            return self.array.__dlpack__()

    old = Old()
    assert from_dlpack(old).data_ptr() == old.array.ctypes.data
    assert from_dlpack(old, copy=True).data_ptr() != old.array.ctypes.data
    assert from_dlpack(old, device="cpu").tolist() == [0.0, 1.0, 2.0]


# ---- who frees what ------------------------------------------------------------------------------
@pytest.mark.parametrize("version", [None, (1, 0)])
def test_orders_of_death(version, no_leak):
    def parts():
        x = tensor([1.0, 2.0])
        return x, x.__dlpack__(max_version=version), weakref.ref(x.untyped_storage())

    x, capsule, storage = parts()  # unused capsule, tensor first
    del x
    assert storage() is not None
    del capsule
    assert storage() is None

    x, capsule, storage = parts()  # unused capsule first
    del capsule
    assert x.tolist() == [1.0, 2.0]
    del x
    assert storage() is None

    x, capsule, storage = parts()  # consumer last
    y = from_dlpack(capsule)
    del x, capsule
    assert storage() is not None and y.tolist() == [1.0, 2.0]
    del y
    assert storage() is None

    x, capsule, storage = parts()  # consumer first
    y = from_dlpack(capsule)
    del y
    assert storage() is not None
    del x
    assert storage() is None
    del capsule


def test_the_array_is_released(no_leak):
    source = np.zeros(1000)
    count = sys.getrefcount(source)
    x = from_dlpack(source)
    y = x[1:]
    del x
    assert sys.getrefcount(source) > count
    del y
    gc.collect()
    assert sys.getrefcount(source) == count
    array = np.from_dlpack(tensor([1.0] * 1000))
    assert array.sum() == 1000


def test_release_on_another_thread():
    x = tensor([1.0])
    storage = weakref.ref(x.untyped_storage())
    box = [np.from_dlpack(x)]
    del x
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert storage() is None


def test_memory(no_leak):
    for _ in range(200):
        x = tensor([0.0] * 1000)
        from_dlpack(x)
        np.from_dlpack(x)
        x.__dlpack__()
        x.__dlpack__(copy=True, max_version=(1, 0))
