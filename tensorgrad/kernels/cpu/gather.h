/* Reading and writing at indices along one dimension. */
#ifndef TG_GATHER_H
#define TG_GATHER_H

#include "copy.h"
#include "reduce_loops.h"

typedef enum { TG_SCATTER_SET, TG_SCATTER_ADD, TG_SCATTER_MUL, TG_SCATTER_MAX, TG_SCATTER_MIN } tg_scatter_mode;

/* Is every index within 0 <= i < size? If not, *bad is the first one found that is not. */
static int tg_check_indices(const tg_array *index, int64_t size, int64_t *bad) {
    tg_iter it;
    tg_iter_init(&it, 1, &index);
    if (it.numel == 0) return TG_OK;
    /* What is broadcast needs checking once. */
    int32_t kept = 0;
    for (int32_t d = 0; d < it.ndim; d++) {
        if (it.strides[0][d] == 0) continue;
        it.shape[kept] = it.shape[d];
        it.strides[0][kept++] = it.strides[0][d];
    }
    if (kept == 0) it.shape[0] = kept = 1;
    it.ndim = kept;
    int64_t n = it.shape[0], stride = it.strides[0][0];
    tg_cursor c;
    tg_cursor_init(&c, &it);
    do {
        const int64_t *p = (const int64_t *)index->data + c.offset[0];
        int wrong = 0;
        for (int64_t i = 0; i < n; i++) wrong |= (uint64_t)p[i * stride] >= (uint64_t)size;
        for (int64_t i = 0; wrong && i < n; i++)
            if ((uint64_t)p[i * stride] >= (uint64_t)size) {
                *bad = p[i * stride];
                return TG_BAD_INDEX;
            }
    } while (tg_cursor_next(&c, &it, 1));
    return TG_OK;
}

/* Does one index serve a whole slice (is it broadcast in every dimension but `dim`)? */
static int tg_index_is_row(const tg_array *index, int dim) {
    for (int32_t d = 0; d < index->ndim; d++)
        if (d != dim && index->shape[d] != 1 && index->strides[d] != 0) return 0;
    return 1;
}

/* The walk over all of index's dimensions: `walked` moves with the index, `indexed` moves along
 * the others and is reached along `dim` through the index. Operands: walked, indexed, index. */
static void tg_iter_indexed(tg_iter *it, const tg_array *walked, const tg_array *indexed,
                            const tg_array *index, int dim) {
    tg_iter_begin(it, 3);
    for (int32_t d = index->ndim - 1; d >= 0; d--) {
        int64_t strides[3] = {walked->strides[d], d == dim ? 0 : indexed->strides[d], index->strides[d]};
        tg_iter_add(it, index->shape[d], strides);
    }
    tg_iter_finish(it);
}

/* out[i][j][k] = in[index[i][j][k]][j][k] for dim == 0; out has index's shape. Every index is
 * checked before anything is written. */
static int tg_gather(const tg_array *out, const tg_array *in, int dim, const tg_array *index, int64_t *bad) {
    if (tg_check_indices(index, in->shape[dim], bad) != TG_OK) return TG_BAD_INDEX;
    int itemsize = (int)tg_itemsize(in->dtype);
    int64_t step = in->strides[dim];
    tg_cursor c;
    if (tg_index_is_row(index, dim)) {
        tg_iter slice; /* operands: out, in */
        tg_iter_begin(&slice, 2);
        for (int32_t d = index->ndim - 1; d >= 0; d--) {
            int64_t strides[2] = {out->strides[d], in->strides[d]};
            if (d != dim) tg_iter_add(&slice, index->shape[d], strides);
        }
        tg_iter_finish(&slice);
        if (slice.numel == 0) return TG_OK;
        int64_t n = slice.shape[0];
        if (slice.strides[0][0] == 1 && slice.strides[1][0] == 1 && (n > 1 || slice.numel == 1)) {
            /* Slices outside, or the rows of one slice after another: whichever reads in order. */
            tg_cursor_init(&c, &slice);
            do {
                char *row = out->data + c.offset[0] * itemsize;
                const char *from = in->data + c.offset[1] * itemsize;
                const int64_t *at = (const int64_t *)index->data;
#define TG_TAKE(W) for (int64_t i = 0; i < index->shape[dim]; i++)                                  \
        ((W *)row)[i * out->strides[dim]] = ((const W *)from)[at[i * index->strides[dim]] * step]
                if (n == 1) {
                    TG_BY_ITEMSIZE(itemsize, TG_TAKE)
                } else {
                    for (int64_t i = 0; i < index->shape[dim]; i++)
                        memcpy(row + i * out->strides[dim] * itemsize,
                               from + at[i * index->strides[dim]] * step * itemsize, (size_t)(n * itemsize));
                }
#undef TG_TAKE
            } while (tg_cursor_next(&c, &slice, 1));
            return TG_OK;
        }
    }
    tg_iter it;
    tg_iter_indexed(&it, out, in, index, dim);
    if (it.numel == 0) return TG_OK;
    int64_t n = it.shape[0], out_stride = it.strides[0][0], in_stride = it.strides[1][0], stride = it.strides[2][0];
    tg_cursor_init(&c, &it);
    do {
        char *o = out->data + c.offset[0] * itemsize;
        const char *from = in->data + c.offset[1] * itemsize;
        const int64_t *at = (const int64_t *)index->data + c.offset[2];
#define TG_GATHER(W) for (int64_t i = 0; i < n; i++)                                               \
        ((W *)o)[i * out_stride] = ((const W *)from)[i * in_stride + at[i * stride] * step]
        TG_BY_ITEMSIZE(itemsize, TG_GATHER)
#undef TG_GATHER
    } while (tg_cursor_next(&c, &it, 1));
    return TG_OK;
}

/* One run of a scatter: out[i * out_stride + at[i * stride] * step] op= src[i * src_stride]. */
typedef struct {
    int64_t n, out_stride, src_stride, stride, step;
} tg_scatter_run;

#define TG_SCATTER_LOOP(NAME, T, STORED, LOAD, STORE, SUM, PROD, MAX, MIN)                         \
    static void tg_scatter_##NAME(void *out_, const void *src_, const int64_t *at, int mode, tg_scatter_run r) { \
        STORED *out = (STORED *)out_;                                                              \
        const STORED *src = (const STORED *)src_;                                                  \
        for (int64_t i = 0; i < r.n; i++) {                                                        \
            STORED *o = out + i * r.out_stride + at[i * r.stride] * r.step;                        \
            T a = LOAD(*o), b = LOAD(src[i * r.src_stride]);                                       \
            switch (mode) {                                                                        \
            case TG_SCATTER_ADD: a = (T)SUM(a, b); break;                                          \
            case TG_SCATTER_MUL: a = (T)PROD(a, b); break;                                         \
            case TG_SCATTER_MAX: a = MAX(a, b); break;                                             \
            default: a = MIN(a, b); break;                                                         \
            }                                                                                      \
            *o = STORE(a);                                                                         \
        }                                                                                          \
    }
/* Narrow unsigned types would be multiplied as int, and overflow it. */
#define TG_INT_SUM(a, b) ((uint64_t)(a) + (uint64_t)(b))
#define TG_INT_PROD(a, b) ((uint64_t)(a) * (uint64_t)(b))
#define TG_OP_OR(a, b) ((a) | (b))
#define TG_OP_AND(a, b) ((a) & (b))
#define TG_OP_NONE(a, b) (a)
#define TG_SCATTER_INT(NAME, T) TG_SCATTER_LOOP(NAME, T, T, , , TG_INT_SUM, TG_INT_PROD, TG_OP_MAX, TG_OP_MIN)
TG_SCATTER_LOOP(bool, uint8_t, uint8_t, , , TG_OP_OR, TG_OP_AND, TG_OP_OR, TG_OP_AND)
TG_SCATTER_INT(u8, uint8_t)
TG_SCATTER_INT(i8, int8_t)
TG_SCATTER_INT(i16, int16_t)
TG_SCATTER_INT(i32, int32_t)
TG_SCATTER_INT(i64, int64_t)
TG_SCATTER_INT(u16, uint16_t)
TG_SCATTER_INT(u32, uint32_t)
TG_SCATTER_INT(u64, uint64_t)
TG_SCATTER_LOOP(f16, float, uint16_t, tg_half_to_float, tg_float_to_half, TG_OP_SUM, TG_OP_PROD, TG_OP_FMAX, TG_OP_FMIN)
TG_SCATTER_LOOP(bf16, float, uint16_t, tg_bf16_to_float, tg_float_to_bf16, TG_OP_SUM, TG_OP_PROD, TG_OP_FMAX, TG_OP_FMIN)
TG_SCATTER_LOOP(f32, float, float, , , TG_OP_SUM, TG_OP_PROD, TG_OP_FMAX, TG_OP_FMIN)
TG_SCATTER_LOOP(f64, double, double, , , TG_OP_SUM, TG_OP_PROD, TG_OP_FMAX, TG_OP_FMIN)
TG_SCATTER_LOOP(c64, tg_c64, tg_c64, , , TG_OP_SUM, TG_OP_PROD, TG_OP_NONE, TG_OP_NONE)
TG_SCATTER_LOOP(c128, tg_c128, tg_c128, , , TG_OP_SUM, TG_OP_PROD, TG_OP_NONE, TG_OP_NONE)

/* out[index[i][j][k]][j][k] op= src[i][j][k] for dim == 0, in row-major order of the index where
 * the order shows. index->shape is at most src->shape everywhere, and out->shape off `dim`. */
static int tg_scatter(const tg_array *out, int dim, const tg_array *index, const tg_array *src, int mode, int64_t *bad) {
    static void (*const loops[TG_NDTYPES])(void *, const void *, const int64_t *, int, tg_scatter_run) = {
        tg_scatter_bool, tg_scatter_u8, tg_scatter_i8, tg_scatter_i16, tg_scatter_i32, tg_scatter_i64,
        tg_scatter_u16, tg_scatter_u32, tg_scatter_u64, tg_scatter_f16, tg_scatter_bf16, tg_scatter_f32,
        tg_scatter_f64, tg_scatter_c64, tg_scatter_c128};
    if ((mode == TG_SCATTER_MAX || mode == TG_SCATTER_MIN) && out->dtype >= TG_C64) return TG_NO_KERNEL;
    if (tg_check_indices(index, out->shape[dim], bad) != TG_OK) return TG_BAD_INDEX;
    int itemsize = (int)tg_itemsize(out->dtype);
    /* Two writes meet only in one lane along `dim`. Each lane is walked in order, so that the
     * later write wins and sums do not depend on the layout. */
    tg_iter it;
    tg_iter_begin(&it, 3);
    for (int32_t d = index->ndim - 1; d >= 0; d--) {
        int64_t strides[3] = {out->strides[d], src->strides[d], index->strides[d]};
        if (d != dim) tg_iter_add(&it, index->shape[d], strides);
    }
    tg_iter_finish(&it);
    int64_t length = index->shape[dim];
    if (it.numel == 0 || length == 0) return TG_OK;
    tg_scatter_run r = {it.shape[0], it.strides[0][0], it.strides[1][0], it.strides[2][0], out->strides[dim]};
    int64_t src_along = src->strides[dim], index_along = index->strides[dim];
    int along = it.numel == 1 || tg_abs64(r.step) < tg_abs64(r.out_stride);
    if (along) { /* lane after lane instead of slice after slice */
        r = (tg_scatter_run){length, 0, src_along, index_along, r.step};
        length = 1;
    }
    /* One index for a contiguous row (an embedding's gradient) takes a reduction's row loop. */
    static const int ops[] = {-1, TG_SUM, TG_PROD, TG_MAX, TG_MIN};
    const tg_reducer *f = mode == TG_SCATTER_SET ? NULL : tg_find_reducer(ops[mode], out->dtype);
    int whole_rows = f && f->compute == out->dtype && r.stride == 0 && r.out_stride == 1 && r.src_stride == 1 && r.n > 1;
    for (int64_t i = 0; i < length; i++) {
        tg_cursor c;
        tg_cursor_init(&c, &it);
        do {
            char *o = out->data + c.offset[0] * itemsize;
            const char *s = src->data + (c.offset[1] + i * src_along) * itemsize;
            const int64_t *at = (const int64_t *)index->data + c.offset[2] + i * index_along;
            if (whole_rows) {
                f->rows(o + at[0] * r.step * itemsize, s, r.n);
            } else if (mode != TG_SCATTER_SET) {
                loops[out->dtype](o, s, at, mode, r);
            } else if (r.stride == 0 && r.out_stride == 1 && r.src_stride == 1) {
                memcpy(o + at[0] * r.step * itemsize, s, (size_t)(r.n * itemsize));
            } else {
#define TG_PUT(W) for (int64_t j = 0; j < r.n; j++)                                                 \
        ((W *)o)[j * r.out_stride + at[j * r.stride] * r.step] = ((const W *)s)[j * r.src_stride]
                TG_BY_ITEMSIZE(itemsize, TG_PUT)
#undef TG_PUT
            }
        } while (tg_cursor_next(&c, &it, along ? 0 : 1));
    }
    return TG_OK;
}

#endif
