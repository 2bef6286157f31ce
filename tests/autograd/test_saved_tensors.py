"""What nodes save: hooks on one saved tensor, the history that unpacking gives back, writes that are allowed."""

import gc
import threading

import pytest

import tensorgrad
import tensorgrad_nn.functional as F
from tensorgrad import autograd
from tensorgrad._core.types import memory_stats
from tensorgrad.autograd import Function, forward_ad, grad, graph
from tensorgrad.func import vmap


def leaf(values=(1.0, 2.0), **options):
    return tensorgrad.tensor(values, requires_grad=True, **options)


class Scale(Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, None, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, _, w = ctx.saved_tensors
        return g * w, g * x


# One saved tensor ----------------------------------------------------------------------------------


def test_a_raw_saved_tensor_unpacks_to_the_tensor():
    x = leaf()
    y = x * 3
    z = y * x
    assert isinstance(z.grad_fn._raw_saved_self, graph.SavedTensor)
    assert z.grad_fn._raw_saved_self.unpack() is y
    assert z.grad_fn._raw_saved_other.unpack() is x
    with pytest.raises(AttributeError, match="'MulBackward0' object has no attribute '_raw_saved_nothing'"):
        z.grad_fn._raw_saved_nothing
    with pytest.raises(RuntimeError, match="Trying to create a SavedTensor object from Python is forbidden"):
        graph.SavedTensor()


def test_hooks_on_one_saved_tensor():
    x = leaf()
    y = x * x
    seen = []

    def pack(t):
        seen.append(("pack", t.tolist(), t.requires_grad, tensorgrad.is_grad_enabled()))
        return (t * 10).tolist()

    def unpack(values):
        seen.append("unpack")
        return tensorgrad.tensor(values)

    assert y.grad_fn._raw_saved_self.register_hooks(pack, unpack) is None
    assert seen == [("pack", [1.0, 2.0], False, False)]
    found = y.grad_fn._saved_self
    assert found.tolist() == [10.0, 20.0] and found.is_leaf and found.requires_grad
    y.sum().backward()
    assert seen[1:] == ["unpack", "unpack"]
    assert x.grad.tolist() == [11.0, 22.0]


def test_hooks_on_a_saved_result():
    x = leaf()
    y = x.exp()
    y.grad_fn._raw_saved_result.register_hooks(lambda t: t * 2, lambda t: t)
    assert y.grad_fn._saved_result.grad_fn is y.grad_fn
    y.sum().backward()
    assert x.grad.tolist() == (2 * x.detach().exp()).tolist()


def test_hooks_on_the_saved_tensors_of_a_function():
    x, w = leaf(), leaf([3.0, 4.0])
    y = Scale.apply(x, w)
    saved = y.grad_fn._raw_saved_tensors
    assert len(saved) == 3 and saved[1].unpack() is None
    saved[0].register_hooks(lambda t: t + 1, lambda t: t)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0] and w.grad.tolist() == [2.0, 3.0]
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.grad_fn._raw_saved_tensors


def hooks_twice():
    y = leaf() * leaf()
    y.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t)
    y.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t)


def hooks_under_default_hooks():
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = leaf() * leaf()
    y.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t)


def hooks_on_a_freed_tensor():
    y = leaf() * leaf()
    saved = y.grad_fn._raw_saved_self
    y.sum().backward()
    saved.register_hooks(lambda t: t, lambda t: t)


def unpack_of_a_freed_tensor():
    y = leaf() * leaf()
    saved = y.grad_fn._raw_saved_self
    y.sum().backward()
    saved.unpack()


def hooks_on_none():
    loss = F.binary_cross_entropy_with_logits(leaf(), tensorgrad.ones(2))
    loss.grad_fn._raw_saved_weight.register_hooks(lambda t: t, lambda t: t)


def hooks_that_write():
    y = (leaf() * 1) * leaf()
    y.grad_fn._raw_saved_self.register_hooks(lambda t: t.mul_(2), lambda t: t)


def hooks_that_are_none():
    (leaf() * leaf()).grad_fn._raw_saved_self.register_hooks(lambda t: t, None)


def hooks_on_a_written_tensor():
    a = leaf() * 1
    y = a * leaf()
    a.add_(1)
    y.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (hooks_twice, RuntimeError, "Calling register_hooks on a saved tensor whose hooks have already been set"),
        (hooks_under_default_hooks, RuntimeError, "whose hooks have already been set. Hint: only one pair of hooks"),
        (hooks_on_a_freed_tensor, RuntimeError, "Calling register_hooks on a saved tensor after it has been freed"),
        (unpack_of_a_freed_tensor, RuntimeError, "Trying to backward through the graph a second time"),
        (hooks_on_none, RuntimeError, "Calling register_hooks on a saved tensor with value None is forbidden"),
        (hooks_that_write, RuntimeError, "A saved tensor pack hook is modifying its input in place"),
        (hooks_that_are_none, TypeError, "register_hooks"),
        (hooks_on_a_written_tensor, RuntimeError, "modified by an inplace operation"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_dir_names_what_is_saved():
    assert {"_saved_self", "_saved_other", "_raw_saved_self"} <= set(dir((leaf() * leaf()).grad_fn))
    assert "_saved_result" in dir(leaf().exp().grad_fn)
    assert "_raw_saved_tensors" in dir(Scale.apply(leaf(), leaf()).grad_fn)


# The history of what is unpacked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [graph.save_on_cpu, lambda: graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t)]
)
def test_higher_derivatives_through_hooks(make):
    x = leaf([1.0, 2.0], dtype=tensorgrad.float64)
    with make():
        y = (x * x * x).exp()
    (g,) = grad(y.sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x, create_graph=True)
    v = x.detach()
    assert tensorgrad.allclose(g, 3 * v**2 * (v**3).exp())
    assert tensorgrad.allclose(h, (6 * v + 9 * v**4) * (v**3).exp())


def test_a_constant_stays_one_through_hooks():
    c = tensorgrad.tensor([3.0, 4.0])
    with graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):
        y = leaf() * c
    assert not y.grad_fn._saved_other.requires_grad


def test_tangents_go_through_hooks():
    x = leaf([0.5, 1.5], dtype=tensorgrad.float64)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tensorgrad.ones_like(x))
        with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            y = (dual * dual * dual).sum()
        (g,) = grad(y, dual)
        assert tensorgrad.allclose(forward_ad.unpack_dual(g).tangent, 6 * x)


def test_hooks_under_vmap():
    packed = []
    x = tensorgrad.ones(3, 2, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: (packed.append(1), t)[1], lambda t: t):
        y = vmap(lambda row: (row * row).sum())(x)
    y.sum().backward()
    assert packed and x.grad.tolist() == [[2.0, 2.0]] * 3


def test_packed_values_are_freed_with_the_graph():
    def work():
        x = tensorgrad.ones(1000, requires_grad=True)
        with graph.save_on_cpu():
            y = (x * 2).exp().sin()
        y.grad_fn._saved_self
        y.sum().backward()
        with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            (x * 2).exp()

    work()
    gc.collect()
    before, objects = memory_stats()["live"], len(gc.get_objects())
    for _ in range(20):
        work()
    gc.collect()
    assert memory_stats()["live"] == before
    assert len(gc.get_objects()) <= objects + 20


def test_a_long_chain_of_packed_values_dies_without_recursion():
    x = leaf()
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x
        for _ in range(100_000):
            y = y.sin()
    del y
    gc.collect()
    assert x.grad is None


# Writes to what is saved -----------------------------------------------------------------------------


def test_writes_are_allowed_in_the_block():
    x = leaf([2.0, 4.0])
    with graph.allow_mutation_on_saved_tensors() as context:
        b = x.clone()
        out = (b**2).sum()
        b.sin_()
        assert len(context.cloned) == 1
        (out + b.sum()).backward()
    assert tensorgrad.allclose(x.grad, 2 * x.detach() + x.detach().cos())


@pytest.mark.parametrize(
    "write",
    [
        lambda b: b[1:].mul_(7),  # a view, which begins elsewhere
        lambda b: b.__setitem__(0, 3.0),
        lambda b: b.detach().zero_(),
        lambda b: b.view(2, 1).copy_(tensorgrad.ones(2, 1)),
        lambda b: b.uniform_(),
        lambda b: b.mul_(2).add_(1).exp_(),
        lambda b: tensorgrad.add(tensorgrad.ones(2), 1, out=b.detach()),
        lambda b: b.clamp_(0, 1),
    ],
)
def test_writes_of_all_kinds(write):
    x = leaf([2.0, 4.0])
    with graph.allow_mutation_on_saved_tensors():
        b = x.clone()
        out = (b**2).sum()
        write(b)
        out.backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_a_result_that_is_saved_may_be_written():
    x = leaf()
    with graph.allow_mutation_on_saved_tensors():
        y = x.exp()
        z = y.sum()
        y.zero_()
        z.backward()
    assert x.grad.tolist() == x.detach().exp().tolist()


def test_versions_are_told_apart():
    x = leaf([2.0, 4.0])
    with graph.allow_mutation_on_saved_tensors() as context:
        b = x.clone()
        first = (b**2).sum()
        b.mul_(3)
        second = (b**2).sum()
        b.mul_(5)
        assert len(context.cloned) == 2
        (g1,) = grad(first, x, retain_graph=True)
        (g2,) = grad(second, x)
    assert g1.tolist() == [4.0, 8.0] and g2.tolist() == [36.0, 72.0]


def test_second_derivatives_after_a_write():
    x = leaf([2.0, 4.0])
    with graph.allow_mutation_on_saved_tensors():
        b = x.clone()
        out = (b * b * b).sum()
        b.zero_()
        (g,) = grad(out, x, create_graph=True)
        (h,) = grad(g.sum(), x)
    assert g.tolist() == [12.0, 48.0] and h.tolist() == [12.0, 24.0]


def test_nothing_is_cloned_that_is_not_written_or_is_used():
    x = leaf()
    with graph.allow_mutation_on_saved_tensors() as context:
        a = x.clone()
        out = (a**2).sum()
        tensorgrad.ones(2).add_(1)
        assert not context.cloned and len(context.original) == 1
        out.backward()
        assert not context.original
        a.sin_()
        assert not context.cloned


def test_the_block_and_the_graph_belong_together():
    x = leaf()
    with graph.allow_mutation_on_saved_tensors():
        out = (x.clone() ** 2).sum()
        with (
            pytest.raises(RuntimeError, match="allow_mutation_on_saved_tensors contexts cannot be nested"),
            graph.allow_mutation_on_saved_tensors(),
        ):
            pass
    with pytest.raises(AssertionError, match="Trying to backward outside of the 'allow_mutation_on_saved_tensors'"):
        out.backward()
    b = x.clone()
    out = (b**2).sum()
    b.sin_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_the_block_belongs_to_the_thread():
    errors = []

    def other():
        b = leaf().clone()
        out = (b**2).sum()
        b.sin_()
        try:
            out.backward()
        except RuntimeError as error:
            errors.append(str(error))

    with graph.allow_mutation_on_saved_tensors():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1 and "modified by an inplace operation" in errors[0]


# Smaller things ---------------------------------------------------------------------------------------


def test_multithreading_is_a_setting_of_the_thread():
    from tensorgrad.autograd.grad_mode import is_multithreading_enabled as enabled

    assert enabled()
    with autograd.set_multithreading_enabled(False):
        assert not enabled()
        with autograd.set_multithreading_enabled(True):
            assert enabled()
        x = leaf()
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0, 4.0]
    assert enabled()
    autograd.set_multithreading_enabled(False)
    assert not enabled()
    autograd.set_multithreading_enabled(True)

    @autograd.set_multithreading_enabled(False)
    def inside():
        return enabled()

    assert not inside() and enabled()
    with pytest.raises(TypeError, match="must be bool, not int"):
        autograd.set_multithreading_enabled(3)


def test_inference_tensors_have_no_version_to_increment():
    with tensorgrad.inference_mode():
        x = tensorgrad.ones(2)
    graph.increment_version(x)
    with pytest.raises(RuntimeError, match="increment_version expects each element of the iterable to be a tensor"):
        graph.increment_version([3])


def test_node_names_and_order():
    x = leaf()
    y = x * 2
    z = y.sin()
    assert (y.grad_fn.name(), z.grad_fn.name()) == ("MulBackward0", "SinBackward0")
    assert y.grad_fn._sequence_nr() < z.grad_fn._sequence_nr()
    assert z.grad_fn.next_functions == ((y.grad_fn, 0),)
    accumulate, number = y.grad_fn.next_functions[0]
    assert (accumulate.name(), number) == ("AccumulateGrad", 0)
    assert accumulate.variable is x and accumulate.next_functions == ()
