"""User-defined functions: what `Function.apply` does around forward, and how their backward runs.

The context that forward, backward and jvp get is the graph's node itself. Its class is made for each
Function, so that ``type(y.grad_fn).__name__`` names it.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc

from tensorgrad._core.recording cimport materialize, remember_stack
from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.grad_mode cimport anomaly_mode, tg_thread_state, thread_state
from tensorgrad._core.graph cimport node_name, save_input, save_output, unpack
from tensorgrad._core.operator cimport Operator, call1, handle
from tensorgrad._core.profiler cimport begin_function, end_event, end_operator
from tensorgrad._core.types cimport (
    HAS_TANGENT, INLINE_SAVED, IS_VIEW, REQUIRES_GRAD, RETAINS_GRAD, VIEW_CUSTOM_FUNCTION, VIEW_MULTI_OUTPUT, Edge, NodeBase,
    OutputMeta, SavedSlot, TensorBase, give, init_node, level_of, set_output, version_of)
from tensorgrad._core.view cimport gradient_edge, rebase_history, refresh_view, set_tangent

cdef Operator op_alias = handle("alias")
cdef Operator op_detach = handle("detach")
cdef Operator op_zeros_like = handle("zeros_like")


cdef class FunctionNode(Node):
    """The context of a `Function`, and the node that it leaves in the graph.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        Whether each argument of forward wants a gradient: what backward need not compute.
    saved_tensors : tuple of Tensor or None
        What `save_for_backward` was given (in jvp: `save_for_forward`), checked for later writes.
    """

    def __repr__(self):
        return f"<{type(self).__module__}.{type(self).__name__} object at {<size_t><void*>self:#x}>"

    def save_for_backward(self, *tensors):
        """Keep tensors for backward; they come back as ``saved_tensors``.

        To be called at most once, from forward or setup_context, with tensors (inputs, outputs or others) and None.
        """
        self.to_save = tensors

    def save_for_forward(self, *tensors):
        """Keep tensors for jvp, where they are ``saved_tensors``."""
        for x in tensors:
            if x is not None and not isinstance(x, TensorBase):
                raise TypeError("save_for_forward expects all arguments to be tensors; you should save non-tensors as attributes "
                                "on ctx.")
        self.saved_forward = tensors

    def mark_dirty(self, *tensors):
        """Say which inputs forward has written to; each must be returned as well."""
        self.dirty = tensors

    def mark_non_differentiable(self, *tensors):
        """Say which outputs have no derivative; backward still gets a gradient for each, of zeros."""
        self.hidden = tensors

    def set_materialize_grads(self, value):
        """Whether gradients that are not there reach backward as zeros (True, the default) or as None."""
        self.materializes = value

    @property
    def needs_input_grad(self):
        return self.needs_grad

    @needs_input_grad.setter
    def needs_input_grad(self, value):
        self.needs_grad = value

    @property
    def saved_tensors(self):
        if self.in_jvp:
            saved = self.saved_forward if self.saved_forward is not None else self.to_save
            return () if saved is None else tuple(saved)
        if self.n_saved:
            return tuple([unpack(self, i) for i in range(self.n_saved)])
        return () if self.to_save is None else tuple(self.to_save)

    @property
    def to_save(self):
        return self.to_save

    @property
    def saved_for_forward(self):
        return self.saved_forward

    @property
    def dirty_tensors(self):
        return self.dirty

    @property
    def non_differentiable(self):
        return self.hidden

    @property
    def materialize_grads(self):
        return self.materializes


def apply_function(object cls, object node_type, tuple args, object forward, object setup_context):
    """Call a Function at the level of transforms that is in force, and record it.

    Parameters
    ----------
    cls : type
        The Function; its `_pullback` runs backward.
    node_type : type
        The class of its nodes.
    args : tuple
    forward : callable
        ``forward(ctx, *args)``, or ``forward(*args)`` where there is a `setup_context`.
    setup_context : callable or None
        ``setup_context(ctx, args, output)``.
    """
    cdef tg_thread_state* st = thread_state()
    cdef int64_t event
    if not st.profiling:
        return _apply_function(cls, node_type, args, forward, setup_context, st)
    event = begin_function(st, cls.__name__, args)
    try:
        result = _apply_function(cls, node_type, args, forward, setup_context, st)
    except BaseException:
        end_event(event)
        raise
    end_operator(event, result)
    return result


cdef object _apply_function(object cls, object node_type, tuple args, object forward, object setup_context,
                            tg_thread_state* st):
    cdef int grad = st.grad, forward_grad = st.forward_grad
    cdef FunctionNode node = (<type>node_type).__new__(node_type)
    cdef int k, n_tensors = 0
    cdef bint records = False, tangents = False, wanted
    cdef TensorBase t
    cdef list needs = []
    for x in args:
        n_tensors += isinstance(x, TensorBase)
    init_node(node, cls, n_tensors, 0, 0)
    node.runner = run_function
    node.materializes = True
    node.n_arguments = <int>len(args)
    node.edge_arguments = []
    for i, x in enumerate(args):
        wanted = False
        if isinstance(x, TensorBase):
            node.edge_arguments.append(i)
            t = x
            if level_of(t) == st.depth:
                if t.flags & IS_VIEW:
                    refresh_view(t)
                wanted = t.flags & REQUIRES_GRAD != 0
                tangents |= t.flags & HAS_TANGENT != 0
        records |= wanted
        needs.append(wanted)
    node.needs_grad = tuple(needs)
    records = records and grad and not st.inference
    if records:     # before forward can write to an input
        for k, i in enumerate(node.edge_arguments):
            if needs[i]:
                gradient_edge(<TensorBase>args[i], node, k)
        if anomaly_mode().enabled:
            remember_stack(node)
    st.grad = 0
    st.forward_grad = 0
    try:
        if setup_context is None:
            raw = forward(node, *args)
        else:
            raw = forward(*args)
            setup_context(node, args, raw)
        outputs = raw if isinstance(raw, tuple) else (raw,)
        results = _wrap_outputs(node, args, outputs, records, st.depth)
    finally:
        st.grad, st.forward_grad = grad, forward_grad
    if tangents and forward_grad:
        _propagate(cls, node, args, results)
    if records:
        _save(node)
    else:
        node.to_save = None
    node.saved_forward = node.dirty = node.hidden = None
    return tuple(results) if isinstance(raw, tuple) else results[0]


# ---- outputs ----------------------------------------------------------------------------------
cdef bint _among(object x, object items):
    if items is not None:
        for item in items:
            if item is x:
                return True
    return False


cdef list _wrap_outputs(FunctionNode node, tuple args, tuple outputs, bint records, int level):
    """Make `node` the history of the outputs; runs with recording off."""
    cdef int i, n = <int>len(outputs), n_tensors = 0
    cdef list results = []
    cdef TensorBase x
    cdef bint is_input, is_dirty
    for x in node.dirty or ():
        if not _among(x, outputs):
            raise RuntimeError("Some elements marked as dirty during the forward method were not returned as output. The inputs "
                               "that are modified inplace must all be outputs of the Function."
                               f" ({_name(node)}, a tensor of shape {[x.shape[d] for d in range(x.ndim)]})")
    if records and n > 1:
        node.outputs = <OutputMeta*>calloc(n, sizeof(OutputMeta))
        if node.outputs == NULL:
            node.outputs = &node.inline_output
            raise MemoryError("out of memory while recording a node")
    if records:
        node.n_outputs = n
    node.tensor_outputs = [isinstance(out, TensorBase) for out in outputs]
    n_tensors = <int>sum(node.tensor_outputs)
    for i, out in enumerate(outputs):
        if not isinstance(out, TensorBase):
            results.append(out)
            continue
        x = out
        is_input, is_dirty = _among(x, args), _among(x, node.dirty)
        if is_dirty and x.version != NULL:
            x.version[0] += 1
        if not records or _among(x, node.hidden) or x.dtype.category < CAT_FLOAT:
            x = _without_history(x, is_input, is_dirty)
        elif is_dirty:
            _rewrite_history(node, args, x, i, n_tensors)
        else:
            x = _new_history(node, x, i, is_input, n_tensors)
        if records:
            set_output(node, i, x)
        results.append(x)
    return results


cdef TensorBase _without_history(TensorBase x, bint is_input, bint is_dirty):
    if not x.flags & REQUIRES_GRAD:
        return call1(op_alias, x) if is_input and not is_dirty else x
    if is_input or x.flags & IS_VIEW:
        return call1(op_detach, x)
    x.grad_fn = None        # recorded by an enable_grad() inside forward
    x.output_nr = 0
    x.flags &= ~<unsigned int>(REQUIRES_GRAD | RETAINS_GRAD)
    return x


cdef int _rewrite_history(FunctionNode node, tuple args, TensorBase x, int i, int n_tensors) except -1:
    cdef Edge first
    cdef int k
    if x.flags & REQUIRES_GRAD and x.grad_fn is None:
        raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation."
                           f" ({_name(node)} has marked it as dirty)")
    if x.flags & IS_VIEW:
        if n_tensors > 1:
            raise RuntimeError(
                "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more "
                "than one Tensor. This is not supported by the current autograd engine. You should either make sure the input is "
                "not a view (using .clone() for example) or make your Function only return one Tensor (potentially splitting it "
                f"into two Functions: one doing the inplace that returns a single Tensor). ({_name(node)})")
        # CopySlices takes the first edge for that of the tensor that was written.
        k = node.edge_arguments.index(next(j for j, a in enumerate(args) if a is x))
        if k:
            first, node.edges[0] = node.edges[0], node.edges[k]
            node.edges[k] = first
            node.edge_arguments[0], node.edge_arguments[k] = node.edge_arguments[k], node.edge_arguments[0]
    set_output(node, i, x)
    return rebase_history(x, node, i)


cdef TensorBase _new_history(FunctionNode node, TensorBase x, int i, bint is_input, int n_tensors):
    if is_input:        # its own history stays as it is: what is returned is a view with a history of its own
        x = call1(op_alias, x)
    if x.flags & IS_VIEW:
        x.creation_meta = VIEW_MULTI_OUTPUT if n_tensors > 1 and not is_input else VIEW_CUSTOM_FUNCTION
        x.view_version = version_of(x)
    x.grad_fn, x.output_nr = node, i
    x.flags |= REQUIRES_GRAD
    return x


cdef str _name(FunctionNode node):
    return node.op.__name__


cdef int _save(FunctionNode node) except -1:
    """Move what forward asked to keep into the node's slots, which check it for later writes."""
    cdef int i, n
    cdef tuple items
    cdef TensorBase x
    if node.to_save is None:
        return 0
    items = tuple(node.to_save)
    node.to_save = None
    n = <int>len(items)
    for i in range(n):
        if items[i] is not None and not isinstance(items[i], TensorBase):
            raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {type(items[i]).__name__}")
    if n > INLINE_SAVED:
        node.saved = <SavedSlot*>calloc(n, sizeof(SavedSlot))
        if node.saved == NULL:
            node.saved = &node.inline_saved[0]
            raise MemoryError("out of memory while recording a node")
    node.n_saved = n
    for i in range(n):
        if items[i] is None:
            continue
        x = <TensorBase>items[i]
        if x.grad_fn is node:
            save_output(node, i, x, x.output_nr)
        else:
            save_input(node, i, x)
    return 0


# ---- derivatives --------------------------------------------------------------------------------
cdef int run_function(NodeBase base, PyObject** grads, PyObject** places) except -1:
    """Call the Function's backward: one gradient for each tensor among the arguments."""
    cdef FunctionNode node = <FunctionNode>base
    cdef object result
    cdef int i
    cdef list given = []
    for i in range(node.n_outputs):
        grad = <object>grads[i]
        if grad is None and node.materializes and node.tensor_outputs[i]:
            grad = materialize(node, i, None)
        given.append(grad)
    result = node.op._pullback(node, *given)
    given = None
    if not isinstance(result, tuple):
        result = (result,)
    if len(result) > node.n_arguments and all([g is None for g in result[node.n_arguments:]]):
        result = result[:node.n_arguments]
    if len(result) != node.n_arguments:
        raise RuntimeError(f"function {node_name(node)} returned an incorrect number of gradients (expected {node.n_arguments}, "
                           f"got {len(result)})")
    for i, grad in enumerate(result):
        if grad is None:
            continue
        if i not in node.edge_arguments:
            raise RuntimeError(f"function {node_name(node)} returned a gradient different than None at position {i + 1}, but the "
                               "corresponding forward input was not a Variable")
        if not isinstance(grad, TensorBase):
            raise RuntimeError(f"expected Variable or None (got {type(grad).__name__}) as gradient {i + 1} of function "
                               f"{node_name(node)}")
    for i, argument in enumerate(node.edge_arguments):
        give(places, i, result[argument])
    return 0


cdef int _propagate(object cls, FunctionNode node, tuple args, list results) except -1:
    """Forward mode: the tangents of the results, from the Function's jvp."""
    cdef tg_thread_state* st = thread_state()
    cdef int forward_grad = st.forward_grad, depth = st.depth
    cdef TensorBase x, t
    cdef list tangents = []
    for a in args:
        tangent = None
        if isinstance(a, TensorBase):
            x = a
            if x.flags & HAS_TANGENT and level_of(x) == depth:
                tangent = x.meta.tangent
            if tangent is None and node.materializes:
                tangent = call1(op_zeros_like, x)
        tangents.append(tangent)
    st.forward_grad = 0
    node.in_jvp = True
    try:
        found = cls._pushforward(node, *tangents)
    finally:
        node.in_jvp = False
        st.forward_grad = forward_grad
    if not isinstance(found, tuple):
        found = (found,)
    if len(found) != len(results):
        raise RuntimeError(f"function {_name(node)} returned an incorrect number of tangents from jvp (expected {len(results)}, "
                           f"got {len(found)})")
    for i, (out, tangent) in enumerate(zip(results, found)):
        if tangent is None or not isinstance(out, TensorBase):
            continue
        if not isinstance(tangent, TensorBase):
            raise RuntimeError(f"expected Variable or None (got {type(tangent).__name__}) as tangent {i + 1} of function "
                               f"{_name(node)}")
        x, t = out, tangent
        if x.ndim != t.ndim or any([x.shape[d] != t.shape[d] for d in range(x.ndim)]):
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
                f"supported. Tensor is of size {[x.shape[d] for d in range(x.ndim)]} while the given forward gradient is of size "
                f"{[t.shape[d] for d in range(t.ndim)]}. (jvp of {_name(node)}, output {i})")
        if level_of(t) == depth and depth > 0:
            t = t.wrap.value        # a tangent lives one level below its tensor
        set_tangent(x, t, _among(x, node.dirty))
    return 0
