"""Checks and products of plain matrices, for the other products."""
from libc.stdint cimport int64_t

from tensorgrad._core.types cimport TensorBase

cdef int check_operands(TensorBase a, TensorBase b, str name) except -1
cdef int check_added(TensorBase x, TensorBase b) except -1
cdef int check_matrices(TensorBase a, TensorBase b) except -1
cdef list sizes_of(TensorBase x)
cdef TensorBase view2(TensorBase x, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride)
cdef TensorBase turned(TensorBase x)
cdef TensorBase shaped(TensorBase x, list sizes)
cdef TensorBase product_plus(TensorBase x, TensorBase a, TensorBase b, object beta, object alpha, str name)
cdef TensorBase expand_checked(TensorBase x, int ndim, const int64_t* shape)
cdef bint _are_plain_matrices(TensorBase a, TensorBase b)
cdef TensorBase _plain_product(TensorBase a, TensorBase b)
