"""Memory that is shared with others: NumPy arrays, buffers, and storages looked at as bytes."""
from libc.stdint cimport int64_t

from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.types cimport Storage, TensorBase

cdef int code_of_array(object array) except -1
cdef TensorBase share_array(object array, bint warn)
cdef TensorBase copy_array(object array)
cdef TensorBase share_memory(char* data, DType dtype, int ndim, const int64_t* shape, const int64_t* strides,
                             object owner)
cdef TensorBase flat_bytes(Storage storage)
cdef TensorBase readable(TensorBase x, str what)
cdef int want_gradient(TensorBase x) except -1
