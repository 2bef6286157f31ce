"""Elementwise computation."""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport Overload
from tensorgrad._core.types cimport TensorBase

cdef TensorBase pointwise_result(Overload o, PyObject** a, TensorBase out)
cdef int compute_dtype(Overload o, PyObject** a) except -1
cdef int check_cast(TensorBase value, TensorBase target) except -1
cdef int refuse_escaped(Overload o, TensorBase x) except -1
