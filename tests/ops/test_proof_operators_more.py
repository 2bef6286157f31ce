"""The other four of the ten operators that prove the design: sort, index_put_, dropout and linear_relu."""

import math
import re

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.func import grad, vmap

from .proof import DOUBLES, INEXACT, close, derivatives_agree, node_name, tangent, values


# ---- sort ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.bool, tg.uint8, tg.int64, tg.float16, tg.bfloat16, tg.float32, tg.float64])
def test_sort_in_every_dtype(dtype):
    x = tg.tensor([1, 0, 1, 0]).to(dtype)
    values, indices = tg.sort(x, stable=True)
    assert (values.dtype, values.tolist()) == (dtype, [0, 0, 1, 1])
    assert (indices.dtype, indices.tolist()) == (tg.int64, [1, 3, 0, 2])


def test_sort_has_named_results_and_puts_nan_last():
    result = tg.tensor([math.nan, 2.0, 1.0]).sort()
    assert type(result) is tg.return_types.sort
    assert result.values.tolist()[:2] == [1.0, 2.0]
    assert result.indices.tolist() == [2, 1, 0]
    assert tg.tensor([1.0, math.nan, 2.0]).sort(descending=True).indices.tolist() == [1, 2, 0]
    with pytest.raises(NotImplementedError, match="sort"):
        tg.ones(2, dtype=tg.complex64).sort()


def test_sort_derivatives():
    x = values(3, 4)
    out = x.sort(1, descending=True)
    assert node_name(out.values) == "SortBackward0"
    assert not out.indices.requires_grad
    derivatives_agree(lambda y: y.sort(0)[0], x)
    derivatives_agree(lambda y: y.sort(-1, descending=True).values, x)


def test_sort_of_a_view_written_in_place():
    leaf = tg.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    base = leaf.clone()
    view, sibling = base[0], base[0]
    view.neg_()
    weights = tg.tensor([1.0, 10.0, 100.0])
    (sibling.sort().values * weights).sum().backward()
    assert leaf.grad[0].tolist() == [-1.0, -100.0, -10.0]


def test_sort_tangent_and_vmap():
    x, t = values(3, 4, requires_grad=False), values(3, 4, seed=2, requires_grad=False)
    order = np.argsort(x.numpy(), 1)
    close(tangent(lambda d: d.sort(1).values, x, t), np.take_along_axis(t.numpy(), order, 1))
    close(tangent(lambda d: d.sort(1).values[:, 1:], x, t), np.take_along_axis(t.numpy(), order, 1)[:, 1:])
    close(vmap(lambda row: row.sort().values)(x), np.sort(x.numpy(), 1))
    close(vmap(lambda row: row.sort().values, in_dims=1)(x), np.sort(x.numpy(), 0).T)
    close(vmap(vmap(lambda scalar: scalar.sort()[0]))(x), x.numpy())
    assert vmap(lambda row: row.sort().indices)(x).tolist() == order.tolist()
    ranks = tg.arange(4, dtype=tg.float64)
    g = vmap(grad(lambda row: (row.sort().values * ranks).sum()))(x)
    close(g, np.argsort(order, 1))


# ---- index_put_ --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.bool, tg.int64, *INEXACT])
def test_index_put_in_every_dtype(dtype):
    x = tg.zeros(2, 3, dtype=dtype)
    rows, columns = tg.tensor([0, 1]), tg.tensor([2, 0])
    assert x.index_put_((rows, columns), tg.ones(2, dtype=dtype)) is x
    assert x.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_index_put_accumulates_repeated_indices():
    x = tg.zeros(3)
    x.index_put_((tg.tensor([1, 1, 2]),), tg.tensor([1.0, 2.0, 4.0]), accumulate=True)
    assert x.tolist() == [0, 3, 4]
    with pytest.raises(IndexError, match="out of bounds"):
        x.index_put_((tg.tensor([3]),), tg.tensor([1.0]))
    with pytest.raises(RuntimeError, match="dtypes match"):
        x.index_put_((tg.tensor([0]),), tg.tensor([1]))


@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_index_put_derivatives(dtype, accumulate):
    x, v = values(4, dtype=dtype), values(2, dtype=dtype, seed=2)
    places = (tg.tensor([2, 0]),)

    def write(a, b):
        return a.clone().index_put_(places, b, accumulate)

    assert node_name(write(x, v)) == "IndexPutBackward0"
    derivatives_agree(write, x, v)


def test_index_put_through_a_view_and_its_sibling():
    leaf, v = values(2, 3), values(2, seed=2)
    base = leaf.clone()
    view, sibling = base[1], base[1]
    view.index_put_((tg.tensor([0, 2]),), v)
    close(sibling[::2], v.detach().numpy())
    (base.sum() + 2 * sibling.sum()).backward()
    assert leaf.grad.tolist() == [[1, 1, 1], [0, 3, 0]]
    assert v.grad.tolist() == [3, 3]


def test_index_put_tangent_and_vmap():
    x, t = values(2, 3, requires_grad=False), values(2, 3, seed=2, requires_grad=False)
    places = (tg.tensor([0, 1]), tg.tensor([2, 2]))
    v = tg.zeros(2, dtype=tg.float64)
    expected = t.numpy().copy()
    expected[[0, 1], [2, 2]] = 0
    close(tangent(lambda d: d.clone().index_put_(places, v), x, t), expected)
    close(tangent(lambda d: d.clone().index_put_(places, v)[:, 1:], x, t), expected[:, 1:])

    def write(row, value):
        return row.clone().index_put_((tg.tensor([1]),), value)

    written = x.numpy().copy()
    written[:, 1] = [5, 6]
    numbers = tg.tensor([[5.0], [6.0]], dtype=tg.float64)
    close(vmap(write)(x, numbers), written)
    close(vmap(vmap(write))(x[None], numbers[None]), written[None])
    g = vmap(grad(lambda row, value: (write(row, value) ** 2).sum(), argnums=(0, 1)))(x, numbers)
    kept = 2 * x.numpy()
    kept[:, 1] = 0
    close(g[0], kept)
    close(g[1], 2 * numbers.numpy())


# ---- dropout -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", INEXACT)
def test_dropout_in_every_dtype(dtype):
    tg.manual_seed(0)
    out = tg.dropout(tg.ones(1000, dtype=dtype), 0.25, True)
    assert out.dtype is dtype
    seen = {abs(complex(value)) for value in set(out.tolist())}
    assert min(seen) == 0 and max(seen) == pytest.approx(1 / 0.75, rel=2 * tg.finfo(dtype).eps)
    assert 180 < (out == 0).sum().item() < 320


def test_dropout_draws_from_the_seeded_generator():
    x = tg.ones(100)
    tg.manual_seed(3)
    first, second = tg.dropout(x, 0.5, True), tg.dropout(x, 0.5, True)
    tg.manual_seed(3)
    assert tg.equal(tg.dropout(x, 0.5, True), first)
    assert not tg.equal(first, second)
    assert tg.equal(tg.dropout(x, 0.5, False), x)
    assert tg.dropout(x, 1.0, True).sum().item() == 0
    with pytest.raises((RuntimeError, ValueError), match="between 0 and 1"):
        tg.dropout(x, 1.5, True)


@pytest.mark.parametrize("dtype", DOUBLES)
def test_dropout_derivatives(dtype):
    x = values(10, dtype=dtype)

    def dropped(y):
        tg.manual_seed(5)
        return tg.dropout(y, 0.4, True)

    assert re.fullmatch(r"\w+Backward0", node_name(dropped(x)))
    derivatives_agree(dropped, x)
    (g,) = tg.autograd.grad(dropped(x).sum().real if dtype.is_complex else dropped(x).sum(), x)
    kept = dropped(x).detach().numpy() != 0
    close(g, np.where(kept, 1 / 0.6, 0))


def test_dropout_in_place_through_a_view_and_its_sibling():
    leaf = values(2, 50)
    base = leaf.clone()
    view, sibling = base[1], base[1]
    tg.manual_seed(1)
    tg.dropout_(view, 0.5, True)
    kept = sibling.detach().numpy() != 0
    assert 0 < kept.sum() < 50
    close(sibling, np.where(kept, 2 * leaf.detach().numpy()[1], 0))
    base.sum().backward()
    close(leaf.grad, np.stack([np.ones(50), np.where(kept, 2.0, 0)]))


def test_dropout_tangent_and_vmap():
    x = values(20, requires_grad=False)
    tg.manual_seed(2)
    scale = tangent(lambda d: tg.dropout(d, 0.5, True), x, tg.ones_like(x)).numpy()
    assert set(scale.tolist()) == {0.0, 2.0}
    tg.manual_seed(2)
    half = tangent(lambda d: tg.dropout(d, 0.5, True)[10:], x, tg.ones_like(x))
    close(half, scale[10:])
    rows = tg.ones(4, 5, 30)
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda row: tg.dropout(row, 0.5, True))(rows)
    same = vmap(vmap(lambda r: tg.dropout(r, 0.5, True), randomness="same"), randomness="same")(rows)
    assert all(tg.equal(row, same[0, 0]) for part in same for row in part)
    different = vmap(lambda row: tg.dropout(row, 0.5, True), randomness="different")(rows)
    assert different.shape == rows.shape
    assert not tg.equal(different[0], different[1])
    g = vmap(grad(lambda row: tg.dropout(row, 0.5, True).sum()), randomness="different")(rows)
    assert set(g.flatten().tolist()) == {0.0, 2.0}


# ---- linear_relu ------------------------------------------------------------------------------------
def linear_relu(x, w, b):
    return np.maximum(x @ w.T + b, 0)


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16, tg.float32, tg.float64])
def test_linear_relu_in_every_dtype(dtype):
    x, w = tg.tensor([[1, 2], [3, 4]]).to(dtype), tg.tensor([[1, -1], [1, 1], [0, 2]]).to(dtype)
    out = tg.linear_relu(x, w, tg.tensor([0, 0, -5]).to(dtype))
    assert (out.dtype, out.tolist()) == (dtype, [[0, 3, 0], [0, 7, 3]])
    assert tg.linear_relu(x, w).tolist() == [[0, 3, 4], [0, 7, 8]]


def test_linear_relu_derivatives():
    x, w, b = values(3, 4), values(2, 4, seed=2), values(2, seed=3)
    out = tg.linear_relu(x, w, b)
    close(out, linear_relu(x.detach().numpy(), w.detach().numpy(), b.detach().numpy()))
    assert node_name(out) == "LinearReluBackward0"
    derivatives_agree(tg.linear_relu, x, w, b)
    derivatives_agree(tg.linear_relu, x, w)


def test_linear_relu_has_no_complex_kernel():
    """A complex number is neither positive nor negative: relu of one is refused, as PyTorch refuses it."""
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        tg.linear_relu(values(3, 4, dtype=tg.complex128), values(2, 4, dtype=tg.complex128))


def test_linear_relu_of_a_view_written_in_place():
    leaf, w = values(2, 3), values(2, 3, seed=2)
    base = leaf.clone()
    view, sibling = base[1:], base[1:]
    view.mul_(-1)
    out = tg.linear_relu(sibling, w)
    out.sum().backward()
    active = (out.detach().numpy() > 0).astype(float)
    close(leaf.grad, np.concatenate([np.zeros((1, 3)), -active @ w.detach().numpy()]))


def test_linear_relu_tangent_and_vmap():
    x, w = values(5, 3, requires_grad=False), values(2, 3, seed=2, requires_grad=False)
    b, t = values(2, seed=3, requires_grad=False), values(5, 3, seed=4, requires_grad=False)
    expected = linear_relu(x.numpy(), w.numpy(), b.numpy())
    change = (expected > 0) * (t.numpy() @ w.numpy().T)
    close(tangent(lambda d: tg.linear_relu(d, w, b), x, t), change)
    close(tangent(lambda d: tg.linear_relu(d[1:], w, b), x, t), change[1:])
    close(vmap(lambda row: tg.linear_relu(row, w, b))(x), expected)
    close(vmap(vmap(lambda row: tg.linear_relu(row, w, b)))(x[None]), expected[None])
    weights = tg.stack([w, -w])
    both = vmap(tg.linear_relu, in_dims=(None, 0, None))(x, weights, b)
    close(both[1], linear_relu(x.numpy(), -w.numpy(), b.numpy()))
    g = vmap(grad(lambda row: tg.linear_relu(row, w, b).sum()))(x)
    close(g, (expected > 0) @ w.numpy())
