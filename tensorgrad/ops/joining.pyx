"""Tensors put together, beside each other or in a new dimension, and repeated."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dtype cimport dtype_of, promote
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty, set_geometry, shape_tuple
from tensorgrad.ops.shape cimport read_sizes, sizes_of, unsqueezed, with_geometry
from tensorgrad.ops.slicing cimport part

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.layout import channels_last, channels_last_3d, strides_of

cdef Operator reshape, expand, unsqueeze, cat, sum_, movedim, split_with_sizes, unbind, clone
reshape, expand, unsqueeze, cat, sum_ = (handle(n) for n in ("reshape", "expand", "unsqueeze", "cat", "sum"))
movedim, split_with_sizes, unbind, clone = (handle(n) for n in ("movedim", "split_with_sizes", "unbind", "clone"))


cdef extern from *:
    """
    #define tg_add_overflows(a, b, result) __builtin_add_overflow((int64_t)(a), (int64_t)(b), result)
    """
    bint tg_add_overflows(int64_t a, int64_t b, int64_t* result) noexcept


cdef enum:
    AT_ONCE = 1 << 14       # bytes; more are copied by threads, without the GIL


cdef TensorBase joined(tuple tensors, int dim):
    cdef TensorBase x, first = None, out
    cdef int64_t shape[64]
    cdef int64_t steps[64]
    cdef int64_t start = 0
    cdef int d, code = -1
    cdef Py_ssize_t i
    if not tensors:
        raise ValueError("tensorgrad.cat(): expected a non-empty list of Tensors")
    for i, item in enumerate(tensors):
        x = <TensorBase>item
        code = x.dtype.code if code < 0 else promote(code, x.dtype.code)
        if x.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {[t is x for t in tensors].index(True)}) cannot be concatenated")
        if x.ndim == 1 and x.numel == 0 and len(tensors) > 1:
            continue        # an empty vector joins anything, as it always did in PyTorch
        if first is None:
            first = x
            if dim < -x.ndim or dim >= x.ndim:
                raise IndexError(f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], but got {dim})")
            if dim < 0:
                dim += x.ndim
            for d in range(x.ndim):
                shape[d] = x.shape[d]
            shape[dim] = 0
        elif x.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {x.ndim}")
        for d in range(x.ndim):
            if d != dim and x.shape[d] != shape[d]:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size {shape[d]} but got size "
                                   f"{x.shape[d]} for tensor number {i} in the list.")
        if x.storage.device is not first.storage.device:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, "
                               f"{first.storage.device} and {x.storage.device}! (cat)")
        if tg_add_overflows(shape[dim], x.shape[dim], &shape[dim]):
            raise RuntimeError(f"cat(): the sizes along dimension {dim} add up to more than a tensor can have")
    if first is None:
        first, dim = tensors[0], 0
        shape[0] = 0
    out = empty(first.ndim, shape, dtype_of(code), first.storage.device)
    if (first.ndim == 4 or first.ndim == 5) and not first.flags & CONTIGUOUS:
        order = channels_last if first.ndim == 4 else channels_last_3d
        # so is what they are joined to
        if all([x.is_contiguous(memory_format=order) for x in tensors if x.ndim == first.ndim]):
            strides = strides_of(order, shape_tuple(out))
            for d in range(first.ndim):
                steps[d] = strides[d]
            set_geometry(out, first.ndim, shape, steps)
    for item in tensors:
        x = <TensorBase>item
        if x.numel:
            put(x, out, dim, start, x.shape[dim], False)
            start += x.shape[dim]
    return out


cdef int put(TensorBase x, TensorBase out, int dim, int64_t start, int64_t length, bint new_dim) except -1:
    """Write `x` into indices `start` to `start + length` of dimension `dim` of a fresh tensor, which `x` may lack."""
    cdef int64_t width
    cdef TensorBase target
    if x.flags & out.flags & CONTIGUOUS and x.dtype is out.dtype and x.storage.data != NULL and x.numel * out.dtype.itemsize <= AT_ONCE:
        width = out.strides[dim]
        if width * length == x.numel:       # nothing lies around it
            memcpy(out.storage.data + (out.offset + start * width) * out.dtype.itemsize,
                   x.storage.data + x.offset * x.dtype.itemsize, x.numel * x.dtype.itemsize)
            return 0
    target = part(out, dim, start, start + length, 1)
    return primitives.copy(target, unsqueezed(x, dim) if new_dim else x)


cdef object _cat(PyObject** a):
    return joined(<tuple>a[0], <object>a[1])


def _cat_vjp(grad, tensors_shape, dim):
    empty_vectors = [len(s) == 1 and s[0] == 0 for s in tensors_shape]
    if dim < 0:
        dim += grad.ndim
    sizes = [0 if gone else s[dim] for s, gone in zip(tensors_shape, empty_vectors)]
    parts = split_with_sizes(grad, tuple(sizes), dim)
    return [reshape(p, s) if gone else p for p, s, gone in zip(parts, tensors_shape, empty_vectors)]


def _cat_batch(batch_size, in_dims, tensors, dim):
    """Empty vectors, which join anything, are left out: with a batch in front they would be empty matrices."""
    ranks = [x.ndim - (d is not None) for x, d in zip(tensors, in_dims[0])]
    kept = [(x, d) for x, d, r in zip(tensors, in_dims[0], ranks) if not (r == 1 and x.numel() == 0)] or list(zip(tensors, in_dims[0]))
    parts = [expand(x, (batch_size, *x.shape)) if d is None else movedim(x, d, 0) for x, d in kept]
    return cat(tuple(parts), dim + 1 if dim >= 0 else dim), 0


operator("cat(Tensor[] tensors, int dim=0)", native(_cat), batch=_cat_batch, vjp={"tensors": _cat_vjp}, jvp="linear",
         aliases=("concat", "concatenate"),
         method=False, reference="np.concatenate(tensors, dim)",
         samples=lambda make: [(((make(2, 3), make(1, 3)),), {}), (((make(2, 3), make(2, 1)), 1), {})],
         doc="""Tensors joined along a dimension that they have.

    Examples
    --------
    >>> tensorgrad.cat([tensorgrad.tensor([1, 2]), tensorgrad.tensor([3])])
    tensor([1, 2, 3])
    """)


cdef object _stack(PyObject** a):
    cdef tuple tensors = <tuple>a[0]
    cdef int d, dim = <object>a[1], code = -1
    cdef int64_t shape[64]
    cdef TensorBase x, first, out
    cdef Py_ssize_t i
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    for i in range(len(tensors)):
        x = tensors[i]
        if x.ndim != first.ndim or memcmp(x.shape, first.shape, x.ndim * sizeof(int64_t)):
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {sizes_of(first)} at entry 0 and "
                               f"{sizes_of(x)} at entry {i}")
        if x.storage.device is not first.storage.device:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, "
                               f"{first.storage.device} and {x.storage.device}! (stack)")
        code = x.dtype.code if code < 0 else promote(code, x.dtype.code)
    if first.ndim == 64:
        raise RuntimeError("tensors have at most 64 dimensions, got 65")
    for d in range(first.ndim):
        shape[d + (d >= dim)] = first.shape[d]
    shape[dim] = len(tensors)
    out = empty(first.ndim + 1, shape, dtype_of(code), first.storage.device)
    for i in range(len(tensors) if first.numel else 0):
        put(<TensorBase>tensors[i], out, dim, i, 1, True)
    return out


operator("stack(Tensor[] tensors, NewDim dim=0)", native(_stack), vjp={"tensors": lambda grad, dim: list(unbind(grad, dim))},
         jvp="linear", method=False, reference="np.stack(tensors, dim)",
         samples=lambda make: [(((make(2, 3), make(2, 3)),), {}), (((make(2), make(2)), -1), {})],
         doc="Tensors of one shape joined along a new dimension.")


def _some(tensors, name):
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


composite("hstack(Tensor[] tensors)",
          lambda tensors: cat(tuple([reshape(x, (1,)) if x.ndim == 0 else x for x in _some(tensors, "hstack")]),
                              0 if tensors[0].ndim < 2 else 1), method=False,
          reference="np.hstack(tensors)", samples=lambda make: [(((make(2, 3), make(2, 1)),), {})],
          doc="Tensors joined side by side: along the second dimension, vectors along their only one.")
composite("vstack(Tensor[] tensors)",
          lambda tensors: cat(tuple([reshape(x, (1, -1)) if x.ndim < 2 else x for x in _some(tensors, "vstack")]), 0),
          method=False, reference="np.vstack(tensors)", samples=lambda make: [(((make(3), make(3)),), {})],
          aliases=("row_stack",), doc="Tensors joined on top of one another; vectors are rows.")
composite("dstack(Tensor[] tensors)", lambda tensors: cat(tuple([_at_least_3d(x) for x in _some(tensors, "dstack")]), 2),
          method=False,
          reference="np.dstack(tensors)", samples=lambda make: [(((make(2, 3), make(2, 3)),), {})],
          doc="Tensors joined along the third dimension.")
composite("column_stack(Tensor[] tensors)",
          lambda tensors: cat(tuple([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in _some(tensors, "column_stack")]), 1), method=False,
          reference="np.column_stack(tensors)", samples=lambda make: [(((make(3), make(3)),), {})],
          doc="Vectors as the columns of a matrix.")


def _at_least_3d(x):
    if x.ndim == 0:
        return reshape(x, (1, 1, 1))
    return x[None, :, None] if x.ndim == 1 else x.unsqueeze(2) if x.ndim == 2 else x


composite("atleast_1d(Tensor self)", lambda self: reshape(self, (1,)) if self.ndim == 0 else self, method=False,
          doc="A scalar as a vector; anything else as it is.",
          samples=lambda make: [((make(),), {}), ((make(2),), {})],
          reference="np.atleast_1d(self)")
composite("atleast_2d(Tensor self)", lambda self: reshape(self, (1, -1)) if self.ndim < 2 else self, method=False,
          doc="A scalar or vector as a matrix of one row; anything else as it is.",
          samples=lambda make: [((make(),), {}), ((make(2),), {}), ((make(2, 3),), {})],
          reference="np.atleast_2d(self)")
composite("atleast_3d(Tensor self)", _at_least_3d, method=False, doc="A view with at least three dimensions.",
          samples=lambda make: [((make(),), {}), ((make(2),), {}), ((make(2, 3),), {})],
          reference="np.atleast_3d(self)")


for _n in "123":
    composite(f"atleast_{_n}d(Tensor... tensors) -> Tensor[]",
              lambda tensors, one=handle(f"atleast_{_n}d"): tuple([one(x) for x in tensors]), samples=lambda make: [])


cdef object _repeat_forward(PyObject** a):
    """Written through a view in which each dimension is two, one of which runs over the copies."""
    cdef TensorBase self = <TensorBase>a[0], out, target, source
    cdef int64_t times[64]
    cdef int64_t shape[64]
    cdef int64_t wide[64]
    cdef int64_t strides[64]
    cdef int64_t from_[64]
    cdef int64_t step = 1, size
    cdef int n = read_sizes(<object>a[1], times), shift = n - self.ndim, d
    if shift < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if n > 32:
        raise RuntimeError(f"repeat: tensors of at most 32 dimensions are repeated, got {n}")
    for d in range(n - 1, -1, -1):
        if times[d] < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {times[d]}: {list(<object>a[1])}")
        size = self.shape[d - shift] if d >= shift else 1
        shape[d], wide[2 * d], wide[2 * d + 1] = times[d] * size, times[d], size
        strides[2 * d + 1], strides[2 * d] = step, step * size
        from_[2 * d], from_[2 * d + 1] = 0, self.strides[d - shift] if d >= shift else 0
        step *= shape[d]
    out = empty(n, shape, self.dtype, self.storage.device)
    if out.numel:
        target = with_geometry(out, 2 * n, wide, strides)
        source = with_geometry(self, 2 * n, wide, from_)
        primitives.copy(target, source)
    return out


def _repeat_vjp(grad, self_shape, repeats):
    """The sum over the copies."""
    shape = (1,) * (len(repeats) - len(self_shape)) + tuple(self_shape)
    if not shape:
        return grad
    pairs = reshape(grad, tuple([m for pair in zip(repeats, shape) for m in pair]))
    return reshape(sum_(pairs, tuple(range(0, 2 * len(shape), 2))), self_shape)


def _repeat_batch(batch_size, in_dims, self, repeats):
    x = movedim(self, in_dims[0], 0)
    x = reshape(x, (batch_size,) + (1,) * (len(repeats) + 1 - x.ndim) + tuple(x.shape[1:]))
    return repeat(x, (1, *repeats)), 0


operator("repeat(Tensor self, Size repeats)", native(_repeat_forward), vjp={"self": _repeat_vjp}, jvp="linear", batch=_repeat_batch,
         function=False, reference="np.tile(self, repeats)", samples=lambda make: [((make(2, 3), (2, 2)), {}), ((make(3), (2, 1)), {})],
         doc="The whole tensor repeated along each dimension.")
cdef Operator repeat = handle("repeat")


composite("tile(Tensor self, Size dims)", lambda self, dims: repeat(self, (1,) * (self.ndim - len(dims)) + tuple(dims)),
          reference="np.tile(self, dims)", samples=lambda make: [((make(2, 3), (2,)), {})],
          doc="The tensor repeated as NumPy's `tile` does it.")
composite("repeat_interleave(Tensor self, int repeats, Dim? dim=None)", lambda self, repeats, dim: _interleave(self, repeats, dim),
          reference="np.repeat(self, repeats, dim)", samples=lambda make: [((make(2, 3), 2, 1), {}), ((make(2, 3), 2), {})],
          doc="Each index of a dimension repeated.")
composite("repeat_interleave(Tensor self, Tensor repeats, Dim? dim=None, *, int? output_size=None)",
          lambda self, repeats, dim, output_size: _interleave_each(self, repeats, dim), samples=lambda make: [])


def _interleave_each(self, repeats, dim):
    """A number of repetitions for each index of its own."""
    if dim is None:
        self, dim = reshape(self, (-1,)), 0
    if repeats.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    counts = [repeats.item()] * self.size(dim) if repeats.numel() == 1 else repeats.tolist()
    if len(counts) != self.size(dim):
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = {len(counts)} and "
                           f"input.size({dim}) = {self.size(dim)}")
    if any([n < 0 for n in counts]):
        raise RuntimeError("repeats can not be negative")
    shape = list(self.shape)
    pieces = [expand(self.narrow(dim, i, 1), tuple(shape[:dim] + [n] + shape[dim + 1:])) for i, n in enumerate(counts)]
    return cat(tuple(pieces), dim) if pieces else clone(self)


def _interleave(self, repeats, dim):
    if dim is None:
        self, dim = reshape(self, (-1,)), 0
    shape = list(self.shape)
    wide = expand(unsqueeze(self, dim + 1), tuple(shape[:dim + 1] + [repeats] + shape[dim + 1:]))
    return reshape(clone(wide), tuple(shape[:dim] + [shape[dim] * repeats] + shape[dim + 1:]))
