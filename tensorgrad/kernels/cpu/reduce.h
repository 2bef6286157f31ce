/* Reductions, arg-reductions and scans.
 *
 * Everything is added in blocks of fixed size that are combined pairwise, so that a result
 * depends on the shape and strides only, and its error grows with the logarithm of the length. */
#ifndef TG_REDUCE_H
#define TG_REDUCE_H

#include <stdlib.h>
#include "copy.h"
#include "reduce_loops.h"

/* Partial results of 2^k blocks each, combined like the digits of a binary counter. */
typedef struct {
    int64_t count;
    _Alignas(16) char level[64][16];
} tg_cascade;

/* Takes in the result of 2^k blocks; the number of blocks before them is a multiple of 2^k. */
static void tg_cascade_push(tg_cascade *c, const tg_reducer *f, char *value, int k) {
    int64_t size = tg_itemsize(f->compute), bits = c->count >> k;
    c->count += (int64_t)1 << k;
    for (; bits & 1; bits >>= 1, k++) {
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

/* Everything that a thread needs to know of a reduction. */
typedef struct {
    const tg_reducer *f;
    const tg_iter *kept, *reduced; /* operand 0 is in, operand 1 of kept is out */
    const char *in;
    char *out, *partial;
    const char *stop; /* a value that decides the result: the rest need not be read */
    int dtype, out_dtype, level, stopped;
    int32_t dim;
    int64_t size, n;
} tg_reduction;

/* Pushes the blocks of elements first..first+count-1 of the walk; `first` begins a block. 1 if the
 * deciding value was met. */
static int tg_reduce_blocks(const tg_reduction *r, const char *in, int64_t first, int64_t count, tg_cascade *cascade) {
    const tg_reducer *f = r->f;
    const tg_iter *it = r->reduced;
    _Alignas(64) char tile[TG_REDUCE_BLOCK * 16];
    _Alignas(64) char converted[TG_REDUCE_BLOCK * 16];
    _Alignas(16) char value[16];
    int itemsize = (int)tg_itemsize(r->dtype);
    int64_t n = it->shape[0], stride = it->strides[0][0], filled = 0;
    tg_cursor c;
    tg_cursor_seek(&c, it, first);
    int64_t i = c.counter[0];
    c.offset[0] -= i * stride;
    c.counter[0] = 0;
    while (count > 0) {
        const char *run = in + c.offset[0] * itemsize;
        while (i < n && count > 0) {
            const char *block = tile;
            if (f->whole > 1 && filled == 0 && stride == 1 && r->dtype == f->compute && cascade->count % f->whole == 0 && !r->stop) {
                const int64_t wide = (int64_t)f->whole * TG_REDUCE_BLOCK;
                for (; n - i >= wide && count >= wide; i += wide, count -= wide) {
                    f->block(value, run + i * itemsize, wide);
                    tg_cascade_push(cascade, f, value, __builtin_ctz((unsigned)f->whole));
                }
                if (i == n || count == 0) break;
            }
            int64_t m = tg_min64(tg_min64(n - i, count), TG_REDUCE_BLOCK - filled);
            if (filled == 0 && stride == 1 && (m == TG_REDUCE_BLOCK || m == count)) {
                block = run + i * itemsize; /* long runs are read where they are */
            } else { /* short ones are gathered into whole blocks */
                tg_load_tile(tile + filled * itemsize, run + i * stride * itemsize, stride, itemsize, m);
            }
            i += m;
            filled += m;
            count -= m;
            if (filled < TG_REDUCE_BLOCK && count > 0) continue;
            f->block(value, tg_view_as(block, r->dtype, 1, filled, f->compute, NULL, converted), filled);
            if (r->stop && value[0] == *r->stop) return 1;
            tg_cascade_push(cascade, f, value, 0);
            filled = 0;
        }
        i = 0;
        tg_cursor_next(&c, it, 1);
    }
    return 0;
}

/* Chunks of 2^level blocks: what each comes to is what the cascade would hold at that level. */
static void tg_reduce_chunks(void *context, int64_t begin, int64_t end) {
    tg_reduction *r = (tg_reduction *)context;
    const int64_t size = (int64_t)TG_REDUCE_BLOCK << r->level;
    tg_cascade cascade;
    for (int64_t i = begin; i < end && !__atomic_load_n(&r->stopped, __ATOMIC_RELAXED); i++) {
        cascade.count = 0;
        if (tg_reduce_blocks(r, r->in, i * size, size, &cascade)) __atomic_store_n(&r->stopped, 1, __ATOMIC_RELAXED);
        else memcpy(r->partial + i * 16, cascade.level[r->level], 16);
    }
}

/* Apart from tg_reduce_all, so that their scratch is not on the stack at once. */
static __attribute__((noinline)) void tg_reduce_one_block(const tg_reduction *r, const char *in, char *result) {
    const tg_iter *it = r->reduced;
    _Alignas(64) char tile[TG_REDUCE_BLOCK * 16];
    _Alignas(64) char converted[TG_REDUCE_BLOCK * 16];
    r->f->block(result, tg_view_as(in, r->dtype, it->strides[0][0], it->numel, r->f->compute, tile, converted), it->numel);
}

/* One value (of the compute dtype) from all the elements of the walk that starts at `in`. */
static void tg_reduce_all(const tg_reduction *job, const char *in, char *result) {
    enum { CHUNKS = 512 };
    const tg_reducer *f = job->f;
    const tg_iter *it = job->reduced;
    if (it->numel <= TG_REDUCE_BLOCK && it->ndim == 1) {
        tg_reduce_one_block(job, in, result);
        return;
    }
    tg_cascade cascade;
    cascade.count = 0;
    int64_t done = 0;
    tg_reduction r = *job;
    if (it->numel >= 2 * TG_PARALLEL_AT) {
        _Alignas(16) char partial[(CHUNKS + 1) * 16];
        r.in = in;
        r.partial = partial;
        r.stopped = 0;
        for (r.level = 3; it->numel >> r.level > (int64_t)TG_REDUCE_BLOCK * CHUNKS;) r.level++;
        const int64_t chunks = it->numel / ((int64_t)TG_REDUCE_BLOCK << r.level);
        tg_parallel_for(chunks, 1, tg_reduce_chunks, &r);
        for (int64_t i = 0; i < chunks && !r.stopped; i++) tg_cascade_push(&cascade, f, partial + i * 16, r.level);
        done = chunks * ((int64_t)TG_REDUCE_BLOCK << r.level);
    } else {
        r.stopped = 0;
    }
    if (r.stopped || tg_reduce_blocks(&r, in, done, it->numel - done, &cascade)) result[0] = *r.stop;
    else tg_cascade_finish(&cascade, f, result);
}

enum { TG_ROW_BYTES = 4096, TG_ROW_MAX = 1024, TG_ROW_LEVELS = 15, TG_ROW_CHUNK = 64 * 16 };

/* Partial results for n neighbouring elements at once. Level 0 collects 64 rows, each further
 * level 16 of the one below. */
typedef struct {
    _Alignas(64) char level[TG_ROW_LEVELS][TG_ROW_BYTES];
    int used[TG_ROW_LEVELS], top;
    int64_t count;
} tg_row_sums;

static void tg_rows_begin(tg_row_sums *s) {
    memset(s->used, 0, sizeof s->used);
    s->top = 1;
    s->count = 0;
}

static void tg_rows_add(tg_row_sums *s, const tg_reducer *f, int k, const char *row, int64_t n) {
    if (s->used[k]) f->rows(s->level[k], row, n);
    else memcpy(s->level[k], row, (size_t)(n * tg_itemsize(f->compute)));
    s->used[k] = 1;
}

/* Level k is full when the count, in its units, is; then it goes into the next. */
static void tg_rows_carry(tg_row_sums *s, const tg_reducer *f, int k, int64_t units, int64_t n) {
    for (; k + 1 < TG_ROW_LEVELS; k++, units /= 16) {
        tg_rows_add(s, f, k + 1, s->level[k], n);
        s->used[k] = 0;
        if (k + 2 > s->top) s->top = k + 2;
        if (units % 16 != 0) break;
    }
}

/* Rows first..first+count-1 of the walk. */
static void tg_reduce_rows(const tg_reduction *r, const char *in, int64_t stride, int64_t n, int64_t first, int64_t count,
                           tg_row_sums *s) {
    const tg_reducer *f = r->f;
    const int64_t itemsize = tg_itemsize(r->dtype);
    _Alignas(64) char gathered[TG_ROW_MAX * 16];
    _Alignas(64) char converted[TG_ROW_BYTES];
    tg_cursor c;
    tg_cursor_seek(&c, r->reduced, first);
    const int64_t step = r->reduced->strides[0][0];
    const int direct = f->rows4 && stride == 1 && r->dtype == f->compute && r->reduced->ndim == 1;
    while (count > 0) {
        if (direct && s->used[0] && count >= 4 && s->count % 64 <= 60) {
            f->rows4(s->level[0], in + c.offset[0] * itemsize, step, n);
            s->count += 4;
            count -= 4;
            c.offset[0] += 4 * step;
            if (f->cascade && s->count % 64 == 0) tg_rows_carry(s, f, 0, s->count / 64, n);
            continue;
        }
        tg_rows_add(s, f, 0, tg_view_as(in + c.offset[0] * itemsize, r->dtype, stride, n, f->compute, gathered, converted), n);
        s->count++;
        count--;
        if (f->cascade && s->count % 64 == 0) tg_rows_carry(s, f, 0, s->count / 64, n);
        tg_cursor_next(&c, r->reduced, 0);
    }
}

/* The results are left at level 0. */
static void tg_rows_finish(tg_row_sums *s, const tg_reducer *f, int64_t n) {
    for (int k = 1; k < s->top; k++)
        if (s->used[k]) tg_rows_add(s, f, 0, s->level[k], n);
}

/* Chunks of TG_ROW_CHUNK rows: what each comes to is what level 1 would hand on to level 2. */
static void tg_reduce_row_chunks(void *context, int64_t begin, int64_t end) {
    const tg_reduction *r = (const tg_reduction *)context;
    const int64_t bytes = r->n * tg_itemsize(r->f->compute);
    tg_row_sums s;
    for (int64_t i = begin; i < end; i++) {
        tg_rows_begin(&s);
        tg_reduce_rows(r, r->in, r->kept->strides[0][0], r->n, i * TG_ROW_CHUNK, TG_ROW_CHUNK, &s);
        memcpy(r->partial + i * bytes, s.level[r->f->cascade ? 2 : 0], (size_t)bytes);
    }
}

/* Few columns and many rows: threads share the rows. 0 if there is no memory for that. */
static int tg_reduce_narrow(const tg_reduction *job) {
    tg_reduction r = *job;
    const tg_reducer *f = r.f;
    const int64_t bytes = r.n * tg_itemsize(f->compute), chunks = r.reduced->numel / TG_ROW_CHUNK;
    _Alignas(64) char converted[TG_ROW_BYTES * 4];
    r.partial = (char *)malloc((size_t)(chunks * bytes));
    if (!r.partial) return 0;
    tg_parallel_for(chunks, 1, tg_reduce_row_chunks, &r);
    tg_row_sums s;
    tg_rows_begin(&s);
    for (int64_t i = 0; i < chunks; i++) {
        s.count += TG_ROW_CHUNK;
        tg_rows_add(&s, f, f->cascade ? 2 : 0, r.partial + i * bytes, r.n);
        if (!f->cascade) continue;
        if (s.top < 3) s.top = 3;
        if (s.count / TG_ROW_CHUNK % 16 == 0) tg_rows_carry(&s, f, 2, s.count / TG_ROW_CHUNK / 16, r.n);
    }
    free(r.partial);
    const int64_t done = chunks * TG_ROW_CHUNK;
    tg_reduce_rows(&r, r.in, r.kept->strides[0][0], r.n, done, r.reduced->numel - done, &s);
    tg_rows_finish(&s, f, r.n);
    tg_store_as(r.out, r.out_dtype, r.kept->strides[1][0], r.n, s.level[0], f->compute, converted);
    return 1;
}

/* Whole rows are added up, a tile of columns at a time. */
static void tg_reduce_columns(const tg_reduction *r, const tg_iter *kept, const char *in, char *out) {
    const tg_reducer *f = r->f;
    const int64_t in_size = tg_itemsize(r->dtype), out_size = tg_itemsize(r->out_dtype), n = kept->shape[0];
    const int64_t in_stride = kept->strides[0][0], out_stride = kept->strides[1][0];
    const int64_t tile = tg_min64(TG_ROW_BYTES / tg_itemsize(f->compute), TG_ROW_MAX);
    _Alignas(64) char converted[TG_ROW_MAX * 16];
    tg_row_sums s;
    tg_cursor c;
    tg_cursor_init(&c, kept);
    do {
        for (int64_t i = 0; i < n; i += tile) {
            int64_t m = tg_min64(tile, n - i);
            tg_rows_begin(&s);
            tg_reduce_rows(r, in + (c.offset[0] + i * in_stride) * in_size, in_stride, m, 0, r->reduced->numel, &s);
            tg_rows_finish(&s, f, m);
            tg_store_as(out + (c.offset[1] + i * out_stride) * out_size, r->out_dtype, out_stride, m,
                        s.level[0], f->compute, converted);
        }
    } while (tg_cursor_next(&c, kept, 1));
}

/* One result after another. */
static void tg_reduce_lanes(const tg_reduction *r, const tg_iter *kept, const char *in, char *out) {
    const int64_t in_size = tg_itemsize(r->dtype), out_size = tg_itemsize(r->out_dtype);
    _Alignas(16) char result[16];
    tg_cursor c;
    tg_cursor_init(&c, kept);
    if (r->dtype == r->f->compute && r->out_dtype == r->f->compute && r->reduced->ndim == 1
        && r->reduced->strides[0][0] == 1 && r->reduced->numel <= TG_REDUCE_BLOCK) { /* nothing to convert or to combine */
        do {
            r->f->block(out + c.offset[1] * out_size, in + c.offset[0] * in_size, r->reduced->numel);
        } while (tg_cursor_next(&c, kept, 0));
        return;
    }
    do {
        tg_reduce_all(r, in + c.offset[0] * in_size, result);
        tg_cast_tile(out + c.offset[1] * out_size, r->out_dtype, result, r->f->compute, 1);
    } while (tg_cursor_next(&c, kept, 0));
}

#define TG_REDUCE_PART(NAME)                                                                       \
    static void NAME##_part(void *context, int64_t begin, int64_t end) {                           \
        const tg_reduction *r = (const tg_reduction *)context;                                     \
        tg_iter kept;                                                                              \
        int64_t offset[2];                                                                         \
        tg_iter_narrow(&kept, r->kept, r->dim, begin, end, offset);                                \
        NAME(r, &kept, r->in + offset[0] * tg_itemsize(r->dtype), r->out + offset[1] * tg_itemsize(r->out_dtype)); \
    }
TG_REDUCE_PART(tg_reduce_columns)
TG_REDUCE_PART(tg_reduce_lanes)

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

    const char decided = op == TG_ANY;
    tg_reduction r = {.f = f, .kept = &kept, .reduced = &reduced, .in = in->data, .out = out->data,
                      .stop = op == TG_ANY || op == TG_ALL ? &decided : NULL,
                      .dtype = in->dtype, .out_dtype = out->dtype, .n = kept.shape[0]};
    const int shared = kept.numel * reduced.numel >= TG_PARALLEL_AT;
    if (!tg_rows_pay(&kept, reduced.strides[0][0])) {
        /* Few long lanes are shared one by one, in tg_reduce_all. */
        if (!shared || kept.numel == 1 || (kept.numel < 16 && reduced.numel >= 2 * TG_PARALLEL_AT)) {
            tg_reduce_lanes(&r, &kept, r.in, r.out);
            return TG_OK;
        }
        r.dim = tg_iter_cut(&kept);
        const int64_t grain = 1 + TG_GRAIN / reduced.numel;
        tg_parallel_for(kept.shape[r.dim], tg_iter_grain(&kept, r.dim, grain), tg_reduce_lanes_part, &r);
        return TG_OK;
    }
    if (!shared) {
        tg_reduce_columns(&r, &kept, r.in, r.out);
        return TG_OK;
    }
    if (kept.ndim == 1 && r.n <= 256 && reduced.numel >= 2 * TG_ROW_CHUNK && tg_reduce_narrow(&r)) return TG_OK;
    r.dim = kept.ndim == 1 ? 0 : tg_iter_cut(&kept);
    tg_parallel_for(kept.shape[r.dim], r.dim == 0 ? tg_column_grain(r.n) : 1, tg_reduce_columns_part, &r);
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

/* An arg-reduction or a scan along one dimension: `n` elements, `in_step` and `out_step` apart. */
typedef struct {
    const tg_reducer *f;
    const tg_iter *kept; /* operands: in, out */
    const char *in;
    char *out, *partial;
    int dtype, out_dtype;
    int32_t dim;
    int64_t n, in_step, out_step;
} tg_lanes;

/* The first extremum of elements begin..end-1 of a lane, and where it stands. */
static int64_t tg_argreduce_range(const tg_lanes *l, const char *in, int64_t begin, int64_t end, char *best) {
    enum { TILE = 512, LONG_TILE = 4096 };
    const tg_reducer *f = l->f;
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    _Alignas(16) char value[16];
    int64_t where = begin;
    /* What is read where it lies needs no scratch, but should still be in the first cache when it is searched. */
    const int64_t tile_length = l->in_step == 1 && l->dtype == f->compute ? LONG_TILE : TILE;
    for (int64_t i = begin; i < end; i += tile_length) {
        int64_t m = tg_min64(tile_length, end - i);
        const char *tile = tg_view_as(in + i * l->in_step * tg_itemsize(l->dtype), l->dtype, l->in_step, m, f->compute,
                                      gathered, converted);
        f->block(value, tile, m);
        /* what comes next, while this is searched: the processor does not look ahead across pages */
        for (int64_t at = 0; at < 1024; at += 64) __builtin_prefetch(tile + m * tg_itemsize(f->compute) + at);
        if (i > begin && !f->beats(best, value)) continue;
        where = i + f->find(tile, value, m);
        memcpy(best, value, sizeof value);
    }
    return where;
}

typedef struct {
    _Alignas(16) char best[16];
    int64_t where;
} tg_extremum;

enum { TG_ARG_CHUNK = 16384 };

static void tg_argreduce_chunks(void *context, int64_t begin, int64_t end) {
    const tg_lanes *l = (const tg_lanes *)context;
    for (int64_t i = begin; i < end; i++) {
        tg_extremum *e = (tg_extremum *)l->partial + i;
        e->where = tg_argreduce_range(l, l->in, i * TG_ARG_CHUNK, tg_min64((i + 1) * TG_ARG_CHUNK, l->n), e->best);
    }
}

static int64_t tg_argreduce_lane(const tg_lanes *job, const char *in) {
    const int64_t chunks = (job->n + TG_ARG_CHUNK - 1) / TG_ARG_CHUNK;
    tg_extremum first;
    tg_lanes l = *job;
    l.in = in;
    l.partial = job->n >= 2 * TG_PARALLEL_AT ? (char *)malloc((size_t)chunks * sizeof(tg_extremum)) : NULL;
    if (!l.partial) return tg_argreduce_range(&l, in, 0, l.n, first.best);
    tg_parallel_for(chunks, 1, tg_argreduce_chunks, &l);
    const tg_extremum *found = (const tg_extremum *)l.partial;
    first = found[0];
    for (int64_t i = 1; i < chunks; i++)
        if (l.f->beats(first.best, found[i].best)) first = found[i];
    free(l.partial);
    return first.where;
}

static void tg_argreduce_lanes(const tg_lanes *l, const tg_iter *kept, const char *in, char *out) {
    tg_cursor c;
    tg_cursor_init(&c, kept);
    do {
        ((int64_t *)out)[c.offset[1]] = tg_argreduce_lane(l, in + c.offset[0] * tg_itemsize(l->dtype));
    } while (tg_cursor_next(&c, kept, 0));
}

static void tg_argreduce_columns(const tg_lanes *l, const tg_iter *kept, const char *in, char *out) {
    enum { TILE = 512 };
    const tg_reducer *f = l->f;
    _Alignas(64) char best[TILE * 16];
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    int64_t where[TILE], in_stride = kept->strides[0][0], out_stride = kept->strides[1][0], itemsize = tg_itemsize(l->dtype);
    tg_cursor c;
    tg_cursor_init(&c, kept);
    do {
        for (int64_t j = 0; j < kept->shape[0]; j += TILE) {
            int64_t m = tg_min64(TILE, kept->shape[0] - j);
            for (int64_t i = 0; i < l->n; i++) {
                const char *row = tg_view_as(in + (c.offset[0] + j * in_stride + i * l->in_step) * itemsize,
                                             l->dtype, in_stride, m, f->compute, gathered, converted);
                if (i > 0) {
                    f->argrows(best, where, row, i, m);
                } else {
                    memcpy(best, row, (size_t)(m * tg_itemsize(f->compute)));
                    memset(where, 0, sizeof where);
                }
            }
            tg_store_tile(out + (c.offset[1] + j * out_stride) * 8, out_stride, (const char *)where, 8, m);
        }
    } while (tg_cursor_next(&c, kept, 1));
}

#define TG_LANES_PART(NAME)                                                                        \
    static void NAME##_part(void *context, int64_t begin, int64_t end) {                           \
        const tg_lanes *l = (const tg_lanes *)context;                                             \
        tg_iter kept;                                                                              \
        int64_t offset[2];                                                                         \
        tg_iter_narrow(&kept, l->kept, l->dim, begin, end, offset);                                \
        NAME(l, &kept, l->in + offset[0] * tg_itemsize(l->dtype), l->out + offset[1] * tg_itemsize(l->out_dtype)); \
    }
TG_LANES_PART(tg_argreduce_columns)
TG_LANES_PART(tg_argreduce_lanes)

/* Shares the lanes between threads: columns in runs, or lane by lane. */
static void tg_share_lanes(tg_lanes *l, int columns, tg_range_function body) {
    const tg_iter *kept = l->kept;
    l->dim = columns && kept->ndim == 1 ? 0 : tg_iter_cut(kept);
    int64_t grain = columns && l->dim == 0 ? tg_column_grain(kept->shape[0])
                    : tg_iter_grain(kept, l->dim, 1 + TG_GRAIN / l->n);
    if (kept->numel * l->n < TG_PARALLEL_AT) body(l, 0, kept->shape[l->dim]);
    else tg_parallel_for(kept->shape[l->dim], grain, body, l);
}

/* The first position of the extremum along `dim`, a NaN counting as the extremum. out is int64
 * with size 1 along `dim`; in must not be empty there. */
static int tg_argreduce(int is_max, const tg_array *out, const tg_array *in, int dim) {
    const tg_reducer *f = tg_find_reducer(is_max ? TG_MAX : TG_MIN, in->dtype);
    if (!f) return TG_NO_KERNEL;
    tg_iter kept;
    tg_iter_lanes(&kept, in, out, dim);
    tg_lanes l = {.f = f, .kept = &kept, .in = in->data, .out = out->data, .dtype = in->dtype, .out_dtype = TG_I64,
                  .n = in->shape[dim], .in_step = in->strides[dim]};
    if (kept.numel == 0 || l.n == 0) return TG_OK;
    if (tg_rows_pay(&kept, l.in_step)) tg_share_lanes(&l, 1, tg_argreduce_columns_part);
    else if (kept.numel == 1) tg_argreduce_lanes(&l, &kept, l.in, l.out);
    else tg_share_lanes(&l, 0, tg_argreduce_lanes_part);
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

/* Four contiguous lanes side by side: one lane alone would wait for each of its additions. */
TG_CLONES static void tg_cumsum4_f32(float *const *out, const float *const *in, int64_t n) {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    if (n == 0) return;
    s0 = in[0][0], s1 = in[1][0], s2 = in[2][0], s3 = in[3][0];
    out[0][0] = (float)s0, out[1][0] = (float)s1, out[2][0] = (float)s2, out[3][0] = (float)s3;
    for (int64_t i = 1; i < n; i++) {
        s0 += (double)in[0][i];
        s1 += (double)in[1][i];
        s2 += (double)in[2][i];
        s3 += (double)in[3][i];
        out[0][i] = (float)s0, out[1][i] = (float)s1, out[2][i] = (float)s2, out[3][i] = (float)s3;
    }
}

static void tg_scan_lane(const tg_lanes *l, const char *in, char *out) {
    enum { TILE = 512 };
    const tg_reducer *f = l->f;
    int64_t in_size = tg_itemsize(l->dtype), out_size = tg_itemsize(l->out_dtype), size = tg_itemsize(f->compute);
    _Alignas(64) char running[TILE * 16];
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    _Alignas(16) char carry[16];
    for (int64_t i = 0; i < l->n; i += TILE) {
        int64_t m = tg_min64(TILE, l->n - i);
        const char *tile = tg_view_as(in + i * l->in_step * in_size, l->dtype, l->in_step, m, f->compute, gathered, converted);
        memcpy(running, tile, (size_t)(m * size));
        if (i == 0) {
            memcpy(carry, running, (size_t)size);
            f->scan(carry, running + size, m - 1);
        } else {
            f->scan(carry, running, m);
        }
        tg_store_as(out + i * l->out_step * out_size, l->out_dtype, l->out_step, m, running, f->compute, converted);
    }
}

static void tg_scan_lanes(const tg_lanes *l, const tg_iter *kept, const char *in, char *out) {
    const int64_t in_size = tg_itemsize(l->dtype), out_size = tg_itemsize(l->out_dtype);
    const int four = l->f == tg_reducer_of(TG_SUM, TG_F64) && l->dtype == TG_F32 && l->out_dtype == TG_F32
                     && l->in_step == 1 && l->out_step == 1;
    const char *from[4];
    char *to[4];
    int waiting = 0;
    tg_cursor c;
    tg_cursor_init(&c, kept);
    do {
        from[waiting] = in + c.offset[0] * in_size;
        to[waiting++] = out + c.offset[1] * out_size;
        if (four && waiting < 4) continue; /* to the loop's condition */
        if (four) tg_cumsum4_f32((float *const *)to, (const float *const *)from, l->n);
        else tg_scan_lane(l, from[0], to[0]);
        waiting = 0;
    } while (tg_cursor_next(&c, kept, 0));
    for (int k = 0; k < waiting; k++) tg_scan_lane(l, from[k], to[k]);
}

static void tg_scan_columns(const tg_lanes *l, const tg_iter *kept, const char *in, char *out) {
    enum { TILE = 512 };
    const tg_reducer *f = l->f;
    int64_t in_size = tg_itemsize(l->dtype), out_size = tg_itemsize(l->out_dtype), size = tg_itemsize(f->compute);
    int64_t in_stride = kept->strides[0][0], out_stride = kept->strides[1][0];
    _Alignas(64) char running[TILE * 16];
    _Alignas(64) char gathered[TILE * 16];
    _Alignas(64) char converted[TILE * 16];
    tg_cursor c;
    tg_cursor_init(&c, kept);
    do {
        for (int64_t j = 0; j < kept->shape[0]; j += TILE) {
            int64_t m = tg_min64(TILE, kept->shape[0] - j);
            for (int64_t i = 0; i < l->n; i++) {
                const char *row = tg_view_as(in + (c.offset[0] + j * in_stride + i * l->in_step) * in_size,
                                             l->dtype, in_stride, m, f->compute, gathered, converted);
                if (i > 0) f->rows(running, row, m);
                else memcpy(running, row, (size_t)(m * size));
                tg_store_as(out + (c.offset[1] + j * out_stride + i * l->out_step) * out_size, l->out_dtype,
                            out_stride, m, running, f->compute, converted);
            }
        }
    } while (tg_cursor_next(&c, kept, 1));
}
TG_LANES_PART(tg_scan_columns)
TG_LANES_PART(tg_scan_lanes)

/* out[i] = op(in[0], ..., in[i]) along `dim`; out may be in. */
static int tg_scan(int op, const tg_array *out, const tg_array *in, int dim) {
    const tg_reducer *f = tg_find_scanner(op, in->dtype);
    if (!f) return TG_NO_KERNEL;
    tg_iter kept;
    tg_iter_lanes(&kept, in, out, dim);
    tg_lanes l = {.f = f, .kept = &kept, .in = in->data, .out = out->data, .dtype = in->dtype, .out_dtype = out->dtype,
                  .n = in->shape[dim], .in_step = in->strides[dim], .out_step = out->strides[dim]};
    if (kept.numel == 0 || l.n == 0) return TG_OK;
    if (tg_rows_pay(&kept, l.in_step)) tg_share_lanes(&l, 1, tg_scan_columns_part);
    else tg_share_lanes(&l, 0, tg_scan_lanes_part);
    return TG_OK;
}

#endif
