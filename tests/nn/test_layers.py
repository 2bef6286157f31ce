"""Linear, Identity, activations, dropout and losses."""

import math

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F


def vector(*values, **options):
    return tensorgrad.tensor(list(values), **options)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (lambda: nn.Linear(2, 3, bias=False), "Linear(in_features=2, out_features=3, bias=False)"),
        (lambda: nn.Identity(1, two=2), "Identity()"),
        (lambda: nn.ReLU(True), "ReLU(inplace=True)"),
        (nn.ReLU, "ReLU()"),
        (nn.Sigmoid, "Sigmoid()"),
        (nn.Tanh, "Tanh()"),
        (lambda: nn.Softmax(dim=-1), "Softmax(dim=-1)"),
        (nn.LogSoftmax, "LogSoftmax(dim=None)"),
        (lambda: nn.Dropout(0.3, True), "Dropout(p=0.3, inplace=True)"),
        (nn.MSELoss, "MSELoss()"),
        (nn.L1Loss, "L1Loss()"),
        (nn.BCELoss, "BCELoss()"),
        (nn.BCEWithLogitsLoss, "BCEWithLogitsLoss()"),
    ],
)
def test_repr(module, expected):
    assert repr(module()) == expected


def test_linear_values():
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": tensorgrad.tensor([[2.0, 3.0]]), "bias": vector(0.5)})
    x = tensorgrad.tensor([[1.0, 2.0], [0.0, -1.0]], requires_grad=True)
    y = layer(x)
    assert y.tolist() == [[8.5], [-2.5]]
    y.sum().backward()
    assert x.grad.tolist() == [[2.0, 3.0], [2.0, 3.0]]
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]
    assert layer.bias.grad.tolist() == [2.0]


def test_linear_initialisation():
    layer = nn.Linear(100, 200)
    for parameter in layer.parameters():
        assert -0.1 <= parameter.min().item() < -0.09 and 0.09 < parameter.max().item() <= 0.1
    # U(-0.1, 0.1) has the standard deviation 0.2 / sqrt(12).
    assert layer.weight.std().item() == pytest.approx(0.2 / math.sqrt(12), rel=0.05)


def test_linear_options():
    assert nn.Linear(2, 3, dtype=tensorgrad.float64).weight.dtype is tensorgrad.float64
    assert nn.Linear(2, 3, bias=False).bias is None
    assert list(nn.Linear(2, 3, bias=False).state_dict()) == ["weight"]
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        nn.Linear(0, 3)


def test_activations():
    x = vector(-1.0, 0.0, 1.0)
    assert nn.ReLU()(x).tolist() == [0.0, 0.0, 1.0]
    assert nn.Sigmoid()(x).tolist() == pytest.approx([1 / (1 + math.e), 0.5, math.e / (1 + math.e)])
    assert nn.Tanh()(x).tolist() == pytest.approx([math.tanh(-1), 0.0, math.tanh(1)])
    total = sum(math.exp(value) for value in (-1, 0, 1))
    assert nn.Softmax(dim=0)(x).tolist() == pytest.approx([math.exp(value) / total for value in (-1, 0, 1)])
    expected = [value - math.log(total) for value in (-1, 0, 1)]
    assert nn.LogSoftmax(dim=0)(x).tolist() == pytest.approx(expected)
    assert F.softmax(x, 0, dtype=tensorgrad.float64).dtype is tensorgrad.float64
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("shape", "dim"), [((2,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((1, 2, 1, 1), 1)])
def test_implicit_softmax_dimension(shape, dim):
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
        result = F.softmax(tensorgrad.zeros(*shape))
    assert result.reshape(-1)[0].item() == pytest.approx(1 / shape[dim])


def test_dropout():
    x = tensorgrad.ones(10000)
    dropped = nn.Dropout(0.2)(x)
    assert {round(value, 4) for value in dropped.tolist()} == {0.0, 1.25}
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)
    assert nn.Dropout(0.2).eval()(x).tolist() == x.tolist()
    assert nn.Dropout(1.0)(vector(1.0, 2.0)).tolist() == [0.0, 0.0]
    assert nn.Dropout(0.0)(vector(1.0, 2.0)).tolist() == [1.0, 2.0]
    for bad in (2, -0.1):
        with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {bad}"):
            nn.Dropout(bad)
        with pytest.raises(ValueError, match="dropout probability"):
            F.dropout(x, bad)


@pytest.mark.parametrize(
    ("reduction", "squared", "absolute"),
    [("none", [1.0, 4.0], [1.0, 2.0]), ("mean", 2.5, 1.5), ("sum", 5.0, 3.0)],
)
def test_squared_and_absolute_error(reduction, squared, absolute):
    x, y = vector(1.0, 2.0), vector(2.0, 4.0)
    assert nn.MSELoss(reduction=reduction)(x, y).tolist() == squared
    assert nn.L1Loss(reduction=reduction)(x, y).tolist() == absolute


def test_gradients_of_the_errors():
    x, y = vector(1.0, 2.0, 3.0, requires_grad=True), vector(2.0, 4.0, 3.0)
    F.mse_loss(x, y, reduction="sum").backward()
    assert x.grad.tolist() == [-2.0, -4.0, 0.0]
    x.grad = None
    F.l1_loss(x, y, reduction="sum").backward()
    assert x.grad.tolist() == [-1.0, -1.0, 0.0]


@pytest.mark.parametrize(("loss", "mean", "total"), [(F.mse_loss, 3.25, 13.0), (F.l1_loss, 1.75, 7.0)])
def test_weighted_errors(loss, mean, total):
    x, y, weight = vector(1.0, 2.0), vector(2.0, 4.0), vector(1.0, 3.0)
    assert loss(x, y, weight=weight).item() == mean
    assert loss(x, y, weight=weight, reduction="sum").item() == total
    with pytest.raises(ValueError, match="Weights and input must have the same size."):
        loss(x, y, weight=vector(1.0))
    with pytest.raises(ValueError, match="Invalid reduction mode: x"):
        loss(x, y, weight=weight, reduction="x")


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
def test_broadcasting_warns(loss):
    with pytest.warns(UserWarning, match="This will likely lead to incorrect results due to broadcasting"):
        assert loss(tensorgrad.ones(2, 2), tensorgrad.zeros(2)).item() == 1.0
    with pytest.raises(ValueError, match="bad is not a valid value for reduction"):
        loss(tensorgrad.ones(2), tensorgrad.ones(2), reduction="bad")


@pytest.mark.parametrize(
    ("options", "reduction"),
    [
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"reduce": False}, "none"),
        ({"reduce": True}, "mean"),
        ({"size_average": False, "reduce": False}, "none"),
    ],
)
def test_legacy_reduction(options, reduction):
    with pytest.warns(UserWarning, match=f"will be deprecated, please use reduction='{reduction}' instead."):
        assert nn.MSELoss(**options).reduction == reduction


def cross_entropy(x, y, positive=1.0):
    return -(positive * y * math.log(x) + (1 - y) * math.log(1 - x))


def test_binary_cross_entropy():
    x, y = vector(0.3, 0.9), vector(1.0, 0.25)
    losses = [cross_entropy(0.3, 1.0), cross_entropy(0.9, 0.25)]
    assert nn.BCELoss(reduction="none")(x, y).tolist() == pytest.approx(losses)
    assert nn.BCELoss()(x, y).item() == pytest.approx(sum(losses) / 2)
    weighted = nn.BCELoss(weight=vector(1.0, 2.0), reduction="sum")
    assert weighted(x, y).item() == pytest.approx(losses[0] + 2 * losses[1])
    assert list(weighted.state_dict()) == ["weight"]


def test_binary_cross_entropy_gradients():
    x = vector(0.25, 0.0, 1.0, requires_grad=True)
    y = vector(0.5, 1.0, 1.0, requires_grad=True)
    loss = F.binary_cross_entropy(x, y, reduction="sum")
    loss.backward()
    assert loss.item() == pytest.approx(cross_entropy(0.25, 0.5) + 100)
    assert x.grad.tolist() == pytest.approx([-0.25 / (0.25 * 0.75), -1e12, 0.0])
    assert y.grad.tolist()[0] == pytest.approx(math.log(0.75 / 0.25))


def test_binary_cross_entropy_checks():
    with pytest.raises(RuntimeError, match="all elements of input should be between 0 and 1"):
        F.binary_cross_entropy(vector(1.5), vector(1.0))
    with pytest.raises(ValueError, match="Please ensure they have the same size."):
        F.binary_cross_entropy(tensorgrad.ones(2), tensorgrad.ones(3))


def test_binary_cross_entropy_with_logits():
    x, y = vector(0.5, -2.0, requires_grad=True), vector(1.0, 0.25)
    chances = [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(2.0))]
    losses = [cross_entropy(chances[0], 1.0), cross_entropy(chances[1], 0.25)]
    assert nn.BCEWithLogitsLoss(reduction="none")(x, y).tolist() == pytest.approx(losses)
    loss = nn.BCEWithLogitsLoss()(x, y)
    assert loss.item() == pytest.approx(sum(losses) / 2)
    assert type(loss.grad_fn).__name__ == "BinaryCrossEntropyWithLogitsBackward0"
    loss.backward()
    assert x.grad.tolist() == pytest.approx([(chances[0] - 1.0) / 2, (chances[1] - 0.25) / 2])
    module = nn.BCEWithLogitsLoss(weight=vector(1.0, 2.0), pos_weight=vector(3.0, 3.0), reduction="sum")
    expected = cross_entropy(chances[0], 1.0, 3.0) + 2 * cross_entropy(chances[1], 0.25, 3.0)
    assert module(x, y).item() == pytest.approx(expected)
    assert list(module.state_dict()) == ["weight", "pos_weight"]
    with pytest.raises(ValueError, match="must be the same as input size"):
        F.binary_cross_entropy_with_logits(x, tensorgrad.ones(3))
