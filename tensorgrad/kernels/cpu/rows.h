/* Rows of a tensor at index tensors, and the places of a mask's true elements: the usual cases of x[index] in one loop. */
#ifndef TG_ROWS_H
#define TG_ROWS_H

#include <stdint.h>
#include <string.h>

enum { TG_MAX_INDICES = 8 };

/* For each of `n` places an index into each of `count` leading dimensions. */
typedef struct {
    int count;
    int64_t n;
    const int64_t *at[TG_MAX_INDICES];
    int64_t step[TG_MAX_INDICES], size[TG_MAX_INDICES], stride[TG_MAX_INDICES];
    int bad_dim;                /* where an index is out of range, its dimension and value */
    int64_t bad;
} tg_places;

/* Where row `i` begins, in units of the strides; negative for an index out of range. */
static inline int64_t tg_place(tg_places *p, int64_t i) {
    int64_t place = 0;
    for (int d = 0; d < p->count; d++) {
        int64_t k = p->at[d][i * p->step[d]];
        const int64_t size = p->size[d];
        if (k < -size || k >= size) {
            p->bad_dim = d;
            p->bad = k;
            return -1;
        }
        place += (k < 0 ? k + size : k) * p->stride[d];
    }
    return place;
}

#define TG_TAKE(COPY)                                                                                   \
    for (int64_t i = 0; i < p->n; i++) {                                                                \
        const int64_t place = tg_place(p, i);                                                           \
        if (place < 0) return 1;                                                                        \
        COPY;                                                                                           \
    }

/* Strides in bytes. Returns 1 if an index is out of range. */
static int tg_take_rows(tg_places *p, char *out, const char *x, int64_t bytes) {
    if (bytes == 4) { TG_TAKE(memcpy(out + i * 4, x + place, 4)) }
    else if (bytes == 8) { TG_TAKE(memcpy(out + i * 8, x + place, 8)) }
    else { TG_TAKE(memcpy(out + i * bytes, x + place, bytes)) }
    return 0;
}

/* Strides in elements: rows of `x` added where they were taken from. */
static int tg_add_rows_f32(tg_places *p, float *out, const float *x, int64_t row) {
    TG_TAKE(for (int64_t j = 0; j < row; j++) out[place + j] += x[i * row + j])
    return 0;
}
static int tg_add_rows_f64(tg_places *p, double *out, const double *x, int64_t row) {
    TG_TAKE(for (int64_t j = 0; j < row; j++) out[place + j] += x[i * row + j])
    return 0;
}

static int64_t tg_count_true(const uint8_t *mask, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += mask[i] != 0;
    return count;
}

/* The indices of the true elements of a packed mask: a column for each dimension, whose elements are `step` apart. */
static void tg_true_places(const uint8_t *mask, int ndim, const int64_t *shape, int64_t n, int64_t **columns, int64_t step) {
    int64_t at[64] = {0}, k = 0;
    for (int64_t i = 0; i < n; i++) {
        if (mask[i]) {
            for (int d = 0; d < ndim; d++) columns[d][k * step] = at[d];
            k++;
        }
        for (int d = ndim - 1; d >= 0; d--) {
            if (++at[d] < shape[d]) break;
            at[d] = 0;
        }
    }
}
#endif
