/* Vectorised pow. double: the scheme of FDLIBM's e_pow.c (Sun Microsystems, 1993), log2(x) in two parts and 2^(y log2 x), with
 * short factors where products must be exact. float: the same in plain double.
 */
#ifndef TG_VECTOR_POW_H
#define TG_VECTOR_POW_H

#include "vector_log.h"

/* the upper 21 bits of the mantissa */
TG_INLINE double tg_short_f64(double x) { return tg_from_bits_f64(tg_bits_f64(x) & 0xffffffff00000000u); }

/* What pow is where the formula does not serve. `odd` is not 0 for an odd exponent, `fraction` for one that is not whole.
 * Conditions are kept as numbers: GCC 12 does not vectorise logic on conditions of several types. */
#define TG_POW_ENDS(T, S)                                                                                    \
    TG_INLINE T tg_pow_ends_##S(T x, T y, T power, T fraction, T odd) {                                      \
        T a = (T)fabs(x), sign = odd != 0 ? (T)-1 : (T)1, factor = fraction != 0 ? (T)NAN : sign;            \
        T at_zero = y < 0 ? (T)INFINITY : (T)0, at_infinity = y < 0 ? (T)0 : (T)INFINITY;                    \
        T minus = tg_copysign_##S(1, x);                                                                     \
        sign = fraction != 0 ? (T)1 : sign;                                                                  \
        sign = minus < 0 ? sign : (T)1;                                                                      \
        factor = minus < 0 ? factor : (T)1;                                                                  \
        T r = a == 0 ? at_zero * sign : power * factor;                                                      \
        r = a == (T)INFINITY ? at_infinity * sign : r;                                                       \
        T grows = a > 1 ? (T)INFINITY : (T)0, shrinks = a > 1 ? (T)0 : (T)INFINITY;                          \
        T limit = y > 0 ? grows : shrinks;                                                                   \
        limit = a == 1 ? (T)1 : limit;                                                                       \
        r = (T)fabs(y) == (T)INFINITY ? limit : r;                                                           \
        r = x != x ? x : r;                                                                                  \
        r = y != y ? y : r;                                                                                  \
        r = x == 1 ? (T)1 : r;                                                                               \
        return y == 0 ? (T)1 : r;                                                                            \
    }
TG_POW_ENDS(double, f64)
TG_POW_ENDS(float, f32)

/* x^y for 0 < x < infinity and a finite y */
TG_INLINE double tg_pow_positive_f64(double a, double y) {
    double scaled = a < 0x1p-1022 ? a * 0x1p54 : a;
    /* a = 2^n m, m between sqrt(3)/2 and sqrt(3); near 3/2 the series is about 3/2 */
    uint64_t bits = tg_bits_f64(scaled) + (UINT64_C(0x3ff0000000000000) - UINT64_C(0x3febb67ae8584caa));
    double n = tg_from_bits_f64((bits >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023);
    n = a < 0x1p-1022 ? n - 54 : n;
    double m = tg_from_bits_f64((bits & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3febb67ae8584caa));
    int about = m > 1.22474487139158904910;
    double base = about ? 1.5 : 1.0, dp_hi = about ? 5.84962487220764160156e-01 : 0;
    double dp_lo = about ? 1.35003920212974897128e-08 : 0;
    /* s = (m - base) / (m + base) in two parts */
    double u = m - base, v = 1 / (m + base), s = u * v, s_hi = tg_short_f64(s), t_hi = tg_short_f64(m + base);
    double t_lo = m - (t_hi - base), s_lo = v * ((u - s_hi * t_hi) - s_hi * t_lo);
    double s2 = s * s;
    double r = s2 * s2 * TG_POLY6(s2, 5.99999999999994648725e-01, 4.28571428578550184252e-01, 3.33333329818377432918e-01,
                                  2.72728123808534006489e-01, 2.30660745775561754067e-01, 2.06975017800338417784e-01);
    r += s_lo * (s_hi + s);
    double square = s_hi * s_hi, w_hi = tg_short_f64(3.0 + square + r), w_lo = r - ((w_hi - 3.0) - square);
    u = s_hi * w_hi;
    v = s_lo * w_hi + w_lo * s;
    double p_hi = tg_short_f64(u + v), p_lo = v - (p_hi - u);
    /* times 2 / (3 ln 2), plus log2(base) and n: log2(a) = l_hi + l_lo */
    double z_hi = 9.61796700954437255859e-01 * p_hi;
    double z_lo = -7.02846165095275826516e-09 * p_hi + p_lo * 9.61796693925975554329e-01 + dp_lo;
    double l_hi = tg_short_f64(((z_hi + z_lo) + dp_hi) + n), l_lo = z_lo - (((l_hi - n) - dp_hi) - z_hi);
    double c = y > 0x1p64 ? 0x1p64 : y;
    c = c < -0x1p64 ? -0x1p64 : c;
    double y_hi = tg_short_f64(c), e_lo = (c - y_hi) * l_hi + c * l_lo, e_hi = y_hi * l_hi, e = e_hi + e_lo;
    double fits = fabs(e) < 1100.0 ? 1 : 0, end = e > 0 ? INFINITY : 0;
    e_hi = fits != 0 ? e_hi : 0;
    e_lo = fits != 0 ? e_lo : 0;
    /* 2^(e_hi + e_lo) */
    double k = tg_round_f64(e_hi + e_lo), part = e_hi - k, g = tg_short_f64(part + e_lo);
    double q = (e_lo - (g - part)) * 6.93147180559945286227e-01 + g * -1.90465429995776804525e-09;
    double h = g * 6.93147182464599609375e-01, d = h + q, lost = q - (d - h);
    double power = tg_scale_f64(1 + (d + (lost + d * d * tg_exp_tail_f64(d))), k);
    return fits != 0 ? power : end;
}
TG_INLINE double tg_vpow_f64(double x, double y) {
    double power = tg_pow_positive_f64(fabs(x), y);
    /* |y| >= 2^53 is even */
    double y_abs = fabs(y), low = y_abs < 0x1p52 ? y_abs : 0, half = 0.5 * low;
    double whole = (low + 0x1p52) - 0x1p52, even = (half + 0x1p52) - 0x1p52;
    double last = tg_from_bits_f64(tg_bits_f64(y_abs) << 63); /* -0 if the mantissa is odd */
    double odd_large = y_abs < 0x1p53 ? tg_copysign_f64(1, last) - 1 : 0, odd = y_abs < 0x1p52 ? even - half : odd_large;
    return tg_pow_ends_f64(x, y, power, whole - low, odd);
}

/* log2 and the power of two in double, both to 2^-31 and better */
TG_INLINE float tg_pow_positive_f32(float x, float y) {
    double e = (double)y * tg_log2_wide_f32(x);
    e = e > 200.0 ? 200.0 : e;
    e = e < -200.0 ? -200.0 : e;
    double shifted = e + TG_ROUND_F64, r = e - (shifted - TG_ROUND_F64);
    double q = TG_POLY7(r, 6.9314718058196596e-1, 2.4022650923493072e-1, 5.5504107259271743e-2, 9.6180563403763986e-3,
                        1.3333670151346387e-3, 1.5461599291170832e-4, 1.5252801196712078e-5);
    return (float)((1 + r * q) * tg_from_bits_f64((tg_bits_f64(shifted) + 1023) << 52));
}
TG_INLINE float tg_vpow_f32(float x, float y) {
    float power = tg_pow_positive_f32(fabsf(x), y);
    float y_abs = fabsf(y), low = y_abs < 0x1p23f ? y_abs : 0, half = 0.5f * low;
    float whole = (low + 0x1p23f) - 0x1p23f, even = (half + 0x1p23f) - 0x1p23f;
    float last = tg_from_bits_f32(tg_bits_f32(y_abs) << 31);
    float odd_large = y_abs < 0x1p24f ? tg_copysign_f32(1, last) - 1 : 0, odd = y_abs < 0x1p23f ? even - half : odd_large;
    return tg_pow_ends_f32(x, y, power, whole - low, odd);
}

#endif
