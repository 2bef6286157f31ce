/* Layer normalisation: a row is read three times, from the cache mostly, and written once. M is the type of the
 * statistics, and of what is computed. */
template <class S, class M> struct tg_layer_norm_args {
    S *out;
    M *mean, *rstd;
    const S *x, *weight, *bias; /* the last two may be null */
    tg_i64 rows, n;
    double eps;
};
template <bool tree, class S, class M> TG_D void tg_layer_norm(const tg_layer_norm_args<S, M> &a) {
    TG_ROWS(a.rows) {
        const S *x = a.x + row * a.n;
        M sum = 0;
        for (tg_i64 j = lane; j < a.n; j += lanes) sum += tg_load(x + j);
        const M mean = tg_of_row<tree, tg_sum>(sum) / (M)a.n;
        M squares = 0; /* of what is centred: the difference of large squares has no digits left */
        for (tg_i64 j = lane; j < a.n; j += lanes) {
            const M v = tg_load(x + j) - mean;
            squares += v * v;
        }
        const M rstd = 1 / tg_sqrt(tg_of_row<tree, tg_sum>(squares) / (M)a.n + (M)a.eps);
        for (tg_i64 j = lane; j < a.n; j += lanes) {
            M v = (tg_load(x + j) - mean) * rstd;
            if (a.weight) v = v * tg_load(a.weight + j);
            if (a.bias) v = v + tg_load(a.bias + j);
            tg_store(a.out + row * a.n + j, v);
        }
        if (lane == 0) {
            a.mean[row] = mean;
            a.rstd[row] = rstd;
        }
    }
}
