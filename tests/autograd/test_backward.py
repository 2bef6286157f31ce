"""backward and grad: what they compute, where they put it, and what they refuse."""

import pytest

import tensorgrad
from tensorgrad import autograd

F64 = tensorgrad.float64


def leaf(values, **kwargs):
    return tensorgrad.tensor(values, requires_grad=True, **kwargs)


def equals(x, expected):
    assert x is not None
    assert x.tolist() == pytest.approx(expected) if x.ndim < 2 else x.tolist() == expected


def test_backward_of_a_scalar_accumulates_in_the_leaves():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x * x * y).sum().backward()
    equals(x.grad, [6.0, 16.0])
    equals(y.grad, [1.0, 4.0])
    (x * y).sum().backward()
    equals(x.grad, [9.0, 20.0])
    equals(y.grad, [2.0, 6.0])


def test_the_gradient_of_a_leaf_itself_is_one():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1.0


def test_the_chapter_accumulates_and_zeroes():
    inp = tensorgrad.eye(2, requires_grad=True)
    out = (inp + 1).pow(2)
    ones = tensorgrad.ones_like(inp)
    out.backward(ones, retain_graph=True)
    equals(inp.grad, [[4.0, 2.0], [2.0, 4.0]])
    out.backward(ones, retain_graph=True)
    equals(inp.grad, [[8.0, 4.0], [4.0, 8.0]])
    inp.grad.zero_()
    out.backward(ones, retain_graph=True)
    equals(inp.grad, [[4.0, 2.0], [2.0, 4.0]])


def test_backward_multiplies_by_the_gradient_given():
    x = leaf([1.0, 2.0, 3.0])
    (x * x).backward(tensorgrad.tensor([1.0, 0.0, 10.0]))
    equals(x.grad, [2.0, 0.0, 60.0])


def test_several_roots_add_up():
    x = leaf([1.0, 2.0])
    autograd.backward([x * 2, (x * x).sum()], [tensorgrad.tensor([1.0, 1.0]), None])
    equals(x.grad, [4.0, 6.0])


def test_a_diamond_runs_each_node_once():
    x = leaf(2.0)
    a = x * x
    calls = []
    a.register_hook(lambda g: calls.append(g.item()))
    (a * 3 + a * 4).backward()
    assert calls == [7.0]
    assert x.grad.item() == 28.0


def test_inputs_of_backward_leave_other_leaves_alone():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x * y).sum().backward(inputs=[x])
    equals(x.grad, [3.0, 4.0])
    assert y.grad is None
    (x * y).sum().backward(inputs=y)
    equals(y.grad, [1.0, 2.0])
    equals(x.grad, [3.0, 4.0])


def test_grad_returns_and_accumulates_nothing():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    gx, gy = autograd.grad((x * y).sum(), [x, y])
    equals(gx, [3.0, 4.0])
    equals(gy, [1.0, 2.0])
    assert x.grad is None and y.grad is None


def test_grad_with_respect_to_an_intermediate_result():
    x = leaf([1.0, 2.0])
    y = x * 3
    (g,) = autograd.grad((y * y).sum(), y)
    equals(g, [6.0, 12.0])


def test_grad_of_one_input_twice():
    x = leaf([1.0, 2.0])
    first, second = autograd.grad((x * x).sum(), (x, x))
    equals(first, [2.0, 4.0])
    equals(second, [2.0, 4.0])


def test_grad_takes_a_dict_of_inputs():
    x, y = leaf([1.0]), leaf([2.0])
    found = autograd.grad((x * y).sum(), {"x": x, "y": y})
    assert {name: g.tolist() for name, g in found.items()} == {"x": [2.0], "y": [1.0]}


def test_unused_inputs():
    x, y = leaf([1.0, 2.0]), leaf([3.0])
    with pytest.raises(RuntimeError, match="The differentiated Tensor at index 1 appears to not have been used"):
        autograd.grad((x * 2).sum(), [x, y])
    assert autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None
    equals(autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)[1], [0.0])
    with pytest.raises(ValueError, match="Expected allow_unused to be True or not passed when materialize_grads"):
        autograd.grad((x * 2).sum(), [x, y], allow_unused=False, materialize_grads=True)


def test_higher_derivatives():
    x = leaf(2.0, dtype=F64)
    y = x**4
    derivatives = []
    for _ in range(4):
        (y,) = autograd.grad(y, x, create_graph=True)
        derivatives.append(y.item())
    assert derivatives == [32.0, 48.0, 48.0, 24.0]


def test_create_graph_makes_the_gradient_differentiable_and_backward_warns():
    x = leaf(3.0)
    with pytest.warns(UserWarning, match="Using backward\\(\\) with create_graph=True"):
        (x**3).backward(create_graph=True)
    assert x.grad.item() == 27.0 and x.grad.grad_fn is not None
    (g,) = autograd.grad(x.grad, x)
    assert g.item() == 18.0
    x.grad = None


def test_a_number_of_zero_still_gives_a_gradient():
    x = leaf([1.0, 2.0])
    (x * 0).sum().backward()
    equals(x.grad, [0.0, 0.0])
    x.grad = None
    tensorgrad.floor(x).sum().backward()
    equals(x.grad, [0.0, 0.0])


def test_batched_cotangents():
    x = leaf([1.0, 2.0, 3.0])
    (rows,) = autograd.grad(x * x, x, tensorgrad.eye(3), is_grads_batched=True)
    equals(rows, [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]])
    with pytest.raises(RuntimeError, match="If `is_grads_batched=True`, we interpret the first dimension"):
        autograd.grad(x * x, x, tensorgrad.ones(3, 2), is_grads_batched=True)


def test_batched_cotangents_of_several_outputs_with_an_unused_input():
    x, y = leaf([1.0, 2.0]), leaf([5.0])
    found = autograd.grad(
        [x * 2, x.sum()],
        [x, y],
        [tensorgrad.ones(4, 2), tensorgrad.arange(4.0)],
        is_grads_batched=True,
        allow_unused=True,
    )
    equals(found[0], [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0], [5.0, 5.0]])
    assert found[1] is None


def test_gradient_edges_stand_for_tensors():
    x = leaf([1.0, 2.0])
    y = x * 3
    edge = autograd.graph.get_gradient_edge(y)
    assert edge.node is y.grad_fn and edge.output_nr == 0
    equals(autograd.grad(edge, x, tensorgrad.ones(2))[0], [3.0, 3.0])
    end = autograd.graph.get_gradient_edge(x)
    equals(autograd.grad((x * x).sum(), end)[0], [2.0, 4.0])
    autograd.backward(autograd.graph.get_gradient_edge((x * 5).sum()))
    equals(x.grad, [5.0, 5.0])
    with pytest.raises(RuntimeError, match="It is not possible to get the gradient edge for a Tensor that does not"):
        autograd.graph.get_gradient_edge(tensorgrad.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: (x * 2).backward(),
            RuntimeError,
            "grad can be implicitly created only for scalar outputs",
        ),
        (
            lambda x: (x.sum() * 1j).backward(),
            RuntimeError,
            "grad can be implicitly created only for real scalar outputs but got",
        ),
        (
            lambda x: tensorgrad.ones(()).backward(),
            RuntimeError,
            "element 0 of tensors does not require grad and does not have a grad_fn",
        ),
        (
            lambda x: (x * 2).backward(tensorgrad.ones(2)),
            RuntimeError,
            r"Mismatch in shape: grad_output\[0\] has a shape of",
        ),
        (
            lambda x: (x * 2).backward(tensorgrad.ones(3, dtype=tensorgrad.complex64)),
            RuntimeError,
            "For complex Tensors, both grad_output and output are required to have the same dtype",
        ),
        (
            lambda x: autograd.backward([x * 2], [3]),
            TypeError,
            "gradients can be either Tensors or None, but got int",
        ),
        (
            lambda x: x.sum().backward(inputs=[]),
            RuntimeError,
            r"`inputs` argument to `backward\(\)` cannot be empty",
        ),
        (
            lambda x: autograd.grad(x.sum(), []),
            RuntimeError,
            r"`inputs` argument to `grad\(\)` cannot be empty",
        ),
        (
            lambda x: autograd.grad(x.sum(), tensorgrad.ones(2)),
            RuntimeError,
            "One of the differentiated Tensors does not require grad",
        ),
        (
            lambda x: autograd.grad(x.sum(), [3]),
            RuntimeError,
            "all inputs have to be Tensors or GradientEdges, but got",
        ),
    ],
)
def test_refusals(call, error, message):
    x = leaf([1.0, 2.0, 3.0])
    with pytest.raises(error, match=message):
        call(x)
    assert x.grad is None


def test_deprecated_arguments_warn():
    x = leaf([1.0, 2.0])
    with pytest.warns(FutureWarning, match="`grad_variables` is deprecated"):
        autograd.backward(x * 2, grad_variables=tensorgrad.ones(2))
    equals(x.grad, [2.0, 2.0])
    with (
        pytest.warns(FutureWarning, match="`grad_variables` is deprecated"),
        pytest.raises(RuntimeError, match="`grad_tensors` and `grad_variables`"),
    ):
        autograd.backward(x * 2, tensorgrad.ones(2), grad_variables=tensorgrad.ones(2))
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated"):
        autograd.grad(x.sum(), x, only_inputs=False)


def test_complex_gradients_follow_the_conjugate_convention():
    z = leaf([1 + 2j], dtype=tensorgrad.complex128)
    (z * z.conj()).real.sum().backward()
    assert z.grad.tolist() == [2 + 4j]


def test_grad_must_fit_the_tensor():
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="assigned grad expected to be a Tensor or None but got grad of type"):
        x.grad = 3
    with pytest.raises(RuntimeError, match="attempting to assign a gradient of size"):
        x.grad = tensorgrad.ones(3)
    x.grad = tensorgrad.ones(2)
    (x * 2).sum().backward()
    equals(x.grad, [3.0, 3.0])


def test_the_gradient_that_is_kept_is_nobody_elses():
    x = leaf([1.0, 2.0])
    given = tensorgrad.ones(2)
    x.backward(given)
    given.mul_(5)
    equals(x.grad, [1.0, 1.0])
    y, z = leaf([1.0]), leaf([1.0])
    (y + z).sum().backward()
    y.grad.mul_(7)
    equals(z.grad, [1.0])


def test_chapter_walk_along_the_graph():
    a = tensorgrad.linspace(0.0, 1.0, steps=3, requires_grad=True)
    d = 2 * tensorgrad.sin(a) + 1
    assert type(d.grad_fn).__name__ == "AddBackward0"
    mul = d.grad_fn.next_functions[0][0]
    assert mul.name() == "MulBackward0"
    sin = next(fn for fn, _ in mul.next_functions if fn is not None)
    assert sin.name() == "SinBackward0"
    ((accumulate, number),) = sin.next_functions
    assert accumulate.name().rpartition("::")[2] == "AccumulateGrad"
    assert number == 0 and accumulate.variable is a and accumulate.next_functions == ()
