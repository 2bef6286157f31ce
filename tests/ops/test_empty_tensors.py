"""Tensors without elements, and orders that ask for nothing."""

import pytest

import tensorgrad as tg


def test_cumprod():
    x = tg.ones(2, 0, dtype=tg.float64, requires_grad=True)
    for dim in (0, 1):
        (g,) = tg.autograd.grad(x.cumprod(dim).sum(), x)
        assert g.shape == (2, 0)


def test_differences_of_order_zero():
    """As in PyTorch what is put before or behind does not count then."""
    x = tg.arange(3.0)
    assert tg.diff(x, 0, prepend=tg.ones(2), append=tg.ones(1)).tolist() == [0, 1, 2]
    assert tg.diff(x, 1, prepend=tg.ones(1)).tolist() == [-1, 1, 1]


def test_differences_of_more_than_there_is():
    x = tg.ones(2, 3, requires_grad=True)
    for n in (3, 4, 17):
        out = tg.diff(x, n, 1)
        assert out.shape == (2, 0)
        assert tg.autograd.grad(out.sum(), x)[0].abs().sum().item() == 0


def test_choices_of_too_few():
    x = tg.ones(1, dtype=tg.float64, requires_grad=True)
    out = tg.combinations(x, 2)
    assert out.shape == (0, 2)
    assert tg.autograd.grad(out.sum(), x)[0].tolist() == [0]
    assert tg.combinations(tg.arange(3), 0).shape == (0,)


def test_no_dimension_of_none():
    x = tg.tensor(3.0, requires_grad=True)
    for source, destination in ((0, -1), (-1, 0), ((), ()), ((0,), (0,))):
        out = x.movedim(source, destination)
        assert out.shape == () and out.requires_grad


@pytest.mark.parametrize("keepdim", [False, True])
def test_truth_over_no_dimension(keepdim):
    """An empty tuple of dimensions leaves each element by itself; a sum takes it for all of them."""
    x = tg.tensor([[1, 0], [2, 3]])
    for name in ("all", "any"):
        assert getattr(tg, name)(x, dim=(), keepdim=keepdim).tolist() == [[True, False], [True, True]]
    assert tg.sum(x, dim=()).item() == 6


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_searching_rows_without_elements(shape):
    found = tg.searchsorted(tg.ones(shape), tg.ones(shape))
    assert found.shape == shape and found.dtype is tg.int64
