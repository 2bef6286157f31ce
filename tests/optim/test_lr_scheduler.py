"""Schedules: their rates against closed forms written here, saving, warnings and refusals."""

import gc
import math
import warnings
import weakref

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad_optim import lr_scheduler

BASE = (0.5, 0.03)


def optimizer_of(kind="SGD", lr=BASE, **options):
    if kind == "SGD":
        options.setdefault("momentum", 0.9)
    groups = [{"params": [nn.Parameter(tensorgrad.ones(1))], "lr": rate} for rate in lr]
    return getattr(optim, kind)(groups, lr=0.1, **options)


def rates(optimizer, scheduler, steps):
    """The rates of each step; those of the groups and `get_last_lr` agree."""
    found = []
    for _ in range(steps):
        last = [float(rate) for rate in scheduler.get_last_lr()]
        assert last == [float(group["lr"]) for group in optimizer.param_groups]
        found.append(last)
        optimizer.step()
        scheduler.step()
    return found


def triangle(t, up, down):
    t = t % (up + down)
    return t / up if t <= up else 1 - (t - up) / down


FORMULAS = {
    "LambdaLR": (lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t), lambda b, t: b * 0.9**t),
    "MultiplicativeLR": (lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9), lambda b, t: b * 0.9**t),
    "StepLR": (lambda o: lr_scheduler.StepLR(o, 3, 0.5), lambda b, t: b * 0.5 ** (t // 3)),
    "MultiStepLR": (
        lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 5], 0.5),
        lambda b, t: b * 0.5 ** ((t >= 2) + 2 * (t >= 5)),
    ),
    "ConstantLR": (lambda o: lr_scheduler.ConstantLR(o, 0.3, 4), lambda b, t: b * (0.3 if t < 4 else 1)),
    "LinearLR": (
        lambda o: lr_scheduler.LinearLR(o, 0.2, 0.9, 6),
        lambda b, t: b * (0.2 + 0.7 * min(t, 6) / 6),
    ),
    "ExponentialLR": (lambda o: lr_scheduler.ExponentialLR(o, 0.8), lambda b, t: b * 0.8**t),
    "PolynomialLR": (
        lambda o: lr_scheduler.PolynomialLR(o, 6, 2.0),
        lambda b, t: b * (1 - min(t, 6) / 6) ** 2,
    ),
    "CosineAnnealingLR": (
        lambda o: lr_scheduler.CosineAnnealingLR(o, 5, 0.01),
        lambda b, t: 0.01 + (b - 0.01) * (1 + math.cos(math.pi * t / 5)) / 2,
    ),
    "CosineAnnealingWarmRestarts": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4, 1, 0.01),
        lambda b, t: 0.01 + (b - 0.01) * (1 + math.cos(math.pi * (t % 4) / 4)) / 2,
    ),
    "CyclicLR": (
        lambda o: lr_scheduler.CyclicLR(o, list(BASE), 1.0, 2, 4),
        lambda b, t: b + (1.0 - b) * triangle(t, 2, 4),
    ),
    "CyclicLR triangular2": (
        lambda o: lr_scheduler.CyclicLR(o, list(BASE), 1.0, 2, 4, mode="triangular2"),
        lambda b, t: b + (1.0 - b) * triangle(t, 2, 4) / 2 ** (t // 6),
    ),
    "CyclicLR exp_range": (
        lambda o: lr_scheduler.CyclicLR(o, list(BASE), 1.0, 2, 4, mode="exp_range", gamma=0.9),
        lambda b, t: b + (1.0 - b) * triangle(t, 2, 4) * 0.9**t,
    ),
    "CyclicLR scale_fn": (
        lambda o: lr_scheduler.CyclicLR(o, list(BASE), 1.0, 2, 4, scale_fn=lambda cycle: 1 / cycle),
        lambda b, t: b + (1.0 - b) * triangle(t, 2, 4) / (1 + t // 6),
    ),
}


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_formula(name, kind, tensor_lr):
    make, formula = FORMULAS[name]
    lr = [tensorgrad.tensor(rate, dtype=tensorgrad.float64) for rate in BASE] if tensor_lr else BASE
    optimizer = optimizer_of(kind, lr)
    found = rates(optimizer, make(optimizer), 16)
    for t, row in enumerate(found):
        assert row == pytest.approx([formula(base, t) for base in BASE], rel=1e-9, abs=1e-12), t
    if tensor_lr:
        assert all(group["lr"] is rate for group, rate in zip(optimizer.param_groups, lr))


@pytest.mark.parametrize("name", [name for name in sorted(FORMULAS) if hasattr(
    getattr(lr_scheduler, name.split()[0]), "_get_closed_form_lr")])  # fmt: skip
def test_step_to_a_given_epoch(name):
    make, formula = FORMULAS[name]
    optimizer = optimizer_of()
    scheduler = make(optimizer)
    optimizer.step()
    for epoch in (3, 1, 7):
        with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step"):
            scheduler.step(epoch)
        assert scheduler.get_last_lr() == pytest.approx([formula(base, epoch) for base in BASE])


def test_warm_restarts_with_longer_periods_and_fractions():
    optimizer = optimizer_of()
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 2)
    expected = [0, 1 / 2, 0, 1 / 4, 2 / 4, 3 / 4, 0, 1 / 8]
    found = rates(optimizer, scheduler, len(expected))
    for row, part in zip(found, expected):
        assert row == pytest.approx([base * (1 + math.cos(math.pi * part)) / 2 for base in BASE])
    scheduler.step(2.5)
    assert scheduler.get_last_lr()[0] == pytest.approx(BASE[0] * (1 + math.cos(math.pi / 8)) / 2)
    with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
        scheduler.step(-1)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_one_cycle(kind):
    optimizer = optimizer_of(kind)
    scheduler = lr_scheduler.OneCycleLR(optimizer, [1.0, 0.1], total_steps=10, pct_start=0.4, anneal_strategy="linear")
    momenta = []
    found = []
    for _ in range(10):
        group = optimizer.param_groups[0]
        momenta.append(group["momentum"] if kind == "SGD" else group["betas"][0])
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        if len(found) < 10:
            scheduler.step()
    low, last = 1 / 25, 1 / 25 / 1e4
    rising = [low + (1 - low) * t / 3 for t in range(4)]
    falling = [1 + (last - 1) * t / 6 for t in range(1, 7)]
    assert found == pytest.approx(rising + falling)
    assert momenta == pytest.approx([0.95 - 0.1 * t / 3 for t in range(4)] + [0.85 + 0.1 * t / 6 for t in range(1, 7)])
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 11 times. The specified number of total steps is 10"):
        scheduler.step()


def test_one_cycle_in_three_phases_along_cosines():
    optimizer = optimizer_of()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=2, steps_per_epoch=5, three_phase=True)
    found = [row[0] for row in rates(optimizer, scheduler, 10)]

    def wave(start, end, part):
        return end + (start - end) / 2 * (math.cos(math.pi * part) + 1)

    low, last = 1 / 25, 1 / 25 / 1e4
    expected = [wave(low, 1, t / 2) for t in range(3)]
    expected += [wave(1, low, t / 2) for t in (1, 2)]
    expected += [wave(low, last, t / 5) for t in range(1, 6)]
    assert found == pytest.approx(expected)


def test_cyclic_momentum_goes_the_other_way():
    optimizer = optimizer_of("Adam")
    scheduler = lr_scheduler.CyclicLR(optimizer, 0.1, 1.0, 2, base_momentum=0.6, max_momentum=0.8)
    found = []
    for _ in range(5):
        found.append(optimizer.param_groups[0]["betas"])
        optimizer.step()
        scheduler.step()
    assert [beta for beta, _ in found] == pytest.approx([0.8, 0.7, 0.6, 0.7, 0.8])
    assert {beta for _, beta in found} == {0.999}


def test_sequence_and_chain():
    optimizer = optimizer_of()
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1, 30), lr_scheduler.ExponentialLR(optimizer, 0.5)]
    found = rates(optimizer, lr_scheduler.SequentialLR(optimizer, parts, [3]), 6)
    assert [row[0] for row in found] == pytest.approx([0.05] * 3 + [0.5, 0.25, 0.125])

    optimizer = optimizer_of()
    parts = [lr_scheduler.ConstantLR(optimizer, 0.1, 2), lr_scheduler.ExponentialLR(optimizer, 0.5)]
    found = rates(optimizer, lr_scheduler.ChainedScheduler(parts), 4)
    assert [row[0] for row in found] == pytest.approx([0.05, 0.025, 0.125, 0.0625])

    optimizer = optimizer_of()
    inner = lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.ConstantLR(optimizer, 0.1, 9), lr_scheduler.ExponentialLR(optimizer, 0.5)],
        [1],
    )
    outer = lr_scheduler.SequentialLR(optimizer, [inner, lr_scheduler.StepLR(optimizer, 1, 0.1)], [3])
    found = rates(optimizer, outer, 5)
    # The outer sequence steps the inner one once more when it begins: PyTorch gives the same numbers.
    assert [row[0] for row in found] == pytest.approx([0.5, 0.25, 0.125, 0.5, 0.05])


@pytest.mark.parametrize(
    ("options", "losses", "expected"),
    [
        ({"patience": 1}, [3, 3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 0, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 0, "mode": "max"}, [1, 2, 3, 3, 2], [1, 1, 1, 0.5, 0.25]),
        ({"patience": 0, "threshold": 0.5, "threshold_mode": "abs"}, [3, 2.6, 2.4], [1, 0.5, 0.5]),
        ({"patience": 0, "threshold": 0.5}, [4, 2.1, 1.9], [1, 0.5, 0.5]),
        ({"patience": 0, "min_lr": 0.4}, [3, 3, 3, 3], [1, 0.5, 0.4, 0.4]),
        ({"patience": 0, "eps": 0.3}, [3, 3, 3, 3], [1, 0.5, 0.5, 0.5]),
        ({"patience": 0}, [3, float("nan"), 2], [1, 0.5, 0.5]),
    ],
)
def test_plateau(options, losses, expected):
    optimizer = optimizer_of(lr=(1.0,))
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, **options)
    found = []
    for loss in losses:
        scheduler.step(tensorgrad.tensor(float(loss)))
        found.append(scheduler.get_last_lr()[0])
    assert found == pytest.approx(expected)


MAKERS = {
    **{name: make for name, (make, _) in FORMULAS.items()},
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1.0, 30),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.StepLR(o, 2)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.StepLR(o, 2)]
    ),
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_saved_state_goes_on(name):
    first, second = optimizer_of(), optimizer_of()
    scheduler, other = MAKERS[name](first), MAKERS[name](second)
    rates(first, scheduler, 5)
    saved = scheduler.state_dict()
    assert "optimizer" not in saved
    before = dict(saved)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(saved)
    assert saved.keys() == before.keys()
    assert rates(first, scheduler, 6) == rates(second, other, 6)


class Halving:
    def __init__(self):
        self.factor = 0.5

    def __call__(self, t):
        return self.factor**t


def test_callable_objects_are_saved_by_their_attributes():
    for make in (
        lambda o, f: lr_scheduler.LambdaLR(o, f),
        lambda o, f: lr_scheduler.CyclicLR(o, 0.1, 1.0, 2, scale_fn=f),
    ):
        saved_function, loaded_function = Halving(), Halving()
        saved_function.factor = 0.25
        state = make(optimizer_of(), saved_function).state_dict()
        make(optimizer_of(), loaded_function).load_state_dict(state)
        assert loaded_function.factor == 0.25
    assert lr_scheduler.LambdaLR(optimizer_of(), lambda t: 1).state_dict()["lr_lambdas"] == [None, None]


def test_plateau_state():
    optimizer = optimizer_of(lr=(1.0,))
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
    scheduler.step(2.0)
    other = lr_scheduler.ReduceLROnPlateau(optimizer_of(lr=(1.0,)))
    other.load_state_dict(scheduler.state_dict())
    assert (other.best, other.patience, other.last_epoch) == (2.0, 3, 1)


def test_going_on_from_a_later_epoch():
    optimizer = optimizer_of()
    with pytest.raises(KeyError, match="param 'initial_lr' is not specified in param_groups\\[0\\]"):
        lr_scheduler.StepLR(optimizer, 2, last_epoch=3)
    for group, base in zip(optimizer.param_groups, BASE):
        group["initial_lr"] = base
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t, last_epoch=3)
    assert scheduler.get_last_lr() == [base / 16 for base in BASE]


def test_warnings_about_the_order_of_calls():
    optimizer = optimizer_of()
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`"):
        scheduler.step()

    optimizer = optimizer_of()
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()

    optimizer = optimizer_of()
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="`optimizer.step\\(\\)` has been overridden"):
        scheduler.step()

    with pytest.warns(UserWarning, match="please use `get_last_lr\\(\\)`"):
        scheduler.get_lr()


def test_the_step_of_a_scheduled_optimizer():
    """The optimizer's step is wrapped once, still works, returns the loss, and does not keep the optimizer alive."""
    param = nn.Parameter(tensorgrad.ones(1))
    optimizer = optim.SGD([param], lr=0.5)
    lr_scheduler.StepLR(optimizer, 2)
    wrapped = optimizer.step
    lr_scheduler.StepLR(optimizer, 2)
    assert optimizer.step is wrapped
    param.grad = tensorgrad.ones(1)
    assert optimizer.step(lambda: 7) == 7
    assert param.tolist() == [0.5]
    reference = weakref.ref(optimizer)
    del optimizer, wrapped
    gc.collect()
    assert reference() is None


REFUSED = [
    (lambda o: lr_scheduler.StepLR(3, 2), TypeError, "int is not an Optimizer"),
    (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
    (lambda o: lr_scheduler.MultiplicativeLR(o, [abs, 3]), TypeError, "lr_lambda should be a function, but got int"),
    (lambda o: lr_scheduler.ConstantLR(o, 1.5), ValueError, "Constant multiplicative factor expected"),
    (lambda o: lr_scheduler.LinearLR(o, 0), ValueError, "Starting multiplicative factor expected"),
    (lambda o: lr_scheduler.LinearLR(o, 1, 2), ValueError, "Ending multiplicative factor expected"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "Expected positive integer T_0"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "Expected integer T_mult >= 1"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1, 1, "0"), ValueError, "Expected float or int eta_min"),
    (lambda o: lr_scheduler.CyclicLR(o, [0.1], 1.0), ValueError, "base_lr must have the same length"),
    (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, mode="x"), ValueError, "mode is invalid and scale_fn is None"),
    (
        lambda o: lr_scheduler.CyclicLR(optimizer_of("Adagrad"), 0.1, 1.0),
        ValueError,
        "optimizer must support momentum or beta1",
    ),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "You must define either total_steps OR"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 0), ValueError, "Expected positive integer total_steps, but got 0"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, pct_start=2.0), ValueError, "Expected float between 0 and 1"),
    (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, anneal_strategy="x"), ValueError, "anneal_strategy must be one of"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, "x"), ValueError, "mode x is unknown!"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode x is unknown!"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[1]), ValueError, "expected 2 min_lrs, got 1"),
    (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "expects at least one scheduler, but got no"),
    (lambda o: lr_scheduler.ChainedScheduler([]), ValueError, "expects at least one scheduler to be chained"),
    (
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 2)], [1]),
        ValueError,
        "one more than the number of milestone points",
    ),
    (
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]),
        ValueError,
        "does not support `ReduceLROnPlateau`",
    ),
    (
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(optimizer_of(), 2)], []),
        ValueError,
        "expects all schedulers to belong to the same optimizer",
    ),
    (lambda o: lr_scheduler.SequentialLR(o, [3], []), TypeError, "should have `optimizer` as its attribute"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizer_of())
