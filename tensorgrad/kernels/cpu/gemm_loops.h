/* The plain matrix product of every dtype, for small matrices and for where there is no BLAS. */
#ifndef TG_GEMM_LOOPS_H
#define TG_GEMM_LOOPS_H

#include "array.h"

/* One matrix of a product: element (i, j) is at i * rs + j * cs. */
typedef struct {
    char *data;
    int64_t rows, cols, rs, cs;
} tg_matrix;

/* COUNT elements of a row of a panel's result, held in registers where their number is known to the compiler. */
#define TG_GEMM_ROW(T, WIDTH, COUNT, ADD, MUL) {                                                   \
        T acc[WIDTH] = {0};                                                                        \
        for (int64_t p = 0; p < kc; p++) {                                                         \
            const T x = row[p * a->cs];                                                            \
            for (int64_t j = 0; j < (COUNT); j++) acc[j] = ADD(acc[j], MUL(x, panel[p * ldb + at + j])); \
        }                                                                                          \
        if (more) for (int64_t j = 0; j < (COUNT); j++) out[(at + j) * c->cs] = ADD(out[(at + j) * c->cs], acc[j]); \
        else for (int64_t j = 0; j < (COUNT); j++) out[(at + j) * c->cs] = acc[j];                 \
        at += COUNT;                                                                               \
    }

/* c = a @ b, or c += a @ b. b is cut into KC x NC panels that stay in the cache; a panel whose
 * rows are contiguous is read where it is, any other is packed. */
#define TG_GEMM_LOOP(CLONES, NAME, T, NC, ADD, MUL)                                                \
    CLONES static void tg_gemm_##NAME(const tg_matrix *c, const tg_matrix *a, const tg_matrix *b, int accumulate) { \
        enum { KC = 128 };                                                                         \
        T packed[KC * NC];                                                                         \
        const T *restrict pa = (const T *)a->data;                                                 \
        const T *restrict pb = (const T *)b->data;                                                 \
        T *restrict pc = (T *)c->data;                                                             \
        int64_t m = c->rows, n = c->cols, k = a->cols;                                             \
        for (int64_t j0 = 0; j0 < n; j0 += NC) {                                                   \
            int64_t nc = n - j0 < NC ? n - j0 : NC;                                                \
            for (int64_t p0 = 0; p0 < k || p0 == 0; p0 += KC) {                                    \
                int64_t kc = k - p0 < KC ? k - p0 : KC, ldb = b->rs;                               \
                const T *restrict panel = pb + p0 * b->rs + j0 * b->cs;                            \
                if (b->cs != 1) {                                                                  \
                    for (int64_t p = 0; p < kc; p++)                                               \
                        for (int64_t j = 0; j < nc; j++) packed[p * nc + j] = panel[p * b->rs + j * b->cs]; \
                    panel = packed;                                                                \
                    ldb = nc;                                                                      \
                }                                                                                  \
                const int more = accumulate || p0 > 0;                                             \
                for (int64_t i = 0; i < m; i++) {                                                  \
                    const T *restrict row = pa + i * a->rs + p0 * a->cs;                           \
                    T *restrict out = pc + i * c->rs + j0 * c->cs;                                 \
                    int64_t at = 0;                                                                \
                    if (nc == NC) TG_GEMM_ROW(T, NC, NC, ADD, MUL)                                 \
                    while (nc - at >= 16) TG_GEMM_ROW(T, 16, 16, ADD, MUL)                         \
                    if (nc - at >= 8) TG_GEMM_ROW(T, 8, 8, ADD, MUL)                               \
                    if (nc - at > 0) TG_GEMM_ROW(T, 8, nc - at, ADD, MUL)                          \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#define TG_GEMM_ADD(a, b) ((a) + (b))
#define TG_GEMM_MUL(a, b) ((a) * (b))
/* Two 16-bit factors would be multiplied as int, and overflow it. */
#define TG_GEMM_MUL16(a, b) (uint16_t)((uint32_t)(a) * (b))
#define TG_GEMM_OR(a, b) ((a) | (b))
#define TG_GEMM_AND(a, b) ((a) & (b))
/* Without C's rescue of infinities, which BLAS does not attempt either. */
static inline tg_c64 tg_mul_c64(tg_c64 a, tg_c64 b) {
    union { float part[2]; tg_c64 z; } r = {{
        crealf(a) * crealf(b) - cimagf(a) * cimagf(b), crealf(a) * cimagf(b) + cimagf(a) * crealf(b)}};
    return r.z;
}

static inline tg_c128 tg_mul_c128(tg_c128 a, tg_c128 b) {
    union { double part[2]; tg_c128 z; } r = {{
        creal(a) * creal(b) - cimag(a) * cimag(b), creal(a) * cimag(b) + cimag(a) * creal(b)}};
    return r.z;
}

/* Signed integers wrap as unsigned ones do, without being undefined. */
TG_GEMM_LOOP(, bool, uint8_t, 64, TG_GEMM_OR, TG_GEMM_AND)
TG_GEMM_LOOP(, x8, uint8_t, 64, TG_GEMM_ADD, TG_GEMM_MUL)
TG_GEMM_LOOP(, x16, uint16_t, 64, TG_GEMM_ADD, TG_GEMM_MUL16)
TG_GEMM_LOOP(TG_CLONES, x32, uint32_t, 64, TG_GEMM_ADD, TG_GEMM_MUL)
TG_GEMM_LOOP(TG_CLONES, x64, uint64_t, 32, TG_GEMM_ADD, TG_GEMM_MUL)
TG_GEMM_LOOP(TG_CLONES, f32, float, 64, TG_GEMM_ADD, TG_GEMM_MUL)
TG_GEMM_LOOP(TG_CLONES, f64, double, 32, TG_GEMM_ADD, TG_GEMM_MUL)
TG_GEMM_LOOP(, c64, tg_c64, 16, TG_GEMM_ADD, tg_mul_c64)
TG_GEMM_LOOP(, c128, tg_c128, 16, TG_GEMM_ADD, tg_mul_c128)

static void tg_gemm_plain(int dtype, const tg_matrix *c, const tg_matrix *a, const tg_matrix *b, int accumulate) {
    switch (dtype) {
    case TG_BOOL: tg_gemm_bool(c, a, b, accumulate); break;
    case TG_U8: case TG_I8: tg_gemm_x8(c, a, b, accumulate); break;
    case TG_I16: case TG_U16: tg_gemm_x16(c, a, b, accumulate); break;
    case TG_I32: case TG_U32: tg_gemm_x32(c, a, b, accumulate); break;
    case TG_I64: case TG_U64: tg_gemm_x64(c, a, b, accumulate); break;
    case TG_F32: tg_gemm_f32(c, a, b, accumulate); break;
    case TG_F64: tg_gemm_f64(c, a, b, accumulate); break;
    case TG_C64: tg_gemm_c64(c, a, b, accumulate); break;
    case TG_C128: tg_gemm_c128(c, a, b, accumulate); break;
    default: break; /* half and bfloat16 arrive as float */
    }
}

#endif
