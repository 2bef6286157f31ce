/* Variances of rows, and the k first of a lane in order: one pass (or two) over memory that lies as it should. */
#ifndef TG_STATISTICS_H
#define TG_STATISTICS_H

#include <math.h>
#include <stdint.h>

/* Two passes, in double: the mean, then the squares of the distances from it. Eight sums, so that they are vectorised. */
#define TG_VARIANCE(T, S)                                                                               \
    static void tg_variance_##S(T *out, const T *x, int64_t rows, int64_t n, double degrees, int root) { \
        for (int64_t r = 0; r < rows; r++, x += n) {                                                    \
            double part[8] = {0}, sum = 0, mean, d;                                                     \
            int64_t i = 0;                                                                              \
            for (; i + 8 <= n; i += 8)                                                                  \
                for (int j = 0; j < 8; j++) part[j] += x[i + j];                                        \
            for (; i < n; i++) part[0] += x[i];                                                         \
            for (int j = 0; j < 8; j++) { sum += part[j]; part[j] = 0; }                                \
            mean = sum / (double)n;                                                                     \
            for (i = 0; i + 8 <= n; i += 8)                                                             \
                for (int j = 0; j < 8; j++) { d = x[i + j] - mean; part[j] += d * d; }                  \
            for (; i < n; i++) { d = x[i] - mean; part[0] += d * d; }                                   \
            for (sum = 0, i = 0; i < 8; i++) sum += part[i];                                            \
            out[r] = (T)(root ? sqrt(sum / degrees) : sum / degrees);                                   \
        }                                                                                               \
    }
TG_VARIANCE(float, f32)
TG_VARIANCE(double, f64)

/* The k first by insertion into a list in order; nan counts as the largest, and of equal ones the first comes first. */
#define TG_BEFORE(a, b) (largest ? ((a) > (b)) | (((a) != (a)) & ((b) == (b))) : ((a) < (b)) | (((b) != (b)) & ((a) == (a))))
#define TG_TOPK(T, S)                                                                                   \
    static void tg_topk_##S(T *v, int64_t *at, const T *x, int64_t step, int64_t n, int64_t k, int largest) { \
        int64_t m = 0;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                               \
            const T e = x[i * step];                                                                    \
            if (m == k && (k == 0 || !TG_BEFORE(e, v[(k - 1) * step]))) continue;                       \
            int64_t j = m < k ? m++ : k - 1;                                                            \
            for (; j > 0 && TG_BEFORE(e, v[(j - 1) * step]); j--) {                                     \
                v[j * step] = v[(j - 1) * step];                                                        \
                at[j * step] = at[(j - 1) * step];                                                      \
            }                                                                                           \
            v[j * step] = e;                                                                            \
            at[j * step] = i;                                                                           \
        }                                                                                               \
    }
TG_TOPK(float, f32)
TG_TOPK(double, f64)
TG_TOPK(int64_t, i64)
TG_TOPK(int32_t, i32)

#endif
