/* Special functions that C's library lacks, in double; floats are computed in double too.
 *
 * What begins with "static double" is written in the C that OpenCL C and CUDA C++ have, too, and devices compile this very
 * text (tensorgrad/devices/reference/c_source.py): no recursion, no static variables, no mixed types in a call. Such a
 * definition ends with a line of "}", or on its own line. */
#ifndef TG_SPECIAL_MATH_H
#define TG_SPECIAL_MATH_H

#include <math.h>

/* The inverse of erf: Giles' approximation (GPU Computing Gems, 2012), then two steps of Newton's method. */
static double tg_erfinv_d(double y) {
    if (y <= -1 || y >= 1) return y == 1 ? INFINITY : y == -1 ? -INFINITY : NAN;
    if (y != y) return y;
    double w = -log((1 - y) * (1 + y)), x;
    if (w < 5) {
        const double c[9] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                             -0.00125372503, -0.00417768164, 0.246640727, 1.50140941};
        w -= 2.5;
        x = c[0];
        for (int i = 1; i < 9; i++) x = c[i] + x * w;
    } else {
        const double c[9] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                             -0.0076224613, 0.00943887047, 1.00167406, 2.83297682};
        w = sqrt(w) - 3;
        x = c[0];
        for (int i = 1; i < 9; i++) x = c[i] + x * w;
    }
    x *= y;
    for (int i = 0; i < 2; i++) {
        /* near the ends erfc keeps the digits that 1 - erf loses */
        double error = y > 0.5 ? (1 - y) - erfc(x) : y < -0.5 ? erfc(-x) - (1 + y) : erf(x) - y;
        x -= error / (1.12837916709551257390 * exp(-x * x));
    }
    return x;
}

#define TG_PI 3.14159265358979323846

/* The logarithmic derivative of gamma: recurrence up to 10, then the asymptotic series (DLMF 5.11.2);
 * reflection for negative arguments (DLMF 5.5.4). */
static double tg_digamma_d(double x) {
    double shift = 0;
    if (x == 0) return copysign((double)INFINITY, -x);
    if (x < 0) {
        if (x == floor(x)) return NAN;
        shift = -TG_PI / tan(TG_PI * fmod(x, 1.0));
        x = 1 - x;
    }
    while (x < 10) { shift -= 1 / x; x += 1; }
    double z = 1 / (x * x);
    double series = z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132
                    - z * (691.0 / 32760 - z * (1.0 / 12)))))));
    return shift + log(x) - 0.5 / x - series;
}

/* Hurwitz zeta, sum over k of 1/(x+k)^s for s > 1: nine terms, then Euler-Maclaurin (DLMF 25.11.5). */
static double tg_zeta_d(double s, double x) {
    /* (2k)! / B_2k */
    const double c[12] = {12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9,
        7.47242496e10, -2.950130727918164224e12, 1.1646782814350067249e14, -4.5979787224074726105e15,
        1.8152105401943546773e17, -7.1661652561756670113e18};
    if (s == 1) return INFINITY;
    if (s < 1) return NAN;
    if (x <= 0) {
        if (x == floor(x)) return INFINITY;
        if (s != floor(s)) return NAN;
    }
    double sum = pow(x, -s), a = x, b = 0;
    for (int i = 0; i < 9 || a <= 9.0; i++) {
        a += 1;
        b = pow(a, -s);
        sum += b;
        if (fabs(b / sum) < 1.1e-16) return sum;
    }
    sum += b * a / (s - 1) - 0.5 * b;
    double factor = 1, k = 0;
    for (int i = 0; i < 12; i++) {
        factor *= s + k;
        b /= a;
        double term = factor * b / c[i];
        sum += term;
        if (fabs(term / sum) < 1.1e-16) break;
        k += 1;
        factor *= s + k;
        b /= a;
        k += 1;
    }
    return sum;
}

/* The n-th derivative of digamma (DLMF 25.11.12). */
static double tg_polygamma_d(double x, double n) {
    if (n == 0) return tg_digamma_d(x);
    if (x == INFINITY) return 0;
    return (fmod(n, 2.0) == 0 ? -1.0 : 1.0) * tgamma(n + 1) * tg_zeta_d(n + 1, x);
}
#endif
