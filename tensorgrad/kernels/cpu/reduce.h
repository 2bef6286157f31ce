/* Reductions, arg-reductions and scans.
 *
 * Everything is added in blocks of fixed size that are combined pairwise, so that a result
 * depends on the shape and strides only, and its error grows with the logarithm of the length. */
#ifndef TG_REDUCE_H
#define TG_REDUCE_H

#include "copy.h"
#include "reduce_loops.h"

/* Partial results of 2^k blocks each, combined like the digits of a binary counter. */
typedef struct {
    int64_t count;
    _Alignas(16) char level[64][16];
} tg_cascade;

static void tg_cascade_push(tg_cascade *c, const tg_reducer *f, char *value) {
    int64_t size = tg_itemsize(f->compute);
    int k = 0;
    for (int64_t bits = c->count++; bits & 1; bits >>= 1, k++) {
        f->rows(c->level[k], value, 1);
        memcpy(value, c->level[k], (size_t)size);
    }
    memcpy(c->level[k], value, (size_t)size);
}

static void tg_cascade_finish(tg_cascade *c, const tg_reducer *f, char *result) {
    int64_t size = tg_itemsize(f->compute);
    int first = 1;
    for (int k = 0; k < 64; k++) {
        if (!(c->count >> k & 1)) continue;
        if (!first) f->rows(c->level[k], result, 1);
        memcpy(result, c->level[k], (size_t)size);
        first = 0;
    }
}

/* One value (of the compute dtype) from all the elements that `it` walks; `stop` ends it early. */
static void tg_reduce_all(const tg_reducer *f, const tg_iter *it, const char *in, int dtype,
                          const char *stop, char *result) {
    _Alignas(64) char tile[TG_REDUCE_BLOCK * 16];
    _Alignas(64) char converted[TG_REDUCE_BLOCK * 16];
    _Alignas(16) char value[16];
    int itemsize = (int)tg_itemsize(dtype);
    int64_t n = it->shape[0], stride = it->strides[0][0], filled = 0;
    if (it->numel <= TG_REDUCE_BLOCK && it->ndim == 1) {
        f->block(result, tg_view_as(in, dtype, stride, n, f->compute, tile, converted), n);
        return;
    }
    tg_cascade cascade;
    cascade.count = 0;
    tg_cursor c;
    tg_cursor_init(&c, it);
    int more = 1;
    while (more) {
        const char *run = in + c.offset[0] * itemsize;
        more = tg_cursor_next(&c, it, 1);
        for (int64_t i = 0; i < n;) {
            const char *block = tile;
            int64_t m = tg_min64(n - i, TG_REDUCE_BLOCK - filled);
            if (filled == 0 && stride == 1 && (m == TG_REDUCE_BLOCK || it->ndim == 1)) {
                block = run + i * itemsize; /* long runs are read where they are */
            } else { /* short ones are gathered into whole blocks */
                tg_load_tile(tile + filled * itemsize, run + i * stride * itemsize, stride, itemsize, m);
            }
            i += m;
            filled += m;
            if (filled < TG_REDUCE_BLOCK && (more || i < n)) continue;
            f->block(value, tg_view_as(block, dtype, 1, filled, f->compute, NULL, converted), filled);
            if (stop && value[0] == *stop) {
                result[0] = value[0];
                return;
            }
            tg_cascade_push(&cascade, f, value);
            filled = 0;
        }
    }
    tg_cascade_finish(&cascade, f, result);
}

enum { TG_ROW_BYTES = 4096, TG_ROW_MAX = 1024, TG_ROW_LEVELS = 15 };

/* n neighbouring results at once: whole rows are added up. Level 0 collects 64 rows, each
 * further level 16 of the one below. The results are left at level 0. */
static void tg_reduce_rows(const tg_reducer *f, const tg_iter *it, const char *in, int dtype,
                           int64_t stride, int64_t n, char level[][TG_ROW_BYTES], char *gathered, char *converted) {
    int64_t itemsize = tg_itemsize(dtype), bytes = n * tg_itemsize(f->compute), count = 0;
    int used[TG_ROW_LEVELS] = {0}, top = 1;
    tg_cursor c;
    tg_cursor_init(&c, it);
    do {
        const char *row = tg_view_as(in + c.offset[0] * itemsize, dtype, stride, n, f->compute, gathered, converted);
        if (used[0]) f->rows(level[0], row, n);
        else memcpy(level[0], row, (size_t)bytes);
        used[0] = 1;
        count++;
        if (!f->cascade || count % 64 != 0) continue; /* to the loop's condition */
        int64_t chunks = count / 64;
        for (int k = 0; k + 1 < TG_ROW_LEVELS; k++, chunks /= 16) {
            if (used[k + 1]) f->rows(level[k + 1], level[k], n);
            else memcpy(level[k + 1], level[k], (size_t)bytes);
            used[k + 1] = 1;
            used[k] = 0;
            if (k + 2 > top) top = k + 2;
            if (chunks % 16 != 0) break;
        }
    } while (tg_cursor_next(&c, it, 0));
    for (int k = 1; k < top; k++) {
        if (!used[k]) continue;
        if (used[0]) f->rows(level[0], level[k], n);
        else memcpy(level[0], level[k], (size_t)bytes);
        used[0] = 1;
    }
}

/* Do the kept elements lie closer together than the reduced ones, and in runs worth it? */
static int tg_rows_pay(const tg_iter *kept, int64_t reduced_stride) {
    return kept->shape[0] >= 16 && tg_abs64(kept->strides[0][0]) < tg_abs64(reduced_stride);
}

static int tg_fill_number(const tg_array *out, uint8_t number) {
    _Alignas(16) char value[16];
    tg_cast_tile(value, out->dtype, (const char *)&number, TG_U8, 1);
    return tg_fill(out, value);
}

/* out->ndim == in->ndim; a dimension is reduced where out's size is 1. Sum and prod: out has in's
 * dtype. Any and all: out is bool. Max and min of no elements are the caller's error. */
static int tg_reduce(int op, const tg_array *out, const tg_array *in) {
    const tg_reducer *f = tg_find_reducer(op, in->dtype);
    if (!f) return TG_NO_KERNEL;
    tg_iter kept, reduced; /* operand 0 is in, operand 1 of kept is out */
    tg_iter_begin(&kept, 2);
    tg_iter_begin(&reduced, 1);
    for (int32_t d = in->ndim - 1; d >= 0; d--) {
        int64_t strides[2] = {in->strides[d], out->strides[d]};
        if (out->shape[d] == 1) tg_iter_add(&reduced, in->shape[d], strides);
        else tg_iter_add(&kept, in->shape[d], strides);
    }
    tg_iter_finish(&kept);
    tg_iter_finish(&reduced);
    if (kept.numel == 0) return TG_OK;
    if (reduced.numel == 0) return tg_fill_number(out, op == TG_PROD || op == TG_ALL);

    int64_t in_size = tg_itemsize(in->dtype), out_size = tg_itemsize(out->dtype);
    tg_cursor c;
    tg_cursor_init(&c, &kept);
    if (!tg_rows_pay(&kept, reduced.strides[0][0])) {
        const char decided = op == TG_ANY, *stop = op == TG_ANY || op == TG_ALL ? &decided : NULL;
        _Alignas(16) char result[16];
        do {
            tg_reduce_all(f, &reduced, in->data + c.offset[0] * in_size, in->dtype, stop, result);
            tg_cast_tile(out->data + c.offset[1] * out_size, out->dtype, result, f->compute, 1);
        } while (tg_cursor_next(&c, &kept, 0));
        return TG_OK;
    }
    _Alignas(64) char level[TG_ROW_LEVELS][TG_ROW_BYTES];
    _Alignas(64) char gathered[TG_ROW_MAX * 16];
    _Alignas(64) char converted[TG_ROW_BYTES];
    int64_t tile = tg_min64(TG_ROW_BYTES / tg_itemsize(f->compute), TG_ROW_MAX), n = kept.shape[0];
    int64_t in_stride = kept.strides[0][0], out_stride = kept.strides[1][0];
    do {
        for (int64_t i = 0; i < n; i += tile) {
            int64_t m = tg_min64(tile, n - i);
            tg_reduce_rows(f, &reduced, in->data + (c.offset[0] + i * in_stride) * in_size, in->dtype,
                           in_stride, m, level, gathered, converted);
            tg_store_as(out->data + (c.offset[1] + i * out_stride) * out_size, out->dtype, out_stride, m,
                        level[0], f->compute, gathered);
        }
    } while (tg_cursor_next(&c, &kept, 1));
    return TG_OK;
}

/* The dimensions other than `dim`, walked in a (operand 0) and b (operand 1). */
static void tg_iter_lanes(tg_iter *it, const tg_array *a, const tg_array *b, int dim) {
    tg_iter_begin(it, 2);
    for (int32_t d = a->ndim - 1; d >= 0; d--) {
        int64_t strides[2] = {a->strides[d], b->strides[d]};
        if (d != dim) tg_iter_add(it, a->shape[d], strides);
    }
    tg_iter_finish(it);
}

static int64_t tg_argreduce_lane(const tg_reducer *f, const char *in, int dtype, int64_t stride, int64_t n) {
    enum { TILE = 512 };
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    _Alignas(16) char best[16];
    _Alignas(16) char value[16];
    int64_t where = 0;
    for (int64_t i = 0; i < n; i += TILE) {
        int64_t m = tg_min64(TILE, n - i);
        const char *tile = tg_view_as(in + i * stride * tg_itemsize(dtype), dtype, stride, m, f->compute, gathered, converted);
        f->block(value, tile, m);
        if (i > 0 && !f->beats(best, value)) continue;
        where = i + f->find(tile, value, m);
        memcpy(best, value, sizeof best);
    }
    return where;
}

/* The first position of the extremum along `dim`, a NaN counting as the extremum. out is int64
 * with size 1 along `dim`; in must not be empty there. */
static int tg_argreduce(int is_max, const tg_array *out, const tg_array *in, int dim) {
    enum { TILE = 512 };
    const tg_reducer *f = tg_find_reducer(is_max ? TG_MAX : TG_MIN, in->dtype);
    if (!f) return TG_NO_KERNEL;
    tg_iter kept;
    tg_iter_lanes(&kept, in, out, dim);
    int64_t n = in->shape[dim], stride = in->strides[dim], itemsize = tg_itemsize(in->dtype);
    if (kept.numel == 0 || n == 0) return TG_OK;
    tg_cursor c;
    tg_cursor_init(&c, &kept);
    if (!tg_rows_pay(&kept, stride)) {
        do {
            ((int64_t *)out->data)[c.offset[1]] =
                tg_argreduce_lane(f, in->data + c.offset[0] * itemsize, in->dtype, stride, n);
        } while (tg_cursor_next(&c, &kept, 0));
        return TG_OK;
    }
    _Alignas(64) char best[TILE * 16];
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    int64_t where[TILE], in_stride = kept.strides[0][0], out_stride = kept.strides[1][0];
    do {
        for (int64_t j = 0; j < kept.shape[0]; j += TILE) {
            int64_t m = tg_min64(TILE, kept.shape[0] - j);
            for (int64_t i = 0; i < n; i++) {
                const char *row = tg_view_as(in->data + (c.offset[0] + j * in_stride + i * stride) * itemsize,
                                             in->dtype, in_stride, m, f->compute, gathered, converted);
                if (i > 0) {
                    f->argrows(best, where, row, i, m);
                } else {
                    memcpy(best, row, (size_t)(m * tg_itemsize(f->compute)));
                    memset(where, 0, sizeof where);
                }
            }
            tg_store_tile(out->data + (c.offset[1] + j * out_stride) * 8, out_stride, (const char *)where, 8, m);
        }
    } while (tg_cursor_next(&c, &kept, 1));
    return TG_OK;
}

/* Running sums and products are kept in double, as PyTorch keeps them: a running error, unlike
 * that of a blocked sum, grows with the length. */
static const tg_reducer *tg_find_scanner(int op, int dtype) {
    if (op == TG_SUM || op == TG_PROD) {
        if (dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_F32) dtype = TG_F64;
        if (dtype == TG_C64) dtype = TG_C128;
    }
    return tg_find_reducer(op, dtype);
}

/* out[i] = op(in[0], ..., in[i]) along `dim`; out may be in. */
static int tg_scan(int op, const tg_array *out, const tg_array *in, int dim) {
    enum { TILE = 512 };
    const tg_reducer *f = tg_find_scanner(op, in->dtype);
    if (!f) return TG_NO_KERNEL;
    tg_iter kept;
    tg_iter_lanes(&kept, in, out, dim);
    int64_t n = in->shape[dim], in_step = in->strides[dim], out_step = out->strides[dim];
    int64_t in_size = tg_itemsize(in->dtype), out_size = tg_itemsize(out->dtype), size = tg_itemsize(f->compute);
    if (kept.numel == 0 || n == 0) return TG_OK;
    _Alignas(64) char running[TILE * 16];
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    tg_cursor c;
    tg_cursor_init(&c, &kept);
    if (!tg_rows_pay(&kept, in_step)) {
        _Alignas(16) char carry[16];
        do {
            for (int64_t i = 0; i < n; i += TILE) {
                int64_t m = tg_min64(TILE, n - i);
                const char *tile = tg_view_as(in->data + (c.offset[0] + i * in_step) * in_size, in->dtype,
                                              in_step, m, f->compute, gathered, converted);
                memcpy(running, tile, (size_t)(m * size));
                if (i == 0) {
                    memcpy(carry, running, (size_t)size);
                    f->scan(carry, running + size, m - 1);
                } else {
                    f->scan(carry, running, m);
                }
                tg_store_as(out->data + (c.offset[1] + i * out_step) * out_size, out->dtype, out_step, m,
                            running, f->compute, converted);
            }
        } while (tg_cursor_next(&c, &kept, 0));
        return TG_OK;
    }
    int64_t in_stride = kept.strides[0][0], out_stride = kept.strides[1][0];
    do {
        for (int64_t j = 0; j < kept.shape[0]; j += TILE) {
            int64_t m = tg_min64(TILE, kept.shape[0] - j);
            for (int64_t i = 0; i < n; i++) {
                const char *row = tg_view_as(in->data + (c.offset[0] + j * in_stride + i * in_step) * in_size,
                                             in->dtype, in_stride, m, f->compute, gathered, converted);
                if (i > 0) f->rows(running, row, m);
                else memcpy(running, row, (size_t)(m * size));
                tg_store_as(out->data + (c.offset[1] + j * out_stride + i * out_step) * out_size, out->dtype,
                            out_stride, m, running, f->compute, converted);
            }
        }
    } while (tg_cursor_next(&c, &kept, 1));
    return TG_OK;
}

#endif
