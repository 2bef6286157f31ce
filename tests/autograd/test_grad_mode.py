"""no_grad and its kin as contexts, functions and decorators."""

import asyncio
import threading

import pytest

import tensorgrad
from tensorgrad import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled


def test_contexts_nest():
    with no_grad():
        assert not is_grad_enabled()
        with enable_grad():
            assert is_grad_enabled()
            with set_grad_enabled(False):
                assert not is_grad_enabled()
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_an_exception_restores_the_mode():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_results_do_not_require_grad():
    x = tensorgrad.ones(2, requires_grad=True)
    with no_grad():
        y = x * 2
    assert not y.requires_grad and y.grad_fn is None
    with no_grad(), enable_grad():
        y = x * 2
    assert y.requires_grad
    with no_grad():
        assert tensorgrad.ones(2, requires_grad=True).requires_grad


def test_set_grad_enabled_as_a_function():
    try:
        set_grad_enabled(False)
        assert not is_grad_enabled()
    finally:
        set_grad_enabled(True)
    assert is_grad_enabled()
    with pytest.raises(TypeError, match="must be bool, not str"):
        set_grad_enabled("no")


def test_set_grad_enabled_as_a_decorator_takes_effect_in_the_calls_only():
    decorate = set_grad_enabled(False)
    function = decorate(is_grad_enabled)
    assert is_grad_enabled()
    assert not function()
    assert is_grad_enabled()


@pytest.mark.parametrize("decorator", [no_grad, no_grad(), set_grad_enabled], ids=["bare", "called", "set"])
def test_decorated_functions_and_methods(decorator):
    decorator = set_grad_enabled(False) if decorator is set_grad_enabled else decorator
    set_grad_enabled(True)

    @decorator
    def function(a, *, b):
        """Documented."""
        return a + b, is_grad_enabled()

    class Holder:
        @no_grad()
        def method(self):
            return self, is_grad_enabled()

    assert function(1, b=2) == (3, False)
    assert function.__name__ == "function" and function.__doc__ == "Documented."
    holder = Holder()
    assert holder.method() == (holder, False)
    assert is_grad_enabled()


def test_recursion_through_one_decorated_function():
    @no_grad()
    def down(n):
        return [is_grad_enabled(), *(down(n - 1) if n else [])]

    assert down(3) == [False] * 4
    assert is_grad_enabled()


def test_generators_hold_the_mode_only_while_they_run():
    seen = []

    @no_grad()
    def generator():
        seen.append(is_grad_enabled())
        try:
            got = yield 1
            seen.append((got, is_grad_enabled()))
            yield 2
        except ValueError:
            seen.append(("thrown", is_grad_enabled()))
            yield 3
        finally:
            seen.append(("closed", is_grad_enabled()))
        return 4

    g = generator()
    assert next(g) == 1 and is_grad_enabled()
    assert g.send("sent") == 2 and is_grad_enabled()
    assert g.throw(ValueError) == 3 and is_grad_enabled()
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == 4
    assert seen == [False, ("sent", False), ("thrown", False), ("closed", False)]
    g = generator()
    next(g)
    g.close()
    assert seen[-1] == ("closed", False) and is_grad_enabled()


def test_coroutines_hold_the_mode_only_while_they_run():
    seen = []

    @no_grad()
    async def inner(n):
        for _ in range(3):
            seen.append(is_grad_enabled())
            await asyncio.sleep(0)
        return n

    async def outer():
        async def other():
            for _ in range(3):
                seen.append(is_grad_enabled())
                await asyncio.sleep(0)

        return (await asyncio.gather(inner(7), other()))[0]

    assert asyncio.run(outer()) == 7
    assert seen == [False, True] * 3 and is_grad_enabled()


def test_async_generators():
    @no_grad()
    async def numbers():
        for i in range(3):
            assert not is_grad_enabled()
            await asyncio.sleep(0)
            yield i

    async def collect():
        found = []
        async for i in numbers():
            assert is_grad_enabled()
            found.append(i)
        return found

    assert asyncio.run(collect()) == [0, 1, 2]


def test_decorating_a_class_warns():
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):

        @no_grad()
        class Thing:
            def __init__(self):
                self.grad = is_grad_enabled()

    assert not Thing().grad


def test_one_object_may_be_entered_again():
    mode = no_grad()
    with mode:
        with mode:
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_the_mode_belongs_to_the_thread():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_share_a_decorated_function():
    barrier = threading.Barrier(2)
    seen = []

    @no_grad()
    def function():
        barrier.wait()
        seen.append(is_grad_enabled())
        barrier.wait()

    def run():
        function()
        seen.append(is_grad_enabled())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [False, False, True, True]


def test_inference_mode():
    x = tensorgrad.ones(2, requires_grad=True)
    with inference_mode():
        assert tensorgrad.is_inference_mode_enabled() and not is_grad_enabled()
        y = x * x
        with inference_mode(False):
            assert not tensorgrad.is_inference_mode_enabled() and is_grad_enabled()
            assert (x * x).requires_grad
    assert not tensorgrad.is_inference_mode_enabled() and is_grad_enabled()
    assert y.is_inference() and not y.requires_grad
    with pytest.raises(RuntimeError, match="Inference tensors do not track version counter"):
        y._version
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode is not allowed"):
        y.add_(1)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        x * y
    assert (x * y.clone()).requires_grad


def test_inference_mode_records_nothing_even_with_grad_enabled():
    with inference_mode(), enable_grad():
        assert is_grad_enabled()
        y = tensorgrad.ones(2, requires_grad=True) * 2
    assert not y.requires_grad and y.is_inference()


@pytest.mark.parametrize("decorator", [inference_mode, inference_mode(), inference_mode(True)])
def test_inference_mode_as_a_decorator(decorator):
    assert decorator(tensorgrad.is_inference_mode_enabled)()
    assert not tensorgrad.is_inference_mode_enabled()


def test_views_taken_in_inference_mode_of_ordinary_tensors_are_ordinary():
    b = tensorgrad.ones(4)
    with inference_mode():
        v = b.view(2, 2)
    assert not v.is_inference()
    v.mul_(2)
    assert b.tolist() == [2.0] * 4 and b._version == 1 and v._version == 1
