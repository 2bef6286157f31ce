"""autograd.Function: the whole contract."""

import pytest

from .compare import both, raised

pytestmark = pytest.mark.parity


def _function(t, forward, backward, **others):
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    members.update({name: staticmethod(f) for name, f in others.items()})
    return type("Mine", (t.autograd.Function,), members)


def _cube(t):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2

    return _function(t, forward, backward)


@both
def test_cube(t):
    x = t.vec(1.0, 2.0)
    y = _cube(t).apply(x)
    y.sum().backward()
    return x.grad, y.grad_fn.name(), type(y.grad_fn).__name__, y.requires_grad


@both
def test_double_backward(t):
    x = t.vec(1.0, 2.0)
    (g,) = t.autograd.grad(_cube(t).apply(x).sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


@both
def test_needs_input_grad(t):
    seen = []

    def forward(ctx, x, n, y):
        seen.append(ctx.needs_input_grad)
        return x * y

    def backward(ctx, g):
        seen.append(ctx.needs_input_grad)
        return g, None, None

    _function(t, forward, backward).apply(t.vec(1.0), 3, t.vec(2.0, requires_grad=False)).backward()
    return seen


@both
def test_too_few_gradients(t):
    f = _function(t, lambda ctx, x, y: x * y, lambda ctx, g: g)
    return raised(f.apply(t.vec(1.0), t.vec(2.0)).backward)


@both
def test_too_many_gradients(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: (g, g))
    return raised(f.apply(t.vec(1.0)).backward)


@both
def test_trailing_none_is_allowed(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: (g, None, None))
    x = t.vec(1.0)
    f.apply(x).backward()
    return x.grad


@both
def test_a_gradient_for_what_is_no_tensor(t):
    f = _function(t, lambda ctx, x, n: x * n, lambda ctx, g: (g, g))
    return raised(f.apply(t.vec(1.0), 3).backward)


@both
def test_a_gradient_of_the_wrong_shape(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: t.ones(5, dtype=t.float64))
    return raised(f.apply(t.vec(1.0, 2.0)).backward)


@both
def test_a_gradient_that_broadcasts(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: t.ones(3, 2, dtype=t.float64))
    x = t.vec(1.0, 2.0)
    f.apply(x).sum().backward()
    return x.grad


@both
def test_a_gradient_of_another_dtype(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: g.float())
    x = t.vec(1.0, 2.0)
    f.apply(x).sum().backward()
    return x.grad


@both
def test_a_gradient_that_is_no_tensor(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: 3.0)
    return raised(f.apply(t.vec(1.0)).backward)


@both
def test_none_as_a_gradient(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: None)
    x = t.vec(1.0)
    f.apply(x).backward()
    return x.grad


@both
def test_several_outputs(t):
    seen = []

    def backward(ctx, g1, g2):
        seen.append((g1.tolist(), g2.tolist()))
        return g1 * 2 + g2 * 3

    f = _function(t, lambda ctx, x: (x * 2, x * 3), backward)
    x = t.vec(1.0)
    a, b = f.apply(x)
    a.backward(retain_graph=True)
    b.backward()
    return seen, x.grad, a.grad_fn is b.grad_fn, b.output_nr


@both
def test_outputs_that_are_no_tensors(t):
    f = _function(t, lambda ctx, x: (x * 2, 5, None, "text"), lambda ctx, g, *rest: (len(rest), g * 2)[1])
    x = t.vec(1.0)
    a, n, none, text = f.apply(x)
    a.backward()
    return n, none, text, x.grad


@both
def test_materialized_gradients(t):
    seen = []

    def backward(ctx, a, b):
        seen.append([None if g is None else g.tolist() for g in (a, b)])
        return a

    def forward(ctx, x):
        return x * 2, x * 3

    def forward_without(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    x = t.vec(1.0)
    _function(t, forward, backward).apply(x)[0].backward()
    _function(t, forward_without, backward).apply(x)[0].backward()
    return seen


@both
def test_mark_dirty(t):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    f = _function(t, forward, lambda ctx, g: g * 2)
    x = t.vec(1.0)
    y = x * 1
    z = f.apply(y)
    z.backward()
    return z is y, y.grad_fn.name(), x.grad, y._version, raised(f.apply, x)


@both
def test_mark_dirty_of_what_is_not_returned(t):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.mul_(2)
        return x * 1

    f = _function(t, forward, lambda ctx, g: g * 2)
    return raised(f.apply, t.vec(1.0) * 1)


@both
def test_mark_non_differentiable(t):
    def forward(ctx, x):
        a, b = x * 2, x > 0
        c = x * 5
        ctx.mark_non_differentiable(b, c)
        return a, b, c

    f = _function(t, forward, lambda ctx, g, h, i: g * 2 + i)
    x = t.vec(1.0)
    a, b, c = f.apply(x)
    a.backward()
    return a.requires_grad, b.requires_grad, c.requires_grad, x.grad


@both
def test_integer_outputs(t):
    f = _function(t, lambda ctx, x: (x * 2, x.long()), lambda ctx, g, h: g * 2)
    a, b = f.apply(t.vec(1.0))
    return a.requires_grad, b.requires_grad


@both
def test_inputs_returned_as_they_are(t):
    f = _function(t, lambda ctx, x: x, lambda ctx, g: g * 7)
    x = t.vec(1.0)
    y = f.apply(x)
    y.backward()
    return y is x, y.grad_fn.name(), x.grad, y._is_view(), raised(y.add_, 1)


@both
def test_a_view_returned(t):
    f = _function(t, lambda ctx, x: x.view(3, 2), lambda ctx, g: g.view(2, 3) * 7)
    x = t.mat()
    y = f.apply(x * 1)
    y.sum().backward()
    return y._is_view(), x.grad, raised(y.mul_, 2)


@both
def test_two_views_returned(t):
    f = _function(t, lambda ctx, x: (x[0], x[1]), lambda ctx, a, b: t.stack([a, b]))
    a, _ = f.apply(t.mat() * 1)
    return a._is_view(), raised(a.mul_, 2)


@both
def test_saved_tensors_of_a_freed_graph(t):
    x = t.vec(1.0)
    y = _cube(t).apply(x)
    y.backward()
    return raised(y.backward), raised(lambda: y.grad_fn.saved_tensors)


@both
def test_saved_tensors_are_checked(t):
    x = t.vec(1.0) * 1
    y = _cube(t).apply(x)
    x.add_(1)
    return raised(y.backward)


@both
def test_save_for_backward_of_what_is_no_tensor(t):
    def forward(ctx, x):
        ctx.save_for_backward(x, 3)
        return x * 1

    return raised(_function(t, forward, lambda ctx, g: g).apply, t.vec(1.0))


@both
def test_save_for_backward_of_none(t):
    def forward(ctx, x):
        ctx.save_for_backward(x, None)
        return x * 1

    f = _function(t, forward, lambda ctx, g: g * (ctx.saved_tensors[1] is None))
    x = t.vec(1.0)
    f.apply(x).backward()
    return x.grad


@both
def test_saving_an_output_leaks_no_cycle(t):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    f = _function(t, forward, lambda ctx, g: g * ctx.saved_tensors[0])
    x = t.vec(1.0)
    y = f.apply(x)
    (g,) = t.autograd.grad(y, x, create_graph=True)
    same = y.grad_fn.saved_tensors[0].grad_fn is y.grad_fn
    return g, t.autograd.grad(g, x), same


@both
def test_attributes_of_ctx(t):
    def forward(ctx, x, n):
        ctx.n = n
        ctx.things = [1, 2]
        return x * n

    f = _function(t, forward, lambda ctx, g: (g * ctx.n, None))
    x = t.vec(1.0)
    y = f.apply(x, 5)
    y.backward()
    return x.grad, y.grad_fn.n, y.grad_fn.things, raised(lambda: y.grad_fn.other)


@both
def test_keyword_arguments(t):
    f = _function(t, lambda ctx, x, n=2: x * n, lambda ctx, g: g)
    return raised(f.apply, t.vec(1.0), n=3)


@both
def test_setup_context(t):
    def forward(x, y):
        return x * y

    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.output_is_tensor = output.requires_grad

    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y, g * x

    f = _function(t, forward, backward, setup_context=setup_context)
    x, y = t.vec(2.0), t.vec(3.0)
    z = f.apply(x, y)
    z.backward()
    return x.grad, y.grad, z.grad_fn.output_is_tensor


@both
def test_vjp_as_a_name(t):
    f = type(
        "Mine", (t.autograd.Function,), {"forward": staticmethod(lambda ctx, x: x * 2), "vjp": staticmethod(lambda ctx, g: g * 2)}
    )
    x = t.vec(1.0)
    f.apply(x).backward()
    return x.grad


@both
def test_both_backward_and_vjp(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: g, vjp=lambda ctx, g: g)
    return raised(lambda: f.apply(t.vec(1.0)).backward())


@both
def test_no_backward(t):
    f = type("Mine", (t.autograd.Function,), {"forward": staticmethod(lambda ctx, x: x * 2)})
    y = f.apply(t.vec(1.0))
    return y.requires_grad, raised(y.backward)


@both
def test_no_forward(t):
    f = type("Mine", (t.autograd.Function,), {})
    return raised(f.apply, t.vec(1.0))


@both
def test_a_forward_that_is_not_static(t):
    f = type("Mine", (t.autograd.Function,), {"forward": lambda self, ctx, x: x})
    return raised(f.apply, t.vec(1.0))


@both
def test_function_is_not_called(t):
    return raised(lambda: _cube(t)()(t.vec(1.0)))


@both
def test_once_differentiable(t):
    once = t.autograd.function.once_differentiable
    f = _function(t, lambda ctx, x: x * x, once(lambda ctx, g: g * 2))
    x = t.vec(1.0)
    (g,) = t.autograd.grad(f.apply(x), x, create_graph=True)
    return g.requires_grad, raised(g.backward)


@both
def test_jvp(t):
    def forward(ctx, x):
        ctx.save_for_forward(x)
        return x**2

    def jvp(ctx, tangent):
        (x,) = ctx.saved_tensors
        return 2 * x * tangent

    f = _function(t, forward, lambda ctx, g: g, jvp=jvp)
    with t.ad.dual_level():
        x = t.ad.make_dual(t.vec(3.0, requires_grad=False), t.vec(5.0, requires_grad=False))
        return t.ad.unpack_dual(f.apply(x))


@both
def test_no_jvp(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.vec(3.0, requires_grad=False), t.vec(5.0, requires_grad=False))
        return raised(_cube(t).apply, x)


@both
def test_jvp_of_the_wrong_shape(t):
    f = _function(t, lambda ctx, x: x * 2, lambda ctx, g: g, jvp=lambda ctx, v: t.ones(7, dtype=t.float64))
    with t.ad.dual_level():
        x = t.ad.make_dual(t.vec(3.0, requires_grad=False), t.vec(5.0, requires_grad=False))
        return raised(f.apply, x)


@both
def test_vmap_needs_a_rule(t):
    return raised(t.func.vmap(_cube(t).apply), t.mat(requires_grad=False))


def _with_setup(t, **others):
    f = _function(
        t,
        lambda x: x**3,
        lambda ctx, g: g * 3 * ctx.saved_tensors[0] ** 2,
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    for name, value in others.items():
        setattr(f, name, value)
    return f


@both
def test_generated_vmap_rule(t):
    f = _with_setup(t, generate_vmap_rule=True)
    return t.func.vmap(f.apply)(t.mat(requires_grad=False)), t.func.vmap(t.func.grad(lambda r: f.apply(r).sum()))(
        t.mat(requires_grad=False)
    )


@both
def test_vmap_static_method(t):
    seen = []

    def vmap(info, in_dims, x):
        seen.append((info.batch_size, info.randomness, in_dims))
        return x * 100, in_dims[0]

    f = _with_setup(t, vmap=staticmethod(vmap))
    return t.func.vmap(f.apply)(t.mat(requires_grad=False)), seen, t.func.vmap(f.apply, in_dims=1)(t.mat(requires_grad=False)), seen


@both
def test_vmap_and_generated_rule(t):
    f = _with_setup(t, generate_vmap_rule=True, vmap=staticmethod(lambda info, in_dims, x: (x, 0)))
    return raised(t.func.vmap(f.apply), t.mat(requires_grad=False))


@both
def test_func_grad_of_a_function(t):
    f = _with_setup(t)
    g = t.func.grad(lambda x: f.apply(x).sum())
    return g(t.vec(1.0, 2.0, requires_grad=False)), t.func.grad(lambda x: g(x).sum())(t.vec(1.0, 2.0, requires_grad=False))


@both
def test_func_grad_needs_setup_context(t):
    return raised(t.func.grad(lambda x: _cube(t).apply(x).sum()), t.vec(1.0, requires_grad=False))


@both
def test_backward_in_backward(t):
    def backward(ctx, g):
        with t.enable_grad():
            y = t.vec(3.0)
            (y * y).backward()
        return g * y.grad

    f = _function(t, lambda ctx, x: x * 1, backward)
    x = t.vec(1.0)
    f.apply(x).backward()
    return x.grad


@both
def test_grad_mode_inside(t):
    modes = []

    def forward(ctx, x):
        modes.append(t.is_grad_enabled())
        return x * 2

    def backward(ctx, g):
        modes.append(t.is_grad_enabled())
        return g

    f = _function(t, forward, backward)
    f.apply(t.vec(1.0)).backward()
    f.apply(t.vec(1.0)).backward(create_graph=True)
    return modes


@both
def test_under_no_grad(t):
    with t.no_grad():
        y = _cube(t).apply(t.vec(1.0))
    return y.requires_grad, y.grad_fn


@both
def test_an_exception_in_backward(t):
    def backward(ctx, g):
        raise ValueError("mine")

    return raised(_function(t, lambda ctx, x: x * 1, backward).apply(t.vec(1.0)).backward)


@both
def test_nested_containers_are_not_looked_into(t):
    f = _function(t, lambda ctx, xs: xs[0] * 2, lambda ctx, g: None)
    return f.apply([t.vec(1.0)]).requires_grad


@both
def test_no_input_requires_grad(t):
    y = _cube(t).apply(t.vec(1.0, requires_grad=False))
    return y.requires_grad, y.grad_fn
