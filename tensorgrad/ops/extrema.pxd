"""What is shared by all that returns values and their places."""
from tensorgrad._core.types cimport TensorBase

cdef TensorBase _drop(TensorBase x, int dim)
