"""Convolutions, pooling, padding and what rearranges dimensions, as modules and functions."""

import math

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad.autograd import gradcheck, gradgradcheck


def values(*shape, seed=0, requires_grad=True):
    data = np.random.default_rng(seed).normal(size=shape)
    return tensorgrad.tensor(data, requires_grad=requires_grad)


def naive_conv(x, w, stride, padding, dilation, groups):
    """The definition, position by position."""
    n = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    out = [(x.shape[2 + d] - dilation[d] * (w.shape[2 + d] - 1) - 1) // stride[d] + 1 for d in range(n)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    per_group = w.shape[0] // groups
    for o in range(w.shape[0]):
        first = o // per_group * w.shape[1]
        for place in np.ndindex(*out):
            window = tuple(
                slice(p * stride[d], p * stride[d] + dilation[d] * (w.shape[2 + d] - 1) + 1, dilation[d])
                for d, p in enumerate(place)
            )
            part = x[(slice(None), slice(first, first + w.shape[1]), *window)]
            y[(slice(None), o, *place)] = (part * w[o]).reshape(len(x), -1).sum(1)
    return y


GEOMETRIES = [
    ((2, 3, 7), (4, 3, 3), (1,), (0,), (1,), 1),
    ((2, 4, 9), (6, 2, 3), (2,), (1,), (2,), 2),
    ((2, 3, 6, 5), (4, 3, 3, 2), (2, 1), (1, 0), (1, 2), 1),
    ((1, 4, 5, 5), (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    ((2, 3, 4, 4), (5, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    # few channels, stride 1, lines of 8 and more: without a matrix of windows
    ((2, 4, 4, 9), (6, 2, 3, 2), (1, 1), (1, 1), (1, 2), 2),
    ((1, 2, 3, 17), (5, 2, 2, 3), (1, 1), (0, 2), (1, 1), 1),
    ((1, 3, 11), (2, 3, 4), (1,), (3,), (1,), 1),
    ((1, 2, 4, 3, 5), (3, 2, 2, 2, 3), (1, 2, 2), (1, 0, 1), (1, 1, 1), 1),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolution_is_its_definition(geometry):
    x_shape, w_shape, *options = geometry
    x, w, b = values(*x_shape), values(*w_shape, seed=1), values(w_shape[0], seed=2)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(x_shape) - 3]
    expected = naive_conv(x.detach().numpy(), w.detach().numpy(), *options)
    shift = b.detach().numpy().reshape(1, -1, *(1,) * (len(x_shape) - 2))
    np.testing.assert_allclose(convolve(x, w, b, *options).detach().numpy(), expected + shift, rtol=1e-12, atol=1e-12)
    assert gradcheck(lambda *args: convolve(*args, *options), (x, w, b))
    assert gradgradcheck(lambda *args: convolve(*args, *options), (x, w, b))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_transposed_convolution_is_the_transpose(geometry):
    """<conv(x), y> = <x, conv_transpose(y)>, with the output padding that gives back the input's size."""
    x_shape, w_shape, stride, padding, dilation, groups = geometry
    n = len(stride)
    x, w = values(*x_shape), values(*w_shape, seed=1)
    out = (F.conv1d, F.conv2d, F.conv3d)[n - 1](x, w, None, stride, padding, dilation, groups)
    y = values(*out.shape, seed=3)
    extra = tuple(
        x_shape[2 + d] - ((out.shape[2 + d] - 1) * stride[d] - 2 * padding[d] + dilation[d] * (w_shape[2 + d] - 1) + 1)
        for d in range(n)
    )
    transposed = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    back = transposed(y, w, None, stride, padding, extra, groups, dilation)
    assert back.shape == x.shape
    assert (back * x).sum().item() == pytest.approx((out * y).sum().item(), rel=1e-10)
    assert gradcheck(lambda y, w: transposed(y, w, None, stride, padding, extra, groups, dilation), (y, w))


def test_convolution_in_tiles():
    """Larger than a tile of windows, so that several make one image."""
    x, w = values(1, 16, 70, 70, requires_grad=False), values(2, 16, 5, 5, seed=1, requires_grad=False)
    expected = naive_conv(x.numpy(), w.numpy(), (1, 1), (2, 2), (1, 1), 1)
    np.testing.assert_allclose(F.conv2d(x, w, padding=2).numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [tensorgrad.float16, tensorgrad.bfloat16, tensorgrad.float32, tensorgrad.complex64])
def test_convolution_of_other_dtypes(dtype):
    x, w = values(2, 3, 6, 5, requires_grad=False), values(4, 3, 3, 2, seed=1, requires_grad=False)
    expected = F.conv2d(x, w)
    actual = F.conv2d(x.to(dtype), w.to(dtype))
    assert actual.dtype is dtype
    part = actual.real if dtype.is_complex else actual
    tolerance = {tensorgrad.float16: 2e-2, tensorgrad.bfloat16: 2e-1}.get(dtype, 1e-5)
    np.testing.assert_allclose(part.double().numpy(), expected.numpy(), atol=tolerance)


def test_convolution_refuses():
    x, w = values(1, 3, 5, 5), values(4, 3, 3, 3)
    with pytest.raises(RuntimeError, match=r"Given groups=1, weight of size \[4, 3, 3, 3\], expected input\[1, 2, 5, 5\] to have 3"):
        F.conv2d(values(1, 2, 5, 5), w)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        F.conv2d(values(1, 3, 2, 5), w)
    with pytest.raises(RuntimeError, match="non-positive stride is not supported"):
        F.conv2d(x, w, stride=0)
    with pytest.raises(RuntimeError, match="negative padding is not supported"):
        F.conv2d(x, w, padding=-1)
    with pytest.raises(RuntimeError, match="expected bias to be 1-dimensional with 4 elements"):
        F.conv2d(x, w, values(3))
    with pytest.raises(RuntimeError, match=r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d"):
        F.conv2d(values(3, 5), w)
    with pytest.raises(RuntimeError, match="padding='same' is not supported for strided convolutions"):
        F.conv2d(x, w, stride=2, padding="same")
    with pytest.raises(RuntimeError, match=r"Input type \(Double\) and weight type \(Float\) should be the same"):
        F.conv2d(x, w.float())
    with pytest.raises(RuntimeError, match="output padding must be smaller than either stride or dilation"):
        F.conv_transpose2d(values(1, 4, 3, 3), w, output_padding=1)


def naive_pool(x, kernel, stride, padding, reduce, fill):
    x = np.pad(x, [(0, 0), *[(p, p) for p in padding]], constant_values=fill)
    out = [(x.shape[1 + d] - kernel[d]) // stride[d] + 1 for d in range(len(kernel))]
    y = np.zeros((x.shape[0], *out))
    for place in np.ndindex(*out):
        window = tuple(slice(p * s, p * s + k) for p, s, k in zip(place, stride, kernel, strict=True))
        y[(slice(None), *place)] = reduce(x[(slice(None), *window)].reshape(len(x), -1), axis=1)
    return y


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [((2, 7), (3,), (2,), (1,)), ((3, 6, 5), (2, 3), (2, 1), (0, 1)), ((2, 4, 5, 3), (2, 2, 2), (1, 2, 1), (1, 0, 0))],
)
def test_pooling_is_its_definition(shape, kernel, stride, padding):
    x = values(*shape)
    n = len(kernel)
    largest = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    data = x.detach().numpy()
    np.testing.assert_array_equal(
        largest(x, kernel, stride, padding).detach().numpy(), naive_pool(data, kernel, stride, padding, np.max, -np.inf)
    )
    np.testing.assert_allclose(
        mean(x, kernel, stride, padding).detach().numpy(), naive_pool(data, kernel, stride, padding, np.mean, 0), rtol=1e-12
    )
    for function in (largest, mean):
        assert gradcheck(lambda x, f=function: f(x, kernel, stride, padding), (x,))
        assert gradgradcheck(lambda x, f=function: f(x, kernel, stride, padding), (x,))


def test_pooling_details():
    x = tensorgrad.arange(16.0).reshape(1, 1, 4, 4)
    out, indices = F.max_pool2d(x, 2, return_indices=True)
    assert out.flatten().tolist() == [5.0, 7.0, 13.0, 15.0]
    assert indices.flatten().tolist() == [5, 7, 13, 15]
    back = F.max_unpool2d(out, indices, 2)
    assert back.sum().item() == out.sum().item() and back[0, 0, 1, 1].item() == 5.0
    assert F.max_pool2d(x, 3, ceil_mode=True).shape == (1, 1, 2, 2)
    assert F.avg_pool2d(x, 2, divisor_override=1)[0, 0, 0, 0].item() == 10.0
    assert F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)[0, 0, 0, 0].item() == 2.5
    assert F.max_pool1d(tensorgrad.tensor([[1.0, math.nan, 0.0, 3.0]]), 2).isnan().tolist() == [[True, False]]
    assert F.adaptive_avg_pool1d(tensorgrad.arange(5.0).reshape(1, 5), 3).tolist() == [[0.5, 2.0, 3.5]]
    assert F.adaptive_max_pool1d(tensorgrad.arange(5.0).reshape(1, 5), 3).tolist() == [[1.0, 3.0, 4.0]]
    with pytest.raises(RuntimeError, match="pad should be at most half of effective kernel size"):
        F.max_pool2d(x, 2, padding=2)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        F.max_pool2d(x, 5)
    with pytest.raises(RuntimeError, match="divisor must be not zero"):
        F.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(RuntimeError, match="invalid max index"):
        F.max_unpool2d(out, indices + 100, 2)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_is_numpys(mode):
    x = values(2, 3, 4)
    name = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    expected = np.pad(x.detach().numpy(), [(0, 0), (0, 0), (2, 1)], mode=name)
    np.testing.assert_array_equal(F.pad(x, (2, 1), mode).detach().numpy(), expected)
    assert gradcheck(lambda x: F.pad(x, (2, 1), mode), (x,))


def test_unfold_and_fold():
    x, w = values(2, 3, 6, 5), values(4, 3, 3, 2, seed=1)
    columns = F.unfold(x, (3, 2))
    product = (w.reshape(4, -1) @ columns).reshape(2, 4, 4, 4)
    np.testing.assert_allclose(product.detach().numpy(), F.conv2d(x, w).detach().numpy(), rtol=1e-12)
    ones = F.fold(F.unfold(tensorgrad.ones(1, 1, 3, 3), 2), (3, 3), 2)
    assert ones[0, 0].tolist() == [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]


def test_rearrangements():
    x = values(2, 8, 3, 4)
    assert tensorgrad.equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)
    assert F.pixel_shuffle(x, 2)[0, 0, 0, 1].item() == x[0, 1, 0, 0].item()
    assert nn.Flatten()(x).shape == (2, 96)
    assert nn.Unflatten(1, (2, 4))(x).shape == (2, 2, 4, 3, 4)
    assert nn.Upsample(scale_factor=2)(x).shape == (2, 8, 6, 8)
    line = tensorgrad.tensor([[[0.0, 1.0]]])
    assert F.interpolate(line, size=4, mode="linear")[0, 0].tolist() == [0.0, 0.25, 0.75, 1.0]
    assert F.interpolate(line, size=3, mode="linear", align_corners=True)[0, 0].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (lambda: nn.Conv2d(1, 2, 3), "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))"),
        (
            lambda: nn.Conv1d(2, 4, 3, 2, 1, 2, 2, False, "reflect"),
            "Conv1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, bias=False, "
            "padding_mode=reflect)",
        ),
        (
            lambda: nn.ConvTranspose2d(2, 4, 3, 2, 1, 1),
            "ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))",
        ),
        (lambda: nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (lambda: nn.AvgPool1d(2), "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"),
        (lambda: nn.AdaptiveAvgPool2d((1, None)), "AdaptiveAvgPool2d(output_size=(1, None))"),
        (lambda: nn.ZeroPad2d(1), "ZeroPad2d((1, 1, 1, 1))"),
        (lambda: nn.ConstantPad1d(1, 2.5), "ConstantPad1d(padding=(1, 1), value=2.5)"),
        (lambda: nn.Upsample(scale_factor=2), "Upsample(scale_factor=2.0, mode='nearest')"),
    ],
)
def test_repr(module, expected):
    assert repr(module()) == expected


def test_initialisation_of_a_convolution():
    layer = nn.Conv2d(16, 64, 5)
    bound = 1 / math.sqrt(16 * 25)
    for parameter in layer.parameters():
        assert -bound <= parameter.min().item() and parameter.max().item() <= bound
    assert layer.weight.std().item() == pytest.approx(2 * bound / math.sqrt(12), rel=0.05)


def test_output_size_of_a_transposed_convolution():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2)
    x = tensorgrad.rand(1, 1, 4, 4)
    assert layer(x, output_size=(10, 9)).shape == (1, 1, 10, 9)
    with pytest.raises(ValueError, match="requested an output size"):
        layer(x, output_size=(11, 9))


def test_a_small_network_learns():
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    x = tensorgrad.rand(16, 1, 6, 6)
    labels = (x[:, :, :3].sum((1, 2, 3)) > x[:, :, 3:].sum((1, 2, 3))).long()
    losses = []
    for _ in range(60):
        model.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        with tensorgrad.no_grad():
            for parameter in model.parameters():
                parameter -= 0.3 * parameter.grad
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
