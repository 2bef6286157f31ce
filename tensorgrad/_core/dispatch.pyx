"""What happens around every operator call, once.

A call goes: parse the arguments (signature) -> `run` -> `run_at`: checks, the forward computation,
tangents, recording. With transforms in force `run` takes the slow path (transforms.pyx), which
comes back here with the stack one level lower.
"""
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

from tensorgrad._core.device cimport cpu
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport (
    CAT_COMPLEX, CAT_FLOAT, TG_BOOL, TG_I64, TG_U8, category_of, combine_categories, default_code, dtype_of, promote,
    to_complex_code, to_real_code)
from tensorgrad._core.grad_mode cimport Level, anomaly_mode, level_at, thread_state
from tensorgrad._core.graph cimport save_input, save_object, save_output, unpack
from tensorgrad._core.operator cimport call1, call2, handle, set_dispatcher
from tensorgrad._core.primitives cimport copy, has_shape, pointwise
from tensorgrad._core.signature cimport (
    P_ANY, P_DIM, P_DIMS, P_INDICES, P_NEW_DIM, P_NUMBER, P_OPERAND, P_TENSOR, P_TENSORS, Param, parse_signature, release)
from tensorgrad._core.types cimport (
    CONTIGUOUS, HAS_TANGENT, INFERENCE, IS_VIEW, REQUIRES_GRAD, VIEW_DEFAULT, VIEW_INFERENCE, VIEW_MULTI_OUTPUT,
    VIEW_NO_GRAD, Storage, bump, empty, init_node, level_of, make_node_type, new_node, new_tensor, set_output)
from tensorgrad._core.view cimport check_inplace, gradient_edge, mark_view, rebase_history, refresh_view, set_tangent

from tensorgrad._core.device import set_override_installer
from tensorgrad._core.engine import current_node
from tensorgrad._core.graph import Node, _type_names
from tensorgrad._core.operator import all_operators
from tensorgrad._core.operator import fill as fill_operator
from tensorgrad._core.operator import set_fast

cdef extern from "Python.h":
    object PyObject_Vectorcall(object f, PyObject** args, size_t nargsf, PyObject* kwnames)
    object PyCapsule_New(void* pointer, const char* name, void* destructor)
    void* PyCapsule_GetPointer(object capsule, const char* name) except NULL

cdef Operator op_mul = handle("mul")
cdef Operator op_add = handle("add")
cdef Operator op_neg = handle("neg")
cdef Operator op_zeros_like = handle("zeros_like")
cdef Operator op_conj = handle("conj_physical")
cdef Operator op_zeros = handle("zeros")
cdef Operator op_to = handle("to")
cdef Operator op_clone = handle("clone")
cdef Operator op_expand = handle("expand")

cdef SlowPath _run_slowly = NULL
cdef SlowPath _compute_below = NULL
cdef object _jvp_below = None


cdef void set_slow_paths(SlowPath run_slowly, SlowPath compute_below, object jvp_below):
    """Transforms live above: what runs an operator while any are in force, and what computes one level down."""
    global _run_slowly, _compute_below, _jvp_below
    _run_slowly, _compute_below, _jvp_below = run_slowly, compute_below, jvp_below


cdef class NativeForward:
    pass


cdef NativeForward native(Forward function):
    cdef NativeForward forward = NativeForward.__new__(NativeForward)
    forward.function = function
    return forward


# ---- declarations -------------------------------------------------------------------------------
cdef class Formula:
    def __repr__(self):
        return f"Formula({self.constant if self.function is None else self.function.__name__})"


cdef class Overload:
    """One declaration of an operator."""

    def __repr__(self):
        return f"<overload {self.signature_text}>"

    def __call__(self, *args):
        """Run this overload on all of its parameters in order, keyword-only ones too, as they were parsed before."""
        cdef PyObject* a[24]
        cdef int i
        compile_overload(self)
        if len(args) != self.signature.n_params:
            raise TypeError(f"{self.signature_text} takes {self.signature.n_params} values, got {len(args)}")
        for i in range(len(args)):
            a[i] = <PyObject*>args[i]
        return run(self, a)

    def text_signature(self):
        return self.parsed().describe()

    def parsed(self):
        """The parsed Signature."""
        if self.signature is None:
            self.signature = parse_signature(self.signature_text)
        return self.signature

    def inputs(self):
        """Names of the parameters that are differentiated."""
        compile_overload(self)
        return tuple([self.signature.params[self.input_params[i]].name for i in range(self.n_inputs)])

    @property
    def kind_name(self):
        return ("elementwise", "general", "composite")[self.kind]

    @property
    def kernel_name(self):
        return None if self.kernel == NULL else self.kernel.name.decode()

    def kernel_dtypes(self):
        """The dtypes that the CPU kernel computes in."""
        return [dtype_of(i) for i in range(15) if self.kernel != NULL and self.kernel.loop[0][i] != NULL]

    def saved_value_names(self):
        """What the derivatives have saved, by the names of ``node._saved_NAME``, one for each slot."""
        compile_overload(self)
        return ["result" if name == "out" else name for name in self.saved_names]

    def saved_slot(self, node, str name):
        compile_overload(self)
        if name in ("result", "self_result"):
            name = "out"
        for i, saved in enumerate(self.saved_names):
            if saved == name:
                return i
        return None


def kernel_capsule(size_t address):
    """A kernel as the Python object that `elementwise` takes."""
    return PyCapsule_New(<void*>address, "tg_kernel", NULL)


cdef Overload _new_overload(str text, doc, samples, reference, dict options):
    cdef Overload o = Overload.__new__(Overload)
    o.signature_text = text
    o.name = text.partition("(")[0].strip()
    o.op = handle(o.name)
    o.doc, o.samples, o.reference, o.options = doc, samples, reference, options
    return o


cdef _register(Overload o):
    fill_operator(o.name, o)
    return o.op


cdef int _set_forward(Overload o, object forward) except -1:
    o.forward = forward
    if isinstance(forward, NativeForward):
        o.native = (<NativeForward>forward).function
    return 0


cdef str _camel(str name):
    return "".join([part.capitalize() for part in name.strip("_").split("_")])


cdef _add_inplace_form(Overload o):
    cdef Overload i = _new_overload(
        o.name + "_" + o.signature_text[len(o.name):].replace("Tensor self", "Tensor! self", 1)
        .replace("Operand self", "Tensor! self", 1),
        f"The in-place form of `{o.name}`.", None, None, o.options)
    i.kind, i.rule, i.kernel, i.forward, i.native = o.kind, o.rule, o.kernel, o.forward, o.native
    i.partials, i.vjp, i.jvp, i.batch, i.node_name = o.partials, o.vjp, o.jvp, o.batch, o.node_name
    i.is_random, i.check, i.untouched_below = o.is_random, o.check, o.untouched_below
    i.inplace = True
    i.functional = o
    o.inplace_form = i
    if o.kind == ELEMENTWISE and o.op.fast:
        set_fast(i.op, o.op.fast)
    _register(i)


def elementwise(size_t kernel, str signature, *, partials=None, vjp=None, jvp=None, bint to_float=False, doc=None,
                samples=None, reference=None, bint inplace=True, str node=None, **options):
    """Declare an elementwise operator.

    Parameters
    ----------
    kernel : address of a tg_kernel
    signature : str
        As in `signature`; tensor parameters are the kernel's inputs, in order.
    partials : dict
        For each differentiable parameter its partial derivative: a number, or a function of the
        parameters and of ``out`` by name.
    vjp, jvp
        Instead of or beside `partials`, where a fused kernel pays.
    to_float : bool
        Integers are computed in the default floating point type.
    reference : str
        The value in terms of ``np`` and the parameters, for the tests.
    options
        ``check`` (called with the arguments, raises), ``keep_integers`` and ``identity_of_real`` (such a
        tensor is its own result), ``aliases`` (more public names), ``internal`` (no public name), ``domain``
        (the interval from which the tests draw), ``method=False`` (no method of Tensor).
    """
    cdef Overload o = _new_overload(signature, doc, samples, reference, options)
    o.kind, o.kernel, o.batch = ELEMENTWISE, <const tg_kernel*>kernel, "elementwise"
    o.check = options.get("check")
    if options.get("keep_integers"):
        o.untouched_below = CAT_FLOAT
    elif options.get("identity_of_real"):
        o.untouched_below = CAT_COMPLEX
    o.rule = RULE_FLOAT if to_float else RULE_PROMOTE
    o.partials, o.vjp, o.jvp, o.node_name = partials, vjp, jvp, node
    if not o.op.overloads and o.kernel.n_inputs == signature.count(",") + 1 and o.kernel.n_inputs < 3:
        set_fast(o.op, o.kernel.n_inputs)
    op = _register(o)
    if inplace:
        _add_inplace_form(o)
    return op


def operator(str signature, forward, *, vjp=None, jvp=None, batch="dims", bint view=False, bint inplace=False,
             bint random=False, doc=None, samples=None, reference=None, str node=None, **options):
    """Declare an operator that is not elementwise.

    Parameters
    ----------
    signature : str
    forward : callable or NativeForward
        Computes the result from all parameters in order; runs below autograd, on tensors that have memory.
    vjp : dict or callable
        ``{parameter: function}``, each giving that parameter's gradient; or one function that gives all
        of them as a tuple. Its arguments are found by name: ``grad`` (or ``grad_NAME`` of output NAME),
        ``grads``, any parameter, ``out`` or an output's name, ``PARAMETER_shape``, ``needs``.
    jvp : callable or "linear"
        The tangent of the result, from ``PARAMETER_t`` (None where there is none) and all that `vjp` may
        name. "linear": the operator applied to the tangent in place of its first argument.
    batch : str or callable
        The batching rule: "dims" (dimension arguments are shifted past the batch), "fallback" (a loop), or
        ``function(batch_size, in_dims, *args) -> (outputs, out_dims)``.
    view : bool
        The result shares the memory of the first argument.
    inplace : bool
        Declare the in-place form NAME_ as well.
    random : bool
        Draws random numbers.
    options
        As for `elementwise`; ``across_devices`` (the tensors may live on several devices).
    """
    cdef Overload o = _new_overload(signature, doc, samples, reference, options)
    o.kind = GENERAL
    _set_forward(o, forward)
    o.vjp, o.jvp, o.batch, o.is_view, o.is_random, o.node_name = vjp, jvp, batch, view, random, node
    o.inplace = "(Tensor! self" in signature
    op = _register(o)
    if inplace:
        _add_inplace_form(o)
    return op


def composite(str signature, forward, *, doc=None, samples=None, reference=None, bint inplace=False, **options):
    """Declare an operator made of others: `forward` is written in operators, which differentiate themselves."""
    cdef Overload o = _new_overload(signature, doc, samples, reference, options)
    o.kind, o.batch = COMPOSITE, None
    _set_forward(o, forward)
    op = _register(o)
    if inplace:
        _add_inplace_form(o)
    return op


cdef int _bind(Overload o, Formula f, object function, uint32_t bit) except -1:
    """Find each argument of a formula by its name, and have saved what must be."""
    cdef tuple names
    cdef Signature s = o.signature
    if not callable(function):
        f.constant = function
        return 0
    f.function = function
    code = function.__code__
    names = code.co_varnames[:code.co_argcount]
    f.n = <int>len(names)
    if f.n > MAX_FORMULA:
        raise ValueError(f"a formula of {o.name} has more than {MAX_FORMULA} arguments")
    parameters = {p.name: i for i, p in enumerate(s.params)}
    for i, name in enumerate(names):
        if name == "grad":
            f.source[i], f.index[i] = FROM_GRAD, 0
        elif name == "grads":
            f.source[i], f.index[i] = FROM_GRADS, 0
        elif name == "needs":
            f.source[i], f.index[i] = FROM_NEEDS, 0
        elif name.startswith("grad_") and name[5:] in s.outputs:
            f.source[i], f.index[i] = FROM_GRAD, s.outputs.index(name[5:])
        elif name.endswith("_t") and name[:-2] in parameters:
            f.source[i], f.index[i] = FROM_TANGENT, parameters[name[:-2]]
        else:
            f.source[i], f.index[i] = FROM_SAVED, _saved_slot(o, name, parameters, bit)
    return 0


cdef enum SavedWhat:
    SAVE_PARAM, SAVE_OUT, SAVE_SHAPE, SAVE_DTYPE


cdef int _saved_slot(Overload o, str name, dict parameters, uint32_t bit) except -1:
    cdef int slot
    if name in o.saved_names:
        slot = o.saved_names.index(name)
        o.saved_for[slot] |= bit
        return slot
    slot = len(o.saved_names)
    if slot >= MAX_SAVED:
        raise ValueError(f"{o.name} saves more than {MAX_SAVED} values")
    if name in parameters:
        o.saved_kind[slot], o.saved_index[slot] = SAVE_PARAM, parameters[name]
    elif name in o.signature.outputs:
        o.saved_kind[slot], o.saved_index[slot] = SAVE_OUT, o.signature.outputs.index(name)
    elif name.endswith("_shape") and name[:-6] in parameters:
        o.saved_kind[slot], o.saved_index[slot] = SAVE_SHAPE, parameters[name[:-6]]
    elif name.endswith("_dtype") and name[:-6] in parameters:
        o.saved_kind[slot], o.saved_index[slot] = SAVE_DTYPE, parameters[name[:-6]]
    else:
        raise ValueError(f"a derivative of {o.signature_text} asks for '{name}', which is neither a parameter nor an output")
    o.saved_for[slot] = bit
    o.saved_names.append(name)
    return slot


cdef int compile_overload(Overload o) except -1:
    """Parse the signature and bind the formulas; once, on first use."""
    cdef int i
    cdef Formula f
    cdef Param p
    if o.compiled:
        return 0
    o.parsed()
    o.saved_names = []
    o.n_inputs = tensors = 0
    for i, p in enumerate(o.signature.params):
        if p.type in (P_DIM, P_NEW_DIM, P_DIMS):
            o.has_dims = True
        tensors += p.type in (P_TENSOR, P_OPERAND, P_TENSORS, P_INDICES, P_ANY)
        if p.type == P_TENSOR or p.type == P_OPERAND or p.type == P_TENSORS:
            if o.partials is not None and p.name not in o.partials:
                continue
            if isinstance(o.vjp, dict) and p.name not in o.vjp:
                continue
            if o.kind == ELEMENTWISE and o.partials is None and o.vjp is None:
                continue
            if o.kind == COMPOSITE or (o.kind == GENERAL and o.vjp is None):
                continue
            o.input_params[o.n_inputs] = i
            o.n_inputs += 1
    o.one_tensor = tensors == 1 and (<Param>o.signature.params[0]).type == P_TENSOR
    o.no_tensor = tensors == 0
    o.variadic = o.n_inputs > 0 and (<Param>o.signature.params[o.input_params[0]]).type == P_TENSORS
    o.formulas = []
    if callable(o.vjp):
        o.joint = True
        f = Formula.__new__(Formula)
        _bind(o, f, o.vjp, 0xffffffff)
        o.formulas.append(f)
    else:
        table = o.vjp if o.vjp is not None else o.partials
        for i in range(o.n_inputs):
            f = Formula.__new__(Formula)
            _bind(o, f, table[o.signature.params[o.input_params[i]].name], 1 << i)
            o.formulas.append(f)
    o.n_saved = len(o.saved_names)
    hidden = o.options.get("nondifferentiable", ())
    o.differentiable_outputs = tuple([name not in hidden for name in o.signature.outputs])
    if o.n_inputs:
        name = o.node_name
        if name is None:
            name = o.functional.name if o.functional is not None else o.name
        if name == name.lower():
            name = _camel(name)
        o.node_type = o.functional.node_type if o.functional is not None else None
        if o.node_type is None:
            o.node_type = make_node_type(name + "Backward0", Node)
            if o.functional is not None:
                o.functional.node_type = o.node_type
    o.compiled = True
    return 0


cdef Overload overload_of(object op):
    return <Overload>(<Operator>op).first


# ---- calls ----------------------------------------------------------------------------------------
cdef object dispatch_call(object callable, PyObject* const* args, size_t nargsf, PyObject* kwnames):
    """The vectorcall of every operator."""
    cdef Operator op = <Operator>callable
    cdef Py_ssize_t nargs = <Py_ssize_t>(nargsf & ~(<size_t>1 << 63))
    cdef PyObject* slots[24]
    cdef Overload o
    cdef object kw
    if nargs and op.fast == nargs and kwnames == NULL and isinstance(<object>args[0], TensorBase):
        o = <Overload>op.first
        if not o.compiled:
            compile_overload(o)
        if nargs == 1:
            return run(o, <PyObject**>args)
        if isinstance(<object>args[1], TensorBase) or (o.signature.types[1] == P_OPERAND and (
                type(<object>args[1]) is float or type(<object>args[1]) is int)):
            return run(o, <PyObject**>args)
    kw = None if kwnames == NULL else <object>kwnames
    if kw is not None and "out" in <tuple>kw:
        return _call_with_out(op, args, nargs, <tuple>kw)
    for o in op.overloads:
        if not o.compiled:
            compile_overload(o)
        if o.signature.parse(args, nargs, kw, slots, False):
            return _run_parsed(o, slots)
    return _explain(op, args, nargs, kw)


cdef object _run_parsed(Overload o, PyObject** slots):
    try:
        if o.has_dims:
            _wrap_dims(o, slots)
        return run(o, slots)
    finally:
        release(slots, o.signature.n_params)


cdef object _explain(Operator op, PyObject* const* args, Py_ssize_t nargs, object kw):
    cdef Overload o = <Overload>op.overloads[0]
    cdef PyObject* slots[24]
    cdef Py_ssize_t i
    if len(op.overloads) == 1:
        o.signature.parse(args, nargs, kw, slots, True)
    got = [type(<object>args[i]).__name__ for i in range(nargs)]
    if kw is not None:
        got += [f"{kw[i]}={type(<object>args[nargs + i]).__name__}" for i in range(len(kw))]
    wanted = "".join(["\n * " + (<Overload>x).signature.describe() for x in op.overloads])
    raise TypeError(f"{op.__name__}() received an invalid combination of arguments - got ({', '.join(got)}), "
                    f"but expected one of:{wanted}\n")


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
    for target, value in zip(targets, results):
        _check_cast(value, target)
        _check_apart(target, positional + list(keywords.values()), (<Overload>op.overloads[0]).options.get("out_apart", False))
    for target, value in zip(targets, results):
        if target.shape != value.shape:
            target.resize_(value.shape)
        target.copy_(value)
    return out if isinstance(out, TensorBase) else type(result)(targets)


cdef int _check_apart(TensorBase target, list arguments, bint wholly) except -1:
    """Refuse an `out` whose elements share memory, or that overlaps with an argument (`wholly`: the same tensor, too)."""
    cdef TensorBase x
    if target.storage is None:
        return 0
    if _overlaps_itself(target):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                           "location. Please clone() the tensor before performing the operation.")
    for argument in arguments:
        for item in argument if isinstance(argument, (tuple, list)) else (argument,):
            if not isinstance(item, TensorBase):
                continue
            x = <TensorBase>item
            if x.storage is not target.storage or not _ranges_meet(x, target):
                continue
            if wholly or (_is_dense(x) and _is_dense(target) and not _same_geometry(x, target)):
                raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer "
                                   "to a single memory location. Please clone() the tensor before performing the operation.")
    return 0


cdef bint _is_dense(TensorBase x) noexcept:
    """Whether the elements fill a stretch of memory without gaps."""
    cdef int64_t last = 0
    cdef int d
    for d in range(x.ndim):
        if x.shape[d] > 1 and x.strides[d] <= 0:
            return False
        last += (x.shape[d] - 1) * x.strides[d]
    return last + 1 == x.numel


cdef int _check_cast(TensorBase value, TensorBase target) except -1:
    if category_of(value.dtype.code) > category_of(target.dtype.code):
        raise RuntimeError(f"result type {_legacy(value.dtype)} can't be cast to the desired output type {_legacy(target.dtype)}")
    return 0


cdef str _legacy(DType d):
    return _type_names[d.name]


cdef int64_t _wrap_dim(int64_t d, int64_t extent) except -1:
    cdef int64_t n = extent if extent > 0 else 1
    if d < -n or d >= n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    return d + n if d < 0 else d


cdef int _wrap_dims(Overload o, PyObject** slots) except -1:
    """Make every dimension argument non-negative, or raise PyTorch's IndexError."""
    cdef int i, kind
    cdef int64_t ndim = -1, d
    cdef object x, wrapped
    for i in range(o.signature.n_params):
        kind = o.signature.types[i]
        x = <object>slots[i]
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
            if _in_order(<tuple>x, ndim):
                continue
            wrapped = tuple([_wrap_dim(d, ndim) for d in <tuple>x])
            if len(set(wrapped)) != len(wrapped):
                twice = next(d for d in wrapped if (<tuple>wrapped).count(d) > 1)
                raise RuntimeError(f"{o.name}(): dim {twice} appears multiple times in the list of dims")
        else:
            continue
        Py_INCREF(wrapped)
        slots[i] = <PyObject*>wrapped
        Py_XDECREF(<PyObject*>x)
    return 0


cdef bint _in_order(tuple dims, int64_t ndim) except -1:
    """Whether dimensions are in range, and rise: then none is negative or there twice."""
    cdef int64_t last = -1, d
    for x in dims:
        d = x
        if d <= last or d >= ndim:
            return False
        last = d
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
    _check_cast(value, <TensorBase>a[0])
    return call2(handle("copy_"), <object>a[0], value)


cdef inline uint32_t _flags(object x, bint written) except? 0xffffffff:
    cdef TensorBase t
    if not isinstance(x, TensorBase):
        return 0
    t = <TensorBase>x
    # A view whose chain is not all of its history is checked when it is written.
    if t.flags & IS_VIEW and not t.flags & REQUIRES_GRAD and not (written and t.creation_meta != VIEW_DEFAULT):
        refresh_view(t)
    return t.flags


cdef uint32_t _input_flags(Overload o, PyObject** a, int level) except? 0xffffffff:
    """The flags of the differentiable inputs that belong to this level, together."""
    cdef uint32_t flags = 0
    cdef int i
    cdef object x
    for i in range(o.n_inputs):
        x = <object>a[o.input_params[i]]
        if o.variadic and i == 0:
            for t in <tuple>x:
                if level_of(<TensorBase>t) == level:
                    flags |= _flags(t, False)
        elif level == 0 or (isinstance(x, TensorBase) and level_of(<TensorBase>x) == level):
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
        _propagate(o, a, result, False)
    if records:
        node = _begin_record(o, a, result)
        _finish_record(o, node, result)
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


cdef int _check_devices(Overload o, PyObject** a) except -1:
    """The tensors among the arguments live on one device, unless the declaration has `across_devices`."""
    cdef TensorBase x, first = None
    cdef int i
    if o.no_tensor:
        return 0
    if o.one_tensor:
        if (<TensorBase>a[0]).wrap is not None:
            _refuse_escaped(o, <TensorBase>a[0])
        return 0
    for i in range(o.signature.n_params):
        if not isinstance(<object>a[i], TensorBase):
            continue
        x = <TensorBase>a[i]
        if x.wrap is not None:
            _refuse_escaped(o, x)
        if first is None:
            first = x
        elif x.storage is not None and first.storage is not None and x.storage.device is not first.storage.device \
                and not o.options.get("across_devices"):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, "
                               f"{first.storage.device} and {x.storage.device}! (argument '{o.signature.params[i].name}' of "
                               f"{o.name}: move one of them with .to(device))")
    return 0


cdef int _refuse_escaped(Overload o, TensorBase x) except -1:
    """A tensor of a transform that is not in force here."""
    if x.wrap.bdim >= 0:
        raise RuntimeError(
            "Either your tensor may have escaped from inside a function being vmapped and this is a user error, or it is used "
            f"below its own transform. ({o.name} got a batched tensor of level {x.wrap.level})")
    raise RuntimeError(
        f"{o.name}: a tensor that belongs to a transform has escaped from the function that was transformed (grad, vjp or jvp "
        f"at level {x.wrap.level}); return it from that function instead")


cdef object _mark_views(Overload o, PyObject** a, object result, tg_thread_state* st):
    cdef TensorBase source = <TensorBase>a[0]
    cdef tuple rest
    cdef int creation = VIEW_DEFAULT
    cdef int i
    if st.inference:
        if source.flags & INFERENCE:
            return
        creation = VIEW_INFERENCE       # a view of an ordinary tensor is an ordinary one
    elif not st.grad:
        creation = VIEW_NO_GRAD
    if source.flags & INFERENCE:        # its memory is an inference tensor's, wherever the view is made
        for x in (result,) if isinstance(result, TensorBase) else result:
            (<TensorBase>x).flags |= INFERENCE
            (<TensorBase>x).version = NULL
        if not st.inference:
            creation = VIEW_DEFAULT
    rest = PyTuple_New(o.signature.n_params - 1)
    for i in range(1, o.signature.n_params):
        Py_INCREF(<object>a[i])
        PyTuple_SET_ITEM(rest, i - 1, <object>a[i])
    if isinstance(result, TensorBase):
        if result is not source and (<TensorBase>result).storage is source.storage:
            (<TensorBase>result).flags &= ~<uint32_t>INFERENCE | source.flags
            mark_view(<TensorBase>result, source, o, rest, -1, creation)
    else:
        for i, x in enumerate(result):
            (<TensorBase>x).flags &= ~<uint32_t>INFERENCE | source.flags
            mark_view(<TensorBase>x, source, o, rest, i, VIEW_MULTI_OUTPUT if creation == VIEW_DEFAULT else creation)


# ---- recording ------------------------------------------------------------------------------------
cdef NodeBase _begin_record(Overload o, PyObject** a, object result):
    """A node with its edges and saved inputs; an in-place operator makes it before it writes (`result` is None)."""
    cdef NodeBase node = new_node(o.node_type)
    cdef int depth = thread_state().depth
    cdef int i, k, n_edges = o.n_inputs
    cdef int n_outputs = 1
    cdef object x
    if o.variadic:
        n_edges += <int>len(<tuple>a[o.input_params[0]]) - 1
    if result is not None and not isinstance(result, TensorBase):
        n_outputs = <int>len(result)
    init_node(node, o, n_edges, n_outputs, o.n_saved)
    node.runner = run_operator_node
    k = 0
    for i in range(o.n_inputs):
        x = <object>a[o.input_params[i]]
        if isinstance(x, TensorBase):
            if (<TensorBase>x).flags & REQUIRES_GRAD and level_of(<TensorBase>x) == depth:
                gradient_edge(<TensorBase>x, node, k)
                node.needs |= 1 << i
            k += 1
        elif o.variadic and i == 0:
            for t in <tuple>x:
                if (<TensorBase>t).flags & REQUIRES_GRAD and level_of(<TensorBase>t) == depth:
                    gradient_edge(<TensorBase>t, node, k)
                    node.needs |= 1
                k += 1
        else:
            k += 1
    for i in range(o.n_saved):
        if not o.saved_for[i] & node.needs:
            continue
        if o.saved_kind[i] == SAVE_OUT:
            continue
        x = <object>a[o.saved_index[i]]
        if o.saved_kind[i] == SAVE_SHAPE:
            if isinstance(x, TensorBase):
                save_object(node, i, tuple([(<TensorBase>x).shape[d] for d in range((<TensorBase>x).ndim)]))
            elif isinstance(x, tuple):
                save_object(node, i, tuple([tuple((<TensorBase>t).shape[d] for d in range((<TensorBase>t).ndim))
                                            for t in <tuple>x]))
        elif o.saved_kind[i] == SAVE_DTYPE:
            save_object(node, i, (<TensorBase>x).dtype if isinstance(x, TensorBase) else None)
        elif isinstance(x, TensorBase):
            if o.inplace and o.saved_index[i] == 0:
                save_input(node, i, call1(op_clone, x))     # before it is overwritten; with its history, for double backward
            else:
                save_input(node, i, <TensorBase>x)
        else:
            save_object(node, i, x)
    if anomaly_mode().enabled:
        remember_stack(node)
    return node


cdef TensorBase _detached_clone(TensorBase x):
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
    node.extra["traceback"] = traceback.format_stack()
    node.extra["parent"] = current_node()


cdef int _finish_record(Overload o, NodeBase node, object result) except -1:
    """Make `node` the history of the results, and save those that the derivative is made of."""
    cdef int i
    cdef TensorBase x
    if isinstance(result, TensorBase):
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
    for i in range(o.n_saved):
        if o.saved_kind[i] == SAVE_OUT and o.saved_for[i] & node.needs:
            x = <TensorBase>result if isinstance(result, TensorBase) else <TensorBase>result[o.saved_index[i]]
            if x.grad_fn is node:
                save_output(node, i, x, o.saved_index[i])
            else:
                save_input(node, i, x)
    return 0


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
        node = _begin_record(o, a, None)
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
                save_output(node, i, _detached_clone(x) if x.flags & IS_VIEW else x, 0)
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
        if value.ndim != x.ndim or any([value.shape[d] != x.shape[d] for d in range(x.ndim)]):
            raise RuntimeError(f"{o.name}: the result has shape {[value.shape[d] for d in range(value.ndim)]} and cannot be "
                               f"written into a tensor of shape {[x.shape[d] for d in range(x.ndim)]}")
        _check_cast(value, x)
        copy(x, value)
    return 0


# ---- derivatives ------------------------------------------------------------------------------------
cdef object materialize(NodeBase node, int i, object grad):
    """Zeros in place of a gradient that did not come."""
    if grad is not None:
        return grad
    shape = tuple([(node.outputs[i].big if node.outputs[i].big != NULL else &node.outputs[i].dims[0])[d]
                   for d in range(node.outputs[i].ndim)])
    return op_zeros(shape, dtype=<object>node.outputs[i].dtype, device=<object>node.outputs[i].device)


cdef object _evaluate(Overload o, Formula f, NodeBase node, list grads):
    """Call a formula with what its arguments are named after."""
    cdef PyObject* args[12]
    cdef list owned = []
    cdef int i
    cdef object x
    for i in range(f.n):
        if f.source[i] == FROM_SAVED:
            x = unpack(node, f.index[i])
        elif f.source[i] == FROM_GRAD:
            x = grads[f.index[i]]
            if x is None:
                x = materialize(node, f.index[i], None)
        elif f.source[i] == FROM_GRADS:
            x = tuple([materialize(node, j, g) for j, g in enumerate(grads)])
        else:
            x = tuple([(node.needs >> j) & 1 != 0 for j in range(o.n_inputs)])
        owned.append(x)
        args[i] = <PyObject*>x
    return PyObject_Vectorcall(f.function, args, f.n, NULL)


cdef object run_operator_node(NodeBase node, list grads):
    """The vjp of a recorded operator: one gradient for each edge."""
    cdef Overload o = <Overload>node.op
    cdef Formula f
    cdef list result = []
    cdef int i
    cdef object g, p
    if o.joint:
        g = _evaluate(o, <Formula>o.formulas[0], node, grads)
        if o.n_inputs == 1 and isinstance(g, TensorBase):
            return [g]
        return list(g[0]) + list(g[1:]) if o.variadic and isinstance(g[0], (tuple, list)) else list(g)
    for i in range(o.n_inputs):
        if not (node.needs >> i) & 1:
            if o.variadic and i == 0:
                result.extend([None] * (node.n_edges - o.n_inputs + 1))
            else:
                result.append(None)
            continue
        f = <Formula>o.formulas[i]
        if o.vjp is not None:
            g = _evaluate(o, f, node, grads)
            if o.variadic and i == 0:
                result.extend(g)
            else:
                result.append(g)
            continue
        g = grads[0]
        if f.function is None and f.constant == 0:
            result.append(call1(op_zeros_like, g))      # whatever g holds, infinities too
            continue
        p = f.constant if f.function is None else _evaluate(o, f, node, grads)
        result.append(_times_partial(g, p, True))
    return result


cdef object _times_partial(object g, object p, bint conjugate):
    """g * p, or g * conj(p) on the way back."""
    if isinstance(p, TensorBase):
        if conjugate and (<TensorBase>p).dtype.category == CAT_COMPLEX:
            p = call1(op_conj, p)
        return call2(op_mul, g, p)
    if p is None:
        return None
    if p == 1:
        return g
    if p == -1:
        return call1(op_neg, g)
    if conjugate and isinstance(p, complex):
        p = p.conjugate()
    return call2(op_mul, g, p)


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
            rest[first] = tuple([t if t is not None else call1(handle("zeros_like"), x)
                                 for t, x in zip(tangents[first], args[first])])
        else:
            rest[first] = tangents[first]
        return (o.functional if o.functional is not None else o)(*rest)
    if o.jvp is not None:
        if o.jvp_formula is None:
            f = Formula.__new__(Formula)
            _bind(o, f, o.jvp, 0)
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
        if callable(p):
            names = p.__code__.co_varnames[:p.__code__.co_argcount]
            parameters = {q.name: j for j, q in enumerate(o.signature.params)}
            p = p(*[outs if name == "out" else args[parameters[name]] for name in names])
        elif p == 0:
            flat = t
            continue
        term = _times_partial(t, p, False)
        if term is not None:
            total = term if total is None else call2(op_add, total, term)
    return call1(op_zeros_like, flat) if total is None and flat is not None else total


cdef int _propagate(Overload o, PyObject** a, object result, bint written) except -1:
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
    if t.ndim != x.ndim or any([t.shape[d] != x.shape[d] for d in range(x.ndim)]):
        t = call2(op_expand, t, tuple([x.shape[d] for d in range(x.ndim)]))
    if t.dtype is not x.dtype:
        t = call2(op_to, t, x.dtype)
    return t


# ---- elementwise computation --------------------------------------------------------------------------
cdef int compute_dtype(Overload o, PyObject** a) except -1:
    """The type in which an elementwise operator computes."""
    cdef int dims = -1, zeros = -1, numbers = -1, i, code
    cdef int first = o.kernel.bool_first
    cdef object x
    if first == 0 and isinstance(<object>a[0], TensorBase) and (o.kernel.n_inputs == 1 or (
            o.kernel.n_inputs == 2 and isinstance(<object>a[1], TensorBase)
            and (<TensorBase>a[0]).dtype is (<TensorBase>a[1]).dtype)):
        code = (<TensorBase>a[0]).dtype.code
        return default_code() if o.rule == RULE_FLOAT and category_of(code) < CAT_FLOAT else code
    for i in range(first, o.kernel.n_inputs):
        x = <object>a[i]
        if isinstance(x, TensorBase):
            code = (<TensorBase>x).dtype.code
            if (<TensorBase>x).ndim > 0:
                dims = code if dims < 0 else promote(dims, code)
            else:
                zeros = code if zeros < 0 else promote(zeros, code)
        elif (<Param>o.signature.params[i]).type == P_NUMBER and (dims >= 0 or zeros >= 0):
            continue
        elif type(x) is float:
            numbers = default_code() if numbers < 0 else promote(numbers, default_code())
        elif type(x) is bool:
            numbers = TG_BOOL if numbers < 0 else promote(numbers, TG_BOOL)
        elif type(x) is int:
            numbers = TG_I64 if numbers < 0 else promote(numbers, TG_I64)
        else:
            numbers = to_complex_code(default_code())
    code = combine_categories(combine_categories(dims, zeros), numbers)
    if o.rule == RULE_FLOAT and category_of(code) < CAT_FLOAT:
        code = default_code()
    return code


cdef int _broadcast(PyObject** a, int n, int64_t* shape) except -1:
    """The common shape of the tensors among `a`; returns its ndim."""
    cdef int i, d, ndim = 0
    cdef int64_t size
    cdef TensorBase x
    for i in range(n):
        if isinstance(<object>a[i], TensorBase):
            x = <TensorBase>a[i]
            if x.ndim > ndim:
                for d in range(ndim - 1, -1, -1):
                    shape[d + x.ndim - ndim] = shape[d]
                for d in range(x.ndim - ndim):
                    shape[d] = 1
                ndim = x.ndim
            for d in range(x.ndim):
                size = x.shape[d]
                if size != shape[ndim - x.ndim + d]:
                    if shape[ndim - x.ndim + d] == 1:
                        shape[ndim - x.ndim + d] = size
                    elif size != 1:
                        raise RuntimeError(
                            f"The size of tensor a ({shape[ndim - x.ndim + d]}) must match the size of tensor b ({size}) at "
                            f"non-singleton dimension {ndim - x.ndim + d}")
    return ndim


cdef TensorBase pointwise_result(Overload o, PyObject** a, TensorBase out):
    """Promotion, broadcasting, allocation and the kernel; into `out` when it is given."""
    cdef const tg_kernel* k = o.kernel
    cdef int i, n = k.n_inputs, ndim, code, out_code
    cdef int64_t shape[64]
    cdef TensorBase x, first = None
    cdef bint same = True
    cdef Device device = None
    for i in range(n):
        if isinstance(<object>a[i], TensorBase):
            x = <TensorBase>a[i]
            if x.storage is None:
                _refuse_escaped(o, x)
            if first is None:
                first = x
                device = x.storage.device
            else:
                same &= has_shape(x, first.ndim, first.shape)
                if x.storage.device is not device:
                    device = _common_device(o, first, x, device)
    if o.check is not None:
        PyObject_Vectorcall(o.check, a, n, NULL)
    if first is None:
        return _numbers_only(o, a)
    if k.bool_first and isinstance(<object>a[0], TensorBase) and (<TensorBase>a[0]).dtype.code != TG_BOOL \
            and (<TensorBase>a[0]).dtype.code != TG_U8 and o.signature.params[0].name == "condition":
        raise RuntimeError(f"{o.name} expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{_legacy((<TensorBase>a[0]).dtype).capitalize()}")
    code = compute_dtype(o, a)
    out_code = TG_BOOL if k.bool_output else (to_real_code(code) if k.real_output else code)
    if out is not None:
        return _pointwise_into(o, k, code, out_code, a, out)
    if same:
        if first.flags & CONTIGUOUS:
            out = empty(first.ndim, first.shape, dtype_of(out_code), device)
        else:
            out = _empty_like_layout(first, dtype_of(out_code), device)
    else:
        ndim = _broadcast(a, n, shape)
        out = empty(ndim, shape, dtype_of(out_code), device)
    pointwise(k, code, out, a)
    return out


cdef TensorBase _numbers_only(Overload o, PyObject** a):
    cdef TensorBase out
    code = compute_dtype(o, a)
    out = empty(0, NULL, dtype_of(TG_BOOL if o.kernel.bool_output else code), cpu)
    pointwise(o.kernel, code, out, a)
    return out


cdef Device _common_device(Overload o, TensorBase a, TensorBase b, Device device):
    """A zero-dimensional CPU tensor may join any device; nothing else moves silently."""
    if b.ndim == 0 and b.storage.device.table != NULL:
        return device
    if a.ndim == 0 and a.storage.device.table != NULL:
        return b.storage.device
    raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {device} and "
                       f"{b.storage.device}! ({o.name}: move one of them with .to(device))")


cdef TensorBase _empty_like_layout(TensorBase x, DType dtype, Device device):
    """Of x's shape, and with its strides when these leave no gaps (a transposed matrix stays one)."""
    cdef int64_t strides[64]
    cdef int order[64]
    cdef int d, e, t
    cdef int64_t step = 1
    cdef TensorBase out = empty(x.ndim, x.shape, dtype, device)
    for d in range(x.ndim):
        if x.strides[d] <= 0 and x.shape[d] != 1:
            return out
        order[d] = d
    for d in range(1, x.ndim):      # outermost first, ties as they stand
        e = d
        while e > 0 and x.strides[order[e - 1]] < x.strides[order[e]]:
            t = order[e]
            order[e] = order[e - 1]
            order[e - 1] = t
            e -= 1
    for d in range(x.ndim - 1, -1, -1):
        strides[order[d]] = step
        step *= max(x.shape[order[d]], 1)
    return new_tensor(out.storage, dtype, x.ndim, x.shape, strides, 0)


cdef bint _overlaps_itself(TensorBase x):
    cdef int d
    for d in range(x.ndim):
        if x.strides[d] == 0 and x.shape[d] > 1:
            return True
    return False


cdef TensorBase _pointwise_into(Overload o, const tg_kernel* k, int code, int out_code, PyObject** a, TensorBase out):
    """An in-place operator: every check comes before the first write."""
    cdef int64_t shape[64]
    cdef int ndim, i, d
    cdef PyObject* operands[3]
    cdef list copies = None
    cdef TensorBase x
    if category_of(out_code) > category_of(out.dtype.code):
        raise RuntimeError(f"result type {_legacy(dtype_of(out_code))} can't be cast to the desired output type "
                           f"{_legacy(out.dtype)}")
    ndim = _broadcast(a, k.n_inputs, shape)
    if not has_shape(out, ndim, shape):
        raise RuntimeError(f"output with shape {[out.shape[d] for d in range(out.ndim)]} doesn't match the broadcast shape "
                           f"{[shape[d] for d in range(ndim)]}")
    if _overlaps_itself(out):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                           "location. Please clone() the tensor before performing the operation.")
    for i in range(k.n_inputs):
        operands[i] = a[i]
        if not isinstance(<object>a[i], TensorBase):
            continue
        x = <TensorBase>a[i]
        if x is not out and x.storage is out.storage and not _same_geometry(x, out) and _ranges_meet(x, out):
            if x.flags & CONTIGUOUS and out.flags & CONTIGUOUS:
                raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer "
                                   "to a single memory location. Please clone() the tensor before performing the operation.")
            x = call1(op_clone, x)      # interleaved or transposed: read it before it is overwritten
            copies = [x, copies]
            operands[i] = <PyObject*>x
    pointwise(k, code, out, operands)
    return out


cdef bint _same_geometry(TensorBase x, TensorBase y):
    cdef int d
    if x.ndim != y.ndim or x.offset != y.offset:
        return False
    for d in range(x.ndim):
        if x.shape[d] != y.shape[d] or (x.strides[d] != y.strides[d] and x.shape[d] > 1):
            return False
    return True


cdef bint _ranges_meet(TensorBase x, TensorBase y):
    cdef int64_t x0 = x.offset, x1 = x.offset, y0 = y.offset, y1 = y.offset
    cdef int d
    if x.numel == 0 or y.numel == 0:
        return False
    for d in range(x.ndim):
        if x.strides[d] > 0:
            x1 += x.strides[d] * (x.shape[d] - 1)
        else:
            x0 += x.strides[d] * (x.shape[d] - 1)
    for d in range(y.ndim):
        if y.strides[d] > 0:
            y1 += y.strides[d] * (y.shape[d] - 1)
        else:
            y0 += y.strides[d] * (y.shape[d] - 1)
    return x0 <= y1 and y0 <= x1


def result_type(x, y):
    """The dtype of an arithmetic operation between two tensors or numbers.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.result_type(tensorgrad.tensor([1, 2], dtype=tensorgrad.int32), 1.0)
    tensorgrad.float32
    """
    cdef int dims = -1, zeros = -1, numbers = -1
    for v in (x, y):
        if isinstance(v, TensorBase):
            code = (<TensorBase>v).dtype.code
            if (<TensorBase>v).ndim:
                dims = code if dims < 0 else promote(dims, code)
            else:
                zeros = code if zeros < 0 else promote(zeros, code)
        else:
            code = (TG_BOOL if isinstance(v, bool) else TG_I64 if isinstance(v, int) else default_code()
                    if isinstance(v, float) else to_complex_code(default_code()))
            numbers = code if numbers < 0 else promote(numbers, code)
    return dtype_of(combine_categories(combine_categories(dims, zeros), numbers))


set_dispatcher(dispatch_call)


# ---- kernels of a device's own ------------------------------------------------------------------------
class _OnDevice:
    """The forward of an operator that some device types compute in their own way; the others are as they were."""

    def __init__(self, forward):
        self.forward = forward
        self.functions = {}

    def __call__(self, *args):
        cdef Device place = _place_of(args)
        function = None if place is None else self.functions.get(place.type)
        if function is not None:
            result = function(*args)
            if result is not NotImplemented:
                return result
        return self.forward(*args)


cdef Device _place_of(tuple args):
    """The device of the first tensor, or the one that is named where there is none."""
    cdef Device named = None
    for x in args:
        if isinstance(x, tuple) and len(<tuple>x) and isinstance((<tuple>x)[0], TensorBase):
            x = (<tuple>x)[0]
        if isinstance(x, TensorBase):
            return None if (<TensorBase>x).storage is None else (<TensorBase>x).storage.device
        if isinstance(x, Device):
            named = <Device>x
    return named


def install_overrides(str device_type, overrides):
    """Have `overrides[name]` compute the operator `name` on a device type.

    The wrapper is put around the forward of the overridden operators alone, so that the others pay nothing. An
    elementwise operator is overridden in the backend's `pointwise`; of a composite the derivative is that of its
    parts, which an override would take away.
    """
    cdef Overload o
    found = []
    for name, function in overrides.items():
        op = all_operators().get(name.partition("(")[0].strip())
        general = [x for x in (op.overloads if op is not None else ())
                   if (<Overload>x).kind == GENERAL and name in ((<Overload>x).name, (<Overload>x).signature_text)]
        if len(general) != 1:
            raise RuntimeError(
                f"the backend of device type '{device_type}' overrides '{name}', of which there are {len(general)} overloads that can be "
                "overridden (elementwise operators are overridden in Backend.pointwise, composites by their parts)"
                + "".join([f"\n * {(<Overload>x).signature_text}" for x in general]))
        found.append((general[0], function))
    for overload, function in found:
        o = <Overload>overload
        if not isinstance(o.forward, _OnDevice):
            o.forward = _OnDevice(o.forward)
            if o.inplace_form is not None:
                o.inplace_form.forward = o.forward
        o.forward.functions[device_type] = function


set_override_installer(install_overrides)
