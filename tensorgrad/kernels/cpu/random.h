/* Random numbers from Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011), which maps (key, counter) to four 32-bit words without any state.
 *
 * The key is the seed and the counter is offset + block. Element i in row-major order draws from
 *     block i / 4, word i % 4            where 32 bits make an element (float, half, bernoulli),
 *     block i / 2, words 2 (i % 2), +1   where 64 do (double, complex64, integers),
 *     block i, all words                 where 128 do (complex128),
 * whatever the strides, the tiles or the threads. Normal numbers come in pairs (2i, 2i + 1). */
#ifndef TG_RANDOM_H
#define TG_RANDOM_H

#include <math.h>
#include "copy.h"

enum { TG_RANDOM_BLOCKS = 128 }; /* a tile */

/* What a generator's offset must advance by: enough for the widest element. */
static uint64_t tg_random_blocks(int64_t numel) { return (uint64_t)numel; }

/* Four words for each of the blocks first, first + 1, ...; a block's words stay together. */
TG_CLONES static void tg_philox(uint32_t *restrict words, uint64_t seed, uint64_t first, int64_t blocks) {
    for (int64_t i = 0; i < blocks; i++) {
        uint64_t counter = first + (uint64_t)i;
        uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < 10; round++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)p1;
            c3 = (uint32_t)p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        words[4 * i] = c0;
        words[4 * i + 1] = c1;
        words[4 * i + 2] = c2;
        words[4 * i + 3] = c3;
    }
}

static inline uint64_t tg_word_pair(const uint32_t *words, int64_t i) {
    return (uint64_t)words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
}

/* In [0, 1), of as many bits as the type has: more would round up to 1. */
static inline float tg_unit_float(uint32_t word, int bits) { return (float)(word >> (32 - bits)) / (float)(1 << bits); }
static inline double tg_unit_double(uint64_t word) { return (double)(word >> 11) * 0x1p-53; }

/* In (0, 1), for logarithms: the middles of equal intervals. */
static inline float tg_open_float(uint32_t word) { return ((float)(word >> 9) + 0.5f) * 0x1p-23f; }
static inline double tg_open_double(uint64_t word) { return ((double)(word >> 12) + 0.5) * 0x1p-52; }

/* The Box-Muller transform of two words to two independent normal numbers. */
static void tg_normal_float(float *out, const uint32_t *words, int64_t n, float mean, float std) {
    for (int64_t i = 0; i < n; i += 2) {
        float radius = std * sqrtf(-2.0f * logf(tg_open_float(words[i])));
        float angle = 6.28318530717958647692f * tg_unit_float(words[i + 1], 24);
        out[i] = mean + radius * cosf(angle);
        out[i + 1] = mean + radius * sinf(angle);
    }
}

static void tg_normal_double(double *out, const uint32_t *words, int64_t n, double mean, double std) {
    for (int64_t i = 0; i < n; i += 2) {
        double radius = std * sqrt(-2.0 * log(tg_open_double(tg_word_pair(words, i))));
        double angle = 6.28318530717958647692 * tg_unit_double(tg_word_pair(words, i + 1));
        out[i] = mean + radius * cos(angle);
        out[i + 1] = mean + radius * sin(angle);
    }
}

/* floor(word * range / 2^64) is in [0, range) and uniform to within range / 2^64; 0 stands for 2^64. */
static inline uint64_t tg_scale_word(uint64_t word, uint64_t range) {
    return range ? (uint64_t)((unsigned __int128)word * range >> 64) : word;
}

/* How the elements of a dtype are drawn: the dtype that is computed, the words an element takes. */
typedef struct {
    int compute, words, bits;
} tg_draw;

static tg_draw tg_draw_of(int kind, int dtype) {
    if (kind == TG_BERNOULLI) return (tg_draw){TG_BOOL, 1, 32};
    if (kind == TG_RANDINT) return (tg_draw){dtype == TG_U64 ? TG_U64 : TG_I64, 2, 64};
    switch (dtype) {
    case TG_F16: return (tg_draw){TG_F32, 1, 11};
    case TG_BF16: return (tg_draw){TG_F32, 1, 8};
    case TG_F32: return (tg_draw){TG_F32, 1, 24};
    case TG_C64: return (tg_draw){TG_C64, 2, 24};
    case TG_F64: return (tg_draw){TG_F64, 2, 53};
    case TG_C128: return (tg_draw){TG_C128, 4, 53};
    default: return (tg_draw){-1, 0, 0};
    }
}

/* n numbers (n even for TG_NORMAL) of the real type behind `compute`. */
static void tg_draw_floats(int kind, float *out, const uint32_t *words, int64_t n, int bits, double p0, double p1) {
    float low = (float)p0, scale = (float)(p1 - p0), high = (float)p1;
    if (kind == TG_NORMAL) {
        tg_normal_float(out, words, n, low, high);
    } else if (kind == TG_EXPONENTIAL) {
        for (int64_t i = 0; i < n; i++) out[i] = -logf(tg_open_float(words[i])) / low;
    } else {
        for (int64_t i = 0; i < n; i++) {
            float x = low + scale * tg_unit_float(words[i], bits);
            out[i] = x < high ? x : low; /* rounding may have reached the bound */
        }
    }
}

static void tg_draw_doubles(int kind, double *out, const uint32_t *words, int64_t n, double p0, double p1) {
    if (kind == TG_NORMAL) {
        tg_normal_double(out, words, n, p0, p1);
    } else if (kind == TG_EXPONENTIAL) {
        for (int64_t i = 0; i < n; i++) out[i] = -log(tg_open_double(tg_word_pair(words, i))) / p0;
    } else {
        for (int64_t i = 0; i < n; i++) {
            double x = p0 + (p1 - p0) * tg_unit_double(tg_word_pair(words, i));
            out[i] = x < p1 ? x : p0;
        }
    }
}

/* n contiguous elements to the places that elements start, start + 1, ... have in row-major order. */
static void tg_store_rowmajor(const tg_array *out, int64_t start, int64_t n, const char *tile) {
    int64_t itemsize = tg_itemsize(out->dtype);
    int32_t last = out->ndim - 1;
    if (last < 0) memcpy(out->data, tile, (size_t)itemsize);
    while (last >= 0 && n > 0) {
        int64_t rest = start / out->shape[last], column = start % out->shape[last];
        int64_t offset = column * out->strides[last], m = tg_min64(n, out->shape[last] - column);
        for (int32_t d = last - 1; d >= 0; d--) {
            offset += rest % out->shape[d] * out->strides[d];
            rest /= out->shape[d];
        }
        tg_store_tile(out->data + offset * itemsize, out->strides[last], tile, (int)itemsize, m);
        tile += m * itemsize;
        start += m;
        n -= m;
    }
}

typedef struct {
    const tg_array *out;
    tg_draw draw;
    int kind;
    uint64_t seed, offset, threshold, range;
    double p0, p1;
    int64_t lo, numel, count; /* count: elements of a tile */
} tg_random_job;

static void tg_random_tiles(void *context, int64_t begin, int64_t end) {
    const tg_random_job *job = (const tg_random_job *)context;
    const tg_array *out = job->out;
    const tg_draw draw = job->draw;
    const double p0 = job->p0, p1 = job->p1;
    const int kind = job->kind;
    uint32_t words[4 * TG_RANDOM_BLOCKS];
    _Alignas(64) char tile[4 * TG_RANDOM_BLOCKS * 8];
    _Alignas(64) char converted[4 * TG_RANDOM_BLOCKS * 16];
    for (int64_t number = begin; number < end; number++) {
        int64_t start = number * job->count;
        int64_t n = tg_min64(job->count, job->numel - start), blocks = (n * draw.words + 3) / 4;
        tg_philox(words, job->seed, job->offset + (uint64_t)number * TG_RANDOM_BLOCKS, blocks);
        switch (draw.compute) {
        case TG_BOOL:
            for (int64_t i = 0; i < n; i++) ((uint8_t *)tile)[i] = words[i] < job->threshold;
            break;
        case TG_I64: case TG_U64:
            for (int64_t i = 0; i < n; i++)
                ((uint64_t *)tile)[i] = (uint64_t)job->lo + tg_scale_word(tg_word_pair(words, i), job->range);
            break;
        case TG_F32: case TG_C64: /* whole blocks, so that pairs are whole */
            tg_draw_floats(kind, (float *)tile, words, 4 * blocks, draw.bits, p0, p1);
            break;
        default:
            tg_draw_doubles(kind, (double *)tile, words, 2 * blocks, p0, p1);
            break;
        }
        tg_cast_tile(converted, out->dtype, tile, draw.compute, n);
        if (kind == TG_UNIFORM && (out->dtype == TG_F16 || out->dtype == TG_BF16)) {
            uint16_t *half = (uint16_t *)converted; /* narrowing rounds once more */
            for (int64_t i = 0; i < n; i++) {
                float x = out->dtype == TG_F16 ? tg_half_to_float(half[i]) : tg_bf16_to_float(half[i]);
                if (x >= (float)p1) half[i] = out->dtype == TG_F16 ? tg_float_to_half((float)p0) : tg_float_to_bf16((float)p0);
            }
        }
        tg_store_rowmajor(out, start, n, converted);
    }
}

/* Fills `out`:
 *     TG_UNIFORM      [p0, p1); the real and imaginary parts alike for complex dtypes
 *     TG_NORMAL       mean p0, standard deviation p1; complex as in PyTorch: both parts have the mean
 *                     p0, and p1 is the deviation of the whole
 *     TG_RANDINT      lo + [0, range), range == 0 standing for 2^64; any dtype
 *     TG_BERNOULLI    1 with probability p0, else 0; any dtype
 *     TG_EXPONENTIAL  rate p0; real floating dtypes */
static int tg_random(int kind, const tg_array *out, uint64_t seed, uint64_t offset, double p0, double p1,
                     int64_t lo, uint64_t range) {
    tg_draw draw = tg_draw_of(kind, out->dtype);
    int is_complex = draw.compute == TG_C64 || draw.compute == TG_C128;
    if (draw.compute < 0 || (is_complex && kind == TG_EXPONENTIAL)) return TG_NO_KERNEL;
    if (is_complex && kind == TG_NORMAL) p1 *= 0.70710678118654752440;
    tg_random_job job = {
        .out = out, .draw = draw, .kind = kind, .seed = seed, .offset = offset, .range = range, .p0 = p0, .p1 = p1, .lo = lo,
        .threshold = p0 >= 1 ? (uint64_t)1 << 32 : p0 > 0 ? (uint64_t)(p0 * 0x1p32) : 0,
        .numel = tg_numel(out), .count = 4 * TG_RANDOM_BLOCKS / draw.words};
    tg_parallel_for((job.numel + job.count - 1) / job.count, 8, tg_random_tiles, &job);
    return TG_OK;
}

/* A random permutation of 0..n-1 (Fisher and Yates, as Durstenfeld does it) into a 1-D int64 array. */
static int tg_randperm(const tg_array *out, uint64_t seed, uint64_t offset) {
    enum { DRAWS = 2 * TG_RANDOM_BLOCKS };
    int64_t n = out->shape[0], stride = out->strides[0], *p = (int64_t *)out->data;
    uint32_t words[4 * TG_RANDOM_BLOCKS];
    for (int64_t i = 0; i < n; i++) p[i * stride] = i;
    for (int64_t i = 0; i + 1 < n; i++) {
        if (i % DRAWS == 0) tg_philox(words, seed, offset + (uint64_t)(i / 2), tg_min64(TG_RANDOM_BLOCKS, (n - i) / 2 + 1));
        int64_t j = i + (int64_t)tg_scale_word(tg_word_pair(words, i % DRAWS), (uint64_t)(n - i));
        int64_t t = p[i * stride];
        p[i * stride] = p[j * stride];
        p[j * stride] = t;
    }
    return TG_OK;
}

#endif
