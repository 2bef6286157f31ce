"""The CPU's kernel table: the built-in backend."""

from tensorgrad._core.device cimport set_cpu_table, tg_kernel_table
from tensorgrad._core.fused cimport set_cpu_fused, tg_fused_table

import os
import warnings

cdef extern from *:
    """
    #include "pthread_pool.h"
    #include "pointwise.h"
    #include "reduce.h"
    #include "sort.h"
    #include "gather.h"
    #include "random.h"
    #include "blas.h"
    #include "gemm.h"
    #include "norm.h"
    #include "conv.h"
    #include "pooling.h"

    /* BLAS is opened by the first product that is worth it: 2 ms, and it starts threads of its own. */
    static const char *tg_blas_path = "", *tg_blas_prefix = "", *tg_blas_suffix = "";
    static const tg_blas *tg_the_blas = NULL;
    static int tg_blas_tried = 0;

    static const tg_blas *tg_get_blas(void) {
        if (!tg_blas_tried) {
            tg_the_blas = tg_blas_path[0] ? tg_blas_open(tg_blas_path, tg_blas_prefix, tg_blas_suffix) : NULL;
            tg_blas_tried = 1;
        }
        return tg_the_blas;
    }

    static int tg_matmul_any(const tg_array *out, const tg_array *a, const tg_array *b, double beta) {
        return tg_matmul(out, a, b, tg_get_blas(), beta);
    }

    typedef struct {
        const tg_array *out;
        double start, step;
    } tg_arange_job;

    static void tg_arange_part(void *context, int64_t begin, int64_t end) {
        const tg_arange_job *job = (const tg_arange_job *)context;
        const tg_array *out = job->out;
        int64_t stride = out->ndim ? out->strides[0] : 1, itemsize = tg_itemsize(out->dtype);
        double tile[TG_TILE];
        char scratch[TG_TILE * 16];
        for (int64_t i = begin; i < end; i += TG_TILE) {
            int64_t m = tg_min64(TG_TILE, end - i);
            for (int64_t j = 0; j < m; j++) tile[j] = job->start + (double)(i + j) * job->step;
            tg_store_as(out->data + i * stride * itemsize, out->dtype, stride, m, (char *)tile, TG_F64, scratch);
        }
    }

    static int tg_arange(const tg_array *out, double start, double step) {
        tg_arange_job job = {out, start, step};
        tg_parallel_for(out->ndim ? out->shape[0] : 1, TG_PARALLEL_AT, tg_arange_part, &job);
        return TG_OK;
    }

    static const tg_kernel_table tg_cpu = {
        tg_pointwise, tg_plain_loop, tg_copy, tg_fill, tg_reduce, tg_argreduce, tg_scan, tg_sort, tg_gather, tg_scatter,
        tg_matmul_any, tg_random, tg_randperm, tg_arange};

    static int tg_conv_any(const tg_conv *c, char *y, const char *x, const char *w, const char *bias) {
        return tg_conv_forward(c, tg_get_blas(), y, x, w, bias);
    }
    static int tg_conv_input_any(const tg_conv *c, char *x, const char *y, const char *w, const char *bias) {
        return tg_conv_input(c, tg_get_blas(), x, y, w, bias);
    }
    static int tg_conv_weight_any(const tg_conv *c, char *w, const char *y, const char *x) {
        return tg_conv_weight(c, tg_get_blas(), w, y, x);
    }
    static const tg_fused_table tg_cpu_fused = {
        tg_softmax, tg_softmax_backward, tg_cross_entropy, tg_cross_entropy_backward, tg_layer_norm, tg_layer_norm_backward,
        tg_conv_any, tg_conv_input_any, tg_conv_weight_any, tg_max_pool, tg_max_pool_backward, tg_avg_pool, tg_avg_pool_backward};
    """
    const tg_fused_table tg_cpu_fused
    const tg_kernel_table tg_cpu
    const char* tg_blas_path
    const char* tg_blas_prefix
    const char* tg_blas_suffix
    const void* tg_get_blas()
    const char* const* tg_simd_names
    int tg_simd_level

cdef extern from "pthread_pool.h" nogil:
    """
    #define tg_pool_limit tg_pool.limit
    #define tg_pool_started tg_pool.started
    """
    const tg_pool_functions tg_the_pool
    void tg_pool_connect(const tg_pool_functions* functions)
    int TG_POOL_MAX
    int tg_pool_limit
    int tg_pool_started
    int tg_allowed_processors()
    int tg_get_num_threads()
    void tg_set_num_threads(int n)

cdef bytes _path = b"", _prefix = b"", _suffix = b""


def use_blas(str path, str prefix, str suffix):
    """Name the BLAS to be opened by the first product; an empty path leaves the plain gemm."""
    global _path, _prefix, _suffix, tg_blas_path, tg_blas_prefix, tg_blas_suffix
    _path, _prefix, _suffix = os.fsencode(path), prefix.encode(), suffix.encode()
    tg_blas_path, tg_blas_prefix, tg_blas_suffix = _path, _prefix, _suffix


def has_blas():
    """Opens BLAS if it is not open yet, and says whether there is one."""
    return tg_get_blas() != NULL


cdef const tg_pool_functions* pool_functions() noexcept nogil:
    return &tg_the_pool


def get_num_threads():
    """The number of threads that a kernel may run on, the caller's included."""
    return tg_get_num_threads()


def set_num_threads(int n):
    """At least 1; threads that exist already are not ended, but left asleep."""
    if not 1 <= n <= TG_POOL_MAX:
        raise ValueError(f"the pool has 1 to {TG_POOL_MAX} threads, not {n}")
    tg_set_num_threads(n)


def limit_threads(int n):
    """What the default number of threads may not exceed beside the affinity mask; 0 for no limit."""
    global tg_pool_limit
    tg_pool_limit = n


def pool_state():
    """Processors that the affinity mask allows, and threads that the pool has started."""
    return tg_allowed_processors(), tg_pool_started


def blas_description():
    """What multiplies matrices, as far as that is decided: BLAS is opened by the first product worth it."""
    if not _path:
        return "none, the plain product"
    return f"{os.fsdecode(_path)}, on the calling thread; the pool shares its work out"


MAX_THREADS = TG_POOL_MAX
tg_pool_connect(&tg_the_pool)
set_cpu_table(&tg_cpu)


def simd_level():
    """The instruction set of the elementwise kernels: "plain", "avx2" or "avx512".

    It is the best that the processor has; the environment variable TENSORGRAD_SIMD, read at import, lowers it.
    """
    return tg_simd_names[tg_simd_level].decode()


if os.environ.get("TENSORGRAD_SIMD") not in (None, "", simd_level()):
    warnings.warn(f"TENSORGRAD_SIMD={os.environ['TENSORGRAD_SIMD']} is ignored: it may be plain, avx2 or avx512, and no more "
                  f"than the processor has; {simd_level()} is used", RuntimeWarning)
set_cpu_fused(&tg_cpu_fused)
