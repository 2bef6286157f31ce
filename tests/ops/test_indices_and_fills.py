"""Masks without dimensions, indices that repeat, and tensors that are overwritten."""

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import gradcheck, gradgradcheck

from .proof import node_name, values


# ---- masks without dimensions ----------------------------------------------------------------------------
@pytest.mark.parametrize("mask", [True, False, np.bool_(True), tg.tensor(True), tg.tensor(False), tg.tensor(1, dtype=tg.uint8)])
def test_a_mask_without_dimensions_adds_one(mask):
    x = tg.arange(6.0).reshape(2, 3)
    n = int(bool(mask))
    plain = np.arange(6.0).reshape(2, 3)
    for items in ((mask,), (mask, 1), (slice(None), mask), (..., mask), (1, mask, None)):
        expected = plain[tuple(bool(i) if i is mask else i for i in items)]
        found = x[items if len(items) > 1 else mask]
        assert tuple(found.shape) == expected.shape
        assert found.tolist() == expected.tolist()
    assert tg.tensor(3.0)[mask].tolist() == [3.0] * n


def test_writing_by_a_mask_without_dimensions():
    x = tg.arange(4.0)
    x[tg.tensor(False)] = 9.0
    assert x.tolist() == [0, 1, 2, 3]
    x[tg.tensor(True)] = 7.0
    assert x.tolist() == [7] * 4
    leaf = values(3)
    y = leaf.clone()
    y[tg.tensor(True)] = 2 * leaf
    assert tg.autograd.grad(y.sum(), leaf)[0].tolist() == [2] * 3


def test_indices_that_are_no_tensors_are_refused():
    x = tg.arange(24.0).reshape(4, 2, 3)
    for indices in ((1, 2), ("a",), ([0],), (2.5, tg.tensor([0]))):
        with pytest.raises(TypeError, match="argument 'indices' .* must be tuple of Tensors"):
            x.index_put_(indices, tg.ones(3))
    with pytest.raises(IndexError, match="tensors used as indices must be long, int, byte or bool tensors"):
        x.index_put_((tg.ones(2),), tg.ones(2, 3))
    with pytest.raises(IndexError, match="at least one of the indices"):
        x.index_put_((None,), tg.ones(2, 3))


# ---- index_fill -------------------------------------------------------------------------------------------
def test_a_place_that_is_filled_twice_counts_once():
    x, value = values(3, 4), tg.tensor(2.0, dtype=tg.float64, requires_grad=True)
    index = tg.tensor([1, 1, 3, 1])
    out = x.index_fill(1, index, value)
    weights = tg.arange(12.0, dtype=tg.float64).reshape(3, 4)
    of_x, of_value = tg.autograd.grad((out * weights).sum(), (x, value))
    assert of_value.item() == weights[:, [1, 3]].sum().item()
    assert of_x[:, [1, 3]].abs().sum().item() == 0 and of_x[:, [0, 2]].tolist() == weights[:, [0, 2]].tolist()
    assert gradcheck(lambda x, v: x.index_fill(1, index, v), (x, value), check_forward_ad=True)
    assert gradgradcheck(lambda x, v: x.index_fill(1, index, v), (x, value))


def test_index_fill_with_a_tensor():
    value = tg.tensor(7.0, requires_grad=True)
    assert tg.zeros(3).index_fill(0, tg.tensor([-1, 0]), value).tolist() == [7, 0, 7]
    assert tg.zeros(()).index_fill(0, tg.tensor([0]), value).shape == ()
    assert tg.zeros(3, dtype=tg.int64).index_fill(0, tg.tensor([2]), tg.tensor(5)).tolist() == [0, 0, 5]
    batch = tg.func.vmap(lambda x, i: x.index_fill(0, i, value))(tg.zeros(2, 3), tg.tensor([[0, 0], [1, 2]]))
    assert batch.tolist() == [[7, 0, 0], [0, 7, 7]]
    x = tg.zeros(2, 3)
    assert x.index_fill_(1, tg.tensor([1]), tg.tensor(4.0)) is x and x.tolist() == [[0, 4, 0]] * 2


# ---- what is overwritten ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda x: x.zero_(), "ZeroBackward0"),
        (lambda x: x.fill_(3.0), "FillBackward0"),
        (lambda x: x.copy_(tg.ones(3, dtype=tg.float64)), "CopyBackwards"),
    ],
    ids=["zero_", "fill_", "copy_"],
)
def test_what_is_overwritten_has_a_gradient_of_zeros(write, name):
    leaf = values(3)
    x = leaf * 2
    write(x)
    assert node_name(x) == name
    x.sum().backward()
    assert leaf.grad.tolist() == [0, 0, 0]
    assert gradcheck(lambda leaf: write(leaf * 2) + leaf, (leaf,))


def test_copies_of_squeezed_tensors():
    x = values(2, 1, 3, 1)
    for dims in ((), (1,), ((1, 3),)):
        out = tg.squeeze_copy(x, *dims)
        assert out.shape == x.squeeze(*dims).shape
        assert out.data_ptr() != x.data_ptr()
    assert tg.autograd.grad(tg.squeeze_copy(x).sum(), x)[0].shape == x.shape
