/* Random numbers, the same that the CPU draws: Philox4x32-10 (Salmon et al., SC 2011), whose words make elements as
 * kernels/cpu/random.h says. cuRAND's own generators would give other numbers. */
struct tg_words { tg_u32 w[4]; };
TG_D tg_words tg_philox(tg_u64 seed, tg_u64 counter) {
    tg_u32 c0 = (tg_u32)counter, c1 = (tg_u32)(counter >> 32), c2 = 0, c3 = 0;
    tg_u32 k0 = (tg_u32)seed, k1 = (tg_u32)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const tg_u64 p0 = (tg_u64)0xD2511F53u * c0, p1 = (tg_u64)0xCD9E8D57u * c2;
        c0 = (tg_u32)(p1 >> 32) ^ c1 ^ k0;
        c2 = (tg_u32)(p0 >> 32) ^ c3 ^ k1;
        c1 = (tg_u32)p1;
        c3 = (tg_u32)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
template <class R> struct tg_raw { typedef tg_u32 type; };
template <> struct tg_raw<double> { typedef tg_u64 type; };
TG_D tg_u64 tg_word_pair(tg_u64 seed, tg_u64 first, tg_u64 k) {
    const tg_words c = tg_philox(seed, first + k / 2);
    return k % 2 ? (tg_u64)c.w[2] | (tg_u64)c.w[3] << 32 : (tg_u64)c.w[0] | (tg_u64)c.w[1] << 32;
}
TG_D tg_u32 tg_word(tg_u64 seed, tg_u64 first, tg_u64 k) { return tg_philox(seed, first + k / 4).w[k % 4]; }
template <class R> TG_D typename tg_raw<R>::type tg_random_word(tg_u64 seed, tg_u64 first, tg_u64 k) {
    if constexpr (tg_same<R, double>::value) return tg_word_pair(seed, first, k); else return tg_word(seed, first, k); }

/* In [0, 1), of as many bits as the type has; and in (0, 1), the middles of equal intervals. */
TG_D float tg_unit(tg_u32 word, int bits) { return (float)(word >> (32 - bits)) / (float)(1 << bits); }
TG_D double tg_unit(tg_u64 word, int) { return (double)(word >> 11) * 1.1102230246251565e-16; }
TG_D float tg_open(tg_u32 word) { return ((float)(word >> 9) + 0.5f) * 1.1920928955078125e-7f; }
TG_D double tg_open(tg_u64 word) { return ((double)(word >> 12) + 0.5) * 2.220446049250313e-16; }

struct tg_draw { tg_u64 seed, first; double low, scale, high; };
template <class R, int bits> struct tg_uniform {
    static __device__ R draw(const tg_draw &p, tg_u64 k) {
        const R low = (R)p.low, x = low + (R)p.scale * tg_unit(tg_random_word<R>(p.seed, p.first, k), bits);
        return x < (R)p.high ? x : low; /* rounding may have reached the bound */
    }
};
template <class R, int bits> struct tg_normal { /* Box and Muller: two words become two numbers */
    static __device__ R draw(const tg_draw &p, tg_u64 k) {
        const R u = tg_open(tg_random_word<R>(p.seed, p.first, k & ~1ull));
        const R radius = (R)p.scale * tg_sqrt((R)-2 * tg_log(u));
        const R angle = (R)6.28318530717958647692 * tg_unit(tg_random_word<R>(p.seed, p.first, k | 1), 24);
        return (R)p.low + radius * (k & 1 ? tg_sin(angle) : tg_cos(angle));
    }
};
template <class R, int bits> struct tg_exponential {
    static __device__ R draw(const tg_draw &p, tg_u64 k) {
        return -tg_log(tg_open(tg_random_word<R>(p.seed, p.first, k))) / (R)p.low; }
};

template <class O, int D> struct tg_random_args {
    tg_layout<1, D> layout;
    O *out;
    tg_draw draw;
    tg_u64 low, range; /* of integers; the threshold of bernoulli */
};
template <template <class, int> class Kind, int bits, class O, int D> TG_D void tg_random_reals(const tg_random_args<O, D> &a) {
    typedef typename tg_computed<O>::type T;
    typedef typename tg_real_type<T>::type R;
    TG_ELEMENTS(e, a.layout.n) {
        tg_i64 at[1];
        tg_places(a.layout, e, at);
        O *place = a.out + at[0];
        if constexpr (tg_is_complex<T>::value)
            *place = T(Kind<R, bits>::draw(a.draw, 2 * e), Kind<R, bits>::draw(a.draw, 2 * e + 1));
        else {
            tg_store(place, Kind<R, bits>::draw(a.draw, e));
            if constexpr (tg_same<Kind<R, bits>, tg_uniform<R, bits>>::value && sizeof(O) == 2)
                if (tg_load(place) >= (R)a.draw.high) tg_store(place, (R)a.draw.low); /* narrowing rounds once more */
        }
    }
}
template <class O, int D> TG_D void tg_random_integers(const tg_random_args<O, D> &a) {
    TG_ELEMENTS(e, a.layout.n) {
        tg_i64 at[1];
        tg_places(a.layout, e, at);
        const tg_u64 word = tg_word_pair(a.draw.seed, a.draw.first, e);
        const tg_u64 value = a.low + (a.range ? __umul64hi(word, a.range) : word);
        typedef typename tg_computed<O>::type T;
        if constexpr (tg_same<T, tg_u64>::value) a.out[at[0]] = value;
        else tg_store(a.out + at[0], tg_to<T>((tg_i64)value));
    }
}
template <class O, int D> TG_D void tg_random_bernoulli(const tg_random_args<O, D> &a) {
    TG_ELEMENTS(e, a.layout.n) {
        tg_i64 at[1];
        tg_places(a.layout, e, at);
        tg_store(a.out + at[0], tg_to<typename tg_computed<O>::type>((bool)(tg_word(a.draw.seed, a.draw.first, e) < a.low)));
    }
}

template <class O> struct tg_arange_args { O *out; tg_i64 n, stride; double start, step; };
template <class O> TG_D void tg_arange(const tg_arange_args<O> &a) {
    TG_ELEMENTS(e, a.n) tg_store(a.out + e * a.stride, tg_to<typename tg_computed<O>::type>(a.start + (double)e * a.step));
}
