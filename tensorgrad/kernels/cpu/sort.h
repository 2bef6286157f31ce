/* Stable sorting with the positions that elements came from. */
#ifndef TG_SORT_H
#define TG_SORT_H

#include <stdlib.h>
#include "copy.h"

/* Every dtype is mapped to unsigned keys in the order wanted, so that one sort serves all:
 * NaN is the largest, -0 equals 0, and a descending order is the complement. */
static inline uint32_t tg_key_f32(float x) {
    union { float f; uint32_t u; } v = {x};
    if (x != x) return UINT32_MAX;
    if (x == 0) return (uint32_t)1 << 31;
    return v.u >> 31 ? ~v.u : v.u | (uint32_t)1 << 31;
}

static inline uint64_t tg_key_f64(double x) {
    union { double f; uint64_t u; } v = {x};
    if (x != x) return UINT64_MAX;
    if (x == 0) return (uint64_t)1 << 63;
    return v.u >> 63 ? ~v.u : v.u | (uint64_t)1 << 63;
}

/* Short lanes by insertion; the others by radix, a byte of the key at a time, skipping the bytes
 * in which all keys agree. The result may be in `a` or in `b`: returns which. */
#define TG_SORT_PAIRS(NAME, KEY)                                                                   \
    typedef struct { KEY key, at; } tg_pair_##NAME;                                                \
    static tg_pair_##NAME *tg_sort_##NAME(tg_pair_##NAME *a, tg_pair_##NAME *b, int64_t n) {       \
        enum { BYTES = sizeof(KEY) };                                                              \
        if (n <= 48) {                                                                             \
            for (int64_t i = 1; i < n; i++) {                                                      \
                tg_pair_##NAME x = a[i];                                                           \
                int64_t j = i;                                                                     \
                for (; j > 0 && a[j - 1].key > x.key; j--) a[j] = a[j - 1];                        \
                a[j] = x;                                                                          \
            }                                                                                      \
            return a;                                                                              \
        }                                                                                          \
        int64_t count[BYTES][256];                                                                 \
        memset(count, 0, sizeof count);                                                            \
        for (int64_t i = 0; i < n; i++)                                                            \
            for (int k = 0; k < BYTES; k++) count[k][a[i].key >> 8 * k & 255]++;                   \
        for (int k = 0; k < BYTES; k++) {                                                          \
            if (count[k][a[0].key >> 8 * k & 255] == n) continue;                                  \
            int64_t start = 0;                                                                     \
            for (int v = 0; v < 256; v++) {                                                        \
                int64_t c = count[k][v];                                                           \
                count[k][v] = start;                                                               \
                start += c;                                                                        \
            }                                                                                      \
            for (int64_t i = 0; i < n; i++) b[count[k][a[i].key >> 8 * k & 255]++] = a[i];         \
            tg_pair_##NAME *t = a;                                                                 \
            a = b;                                                                                 \
            b = t;                                                                                 \
        }                                                                                          \
        return a;                                                                                  \
    }

TG_SORT_PAIRS(narrow, uint32_t)
TG_SORT_PAIRS(wide, uint64_t)

#define TG_MAKE_KEYS(PAIR, T, EXPR) do {                                                           \
        const T *lane = (const T *)in;                                                             \
        PAIR *p = (PAIR *)pairs;                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            T x = lane[i * stride];                                                                \
            p[i].key = (EXPR);                                                                     \
            p[i].at = i;                                                                           \
        }                                                                                          \
        if (descending) for (int64_t i = 0; i < n; i++) p[i].key = ~p[i].key;                      \
    } while (0)
#define TG_NARROW_KEYS(T, EXPR) TG_MAKE_KEYS(tg_pair_narrow, T, EXPR); break
#define TG_WIDE_KEYS(T, EXPR) TG_MAKE_KEYS(tg_pair_wide, T, EXPR); break

static void tg_sort_keys(void *pairs, const char *in, int dtype, int64_t stride, int64_t n, int descending) {
    const uint32_t top = (uint32_t)1 << 31;
    switch (dtype) {
    case TG_BOOL: case TG_U8: TG_NARROW_KEYS(uint8_t, x);
    case TG_I8: TG_NARROW_KEYS(int8_t, (uint32_t)x ^ top);
    case TG_I16: TG_NARROW_KEYS(int16_t, (uint32_t)x ^ top);
    case TG_U16: TG_NARROW_KEYS(uint16_t, x);
    case TG_I32: TG_NARROW_KEYS(int32_t, (uint32_t)x ^ top);
    case TG_U32: TG_NARROW_KEYS(uint32_t, x);
    case TG_F16: TG_NARROW_KEYS(uint16_t, tg_key_f32(tg_half_to_float(x)));
    case TG_BF16: TG_NARROW_KEYS(uint16_t, tg_key_f32(tg_bf16_to_float(x)));
    case TG_F32: TG_NARROW_KEYS(float, tg_key_f32(x));
    case TG_I64: TG_WIDE_KEYS(int64_t, (uint64_t)x ^ (uint64_t)1 << 63);
    case TG_U64: TG_WIDE_KEYS(uint64_t, x);
    default: TG_WIDE_KEYS(double, tg_key_f64(x));
    }
}

#undef TG_MAKE_KEYS
#undef TG_NARROW_KEYS
#undef TG_WIDE_KEYS

typedef struct {
    const tg_array *values, *indices, *in;
    int dim, descending;
    const tg_iter *lanes; /* operands: values, indices, in */
    int32_t cut;
    int status;
} tg_sort_job;

static void tg_sort_lanes(void *context, int64_t begin, int64_t end) {
    tg_sort_job *job = (tg_sort_job *)context;
    const tg_array *values = job->values, *indices = job->indices, *in = job->in;
    const int dim = job->dim, dtype = in->dtype, itemsize = (int)tg_itemsize(dtype);
    const int64_t n = in->shape[dim], stride = in->strides[dim];
    const int wide = dtype == TG_I64 || dtype == TG_U64 || dtype == TG_F64;
    const size_t half = (size_t)n * (wide ? sizeof(tg_pair_wide) : sizeof(tg_pair_narrow));
    char *scratch = (char *)malloc(2 * half + (size_t)n * (size_t)(8 + itemsize));
    if (!scratch) {
        __atomic_store_n(&job->status, TG_NO_MEMORY, __ATOMIC_RELAXED);
        return;
    }
    int64_t *order = (int64_t *)(scratch + 2 * half), offset[3];
    char *sorted = (char *)(order + n);
    tg_iter lanes;
    tg_iter_narrow(&lanes, job->lanes, job->cut, begin, end, offset);
    tg_cursor c;
    tg_cursor_init(&c, &lanes);
    do {
        const char *lane = in->data + (offset[2] + c.offset[2]) * itemsize;
        tg_sort_keys(scratch, lane, dtype, stride, n, job->descending);
        if (wide) {
            tg_pair_wide *p = tg_sort_wide((tg_pair_wide *)scratch, (tg_pair_wide *)(scratch + half), n);
            for (int64_t i = 0; i < n; i++) order[i] = (int64_t)p[i].at;
        } else {
            tg_pair_narrow *p = tg_sort_narrow((tg_pair_narrow *)scratch, (tg_pair_narrow *)(scratch + half), n);
            for (int64_t i = 0; i < n; i++) order[i] = p[i].at;
        }
        /* The values are fetched by position: a key has forgotten the sign of zero and NaN's bits. */
#define TG_FETCH(W) for (int64_t i = 0; i < n; i++) ((W *)sorted)[i] = ((const W *)lane)[order[i] * stride]
        TG_BY_ITEMSIZE(itemsize, TG_FETCH)
#undef TG_FETCH
        tg_store_tile(values->data + (offset[0] + c.offset[0]) * itemsize, values->strides[dim], sorted, itemsize, n);
        tg_store_tile(indices->data + (offset[1] + c.offset[1]) * 8, indices->strides[dim], (const char *)order, 8, n);
    } while (tg_cursor_next(&c, &lanes, 0));
    free(scratch);
}

/* Sorts the lanes of `in` along `dim` into values and indices (int64), both of in's shape;
 * values may be in. `stable` is always granted. */
static int tg_sort(const tg_array *values, const tg_array *indices, const tg_array *in, int dim,
                   int descending, int stable) {
    enum { PARALLEL_AT = 4096, GRAIN = 2048 }; /* an element costs some ten times a sum's */
    (void)stable;
    if (in->dtype == TG_C64 || in->dtype == TG_C128) return TG_NO_KERNEL;
    tg_iter lanes;
    tg_iter_begin(&lanes, 3);
    for (int32_t d = in->ndim - 1; d >= 0; d--) {
        int64_t strides[3] = {values->strides[d], indices->strides[d], in->strides[d]};
        if (d != dim) tg_iter_add(&lanes, in->shape[d], strides);
    }
    tg_iter_finish(&lanes);
    const int64_t n = in->shape[dim];
    if (lanes.numel == 0 || n == 0) return TG_OK;
    const int wide = in->dtype == TG_I64 || in->dtype == TG_U64 || in->dtype == TG_F64;
    if (!wide && n > (int64_t)UINT32_MAX) return TG_NO_MEMORY; /* positions would not fit */
    tg_sort_job job = {values, indices, in, dim, descending, &lanes, tg_iter_cut(&lanes), TG_OK};
    const int64_t length = lanes.shape[job.cut];
    if (lanes.numel * n < PARALLEL_AT) tg_sort_lanes(&job, 0, length);
    else tg_parallel_for(length, tg_iter_grain(&lanes, job.cut, 1 + GRAIN / n), tg_sort_lanes, &job);
    return job.status;
}

#endif
