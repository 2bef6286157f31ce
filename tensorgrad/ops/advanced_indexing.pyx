"""Tensors as indices of several dimensions: `index`, `index_put` and the derivatives of both."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport CAT_INT, TG_BOOL, TG_F32, TG_F64, TG_I64, TG_U8, dtype_of
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.primitives cimport SCATTER_ADD, SCATTER_SET
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty, memory, new_tensor, shape_tuple
from tensorgrad.ops.indexing cimport _mask_indices, _title

from tensorgrad._core.declaration import operator

cdef Operator select, index, index_put_, index_backward, to, expand, reshape, permute, movedim, arange, where, zeros, zeros_like
cdef Operator broadcast_tensors, clone
select, index, index_put_, index_backward, to = (handle(n) for n in ("select", "index", "index_put_", "index_backward", "to"))
expand, reshape, permute, movedim, arange = (handle(n) for n in ("expand", "reshape", "permute", "movedim", "arange"))
where, zeros, zeros_like, broadcast_tensors = (handle(n) for n in ("where", "zeros", "zeros_like", "broadcast_tensors"))
clone = handle("clone")


cdef extern from "rows.h":
    enum: TG_MAX_INDICES
    ctypedef struct tg_places:
        int count, bad_dim
        int64_t n, bad
        const int64_t* at[8]
        int64_t step[8]
        int64_t size[8]
        int64_t stride[8]
    int tg_take_rows(tg_places* p, char* out, const char* x, int64_t size) noexcept nogil
    int tg_add_rows_f32(tg_places* p, float* out, const float* x, int64_t row) noexcept nogil
    int tg_add_rows_f64(tg_places* p, double* out, const double* x, int64_t row) noexcept nogil


cdef class Plan:
    """How advanced indices address a tensor: indexed dimensions first, flattened into one."""
    cdef tuple order            # the permutation that brings indexed dimensions to the front
    cdef int n_indexed          # how many there are
    cdef bint adjacent          # then their result stays where the first of them was
    cdef int first
    cdef tuple index_shape
    cdef tuple rest
    cdef int64_t flat_size
    cdef TensorBase linear      # 1-D int64, in range


cdef Plan make_plan(TensorBase x, tuple indices):
    cdef Plan p = Plan.__new__(Plan)
    cdef TensorBase t
    cdef int64_t size, step = 1
    if any([i is not None and (<TensorBase>i).dtype.code in (TG_BOOL, TG_U8) for i in indices]):
        indices = _without_masks(x, indices)
    where_ = [d for d, i in enumerate(indices) if i is not None]
    if len(indices) > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim} (got {len(indices)})")
    if not where_:
        raise IndexError("index: at least one of the indices must be a tensor, but there is none")
    p.n_indexed = <int>len(where_)
    p.first = where_[0]
    p.adjacent = where_[p.n_indexed - 1] - where_[0] == p.n_indexed - 1
    others = [d for d in range(x.ndim) if d not in where_]
    p.order = tuple(where_ + others)
    p.rest = tuple([x.shape[d] for d in others])
    try:
        tensors = broadcast_tensors(tuple([indices[d] for d in where_]))
    except RuntimeError:
        shapes = ", ".join([str(list(indices[d].shape)) for d in where_])
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}") from None
    p.index_shape = tuple(tensors[0].shape)
    linear = None
    for d, i in reversed(list(zip(where_, tensors))):
        size = x.shape[d]
        t = i
        if t.dtype.category != CAT_INT:
            raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors (dimension {d} has one of {t.dtype.name})")
        t = t if t.dtype.code == TG_I64 else to(t, dtype_of(TG_I64))
        if t.storage.device is not x.storage.device:
            if t.storage.device.table == NULL:
                raise RuntimeError(f"indices should be either on cpu or on the same device as the indexed tensor ({x.storage.device}), "
                                   f"but one is on {t.storage.device}")
            t = to(t, x.storage.device)
        t = checked(t, size, d)
        linear = t if linear is None else linear + t * step
        step *= size
    p.flat_size = step
    p.linear = reshape(linear, (-1,))
    return p


cdef tuple _without_masks(TensorBase x, tuple indices):
    """Each mask replaced by the indices of its true elements."""
    cdef list plain = []
    masks = dtype_of(TG_BOOL), dtype_of(TG_U8)
    if sum([1 if i is None or i.dtype not in masks else i.ndim for i in indices]) > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim} (got {len(indices)})")
    for i in indices:
        if i is not None and (<TensorBase>i).dtype.code in (TG_BOOL, TG_U8):
            plain.extend(_mask_indices(i, x, len(plain)))
        else:
            plain.append(i)
    return tuple(plain)


cdef TensorBase checked(TensorBase t, int64_t size, int dim):
    """Indices in range and non-negative, or IndexError."""
    if t.numel == 0:
        return t
    low, high = t.min().item(), t.max().item()
    if low < -size or high >= size:
        bad = low if low < -size else high
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {size}")
    return where(t < 0, t + size, t) if low < 0 else t


cdef TensorBase take_rows(TensorBase flat, TensorBase linear):
    """Rows of a 2-or-more-D tensor."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d
    cdef TensorBase out, wide
    shape[0] = linear.numel
    strides[0] = linear.strides[0] if linear.ndim else 1
    for d in range(1, flat.ndim):
        shape[d], strides[d] = flat.shape[d], 0
    out = empty(flat.ndim, shape, flat.dtype, flat.storage.device)
    wide = new_tensor(linear.storage, linear.dtype, flat.ndim, shape, strides, linear.offset)
    primitives.gather(out, flat, 0, wide, "index")
    return out


cdef bint read_places(tg_places* p, TensorBase x, tuple indices) noexcept:
    """Fill `p` for index tensors of int64 and one shape at the leading dimensions, all on the CPU; False for any others."""
    cdef Py_ssize_t k, n = len(indices)
    cdef TensorBase t, first
    cdef int d
    while n and indices[n - 1] is None:
        n -= 1
    if n == 0 or n > TG_MAX_INDICES or n > x.ndim or x.storage.device is not cpu or indices[0] is None:
        return False
    first = <TensorBase>indices[0]
    for k in range(n):
        if indices[k] is None:
            return False
        t = <TensorBase>indices[k]
        if t.dtype.code != TG_I64 or t.storage is None or t.storage.device is not cpu or t.ndim != first.ndim:
            return False
        if not (t.flags & CONTIGUOUS or t.ndim == 1):
            return False
        for d in range(t.ndim):
            if t.shape[d] != first.shape[d]:
                return False
        p.at[k] = <const int64_t*>memory(t)
        p.step[k] = t.strides[0] if t.ndim == 1 else 1
        p.size[k] = x.shape[k]
        p.stride[k] = x.strides[k]
    p.n, p.count = first.numel, n
    return True


cdef bint is_row(TensorBase x, int first) noexcept:
    """Whether the dimensions from `first` on lie in memory as one."""
    cdef int64_t step = 1
    cdef int d
    for d in range(x.ndim - 1, first - 1, -1):
        if x.shape[d] != 1 and x.strides[d] != step:
            return False
        step *= x.shape[d]
    return True


cdef object _index(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0], first, out
    cdef tuple indices = <tuple>a[1]
    cdef tg_places p
    cdef int64_t shape[64]
    cdef int64_t row
    cdef int d, n = 0, status
    cdef char* o
    cdef char* x
    if not read_places(&p, self, indices) or not is_row(self, p.count):
        return _index_any(self, indices)
    first = <TensorBase>indices[0]
    if first.ndim + self.ndim - p.count > 64:
        return _index_any(self, indices)
    for d in range(first.ndim):
        shape[n] = first.shape[d]
        n += 1
    row = self.dtype.itemsize
    for d in range(p.count, self.ndim):
        shape[n] = self.shape[d]
        row *= self.shape[d]
        n += 1
    for d in range(p.count):
        p.stride[d] *= <int64_t>self.dtype.itemsize
    out = empty(n, shape, self.dtype, cpu)
    o, x = memory(out), memory(self)
    with nogil:
        status = tg_take_rows(&p, o, x, row)
    if status:
        raise IndexError(f"index {p.bad} is out of bounds for dimension {p.bad_dim} with size {self.shape[p.bad_dim]}")
    return out


cdef TensorBase _index_any(TensorBase self, tuple indices):
    cdef Plan p = make_plan(self, indices)
    flat = reshape(permute(self, p.order), (p.flat_size, *p.rest))
    out = reshape(take_rows(flat, p.linear), p.index_shape + p.rest)
    return _index_dims_to(out, len(p.index_shape), p.first) if p.adjacent and p.first else out


def _index_dims_to(x, n, position):
    """Move the first `n` dimensions behind the next `position` ones."""
    order = list(range(n, n + position)) + list(range(n)) + list(range(n + position, x.ndim))
    return permute(x, tuple(order))


def _put_values(TensorBase self, tuple indices, TensorBase values, int mode):
    """Write `values`, broadcast to the shape of self[indices], into `self` (which has memory)."""
    cdef Plan p = make_plan(self, indices)
    cdef TensorBase target, flat, wide, v
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d
    result_shape = p.index_shape + p.rest
    if p.adjacent and p.first:
        result_shape = p.rest[:p.first] + p.index_shape + p.rest[p.first:]
    n = len(p.index_shape)
    if values.storage.device is not self.storage.device:
        if values.ndim or values.storage.device.table == NULL:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {self.storage.device} "
                               f"and {values.storage.device}! (index_put_: move one of them with .to(device))")
        values = to(values, self.storage.device)
    if shape_tuple(values) != result_shape:
        try:
            values = expand(values, result_shape)
        except RuntimeError:
            raise RuntimeError(f"shape mismatch: value tensor of shape {list(shape_tuple(values))} cannot be broadcast to "
                               "indexing result of "
                               f"shape {list(result_shape)}") from None
    if p.adjacent and p.first:
        order = list(range(p.first, p.first + n)) + list(range(p.first)) + list(range(p.first + n, values.ndim))
        values = permute(values, tuple(order))
    v = reshape(values, (p.linear.numel, *p.rest))
    target = permute(self, p.order)
    direct = bool(target.flags & CONTIGUOUS)
    flat = reshape(target, (p.flat_size, *p.rest))
    shape[0], strides[0] = p.linear.numel, p.linear.strides[0]
    for d in range(1, flat.ndim):
        shape[d], strides[d] = flat.shape[d], 0
    wide = new_tensor(p.linear.storage, p.linear.dtype, flat.ndim, shape, strides, p.linear.offset)
    primitives.scatter(flat, 0, wide, v, mode, "index_put_")
    if not direct:
        primitives.copy(target, reshape(flat, shape_tuple(target)))


def _index_put(TensorBase self, indices, TensorBase values, accumulate):
    if values.dtype is not self.dtype:
        raise RuntimeError(f"Index put requires the source and destination dtypes match, got {_title(self)} for the destination and "
                           f"{_title(values)} for the source.")
    _put_values(self, indices, values, SCATTER_ADD if accumulate else SCATTER_SET)


def _index_backward(TensorBase grad, sizes, indices):
    cdef TensorBase out = zeros(sizes, dtype=grad.dtype, device=grad.storage.device)
    cdef tg_places p
    cdef int64_t row = 1
    cdef int d, status
    cdef char* o
    cdef char* g
    if grad.dtype.code in (TG_F32, TG_F64) and grad.flags & CONTIGUOUS and read_places(&p, out, indices):
        for d in range(p.count, out.ndim):
            row *= out.shape[d]
        if p.n * row == grad.numel:
            o, g = memory(out), memory(grad)
            with nogil:
                if grad.dtype.code == TG_F32:
                    status = tg_add_rows_f32(&p, <float*>o, <float*>g, row)
                else:
                    status = tg_add_rows_f64(&p, <double*>o, <double*>g, row)
            if status:
                raise IndexError(f"index {p.bad} is out of bounds for dimension {p.bad_dim} with size {out.shape[p.bad_dim]}")
            return out
    _put_values(out, indices, grad, SCATTER_ADD)
    return out


def _batch_indices(batch_size, dims, indices, n):
    """Index tensors with their batch dimension in front, of equal rank behind it."""
    result = []
    for i, d in zip(indices, dims):
        if i is not None and d is not None:
            i = movedim(i, d, 0)
            i = reshape(i, (batch_size,) + (1,) * (n - i.ndim + 1) + tuple(i.shape[1:]))
        result.append(i)
    return result


def _index_rank(dims, indices):
    return max([i.ndim - (d is not None) for i, d in zip(indices, dims) if i is not None])


def _index_batch(batch_size, in_dims, self, indices):
    self_dim, dims = in_dims
    n = _index_rank(dims, indices)
    where_ = [k for k, i in enumerate(indices) if i is not None]
    adjacent = where_[-1] - where_[0] == len(where_) - 1
    place = where_[0] if adjacent else 0
    batched = _batch_indices(batch_size, dims, indices, n)
    if self_dim is None:
        return index(self, tuple(batched)), place
    x = movedim(self, self_dim, 0)
    if all([d is None for d in dims]):
        # an unindexed batch dimension in front: behind the index dimensions when those go first
        return index(x, (None, *batched)), (0 if adjacent else n)
    rows = reshape(arange(batch_size, device=x.device), (batch_size,) + (1,) * n)
    out = index(x, (rows, *batched))
    if adjacent and place:          # the batch index took the others to the front
        out = movedim(out, tuple(range(1, n + 1)), tuple(range(place + 1, place + n + 1))) if where_[0] != 0 else out
    return out, 0


def _index_backward_batch(batch_size, in_dims, grad, sizes, indices):
    grad_dim, _, dims = in_dims
    n = _index_rank(dims, indices)
    where_ = [k for k, i in enumerate(indices) if i is not None]
    adjacent = where_[-1] - where_[0] == len(where_) - 1
    g = expand(grad, (batch_size, *grad.shape)) if grad_dim is None else movedim(grad, grad_dim, 0)
    rows = reshape(arange(batch_size, device=g.device), (batch_size,) + (1,) * n)
    batched = _batch_indices(batch_size, dims, indices, n)
    if adjacent and where_[0]:      # with the batch index the index dimensions come first
        place = where_[0]
        g = movedim(g, tuple(range(place + 1, place + n + 1)), tuple(range(1, n + 1)))
    return index_backward(g, (batch_size, *sizes), (rows, *batched)), 0


def _index_put_batch(batch_size, in_dims, self, indices, values, accumulate):
    self_dim, dims, values_dim, _ = in_dims
    n = _index_rank(dims, indices)
    where_ = [k for k, i in enumerate(indices) if i is not None]
    adjacent = where_[-1] - where_[0] == len(where_) - 1
    x = movedim(self, self_dim, 0)
    result = tuple(index(x[0].detach(), tuple([None if i is None else (i if d is None else select(i, d, 0))
                                               for i, d in zip(indices, dims)])).shape)
    v = values if values_dim is None else movedim(values, values_dim, 0)
    logical = v.ndim - (values_dim is not None)
    v = reshape(v, (1 if values_dim is None else batch_size,) + (1,) * (len(result) - logical)
                + tuple(v.shape[(values_dim is not None):]))
    v = expand(v, (batch_size, *result))
    if adjacent and where_[0]:
        place = where_[0]
        v = movedim(v, tuple(range(place + 1, place + n + 1)), tuple(range(1, n + 1)))
    rows = reshape(arange(batch_size, device=x.device), (batch_size,) + (1,) * n)
    index_put_(x, (rows, *_batch_indices(batch_size, dims, indices, n)), v, accumulate)
    return self, 0


operator("index(Tensor self, Indices indices)", native(_index), batch=_index_batch, method=False, internal=True,
         vjp={"self": lambda grad, self_shape, indices: index_backward(grad, self_shape, indices)}, jvp="linear",
         reference="self[tuple(slice(None) if i is None else i for i in indices)]",
         samples=lambda make: [((make(3, 4), (make(2, integer=3), make(2, integer=4))), {}),
                               ((make(2, 3, 4), (None, make(2, integer=3))), {}), ((make(3, 4), (make(2, 2, integer=3),)), {})],
         doc="Elements by index tensors, one (or None) for each leading dimension; what ``x[i, j]`` calls.")
operator("index_backward(Tensor grad_output, Size sizes, Indices indices)", _index_backward, batch=_index_backward_batch,
         vjp={"grad_output": lambda grad, indices: index(grad, indices)}, jvp="linear", method=False, internal=True,
         samples=lambda make: [((make(2, 4), (3, 4), (make(2, integer=3),)), {}),
                               ((make(2, 2), (2, 3), (None, make(2, integer=3))), {})],
         doc="Gradients summed at the places where `index` read: its transpose.")


def _index_put_kept(grad, indices, accumulate):
    """What of a gradient is left for the tensor that was written to."""
    return grad if accumulate else index_put(grad, indices, zeros((), dtype=grad.dtype, device=grad.device))


def _index_put_tangent(self, self_t, indices, values, values_t, accumulate):
    return index_put(zeros_like(self) if self_t is None else self_t, indices,
                     zeros_like(values) if values_t is None else values_t, accumulate)


def _index_put_copy(TensorBase self, indices, TensorBase values, accumulate):
    cdef TensorBase out = clone(self)
    _index_put(out, indices, values, accumulate)
    return out


def _index_put_copy_batch(batch_size, in_dims, self, indices, values, accumulate):
    """A copy for each element of the batch, of which `index_put_` has the rule."""
    x = expand(self, (batch_size, *self.shape)) if in_dims[0] is None else movedim(self, in_dims[0], 0)
    return _index_put_batch(batch_size, (0, *in_dims[1:]), clone(x), indices, values, accumulate)


cdef Operator index_put = handle("index_put")
operator("index_put_(Tensor! self, Indices indices, Tensor values, bool accumulate=False)", _index_put, batch=_index_put_batch,
         across_devices=True, vjp={"self": _index_put_kept, "values": lambda grad, indices: index(grad, indices)},
         jvp=_index_put_tangent, node="index_put",
         doc="Write (or add, with `accumulate`) values at index tensors, in place; with several values for a place the last stays.")
operator("index_put(Tensor self, Indices indices, Tensor values, bool accumulate=False)", _index_put_copy,
         batch=_index_put_copy_batch, across_devices=True,
         vjp={"self": _index_put_kept, "values": lambda grad, indices: index(grad, indices)}, jvp=_index_put_tangent,
         samples=lambda make: [((make(3, 4), (make(1, integer=3),), make(4)), {}),
                               ((make(2, 3), (None, make(1, integer=3)), make(2, 1)), {}),
                               ((make(3, 4), (make(2, integer=3), make(2, integer=4)), make(2), True), {})],
         doc="A copy with values written at index tensors.")
