/* Layer normalisation: rows of n elements, made to have mean 0 and variance 1. */
#ifndef TG_NORM_H
#define TG_NORM_H

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

static int tg_layer_norm(int dtype, char *out, char *mean, char *rstd, const char *x, const char *weight, const char *bias,
                         int64_t rows, int64_t n, double eps) {
    if (dtype == TG_F32)
        tg_layer_norm_rows_f32((float *)out, (float *)mean, (float *)rstd, (const float *)x, (const float *)weight,
                               (const float *)bias, 0, rows, n, (float)eps);
    else if (dtype == TG_F64)
        tg_layer_norm_rows_f64((double *)out, (double *)mean, (double *)rstd, (const double *)x, (const double *)weight,
                               (const double *)bias, 0, rows, n, eps);
    else
        return TG_NO_KERNEL;
    return TG_OK;
}

static int tg_layer_norm_backward(int dtype, char *dx, char *dweight, char *dbias, const char *grad, const char *x, const char *mean,
                                  const char *rstd, const char *weight, int64_t rows, int64_t n) {
    if (dtype != TG_F32 && dtype != TG_F64) return TG_NO_KERNEL;
    if (dweight) memset(dweight, 0, (size_t)(n * tg_itemsize(dtype)));
    if (dbias) memset(dbias, 0, (size_t)(n * tg_itemsize(dtype)));
    if (dtype == TG_F32)
        tg_layer_norm_backward_rows_f32((float *)dx, (float *)dweight, (float *)dbias, (const float *)grad, (const float *)x,
                                        (const float *)mean, (const float *)rstd, (const float *)weight, 0, rows, n);
    else
        tg_layer_norm_backward_rows_f64((double *)dx, (double *)dweight, (double *)dbias, (const double *)grad, (const double *)x,
                                        (const double *)mean, (const double *)rstd, (const double *)weight, 0, rows, n);
    return TG_OK;
}

#endif
