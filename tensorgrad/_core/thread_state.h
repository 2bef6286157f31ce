/* One thread's modes, in one struct, so that an operator learns with one read what it may skip. */
#ifndef TG_THREAD_STATE_H
#define TG_THREAD_STATE_H

/* Read at a fixed distance from the thread's pointer, without a call; for a few bytes, of which the loader keeps a reserve. */
#if defined(__GLIBC__) && defined(__x86_64__)
#define TG_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#define TG_THREAD_LOCAL __thread
#endif

typedef struct {
    int grad;          /* is recording on? */
    int forward_grad;  /* are tangents propagated? */
    int inference;
    int slow;          /* how many reasons there are to leave the fast path: transforms, profilers, hooks */
    int depth;         /* height of the transform stack in force; dispatch lowers it while it peels */
    int dual_level;    /* forward_ad's nesting: 0 or 1 */
    int profiling;     /* are events recorded? -1 until the thread is known to the profiler */
    void *levels;      /* this thread's list of Level, borrowed; NULL before the first transform */
    void *saved_hooks; /* this thread's list of (pack, unpack), borrowed; NULL when there is none */
} tg_thread_state;

typedef struct { int enabled, check_nan; } tg_anomaly_mode; /* anomaly mode is the process's */

#endif
