"""Inputs at the edge of what layers and losses take: single numbers, empty batches, whole and complex numbers, odd targets.

What is expected was computed with PyTorch 2.13 where no formula is at hand.
"""

import math

import numpy as np
import pytest

import tensorgrad as tg
import tensorgrad_nn.functional as F
from tensorgrad.autograd import forward_ad, gradcheck, gradgradcheck

INTEGERS = [tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64]


def values(*shape, dtype=tg.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    return tg.tensor(x + 1j * rng.normal(size=shape) if dtype.is_complex else x).to(dtype)


# ---- losses


@pytest.mark.parametrize(("x", "y", "expected"), [(2.5, 1.0, 2.5), (2.5, -1.0, 0.0), (-2.5, -1.0, 3.5), (2.5, 0.3, 2.5)])
def test_hinge_embedding_of_targets_that_are_neither(x, y, expected):
    assert F.hinge_embedding_loss(tg.tensor(x), tg.tensor(y)).item() == expected


def test_hinge_embedding_of_another_target_adds_both():
    x, y = tg.tensor([-2.5, 0.25]), tg.tensor([0.0, 7.0])
    assert F.hinge_embedding_loss(x, y, reduction="none").tolist() == [-2.5 + 3.5, 0.25 + 0.75]


def test_multi_margin_of_one_number():
    assert F.multi_margin_loss(tg.tensor(1.0), tg.tensor(0)).item() == 0.0
    assert F.multi_margin_loss(tg.tensor([1.0, 2.0]), tg.tensor(0)).item() == 1.0
    assert F.multi_margin_loss(tg.tensor([1.0, 2.0]), tg.tensor([0]), reduction="none").shape == (1,)
    assert F.multi_margin_loss(tg.tensor([[1.0, 2.0]]), tg.tensor(1), reduction="none").shape == ()


def test_multilabel_margin_of_one_number():
    assert F.multilabel_margin_loss(tg.tensor(1.0), tg.tensor(0)).item() == 0.0
    assert F.multilabel_margin_loss(tg.tensor(1.0), tg.tensor([-1])).item() == 0.0
    assert F.multilabel_margin_loss(tg.tensor([1.0]), tg.tensor(0)).item() == 0.0


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        ((5, 0), (5,), {}, RuntimeError, "Expected non-empty vector or matrix"),
        ((5, 2, 2), (5,), {}, RuntimeError, "Expected non-empty vector or matrix"),
        ((2,), (2,), {}, RuntimeError, "multi_margin_loss: target tensor should be 1-D"),
        ((5, 2), (5,), {"weight": tg.ones(1)}, RuntimeError, "inconsistent weight size, expected 2"),
        ((5, 2), (5,), {"weight": tg.ones(5, 2)}, ValueError, "weight must be one-dimensional"),
        ((5, 2), (5,), {"p": 3}, ValueError, "only p == 1 and p == 2 supported"),
    ],
)
def test_multi_margin_refuses(x, y, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        F.multi_margin_loss(tg.zeros(x), tg.zeros(y, dtype=tg.int64), **options)


def test_margin_losses_refuse_classes_that_are_none():
    with pytest.raises(RuntimeError, match="^expected scalar type Long but found Float"):
        F.multi_margin_loss(tg.zeros(2, 3), tg.zeros(2))
    with pytest.raises(RuntimeError, match="^target out of range"):
        F.multi_margin_loss(tg.zeros(1, 2), tg.tensor([5]))
    with pytest.raises(RuntimeError, match="^argument #2 'target' is out of range"):
        F.multilabel_margin_loss(tg.zeros(2), tg.tensor([7, -1]))
    with pytest.raises(RuntimeError, match="^inconsistent target size"):
        F.multilabel_margin_loss(tg.zeros(2), tg.tensor(0))


@pytest.mark.parametrize("place", range(3))
def test_triplets_have_one_number_of_dimensions(place):
    tensors = [tg.ones(3, 4)] * 3
    tensors[place] = tg.ones(3)
    said = ", ".join(f"{name} {x.ndim}D" for name, x in zip(("anchor", "positive"), tensors, strict=False))
    for loss in (F.triplet_margin_loss, F.triplet_margin_with_distance_loss):
        with pytest.raises(RuntimeError, match=f"the same number of dimensions, but got: {said}, and negative"):
            loss(*tensors)


def test_binary_cross_entropy_has_a_tangent():
    x, y = (tg.tensor(v, dtype=tg.float64, requires_grad=True) for v in ([0.2, 0.7, 0.5], [0.3, 1.0, 0.0]))
    assert gradcheck(F.binary_cross_entropy, (x, y), check_forward_ad=True)
    assert gradgradcheck(F.binary_cross_entropy, (x, y))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(tg.tensor([0.0, 1.0]), tg.ones(2))
        tangent = forward_ad.unpack_dual(F.binary_cross_entropy(dual, tg.tensor([0.0, 1.0]), reduction="sum")).tangent
    assert tangent.item() == 0.0


# ---- activations


@pytest.mark.parametrize("dtype", [tg.complex64, tg.complex128])
def test_complex_silu(dtype):
    z = values(20, dtype=dtype)
    expected = z.numpy() / (1 + np.exp(-z.numpy()))
    np.testing.assert_allclose(F.silu(z).numpy(), expected, rtol=1e-5 if dtype is tg.complex64 else 1e-12)


def test_derivatives_of_complex_silu():
    z = values(6, dtype=tg.complex128).requires_grad_()
    assert gradcheck(F.silu, (z,), check_forward_ad=True)
    assert gradgradcheck(F.silu, (z,))


def test_second_derivative_of_leaky_relu_keeps_its_digits():
    x = tg.tensor([-1.0, 2.0], dtype=tg.float64, requires_grad=True)
    v = tg.ones(2, dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(F.leaky_relu(x, 0.01), x, v, create_graph=True)
    (back,) = tg.autograd.grad(g.sum(), v)
    assert back.tolist() == [0.01, 1.0]


def test_prelu_and_softshrink_refuse():
    with pytest.raises(RuntimeError, match="^prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = 2"):
        F.prelu(tg.ones(2, 8, 3), tg.ones(2, 4))
    with pytest.raises(RuntimeError, match=r"^lambda must be in range \[0, 3.40282e\+38\] for input dtype Float, but found -0.5"):
        F.softshrink(tg.ones(1), -0.5)


# ---- normalisation


@pytest.mark.parametrize("dtype", [tg.complex64, tg.complex128])
def test_complex_rms_norm(dtype):
    z, w = values(3, 4, dtype=dtype), values(4, dtype=dtype, seed=1)
    x = z.numpy()
    expected = x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.5) * w.numpy()
    np.testing.assert_allclose(F.rms_norm(z, (4,), w, 0.5).numpy(), expected, rtol=1e-4)
    assert F.rms_norm(z, (4,)).dtype is dtype


def test_derivatives_of_complex_rms_norm():
    z, w = values(2, 3, dtype=tg.complex128).requires_grad_(), values(3, dtype=tg.complex128, seed=1).requires_grad_()
    assert gradcheck(lambda z, w: F.rms_norm(z, (3,), w, 0.5), (z, w), check_forward_ad=True)


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16, tg.float32, tg.float64])
def test_statistics_of_layer_norm_have_the_dtype_of_the_input(dtype):
    out, mean, rstd = tg.native_layer_norm(values(2, 3, dtype=dtype), (3,), None, None, 1e-5)
    assert (out.dtype, mean.dtype, rstd.dtype) == (dtype,) * 3


def test_batch_norm_of_nothing():
    x = tg.empty(0, requires_grad=True)
    assert F.batch_norm(x, None, None, training=True).shape == (0,)
    with pytest.raises(IndexError, match="^Dimension out of range .expected to be in range of .-1, 0., but got 1"):
        F.batch_norm(tg.ones(3), None, None, training=True)


# ---- padding


def circular(x, left, right):
    """By the definition: what a negative number crops is gone before the rest comes round."""
    kept = x[max(-left, 0) : len(x) - max(-right, 0)]
    return np.pad(kept, (max(left, 0), max(right, 0)), mode="wrap")


@pytest.mark.parametrize("left", range(-2, 4))
@pytest.mark.parametrize("right", range(-2, 4))
def test_circular_padding_that_crops(left, right):
    x = np.arange(1.0, 6.0)
    found = F.pad(tg.tensor(x).reshape(1, 5), (left, right), mode="circular").reshape(-1)
    np.testing.assert_array_equal(found.numpy(), circular(x, left, right))


def test_derivative_of_circular_padding_that_crops():
    x = values(1, 2, 3, 4).requires_grad_()
    assert gradcheck(lambda x: F.pad(x, (-1, 1, -2, 1), mode="circular"), (x,), check_forward_ad=True)
    with pytest.raises(RuntimeError, match="^Negative padding value is resulting in an empty dimension"):
        F.pad(tg.ones(1, 3), (-3, 3), mode="circular")


# ---- embedding


def test_embedding_of_one_row_and_what_it_refuses():
    table = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert F.embedding(tg.tensor(1), table).tolist() == [3.0, 4.0]
    with pytest.raises(RuntimeError, match="^'weight' must be 2-D"):
        F.embedding(tg.tensor([1]), tg.tensor(1.0))
    with pytest.raises(RuntimeError, match="^Expected tensor for argument #1 'indices' to have one of the following scalar types"):
        F.embedding(tg.tensor([1.0]), table)


# ---- convolution and pooling of whole numbers


@pytest.mark.parametrize("dtype", INTEGERS)
def test_convolution_of_integers(dtype):
    rng = np.random.default_rng(0)
    x, w = (tg.tensor(rng.integers(0, 3, shape)).to(dtype) for shape in ((2, 3, 5), (4, 3, 2)))
    b = tg.tensor([1, 2, 3, 0]).to(dtype)
    found = F.conv1d(x, w, b, padding=1)
    assert found.dtype is dtype
    np.testing.assert_array_equal(found.numpy(), F.conv1d(x.double(), w.double(), b.double(), padding=1).numpy())
    found = F.conv_transpose1d(x, w.transpose(0, 1), stride=2)
    assert found.dtype is dtype
    np.testing.assert_array_equal(found.numpy(), F.conv_transpose1d(x.double(), w.double().transpose(0, 1), stride=2).numpy())


def test_convolution_says_which_types_differ():
    x, w = tg.zeros(1, 1, 4, dtype=tg.int64), tg.zeros(1, 1, 2, dtype=tg.int64)
    with pytest.raises(RuntimeError, match=r"^Input type \(long int\) and bias type \(double\) should be the same"):
        F.conv1d(x, w, tg.zeros(1, dtype=tg.float64))
    with pytest.raises(RuntimeError, match="^expected scalar type Float but found Double"):
        F.conv1d(tg.zeros(1, 1, 4), tg.zeros(1, 1, 2, dtype=tg.float64))
    with pytest.raises(NotImplementedError, match="not implemented for 'Bool'"):
        F.conv1d(x.bool(), w.bool())
    with pytest.raises(RuntimeError, match="^Expected 4-dimensional input for 4-dimensional weight"):
        F.conv3d(tg.zeros(1, 1, 3, 4, 5), tg.zeros(1, 1, 4, 3), padding="same")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_max_pool_of_integers(dtype):
    x = tg.tensor(np.random.default_rng(0).integers(0, 100, (1, 2, 5, 6))).to(dtype)
    found, where = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    expected, places = F.max_pool2d(x.double(), 3, 2, 1, return_indices=True)
    assert found.dtype is dtype
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    np.testing.assert_array_equal(where.numpy(), places.numpy())


def test_mean_pool_of_integers_divides_the_sum_towards_zero():
    assert F.avg_pool1d(tg.tensor([[-1, -2, -4, 3]]), 2).tolist() == [[-1, 0]]
    assert F.avg_pool1d(tg.tensor([[-1, -2, -4, 3]]), 3, 1, 1).tolist() == [[-1, -2, -1, 0]]
    x = tg.tensor(np.random.default_rng(0).integers(-50, 50, (1, 2, 7, 6)))
    for options in ({"padding": 1}, {"padding": 1, "count_include_pad": False}, {"divisor_override": 4}, {"ceil_mode": True}):
        exact = F.avg_pool2d(x.double(), 3, 2, **options)
        np.testing.assert_array_equal(F.avg_pool2d(x, 3, 2, **options).numpy(), np.trunc(np.round(exact.numpy(), 9)))
    with pytest.raises(NotImplementedError, match="not implemented for 'Int'"):
        F.avg_pool2d(x.int(), 3)


@pytest.mark.parametrize(
    ("function", "shape", "options", "error", "message"),
    [
        (F.max_pool1d, (3, 3, 3), {"kernel_size": 1, "stride": 0}, RuntimeError, r"max_pool1d\(\) stride must be greater than zero"),
        (F.max_pool1d, (0, 1, 49), {"kernel_size": 0}, RuntimeError, r"max_pool1d\(\) kernel_size must be greater than zero"),
        (F.max_pool1d, (2, 2, 2), {"kernel_size": 5, "stride": 1}, RuntimeError, r"max_pool1d\(\) Invalid computed output size: -2"),
        (F.max_pool1d, (), {"kernel_size": 1}, RuntimeError, r"max_pool1d: Expected 2D or 3D \(batch mode\) tensor"),
        (F.max_pool2d, (0, 1, 49), {"kernel_size": 2, "padding": -1}, RuntimeError, "pad must be non-negative, but got pad: "),
        (F.avg_pool2d, (0, 1, 49), {"kernel_size": 2, "padding": 4}, RuntimeError, "pad should be at most half of effective kernel size, but got pad=4, kernel_size=2 and dilation=1"),
        (F.adaptive_avg_pool2d, (2, 2), {"output_size": (2, 2)}, ValueError, "Input dimension should be at least 3"),
        (F.adaptive_max_pool3d, (2, 2, 2), {"output_size": (2, 2, 2)}, ValueError, "Input dimension should be at least 4"),
        (F.adaptive_avg_pool1d, (1, 2, 3), {"output_size": ()}, RuntimeError, r"adaptive_avg_pool1d\(\) argument 'output_size' should contain one int"),
    ],
)
def test_pooling_refuses(function, shape, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        function(tg.zeros(shape), **options)


# ---- resampling of bytes


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_interpolation_of_bytes_rounds(mode, align_corners):
    x = tg.tensor(np.random.default_rng(0).integers(0, 256, (1, 2, 9, 7))).to(tg.uint8)
    found = F.interpolate(x, (5, 11), mode=mode, align_corners=align_corners)
    exact = F.interpolate(x.double(), (5, 11), mode=mode, align_corners=align_corners).numpy()
    assert found.dtype is tg.uint8
    # each of the two passes rounds to a byte; a cubic's weights add up to more than 1 in magnitude
    slack = 1.0 if mode == "bilinear" else 1.5
    inside = (exact > 2) & (exact < 253)
    assert np.abs(found.numpy() - exact.clip(0, 255))[inside].max() <= slack


def test_interpolation_of_bytes_as_pytorch_computes_it():
    x = (tg.arange(60) * 37 % 256).to(tg.uint8).reshape(1, 1, 6, 10)
    linear = F.interpolate(x, (4, 7), mode="bilinear", align_corners=False)
    cubic = F.interpolate(x, (4, 7), mode="bicubic", align_corners=True)
    assert linear[0, 0, 0].tolist() == [37, 90, 138, 132, 184, 45, 98]
    assert cubic[0, 0, 0].tolist() == [0, 56, 111, 167, 222, 0, 77]
    assert math.isclose(float(linear.double().mean()), float(x.double().mean()), rel_tol=0.1)
