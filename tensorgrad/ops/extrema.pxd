"""What is shared by all that returns values and their places."""
from tensorgrad._core.types cimport TensorBase

cdef int lose(TensorBase x, int dim) except -1
