"""Reading and writing by ``x[...]``: ints and slices become views, tensors become `index` and `index_put_`."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t

from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport CAT_FLOAT, CAT_INT, TG_BOOL, TG_I64, TG_U8, dtype_of
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.tensor cimport set_views
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, device_of, empty, memory, set_geometry

import operator as py_operator

from tensorgrad._core.declaration import composite
from tensorgrad._core.graph import _type_names

cdef Operator select, slice_, unsqueeze, index, index_put_, alias, nonzero, to, zeros, copy_, scalar_tensor, fill_
select, slice_, unsqueeze, index, index_put_ = (handle(n) for n in ("select", "slice", "unsqueeze", "index", "index_put_"))
alias, nonzero, to, zeros, copy_ = (handle(n) for n in ("alias", "nonzero", "to", "zeros", "copy_"))
scalar_tensor, fill_ = handle("scalar_tensor"), handle("fill_")

# Set by the interop layer: what turns a list or array into an index tensor.
make_tensor = None


def set_tensor_maker(function):
    global make_tensor
    make_tensor = function


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
        elif (<TensorBase>item).dtype.code in (TG_BOOL, TG_U8) and (<TensorBase>item).ndim == 0:
            result = unsqueeze(result, dim)
            indices.append(zeros(1 if item.item() else 0, dtype=dtype_of(TG_I64), device=device_of(x)))
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
    int64_t tg_count_true(const uint8_t* mask, int64_t n) noexcept nogil
    void tg_true_places(const uint8_t* mask, int ndim, const int64_t* shape, int64_t n, int64_t** columns, int64_t step) noexcept nogil


cdef object _true_places(TensorBase mask, bint as_rows):
    """The places of the true elements of a packed mask: a row for each (columns are contiguous), or a list of columns."""
    cdef int64_t* columns[64]
    cdef int64_t shape[2]
    cdef int64_t strides[2]
    cdef const uint8_t* p = <const uint8_t*>memory(mask)
    cdef int64_t count
    cdef int d, n = mask.ndim
    cdef TensorBase x
    with nogil:
        count = tg_count_true(p, mask.numel)
    shape[0], shape[1] = count, n
    result = []
    if as_rows:
        x = empty(2, shape, dtype_of(TG_I64), cpu)
        strides[0], strides[1] = 1, max(count, 1)
        set_geometry(x, 2, shape, strides)
        for d in range(n):
            columns[d] = <int64_t*>memory(x) + d * count
    else:
        for d in range(n):
            x = empty(1, shape, dtype_of(TG_I64), cpu)
            columns[d] = <int64_t*>memory(x)
            result.append(x)
    if count:
        with nogil:
            tg_true_places(p, n, mask.shape, mask.numel, columns, 1)
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
        wrong = (f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of shape "
                 f"{list(view.shape)}")
        if t.ndim > (<TensorBase>view).ndim:
            raise RuntimeError(wrong)
        d = next(d for d in range(t.ndim) if t.shape[d] not in (1, view.shape[view.ndim - t.ndim + d]))
        raise RuntimeError(f"The expanded size of the tensor ({view.shape[view.ndim - t.ndim + d]}) must match the existing size "
                           f"({t.shape[d]}) at non-singleton dimension {view.ndim - t.ndim + d}.  Target sizes: {list(view.shape)}.  "
                           f"Tensor sizes: {list(value.shape)}: {wrong}")
    copy_(view, value)


cdef str _title(x):
    return _type_names[x.dtype.name]


composite("__getitem__(Tensor self, Any index)", lambda self, items: getitem(self, items), internal=True)
composite("__setitem__(Tensor self, Any index, Any value)", lambda self, items, value: setitem(self, items, value), internal=True)
