"""The graph: nodes as users see them, saved tensors and their checks, accumulation into leaves."""
from cpython.object cimport PyObject
from libc.stdint cimport int32_t

from tensorgrad._core.types cimport NodeBase, TensorBase

cdef class Node(NodeBase):
    pass

cdef class AccumulateGrad(Node):
    pass

cdef void save_object(NodeBase node, int i, object value)
cdef int save_input(NodeBase node, int i, TensorBase x) except -1
cdef int save_output(NodeBase node, int i, TensorBase x, int output_nr) except -1
cdef object unpack(NodeBase node, int i)
cdef NodeBase accumulator_of(TensorBase x)
cdef int accumulate_grad(NodeBase node, PyObject** grads, PyObject** result) except -1
cdef int retain(TensorBase x, TensorBase grad) except -1
cdef TensorBase read_grad(TensorBase x)
cdef str node_name(NodeBase node)
cdef list forward_stack(NodeBase node)
cdef int remember_dual(TensorBase x) except -1
