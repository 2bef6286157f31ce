"""Normalisation and embedding, as modules and functions."""

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad.autograd import gradcheck, gradgradcheck


def values(*shape, seed=0, requires_grad=True):
    data = np.random.default_rng(seed).normal(size=shape)
    return tensorgrad.tensor(data, requires_grad=requires_grad)


@pytest.mark.parametrize(("shape", "last"), [((3, 5), (5,)), ((2, 3, 4), (3, 4)), ((1500, 3), (3,)), ((2, 1100), (1100,))])
def test_layer_norm_is_its_definition(shape, last):
    x, w, b = values(*shape), values(*last, seed=1), values(*last, seed=2)
    dims = tuple(range(len(shape) - len(last), len(shape)))
    data = x.detach().numpy()
    z = (data - data.mean(dims, keepdims=True)) / np.sqrt(data.var(dims, keepdims=True) + 1e-5)
    out = F.layer_norm(x, last, w, b)
    np.testing.assert_allclose(out.detach().numpy(), z * w.detach().numpy() + b.detach().numpy(), rtol=1e-10, atol=1e-10)
    if x.numel() < 50:
        assert gradcheck(lambda *a: F.layer_norm(a[0], last, *a[1:]), (x, w, b))
        assert gradgradcheck(lambda *a: F.layer_norm(a[0], last, *a[1:]), (x, w, b))


def test_the_kernel_of_layer_norms_gradient_agrees_with_the_formula():
    """`create_graph` takes the operators, the ordinary backward the kernel."""
    x, w, b = values(7, 600), values(600, seed=1), values(600, seed=2)
    cotangent = values(7, 600, seed=3, requires_grad=False)
    out = F.layer_norm(x, (600,), w, b)
    fused = tensorgrad.autograd.grad(out, (x, w, b), cotangent, retain_graph=True)
    composed = tensorgrad.autograd.grad(out, (x, w, b), cotangent, create_graph=True)
    for a, b in zip(fused, composed, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3), (5,), (3, 700)])
def test_cross_entropy_of_classes_is_nll_of_log_softmax(shape, reduction, smoothing):
    rng = np.random.default_rng(0)
    classes = shape[1] if len(shape) > 1 else shape[0]
    target = rng.integers(0, classes, (*shape[:1], *shape[2:]) if len(shape) > 1 else ())
    if target.ndim:
        target.flat[0] = -100
    target = tensorgrad.tensor(target)
    x = values(*shape)
    weight = tensorgrad.tensor(rng.uniform(0.5, 1.5, classes))
    loss = F.cross_entropy(x, target, weight, reduction=reduction, label_smoothing=smoothing)
    dim = 1 if len(shape) > 1 else 0
    logarithms = F.log_softmax(x, dim)
    expected = (1 - smoothing) * F.nll_loss(logarithms, target, weight, reduction=reduction)
    if smoothing:
        spread = -(logarithms * weight.reshape(-1, *(1,) * (len(shape) - dim - 1))).sum(dim)
        counted = target != -100
        spread = tensorgrad.where(counted, spread, 0.0)
        if reduction != "none":
            spread = spread.sum()
        if reduction == "mean":
            spread = spread / weight[target.clamp(min=0)].masked_select(counted).sum()
        expected = expected + spread * smoothing / classes
    np.testing.assert_allclose(loss.detach().numpy(), expected.detach().numpy(), rtol=1e-10)
    cotangent = tensorgrad.ones_like(loss)
    (actual,) = tensorgrad.autograd.grad(loss, x, cotangent, retain_graph=True)
    (recorded,) = tensorgrad.autograd.grad(loss, x, cotangent, create_graph=True)
    (wanted,) = tensorgrad.autograd.grad(expected, x, cotangent)
    np.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(recorded.detach().numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)


def test_second_derivative_and_refusals_of_cross_entropy():
    x = values(3, 4)
    assert gradgradcheck(lambda x: F.cross_entropy(x, tensorgrad.tensor([0, 3, 1]), label_smoothing=0.1), (x,))
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        F.cross_entropy(x, tensorgrad.tensor([0, 4, 1]))
    with pytest.raises(ValueError, match=r"Expected input batch_size \(3\) to match target batch_size \(2\)"):
        F.cross_entropy(x, tensorgrad.tensor([0, 1]))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_softmax_of_large_and_strange_values(dim):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 600, 5)) * 200
    for dtype in (tensorgrad.float32, tensorgrad.float64):
        x = tensorgrad.tensor(data, dtype=dtype)
        top = data - data.max(dim, keepdims=True)
        expected = np.exp(top) / np.exp(top).sum(dim, keepdims=True)
        tolerance = 2e-6 if dtype is tensorgrad.float32 else 1e-13
        np.testing.assert_allclose(x.softmax(dim).numpy(), expected, atol=tolerance * 50)
        np.testing.assert_array_equal(x.transpose(0, 1).softmax(0).numpy(), x.transpose(0, 1).contiguous().softmax(0).numpy())
    assert tensorgrad.tensor([float("nan"), 0.0]).softmax(0).isnan().all()
    assert tensorgrad.tensor([-float("inf"), 0.0]).softmax(0).tolist() == [0.0, 1.0]
    assert tensorgrad.tensor([-float("inf")] * 20).softmax(0).isnan().all()


def test_batch_norm_follows_the_batches():
    layer = nn.BatchNorm1d(2, momentum=0.5).double()
    x = values(5, 2, requires_grad=False)
    layer(x)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.5 * x.numpy().mean(0))
    np.testing.assert_allclose(layer.running_var.numpy(), 0.5 + 0.5 * x.numpy().var(0, ddof=1))
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    expected = (x.numpy() - layer.running_mean.numpy()) / np.sqrt(layer.running_var.numpy() + 1e-5)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected)
    average = nn.BatchNorm1d(2, momentum=None).double()
    average(x)
    average(3 * x)
    np.testing.assert_allclose(average.running_mean.numpy(), 2 * x.numpy().mean(0))
    assert nn.BatchNorm1d(2, track_running_stats=False).running_mean is None
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer.train()(x[:1])
    with pytest.raises(ValueError, match=r"expected 4D input \(got 2D input\)"):
        nn.BatchNorm2d(2)(x)


@pytest.mark.parametrize(
    "module",
    [
        lambda: nn.BatchNorm2d(4),
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.InstanceNorm2d(4, affine=True),
        lambda: nn.LayerNorm((3, 2)),
        lambda: nn.RMSNorm((3, 2)),
        lambda: nn.LocalResponseNorm(3),
    ],
)
def test_gradients_of_normalisations(module):
    module = module().double()
    assert gradcheck(module, (values(3, 4, 3, 2),))


def test_group_norm_has_its_limits_in_layer_and_instance_norm():
    x = values(3, 4, 5, requires_grad=False)
    one = F.group_norm(x, 1)
    np.testing.assert_allclose(one.numpy(), F.layer_norm(x, (4, 5)).numpy(), rtol=1e-10)
    np.testing.assert_allclose(F.group_norm(x, 4).numpy(), F.instance_norm(x).numpy(), rtol=1e-10)


def test_embedding():
    table = values(5, 3)
    index = tensorgrad.tensor([[1, 2], [2, 4]])
    out = F.embedding(index, table, padding_idx=4)
    assert tensorgrad.equal(out, table[index])
    out.sum().backward()
    assert table.grad[:, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 0.0]
    table.grad = None
    F.embedding(index, table, scale_grad_by_freq=True).sum().backward()
    assert table.grad[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0, 1.0]
    limited = tensorgrad.full((3, 4), 5.0)
    assert F.embedding(tensorgrad.tensor([1]), limited, max_norm=1.0).norm().item() == pytest.approx(1.0, rel=1e-5)
    assert limited[0, 0].item() == 5.0 and limited[1, 0].item() == pytest.approx(0.5, rel=1e-5)
    layer = nn.Embedding(5, 3, padding_idx=-1)
    assert layer.padding_idx == 4 and layer.weight[4].tolist() == [0.0] * 3
    assert repr(layer) == "Embedding(5, 3, padding_idx=4)"
    assert not nn.Embedding.from_pretrained(table.detach()).weight.requires_grad
    with pytest.raises(IndexError):
        layer(tensorgrad.tensor([5]))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (lambda: nn.LayerNorm(4), "LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)"),
        (lambda: nn.GroupNorm(2, 4), "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)"),
        (
            lambda: nn.BatchNorm1d(3),
            "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
        ),
        (lambda: nn.RMSNorm(4), "RMSNorm((4,), eps=None, elementwise_affine=True)"),
    ],
)
def test_repr(module, expected):
    assert repr(module()) == expected
