"""Pseudoinverse, least squares and rank: what a tolerance on the singular values decides.

The derivative of the pseudoinverse is that of Golub and Pereyra ("The differentiation of pseudo-inverses and nonlinear least
squares problems whose variables separate", 1973): it needs no differences of singular values, which may be zero.
"""
from tensorgrad._core.dtype cimport TG_I64, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase

import numpy as np

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.linalg import _H, _batched, _lapack, _matrix, tensor_of_array

cdef Operator conj, expand, matmul, narrow, pinv, real, reshape, squeeze, sum_, to, unsqueeze
conj, expand, matmul, narrow, pinv = (handle(n) for n in ("conj_physical", "expand", "matmul", "narrow", "_linalg_pinv"))
real, reshape, squeeze, sum_, to, unsqueeze = (handle(n) for n in ("real", "reshape", "squeeze", "sum", "to", "unsqueeze"))


# ---- the pseudoinverse -----------------------------------------------------------------------------------------------
def _values(name, a, hermitian, vectors):
    """(left vectors, singular values, right vectors as rows); of a Hermitian matrix by its eigenvalues, from the lower triangle."""
    if not hermitian:
        return _lapack(name, lambda x: np.linalg.svd(x, False, vectors), a) if vectors else (
            None, _lapack(name, lambda x: np.linalg.svd(x, False, False), a), None)
    w, v = _lapack(name, np.linalg.eigh, a)
    sign = np.where(w < 0, np.array(-1, w.dtype), np.array(1, w.dtype))
    return v, np.abs(w), np.swapaxes(v.conj(), -1, -2) * sign[..., None]


def _limit(size, shape, atol, rtol):
    """What a singular value must be above; by default the largest times eps times the larger side of the matrix."""
    default = max(shape[-2:]) * float(np.finfo(size.dtype).eps)
    atol, rtol = (None if t is None else np.asarray(t.detach().cpu().numpy() if isinstance(t, TensorBase) else t, size.dtype)
                  for t in (atol, rtol))
    if rtol is None:
        rtol = np.asarray(default if atol is None else np.where(atol > 0, 0, default), size.dtype)
    limit = rtol[..., None] * size.max(-1, keepdims=True)
    return limit if atol is None else np.maximum(limit, atol[..., None])


def _pinv(TensorBase A, atol, rtol, bint hermitian):
    a = _matrix("linalg.pinv", A, hermitian)
    if a.size == 0:
        shape = a.shape[:-2]
        return (tensor_of_array(np.zeros((*shape, a.shape[-1], a.shape[-2]), a.dtype), A),
                tensor_of_array(np.zeros((*shape, min(a.shape[-2:])), a.real.dtype), A))
    u, size, vh = _values("linalg.pinv", a, hermitian, True)
    inverse = np.divide(1, size, out=np.zeros_like(size), where=size > _limit(size, a.shape, atol, rtol))
    v = np.swapaxes(vh.conj(), -1, -2)
    return tensor_of_array((v * inverse[..., None, :]) @ np.swapaxes(u.conj(), -1, -2), A), tensor_of_array(size, A)


def _pinv_vjp(grad_pinv, A, pinv):
    P, G, Ph, Gh = pinv, grad_pinv, _H(pinv), _H(grad_pinv)
    left, right = matmul(Gh, matmul(P, Ph)), matmul(matmul(Ph, P), Gh)
    return left - matmul(A, matmul(P, left)) + right - matmul(matmul(right, P), A) - matmul(matmul(Ph, G), Ph)


def _pinv_jvp(A, A_t, pinv):
    P, Ph, Th = pinv, _H(pinv), _H(A_t)
    left, right = matmul(matmul(P, Ph), Th), matmul(Th, matmul(Ph, P))
    return left - matmul(matmul(left, A), P) + right - matmul(P, matmul(A, right)) - matmul(matmul(P, A_t), P), None


operator("_linalg_pinv(Tensor A, Any? atol, Any? rtol, bool hermitian) -> (Tensor pinv, Tensor size)", _pinv,
         vjp={"A": _pinv_vjp}, jvp=_pinv_jvp, nondifferentiable=("size",), batch=_batched("_linalg_pinv"), node="linalg_pinv",
         samples=lambda make: [((make(3, 4), None, None, False), {}), ((make(4, 2), None, None, False), {})],
         internal=True, doc="The pseudoinverse, and the singular values from the largest down (or the moduli of the eigenvalues).")


def _per_matrix(tolerance, A):
    """A tolerance of its own for each matrix of the batch, where it is a tensor."""
    return expand(tolerance, A.shape[:-2]) if isinstance(tolerance, TensorBase) and A.ndim >= 2 else tolerance


def _inverted(A, rcond, hermitian, atol, rtol):
    rtol = rtol if rcond is None else rcond
    return pinv(A, _per_matrix(atol, A), _per_matrix(rtol, A), hermitian)


composite("linalg_pinv(Tensor A, Operand? rcond=None, bool hermitian=False, *, Operand? atol=None, Operand? rtol=None)",
          lambda A, rcond, hermitian, atol, rtol: _inverted(A, rcond, hermitian, atol, rtol)[0], method=False,
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1e-3), {})], reference="np.linalg.pinv(A)",
          doc="""The pseudoinverse (Moore and Penrose's).

    Parameters
    ----------
    A : Tensor of shape (..., m, n)
    rcond : float or Tensor, optional
        Another name of `rtol`.
    hermitian : bool
        Whether the matrices are Hermitian: then the lower triangle alone is read, and their eigenvalues decide.
    atol, rtol : float or Tensor, optional
        Singular values up to ``max(atol, rtol * largest)`` count as zero; `rtol` is ``max(m, n) * eps`` unless `atol` is given.
    """)
composite("pinverse(Tensor self, Operand rcond=1e-15)", lambda self, rcond: _inverted(self, rcond, False, None, None)[0],
          samples=lambda make: [((make(3, 2),), {}), ((make(3, 2), 1e-3), {})], reference="np.linalg.pinv(self)", doc="The pseudoinverse.")


# ---- least squares --------------------------------------------------------------------------------------------------------
DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _lstsq(A, B, rcond, driver):
    if A.ndim < 2:
        raise RuntimeError("tensorgrad.linalg.lstsq: input must have at least 2 dimensions.")
    if B.ndim < 1:
        raise RuntimeError("tensorgrad.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype is not B.dtype:
        raise RuntimeError("tensorgrad.linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype "
                           f"{A.dtype} and other's dtype {B.dtype}")
    driver = "gelsy" if driver is None else driver
    if driver not in DRIVERS:
        raise RuntimeError(f"tensorgrad.linalg.lstsq: parameter `driver` should be one of ({', '.join(DRIVERS)}), "
                           f"not {driver}")
    m, n = A.shape[-2:]
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    b = unsqueeze(B, -1) if vector else B
    if b.size(-2) != m:
        raise RuntimeError(f"tensorgrad.linalg.lstsq: input.size(-2) should match other.size({-1 if vector else -2}) "
                           f"({m} and {b.size(-2)})")
    inverse, size = pinv(A, None, 0.0 if driver == "gels" else rcond, False)
    x = matmul(inverse, b)
    nothing = real(narrow(reshape(x, (-1,)), 0, 0, 0))
    residuals, rank, singular_values = nothing, to(nothing.detach(), dtype_of(TG_I64)), nothing.detach()
    if driver != "gels":
        rank = handle("linalg_matrix_rank")(A.detach(), rtol=rcond)
    if driver in ("gelsd", "gelss"):
        singular_values = size.detach()
    if m > n and driver != "gelsy" and (driver == "gels" or bool((rank == n).all().item())):
        rest = b - matmul(A, x)
        residuals = sum_(real(rest * conj(rest)) if rest.is_complex() else rest * rest, (-2,))
    return return_types.linalg_lstsq((squeeze(x, -1) if vector else x, residuals, rank, singular_values))


composite("linalg_lstsq(Tensor A, Tensor B, float? rcond=None, *, str? driver=None) -> "
          "(Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)", _lstsq, method=False,
          samples=lambda make: [((make(4, 2), make(4, 3)), {}), ((make(4, 2), make(4, 3)), {"driver": "gels"}),
                                ((make(2, 3), make(2, 2)), {"driver": "gels"})],
          doc="""The X of the least squares ``|A X - B|``, of the smallest norm where there are several.

    Parameters
    ----------
    A : Tensor of shape (..., m, n)
    B : Tensor of shape (..., m, k) or (..., m)
    rcond : float, optional
        Singular values up to `rcond` times the largest count as zero; ``max(m, n) * eps`` unless given.
    driver : {'gelsy', 'gels', 'gelsd', 'gelss'}, optional
        What LAPACK's routine of this name gives beside the solution: 'gels' takes A to be of full rank and gives the residuals of
        tall matrices, 'gelsy' the rank, 'gelsd' and 'gelss' residuals, rank and singular values. The rest is empty.
    """)


# ---- rank -----------------------------------------------------------------------------------------------------------------
def _matrix_rank(TensorBase A, atol, rtol, bint hermitian):
    a = _matrix("linalg.matrix_rank", A, hermitian)
    if a.size == 0:
        return tensor_of_array(np.zeros(a.shape[:-2], np.int64), A)
    size = _values("linalg.matrix_rank", a, hermitian, False)[1]
    return tensor_of_array((size > _limit(size, a.shape, atol, rtol)).sum(-1), A)


operator("_linalg_matrix_rank(Tensor A, Any? atol, Any? rtol, bool hermitian)", _matrix_rank, internal=True,
         batch=_batched("_linalg_matrix_rank"), samples=lambda make: [((make(3, 4), None, None, False), {})],
         reference="np.linalg.matrix_rank(A)", doc="How many singular values are above a tolerance.")
composite("linalg_matrix_rank(Tensor A, Operand? tol=None, bool hermitian=False, *, Operand? atol=None, Operand? rtol=None)",
          lambda A, tol, hermitian, atol, rtol: _rank(A, tol, hermitian, atol, rtol), method=False,
          samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 1e-2), {})], reference="np.linalg.matrix_rank(A)",
          doc="How many singular values (of Hermitian matrices: eigenvalues) are above ``max(atol, rtol * largest)``; `tol` is absolute.")


def _rank(A, tol, hermitian, atol, rtol):
    if tol is not None:
        atol, rtol = tol, 0.0
    return handle("_linalg_matrix_rank")(A, _per_matrix(atol, A), _per_matrix(rtol, A), hermitian)
