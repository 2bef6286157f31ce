/* Softmax, its logarithm, their gradients, and the cross entropy of classes in one pass over the logits. */
#ifndef TG_SOFTMAX_H
#define TG_SOFTMAX_H

#include <math.h>
#include "array.h"
#include "fused_table.h"
#include "thread_pool.h"

enum { TG_FUSED_GRAIN = 1 << 13 }; /* elements that a thread takes at once at least: some 5 us */

/* exp(x) in code that a compiler vectorises: 2^k by the exponent's bits, e^r by a polynomial for
 * |r| <= log(2) / 2 (Cephes for float, Taylor's to degree 13 for double). Results below the smallest
 * normal number are 0, for which a sum of exponentials has no use; above it is infinite. */
static inline __attribute__((always_inline)) float tg_row_expf(float x) {
    union { float f; uint32_t i; } scale;
    float y = x < -86.9f ? -86.9f : x > 88.7f ? 88.7f : x;
    float shifted = y * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the sum's last bit counts ones */
    float k = shifted - 12582912.0f, r = y - k * 0.693359375f + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    scale.f = shifted;
    scale.i = (scale.i - 0x4b400000 + 126) << 23; /* half of 2^k, which itself may be too large */
    p = p * scale.f * 2.0f;
    return x < -86.9f ? 0.0f : x > 88.73f ? INFINITY : p; /* of what is not a number, p is none either */
}

/* The same for x <= 0, or hardly more. */
static inline __attribute__((always_inline)) float tg_row_expf_down(float x) {
    union { float f; uint32_t i; } scale;
    float y = x < -86.9f ? -86.9f : x;
    float shifted = y * 1.44269504f + 12582912.0f;
    float k = shifted - 12582912.0f, r = y - k * 0.693359375f + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    scale.f = shifted;
    scale.i = (scale.i - 0x4b400000 + 127) << 23;
    return x < -86.9f ? 0.0f : p * scale.f;
}

static inline __attribute__((always_inline)) double tg_row_exp(double x) {
    union { double f; uint64_t i; } scale;
    double y = x < -708.0 ? -708.0 : x > 709.7 ? 709.7 : x;
    double shifted = y * 1.4426950408889634 + 6755399441055744.0; /* 1.5 * 2^52 */
    double k = shifted - 6755399441055744.0, r = y - k * 6.93145751953125e-1 - k * 1.42860682030941723212e-6;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r * r + r + 1.0;
    scale.f = shifted;
    scale.i = (scale.i - 0x4338000000000000 + 1022) << 52;
    p = p * scale.f * 2.0;
    return x < -708.0 ? 0.0 : x > 709.78 ? INFINITY : p;
}

#define T float
#define TG_OF(NAME) NAME##_f32
#define TG_EXP tg_row_expf
#define TG_EXP_DOWN tg_row_expf_down
#define TG_LOG logf
#define TG_BITS int32_t
#include "softmax_loops.h"
#undef T
#undef TG_OF
#undef TG_EXP
#undef TG_EXP_DOWN
#undef TG_LOG
#undef TG_BITS
#define T double
#define TG_OF(NAME) NAME##_f64
#define TG_EXP tg_row_exp
#define TG_EXP_DOWN tg_row_exp
#define TG_LOG log
#define TG_BITS int64_t
#include "softmax_loops.h"
#undef T
#undef TG_OF
#undef TG_EXP
#undef TG_EXP_DOWN
#undef TG_LOG
#undef TG_BITS

/* ---- shared between threads: rows, or tiles of columns, each of which is computed by itself ---- */
typedef struct {
    int logarithm, dtype;
    char *out;
    const char *x, *y; /* forward: the input; backward: the gradient and the result */
    int64_t n, inner;
} tg_softmax_job;

/* How many parts of the work a thread takes at once, if one part is `elements` long. */
static inline int64_t tg_fused_grain(int64_t elements) { return 1 + TG_FUSED_GRAIN / (elements ? elements : 1); }

static void tg_softmax_part(void *context, int64_t begin, int64_t end) {
    const tg_softmax_job *j = (const tg_softmax_job *)context;
    if (j->dtype == TG_F32 && j->inner == 1)
        tg_softmax_rows_f32(j->logarithm, (float *)j->out, (const float *)j->x, begin, end, j->n);
    else if (j->dtype == TG_F32)
        tg_softmax_columns_f32(j->logarithm, (float *)j->out, (const float *)j->x, begin, end, j->n, j->inner);
    else if (j->inner == 1)
        tg_softmax_rows_f64(j->logarithm, (double *)j->out, (const double *)j->x, begin, end, j->n);
    else
        tg_softmax_columns_f64(j->logarithm, (double *)j->out, (const double *)j->x, begin, end, j->n, j->inner);
}

static void tg_softmax_backward_part(void *context, int64_t begin, int64_t end) {
    const tg_softmax_job *j = (const tg_softmax_job *)context;
    if (j->dtype == TG_F32 && j->inner == 1)
        tg_softmax_backward_rows_f32(j->logarithm, (float *)j->out, (const float *)j->x, (const float *)j->y, begin, end, j->n);
    else if (j->dtype == TG_F32)
        tg_softmax_backward_columns_f32(j->logarithm, (float *)j->out, (const float *)j->x, (const float *)j->y, begin, end, j->n, j->inner);
    else if (j->inner == 1)
        tg_softmax_backward_rows_f64(j->logarithm, (double *)j->out, (const double *)j->x, (const double *)j->y, begin, end, j->n);
    else
        tg_softmax_backward_columns_f64(j->logarithm, (double *)j->out, (const double *)j->x, (const double *)j->y, begin, end, j->n,
                                        j->inner);
}

static int tg_softmax_share(tg_softmax_job *j, tg_range_function part, int64_t outer) {
    const int64_t tile = TG_INNER_TILE_f32, tiles = (j->inner + tile - 1) / tile;
    if (j->dtype != TG_F32 && j->dtype != TG_F64) return TG_NO_KERNEL;
    tg_parallel_for(outer * tiles, tg_fused_grain(j->n * (j->inner < tile ? j->inner : tile)), part, j);
    return TG_OK;
}

static int tg_softmax(int logarithm, int dtype, char *out, const char *x, int64_t outer, int64_t n, int64_t inner) {
    tg_softmax_job job = {logarithm, dtype, out, x, NULL, n, inner};
    return tg_softmax_share(&job, tg_softmax_part, outer);
}

static int tg_softmax_backward(int logarithm, int dtype, char *out, const char *grad, const char *y, int64_t outer, int64_t n,
                               int64_t inner) {
    tg_softmax_job job = {logarithm, dtype, out, grad, y, n, inner};
    return tg_softmax_share(&job, tg_softmax_backward_part, outer);
}

typedef struct {
    const tg_classes *c;
    char *loss, *counts;
    const char *x, *grad;
    char *lse;
    int64_t grad_stride, *bad;
    int status;
} tg_classes_job;

static void tg_cross_entropy_part(void *context, int64_t begin, int64_t end) {
    tg_classes_job *j = (tg_classes_job *)context;
    int64_t bad = 0;
    int status = j->c->dtype == TG_F32
        ? tg_cross_entropy_f32(j->c, (float *)j->loss, (float *)j->counts, (float *)j->lse, (const float *)j->x, begin, end, &bad)
        : tg_cross_entropy_f64(j->c, (double *)j->loss, (double *)j->counts, (double *)j->lse, (const double *)j->x, begin, end, &bad);
    if (status == TG_OK) return;
    __atomic_store_n(j->bad, bad, __ATOMIC_RELAXED);
    __atomic_store_n(&j->status, status, __ATOMIC_RELAXED);
}

static void tg_cross_entropy_backward_part(void *context, int64_t begin, int64_t end) {
    const tg_classes_job *j = (const tg_classes_job *)context;
    if (j->c->dtype == TG_F32)
        tg_cross_entropy_backward_f32(j->c, (float *)j->loss, (const float *)j->grad, j->grad_stride, (const float *)j->x,
                                      (const float *)j->lse, begin, end);
    else
        tg_cross_entropy_backward_f64(j->c, (double *)j->loss, (const double *)j->grad, j->grad_stride, (const double *)j->x,
                                      (const double *)j->lse, begin, end);
}

static int tg_cross_entropy(const tg_classes *c, char *loss, char *counts, char *lse, const char *x, int64_t *bad) {
    tg_classes_job job = {c, loss, counts, x, NULL, lse, 0, bad, TG_OK};
    if (c->dtype != TG_F32 && c->dtype != TG_F64) return TG_NO_KERNEL;
    tg_parallel_for(c->outer, tg_fused_grain(c->n * c->inner), tg_cross_entropy_part, &job);
    return job.status;
}

static int tg_cross_entropy_backward(const tg_classes *c, char *out, const char *grad, int64_t grad_stride, const char *x, const char *lse) {
    tg_classes_job job = {c, out, NULL, x, grad, (char *)lse, grad_stride, NULL, TG_OK};
    if (c->dtype != TG_F32 && c->dtype != TG_F64) return TG_NO_KERNEL;
    tg_parallel_for(c->outer, tg_fused_grain(c->n * c->inner), tg_cross_entropy_backward_part, &job);
    return TG_OK;
}

#endif
