"""Recording an operator, and the vjp of what was recorded."""
from cpython.ref cimport Py_INCREF, Py_XDECREF

from tensorgrad._core.declaration cimport (
    FROM_GRAD, FROM_GRADS, FROM_SAVED, SAVE_DTYPE, SAVE_OUT, SAVE_SHAPE, Formula)
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT
from tensorgrad._core.grad_mode cimport anomaly_mode, thread_state
from tensorgrad._core.graph cimport save_input, save_object, save_output, unpack
from tensorgrad._core.operator cimport Operator, call1, call2, combine, handle
from tensorgrad._core.types cimport REQUIRES_GRAD, give, init_node, is_tensor, level_of, new_node, set_output, shape_tuple
from tensorgrad._core.view cimport gradient_edge

from tensorgrad._core.engine import current_node

cdef extern from "Python.h":
    object PyObject_Vectorcall(object f, PyObject** args, size_t nargsf, PyObject* kwnames)

cdef Operator op_mul = handle("mul")
cdef Operator op_neg = handle("neg")
cdef Operator op_conj = handle("conj_physical")
cdef Operator op_clone = handle("clone")
cdef Operator op_zeros = handle("zeros")
cdef Operator op_zeros_like = handle("zeros_like")


# ---- forward: a node, its edges, and what it saves ------------------------------------------------------
cdef NodeBase begin_record(Overload o, PyObject** a, object result):
    """A node with its edges and saved inputs; an in-place operator makes it before it writes (`result` is None)."""
    cdef NodeBase node = new_node(o.node_type)
    cdef int depth = thread_state().depth
    cdef int i, k, n_edges = o.n_inputs
    cdef int n_outputs = 1
    cdef PyObject* x
    if o.variadic:
        n_edges += <int>len(<tuple>a[o.input_params[0]]) - 1
    if result is not None and not isinstance(result, TensorBase):
        n_outputs = <int>len(result)
    init_node(node, o, n_edges, n_outputs, o.n_saved)
    node.runner = run_operator_node
    k = 0
    for i in range(o.n_inputs):
        x = a[o.input_params[i]]
        if o.variadic and i == 0:
            for t in <tuple>x:
                if (<TensorBase>t).flags & REQUIRES_GRAD and level_of(<TensorBase>t) == depth:
                    gradient_edge(<TensorBase>t, node, k)
                    node.needs |= 1
                k += 1
            continue
        if is_tensor(x) and (<TensorBase>x).flags & REQUIRES_GRAD and level_of(<TensorBase>x) == depth:
            gradient_edge(<TensorBase>x, node, k)
            node.needs |= 1 << i
        k += 1
    for i in range(o.n_saved):
        if o.saved_for[i] & node.needs and o.saved_kind[i] != SAVE_OUT:
            _save_argument(o, node, i, a[o.saved_index[i]])
    if anomaly_mode().enabled:
        remember_stack(node)
    return node


cdef int _save_argument(Overload o, NodeBase node, int i, PyObject* x) except -1:
    """Save argument `x`, or what the derivative wants to know of it, in slot `i`."""
    if o.saved_kind[i] == SAVE_SHAPE:
        if is_tensor(x):
            save_object(node, i, shape_tuple(<TensorBase>x))
        elif isinstance(<object>x, tuple):
            save_object(node, i, tuple([shape_tuple(<TensorBase>t) for t in <tuple>x]))
    elif o.saved_kind[i] == SAVE_DTYPE:
        save_object(node, i, (<TensorBase>x).dtype if is_tensor(x) else None)
    elif not is_tensor(x):
        save_object(node, i, <object>x)
    elif o.inplace and o.saved_index[i] == 0:
        save_input(node, i, call1(op_clone, <object>x))     # before it is overwritten; with its history, for double backward
    else:
        save_input(node, i, <TensorBase>x)
    return 0


cdef TensorBase detached_clone(TensorBase x):
    """The present value, apart from the tensor's memory and history."""
    cdef int before = thread_state().grad
    thread_state().grad = 0
    try:
        return call1(op_clone, x)
    finally:
        thread_state().grad = before


cdef remember_stack(NodeBase node):
    import traceback
    if node.extra is None:
        node.extra = {}
    node.extra.setdefault("metadata", {}).update(traceback_=traceback.format_stack(), parent_=current_node())


cdef int finish_record(Overload o, NodeBase node, object result) except -1:
    """Make `node` the history of the results, and save those that the derivative is made of."""
    cdef int i
    cdef TensorBase x
    if is_tensor(<PyObject*>result):
        x = <TensorBase>result
        if x.dtype.category >= CAT_FLOAT:
            set_output(node, 0, x)
            x.grad_fn, x.output_nr = node, 0
            x.flags |= REQUIRES_GRAD
    else:
        for i, x in enumerate(result):
            set_output(node, i, x)
            if (i >= len(o.differentiable_outputs) or o.differentiable_outputs[i]) and x.dtype.category >= CAT_FLOAT:
                x.grad_fn, x.output_nr = node, i
                x.flags |= REQUIRES_GRAD
    for i in range(o.n_saved if o.saves_output else 0):
        if o.saved_kind[i] == SAVE_OUT and o.saved_for[i] & node.needs:
            x = <TensorBase>result if isinstance(result, TensorBase) else <TensorBase>result[o.saved_index[i]]
            if x.grad_fn is node:
                save_output(node, i, x, o.saved_index[i])
            else:
                save_input(node, i, x)
    return 0


# ---- backward ---------------------------------------------------------------------------------------------
cdef object materialize(NodeBase node, int i, object grad):
    """Zeros in place of a gradient that did not come."""
    if grad is not None:
        return grad
    shape = tuple([(node.outputs[i].big if node.outputs[i].big != NULL else &node.outputs[i].dims[0])[d]
                   for d in range(node.outputs[i].ndim)])
    return op_zeros(shape, dtype=<object>node.outputs[i].dtype, device=<object>node.outputs[i].device)


cdef object _evaluate(Overload o, Formula f, NodeBase node, PyObject** grads):
    """Call a formula with what its arguments are named after."""
    cdef PyObject* args[12]
    cdef int i, n = 0
    cdef object x
    try:
        while n < f.n:
            x = _value(o, f, n, node, grads)
            Py_INCREF(x)
            args[n] = <PyObject*>x
            n += 1
        return PyObject_Vectorcall(f.function, args, n, NULL)
    finally:
        for i in range(n):
            Py_XDECREF(args[i])


cdef object _value(Overload o, Formula f, int i, NodeBase node, PyObject** grads):
    """What argument `i` of a formula is named after."""
    cdef object x
    if f.source[i] == FROM_SAVED:
        return unpack(node, f.index[i])
    if f.source[i] == FROM_GRAD:
        x = <object>grads[f.index[i]]
        return materialize(node, f.index[i], None) if x is None else x
    if f.source[i] == FROM_GRADS:
        return tuple([materialize(node, j, <object>grads[j]) for j in range(node.n_outputs)])
    return tuple([(node.needs >> j) & 1 != 0 for j in range(o.n_inputs)])


cdef int run_operator_node(NodeBase node, PyObject** grads, PyObject** result) except -1:
    """The vjp of a recorded operator: one gradient for each edge."""
    cdef Overload o = <Overload>node.op
    cdef Formula f
    cdef int i, k = 0, others = node.n_edges - o.n_inputs
    cdef object g
    if o.joint:
        g = _evaluate(o, <Formula>o.formulas[0], node, grads)
        if isinstance(g, TensorBase):
            give(result, 0, g)
            return 0
        if o.variadic and isinstance(g[0], (tuple, list)):
            g = (*g[0], *g[1:])
        for i in range(min(<int>len(g), node.n_edges)):
            give(result, i, g[i])
        return 0
    for i in range(o.n_inputs):
        if not (node.needs >> i) & 1:
            k += others + 1 if o.variadic and i == 0 else 1
            continue
        f = <Formula>o.formulas[i]
        if o.vjp is not None:
            g = _evaluate(o, f, node, grads)
            if o.variadic and i == 0:
                for j, x in enumerate(g[:others + 1]):
                    give(result, k + j, x)
                k += others + 1
                continue
        elif f.is_value:
            g = times_partial(<object>grads[0], unpack(node, f.index[0]), True)
        elif f.function is not None:
            g = times_partial(<object>grads[0], _evaluate(o, f, node, grads), True)
        elif f.constant == 0:
            g = call1(op_zeros_like, <object>grads[0])      # whatever the gradient holds, infinities too
        else:
            g = times_partial(<object>grads[0], f.constant, True)
        give(result, k, g)
        k += 1
    return 0


cdef object times_partial(object g, object p, bint conjugate):
    """g * p, or g * conj(p) on the way back."""
    if isinstance(p, TensorBase):
        if conjugate and (<TensorBase>p).dtype.category == CAT_COMPLEX:
            p = call1(op_conj, p)
        return combine(op_mul, g, p) if isinstance(g, TensorBase) else call2(op_mul, g, p)
    if p is None:
        return None
    if p == 1:
        return g
    if p == -1:
        return call1(op_neg, g)
    if conjugate and isinstance(p, complex):
        p = p.conjugate()
    return call2(op_mul, g, p)
