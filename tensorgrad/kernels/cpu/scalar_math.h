/* Scalar functions by type: what the expressions of elementwise kernels are written in.
 *
 * tg_NAME(x) is the function of x's own type; a device plugin defines the same names in its language.
 */
#ifndef TG_SCALAR_MATH_H
#define TG_SCALAR_MATH_H

#include "array.h"
#include "vector_math.h"

/* the C library's functions, and those of vector_math.h, which a loop calls for many elements at once */
#define TG_BY_FLOAT(x, NAME) _Generic((x), float: NAME##f, default: NAME)(x)
#define TG_BY_FLOAT_V(x, NAME) _Generic((x), float: tg_v##NAME##_f32, default: tg_v##NAME##_f64)(x)
#define TG_BY_COMPLEX(x, NAME)                                                                          \
    _Generic((x), float: tg_v##NAME##_f32, double: tg_v##NAME##_f64, tg_c64: c##NAME##f, tg_c128: c##NAME)(x)

/* sin, cos and tan are vectorised for arguments up to TG_TRIG_LIMIT, and pow is faster for positive finite numbers: where
 * a loop has seen to that (loops.h), TG_WITHIN is 1. */
enum { TG_WITHIN = 0, TG_FUSED = 0 }; /* TG_FUSED: where the instruction set has fused operations */
#define TG_TRIG_FUNCTIONS(NAME)                                                                         \
    TG_INLINE float tg_##NAME##_f32(float x, int within, int fused) { return within ? tg_v##NAME##_f32(x, fused) : NAME##f(x); } \
    TG_INLINE double tg_##NAME##_f64(double x, int within, int fused) { (void)fused; return within ? tg_v##NAME##_f64(x) : NAME(x); } \
    TG_INLINE tg_c64 tg_##NAME##_c64(tg_c64 x, int within, int fused) { (void)within; (void)fused; return c##NAME##f(x); } \
    TG_INLINE tg_c128 tg_##NAME##_c128(tg_c128 x, int within, int fused) { (void)within; (void)fused; return c##NAME(x); }
TG_TRIG_FUNCTIONS(sin) TG_TRIG_FUNCTIONS(cos) TG_TRIG_FUNCTIONS(tan)
#define TG_TRIG(x, NAME)                                                                                \
    _Generic((x), float: tg_##NAME##_f32, double: tg_##NAME##_f64, tg_c64: tg_##NAME##_c64, tg_c128: tg_##NAME##_c128)(x, TG_WITHIN, TG_FUSED)

#define tg_sin(x) TG_TRIG(x, sin)
#define tg_cos(x) TG_TRIG(x, cos)
#define tg_tan(x) TG_TRIG(x, tan)
#define tg_asin(x) TG_BY_COMPLEX(x, asin)
#define tg_acos(x) TG_BY_COMPLEX(x, acos)
#define tg_atan(x) TG_BY_COMPLEX(x, atan)
#define tg_sinh(x) TG_BY_COMPLEX(x, sinh)
#define tg_cosh(x) TG_BY_COMPLEX(x, cosh)
#define tg_tanh(x) TG_BY_COMPLEX(x, tanh)
#define tg_asinh(x) TG_BY_COMPLEX(x, asinh)
#define tg_acosh(x) TG_BY_COMPLEX(x, acosh)
#define tg_atanh(x) TG_BY_COMPLEX(x, atanh)
#define tg_exp(x) TG_BY_COMPLEX(x, exp)
#define tg_log(x) TG_BY_COMPLEX(x, log)
#define tg_sqrt(x) _Generic((x), float: sqrtf, double: sqrt, tg_c64: csqrtf, tg_c128: csqrt)(x)
#define tg_exp2(x) TG_BY_FLOAT_V(x, exp2)
#define tg_expm1(x) TG_BY_FLOAT_V(x, expm1)
#define tg_log1p(x) TG_BY_FLOAT_V(x, log1p)
#define tg_floor(x) TG_BY_FLOAT(x, floor)
#define tg_ceil(x) TG_BY_FLOAT(x, ceil)
#define tg_trunc(x) TG_BY_FLOAT(x, trunc)
#define tg_rint(x) TG_BY_FLOAT(x, rint)
#define tg_erf(x) TG_BY_FLOAT_V(x, erf)
#define tg_erfc(x) TG_BY_FLOAT_V(x, erfc)
#define tg_lgamma(x) TG_BY_FLOAT(x, lgamma)
#define tg_isnan(x) ((x) != (x))

static inline tg_c64 tg_log2_c(tg_c64 x) { return clogf(x) * 1.44269504088896341f; }
static inline tg_c128 tg_log2_z(tg_c128 x) { return clog(x) * 1.44269504088896340736; }
#define tg_log2(x) _Generic((x), float: tg_vlog2_f32, double: tg_vlog2_f64, tg_c64: tg_log2_c, tg_c128: tg_log2_z)(x)
static inline tg_c64 tg_log10_c(tg_c64 x) { return clogf(x) * 0.434294481903251828f; }
static inline tg_c128 tg_log10_z(tg_c128 x) { return clog(x) * 0.43429448190325182765; }
#define tg_log10(x) _Generic((x), float: tg_vlog10_f32, double: tg_vlog10_f64, tg_c64: tg_log10_c, tg_c128: tg_log10_z)(x)

/* complex parts, also of real numbers */
static inline float tg_real_f(float x) { return x; }
static inline double tg_real_d(double x) { return x; }
#define tg_real(x) _Generic((x), tg_c64: crealf, tg_c128: creal, float: tg_real_f, default: tg_real_d)(x)
#define tg_imag(x) _Generic((x), tg_c64: cimagf, default: cimag)(x)
#define tg_conj(x) _Generic((x), tg_c64: conjf, default: conj)(x)
#define tg_arg(x) _Generic((x), tg_c64: cargf, default: carg)(x)
#define tg_hypot(x, y) _Generic((x), float: hypotf, default: hypot)(x, y)
#define tg_atan2(x, y) _Generic((x), float: atan2f, default: atan2)(x, y)
static inline tg_c64 tg_make_c64(float x, float y) { tg_c64 z; ((float *)&z)[0] = x; ((float *)&z)[1] = y; return z; }
static inline tg_c128 tg_make_c128(double x, double y) { tg_c128 z; ((double *)&z)[0] = x; ((double *)&z)[1] = y; return z; }

/* functions that differ between integers, floats and complex numbers */
#define TG_INT_FUNCTIONS(T, S, SIGNED)                                                                  \
    TG_INLINE T tg_abs_##S(T x) { return SIGNED && x < (T)0 ? (T)(0 - x) : x; }                     \
    TG_INLINE T tg_sign_##S(T x) { return (T)((x > (T)0) - (SIGNED && x < (T)0)); }                 \
    TG_INLINE T tg_max_##S(T x, T y) { return x > y ? x : y; }                                      \
    TG_INLINE T tg_min_##S(T x, T y) { return x < y ? x : y; }                                      \
    /* division by zero gives 0 here; the operators refuse it before a loop runs */                     \
    TG_INLINE T tg_truncdiv_##S(T x, T y) {                                                         \
        return y == (T)0 ? (T)0 : SIGNED && y == (T)-1 ? (T)(0 - (uint64_t)x) : (T)(x / y); }           \
    TG_INLINE T tg_fmod_##S(T x, T y) { return y == (T)0 || (SIGNED && y == (T)-1) ? (T)0 : (T)(x % y); } \
    TG_INLINE T tg_remainder_##S(T x, T y) {                                                        \
        T r = tg_fmod_##S(x, y); return SIGNED && r != (T)0 && ((r < (T)0) != (y < (T)0)) ? (T)(r + y) : r; } \
    TG_INLINE T tg_floordiv_##S(T x, T y) {                                                         \
        T q = tg_truncdiv_##S(x, y); return SIGNED && y != (T)0 && tg_fmod_##S(x, y) != (T)0            \
            && ((x < (T)0) != (y < (T)0)) ? (T)(q - 1) : q; }                                           \
    TG_INLINE T tg_pow_##S(T x, T y, int within) {                                                      \
        (void)within;                                                                                   \
        if (SIGNED && y < (T)0) return x == (T)1 ? (T)1 : x == (T)-1 ? ((y & 1) ? (T)-1 : (T)1) : (T)0; \
        uint64_t r = 1, b = (uint64_t)x;                                                                \
        for (uint64_t e = (uint64_t)y; e; e >>= 1) { if (e & 1) r *= b; b *= b; }                       \
        return (T)r; }
TG_INT_FUNCTIONS(uint8_t, u8, 0) TG_INT_FUNCTIONS(int8_t, i8, 1) TG_INT_FUNCTIONS(int16_t, i16, 1)
TG_INT_FUNCTIONS(int32_t, i32, 1) TG_INT_FUNCTIONS(int64_t, i64, 1) TG_INT_FUNCTIONS(uint16_t, u16, 0)
TG_INT_FUNCTIONS(uint32_t, u32, 0) TG_INT_FUNCTIONS(uint64_t, u64, 0)
#define TG_FLOAT_FUNCTIONS(T, S, F)                                                                     \
    TG_INLINE T tg_abs_##S(T x) { return fabs##F(x); }                                              \
    TG_INLINE T tg_sign_##S(T x) { return (T)((x > 0) - (x < 0)); }                                 \
    TG_INLINE T tg_max_##S(T x, T y) { return x > y || x != x ? x : y; }                            \
    TG_INLINE T tg_min_##S(T x, T y) { return x < y || x != x ? x : y; }                            \
    TG_INLINE T tg_truncdiv_##S(T x, T y) { return trunc##F(x / y); }                               \
    TG_INLINE T tg_fmod_##S(T x, T y) { return fmod##F(x, y); }                                     \
    TG_INLINE T tg_remainder_##S(T x, T y) {                                                        \
        T r = fmod##F(x, y); return r != 0 && ((r < 0) != (y < 0)) ? r + y : r; }                       \
    TG_INLINE T tg_floordiv_##S(T x, T y) {                                                         \
        if (y == 0) return x / y;                                                                       \
        T m = fmod##F(x, y), q = (x - m) / y;                                                           \
        if (m != 0 && ((y < 0) != (m < 0))) q -= 1;                                                     \
        if (q == 0) return copysign##F((T)0, x / y);                                                    \
        T f = floor##F(q); return q - f > (T)0.5 ? f + 1 : f; }                                         \
    TG_INLINE T tg_pow_##S(T x, T y, int within) {                                                      \
        return within ? tg_pow_positive_##S(x, y) : tg_vpow_##S(x, y); }                                \
    TG_INLINE T tg_sigmoid_##S(T x) { return tg_vsigmoid_##S(x); }
TG_FLOAT_FUNCTIONS(float, f32, f) TG_FLOAT_FUNCTIONS(double, f64, )
#define TG_COMPLEX_FUNCTIONS(T, R, S, F)                                                                \
    static inline R tg_abs_##S(T x) { return cabs##F(x); }                                              \
    static inline T tg_sign_##S(T x) { R m = cabs##F(x); return m == 0 ? (T)0 : x / m; }                \
    static inline T tg_pow_##S(T x, T y, int within) {                                                  \
        (void)within;                                                                                   \
        return y == 2 ? x * x : y == 0 ? (T)1 : x == 0 ? (creal##F(y) > 0 ? (T)0 : cpow##F(x, y)) : cpow##F(x, y); } \
    static inline T tg_sigmoid_##S(T x) { return 1 / (1 + cexp##F(-x)); }
TG_COMPLEX_FUNCTIONS(tg_c64, float, c64, f) TG_COMPLEX_FUNCTIONS(tg_c128, double, c128, )

#define TG_INT_CASES(NAME)                                                                              \
    _Bool: NAME##_u8, uint8_t: NAME##_u8, int8_t: NAME##_i8, int16_t: NAME##_i16, int32_t: NAME##_i32, int64_t: NAME##_i64, \
    uint16_t: NAME##_u16, uint32_t: NAME##_u32, uint64_t: NAME##_u64
#define TG_FLOAT_CASES(NAME) float: NAME##_f32, double: NAME##_f64
#define TG_COMPLEX_CASES(NAME) tg_c64: NAME##_c64, tg_c128: NAME##_c128
#define tg_abs(x) _Generic((x), TG_INT_CASES(tg_abs), TG_FLOAT_CASES(tg_abs), TG_COMPLEX_CASES(tg_abs))(x)
#define tg_sign(x) _Generic((x), TG_INT_CASES(tg_sign), TG_FLOAT_CASES(tg_sign), TG_COMPLEX_CASES(tg_sign))(x)
#define tg_max(x, y) _Generic((x), TG_INT_CASES(tg_max), TG_FLOAT_CASES(tg_max))(x, y)
#define tg_min(x, y) _Generic((x), TG_INT_CASES(tg_min), TG_FLOAT_CASES(tg_min))(x, y)
#define tg_truncdiv(x, y) _Generic((x), TG_INT_CASES(tg_truncdiv), TG_FLOAT_CASES(tg_truncdiv))(x, y)
#define tg_floordiv(x, y) _Generic((x), TG_INT_CASES(tg_floordiv), TG_FLOAT_CASES(tg_floordiv))(x, y)
#define tg_fmod(x, y) _Generic((x), TG_INT_CASES(tg_fmod), TG_FLOAT_CASES(tg_fmod))(x, y)
#define tg_remainder(x, y) _Generic((x), TG_INT_CASES(tg_remainder), TG_FLOAT_CASES(tg_remainder))(x, y)
#define tg_pow(x, y) _Generic((x), TG_INT_CASES(tg_pow), TG_FLOAT_CASES(tg_pow), TG_COMPLEX_CASES(tg_pow))(x, y, TG_WITHIN)
#define tg_sigmoid(x) _Generic((x), TG_FLOAT_CASES(tg_sigmoid), TG_COMPLEX_CASES(tg_sigmoid))(x)

#endif
