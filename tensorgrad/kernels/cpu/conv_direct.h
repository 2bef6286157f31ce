/* Convolutions of few channels with stride 1, in two dimensions, without a matrix of windows.
 *
 * A block of output channels is added up in registers over all input channels and places of the kernel, for as many positions
 * as two vectors hold. The image is copied once for each column of the kernel, shifted by it, with zeros where the padding is
 * and lines as long as those of the result: the positions of a plane are then one run, in which no line begins or ends.
 */
#ifndef TG_CONV_DIRECT_H
#define TG_CONV_DIRECT_H

#include <stdlib.h>
#include "array.h"
#include "fused_table.h"
#include "simd_choice.h"

enum { TG_DIRECT_BLOCK = 4, TG_DIRECT_CHANNELS = 128 };

/* One image and group: y (outs, height, width) = w * x + bias, x being copied to (ins, kw, rows, width). w is packed by blocks of
 * output channels: (outs / BLOCK, ins * kh * kw, BLOCK). For the gradient of the weight x is padded to (ins, rows, pitch). */
typedef struct {
    int64_t outs, ins, height, width, rows, pitch, kh, kw, dh, dw;
    int64_t copy; /* elements from one copy of a channel to the next: an odd number of cache lines, lest they displace each other */
} tg_direct;

/* The bytes of a vector: GCC keeps longer ones than the registers in memory. With 32 registers two blocks of channels and three
 * vectors of positions share what is loaded, with 16 one block and as many vectors as its sums leave room for. */
enum { TG_DIRECT_BYTES_plain = 16, TG_DIRECT_BYTES_avx2 = 32, TG_DIRECT_BYTES_avx512 = 64 };
enum { TG_DIRECT_BLOCKS_plain = 1, TG_DIRECT_BLOCKS_avx2 = 1, TG_DIRECT_BLOCKS_avx512 = 2 };
enum { TG_DIRECT_VECTORS_plain = 2, TG_DIRECT_VECTORS_avx2 = 3, TG_DIRECT_VECTORS_avx512 = 3 };
enum { TG_DIRECT_L1 = 24000 }; /* bytes of the first cache that are for x */

/* Left to itself GCC loads a vector for each of its uses. */
#if TG_HAS_SIMD_LEVELS
#define TG_DIRECT_KEEP(x) __asm__("" : "+v"(x))
#else
#define TG_DIRECT_KEEP(x) (void)(x)
#endif
#define TG_DIRECT_STORE(TO, VALUE) {                                                                             \
    vec value = VALUE;                                                                                           \
    if (!first) value += *(const vec *)(TO);                                                                     \
    if (bias) value += bias[l];                                                                                  \
    *(vec *)(TO) = value;                                                                                        \
}

/* `vectors` of positions, from position `at` of a plane of y on, for `blocks` blocks of channels whose weights begin at w, as far as
 * `ins` input channels from x on go: y is added to unless they are the first, and the bias is NULL unless they are the last. */
#define TG_CONV_DIRECT_SPOT(LEVEL, NAME, T)                                                                      \
    TG_INLINE void tg_direct_spot_##NAME##_##LEVEL(const tg_direct *c, T *restrict y, const T *restrict x, const T *restrict w, \
                                                   const T *restrict bias, int64_t channels, int64_t at, int64_t ins, const int first, \
                                                   const int blocks, const int vectors) {                        \
        enum { N = TG_DIRECT_BYTES_##LEVEL / sizeof(T), B = TG_DIRECT_BLOCK };                                   \
        typedef T vec __attribute__((vector_size(TG_DIRECT_BYTES_##LEVEL), aligned(sizeof(T)), may_alias));      \
        const int64_t places = c->ins * c->kh * c->kw, plane = c->height * c->width;                             \
        vec sum[2 * B] = {0}, next[2 * B] = {0}, third[2 * B] = {0};                                             \
        const T *restrict weight = w;                                                                            \
        for (int64_t k = 0; k < ins; k++)                                                                        \
        for (int64_t a = 0; a < c->kh; a++) {                                                                    \
            const T *restrict line = x + k * c->kw * c->copy + a * c->dh * c->width + at;                        \
            for (int64_t b = 0; b < c->kw; b++, weight += B, line += c->copy) {                                  \
                vec v = *(const vec *)line, u = v, t = v;                                                        \
                if (vectors >= 2) u = *(const vec *)(line + N);                                                  \
                if (vectors == 3) t = *(const vec *)(line + 2 * N);                                              \
                if (vectors == 3) TG_DIRECT_KEEP(t);                                                             \
                _Pragma("GCC unroll 8") for (int l = 0; l < B * blocks; l++) {                                   \
                    const T by = l < B ? weight[l] : weight[places * B + l - B];                                 \
                    sum[l] += v * by;                                                                            \
                    if (vectors >= 2) next[l] += u * by;                                                         \
                    if (vectors == 3) third[l] += t * by;                                                        \
                }                                                                                                \
            }                                                                                                    \
        }                                                                                                        \
        const int64_t left = plane - at - (vectors - 1) * N, m = left < N ? left : N;                            \
        _Pragma("GCC unroll 8") for (int l = 0; l < B * blocks; l++) {                                           \
            if (l >= channels) break;                                                                            \
            T *restrict to = y + l * plane + at;                                                                 \
            if (vectors >= 2) { TG_DIRECT_STORE(to, sum[l]) }                                                    \
            if (vectors == 3) { TG_DIRECT_STORE(to + N, next[l]) }                                               \
            to += (vectors - 1) * N;                                                                             \
            if (m == N) {                                                                                        \
                TG_DIRECT_STORE(to, (vectors == 3 ? third[l] : vectors == 2 ? next[l] : sum[l]))                 \
            } else {                                                                                             \
                T rest[N];                                                                                       \
                memcpy(rest, to, (size_t)m * sizeof(T));                                                         \
                TG_DIRECT_STORE(rest, (vectors == 3 ? third[l] : vectors == 2 ? next[l] : sum[l]))               \
                memcpy(to, rest, (size_t)m * sizeof(T));                                                         \
            }                                                                                                    \
        }                                                                                                        \
    }

#define TG_DIRECT_SPOT(LEVEL, NAME, BLOCKS, VECTORS)                                                             \
    tg_direct_spot_##NAME##_##LEVEL(c, y + o * plane, from, weight, extra, c->outs - o, at, ins, k == 0, BLOCKS, VECTORS)
#define TG_CONV_DIRECT_LEVEL(LEVEL, ATTRIBUTES, NAME, T)                                                         \
    TG_CONV_DIRECT_SPOT(LEVEL, NAME, T)                                                                          \
    __attribute__((ATTRIBUTES)) static void tg_direct_##NAME##_##LEVEL(const tg_direct *c, T *restrict y, const T *restrict x, \
                                                                       const T *restrict w, const T *restrict bias) { \
        enum { N = TG_DIRECT_BYTES_##LEVEL / sizeof(T), V = TG_DIRECT_VECTORS_##LEVEL };                         \
        enum { B = TG_DIRECT_BLOCK, BLOCKS = TG_DIRECT_BLOCKS_##LEVEL };                                         \
        const int64_t plane = c->height * c->width, block = c->ins * c->kh * c->kw;                              \
        /* so many input channels that what they are added up from stays in the first cache for all output channels */ \
        const int64_t most = 1 + TG_DIRECT_L1 / (c->kh * c->kw * (V * TG_DIRECT_BYTES_##LEVEL + 64));            \
        for (int64_t k = 0; k < c->ins; k += most)                                                               \
        for (int64_t at = 0; at < plane; at += V * N) {                                                          \
            const int64_t ins = c->ins - k < most ? c->ins - k : most, vectors = (plane - at + N - 1) / N;       \
            const T *from = x + k * c->kw * c->copy;                                                             \
            for (int64_t o = 0; o < c->outs;) {                                                                  \
                const int two = BLOCKS == 2 && o + B < c->outs;                                                  \
                const T *weight = w + o * block + k * c->kh * c->kw * B, *extra = bias && k + ins == c->ins ? bias + o : NULL; \
                if (two && vectors >= V) TG_DIRECT_SPOT(LEVEL, NAME, BLOCKS, V);                                 \
                else if (two && vectors == 2) TG_DIRECT_SPOT(LEVEL, NAME, BLOCKS, 2);                            \
                else if (two) TG_DIRECT_SPOT(LEVEL, NAME, BLOCKS, 1);                                            \
                else if (vectors >= V) TG_DIRECT_SPOT(LEVEL, NAME, 1, V);                                        \
                else if (vectors == 2) TG_DIRECT_SPOT(LEVEL, NAME, 1, 2);                                        \
                else TG_DIRECT_SPOT(LEVEL, NAME, 1, 1);                                                          \
                o += two ? 2 * B : B;                                                                            \
            }                                                                                                    \
        }                                                                                                        \
    }                                                                                                            \
    /* The copies for an image (ins, height, width); no vector is read beyond `end`. What a vector writes beyond its line is \
     * written again by the next one. */                                                                         \
    __attribute__((ATTRIBUTES)) static void tg_direct_shift_##NAME##_##LEVEL(const tg_direct *c, T *copies, const T *x, const T *end, \
                                                                             int64_t top, int64_t left, int64_t height, int64_t width) { \
        enum { N = TG_DIRECT_BYTES_##LEVEL / sizeof(T) };                                                        \
        typedef T vec __attribute__((vector_size(TG_DIRECT_BYTES_##LEVEL), aligned(sizeof(T)), may_alias));      \
        for (int64_t k = 0; k < c->ins; k++)                                                                     \
            for (int64_t b = 0; b < c->kw; b++) {                                                                \
                T *to = copies + (k * c->kw + b) * c->copy;                                                      \
                /* o + shift lies in the line of x for first <= o < after */                                     \
                const int64_t shift = b * c->dw - left, after = width - shift < c->width ? width - shift : c->width; \
                const int64_t first = shift < 0 ? -shift : 0, n = after - first;                                 \
                for (int64_t i = 0; i < c->rows; i++, to += c->width) {                                          \
                    if (i < top || i >= top + height || n <= 0) {                                                \
                        for (int64_t j = 0; j < c->width; j += N) *(vec *)(to + j) = (vec){0};                   \
                        continue;                                                                                \
                    }                                                                                            \
                    const T *from = x + (k * height + i - top) * width + first + shift;                          \
                    for (int64_t j = 0; j < first; j++) to[j] = 0;                                               \
                    if (end - from >= n + N) for (int64_t j = 0; j < n; j += N) *(vec *)(to + first + j) = *(const vec *)(from + j); \
                    else memcpy(to + first, from, (size_t)n * sizeof(T));                                        \
                    for (int64_t j = after; j < c->width; j++) to[j] = 0;                                        \
                }                                                                                                \
            }                                                                                                    \
    }

#define TG_CONV_DIRECT(NAME, T)                                                                                  \
    TG_FOR_LEVELS(TG_CONV_DIRECT_LEVEL, NAME, T)                                                                 \
    static void (*const tg_direct_##NAME[])(const tg_direct *, T *restrict, const T *restrict, const T *restrict, const T *restrict) = \
        TG_BY_LEVEL(tg_direct_##NAME);                                                                           \
    static void (*const tg_direct_shift_##NAME[])(const tg_direct *, T *, const T *, const T *, int64_t, int64_t, int64_t, int64_t) = \
        TG_BY_LEVEL(tg_direct_shift_##NAME);                                                                     \
    /* w (out_channels, in_channels, kh, kw) for the forward direction; turned round, with the roles of the channels exchanged, \
     * for the gradient of the input */                                                                          \
    static void tg_direct_pack_##NAME(const tg_direct *c, int backward, T *restrict to, const T *restrict w) {   \
        int64_t places = c->kh * c->kw;                                                                          \
        for (int64_t o = 0; o < c->outs; o += TG_DIRECT_BLOCK)                                                   \
            for (int64_t k = 0; k < c->ins; k++)                                                                 \
                for (int64_t p = 0; p < places; p++)                                                             \
                    for (int64_t l = o; l < o + TG_DIRECT_BLOCK; l++)                                            \
                        *to++ = l >= c->outs ? 0 : backward ? w[(k * c->outs + l) * places + places - 1 - p]     \
                                                            : w[(l * c->ins + k) * places + p];                  \
    }                                                                                                            \
    static void tg_direct_images_##NAME(const tg_direct *d, int64_t groups, int backward, T *y, const T *x, const T *w, const T *bias, \
                                        T *scratch, int64_t top, int64_t left, int64_t height, int64_t width, int64_t begin, int64_t end) { \
        int64_t packed = (d->outs + TG_DIRECT_BLOCK - 1) / TG_DIRECT_BLOCK * TG_DIRECT_BLOCK * d->ins * d->kh * d->kw; \
        T *shifted = scratch + groups * packed;                                                                  \
        const T *stop = x + end * groups * d->ins * height * width;                                              \
        for (int64_t g = 0; g < groups; g++)                                                                     \
            tg_direct_pack_##NAME(d, backward, scratch + g * packed, w + g * d->outs * d->ins * d->kh * d->kw);  \
        for (int64_t image = begin * groups; image < end * groups; image++) {                                    \
            tg_direct_shift_##NAME[tg_simd_level](d, shifted, x + image * d->ins * height * width, stop, top, left, height, width); \
            tg_direct_##NAME[tg_simd_level](d, y + image * d->outs * d->height * d->width, shifted, scratch + image % groups * packed, \
                                            bias ? bias + image % groups * d->outs : NULL);                      \
        }                                                                                                        \
    }
/* The gradient of the weight: for a block of output channels and a place of the kernel, the products of all positions are added
 * in the lanes of a vector each, from image to image; `lanes` holds them, (outs, ins, kh, kw, N). y is copied to lines of
 * `line` elements, which are zero beyond the width. */
#define TG_CONV_DIRECT_WEIGHT_LEVEL(LEVEL, ATTRIBUTES, NAME, T)                                                  \
    /* `across` neighbouring places of the kernel at once, 1 or 3 */                                             \
    TG_INLINE void tg_direct_weight_spot_##NAME##_##LEVEL(const tg_direct *c, int64_t line, T *restrict lanes, const T *restrict g, \
                                                          const T *restrict x, int64_t channels, int64_t places, const int across) { \
        enum { M = TG_DIRECT_BYTES_##LEVEL / sizeof(T), N = 64 / sizeof(T), B = TG_DIRECT_BLOCK };               \
        typedef T vec __attribute__((vector_size(TG_DIRECT_BYTES_##LEVEL), aligned(sizeof(T)), may_alias));      \
        for (int64_t part = 0; part < N; part += M) {                                                            \
            vec sum[3 * B] = {0};                                                                                \
            for (int64_t i = 0; i < c->height; i++)                                                              \
                for (int64_t j = part; j < line; j += N) {                                                       \
                    const T *restrict from = x + i * c->pitch + j, *restrict at = g + i * line + j;              \
                    vec v = *(const vec *)from, u = v, t = v;                                                    \
                    if (across == 3) {                                                                           \
                        u = *(const vec *)(from + c->dw);                                                        \
                        t = *(const vec *)(from + 2 * c->dw);                                                    \
                    }                                                                                            \
                    _Pragma("GCC unroll 4") for (int l = 0; l < B; l++) {                                        \
                        const vec by = *(const vec *)(at + l * c->height * line);                                \
                        sum[l] += v * by;                                                                        \
                        if (across == 3) {                                                                       \
                            sum[B + l] += u * by;                                                                \
                            sum[2 * B + l] += t * by;                                                            \
                        }                                                                                        \
                    }                                                                                            \
                }                                                                                                \
            _Pragma("GCC unroll 12") for (int l = 0; l < B * across; l++)                                        \
                if (l % B < channels) *(vec *)(lanes + (l % B * places + l / B) * N + part) += sum[l];           \
        }                                                                                                        \
    }                                                                                                            \
    __attribute__((ATTRIBUTES)) static void tg_direct_weight_##NAME##_##LEVEL(const tg_direct *c, int64_t line, T *restrict lanes, \
                                                                              const T *restrict y, const T *restrict x) { \
        enum { N = 64 / sizeof(T), B = TG_DIRECT_BLOCK };                                                        \
        const int64_t places = c->ins * c->kh * c->kw, plane = c->height * line;                                 \
        for (int64_t o = 0; o < c->outs; o += B)                                                                 \
            for (int64_t k = 0; k < c->ins; k++)                                                                 \
            for (int64_t a = 0; a < c->kh; a++)                                                                  \
            for (int64_t b = 0; b < c->kw;) {                                                                    \
                const T *restrict from = x + (k * c->rows + a * c->dh) * c->pitch + b * c->dw;                   \
                T *restrict to = lanes + (o * places + (k * c->kh + a) * c->kw + b) * N;                         \
                const int across = b + 3 <= c->kw ? 3 : 1;                                                       \
                if (across == 3) tg_direct_weight_spot_##NAME##_##LEVEL(c, line, to, y + o * plane, from, c->outs - o, places, 3); \
                else tg_direct_weight_spot_##NAME##_##LEVEL(c, line, to, y + o * plane, from, c->outs - o, places, 1); \
                b += across;                                                                                     \
            }                                                                                                    \
    }
#define TG_CONV_DIRECT_WEIGHT(NAME, T)                                                                           \
    TG_FOR_LEVELS(TG_CONV_DIRECT_WEIGHT_LEVEL, NAME, T)                                                          \
    static void tg_direct_weight_##NAME(const tg_direct *c, int64_t line, T *restrict lanes, const T *restrict y, const T *restrict x) { \
        static void (*const by_level[])(const tg_direct *, int64_t, T *restrict, const T *restrict, const T *restrict) = \
            TG_BY_LEVEL(tg_direct_weight_##NAME);                                                                \
        by_level[tg_simd_level](c, line, lanes, y, x);                                                           \
    }                                                                                                            \
    static void tg_direct_weights_##NAME(const tg_direct *d, int64_t groups, T *w, const T *y, const T *x, T *scratch, int64_t top, \
                                         int64_t left, int64_t height, int64_t width, int64_t begin, int64_t end) { \
        int64_t n = 64 / (int64_t)sizeof(T), line = (d->width + n - 1) / n * n, weights = d->outs * d->ins * d->kh * d->kw; \
        int64_t blocks = (d->outs + TG_DIRECT_BLOCK - 1) / TG_DIRECT_BLOCK * TG_DIRECT_BLOCK;                    \
        T *lines = scratch + groups * weights * n, *padded = lines + blocks * d->height * line;                  \
        memset(scratch, 0, (size_t)(padded - scratch + d->ins * d->rows * d->pitch) * sizeof(T));                \
        for (int64_t image = begin * groups; image < end * groups; image++) {                                    \
            for (int64_t k = 0; k < d->ins; k++)                                                                 \
                for (int64_t i = 0; i < height; i++)                                                             \
                    memcpy(padded + (k * d->rows + i + top) * d->pitch + left,                                   \
                           x + ((image * d->ins + k) * height + i) * width, (size_t)width * sizeof(T));          \
            for (int64_t i = 0; i < d->outs * d->height; i++)                                                    \
                memcpy(lines + i * line, y + (image * d->outs * d->height + i) * d->width, (size_t)d->width * sizeof(T)); \
            tg_direct_weight_##NAME(d, line, scratch + image % groups * weights * n, lines, padded);             \
        }                                                                                                        \
        for (int64_t i = 0; i < groups * weights; i++) {                                                         \
            T sum = 0;                                                                                           \
            for (int64_t l = 0; l < n; l++) sum += scratch[i * n + l];                                           \
            w[i] = sum;                                                                                          \
        }                                                                                                        \
    }
TG_CONV_DIRECT_WEIGHT(f32, float)
TG_CONV_DIRECT_WEIGHT(f64, double)

TG_CONV_DIRECT(f32, float)
TG_CONV_DIRECT(f64, double)

/* Does this way serve? Then its geometry; the gradient of the input is the convolution of y with a padding of its own. */
static int tg_conv_is_direct(const tg_conv *c, int backward, tg_direct *d, int64_t *top, int64_t *left) {
    if (c->dtype != TG_F32 && c->dtype != TG_F64) return 0;
    if (c->kernel[0] != 1 || c->padding[0] != 0 || c->in[0] != 1 || c->stride[0] != 1 || c->stride[1] != 1 || c->stride[2] != 1) return 0;
    if (c->in_channels > TG_DIRECT_CHANNELS || c->out_channels > TG_DIRECT_CHANNELS || c->kernel[1] * c->kernel[2] == 1) return 0;
    int64_t reach = (c->kernel[1] - 1) * c->dilation[1], across = (c->kernel[2] - 1) * c->dilation[2];
    const int64_t *out = backward ? c->in : c->out;
    *top = backward ? reach - c->padding[1] : c->padding[1];
    *left = backward ? across - c->padding[2] : c->padding[2];
    /* a transposed convolution may have been padded, or the positions cut */
    if (*top < 0 || *left < 0 || out[2] < 8) return 0;
    if ((c->out[1] != c->in[1] + 2 * c->padding[1] - reach || c->out[2] != c->in[2] + 2 * c->padding[2] - across)) return 0;
    int64_t lanes = 64 / tg_itemsize(c->dtype);
    *d = (tg_direct){backward ? c->in_channels : c->out_channels, backward ? c->out_channels : c->in_channels, out[1], out[2],
                     out[1] + reach, (out[2] + lanes - 1) / lanes * lanes + across, c->kernel[1], c->kernel[2], c->dilation[1],
                     c->dilation[2],
                     ((out[1] + reach) * out[2] / lanes | 1) * lanes + 2 * lanes};
    return 1;
}

/* out = the convolution of `from` and the bias, for images begin..end of both. */
static int tg_conv_directly(const tg_conv *c, const tg_direct *d, int backward, int64_t top, int64_t left, char *out, const char *from,
                            const char *w, const char *bias, int64_t begin, int64_t end) {
    const int64_t *size = backward ? c->out : c->in;
    int64_t blocks = (d->outs + TG_DIRECT_BLOCK - 1) / TG_DIRECT_BLOCK * TG_DIRECT_BLOCK;
    int64_t n = c->groups * blocks * d->ins * d->kh * d->kw + d->ins * d->kw * d->copy;
    char *scratch = (char *)malloc((size_t)(n * tg_itemsize(c->dtype)) + 256);
    if (!scratch) return TG_NO_MEMORY;
    if (c->dtype == TG_F32)
        tg_direct_images_f32(d, c->groups, backward, (float *)out, (const float *)from, (const float *)w, (const float *)bias,
                             (float *)scratch, top, left, size[1], size[2], begin, end);
    else
        tg_direct_images_f64(d, c->groups, backward, (double *)out, (const double *)from, (const double *)w, (const double *)bias,
                             (double *)scratch, top, left, size[1], size[2], begin, end);
    free(scratch);
    return TG_OK;
}

/* w = the gradient of the weight, as far as images begin..end go. */
static int tg_conv_weight_directly(const tg_conv *c, const tg_direct *d, int64_t top, int64_t left, char *w, const char *y, const char *x,
                                   int64_t begin, int64_t end) {
    int64_t lanes = 64 / tg_itemsize(c->dtype), line = (d->width + lanes - 1) / lanes * lanes;
    int64_t blocks = (d->outs + TG_DIRECT_BLOCK - 1) / TG_DIRECT_BLOCK * TG_DIRECT_BLOCK;
    int64_t n = c->groups * d->outs * d->ins * d->kh * d->kw * lanes + blocks * d->height * line + d->ins * d->rows * d->pitch;
    char *scratch = (char *)malloc((size_t)(n * tg_itemsize(c->dtype)) + 64);
    if (!scratch) return TG_NO_MEMORY;
    if (c->dtype == TG_F32)
        tg_direct_weights_f32(d, c->groups, (float *)w, (const float *)y, (const float *)x, (float *)scratch, top, left, c->in[1], c->in[2],
                              begin, end);
    else
        tg_direct_weights_f64(d, c->groups, (double *)w, (const double *)y, (const double *)x, (double *)scratch, top, left, c->in[1],
                              c->in[2], begin, end);
    free(scratch);
    return TG_OK;
}

#endif
