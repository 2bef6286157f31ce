/* Vectorised erf and erfc: the rational functions of FDLIBM's s_erf.c (Sun Microsystems, 1993; "Permission to use, copy,
 * modify, and distribute this software is freely granted, provided that this notice is preserved"), all four evaluated
 * and one chosen.
 */
#ifndef TG_VECTOR_ERF_H
#define TG_VECTOR_ERF_H

#include "vector_exp.h"

/* a = |x|: top / bottom of its interval, and exp(-x^2 - 9/16 + top/bottom) / a beyond 1.25 */
typedef struct { double ratio, tail; } tg_erf_parts;
TG_INLINE tg_erf_parts tg_erf_split(double a) {
    double z = a * a, s = a - 1, w = 1 / z;
    double top = TG_POLY5(z, 1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
                          -5.77027029648944159157e-03, -2.37630166566501626084e-05);
    double bottom = TG_POLY6(z, 1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
                             1.32494738004321644526e-04, -3.96022827877536812320e-06);
    double top1 = TG_POLY7(s, -2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
                           3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
                           -2.16637559486879084300e-03);
    double bottom1 = TG_POLY7(s, 1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
                              1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02);
    double top2 = TG_POLY8(w, -9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e+01,
                           -6.23753324503260060396e+01, -1.62396669462573470355e+02, -1.84605092906711035994e+02,
                           -8.12874355063065934246e+01, -9.81432934416914548592e+00);
    double bottom2 = TG_POLY9(w, 1.0, 1.96512716674392571292e+01, 1.37657754143519042600e+02, 4.34565877475229228821e+02,
                              6.45387271733267880336e+02, 4.29008140027567833386e+02, 1.08635005541779435134e+02,
                              6.57024977031928170135e+00, -6.04244152148580987438e-02);
    double top3 = TG_POLY7(w, -9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e+01,
                           -1.60636384855821916062e+02, -6.37566443368389627722e+02, -1.02509513161107724954e+03,
                           -4.83519191608651397019e+02);
    double bottom3 = TG_POLY8(w, 1.0, 3.03380607434824582924e+01, 3.25792512996573918826e+02, 1.53672958608443695994e+03,
                              3.19985821950859553908e+03, 2.55305040643316442583e+03, 4.74528541206955367215e+02,
                              -2.24409524465858183362e+01);
    top = a >= 0.84375 ? top1 : top;
    bottom = a >= 0.84375 ? bottom1 : bottom;
    top = a >= 1.25 ? top2 : top;
    bottom = a >= 1.25 ? bottom2 : bottom;
    top = a >= 1 / 0.35 ? top3 : top;
    bottom = a >= 1 / 0.35 ? bottom3 : bottom;
    double ratio = top / bottom, b = a < 28 ? a : 28, h = tg_high_f64(b); /* the square of h is exact */
    tg_sum_f64 e = tg_exp_pair_f64(-h * h - 0.5625, (h - b) * (h + b) + ratio);
    return (tg_erf_parts){ratio, e.hi / b + e.lo * (w * b)};
}
#define TG_ERF_ONE 8.45062911510467529297e-01 /* erf(1), rounded to float */

TG_INLINE double tg_verf_f64(double x) {
    double a = fabs(x);
    tg_erf_parts p = tg_erf_split(a);
    double y = a < 1.25 ? TG_ERF_ONE + p.ratio : 1 - p.tail;
    y = tg_copysign_f64(a < 6 ? y : 1.0, x);
    y = a < 0.84375 ? x + x * p.ratio : y;
    y = a < 1e-150 ? x * 1.12837916709551257390 : y; /* where z has no digits left */
    return x == x ? y : x;
}
TG_INLINE double tg_verfc_f64(double x) {
    double a = fabs(x);
    tg_erf_parts p = tg_erf_split(a);
    double y = x < 0 ? 2 - p.tail : p.tail;
    double near = x < 0 ? (1 + TG_ERF_ONE) + p.ratio : (1 - TG_ERF_ONE) - p.ratio;
    y = a < 1.25 ? near : y;
    y = a < 0.84375 ? (x < 0.25 ? 1 - (x + x * p.ratio) : 0.5 - ((x - 0.5) + x * p.ratio)) : y;
    y = x > 28 ? 0 : y;
    return x == x ? y : x;
}
/* float: x + x p(x^2) up to 0.92, then 1 - exp(a q(a)), where the error of the exponential matters little */
TG_INLINE float tg_verf_f32(float x) {
    float a = fabsf(x), z = x * x, b = a > 4.05f ? 4.05f : a;
    float p = TG_POLY6(z, 0.12837915f, -3.76124854e-1f, 1.12817272e-1f, -2.67633385e-2f, 4.98831124e-3f, -5.96579485e-4f);
    float q = TG_POLY8(b, -1.12883915f, -6.34380649e-1f, -1.0750904e-1f, 2.48656799e-2f, -4.1796172e-3f, 4.66412325e-4f,
                       -2.98623088e-5f, 7.8431003e-7f);
    float e = tg_exp_upto_f32(b * q);
    return tg_copysign_f32(a < 0.92f ? a + a * p : 1 - e, x);
}
TG_INLINE float tg_verfc_f32(float x) { return (float)tg_verfc_f64(x); }

#endif
