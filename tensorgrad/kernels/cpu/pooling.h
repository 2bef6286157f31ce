/* Pooling in up to three dimensions; the windows come as tables, so that adaptive and clipped ones are all alike. */
#ifndef TG_POOLING_H
#define TG_POOLING_H

#include <math.h>
#include "array.h"
#include "fused_table.h"
#include "thread_pool.h"

/* Visits every window of every plane; ROW runs along a window's line, which begins at `line` (an index into the plane). */
#define TG_POOL_WALK(BEGIN, ROW, END)                                                                            \
    int64_t volume = p->in[0] * p->in[1] * p->in[2], at = begin * p->out[0] * p->out[1] * p->out[2];             \
    int64_t step = p->step[2];                                                                                   \
    for (int64_t plane = begin; plane < end; plane++) {                                                          \
        int64_t base = plane * volume;                                                                           \
        for (int64_t od = 0; od < p->out[0]; od++)                                                               \
        for (int64_t oh = 0; oh < p->out[1]; oh++)                                                               \
        for (int64_t ow = 0; ow < p->out[2]; ow++, at++) {                                                       \
            int64_t nd = p->count[0][od], nh = p->count[1][oh], nw = p->count[2][ow];                            \
            BEGIN                                                                                                \
            for (int64_t kd = 0; kd < nd; kd++)                                                                  \
            for (int64_t kh = 0; kh < nh; kh++) {                                                                \
                int64_t line = ((p->start[0][od] + kd * p->step[0]) * p->in[1] + p->start[1][oh] + kh * p->step[1]) \
                    * p->in[2] + p->start[2][ow];                                                                \
                ROW                                                                                              \
            }                                                                                                    \
            END                                                                                                  \
        }                                                                                                        \
    }

#define TG_POOLS(NAME, T)                                                                                        \
    /* Where no window is empty: all windows of a line at once, one element of each after the other. */          \
    TG_CLONES static void tg_max_pool_lines_##NAME(const tg_windows *p, T *restrict out, int64_t *restrict indices, \
                                                   const T *restrict x, int64_t begin, int64_t end) {            \
        int64_t most = 0, width = p->out[2], step = p->step[2];                                                  \
        const int64_t *restrict start = p->start[2], *restrict count = p->count[2];                              \
        for (int64_t ow = 0; ow < width; ow++) most = count[ow] > most ? count[ow] : most;                       \
        out += begin * p->out[0] * p->out[1] * width;                                                            \
        indices += begin * p->out[0] * p->out[1] * width;                                                        \
        for (int64_t plane = begin; plane < end; plane++) {                                                      \
            const T *restrict base = x + plane * p->in[0] * p->in[1] * p->in[2];                                 \
            for (int64_t od = 0; od < p->out[0]; od++)                                                           \
            for (int64_t oh = 0; oh < p->out[1]; oh++, out += width, indices += width) {                         \
                for (int64_t kd = 0; kd < p->count[0][od]; kd++)                                                 \
                for (int64_t kh = 0; kh < p->count[1][oh]; kh++) {                                               \
                    int64_t line = ((p->start[0][od] + kd * p->step[0]) * p->in[1] + p->start[1][oh] + kh * p->step[1]) * p->in[2]; \
                    for (int64_t kw = 0; kw < most; kw++) {                                                      \
                        if (kd + kh + kw == 0) {                                                                 \
                            for (int64_t ow = 0; ow < width; ow++) {                                             \
                                out[ow] = base[line + start[ow]];                                                \
                                indices[ow] = line + start[ow];                                                  \
                            }                                                                                    \
                            continue;                                                                            \
                        }                                                                                        \
                        for (int64_t ow = 0; ow < width; ow++) { /* a shorter window repeats its last element */ \
                            int64_t at = line + start[ow] + (kw < count[ow] ? kw : count[ow] - 1) * step;        \
                            T v = base[at], best = out[ow];                                                      \
                            int better = (v > best) | (v != v);                                                  \
                            out[ow] = better ? v : best;                                                         \
                            indices[ow] = better ? at : indices[ow];                                             \
                        }                                                                                        \
                    }                                                                                            \
                }                                                                                                \
            }                                                                                                    \
        }                                                                                                        \
    }                                                                                                            \
    static void tg_max_pool_##NAME(const tg_windows *p, T *restrict out, int64_t *restrict indices, const T *restrict x, \
                                   int64_t begin, int64_t end) {                                                 \
        TG_POOL_WALK(                                                                                            \
            int64_t where = (p->start[0][od] * p->in[1] + p->start[1][oh]) * p->in[2] + p->start[2][ow];         \
            T best = nd * nh * nw ? x[base + where] : -(T)INFINITY; /* all in the padding */ \
            if (nd * nh * nw == 0) where = 0;,                                                                           \
            for (int64_t kw = 0; kw < nw; kw++) {                                                                \
                T v = x[base + line + kw * step];                                                                \
                int better = v > best || v != v; /* the last of several that are not numbers, as in PyTorch */   \
                best = better ? v : best;                                                                        \
                where = better ? line + kw * step : where;                                                       \
            },                                                                                                   \
            out[at] = best;                                                                                      \
            indices[at] = where;)                                                                                \
    }                                                                                                            \
    static int tg_max_pool_backward_##NAME(int64_t size, int64_t pooled, T *restrict out, const T *restrict grad, \
                                            const int64_t *restrict indices, int64_t begin, int64_t end) {       \
        memset(out + begin * size, 0, (size_t)((end - begin) * size) * sizeof(T));                               \
        for (int64_t plane = begin; plane < end; plane++)                                                        \
            for (int64_t i = plane * pooled; i < (plane + 1) * pooled; i++) {                                    \
                if (indices[i] < 0 || indices[i] >= size) return TG_BAD_INDEX;                                   \
                out[plane * size + indices[i]] += grad[i];                                                       \
            }                                                                                                    \
        return TG_OK;                                                                                            \
    }                                                                                                            \
    static void tg_avg_pool_##NAME(const tg_windows *p, T *restrict out, const T *restrict x, int64_t begin, int64_t end) { \
        TG_POOL_WALK(                                                                                            \
            T sum = 0;,                                                                                          \
            for (int64_t kw = 0; kw < nw; kw++) sum += x[base + line + kw * step];,                              \
            out[at] = sum / (T)(p->divisor[0][od] * p->divisor[1][oh] * p->divisor[2][ow]);)                     \
    }                                                                                                            \
    static void tg_avg_pool_backward_##NAME(const tg_windows *p, T *restrict out, const T *restrict grad, int64_t begin, int64_t end) { \
        const int64_t size = p->in[0] * p->in[1] * p->in[2];                                                     \
        memset(out + begin * size, 0, (size_t)((end - begin) * size) * sizeof(T));                               \
        TG_POOL_WALK(                                                                                            \
            T share = grad[at] / (T)(p->divisor[0][od] * p->divisor[1][oh] * p->divisor[2][ow]);,                \
            for (int64_t kw = 0; kw < nw; kw++) out[base + line + kw * step] += share;, )                        \
    }
TG_POOLS(f32, float)
TG_POOLS(f64, double)

static int tg_has_empty_window(const tg_windows *p) {
    for (int d = 0; d < 3; d++)
        for (int64_t o = 0; o < p->out[d]; o++)
            if (p->count[d][o] == 0) return 1;
    return 0;
}

/* ---- planes are shared between threads ---- */
typedef struct {
    const tg_windows *p;
    char *out;
    const char *x;
    int64_t *indices, size, pooled;
    int dtype, lines, status;
} tg_pool_job;

static void tg_max_pool_part(void *context, int64_t begin, int64_t end) {
    const tg_pool_job *j = (const tg_pool_job *)context;
    if (j->dtype == TG_F32)
        (j->lines ? tg_max_pool_lines_f32 : tg_max_pool_f32)(j->p, (float *)j->out, j->indices, (const float *)j->x, begin, end);
    else
        (j->lines ? tg_max_pool_lines_f64 : tg_max_pool_f64)(j->p, (double *)j->out, j->indices, (const double *)j->x, begin, end);
}

static void tg_max_pool_backward_part(void *context, int64_t begin, int64_t end) {
    tg_pool_job *j = (tg_pool_job *)context;
    int status = j->dtype == TG_F32
        ? tg_max_pool_backward_f32(j->size, j->pooled, (float *)j->out, (const float *)j->x, j->indices, begin, end)
        : tg_max_pool_backward_f64(j->size, j->pooled, (double *)j->out, (const double *)j->x, j->indices, begin, end);
    if (status != TG_OK) __atomic_store_n(&j->status, status, __ATOMIC_RELAXED);
}

static void tg_avg_pool_part(void *context, int64_t begin, int64_t end) {
    const tg_pool_job *j = (const tg_pool_job *)context;
    if (j->dtype == TG_F32) tg_avg_pool_f32(j->p, (float *)j->out, (const float *)j->x, begin, end);
    else tg_avg_pool_f64(j->p, (double *)j->out, (const double *)j->x, begin, end);
}

static void tg_avg_pool_backward_part(void *context, int64_t begin, int64_t end) {
    const tg_pool_job *j = (const tg_pool_job *)context;
    if (j->dtype == TG_F32) tg_avg_pool_backward_f32(j->p, (float *)j->out, (const float *)j->x, begin, end);
    else tg_avg_pool_backward_f64(j->p, (double *)j->out, (const double *)j->x, begin, end);
}

/* `elements` of a plane, of its input or of its result, whichever is larger. */
static int tg_pool_share(tg_pool_job *j, int64_t planes, int64_t elements, tg_range_function part) {
    enum { GRAIN = 1 << 13 };
    if (j->dtype != TG_F32 && j->dtype != TG_F64) return TG_NO_KERNEL;
    tg_parallel_for(planes, 1 + GRAIN / (elements ? elements : 1), part, j);
    return j->status;
}

static int64_t tg_plane_elements(const tg_windows *p) {
    const int64_t in = p->in[0] * p->in[1] * p->in[2], out = p->out[0] * p->out[1] * p->out[2];
    return in > out ? in : out;
}

static int tg_max_pool(const tg_windows *p, char *out, int64_t *indices, const char *x) {
    tg_pool_job job = {p, out, x, indices, 0, 0, p->dtype, !tg_has_empty_window(p), TG_OK};
    return tg_pool_share(&job, p->planes, tg_plane_elements(p), tg_max_pool_part);
}

static int tg_max_pool_backward(int dtype, int64_t planes, int64_t size, int64_t pooled, char *out, const char *grad,
                                const int64_t *indices) {
    tg_pool_job job = {NULL, out, grad, (int64_t *)indices, size, pooled, dtype, 0, TG_OK};
    return tg_pool_share(&job, planes, size > pooled ? size : pooled, tg_max_pool_backward_part);
}

static int tg_avg_pool(const tg_windows *p, char *out, const char *x) {
    tg_pool_job job = {p, out, x, NULL, 0, 0, p->dtype, 0, TG_OK};
    return tg_pool_share(&job, p->planes, tg_plane_elements(p), tg_avg_pool_part);
}

static int tg_avg_pool_backward(const tg_windows *p, char *out, const char *grad) {
    tg_pool_job job = {p, out, grad, NULL, 0, 0, p->dtype, 0, TG_OK};
    return tg_pool_share(&job, p->planes, tg_plane_elements(p), tg_avg_pool_backward_part);
}

#endif
