"""Activations and losses beyond the common ones, held against their formulas in NumPy."""

import math

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad.autograd import gradcheck


def values(*shape, seed=0, requires_grad=True):
    data = np.random.default_rng(seed).normal(size=shape)
    return tensorgrad.tensor(data, requires_grad=requires_grad)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = [
    (lambda: nn.ELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x)), "ELU(alpha=0.5)"),
    (lambda: nn.CELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x / 0.5)), "CELU(alpha=0.5)"),
    (
        nn.SELU,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        "SELU()",
    ),
    (nn.LeakyReLU, lambda x: np.where(x > 0, x, 0.01 * x), "LeakyReLU(negative_slope=0.01)"),
    (nn.ReLU6, lambda x: np.clip(x, 0, 6), "ReLU6()"),
    (nn.Hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6, "Hardsigmoid()"),
    (nn.Hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6, "Hardswish()"),
    (nn.SiLU, lambda x: x * sigmoid(x), "SiLU()"),
    (nn.Mish, lambda x: x * np.tanh(np.log1p(np.exp(x))), "Mish()"),
    (nn.Hardshrink, lambda x: np.where(np.abs(x) > 0.5, x, 0), "Hardshrink(0.5)"),
    (nn.Softshrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), "Softshrink(0.5)"),
    (nn.Softplus, lambda x: np.log1p(np.exp(x)), "Softplus(beta=1.0, threshold=20.0)"),
    (nn.Softsign, lambda x: x / (1 + np.abs(x)), "Softsign()"),
    (nn.Tanhshrink, lambda x: x - np.tanh(x), "Tanhshrink()"),
    (nn.LogSigmoid, lambda x: np.log(sigmoid(x)), "LogSigmoid()"),
    (lambda: nn.Threshold(0.1, 20.0), lambda x: np.where(x > 0.1, x, 20), "Threshold(threshold=0.1, value=20.0)"),
    (nn.Hardtanh, lambda x: np.clip(x, -1, 1), "Hardtanh(min_val=-1.0, max_val=1.0)"),
    (nn.GLU, lambda x: x[:, :3] * sigmoid(x[:, 3:]), "GLU(dim=-1)"),
    (
        lambda: nn.Softmin(1),
        lambda x: np.exp(-x) / np.exp(-x).sum(1, keepdims=True),
        "Softmin(dim=1)",
    ),
    (lambda: nn.PReLU().double(), lambda x: np.where(x > 0, x, 0.25 * x), "PReLU(num_parameters=1)"),
    (
        lambda: nn.GELU(approximate="tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "GELU(approximate='tanh')",
    ),
    (
        lambda: nn.RReLU().eval(),
        lambda x: np.where(x > 0, x, (1 / 8 + 1 / 3) / 2 * x),
        "RReLU(lower=0.125, upper=0.3333333333333333)",
    ),
]


@pytest.mark.parametrize(("module", "formula", "text"), ACTIVATIONS, ids=[entry[2] for entry in ACTIVATIONS])
def test_activation(module, formula, text):
    module = module()
    x = values(4, 6)
    np.testing.assert_allclose(module(x).detach().numpy(), formula(x.detach().numpy()), rtol=1e-10, atol=1e-12)
    assert gradcheck(module, (x,))
    assert repr(module) == text


@pytest.mark.parametrize("name", ["elu", "selu", "celu", "leaky_relu", "relu6", "hardsigmoid", "hardswish", "hardtanh", "silu", "mish"])
def test_inplace_activation(name):
    x = values(5)
    function = getattr(F, name)
    copy = x.detach().clone()
    assert function(copy, inplace=True) is copy
    assert tensorgrad.equal(copy, function(x.detach()))
    (expected,) = tensorgrad.autograd.grad(function(x).sum(), x)
    (actual,) = tensorgrad.autograd.grad(function(x * 1, inplace=True).sum(), x)
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-12)


def test_random_slopes_and_gumbel():
    tensorgrad.manual_seed(0)
    x = -tensorgrad.ones(1000)
    out = F.rrelu(x, 0.1, 0.3, training=True)
    assert -0.3 <= out.min().item() and out.max().item() <= -0.1 and out.std().item() > 0.04
    hard = F.gumbel_softmax(tensorgrad.zeros(50, 4), hard=True)
    assert hard.sum(1).tolist() == pytest.approx([1.0] * 50) and hard.argmax(1).unique().numel() == 4


SIGNS = np.sign(np.random.default_rng(5).normal(size=(4, 6)))
CLASSES = np.array([0, 3, 5, 2])
LOSSES = {
    "hinge_embedding": (
        lambda x, **k: F.hinge_embedding_loss(x, tensorgrad.tensor(SIGNS), margin=0.7, **k),
        lambda x: np.where(SIGNS == 1, x, np.maximum(0, 0.7 - x)),
    ),
    "soft_margin": (
        lambda x, **k: F.soft_margin_loss(x, tensorgrad.tensor(SIGNS), **k),
        lambda x: np.log1p(np.exp(-SIGNS * x)),
    ),
    "multilabel_soft_margin": (
        lambda x, **k: F.multilabel_soft_margin_loss(x, tensorgrad.tensor((SIGNS > 0).astype(float)), **k),
        lambda x: -np.where(SIGNS > 0, np.log(sigmoid(x)), np.log(sigmoid(-x))).mean(1),
    ),
    "multi_margin": (
        lambda x, **k: F.multi_margin_loss(x, tensorgrad.tensor(CLASSES), margin=0.8, **k),
        lambda x: np.array([
            sum(max(0, 0.8 - x[i, y] + x[i, c]) for c in range(6) if c != y) / 6 for i, y in enumerate(CLASSES)
        ]),
    ),
    "poisson": (
        lambda x, **k: F.poisson_nll_loss(x, tensorgrad.full((4, 6), 3.0, dtype=tensorgrad.float64), full=True, **k),
        lambda x: np.exp(x) - 3 * x + 3 * math.log(3) - 3 + 0.5 * math.log(6 * math.pi),
    ),
    "gaussian": (
        lambda x, **k: F.gaussian_nll_loss(x, tensorgrad.tensor(SIGNS), 0.5, full=True, **k),
        lambda x: 0.5 * (math.log(0.5) + (x - SIGNS) ** 2 / 0.5 + math.log(2 * math.pi)),
    ),
    "margin_ranking": (
        lambda x, **k: F.margin_ranking_loss(x, tensorgrad.zeros_like(x), tensorgrad.tensor(SIGNS), margin=0.2, **k),
        lambda x: np.maximum(0, -SIGNS * x + 0.2),
    ),
    "triplet": (
        lambda x, **k: F.triplet_margin_loss(x, tensorgrad.tensor(SIGNS), tensorgrad.zeros_like(x), eps=0.0, **k),
        lambda x: np.maximum(0, np.linalg.norm(x - SIGNS, axis=1) - np.linalg.norm(x, axis=1) + 1),
    ),
    "cosine_embedding": (
        lambda x, **k: F.cosine_embedding_loss(x, tensorgrad.tensor(SIGNS), tensorgrad.tensor([1, -1, 1, -1]), **k),
        lambda x: np.where(
            np.array([1, -1, 1, -1]) == 1,
            1 - (x * SIGNS).sum(1) / np.linalg.norm(x, axis=1) / math.sqrt(6),
            np.maximum(0, (x * SIGNS).sum(1) / np.linalg.norm(x, axis=1) / math.sqrt(6)),
        ),
    ),
    "huber": (
        lambda x, **k: F.huber_loss(x, tensorgrad.tensor(SIGNS), delta=0.5, **k),
        lambda x: np.where(np.abs(x - SIGNS) <= 0.5, (x - SIGNS) ** 2 / 2, 0.5 * (np.abs(x - SIGNS) - 0.25)),
    ),
    "smooth_l1": (
        lambda x, **k: F.smooth_l1_loss(x, tensorgrad.tensor(SIGNS), beta=0.5, **k),
        lambda x: np.where(np.abs(x - SIGNS) < 0.5, (x - SIGNS) ** 2, np.abs(x - SIGNS) - 0.25),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    function, formula = LOSSES[name]
    x = values(4, 6)
    expected = formula(x.detach().numpy())
    np.testing.assert_allclose(function(x, reduction="none").detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    assert function(x).item() == pytest.approx(expected.mean())
    assert function(x, reduction="sum").item() == pytest.approx(expected.sum())
    assert gradcheck(lambda x: function(x), (x,))
    with pytest.raises(ValueError, match="not.*valid"):
        function(x, reduction="median")


def test_multilabel_margin():
    x = tensorgrad.tensor([[0.1, 0.2, 0.4, 0.8]])
    target = tensorgrad.tensor([[3, 0, -1, 1]])
    # 0.25 * ((1 - (0.1 - 0.2)) + (1 - (0.1 - 0.4)) + (1 - (0.8 - 0.2)) + (1 - (0.8 - 0.4)))
    assert nn.MultiLabelMarginLoss()(x, target).item() == pytest.approx(0.85)


def test_divergence():
    p, q = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.3, 0.7], [0.0, 1.0]])
    expected = np.where(q > 0, q * (np.log(np.where(q > 0, q, 1)) - np.log(p)), 0).sum() / 2
    loss = nn.KLDivLoss(reduction="batchmean")(tensorgrad.tensor(np.log(p)), tensorgrad.tensor(q))
    assert loss.item() == pytest.approx(expected)
    with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size"):
        nn.KLDivLoss()(tensorgrad.tensor(np.log(p)), tensorgrad.tensor(q))


def test_loss_modules_pass_their_options_on():
    x = values(4, 6)
    classes = tensorgrad.tensor(CLASSES)
    weight = tensorgrad.arange(1.0, 7.0, dtype=tensorgrad.float64)
    pairs = [
        (nn.CrossEntropyLoss(weight, label_smoothing=0.1), F.cross_entropy(x, classes, weight, label_smoothing=0.1)),
        (nn.NLLLoss(weight, ignore_index=3), F.nll_loss(x, classes, weight, ignore_index=3)),
        (nn.MultiMarginLoss(2, 0.5, weight), F.multi_margin_loss(x, classes, 2, 0.5, weight)),
    ]
    for module, expected in pairs:
        assert module(x, classes).item() == expected.item()
    y = tensorgrad.tensor(SIGNS)
    for module, expected in [
        (nn.SmoothL1Loss(beta=0.3), F.smooth_l1_loss(x, y, beta=0.3)),
        (nn.HuberLoss(delta=0.3), F.huber_loss(x, y, delta=0.3)),
        (nn.SoftMarginLoss(), F.soft_margin_loss(x, y)),
        (nn.HingeEmbeddingLoss(0.5), F.hinge_embedding_loss(x, y, 0.5)),
        (nn.PoissonNLLLoss(log_input=True, full=True), F.poisson_nll_loss(x, y, full=True)),
        (nn.MultiLabelSoftMarginLoss(), F.multilabel_soft_margin_loss(x, y)),
    ]:
        assert module(x, y).item() == expected.item()
    triple = (x, y, y + 1)
    assert nn.TripletMarginLoss(0.5, swap=True)(*triple).item() == F.triplet_margin_loss(*triple, 0.5, swap=True).item()
    distance = nn.TripletMarginWithDistanceLoss(distance_function=nn.CosineSimilarity())
    assert math.isfinite(distance(*triple).item())
    assert nn.MarginRankingLoss(0.1)(x, y, y).item() == F.margin_ranking_loss(x, y, y, 0.1).item()
    assert nn.CosineEmbeddingLoss(0.1)(x, y, y[:, 0]).item() == F.cosine_embedding_loss(x, y, y[:, 0], 0.1).item()
    assert nn.GaussianNLLLoss()(x, y, 0.5).item() == F.gaussian_nll_loss(x, y, 0.5).item()
    assert tensorgrad.equal(nn.PairwiseDistance()(x, y), F.pairwise_distance(x, y))


def test_attention():
    q, k, v = values(2, 3, 4), values(2, 5, 4, seed=1), values(2, 5, 6, seed=2)
    scores = q.detach().numpy() @ k.detach().numpy().swapaxes(1, 2) / 2
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    out = F.scaled_dot_product_attention(q, k, v)
    np.testing.assert_allclose(out.detach().numpy(), weights @ v.detach().numpy(), rtol=1e-10)
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(causal[:, 0].detach().numpy(), v[:, 0].detach().numpy(), rtol=1e-12)
