"""Averaged models and their schedule."""

import math

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad_optim import swa_utils

VALUES = (1.0, 2.0, 6.0, -4.0)


def averages(**options):
    model = nn.Linear(2, 1)
    model.register_buffer("count", tensorgrad.zeros(1))
    averaged = swa_utils.AveragedModel(model, **options)
    found = []
    for value in VALUES:
        nn.init.constant_(model.weight, value)
        model.count.fill_(value)
        averaged.update_parameters(model)
        found.append((averaged.module.weight[0, 0].item(), averaged.module.count.item()))
    assert averaged.n_averaged.item() == len(VALUES)
    assert averaged.module.weight.requires_grad
    return found


def test_equal_weights():
    for options in ({}, {"avg_fn": swa_utils.get_swa_avg_fn()}, {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}):
        found = averages(**options)
        assert [weight for weight, _ in found] == pytest.approx([1.0, 1.5, 3.0, 1.25])
        assert [count for _, count in found] == list(VALUES)
        found = averages(use_buffers=True, **options)
        assert [count for _, count in found] == pytest.approx([1.0, 1.5, 3.0, 1.25])


def test_exponential_weights():
    for options in (
        {"avg_fn": swa_utils.get_ema_avg_fn(0.75)},
        {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)},
    ):
        expected = [VALUES[0]]
        for value in VALUES[1:]:
            expected.append(0.75 * expected[-1] + 0.25 * value)
        assert [weight for weight, _ in averages(**options)] == pytest.approx(expected)


def test_forward_and_state():
    model = nn.Linear(2, 1)
    averaged = swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    x = tensorgrad.ones(3, 2)
    assert averaged(x).tolist() == model(x).tolist()
    assert sorted(averaged.state_dict()) == ["module.bias", "module.weight", "n_averaged"]


def test_refusals():
    with pytest.raises(ValueError, match="Invalid decay value 2 provided"):
        swa_utils.get_ema_avg_fn(2)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(nn.Identity(), avg_fn=abs, multi_avg_fn=abs)
    optimizer = optim.SGD([nn.Parameter(tensorgrad.ones(1))], lr=1.0)
    with pytest.raises(ValueError, match="anneal_strategy must be one of"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="x")
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 4])
def test_schedule(strategy, epochs):
    optimizer = optim.SGD([nn.Parameter(tensorgrad.ones(1))], lr=1.0)
    scheduler = swa_utils.SWALR(optimizer, 0.2, anneal_epochs=epochs, anneal_strategy=strategy)
    for t in range(7):
        part = 1.0 if epochs == 0 else min(1.0, t / epochs)
        part = (1 - math.cos(math.pi * part)) / 2 if strategy == "cos" else part
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 * part + 1.0 * (1 - part)), t
        optimizer.step()
        scheduler.step()


class Running(nn.Module):
    """As a batch normalisation keeps its mean: with momentum None every batch counts the same."""

    def __init__(self):
        super().__init__()
        self.momentum = 0.1
        self.reset_running_stats()

    def reset_running_stats(self):
        self.mean, self.number = 0.0, 0

    def forward(self, x):
        if self.training:
            self.number += 1
            share = 1 / self.number if self.momentum is None else self.momentum
            self.mean += share * (x.mean().item() - self.mean)
        return x


def test_update_bn():
    layer = Running()
    model = nn.Sequential(layer)
    layer(tensorgrad.full((2,), 100.0))
    model.eval()
    swa_utils.update_bn([tensorgrad.full((2,), 1.0), (tensorgrad.full((2,), 4.0), "label")], model)
    assert layer.mean == pytest.approx(2.5)
    assert (layer.momentum, model.training, layer.training) == (0.1, False, False)
    swa_utils.update_bn(iter(()), nn.Identity())
