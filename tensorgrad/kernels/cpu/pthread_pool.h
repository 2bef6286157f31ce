/* The pool of threads behind thread_pool.h; included by one module, kernels/cpu/cpu.pyx. */
#ifndef TG_PTHREAD_POOL_H
#define TG_PTHREAD_POOL_H

#include "thread_pool.h"
#ifndef _GNU_SOURCE
#error "sched_getaffinity needs _GNU_SOURCE, which Python.h defines"
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum {
    TG_POOL_MAX = 256,
    TG_POOL_PARTS = 4,           /* for each thread, so that one that is late leaves work to the others */
    TG_POOL_STACK = 4 << 20,
    TG_POOL_SPIN_NS = 50000      /* how long a thread looks for the next loop before it sleeps */
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    atomic_int threads;          /* as set, or as found; 0: not known yet */
    int limit;                   /* what the control group allows; 0: no limit */
    int started, sleeping;       /* guarded by the mutex, as what is not atomic below */
    int open, seats;             /* may threads still join the loop, and how many */
    atomic_int may_spin;
    atomic_int busy;             /* a loop is under way */
    atomic_int joined;           /* threads of the pool that are in it */
    atomic_uint generation;      /* counts loops */
    tg_range_function body;
    void *context;
    int64_t n, part;
    _Atomic int64_t next;
} tg_pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static __thread int tg_pool_inside;

static inline void tg_pool_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t tg_pool_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Processors that this process may run on. */
static int tg_allowed_processors(void) {
    int n = 0;
#if defined(__linux__)
    cpu_set_t set; /* holds 1024; the call fails where there are more */
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
}

static int tg_default_threads(void) {
    int n = tg_allowed_processors();
    if (tg_pool.limit > 0 && n > tg_pool.limit) n = tg_pool.limit;
    return n > TG_POOL_MAX ? TG_POOL_MAX : n;
}

static int tg_get_num_threads(void) {
    int n = atomic_load_explicit(&tg_pool.threads, memory_order_relaxed);
    if (n) return n;
    n = tg_default_threads();
    int unknown = 0;
    return atomic_compare_exchange_strong(&tg_pool.threads, &unknown, n) ? n : unknown;
}

static void tg_set_num_threads(int n) {
    atomic_store(&tg_pool.threads, n < 1 ? 1 : n > TG_POOL_MAX ? TG_POOL_MAX : n);
}

/* Takes part in the loop under way until nothing is left to take. */
static void tg_pool_work(tg_range_function body, void *context, int64_t n, int64_t part) {
    tg_pool_inside = 1;
    for (;;) {
        int64_t begin = atomic_fetch_add(&tg_pool.next, part);
        if (begin >= n) break;
        body(context, begin, n - begin < part ? n : begin + part);
    }
    tg_pool_inside = 0;
}

static void *tg_pool_thread(void *unused) {
    unsigned seen = 0;
    (void)unused;
    for (;;) {
        if (tg_pool.may_spin && atomic_load(&tg_pool.generation) == seen) {
            const int64_t until = tg_pool_now() + TG_POOL_SPIN_NS;
            do {
                for (int i = 0; i < 32 && atomic_load(&tg_pool.generation) == seen; i++) tg_pool_relax();
            } while (atomic_load(&tg_pool.generation) == seen && tg_pool_now() < until);
        }
        pthread_mutex_lock(&tg_pool.mutex);
        while (atomic_load(&tg_pool.generation) == seen) {
            tg_pool.sleeping++;
            pthread_cond_wait(&tg_pool.work, &tg_pool.mutex);
            tg_pool.sleeping--;
        }
        seen = atomic_load(&tg_pool.generation);
        if (!tg_pool.open || tg_pool.seats == 0) { /* too late, or too many */
            pthread_mutex_unlock(&tg_pool.mutex);
            continue;
        }
        tg_pool.seats--;
        atomic_fetch_add(&tg_pool.joined, 1);
        tg_range_function body = tg_pool.body;
        void *context = tg_pool.context;
        const int64_t n = tg_pool.n, part = tg_pool.part;
        pthread_mutex_unlock(&tg_pool.mutex);
        tg_pool_work(body, context, n, part);
        pthread_mutex_lock(&tg_pool.mutex);
        if (atomic_fetch_sub(&tg_pool.joined, 1) == 1) pthread_cond_signal(&tg_pool.done);
        pthread_mutex_unlock(&tg_pool.mutex);
    }
    return NULL;
}

/* The child of fork() has one thread, whatever the others were doing. */
static void tg_pool_forked(void) {
    pthread_mutex_init(&tg_pool.mutex, NULL);
    pthread_cond_init(&tg_pool.work, NULL);
    pthread_cond_init(&tg_pool.done, NULL);
    tg_pool.started = tg_pool.sleeping = tg_pool.open = tg_pool.seats = 0;
    atomic_store(&tg_pool.busy, 0);
    atomic_store(&tg_pool.joined, 0);
    tg_pool_inside = 0;
}

/* With the mutex held. Fewer threads than asked for is no error. */
static void tg_pool_start(int wanted) {
    static int watching;
    if (!watching) watching = pthread_atfork(NULL, NULL, tg_pool_forked) == 0;
    if (!watching) return;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, TG_POOL_STACK);
    sigfillset(&all); /* signals are for the threads that run Python */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (pthread_t thread; tg_pool.started < wanted; tg_pool.started++)
        if (pthread_create(&thread, &attributes, tg_pool_thread, NULL) != 0) break;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    tg_pool.may_spin = tg_pool.started < tg_allowed_processors();
}

static void tg_pool_parallel_for(int64_t n, int64_t grain, tg_range_function body, void *context) {
    const int threads = tg_get_num_threads();
    int idle = 0;
    if (threads == 1 || tg_pool_inside || !atomic_compare_exchange_strong(&tg_pool.busy, &idle, 1)) {
        body(context, 0, n);
        return;
    }
    int64_t part = n / ((int64_t)threads * TG_POOL_PARTS) / grain * grain;
    if (part < grain) part = grain;
    pthread_mutex_lock(&tg_pool.mutex);
    if (tg_pool.started < threads - 1) tg_pool_start(threads - 1);
    tg_pool.body = body;
    tg_pool.context = context;
    tg_pool.n = n;
    tg_pool.part = part;
    atomic_store(&tg_pool.next, 0);
    tg_pool.open = 1;
    tg_pool.seats = threads - 1;
    atomic_fetch_add(&tg_pool.generation, 1);
    if (tg_pool.sleeping) pthread_cond_broadcast(&tg_pool.work);
    pthread_mutex_unlock(&tg_pool.mutex);

    tg_pool_work(body, context, n, part);

    pthread_mutex_lock(&tg_pool.mutex);
    tg_pool.open = 0;
    pthread_mutex_unlock(&tg_pool.mutex);
    if (tg_pool.may_spin) {
        const int64_t until = tg_pool_now() + TG_POOL_SPIN_NS;
        while (atomic_load(&tg_pool.joined) && tg_pool_now() < until) tg_pool_relax();
    }
    pthread_mutex_lock(&tg_pool.mutex);
    while (atomic_load(&tg_pool.joined)) pthread_cond_wait(&tg_pool.done, &tg_pool.mutex);
    pthread_mutex_unlock(&tg_pool.mutex);
    atomic_store(&tg_pool.busy, 0);
}

static const tg_pool_functions tg_the_pool = {tg_pool_parallel_for, tg_get_num_threads};

/* Exported, by these names, for threadpoolctl and debuggers. */
__attribute__((visibility("default"))) int tensorgrad_get_num_threads(void) { return tg_get_num_threads(); }
__attribute__((visibility("default"))) void tensorgrad_set_num_threads(int n) { tg_set_num_threads(n); }

#endif
