/* Softmax and the cross entropy of classes for one type: included by softmax.h for float and double.
 *
 * T is the type, TG_OF(name) the name of a function for it, TG_EXP, TG_EXP_DOWN (of what is
 * not positive) and TG_LOG its exponential and logarithm, TG_BITS the integer of its size.
 */

enum { TG_OF(TG_ROW_TILE) = 512, TG_OF(TG_ROW_LANES) = 64 / sizeof(T), TG_OF(TG_INNER_TILE) = 128 };
#define TILE TG_OF(TG_ROW_TILE)
#define LANES TG_OF(TG_ROW_LANES)
#define INNER TG_OF(TG_INNER_TILE)

/* The largest element; what is not a number may be passed over, the sum of exponentials finds it. */
static inline __attribute__((always_inline)) T TG_OF(tg_row_max)(const T *x, int64_t n) {
    /* Written with vectors: as a loop over lanes GCC leaves it scalar. */
    typedef T lanes_t __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    typedef TG_BITS bits_t __attribute__((vector_size(64)));
    T best = x[0];
    int64_t i = 0;
    if (n >= LANES) {
        lanes_t top = *(const lanes_t *)x;
        for (i = LANES; i + LANES <= n; i += LANES) {
            lanes_t v = *(const lanes_t *)(x + i);
            bits_t larger = (bits_t)(v > top);
            top = (lanes_t)(((bits_t)v & larger) | ((bits_t)top & ~larger));
        }
        for (int l = 0; l < LANES; l++) best = top[l] > best ? top[l] : best;
    }
    for (; i < n; i++) best = x[i] > best ? x[i] : best;
    return best;
}

/* Sums of TERM over a row, where v is what VECTOR or the element at `at` gives: in four vectors, since each addition waits for
 * the one before it, then in one, then element by element. */
#define TG_ROW_TOTAL(TERM, VECTOR, ELEMENT)                                                        \
    typedef T lanes_t __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));             \
    T sum = 0;                                                                                     \
    int64_t at = 0;                                                                                \
    if (n >= LANES) {                                                                              \
        lanes_t a = {0}, b = {0}, c = {0}, d = {0}, v;                                             \
        for (; at + 4 * LANES <= n; at += LANES) {                                                 \
            v = VECTOR; a += TERM; at += LANES;                                                    \
            v = VECTOR; b += TERM; at += LANES;                                                    \
            v = VECTOR; c += TERM; at += LANES;                                                    \
            v = VECTOR; d += TERM;                                                                 \
        }                                                                                          \
        for (; at + LANES <= n; at += LANES) { v = VECTOR; a += TERM; }                            \
        a = (a + b) + (c + d);                                                                     \
        T lanes[LANES];                                                                            \
        memcpy(lanes, &a, sizeof lanes);                                                           \
        for (int w = LANES / 2; w > 0; w /= 2)                                                     \
            for (int l = 0; l < w; l++) lanes[l] += lanes[l + w];                                  \
        sum = lanes[0];                                                                            \
    }                                                                                              \
    for (; at < n; at++) { const T v = ELEMENT; sum += TERM; }                                     \
    return sum;

static inline __attribute__((always_inline)) T TG_OF(tg_row_sum)(const T *x, int64_t n) {
    TG_ROW_TOTAL(v, *(const lanes_t *)(x + at), x[at])
}

static inline __attribute__((always_inline)) T TG_OF(tg_row_dot)(const T *x, const T *y, int64_t n) {
    TG_ROW_TOTAL(v, *(const lanes_t *)(x + at) * *(const lanes_t *)(y + at), x[at] * y[at])
}

/* The sum of (x - shift)^2. */
static inline __attribute__((always_inline)) T TG_OF(tg_row_squares)(const T *x, int64_t n, T shift) {
    TG_ROW_TOTAL(v * v, *(const lanes_t *)(x + at) - shift, x[at] - shift)
}
#undef TG_ROW_TOTAL

/* The sum of exp(x - shift); the exponentials are left in `e` unless it is NULL. */
static inline __attribute__((always_inline)) T TG_OF(tg_row_exp_sum)(T *e, const T *x, int64_t n, T shift) {
    T sum = 0, tile[TILE];
    for (int64_t i = 0; i < n; i += TILE) {
        int64_t m = n - i < TILE ? n - i : TILE;
        T *restrict out = e ? e + i : tile;
        const T *restrict in = x + i;
        for (int64_t j = 0; j < m; j++) out[j] = TG_EXP_DOWN(in[j] - shift);
        sum += TG_OF(tg_row_sum)(out, m);
    }
    return sum;
}

TG_CLONES static void TG_OF(tg_softmax_rows)(int logarithm, T *restrict out, const T *restrict in, int64_t begin, int64_t end, int64_t n) {
    for (int64_t row = begin; row < end; row++) {
        const T *restrict x = in + row * n;
        T *restrict y = out + row * n;
        T top = TG_OF(tg_row_max)(x, n);
        T sum = TG_OF(tg_row_exp_sum)(logarithm ? NULL : y, x, n, top);
        if (logarithm) {
            T shift = TG_LOG(sum);
            for (int64_t i = 0; i < n; i++) y[i] = x[i] - top - shift;
        } else {
            T scale = 1 / sum;
            for (int64_t i = 0; i < n; i++) y[i] *= scale;
        }
    }
}

/* The largest elements of `m` columns, and the sums of their exponentials. */
static inline __attribute__((always_inline)) void TG_OF(tg_column_sums)(T *restrict top, T *restrict sum, T *restrict e, const T *restrict x,
                                                                        int64_t n, int64_t inner, int64_t m) {
    for (int64_t j = 0; j < m; j++) top[j] = x[j], sum[j] = 0;
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = 0; j < m; j++) top[j] = x[i * inner + j] > top[j] ? x[i * inner + j] : top[j];
    for (int64_t i = 0; i < n; i++) {
        if (e)
            for (int64_t j = 0; j < m; j++) {
                T v = TG_EXP_DOWN(x[i * inner + j] - top[j]);
                e[i * inner + j] = v;
                sum[j] += v;
            }
        else
            for (int64_t j = 0; j < m; j++) sum[j] += TG_EXP_DOWN(x[i * inner + j] - top[j]);
    }
}

/* The columns' part begin..end counts tiles of at most INNER columns, row by row: threads may share one row. */
#define TG_COLUMN_TILES(BODY)                                                                                    \
    const int64_t tiles = (inner + INNER - 1) / INNER;                                                           \
    for (int64_t unit = begin; unit < end; unit++) {                                                             \
        const int64_t j0 = unit % tiles * INNER, m = inner - j0 < INNER ? inner - j0 : INNER;                    \
        const int64_t at = unit / tiles * n * inner + j0;                                                        \
        BODY                                                                                                     \
    }

TG_CLONES static void TG_OF(tg_softmax_columns)(int logarithm, T *restrict out, const T *restrict in, int64_t begin, int64_t end, int64_t n,
                                                int64_t inner) {
    T top[INNER], sum[INNER];
    TG_COLUMN_TILES(
        const T *restrict x = in + at;
        T *restrict y = out + at;
        TG_OF(tg_column_sums)(top, sum, logarithm ? NULL : y, x, n, inner, m);
        if (logarithm) {
            for (int64_t j = 0; j < m; j++) sum[j] = TG_LOG(sum[j]);
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < m; j++) y[i * inner + j] = x[i * inner + j] - top[j] - sum[j];
        } else {
            for (int64_t j = 0; j < m; j++) sum[j] = 1 / sum[j];
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < m; j++) y[i * inner + j] *= sum[j];
        })
}

/* y (g - sum(g y)), or g - exp(y) sum(g) from the logarithm. */
TG_CLONES static void TG_OF(tg_softmax_backward_rows)(int logarithm, T *restrict out, const T *restrict grad, const T *restrict output,
                                                      int64_t begin, int64_t end, int64_t n) {
    for (int64_t row = begin; row < end; row++) {
        const T *restrict g = grad + row * n, *restrict y = output + row * n;
        T *restrict d = out + row * n;
        if (logarithm) {
            T sum = TG_OF(tg_row_sum)(g, n);
            for (int64_t i = 0; i < n; i++) d[i] = g[i] - TG_EXP(y[i]) * sum;
        } else {
            T sum = TG_OF(tg_row_dot)(g, y, n);
            for (int64_t i = 0; i < n; i++) d[i] = y[i] * (g[i] - sum);
        }
    }
}

TG_CLONES static void TG_OF(tg_softmax_backward_columns)(int logarithm, T *restrict out, const T *restrict grad, const T *restrict output,
                                                         int64_t begin, int64_t end, int64_t n, int64_t inner) {
    T sum[INNER];
    TG_COLUMN_TILES(
        const T *restrict g = grad + at;
        const T *restrict y = output + at;
        T *restrict d = out + at;
        for (int64_t j = 0; j < m; j++) sum[j] = 0;
        for (int64_t i = 0; i < n; i++) {
            if (logarithm)
                for (int64_t j = 0; j < m; j++) sum[j] += g[i * inner + j];
            else
                for (int64_t j = 0; j < m; j++) sum[j] += g[i * inner + j] * y[i * inner + j];
        }
        for (int64_t i = 0; i < n; i++) {
            if (logarithm)
                for (int64_t j = 0; j < m; j++) d[i * inner + j] = g[i * inner + j] - TG_EXP(y[i * inner + j]) * sum[j];
            else
                for (int64_t j = 0; j < m; j++) d[i * inner + j] = y[i * inner + j] * (g[i * inner + j] - sum[j]);
        })
}
#undef TG_COLUMN_TILES

/* lse = log(sum(exp(x))) of each row or column. */
TG_CLONES static void TG_OF(tg_log_sums)(T *restrict lse, const T *restrict in, int64_t begin, int64_t end, int64_t n, int64_t inner) {
    T top[INNER], sum[INNER];
    for (int64_t row = begin; row < end; row++) {
        if (inner == 1) {
            const T *restrict x = in + row * n;
            T best = TG_OF(tg_row_max)(x, n);
            lse[row] = best + TG_LOG(TG_OF(tg_row_exp_sum)(NULL, x, n, best));
            continue;
        }
        for (int64_t j0 = 0; j0 < inner; j0 += INNER) {
            int64_t m = inner - j0 < INNER ? inner - j0 : INNER;
            TG_OF(tg_column_sums)(top, sum, NULL, in + row * n * inner + j0, n, inner, m);
            for (int64_t j = 0; j < m; j++) lse[row * inner + j0 + j] = top[j] + TG_LOG(sum[j]);
        }
    }
}

/* loss = (1 - s) w_t (lse - x_t) + s / n sum_c w_c (lse - x_c), s being the smoothing. */
static int TG_OF(tg_cross_entropy)(const tg_classes *c, T *loss, T *counts, T *lse, const T *x, int64_t begin, int64_t end, int64_t *bad) {
    const T *weight = (const T *)c->weight;
    int64_t n = c->n, inner = c->inner;
    T kept = (T)(1 - c->smoothing), spread = (T)(c->smoothing / (double)n), total = 0;
    for (int64_t k = 0; k < n; k++) total += weight ? weight[k] : 1;
    TG_OF(tg_log_sums)(lse, x, begin, end, n, inner);
    for (int64_t at = begin * inner; at < end * inner; at++) {
        int64_t t = c->target[at], row = at / inner, column = at - row * inner;
        const T *p = x + row * n * inner + column;
        loss[at] = counts[at] = 0;
        if (t == c->ignore_index) continue;
        if (t < 0 || t >= n) {
            *bad = t;
            return TG_BAD_INDEX;
        }
        T w = weight ? weight[t] : 1;
        counts[at] = w;
        loss[at] = kept * w * (lse[at] - p[t * inner]);
        if (spread != 0) {
            T sum = 0;
            for (int64_t k = 0; k < n; k++) sum += (weight ? weight[k] : 1) * p[k * inner];
            loss[at] += spread * (total * lse[at] - sum);
        }
    }
    return TG_OK;
}

TG_CLONES static void TG_OF(tg_cross_entropy_backward)(const tg_classes *c, T *restrict out, const T *restrict grad, int64_t grad_stride,
                                                       const T *restrict in, const T *restrict lse, int64_t begin, int64_t end) {
    const T *restrict weight = (const T *)c->weight;
    int64_t n = c->n, inner = c->inner;
    T kept = (T)(1 - c->smoothing), spread = (T)(c->smoothing / (double)n), total = 0;
    for (int64_t k = 0; k < n; k++) total += weight ? weight[k] : 1;
    for (int64_t at = begin * inner; at < end * inner; at++) {
        int64_t t = c->target[at], row = at / inner, column = at - row * inner;
        const T *restrict x = in + row * n * inner + column;
        T *restrict d = out + row * n * inner + column;
        if (t == c->ignore_index || t < 0 || t >= n) { /* `.data` may have changed what the forward pass has checked */
            for (int64_t k = 0; k < n; k++) d[k * inner] = 0;
            continue;
        }
        T g = grad[at * grad_stride], w = (weight ? weight[t] : 1) * kept * g, shift = lse[at], scale = w + spread * total * g;
        if (inner == 1)
            for (int64_t k = 0; k < n; k++) d[k] = scale * TG_EXP_DOWN(x[k] - shift);
        else
            for (int64_t k = 0; k < n; k++) d[k * inner] = scale * TG_EXP_DOWN(x[k * inner] - shift);
        if (spread != 0)
            for (int64_t k = 0; k < n; k++) d[k * inner] -= spread * g * (weight ? weight[k] : 1);
        d[t * inner] -= w;
    }
}

#undef TILE
#undef LANES
#undef INNER
