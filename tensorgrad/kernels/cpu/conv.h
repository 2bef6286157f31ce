/* Convolutions in up to three dimensions, by products with a matrix of windows (im2col), a bounded tile of it at a time.
 *
 * For one image and group, with L output positions and K = in_channels * prod(kernel):
 *     y (out_channels, L) = w (out_channels, K) @ columns (K, L).
 */
#ifndef TG_CONV_H
#define TG_CONV_H

#include "fused_table.h"
#include "conv_direct.h"
#include "gemm.h"

enum { TG_CONV_TILE = 1 << 19 }; /* bytes of a tile of columns: it stays in the second cache */

static inline int64_t tg_volume(const int64_t *sizes) { return sizes[0] * sizes[1] * sizes[2]; }

/* Is the matrix of windows the image itself? */
static inline int tg_conv_is_pointwise(const tg_conv *c) {
    for (int d = 0; d < 3; d++)
        if (c->kernel[d] != 1 || c->stride[d] != 1 || c->padding[d] != 0) return 0;
    return 1;
}

/* How many output positions a tile covers. */
static inline int64_t tg_conv_positions(const tg_conv *c) {
    int64_t rows = c->in_channels * tg_volume(c->kernel), total = tg_volume(c->out);
    int64_t n = TG_CONV_TILE / (tg_itemsize(c->dtype) * (rows ? rows : 1));
    n = n < 64 ? 64 : n;
    return n > total ? (total ? total : 1) : n;
}

static inline int64_t tg_ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

/* Between an image and rows of its matrix of windows: the part of one row (a channel and a place in the kernel) that lies in
 * one line of the image. The first `lead` of `n` elements and those from `stop` on fall into the padding. */
#define TG_CONV_WALK(T, PADDING, INSIDE)                                                                         \
    int64_t lines = c->out[1], width = c->out[2], span = p1 - p0;                                                \
    for (int64_t channel = 0, row = 0; channel < c->in_channels; channel++) {                                    \
        T *restrict plane = (T *)image + channel * tg_volume(c->in);                                             \
        for (int64_t kd = 0; kd < c->kernel[0]; kd++)                                                            \
        for (int64_t kh = 0; kh < c->kernel[1]; kh++)                                                            \
        for (int64_t kw = 0; kw < c->kernel[2]; kw++, row++) {                                                   \
            T *restrict columns = (T *)matrix + row * span;                                                      \
            int64_t shift = kw * c->dilation[2] - c->padding[2], step = c->stride[2];                            \
            /* o * step + shift lies in the line for first <= o < after */                                       \
            int64_t first = tg_ceil_div(-shift, step), after = tg_ceil_div(c->in[2] - shift, step);              \
            for (int64_t p = p0; p < p1;) {                                                                      \
                int64_t line = p / width, o = p - line * width, n = tg_min64(width - o, p1 - p);                 \
                int64_t depth = line / lines, height = line - depth * lines;                                     \
                int64_t z = depth * c->stride[0] - c->padding[0] + kd * c->dilation[0];                          \
                int64_t y = height * c->stride[1] - c->padding[1] + kh * c->dilation[1];                         \
                int64_t lead = first - o, stop = after - o;                                                      \
                T *restrict column = columns + (p - p0);                                                         \
                if (z < 0 || z >= c->in[0] || y < 0 || y >= c->in[1]) stop = 0;                                  \
                lead = lead < 0 ? 0 : lead > n ? n : lead;                                                       \
                stop = stop > n ? n : stop < lead ? lead : stop;                                                 \
                T *restrict at = plane + (z * c->in[1] + y) * c->in[2] + (o * step + shift);                     \
                PADDING                                                                                          \
                INSIDE                                                                                           \
                p += n;                                                                                          \
            }                                                                                                    \
        }                                                                                                        \
    }

#define TG_CONV_COLUMNS(NAME, T)                                                                                 \
    static void tg_im2col_##NAME(const tg_conv *c, char *matrix, const char *image, int64_t p0, int64_t p1) {    \
        TG_CONV_WALK(T,                                                                                          \
            for (int64_t i = 0; i < lead; i++) column[i] = 0;                                                    \
            for (int64_t i = stop; i < n; i++) column[i] = 0;,                                                   \
            if (step == 1) memcpy(column + lead, at + lead, (size_t)(stop - lead) * sizeof(T));                  \
            else for (int64_t i = lead; i < stop; i++) column[i] = at[i * step];)                                \
    }                                                                                                            \
    static void tg_col2im_##NAME(const tg_conv *c, char *image, const char *matrix, int64_t p0, int64_t p1) {    \
        TG_CONV_WALK(T, ,                                                                                        \
            if (step == 1) for (int64_t i = lead; i < stop; i++) at[i] += column[i];                             \
            else for (int64_t i = lead; i < stop; i++) at[i * step] += column[i];)                               \
    }
TG_CONV_COLUMNS(f32, float)
TG_CONV_COLUMNS(f64, double)
TG_CONV_COLUMNS(c64, tg_c64)
TG_CONV_COLUMNS(c128, tg_c128)

typedef void (*tg_columns)(const tg_conv *c, char *to, const char *from, int64_t p0, int64_t p1);

static tg_columns tg_im2col(int dtype) {
    return dtype == TG_F32 ? tg_im2col_f32 : dtype == TG_F64 ? tg_im2col_f64 : dtype == TG_C64 ? tg_im2col_c64
        : dtype == TG_C128 ? tg_im2col_c128 : NULL;
}

static tg_columns tg_col2im(int dtype) {
    return dtype == TG_F32 ? tg_col2im_f32 : dtype == TG_F64 ? tg_col2im_f64 : dtype == TG_C64 ? tg_col2im_c64
        : dtype == TG_C128 ? tg_col2im_c128 : NULL;
}

/* Each channel of `images` images filled with its bias, or with zeros. */
static void tg_conv_fill(int dtype, char *out, const char *bias, int64_t images, int64_t channels, int64_t volume) {
    int64_t size = tg_itemsize(dtype);
    if (!bias) {
        memset(out, 0, (size_t)(images * channels * volume * size));
        return;
    }
#define TG_SPREAD(T) for (int64_t k = 0; k < images * channels; k++) {                                           \
        T value = ((const T *)bias)[k % channels], *restrict p = (T *)out + k * volume;                          \
        for (int64_t i = 0; i < volume; i++) p[i] = value; }
    switch (dtype) {
    case TG_F32: TG_SPREAD(float) break;
    case TG_F64: TG_SPREAD(double) break;
    case TG_C64: TG_SPREAD(tg_c64) break;
    default: TG_SPREAD(tg_c128)
    }
#undef TG_SPREAD
}

/* The products of images begin..end, group by group and tile by tile. WHICH: 0 y += w x, 1 x += w^T y, 2 w += y x^T. */
enum { TG_CONV_FORWARD, TG_CONV_INPUT, TG_CONV_WEIGHT };

static int tg_conv_images(const tg_conv *c, const tg_blas *blas, int which, char *x, char *y, char *w, int64_t begin, int64_t end) {
    int64_t size = tg_itemsize(c->dtype), volume_in = tg_volume(c->in), volume_out = tg_volume(c->out);
    int64_t rows = c->in_channels * tg_volume(c->kernel), tile = tg_conv_positions(c);
    int direct = tg_conv_is_pointwise(c);
    if (direct) tile = volume_out;
    char *matrix = direct ? NULL : (char *)malloc((size_t)(rows * tile * size) + 1);
    tg_gemm_scratch scratch = {NULL, NULL, NULL, NULL, NULL};
    int status = matrix || direct ? TG_OK : TG_NO_MEMORY;
    for (int64_t image = begin; image < end; image++)
    for (int64_t group = 0; group < c->groups; group++) {
        char *xi = x + (image * c->groups + group) * c->in_channels * volume_in * size;
        char *yi = y + (image * c->groups + group) * c->out_channels * volume_out * size;
        char *wi = w + group * c->out_channels * rows * size;
        for (int64_t p0 = 0; p0 < volume_out && status == TG_OK; p0 += tile) {
            int64_t p1 = tg_min64(p0 + tile, volume_out), n = p1 - p0;
            tg_matrix columns = {direct ? xi : matrix, rows, n, direct ? volume_in : n, 1};
            tg_matrix weight = {wi, c->out_channels, rows, rows, 1};
            tg_matrix out = {yi + p0 * size, c->out_channels, n, volume_out, 1};
            if (which == TG_CONV_INPUT) {
                status = tg_gemm_one(blas, c->dtype, columns, tg_matrix_t(weight), out, direct, &scratch);
                if (!direct) tg_col2im(c->dtype)(c, xi, matrix, p0, p1);
                continue;
            }
            if (!direct) tg_im2col(c->dtype)(c, matrix, xi, p0, p1);
            status = which == TG_CONV_FORWARD
                ? tg_gemm_one(blas, c->dtype, out, weight, columns, 1, &scratch)
                : tg_gemm_one(blas, c->dtype, weight, out, tg_matrix_t(columns), 1, &scratch);
        }
    }
    free(matrix);
    free(scratch.scratch_a);
    free(scratch.scratch_b);
    free(scratch.scratch_c);
    return status;
}

/* Images are shared between threads. A single one is not, but its products are (gemm.h). */
typedef struct {
    const tg_conv *c;
    const tg_blas *blas;
    const tg_direct *direct; /* NULL: by the matrix of windows */
    int64_t top, left, chunk, chunks, weights; /* of images, for the gradient of the weight, and bytes */
    char *x, *y, *w, *sums;
    const char *bias;
    int which, status;
} tg_conv_job;

static void tg_conv_part(void *context, int64_t begin, int64_t end) {
    tg_conv_job *j = (tg_conv_job *)context;
    const tg_conv *c = j->c;
    const int input = j->which == TG_CONV_INPUT;
    const int64_t channels = c->groups * (input ? c->in_channels : c->out_channels), volume = tg_volume(input ? c->in : c->out);
    char *out = input ? j->x : j->y;
    int status;
    if (j->direct) {
        status = tg_conv_directly(c, j->direct, input, j->top, j->left, out, input ? j->y : j->x, j->w, j->bias, begin, end);
    } else {
        tg_conv_fill(c->dtype, out + begin * channels * volume * tg_itemsize(c->dtype), j->bias, end - begin, channels, volume);
        status = tg_conv_images(c, j->blas, j->which, j->x, j->y, j->w, begin, end);
    }
    if (status != TG_OK) __atomic_store_n(&j->status, status, __ATOMIC_RELAXED);
}

/* How many images are worth a thread's while. */
static int64_t tg_conv_grain(const tg_conv *c) {
    const double work = (double)c->groups * c->out_channels * c->in_channels * tg_volume(c->kernel) * tg_volume(c->out);
    return 1 + (int64_t)(TG_GEMM_PARALLEL_AT / 4 / (work + 1));
}

static int tg_conv_share(const tg_conv *c, const tg_blas *blas, int which, char *x, char *y, const char *w, const char *bias) {
    tg_direct d;
    tg_conv_job job = {.c = c, .blas = blas, .x = x, .y = y, .w = (char *)w, .bias = bias, .which = which, .status = TG_OK};
    if (!tg_im2col(c->dtype)) return TG_NO_KERNEL;
    if (tg_conv_is_direct(c, which == TG_CONV_INPUT, &d, &job.top, &job.left)) job.direct = &d;
    tg_parallel_for(c->batch, tg_conv_grain(c), tg_conv_part, &job);
    return job.status;
}

static int tg_conv_forward(const tg_conv *c, const tg_blas *blas, char *y, const char *x, const char *w, const char *bias) {
    return tg_conv_share(c, blas, TG_CONV_FORWARD, (char *)x, y, w, bias);
}

/* The transposed convolution, which is also the gradient of the input. */
static int tg_conv_input(const tg_conv *c, const tg_blas *blas, char *x, const char *y, const char *w, const char *bias) {
    return tg_conv_share(c, blas, TG_CONV_INPUT, x, (char *)y, w, bias);
}

/* Chunks of images have sums of their own, which are added in order: the bits do not depend on the threads. Their number
 * depends on the geometry alone. */
enum { TG_CONV_CHUNKS = 8, TG_CONV_SUMS = 1 << 23 /* bytes at most */ };

static void tg_conv_weight_part(void *context, int64_t begin, int64_t end) {
    tg_conv_job *j = (tg_conv_job *)context;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i * j->chunk, after = tg_min64(first + j->chunk, j->c->batch);
        char *w = i == 0 ? j->w : j->sums + (i - 1) * j->weights;
        int status;
        if (j->direct) {
            status = tg_conv_weight_directly(j->c, j->direct, j->top, j->left, w, j->y, j->x, first, after);
        } else {
            memset(w, 0, (size_t)j->weights);
            status = tg_conv_images(j->c, j->blas, TG_CONV_WEIGHT, j->x, j->y, w, first, after);
        }
        if (status != TG_OK) __atomic_store_n(&j->status, status, __ATOMIC_RELAXED);
    }
}

static int tg_conv_weight(const tg_conv *c, const tg_blas *blas, char *w, const char *y, const char *x) {
    tg_direct d;
    tg_conv_job job = {.c = c, .blas = blas, .x = (char *)x, .y = (char *)y, .w = w, .status = TG_OK, .chunk = c->batch};
    if (!tg_im2col(c->dtype)) return TG_NO_KERNEL;
    if (tg_conv_is_direct(c, 0, &d, &job.top, &job.left) && c->in_channels * c->out_channels <= 256) job.direct = &d;
    const int64_t real = c->dtype == TG_C64 || c->dtype == TG_C128 ? 2 : 1, size = tg_itemsize(c->dtype) / real;
    job.weights = c->groups * c->out_channels * c->in_channels * tg_volume(c->kernel) * tg_itemsize(c->dtype);
    int64_t most = 1 + TG_CONV_SUMS / (job.weights + 1), grain = tg_conv_grain(c);
    if (most > TG_CONV_CHUNKS) most = TG_CONV_CHUNKS;
    if (c->batch > grain) job.chunk = (c->batch + most - 1) / most > grain ? (c->batch + most - 1) / most : grain;
    job.chunks = job.chunk ? (c->batch + job.chunk - 1) / job.chunk : 1;
    if (job.chunks > 1 && !(job.sums = (char *)malloc((size_t)((job.chunks - 1) * job.weights) + 1))) return TG_NO_MEMORY;
    tg_parallel_for(job.chunks, 1, tg_conv_weight_part, &job);
    const int64_t n = job.weights / size;
    for (int64_t k = 0; k + 1 < job.chunks; k++) {
        if (size == 4) for (int64_t i = 0; i < n; i++) ((float *)w)[i] += ((float *)job.sums)[k * n + i];
        else for (int64_t i = 0; i < n; i++) ((double *)w)[i] += ((double *)job.sums)[k * n + i];
    }
    free(job.sums);
    return job.status;
}

#endif
