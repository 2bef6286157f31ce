"""Steps of optimisers over lists of tensors: one call updates every parameter of a group.

The kernels (optim.h) read and write each array once. They serve parameters, gradients and states that
are contiguous on the CPU; any other layout, device or transform, and steps that are to be differentiated, take
the decomposition into operators below, which is also the formula to read.
"""
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.math cimport pow
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcmp

from tensorgrad._core.dtype cimport CAT_FLOAT, TG_F32, TG_F64
from tensorgrad._core.grad_mode cimport tg_thread_state, thread_state
from tensorgrad._core.leaves cimport read_grad
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport CONTIGUOUS, INFERENCE, REQUIRES_GRAD, TensorBase, device_of
from tensorgrad._core.view cimport check_inplace
from tensorgrad.kernels.cpu.cpu cimport pool_functions, tg_pool_functions

from tensorgrad._core.declaration import composite

cdef extern from "Python.h":
    PyObject* PyTuple_GET_ITEM(PyObject* t, Py_ssize_t i) noexcept
    PyObject* _get_item "PyDict_GetItemWithError"(PyObject* d, PyObject* key) except? NULL

cdef extern from "optim.h" nogil:
    ctypedef struct tg_sgd_options:
        double lr, momentum, dampening, weight_decay
        int32_t maximize, nesterov, first
    ctypedef struct tg_adam_options:
        double lr, beta1, beta2, weight_decay, eps, correction1, correction2
        int32_t maximize, amsgrad, decoupled
    ctypedef struct tg_adagrad_options:
        double rate, weight_decay, eps
        int32_t maximize
    ctypedef struct tg_step_kernel:
        int32_t arrays
    const tg_step_kernel tg_step_sgd, tg_step_sgd_momentum, tg_step_adam, tg_step_amsgrad, tg_step_adagrad, tg_step_unscale
    int tg_step_run(const tg_step_kernel* k, int32_t dtype, char** p, int64_t begin, int64_t end, const void* options)
    int tg_step_share(const tg_step_kernel* k, int32_t dtype, char** p, int64_t n, const void* options)
    void tg_pool_connect(const tg_pool_functions* functions)

cdef enum:
    GRAD = 1                    # the column of gradients; those beside it are written to
    RELEASE_GIL_AT = 1 << 15

tg_pool_connect(pool_functions())

cdef Operator view_as_real = handle("view_as_real")
cdef Operator maximum = handle("maximum")


# ---- what a step needs, and whether a kernel may have it ----------------------------------------------
cdef inline TensorBase _at(PyObject* column, Py_ssize_t i):
    return <TensorBase>PyTuple_GET_ITEM(column, i)


cdef Py_ssize_t _length(Operator op, PyObject** columns, int n) except -1:
    """How many parameters there are; as many gradients and states belong to them."""
    cdef Py_ssize_t length = PyTuple_GET_SIZE(<tuple>columns[0]), other
    cdef int j
    for j in range(1, n):
        other = PyTuple_GET_SIZE(<tuple>columns[j])
        if other != length:
            raise RuntimeError(f"Tensor lists must have the same number of tensors, got {length} and {other} ({op.__name__}: a "
                               "gradient and a tensor of each state belong to every parameter)")
    return length


cdef str _spoken(TensorBase x):
    cdef int d
    return f"{x.dtype} {[x.shape[d] for d in range(x.ndim)]} on {device_of(x)}"


cdef bint _admit(Operator op, PyObject** columns, int n, Py_ssize_t i) except -1:
    """Whether the kernel serves parameter `i`; raises on what no step can be computed from."""
    cdef TensorBase p = _at(columns[0], i), x
    cdef bint direct = True, recording = thread_state().grad
    cdef int j
    if p.dtype.category < CAT_FLOAT:
        raise RuntimeError(f"{op.__name__}: parameters must be floating point or complex, but number {i} is {p.dtype}")
    for j in range(n):
        x = _at(columns[j], i)
        if x.storage is None or x.storage.device.table == NULL or not x.flags & CONTIGUOUS:
            direct = False
            _check_layout(op, x, j)
        if x.dtype is not p.dtype or x.ndim != p.ndim or memcmp(x.shape, p.shape, p.ndim * sizeof(int64_t)) \
                or not _together(x, p):
            raise RuntimeError("params, grads and states must have same dtype, device, and layout, and the same shape, but those of "
                               f"parameter {i} are {_spoken(p)} and {_spoken(x)} ({op.__name__})")
        if j != GRAD and (recording or x.flags & INFERENCE):
            check_inplace(x, op, False)
    if direct:
        _refuse_overlap(op, columns, n, i)
    return direct


cdef inline bint _together(TensorBase x, TensorBase y):
    """Whether two tensors are on one device."""
    if x.storage is not None and y.storage is not None:
        return x.storage.device is y.storage.device
    return device_of(x) is device_of(y)


cdef int _check_layout(Operator op, TensorBase x, int j) except -1:
    cdef int d
    for d in range(x.ndim):
        if j != GRAD and x.strides[d] == 0 and x.shape[d] > 1:
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                               f"memory location. Please clone() the tensor before performing the operation. ({op.__name__})")
    return 0


cdef inline void _wrote(Operator op, TensorBase x) noexcept:
    """What `bump` does, without a call."""
    if x.version != NULL:
        x.version[0] += 1
    x.storage.writer = <PyObject*>op


cdef inline char* _data(TensorBase x):
    return x.storage.data + x.offset * x.dtype.itemsize


cdef int _refuse_overlap(Operator op, PyObject** columns, int n, Py_ssize_t i) except -1:
    """A gradient may be the parameter or a state itself; nothing else may share memory."""
    cdef char* start[5]
    cdef int64_t nbytes = _at(columns[0], i).numel * _at(columns[0], i).dtype.itemsize
    cdef int j, k
    for j in range(n):
        start[j] = _data(_at(columns[j], i))
        for k in range(j):
            if start[j] < start[k] + nbytes and start[k] < start[j] + nbytes:
                if start[j] == start[k] and (j == GRAD or k == GRAD):
                    continue
                raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer to "
                                   "a single memory location. Please clone() the tensor before performing the operation. "
                                   f"({op.__name__}: parameter {i}, its gradient and its states must not overlap)")
    return 0


cdef int _launch(Operator op, const tg_step_kernel* k, PyObject** columns, int n, Py_ssize_t i,
                 const void* options) except -1:
    """Run a kernel on parameter `i`, and count the writes."""
    cdef char* p[5]
    cdef TensorBase x = _at(columns[0], i)
    cdef int64_t numel = x.numel
    cdef int code = x.dtype.code, j
    cdef list held
    for j in range(n):
        p[j] = _data(_at(columns[j], i))
    if numel >= RELEASE_GIL_AT:
        # Another thread may give a tensor other memory meanwhile.
        held = [_at(columns[j], i).storage for j in range(n)]
        with nogil:
            tg_step_share(k, code, p, numel, options)
        held.clear()
    else:
        tg_step_run(k, code, p, 0, numel, options)
    for j in range(n):
        if j != GRAD:
            _wrote(op, _at(columns[j], i))
    return 0


cdef bint _unscale(Operator op, PyObject* grads, Py_ssize_t n, grad_scale, found_inf) except -1:
    """What a GradScaler asks for: gradients divided by the scale; False when an infinity forbids the step."""
    cdef PyObject* column[1]
    cdef Py_ssize_t i
    cdef TensorBase g
    cdef double scale
    if found_inf is not None and float(found_inf) != 0:
        return False
    if grad_scale is not None:
        scale = float(grad_scale)
        column[0] = grads
        for i in range(n):
            g = _at(grads, i)
            check_inplace(g, op, False)
            if g.storage is None or g.storage.device.table == NULL or not g.flags & CONTIGUOUS:
                (<object>g).div_(scale)
            else:
                _launch(op, &tg_step_unscale, column, 1, i, &scale)
    return True


cdef int _check_step(Operator op, TensorBase step) except -1:
    if step.numel != 1 or (step.dtype.code != TG_F32 and step.dtype.code != TG_F64):
        raise RuntimeError(f"{op.__name__}: each of state_steps must be a single float32 or float64, but got {_spoken(step)}")
    if step.flags & INFERENCE or thread_state().grad:
        check_inplace(step, op, False)
    return 0


cdef double _step_of(Operator op, TensorBase step, bint advance) except? -1:
    """The number of the step, counted first where the caller has not done so."""
    cdef char* at
    if step.storage is None or step.storage.device.table == NULL:
        if advance:
            (<object>step).add_(1)
        return (<object>step).item()
    at = _data(step)
    if step.dtype.code == TG_F32:
        if advance:
            (<float*>at)[0] += 1
            _wrote(op, step)
        return (<float*>at)[0]
    if advance:
        (<double*>at)[0] += 1
        _wrote(op, step)
    return (<double*>at)[0]


cdef object _counted(Operator op, TensorBase step, bint advance, bint differentiable):
    """The number of the step for a formula: a tensor where the step is recorded."""
    if not differentiable:
        return _step_of(op, step, advance)
    if advance:
        (<object>step).add_(1)
    return (<object>step).clone()


cdef object _real(x):
    return view_as_real(x) if x.is_complex() else x


cdef object _scalar(x):
    """An option as a formula uses it: a tensor only where the step may be differentiated with respect to it."""
    if not isinstance(x, TensorBase):
        return x
    return x.reshape(()) if (<TensorBase>x).flags & REQUIRES_GRAD else x.item()


cdef bint _decays(weight_decay) except -1:
    return bool(weight_decay != 0)


cdef object _penalty(weight_decay, p):
    """The gradient of the L2 penalty; its own derivative would save `p`, which the step overwrites."""
    return weight_decay * (p.clone() if isinstance(weight_decay, TensorBase) else p)


cdef inline bint _kernels_serve(tg_thread_state* st, bint differentiable) noexcept:
    return not differentiable and st.depth == 0


# ---- stochastic gradient descent ----------------------------------------------------------------------
def _sgd_formula(p, g, m, weight_decay, momentum, lr, dampening, nesterov, maximize, first):
    g = -g if maximize else g
    if _decays(weight_decay):
        g = g + _penalty(weight_decay, p)
    if m is not None:
        if first:
            m.copy_(g.detach())
        else:
            m.mul_(momentum).add_((1 - dampening) * g)
        g = g + momentum * m if nesterov else m.clone()
    p.sub_(lr * g)


def _fused_sgd(tuple self, tuple grads, tuple momentum_buffer_list, weight_decay, momentum, lr, dampening, bint nesterov,
               bint maximize, bint is_first_step, grad_scale, found_inf, bint differentiable):
    cdef tg_thread_state* st = thread_state()
    cdef int before = st.grad
    cdef tg_sgd_options o
    cdef bint buffered = bool(momentum != 0)
    cdef int n = 3 if buffered else 2
    cdef PyObject* columns[3]
    cdef Py_ssize_t i, length
    cdef bint direct = True
    columns[0], columns[GRAD], columns[2] = <PyObject*>self, <PyObject*>grads, <PyObject*>momentum_buffer_list
    length = _length(op_sgd, columns, n)
    if not differentiable:
        st.grad = 0
    try:
        for i in range(length):
            direct &= _admit(op_sgd, columns, n, i)
        if not _unscale(op_sgd, columns[GRAD], length, grad_scale, found_inf):
            return None
        if direct and _kernels_serve(st, differentiable):
            o.lr, o.momentum, o.dampening, o.weight_decay = lr, momentum, dampening, weight_decay
            o.nesterov, o.maximize, o.first = nesterov, maximize, is_first_step
            for i in range(length):
                _launch(op_sgd, &tg_step_sgd_momentum if buffered else &tg_step_sgd, columns, n, i, &o)
            return None
        weight_decay, lr = _scalar(weight_decay), _scalar(lr)
        for i in range(length):
            _sgd_formula(self[i], grads[i], momentum_buffer_list[i] if buffered else None, weight_decay, momentum, lr,
                         dampening, nesterov, maximize, is_first_step)
    finally:
        st.grad = before


# ---- Adam ---------------------------------------------------------------------------------------------
def _adam_formula(p, g, m, v, h, step, lr, beta1, beta2, weight_decay, eps, maximize, decoupled):
    g = -g if maximize else g
    if _decays(weight_decay):
        if decoupled:
            p.mul_(1 - lr * weight_decay)
        else:
            g = g + _penalty(weight_decay, p)
    p, g, m, v, h = _real(p), _real(g), _real(m), _real(v), None if h is None else _real(h)
    m.lerp_(g, 1 - beta1)
    v.mul_(beta2).add_((1 - beta2) * (g * g))
    top = v
    if h is not None:
        top = h.copy_(maximum(h.clone(), v.clone()))
    rate, scale = lr / (1 - beta1 ** step), (1 - beta2 ** step) ** 0.5
    p.sub_(rate * m.clone() / (top.sqrt() / scale + eps))


cdef object _adam_step(Operator op, bint decoupled, tuple self, tuple grads, tuple exp_avgs, tuple exp_avg_sqs,
                       tuple max_exp_avg_sqs, tuple state_steps, lr, beta1, beta2, weight_decay, eps, bint amsgrad, bint maximize,
                       grad_scale, found_inf, bint advance, bint differentiable):
    cdef tg_thread_state* st = thread_state()
    cdef int before = st.grad
    cdef tg_adam_options o
    cdef int n = 5 if amsgrad else 4
    cdef PyObject* columns[6]
    cdef Py_ssize_t i, length
    cdef double step, last = 0
    cdef bint direct = True
    columns[0], columns[GRAD] = <PyObject*>self, <PyObject*>grads
    columns[2], columns[3], columns[4] = <PyObject*>exp_avgs, <PyObject*>exp_avg_sqs, <PyObject*>max_exp_avg_sqs
    columns[n] = <PyObject*>state_steps
    length = _length(op, columns, n + 1)
    if not differentiable:
        st.grad = 0
    try:
        for i in range(length):
            direct &= _admit(op, columns, n, i)
            _check_step(op, _at(columns[n], i))
        if not _unscale(op, columns[GRAD], length, grad_scale, found_inf):
            return None
        if direct and _kernels_serve(st, differentiable):
            o.lr, o.beta1, o.beta2, o.weight_decay, o.eps = lr, beta1, beta2, weight_decay, eps
            o.maximize, o.amsgrad, o.decoupled = maximize, amsgrad, decoupled
            for i in range(length):
                step = _step_of(op, _at(columns[n], i), advance)
                if step != last:
                    o.correction1, o.correction2, last = 1 - pow(o.beta1, step), 1 - pow(o.beta2, step), step
                _launch(op, &tg_step_amsgrad if amsgrad else &tg_step_adam, columns, n, i, &o)
            return None
        lr, beta1, beta2, weight_decay = _scalar(lr), _scalar(beta1), _scalar(beta2), _scalar(weight_decay)
        for i in range(length):
            _adam_formula(self[i], grads[i], exp_avgs[i], exp_avg_sqs[i], max_exp_avg_sqs[i] if amsgrad else None,
                          _counted(op, _at(columns[n], i), advance, differentiable), lr, beta1, beta2, weight_decay, eps,
                          maximize, decoupled)
    finally:
        st.grad = before


def _fused_adam(tuple self, tuple grads, tuple exp_avgs, tuple exp_avg_sqs, tuple max_exp_avg_sqs, tuple state_steps, lr,
                beta1, beta2, weight_decay, eps, bint amsgrad, bint maximize, grad_scale, found_inf, bint advance,
                bint differentiable):
    return _adam_step(op_adam, False, self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, lr, beta1, beta2,
                  weight_decay, eps, amsgrad, maximize, grad_scale, found_inf, advance, differentiable)


def _fused_adamw(tuple self, tuple grads, tuple exp_avgs, tuple exp_avg_sqs, tuple max_exp_avg_sqs, tuple state_steps, lr,
                 beta1, beta2, weight_decay, eps, bint amsgrad, bint maximize, grad_scale, found_inf, bint advance,
                 bint differentiable):
    return _adam_step(op_adamw, True, self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, lr, beta1, beta2,
                  weight_decay, eps, amsgrad, maximize, grad_scale, found_inf, advance, differentiable)


# ---- Adagrad ------------------------------------------------------------------------------------------
def _adagrad_formula(p, g, s, step, lr, lr_decay, weight_decay, eps, maximize):
    g = -g if maximize else g
    if _decays(weight_decay):
        g = g + _penalty(weight_decay, p)
    p, g, s = _real(p), _real(g), _real(s)
    s.add_(g * g)
    p.sub_(lr / (1 + (step - 1) * lr_decay) * g / (s.sqrt() + eps))


def _fused_adagrad(tuple self, tuple grads, tuple state_sums, tuple state_steps, lr, lr_decay, weight_decay, eps,
                   bint maximize, grad_scale, found_inf, bint advance, bint differentiable):
    cdef tg_thread_state* st = thread_state()
    cdef int before = st.grad
    cdef tg_adagrad_options o
    cdef PyObject* columns[4]
    cdef Py_ssize_t i, length
    cdef double rate, slower
    cdef bint direct = True
    columns[0], columns[GRAD] = <PyObject*>self, <PyObject*>grads
    columns[2], columns[3] = <PyObject*>state_sums, <PyObject*>state_steps
    length = _length(op_adagrad, columns, 4)
    if not differentiable:
        st.grad = 0
    try:
        for i in range(length):
            direct &= _admit(op_adagrad, columns, 3, i)
            _check_step(op_adagrad, _at(columns[3], i))
        if not _unscale(op_adagrad, columns[GRAD], length, grad_scale, found_inf):
            return None
        if direct and _kernels_serve(st, differentiable):
            o.weight_decay, o.eps, o.maximize = weight_decay, eps, maximize
            rate, slower = lr, lr_decay
            for i in range(length):
                o.rate = rate / (1 + (_step_of(op_adagrad, _at(columns[3], i), advance) - 1) * slower)
                _launch(op_adagrad, &tg_step_adagrad, columns, 3, i, &o)
            return None
        weight_decay, lr = _scalar(weight_decay), _scalar(lr)
        for i in range(length):
            _adagrad_formula(self[i], grads[i], state_sums[i], _counted(op_adagrad, _at(columns[3], i), advance, differentiable),
                             lr, lr_decay, weight_decay, eps, maximize)
    finally:
        st.grad = before


# ---- declarations -------------------------------------------------------------------------------------
cdef str SCALER = "Tensor? grad_scale=None, Tensor? found_inf=None"
cdef str COUNTED = "bool advance=False, bool differentiable=False"
cdef str NOTES = """

    Every list holds a tensor for each parameter, of its dtype, shape and device; parameters and states are written to.
    Nothing is recorded, as under `no_grad`, unless `differentiable`. Gradients are divided by `grad_scale` first, and
    nothing is done where `found_inf` is not zero."""
cdef str STEPS = """ `state_steps` holds the numbers of
    the steps, from 1; with `advance` they are counted up first."""
cdef str MOMENTS = f"""
    exp_avgs, Tensor[] exp_avg_sqs, Tensor[] max_exp_avg_sqs, Tensor[] state_steps, Any lr, Any beta1, Any beta2,
    Any weight_decay, Any eps, bool amsgrad, bool maximize, {SCALER}, {COUNTED}""".replace("\n   ", "")

composite("_fused_sgd_(Tensor[] self, Tensor[] grads, Tensor[] momentum_buffer_list, Any weight_decay, Any momentum, Any lr, "
          f"Any dampening, bool nesterov, bool maximize, bool is_first_step, {SCALER}, bool differentiable=False) -> None",
          _fused_sgd, method=False,
          doc="A step of stochastic gradient descent for a list of parameters (see `tensorgrad_optim.SGD`)." + NOTES + """
    In the first step the buffers become the gradients; without momentum there are none.

    Examples
    --------
    >>> weight = tensorgrad.ones(2)
    >>> tensorgrad._fused_sgd_([weight], [tensorgrad.ones(2)], [], 0, 0, 0.25, 0, False, False, False)
    >>> weight
    tensor([0.7500, 0.7500])
    """)
composite(f"_fused_adam_(Tensor[] self, Tensor[] grads, Tensor[]{MOMENTS}) -> None", _fused_adam, method=False,
          doc="A step of Adam for a list of parameters (see `tensorgrad_optim.Adam`)." + NOTES + STEPS)
composite(f"_fused_adamw_(Tensor[] self, Tensor[] grads, Tensor[]{MOMENTS}) -> None", _fused_adamw, method=False,
          doc="A step of Adam with decoupled weight decay (see `tensorgrad_optim.AdamW`)." + NOTES + STEPS)
composite("_fused_adagrad_(Tensor[] self, Tensor[] grads, Tensor[] state_sums, Tensor[] state_steps, Any lr, Any lr_decay, "
          f"Any weight_decay, Any eps, bool maximize, {SCALER}, {COUNTED}) -> None", _fused_adagrad, method=False,
          doc="A step of Adagrad for a list of parameters (see `tensorgrad_optim.Adagrad`)." + NOTES + STEPS)
cdef Operator op_sgd = handle("_fused_sgd_")
cdef Operator op_adam = handle("_fused_adam_")
cdef Operator op_adamw = handle("_fused_adamw_")
cdef Operator op_adagrad = handle("_fused_adagrad_")


# ---- collecting the lists -----------------------------------------------------------------------------
cdef inline bint _has_grad(x) except -1:
    if not isinstance(x, TensorBase):
        raise TypeError(f"with_grad(): parameters must be Tensors, not {type(x).__name__}")
    return (<TensorBase>x).meta is not None and (<TensorBase>x).meta.grad is not None


def with_grad(params, state=None, tuple keys=()):
    """The parameters that have a gradient, and what belongs to them, as the fused steps take it.

    Parameters
    ----------
    params : list or tuple of Tensor
    state : dict of Tensor to dict, optional
        What an optimiser remembers for each parameter.
    keys : tuple of str
        Which of it is wanted.

    Returns
    -------
    tuple of tuple of Tensor, or None
        Parameters, gradients, and a tuple for each of `keys`. None when something is not there in `state` yet, or is None.

    Examples
    --------
    >>> import tensorgrad
    >>> x, y = tensorgrad.ones(2, requires_grad=True), tensorgrad.ones(3, requires_grad=True)
    >>> x.sum().backward()
    >>> tensorgrad.autograd.with_grad([x, y])
    ((tensor([1., 1.], requires_grad=True),), (tensor([1., 1.]),))
    >>> tensorgrad.autograd.with_grad([x, y], {x: {"step": 3}}, ("step",))[2]
    (3,)
    >>> tensorgrad.autograd.with_grad([x, y], {}, ("step",)) is None
    True
    """
    cdef tuple wanted = tuple(params) if type(params) is not tuple else <tuple>params
    cdef Py_ssize_t n = PyTuple_GET_SIZE(wanted), n_keys = PyTuple_GET_SIZE(keys), count = 0, i, j
    cdef PyObject* entry
    cdef PyObject* value
    cdef tuple result
    for i in range(n):
        count += _has_grad(<object>PyTuple_GET_ITEM(<PyObject*>wanted, i))
    if count != n:
        wanted = tuple([x for x in wanted if _has_grad(x)])
        n = count
    if n_keys and not isinstance(state, dict):
        raise TypeError(f"with_grad(): state must be a dict, not {type(state).__name__}")
    result = PyTuple_New(2 + n_keys)
    for j in range(2 + n_keys):
        column = wanted if j == 0 else PyTuple_New(n)
        Py_INCREF(column)
        PyTuple_SET_ITEM(result, j, column)
    for i in range(n):
        grad = read_grad(_at(<PyObject*>wanted, i))
        Py_INCREF(grad)
        PyTuple_SET_ITEM(<tuple>PyTuple_GET_ITEM(<PyObject*>result, 1), i, grad)
    if n_keys == 0:
        return result
    for i in range(n):
        entry = _get_item(<PyObject*>state, PyTuple_GET_ITEM(<PyObject*>wanted, i))
        if entry == NULL:
            return None
        if not isinstance(<object>entry, dict):
            raise TypeError(f"with_grad(): the state of a parameter must be a dict, not {type(<object>entry).__name__}")
        for j in range(n_keys):
            value = _get_item(entry, PyTuple_GET_ITEM(<PyObject*>keys, j))
            if value == NULL or <object>value is None:
                return None
            Py_INCREF(<object>value)
            PyTuple_SET_ITEM(<tuple>PyTuple_GET_ITEM(<PyObject*>result, 2 + j), i, <object>value)
    return result
