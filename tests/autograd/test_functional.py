"""tensorgrad.autograd.functional: products and matrices."""

import pytest

import tensorgrad
from tensorgrad.autograd import functional

F64 = tensorgrad.float64


def T(values, **kwargs):
    return tensorgrad.tensor(values, dtype=F64, **kwargs)


X, V = [1.0, 2.0], [1.0, 10.0]


def cubes(x):
    return (x**3).sum()


def test_products():
    x, v = T(X), T(V)
    out, product = functional.vjp(lambda x: x * x, x, v)
    assert out.tolist() == [1.0, 4.0] and product.tolist() == [2.0, 40.0]
    out, product = functional.jvp(lambda x: x * x, x, v)
    assert out.tolist() == [1.0, 4.0] and product.tolist() == [2.0, 40.0]
    for second in (functional.vhp, functional.hvp):
        out, product = second(cubes, x, v)
        assert out.item() == 9.0 and product.tolist() == [6.0, 120.0]
        assert not product.requires_grad and not out.requires_grad


def test_several_inputs_and_outputs():
    x, y = T(X), T([3.0, 4.0])
    outs, products = functional.vjp(lambda x, y: (x * y, x.sum()), (x, y), (T(V), T(100.0)))
    assert outs[0].tolist() == [3.0, 8.0] and products[0].tolist() == [103.0, 140.0]
    _, products = functional.jvp(lambda x, y: (x * y, x.sum()), (x, y), (T(V), T([0.0, 0.0])))
    assert products[0].tolist() == [3.0, 40.0] and products[1].item() == 11.0
    for second in (functional.vhp, functional.hvp):
        _, products = second(lambda x, y: (x * y * y).sum(), (x, y), (T(V), T([0.0, 1.0])))
        assert products[0].tolist() == [0.0, 8.0] and products[1].tolist() == [6.0, 84.0]


def test_v_may_be_left_out_for_one_element():
    for f in (functional.vjp, functional.jvp):
        assert f(lambda x: x * x, T(3.0))[1].item() == 6.0
    for f in (functional.vhp, functional.hvp):
        assert f(lambda x: x * x * x, T(3.0))[1].item() == 18.0


@pytest.mark.parametrize("options", [{}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}])
def test_jacobian(options):
    x, y = T(X), T([3.0, 4.0])
    assert functional.jacobian(lambda x: x * x, x, **options).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    jac = functional.jacobian(lambda x, y: (x * y, x.sum()), (x, y), **options)
    assert jac[0][0].tolist() == [[3.0, 0.0], [0.0, 4.0]] and jac[0][1].tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert jac[1][0].tolist() == [1.0, 1.0] and jac[1][1].tolist() == [0.0, 0.0]
    assert functional.jacobian(lambda x: x.view(2, 1) * x, x, **options).shape == (2, 2, 2)
    assert functional.jacobian(lambda x: tensorgrad.ones(3, dtype=F64), x, **options).tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize(
    "options", [{}, {"vectorize": True}, {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}]
)
def test_hessian(options):
    x, y = T(X), T([3.0, 4.0])
    assert functional.hessian(cubes, x, **options).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    hes = functional.hessian(lambda x, y: (x * x * y).sum(), (x, y), **options)
    assert hes[0][0].tolist() == [[6.0, 0.0], [0.0, 8.0]]
    assert hes[0][1].tolist() == hes[1][0].tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert hes[1][1].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert functional.hessian(lambda x: x.sum(), x, **options).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_create_graph():
    x = T(X, requires_grad=True)
    jac = functional.jacobian(lambda x: x**3, x, create_graph=True)
    jac.sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]
    x.grad = None
    functional.hessian(cubes, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    for f, expected in ((functional.vhp, [6.0, 60.0]), (functional.hvp, [6.0, 60.0])):
        x.grad = None
        f(cubes, x, T(V), create_graph=True)[1].sum().backward()
        assert x.grad.tolist() == expected
    for f in (functional.vjp, functional.jvp):
        x.grad = None
        f(lambda x: x**3, x, T(V), create_graph=True)[1].sum().backward()
        assert x.grad.tolist() == [6.0, 120.0]


def test_the_inputs_are_left_alone():
    x = T(X, requires_grad=True)
    functional.jacobian(lambda x: x * x, x)
    functional.hvp(cubes, x, T(V))
    assert x.grad is None and x.is_leaf
    y = T(X)
    functional.jacobian(lambda x: x * x, y)
    assert not y.requires_grad
    with tensorgrad.no_grad():
        assert functional.jacobian(lambda x: x * x, x).tolist() == [[2.0, 0.0], [0.0, 4.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: functional.jacobian(cubes, 3),
            TypeError,
            "The inputs given to jacobian must be either a Tensor or a tuple",
        ),
        (
            lambda x: functional.jacobian(cubes, (x, 3)),
            TypeError,
            "the value at index 1 has type <class 'int'>",
        ),
        (
            lambda x: functional.jacobian(lambda x: 3, x),
            TypeError,
            "The outputs of the user-provided function given to jac",
        ),
        (
            lambda x: functional.jacobian(cubes, x, strategy="x"),
            AssertionError,
            "Expected strategy to be either",
        ),
        (
            lambda x: functional.jacobian(cubes, x, strategy="forward-mode"),
            NotImplementedError,
            "Computing Jacobian using",
        ),
        (
            lambda x: functional.vjp(lambda x: x * x, x),
            RuntimeError,
            "The vector v can only be None if the user-provided",
        ),
        (
            lambda x: functional.jvp(lambda x: x * x, x),
            RuntimeError,
            "The vector v can only be None if the input to the",
        ),
        (lambda x: functional.hvp(cubes, x, T([1.0])), RuntimeError, "v has invalid size: should be"),
        (
            lambda x: functional.hvp(cubes, x, (x, x)),
            RuntimeError,
            "The given v should contain a single Tensor",
        ),
        (
            lambda x: functional.hessian(lambda x: x, x),
            RuntimeError,
            "The Tensor returned by the function given to hessian",
        ),
        (
            lambda x: functional.hessian(lambda x: (x.sum(),), x),
            RuntimeError,
            "should return a single Tensor",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(T(X))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: functional.jacobian(lambda x: T(X), x, strict=True),
            "Output 0 of the user-provided function does not require gradients",
        ),
        (
            lambda x: functional.jacobian(lambda x, y: x * 2, (x, x), strict=True),
            "Output 0 of the user-provided function is independent of input 1",
        ),
        (
            lambda x: functional.jacobian(lambda x: x * 2, x, strict=True, create_graph=True),
            "The jacobian of the user-provided function is independent of input 0",
        ),
        (
            lambda x: functional.hessian(lambda x: x.sum(), x, strict=True),
            "found that the jacobian of the user-provided function with respect to input 0 is independent",
        ),
        (
            lambda x: functional.vhp(lambda x: x.sum(), x, T(V), strict=True),
            "found that the jacobian of the user-provided function with respect to input 0 is independent",
        ),
        (
            lambda x: functional.hvp(lambda x: T(1.0), x, T(V), strict=True),
            "Output 0 of the user-provided function does not require gradients",
        ),
    ],
)
def test_strict(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(T(X))
