"""Nested sequences of numbers as tensors.

They are read twice: once for the shape and the dtype, once to write the elements to memory. Converting an
element may run Python code (``__float__``, ``__index__``) that changes the sequences, so lengths are checked
again while the elements are written.
"""
cimport numpy as cnp
from cpython.float cimport PyFloat_AsDouble
from cpython.object cimport PyObject_IsTrue
from cpython.sequence cimport PySequence_Check
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport (
    CAT_FLOAT, TG_BF16, TG_BOOL, TG_C64, TG_C128, TG_F16, TG_F32, TG_F64, TG_I16, TG_I32, TG_I64, TG_NDTYPES, TG_U8,
    TG_U16, TG_U32, TG_U64, default_code, dtype_of, promote, to_complex_code)
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.types cimport MAX_DIMS, REQUIRES_GRAD, TensorBase, empty, shape_tuple
from tensorgrad.interop.numpy_bridge cimport code_of_array

import operator as py_operator
import warnings

import numpy as np

cnp.import_array()

cdef extern from "array.h" nogil:
    uint16_t tg_float_to_half(float f)
    uint16_t tg_float_to_bf16(float f)

cdef extern from *:
    """
    /* Not complex(x), which would read strings. */
    static int tg_complex_parts(PyObject *x, double *real, double *imaginary) {
        Py_complex z = PyComplex_AsCComplex(x);
        if (z.real == -1.0 && PyErr_Occurred()) return -1;
        *real = z.real;
        *imaginary = z.imag;
        return 0;
    }
    """
    int tg_complex_parts(object x, double* real, double* imaginary) except -1
    long long PyLong_AsLongLongAndOverflow(object o, int* overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object o) except? 0xffffffffffffffff

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
    elif cnp.PyArray_CheckScalar(x):
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
    if depth > MAX_DIMS:
        raise ValueError(f"too many dimensions '{type(data).__name__}'")
    if type(data) is list:
        if not len(<list>data):
            return float_kind
        for x in <list>data:
            if type(x) is float:
                kinds |= float_kind
            elif type(x) is int:
                kinds |= 1 << TG_I64
            elif is_nested(x):
                kinds |= kinds_of(x, depth + 1)
            else:
                kinds |= element_kind(x)
        return kinds
    if cnp.PyArray_Check(data):
        return <unsigned int>1 << code_of_array(data)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not len(data):
        return float_kind
    for x in data:
        kinds |= kinds_of(x, depth + 1) if is_nested(x) else element_kind(x)
    return kinds


cdef int common_code(unsigned int kinds) except -1:
    """The dtype that holds all of these kinds; the default one where there are none."""
    cdef int code = -1, other
    for other in range(TG_NDTYPES):
        if kinds >> other & 1:
            code = other if code < 0 else promote(code, other)
    return default_code() if code < 0 else code


# ---- elements to memory -------------------------------------------------------------------------------
cdef int overflows(int code) except -1:
    raise RuntimeError(f"value cannot be converted to type {dtype_of(code).name} without overflow")


cdef int64_t integer(object x) except? -1:
    cdef int overflow = 0
    cdef int64_t value = PyLong_AsLongLongAndOverflow(x, &overflow)
    if overflow:
        raise ValueError("Overflow when unpacking long long")
    return value


cdef int store_integer(object x, int code, char* p) except -1:
    cdef int64_t low, high, value
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
        value = integer(x if type(x) is int else py_operator.index(x))
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
    cdef double number, imaginary
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
        # by parts: a C complex made of an infinite one would be nan
        tg_complex_parts(x, &number, &imaginary)
        if code == TG_C64:
            (<float*>p)[0], (<float*>p)[1] = <float>number, <float>imaginary
        else:
            (<double*>p)[0], (<double*>p)[1] = number, imaginary
    else:
        store_integer(x, code, p)
    return 0


cdef object number_of(TensorBase x, int code):
    """The value of a tensor that stands among numbers."""
    if x.numel != 1:
        raise ValueError("only one element tensors can be converted to Python scalars (this one has shape "
                         f"{list(shape_tuple(x))})")
    if x.flags & REQUIRES_GRAD:
        warnings.warn("Converting a tensor with requires_grad=True to a scalar may lead to unexpected "
                      "behavior.\nConsider using "
                      "tensor.detach() first.")
    if code < TG_F16 and x.dtype.category >= CAT_FLOAT:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    value = x.item()
    if code < TG_C64 and type(value) is complex:
        if value.imag != 0:
            raise RuntimeError("value cannot be converted to type double without overflow")
        return value.real
    return value


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
            elif code == TG_I64 and type(x) is int:
                (<int64_t*>p)[0] = integer(x)
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
    cdef int d
    cdef Py_ssize_t nbytes
    if cnp.PyArray_NDIM(array) == 0:
        raise TypeError(f"not a sequence: expected one of length {plan.shape[depth]} at dim {depth}, got an array of "
                        "no dimensions")
    for d in range(min(cnp.PyArray_NDIM(array), plan.ndim - depth)):
        if cnp.PyArray_DIM(array, d) != plan.shape[depth + d]:
            raise ValueError(f"expected sequence of length {plan.shape[depth + d]} at dim {depth + d} (got "
                             f"{array.shape[d]})")
    if cnp.PyArray_NDIM(array) != plan.ndim - depth:
        raise ValueError(f"expected {plan.ndim - depth} dimensions at dim {depth} (got an array of "
                         f"{cnp.PyArray_NDIM(array)})")
    if code_of_array(array) == plan.code:
        array = np.ascontiguousarray(array)
        nbytes = cnp.PyArray_NBYTES(array)
        memcpy(p, cnp.PyArray_BYTES(array), nbytes)
        return p + nbytes
    for x in array.ravel().tolist():
        store(x, plan.code, p)
        p += plan.itemsize
    return p


cdef TensorBase from_sequences(object data, DType dtype):
    """A tensor on the CPU from nested sequences, or from one number."""
    cdef Plan plan
    cdef TensorBase x
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    find_shape(data, &plan)
    if dtype is None:
        dtype = dtype_of(common_code(kinds_of(data, 1) if plan.ndim else element_kind(data)))
    plan.code, plan.itemsize = dtype.code, dtype.itemsize
    x = empty(plan.ndim, plan.shape, dtype, cpu)
    if plan.ndim == 0:
        store(data, plan.code, x.storage.data)
    elif x.numel:
        fill(data, 0, &plan, x.storage.data)
    return x
