"""Views of another shape: `view`, `reshape`, `flatten`, and dimensions of size one."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core.declaration cimport Overload, compile_overload, native
from tensorgrad._core.dispatch cimport invoke, run
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.grad_mode cimport tg_thread_state, thread_state
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport (
    CONTIGUOUS, IS_VIEW, REQUIRES_GRAD, TensorBase, bump, int_tuple, new_tensor, set_geometry, version_of)
from tensorgrad._core.view cimport check_inplace

from tensorgrad._core.declaration import composite, operator

cdef Operator view, reshape, squeeze, packed_clone
view, reshape, squeeze, packed_clone = (handle(n) for n in ("view", "reshape", "squeeze", "_packed_clone"))


cdef extern from *:
    """
    #define tg_mul_overflows(a, b, result) __builtin_mul_overflow((int64_t)(a), (int64_t)(b), result)
    """
    bint tg_mul_overflows(int64_t a, int64_t b, int64_t* result) noexcept


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
    if not x.flags & CONTIGUOUS and not view_strides(x, n, shape, strides):
        x = packed_clone(x)
    a[0], a[1] = <PyObject*>x, <PyObject*>size
    return invoke(view, a)


cdef object _reshape(PyObject** a):
    cdef int64_t shape[64]
    cdef int n
    if (<TensorBase>a[0]).flags & CONTIGUOUS:
        return invoke(view, a)
    n = infer_sizes(<object>a[1], (<TensorBase>a[0]).numel, shape)
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
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        inferred = infer_size(sizes, shape[dim])
    except RuntimeError as error:
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[dim]}) in the "
                           "input tensor") from error
    return view(self, tuple(shape[:dim] + inferred + shape[dim + 1:]))


composite("ravel(Tensor self)", lambda self: reshape(handle("contiguous")(self), (-1,)), reference="self.ravel()",
          doc="The elements in one dimension.")


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
