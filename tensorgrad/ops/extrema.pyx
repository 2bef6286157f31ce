"""The largest and the smallest elements, and where they are."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.dtype cimport CAT_BOOL, CAT_COMPLEX, TG_I64, TG_U8, dtype_of
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, call1, handle
from tensorgrad._core.primitives cimport REDUCE_MAX, REDUCE_MIN
from tensorgrad._core.types cimport TensorBase, empty, named_pair, new_tensor, set_geometry
from tensorgrad.ops.reduction cimport cast, mark_dims, reduced

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.reduction import _spread

cdef Operator sum_, reshape, unsqueeze, squeeze, to, amax, gather, movedim, scatter_add, value_selecting_backward, max_of_all
cdef Operator min_of_all
sum_, reshape, unsqueeze, squeeze, to, amax = (handle(n) for n in ("sum", "reshape", "unsqueeze", "squeeze", "to", "amax"))
gather, movedim, scatter_add = (handle(n) for n in ("gather", "movedim", "scatter_add"))
value_selecting_backward, max_of_all, min_of_all = (handle(n) for n in ("value_selecting_backward", "_max", "_min"))
cdef object max_type = return_types.max, min_type = return_types.min


cdef TensorBase extreme(int op, str name, TensorBase self, object dim, bint keepdim):
    cdef bint gone[64]
    cdef int d
    mark_dims(self, dim, gone)
    for d in range(self.ndim):
        if gone[d] and self.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.") if dim else RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' "
                "argument.")
    return reduced(op, self, gone, keepdim, self.dtype.code)


cdef object _amax(PyObject** a):
    return extreme(REDUCE_MAX, "amax", <TensorBase>a[0], <object>a[1], <object>a[2])


cdef object _amin(PyObject** a):
    return extreme(REDUCE_MIN, "amin", <TensorBase>a[0], <object>a[1], <object>a[2])


cdef object _max_of_all(PyObject** a):
    return extreme(REDUCE_MAX, "max", <TensorBase>a[0], None, False)


cdef object _min_of_all(PyObject** a):
    return extreme(REDUCE_MIN, "min", <TensorBase>a[0], None, False)


def _share_equally(grad, self, out, dim, keepdim):
    """The gradient of an extreme value, split among the elements that reach it."""
    ndim = self.ndim
    reach = to(self == _spread(out, dim, keepdim, ndim), grad.dtype)
    return _spread(grad, dim, keepdim, ndim) * reach / sum_(reach, dim, True)


def _extreme_tangent(self, self_t, out, dim, keepdim):
    reach = to(self == _spread(out, dim, keepdim, self.ndim), self_t.dtype)
    return sum_(self_t * reach, dim, keepdim) / sum_(reach, dim, keepdim)


for _name, _forward, _what, _ref in (("amax", native(_amax), "largest", "np.amax"), ("amin", native(_amin), "smallest", "np.amin")):
    operator(f"{_name}(Tensor self, Dims dim=(), bool keepdim=False)", _forward,
             vjp={"self": _share_equally}, jvp=_extreme_tangent,
             out_exact="Expected the dtype for input and out to match, but got {wanted} for input's dtype and {got} for out's dtype.",
             reference=f"{_ref}(self, axis=dim or None, keepdims=keepdim)",
             samples=lambda make: [((make(2, 3),), {}), ((make(2, 3, 2), (0, 2)), {}), ((make(3, 4), 1, True), {})],
             doc=f"The {_what} element, of all or over the named dimensions; equal ones share the gradient.")


cdef object extreme_with_index(object kind, bint is_max, TensorBase self, int dim, bint keepdim):
    """(values, indices) along one dimension."""
    cdef TensorBase index = arg_extreme(is_max, self, dim, True, "max" if is_max else "min")
    cdef TensorBase x = self if self.ndim else new_tensor(self.storage, self.dtype, 1, _one, _one, self.offset)
    cdef TensorBase flat = index if index.ndim else new_tensor(index.storage, index.dtype, 1, _one, _one, index.offset)
    cdef TensorBase values = empty(flat.ndim, flat.shape, self.dtype, self.storage.device)
    primitives.gather(values, x, dim if self.ndim else 0, flat, "max")
    if not keepdim or self.ndim == 0:
        lose(values, dim)
        lose(index, dim)
    return named_pair(kind, values, index)


cdef int64_t _one[1]
_one[0] = 1


cdef int lose(TensorBase x, int dim) except -1:
    """Take dimension `dim`, which has size one, from a tensor that nobody else has seen."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d, n = 0
    if x.ndim == 0:
        return 0
    for d in range(x.ndim):
        if d != dim:
            shape[n], strides[n] = x.shape[d], x.strides[d]
            n += 1
    set_geometry(x, n, shape, strides)
    return 0


cdef TensorBase arg_extreme(bint is_max, TensorBase self, object dim, bint keepdim, str name):
    cdef int64_t shape[64]
    cdef TensorBase x = self, out
    cdef int d, along
    if self.dtype.category == CAT_COMPLEX:
        raise NotImplementedError(f"\"{name}\" not implemented for complex tensors, which have no order")
    if self.dtype.category == CAT_BOOL:
        x = cast(self, TG_U8)
    if dim is None:
        if self.numel == 0:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                             "with the 'dim' argument.")
        flat = cast(x, x.dtype.code)
        x = reshape(flat, (-1,))
        out = arg_extreme(is_max, x, 0, False, name)
        return reshape(out, (1,) * self.ndim) if keepdim else out
    along = dim
    if self.ndim == 0:
        x = new_tensor(x.storage, x.dtype, 1, _one, _one, x.offset)
        along = 0
    if x.shape[along] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {along} to have non-zero size.")
    for d in range(x.ndim):
        shape[d] = 1 if d == along else x.shape[d]
    out = empty(x.ndim, shape, dtype_of(TG_I64), x.storage.device)
    primitives.argreduce(is_max, out, x, along)
    if not keepdim or not self.ndim:
        lose(out, along)
    return out


cdef object _argmax(PyObject** a):
    return arg_extreme(True, <TensorBase>a[0], <object>a[1], <object>a[2], "argmax")


cdef object _argmin(PyObject** a):
    return arg_extreme(False, <TensorBase>a[0], <object>a[1], <object>a[2], "argmin")


operator("argmax(Tensor self, Dim? dim=None, bool keepdim=False)", native(_argmax),
         reference="np.argmax(self, axis=dim, keepdims=keepdim)", samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1), {})],
         doc="The index of the largest element, of all (counted in order) or along one dimension; the first of equal ones.")
operator("argmin(Tensor self, Dim? dim=None, bool keepdim=False)", native(_argmin),
         reference="np.argmin(self, axis=dim, keepdims=keepdim)", samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1), {})],
         doc="The index of the smallest element, of all (counted in order) or along one dimension; the first of equal ones.")


def _put_back(grad, self_shape, dim, indices, keepdim):
    """Gradients of selected values at the places they came from."""
    return value_selecting_backward(grad, dim, indices, self_shape, keepdim)


def _place(grad, int dim, indices, sizes, bint keepdim):
    if not keepdim and len(sizes):
        grad, indices = unsqueeze(grad, dim), unsqueeze(indices, dim)
    out = handle("zeros")(sizes, dtype=grad.dtype, device=grad.device)
    if not len(sizes):
        return grad
    return scatter_add(out, dim, indices, grad)


def _pick(x, int dim, indices, bint keepdim):
    """The elements at `indices`, as a reduction left them."""
    if x.ndim == 0:
        return x
    if keepdim:
        return gather(x, dim, indices)
    return squeeze(gather(x, dim, unsqueeze(indices, dim)), dim)


operator("value_selecting_backward(Tensor grad_output, int dim, Tensor indices, Size sizes, bool keepdim)", _place, method=False,
         batch=lambda batch_size, in_dims, grad, dim, indices, sizes, keepdim: (
             value_selecting_backward(_batched(grad, in_dims[0], batch_size), dim + 1, _batched(indices, in_dims[2], batch_size),
                                      (batch_size, *sizes), keepdim) if len(sizes) else grad, 0),
         vjp={"grad_output": lambda grad, dim, indices, keepdim: _pick(grad, dim, indices, keepdim)}, jvp="linear", internal=True,
         doc="Zeros but for the places that a reduction has selected: the transpose of selecting by index.",
         samples=lambda make: [((make(3), 1, make(3, integer=4), (3, 4), False), {})])


def _batched(x, dim, size):
    return x.expand(size, *x.shape) if dim is None else movedim(x, dim, 0)


cdef object _max_along(PyObject** a):
    return extreme_with_index(max_type, True, <TensorBase>a[0], <object>a[1], <object>a[2])


cdef object _min_along(PyObject** a):
    return extreme_with_index(min_type, False, <TensorBase>a[0], <object>a[1], <object>a[2])


cdef object _max(PyObject** a):
    return call1(max_of_all, <object>a[0])


cdef object _min(PyObject** a):
    return call1(min_of_all, <object>a[0])


for _name, _what, _forward, _of_all, _along in (
        ("max", "largest", native(_max), native(_max_of_all), native(_max_along)),
        ("min", "smallest", native(_min), native(_min_of_all), native(_min_along))):
    composite(f"{_name}(Tensor self)", _forward,
              reference=f"np.{_name}(self)", samples=lambda make: [((make(2, 3),), {})],
              doc=f"The {_what} element; along a dimension also its index; of two tensors the {_what} of each pair.")
    # Before the overload with a dim, which a tensor of one int would be taken for.
    composite(f"{_name}(Tensor self, Tensor other)", lambda self, other, op=handle(_name + "imum"): op(self, other))
    operator(f"_{_name}(Tensor self)", _of_all,
             vjp={"self": lambda grad, self, out: _share_equally(grad, self, out, (), False)},
             jvp=lambda self, self_t, out: _extreme_tangent(self, self_t, out, (), False), node=_name, internal=True,
             batch=lambda batch_size, in_dims, self, name=_name: (
                 handle("a" + name)(movedim(self, in_dims[0], 0), tuple(range(1, self.ndim))) if self.ndim > 1 else self, 0),
             doc=f"The {_what} element.")
    operator(f"{_name}(Tensor self, Dim dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
             _along,
             vjp={"self": lambda grad_values, self_shape, dim, indices, keepdim:
                  _put_back(grad_values, self_shape, dim, indices, keepdim)},
             jvp=lambda self_t, dim, indices, keepdim: (_pick(self_t, dim, indices, keepdim), None),
             nondifferentiable=("indices",), samples=lambda make: [((make(3, 4), 1), {}), ((make(3, 4), 0, True), {})])
composite("aminmax(Tensor self, *, Dim? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
          lambda self, dim, keepdim: _aminmax(self, dim, keepdim), out_exact="Expected out tensor to have dtype {c_wanted}, but got "
          "{c_got} instead",
          doc="The smallest and the largest element.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4),), {"dim": 1})],
          reference="(np.min(self, axis=dim, keepdims=keepdim), np.max(self, axis=dim, keepdims=keepdim))")


def _aminmax(self, dim, keepdim):
    if dim is None and self.numel() == 0:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    if dim is not None and self.ndim and self.size(dim) == 0:
        raise IndexError(f"aminmax: Expected reduction dim {dim} to have non-zero size.")
    dims = () if dim is None else (dim,)
    return return_types.aminmax((handle("amin")(self, dims, keepdim), amax(self, dims, keepdim)))
