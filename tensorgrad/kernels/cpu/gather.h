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

typedef struct {
    const tg_array *out, *in, *index;
    int dim, itemsize;
    const tg_iter *it;
    int32_t cut;
} tg_gather_job;

/* Indices begin..end-1, each of which takes a slice; its innermost run is contiguous on both sides. */
static void tg_gather_slices(void *context, int64_t begin, int64_t end) {
    const tg_gather_job *job = (const tg_gather_job *)context;
    const int64_t out_step = job->out->strides[job->dim], in_step = job->in->strides[job->dim];
    const int64_t index_step = job->index->strides[job->dim], n = job->it->shape[0], itemsize = job->itemsize;
    const int64_t *at = (const int64_t *)job->index->data;
    tg_cursor c;
    /* Slices outside, or the rows of one slice after another: whichever reads in order. */
    tg_cursor_init(&c, job->it);
    do {
        char *row = job->out->data + c.offset[0] * itemsize;
        const char *from = job->in->data + c.offset[1] * itemsize;
#define TG_TAKE(W) for (int64_t i = begin; i < end; i++)                                            \
        ((W *)row)[i * out_step] = ((const W *)from)[at[i * index_step] * in_step]
        if (n == 1) {
            TG_BY_ITEMSIZE(itemsize, TG_TAKE)
        } else {
            for (int64_t i = begin; i < end; i++)
                memcpy(row + i * out_step * itemsize, from + at[i * index_step] * in_step * itemsize, (size_t)(n * itemsize));
        }
#undef TG_TAKE
    } while (tg_cursor_next(&c, job->it, 1));
}

/* Elements, each with an index of its own. */
static void tg_gather_elements(void *context, int64_t begin, int64_t end) {
    const tg_gather_job *job = (const tg_gather_job *)context;
    const int64_t step = job->in->strides[job->dim];
    tg_iter it;
    int64_t offset[3];
    tg_iter_narrow(&it, job->it, job->cut, begin, end, offset);
    int64_t n = it.shape[0], out_stride = it.strides[0][0], in_stride = it.strides[1][0], stride = it.strides[2][0];
    tg_cursor c;
    tg_cursor_init(&c, &it);
    do {
        char *o = job->out->data + (offset[0] + c.offset[0]) * job->itemsize;
        const char *from = job->in->data + (offset[1] + c.offset[1]) * job->itemsize;
        const int64_t *at = (const int64_t *)job->index->data + offset[2] + c.offset[2];
#define TG_GATHER(W) for (int64_t i = 0; i < n; i++)                                               \
        ((W *)o)[i * out_stride] = ((const W *)from)[i * in_stride + at[i * stride] * step]
        TG_BY_ITEMSIZE(job->itemsize, TG_GATHER)
#undef TG_GATHER
    } while (tg_cursor_next(&c, &it, 1));
}

/* out[i][j][k] = in[index[i][j][k]][j][k] for dim == 0; out has index's shape. Every index is
 * checked before anything is written. */
static int tg_gather(const tg_array *out, const tg_array *in, int dim, const tg_array *index, int64_t *bad) {
    if (tg_check_indices(index, in->shape[dim], bad) != TG_OK) return TG_BAD_INDEX;
    tg_iter it;
    tg_gather_job job = {out, in, index, dim, (int)tg_itemsize(in->dtype), &it, 0};
    if (tg_index_is_row(index, dim)) {
        tg_iter_begin(&it, 2); /* a slice; operands: out, in */
        for (int32_t d = index->ndim - 1; d >= 0; d--) {
            int64_t strides[2] = {out->strides[d], in->strides[d]};
            if (d != dim) tg_iter_add(&it, index->shape[d], strides);
        }
        tg_iter_finish(&it);
        if (it.numel == 0) return TG_OK;
        if (it.strides[0][0] == 1 && it.strides[1][0] == 1 && (it.shape[0] > 1 || it.numel == 1)) {
            const int64_t length = index->shape[dim];
            if (it.numel * length < TG_PARALLEL_AT) tg_gather_slices(&job, 0, length);
            else tg_parallel_for(length, 1 + TG_GRAIN / it.numel, tg_gather_slices, &job);
            return TG_OK;
        }
    }
    tg_iter_indexed(&it, out, in, index, dim);
    if (it.numel == 0) return TG_OK;
    job.cut = tg_iter_cut(&it);
    if (it.numel < TG_PARALLEL_AT) tg_gather_elements(&job, 0, it.shape[job.cut]);
    else tg_parallel_for(it.shape[job.cut], tg_iter_grain(&it, job.cut, TG_GRAIN), tg_gather_elements, &job);
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

typedef struct {
    const tg_array *out, *index, *src;
    int dim, mode;
    const tg_iter *it; /* the lanes along dim; operands: out, src, index */
    int32_t cut;
} tg_scatter_job;

/* Two writes meet only in one lane along `dim`. Each lane is walked in order, so that the later
 * write wins and sums depend on neither the layout nor the threads. */
static void tg_scatter_lanes(void *context, int64_t begin, int64_t end) {
    static void (*const loops[TG_NDTYPES])(void *, const void *, const int64_t *, int, tg_scatter_run) = {
        tg_scatter_bool, tg_scatter_u8, tg_scatter_i8, tg_scatter_i16, tg_scatter_i32, tg_scatter_i64,
        tg_scatter_u16, tg_scatter_u32, tg_scatter_u64, tg_scatter_f16, tg_scatter_bf16, tg_scatter_f32,
        tg_scatter_f64, tg_scatter_c64, tg_scatter_c128};
    const tg_scatter_job *job = (const tg_scatter_job *)context;
    const tg_array *out = job->out, *index = job->index, *src = job->src;
    const int dim = job->dim, mode = job->mode, itemsize = (int)tg_itemsize(out->dtype);
    tg_iter it;
    int64_t offset[3], length = index->shape[dim];
    tg_iter_narrow(&it, job->it, job->cut, begin, end, offset);
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
            char *o = out->data + (offset[0] + c.offset[0]) * itemsize;
            const char *s = src->data + (offset[1] + c.offset[1] + i * src_along) * itemsize;
            const int64_t *at = (const int64_t *)index->data + offset[2] + c.offset[2] + i * index_along;
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
}

/* out[index[i][j][k]][j][k] op= src[i][j][k] for dim == 0, in row-major order of the index where
 * the order shows. index->shape is at most src->shape everywhere, and out->shape off `dim`. */
static int tg_scatter(const tg_array *out, int dim, const tg_array *index, const tg_array *src, int mode, int64_t *bad) {
    if ((mode == TG_SCATTER_MAX || mode == TG_SCATTER_MIN) && out->dtype >= TG_C64) return TG_NO_KERNEL;
    if (tg_check_indices(index, out->shape[dim], bad) != TG_OK) return TG_BAD_INDEX;
    tg_iter it;
    tg_iter_begin(&it, 3);
    for (int32_t d = index->ndim - 1; d >= 0; d--) {
        int64_t strides[3] = {out->strides[d], src->strides[d], index->strides[d]};
        if (d != dim) tg_iter_add(&it, index->shape[d], strides);
    }
    tg_iter_finish(&it);
    const int64_t length = index->shape[dim];
    if (it.numel == 0 || length == 0) return TG_OK;
    tg_scatter_job job = {out, index, src, dim, mode, &it, tg_iter_cut(&it)};
    const int64_t lanes = it.shape[job.cut];
    if (it.numel * length < TG_PARALLEL_AT) tg_scatter_lanes(&job, 0, lanes);
    else if (job.cut == 0 && it.strides[0][0] == 1) tg_parallel_for(lanes, tg_column_grain(lanes), tg_scatter_lanes, &job);
    else tg_parallel_for(lanes, tg_iter_grain(&it, job.cut, 1 + TG_GRAIN / length), tg_scatter_lanes, &job);
    return TG_OK;
}

#endif
