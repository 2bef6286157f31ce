"""The graph: nodes as users see them, saved tensors and their checks."""
from libc.stdint cimport int32_t

from tensorgrad._core.types cimport NodeBase, RunFunction, TensorBase

cdef class Node(NodeBase):
    pass

cdef class AccumulateGrad(Node):
    pass

cdef void save_object(NodeBase node, int i, object value)
cdef int save_input(NodeBase node, int i, TensorBase x) except -1
cdef int save_output(NodeBase node, int i, TensorBase x, int output_nr) except -1
cdef object unpack(NodeBase node, int i)
cdef NodeBase accumulator_of(TensorBase x)
cdef void set_accumulate(RunFunction accumulate)
cdef str node_name(NodeBase node)
cdef list forward_stack(NodeBase node)
cdef int remember_dual(TensorBase x) except -1
