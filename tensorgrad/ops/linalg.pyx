"""Linear algebra of matrices and batches of them: LAPACK through numpy.linalg below autograd, PyTorch's derivatives above it.

The formulas are those of Giles ("An extended collection of matrix derivative results", 2008) and of PyTorch's manual derivatives.
"""
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase

import math

import numpy as np

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.broadcast import broadcast_shapes

cdef Operator matmul, inv, solve, transpose, conj, unsqueeze, squeeze, real, where, tril, diagonal, diag_embed, expand, sum_, eye
matmul, inv, solve, transpose = handle("matmul"), handle("linalg_inv"), handle("_linalg_solve"), handle("transpose")
conj, unsqueeze, squeeze, real, where, tril = (handle(n) for n in ("conj", "unsqueeze", "squeeze", "real", "where", "tril"))
diagonal, diag_embed, expand, sum_, eye = (handle(n) for n in ("diagonal", "diag_embed", "expand", "sum", "eye"))
cdef Operator svd, norm, to, vector_norm = handle("_vector_norm")
svd, norm, to = handle("_linalg_svd"), handle("norm"), handle("to")


class LinAlgError(RuntimeError):
    """What a decomposition raises where there is none: of a singular matrix the inverse, say."""


# ---- common ground -----------------------------------------------------------------------------------------------------
def _matrix(name, TensorBase x, square=False):
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if square and x.shape[x.ndim - 1] != x.shape[x.ndim - 2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {x.shape[x.ndim - 2]} by "
                           f"{x.shape[x.ndim - 1]} matrices")
    if x.dtype.category < CAT_FLOAT:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. "
                           f"Got {str(x.dtype).rpartition('.')[2].capitalize()}")
    if x.dtype.itemsize == 2:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {str(x.dtype).rpartition('.')[2].capitalize()}")
    return x.detach().cpu().numpy()


def tensor_of_array(array, like):
    """An array on the device of `like`."""
    return tensor_of(array, like)


cdef TensorBase tensor_of(object array, TensorBase like):
    from tensorgrad.interop import tensor
    return tensor(np.array(array, order="C"), device=like.storage.device)


def _H(x):
    return conj(transpose(x, -2, -1))


def _diag(x):
    return diagonal(x, 0, -2, -1)


def _skew(x):
    return x - _H(x)


def _batched(str name):
    """Batching: the batch is one more dimension in front, which every function here passes by."""
    cdef Operator op = handle(name), movedim = handle("movedim")

    def rule(batch_size, in_dims, *args):
        moved = []
        for x, d in zip(args, in_dims):
            if isinstance(x, TensorBase):
                x = expand(x, (batch_size, *x.shape)) if d is None else movedim(x, d, 0)
            moved.append(x)
        result = op(*moved)
        return result, 0 if isinstance(result, TensorBase) else (0,) * len(result)
    return rule


def _failed(name, error):
    if "ingular" in str(error):
        return LinAlgError(f"{name}: The diagonal element is zero, the inversion could not be completed because "
                           "the input matrix is singular.")
    if "ositive definite" in str(error):
        return LinAlgError(f"{name}: The factorization could not be completed because the input is not positive-definite.")
    return LinAlgError(f"{name}: The algorithm failed to converge ({error})")


def _lapack(name, function, *arrays):
    try:
        return function(*arrays)
    except np.linalg.LinAlgError as error:
        raise _failed(name, error) from None


# ---- inverses and systems -------------------------------------------------------------------------------------------------
operator("linalg_inv(Tensor A)", lambda A: tensor_of(_lapack("linalg.inv", np.linalg.inv, _matrix("linalg.inv", A, True)), A),
         vjp={"A": lambda grad, out: -matmul(matmul(_H(out), grad), _H(out))},
         jvp=lambda A_t, out: -matmul(matmul(out, A_t), out), batch=_batched("linalg_inv"), node="LinalgInvEx", method=False,
         reference="np.linalg.inv(A)", samples=lambda make: [((well_conditioned(make, 3),), {})], doc="The inverse of square matrices.")
composite("inverse(Tensor self)", lambda self: inv(self), samples=lambda make: [((well_conditioned(make, 3),), {})],
          reference="np.linalg.inv(self)", doc="The inverse of square matrices.")


def well_conditioned(make, n, symmetric=False):
    """A sample whose diagonal outweighs the rest."""
    x = make(n, n, requires_grad=False)
    x = x + _H(x) if symmetric else x
    if not (x.is_floating_point() or x.is_complex()):
        return x
    x = x.detach() + eye(n, dtype=x.dtype) * (2 * n + 1)
    return x.requires_grad_(make.requires_grad)


def _solve(TensorBase A, TensorBase B):
    a = _matrix("linalg.solve", A, True)
    return tensor_of(_lapack("linalg.solve", np.linalg.solve, a, B.detach().cpu().numpy()), A)


operator("_linalg_solve(Tensor A, Tensor B)", _solve, batch=_batched("_linalg_solve"), node="LinalgSolveEx", internal=True,
         vjp=lambda grad, A, out: _solve_vjp(grad, A, out),
         jvp=lambda A, A_t, B_t, out: solve(A, (0 if B_t is None else B_t) - (0 if A_t is None else matmul(A_t, out)))
         if not (A_t is None and B_t is None) else None,
         samples=lambda make: [((well_conditioned(make, 3), make(3, 2)), {})], doc="The X for which A X = B, of matrices of one batch.")


def _solve_vjp(grad, A, out):
    of_b = solve(_H(A), grad)
    return -matmul(of_b, _H(out)), of_b


composite("linalg_solve(Tensor A, Tensor B, *, bool left=True)", lambda A, B, left: _solve_any(A, B, left), method=False,
          samples=lambda make: [((well_conditioned(make, 3), make(3, 2)), {}), ((well_conditioned(make, 3), make(3)), {})],
          reference="np.linalg.solve(A, B)", doc="The X for which A X = B (or X A = B), of square matrices A.")


def _solve_any(A, B, left):
    if A.ndim < 2 or A.size(-1) != A.size(-2):
        _matrix("linalg.solve", A.detach(), True)
    vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    if vector:
        B = unsqueeze(B, -1)
    if not left:
        if vector:
            raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False.")
        return _H(_solve_any(_H(A), _H(B), True))
    if B.size(-2) != A.size(-1):
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B for the equation AX = B "
                           f"({list(A.shape[-2:])} and {list(B.shape[-2:])})")
    shape = broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    out = solve(expand(A, (*shape, *A.shape[-2:])), expand(B, (*shape, *B.shape[-2:])))
    return squeeze(out, -1) if vector else out


# ---- determinants ---------------------------------------------------------------------------------------------------------------
def _cofactors(A, det):
    """d det / d A, conjugated: det A^-H, and through the singular values where there is no inverse."""
    try:
        return _H(inv(A)) * unsqueeze(unsqueeze(conj(det), -1), -1)
    except LinAlgError:
        U, S, Vh = svd(A, False)
        n = S.size(-1)
        others = handle("stack")(tuple([handle("prod")(handle("cat")((S[..., :i], S[..., i + 1:]), -1), -1) for i in range(n)]), -1)
        sign = handle("linalg_det")(U) * handle("linalg_det")(Vh)
        return matmul(U * unsqueeze(others, -2), Vh) * unsqueeze(unsqueeze(conj(sign), -1), -1)


operator("linalg_det(Tensor A)", lambda A: tensor_of(np.linalg.det(_matrix("linalg.det", A, True)), A), batch=_batched("linalg_det"),
         vjp={"A": lambda grad, A, out: unsqueeze(unsqueeze(grad, -1), -1) * _cofactors(A, out)}, method=False,
         jvp=lambda A, A_t, out: sum_(conj(_cofactors(A, out)) * A_t, (-2, -1)), reference="np.linalg.det(A)",
         samples=lambda make: [((well_conditioned(make, 3),), {})], doc="The determinant of square matrices.")
composite("det(Tensor self)", lambda self: handle("linalg_det")(self), reference="np.linalg.det(self)",
          samples=lambda make: [((well_conditioned(make, 3),), {})], doc="The determinant of square matrices.")


def _slogdet(TensorBase A):
    sign, size = np.linalg.slogdet(_matrix("linalg.slogdet", A, True))
    return return_types.linalg_slogdet((tensor_of(sign, A), tensor_of(size, A)))


def _slogdet_vjp(grad_sign, grad_logabsdet, A, sign):
    """Re(conj(w) tr(A^-1 dA)) is the change of the loss, for w = g - i Im(conj(grad_sign) sign)."""
    w = grad_logabsdet
    if A.is_complex():
        w = w - 1j * (conj(grad_sign) * sign).imag
    return unsqueeze(unsqueeze(w, -1), -1) * _H(inv(A))


def _slogdet_jvp(A, A_t, sign):
    trace = sum_(_diag(matmul(inv(A), A_t)), (-1,))
    if A.is_complex():
        return 1j * trace.imag * sign, real(trace)
    return handle("zeros_like")(sign), trace


operator("linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)", _slogdet, vjp={"A": _slogdet_vjp}, jvp=_slogdet_jvp,
         batch=_batched("linalg_slogdet"), method=False, reference="np.linalg.slogdet(A)",
         samples=lambda make: [((well_conditioned(make, 3),), {})], doc="The sign of the determinant and the logarithm of its modulus.")
composite("slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)", lambda self: handle("linalg_slogdet")(self),
          samples=lambda make: [((well_conditioned(make, 3),), {})], doc="The sign of the determinant and the logarithm of its modulus.")
composite("logdet(Tensor self)", lambda self: _logdet(self), samples=lambda make: [((well_conditioned(make, 2, True),), {})],
          doc="The logarithm of the determinant; nan where that is negative.")


def _logdet(self):
    sign, size = handle("linalg_slogdet")(self)
    return size + sign.log()


# ---- decompositions -----------------------------------------------------------------------------------------------------------------
def _half(x):
    """The lower triangle with half of the diagonal."""
    return tril(x) - diag_embed(_diag(x)) * 0.5


def _cholesky(TensorBase A, bint upper):
    """LAPACK reads the triangle that it writes."""
    a = _matrix("linalg.cholesky", A, True)
    L = _lapack("linalg.cholesky", np.linalg.cholesky, np.swapaxes(a.conj(), -1, -2) if upper else a)
    return tensor_of(np.swapaxes(L.conj(), -1, -2) if upper else L, A)


def _cholesky_vjp(grad, out, upper):
    L, g = (_H(out), _H(grad)) if upper else (out, grad)
    inverse = inv(L)
    x = tril(matmul(_H(L), g))
    return matmul(matmul(_H(inverse), (x + _H(tril(x, -1))) * 0.5), inverse)


def _cholesky_jvp(A_t, out, upper):
    """A_t is taken to be Hermitian; of one that is not, the triangle that remains at the end decides, as in PyTorch."""
    L = _H(out) if upper else out
    inverse = inv(L)
    t = matmul(L, _half(matmul(matmul(inverse, A_t), _H(inverse))))
    return _H(t) if upper else t


operator("_linalg_cholesky(Tensor A, bool upper)", _cholesky, vjp={"A": _cholesky_vjp}, jvp=_cholesky_jvp,
         batch=_batched("_linalg_cholesky"), node="LinalgCholeskyEx", internal=True,
         doc="The Cholesky factor of positive definite matrices.")
composite("linalg_cholesky(Tensor A, *, bool upper=False)", lambda A, upper: handle("_linalg_cholesky")(A, upper), method=False,
          doc="The lower triangular L (or upper, conjugated) for which L L^H is the positive definite matrix.")
composite("cholesky(Tensor self, bool upper=False)", lambda self, upper: handle("_linalg_cholesky")(self, upper),
          doc="The lower triangular L (or upper, conjugated) for which L L^H is the positive definite matrix.")


def _qr(TensorBase A, str mode):
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    a = _matrix("linalg.qr", A)
    Q, R = (np.empty(0, a.dtype), np.linalg.qr(a, "r")) if mode == "r" else np.linalg.qr(a, mode)
    return return_types.linalg_qr((tensor_of(Q, A), tensor_of(R, A)))


def _qr_vjp(grad_Q, grad_R, A_shape, Q, R, mode):
    """Of a wide A = [L, M] the first R is that of L = Q R_1, and the rest is Q^H M, where M = Q R_2."""
    m, n = A_shape[len(A_shape) - 2], A_shape[len(A_shape) - 1]
    _refuse_qr(m, n, mode)
    if m >= n:
        return _qr_tall_vjp(grad_Q, grad_R, Q, R)
    grad_rest = grad_R[..., m:]
    of_left = _qr_tall_vjp(grad_Q + matmul(matmul(Q, R[..., m:]), _H(grad_rest)), grad_R[..., :m], Q, R[..., :m])
    return handle("cat")((of_left, matmul(Q, grad_rest)), -1)


def _qr_tall_vjp(grad_Q, grad_R, Q, R):
    M = matmul(R, _H(grad_R)) - matmul(_H(grad_Q), Q)
    low = tril(M, -1)
    return matmul(grad_Q + matmul(Q, low + _H(low) + diag_embed(to(real(_diag(M)), M.dtype) if M.is_complex() else _diag(M))), _H(inv(R)))


def _qr_jvp(A_shape, A_t, Q, R, mode):
    m, n = A_shape[len(A_shape) - 2], A_shape[len(A_shape) - 1]
    _refuse_qr(m, n, mode)
    if m >= n:
        return _qr_tall_jvp(A_t, Q, R)
    dQ, of_left = _qr_tall_jvp(A_t[..., :m], Q, R[..., :m])
    return dQ, handle("cat")((of_left, matmul(_H(dQ), matmul(Q, R[..., m:])) + matmul(_H(Q), A_t[..., m:])), -1)


def _qr_tall_jvp(A_t, Q, R):
    W = matmul(A_t, inv(R))
    QW = matmul(_H(Q), W)
    low = tril(QW, -1)
    turn = low - _H(low)
    if Q.is_complex():
        turn = turn + diag_embed(1j * _diag(QW).imag)
    return W - matmul(Q, QW - turn), matmul(QW - turn, R)


def _refuse_qr(m, n, mode):
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                           "linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr.")
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols: "
                           f"A has {m} rows and {n} columns. Use mode='reduced'.")


def _qr_batch(batch_size, in_dims, A, mode):
    Q, R = handle("linalg_qr")(handle("movedim")(A, in_dims[0], 0), mode)
    return (expand(Q, (batch_size, 0)) if mode == "r" else Q, R), (0, 0)


operator("linalg_qr(Tensor A, str mode='reduced') -> (Tensor Q, Tensor R)", _qr, vjp={"A": _qr_vjp}, jvp=_qr_jvp, method=False,
         batch=_qr_batch, samples=lambda make: [((well_conditioned(make, 3),), {}), ((make(2, 4),), {}), ((make(4, 2),), {})],
         reference="np.linalg.qr(A)", doc="A = Q R, with orthonormal columns in Q and an upper triangular R; Q is empty with mode='r'.")


def _eigh(TensorBase A, str UPLO):
    w, V = _lapack("linalg.eigh", np.linalg.eigh, _matrix("linalg.eigh", A, True), UPLO.upper())
    return return_types.linalg_eigh((tensor_of(w, A), tensor_of(V, A)))


def _gaps(w):
    """w_j - w_i, and infinity on the diagonal, so that a quotient is 0 there."""
    n = w.size(-1)
    return where(eye(n, device=w.device) == 1, math.inf, unsqueeze(w, -2) - unsqueeze(w, -1))


def _refuse_phase(what, TensorBase diagonal):
    """A loss must not depend on the phases that a decomposition leaves free. Under a transform there is no value to look at."""
    if diagonal.dtype.category == CAT_COMPLEX and diagonal.wrap is None and diagonal.numel \
            and diagonal.detach().imag.abs().max().item() > 2e-2:
        raise RuntimeError(f"{what} in the complex case are specified up to multiplication by e^{{i phi}}. The specified loss function "
                           "depends on this quantity, so it is ill-defined.")


def _eigh_vjp(grad_eigenvalues, grad_eigenvectors, eigenvalues, eigenvectors):
    V = eigenvectors
    turned = _skew(matmul(_H(V), grad_eigenvectors))
    _refuse_phase("linalg_eigh_backward: The eigenvectors", _diag(turned))
    inner = turned * 0.5 / _gaps(eigenvalues) + diag_embed(to(grad_eigenvalues, V.dtype))
    return matmul(matmul(V, inner), _H(V))


def _eigh_jvp(A_t, eigenvalues, eigenvectors):
    V = eigenvectors
    inner = matmul(matmul(_H(V), A_t), V)
    change = _diag(inner)
    return real(change) if V.is_complex() else change, matmul(V, inner / _gaps(eigenvalues))


operator("linalg_eigh(Tensor A, str UPLO='L') -> (Tensor eigenvalues, Tensor eigenvectors)", _eigh, vjp={"A": _eigh_vjp}, jvp=_eigh_jvp,
         batch=_batched("linalg_eigh"), method=False, doc="The eigenvalues, in order, and the eigenvectors of Hermitian matrices.")


def _eigvalsh(TensorBase A, str UPLO):
    return tensor_of(_lapack("linalg.eigvalsh", np.linalg.eigvalsh, _matrix("linalg.eigvalsh", A, True), UPLO.upper()), A)


def _eigvalsh_vjp(grad, A, UPLO):
    """Without the differences of eigenvalues by which `eigh` divides: some may be equal."""
    V = handle("linalg_eigh")(A, UPLO)[1]
    return matmul(V * to(unsqueeze(grad, -2), V.dtype), _H(V))


def _eigvalsh_jvp(A, A_t, UPLO):
    V = handle("linalg_eigh")(A, UPLO)[1]
    change = sum_(conj(V) * matmul(A_t, V), (-2,))
    return real(change) if change.is_complex() else change


operator("linalg_eigvalsh(Tensor A, str UPLO='L')", _eigvalsh, vjp={"A": _eigvalsh_vjp}, jvp=_eigvalsh_jvp, method=False,
         batch=_batched("linalg_eigvalsh"), node="linalg_eigh", reference="np.linalg.eigvalsh(A)", samples=lambda make: [],
         doc="The eigenvalues of Hermitian matrices, in order.")


def _svd(TensorBase A, bint full):
    U, S, Vh = _lapack("linalg.svd", lambda x: np.linalg.svd(x, full), _matrix("linalg.svd", A))
    return return_types.linalg_svd((tensor_of(U, A), tensor_of(S, A), tensor_of(Vh, A)))


def _square_gaps(S):
    row, column = unsqueeze(S, -2), unsqueeze(S, -1)
    return where(eye(S.size(-1), device=S.device) == 1, math.inf, (row - column) * (row + column))


def _without_complement(X, k, grad):
    """The first k columns, and the gradient for them: the others, N, complete a basis, so that dN = -X dX^H N."""
    return X[..., :k], grad[..., :k] - matmul(X[..., k:], matmul(_H(grad[..., k:]), X[..., :k]))


def _svd_vjp(grad_U, grad_S, grad_Vh, U, S, Vh, full_matrices):
    """PyTorch's svd_backward, for the reduced form."""
    k = S.size(-1)
    if full_matrices:
        U, grad_U = _without_complement(U, k, grad_U)
        V, grad_V = _without_complement(_H(Vh), k, _H(grad_Vh))
        Vh, grad_Vh = _H(V), _H(grad_V)
    gaps = _square_gaps(S)
    turned, turned_v = _skew(matmul(_H(U), grad_U)), _skew(matmul(Vh, _H(grad_Vh)))
    _refuse_phase("svd_backward: The singular vectors", _diag(turned) + _diag(turned_v))
    inner = (turned / gaps) * unsqueeze(S, -2) + unsqueeze(S, -1) * (turned_v / gaps)
    inner = inner + diag_embed(to(grad_S, U.dtype))
    if U.is_complex():
        inner = inner + diag_embed(_diag(turned) / (2 * S))
    total = matmul(matmul(U, inner), Vh)
    if U.size(-2) > k:
        rest = grad_U / unsqueeze(S, -2)
        total = total + matmul(rest - matmul(U, matmul(_H(U), rest)), Vh)
    if Vh.size(-1) > k:
        rest = grad_Vh / unsqueeze(S, -1)
        total = total + matmul(U, rest - matmul(matmul(rest, _H(Vh)), Vh))
    return total


def _with_complement(X, k, change):
    """The tangent of a whole basis, of which `change` is that of the first k columns."""
    return handle("cat")((change, -matmul(X[..., :k], matmul(_H(change), X[..., k:]))), -1) if X.size(-1) > k else change


def _svd_jvp(A_t, U, S, Vh, full_matrices):
    k, left, right = S.size(-1), U, _H(Vh)
    U, Vh = U[..., :k], Vh[..., :k, :]
    inner = matmul(matmul(_H(U), A_t), _H(Vh))
    change = _diag(inner)
    gaps, wide, tall = _square_gaps(S), unsqueeze(S, -2), unsqueeze(S, -1)
    of_u = (inner * wide + tall * _H(inner)) / gaps
    of_v = (tall * inner + _H(inner) * wide) / gaps
    if U.is_complex():
        turn = diag_embed(0.5j * change.imag / S)
        of_u, of_v = of_u + turn, of_v - turn
    dU, dV = matmul(U, of_u), matmul(_H(Vh), of_v)
    rest = matmul(A_t, _H(Vh)) / wide
    dU = dU + rest - matmul(U, matmul(_H(U), rest))
    rest = matmul(_H(A_t), U) / wide
    dV = dV + rest - matmul(_H(Vh), matmul(Vh, rest))
    return _with_complement(left, k, dU), real(change) if U.is_complex() else change, _H(_with_complement(right, k, dV))


operator("_linalg_svd(Tensor A, bool full_matrices) -> (Tensor U, Tensor S, Tensor Vh)", _svd, vjp={"A": _svd_vjp}, jvp=_svd_jvp,
         batch=_batched("_linalg_svd"), node="LinalgSvd", internal=True, doc="The singular value decomposition.")
composite("linalg_svd(Tensor A, bool full_matrices=True) -> (Tensor U, Tensor S, Tensor Vh)", lambda A, full: svd(A, full), method=False,
          doc="A = U diag(S) Vh, with singular values S from the largest down.")


def _svdvals(TensorBase A):
    return tensor_of(_lapack("linalg.svdvals", lambda x: np.linalg.svd(x, False, False), _matrix("linalg.svdvals", A)), A)


def _svdvals_vjp(grad, A):
    """Without the differences of singular values by which `svd` divides: some may be equal."""
    U, _, Vh = svd(A, False)
    return matmul(U * to(unsqueeze(grad, -2), U.dtype), Vh)


def _svdvals_jvp(A, A_t):
    U, _, Vh = svd(A, False)
    change = sum_(conj(U) * matmul(A_t, _H(Vh)), (-2,))
    return real(change) if change.is_complex() else change


operator("linalg_svdvals(Tensor A)", _svdvals, vjp={"A": _svdvals_vjp}, jvp=_svdvals_jvp, batch=_batched("linalg_svdvals"),
         node="linalg_svd", method=False, reference="np.linalg.svd(A)[1]", samples=lambda make: [((make(3, 4),), {})],
         doc="The singular values of matrices, from the largest down.")
cdef Operator svdvals = handle("linalg_svdvals")

# ---- made of these -----------------------------------------------------------------------------------------------------------------------
composite("linalg_vector_norm(Tensor x, Number ord=2, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)",
          lambda x, ord, dim, keepdim, dtype: vector_norm(x if dtype is None else to(x, dtype), ord, dim, keepdim), method=False,
          reference="np.linalg.norm(np.ravel(x), ord) if dim is None else np.linalg.norm(x, ord, axis=dim, keepdims=keepdim)",
          samples=lambda make: [((make(2, 3),), {}), ((make(3, 4), 3, 1), {})], doc="The norm of order `ord` of vectors.")
composite("linalg_matrix_norm(Tensor A, Any ord='fro', Dims? dim=None, bool keepdim=False, *, DType? dtype=None)",
          lambda A, ord, dim, keepdim, dtype: _matrix_norm(A if dtype is None else to(A, dtype), ord,
                                                           dim or (A.ndim - 2, A.ndim - 1), keepdim),
          method=False, reference="np.linalg.norm(A, ord)",
          samples=lambda make: [((make(2, 3),), {}), ((make(3, 4), "nuc"), {}), ((make(3, 4), 1), {}), ((make(3, 4), 2), {})],
          doc="Norms of matrices: 'fro', 'nuc', and the largest (or, negative, smallest) column sum 1, row sum inf, singular value 2.")
composite("linalg_norm(Tensor A, Any ord=None, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)",
          lambda A, ord, dim, keepdim, dtype: _norm(A if dtype is None else to(A, dtype), ord, dim, keepdim), method=False,
          reference="np.linalg.norm(A, ord)", samples=lambda make: [((make(2, 3),), {}), ((make(4), 3), {}), ((make(3, 4), "nuc"), {})],
          doc="The norm of vectors (over one dimension) or of matrices (over two).")


def _norm(A, ord, dim, keepdim):
    if ord is None:
        return norm(A, 2, dim, keepdim)
    if dim is None and A.ndim > 2:
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.")
    if A.ndim == 2 and dim is None or dim is not None and len(dim) == 2:
        return _matrix_norm(A, ord, dim or (0, 1), keepdim)
    return norm(A, ord, dim, keepdim)


def _extreme(x, ord):
    """The largest, 0 of none, for a positive order; for a negative one the smallest."""
    if ord < 0:
        return handle("amin")(x, (-1,))
    return handle("amax")(x, (-1,)) if x.size(-1) else sum_(x, (-1,))


def _matrix_norm(A, ord, dim, keepdim):
    if A.ndim < 2 or len(dim) != 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if ord == "fro":
        return norm(A, 2, dim, keepdim)
    x = handle("movedim")(A, dim, (A.ndim - 2, A.ndim - 1))
    if ord == "nuc" or ord in (2, -2):
        S = svdvals(x)
        result = sum_(S, (-1,)) if ord == "nuc" else _extreme(S, ord)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = sum_(x.abs(), (-2,) if abs(ord) == 1 else (-1,))
        result = _extreme(sums, ord)
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if keepdim:
        for d in sorted(dim):
            result = unsqueeze(result, d)
    return result


composite("linalg_cond(Tensor A, Any p=None)", lambda A, p: _cond(A, p), method=False,
          samples=lambda make: [((well_conditioned(make, 3),), {})],
          reference="np.linalg.cond(A)", doc="The condition number: of the norm 2 (singular values) unless another is named.")


def _cond(A, p):
    if p in (None, 2, -2):
        S = svdvals(A)
        return S[..., -1] / S[..., 0] if p == -2 else S[..., 0] / S[..., -1]
    return _matrix_norm(A, p, (A.ndim - 2, A.ndim - 1), False) * _matrix_norm(inv(A), p, (A.ndim - 2, A.ndim - 1), False)


for _name, _doc in (("linalg_matrix_power(Tensor A, int n)", "linalg.matrix_power"), ("matrix_power(Tensor self, int n)", "matrix_power")):
    composite(_name, lambda A, n: _matrix_power(A, n), method=_name[0] == "m", domain=(-1.0, 1.0),
              samples=lambda make: [((make(3, 3), 3), {}), ((make(2, 2), 2), {})],
              doc="A square matrix multiplied with itself `n` times; with its inverse for negative `n`.")


def _matrix_power(A, n):
    if A.ndim < 2 or A.size(-1) != A.size(-2):
        raise RuntimeError("linalg.matrix_power: A must be batches of square matrices, but they are "
                           f"{' by '.join([str(m) for m in A.shape[-2:]])} matrices")
    if n < 0:
        A, n = inv(A), -n
    result = None
    while n:
        if n & 1:
            result = A if result is None else matmul(result, A)
        n >>= 1
        if n:
            A = matmul(A, A)
    # the power 0 does not depend on A, and has a gradient all the same: zero
    return A.clone().copy_(eye(A.size(-1), dtype=A.dtype, device=A.device)) if result is None else result


composite("linalg_multi_dot(Tensor[] tensors)", lambda tensors: _multi_dot(tensors), method=False, reference="np.linalg.multi_dot(tensors)",
          samples=lambda make: [(((make(2, 3), make(3, 4), make(4, 2)),), {})],
          doc="The product of several matrices, in the cheapest order.")


def _multi_dot(tensors):
    from tensorgrad.ops.contraction import chain_matmul
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0].ndim == 1, tensors[len(tensors) - 1].ndim == 1
    if first:
        tensors[0] = unsqueeze(tensors[0], 0)
    if last:
        tensors[len(tensors) - 1] = unsqueeze(tensors[len(tensors) - 1], 1)
    out = chain_matmul(*tensors)
    out = squeeze(out, -1) if last else out
    return squeeze(out, 0) if first else out


composite("linalg_vecdot(Tensor x, Tensor y, *, Dim dim=-1)", lambda x, y, dim: sum_(conj(x) * y, (dim,)), method=False,
          samples=lambda make: [((make(2, 3), make(2, 3)), {})], reference="np.sum(np.conj(x) * y, axis=-1)",
          doc="The dot product of vectors along a dimension, the first conjugated.")
composite("linalg_cross(Tensor self, Tensor other, *, Dim dim=-1)", lambda self, other, dim: handle("cross")(self, other, dim),
          method=False,
          samples=lambda make: [((make(2, 3), make(2, 3)), {})], reference="np.cross(self, other, axis=dim)",
          doc="The cross product of vectors of three elements along a dimension.")
composite("linalg_diagonal(Tensor A, *, int offset=0, Dim dim1=-2, Dim dim2=-1)",
          lambda A, offset, dim1, dim2: diagonal(A, offset, dim1, dim2), method=False, samples=lambda make: [((make(3, 4),), {})],
          reference="np.diagonal(A, offset, dim1, dim2)", doc="The diagonals of matrices, as a view.")
