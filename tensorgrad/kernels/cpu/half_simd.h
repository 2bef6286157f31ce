/* The few loops that a compiler does not vectorise by itself: half precision, transposes and short
 * strides. Each has its instructions chosen when it runs, and a plain loop for other processors. */
#ifndef TG_HALF_SIMD_H
#define TG_HALF_SIMD_H

#include "array.h"
#include "simd_choice.h"

#if TG_HAS_SIMD_LEVELS
#include <immintrin.h>
#define TG_WITH_AVX2 __attribute__((TG_TARGET_AVX2))
static inline int tg_has_avx2(void) { return tg_simd_level >= TG_AVX2; } /* no AVX2 without F16C */
#endif

/* ---- half: the hardware rounds to nearest, ties to even, as tg_float_to_half does ---- */
#if TG_HAS_SIMD_LEVELS
TG_WITH_AVX2 static int64_t tg_halves_to_floats_avx2(float *out, const uint16_t *in, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + i))));
        _mm256_storeu_ps(out + i + 8, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + i + 8))));
    }
    return i;
}

TG_WITH_AVX2 static int64_t tg_floats_to_halves_avx2(uint16_t *out, const float *in, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 x = _mm256_loadu_ps(in + i), y = _mm256_loadu_ps(in + i + 8);
        /* A NaN keeps its payload in the instruction, and none in tg_float_to_half: those go there. */
        if (_mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q), _mm256_cmp_ps(y, y, _CMP_UNORD_Q)))) {
            for (int l = 0; l < 16; l++) out[i + l] = tg_float_to_half(in[i + l]);
            continue;
        }
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
        _mm_storeu_si128((__m128i *)(out + i + 8), _mm256_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
    }
    return i;
}
#endif

static void tg_halves_to_floats(void *restrict out_, const void *restrict in_, int64_t n) {
    float *out = (float *)out_;
    const uint16_t *in = (const uint16_t *)in_;
    int64_t i = 0;
#if TG_HAS_SIMD_LEVELS
    if (tg_has_avx2()) i = tg_halves_to_floats_avx2(out, in, n);
#endif
    for (; i < n; i++) out[i] = tg_half_to_float(in[i]);
}

static void tg_floats_to_halves(void *restrict out_, const void *restrict in_, int64_t n) {
    uint16_t *out = (uint16_t *)out_;
    const float *in = (const float *)in_;
    int64_t i = 0;
#if TG_HAS_SIMD_LEVELS
    if (tg_has_avx2()) i = tg_floats_to_halves_avx2(out, in, n);
#endif
    for (; i < n; i++) out[i] = tg_float_to_half(in[i]);
}

/* ---- strides of four-byte elements: every second one, and any other ---- */
TG_CLONES static void tg_load_strided4(uint32_t *restrict out, const uint32_t *restrict in, int64_t stride, int64_t n) {
    int64_t i = 0;
    if (stride == 2) {
        for (; i + 1 < n; i++) out[i] = in[2 * i]; /* the last pair may end outside */
        if (i < n) out[i] = in[2 * i];
        return;
    }
    for (; i + 4 <= n; i += 4, in += 4 * stride) {
        out[i] = in[0];
        out[i + 1] = in[stride];
        out[i + 2] = in[2 * stride];
        out[i + 3] = in[3 * stride];
    }
    for (; i < n; i++, in += stride) out[i] = in[0];
}

/* ---- transposes: out[j * out_row + i] = in[i * in_row + j] for rows n_j of n_i; strides in elements ---- */
#if TG_HAS_SIMD_LEVELS
TG_WITH_AVX2 static inline void tg_transpose_8x8(float *out, int64_t out_row, const float *in, int64_t in_row) {
    __m256 r0 = _mm256_loadu_ps(in), r1 = _mm256_loadu_ps(in + in_row), r2 = _mm256_loadu_ps(in + 2 * in_row);
    __m256 r3 = _mm256_loadu_ps(in + 3 * in_row), r4 = _mm256_loadu_ps(in + 4 * in_row);
    __m256 r5 = _mm256_loadu_ps(in + 5 * in_row), r6 = _mm256_loadu_ps(in + 6 * in_row), r7 = _mm256_loadu_ps(in + 7 * in_row);
    __m256 a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1), a2 = _mm256_unpacklo_ps(r2, r3);
    __m256 a3 = _mm256_unpackhi_ps(r2, r3), a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5);
    __m256 a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
    r0 = _mm256_shuffle_ps(a0, a2, 0x44), r1 = _mm256_shuffle_ps(a0, a2, 0xee);
    r2 = _mm256_shuffle_ps(a1, a3, 0x44), r3 = _mm256_shuffle_ps(a1, a3, 0xee);
    r4 = _mm256_shuffle_ps(a4, a6, 0x44), r5 = _mm256_shuffle_ps(a4, a6, 0xee);
    r6 = _mm256_shuffle_ps(a5, a7, 0x44), r7 = _mm256_shuffle_ps(a5, a7, 0xee);
    _mm256_storeu_ps(out, _mm256_permute2f128_ps(r0, r4, 0x20));
    _mm256_storeu_ps(out + out_row, _mm256_permute2f128_ps(r1, r5, 0x20));
    _mm256_storeu_ps(out + 2 * out_row, _mm256_permute2f128_ps(r2, r6, 0x20));
    _mm256_storeu_ps(out + 3 * out_row, _mm256_permute2f128_ps(r3, r7, 0x20));
    _mm256_storeu_ps(out + 4 * out_row, _mm256_permute2f128_ps(r0, r4, 0x31));
    _mm256_storeu_ps(out + 5 * out_row, _mm256_permute2f128_ps(r1, r5, 0x31));
    _mm256_storeu_ps(out + 6 * out_row, _mm256_permute2f128_ps(r2, r6, 0x31));
    _mm256_storeu_ps(out + 7 * out_row, _mm256_permute2f128_ps(r3, r7, 0x31));
}

/* Whole cache lines of `in`: sixteen columns at a time. */
TG_WITH_AVX2 static void tg_transpose4_avx2(float *out, int64_t out_row, const float *in, int64_t in_row, int64_t ni, int64_t nj) {
    for (int64_t j = 0; j + 16 <= nj; j += 16)
        for (int64_t i = 0; i + 8 <= ni; i += 8) {
            tg_transpose_8x8(out + j * out_row + i, out_row, in + i * in_row + j, in_row);
            tg_transpose_8x8(out + (j + 8) * out_row + i, out_row, in + i * in_row + j + 8, in_row);
        }
}
#endif

/* Transposes what whole blocks cover of four-byte elements, and says how much that is. */
static int tg_transpose4(char *out, int64_t out_row, const char *in, int64_t in_row, int64_t ni, int64_t nj,
                         int64_t *done_i, int64_t *done_j) {
#if TG_HAS_SIMD_LEVELS
    if (tg_has_avx2() && ni >= 8 && nj >= 16) {
        tg_transpose4_avx2((float *)out, out_row, (const float *)in, in_row, ni, nj);
        *done_i = ni / 8 * 8;
        *done_j = nj / 16 * 16;
        return 1;
    }
#endif
    (void)out, (void)out_row, (void)in, (void)in_row, (void)ni, (void)nj, (void)done_i, (void)done_j;
    return 0;
}

#endif
