/* Bessel functions, the normal distribution and their kin, in double; from their series and continued fractions (DLMF).
 *
 * As in special_math.h, devices compile the text of what begins with "static double". */
#ifndef TG_MORE_SPECIAL_MATH_H
#define TG_MORE_SPECIAL_MATH_H

#include <math.h>
#include <stdint.h>

#define TG_SQRT_HALF 0.70710678118654752440
#define TG_SQRT_TWO_PI 2.50662827463100050242
#define TG_SQRT_PI 1.77245385090551602730

/* exp(-|x|) I_n(x) for n = 0, 1: the power series, whose terms are all positive (DLMF 10.25.2), and from 30 on the
 * asymptotic one (DLMF 10.40.1), of which the smallest term is below e^-60 there. */
static double tg_scaled_bessel_i(int n, double x) {
    const double z = fabs(x);
    double sum = 1, term = 1;
    if (x != x) return x;
    if (z > 30) {
        if (z == INFINITY) return 0;
        const double mu = 4.0 * n * n;
        for (int k = 1; k < 40; k++) {
            const double odd = 2 * k - 1;
            const double next = -term * (mu - odd * odd) / (8 * k * z);
            if (fabs(next) >= fabs(term)) break;
            term = next;
            sum += term;
            if (fabs(term) < 1e-17 * fabs(sum)) break;
        }
        sum /= sqrt(2 * 3.14159265358979323846 * z);
    } else {
        const double q = z * z / 4;
        for (int k = 1; k < 200; k++) {
            term *= q / ((double)k * (k + n));
            sum += term;
            if (term < 1e-17 * sum) break;
        }
        sum *= exp(-z) * (n ? z / 2 : 1);
    }
    return n && x < 0 ? -sum : sum;
}
static double tg_i0e_d(double x) { return tg_scaled_bessel_i(0, x); }
static double tg_i1e_d(double x) { return tg_scaled_bessel_i(1, x); }
/* in two factors, since exp(x) overflows before I_n(x) does */
static double tg_i0_d(double x) { const double h = exp(fabs(x) / 2); return fabs(x) == INFINITY ? INFINITY : tg_i0e_d(x) * h * h; }
static double tg_i1_d(double x) { const double h = exp(fabs(x) / 2); return fabs(x) == INFINITY ? x : tg_i1e_d(x) * h * h; }

/* exp(x^2) erfc(x): from 3 on Laplace's continued fraction (DLMF 7.9.1), evaluated from its end. */
static double tg_erfcx_d(double x) {
    if (x < 3) return x < -26.7 ? INFINITY : exp(x * x) * erfc(x);
    double t = 0;
    for (int k = 60; k > 0; k--) t = k * 0.5 / (x + t);
    return 1 / (TG_SQRT_PI * (x + t));
}

static double tg_ndtr_d(double x) { return 0.5 * erfc(-x * TG_SQRT_HALF); }
static double tg_log_ndtr_d(double x) {
    return x < -1 ? log(0.5 * tg_erfcx_d(-x * TG_SQRT_HALF)) - x * x / 2 : log1p(-0.5 * erfc(x * TG_SQRT_HALF));
}

/* The inverse of ndtr: Abramowitz and Stegun 26.2.23, then Newton's steps on the logarithm. */
static double tg_ndtri_d(double p) {
    if (!(p > 0 && p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    const double side = p > 0.5 ? -1 : 1;
    if (p > 0.5) p = 1 - p;
    const double t = sqrt(-2 * log(p));
    double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
    for (int i = 0; i < 3; i++) {
        const double log_p = tg_log_ndtr_d(x);
        x -= (log_p - log(p)) * TG_SQRT_TWO_PI * exp(log_p + x * x / 2);
    }
    return side * x;
}

static double tg_entr_d(double x) { return x > 0 ? -x * log(x) : x == 0 ? 0 : x != x ? x : -INFINITY; }
static double tg_mantissa_d(double x) { int e; return frexp(x, &e); }
static double tg_exponent_d(double x) { int e = 0; frexp(x, &e); return x - x == 0 ? e : 0; }

/* ---- of the types of their arguments: devices have their own ---- */
static inline uint64_t tg_gcd_u(uint64_t a, uint64_t b) {
    while (b) { const uint64_t r = a % b; a = b; b = r; }
    return a;
}
#define TG_MAGNITUDE(x) ((x) < 0 ? 0 - (uint64_t)(x) : (uint64_t)(x))
#define tg_gcd(x, y) tg_gcd_u(TG_MAGNITUDE(x), TG_MAGNITUDE(y))
#define tg_lcm(x, y) ((x) == 0 || (y) == 0 ? 0 : TG_MAGNITUDE(x) / tg_gcd(x, y) * TG_MAGNITUDE(y))
#define tg_nextafter(x, y) _Generic((x), float: nextafterf, default: nextafter)(x, y)
#endif
