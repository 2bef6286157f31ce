"""Elementwise operators of which the samples of a declaration do not say all: complex logarithms, steps of halves, ties, zeros."""

import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import forward_ad, gradcheck

from .proof import DOUBLES, close, derivatives_agree, node_name, tangent, values


# ---- logaddexp, silu ---------------------------------------------------------------------------------------
def test_logaddexp_of_complex_numbers():
    x, y = values(3, 1, dtype=tg.complex128), values(4, dtype=tg.complex128, seed=2)
    derivatives_agree(tg.logaddexp, x, y)
    derivatives_agree(tg.logaddexp, values(4), y)
    close(tg.logaddexp(x, y), np.log(np.exp(x.detach().numpy()) + np.exp(y.detach().numpy())))
    assert node_name(tg.logaddexp(values(3), values(3))) == "LogaddexpBackward0"


def test_logaddexp_of_large_complex_numbers():
    x = tg.tensor([1000 + 1j, 5 + 1j, -math.inf + 0j, math.inf + 0j], dtype=tg.complex128, requires_grad=True)
    y = tg.tensor([1000 + 1j, -2000 - 3j, -math.inf + 0j, 1 + 1j], dtype=tg.complex128)
    out = tg.logaddexp(x, y)
    np.testing.assert_allclose(out.detach().numpy()[:2], [1000 + math.log(2) + 1j, 5 + 1j])
    assert out[2:].real.tolist() == [-math.inf, math.inf]
    assert tg.autograd.grad(out[:2].sum().real, x)[0][:2].tolist() == [0.5, 1]


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_the_second_derivative_at_equal_halves_is_finite(name):
    x, y = (tg.tensor([20.0, -3.0], dtype=tg.float16, requires_grad=True) for _ in range(2))
    out = getattr(tg, name)(x, y)
    (g,) = tg.autograd.grad(out.sum(), x, create_graph=True)
    assert tg.autograd.grad(g.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("dtype", DOUBLES)
def test_silu(dtype):
    x = values(3, 4, dtype=dtype)
    derivatives_agree(tg.silu, x)
    close(tg.silu(x), x.detach().numpy() / (1 + np.exp(-x.detach().numpy())))


def test_the_derivative_of_logit_at_its_ends_and_beyond():
    x = tg.tensor([0.0, 0.25, 1.0, -0.5, 1.5], dtype=tg.float64, requires_grad=True)
    out = tg.logit(x)
    assert node_name(out) == "LogitBackward0"
    np.testing.assert_allclose(tg.autograd.grad(out.sum(), x)[0].numpy(), [math.inf, 16 / 3, math.inf, math.nan, math.nan])
    bounded = tg.autograd.grad(tg.logit(x, 0.25).sum(), x)[0]
    np.testing.assert_allclose(bounded.numpy(), [0, 16 / 3, 0, 0, 0])
    assert tg.logit(tg.tensor([0, 1], dtype=tg.uint8)).tolist() == [-math.inf, math.inf]
    with pytest.raises(NotImplementedError, match="logit"):
        tg.logit(tg.ones(1, dtype=tg.complex64))


@pytest.mark.parametrize(("function", "log"), [(tg.xlogy, math.log), (tg.special.xlog1py, math.log1p)], ids=["xlogy", "xlog1py"])
def test_the_derivative_of_x_log_y_at_zero_is_the_logarithm(function, log):
    x, y = tg.zeros(3, dtype=tg.float64, requires_grad=True), tg.tensor([2.0, 0.5, 7.0], dtype=tg.float64, requires_grad=True)
    out = function(x, y)
    assert out.tolist() == [0, 0, 0]
    of_x, of_y = tg.autograd.grad(out.sum(), (x, y), create_graph=True)
    close(of_x, [log(v) for v in (2, 0.5, 7)])
    assert of_y.tolist() == [0, 0, 0]
    close(tg.autograd.grad(of_x.sum(), y)[0], 1 / (y.detach().numpy() + (log is math.log1p)))
    edge = tg.tensor([0.0 if log is math.log else -1.0, -3.0, math.inf], dtype=tg.float64)
    assert function(x, edge).tolist() == [0, 0, 0]
    assert tg.autograd.grad(function(x, edge).sum(), x)[0].tolist() == [0, 0, 0]
    assert function(tg.zeros(1), tg.tensor([math.nan])).isnan().all()


def test_atan2_at_the_origin_has_a_zero_gradient():
    x, y = (tg.zeros(1, dtype=tg.float64, requires_grad=True) for _ in range(2))
    assert [g.item() for g in tg.autograd.grad(tg.atan2(x, y), (x, y))] == [0, 0]


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_the_gradients_of_large_logarithms_add_up_to_one(name):
    """Differences from the result, which has been rounded, would not."""
    x, y = (tg.tensor(v, dtype=tg.float32, requires_grad=True) for v in ([1e9, 3e8, math.inf, -2.0], [1e9, 3e8, 1.0, math.inf]))
    of_x, of_y = tg.autograd.grad(getattr(tg, name)(x, y).sum(), (x, y))
    assert of_x.tolist() == [0.5, 0.5, 1, 0] and of_y.tolist() == [0.5, 0.5, 0, 1]


def test_trigamma_at_infinity():
    x = tg.tensor([math.inf], dtype=tg.float64, requires_grad=True)
    assert tg.autograd.grad(tg.digamma(x), x)[0].item() == 0


# ---- nan ----
def test_a_gradient_passes_where_there_is_no_number():
    """As in PyTorch: a zero would hide that something has gone wrong."""
    x, y = (tg.tensor(v, requires_grad=True) for v in ([math.nan, 1.0], [1.0, math.nan]))
    for name in ("maximum", "minimum"):
        assert [g.tolist() for g in tg.autograd.grad(getattr(tg, name)(x, y).sum(), (x, y))] == [[1, 1], [1, 1]]
    assert tg.autograd.grad(x.relu().sum(), x)[0].tolist() == [1, 1]


# ---- ties -------------------------------------------------------------------------------------------------
def test_the_tangent_of_clamp_is_that_of_what_was_chosen():
    x, low, high = (tg.tensor(v, dtype=tg.float64) for v in ([0.0, 5.0, 2.0, 0.0, 9.0], [1.0, 1.0, 1.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0, 1.0]))
    tangents = [tg.full((5,), t, dtype=tg.float64) for t in (1.0, 10.0, 100.0)]
    with forward_ad.dual_level():
        out = tg.clamp(*[forward_ad.make_dual(v, t) for v, t in zip((x, low, high), tangents, strict=True)])
        assert forward_ad.unpack_dual(out).tangent.tolist() == [10, 100, 1, 10, 100]
        one = tg.clamp(forward_ad.make_dual(x, tangents[0]), 1, 3)
        assert forward_ad.unpack_dual(one).tangent.tolist() == [0, 0, 1, 0, 0]
        crossed = tg.clamp(forward_ad.make_dual(x, tangents[0]), 3, 1)
        assert forward_ad.unpack_dual(crossed).tangent.tolist() == [0] * 5
        lost = tg.clamp(forward_ad.make_dual(tg.tensor([math.nan]), tg.ones(1)), 1, 3)
        assert forward_ad.unpack_dual(lost).tangent.tolist() == [0]


@pytest.mark.parametrize(("name", "chosen"), [("fmax", [10, 1, 10, 1]), ("fmin", [1, 10, 1, 1])])
def test_the_tangents_of_fmax_and_fmin(name, chosen):
    x, y = tg.tensor([1.0, 2.0, 3.0, 4.0]), tg.tensor([2.0, 1.0, 3.0, math.nan])
    with forward_ad.dual_level():
        out = getattr(tg, name)(forward_ad.make_dual(x, tg.ones(4)), forward_ad.make_dual(y, tg.full((4,), 10.0)))
        assert forward_ad.unpack_dual(out).tangent.tolist() == chosen


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_the_tangent_of_maximum_keeps_the_digits_of_a_number(name):
    """A partial derivative in single precision would be of more weight than a tangent without dimensions."""
    x, y, t = tg.tensor([1.0, 2.0], dtype=tg.float64), tg.tensor(1.5, dtype=tg.float64), tg.tensor(0.1, dtype=tg.float64)
    found = tangent(lambda d: getattr(tg, name)(x, d), y, t)
    assert found.dtype is tg.float64
    assert sorted(found.tolist()) == [0, 0.1]


# ---- steps between floating point numbers -----------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16])
def test_the_next_half(dtype):
    info = tg.finfo(dtype)
    inf, tiny = math.inf, info.smallest_normal * info.eps
    cases = [
        (1.0, 2.0, 1 + info.eps), (1.0, 0.0, 1 - info.eps / 2), (-1.0, -2.0, -1 - info.eps), (0.0, 1.0, tiny), (-0.0, -1.0, -tiny),
        (tiny, 0.0, 0.0), (inf, 0.0, info.max), (info.max, inf, inf), (3.0, 3.0, 3.0),
    ]  # fmt: skip
    x, y, expected = (tg.tensor(column, dtype=dtype) for column in zip(*cases, strict=True))
    assert tg.nextafter(x, y).tolist() == expected.tolist()
    assert tg.nextafter(x, tg.full((1,), math.nan, dtype=dtype)).isnan().all()
    assert tg.nextafter(tg.ones(2, 1, dtype=dtype), tg.zeros(3, dtype=dtype)).shape == (2, 3)
    assert tg.func.vmap(tg.nextafter, in_dims=(0, None))(x, y[0]).tolist() == tg.nextafter(x, y[0]).tolist()


@pytest.mark.parametrize("dtype", [tg.float16, tg.float64])
def test_the_derivative_of_nextafter(dtype):
    """One, and zero where nothing moves."""
    x, y = (tg.tensor(v, dtype=dtype, requires_grad=True) for v in ([1.0, 2.0], [2.0, 2.0]))
    out = tg.nextafter(x, y)
    assert node_name(out) == "NextafterBackward0"
    assert [g.tolist() for g in tg.autograd.grad(out.sum(), (x, y))] == [[1, 0], [0, 0]]
    assert tangent(lambda d: tg.nextafter(d, y.detach()), x.detach(), tg.full((2,), 3.0, dtype=dtype)).tolist() == [3, 0]


def test_nextafter_promotes_and_writes_in_place():
    assert tg.nextafter(tg.ones(1, dtype=tg.float16), tg.zeros(1)).dtype is tg.float32
    x = tg.ones(2, dtype=tg.float16)
    assert x.nextafter_(tg.zeros(2, dtype=tg.float16)) is x and x.tolist() == [1 - 2.0**-11] * 2


def test_frexp_is_linear():
    x = tg.tensor([3.0, -0.7, 0.0, 1e-3], dtype=tg.float64, requires_grad=True)
    mantissa, exponent = tg.frexp(x)
    (g,) = tg.autograd.grad(mantissa.sum(), x, create_graph=True)
    assert g.tolist() == [2.0 ** -int(e) for e in exponent]
    assert not g.requires_grad
    half = tg.tensor([3.0, 2.0**-24], dtype=tg.float16, requires_grad=True)
    (g,) = tg.autograd.grad(tg.frexp(half)[0][:1].sum(), half)
    assert g.dtype is tg.float16 and g[0].item() == 0.25


# ---- special functions -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["i1", "i1e", "bessel_j1"])
def test_the_second_derivative_at_zero_is_finite(name):
    function = getattr(tg.special, name)
    x = tg.tensor([0.0, 0.5], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(function(x).sum(), x, create_graph=True)
    assert g[0].item() == 0.5
    second = tg.autograd.grad(g.sum(), x)[0]
    assert second[0].item() == 0 and second.isfinite().all()


def test_polygamma_as_a_method():
    x = tg.tensor([0.5, 2.0], dtype=tg.float64, requires_grad=True)
    close(x.polygamma(1), [math.pi**2 / 2, math.pi**2 / 6 - 1], 1e-10)
    close(tg.polygamma(1, x), x.polygamma(1).detach().numpy())
    assert gradcheck(lambda x: x.polygamma(2), (x,))
    y = x.detach().clone()
    assert y.polygamma_(0) is y
    close(y, tg.digamma(x).detach().numpy())
    with pytest.raises(RuntimeError, match="does not support negative n"):
        x.polygamma(-1)


# ---- scans of exponentials ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DOUBLES)
def test_logcumsumexp(dtype):
    derivatives_agree(lambda x: tg.logcumsumexp(x, 1), values(2, 5, dtype=dtype))


@pytest.mark.parametrize("dtype", [tg.float16, tg.float32, tg.float64])
def test_logcumsumexp_over_a_range_that_no_exponential_has(dtype):
    """exp(top - x) overflows here, and is 0 times infinity if it is taken."""
    data = [-9000.0, -8999.0, 5.0, 9000.0, 8998.0, 9000.0]
    x = tg.tensor(data, dtype=dtype, requires_grad=True)
    weights = tg.arange(1.0, 7.0, dtype=dtype)
    (g,) = tg.autograd.grad((tg.logcumsumexp(x, 0) * weights).sum(), x)
    wide = np.array(x.detach().double().tolist())
    log_sums = np.logaddexp.accumulate(wide)
    softmax = np.exp(np.minimum(wide[:, None] - log_sums[None, :], 0)) * np.triu(np.ones((6, 6)))
    # the sums are rounded where they are near 9000; halves are computed as floats
    rtol = max(8 * tg.finfo(dtype).eps, 1e4 * tg.finfo(tg.float64 if dtype is tg.float64 else tg.float32).eps)
    np.testing.assert_allclose(g.double().numpy(), softmax @ np.arange(1.0, 7.0), rtol=rtol)
    t = tangent(lambda d: tg.logcumsumexp(d, 0), x.detach(), weights)
    np.testing.assert_allclose(t.double().numpy(), np.arange(1.0, 7.0) @ softmax, rtol=rtol)


def test_logcumsumexp_after_minus_infinity():
    x = tg.tensor([-math.inf, -math.inf, 1.0, 2.0], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(tg.logcumsumexp(x, 0)[2:].sum(), x)
    assert g.isfinite().all()
    close(g[2:], [1 + 1 / (1 + math.e), math.e / (1 + math.e)])


def test_the_tangent_of_logsumexp_of_large_phases():
    x = tg.tensor([3 + 2.6e6j, 1 - 1.3e6j, -2 + 5e5j], dtype=tg.complex128)
    t = tg.tensor([1 + 2j, -1.0, 0.5j], dtype=tg.complex128)
    weights = np.exp(x.numpy() - 3)
    close(tangent(lambda d: tg.logsumexp(d, 0), x, t), (weights * t.numpy()).sum() / weights.sum(), 1e-13)
