"""Tensors on two devices of one type, which not every machine has: the rest is in the conformance suite."""

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim

DIRECTIONS = [("ghost:0", "ghost:1"), ("ghost:1", "ghost:0"), ("cpu", "ghost:1")]


def test_two_numbers_of_one_type_are_two_devices(ghost):
    x, y = tensorgrad.ones(2, device="ghost:0"), tensorgrad.ones(2, device="ghost:1")
    with pytest.raises(RuntimeError, match=r"ghost:0 and ghost:1! \(add: move one of them"):
        x + y


@pytest.mark.parametrize("source, target", DIRECTIONS)
def test_gradients_flow_back_through_a_move(source, target, ghost):
    x = tensorgrad.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=tensorgrad.float64).to(source)
    x.requires_grad_()
    y = x.t()[1:].to(target, tensorgrad.float32)
    assert str(y.device) == target and y.dtype is tensorgrad.float32
    (y * y).sum().backward()
    assert x.grad.device == x.device and x.grad.dtype is tensorgrad.float64
    assert x.grad.tolist() == [[0.0, 4.0, 6.0], [0.0, 10.0, 12.0]]


@pytest.mark.parametrize("source, target", DIRECTIONS)
def test_what_lies_scattered_arrives_in_order(source, target, ghost):
    base = tensorgrad.arange(60.0).reshape(3, 4, 5)
    moved = base.to(source).permute(2, 0, 1)[::2, :, 1:].to(target)
    np.testing.assert_array_equal(moved.cpu().numpy(), base.numpy().transpose(2, 0, 1)[::2, :, 1:])


def test_the_current_device_is_where_a_move_goes(ghost):
    y = tensorgrad.ones(2).to("ghost")
    assert y.to("ghost") is y and y.to("ghost:0") is y and y.to(y) is y
    assert repr(tensorgrad.ones(2, device="ghost:1")) == "tensor([1., 1.], device='ghost:1')"


# ---- optimisers --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "Adamax", "RMSprop"])
def test_optimisers_step_where_the_parameters_are(ghost, name):
    options = {"momentum": 0.9} if name == "SGD" else {}
    results = []
    for where in ("cpu", "ghost"):
        parameter = nn.Parameter(tensorgrad.tensor([1.0, -2.0, 3.0], device=where))
        optimizer = getattr(optim, name)([parameter], lr=0.1, weight_decay=0.1, **options)
        for _ in range(3):
            optimizer.zero_grad()
            (parameter * parameter).sum().backward()
            optimizer.step()
        results.append(parameter.cpu().tolist())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)
