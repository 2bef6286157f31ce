"""Reading and writing by index: ints and slices become views, tensors become gathers and scatters."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport CAT_FLOAT, CAT_INT, TG_BOOL, TG_F32, TG_F64, TG_I64, TG_U8, dtype_of
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.primitives cimport SCATTER_ADD, SCATTER_MAX, SCATTER_MIN, SCATTER_MUL, SCATTER_SET
from tensorgrad._core.tensor cimport set_views
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, device_of, empty, new_tensor, shape_tuple

import operator as py_operator

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.dtype import iinfo
from tensorgrad._core.graph import _type_names

cdef Operator select, slice_, unsqueeze, index, index_put_, index_backward, alias, nonzero, gather, scatter, scatter_add, to
select, slice_, unsqueeze, index, index_put_ = (handle(n) for n in ("select", "slice", "unsqueeze", "index", "index_put_"))
index_backward, alias, nonzero, gather = (handle(n) for n in ("index_backward", "alias", "nonzero", "gather"))
scatter, scatter_add, to = (handle(n) for n in ("scatter", "scatter_add", "to"))
cdef Operator expand, reshape, permute, movedim, arange, where, zeros, copy_, scalar_tensor, slice_backward, index_select, index_add
expand, reshape, permute, movedim, arange = (handle(n) for n in ("expand", "reshape", "permute", "movedim", "arange"))
where, zeros, copy_, scalar_tensor = (handle(n) for n in ("where", "zeros", "copy_", "scalar_tensor"))
slice_backward, index_select, index_add = (handle(n) for n in ("slice_backward", "index_select", "index_add"))
cdef Operator conj = handle("conj_physical")
cdef Operator zeros_like = handle("zeros_like"), broadcast_tensors = handle("broadcast_tensors"), clone = handle("clone")
cdef Operator fill_ = handle("fill_")
cdef Operator masked_fill = handle("masked_fill"), sum_ = handle("sum"), sum_to_size = handle("sum_to_size")

# Set by the interop layer: what turns a list or array into an index tensor.
make_tensor = None


def set_tensor_maker(function):
    global make_tensor
    make_tensor = function


# ---- x[...] ------------------------------------------------------------------------------------------
cdef object _index_tensor(object item, TensorBase x):
    cdef TensorBase t
    if isinstance(item, TensorBase):
        t = item
    else:
        if isinstance(item, (list, tuple)) and not len(item):
            t = zeros(0, dtype=dtype_of(TG_I64))
        else:
            t = make_tensor(item, device=device_of(x))
    if t.dtype.category >= CAT_FLOAT or t.dtype.itemsize == 2 and t.dtype.category != CAT_INT:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return t


cdef object _plain_index(object x):
    return None if x is None else py_operator.index(x)


cdef tuple _view_part(TensorBase x, object items):
    """Apply ints, slices, None and ...; returns (view, list of index tensors or None for each dimension)."""
    cdef TensorBase result = x
    cdef list indices = []
    cdef int dim = 0, taken = 0, dots = 0
    if not isinstance(items, tuple):
        items = (items,)
    items = list(items)
    for i, item in enumerate(items):
        if item is None or isinstance(item, (bool, int, slice)):
            # what an __index__ may do to `x` is done before any of it is looked at
            if isinstance(item, slice):
                items[i] = slice(_plain_index(item.start), _plain_index(item.stop), _plain_index(item.step))
            elif isinstance(item, int) and not isinstance(item, bool):
                items[i] = int(item)
            taken += not (item is None or isinstance(item, bool))
        elif item is Ellipsis:
            dots += 1
        elif isinstance(item, (str, float, complex)):
            raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                             f"(got {type(item).__name__})")
        elif not isinstance(item, TensorBase) and hasattr(item, "__index__") and not hasattr(item, "__len__"):
            items[i] = py_operator.index(item)
            taken += 1
        else:
            item = items[i] = _index_tensor(item, x)
            if (<TensorBase>item).dtype.code in (TG_BOOL, TG_U8):
                taken += (<TensorBase>item).ndim
            elif (<TensorBase>item).ndim == 0 and (<TensorBase>item).wrap is None:
                items[i] = item.item()
                taken += 1
            else:
                taken += 1
    if dots > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if taken > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    for item in items:
        if item is Ellipsis:
            indices.extend([None] * (x.ndim - taken))
            dim += x.ndim - taken
        elif item is None:
            result = unsqueeze(result, dim)
            indices.append(None)
            dim += 1
        elif isinstance(item, bool):
            result = unsqueeze(result, dim)
            indices.append(zeros(1 if item else 0, dtype=dtype_of(TG_I64), device=device_of(x)))
            dim += 1
        elif isinstance(item, int):
            size = result.shape[dim]
            if not -size <= item < size:
                raise IndexError(f"index {item} is out of bounds for dimension {dim} with size {size}")
            result = select(result, dim, item)
        elif isinstance(item, slice):
            step = 1 if item.step is None else item.step
            if step <= 0:
                raise ValueError("step must be greater than zero")
            start, stop = item.start, item.stop
            if not (start in (None, 0) and stop is None and step == 1):
                result = slice_(result, dim, start, stop, step)
            indices.append(None)
            dim += 1
        elif (<TensorBase>item).dtype.code in (TG_BOOL, TG_U8):
            indices.extend(_mask_indices(item, result, dim))
            dim += (<TensorBase>item).ndim
        else:
            indices.append(item)
            dim += 1
    return result, indices


cdef list _mask_indices(TensorBase mask, TensorBase x, int dim):
    """A mask as the indices of its true elements."""
    for d in range(mask.ndim):
        if mask.shape[d] != x.shape[dim + d]:
            raise IndexError(f"The shape of the mask {[mask.shape[i] for i in range(mask.ndim)]} at index {d} does not match the "
                             f"shape of the indexed tensor {[x.shape[i] for i in range(x.ndim)]} at index {dim + d}")
    if mask.ndim and mask.wrap is None and mask.storage.device is cpu and mask.flags & CONTIGUOUS:
        return _true_places(mask, False)
    places = nonzero(mask)
    return [select(places, 1, d) for d in range(mask.ndim)]


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
    int64_t tg_count_true(const uint8_t* mask, int64_t n) noexcept nogil
    void tg_true_places(const uint8_t* mask, int ndim, const int64_t* shape, int64_t n, int64_t** columns, int64_t step) noexcept nogil


cdef inline char* memory(TensorBase x) noexcept:
    return x.storage.data + x.offset * <int64_t>x.dtype.itemsize


cdef object _true_places(TensorBase mask, bint as_rows):
    """The places of the true elements of a packed mask: a row for each, or a list of columns."""
    cdef int64_t* columns[64]
    cdef int64_t shape[2]
    cdef const uint8_t* p = <const uint8_t*>memory(mask)
    cdef int64_t count, step = 1
    cdef int d, n = mask.ndim
    cdef TensorBase x
    with nogil:
        count = tg_count_true(p, mask.numel)
    shape[0], shape[1] = count, n
    result = []
    if as_rows:
        x = empty(2, shape, dtype_of(TG_I64), cpu)
        step = n
        for d in range(n):
            columns[d] = <int64_t*>memory(x) + d
    else:
        for d in range(n):
            x = empty(1, shape, dtype_of(TG_I64), cpu)
            columns[d] = <int64_t*>memory(x)
            result.append(x)
    if count:
        with nogil:
            tg_true_places(p, n, mask.shape, mask.numel, columns, step)
    return x if as_rows else result


cdef extern from "Python.h":
    enum: PY_SSIZE_T_MAX
    ctypedef struct PySliceObject:
        PyObject* start
        PyObject* stop
        PyObject* step


cdef inline bint _plain(PyObject* x) noexcept:
    return <object>x is None or type(<object>x) is int


cdef bint _only_views(TensorBase x, tuple items) noexcept:
    """Whether all items are exact ints, slices of such, None or one ..., and not too many."""
    cdef PySliceObject* s
    cdef int taken = 0, dots = 0
    for item in items:
        if type(item) is int:
            taken += 1
        elif type(item) is slice:
            s = <PySliceObject*><PyObject*>item
            if not (_plain(s.start) and _plain(s.stop) and _plain(s.step)):
                return False
            taken += 1
        elif item is Ellipsis:
            dots += 1
        elif item is not None:
            return False
    return dots <= 1 and taken <= x.ndim and x.ndim + <Py_ssize_t>len(items) < 64


cdef TensorBase _cut(TensorBase x, int dim, object item):
    """One slice of one dimension; the whole of it is no slice at all."""
    cdef PyObject* a[5]
    cdef PySliceObject* s = <PySliceObject*><PyObject*>item
    cdef object step = 1 if <object>s.step is None else <object>s.step
    cdef object d = dim
    if step <= 0:
        raise ValueError("step must be greater than zero")
    if <object>s.stop is None and step == 1 and (<object>s.start is None or <object>s.start == 0):
        return x
    a[0], a[1], a[2], a[3], a[4] = <PyObject*>x, <PyObject*>d, s.start, s.stop, <PyObject*>step
    return invoke(slice_, a)


cdef TensorBase _only_at(TensorBase x, int dim, object item):
    """One index of one dimension."""
    cdef PyObject* a[3]
    cdef object d = dim
    cdef Py_ssize_t i
    try:
        i = item
    except OverflowError:
        i = PY_SSIZE_T_MAX
    if i < -x.shape[dim] or i >= x.shape[dim]:
        raise IndexError(f"index {item} is out of bounds for dimension {dim} with size {x.shape[dim]}")
    a[0], a[1], a[2] = <PyObject*>x, <PyObject*>d, <PyObject*>item
    return invoke(select, a)


cdef TensorBase _views(TensorBase x, tuple items):
    cdef TensorBase result = x
    cdef PyObject* a[2]
    cdef object place
    cdef int dim = 0, taken = 0
    for item in items:
        taken += item is not None and item is not Ellipsis
    for item in items:
        if type(item) is int:
            result = _only_at(result, dim, item)
        elif type(item) is slice:
            result = _cut(result, dim, item)
            dim += 1
        elif item is None:
            place = dim
            a[0], a[1] = <PyObject*>result, <PyObject*>place
            result = invoke(unsqueeze, a)
            dim += 1
        else:
            dim += x.ndim - taken
    return result


cdef TensorBase _view_at(TensorBase x, object items):
    """The view that `items` name (`x` itself for all of it), or None where they hold index tensors, say."""
    if type(items) is not tuple:
        items = (items,)
    return _views(x, <tuple>items) if _only_views(x, <tuple>items) else None


cdef object _at_tensor(TensorBase x, TensorBase item):
    """``x[item]`` for one tensor of int64 or a mask as it mostly is, or None."""
    cdef PyObject* a[2]
    cdef int d
    cdef tuple indices
    if item.ndim == 0 or x.ndim < item.ndim or item.wrap is not None or x.wrap is not None:
        return None
    if item.dtype.code == TG_I64:
        indices = (item,)
    elif item.dtype.code == TG_BOOL and item.flags & CONTIGUOUS and item.storage.device is cpu and x.storage.device is cpu:
        for d in range(item.ndim):
            if item.shape[d] != x.shape[d]:
                return None
        indices = tuple(_true_places(item, False))
    else:
        return None
    a[0], a[1] = <PyObject*>x, <PyObject*>indices
    return invoke(index, a)


cdef object getitem_views(object x, object items):
    """``x[items]`` where that is a view and nothing else, or None."""
    cdef TensorBase view
    if type(items) is int:
        if (<TensorBase>x).ndim == 0:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a number")
        return _only_at(<TensorBase>x, 0, items)
    if isinstance(items, TensorBase):
        return _at_tensor(<TensorBase>x, <TensorBase>items)
    view = _view_at(<TensorBase>x, items)
    return alias(x) if view is x else view


set_views(getitem_views)


def getitem(x, items):
    """``x[items]``."""
    view, indices = _view_part(x, items)
    if any([i is not None for i in indices]):
        return index(view, tuple(indices))
    return alias(x) if view is x else view


def setitem(x, items, value):
    """``x[items] = value``."""
    cdef TensorBase t
    cdef list indices = []
    cdef object view = _view_at(x, items)
    if view is None:
        view, indices = _view_part(x, items)
    if type(value) in (float, int, bool) and not indices:
        fill_(view, value)
        return
    if not isinstance(value, TensorBase):
        if isinstance(value, (bool, int, float, complex)):
            value = scalar_tensor(value, dtype=x.dtype, device=device_of(x))
        else:
            value = make_tensor(value, dtype=x.dtype, device=device_of(x))
    if any([i is not None for i in indices]):
        t = value
        if t.dtype is not (<TensorBase>x).dtype:
            if t.ndim:
                raise RuntimeError(f"Index put requires the source and destination dtypes match, got {_title(x)} for the destination "
                                   f"and {_title(value)} for the source.")
            value = to(value, x.dtype)
        index_put_(view, tuple(indices), value)
        return
    # leading ones of the value say nothing: x[0] = ones(1, 1, 3) is fine
    t = value
    while t.ndim > (<TensorBase>view).ndim and t.shape[0] == 1:
        value = select(value, 0, 0)
        t = value
    if t.ndim > (<TensorBase>view).ndim or any([t.shape[t.ndim - 1 - i] not in (1, view.shape[-1 - i])
                                                for i in range(t.ndim)]):
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of "
                           f"shape {list(view.shape)}")
    copy_(view, value)


cdef str _title(x):
    return _type_names[x.dtype.name]


# ---- advanced indexing ------------------------------------------------------------------------------------
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
        t = i if i.dtype is dtype_of(TG_I64) else to(i, dtype_of(TG_I64))
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
composite("__getitem__(Tensor self, Any index)", lambda self, items: getitem(self, items), internal=True)
composite("__setitem__(Tensor self, Any index, Any value)", lambda self, items, value: setitem(self, items, value), internal=True)


# ---- gather and scatter along one dimension ---------------------------------------------------------------------
cdef TensorBase _index_like(TensorBase index, TensorBase x, str name):
    if index.numel == 0:
        return index if index.dtype.code == TG_I64 else to(index, dtype_of(TG_I64))
    if index.dtype.code != TG_I64 and not (index.dtype.category == CAT_INT and index.dtype.itemsize == 4):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    return index if index.dtype.code == TG_I64 else to(index, dtype_of(TG_I64))


cdef TensorBase _as_vector(TensorBase x):
    cdef int64_t one = 1
    return x if x.ndim else new_tensor(x.storage, x.dtype, 1, &one, &one, x.offset)


cdef int _check_ranks(str name, TensorBase x, int dim, TensorBase index, TensorBase src) except -1:
    cdef int d
    if src is not None and max(index.ndim, 1) != max(src.ndim, 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as src tensor ({name}: {index.ndim} and {src.ndim})")
    if src is not None and (index.ndim == 0 or src.ndim == 0) and index.numel > src.numel:
        raise RuntimeError(f"Expected index {list(shape_tuple(index))} to be no larger than src {list(shape_tuple(src))} in every "
                           f"dimension ({name})")
    if max(index.ndim, 1) != max(x.ndim, 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {'self' if src is not None else 'input'} tensor "
                           f"({name}: {index.ndim} and {x.ndim})")
    for d in range(max(x.ndim, index.ndim)):
        if d != dim and index.ndim and index.shape[d] > x.shape[d]:
            raise RuntimeError(f"Size does not match at dimension {d} expected index {list(shape_tuple(index))} to be no larger than "
                               f"self {list(shape_tuple(x))} apart from dimension {dim} ({name})")
        if src is not None and src.ndim and index.ndim and index.shape[d] > src.shape[d]:
            raise RuntimeError(f"Expected index {list(shape_tuple(index))} to be no larger than src {list(shape_tuple(src))} in every "
                               f"dimension ({name})")
    return 0


def _gather(TensorBase self, int dim, TensorBase index, sparse_grad):
    cdef TensorBase out, i = _index_like(index, self, "gather")
    if i.numel:
        _check_ranks("gather", self, dim, i, None)
    out = empty(i.ndim, i.shape, self.dtype, self.storage.device)
    if out.numel:
        primitives.gather(_as_vector(out), _as_vector(self), dim, _as_vector(i), "gather")
    return out


operator("gather(Tensor self, Dim dim, Tensor index, *, bool sparse_grad=False)", _gather,
         vjp={"self": lambda grad, self_shape, dim, index: scatter_add(zeros(self_shape, dtype=grad.dtype, device=grad.device),
                                                                       dim, index, grad)}, jvp="linear",
         reference="np.take_along_axis(self, index, dim)",
         samples=lambda make: [((make(3, 4), 1, make(3, 2, integer=4)), {}), ((make(3, 4), 0, make(2, 4, integer=3)), {})],
         doc="The elements at ``out[i][j] = self[index[i][j]][j]`` (for dim 0).")


def _scattered(int mode, str name):
    def forward(TensorBase self, int dim, TensorBase index, TensorBase src):
        cdef TensorBase out, i = _index_like(index, self, name)
        if src.dtype is not self.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
        if i.numel:
            _check_ranks(name, self, dim, i, src)
        out = empty(self.ndim, self.shape, self.dtype, self.storage.device)
        primitives.copy(out, self)
        if i.numel:
            primitives.scatter(_as_vector(out), dim, _as_vector(i), _as_vector(src), mode, name)
        return out
    return forward


def _src_grad(grad, dim, index, src_shape):
    """What was read of `src`; it may be larger than the index."""
    g = gather(grad, dim, index)
    for d in range(g.ndim):
        if g.size(d) != src_shape[d]:
            shape = list(g.shape)
            shape[d] = src_shape[d]
            g = slice_backward(g, tuple(shape), d, 0, g.size(d), 1)
    return g


operator("scatter_add(Tensor self, Dim dim, Tensor index, Tensor src)", _scattered(SCATTER_ADD, "scatter_add"), inplace=True,
         vjp={"self": lambda grad: grad, "src": lambda grad, dim, index, src_shape: _src_grad(grad, dim, index, src_shape)},
         jvp=lambda self, self_t, dim, index, src, src_t: scatter_add(
             zeros_like(self) if self_t is None else self_t, dim, index, zeros_like(src) if src_t is None else src_t),
         samples=lambda make: [((make(3, 4), 1, make(3, 2, integer=4), make(3, 2)), {}),
                               ((make(3, 4), 0, make(2, 3, integer=3), make(3, 4)), {})],
         doc="A copy with ``out[index[i][j]][j] += src[i][j]`` (for dim 0).")
operator("scatter(Tensor self, Dim dim, Tensor index, Tensor src)", _scattered(SCATTER_SET, "scatter"), inplace=True,
         vjp={"self": lambda grad, dim, index: scatter(grad, dim, index, 0),
              "src": lambda grad, dim, index, src_shape: _src_grad(grad, dim, index, src_shape)},
         jvp=lambda self, self_t, dim, index, src, src_t: scatter(
             zeros_like(self) if self_t is None else self_t, dim, index, zeros_like(src) if src_t is None else src_t),
         samples=lambda make: [((make(3, 4), 1, make(3, 1, integer=4), make(3, 1)), {})],
         doc="A copy with ``out[index[i][j]][j] = src[i][j]`` (for dim 0); of several values for a place the last stays.")
composite("scatter(Tensor self, Dim dim, Tensor index, Number value)",
          lambda self, dim, index, value: scatter(self, dim, index, handle("full")(tuple(index.shape), value, dtype=self.dtype,
                                                                                  device=self.device)), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(3, 1, integer=4), 2), {})])


composite("scatter(Tensor self, Dim dim, Tensor index, Tensor src, *, str reduce)",
          lambda self, dim, index, src, reduce: _scatter_by(self, dim, index, src, reduce), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(3, 2, integer=4), make(3, 2)), {"reduce": "add"})])
composite("scatter(Tensor self, Dim dim, Tensor index, Number value, *, str reduce)",
          lambda self, dim, index, value, reduce: _scatter_by(
              self, dim, index, handle("full")(tuple(index.shape), value, dtype=self.dtype, device=self.device), reduce), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(3, 2, integer=4), 2), {"reduce": "multiply"})])


def _scatter_by(self, dim, index, src, reduce):
    if reduce == "add":
        return scatter_add(self, dim, index, src)
    if reduce == "multiply":
        return handle("scatter_reduce")(self, dim, index, src, "prod")
    raise RuntimeError(f"reduce argument must be either add or multiply. (scatter got '{reduce}')")


_REDUCE_MODES = {"sum": SCATTER_ADD, "prod": SCATTER_MUL, "mean": SCATTER_ADD, "amax": SCATTER_MAX, "amin": SCATTER_MIN}


def _scatter_reduce(TensorBase self, int dim, TensorBase index, TensorBase src, str reduce, bint include_self):
    cdef TensorBase out, i = _index_like(index, self, "scatter_reduce")
    _check_ranks("scatter_reduce", self, dim, i, src)
    if src.dtype is not self.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype (scatter_reduce)")
    if not include_self and i.numel:
        self = scatter(self, dim, i, _identity(self.dtype, reduce))
    out = empty(self.ndim, self.shape, self.dtype, self.storage.device)
    primitives.copy(out, self)
    if i.numel:
        primitives.scatter(_as_vector(out), dim, _as_vector(i), _as_vector(src), _REDUCE_MODES[reduce], "scatter_reduce")
        if reduce == "mean":
            counts = _counts(out, dim, i, include_self)
            out = out / counts if out.is_floating_point() or out.is_complex() else handle("floor_divide")(out, counts)
    return out


def _identity(dtype, reduce):
    """What a reduction begins with where it does not begin with `self`."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.is_floating_point:
        return float("-inf") if reduce == "amax" else float("inf")
    if dtype is dtype_of(TG_BOOL):
        return reduce == "amin"
    limits = iinfo(dtype)
    return limits.min if reduce == "amax" else limits.max


def _counts(like, dim, index, include_self):
    """How many elements went to each place; 1 where none did."""
    begin = handle("ones_like")(like) if include_self else zeros_like(like)
    counts = scatter_add(begin, dim, index, handle("ones")(tuple(index.shape), dtype=like.dtype, device=like.device))
    return where(counts == 0, 1, counts)


def _scatter_reduce_partials(self, dim, index, src, out, reduce, include_self):
    """(d out / d self, d out at the place that src went to / d src), as PyTorch's scatter_reduce_backward has them."""
    ones = handle("ones_like")
    if reduce == "sum":
        of_self, of_src = ones(self), ones(src)
    elif reduce == "mean":
        counts = _counts(self, dim, index, include_self)
        of_self, of_src = 1 / counts, 1 / gather(counts, dim, index)
    elif reduce == "prod":
        reduced = handle("scatter_reduce")
        filled = where(self == 0, 1, self)
        of_self = reduced(filled, dim, index, src, "prod", include_self=include_self) / filled
        zero = src == 0
        how_many = gather(scatter_add(zeros_like(self), dim, index, to(zero, self.dtype)), dim, index)
        only = zero & (how_many == 1)
        others = gather(reduced(self, dim, index, where(only, 1, src), "prod", include_self=include_self), dim, index)
        of_src = where(only, others, gather(out, dim, index) / where(zero, 1, src))
    else:
        mine, theirs = to(self == out, self.dtype), to(src == gather(out, dim, index), self.dtype)
        if not include_self:
            mine = scatter(mine, dim, index, 0)
        share = scatter_add(mine, dim, index, theirs)
        share = where(share == 0, 1, share)
        of_self, of_src = mine / share, theirs / gather(share, dim, index)
    return of_self if include_self else scatter(of_self, dim, index, 0), of_src


def _scatter_reduce_vjp(grad, self, dim, index, src, out, reduce, include_self):
    of_self, of_src = _scatter_reduce_partials(self, dim, index, src, out, reduce, include_self)
    return grad * conj(of_self), None, gather(grad, dim, index) * conj(of_src)


def _scatter_reduce_jvp(self, self_t, dim, index, src, src_t, out, reduce, include_self):
    of_self, of_src = _scatter_reduce_partials(self, dim, index, src, out, reduce, include_self)
    kept = zeros_like(out) if self_t is None else self_t * of_self
    return kept if src_t is None else scatter_add(kept, dim, index, src_t * of_src)


operator("_scatter_reduce(Tensor self, Dim dim, Tensor index, Tensor src, str reduce, bool include_self)", _scatter_reduce,
         vjp=_scatter_reduce_vjp, jvp=_scatter_reduce_jvp, node="scatter_reduce", internal=True,
         doc="`scatter_reduce` of a source as large as the index.")
composite("scatter_reduce(Tensor self, Dim dim, Tensor index, Tensor src, str reduce, *, bool include_self=True)",
          lambda self, dim, index, src, reduce, include_self: _scatter_reduced(self, dim, index, src, reduce, include_self), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(3, 2, integer=4), make(3, 2), reduce), {"include_self": begins})
                                for reduce, begins in (("sum", True), ("mean", False), ("prod", True), ("prod", False))],
          doc="A copy in which the elements of `src` that go to one place are reduced by 'sum', 'prod', 'mean', 'amax' or 'amin'.")


def _scatter_reduced(self, dim, index, src, reduce, include_self):
    if reduce not in _REDUCE_MODES:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if index.ndim == src.ndim:
        for d in range(index.ndim):
            if index.size(d) < src.size(d):
                src = src.narrow(d, 0, index.size(d))
    return handle("_scatter_reduce")(self, dim, index, src, reduce, include_self)


composite("index_reduce(Tensor self, Dim dim, Tensor index, Tensor source, str reduce, *, bool include_self=True)",
          lambda self, dim, index, source, reduce, include_self: _scatter_reduced(
              self, dim, _wide_index(index, source, dim), source, reduce, include_self), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(2, integer=4), make(3, 2), "prod"), {})],
          doc="`scatter_reduce` of whole slices of one dimension.")


def _index_select(TensorBase self, int dim, TensorBase index):
    cdef TensorBase i = _index_like(index, self, "index_select")
    cdef TensorBase x, wide, out
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d
    if i.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    x, i = _as_vector(self), _as_vector(i)
    for d in range(x.ndim):
        shape[d], strides[d] = x.shape[d], 0
    shape[dim], strides[dim] = i.shape[0], i.strides[0]
    out = empty(x.ndim, shape, x.dtype, x.storage.device)
    wide = new_tensor(i.storage, i.dtype, x.ndim, shape, strides, i.offset)
    if out.numel:
        primitives.gather(out, x, dim, wide, "index_select")
    return out if self.ndim else reshape(out, ())


def _wide_index(index, x, dim):
    """A vector of indices as `gather` and `scatter` want it: repeated over the other dimensions."""
    shape = [1] * x.ndim
    shape[dim] = -1
    wide = list(x.shape)
    wide[dim] = index.numel()
    return expand(reshape(index, tuple(shape)), tuple(wide))


def _index_select_batch(batch_size, in_dims, self, dim, index):
    x = expand(self, (batch_size, *self.shape)) if in_dims[0] is None else movedim(self, in_dims[0], 0)
    if in_dims[2] is None:
        return index_select(x, dim + 1, index), 0
    index = movedim(index, in_dims[2], 0)
    shape = [1] * x.ndim
    shape[0], shape[dim + 1] = batch_size, -1
    wide = list(x.shape)
    wide[dim + 1] = index.size(1)
    return gather(x, dim + 1, expand(reshape(index, tuple(shape)), tuple(wide))), 0


operator("index_select(Tensor self, Dim dim, Tensor index)", _index_select, batch=_index_select_batch,
         vjp={"self": lambda grad, self_shape, dim, index: index_add(zeros(self_shape, dtype=grad.dtype, device=grad.device),
                                                                     dim, index, grad)}, jvp="linear",
         reference="np.take(self, index, dim)", samples=lambda make: [((make(3, 4), 1, make(2, integer=4)), {})], out_apart=True,
         doc="The indices of one dimension that a vector of ints names.")
composite("index_add(Tensor self, Dim dim, Tensor index, Tensor source, *, Number alpha=1)",
          lambda self, dim, index, source, alpha: _index_add(self, dim, index, source, alpha), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(2, integer=4), make(3, 2)), {})],
          doc="A copy with slices of `source` added at the indices of one dimension.")


def _index_add(self, dim, index, source, alpha):
    if self.ndim == 0:
        return self + sum_(source) * alpha
    return scatter_add(self, dim, _wide_index(index, source, dim), source if alpha == 1 else source * alpha)


composite("index_copy(Tensor self, Dim dim, Tensor index, Tensor source)",
          lambda self, dim, index, source: scatter(self, dim, _wide_index(index, source, dim) if self.ndim else reshape(index, ()),
                                                   source if self.ndim else reshape(source, ())), inplace=True,
          samples=lambda make: [((make(3, 4), 0, make(1, integer=3), make(1, 4)), {})],
          doc="A copy with slices of `source` written at the indices of one dimension.")
# The tensor first: as a number it would lose its gradient.
composite("index_fill(Tensor self, Dim dim, Tensor index, Tensor value)",
          lambda self, dim, index, value: _index_fill_from(self, dim, index, value), inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(2, integer=4), make()), {})])


def _index_fill_from(self, dim, index, value):
    if value.ndim:
        raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
    wide = _wide_index(index, index_select(self, dim, index), dim) if self.ndim else reshape(index, ())
    return scatter(self, dim, wide, expand(to(value, self.dtype), tuple(wide.shape)))


composite("index_fill(Tensor self, Dim dim, Tensor index, Number value)",
          lambda self, dim, index, value: scatter(
              self, dim, _wide_index(index, index_select(self, dim, index), dim) if self.ndim else reshape(index, ()), value),
          inplace=True, doc="A copy with a number written at the indices of one dimension.",
          samples=lambda make: [((make(3, 4), 1, make(2, integer=4), 2), {})])
composite("take(Tensor self, Tensor index)", lambda self, index: getitem(reshape(self, (-1,)), index), reference="np.take(self, index)",
          samples=lambda make: [((make(3, 4), make(2, 2, integer=12)), {})], out_apart=True,
          doc="Elements counted in order, at the given indices.")
composite("take_along_dim(Tensor self, Tensor indices, Dim? dim=None)", lambda self, indices, dim: _take_along(self, indices, dim),
          reference="np.take_along_axis(self, indices, dim)",
          samples=lambda make: [((make(3, 4), make(3, 2, integer=4), 1), {})], doc="`gather` with broadcasting.")


def _take_along(self, indices, dim):
    if dim is None:
        return gather(reshape(self, (-1,)), 0, reshape(indices, (-1,)))
    indices = where(indices < 0, indices + self.size(dim), indices)
    shape = [max(a, b) if d != dim else a for d, (a, b) in enumerate(zip(self.shape, indices.shape))]
    wide = list(shape)
    wide[dim] = indices.size(dim)
    return gather(expand(self, tuple(shape)), dim, expand(indices, tuple(wide)))


# ---- masks ------------------------------------------------------------------------------------------------------------
cdef object _masked_fill(PyObject** a):
    """By `where`; the result has the dtype of `self`, whatever the value's."""
    cdef TensorBase self = <TensorBase>a[0], mask = <TensorBase>a[1], out
    cdef PyObject* b[3]
    if mask.dtype.code != TG_BOOL:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {_title(mask).lower()}")
    value = <object>a[2]
    if isinstance(value, TensorBase):
        if (<TensorBase>value).ndim:
            raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                               f"{(<TensorBase>value).ndim} dimension(s).")
        if (<TensorBase>value).dtype is not self.dtype:
            value = to(value, self.dtype)
    elif isinstance(value, complex) and not self.is_complex():
        raise RuntimeError("value cannot be converted to type float without overflow")
    elif isinstance(value, float) and self.dtype.category < CAT_FLOAT:
        value = int(value != 0 if self.dtype.code == TG_BOOL else value)
    b[0], b[1], b[2] = a[1], <PyObject*>value, a[0]
    out = invoke(where, b)
    return out if out.dtype is self.dtype else to(out, self.dtype)


def _masked_fill_batch(batch_size, in_dims, self, mask, value):
    rank = max(self.ndim - (in_dims[0] is not None), mask.ndim - (in_dims[1] is not None))
    x, m = (_to_rank(batch_size, t, d, rank) for t, d in ((self, in_dims[0]), (mask, in_dims[1])))
    if in_dims[2] is not None:
        return where(m, to(_to_rank(batch_size, value, in_dims[2], rank), x.dtype), x), 0
    return masked_fill(x, m, value), 0


def _to_rank(batch_size, x, dim, rank):
    """The batch in front, then dimensions of size one up to a rank."""
    if dim is None:
        return x
    x = movedim(x, dim, 0)
    return reshape(x, (batch_size,) + (1,) * (rank + 1 - x.ndim) + tuple(x.shape[1:]))


# The tensor first: as a number it would lose its tangent and its batch.
operator("masked_fill(Tensor self, Tensor mask, Tensor value)", native(_masked_fill), inplace=True, batch=_masked_fill_batch,
         across_devices=True,
         vjp={"self": lambda grad, self_shape, mask: sum_to_size(masked_fill(grad, mask, 0), self_shape),
              "value": lambda grad, mask: sum_(where(mask, grad, 0))},
         jvp=lambda self_t, mask, value_t: where(mask, 0 if value_t is None else value_t, 0 if self_t is None else self_t),
         reference="np.where(mask, value, self)", samples=lambda make: [((make(3, 4), make(4, integer=2) > 0, make()), {})],
         doc="A copy with a number where `mask` holds.")
operator("masked_fill(Tensor self, Tensor mask, Number value)", native(_masked_fill), inplace=True, batch=_masked_fill_batch,
         vjp={"self": lambda grad, self_shape, mask: sum_to_size(masked_fill(grad, mask, 0), self_shape)},
         jvp=lambda self_t, mask: where(mask, 0, self_t),
         reference="np.where(mask, value, self).astype(self.dtype)",
         samples=lambda make: [((make(3, 4), make(3, 4, integer=2) > 0, 1.5), {}), ((make(3, 4), make(4, integer=2) > 0, 0), {})])


composite("masked_select(Tensor self, Tensor mask)", lambda self, mask: _masked_select(self, mask),
          reference="self[mask]", data_dependent=True, out_apart=True,
          samples=lambda make: [((make(3, 4), make(3, 4, integer=2) > 0), {})], doc="The elements where `mask` holds, in order.")


def _masked_select(self, mask):
    if mask.dtype is not dtype_of(TG_BOOL):
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    self, mask = broadcast_tensors((self, mask))
    return getitem(reshape(self, (1,)), reshape(mask, (1,))) if self.ndim == 0 else getitem(self, mask)


composite("masked_scatter(Tensor self, Tensor mask, Tensor source)", lambda self, mask, source: _masked_scatter(self, mask, source),
          inplace=True, doc="A copy with the elements of `source`, in order, where `mask` holds.",
          samples=lambda make: [((make(3, 4), make(3, 4, integer=2) > 0, make(12)), {})], data_dependent=True)


def _masked_scatter(self, mask, source):
    self, mask = broadcast_tensors((self, mask))
    n = int(mask.sum().item())
    if n > source.numel():
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes and source at least as many elements as the "
                           f"mask has ones (got {source.numel()} and {n})")
    out = clone(self).contiguous()
    setitem(out, mask, getitem(reshape(source, (-1,)), slice(0, n)))
    return out


def _nonzero(TensorBase self):
    """Indices of the non-zero elements, a row each: ranks by a running count, then one scatter a column."""
    cdef TensorBase flags = self if self.dtype.code == TG_BOOL else self != 0
    if self.ndim and flags.storage.device is cpu and flags.flags & CONTIGUOUS:
        return _true_places(flags, True)
    flags = reshape(flags, (-1,))
    n = flags.numel
    if self.ndim == 0:
        return zeros(1 if n and flags.item() else 0, 0, dtype=dtype_of(TG_I64), device=self.storage.device)
    counts = flags.to(dtype_of(TG_I64)).cumsum(0)
    total = int(counts[n - 1].item()) if n else 0
    # every element writes its own place; the zeros all write to one row more, which is cut off
    place = where(flags, counts - 1, total)
    rows = zeros(total + 1, dtype=dtype_of(TG_I64), device=self.storage.device)
    rows = scatter(rows, 0, place, arange(n, device=self.storage.device))[:total]
    columns = []
    for d in range(self.ndim - 1, -1, -1):
        columns.append(rows % self.shape[d] if self.shape[d] else rows)
        rows = rows // max(self.shape[d], 1)
    return handle("stack")(tuple(columns[::-1]), 1)


operator("nonzero(Tensor self)", _nonzero, batch="fallback", doc="The indices of the non-zero elements, a row for each.")
composite("nonzero(Tensor self, *, bool as_tuple) -> Any",
          lambda self, as_tuple: handle("unbind")(nonzero(self if self.ndim else reshape(self, (1,))), 1) if as_tuple else nonzero(self))
composite("argwhere(Tensor self)", lambda self: nonzero(self), doc="The same as `nonzero`.")
composite("where(Tensor condition) -> Tensor[]", lambda condition: handle("unbind")(nonzero(condition), 1), method=False)


# ---- triangles -----------------------------------------------------------------------------------------------------------
def _triangle(bint lower):
    def forward(self, diagonal):
        rows = unsqueeze(arange(self.size(-2), device=self.device), 1)
        columns = arange(self.size(-1), device=self.device)
        keep = columns - rows <= diagonal if lower else columns - rows >= diagonal
        return where(keep, self, zeros((), dtype=self.dtype, device=self.device))
    return forward


composite("tril(Tensor self, int diagonal=0)", _triangle(True), inplace=True, reference="np.tril(self, diagonal)",
          samples=lambda make: [((make(3, 3),), {}), ((make(3, 4), 1), {})], doc="The lower triangles of matrices, zeros above.")
composite("triu(Tensor self, int diagonal=0)", _triangle(False), inplace=True, reference="np.triu(self, diagonal)",
          samples=lambda make: [((make(3, 3),), {}), ((make(3, 4), 1), {})], doc="The upper triangles of matrices, zeros below.")
composite("trace(Tensor self)", lambda self: _trace(self), reference="np.trace(self)", samples=lambda make: [((make(3, 3),), {})],
          doc="The sum of the diagonal of a matrix.")


def _trace(self):
    if self.ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    return sum_(handle("diagonal")(self))
