"""The modes of a thread: grad, inference, and the stack of transforms."""
from libc.stdint cimport int64_t

cdef extern from "thread_state.h" nogil:
    ctypedef struct tg_thread_state:
        int grad
        int forward_grad
        int inference
        int slow
        int depth
        int dual_level
        int profiling
        void* levels
        void* saved_hooks
    ctypedef struct tg_anomaly_mode:
        int enabled
        int check_nan

cdef enum LevelKind:
    LEVEL_GRAD      # reverse mode: wrappers record a graph of their own
    LEVEL_JVP       # forward mode: wrappers carry a tangent
    LEVEL_VMAP      # wrappers hide a batch dimension

cdef class Level:
    cdef readonly int number      # 1 is the outermost
    cdef readonly int kind
    cdef readonly int64_t batch_size
    cdef readonly str randomness
    cdef readonly bint alive
    cdef list hidden              # levels above that are being peeled while this one is in force
    cdef int outer_grad, outer_forward_grad   # what the modes were outside, for the operators below

cdef tg_thread_state* thread_state() noexcept nogil
cdef tg_anomaly_mode* anomaly_mode() noexcept nogil
cdef Level level_at(tg_thread_state* state, int depth)
