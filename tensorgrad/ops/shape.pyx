"""Operators that change how elements are arranged: views, and the copies that views cannot express."""
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcmp, memcpy

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport Overload, compile_overload, native
from tensorgrad._core.dispatch cimport invoke, run
from tensorgrad._core.dtype cimport CAT_COMPLEX, TG_C64, TG_C128, TG_F32, TG_F64, TG_I64, dtype_of, promote
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.grad_mode cimport tg_thread_state, thread_state
from tensorgrad._core.types cimport (
    CONTIGUOUS, IS_VIEW, REQUIRES_GRAD, TensorBase, bump, empty, int_tuple, new_tensor, set_geometry, version_of)
from tensorgrad._core.view cimport check_inplace

import warnings

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.size import Size

cdef Operator view, reshape, expand, permute, transpose, select, slice_, unsqueeze, squeeze, stack, cat, sum_, zeros, movedim
view, reshape, expand, permute, transpose = (handle(n) for n in ("view", "reshape", "expand", "permute", "transpose"))
select, slice_, unsqueeze, squeeze = (handle(n) for n in ("select", "slice", "unsqueeze", "squeeze"))
stack, cat, sum_, zeros, movedim = (handle(n) for n in ("stack", "cat", "sum", "zeros", "movedim"))
cdef Operator select_backward, slice_backward, diagonal, diagonal_backward, split_with_sizes, unbind, as_strided, flip
select_backward, slice_backward, diagonal, diagonal_backward = (
    handle(n) for n in ("select_backward", "slice_backward", "diagonal", "diagonal_backward"))
split_with_sizes, unbind, as_strided, flip = (handle(n) for n in ("split_with_sizes", "unbind", "as_strided", "flip"))
cdef Operator sum_to_size, narrow, to, clone, roll, packed_clone, real_copy, imag_copy, view_as_real
sum_to_size, narrow, to = (handle(n) for n in ("sum_to_size", "narrow", "to"))
clone, roll, packed_clone, view_as_real = (handle(n) for n in ("clone", "roll", "_packed_clone", "view_as_real"))
real_copy, imag_copy = handle("_real"), handle("_imag")


cdef extern from *:
    """
    #define tg_mul_overflows(a, b, result) __builtin_mul_overflow((int64_t)(a), (int64_t)(b), result)
    #define tg_add_overflows(a, b, result) __builtin_add_overflow((int64_t)(a), (int64_t)(b), result)
    """
    bint tg_mul_overflows(int64_t a, int64_t b, int64_t* result) noexcept
    bint tg_add_overflows(int64_t a, int64_t b, int64_t* result) noexcept


cdef TensorBase strided(TensorBase x, list shape, list strides, int64_t offset):
    """A view of x's memory."""
    cdef int64_t s[64]
    cdef int64_t t[64]
    cdef int i, n = <int>len(shape)
    if n > 64:
        raise RuntimeError(f"tensors have at most 64 dimensions, got {n}")
    for i in range(n):
        s[i], t[i] = shape[i], strides[i]
    return new_tensor(x.storage, x.dtype, n, s, t, offset)


cdef int read_sizes(object sizes, int64_t* into) except -1:
    """A tuple of ints as C numbers; returns how many."""
    cdef int i, n = <int>len(<tuple>sizes)
    if n > 64:
        raise RuntimeError(f"tensors have at most 64 dimensions, got {n}")
    for i in range(n):
        into[i] = <object>(<tuple>sizes)[i]
    return n


cdef TensorBase with_geometry(TensorBase x, int ndim, const int64_t* shape, const int64_t* strides):
    return new_tensor(x.storage, x.dtype, ndim, shape, strides, x.offset)


cdef list sizes_of(TensorBase x):
    return [x.shape[d] for d in range(x.ndim)]


cdef list strides_of(TensorBase x):
    return [x.strides[d] for d in range(x.ndim)]


# ---- view and reshape ----------------------------------------------------------------------------------
cdef int infer_sizes(object size, int64_t numel, int64_t* shape) except -1:
    """The shape with a -1 resolved, or PyTorch's error; returns its length."""
    cdef int64_t known = 1
    cdef bint fits = True, is_empty = False
    cdef int unknown = -1, i, n = read_sizes(size, shape)
    for i in range(n):
        if shape[i] == -1:
            if unknown >= 0:
                raise RuntimeError("only one dimension can be inferred")
            unknown = i
        elif shape[i] < 0:
            raise RuntimeError(f"invalid shape dimension {shape[i]}")
        else:
            is_empty |= shape[i] == 0
            fits &= not tg_mul_overflows(known, shape[i], &known)
    if is_empty:
        known = 0
    elif not fits:
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {numel}")
    if unknown >= 0 and known == 0 and numel == 0:
        raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(size)} because the unspecified dimension size "
                           "-1 can be any value and is ambiguous")
    if unknown >= 0 and known != 0 and numel % known == 0:
        shape[unknown] = numel // known
    elif unknown >= 0 or known != numel:
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {numel}")
    return n


cdef list infer_size(object size, int64_t numel):
    cdef int64_t shape[64]
    cdef int n = infer_sizes(tuple(size), numel, shape)
    return [shape[i] for i in range(n)]


cdef bint view_strides(TensorBase x, int n, const int64_t* shape, int64_t* strides) noexcept:
    """Strides under which x's memory shows `shape`; False if there are none: each run of dimensions that memory
    holds as one must be cut at the same places."""
    cdef int64_t stretch = 1, base, left, step = 1
    cdef int d, v = n - 1
    if x.numel == 0 or x.ndim == 0 or x.flags & CONTIGUOUS:
        for d in range(n - 1, -1, -1):
            strides[d] = step
            step *= max(shape[d], 1)
        return True
    base = x.strides[x.ndim - 1]
    for d in range(x.ndim - 1, -1, -1):
        stretch *= x.shape[d]
        if d == 0 or (x.shape[d - 1] != 1 and x.strides[d - 1] != stretch * base):
            left = stretch
            step = base
            while v >= 0 and (left > 1 or shape[v] == 1):
                if shape[v] == 0 or left % shape[v]:
                    return False
                strides[v] = step
                step *= shape[v]
                left //= shape[v]
                v -= 1
            if left != 1:
                return False
            if d > 0:
                base = x.strides[d - 1]
                stretch = 1
    return v < 0


cdef object _view(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int n = infer_sizes(<object>a[1], self.numel, shape)
    if not view_strides(self, n, shape, strides):
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                           "two contiguous subspaces). Use .reshape(...) instead.")
    return with_geometry(self, n, shape, strides)


operator("view(Tensor self, Size size)", native(_view), view=True, vjp={"self": lambda grad, self_shape: reshape(grad, self_shape)},
         jvp="linear", function=False, samples=lambda make: [((make(2, 6), (3, 4)), {}), ((make(4), (2, -1)), {})],
         reference="self.reshape(size)", doc="""The same memory under another shape; one size may be -1.

    Raises
    ------
    RuntimeError
        When no strides show this memory in that shape; `reshape` copies then.
    """)


def _view_dtype(TensorBase self, DType dtype):
    cdef list shape = sizes_of(self), strides = strides_of(self)
    cdef int64_t a = self.dtype.itemsize, b = dtype.itemsize, offset = self.offset
    cdef TensorBase x
    if a != b:
        if self.ndim == 0:
            raise RuntimeError(f"self.dim() cannot be 0 to view {self.dtype} as {dtype} (different element sizes)")
        if strides[-1] != 1 and shape[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 to view {self.dtype} as {dtype} (different element sizes), but got "
                               f"{strides[-1]}")
        if a > b:
            shape[-1] *= a // b
            strides = [s * (a // b) for s in strides[:-1]] + [1]
            offset *= a // b
        else:
            ratio = b // a
            if shape[-1] % ratio or offset % ratio or any([s % ratio for s in strides[:-1]]):
                raise RuntimeError(f"the last dimension, the storage offset and the other strides must be divisible by {ratio} to "
                                   f"view {self.dtype} as {dtype} (different element sizes)")
            shape[-1] //= ratio
            strides = [s // ratio for s in strides[:-1]] + [1]
            offset //= ratio
    x = strided(self, shape, strides, offset)
    x.dtype = dtype
    return x


operator("view(Tensor self, DType dtype)", _view_dtype, view=True, function=False)
composite("view_as(Tensor self, Tensor other)", lambda self, other: view(self, other.shape), function=False,
          doc="The same memory under the shape of another tensor.",
          samples=lambda make: [((make(2, 6), make(3, 4, requires_grad=False)), {})],
          reference="self.reshape(other.shape)")
cdef object view_as_shape(TensorBase x, int n, const int64_t* shape):
    """`x` under a shape of as many elements: a view where the memory allows it, else of a copy."""
    cdef int64_t strides[64]
    cdef PyObject* a[2]
    cdef object size = int_tuple(n, shape)
    if not view_strides(x, n, shape, strides):
        x = packed_clone(x)
    a[0], a[1] = <PyObject*>x, <PyObject*>size
    return invoke(view, a)


cdef object _reshape(PyObject** a):
    cdef int64_t shape[64]
    cdef int n = infer_sizes(<object>a[1], (<TensorBase>a[0]).numel, shape)
    return view_as_shape(<TensorBase>a[0], n, shape)


composite("reshape(Tensor self, Size shape)", native(_reshape), reference="self.reshape(shape)",
          samples=lambda make: [((make(2, 6), (3, 4)), {}), ((make(3, 4).t(), (2, 6)), {})],
          doc="""The elements in another shape: a view where the memory allows it, else a copy.

    Examples
    --------
    >>> tensorgrad.arange(6).reshape(2, 3)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """)


composite("reshape_as(Tensor self, Tensor other)", lambda self, other: reshape(self, other.shape), function=False,
          doc="The elements in the shape of another tensor.",
          samples=lambda make: [((make(2, 6), make(3, 4, requires_grad=False)), {})],
          reference="self.reshape(other.shape)")
cdef object _flatten(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int start = <object>a[1], end = <object>a[2]
    cdef int64_t shape[64]
    cdef int d, n = 0
    if self.ndim == 0:
        shape[0] = 1
        return view_as_shape(self, 1, shape)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return self
    for d in range(self.ndim):
        if start < d <= end:
            shape[n - 1] *= self.shape[d]
        else:
            shape[n] = self.shape[d]
            n += 1
    return view_as_shape(self, n, shape)


composite("flatten(Tensor self, Dim start_dim=0, Dim end_dim=-1)", native(_flatten),
          reference="self.reshape(self.shape[:start_dim] + (-1,) + self.shape[end_dim % self.ndim + 1:])",
          samples=lambda make: [((make(2, 3, 4),), {}), ((make(2, 3, 4), 1), {})],
          doc="Several neighbouring dimensions made into one.")


composite("unflatten(Tensor self, Dim dim, Size sizes)", lambda self, dim, sizes: _unflatten(self, dim, sizes),
          doc="One dimension made into several.",
          samples=lambda make: [((make(2, 6), 1, (3, 2)), {})],
          reference="self.reshape(2, 3, 2)")


def _unflatten(TensorBase self, int dim, sizes):
    shape = sizes_of(self)
    return view(self, tuple(shape[:dim] + infer_size(sizes, shape[dim]) + shape[dim + 1:]))


composite("ravel(Tensor self)", lambda self: reshape(self, (-1,)), reference="self.ravel()", doc="The elements in one dimension.")


# ---- expand --------------------------------------------------------------------------------------------
cdef object _expand(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef object size = <object>a[1]
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int64_t n
    cdef int ndim = read_sizes(size, shape), shift = ndim - self.ndim, d
    if shift < 0:
        raise RuntimeError(f"expand(tensor of shape {sizes_of(self)}, size={list(size)}): the number of sizes provided "
                           f"({ndim}) must be greater or equal to the number of dimensions in the tensor ({self.ndim})")
    for d in range(ndim):
        if d < shift:
            if shape[d] < 0:
                raise RuntimeError(f"The expanded size of the tensor ({shape[d]}) isn't allowed in a leading, non-existing "
                                   f"dimension {d}")
            strides[d] = 0
            continue
        n = self.shape[d - shift]
        if shape[d] < -1:
            raise RuntimeError(f"expand(): negative size {shape[d]} at dimension {d}; -1 keeps the size, any other must not be negative")
        if shape[d] == -1:
            shape[d] = n
        if n == shape[d]:
            strides[d] = self.strides[d - shift]
        elif n == 1:
            strides[d] = 0
        else:
            raise RuntimeError(f"The expanded size of the tensor ({shape[d]}) must match the existing size ({n}) at non-singleton "
                               f"dimension {d}.  Target sizes: {list(size)}.  Tensor sizes: {sizes_of(self)}")
    return with_geometry(self, ndim, shape, strides)


def _expand_batch(batch_size, in_dims, self, size, implicit):
    x = movedim(self, in_dims[0], 0)
    missing = len(size) - (x.ndim - 1)
    if missing > 0:
        x = reshape(x, (batch_size,) + (1,) * missing + tuple(x.shape[1:]))
    return expand(x, (batch_size, *size)), 0


operator("expand(Tensor self, Size size, *, bool implicit=False)", native(_expand), view=True, batch=_expand_batch,
         vjp={"self": lambda grad, self_shape: sum_to_size(grad, self_shape)}, jvp="linear", function=False,
         samples=lambda make: [((make(3, 1), (3, 4)), {}), ((make(3), (2, 3)), {})], reference="np.broadcast_to(self, size)",
         doc="A view in which dimensions of size one are repeated, without memory of their own.")
composite("expand_as(Tensor self, Tensor other)", lambda self, other: expand(self, other.shape), function=False,
          doc="`expand` to the shape of another tensor.",
          samples=lambda make: [((make(3, 1), make(3, 4, requires_grad=False)), {})],
          reference="np.broadcast_to(self, other.shape)")
composite("broadcast_to(Tensor self, Size size)", lambda self, size: expand(self, size), doc="`expand` as a function.",
          reference="np.broadcast_to(self, size)", samples=lambda make: [((make(3, 1), (3, 4)), {})])
composite("sum_to_size(Tensor self, Size size)", lambda self, size: _sum_to(self, size), function=False,
          doc="Sum over the dimensions that broadcasting to this tensor's shape had repeated: the transpose of `expand`.",
          samples=lambda make: [((make(2, 3, 4), (3, 1)), {})],
          reference="np.sum(self, axis=(0, 2), keepdims=True)[0]")


def _sum_to(TensorBase self, size):
    cdef int shift = self.ndim - <int>len(size), d
    if shift < 0 or any([size[d] not in (1, self.shape[shift + d]) for d in range(len(size))]):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{sizes_of(self)}}}.")
    dims = list(range(shift)) + [shift + d for d in range(len(size)) if size[d] == 1 and self.shape[shift + d] != 1]
    if not dims:
        return self
    out = sum_(self, tuple(dims), True)
    return reshape(out, tuple(size)) if shift else out


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
    dims = int_tuple(n, order)
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
          samples=lambda make: [((make(2, 3, 4), 0, 2), {})], doc="Some dimensions moved to other places, as a view.")


def _movedim(TensorBase self, source, destination):
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({list(source)} dims) should contain the same "
                           f"number of dims as destination ({list(destination)} dims)")
    order = [None] * self.ndim
    for s, d in zip(source, destination):
        order[d] = s
    rest = iter([d for d in range(self.ndim) if d not in source])
    return permute(self, tuple([next(rest) if d is None else d for d in order]))


# ---- dimensions of size one --------------------------------------------------------------------------------
cdef object _squeeze_dims(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t dims[64]
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int n_dims = read_sizes(<object>a[1], dims), d, i, n = 0
    for d in range(self.ndim):
        if self.shape[d] == 1:
            for i in range(n_dims):
                if dims[i] == d:
                    break
            else:
                i = -1
            if i >= 0:
                continue
        shape[n], strides[n] = self.shape[d], self.strides[d]
        n += 1
    return with_geometry(self, n, shape, strides)


cdef object _squeeze_all(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int64_t ones[64]
    cdef PyObject* b[2]
    cdef int d, n = 0
    for d in range(self.ndim):
        if self.shape[d] == 1:
            ones[n] = d
            n += 1
    dims = int_tuple(n, ones)
    b[0], b[1] = a[0], <PyObject*>dims
    return run(squeeze_dims, b)


composite("squeeze(Tensor self)", native(_squeeze_all), reference="np.squeeze(self)", samples=lambda make: [((make(1, 3, 1),), {})],
          doc="Without the dimensions of size one (all, or the named ones), as a view.")
operator("squeeze(Tensor self, Dims dim)", native(_squeeze_dims), view=True,
         vjp={"self": lambda grad, self_shape: reshape(grad, self_shape)}, jvp="linear",
         samples=lambda make: [((make(1, 3, 1), 0), {})], reference="np.squeeze(self, dim)")
cdef Overload squeeze_dims = squeeze.overloads[1]
compile_overload(squeeze_dims)


cdef TensorBase unsqueezed(TensorBase self, int dim):
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d
    if self.ndim == 64:
        raise RuntimeError("tensors have at most 64 dimensions, got 65")
    for d in range(self.ndim):
        shape[d + (d >= dim)], strides[d + (d >= dim)] = self.shape[d], self.strides[d]
    shape[dim] = 1
    strides[dim] = self.shape[dim] * self.strides[dim] if dim < self.ndim else 1
    return with_geometry(self, self.ndim + 1, shape, strides)


cdef object _unsqueeze(PyObject** a):
    return unsqueezed(<TensorBase>a[0], <object>a[1])


operator("unsqueeze(Tensor self, NewDim dim)", native(_unsqueeze), view=True, vjp={"self": lambda grad, dim: squeeze(grad, dim)},
         jvp="linear", samples=lambda make: [((make(2, 3), 1), {}), ((make(3), -1), {})], reference="np.expand_dims(self, dim)",
         doc="A dimension of size one inserted, as a view.")


# ---- parts ----------------------------------------------------------------------------------------------------
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


composite("chunk(Tensor self, int chunks, Dim dim=0) -> Tensor[]", lambda self, chunks, dim: _chunk(self, chunks, dim),
          samples=lambda make: [((make(5, 2), 3), {})], doc="One dimension cut into at most `chunks` parts, as views.")


def _chunk(self, chunks, dim):
    if self.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    total = self.size(dim)
    size = -(-total // chunks)
    return split_with_sizes(self, (0,) * chunks, dim) if total == 0 else split(self, size, dim)


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
          doc="The diagonal of a matrix, or the matrix that has a vector on its diagonal.")


def _diag(self, offset):
    if self.ndim == 2:
        return diagonal(self, offset)
    if self.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {self.ndim}D")
    n = self.size(0) + abs(offset)
    return diagonal_backward(self, (n, n), offset, 0, 1)


composite("diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1)",
          lambda self, offset, dim1, dim2: _diag_embed(self, offset, dim1, dim2),
          doc="Matrices that have the last dimension on their diagonals.",
          samples=lambda make: [((make(2, 3),), {}), ((make(3), 1), {}), ((make(2, 3), -1, 0, 2), {})])


def _diag_embed(self, offset, dim1, dim2):
    n = self.size(-1) + abs(offset)
    out = diagonal_backward(self, (*self.shape[:-1], n, n), offset, self.ndim - 1, self.ndim)
    return movedim(out, (self.ndim - 1, self.ndim), (dim1, dim2))


# ---- arbitrary strides ------------------------------------------------------------------------------------------
def _as_strided(TensorBase self, size, stride, storage_offset):
    cdef int64_t offset = self.offset if storage_offset is None else storage_offset
    cdef object high = offset           # no C number: it may exceed any
    cdef bint is_empty = False
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    for n, s in zip(size, stride):
        if n < 0:
            raise RuntimeError(f"as_strided: negative size {n}")
        if s < 0:
            raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
        is_empty |= n == 0
        high += (n - 1) * s
    if offset < 0 or (not is_empty and (high + 1) * <object>self.dtype.itemsize > self.storage.length):
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize "
                           f"{self.dtype.itemsize} requiring a storage size of {(high + 1) * <object>self.dtype.itemsize} are out of "
                           f"bounds "
                           f"for storage of size {self.storage.length}")
    return strided(self, list(size), list(stride), offset)


def _places(size, stride, offset, device):
    """Where in memory each element lies, in order."""
    where = handle("full")((), offset, dtype=dtype_of(TG_I64), device=device)
    for n, step in zip(size, stride):
        where = unsqueeze(where, -1) + handle("arange")(n, device=device) * step
    return reshape(where, (-1,))


def _memory_of(self, size, stride, storage_offset):
    """(elements of memory, places of self's elements, places of the result's), counted from the first that either has."""
    offset = self.storage_offset() if storage_offset is None else storage_offset
    first = min(offset, self.storage_offset())
    mine = _places(self.shape, self.stride(), self.storage_offset() - first, self.device)
    theirs = _places(size, stride, offset - first, self.device)
    length = max([1 + int(places.max().item()) for places in (mine, theirs) if places.numel()], default=0)
    return length, mine, theirs


def _as_strided_vjp(grad, self, size, stride, storage_offset):
    """The gradients are added up in memory as the result lies there, and read as `self` lies there; where several elements
    of `self` are one in memory, they share it (PyTorch's as_strided_backward)."""
    cdef Operator index_add = handle("index_add"), take = handle("index_select")
    length, mine, theirs = _memory_of(self, size, stride, storage_offset)
    memory = index_add(zeros(length, dtype=grad.dtype, device=grad.device), 0, theirs, reshape(grad, (-1,)))
    shared = take(index_add(zeros(length, dtype=grad.dtype, device=grad.device), 0, mine,
                            handle("ones")(mine.numel(), dtype=grad.dtype, device=grad.device)), 0, mine)
    return reshape(take(memory, 0, mine) / shared, tuple(self.shape))


def _as_strided_jvp(self, self_t, size, stride, storage_offset):
    if self.is_contiguous() and self.storage_offset() == 0:
        return as_strided(self_t.contiguous(), size, stride, storage_offset)
    length, mine, theirs = _memory_of(self, size, stride, storage_offset)
    memory = handle("index_put")(zeros(length, dtype=self_t.dtype, device=self_t.device), (mine,), reshape(self_t, (-1,)))
    return reshape(handle("index_select")(memory, 0, theirs), size)


operator("as_strided(Tensor self, Size size, Size stride, int? storage_offset=None)", _as_strided, view=True, batch="fallback",
         vjp={"self": _as_strided_vjp}, jvp=_as_strided_jvp,
         samples=lambda make: [((make(6), (2, 3), (2, 1)), {})],
         doc="A view of this tensor's memory with any shape and strides.")


# ---- windows ------------------------------------------------------------------------------------------------------
def _unfold(TensorBase self, int dim, int64_t size, int64_t step):
    cdef list shape = sizes_of(self), strides = strides_of(self)
    cdef int64_t n = shape[dim] if self.ndim else 1
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if self.ndim == 0:
        return strided(self, [size], [1], self.offset)
    shape.append(size)
    strides.append(strides[dim])
    shape[dim] = (n - size) // step + 1
    strides[dim] *= step
    return strided(self, shape, strides, self.offset)


def _unfold_vjp(grad, self_shape, dimension, size, step):
    """Each window's gradient at the places that it shows."""
    if not self_shape:
        return grad.sum()
    index = reshape(unsqueeze(handle("arange")(grad.size(dimension), device=grad.device) * step, -1)
                    + handle("arange")(size, device=grad.device), (-1,))
    windows = movedim(grad, -1, dimension + 1).flatten(dimension, dimension + 1)
    return handle("index_add")(zeros(self_shape, dtype=grad.dtype, device=grad.device), dimension, index, windows)


operator("unfold(Tensor self, Dim dimension, int size, int step)", _unfold, view=True, vjp={"self": _unfold_vjp}, jvp="linear",
         function=False, reference="np.lib.stride_tricks.sliding_window_view(self, size, dimension)[::step]",
         samples=lambda make: [((make(5, 2), 0, 3, 1), {}), ((make(7), 0, 3, 2), {})],
         doc="Windows of `size` indices of a dimension, `step` apart, as a view with the windows in a last dimension.")


# ---- shapes changed in place ------------------------------------------------------------------------------------------
cdef object take_shape(Operator op, TensorBase x, TensorBase view):
    """Give `x` the shape, the strides and the history of a view of it."""
    cdef tg_thread_state* st = thread_state()
    if x.wrap is not None:
        raise NotImplementedError(f"{op.__name__}: the shape of a tensor inside of a function transform cannot be changed in place; "
                                  "use the form that returns a view")
    check_inplace(x, op, st.grad and x.flags & REQUIRES_GRAD)
    set_geometry(x, view.ndim, view.shape, view.strides)
    x.offset = view.offset
    if view.grad_fn is not None:
        x.grad_fn, x.output_nr = view.grad_fn, view.output_nr
    if x.version != NULL:
        bump(x, op)
    if x.flags & IS_VIEW:
        x.step, x.view_version = view.step, version_of(x)
    return x


def _in_place(str name):
    cdef Operator op = handle(name), written = handle(name + "_")

    def forward(self, *args):
        return take_shape(written, self, op(self, *args))
    return forward


for _signature, _doc in (("t_(Tensor! self)", "A matrix transposed, in place."),
                         ("transpose_(Tensor! self, Dim dim0, Dim dim1)", "Two dimensions exchanged, in place."),
                         ("squeeze_(Tensor! self)", "Without the dimensions of size one (all, or the named ones), in place."),
                         ("squeeze_(Tensor! self, Dims dim)", None),
                         ("unsqueeze_(Tensor! self, NewDim dim)", "A dimension of size one inserted, in place."),
                         ("as_strided_(Tensor! self, Size size, Size stride, int? storage_offset=None)",
                          "Any shape and strides, in place.")):
    composite(_signature, _in_place(_signature.partition("_(")[0]), function=False, doc=_doc)


# ---- joining ------------------------------------------------------------------------------------------------------
cdef TensorBase joined(tuple tensors, int dim):
    cdef TensorBase x, first = None, out
    cdef int64_t shape[64]
    cdef int64_t start = 0
    cdef int d, code = -1
    if not tensors:
        raise ValueError("expected a non-empty list of Tensors")
    parts = []
    for x in tensors:
        code = x.dtype.code if code < 0 else promote(code, x.dtype.code)
        if x.ndim == 0:
            raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
        if x.ndim == 1 and x.numel == 0 and len(tensors) > 1:
            continue        # an empty vector joins anything, as it always did in PyTorch
        if first is None:
            first = x
            if dim < -x.ndim or dim >= x.ndim:
                raise IndexError(f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], but got {dim})")
            if dim < 0:
                dim += x.ndim
            for d in range(x.ndim):
                shape[d] = x.shape[d]
            shape[dim] = 0
        elif x.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {x.ndim}")
        for d in range(x.ndim):
            if d != dim and x.shape[d] != shape[d]:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size {shape[d]} but got size "
                                   f"{x.shape[d]} for tensor number {len(parts)} in the list.")
        if x.storage.device is not first.storage.device:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, "
                               f"{first.storage.device} and {x.storage.device}! (cat)")
        if tg_add_overflows(shape[dim], x.shape[dim], &shape[dim]):
            raise RuntimeError(f"cat(): the sizes along dimension {dim} add up to more than a tensor can have")
        parts.append(x)
    if first is None:
        first, dim = tensors[0], 0
        shape[0] = 0
    out = empty(first.ndim, shape, dtype_of(code), first.storage.device)
    for x in parts:
        primitives.copy(part(out, dim, start, start + x.shape[dim], 1), x)
        start += x.shape[dim]
    return out


cdef object _cat(PyObject** a):
    return joined(<tuple>a[0], <object>a[1])


def _cat_vjp(grad, tensors_shape, dim):
    empty_vectors = [len(s) == 1 and s[0] == 0 for s in tensors_shape]
    if dim < 0:
        dim += grad.ndim
    sizes = [0 if gone else s[dim] for s, gone in zip(tensors_shape, empty_vectors)]
    parts = split_with_sizes(grad, tuple(sizes), dim)
    return [reshape(p, s) if gone else p for p, s, gone in zip(parts, tensors_shape, empty_vectors)]


def _cat_batch(batch_size, in_dims, tensors, dim):
    """Empty vectors, which join anything, are left out: with a batch in front they would be empty matrices."""
    ranks = [x.ndim - (d is not None) for x, d in zip(tensors, in_dims[0])]
    kept = [(x, d) for x, d, r in zip(tensors, in_dims[0], ranks) if not (r == 1 and x.numel() == 0)] or list(zip(tensors, in_dims[0]))
    parts = [expand(x, (batch_size, *x.shape)) if d is None else movedim(x, d, 0) for x, d in kept]
    return cat(tuple(parts), dim + 1 if dim >= 0 else dim), 0


operator("cat(Tensor[] tensors, int dim=0)", native(_cat), batch=_cat_batch, vjp={"tensors": _cat_vjp}, jvp="linear",
         aliases=("concat", "concatenate"),
         method=False, reference="np.concatenate(tensors, dim)",
         samples=lambda make: [(((make(2, 3), make(1, 3)),), {}), (((make(2, 3), make(2, 1)), 1), {})],
         doc="""Tensors joined along a dimension that they have.

    Examples
    --------
    >>> tensorgrad.cat([tensorgrad.tensor([1, 2]), tensorgrad.tensor([3])])
    tensor([1, 2, 3])
    """)


cdef object _stack(PyObject** a):
    cdef tuple tensors = <tuple>a[0]
    cdef int dim = <object>a[1]
    cdef TensorBase x, first
    cdef Py_ssize_t i
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    for i in range(len(tensors)):
        x = tensors[i]
        if x.ndim != first.ndim or memcmp(x.shape, first.shape, x.ndim * sizeof(int64_t)):
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {sizes_of(first)} at entry 0 and "
                               f"{sizes_of(x)} at entry {i}")
    return joined(tuple([unsqueezed(x, dim) for x in tensors]), dim)


operator("stack(Tensor[] tensors, NewDim dim=0)", native(_stack), vjp={"tensors": lambda grad, dim: list(unbind(grad, dim))},
         jvp="linear", method=False, reference="np.stack(tensors, dim)",
         samples=lambda make: [(((make(2, 3), make(2, 3)),), {}), (((make(2), make(2)), -1), {})],
         doc="Tensors of one shape joined along a new dimension.")
composite("hstack(Tensor[] tensors)", lambda tensors: cat(tuple([reshape(x, (1,)) if x.ndim == 0 else x for x in tensors]),
                                                          0 if tensors[0].ndim < 2 else 1), method=False,
          reference="np.hstack(tensors)", samples=lambda make: [(((make(2, 3), make(2, 1)),), {})],
          doc="Tensors joined side by side: along the second dimension, vectors along their only one.")
composite("vstack(Tensor[] tensors)", lambda tensors: cat(tuple([reshape(x, (1, -1)) if x.ndim < 2 else x for x in tensors]), 0),
          method=False, reference="np.vstack(tensors)", samples=lambda make: [(((make(3), make(3)),), {})],
          aliases=("row_stack",), doc="Tensors joined on top of one another; vectors are rows.")
composite("dstack(Tensor[] tensors)", lambda tensors: cat(tuple([_at_least_3d(x) for x in tensors]), 2), method=False,
          reference="np.dstack(tensors)", samples=lambda make: [(((make(2, 3), make(2, 3)),), {})],
          doc="Tensors joined along the third dimension.")
composite("column_stack(Tensor[] tensors)",
          lambda tensors: cat(tuple([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in tensors]), 1), method=False,
          reference="np.column_stack(tensors)", samples=lambda make: [(((make(3), make(3)),), {})],
          doc="Vectors as the columns of a matrix.")


def _at_least_3d(x):
    if x.ndim == 0:
        return reshape(x, (1, 1, 1))
    return x[None, :, None] if x.ndim == 1 else x.unsqueeze(2) if x.ndim == 2 else x


composite("atleast_1d(Tensor self)", lambda self: reshape(self, (1,)) if self.ndim == 0 else self, method=False,
          doc="A scalar as a vector; anything else as it is.",
          samples=lambda make: [((make(),), {}), ((make(2),), {})],
          reference="np.atleast_1d(self)")
composite("atleast_2d(Tensor self)", lambda self: reshape(self, (1, -1)) if self.ndim < 2 else self, method=False,
          doc="A scalar or vector as a matrix of one row; anything else as it is.",
          samples=lambda make: [((make(),), {}), ((make(2),), {}), ((make(2, 3),), {})],
          reference="np.atleast_2d(self)")
composite("atleast_3d(Tensor self)", _at_least_3d, method=False, doc="A view with at least three dimensions.",
          samples=lambda make: [((make(),), {}), ((make(2),), {}), ((make(2, 3),), {})],
          reference="np.atleast_3d(self)")


for _n in "123":
    composite(f"atleast_{_n}d(Tensor... tensors) -> Tensor[]",
              lambda tensors, one=handle(f"atleast_{_n}d"): tuple([one(x) for x in tensors]), samples=lambda make: [])


# ---- rearranging copies ----------------------------------------------------------------------------------------
def _flip(TensorBase self, dims):
    cdef TensorBase out = empty(self.ndim, self.shape, self.dtype, self.storage.device)
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


cdef object _repeat_forward(PyObject** a):
    """Written through a view in which each dimension is two, one of which runs over the copies."""
    cdef TensorBase self = <TensorBase>a[0], out, target, source
    cdef int64_t times[64]
    cdef int64_t shape[64]
    cdef int64_t wide[64]
    cdef int64_t strides[64]
    cdef int64_t from_[64]
    cdef int64_t step = 1, size
    cdef int n = read_sizes(<object>a[1], times), shift = n - self.ndim, d
    if shift < 0:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if n > 32:
        raise RuntimeError(f"repeat: tensors of at most 32 dimensions are repeated, got {n}")
    for d in range(n - 1, -1, -1):
        if times[d] < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {times[d]}: {list(<object>a[1])}")
        size = self.shape[d - shift] if d >= shift else 1
        shape[d], wide[2 * d], wide[2 * d + 1] = times[d] * size, times[d], size
        strides[2 * d + 1], strides[2 * d] = step, step * size
        from_[2 * d], from_[2 * d + 1] = 0, self.strides[d - shift] if d >= shift else 0
        step *= shape[d]
    out = empty(n, shape, self.dtype, self.storage.device)
    if out.numel:
        target = with_geometry(out, 2 * n, wide, strides)
        source = with_geometry(self, 2 * n, wide, from_)
        primitives.copy(target, source)
    return out


def _repeat_vjp(grad, self_shape, repeats):
    """The sum over the copies."""
    shape = (1,) * (len(repeats) - len(self_shape)) + tuple(self_shape)
    if not shape:
        return grad
    pairs = reshape(grad, tuple([m for pair in zip(repeats, shape) for m in pair]))
    return reshape(sum_(pairs, tuple(range(0, 2 * len(shape), 2))), self_shape)


def _repeat_batch(batch_size, in_dims, self, repeats):
    x = movedim(self, in_dims[0], 0)
    x = reshape(x, (batch_size,) + (1,) * (len(repeats) + 1 - x.ndim) + tuple(x.shape[1:]))
    return repeat(x, (1, *repeats)), 0


operator("repeat(Tensor self, Size repeats)", native(_repeat_forward), vjp={"self": _repeat_vjp}, jvp="linear", batch=_repeat_batch,
         function=False, reference="np.tile(self, repeats)", samples=lambda make: [((make(2, 3), (2, 2)), {}), ((make(3), (2, 1)), {})],
         doc="The whole tensor repeated along each dimension.")
cdef Operator repeat = handle("repeat")


composite("tile(Tensor self, Size dims)", lambda self, dims: repeat(self, (1,) * (self.ndim - len(dims)) + tuple(dims)),
          reference="np.tile(self, dims)", samples=lambda make: [((make(2, 3), (2,)), {})],
          doc="The tensor repeated as NumPy's `tile` does it.")
composite("repeat_interleave(Tensor self, int repeats, Dim? dim=None)", lambda self, repeats, dim: _interleave(self, repeats, dim),
          reference="np.repeat(self, repeats, dim)", samples=lambda make: [((make(2, 3), 2, 1), {}), ((make(2, 3), 2), {})],
          doc="Each index of a dimension repeated.")
composite("repeat_interleave(Tensor self, Tensor repeats, Dim? dim=None, *, int? output_size=None)",
          lambda self, repeats, dim, output_size: _interleave_each(self, repeats, dim), samples=lambda make: [])


def _interleave_each(self, repeats, dim):
    """A number of repetitions for each index of its own."""
    if dim is None:
        self, dim = reshape(self, (-1,)), 0
    if repeats.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    counts = [repeats.item()] * self.size(dim) if repeats.numel() == 1 else repeats.tolist()
    if len(counts) != self.size(dim):
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = {len(counts)} and "
                           f"input.size({dim}) = {self.size(dim)}")
    if any([n < 0 for n in counts]):
        raise RuntimeError("repeats can not be negative")
    shape = list(self.shape)
    pieces = [expand(self.narrow(dim, i, 1), tuple(shape[:dim] + [n] + shape[dim + 1:])) for i, n in enumerate(counts)]
    return cat(tuple(pieces), dim) if pieces else clone(self)


def _interleave(self, repeats, dim):
    if dim is None:
        self, dim = reshape(self, (-1,)), 0
    shape = list(self.shape)
    wide = expand(unsqueeze(self, dim + 1), tuple(shape[:dim + 1] + [repeats] + shape[dim + 1:]))
    return reshape(clone(wide), tuple(shape[:dim] + [shape[dim] * repeats] + shape[dim + 1:]))


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


# ---- complex numbers as pairs ---------------------------------------------------------------------------------------
def _view_as_real(TensorBase self):
    cdef TensorBase x
    if self.dtype.category != CAT_COMPLEX:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    x = strided(self, sizes_of(self) + [2], [2 * s for s in strides_of(self)] + [1], 2 * self.offset)
    x.dtype = dtype_of(TG_F32 if self.dtype.code == TG_C64 else TG_F64)
    return x


def _view_as_complex(TensorBase self):
    cdef TensorBase x
    cdef list strides = strides_of(self)
    if self.dtype.code not in (TG_F32, TG_F64):
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
                           f"{self.dtype.name}")
    if self.ndim == 0 or self.shape[self.ndim - 1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if strides[-1] != 1 or self.offset % 2 or any([s % 2 for s in strides[:-1]]):
        raise RuntimeError("Tensor must have a last dimension with stride 1, and its other strides and its storage offset must be "
                           "divisible by 2")
    x = strided(self, sizes_of(self)[:-1], [s // 2 for s in strides[:-1]], self.offset // 2)
    x.dtype = dtype_of(TG_C64 if self.dtype.code == TG_F32 else TG_C128)
    return x


operator("view_as_real(Tensor self)", _view_as_real, view=True, jvp="linear",
         vjp={"self": lambda grad: handle("view_as_complex")(grad.contiguous())}, method=False,
         doc="A complex tensor as a view of pairs (real, imaginary) in a last dimension of size two.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="np.stack((self.real, self.imag), -1)")
operator("view_as_complex(Tensor self)", _view_as_complex, view=True, vjp={"self": lambda grad: view_as_real(grad.contiguous())},
         jvp=lambda self_t: handle("view_as_complex")(self_t.contiguous()), method=False,
         doc="Pairs in a last dimension of size two as a view of complex numbers.",
         samples=lambda make: [((make(3, 2),), {})],
         reference="self[..., 0] + 1j * self[..., 1]")
composite("real(Tensor self)", lambda self: select(view_as_real(self), -1, 0) if self.is_complex() else self, method="property",
          reference="np.real(self)", doc="The real parts, as a view; a real tensor as it is.")
composite("imag(Tensor self)", lambda self: _imag(self), method="property", reference="np.imag(self)",
          doc="The imaginary parts, as a view.")


def _imag(self):
    if not self.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return select(view_as_real(self), -1, 1)


composite("complex(Tensor real, Tensor imag)", lambda real, imag: _complex(real, imag), method=False,
          reference="real + 1j * imag", samples=lambda make: [((make(3), make(3)), {})],
          doc="Complex numbers from their real and imaginary parts.")


def _complex(real, imag):
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"Expected object of scalar type {real.dtype.name} but got scalar type {imag.dtype.name} for second argument")
    pairs = stack(handle("broadcast_tensors")((real, imag)), -1)
    return handle("view_as_complex")(pairs)


composite("polar(Tensor abs, Tensor angle)", lambda abs, angle: _complex(abs * angle.cos(), abs * angle.sin()), method=False,
          reference="abs * np.exp(1j * angle)", samples=lambda make: [((make(3), make(3)), {})],
          doc="Complex numbers from their moduli and arguments.")
composite("angle(Tensor self)", lambda self: handle("_angle")(self) if self.is_complex() else _real_angle(self),
          reference="np.angle(self)", doc="The argument of each element, in radians.")


def _real_angle(self):
    cdef Operator where = handle("where")
    x = self if self.is_floating_point() else self.float()
    return where(x != x, x, (x < 0).to(x.dtype) * 3.141592653589793)


composite("conj(Tensor self)", lambda self: handle("conj_physical")(self) if self.is_complex() else self,
          reference="np.conj(self)", doc="The complex conjugate of each element; a real tensor as it is.")
composite("resolve_conj(Tensor self)", lambda self: self, doc="The tensor: conjugation here is never lazy.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="self")
composite("resolve_neg(Tensor self)", lambda self: self, doc="The tensor: negation here is never lazy.",
          samples=lambda make: [((make(3, 4),), {})],
          reference="self")
composite("broadcast_tensors(Tensor... tensors) -> Tensor[]", lambda tensors: _broadcast_all(tensors), method=False,
          doc="Tensors expanded to their common shape, as views.",
          samples=lambda make: [(((make(3, 1), make(4)),), {})],
          reference="np.broadcast_arrays(*tensors)")


def _broadcast_all(tensors):
    shape = ()
    for x in tensors:
        shape = _broadcast_shape(shape, tuple(x.shape))
    return tuple([x if tuple(x.shape) == shape else expand(x, shape) for x in tensors])


def _broadcast_shape(a, b):
    if len(a) < len(b):
        a, b = b, a
    shape = list(a)
    for i in range(1, len(b) + 1):
        if b[-i] != 1 and shape[-i] != b[-i]:
            if shape[-i] != 1:
                raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape")
            shape[-i] = b[-i]
    return tuple(shape)


def broadcast_shapes(*shapes):
    """The common shape of several.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.broadcast_shapes((2, 1), (3,))
    tensorgrad.Size([2, 3])
    """
    shape = ()
    for s in shapes:
        shape = _broadcast_shape(shape, (s,) if isinstance(s, int) else tuple(s))
    return Size(shape)
