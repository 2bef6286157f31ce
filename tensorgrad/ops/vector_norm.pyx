"""The norm of vectors of any order, whose derivatives are told case by case: at zero, at the largest element, for small orders."""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_F32, TG_F64, dtype_of
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.types cimport TensorBase

import math

from tensorgrad._core.declaration import operator
from tensorgrad._core.graph import type_name

cdef Operator abs_, amax, amin, conj, isnan, real, sgn, square, sum_, to, unsqueeze, where, zeros_like
abs_, amax, amin, conj, isnan, real = (handle(n) for n in ("abs", "amax", "amin", "conj_physical", "isnan", "real"))
sgn, square, sum_, to, unsqueeze, where = (handle(n) for n in ("sgn", "square", "sum", "to", "unsqueeze", "where"))
zeros_like = handle("zeros_like")
cdef Operator mul = handle("mul"), sqrt_ = handle("sqrt_")


cdef object _vector_norm(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0]
    cdef PyObject* b[4]
    cdef object none = None
    if <object>a[1] == 2 and (self.dtype.code == TG_F32 or self.dtype.code == TG_F64):
        squares = call2(mul, self, self)
        b[0], b[1], b[2], b[3] = <PyObject*>squares, a[2], a[3], <PyObject*>none
        return call1(sqrt_, invoke(sum_, b))
    return _norm_of_order(self, <object>a[1], <object>a[2], <object>a[3])


cdef object _norm_of_order(TensorBase self, ord, dim, bint keepdim):
    cdef TensorBase x = to(self, dtype_of(TG_F32)) if self.dtype.itemsize == 2 else self    # a power of halves overflows soon
    if self.dtype.category < CAT_FLOAT:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as input. "
                           f"Got {type_name(self).partition('.')[2].removesuffix('Tensor')}")
    if ord < 0 or ord == math.inf:
        _refuse_empty(x, ord, dim)
    if ord == 0:
        out = sum_(x != 0, dim, keepdim)
    elif ord == 2:
        out = sum_(square(abs_(x) if x.dtype.category == CAT_COMPLEX else x), dim, keepdim).sqrt()
    else:
        size = abs_(x)
        if math.isinf(ord):
            out = (amax if ord > 0 else amin)(size, dim or (), keepdim)
        else:
            out = sum_(size, dim, keepdim) if ord == 1 else sum_(size ** ord, dim, keepdim) ** (1.0 / ord)
    if self.dtype.itemsize > 2 and ord != 0:
        return out
    return to(out, self.dtype.to_real() if self.dtype.category == CAT_COMPLEX else self.dtype)


cdef int _refuse_empty(TensorBase x, ord, dim) except -1:
    """A sum of nothing is 0; a maximum or a reciprocal of nothing is none."""
    for d in dim or range(x.ndim):
        if x.ndim and x.shape[<int>d] == 0:
            raise RuntimeError(f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have "
                               "an identity" if not dim else f"linalg.vector_norm cannot compute the {ord} norm on the dimension {d} "
                               "because this dimension is empty and the operation does not have an identity")
    return 0


def _spread(x, dim, keepdim, ndim):
    """A norm with its lost dimensions back as ones."""
    if not keepdim and ndim:
        for d in sorted(dim or range(ndim)):
            x = unsqueeze(x, d)
    return x


def _vjp(grad, self, out, ord, dim, keepdim):
    """x |x|^(p - 2) / norm^(p - 1), and 0 where that is 0 / 0: PyTorch's norm_backward."""
    if ord == 0:
        return None
    grad, out = _spread(grad, dim, keepdim, self.ndim), _spread(out, dim, keepdim, self.ndim)
    if ord == 1:
        return sgn(self) * grad
    if ord == 2:
        return where(out == 0, 0, self / out) * grad
    size = abs_(self)
    if math.isinf(ord):
        reach = (size == out) | isnan(size)
        return sgn(self) * (grad / sum_(reach, dim, True) * reach)
    if ord < 1:
        return sgn(self) * where(self == 0, 0, size ** (ord - 1)) * (grad * out ** (1 - ord))
    slope = sgn(self) * size ** (ord - 1) if ord < 2 else self * size ** (ord - 2)
    return slope * where(out == 0, 0, grad / out ** (ord - 1))


def _jvp(self, self_t, out, ord, dim, keepdim):
    def along(x):
        return real(x * conj(self_t)) if self.is_complex() else x * self_t

    if ord == 0:
        return zeros_like(out)
    if ord == 1:
        return sum_(along(sgn(self)), dim, keepdim)
    if ord == 2:
        return where(out == 0, 0, sum_(along(self), dim, keepdim) / out)
    size = abs_(self)
    if math.isinf(ord):
        whole = _spread(out, dim, keepdim, self.ndim)
        reach = (size == whole) | (isnan(size) & isnan(whole))
        return sum_(along(sgn(self)) * reach, dim, keepdim) / sum_(reach, dim, keepdim)
    if ord < 1:
        return sum_(where(self == 0, 0, size ** (ord - 1)) * along(sgn(self)), dim, keepdim) * out ** (1 - ord)
    change = sum_(size ** (ord - 1) * along(sgn(self)) if ord < 2 else size ** (ord - 2) * along(self), dim, keepdim)
    return where(out == 0, 0, change / out ** (ord - 1))


operator("_vector_norm(Tensor self, Number ord, Dims? dim=None, bool keepdim=False)", native(_vector_norm), vjp={"self": _vjp}, jvp=_jvp,
         node="linalg_vector_norm", internal=True, domain=(0.3, 2.0),
         reference="np.sum(np.abs(self) ** (ord * 1.0), axis=dim, keepdims=keepdim) ** (1 / ord)",
         samples=lambda make: [((make(2, 3), 2), {}), ((make(3, 4), 3, 1), {}), ((make(3, 4), 1.5, (0, 1), True), {}),
                               ((make(4), 0.5), {}), ((make(2, 3), -1.5, 0), {}), ((make(4), 1), {})],
         doc="The norm of order `ord`: ``(sum |x|^ord)^(1/ord)``, the largest modulus for inf, the number of non-zeros for 0.")
