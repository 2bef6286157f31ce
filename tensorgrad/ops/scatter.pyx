"""Gathering and scattering along one dimension, by an index for each element or for each slice."""
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.dtype cimport CAT_INT, TG_BOOL, TG_I64, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.primitives cimport SCATTER_ADD, SCATTER_MAX, SCATTER_MIN, SCATTER_MUL, SCATTER_SET
from tensorgrad._core.types cimport TensorBase, empty, new_tensor, shape_tuple

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.dtype import iinfo
from tensorgrad.ops.indexing import getitem

cdef Operator gather, scatter, scatter_add, to, expand, reshape, movedim, where, zeros, slice_backward, index_select, index_add
cdef Operator conj, zeros_like, sum_
gather, scatter, scatter_add, to, expand = (handle(n) for n in ("gather", "scatter", "scatter_add", "to", "expand"))
reshape, movedim, where, zeros, slice_backward = (handle(n) for n in ("reshape", "movedim", "where", "zeros", "slice_backward"))
index_select, index_add, conj, zeros_like = (handle(n) for n in ("index_select", "index_add", "conj_physical", "zeros_like"))
sum_ = handle("sum")


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
         out_apart=True, out_exact="Expected out tensor to have dtype {c_wanted}, but got {c_got} instead",
         doc="The elements at ``out[i][j] = self[index[i][j]][j]`` (for dim 0).")


def _scattered(int mode, str name):
    def forward(TensorBase self, int dim, TensorBase index, TensorBase src):
        cdef TensorBase out, i = _index_like(index, self, name)
        if src.dtype is not self.dtype:
            raise RuntimeError(f"scatter(): Expected self.dtype to be equal to src.dtype ({name}: {self.dtype} and {src.dtype})")
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
          lambda self, dim, index, source, reduce, include_self: _index_reduce(self, dim, index, source, reduce, include_self),
          inplace=True,
          samples=lambda make: [((make(3, 4), 1, make(2, integer=4), make(3, 2), "prod"), {})],
          doc="`scatter_reduce` of whole slices of one dimension, by 'prod', 'mean', 'amax' or 'amin'.")


def _check_source(name, self, dim, index, source):
    """A slice of `source` for each index, of the shape of a slice of `self`."""
    if index.ndim > 1:
        raise IndexError(f"{name}_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {index.dtype}")
    mine, theirs = (list(x.shape) for x in (self, source))
    if len(mine) != len(theirs) or any([a != b for d, (a, b) in enumerate(zip(mine, theirs)) if d != dim]):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
                           f"{mine} source.shape = {theirs}")
    if index.numel() != (theirs[dim] if theirs else 1):
        raise RuntimeError(f"{name}_(): Number of indices ({index.numel()}) should be equal to source.size(dim): "
                           f"({theirs[dim] if theirs else 1}), for dim: {dim}")


def _index_reduce(self, dim, index, source, reduce, include_self):
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    _check_source("index_reduce", self, dim, index, source)
    wide = _wide_index(index, source, dim) if self.ndim else reshape(index, ())
    return _scatter_reduced(self, dim, wide, source, reduce, include_self)


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
    if self.ndim:
        _check_source("index_add", self, dim, index, source)
    if self.ndim == 0:
        total = sum_(source, dtype=self.dtype)
        return self + (total if alpha == 1 else total * alpha)
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
    # by a mask, since the gradient of the value is that of each place once, however often its index stands there
    if self.ndim == 0:
        return where(reshape(index, ()) == reshape(index, ()), to(value, self.dtype), self)
    places = zeros(self.size(dim), dtype=dtype_of(TG_I64), device=self.device)
    hit = handle("index_fill")(places, 0, index, 1) != 0
    return where(reshape(hit, (-1,) + (1,) * (self.ndim - dim - 1)), to(value, self.dtype), self)


def _index_fill(self, dim, index, value):
    index = where(index < 0, index + (self.size(dim) if self.ndim else 1), index)       # counted from the end
    return scatter(self, dim, _wide_index(index, index_select(self, dim, index), dim) if self.ndim else reshape(index, ()), value)


composite("index_fill(Tensor self, Dim dim, Tensor index, Number value)",
          lambda self, dim, index, value: _index_fill(self, dim, index, value),
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
