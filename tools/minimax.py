"""Coefficients of the polynomials in kernels/cpu/vector_*.h: minimax in relative error, by Remez' algorithm.

    python tools/minimax.py            # prints every table of the headers
"""

import sys

import mpmath as mp

mp.mp.prec = 250


def remez(function, low, high, degree, rounds=12):
    """The polynomial p, lowest power first, whose largest |p/f - 1| on [low, high] is smallest, and that largest."""
    low, high, n = mp.mpf(low), mp.mpf(high), degree + 2
    points = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * k / (n - 1)) for k in range(n)]
    for _ in range(rounds):
        matrix = mp.matrix(n, n)
        for i, x in enumerate(points):
            value = function(x)
            for j in range(degree + 1):
                matrix[i, j] = x**j / value
            matrix[i, degree + 1] = (-1) ** i
        solution = mp.lu_solve(matrix, mp.matrix([1] * n))
        coefficients = list(solution)[: degree + 1]

        def error(x, c=coefficients):
            return mp.polyval(c[::-1], x) / function(x) - 1

        # one extremum between each two roots of the error
        grid = [low + (high - low) * (1 - mp.cos(mp.pi * k / (24 * n))) / 2 for k in range(24 * n + 1)]
        errors = [error(x) for x in grid]
        extrema, start = [], 0
        for k in range(1, len(grid) + 1):
            if k == len(grid) or (errors[k] > 0) != (errors[k - 1] > 0):
                extrema.append(max(range(start, k), key=lambda i: abs(errors[i])))
                start = k
        largest = max(abs(errors[i]) for i in extrema)
        if len(extrema) != n or largest < abs(solution[n - 1]) * mp.mpf("1.02"):
            break
        points = [grid[i] for i in extrema]
    return coefficients, largest


def series(function, zero):
    """`function` by its formula, but near 0, where that cancels, by its limit."""
    return lambda z: function(z) if abs(z) > mp.mpf(2) ** -60 else mp.mpf(zero)


def odd(function, third):
    """(f(x) - x) / x^3 as a function of z = x^2, for an odd f with f'(0) = 1 and the given third coefficient."""
    return series(lambda z: (function(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, third)


LN2_HALF = mp.log(2) / 2 * mp.mpf("1.001")
SQRT_HALF, SQRT2 = mp.sqrt(0.5) - 1, mp.sqrt(2) - 1
EXP = series(lambda r: (mp.exp(r) - 1 - r) / r**2, 0.5)
EXP2 = series(lambda r: (mp.power(2, r) - 1) / r, mp.log(2))
LOG = series(lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z, mp.mpf(2) / 3)
LOG1P = series(lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, mp.mpf(1) / 3)
LOG2 = series(lambda f: mp.log1p(f) / mp.log(2) / f, 1 / mp.log(2))
SIN = odd(mp.sin, mp.mpf(-1) / 6)
COS = series(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mp.mpf(1) / 24)
ERF = series(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z), 2 / mp.sqrt(mp.pi))
QUARTER = (mp.pi / 4 * mp.mpf("1.001")) ** 2
LOG_END = ((SQRT2) / (2 + SQRT2)) ** 2 * mp.mpf("1.001")

# name, function, interval, degree, type
TABLES = [
    ("exp_d", EXP, -LN2_HALF, LN2_HALF, 10, "d"),
    ("exp_f", EXP, -LN2_HALF, LN2_HALF, 4, "f"),
    ("exp2_d", EXP2, -0.501, 0.501, 11, "d"),
    ("exp2_f", EXP2, -0.501, 0.501, 6, "f"),
    ("log_d", LOG, 0, LOG_END, 6, "d"),
    ("log_f", LOG1P, SQRT_HALF, SQRT2, 7, "f"),
    ("log2_pow_f", LOG2, SQRT_HALF, SQRT2, 13, "d"),
    ("exp2_pow_f", EXP2, -0.501, 0.501, 6, "d"),
    ("sin_d", SIN, 0, QUARTER, 5, "d"),
    ("cos_d", COS, 0, QUARTER, 5, "d"),
    ("sin_f", SIN, 0, QUARTER, 2, "f"),
    ("cos_f", COS, 0, QUARTER, 2, "f"),
    ("asin_d", odd(mp.asin, mp.mpf(1) / 6), 0, 0.2501, 11, "d"),
    ("asin_f", odd(mp.asin, mp.mpf(1) / 6), 0, 0.2501, 5, "f"),
    ("atan_d", odd(mp.atan, mp.mpf(-1) / 3), 0, 0.1916, 10, "d"),
    ("atan_f", odd(mp.atan, mp.mpf(-1) / 3), 0, 1, 8, "f"),
    ("erf_f", ERF, 0, 0.86, 5, "f"),
    ("log_erfc_f", lambda a: mp.log(mp.erfc(a)) / a, 0.92, 4.05, 7, "f"),
    ("asinh_d", odd(mp.asinh, mp.mpf(-1) / 6), 0, 0.2501, 11, "d"),
    ("tanh_d", odd(mp.tanh, mp.mpf(-1) / 3), 0, 0.3907, 10, "d"),
    ("tanh_f", odd(mp.tanh, mp.mpf(-1) / 3), 0, 0.3907, 4, "f"),
    ("sinh_d", odd(mp.sinh, mp.mpf(1) / 6), 0, 1.001, 7, "d"),
]


def main():
    wanted = set(sys.argv[1:])
    for name, function, low, high, degree, kind in TABLES:
        if wanted and name not in wanted:
            continue
        coefficients, error = remez(function, low, high, degree)
        digits, suffix = (17, "") if kind == "d" else (9, "f")
        texts = [mp.nstr(c, digits, min_fixed=0, max_fixed=0) + suffix for c in coefficients]
        print(f"{name}: relative error 2^{float(mp.log(error, 2)):.1f}\n    {', '.join(texts)}")


if __name__ == "__main__":
    main()
