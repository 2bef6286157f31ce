"""The backward traversal: the way in from `Tensor.backward`."""
from tensorgrad._core.types cimport TensorBase

cdef bint backward_from(TensorBase x, object gradient, bint keep_graph) except -1
