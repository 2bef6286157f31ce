"""func and autograd.functional: transforms, their nesting, their arguments, what they refuse; gradcheck."""

import pytest

from .compare import both, each, raised, warned

pytestmark = pytest.mark.parity


def M(t, rows=2, columns=3):
    return t.mat(rows, columns, requires_grad=False)


def V(t, *values):
    return t.vec(*values, requires_grad=False)


@both
def test_grad(t):
    f = lambda x: (x**3).sum()  # noqa: E731
    x = V(t, 1.0, 2.0)
    return t.func.grad(f)(x), t.func.grad(lambda x: t.func.grad(f)(x).sum())(x)


@both
def test_grad_argnums(t):
    f = lambda x, y: (x * y).sum()  # noqa: E731
    x, y = V(t, 1.0, 2.0), V(t, 3.0, 4.0)
    return (
        t.func.grad(f, argnums=1)(x, y),
        t.func.grad(f, argnums=(0, 1))(x, y),
        t.func.grad(f, argnums=-1)(x, y),
        raised(t.func.grad(f, argnums=5), x, y),
        raised(t.func.grad(f, argnums=(0, 0)), x, y),
        raised(t.func.grad(f, argnums="x"), x, y),
    )


@both
def test_grad_has_aux(t):
    f = lambda x: ((x**2).sum(), {"y": x * 2})  # noqa: E731
    return t.func.grad(f, has_aux=True)(V(t, 1.0)), raised(t.func.grad(lambda x: x.sum(), has_aux=True), V(t, 1.0))


@both
def test_grad_of_what_is_no_scalar(t):
    return raised(t.func.grad(lambda x: x), V(t, 1.0, 2.0)), raised(t.func.grad(lambda x: 3), V(t, 1.0))


@both
def test_grad_of_containers(t):
    f = lambda p: (p["w"] * p["b"][0]).sum()  # noqa: E731
    return t.func.grad(f)({"w": V(t, 1.0, 2.0), "b": [V(t, 3.0, 4.0)]})


@both
def test_grad_and_value(t):
    return t.func.grad_and_value(lambda x: (x**2).sum())(V(t, 1.0, 2.0)), t.func.grad_and_value(
        lambda x: ((x**2).sum(), x), has_aux=True
    )(V(t, 1.0, 2.0))


@both
def test_grad_of_a_constant(t):
    return t.func.grad(lambda x: t.ones((), dtype=t.float64))(V(t, 1.0, 2.0))


@both
def test_grad_and_no_grad(t):
    def f(x):
        with t.no_grad():
            c = x**2
        return (x * c).sum()

    inner = t.func.grad(f)(V(t, 2.0))
    with t.no_grad():
        outer = t.func.grad(lambda x: (x**2).sum())(V(t, 2.0))
    return inner, outer


@both
def test_grad_inside_autograd(t):
    x = t.vec(1.0, 2.0)
    g = t.func.grad(lambda x: (x**3).sum())(x)
    return g.requires_grad, t.autograd.grad(g.sum(), x)


@both
def test_vjp(t):
    out, pull = t.func.vjp(lambda x, y: (x * y, x + y), V(t, 1.0, 2.0), V(t, 3.0, 4.0))
    return out, pull((V(t, 1.0, 1.0), V(t, 2.0, 2.0)))


@both
def test_vjp_checks(t):
    _, pull = t.func.vjp(lambda x: x * 2, V(t, 1.0, 2.0))
    return raised(pull, V(t, 1.0)), raised(pull, (V(t, 1.0, 1.0), V(t, 1.0, 1.0))), raised(t.func.vjp, lambda x: 3, V(t, 1.0))


@both
def test_vjp_has_aux(t):
    out, pull, aux = t.func.vjp(lambda x: (x * 2, x + 1), V(t, 1.0), has_aux=True)
    return out, pull(V(t, 1.0)), aux


@both
def test_jvp(t):
    return t.func.jvp(lambda x, y: x * y, (V(t, 1.0, 2.0), V(t, 3.0, 4.0)), (V(t, 1.0, 0.0), V(t, 0.0, 1.0)))


@each(5)
def test_jvp_checks(t):
    f = lambda x: x * 2  # noqa: E731
    return (
        raised(t.func.jvp, f, V(t, 1.0), V(t, 1.0)),
        raised(t.func.jvp, f, (V(t, 1.0),), (V(t, 1.0), V(t, 1.0))),
        raised(t.func.jvp, f, (), ()),
        raised(t.func.jvp, f, (V(t, 1.0),), (V(t, 1.0, 2.0),)),
        raised(t.func.jvp, lambda x: 3, (V(t, 1.0),), (V(t, 1.0),)),
    )


@both
def test_jacobians(t):
    f = lambda x: t.stack([x.prod(), (x**2).sum(), x[0] * x[1]])  # noqa: E731
    x = V(t, 1.0, 2.0, 3.0)
    return t.func.jacrev(f)(x), t.func.jacfwd(f)(x), t.func.jacrev(f, chunk_size=1)(x), t.func.jacrev(f, chunk_size=2)(x)


@both
def test_jacobians_of_several(t):
    f = lambda x, y: (x * y.sum(), y * x.sum())  # noqa: E731
    x, y = V(t, 1.0, 2.0), V(t, 3.0, 4.0, 5.0)
    return t.func.jacrev(f, argnums=(0, 1))(x, y), t.func.jacfwd(f, argnums=(0, 1))(x, y), t.func.jacfwd(f, argnums=1)(x, y)


@both
def test_jacobians_has_aux(t):
    f = lambda x: (x**2, x + 1)  # noqa: E731
    return t.func.jacrev(f, has_aux=True)(V(t, 1.0, 2.0)), t.func.jacfwd(f, has_aux=True)(V(t, 1.0, 2.0))


@both
def test_jacrev_checks(t):
    return raised(t.func.jacrev(lambda x: x, argnums=3), V(t, 1.0)), raised(t.func.jacrev, lambda x: x, chunk_size=0)


@both
def test_hessian(t):
    return t.func.hessian(lambda x: (x**3).sum() + x.prod())(V(t, 1.0, 2.0, 3.0))


@both
def test_nested_jacobians(t):
    f = lambda x: (x**4).sum()  # noqa: E731
    x = V(t, 1.0, 2.0)
    return [a(b(f))(x) for a in (t.func.jacfwd, t.func.jacrev) for b in (t.func.jacfwd, t.func.jacrev)]


@both
def test_linearize(t):
    out, push = t.func.linearize(lambda x: x**2, V(t, 1.0, 2.0))
    return out, push(V(t, 1.0, 1.0)), push(V(t, 0.0, 3.0))


@both
def test_functional_call(t):
    module = t.nn.Linear(2, 1).double()
    params = {"weight": t.ones(1, 2, dtype=t.float64), "bias": t.zeros(1, dtype=t.float64)}
    return (
        t.func.functional_call(module, params, (V(t, 1.0, 2.0),)),
        raised(t.func.functional_call, module, {"other": t.ones(1)}, (V(t, 1.0, 2.0),)),
        t.func.grad(lambda p: t.func.functional_call(module, p, (V(t, 1.0, 2.0),)).sum())(params),
    )


@both
def test_stack_module_state(t):
    modules = [t.nn.Linear(2, 1).double() for _ in range(3)]
    params, buffers = t.func.stack_module_state(modules)
    return list(params), [tuple(p.shape) for p in params.values()], buffers


@both
def test_vmap(t):
    return t.func.vmap(lambda r: r.sum())(M(t)), t.func.vmap(t.dot)(M(t), M(t))


@both
def test_vmap_in_dims(t):
    f = lambda a, b: a * b.sum()  # noqa: E731
    return (
        t.func.vmap(f, in_dims=(0, None))(M(t), M(t)),
        t.func.vmap(f, in_dims=(1, -1))(M(t), M(t)),
        t.func.vmap(f, in_dims=1)(M(t), M(t)),
        t.func.vmap(lambda d: d["a"] + d["b"], in_dims=({"a": 0, "b": None},))({"a": V(t, 1.0, 2.0), "b": V(t, 5.0)}),
    )


@each(14)
def test_vmap_checks(t):
    f = lambda *xs: xs[0]  # noqa: E731
    return (
        raised(t.func.vmap(f, in_dims=(0, 0)), M(t)),
        raised(t.func.vmap(f, in_dims=(None,)), M(t)),
        raised(t.func.vmap(f), M(t), V(t, 1.0, 2.0, 3.0)),
        raised(t.func.vmap(f, in_dims=2), M(t)),
        raised(t.func.vmap(f, in_dims=0.5), M(t)),
        raised(t.func.vmap(f), 3.0),
        raised(t.func.vmap(f)),
        raised(t.func.vmap(f), t.ones(())),
        raised(t.func.vmap(lambda x: 3), M(t)),
        raised(t.func.vmap(lambda x: x, out_dims=7), M(t)),
        raised(t.func.vmap(lambda x: x, out_dims=(0, 0)), M(t)),
        raised(t.func.vmap(lambda x: x, out_dims="a"), M(t)),
        raised(t.func.vmap(lambda x: x.item()), V(t, 1.0, 2.0)),
        raised(t.func.vmap(lambda x: x if x.sum() > 0 else -x), M(t)),
    )


@both
def test_vmap_out_dims(t):
    return (
        t.func.vmap(lambda r: r * 2, out_dims=1)(M(t)),
        t.func.vmap(lambda r: (r, r.sum()), out_dims=(1, 0))(M(t)),
        t.func.vmap(lambda r: r, out_dims=-1)(M(t)),
        t.func.vmap(lambda r: {"a": r}, out_dims=1)(M(t)),
    )


@both
def test_vmap_nests(t):
    outer = t.func.vmap(lambda a: t.func.vmap(lambda b: a * b)(V(t, 1.0, 2.0, 3.0)))
    return outer(V(t, 1.0, 10.0)), t.func.vmap(t.func.vmap(lambda r: r.sum(), in_dims=1))(t.ones(2, 3, 4))


@both
def test_vmap_of_grad(t):
    g = t.func.grad(lambda w, x: (w * x).sum() ** 2)
    return t.func.vmap(g, in_dims=(None, 0))(V(t, 1.0, 2.0, 3.0), M(t)), t.func.grad(
        lambda w: t.func.vmap(lambda x: (w * x).sum() ** 2)(M(t)).sum()
    )(V(t, 1.0, 2.0, 3.0))


@both
def test_vmap_chunk_size(t):
    x = t.mat(5, 3, requires_grad=False)
    return (
        [t.func.vmap(lambda r: r.sum(), chunk_size=n)(x) for n in (1, 2, 5, 9, None)],
        raised(t.func.vmap, lambda r: r, chunk_size=0),
        raised(t.func.vmap, lambda r: r, chunk_size=-1),
    )


@each(8)
def test_vmap_randomness(t):
    def draws(mode):
        return t.func.vmap(lambda r: t.rand(3), randomness=mode)(M(t))

    t.manual_seed(0)
    same, different = draws("same"), draws("different")
    return (
        raised(draws, "error"),
        tuple(same.shape),
        bool((same[0] == same[1]).all()),
        tuple(different.shape),
        bool((different[0] == different[1]).all()),
        raised(draws, "other"),
        raised(t.func.vmap(lambda r: r.bernoulli()), t.rand(2, 3)),
        raised(t.func.vmap(lambda r: t.nn.functional.dropout(r)), M(t)),
    )


@both
def test_vmap_writes(t):
    def write(x):
        y = t.zeros(3, dtype=t.float64)
        y.add_(x)
        return y

    def write_own(x):
        y = x.clone()
        y[0] = 7
        return y.mul_(2)

    return raised(t.func.vmap(write), M(t)), t.func.vmap(write_own)(M(t))


@both
def test_vmap_of_control_by_shape(t):
    return t.func.vmap(lambda r: r.reshape(-1, 1) @ r.reshape(1, -1) if r.ndim == 1 else r)(M(t))


@both
def test_vmap_of_indexing(t):
    return (
        t.func.vmap(lambda r: r[t.tensor([0, 2])])(M(t)),
        t.func.vmap(lambda r, i: r[i])(M(t), t.tensor([0, 2])),
        t.func.vmap(lambda r: r[..., None])(M(t)),
        t.func.vmap(lambda r: r[::2])(M(t)),
    )


@both
def test_vmap_per_sample_gradients(t):
    model = t.nn.Linear(3, 1).double()
    for p in model.parameters():
        p.data.fill_(0.5)
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss(p, x, y):
        return ((t.func.functional_call(model, p, (x,)) - y) ** 2).sum()

    return t.func.vmap(t.func.grad(loss), in_dims=(None, 0, 0))(params, M(t), V(t, 1.0, 2.0))


@each(6)
def test_functional_jacobian(t):
    F = t.autograd.functional
    f = lambda x, y: (x * y.sum(), x.exp())  # noqa: E731
    x, y = V(t, 1.0, 2.0), V(t, 3.0, 4.0, 5.0)
    return (
        F.jacobian(f, (x, y)),
        F.jacobian(f, (x, y), vectorize=True),
        F.jacobian(f, (x, y), strategy="forward-mode", vectorize=True),
        raised(F.jacobian, f, (x, y), strategy="forward-mode"),
        raised(F.jacobian, f, (x, y), strategy="other"),
        raised(F.jacobian, lambda x: 3, x),
    )


@each(5)
def test_functional_jacobian_strict(t):
    F = t.autograd.functional
    constant = lambda x: t.ones(2, dtype=t.float64)  # noqa: E731
    return (
        F.jacobian(constant, V(t, 1.0, 2.0)),
        raised(F.jacobian, constant, V(t, 1.0, 2.0), strict=True),
        raised(F.jacobian, lambda x, y: x * 2, (V(t, 1.0), V(t, 2.0)), strict=True),
        raised(F.jacobian, lambda x: x * 2, V(t, 1.0), strict=True, vectorize=True),
        raised(F.jacobian, lambda x: x * 2, V(t, 1.0), strict=True, create_graph=True),
    )


@both
def test_functional_create_graph(t):
    x = t.vec(1.0, 2.0)
    j = t.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
    return j.requires_grad, t.autograd.grad(j.sum(), x), t.autograd.functional.jacobian(lambda x: x**3, x).requires_grad


@both
def test_functional_hessian(t):
    F = t.autograd.functional
    f = lambda x, y: (x**3 * y).sum()  # noqa: E731
    x, y = V(t, 1.0, 2.0), V(t, 3.0, 4.0)
    return (
        F.hessian(f, (x, y)),
        F.hessian(f, (x, y), vectorize=True),
        F.hessian(f, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode"),
        raised(F.hessian, lambda x: x, x),
    )


@both
def test_functional_products(t):
    F = t.autograd.functional
    f = lambda x: (x**3).sum()  # noqa: E731
    g = lambda x: x**3  # noqa: E731
    x, v = V(t, 1.0, 2.0), V(t, 3.0, 4.0)
    return F.vjp(g, x, v), F.jvp(g, x, v), F.hvp(f, x, v), F.vhp(f, x, v), F.vjp(f, x)


@each(6)
def test_functional_products_check(t):
    F = t.autograd.functional
    g = lambda x: x**3  # noqa: E731
    x = V(t, 1.0, 2.0)
    return (
        raised(F.vjp, g, x),
        raised(F.jvp, g, x),
        raised(F.vjp, g, x, V(t, 1.0)),
        raised(F.hvp, g, x, x),
        raised(F.jvp, g, x, "v"),
        raised(F.vjp, g, 3),
    )


@each(5)
def test_gradcheck(t):
    return (
        t.autograd.gradcheck(lambda x: x**2, t.vec(1.0, 2.0)),
        t.autograd.gradgradcheck(lambda x: x**3, t.vec(1.0, 2.0)),
        t.autograd.gradcheck(lambda x: x**2, t.vec(1.0, 2.0), check_forward_ad=True, check_batched_grad=True),
        t.autograd.gradcheck(lambda x: x**2, t.vec(1.0, 2.0), fast_mode=True),
        t.autograd.gradcheck(lambda x: x * x, t.tensor([1 + 2j], dtype=t.complex128, requires_grad=True)),
    )


def _wrong(t):
    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    return Wrong.apply


@both
def test_gradcheck_finds_errors(t):
    return (
        raised(t.autograd.gradcheck, _wrong(t), t.vec(1.0, 2.0)),
        t.autograd.gradcheck(_wrong(t), t.vec(1.0, 2.0), raise_exception=False),
        raised(t.autograd.gradcheck, _wrong(t), t.vec(1.0, 2.0), fast_mode=True),
    )


@both
def test_gradcheck_refuses(t):
    return (
        raised(t.autograd.gradcheck, lambda x: x, V(t, 1.0)),
        raised(t.autograd.gradcheck, lambda x: x.detach(), t.vec(1.0)),
        warned(lambda: t.autograd.gradcheck(lambda x: x * 2, t.vec(1.0, dtype="float32"), raise_exception=False)),
        raised(t.autograd.gradcheck, lambda x: 3, t.vec(1.0)),
    )


@both
def test_gradcheck_of_integers_and_nothing(t):
    return (
        t.autograd.gradcheck(lambda x, n: x * n, (t.vec(1.0), 3)),
        t.autograd.gradcheck(lambda x: (x * 2, x.long()), t.vec(1.0)),
        t.autograd.gradcheck(lambda x: x.expand(3, 2), t.vec(1.0, 2.0)),
    )


@both
def test_gradcheck_finds_nondeterminism(t):
    state = []

    class Drifts(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            state.append(1)
            return g * (2 + 1e-8 * len(state))

    return raised(t.autograd.gradcheck, Drifts.apply, t.vec(1.0)), t.autograd.gradcheck(Drifts.apply, t.vec(1.0), nondet_tol=1e-3)
