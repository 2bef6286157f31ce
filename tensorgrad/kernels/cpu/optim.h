/* Steps of optimisers: everything that one element's update needs is read once and written once.
 *
 * A step is a function over a range of elements, so that threads can share an array:
 *
 *     step(p, begin, end, options)      p = {parameter, gradient, state...}
 *
 * and is compiled for float and double. Complex arrays are their real and imaginary parts; half
 * and bfloat16 pass through tiles of floats. No element depends on another, and arrays either
 * coincide or are disjoint: the caller has seen to it.
 */
#ifndef TG_OPTIM_H
#define TG_OPTIM_H

#include <math.h>

#include "array.h"
#include "thread_pool.h"

enum { TG_STEP_ARRAYS = 5, TG_STEP_TILE = 256 };

typedef struct {
    double lr, momentum, dampening, weight_decay;
    int32_t maximize, nesterov, first; /* first: the buffer holds nothing yet and becomes the gradient */
} tg_sgd_options;

typedef struct {
    double lr, beta1, beta2, weight_decay, eps;
    double correction1, correction2; /* 1 - beta1^step, 1 - beta2^step */
    int32_t maximize, amsgrad, decoupled;
} tg_adam_options;

typedef struct {
    double rate, weight_decay, eps; /* rate: the learning rate after its decay */
    int32_t maximize;
} tg_adagrad_options;

typedef void (*tg_step)(char *const *p, int64_t begin, int64_t end, const void *options);

/* The gradient as the formulas use it; DECAY is constant in each loop, for 0 * inf is not 0. */
#define TG_GRADIENT(DECAY) ((DECAY) ? sign * g[i] + decay * w[i] : sign * g[i])
#define TG_EACH _Pragma("GCC ivdep") for (int64_t i = begin; i < end; i++)

#define TG_SGD_PLAIN(DECAY) TG_EACH w[i] -= lr * TG_GRADIENT(DECAY);
#define TG_SGD_MOMENTUM(DECAY, BUFFER, STEP)                                                            \
    TG_EACH { const T x = TG_GRADIENT(DECAY); const T b = (BUFFER); m[i] = b; w[i] -= lr * (STEP); }
#define TG_SGD_BUFFERED(DECAY)                                                                          \
    if (o->first && o->nesterov) { TG_SGD_MOMENTUM(DECAY, x, x + momentum * b) }                        \
    else if (o->first) { TG_SGD_MOMENTUM(DECAY, x, b) }                                                 \
    else if (o->nesterov) { TG_SGD_MOMENTUM(DECAY, momentum * m[i] + fresh * x, x + momentum * b) }     \
    else { TG_SGD_MOMENTUM(DECAY, momentum * m[i] + fresh * x, b) }

#define TG_DEFINE_SGD(T_, SUFFIX)                                                                       \
    TG_CLONES static void tg_sgd_##SUFFIX(char *const *p, int64_t begin, int64_t end, const void *options) { \
        typedef T_ T;                                                                                   \
        const tg_sgd_options *o = (const tg_sgd_options *)options;                                      \
        T *w = (T *)p[0]; const T *g = (const T *)p[1]; T *m = (T *)p[2];                               \
        const T lr = (T)o->lr, momentum = (T)o->momentum, fresh = (T)(1 - o->dampening);                \
        const T decay = (T)o->weight_decay, sign = o->maximize ? (T)-1 : (T)1;                          \
        if (o->momentum == 0) {                                                                         \
            if (o->weight_decay != 0) { TG_SGD_PLAIN(1) } else { TG_SGD_PLAIN(0) }                      \
        } else if (o->weight_decay != 0) { TG_SGD_BUFFERED(1) } else { TG_SGD_BUFFERED(0) }             \
    }

#define TG_ADAM_LOOP(DECAY, AMSGRAD, SQRT)                                                              \
    TG_EACH {                                                                                           \
        w[i] *= shrink;                                                                                 \
        const T x = TG_GRADIENT(DECAY);                                                                 \
        const T a = near_old ? m[i] + fresh1 * (x - m[i]) : x - beta1 * (x - m[i]);                     \
        const T b = beta2 * v[i] + fresh2 * x * x;                                                      \
        m[i] = a; v[i] = b;                                                                             \
        T top = b;                                                                                      \
        if (AMSGRAD) { top = top > h[i] || top != top ? top : h[i]; h[i] = top; }                       \
        w[i] -= rate * a / (SQRT(top) * scale + eps);                                                   \
    }

#define TG_DEFINE_ADAM(T_, SUFFIX, SQRT)                                                                \
    TG_CLONES static void tg_adam_##SUFFIX(char *const *p, int64_t begin, int64_t end, const void *options) { \
        typedef T_ T;                                                                                   \
        const tg_adam_options *o = (const tg_adam_options *)options;                                    \
        T *w = (T *)p[0]; const T *g = (const T *)p[1];                                                 \
        T *m = (T *)p[2], *v = (T *)p[3], *h = (T *)p[4];                                               \
        const T beta1 = (T)o->beta1, fresh1 = (T)(1 - o->beta1), beta2 = (T)o->beta2, fresh2 = (T)(1 - o->beta2); \
        const T rate = (T)(o->lr / o->correction1), scale = (T)(1 / sqrt(o->correction2)), eps = (T)o->eps; \
        const T decay = (T)o->weight_decay, sign = o->maximize ? (T)-1 : (T)1;                          \
        const T shrink = o->decoupled ? (T)(1 - o->lr * o->weight_decay) : (T)1;                        \
        const int near_old = 1 - o->beta1 < 0.5; /* lerp counts from the nearer end */                  \
        if (o->weight_decay != 0 && !o->decoupled) {                                                    \
            if (o->amsgrad) { TG_ADAM_LOOP(1, 1, SQRT) } else { TG_ADAM_LOOP(1, 0, SQRT) }              \
        } else if (o->amsgrad) { TG_ADAM_LOOP(0, 1, SQRT) } else { TG_ADAM_LOOP(0, 0, SQRT) }           \
    }

#define TG_ADAGRAD_LOOP(DECAY, SQRT)                                                                    \
    TG_EACH {                                                                                           \
        const T x = TG_GRADIENT(DECAY), s = m[i] + x * x;                                               \
        m[i] = s;                                                                                       \
        w[i] -= rate * x / (SQRT(s) + eps);                                                             \
    }

#define TG_DEFINE_ADAGRAD(T_, SUFFIX, SQRT)                                                             \
    TG_CLONES static void tg_adagrad_##SUFFIX(char *const *p, int64_t begin, int64_t end, const void *options) { \
        typedef T_ T;                                                                                   \
        const tg_adagrad_options *o = (const tg_adagrad_options *)options;                              \
        T *w = (T *)p[0]; const T *g = (const T *)p[1]; T *m = (T *)p[2];                               \
        const T rate = (T)o->rate, decay = (T)o->weight_decay, eps = (T)o->eps;                         \
        const T sign = o->maximize ? (T)-1 : (T)1;                                                      \
        if (o->weight_decay != 0) { TG_ADAGRAD_LOOP(1, SQRT) } else { TG_ADAGRAD_LOOP(0, SQRT) }        \
    }

/* Gradients that were scaled against underflow, back to their size: options is the scale. */
#define TG_DEFINE_UNSCALE(T_, SUFFIX)                                                                   \
    TG_CLONES static void tg_unscale_##SUFFIX(char *const *p, int64_t begin, int64_t end, const void *options) { \
        T_ *g = (T_ *)p[0];                                                                             \
        const T_ scale = (T_)*(const double *)options;                                                  \
        TG_EACH g[i] /= scale;                                                                          \
    }

TG_DEFINE_SGD(float, f32)
TG_DEFINE_SGD(double, f64)
TG_DEFINE_ADAM(float, f32, sqrtf)
TG_DEFINE_ADAM(double, f64, sqrt)
TG_DEFINE_ADAGRAD(float, f32, sqrtf)
TG_DEFINE_ADAGRAD(double, f64, sqrt)
TG_DEFINE_UNSCALE(float, f32)
TG_DEFINE_UNSCALE(double, f64)

typedef struct { tg_step f32, f64; int32_t arrays, read_only; } tg_step_kernel; /* read_only: an index, or -1 */

static const tg_step_kernel tg_step_sgd = {tg_sgd_f32, tg_sgd_f64, 2, 1};
static const tg_step_kernel tg_step_sgd_momentum = {tg_sgd_f32, tg_sgd_f64, 3, 1};
static const tg_step_kernel tg_step_adam = {tg_adam_f32, tg_adam_f64, 4, 1};
static const tg_step_kernel tg_step_amsgrad = {tg_adam_f32, tg_adam_f64, 5, 1};
static const tg_step_kernel tg_step_adagrad = {tg_adagrad_f32, tg_adagrad_f64, 3, 1};
static const tg_step_kernel tg_step_unscale = {tg_unscale_f32, tg_unscale_f64, 1, -1};

static void tg_step_tiled(const tg_step_kernel *k, int32_t dtype, char *const *p, int64_t begin, int64_t end,
                          const void *options) {
    float tile[TG_STEP_ARRAYS][TG_STEP_TILE];
    char *q[TG_STEP_ARRAYS] = {NULL};
    for (int32_t a = 0; a < k->arrays; a++) q[a] = (char *)tile[a];
    for (int64_t at = begin; at < end; at += TG_STEP_TILE) {
        int64_t n = end - at < TG_STEP_TILE ? end - at : TG_STEP_TILE;
        for (int32_t a = 0; a < k->arrays; a++) {
            const uint16_t *x = (const uint16_t *)p[a] + at;
            if (dtype == TG_F16) for (int64_t i = 0; i < n; i++) tile[a][i] = tg_half_to_float(x[i]);
            else for (int64_t i = 0; i < n; i++) tile[a][i] = tg_bf16_to_float(x[i]);
        }
        k->f32(q, 0, n, options);
        for (int32_t a = 0; a < k->arrays; a++) {
            uint16_t *x = (uint16_t *)p[a] + at;
            if (a == k->read_only) continue;
            if (dtype == TG_F16) for (int64_t i = 0; i < n; i++) x[i] = tg_float_to_half(tile[a][i]);
            else for (int64_t i = 0; i < n; i++) x[i] = tg_float_to_bf16(tile[a][i]);
        }
    }
}

/* Elements begin to end of arrays of any floating point or complex dtype. */
static int tg_step_run(const tg_step_kernel *k, int32_t dtype, char *const *p, int64_t begin, int64_t end,
                       const void *options) {
    switch (dtype) {
    case TG_F32: k->f32(p, begin, end, options); return TG_OK;
    case TG_F64: k->f64(p, begin, end, options); return TG_OK;
    case TG_C64: k->f32(p, 2 * begin, 2 * end, options); return TG_OK;
    case TG_C128: k->f64(p, 2 * begin, 2 * end, options); return TG_OK;
    case TG_F16: case TG_BF16: tg_step_tiled(k, dtype, p, begin, end, options); return TG_OK;
    default: return TG_NO_KERNEL;
    }
}

typedef struct {
    const tg_step_kernel *k;
    char *const *p;
    const void *options;
    int64_t n;
    int32_t dtype;
} tg_step_job;

static void tg_step_part(void *context, int64_t begin, int64_t end) {
    const tg_step_job *j = (const tg_step_job *)context;
    tg_step_run(j->k, j->dtype, j->p, begin * TG_STEP_TILE, end * TG_STEP_TILE < j->n ? end * TG_STEP_TILE : j->n, j->options);
}

/* All elements, shared between threads by whole tiles. */
static int tg_step_share(const tg_step_kernel *k, int32_t dtype, char *const *p, int64_t n, const void *options) {
    enum { GRAIN = 1 << 14 };
    tg_step_job job = {k, p, options, n, dtype};
    if (dtype != TG_F32 && dtype != TG_F64 && dtype != TG_C64 && dtype != TG_C128 && dtype != TG_F16 && dtype != TG_BF16)
        return TG_NO_KERNEL;
    tg_parallel_for((n + TG_STEP_TILE - 1) / TG_STEP_TILE, GRAIN / TG_STEP_TILE, tg_step_part, &job);
    return TG_OK;
}

#endif
