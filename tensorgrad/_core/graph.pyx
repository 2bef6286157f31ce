"""The graph: nodes as users see them, saved tensors and their checks, accumulation into leaves."""
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from tensorgrad._core.grad_mode cimport Level, thread_state
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.types cimport (
    CONTIGUOUS, HAS_TANGENT, INFERENCE, REQUIRES_GRAD, SAVED_INPUT, SAVED_NONE, SAVED_OBJECT, SAVED_OUTPUT,
    SAVED_PACKED, AutogradMeta, NodeHooks, alias, init_node, meta_of, set_node_type, set_output, size_from, version_of)

from tensorgrad._core.hooks import HookDict

import threading
import weakref

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o)

cdef Operator op_add = handle("add")
cdef Operator op_add_ = handle("add_")
cdef Operator op_clone = handle("clone")
cdef Operator op_copy_ = handle("copy_")
cdef Operator op_zero_ = handle("zero_")


cdef str node_name(NodeBase node):
    return type(node).__name__


def short_name(NodeBase node):
    """The operator's or Function's name as messages give it: ``Mul`` for MulBackward0."""
    return node_name(node).rstrip("0123456789").removesuffix("Backward")


cdef class Node(NodeBase):
    """A step of the recorded computation: what `x.grad_fn` shows.

    Attributes
    ----------
    next_functions : tuple of (Node or None, int)
        Where the gradients of this node's inputs go, with the number of the output there.
    metadata : dict
        Free for the user.
    """

    def __init__(self, *args, **kwargs):
        raise TypeError(f"cannot create '{type(self).__name__}' instances")

    def __repr__(self):
        return f"<{type(self).__name__} object at {<size_t><PyObject*>self:#x}>"

    @property
    def next_functions(self):
        cdef int i
        cdef list edges = []
        for i in range(self.n_edges):
            edges.append((None, 0) if self.edges[i].node == NULL
                         else (<object>self.edges[i].node, self.edges[i].output_nr))
        return tuple(edges)

    def name(self):
        """The name, such as ``"MulBackward0"``."""
        return node_name(self)

    @property
    def metadata(self):
        if self.extra is None:
            self.extra = {}
        return self.extra.setdefault("metadata", {})

    def _sequence_nr(self):
        return self.sequence

    @property
    def _input_metadata(self):
        """Shape and dtype of each gradient that this node receives."""
        return tuple([(size_from(self.outputs[i].ndim,
                                 self.outputs[i].big if self.outputs[i].big != NULL else &self.outputs[i].dims[0]),
                       <object>self.outputs[i].dtype) for i in range(self.n_outputs)])

    def register_hook(self, fn):
        """Call ``fn(grad_inputs, grad_outputs)`` after this node has run; a tuple it returns replaces `grad_inputs`."""
        cdef NodeHooks hooks = hooks_of(self)
        if hooks.post is None:
            hooks.post = HookDict()
        return hooks.post.add(fn)

    def register_prehook(self, fn):
        """Call ``fn(grad_outputs)`` before this node runs; a tuple it returns replaces `grad_outputs`."""
        cdef NodeHooks hooks = hooks_of(self)
        if hooks.pre is None:
            hooks.pre = HookDict()
        return hooks.pre.add(fn)

    def _saved(self, int i):
        """What slot `i` holds, checked and unpacked."""
        if not 0 <= i < self.n_saved:
            raise IndexError("no such saved value")
        return unpack(self, i)

    def __getattr__(self, str name):
        if name.startswith("_saved_") and self.op is not None and hasattr(self.op, "saved_slot"):
            slot = self.op.saved_slot(self, name[7:])
            if slot is not None:
                return unpack(self, slot)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __call__(self, *grads):
        """Run this node alone on the gradients of its outputs."""
        if self.runner == NULL:
            raise RuntimeError(f"{type(self).__name__} cannot be run")
        result = tuple(self.runner(self, list(grads)))
        return result[0] if len(result) == 1 else result


cdef class AccumulateGrad(Node):
    """The end of the graph at a leaf: adds the gradient to `variable.grad`."""

    @property
    def variable(self):
        return self.context


set_node_type(Node)
set_node_type(AccumulateGrad)


cdef NodeHooks hooks_of(NodeBase node):
    if node.hooks is None:
        node.hooks = NodeHooks.__new__(NodeHooks)
    return node.hooks


def tensor_prehooks(NodeBase node, int output_nr):
    """The dict of hooks of output `output_nr`'s tensor, made on first use."""
    cdef NodeHooks hooks = hooks_of(node)
    if hooks.tensor_pre is None:
        hooks.tensor_pre = {}
    found = hooks.tensor_pre.get(output_nr)
    if found is None:
        found = hooks.tensor_pre[output_nr] = HookDict()
    return found


def retain_output(NodeBase node, int output_nr, TensorBase x):
    """Keep the gradient of this output in ``x.grad`` when backward passes."""
    cdef NodeHooks hooks = hooks_of(node)
    if hooks.retains is None:
        hooks.retains = {}
    hooks.retains[output_nr] = weakref.ref(x)


def move_retain(NodeBase old, int old_nr, NodeBase new, int new_nr):
    """An in-place write gave the tensor a new node: the retained gradient is the new value's."""
    if old is not None and old.hooks is not None and old.hooks.retains is not None:
        found = old.hooks.retains.pop(old_nr, None)
        if found is not None and found() is not None:
            retain_output(new, new_nr, found())


# ---- saved values -----------------------------------------------------------------------------
cdef void save_object(NodeBase node, int i, object value):
    Py_INCREF(value)
    node.saved[i].value = <PyObject*>value
    node.saved[i].kind = SAVED_OBJECT


cdef int save_input(NodeBase node, int i, TensorBase x) except -1:
    if thread_state().slow and thread_state().saved_hooks != NULL:
        return _pack(node, i, x, False)
    if x.flags & INFERENCE:
        raise RuntimeError("Inference tensors cannot be saved for backward. Please do not use Tensors created in inference "
                           "mode in computation tracked by autograd. To work around this, you can make a clone to get a "
                           "normal tensor and use it in autograd, or use `tensorgrad.no_grad()` instead of "
                           "`tensorgrad.inference_mode()`.")
    Py_INCREF(x)
    node.saved[i].value = <PyObject*>x
    node.saved[i].kind = SAVED_INPUT
    node.saved[i].version = 0 if x.version == NULL else x.version[0]
    node.saved[i].had_grad_fn = x.grad_fn is not None
    return 0


cdef int save_output(NodeBase node, int i, TensorBase x, int output_nr) except -1:
    """Save a node's own output, without the grad_fn that would close a cycle; unpacking restores it."""
    if thread_state().slow and thread_state().saved_hooks != NULL:
        return _pack(node, i, x, True)
    cdef TensorBase bare = _with_tangent(alias(x), x)
    Py_INCREF(bare)
    node.saved[i].value = <PyObject*>bare
    node.saved[i].kind = SAVED_OUTPUT
    node.saved[i].version = version_of(x)
    node.saved[i].output_nr = output_nr
    return 0


cdef TensorBase _with_tangent(TensorBase y, TensorBase x):
    """Forward mode over reverse mode needs the tangent of a saved output too."""
    if x.flags & HAS_TANGENT and x.meta is not None:
        meta_of(y).tangent = x.meta.tangent
        y.flags |= HAS_TANGENT
        if y.wrap is None:
            remember_dual(y)
    return y


cdef int _pack(NodeBase node, int i, TensorBase x, bint is_output) except -1:
    pack, unpack_hook = (<list>thread_state().saved_hooks)[-1]
    cdef void* hooks = thread_state().saved_hooks
    # What the hook itself computes is not packed in turn.
    thread_state().saved_hooks = NULL
    before = version_of(x)
    try:
        packed = pack(alias(x) if is_output else x)
    finally:
        thread_state().saved_hooks = hooks
    if version_of(x) != before:
        raise RuntimeError("A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
                           "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please "
                           "open an issue if you need to perform in-place operations on the input to a pack hook.")
    Py_INCREF(packed)
    Py_INCREF(unpack_hook)
    node.saved[i].value = <PyObject*>packed
    node.saved[i].unpack = <PyObject*>unpack_hook
    node.saved[i].kind = SAVED_PACKED
    return 0


cdef object unpack(NodeBase node, int i):
    """The saved value, after the checks that backward owes the user."""
    cdef int kind = node.saved[i].kind
    cdef TensorBase x, y
    if kind == SAVED_OBJECT:
        return <object>node.saved[i].value
    if kind == SAVED_NONE:
        if not node.released:
            return None     # an optional argument that was not given
        raise RuntimeError(
            "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
            "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
            f"The values saved by {node_name(node)} are gone: most often a tensor computed before a loop is used again in "
            "it, where it should be computed anew or detached. Specify retain_graph=True if you need to backward through "
            "the graph a second time or if you need to access saved tensors after calling backward.")
    if kind == SAVED_PACKED:
        result = (<object>node.saved[i].unpack)(<object>node.saved[i].value)
        if not isinstance(result, TensorBase):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(result).__name__}")
        return result
    x = <TensorBase>node.saved[i].value
    if x.version != NULL and x.version[0] != node.saved[i].version:
        raise RuntimeError(_version_message(node, i, x))
    if x.wrap is not None and not (<Level>x.wrap.owner).alive:
        return value_of_ended(x)
    if kind == SAVED_OUTPUT:
        y = _with_tangent(alias(x), x)
        y.grad_fn = node
        y.output_nr = node.saved[i].output_nr
        y.flags |= REQUIRES_GRAD
        return y
    if node.saved[i].had_grad_fn and x.grad_fn is None:
        raise RuntimeError(
            "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_(). This is not supported, "
            "please use out-of-place `.detach()` instead")
    return x


cdef TensorBase value_of_ended(TensorBase x):
    """What a tensor of a grad or jvp transform stands for when the transform has ended, and its graph has not."""
    while x.wrap is not None and not (<Level>x.wrap.owner).alive:
        if x.wrap.bdim >= 0:
            raise RuntimeError("Either your tensor may have escaped from inside a function being vmapped and this is a user "
                               "error, or the graph of a function being vmapped is traversed after it has returned")
        x = x.wrap.value
    return x


cdef str _version_message(NodeBase node, int i, TensorBase x):
    cdef NodeBase maker = x.grad_fn
    cdef int output_nr = x.output_nr
    if node.saved[i].kind == SAVED_OUTPUT:
        maker, output_nr = node, node.saved[i].output_nr
    shape = ", ".join([str(x.shape[d]) for d in range(x.ndim)])
    made = f", which is output {output_nr} of {short_name(maker)}," if maker is not None else ""
    writer = ""
    if x.storage is not None and x.storage.writer != NULL:
        writer = f" {node_name(node)} saved it, and '{(<object>x.storage.writer).__name__}' has written to it since."
    hint = ("Hint: the backtrace further above shows the operation that failed to compute its gradient. The variable in question "
            "was changed in there or anywhere later. Good luck!" if node.extra is not None and "traceback" in node.extra else
            "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
            "tensorgrad.autograd.set_detect_anomaly(True, check_nan=False).")
    return ("one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{type_name(x)} [{shape}]]{made} is at version {version_of(x)}; expected version {node.saved[i].version} instead."
            f"{writer} {hint}")


_type_names = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "uint8": "Byte",
               "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "bool": "Bool",
               "complex64": "ComplexFloat", "complex128": "ComplexDouble", "uint16": "UInt16", "uint32": "UInt32",
               "uint64": "UInt64"}


def type_name(TensorBase x):
    """The legacy type string: ``tensorgrad.FloatTensor``."""
    return f"tensorgrad.{_type_names[x.dtype.name]}Tensor"


# ---- leaves ------------------------------------------------------------------------------------
cdef NodeBase accumulator_of(TensorBase x):
    """The AccumulateGrad of a leaf: one at a time, kept alive by the graphs that use it."""
    cdef AutogradMeta meta = meta_of(x)
    cdef NodeBase node
    if meta.accumulator != NULL:
        return <NodeBase>meta.accumulator
    node = AccumulateGrad.__new__(AccumulateGrad)
    init_node(node, None, 0, 1, 0)
    node.sequence = 1 << 62       # leaves first: a gradient is done as soon as it is complete
    node.context = x
    node.is_accumulator = True
    node.runner = accumulate_grad
    set_output(node, 0, x)
    meta.accumulator = <PyObject*>node
    return node


cdef TensorBase read_grad(TensorBase x):
    """``x.grad``, with a gradient that was only marked zero written out."""
    cdef AutogradMeta meta = x.meta
    cdef int before
    if meta is None or meta.grad is None:
        return None
    if meta.grad_is_zero:
        meta.grad_is_zero = False
        before = thread_state().grad
        thread_state().grad = 0
        try:
            call1(op_zero_, meta.grad)
        finally:
            thread_state().grad = before
    return meta.grad


def mark_grads_zero(params):
    """Set the gradients of `params` to zero without writing them, where nobody else can see the difference.

    The next accumulation overwrites a marked gradient, and reading ``.grad`` first writes the zeros out.
    """
    cdef TensorBase x
    cdef AutogradMeta meta
    for x in params:
        meta = x.meta
        if meta is None or meta.grad is None:
            continue
        if meta.grad.grad_fn is not None:
            meta.grad = call1(handle("detach"), meta.grad)
        meta.grad.flags &= ~<unsigned int>REQUIRES_GRAD
        meta.grad_is_zero = True
        # Someone else holds the tensor or its memory: they must see zeros now.
        if Py_REFCNT(<PyObject*>meta.grad) > 1 or meta.grad.storage is None or Py_REFCNT(<PyObject*>meta.grad.storage) > 1:
            read_grad(x)


cdef object accumulate_grad(NodeBase node, list grads):
    cdef TensorBase x = <TensorBase>node.context
    cdef TensorBase new = grads[0]
    cdef TensorBase old
    cdef AutogradMeta meta = meta_of(x)
    if new is None:
        return []
    grads[0] = None
    old = meta.grad
    if old is None or (meta.grad_is_zero and Py_REFCNT(<PyObject*>old) <= 2):
        meta.grad = _own_grad(x, new)
    elif meta.grad_is_zero:
        call2(op_copy_, old, new)
    elif thread_state().grad or (old.flags & INFERENCE) or old.wrap is not None or new.wrap is not None:
        meta.grad = call2(op_add, old, new)
    else:
        call2(op_add_, old, new)
    meta.grad_is_zero = False
    if meta.post_hooks is not None:
        for hook in list(meta.post_hooks.values()):
            if hook(x) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    return []


cdef TensorBase _own_grad(TensorBase x, TensorBase new):
    """The incoming gradient itself when nobody else holds it or its memory, else a copy."""
    if thread_state().grad:
        return call1(op_clone, new)
    if (Py_REFCNT(<PyObject*>new) <= 2 and new.flags & CONTIGUOUS and new.storage is not None
            and Py_REFCNT(<PyObject*>new.storage) == 1 and new.meta is None and new.grad_fn is None
            and new.storage.owner is None):
        return new
    return call1(handle("detach"), call1(op_clone, new))


# ---- the tangents of a forward_ad level, which end with it ------------------------------------------
_duals = threading.local()


cdef int remember_dual(TensorBase x) except -1:
    cdef list known = getattr(_duals, "known", None)
    if known is None:
        known = _duals.known = []
        _duals.limit = 1024
    known.append(weakref.ref(x))
    if len(known) > _duals.limit:
        known[:] = [reference for reference in known if reference() is not None]
        _duals.limit = 1024 + 2 * len(known)
    return 0


def clear_duals():
    """Drop the tangents that this thread has given to tensors outside of transforms."""
    cdef TensorBase x
    for reference in getattr(_duals, "known", None) or ():
        found = reference()
        if found is not None:
            x = <TensorBase>found
            x.flags &= ~<unsigned int>HAS_TANGENT
            if x.meta is not None:
                x.meta.tangent = None
    _duals.known = None
