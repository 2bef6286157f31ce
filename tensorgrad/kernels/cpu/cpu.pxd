"""The thread pool, for kernels of other modules: see thread_pool.h."""

cdef extern from "thread_pool.h" nogil:
    ctypedef struct tg_pool_functions:
        pass

cdef const tg_pool_functions* pool_functions() noexcept nogil
