"""The ways into the backward traversal: from `Tensor.backward`, and from `autograd.backward` and `autograd.grad`."""
from cpython.object cimport PyObject

from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.engine cimport Run, new_run, tg_node_entry, tg_node_find
from tensorgrad._core.grad_mode cimport tg_thread_state, thread_state
from tensorgrad._core.graph cimport accumulator_of
from tensorgrad._core.leaves cimport retain
from tensorgrad._core.primitives cimport fill, has_shape
from tensorgrad._core.types cimport REQUIRES_GRAD, RETAINS_GRAD, NodeBase, TensorBase, call_runner, empty
from tensorgrad._core.view cimport grad_fn_of


cdef tuple edge_of(object root):
    """(node, output number) of a tensor or of a gradient edge; (None, 0) where no gradient flows."""
    cdef TensorBase x
    if not isinstance(root, TensorBase):
        return root[0], root[1]
    x = <TensorBase>root
    node = grad_fn_of(x)
    if node is not None:
        return node, x.output_nr
    if x.flags & REQUIRES_GRAD:
        return accumulator_of(x), 0
    return None, 0


_unused = ("The differentiated Tensor at index {} appears to not have been used in the graph. Set allow_unused=True if this is "
           "the desired behavior.")


cdef bint backward_from(TensorBase x, object gradient, bint keep_graph) except -1:
    """``x.backward(gradient)`` without further options; False where `autograd.backward` has to look more closely."""
    cdef Run r
    cdef tg_thread_state* st = thread_state()
    cdef TensorBase g
    if st.levels != NULL and st.depth or x.wrap is not None or not x.flags & REQUIRES_GRAD or x.dtype.category < CAT_FLOAT:
        return False
    if gradient is None:
        if x.numel != 1 or x.dtype.category != CAT_FLOAT:
            return False
        g = empty(x.ndim, x.shape, x.dtype, x.storage.device)
        fill(g, 1)
    else:
        if not isinstance(gradient, TensorBase):
            return False
        g = <TensorBase>gradient
        if g.wrap is not None or g.dtype is not x.dtype or not has_shape(g, x.ndim, x.shape):
            return False
    node, output_nr = edge_of(x)
    r = new_run([node], keep_graph, True)
    r.count_dependencies()
    r.want_all()
    r.start((output_nr,), (g,))
    return True


def gradient_edge_of(root):
    return edge_of(root)


def run_backward(tuple roots, tuple grads, bint keep_graph, bint create_graph, inputs, bint allow_unreachable,
                 bint accumulate_grad):
    """Traverse the graph from `roots`.

    Parameters
    ----------
    roots : tuple of Tensor or (Node, int)
        Where the traversal begins.
    grads : tuple of Tensor
        The gradient of each root.
    keep_graph : bool
        Keep what the nodes saved.
    create_graph : bool
        Record the backward computation itself.
    inputs : tuple or None
        Only what leads to these is run.
    allow_unreachable : bool
        An input that the roots do not depend on is None in the result instead of an error.
    accumulate_grad : bool
        Add the gradients to ``.grad`` of the inputs instead of returning them.

    Returns
    -------
    tuple or None
        The gradients of `inputs`, unless they are accumulated.
    """
    cdef Run r = new_run([], keep_graph, inputs is None)
    cdef tg_node_entry* e
    cdef NodeBase node
    r.create_graph, r.captures = create_graph, {}
    starts = []
    for i, root in enumerate(roots):
        node, output_nr = edge_of(root)
        if node is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        r.roots.append(node)
        starts.append(output_nr)
    r.count_dependencies()
    if inputs is not None:
        r.captured = [None] * len(inputs)
        for i, x in enumerate(inputs):
            node, output_nr = edge_of(x)
            if node is None:
                raise RuntimeError(f"One of the differentiated Tensors does not require grad (input {i})")
            e = tg_node_find(&r.map, <PyObject*>node)
            if e == NULL:
                if not allow_unreachable:
                    raise RuntimeError(_unused.format(i))
                continue
            e.captured = 1
            r.captures.setdefault(node, {}).setdefault(output_nr, []).append(i)
        r.mark_wanted()
    else:
        r.want_all()
    r.start(tuple(starts), grads)
    if inputs is not None and accumulate_grad:
        _accumulate_all(inputs, r.captured, create_graph)
        return None
    if inputs is None:
        return None
    if not allow_unreachable:
        for i, grad in enumerate(r.captured):
            if grad is None:
                raise RuntimeError(_unused.format(i))
    return tuple(r.captured)


cdef int _accumulate_all(inputs, grads, bint create_graph) except -1:
    cdef tg_thread_state* st = thread_state()
    cdef int grad_before = st.grad
    st.grad = create_graph
    try:
        for x, grad in zip(inputs, grads):
            if grad is not None:
                _accumulate_into(x, grad)
    finally:
        st.grad = grad_before
    return 0


cdef int _accumulate_into(TensorBase x, TensorBase grad) except -1:
    """backward(inputs=...): add to .grad, of a leaf as AccumulateGrad would (its hooks have run already)."""
    if x.flags & RETAINS_GRAD and x.grad_fn is not None:
        return 0        # retained on the way
    if x.grad_fn is None:
        node = accumulator_of(x)
        call_runner(node, [grad])
        return 0
    return retain(x, grad)
