/* The functions that expressions call: what kernels/cpu/scalar_math.h is for the CPU, chosen by overloading. CUDA's own
 * of real numbers come before this text, the special functions after it (functions.py, which also lists all of these). */
template <class T> TG_D int tg_isnan(T x) { return x != x; }
template <class T> TG_D int tg_signbit(T x) { return tg_copysign((T)1, x) < 0; }

/* ---- functions that differ between integers, floats and complex numbers ---- */
template <class T> TG_D T tg_max(T x, T y) {
    if constexpr (tg_is_float<T>::value) return x > y || x != x ? x : y; else return x > y ? x : y; }
template <class T> TG_D T tg_min(T x, T y) {
    if constexpr (tg_is_float<T>::value) return x < y || x != x ? x : y; else return x < y ? x : y; }
template <class T> TG_D typename tg_real_type<T>::type tg_abs(T x) {
    if constexpr (tg_is_complex<T>::value) return tg_hypot(x.x, x.y);
    else if constexpr (tg_is_float<T>::value) return tg_copysign(x, (T)1);
    else if constexpr (tg_is_signed<T>::value) return x < (T)0 ? (T)(0 - (tg_u64)x) : x;
    else return x; }
template <class T> TG_D T tg_sign(T x) {
    if constexpr (tg_is_complex<T>::value) { auto m = tg_abs(x); return m == 0 ? T(0) : x / m; }
    else if constexpr (tg_is_float<T>::value || tg_is_signed<T>::value) return (T)((x > 0) - (x < 0));
    else return (T)(x > (T)0); }
/* division by zero gives 0 here; the operators refuse it before a kernel runs */
template <class T> TG_D T tg_truncdiv(T x, T y) {
    if constexpr (tg_is_float<T>::value) return tg_trunc(x / y);
    else {
        if (y == (T)0) return (T)0;
        if constexpr (tg_is_signed<T>::value) if (y == (T)-1) return (T)(0 - (tg_u64)x);
        return (T)(x / y); } }
template <class T, class = decltype((T)0 % (T)1)> TG_D T tg_fmod(T x, T y) {
    if (y == (T)0) return (T)0;
    if constexpr (tg_is_signed<T>::value) if (y == (T)-1) return (T)0;
    return (T)(x % y); }
template <class T> TG_D T tg_remainder(T x, T y) {
    T r = tg_fmod(x, y);
    if constexpr (tg_is_float<T>::value || tg_is_signed<T>::value) return r != 0 && ((r < 0) != (y < 0)) ? (T)(r + y) : r;
    else return r; }
template <class T> TG_D T tg_floordiv(T x, T y) {
    if constexpr (tg_is_float<T>::value) {
        if (y == 0) return x / y;
        T m = tg_fmod(x, y), q = (x - m) / y;
        if (m != 0 && ((y < 0) != (m < 0))) q -= 1;
        if (q == 0) return tg_copysign((T)0, x / y);
        T f = tg_floor(q);
        return q - f > (T)0.5 ? f + 1 : f;
    } else {
        T q = tg_truncdiv(x, y);
        if constexpr (tg_is_signed<T>::value)
            if (y != (T)0 && tg_fmod(x, y) != (T)0 && ((x < (T)0) != (y < (T)0))) return (T)(q - 1);
        return q; } }
template <class T> TG_D tg_u64 tg_magnitude(T x) {
    if constexpr (tg_is_signed<T>::value) return x < (T)0 ? 0 - (tg_u64)x : (tg_u64)x;
    else return (tg_u64)x; }
template <class T> TG_D T tg_gcd(T x, T y) {
    tg_u64 a = tg_magnitude(x), b = tg_magnitude(y);
    while (b) { const tg_u64 r = a % b; a = b; b = r; }
    return (T)a; }
template <class T> TG_D T tg_lcm(T x, T y) {
    if (x == (T)0 || y == (T)0) return (T)0;
    return (T)(tg_magnitude(x) / tg_magnitude(tg_gcd(x, y)) * tg_magnitude(y)); }

/* ---- complex functions; Kahan, "Branch cuts for complex elementary functions" (1987), for the inverse ones ---- */
#define TG_C template <class R> TG_D tg_complex<R>
#define TG_Z tg_complex<R> z
TG_C tg_log(TG_Z);
TG_C tg_sinh(TG_Z);
TG_C tg_cosh(TG_Z);
TG_C tg_tanh(TG_Z);
TG_C tg_asin(TG_Z);
TG_C tg_atanh(TG_Z);
template <class R> TG_D int tg_isnan(TG_Z) { return z.x != z.x || z.y != z.y; }
template <class R> TG_D R tg_real(TG_Z) { return z.x; }
template <class R> TG_D R tg_imag(TG_Z) { return z.y; }
template <class R> TG_D R tg_arg(TG_Z) { return tg_atan2(z.y, z.x); }
TG_D float tg_real(float x) { return x; }
TG_D double tg_real(double x) { return x; }
TG_D tg_c64 tg_make_c64(float x, float y) { return tg_c64(x, y); }
TG_D tg_c128 tg_make_c128(double x, double y) { return tg_c128(x, y); }
TG_C tg_conj(TG_Z) { return tg_complex<R>(z.x, -z.y); }
TG_C tg_exp(TG_Z) {
    R e = tg_exp(z.x);
    return z.y == 0 ? tg_complex<R>(e, z.y) : tg_complex<R>(e * tg_cos(z.y), e * tg_sin(z.y)); }
TG_C tg_log(TG_Z) {
    R u = tg_abs(z.x), v = tg_abs(z.y), a = u > v ? u : v, b = u > v ? v : u, m = tg_hypot(a, b);
    R l = m > (R)0.5 && m < 2 ? (R)0.5 * tg_log1p((a - 1) * (a + 1) + b * b) : tg_log(m);
    return tg_complex<R>(l, tg_atan2(z.y, z.x)); }
TG_C tg_exp2(TG_Z) { return tg_exp(z * (R)0.69314718055994530942); }
TG_C tg_expm1(TG_Z) { /* cos y - 1 = -2 sin(y / 2)^2, without cancellation */
    R half = tg_sin(z.y / 2), e = tg_exp(z.x);
    return tg_complex<R>(tg_expm1(z.x) - 2 * half * half * e, z.y == 0 ? z.y : e * tg_sin(z.y)); }
TG_C tg_log1p(TG_Z) {
    R u = 1 + z.x, m = tg_hypot(u, z.y);
    R l = m > (R)0.5 && m < 2 ? (R)0.5 * tg_log1p(z.x * (2 + z.x) + z.y * z.y) : tg_log(m);
    return tg_complex<R>(l, tg_atan2(z.y, u)); }
TG_C tg_log2(TG_Z) { return tg_log(z) * (R)1.44269504088896340736; }
TG_C tg_log10(TG_Z) { return tg_log(z) * (R)0.43429448190325182765; }
TG_C tg_sqrt(TG_Z) {
    if (z.x == 0 && z.y == 0) return tg_complex<R>(0, z.y);
    if (z.y == (R)TG_INF || z.y == -(R)TG_INF) return tg_complex<R>(TG_INF, z.y);
    R s = tg_sqrt((tg_abs(z.x) + tg_hypot(z.x, z.y)) / 2), d = tg_abs(z.y) / (2 * s);
    return z.x >= 0 ? tg_complex<R>(s, tg_copysign(d, z.y)) : tg_complex<R>(d, tg_copysign(s, z.y)); }
TG_C tg_sinh(TG_Z) { return tg_complex<R>(tg_sinh(z.x) * tg_cos(z.y), tg_cosh(z.x) * tg_sin(z.y)); }
TG_C tg_cosh(TG_Z) { return tg_complex<R>(tg_cosh(z.x) * tg_cos(z.y), tg_sinh(z.x) * tg_sin(z.y)); }
TG_C tg_tanh(TG_Z) {
    if (tg_abs(z.x) > 20)
        return tg_complex<R>(tg_copysign((R)1, z.x), 4 * tg_sin(z.y) * tg_cos(z.y) * tg_exp(-2 * tg_abs(z.x)));
    R t = tg_tan(z.y), c = 1 / (1 + t * t), s = tg_sinh(z.x), d = c + s * s; /* c is the square of the cosine */
    return tg_complex<R>(s * tg_cosh(z.x) / d, t * c / d); }
TG_C tg_sin(TG_Z) { auto w = tg_sinh(tg_complex<R>(-z.y, z.x)); return tg_complex<R>(w.y, -w.x); }
TG_C tg_cos(TG_Z) { return tg_cosh(tg_complex<R>(-z.y, z.x)); }
TG_C tg_tan(TG_Z) { auto w = tg_tanh(tg_complex<R>(-z.y, z.x)); return tg_complex<R>(w.y, -w.x); }
TG_C tg_asin(TG_Z) {
    auto a = tg_sqrt(tg_complex<R>(1 - z.x, -z.y)), b = tg_sqrt(tg_complex<R>(1 + z.x, z.y));
    return tg_complex<R>(tg_atan2(z.x, a.x * b.x - a.y * b.y), tg_asinh(a.x * b.y - a.y * b.x)); }
TG_C tg_acos(TG_Z) {
    auto a = tg_sqrt(tg_complex<R>(1 - z.x, -z.y)), b = tg_sqrt(tg_complex<R>(1 + z.x, z.y));
    return tg_complex<R>(2 * tg_atan2(a.x, b.x), tg_asinh(b.x * a.y - b.y * a.x)); }
TG_C tg_asinh(TG_Z) { auto w = tg_asin(tg_complex<R>(-z.y, z.x)); return tg_complex<R>(w.y, -w.x); }
TG_C tg_acosh(TG_Z) {
    auto a = tg_sqrt(tg_complex<R>(z.x - 1, z.y)), b = tg_sqrt(tg_complex<R>(z.x + 1, z.y));
    return tg_complex<R>(tg_asinh(a.x * b.x + a.y * b.y), 2 * tg_atan2(a.y, b.x)); }
TG_C tg_atanh(TG_Z) {
    return tg_complex<R>((R)0.25 * tg_log1p(4 * z.x / ((1 - z.x) * (1 - z.x) + z.y * z.y)),
                         (R)0.5 * tg_atan2(2 * z.y, (1 - z.x) * (1 + z.x) - z.y * z.y)); }
TG_C tg_atan(TG_Z) { auto w = tg_atanh(tg_complex<R>(-z.y, z.x)); return tg_complex<R>(w.y, -w.x); }
template <class T> TG_D T tg_sigmoid(T x) { return (T)1 / ((T)1 + tg_exp(-x)); }
#undef TG_C
#undef TG_Z

/* ---- powers ---- */
template <class T> TG_D T tg_power(T x, T y) {
    if constexpr (tg_is_complex<T>::value) {
        if (y.x == 2 && y.y == 0) return x * x;
        if (y.x == 0 && y.y == 0) return T(1);
        if (x.x == 0 && x.y == 0 && y.x > 0) return T(0);
        return tg_exp(y * tg_log(x));
    } else if constexpr (tg_is_float<T>::value) return y == 2 ? x * x : tg_pow(x, y);
    else {
        if constexpr (tg_is_signed<T>::value)
            if (y < (T)0) return x == (T)1 ? (T)1 : x == (T)-1 ? ((y & 1) ? (T)-1 : (T)1) : (T)0;
        tg_u64 r = 1, b = (tg_u64)x;
        for (tg_u64 e = (tg_u64)y; e; e >>= 1) { if (e & 1) r *= b; b *= b; }
        return (T)r; } }

/* ---- the names that expressions use ---- */
#undef INFINITY
#undef NAN
#define INFINITY TG_INF
#define NAN TG_NAN
#define tg_pow tg_power
#define copysign tg_copysign
#define __builtin_signbit tg_signbit
#define _Bool bool
#define int8_t tg_i8
#define int16_t tg_i16
#define int32_t tg_i32
#define int64_t tg_i64
#define uint8_t tg_u8
#define uint16_t tg_u16
#define uint32_t tg_u32
#define uint64_t tg_u64
