"""What losses say of dtypes."""
from tensorgrad._core.types cimport TensorBase

cdef str spoken(TensorBase x)
