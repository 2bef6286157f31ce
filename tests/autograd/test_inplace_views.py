"""Views and in-place writes: who sees which history, and which writes are refused."""

import pytest

import tensorgrad
from tensorgrad import autograd


def leaf(values):
    return tensorgrad.tensor(values, requires_grad=True)


def name(x):
    return type(x.grad_fn).__name__


def test_views_know_their_base_and_share_its_version():
    base = tensorgrad.zeros(4)
    view = base.view(2, 2)
    row = view[0]
    assert base._base is None and view._base is base and row._base is base
    assert view._is_view() and not base._is_view()
    row.add_(1)
    assert base.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert base._version == view._version == row._version == 1
    base.add_(1)
    assert row._version == 2 and row.tolist() == [2.0, 2.0]


def test_detach_shares_the_version_and_data_does_not():
    x = tensorgrad.ones(2)
    d, data = x.detach(), x.data
    d.add_(1)
    assert x._version == d._version == 1 and data._version == 0
    data.add_(1)
    assert x._version == 1 and x.tolist() == [3.0, 3.0]


def test_an_in_place_operator_becomes_the_history():
    x = leaf([1.0, 2.0])
    y = x * 1
    y.mul_(3)
    assert name(y) == "MulBackward0" and y._version == 1
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_write_to_a_view_is_the_history_of_its_base():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    base = x * 1
    view = base[:2]
    view.mul_(10)
    assert name(base) == "CopySlices" and base.tolist() == [10.0, 20.0, 3.0, 4.0]
    (base * base).sum().backward()
    assert x.grad.tolist() == [200.0, 400.0, 6.0, 8.0]


def test_a_write_to_a_view_is_seen_by_sibling_views():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    base = x * 1
    left, middle = base[:2], base[1:3]
    before = middle.grad_fn
    left.mul_(10)
    assert middle.grad_fn is not before
    assert middle.tolist() == [20.0, 3.0]
    middle.sum().backward()
    assert x.grad.tolist() == [0.0, 10.0, 1.0, 0.0]


def test_a_write_to_the_base_is_seen_by_its_views():
    x = leaf([1.0, 2.0])
    base = x * 1
    view = base.view(2, 1)
    base.mul_(5)
    view.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_a_constant_base_gets_a_history_through_its_view():
    x = leaf([1.0, 2.0])
    base = tensorgrad.zeros(2, 2)
    row = base[1]
    assert not base.requires_grad and not row.requires_grad
    base[0].copy_(x)
    assert base.requires_grad and row.requires_grad and name(base) == "CopySlices"
    (base.sum() + row.sum()).backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_assignment_into_parts():
    x, y = leaf([1.0, 2.0, 3.0]), leaf([5.0, 6.0])
    z = x * 2
    z[1:] = y * 3
    z[0] = 7.0
    assert z.tolist() == [7.0, 15.0, 18.0]
    (z * tensorgrad.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0] and y.grad.tolist() == [30.0, 300.0]


def test_a_view_of_a_view_of_a_transposed_matrix():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    base = x * 1
    base.t()[0].exp_()
    base.sum().backward()
    e, e3 = tensorgrad.tensor([1.0, 3.0]).exp().tolist()
    assert x.grad[:, 1].tolist() == [1.0, 1.0]
    assert x.grad[:, 0].tolist() == pytest.approx([e, e3])


def test_several_writes_through_several_views():
    x = leaf([1.0, 1.0, 1.0, 1.0])
    base = x * 1
    base[:3].mul_(2)
    base[1:].mul_(3)
    base[::2].add_(1)
    base.view(2, 2)[1].mul_(5)
    assert base.tolist() == [3.0, 6.0, 35.0, 15.0]
    base.sum().backward()
    assert x.grad.tolist() == [2.0, 6.0, 30.0, 15.0]


def test_double_backward_through_copy_slices():
    x = tensorgrad.tensor([1.0, 2.0, 3.0], requires_grad=True, dtype=tensorgrad.float64)

    def function(x):
        y = x * x
        y[1:].mul_(x[:2])
        y[0] = x[2] ** 2
        return y

    assert autograd.gradcheck(function, (x,)) and autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.mul_(2),
        lambda x: x.zero_(),
        lambda x: x.copy_(tensorgrad.ones(3)),
        lambda x: x.__iadd__(1),
    ],
)
def test_leaves_are_not_written(write):
    x = leaf([1.0, 2.0, 3.0])
    with pytest.raises(
        RuntimeError, match="^a leaf Variable that requires grad is being used in an in-place operation"
    ):
        write(x)
    assert x.tolist() == [1.0, 2.0, 3.0] and x._version == 0
    with tensorgrad.no_grad():
        write(x)
    assert x._version == 1 and x.is_leaf and x.requires_grad


def test_views_of_leaves_are_not_written():
    x = leaf([1.0, 2.0, 3.0])
    with pytest.raises(
        RuntimeError, match="^a view of a leaf Variable that requires grad is being used in an in-place"
    ):
        x[:2].mul_(2)
    with pytest.raises(
        RuntimeError, match="^a view of a leaf Variable that requires grad is being used in an in-place"
    ):
        x[0] = 5.0
    assert x.tolist() == [1.0, 2.0, 3.0]
    with tensorgrad.no_grad():
        x[0] = 5.0
    assert x.tolist() == [5.0, 2.0, 3.0]


@pytest.mark.parametrize("split", ["unbind", "split", "chunk"])
def test_one_of_many_views_is_not_written(split):
    base = leaf([1.0, 2.0, 3.0, 4.0]) * 1
    parts = {
        "unbind": lambda: base.unbind(0),
        "split": lambda: base.split(2),
        "chunk": lambda: base.chunk(2),
    }[split]()
    with pytest.raises(
        RuntimeError,
        match="is a view and is being modified inplace. This view is the output of"
        "|is a view and is being modified inplace .* This view is the output of a function that returns",
    ):
        parts[0].mul_(2)
    assert base.tolist() == [1.0, 2.0, 3.0, 4.0] and base._version == 0
    with tensorgrad.no_grad():
        parts[0].mul_(2)
        parts[1].mul_(2)
    assert base[0].item() == 2.0


def test_many_views_after_a_write_to_their_base():
    base = leaf([1.0, 2.0]) * 1
    first, _ = base.unbind(0)
    base.mul_(2)
    with pytest.raises(
        RuntimeError, match="Output 0 of Unbind is a view and its base or another view of its base has been"
    ):
        first * 2


def test_views_made_without_grad():
    base = leaf([1.0, 2.0]) * 1
    with tensorgrad.no_grad():
        view = base.view(2, 1)
        view.mul_(2)
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and is being modified inplace"):
        view.mul_(2)
    assert base.tolist() == [2.0, 4.0]
    constant = tensorgrad.ones(2)
    with tensorgrad.no_grad():
        view = constant.view(2, 1)
    view.mul_(2)
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and is being modified inplace"):
        view.mul_(leaf([[1.0], [2.0]]))


def test_a_saved_tensor_that_was_written():
    x = leaf([1.0, 2.0])
    a = x * 1
    y = a.sin()
    a.add_(1)
    with pytest.raises(
        RuntimeError,
        match="one of the variables needed for gradient computation has been modified by an "
        r"inplace operation: \[.*FloatTensor \[2\]\], which is output 0 of Add.*, is at version 1; expected "
        "version 0 instead",
    ):
        y.sum().backward()


def test_the_message_names_both_operators():
    a = leaf([1.0, 2.0]) * 1
    y = a.sin()
    a.mul_(2)
    with pytest.raises(RuntimeError, match="SinBackward0 saved it, and 'mul_' has written to it since"):
        y.sum().backward()


def test_a_saved_result_that_was_written():
    y = leaf([1.0]).exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="output 0 of Exp.*is at version 1; expected version 0"):
        y.sum().backward()


def test_a_write_through_a_view_or_an_alias_is_noticed():
    for write in (lambda a: a[:1].add_(1), lambda a: a.detach().add_(1)):
        a = leaf([1.0, 2.0]) * 1
        y = a * a
        write(a)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_a_write_through_data_is_not():
    w, x = leaf([2.0]), leaf([3.0])
    y = w * x
    w.data.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [3.0]


def test_writes_that_change_nothing_that_is_saved():
    x = leaf([1.0, 2.0])
    a = x * 1
    y = a + 1
    a.add_(5)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_an_operator_may_overwrite_what_only_it_has_saved():
    x = tensorgrad.tensor([0.5, 1.5], requires_grad=True, dtype=tensorgrad.float64)
    for inplace in ("sin_", "exp_", "tanh_", "sqrt_", "sigmoid_"):

        def function(x, inplace=inplace):
            return getattr(x * 1, inplace)()

        assert autograd.gradcheck(function, (x,))


def test_detach_in_place():
    x = leaf([1.0])
    y = x * 2
    assert y.detach_() is y and y.is_leaf and not y.requires_grad
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        (x * 2).view(1).detach_()


def test_requires_grad_of_results_is_fixed():
    y = leaf([1.0]) * 2
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        y.requires_grad = False
    with pytest.raises(
        RuntimeError, match="(?i)only Tensors of floating point (and complex )?dtype can require gradients"
    ):
        tensorgrad.tensor([1]).requires_grad_()


def test_expanded_memory_is_not_written():
    x = tensorgrad.ones(1).expand(3)
    with pytest.raises(
        RuntimeError, match="unsupported operation: more than one element of the written-to tensor refers"
    ):
        x.add_(1)


def test_as_strided_and_diagonal_views():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    base = x * 1
    base.diagonal().mul_(10)
    base.sum().backward()
    assert x.grad.tolist() == [[10.0, 1.0], [1.0, 10.0]]
