"""Memory that is shared with others: NumPy arrays, buffers, and storages looked at as bytes.

Foreign memory is described by whoever hands it over; what the kernels rely on (alignment, strides in
whole elements, known dtypes) is checked here, once, before a tensor is made of it.
"""
cimport numpy as cnp
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.buffer cimport Py_buffer
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport as_device, cpu, memory_device
from tensorgrad._core.dtype cimport (
    CAT_FLOAT, TG_BF16, TG_BOOL, TG_C64, TG_C128, TG_F16, TG_F32, TG_F64, TG_I8, TG_I16, TG_I32, TG_I64, TG_U8,
    TG_U16, TG_U32, TG_U64, as_dtype, dtype_of)
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.types cimport (
    INFERENCE, MAX_DIMS, REQUIRES_GRAD, contiguous_strides, empty, foreign_storage, new_storage, new_tensor,
    set_geometry, tensor_type)

import warnings

import numpy as np

cnp.import_array()

cdef enum:
    LARGEST_ALIGNMENT = 8       # of a C number; complex ones are aligned as their parts

cdef object MOST_ELEMENTS = 1 << 52     # so that no count of elements or bytes overflows

cdef str READ_ONLY = (
    "is not writable, and tensorgrad does not support non-writable tensors. This means writing to this tensor will "
    "result in "
    "undefined behavior. You may want to copy it to protect its data or make it writable before converting it to a "
    "tensor.")


# ---- foreign memory as a tensor --------------------------------------------------------------------
cdef TensorBase share_memory(char* data, DType dtype, int ndim, const int64_t* shape, const int64_t* strides,
                             object owner):
    """A tensor over memory that `owner` keeps alive; strides count elements and are not negative."""
    cdef int d
    cdef bint is_empty = False
    cdef int64_t inner[64]
    if ndim > MAX_DIMS:
        raise ValueError(f"tensors have at most {MAX_DIMS} dimensions, got {ndim}")
    span = count = 1        # Python numbers: what foreign memory says of itself may overflow
    for d in range(ndim):
        if shape[d] < 0:
            raise ValueError(f"negative size {shape[d]} in dimension {d}")
        if shape[d] == 0:
            is_empty = True
        span += (shape[d] - 1) * <object>strides[d]
        count *= shape[d]
    if is_empty:
        contiguous_strides(ndim, shape, inner)
        return new_tensor(new_storage(0, cpu), dtype, ndim, shape, inner, 0)
    for d in range(ndim):
        if strides[d] < 0:
            raise ValueError(f"negative stride {strides[d]} in dimension {d}: tensors have none; copy the memory "
                             "first")
    if max(span, count) > MOST_ELEMENTS:
        raise ValueError("the memory that is described is larger than an address space")
    if data == NULL:
        raise ValueError("the memory of a non-empty array is at address zero")
    if <size_t>data % <size_t>min(dtype.itemsize, LARGEST_ALIGNMENT):
        raise ValueError(f"memory for {dtype} must start at a multiple of {min(dtype.itemsize, LARGEST_ALIGNMENT)} "
                         "bytes, which "
                         "this does not: copy it first")
    return new_tensor(foreign_storage(data, span * dtype.itemsize, cpu, owner), dtype, ndim, shape, strides, 0)


cdef int code_of_array(object array) except -1:
    """The dtype code of an array's elements; errors with PyTorch's phrases."""
    cdef int kind = cnp.PyArray_TYPE(array)
    cdef int size = <int>cnp.PyArray_ITEMSIZE(array)
    cdef int code = -1
    if kind == cnp.NPY_BOOL:
        code = TG_BOOL
    elif kind in (cnp.NPY_BYTE, cnp.NPY_SHORT, cnp.NPY_INT, cnp.NPY_LONG, cnp.NPY_LONGLONG):
        code = TG_I8 if size == 1 else (TG_I16 if size == 2 else (TG_I32 if size == 4 else TG_I64))
    elif kind in (cnp.NPY_UBYTE, cnp.NPY_USHORT, cnp.NPY_UINT, cnp.NPY_ULONG, cnp.NPY_ULONGLONG):
        code = TG_U8 if size == 1 else (TG_U16 if size == 2 else (TG_U32 if size == 4 else TG_U64))
    elif kind == cnp.NPY_FLOAT16:
        code = TG_F16
    elif kind == cnp.NPY_FLOAT:
        code = TG_F32
    elif kind == cnp.NPY_DOUBLE:
        code = TG_F64
    elif kind == cnp.NPY_CFLOAT:
        code = TG_C64
    elif kind == cnp.NPY_CDOUBLE:
        code = TG_C128
    if code < 0:
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array.dtype.type.__name__}. The only supported types are: "
            "float64, "
            "float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and "
            "bool.")
    if not cnp.PyArray_ISNOTSWAPPED(array):
        raise ValueError("given numpy array has byte order different from the native byte order. Conversion between "
                         "byte orders "
                         "is currently not supported.")
    return code


cdef TensorBase share_array(object array, bint warn):
    """A tensor over the memory of a NumPy array."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d, ndim = cnp.PyArray_NDIM(array)
    cdef DType dtype = dtype_of(code_of_array(array))
    cdef bint filled = cnp.PyArray_SIZE(array) != 0
    if ndim > MAX_DIMS:
        raise ValueError(f"tensors have at most {MAX_DIMS} dimensions, got {ndim}")
    for d in range(ndim):
        shape[d] = cnp.PyArray_DIM(array, d)
        strides[d] = cnp.PyArray_STRIDE(array, d)
        if strides[d] < 0 and filled:
            raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative "
                             "strides are not "
                             "currently supported. (You can probably work around this by making a copy of your array "
                             " with "
                             "array.copy().) ")
        if strides[d] % dtype.itemsize and filled:
            raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy "
                             "array to "
                             "reallocate the memory.")
        strides[d] //= dtype.itemsize
    if warn and not cnp.PyArray_ISWRITEABLE(array):
        warnings.warn(f"The given NumPy array {READ_ONLY}")
    return share_memory(cnp.PyArray_BYTES(array), dtype, ndim, shape, strides, array)


cdef TensorBase copy_array(object array):
    """A tensor of memory of its own with the elements of a NumPy array."""
    cdef TensorBase shared
    cdef TensorBase x
    if not cnp.PyArray_ISALIGNED(array):
        code_of_array(array)
        array = array.copy()
    shared = share_array(array, False)
    x = empty(shared.ndim, shared.shape, shared.dtype, cpu)
    if shared.numel:
        primitives.copy(x, shared)
    return x


def from_numpy(ndarray, /):
    """Make a tensor that shares the memory of a NumPy array.

    Parameters
    ----------
    ndarray : numpy.ndarray
        Of any shape, with strides that are not negative.

    Returns
    -------
    Tensor
        Of the array's shape, strides and dtype. Writing to one writes to the other.

    Raises
    ------
    TypeError
        When it is not an array, or its dtype has no counterpart.
    ValueError
        For negative strides, foreign byte order or memory that is not aligned; copy the array then.

    Warns
    -----
    UserWarning
        When the array is read-only: tensors have no such notion.

    Examples
    --------
    >>> import numpy as np, tensorgrad
    >>> array = np.zeros(3)
    >>> x = tensorgrad.from_numpy(array)
    >>> array[1] = 5
    >>> x
    tensor([0., 5., 0.], dtype=tensorgrad.float64)
    """
    if not cnp.PyArray_Check(ndarray):
        kind = type(ndarray)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(f"expected np.ndarray (got {name})")
    return share_array(ndarray, True)


def frombuffer(buffer, *, dtype, int64_t count=-1, int64_t offset=0, requires_grad=False):
    """Make a one-dimensional tensor over the memory of an object with Python's buffer protocol.

    Parameters
    ----------
    buffer : bytes-like
        bytearray, array.array, mmap and so on; contiguous. It cannot be resized while the tensor lives.
    dtype : dtype
        What its bytes are taken for.
    count : int
        The number of elements; all there are when negative.
    offset : int
        The number of bytes to skip at the start.
    requires_grad : bool

    Returns
    -------
    Tensor
        Of shape (count,).

    Raises
    ------
    ValueError
        When the bytes do not make up that many elements, or do not lie at an address for that dtype.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.frombuffer(bytearray(b"\\x01\\x00\\x02\\x00"), dtype=tensorgrad.int16)
    tensor([1, 2], dtype=tensorgrad.int16)
    """
    cdef DType d = as_dtype(dtype)
    cdef int64_t length, n, step = 1
    cdef Py_buffer* view
    cdef TensorBase x
    try:
        memory = PyMemoryView_FromObject(buffer)
    except TypeError:
        raise ValueError(f"object does not implement Python buffer protocol. (got {type(buffer).__name__})") from None
    except (BufferError, ValueError) as error:
        raise RuntimeError("could not retrieve buffer from object") from error
    if not memory.c_contiguous:
        raise RuntimeError("could not retrieve buffer from object: it is not contiguous")
    view = PyMemoryView_GET_BUFFER(memory)
    length = view.len
    if length <= 0 or count == 0:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if offset < 0 or offset >= length:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} "
                         "bytes) minus 1")
    if count < 0:
        if (length - offset) % d.itemsize:
            raise ValueError(f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a "
                             "multiple of element "
                             f"size ({d.itemsize})")
        n = (length - offset) // d.itemsize
    else:
        if count > (length - offset) // d.itemsize:
            raise ValueError(f"requested buffer length ({count} * {d.itemsize} bytes) after offset ({offset} bytes) "
                             "must not be "
                             f"greater than actual buffer length ({length} bytes)")
        n = count
    if view.readonly:
        warnings.warn(f"The given buffer {READ_ONLY}")
    x = share_memory(<char*>view.buf + offset, d, 1, &n, &step, memory)
    if requires_grad:
        want_gradient(x)
    return x


cdef int want_gradient(TensorBase x) except -1:
    """Let a leaf that has just been made require a gradient."""
    if x.dtype.category < CAT_FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients (this one is "
                           f"{x.dtype})")
    x.flags |= REQUIRES_GRAD
    return 0


# ---- tensors as arrays and lists -------------------------------------------------------------------
cdef TensorBase readable(TensorBase x, str what):
    """The tensor whose memory holds what `x` shows: itself, or what a wrapper of grad or jvp wraps."""
    if x.storage is None and x.wrap is None:
        raise RuntimeError(f"{what}: this {type(x).__name__} was never initialised; call super().__init__() in its "
                           "__init__")
    while x.wrap is not None:
        if x.wrap.bdim >= 0:
            raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage: this tensor belongs "
                               "to vmap, which "
                               f"does not support {what} on it")
        x = x.wrap.value
    return x


def to_numpy(TensorBase x, force=False):
    """The array that shares a tensor's memory; see `Tensor.numpy`."""
    cdef cnp.npy_intp shape[64]
    cdef cnp.npy_intp strides[64]
    cdef int d
    if not force:
        if x.wrap is None and x.storage is not None and x.storage.device.table == NULL:
            raise TypeError(f"can't convert {x.storage.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                            "host memory first.")
        if x.flags & REQUIRES_GRAD:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                               "instead.")
        if x.wrap is not None:
            readable(x, "numpy()")
            raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage: this tensor belongs "
                               "to a transform "
                               "(grad or jvp), in which writing to the array would not be noticed")
    x = readable(x, "numpy()")
    if x.dtype.code == TG_BF16:
        raise TypeError("Got unsupported ScalarType BFloat16: NumPy has none; use tensor.float() first")
    if x.storage.device.table == NULL:
        x = on_cpu(x)
    if x.numel == 0:
        return np.empty(tuple([x.shape[d] for d in range(x.ndim)]), dtype=x.dtype.numpy_type)
    for d in range(x.ndim):
        shape[d] = x.shape[d]
        strides[d] = x.strides[d] * x.dtype.itemsize
    array = cnp.PyArray_New(np.ndarray, x.ndim, shape, (<cnp.dtype>x.dtype.numpy_type).type_num, strides,
                            x.storage.data + x.offset * x.dtype.itemsize, 0, cnp.NPY_ARRAY_WRITEABLE, None)
    cnp.PyArray_UpdateFlags(array, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_F_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
    cnp.set_array_base(array, x.storage)
    return array


def array(TensorBase x, dtype=None, copy=None):
    """What ``Tensor.__array__`` returns: NumPy's protocol, with the `copy` argument of NumPy 2."""
    result = to_numpy(x, False)
    if dtype is not None and np.dtype(dtype) != result.dtype:
        if copy is not None and not copy:
            raise ValueError(f"Unable to avoid copy while creating an array as requested: the tensor is {x.dtype}, "
                             "the array is to be "
                             f"{np.dtype(dtype)}")
        return result.astype(dtype)
    return result.copy() if copy else result


cdef TensorBase on_cpu(TensorBase x):
    cdef TensorBase y
    if x.storage.device.table != NULL:
        return x
    y = empty(x.ndim, x.shape, x.dtype, cpu)
    primitives.copy(y, x)
    return y


def tolist(TensorBase x):
    """The elements as nested lists; see `Tensor.tolist`."""
    x = on_cpu(readable(x, "tolist()"))
    return _list(x, 0, x.storage.data + x.offset * x.dtype.itemsize)


cdef object _list(TensorBase x, int dim, char* p):
    cdef int64_t i, step
    cdef list items
    cdef int code = x.dtype.code
    if dim == x.ndim:
        return primitives.decode_element(p, code)
    step = x.strides[dim] * x.dtype.itemsize
    items = PyList_New(x.shape[dim])
    for i in range(x.shape[dim]):
        if dim + 1 < x.ndim:
            item = _list(x, dim + 1, p)
        elif code == TG_F32:
            item = <double>(<float*>p)[0]
        elif code == TG_F64:
            item = (<double*>p)[0]
        elif code == TG_I64:
            item = (<int64_t*>p)[0]
        else:
            item = primitives.decode_element(p, code)
        Py_INCREF(item)
        PyList_SET_ITEM(items, i, item)
        p += step
    return items


# ---- storages as bytes ------------------------------------------------------------------------------
cdef TensorBase flat_bytes(Storage storage):
    """A storage as a tensor of bytes."""
    cdef int64_t n = storage.length
    cdef int64_t step = 1
    return new_tensor(storage, dtype_of(TG_U8), 1, &n, &step, 0)


def storage_bytes(Storage storage):
    """The contents of a storage, copied."""
    cdef TensorBase x = on_cpu(flat_bytes(storage))
    return PyBytes_FromStringAndSize(x.storage.data, storage.length)


def storage_view(Storage storage):
    """The memory of a storage on the CPU as a writable memoryview of bytes."""
    if storage.device.table == NULL:
        raise RuntimeError(f"the memory of a storage on {storage.device} cannot be seen by the CPU")
    return memoryview(to_numpy(flat_bytes(storage), True)).cast("B") if storage.length else memoryview(bytearray())


def make_storage(int64_t nbytes, device="cpu"):
    """An uninitialised storage."""
    if nbytes < 0:
        raise ValueError(f"a storage cannot have {nbytes} bytes")
    return new_storage(nbytes, memory_device(as_device(device)))


def storage_from_bytes(const unsigned char[::1] data, device="cpu"):
    """A storage with a copy of the given bytes."""
    cdef Storage storage = new_storage(data.shape[0], cpu)
    if data.shape[0]:
        memcpy(storage.data, &data[0], data.shape[0])
    return copy_storage(storage, device)


def copy_storage(Storage storage, device=None):
    """A storage on `device` with the same bytes; a CPU storage that is to stay there is returned as it is."""
    cdef Storage result
    place = storage.device if device is None else memory_device(as_device(device))
    if device is not None and place is storage.device:
        return storage
    result = new_storage(storage.length, place)
    if storage.length:
        primitives.copy(flat_bytes(result), flat_bytes(storage))
    return result


def tensor_over(cls, Storage storage, dtype, shape, strides, offset, requires_grad):
    """A leaf of class `cls` that shows a storage with the given geometry, which must lie inside of it.

    `__new__` and `__init__` of a subclass are not called: they may want other arguments.
    """
    cdef int64_t sizes[64]
    cdef int64_t steps[64]
    cdef TensorBase x
    cdef DType d = as_dtype(dtype)
    cdef int i, ndim = <int>len(shape)
    if not (isinstance(cls, type) and issubclass(cls, tensor_type)):
        raise TypeError(f"expected a subclass of Tensor, got {cls!r}")
    if ndim > MAX_DIMS or len(strides) != ndim:
        raise ValueError(f"a tensor has at most {MAX_DIMS} dimensions with one stride each, got {ndim} sizes and "
                         f"{len(strides)} strides")
    first = last = offset
    count = 1
    for i in range(ndim):
        sizes[i], steps[i] = shape[i], strides[i]
        count *= shape[i]
        if sizes[i] < 0:
            raise ValueError(f"negative size {sizes[i]} in {tuple(shape)}")
        if steps[i] > 0:
            last += (shape[i] - 1) * strides[i]
        else:
            first += (shape[i] - 1) * strides[i]
    inside = count == 0 or (first >= 0 and (last + 1) * d.itemsize <= storage.length)
    if not inside or not 0 <= offset <= MOST_ELEMENTS or count > MOST_ELEMENTS:
        raise ValueError(f"a tensor of shape {tuple(shape)}, strides {tuple(strides)} and offset {offset} does not "
                         "fit a storage of "
                         f"{storage.length} bytes")
    x = tensor_type.__new__(cls)
    x.storage, x.dtype, x.offset = storage, d, offset
    set_geometry(x, ndim, sizes, steps)
    if thread_state().inference:
        x.flags |= INFERENCE
    else:
        x.version = &storage.version
    if requires_grad:
        want_gradient(x)
    return x
