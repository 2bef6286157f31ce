"""Declarations of operators: what `elementwise`, `operator` and `composite` take down, and how formulas are bound.

A declaration is an Overload. Its signature is parsed and its formulas are bound, by the names of their arguments, when it
is first called: hundreds are read at every import.
"""
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, dtype_of
from tensorgrad._core.operator cimport handle
from tensorgrad._core.signature cimport (
    P_ANY, P_DIM, P_DIMS, P_INDICES, P_NEW_DIM, P_OPERAND, P_SIZE, P_TENSOR, P_TENSORS, Param, parse_signature)
from tensorgrad._core.types cimport TensorBase, make_node_type

from tensorgrad._core.device import set_override_installer
from tensorgrad._core.graph import Node
from tensorgrad._core.operator import all_operators
from tensorgrad._core.operator import fill as fill_operator
from tensorgrad._core.operator import set_fast

cdef extern from "Python.h":
    object PyCapsule_New(void* pointer, const char* name, void* destructor)

cdef Runner _run = NULL


cdef void set_runner(Runner run):
    """What calls an overload lives above."""
    global _run
    _run = run


cdef class NativeForward:
    def __call__(self, *args):
        cdef PyObject* a[24]
        cdef int i
        for i in range(len(args)):
            a[i] = <PyObject*>args[i]
        return self.function(a)


cdef NativeForward native(Forward function):
    cdef NativeForward forward = NativeForward.__new__(NativeForward)
    forward.function = function
    return forward


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
        return _run(self, a)

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
        f"The in-place form of `{o.name}`.", None, None, {k: v for k, v in o.options.items() if k != "aliases"})
    i.kind, i.rule, i.kernel, i.forward, i.native = o.kind, o.rule, o.kernel, o.forward, o.native
    i.partials, i.vjp, i.jvp, i.batch, i.node_name = o.partials, o.vjp, o.jvp, o.batch, o.node_name
    i.is_random, i.untouched_below = o.is_random, o.untouched_below
    i.check, i.checks_integers, i.plain = o.check, o.checks_integers, o.plain
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
        For each differentiable parameter its partial derivative: a number, the name of a parameter or
        ``out``, or a function of these by name.
    vjp, jvp
        Instead of or beside `partials`, where a fused kernel pays.
    to_float : bool
        Integers are computed in the default floating point type.
    reference : str
        The value in terms of ``np`` and the parameters, for the tests.
    options
        ``check`` (called with the arguments, raises), ``check_integers`` (the same, where floating point tensors need no
        check), ``keep_integers`` and ``identity_of_real`` (such a
        tensor is its own result), ``aliases`` (more public names), ``internal`` (no public name), ``domain``
        (the interval from which the tests draw), ``method=False`` (no method of Tensor).
    """
    cdef Overload o = _new_overload(signature, doc, samples, reference, options)
    o.kind, o.kernel, o.batch = ELEMENTWISE, <const tg_kernel*>kernel, "elementwise"
    o.checks_integers = "check_integers" in options
    o.check = options.get("check_integers" if o.checks_integers else "check")
    o.plain = o.kernel.n_inputs <= 2 and not o.kernel.bool_first and (o.check is None or o.checks_integers)
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
        As for `elementwise`; ``across_devices`` (the tensors may live on several devices),
        ``out_apart`` (`out=` may share no memory with the inputs), ``out_exact`` (what `out=` of another dtype is
        refused with; `wanted` and `got` are filled in, also as `c_wanted` and `c_got`), ``overloaded`` (PyTorch has several
        overloads of it, and lists them where the arguments do not fit), ``repeated_dims`` (what a dimension that is named twice
        is refused with: `dim`, `dims`, `parameter`).
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


cdef int bind(Overload o, Formula f, object function, uint32_t bit) except -1:
    """Find each argument of a formula by its name, and have saved what must be."""
    cdef tuple names
    cdef Signature s = o.signature
    if isinstance(function, str):
        names = (function,)
        f.is_value = True
    elif not callable(function):
        f.constant = function
        return 0
    else:
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
    o.n_inputs = o.n_tensors = 0
    for i, p in enumerate(o.signature.params):
        if p.type in (P_DIM, P_NEW_DIM, P_DIMS):
            o.has_dims = True
        if p.type in (P_TENSOR, P_OPERAND, P_TENSORS, P_INDICES, P_ANY):
            o.tensor_params[o.n_tensors] = i
            o.n_tensors += 1
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
    o.alone = o.signature.types[0] == P_TENSOR and o.signature.n_required == 1 and o.signature.n_params > 0
    o.tensors_only = all([p.type == P_TENSOR and not p.keyword_only for p in o.signature.params])
    o.loose_sizes = o.signature.n_params == 2 and o.signature.types[0] == P_TENSOR and o.signature.types[1] == P_SIZE \
        and o.signature.varargs == 1
    for p in o.signature.params[1:]:
        if p.type in (P_DIM, P_NEW_DIM, P_DIMS) and p.default is not None and p.default != ():
            o.wraps_defaults = True
    o.one_tensor = o.n_tensors == 1 and (<Param>o.signature.params[0]).type == P_TENSOR
    o.variadic = o.n_inputs > 0 and (<Param>o.signature.params[o.input_params[0]]).type == P_TENSORS
    o.formulas = []
    if callable(o.vjp):
        o.joint = True
        f = Formula.__new__(Formula)
        bind(o, f, o.vjp, 0xffffffff)
        o.formulas.append(f)
    else:
        table = o.vjp if o.vjp is not None else o.partials
        for i in range(o.n_inputs):
            f = Formula.__new__(Formula)
            bind(o, f, table[o.signature.params[o.input_params[i]].name], 1 << i)
            o.formulas.append(f)
    o.n_saved = len(o.saved_names)
    o.saves_output = any([o.saved_kind[i] == SAVE_OUT for i in range(o.n_saved)])
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
            o.node_type = make_node_type(name if name.endswith("Backwards") else name + "Backward0", Node)
            if o.functional is not None:
                o.functional.node_type = o.node_type
    o.compiled = True
    return 0


cdef Overload overload_of(object op):
    return <Overload>(<Operator>op).first


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
            o.native = NULL
            if o.inplace_form is not None:
                o.inplace_form.forward = o.forward
                o.inplace_form.native = NULL
        o.forward.functions[device_type] = function


set_override_installer(install_overrides)
