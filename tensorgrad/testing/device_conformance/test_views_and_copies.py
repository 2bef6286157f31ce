"""Making tensors, views of them, and copies in all directions, whatever their dtypes and strides."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad import devices
from tensorgrad.testing.device_conformance.comparing import on_both, values
from tensorgrad.testing.sampling import DTYPES

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
    "make",
    [
        lambda d: tensorgrad.zeros(2, 3, device=d),
        lambda d: tensorgrad.ones(2, 0, device=d),
        lambda d: tensorgrad.ones((), device=d),
        lambda d: tensorgrad.full((2, 2), 2 - 1j, device=d),
        lambda d: tensorgrad.full((3,), 7, dtype=tensorgrad.bfloat16, device=d),
        lambda d: tensorgrad.full((3,), 2**62 + 1, device=d),
        lambda d: tensorgrad.full((3,), float("nan"), device=d),
        lambda d: tensorgrad.full((3,), True, device=d),
        lambda d: tensorgrad.eye(3, 4, device=d),
        lambda d: tensorgrad.arange(2, 9, 3, device=d),
        lambda d: tensorgrad.arange(0, 1, 0.3, dtype=tensorgrad.float16, device=d),
        lambda d: tensorgrad.linspace(-1, 1, 7, device=d),
        lambda d: tensorgrad.tensor([[1, 2], [3, 4]], device=d),
        lambda d: tensorgrad.as_tensor(np.arange(6).reshape(2, 3).T, device=d),
        lambda d: tensorgrad.zeros(3, device=d, dtype=tensorgrad.int8).fill_(-3.7),
        lambda d: tensorgrad.zeros(3, 4, device=d)[:, 1].fill_(2.5),
        lambda d: tensorgrad.zeros_like(tensorgrad.ones(2, 2, device=d)),
        lambda d: tensorgrad.ones(2, 2, device=d).new_full((2,), 1.5),
        lambda d: tensorgrad.empty(0, 3, device=d),
    ],
)
def test_constructors(make, device):
    cpu, other = on_both(make, device)
    np.testing.assert_array_equal(other, cpu)
    assert other.dtype == cpu.dtype


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(),
        lambda x: x[1:, ::2],
        lambda x: x[:, 1],
        lambda x: x[0, 0],
        lambda x: x[1:1],
        lambda x: x[None, 2].expand(5, 6),
        lambda x: x.diagonal(),
        lambda x: x.as_strided((3, 4), (2, 1), 5),
        lambda x: x.reshape(2, 2, 3, 2).permute(3, 0, 2, 1)[:, 1:],
        lambda x: x.t().reshape(-1),
        lambda x: x[tensorgrad.tensor([2, 0, 2])],
        lambda x: x[x > 10],
        lambda x: x.flip((0, 1)),
    ],
)
def test_views_and_indices(view, device):
    x = tensorgrad.arange(24.0).reshape(4, 6)
    there = view(x.to(device))
    assert there.stride() == view(x).stride()
    np.testing.assert_array_equal(values(there), values(view(x)))
    np.testing.assert_array_equal(values(there + 1), values(view(x) + 1))


def test_writes_through_views(device):
    x = tensorgrad.zeros(4, 6)
    y = x.to(device)
    for z in (x, y):
        z[1:, ::2].add_(1)
        z.t()[0] = 5
        z[2].copy_(tensorgrad.arange(6))
        z[tensorgrad.tensor([0, 3]).to(z.device), 1] = 7.0
        z.diagonal().mul_(-2)
    np.testing.assert_array_equal(values(y), values(x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_copies_to_the_device_and_back(dtype, device):
    x = tensorgrad.tensor([[0, 1, 3], [1, 0, 5]]).to(dtype)
    assert values(x.to(device)).tolist() == values(x).tolist()
    np.testing.assert_array_equal(values(x.t().to(device)), values(x.t()))
    np.testing.assert_array_equal(values(x.to(device).t().clone()), values(x.t()))
    np.testing.assert_array_equal(values(x.to(device)[:, 1:]), values(x[:, 1:]))


def directions(device):
    return [("cpu", device), (device, "cpu"), (device, device)]


@pytest.mark.parametrize("way", range(3))
def test_scattered_elements_arrive_in_order(way, device):
    source, target = directions(device)[way]
    base = tensorgrad.arange(60.0).reshape(3, 4, 5)
    moved = base.to(source).permute(2, 0, 1)[::2, :, 1:].to(target, copy=True)
    np.testing.assert_array_equal(values(moved), base.numpy().transpose(2, 0, 1)[::2, :, 1:])
    place = tensorgrad.zeros(6, 8, device=target)
    place.t()[::2, 1::2].copy_(base.to(source)[:, :, 0].t())
    expected = np.zeros((6, 8), np.float32)
    expected.T[::2, 1::2] = base.numpy()[:, :, 0].T
    np.testing.assert_array_equal(values(place), expected)


def test_copies_between_devices_of_a_type(device):
    kind, _, index = device.partition(":")
    count = devices.backend(kind).device_count()
    if count < 2:
        pytest.skip(f"there is one device of type {kind}")
    other = f"{kind}:{(int(index) + 1) % count}"
    x = tensorgrad.arange(6.0, device=device).reshape(2, 3)
    y = x.t().to(other)
    assert str(y.device) == other
    np.testing.assert_array_equal(values((y * 2).to(device)), values(x).T * 2)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        x.t() + y


def test_to_returns_what_is_there_already(device):
    x = tensorgrad.ones(2, device=device)
    assert x.to(device) is x and x.to(x) is x and x.to(device, copy=True) is not x


def test_large_tensors(device):
    x = tensorgrad.arange(1 << 20, dtype=tensorgrad.int64, device=device)
    assert int(x.sum()) == (1 << 19) * ((1 << 20) - 1)
    y = x.reshape(1024, 1024).t().contiguous()
    assert y[3, 5].item() == 5 * 1024 + 3
    np.testing.assert_array_equal(values(y[::100, ::99]), values(x).reshape(1024, 1024).T[::100, ::99])


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_tensors_without_elements(shape, device):
    x = tensorgrad.empty(shape, device=device, requires_grad=True)
    assert (x + 1).shape == x.exp().shape == tensorgrad.Size(shape)
    assert x.sum().item() == 0.0 and x.prod().item() == 1.0
    (x * 2).sum().backward()
    assert x.grad.shape == x.shape and x.grad.device == x.device
    assert x.to("cpu").shape == x.clone().shape == x.reshape(-1, 1).t().t().reshape(shape).shape
    assert tensorgrad.cat((x, x)).shape[0] == 2 * shape[0]
    assert (tensorgrad.zeros(2, 0, device=device) @ tensorgrad.zeros(0, 3, device=device)).tolist() == [[0.0] * 3] * 2
