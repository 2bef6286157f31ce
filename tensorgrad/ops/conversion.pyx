"""Copies of tensors, their conversion between dtypes and devices, and memory that is given to another tensor."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport as_device, cpu, memory_device
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, call1, handle
from tensorgrad._core.types cimport (
    CONTIGUOUS, INFERENCE, REQUIRES_GRAD, TensorBase, alias, bump, device_of, empty, new_tensor, set_geometry, version_of)
from tensorgrad.ops.creation cimport empty_like, in_order

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.dtype import names
from tensorgrad._core.layout import contiguous_format, preserve_format
from tensorgrad._core.primitives import hurried
from tensorgrad.ops.creation import _like

cdef Operator clone = handle("clone")
cdef Operator zeros_like, to_copy, copy_, expand, _packed_clone
zeros_like, to_copy, copy_, expand = (handle(n) for n in ("zeros_like", "_to_copy", "copy_", "expand"))
_packed_clone = handle("_packed_clone")


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
         vjp={"self": lambda grad: zeros_like(grad), "src": lambda grad: grad},
         jvp=lambda self, src_t: zeros_like(self) if src_t is None else expand(src_t, self.shape), function=False,
         node="CopyBackwards", doc="Copy the elements of `src` into this tensor, broadcast and converted; returns this tensor.")
cdef object _fill_(PyObject** a):
    primitives.fill(<TensorBase>a[0], <object>a[1])


cdef object _zero_(PyObject** a):
    primitives.fill(<TensorBase>a[0], 0)


operator("fill_(Tensor! self, Number value)", native(_fill_),
         vjp={"self": lambda grad: zeros_like(grad)}, jvp=lambda self: zeros_like(self), node="fill", function=False,
         doc="Fill this tensor with a number.")
composite("fill_(Tensor! self, Tensor value)", lambda self, value: _fill_with(self, value), function=False)


def _fill_with(self, value):
    if value.ndim != 0:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return copy_(self, value)


operator("zero_(Tensor! self)", native(_zero_), vjp={"self": lambda grad: zeros_like(grad)},
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
