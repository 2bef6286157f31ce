/* Cumulative sums and products. A block takes a part of a row tile by tile, and within a tile doubles the distance
 * over which elements are added (Hillis and Steele, 1986); or a thread takes a row.
 *
 * A long row has several parts: first their totals are computed (only_totals), then these are scanned, then each part
 * begins with what comes before it. */
template <class S, class O, class A, int D> struct tg_scan_args {
    tg_layout<2, D> outer; /* x, out */
    const S *x;
    O *out;
    tg_i64 length, xstep, ostep, parts, chunk;
    A *totals; /* of part p of row r, at r * parts + p; null where there is one part */
};
template <class Op, bool tree, bool only_totals, class S, class O, class A, int D>
TG_D void tg_scan(const tg_scan_args<S, O, A, D> &a) {
    __shared__ A tile[TG_THREADS];
    tg_i64 unit = tree ? (tg_i64)blockIdx.x : (tg_i64)blockIdx.x * blockDim.x + threadIdx.x;
    const tg_i64 stride = tree ? (tg_i64)gridDim.x : (tg_i64)gridDim.x * blockDim.x;
    for (; unit < a.outer.n * a.parts; unit += stride) {
        const tg_i64 row = unit / a.parts, part = unit % a.parts;
        tg_i64 at[2];
        tg_places(a.outer, row, at);
        const tg_i64 begin = part * a.chunk, end = begin + a.chunk < a.length ? begin + a.chunk : a.length;
        A carry = Op::template first<A>();
        if (!only_totals && a.totals && part > 0) carry = a.totals[unit - 1];
        if constexpr (!tree) {
            for (tg_i64 j = begin; j < end; j++) {
                carry = Op::of(carry, tg_to<A>(tg_load(a.x + at[0] + j * a.xstep)));
                tg_store(a.out + at[1] + j * a.ostep, tg_to<typename tg_computed<O>::type>(carry));
            }
        } else if constexpr (only_totals) {
            A acc = Op::template first<A>();
            for (tg_i64 j = begin + threadIdx.x; j < end; j += TG_THREADS)
                acc = Op::of(acc, tg_to<A>(tg_load(a.x + at[0] + j * a.xstep)));
            acc = tg_block_reduce<Op>(acc);
            if (threadIdx.x == 0) a.totals[unit] = acc;
        } else {
            const int lane = threadIdx.x;
            for (tg_i64 j0 = begin; j0 < end; j0 += TG_THREADS) {
                const tg_i64 j = j0 + lane;
                tile[lane] = j < end ? tg_to<A>(tg_load(a.x + at[0] + j * a.xstep)) : Op::template first<A>();
                for (int step = 1; step < TG_THREADS; step *= 2) {
                    __syncthreads();
                    const A earlier = lane >= step ? tile[lane - step] : Op::template first<A>(), later = tile[lane];
                    __syncthreads();
                    tile[lane] = Op::of(earlier, later);
                }
                __syncthreads();
                if (j < end)
                    tg_store(a.out + at[1] + j * a.ostep, tg_to<typename tg_computed<O>::type>(Op::of(carry, tile[lane])));
                carry = Op::of(carry, tile[TG_THREADS - 1]);
                __syncthreads();
            }
        }
    }
}
