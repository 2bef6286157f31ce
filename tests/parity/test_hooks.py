"""Hooks on tensors, nodes, saved tensors: what they see, in which order, what they may return."""

import pytest

from .compare import both, raised

pytestmark = pytest.mark.parity


@both
def test_hook_sees_the_gradient(t):
    x, seen = t.vec(1.0, 2.0), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * x).sum().backward()
    return seen, x.grad


@both
def test_hook_replaces_the_gradient(t):
    x = t.vec(1.0, 2.0)
    x.register_hook(lambda g: g * 10)
    (x * x).sum().backward()
    return x.grad


@both
def test_hooks_run_in_order_of_registration(t):
    x, order = t.vec(1.0), []
    for number in range(3):
        x.register_hook(lambda g, n=number: order.append((n, g.item())))
    x.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: order.append(("after", g.item())))
    (x * 3).backward()
    return order, x.grad


@both
def test_handle_removes(t):
    x, seen = t.vec(1.0), []
    handle = x.register_hook(lambda g: seen.append(1))
    handle.remove()
    handle.remove()
    (x * 3).backward()
    return seen


@both
def test_handle_is_a_context_manager(t):
    x, seen = t.vec(1.0), []
    with x.register_hook(lambda g: seen.append(1)):
        (x * 3).backward()
    (x * 3).backward()
    return seen


@both
def test_hook_on_a_tensor_without_grad(t):
    return raised(t.ones(1).register_hook, print)


@both
def test_hook_of_the_wrong_shape(t):
    x = t.vec(1.0, 2.0)
    x.register_hook(lambda g: t.ones(3, dtype=t.float64))
    return raised((x * 2).sum().backward)


@both
def test_hook_of_the_wrong_dtype(t):
    x = t.vec(1.0, 2.0)
    x.register_hook(lambda g: g.float())
    return raised((x * 2).sum().backward)


@both
def test_hook_returns_no_tensor(t):
    x = t.vec(1.0, 2.0)
    x.register_hook(lambda g: 3)
    return raised((x * 2).sum().backward)


@both
def test_order_of_hooks_along_a_chain(t):
    order = []
    x = t.vec(1.0)
    y = x * 2
    z = y * 3
    for name, tensor in (("x", x), ("y", y), ("z", z)):
        tensor.register_hook(lambda g, n=name: order.append((n, g.item())))
    z.backward()
    return order


@both
def test_hooks_of_tensors_and_nodes_in_order(t):
    order = []
    x = t.vec(2.0)
    y = x * x
    y.register_hook(lambda g: order.append("tensor"))
    y.grad_fn.register_prehook(lambda g: order.append("prehook"))
    y.register_hook(lambda g: order.append("tensor again"))
    y.grad_fn.register_hook(lambda gi, go: order.append("hook"))
    y.retain_grad()
    x.register_hook(lambda g: order.append("leaf"))
    x.register_post_accumulate_grad_hook(lambda p: order.append("accumulated"))
    y.sum().backward()
    return order


@both
def test_retained_grad_is_after_the_hooks(t):
    x = t.vec(1.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    (y * 3).backward()
    return y.grad, x.grad


@both
def test_node_hook_sees_inputs_and_outputs(t):
    seen = []
    x, y = t.vec(2.0), t.vec(3.0)
    z = x * y
    z.grad_fn.register_hook(lambda gi, go: seen.append(([g.item() for g in gi], [g.item() for g in go])))
    z.backward()
    return seen


@both
def test_node_hook_replaces(t):
    x, y = t.vec(2.0), t.vec(3.0)
    z = x * y
    z.grad_fn.register_hook(lambda gi, go: tuple(g * 10 for g in gi))
    z.backward()
    return x.grad, y.grad


@both
def test_node_prehook_replaces(t):
    x, y = t.vec(2.0), t.vec(3.0)
    z = x * y
    z.grad_fn.register_prehook(lambda go: (go[0] * 10,))
    z.backward()
    return x.grad, y.grad


@both
def test_node_hook_of_the_wrong_length(t):
    x, y = t.vec(2.0), t.vec(3.0)
    z = x * y
    z.grad_fn.register_hook(lambda gi, go: (gi[0],))
    return raised(z.backward)


@both
def test_node_prehook_of_the_wrong_length(t):
    x, y = t.vec(2.0), t.vec(3.0)
    z = x * y
    z.grad_fn.register_prehook(lambda go: (go[0], go[0]))
    return raised(z.backward)


@both
def test_node_hook_on_accumulate_grad(t):
    seen = []
    x = t.vec(2.0)
    y = x * 3
    y.grad_fn.next_functions[0][0].register_hook(lambda gi, go: seen.append((len(gi), [g.item() for g in go])))
    y.backward()
    return seen, x.grad


@both
def test_node_prehook_on_accumulate_grad(t):
    x = t.vec(2.0)
    y = x * 3
    y.grad_fn.next_functions[0][0].register_prehook(lambda go: (go[0] * 7,))
    y.backward()
    return x.grad


@both
def test_post_accumulate_hook(t):
    x, seen = t.vec(2.0), []
    x.register_post_accumulate_grad_hook(lambda p: seen.append((p is x, p.grad.item())))
    (x * 3).backward()
    (x * 3).backward()
    return seen


@both
def test_post_accumulate_hook_may_free(t):
    x = t.vec(2.0)

    def hook(p):
        p.grad = None

    x.register_post_accumulate_grad_hook(hook)
    (x * 3).backward()
    return x.grad


@both
def test_post_accumulate_hook_needs_a_leaf(t):
    return raised((t.vec(1.0) * 2).register_post_accumulate_grad_hook, print), raised(
        t.ones(1).register_post_accumulate_grad_hook, print
    )


@both
def test_post_accumulate_hook_and_grad(t):
    x, seen = t.vec(2.0), []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(1))
    t.autograd.grad(x * 3, x)
    return seen


@both
def test_leaf_hook_and_grad(t):
    x = t.vec(2.0)
    x.register_hook(lambda g: g * 5)
    return t.autograd.grad(x * 3, x)


@both
def test_hook_on_an_intermediate_and_grad(t):
    x = t.vec(2.0)
    y = x * 2
    y.register_hook(lambda g: g * 5)
    return t.autograd.grad(y * 3, [y, x])


@both
def test_saved_tensors_hooks(t):
    packed, unpacked = [], []

    def pack(x):
        packed.append(x.tolist())
        return x * 2

    def unpack(x):
        unpacked.append(x.tolist())
        return x / 2

    x = t.vec(1.0, 2.0)
    with t.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x * x
        z = y.exp()
    z.sum().backward()
    return packed, unpacked, x.grad


@both
def test_saved_tensors_hooks_nest(t):
    order = []
    x = t.vec(2.0)

    def named(name):
        return (lambda v: order.append("pack " + name) or v), (lambda v: order.append("unpack " + name) or v)

    with t.autograd.graph.saved_tensors_hooks(*named("outer")):
        a = x * x
        with t.autograd.graph.saved_tensors_hooks(*named("inner")):
            b = a * a
    b.backward()
    return order, x.grad


@both
def test_unpack_returns_no_tensor(t):
    x = t.vec(2.0)
    with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: 3):
        y = x * x
    return raised(y.backward)


@both
def test_pack_may_not_write(t):
    x = t.vec(2.0)
    y = x * 2

    def run():
        with t.autograd.graph.saved_tensors_hooks(lambda v: v.mul_(2), lambda v: v):
            y.exp() * y

    return raised(run)


@both
def test_disabled_saved_tensors_hooks(t):
    def run():
        with (
            t.autograd.graph.disable_saved_tensors_hooks("not here"),
            t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v),
        ):
            pass

    return raised(run)


@both
def test_save_on_cpu(t):
    x = t.vec(1.0, 2.0)
    with t.autograd.graph.save_on_cpu():
        y = x * x * x
    y.sum().backward()
    return x.grad


@both
def test_multi_grad_hook_all(t):
    seen = []
    x, y, z = t.vec(1.0), t.vec(2.0), t.vec(3.0)
    t.autograd.graph.register_multi_grad_hook(
        (x, y, z), lambda gs: seen.append([None if g is None else g.item() for g in gs])
    )
    (x * y).backward()
    (x * y * z).backward()
    return seen


@both
def test_multi_grad_hook_any(t):
    seen = []
    x, y = t.vec(1.0), t.vec(2.0)
    t.autograd.graph.register_multi_grad_hook((x, y), lambda g: seen.append(1), mode="any")
    (x * y).backward()
    return len(seen), raised(t.autograd.graph.register_multi_grad_hook, (x, y), print, mode="some")


@both
def test_hooks_after_an_in_place_write(t):
    order = []
    x = t.vec(2.0)
    y = x * 2
    y.register_hook(lambda g: order.append(("before", g.item())))
    y.mul_(3)
    y.register_hook(lambda g: order.append(("after", g.item())))
    y.backward()
    return order, x.grad


@both
def test_retain_grad_after_an_in_place_write(t):
    x = t.vec(2.0)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).backward()
    return y.grad, x.grad


@both
def test_hook_dict_keeps_registration(t):
    x = t.vec(1.0)
    first = x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 10)
    first.remove()
    x.register_hook(lambda g: g - 1)
    (x * 2).backward()
    return x.grad


@both
def test_hook_removed_while_it_runs(t):
    x, order = t.vec(1.0), []
    handles = []

    def once(g):
        order.append("once")
        handles[0].remove()

    handles.append(x.register_hook(once))
    x.register_hook(lambda g: order.append("always"))
    (x * 2).backward()
    (x * 2).backward()
    return order


@both
def test_hook_raises(t):
    x = t.vec(1.0)

    def hook(g):
        raise KeyError("mine")

    x.register_hook(hook)
    return raised((x * 2).backward)


@both
def test_hook_under_create_graph(t):
    x = t.vec(2.0)
    y = x * x
    y.register_hook(lambda g: g * g)
    (g,) = t.autograd.grad(y * 3, x, create_graph=True)
    return g, t.autograd.grad(g, x)


@both
def test_grad_mode_in_hooks(t):
    x, modes = t.vec(2.0), []
    y = x * x
    y.register_hook(lambda g: modes.append(t.is_grad_enabled()))
    y.backward(retain_graph=True)
    y.backward(create_graph=True)
    return modes
