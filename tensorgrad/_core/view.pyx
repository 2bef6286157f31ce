"""Views, version families, and what an in-place write does to history.

A view knows the tensor that owns its memory (`base`) and the chain of view operators that leads
from there to itself. Writing to a view is recorded on the base, as a CopySlices node that applies
the written operator's derivative to the view's part of the gradient; every other view of the base
finds its history anew, by replaying its chain, when it is next asked for it.
"""
from cpython.object cimport PyObject

from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.graph cimport accumulator_of, remember_dual
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.types cimport (
    HAS_TANGENT, INFERENCE, IS_VIEW, REQUIRES_GRAD, VIEW_CUSTOM_FUNCTION, VIEW_DEFAULT, VIEW_MULTI_OUTPUT,
    VIEW_NO_GRAD, AutogradMeta, ViewStep, call_runner, give, init_node, level_of, meta_of, set_edge, set_node_type, set_output, version_of)

from tensorgrad._core.graph import move_retain, short_name


cdef Operator op_clone = handle("clone")
cdef Operator op_copy_ = handle("copy_")
cdef Operator op_zeros_like = handle("zeros_like")


cdef class CopySlices(Node):
    """The node of a tensor of which a part was written in place."""


set_node_type(CopySlices)


cdef void mark_view(TensorBase out, TensorBase source, object op, PyObject** args, int n, int output, int creation):
    """`out` is what `op(source, *args)` gave (as its output number `output`, if that is not negative)."""
    cdef AutogradMeta meta = source.meta
    cdef ViewStep step = ViewStep.__new__(ViewStep)
    step.op, step.n_args, step.output = op, n, output
    if n > 0:
        step.first = <object>args[0]
    if n > 1:
        step.second = <object>args[1]
    if n > 2:
        step.third = <object>args[2]
    if n > 3:
        step.fourth = <object>args[3]
    if n > 4:
        step.rest = tuple([<object>args[i] for i in range(4, n)])
    if source.flags & IS_VIEW:
        step.before = source.step
        out.base = source.base
        if creation == VIEW_DEFAULT:
            creation = source.creation_meta
    else:
        out.base = source
    out.step = step
    if meta is not None and meta.versions is not None:
        meta_of(out).versions = meta.versions
    out.creation_meta = creation
    out.version = source.version
    out.view_version = version_of(out)
    out.flags |= IS_VIEW


cdef tuple _arguments(ViewStep step):
    cdef tuple args = (step.first, step.second, step.third, step.fourth)[:min(step.n_args, 4)]
    return args if step.n_args <= 4 else args + step.rest


cdef object replay(ViewStep step, object base):
    """Apply a chain of view operators to `base`."""
    steps = []
    while step is not None:
        steps.append(step)
        step = step.before
    for step in reversed(steps):
        base = step.op(base, *_arguments(step))
        if step.output >= 0:
            base = base[step.output]
    return base


cdef bint _shows_the_same(TensorBase x, TensorBase y) noexcept:
    """Whether two views show the same elements at the same places."""
    cdef int d
    if x.ndim != y.ndim or x.offset != y.offset:
        return x.numel == 0 and y.numel == 0
    for d in range(x.ndim):
        if x.shape[d] != y.shape[d] or (x.strides[d] != y.strides[d] and x.shape[d] > 1):
            return False
    return True


cdef int refresh_view(TensorBase x) except -1:
    """Find the history of a view anew when its base or a sibling view has been written since."""
    cdef TensorBase fresh
    cdef int before, before_depth
    if x.version == NULL or x.view_version == x.version[0]:
        return 0
    if x.base.flags & REQUIRES_GRAD and x.base.grad_fn is not None:
        if x.creation_meta != VIEW_DEFAULT:      # its chain is not all of its history
            if not thread_state().grad:
                return 0
            _refuse_write(x, "its base or another view of its base has been modified inplace", "")
        before, before_depth = thread_state().grad, thread_state().depth
        thread_state().grad = 1
        thread_state().depth = level_of(x)
        try:
            fresh = replay(x.step, x.base)
        finally:
            thread_state().grad, thread_state().depth = before, before_depth
        if x.wrap is None and not _shows_the_same(x, fresh):
            raise RuntimeError(
                "A view was created, and then the shape of its base has been changed in place (t_, transpose_, squeeze_, ...): the "
                "history of the view can no longer be found. Make the view again from its base")
        move_retain(x.grad_fn, x.output_nr, fresh.grad_fn, fresh.output_nr)
        x.grad_fn, x.output_nr = fresh.grad_fn, fresh.output_nr
        x.flags |= REQUIRES_GRAD
    x.view_version = x.version[0]
    return 0


cdef NodeBase grad_fn_of(TensorBase x):
    if x.flags & IS_VIEW:
        refresh_view(x)
    return x.grad_fn


cdef int gradient_edge(TensorBase x, NodeBase node, int i) except -1:
    """Point input `i` of `node` at where the gradient of `x` goes; nowhere when `x` wants none."""
    if x.flags & IS_VIEW:
        refresh_view(x)
    if x.grad_fn is not None:
        set_edge(node, i, x.grad_fn, x.output_nr)
    elif x.flags & REQUIRES_GRAD:
        set_edge(node, i, accumulator_of(x), 0)
    return 0


cdef int check_inplace(TensorBase x, object op, bint records) except -1:
    """Refuse a write that autograd could not account for, before anything is written."""
    if x.flags & INFERENCE and not thread_state().inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a normal "
            f"tensor before doing inplace update ('{op.__name__}').")
    if x.flags & IS_VIEW and thread_state().grad:
        if x.creation_meta != VIEW_DEFAULT and (records or (x.flags | x.base.flags) & REQUIRES_GRAD):
            _refuse_write(x, "is being modified inplace", f" ('{op.__name__}' would write to it)")
        refresh_view(x)
        if x.base.flags & REQUIRES_GRAD and x.base.grad_fn is None:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place operation. "
                f"'{op.__name__}' would overwrite part of a leaf whose gradient is wanted: write under tensorgrad.no_grad(), or "
                "to a clone")
    if x.flags & REQUIRES_GRAD and x.grad_fn is None and thread_state().grad:
        raise RuntimeError(
            f"{'a view of ' if x.flags & IS_VIEW else ''}a leaf Variable that requires grad is being used in an in-place operation. "
            f"'{op.__name__}' would overwrite a leaf of shape {[x.shape[d] for d in range(x.ndim)]} whose gradient is wanted: "
            "write under tensorgrad.no_grad(), or to a clone")
    return 0


cdef int _refuse_write(TensorBase x, str written, str by) except -1:
    """Say why history cannot account for a write to a view, or to the memory that it shows."""
    cdef str who = f"Output {x.output_nr} of {short_name(x.grad_fn)} is a view" if x.grad_fn is not None else "A view"
    if x.creation_meta == VIEW_MULTI_OUTPUT:
        raise RuntimeError(
            f"{who} and {written}. This view is the output of a function that returns multiple views. Such functions do not "
            "allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
            .replace("A view and", "A view") + by)
    if x.creation_meta == VIEW_CUSTOM_FUNCTION:
        raise RuntimeError(
            f"{who} and {written}. This view was created inside a custom Function (or because an input was returned as-is) and "
            "the autograd logic to handle view+inplace would override the custom backward associated with the custom Function, "
            "leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom "
            f"Function.{by}")
    if x.creation_meta == VIEW_NO_GRAD:
        mode, block = "no_grad mode", "with grad mode enabled"
    else:
        mode, block = "inference mode", "in normal mode"
    raise RuntimeError(
        f"A view was created in {mode} and {written} {block}. Given that this use case is ambiguous and error-prone, it is "
        "forbidden. You can clarify your code by moving both the view and the inplace either both inside the "
        f"{mode.replace(' mode', '').replace('inference', 'inference_mode')} block (if you don't want the inplace to be tracked) "
        f"or both outside (if you want the inplace to be tracked).{by}")


cdef int rebase_history(TensorBase x, NodeBase node, int output_nr) except -1:
    """`node` computed what has just been written into `x`."""
    cdef TensorBase base
    cdef CopySlices slices
    cdef int i
    if not x.flags & IS_VIEW:
        move_retain(x.grad_fn, x.output_nr, node, output_nr)
        x.grad_fn, x.output_nr = node, output_nr
        x.flags |= REQUIRES_GRAD
        return 0
    base = x.base
    slices = CopySlices.__new__(CopySlices)
    init_node(slices, None, max(node.n_edges, 1), 1, 0)
    gradient_edge(base, slices, 0)
    for i in range(1, node.n_edges):
        if node.edges[i].node != NULL:
            set_edge(slices, i, <NodeBase>node.edges[i].node, node.edges[i].output_nr)
    # The view's own old history hangs on the base: the inner node must not keep it alive beside that.
    slices.context = (node, x.step)
    slices.runner = run_copy_slices
    slices.needs = 0xffffffff
    set_output(slices, 0, base)
    move_retain(base.grad_fn, base.output_nr, slices, 0)
    base.grad_fn, base.output_nr = slices, 0
    base.flags |= REQUIRES_GRAD
    x.flags |= REQUIRES_GRAD
    x.view_version = -1          # the next look at x.grad_fn replays the chain
    refresh_view(x)
    return 0


cdef int run_copy_slices(NodeBase node, PyObject** grads, PyObject** result) except -1:
    cdef NodeBase inner
    cdef list inner_grads
    cdef int i
    inner, chain = node.context
    whole = call1(op_clone, <object>grads[0])
    part = replay(chain, whole)
    inner_grads = call_runner(inner, [call1(op_clone, part)])
    old = inner_grads[0] if inner_grads else None
    if old is None:
        old = call1(op_zeros_like, part)
    call2(op_copy_, part, old)
    give(result, 0, whole)
    for i in range(1, inner.n_edges):
        give(result, i, inner_grads[i])
    return 0


cdef int set_tangent(TensorBase x, TensorBase tangent, bint written) except -1:
    """Give `x` a tangent; `written` in place, a view's tangent is the view of its base's."""
    cdef AutogradMeta meta = meta_of(x)
    cdef TensorBase base
    if x.wrap is None:
        remember_dual(x)
    if written and x.flags & IS_VIEW and meta.tangent is None:
        base = x.base
        if base.meta is None or base.meta.tangent is None:
            meta_of(base).tangent = call1(op_zeros_like, base)
            base.flags |= HAS_TANGENT
        meta.tangent = replay(x.step, base.meta.tangent)
    if written and meta.tangent is not None:
        call2(op_copy_, meta.tangent, tangent)
    else:
        meta.tangent = tangent
    x.flags |= HAS_TANGENT
    return 0


def set_dual(TensorBase x, TensorBase tangent):
    set_tangent(x, tangent, False)


def increment_version(TensorBase x):
    """Count a write that happened outside of the operators; nothing to count for an inference tensor."""
    if x.version != NULL:
        x.version[0] += 1
