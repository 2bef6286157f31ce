"""Decompositions, least squares and norms: what no sample of a declaration says."""

import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import forward_ad, gradcheck, gradgradcheck

from .proof import DOUBLES, close, derivatives_agree, tangent, values

RNG = np.random.default_rng(5)


def matrix(*shape, dtype=tg.float64, requires_grad=True):
    x = RNG.standard_normal(shape)
    if dtype.is_complex:
        x = x + 1j * RNG.standard_normal(shape)
    return tg.tensor(x, dtype=dtype).requires_grad_(requires_grad)


def hermitian(x):
    return x + x.mH


def positive(x):
    return x @ x.mH + tg.eye(x.size(-1), dtype=x.dtype)


# ---- Cholesky --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(dtype, upper):
    x = matrix(2, 3, 3, dtype=dtype)
    derivatives_agree(lambda x: tg.linalg.cholesky(positive(x), upper=upper), x)
    factor = tg.linalg.cholesky(positive(x), upper=upper)
    product = factor.mH @ factor if upper else factor @ factor.mH
    close(product, positive(x).detach().numpy())


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_reads_the_triangle_that_it_writes(upper):
    a = tg.tensor([[4.0, 1.0], [2.0, 5.0]], dtype=tg.float64)
    factor = tg.linalg.cholesky(a, upper=upper).numpy()
    expected = [[2, 0.5], [0, math.sqrt(4.75)]] if upper else [[2, 0], [1, 2]]
    np.testing.assert_allclose(factor, expected)


# ---- QR -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 2, 4)])
def test_qr(dtype, shape):
    derivatives_agree(lambda x: tuple(tg.linalg.qr(x)), matrix(*shape, dtype=dtype))


def test_qr_without_q():
    x = matrix(4, 3)
    q, r = tg.linalg.qr(x, "r")
    assert q.shape == (0,)
    close(r.mT @ r, (x.mT @ x).detach().numpy())
    with pytest.raises(RuntimeError, match="depends on Q, which is not computed when mode='r'"):
        r.sum().backward()
    batch = tg.func.vmap(lambda x: tuple(tg.linalg.qr(x, "r")))(tg.stack([x, 2 * x]).detach())
    assert batch[0].shape == (2, 0) and batch[1].shape == (2, 3, 3)


def test_qr_complete_of_a_tall_matrix_has_no_derivative():
    x = matrix(4, 3)
    q, r = tg.linalg.qr(x, "complete")
    assert (q.shape, r.shape) == ((4, 4), (4, 3))
    with pytest.raises(RuntimeError, match="not differentiable when mode='complete' and nrows > ncols"):
        r.sum().backward()
    derivatives_agree(lambda x: tuple(tg.linalg.qr(x, "complete")), matrix(3, 4))


# ---- eigenvalues and singular values ------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DOUBLES)
def test_eigh_up_to_phases(dtype):
    derivatives_agree(lambda x: (tg.linalg.eigh(hermitian(x))[0], tg.linalg.eigh(hermitian(x))[1].abs()), matrix(3, 3, dtype=dtype))
    derivatives_agree(lambda x: tg.linalg.eigvalsh(hermitian(x)), matrix(3, 3, dtype=dtype))


def test_the_gradient_of_eigh_is_hermitian():
    x = hermitian(matrix(3, 3)).detach().requires_grad_()
    w, v = tg.linalg.eigh(x)
    (g,) = tg.autograd.grad((v * tg.arange(9.0, dtype=tg.float64).reshape(3, 3)).sum() + (w * w).sum(), x)
    close(g, g.mT.numpy())


def test_a_loss_that_depends_on_phases_is_refused():
    x = hermitian(matrix(3, 3, dtype=tg.complex128)).detach().requires_grad_()
    with pytest.raises(RuntimeError, match="linalg_eigh_backward: The eigenvectors in the complex case are specified up to"):
        (tg.linalg.eigh(x)[1] * (2 + 1j)).sum().imag.backward()
    with pytest.raises(RuntimeError, match="svd_backward: The singular vectors in the complex case are specified up to"):
        (tg.linalg.svd(x)[0] * (2 + 1j)).sum().imag.backward()


def test_equal_values_have_gradients():
    """Those of the vectors would be infinite: nothing is divided by the differences where no vector is asked for."""
    x = (2 * tg.eye(3, dtype=tg.float64)).requires_grad_()
    for function in (lambda x: tg.linalg.svdvals(x).sum(), lambda x: tg.linalg.eigvalsh(x).sum(), lambda x: tg.linalg.norm(x, "nuc")):
        close(tg.autograd.grad(function(x), x)[0], np.eye(3))
        close(tangent(function, x.detach(), tg.eye(3, dtype=tg.float64)), 3)
    zero = tg.zeros(2, 2, dtype=tg.float64, requires_grad=True)
    assert tg.autograd.grad(tg.linalg.norm(zero, "nuc"), zero)[0].isfinite().all()


@pytest.mark.parametrize("dtype", DOUBLES)
def test_values_alone(dtype):
    derivatives_agree(tg.linalg.svdvals, matrix(2, 3, 4, dtype=dtype))
    x = hermitian(matrix(3, 3, dtype=dtype)).detach()
    spoilt = x.triu() + 7 * x.tril(-1)
    close(tg.linalg.eigvalsh(spoilt, "U"), np.linalg.eigvalsh(x.numpy()), 1e-10)
    close(tg.linalg.svdvals(x), np.linalg.svd(x.numpy())[1], 1e-10)


@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_svd_with_whole_bases(dtype, shape):
    """Projections do not depend on which basis completes the singular vectors."""

    def function(x):
        u, s, vh = tg.linalg.svd(x, full_matrices=True)
        k = s.size(-1)
        rest, co_rest = u[..., k:], vh[..., k:, :]
        return u[..., :k].abs(), s, vh[..., :k, :].abs(), rest @ rest.mH, co_rest.mH @ co_rest

    derivatives_agree(function, matrix(*shape, dtype=dtype))


# ---- the pseudoinverse, least squares, rank -------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
def test_pinv(dtype, shape):
    derivatives_agree(tg.linalg.pinv, matrix(*shape, dtype=dtype))


def test_pinv_of_equal_singular_values_has_a_gradient():
    """The formula by way of the singular vectors divides by their differences."""
    x = (2 * tg.eye(3, dtype=tg.float64)).requires_grad_()
    (g,) = tg.autograd.grad(tg.linalg.pinv(x).sum(), x)
    close(g, np.full((3, 3), -0.25))


@pytest.mark.parametrize("dtype", DOUBLES)
def test_pinv_of_deficient_rank(dtype):
    a, b = matrix(4, 2, dtype=dtype), matrix(3, 2, dtype=dtype)
    derivatives_agree(lambda a, b: tg.linalg.pinv(a @ b.mH), a, b)


@pytest.mark.parametrize("dtype", DOUBLES)
def test_pinv_of_hermitian_matrices_reads_the_lower_triangle(dtype):
    x = hermitian(matrix(3, 3, dtype=dtype)).detach()
    spoilt = x.tril() + 7 * x.triu(1)
    close(tg.linalg.pinv(spoilt, hermitian=True), np.linalg.pinv(x.numpy(), hermitian=True))
    derivatives_agree(lambda x: tg.linalg.pinv(hermitian(x), hermitian=True), matrix(3, 3, dtype=dtype))


def test_tolerances():
    x = tg.diag(tg.tensor([1.0, 0.1, 0.001], dtype=tg.float64))
    for options, rank in (({}, 3), ({"rtol": 0.01}, 2), ({"atol": 0.2}, 1), ({"atol": 0.2, "rtol": 0.0001}, 1), ({"tol": 0.01}, 2)):
        assert tg.linalg.matrix_rank(x, **options).item() == rank
        assert tg.linalg.matrix_rank(x, hermitian=True, **options).item() == rank
        if "tol" not in options:
            inverse = tg.linalg.pinv(x, **options)
            assert int((inverse.abs() > 1e-9).sum()) == rank
    batch = tg.stack([x, x])
    assert tg.linalg.matrix_rank(batch, atol=tg.tensor([0.01, 0.2], dtype=tg.float64)).tolist() == [2, 1]
    ranks = tg.func.vmap(lambda x, tol: tg.linalg.matrix_rank(x, atol=tol))(batch, tg.tensor([0.01, 0.2], dtype=tg.float64))
    assert ranks.tolist() == [2, 1]
    assert tg.linalg.matrix_rank(tg.ones(2, 0, 3)).tolist() == [0, 0]
    assert tg.linalg.pinv(tg.ones(2, 0, 3)).shape == (2, 3, 0)


@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((2, 4), (2,)), ((4, 3), (4,)), ((2, 4, 3), (2, 4)), ((2, 4, 3), (2, 4, 1))])
def test_least_squares(dtype, shapes):
    a, b = (matrix(*shape, dtype=dtype) for shape in shapes)
    derivatives_agree(lambda a, b: tg.linalg.lstsq(a, b, driver="gels")[:2], a, b)
    x = tg.linalg.lstsq(a, b).solution
    rows = a.detach().numpy().reshape(-1, *shapes[0][-2:])
    for k, row in enumerate(rows):
        right = b.detach().numpy().reshape(len(rows), shapes[0][-2], -1)[k]
        np.testing.assert_allclose(x.detach().numpy().reshape(len(rows), shapes[0][-1], -1)[k], np.linalg.lstsq(row, right, rcond=None)[0], 1e-9)


@pytest.mark.parametrize(
    ("driver", "shapes"),
    [("gels", [(3, 2), (2,), (0,), (0,)]), ("gelsy", [(3, 2), (0,), (), (0,)]), (None, [(3, 2), (0,), (), (0,)]),
     ("gelsd", [(3, 2), (2,), (), (3,)]), ("gelss", [(3, 2), (2,), (), (3,)])],
)  # fmt: skip
def test_what_the_drivers_of_least_squares_give(driver, shapes):
    a, b = matrix(4, 3), matrix(4, 2)
    result = tg.linalg.lstsq(a, b, driver=driver)
    assert [tuple(t.shape) for t in result] == shapes
    assert result.rank.dtype is tg.int64 and result._fields == ("solution", "residuals", "rank", "singular_values")
    if result.residuals.numel():
        close(result.residuals, ((a @ result.solution - b) ** 2).sum(0).detach().numpy(), 1e-10)
    if result.singular_values.numel():
        close(result.singular_values, np.linalg.svd(a.detach().numpy())[1], 1e-10)
    assert tg.linalg.lstsq(a.mT, b[:3], driver=driver).residuals.shape == (0,)


def test_least_squares_refuses():
    with pytest.raises(RuntimeError, match=r"`driver` should be one of \(gels, gelsy, gelsd, gelss\)"):
        tg.linalg.lstsq(matrix(3, 2), matrix(3, 2), driver="qr")
    with pytest.raises(RuntimeError, match="should match other.size"):
        tg.linalg.lstsq(matrix(3, 2), matrix(2, 2))
    with pytest.raises(RuntimeError, match="same dtype"):
        tg.linalg.lstsq(matrix(3, 2), matrix(3, 2).to(tg.float32))


# ---- norms ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, 6, -1, -2.5, math.inf, -math.inf])
def test_norms_of_every_order(dtype, order):
    x = values(3, 4, dtype=dtype)
    close(tg.linalg.vector_norm(x, order, 1), np.linalg.norm(x.detach().numpy(), order, axis=1))
    assert gradcheck(lambda x: tg.linalg.vector_norm(x, order, 1), (x,), check_forward_ad=True)
    assert gradgradcheck(lambda x: tg.norm(x, order, (0, 1), True), (x,))


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, -0.5, -1, math.inf, -math.inf])
def test_subgradients_of_norms_at_zero(order):
    """Zero, as PyTorch gives it, where the formula would be 0 / 0."""
    x = tg.zeros(3, dtype=tg.float64, requires_grad=True)
    out = tg.linalg.vector_norm(x, order)
    assert out.item() == 0
    assert tg.autograd.grad(out, x)[0].tolist() == [0, 0, 0]
    with forward_ad.dual_level():
        dual = tg.linalg.vector_norm(forward_ad.make_dual(x.detach(), tg.ones(3, dtype=tg.float64)), order)
        assert forward_ad.unpack_dual(dual).tangent.item() == 0


def test_the_norm_of_order_zero_is_recorded():
    x = tg.tensor([0.0, 2.0, 3.0], requires_grad=True)
    out = tg.norm(x, 0)
    assert out.item() == 2 and out.requires_grad
    assert tg.autograd.grad(out, x, allow_unused=True) == (None,)


def test_norms_of_halves_are_added_up_as_floats():
    for order, expected in ((2, 424.0), (3, 378.0), (6, 336.75)):
        x = tg.tensor([300.0, 300.0], dtype=tg.float16, requires_grad=True)
        out = tg.norm(x, order)
        assert (out.dtype, out.item()) == (tg.float16, pytest.approx(expected, rel=1e-3))
    assert tg.dist(tg.full((2,), 300.0, dtype=tg.float16), tg.zeros(2, dtype=tg.float16), 4).isfinite()


def test_norms_of_nothing():
    assert tg.linalg.vector_norm(tg.ones(2, 0), 2, 1).tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="cannot compute the inf norm on the dimension 1"):
        tg.linalg.vector_norm(tg.ones(2, 0), math.inf, 1)
    with pytest.raises(RuntimeError, match="cannot compute the -1 norm on an empty tensor"):
        tg.linalg.vector_norm(tg.ones(0), -1)
    with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor as input. Got Long"):
        tg.linalg.vector_norm(tg.ones(2, dtype=tg.int64))


def test_distances_of_order_zero_have_zero_gradients():
    x, y = values(3, 2), values(4, 2, seed=2)
    out = tg.cdist(x, y, 0.0)
    assert out.tolist() == [[2.0] * 4] * 3
    assert [g.abs().sum().item() for g in tg.autograd.grad(out.sum(), (x, y))] == [0, 0]


@pytest.mark.parametrize("order", [1, math.inf, 2, "nuc", "fro"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 0, 3)])
def test_matrix_norms_of_nothing_are_zero(order, shape):
    out = tg.linalg.matrix_norm(tg.ones(shape), order)
    assert out.shape == shape[:-2] and out.sum().item() == 0


def test_systems_without_equations():
    for b in (tg.ones(0, dtype=tg.float64), tg.ones(0, 2, dtype=tg.float64)):
        x = tg.linalg.solve(tg.ones(0, 0, dtype=tg.float64, requires_grad=True), b)
        assert x.shape == b.shape and x.requires_grad


# ---- powers ---------------------------------------------------------------------------------------------
def test_the_power_zero_of_a_matrix_has_a_zero_gradient():
    x = matrix(2, 3, 3)
    out = tg.linalg.matrix_power(x, 0)
    close(out, np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert tg.autograd.grad(out.sum(), x)[0].abs().sum().item() == 0
