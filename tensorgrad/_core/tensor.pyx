"""Tensor as users see it: attributes, Python's protocols, and the doors to autograd.

Operators are not here: each is put on the class when it is declared (`tensorgrad.ops`). The
arithmetic slots call their operators through handles, without an attribute look-up.
"""
from cpython.object cimport Py_EQ, Py_GT, Py_LE, Py_LT, Py_NE, PyObject
from libc.stdint cimport int64_t

from tensorgrad._core.device cimport cpu
from tensorgrad._core.backward cimport backward_from
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, CAT_INT, default_code, dtype_of
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.leaves cimport read_grad
from tensorgrad._core.operator cimport Operator, call1, call2, combine, handle
from tensorgrad._core.primitives cimport decode
from tensorgrad._core.types cimport (
    CONTIGUOUS, FRESH, INFERENCE, IS_VIEW, REQUIRES_GRAD, RETAINS_GRAD, VIEW_DEFAULT, WRAPPED, AutogradMeta,
    TensorBase, VersionCounter, alias, device_of, is_tensor, meta_of, new_storage, set_geometry, set_tensor_type, size_from,
    version_of)
from tensorgrad._core.view cimport grad_fn_of

from tensorgrad._core.elementwise import result_type
from tensorgrad._core.graph import retain_output, tensor_prehooks, type_name
from tensorgrad._core.hooks import HookDict
from tensorgrad._core.layout import lies_in_order
from tensorgrad._core.size import Size
from tensorgrad._core.transforms import transform_info

cdef Operator op_add = handle("add"), op_sub = handle("sub"), op_mul = handle("mul"), op_div = handle("div")
cdef Operator op_rsub = handle("rsub"), op_pow = handle("pow"), op_matmul = handle("matmul"), op_neg = handle("neg")
cdef Operator op_abs = handle("abs"), op_floor_divide = handle("floor_divide"), op_remainder = handle("remainder")
cdef Operator op_and = handle("bitwise_and"), op_or = handle("bitwise_or"), op_xor = handle("bitwise_xor")
cdef Operator op_not = handle("bitwise_not"), op_lshift = handle("bitwise_left_shift")
cdef Operator op_rshift = handle("bitwise_right_shift"), op_reciprocal = handle("reciprocal")
cdef Operator op_eq = handle("eq"), op_ne = handle("ne"), op_lt = handle("lt"), op_le = handle("le")
cdef Operator op_gt = handle("gt"), op_ge = handle("ge")
cdef Operator op_add_ = handle("add_"), op_sub_ = handle("sub_"), op_mul_ = handle("mul_"), op_div_ = handle("div_")
cdef Operator op_pow_ = handle("pow_"), op_floor_divide_ = handle("floor_divide_"), op_remainder_ = handle("remainder_")
cdef Operator op_and_ = handle("bitwise_and_"), op_or_ = handle("bitwise_or_"), op_xor_ = handle("bitwise_xor_")
cdef Operator op_detach = handle("detach"), op_unbind = handle("unbind")
cdef Operator op_getitem = handle("__getitem__"), op_setitem = handle("__setitem__"), op_to = handle("to")
cdef Operator op_scalar_tensor = handle("scalar_tensor"), op_where = handle("where")


cdef Views _views = NULL


cdef void set_views(Views views):
    """Indexing is an operator, and lives above."""
    global _views
    _views = views


# What Python-level parts of the library provide once they are imported (tensorgrad/__init__.py sets them).
services = {}


cdef inline bint _operand(object x):
    return isinstance(x, (TensorBase, int, float, complex)) or (
        hasattr(x, "__array__") and not isinstance(x, type) and _is_scalar_like(x))


cdef bint _is_scalar_like(object x):
    return getattr(x, "ndim", None) == 0 and hasattr(x, "item")


cdef object _binary(Operator op, Operator reflected, object a, object b):
    """A binary slot; `reflected` swaps the operands of an operator that wants the tensor first."""
    if is_tensor(<PyObject*>a):
        if is_tensor(<PyObject*>b):
            return combine(op, a, b)
        if type(b) is float or type(b) is int:
            return call2(op, a, b)
    if not _operand(a) or not _operand(b):
        return NotImplemented
    if not isinstance(a, TensorBase):
        if reflected is None:
            if not isinstance(a, (int, float, complex)):
                a = a.item()
            a = op_scalar_tensor(a, dtype=_number_dtype(a, <TensorBase>b), device=device_of(<TensorBase>b))
            return call2(op, a, b)
        return call2(reflected, b, a)
    return call2(op, a, b)


cdef object _number_dtype(object a, TensorBase b):
    """The dtype of a Python number that stands before a tensor: no more than the number's own kind demands."""
    return result_type(b, a)


cdef object _one_number(object x):
    if (<TensorBase>x).numel != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return x.item()


cdef object _real_number(object x, str wanted):
    """The only element; a complex one must be real."""
    value = _one_number(x)
    if isinstance(value, complex):
        if value.imag != 0:
            raise RuntimeError(f"value cannot be converted to type {wanted} without overflow: {value} has an imaginary part")
        return value.real
    return value


cdef class Tensor(TensorBase):
    """A multi-dimensional array of one dtype that remembers how it was computed.

    Attributes
    ----------
    shape : Size
    dtype : dtype
    device : device
    requires_grad : bool
        Whether operations on it are recorded.
    grad : Tensor or None
        The gradient that `backward` has accumulated.
    grad_fn : Node or None
        The operation that made it.
    """

    def __init__(self, *args, **kwargs):
        cdef TensorBase x = self
        if x.flags & FRESH:
            x.flags &= ~<unsigned int>(FRESH | CONTIGUOUS)
            x.shape = x.strides = NULL
            x.storage = None
            services["init_tensor"](self, *args, **kwargs)
        elif args or kwargs:
            raise TypeError("a tensor is initialised once")

    # ---- geometry -------------------------------------------------------------------------------
    @property
    def shape(self):
        return size_from((<TensorBase>self).ndim, (<TensorBase>self).shape)

    def size(self, dim=None):
        """The shape, or the size of one dimension."""
        if dim is None:
            return size_from((<TensorBase>self).ndim, (<TensorBase>self).shape)
        return (<TensorBase>self).shape[self._wrap(dim)]

    cdef int _wrap(self, object dim) except -1:
        cdef int n = (<TensorBase>self).ndim
        cdef int64_t d = dim
        if n == 0 and (d == 0 or d == -1):
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        if d < -n or d >= n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
        return <int>(d + n if d < 0 else d)

    def stride(self, dim=None):
        """The step in elements between neighbours of each dimension, or of one."""
        cdef TensorBase x = self
        if dim is None:
            return tuple([x.strides[d] for d in range(x.ndim)])
        return x.strides[self._wrap(dim)]

    def storage_offset(self):
        return (<TensorBase>self).offset

    @property
    def ndim(self):
        return (<TensorBase>self).ndim

    def dim(self):
        return (<TensorBase>self).ndim

    ndimension = dim

    def numel(self):
        return (<TensorBase>self).numel

    nelement = numel

    @property
    def dtype(self):
        return (<TensorBase>self).dtype

    @property
    def device(self):
        return device_of(self)

    @property
    def layout(self):
        return services["strided"]

    @property
    def itemsize(self):
        return (<TensorBase>self).dtype.itemsize

    def element_size(self):
        return (<TensorBase>self).dtype.itemsize

    @property
    def nbytes(self):
        return (<TensorBase>self).numel * (<TensorBase>self).dtype.itemsize

    def is_contiguous(self, memory_format=None):
        """Whether the elements lie in memory in the order of the indices (or of another `memory_format`), without gaps."""
        if memory_format is not None and memory_format.ndim is not None:
            return lies_in_order(memory_format, tuple(self.size()), self.stride())
        return ((<TensorBase>self).flags & CONTIGUOUS) != 0

    def is_floating_point(self):
        return (<TensorBase>self).dtype.category == CAT_FLOAT

    def is_complex(self):
        return (<TensorBase>self).dtype.category == CAT_COMPLEX

    def is_signed(self):
        return (<TensorBase>self).dtype.is_signed

    def is_inference(self):
        return ((<TensorBase>self).flags & INFERENCE) != 0

    @property
    def is_cuda(self):
        return device_of(self).type == "cuda"

    @property
    def is_cpu(self):
        return device_of(self).type == "cpu"

    @property
    def is_sparse(self):
        return False

    @property
    def is_quantized(self):
        return False

    @property
    def is_meta(self):
        return False

    def get_device(self):
        d = device_of(self)
        return -1 if d.type == "cpu" else d.index

    def data_ptr(self):
        cdef TensorBase x = self
        if x.storage is None:
            raise RuntimeError("Cannot access data pointer of Tensor that belongs to a transform")
        return 0 if x.storage.data == NULL else <size_t>(x.storage.data + x.offset * x.dtype.itemsize)

    def untyped_storage(self):
        if (<TensorBase>self).storage is None:
            raise RuntimeError("a tensor that belongs to a transform has no storage")
        return (<TensorBase>self).storage

    def type(self, dtype=None):
        """The legacy type string, or the tensor converted to `dtype`."""
        if dtype is None:
            return type_name(self)
        return op_to(self, dtype)

    # ---- autograd --------------------------------------------------------------------------------
    @property
    def requires_grad(self):
        cdef TensorBase x = self
        if x.flags & IS_VIEW and not x.flags & REQUIRES_GRAD and x.creation_meta == VIEW_DEFAULT:
            grad_fn_of(x)
        return (x.flags & REQUIRES_GRAD) != 0

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad=True):
        """Say whether operations on this leaf are recorded; in place.

        Raises
        ------
        RuntimeError
            For an integer tensor, for a result of recorded operations, or for an inference tensor.
        """
        cdef TensorBase x = self
        if not isinstance(requires_grad, (bool, int)):
            raise TypeError(f"requires_grad_(): argument 'requires_grad' must be bool, not {type(requires_grad).__name__}")
        if not requires_grad:
            if grad_fn_of(x) is not None:
                raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed "
                                   "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach().")
            x.flags &= ~<unsigned int>REQUIRES_GRAD
            return self
        if x.flags & INFERENCE and not thread_state().inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        if x.dtype.category < CAT_FLOAT:
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, or of complex dtype (this one is {x.dtype})")
        x.flags |= REQUIRES_GRAD
        return self

    @property
    def is_leaf(self):
        return grad_fn_of(self) is None

    @property
    def grad_fn(self):
        return grad_fn_of(self)

    @property
    def output_nr(self):
        return (<TensorBase>self).output_nr

    @property
    def grad(self):
        cdef TensorBase x = self
        if x.grad_fn is not None and not x.flags & RETAINS_GRAD and (x.meta is None or x.meta.grad is None):
            import warnings
            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't "
                          "be populated during autograd.backward(). If you indeed want the .grad field to be populated for a "
                          "non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by "
                          "mistake, make sure you access the leaf Tensor instead.", stacklevel=2)
        return read_grad(x)

    @grad.setter
    def grad(self, value):
        cdef TensorBase x = self
        cdef TensorBase g
        if value is None:
            if x.meta is not None:
                x.meta.grad = None
                x.meta.grad_is_zero = False
            return
        if not isinstance(value, TensorBase):
            raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        g = value
        if g.dtype is not x.dtype:
            raise RuntimeError(f"attempting to assign a gradient with dtype '{g.dtype}' to a tensor with grad_dtype '{x.dtype}'. "
                               "Please ensure that the gradient and the tensor have the same dtype")
        if device_of(g) is not device_of(x):
            raise RuntimeError(f"assigned grad has data located on a different device: {device_of(g)} instead of {device_of(x)}")
        if g.ndim != x.ndim or any([g.shape[d] != x.shape[d] for d in range(x.ndim)]):
            raise RuntimeError(f"attempting to assign a gradient of size '{[g.shape[d] for d in range(g.ndim)]}' to a tensor of size "
                               f"'{[x.shape[d] for d in range(x.ndim)]}'. Please ensure that the gradient and the tensor are the same "
                               "size")
        meta_of(x).grad = g
        x.meta.grad_is_zero = False

    @grad.deleter
    def grad(self):
        self.grad = None

    @property
    def _grad(self):
        return read_grad(self)

    @_grad.setter
    def _grad(self, value):
        self.grad = value

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulate the gradients of this tensor in the leaves it was computed from.

        Parameters
        ----------
        gradient : Tensor, optional
            The gradient of this tensor itself, of its shape; may be left out for a tensor of one element.
        retain_graph : bool, optional
            Keep what the graph saved, so that it can be traversed again. Default: the value of `create_graph`.
        create_graph : bool
            Record the computation of the gradients, so that these can be differentiated.
        inputs : Tensor or sequence of Tensor, optional
            Accumulate in these only.
        """
        if inputs is None and not create_graph and backward_from(self, gradient, bool(retain_graph)):
            return
        services["backward"](self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach_(self):
        """Cut this tensor off from its history, in place; it becomes a leaf."""
        cdef TensorBase x = self
        if x.flags & IS_VIEW and x.creation_meta != VIEW_DEFAULT or (x.flags & IS_VIEW and x.flags & REQUIRES_GRAD):
            raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) "
                               "for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and "
                               "hence detach_() cannot be called on these gradients. To fix this error, please refer to the "
                               "Optimizer.zero_grad() function in torch/optim/optimizer.py as a solution.".partition(" If you")[0])
        x.grad_fn = None
        x.output_nr = 0
        x.flags &= ~<unsigned int>(REQUIRES_GRAD | RETAINS_GRAD)
        return self

    def retain_grad(self):
        """Keep the gradient of this non-leaf tensor in ``.grad`` during backward."""
        cdef TensorBase x = self
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        node = grad_fn_of(x)
        if node is None or x.flags & RETAINS_GRAD:
            return
        x.flags |= RETAINS_GRAD
        retain_output(node, x.output_nr, x)

    @property
    def retains_grad(self):
        return ((<TensorBase>self).flags & RETAINS_GRAD) != 0

    def register_hook(self, hook):
        """Call ``hook(grad)`` whenever this tensor's gradient is computed; a tensor it returns replaces the gradient.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook out.
        """
        cdef TensorBase x = self
        cdef AutogradMeta meta
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node = grad_fn_of(x)
        if node is not None:
            return tensor_prehooks(node, x.output_nr).add(hook)
        meta = meta_of(x)
        if meta.hooks is None:
            meta.hooks = HookDict()
        return meta.hooks.add(hook)

    @property
    def _backward_hooks(self):
        cdef AutogradMeta meta = (<TensorBase>self).meta
        return None if meta is None else meta.hooks

    def register_post_accumulate_grad_hook(self, hook):
        """Call ``hook(tensor)`` after a gradient has been accumulated into this leaf."""
        cdef TensorBase x = self
        cdef AutogradMeta meta
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if grad_fn_of(x) is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        meta = meta_of(x)
        if meta.post_hooks is None:
            meta.post_hooks = HookDict()
        return meta.post_hooks.add(hook)

    @property
    def _version(self):
        cdef TensorBase x = self
        if x.flags & INFERENCE:
            raise RuntimeError("Inference tensors do not track version counter.")
        return version_of(x)

    @property
    def _base(self):
        cdef TensorBase x = self
        return x.base if x.flags & IS_VIEW else None

    def _is_view(self):
        return ((<TensorBase>self).flags & IS_VIEW) != 0

    @property
    def data(self):
        """The same memory as a tensor that autograd does not know: writes to it are not counted."""
        cdef TensorBase x = alias(self)
        cdef VersionCounter counter = VersionCounter.__new__(VersionCounter)
        meta_of(x).versions = counter
        x.version = NULL if x.flags & INFERENCE else &counter.value
        return x

    @data.setter
    def data(self, value):
        cdef TensorBase x = self
        cdef TensorBase y
        cdef VersionCounter counter
        if not isinstance(value, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        y = value
        if y.storage is None or x.storage is None:
            raise RuntimeError("`.data` of a tensor that belongs to a transform cannot be set")
        if x.flags & REQUIRES_GRAD and y.dtype.category < CAT_FLOAT:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        counter = VersionCounter.__new__(VersionCounter)
        counter.value = version_of(x)
        meta_of(x).versions = counter
        x.storage, x.dtype, x.offset = y.storage, y.dtype, y.offset
        set_geometry(x, y.ndim, y.shape, y.strides)
        if not x.flags & INFERENCE:
            x.version = &counter.value

    @classmethod
    def _make_subclass(cls, TensorBase data, bint require_grad=False):
        """A tensor of class `cls` that shares the memory of `data` (a new leaf)."""
        cdef TensorBase x = Tensor.__new__(cls)
        cdef VersionCounter counter
        x.storage, x.dtype, x.offset, x.wrap = data.storage, data.dtype, data.offset, data.wrap
        set_geometry(x, data.ndim, data.shape, data.strides)
        x.flags |= data.flags & (INFERENCE | WRAPPED)
        counter = VersionCounter.__new__(VersionCounter)
        meta_of(x).versions = counter
        x.version = NULL if x.flags & INFERENCE else &counter.value
        if require_grad:
            if x.dtype.category < CAT_FLOAT:
                raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
            x.flags |= REQUIRES_GRAD
        return x

    def as_subclass(self, cls):
        """This tensor, history and all, as an instance of a subclass of Tensor."""
        cdef TensorBase me = self
        cdef TensorBase x
        if not isinstance(cls, type) or not issubclass(cls, TensorBase):
            raise TypeError("cls must be a type that inherits from tensorgrad.Tensor")
        shared = call1(handle("alias"), self)
        x = Tensor.__new__(cls)
        me = <TensorBase>shared
        x.storage, x.dtype, x.offset, x.wrap, x.version = me.storage, me.dtype, me.offset, me.wrap, me.version
        set_geometry(x, me.ndim, me.shape, me.strides)
        x.flags |= me.flags & ~<unsigned int>CONTIGUOUS
        x.grad_fn, x.output_nr, x.meta = me.grad_fn, me.output_nr, me.meta
        x.base, x.step, x.creation_meta, x.view_version = me.base, me.step, me.creation_meta, me.view_version
        return x

    def _transform_info(self):
        return transform_info(self)

    # ---- numbers -----------------------------------------------------------------------------------
    def item(self):
        """The only element, as a Python number."""
        cdef TensorBase x = self
        if x.numel != 1:
            raise RuntimeError(f"a Tensor with {x.numel} elements cannot be converted to Scalar")
        while x.wrap is not None:
            if x.wrap.bdim >= 0:
                raise RuntimeError("vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling "
                                   ".item() on a Tensor, please try to rewrite what you're doing with other operations. If error "
                                   "is occurring somewhere inside PyTorch internals, please file a bug report.".partition(" If error")[0])
            x = x.wrap.value
        return decode(x)

    def tolist(self):
        """The elements as nested lists of Python numbers; the number itself for a tensor of no dimensions."""
        return services["tolist"](self)

    def __bool__(self):
        cdef TensorBase x = self
        if x.numel == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        if x.numel != 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        if x.wrap is not None and x.wrap.bdim >= 0:
            raise RuntimeError("vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
                               "support that yet, please shout over at https://github.com/pytorch/functorch/issues/257 ."
                               .partition(", please shout")[0] + ": use tensorgrad.where instead.")
        return bool(self.item())

    def __float__(self):
        return float(_real_number(self, "double"))

    def __int__(self):
        return int(_real_number(self, "int64_t"))

    def __complex__(self):
        return complex(_one_number(self))

    def __index__(self):
        cdef TensorBase x = self
        if x.dtype.category > CAT_INT or x.numel != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    # ---- Python's protocols ---------------------------------------------------------------------------
    def __hash__(self):
        return <Py_hash_t>(<size_t><PyObject*>self >> 4)

    def __len__(self):
        cdef TensorBase x = self
        if x.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return x.shape[0]

    def __iter__(self):
        if (<TensorBase>self).ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(call2(op_unbind, self, 0))

    def __reversed__(self):
        return handle("flip")(self, (0,)) if (<TensorBase>self).ndim else self

    def __contains__(self, element):
        if not _operand(element):
            raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")
        return bool(call1(handle("any"), call2(op_eq, self, element)).item())

    def __getitem__(self, index):
        cdef object view = _views(self, index)
        return services["getitem"](self, index) if view is None else view

    def __setitem__(self, index, value):
        services["setitem"](self, index, value)

    def where(self, condition, other):
        """Elements of this tensor where `condition` holds, else of `other`: ``tensorgrad.where(condition, self, other)``."""
        return op_where(condition, self, other)

    def __delitem__(self, index):
        raise TypeError("Tensor does not support deleting items")

    def __repr__(self):
        return services["repr"](self)

    def __format__(self, spec):
        cdef TensorBase x = self
        if x.ndim == 0 and x.wrap is None and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __deepcopy__(self, memo):
        return services["deepcopy"](self, memo)

    def __reduce_ex__(self, protocol):
        return services["reduce"](self)

    def numpy(self, *, force=False):
        """A NumPy array that shares this tensor's memory.

        Raises
        ------
        RuntimeError
            When the tensor requires grad (use ``.detach().numpy()``).
        TypeError
            On another device, or for a dtype that NumPy lacks; ``force=True`` copies instead.
        """
        return services["to_numpy"](self, force)

    def __array__(self, dtype=None, copy=None):
        return services["array"](self, dtype, copy)

    __array_priority__ = 1000

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return services["to_dlpack"](self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self):
        return services["dlpack_device"](self)

    # ---- arithmetic: (a, b) come in the order of the expression -----------------------------------------
    def __add__(self, other):
        return _binary(op_add, op_add, self, other)

    def __radd__(self, other):
        return _binary(op_add, op_add, other, self)

    def __sub__(self, other):
        return _binary(op_sub, op_rsub, self, other)

    def __rsub__(self, other):
        return _binary(op_sub, op_rsub, other, self)

    def __mul__(self, other):
        return _binary(op_mul, op_mul, self, other)

    def __rmul__(self, other):
        return _binary(op_mul, op_mul, other, self)

    def __truediv__(self, other):
        return _binary(op_div, None, self, other)

    def __rtruediv__(self, other):
        if not _operand(other):
            return NotImplemented
        return call2(op_mul, call1(op_reciprocal, self), other)

    def __floordiv__(self, other):
        return _binary(op_floor_divide, None, self, other)

    def __rfloordiv__(self, other):
        return _binary(op_floor_divide, None, other, self)

    def __mod__(self, other):
        return _binary(op_remainder, None, self, other)

    def __rmod__(self, other):
        return _binary(op_remainder, None, other, self)

    def __pow__(self, other, modulo):
        if modulo is not None or not _operand(other):
            return NotImplemented
        return call2(op_pow, self, other)

    def __rpow__(self, other, modulo):
        if modulo is not None or not _operand(other):
            return NotImplemented
        return call2(op_pow, other, self)

    def __matmul__(self, other):
        if not isinstance(other, TensorBase):
            return NotImplemented
        return call2(op_matmul, self, other)

    def __and__(self, other):
        return _binary(op_and, op_and, self, other)

    def __rand__(self, other):
        return _binary(op_and, op_and, other, self)

    def __or__(self, other):
        return _binary(op_or, op_or, self, other)

    def __ror__(self, other):
        return _binary(op_or, op_or, other, self)

    def __xor__(self, other):
        return _binary(op_xor, op_xor, self, other)

    def __rxor__(self, other):
        return _binary(op_xor, op_xor, other, self)

    def __lshift__(self, other):
        return _binary(op_lshift, None, self, other)

    def __rshift__(self, other):
        return _binary(op_rshift, None, self, other)

    def __neg__(self):
        return call1(op_neg, self)

    def __pos__(self):
        return self

    def __abs__(self):
        return call1(op_abs, self)

    def __invert__(self):
        return call1(op_not, self)

    def __iadd__(self, other):
        return _binary(op_add_, None, self, other)

    def __isub__(self, other):
        return _binary(op_sub_, None, self, other)

    def __imul__(self, other):
        return _binary(op_mul_, None, self, other)

    def __itruediv__(self, other):
        return _binary(op_div_, None, self, other)

    def __ifloordiv__(self, other):
        return _binary(op_floor_divide_, None, self, other)

    def __imod__(self, other):
        return _binary(op_remainder_, None, self, other)

    def __ipow__(self, other):
        return call2(op_pow_, self, other)

    def __iand__(self, other):
        return _binary(op_and_, None, self, other)

    def __ior__(self, other):
        return _binary(op_or_, None, self, other)

    def __ixor__(self, other):
        return _binary(op_xor_, None, self, other)

    def __richcmp__(self, other, int op):
        if not _operand(other):
            return NotImplemented
        if op == Py_EQ:
            return call2(op_eq, self, other)
        if op == Py_NE:
            return call2(op_ne, self, other)
        if op == Py_LT:
            return call2(op_lt, self, other)
        if op == Py_LE:
            return call2(op_le, self, other)
        if op == Py_GT:
            return call2(op_gt, self, other)
        return call2(op_ge, self, other)


set_tensor_type(Tensor, Size)


cdef extern from *:
    """
    static newfunc tg_plain_new;
    static PyObject *tg_no_arguments;
    static void (*tg_make_valid)(PyObject *);
    static PyObject *tg_public_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
        PyObject *o = tg_plain_new(type, tg_no_arguments, NULL);
        (void)args;
        (void)kwargs;
        if (o != NULL) tg_make_valid(o);
        if (o != NULL && PyErr_Occurred()) Py_CLEAR(o);
        return o;
    }
    static void tg_wrap_new(PyObject *type, PyObject *no_arguments, void (*make_valid)(PyObject *)) {
        tg_plain_new = ((PyTypeObject *)type)->tp_new;
        tg_no_arguments = no_arguments;
        tg_make_valid = make_valid;
        ((PyTypeObject *)type)->tp_new = tg_public_new;
    }
    """
    void tg_wrap_new(object type, tuple no_arguments, void (*make_valid)(PyObject*) noexcept)

cdef tuple _no_arguments = ()


cdef void _make_valid(PyObject* o) noexcept:
    """What Python's own __new__ returns must not crash before __init__ has run: an empty tensor."""
    cdef TensorBase x = <TensorBase>o
    cdef int64_t size = 0, step = 1
    x.storage = new_storage(0, cpu)
    x.dtype = dtype_of(default_code())
    x.version = &x.storage.version
    set_geometry(x, 1, &size, &step)
    x.flags |= FRESH


tg_wrap_new(Tensor, _no_arguments, _make_valid)


cdef extern from *:
    """
    static int tg_set_attribute(PyObject *type, PyObject *name, PyObject *value) {
        int status = PyDict_SetItem(((PyTypeObject *)type)->tp_dict, name, value);
        PyType_Modified((PyTypeObject *)type);
        return status;
    }
    """
    int tg_set_attribute(object type, object name, object value) except -1


def add_method(str name, value):
    """Put an operator (or property) on the class; what the class has already stays."""
    if name not in Tensor.__dict__:
        tg_set_attribute(Tensor, name, value)
