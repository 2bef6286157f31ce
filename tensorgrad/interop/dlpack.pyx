"""DLPack: tensors handed to other libraries, and theirs taken, without a copy.

The layout of the structures is https://dmlc.github.io/dlpack/latest/c_api.html, version 1.0; capsules
are named as https://dmlc.github.io/dlpack/latest/python_spec.html says. Each structure owns a reference
to the Storage, and dies by its deleter, which whoever owns it calls once: an unused capsule, or the
consumer, on whatever thread.
"""
from cpython.pycapsule cimport (
    PyCapsule_CheckExact, PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New, PyCapsule_SetName)
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from tensorgrad._core.device cimport as_device, cpu, memory_device
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport (
    TG_BF16, TG_BOOL, TG_C64, TG_C128, TG_F16, TG_F32, TG_F64, TG_I8, TG_I16, TG_I32, TG_I64, TG_U8, TG_U16, TG_U32,
    TG_U64, dtype_of)
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.operator cimport Operator, call1, handle
from tensorgrad._core.primitives cimport as_device_array
from tensorgrad._core.types cimport MAX_DIMS, REQUIRES_GRAD, TensorBase, contiguous_strides, device_of
from tensorgrad.interop.numpy_bridge cimport readable, share_memory

import warnings

from tensorgrad._core.device import find_backend

cdef extern from "Python.h":
    int Py_IsInitialized() noexcept nogil

cdef extern from *:
    """
    #include <stdint.h>
    typedef struct { int32_t device_type, device_id; } tg_dl_device;
    typedef struct { uint8_t code, bits; uint16_t lanes; } tg_dl_dtype;
    typedef struct {
        void *data;
        tg_dl_device device;
        int32_t ndim;
        tg_dl_dtype dtype;
        int64_t *shape, *strides;
        uint64_t byte_offset;
    } tg_dl_tensor;
    typedef struct tg_dl_managed {
        tg_dl_tensor tensor;
        void *context;
        void (*deleter)(struct tg_dl_managed *self);
    } tg_dl_managed;
    typedef struct tg_dl_versioned {
        struct { uint32_t major, minor; } version;
        void *context;
        void (*deleter)(struct tg_dl_versioned *self);
        uint64_t flags;
        tg_dl_tensor tensor;
    } tg_dl_versioned;
    """
    ctypedef struct tg_dl_device:
        int32_t device_type, device_id
    ctypedef struct tg_dl_dtype:
        uint8_t code, bits
        uint16_t lanes
    ctypedef struct tg_dl_tensor:
        void* data
        tg_dl_device device
        int32_t ndim
        tg_dl_dtype dtype
        int64_t* shape
        int64_t* strides
        uint64_t byte_offset
    ctypedef struct tg_dl_managed:
        tg_dl_tensor tensor
        void* context
        void (*deleter)(tg_dl_managed*) noexcept nogil
    ctypedef struct tg_dl_version:
        uint32_t major, minor
    ctypedef struct tg_dl_versioned:
        tg_dl_version version
        void* context
        void (*deleter)(tg_dl_versioned*) noexcept nogil
        uint64_t flags
        tg_dl_tensor tensor

cdef enum:
    DL_CPU = 1
    DL_HOST_MEMORY_OF_CUDA = 3      # pinned: the CPU reads it as its own
    DL_INT = 0
    DL_UINT = 1
    DL_FLOAT = 2
    DL_BFLOAT = 4
    DL_COMPLEX = 5
    DL_BOOL = 6
    FLAG_READ_ONLY = 1
    FLAG_COPIED = 2

# DLPack numbers the kinds of devices; a kind it does not know is an extension (12).
cdef dict _device_codes = {
    "cpu": DL_CPU, "cuda": 2, "opencl": 4, "vulkan": 7, "metal": 8, "rocm": 10, "oneapi": 14, "webgpu": 15}
cdef dict _device_names = {code: name for name, code in _device_codes.items()}

cdef Operator op_clone = handle("clone"), op_to = handle("to")

cdef str INVALID = ("from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, "
                    "so you might have "
                    "already constructed a tensor from it once.")


# ---- export -------------------------------------------------------------------------------------------
cdef void let_go(void* context, void* structure) noexcept with gil:
    Py_DECREF(<object>context)
    free(structure)


cdef void delete_managed(tg_dl_managed* m) noexcept nogil:
    # After the interpreter's end there is no memory of ours left to give back.
    if m != NULL and Py_IsInitialized():
        let_go(m.context, m)


cdef void delete_versioned(tg_dl_versioned* m) noexcept nogil:
    if m != NULL and Py_IsInitialized():
        let_go(m.context, m)


cdef void drop_capsule(object capsule) noexcept:
    """The destructor of capsules: one that was consumed has another name, and another owner."""
    cdef tg_dl_managed* m
    cdef tg_dl_versioned* v
    if PyCapsule_IsValid(capsule, "dltensor"):
        m = <tg_dl_managed*>PyCapsule_GetPointer(capsule, "dltensor")
        m.deleter(m)
    elif PyCapsule_IsValid(capsule, "dltensor_versioned"):
        v = <tg_dl_versioned*>PyCapsule_GetPointer(capsule, "dltensor_versioned")
        v.deleter(v)


cdef int describe(TensorBase x, tg_dl_tensor* t, int64_t* dims) except -1:
    cdef int d
    cdef int code = x.dtype.code
    t.data = x.storage.data + x.offset * x.dtype.itemsize
    t.device.device_type, t.device.device_id = DL_CPU, 0
    t.ndim = x.ndim
    t.dtype.bits, t.dtype.lanes = <uint8_t>(8 * x.dtype.itemsize), 1
    if code == TG_BOOL:
        t.dtype.code = DL_BOOL
    elif code == TG_BF16:
        t.dtype.code = DL_BFLOAT
    elif code == TG_C64 or code == TG_C128:
        t.dtype.code = DL_COMPLEX
    elif code >= TG_F16:
        t.dtype.code = DL_FLOAT
    else:
        t.dtype.code = DL_INT if x.dtype.is_signed else DL_UINT
    t.shape, t.strides = dims, dims + x.ndim
    for d in range(x.ndim):
        t.shape[d], t.strides[d] = x.shape[d], x.strides[d]
    return 0


cdef object capsule_of(TensorBase x):
    cdef tg_dl_managed* m = <tg_dl_managed*>calloc(1, sizeof(tg_dl_managed) + 2 * x.ndim * sizeof(int64_t))
    if m == NULL:
        raise MemoryError("out of memory while exporting a tensor to DLPack")
    describe(x, &m.tensor, <int64_t*>(m + 1))
    m.deleter = delete_managed
    m.context = <void*>x.storage
    Py_INCREF(x.storage)
    try:
        return PyCapsule_New(m, "dltensor", drop_capsule)
    except MemoryError:
        delete_managed(m)
        raise


cdef object versioned_capsule_of(TensorBase x, uint64_t flags):
    cdef tg_dl_versioned* m = <tg_dl_versioned*>calloc(1, sizeof(tg_dl_versioned) + 2 * x.ndim * sizeof(int64_t))
    if m == NULL:
        raise MemoryError("out of memory while exporting a tensor to DLPack")
    describe(x, &m.tensor, <int64_t*>(m + 1))
    m.version.major, m.version.minor, m.flags = 1, 0, flags
    m.deleter = delete_versioned
    m.context = <void*>x.storage
    Py_INCREF(x.storage)
    try:
        return PyCapsule_New(m, "dltensor_versioned", drop_capsule)
    except MemoryError:
        delete_versioned(m)
        raise


def to_dlpack(TensorBase x, stream=None, max_version=None, dl_device=None, copy=None):
    """A capsule of the tensor's memory; see `Tensor.__dlpack__`."""
    cdef Device place
    if x.flags & REQUIRES_GRAD:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if x.wrap is not None:
        readable(x, "DLPack")
        raise BufferError("Can't export tensors that belong to a transform (grad or jvp): their memory is one level "
                          "down")
    if stream is not None and type(stream) is not int:
        raise TypeError(f"stream must be ``int`` or ``none``, not {type(stream).__name__}")
    place = device_of(x)
    if dl_device is not None and tuple(dl_device) != dlpack_device(x):
        if copy is not None and not copy:
            raise BufferError(f"a tensor on {place} cannot be exported to DLPack device {tuple(dl_device)} without a "
                              "copy")
        kind, index = dl_device
        x = op_to(x, place_of(kind, index))
        place = device_of(x)
        copy, copied = None, True
    else:
        copied = bool(copy)
    if copy:
        x = call1(op_clone, x)
    if place.table == NULL:
        export = getattr(place.backend, "to_dlpack", None)
        if export is None:
            raise BufferError(f"the backend of {place} does not export to DLPack; use tensor.cpu() first")
        # The storage goes along, as its memory is freed when it dies.
        return export(as_device_array(x), x.storage, stream, max_version)
    if stream is not None and stream != -1:
        raise AssertionError("stream should be None on cpu.")
    if max_version is not None and max_version[0] >= 1:
        return versioned_capsule_of(x, FLAG_COPIED if copied else 0)
    return capsule_of(x)


def dlpack_device(TensorBase x):
    """``(kind, index)`` of the tensor's device, by DLPack's numbers."""
    cdef Device place = device_of(x)
    return _device_codes.get(place.type, 12), max(place.number, 0)


cdef Device place_of(int kind, int index):
    """Our device for a pair of DLPack's numbers."""
    if kind == DL_CPU or kind == DL_HOST_MEMORY_OF_CUDA:
        return cpu
    name = _device_names.get(kind)
    if name is None:
        raise BufferError(f"no device type is known for DLPack's device type {kind}")
    return memory_device(as_device(f"{name}:{index}"))


# ---- import -----------------------------------------------------------------------------------------------
cdef class DLPackOwner:
    """Keeps foreign memory alive, and gives it back when the last tensor over it is gone."""
    cdef tg_dl_managed* managed
    cdef tg_dl_versioned* versioned

    def __dealloc__(self):
        if self.managed != NULL and self.managed.deleter != NULL:
            self.managed.deleter(self.managed)
        if self.versioned != NULL and self.versioned.deleter != NULL:
            self.versioned.deleter(self.versioned)


cdef DType dtype_from(tg_dl_dtype t):
    cdef int code = -1
    if t.lanes != 1:
        raise BufferError(f"DLPack elements of {t.lanes} lanes are not supported")
    if t.code == DL_BOOL and t.bits == 8:
        code = TG_BOOL
    elif t.code == DL_INT:
        code = {8: TG_I8, 16: TG_I16, 32: TG_I32, 64: TG_I64}.get(t.bits, -1)
    elif t.code == DL_UINT:
        code = {8: TG_U8, 16: TG_U16, 32: TG_U32, 64: TG_U64}.get(t.bits, -1)
    elif t.code == DL_FLOAT:
        code = {16: TG_F16, 32: TG_F32, 64: TG_F64}.get(t.bits, -1)
    elif t.code == DL_BFLOAT and t.bits == 16:
        code = TG_BF16
    elif t.code == DL_COMPLEX:
        code = {64: TG_C64, 128: TG_C128}.get(t.bits, -1)
    if code < 0:
        raise BufferError(f"there is no dtype for DLPack's type code {t.code} with {t.bits} bits")
    return dtype_of(code)


cdef TensorBase tensor_from(tg_dl_tensor* t, object owner):
    """A tensor over the described memory, all of which is checked."""
    cdef int64_t strides[64]
    cdef int d
    cdef DType dtype = dtype_from(t.dtype)
    if not 0 <= t.ndim <= MAX_DIMS:
        raise BufferError(f"tensors have at most {MAX_DIMS} dimensions, the DLPack capsule has {t.ndim}")
    if t.ndim and t.shape == NULL:
        raise BufferError("the DLPack capsule has no shape")
    if t.strides == NULL:
        contiguous_strides(t.ndim, t.shape, strides)
    else:
        for d in range(t.ndim):
            # The stride of a dimension of one element is never used, and may be anything.
            strides[d] = 1 if t.shape[d] == 1 else t.strides[d]
    try:
        return share_memory(NULL if t.data == NULL else <char*>t.data + t.byte_offset, dtype, t.ndim, t.shape,
                            strides, owner)
    except ValueError as error:
        raise BufferError(f"the memory in the DLPack capsule cannot be shared: {error}") from error


cdef object consume(object capsule):
    """``(tensor, whether its memory is a copy already)``; the capsule is used up when this succeeds."""
    cdef DLPackOwner owner = DLPackOwner.__new__(DLPackOwner)
    cdef tg_dl_managed* m = NULL
    cdef tg_dl_versioned* v = NULL
    cdef tg_dl_tensor* t
    cdef uint64_t flags = 0
    if PyCapsule_IsValid(capsule, "dltensor_versioned"):
        v = <tg_dl_versioned*>PyCapsule_GetPointer(capsule, "dltensor_versioned")
        if v.version.major != 1:
            raise BufferError(f"the capsule is of DLPack version {v.version.major}.{v.version.minor}; version 1 is "
                              "understood")
        t, flags = &v.tensor, v.flags
    elif PyCapsule_IsValid(capsule, "dltensor"):
        m = <tg_dl_managed*>PyCapsule_GetPointer(capsule, "dltensor")
        t = &m.tensor
    else:
        raise RuntimeError(INVALID)
    if t.device.device_type != DL_CPU and t.device.device_type != DL_HOST_MEMORY_OF_CUDA:
        load = getattr(find_backend(place_of(t.device.device_type, t.device.device_id).type), "from_dlpack", None)
        if load is None:
            raise BufferError(f"memory of DLPack device type {t.device.device_type} cannot be imported: its backend "
                              "has no from_dlpack")
        return load(capsule), False
    result = tensor_from(t, owner)
    # From here on nothing fails: the memory changes hands.
    PyCapsule_SetName(capsule, "used_dltensor" if v == NULL else "used_dltensor_versioned")
    owner.managed, owner.versioned = m, v
    if flags & FLAG_READ_ONLY:
        warnings.warn("The memory in the DLPack capsule is read-only, and tensorgrad does not support non-writable "
                      "tensors. This means "
                      "writing to this tensor will result in undefined behavior; copy=True makes a copy.")
    return result, (flags & FLAG_COPIED) != 0


cdef object request(object source, dict wishes):
    """The capsule that a producer makes, and whether it knew the wishes: before DLPack 1.0 there were none."""
    try:
        return source.__dlpack__(max_version=(1, 0), **wishes), True
    except TypeError:
        return source.__dlpack__(), not wishes


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """Make a tensor that shares the memory of another library's array.

    Parameters
    ----------
    ext_tensor : object with ``__dlpack__``, or a DLPack capsule
        A capsule can be used once.
    device : device, optional
        Where the tensor is to live; by default where the memory is.
    copy : bool, optional
        True always copies; False raises where memory cannot be shared; None copies when it must.

    Returns
    -------
    Tensor

    Raises
    ------
    BufferError
        When the memory has no counterpart here (its dtype, its device, negative strides), or may not be copied.
    RuntimeError
        For an object that is no capsule, or one that was used.

    Examples
    --------
    >>> import numpy as np, tensorgrad
    >>> array = np.array([1, 2])
    >>> tensorgrad.from_dlpack(array)[0] = 7
    >>> array.tolist()
    [7, 2]
    """
    cdef dict wishes = {}
    cdef Device place = None if device is None else memory_device(as_device(device))
    if PyCapsule_CheckExact(ext_tensor):
        x, copied = consume(ext_tensor)
    elif hasattr(ext_tensor, "__dlpack__"):
        if copy is not None:
            wishes["copy"] = bool(copy)
        if place is not None:
            wishes["dl_device"] = (_device_codes.get(place.type, 12), max(place.number, 0))
        capsule, understood = request(ext_tensor, wishes)
        x, copied = consume(capsule)
        copied = copied or (understood and bool(copy))
    else:
        raise RuntimeError(f"{INVALID} (got {type(ext_tensor).__name__}, which has no __dlpack__ either)")
    if place is not None and place is not device_of(x):
        if copy is not None and not copy:
            raise BufferError(f"memory on {device_of(x)} cannot become a tensor on {place} without a copy")
        return op_to(x, place)
    return call1(op_clone, x) if copy and not copied else x
