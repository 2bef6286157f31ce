"""What happens around every operator call, once.

A call goes: parse the arguments (signature) -> `run` -> `run_at`: checks, the forward computation
(elementwise), tangents, recording. With transforms in force `run` takes the slow path (transforms.pyx),
which comes back here with the stack one level lower.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from tensorgrad._core.declaration cimport COMPOSITE, ELEMENTWISE, SAVE_OUT, compile_overload, set_runner
from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.elementwise cimport check_cast, pointwise_result, refuse_escaped
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.graph cimport save_output
from tensorgrad._core.operator cimport call1, call2, handle, set_dispatcher
from tensorgrad._core.overlap cimport check_apart
from tensorgrad._core.primitives cimport copy, has_shape
from tensorgrad._core.recording cimport begin_record, detached_clone, finish_record
from tensorgrad._core.signature cimport P_DIM, P_DIMS, P_NEW_DIM, P_OPERAND, P_TENSORS, Slots, own, release, tuple_of
from tensorgrad._core.tangents cimport is_linear, propagate, run_jvp
from tensorgrad._core.types cimport (
    HAS_TANGENT, INFERENCE, IS_VIEW, REQUIRES_GRAD, VIEW_DEFAULT, VIEW_INFERENCE, VIEW_MULTI_OUTPUT, VIEW_NO_GRAD, NodeBase,
    TensorBase, bump, is_tensor, level_of, set_output)
from tensorgrad._core.view cimport check_inplace, mark_view, rebase_history, refresh_view, set_tangent

from tensorgrad._core.graph import type_name

cdef extern from "Python.h":
    object PyObject_Vectorcall(object f, PyObject** args, size_t nargsf, PyObject* kwnames)

cdef Operator op_clone = handle("clone")
cdef Operator op_copy_ = handle("copy_")

cdef SlowPath _run_slowly = NULL
cdef SlowPath _compute_below = NULL


cdef void set_slow_paths(SlowPath run_slowly, SlowPath compute_below):
    """Transforms live above: what runs an operator while any are in force, and what computes one level down."""
    global _run_slowly, _compute_below
    _run_slowly, _compute_below = run_slowly, compute_below


# ---- calls ----------------------------------------------------------------------------------------
cdef object dispatch_call(object callable, PyObject* const* args, size_t nargsf, PyObject* kwnames):
    """The vectorcall of every operator."""
    cdef Operator op = <Operator>callable
    cdef Py_ssize_t nargs = <Py_ssize_t>(nargsf & ~(<size_t>1 << 63))
    cdef Slots slots
    cdef Overload o
    cdef object kw
    cdef int i
    if nargs and kwnames == NULL and op.first is not None and is_tensor(args[0]):
        o = <Overload>op.first
        if not o.compiled:
            compile_overload(o)
        if nargs == 1:
            if o.signature.n_params == 1 and o.alone:
                return run(o, <PyObject**>args)
            if o.alone:
                slots.values[0] = args[0]
                for i in range(1, o.signature.n_params):
                    slots.values[i] = o.signature.defaults[i]
                slots.owned = 0
                return _run_parsed(o, &slots) if o.wraps_defaults else run(o, slots.values)
        elif op.fast == nargs and (isinstance(<object>args[1], TensorBase) or (o.signature.types[1] == P_OPERAND and (
                type(<object>args[1]) is float or type(<object>args[1]) is int))):
            return run(o, <PyObject**>args)
        elif o.loose_sizes and _are_ints(args, nargs):
            return _run_with_sizes(o, args, nargs)
        elif o.tensors_only and nargs == o.signature.n_positional and _are_tensors(o, args, nargs):
            return run(o, <PyObject**>args)
    kw = None if kwnames == NULL else <object>kwnames
    if kw is not None and "out" in <tuple>kw:
        return _call_with_out(op, args, nargs, <tuple>kw)
    for o in op.overloads:
        if not o.compiled:
            compile_overload(o)
        if _parse(o, args, nargs, kw, &slots, False):
            return _run_parsed(o, &slots)
    return _explain(op, args, nargs, kw)


cdef inline bint _are_tensors(Overload o, PyObject* const* args, Py_ssize_t nargs) noexcept:
    """Whether each argument is a tensor, or None where that is welcome."""
    cdef Py_ssize_t i
    for i in range(nargs):
        if not is_tensor(<PyObject*>args[i]) and not (o.signature.takes_none[i] and <object>args[i] is None):
            return False
    return True


cdef inline bint _are_ints(PyObject* const* args, Py_ssize_t nargs) noexcept:
    cdef Py_ssize_t i
    for i in range(1, nargs):
        if type(<object>args[i]) is not int:
            return False
    return nargs > 1


cdef object _run_with_sizes(Overload o, PyObject* const* args, Py_ssize_t nargs):
    """``x.view(2, 3)``: the sizes are one argument."""
    cdef PyObject* a[2]
    cdef tuple sizes = tuple_of(args + 1, nargs - 1)
    a[0], a[1] = args[0], <PyObject*>sizes
    return run(o, a)


cdef bint _parse(Overload o, PyObject* const* args, Py_ssize_t nargs, object kw, Slots* slots, bint explain) except -1:
    """Whether the arguments fit; if not, or if a conversion raises, `slots` hold nothing."""
    cdef bint fit = False
    try:
        fit = o.signature.parse(args, nargs, kw, slots, explain)
    finally:
        if not fit:
            release(slots)
    return fit


cdef object _run_parsed(Overload o, Slots* slots):
    try:
        if o.has_dims:
            _wrap_dims(o, slots)
        return run(o, slots.values)
    finally:
        release(slots)


cdef object _explain(Operator op, PyObject* const* args, Py_ssize_t nargs, object kw):
    cdef Overload o = <Overload>op.overloads[0]
    cdef Slots slots
    cdef Py_ssize_t i
    detail = ""
    if len(op.overloads) == 1 or op.__name__ in _NUMBERS_ARE_TENSORS:
        try:
            if _parse(o, args, nargs, kw, &slots, True):
                release(&slots)
        except TypeError as error:
            # what is one overload here, with an operand that is a tensor or a number, is several in PyTorch
            several = P_OPERAND in [o.signature.types[i] for i in range(o.signature.n_params)] or o.options.get("overloaded")
            if not several or (op.__name__ in _NUMBERS_ARE_TENSORS and " must be " in str(error)):
                raise
            detail = f"\n{error}"
    got = [type(<object>args[i]).__name__ for i in range(nargs)]
    if kw is not None:
        got += [f"{kw[i]}={type(<object>args[nargs + i]).__name__}" for i in range(len(kw))]
    wanted = "".join(["\n * " + (<Overload>x).signature.describe() for x in op.overloads])
    raise TypeError(f"{op.__name__}() received an invalid combination of arguments - got ({', '.join(got)}), "
                    f"but expected one of:{wanted}\n{detail}")


# PyTorch makes tensors of the numbers that these are given, and has one overload for both.
_NUMBERS_ARE_TENSORS = frozenset(("add", "sub", "mul", "div", "add_", "sub_", "mul_", "div_"))


cdef str _spoken_type(TensorBase x):
    return type_name(x).rpartition(".")[2].removesuffix("Tensor")


cdef object _call_with_out(Operator op, PyObject* const* args, Py_ssize_t nargs, tuple kw):
    """`out=`: compute, then write into the tensor that was given."""
    positional = [<object>args[i] for i in range(nargs)]
    keywords = {kw[i]: <object>args[nargs + i] for i in range(len(kw))}
    out = keywords.pop("out")
    if out is None:
        return op(*positional, **keywords)
    targets = out if isinstance(out, (tuple, list)) else (out,)
    for target in targets:
        if not isinstance(target, TensorBase):
            raise TypeError(f"{op.__name__}(): argument 'out' must be Tensor, not {type(target).__name__}")
    everything = list(targets) + positional + list(keywords.values())
    if thread_state().grad and any([isinstance(x, TensorBase) and (<TensorBase>x).flags & REQUIRES_GRAD for x in everything]):
        raise RuntimeError(f"{op.__name__}(): functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    result = op(*positional, **keywords)
    results = result if isinstance(result, tuple) else (result,)
    if len(results) != len(targets):
        raise TypeError(f"{op.__name__}(): argument 'out' must hold {len(results)} tensors, got {len(targets)}")
    exact = (<Overload>op.overloads[0]).options.get("out_exact")
    for target, value in zip(targets, results):
        if exact is not None and (<TensorBase>target).dtype is not (<TensorBase>value).dtype:
            raise RuntimeError(exact.format(wanted=_spoken_type(value), got=_spoken_type(target), c_wanted=_spoken_type(value).lower(),
                                            c_got=_spoken_type(target).lower()))
        check_cast(value, target)
        check_apart(target, positional + list(keywords.values()), (<Overload>op.overloads[0]).options.get("out_apart", False))
    for target, value in zip(targets, results):
        if target.shape != value.shape:
            target.resize_(value.shape)
        target.copy_(value)
    return out if isinstance(out, TensorBase) else type(result)(targets)


cdef int64_t _wrap_dim(int64_t d, int64_t extent) except -1:
    cdef int64_t n = extent if extent > 0 else 1
    if d < -n or d >= n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    return d + n if d < 0 else d


cdef int _wrap_dims(Overload o, Slots* slots) except -1:
    """Make every dimension argument non-negative, or raise PyTorch's IndexError."""
    cdef int i, kind
    cdef int64_t ndim = -1, d
    cdef object x, wrapped
    for i in range(o.signature.n_params):
        kind = o.signature.types[i]
        x = <object>slots.values[i]
        if ndim < 0:
            if isinstance(x, TensorBase):
                ndim = (<TensorBase>x).ndim
            elif kind == P_TENSORS and len(<tuple>x):
                ndim = (<TensorBase>(<tuple>x)[0]).ndim
        if x is None or ndim < 0:
            continue
        if kind == P_DIM or kind == P_NEW_DIM:
            d = x
            if 0 <= d < ndim + (kind == P_NEW_DIM):
                continue
            wrapped = _wrap_dim(d, ndim + (kind == P_NEW_DIM))
        elif kind == P_DIMS:
            if _are_plain(<tuple>x, ndim):
                continue
            wrapped = tuple([_wrap_dim(d, ndim) for d in <tuple>x])
            if len(set(wrapped)) != len(wrapped):
                twice = next(d for d in wrapped if (<tuple>wrapped).count(d) > 1)
                repeated = o.options.get("repeated_dims", "dim {dim} appears multiple times in the list of dims ({name})")
                raise RuntimeError(repeated.format(dim=twice, name=o.name, dims=list(<tuple>x), parameter=o.signature.params[i].name))
        else:
            continue
        own(slots, i, wrapped)
    return 0


cdef bint _are_plain(tuple dims, int64_t ndim) except -1:
    """Whether none of the dimensions is negative, too large or there twice."""
    cdef uint64_t seen = 0
    cdef int64_t d
    for x in dims:
        d = x
        if d < 0 or d >= ndim or seen >> d & 1:
            return False
        seen |= <uint64_t>1 << d
    return True


cdef object run(Overload o, PyObject** a):
    """Run an overload on parsed arguments (borrowed), through whatever is in force."""
    cdef tg_thread_state* st = thread_state()
    if st.slow:
        return _run_slowly(o, a, st)
    if o.kind == COMPOSITE:
        return run_composite(o, a)
    return run_at(o, a, st)


cdef object invoke(Operator op, PyObject** a):
    """The first overload of an operator on all of its parameters in order, as if they had been parsed."""
    cdef Overload o = <Overload>op.first
    if not o.compiled:
        compile_overload(o)
    return run(o, a)


cdef object call_forward(Overload o, PyObject** a):
    if o.native != NULL:
        return o.native(a)
    return PyObject_Vectorcall(o.forward, a, o.signature.n_params, NULL)


cdef object run_composite(Overload o, PyObject** a):
    if not o.inplace or o.functional is None:
        return call_forward(o, a)
    cdef PyObject* args[24]
    cdef int i
    original = <object>a[0]
    for i in range(o.signature.n_params):
        args[i] = a[i]
    if thread_state().grad and any([isinstance(<object>a[i], TensorBase) and (<TensorBase>a[i]).flags & REQUIRES_GRAD
                                    for i in range(o.signature.n_params)]):
        original = call1(op_clone, original)        # what the forward saves must not be overwritten
        args[0] = <PyObject*>original
    value = call_forward(o, args)
    check_cast(value, <TensorBase>a[0])
    return call2(op_copy_, <object>a[0], value)


cdef inline uint32_t _flags(PyObject* x, bint written) except? 0xffffffff:
    cdef uint32_t flags
    if not is_tensor(x):
        return 0
    flags = (<TensorBase>x).flags
    # A view whose chain is not all of its history is checked when it is written.
    if flags & IS_VIEW and not flags & REQUIRES_GRAD and not (written and (<TensorBase>x).creation_meta != VIEW_DEFAULT):
        refresh_view(<TensorBase>x)
        flags = (<TensorBase>x).flags
    return flags


cdef inline uint32_t _input_flags(Overload o, PyObject** a, int level) except? 0xffffffff:
    """The flags of the differentiable inputs that belong to this level, together."""
    cdef uint32_t flags = 0
    cdef int i
    cdef PyObject* x
    for i in range(o.n_inputs):
        x = a[o.input_params[i]]
        if o.variadic and i == 0:
            for t in <tuple>x:
                if level_of(<TensorBase>t) == level:
                    flags |= _flags(<PyObject*>t, False)
        elif level == 0 or (is_tensor(x) and level_of(<TensorBase>x) == level):
            flags |= _flags(x, o.inplace and i == 0)
    return flags


cdef object run_at(Overload o, PyObject** a, tg_thread_state* st):
    """Compute, propagate tangents and record, at the level that `st.depth` names."""
    if o.untouched_below and (<TensorBase>a[0]).dtype.category < o.untouched_below:
        return <object>a[0]
    cdef uint32_t flags = _input_flags(o, a, st.depth)
    cdef bint records = st.grad and flags & REQUIRES_GRAD and not st.inference
    cdef bint tangents = st.forward_grad and flags & HAS_TANGENT
    cdef NodeBase node
    cdef object result
    if o.inplace:
        return _run_inplace(o, a, st, records, tangents)
    result = compute(o, a, st)
    if o.is_view:
        _mark_views(o, a, result, st)
    if tangents:
        propagate(o, a, result, False)
    if records:
        node = begin_record(o, a, result)
        finish_record(o, node, result)
    return result


cdef object compute(Overload o, PyObject** a, tg_thread_state* st):
    """The forward computation, below autograd; above level 0 the slow path computes on the values one level down."""
    cdef int grad, forward_grad
    if st.depth > 0:
        return _compute_below(o, a, st)
    if o.kind == ELEMENTWISE:
        return pointwise_result(o, a, None)
    _check_devices(o, a)
    grad, forward_grad = st.grad, st.forward_grad
    st.grad = 0
    st.forward_grad = 0
    try:
        return call_forward(o, a)
    finally:
        st.grad, st.forward_grad = grad, forward_grad


cdef int _refuse_escaped_in(Overload o, tuple items) except -1:
    for x in items:
        if isinstance(x, TensorBase) and (<TensorBase>x).wrap is not None:
            refuse_escaped(o, <TensorBase>x)
    return 0


cdef int _check_devices(Overload o, PyObject** a) except -1:
    """The tensors among the arguments live on one device, unless the declaration has `across_devices`."""
    cdef TensorBase x, first = None
    cdef int i, k
    if o.one_tensor:
        if (<TensorBase>a[0]).wrap is not None:
            refuse_escaped(o, <TensorBase>a[0])
        return 0
    for k in range(o.n_tensors):
        i = o.tensor_params[k]
        if not isinstance(<object>a[i], TensorBase):
            if type(<object>a[i]) is tuple:
                _refuse_escaped_in(o, <tuple>a[i])
            continue
        x = <TensorBase>a[i]
        if x.wrap is not None:
            refuse_escaped(o, x)
        if first is None:
            first = x
        elif x.storage is not None and first.storage is not None and x.storage.device is not first.storage.device \
                and not o.options.get("across_devices"):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, "
                               f"{first.storage.device} and {x.storage.device}! (argument '{o.signature.params[i].name}' of "
                               f"{o.name}: move one of them with .to(device))")
    return 0


cdef object _mark_views(Overload o, PyObject** a, object result, tg_thread_state* st):
    cdef TensorBase source = <TensorBase>a[0]
    cdef int n = o.signature.n_params - 1
    cdef int creation = VIEW_DEFAULT
    cdef int i
    if st.inference:
        if source.flags & INFERENCE:
            return
        creation = VIEW_INFERENCE       # a view of an ordinary tensor is an ordinary one
    elif not st.grad:
        creation = VIEW_NO_GRAD
    if creation != VIEW_DEFAULT and source.flags & REQUIRES_GRAD and not source.flags & INFERENCE:
        # as in PyTorch such a view says that it requires a gradient, though it has no history
        for x in (result,) if isinstance(result, TensorBase) else result:
            if (<TensorBase>x).dtype.category >= CAT_FLOAT:
                (<TensorBase>x).flags |= REQUIRES_GRAD
    if source.flags & INFERENCE:        # its memory is an inference tensor's, wherever the view is made
        for x in (result,) if isinstance(result, TensorBase) else result:
            (<TensorBase>x).flags |= INFERENCE
            (<TensorBase>x).version = NULL
        if not st.inference:
            creation = VIEW_DEFAULT
    if isinstance(result, TensorBase):
        if result is not source and (<TensorBase>result).storage is source.storage:
            (<TensorBase>result).flags &= ~<uint32_t>INFERENCE | source.flags
            mark_view(<TensorBase>result, source, o, a + 1, n, -1, creation)
    else:
        for i, x in enumerate(result):
            (<TensorBase>x).flags &= ~<uint32_t>INFERENCE | source.flags
            mark_view(<TensorBase>x, source, o, a + 1, n, i, VIEW_MULTI_OUTPUT if creation == VIEW_DEFAULT else creation)


# ---- in place -------------------------------------------------------------------------------------
cdef object _run_inplace(Overload o, PyObject** a, tg_thread_state* st, bint records, bint tangents):
    cdef TensorBase x = <TensorBase>a[0]
    cdef NodeBase node = None
    cdef int i
    if st.depth > 0 and level_of(x) != st.depth and (records or tangents):
        raise RuntimeError(
            "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call in-place operation "
            f"({o.name}) that would mutate a captured Tensor. This is not supported; please rewrite the function being "
            "transformed to explicitly accept the mutated Tensor(s) as inputs.")
    if st.depth == 0 or level_of(x) == st.depth:
        check_inplace(x, o.op, records)
    if records:
        node = begin_record(o, a, None)
    tangent = None
    if tangents:
        tangent = run_jvp(o, a, None, is_linear(o))
    if st.depth > 0:
        _compute_below(o, a, st)
    elif o.kind == ELEMENTWISE:
        pointwise_result(o, a, x)
    else:
        _forward_inplace(o, a, st)
    if st.depth == 0:
        bump(x, o.op)
    if tangent is not None:
        set_tangent(x, tangent, True)
    if records:
        set_output(node, 0, x)
        rebase_history(x, node, 0)
        for i in range(o.n_saved):
            if o.saved_kind[i] == SAVE_OUT and o.saved_for[i] & node.needs:
                # Of a view a copy: writes to other parts of the same memory are no concern of this node.
                save_output(node, i, detached_clone(x) if x.flags & IS_VIEW else x, 0)
    return x


cdef int _forward_inplace(Overload o, PyObject** a, tg_thread_state* st) except -1:
    cdef int grad = st.grad, forward_grad = st.forward_grad
    cdef TensorBase x = <TensorBase>a[0]
    cdef TensorBase value
    _check_devices(o, a)
    st.grad = 0
    st.forward_grad = 0
    try:
        result = call_forward(o, a)
    finally:
        st.grad, st.forward_grad = grad, forward_grad
    if o.functional is not None:
        value = result
        if not has_shape(value, x.ndim, x.shape):
            raise RuntimeError(f"{o.name}: the result has shape {[value.shape[d] for d in range(value.ndim)]} and cannot be "
                               f"written into a tensor of shape {[x.shape[d] for d in range(x.ndim)]}")
        check_cast(value, x)
        copy(x, value)
    return 0


set_dispatcher(dispatch_call, invoke)
set_runner(run)
