/* The sums, differences and products of half and bfloat16 in one pass.
 *
 * Any kernel takes these dtypes through tiles of floats (pointwise.h), which costs three more passes
 * over the first-level cache. What is that cheap itself has loops here, found by the expression
 * that the kernel was made from; they give the same bits. */
#ifndef TG_HALF_LOOPS_H
#define TG_HALF_LOOPS_H

#include "kernel_table.h"
#include "half_simd.h"

#define TG_HALF_ADD(a, b) ((a) + (b))
#define TG_HALF_SUB(a, b) ((a) - (b))
#define TG_HALF_MUL(a, b) ((a) * (b))

#if TG_HAS_SIMD_LEVELS
#define TG_HALF_AVX2(NAME, VECTOR)                                                                 \
    TG_WITH_AVX2 static int64_t tg_half_avx2_##NAME(uint16_t *o, const uint16_t *a, const uint16_t *b, int64_t n) { \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= n; i += 8) {                                                               \
            __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(a + i)));                 \
            __m256 y = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(b + i)));                 \
            __m256 r = VECTOR(x, y);                                                               \
            __m128i h = _mm256_cvtps_ph(r, _MM_FROUND_TO_NEAREST_INT);                             \
            if (__builtin_expect(_mm256_movemask_ps(_mm256_cmp_ps(r, r, _CMP_UNORD_Q)), 0)) {      \
                _Alignas(32) float few[8];                                                         \
                _mm256_store_ps(few, r);                                                           \
                for (int l = 0; l < 8; l++) o[i + l] = tg_float_to_half(few[l]);                   \
                continue;                                                                          \
            }                                                                                      \
            _mm_storeu_si128((__m128i *)(o + i), h);                                               \
        }                                                                                          \
        return i;                                                                                  \
    }
TG_HALF_AVX2(add, _mm256_add_ps)
TG_HALF_AVX2(sub, _mm256_sub_ps)
TG_HALF_AVX2(mul, _mm256_mul_ps)
#define TG_HALF_START(NAME, o, a, b, n) (tg_has_avx2() ? tg_half_avx2_##NAME(o, a, b, n) : 0)
#else
#define TG_HALF_START(NAME, o, a, b, n) 0
#endif

/* A loop may write over an input of the same address. */
#define TG_HALF_LOOPS(NAME, OP)                                                                    \
    static void tg_half_##NAME(char **p, int64_t n) {                                              \
        uint16_t *o = (uint16_t *)p[0];                                                            \
        const uint16_t *a = (const uint16_t *)p[1], *b = (const uint16_t *)p[2];                   \
        for (int64_t i = TG_HALF_START(NAME, o, a, b, n); i < n; i++)                              \
            o[i] = tg_float_to_half(OP(tg_half_to_float(a[i]), tg_half_to_float(b[i])));           \
    }                                                                                              \
    TG_CLONES static void tg_bf16_##NAME(char **p, int64_t n) {                                    \
        uint16_t *o = (uint16_t *)p[0];                                                            \
        const uint16_t *a = (const uint16_t *)p[1], *b = (const uint16_t *)p[2];                   \
        _Pragma("GCC ivdep")                                                                       \
        for (int64_t i = 0; i < n; i++)                                                            \
            o[i] = tg_float_to_bf16(OP(tg_bf16_to_float(a[i]), tg_bf16_to_float(b[i])));           \
    }
TG_HALF_LOOPS(add, TG_HALF_ADD)
TG_HALF_LOOPS(sub, TG_HALF_SUB)
TG_HALF_LOOPS(mul, TG_HALF_MUL)

/* The loop of a kernel on operands that are all of `dtype`; NULL if it has none. */
static tg_loop tg_half_loop(const tg_kernel *k, int dtype) {
    if (k->n_inputs != 2 || k->bool_output || k->bool_first) return NULL;
    const char *e = k->expr;
    if (e[0] != 'x' || e[1] != ' ' || e[3] != ' ' || e[4] != 'y' || e[5] != 0) return NULL;
    switch (e[2]) {
    case '+': return dtype == TG_F16 ? tg_half_add : tg_bf16_add;
    case '-': return dtype == TG_F16 ? tg_half_sub : tg_bf16_sub;
    case '*': return dtype == TG_F16 ? tg_half_mul : tg_bf16_mul;
    default: return NULL;
    }
}

#endif
