/* A hash map from node addresses to what one backward run knows of them. */
#ifndef TG_NODE_MAP_H
#define TG_NODE_MAP_H

#include <stdint.h>
#include <stdlib.h>

typedef struct {
    void *node;         /* NULL: a free place */
    void *grads;        /* an owned list of the gradients that have arrived, or NULL */
    int32_t waiting;    /* edges that still have to deliver */
    int8_t wanted;      /* lies on a path to an input (or no inputs were named) */
    int8_t captured;    /* is named as an input itself */
} tg_node_entry;

typedef struct {
    tg_node_entry *entries;
    int64_t size, count; /* size is a power of two */
} tg_node_map;

static inline uint64_t tg_hash_pointer(const void *p) {
    return ((uint64_t)(uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u;
}

static tg_node_entry *tg_node_find(const tg_node_map *m, const void *node) {
    if (m->size == 0) return NULL;
    uint64_t mask = (uint64_t)m->size - 1;
    for (uint64_t i = tg_hash_pointer(node) >> 20 & mask;; i = (i + 1) & mask) {
        if (m->entries[i].node == node) return &m->entries[i];
        if (m->entries[i].node == NULL) return NULL;
    }
}

static int tg_node_map_grow(tg_node_map *m) {
    int64_t size = m->size ? 2 * m->size : 64;
    tg_node_entry *old = m->entries, *entries = (tg_node_entry *)calloc((size_t)size, sizeof(tg_node_entry));
    if (entries == NULL) return -1;
    for (int64_t k = 0; k < m->size; k++) {
        if (old[k].node == NULL) continue;
        uint64_t i = tg_hash_pointer(old[k].node) >> 20 & (uint64_t)(size - 1);
        while (entries[i].node != NULL) i = (i + 1) & (uint64_t)(size - 1);
        entries[i] = old[k];
    }
    free(old);
    m->entries = entries;
    m->size = size;
    return 0;
}

/* The entry of `node`, made if need be; NULL when there is no memory. Entries move when others are made. */
static tg_node_entry *tg_node_insert(tg_node_map *m, void *node, int *is_new) {
    tg_node_entry *e = tg_node_find(m, node);
    *is_new = e == NULL;
    if (e != NULL) return e;
    if (2 * (m->count + 1) > m->size && tg_node_map_grow(m) < 0) return NULL;
    uint64_t mask = (uint64_t)m->size - 1, i = tg_hash_pointer(node) >> 20 & mask;
    while (m->entries[i].node != NULL) i = (i + 1) & mask;
    m->entries[i].node = node;
    m->count++;
    return &m->entries[i];
}

#endif
