/* Copying, casting and filling strided arrays. */
#ifndef TG_COPY_H
#define TG_COPY_H

#include "array.h"
#include "cast.h"
#include "iter.h"

/* Elements moved without being understood. A complex64 is aligned like a float, hence the
 * lowered alignments. */
typedef uint8_t tg_word1;
typedef uint16_t __attribute__((may_alias)) tg_word2;
typedef uint32_t __attribute__((may_alias)) tg_word4;
typedef uint64_t __attribute__((may_alias, aligned(4))) tg_word8;
typedef struct { uint64_t half[2]; } __attribute__((may_alias, aligned(8))) tg_word16;

/* Runs ACTION(word type) for an item size. */
#define TG_BY_ITEMSIZE(itemsize, ACTION)                                                           \
    switch (itemsize) {                                                                            \
    case 1: ACTION(tg_word1); break;                                                               \
    case 2: ACTION(tg_word2); break;                                                               \
    case 4: ACTION(tg_word4); break;                                                               \
    case 8: ACTION(tg_word8); break;                                                               \
    default: ACTION(tg_word16); break;                                                             \
    }

/* Strided to contiguous. */
static void tg_load_tile(char *restrict out, const char *restrict in, int64_t stride, int itemsize, int64_t n) {
    if (stride == 1) {
        memcpy(out, in, (size_t)(n * itemsize));
        return;
    }
    if (itemsize == 4 && n >= 16 && stride != 0) {
        tg_load_strided4((uint32_t *)out, (const uint32_t *)in, stride, n);
        return;
    }
#define TG_LOAD(W) for (int64_t i = 0; i < n; i++) ((W *)out)[i] = ((const W *)in)[i * stride]
    TG_BY_ITEMSIZE(itemsize, TG_LOAD)
#undef TG_LOAD
}

/* Contiguous to strided. */
static void tg_store_tile(char *restrict out, int64_t stride, const char *restrict in, int itemsize, int64_t n) {
    if (stride == 1) {
        memcpy(out, in, (size_t)(n * itemsize));
        return;
    }
#define TG_STORE(W) for (int64_t i = 0; i < n; i++) ((W *)out)[i * stride] = ((const W *)in)[i]
    TG_BY_ITEMSIZE(itemsize, TG_STORE)
#undef TG_STORE
}

/* The two innermost dimensions of a copy of one dtype; strides in elements. */
typedef struct {
    int64_t n0, n1, dst0, dst1, src0, src1;
} tg_plane;

#define TG_COPY_PLANE(W)                                                                           \
    for (int64_t j = 0; j < p->n1; j++) {                                                          \
        W *restrict d = (W *)dst + j * p->dst1;                                                    \
        const W *restrict s = (const W *)src + j * p->src1;                                        \
        for (int64_t i = 0; i < p->n0; i++) d[i * p->dst0] = s[i * p->src0];                       \
    }

/* A transposed copy in square blocks, so that the cache lines of both sides are used whole. */
#define TG_COPY_BLOCKS(W)                                                                          \
    for (int64_t jj = 0; jj < p->n1; jj += BLOCK)                                                  \
        for (int64_t ii = 0; ii < p->n0; ii += BLOCK) {                                            \
            int64_t jend = tg_min64(jj + BLOCK, p->n1), iend = tg_min64(ii + BLOCK, p->n0);        \
            for (int64_t j = jj; j < jend; j++) {                                                  \
                W *restrict d = (W *)dst + j * p->dst1;                                            \
                const W *restrict s = (const W *)src + j * p->src1;                                \
                for (int64_t i = ii; i < iend; i++) d[i * p->dst0] = s[i * p->src0];               \
            }                                                                                      \
        }

static void tg_copy_small4(char *dst, const char *src, const tg_plane *p) {
    TG_COPY_PLANE(tg_word4)
}

static void tg_copy_plane(char *dst, const char *src, const tg_plane *p, int itemsize) {
    enum { BLOCK = 16 };
    int64_t done0 = 0, done1 = 0;
    if (p->dst0 == 1 && p->src0 == 1) {
        for (int64_t j = 0; j < p->n1; j++)
            memcpy(dst + j * p->dst1 * itemsize, src + j * p->src1 * itemsize, (size_t)(p->n0 * itemsize));
    } else if (itemsize == 4 && p->dst0 == 1 && p->src1 == 1
               && tg_transpose4(dst, p->dst1, src, p->src0, p->n0, p->n1, &done0, &done1)) {
        /* what is left: a strip of few columns beside it, and one of few rows below */
        const tg_plane beside = {p->n0 - done0, done1, 1, p->dst1, p->src0, 1};
        const tg_plane below = {p->n0, p->n1 - done1, 1, p->dst1, p->src0, 1};
        if (beside.n0) tg_copy_small4(dst + done0 * 4, src + done0 * p->src0 * 4, &beside);
        if (below.n1) tg_copy_small4(dst + done1 * p->dst1 * 4, src + done1 * 4, &below);
    } else if (tg_abs64(p->src1) < tg_abs64(p->src0) && p->src1 && p->n0 > BLOCK && p->n1 > BLOCK) {
        TG_BY_ITEMSIZE(itemsize, TG_COPY_BLOCKS)
    } else {
        TG_BY_ITEMSIZE(itemsize, TG_COPY_PLANE)
    }
}

static void tg_copy_same(const tg_iter *it, char *dst, const char *src, int itemsize) {
    int flat = it->ndim == 1;
    tg_plane plane = {
        it->shape[0], flat ? 1 : it->shape[1], it->strides[0][0], flat ? 0 : it->strides[0][1],
        it->strides[1][0], flat ? 0 : it->strides[1][1]};
    tg_cursor c;
    tg_cursor_init(&c, it);
    do {
        tg_copy_plane(dst + c.offset[0] * itemsize, src + c.offset[1] * itemsize, &plane, itemsize);
    } while (tg_cursor_next(&c, it, 2));
}

/* n elements, strided and of any dtype, as contiguous elements of dtype `want`: in place where
 * they are that already, else in `converted`. Both scratches hold n elements of 16 bytes. */
static const char *tg_view_as(const char *in, int dtype, int64_t stride, int64_t n, int want,
                              char *gathered, char *converted) {
    if (stride != 1) {
        tg_load_tile(gathered, in, stride, (int)tg_itemsize(dtype), n);
        in = gathered;
    }
    if (dtype == want) return in;
    tg_cast_tile(converted, want, in, dtype, n);
    return converted;
}

/* The way back: n contiguous elements of dtype `have` into strided ones of any dtype. */
static void tg_store_as(char *out, int dtype, int64_t stride, int64_t n, const char *tile, int have,
                        char *converted) {
    if (stride == 1) {
        tg_cast_tile(out, dtype, tile, have, n);
        return;
    }
    if (dtype != have) {
        tg_cast_tile(converted, dtype, tile, have, n);
        tile = converted;
    }
    tg_store_tile(out, stride, tile, (int)tg_itemsize(dtype), n);
}

static void tg_copy_cast(const tg_iter *it, char *dst, int dst_dtype, const char *src, int src_dtype) {
    enum { TILE = 512 };
    int64_t dst_size = tg_itemsize(dst_dtype), src_size = tg_itemsize(src_dtype);
    int64_t n = it->shape[0], dst_stride = it->strides[0][0], src_stride = it->strides[1][0];
    int64_t step = dst_stride == 1 && src_stride == 1 ? n : TILE;
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    tg_cursor c;
    tg_cursor_init(&c, it);
    do {
        for (int64_t i = 0; i < n; i += step) {
            int64_t m = tg_min64(step, n - i);
            const char *in = src + (c.offset[1] + i * src_stride) * src_size;
            char *out = dst + (c.offset[0] + i * dst_stride) * dst_size;
            in = tg_view_as(in, src_dtype, src_stride, m, src_dtype, gathered, NULL);
            tg_store_as(out, dst_dtype, dst_stride, m, in, src_dtype, converted);
        }
    } while (tg_cursor_next(&c, it, 1));
}

/* A copy or a fill that threads share. */
typedef struct {
    const tg_iter *it;
    int32_t dim; /* the dimension that is cut */
    char *dst;
    const char *src;
    int dst_dtype, src_dtype;
} tg_copy_job;

static void tg_copy_walk(const tg_copy_job *job, const tg_iter *it, char *dst, const char *src) {
    if (job->dst_dtype == job->src_dtype) tg_copy_same(it, dst, src, (int)tg_itemsize(job->dst_dtype));
    else tg_copy_cast(it, dst, job->dst_dtype, src, job->src_dtype);
}

static void tg_copy_part(void *context, int64_t begin, int64_t end) {
    const tg_copy_job *job = (const tg_copy_job *)context;
    tg_iter part;
    int64_t offset[2];
    tg_iter_narrow(&part, job->it, job->dim, begin, end, offset);
    tg_copy_walk(job, &part, job->dst + offset[0] * tg_itemsize(job->dst_dtype), job->src + offset[1] * tg_itemsize(job->src_dtype));
}

/* dst = src, of the same shape (src may be broadcast by strides of 0) and any dtypes. */
static int tg_copy(const tg_array *dst, const tg_array *src) {
    const tg_array *operands[2] = {dst, src};
    if (dst->contiguous && src->contiguous && dst->dtype == src->dtype && dst->numel == src->numel && dst->numel < TG_PARALLEL_AT) {
        memmove(dst->data, src->data, (size_t)(dst->numel * tg_itemsize(dst->dtype)));
        return TG_OK;
    }
    tg_iter it;
    tg_iter_init(&it, 2, operands);
    if (it.numel == 0) return TG_OK;
    /* Bring the dimension along which the source is contiguous beside the destination's. */
    for (int32_t d = 2; d < it.ndim && dst->dtype == src->dtype; d++)
        if (it.strides[1][d] == 1) tg_iter_swap(&it, 1, d);
    tg_copy_job job = {&it, tg_iter_cut(&it), dst->data, src->data, dst->dtype, src->dtype};
    if (it.numel < TG_PARALLEL_AT) tg_copy_walk(&job, &it, job.dst, job.src);
    else tg_parallel_for(it.shape[job.dim], tg_iter_grain(&it, job.dim, TG_GRAIN), tg_copy_part, &job);
    return TG_OK;
}

static void tg_fill_run(char *out, const char *word, int itemsize, int64_t n, int64_t stride) {
    int same = stride == 1;
    for (int i = 1; i < itemsize; i++) same &= word[i] == word[0];
    if (same) {
        memset(out, word[0], (size_t)(n * itemsize));
        return;
    }
#define TG_FILL(W) do {                                                                            \
    const W v = *(const W *)word;                                                                  \
    if (stride == 1) for (int64_t i = 0; i < n; i++) ((W *)out)[i] = v;                            \
    else for (int64_t i = 0; i < n; i++) ((W *)out)[i * stride] = v;                               \
} while (0)
    TG_BY_ITEMSIZE(itemsize, TG_FILL)
#undef TG_FILL
}

static void tg_fill_walk(const tg_iter *it, char *dst, const char *word, int itemsize) {
    tg_cursor c;
    tg_cursor_init(&c, it);
    do {
        tg_fill_run(dst + c.offset[0] * itemsize, word, itemsize, it->shape[0], it->strides[0][0]);
    } while (tg_cursor_next(&c, it, 1));
}

static void tg_fill_part(void *context, int64_t begin, int64_t end) {
    const tg_copy_job *job = (const tg_copy_job *)context;
    tg_iter part;
    int64_t offset[1];
    tg_iter_narrow(&part, job->it, job->dim, begin, end, offset);
    tg_fill_walk(&part, job->dst + offset[0] * tg_itemsize(job->dst_dtype), job->src, (int)tg_itemsize(job->dst_dtype));
}

/* `value` is one element of dst's dtype. */
static int tg_fill(const tg_array *dst, const char *value) {
    int itemsize = (int)tg_itemsize(dst->dtype);
    tg_iter it;
    _Alignas(16) char word[16];
    memcpy(word, value, (size_t)itemsize);
    if (dst->contiguous && dst->numel < TG_PARALLEL_AT) {
        tg_fill_run(dst->data, word, itemsize, dst->numel, 1);
        return TG_OK;
    }
    tg_iter_init(&it, 1, &dst);
    if (it.numel == 0) return TG_OK;
    tg_copy_job job = {&it, tg_iter_cut(&it), dst->data, word, dst->dtype, dst->dtype};
    if (it.numel < TG_PARALLEL_AT) tg_fill_walk(&it, dst->data, word, itemsize);
    else tg_parallel_for(it.shape[job.dim], tg_iter_grain(&it, job.dim, TG_GRAIN), tg_fill_part, &job);
    return TG_OK;
}

#endif
