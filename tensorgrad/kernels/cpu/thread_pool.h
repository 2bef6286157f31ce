/* One pool of threads for every kernel of the process: how kernels call it.
 *
 *     tg_parallel_for(n, grain, body, context);
 *
 * runs body(context, begin, end) over parts of 0..n-1 that are multiples of `grain` long (the last
 * may be shorter), on the calling thread and on the pool's. Parts are handed out as threads get
 * free, so their number and who takes them varies: what a body computes for an index must not
 * depend on either. A body never raises and never needs the GIL.
 *
 * - Threads start with the first loop that wants them, and end with the process.
 * - A loop inside a loop, and one that finds the pool at work for another thread, runs on its own
 *   thread alone.
 * - After fork() the child has no threads and starts its own.
 *
 * The pool itself (pthread_pool.h) is in kernels/cpu/cpu.pyx. Any other module's kernels reach it
 * when that module has called
 *
 *     tg_pool_connect(pool_functions())        (cimported from tensorgrad.kernels.cpu.cpu)
 *
 * and until then run on one thread. */
#ifndef TG_THREAD_POOL_H
#define TG_THREAD_POOL_H

#include <stdint.h>

typedef void (*tg_range_function)(void *context, int64_t begin, int64_t end);

typedef struct {
    void (*parallel_for)(int64_t n, int64_t grain, tg_range_function body, void *context);
    int (*get_num_threads)(void);
} tg_pool_functions;

static const tg_pool_functions *tg_pool_used;

static void tg_pool_connect(const tg_pool_functions *functions) { tg_pool_used = functions; }

/* Would a loop that starts now be shared with other threads? At most so many. */
static inline int tg_threads(void) { return tg_pool_used ? tg_pool_used->get_num_threads() : 1; }

static inline void tg_parallel_for(int64_t n, int64_t grain, tg_range_function body, void *context) {
    if (n > grain && tg_pool_used) tg_pool_used->parallel_for(n, grain, body, context);
    else if (n > 0) body(context, 0, n);
}

#endif
