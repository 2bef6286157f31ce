/* Convolutions of few channels with stride 1, in two dimensions, without a matrix of windows.
 *
 * A block of output channels is added up in registers over all input channels and places of the kernel, for as many positions
 * of a line as a vector holds. The lines of the image are copied once, with their padding, so that no position is special.
 */
#ifndef TG_CONV_DIRECT_H
#define TG_CONV_DIRECT_H

#include <stdlib.h>
#include "array.h"
#include "fused_table.h"
#include "simd_choice.h"

enum { TG_DIRECT_BLOCK = 4, TG_DIRECT_CHANNELS = 32 };

/* One image and group: y (outs, height, width) += w * x, x being padded to (ins, rows, pitch). w is packed by blocks of output
 * channels: (outs / BLOCK, ins * kh * kw, BLOCK). */
typedef struct {
    int64_t outs, ins, height, width, rows, pitch, kh, kw, dh, dw;
} tg_direct;

/* With 32 registers of 64 bytes two blocks of channels and two vectors of positions share what is loaded; with fewer or
 * shorter registers one of each. */
enum { TG_DIRECT_TWO_plain = 0, TG_DIRECT_TWO_avx2 = 0, TG_DIRECT_TWO_avx512 = 1 };

/* `vectors` of positions from (i, j) on, of `blocks` blocks of channels from o on, whose weights begin at w: both are 1 or 2. */
#define TG_CONV_DIRECT_SPOT(NAME, T)                                                                             \
    TG_INLINE void tg_direct_spot_##NAME(const tg_direct *c, T *restrict y, const T *restrict x, const T *restrict w, int64_t o, \
                                         int64_t i, int64_t j, const int blocks, const int vectors) {            \
        enum { N = 64 / sizeof(T), B = TG_DIRECT_BLOCK };                                                        \
        typedef T vec __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));                           \
        const int64_t places = c->ins * c->kh * c->kw;                                                           \
        vec sum[2 * B] = {0}, next[2 * B] = {0};                                                                 \
        const T *restrict weight = w;                                                                            \
        for (int64_t k = 0; k < c->ins; k++)                                                                     \
        for (int64_t a = 0; a < c->kh; a++) {                                                                    \
            const T *restrict line = x + (k * c->rows + i + a * c->dh) * c->pitch + j;                           \
            for (int64_t b = 0; b < c->kw; b++, weight += B) {                                                   \
                vec v = *(const vec *)(line + b * c->dw), u = v;                                                 \
                if (vectors == 2) u = *(const vec *)(line + b * c->dw + N);                                      \
                _Pragma("GCC unroll 8") for (int l = 0; l < B * blocks; l++) {                                   \
                    const T by = l < B ? weight[l] : weight[places * B + l - B];                                 \
                    sum[l] += v * by;                                                                            \
                    if (vectors == 2) next[l] += u * by;                                                         \
                }                                                                                                \
            }                                                                                                    \
        }                                                                                                        \
        const int64_t channels = c->outs - o < B * blocks ? c->outs - o : B * blocks;                            \
        const int64_t m = c->width - j - (vectors - 1) * N < N ? c->width - j - (vectors - 1) * N : N;           \
        _Pragma("GCC unroll 8") for (int l = 0; l < B * blocks; l++) {                                           \
            if (l >= channels) break;                                                                            \
            T *restrict to = y + ((o + l) * c->height + i) * c->width + j;                                       \
            vec last = sum[l];                                                                                   \
            if (vectors == 2) {                                                                                  \
                *(vec *)to += last;                                                                              \
                to += N;                                                                                         \
                last = next[l];                                                                                  \
            }                                                                                                    \
            if (m == N) *(vec *)to += last;                                                                      \
            else for (int64_t t = 0; t < m; t++) to[t] += last[t];                                               \
        }                                                                                                        \
    }

#define TG_CONV_DIRECT_LEVEL(LEVEL, ATTRIBUTES, NAME, T)                                                         \
    __attribute__((ATTRIBUTES)) static void tg_direct_##NAME##_##LEVEL(const tg_direct *c, T *restrict y, const T *restrict x, \
                                                                       const T *restrict w) {                    \
        enum { N = 64 / sizeof(T), B = TG_DIRECT_BLOCK, TWO = TG_DIRECT_TWO_##LEVEL };                           \
        const int64_t block = c->ins * c->kh * c->kw * B;                                                        \
        for (int64_t o = 0; o < c->outs;) {                                                                      \
            const int blocks = TWO && o + B < c->outs ? 2 : 1;                                                   \
            for (int64_t i = 0; i < c->height; i++)                                                              \
                for (int64_t j = 0; j < c->width;) {                                                             \
                    const int vectors = TWO && j + N < c->width ? 2 : 1;                                         \
                    if (blocks == 2 && vectors == 2) tg_direct_spot_##NAME(c, y, x, w, o, i, j, 2, 2);           \
                    else if (blocks == 2) tg_direct_spot_##NAME(c, y, x, w, o, i, j, 2, 1);                      \
                    else if (vectors == 2) tg_direct_spot_##NAME(c, y, x, w, o, i, j, 1, 2);                     \
                    else tg_direct_spot_##NAME(c, y, x, w, o, i, j, 1, 1);                                       \
                    j += vectors * N;                                                                            \
                }                                                                                                \
            o += blocks * B;                                                                                     \
            w += blocks * block;                                                                                 \
        }                                                                                                        \
    }

#define TG_CONV_DIRECT(NAME, T)                                                                                  \
    TG_CONV_DIRECT_SPOT(NAME, T)                                                                                 \
    TG_FOR_LEVELS(TG_CONV_DIRECT_LEVEL, NAME, T)                                                                 \
    static void tg_direct_##NAME(const tg_direct *c, T *restrict y, const T *restrict x, const T *restrict w) {  \
        static void (*const by_level[])(const tg_direct *, T *restrict, const T *restrict, const T *restrict) =  \
            TG_BY_LEVEL(tg_direct_##NAME);                                                                       \
        by_level[tg_simd_level](c, y, x, w);                                                                     \
    }                                                                                                            \
    /* w (out_channels, in_channels, kh, kw) for the forward direction; turned round, with the roles of the channels exchanged,  \
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
    static void tg_direct_images_##NAME(const tg_direct *d, int64_t groups, int backward, T *y, const T *x, const T *w, T *scratch, \
                                        int64_t top, int64_t left, int64_t height, int64_t width, int64_t begin, int64_t end) { \
        int64_t packed = (d->outs + TG_DIRECT_BLOCK - 1) / TG_DIRECT_BLOCK * TG_DIRECT_BLOCK * d->ins * d->kh * d->kw; \
        T *padded = scratch + groups * packed;                                                                   \
        for (int64_t g = 0; g < groups; g++)                                                                     \
            tg_direct_pack_##NAME(d, backward, scratch + g * packed, w + g * d->outs * d->ins * d->kh * d->kw);  \
        memset(padded, 0, (size_t)(d->ins * d->rows * d->pitch) * sizeof(T));                                    \
        for (int64_t image = begin * groups; image < end * groups; image++) {                                    \
            const T *from = x + image * d->ins * height * width;                                                 \
            for (int64_t k = 0; k < d->ins; k++)                                                                 \
                for (int64_t i = 0; i < height; i++)                                                             \
                    memcpy(padded + (k * d->rows + i + top) * d->pitch + left, from + (k * height + i) * width,  \
                           (size_t)width * sizeof(T));                                                           \
            tg_direct_##NAME(d, y + image * d->outs * d->height * d->width, padded, scratch + image % groups * packed); \
        }                                                                                                        \
    }
/* The gradient of the weight: for a block of output channels and a place of the kernel, the products of all positions are added
 * in the lanes of a vector each, from image to image; `lanes` holds them, (outs, ins, kh, kw, N). y is copied to lines of
 * `line` elements, which are zero beyond the width. */
#define TG_CONV_DIRECT_WEIGHT(NAME, T)                                                                           \
    TG_CLONES static void tg_direct_weight_##NAME(const tg_direct *c, int64_t line, T *restrict lanes, const T *restrict y, \
                                                  const T *restrict x) {                                         \
        enum { N = 64 / sizeof(T), B = TG_DIRECT_BLOCK };                                                        \
        typedef T vec __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));                           \
        int64_t places = c->ins * c->kh * c->kw, plane = c->height * line;                                       \
        for (int64_t o = 0; o < c->outs; o += B)                                                                 \
            for (int64_t k = 0; k < c->ins; k++)                                                                 \
            for (int64_t a = 0; a < c->kh; a++)                                                                  \
            for (int64_t b = 0; b < c->kw; b++) {                                                                \
                vec sum[B] = {0};                                                                                \
                for (int64_t i = 0; i < c->height; i++) {                                                        \
                    const T *restrict from = x + (k * c->rows + i + a * c->dh) * c->pitch + b * c->dw;           \
                    const T *restrict g = y + o * plane + i * line;                                              \
                    for (int64_t j = 0; j < line; j += N) {                                                      \
                        vec v = *(const vec *)(from + j);                                                        \
                        for (int l = 0; l < B; l++) sum[l] += v * *(const vec *)(g + l * plane + j);             \
                    }                                                                                            \
                }                                                                                                \
                int64_t channels = c->outs - o < B ? c->outs - o : B;                                            \
                for (int64_t l = 0; l < channels; l++)                                                           \
                    *(vec *)(lanes + ((o + l) * places + (k * c->kh + a) * c->kw + b) * N) += sum[l];            \
            }                                                                                                    \
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
                     out[1] + reach, (out[2] + lanes - 1) / lanes * lanes + across, c->kernel[1], c->kernel[2], c->dilation[1], c->dilation[2]};
    return 1;
}

/* out += the convolution of `from`, for images begin..end of both. */
static int tg_conv_directly(const tg_conv *c, const tg_direct *d, int backward, int64_t top, int64_t left, char *out, const char *from,
                            const char *w, int64_t begin, int64_t end) {
    const int64_t *size = backward ? c->out : c->in;
    int64_t blocks = (d->outs + TG_DIRECT_BLOCK - 1) / TG_DIRECT_BLOCK * TG_DIRECT_BLOCK;
    int64_t n = c->groups * blocks * d->ins * d->kh * d->kw + d->ins * d->rows * d->pitch;
    char *scratch = (char *)malloc((size_t)(n * tg_itemsize(c->dtype)) + 64);
    if (!scratch) return TG_NO_MEMORY;
    if (c->dtype == TG_F32)
        tg_direct_images_f32(d, c->groups, backward, (float *)out, (const float *)from, (const float *)w, (float *)scratch, top, left,
                             size[1], size[2], begin, end);
    else
        tg_direct_images_f64(d, c->groups, backward, (double *)out, (const double *)from, (const double *)w, (double *)scratch, top, left,
                             size[1], size[2], begin, end);
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
