"""Parameter and Buffer."""

import copy
import pickle

import pytest

import tensorgrad
import tensorgrad_nn as nn


def test_repr():
    assert (
        repr(nn.Parameter(tensorgrad.ones(2)))
        == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    )
    assert repr(nn.Parameter(tensorgrad.ones(2), False)) == "Parameter containing:\ntensor([1., 1.])"


def test_empty():
    assert nn.Parameter().tolist() == []
    assert nn.Buffer().tolist() == []


def test_shares_memory_and_is_a_leaf():
    data = tensorgrad.zeros(2)
    parameter = nn.Parameter(data)
    data.fill_(3.0)
    assert parameter.tolist() == [3.0, 3.0]
    computed = tensorgrad.ones(2, requires_grad=True) * 2
    assert nn.Parameter(computed).is_leaf


def test_requires_grad_also_under_no_grad():
    with tensorgrad.no_grad():
        assert nn.Parameter(tensorgrad.ones(1)).requires_grad


def test_operators_return_plain_tensors():
    parameter = nn.Parameter(tensorgrad.ones(2))
    assert type(parameter) is nn.Parameter
    assert type(parameter + 1) is type(parameter.detach()) is type(parameter.data)
    assert not isinstance(parameter + 1, nn.Parameter)


def test_integers_cannot_require_gradients():
    with pytest.raises(RuntimeError, match="(?i)only tensors of floating point"):
        nn.Parameter(tensorgrad.ones(2, dtype=tensorgrad.int64))


class Marked(nn.Parameter):
    pass


@pytest.mark.parametrize("cls", [nn.Parameter, Marked])
@pytest.mark.parametrize("copier", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(cls, copier):
    original = cls(tensorgrad.tensor([1.0, 2.0]), requires_grad=False)
    copied = copier(original)
    assert type(copied) is cls
    assert (copied.tolist(), copied.requires_grad) == ([1.0, 2.0], False)
    copied.fill_(7.0)
    assert original.tolist() == [1.0, 2.0]


def test_deepcopy_keeps_sharing():
    parameter = nn.Parameter(tensorgrad.ones(1))
    first, second = copy.deepcopy([parameter, parameter])
    assert first is second
