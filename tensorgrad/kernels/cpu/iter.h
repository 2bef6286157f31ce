/* Walking several strided arrays of one shape at a time. */
#ifndef TG_ITER_H
#define TG_ITER_H

#include "array.h"
#include "thread_pool.h"

#define TG_MAX_OPERANDS 4

/* Fewer elements than this are not worth waking another thread for: about 10 us of memory traffic.
 * A thread takes at least TG_GRAIN of them at a time. */
enum { TG_PARALLEL_AT = 32768, TG_GRAIN = 8192 };

/* Dimension 0 is the innermost. There is always at least one dimension, so that a
 * kernel may write its inner loop without asking; `numel` may be zero. */
typedef struct {
    int32_t ndim;
    int32_t noperands;
    int64_t numel;
    int64_t shape[TG_MAX_DIMS];
    int64_t strides[TG_MAX_OPERANDS][TG_MAX_DIMS];
} tg_iter;

/* Where a walk stands: offsets are in elements, one for each operand. */
typedef struct {
    int64_t offset[TG_MAX_OPERANDS];
    int64_t counter[TG_MAX_DIMS];
} tg_cursor;

static inline int64_t tg_abs64(int64_t x) { return x < 0 ? -x : x; }
static inline int64_t tg_min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Should dimension `a` lie inside dimension `b`? The first operand that moves in both decides. */
static inline int tg_iter_inside(const tg_iter *it, int32_t a, int32_t b) {
    for (int32_t k = 0; k < it->noperands; k++) {
        int64_t sa = tg_abs64(it->strides[k][a]), sb = tg_abs64(it->strides[k][b]);
        if (sa && sb && sa != sb) return sa < sb;
    }
    return 0;
}

static inline void tg_iter_swap(tg_iter *it, int32_t a, int32_t b) {
    int64_t t = it->shape[a];
    it->shape[a] = it->shape[b];
    it->shape[b] = t;
    for (int32_t k = 0; k < it->noperands; k++) {
        t = it->strides[k][a];
        it->strides[k][a] = it->strides[k][b];
        it->strides[k][b] = t;
    }
}

/* Starts an iterator that dimensions are then added to, innermost first. */
static inline void tg_iter_begin(tg_iter *it, int32_t noperands) {
    it->ndim = 0;
    it->noperands = noperands;
    it->numel = 1;
}

static inline void tg_iter_add(tg_iter *it, int64_t size, const int64_t *strides) {
    it->numel *= size;
    if (size == 1) return;
    it->shape[it->ndim] = size;
    for (int32_t k = 0; k < it->noperands; k++) it->strides[k][it->ndim] = strides[k];
    it->ndim++;
}

/* Sorts the dimensions by stride and merges those that one stride can walk. */
static inline void tg_iter_finish(tg_iter *it) {
    for (int32_t i = 1; i < it->ndim; i++)
        for (int32_t j = i; j > 0 && tg_iter_inside(it, j, j - 1); j--) tg_iter_swap(it, j, j - 1);
    int32_t last = 0;
    for (int32_t d = 1; d < it->ndim; d++) {
        int merge = 1;
        for (int32_t k = 0; k < it->noperands; k++)
            merge &= it->strides[k][d] == it->strides[k][last] * it->shape[last];
        if (merge) {
            it->shape[last] *= it->shape[d];
            continue;
        }
        last++;
        it->shape[last] = it->shape[d];
        for (int32_t k = 0; k < it->noperands; k++) it->strides[k][last] = it->strides[k][d];
    }
    if (it->ndim == 0) { /* one element: any stride will do, and 1 takes the contiguous path */
        it->shape[0] = 1;
        for (int32_t k = 0; k < it->noperands; k++) it->strides[k][0] = 1;
    }
    it->ndim = last + 1;
}

/* All operands have the shape of the first one. */
static inline void tg_iter_init(tg_iter *it, int32_t noperands, const tg_array *const *operands) {
    int64_t strides[TG_MAX_OPERANDS];
    tg_iter_begin(it, noperands);
    for (int32_t d = operands[0]->ndim - 1; d >= 0; d--) {
        for (int32_t k = 0; k < noperands; k++) strides[k] = operands[k]->strides[d];
        tg_iter_add(it, operands[0]->shape[d], strides);
    }
    tg_iter_finish(it);
}

static inline void tg_cursor_init(tg_cursor *c, const tg_iter *it) {
    for (int32_t k = 0; k < it->noperands; k++) c->offset[k] = 0;
    for (int32_t d = 0; d < it->ndim; d++) c->counter[d] = 0;
}

/* The odometer over dimensions from..ndim-1; 0 when it has come round:
 *     tg_cursor_init(&c, &it); do { inner loop } while (tg_cursor_next(&c, &it, 1)); */
static inline int tg_cursor_next(tg_cursor *c, const tg_iter *it, int32_t from) {
    for (int32_t d = from; d < it->ndim; d++) {
        for (int32_t k = 0; k < it->noperands; k++) c->offset[k] += it->strides[k][d];
        if (++c->counter[d] < it->shape[d]) return 1;
        for (int32_t k = 0; k < it->noperands; k++) c->offset[k] -= it->strides[k][d] * it->shape[d];
        c->counter[d] = 0;
    }
    return 0;
}

/* Moves the odometer to element `at`, counted in the order of the walk. */
static inline void tg_cursor_seek(tg_cursor *c, const tg_iter *it, int64_t at) {
    for (int32_t k = 0; k < it->noperands; k++) c->offset[k] = 0;
    for (int32_t d = 0; d < it->ndim; d++) {
        c->counter[d] = at % it->shape[d];
        at /= it->shape[d];
        for (int32_t k = 0; k < it->noperands; k++) c->offset[k] += c->counter[d] * it->strides[k][d];
    }
}

/* ---- sharing a walk between threads: one dimension is cut ---- */

/* The outermost dimension that is long enough to be cut, or the longest. */
static inline int32_t tg_iter_cut(const tg_iter *it) {
    int32_t longest = it->ndim - 1;
    for (int32_t d = it->ndim - 1; d >= 0; d--) {
        if (it->shape[d] >= 32) return d;
        if (it->shape[d] > it->shape[longest]) longest = d;
    }
    return longest;
}

/* How much of dimension `dim` is a thread's least share, if `grain` elements are. */
static inline int64_t tg_iter_grain(const tg_iter *it, int32_t dim, int64_t grain) {
    const int64_t slice = it->numel / it->shape[dim];
    return slice >= grain ? 1 : grain / (slice > 0 ? slice : 1);
}

/* How many of `n` columns a thread takes at a time: long rows, and a share for each. */
static int64_t tg_column_grain(int64_t n) {
    const int64_t share = (n / tg_threads() + 31) / 16 * 16;
    return share < 64 ? 64 : tg_min64(share, 1024);
}

/* The walk over begin..end-1 of dimension `dim`, which starts `offset` elements into each operand. */
static inline void tg_iter_narrow(tg_iter *part, const tg_iter *it, int32_t dim, int64_t begin, int64_t end, int64_t *offset) {
    part->ndim = it->ndim;
    part->noperands = it->noperands;
    for (int32_t d = 0; d < it->ndim; d++) part->shape[d] = it->shape[d];
    for (int32_t k = 0; k < it->noperands; k++) {
        for (int32_t d = 0; d < it->ndim; d++) part->strides[k][d] = it->strides[k][d];
        offset[k] = begin * it->strides[k][dim];
    }
    part->numel = it->numel / it->shape[dim] * (end - begin);
    part->shape[dim] = end - begin;
}

#endif
