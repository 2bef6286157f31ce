/* What the profiler writes down: for each thread an array of events and one of memory records, both bounded.
 *
 * An event is begun and ended by the thread that owns the array, with the GIL held; a lock of the array's own
 * stands in for the GIL where there is none. Open events form a stack through `parent`, so that the spans of a
 * thread are always nested: ending an event ends those that were begun inside it and are still open.
 */
#ifndef TG_PROFILER_H
#define TG_PROFILER_H

#include <Python.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "thread_state.h"

typedef struct {
    int64_t start, end;                 /* nanoseconds; `end` is 0 while the event is open */
    int64_t sequence;                   /* of the node that the operator recorded, or that ran; negative without one:
                                         * -2 less the last number that was given out when the operator began */
    int64_t cpu_bytes, device_bytes;    /* allocated less freed; while it is open, the thread's count at its start */
    PyObject *name, *details;           /* owned; `details` may be NULL */
    int32_t parent, kind;
} tg_event;

typedef struct { int64_t time, bytes, total; void *device; int32_t event; } tg_memory_record;

typedef struct tg_profiled_thread {
    tg_thread_state *state;             /* NULL when the thread has ended */
    tg_event *events;
    tg_memory_record *records;
    int64_t n_events, size_events, n_records, size_records;
    int64_t dropped;                    /* did not fit under the bound */
    int64_t cpu_bytes, device_bytes;
    int64_t last;                       /* the latest time written down: spans nest under a coarse clock, too */
    int32_t top;                        /* the innermost open event, or -1 */
    uint32_t generation;                /* tells tokens of events that were cleared since */
    long native_id;
    PyObject *thread_name;              /* owned */
    volatile char lock;
    struct tg_profiled_thread *next;
} tg_profiled_thread;

/* Every thread that ran an operator, and its arrays. While a profiler is running none is taken away. */
static tg_profiled_thread *tg_profiled_threads = NULL;
static pthread_mutex_t tg_profiled_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t tg_profiled_key;
static __thread tg_profiled_thread *tg_this_profiled = NULL;
static int tg_profilers = 0;                                /* how many are running */
static int64_t tg_profile_bound = 1 << 20;

#ifdef Py_GIL_DISABLED
static inline void tg_lock_events(tg_profiled_thread *t) { while (__atomic_test_and_set(&t->lock, __ATOMIC_ACQUIRE)) {} }
static inline void tg_unlock_events(tg_profiled_thread *t) { __atomic_clear(&t->lock, __ATOMIC_RELEASE); }
#else
static inline void tg_lock_events(tg_profiled_thread *t) { (void)t; }
static inline void tg_unlock_events(tg_profiled_thread *t) { (void)t; }
#endif

static inline int64_t tg_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t tg_epoch_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- threads -------------------------------------------------------------------------------------- */
/* Runs without the GIL. The arrays of the thread stay until the profiles that are running have been read. */
static void tg_thread_has_ended(void *p) {
    tg_profiled_thread *t = (tg_profiled_thread *)p, **link = &tg_profiled_threads;
    pthread_mutex_lock(&tg_profiled_lock);
    if (t->state != NULL) {                     /* as it was born, should an even later destructor compute */
        t->state->slow += 1 - t->state->profiling;
        t->state->profiling = -1;
        t->state = NULL;
    }
    tg_this_profiled = NULL;
    if (tg_profilers == 0 && t->n_events == 0 && t->n_records == 0 && t->thread_name == NULL) {
        while (*link != t) link = &(*link)->next;
        *link = t->next;
        free(t->events);
        free(t->records);
        free(t);
    }
    pthread_mutex_unlock(&tg_profiled_lock);
}

static void tg_child_forgets_threads(void) {
    pthread_mutex_init(&tg_profiled_lock, NULL);
    for (tg_profiled_thread *t = tg_profiled_threads; t != NULL; t = t->next)
        if (t != tg_this_profiled) t->state = NULL;
}

static int tg_profiler_init(void) {
    if (pthread_key_create(&tg_profiled_key, tg_thread_has_ended) != 0) return -1;
    return pthread_atfork(NULL, NULL, tg_child_forgets_threads);
}

/* Let profilers that start in other threads reach this one. A thread's state is born with `profiling` -1 and one
 * reason to be slow, so that its first operator comes here. */
static tg_profiled_thread *tg_register_thread(tg_thread_state *state) {
    tg_profiled_thread *t = tg_this_profiled;
    if (t == NULL) {
        t = (tg_profiled_thread *)calloc(1, sizeof(*t));
        if (t == NULL) return NULL;
        t->top = -1;
        t->native_id = syscall(SYS_gettid);
        tg_this_profiled = t;
        pthread_setspecific(tg_profiled_key, t);
        pthread_mutex_lock(&tg_profiled_lock);
        t->state = state;
        t->next = tg_profiled_threads;
        tg_profiled_threads = t;
        state->profiling = tg_profilers > 0;
        state->slow += state->profiling - 1;
        pthread_mutex_unlock(&tg_profiled_lock);
    }
    return t;
}

/* One profiler more (1) or fewer (-1): tell every thread. */
static void tg_count_profilers(int step) {
    pthread_mutex_lock(&tg_profiled_lock);
    tg_profilers += step;
    for (tg_profiled_thread *t = tg_profiled_threads; t != NULL; t = t->next)
        if (t->state != NULL && t->state->profiling != (tg_profilers > 0)) {
            t->state->profiling = tg_profilers > 0;
            __atomic_fetch_add(&t->state->slow, tg_profilers > 0 ? 1 : -1, __ATOMIC_RELAXED);
        }
    pthread_mutex_unlock(&tg_profiled_lock);
}

/* ---- events --------------------------------------------------------------------------------------- */
#define TG_NO_EVENT ((int64_t)-1)

static inline int64_t tg_event_token(tg_profiled_thread *t, int32_t index) {
    return (int64_t)(((uint64_t)(t->generation & 0x7fffffffu) << 32) | (uint32_t)index);
}

/* Takes over a reference to `details`. */
static int64_t tg_begin_event(tg_profiled_thread *t, PyObject *name, int kind, int64_t sequence, PyObject *details) {
    int64_t token = TG_NO_EVENT;
    tg_lock_events(t);
    if (t->n_events == t->size_events && t->n_events < tg_profile_bound) {
        int64_t size = t->size_events ? 2 * t->size_events : 1024;
        if (size > tg_profile_bound) size = tg_profile_bound;
        tg_event *grown = (tg_event *)realloc(t->events, (size_t)size * sizeof(tg_event));
        if (grown != NULL) {
            t->events = grown;
            t->size_events = size;
        }
    }
    if (t->n_events >= t->size_events || t->n_events >= tg_profile_bound) {
        t->dropped++;
        tg_unlock_events(t);
        Py_XDECREF(details);
        return token;
    }
    tg_event *e = &t->events[t->n_events];
    Py_INCREF(name);
    e->name = name;
    e->details = details;
    e->kind = kind;
    e->sequence = sequence;
    e->parent = t->top;
    e->end = 0;
    e->cpu_bytes = t->cpu_bytes;
    e->device_bytes = t->device_bytes;
    t->top = (int32_t)t->n_events++;
    token = tg_event_token(t, t->top);
    e->start = tg_nanoseconds();
    if (e->start < t->last) e->start = t->last;
    t->last = e->start;
    tg_unlock_events(t);
    return token;
}

/* The open event of a token, or NULL when it has ended, was cleared, or belongs to another thread. */
static inline tg_event *tg_open_event(tg_profiled_thread *t, int64_t token) {
    if (token < 0 || t == NULL || (uint32_t)(token >> 32) != (t->generation & 0x7fffffffu)) return NULL;
    int64_t index = token & 0xffffffff;
    if (index >= t->n_events || t->events[index].end != 0) return NULL;
    return &t->events[index];
}

static inline void tg_close_top(tg_profiled_thread *t, int64_t now) {
    tg_event *e = &t->events[t->top];
    if (now < t->last) now = t->last;
    e->end = now > e->start ? now : e->start + 1;
    t->last = e->end;
    e->cpu_bytes = t->cpu_bytes - e->cpu_bytes;
    e->device_bytes = t->device_bytes - e->device_bytes;
    t->top = e->parent;
}

/* End an event, and whatever is open inside it; `sequence` replaces its number. */
static void tg_end_event(tg_profiled_thread *t, int64_t token, int64_t sequence) {
    int64_t now = tg_nanoseconds();
    if (t == NULL) return;
    tg_lock_events(t);
    tg_event *e = tg_open_event(t, token);
    if (e != NULL) {
        e->sequence = sequence;
        while (t->top >= 0 && &t->events[t->top] != e) tg_close_top(t, now);
        if (t->top >= 0) tg_close_top(t, now);
    }
    tg_unlock_events(t);
}

static inline int64_t tg_innermost(tg_profiled_thread *t) {
    return t == NULL || t->top < 0 ? TG_NO_EVENT : tg_event_token(t, t->top);
}

/* After an exception: end what was begun inside the event `token`, which was the innermost one. */
static void tg_end_inside(tg_profiled_thread *t, int64_t token) {
    int64_t now = tg_nanoseconds();
    if (t == NULL) return;
    tg_lock_events(t);
    tg_event *e = tg_open_event(t, token);
    while (t->top >= 0 && (token == TG_NO_EVENT || (e != NULL && &t->events[t->top] != e))) tg_close_top(t, now);
    tg_unlock_events(t);
}

/* Called by the allocators of types.pyx and memory.h; needs no GIL. */
static void tg_record_memory(int64_t bytes, int64_t total, void *device) {
    tg_profiled_thread *t = tg_this_profiled;
    if (t == NULL || t->state == NULL || t->state->profiling <= 0) return;
    tg_lock_events(t);
    if (device == NULL) t->cpu_bytes += bytes;
    else t->device_bytes += bytes;
    if (t->n_records == t->size_records && t->n_records < tg_profile_bound) {
        int64_t size = t->size_records ? 2 * t->size_records : 1024;
        if (size > tg_profile_bound) size = tg_profile_bound;
        tg_memory_record *grown =
            (tg_memory_record *)realloc(t->records, (size_t)size * sizeof(tg_memory_record));
        if (grown != NULL) {
            t->records = grown;
            t->size_records = size;
        }
    }
    if (t->n_records < t->size_records && t->n_records < tg_profile_bound)
        t->records[t->n_records++] = (tg_memory_record){tg_nanoseconds(), bytes, total, device, t->top};
    else
        t->dropped++;
    tg_unlock_events(t);
}

typedef struct tg_forgotten {
    tg_event *events;
    int64_t n;
    PyObject *name;
    struct tg_forgotten *next;
} tg_forgotten;

/* Forget everything, also the events that other threads are inside. */
static void tg_clear_events(void) {
    tg_profiled_thread **link = &tg_profiled_threads;
    tg_forgotten *forgotten = NULL;
    pthread_mutex_lock(&tg_profiled_lock);
    while (*link != NULL) {
        tg_profiled_thread *t = *link;
        tg_forgotten *f = (tg_forgotten *)malloc(sizeof(*f));
        if (f == NULL) break;                   /* then the rest is forgotten next time */
        tg_lock_events(t);
        *f = (tg_forgotten){t->events, t->n_events, t->thread_name, forgotten};
        forgotten = f;
        t->events = NULL;
        t->thread_name = NULL;
        t->n_events = t->size_events = t->n_records = t->size_records = t->dropped = 0;
        t->cpu_bytes = t->device_bytes = 0;
        free(t->records);
        t->records = NULL;
        t->top = -1;
        t->generation++;
        tg_unlock_events(t);
        if (t->state == NULL && t != tg_this_profiled) {
            *link = t->next;
            free(t);
        } else {
            link = &t->next;
        }
    }
    pthread_mutex_unlock(&tg_profiled_lock);
    /* After the lock: the death of an object may let another thread run. */
    while (forgotten != NULL) {
        tg_forgotten *f = forgotten;
        forgotten = f->next;
        for (int64_t i = 0; i < f->n; i++) {
            Py_DECREF(f->events[i].name);
            Py_XDECREF(f->events[i].details);
        }
        free(f->events);
        Py_XDECREF(f->name);
        free(f);
    }
}

#endif
