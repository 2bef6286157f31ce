"""Hooks of tensors, leaves and nodes, and of what is saved."""

import pytest

import tensorgrad
from tensorgrad.autograd import graph


def leaf(values):
    return tensorgrad.tensor(values, requires_grad=True)


def test_a_tensor_hook_sees_the_whole_gradient_and_may_replace_it():
    x = leaf([1.0, 2.0])
    y = x * 2
    seen = []
    handle = y.register_hook(lambda g: (seen.append(g.tolist()), g * 10)[1])
    (y.sum() + (y * y).sum()).backward()
    assert seen == [[5.0, 9.0]]
    assert x.grad.tolist() == [100.0, 180.0]
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and len(seen) == 1


def test_hooks_of_a_leaf_run_in_order_once_per_backward():
    x = leaf([1.0, 2.0])
    order = []
    x.register_hook(lambda g: order.append(("first", g.tolist())))
    x.register_hook(lambda g: (order.append("second"), g + 1)[1])
    (x * 2 + x * 3).sum().backward()
    assert order == [("first", [5.0, 5.0]), "second"]
    assert x.grad.tolist() == [6.0, 6.0]


def test_hooks_run_for_grad_too():
    x = leaf([1.0])
    x.register_hook(lambda g: g * 2)
    y = x * 3
    y.register_hook(lambda g: g * 5)
    assert tensorgrad.autograd.grad(y.sum(), x)[0].tolist() == [30.0]
    y = x * 3
    y.register_hook(lambda g: g * 5)
    assert tensorgrad.autograd.grad(y.sum(), y)[0].tolist() == [5.0]


def test_hooks_that_change_the_shape_are_refused():
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match="has changed the size of value"):
        (x * 2).sum().backward()


def test_registering_on_a_tensor_without_grad():
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        tensorgrad.ones(1).register_hook(print)


def test_retain_grad():
    x = leaf([1.0, 2.0])
    y = x * 3
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad and not x.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [6.0, 12.0]
    assert x.grad.tolist() == [18.0, 36.0]
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
        tensorgrad.ones(1).retain_grad()


def test_a_retained_gradient_is_that_after_the_hooks():
    x = leaf([1.0])
    y = x * 3
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    y.sum().backward()
    assert y.grad.tolist() == [10.0]


def test_retain_grad_follows_an_in_place_write():
    x = leaf([1.0, 2.0])
    y = x * 1
    y.retain_grad()
    y.mul_(2)
    y.sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_hook_stays_with_the_value_it_was_registered_for():
    x = leaf([1.0, 2.0])
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.mul_(3)
    y.sum().backward()
    assert seen == [[3.0, 3.0]]


def test_reading_the_gradient_of_an_inner_tensor_warns():
    y = leaf([1.0]) * 2
    with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf Tensor is being accessed"):
        assert y.grad is None


def test_node_hooks():
    x = leaf([1.0, 2.0])
    y = x * 3
    seen = []

    def post(grad_inputs, grad_outputs):
        seen.append(("post", [g is not None and g.tolist() for g in grad_inputs], grad_outputs[0].tolist()))
        return (grad_inputs[0] * 2, *grad_inputs[1:])

    def pre(grad_outputs):
        seen.append(("pre", grad_outputs[0].tolist()))
        return (grad_outputs[0] * 10,)

    y.grad_fn.register_prehook(pre)
    handle = y.grad_fn.register_hook(post)
    y.sum().backward()
    assert seen[0] == ("pre", [1.0, 1.0])
    assert seen[1][1][0] == [30.0, 30.0] and seen[1][2] == [10.0, 10.0]
    assert x.grad.tolist() == [60.0, 60.0]
    handle.remove()


def test_post_accumulate_grad_hook():
    x = leaf([1.0, 2.0])
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    (x * 2).sum().backward()
    assert seen == [(True, [2.0, 2.0])]
    handle.remove()
    (x * 2).sum().backward()
    assert len(seen) == 1
    with pytest.raises(RuntimeError, match="post accumulate grad hooks cannot be registered on non-leaf tensors"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_an_optimizer_in_the_hook():
    x = leaf([1.0, 2.0])

    def step(p):
        with tensorgrad.no_grad():
            p.sub_(p.grad)
        p.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 3).sum().backward()
    assert x.tolist() == [-2.0, -1.0] and x.grad is None


def test_multi_grad_hook_all():
    a, b, c = leaf([1.0]), leaf([2.0]), leaf([3.0])
    seen = []
    handle = graph.register_multi_grad_hook([a, b, c], lambda gs: seen.append([g and g.item() for g in gs]))
    (a * b).sum().backward()
    assert seen == [[2.0, 1.0, None]]
    (a * b * c).sum().backward()
    assert seen[1] == [6.0, 3.0, 2.0]
    (a * b).sum().backward(inputs=[b])
    assert seen[2] == [None, 1.0, None]
    handle.remove()
    (a * b).sum().backward()
    assert len(seen) == 3


def test_multi_grad_hook_any():
    a, b = leaf([1.0]), leaf([2.0])
    seen = []
    handle = graph.register_multi_grad_hook([a, b], lambda g: seen.append(g.item()), mode="any")
    (a * b).sum().backward()
    assert len(seen) == 1
    (a * 3).sum().backward()
    assert len(seen) == 2 and seen[1] == 3.0
    handle.remove()
    with pytest.raises(ValueError, match="Expects mode to be one of"):
        graph.register_multi_grad_hook([a], print, mode="some")


def test_saved_tensors_hooks():
    x = leaf([1.0, 2.0])
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        return t.detach().clone()

    def unpack(t):
        unpacked.append(t.tolist())
        return t

    with graph.saved_tensors_hooks(pack, unpack):
        y = x * x
    z = x * x
    assert packed == [[1.0, 2.0]] * 2 and not unpacked
    with tensorgrad.no_grad():
        pass
    (y + z).sum().backward()
    assert unpacked == [[1.0, 2.0]] * 2
    assert x.grad.tolist() == [4.0, 8.0]


def test_hooks_on_a_saved_output():
    x = leaf([0.0, 1.0])
    with graph.saved_tensors_hooks(lambda t: t * 0 + 3, lambda t: t):
        y = x.exp()
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_bad_saved_tensors_hooks():
    x = leaf([1.0])
    with graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        y = x * x
    with pytest.raises(TypeError, match="Output of saved tensor unpack_hook expected to be a Tensor but got result of"):
        y.sum().backward()
    with (
        graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t),
        pytest.raises(RuntimeError, match="A saved tensor pack hook is modifying its input in place"),
    ):
        (x * 1).exp()


def test_disabling_saved_tensors_hooks():
    with (
        graph.disable_saved_tensors_hooks("not here"),
        pytest.raises(RuntimeError, match="not here"),
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
    ):
        pass
    with (
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
        pytest.raises(RuntimeError, match="nor here"),
        graph.disable_saved_tensors_hooks("nor here"),
    ):
        pass


def test_save_on_cpu():
    x = leaf([1.0, 2.0])
    a = x * 1
    with graph.save_on_cpu():
        y = a * a
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_increment_version():
    x = leaf([1.0])
    y = x * x
    graph.increment_version(x)
    assert x._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    graph.increment_version([x, x])
    assert x._version == 3
    with pytest.raises(RuntimeError, match="increment_version expect"):
        graph.increment_version(3)


def test_nodes_are_of_the_public_type():
    assert isinstance((leaf([1.0]) * 2).grad_fn, graph.Node)


def test_node_metadata_and_saved_values():
    x = leaf([1.0, 2.0])
    y = x.exp()
    y.grad_fn.metadata["mine"] = 1
    assert y.grad_fn.metadata == {"mine": 1}
    saved = y.grad_fn._saved_result
    assert saved.tolist() == y.tolist() and saved.grad_fn is y.grad_fn
    y.sum().backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.grad_fn._saved_result
