"""no_grad, enable_grad, set_grad_enabled, inference_mode, anomaly mode, forward mode."""

import asyncio
import threading

import pytest

from .compare import both, raised, warned

pytestmark = pytest.mark.parity


@both
def test_no_grad_as_a_context(t):
    x = t.vec(1.0)
    with t.no_grad():
        y = x * 2
        inside = t.is_grad_enabled()
    return y.requires_grad, inside, t.is_grad_enabled()


@both
def test_modes_nest(t):
    seen = []
    with t.no_grad():
        seen.append(t.is_grad_enabled())
        with t.enable_grad():
            seen.append(t.is_grad_enabled())
            with t.set_grad_enabled(False):
                seen.append(t.is_grad_enabled())
            seen.append(t.is_grad_enabled())
        seen.append(t.is_grad_enabled())
    return seen


@both
def test_set_grad_enabled_as_a_call(t):
    t.set_grad_enabled(False)
    inside = t.is_grad_enabled()
    t.set_grad_enabled(True)
    return inside, t.is_grad_enabled()


@both
def test_no_grad_as_a_decorator(t):
    @t.no_grad()
    def f(x):
        "Says."
        return x * 2, t.is_grad_enabled()

    @t.no_grad
    def g(x):
        return t.is_grad_enabled()

    return f(t.vec(1.0))[1], f.__name__, f.__doc__, g(1)


@both
def test_set_grad_enabled_as_a_decorator(t):
    @t.set_grad_enabled(False)
    def f():
        return t.is_grad_enabled()

    return t.is_grad_enabled(), f(), t.is_grad_enabled()


@both
def test_decorated_generators(t):
    @t.no_grad()
    def numbers():
        got = yield t.is_grad_enabled()
        try:
            yield got, t.is_grad_enabled()
        except ValueError as error:
            yield str(error), t.is_grad_enabled()

    g = numbers()
    return [next(g), t.is_grad_enabled(), g.send(3), t.is_grad_enabled(), g.throw(ValueError("x")), t.is_grad_enabled(), list(g)]


@both
def test_a_generator_that_leaves_the_mode_alone(t):
    def numbers():
        with t.no_grad():
            yield t.is_grad_enabled()

    g = numbers()
    seen = [next(g), t.is_grad_enabled()]
    g.close()
    t.set_grad_enabled(True)
    return seen


@both
def test_decorated_coroutines(t):
    @t.enable_grad()
    async def f():
        return 3

    return asyncio.run(f())


@both
def test_decorated_classes(t):
    def decorate():
        @t.no_grad()
        class A:
            def __init__(self):
                self.mode = t.is_grad_enabled()

        return A().mode

    return warned(decorate)


@both
def test_modes_are_of_a_thread(t):
    seen = []
    with t.no_grad():
        thread = threading.Thread(target=lambda: seen.append(t.is_grad_enabled()))
        thread.start()
        thread.join()
    return seen


@both
def test_mode_after_an_exception(t):
    def run():
        with t.no_grad():
            raise ValueError

    raised(run)
    return t.is_grad_enabled()


@both
def test_set_grad_enabled_of_what_is_no_bool(t):
    return raised(t.set_grad_enabled, "yes"), raised(t.set_grad_enabled, None)


@both
def test_set_grad_enabled_clone(t):
    return t.set_grad_enabled(True).clone(), t.no_grad().clone()


@both
def test_requires_grad_under_no_grad(t):
    with t.no_grad():
        x = t.ones(2, requires_grad=True)
        y = t.ones(2).requires_grad_()
    return x.requires_grad, y.requires_grad, x.is_leaf


@both
def test_inference_tensors(t):
    with t.inference_mode():
        x = t.ones(3)
        y = x * 2
        inside = t.is_inference_mode_enabled(), t.is_grad_enabled()
    return inside, x.is_inference(), y.is_inference(), t.ones(1).is_inference(), t.is_inference_mode_enabled()


@both
def test_inference_tensors_have_no_version(t):
    with t.inference_mode():
        x = t.ones(3)
    return raised(lambda: x._version)


@both
def test_inference_tensors_cannot_be_saved(t):
    with t.inference_mode():
        x = t.ones(3)
    w = t.ones(3, requires_grad=True)
    return raised(lambda: x * w), raised(lambda: x + w), raised(lambda: w.exp() * x)


@both
def test_inference_tensors_cannot_require_grad(t):
    with t.inference_mode():
        x = t.ones(3)
    return raised(x.requires_grad_)


@both
def test_inference_tensors_cannot_be_written_outside(t):
    with t.inference_mode():
        x = t.ones(3)
        x.add_(1)
    return raised(x.add_, 1), x.clone().is_inference(), raised(x[0].add_, 1)


@both
def test_views_of_normal_tensors_in_inference_mode(t):
    x = t.ones(3)
    with t.inference_mode():
        view = x[:2]
        view.add_(1)
        inside = view.is_inference(), view._is_view()
    return inside, x, x._version


@both
def test_a_normal_leaf_in_inference_mode(t):
    x = t.vec(1.0, 2.0)
    with t.inference_mode():
        y = x * 2
        z = x[0]
        facts = y.requires_grad, y.is_inference(), z.requires_grad, z.is_inference()
    return facts, raised(z.add_, 1)


@both
def test_inference_mode_off(t):
    with t.inference_mode(), t.inference_mode(False):
        x = t.vec(1.0)
        y = x * 2
        return x.is_inference(), y.requires_grad, t.is_grad_enabled()


@both
def test_inference_mode_as_a_decorator(t):
    @t.inference_mode()
    def f():
        return t.ones(1)

    @t.inference_mode
    def g():
        return t.ones(1)

    @t.inference_mode(mode=False)
    def h():
        return t.ones(1)

    return f().is_inference(), g().is_inference(), h().is_inference()


@both
def test_inference_tensor_enters_a_graph_as_a_clone(t):
    with t.inference_mode():
        x = t.ones(2)
    w = t.ones(2, requires_grad=True)
    (x.clone() * w).sum().backward()
    return w.grad


@both
def test_saving_an_inference_tensor_by_function(t):
    class F(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(y)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g, None

    with t.inference_mode():
        y = t.ones(2)
    return raised(F.apply, t.ones(2, requires_grad=True), y)


@both
def test_anomaly_mode_finds_nan(t):
    x = t.vec(0.0)

    def run():
        with t.autograd.detect_anomaly():
            (x.sqrt() * 0).backward()

    return raised(run), warned(lambda: raised(run))


@both
def test_anomaly_mode_may_ignore_nan(t):
    x = t.vec(0.0)
    with t.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0).backward()
    return x.grad


@both
def test_set_detect_anomaly(t):
    seen = [t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled()]
    with t.autograd.set_detect_anomaly(True, check_nan=False):
        seen += [t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled()]
        with t.autograd.set_detect_anomaly(False):
            seen.append(t.is_anomaly_enabled())
    return [*seen, t.is_anomaly_enabled()]


@both
def test_anomaly_mode_of_a_function(t):
    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * float("nan")

    def run():
        with t.autograd.detect_anomaly():
            Bad.apply(t.vec(1.0)).backward()

    return raised(run)


@both
def test_anomaly_keeps_the_traceback(t):
    with t.autograd.detect_anomaly():
        y = t.vec(1.0) * 2
    return "traceback_" in y.grad_fn.metadata, isinstance(y.grad_fn.metadata["traceback_"], list)


@both
def test_dual_numbers(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.vec(2.0, 3.0, requires_grad=False), t.vec(1.0, 10.0, requires_grad=False))
        return t.ad.unpack_dual(x * x), t.ad.unpack_dual(x.exp().sum()), t.ad.unpack_dual(t.ones(1))


@both
def test_make_dual_without_a_level(t):
    return raised(t.ad.make_dual, t.ones(1), t.ones(1)), t.ad.unpack_dual(t.ones(1))


@both
def test_make_dual_checks(t):
    with t.ad.dual_level():
        return (
            raised(t.ad.make_dual, t.ones(2), t.ones(3)),
            raised(t.ad.make_dual, t.ones(2), t.ones(2, dtype=t.float64)),
            raised(t.ad.make_dual, t.ones(2, dtype=t.int64), t.ones(2)),
            raised(t.ad.make_dual, 3, t.ones(2)),
            raised(t.ad.make_dual, t.ad.make_dual(t.ones(2), t.ones(2)), t.ones(2)),
        )


@both
def test_a_dead_level(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.ones(2), t.ones(2))
    return t.ad.unpack_dual(x), x * 2


@both
def test_levels_nest(t):
    def run():
        with t.ad.dual_level(), t.ad.dual_level():
            pass

    return raised(run), raised(t.ad.exit_dual_level)


@both
def test_enter_and_exit(t):
    level = t.ad.enter_dual_level()
    x = t.ad.make_dual(t.ones(2), t.ones(2))
    tangent = t.ad.unpack_dual(x * 3).tangent
    t.ad.exit_dual_level()
    return level, tangent


@both
def test_forward_over_reverse(t):
    x, v = t.vec(1.0, 2.0), t.vec(3.0, 4.0, requires_grad=False)
    with t.ad.dual_level():
        dual = t.ad.make_dual(x, v)
        y = (dual**3).sum()
        (g,) = t.autograd.grad(y, dual, create_graph=True)
        return t.ad.unpack_dual(g)


@both
def test_reverse_over_forward(t):
    x, v = t.vec(1.0, 2.0), t.vec(3.0, 4.0)
    with t.ad.dual_level():
        tangent = t.ad.unpack_dual((t.ad.make_dual(x, v) ** 3).sum()).tangent
        return t.autograd.grad(tangent, [x, v])


@both
def test_tangents_of_views_and_in_place(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.mat(requires_grad=False), t.ones(2, 3, dtype=t.float64))
        y = x * 1
        y[0].mul_(5)
        y[1] = 7
        return t.ad.unpack_dual(y), t.ad.unpack_dual(y[0]), t.ad.unpack_dual(y.t())


@both
def test_in_place_of_a_tensor_without_a_tangent(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.ones(2), t.ones(2))
        y = t.zeros(2)
        y.add_(x)
        z = t.zeros(2, 2)
        z[0] = x
        return t.ad.unpack_dual(y), t.ad.unpack_dual(z)


@both
def test_tangent_and_detach(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.ones(2), t.ones(2))
        return t.ad.unpack_dual(x.detach()).tangent


@both
def test_no_grad_and_tangents(t):
    with t.ad.dual_level(), t.no_grad():
        x = t.ad.make_dual(t.ones(2), t.ones(2))
        return t.ad.unpack_dual(x * 2).tangent


@both
def test_dual_of_complex(t):
    with t.ad.dual_level():
        x = t.ad.make_dual(t.tensor([1 + 2j]), t.tensor([0 + 1j]))
        return t.ad.unpack_dual(x * x), t.ad.unpack_dual(x.abs()), t.ad.unpack_dual(x.conj()), t.ad.unpack_dual(x.real)


@both
def test_names_of_unpacked_dual(t):
    with t.ad.dual_level():
        unpacked = t.ad.unpack_dual(t.ad.make_dual(t.ones(1), t.ones(1)))
    return type(unpacked).__name__, unpacked._fields
