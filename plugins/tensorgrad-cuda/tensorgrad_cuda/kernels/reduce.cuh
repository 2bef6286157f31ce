/* Reductions: blocks that reduce a row together, by shuffles within warps and one exchange between them, or threads
 * that take a row each where rows are short, or lie so that neighbours read neighbouring elements. */
#define TG_THREADS 256
struct tg_sum { template <class A> static __device__ A first() { return A(0); }
                template <class A> static __device__ A of(A a, A b) { return (A)(a + b); } };
struct tg_prod { template <class A> static __device__ A first() { return A(1); }
                 template <class A> static __device__ A of(A a, A b) { return (A)(a * b); } };
struct tg_any { template <class A> static __device__ A first() { return A(0); }
                template <class A> static __device__ A of(A a, A b) { return (A)(a | b); } };
struct tg_all { template <class A> static __device__ A first() { return A(1); }
                template <class A> static __device__ A of(A a, A b) { return (A)(a & b); } };
template <class A> TG_D A tg_largest() {
    if constexpr (tg_is_float<A>::value) return (A)TG_INF;
    else if constexpr (tg_is_signed<A>::value) return (A)(((tg_u64)1 << (8 * sizeof(A) - 1)) - 1);
    else return (A)~(A)0; }
template <class A> TG_D A tg_smallest() {
    if constexpr (tg_is_float<A>::value) return -(A)TG_INF;
    else return (A)~tg_largest<A>(); }
struct tg_maximum { template <class A> static __device__ A first() { return tg_smallest<A>(); }
    /* a nan wins, wherever it stands */
    template <class A> static __device__ A of(A a, A b) { return b != b ? b : tg_max(a, b); } };
struct tg_minimum { template <class A> static __device__ A first() { return tg_largest<A>(); }
    template <class A> static __device__ A of(A a, A b) { return b != b ? b : tg_min(a, b); } };

template <class A> TG_D A tg_shuffle_down(A v, int by) {
    if constexpr (tg_is_complex<A>::value)
        return A(__shfl_down_sync(0xffffffffu, v.x, by), __shfl_down_sync(0xffffffffu, v.y, by));
    else if constexpr (sizeof(A) < 4) return (A)__shfl_down_sync(0xffffffffu, (int)v, by);
    else return __shfl_down_sync(0xffffffffu, v, by);
}

/* All threads of a block of TG_THREADS get what `Op` makes of their values. */
template <class Op, class A> TG_D A tg_block_reduce(A v) {
    __shared__ A of_warp[TG_THREADS / 32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int by = 16; by > 0; by /= 2) v = Op::of(v, tg_shuffle_down(v, by));
    if (lane == 0) of_warp[warp] = v;
    __syncthreads();
    if (warp == 0) {
        v = lane < TG_THREADS / 32 ? of_warp[lane] : Op::template first<A>();
        for (int by = 16; by > 0; by /= 2) v = Op::of(v, tg_shuffle_down(v, by));
        if (lane == 0) of_warp[0] = v;
    }
    __syncthreads();
    v = of_warp[0];
    __syncthreads(); /* the next call writes there again */
    return v;
}

/* An element as the accumulator takes it: any and all only ask whether it is zero. */
template <class Op, class A, class S> TG_D A tg_element(const S *p) {
    auto v = tg_load(p);
    if constexpr (tg_same<Op, tg_any>::value || tg_same<Op, tg_all>::value) return (A)tg_to<bool>(v);
    else return tg_to<A>(v);
}

/* `rows` rows of `length` elements, in `parts` parts each. With more than one the result of a part lies at
 * part * rows + row; a second call reduces those. */
template <class S, class O, int D1, int D2> struct tg_reduce_args {
    tg_layout<2, D1> outer; /* x, out */
    tg_layout<1, D2> inner;
    const S *x;
    O *out;
    tg_i64 parts, chunk;
};
template <class Op, class A, bool tree, class S, class O, int D1, int D2>
TG_D void tg_reduce(const tg_reduce_args<S, O, D1, D2> &a) {
    const tg_i64 rows = a.outer.n, units = rows * a.parts;
    tg_i64 unit = tree ? (tg_i64)blockIdx.x : (tg_i64)blockIdx.x * blockDim.x + threadIdx.x;
    const tg_i64 stride = tree ? (tg_i64)gridDim.x : (tg_i64)gridDim.x * blockDim.x;
    for (; unit < units; unit += stride) {
        const tg_i64 row = unit % rows, part = unit / rows;
        tg_i64 at[2], i[1];
        tg_places(a.outer, row, at);
        A acc = Op::template first<A>();
        const tg_i64 begin = part * a.chunk, end = begin + a.chunk < a.inner.n ? begin + a.chunk : a.inner.n;
        for (tg_i64 j = begin + (tree ? threadIdx.x : 0); j < end; j += tree ? TG_THREADS : 1) {
            tg_places(a.inner, j, i);
            acc = Op::of(acc, tg_element<Op, A>(a.x + at[0] + i[0]));
        }
        if constexpr (tree) acc = tg_block_reduce<Op>(acc);
        if (!tree || threadIdx.x == 0)
            tg_store(a.out + (a.parts > 1 ? unit : at[1]), tg_to<typename tg_computed<O>::type>(acc));
    }
}

/* The first place of the extreme, where nan is the extreme. */
template <class S, int D> struct tg_arg_args {
    tg_layout<2, D> outer; /* x, out */
    const S *x;
    tg_i64 *out;
    tg_i64 length, step;
};
template <bool largest, class T> TG_D bool tg_precedes(T a, tg_i64 p, T b, tg_i64 q) {
    if (q < 0 || p < 0) return q < 0 && p >= 0;
    const bool a_nan = a != a, b_nan = b != b;
    if (a_nan || b_nan) return a_nan && (!b_nan || p < q);
    return a == b ? p < q : largest ? a > b : a < b;
}
template <bool largest, bool tree, class S, int D> TG_D void tg_argreduce(const tg_arg_args<S, D> &a) {
    typedef typename tg_computed<S>::type T;
    __shared__ T values[TG_THREADS];
    __shared__ tg_i64 places[TG_THREADS];
    tg_i64 row = tree ? (tg_i64)blockIdx.x : (tg_i64)blockIdx.x * blockDim.x + threadIdx.x;
    const tg_i64 stride = tree ? (tg_i64)gridDim.x : (tg_i64)gridDim.x * blockDim.x;
    for (; row < a.outer.n; row += stride) {
        tg_i64 at[2];
        tg_places(a.outer, row, at);
        T best = T(0);
        tg_i64 place = -1;
        for (tg_i64 j = tree ? threadIdx.x : 0; j < a.length; j += tree ? TG_THREADS : 1) {
            const T v = tg_load(a.x + at[0] + j * a.step);
            if (tg_precedes<largest>(v, j, best, place)) { best = v; place = j; }
        }
        if constexpr (tree) {
            values[threadIdx.x] = best; places[threadIdx.x] = place;
            for (int half = TG_THREADS / 2; half > 0; half /= 2) {
                __syncthreads();
                if (threadIdx.x < half) {
                    const T v = values[threadIdx.x + half];
                    const tg_i64 p = places[threadIdx.x + half];
                    if (tg_precedes<largest>(v, p, best, place)) {
                        best = v; place = p;
                        values[threadIdx.x] = v; places[threadIdx.x] = p;
                    }
                }
            }
            __syncthreads(); /* before the next row writes there */
        }
        if (!tree || threadIdx.x == 0) a.out[at[1]] = place;
    }
}
