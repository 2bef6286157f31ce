/* Layer normalisation: rows of n elements, made to have mean 0 and variance 1. */
#ifndef TG_NORM_H
#define TG_NORM_H

#include <stdlib.h>
#include "softmax.h"

#define T float
#define TG_OF(NAME) NAME##_f32
#define TG_SQRT sqrtf
#include "norm_loops.h"
#undef T
#undef TG_OF
#undef TG_SQRT
#define T double
#define TG_OF(NAME) NAME##_f64
#define TG_SQRT sqrt
#include "norm_loops.h"
#undef T
#undef TG_OF
#undef TG_SQRT

typedef struct {
    int dtype;
    char *out, *mean, *rstd;
    const char *x, *weight, *bias;
    int64_t n;
    double eps;
} tg_layer_norm_job;

static void tg_layer_norm_part(void *context, int64_t begin, int64_t end) {
    const tg_layer_norm_job *j = (const tg_layer_norm_job *)context;
    if (j->dtype == TG_F32)
        tg_layer_norm_rows_f32((float *)j->out, (float *)j->mean, (float *)j->rstd, (const float *)j->x, (const float *)j->weight,
                               (const float *)j->bias, begin, end, j->n, (float)j->eps);
    else
        tg_layer_norm_rows_f64((double *)j->out, (double *)j->mean, (double *)j->rstd, (const double *)j->x, (const double *)j->weight,
                               (const double *)j->bias, begin, end, j->n, j->eps);
}

static int tg_layer_norm(int dtype, char *out, char *mean, char *rstd, const char *x, const char *weight, const char *bias,
                         int64_t rows, int64_t n, double eps) {
    tg_layer_norm_job job = {dtype, out, mean, rstd, x, weight, bias, n, eps};
    if (dtype != TG_F32 && dtype != TG_F64) return TG_NO_KERNEL;
    tg_parallel_for(rows, tg_fused_grain(n), tg_layer_norm_part, &job);
    return TG_OK;
}

/* The gradients of weight and bias are sums over all rows: each chunk of rows has sums of its own, and these are added in
 * order. The chunks depend on the shape alone, and so do all bits of the result. */
enum { TG_NORM_CHUNKS = 16 };

typedef struct {
    int dtype;
    char *dx, *dweight, *dbias; /* sums: chunk after chunk */
    const char *grad, *x, *mean, *rstd, *weight;
    int64_t rows, n, chunk;
} tg_norm_backward_job;

static void tg_norm_backward_part(void *context, int64_t begin, int64_t end) {
    const tg_norm_backward_job *j = (const tg_norm_backward_job *)context;
    const int64_t bytes = j->n * tg_itemsize(j->dtype);
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i * j->chunk, after = first + j->chunk < j->rows ? first + j->chunk : j->rows;
        char *dw = j->dweight ? j->dweight + i * bytes : NULL, *db = j->dbias ? j->dbias + i * bytes : NULL;
        if (dw) memset(dw, 0, (size_t)bytes);
        if (db) memset(db, 0, (size_t)bytes);
        if (j->dtype == TG_F32)
            tg_layer_norm_backward_rows_f32((float *)j->dx, (float *)dw, (float *)db, (const float *)j->grad, (const float *)j->x,
                                            (const float *)j->mean, (const float *)j->rstd, (const float *)j->weight, first, after, j->n);
        else
            tg_layer_norm_backward_rows_f64((double *)j->dx, (double *)dw, (double *)db, (const double *)j->grad, (const double *)j->x,
                                            (const double *)j->mean, (const double *)j->rstd, (const double *)j->weight, first, after, j->n);
    }
}

static int tg_layer_norm_backward(int dtype, char *dx, char *dweight, char *dbias, const char *grad, const char *x, const char *mean,
                                  const char *rstd, const char *weight, int64_t rows, int64_t n) {
    tg_norm_backward_job job = {dtype, dx, dweight, dbias, grad, x, mean, rstd, weight, rows, n, rows};
    const int64_t least = tg_fused_grain(n), bytes = n * tg_itemsize(dtype);
    if (dtype != TG_F32 && dtype != TG_F64) return TG_NO_KERNEL;
    if (rows > least) {
        job.chunk = (rows + TG_NORM_CHUNKS - 1) / TG_NORM_CHUNKS;
        if (job.chunk < least) job.chunk = least;
    }
    const int64_t chunks = job.chunk ? (rows + job.chunk - 1) / job.chunk : 1;
    char *sums = NULL;
    if (chunks > 1 && (dweight || dbias)) {
        sums = (char *)malloc((size_t)(2 * chunks * bytes));
        if (!sums) return TG_NO_MEMORY;
        if (dweight) job.dweight = sums;
        if (dbias) job.dbias = sums + chunks * bytes;
    }
    tg_parallel_for(chunks, 1, tg_norm_backward_part, &job);
    if (sums) {
        if (dtype == TG_F32) tg_add_chunks_f32((float *)dweight, (const float *)job.dweight, chunks, n);
        else tg_add_chunks_f64((double *)dweight, (const double *)job.dweight, chunks, n);
        if (dtype == TG_F32) tg_add_chunks_f32((float *)dbias, (const float *)job.dbias, chunks, n);
        else tg_add_chunks_f64((double *)dbias, (const double *)job.dbias, chunks, n);
    }
    free(sums);
    return TG_OK;
}

#endif
