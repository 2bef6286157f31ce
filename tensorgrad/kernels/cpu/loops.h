/* Makes the loops of an elementwise kernel from one expression.
 *
 *     TG_UNARY(sin, FLOAT_AND_COMPLEX, tg_sin(x))
 *     TG_BINARY(mul, NUMERIC, x * y)
 *     TG_COMPARE(lt, REAL, x < y)
 *
 * defines the tg_kernel `tg_k_sin` with a loop for each type of the family; the expression is kept
 * as a string too, from which device plugins generate their kernels. In it, x, y and z are the
 * inputs, T is the compute type and R its real part's type.
 */
#ifndef TG_LOOPS_H
#define TG_LOOPS_H

#include "kernel_table.h"
#include "scalar_math.h"

/* families: M(code, C type, real C type, name) */
/* _Bool makes the cast of any result a test: x + y is "or", x * y is "and". */
#define TG_FAMILY_BOOL(M, ...) M(TG_BOOL, _Bool, _Bool, bool, __VA_ARGS__)
#define TG_FAMILY_INTEGER(M, ...)                                                                       \
    M(TG_U8, uint8_t, uint8_t, u8, __VA_ARGS__) M(TG_I8, int8_t, int8_t, i8, __VA_ARGS__)               \
    M(TG_I16, int16_t, int16_t, i16, __VA_ARGS__) M(TG_I32, int32_t, int32_t, i32, __VA_ARGS__)         \
    M(TG_I64, int64_t, int64_t, i64, __VA_ARGS__) M(TG_U16, uint16_t, uint16_t, u16, __VA_ARGS__)       \
    M(TG_U32, uint32_t, uint32_t, u32, __VA_ARGS__) M(TG_U64, uint64_t, uint64_t, u64, __VA_ARGS__)
#define TG_FAMILY_FLOAT(M, ...) M(TG_F32, float, float, f32, __VA_ARGS__) M(TG_F64, double, double, f64, __VA_ARGS__)
#define TG_FAMILY_COMPLEX(M, ...)                                                                       \
    M(TG_C64, tg_c64, float, c64, __VA_ARGS__) M(TG_C128, tg_c128, double, c128, __VA_ARGS__)
#define TG_FAMILY_FLOAT_AND_COMPLEX(M, ...) TG_FAMILY_FLOAT(M, __VA_ARGS__) TG_FAMILY_COMPLEX(M, __VA_ARGS__)
#define TG_FAMILY_INTEGRAL(M, ...) TG_FAMILY_BOOL(M, __VA_ARGS__) TG_FAMILY_INTEGER(M, __VA_ARGS__)
#define TG_FAMILY_INTEGER_AND_FLOAT(M, ...) TG_FAMILY_INTEGER(M, __VA_ARGS__) TG_FAMILY_FLOAT(M, __VA_ARGS__)
#define TG_FAMILY_REAL(M, ...) TG_FAMILY_INTEGRAL(M, __VA_ARGS__) TG_FAMILY_FLOAT(M, __VA_ARGS__)
#define TG_FAMILY_NUMERIC(M, ...) TG_FAMILY_REAL(M, __VA_ARGS__) TG_FAMILY_COMPLEX(M, __VA_ARGS__)

/* A loop may write over an input of the same address (in-place operators): no dependence crosses elements. */
#define TG_LOOP_1(CODE, ...) TG_FOR_LEVELS(TG_LOOP_1_AT, __VA_ARGS__)
#define TG_LOOP_2(CODE, ...) TG_FOR_LEVELS(TG_LOOP_2_AT, __VA_ARGS__)
#define TG_LOOP_3(CODE, ...) TG_FOR_LEVELS(TG_LOOP_3_AT, __VA_ARGS__)
#define TG_EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#define TG_LOOP_1_AT(LEVEL, ATTRIBUTES, T_, R_, SUFFIX, NAME, OUT_, EXPR)                               \
    __attribute__((ATTRIBUTES)) static void tg_l_##NAME##_##SUFFIX##_##LEVEL(char **p, int64_t n) {     \
        typedef T_ T; typedef R_ R; typedef OUT_ O;                                                     \
        O *o = (O *)p[0]; const T *a = (const T *)p[1];                                                 \
        TG_EACH { const T x = a[i]; (void)sizeof(R); o[i] = (O)(EXPR); }                                \
    }
#define TG_LOOP_2_AT(LEVEL, ATTRIBUTES, T_, R_, SUFFIX, NAME, OUT_, EXPR)                               \
    __attribute__((ATTRIBUTES)) static void tg_l_##NAME##_##SUFFIX##_##LEVEL(char **p, int64_t n) {     \
        typedef T_ T; typedef R_ R; typedef OUT_ O;                                                     \
        O *o = (O *)p[0]; const T *a = (const T *)p[1]; const T *b = (const T *)p[2];                   \
        TG_EACH { const T x = a[i], y = b[i]; (void)sizeof(R); o[i] = (O)(EXPR); }                      \
    }
#define TG_LOOP_3_AT(LEVEL, ATTRIBUTES, T_, R_, SUFFIX, NAME, FIRST_, EXPR)                             \
    __attribute__((ATTRIBUTES)) static void tg_l_##NAME##_##SUFFIX##_##LEVEL(char **p, int64_t n) {     \
        typedef T_ T; typedef R_ R; typedef FIRST_ F;                                                   \
        T *o = (T *)p[0]; const F *a = (const F *)p[1]; const T *b = (const T *)p[2], *c = (const T *)p[3]; \
        TG_EACH { const F x = a[i]; const T y = b[i], z = c[i]; (void)sizeof(R); o[i] = (T)(EXPR); }    \
    }

/* Loops that look at a block of elements before they choose how to compute it. */
enum { TG_BLOCK = 512 };
#define TG_FAR(x, LIMIT) _Generic((x), float: tg_far_f32, double: tg_far_f64, default: tg_far_never)(x, LIMIT)
TG_INLINE int tg_far_f32(float x, float limit) { return fabsf(x) > limit; }
TG_INLINE int tg_far_f64(double x, double limit) { return fabs(x) > limit; }
TG_INLINE int tg_far_never(double complex x, double limit) { (void)x; (void)limit; return 0; }

/* The expression with TG_WITHIN (scalar_math.h) where no |x| in the block is above the limit. */
#define TG_LOOP_WITHIN(CODE, ...) TG_FOR_LEVELS(TG_LOOP_WITHIN_AT, __VA_ARGS__)
#define TG_LOOP_WITHIN_AT(LEVEL, ATTRIBUTES, T_, R_, SUFFIX, NAME, LIMIT, EXPR)                         \
    __attribute__((ATTRIBUTES)) static void tg_l_##NAME##_##SUFFIX##_##LEVEL(char **p, int64_t total) { \
        typedef T_ T; typedef R_ R;                                                                     \
        enum { TG_FUSED = TG_FUSED_##LEVEL };                                                           \
        for (int64_t at = 0; at < total; at += TG_BLOCK) {                                              \
            const int64_t n = total - at < TG_BLOCK ? total - at : TG_BLOCK;                            \
            T *o = (T *)p[0] + at; const T *a = (const T *)p[1] + at;                                   \
            int far = 0;                                                                                \
            (void)sizeof(R);                                                                            \
            for (int64_t i = 0; i < n; i++) far |= TG_FAR(a[i], LIMIT);                                 \
            if (far) { /* the near ones as ever: an element may not depend on its neighbours */         \
                T near[TG_BLOCK];                                                                       \
                { enum { TG_WITHIN = 1 }; TG_EACH { const T x = a[i]; near[i] = (EXPR); } }             \
                for (int64_t i = 0; i < n; i++) { const T x = a[i]; o[i] = TG_FAR(x, LIMIT) ? (EXPR) : near[i]; } \
            } else {                                                                                    \
                enum { TG_WITHIN = 1 };                                                                 \
                TG_EACH { const T x = a[i]; o[i] = (EXPR); }                                            \
            }                                                                                           \
        }                                                                                               \
    }

/* pow: a block with one exponent in all its elements has a short way for the usual ones, and one without zeros, negative
 * numbers, infinities and nans needs no look at them. */
#define TG_POW_HARD(x, y) _Generic((x), float: tg_pow_hard_f32, double: tg_pow_hard_f64, default: tg_pow_hard_always)(x, y)
TG_INLINE int tg_pow_hard_f32(float x, float y) { return !(x > 0) | !(x < INFINITY) | !(fabsf(y) < INFINITY); }
TG_INLINE int tg_pow_hard_f64(double x, double y) { return !(x > 0) | !(x < INFINITY) | !(fabs(y) < INFINITY); }
TG_INLINE int tg_pow_hard_always(double complex x, double complex y) { (void)x; (void)y; return 1; }
#define TG_POW_CASES_REAL(T)                                                                            \
    if (e == 2) { TG_EACH o[i] = a[i] * a[i]; continue; }                                               \
    if (e == 3) { TG_EACH o[i] = a[i] * a[i] * a[i]; continue; }                                        \
    if (e == 1) { TG_EACH o[i] = a[i]; continue; }
#define TG_POW_CASES_FLOAT(T)                                                                           \
    if (e == -1) { TG_EACH o[i] = 1 / a[i]; continue; }                                                 \
    if (e == -2) { /* where the square leaves the range of normal numbers, its reciprocal need not */   \
        const T tiny = sizeof(T) == 4 ? 0x1p-126f : 0x1p-1022, huge = 1 / tiny;                         \
        TG_EACH {                                                                                       \
            const T square = a[i] * a[i], inverse = 1 / a[i], r = square < tiny ? inverse * inverse : 1 / square; \
            o[i] = square > huge ? inverse * inverse : r;                                               \
        }                                                                                               \
        continue;                                                                                       \
    }                                                                                                   \
    /* unlike sqrt: the root of -0 is 0, that of -inf is inf */                                         \
    if (e == (T)0.5) { TG_EACH { const T x = a[i]; o[i] = x == -(T)INFINITY ? -x : tg_abs(tg_sqrt(x)); } continue; } \
    if (e == (T)-0.5) { TG_EACH { const T x = a[i]; o[i] = x == -(T)INFINITY ? 0 : 1 / tg_abs(tg_sqrt(x)); } continue; }
#define TG_POW_CASES_u8(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_i8(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_i16(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_i32(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_i64(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_u16(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_u32(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_u64(T) TG_POW_CASES_REAL(T)
#define TG_POW_CASES_f32(T) TG_POW_CASES_REAL(T) TG_POW_CASES_FLOAT(T)
#define TG_POW_CASES_f64(T) TG_POW_CASES_REAL(T) TG_POW_CASES_FLOAT(T)
#define TG_POW_CASES_bool(T)
#define TG_POW_CASES_c64(T)
#define TG_POW_CASES_c128(T)
#define TG_LOOP_POW(CODE, ...) TG_FOR_LEVELS(TG_LOOP_POW_AT, __VA_ARGS__)
#define TG_LOOP_POW_AT(LEVEL, ATTRIBUTES, T_, R_, SUFFIX, NAME, EXPR)                                   \
    /* functions of their own: inside the loop over blocks GCC moves conditions about until it cannot vectorise */ \
    __attribute__((noinline, ATTRIBUTES)) static void tg_hard_##NAME##_##SUFFIX##_##LEVEL(              \
            T_ *o, const T_ *a, const T_ *b, int64_t n) {                                               \
        typedef T_ T; typedef R_ R; (void)sizeof(R);                                                    \
        TG_EACH { const T x = a[i], y = b[i]; o[i] = (EXPR); }                                          \
    }                                                                                                   \
    __attribute__((noinline, ATTRIBUTES)) static void tg_easy_##NAME##_##SUFFIX##_##LEVEL(              \
            T_ *o, const T_ *a, const T_ *b, int64_t n) {                                               \
        typedef T_ T; typedef R_ R; (void)sizeof(R);                                                    \
        enum { TG_WITHIN = 1 };                                                                         \
        TG_EACH { const T x = a[i], y = b[i]; o[i] = (EXPR); }                                          \
    }                                                                                                   \
    __attribute__((ATTRIBUTES)) static void tg_l_##NAME##_##SUFFIX##_##LEVEL(char **p, int64_t total) { \
        typedef T_ T; typedef R_ R;                                                                     \
        for (int64_t at = 0; at < total; at += TG_BLOCK) {                                              \
            const int64_t n = total - at < TG_BLOCK ? total - at : TG_BLOCK;                            \
            T *o = (T *)p[0] + at; const T *a = (const T *)p[1] + at, *b = (const T *)p[2] + at;        \
            const T e = b[0];                                                                           \
            int differ = 0, hard = 0;                                                                   \
            (void)sizeof(R);                                                                            \
            for (int64_t i = 0; i < n; i++) differ |= b[i] != e;                                        \
            if (!differ) { TG_POW_CASES_##SUFFIX(T) }                                                   \
            for (int64_t i = 0; i < n; i++) hard |= TG_POW_HARD(a[i], b[i]);                            \
            if (hard) tg_hard_##NAME##_##SUFFIX##_##LEVEL(o, a, b, n);                                  \
            else tg_easy_##NAME##_##SUFFIX##_##LEVEL(o, a, b, n);                                       \
        }                                                                                               \
    }
#define TG_ENTRY(CODE, T_, R_, SUFFIX, NAME, LEVEL, ...) [CODE] = tg_l_##NAME##_##SUFFIX##_##LEVEL,

#define TG_KERNEL(NAME, TEXT, N, BOOL_OUT, BOOL_FIRST, REAL_OUT, FAMILY)                                \
    static const tg_kernel tg_k_##NAME = {#NAME, TEXT, N, BOOL_OUT, BOOL_FIRST, REAL_OUT,               \
        {{TG_FAMILY_##FAMILY(TG_ENTRY, NAME, plain, 0)}, {TG_FAMILY_##FAMILY(TG_ENTRY, NAME, TG_SUFFIX_AVX2, 0)}, \
         {TG_FAMILY_##FAMILY(TG_ENTRY, NAME, TG_SUFFIX_AVX512, 0)}}};

#define TG_UNARY(NAME, FAMILY, EXPR)                                                                    \
    TG_FAMILY_##FAMILY(TG_LOOP_1, NAME, T_SELF, EXPR) TG_KERNEL(NAME, #EXPR, 1, 0, 0, 0, FAMILY)
/* for expressions of tg_sin, tg_cos and tg_tan, whose arguments are below TG_TRIG_LIMIT while |x| is below LIMIT */
#define TG_UNARY_WITHIN(NAME, FAMILY, LIMIT, EXPR)                                                      \
    TG_FAMILY_##FAMILY(TG_LOOP_WITHIN, NAME, LIMIT, EXPR) TG_KERNEL(NAME, #EXPR, 1, 0, 0, 0, FAMILY)
#define TG_UNARY_REAL(NAME, FAMILY, EXPR)                                                               \
    TG_FAMILY_##FAMILY(TG_LOOP_1, NAME, T_REAL, EXPR) TG_KERNEL(NAME, #EXPR, 1, 0, 0, 1, FAMILY)
#define TG_TEST(NAME, FAMILY, EXPR)                                                                     \
    TG_FAMILY_##FAMILY(TG_LOOP_1, NAME, _Bool, EXPR) TG_KERNEL(NAME, #EXPR, 1, 1, 0, 0, FAMILY)
#define TG_BINARY(NAME, FAMILY, EXPR)                                                                   \
    TG_FAMILY_##FAMILY(TG_LOOP_2, NAME, T_SELF, EXPR) TG_KERNEL(NAME, #EXPR, 2, 0, 0, 0, FAMILY)
#define TG_POWER(NAME, FAMILY, EXPR)                                                                    \
    TG_FAMILY_##FAMILY(TG_LOOP_POW, NAME, EXPR) TG_KERNEL(NAME, #EXPR, 2, 0, 0, 0, FAMILY)
#define TG_COMPARE(NAME, FAMILY, EXPR)                                                                  \
    TG_FAMILY_##FAMILY(TG_LOOP_2, NAME, _Bool, EXPR) TG_KERNEL(NAME, #EXPR, 2, 1, 0, 0, FAMILY)
#define TG_TERNARY(NAME, FAMILY, EXPR)                                                                  \
    TG_FAMILY_##FAMILY(TG_LOOP_3, NAME, T_SELF, EXPR) TG_KERNEL(NAME, #EXPR, 3, 0, 0, 0, FAMILY)
/* the condition is read as a byte of 0 or 1: GCC 12 vectorises no choice by a _Bool */
#define TG_SELECT(NAME, FAMILY, EXPR)                                                                   \
    TG_FAMILY_##FAMILY(TG_LOOP_3, NAME, uint8_t, EXPR) TG_KERNEL(NAME, #EXPR, 3, 0, 1, 0, FAMILY)
/* Inside a loop these name the compute type and its real type. */
#define T_SELF T
#define T_REAL R

#endif
