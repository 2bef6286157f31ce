/* Vectorised sin, cos, tan and their inverses.
 *
 * The argument is reduced by k pi/2 with pi/2 in several parts (Cody and Waite), for |x| up to TG_TRIG_LIMIT; beyond it the
 * loops go to the C library's functions (TG_UNARY_WITHIN in loops.h). Coefficients: tools/minimax.py.
 */
#ifndef TG_VECTOR_TRIG_H
#define TG_VECTOR_TRIG_H

#include "vector_core.h"

#define TG_TWO_OVER_PI 0.63661977236758134308
#define TG_TRIG_LIMIT 1e6 /* k < 2^20, and each part of pi/2 has 33 bits */
#define TG_PIO2_1 0x1.921fb544p+0
#define TG_PIO2_2 0x1.0b4611a6p-34
#define TG_PIO2_3 0x1.3198a2ep-69
#define TG_PIO2_4 0x1.b839a252049c1p-104
#define TG_PIO2_HI 0x1.921fb54442d18p+0
#define TG_PIO2_LO 0x1.1a62633145c07p-54

/* x - k pi/2 = r + low, and k mod 4 */
typedef struct { double r, low; uint64_t quadrant; } tg_angle_f64;
TG_INLINE tg_angle_f64 tg_reduce_f64(double x) {
    double shifted = x * TG_TWO_OVER_PI + TG_ROUND_F64, k = shifted - TG_ROUND_F64;
    double a = x - k * TG_PIO2_1;
    double w = k * TG_PIO2_2, b = a - w, v = a - b, lost = (a - (b + v)) + (v - w); /* a - w exactly, two times */
    double w3 = k * TG_PIO2_3, c = b - w3, v3 = b - c;
    lost += ((b - (c + v3)) + (v3 - w3)) - k * TG_PIO2_4;
    double r = c + lost;
    return (tg_angle_f64){r, (c - r) + lost, tg_bits_f64(shifted)};
}
/* (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 at z = r^2 */
TG_INLINE double tg_sin_series_f64(double z) {
    return TG_POLY6(z, -1.6666666666666665e-1, 8.3333333333309006e-3, -1.9841269836691388e-4, 2.7557316069769174e-6,
                    -2.5051125347963124e-8, 1.5917680584819894e-10);
}
TG_INLINE double tg_cos_series_f64(double z) {
    return TG_POLY6(z, 4.1666666666666665e-2, -1.3888888888887373e-3, 2.4801587298730496e-5, -2.7557317254315931e-7,
                    2.0876142775765709e-9, -1.1382388702590074e-11);
}
TG_INLINE double tg_sin_kernel_f64(double r, double low) {
    double z = r * r;
    return r + (low - r * (0.5 * z * low - z * tg_sin_series_f64(z)));
}
TG_INLINE double tg_cos_kernel_f64(double r, double low) {
    double z = r * r, half = 0.5 * z, w = 1 - half;
    return w + (((1 - w) - half) + (z * z * tg_cos_series_f64(z) - r * low));
}
/* one of two numbers by the lowest bit of n, without a comparison of integers */
TG_INLINE double tg_choose_f64(uint64_t n, double even, double odd) {
    uint64_t mask = 0 - (n & 1);
    return tg_from_bits_f64((tg_bits_f64(even) & ~mask) | (tg_bits_f64(odd) & mask));
}
TG_INLINE float tg_choose_f32(uint32_t n, float even, float odd) {
    uint32_t mask = 0 - (n & 1);
    return tg_from_bits_f32((tg_bits_f32(even) & ~mask) | (tg_bits_f32(odd) & mask));
}
/* sin(x + shift pi/2) */
TG_INLINE double tg_sin_shifted_f64(double x, uint64_t shift) {
    tg_angle_f64 t = tg_reduce_f64(x);
    uint64_t n = t.quadrant + shift;
    double y = tg_choose_f64(n, tg_sin_kernel_f64(t.r, t.low), tg_cos_kernel_f64(t.r, t.low));
    return tg_from_bits_f64(tg_bits_f64(y) ^ ((n & 2) << 62));
}
TG_INLINE double tg_vsin_f64(double x) {
    double y = tg_sin_shifted_f64(x, 0);
    return x == 0 ? x : y;
}
TG_INLINE double tg_vcos_f64(double x) { return tg_sin_shifted_f64(x, 1); }
TG_INLINE double tg_vtan_f64(double x) {
    tg_angle_f64 t = tg_reduce_f64(x);
    /* sin and cos in two parts each: the quotient of the rounded ones would be 2 ULP off */
    double z = t.r * t.r, half = 0.5 * z, w = 1 - half;
    double s_rest = t.low - t.r * (half * t.low - z * tg_sin_series_f64(z)), s = t.r + s_rest, s_low = (t.r - s) + s_rest;
    double c_rest = ((1 - w) - half) + (z * z * tg_cos_series_f64(z) - t.r * t.low), c = w + c_rest, c_low = (w - c) + c_rest;
    double top = tg_choose_f64(t.quadrant, s, -c), bottom = tg_choose_f64(t.quadrant, c, s), y = top / bottom;
    y += (tg_choose_f64(t.quadrant, s_low, -c_low) - y * tg_choose_f64(t.quadrant, c_low, s_low)) / bottom;
    return x == 0 ? x : y;
}

/* float: with fused operations the reduction by three parts of pi/2, x - k PIO2_1 being exact for |r| < 1; without them in double,
 * by two parts */
typedef struct { float r; uint32_t quadrant; } tg_angle_f32;
TG_INLINE tg_angle_f32 tg_reduce_f32(float x, int fused) {
    if (fused) {
        float shifted = __builtin_fmaf(x, (float)TG_TWO_OVER_PI, TG_ROUND_F32), k = shifted - TG_ROUND_F32;
        float r = __builtin_fmaf(-k, 0x1.921fb6p+0f, x);
        r = __builtin_fmaf(-k, -0x1.777a5cp-25f, r);
        return (tg_angle_f32){__builtin_fmaf(-k, -0x1.ee59dap-50f, r), tg_bits_f32(shifted)};
    }
    double k = tg_round_f64((double)x * TG_TWO_OVER_PI);
    double r = ((double)x - k * TG_PIO2_1) - k * 0x1.0b4611a626331p-34;
    return (tg_angle_f32){(float)r, (uint32_t)(int32_t)k};
}
TG_INLINE float tg_sin_kernel_f32(float r) {
    float z = r * r;
    return r + r * (z * TG_POLY3(z, -1.66666646e-1f, 8.33274264e-3f, -1.95868544e-4f));
}
TG_INLINE float tg_cos_kernel_f32(float r) {
    float z = r * r;
    return 1 - (0.5f * z - z * z * TG_POLY3(z, 4.16666646e-2f, -1.38882986e-3f, 2.45471018e-5f));
}
TG_INLINE float tg_sin_shifted_f32(float x, uint32_t shift, int fused) {
    tg_angle_f32 t = tg_reduce_f32(x, fused);
    uint32_t n = t.quadrant + shift;
    float y = tg_choose_f32(n, tg_sin_kernel_f32(t.r), tg_cos_kernel_f32(t.r));
    return tg_from_bits_f32(tg_bits_f32(y) ^ ((n & 2) << 30));
}
TG_INLINE float tg_vsin_f32(float x, int fused) {
    float y = tg_sin_shifted_f32(x, 0, fused);
    return x == 0 ? x : y;
}
TG_INLINE float tg_vcos_f32(float x, int fused) { return tg_sin_shifted_f32(x, 1, fused); }
TG_INLINE float tg_vtan_f32(float x, int fused) {
    (void)fused;
    double k = tg_round_f64((double)x * TG_TWO_OVER_PI);
    double r = ((double)x - k * TG_PIO2_1) - k * 0x1.0b4611a626331p-34;
    double z = r * r; /* float's polynomials, evaluated in double */
    double s = r + r * (z * TG_POLY3(z, -1.66666646e-1, 8.33274264e-3, -1.95868544e-4));
    double c = 1 - (0.5 * z - z * z * TG_POLY3(z, 4.16666646e-2, -1.38882986e-3, 2.45471018e-5));
    uint64_t n = tg_bits_f64(k + TG_ROUND_F64);
    float y = (float)(tg_choose_f64(n, s, -c) / tg_choose_f64(n, c, s));
    return x == 0 ? x : y;
}

/* ---- inverses ---------------------------------------------------------------------------------- */
/* (asin(x) - x) / x at z = x^2, |x| <= 1/2 */
TG_INLINE double tg_asin_series_f64(double z) {
    return z * TG_POLY12(z, 1.6666666666666647e-1, 7.5000000000221073e-2, 4.4642857101236312e-2, 3.0381947505792285e-2,
                         2.2372043128241681e-2, 1.7355345159798026e-2, 1.3928648965201662e-2, 1.1883084649958194e-2,
                         7.7661121269464652e-3, 1.6146457728186907e-2, -1.0937771762734099e-2, 2.8307783151069074e-2);
}
/* up to 1/2 the series; above asin(x) = pi/2 - 2 asin(sqrt((1 - x)/2)), the square root in two parts (FDLIBM) */
TG_INLINE double tg_vasin_f64(double x) {
    double a = fabs(x), z = a < 0.5 ? x * x : (1 - a) * 0.5, r = tg_asin_series_f64(z);
    double s = sqrt(z), f = tg_high_f64(s), c = s > 0 ? (z - f * f) / (s + f) : 0;
    double large = 0.5 * TG_PIO2_HI - (2 * s * r - (TG_PIO2_LO - 2 * c) - (0.5 * TG_PIO2_HI - 2 * f));
    return a < 0.5 ? x + x * r : tg_copysign_f64(large, x);
}
TG_INLINE double tg_vacos_f64(double x) {
    double a = fabs(x), z = a < 0.5 ? x * x : (1 - a) * 0.5, r = tg_asin_series_f64(z);
    double s = sqrt(z), f = tg_high_f64(s), c = s > 0 ? (z - f * f) / (s + f) : 0;
    double middle = TG_PIO2_HI - (x - (TG_PIO2_LO - x * r));
    double right = 2 * (f + (r * s + c)), left = 2 * (TG_PIO2_HI - (s + (r * s - TG_PIO2_LO)));
    double y = x < 0 ? left : right;
    return a < 0.5 ? middle : y;
}
/* atan(x) = atan(c) + atan((x - c)/(1 + c x)) with c of 0, 1/2, 1, 3/2, infinity (FDLIBM) */
TG_INLINE double tg_vatan_f64(double x) {
    double a = fabs(x), top = a, bottom = 1, hi = 0, lo = 0;
    int half = a >= 0.4375, one = a >= 0.6875, more = a >= 1.1875, far = a >= 2.4375;
    top = half ? 2 * a - 1 : top;
    bottom = half ? 2 + a : bottom;
    hi = half ? 0x1.dac670561bb4fp-2 : hi;
    lo = half ? 0x1.a2b7f222f65e2p-56 : lo;
    top = one ? a - 1 : top;
    bottom = one ? a + 1 : bottom;
    hi = one ? 0x1.921fb54442d18p-1 : hi;
    lo = one ? 0x1.1a62633145c07p-55 : lo;
    top = more ? a - 1.5 : top;
    bottom = more ? 1 + 1.5 * a : bottom;
    hi = more ? 0x1.f730bd281f69bp-1 : hi;
    lo = more ? 0x1.007887af0cbbdp-56 : lo;
    top = far ? -1 : top;
    bottom = far ? a : bottom;
    hi = far ? TG_PIO2_HI : hi;
    lo = far ? TG_PIO2_LO : lo;
    double t = top / bottom, z = t * t;
    double p = TG_POLY11(z, -3.3333333333333324e-1, 1.9999999999987929e-1, -1.4285714283174194e-1, 1.11111109021327e-1,
                         -9.0909002444472311e-2, 7.6920882165279841e-2, -6.6632486040389608e-2, 5.8477858781363877e-2,
                         -5.0341827240615043e-2, 3.7830348882497876e-2, -1.755179993491635e-2);
    return tg_copysign_f64(hi + (t + (t * (z * p) + lo)), x);
}
TG_INLINE float tg_vasin_f32(float x) { return (float)tg_vasin_f64(x); }
TG_INLINE float tg_vacos_f32(float x) { return (float)tg_vacos_f64(x); }
/* atan(x) = pi/2 - atan(1/x) above 1 */
TG_INLINE float tg_vatan_f32(float x) {
    float a = fabsf(x), inverse = 1 / a, t = a > 1 ? inverse : a, z = t * t;
    float p = TG_POLY9(z, -3.33333319e-1f, 1.99997565e-1f, -1.42789128e-1f, 1.10364191e-1f, -8.66701446e-2f, 6.27128497e-2f,
                       -3.61162265e-2f, 1.36558598e-2f, -2.42349341e-3f);
    float y = t + t * (z * p), far = 1.57079637f - (y + 4.37113883e-8f); /* pi/2 in two parts */
    return tg_copysign_f32(a > 1 ? far : y, x);
}

#endif
