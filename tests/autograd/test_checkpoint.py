"""`tensorgrad.utils.checkpoint`: the same values and gradients, less memory, the same random numbers, clear errors."""

import gc
import threading
import warnings
from contextlib import contextmanager, nullcontext

import pytest

import tensorgrad
import tensorgrad_nn as nn
from tensorgrad._core.types import memory_stats
from tensorgrad.autograd import grad, gradcheck, gradgradcheck
from tensorgrad.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    detach_variable,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

both = pytest.mark.parametrize("reentrant", [False, True])


def leaf(values=(1.0, 2.0), **options):
    return tensorgrad.tensor(values, requires_grad=True, **options)


def region(x):
    return x.exp().sin()


def expected(function, x):
    x = x.detach().clone().requires_grad_()
    function(x).sum().backward()
    return x.grad.tolist()


class Counted:
    """A region that counts its calls and the operations of its second half."""

    def __init__(self):
        self.calls = self.ends = 0

    def __call__(self, x):
        self.calls += 1
        y = x.exp().sin()
        y = y + 1
        self.ends += 1
        return y


@both
def test_values_and_gradients_are_those_without(reentrant):
    x = leaf()
    y = checkpoint(region, x, use_reentrant=reentrant)
    assert y.tolist() == region(x.detach()).tolist()
    y.sum().backward()
    assert x.grad.tolist() == expected(region, x)


def test_the_graph_is_that_of_the_region_or_one_node():
    x = leaf()
    assert type(checkpoint(region, x, use_reentrant=False).grad_fn).__name__ == "SinBackward0"
    assert type(checkpoint(region, x, use_reentrant=True).grad_fn).__name__ == "CheckpointFunctionBackward"


@both
def test_the_region_runs_once_more_for_each_backward(reentrant):
    x, run = leaf(), Counted()
    y = checkpoint(run, x, use_reentrant=reentrant)
    assert run.calls == 1
    y.sum().backward(retain_graph=True)
    assert run.calls == 2
    y.sum().backward()
    assert run.calls == 3
    assert x.grad.tolist() == pytest.approx([2 * g for g in expected(region, x)])
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.sum().backward()


def test_early_stop():
    x, run = leaf(), Counted()
    checkpoint(run, x, use_reentrant=False).sum().backward()
    assert (run.calls, run.ends) == (2, 1)
    checkpoint(run, x, use_reentrant=False, early_stop=False).sum().backward()
    assert (run.calls, run.ends) == (4, 3)
    with set_checkpoint_early_stop(False):
        y = checkpoint(run, x, use_reentrant=False)
    y.sum().backward()
    assert (run.calls, run.ends) == (6, 5)
    with set_checkpoint_early_stop(True):
        y = checkpoint(run, x, use_reentrant=False, early_stop=False)
    y.sum().backward()
    assert (run.calls, run.ends) == (8, 6)


@both
def test_what_the_region_saves_is_not_kept(reentrant):
    x = tensorgrad.ones(256, 256, requires_grad=True)
    size = 4 * 256 * 256

    def deep(x):
        for _ in range(20):
            x = x.sin()
        return x

    gc.collect()  # what earlier tests left must not die meanwhile
    before = memory_stats()["live"]
    y = checkpoint(deep, x, use_reentrant=reentrant)
    assert memory_stats()["live"] - before <= size + 4096
    y.sum().backward()
    assert memory_stats()["live"] - before <= 2 * size + 4096
    del y
    x.grad = None
    assert memory_stats()["live"] == before


def test_what_is_computed_again_dies_with_its_use_though_the_graph_is_kept():
    x = tensorgrad.ones(100_000, requires_grad=True)

    def deep(x):
        for _ in range(20):
            x = x.sin()
        return x

    y = checkpoint(deep, x, use_reentrant=False)
    before = memory_stats()["live"]
    for _ in range(3):
        (g,) = grad(y.sum(), x, retain_graph=True)
        del g
        assert memory_stats()["live"] == before


def test_a_kept_graph_may_run_any_number_of_times():
    x = leaf()
    y = checkpoint(lambda x: region(checkpoint(region, x, use_reentrant=False)), x, use_reentrant=False)
    wanted = expected(lambda x: region(region(x)), x)
    for _ in range(200):
        assert grad(y.sum(), x, retain_graph=True)[0].tolist() == pytest.approx(wanted)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(200):
        grad(y.sum(), x, retain_graph=True)
    gc.collect()
    assert len(gc.get_objects()) <= before + 20


@both
def test_random_numbers_are_drawn_again(reentrant):
    def noisy(x):
        return (x * tensorgrad.rand(3)).sin()

    tensorgrad.manual_seed(0)
    x = leaf([1.0, 2.0, 3.0])
    y = checkpoint(noisy, x, use_reentrant=reentrant)
    after = tensorgrad.rand(2).tolist()
    y.sum().backward()
    between = tensorgrad.rand(2).tolist()
    tensorgrad.manual_seed(0)
    assert x.grad.tolist() == expected(noisy, x)
    assert (after, between) == (tensorgrad.rand(2).tolist(), tensorgrad.rand(2).tolist())


@both
def test_without_the_random_state_other_numbers_are_drawn(reentrant):
    drawn = []

    def noisy(x):
        drawn.append(tensorgrad.rand(3).tolist())
        return x.sin()

    checkpoint(noisy, leaf(), use_reentrant=reentrant, preserve_rng_state=False).sum().backward()
    checkpoint(noisy, leaf(), use_reentrant=reentrant).sum().backward()
    assert drawn[0] != drawn[1] and drawn[2] == drawn[3]


def test_keyword_arguments_and_structures():
    x, w = leaf(), leaf([3.0, 4.0])
    y = checkpoint(lambda d, *, w: {"y": (d["x"] * w).sin()}, {"x": x}, use_reentrant=False, w=w)["y"]
    y.sum().backward()
    assert x.grad.tolist() == expected(lambda x: (x * w.detach()).sin(), x)
    assert w.grad is not None


@both
def test_several_outputs_and_arguments_without_grad(reentrant):
    x, c = leaf(), tensorgrad.tensor([5.0, 6.0])

    def two(x, c, n):
        return (x * c).sin(), (x + n).exp(), c * 2

    a, b, other = checkpoint(two, x, c, 3, use_reentrant=reentrant)
    assert not other.requires_grad or reentrant
    (a * b).sum().backward()
    assert x.grad.tolist() == pytest.approx(expected(lambda x: two(x, c, 3)[0] * two(x, c, 3)[1], x))


def test_parameters_of_the_region_get_their_gradients():
    layer = nn.Linear(3, 2)
    x = tensorgrad.ones(4, 3, requires_grad=True)
    checkpoint(layer, x, use_reentrant=False).sin().sum().backward()
    found = layer.weight.grad.tolist()
    layer.zero_grad(set_to_none=True)
    layer(x).sin().sum().backward()
    assert found == layer.weight.grad.tolist()


def test_a_region_whose_arguments_need_no_gradient():
    layer = nn.Linear(3, 2)
    checkpoint(layer, tensorgrad.ones(4, 3), use_reentrant=False).sin().sum().backward()
    assert layer.weight.grad is not None
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True. Gradients will be None"):
        assert not checkpoint(layer, tensorgrad.ones(4, 3), use_reentrant=True).requires_grad


def test_derivatives_of_second_order():
    x = leaf([0.3, 0.7], dtype=tensorgrad.float64)

    def checkpointed(x):
        return checkpoint(region, x, use_reentrant=False)

    assert gradcheck(checkpointed, (x,))
    assert gradgradcheck(checkpointed, (x,))


def test_nested_checkpoints():
    x, inner, outer = leaf([0.3, 0.7]), Counted(), Counted()

    def nested(x):
        y = outer(x)
        y = checkpoint(inner, y, use_reentrant=False)
        return y.cos()

    y = checkpoint(nested, x, use_reentrant=False)
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx(expected(nested, x))
    assert inner.calls >= 3 and outer.calls >= 2


@pytest.mark.parametrize("depth", [2, 4])
def test_nesting_to_a_depth_in_little_memory(depth):
    x = tensorgrad.ones(256, 256, requires_grad=True)

    def level(n):
        if n == 0:
            return region
        return lambda x: checkpoint(level(n - 1), checkpoint(level(n - 1), x, use_reentrant=False), use_reentrant=False)

    def plain(n):
        return region if n == 0 else lambda x: plain(n - 1)(plain(n - 1)(x))

    before = memory_stats()["live"]
    y = level(depth)(x)
    # the two parts of the outermost level keep their arguments, one of which is x
    assert memory_stats()["live"] - before <= 2 * 4 * 256 * 256 + 4096
    y.sum().backward()
    assert x.grad[0, 0].item() == pytest.approx(expected(plain(depth), x)[0][0], rel=1e-5)


def test_backward_inside_the_region():
    def inside(x):
        z = x.sin().cos()
        (g,) = grad(z.sum(), x, retain_graph=True)
        return x.cos() * g + z

    x = leaf()
    for stop in (True, False):
        with set_checkpoint_early_stop(stop):
            y = checkpoint(inside, x, use_reentrant=False)
        x.grad = None
        y.sum().backward()
        assert x.grad.tolist() == pytest.approx(expected(inside, x))


def test_in_place_writes_inside_the_region():
    def writes(x):
        y = x * 2
        y[0] = 0
        y.exp_()
        return (y * x).tanh_().sin()

    x = leaf()
    checkpoint(writes, x, use_reentrant=False).sum().backward()
    assert x.grad.tolist() == pytest.approx(expected(writes, x))


def test_a_write_to_an_argument_is_noticed():
    a = leaf() * 1
    y = checkpoint(region, a, use_reentrant=False)
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation.*is at version 1; expected version 0"):
        y.sum().backward()


def test_only_a_part_of_the_gradients():
    x, w = leaf(), leaf([3.0, 4.0])
    y = checkpoint(lambda x, w: (x * w).sin(), x, w, use_reentrant=False)
    (g,) = grad(y.sum(), w)
    assert g.tolist() == expected(lambda w: (x.detach() * w).sin(), w)
    y = checkpoint(lambda x, w: (x * w).sin(), x, w, use_reentrant=True)
    with pytest.raises(RuntimeError, match=r"When use_reentrant=True, .* is incompatible with .grad\(\) or passing an"):
        grad(y.sum(), w)
    with pytest.raises(RuntimeError, match="is incompatible with .grad"):
        checkpoint(lambda x: x.sin(), x, use_reentrant=True).sum().backward(inputs=[x])
    checkpoint(lambda x: x.sin(), x, use_reentrant=True).sum().backward()  # the engine is as it was
    assert x.grad.tolist() == expected(lambda x: x.sin(), x)


def test_contexts():
    entered = []

    @contextmanager
    def note(name):
        entered.append(name)
        yield
        entered.append(f"end of {name}")

    x = leaf()
    y = checkpoint(region, x, use_reentrant=False, context_fn=lambda: (note("forward"), note("again")))
    assert entered == ["forward", "end of forward"]
    y.sum().backward()
    assert entered[2] == "again"

    class Suppress(nullcontext):
        def __exit__(self, *exc):
            return True

    def fails(x):
        raise ArithmeticError("no")

    with pytest.raises(RuntimeError, match="suppressed an exception raised during the checkpointed forward"):
        checkpoint(fails, x, use_reentrant=False, context_fn=lambda: (Suppress(), nullcontext()))


def test_without_recording_nothing_is_kept():
    x, run = leaf(), Counted()
    with tensorgrad.no_grad():
        assert checkpoint(run, x, use_reentrant=False).grad_fn is None
    assert run.calls == 1


def test_an_exception_in_the_region_passes():
    def fails(x):
        x.exp()
        raise ArithmeticError("no")

    for reentrant in (False, True):
        with pytest.raises(ArithmeticError, match="no"):
            checkpoint(fails, leaf(), use_reentrant=reentrant)
    y = leaf().exp()  # no hook is left behind
    assert y.grad_fn._saved_result.tolist() == y.tolist()


def changing(first, second):
    calls = []

    def function(x):
        calls.append(1)
        return first(x) if len(calls) == 1 else second(x)

    return function


@pytest.mark.parametrize(
    "second, options, message",
    [
        (lambda x: x.exp(), {}, r"A different number of tensors was saved(.|\n)*during forward: 2\n.*recomputation: 1"),
        (
            lambda x: x.exp().sin().cos(),
            {"early_stop": False},
            "trying to save more tensors during recomputation than during the original forward pass",
        ),
        (
            lambda x: x.repeat(2).exp().sin(),
            {},
            r"have different metadata.*\ntensor at position 0:\nsaved metadata: .'shape': tensorgrad.Size\(\[2\]\)",
        ),
        (lambda x: x.double().exp().sin(), {}, "recomputed metadata: .*float64"),
        (
            lambda x: x.exp(),
            {"debug": True},
            r"Where tensors were saved during recomputation:(.|\n)*test_checkpoint.py",
        ),
    ],
)
def test_a_region_that_differs(second, options, message):
    y = checkpoint(changing(region, second), leaf(), use_reentrant=False, **options)
    with pytest.raises(CheckpointError, match=message):
        y.sum().backward()


def test_debug_by_context_and_no_check():
    with set_checkpoint_debug_enabled(True):
        y = checkpoint(changing(region, lambda x: x.exp()), leaf(), use_reentrant=False)
    with pytest.raises(CheckpointError, match="Where tensors were saved"):
        y.sum().backward()
    x = leaf()
    y = checkpoint(changing(region, lambda x: x.double().exp().sin()), x, use_reentrant=False, determinism_check="none")
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx(expected(region, x))


def test_an_exception_in_the_repetition_can_be_tried_again():
    fails = [True]

    def sometimes(x):
        y = x.exp()
        if not fails[0]:
            fails[0] = True
            raise ArithmeticError("now")
        return y.sin()

    x = leaf()
    y = checkpoint(sometimes, x, use_reentrant=False)
    fails[0] = False
    with pytest.raises(ArithmeticError):
        y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert x.grad.tolist() == expected(region, x)


def test_a_saved_value_is_seen_outside_of_backward():
    x = leaf()
    node = checkpoint(region, x, use_reentrant=False).grad_fn
    assert node._saved_self.tolist() == node._saved_self.tolist() == x.exp().tolist()


def test_checkpoint_sequential():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    x = tensorgrad.ones(2, 3, requires_grad=True)
    model(x).sum().backward()
    wanted = [p.grad.tolist() for p in model.parameters()]
    for segments in (1, 2, 3, 5, 7):
        for reentrant in (False, True):
            model.zero_grad(set_to_none=True)
            y = checkpoint_sequential(model, segments, x, use_reentrant=reentrant)
            y.sum().backward()
            for p, g in zip(model.parameters(), wanted, strict=True):
                assert tensorgrad.allclose(p.grad, tensorgrad.tensor(g), rtol=1e-5, atol=1e-6)
    y = checkpoint_sequential([tensorgrad.exp, tensorgrad.sin], 2, leaf(), use_reentrant=False)
    assert y.tolist() == region(leaf()).tolist()


def test_threads():
    results = {}

    def work(n):
        x = leaf([float(n), 2.0])
        for _ in range(20):
            x.grad = None
            checkpoint(region, checkpoint(region, x, use_reentrant=False), use_reentrant=False).sum().backward()
        results[n] = (x.grad.tolist(), expected(lambda x: region(region(x)), x))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 3
    for found, wanted in results.values():
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: checkpoint(region, x, use_reentrant=True, w=3), ValueError, "Unexpected keyword arguments: w"),
        (
            lambda x: checkpoint(region, x, use_reentrant=True, debug=True),
            ValueError,
            "Passing `context_fn` or `debug` is only supported when use_reentrant=False",
        ),
        (
            lambda x: checkpoint(region, x, use_reentrant=False, determinism_check="all"),
            ValueError,
            r"determinism_check should be one of \['default', 'none'\], but got all",
        ),
        (
            lambda x: checkpoint(
                region, x, use_reentrant=False, debug=True, context_fn=lambda: (nullcontext(), nullcontext())
            ),
            ValueError,
            "debug=True is incompatible with non-default context_fn",
        ),
        (
            lambda x: checkpoint(lambda x: x.detach(), x, use_reentrant=True).sum().backward(),
            RuntimeError,
            "none of output has requires_grad=True, this checkpoint.. is not necessary",
        ),
        (lambda x: checkpoint_sequential([region], 1, x, use_reentrant=False, w=1), ValueError, "Unexpected keyword"),
        (lambda x: checkpoint_sequential([region], 0, x, use_reentrant=False), ZeroDivisionError, "division"),
        (lambda x: detach_variable([x]), RuntimeError, "Only tuple of tensors is supported.*list"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(leaf())


def test_use_reentrant_has_to_be_said():
    with pytest.warns(
        UserWarning, match="the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9"
    ):
        y = checkpoint(region, leaf())
    assert type(y.grad_fn).__name__ == "CheckpointFunctionBackward"
    with pytest.warns(UserWarning, match="checkpoint_sequential: the use_reentrant parameter should be passed"):
        checkpoint_sequential([region], 1, leaf())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(region, leaf(), use_reentrant=False)
