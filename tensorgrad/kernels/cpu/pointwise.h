/* Elementwise kernels: the driver that walks the operands. The loops are made by loops.h. */
#ifndef TG_POINTWISE_H
#define TG_POINTWISE_H

#include "copy.h"
#include "half_loops.h"
#include "kernel_table.h"
#include "simd_choice.h"

enum { TG_TILE = 512 };

/* The operands of a kernel that are contiguous, or single elements. */
typedef struct {
    tg_loop loop;
    int n_inputs;
    int64_t n;
    char *p[1 + TG_MAX_INPUTS];
    int64_t itemsize[1 + TG_MAX_INPUTS];
    int single[1 + TG_MAX_INPUTS], any_single;
} tg_flat;

static inline void tg_pointwise_flat_part(const tg_flat *f, int64_t begin, int64_t end) {
    char *p[1 + TG_MAX_INPUTS];
    for (int i = 0; i <= f->n_inputs; i++) p[i] = f->p[i] + (f->single[i] ? 0 : begin * f->itemsize[i]);
    if (!f->any_single) {
        f->loop(p, end - begin);
        return;
    }
    _Alignas(64) char tile[TG_MAX_INPUTS][TG_TILE * 16];
    int64_t length = TG_TILE; /* long arrays are worth a longer tile of copies, as far as it fits */
    if (end - begin >= 64 * TG_TILE) {
        int64_t largest = 4;
        for (int i = 1; i <= f->n_inputs; i++)
            if (f->single[i] && f->itemsize[i] > largest) largest = f->itemsize[i];
        length = TG_TILE * 16 / largest;
    }
    for (int i = 1; i <= f->n_inputs; i++) {
        if (!f->single[i]) continue;
        tg_load_tile(tile[i - 1], p[i], 0, (int)f->itemsize[i], tg_min64(end - begin, length));
        p[i] = tile[i - 1];
    }
    for (int64_t at = begin; at < end; at += length) {
        f->loop(p, tg_min64(length, end - at));
        for (int i = 0; i <= f->n_inputs; i++)
            if (!f->single[i]) p[i] += length * f->itemsize[i];
    }
}

static void tg_pointwise_flat_tiles(void *context, int64_t begin, int64_t end) {
    const tg_flat *f = (const tg_flat *)context;
    tg_pointwise_flat_part(f, begin * TG_TILE, tg_min64(end * TG_TILE, f->n));
}

/* The short way: every operand contiguous and of the loop's own type, or a single element, which is
 * repeated in a tile. Returns 0 when that is not so. */
static inline int tg_pointwise_flat(tg_loop loop, int n_inputs, const int *type, const tg_array *out, const tg_array *in) {
    const int64_t n = out->numel;
    int single[TG_MAX_INPUTS], any_single = 0;
    if (!out->contiguous || out->dtype != type[0]) return 0;
    for (int i = 0; i < n_inputs; i++) {
        if (!in[i].contiguous || in[i].dtype != type[i + 1]) return 0;
        single[i] = in[i].ndim == 0 && n != 1;
        if (!single[i] && in[i].numel != n) return 0;
        any_single |= single[i];
    }
    tg_flat f = {loop, n_inputs, n, {out->data}, {0}, {0}};
    f.itemsize[0] = tg_itemsize(type[0]);
    for (int i = 0; i < n_inputs; i++) {
        f.p[i + 1] = in[i].data;
        f.itemsize[i + 1] = tg_itemsize(type[i + 1]);
        f.single[i + 1] = single[i];
    }
    f.any_single = any_single;
    if (n < TG_PARALLEL_AT) tg_pointwise_flat_part(&f, 0, n);
    else tg_parallel_for((n + TG_TILE - 1) / TG_TILE, TG_GRAIN / TG_TILE, tg_pointwise_flat_tiles, &f);
    return 1;
}

/* The operands of a kernel that are strided, or of other types than its loop's. */
typedef struct {
    tg_loop loop;
    int n_operands, direct; /* direct: rows of the loop's own types, contiguous or, of an input, a single element */
    const int *type, *dtype;
    char *const *base;
    const tg_iter *it;
    int32_t dim; /* the dimension that is cut */
} tg_strided;

typedef uint64_t tg_two_words __attribute__((vector_size(16), aligned(1), may_alias));

/* Repeats an element of 1, 2, 4, 8 or 16 bytes. (A memcpy of a constant length would become a slow string instruction.) */
static inline void tg_repeat(char *restrict out, const char *restrict one, int64_t itemsize, int64_t n) {
    const int64_t nbytes = n * itemsize;
    int64_t at = 0;
    uint64_t word[2];
    switch (itemsize) {
    case 1: word[0] = word[1] = *(const uint8_t *)one * 0x0101010101010101u; break;
    case 2: word[0] = word[1] = *(const uint16_t *)one * 0x0001000100010001u; break;
    case 4: word[0] = word[1] = *(const uint32_t *)one * 0x0000000100000001u; break;
    case 8: word[0] = word[1] = *(const uint64_t *)one; break;
    default: word[0] = ((const uint64_t *)one)[0], word[1] = ((const uint64_t *)one)[1];
    }
    const tg_two_words v = {word[0], word[1]};
    for (; at + 64 <= nbytes; at += 64)
        for (int k = 0; k < 4; k++) ((tg_two_words *)(out + at))[k] = v;
    for (; at + 16 <= nbytes; at += 16) *(tg_two_words *)(out + at) = v;
    if (at < nbytes) memcpy(out + at, word, (size_t)(nbytes - at));
}

/* Rows that are contiguous, in place; an input that stands still along a row is repeated in a tile. Two dimensions are
 * walked by pointers alone, in variables of their own: of an array GCC would load two at once that have just been stored
 * one by one, and the processor would wait for that longer than a short row takes. */
static void tg_pointwise_rows(const tg_strided *job, const tg_iter *it, char *const *base) {
    enum { STILL_BYTES = 512, N = 1 + TG_MAX_INPUTS }; /* long enough for the loop, short enough to be filled for each row */
    _Alignas(64) char tile[N][STILL_BYTES];
    const int64_t n = it->shape[0], rows = it->ndim > 1 ? it->shape[1] : 1;
    int64_t length = n, itemsize[N] = {0}, step[N] = {1, 1, 1, 1}, down[N] = {0};
    tg_cursor c;
    for (int i = 0; i < job->n_operands; i++) {
        itemsize[i] = tg_itemsize(job->type[i]);
        step[i] = it->strides[i][0] * itemsize[i];
        down[i] = it->ndim > 1 ? it->strides[i][1] * itemsize[i] : 0;
        if (step[i] == 0) length = tg_min64(length, STILL_BYTES / itemsize[i]);
    }
    const int64_t so = step[0], sx = step[1], sy = step[2], sz = step[3];
    const int64_t down_o = down[0], down_x = down[1], down_y = down[2], down_z = down[3];
    tg_cursor_init(&c, it);
    do {
        char *row[N] = {NULL};
        for (int i = 0; i < job->n_operands; i++) row[i] = base[i] + c.offset[i] * itemsize[i];
        char *row_o = row[0], *row_x = row[1], *row_y = row[2], *row_z = row[3];
        for (int64_t r = 0; r < rows; r++) {
            char *o = row_o, *x = row_x, *y = row_y, *z = row_z;
            if (sx == 0) { tg_repeat(tile[1], x, itemsize[1], length); x = tile[1]; }
            if (sy == 0) { tg_repeat(tile[2], y, itemsize[2], length); y = tile[2]; }
            if (sz == 0) { tg_repeat(tile[3], z, itemsize[3], length); z = tile[3]; }
            for (int64_t left = n; left > 0; left -= length) {
                char *p[N] = {o, x, y, z};
                job->loop(p, tg_min64(length, left));
                o += length * so;
                x += length * sx;
                y += length * sy;
                z += length * sz;
            }
            row_o += down_o;
            row_x += down_x;
            row_y += down_y;
            row_z += down_z;
        }
    } while (tg_cursor_next(&c, it, 2));
}

static void tg_pointwise_walk(const tg_strided *job, const tg_iter *it, char *const *base) {
    const tg_loop loop = job->loop;
    const int n_operands = job->n_operands, direct = job->direct, *type = job->type;
    tg_cursor c;
    tg_cursor_init(&c, it);
    if (direct) {
        tg_pointwise_rows(job, it, base);
        return;
    }
    _Alignas(64) char tile[1 + TG_MAX_INPUTS][TG_TILE * 16];
    _Alignas(64) char scratch[TG_TILE * 16];
    int filled[1 + TG_MAX_INPUTS] = {0};
    do {
        for (int64_t at = 0; at < it->shape[0]; at += TG_TILE) {
            const int64_t n = tg_min64(TG_TILE, it->shape[0] - at);
            char *p[1 + TG_MAX_INPUTS];
            for (int i = 1; i < n_operands; i++) {
                const int64_t stride = it->strides[i][0];
                char *from = base[i] + (c.offset[i] + at * stride) * tg_itemsize(job->dtype[i]);
                p[i] = tile[i];
                if (stride == 0) { /* a scalar in this row: one tile of copies serves the whole row */
                    const int64_t room = tg_min64(TG_TILE, it->shape[0]);
                    if (at == 0 && !(filled[i] && it->ndim > 1 && it->strides[i][1] == 0 && it->ndim == 2)) {
                        const char *one = from;
                        _Alignas(16) char element[16];
                        if (job->dtype[i] != type[i]) {
                            tg_cast_tile(element, type[i], from, job->dtype[i], 1);
                            one = element;
                        }
                        tg_load_tile(tile[i], one, 0, (int)tg_itemsize(type[i]), room);
                        filled[i] = 1;
                    }
                } else {
                    char *gathered = job->dtype[i] == type[i] ? tile[i] : scratch;
                    p[i] = (char *)tg_view_as(from, job->dtype[i], stride, n, type[i], gathered, tile[i]);
                }
            }
            char *to = base[0] + (c.offset[0] + at * it->strides[0][0]) * tg_itemsize(job->dtype[0]);
            if (job->dtype[0] == type[0] && it->strides[0][0] == 1) {
                p[0] = to;
                loop(p, n);
            } else {
                p[0] = tile[0];
                loop(p, n);
                tg_store_as(to, job->dtype[0], it->strides[0][0], n, tile[0], type[0], scratch);
            }
        }
    } while (tg_cursor_next(&c, it, 1));
}

static void tg_pointwise_part(void *context, int64_t begin, int64_t end) {
    const tg_strided *job = (const tg_strided *)context;
    tg_iter part;
    int64_t offset[1 + TG_MAX_INPUTS];
    char *base[1 + TG_MAX_INPUTS];
    tg_iter_narrow(&part, job->it, job->dim, begin, end, offset);
    for (int i = 0; i < job->n_operands; i++) base[i] = job->base[i] + offset[i] * tg_itemsize(job->dtype[i]);
    tg_pointwise_walk(job, &part, base);
}

static tg_loop tg_plain_loop(const tg_kernel *k, int dtype) {
    return dtype == TG_F16 || dtype == TG_BF16 ? tg_half_loop(k, dtype) : k->loop[tg_simd_level][dtype];
}

/* `in` holds k->n_inputs arrays; an input has the output's shape, or no dimensions at all (a scalar). */
static int tg_pointwise(const tg_kernel *k, int dtype, const tg_array *out, const tg_array *in) {
    static const int64_t zeros[TG_MAX_DIMS];
    const int compute = dtype == TG_F16 || dtype == TG_BF16 ? TG_F32 : dtype;
    const tg_loop loop = k->loop[tg_simd_level][compute];
    const int n_operands = 1 + k->n_inputs;
    int type[1 + TG_MAX_INPUTS], own[1 + TG_MAX_INPUTS], direct = 1;
    tg_array widened[TG_MAX_INPUTS];
    const tg_array *operand[1 + TG_MAX_INPUTS];
    char *base[1 + TG_MAX_INPUTS];
    if (loop == NULL) return TG_NO_KERNEL;
    operand[0] = out;
    type[0] = k->bool_output ? TG_BOOL : (k->real_output && compute == TG_C64) ? TG_F32
              : (k->real_output && compute == TG_C128) ? TG_F64 : compute;
    for (int i = 0; i < k->n_inputs; i++) type[i + 1] = i == 0 && k->bool_first ? TG_BOOL : compute;
    if (tg_pointwise_flat(loop, k->n_inputs, type, out, in)) return TG_OK;
    if (compute != dtype) {
        const tg_loop own_loop = tg_half_loop(k, dtype);
        const int own_types[1 + TG_MAX_INPUTS] = {dtype, dtype, dtype, dtype};
        if (own_loop && tg_pointwise_flat(own_loop, 2, own_types, out, in)) return TG_OK;
    }
    for (int i = 0; i < k->n_inputs; i++) {
        widened[i] = in[i];
        if (in[i].ndim == 0) {
            widened[i].strides = zeros;
            widened[i].ndim = out->ndim;
        }
        widened[i].shape = out->shape;
        operand[i + 1] = &widened[i];
    }
    tg_iter it;
    tg_iter_init(&it, n_operands, operand);
    if (it.numel == 0) return TG_OK;
    for (int i = 0; i < n_operands; i++) {
        base[i] = operand[i]->data;
        own[i] = operand[i]->dtype;
        direct &= own[i] == type[i] && (it.strides[i][0] == 1 || (i > 0 && it.strides[i][0] == 0));
    }
    tg_strided job = {loop, n_operands, direct, type, own, base, &it, 0};
    if (it.numel < TG_PARALLEL_AT) {
        tg_pointwise_walk(&job, &it, base);
    } else {
        job.dim = tg_iter_cut(&it);
        tg_parallel_for(it.shape[job.dim], tg_iter_grain(&it, job.dim, TG_GRAIN), tg_pointwise_part, &job);
    }
    return TG_OK;
}

#endif
