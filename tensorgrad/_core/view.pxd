"""Views, version families, and what an in-place write does to history."""
from cpython.object cimport PyObject

from tensorgrad._core.graph cimport Node
from tensorgrad._core.types cimport NodeBase, TensorBase, ViewStep

cdef class CopySlices(Node):
    pass

cdef void mark_view(TensorBase out, TensorBase source, object op, PyObject** args, int n, int output, int creation)
cdef NodeBase grad_fn_of(TensorBase x)
cdef int refresh_view(TensorBase x) except -1
cdef int gradient_edge(TensorBase x, NodeBase node, int i) except -1
cdef int check_inplace(TensorBase x, object op, bint records) except -1
cdef int rebase_history(TensorBase x, NodeBase node, int output_nr) except -1
cdef object replay(ViewStep step, object base)
cdef int set_tangent(TensorBase x, TensorBase tangent, bint written) except -1
