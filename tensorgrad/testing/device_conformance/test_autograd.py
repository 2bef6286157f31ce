"""Autograd with tensors on several devices: what is refused, what is admitted, and how gradients find their way."""

from __future__ import annotations

import copy
import io
import pickle

import pytest

import tensorgrad
from tensorgrad.testing.device_conformance.comparing import widest

pytestmark = pytest.mark.smoke
INDEX = tensorgrad.tensor([[0, 1]])


@pytest.fixture
def pair(device):
    """A 2x2 tensor on the CPU and one on the device."""
    x = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    return x, x.to(device)


# ---- refused -----------------------------------------------------------------------------------------
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
def test_mixed_arguments_are_refused_by_name(name, call, swapped, pair, device):
    x, y = reversed(pair) if swapped else pair
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device") as caught:
        call(x, y)
    message = str(caught.value)
    assert device in message and "cpu" in message
    assert name in message or name in ("matmul", "stack"), message
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]], "refused before anything is written"


def test_indices_may_lie_on_the_cpu_but_not_the_other_way(pair, device):
    x, y = pair
    assert y[INDEX[0]].tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
        x[INDEX[0].to(device)]


# ---- admitted ----------------------------------------------------------------------------------------
def test_a_zero_dimensional_cpu_tensor_joins_any_device(pair):
    x, y = pair
    number = tensorgrad.tensor(2.0, dtype=tensorgrad.float64)
    for result in (y * number, number * y, y.clone().mul_(number)):
        assert result.device == y.device and result.dtype is tensorgrad.float32
        assert result.tolist() == (x * 2).tolist()
    assert tensorgrad.where(y > 2, y, number.float()).tolist() == [[2.0, 2.0], [3.0, 4.0]]
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


# ---- gradients -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", range(3))
def test_gradients_flow_back_through_a_move(way, device):
    source, target = [("cpu", device), (device, "cpu"), (device, device)][way]
    x = tensorgrad.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=widest(device)).to(source)
    x.requires_grad_()
    y = x.t()[1:].to(target, tensorgrad.float32)
    assert str(y.device) == target and y.dtype is tensorgrad.float32
    (y * y).sum().backward()
    assert x.grad.device == x.device and x.grad.dtype is x.dtype
    assert x.grad.tolist() == [[0.0, 4.0, 6.0], [0.0, 10.0, 12.0]]


@pytest.mark.parametrize("way", range(3))
def test_gradients_flow_back_through_a_copy(way, device):
    source, target = [("cpu", device), (device, "cpu"), (device, device)][way]
    x = tensorgrad.tensor([1.0, 2.0, 3.0]).to(source).requires_grad_()
    y = tensorgrad.zeros(3, 2, 2, device=target)
    y[:, 1].copy_((x * 2).unsqueeze(1))  # into a view, broadcast
    (y * y).sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == [16.0, 32.0, 48.0]


def test_a_graph_over_two_devices(device):
    """Forward over the devices and back, twice, with second derivatives."""
    x = tensorgrad.tensor([1.0, -2.0], requires_grad=True)
    y = (x.to(device) ** 2).cpu() * x
    (first,) = tensorgrad.autograd.grad(y.sum(), [x], create_graph=True)
    assert first.tolist() == [3.0, 12.0] and first.device.type == "cpu"
    (second,) = tensorgrad.autograd.grad(first.to(device).sum(), [x])
    assert second.tolist() == [6.0, -12.0]


def test_gradients_accumulate_on_the_device(device):
    x = tensorgrad.tensor([1.0, -2.0], device=device, requires_grad=True)
    for _ in range(2):
        (x**3).sum().backward()
    assert x.grad.tolist() == [6.0, 24.0] and x.grad.device == x.device


def test_transforms(device):
    x = tensorgrad.arange(6.0, device=device).reshape(2, 3)
    gradient = tensorgrad.func.vmap(tensorgrad.func.grad(lambda row: (row**2).sum()))(x)
    assert gradient.tolist() == (2 * x).tolist() and gradient.device == x.device
    _, tangent = tensorgrad.func.jvp(lambda x: x.sin(), (x,), (tensorgrad.ones_like(x),))
    tensorgrad.testing.assert_close(tangent, x.cos())


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


def test_a_gradient_of_another_device_cannot_be_assigned(pair):
    x, y = pair
    with pytest.raises(RuntimeError, match="assigned grad has data located on a different device"):
        y.grad = x


# ---- what tensors are, wherever they are ---------------------------------------------------------------
def test_printing_names_the_device(pair, device):
    _, y = pair
    assert repr(y) == f"tensor([[1., 2.],\n        [3., 4.]], device='{device}')"
    assert repr(tensorgrad.ones(2, device=device, requires_grad=True)) == (
        f"tensor([1., 1.], device='{device}', requires_grad=True)"
    )
    assert str(y.sum()) == f"tensor(10., device='{device}')"
    assert y[0, 1].item() == 2.0 and bool(y[0, 0]) and f"{y[1, 1]:.1f}" == "4.0"


def test_the_way_to_numpy_leads_over_the_cpu(pair):
    """The device is what the message names first, for a tensor that requires gradients too."""
    _, y = pair
    for x in (y, y.clone().requires_grad_(), y.to(tensorgrad.bfloat16)):
        with pytest.raises(TypeError, match=f"can't convert {y.device} device type tensor to numpy"):
            x.numpy()
        assert x.float().numpy(force=True).tolist() == y.tolist()


def test_pickles_and_copies_stay_on_the_device(pair):
    _, y = pair
    for z in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert z.device == y.device and z.tolist() == y.tolist()
        z.zero_()
    assert y.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_files_find_their_way_to_any_device(pair, device):
    x, y = pair
    file = io.BytesIO()
    tensorgrad.save({"here": x, "there": y, "view": y.t()}, file)

    def loaded(**options):
        file.seek(0)
        return tensorgrad.load(file, **options)

    same = loaded()
    assert same["here"].device.type == "cpu" and same["there"].device == y.device
    assert same["view"].tolist() == y.t().tolist()
    for place in ("cpu", device):
        everything = loaded(map_location=place)
        assert {str(z.device) for z in everything.values()} == {place}
        assert everything["there"].tolist() == y.tolist()
    swapped = loaded(map_location={device: "cpu"})
    assert swapped["there"].device.type == "cpu"
