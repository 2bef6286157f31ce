/* The kernels that a device must have, as the CPU offers them: a table of C functions.
 *
 * A plugin offers the same set as methods of a Python object (tensorgrad.devices.Backend). Every
 * operator is written once over this set, in _core/primitives.
 */
#ifndef TG_KERNEL_TABLE_H
#define TG_KERNEL_TABLE_H

#include "array.h"
#include "simd_levels.h"

/* p[0] is the output, p[1..] the inputs; all contiguous, of the loop's own types, n elements long. */
typedef void (*tg_loop)(char **p, int64_t n);

#define TG_MAX_INPUTS 3

/* An elementwise kernel: for each instruction set (simd.h) one loop per compute type. `expr` is the source of the loop's body in
 * terms of x, y, z, from which a plugin generates its own kernel. */
typedef struct {
    const char *name, *expr;
    int8_t n_inputs;
    int8_t bool_output;  /* a comparison: the output is bool whatever the inputs are */
    int8_t bool_first;   /* where: the first input is bool */
    int8_t real_output;  /* abs, angle: a complex input gives a real output */
    tg_loop loop[TG_SIMD_LEVELS][TG_NDTYPES];
} tg_kernel;

enum { TG_UNIFORM, TG_NORMAL, TG_RANDINT, TG_BERNOULLI, TG_EXPONENTIAL };

typedef struct {
    int (*pointwise)(const tg_kernel *k, int dtype, const tg_array *out, const tg_array *in);
    /* The loop for small operands that are contiguous, of one shape and all of this dtype; NULL where there is none. */
    tg_loop (*plain_loop)(const tg_kernel *k, int dtype);
    int (*copy)(const tg_array *dst, const tg_array *src);
    int (*fill)(const tg_array *dst, const char *value);
    int (*reduce)(int op, const tg_array *out, const tg_array *in);
    int (*argreduce)(int is_max, const tg_array *out, const tg_array *in, int dim);
    int (*scan)(int op, const tg_array *out, const tg_array *in, int dim);
    int (*sort)(const tg_array *values, const tg_array *indices, const tg_array *in, int dim, int descending, int stable);
    int (*gather)(const tg_array *out, const tg_array *in, int dim, const tg_array *index, int64_t *bad);
    int (*scatter)(const tg_array *out, int dim, const tg_array *index, const tg_array *src, int mode, int64_t *bad);
    int (*matmul)(const tg_array *out, const tg_array *a, const tg_array *b, double beta);
    int (*random)(int kind, const tg_array *out, uint64_t seed, uint64_t offset, double p0, double p1,
                  int64_t lo, uint64_t range);
    int (*randperm)(const tg_array *out, uint64_t seed, uint64_t offset);
    int (*arange)(const tg_array *out, double start, double step);
} tg_kernel_table;

#endif
