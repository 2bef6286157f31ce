/* Memory for the core: data blocks, pooled Python objects, and a death that does not recurse.
 *
 * Everything here runs with the GIL held, which is the lock of all of it; without one the block cache has its own.
 * TENSORGRAD_NO_POOL=1 turns all pools and caches off, for sanitizers and leak tests.
 */
#ifndef TG_MEMORY_H
#define TG_MEMORY_H

#include <Python.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "thread_state.h"
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* ---- data blocks: size classes, a free list each, a bound on what is kept ---- */
#define TG_ALIGN 64
/* Four classes a doubling, so that a block fits again soon; from 2^TG_LARGE units (64 KiB) on 32, so that little is wasted. */
#define TG_LARGE 10
#define TG_CLASSES (4 * TG_LARGE + 32 * 44)

typedef struct { void *head; } tg_free_list;
typedef struct {
    int64_t live, peak, cached, limit, allocations, system_calls, retries;
    int off, huge_pages;
} tg_memory_stats;

static tg_free_list tg_blocks[TG_CLASSES];
static tg_memory_stats tg_memory = {0, 0, 0, (int64_t)1 << 30, 0, 0, 0, 0, 0};

#ifdef Py_GIL_DISABLED
/* Held for a few instructions; whoever finds it taken lets the holder run. */
static volatile char tg_block_lock;
static inline void tg_lock_blocks(void) { while (__atomic_test_and_set(&tg_block_lock, __ATOMIC_ACQUIRE)) sched_yield(); }
static inline void tg_unlock_blocks(void) { __atomic_clear(&tg_block_lock, __ATOMIC_RELEASE); }
#else
static inline void tg_lock_blocks(void) {}
static inline void tg_unlock_blocks(void) {}
#endif

static inline int tg_size_class(int64_t nbytes, int64_t *rounded) {
    if (nbytes <= TG_ALIGN) { *rounded = TG_ALIGN; return 0; }
    uint64_t n = (uint64_t)(nbytes - 1) / TG_ALIGN + 1;          /* in units of the alignment */
    int top = 63 - __builtin_clzll(n), bits = top < TG_LARGE ? 2 : 5;
    int shift = top > bits ? top - bits : 0;
    uint64_t step = (uint64_t)1 << shift, units = (n + step - 1) & ~(step - 1);
    *rounded = (int64_t)(units * TG_ALIGN);
    top = 63 - __builtin_clzll(units);
    if (top >= TG_LARGE) return 4 * TG_LARGE + 32 * (top - TG_LARGE) + (int)((units >> (top - 5)) & 31);
    shift = top > 2 ? top - 2 : 0;
    return top * 4 + (int)((units >> shift) & 3);
}

/* The size of a class, in units of the alignment. */
static inline int64_t tg_class_units(int c) {
    if (c >= 4 * TG_LARGE) {
        c -= 4 * TG_LARGE;
        return (int64_t)(32 + (c & 31)) << (c / 32 + TG_LARGE - 5);
    }
    return c < 8 ? (c > 5 ? c - 4 : 1) : (int64_t)(4 + (c & 3)) << (c / 4 - 2);
}

/* A child of fork() must not inherit a lock that a thread it does not have was holding. */
static void tg_blocks_watch_fork(void) { pthread_atfork(tg_lock_blocks, tg_unlock_blocks, tg_unlock_blocks); }

/* Takes cached blocks out, the largest first, until no more than `keep` bytes are cached. With the
 * lock held; what is taken out is a chain, to be freed without it. */
static void *tg_blocks_evict(int64_t keep) {
    void *chain = NULL;
    for (int c = TG_CLASSES - 1; c >= 0 && tg_memory.cached > keep; c--) {
        const int64_t units = tg_class_units(c);
        while (tg_blocks[c].head != NULL && tg_memory.cached > keep) {
            void *block = tg_blocks[c].head;
            tg_blocks[c].head = *(void **)block;
            *(void **)block = chain;
            chain = block;
            tg_memory.cached -= units * TG_ALIGN;
        }
    }
    return chain;
}

static void tg_free_chain(void *block) {
    while (block != NULL) {
        void *next = *(void **)block;
        free(block);
        block = next;
    }
}

static void *tg_system_alloc(int64_t size) {
    const int64_t huge = (int64_t)2 << 20;
    const int use_huge = tg_memory.huge_pages && size >= 2 * huge;
    void *block = NULL;
    if (posix_memalign(&block, (size_t)(use_huge ? huge : TG_ALIGN), (size_t)size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (use_huge) madvise(block, (size_t)(size / huge * huge), MADV_HUGEPAGE); /* a hint: the block serves without */
#endif
    return block;
}

static char *tg_block_alloc(int64_t nbytes) {
    int64_t size;
    int c = tg_size_class(nbytes, &size);
    void *block = NULL;
    tg_lock_blocks();
    if (c < TG_CLASSES && tg_blocks[c].head != NULL) {
        block = tg_blocks[c].head;
        tg_blocks[c].head = *(void **)block;
        tg_memory.cached -= size;
    } else {
        tg_memory.system_calls++;
    }
    tg_memory.allocations++;
    tg_memory.live += size;
    if (tg_memory.live > tg_memory.peak) tg_memory.peak = tg_memory.live;
    tg_unlock_blocks();
    if (block != NULL || (block = tg_system_alloc(size)) != NULL) return (char *)block;
    tg_lock_blocks(); /* what is cached may be what is missing */
    tg_memory.retries++;
    void *chain = tg_blocks_evict(0);
    tg_unlock_blocks();
    tg_free_chain(chain);
    if ((block = tg_system_alloc(size)) != NULL) return (char *)block;
    tg_lock_blocks();
    tg_memory.live -= size;
    tg_unlock_blocks();
    return NULL;
}

static void tg_block_free(char *block, int64_t nbytes) {
    int64_t size;
    int c = tg_size_class(nbytes, &size);
    int keep;
    void *chain = NULL;
    tg_lock_blocks();
    tg_memory.live -= size;
    keep = !tg_memory.off && c < TG_CLASSES && size <= tg_memory.limit;
    /* The newest block is the likeliest to be asked for again: older ones make room for it. */
    if (keep && tg_memory.cached + size > tg_memory.limit) chain = tg_blocks_evict(tg_memory.limit - size);
    if (keep) {
        *(void **)block = tg_blocks[c].head;
        tg_blocks[c].head = block;
        tg_memory.cached += size;
    }
    tg_unlock_blocks();
    if (!keep) free(block);
    tg_free_chain(chain);
}

/* Frees cached blocks until at most `keep` bytes are cached, and gives the memory to the system. */
static void tg_blocks_release(int64_t keep) {
    tg_lock_blocks();
    void *chain = tg_blocks_evict(keep);
    tg_unlock_blocks();
    Py_BEGIN_ALLOW_THREADS
    tg_free_chain(chain);
#ifdef __GLIBC__
    malloc_trim(0); /* free() alone keeps what was not mapped by itself */
#endif
    Py_END_ALLOW_THREADS
}

/* ---- pools of Python objects: installed as tp_alloc and tp_free of one layout ---- */
#if defined(Py_GIL_DISABLED)
#define TG_POOL_LIMIT 0
#else
#define TG_POOL_LIMIT 4096
#endif

typedef struct { PyObject *head; int count; Py_ssize_t basicsize; } tg_pool;

static inline PyObject *tg_pool_alloc(tg_pool *pool, PyTypeObject *type) {
    PyObject *o = pool->head;
    if (o == NULL || type->tp_basicsize != pool->basicsize) return PyType_GenericAlloc(type, 0);
    pool->head = (PyObject *)o->ob_type;       /* a dead object's type slot links the list */
    pool->count--;
    memset((char *)o + sizeof(PyObject), 0, (size_t)pool->basicsize - sizeof(PyObject));
    PyObject_Init(o, type);
    if (PyType_IS_GC(type)) PyObject_GC_Track(o);
    return o;
}

static inline void tg_pool_free(tg_pool *pool, void *p) {
    PyObject *o = (PyObject *)p;
    PyTypeObject *type = Py_TYPE(o);
    if (pool->count < TG_POOL_LIMIT && !tg_memory.off && type->tp_basicsize == pool->basicsize) {
        o->ob_type = (PyTypeObject *)pool->head;
        pool->head = o;
        pool->count++;
    } else if (PyType_IS_GC(type)) {
        PyObject_GC_Del(p);
    } else {
        PyObject_Free(p);
    }
}

/* Debug builds of CPython account for every allocation by type: leave theirs alone there. */
#define TG_DEFINE_POOL(NAME)                                                                      \
    static tg_pool tg_pool_##NAME;                                                                \
    static PyObject *tg_alloc_##NAME(PyTypeObject *type, Py_ssize_t n) {                          \
        (void)n;                                                                                  \
        return tg_pool_alloc(&tg_pool_##NAME, type);                                              \
    }                                                                                             \
    static void tg_free_##NAME(void *p) { tg_pool_free(&tg_pool_##NAME, p); }                     \
    static void tg_install_##NAME(PyObject *t) {                                                  \
        PyTypeObject *type = (PyTypeObject *)t;                                                   \
        tg_pool_##NAME.basicsize = type->tp_basicsize;                                            \
        type->tp_alloc = tg_alloc_##NAME;                                                         \
        type->tp_free = tg_free_##NAME;                                                           \
    }

/* ---- death without recursion ---- */
#define TG_DEATH_DEPTH 16

typedef struct { PyObject *object; destructor dealloc; } tg_corpse;
typedef struct { tg_corpse *items; Py_ssize_t count, size; int depth; } tg_worklist;
static TG_THREAD_LOCAL tg_worklist tg_dying;

/* Run `dealloc` on `o` now, or, deep inside other deallocations, when they have returned. */
static inline void tg_bury(PyObject *o, destructor dealloc) {
    tg_worklist *w = &tg_dying;
    if (w->depth >= TG_DEATH_DEPTH) {
        if (w->count == w->size) {
            Py_ssize_t size = w->size ? 2 * w->size : 256;
            tg_corpse *items = (tg_corpse *)realloc(w->items, (size_t)size * sizeof(tg_corpse));
            if (items == NULL) Py_FatalError("tensorgrad: out of memory while freeing a graph");
            w->items = items;
            w->size = size;
        }
        PyObject_GC_UnTrack(o);
        Py_INCREF(Py_TYPE(o));                  /* a heap type may die before its last instance does */
        w->items[w->count++] = (tg_corpse){o, dealloc};
        return;
    }
    w->depth++;
    dealloc(o);
    w->depth--;
    if (w->depth == 0 && w->size > 0) {
        while (w->count > 0) {
            tg_corpse next = w->items[--w->count];
            PyTypeObject *type = Py_TYPE(next.object);
            w->depth++;
            next.dealloc(next.object);
            w->depth--;
            Py_DECREF(type);
        }
        if (w->size > 4096) {                   /* a deep graph has passed: give its list back */
            free(w->items);
            w->items = NULL;
            w->size = 0;
        }
    }
}

#endif
