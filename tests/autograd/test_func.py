"""Transforms, alone and inside one another."""

import pytest

import tensorgrad
from tensorgrad import func
from tensorgrad.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

F64 = tensorgrad.float64


def T(values):
    return tensorgrad.tensor(values, dtype=F64)


M = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


# vmap ----------------------------------------------------------------------------------------------


def test_vmap_of_operators():
    x = T(M)
    assert vmap(lambda r: r.sum())(x).tolist() == [6.0, 15.0]
    assert vmap(lambda r: r.sum(), in_dims=1)(x).tolist() == [5.0, 7.0, 9.0]
    assert vmap(lambda r: r.sum(), in_dims=-1)(x).tolist() == [5.0, 7.0, 9.0]
    assert vmap(lambda a, b: a @ b)(x, x).tolist() == [14.0, 77.0]
    assert vmap(lambda r: r[0] + r[-1])(x).tolist() == [4.0, 10.0]
    assert vmap(lambda r, s: r * s, in_dims=(0, None))(x, T([1.0, 10.0, 100.0])).tolist() == [
        [1.0, 20.0, 300.0],
        [4.0, 50.0, 600.0],
    ]
    assert vmap(lambda r, n: r * n, in_dims=(0, None))(x, 2).tolist() == (x * 2).tolist()


def test_vmap_broadcasts_by_the_shapes_that_the_function_sees():
    a, b = T([1.0, 2.0]), T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert vmap(lambda a, b: a + b)(a, b).tolist() == [[2.0, 3.0, 4.0], [6.0, 7.0, 8.0]]
    assert vmap(lambda b: b + tensorgrad.ones(2, 1, dtype=F64))(b).shape == (2, 2, 3)
    assert vmap(lambda a: a.shape == () and a.ndim == 0 and a * 1 if True else a)(a).tolist() == [1.0, 2.0]


def test_vmap_promotes_by_the_dtypes_that_the_function_sees():
    scalars = T([1.0, 2.0])
    out = vmap(lambda s, v: s * v, in_dims=(0, None))(scalars, tensorgrad.ones(3))
    assert out.dtype == tensorgrad.float32 and out.shape == (2, 3)


def test_out_dims():
    x = T(M)
    assert vmap(lambda r: r * 2, out_dims=1)(x).shape == (3, 2)
    assert vmap(lambda r: r * 2, out_dims=-1)(x).shape == (3, 2)
    a, b = vmap(lambda r: (r, r.sum()), out_dims=(1, 0))(x)
    assert a.shape == (3, 2) and b.shape == (2,)
    assert vmap(lambda r: tensorgrad.ones(2), out_dims=None)(x).tolist() == [1.0, 1.0]
    assert vmap(lambda r: tensorgrad.ones(2))(x).shape == (2, 2)


def test_pytrees():
    x = T(M)
    out = vmap(lambda d: {"twice": d["a"] * 2, "rest": [d["b"][0], (d["b"][1],)]})({"a": x, "b": (x, x + 1)})
    assert out["twice"].tolist() == (x * 2).tolist() and out["rest"][1][0].tolist() == (x + 1).tolist()
    out = vmap(lambda d: d["a"] * d["b"], in_dims=({"a": 1, "b": None},))({"a": x, "b": T([1.0, 10.0])})
    assert out.tolist() == [[1.0, 40.0], [2.0, 50.0], [3.0, 60.0]]


def test_nested_vmap():
    a, b = T([1.0, 2.0]), T([10.0, 20.0, 30.0])
    outer = vmap(vmap(lambda x, y: x * y, in_dims=(None, 0)), in_dims=(0, None))
    assert outer(a, b).tolist() == [[10.0, 20.0, 30.0], [20.0, 40.0, 60.0]]
    x = T([[[1.0, 2.0]], [[3.0, 4.0]]])
    assert vmap(vmap(vmap(lambda v: v * v)))(x).tolist() == [[[1.0, 4.0]], [[9.0, 16.0]]]
    assert vmap(vmap(lambda v: v.sum(), in_dims=1), in_dims=2)(tensorgrad.ones(2, 3, 4)).shape == (4, 3)


def test_chunks():
    x = T(M)
    assert vmap(lambda c: (c.sum(), c), in_dims=1, out_dims=(0, 1), chunk_size=2)(x)[0].tolist() == [
        5.0,
        7.0,
        9.0,
    ]
    assert vmap(lambda c: (c.sum(), c), in_dims=1, out_dims=(0, 1), chunk_size=2)(x)[1].tolist() == M
    with pytest.raises(ValueError, match="vmap: chunk_size should be None or greater than 0"):
        vmap(lambda x: x, chunk_size=0)


def test_views_and_in_place_writes_under_vmap():
    x = T(M)

    def function(r):
        y = r * 1
        y[0] = 10.0
        y[1:].mul_(r[0])
        return y

    assert vmap(function)(x).tolist() == [[10.0, 2.0, 3.0], [10.0, 20.0, 24.0]]
    y = T(M)
    vmap(lambda r: r.add_(1))(y)
    assert y.tolist() == (x + 1).tolist()


def test_a_batched_value_is_not_written_into_an_unbatched_tensor():
    target = tensorgrad.zeros(3, dtype=F64)
    with pytest.raises(RuntimeError):
        vmap(lambda r: target.add_(r))(T(M))
    with pytest.raises(
        RuntimeError, match="vmap: .*is not possible because there exists a Tensor `other` in extra_args"
    ):
        vmap(lambda r: target.copy_(r))(T(M))
    assert target.tolist() == [0.0, 0.0, 0.0]


def test_randomness():
    x = T(M)
    with pytest.raises(RuntimeError, match="vmap: called random operation while in randomness error mode"):
        vmap(lambda r: r + tensorgrad.randn(3))(x)
    different = vmap(lambda r: tensorgrad.randn(3), randomness="different")(x)
    assert different.shape == (2, 3) and different[0].tolist() != different[1].tolist()
    same = vmap(lambda r: r * 0 + tensorgrad.randn(3), randomness="same")(x)
    assert same[0].tolist() == same[1].tolist()
    with pytest.raises(RuntimeError, match="Only allowed values for randomness are"):
        vmap(lambda r: r, randomness="some")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: vmap(lambda: 1)(), ValueError, "got no inputs"),
        (lambda x: vmap(lambda x: x, in_dims="x")(x), ValueError, "expected `in_dims` to be int or a"),
        (
            lambda x: vmap(lambda x: x, in_dims=(0, 0))(x),
            ValueError,
            "in_dims is not compatible with the structure",
        ),
        (lambda x: vmap(lambda x, y: x)(x, 3), ValueError, "We cannot vmap over non-Tensor arguments"),
        (
            lambda x: vmap(lambda x: x, in_dims=(None,))(x),
            ValueError,
            "vmap: Expected at least one Tensor to vmap over",
        ),
        (
            lambda x: vmap(lambda x: x, in_dims=5)(x),
            ValueError,
            "Got in_dim=5 for some input, but that input is a Tensor",
        ),
        (
            lambda x: vmap(lambda x: x, in_dims=(0.5,))(x),
            ValueError,
            "in_dim must be either an integer dimension or None",
        ),
        (
            lambda x: vmap(lambda x, y: x)(x, x.t()),
            ValueError,
            r"got sizes \[2, 3\] for the mapped dimension",
        ),
        (lambda x: vmap(lambda x: 3)(x), ValueError, "must only return Tensors, got type <class 'int'>"),
        (
            lambda x: vmap(lambda x: x, out_dims=(0, 0))(x),
            ValueError,
            "out_dims is not compatible with the structure",
        ),
        (
            lambda x: vmap(lambda x: x, out_dims=None)(x),
            ValueError,
            "can not return a BatchedTensor when out_dim is None",
        ),
        (lambda x: vmap(lambda x: x, out_dims=7)(x), IndexError, "Dimension out of range"),
        (lambda x: vmap(lambda x: x if x.sum() > 0 else -x)(x), RuntimeError, "data-dependent control flow"),
        (
            lambda x: vmap(lambda x: x.sum().item())(x),
            RuntimeError,
            r"vmap: It looks like you're calling .item\(\)",
        ),
    ],
)
def test_vmap_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(T(M))
    assert vmap(lambda r: r.sum())(T(M)).tolist() == [6.0, 15.0]


def test_a_tensor_that_escapes():
    kept = []
    vmap(lambda r: kept.append(r) or r)(T(M))
    with pytest.raises(RuntimeError, match="Either your tensor may have escaped from inside a function being vmapped"):
        kept[0] * 2
    with pytest.raises(RuntimeError, match="Either your tensor may have escaped from inside a function being vmapped"):
        kept[0].view(-1)


# grad and its kin ----------------------------------------------------------------------------------


def test_grad():
    x = T([1.0, 2.0])
    assert grad(lambda x: (x**3).sum())(x).tolist() == [3.0, 12.0]
    assert grad(lambda x, y: (x * y).sum(), argnums=1)(x, T([5.0, 6.0])).tolist() == [1.0, 2.0]
    gx, gy = grad(lambda x, y: (x * y).sum(), argnums=(0, -1))(x, T([5.0, 6.0]))
    assert gx.tolist() == [5.0, 6.0] and gy.tolist() == [1.0, 2.0]
    assert grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [x + 1]})["b"][0].tolist() == [1.0, 2.0]
    g, aux = grad(lambda x: (x.sum(), {"x": x * 2}), has_aux=True)(x)
    assert g.tolist() == [1.0, 1.0] and aux["x"].tolist() == [2.0, 4.0]
    g, value = grad_and_value(lambda x: (x * x).sum())(x)
    assert g.tolist() == [2.0, 4.0] and value.item() == 5.0
    assert grad(lambda x: T(3.0))(x).tolist() == [0.0, 0.0]
    assert not grad(lambda x: (x * x).sum())(x).requires_grad


def test_nested_grad():
    x = T(2.0)
    f = lambda x: x**4  # noqa: E731
    for expected in (32.0, 48.0, 48.0, 24.0):
        f = grad(f)
        assert f(x).item() == expected


def test_levels_are_not_confused():
    # The gradient of x -> x * d/dy (x + y) at y = x is 1, not 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(T(2.0)).item() == 1.0
    assert grad(lambda x: x * jvp(lambda y: x * y, (x,), (T(1.0),))[1])(T(3.0)).item() == 6.0


def test_grad_with_closures_and_ordinary_autograd():
    w = tensorgrad.tensor([3.0, 4.0], dtype=F64, requires_grad=True)
    g = grad(lambda x: (x * x * w).sum())(T([1.0, 2.0]))
    assert g.tolist() == [6.0, 16.0] and g.requires_grad
    g.sum().backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_modes_inside_and_outside():
    x = T([1.0, 2.0])
    with tensorgrad.no_grad():
        assert grad(lambda x: (x * x).sum())(x).tolist() == [2.0, 4.0]

    def inside(x):
        with tensorgrad.no_grad():
            c = x * x
        return (x - c).sum()

    assert grad(inside)(x).tolist() == [1.0, 1.0]
    assert grad(lambda x: (x.detach() * x).sum())(x).tolist() == [1.0, 2.0]


def test_in_place_writes_under_grad():
    def function(x):
        y = x * 1
        y.mul_(x)
        y[0] = x[1] * 5
        return y.sum()

    assert grad(function)(T([1.0, 2.0])).tolist() == [0.0, 9.0]
    assert vmap(grad(function))(T([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[0.0, 9.0], [0.0, 13.0]]
    assert grad(lambda x: vmap(function)(x).sum())(T([[1.0, 2.0], [3.0, 4.0]])).tolist() == [
        [0.0, 9.0],
        [0.0, 13.0],
    ]
    assert jvp(function, (T([1.0, 2.0]),), (T([1.0, 1.0]),))[1].item() == 9.0
    captured = tensorgrad.zeros(2, dtype=F64)
    with pytest.raises(
        RuntimeError, match="attempted to call in-place operation .* that would mutate a captured Tensor"
    ):
        grad(lambda x: captured.add_(x).sum())(T([1.0, 2.0]))
    assert captured.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: grad(lambda x: 3)(x),
            RuntimeError,
            r"Expected f\(\*args\) to return a Tensor, got <class 'int'>",
        ),
        (lambda x: grad(lambda x: x)(x), RuntimeError, "to return a scalar Tensor, got tensor with 1 dims"),
        (
            lambda x: grad(lambda x: x.sum(), has_aux=True)(x),
            RuntimeError,
            "output of function f should be a tuple",
        ),
        (
            lambda x: grad(lambda x: x.sum(), argnums=2)(x),
            RuntimeError,
            "Got argnum=2, but only 1 positional inputs",
        ),
        (
            lambda x: grad(lambda x, y: x.sum(), argnums=(0, 0))(x, x),
            RuntimeError,
            "argnums elements must be unique",
        ),
        (lambda x: grad(lambda x: x.sum(), argnums=())(x), RuntimeError, "argnums must be non-empty"),
        (
            lambda x: grad(lambda x: x.sum(), argnums="x")(x),
            RuntimeError,
            r"argnums must be int or Tuple\[int, ...\]",
        ),
        (
            lambda x: grad(lambda x: x)(3.0),
            ValueError,
            "Thing passed to transform API must be Tensor, got <class 'float'>",
        ),
        (
            lambda x: grad(lambda x: x.sum())(x.long()),
            RuntimeError,
            "only Tensors of floating point dtype can require",
        ),
        (
            lambda x: grad(lambda x: (x.sum().backward(), x.sum())[1])(x),
            RuntimeError,
            r"backward\(\) called inside a",
        ),
        (lambda x: jvp(lambda x: x, x, x), RuntimeError, "Expected primals to be a tuple"),
        (lambda x: jvp(lambda x: x, (x,), (x, x)), RuntimeError, "to have the same python structure"),
        (
            lambda x: jvp(lambda x: x, (x,), (x[:1],)),
            RuntimeError,
            "Trying to set a forward gradient that has a different",
        ),
        (
            lambda x: jvp(lambda x: 3, (x,), (x,)),
            RuntimeError,
            r"expected f\(\*primals\) to return only tensors",
        ),
        (
            lambda x: jvp(lambda x: T(1.0), (x,), (x,), strict=True),
            RuntimeError,
            "is independent of the inputs",
        ),
        (lambda x: vjp(lambda x: 3, x), RuntimeError, r"expected f\(\*primals\) to return only tensors"),
        (
            lambda x: vjp(lambda x: x, x)[1]((x, x)),
            RuntimeError,
            "Expected pytree structure of cotangents to be the same",
        ),
        (lambda x: vjp(lambda x: x, x)[1](x[:1]), RuntimeError, r"Mismatch in shape: grad_output\[0\]"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(T([1.0, 2.0]))
    assert tensorgrad.is_grad_enabled() and grad(lambda x: x * x)(T(3.0)).item() == 6.0


def test_vjp():
    x = T([1.0, 2.0])
    out, pull = vjp(lambda x, y: {"p": x * y, "s": (x + y).sum()}, x, T([3.0, 4.0]))
    assert out["p"].tolist() == [3.0, 8.0]
    gx, gy = pull({"p": T([1.0, 10.0]), "s": T(100.0)})
    assert gx.tolist() == [103.0, 140.0] and gy.tolist() == [101.0, 120.0]
    assert pull({"p": T([0.0, 0.0]), "s": T(1.0)})[0].tolist() == [1.0, 1.0]
    out, pull, aux = vjp(lambda x: (x.exp(), x), x, has_aux=True)
    assert aux.tolist() == [1.0, 2.0] and pull(T([1.0, 1.0]))[0].tolist() == out.tolist()


def test_vjp_is_differentiable_and_batchable():
    x = T([1.0, 2.0])
    assert grad(lambda x: vjp(lambda y: y**3, x)[1](T([1.0, 1.0]))[0].sum())(x).tolist() == [6.0, 12.0]
    _, pull = vjp(lambda y: y.exp() * y.sum(), x)
    rows = vmap(pull)(tensorgrad.eye(2, dtype=F64))[0]
    expected = jacfwd(lambda y: y.exp() * y.sum())(x)
    assert tensorgrad.allclose(rows, expected)


def test_jvp():
    x, t = T([1.0, 2.0]), T([1.0, 10.0])
    out, tangent = jvp(lambda x: x * x, (x,), (t,))
    assert out.tolist() == [1.0, 4.0] and tangent.tolist() == [2.0, 40.0]
    out, tangent = jvp(lambda a, d: {"s": (a * d["b"]).sum()}, (x, {"b": x}), (t, {"b": t}))
    assert tangent["s"].item() == 42.0
    assert jvp(lambda x: T([7.0]), (x,), (t,))[1].tolist() == [0.0]
    assert jvp(lambda x: (x * 2, x), (x,), (t,), has_aux=True)[2].tolist() == [1.0, 2.0]
    assert jvp(lambda x: x + tensorgrad.ones(3, 2, dtype=F64), (x,), (t,))[1].tolist() == [[1.0, 10.0]] * 3


def test_jvp_of_grad_and_grad_of_jvp():
    x, t = T([1.0, 2.0]), T([1.0, 10.0])
    f = lambda x: (x**3).sum() * x.sum()  # noqa: E731
    hvp = jvp(grad(f), (x,), (t,))[1]
    assert tensorgrad.allclose(hvp, grad(lambda x: jvp(f, (x,), (t,))[1])(x))
    assert tensorgrad.allclose(hvp, hessian(f)(x) @ t)
    assert jvp(lambda x: jvp(lambda x: x**3, (x,), (t,))[1], (x,), (t,))[1].tolist() == [6.0, 1200.0]


def test_jacobians():
    x = T([1.0, 2.0])
    for jac in (jacrev, jacfwd):
        assert jac(lambda x: x * x)(x).tolist() == [[2.0, 0.0], [0.0, 4.0]]
        by_x, by_y = jac(lambda x, y: x * y, argnums=(0, 1))(x, T([3.0, 4.0]))
        assert by_x.tolist() == [[3.0, 0.0], [0.0, 4.0]] and by_y.tolist() == [[1.0, 0.0], [0.0, 2.0]]
        out = jac(lambda x: {"a": x.sum(), "b": (x.view(2, 1) * x,)})(x)
        assert out["a"].tolist() == [1.0, 1.0] and out["b"][0].shape == (2, 2, 2)
        assert out["b"][0][0].tolist() == [[2.0, 0.0], [2.0, 1.0]]
        matrix, aux = jac(lambda x: (x * 2, x.sum()), has_aux=True)(x)
        assert matrix.tolist() == [[2.0, 0.0], [0.0, 2.0]] and aux.item() == 3.0
        assert jac(lambda d: d["a"] * 2)({"a": x})["a"].tolist() == [[2.0, 0.0], [0.0, 2.0]]
        assert jac(lambda x: x.sum())(T(M)).shape == (2, 3)
        assert jac(jac(lambda x: x**3))(x).shape == (2, 2, 2)
    assert jacrev(lambda x: x * x, chunk_size=1)(x).tolist() == [[2.0, 0.0], [0.0, 4.0]]


def test_hessians_agree():
    x = T([1.0, 2.0])
    f = lambda x: (x**2).sum() * x.prod().exp()  # noqa: E731
    expected = hessian(f)(x)
    for outer in (jacrev, jacfwd):
        for inner in (jacrev, jacfwd, grad):
            assert tensorgrad.allclose(outer(inner(f))(x), expected)
    (xx, xy), (yx, yy) = hessian(lambda x, y: (x * x * y).sum(), argnums=(0, 1))(x, x)
    assert xx.tolist() == [[2.0, 0.0], [0.0, 4.0]] and xy.tolist() == yx.tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert yy.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_per_sample_gradients():
    weight, bias = T([[1.0, 2.0, 3.0]]), T([0.5])
    xs, ys = T(M), T([[1.0], [2.0]])

    def loss(parameters, x, y):
        w, b = parameters
        return ((w @ x + b - y) ** 2).sum()

    gw, gb = vmap(grad(loss), in_dims=(None, 0, 0))((weight, bias), xs, ys)
    assert gw.shape == (2, 1, 3) and gb.shape == (2, 1)
    for i in range(2):
        one = grad(loss)((weight, bias), xs[i], ys[i])
        assert tensorgrad.allclose(gw[i], one[0]) and tensorgrad.allclose(gb[i], one[1])


def test_grad_under_vmap_under_grad():
    x = T([1.0, 2.0])
    assert vmap(grad(grad(lambda x: x**3)))(x).tolist() == [6.0, 12.0]
    assert grad(lambda x: vmap(grad(lambda y: y**3))(x).sum())(x).tolist() == [6.0, 12.0]
    assert vmap(lambda x: grad(lambda y: (vmap(lambda z: z * y)(x)).sum())(x[0]))(T(M)).tolist() == [
        6.0,
        15.0,
    ]


def test_linearize():
    x = T([1.0, 2.0])
    calls = []

    def function(x, y):
        calls.append(1)
        return {"a": x * y, "b": (x.exp().sum(),)}

    out, push = linearize(function, x, T([3.0, 4.0]))
    assert out["a"].tolist() == [3.0, 8.0]
    for t in (T([1.0, 0.0]), T([0.5, 2.0])):
        expected = jvp(function, (x, T([3.0, 4.0])), (t, t))[1]
        got = push(t, t)
        assert tensorgrad.allclose(got["a"], expected["a"]) and tensorgrad.allclose(got["b"][0], expected["b"][0])
    with pytest.raises(RuntimeError, match="tangent:0 with shape .* in flattened pytree doesn't match the shape"):
        push(T([1.0]), T([1.0, 1.0]))


def test_functional_call():
    nn = pytest.importorskip("tensorgrad_nn" if tensorgrad.__name__ == "tensorgrad" else "torch.nn")
    layer = nn.Linear(2, 1)
    own = layer.weight
    values = {"weight": tensorgrad.tensor([[1.0, 2.0]]), "bias": tensorgrad.tensor([10.0])}
    x = tensorgrad.tensor([3.0, 4.0])
    assert func.functional_call(layer, values, (x,)).tolist() == [21.0]
    assert layer.weight is own
    g = grad(lambda p: func.functional_call(layer, p, x).sum())(values)
    assert g["weight"].tolist() == [[3.0, 4.0]] and g["bias"].tolist() == [1.0]
    with pytest.raises(RuntimeError, match=r"Error\(s\) in loading state_dict|[Mm]issing key"):
        func.functional_call(layer, {"weight": values["weight"]}, x, strict=True)
