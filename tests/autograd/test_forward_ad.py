"""Dual numbers: tangents through operators, views, in-place writes and backward."""

import gc

import pytest

import tensorgrad
from tensorgrad import autograd
from tensorgrad.autograd import forward_ad as fwad

X = [0.5, 1.0, 2.0]
V = [1.0, 10.0, 100.0]


def tensors():
    return tensorgrad.tensor(X, dtype=tensorgrad.float64), tensorgrad.tensor(V, dtype=tensorgrad.float64)


def tangent_of(function, *pairs):
    with fwad.dual_level():
        out = function(*[fwad.make_dual(x, t) if t is not None else x for x, t in pairs])
        return fwad.unpack_dual(out).tangent


def test_tangents_of_operators():
    x, v = tensors()
    assert tangent_of(lambda x: x * x, (x, v)).tolist() == [1.0, 20.0, 400.0]
    assert tangent_of(lambda x: x.sum(), (x, v)).item() == 111.0
    assert tangent_of(lambda x, y: x * y, (x, v), (v, x)).tolist() == [1.25, 101.0, 10004.0]
    assert tangent_of(lambda x, y: x * y, (x, None), (v, x)).tolist() == [0.25, 1.0, 4.0]
    assert tangent_of(lambda x: x * 0 + 1, (x, v)).tolist() == [0.0, 0.0, 0.0]
    assert tangent_of(lambda x: x.detach(), (x, v)) is None


def test_a_tensor_without_a_tangent():
    x, _ = tensors()
    with fwad.dual_level():
        primal, tangent = fwad.unpack_dual(x * 2)
        assert tangent is None and primal.tolist() == [1.0, 2.0, 4.0]
    assert fwad.unpack_dual(x) == (x, None) or fwad.unpack_dual(x).tangent is None


def test_the_parts_of_a_dual():
    x, v = tensors()
    with fwad.dual_level():
        dual = fwad.make_dual(x, v)
        unpacked = fwad.unpack_dual(dual)
        assert type(unpacked).__name__ == "UnpackedDualTensor"
        assert unpacked.primal.tolist() == X and unpacked.tangent.tolist() == V
        assert dual._is_view() and fwad.unpack_dual(unpacked.primal).tangent is None
        assert fwad.unpack_dual(x).tangent is None


def test_tangents_end_with_their_level():
    x, v = tensors()
    with fwad.dual_level():
        dual = fwad.make_dual(x, v)
        y = dual * 2
    with fwad.dual_level():
        assert fwad.unpack_dual(dual).tangent is None
        assert fwad.unpack_dual(y).tangent is None
        assert fwad.unpack_dual(y * 3).tangent is None


def test_tangents_go_through_views():
    x, v = tensors()
    assert tangent_of(lambda x: x[1:].view(2, 1), (x, v)).tolist() == [[10.0], [100.0]]
    with fwad.dual_level():
        dual = fwad.make_dual(x, v)
        view = dual[:2]
        fwad.unpack_dual(dual).tangent.mul_(2)
        assert fwad.unpack_dual(view).tangent.tolist() == [2.0, 20.0]


def test_tangents_go_through_in_place_writes():
    x, v = tensors()

    def function(x):
        y = x * 1
        y.mul_(x)
        y[0] = x[2]
        return y

    assert tangent_of(function, (x, v)).tolist() == [100.0, 20.0, 400.0]

    def into_zeros(x):
        y = tensorgrad.zeros(4, dtype=x.dtype)
        y[1:].copy_(x)
        return y

    assert tangent_of(into_zeros, (x, v)).tolist() == [0.0, *V]


def test_no_grad_does_not_stop_tangents():
    x, v = tensors()
    with tensorgrad.no_grad():
        assert tangent_of(lambda x: x * x, (x, v)).tolist() == [1.0, 20.0, 400.0]


def test_tangents_are_differentiable():
    x, v = tensors()
    x.requires_grad_()
    with fwad.dual_level():
        tangent = fwad.unpack_dual((fwad.make_dual(x, v) ** 3).sum()).tangent
        (g,) = autograd.grad(tangent, x)
    assert g.tolist() == [6 * a * b for a, b in zip(X, V, strict=True)]


def test_forward_over_reverse():
    x, v = tensors()
    x.requires_grad_()
    with fwad.dual_level():
        dual = fwad.make_dual(x, v)
        (g,) = autograd.grad((dual**3).sum(), dual, create_graph=True)
        hvp = fwad.unpack_dual(g).tangent
    assert hvp.tolist() == [6 * a * b for a, b in zip(X, V, strict=True)]


def test_gradcheck_in_forward_mode():
    x, _ = tensors()
    x.requires_grad_()
    for function in (tensorgrad.sin, lambda x: (x * x.sum()).exp(), lambda x: x.view(3, 1) @ x.view(1, 3)):
        assert autograd.gradcheck(function, (x,), check_forward_ad=True, check_batched_forward_grad=True)
        assert autograd.gradgradcheck(function, (x,), check_fwd_over_rev=True)


def test_under_vmap():
    x, _ = tensors()
    basis = tensorgrad.eye(3, dtype=tensorgrad.float64)
    with fwad.dual_level():

        def column(v):
            return fwad.unpack_dual(fwad.make_dual(x, v) ** 2).tangent

        jacobian = tensorgrad.func.vmap(column)(basis)
    assert jacobian.tolist() == [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 4.0]]


def test_levels():
    with pytest.raises(RuntimeError, match="Trying to create a dual Tensor for forward AD but no level exists"):
        fwad.make_dual(*tensors())
    with pytest.raises(RuntimeError, match="Dual level must be a positive number"):
        fwad.exit_dual_level()
    with (
        fwad.dual_level(),
        pytest.raises(RuntimeError, match="Nested forward mode AD is not supported at the moment"),
    ):
        fwad.enter_dual_level()
    level = fwad.enter_dual_level()
    assert level == 0
    fwad.exit_dual_level(level=level)


@pytest.mark.parametrize(
    ("primal", "tangent", "error", "message"),
    [
        (
            tensorgrad.tensor([1]),
            tensorgrad.ones(1),
            ValueError,
            "Expected primal to be floating point or complex",
        ),
        (
            tensorgrad.ones(1),
            tensorgrad.tensor([1]),
            ValueError,
            "Expected tangent to be floating point or complex",
        ),
        (
            tensorgrad.ones(3),
            tensorgrad.ones(2),
            RuntimeError,
            "Trying to set a forward gradient that has a different",
        ),
    ],
)
def test_refusals(primal, tangent, error, message):
    with fwad.dual_level(), pytest.raises(error, match=message):
        fwad.make_dual(primal, tangent)


def test_a_dual_of_a_dual_is_refused():
    x, v = tensors()
    with fwad.dual_level():
        dual = fwad.make_dual(x, v)
        with pytest.raises(
            RuntimeError, match="Making a dual Tensor based on a Tensor that already has a forward gradient"
        ):
            fwad.make_dual(dual, v)


def test_a_long_level_keeps_no_dead_tensors():
    x, v = tensors()
    with fwad.dual_level():
        y = fwad.make_dual(x, v)
        for _ in range(5000):
            y = y * 1.0
        assert fwad.unpack_dual(y).tangent.tolist() == V
    gc.collect()
