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
#define TG_LOOP_1(CODE, T_, R_, SUFFIX, NAME, OUT_, EXPR)                                               \
    TG_CLONES static void tg_l_##NAME##_##SUFFIX(char **p, int64_t n) {                                 \
        typedef T_ T; typedef R_ R; typedef OUT_ O;                                                     \
        O *o = (O *)p[0]; const T *a = (const T *)p[1];                                                 \
        _Pragma("GCC ivdep")                                                                            \
        for (int64_t i = 0; i < n; i++) { const T x = a[i]; (void)sizeof(R); o[i] = (O)(EXPR); }        \
    }
#define TG_LOOP_2(CODE, T_, R_, SUFFIX, NAME, OUT_, EXPR)                                               \
    TG_CLONES static void tg_l_##NAME##_##SUFFIX(char **p, int64_t n) {                                 \
        typedef T_ T; typedef R_ R; typedef OUT_ O;                                                     \
        O *o = (O *)p[0]; const T *a = (const T *)p[1]; const T *b = (const T *)p[2];                   \
        _Pragma("GCC ivdep")                                                                            \
        for (int64_t i = 0; i < n; i++) { const T x = a[i], y = b[i]; (void)sizeof(R); o[i] = (O)(EXPR); } \
    }
#define TG_LOOP_3(CODE, T_, R_, SUFFIX, NAME, FIRST_, EXPR)                                             \
    TG_CLONES static void tg_l_##NAME##_##SUFFIX(char **p, int64_t n) {                                 \
        typedef T_ T; typedef R_ R; typedef FIRST_ F;                                                   \
        T *o = (T *)p[0]; const F *a = (const F *)p[1]; const T *b = (const T *)p[2], *c = (const T *)p[3]; \
        _Pragma("GCC ivdep")                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                               \
            const F x = a[i]; const T y = b[i], z = c[i]; (void)sizeof(R); o[i] = (T)(EXPR);            \
        }                                                                                               \
    }
#define TG_ENTRY(CODE, T_, R_, SUFFIX, NAME, ...) [CODE] = tg_l_##NAME##_##SUFFIX,

#define TG_KERNEL(NAME, TEXT, N, BOOL_OUT, BOOL_FIRST, REAL_OUT, FAMILY)                                \
    static const tg_kernel tg_k_##NAME = {#NAME, TEXT, N, BOOL_OUT, BOOL_FIRST, REAL_OUT,               \
                                          {TG_FAMILY_##FAMILY(TG_ENTRY, NAME, 0)}};

#define TG_UNARY(NAME, FAMILY, EXPR)                                                                    \
    TG_FAMILY_##FAMILY(TG_LOOP_1, NAME, T_SELF, EXPR) TG_KERNEL(NAME, #EXPR, 1, 0, 0, 0, FAMILY)
#define TG_UNARY_REAL(NAME, FAMILY, EXPR)                                                               \
    TG_FAMILY_##FAMILY(TG_LOOP_1, NAME, T_REAL, EXPR) TG_KERNEL(NAME, #EXPR, 1, 0, 0, 1, FAMILY)
#define TG_TEST(NAME, FAMILY, EXPR)                                                                     \
    TG_FAMILY_##FAMILY(TG_LOOP_1, NAME, _Bool, EXPR) TG_KERNEL(NAME, #EXPR, 1, 1, 0, 0, FAMILY)
#define TG_BINARY(NAME, FAMILY, EXPR)                                                                   \
    TG_FAMILY_##FAMILY(TG_LOOP_2, NAME, T_SELF, EXPR) TG_KERNEL(NAME, #EXPR, 2, 0, 0, 0, FAMILY)
#define TG_COMPARE(NAME, FAMILY, EXPR)                                                                  \
    TG_FAMILY_##FAMILY(TG_LOOP_2, NAME, _Bool, EXPR) TG_KERNEL(NAME, #EXPR, 2, 1, 0, 0, FAMILY)
#define TG_TERNARY(NAME, FAMILY, EXPR)                                                                  \
    TG_FAMILY_##FAMILY(TG_LOOP_3, NAME, T_SELF, EXPR) TG_KERNEL(NAME, #EXPR, 3, 0, 0, 0, FAMILY)
#define TG_SELECT(NAME, FAMILY, EXPR)                                                                   \
    TG_FAMILY_##FAMILY(TG_LOOP_3, NAME, _Bool, EXPR) TG_KERNEL(NAME, #EXPR, 3, 0, 1, 0, FAMILY)
/* Inside a loop these name the compute type and its real type. */
#define T_SELF T
#define T_REAL R

#endif
