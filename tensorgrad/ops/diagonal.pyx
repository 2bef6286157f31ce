"""Diagonals and triangles of matrices."""
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase
from tensorgrad.ops.shape cimport sizes_of, strided, strides_of
from tensorgrad.ops.slicing cimport zeros_for

from tensorgrad._core.declaration import composite, operator

cdef Operator unsqueeze, sum_, zeros, movedim, diagonal, diagonal_backward, arange, where
unsqueeze, sum_, zeros, movedim, diagonal = (handle(n) for n in ("unsqueeze", "sum", "zeros", "movedim", "diagonal"))
diagonal_backward, arange, where = (handle(n) for n in ("diagonal_backward", "arange", "where"))


# ---- diagonals ------------------------------------------------------------------------------------------------
def _diagonal(TensorBase self, int64_t offset, int dim1, int dim2):
    if not (0 <= dim1 < self.ndim and 0 <= dim2 < self.ndim):
        raise IndexError(f"Dimension out of range (expected to be in range of [0, {self.ndim - 1}], but got {(dim1, dim2)})")
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    cdef list shape = sizes_of(self), strides = strides_of(self)
    rows, columns = shape[dim1], shape[dim2]
    n = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = self.offset
    if n:
        start += offset * strides[dim2] if offset >= 0 else -offset * strides[dim1]
    step = strides[dim1] + strides[dim2]
    for d in sorted((dim1, dim2), reverse=True):
        del shape[d]
        del strides[d]
    return strided(self, shape + [n], strides + [step], start)


operator("diagonal(Tensor self, int offset=0, Dim dim1=0, Dim dim2=1)", _diagonal, view=True,
         vjp={"self": lambda grad, self_shape, offset, dim1, dim2: diagonal_backward(grad, self_shape, offset, dim1, dim2)},
         jvp="linear", reference="np.diagonal(self, offset, dim1, dim2)",
         samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1), {}), ((make(2, 3, 3), -1, 1, 2), {})],
         doc="A diagonal of two dimensions, as a view with the diagonal as its last dimension.")


def _diagonal_backward(TensorBase grad, shape, offset, dim1, dim2):
    cdef TensorBase out = zeros_for(grad, shape)
    primitives.copy(_diagonal(out, offset, dim1, dim2), grad)
    return out


operator("diagonal_backward(Tensor grad_output, Size input_sizes, int offset, int dim1, int dim2)", _diagonal_backward,
         batch=lambda batch_size, in_dims, grad, shape, offset, dim1, dim2:
         (diagonal_backward(movedim(grad, in_dims[0], 0), (batch_size, *shape), offset, dim1 + 1, dim2 + 1), 0),
         vjp={"grad_output": lambda grad, offset, dim1, dim2: diagonal(grad, offset, dim1, dim2)}, jvp="linear", method=False,
         internal=True, doc="Zeros of a shape, but for a diagonal: the transpose of `diagonal`.",
         samples=lambda make: [((make(3), (3, 4), 1, 0, 1), {})])
composite("diag(Tensor self, int diagonal=0)", lambda self, offset: _diag(self, offset), reference="np.diag(self, diagonal)",
          samples=lambda make: [((make(3),), {}), ((make(3), 1), {}), ((make(3, 4), -1), {})],
          doc="The diagonal of a matrix, as a copy, or the matrix that has a vector on its diagonal.")


def _diag(self, offset):
    if self.ndim == 2:
        return handle("_packed_clone")(diagonal(self, offset))
    if self.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {self.ndim}D")
    n = self.size(0) + abs(offset)
    return diagonal_backward(self, (n, n), offset, 0, 1)


composite("diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1)",
          lambda self, offset, dim1, dim2: _diag_embed(self, offset, dim1, dim2),
          doc="Matrices that have the last dimension on their diagonals.",
          samples=lambda make: [((make(2, 3),), {}), ((make(3), 1), {}), ((make(2, 3), -1, 0, 2), {})])


def _diag_embed(self, offset, dim1, dim2):
    for dim in (dim1, dim2):
        if not -self.ndim - 1 <= dim <= self.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-self.ndim - 1}, {self.ndim}], but got {dim})")
    if (dim1 - dim2) % (self.ndim + 1) == 0:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = self.size(-1) + abs(offset)
    out = diagonal_backward(self, (*self.shape[:-1], n, n), offset, self.ndim - 1, self.ndim)
    return movedim(out, (self.ndim - 1, self.ndim), (dim1, dim2))


# ---- triangles -----------------------------------------------------------------------------------------------------------
def _triangle(bint lower):
    def forward(self, diagonal):
        if self.ndim < 2:
            raise RuntimeError(f"{'tril' if lower else 'triu'}: input tensor must have at least 2 dimensions, got {self.ndim}")
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
