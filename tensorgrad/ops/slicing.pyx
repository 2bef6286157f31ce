"""Parts of a tensor along one dimension: one index, a slice, or all the pieces."""
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcpy

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dtype cimport TG_BOOL
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty, new_tensor
from tensorgrad.ops.shape cimport read_sizes, sizes_of

from tensorgrad._core.declaration import composite, operator

cdef Operator select, slice_, stack, cat, movedim, select_backward, slice_backward, split_with_sizes
select, slice_, stack, cat, movedim = (handle(n) for n in ("select", "slice", "stack", "cat", "movedim"))
select_backward, slice_backward = handle("select_backward"), handle("slice_backward")
split_with_sizes = handle("split_with_sizes")


cdef TensorBase selected(TensorBase self, int dim, int64_t index):
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int64_t size
    cdef int d, n = 0
    if self.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    if dim < 0 or dim >= self.ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [0, {self.ndim - 1}], but got {dim})")
    size = self.shape[dim]
    if index < -size or index >= size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {sizes_of(self)} at dimension {dim}")
    if index < 0:
        index += size
    for d in range(self.ndim):
        if d != dim:
            shape[n], strides[n] = self.shape[d], self.strides[d]
            n += 1
    return new_tensor(self.storage, self.dtype, n, shape, strides, self.offset + index * self.strides[dim])


cdef object _select(PyObject** a):
    return selected(<TensorBase>a[0], <object>a[1], <object>a[2])


operator("select(Tensor self, Dim dim, int index)", native(_select), view=True,
         vjp={"self": lambda grad, self_shape, dim, index: select_backward(grad, self_shape, dim, index)}, jvp="linear",
         reference="np.take(self, index, dim)", samples=lambda make: [((make(3, 4), 0, 1), {}), ((make(3, 4), 1, -1), {})],
         doc="One index of one dimension, as a view without that dimension.")


cdef TensorBase zeros_for(TensorBase grad, object shape):
    cdef int64_t s[64]
    cdef int n = read_sizes(tuple(shape), s)
    cdef TensorBase x = empty(n, s, grad.dtype, grad.storage.device)
    primitives.fill(x, 0)
    return x


def _select_backward(TensorBase grad, shape, int dim, index):
    cdef TensorBase out = zeros_for(grad, shape)
    primitives.copy(selected(out, dim, index), grad)
    return out


def _part_batch(Operator op):
    """The rule of an operator (grad, shape of the whole, dim, ...) that puts a part into zeros."""
    def rule(batch_size, in_dims, grad, shape, dim, *rest):
        return op(movedim(grad, in_dims[0], 0), (batch_size, *shape), dim + 1, *rest), 0
    return rule


operator("select_backward(Tensor grad_output, Size input_sizes, int dim, int index)", _select_backward, method=False,
         batch=_part_batch(select_backward), vjp={"grad_output": lambda grad, dim, index: select(grad, dim, index)}, jvp="linear",
         internal=True, samples=lambda make: [((make(4), (3, 4), 0, 1), {})],
         doc="Zeros of a shape, but for one index of one dimension: the transpose of `select`.")


cdef TensorBase part(TensorBase self, int dim, int64_t start, int64_t end, int64_t step):
    """Every `step`-th index from `start` below `end`; both are clipped as Python clips them."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int64_t size
    if self.ndim == 0:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    if dim < 0 or dim >= self.ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [0, {self.ndim - 1}], but got {dim})")
    size = self.shape[dim]
    start = min(max(start + size if start < 0 else start, 0), size)
    end = min(max(end + size if end < 0 else end, 0), size)
    memcpy(shape, self.shape, self.ndim * sizeof(int64_t))
    memcpy(strides, self.strides, self.ndim * sizeof(int64_t))
    shape[dim] = 1 + (end - start - 1) // step if end > start else 0
    strides[dim] *= step
    return new_tensor(self.storage, self.dtype, self.ndim, shape, strides, self.offset + (start * self.strides[dim] if size else 0))


cdef object _slice(PyObject** a):
    cdef int64_t start = 0 if <object>a[2] is None else <object>a[2]
    cdef int64_t end = INT64_MAX if <object>a[3] is None else <object>a[3]
    return part(<TensorBase>a[0], <object>a[1], start, end, <object>a[4])


operator("slice(Tensor self, Dim dim=0, int? start=None, int? end=None, int step=1)", native(_slice), view=True,
         vjp={"self": lambda grad, self_shape, dim, start, end, step: slice_backward(grad, self_shape, dim, start, end, step)},
         jvp="linear", internal=True, samples=lambda make: [((make(5, 2), 0, 1, 5, 2), {})],
         reference="self[start:end:step]", doc="Every `step`-th index of one dimension from `start` below `end`, as a view.")


def _slice_backward(TensorBase grad, shape, int dim, start, end, step):
    cdef TensorBase out = zeros_for(grad, shape)
    primitives.copy(part(out, dim, 0 if start is None else start, INT64_MAX if end is None else end, step), grad)
    return out


operator("slice_backward(Tensor grad_output, Size input_sizes, int dim, int? start, int? end, int step)", _slice_backward,
         method=False, batch=_part_batch(slice_backward), internal=True,
         vjp={"grad_output": lambda grad, dim, start, end, step: slice_(grad, dim, start, end, step)}, jvp="linear",
         samples=lambda make: [((make(2, 2), (5, 2), 0, 1, 5, 2), {})],
         doc="Zeros of a shape, but for a slice: the transpose of `slice`.")
cdef object sliced(TensorBase x, int dim, int64_t start, int64_t end):
    """The operator `slice`, called from C."""
    cdef PyObject* a[5]
    cdef object d = dim, first = start, last = end, step = 1
    a[0], a[1], a[2], a[3], a[4] = <PyObject*>x, <PyObject*>d, <PyObject*>first, <PyObject*>last, <PyObject*>step
    return invoke(slice_, a)


cdef object _narrow(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int dim = <object>a[1]
    cdef int64_t start = <object>a[2], length = <object>a[3], size
    if self.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    size = self.shape[dim]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if start < -size or start > size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    if start < 0:
        start += size
    if length > size - start:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return sliced(self, dim, start, start + length)


composite("narrow(Tensor self, Dim dim, int start, int length)", native(_narrow),
          reference="np.take(self, range(start, start + length), dim)", samples=lambda make: [((make(5, 2), 0, 1, 3), {})],
          doc="`length` indices of one dimension from `start` on, as a view.")
composite("narrow(Tensor self, Dim dim, Tensor start, int length)", lambda self, dim, start, length: _narrow_from(self, dim, start, length))


def _narrow_from(self, dim, start, length):
    if start.ndim or start.is_floating_point() or start.is_complex() or (<TensorBase>start).dtype.code == TG_BOOL:
        raise RuntimeError(f"start must be an 0-dim integral Tensor. (narrow got {start.dtype} of shape {list(start.shape)})")
    return handle("narrow")(self, dim, int(start), length)


def _unbind(TensorBase self, int dim):
    if self.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return tuple([selected(self, dim, i) for i in range(self.shape[dim])])


operator("unbind(Tensor self, Dim dim=0) -> Tensor[]", _unbind, view=True, vjp={"self": lambda grads, dim: stack(grads, dim)},
         jvp="linear", samples=lambda make: [((make(3, 2),), {}), ((make(3, 2), 1), {})],
         doc="The indices of one dimension as a tuple of views.")


cdef object _split_with_sizes(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t start = 0, n
    cdef int dim = <object>a[2]
    if self.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    for size in <tuple>a[1]:
        n = size
        if n < 0 or n > self.shape[dim] - start:
            start = -1
            break
        start += n
    if start != self.shape[dim]:
        raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {self.shape[dim]} (input tensor's size at "
                           f"dimension {dim}), but got split_sizes={list(<tuple>a[1])}")
    start = 0
    parts = []
    for size in <tuple>a[1]:
        n = size
        parts.append(part(self, dim, start, start + n, 1))
        start += n
    return tuple(parts)


def _split_batch(batch_size, in_dims, self, sizes, dim):
    parts = split_with_sizes(movedim(self, in_dims[0], 0), sizes, dim + 1)
    return parts, (0,) * len(parts)


operator("split_with_sizes(Tensor self, Size split_sizes, Dim dim=0) -> Tensor[]", native(_split_with_sizes), view=True,
         batch=_split_batch, vjp={"self": lambda grads, dim: cat(grads, dim)}, jvp="linear", node="split_with_sizes",
         samples=lambda make: [((make(5, 2), (2, 3)), {}), ((make(2, 4), (1, 3), 1), {})],
         doc="One dimension cut into parts of the given sizes, as views.")
cdef object _split(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t size = <object>a[1], total, start = 0
    cdef int dim = <object>a[2]
    if self.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    total = self.shape[dim]
    if size < 0 or (size == 0 and total):
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}" if size < 0 else
                           f"split_size can only be 0 if dimension size is 0, but got dimension size of {total}")
    parts = []
    while start < total or not parts:
        parts.append(part(self, dim, start, start + min(size, total - start), 1))
        start += size
    return tuple(parts)


def _equal_split_batch(batch_size, in_dims, self, size, dim):
    parts = split(movedim(self, in_dims[0], 0), size, dim + 1)
    return parts, (0,) * len(parts)


operator("split(Tensor self, int split_size, Dim dim=0) -> Tensor[]", native(_split), view=True, batch=_equal_split_batch,
         vjp={"self": lambda grads, dim: cat(grads, dim)}, jvp="linear", samples=lambda make: [((make(5, 2), 2), {})],
         doc="One dimension cut into parts of a size (the last may be smaller), or of given sizes, as views.")
composite("split(Tensor self, Size split_size, Dim dim=0) -> Tensor[]",
          lambda self, split_size, dim: split_with_sizes(self, split_size, dim),
          samples=lambda make: [((make(5, 2), (2, 3)), {})])
cdef Operator split = handle("split")


cdef object _chunk(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t chunks = <object>a[1], total
    cdef object size
    cdef PyObject* b[3]
    if self.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    total = self.shape[<int><object>a[2]]
    if total == 0:
        return split_with_sizes(self, (0,) * chunks, <object>a[2])
    size = (total - 1) // chunks + 1
    b[0], b[1], b[2] = a[0], <PyObject*>size, a[2]
    return invoke(split, b)


composite("chunk(Tensor self, int chunks, Dim dim=0) -> Tensor[]", native(_chunk),
          samples=lambda make: [((make(5, 2), 3), {})], doc="One dimension cut into at most `chunks` parts, as views.")


composite("tensor_split(Tensor self, int indices_or_sections, Dim dim=0) -> Tensor[]",
          lambda self, n, dim: _tensor_split(self, n, dim), doc="One dimension cut into nearly equal parts, or at given indices.",
          samples=lambda make: [((make(5, 2), 3), {})],
          reference="np.array_split(self, indices_or_sections, dim)")
composite("tensor_split(Tensor self, Size indices_or_sections, Dim dim=0) -> Tensor[]",
          lambda self, indices, dim: tuple([slice_(self, dim, a, b, 1) for a, b in
                                            zip((0, *indices), (*indices, self.size(dim)))]),
          samples=lambda make: [((make(5, 2), (1, 3)), {})],
          reference="np.array_split(self, indices_or_sections, dim)")


composite("tensor_split(Tensor self, Tensor indices_or_sections, Dim dim=0) -> Tensor[]",
          lambda self, where, dim: handle("tensor_split")(self, where.tolist() if where.ndim == 0 else tuple(where.tolist()), dim),
          samples=lambda make: [])


def _tensor_split(self, n, dim):
    if n <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {n}")
    if n > 1 << 24:
        raise RuntimeError(f"tensor_split(): {n} sections are more views than can be made")
    small, extra = divmod(self.size(dim), n)
    ends = [i * small + min(i, extra) for i in range(n + 1)]
    return tuple([slice_(self, dim, start, end, 1) for start, end in zip(ends, ends[1:])])
