"""Broadcasting: `expand`, its transpose, and the shape that several shapes have in common."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport fused, primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.primitives cimport has_shape
from tensorgrad._core.types cimport TensorBase, empty, new_tensor
from tensorgrad.ops.shape cimport read_sizes, sizes_of, with_geometry

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.size import Size

cdef Operator reshape, expand, sum_, movedim, sum_to_size
reshape, expand, sum_, movedim, sum_to_size = (handle(n) for n in ("reshape", "expand", "sum", "movedim", "sum_to_size"))


cdef object _expand(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef object size = <object>a[1]
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int64_t n
    cdef int ndim = read_sizes(size, shape), shift = ndim - self.ndim, d
    if shift < 0:
        raise RuntimeError(f"expand(tensor of shape {sizes_of(self)}, size={list(size)}): the number of sizes provided "
                           f"({ndim}) must be greater or equal to the number of dimensions in the tensor ({self.ndim})")
    for d in range(ndim):
        if d < shift:
            if shape[d] < 0:
                raise RuntimeError(f"The expanded size of the tensor ({shape[d]}) isn't allowed in a leading, non-existing "
                                   f"dimension {d}")
            strides[d] = 0
            continue
        n = self.shape[d - shift]
        if shape[d] < -1:
            raise RuntimeError(f"expand(): negative size {shape[d]} at dimension {d}; -1 keeps the size, any other must not be negative")
        if shape[d] == -1:
            shape[d] = n
        if n == shape[d]:
            strides[d] = self.strides[d - shift]
        elif n == 1:
            strides[d] = 0
        else:
            raise RuntimeError(f"The expanded size of the tensor ({shape[d]}) must match the existing size ({n}) at non-singleton "
                               f"dimension {d}.  Target sizes: {list(size)}.  Tensor sizes: {sizes_of(self)}")
    return with_geometry(self, ndim, shape, strides)


def _expand_batch(batch_size, in_dims, self, size, implicit):
    x = movedim(self, in_dims[0], 0)
    missing = len(size) - (x.ndim - 1)
    if missing > 0:
        x = reshape(x, (batch_size,) + (1,) * missing + tuple(x.shape[1:]))
    return expand(x, (batch_size, *size)), 0


operator("expand(Tensor self, Size size, *, bool implicit=False)", native(_expand), view=True, batch=_expand_batch,
         vjp={"self": lambda grad, self_shape: sum_to_size(grad, self_shape)}, jvp="linear", function=False,
         samples=lambda make: [((make(3, 1), (3, 4)), {}), ((make(3), (2, 3)), {})], reference="np.broadcast_to(self, size)",
         doc="A view in which dimensions of size one are repeated, without memory of their own.")
composite("expand_as(Tensor self, Tensor other)", lambda self, other: expand(self, other.shape), function=False,
          doc="`expand` to the shape of another tensor.",
          samples=lambda make: [((make(3, 1), make(3, 4, requires_grad=False)), {})],
          reference="np.broadcast_to(self, other.shape)")
composite("broadcast_to(Tensor self, Size size)", lambda self, size: expand(self, size), doc="`expand` as a function.",
          reference="np.broadcast_to(self, size)", samples=lambda make: [((make(3, 1), (3, 4)), {})])
cdef TensorBase summed_to(TensorBase x, tuple size):
    """`x` summed to `size` where that is one call of a kernel, which nothing records; None elsewhere, and for a wrong size."""
    cdef int n = <int>len(size), shift = x.ndim - n, d
    cdef int64_t shape[64]
    cdef TensorBase out
    if shift < 0 or not fused.is_plain(x):
        return None
    for d in range(x.ndim):
        shape[d] = 1 if d < shift else size[d - shift]
        if shape[d] != 1 and shape[d] != x.shape[d]:
            return None
    if has_shape(x, x.ndim, shape) and shift == 0:
        return x
    out = empty(x.ndim, shape, x.dtype, x.storage.device)
    primitives.reduce(primitives.REDUCE_SUM, out, x)
    return new_tensor(out.storage, out.dtype, n, &shape[shift], &out.strides[shift], 0) if shift else out


cdef object _sum_to_size(PyObject** a):
    cdef TensorBase out = summed_to(<TensorBase>a[0], <tuple>a[1])
    return _sum_to(<TensorBase>a[0], <tuple>a[1]) if out is None else out


cdef object _sum_to(TensorBase self, tuple size):
    cdef int shift = self.ndim - <int>len(size), d
    if shift < 0 or any([size[d] not in (1, self.shape[shift + d]) for d in range(len(size))]):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{sizes_of(self)}}}.")
    dims = list(range(shift)) + [shift + d for d in range(len(size)) if size[d] == 1 and self.shape[shift + d] != 1]
    if not dims:
        return sum_(self) if not len(size) and self.dtype.category < CAT_FLOAT else self
    out = sum_(self, tuple(dims), True)
    return reshape(out, tuple(size)) if shift else out


composite("sum_to_size(Tensor self, Size size)", native(_sum_to_size), function=False,
          doc="Sum over the dimensions that broadcasting to this tensor's shape had repeated: the transpose of `expand`.",
          samples=lambda make: [((make(2, 3, 4), (3, 1)), {})],
          reference="np.sum(self, axis=(0, 2), keepdims=True)[0]")


composite("broadcast_tensors(Tensor... tensors) -> Tensor[]", lambda tensors: _broadcast_all(tensors), method=False,
          doc="Tensors expanded to their common shape, as views.",
          samples=lambda make: [(((make(3, 1), make(4)),), {})],
          reference="np.broadcast_arrays(*tensors)")


def _broadcast_all(tensors):
    shape = ()
    for x in tensors:
        for d in range(1, min(len(shape), x.ndim) + 1):
            if shape[-d] != x.shape[-d] and shape[-d] != 1 and x.shape[-d] != 1:
                raise RuntimeError(f"The size of tensor a ({shape[-d]}) must match the size of tensor b ({x.shape[-d]}) at non-singleton "
                                   f"dimension {max(len(shape), x.ndim) - d}")
        shape = _broadcast_shape(shape, tuple(x.shape))
    return tuple([x if tuple(x.shape) == shape else expand(x, shape) for x in tensors])


def _broadcast_shape(a, b):
    if len(a) < len(b):
        a, b = b, a
    shape = list(a)
    for i in range(1, len(b) + 1):
        if b[-i] != 1 and shape[-i] != b[-i]:
            if shape[-i] != 1:
                raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape")
            shape[-i] = b[-i]
    return tuple(shape)


def broadcast_shapes(*shapes):
    """The common shape of several.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.broadcast_shapes((2, 1), (3,))
    tensorgrad.Size([2, 3])
    """
    shape = ()
    for s in shapes:
        shape = _broadcast_shape(shape, (s,) if isinstance(s, int) else tuple(s))
    return Size(shape)


cdef object _is_same_size(PyObject** a):
    return has_shape(<TensorBase>a[0], (<TensorBase>a[1]).ndim, (<TensorBase>a[1]).shape)


composite("is_same_size(Tensor self, Tensor other) -> bool", native(_is_same_size), doc="""Whether two tensors have the same shape.

    Examples
    --------
    >>> tensorgrad.is_same_size(tensorgrad.ones(2, 3), tensorgrad.zeros(2, 3))
    True
    """)
