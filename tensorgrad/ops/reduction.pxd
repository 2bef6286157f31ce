"""What all reductions begin with."""
from libc.stdint cimport int64_t

from tensorgrad._core.types cimport TensorBase

cdef TensorBase cast(TensorBase x, int code)
cdef int mark_dims(TensorBase x, object dims, bint* gone) except -1
cdef int64_t count_of(TensorBase x, const bint* gone) noexcept
cdef TensorBase reduced(int op, TensorBase x, const bint* gone, bint keepdim, int out_code)
