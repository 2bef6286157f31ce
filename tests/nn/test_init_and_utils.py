"""Initialisation and the helpers in utils."""

import math

import pytest

import tensorgrad
import tensorgrad_nn as nn
from tensorgrad_nn import init, utils


@pytest.fixture(autouse=True)
def seed():
    tensorgrad.manual_seed(0)


def empty():
    return tensorgrad.empty(200, 100)


@pytest.mark.parametrize(
    ("fill", "mean", "std", "bound"),
    [
        (lambda t: init.uniform_(t, -1.0, 3.0), 1.0, 4 / math.sqrt(12), (-1.0, 3.0)),
        (lambda t: init.normal_(t, 2.0, 0.5), 2.0, 0.5, None),
        (init.xavier_uniform_, 0.0, math.sqrt(2 / 300), (-math.sqrt(6 / 300), math.sqrt(6 / 300))),
        (lambda t: init.xavier_normal_(t, gain=2.0), 0.0, 2 * math.sqrt(2 / 300), None),
        (init.kaiming_uniform_, 0.0, math.sqrt(2 / 100), (-math.sqrt(6 / 100), math.sqrt(6 / 100))),
        (
            lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh"),
            0.0,
            5 / 3 / math.sqrt(200),
            None,
        ),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 0.0, 0.2 / math.sqrt(12), (-0.1, 0.1)),
        (init.trunc_normal_, 0.0, 0.8796, (-2.0, 2.0)),
    ],
)
def test_distributions(fill, mean, std, bound):
    tensor = empty()
    assert fill(tensor) is tensor
    assert tensor.mean().item() == pytest.approx(mean, abs=4 * std / math.sqrt(20000))
    assert tensor.std().item() == pytest.approx(std, rel=0.03)
    if bound is not None:
        assert bound[0] <= tensor.min().item() and tensor.max().item() <= bound[1]


def test_truncated_far_from_the_mean():
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        tensor = init.trunc_normal_(empty(), mean=10.0)
    assert -2 <= tensor.min().item() and tensor.max().item() <= 2
    # The tail falls like exp(8 x), so that the mean is about 1/8 from the bound.
    assert tensor.mean().item() == pytest.approx(1.877, abs=0.01)
    with pytest.raises(RuntimeError, match="range, but found"):
        init.trunc_normal_(empty(), 0.0, 1.0, 2.0, 1.0)
    assert init.trunc_normal_(tensorgrad.empty(2), 0.5, 0.0).tolist() == [0.5, 0.5]


def test_constants():
    parameter = nn.Parameter(tensorgrad.empty(2, 3))
    assert init.constant_(parameter, 0.5).tolist() == [[0.5] * 3] * 2
    assert init.ones_(parameter).tolist() == [[1.0] * 3] * 2
    assert init.zeros_(parameter).tolist() == [[0.0] * 3] * 2
    assert init.eye_(parameter).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert parameter.is_leaf and parameter.requires_grad
    with pytest.raises(ValueError, match="Only tensors with 2 dimensions are supported"):
        init.eye_(tensorgrad.empty(2))


def test_gains():
    assert (
        init.calculate_gain("linear") == init.calculate_gain("sigmoid") == init.calculate_gain("conv2d") == 1
    )
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("selu") == 0.75
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)
    with pytest.raises(ValueError, match="Unsupported nonlinearity bad"):
        init.calculate_gain("bad")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)


def test_fans():
    assert init._calculate_fan_in_and_fan_out(tensorgrad.empty(2, 3)) == (3, 2)
    assert init._calculate_fan_in_and_fan_out(tensorgrad.empty(2, 3, 4, 5)) == (60, 40)
    with pytest.raises(ValueError, match="Fan in and fan out can not be computed"):
        init.xavier_uniform_(tensorgrad.empty(2))
    with pytest.raises(ValueError, match="Mode x not supported"):
        init.kaiming_uniform_(tensorgrad.empty(2, 2), mode="x")
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_normal_(tensorgrad.empty(0, 2))


def with_gradients(*grads):
    parameters = [nn.Parameter(tensorgrad.zeros(2)) for _ in grads]
    for parameter, grad in zip(parameters, grads):
        parameter.grad = None if grad is None else tensorgrad.tensor(grad)
    return parameters


@pytest.mark.parametrize(("order", "norm"), [(2, 13.0), (1.0, 19.0), (math.inf, 12.0), ("inf", 12.0)])
@pytest.mark.parametrize("bound", [1.0, 100.0])
def test_clip_grad_norm(order, norm, bound):
    parameters = with_gradients([3.0, 4.0], None, [0.0, 12.0])
    assert utils.clip_grad_norm_(iter(parameters), bound, order).item() == pytest.approx(norm)
    factor = min(1.0, bound / (norm + 1e-6))
    assert parameters[0].grad.tolist() == pytest.approx([3 * factor, 4 * factor])
    assert parameters[1].grad is None
    assert parameters[2].grad.tolist() == pytest.approx([0.0, 12 * factor])


def test_clip_grad_norm_corner_cases():
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    (parameter,) = with_gradients([math.inf, 1.0])
    with pytest.raises(
        RuntimeError, match="The total norm of order 2.0 for gradients from `parameters` is non-finite"
    ):
        utils.clip_grad_norm_(parameter, 1.0, error_if_nonfinite=True)
    assert utils.clip_grad_norm_(parameter, 1.0).item() == math.inf


def test_clip_grad_value():
    parameters = with_gradients([3.0, -4.0], None)
    utils.clip_grad_value_(parameters, 2)
    assert parameters[0].grad.tolist() == [2.0, -2.0]


def test_parameters_as_a_vector():
    parameters = [nn.Parameter(tensorgrad.ones(2, 2)), nn.Parameter(tensorgrad.zeros(1))]
    vector = utils.parameters_to_vector(parameters)
    assert vector.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0] and vector.requires_grad
    utils.vector_to_parameters(tensorgrad.arange(5.0), parameters)
    assert [one.tolist() for one in parameters] == [[[0.0, 1.0], [2.0, 3.0]], [4.0]]
    with pytest.raises(TypeError, match="expected tensorgrad.Tensor, but got: list"):
        utils.vector_to_parameters([1.0], parameters)
