"""Forward mode: the tangents of an operator's results."""
from tensorgrad._core.declaration cimport (
    FROM_SAVED, FROM_TANGENT, SAVE_DTYPE, SAVE_OUT, SAVE_PARAM, Formula, bind, compile_overload)
from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.grad_mode cimport Level, level_at, tg_thread_state, thread_state
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.primitives cimport has_shape
from tensorgrad._core.recording cimport times_partial
from tensorgrad._core.types cimport HAS_TANGENT, Storage
from tensorgrad._core.view cimport set_tangent

cdef Operator op_add = handle("add")
cdef Operator op_clone = handle("clone")
cdef Operator op_expand = handle("expand")
cdef Operator op_to = handle("to")
cdef Operator op_zeros_like = handle("zeros_like")

cdef object _jvp_below = None


cdef void set_jvp_below(object jvp_below):
    """Transforms live above: what computes a tangent one level down."""
    global _jvp_below
    _jvp_below = jvp_below


cdef bint is_linear(Overload o):
    return isinstance(o.jvp, str) and o.jvp == "linear"


cdef object _argument(object x, Overload o, PyObject** a, object outs, int slot):
    """What a jvp's argument names: here nothing was saved, the call is still under way."""
    cdef int k = o.saved_kind[slot]
    if k == SAVE_OUT:
        return outs if isinstance(outs, TensorBase) else outs[o.saved_index[slot]]
    x = <object>a[o.saved_index[slot]]
    if k == SAVE_PARAM:
        return x
    if k == SAVE_DTYPE:
        return x.dtype
    return tuple(x.shape) if isinstance(x, TensorBase) else tuple([tuple(t.shape) for t in x])


cdef object tangent_of(object x):
    if isinstance(x, TensorBase) and (<TensorBase>x).flags & HAS_TANGENT and (<TensorBase>x).meta is not None:
        return (<TensorBase>x).meta.tangent
    return None


cdef object run_jvp(Overload o, PyObject** a, object outs, bint linear):
    """The tangent (or tuple of tangents) of an operator's result; the caller has switched tangents off below."""
    cdef tg_thread_state* st = thread_state()
    cdef int forward_grad = st.forward_grad, depth = st.depth, grad = st.grad
    if o.inplace and outs is None and o.functional is not None and not linear and (o.jvp is not None or _uses_out(o)):
        st.forward_grad = 0
        outs = o.functional(*[<object>a[i] for i in range(o.signature.n_params)])
        st.forward_grad = forward_grad
    if st.depth > 0:
        return _slow_jvp(o, a, outs, linear, st)
    st.forward_grad = 0
    try:
        return jvp_here(o, a, outs, linear)
    finally:
        st.forward_grad, st.depth, st.grad = forward_grad, depth, grad


cdef bint _uses_out(Overload o):
    return any([o.saved_kind[i] == SAVE_OUT for i in range(o.n_saved)])


cdef object _slow_jvp(Overload o, PyObject** a, object outs, bint linear, tg_thread_state* st):
    """At a transform's level: on the values one level down, with the modes that hold there."""
    return _jvp_below(o, [<object>a[i] for i in range(o.signature.n_params)],
                     [_deep_tangent(<object>a[i]) for i in range(o.signature.n_params)], outs, linear)


cdef object _deep_tangent(object x):
    return tuple([tangent_of(t) for t in x]) if isinstance(x, tuple) else tangent_of(x)


cdef object jvp_here(Overload o, PyObject** a, object outs, bint linear):
    return jvp_values(o, [<object>a[i] for i in range(o.signature.n_params)],
                      [_deep_tangent(<object>a[i]) for i in range(o.signature.n_params)], outs, linear)


def jvp_values(Overload o, list args, list tangents, outs, bint linear):
    """The tangent of `o(*args)` for the given tangents (None where there is none)."""
    cdef PyObject* a[24]
    cdef Formula f
    cdef int i
    compile_overload(o)
    for i in range(len(args)):
        a[i] = <PyObject*>args[i]
    if linear:
        first = o.input_params[0]
        rest = list(args)
        if o.variadic:
            rest[first] = tuple([t if t is not None else call1(op_zeros_like, x)
                                 for t, x in zip(tangents[first], args[first])])
        else:
            rest[first] = tangents[first]
        return (o.functional if o.functional is not None else o)(*rest)
    if o.jvp is not None:
        if o.jvp_formula is None:
            f = Formula.__new__(Formula)
            bind(o, f, o.jvp, 0)
            o.jvp_formula = f
        f = o.jvp_formula
        values = []
        for i in range(f.n):
            if f.source[i] == FROM_TANGENT:
                values.append(tangents[f.index[i]])
            elif f.source[i] == FROM_SAVED:
                values.append(_argument(None, o, a, outs, f.index[i]))
            else:
                raise ValueError(f"the jvp of {o.name} asks for a gradient")
        return f.function(*values)
    if o.partials is None:
        raise NotImplementedError(
            f"Trying to use forward AD with {o.name} that does not support it because it has not been implemented yet. "
            "Please declare a jvp for it, or use reverse mode.")
    total = flat = None
    for i in range(o.n_inputs):
        t = tangents[o.input_params[i]]
        if t is None:
            continue
        p = o.partials[o.signature.params[o.input_params[i]].name]
        if isinstance(p, str):
            p = outs if p == "out" else args[[q.name for q in o.signature.params].index(p)]
        elif callable(p):
            names = p.__code__.co_varnames[:p.__code__.co_argcount]
            parameters = {q.name: j for j, q in enumerate(o.signature.params)}
            p = p(*[outs if name == "out" else args[parameters[name]] for name in names])
        elif p == 0:
            flat = t
            continue
        term = times_partial(t, p, False)
        if term is not None:
            total = term if total is None else call2(op_add, total, term)
    return call1(op_zeros_like, flat) if total is None and flat is not None else total


cdef int propagate(Overload o, PyObject** a, object result, bint written) except -1:
    cdef object t = run_jvp(o, a, result, is_linear(o))
    cdef int i
    if t is None:
        return 0
    if isinstance(result, TensorBase):
        set_tangent(<TensorBase>result, _settled(o, a, t, <TensorBase>result), written)
    else:
        for i, x in enumerate(result):
            if i < len(t) and t[i] is not None and (<TensorBase>x).dtype.category >= CAT_FLOAT:
                set_tangent(<TensorBase>x, _settled(o, a, t[i], <TensorBase>x), written)
    return 0


cdef Storage _memory(TensorBase x):
    while x.wrap is not None:
        x = x.wrap.value
    return x.storage


cdef TensorBase _settled(Overload o, PyObject** a, TensorBase t, TensorBase x):
    """The tangent `t` in the shape and dtype of `x`, and in memory of its own unless `x` is a view.

    What is done to it is done one level below the tensor's, where tangents live.
    """
    cdef tg_thread_state* st = thread_state()
    cdef int depth = st.depth, grad = st.grad, forward_grad = st.forward_grad
    cdef Level level
    if depth > 0:
        level = level_at(st, depth)
        st.depth, st.grad, st.forward_grad = depth - 1, level.outer_grad, level.outer_forward_grad
    try:
        t = _fit(t, x)
        # A write to the result must not reach the tangent of an argument.
        return call1(op_clone, t) if not o.is_view and _shares_tangent(o, a, t) else t
    finally:
        st.depth, st.grad, st.forward_grad = depth, grad, forward_grad


cdef bint _shares_tangent(Overload o, PyObject** a, TensorBase t) except -1:
    cdef int i
    for i in range(o.signature.n_params):
        x = _deep_tangent(<object>a[i])
        for known in x if isinstance(x, tuple) else (x,):
            if known is not None and _memory(<TensorBase>known) is _memory(t):
                return True
    return False


cdef TensorBase _fit(TensorBase t, TensorBase x):
    """A tangent of the primal's shape and dtype."""
    if not has_shape(t, x.ndim, x.shape):
        t = call2(op_expand, t, tuple([x.shape[d] for d in range(x.ndim)]))
    if t.dtype is not x.dtype:
        t = call2(op_to, t, x.dtype)
    return t
