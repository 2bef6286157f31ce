"""The order of dimensions, and of the elements along them: transposes, flips, rolls and rotations."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, int_tuple
from tensorgrad.ops.creation cimport empty_like
from tensorgrad.ops.shape cimport read_sizes, sizes_of, strided, strides_of, with_geometry

import warnings

from tensorgrad._core.declaration import composite, operator

cdef Operator reshape, permute, transpose, slice_, cat, movedim, flip, clone
reshape, permute, transpose, slice_, cat = (handle(n) for n in ("reshape", "permute", "transpose", "slice", "cat"))
movedim, flip, clone = (handle(n) for n in ("movedim", "flip", "clone"))


# ---- order of dimensions ---------------------------------------------------------------------------------
cdef object _permute(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t order[64]
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d, n = read_sizes(<object>a[1], order)
    if n != self.ndim:
        raise RuntimeError(f"permute(): number of dimensions in the tensor input does not match the length of the desired "
                           f"ordering of dimensions i.e. input.dim() = {self.ndim} is not equal to len(dims) = {n}")
    for d in range(n):
        shape[d], strides[d] = self.shape[order[d]], self.strides[order[d]]
    return with_geometry(self, n, shape, strides)


def _inverse(dims):
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return tuple(inverse)


def _permute_batch(batch_size, in_dims, self, dims):
    return permute(movedim(self, in_dims[0], 0), (0, *[d + 1 for d in dims])), 0


operator("permute(Tensor self, Dims dims)", native(_permute), view=True, batch=_permute_batch,
         repeated_dims="permute(): duplicate dims are not allowed.",
         vjp={"self": lambda grad, dims: permute(grad, _inverse(dims))}, jvp="linear", reference="np.transpose(self, dims)",
         samples=lambda make: [((make(2, 3, 4), (2, 0, 1)), {})], doc="The dimensions in another order, as a view.")


cdef TensorBase transposed(TensorBase self, int dim0, int dim1):
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    memcpy(shape, self.shape, self.ndim * sizeof(int64_t))
    memcpy(strides, self.strides, self.ndim * sizeof(int64_t))
    if self.ndim:
        shape[dim0], shape[dim1] = self.shape[dim1], self.shape[dim0]
        strides[dim0], strides[dim1] = self.strides[dim1], self.strides[dim0]
    return with_geometry(self, self.ndim, shape, strides)


cdef object _transpose(PyObject** a):
    return transposed(<TensorBase>a[0], <object>a[1], <object>a[2])


operator("transpose(Tensor self, Dim dim0, Dim dim1)", native(_transpose), view=True,
         vjp={"self": lambda grad, dim0, dim1: transpose(grad, dim0, dim1)}, jvp="linear", aliases=("swapaxes", "swapdims"),
         reference="np.swapaxes(self, dim0, dim1)", samples=lambda make: [((make(2, 3, 4), 0, -1), {})],
         doc="Two dimensions exchanged, as a view.")


cdef object _t(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    if self.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return transposed(self, 0, self.ndim - 1)


def _t_batch(batch_size, in_dims, self):
    x = movedim(self, in_dims[0], 0)
    return (transpose(x, 1, 2) if x.ndim == 3 else x), 0


operator("t(Tensor self)", native(_t), view=True, batch=_t_batch, vjp={"self": lambda grad: handle("t")(grad)}, jvp="linear",
         reference="self.T", samples=lambda make: [((make(2, 3),), {}), ((make(3),), {})],
         doc="A matrix transposed, as a view; a vector or scalar as it is.")
cdef tuple _exchanged = (1, 0)


cdef object _reversed(PyObject** a):
    cdef PyObject* b[2]
    cdef int64_t order[64]
    cdef int d, n = (<TensorBase>a[0]).ndim
    if n != 2 and n != 0:
        warnings.warn("The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw "
                      "an error in a future release. Consider `x.mT` to transpose batches of matrices or "
                      "`x.permute(*range(x.ndim)[::-1])` to reverse the dimensions of a tensor.", stacklevel=2)
    for d in range(n):
        order[d] = n - 1 - d
    dims = _exchanged if n == 2 else int_tuple(n, order)
    b[0], b[1] = a[0], <PyObject*>dims
    return invoke(permute, b)


composite("T(Tensor self)", native(_reversed), method="property", function=False, reference="self.T",
          samples=lambda make: [((make(2, 3),), {})], doc="The dimensions in reverse order, as a view; of a matrix its transpose.")
composite("mT(Tensor self)", lambda self: _matrix_transpose(self, "mT"), method="property", function=False,
          reference="np.swapaxes(self, -1, -2)", samples=lambda make: [((make(2, 3),), {}), ((make(2, 3, 4),), {})],
          doc="The last two dimensions exchanged, as a view.")
composite("mH(Tensor self)", lambda self: handle("conj")(_matrix_transpose(self, "mH")), method="property", function=False,
          reference="np.conj(np.swapaxes(self, -1, -2))", samples=lambda make: [((make(2, 3),), {})],
          doc="The last two dimensions exchanged, and conjugated.")
composite("adjoint(Tensor self)", lambda self: handle("conj")(_matrix_transpose(self, "adjoint()")),
          reference="np.conj(np.swapaxes(self, -1, -2))", samples=lambda make: [((make(2, 3),), {})],
          doc="The last two dimensions exchanged, and conjugated: the function of `mH`.")
composite("H(Tensor self)", lambda self: _adjoint(self), method="property", function=False, reference="np.conj(self.T)",
          samples=lambda make: [((make(2, 3),), {})], doc="A matrix transposed and conjugated.")


def _matrix_transpose(self, name):
    if self.ndim < 2:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    return transpose(self, -2, -1)


def _adjoint(self):
    if self.ndim != 2:
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
    return handle("conj")(transpose(self, 0, 1))


composite("movedim(Tensor self, Dims source, Dims destination)", lambda self, source, destination: _movedim(self, source, destination),
          aliases=("moveaxis",), reference="np.moveaxis(self, source, destination)",
          repeated_dims="movedim: repeated dim in `{parameter}` ({dims})",
          samples=lambda make: [((make(2, 3, 4), 0, 2), {})], doc="Some dimensions moved to other places, as a view.")


def _movedim(TensorBase self, source, destination):
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({list(source)} dims) should contain the same "
                           f"number of dims as destination ({list(destination)} dims)")
    order = [None] * self.ndim
    for s, d in zip(source, destination) if self.ndim else ():
        order[d] = s
    rest = iter([d for d in range(self.ndim) if d not in source])
    return permute(self, tuple([next(rest) if d is None else d for d in order]))


# ---- rearranging copies ----------------------------------------------------------------------------------------
def _flip(TensorBase self, dims):
    cdef TensorBase out = empty_like(self, self.dtype)
    cdef list strides = strides_of(self)
    cdef int64_t offset = self.offset
    if self.numel:
        for d in dims:
            offset += (self.shape[d] - 1) * strides[d]
            strides[d] = -strides[d]
        primitives.copy(out, strided(self, sizes_of(self), strides, offset))
    return out


def _at_least(self, n):
    if self.ndim < n:
        raise RuntimeError(f"Input must be >= {n}-d.")
    return self


operator("flip(Tensor self, Dims dims)", _flip, vjp={"self": lambda grad, dims: flip(grad, dims)}, jvp="linear",
         reference="np.flip(self, dims)", samples=lambda make: [((make(2, 3), (0, 1)), {}), ((make(4), (0,)), {})],
         doc="The order of the indices of some dimensions reversed; a copy.")
composite("fliplr(Tensor self)", lambda self: flip(_at_least(self, 2), (1,)), reference="np.fliplr(self)", doc="Columns in reverse order.",
          samples=lambda make: [((make(2, 3),), {})])
composite("flipud(Tensor self)", lambda self: flip(_at_least(self, 1), (0,)), reference="np.flipud(self)", doc="Rows in reverse order.",
          samples=lambda make: [((make(2, 3),), {})])
# One shift has an overload of its own: the ints of roll(x, 1, 0) would otherwise be taken for two shifts.
composite("roll(Tensor self, int shifts, Dims? dims=None)", lambda self, shifts, dims: _roll(self, (shifts,), dims),
          reference="np.roll(self, shifts, dims)",
          samples=lambda make: [((make(5), 2), {}), ((make(2, 3), -1, 1), {})],
          doc="Indices shifted; what leaves at one end comes back at the other.")
composite("roll(Tensor self, Size shifts, Dims? dims=None)", lambda self, shifts, dims: _roll(self, shifts, dims),
          reference="np.roll(self, shifts, dims)", samples=lambda make: [((make(2, 3), (1, -1), (0, 1)), {})])


def _roll(self, shifts, dims):
    if not shifts:
        raise RuntimeError("`shifts` required: roll got none")
    if dims is None:
        if len(shifts) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0")
        return reshape(_roll(reshape(self, (-1,)), shifts, (0,)), self.shape)
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    for shift, dim in zip(shifts, dims):
        n = self.size(dim)
        if n and shift % n:
            start = n - shift % n
            self = cat((slice_(self, dim, start, None, 1), slice_(self, dim, 0, start, 1)), dim)
    return self if dims else clone(self)


composite("rot90(Tensor self, int k=1, Size dims=())", lambda self, k, dims: _rot90(self, k, dims or (0, 1)),
          reference="np.rot90(self, k, dims or (0, 1))", samples=lambda make: [((make(2, 3),), {}), ((make(2, 3), 3), {})],
          doc="A quarter turn in the plane of two dimensions, `k` times.")


def _rot90(self, k, dims):
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if self.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {self.ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == self.ndim:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 2:
        return flip(self, dims)
    if k == 0:
        return clone(self)
    turned = transpose(self, dims[0], dims[1])
    return flip(turned, (dims[0],) if k == 1 else (dims[1],))
