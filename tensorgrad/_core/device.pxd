"""Devices: their names, their backends, and the registry that finds plugins."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

cdef extern from "kernel_table.h" nogil:
    ctypedef struct tg_array:
        char* data
        const int64_t* shape
        const int64_t* strides
        int32_t ndim
        int32_t dtype
        int64_t numel
        int32_t contiguous
    ctypedef enum tg_status:
        TG_OK, TG_NO_MEMORY, TG_BAD_INDEX, TG_NO_KERNEL, TG_DIV_ZERO
    ctypedef void (*tg_loop)(char** p, int64_t n) noexcept nogil
    ctypedef struct tg_kernel:
        const char* name
        const char* expr
        int8_t n_inputs
        int8_t bool_output
        int8_t bool_first
        int8_t real_output
        tg_loop loop[3][15]
    enum: TG_UNIFORM, TG_NORMAL, TG_RANDINT, TG_BERNOULLI, TG_EXPONENTIAL
    ctypedef struct tg_kernel_table:
        int (*pointwise)(const tg_kernel* k, int dtype, const tg_array* out, const tg_array* ins) noexcept nogil
        tg_loop (*plain_loop)(const tg_kernel* k, int dtype) noexcept nogil
        int (*copy)(const tg_array* dst, const tg_array* src) noexcept nogil
        int (*fill)(const tg_array* dst, const char* value) noexcept nogil
        int (*reduce)(int op, const tg_array* out, const tg_array* x) noexcept nogil
        int (*argreduce)(int is_max, const tg_array* out, const tg_array* x, int dim) noexcept nogil
        int (*scan)(int op, const tg_array* out, const tg_array* x, int dim) noexcept nogil
        int (*sort)(const tg_array* values, const tg_array* indices, const tg_array* x, int dim,
                    int descending, int stable) noexcept nogil
        int (*gather)(const tg_array* out, const tg_array* x, int dim, const tg_array* index, int64_t* bad) noexcept nogil
        int (*scatter)(const tg_array* out, int dim, const tg_array* index, const tg_array* src, int mode,
                       int64_t* bad) noexcept nogil
        int (*matmul)(const tg_array* out, const tg_array* a, const tg_array* b, double beta) noexcept nogil
        int (*random)(int kind, const tg_array* out, uint64_t seed, uint64_t offset, double p0, double p1,
                      int64_t lo, uint64_t range) noexcept nogil
        int (*randperm)(const tg_array* out, uint64_t seed, uint64_t offset) noexcept nogil
        int (*arange)(const tg_array* out, double start, double step) noexcept nogil

cdef class device:
    cdef readonly str type
    cdef int number                 # -1: no index
    cdef object backend             # None until first used; the CPU has none
    cdef const tg_kernel_table* table   # the CPU's kernels; NULL for a plugin

cdef device cpu
cdef const tg_kernel_table* cpu_table
cdef void set_cpu_table(const tg_kernel_table* table)
cdef device as_device(object x)
cdef device memory_device(device d)
