"""Forward mode: the tangents of an operator's results."""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport Overload
from tensorgrad._core.types cimport TensorBase

cdef bint is_linear(Overload o)
cdef object run_jvp(Overload o, PyObject** a, object outs, bint linear)
cdef int propagate(Overload o, PyObject** a, object result, bint written) except -1
cdef void set_jvp_below(object jvp_below)
