/* Gather and scatter. An index that is out of range is left out; its value is kept for the next who waits. */
TG_D bool tg_in_range(tg_i64 t, tg_i64 size, tg_i64 *trouble) {
    if (t >= 0 && t < size) return true;
    if (atomicAdd((tg_u64 *)trouble, 1ull) == 0) trouble[1] = t;
    return false;
}

/* Elements are moved as they are: S is an unsigned type of their size. */
template <class S, int D> struct tg_gather_args {
    tg_layout<3, D> layout; /* out, x (0 along the dimension), index */
    S *out;
    const S *x;
    const tg_i64 *index;
    tg_i64 size, step;
    tg_i64 *trouble;
};
template <class S, int D> TG_D void tg_gather(const tg_gather_args<S, D> &a) {
    TG_ELEMENTS(e, a.layout.n) {
        tg_i64 at[3];
        tg_places(a.layout, e, at);
        const tg_i64 t = a.index[at[2]];
        if (tg_in_range(t, a.size, a.trouble)) a.out[at[0]] = a.x[at[1] + t * a.step];
    }
}

struct tg_mode_set { template <class T> static __device__ T of(T, T v) { return v; } };
struct tg_mode_add { template <class T> static __device__ T of(T w, T v) {
    if constexpr (tg_same<T, bool>::value) return w || v; else return (T)(w + v); } };
struct tg_mode_mul { template <class T> static __device__ T of(T w, T v) {
    if constexpr (tg_same<T, bool>::value) return w && v; else return (T)(w * v); } };
struct tg_mode_max { template <class T> static __device__ T of(T w, T v) { return v != v ? v : tg_max(w, v); } };
struct tg_mode_min { template <class T> static __device__ T of(T w, T v) { return v != v ? v : tg_min(w, v); } };

/* *place = Mode(*place, v), whoever else does the same: compare and swap the word that holds it. */
template <class W, class Mode, class S> TG_D void tg_swap_word(S *place, typename tg_computed<S>::type v) {
    W *word = (W *)((tg_u64)place & ~(tg_u64)(sizeof(W) - 1));
    const int at = (int)((tg_u64)place & (sizeof(W) - 1));
    W before = *(volatile W *)word, seen;
    for (;;) {
        union { W word; S elements[sizeof(W) / sizeof(S) ? sizeof(W) / sizeof(S) : 1]; } now;
        now.word = before;
        S *element = &now.elements[at / (int)sizeof(S)];
        tg_store(element, Mode::of(tg_load(element), v));
        seen = atomicCAS(word, before, now.word);
        if (seen == before) return;
        before = seen;
    }
}
template <class Mode, class S> TG_D void tg_update(S *place, typename tg_computed<S>::type v) {
    if constexpr (tg_same<Mode, tg_mode_set>::value) tg_store(place, v);
    else if constexpr (tg_same<Mode, tg_mode_add>::value && tg_is_complex<S>::value) {
        atomicAdd(&place->x, v.x);
        atomicAdd(&place->y, v.y);
    }
    else if constexpr (tg_same<Mode, tg_mode_add>::value && (tg_same<S, float>::value || tg_same<S, double>::value))
        atomicAdd(place, v);
    else if constexpr (tg_same<Mode, tg_mode_add>::value && tg_is_integer<S>::value && sizeof(S) == 4)
        atomicAdd((tg_u32 *)place, (tg_u32)v);
    else if constexpr (tg_same<Mode, tg_mode_add>::value && tg_is_integer<S>::value && sizeof(S) == 8)
        atomicAdd((tg_u64 *)place, (tg_u64)v);
    else if constexpr (sizeof(S) == 8) tg_swap_word<tg_u64, Mode>(place, v);
    else if constexpr (sizeof(S) <= 4) tg_swap_word<tg_u32, Mode>(place, v);
    else tg_store(place, Mode::of(tg_load(place), v)); /* 16 bytes: only where a thread has its places to itself */
}

/* A thread takes an element, or walks along the dimension, so that no two write to one place. */
template <class S, int D> struct tg_scatter_args {
    tg_layout<3, D> rows; /* of the other dimensions: out, index, src */
    S *out;
    const tg_i64 *index;
    const S *src;
    tg_i64 length, size, ostep, istep, sstep;
    tg_i64 *trouble;
};
template <class Mode, bool parallel, class S, int D> TG_D void tg_scatter(const tg_scatter_args<S, D> &a) {
    TG_ELEMENTS(e, a.rows.n * (parallel ? a.length : 1)) {
        const tg_i64 row = parallel ? e / a.length : e, first = parallel ? e % a.length : 0;
        tg_i64 at[3];
        tg_places(a.rows, row, at);
        for (tg_i64 j = first; j < (parallel ? first + 1 : a.length); j++) {
            const tg_i64 t = a.index[at[1] + j * a.istep];
            if (!tg_in_range(t, a.size, a.trouble)) continue;
            S *place = a.out + at[0] + t * a.ostep;
            const S *from = a.src + at[2] + j * a.sstep;
            if constexpr (tg_same<Mode, tg_mode_set>::value) *place = *from;
            else if constexpr (parallel) tg_update<Mode>(place, tg_load(from));
            else tg_store(place, Mode::of(tg_load(place), tg_load(from)));
        }
    }
}
