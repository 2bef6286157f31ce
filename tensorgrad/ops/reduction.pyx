"""Operators that reduce dimensions, scan along them, or order them."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport (
    CAT_BOOL, CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_BOOL, TG_F16, TG_F32, TG_F64, TG_I32, TG_I64, TG_U8, default_code, dtype_of)
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.primitives cimport REDUCE_ALL, REDUCE_ANY, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, REDUCE_SUM
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty, new_tensor, set_geometry

import math
import warnings

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import _type_names

cdef Operator sum_, expand, reshape, unsqueeze, squeeze, where, to, amax, gather, zeros_like, cumsum, flip, exp, log, mean, prod
sum_, expand, reshape, unsqueeze, squeeze = (handle(n) for n in ("sum", "expand", "reshape", "unsqueeze", "squeeze"))
where, to, amax, gather, zeros_like = (handle(n) for n in ("where", "to", "amax", "gather", "zeros_like"))
cumsum, flip, exp, log, mean, prod = (handle(n) for n in ("cumsum", "flip", "exp", "log", "mean", "prod"))
cdef Operator scatter_value, logsumexp, conj, movedim, cumprod, arange, scatter_add, full_like, sort, real, clone
logsumexp, conj, movedim, cumprod = (handle(n) for n in ("logsumexp", "conj_physical", "movedim", "cumprod"))
arange, scatter_add, full_like, sort, real, clone = (
    handle(n) for n in ("arange", "scatter_add", "full_like", "sort", "real", "clone"))
cdef Operator value_selecting_backward = handle("value_selecting_backward")
cdef Operator op_div_ = handle("div_"), max_of_all = handle("_max"), min_of_all = handle("_min")
cdef object max_type = return_types.max, min_type = return_types.min


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


# ---- variance -----------------------------------------------------------------------------------------
cdef extern from "statistics.h":
    void tg_variance_f32(float* out, const float* x, int64_t rows, int64_t n, double degrees, int root) noexcept nogil
    void tg_variance_f64(double* out, const double* x, int64_t rows, int64_t n, double degrees, int root) noexcept nogil
    void tg_topk_f32(float* v, int64_t* at, const float* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil
    void tg_topk_f64(double* v, int64_t* at, const double* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil
    void tg_topk_i64(int64_t* v, int64_t* at, const int64_t* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil
    void tg_topk_i32(int* v, int64_t* at, const int* x, int64_t step, int64_t n, int64_t k, int largest) noexcept nogil


cdef inline char* memory(TensorBase x) noexcept:
    return x.storage.data + x.offset * <int64_t>x.dtype.itemsize


cdef TensorBase spread_out(PyObject** a, bint root):
    """The variance, or its root: of rows that lie in memory as they should by one loop, else by operators."""
    cdef TensorBase self = <TensorBase>a[0], out
    cdef double degrees, correction = <object>a[2]
    cdef bint gone[64]
    cdef int64_t shape[64]
    cdef int64_t n, rows
    cdef int d, kept, code = self.dtype.code
    cdef char* x
    cdef char* o
    if self.dtype.category < CAT_FLOAT:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    mark_dims(self, <object>a[1], gone)
    n = count_of(self, gone)
    degrees = n - correction
    if degrees <= 0:
        warnings.warn(("std" if root else "var") + "(): degrees of freedom is <= 0. Correction should be strictly less than the "
                      "reduction factor (input numel divided by output numel).", stacklevel=2)
        degrees = 0
    if code == TG_F16 or code == TG_BF16:
        return cast(by_operators(cast(self, TG_F32), <object>a[1], <object>a[3], degrees, root), code)
    kept = self.ndim
    while kept > 0 and gone[kept - 1]:
        kept -= 1
    for d in range(kept):
        shape[d] = self.shape[d]
        if gone[d]:
            kept = -1
            break
    if kept < 0 or code not in (TG_F32, TG_F64) or not self.flags & CONTIGUOUS or self.storage.device is not cpu or not self.numel:
        return by_operators(self, <object>a[1], <object>a[3], degrees, root)
    if <object>a[3]:
        for d in range(kept, self.ndim):
            shape[d] = 1
    out = empty(self.ndim if <object>a[3] else kept, shape, self.dtype, cpu)
    rows, x, o = out.numel, memory(self), memory(out)
    with nogil:
        if code == TG_F32:
            tg_variance_f32(<float*>o, <float*>x, rows, n, degrees, root)
        else:
            tg_variance_f64(<double*>o, <double*>x, rows, n, degrees, root)
    return out


cdef TensorBase by_operators(TensorBase self, dim, bint keepdim, double degrees, bint root):
    centred = self - mean(self, dim, True)
    square = real(centred * conj(centred)) if self.dtype.category == CAT_COMPLEX else centred * centred
    variance = sum_(square, dim, keepdim) / degrees
    return variance.sqrt() if root else variance


cdef object _var_forward(PyObject** a):
    return spread_out(a, False)


cdef object _std_forward(PyObject** a):
    return spread_out(a, True)


def _var_slope(self, dim, correction):
    """2 (x - mean) / (n - correction): infinite without degrees of freedom, nan where x is the mean then."""
    degrees = math.prod([self.size(d) for d in (dim or range(self.ndim))]) - correction
    if degrees < 0 and not dim:
        degrees = 0
    return (self - mean(self, dim, True)) * (2.0 / degrees if degrees else math.inf)


def _var_vjp(grad, self, dim, correction, keepdim):
    return _spread(grad, dim, keepdim, self.ndim) * _var_slope(self, dim, correction)


def _var_jvp(self, self_t, dim, correction, keepdim):
    slope = _var_slope(self, dim, correction)
    return sum_(real(conj(slope) * self_t) if self.is_complex() else slope * self_t, dim, keepdim)


def _halved(x, out):
    """x / (2 out): what the root makes of the variance's derivative, 0 where the deviation is 0."""
    return where(out == 0, 0, x / (2 * out))


operator("_var(Tensor self, Dims? dim, Number correction, bool keepdim)", native(_var_forward), vjp={"self": _var_vjp}, jvp=_var_jvp,
         node="var", internal=True, reference="np.var(self, axis=dim, ddof=correction, keepdims=keepdim)",
         samples=lambda make: [((make(2, 3), None, 1, False), {}), ((make(2, 3, 4), (0, 2), 0, True), {}),
                               ((make(3, 4), (1,), 1, False), {})],
         doc="The mean square distance from the mean, over n - `correction`.")
operator("_std(Tensor self, Dims? dim, Number correction, bool keepdim)", native(_std_forward),
         vjp={"self": lambda grad, self, out, dim, correction, keepdim: _var_vjp(_halved(grad, out), self, dim, correction, keepdim)},
         jvp=lambda self, self_t, out, dim, correction, keepdim: _halved(_var_jvp(self, self_t, dim, correction, keepdim), out),
         node="std", internal=True, reference="np.std(self, axis=dim, ddof=correction, keepdims=keepdim)",
         samples=lambda make: [((make(2, 3), None, 1, False), {}), ((make(2, 3, 4), (0, 2), 0, True), {}),
                               ((make(3, 4), (1,), 1, False), {})],
         doc="The root of the variance.")
cdef Operator var_ = handle("_var"), std_ = handle("_std")


cdef object deviate(Operator op, PyObject* self, object dim, object correction, object keepdim):
    cdef PyObject* b[4]
    b[0], b[1], b[2], b[3] = self, <PyObject*>dim, <PyObject*>correction, <PyObject*>keepdim
    return invoke(op, b)


cdef object corrected(Operator op, PyObject** a):
    """(self, dim, correction, keepdim)"""
    return deviate(op, a[0], <object>a[1], 1 if <object>a[2] is None else <object>a[2], <object>a[3])


cdef object unbiased_along(Operator op, PyObject** a):
    """(self, dim, unbiased, keepdim)"""
    return deviate(op, a[0], <object>a[1], 1 if <object>a[2] else 0, <object>a[3])


cdef object unbiased_of_all(Operator op, PyObject** a):
    """(self, unbiased)"""
    return deviate(op, a[0], None, 1 if <object>a[1] else 0, False)


cdef object _var_corrected(PyObject** a):
    return corrected(var_, a)


cdef object _var_along(PyObject** a):
    return unbiased_along(var_, a)


cdef object _var_of_all(PyObject** a):
    return unbiased_of_all(var_, a)


cdef object _std_corrected(PyObject** a):
    return corrected(std_, a)


cdef object _std_along(PyObject** a):
    return unbiased_along(std_, a)


cdef object _std_of_all(PyObject** a):
    return unbiased_of_all(std_, a)


for _name, _by_correction, _along, _of_all, _doc in (
        ("var", native(_var_corrected), native(_var_along), native(_var_of_all),
         "Variance of the elements: the mean square distance from the mean, over n - `correction`."),
        ("std", native(_std_corrected), native(_std_along), native(_std_of_all),
         "Standard deviation of the elements: the root of their variance.")):
    composite(f"{_name}(Tensor self, Dims? dim=None, *, Number? correction=1, bool keepdim=False)", _by_correction,
              reference=f"np.{_name}(self, axis=dim, ddof=correction, keepdims=keepdim)",
              samples=lambda make: [((make(2, 3),), {}), ((make(3, 4), 1), {"correction": 0})], doc=_doc)
    composite(f"{_name}(Tensor self, Dims? dim, bool unbiased=True, bool keepdim=False)", _along,
              samples=lambda make: [((make(3, 4), 1, False), {})],
              reference=f"np.{_name}(self, axis=dim, ddof=int(unbiased), keepdims=keepdim)")
    composite(f"{_name}(Tensor self, bool unbiased)", _of_all,
              samples=lambda make: [((make(3, 4), False), {})], reference=f"np.{_name}(self, ddof=int(unbiased))")


def _variance(self, dim, correction, keepdim):
    return var_(self, dim, correction, keepdim)


def _deviation(self, dim, correction, keepdim):
    return std_(self, dim, correction, keepdim)


composite("var_mean(Tensor self, Dims? dim=None, *, Number? correction=1, bool keepdim=False) -> (Tensor var, Tensor mean)",
          lambda self, dim, correction, keepdim: (_variance(self, dim, 1 if correction is None else correction, keepdim),
                                                  mean(self, dim, keepdim)), method=False, doc="Variance and mean.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1), {})],
          reference="(np.var(self, axis=dim, ddof=correction, keepdims=keepdim), np.mean(self, axis=dim, keepdims=keepdim))")
composite("var_mean(Tensor self, Dims? dim, bool unbiased=True, bool keepdim=False) -> (Tensor var, Tensor mean)",
          lambda self, dim, unbiased, keepdim: (_variance(self, dim, int(unbiased), keepdim), mean(self, dim, keepdim)),
          samples=lambda make: [((make(3, 4), 1, False), {})],
          reference="(np.var(self, axis=dim, ddof=int(unbiased), keepdims=keepdim), np.mean(self, axis=dim, keepdims=keepdim))")
composite("var_mean(Tensor self, bool unbiased) -> (Tensor var, Tensor mean)",
          lambda self, unbiased: (_variance(self, None, int(unbiased), False), mean(self)),
          samples=lambda make: [((make(3, 4), False), {})], reference="(np.var(self, ddof=int(unbiased)), np.mean(self))")
composite("std_mean(Tensor self, Dims? dim=None, *, Number? correction=1, bool keepdim=False) -> (Tensor std, Tensor mean)",
          lambda self, dim, correction, keepdim: (_deviation(self, dim, 1 if correction is None else correction, keepdim),
                                                  mean(self, dim, keepdim)), method=False, doc="Standard deviation and mean.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1), {})],
          reference="(np.std(self, axis=dim, ddof=correction, keepdims=keepdim), np.mean(self, axis=dim, keepdims=keepdim))")
composite("std_mean(Tensor self, Dims? dim, bool unbiased=True, bool keepdim=False) -> (Tensor std, Tensor mean)",
          lambda self, dim, unbiased, keepdim: (_deviation(self, dim, int(unbiased), keepdim), mean(self, dim, keepdim)),
          samples=lambda make: [((make(3, 4), 1, False), {})],
          reference="(np.std(self, axis=dim, ddof=int(unbiased), keepdims=keepdim), np.mean(self, axis=dim, keepdims=keepdim))")
composite("std_mean(Tensor self, bool unbiased) -> (Tensor std, Tensor mean)",
          lambda self, unbiased: (_deviation(self, None, int(unbiased), False), mean(self)),
          samples=lambda make: [((make(3, 4), False), {})], reference="(np.std(self, ddof=int(unbiased)), np.mean(self))")


# ---- largest and smallest ---------------------------------------------------------------------------------
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
             reference=f"{_ref}(self, axis=dim or None, keepdims=keepdim)",
             samples=lambda make: [((make(2, 3),), {}), ((make(2, 3, 2), (0, 2)), {}), ((make(3, 4), 1, True), {})],
             doc=f"The {_what} element, of all or over the named dimensions; equal ones share the gradient.")


cdef tuple extreme_with_index(bint is_max, TensorBase self, int dim, bint keepdim):
    """(values, indices) along one dimension."""
    cdef TensorBase index = arg_extreme(is_max, self, dim, True)
    cdef TensorBase x = self if self.ndim else new_tensor(self.storage, self.dtype, 1, _one, _one, self.offset)
    cdef TensorBase flat = index if index.ndim else new_tensor(index.storage, index.dtype, 1, _one, _one, index.offset)
    cdef TensorBase values = empty(flat.ndim, flat.shape, self.dtype, self.storage.device)
    primitives.gather(values, x, dim if self.ndim else 0, flat, "max")
    if not keepdim or self.ndim == 0:
        values, index = _drop(values, dim), _drop(index, dim)
    return values, index


cdef int64_t _one[1]
_one[0] = 1


cdef TensorBase _drop(TensorBase x, int dim):
    """Without dimension `dim`, which has size one."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int d, n = 0
    if x.ndim == 0:
        return x
    for d in range(x.ndim):
        if d != dim:
            shape[n], strides[n] = x.shape[d], x.strides[d]
            n += 1
    return new_tensor(x.storage, x.dtype, n, shape, strides, x.offset)


cdef TensorBase arg_extreme(bint is_max, TensorBase self, object dim, bint keepdim):
    cdef int64_t shape[64]
    cdef TensorBase x = self, out
    cdef int d, along
    name = "argmax" if is_max else "argmin"
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
        out = arg_extreme(is_max, x, 0, False)
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
    return out if keepdim and self.ndim else _drop(out, along)


cdef object _argmax(PyObject** a):
    return arg_extreme(True, <TensorBase>a[0], <object>a[1], <object>a[2])


cdef object _argmin(PyObject** a):
    return arg_extreme(False, <TensorBase>a[0], <object>a[1], <object>a[2])


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
    return max_type(extreme_with_index(True, <TensorBase>a[0], <object>a[1], <object>a[2]))


cdef object _min_along(PyObject** a):
    return min_type(extreme_with_index(False, <TensorBase>a[0], <object>a[1], <object>a[2]))


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
          lambda self, dim, keepdim: return_types.aminmax((handle("amin")(self, () if dim is None else (dim,), keepdim),
                                                           amax(self, () if dim is None else (dim,), keepdim))),
          doc="The smallest and the largest element.",
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4),), {"dim": 1})],
          reference="(np.min(self, axis=dim, keepdims=keepdim), np.max(self, axis=dim, keepdims=keepdim))")


# ---- all, any, counts ----------------------------------------------------------------------------------------
cdef TensorBase truth(int op, PyObject** a):
    cdef bint gone[64]
    mark_dims(<TensorBase>a[0], <object>a[1], gone)
    return reduced(op, <TensorBase>a[0], gone, <object>a[2], TG_BOOL)


cdef object _all(PyObject** a):
    return truth(REDUCE_ALL, a)


cdef object _any(PyObject** a):
    return truth(REDUCE_ANY, a)


operator("all(Tensor self, Dims? dim=None, bool keepdim=False)", native(_all),
         reference="np.all(self, axis=dim, keepdims=keepdim)", samples=lambda make: [((make(2, 3),), {}), ((make(2, 3), 1), {})],
         doc="Whether all elements are non-zero.")
operator("any(Tensor self, Dims? dim=None, bool keepdim=False)", native(_any),
         reference="np.any(self, axis=dim, keepdims=keepdim)", samples=lambda make: [((make(2, 3),), {}), ((make(2, 3), 1), {})],
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
composite("norm(Tensor self, Any p='fro', Dims? dim=None, bool keepdim=False, DType? dtype=None)",
          lambda self, p, dim, keepdim, dtype: _norm(self if dtype is None else to(self, dtype), p, dim, keepdim),
          reference="np.linalg.norm(np.ravel(self)) if dim is None else np.linalg.norm(self, axis=dim, keepdims=keepdim)",
          samples=lambda make: [((make(2, 3),), {}), ((make(3, 4), 2, 1), {})], doc="""The p-norm of the elements.

    Notes
    -----
    ``(sum |x|^p)^(1/p)``; the largest modulus for p = inf, the smallest for -inf, the number of non-zeros for 0.
    """)


def _norm(self, p, dim, keepdim):
    if not (self.is_floating_point() or self.is_complex()):
        raise RuntimeError(f"norm(): the desired output dtype should be either floating point or complex. Got {_title(self)} instead.")
    if p is None or p == "fro" or p == 2:
        return handle("_norm2")(self, dim, keepdim)
    if p == "nuc":
        return handle("linalg_matrix_norm")(self, "nuc", dim, keepdim)
    if isinstance(p, str):
        raise RuntimeError(f"norm(): the order '{p}' is not supported; use a number or 'fro'")
    size = self.abs()
    if p == math.inf:
        return amax(size, dim or (), keepdim)
    if p == -math.inf:
        return handle("amin")(size, dim or (), keepdim)
    if p == 0:
        return to(sum_(self != 0, dim, keepdim), size.dtype)
    if p == 1:
        return sum_(size, dim, keepdim)
    return sum_(size.pow(p), dim, keepdim).pow(1.0 / p)


def _norm2(TensorBase self, dim, bint keepdim):
    square = self.abs().square() if self.dtype.category == CAT_COMPLEX else handle("square")(self)
    return sum_(square, dim, keepdim).sqrt()


def _norm2_vjp(grad, self, out, dim, keepdim):
    """x / |x|, and 0 where the norm is 0."""
    out = _spread(out, dim, keepdim, self.ndim)
    return where(out == 0, 0, self / out) * _spread(grad, dim, keepdim, self.ndim)


def _norm2_jvp(self, self_t, out, dim, keepdim):
    part = real(self_t * conj(self)) if self.is_complex() else self_t * self
    return where(out == 0, 0, sum_(part, dim, keepdim) / out)


operator("_norm2(Tensor self, Dims? dim=None, bool keepdim=False)", _norm2, vjp={"self": _norm2_vjp}, jvp=_norm2_jvp,
         node="linalg_vector_norm", internal=True,
         reference="np.sqrt(np.sum(np.abs(self) ** 2.0, axis=dim, keepdims=keepdim))",
         samples=lambda make: [((make(2, 3),), {}), ((make(3, 4), 1), {})], doc="The Euclidean norm.")


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
         jvp=lambda self, self_t, out, dim, keepdim: sum_(self_t * exp(self - _spread(out, dim, keepdim, self.ndim)), dim, keepdim),
         reference="np.log(np.sum(np.exp(self), axis=dim, keepdims=keepdim))", varargs=False,
         samples=lambda make: [((make(2, 3), 1), {}), ((make(3, 2), (0, 1), True), {})],
         doc="``log(sum(exp(x)))`` over the named dimensions, without overflow in between.")


# ---- scans ------------------------------------------------------------------------------------------------------------
def _scan(int op, TensorBase self, int dim, DType dtype):
    cdef int code = dtype.code if dtype is not None else (TG_I64 if self.dtype.category < CAT_FLOAT else self.dtype.code)
    cdef TensorBase x = cast(self, code)
    cdef TensorBase out = empty(x.ndim, x.shape, x.dtype, x.storage.device)
    if x.ndim == 0:
        primitives.copy(out, x)
    elif primitives.has_kernel(x, "scan"):
        primitives.scan(op, out, x, dim)
    else:
        primitives.copy(out, _scan_by_doubling(op, x, dim))
    return out


def _scan_by_doubling(op, x, dim):
    """Hillis and Steele's scan (1986): after step k each element holds the result of the last 2^k."""
    n = x.size(dim)
    step = 1
    cat = handle("cat")
    while step < n:
        earlier, later = x.narrow(dim, 0, n - step), x.narrow(dim, step, n - step)
        x = cat((x.narrow(dim, 0, step), later + earlier if op == REDUCE_SUM else later * earlier), dim)
        step *= 2
    return x


def _reverse_cumsum(x, dim):
    return flip(cumsum(flip(x, (dim,)), dim), (dim,)) if x.ndim else x


operator("cumsum(Tensor self, Dim dim, *, DType? dtype=None)", lambda self, dim, dtype: _scan(REDUCE_SUM, self, dim, dtype),
         inplace=True, vjp={"self": lambda grad, dim: _reverse_cumsum(grad, dim)}, jvp="linear",
         reference="np.cumsum(self, dim)", samples=lambda make: [((make(3, 4), 1), {}), ((make(5), 0), {})],
         doc="""Sums of the elements up to each index of a dimension.

    Examples
    --------
    >>> tensorgrad.tensor([1, 2, 3]).cumsum(0)
    tensor([1, 3, 6])
    """)


def _cumprod_vjp(grad, self, dim):
    """d out_j / d x_i = product of the others up to j. Quadratic in the length, but right at zeros too."""
    if self.ndim == 0:
        return grad
    n = self.size(dim)
    x = movedim(self, dim, -1)
    g = movedim(grad, dim, -1)
    parts = []
    stack = handle("stack")
    for i in range(n):
        before = x[..., :i].prod(-1, True) if i else full_like(x[..., :1], 1)
        after = handle("cat")((before, before * cumprod(x[..., i + 1:], -1)), -1) if i + 1 < n else before
        parts.append(sum_(g[..., i:] * conj(after), -1))
    return movedim(stack(tuple(parts), -1), -1, dim)


def _cumprod_jvp(self, self_t, dim):
    if self.ndim == 0:
        return self_t
    x, t = movedim(self, dim, -1), movedim(self_t, dim, -1)
    total = zeros_like(x)
    pad = handle("cat")
    for i in range(x.size(-1)):
        before = x[..., :i].prod(-1, True) if i else full_like(x[..., :1], 1)
        after = pad((before, before * cumprod(x[..., i + 1:], -1)), -1) if i + 1 < x.size(-1) else before
        total = total + pad((zeros_like(x[..., :i]), t[..., i:i + 1] * after), -1)
    return movedim(total, -1, dim)


operator("cumprod(Tensor self, Dim dim, *, DType? dtype=None)", lambda self, dim, dtype: _scan(REDUCE_PROD, self, dim, dtype),
         inplace=True, vjp={"self": _cumprod_vjp}, jvp=_cumprod_jvp, reference="np.cumprod(self, dim)",
         samples=lambda make: [((make(3, 4), 1), {}), ((make(5), 0), {})],
         doc="Products of the elements up to each index of a dimension.")


def _logcumsumexp(TensorBase self, int dim):
    """Scanned pairwise with logaddexp, so that no sum overflows."""
    x, step = self, 1
    n = self.shape[dim] if self.ndim else 1
    cat, logaddexp = handle("cat"), handle("logaddexp")
    while step < n:
        x = cat((x.narrow(dim, 0, step), logaddexp(x.narrow(dim, step, n - step), x.narrow(dim, 0, n - step))), dim)
        step *= 2
    return clone(x) if x is self else x


operator("logcumsumexp(Tensor self, Dim dim)", _logcumsumexp,
         vjp={"self": lambda grad, self, out, dim: _logcumsumexp_vjp(grad, self, out, dim)},
         jvp=lambda self, self_t, out, dim: _logcumsumexp_jvp(self, self_t, out, dim),
         reference="np.log(np.cumsum(np.exp(self), dim))", samples=lambda make: [((make(3, 4), 1), {})],
         doc="``log(cumsum(exp(x)))`` along a dimension, without overflow in between.")


def _logcumsumexp_vjp(grad, self, out, dim):
    if self.ndim == 0:
        return grad
    top = amax(self, (dim,), True)
    return exp(self - top) * _reverse_cumsum(grad * exp(top - out), dim)


def _logcumsumexp_jvp(self, self_t, out, dim):
    if self.ndim == 0:
        return self_t
    top = amax(self, (dim,), True)
    return cumsum(self_t * exp(self - top), dim) * exp(top - out)


# ---- order ------------------------------------------------------------------------------------------------------------------
def _sort(TensorBase self, int dim, bint descending, bint stable):
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
    return return_types.sort((values, indices))


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


operator("sort(Tensor self, Dim dim=-1, bool descending=False, *, bool stable=False) -> (Tensor values, Tensor indices)", _sort,
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


cdef object topk_type = return_types.topk


cdef object _topk(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0], values, indices
    cdef int64_t k = <object>a[1], n, step = 1, lanes = 1, lane, i, start, to_
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
        with nogil:
            for lane in range(lanes):
                for i in range(step):
                    start, to_ = lane * n * step + i, lane * k * step + i
                    if code == TG_F32:
                        tg_topk_f32(<float*>v + to_, at + to_, <float*>x + start, step, n, k, largest)
                    elif code == TG_F64:
                        tg_topk_f64(<double*>v + to_, at + to_, <double*>x + start, step, n, k, largest)
                    elif code == TG_I64:
                        tg_topk_i64(<int64_t*>v + to_, at + to_, <int64_t*>x + start, step, n, k, largest)
                    else:
                        tg_topk_i32(<int*>v + to_, at + to_, <int*>x + start, step, n, k, largest)
    return topk_type((values, indices))


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
            values, indices = _drop(values, dim), _drop(indices, dim)
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
        values, indices = _drop(values, dim), _drop(indices, dim)
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
