/* What a CPU kernel sees of a tensor: raw memory with a shape and strides.
 *
 * Kernels know no Tensor and no Python object. They run without the GIL, never
 * allocate Python memory, never raise, and return a tg_status.
 */
#ifndef TG_ARRAY_H
#define TG_ARRAY_H

#include <complex.h>
#undef I /* <complex.h> claims a name that Python's own headers use */
#include <stdint.h>
#include <stddef.h>
#include <string.h>

#define TG_MAX_DIMS 64

/* The order is the order of dtype.code in _core/dtype.pyx. */
typedef enum {
    TG_BOOL, TG_U8, TG_I8, TG_I16, TG_I32, TG_I64, TG_U16, TG_U32, TG_U64,
    TG_F16, TG_BF16, TG_F32, TG_F64, TG_C64, TG_C128, TG_NDTYPES
} tg_dtype;

typedef enum {
    TG_OK = 0,
    TG_NO_MEMORY = -1,   /* a scratch buffer could not be allocated */
    TG_BAD_INDEX = -2,   /* an index was out of range; see the kernel's `bad` argument */
    TG_NO_KERNEL = -3,   /* the kernel has no loop for this dtype */
    TG_DIV_ZERO = -4     /* integer division by zero */
} tg_status;

/* `data` points at the first element (the storage offset is already applied);
 * `strides` count elements, may be zero (broadcast) or negative. */
typedef struct {
    char *data;
    const int64_t *shape;
    const int64_t *strides;
    int32_t ndim;
    int32_t dtype;
    int64_t numel;       /* filled in for elementwise kernels, which take a short way */
    int32_t contiguous;  /* when all operands are contiguous or single elements */
} tg_array;

typedef float complex tg_c64;
typedef double complex tg_c128;

static inline int64_t tg_itemsize(int32_t dtype) {
    static const int8_t size[TG_NDTYPES] = {1, 1, 1, 2, 4, 8, 2, 4, 8, 2, 2, 4, 8, 8, 16};
    return size[dtype];
}

static inline int64_t tg_numel(const tg_array *a) {
    int64_t n = 1;
    for (int32_t d = 0; d < a->ndim; d++) n *= a->shape[d];
    return n;
}

/* One function, three builds: the loader picks the one the processor has.
 * ifuncs break under sanitizers, and exist on neither musl nor Mach-O. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) \
    && !defined(__SANITIZE_ADDRESS__) && !defined(TG_NO_CLONES)
#define TG_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"), optimize("O3")))
#else
#define TG_CLONES
#endif

/* half and bfloat16 travel as their bits and are computed in float. */
static inline float tg_half_to_float(uint16_t h) {
    union { uint32_t u; float f; } v;
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, mantissa = h & 0x3ffu;
    if (exponent == 0) { /* zero and subnormals: exact in float */
        v.f = (float)mantissa * 5.9604644775390625e-8f;
        v.u |= sign;
    } else {
        v.u = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | (mantissa << 13);
    }
    return v.f;
}

static inline uint16_t tg_float_to_half(float f) {
    union { float f; uint32_t u; } v = {f}, scale;
    uint32_t sign = (v.u >> 16) & 0x8000u, magnitude = v.u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to infinity */
    if (magnitude < 0x38800000u) { /* subnormal in half: let the float adder round */
        v.u = magnitude;
        scale.u = 0x3f000000u; /* 0.5f, whose last bit is half's 2^-24 */
        v.f += scale.f;
        return (uint16_t)(sign | (v.u - scale.u));
    }
    magnitude += 0xfffu + ((magnitude >> 13) & 1u); /* round to nearest, ties to even */
    return (uint16_t)(sign | ((magnitude - 0x38000000u) >> 13));
}

static inline float tg_bf16_to_float(uint16_t h) {
    union { uint32_t u; float f; } v = {(uint32_t)h << 16};
    return v.f;
}

static inline uint16_t tg_float_to_bf16(float f) {
    union { float f; uint32_t u; } v = {f};
    if ((v.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((v.u >> 16) | 0x40u);
    return (uint16_t)((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}

#endif
