"""Optimisers and schedules of learning rates: the parameters and rates after some steps."""

import pytest

from .compare import both, for_each

pytestmark = pytest.mark.parity

ALGORITHMS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {"lr": 1.0}),
    ("NAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1}),
    ("Rprop", {"lr": 0.1}),
]


@for_each(*ALGORITHMS)
def test_steps(t, name, options):
    x, target = t.vec(1.0, -2.0, 3.0), t.vec(0.5, 0.5, 0.5, requires_grad=False)
    optimizer = getattr(t.optim, name)([x], **options)
    path = []
    for _ in range(6):
        optimizer.zero_grad()
        ((x - target) ** 2 + (x - target) ** 4 * 0.1).sum().backward()
        optimizer.step()
        path.append(x.tolist())
    return path, sorted(optimizer.state_dict()["param_groups"][0]["params"])


@both
def test_groups(t):
    x, y = t.vec(1.0), t.vec(1.0)
    optimizer = t.optim.SGD([{"params": [x], "lr": 0.5}, {"params": [y]}], lr=0.1)
    (x * x + y * y).sum().backward()
    optimizer.step()
    return x, y, [group["lr"] for group in optimizer.param_groups]


SCHEDULES = [
    ("StepLR", {"step_size": 2, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5], "gamma": 0.1}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 5}),
    ("LinearLR", {"start_factor": 0.25, "total_iters": 4}),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 10}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}),
]


@for_each(*SCHEDULES)
def test_schedule(t, name, options):
    x = t.vec(1.0)
    optimizer = t.optim.SGD([x], lr=0.5, momentum=0.9)
    schedule = getattr(t.optim.lr_scheduler, name)(optimizer, **options)
    rates = []
    for _ in range(8):
        x.sum().backward()
        optimizer.step()
        schedule.step()
        rates.append((optimizer.param_groups[0]["lr"], schedule.get_last_lr()[0]))
    return rates


@both
def test_reduce_on_plateau(t):
    optimizer = t.optim.SGD([t.vec(1.0)], lr=1.0)
    schedule = t.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
    rates = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.96, 0.97):
        schedule.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates
