"""The graph: nodes as users see them, saved tensors and their checks."""
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF

from tensorgrad._core.grad_mode cimport Level, thread_state
from tensorgrad._core.types cimport (
    HAS_TANGENT, INFERENCE, REQUIRES_GRAD, SAVED_INPUT, SAVED_NONE, SAVED_OBJECT, SAVED_OUTPUT,
    SAVED_PACKED, AutogradMeta, NodeHooks, alias, call_runner, init_node, make_node_type, meta_of, new_node,
    set_node_type, set_output, size_from, version_of)

from tensorgrad._core.hooks import HookDict
from tensorgrad._core.locks import local

import weakref


cdef str node_name(NodeBase node):
    return type(node).__name__


cdef list forward_stack(NodeBase node):
    """Where in the forward computation `node` was made, as anomaly mode has noted it; None where it has not."""
    if node.extra is None or "metadata" not in node.extra:
        return None
    return node.extra["metadata"].get("traceback_")


def short_name(NodeBase node):
    """The operator's or Function's name as messages give it: ``Mul`` for MulBackward0."""
    return node_name(node).rstrip("0123456789").removesuffix("s").removesuffix("Backward")


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
        if name.startswith("_raw_saved_") and self.op is not None:
            if hasattr(self.op, "saved_slot"):
                slot = self.op.saved_slot(self, name[11:])
                if slot is not None and _may_hold_tensor(self, slot):
                    return saved_tensor(self, slot)
            elif name == "_raw_saved_tensors":      # a Function
                if self.released:
                    raise RuntimeError(_freed(self))
                return tuple([saved_tensor(self, i) for i in range(self.n_saved)])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self):
        names = set(object.__dir__(self))
        if hasattr(self.op, "saved_value_names"):
            for i, name in enumerate(self.op.saved_value_names()):
                names.add(f"_saved_{name}")
                if _may_hold_tensor(self, i):
                    names.add(f"_raw_saved_{name}")
        elif self.op is not None:
            names.add("_raw_saved_tensors")
        return sorted(names)

    def __call__(self, *grads):
        """Run this node alone on the gradients of its outputs."""
        if self.runner == NULL:
            raise RuntimeError(f"{type(self).__name__} cannot be run")
        result = tuple(call_runner(self, list(grads)))
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
        return _pack_with_current_hooks(node, i, x, False, x.output_nr)
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
        return _pack_with_current_hooks(node, i, x, True, output_nr)
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


cdef class Packed:
    """What a pack hook made of a tensor, and the history that the tensor had: unpacking gives it back."""
    cdef object value
    cdef NodeBase grad_fn           # of a leaf its AccumulateGrad; None for constants and for a node's own output
    cdef int output_nr
    cdef bint is_output


cdef int _pack_with_current_hooks(NodeBase node, int i, TensorBase x, bint is_output, int output_nr) except -1:
    pack, unpack_hook = (<list>thread_state().saved_hooks)[-1]
    return _pack(node, i, x, is_output, is_output, output_nr, pack, unpack_hook)


cdef int _pack(NodeBase node, int i, TensorBase x, bint bare, bint is_output, int output_nr, object pack,
               object unpack_hook) except -1:
    """Keep what ``pack(x)`` returns; a `bare` tensor comes without its history, which for an output would be a cycle."""
    cdef int grad = thread_state().grad
    cdef void* hooks = thread_state().saved_hooks
    cdef Packed packed = Packed.__new__(Packed)
    cdef PyObject* old
    # What the hook itself computes is neither packed in turn nor recorded.
    thread_state().saved_hooks = NULL
    thread_state().grad = 0
    before = version_of(x)
    try:
        packed.value = pack(alias(x) if bare else x)
    finally:
        thread_state().saved_hooks = hooks
        thread_state().grad = grad
    if version_of(x) != before:
        raise RuntimeError("A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
                           "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please "
                           "open an issue if you need to perform in-place operations on the input to a pack hook.")
    packed.is_output, packed.output_nr = is_output, output_nr
    if not is_output and x.flags & REQUIRES_GRAD:
        packed.grad_fn = x.grad_fn if x.grad_fn is not None else accumulator_of(x)
    Py_INCREF(packed)
    Py_INCREF(unpack_hook)
    old = node.saved[i].value
    node.saved[i].value = <PyObject*>packed
    node.saved[i].unpack = <PyObject*>unpack_hook
    node.saved[i].kind = SAVED_PACKED
    Py_XDECREF(old)
    return 0


cdef object _unpack_hooked(NodeBase node, int i):
    """What the unpack hook returns, with the history of the tensor that was packed."""
    cdef Packed packed = <Packed>node.saved[i].value
    cdef TensorBase x, y
    result = (<object>node.saved[i].unpack)(packed.value)
    if not isinstance(result, TensorBase):
        raise TypeError("Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                        f"{type(result).__name__}")
    x = <TensorBase>result
    if x.wrap is not None and not (<Level>x.wrap.owner).alive:
        return value_of_ended(x)
    y = _with_tangent(alias(x), x)
    if packed.is_output:
        y.grad_fn, y.output_nr = node, packed.output_nr
    elif packed.grad_fn is None:
        return y
    elif packed.grad_fn.is_accumulator:     # a leaf again, whose gradient goes where that of the saved one went
        meta_of(y).accumulator = <PyObject*>packed.grad_fn
        y.meta.retain_handle = packed.grad_fn       # keeps it alive
    else:
        y.grad_fn, y.output_nr = packed.grad_fn, packed.output_nr
    y.flags |= REQUIRES_GRAD
    return y


cdef object unpack(NodeBase node, int i):
    """The saved value, after the checks that backward owes the user."""
    cdef int kind = node.saved[i].kind
    cdef TensorBase x, y
    if kind == SAVED_OBJECT:
        return <object>node.saved[i].value
    if kind == SAVED_NONE:
        if not node.released:
            return None     # an optional argument that was not given
        raise RuntimeError(_freed(node))
    if kind == SAVED_PACKED:
        return _unpack_hooked(node, i)
    x = <TensorBase>node.saved[i].value
    if x.version != NULL and x.version[0] != node.saved[i].version:
        raise RuntimeError(_version_message(node, i, x))
    if x.wrap is not None and not (<Level>x.wrap.owner).alive:
        return value_of_ended(x)
    if kind == SAVED_OUTPUT:
        if not thread_state().grad and not x.flags & HAS_TANGENT:
            return x            # nothing will be recorded: its history is of no interest
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


cdef str _freed(NodeBase node):
    return ("Trying to backward through the graph a second time (or directly access saved tensors after they have already "
            "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
            f"The values saved by {node_name(node)} are gone: most often a tensor computed before a loop is used again in "
            "it, where it should be computed anew or detached. Specify retain_graph=True if you need to backward through "
            "the graph a second time or if you need to access saved tensors after calling backward.")


# ---- saved values one by one ----------------------------------------------------------------------
cdef class SavedTensor:
    """A tensor that a node has saved: what ``node._raw_saved_NAME`` shows.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * x
    >>> saved = y.grad_fn._raw_saved_self
    >>> saved.register_hooks(lambda x: x.detach() + 1, lambda x: x)
    >>> saved.unpack()
    tensor([2., 3.], requires_grad=True)
    """
    cdef NodeBase node
    cdef int slot

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Trying to create a SavedTensor object from Python is forbidden.")

    def unpack(self):
        """The tensor, after the checks that backward makes; None where there was none to save."""
        return unpack(self.node, self.slot)

    def register_hooks(self, pack_hook, unpack_hook):
        """Keep ``pack_hook(tensor)``, at once called, in place of the tensor; ``unpack_hook`` makes the tensor of it again.

        Parameters
        ----------
        pack_hook, unpack_hook : callable
            As for `tensorgrad.autograd.graph.saved_tensors_hooks`.

        Raises
        ------
        RuntimeError
            If the tensor has hooks already, has been freed, or is None.
        """
        cdef int kind = self.node.saved[self.slot].kind
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise TypeError(f"register_hooks(): expected two callables, but got {type(hook).__name__}")
        if kind == SAVED_PACKED:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair "
                               "of hooks is allowed at a time.")
        if kind == SAVED_NONE and self.node.released:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the graph are "
                "freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through "
                "the graph a second time or if you need to access saved variables after calling backward.")
        if kind != SAVED_INPUT and kind != SAVED_OUTPUT:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        unpack(self.node, self.slot)        # a tensor that has been written since is refused
        x = <object>self.node.saved[self.slot].value
        _pack(self.node, self.slot, <TensorBase>x, True, kind == SAVED_OUTPUT,
              self.node.saved[self.slot].output_nr if kind == SAVED_OUTPUT else (<TensorBase>x).output_nr,
              pack_hook, unpack_hook)


cdef bint _may_hold_tensor(NodeBase node, int i):
    if node.saved[i].kind == SAVED_OBJECT:
        return <PyObject*>node.saved[i].value == <PyObject*>None     # an optional tensor that was not given
    return True


cdef SavedTensor saved_tensor(NodeBase node, int slot):
    cdef SavedTensor saved = SavedTensor.__new__(SavedTensor)
    saved.node, saved.slot = node, slot
    return saved


cdef object _keeper = make_node_type("Checkpoint", Node)


def save_tensor(TensorBase x):
    """Save `x` outside of any recorded operation: the hooks in force see it, and later writes to it are noticed."""
    cdef NodeBase node = new_node(_keeper)
    init_node(node, None, 0, 0, 1)
    save_input(node, 0, x)
    return saved_tensor(node, 0)


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
            "was changed in there or anywhere later. Good luck!" if forward_stack(node) is not None else
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
cdef RunFunction _accumulate = NULL


cdef void set_accumulate(RunFunction accumulate):
    """What an AccumulateGrad does lives in leaves.pyx."""
    global _accumulate
    _accumulate = accumulate


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
    node.runner = _accumulate
    set_output(node, 0, x)
    meta.accumulator = <PyObject*>node
    return node


# ---- the tangents of a forward_ad level, which end with it ------------------------------------------
_duals = local()


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
