/* The instruction set that the elementwise kernels use: the processor's best, or what TENSORGRAD_SIMD lowers it to. */
#ifndef TG_SIMD_CHOICE_H
#define TG_SIMD_CHOICE_H

#include "simd_levels.h"
#include <stdlib.h>
#include <string.h>

static const char *const tg_simd_names[TG_SIMD_LEVELS] = {"plain", "avx2", "avx512"};

/* What the processor, and the operating system, can run. */
static int tg_simd_best(void) {
#if TG_HAS_SIMD_LEVELS
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
          && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")))
        return TG_PLAIN;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return TG_AVX512;
    return TG_AVX2;
#else
    return TG_PLAIN;
#endif
}

/* The environment may only lower the level: a higher one would be an illegal instruction. */
static int tg_simd_choose(void) {
    const char *wanted = getenv("TENSORGRAD_SIMD");
    int best = tg_simd_best();
    for (int level = 0; wanted && level < best; level++)
        if (strcmp(wanted, tg_simd_names[level]) == 0) return level;
    return best;
}

/* set when the module is loaded, before any kernel can run */
static int tg_simd_level;
__attribute__((constructor)) static void tg_simd_start(void) { tg_simd_level = tg_simd_choose(); }

#endif
