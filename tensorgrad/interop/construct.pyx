"""Tensors from Python data: `tensor`, `as_tensor`, `asarray` and the constructor ``Tensor(...)``.

Nested sequences are read twice: once for the shape and the dtype, once to write the elements to memory.
Converting an element may run Python code (``__float__``, ``__index__``) that changes the sequences, so
lengths are checked again while the elements are written.
"""
cimport numpy as cnp
from cpython.complex cimport Py_complex, PyComplex_AsCComplex
from cpython.float cimport PyFloat_AsDouble
from cpython.object cimport PyObject_IsTrue
from cpython.pycapsule cimport PyCapsule_CheckExact
from cpython.sequence cimport PySequence_Check
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport as_device, cpu, memory_device
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport (
    CAT_FLOAT, TG_BF16, TG_BOOL, TG_C64, TG_C128, TG_F16, TG_F32, TG_F64, TG_I8, TG_I16, TG_I32, TG_I64, TG_NDTYPES, TG_U8,
    TG_U16, TG_U32, TG_U64, as_dtype, default_code, dtype_of, promote, to_complex_code)
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.operator cimport Operator, call1, call3, handle
from tensorgrad._core.types cimport (
    MAX_DIMS, REQUIRES_GRAD, TensorBase, device_of, empty, set_geometry, shape_tuple)
from tensorgrad.interop.numpy_bridge cimport code_of_array, copy_array, share_array, want_gradient

import operator as py_operator
import warnings

import numpy as np

from tensorgrad._core.size import Size
from tensorgrad.interop.dlpack import from_dlpack
from tensorgrad.interop.numpy_bridge import frombuffer

cnp.import_array()

cdef extern from "array.h" nogil:
    uint16_t tg_float_to_half(float f)
    uint16_t tg_float_to_bf16(float f)

cdef extern from *:
    long long PyLong_AsLongLongAndOverflow(object o, int* overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object o) except? 0xffffffffffffffff

cdef Operator op_detach, op_to_copy, op_to, op_alias
op_detach, op_to_copy, op_to, op_alias = (handle(name) for name in ("detach", "_to_copy", "to", "alias"))

cdef double INT64_END = 9223372036854775808.0
cdef double UINT64_END = 18446744073709551616.0


cdef struct Plan:
    int ndim
    int code
    int itemsize
    int64_t shape[64]


# ---- the shape and the dtype of nested sequences ----------------------------------------------------
cdef bint is_nested(object x):
    """Is this one more dimension, and not an element?"""
    if type(x) is list or type(x) is tuple:
        return True
    if isinstance(x, (TensorBase, np.generic)) or not PySequence_Check(x):
        return False
    return not cnp.PyArray_Check(x) or cnp.PyArray_NDIM(x) > 0


cdef int find_shape(object data, Plan* plan) except -1:
    """The lengths along the first elements; the others are checked when they are written."""
    cdef object x = data
    cdef int64_t n
    cdef int d
    plan.ndim = 0
    while is_nested(x):
        if plan.ndim == MAX_DIMS or isinstance(x, (str, bytes)):
            raise ValueError(f"too many dimensions '{type(x).__name__}'")
        if cnp.PyArray_Check(x):
            if plan.ndim + cnp.PyArray_NDIM(x) > MAX_DIMS:
                raise ValueError(f"too many dimensions '{type(x).__name__}'")
            for d in range(cnp.PyArray_NDIM(x)):
                plan.shape[plan.ndim] = cnp.PyArray_DIM(x, d)
                plan.ndim += 1
            return 0
        n = len(x)
        plan.shape[plan.ndim] = n
        plan.ndim += 1
        if n == 0:
            return 0
        x = x[0]
    return 0


cdef unsigned int element_kind(object x) except? 0xffffffff:
    """The dtype that an element stands for, as one bit."""
    cdef int code
    if isinstance(x, bool):
        code = TG_BOOL
    elif isinstance(x, TensorBase):
        code = (<TensorBase>x).dtype.code
    elif cnp.PyArray_CheckAnyScalar(x):
        code = code_of_array(np.asarray(x))
    elif isinstance(x, int):
        code = TG_I64
    elif isinstance(x, float):
        code = default_code()
    elif isinstance(x, complex):
        code = to_complex_code(default_code())
    elif isinstance(x, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(x).__name__}'")
    else:
        raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")
    return <unsigned int>1 << code


cdef unsigned int kinds_of(object data, int depth) except? 0xffffffff:
    """The dtypes of all elements, as bits."""
    cdef unsigned int kinds = 0
    cdef unsigned int float_kind = <unsigned int>1 << default_code()
    if type(data) is list:
        for x in <list>data:
            if type(x) is float:
                kinds |= float_kind
            elif type(x) is int:
                kinds |= 1 << TG_I64
            elif depth < MAX_DIMS and is_nested(x):
                kinds |= kinds_of(x, depth + 1)
            else:
                kinds |= element_kind(x)
        return kinds
    if cnp.PyArray_Check(data):
        return <unsigned int>1 << code_of_array(data)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    for x in data:
        kinds |= kinds_of(x, depth + 1) if depth < MAX_DIMS and is_nested(x) else element_kind(x)
    return kinds


cdef int common_code(unsigned int kinds) except -1:
    cdef int code = -1, other
    for other in range(TG_NDTYPES):
        if kinds >> other & 1:
            code = other if code < 0 else promote(code, other)
    return default_code() if code < 0 else code


# ---- elements to memory -------------------------------------------------------------------------------
cdef int overflows(int code) except -1:
    raise RuntimeError(f"value cannot be converted to type {dtype_of(code).name} without overflow")


cdef int store_integer(object x, int code, char* p) except -1:
    cdef int64_t low, high, value
    cdef int overflow = 0
    cdef double number
    if isinstance(x, float) or isinstance(x, np.floating):
        number = PyFloat_AsDouble(x)
        if code == TG_U64:
            if not 0 <= number < UINT64_END:
                overflows(code)
            (<uint64_t*>p)[0] = <uint64_t>number
            return 0
        if not -INT64_END <= number < INT64_END:
            overflows(code)
        limits(code, &low, &high)
        if number < low or (number > high and code != TG_I64):
            overflows(code)
        value = <int64_t>number
    elif code == TG_U64:
        (<uint64_t*>p)[0] = PyLong_AsUnsignedLongLong(py_operator.index(x))
        return 0
    else:
        value = PyLong_AsLongLongAndOverflow(x if type(x) is int else py_operator.index(x), &overflow)
        if overflow:
            raise ValueError("Overflow when unpacking long long")
        limits(code, &low, &high)
        # A negative number stands for its residue in an unsigned type, as in C.
        if not (low if low else -high) <= value <= high:
            overflows(code)
    if code == TG_I64:
        (<int64_t*>p)[0] = value
    elif code == TG_I32 or code == TG_U32:
        (<uint32_t*>p)[0] = <uint32_t>value
    elif code == TG_I16 or code == TG_U16:
        (<uint16_t*>p)[0] = <uint16_t>value
    else:
        (<uint8_t*>p)[0] = <uint8_t>value
    return 0


cdef void limits(int code, int64_t* low, int64_t* high) noexcept:
    """The smallest and largest value of an integer type but uint64."""
    cdef int bits = 8
    if code == TG_I64:
        low[0], high[0] = -<int64_t>0x7fffffffffffffff - 1, 0x7fffffffffffffff
        return
    if code == TG_I32 or code == TG_U32:
        bits = 32
    elif code == TG_I16 or code == TG_U16:
        bits = 16
    if code == TG_U8 or code == TG_U16 or code == TG_U32:
        low[0], high[0] = 0, (<int64_t>1 << bits) - 1
    else:
        low[0], high[0] = -(<int64_t>1 << (bits - 1)), (<int64_t>1 << (bits - 1)) - 1


cdef int store(object x, int code, char* p) except -1:
    """Write one element."""
    cdef Py_complex z
    cdef double number
    if isinstance(x, TensorBase):
        x = number_of(<TensorBase>x, code)
    elif cnp.PyArray_Check(x) and cnp.PyArray_SIZE(x) == 1:
        x = x.item()
    if code == TG_F32:
        (<float*>p)[0] = <float>PyFloat_AsDouble(x)
    elif code == TG_F64:
        (<double*>p)[0] = PyFloat_AsDouble(x)
    elif code == TG_F16 or code == TG_BF16:
        number = PyFloat_AsDouble(x)
        (<uint16_t*>p)[0] = tg_float_to_half(<float>number) if code == TG_F16 else tg_float_to_bf16(<float>number)
    elif code == TG_BOOL:
        if not isinstance(x, (int, float, complex, np.generic)):
            x = py_operator.index(x)
        (<uint8_t*>p)[0] = PyObject_IsTrue(x)
    elif code == TG_C64 or code == TG_C128:
        z = PyComplex_AsCComplex(x)
        if code == TG_C64:
            (<float*>p)[0], (<float*>p)[1] = <float>z.real, <float>z.imag
        else:
            (<double*>p)[0], (<double*>p)[1] = z.real, z.imag
    else:
        store_integer(x, code, p)
    return 0


cdef object number_of(TensorBase x, int code):
    """The value of a tensor that stands among numbers."""
    if x.numel != 1:
        raise ValueError(f"only one element tensors can be converted to Python scalars (this one has shape {list(shape_tuple(x))})")
    if x.flags & REQUIRES_GRAD:
        warnings.warn("Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\nConsider using "
                      "tensor.detach() first.")
    if code < TG_F16 and x.dtype.category >= CAT_FLOAT:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return x.item()


cdef char* fill(object data, int depth, Plan* plan, char* p) except NULL:
    """Write the elements below one (sub)sequence; returns where the next one goes."""
    cdef int64_t i, n = plan.shape[depth]
    cdef int code = plan.code
    cdef bint last = depth + 1 == plan.ndim
    if cnp.PyArray_Check(data):
        return fill_from_array(data, depth, plan, p)
    if not is_nested(data):
        raise TypeError(f"not a sequence: expected one of length {n} at dim {depth}, got {type(data).__name__}")
    if len(data) != n:
        raise ValueError(f"expected sequence of length {n} at dim {depth} (got {len(data)})")
    if type(data) is list and last:
        for i in range(n):
            x = (<list>data)[i]         # checks the length once more
            if code == TG_F32 and type(x) is float:
                (<float*>p)[0] = <float><double>x
            elif code == TG_F64 and type(x) is float:
                (<double*>p)[0] = <double>x
            else:
                store(x, code, p)
            p += plan.itemsize
        return p
    for i in range(n):
        x = data[i]
        if last:
            store(x, code, p)
            p += plan.itemsize
        else:
            p = fill(x, depth + 1, plan, p)
    return p


cdef char* fill_from_array(object array, int depth, Plan* plan, char* p) except NULL:
    """An array among sequences is copied as a whole."""
    cdef cnp.npy_intp i, size = cnp.PyArray_SIZE(array)
    cdef int d
    if cnp.PyArray_NDIM(array) == 0:
        raise TypeError(f"not a sequence: expected one of length {plan.shape[depth]} at dim {depth}, got an array of no dimensions")
    for d in range(min(cnp.PyArray_NDIM(array), plan.ndim - depth)):
        if cnp.PyArray_DIM(array, d) != plan.shape[depth + d]:
            raise ValueError(f"expected sequence of length {plan.shape[depth + d]} at dim {depth + d} (got {array.shape[d]})")
    if cnp.PyArray_NDIM(array) != plan.ndim - depth:
        raise ValueError(f"expected {plan.ndim - depth} dimensions at dim {depth} (got an array of {cnp.PyArray_NDIM(array)})")
    for x in array.ravel().tolist():
        store(x, plan.code, p)
        p += plan.itemsize
    return p


cdef TensorBase from_sequences(object data, DType dtype):
    """A tensor on the CPU from nested sequences, or from one number."""
    cdef Plan plan
    cdef TensorBase x
    find_shape(data, &plan)
    if dtype is None:
        dtype = dtype_of(common_code(kinds_of(data, 1) if plan.ndim else element_kind(data)))
    elif plan.ndim == 0 and isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    plan.code, plan.itemsize = dtype.code, dtype.itemsize
    x = empty(plan.ndim, plan.shape, dtype, cpu)
    if plan.ndim == 0:
        store(data, plan.code, x.storage.data)
    elif x.numel:
        fill(data, 0, &plan, x.storage.data)
    return x


# ---- the public functions -------------------------------------------------------------------------------
cdef DType dtype_argument(str function, object dtype):
    if dtype is None or isinstance(dtype, DType):
        return dtype
    if dtype is float or dtype is int or dtype is bool or dtype is complex:
        return as_dtype(dtype)
    raise TypeError(f"{function}(): argument 'dtype' must be tensorgrad.dtype, not {type(dtype).__name__}")


cdef TensorBase placed(TensorBase x, DType dtype, object device):
    """A new leaf in the dtype and on the device that are asked for."""
    cdef TensorBase y
    cdef Device place = device_of(x) if device is None else memory_device(as_device(device))
    if (dtype is None or dtype is x.dtype) and place is device_of(x):
        return x
    y = empty(x.ndim, x.shape, x.dtype if dtype is None else dtype, place)
    if x.numel:
        primitives.copy(y, x)
    return y


cdef TensorBase build(object data, DType dtype, object device, bint copy):
    """A tensor of `data`, which is not a tensor itself; sharing memory where `copy` is false and it can."""
    if cnp.PyArray_Check(data):
        return placed(copy_array(data) if copy else share_array(data, True), dtype, device)
    if type(data) is not list and type(data) is not tuple and not cnp.PyArray_CheckAnyScalar(data) and (
            hasattr(data, "__array__") or hasattr(data, "__array_interface__")) and not isinstance(data, type):
        return placed(copy_array(np.asarray(data)), dtype, device)
    return placed(from_sequences(data, dtype), dtype, device)


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """Make a tensor by copying data.

    Parameters
    ----------
    data : nested sequence, number, numpy.ndarray or Tensor
        Sequences of one nesting level must have one length. An object with ``__array__`` is taken for the array.
    dtype : dtype, optional
        By default that of an array or tensor; of Python numbers int64, bool, the default floating point dtype or
        its complex counterpart, whichever holds them all.
    device : device, optional
        By default that of a tensor, else the CPU.
    requires_grad : bool
        Whether operations on the result are recorded.
    pin_memory : bool
        Has no effect: it is a hint for devices that copy faster from such memory.

    Returns
    -------
    Tensor
        A leaf.

    Raises
    ------
    ValueError
        When sequences differ in length, or an integer does not fit 64 bits.
    TypeError
        When an element is no number.
    RuntimeError
        When a dtype cannot be inferred or cannot hold a value, or cannot require a gradient.

    Warns
    -----
    UserWarning
        When `data` is a tensor: ``x.detach().clone()`` says it more clearly.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> tensorgrad.tensor([1, 2.5], dtype=tensorgrad.float64)
    tensor([1.0000, 2.5000], dtype=tensorgrad.float64)
    """
    cdef DType d = None if dtype is None else dtype_argument("tensor", dtype)
    cdef TensorBase x
    if isinstance(data, TensorBase):
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than tensorgrad.tensor(sourceTensor).")
        x = copied(data, d, device)
    elif device is None and (type(data) is list or type(data) is float):
        x = from_sequences(data, d)
    else:
        x = build(data, d, device, True)
    if requires_grad:
        want_gradient(x)
    return x


cdef TensorBase copied(TensorBase x, DType dtype, object device):
    return call3(op_to_copy, call1(op_detach, x), x.dtype if dtype is None else dtype,
                 device_of(x) if device is None else as_device(device))


def as_tensor(data, dtype=None, device=None):
    """Make a tensor that shares memory with `data` where that is possible.

    Parameters
    ----------
    data : Tensor, numpy.ndarray, nested sequence or number
    dtype : dtype, optional
    device : device, optional

    Returns
    -------
    Tensor
        `data` itself if it is a tensor of that dtype on that device; a conversion of a tensor keeps its history.
        The memory of an array is shared if dtype and device allow it.

    Examples
    --------
    >>> import numpy as np, tensorgrad
    >>> array = np.array([1.0, 2.0])
    >>> tensorgrad.as_tensor(array)[0] = 7
    >>> array.tolist()
    [7.0, 2.0]
    """
    cdef DType d = dtype_argument("as_tensor", dtype)
    if isinstance(data, TensorBase):
        if d is None and device is None:
            return data
        return op_to(data, device=device_of(data) if device is None else device, dtype=(<TensorBase>data).dtype if d is None else d)
    return build(data, d, device, False)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=None):
    """Make a tensor of anything that holds numbers.

    Parameters
    ----------
    obj : object
        A tensor, an array, an object with ``__dlpack__`` or Python's buffer protocol (whose bytes are taken for
        `dtype`), a nested sequence or a number.
    dtype, device : optional
    copy : bool, optional
        True always copies; False raises where memory cannot be shared; None copies when it must.
    requires_grad : bool, optional
        By default that of a tensor, else false. False cuts a tensor off from its history.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        When `copy` is false and a copy is needed.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.asarray(bytearray([1, 0, 2, 0]), dtype=tensorgrad.int16)
    tensor([1, 2], dtype=tensorgrad.int16)
    """
    cdef DType d = dtype_argument("asarray", dtype)
    cdef TensorBase x
    cdef TensorBase result
    if isinstance(obj, TensorBase):
        x = obj
    elif cnp.PyArray_CheckAnyScalar(obj):
        x = copy_array(np.asarray(obj))
    elif cnp.PyArray_Check(obj):
        x = share_array(obj, True)
    elif PyCapsule_CheckExact(obj) or hasattr(obj, "__dlpack__"):
        x = from_dlpack(obj)
    elif not isinstance(obj, str) and has_buffer(obj):
        x = frombuffer(obj, dtype=dtype_of(default_code()) if d is None else d)
    else:
        if copy is not None and not copy:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        x = build(obj, d, device, True)
        if requires_grad:
            want_gradient(x)
        return x
    result = adapted(x, d, device, copy)
    if requires_grad is None:
        return result
    if not requires_grad and result.requires_grad:
        return call1(op_detach, result)
    if requires_grad and not result.requires_grad:
        want_gradient(result)
    return result


cdef bint has_buffer(object x):
    try:
        memoryview(x)
    except (TypeError, BufferError, ValueError):
        return False
    return True


cdef TensorBase adapted(TensorBase x, DType dtype, object device, object copy):
    """`x` in that dtype and on that device; `copy` as for `asarray`."""
    cdef Device place = device_of(x) if device is None else memory_device(as_device(device))
    if dtype is None:
        dtype = x.dtype
    if copy is not None and not copy:
        if place is not device_of(x):
            raise ValueError(f"can't alias tensor from device '{device_of(x)}' to '{place}'.")
        if dtype is not x.dtype:
            raise ValueError(f"can't alias tensor with dtype '{x.dtype}' into dtype '{dtype}'.")
    return op_to(x, device=place, dtype=dtype, copy=bool(copy))


# ---- Tensor(...) --------------------------------------------------------------------------------------------
def init_tensor(self, *args, device=None, **kwargs):
    """The constructor ``Tensor(2, 3)``, ``Tensor([1, 2])``, ``Tensor(tensor)`` or ``Tensor()``: fills `self`.

    Sizes make an uninitialised tensor of the default dtype, data one of that dtype; a tensor is shared, with
    its history.
    """
    cdef TensorBase source
    if not isinstance(self, TensorBase) or (<TensorBase>self).shape != NULL:
        raise TypeError("only a new instance of Tensor can be filled")
    if device is not None and memory_device(as_device(device)) is not cpu:
        raise RuntimeError(f"legacy constructor expects device type: cpu but device type: {as_device(device).type} was passed")
    for name in kwargs:
        if name not in ("data", "size", "other") or len(kwargs) > 1 or args:
            raise TypeError(f"new() received an invalid combination of arguments: '{name}' is not expected here. It takes sizes, or "
                            "data, and a device; tensorgrad.tensor(data, dtype=..., requires_grad=...) takes more")
    if "size" in kwargs:
        source = uninitialised(kwargs["size"])
    else:
        source = legacy(tuple(kwargs.values()) or args)
    take_over(self, source)


cdef TensorBase legacy(tuple args):
    cdef object data
    if not args:
        return uninitialised((0,))
    if len(args) > 1:
        return uninitialised(args)
    data = args[0]
    if isinstance(data, TensorBase):
        return call1(op_alias, data)
    if isinstance(data, Size):
        return uninitialised(data)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if not is_nested(data):
        if isinstance(data, (bool, float, complex)) or not hasattr(data, "__index__"):
            kind = type(data)
            raise TypeError("new(): data must be a sequence (got " + (
                kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}") + ")")
        return uninitialised(args)
    return build(data, dtype_of(default_code()), None, False)


cdef TensorBase uninitialised(object size):
    cdef int64_t shape[64]
    cdef int i, n = <int>len(size)
    if n > MAX_DIMS:
        raise RuntimeError(f"tensors have at most {MAX_DIMS} dimensions, got {n}")
    for i in range(n):
        if isinstance(size[i], bool) or not hasattr(size[i], "__index__"):
            raise TypeError("new() received an invalid combination of arguments: sizes must be ints, but number "
                            f"{i + 1} is {type(size[i]).__name__}; data goes in one sequence")
        shape[i] = py_operator.index(size[i])
        if shape[i] < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {shape[i]}: {list(size)}")
    return empty(n, shape, dtype_of(default_code()), cpu)


cdef int take_over(TensorBase self, TensorBase source) except -1:
    """Make a new instance, of whatever subclass, the tensor that `source` is."""
    self.storage, self.dtype, self.offset, self.wrap = source.storage, source.dtype, source.offset, source.wrap
    set_geometry(self, source.ndim, source.shape, source.strides)
    self.flags, self.version, self.meta = source.flags, source.version, source.meta
    self.grad_fn, self.output_nr = source.grad_fn, source.output_nr
    return 0
