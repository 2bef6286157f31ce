"""The backward traversal.

A run counts how many gradients each reachable node will receive, then runs the nodes in an
order in which all of a node's gradients have arrived before it runs: among the ready ones the most
recently recorded first. Nothing recurses, and what one run knows of a node lives in the run's own
map, so that several threads may traverse one graph. backward.pyx has the ways in.
"""
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, dtype
from tensorgrad._core.grad_mode cimport anomaly_mode, tg_thread_state, thread_state
from tensorgrad._core.graph cimport forward_stack, node_name
from tensorgrad._core.leaves cimport retain
from tensorgrad._core.operator cimport Operator, call1, call2, combine, handle
from tensorgrad._core.profiler cimport begin_evaluation, begin_node, end_event, end_events_inside, innermost_event
from tensorgrad._core.types cimport (
    CONTIGUOUS, NodeBase, NodeHooks, OutputMeta, TensorBase, give, release_saved)
from tensorgrad._core.view cimport CopySlices

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o)
    PyObject** PySequence_Fast_ITEMS(object items) noexcept
    void Py_CLEAR(PyObject* o)

cdef extern from *:
    """
    static __thread void *tg_current_run = NULL;
    """
    void* tg_current_run        # the innermost Run of this thread, borrowed

cdef Operator op_add = handle("add")
cdef Operator op_add_ = handle("add_")
cdef Operator op_sum_to_size = handle("sum_to_size")
cdef Operator op_to = handle("to")
cdef Operator op_real = handle("real")
cdef Operator op_isnan = handle("isnan")
cdef Operator op_any = handle("any")

from tensorgrad._core.locks import local

_running = local()


def current_node():
    """The node that backward is running in this thread, or None."""
    stack = getattr(_running, "stack", None)
    return stack[-1] if stack else None


def current_run():
    """A number for the backward run in progress in this thread, -1 outside of backward."""
    return -1 if tg_current_run == NULL else (<Run>tg_current_run).number


cdef Run new_run(list roots, bint keep_graph, bint whole):
    """A run from these nodes; `whole` if it names no inputs."""
    cdef Run r = Run.__new__(Run)
    r.whole = whole and (tg_current_run == NULL or (<Run>tg_current_run).whole)
    r.keep_graph, r.roots = keep_graph, roots
    return r


def runs_whole_graph():
    """Whether neither the backward run in progress in this thread nor one around it is for named inputs only."""
    return tg_current_run == NULL or (<Run>tg_current_run).whole


def will_execute(NodeBase node):
    """Whether the backward run in progress reaches `node`."""
    cdef tg_node_entry* e
    if tg_current_run == NULL:
        raise RuntimeError("_get_current_graph_task_execution_order should be called during the backward pass")
    e = tg_node_find(&(<Run>tg_current_run).map, <PyObject*>node)
    return e != NULL and (e.wanted or e.captured)


cdef int64_t _runs = 0


cdef int make_room(PyObject*** items, int64_t* size) except -1:
    cdef int64_t wanted = 2 * size[0] if size[0] else 64
    cdef PyObject** grown = <PyObject**>realloc(items[0], wanted * sizeof(PyObject*))
    if grown == NULL:
        raise MemoryError("out of memory in backward")
    items[0], size[0] = grown, wanted
    return 0


cdef int push(Heap* heap, PyObject* node) except -1:
    cdef int64_t i = heap.count, parent
    if heap.count == heap.size:
        make_room(&heap.items, &heap.size)
    heap.count += 1
    while i > 0:
        parent = (i - 1) >> 1
        if (<NodeBase>heap.items[parent]).sequence >= (<NodeBase>node).sequence:
            break
        heap.items[i] = heap.items[parent]
        i = parent
    heap.items[i] = node
    return 0


cdef PyObject* pop(Heap* heap) noexcept:
    cdef PyObject* top = heap.items[0]
    cdef PyObject* last
    cdef int64_t i = 0, child
    heap.count -= 1
    last = heap.items[heap.count]
    while True:
        child = 2 * i + 1
        if child >= heap.count:
            break
        if child + 1 < heap.count and (<NodeBase>heap.items[child + 1]).sequence > (<NodeBase>heap.items[child]).sequence:
            child += 1
        if (<NodeBase>heap.items[child]).sequence <= (<NodeBase>last).sequence:
            break
        heap.items[i] = heap.items[child]
        i = child
    heap.items[i] = last
    return top


cdef class Run:
    """One backward run."""

    def __dealloc__(self):
        cdef int64_t i
        for i in range(self.map.size):
            if self.map.entries[i].node != NULL:
                Py_XDECREF(<PyObject*>self.map.entries[i].grads)
                Py_XDECREF(<PyObject*>self.map.entries[i].node)
        free(self.map.entries)
        free(self.ready.items)
        for i in range(self.n_result):
            Py_XDECREF(self.result[i])
        free(self.result)

    cdef tg_node_entry* entry(self, PyObject* node) except NULL:
        cdef int is_new
        cdef tg_node_entry* e = tg_node_insert(&self.map, node, &is_new)
        if e == NULL:
            raise MemoryError("out of memory in backward")
        if is_new:
            Py_INCREF(<object>node)
        return e

    cdef int count_dependencies(self) except -1:
        """Visit every reachable node once; each counts the edges that lead to it."""
        cdef Heap* stack = &self.ready
        cdef NodeBase node
        cdef PyObject* target
        cdef int i
        cdef int64_t before
        for root in self.roots:
            before = self.map.count
            self.entry(<PyObject*>root)
            if self.map.count > before:
                self.visit_later(<PyObject*>root)
        while stack.count:
            stack.count -= 1
            node = <NodeBase>stack.items[stack.count]
            for i in range(node.n_edges):
                target = node.edges[i].node
                if target == NULL:
                    continue
                before = self.map.count
                self.entry(target).waiting += 1
                if self.map.count > before:
                    self.visit_later(target)
        return 0

    cdef int visit_later(self, PyObject* node) except -1:
        if self.ready.count == self.ready.size:
            make_room(&self.ready.items, &self.ready.size)
        self.ready.items[self.ready.count] = node
        self.ready.count += 1
        return 0

    cdef int mark_wanted(self) except -1:
        """With named inputs, only what lies on a path to one of them is run: children before parents, iteratively."""
        cdef list stack = [(root, 0) for root in self.roots]
        cdef set seen = set()
        cdef NodeBase node
        cdef tg_node_entry* e
        cdef int i
        cdef bint wanted
        while stack:
            node, done = stack.pop()
            if done:
                wanted = False
                for i in range(node.n_edges):
                    if node.edges[i].node != NULL:
                        e = tg_node_find(&self.map, node.edges[i].node)
                        if e.wanted or e.captured:
                            wanted = True
                            break
                tg_node_find(&self.map, <PyObject*>node).wanted = wanted
                continue
            if node in seen:
                continue
            seen.add(node)
            stack.append((node, 1))
            for i in range(node.n_edges):
                if node.edges[i].node != NULL and <object>node.edges[i].node not in seen:
                    stack.append((<object>node.edges[i].node, 0))
        return 0

    cdef int deliver(self, tg_node_entry* e, int output_nr, object grad) except -1:
        """Add `grad` to what has arrived at output `output_nr` of a node."""
        cdef list grads
        cdef TensorBase old
        cdef bint alone = (<NodeBase>e.node).n_outputs == 1
        if grad is None:
            return 0
        if e.grads == NULL:
            grads = None if alone else [None] * (<NodeBase>e.node).n_outputs
            if not alone:
                grads[output_nr] = grad
            first = grad if alone else grads
            Py_INCREF(first)
            e.grads = <void*>first
            return 0
        old = <TensorBase>e.grads if alone else <TensorBase>(<list>e.grads)[output_nr]
        if old is None:
            (<list>e.grads)[output_nr] = grad
            return 0
        # The sum goes into a buffer that nobody else holds; with create_graph the addition is recorded.
        if (not self.create_graph and Py_REFCNT(<PyObject*>old) == 2 and old.grad_fn is None and old.meta is None
                and old.wrap is None and (<TensorBase>grad).wrap is None
                and old.flags & CONTIGUOUS and Py_REFCNT(<PyObject*>old.storage) == 1 and old.storage.owner is None):
            combine(op_add_, old, grad)
            return 0
        grad = call2(op_add, old, grad)
        if alone:
            e.grads = <void*>grad
            Py_INCREF(grad)
            Py_XDECREF(<PyObject*>old)
        else:
            (<list>e.grads)[output_nr] = grad
        return 0

    cdef int make_result(self, int64_t n) except -1:
        """Room for what a node of `n` edges gives."""
        cdef PyObject** grown = <PyObject**>realloc(self.result, n * sizeof(PyObject*))
        if grown == NULL:
            raise MemoryError("out of memory in backward")
        memset(grown + self.n_result, 0, (n - self.n_result) * sizeof(PyObject*))
        self.result, self.n_result = grown, n
        return 0

    cdef int want_all(self) except -1:
        cdef int64_t k
        for k in range(self.map.size):
            if self.map.entries[k].node != NULL:
                self.map.entries[k].wanted = 1
        return 0

    cdef int start(self, tuple outputs, tuple grads) except -1:
        """Run from the roots' outputs of these numbers, in the modes that backward has."""
        global _runs, tg_current_run
        cdef tg_thread_state* st = thread_state()
        cdef int grad_before = st.grad
        cdef void* outer = tg_current_run
        cdef int64_t event = innermost_event() if st.profiling else -2
        _runs += 1
        self.number = _runs
        st.grad = self.create_graph
        tg_current_run = <void*>self
        try:
            for node, output_nr, grad in zip(self.roots, outputs, grads):
                self.deliver(tg_node_find(&self.map, <PyObject*>node), output_nr, grad)
            grad = None
            return self.run()
        finally:
            tg_current_run = outer
            st.grad = grad_before
            if st.profiling:
                end_events_inside(event)        # those of nodes that an error has left open

    cdef int run(self) except -1:
        cdef tg_node_entry* e       # the map no longer grows: entries stay where they are
        cdef NodeBase node
        cdef PyObject* target
        cdef object grad, arrived   # the gradient of a node's one output, or a list of those of several
        cdef int i
        cdef bint ran
        cdef tg_thread_state* st = thread_state()
        cdef int64_t event = -1     # of the profiler
        for root in self.roots if len(self.roots) == 1 else set(self.roots):
            if tg_node_find(&self.map, <PyObject*>root).waiting == 0:
                push(&self.ready, <PyObject*>root)
        while self.ready.count:
            node = <NodeBase>pop(&self.ready)
            e = tg_node_find(&self.map, <PyObject*>node)
            ran = False
            if e.grads != NULL:
                arrived = <object>e.grads
                Py_XDECREF(<PyObject*>e.grads)
                e.grads = NULL
                event = begin_evaluation(st, node) if st.profiling and e.wanted else -1
                if e.captured or node.hooks is not None or node.is_accumulator:
                    arrived = self.look_at(node, arrived, e)
                if e.wanted:
                    self.run_node(node, arrived, st)
                    ran = True
                arrived = None
            for i in range(node.n_edges):
                target = node.edges[i].node
                if target == NULL:
                    continue
                e = tg_node_find(&self.map, target)
                if ran and self.result[i] != NULL:
                    if e.wanted or e.captured:
                        grad = validated(node, i, <object>self.result[i])
                        Py_XDECREF(self.result[i])
                        self.result[i] = NULL
                        self.deliver(e, node.edges[i].output_nr, grad)
                        grad = None
                e.waiting -= 1
                if e.waiting == 0:
                    push(&self.ready, target)
            if ran:
                if not self.keep_graph:
                    release_node(node)
                for i in range(node.n_edges):       # what nobody wanted
                    if self.result[i] != NULL:
                        Py_CLEAR(self.result[i])
            if event >= 0:
                end_event(event)
                event = -1
        return 0

    cdef object look_at(self, NodeBase node, object arrived, tg_node_entry* e):
        """Hooks see the gradients and may exchange them; what is asked for is handed out."""
        cdef list grads
        if not e.captured and node.hooks is None and ((<TensorBase>node.context).meta is None
                                                      or not (<TensorBase>node.context).meta.hooks):
            return arrived
        grads = [arrived] if node.n_outputs == 1 else <list>arrived
        if e.captured and e.wanted:         # as in PyTorch: what goes on has passed the hooks, what is handed out has not
            self.capture(node, grads)
        if node.hooks is not None or node.is_accumulator:
            run_prehooks(node, grads)
        if e.captured and not e.wanted:
            self.capture(node, grads)
        return grads[0] if node.n_outputs == 1 else grads

    cdef int run_node(self, NodeBase node, object arrived, tg_thread_state* st) except -1:
        """Fill `result` with what a node makes of the gradients that have arrived."""
        cdef PyObject* one = <PyObject*>arrived
        cdef PyObject** grads = &one if node.n_outputs == 1 else PySequence_Fast_ITEMS(arrived)
        if node.n_edges > self.n_result:
            self.make_result(node.n_edges)
        if node.runner == NULL:
            raise RuntimeError(f"{node_name(node)} cannot be run")
        if node.hooks is None and not st.profiling and not anomaly_mode().enabled:
            return node.runner(node, grads, self.result)
        return self.run_watched(node, grads, st)

    cdef int run_watched(self, NodeBase node, PyObject** grads, tg_thread_state* st) except -1:
        """With the hooks of the node, the profiler's events and anomaly mode's checks around it."""
        cdef NodeHooks hooks = node.hooks
        cdef bint watched = anomaly_mode().enabled
        cdef list given = [<object>grads[i] for i in range(node.n_outputs)]
        cdef tuple inputs
        stack = None
        if watched or hooks is not None:
            stack = getattr(_running, "stack", None)
            if stack is None:
                stack = _running.stack = []
            stack.append(node)
        cdef int64_t event = begin_node(st, node, given) if st.profiling else -1
        try:
            node.runner(node, grads, self.result)
        except Exception:
            if watched:
                explain_anomaly(node)
            raise
        finally:
            if event >= 0:
                end_event(event)
            if stack is not None:
                stack.pop()
        if watched and anomaly_mode().check_nan:
            check_nan(node, self.result_as_list(node))
        if hooks is None or hooks.post is None:
            return 0
        for hook in list(hooks.post.values()):
            inputs = tuple(self.result_as_list(node))
            replaced = hook(inputs, tuple(given))
            if replaced is None:
                continue
            replaced = replaced if isinstance(replaced, tuple) else (replaced,)
            if len(replaced) != len(inputs):
                raise RuntimeError(f"hook '{_name(hook)}' has returned an incorrect number of values "
                                   f"(got {len(replaced)}, but expected {len(inputs)})")
            for i in range(node.n_edges):
                Py_CLEAR(self.result[i])
                give(self.result, i, replaced[i])
        return 0

    cdef list result_as_list(self, NodeBase node):
        return [None if self.result[i] == NULL else <object>self.result[i] for i in range(node.n_edges)]

    cdef int capture(self, NodeBase node, list grads) except -1:
        for output_nr, positions in self.captures[node].items():
            for position in positions:
                self.captured[position] = grads[output_nr]
        return 0


def _name(hook):
    return getattr(hook, "__name__", repr(hook))


cdef int release_node(NodeBase node) except -1:
    if isinstance(node, CopySlices):
        release_node((<tuple>node.context)[0])
    if node.n_saved and release_saved(node):
        node.released = True
    return 0


cdef int run_prehooks(NodeBase node, list grads) except -1:
    """Tensor hooks first, then what retains gradients, then the node's own prehooks."""
    cdef NodeHooks hooks = node.hooks
    cdef TensorBase x
    if node.is_accumulator:
        x = <TensorBase>node.context
        if x.meta is not None and x.meta.hooks and grads[0] is not None:
            for hook in list(x.meta.hooks.values()):
                grads[0] = hooked(hook, grads[0])
    if hooks is None:
        return 0
    if hooks.tensor_pre is not None:
        for output_nr, registered in hooks.tensor_pre.items():
            if grads[output_nr] is not None:
                for hook in list(registered.values()):
                    grads[output_nr] = hooked(hook, grads[output_nr])
    if hooks.retains is not None:
        for output_nr, reference in list(hooks.retains.items()):
            x = reference()
            if x is not None and grads[output_nr] is not None:
                retain(x, <TensorBase>grads[output_nr])
    if hooks.pre is not None:
        for hook in list(hooks.pre.values()):
            replaced = hook(tuple(grads))
            if replaced is not None:
                replaced = replaced if isinstance(replaced, tuple) else (replaced,)
                if len(replaced) != len(grads):
                    raise RuntimeError(f"hook '{_name(hook)}' has returned an incorrect number of values "
                                       f"(got {len(replaced)}, but expected {len(grads)})")
                grads[:] = replaced
    return 0


cdef object hooked(object hook, TensorBase grad):
    cdef object replaced = hook(grad)
    cdef TensorBase new
    if replaced is None:
        return grad
    if not isinstance(replaced, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(replaced).__name__}': '{_name(hook)}' must return a Tensor or None")
    new = <TensorBase>replaced
    if new.ndim != grad.ndim or any([new.shape[d] != grad.shape[d] for d in range(grad.ndim)]):
        raise RuntimeError(f"hook '{_name(hook)}' has changed the size of value")
    if new.dtype is not grad.dtype:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value (was {grad.dtype}, is {new.dtype})")
    return new


cdef object validated(NodeBase node, int i, object grad):
    """A gradient as the input it belongs to wants it: of its shape, dtype and realness."""
    cdef NodeBase target = <NodeBase>node.edges[i].node
    cdef OutputMeta* m = &target.outputs[node.edges[i].output_nr]
    cdef TensorBase g
    cdef int64_t* dims
    cdef int d
    cdef bint same = True
    if grad is None:
        return None
    if not isinstance(grad, TensorBase):
        raise TypeError(f"{node_name(node)} returned a gradient of type {type(grad).__name__} for its input {i}; expected a "
                        "Tensor or None")
    g = <TensorBase>grad
    dims = m.big if m.big != NULL else &m.dims[0]
    if g.ndim == m.ndim:
        for d in range(g.ndim):
            if g.shape[d] != dims[d]:
                same = False
                break
    else:
        same = False
    if not same:
        shape = tuple([dims[d] for d in range(m.ndim)])
        if not _reducible(g, m.ndim, dims):
            raise RuntimeError(f"Function {node_name(node)} returned an invalid gradient at index {i} - got "
                               f"{[g.shape[d] for d in range(g.ndim)]} but expected shape compatible with {list(shape)}")
        g = call2(op_sum_to_size, g, shape)
    if g.dtype is not <object>m.dtype:
        if g.dtype.category == CAT_COMPLEX and (<dtype>m.dtype).category != CAT_COMPLEX:
            g = call1(op_real, g)
        if g.dtype is not <object>m.dtype and (<dtype>m.dtype).category >= CAT_FLOAT:
            g = call2(op_to, g, <object>m.dtype)
    if g.wrap is None and g.storage is not None and <PyObject*>g.storage.device != m.device:
        # a zero-dimensional CPU tensor that joined another device gets its gradient back on the CPU
        g = call2(op_to, g, <object>m.device)
    return g


cdef bint _reducible(TensorBase g, int ndim, int64_t* dims):
    cdef int d
    if ndim > g.ndim:
        return False
    for d in range(ndim):
        if dims[d] != g.shape[g.ndim - ndim + d] and dims[d] != 1:
            return False
    return True


cdef int check_nan(NodeBase node, list grads) except -1:
    for i, g in enumerate(grads):
        if isinstance(g, TensorBase) and (<TensorBase>g).dtype.category >= CAT_FLOAT and call1(op_any, call1(op_isnan, g)).item():
            explain_anomaly(node)
            raise RuntimeError(f"Function '{node_name(node)}' returned nan values in its {i}th output.")
    return 0


cdef int explain_anomaly(NodeBase node) except -1:
    """Show where in the forward computation a failing node was made."""
    import warnings
    stack = forward_stack(node)
    if stack is None:
        warnings.warn(f"Error detected in {node_name(node)}. No forward pass information available. Enable detect anomaly during "
                      "forward pass for more information.", stacklevel=1)
        return 0
    warnings.warn(f"Error detected in {node_name(node)}. Traceback of forward call that caused the error:\n"
                  f"{''.join(stack)}", stacklevel=1)
    parent = node.extra["metadata"].get("parent_")
    if parent is not None and forward_stack(parent) is not None:
        warnings.warn(f"\n\nPrevious calculation was induced by {node_name(parent)}. Traceback of forward call that induced the "
                      f"previous calculation:\n{''.join(forward_stack(parent))}", stacklevel=1)
    return 0
