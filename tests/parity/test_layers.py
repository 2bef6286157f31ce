"""Layers of nn with the same parameters: values, and the gradients of inputs and parameters."""

import numpy as np
import pytest

from .compare import both, for_each

pytestmark = pytest.mark.parity


def numbers(t, *shape, seed=0, requires_grad=True):
    values = np.random.default_rng(seed).standard_normal(shape).tolist()
    return t.tensor(values, dtype=t.float64, requires_grad=requires_grad)


def filled(t, layer):
    """The layer in double precision, with parameters that depend on their names and shapes alone."""
    layer = layer.double()
    with t.no_grad():
        for number, (_, parameter) in enumerate(sorted(layer.named_parameters())):
            parameter.copy_(numbers(t, *parameter.shape, seed=number + 1, requires_grad=False) * 0.5)
    return layer


def passed(t, layer, *inputs):
    """(output, gradients of the inputs, of the parameters by name) of a weighted sum of the output."""
    out = layer(*inputs)
    first = out[0] if isinstance(out, tuple) else out
    weights = numbers(t, *first.shape, seed=99, requires_grad=False)
    (first * weights).sum().backward()
    return out, [x.grad for x in inputs], {name: p.grad for name, p in sorted(layer.named_parameters())}


CONVOLUTIONS = [
    ("Conv1d", (2, 3, 9), (3, 4, 3), {"stride": 2, "padding": 1}),
    ("Conv2d", (2, 4, 7, 6), (4, 6, 3), {"padding": 1, "groups": 2}),
    ("Conv2d", (1, 2, 8, 8), (2, 3, (3, 2)), {"dilation": 2, "bias": False}),
    ("Conv3d", (1, 2, 5, 5, 4), (2, 3, 2), {}),
    ("ConvTranspose1d", (2, 3, 5), (3, 2, 3), {"stride": 2, "output_padding": 1}),
    ("ConvTranspose2d", (1, 3, 4, 5), (3, 2, 3), {"padding": 1}),
]


@for_each(*CONVOLUTIONS)
def test_convolution(t, name, shape, args, options):
    return passed(t, filled(t, getattr(t.nn, name)(*args, **options)), numbers(t, *shape))


POOLINGS = [
    ("MaxPool1d", (2, 3, 9), (3,), {"stride": 2}),
    ("MaxPool2d", (2, 3, 7, 6), (2,), {"padding": 1}),
    ("AvgPool1d", (2, 3, 9), (3,), {}),
    ("AvgPool2d", (2, 3, 7, 6), (3,), {"stride": 2, "padding": 1, "count_include_pad": False}),
    ("AdaptiveAvgPool2d", (2, 3, 7, 6), ((3, 2),), {}),
    ("AdaptiveMaxPool1d", (2, 3, 9), (4,), {}),
]


@for_each(*POOLINGS)
def test_pooling(t, name, shape, args, options):
    return passed(t, getattr(t.nn, name)(*args, **options), numbers(t, *shape))


NORMS = [
    ("LayerNorm", (4, 6), (6,), {}),
    ("GroupNorm", (3, 6, 5), (3, 6), {}),
    ("BatchNorm1d", (5, 4), (4,), {}),
    ("BatchNorm2d", (3, 4, 5, 2), (4,), {"momentum": 0.3}),
    ("InstanceNorm1d", (3, 4, 7), (4,), {"affine": True}),
]


@for_each(*NORMS)
def test_normalization(t, name, shape, args, options):
    layer = filled(t, getattr(t.nn, name)(*args, **options))
    trained = passed(t, layer, numbers(t, *shape))
    buffers = dict(sorted(layer.named_buffers()))
    return trained, buffers, layer.eval()(numbers(t, *shape, seed=5))


RECURRENT = [
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {"bidirectional": True}),
    ("LSTM", {"num_layers": 2}),
]


@for_each(*RECURRENT)
def test_recurrent(t, name, options):
    layer = filled(t, getattr(t.nn, name)(3, 4, batch_first=True, **options))
    return passed(t, layer, numbers(t, 2, 5, 3))


@for_each(
    ("Softplus",),
    ("SiLU",),
    ("Mish",),
    ("GELU",),
    ("ELU",),
    ("Hardswish",),
    ("LogSigmoid",),
    ("Tanhshrink",),
    ("Softsign",),
)
def test_activation(t, name):
    return passed(t, getattr(t.nn, name)(), numbers(t, 3, 5))


@for_each(("MSELoss",), ("L1Loss",), ("SmoothL1Loss",), ("HuberLoss",), ("BCEWithLogitsLoss",))
def test_loss(t, name):
    x, target = numbers(t, 4, 3), numbers(t, 4, 3, seed=3, requires_grad=False).sigmoid()
    loss = getattr(t.nn, name)()(x, target)
    loss.backward()
    return loss, x.grad


@both
def test_cross_entropy(t):
    x = numbers(t, 4, 3)
    loss = t.nn.CrossEntropyLoss(label_smoothing=0.1)(x, t.tensor([0, 2, 1, 1]))
    loss.backward()
    return loss, x.grad


@both
def test_flatten_and_embedding(t):
    layer = filled(t, t.nn.Embedding(5, 3))
    out = t.nn.Flatten()(layer(t.tensor([[0, 2], [4, 2]])))
    out.pow(2).sum().backward()
    return out, layer.weight.grad
