"""Variances and standard deviations."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core.device cimport cpu
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_F16, TG_F32, TG_F64
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty, memory
from tensorgrad.ops.reduction cimport cast, count_of, mark_dims

import math
import warnings

from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.reduction import _spread

cdef Operator sum_, where, mean, conj, real
sum_, where, mean, conj, real = (handle(n) for n in ("sum", "where", "mean", "conj_physical", "real"))


cdef extern from "statistics.h":
    void tg_variance_f32(float* out, const float* x, int64_t rows, int64_t n, double degrees, int root) noexcept nogil
    void tg_variance_f64(double* out, const double* x, int64_t rows, int64_t n, double degrees, int root) noexcept nogil


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
