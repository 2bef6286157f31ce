"""The ways into the backward traversal."""
from tensorgrad._core.types cimport TensorBase

cdef bint backward_from(TensorBase x, object gradient, bint keep_graph) except -1
