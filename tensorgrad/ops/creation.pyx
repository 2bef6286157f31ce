"""Operators that make tensors, copy them, and move them between dtypes and devices."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport as_device, cpu, memory_device
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BOOL, TG_F64, TG_I64, default_code, dtype_of, to_complex_code
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, call1, handle
from tensorgrad._core.types cimport (
    CONTIGUOUS, INFERENCE, REQUIRES_GRAD, TensorBase, alias, bump, device_of, empty, new_tensor, set_geometry, shape_tuple,
    version_of)

import math

from tensorgrad._core.layout import contiguous_format, preserve_format, strides_of
from tensorgrad._core.layout import memory_format as MemoryFormat
from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.dtype import names
from tensorgrad._core.primitives import hurried

cdef Operator zeros_like, to_copy, clone, copy_, full, expand
zeros_like, to_copy, clone, copy_ = handle("zeros_like"), handle("_to_copy"), handle("clone"), handle("copy_")
full, expand = handle("full"), handle("expand")
cdef Operator op_empty, op_zeros, op_ones
cdef Operator _packed_clone = handle("_packed_clone")
op_empty, op_zeros, op_ones = handle("empty"), handle("zeros"), handle("ones")

FACTORY = "*, DType? dtype=None, Device? device=None, bool requires_grad=False, Any layout=None, bool pin_memory=False"
LIKE = FACTORY + ", Any memory_format=None"


# ---- constants ---------------------------------------------------------------------------------
cdef TensorBase make(object size, object dtype, object device, bint requires_grad, int code):
    """An uninitialised tensor; `code` is the dtype when none is named."""
    cdef int64_t shape[64]
    cdef int64_t extent
    cdef int i, n = <int>len(<tuple>size)
    cdef DType d = dtype_of(code) if dtype is None else dtype
    cdef TensorBase x
    if n > 64:
        raise RuntimeError(f"tensors have at most 64 dimensions, got {n}")
    for i in range(n):
        extent = <object>(<tuple>size)[i]
        if extent < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {extent}: {list(size)}")
        shape[i] = extent
    if requires_grad and d.category < CAT_FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    x = empty(n, shape, d, cpu if device is None else memory_device(device))
    if requires_grad:
        x.flags |= REQUIRES_GRAD
    return x


cdef TensorBase filled(PyObject** size, PyObject** options, object value, int code):
    """A tensor of a number, from the slots of a factory: `options` are its dtype, device and requires_grad."""
    cdef TensorBase x = make(<object>size[0], <object>options[0], <object>options[1], <object>options[2] is True, code)
    if value is not None:
        primitives.fill(x, value)
    return x


cdef object _empty(PyObject** a):
    return filled(a, a + 1, None, default_code())


cdef object _zeros(PyObject** a):
    return filled(a, a + 1, 0, default_code())


cdef object _ones(PyObject** a):
    return filled(a, a + 1, 1, default_code())


cdef object _full(PyObject** a):
    return filled(a, a + 2, <object>a[1], code_of_number(<object>a[1]))


cdef object _scalar(PyObject** a):
    cdef object size = ()
    cdef PyObject* shape = <PyObject*>size
    return filled(&shape, a + 1, <object>a[0], code_of_number(<object>a[0]))


cdef int code_of_number(object value):
    if isinstance(value, bool):
        return TG_BOOL
    if isinstance(value, int):
        return TG_I64
    return default_code() if isinstance(value, float) else to_complex_code(default_code())


operator(f"empty(Size size, {FACTORY}, Any memory_format=None)",
native(_empty), method=False, doc="A tensor of the given shape whose elements are whatever was in memory.")
operator(f"zeros(Size size, {FACTORY})", native(_zeros), method=False, doc="""A tensor of zeros.

    Examples
    --------
    >>> tensorgrad.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """)
operator(f"ones(Size size, {FACTORY})", native(_ones), method=False, doc="""A tensor of ones.

    Examples
    --------
    >>> tensorgrad.ones(3)
    tensor([1., 1., 1.])
    """)
operator(f"full(Size size, Number fill_value, {FACTORY})", native(_full), method=False, doc="""A tensor filled with a number.

    Examples
    --------
    >>> tensorgrad.full((2,), 7)
    tensor([7, 7])
    """)
operator("scalar_tensor(Number s, *, DType? dtype=None, Device? device=None, bool requires_grad=False)",
         native(_scalar), method=False, doc="A tensor of no dimensions that holds a number.")


cdef TensorBase empty_like(TensorBase x, DType dtype):
    """An uninitialised tensor of x's shape and device, and of its layout where that is dense."""
    cdef TensorBase y = empty(x.ndim, x.shape, dtype, device_of(x))
    cdef int64_t strides[64]
    if not x.flags & CONTIGUOUS and dense_strides(x, strides):
        set_geometry(y, x.ndim, x.shape, strides)
    return y


cdef TensorBase in_order(TensorBase x, DType dtype, Device place, object order):
    """An uninitialised tensor of x's shape whose elements lie in a memory format."""
    cdef TensorBase y
    cdef int64_t strides[64]
    cdef int d
    if not isinstance(order, MemoryFormat):
        raise TypeError(f"memory_format must be tensorgrad.memory_format, not {type(order).__name__}")
    y = empty(x.ndim, x.shape, dtype, place)
    if order is preserve_format:
        if not x.flags & CONTIGUOUS and dense_strides(x, strides):
            set_geometry(y, x.ndim, x.shape, strides)
    elif order is not contiguous_format:
        wanted = strides_of(order, shape_tuple(x))
        for d in range(x.ndim):
            strides[d] = wanted[d]
        set_geometry(y, x.ndim, x.shape, strides)
    return y


cdef TensorBase like(PyObject** x, PyObject** options, object value):
    """A tensor for another, from the slots of a factory: of its shape, dtype and device where nothing else is said."""
    cdef TensorBase source = <TensorBase>x[0]
    cdef TensorBase y
    if <object>options[5] is not None:
        y = in_order(source, source.dtype if <object>options[0] is None else <object>options[0],
                     device_of(source) if <object>options[1] is None else memory_device(<object>options[1]), <object>options[5])
        (<object>y).requires_grad_(<object>options[2])
    elif <object>options[0] is None and <object>options[1] is None and <object>options[2] is False:
        y = empty_like(source, source.dtype)
    else:
        y = _like(source, None, <object>options[0], <object>options[1], <object>options[2], None)
    if value is not None:
        primitives.fill(y, value)
    return y


cdef object _empty_like(PyObject** a):
    return like(a, a + 1, None)


cdef object _zeros_like(PyObject** a):
    return like(a, a + 1, 0)


cdef object _ones_like(PyObject** a):
    return like(a, a + 1, 1)


cdef object _full_like(PyObject** a):
    return like(a, a + 2, <object>a[1])


def _like(TensorBase x, value, dtype, device, requires_grad, size=None):
    """A tensor for `x`: of its shape, dtype and device where nothing else is said, and of its layout where it is dense."""
    cdef TensorBase y = make(shape_tuple(x) if size is None else size, x.dtype if dtype is None else dtype,
                             device_of(x) if device is None else device, requires_grad, 0)
    cdef int64_t strides[64]
    if size is None and not x.flags & CONTIGUOUS and dense_strides(x, strides):
        set_geometry(y, x.ndim, x.shape, strides)
    if value is not None:
        primitives.fill(y, value)
    return y


cdef bint dense_strides(TensorBase x, int64_t* strides):
    """The strides of `x` if its elements fill its memory without gaps or overlap, in whatever order."""
    cdef int64_t expected = 1
    cdef int d
    for d in sorted(range(x.ndim), key=lambda i: (x.strides[i], -i)):
        if x.shape[d] != 1:
            if x.strides[d] != expected:
                return False
            expected *= x.shape[d]
    for d in range(x.ndim):
        strides[d] = x.strides[d]
    return True


operator(f"empty_like(Tensor self, {LIKE})",
         native(_empty_like), method=False,
         doc="An uninitialised tensor of the shape, dtype and device of another.")
operator(f"zeros_like(Tensor self, {LIKE})",
         native(_zeros_like), method=False,
         doc="Zeros of the shape, dtype and device of another tensor.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="np.zeros_like(self)")
operator(f"ones_like(Tensor self, {LIKE})",
         native(_ones_like), method=False,
         doc="Ones of the shape, dtype and device of another tensor.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="np.ones_like(self)")
operator(f"full_like(Tensor self, Number fill_value, {LIKE})",
         native(_full_like), method=False,
         doc="A number repeated in the shape, dtype and device of a tensor.",
         samples=lambda make: [((make(3, 4), 3), {})],
         reference="np.full_like(self, fill_value)")
operator(f"new_empty(Tensor self, Size size, {FACTORY})",
         lambda self, size, dtype, device, requires_grad, layout, pin_memory:
         _like(self, None, dtype, device, requires_grad, size), function=False,
         doc="An uninitialised tensor of the dtype and device of this one.")
operator(f"new_zeros(Tensor self, Size size, {FACTORY})",
         lambda self, size, dtype, device, requires_grad, layout, pin_memory:
         _like(self, 0, dtype, device, requires_grad, size), function=False,
         doc="Zeros of the dtype and device of this tensor.")
operator(f"new_ones(Tensor self, Size size, {FACTORY})",
         lambda self, size, dtype, device, requires_grad, layout, pin_memory:
         _like(self, 1, dtype, device, requires_grad, size), function=False,
         doc="Ones of the dtype and device of this tensor.")
operator(f"new_full(Tensor self, Size size, Number fill_value, {FACTORY})",
         lambda self, size, fill_value, dtype, device, requires_grad, layout, pin_memory:
         _like(self, fill_value, dtype, device, requires_grad, size), function=False,
         doc="A number repeated, in the dtype and device of this tensor.")


def _eye(n, m, dtype, device, requires_grad, layout, pin_memory):
    cdef TensorBase x, diagonal
    cdef int64_t size, step
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {n}" if n < 0 else f"m must be greater or equal to 0, got {m}")
    x = make((n, m), dtype, device, requires_grad, default_code())
    primitives.fill(x, 0)
    size, step = min(n, m), m + 1
    diagonal = new_tensor(x.storage, x.dtype, 1, &size, &step, 0)
    primitives.fill(diagonal, 1)
    return x


operator(f"eye(int n, int? m=None, {FACTORY})", _eye, method=False, doc="""Ones on the diagonal, zeros elsewhere.

    Examples
    --------
    >>> tensorgrad.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """)


def _arange(start, end, step, dtype, device, requires_grad, layout, pin_memory):
    cdef TensorBase x
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if dtype is not None and (<DType>dtype).category < CAT_FLOAT:       # whole numbers first, then the count
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError(f"step must be nonzero: it is below 1, and {dtype} has whole numbers only")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = isinstance(start, int) and isinstance(end, int) and isinstance(step, int)
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    x = make((count,), dtype, device, requires_grad, TG_I64 if whole else default_code())
    primitives.arange(x, start, step)
    return x


operator(f"arange(Number end, {FACTORY})", lambda end, *rest: _arange(0, end, 1, *rest), method=False,
         doc="""Numbers from `start` (0), below `end`, in steps of `step` (1).

    Examples
    --------
    >>> tensorgrad.arange(1, 8, 3)
    tensor([1, 4, 7])
    """)
operator(f"arange(Number start, Number end, Number step=1, {FACTORY})", _arange, method=False)


def _linspace(start, end, steps, dtype, device, requires_grad, layout, pin_memory):
    """start + i * step in the first half, end - (steps - 1 - i) * step in the second, so that both ends are exact."""
    cdef TensorBase x, step
    cdef int64_t half, rest, one = 1
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    complex_ends = isinstance(start, complex) or isinstance(end, complex)
    x = make((steps,), dtype, device, requires_grad, to_complex_code(default_code()) if complex_ends else default_code())
    complex_ends = complex_ends or x.dtype.category == CAT_COMPLEX
    if steps == 1:
        primitives.fill(x, start)
    elif steps > 1 and (complex_ends or x.dtype.category < CAT_FLOAT):
        compute = x.dtype if complex_ends else dtype_of(TG_F64)
        i = handle("arange")(steps, dtype=compute, device=device_of(x))
        primitives.copy(x, start + i * ((end - start) / (steps - 1)))
    elif steps > 1:
        # the step is rounded to the dtype before it is used, as PyTorch does; what follows is rounded once
        step = make((), x.dtype, None, False, 0)
        primitives.fill(step, end)
        low = make((), x.dtype, None, False, 0)
        primitives.fill(low, start)
        wide = primitives.decode((step - low) / (steps - 1))
        first, last = primitives.decode(low), primitives.decode(step)
        half = steps // 2
        rest = steps - half
        primitives.arange(new_tensor(x.storage, x.dtype, 1, &half, &one, 0), first, wide)
        primitives.arange(new_tensor(x.storage, x.dtype, 1, &rest, &one, half), last - wide * (rest - 1), wide)
    return x


operator(f"linspace(Number start, Number end, int steps, {FACTORY})", _linspace, method=False,
         doc="""Evenly spaced numbers from `start` to `end`, both included.

    Examples
    --------
    >>> tensorgrad.linspace(0, 1, steps=3)
    tensor([0.0000, 0.5000, 1.0000])
    """)
composite(f"logspace(Number start, Number end, int steps, Number base=10.0, {FACTORY})",
          lambda start, end, steps, base, dtype, device, requires_grad, layout, pin_memory:
          _logspace(start, end, steps, base, dtype, device, requires_grad), method=False,
          doc="Numbers whose logarithms to `base` are evenly spaced.")


def _logspace(start, end, steps, base, dtype, device, requires_grad):
    exponents = handle("linspace")(start, end, steps, dtype=dtype, device=device)
    return handle("pow")(base, exponents).detach().requires_grad_(requires_grad)


# ---- copies ----------------------------------------------------------------------------------------
cdef object _clone(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef TensorBase y
    y = empty_like(self, self.dtype) if <object>a[1] is None else in_order(self, self.dtype, device_of(self), <object>a[1])
    primitives.copy(y, self)
    return y


operator("clone(Tensor self, *, Any memory_format=None)", native(_clone), vjp={"self": lambda grad: grad}, jvp="linear",
         reference="self.copy()", doc="A copy, through which gradients flow.",
         samples=lambda make: [((make(3, 4),), {}), ((make(3, 4).t(),), {}), ((make(),), {})])
cdef object _contiguous(PyObject** a):
    order = <object>a[1]
    if order is not None and order is not contiguous_format:
        if order is preserve_format:
            raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
        return <object>a[0] if (<object>a[0]).is_contiguous(memory_format=order) else clone(<object>a[0], memory_format=order)
    return <object>a[0] if (<TensorBase>a[0]).flags & CONTIGUOUS else call1(_packed_clone, <object>a[0])


composite("contiguous(Tensor self, *, Any memory_format=None)", native(_contiguous), function=False,
          doc="The tensor itself if its elements lie in order (or in that of `memory_format`) without gaps, else such a copy.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4).t(),), {})],
          reference="self")


def _packed(TensorBase self):
    cdef TensorBase y = empty(self.ndim, self.shape, self.dtype, self.storage.device)
    primitives.copy(y, self)
    return y


operator("_packed_clone(Tensor self)", _packed, vjp={"self": lambda grad: grad}, jvp="linear", node="clone", internal=True,
         reference="self.copy()", doc="A copy whose elements lie in order without gaps.")


cdef object _copy_into(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0], src = <TensorBase>a[1]
    cdef int d, from_ndim = src.ndim, shift = self.ndim - src.ndim
    cdef bint fits = shift >= 0
    for d in range(from_ndim if fits else 0):
        fits &= src.shape[d] == 1 or src.shape[d] == self.shape[shift + d]
    if not fits:
        raise RuntimeError(f"The size of tensor a ({self.numel if self.ndim == 0 else self.shape[self.ndim - 1]}) must match the "
                           f"size of tensor b ({src.numel if src.ndim == 0 else src.shape[from_ndim - 1]}) at non-singleton "
                           f"dimension {max(self.ndim - 1, 0)} (copy_ of shape {[src.shape[d] for d in range(from_ndim)]} into "
                           f"shape {[self.shape[d] for d in range(self.ndim)]})")
    for d in range(self.ndim):
        if self.strides[d] == 0 and self.shape[d] > 1:
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                               "location. Please clone() the tensor before performing the operation.")
    if src.storage is self.storage and src is not self:
        src = _packed(src)
    cdef TensorBase wide = src
    cdef int64_t strides[64]
    for d in range(self.ndim):
        strides[d] = 0 if d < shift or (src.shape[d - shift] == 1 and self.shape[d] != 1) else src.strides[d - shift]
    wide = new_tensor(src.storage, src.dtype, self.ndim, self.shape, strides, src.offset)
    if <object>a[2] is not True:
        primitives.copy(self, wide)
        return
    hurried.on = True
    try:
        primitives.copy(self, wide)
    finally:
        hurried.on = False


operator("copy_(Tensor! self, Tensor src, bool non_blocking=False)", native(_copy_into), across_devices=True,
         vjp={"self": lambda: None, "src": lambda grad: grad},
         jvp=lambda self, src_t: zeros_like(self) if src_t is None else expand(src_t, self.shape), function=False,
         node="copy", doc="Copy the elements of `src` into this tensor, broadcast and converted; returns this tensor.")
operator("fill_(Tensor! self, Number value)", lambda self, value: primitives_fill(self, value),
         vjp={"self": lambda: None}, jvp=lambda self: zeros_like(self), node="fill", function=False,
         doc="Fill this tensor with a number.")
composite("fill_(Tensor! self, Tensor value)", lambda self, value: _fill_with(self, value), function=False)


def primitives_fill(TensorBase self, value):
    primitives.fill(self, value)


def _fill_with(self, value):
    if value.ndim != 0:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return copy_(self, value)


operator("zero_(Tensor! self)", lambda self: primitives_fill(self, 0), vjp={"self": lambda: None},
         jvp=lambda self: zeros_like(self), node="zero", doc="Fill this tensor with zeros.")


# ---- dtypes and devices ------------------------------------------------------------------------------
def _convert(TensorBase self, dtype, device, order):
    cdef Device place = device_of(self) if device is None else memory_device(device)
    cdef DType d = self.dtype if dtype is None else dtype
    cdef TensorBase y
    if order is not None:
        y = in_order(self, d, place, order)
    elif self.storage.device is place:
        y = _like(self, None, d, None, False)
    else:
        y = empty(self.ndim, self.shape, d, place)
    primitives.copy(y, self)
    return y


operator("_to_copy(Tensor self, DType? dtype, Device? device, Any memory_format=None)", _convert,
         vjp={"self": lambda grad: grad}, jvp="linear", node="to_copy", doc="A copy in another dtype or on another device.", internal=True)


def _to(TensorBase self, dtype, device, bint copy, order=None):
    if copy or (dtype is not None and dtype is not self.dtype) or (
            device is not None and memory_device(device) is not device_of(self)) or (
            order is not None and order is not preserve_format and not (<object>self).is_contiguous(memory_format=order)):
        return to_copy(self, dtype, device) if order is None else to_copy(self, dtype, device, order)
    return self


def _to_later(self, dtype, device, copy, order=None):
    """`_to`, which may return while pinned memory is still being copied."""
    hurried.on = True
    try:
        return _to(self, dtype, device, copy, order)
    finally:
        hurried.on = False


composite("to(Tensor self, DType dtype, bool non_blocking=False, bool copy=False, *, Any memory_format=None)",
          lambda self, dtype, non_blocking, copy, memory_format: _to(self, dtype, None, copy, memory_format), function=False,
          doc="""The tensor in another dtype or on another device; itself if it is there already.

    Examples
    --------
    >>> tensorgrad.tensor([1, 2]).to(tensorgrad.float64)
    tensor([1., 2.], dtype=tensorgrad.float64)
    """)
composite("to(Tensor self, Device? device=None, DType? dtype=None, bool non_blocking=False, bool copy=False, *, "
          "Any memory_format=None)",
          lambda self, device, dtype, non_blocking, copy, memory_format:
          (_to_later if non_blocking else _to)(self, dtype, device, copy, memory_format), function=False)
composite("to(Tensor self, Tensor other, bool non_blocking=False, bool copy=False, *, Any memory_format=None)",
          lambda self, other, non_blocking, copy, memory_format:
          (_to_later if non_blocking else _to)(self, other.dtype, other.device, copy, memory_format), function=False)
composite("type_as(Tensor self, Tensor other)", lambda self, other: _to(self, other.dtype, other.device, False),
          function=False, doc="The tensor in the dtype and on the device of another.",
          samples=lambda make: [((make(3, 4), make(2, requires_grad=False)), {})],
          reference="self")
composite("cpu(Tensor self, Any memory_format=None)", lambda self, memory_format: _to(self, None, cpu, False, memory_format),
          function=False,
          doc="The tensor on the CPU; itself if it is there already.")
composite("cuda(Tensor self, Device? device=None, bool non_blocking=False, Any memory_format=None)",
          lambda self, device, non_blocking, memory_format:
          (_to_later if non_blocking else _to)(self, None, as_device("cuda") if device is None else device, False, memory_format),
          function=False, doc="The tensor on a CUDA device.")


def _declare_conversions():
    """x.float(), x.long() and so on: one for each name of a dtype that PyTorch has a method for."""
    for name, target in names().items():
        if name in ("bool", "half", "bfloat16", "float", "double", "int", "long", "short", "cfloat", "cdouble"):
            _declare_conversion(name, target)
    _declare_conversion("byte", names()["uint8"])
    _declare_conversion("char", names()["int8"])


def _declare_conversion(name, target):
    composite(f"{name}(Tensor self, Any memory_format=None)", lambda self, memory_format: _to(self, target, None, False, memory_format),
              function=False, doc=f"The tensor as `{target}`.")


_declare_conversions()


# ---- history -------------------------------------------------------------------------------------------
cdef object _alias(PyObject** a):
    return alias(<TensorBase>a[0])


operator("detach(Tensor self)", native(_alias), doc="""The same memory, cut off from its history.

    The result shares its version counter with this tensor, so that writing to it is noticed by backward.
    """)


operator("alias(Tensor self)", native(_alias), view=True, vjp={"self": lambda grad: grad}, jvp="linear", internal=True,
         doc="A view of the whole tensor.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="self")


def _resize(TensorBase self, size, memory_format):
    """Grow the storage if need be; the elements that fit keep their places in memory."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int64_t numel = 1, step = 1
    cdef int i
    cdef object count = 1               # no C number: it may exceed any
    cdef TensorBase bigger, flat
    if len(size) > 64:
        raise RuntimeError(f"tensors have at most 64 dimensions, got {len(size)}")
    for i in range(len(size)):
        if size[i] < 0:
            raise RuntimeError(f"resize_: negative dimension {size[i]} in {list(size)}")
        shape[i] = size[i]
        count *= size[i]
    if count > <int64_t>1 << 58 or self.offset > <int64_t>1 << 58:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(size)}")
    numel = count
    if self.flags & REQUIRES_GRAD:
        raise RuntimeError("cannot resize variables that require grad")
    for i in range(<int>len(size) - 1, -1, -1):
        strides[i] = step
        step *= max(shape[i], 1)
    if (self.offset + numel) * self.dtype.itemsize > self.storage.length:
        bigger = empty(1, &numel, self.dtype, self.storage.device)
        if self.numel:
            flat = new_tensor(bigger.storage, self.dtype, self.ndim, self.shape, self.strides, 0)
            if self.flags & CONTIGUOUS:
                primitives.copy(flat, self)
        version = version_of(self)
        self.storage = bigger.storage
        self.storage.version = version
        self.offset = 0
        if not self.flags & INFERENCE:
            self.version = &self.storage.version
    set_geometry(self, <int>len(size), shape, strides)


operator("resize_(Tensor! self, Size size, *, Any memory_format=None)", _resize, function=False,
         doc="Change the shape in place; new elements are uninitialised.")
composite("resize_as_(Tensor! self, Tensor the_template, *, Any memory_format=None)",
          lambda self, the_template, memory_format: self.resize_(the_template.shape), function=False,
          doc="Change the shape in place to that of another tensor.")


def _set(TensorBase self, TensorBase source):
    if self.flags & REQUIRES_GRAD and source.dtype is not self.dtype:
        raise RuntimeError("set_: the source of a tensor that requires grad must have its dtype")
    self.data = source
    if self.version != NULL:
        bump(self, handle("set_"))


composite("set_(Tensor! self, Tensor source)", lambda self, source: (_set(self, source), self)[1], function=False,
          doc="Let this tensor use the memory, shape and strides of another.")
