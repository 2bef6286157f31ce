"""L-BFGS and its line search."""

import copy
import math

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad_optim._line_search import Point, cubic_minimum, strong_wolfe


def minimize(loss_of, start, steps, **options):
    x = nn.Parameter(tensorgrad.tensor(start, dtype=tensorgrad.float64))
    optimizer = optim.LBFGS([x], **options)
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        assert tensorgrad.is_grad_enabled()
        optimizer.zero_grad()
        loss = loss_of(x)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return x, optimizer, calls


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def test_rosenbrock():
    x, _, _ = minimize(rosenbrock, [-1.2, 1.0], 5, line_search_fn="strong_wolfe", tolerance_change=1e-14)
    assert x.tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


def test_exact_on_a_quadratic():
    """In exact arithmetic, with exact searches, n pairs determine the Hessian of n variables."""
    matrix = tensorgrad.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=tensorgrad.float64)
    side = tensorgrad.tensor([1.0, 2.0], dtype=tensorgrad.float64)
    x, _, calls = minimize(lambda x: 0.5 * x @ matrix @ x - side @ x, [5.0, -7.0], 1, line_search_fn="strong_wolfe")
    assert x.tolist() == pytest.approx([1 / 11, 7 / 11], abs=1e-6)
    assert calls < 20


def test_first_step_by_hand():
    """The first direction is -g, its length min(1, 1 / |g|_1) lr."""
    x, optimizer, calls = minimize(lambda x: (x * x).sum(), [3.0, -1.0], 1, lr=0.5, max_iter=1)
    factor = 0.5 / 8.0
    assert x.tolist() == pytest.approx([3 - 6 * factor, -1 + 2 * factor])
    state = optimizer.state[x]
    assert (state["func_evals"], state["n_iter"], calls) == (1, 1, 1)
    assert (state["d"].tolist(), state["t"]) == ([-6.0, 2.0], factor)


def test_second_step_by_hand():
    x, optimizer, _ = minimize(lambda x: (x * x).sum(), [3.0, -1.0], 1, lr=0.5, max_iter=2, max_eval=9)
    # Of x^2 the curvature is 2: H = 1/2, and so the step is lr times that to the minimum.
    after_one = [3 - 6 / 16, -1 + 2 / 16]
    assert x.tolist() == pytest.approx([0.5 * value for value in after_one])
    state = optimizer.state[x]
    assert float(state["H_diag"]) == pytest.approx(0.5)
    assert [len(state[key]) for key in ("old_dirs", "old_stps", "ro")] == [1, 1, 1]


def test_state_keys_and_history():
    _, optimizer, _ = minimize(rosenbrock, [-1.2, 1.0], 3, history_size=2, lr=1e-3)
    state = optimizer.state_dict()["state"][0]
    assert sorted(state) == [
        "H_diag", "al", "d", "func_evals", "n_iter", "old_dirs", "old_stps", "prev_flat_grad", "prev_loss", "ro", "t",
    ]  # fmt: skip
    assert len(state["old_dirs"]) == 2


def test_saved_state_goes_on():
    x, first, _ = minimize(rosenbrock, [-1.2, 1.0], 2, max_iter=3, line_search_fn="strong_wolfe")
    y = nn.Parameter(x.detach().clone())
    second = optim.LBFGS([y], max_iter=3, line_search_fn="strong_wolfe")
    second.load_state_dict(copy.deepcopy(first.state_dict()))

    def closure(optimizer, parameter):
        optimizer.zero_grad()
        loss = rosenbrock(parameter)
        loss.backward()
        return loss

    first.step(lambda: closure(first, x))
    second.step(lambda: closure(second, y))
    assert x.tolist() == y.tolist()


def test_budgets():
    _, _, calls = minimize(rosenbrock, [-1.2, 1.0], 1, max_iter=100, max_eval=7, lr=1e-3)
    assert calls == 7
    _, _, calls = minimize(rosenbrock, [-1.2, 1.0], 1, max_iter=5, lr=1e-3)
    assert calls == 5
    _, _, calls = minimize(lambda x: (x * 0).sum(), [1.0], 1)
    assert calls == 1


def test_complex_parameters_and_absent_gradients():
    z = nn.Parameter(tensorgrad.tensor([1.0 + 2.0j, -1.0j], dtype=tensorgrad.complex128))
    unused = nn.Parameter(tensorgrad.ones(2, dtype=tensorgrad.float64))
    optimizer = optim.LBFGS([z, unused], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((z - (3 - 1j)).abs() ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    for value in z.tolist():
        assert abs(value - (3 - 1j)) < 1e-6
    assert unused.tolist() == [1.0, 1.0]


def test_refusals():
    x, y = nn.Parameter(tensorgrad.ones(1)), nn.Parameter(tensorgrad.ones(1))
    with pytest.raises(ValueError, match="LBFGS doesn't support per-parameter options"):
        optim.LBFGS([{"params": [x]}, {"params": [y]}])
    optimizer = optim.LBFGS([x], line_search_fn="armijo")
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optimizer.step(lambda: (x * x).sum())


def test_cubic_minimum():
    # x^3 - 3 x has its minimum at 1.
    def cubic(x):
        return Point(x, x**3 - 3 * x, None, 3 * x**2 - 3)

    assert cubic_minimum(cubic(0.0), cubic(3.0)) == pytest.approx(1.0)
    assert cubic_minimum(cubic(3.0), cubic(0.0)) == pytest.approx(1.0)
    assert cubic_minimum(cubic(0.0), cubic(3.0), (1.5, 2.0)) == 1.5
    # No minimum: the middle.
    assert cubic_minimum(Point(0.0, 0.0, None, 1.0), Point(1.0, 1.0, None, 1.0)) == 0.5


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 30.0])
def test_wolfe_conditions_hold(first):
    """On phi(t) = -t / (t^2 + 2), the first function of Moré and Thuente (1994)."""

    def phi(t):
        return -t / (t * t + 2)

    def slope(t):
        return (t * t - 2) / (t * t + 2) ** 2

    direction = tensorgrad.ones(1, dtype=tensorgrad.float64)

    def evaluate(t):
        return phi(t), tensorgrad.tensor([slope(t)], dtype=tensorgrad.float64)

    grad = tensorgrad.tensor([slope(0.0)], dtype=tensorgrad.float64)
    loss, grad, t, calls = strong_wolfe(evaluate, first, direction, phi(0.0), grad, slope(0.0), 25)
    assert loss == phi(t)
    assert grad.item() == slope(t)
    assert loss <= phi(0.0) + 1e-4 * t * slope(0.0)
    assert abs(slope(t)) <= 0.9 * abs(slope(0.0))
    assert 1 <= calls <= 26
    assert math.isfinite(t)
