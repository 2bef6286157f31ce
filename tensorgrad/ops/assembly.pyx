"""Tensors put together from parts, parts written into copies, and the grids of indices that go with them."""
from tensorgrad._core.operator cimport Operator, handle

import itertools

from tensorgrad._core.declaration import composite
from tensorgrad._core.dtype import names

cdef Operator packed_clone = handle("_packed_clone")
cdef Operator cat, stack, reshape, arange, where, zeros, select, slice_, diagonal, clone, unsqueeze, copy_, tensor_split
cat, stack, reshape, arange, where, zeros = (handle(n) for n in ("cat", "stack", "reshape", "arange", "where", "zeros"))
cdef Operator select_backward = handle("select_backward"), slice_backward = handle("slice_backward")
cdef Operator diagonal_backward = handle("diagonal_backward")
select, slice_, diagonal, clone = (handle(n) for n in ("select", "slice", "diagonal", "clone"))
unsqueeze, copy_, tensor_split = (handle(n) for n in ("unsqueeze", "copy_", "tensor_split"))


# ---- a part of a copy written ------------------------------------------------------------------------------------------
def _written(self, src, part, back):
    """A copy of `self` in which the view that `part` takes of it holds `src`: `back` puts a part into zeros."""
    shape = tuple(part(self).shape)
    if shape != tuple(src.shape):
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, "
                           f"slice size = {list(shape)}")
    there = back(handle("ones")(shape, dtype=self.dtype, device=self.device), tuple(self.shape)) != 0
    return where(there, back(src.to(self.dtype), tuple(self.shape)), self)


composite("select_scatter(Tensor self, Tensor src, Dim dim, int index)",
          lambda self, src, dim, index: _written(self, src, lambda x: select(x, dim, index),
                                                   lambda g, shape: select_backward(g, shape, dim, index)),
          samples=lambda make: [((make(3, 4), make(4), 0, 1), {})], doc="A copy with `src` at one index of a dimension.")
composite("slice_scatter(Tensor self, Tensor src, Dim dim=0, int? start=None, int? end=None, int step=1)",
          lambda self, src, dim, start, end, step: _written(self, src, lambda x: slice_(x, dim, start, end, step),
                                                            lambda g, shape: slice_backward(g, shape, dim, start, end, step)),
          samples=lambda make: [((make(5, 2), make(2, 2), 0, 1, 5, 2), {})], doc="A copy with `src` at a slice of a dimension.")
composite("diagonal_scatter(Tensor self, Tensor src, int offset=0, Dim dim1=0, Dim dim2=1)",
          lambda self, src, offset, dim1, dim2: _written(self, src, lambda x: diagonal(x, offset, dim1, dim2),
                                                         lambda g, shape: diagonal_backward(g, shape, offset, dim1, dim2)),
          samples=lambda make: [((make(3, 4), make(3)), {})], doc="A copy with `src` on a diagonal.")


def _strided_scatter(self, src, size, stride, offset):
    out = clone(self).contiguous()
    copy_(handle("as_strided")(out, size, stride, offset), src)
    return out


composite("as_strided_scatter(Tensor self, Tensor src, Size size, Size stride, int? storage_offset=None)",
          lambda self, src, size, stride, offset: _strided_scatter(self, src, size, stride, offset),
          samples=lambda make: [], doc="A copy with `src` where `as_strided` would look.")
composite("put(Tensor self, Tensor index, Tensor source, bool accumulate=False)",
          lambda self, index, source, accumulate: reshape(handle("index_put")(
              reshape(self, (-1,)), (reshape(index, (-1,)),), reshape(source, (-1,)), accumulate), self.shape), inplace=True,
          samples=lambda make: [((make(3, 4), make(2, integer=12), make(2), True), {})],
          doc="A copy with the elements of `source` at places counted in order.")

# ---- putting together ----------------------------------------------------------------------------------------------------
composite("block_diag(Tensor... tensors)", lambda tensors: _block_diag(tensors), method=False,
          samples=lambda make: [(((make(2, 3), make(1, 2)),), {})], doc="Matrices along a diagonal, zeros elsewhere.")
composite("cartesian_prod(Tensor... tensors)", lambda tensors: _cartesian_prod(tensors), method=False,
          samples=lambda make: [(((make(2), make(3)),), {})], doc="Every choice of one element from each vector, a row for each.")
composite("combinations(Tensor self, int r=2, bool with_replacement=False)",
          lambda self, r, with_replacement: _combinations(self, r, with_replacement),
          samples=lambda make: [((make(4),), {}), ((make(3), 2, True), {})],
          doc="Every choice of `r` elements of a vector, a row for each.")
composite("diagflat(Tensor self, int offset=0)", lambda self, offset: handle("diag")(reshape(self, (-1,)), offset),
          reference="np.diagflat(self, offset)", samples=lambda make: [((make(2, 2),), {}), ((make(3), 1), {})],
          doc="The matrix that has the elements on a diagonal.")


def _block_diag(tensors):
    blocks = []
    for x in tensors:
        if x.ndim > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input has {x.ndim} dimensions"
                               .replace("torch.", ""))
        blocks.append(reshape(x, (1, -1)) if x.ndim < 2 else x)
    width = sum([x.size(1) for x in blocks])
    rows, before = [], 0
    for x in blocks:
        left, right = (zeros((x.size(0), n), dtype=x.dtype, device=x.device) for n in (before, width - before - x.size(1)))
        rows.append(cat((left, x, right), 1))
        before += x.size(1)
    return cat(tuple(rows), 0)


def _cartesian_prod(tensors):
    if len(tensors) == 1:
        return tensors[0]
    grids = handle("meshgrid")(tensors, indexing="ij")
    return stack(tuple([reshape(x, (-1,)) for x in grids]), 1)


def _combinations(self, r, with_replacement):
    if self.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(self.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(self.size(0)), r))
    if r == 0:
        return zeros((0,), dtype=self.dtype, device=self.device)
    if not rows:
        return handle("expand")(reshape(self[:0], (0, 1)), (0, r))      # with its history
    columns = [self[list(column)] for column in zip(*rows)]
    return stack(tuple(columns), 1)


# ---- cutting ------------------------------------------------------------------------------------------------------------------
for _name, _rank, _dim in (("hsplit", 1, 1), ("vsplit", 2, 0), ("dsplit", 3, 2)):
    for _type, _samples in (("int", lambda make: [((make(4, 4, 4), 2), {})]), ("Size", lambda make: [((make(4, 4, 4), (1, 3)), {})])):
        composite(f"{_name}(Tensor self, {_type} indices_or_sections) -> Tensor[]",
                  lambda self, n, name=_name, rank=_rank, dim=_dim: _cut(self, n, name, rank, dim), samples=_samples,
                  doc=f"`tensor_split` along dimension {_dim}" + (", of a vector along its only one." if _rank == 1 else "."))


def _cut(self, n, name, rank, dim):
    if self.ndim < rank:
        raise RuntimeError(f"tensorgrad.{name} requires a tensor with at least {rank} dimension, but got a tensor with {self.ndim} "
                           "dimensions!")
    dim = 0 if self.ndim == 1 else dim
    if isinstance(n, int) and (n < 1 or self.size(dim) % n):
        raise RuntimeError(f"tensorgrad.{name} attempted to split along dimension {dim}, but the size of the dimension {self.size(dim)} is "
                           f"not divisible by the split_size {n}!")
    return tensor_split(self, n, dim)


# ---- grids of indices ------------------------------------------------------------------------------------------------------------
for _name, _lower in (("tril_indices", True), ("triu_indices", False)):
    composite(f"{_name}(int row, int col, int offset=0, *, DType? dtype=None, Device? device=None)",
              lambda row, col, offset, dtype, device, lower=_lower: _triangle(row, col, offset, dtype, device, lower), method=False,
              doc=f"The indices of the {'lower' if _lower else 'upper'} triangle of a matrix: a row of row numbers, one of column numbers.")


def _triangle(row, col, offset, dtype, device, lower):
    rows, columns = unsqueeze(arange(row, device=device), 1), arange(col, device=device)
    keep = columns - rows <= offset if lower else columns - rows >= offset
    found = handle("nonzero")(keep).t().contiguous()
    return found if dtype is None else found.to(dtype)


composite("unravel_index(Tensor indices, Size shape) -> Tensor[]", lambda indices, shape: _unravel(indices, shape), method=False,
          samples=lambda make: [((make(5, integer=12), (3, 4)), {})], reference="np.unravel_index(indices, shape)",
          doc="Places counted in order as indices, a tensor for each dimension.")


def _unravel(indices, shape):
    if indices.is_floating_point() or indices.is_complex():
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if any([n < 0 for n in shape]):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(shape)}")
    indices, found = handle("to")(indices, names()["int64"]), []
    for n in reversed(shape):
        found.append(indices % n)
        indices = handle("floor_divide")(indices, n)
    return tuple(found[::-1])


composite("renorm(Tensor self, Number p, Dim dim, Number maxnorm)", lambda self, p, dim, maxnorm: _renorm(self, p, dim, maxnorm),
          inplace=True,
          samples=lambda make: [((make(3, 4), 2, 0, 1.5), {})],
          doc="Slices of a dimension made shorter where their p-norm is above `maxnorm`.")


def _renorm(self, p, dim, maxnorm):
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if self.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {self.ndim} dimensions")
    size = handle("norm")(self, p, tuple([d for d in range(self.ndim) if d != dim]), True)
    return self * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


composite("addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1)",
          lambda self, batch1, batch2, beta, alpha: _addbmm(self, batch1, batch2, beta, alpha), inplace=True,
          samples=lambda make: [((make(2, 4), make(3, 2, 3), make(3, 3, 4)), {})], reference="self + np.sum(batch1 @ batch2, axis=0)",
          doc="``beta * self + alpha * (sum of the products of a batch of matrices)``.")


def _addbmm(self, batch1, batch2, beta, alpha):
    """Of integers the factors lose their fractions, as in `addmm`."""
    product = handle("sum")(handle("bmm")(batch1, batch2), (0,), dtype=batch1.dtype)
    if not (self.is_floating_point() or self.is_complex()):
        beta, alpha = int(beta), int(alpha)
    return product * alpha + (0 if beta == 0 else self * beta)


composite("vander(Tensor x, int? N=None, bool increasing=False)", lambda x, n, increasing: _vander(x, n, increasing), method=False,
          samples=lambda make: [((make(4),), {}), ((make(3), 2, True), {})], reference="np.vander(x, N, increasing)",
          doc="The powers of the elements of a vector, a row for each.")


def _vander(x, n, increasing):
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.size(0) if n is None else n
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    powers = handle("pow")(unsqueeze(x, 1), arange(n, device=x.device))
    return powers if increasing else handle("flip")(powers, (1,))


# ---- copies of what is otherwise a view ---------------------------------------------------------------------------------------------
for _signature, _call in (("alias_copy(Tensor self)", lambda self: self), ("t_copy(Tensor self)", handle("t")),
                          ("transpose_copy(Tensor self, Dim dim0, Dim dim1)", handle("transpose")),
                          ("permute_copy(Tensor self, Dims dims)", handle("permute")),
                           ("view_copy(Tensor self, Size size)", handle("view")),
                          ("expand_copy(Tensor self, Size size)", handle("expand")), ("unsqueeze_copy(Tensor self, NewDim dim)", unsqueeze),
                          ("squeeze_copy(Tensor self)", handle("squeeze")), ("squeeze_copy(Tensor self, Dims dim)", handle("squeeze")),
                           ("select_copy(Tensor self, Dim dim, int index)", select),
                          ("narrow_copy(Tensor self, Dim dim, int start, int length)", handle("narrow")),
                          ("diagonal_copy(Tensor self, int offset=0, Dim dim1=0, Dim dim2=1)", diagonal),
                          ("unfold_copy(Tensor self, Dim dimension, int size, int step)", handle("unfold"))):
    composite(_signature, lambda *args, call=_call: packed_clone(call(*args)), method=_signature.startswith("narrow"),
              samples=lambda make: [], doc=f"`{_signature.partition('_copy')[0]}` as a copy whose elements lie in order.")
