/* Batched matrix products, through BLAS where there is one.
 *
 * BLAS runs on one thread (blas.h): the threads are ours, and so is the cutting. Batches are shared
 * between threads where there are enough of them; else the rows or the columns of the result are. */
#ifndef TG_GEMM_H
#define TG_GEMM_H

#include <stdlib.h>
#include "blas.h"
#include "copy.h"
#include "gemm_loops.h"

/* Up to this many multiplications the plain loops are done before BLAS has looked at its arguments. */
enum { TG_GEMM_SMALL = 512 };
/* From this many on, threads share a product: 10 us on one thread. */
enum { TG_GEMM_PARALLEL_AT = 1 << 19, TG_GEMV_PARALLEL_AT = 1 << 16 };

static tg_matrix tg_matrix_t(tg_matrix x) {
    return (tg_matrix){x.data, x.cols, x.rows, x.cs, x.rs};
}

/* Row-major storage as BLAS knows it: is x (TG_NO_TRANS) or its transpose (TG_TRANS) stored row by
 * row, and with which leading dimension? 0 if neither is. */
static int tg_blas_layout(const tg_matrix *x, int *ld) {
    int64_t rs = x->rs, cs = x->cs;
    if (x->cols == 1) cs = 1; /* the stride of a dimension of size 1 is free */
    if (x->rows == 1 && cs == 1) rs = x->cols;
    else if (x->rows == 1) rs = 1;
    if (cs == 1 && rs >= x->cols && rs <= INT32_MAX) {
        *ld = (int)rs;
        return TG_NO_TRANS;
    }
    if (rs == 1 && cs >= x->rows && cs <= INT32_MAX) {
        *ld = (int)cs;
        return TG_TRANS;
    }
    return 0;
}

static void tg_blas_gemm(const tg_blas *blas, int dtype, int ta, int tb, int m, int n, int k, const char *a, int lda,
                         const char *b, int ldb, double beta, char *c, int ldc) {
    float one_c64[2] = {1, 0}, beta_c64[2] = {(float)beta, 0};
    double one_c128[2] = {1, 0}, beta_c128[2] = {beta, 0};
    switch (dtype) {
    case TG_F32:
        blas->sgemm(TG_ROW_MAJOR, ta, tb, m, n, k, 1, (const float *)a, lda, (const float *)b, ldb, (float)beta, (float *)c, ldc);
        break;
    case TG_F64:
        blas->dgemm(TG_ROW_MAJOR, ta, tb, m, n, k, 1, (const double *)a, lda, (const double *)b, ldb, beta, (double *)c, ldc);
        break;
    case TG_C64:
        blas->cgemm(TG_ROW_MAJOR, ta, tb, m, n, k, one_c64, a, lda, b, ldb, beta_c64, c, ldc);
        break;
    default:
        blas->zgemm(TG_ROW_MAJOR, ta, tb, m, n, k, one_c128, a, lda, b, ldb, beta_c128, c, ldc);
    }
}

/* y = a x + beta y, a being rows x cols after TG_NO_TRANS or TG_TRANS of what is stored. */
static void tg_blas_gemv(const tg_blas *blas, int dtype, int trans, int rows, int cols, const char *a, int lda,
                         const char *x, int incx, double beta, char *y, int incy) {
    float one_c64[2] = {1, 0}, beta_c64[2] = {(float)beta, 0};
    double one_c128[2] = {1, 0}, beta_c128[2] = {beta, 0};
    int m = trans == TG_TRANS ? cols : rows, n = trans == TG_TRANS ? rows : cols;
    switch (dtype) {
    case TG_F32:
        blas->sgemv(TG_ROW_MAJOR, trans, m, n, 1, (const float *)a, lda, (const float *)x, incx, (float)beta, (float *)y, incy);
        break;
    case TG_F64:
        blas->dgemv(TG_ROW_MAJOR, trans, m, n, 1, (const double *)a, lda, (const double *)x, incx, beta, (double *)y, incy);
        break;
    case TG_C64:
        blas->cgemv(TG_ROW_MAJOR, trans, m, n, one_c64, a, lda, x, incx, beta_c64, y, incy);
        break;
    default:
        blas->zgemv(TG_ROW_MAJOR, trans, m, n, one_c128, a, lda, x, incx, beta_c128, y, incy);
    }
}

/* A product that is cut along the rows or the columns of its result. */
typedef struct {
    const tg_blas *blas;
    int dtype, ta, tb, m, n, k, lda, ldb, ldc, by_rows;
    const char *a, *b;
    char *c;
    double beta;
} tg_gemm_job;

static void tg_gemm_part(void *context, int64_t begin, int64_t end) {
    const tg_gemm_job *g = (const tg_gemm_job *)context;
    const int64_t size = tg_itemsize(g->dtype);
    const int count = (int)(end - begin);
    if (g->by_rows)
        tg_blas_gemm(g->blas, g->dtype, g->ta, g->tb, count, g->n, g->k,
                     g->a + begin * (g->ta == TG_NO_TRANS ? g->lda : 1) * size, g->lda, g->b, g->ldb,
                     g->beta, g->c + begin * g->ldc * size, g->ldc);
    else
        tg_blas_gemm(g->blas, g->dtype, g->ta, g->tb, g->m, count, g->k, g->a, g->lda,
                     g->b + begin * (g->tb == TG_NO_TRANS ? 1 : g->ldb) * size, g->ldb,
                     g->beta, g->c + begin * size, g->ldc);
}

/* The same for y = a x: m is the length of y, k of x; lda, ldb and ldc belong to a, x and y. */
static void tg_gemv_part(void *context, int64_t begin, int64_t end) {
    const tg_gemm_job *g = (const tg_gemm_job *)context;
    const int64_t size = tg_itemsize(g->dtype);
    tg_blas_gemv(g->blas, g->dtype, g->ta, (int)(end - begin), g->k,
                 g->a + begin * (g->ta == TG_NO_TRANS ? g->lda : 1) * size, g->lda, g->b, g->ldb,
                 g->beta, g->c + begin * g->ldc * size, g->ldc);
}

/* One part for each thread, of whole tiles of BLAS's kernels. */
static int64_t tg_gemm_grain(int64_t n) {
    const int threads = tg_threads();
    return ((n + threads - 1) / threads + 7) / 8 * 8;
}

static void tg_gemm_shared(const tg_blas *blas, int dtype, int ta, int tb, int m, int n, int k, const char *a, int lda,
                           const char *b, int ldb, double beta, char *c, int ldc) {
    tg_gemm_job g = {blas, dtype, ta, tb, m, n, k, lda, ldb, ldc, m > n, a, b, c, beta};
    const int length = g.by_rows ? m : n;
    if ((int64_t)m * n < TG_GEMM_PARALLEL_AT && (int64_t)m * n * k < TG_GEMM_PARALLEL_AT) tg_gemm_part(&g, 0, length);
    else tg_parallel_for(length, tg_gemm_grain(length), tg_gemm_part, &g);
}

static void tg_gemv_shared(const tg_blas *blas, int dtype, int trans, int rows, int cols, const char *a, int lda,
                           const char *x, int incx, double beta, char *y, int incy) {
    tg_gemm_job g = {blas, dtype, trans, 0, rows, 1, cols, lda, incx, incy, 1, a, x, y, beta};
    if ((int64_t)rows * cols < TG_GEMV_PARALLEL_AT) tg_gemv_part(&g, 0, rows);
    else tg_parallel_for(rows, tg_gemm_grain(rows), tg_gemv_part, &g);
}

/* Without BLAS, by rows. */
typedef struct {
    int dtype, accumulate;
    const tg_matrix *c, *a, *b;
} tg_plain_job;

static void tg_plain_part(void *context, int64_t begin, int64_t end) {
    const tg_plain_job *g = (const tg_plain_job *)context;
    const int64_t size = tg_itemsize(g->dtype);
    tg_matrix c = *g->c, a = *g->a;
    c.rows = a.rows = end - begin;
    c.data += begin * c.rs * size;
    a.data += begin * a.rs * size;
    tg_gemm_plain(g->dtype, &c, &a, g->b, g->accumulate);
}

static void tg_plain_shared(int dtype, const tg_matrix *c, const tg_matrix *a, const tg_matrix *b, int accumulate) {
    tg_plain_job g = {dtype, accumulate, c, a, b};
    const int64_t row = c->cols * (a->cols + 1);
    if (row < TG_GEMV_PARALLEL_AT && c->rows * row < TG_GEMV_PARALLEL_AT) tg_gemm_plain(dtype, c, a, b, accumulate);
    else tg_parallel_for(c->rows, 1 + TG_GEMV_PARALLEL_AT / 4 / row, tg_plain_part, &g);
}

/* A contiguous copy of x as `dtype` in *scratch, which is allocated once and reused. */
static int tg_matrix_pack(tg_matrix *x, int from, int dtype, char **scratch) {
    if (!*scratch) *scratch = (char *)malloc((size_t)(x->rows * x->cols * tg_itemsize(dtype)) + 1);
    if (!*scratch) return TG_NO_MEMORY;
    int64_t shape[2] = {x->rows, x->cols}, strides[2] = {x->rs, x->cs}, packed[2] = {x->cols, 1};
    tg_array src = {x->data, shape, strides, 2, from}, dst = {*scratch, shape, packed, 2, dtype};
    tg_copy(&dst, &src);
    *x = (tg_matrix){*scratch, x->rows, x->cols, x->cols, 1};
    return TG_OK;
}

/* The operands of the product at hand: what they were packed into, and from where. */
typedef struct {
    char *scratch_a, *scratch_b, *scratch_c;
    const char *packed_a, *packed_b;
} tg_gemm_scratch;

static void tg_gemm_scratch_free(tg_gemm_scratch *s) {
    free(s->scratch_a);
    free(s->scratch_b);
    free(s->scratch_c);
}

/* Packs x unless what is packed already came from there (an operand that is broadcast over the batch). */
static int tg_matrix_pack_once(tg_matrix *x, int from, int dtype, char **scratch, const char **packed) {
    if (*packed == x->data) {
        *x = (tg_matrix){*scratch, x->rows, x->cols, x->cols, 1};
        return TG_OK;
    }
    *packed = x->data;
    return tg_matrix_pack(x, from, dtype, scratch);
}

static int tg_gemm_blas(const tg_blas *blas, int dtype, tg_matrix c, tg_matrix a, tg_matrix b, double beta, tg_gemm_scratch *s) {
    int lda = 0, ldb = 0, ldc = 0;
    int ta = tg_blas_layout(&a, &lda), tb = tg_blas_layout(&b, &ldb), tc = tg_blas_layout(&c, &ldc);
    if (!ta && tg_matrix_pack_once(&a, dtype, dtype, &s->scratch_a, &s->packed_a) != TG_OK) return TG_NO_MEMORY;
    if (!tb && tg_matrix_pack_once(&b, dtype, dtype, &s->scratch_b, &s->packed_b) != TG_OK) return TG_NO_MEMORY;
    if (!ta) ta = tg_blas_layout(&a, &lda);
    if (!tb) tb = tg_blas_layout(&b, &ldb);
    if (!ta || !tb || !tc) { /* out is required to have a unit stride, but a wrong answer helps nobody */
        tg_plain_shared(dtype, &c, &a, &b, beta != 0);
        return TG_OK;
    }
    int m = (int)c.rows, n = (int)c.cols, k = (int)a.cols;
    if (n == 1 && b.rs > 0 && b.rs <= INT32_MAX && (m == 1 || (c.rs > 0 && c.rs <= INT32_MAX)))
        tg_gemv_shared(blas, dtype, ta, m, k, a.data, lda, b.data, (int)b.rs, beta, c.data, m == 1 ? 1 : (int)c.rs);
    else if (m == 1 && a.cs > 0 && a.cs <= INT32_MAX && c.cs > 0 && c.cs <= INT32_MAX)
        tg_gemv_shared(blas, dtype, tb == TG_TRANS ? TG_NO_TRANS : TG_TRANS, n, k, b.data, ldb, a.data, (int)a.cs, beta, c.data, (int)c.cs);
    else if (tc == TG_NO_TRANS)
        tg_gemm_shared(blas, dtype, ta, tb, m, n, k, a.data, lda, b.data, ldb, beta, c.data, ldc);
    else /* a single row with a stride */
        tg_gemm_shared(blas, dtype, tb == TG_TRANS ? TG_NO_TRANS : TG_TRANS, ta == TG_TRANS ? TG_NO_TRANS : TG_TRANS,
                     n, m, k, b.data, ldb, a.data, lda, beta, c.data, ldc);
    return TG_OK;
}

static int tg_gemm_one(const tg_blas *blas, int dtype, tg_matrix c, tg_matrix a, tg_matrix b, double beta, tg_gemm_scratch *s) {
    if (dtype == TG_F16 || dtype == TG_BF16) {
        tg_matrix wide = c;
        if (tg_matrix_pack_once(&a, dtype, TG_F32, &s->scratch_a, &s->packed_a) != TG_OK
            || tg_matrix_pack_once(&b, dtype, TG_F32, &s->scratch_b, &s->packed_b) != TG_OK
            || tg_matrix_pack(&wide, dtype, TG_F32, &s->scratch_c) != TG_OK) return TG_NO_MEMORY;
        int status = tg_gemm_one(blas, TG_F32, wide, a, b, beta, s);
        int64_t shape[2] = {c.rows, c.cols}, strides[2] = {c.rs, c.cs}, contiguous[2] = {c.cols, 1};
        tg_array dst = {c.data, shape, strides, 2, dtype}, src = {wide.data, shape, contiguous, 2, TG_F32};
        tg_copy(&dst, &src);
        return status;
    }
    /* Make the rows of out the contiguous ones: (a b)^T = b^T a^T. The choice is the same for every
     * batch, so the scratch keeps its places. */
    if (tg_abs64(c.cs) > tg_abs64(c.rs) && c.rows > 1) {
        tg_matrix at = tg_matrix_t(a);
        c = tg_matrix_t(c);
        a = tg_matrix_t(b);
        b = at;
    }
    int64_t m = c.rows, n = c.cols, k = a.cols;
    int small = m <= TG_GEMM_SMALL && n <= TG_GEMM_SMALL && k <= TG_GEMM_SMALL && m * n * k <= TG_GEMM_SMALL;
    if (!blas || dtype < TG_F32 || small || k == 0 || m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) {
        tg_plain_shared(dtype, &c, &a, &b, beta != 0);
        return TG_OK;
    }
    return tg_gemm_blas(blas, dtype, c, a, b, beta, s);
}

typedef struct {
    const tg_blas *blas;
    const tg_iter *it; /* the batches; operands: out, a, b */
    int32_t cut;
    int dtype, status;
    tg_matrix c, x, y;
    double beta;
} tg_batch_job;

static void tg_batches(void *context, int64_t begin, int64_t end) {
    tg_batch_job *job = (tg_batch_job *)context;
    const int64_t itemsize = tg_itemsize(job->dtype);
    tg_gemm_scratch scratch = {NULL, NULL, NULL, NULL, NULL};
    int status = TG_OK;
    tg_iter it;
    int64_t offset[3];
    tg_iter_narrow(&it, job->it, job->cut, begin, end, offset);
    tg_cursor cursor;
    tg_cursor_init(&cursor, &it);
    do {
        tg_matrix ci = job->c, xi = job->x, yi = job->y;
        ci.data += (offset[0] + cursor.offset[0]) * itemsize;
        xi.data += (offset[1] + cursor.offset[1]) * itemsize;
        yi.data += (offset[2] + cursor.offset[2]) * itemsize;
        status = tg_gemm_one(job->blas, job->dtype, ci, xi, yi, job->beta, &scratch);
    } while (status == TG_OK && tg_cursor_next(&cursor, &it, 0));
    tg_gemm_scratch_free(&scratch);
    if (status != TG_OK) __atomic_store_n(&job->status, status, __ATOMIC_RELAXED);
}

/* The same without batches. */
static int tg_matmul_one(const tg_array *out, const tg_array *a, const tg_array *b, const tg_blas *blas, double beta) {
    const tg_matrix c = {out->data, out->shape[0], out->shape[1], out->strides[0], out->strides[1]};
    const tg_matrix x = {a->data, a->shape[0], a->shape[1], a->strides[0], a->strides[1]};
    const tg_matrix y = {b->data, b->shape[0], b->shape[1], b->strides[0], b->strides[1]};
    if (c.rows == 0 || c.cols == 0 || (x.cols == 0 && beta != 0)) return TG_OK;
    tg_gemm_scratch scratch = {NULL, NULL, NULL, NULL, NULL};
    int status = tg_gemm_one(blas, out->dtype, c, x, y, beta, &scratch);
    tg_gemm_scratch_free(&scratch);
    return status;
}

/* out = a @ b (beta == 0) or out += a @ b (beta == 1), over batches: (..., m, n) from (..., m, k)
 * and (..., k, n), all of one dtype and ndim >= 2, a and b broadcast over the batch already by
 * strides of 0. out has a unit stride in one of its last two dimensions and overlaps nothing. */
static int tg_matmul(const tg_array *out, const tg_array *a, const tg_array *b, const tg_blas *blas, double beta) {
    int32_t last = out->ndim - 1, batch = out->ndim - 2;
    if (batch == 0) return tg_matmul_one(out, a, b, blas, beta);
    tg_matrix c = {out->data, out->shape[batch], out->shape[last], out->strides[batch], out->strides[last]};
    tg_matrix x = {a->data, a->shape[batch], a->shape[last], a->strides[batch], a->strides[last]};
    tg_matrix y = {b->data, b->shape[batch], b->shape[last], b->strides[batch], b->strides[last]};
    /* Batches that share one b and lie row after row are one taller product. */
    while (batch > 0) {
        int64_t size = out->shape[batch - 1];
        if (c.rows == 1) { /* the stride of a single row is free */
            c.rs = out->strides[batch - 1];
            x.rs = a->strides[batch - 1];
        }
        if (size != 1 && (b->strides[batch - 1] != 0 || a->strides[batch - 1] != x.rows * x.rs
                          || out->strides[batch - 1] != c.rows * c.rs)) break;
        c.rows *= size;
        x.rows *= size;
        batch--;
    }
    tg_iter it; /* operands: out, a, b */
    tg_iter_begin(&it, 3);
    for (int32_t d = batch - 1; d >= 0; d--) {
        int64_t strides[3] = {out->strides[d], a->strides[d], b->strides[d]};
        tg_iter_add(&it, out->shape[d], strides);
    }
    tg_iter_finish(&it);
    if (it.numel == 0 || c.rows == 0 || c.cols == 0 || (x.cols == 0 && beta != 0)) return TG_OK;

    tg_batch_job job = {blas, &it, 0, out->dtype, TG_OK, c, x, y, beta};
    job.cut = tg_iter_cut(&it);
    const int64_t length = it.shape[job.cut];
    const double work = (double)c.rows * c.cols * x.cols;
    if (it.numel < tg_threads() || work * it.numel < TG_GEMM_PARALLEL_AT / 2) tg_batches(&job, 0, length);
    else tg_parallel_for(length, tg_iter_grain(&it, job.cut, 1 + (int64_t)(TG_GEMM_PARALLEL_AT / 8 / work)), tg_batches, &job);
    return job.status;
}

#endif
