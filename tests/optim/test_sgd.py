"""SGD against its formula, worked out in plain Python."""

import itertools

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim


def formula(value, gradients, lr, momentum, dampening, weight_decay, nesterov, maximize):
    """Return the value of one scalar parameter after a step with each of `gradients`."""
    buffer = None
    for gradient in gradients:
        g = -gradient if maximize else gradient
        g += weight_decay * value
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        value -= lr * g
    return value


OPTIONS = [
    dict(zip(("momentum", "dampening", "weight_decay", "nesterov", "maximize"), values))
    for values in itertools.product((0, 0.9), (0, 0.3), (0, 0.1), (False, True), (False, True))
    if not (values[3] and (values[0] == 0 or values[1] != 0))
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lr", [0.1, "tensor"])
def test_formula(options, lr):
    start, gradients = [1.0, -2.0], [[0.5, 1.0], [-3.0, 0.25], [0.0, 2.0]]
    weight = nn.Parameter(tensorgrad.tensor(start, dtype=tensorgrad.float64))
    rate = tensorgrad.tensor(0.1, dtype=tensorgrad.float64) if lr == "tensor" else lr
    optimizer = optim.SGD([weight], lr=rate, **options)
    for gradient in gradients:
        weight.grad = tensorgrad.tensor(gradient, dtype=tensorgrad.float64)
        optimizer.step()
        # The step does not write to the gradient.
        assert weight.grad.tolist() == gradient
    for place in (0, 1):
        expected = formula(start[place], [one[place] for one in gradients], 0.1, **options)
        assert weight[place].item() == pytest.approx(expected, rel=1e-12)


def test_training_reduces_the_loss():
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = tensorgrad.randn(32, 4)
    y = x.sum(dim=1, keepdim=True)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_parameters_without_gradient_are_left_alone():
    used, unused = nn.Parameter(tensorgrad.ones(1)), nn.Parameter(tensorgrad.ones(1))
    optimizer = optim.SGD([used, unused], lr=0.5, momentum=0.9)
    used.grad = tensorgrad.ones(1)
    optimizer.step()
    assert (used.tolist(), unused.tolist()) == ([0.5], [1.0])
    assert list(optimizer.state) == [used]


def test_no_state_without_momentum():
    weight = nn.Parameter(tensorgrad.ones(1))
    optimizer = optim.SGD([weight], lr=0.5)
    weight.grad = tensorgrad.ones(1)
    optimizer.step()
    assert len(optimizer.state) == 0


def test_first_buffer_is_a_copy_of_the_gradient():
    weight = nn.Parameter(tensorgrad.ones(1))
    optimizer = optim.SGD([weight], lr=0.5, momentum=0.9)
    weight.grad = tensorgrad.ones(1)
    optimizer.step()
    weight.grad.fill_(7.0)
    assert optimizer.state[weight]["momentum_buffer"].tolist() == [1.0]


def test_the_step_is_not_recorded():
    weight = nn.Parameter(tensorgrad.ones(1))
    optimizer = optim.SGD([weight], lr=0.5)
    weight.sum().backward()
    optimizer.step()
    assert weight.is_leaf and weight.grad_fn is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "Invalid learning rate: -1"),
        ({"momentum": -1}, "Invalid momentum value: -1"),
        ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ({"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        (
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "Nesterov momentum requires a momentum and zero dampening",
        ),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ValueError) as caught:
        optim.SGD([nn.Parameter(tensorgrad.ones(1))], **options)
    assert str(caught.value) == message


def test_combinations_that_are_refused():
    parameters = [nn.Parameter(tensorgrad.ones(1))]
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        optim.SGD(parameters, fused=True, differentiable=True)
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together."):
        optim.SGD(parameters, fused=True, foreach=True)
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        optim.SGD(parameters, lr=tensorgrad.ones(2))


def test_differentiable_step():
    start = tensorgrad.ones(1, requires_grad=True)
    lr = tensorgrad.tensor(0.5, requires_grad=True)
    weight = start.clone()
    optimizer = optim.SGD([weight], lr=lr, differentiable=True)
    weight.grad = tensorgrad.full((1,), 3.0)
    optimizer.step()
    weight.sum().backward()
    assert weight.tolist() == [-0.5]
    assert (start.grad.tolist(), lr.grad.item()) == ([1.0], -3.0)
