/* What all kernels share: the dtypes, their conversions, and where the elements of strided arrays lie.
 *
 * CUDA C++ that NVRTC compiles without any header. The tests compile the same text for the CPU, after a header that
 * supplies what CUDA has built in (TG_HOST is defined there). */
typedef signed char tg_i8;
typedef short tg_i16;
typedef int tg_i32;
typedef long long tg_i64;
typedef unsigned char tg_u8;
typedef unsigned short tg_u16;
typedef unsigned int tg_u32;
typedef unsigned long long tg_u64;
#define TG_D static __device__ __forceinline__

template <class A, class B> struct tg_same { static constexpr bool value = false; };
template <class A> struct tg_same<A, A> { static constexpr bool value = true; };
template <class A> struct tg_plain { typedef A type; };
template <class A> struct tg_plain<const A> { typedef A type; };

#ifdef TG_HOST
#define TG_INF __builtin_inff()
#define TG_NAN __builtin_nanf("")
TG_D tg_u32 tg_bits(float x) { tg_u32 b; __builtin_memcpy(&b, &x, 4); return b; }
TG_D float tg_float_of(tg_u32 b) { float x; __builtin_memcpy(&x, &b, 4); return x; }
#else
#define TG_INF __int_as_float(0x7f800000)
#define TG_NAN __int_as_float(0x7fc00000)
TG_D tg_u32 tg_bits(float x) { return __float_as_uint(x); }
TG_D float tg_float_of(tg_u32 b) { return __uint_as_float(b); }
#endif

/* ---- the 16-bit numbers: known by their bits, computed as floats ---- */
struct tg_half { tg_u16 bits; };
struct tg_bfloat { tg_u16 bits; };

#ifdef TG_HOST
TG_D float tg_from_half(tg_u16 h) { _Float16 x; __builtin_memcpy(&x, &h, 2); return (float)x; }
TG_D tg_u16 tg_to_half(float f) { _Float16 x = (_Float16)f; tg_u16 h; __builtin_memcpy(&h, &x, 2); return h; }
#else
TG_D float tg_from_half(tg_u16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
TG_D tg_u16 tg_to_half(float f) { tg_u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
#endif
TG_D float tg_from_bfloat(tg_u16 b) { return tg_float_of((tg_u32)b << 16); }
TG_D tg_u16 tg_to_bfloat(float x) { /* to nearest, ties to even; a nan stays one */
    tg_u32 b = tg_bits(x);
    return x != x ? (tg_u16)(b >> 16 | 0x40) : (tg_u16)((b + 0x7FFF + (b >> 16 & 1)) >> 16);
}

/* ---- complex numbers ---- */
template <class R> struct alignas(2 * sizeof(R)) tg_complex {
    typedef R real;
    R x, y;
    tg_complex() = default;
    __device__ __forceinline__ tg_complex(R re, R im) : x(re), y(im) {}
    /* real numbers are complex ones */
    __device__ __forceinline__ tg_complex(R re) : x(re), y(0) {}
    __device__ __forceinline__ explicit operator bool() const { return x != 0 || y != 0; }
    __device__ __forceinline__ tg_complex operator-() const { return tg_complex(-x, -y); }
    friend __device__ __forceinline__ tg_complex operator+(tg_complex a, tg_complex b) { return tg_complex(a.x + b.x, a.y + b.y); }
    friend __device__ __forceinline__ tg_complex operator-(tg_complex a, tg_complex b) { return tg_complex(a.x - b.x, a.y - b.y); }
    friend __device__ __forceinline__ tg_complex operator*(tg_complex a, tg_complex b) {
        return tg_complex(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
    friend __device__ __forceinline__ tg_complex operator*(tg_complex a, R b) { return tg_complex(a.x * b, a.y * b); }
    friend __device__ __forceinline__ tg_complex operator*(R a, tg_complex b) { return tg_complex(a * b.x, a * b.y); }
    friend __device__ __forceinline__ tg_complex operator/(tg_complex a, R b) { return tg_complex(a.x / b, a.y / b); }
    friend __device__ __forceinline__ tg_complex operator/(tg_complex a, tg_complex b) { /* Smith's algorithm */
        R u = b.x < 0 ? -b.x : b.x, v = b.y < 0 ? -b.y : b.y;
        if (u == 0 && v == 0) return tg_complex(a.x / u, a.y / u);
        if (u >= v) { R r = b.y / b.x, d = b.x + b.y * r; return tg_complex((a.x + a.y * r) / d, (a.y - a.x * r) / d); }
        R r = b.x / b.y, d = b.x * r + b.y;
        return tg_complex((a.x * r + a.y) / d, (a.y * r - a.x) / d); }
    friend __device__ __forceinline__ bool operator==(tg_complex a, tg_complex b) { return a.x == b.x && a.y == b.y; }
    friend __device__ __forceinline__ bool operator!=(tg_complex a, tg_complex b) { return !(a == b); }
};
typedef tg_complex<float> tg_c64;
typedef tg_complex<double> tg_c128;

/* ---- what a dtype is ---- */
template <class T> struct tg_is_complex { static constexpr bool value = false; };
template <class R> struct tg_is_complex<tg_complex<R>> { static constexpr bool value = true; };
template <class T> struct tg_is_float { static constexpr bool value = tg_same<T, float>::value || tg_same<T, double>::value; };
template <class T> struct tg_is_integer { static constexpr bool value = !tg_is_float<T>::value && !tg_is_complex<T>::value; };
template <class T> struct tg_is_signed { static constexpr bool value = (T)-1 < (T)0; };
/* what an element is computed in */
template <class S> struct tg_computed { typedef S type; };
template <> struct tg_computed<tg_half> { typedef float type; };
template <> struct tg_computed<tg_bfloat> { typedef float type; };
template <class T> struct tg_real_type { typedef T type; };
template <class R> struct tg_real_type<tg_complex<R>> { typedef R type; };
/* the value of an expression is of type T, or real where T is complex and the value is not */
template <class T, class V> struct tg_value { typedef T type; };
template <class R, class V> struct tg_value<tg_complex<R>, V> { typedef R type; };
template <class R, class Q> struct tg_value<tg_complex<R>, tg_complex<Q>> { typedef tg_complex<R> type; };

/* Conversion by the rules of tensorgrad.devices.Backend. What C leaves undefined is what kernels/cpu/cast.h gives. */
template <class To, class From> TG_D To tg_to(From v) {
    if constexpr (tg_same<To, From>::value) return v;
    else if constexpr (tg_same<To, bool>::value) return v != From(0);
    else if constexpr (tg_is_complex<From>::value) {
        if constexpr (tg_is_complex<To>::value) return To((typename To::real)v.x, (typename To::real)v.y);
        else return tg_to<To>(v.x);
    }
    else if constexpr (tg_is_complex<To>::value) return To((typename To::real)v, 0);
    else if constexpr (tg_is_float<From>::value && tg_is_integer<To>::value) {
        if constexpr (tg_same<To, tg_i32>::value)
            return v >= (From)-2147483648.0 && v < (From)2147483648.0 ? (tg_i32)v : (tg_i32)0x80000000u;
        const From edge = (From)9223372036854775808.0;
        if constexpr (tg_same<To, tg_u64>::value)
            if (v >= edge && v < (From)18446744073709551616.0) return (tg_u64)(v - edge) + 0x8000000000000000ull;
        return (To)(v >= -edge && v < edge ? (tg_i64)v : (tg_i64)0x8000000000000000ull);
    }
    else return (To)v;
}

/* ---- elements in memory ---- */
template <class S> TG_D typename tg_computed<S>::type tg_load(const S *p) {
    if constexpr (tg_same<S, tg_half>::value) return tg_from_half(p->bits);
    else if constexpr (tg_same<S, tg_bfloat>::value) return tg_from_bfloat(p->bits);
    else return *p;
}
template <class S> TG_D S tg_packed(typename tg_computed<S>::type v) {
    if constexpr (tg_same<S, tg_half>::value) return S{tg_to_half(v)};
    else if constexpr (tg_same<S, tg_bfloat>::value) return S{tg_to_bfloat(v)};
    else return v;
}
template <class S> TG_D void tg_store(S *p, typename tg_computed<S>::type v) { *p = tg_packed<S>(v); }

/* A number as an argument: 16 bytes, whatever its type. */
struct tg_number { union { tg_i64 i; double re; }; double im; };
template <class T> TG_D T tg_number_as(tg_number s) {
    if constexpr (tg_is_complex<T>::value) return T((typename T::real)s.re, (typename T::real)s.im);
    else if constexpr (tg_is_float<T>::value) return (T)s.re;
    else return (T)s.i;
}

/* ---- strided arrays: n elements in row-major order, of K arrays that share a shape ----
 * ndim == 0 says that in all of them the elements lie one behind the other. */
template <int K, int D> struct tg_layout { tg_i64 n, ndim, shape[D], steps[K][D]; };

template <int K, int D> TG_D void tg_places(const tg_layout<K, D> &l, tg_i64 e, tg_i64 (&at)[K]) {
    if (l.ndim == 0) {
        for (int k = 0; k < K; k++) at[k] = e;
        return;
    }
    for (int k = 0; k < K; k++) at[k] = 0;
    if (l.n <= 0x7fffffff) { /* half as wide, and several times as fast to divide */
        tg_u32 rest = (tg_u32)e;
        for (int d = (int)l.ndim - 1; d > 0; d--) {
            tg_u32 quotient = rest / (tg_u32)l.shape[d], i = rest - quotient * (tg_u32)l.shape[d];
            for (int k = 0; k < K; k++) at[k] += (tg_i64)i * l.steps[k][d];
            rest = quotient;
        }
        for (int k = 0; k < K; k++) at[k] += (tg_i64)rest * l.steps[k][0];
        return;
    }
    tg_i64 rest = e;
    for (int d = (int)l.ndim - 1; d > 0; d--) {
        tg_i64 quotient = rest / l.shape[d], i = rest - quotient * l.shape[d];
        for (int k = 0; k < K; k++) at[k] += i * l.steps[k][d];
        rest = quotient;
    }
    for (int k = 0; k < K; k++) at[k] += rest * l.steps[k][0];
}

/* A loop over 0 .. n-1 that all threads of the grid share. */
#define TG_ELEMENTS(e, n) \
    for (tg_i64 e = (tg_i64)blockIdx.x * blockDim.x + threadIdx.x; e < (n); e += (tg_i64)gridDim.x * blockDim.x)
#define TG_BLOCKS(unit, n) for (tg_i64 unit = blockIdx.x; unit < (n); unit += gridDim.x)
