"""The CPU's kernel table: the built-in backend."""

from tensorgrad._core.device cimport set_cpu_table, tg_kernel_table
from tensorgrad._core.fused cimport set_cpu_fused, tg_fused_table

import os

cdef extern from *:
    """
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

    static int tg_arange(const tg_array *out, double start, double step) {
        double tile[TG_TILE];
        int64_t n = out->ndim ? out->shape[0] : 1, itemsize = tg_itemsize(out->dtype);
        int64_t stride = out->ndim ? out->strides[0] : 1;
        char scratch[TG_TILE * 16];
        for (int64_t i = 0; i < n; i += TG_TILE) {
            int64_t m = tg_min64(TG_TILE, n - i);
            for (int64_t j = 0; j < m; j++) tile[j] = start + (double)(i + j) * step;
            tg_store_as(out->data + i * stride * itemsize, out->dtype, stride, m, (char *)tile, TG_F64, scratch);
        }
        return TG_OK;
    }

    static const tg_kernel_table tg_cpu = {
        tg_pointwise, tg_copy, tg_fill, tg_reduce, tg_argreduce, tg_scan, tg_sort, tg_gather, tg_scatter,
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

cdef bytes _path = b"", _prefix = b"", _suffix = b""


def use_blas(str path, str prefix, str suffix):
    """Name the BLAS to be opened by the first product; an empty path leaves the plain gemm."""
    global _path, _prefix, _suffix, tg_blas_path, tg_blas_prefix, tg_blas_suffix
    _path, _prefix, _suffix = os.fsencode(path), prefix.encode(), suffix.encode()
    tg_blas_path, tg_blas_prefix, tg_blas_suffix = _path, _prefix, _suffix


def has_blas():
    """Opens BLAS if it is not open yet, and says whether there is one."""
    return tg_get_blas() != NULL


set_cpu_table(&tg_cpu)
set_cpu_fused(&tg_cpu_fused)
