"""Checkpoints, saved values, hooks on several gradients, and the switches of the engine."""

import pytest

from .compare import both, for_each, raised

pytestmark = pytest.mark.parity


def importable(t):
    """torch.utils.checkpoint is a module that has to be imported."""
    import importlib

    return importlib.import_module(t.name + ".utils.checkpoint")


@for_each((True,), (False,))
def test_checkpoint(t, use_reentrant):
    x, calls = t.vec(0.5, 1.0), []

    def f(x):
        calls.append(t.is_grad_enabled())
        return (x.sin() * x).exp()

    out = importable(t).checkpoint(f, x, use_reentrant=use_reentrant)
    out.sum().backward()
    return out, x.grad, calls


@both
def test_checkpoint_sequential(t):
    x = t.vec(0.5, 1.0)
    out = importable(t).checkpoint_sequential([t.sin, t.exp, t.cos], 2, x, use_reentrant=False)
    out.sum().backward()
    return out, x.grad


@both
def test_checkpoint_of_a_function_that_changes(t):
    x, calls = t.vec(0.5, 1.0), []

    def f(x):
        calls.append(1)
        return x.sin().cos() if len(calls) == 1 else x.sin()

    out = importable(t).checkpoint(f, x, use_reentrant=False)
    return type(raised(out.sum().backward)).__name__


@both
def test_mutation_of_saved_tensors(t):
    x = t.vec(1.0, 2.0)
    with t.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.clone()
        out = (y * y).sum()
        y.zero_()
        out.backward()
    return x.grad, y


@both
def test_mutation_of_saved_tensors_is_refused_outside(t):
    x = t.vec(1.0, 2.0)
    y = x.clone()
    out = y.sin()
    out = out * y
    y.zero_()
    return raised(out.sum().backward).type


@for_each(("all",), ("any",))
def test_multi_grad_hook(t, mode):
    x, y, seen = t.vec(1.0), t.vec(2.0), []
    t.autograd.graph.register_multi_grad_hook((x, y), lambda grads: seen.append(grads), mode=mode)
    (x * y).backward()
    return len(seen), x.grad, y.grad


@both
def test_raw_saved(t):
    x = t.vec(1.0, 2.0)
    out = x.exp()
    raw, events = out.grad_fn._raw_saved_result, []
    raw.register_hooks(lambda v: events.append("pack") or v, lambda v: events.append("unpack") or v)
    out.sum().backward()
    return events, x.grad, raised(lambda: x.sin().grad_fn._raw_saved_self.register_hooks(1, 2)).type


@both
def test_multithreading(t):
    x = t.vec(1.0, 2.0)
    with t.autograd.set_multithreading_enabled(False):
        (x * x).sum().backward()
    return x.grad


@both
def test_profiler_table(t):
    x = t.mat()
    with t.autograd.profiler.profile() as profile:
        for _ in range(3):
            x.exp().sum().backward()
    table = profile.key_averages().table(row_limit=5)
    counts = {event.key.rpartition("::")[2]: event.count for event in profile.key_averages()}
    return "Self CPU time total" in table, "Self CPU" in table, counts.get("exp")
