/* Layer normalisation for one type: included by norm.h, after softmax.h, whose sums it uses. */

/* y = (x - mean) rstd w + b, with rstd = 1 / sqrt(variance + eps). */
TG_CLONES static void TG_OF(tg_layer_norm_rows)(T *restrict out, T *restrict mean, T *restrict rstd, const T *restrict in,
                                                const T *restrict w, const T *restrict b, int64_t begin, int64_t end, int64_t n, T eps) {
    for (int64_t row = begin; row < end; row++) {
        const T *restrict x = in + row * n;
        T *restrict y = out + row * n;
        T m = TG_OF(tg_row_sum)(x, n) / (T)n, squares = TG_OF(tg_row_squares)(x, n, m);
        T s = 1 / TG_SQRT(squares / (T)n + eps);
        mean[row] = m;
        rstd[row] = s;
        if (w && b)
            for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s * w[i] + b[i];
        else if (w)
            for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s * w[i];
        else if (b)
            for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s + b[i];
        else
            for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s;
    }
}

/* With z = (x - mean) rstd and h = g w: dx = rstd (h - mean(h) - z mean(h z)), dw = sum(g z), db = sum(g). */
TG_CLONES static void TG_OF(tg_layer_norm_backward_rows)(T *restrict dx, T *restrict dw, T *restrict db, const T *restrict grad,
                                                         const T *restrict in, const T *restrict mean, const T *restrict rstd,
                                                         const T *restrict w, int64_t begin, int64_t end, int64_t n) {
    T h[512], z[512];
    for (int64_t row = begin; row < end; row++) {
        const T *restrict x = in + row * n, *restrict g = grad + row * n;
        T m = mean[row], s = rstd[row];
        if (dx) {
            T *restrict d = dx + row * n;
            T sum = 0, dot = 0;
            for (int64_t i = 0; i < n; i += 512) {
                int64_t k = n - i < 512 ? n - i : 512;
                if (w)
                    for (int64_t j = 0; j < k; j++) h[j] = g[i + j] * w[i + j];
                else
                    for (int64_t j = 0; j < k; j++) h[j] = g[i + j];
                for (int64_t j = 0; j < k; j++) z[j] = (x[i + j] - m) * s;
                sum += TG_OF(tg_row_sum)(h, k);
                dot += TG_OF(tg_row_dot)(h, z, k);
            }
            sum /= (T)n;
            dot /= (T)n;
            if (w)
                for (int64_t i = 0; i < n; i++) d[i] = s * (g[i] * w[i] - sum - (x[i] - m) * s * dot);
            else
                for (int64_t i = 0; i < n; i++) d[i] = s * (g[i] - sum - (x[i] - m) * s * dot);
        }
        if (dw)
            for (int64_t i = 0; i < n; i++) dw[i] += g[i] * (x[i] - m) * s;
        if (db)
            for (int64_t i = 0; i < n; i++) db[i] += g[i];
    }
}

/* The sum of `chunks` arrays that follow each other, in their order; nothing where `out` is NULL. */
TG_CLONES static void TG_OF(tg_add_chunks)(T *restrict out, const T *restrict sums, int64_t chunks, int64_t n) {
    if (!out) return;
    for (int64_t i = 0; i < n; i++) out[i] = sums[i];
    for (int64_t k = 1; k < chunks; k++)
        for (int64_t i = 0; i < n; i++) out[i] += sums[k * n + i];
}
