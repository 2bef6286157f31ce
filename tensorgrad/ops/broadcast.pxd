"""Broadcasting, and its transpose."""
from tensorgrad._core.types cimport TensorBase

cdef TensorBase summed_to(TensorBase x, tuple size)
