"""Leaves: what happens to a gradient at the end of the graph, and gradients that are zero without being written."""
from tensorgrad._core.types cimport TensorBase

cdef int retain(TensorBase x, TensorBase grad) except -1
cdef TensorBase read_grad(TensorBase x)
