/* Softmax, its logarithm, and their gradients: a row is read three times, from the
 * cache mostly, and written once, where operators of their own would read and write memory six times. A block takes a row; rows of up to 32 elements are taken by a thread each. */
template <class S, int D> struct tg_softmax_args {
    tg_layout<3, D> rows; /* out, x (or the gradient), y (the output, for gradients) */
    S *out;
    const S *x, *y;
    tg_i64 length, ostep, xstep, ystep;
};
template <bool tree, class Op, class T> TG_D T tg_of_row(T v) {
    if constexpr (tree) return tg_block_reduce<Op>(v); else return v; }
#define TG_ROWS(args)                                                                             \
    tg_i64 row = tree ? (tg_i64)blockIdx.x : (tg_i64)blockIdx.x * blockDim.x + threadIdx.x;        \
    const tg_i64 all_rows = tree ? (tg_i64)gridDim.x : (tg_i64)gridDim.x * blockDim.x;             \
    const tg_i64 lane = tree ? threadIdx.x : 0, lanes = tree ? TG_THREADS : 1;                     \
    for (; row < (args); row += all_rows)

template <bool logarithm, bool tree, class S, int D> TG_D void tg_softmax(const tg_softmax_args<S, D> &a) {
    typedef typename tg_computed<S>::type T;
    TG_ROWS(a.rows.n) {
        tg_i64 at[3];
        tg_places(a.rows, row, at);
        T most = -(T)TG_INF;
        for (tg_i64 j = lane; j < a.length; j += lanes) most = tg_maximum::of(most, tg_load(a.x + at[1] + j * a.xstep));
        most = tg_of_row<tree, tg_maximum>(most);
        T sum = 0;
        for (tg_i64 j = lane; j < a.length; j += lanes) sum += tg_exp(tg_load(a.x + at[1] + j * a.xstep) - most);
        sum = tg_of_row<tree, tg_sum>(sum);
        const T shift = logarithm ? tg_log(sum) : sum;
        for (tg_i64 j = lane; j < a.length; j += lanes) {
            const T v = tg_load(a.x + at[1] + j * a.xstep) - most;
            tg_store(a.out + at[0] + j * a.ostep, logarithm ? v - shift : tg_exp(v) / shift);
        }
    }
}
template <bool logarithm, bool tree, class S, int D> TG_D void tg_softmax_backward(const tg_softmax_args<S, D> &a) {
    typedef typename tg_computed<S>::type T;
    TG_ROWS(a.rows.n) {
        tg_i64 at[3];
        tg_places(a.rows, row, at);
        T sum = 0;
        for (tg_i64 j = lane; j < a.length; j += lanes) {
            const T g = tg_load(a.x + at[1] + j * a.xstep);
            sum += logarithm ? g : g * tg_load(a.y + at[2] + j * a.ystep);
        }
        sum = tg_of_row<tree, tg_sum>(sum);
        for (tg_i64 j = lane; j < a.length; j += lanes) {
            const T g = tg_load(a.x + at[1] + j * a.xstep), y = tg_load(a.y + at[2] + j * a.ystep);
            tg_store(a.out + at[0] + j * a.ostep, logarithm ? g - tg_exp(y) * sum : y * (g - sum));
        }
    }
}
