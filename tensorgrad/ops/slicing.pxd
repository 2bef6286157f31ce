"""Parts of a tensor, for the families that fill them."""
from libc.stdint cimport int64_t

from tensorgrad._core.types cimport TensorBase

cdef TensorBase zeros_for(TensorBase grad, object shape)
cdef TensorBase part(TensorBase self, int dim, int64_t start, int64_t end, int64_t step)
