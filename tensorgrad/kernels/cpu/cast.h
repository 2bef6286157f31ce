/* Conversion between any two dtypes, contiguous to contiguous. */
#ifndef TG_CAST_H
#define TG_CAST_H

#include "array.h"
#include "half_simd.h"

/* C leaves a float that does not fit an integer undefined. Here it becomes what the x86
 * instruction gives, and narrow integers wrap, as in NumPy and PyTorch there. */
static inline int64_t tg_double_to_i64(double x) {
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
}

static inline int32_t tg_double_to_i32(double x) {
    return x > -2147483649.0 && x < 2147483648.0 ? (int32_t)x : INT32_MIN;
}

static inline uint64_t tg_double_to_u64(double x) {
    return x >= 9223372036854775808.0 && x < 18446744073709551616.0
        ? (uint64_t)(x - 9223372036854775808.0) + ((uint64_t)1 << 63) : (uint64_t)tg_double_to_i64(x);
}

#define TG_CAST_LOOP(CLONES, NAME, OUT, IN, EXPR)                                                  \
    CLONES static void NAME(void *restrict out_, const void *restrict in_, int64_t n) {            \
        OUT *restrict out = (OUT *)out_;                                                           \
        const IN *restrict in = (const IN *)in_;                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            IN x = in[i];                                                                          \
            out[i] = (OUT)(EXPR);                                                                  \
        }                                                                                          \
    }

/* The long way goes through one of four types that hold every value of the source exactly. */
TG_CAST_LOOP(, tg_widen_bool, int64_t, uint8_t, x != 0)
TG_CAST_LOOP(, tg_widen_u8, int64_t, uint8_t, x)
TG_CAST_LOOP(, tg_widen_i8, int64_t, int8_t, x)
TG_CAST_LOOP(, tg_widen_i16, int64_t, int16_t, x)
TG_CAST_LOOP(, tg_widen_i32, int64_t, int32_t, x)
TG_CAST_LOOP(, tg_widen_u16, int64_t, uint16_t, x)
TG_CAST_LOOP(, tg_widen_u32, int64_t, uint32_t, x)
TG_CAST_LOOP(, tg_widen_x64, uint64_t, uint64_t, x)
TG_CAST_LOOP(, tg_widen_f16, double, uint16_t, tg_half_to_float(x))
TG_CAST_LOOP(, tg_widen_bf16, double, uint16_t, tg_bf16_to_float(x))
TG_CAST_LOOP(, tg_widen_f32, double, float, x)
TG_CAST_LOOP(, tg_widen_f64, double, double, x)
TG_CAST_LOOP(, tg_widen_c64, tg_c128, tg_c64, x)
TG_CAST_LOOP(, tg_widen_c128, tg_c128, tg_c128, x)

/* One column of the table below: from a wide type to every dtype. F makes a real float of x. */
#define TG_NARROW_LOOPS(W, IN, NONZERO, I32, I64, U64, FLOAT, DOUBLE, COMPLEX)                     \
    TG_CAST_LOOP(, tg_##W##_to_bool, uint8_t, IN, NONZERO)                                         \
    TG_CAST_LOOP(, tg_##W##_to_x8, uint8_t, IN, I64)                                               \
    TG_CAST_LOOP(, tg_##W##_to_x16, uint16_t, IN, I64)                                             \
    TG_CAST_LOOP(, tg_##W##_to_i32, int32_t, IN, I32)                                              \
    TG_CAST_LOOP(, tg_##W##_to_u32, uint32_t, IN, I64)                                             \
    TG_CAST_LOOP(, tg_##W##_to_i64, int64_t, IN, I64)                                              \
    TG_CAST_LOOP(, tg_##W##_to_u64, uint64_t, IN, U64)                                             \
    TG_CAST_LOOP(, tg_##W##_to_f16, uint16_t, IN, tg_float_to_half(FLOAT))                         \
    TG_CAST_LOOP(, tg_##W##_to_bf16, uint16_t, IN, tg_float_to_bf16(FLOAT))                        \
    TG_CAST_LOOP(, tg_##W##_to_f32, float, IN, FLOAT)                                              \
    TG_CAST_LOOP(, tg_##W##_to_f64, double, IN, DOUBLE)                                            \
    TG_CAST_LOOP(, tg_##W##_to_c64, tg_c64, IN, COMPLEX)                                           \
    TG_CAST_LOOP(, tg_##W##_to_c128, tg_c128, IN, COMPLEX)

TG_NARROW_LOOPS(i64, int64_t, x != 0, (int32_t)(uint32_t)x, x, x, (float)x, (double)x, x)
TG_NARROW_LOOPS(u64, uint64_t, x != 0, (int32_t)(uint32_t)x, x, x, (float)x, (double)x, x)
TG_NARROW_LOOPS(f64, double, x != 0, tg_double_to_i32(x), tg_double_to_i64(x), tg_double_to_u64(x),
                (float)x, x, x)
TG_NARROW_LOOPS(c128, tg_c128, x != 0, tg_double_to_i32(creal(x)), tg_double_to_i64(creal(x)),
                tg_double_to_u64(creal(x)), (float)creal(x), creal(x), x)

/* The pairs that training and indexing live on go straight. */
TG_CAST_LOOP(TG_CLONES, tg_direct_u8_f32, float, uint8_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_i32_f32, float, int32_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_i64_f32, float, int64_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_bf16_f32, float, uint16_t, tg_bf16_to_float(x))
TG_CAST_LOOP(TG_CLONES, tg_direct_f64_f32, float, double, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_u8_f64, double, uint8_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_i32_f64, double, int32_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_i64_f64, double, int64_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_f32_f64, double, float, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_f32_bf16, uint16_t, float, tg_float_to_bf16(x))
TG_CAST_LOOP(TG_CLONES, tg_direct_f32_i64, int64_t, float, tg_double_to_i64(x))
TG_CAST_LOOP(TG_CLONES, tg_direct_f64_i64, int64_t, double, tg_double_to_i64(x))
TG_CAST_LOOP(TG_CLONES, tg_direct_i32_i64, int64_t, int32_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_i64_i32, uint32_t, int64_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_u8_i64, int64_t, uint8_t, x)
TG_CAST_LOOP(TG_CLONES, tg_direct_f32_bool, uint8_t, float, x != 0)
TG_CAST_LOOP(TG_CLONES, tg_direct_f64_bool, uint8_t, double, x != 0)
TG_CAST_LOOP(TG_CLONES, tg_direct_i64_bool, uint8_t, int64_t, x != 0)

typedef void (*tg_cast_loop)(void *restrict, const void *restrict, int64_t);

static tg_cast_loop tg_direct_cast(int out_dtype, int in_dtype) {
    switch (in_dtype * TG_NDTYPES + out_dtype) {
#define TG_DIRECT(IN, OUT, NAME) case IN * TG_NDTYPES + OUT: return tg_direct_##NAME;
    TG_DIRECT(TG_BOOL, TG_F32, u8_f32) TG_DIRECT(TG_BOOL, TG_F64, u8_f64) TG_DIRECT(TG_BOOL, TG_I64, u8_i64)
    TG_DIRECT(TG_U8, TG_F32, u8_f32) TG_DIRECT(TG_U8, TG_F64, u8_f64) TG_DIRECT(TG_U8, TG_I64, u8_i64)
    TG_DIRECT(TG_I32, TG_F32, i32_f32) TG_DIRECT(TG_I32, TG_F64, i32_f64) TG_DIRECT(TG_I32, TG_I64, i32_i64)
    TG_DIRECT(TG_I64, TG_F32, i64_f32) TG_DIRECT(TG_I64, TG_F64, i64_f64) TG_DIRECT(TG_I64, TG_I32, i64_i32)
    case TG_F16 * TG_NDTYPES + TG_F32: return tg_halves_to_floats;
    case TG_F32 * TG_NDTYPES + TG_F16: return tg_floats_to_halves;
    TG_DIRECT(TG_BF16, TG_F32, bf16_f32)
    TG_DIRECT(TG_F32, TG_BF16, f32_bf16)
    TG_DIRECT(TG_F32, TG_F64, f32_f64) TG_DIRECT(TG_F64, TG_F32, f64_f32)
    TG_DIRECT(TG_F32, TG_I64, f32_i64) TG_DIRECT(TG_F64, TG_I64, f64_i64)
    TG_DIRECT(TG_F32, TG_BOOL, f32_bool) TG_DIRECT(TG_F64, TG_BOOL, f64_bool)
    TG_DIRECT(TG_I64, TG_BOOL, i64_bool) TG_DIRECT(TG_U64, TG_BOOL, i64_bool)
#undef TG_DIRECT
    default: return NULL;
    }
}

/* `out` and `in` are contiguous and do not overlap. */
static void tg_cast_tile(char *restrict out, int out_dtype, const char *restrict in, int in_dtype, int64_t n) {
    enum { TILE = 256, FROM_I64 = 0, FROM_U64, FROM_F64, FROM_C128 };
    static const tg_cast_loop widen[TG_NDTYPES] = {
        tg_widen_bool, tg_widen_u8, tg_widen_i8, tg_widen_i16, tg_widen_i32, tg_widen_x64, tg_widen_u16,
        tg_widen_u32, tg_widen_x64, tg_widen_f16, tg_widen_bf16, tg_widen_f32, tg_widen_f64,
        tg_widen_c64, tg_widen_c128};
    static const int8_t wide[TG_NDTYPES] = {
        FROM_I64, FROM_I64, FROM_I64, FROM_I64, FROM_I64, FROM_I64, FROM_I64, FROM_I64, FROM_U64,
        FROM_F64, FROM_F64, FROM_F64, FROM_F64, FROM_C128, FROM_C128};
#define TG_NARROW_ROW(W) {                                                                         \
        tg_##W##_to_bool, tg_##W##_to_x8, tg_##W##_to_x8, tg_##W##_to_x16, tg_##W##_to_i32,        \
        tg_##W##_to_i64, tg_##W##_to_x16, tg_##W##_to_u32, tg_##W##_to_u64, tg_##W##_to_f16,       \
        tg_##W##_to_bf16, tg_##W##_to_f32, tg_##W##_to_f64, tg_##W##_to_c64, tg_##W##_to_c128}
    static const tg_cast_loop narrow[4][TG_NDTYPES] = {
        TG_NARROW_ROW(i64), TG_NARROW_ROW(u64), TG_NARROW_ROW(f64), TG_NARROW_ROW(c128)};
#undef TG_NARROW_ROW

    int64_t in_size = tg_itemsize(in_dtype), out_size = tg_itemsize(out_dtype);
    if (in_dtype == out_dtype) {
        memcpy(out, in, (size_t)(n * in_size));
        return;
    }
    tg_cast_loop direct = tg_direct_cast(out_dtype, in_dtype);
    if (direct) {
        direct(out, in, n);
        return;
    }
    tg_c128 tile[TILE];
    for (int64_t i = 0; i < n; i += TILE) {
        int64_t m = n - i < TILE ? n - i : TILE;
        widen[in_dtype](tile, in + i * in_size, m);
        narrow[wide[in_dtype]][out_dtype](out + i * out_size, tile, m);
    }
}

#endif
