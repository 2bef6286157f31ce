"""Elements in order: sorts, the k-th and the middle ones, and those that differ."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport CAT_COMPLEX, TG_BOOL, TG_F32, TG_F64, TG_I32, TG_I64, dtype_of
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.primitives cimport RELEASE_GIL_AT
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty, memory, named_pair
from tensorgrad.ops.extrema cimport lose

import math

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.extrema import _pick, _put_back

cdef Operator sum_, expand, reshape, unsqueeze, where, to, gather, zeros_like, cumsum, movedim, arange, scatter_add, sort, clone
sum_, expand, reshape, unsqueeze, where, to = (handle(n) for n in ("sum", "expand", "reshape", "unsqueeze", "where", "to"))
gather, zeros_like, cumsum, movedim, arange = (handle(n) for n in ("gather", "zeros_like", "cumsum", "movedim", "arange"))
scatter_add, sort, clone = (handle(n) for n in ("scatter_add", "sort", "clone"))


cdef extern from "statistics.h":
    void tg_topk_f32(float* v, int64_t* at, const float* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil
    void tg_topk_f64(double* v, int64_t* at, const double* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil
    void tg_topk_i64(int64_t* v, int64_t* at, const int64_t* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil
    void tg_topk_i32(int* v, int64_t* at, const int* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil


cdef object sort_type = return_types.sort, topk_type = return_types.topk


cdef object _sort(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int dim = <object>a[1]
    cdef bint descending = <object>a[2], stable = <object>a[3]
    cdef TensorBase values = empty(self.ndim, self.shape, self.dtype, self.storage.device)
    cdef TensorBase indices = empty(self.ndim, self.shape, dtype_of(TG_I64), self.storage.device)
    if self.dtype.category == CAT_COMPLEX:
        raise NotImplementedError("\"sort\" not implemented for complex tensors, which have no order")
    if self.ndim == 0:
        primitives.copy(values, self)
        primitives.fill(indices, 0)
    elif primitives.has_kernel(self, "sort"):
        primitives.sort(values, indices, self, dim, descending, stable)
    else:
        _sort_by_rank(values, indices, self, dim, descending)
    return named_pair(sort_type, values, indices)


def _sort_by_rank(values, indices, self, dim, descending):
    """For devices without a sort: an element's place is the number of those that come before it. Quadratic."""
    x = movedim(self, dim, -1)
    n = x.size(-1)
    a, b = unsqueeze(x, -1), unsqueeze(x, -2)
    place = arange(n, device=self.device)
    first = (b < a) | ((a != a) & (b == b)) if not descending else (b > a) | ((b != b) & (a == a))
    same = (b == a) | ((a != a) & (b != b))
    earlier = unsqueeze(place, 0) < unsqueeze(place, 1)
    rank = sum_(first | (same & earlier), -1)
    order = scatter_add(zeros_like(rank), -1, rank, expand(place, rank.shape))
    indices.copy_(movedim(order, -1, dim))
    values.copy_(gather(self, dim, indices))


operator("sort(Tensor self, Dim dim=-1, bool descending=False, *, bool stable=False) -> (Tensor values, Tensor indices)", native(_sort),
         vjp={"self": lambda grad_values, self_shape, dim, indices: _put_back(grad_values, self_shape, dim, indices, True)},
         jvp=lambda self_t, dim, indices: (_pick(self_t, dim, indices, True), None), nondifferentiable=("indices",),
         reference="(np.flip(np.sort(self, dim), dim), self.shape[dim] - 1"
         " - np.flip(np.argsort(np.flip(self, dim), dim, kind='stable'), dim))"
         " if descending else (np.sort(self, dim), np.argsort(self, dim, kind='stable'))",
         samples=lambda make: [((make(3, 4),), {}), ((make(4, 3), 0), {}), ((make(5), -1, True), {})],
         doc="""The elements in order along a dimension, and the indices they had; nan counts as the largest.

    Examples
    --------
    >>> tensorgrad.sort(tensorgrad.tensor([3.0, 1.0, 2.0])).indices
    tensor([1, 2, 0])
    """)
composite("argsort(Tensor self, Dim dim=-1, bool descending=False, *, bool stable=False)",
          lambda self, dim, descending, stable: sort(self, dim, descending, stable=stable)[1],
          reference="np.argsort(self, dim, kind='stable')", doc="The indices that put a dimension in order.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 0), {})])
composite("msort(Tensor self)", lambda self: sort(self, 0)[0], reference="np.sort(self, 0)",
          samples=lambda make: [((make(4, 3),), {})], doc="The elements in order along the first dimension.")
cdef TensorBase copied(TensorBase x):
    """`x` in memory of its own: what an operator returns must be no view of what it has made on the way."""
    cdef TensorBase y = empty(x.ndim, x.shape, x.dtype, x.storage.device)
    primitives.copy(y, x)
    return y


cdef void topk_lanes(int code, char* v, int64_t* at, const char* x, int64_t lanes, int64_t step, int64_t n, int64_t k,
                     bint largest) noexcept nogil:
    cdef int64_t lane, i, start, to_
    for lane in range(lanes):
        for i in range(step):
            start, to_ = lane * n * step + i, lane * k * step + i
            if code == TG_F32:
                tg_topk_f32(<float*>v + to_, at + to_, <const float*>x + start, step, n, k, largest)
            elif code == TG_F64:
                tg_topk_f64(<double*>v + to_, at + to_, <const double*>x + start, step, n, k, largest)
            elif code == TG_I64:
                tg_topk_i64(<int64_t*>v + to_, at + to_, <const int64_t*>x + start, step, n, k, largest)
            else:
                tg_topk_i32(<int*>v + to_, at + to_, <const int*>x + start, step, n, k, largest)


cdef object _topk(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0], values, indices
    cdef int64_t k = <object>a[1], n, step = 1, lanes = 1
    cdef int dim = <object>a[2], d, code = self.dtype.code
    cdef bint largest = <object>a[3]
    cdef int64_t shape[64]
    cdef char* v
    cdef char* x
    cdef int64_t* at
    n = self.shape[dim] if self.ndim else 1
    if k < 0 or k > n:
        raise RuntimeError("selected index k out of range")
    if self.ndim == 0 or k > 48 or code not in (TG_F32, TG_F64, TG_I64, TG_I32) or not self.flags & CONTIGUOUS \
            or self.storage.device is not cpu:
        both = sort(self, dim, largest)
        if self.ndim == 0:
            return topk_type(both)
        return topk_type((copied(both[0].narrow(dim, 0, k)), copied(both[1].narrow(dim, 0, k))))
    for d in range(self.ndim):
        shape[d] = k if d == dim else self.shape[d]
        if d > dim:
            step *= self.shape[d]
        elif d < dim:
            lanes *= self.shape[d]
    values = empty(self.ndim, shape, self.dtype, cpu)
    indices = empty(self.ndim, shape, dtype_of(TG_I64), cpu)
    v, x, at = memory(values), memory(self), <int64_t*>memory(indices)
    if k and self.numel:
        if self.numel < RELEASE_GIL_AT:
            topk_lanes(code, v, at, x, lanes, step, n, k, largest)
        else:
            with nogil:
                topk_lanes(code, v, at, x, lanes, step, n, k, largest)
    return named_pair(topk_type, values, indices)


operator("topk(Tensor self, int k, Dim dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)", native(_topk),
         vjp={"self": lambda grad_values, self_shape, dim, indices: _put_back(grad_values, self_shape, dim, indices, True)},
         jvp=lambda self_t, dim, indices: (_pick(self_t, dim, indices, True), None), nondifferentiable=("indices",),
         samples=lambda make: [((make(5), 2), {}), ((make(3, 4), 2, 0, False), {})],
         doc="The `k` largest (or smallest) elements along a dimension, and the indices they had.")


def _kth(TensorBase self, k, dim, keepdim):
    if not 1 <= k <= (self.shape[dim] if self.ndim else 1):
        raise RuntimeError("kthvalue(): selected number k out of range for dimension " + str(dim))
    values, indices = sort(self, dim, stable=True)
    if self.ndim:
        values, indices = copied(values.narrow(dim, k - 1, 1)), copied(indices.narrow(dim, k - 1, 1))
        if not keepdim:
            lose(values, dim)
            lose(indices, dim)
    return return_types.kthvalue((values, indices))


def _median(TensorBase self, dim, keepdim):
    """The lower of the two in the middle; sorted last, a nan is the median whenever there is one."""
    if self.ndim == 0:
        return return_types.median((clone(self), zeros_like(self, dtype=dtype_of(TG_I64))))
    n = self.shape[dim]
    if n == 0:
        raise IndexError(f"median(): Expected reduction dim {dim} to have non-zero size.")
    values, indices = sort(self, dim, stable=True)
    if self.is_floating_point():
        missing = sum_(self != self, dim, True)
        place = where(missing > 0, n - missing, (n - 1) // 2)
        values, indices = gather(values, dim, place), gather(indices, dim, place)
    else:
        values, indices = copied(values.narrow(dim, (n - 1) // 2, 1)), copied(indices.narrow(dim, (n - 1) // 2, 1))
    if not keepdim:
        lose(values, dim)
        lose(indices, dim)
    return return_types.median((values, indices))


def _median_of_all(TensorBase self):
    if self.numel == 0:
        return handle("full")((), math.nan, dtype=self.dtype, device=self.storage.device)
    return _median(reshape(self, (-1,)), 0, False)[0]


def _share_median(grad, self, out):
    """Split among the elements that are the median: with a nan among them, among the nans."""
    reach = to((self == out) | ((self != self) & (out != out)), grad.dtype)
    return grad * reach / sum_(reach)


def _median_tangent(self, self_t, out):
    reach = to((self == out) | ((self != self) & (out != out)), self_t.dtype)
    return sum_(where(reach != 0, self_t, 0)) / sum_(reach)


composite("median(Tensor self)", lambda self: handle("_median")(self), samples=lambda make: [((make(5),), {}), ((make(2, 3),), {})],
          doc="The middle element (the lower of two); along a dimension also the index it had. nan if there is one.")
operator("_median(Tensor self)", _median_of_all, vjp={"self": _share_median}, jvp=_median_tangent, node="median", internal=True,
         batch=lambda batch_size, in_dims, self: (
             handle("median")(reshape(movedim(self, in_dims[0], 0), (batch_size, -1)), 1)[0] if self.ndim > 1 else clone(self), 0),
         samples=lambda make: [((make(5),), {}), ((make(2, 3),), {})], doc="The middle element (the lower of two).")
for _name, _signature, _forward, _doc, _samples in (
        ("median", "median(Tensor self, Dim dim, bool keepdim=False)", _median, None,
         lambda make: [((make(3, 5), 1), {}), ((make(4, 3), 0, True), {})]),
        ("kthvalue", "kthvalue(Tensor self, int k, Dim dim=-1, bool keepdim=False)", _kth,
         "The `k`-th smallest element along a dimension, and the index it had.",
         lambda make: [((make(3, 4), 2), {}), ((make(3, 4), 1, 0, True), {})])):
    operator(_signature + " -> (Tensor values, Tensor indices)", _forward,
             vjp={"self": lambda grad_values, self_shape, dim, indices, keepdim:
                  _put_back(grad_values, self_shape, dim, indices, keepdim)},
             jvp=lambda self_t, dim, indices, keepdim: (_pick(self_t, dim, indices, keepdim), None),
             nondifferentiable=("indices",), out_apart=_name == "kthvalue", doc=_doc, samples=_samples)
composite("unique(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, Dim? dim=None) -> Any",
          lambda self, sorted, return_inverse, return_counts, dim: _unique(self, return_inverse, return_counts, dim, True),
          doc="The different elements (or slices of a dimension) in order; optionally where each went, and how many there are of each.")
composite("unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, Dim? dim=None) -> Any",
          lambda self, return_inverse, return_counts, dim: _unique(self, return_inverse, return_counts, dim, False),
          doc="The elements (or slices of a dimension) but for those that equal the one before; optionally where each went, and counts.")


def _unique(self, return_inverse, return_counts, dim, ordered):
    """Groups of equal rows: in order they are neighbours, and a row that differs from the one before begins a group."""
    self = self.detach()
    x = reshape(self, (-1, 1)) if dim is None else movedim(self, dim, 0)
    n = x.size(0)
    rows = reshape(x, (n, -1)) if x.numel() else x.flatten(1) if x.ndim > 1 else reshape(x, (n, 1))
    order = _lexical_order(rows) if ordered else None
    if order is not None:
        x, rows = handle("index_select")(x, 0, order), handle("index_select")(rows, 0, order)
    new = handle("ones")(n, dtype=dtype_of(TG_BOOL), device=self.device)
    if n > 1:
        new[1:] = (rows[1:] != rows[:-1]).any(1)
    result = [x[new]]
    result[0] = reshape(result[0], (-1,)) if dim is None else movedim(result[0], 0, dim)
    group = cumsum(new, 0) - 1
    if return_inverse:
        inverse = group
        if order is not None:
            inverse = zeros_like(group)
            inverse[order] = group
        result.append(reshape(inverse, tuple(self.shape)) if dim is None else inverse)
    if return_counts:
        counts = handle("zeros")(int(new.sum().item()), dtype=dtype_of(TG_I64), device=self.device)
        result.append(scatter_add(counts, 0, group, handle("ones_like")(group)))
    return result[0] if len(result) == 1 else tuple(result)


def _lexical_order(rows):
    """The order of rows by their first column, among equal ones by the second, and so on: stable sorts from the last on."""
    order = arange(rows.size(0), device=rows.device)
    for column in range(rows.size(1) - 1, -1, -1):
        order = order[sort(rows[:, column][order], stable=True)[1]]
    return order
