"""The stack of transforms: grad, jvp and vmap levels, and how an operator passes through them.

Dispatch looks at the top level only. A grad or jvp level is autograd once more: `run_at` records (or
propagates tangents) on wrappers and computes on the values they wrap, one level down. A vmap level
moves batch dimensions to where the operator's batching rule wants them and calls the operator again
one level down. Nesting needs nothing else.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core.declaration cimport COMPOSITE, Overload, compile_overload
from tensorgrad._core.dispatch cimport run, run_at, run_composite, set_slow_paths
from tensorgrad._core.dtype cimport dtype_of
from tensorgrad._core.elementwise cimport compute_dtype
from tensorgrad._core.grad_mode cimport LEVEL_VMAP, Level, level_at, tg_thread_state, thread_state
from tensorgrad._core.operator cimport Operator, call2, call3, handle
from tensorgrad._core.profiler cimport begin_operator, end_event, end_operator
from tensorgrad._core.signature cimport P_DIM, P_DIMS, P_NEW_DIM, P_SIZE, Param
from tensorgrad._core.tangents cimport set_jvp_below
from tensorgrad._core.types cimport HAS_TANGENT, REQUIRES_GRAD, WRAPPED, TensorBase, Wrap, level_of, meta_of, new_tensor

from tensorgrad._core.tangents import jvp_values

import warnings

cdef Operator op_copy_ = handle("copy_")
cdef Operator op_movedim = handle("movedim")
cdef Operator op_expand = handle("expand")
cdef Operator op_reshape = handle("reshape")
cdef Operator op_select = handle("select")
cdef Operator op_stack = handle("stack")
cdef Operator op_to = handle("to")
cdef Operator op_squeeze = handle("squeeze")
cdef Operator op_unsqueeze = handle("unsqueeze")

cdef extern from *:
    """
    static __thread void *tg_write_observer = NULL;
    """
    void* tg_write_observer     # called with a tensor before it is written in place; borrowed from whoever set it

cdef bint _fallback_warns = False


def set_fallback_warnings(bint on):
    """Warn when an operator without a batching rule is looped over."""
    global _fallback_warns
    _fallback_warns = on


def set_write_observer(observer):
    """Have this thread call ``observer(tensor)`` before each write in place; None ends that. The caller keeps it alive."""
    global tg_write_observer
    thread_state().slow += (observer is not None) - (tg_write_observer != NULL)
    tg_write_observer = NULL if observer is None else <void*>observer


# ---- wrapping -----------------------------------------------------------------------------------
cdef TensorBase wrap(TensorBase value, int level, int bdim):
    """`value` as a tensor of transform `level`; `bdim` is the dimension that a vmap hides, or -1."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d, n = 0
    cdef TensorBase x
    for d in range(value.ndim):
        if d != bdim:
            shape[n], strides[n] = value.shape[d], value.strides[d]
            n += 1
    x = new_tensor(None, value.dtype, n, shape, strides, 0)
    x.wrap = Wrap.__new__(Wrap)
    x.wrap.value, x.wrap.level, x.wrap.bdim = value, level, bdim
    x.wrap.owner = level_at(thread_state(), level)
    x.flags |= WRAPPED
    x.version = value.version
    if x.version != NULL:       # its owner must live as long: `value` may be given other memory
        meta_of(x).versions = value.meta.versions if value.meta is not None and value.meta.versions is not None else value.storage
    return x


def wrap_value(TensorBase value, int level, int bdim=-1):
    return wrap(value, level, bdim)


def unwrap_value(x, int level):
    """(value one level down, batch dimension or None) of `x` if it belongs to `level`, else (x, None)."""
    cdef TensorBase t
    if isinstance(x, TensorBase) and level_of(<TensorBase>x) == level:
        t = <TensorBase>x
        return t.wrap.value, (None if t.wrap.bdim < 0 else t.wrap.bdim)
    return x, None


def level_of_tensor(TensorBase x):
    return level_of(x)


def transform_info(TensorBase x):
    """None, or (kind, level, bdim, value) of a tensor that belongs to a transform."""
    if x.wrap is None:
        return None
    kind = "BatchedTensor" if x.wrap.bdim >= 0 else "GradTrackingTensor"
    return kind, x.wrap.level, x.wrap.bdim, x.wrap.value


def make_leaf(TensorBase x):
    """Let a wrapper be differentiated."""
    x.flags |= REQUIRES_GRAD
    return x


def get_tangent(TensorBase x):
    return x.meta.tangent if x.flags & HAS_TANGENT and x.meta is not None else None


def put_tangent(TensorBase x, TensorBase tangent):
    meta_of(x).tangent = tangent
    if tangent is None:
        x.flags &= ~<unsigned int>HAS_TANGENT
    else:
        x.flags |= HAS_TANGENT


cdef bint belongs(TensorBase x, int level) except -1:
    """Whether `x` is a tensor of the transform at `level`: of this one, not of one that has ended."""
    if x.wrap is None or x.wrap.level != level:
        return False
    if not (<Level>x.wrap.owner).alive:
        raise RuntimeError(
            ("Either your tensor may have escaped from inside a function being vmapped and this is a user error" if x.wrap.bdim >= 0
             else "A tensor has escaped from the function that was transformed (grad, vjp or jvp)")
            + f": the transform of level {level} to which it belongs has ended. Return it from that function instead")
    return True


cdef object _unwrap(object x, int level):
    """An argument as the level below sees it."""
    if isinstance(x, TensorBase):
        return (<TensorBase>x).wrap.value if belongs(<TensorBase>x, level) else x
    if isinstance(x, tuple):
        for item in <tuple>x:
            if isinstance(item, TensorBase):
                return tuple([_unwrap(item, level) for item in <tuple>x])
    return x


cdef object _wrap_result(object result, int level, int bdim):
    if isinstance(result, TensorBase):
        return wrap(<TensorBase>result, level, bdim)
    if isinstance(result, (tuple, list)):
        items = [_wrap_result(x, level, bdim) for x in result]
        if type(result) is tuple:
            return tuple(items)
        return items if type(result) is list else type(result)(items)
    return result


# ---- the slow path --------------------------------------------------------------------------------
cdef object run_slowly(Overload o, PyObject** a, tg_thread_state* st):
    """Run an operator while something beside plain autograd is in force."""
    cdef int64_t event
    if not st.profiling:
        return run_through(o, a, st)
    event = begin_operator(st, o.name, a, o.signature.n_params)
    try:
        result = run_through(o, a, st)
    except BaseException:
        end_event(event)
        raise
    end_operator(event, result)
    return result


cdef object run_through(Overload o, PyObject** a, tg_thread_state* st):
    cdef Level level
    if o.kind == COMPOSITE:
        return run_composite(o, a)
    if st.depth > 0:
        level = level_at(st, st.depth)
        if level.kind == LEVEL_VMAP:
            return run_vmap(o, a, st, level)
    elif tg_write_observer != NULL and o.inplace:
        (<object>tg_write_observer)(<object>a[0])
    return run_at(o, a, st)


cdef object compute_below(Overload o, PyObject** a, tg_thread_state* st):
    """At a grad or jvp level: the values one level down, under the modes that held outside the transform."""
    cdef int depth = st.depth, grad = st.grad, forward_grad = st.forward_grad
    cdef Level level = level_at(st, depth)
    cdef PyObject* values[24]
    cdef list owned = []
    cdef int i
    for i in range(o.signature.n_params):
        x = _unwrap(<object>a[i], depth)
        owned.append(x)
        values[i] = <PyObject*>x
    st.depth = depth - 1
    st.grad = level.outer_grad
    st.forward_grad = level.outer_forward_grad
    try:
        result = run(o, values)
    finally:
        st.depth, st.grad, st.forward_grad = depth, grad, forward_grad
    if o.inplace:
        return <object>a[0]
    return _wrap_result(result, depth, -1)


def jvp_below(Overload o, list args, list tangents, outs, bint linear):
    """The tangents of a call at a grad or jvp level: they live one level down, and so are computed there."""
    cdef tg_thread_state* st = thread_state()
    cdef int depth = st.depth, grad = st.grad, forward_grad = st.forward_grad
    cdef Level level = level_at(st, depth)
    st.depth = depth - 1
    st.grad = level.outer_grad
    st.forward_grad = level.outer_forward_grad
    try:
        return jvp_values(o, [_unwrap(x, depth) for x in args], tangents,
                          None if outs is None else _unwrap(tuple(outs) if isinstance(outs, (tuple, list)) else outs, depth),
                          linear)
    finally:
        st.depth, st.grad, st.forward_grad = depth, grad, forward_grad


# ---- vmap ---------------------------------------------------------------------------------------------
cdef bint _is_batched(object x, int level):
    if isinstance(x, TensorBase):
        return belongs(<TensorBase>x, level)
    if isinstance(x, tuple):
        for item in <tuple>x:
            if isinstance(item, TensorBase) and belongs(<TensorBase>item, level):
                return True
    return False


cdef object run_vmap(Overload o, PyObject** a, tg_thread_state* st, Level level):
    """One operator under the top vmap: its batching rule, applied one level down."""
    cdef int i, n, depth = st.depth
    cdef bint batched = False
    cdef list args = []
    compile_overload(o)
    n = o.signature.n_params
    for i in range(n):
        args.append(<object>a[i])
        batched |= _is_batched(<object>a[i], depth)
    if o.is_random:
        if level.randomness == "error":
            raise RuntimeError("vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                               "'different' randomness flags on vmap or perform the randomness operation out of vmap")
    if o.inplace and batched and not _is_batched(args[0], depth):
        raise RuntimeError(
            f"vmap: {o.name}(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has "
            "more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped over in a "
            "vmap. Please try to use out-of-place operators instead of inplace, or write into a tensor made from a batched one "
            "(for example with new_zeros)")
    st.depth = depth - 1
    try:
        if not batched:
            if o.is_random and level.randomness == "different" and not o.inplace:
                result = _batch_random(o, args, level)
                return _loop(o, args, level, depth, False) if result is None else _wrap_result(result, depth, 0)
            return _call(o, args)
        if o.is_random and level.randomness == "same":
            return _loop(o, args, level, depth, True)
        if o.batch == "elementwise":
            result = _call(o, _align(o, args, depth, a))
        elif o.batch == "dims":
            result = _by_dims(o, args, level, depth)
        elif o.batch == "fallback" or o.batch is None:
            return _loop(o, args, level, depth, False)
        else:
            result, dims = o.batch(level.batch_size, *_values_and_dims(args, depth))
            if o.inplace:
                if o.functional is not None:    # the rule is that of the function: write what it gave
                    call2(op_copy_, batch_first(args[0], depth),
                          result if dims is None or dims == 0 else call3(op_movedim, result, dims, 0))
                return args[0]
            return _wrap_dims_of(result, dims, depth)
        if o.inplace:
            return args[0]
        return _wrap_result(result, depth, 0)
    finally:
        st.depth = depth


cdef object _wrap_dims_of(object result, object dims, int level):
    if isinstance(result, TensorBase):
        return result if dims is None else wrap(<TensorBase>result, level, dims)
    items = [x if d is None else wrap(<TensorBase>x, level, d) for x, d in zip(result, dims)]
    return tuple(items) if isinstance(result, tuple) else items


cdef object _call(Overload o, list args):
    cdef PyObject* a[24]
    cdef int i
    for i in range(len(args)):
        a[i] = <PyObject*>args[i]
    return run(o, a)


cdef TensorBase batch_first(TensorBase x, int level):
    """The value of a batched tensor with its batch dimension in front."""
    return x.wrap.value if x.wrap.bdim == 0 else call3(op_movedim, x.wrap.value, x.wrap.bdim, 0)


cdef tuple _values_and_dims(list args, int level):
    """(in_dims, *values) for a batching rule."""
    dims, values = [], []
    for x in args:
        if isinstance(x, tuple):
            pairs = [unwrap_value(item, level) for item in x]
            values.append(tuple([v for v, _ in pairs]))
            dims.append(tuple([d for _, d in pairs]))
        else:
            value, d = unwrap_value(x, level)
            values.append(value)
            dims.append(d)
    return (tuple(dims), *values)


cdef list _align(Overload o, list args, int level, PyObject** a):
    """Elementwise: batch dimensions in front, ranks made equal by dimensions of size one behind them."""
    cdef int rank = 0, code
    cdef TensorBase x, v
    for arg in args:
        if isinstance(arg, TensorBase):
            rank = max(rank, (<TensorBase>arg).ndim)
    code = compute_dtype(o, a)      # of the logical shapes: a batch of scalars still promotes like a scalar
    result = []
    for i, arg in enumerate(args):
        if isinstance(arg, TensorBase) and level_of(<TensorBase>arg) == level:
            x = <TensorBase>arg
            v = batch_first(x, level)
            if x.ndim == 0 and rank > 0 and x.dtype.code != code and not (i == 0 and o.kernel.bool_first) and not o.inplace:
                v = call2(op_to, v, dtype_of(code))
            if x.ndim < rank:
                v = call2(op_reshape, v, (v.shape[0],) + (1,) * (rank - x.ndim) + tuple([v.shape[d] for d in range(1, v.ndim)]))
            arg = v
        result.append(arg)
    return result


cdef TensorBase _as_batched(object x, Level level, int depth):
    """A tensor with the batch in front, expanded if it is the same for the whole batch."""
    cdef TensorBase t = x
    if level_of(t) == depth:
        return batch_first(t, depth)
    return call2(op_expand, t, (level.batch_size, *[t.shape[d] for d in range(t.ndim)]))


cdef object _by_dims(Overload o, list args, Level level, int depth):
    """The rule of operators that act on named dimensions and leave the others alone: shift the names by one."""
    cdef list shifted = []
    cdef int ndim = -1
    cdef bint scalar
    cdef Param p
    for x in args:
        if isinstance(x, TensorBase):
            ndim = (<TensorBase>x).ndim
            break
        if isinstance(x, tuple) and len(x) and isinstance((<tuple>x)[0], TensorBase):
            ndim = (<TensorBase>(<tuple>x)[0]).ndim
            break
    scalar = ndim == 0 and any([(<Param>q).type == P_DIM or (<Param>q).type == P_DIMS for q in o.signature.params])
    for i, x in enumerate(args):
        p = <Param>o.signature.params[i]
        if isinstance(x, TensorBase):
            v = _as_batched(x, level, depth)
            if scalar and (<TensorBase>v).ndim == 1 and p.name == "self":
                v = call2(op_unsqueeze, v, 1)
            shifted.append(v)
        elif isinstance(x, tuple) and len(x) and isinstance((<tuple>x)[0], TensorBase):
            shifted.append(tuple([_as_batched(item, level, depth) if isinstance(item, TensorBase) else item for item in <tuple>x]))
        elif p.type == P_DIM or p.type == P_NEW_DIM:
            if x is None:
                shifted[0] = call2(op_reshape, shifted[0], (level.batch_size, -1))
                x = 0
            shifted.append(x + 1)
        elif p.type == P_DIMS:
            if x is None or len(<tuple>x) == 0:
                x = tuple(range(max(ndim, 1) if scalar else ndim))
            shifted.append(tuple([d + 1 for d in <tuple>x]))
        elif p.type == P_SIZE and x is not None:
            shifted.append((level.batch_size, *x))
        else:
            shifted.append(x)
    result = _call(o, shifted)
    if scalar:
        return _drop_one(result)
    return result


cdef object _drop_one(object result):
    """The dimension that stood in for a scalar's none."""
    if isinstance(result, TensorBase):
        return call2(op_squeeze, result, 1) if (<TensorBase>result).ndim == 2 else result
    return type(result)([_drop_one(x) for x in result])


cdef object _batch_random(Overload o, list args, Level level):
    """Independent draws for each element of the batch: the operator asked for a batch more; None if it has no size."""
    cdef Param p
    cdef TensorBase t
    for i, x in enumerate(args):
        p = <Param>o.signature.params[i]
        if isinstance(x, TensorBase):
            t = <TensorBase>x
            many = call2(op_expand, t, (level.batch_size, *[t.shape[d] for d in range(t.ndim)]))
            return _call(o, args[:i] + [many] + args[i + 1:])
        if p.type == P_SIZE:
            return _call(o, args[:i] + [(level.batch_size, *x)] + args[i + 1:])
    return None


cdef object _loop(Overload o, list args, Level level, int depth, bint same_draws):
    """No batching rule: once for each element of the batch."""
    cdef list results = []
    if _fallback_warns and not same_draws:
        warnings.warn(f"There is a performance drop because we have not yet implemented the batching rule for tensorgrad::{o.name}. "
                      "It runs once for each element of the batch.", stacklevel=2)
    state = None
    for b in range(level.batch_size):
        if same_draws:
            state = _generator_state(args, state)
        results.append(_call(o, [_pick(x, b, depth) for x in args]))
    if o.inplace:
        return args[0]
    if not results:
        raise RuntimeError("vmap: a batch of size zero cannot be run through the loop that stands in for a batching rule")
    first = results[0]
    if isinstance(first, TensorBase):
        return wrap(call2(op_stack, tuple(results), 0), depth, 0)
    return type(first)([wrap(call2(op_stack, tuple([r[i] for r in results]), 0), depth, 0) for i in range(len(first))])


cdef object _generator_of = None


def set_generator_source(function):
    """Generators live with the random operators, above: what finds the one that a call draws from."""
    global _generator_of
    _generator_of = function


cdef object _generator_state(list args, object state):
    """Put the generator back, so that each element of the batch draws the same numbers."""
    generator = _generator_of(next((x for x in args if hasattr(x, "initial_seed")), None))
    if state is None:
        return generator.get_offset()
    generator.set_offset(state)
    return state


cdef object _pick(object x, int64_t b, int level):
    cdef TensorBase t
    if isinstance(x, TensorBase) and level_of(<TensorBase>x) == level:
        t = <TensorBase>x
        return call3(op_select, t.wrap.value, t.wrap.bdim, b)
    if isinstance(x, tuple):
        return tuple([_pick(item, b, level) for item in <tuple>x])
    return x


set_slow_paths(run_slowly, compute_below)
set_jvp_below(jvp_below)
