"""`backward` and `grad`, their arguments, and graphs that are gone."""

import pytest

from .compare import both, raised

pytestmark = pytest.mark.parity


@both
def test_backward_of_a_scalar(t):
    x = t.vec(1.0, 2.0, 3.0)
    (x * x).sum().backward()
    return x.grad


@both
def test_backward_of_a_vector_needs_a_gradient(t):
    return raised((t.vec(1.0, 2.0) * 2).backward)


@both
def test_grad_of_a_vector_needs_a_gradient(t):
    x = t.vec(1.0, 2.0)
    return raised(t.autograd.grad, x * 2, x)


@both
def test_backward_with_a_gradient(t):
    x = t.vec(1.0, 2.0)
    (x * x).backward(t.vec(3.0, 4.0, requires_grad=False))
    return x.grad


@both
def test_backward_of_one_element_needs_none(t):
    x = t.vec(2.0)
    (x * x).backward()
    return x.grad


@both
def test_several_roots(t):
    x, y = t.vec(1.0, 2.0), t.vec(3.0, 4.0)
    t.autograd.backward([(x * y).sum(), (x * x).sum()])
    return x.grad, y.grad


@both
def test_several_roots_with_gradients_and_none(t):
    x = t.vec(1.0, 2.0)
    t.autograd.backward([(x * x).sum(), x * 3], [None, t.ones(2, dtype=t.float64)])
    return x.grad


@both
def test_the_same_root_twice(t):
    x = t.vec(1.0, 2.0)
    y = (x * x).sum()
    t.autograd.backward([y, y])
    return x.grad


@both
def test_accumulates(t):
    x = t.vec(1.0, 2.0)
    (x * x).sum().backward()
    (x * 3).sum().backward()
    return x.grad


@both
def test_accumulates_in_place(t):
    x = t.vec(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    return first is x.grad, first, first._version


@both
def test_accumulation_with_a_graph_is_out_of_place(t):
    x = t.vec(1.0, 2.0)
    (x * x).sum().backward(create_graph=True)
    first = x.grad
    (x * x).sum().backward(create_graph=True)
    return first is x.grad, first, x.grad


@both
def test_the_gradient_is_not_the_one_that_was_passed(t):
    x = t.vec(1.0, 2.0)
    g = t.ones(2, dtype=t.float64)
    x.backward(g)
    x.grad.mul_(5)
    return g, x.grad


@both
def test_two_leaves_do_not_share_a_gradient(t):
    x, y = t.vec(1.0, 2.0), t.vec(3.0, 4.0)
    (x + y).backward(t.ones(2, dtype=t.float64))
    x.grad.mul_(7)
    return x.grad, y.grad, x.grad.data_ptr() == y.grad.data_ptr()


@both
def test_a_freed_graph(t):
    x = t.vec(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    return raised(y.backward)


@both
def test_a_freed_graph_in_grad(t):
    x = t.vec(1.0, 2.0)
    y = x.exp().sum()
    t.autograd.grad(y, x)
    return raised(t.autograd.grad, y, x)


@both
def test_a_graph_without_saved_tensors_runs_twice(t):
    x = t.vec(1.0, 2.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


@both
def test_retain_graph(t):
    x = t.vec(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad, raised(y.backward)


@both
def test_create_graph_retains(t):
    x = t.vec(1.0, 2.0)
    y = (x**3).sum()
    (g,) = t.autograd.grad(y, x, create_graph=True)
    (g2,) = t.autograd.grad(g.sum(), x, create_graph=True)
    (g3,) = t.autograd.grad(g2.sum(), x)
    return g, g2, g3, g.requires_grad, g3.requires_grad


@both
def test_retain_graph_false_with_create_graph(t):
    x = t.vec(1.0, 2.0)
    y = (x * x).sum()
    t.autograd.grad(y, x, retain_graph=False, create_graph=True)
    return raised(t.autograd.grad, y, x)


@both
def test_backward_without_a_graph(t):
    return raised(t.ones(1).backward), raised(t.ones(2).sum().backward)


@both
def test_grad_without_a_graph(t):
    x = t.ones(2)
    return raised(t.autograd.grad, x.sum(), x)


@both
def test_backward_of_a_leaf(t):
    x = t.tensor(2.0, requires_grad=True)
    x.backward()
    return x.grad


@both
def test_unused_inputs(t):
    x, y = t.vec(1.0), t.vec(2.0)
    out = (x * 2).sum()
    return (
        raised(t.autograd.grad, out, [x, y]),
        t.autograd.grad((x * 2).sum(), [x, y], allow_unused=True),
        t.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True),
        raised(t.autograd.grad, (x * 2).sum(), [x, y], allow_unused=False, materialize_grads=True),
    )


@both
def test_an_input_that_requires_no_grad(t):
    x, y = t.vec(1.0), t.vec(2.0, requires_grad=False)
    return raised(t.autograd.grad, (x * y).sum(), y)


@both
def test_no_inputs(t):
    x = t.vec(1.0)
    return raised((x * x).backward, inputs=[]), raised(t.autograd.grad, x * x, [])


@both
def test_grad_of_an_intermediate(t):
    x = t.vec(1.0, 2.0)
    y = x * x
    z = (y * 3).sum()
    return t.autograd.grad(z, [y, x]), x.grad


@both
def test_backward_inputs(t):
    x, y = t.vec(1.0, 2.0), t.vec(3.0, 4.0)
    (x * y).sum().backward(inputs=[x])
    return x.grad, y.grad


@both
def test_backward_inputs_as_one_tensor(t):
    x, y = t.vec(1.0, 2.0), t.vec(3.0, 4.0)
    (x * y).sum().backward(inputs=x)
    return x.grad, y.grad


@both
def test_backward_inputs_that_are_not_leaves(t):
    x = t.vec(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward(inputs=[y])
    return x.grad, y.grad


@both
def test_backward_inputs_given_twice(t):
    x = t.vec(1.0, 2.0)
    (x * x).sum().backward(inputs=[x, x])
    return x.grad


@both
def test_only_the_needed_part_runs(t):
    x, y = t.vec(1.0), t.vec(2.0)
    ran = []
    a, b = x * 2, y * 3
    a.register_hook(lambda g: ran.append("a"))
    b.register_hook(lambda g: ran.append("b"))
    t.autograd.grad((a * b).sum(), x)
    return ran


@both
def test_shape_of_the_gradient(t):
    x = t.mat()
    return raised((x * 2).backward, t.ones(3, dtype=t.float64)), raised(t.autograd.grad, x * 2, x, t.ones(6, dtype=t.float64))


@both
def test_dtype_of_the_gradient(t):
    x = t.vec(1.0, 2.0)
    (x * 2).backward(t.ones(2, dtype=t.float32))
    return x.grad


@both
def test_a_complex_gradient_of_a_real_output(t):
    x = t.vec(1.0, 2.0)
    return raised((x * 2).backward, t.ones(2, dtype=t.complex128))


@both
def test_number_of_gradients(t):
    x = t.vec(1.0)
    return raised(t.autograd.grad, [x * 2, x * 3], x, [t.ones(1, dtype=t.float64)]), raised(
        t.autograd.backward, [x * 2], [t.ones(1, dtype=t.float64)] * 2
    )


@both
def test_a_gradient_that_is_no_tensor(t):
    x = t.vec(1.0, 2.0)
    return raised((x * 2).backward, [1.0, 1.0]), raised((x * 2).backward, 1.0)


@both
def test_a_complex_output_needs_a_gradient(t):
    x = t.tensor(1.0 + 2.0j, requires_grad=True)
    return raised((x * x).backward)


@both
def test_a_complex_gradient(t):
    x = t.tensor([1.0 + 2.0j, 3.0 - 1.0j], dtype=t.complex128, requires_grad=True)
    (x * x.conj()).real.sum().backward()
    return x.grad


@both
def test_integers_require_no_grad(t):
    return raised(t.tensor, [1, 2], requires_grad=True), raised(t.tensor([1]).requires_grad_)


@both
def test_is_grads_batched(t):
    x = t.vec(1.0, 2.0, 3.0)
    return t.autograd.grad(x * x, x, t.eye(3, dtype=t.float64), is_grads_batched=True)


@both
def test_is_grads_batched_checks_the_shape(t):
    x = t.vec(1.0, 2.0, 3.0)
    return raised(t.autograd.grad, x * x, x, t.ones(3, 2, dtype=t.float64), is_grads_batched=True)


@both
def test_grad_variables(t):
    x = t.vec(1.0, 2.0)
    return raised(t.autograd.backward, x * 2, t.ones(2, dtype=t.float64), grad_variables=t.ones(2, dtype=t.float64))


@both
def test_only_inputs(t):
    x = t.vec(1.0, 2.0)
    return t.autograd.grad((x * x).sum(), x, only_inputs=True)


@both
def test_a_diamond(t):
    x = t.vec(2.0)
    a = x * x
    b, c = a * 3, a.exp()
    (b * c).backward()
    return x.grad


@both
def test_a_deep_chain(t):
    x = t.vec(1.0)
    y = x
    for _ in range(5000):
        y = y + 1
    y.backward()
    return x.grad


@both
def test_backward_inside_a_hook(t):
    x = t.vec(1.0, 2.0)
    y = x * x

    def hook(g):
        with t.enable_grad():
            z = t.vec(3.0)
            (z * z).sum().backward()
        return g * z.grad

    y.register_hook(hook)
    y.sum().backward()
    return x.grad


@both
def test_an_error_in_a_hook_leaves_the_engine_usable(t):
    x = t.vec(1.0)
    y = x * x

    def hook(g):
        raise ValueError("from the hook")

    handle = y.register_hook(hook)
    first = raised(y.sum().backward)
    handle.remove()
    (x * x).sum().backward()
    return first, x.grad


@both
def test_the_gradient_of_another_dtype_is_cast(t):
    x = t.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 2).sum().backward()
    return x.grad


@both
def test_assigning_grad(t):
    x = t.vec(1.0, 2.0)
    x.grad = t.ones(2, dtype=t.float64)
    (x * 1).sum().backward()
    kept = x.grad
    x.grad = None
    return (
        kept,
        x.grad,
        raised(setattr, x, "grad", 3),
        raised(setattr, x, "grad", t.ones(3, dtype=t.float64)),
        raised(setattr, x, "grad", t.ones(2)),
        raised(setattr, x, "grad", x),
    )


@both
def test_grad_of_a_non_leaf(t):
    return (t.vec(1.0) * 2).grad


@both
def test_retain_grad(t):
    x = t.vec(1.0, 2.0)
    y = x * 2
    before = y.retains_grad
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    return before, y.retains_grad, y.grad, x.retains_grad, raised(t.ones(1).retain_grad)


@both
def test_requires_grad_of_a_non_leaf(t):
    y = t.vec(1.0) * 2
    return raised(setattr, y, "requires_grad", False), raised(y.requires_grad_, False), y.is_leaf


@both
def test_third_derivative(t):
    x = t.vec(0.5, 1.5)
    y = (x.sin() * x.exp()).sum()
    for _ in range(3):
        (g,) = t.autograd.grad(y, x, create_graph=True)
        y = g.sum()
    return g


@both
def test_grad_of_expanded_leaf(t):
    x = t.vec(1.0, 2.0)
    (x.expand(3, 2) * t.mat(3, 2, requires_grad=False)).sum().backward()
    return x.grad, x.grad.stride()


@both
def test_zero_elements(t):
    x = t.zeros(0, 3, dtype=t.float64, requires_grad=True)
    (x * 2).sum().backward()
    return x.grad


@both
def test_gradient_edge(t):
    x = t.vec(1.0, 2.0)
    y = x * x
    edge = t.autograd.graph.get_gradient_edge(y)
    z = (y * 3).sum()
    return t.autograd.grad(z, [edge]), edge.output_nr, edge.node


@both
def test_backward_from_an_edge(t):
    x = t.vec(1.0, 2.0)
    y = (x * x).sum()
    edge = t.autograd.graph.get_gradient_edge(y)
    t.autograd.backward(edge)
    return x.grad


@both
def test_gradient_edge_needs_a_graph(t):
    return raised(t.autograd.graph.get_gradient_edge, t.ones(1))


@both
def test_deepcopy_of_a_non_leaf(t):
    import copy

    x = t.vec(1.0)
    return copy.deepcopy(x).requires_grad, raised(copy.deepcopy, x * 2)


@both
def test_numpy_of_a_tensor_that_requires_grad(t):
    return raised(t.vec(1.0).numpy), raised((t.vec(1.0) * 2).numpy)
