/* What the vectorised functions are made of: bits, rounding, powers of two, polynomials.
 *
 * All of it is branch-free C that GCC turns into vector code inside a loop, on SSE2 too: no rounding instruction, no 64-bit
 * integer comparison, no conversion between double and 64-bit integers. Nothing depends on whether a * b + c is
 * contracted to a fused operation: products that have to be exact have factors short enough.
 */
#ifndef TG_VECTOR_CORE_H
#define TG_VECTOR_CORE_H

#include "simd_levels.h"
#include <math.h>
#include <stdint.h>

TG_INLINE uint64_t tg_bits_f64(double x) { union { double f; uint64_t u; } v = {x}; return v.u; }
TG_INLINE double tg_from_bits_f64(uint64_t u) { union { uint64_t u; double f; } v = {u}; return v.f; }
TG_INLINE uint32_t tg_bits_f32(float x) { union { float f; uint32_t u; } v = {x}; return v.u; }
TG_INLINE float tg_from_bits_f32(uint32_t u) { union { uint32_t u; float f; } v = {u}; return v.f; }

/* Adding this leaves the nearest integer in the low bits of the mantissa. */
#define TG_ROUND_F64 0x1.8p52
#define TG_ROUND_F32 0x1.8p23f
TG_INLINE double tg_round_f64(double x) { return (x + TG_ROUND_F64) - TG_ROUND_F64; }

/* c0 + c1 x + c2 x^2 + ..., by Horner's scheme */
#define TG_POLY1(x, a) (a)
#define TG_POLY2(x, a, b) ((a) + (x) * (b))
#define TG_POLY3(x, a, ...) ((a) + (x) * TG_POLY2(x, __VA_ARGS__))
#define TG_POLY4(x, a, ...) ((a) + (x) * TG_POLY3(x, __VA_ARGS__))
#define TG_POLY5(x, a, ...) ((a) + (x) * TG_POLY4(x, __VA_ARGS__))
#define TG_POLY6(x, a, ...) ((a) + (x) * TG_POLY5(x, __VA_ARGS__))
#define TG_POLY7(x, a, ...) ((a) + (x) * TG_POLY6(x, __VA_ARGS__))
#define TG_POLY8(x, a, ...) ((a) + (x) * TG_POLY7(x, __VA_ARGS__))
#define TG_POLY9(x, a, ...) ((a) + (x) * TG_POLY8(x, __VA_ARGS__))
#define TG_POLY10(x, a, ...) ((a) + (x) * TG_POLY9(x, __VA_ARGS__))
#define TG_POLY11(x, a, ...) ((a) + (x) * TG_POLY10(x, __VA_ARGS__))
#define TG_POLY12(x, a, ...) ((a) + (x) * TG_POLY11(x, __VA_ARGS__))
#define TG_POLY13(x, a, ...) ((a) + (x) * TG_POLY12(x, __VA_ARGS__))
#define TG_POLY14(x, a, ...) ((a) + (x) * TG_POLY13(x, __VA_ARGS__))

/* p * 2^k for an integral k, |k| < 2000, rounded once, through subnormals and into infinity */
TG_INLINE double tg_scale_f64(double p, double k) {
    double half = tg_round_f64(k * 0.5), rest = k - half;
    double a = tg_from_bits_f64((tg_bits_f64(half + TG_ROUND_F64) + 1023) << 52);
    double b = tg_from_bits_f64((tg_bits_f64(rest + TG_ROUND_F64) + 1023) << 52);
    return p * a * b;
}
TG_INLINE float tg_scale_f32(float p, int32_t k) {
    int32_t half = k >> 1;
    float a = tg_from_bits_f32((uint32_t)(half + 127) << 23), b = tg_from_bits_f32((uint32_t)(k - half + 127) << 23);
    return p * a * b;
}

/* The upper half of a double: the product of two such is exact. */
TG_INLINE double tg_high_f64(double x) { return tg_from_bits_f64(tg_bits_f64(x) & 0xfffffffff8000000u); }

/* sign bits */
TG_INLINE double tg_copysign_f64(double x, double sign) {
    return tg_from_bits_f64((tg_bits_f64(x) & ~(UINT64_C(1) << 63)) | (tg_bits_f64(sign) & (UINT64_C(1) << 63)));
}
TG_INLINE float tg_copysign_f32(float x, float sign) {
    return tg_from_bits_f32((tg_bits_f32(x) & 0x7fffffffu) | (tg_bits_f32(sign) & 0x80000000u));
}

#endif
