"""Masks: what is filled, selected or scattered where they are true, and the places of what is not zero."""
from cpython.object cimport PyObject

from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BOOL, TG_I64, dtype_of
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase
from tensorgrad.ops.indexing cimport _title, _true_places

from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.indexing import getitem, setitem

cdef Operator nonzero, scatter, to, reshape, movedim, arange, where, zeros, broadcast_tensors, clone, masked_fill, sum_
cdef Operator sum_to_size
nonzero, scatter, to, reshape, movedim = (handle(n) for n in ("nonzero", "scatter", "to", "reshape", "movedim"))
arange, where, zeros, broadcast_tensors, clone = (handle(n) for n in ("arange", "where", "zeros", "broadcast_tensors", "clone"))
masked_fill, sum_, sum_to_size = (handle(n) for n in ("masked_fill", "sum", "sum_to_size"))


cdef str _c_type(TensorBase x):
    return {"float32": "float", "float64": "double"}.get(x.dtype.name, f"{x.dtype.name}_t")


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
            if (<TensorBase>value).dtype.category == CAT_COMPLEX and self.dtype.category != CAT_COMPLEX \
                    and (<TensorBase>value).wrap is None and value.item().imag:
                raise RuntimeError(f"value cannot be converted to type {_c_type(self)} without overflow: it is complex (masked_fill)")
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
    if mask.dtype is not dtype_of(TG_BOOL):
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {_title(mask)}")
    self, mask = broadcast_tensors((self, mask))
    n = int(mask.sum().item())
    if n > source.numel():
        raise RuntimeError(f"Number of elements of source < number of ones in mask (masked_scatter: got {source.numel()} and {n})")
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
