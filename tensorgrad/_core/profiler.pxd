"""Writing events down: what dispatch, the engine and the plugins' kernels call while a profiler is running."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core.grad_mode cimport tg_thread_state
from tensorgrad._core.types cimport NodeBase, TensorBase

cdef enum EventKind:
    EVENT_OPERATOR      # a forward or backward call of an operator
    EVENT_EVALUATE      # the engine at one node: hooks, the node, delivery of its gradients
    EVENT_NODE          # the node's own derivative
    EVENT_ACCUMULATE    # the node of a leaf
    EVENT_FUNCTION      # a user's autograd Function
    EVENT_USER          # record_function
    EVENT_KERNEL        # a call of a plugin's kernel
    EVENT_RUNTIME       # another call of a plugin: synchronize and its like

# Each takes the thread's state, of which `profiling` is not 0, and returns a token for `end_event`, -1 for none.
cdef int64_t begin_operator(tg_thread_state* st, str name, PyObject** a, int n) except? -2
cdef int64_t begin_function(tg_thread_state* st, str name, tuple args) except? -2
cdef int64_t begin_evaluation(tg_thread_state* st, NodeBase node) except? -2
cdef int64_t begin_node(tg_thread_state* st, NodeBase node, list grads) except? -2
cdef void end_event(int64_t event) noexcept
cdef void end_operator(int64_t event, object result) noexcept
cdef object profiled_kernel(object function, TensorBase x, str method, str name)   # called in the kernel's place
cdef int64_t innermost_event() noexcept
cdef void end_events_inside(int64_t event) noexcept
