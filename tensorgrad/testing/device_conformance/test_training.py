"""Modules and optimisers on the device: the chapter's model learns there what it learns on the CPU."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad.testing.device_conformance.comparing import values


class TinyModel(nn.Module):
    """The model of the chapter."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(1000, 100)
        self.relu = nn.ReLU()
        self.layer2 = nn.Linear(100, 10)

    def forward(self, x):
        return self.layer2(self.relu(self.layer1(x)))


def trained(device, steps=5, lr=1e-4, make=TinyModel, **options):
    """The losses of some steps of SGD, and the parameters after them."""
    tensorgrad.manual_seed(11)
    model = make()
    x, target = tensorgrad.randn(16, 1000), tensorgrad.randn(16, 10)
    model, x, target = model.to(device), x.to(device), target.to(device)
    optimizer = optim.SGD(model.parameters(), lr=lr, **options)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (target - model(x)).pow(2).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    places = {str(p.device) for p in model.parameters()} | {str(p.grad.device) for p in model.parameters()}
    assert places == {str(x.device)}
    return losses, [values(p) for p in model.parameters()]


@pytest.mark.smoke
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}], ids=str)
def test_tiny_model_learns_as_on_the_cpu(options, device):
    losses, parameters = trained("cpu", **options)
    losses_there, parameters_there = trained(device, **options)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses_there, losses, rtol=1e-5)
    for a, b in zip(parameters_there, parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def optimizers():
    """Every optimiser that there is and that takes parameters alone; two of them say most."""
    found = []
    for name in sorted(optim.__all__):
        kind = getattr(optim, name)
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer:
            found.append(pytest.param(kind, marks=[pytest.mark.smoke] if kind in (optim.SGD, optim.Adam) else []))
    return found


@pytest.mark.parametrize("kind", optimizers(), ids=lambda kind: kind.__name__)
def test_optimizers(kind, device):
    results = []
    for place in ("cpu", device):
        tensorgrad.manual_seed(2)
        model = nn.Linear(5, 3)
        x = tensorgrad.randn(8, 5)
        model, x = model.to(place), x.to(place)
        optimizer = kind(model.parameters(), lr=0.01)

        def closure(model=model, x=x, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        saved = optimizer.state_dict()
        optimizer.load_state_dict(copy.deepcopy(saved))
        optimizer.step(closure)
        results.append([values(p) for p in model.parameters()])
    for a, b in zip(*reversed(results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def layers():
    """For each family of layers a module, and the shape of its input."""
    seq = nn.Sequential
    return {
        "linear": (lambda: seq(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), (5, 6)),
        "activations": (lambda: seq(nn.Linear(6, 4, bias=False), nn.Tanh(), nn.Sigmoid()), (2, 3, 6)),
        "dropout": (lambda: seq(nn.Linear(4, 4), nn.Dropout(0.4)), (3, 4)),
        "softmax": (lambda: seq(nn.GELU(), nn.SiLU(), nn.LogSoftmax(1)), (3, 4)),
        "conv": (lambda: seq(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2)), (2, 2, 6, 7)),
        "groups": (lambda: seq(nn.Conv1d(4, 4, 3, groups=2, dilation=2, stride=2), nn.AvgPool1d(2)), (2, 4, 11)),
        "transposed": (lambda: seq(nn.ConvTranspose2d(3, 2, 3, stride=2), nn.AdaptiveAvgPool2d(2)), (2, 3, 4, 3)),
        "volume": (lambda: nn.Conv3d(1, 2, 2), (1, 1, 3, 4, 3)),
        "norms": (lambda: seq(nn.LayerNorm(6), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4)), (3, 4, 6)),
        "lstm": (lambda: nn.LSTM(4, 5, 2, bidirectional=True), (3, 2, 4)),
        "gru": (lambda: nn.GRU(4, 5, batch_first=True), (2, 3, 4)),
        "rnn": (lambda: nn.RNN(4, 3), (3, 2, 4)),
    }


@pytest.mark.parametrize("name", [pytest.param("linear", marks=pytest.mark.smoke), *list(layers())[1:]])
def test_modules(name, device):
    """What a module returns, its gradients and its buffers are the CPU's."""
    make, shape = layers()[name]
    tensorgrad.manual_seed(4)
    module = make()
    there = copy.deepcopy(module).to(device)
    assert all(str(p.device) == device for p in there.parameters())
    x = tensorgrad.randn(shape, requires_grad=True)
    y = x.detach().to(device).requires_grad_()
    results = []
    for model, given in ((module, x), (there, y)):
        tensorgrad.manual_seed(5)  # for dropout
        found = model(given)
        found = found[0] if isinstance(found, tuple) else found
        (found**2).sum().backward()
        state = [*model.parameters(), *model.buffers()]
        results.append([found, given.grad, *[p.grad for p in model.parameters()], *state])
    for a, b in zip(results[1], results[0], strict=True):
        assert str(a.device) == device
        tensorgrad.testing.assert_close(a.detach().cpu(), b.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.smoke
def test_modules_are_made_on_the_device(device):
    tensorgrad.manual_seed(9)
    here = nn.Linear(4, 3)
    tensorgrad.manual_seed(9)
    there = nn.Linear(4, 3, device=device)
    assert str(there.weight.device) == device
    np.testing.assert_array_equal(values(there.weight), values(here.weight))
    half = there.to(tensorgrad.float16)
    assert half.weight.dtype is tensorgrad.float16 and str(half.weight.device) == device
    assert there.float().cpu().weight.device.type == "cpu"


@pytest.mark.smoke
@pytest.mark.parametrize("kind", [nn.MSELoss, nn.L1Loss, nn.BCEWithLogitsLoss], ids=lambda kind: kind.__name__)
def test_losses(kind, device):
    x = tensorgrad.tensor([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]])
    target = tensorgrad.tensor([[0.0, 1.0, 1.0], [0.3, 0.5, 0.0]])
    results = []
    for place in ("cpu", device):
        y = x.clone().to(place).detach().requires_grad_()
        loss = kind()(y, target.to(place))
        loss.backward()
        results.append((loss.item(), values(y.grad)))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-5, atol=1e-7)


@pytest.mark.smoke
def test_dropout_is_the_cpus(device):
    layer, x = nn.Dropout(0.4), tensorgrad.ones(50)
    tensorgrad.manual_seed(1)
    expected = layer(x)
    tensorgrad.manual_seed(1)
    assert layer(x.to(device)).tolist() == expected.tolist()


@pytest.mark.smoke
def test_state_dicts_find_their_way_to_any_device(device):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)).to(device)
    file = io.BytesIO()
    tensorgrad.save(model.state_dict(), file)
    for place in ("cpu", device):
        file.seek(0)
        state = tensorgrad.load(file, map_location=place)
        assert {str(x.device) for x in state.values()} == {place}
        other = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)).to(device)
        other.load_state_dict(state)
        assert {str(p.device) for p in other.parameters()} == {device}
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_array_equal(values(p), values(q))


@pytest.mark.smoke
def test_gradients_are_clipped(device):
    model = nn.Linear(3, 2).to(device)
    (model(tensorgrad.ones(4, 3, device=device)) * 100).sum().backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert str(norm.device) == device and norm.item() > 1
    total = sum((p.grad**2).sum().item() for p in model.parameters()) ** 0.5
    assert total == pytest.approx(1.0, rel=1e-4)
