/* Vectorised exponentials: exp, exp2, expm1, and what follows from them: sigmoid, tanh, sinh, cosh.
 * exp(x) = 2^k exp(r) with r = x - k ln 2, |r| <= ln 2 / 2 (Cody and Waite). Coefficients: tools/minimax.py. */
#ifndef TG_VECTOR_EXP_H
#define TG_VECTOR_EXP_H

#include "vector_core.h"

#define TG_LOG2E 1.44269504088896340736
/* ln 2 in two parts, the first with so many zeros at its end that k times it is exact */
#define TG_LN2_HI 0x1.62e42feep-1
#define TG_LN2_LO 0x1.a39ef35793c76p-33
#define TG_LN2_HI_F 0x1.62e4p-1f
#define TG_LN2_LO_F 0x1.7f7d1cp-20f

/* (exp(r) - 1 - r) / r^2 */
TG_INLINE double tg_exp_tail_f64(double r) {
    return TG_POLY11(r, 5.0e-1, 1.6666666666666671e-1, 4.1666666666666618e-2, 8.3333333333261018e-3, 1.38888888889182e-3,
                     1.9841269874946405e-4, 2.4801587245414492e-5, 2.7557255231909956e-6, 2.7557349713475213e-7,
                     2.5105289865020369e-8, 2.0889413638302379e-9);
}
TG_INLINE float tg_exp_tail_f32(float r) {
    return TG_POLY5(r, 4.99999995e-1f, 1.66665769e-1f, 4.16668541e-2f, 8.36320789e-3f, 1.39013196e-3f);
}

/* exp(x + low) * 2^shift, where low is at most about 1 */
TG_INLINE double tg_exp_shifted_f64(double x, double low, double shift) {
    x = x > 712.0 ? 712.0 : x;
    x = x < -747.0 ? -747.0 : x;
    double k = tg_round_f64((x + low) * TG_LOG2E);
    double hi = x - k * TG_LN2_HI, lo = k * TG_LN2_LO - low, r = hi - lo, lost = (hi - r) - lo;
    double tail = lost + r * r * tg_exp_tail_f64(r);
    return tg_scale_f64(1 + (r + tail), k + shift);
}
TG_INLINE double tg_vexp_f64(double x) { return tg_exp_shifted_f64(x, 0, 0); }
TG_INLINE float tg_vexp_f32(float x) {
    float c = x > 89.0f ? 89.0f : x;
    c = c < -104.5f ? -104.5f : c;
    float shifted = c * (float)TG_LOG2E + TG_ROUND_F32, k = shifted - TG_ROUND_F32;
    float hi = c - k * TG_LN2_HI_F, lo = k * TG_LN2_LO_F, r = hi - lo, lost = (hi - r) - lo;
    float tail = lost + r * r * tg_exp_tail_f32(r);
    int32_t n = (int32_t)(tg_bits_f32(shifted) - tg_bits_f32(TG_ROUND_F32));
    return tg_scale_f32(1 + (r + tail), n);
}

TG_INLINE double tg_vexp2_f64(double x) {
    x = x > 1025.0 ? 1025.0 : x;
    x = x < -1077.0 ? -1077.0 : x;
    double k = tg_round_f64(x), r = x - k;
    double p = TG_POLY12(r, 6.9314718055994531e-1, 2.4022650695910071e-1, 5.5504108664821628e-2, 9.6181291076284361e-3,
                         1.333355814640622e-3, 1.5403530393467486e-4, 1.5252733841893927e-5, 1.3215486720625578e-6,
                         1.0178056908012185e-7, 7.0549323815332453e-9, 4.455850742778996e-10, 2.5678529966295188e-11);
    return tg_scale_f64(1 + r * p, k);
}
TG_INLINE float tg_vexp2_f32(float x) {
    float c = x > 129.0f ? 129.0f : x;
    c = c < -151.0f ? -151.0f : c;
    float shifted = c + TG_ROUND_F32, r = c - (shifted - TG_ROUND_F32);
    float p = TG_POLY7(r, 6.93147181e-1f, 2.40226509e-1f, 5.55041073e-2f, 9.61805634e-3f, 1.33336702e-3f, 1.54615993e-4f,
                       1.52528012e-5f);
    return tg_scale_f32(1 + r * p, (int32_t)(tg_bits_f32(shifted) - tg_bits_f32(TG_ROUND_F32)));
}

/* 2^k (expm1(r) + (1 - 2^-k)); c is what rounding r has lost */
TG_INLINE double tg_vexpm1_f64(double x) {
    double t = x > 712.0 ? 712.0 : x;
    t = t < -40.0 ? -40.0 : t;
    double k = tg_round_f64(t * TG_LOG2E);
    double hi = t - k * TG_LN2_HI, lo = k * TG_LN2_LO, r = hi - lo, c = (hi - r) - lo;
    double p = r + (c + r * r * tg_exp_tail_f64(r));
    double m = k > 60.0 ? 60.0 : k;
    double one = 1 - tg_from_bits_f64((tg_bits_f64(TG_ROUND_F64 - m) + 1023) << 52);
    double y = tg_scale_f64(p + one, k);
    return x == 0 ? x : y;
}
TG_INLINE float tg_vexpm1_f32(float x) {
    float t = x > 89.0f ? 89.0f : x;
    t = t < -20.0f ? -20.0f : t;
    float shifted = t * (float)TG_LOG2E + TG_ROUND_F32, k = shifted - TG_ROUND_F32;
    float hi = t - k * TG_LN2_HI_F, lo = k * TG_LN2_LO_F, r = hi - lo, c = (hi - r) - lo;
    float p = r + (c + r * r * tg_exp_tail_f32(r));
    int32_t n = (int32_t)(tg_bits_f32(shifted) - tg_bits_f32(TG_ROUND_F32)), m = n > 30 ? 30 : n;
    float one = 1 - tg_from_bits_f32((uint32_t)(127 - m) << 23);
    float y = tg_scale_f32(p + one, n);
    return x == 0 ? x : y;
}

/* exp(x + low) for x <= 0 as a sum of two, for quotients, in which the errors of both of their parts would add up */
typedef struct { double hi, lo; } tg_sum_f64;
TG_INLINE tg_sum_f64 tg_exp_pair_f64(double x, double low) {
    x = x < -747.0 ? -747.0 : x;
    double k = tg_round_f64((x + low) * TG_LOG2E);
    double hi = x - k * TG_LN2_HI, lo = k * TG_LN2_LO - low, r = hi - lo, lost = (hi - r) - lo;
    double tail = lost + r * r * tg_exp_tail_f64(r), t = r + tail, y = 1 + t;
    double a = tg_from_bits_f64((tg_bits_f64(k + TG_ROUND_F64) + (1023 + 512)) << 52);
    return (tg_sum_f64){y * a * 0x1p-512, (((1 - y) + t) + ((r - t) + tail)) * a * 0x1p-512};
}

/* exp(-|x|) neither overflows nor loses the tail. s = top / bottom, then a step with what both parts have lost. */
TG_INLINE double tg_vsigmoid_f64(double x) {
    tg_sum_f64 e = tg_exp_pair_f64(-fabs(x), 0);
    double bottom = 1 + e.hi, bottom_lost = ((1 - bottom) + e.hi) + e.lo;
    double s = (x < 0 ? e.hi : 1) / bottom, inverse = x < 0 ? 1 - s : s;
    return s + ((x < 0 ? e.lo : 0) - s * bottom_lost) * inverse;
}
/* float: the exponential's own error, 0.6 ULP, leaves room enough */
TG_INLINE float tg_vsigmoid_f32(float x) {
    float a = -fabsf(x);
    a = a < -104.5f ? -104.5f : a;
    float shifted = a * (float)TG_LOG2E + TG_ROUND_F32, k = shifted - TG_ROUND_F32;
    float r = (a - k * TG_LN2_HI_F) - k * TG_LN2_LO_F, y = 1 + (r + r * r * tg_exp_tail_f32(r));
    float e = y * tg_from_bits_f32((tg_bits_f32(shifted) + (127 + 64)) << 23) * 0x1p-64f; /* down to subnormals */
    float bottom = 1 + e, lost = (1 - bottom) + e;
    float s = (x < 0 ? e : 1) / bottom, inverse = x < 0 ? 1 - s : s;
    return s - s * lost * inverse;
}

/* exp without its ends */
TG_INLINE double tg_exp_upto_f64(double x) {
    double shifted = x * TG_LOG2E + TG_ROUND_F64, k = shifted - TG_ROUND_F64, r = (x - k * TG_LN2_HI) - k * TG_LN2_LO;
    return (1 + (r + r * r * tg_exp_tail_f64(r))) * tg_from_bits_f64((tg_bits_f64(shifted) + 1023) << 52);
}
TG_INLINE float tg_exp_upto_f32(float x) {
    float shifted = x * (float)TG_LOG2E + TG_ROUND_F32, k = shifted - TG_ROUND_F32;
    float r = (x - k * TG_LN2_HI_F) - k * TG_LN2_LO_F;
    return (1 + (r + r * r * tg_exp_tail_f32(r))) * tg_from_bits_f32((tg_bits_f32(shifted) + 127) << 23);
}
TG_INLINE double tg_vtanh_f64(double x) {
    double a = fabs(x), z = x * x, e = tg_exp_upto_f64(a > 20.0 ? 40.0 : a + a);
    double p = TG_POLY11(z, -3.3333333333333323e-1, 1.3333333333326651e-1, -5.396825396138925e-2, 2.1869488260323455e-2,
                         -8.863229826531572e-3, 3.5920589309735204e-3, -1.4553090008545696e-3, 5.8743612379289389e-4,
                         -2.3077342973438615e-4, 7.9596019577408994e-5, -1.7242937692078053e-5);
    return tg_copysign_f64(a < 0.625 ? a + a * (z * p) : 1 - 2 / (e + 1), x);
}
TG_INLINE float tg_vtanh_f32(float x) {
    float a = fabsf(x), z = x * x, e = tg_exp_upto_f32(a > 10.0f ? 20.0f : a + a);
    float p = TG_POLY5(z, -3.33333289e-1f, 1.33327697e-1f, -5.38508935e-2f, 2.09970727e-2f, -6.09652698e-3f);
    return tg_copysign_f32(a < 0.625f ? a + a * (z * p) : 1 - 2 / (e + 1), x);
}

/* half of exp(|x|), which overflows no sooner than the result */
TG_INLINE double tg_vcosh_f64(double x) {
    double e = tg_exp_shifted_f64(fabs(x), 0, -1);
    return e + 0.25 / e;
}
TG_INLINE double tg_vsinh_f64(double x) {
    double a = fabs(x), z = x * x, e = tg_exp_shifted_f64(a, 0, -1);
    double p = TG_POLY8(z, 1.6666666666666667e-1, 8.3333333333333334e-3, 1.9841269841269774e-4, 2.7557319224040043e-6,
                        2.5052108364134814e-8, 1.6059048386238035e-10, 7.6466260135562184e-13, 2.8445101802436898e-15);
    double small = x + x * (z * p), large = tg_copysign_f64(e - 0.25 / e, x);
    return a < 1.0 ? small : large;
}
TG_INLINE float tg_vcosh_f32(float x) { return (float)tg_vcosh_f64(x); }
TG_INLINE float tg_vsinh_f32(float x) { return (float)tg_vsinh_f64(x); }

#endif
