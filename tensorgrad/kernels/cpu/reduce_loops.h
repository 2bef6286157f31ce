/* The inner loops of reductions and scans, one set a compute type, and the table of them. */
#ifndef TG_REDUCE_LOOPS_H
#define TG_REDUCE_LOOPS_H

#include "array.h"

typedef enum { TG_SUM, TG_PROD, TG_MAX, TG_MIN, TG_ANY, TG_ALL } tg_reduce_op;

/* How many elements are added before the partial sums are combined pairwise. */
#define TG_REDUCE_BLOCK 2048

#define TG_OP_SUM(a, b) ((a) + (b))
#define TG_OP_PROD(a, b) ((a) * (b))
#define TG_OP_MAX(a, b) ((b) > (a) ? (b) : (a))
#define TG_OP_MIN(a, b) ((b) < (a) ? (b) : (a))
/* These keep a NaN they have met and take one they meet. */
#define TG_OP_FMAX(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))
#define TG_OP_FMIN(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))

/* block: one value from n >= 1 elements, in independent lanes that are then folded pairwise.
 * rows:  acc[j] = op(acc[j], row[j]).
 * scan:  running values in place, starting from and leaving behind *carry. */
#define TG_REDUCE_LOOPS(CLONES, NAME, T, LANES, OP)                                                \
    CLONES static void tg_block_##NAME(void *restrict result, const void *restrict data, int64_t n) { \
        const T *restrict p = (const T *)data;                                                     \
        if (n < LANES) { /* four lanes keep short sums as exact as long ones */                    \
            T few[4];                                                                              \
            int lanes = n < 4 ? (int)n : 4;                                                        \
            for (int l = 0; l < lanes; l++) few[l] = p[l];                                         \
            for (int64_t i = lanes; i < n; i++) few[i & 3] = OP(few[i & 3], p[i]);                 \
            if (lanes > 2) few[0] = OP(few[0], few[2]);                                            \
            if (lanes > 3) few[1] = OP(few[1], few[3]);                                            \
            *(T *)result = lanes > 1 ? OP(few[0], few[1]) : few[0];                                \
            return;                                                                                \
        }                                                                                          \
        T acc[LANES];                                                                              \
        for (int l = 0; l < LANES; l++) acc[l] = p[l];                                             \
        int64_t i = LANES;                                                                         \
        for (; i + LANES <= n; i += LANES)                                                         \
            for (int l = 0; l < LANES; l++) acc[l] = OP(acc[l], p[i + l]);                         \
        enum { FOURTH = LANES >= 16 ? LANES / 4 : LANES, FEW = FOURTH >= 16 ? FOURTH / 4 : FOURTH }; \
        for (int w = LANES / 2; w >= FOURTH; w /= 2)                                               \
            for (int l = 0; l < w; l++) acc[l] = OP(acc[l], acc[l + w]);                           \
        for (; i + FOURTH <= n; i += FOURTH)                                                       \
            for (int l = 0; l < FOURTH; l++) acc[l] = OP(acc[l], p[i + l]);                        \
        for (int w = FOURTH / 2; w >= FEW; w /= 2)                                                 \
            for (int l = 0; l < w; l++) acc[l] = OP(acc[l], acc[l + w]);                           \
        for (; i + FEW <= n; i += FEW)                                                             \
            for (int l = 0; l < FEW; l++) acc[l] = OP(acc[l], p[i + l]);                           \
        for (int w = FEW / 2; w > 0; w /= 2)                                                       \
            for (int l = 0; l < w; l++) acc[l] = OP(acc[l], acc[l + w]);                           \
        if (i < n) { /* fewer than FEW are left */                                                 \
            T rest = p[i++];                                                                       \
            for (; i < n; i++) rest = OP(rest, p[i]);                                              \
            acc[0] = OP(acc[0], rest);                                                             \
        }                                                                                          \
        *(T *)result = acc[0];                                                                     \
    }                                                                                              \
    CLONES static void tg_rows_##NAME(void *restrict acc_, const void *restrict row_, int64_t n) { \
        T *restrict acc = (T *)acc_;                                                               \
        const T *restrict row = (const T *)row_;                                                   \
        for (int64_t j = 0; j < n; j++) acc[j] = OP(acc[j], row[j]);                               \
    }                                                                                              \
    static void tg_scan_##NAME(void *restrict carry, void *restrict data, int64_t n) {             \
        T *restrict p = (T *)data;                                                                 \
        T r = *(T *)carry;                                                                         \
        for (int64_t i = 0; i < n; i++) p[i] = r = OP(r, p[i]);                                    \
        *(T *)carry = r;                                                                           \
    }

/* rows4: four rows, `step` elements apart, one after the other. */
#define TG_SUM_ROWS(CLONES, NAME, T)                                                               \
    CLONES static void tg_rows4_##NAME(void *restrict acc_, const void *restrict row_, int64_t step, int64_t n) { \
        T *restrict acc = (T *)acc_;                                                               \
        const T *restrict r0 = (const T *)row_, *restrict r1 = r0 + step, *restrict r2 = r1 + step, *restrict r3 = r2 + step; \
        for (int64_t j = 0; j < n; j++) acc[j] = (((acc[j] + r0[j]) + r1[j]) + r2[j]) + r3[j];     \
    }

/* A signed sum wraps as an unsigned one does, without being undefined. */
TG_REDUCE_LOOPS(TG_CLONES, sum_x64, uint64_t, 16, TG_OP_SUM)
TG_REDUCE_LOOPS(TG_CLONES, sum_f32, float, 64, TG_OP_SUM)
TG_REDUCE_LOOPS(TG_CLONES, sum_f64, double, 32, TG_OP_SUM)
TG_SUM_ROWS(TG_CLONES, sum_f32, float)
TG_SUM_ROWS(TG_CLONES, sum_f64, double)
TG_REDUCE_LOOPS(TG_CLONES, sum_c64, tg_c64, 32, TG_OP_SUM)
TG_REDUCE_LOOPS(TG_CLONES, sum_c128, tg_c128, 32, TG_OP_SUM)
TG_REDUCE_LOOPS(, prod_x64, uint64_t, 8, TG_OP_PROD)
TG_REDUCE_LOOPS(TG_CLONES, prod_f32, float, 64, TG_OP_PROD)
TG_REDUCE_LOOPS(TG_CLONES, prod_f64, double, 32, TG_OP_PROD)
TG_REDUCE_LOOPS(, prod_c64, tg_c64, 4, TG_OP_PROD)
TG_REDUCE_LOOPS(, prod_c128, tg_c128, 4, TG_OP_PROD)
TG_REDUCE_LOOPS(TG_CLONES, max_u8, uint8_t, 128, TG_OP_MAX)
TG_REDUCE_LOOPS(, max_i32, int32_t, 32, TG_OP_MAX)
TG_REDUCE_LOOPS(TG_CLONES, max_i64, int64_t, 16, TG_OP_MAX)
TG_REDUCE_LOOPS(, max_u64, uint64_t, 16, TG_OP_MAX)
TG_REDUCE_LOOPS(TG_CLONES, max_f32, float, 64, TG_OP_FMAX)
TG_REDUCE_LOOPS(TG_CLONES, max_f64, double, 32, TG_OP_FMAX)
TG_REDUCE_LOOPS(TG_CLONES, min_u8, uint8_t, 128, TG_OP_MIN)
TG_REDUCE_LOOPS(, min_i32, int32_t, 32, TG_OP_MIN)
TG_REDUCE_LOOPS(TG_CLONES, min_i64, int64_t, 16, TG_OP_MIN)
TG_REDUCE_LOOPS(, min_u64, uint64_t, 16, TG_OP_MIN)
TG_REDUCE_LOOPS(TG_CLONES, min_f32, float, 64, TG_OP_FMIN)
TG_REDUCE_LOOPS(TG_CLONES, min_f64, double, 32, TG_OP_FMIN)

#define TG_BEATS_MAX(a, b) ((b) > (a))
#define TG_BEATS_MIN(a, b) ((b) < (a))
/* The first NaN beats every number, and nothing beats it. */
#define TG_BEATS_FMAX(a, b) ((b) > (a) || ((b) != (b) && (a) == (a)))
#define TG_BEATS_FMIN(a, b) ((b) < (a) || ((b) != (b) && (a) == (a)))

/* beats: would b displace the earlier a?  find: where the block's extremum first stands.
 * argrows: takes row number `at` into the running extrema and their positions. */
#define TG_ARG_LOOPS(NAME, T, BEATS)                                                               \
    static int tg_beats_##NAME(const void *a_, const void *b_) {                                   \
        T a = *(const T *)a_, b = *(const T *)b_;                                                  \
        return BEATS(a, b);                                                                        \
    }                                                                                              \
    TG_CLONES static int64_t tg_find_##NAME(const void *data, const void *value_, int64_t n) {     \
        const T *p = (const T *)data;                                                              \
        T value = *(const T *)value_;                                                              \
        int64_t i = 0;                                                                             \
        for (int hit = 0; i + 32 <= n; i += 32) { /* branchless, so that it vectorises */          \
            for (int l = 0; l < 32; l++) hit |= (p[i + l] == value) | (p[i + l] != p[i + l]);      \
            if (hit) break;                                                                        \
        }                                                                                          \
        while (i < n - 1 && p[i] != value && p[i] == p[i]) i++;                                    \
        return i;                                                                                  \
    }                                                                                              \
    TG_CLONES static void tg_argrows_##NAME(void *restrict best_, int64_t *restrict where,                   \
                                  const void *restrict row_, int64_t at, int64_t n) {              \
        T *restrict best = (T *)best_;                                                             \
        const T *restrict row = (const T *)row_;                                                   \
        for (int64_t j = 0; j < n; j++) {                                                          \
            int beats = BEATS(best[j], row[j]);                                                    \
            best[j] = beats ? row[j] : best[j];                                                    \
            where[j] = beats ? at : where[j];                                                      \
        }                                                                                          \
    }

TG_ARG_LOOPS(max_u8, uint8_t, TG_BEATS_MAX)
TG_ARG_LOOPS(max_i32, int32_t, TG_BEATS_MAX)
TG_ARG_LOOPS(max_i64, int64_t, TG_BEATS_MAX)
TG_ARG_LOOPS(max_u64, uint64_t, TG_BEATS_MAX)
TG_ARG_LOOPS(max_f32, float, TG_BEATS_FMAX)
TG_ARG_LOOPS(max_f64, double, TG_BEATS_FMAX)
TG_ARG_LOOPS(min_u8, uint8_t, TG_BEATS_MIN)
TG_ARG_LOOPS(min_i32, int32_t, TG_BEATS_MIN)
TG_ARG_LOOPS(min_i64, int64_t, TG_BEATS_MIN)
TG_ARG_LOOPS(min_u64, uint64_t, TG_BEATS_MIN)
TG_ARG_LOOPS(min_f32, float, TG_BEATS_FMIN)
TG_ARG_LOOPS(min_f64, double, TG_BEATS_FMIN)

#include "reduce_vectors.h"

typedef struct {
    int compute;   /* the dtype that elements are converted to before they enter a loop */
    int cascade;   /* does it round, so that partial results want combining pairwise? */
    int whole;     /* so many blocks of TG_REDUCE_BLOCK elements are one call of `block` where they lie together, a power of two */
    void (*block)(void *restrict, const void *restrict, int64_t);
    void (*rows)(void *restrict, const void *restrict, int64_t);
    void (*rows4)(void *restrict, const void *restrict, int64_t, int64_t); /* or NULL */
    void (*scan)(void *restrict, void *restrict, int64_t);
    int (*beats)(const void *, const void *);
    int64_t (*find)(const void *, const void *, int64_t);
    void (*argrows)(void *restrict, int64_t *restrict, const void *restrict, int64_t, int64_t);
} tg_reducer;

/* The loops for reducing elements of `compute` by sum, prod, max or min; NULL if there are none. */
static const tg_reducer *tg_reducer_of(int op, int compute) {
#define TG_SUMMING(CASE, DTYPE, NAME, CASCADE) case CASE: { static const tg_reducer r = {           \
        DTYPE, CASCADE, 1, tg_block_##NAME, tg_rows_##NAME, NULL, tg_scan_##NAME, NULL, NULL, NULL}; return &r; }
#define TG_PICKING(CASE, DTYPE, NAME) case CASE: { static const tg_reducer r = {                    \
        DTYPE, 0, 8, tg_block_##NAME, tg_rows_##NAME, NULL, tg_scan_##NAME, tg_beats_##NAME, tg_find_##NAME, \
        tg_argrows_##NAME}; return &r; }
/* the same by vectors */
#define TG_ADDING(CASE, DTYPE, S) case CASE: { static const tg_reducer r[] = {                      \
        TG_ADDING_AT(DTYPE, S, plain), TG_ADDING_AT(DTYPE, S, TG_SUFFIX_AVX2), TG_ADDING_AT(DTYPE, S, TG_SUFFIX_AVX512)}; \
        return &r[tg_simd_level]; }
#define TG_ADDING_AT(DTYPE, S, LEVEL) TG_ADDING_OF(DTYPE, S, LEVEL)
#define TG_ADDING_OF(DTYPE, S, LEVEL) {                                                            \
        DTYPE, 1, 8, tg_vblock_sum_##S##_##LEVEL, tg_rows_sum_##S, tg_rows4_sum_##S, tg_scan_sum_##S, NULL, NULL, NULL}
#define TG_CHOOSING(CASE, DTYPE, OP, S) case CASE: { static const tg_reducer r[] = {                \
        TG_CHOOSING_AT(DTYPE, OP, S, plain), TG_CHOOSING_AT(DTYPE, OP, S, TG_SUFFIX_AVX2),         \
        TG_CHOOSING_AT(DTYPE, OP, S, TG_SUFFIX_AVX512)}; return &r[tg_simd_level]; }
#define TG_CHOOSING_AT(DTYPE, OP, S, LEVEL) TG_CHOOSING_OF(DTYPE, OP, S, LEVEL)
#define TG_CHOOSING_OF(DTYPE, OP, S, LEVEL) {                                                      \
        DTYPE, 0, 8, tg_vblock_##OP##_##S##_##LEVEL, tg_rows_##OP##_##S, NULL, tg_scan_##OP##_##S, \
        tg_beats_##OP##_##S, tg_vfind_##S##_##LEVEL, tg_argrows_##OP##_##S}
#define TG_KEY(OP, DTYPE) ((OP) * TG_NDTYPES + (DTYPE))
    switch (TG_KEY(op, compute)) {
    TG_SUMMING(TG_KEY(TG_SUM, TG_I64), TG_I64, sum_x64, 0)
    TG_ADDING(TG_KEY(TG_SUM, TG_F32), TG_F32, f32)
    TG_ADDING(TG_KEY(TG_SUM, TG_F64), TG_F64, f64)
    TG_SUMMING(TG_KEY(TG_SUM, TG_C64), TG_C64, sum_c64, 1)
    TG_SUMMING(TG_KEY(TG_SUM, TG_C128), TG_C128, sum_c128, 1)
    TG_SUMMING(TG_KEY(TG_PROD, TG_I64), TG_I64, prod_x64, 0)
    TG_SUMMING(TG_KEY(TG_PROD, TG_F32), TG_F32, prod_f32, 1)
    TG_SUMMING(TG_KEY(TG_PROD, TG_F64), TG_F64, prod_f64, 1)
    TG_SUMMING(TG_KEY(TG_PROD, TG_C64), TG_C64, prod_c64, 1)
    TG_SUMMING(TG_KEY(TG_PROD, TG_C128), TG_C128, prod_c128, 1)
    TG_PICKING(TG_KEY(TG_MAX, TG_BOOL), TG_BOOL, max_u8)
    TG_PICKING(TG_KEY(TG_MAX, TG_U8), TG_U8, max_u8)
    TG_PICKING(TG_KEY(TG_MAX, TG_I32), TG_I32, max_i32)
    TG_PICKING(TG_KEY(TG_MAX, TG_I64), TG_I64, max_i64)
    TG_PICKING(TG_KEY(TG_MAX, TG_U64), TG_U64, max_u64)
    TG_CHOOSING(TG_KEY(TG_MAX, TG_F32), TG_F32, max, f32)
    TG_CHOOSING(TG_KEY(TG_MAX, TG_F64), TG_F64, max, f64)
    TG_PICKING(TG_KEY(TG_MIN, TG_BOOL), TG_BOOL, min_u8)
    TG_PICKING(TG_KEY(TG_MIN, TG_U8), TG_U8, min_u8)
    TG_PICKING(TG_KEY(TG_MIN, TG_I32), TG_I32, min_i32)
    TG_PICKING(TG_KEY(TG_MIN, TG_I64), TG_I64, min_i64)
    TG_PICKING(TG_KEY(TG_MIN, TG_U64), TG_U64, min_u64)
    TG_CHOOSING(TG_KEY(TG_MIN, TG_F32), TG_F32, min, f32)
    TG_CHOOSING(TG_KEY(TG_MIN, TG_F64), TG_F64, min, f64)
    default: return NULL;
    }
#undef TG_SUMMING
#undef TG_ADDING
#undef TG_CHOOSING
#undef TG_PICKING
#undef TG_KEY
}

/* The loops for an operation on arrays of `dtype`. */
static const tg_reducer *tg_find_reducer(int op, int dtype) {
    if (op == TG_ANY || op == TG_ALL) dtype = TG_BOOL;
    if (dtype == TG_BOOL) return tg_reducer_of(op == TG_SUM || op == TG_MAX || op == TG_ANY ? TG_MAX : TG_MIN, TG_BOOL);
    if (dtype == TG_F16 || dtype == TG_BF16) return tg_reducer_of(op, TG_F32);
    if (dtype > TG_U64) return tg_reducer_of(op, dtype);
    if (op == TG_SUM || op == TG_PROD) return tg_reducer_of(op, TG_I64);
    const tg_reducer *own = tg_reducer_of(op, dtype);
    return own ? own : tg_reducer_of(op, TG_I64);
}

#endif
