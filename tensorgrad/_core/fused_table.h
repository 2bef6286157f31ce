/* Fused kernels that a device may have: every operator is complete without them, by decomposition.
 *
 * Their arrays are contiguous and of float or double (convolutions: complex numbers too), in three
 * parts where a dimension is reduced: `outer` rows of `n` elements that lie `inner` apart.
 */
#ifndef TG_FUSED_TABLE_H
#define TG_FUSED_TABLE_H

#include <stdint.h>

/* A convolution's geometry; missing dimensions have size 1. x: (batch, groups * in_channels, in...),
 * y: (batch, groups * out_channels, out...), w: (groups * out_channels, in_channels, kernel...). */
typedef struct {
    int64_t batch, groups, in_channels, out_channels;
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    int32_t dtype;
} tg_conv;

/* Windows of a pooling, dimension by dimension: window o of dimension d begins at start[d][o] and has
 * count[d][o] elements that lie step[d] apart; `divisor` is a mean's share of that dimension. */
typedef struct {
    int64_t planes, in[3], out[3], step[3];
    const int64_t *start[3], *count[3];
    const double *divisor[3];
    int32_t dtype;
} tg_windows;

/* Class targets: what a row counts is its class's weight; an ignored one counts nothing. */
typedef struct {
    const int64_t *target;
    const char *weight; /* NULL: ones */
    int64_t ignore_index;
    double smoothing;
    int64_t outer, n, inner;
    int32_t dtype;
} tg_classes;

typedef struct tg_fused_table {
    int (*softmax)(int logarithm, int dtype, char *out, const char *x, int64_t outer, int64_t n, int64_t inner);
    int (*softmax_backward)(int logarithm, int dtype, char *out, const char *grad, const char *y,
                            int64_t outer, int64_t n, int64_t inner);
    /* loss and counts of each target, and the logarithm of each sum of exponentials */
    int (*cross_entropy)(const tg_classes *c, char *loss, char *counts, char *lse, const char *x, int64_t *bad);
    int (*cross_entropy_backward)(const tg_classes *c, char *out, const char *grad, int64_t grad_stride,
                                  const char *x, const char *lse);
    int (*layer_norm)(int dtype, char *out, char *mean, char *rstd, const char *x, const char *weight, const char *bias,
                      int64_t rows, int64_t n, double eps);
    /* dx, dweight and dbias may each be NULL */
    int (*layer_norm_backward)(int dtype, char *dx, char *dweight, char *dbias, const char *grad, const char *x,
                               const char *mean, const char *rstd, const char *weight, int64_t rows, int64_t n);
    int (*conv)(const tg_conv *c, char *y, const char *x, const char *w, const char *bias);
    int (*conv_input)(const tg_conv *c, char *x, const char *y, const char *w, const char *bias);
    int (*conv_weight)(const tg_conv *c, char *w, const char *y, const char *x);
    int (*max_pool)(const tg_windows *p, char *out, int64_t *indices, const char *x);
    int (*max_pool_backward)(int dtype, int64_t planes, int64_t size, int64_t pooled, char *out, const char *grad,
                             const int64_t *indices);
    int (*avg_pool)(const tg_windows *p, char *out, const char *x);
    int (*avg_pool_backward)(const tg_windows *p, char *out, const char *grad);
} tg_fused_table;

#endif
