"""Operators that reduce dimensions: sums, means, products, norms, log-sum-exp, and truth."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.dtype cimport CAT_FLOAT, TG_BOOL, TG_I64, TG_U8, default_code, dtype_of
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, call2, handle
from tensorgrad._core.primitives cimport REDUCE_ALL, REDUCE_ANY, REDUCE_PROD, REDUCE_SUM
from tensorgrad._core.types cimport TensorBase, empty, set_geometry

import math

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import _type_names

cdef Operator sum_, expand, reshape, unsqueeze, squeeze, where, to, amax, flip, exp, log, conj, cumprod, full_like, real
cdef Operator op_div_, vector_norm = handle("_vector_norm")
sum_, expand, reshape, unsqueeze, squeeze = (handle(n) for n in ("sum", "expand", "reshape", "unsqueeze", "squeeze"))
where, to, amax, flip, exp, log, conj = (handle(n) for n in ("where", "to", "amax", "flip", "exp", "log", "conj_physical"))
cumprod, full_like, real, op_div_ = (handle(n) for n in ("cumprod", "full_like", "real", "div_"))


# ---- common ground --------------------------------------------------------------------------------
cdef TensorBase cast(TensorBase x, int code):
    cdef TensorBase y
    if x.dtype.code == code:
        return x
    y = empty(x.ndim, x.shape, dtype_of(code), x.storage.device)
    primitives.copy(y, x)
    return y


cdef int mark_dims(TensorBase x, object dims, bint* gone) except -1:
    """Set gone[d] for each dimension to reduce: those of a tuple, or all for None and for an empty one."""
    cdef bint every = dims is None or len(<tuple>dims) == 0
    cdef int d
    for d in range(x.ndim):
        gone[d] = every
    if not every:
        for dim in <tuple>dims:
            d = dim
            if d < x.ndim:
                gone[d] = True
    return 0


cdef int64_t count_of(TensorBase x, const bint* gone) noexcept:
    """How many elements each result is made of."""
    cdef int64_t n = 1
    cdef int d
    for d in range(x.ndim):
        if gone[d]:
            n *= x.shape[d]
    return n


cdef TensorBase reduced(int op, TensorBase x, const bint* gone, bint keepdim, int out_code):
    """Reduce the marked dimensions of `x` into a new tensor."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d, n = 0
    cdef TensorBase out
    for d in range(x.ndim):
        shape[d] = 1 if gone[d] else x.shape[d]
    out = empty(x.ndim, shape, dtype_of(out_code), x.storage.device)
    primitives.reduce(op, out, x)
    if keepdim:
        return out
    for d in range(x.ndim):
        if not gone[d]:
            shape[n], strides[n] = out.shape[d], out.strides[d]
            n += 1
    set_geometry(out, n, shape, strides)
    return out


def _spread(x, dims, bint keepdim, int ndim):
    """A reduced tensor with its lost dimensions back as ones, so that it broadcasts against what was reduced."""
    if keepdim or ndim == 0:
        return x
    for d in sorted(dims if dims else range(ndim)):
        x = unsqueeze(x, d)
    return x


def _spread_to(x, shape, dims, keepdim):
    return expand(_spread(x, dims, keepdim, len(shape)), shape)


# ---- sums, means ------------------------------------------------------------------------------------
cdef int sum_code(TensorBase x, object dtype):
    """Integers are added up as int64 unless a dtype is named."""
    return (<DType>dtype).code if dtype is not None else TG_I64 if x.dtype.category < CAT_FLOAT else x.dtype.code


cdef object _sum(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int code = sum_code(self, <object>a[3])
    cdef bint gone[64]
    mark_dims(self, <object>a[1], gone)
    return reduced(REDUCE_SUM, cast(self, code), gone, <object>a[2], code)


operator("sum(Tensor self, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)", native(_sum),
         vjp={"self": lambda grad, self_shape, dim, keepdim: _spread_to(grad, self_shape, dim, keepdim)}, jvp="linear",
         reference="np.sum(self, axis=dim, keepdims=keepdim)",
         samples=lambda make: [((make(2, 3),), {}), ((make(2, 3, 2), (0, 2)), {}), ((make(3, 4), 1), {"keepdim": True})],
         doc="""Sum of the elements, of all or over the named dimensions; integers are summed as int64.

    Examples
    --------
    >>> tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(0)
    tensor([4., 6.])
    """)


cdef object _mean(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef DType dtype = <object>a[3]
    cdef int code = self.dtype.code if dtype is None else dtype.code
    cdef bint gone[64]
    cdef int64_t count
    if dtype_of(code).category < CAT_FLOAT:
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                           f"Got: {self.dtype.name.capitalize()}" if dtype is None else
                           "mean(): could not infer output dtype. Optional dtype must be either a floating point or complex dtype. "
                           f"Got: {dtype.name.capitalize()}")
    mark_dims(self, <object>a[1], gone)
    count = count_of(self, gone)
    return call2(op_div_, reduced(REDUCE_SUM, cast(self, code), gone, <object>a[2], code), count if count else float(0))


def _mean_vjp(grad, self_shape, dim, keepdim):
    count = math.prod([self_shape[d] for d in (dim or range(len(self_shape)))] if self_shape else [1])
    return _spread_to(grad, self_shape, dim, keepdim) / max(count, 1)


operator("mean(Tensor self, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)", native(_mean),
         vjp={"self": _mean_vjp}, jvp="linear", reference="np.mean(self, axis=dim, keepdims=keepdim)",
         samples=lambda make: [((make(2, 3),), {}), ((make(2, 3, 2), (0, 2)), {}), ((make(3, 4), 1), {"keepdim": True})],
         doc="Arithmetic mean of the elements, of all or over the named dimensions.")
composite("nansum(Tensor self, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)",
          lambda self, dim, keepdim, dtype: sum_(where(self != self, 0, self), dim, keepdim, dtype=dtype),
          reference="np.nansum(self, axis=dim, keepdims=keepdim)", doc="Sum of the elements that are not nan.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1, True), {})])
composite("nanmean(Tensor self, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)",
          lambda self, dim, keepdim, dtype: sum_(where(self != self, 0, self), dim, keepdim, dtype=dtype)
          / sum_(self == self, dim, keepdim), reference="np.nanmean(self, axis=dim, keepdims=keepdim)",
          doc="Mean of the elements that are not nan.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1, True), {})])


# ---- products ---------------------------------------------------------------------------------------
cdef object _prod(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef int code = sum_code(self, <object>a[3])
    cdef bint gone[64]
    mark_dims(self, None if <object>a[1] is None else (<object>a[1],), gone)
    return reduced(REDUCE_PROD, cast(self, code), gone, <object>a[2], code)


def _others_product(x, dim):
    """For each element the product of the others along `dim`, without dividing (so that zeros do no harm):
    the exclusive products from the left times those from the right."""
    n = x.size(dim)
    if n == 0:
        return x
    ones = full_like(x.narrow(dim, 0, 1), 1)
    cat = handle("cat")
    left = cumprod(cat((ones, x.narrow(dim, 0, n - 1)), dim), dim)
    right = flip(cumprod(cat((ones, flip(x.narrow(dim, 1, n - 1), (dim,))), dim), dim), (dim,))
    return left * right


def _prod_partial(self, dim):
    if self.ndim == 0:
        return full_like(self, 1)
    if dim is None:
        return reshape(_others_product(reshape(self, (-1,)), 0), tuple(self.shape))
    return _others_product(self, dim)


operator("prod(Tensor self, Dim? dim=None, bool keepdim=False, *, DType? dtype=None)", native(_prod),
         vjp={"self": lambda grad, self, dim, keepdim: _spread(grad, None if dim is None else (dim,), keepdim, self.ndim)
              * conj(_prod_partial(self, dim))},
         jvp=lambda self, self_t, dim, keepdim: sum_(self_t * _prod_partial(self, dim), None if dim is None else (dim,), keepdim),
         reference="np.prod(self, axis=dim, keepdims=keepdim)",
         samples=lambda make: [((make(2, 3),), {}), ((make(2, 3), 1), {}), ((make(3, 2), 0, True), {})],
         doc="Product of the elements, of all or along one dimension.")


# ---- all, any, counts ----------------------------------------------------------------------------------------
cdef TensorBase truth(int op, PyObject** a):
    cdef bint gone[64]
    cdef int d
    mark_dims(<TensorBase>a[0], <object>a[1], gone)
    if <object>a[1] is not None and len(<tuple><object>a[1]) == 0:      # here, unlike in a sum, no dimension
        for d in range((<TensorBase>a[0]).ndim):
            gone[d] = False
    # a uint8 stays one: it was PyTorch's bool once
    return cast(reduced(op, <TensorBase>a[0], gone, <object>a[2], TG_BOOL), TG_U8 if (<TensorBase>a[0]).dtype.code == TG_U8 else TG_BOOL)


cdef object _all(PyObject** a):
    return truth(REDUCE_ALL, a)


cdef object _any(PyObject** a):
    return truth(REDUCE_ANY, a)


_BYTE = ".astype(np.uint8 if self.dtype == np.uint8 else bool)"
operator("all(Tensor self, Dims? dim=None, bool keepdim=False)", native(_all),
         reference="np.asarray(np.all(self, axis=dim, keepdims=keepdim))" + _BYTE,
         samples=lambda make: [((make(2, 3),), {}), ((make(2, 3), 1), {})],
         doc="Whether all elements are non-zero.")
operator("any(Tensor self, Dims? dim=None, bool keepdim=False)", native(_any),
         reference="np.asarray(np.any(self, axis=dim, keepdims=keepdim))" + _BYTE,
         samples=lambda make: [((make(2, 3),), {}), ((make(2, 3), 1), {})],
         doc="Whether any element is non-zero.")
composite("count_nonzero(Tensor self, Dims? dim=None)", lambda self, dim: sum_(self != 0, dim),
          reference="np.count_nonzero(self, axis=dim)", doc="How many elements are not zero.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1), {})])
composite("allclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool",
          lambda self, other, rtol, atol, equal_nan: bool(handle("isclose")(self, other, rtol, atol, equal_nan).all().item()),
          doc="Whether all elements are close: ``|self - other| <= atol + rtol * |other|``.")
composite("isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False)",
          lambda self, other, rtol, atol, equal_nan: _isclose(self, other, rtol, atol, equal_nan),
          doc="Whether elements are close: ``|self - other| <= atol + rtol * |other|``.",
          samples=lambda make: [((make(3, 4), make(3, 4)), {})],
          reference="np.isclose(self, other, rtol, atol, equal_nan)")


def _isclose(self, other, rtol, atol, equal_nan):
    if self.dtype is not other.dtype:
        raise RuntimeError(f"{_title(self)} did not match {_title(other)}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {tolerance}")
    same = self == other
    if equal_nan:
        same = same | ((self != self) & (other != other))
    if not (self.is_floating_point() or self.is_complex()):
        self, other = self.double(), other.double()
    distance = (self - other).abs()
    return same | ((distance <= atol + rtol * other.abs()) & distance.isfinite())


def _title(x):
    return _type_names[x.dtype.name]


composite("equal(Tensor self, Tensor other) -> bool",
          lambda self, other: self.shape == other.shape and bool((self == other).all().item()),
          doc="Whether two tensors have the same shape and elements.")


# ---- norms ------------------------------------------------------------------------------------------------------
cdef object _norm_of(PyObject** a):
    """The norm of order 2, which is the default, goes without a detour."""
    cdef PyObject* b[4]
    cdef object p = <object>a[1]
    if <object>a[4] is None and (p is None or (type(p) is str and p == "fro") or (type(p) is int and p == 2)) \
            and (<TensorBase>a[0]).dtype.category >= CAT_FLOAT:
        p = 2
        b[0], b[1], b[2], b[3] = a[0], <PyObject*>p, a[2], a[3]
        return invoke(vector_norm, b)
    x = <object>a[0] if <object>a[4] is None else to(<object>a[0], <object>a[4])
    return _norm(x, p, <object>a[2], <object>a[3])


composite("norm(Tensor self, Any p='fro', Dims? dim=None, bool keepdim=False, DType? dtype=None)",
          native(_norm_of),
          reference="np.linalg.norm(np.ravel(self)) if dim is None else np.linalg.norm(self, axis=dim, keepdims=keepdim)",
          samples=lambda make: [((make(2, 3),), {}), ((make(3, 4), 2, 1), {})], doc="""The p-norm of the elements.

    Notes
    -----
    ``(sum |x|^p)^(1/p)``; the largest modulus for p = inf, the smallest for -inf, the number of non-zeros for 0.
    """)


def _norm(self, p, dim, keepdim):
    if not (self.is_floating_point() or self.is_complex()):
        raise RuntimeError(f"norm(): the desired output dtype should be either floating point or complex. Got {_title(self)} instead.")
    if p is None or p == "fro":
        p = 2
    if p == "nuc":
        return handle("linalg_matrix_norm")(self, "nuc", dim, keepdim)
    if isinstance(p, str):
        raise RuntimeError(f"norm(): the order '{p}' is not supported; use a number or 'fro'")
    return handle("_vector_norm")(self, p, dim, keepdim)


# ---- log-sum-exp --------------------------------------------------------------------------------------------------
def _logsumexp(TensorBase self, dim, bint keepdim):
    cdef TensorBase x = self if self.dtype.category >= CAT_FLOAT else cast(self, default_code())
    if x.numel == 0:
        return log(sum_(exp(x), dim, keepdim))
    top = amax(real(x) if x.is_complex() else x, dim or (), True)
    top = where(top.abs() == math.inf, 0, top)
    return log(sum_(exp(x - top), dim, keepdim)) + (top if keepdim else squeeze(top, dim or tuple(range(self.ndim))))


operator("logsumexp(Tensor self, Dims dim, bool keepdim=False)", _logsumexp,
         vjp={"self": lambda grad, self, out, dim, keepdim: _spread(grad, dim, keepdim, self.ndim)
              * conj(exp(self - _spread(out, dim, keepdim, self.ndim)))},
         jvp=lambda self, self_t, dim, keepdim: _logsumexp_jvp(self, self_t, dim, keepdim),
         reference="np.log(np.sum(np.exp(self), axis=dim, keepdims=keepdim))", varargs=False,
         samples=lambda make: [((make(2, 3), 1), {}), ((make(3, 2), (0, 1), True), {})],
         doc="``log(sum(exp(x)))`` over the named dimensions, without overflow in between.")


def _logsumexp_jvp(self, self_t, dim, keepdim):
    """A mean of the tangents. The weights are not exp(x - out): of large complex elements `out` has lost the phase's last digits."""
    weights = exp(self - amax(real(self) if self.is_complex() else self, dim or (), True)) if self.numel() else exp(self)
    return sum_(self_t * weights, dim, keepdim) / sum_(weights, dim, keepdim)
