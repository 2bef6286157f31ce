/* Sums and extrema of contiguous float and double, and where an extremum stands, in vectors of each instruction set's length.
 *
 * A sum has the same 4 * 64 bytes of lanes at every level, folded in the same order: its bits depend on the length alone.
 */
#ifndef TG_REDUCE_VECTORS_H
#define TG_REDUCE_VECTORS_H

#include "simd_choice.h"
#if TG_HAS_SIMD_LEVELS
#include <immintrin.h>
#endif

enum { TG_BYTES_plain = 16, TG_BYTES_avx2 = 32, TG_BYTES_avx512 = 64 }; /* of a vector */
typedef int32_t tg_int_of_sum_f32;
typedef int64_t tg_int_of_sum_f64;

/* n is up to TG_REDUCE_BLOCK, or a multiple of it: the sums of blocks are then added lane by lane before they are folded.
 * -0 is what can be added without any effect. */
#define TG_SUM_AT(LEVEL, ATTRIBUTES, NAME, T)                                                      \
    __attribute__((ATTRIBUTES)) static void tg_vblock_##NAME##_##LEVEL(void *restrict result, const void *restrict data, int64_t n) { \
        enum { L = 64 / sizeof(T), M = TG_BYTES_##LEVEL / sizeof(T), S = L / M };                  \
        typedef T vec __attribute__((vector_size(TG_BYTES_##LEVEL)));                              \
        typedef T loose __attribute__((vector_size(TG_BYTES_##LEVEL), aligned(sizeof(T)), may_alias)); \
        typedef tg_int_of_##NAME bits __attribute__((vector_size(TG_BYTES_##LEVEL)));              \
        const T *p = (const T *)data;                                                              \
        if (n < 2 * L) {                                                                           \
            tg_block_##NAME(result, data, n);                                                      \
            return;                                                                                \
        }                                                                                          \
        const vec none = -(vec){0};                                                                \
        vec total[S];                                                                              \
        for (int s = 0; s < S; s++) total[s] = none;                                               \
        for (int64_t i = 0; i < n;) {                                                              \
            const int64_t end = n - i < 2 * TG_REDUCE_BLOCK ? n : i + TG_REDUCE_BLOCK;             \
            vec a[S], b[S], c[S], d[S];                                                            \
            for (int s = 0; s < S; s++) a[s] = b[s] = c[s] = d[s] = none;                          \
            for (; i + 4 * L <= end; i += 4 * L)                                                   \
                for (int s = 0; s < S; s++) {                                                      \
                    a[s] += *(const loose *)(p + i + s * M);                                       \
                    b[s] += *(const loose *)(p + i + L + s * M);                                   \
                    c[s] += *(const loose *)(p + i + 2 * L + s * M);                               \
                    d[s] += *(const loose *)(p + i + 3 * L + s * M);                               \
                }                                                                                  \
            if (i + 2 * L <= end) {                                                                \
                for (int s = 0; s < S; s++) {                                                      \
                    a[s] += *(const loose *)(p + i + s * M);                                       \
                    b[s] += *(const loose *)(p + i + L + s * M);                                   \
                }                                                                                  \
                i += 2 * L;                                                                        \
            }                                                                                      \
            if (i + L <= end) {                                                                    \
                for (int s = 0; s < S; s++) c[s] += *(const loose *)(p + i + s * M);               \
                i += L;                                                                            \
            }                                                                                      \
            if (i < end) { /* the last 64 bytes, without what was added already */                 \
                for (int s = 0; s < S; s++) {                                                      \
                    bits lane;                                                                     \
                    for (int l = 0; l < M; l++) lane[l] = l + s * M;                               \
                    const bits fresh = lane >= (bits){0} + (tg_int_of_##NAME)(L - (end - i));      \
                    const vec last = *(const loose *)(p + end - L + s * M);                        \
                    d[s] += (vec)(((bits)last & fresh) | ((bits)none & ~fresh));                   \
                }                                                                                  \
                i = end;                                                                           \
            }                                                                                      \
            for (int s = 0; s < S; s++) total[s] += (a[s] + c[s]) + (b[s] + d[s]);                 \
        }                                                                                          \
        for (int w = S / 2; w > 0; w /= 2)                                                         \
            for (int s = 0; s < w; s++) total[s] += total[s + w];                                  \
        T lane[M];                                                                                 \
        memcpy(lane, total, sizeof lane);                                                          \
        for (int w = M / 2; w > 0; w /= 2)                                                         \
            for (int l = 0; l < w; l++) lane[l] += lane[l + w];                                    \
        *(T *)result = lane[0];                                                                    \
    }
TG_FOR_LEVELS(TG_SUM_AT, sum_f32, float)
TG_FOR_LEVELS(TG_SUM_AT, sum_f64, double)

#if TG_HAS_SIMD_LEVELS
/* The instructions, whose result is the second operand where one is NaN; and which elements at p are equal to those of x. */
#define tg_max_f32_plain(v, a) _mm_max_ps(v, a)
#define tg_min_f32_plain(v, a) _mm_min_ps(v, a)
#define tg_equal_f32_plain(v, x) (uint32_t)_mm_movemask_ps(_mm_cmpeq_ps(v, x))
#define tg_max_f64_plain(v, a) _mm_max_pd(v, a)
#define tg_min_f64_plain(v, a) _mm_min_pd(v, a)
#define tg_equal_f64_plain(v, x) (uint32_t)_mm_movemask_pd(_mm_cmpeq_pd(v, x))
#define tg_max_f32_avx2(v, a) _mm256_max_ps(v, a)
#define tg_min_f32_avx2(v, a) _mm256_min_ps(v, a)
#define tg_equal_f32_avx2(v, x) (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v, x, _CMP_EQ_OQ))
#define tg_max_f64_avx2(v, a) _mm256_max_pd(v, a)
#define tg_min_f64_avx2(v, a) _mm256_min_pd(v, a)
#define tg_equal_f64_avx2(v, x) (uint32_t)_mm256_movemask_pd(_mm256_cmp_pd(v, x, _CMP_EQ_OQ))
#define tg_max_f32_avx512(v, a) _mm512_max_ps(v, a)
#define tg_min_f32_avx512(v, a) _mm512_min_ps(v, a)
#define tg_equal_f32_avx512(v, x) (uint32_t)_mm512_cmpeq_ps_mask(v, x)
#define tg_max_f64_avx512(v, a) _mm512_max_pd(v, a)
#define tg_min_f64_avx512(v, a) _mm512_min_pd(v, a)
#define tg_equal_f64_avx512(v, x) (uint32_t)_mm512_cmpeq_pd_mask(v, x)

/* Products with zero tell NaNs and infinities: where there are some, the loop that minds them begins anew. */
#define TG_EXTREMUM_AT(LEVEL, ATTRIBUTES, OP, S, T)                                                \
    __attribute__((ATTRIBUTES)) static void tg_vblock_##OP##_##S##_##LEVEL(void *restrict result, const void *restrict data, int64_t n) { \
        enum { M = TG_BYTES_##LEVEL / sizeof(T) };                                                 \
        typedef T vec __attribute__((vector_size(TG_BYTES_##LEVEL)));                              \
        typedef T loose __attribute__((vector_size(TG_BYTES_##LEVEL), aligned(sizeof(T)), may_alias)); \
        const T *p = (const T *)data;                                                              \
        if (n < 4 * M) {                                                                           \
            tg_block_##OP##_##S(result, data, n);                                                  \
            return;                                                                                \
        }                                                                                          \
        const vec zero = {0};                                                                      \
        vec a = *(const loose *)p, b = *(const loose *)(p + M), c = *(const loose *)(p + 2 * M), d = *(const loose *)(p + 3 * M); \
        vec x = a * zero, y = b * zero, z = c * zero, w = d * zero;                                \
        int64_t i = 4 * M;                                                                         \
        for (; i + 4 * M <= n; i += 4 * M) {                                                       \
            const vec e = *(const loose *)(p + i), f = *(const loose *)(p + i + M);                \
            const vec g = *(const loose *)(p + i + 2 * M), h = *(const loose *)(p + i + 3 * M);    \
            a = tg_##OP##_##S##_##LEVEL(e, a);                                                     \
            b = tg_##OP##_##S##_##LEVEL(f, b);                                                     \
            c = tg_##OP##_##S##_##LEVEL(g, c);                                                     \
            d = tg_##OP##_##S##_##LEVEL(h, d);                                                     \
            x += e * zero;                                                                         \
            y += f * zero;                                                                         \
            z += g * zero;                                                                         \
            w += h * zero;                                                                         \
        }                                                                                          \
        for (; i < n; i += M) { /* the last elements may be looked at twice */                     \
            const vec e = *(const loose *)(p + (i + M <= n ? i : n - M));                          \
            a = tg_##OP##_##S##_##LEVEL(e, a);                                                     \
            x += e * zero;                                                                         \
        }                                                                                          \
        x = (x + y) + (z + w);                                                                     \
        a = tg_##OP##_##S##_##LEVEL(a, b);                                                         \
        c = tg_##OP##_##S##_##LEVEL(c, d);                                                         \
        a = tg_##OP##_##S##_##LEVEL(a, c);                                                         \
        T lane[M], strange[M];                                                                     \
        memcpy(lane, &a, sizeof lane);                                                             \
        memcpy(strange, &x, sizeof strange);                                                       \
        for (int half = M / 2; half > 0; half /= 2)                                                \
            for (int l = 0; l < half; l++) {                                                       \
                lane[l] = TG_BETTER_##OP(lane[l + half], lane[l]) ? lane[l + half] : lane[l];      \
                strange[l] += strange[l + half];                                                   \
            }                                                                                      \
        *(T *)result = lane[0];                                                                    \
        if (strange[0] != 0) tg_block_##OP##_##S(result, data, n);                                 \
    }
#define TG_BETTER_max(x, y) ((x) > (y))
#define TG_BETTER_min(x, y) ((x) < (y))

#define TG_FIND_AT(LEVEL, ATTRIBUTES, S, T)                                                        \
    __attribute__((ATTRIBUTES)) static int64_t tg_vfind_##S##_##LEVEL(const void *data, const void *value_, int64_t n) { \
        enum { M = TG_BYTES_##LEVEL / sizeof(T) };                                                 \
        typedef T vec __attribute__((vector_size(TG_BYTES_##LEVEL)));                              \
        typedef T loose __attribute__((vector_size(TG_BYTES_##LEVEL), aligned(sizeof(T)), may_alias)); \
        const T *p = (const T *)data, value = *(const T *)value_;                                  \
        int64_t i = 0;                                                                             \
        if (value != value) return tg_find_max_##S(data, value_, n);                               \
        const vec x = (vec){0} + value;                                                            \
        for (; i + 4 * M <= n; i += 4 * M) {                                                       \
            const uint64_t a = tg_equal_##S##_##LEVEL(*(const loose *)(p + i), x);                 \
            const uint64_t b = tg_equal_##S##_##LEVEL(*(const loose *)(p + i + M), x);             \
            const uint64_t c = tg_equal_##S##_##LEVEL(*(const loose *)(p + i + 2 * M), x);         \
            const uint64_t d = tg_equal_##S##_##LEVEL(*(const loose *)(p + i + 3 * M), x);         \
            const uint64_t hits = a | b << M | c << 2 * M | d << 3 * M;                            \
            if (hits) return i + __builtin_ctzll(hits);                                            \
        }                                                                                          \
        while (i < n - 1 && p[i] != value) i++;                                                    \
        return i;                                                                                  \
    }
TG_FOR_LEVELS(TG_EXTREMUM_AT, max, f32, float)
TG_FOR_LEVELS(TG_EXTREMUM_AT, max, f64, double)
TG_FOR_LEVELS(TG_EXTREMUM_AT, min, f32, float)
TG_FOR_LEVELS(TG_EXTREMUM_AT, min, f64, double)
TG_FOR_LEVELS(TG_FIND_AT, f32, float)
TG_FOR_LEVELS(TG_FIND_AT, f64, double)
#else
#define tg_vblock_max_f32_plain tg_block_max_f32
#define tg_vblock_max_f64_plain tg_block_max_f64
#define tg_vblock_min_f32_plain tg_block_min_f32
#define tg_vblock_min_f64_plain tg_block_min_f64
#define tg_vfind_f32_plain tg_find_max_f32
#define tg_vfind_f64_plain tg_find_max_f64
#endif

#endif
