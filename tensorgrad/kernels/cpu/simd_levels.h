/* Instruction sets: every elementwise loop is compiled for each level, and the processor's is taken at run time.
 *
 * The choice (simd_choice.h) is a table index and no ifunc, so that it works with every C library and object format and can
 * be lowered. On aarch64 the plain level is NEON.
 */
#ifndef TG_SIMD_LEVELS_H
#define TG_SIMD_LEVELS_H

enum { TG_PLAIN, TG_AVX2, TG_AVX512, TG_SIMD_LEVELS };
enum { TG_FUSED_plain = 0, TG_FUSED_avx2 = 1, TG_FUSED_avx512 = 1 }; /* has it fused multiply-and-add? */

/* GCC vectorises loops with a body of this size only at -O3. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define TG_O3 optimize("O3"),
#else
#define TG_O3
#endif

/* The features of x86-64-v3 and v4, one by one: GCC inlines into a function with more features, not of another arch. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(TG_NO_CLONES)
#define TG_HAS_SIMD_LEVELS 1
#define TG_TARGET_AVX2 TG_O3 target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe,popcnt")
#define TG_TARGET_AVX512 TG_O3 target("avx2,fma,f16c,bmi,bmi2,lzcnt,movbe,popcnt," \
                                      "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,prefer-vector-width=512")
/* M(level's suffix, attributes, ...) for every level */
#define TG_FOR_LEVELS(M, ...) \
    M(plain, TG_O3 unused, __VA_ARGS__) M(avx2, TG_TARGET_AVX2, __VA_ARGS__) M(avx512, TG_TARGET_AVX512, __VA_ARGS__)
/* an initialiser by level */
#define TG_BY_LEVEL(NAME) {[TG_PLAIN] = NAME##_plain, [TG_AVX2] = NAME##_avx2, [TG_AVX512] = NAME##_avx512}
#define TG_SUFFIX_AVX2 avx2
#define TG_SUFFIX_AVX512 avx512
#else
#define TG_HAS_SIMD_LEVELS 0
#define TG_FOR_LEVELS(M, ...) M(plain, TG_O3 unused, __VA_ARGS__)
#define TG_BY_LEVEL(NAME) {NAME##_plain, NAME##_plain, NAME##_plain}
#define TG_SUFFIX_AVX2 plain
#define TG_SUFFIX_AVX512 plain
#endif

/* Functions of one element that a loop's body consists of. */
#define TG_INLINE static inline __attribute__((always_inline))

#endif
