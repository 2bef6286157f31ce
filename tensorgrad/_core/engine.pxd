"""The backward traversal: one run of it, which backward.pyx starts."""
from cpython.object cimport PyObject
from libc.stdint cimport int8_t, int32_t, int64_t

from tensorgrad._core.grad_mode cimport tg_thread_state
from tensorgrad._core.types cimport NodeBase

cdef extern from "node_map.h":
    ctypedef struct tg_node_entry:
        void* node
        void* grads
        int32_t waiting
        int8_t wanted
        int8_t captured
    ctypedef struct tg_node_map:
        tg_node_entry* entries
        int64_t size
        int64_t count
    tg_node_entry* tg_node_find(const tg_node_map* m, const void* node)
    tg_node_entry* tg_node_insert(tg_node_map* m, void* node, int* is_new)

cdef struct Heap:
    PyObject** items            # ready nodes, the latest recorded first; borrowed from the run's map
    int64_t count, size

cdef class Run:
    """One backward run."""
    cdef tg_node_map map
    cdef Heap ready             # also the stack of the first visit
    cdef PyObject** result      # what the node in hand gives each of its edges; NULL between nodes
    cdef int64_t n_result
    cdef list roots             # keeps the graph alive while it is traversed
    cdef dict captures          # node -> {output_nr: [positions]}
    cdef list captured
    cdef bint keep_graph, accumulate, create_graph
    cdef bint whole             # neither this run nor one around it names inputs
    cdef int64_t number
    cdef tg_node_entry* entry(self, PyObject* node) except NULL
    cdef int count_dependencies(self) except -1
    cdef int visit_later(self, PyObject* node) except -1
    cdef int mark_wanted(self) except -1
    cdef int deliver(self, tg_node_entry* e, int output_nr, object grad) except -1
    cdef int make_result(self, int64_t n) except -1
    cdef int want_all(self) except -1
    cdef int start(self, tuple outputs, tuple grads) except -1
    cdef int run(self) except -1
    cdef object look_at(self, NodeBase node, object arrived, tg_node_entry* e)
    cdef int run_node(self, NodeBase node, object arrived, tg_thread_state* st) except -1
    cdef int run_watched(self, NodeBase node, PyObject** grads, tg_thread_state* st) except -1
    cdef list result_as_list(self, NodeBase node)
    cdef int capture(self, NodeBase node, list grads) except -1

cdef Run new_run(list roots, bint keep_graph, bint whole)
