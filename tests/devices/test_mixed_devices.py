"""Tensors on several devices: what is refused, what is admitted, and how gradients find their way back."""

import copy
import pickle

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim

DIRECTIONS = [
    ("cpu", "ghost:0"),
    ("ghost:0", "cpu"),
    ("ghost:0", "ghost:1"),
    ("ghost:1", "ghost:0"),
    ("cpu", "cpu"),
]


@pytest.fixture
def pair(ghost):
    """A 2x2 tensor on the CPU and one on the ghost."""
    x = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    return x, x.to("ghost")


# ---- refused -----------------------------------------------------------------------------------------
INDEX = tensorgrad.tensor([[0, 1]])


@pytest.mark.parametrize(
    "name, call",
    [
        ("add", lambda x, y: x + y),
        ("where", lambda x, y: tensorgrad.where(x > 1, x, y)),
        ("mul_", lambda x, y: x.mul_(y)),
        ("mm", lambda x, y: tensorgrad.mm(x, y)),
        ("matmul", lambda x, y: x @ y),
        ("cat", lambda x, y: tensorgrad.cat((x, y))),
        ("stack", lambda x, y: tensorgrad.stack((x, y))),
        ("scatter_add", lambda x, y: x.scatter_add(0, INDEX.to(x.device), y)),
        ("gather", lambda x, y: x.gather(0, INDEX.to(y.device))),
        ("index_put_", lambda x, y: x.index_put_((INDEX[0].to(x.device),), y)),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_mixed_arguments_are_refused_by_name(name, call, swapped, pair):
    x, y = reversed(pair) if swapped else pair
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device") as caught:
        call(x, y)
    message = str(caught.value)
    assert "ghost:0" in message and "cpu" in message
    assert name in message or name in ("matmul", "stack"), message
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]], "refused before anything is written"


def test_two_numbers_of_one_type_are_two_devices(ghost):
    x, y = tensorgrad.ones(2, device="ghost:0"), tensorgrad.ones(2, device="ghost:1")
    with pytest.raises(RuntimeError, match=r"ghost:0 and ghost:1! \(add: move one of them"):
        x + y


def test_indices_may_lie_on_the_cpu_but_not_the_other_way(pair):
    x, y = pair
    assert y[INDEX[0]].tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
        x[INDEX[0].to("ghost")]


# ---- admitted ----------------------------------------------------------------------------------------
def test_a_zero_dimensional_cpu_tensor_joins_any_device(pair):
    x, y = pair
    number = tensorgrad.tensor(2.0, dtype=tensorgrad.float64)
    for result in (y * number, number * y, y.clone().mul_(number)):
        assert result.device == y.device and result.dtype is tensorgrad.float32
        assert result.tolist() == (x * 2).tolist()
    assert tensorgrad.where(y > 2, y, number).tolist() == [[2.0, 2.0], [3.0, 4.0]]
    y[0] = number
    y[INDEX[0][:1]] = tensorgrad.tensor(5.0)
    assert y.tolist() == [[5.0, 5.0], [3.0, 4.0]]


def test_a_zero_dimensional_tensor_of_the_device_joins_nothing_else(pair):
    x, y = pair
    with pytest.raises(RuntimeError, match="same device"):
        x * y[0, 0]


def test_its_gradient_is_on_the_cpu_again(pair):
    _, y = pair
    number = tensorgrad.tensor(2.0, requires_grad=True)
    (y * number).sum().backward()
    assert number.grad.device.type == "cpu"
    assert number.grad.item() == 10.0


# ---- moving ------------------------------------------------------------------------------------------
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
def test_gradients_flow_back_through_a_copy(source, target, ghost):
    x = tensorgrad.tensor([1.0, 2.0, 3.0]).to(source).requires_grad_()
    y = tensorgrad.zeros(3, 2, 2, device=target)
    y[:, 1].copy_((x * 2).unsqueeze(1))  # into a view, broadcast
    (y * y).sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == [16.0, 32.0, 48.0]


@pytest.mark.parametrize("source, target", DIRECTIONS)
def test_what_lies_scattered_arrives_in_order(source, target, ghost):
    base = tensorgrad.arange(60.0).reshape(3, 4, 5)
    moved = base.to(source).permute(2, 0, 1)[::2, :, 1:].to(target)
    np.testing.assert_array_equal(moved.cpu().numpy(), base.numpy().transpose(2, 0, 1)[::2, :, 1:])


def test_to_returns_the_tensor_itself_where_it_is_there_already(pair):
    x, y = pair
    assert y.to("ghost") is y and y.to("ghost:0") is y and y.to(y) is y
    assert x.cpu() is x and y.to("ghost", copy=True) is not y
    assert x.to(y).device == y.device
    assert y.to("cpu").device.type == "cpu"


# ---- on the device ---------------------------------------------------------------------------------------
def test_printing_names_the_device(pair):
    _, y = pair
    assert repr(y) == "tensor([[1., 2.],\n        [3., 4.]], device='ghost:0')"
    assert repr(tensorgrad.ones(2, device="ghost:1", requires_grad=True)) == (
        "tensor([1., 1.], device='ghost:1', requires_grad=True)"
    )


def test_pickles_and_copies_stay_on_the_device(pair):
    _, y = pair
    for z in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert z.device == y.device and z.tolist() == y.tolist()
        z.zero_()
    assert y.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_in_place_writes_are_noticed(pair):
    _, y = pair
    y.requires_grad_()
    z = y * 2
    result = (z * z).sum()
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


def test_writes_to_views_enter_history(pair):
    _, y = pair
    y.requires_grad_()
    z = y.clone()
    z[0].mul_(3)
    z.t()[1] = 0.0
    z.sum().backward()
    assert y.grad.tolist() == [[3.0, 0.0], [1.0, 0.0]]
    assert y.grad.device == y.device


def test_gradients_accumulate_and_second_derivatives_exist_on_the_device(ghost):
    x = tensorgrad.tensor([1.0, -2.0], device="ghost", requires_grad=True)
    for _ in range(2):
        (x**3).sum().backward()
    assert x.grad.tolist() == [6.0, 24.0] and x.grad.device == x.device
    (first,) = tensorgrad.autograd.grad((x**3).sum(), [x], create_graph=True)
    (second,) = tensorgrad.autograd.grad(first.sum(), [x])
    assert second.tolist() == [6.0, -12.0]


def test_a_gradient_of_another_device_cannot_be_assigned(pair):
    x, y = pair
    with pytest.raises(RuntimeError, match="assigned grad has data located on a different device"):
        y.grad = x


def trained(device, steps=3):
    """A linear model after some steps of SGD."""
    tensorgrad.manual_seed(11)
    model = nn.Linear(4, 3).to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, target = tensorgrad.randn(8, 4).to(device), tensorgrad.randn(8, 3).to(device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((model(x) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.device.type == device and p.grad.device.type == device for p in model.parameters())
    return losses, [p.detach().cpu().numpy() for p in model.parameters()]


def test_training_on_the_device_is_training_on_the_cpu(ghost):
    losses, parameters = trained("cpu")
    ghost_losses, ghost_parameters = trained("ghost")
    np.testing.assert_allclose(ghost_losses, losses, rtol=1e-5)
    for a, b in zip(ghost_parameters, parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert losses[-1] < losses[0]


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
