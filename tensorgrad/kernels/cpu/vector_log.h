/* Vectorised logarithms, log, log2, log10, log1p, and the inverse hyperbolic functions made of them.
 *
 * x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2); log(1 + f) by FDLIBM's scheme (Sun Microsystems, 1993), in which
 * the leading terms f - f^2/2 are exact enough that one rounding is left. Coefficients: tools/minimax.py.
 */
#ifndef TG_VECTOR_LOG_H
#define TG_VECTOR_LOG_H

#include "vector_exp.h"

#define TG_SQRT_HALF_F64 UINT64_C(0x3fe6a09e667f3bcd)
#define TG_SQRT_HALF_F32 0x3f3504f3u

/* x > 0, normal or (scaled) subnormal: f, and k as a double */
typedef struct { double f, k; } tg_log_parts_f64;
TG_INLINE tg_log_parts_f64 tg_log_split_f64(double x) {
    double scaled = x < 0x1p-1022 ? x * 0x1p54 : x, bias = x < 0x1p-1022 ? 54 + 1023 : 1023;
    uint64_t bits = tg_bits_f64(scaled) + (UINT64_C(0x3ff0000000000000) - TG_SQRT_HALF_F64);
    double k = tg_from_bits_f64((bits >> 52) | UINT64_C(0x4330000000000000)) - 0x1p52;
    double m = tg_from_bits_f64((bits & UINT64_C(0x000fffffffffffff)) + TG_SQRT_HALF_F64);
    return (tg_log_parts_f64){m - 1, k - bias};
}
typedef struct { float f, k; } tg_log_parts_f32;
TG_INLINE tg_log_parts_f32 tg_log_split_f32(float x) {
    float scaled = x < 0x1p-126f ? x * 0x1p24f : x;
    int32_t bias = x < 0x1p-126f ? 24 + 127 : 127;
    uint32_t bits = tg_bits_f32(scaled) + (0x3f800000u - TG_SQRT_HALF_F32);
    float m = tg_from_bits_f32((bits & 0x007fffffu) + TG_SQRT_HALF_F32);
    return (tg_log_parts_f32){m - 1, (float)((int32_t)(bits >> 23) - bias)};
}

/* the values at the ends of the domain */
TG_INLINE double tg_log_ends_f64(double x, double y) {
    y = x == 0 ? -INFINITY : y;
    y = x < 0 ? NAN : y;
    return x < INFINITY ? y : x; /* infinity and nan themselves */
}
TG_INLINE float tg_log_ends_f32(float x, float y) {
    y = x == 0 ? -INFINITY : y;
    y = x < 0 ? NAN : y;
    return x < INFINITY ? y : x;
}

/* (2 atanh(s) / s - 2) at z = s^2, the R of FDLIBM */
TG_INLINE double tg_log_series_f64(double z) {
    return z * TG_POLY7(z, 6.6666666666666697e-1, 3.9999999999898559e-1, 2.8571428626385242e-1, 2.2222211070322539e-1,
                        1.8182893681332452e-1, 1.5331574013965243e-1, 1.4618234058700639e-1);
}
/* log(2^k (1 + f)) + c */
TG_INLINE double tg_log_sum_f64(double f, double k, double c) {
    double s = f / (2 + f), half = 0.5 * f * f, r = tg_log_series_f64(s * s);
    return k * TG_LN2_HI - ((half - (s * (half + r) + (k * TG_LN2_LO + c))) - f);
}
/* (log(1 + f) - f + f^2/2) */
TG_INLINE float tg_log_series_f32(float f) {
    return f * f * f * TG_POLY8(f, 3.33333299e-1f, -2.50003041e-1f, 2.00012013e-1f, -1.66415727e-1f, 1.42099317e-1f,
                                -1.29893643e-1f, 1.26558335e-1f, -7.97412368e-2f);
}
TG_INLINE float tg_log_sum_f32(float f, float k, float c) {
    float rest = tg_log_series_f32(f) + (k * TG_LN2_LO_F + c);
    return k * TG_LN2_HI_F + (f + (rest - 0.5f * f * f));
}

TG_INLINE double tg_vlog_f64(double x) {
    tg_log_parts_f64 p = tg_log_split_f64(x);
    return tg_log_ends_f64(x, tg_log_sum_f64(p.f, p.k, 0));
}
TG_INLINE float tg_vlog_f32(float x) {
    tg_log_parts_f32 p = tg_log_split_f32(x);
    return tg_log_ends_f32(x, tg_log_sum_f32(p.f, p.k, 0));
}

/* log(1 + f) as a sum: the first part is short, so that its product with a short constant is exact */
TG_INLINE tg_sum_f64 tg_log_pair_f64(double f) {
    double s = f / (2 + f), half = 0.5 * f * f, r = tg_log_series_f64(s * s);
    double hi = tg_high_f64(f - half);
    return (tg_sum_f64){hi, ((f - hi) - half) + s * (half + r)};
}
TG_INLINE double tg_vlog2_f64(double x) {
    const double hi = 0x1.715476p+0, lo = 0x1.4ae0bf85ddf44p-26; /* 1 / ln 2 */
    tg_log_parts_f64 p = tg_log_split_f64(x);
    tg_sum_f64 l = tg_log_pair_f64(p.f);
    double top = l.hi * hi, rest = (l.lo + l.hi) * lo + l.lo * hi, sum = p.k + top;
    rest += (p.k - sum) + top;
    return tg_log_ends_f64(x, rest + sum);
}
TG_INLINE double tg_vlog10_f64(double x) {
    const double hi = 0x1.bcb7b1p-2, lo = 0x1.49b9438ca9aaep-28;                /* 1 / ln 10 */
    const double two_hi = 0x1.34413509f6p-2, two_lo = 0x1.9fef311f12b36p-42;    /* log10(2) */
    tg_log_parts_f64 p = tg_log_split_f64(x);
    tg_sum_f64 l = tg_log_pair_f64(p.f);
    double top = l.hi * hi, whole = p.k * two_hi, sum = whole + top;
    double rest = p.k * two_lo + ((l.lo + l.hi) * lo + l.lo * hi) + ((whole - sum) + top);
    return tg_log_ends_f64(x, rest + sum);
}
/* log2 of a positive finite float to 2^-38, in double, where it is normal */
TG_INLINE double tg_log2_wide_f32(float x) {
    uint64_t bits = tg_bits_f64((double)x) + (UINT64_C(0x3ff0000000000000) - TG_SQRT_HALF_F64);
    double k = tg_from_bits_f64((bits >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023);
    double f = tg_from_bits_f64((bits & UINT64_C(0x000fffffffffffff)) + TG_SQRT_HALF_F64) - 1;
    double p = TG_POLY14(f, 1.4426950408865581, -7.2134752032706363e-1, 4.8089834881215255e-1, -3.6067379323958003e-1,
                         2.8853879491620662e-1, -2.4044642727553743e-1, 2.0610714650777953e-1, -1.8043691560359704e-1,
                         1.6021642802333612e-1, -1.4249667172512218e-1, 1.3027581734088887e-1, -1.3463854348719727e-1,
                         1.3251810370611199e-1, -6.9732969546647529e-2);
    return k + f * p;
}
TG_INLINE float tg_vlog2_f32(float x) { return tg_log_ends_f32(x, (float)tg_log2_wide_f32(x)); }
TG_INLINE float tg_vlog10_f32(float x) {
    return tg_log_ends_f32(x, (float)(tg_log2_wide_f32(x) * 0.30102999566398119521));
}

/* log(1 + x + low) for x > -1, with what rounding 1 + x has lost */
TG_INLINE double tg_log1p_sum_f64(double x, double low) {
    double u = 1 + x;
    tg_log_parts_f64 p = tg_log_split_f64(u);
    double lost = x > 1 ? 1 - (u - x) : x - (u - 1);
    double c = (lost + low) / u;
    return p.k == 0 ? tg_log_sum_f64(x, 0, low / u) : tg_log_sum_f64(p.f, p.k, c);
}
TG_INLINE double tg_vlog1p_f64(double x) {
    double y = tg_log1p_sum_f64(x, 0);
    y = x == -1 ? -INFINITY : y;
    y = x < -1 ? NAN : y;
    y = x == 0 ? x : y;
    return x < INFINITY ? y : x;
}
TG_INLINE float tg_vlog1p_f32(float x) {
    float u = 1 + x;
    tg_log_parts_f32 p = tg_log_split_f32(u);
    float lost = x > 1 ? 1 - (u - x) : x - (u - 1), c = lost / u;
    float f = p.k == 0 ? x : p.f;
    float y = tg_log_sum_f32(f, p.k, p.k == 0 ? 0 : c);
    y = x == -1 ? -INFINITY : y;
    y = x < -1 ? NAN : y;
    y = x == 0 ? x : y;
    return x < INFINITY ? y : x;
}

/* The square root of s, where s + low is meant, as a sum. */
TG_INLINE tg_sum_f64 tg_sqrt_pair_f64(double s, double low) {
    double r = sqrt(s), h = tg_high_f64(r), t = r - h;
    double rest = ((s - h * h) - 2 * h * t) - t * t + low;
    return (tg_sum_f64){r, r > 0 ? rest / (2 * r) : 0};
}

/* x + x^3 p(x^2) up to 1/2, log(x + sqrt(x^2 + 1)) above */
TG_INLINE double tg_vasinh_f64(double x) {
    double a = fabs(x), z = x * x;
    double p = TG_POLY12(z, -1.6666666666666666e-1, 7.4999999999986872e-2, -4.4642857140327683e-2, 3.0381944253153975e-2,
                         -2.2372151594786451e-2, 1.7352590374444953e-2, -1.3962266134592714e-2, 1.1526434236681883e-2,
                         -9.592511726204401e-3, 7.6254212436415372e-3, -4.9978833822870928e-3, 1.8891162051842385e-3);
    double b = a < 0x1p28 ? a : 1, h = tg_high_f64(b), t = b - h;
    double square = b * b, square_lost = ((h * h - square) + 2 * h * t) + t * t, s = square + 1;
    double s_lost = square > 1 ? 1 - (s - square) : square - (s - 1);
    tg_sum_f64 root = tg_sqrt_pair_f64(s, s_lost + square_lost);
    double u = root.hi + b, u_lost = (root.hi - u) + b + root.lo;
    u = a < 0x1p28 ? u : a;
    tg_log_parts_f64 q = tg_log_split_f64(u);
    double large = tg_log_sum_f64(q.f, q.k + (a < 0x1p28 ? 0 : 1), a < 0x1p28 ? u_lost / u : 0);
    large = a < INFINITY ? large : a;
    return tg_copysign_f64(a < 0.5 ? a + a * (z * p) : large, x);
}
/* log1p(t + sqrt(t (t + 2))), t = x - 1 */
TG_INLINE double tg_vacosh_f64(double x) {
    double b = x < 0x1p28 ? x : 1, t = b - 1, h = tg_high_f64(t), l = t - h;
    double square = t * t, square_lost = ((h * h - square) + 2 * h * l) + l * l;
    double s = square + 2 * t, s_lost = t < 2 ? square - (s - 2 * t) : 2 * t - (s - square);
    tg_sum_f64 root = tg_sqrt_pair_f64(s, s_lost + square_lost);
    double v = t + root.hi, v_lost = (root.hi - v) + t + root.lo;
    tg_log_parts_f64 q = tg_log_split_f64(x);
    double y = x < 0x1p28 ? tg_log1p_sum_f64(v, v_lost) : tg_log_sum_f64(q.f, q.k + 1, 0);
    y = x < 1 ? NAN : y;
    return x < INFINITY ? y : x;
}
/* the logarithm's own series while x is in its range, then (log1p(x) - log1p(-x)) / 2, whose terms have one sign */
TG_INLINE double tg_vatanh_f64(double x) {
    double a = fabs(x), small = x + x * (0.5 * tg_log_series_f64(x * x));
    double large = 0.5 * (tg_log1p_sum_f64(a, 0) - tg_log1p_sum_f64(-a, 0));
    large = a == 1 ? INFINITY : large;
    large = a > 1 ? NAN : large;
    double y = a < 0.17 ? small : tg_copysign_f64(large, x);
    return x == x ? y : x;
}

/* In float the plain formulas in double are more than enough. */
TG_INLINE float tg_vasinh_f32(float x) {
    double a = fabs((double)x), y = tg_vlog1p_f64(a + a * a / (1 + sqrt(a * a + 1)));
    return tg_copysign_f32((float)(a < INFINITY ? y : a), x);
}
TG_INLINE float tg_vacosh_f32(float x) {
    double t = (double)x - 1, y = tg_vlog1p_f64(t + sqrt(t * (t + 2)));
    return t < 0 ? NAN : (float)y;
}
TG_INLINE float tg_vatanh_f32(float x) {
    double a = fabs((double)x);
    return tg_copysign_f32((float)(0.5 * tg_vlog1p_f64(2 * a / (1 - a))), x);
}

#endif
