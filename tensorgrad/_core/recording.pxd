"""Recording an operator, and the vjp of what was recorded."""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport Overload
from tensorgrad._core.types cimport NodeBase, TensorBase

cdef NodeBase begin_record(Overload o, PyObject** a, object result)
cdef int finish_record(Overload o, NodeBase node, object result) except -1
cdef TensorBase detached_clone(TensorBase x)
cdef object materialize(NodeBase node, int i, object grad)
cdef object times_partial(object g, object p, bint conjugate)
cdef remember_stack(NodeBase node)
