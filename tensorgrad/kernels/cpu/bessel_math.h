/* Bessel functions of orders 0 and 1, for devices that have no C library; as in special_math.h, devices compile this text. */
#ifndef TG_BESSEL_MATH_H
#define TG_BESSEL_MATH_H

#include <math.h>

#define TG_EULER_GAMMA 0.57721566490153286061
#define TG_TWO_OVER_PI 0.63661977236758134308

/* J_0, J_1, Y_0 or Y_1 (which = 0, 1, 2, 3) of x > 0.
 *
 * Up to 25 by Miller's algorithm: the recurrence J_(k-1) = (2k / x) J_k - J_(k+1) (DLMF 10.6.1) run downwards from an
 * order where J_k is negligible, scaled so that J_0 + 2 J_2 + 2 J_4 + ... = 1 (DLMF 10.12.4). The same J_k give
 * Y_0 = 2/pi (log(x/2) + gamma) J_0 - 4/pi sum of (-1)^k J_2k / k (DLMF 10.8.3), and Y_1 is -Y_0'.
 * From 25 on by Hankel's asymptotic expansion (DLMF 10.17.3), whose terms fall below 1e-17 there. */
static double tg_bessel_jy(int which, double x) {
    const int order = which % 2;
    if (x > 25) {
        if (x == INFINITY) return 0;
        const double mu = 4.0 * order;
        double term = 1, even = 1, odd = 0;
        for (int k = 1; k < 40; k++) {
            const double next = term * (mu - (2.0 * k - 1) * (2.0 * k - 1)) / (8 * k * x);
            if (fabs(next) > fabs(term)) break;
            term = next;
            if (k % 2 == 0) even += k % 4 == 0 ? term : -term;
            else odd += k % 4 == 1 ? term : -term;
            if (fabs(term) < 1e-17) break;
        }
        /* cos(x - pi/4) and sin(x - pi/4); a quarter turn further for order 1 */
        const double c = cos(x), s = sin(x);
        const double cosine = order ? s - c : s + c, sine = order ? -s - c : s - c;
        const double scale = sqrt(TG_TWO_OVER_PI / x) * 0.70710678118654752440;
        return which < 2 ? scale * (even * cosine - odd * sine) : scale * (even * sine + odd * cosine);
    }
    if (x < 1e-9) { /* the first terms; the recurrence would leave the range of numbers */
        const double first = which == 0 ? 1 : which == 1 ? x / 2 : TG_TWO_OVER_PI;
        return which < 2 ? first : which == 2 ? first * (log(x / 2) + TG_EULER_GAMMA) : -first / x;
    }
    double above = 0, here = 1e-30, norm = 0, series = 0, slope = 0, j1 = 0;
    for (int k = 2 * (int)(x / 2 + 12 + 2 * sqrt(x)); k > 0; k--) { /* here: J_k, above: J_(k+1), unscaled */
        const double below = 2.0 * k / x * here - above;
        if (k % 2 == 0) {
            const double sign = k % 4 == 0 ? 1 : -1;
            norm += 2 * here;
            series += sign * here / (k / 2);
            slope += sign * (below - above) / k; /* J_k' = (J_(k-1) - J_(k+1)) / 2 */
        }
        if (k == 1) j1 = here;
        above = here;
        here = below;
        if (fabs(here) > 1e18) {
            above *= 1e-18; here *= 1e-18; norm *= 1e-18; series *= 1e-18; slope *= 1e-18; j1 *= 1e-18;
        }
    }
    norm += here;
    if (which < 2) return (order ? j1 : here) / norm;
    const double l = log(x / 2) + TG_EULER_GAMMA;
    if (which == 2) return TG_TWO_OVER_PI * (l * here - 2 * series) / norm;
    return TG_TWO_OVER_PI * (l * j1 + 2 * slope - here / x) / norm;
}

static double tg_bessel_j0_d(double x) { return x == 0 ? 1 : x != x ? x : tg_bessel_jy(0, fabs(x)); }
static double tg_bessel_j1_d(double x) { return x == 0 || x != x ? x : x < 0 ? -tg_bessel_jy(1, -x) : tg_bessel_jy(1, x); }
static double tg_bessel_y0_d(double x) { return x > 0 ? tg_bessel_jy(2, x) : x == 0 ? -INFINITY : NAN; }
static double tg_bessel_y1_d(double x) { return x > 0 ? tg_bessel_jy(3, x) : x == 0 ? -INFINITY : NAN; }
#endif
