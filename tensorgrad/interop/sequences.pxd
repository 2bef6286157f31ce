"""Nested sequences of numbers as tensors."""
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.types cimport TensorBase

cdef bint is_nested(object x)
cdef TensorBase from_sequences(object data, DType dtype)
