/* Matrix products of integers and bools, which cuBLAS does not have: tiles in shared memory, an element a thread. */
#define TG_TILE 16
template <class T, int D> struct tg_matmul_args {
    tg_layout<3, D> batch; /* out, a, b */
    T *out;
    const T *a, *b;
    tg_i64 m, n, k, om, on, am, ak, bk, bn;
};
template <bool accumulates, class T, int D> TG_D void tg_matmul(const tg_matmul_args<T, D> &p) {
    __shared__ T A[TG_TILE][TG_TILE], B[TG_TILE][TG_TILE];
    const int lx = threadIdx.x % TG_TILE, ly = threadIdx.x / TG_TILE;
    const tg_i64 across = (p.n + TG_TILE - 1) / TG_TILE, down = (p.m + TG_TILE - 1) / TG_TILE;
    TG_BLOCKS(unit, p.batch.n * across * down) {
        tg_i64 at[3];
        tg_places(p.batch, unit / (across * down), at);
        const tg_i64 row = unit / across % down * TG_TILE + ly, column = unit % across * TG_TILE + lx;
        T acc = T(0);
        for (tg_i64 k0 = 0; k0 < p.k; k0 += TG_TILE) {
            A[ly][lx] = row < p.m && k0 + lx < p.k ? p.a[at[1] + row * p.am + (k0 + lx) * p.ak] : T(0);
            B[ly][lx] = column < p.n && k0 + ly < p.k ? p.b[at[2] + (k0 + ly) * p.bk + column * p.bn] : T(0);
            __syncthreads();
            for (int d = 0; d < TG_TILE; d++) {
                if constexpr (tg_same<T, bool>::value) acc = acc || (A[ly][d] && B[d][lx]);
                else acc = (T)(acc + A[ly][d] * B[d][lx]);
            }
            __syncthreads();
        }
        if (row < p.m && column < p.n) {
            T *place = p.out + at[0] + row * p.om + column * p.on;
            if constexpr (!accumulates) *place = acc;
            else if constexpr (tg_same<T, bool>::value) *place = *place || acc;
            else *place = (T)(*place + acc);
        }
    }
}
