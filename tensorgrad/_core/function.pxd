"""Nodes of user-defined functions."""
from tensorgrad._core.graph cimport Node

cdef class FunctionNode(Node):
    cdef dict __dict__              # whatever forward puts on its ctx
    cdef object to_save             # tuple of tensors and None, until they are moved into the saved slots
    cdef object saved_forward       # what jvp sees as saved_tensors
    cdef object dirty               # tuple of inputs that forward wrote to
    cdef object hidden              # tuple of outputs without a derivative
    cdef object needs_grad          # tuple of bool, one for each argument
    cdef list edge_arguments        # the argument that each edge belongs to
    cdef list tensor_outputs        # bool, one for each output
    cdef int n_arguments
    cdef bint materializes          # backward gets zeros in place of None
    cdef bint in_jvp
