"""Sums and products up to each element of a dimension."""
from cpython.object cimport PyObject

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dtype cimport CAT_FLOAT, TG_F32, TG_I64, dtype_of
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.primitives cimport REDUCE_PROD, REDUCE_SUM
from tensorgrad._core.types cimport TensorBase, empty
from tensorgrad.ops.reduction cimport cast

import math

from tensorgrad._core.declaration import operator

cdef Operator sum_, zeros_like, cumsum, flip, exp, conj, movedim, cumprod, full_like, clone, real, to, where
sum_, zeros_like, cumsum, flip, exp, real = (handle(n) for n in ("sum", "zeros_like", "cumsum", "flip", "exp", "real"))
to, where = handle("to"), handle("where")
conj, movedim, cumprod, full_like, clone = (handle(n) for n in ("conj_physical", "movedim", "cumprod", "full_like", "clone"))


cdef TensorBase _scan(int op, TensorBase self, int dim, DType dtype):
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


cdef object _cumsum(PyObject** a):
    return _scan(REDUCE_SUM, <TensorBase>a[0], <object>a[1], <object>a[2])


operator("cumsum(Tensor self, Dim dim, *, DType? dtype=None)", native(_cumsum),
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
    if self.ndim == 0 or self.numel() == 0:
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


def _decay(a, b):
    """exp(a - b) for what has been added up to `a` of what has been added up to `b`: at most 1, where elements are real."""
    return exp(where((real(b) if b.is_complex() else b) == -math.inf, 0, a - b))


def _logcumsumexp_vjp(grad, self, out, dim):
    """exp(x_i - out_i) S_i, where S_i = g_i + exp(out_i - out_(i+1)) S_(i+1) is scanned by doubling. No factor overflows."""
    if self.ndim == 0:
        return grad
    self, out, half = _in_float(self, out, dim)
    n, step, total, cat = self.size(dim), 1, to(grad, self.dtype), handle("cat")
    while step < n:
        factor = conj(_decay(out.narrow(dim, 0, n - step), out.narrow(dim, step, n - step)))
        total = cat((total.narrow(dim, 0, n - step) + factor * total.narrow(dim, step, n - step), total.narrow(dim, n - step, step)), dim)
        step *= 2
    total = conj(_decay(self, out)) * total
    return to(total, half) if half is not None else total


def _logcumsumexp_jvp(self, self_t, out, dim):
    """T_j = exp(x_j - out_j) t_j + exp(out_(j-1) - out_j) T_(j-1), scanned by doubling."""
    if self.ndim == 0:
        return self_t
    self, out, half = _in_float(self, out, dim)
    n, step, total, cat = self.size(dim), 1, _decay(self, out) * to(self_t, self.dtype), handle("cat")
    while step < n:
        factor = _decay(out.narrow(dim, 0, n - step), out.narrow(dim, step, n - step))
        total = cat((total.narrow(dim, 0, step), total.narrow(dim, step, n - step) + factor * total.narrow(dim, 0, n - step)), dim)
        step *= 2
    return to(total, half) if half is not None else total


def _in_float(self, out, dim):
    """Differences of halves have no digits left where the halves are large: they are taken of floats."""
    if self.dtype.itemsize > 2:
        return self, out, None
    wide = to(self, dtype_of(TG_F32))
    return wide, handle("logcumsumexp")(wide, dim), self.dtype
