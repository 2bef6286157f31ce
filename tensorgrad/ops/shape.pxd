"""Geometry of views, for the families that make them."""
from libc.stdint cimport int64_t

from tensorgrad._core.types cimport TensorBase

cdef TensorBase strided(TensorBase x, list shape, list strides, int64_t offset)
cdef int read_sizes(object sizes, int64_t* into) except -1
cdef TensorBase with_geometry(TensorBase x, int ndim, const int64_t* shape, const int64_t* strides)
cdef list sizes_of(TensorBase x)
cdef list strides_of(TensorBase x)
cdef TensorBase unsqueezed(TensorBase self, int dim)
