/* What CUDA has built in, for compiling kernels for the CPU: a block's threads are fibres that take turns, and change at
 * barriers and shuffles. host_runtime.cpp runs them. */
#pragma once
#define TG_HOST 1
#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static /* blocks run one after the other */

struct tg_host_dim { unsigned x, y, z; };
extern "C" {
extern tg_host_dim threadIdx, blockIdx, blockDim, gridDim;
void tg_host_syncthreads(void);
/* Wait for the threads of the warp, each having put `size` bytes; then give those of the thread `by` lanes up. */
void tg_host_shuffle_down(void *value, int size, int by);
}

static inline void __syncthreads() { tg_host_syncthreads(); }
template <class T> static inline T __shfl_down_sync(unsigned, T v, int by) {
    tg_host_shuffle_down(&v, sizeof v, by);
    return v;
}
/* one thread runs at a time, and changes at barriers only: nobody comes in between */
template <class T> static inline T atomicAdd(T *place, T v) { T before = *place; *place = before + v; return before; }
template <class T> static inline T atomicCAS(T *place, T expected, T v) {
    T before = *place;
    if (before == expected) *place = v;
    return before;
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
