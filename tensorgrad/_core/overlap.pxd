"""Whether tensors share memory, and in what way."""
from tensorgrad._core.types cimport TensorBase

cdef bint overlaps_itself(TensorBase x)
cdef bint same_geometry(TensorBase x, TensorBase y)
cdef bint ranges_meet(TensorBase x, TensorBase y)
cdef bint is_dense(TensorBase x) noexcept
cdef int check_apart(TensorBase target, list arguments, bint wholly) except -1
