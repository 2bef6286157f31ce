/* Elementwise kernels: the driver that walks the operands. The loops are made by loops.h. */
#ifndef TG_POINTWISE_H
#define TG_POINTWISE_H

#include "copy.h"
#include "kernel_table.h"
#include "simd_choice.h"

enum { TG_TILE = 512 };

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
    char *p[1 + TG_MAX_INPUTS] = {out->data};
    for (int i = 0; i < n_inputs; i++) p[i + 1] = in[i].data;
    if (!any_single) {
        loop(p, n);
        return 1;
    }
    _Alignas(64) char tile[TG_MAX_INPUTS][TG_TILE * 16];
    for (int i = 0; i < n_inputs; i++) {
        if (!single[i]) continue;
        tg_load_tile(tile[i], in[i].data, 0, (int)tg_itemsize(type[i + 1]), tg_min64(n, TG_TILE));
        p[i + 1] = tile[i];
    }
    for (int64_t at = 0; at < n; at += TG_TILE) {
        loop(p, tg_min64(TG_TILE, n - at));
        p[0] += TG_TILE * tg_itemsize(type[0]);
        for (int i = 0; i < n_inputs; i++)
            if (!single[i]) p[i + 1] += TG_TILE * tg_itemsize(type[i + 1]);
    }
    return 1;
}

/* `in` holds k->n_inputs arrays; an input has the output's shape, or no dimensions at all (a scalar). */
static int tg_pointwise(const tg_kernel *k, int dtype, const tg_array *out, const tg_array *in) {
    static const int64_t zeros[TG_MAX_DIMS];
    const int compute = dtype == TG_F16 || dtype == TG_BF16 ? TG_F32 : dtype;
    const tg_loop loop = k->loop[tg_simd_level][compute];
    const int n_operands = 1 + k->n_inputs;
    int type[1 + TG_MAX_INPUTS], direct = 1;
    tg_array widened[TG_MAX_INPUTS];
    const tg_array *operand[1 + TG_MAX_INPUTS];
    char *base[1 + TG_MAX_INPUTS];
    if (loop == NULL) return TG_NO_KERNEL;
    operand[0] = out;
    type[0] = k->bool_output ? TG_BOOL : (k->real_output && compute == TG_C64) ? TG_F32
              : (k->real_output && compute == TG_C128) ? TG_F64 : compute;
    for (int i = 0; i < k->n_inputs; i++) type[i + 1] = i == 0 && k->bool_first ? TG_BOOL : compute;
    if (tg_pointwise_flat(loop, k->n_inputs, type, out, in)) return TG_OK;
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
        direct &= operand[i]->dtype == type[i] && it.strides[i][0] == 1;
    }
    tg_cursor c;
    tg_cursor_init(&c, &it);
    if (direct) { /* whole rows, in place */
        do {
            char *p[1 + TG_MAX_INPUTS];
            for (int i = 0; i < n_operands; i++) p[i] = base[i] + c.offset[i] * tg_itemsize(type[i]);
            loop(p, it.shape[0]);
        } while (tg_cursor_next(&c, &it, 1));
        return TG_OK;
    }
    _Alignas(64) char tile[1 + TG_MAX_INPUTS][TG_TILE * 16];
    _Alignas(64) char scratch[TG_TILE * 16];
    int filled[1 + TG_MAX_INPUTS] = {0};
    do {
        for (int64_t at = 0; at < it.shape[0]; at += TG_TILE) {
            const int64_t n = tg_min64(TG_TILE, it.shape[0] - at);
            char *p[1 + TG_MAX_INPUTS];
            for (int i = 1; i < n_operands; i++) {
                const int64_t stride = it.strides[i][0];
                char *from = base[i] + (c.offset[i] + at * stride) * tg_itemsize(operand[i]->dtype);
                p[i] = tile[i];
                if (stride == 0) { /* a scalar in this row: one tile of copies serves the whole row */
                    const int64_t room = tg_min64(TG_TILE, it.shape[0]);
                    if (at == 0 && !(filled[i] && it.ndim > 1 && it.strides[i][1] == 0 && it.ndim == 2)) {
                        const char *one = from;
                        _Alignas(16) char element[16];
                        if (operand[i]->dtype != type[i]) {
                            tg_cast_tile(element, type[i], from, operand[i]->dtype, 1);
                            one = element;
                        }
                        tg_load_tile(tile[i], one, 0, (int)tg_itemsize(type[i]), room);
                        filled[i] = 1;
                    }
                } else {
                    p[i] = (char *)tg_view_as(from, operand[i]->dtype, stride, n, type[i], scratch, tile[i]);
                    if (p[i] == scratch) { /* gathered, no cast: the scratch is the next operand's too */
                        memcpy(tile[i], scratch, (size_t)(n * tg_itemsize(type[i])));
                        p[i] = tile[i];
                    }
                }
            }
            char *to = base[0] + (c.offset[0] + at * it.strides[0][0]) * tg_itemsize(out->dtype);
            if (out->dtype == type[0] && it.strides[0][0] == 1) {
                p[0] = to;
                loop(p, n);
            } else {
                p[0] = tile[0];
                loop(p, n);
                tg_store_as(to, out->dtype, it.strides[0][0], n, tile[0], type[0], scratch);
            }
        }
    } while (tg_cursor_next(&c, &it, 1));
    return TG_OK;
}

#endif
