/* A CBLAS with 32-bit integers, opened by path at run time. */
#ifndef TG_BLAS_H
#define TG_BLAS_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TG_ROW_MAJOR = 101, TG_NO_TRANS = 111, TG_TRANS = 112 }; /* CBLAS's own numbers */

typedef struct {
    void *handle;
    void (*sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
    void (*dgemm)(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
    void (*cgemm)(int, int, int, int, int, int, const void *, const void *, int, const void *, int, const void *, void *, int);
    void (*zgemm)(int, int, int, int, int, int, const void *, const void *, int, const void *, int, const void *, void *, int);
    void (*sgemv)(int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
    void (*dgemv)(int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
    void (*cgemv)(int, int, int, int, const void *, const void *, int, const void *, int, const void *, void *, int);
    void (*zgemv)(int, int, int, int, const void *, const void *, int, const void *, int, const void *, void *, int);
    void (*set_num_threads)(int); /* OpenBLAS's; NULL in another library */
    int (*get_num_threads)(void);
} tg_blas;

static int tg_blas_symbol(void *handle, void *slot, const char *prefix, const char *name, const char *suffix) {
    char symbol[128];
    snprintf(symbol, sizeof symbol, "%s%s%s", prefix, name, suffix);
    void *address = dlsym(handle, symbol);
    memcpy(slot, &address, sizeof address); /* ISO C has no cast from a data to a function pointer */
    return address != NULL;
}

/* NULL if the library does not open or lacks one of the routines; otherwise it stays open for good.
 * Symbols are named prefix + "cblas_sgemm" + suffix, e.g. "scipy_" and "" for scipy-openblas32. */
static const tg_blas *tg_blas_open(const char *path, const char *prefix, const char *suffix) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return NULL;
    tg_blas *blas = (tg_blas *)calloc(1, sizeof *blas);
    if (!blas) {
        dlclose(handle);
        return NULL;
    }
    blas->handle = handle;
    int ok = 1;
    ok &= tg_blas_symbol(handle, &blas->sgemm, prefix, "cblas_sgemm", suffix);
    ok &= tg_blas_symbol(handle, &blas->dgemm, prefix, "cblas_dgemm", suffix);
    ok &= tg_blas_symbol(handle, &blas->cgemm, prefix, "cblas_cgemm", suffix);
    ok &= tg_blas_symbol(handle, &blas->zgemm, prefix, "cblas_zgemm", suffix);
    ok &= tg_blas_symbol(handle, &blas->sgemv, prefix, "cblas_sgemv", suffix);
    ok &= tg_blas_symbol(handle, &blas->dgemv, prefix, "cblas_dgemv", suffix);
    ok &= tg_blas_symbol(handle, &blas->cgemv, prefix, "cblas_cgemv", suffix);
    ok &= tg_blas_symbol(handle, &blas->zgemv, prefix, "cblas_zgemv", suffix);
    tg_blas_symbol(handle, &blas->set_num_threads, prefix, "openblas_set_num_threads", suffix);
    tg_blas_symbol(handle, &blas->get_num_threads, prefix, "openblas_get_num_threads", suffix);
    /* The threads are ours (gemm.h): OpenBLAS lets one threaded product run at a time, and would run
     * beside the pool's threads with as many of its own. */
    if (blas->set_num_threads) blas->set_num_threads(1);
    if (ok) return blas;
    dlclose(handle);
    free(blas);
    return NULL;
}

#endif
