"""Attention and its encoder: the same weights in both libraries, the same outputs and gradients."""

import numpy as np
import pytest

from .compare import both, for_each, raised

pytestmark = pytest.mark.parity


def _filled(t, module):
    """The module in double, with parameters that do not depend on a generator."""
    module = module.double()
    for number, p in enumerate(module.parameters()):
        values = np.sin(np.arange(p.numel(), dtype=float) * (number + 1)).reshape(tuple(p.shape)) / 2
        p.data.copy_(t.tensor(values.tolist(), dtype=t.float64))
    return module


def _values(t, *shape, seed=0):
    values = np.cos(np.arange(np.prod(shape), dtype=float) * (seed + 1.3)).reshape(shape)
    return t.tensor(values.tolist(), dtype=t.float64, requires_grad=True)


ATTENTION = {
    "plain": ({}, {}),
    "without weights": ({}, {"need_weights": False}),
    "weights of each head": ({}, {"average_attn_weights": False}),
    "without bias": ({"bias": False}, {}),
    "bias_kv": ({"add_bias_kv": True}, {}),
    "zero_attn": ({"add_zero_attn": True}, {}),
    "kdim": ({"kdim": 3, "vdim": 5}, {}),
    "mask": ({}, {"attn_mask": "causal"}),
    "mask of numbers": ({}, {"attn_mask": "numbers"}),
    "padding": ({}, {"key_padding_mask": "padding"}),
    "padding without weights": ({"add_bias_kv": True, "add_zero_attn": True}, {"key_padding_mask": "padding", "need_weights": False}),
    "both masks": ({}, {"attn_mask": "causal", "key_padding_mask": "padding"}),
    "causal hint": ({}, {"attn_mask": "causal", "is_causal": True, "need_weights": False}),
    "batch first": ({"batch_first": True}, {}),
}


def _masks(t, call, length, source, batch):
    made = dict(call)
    if call.get("attn_mask") == "causal":
        made["attn_mask"] = t.ones(length, source).triu(1).bool()
    elif call.get("attn_mask") == "numbers":
        made["attn_mask"] = _values(t, length, source, seed=7).detach()
    if call.get("key_padding_mask") == "padding":
        made["key_padding_mask"] = t.tensor([[False] * (source - 1 - b) + [True] * (1 + b) for b in range(batch)])
    return made


@for_each(*((name,) for name in ATTENTION))
def test_multihead_attention(t, name):
    options, call = ATTENTION[name]
    module = _filled(t, t.nn.MultiheadAttention(6, 2, **options))
    length, source, batch = 4, 4, 2
    order = (lambda n: (batch, n)) if options.get("batch_first") else (lambda n: (n, batch))
    query = _values(t, *order(length), 6)
    key = _values(t, *order(source), options.get("kdim", 6), seed=1)
    value = _values(t, *order(source), options.get("vdim", 6), seed=2)
    output, weights = module(query, key, value, **_masks(t, call, length, source, batch))
    (output * output).sum().backward()
    gradients = [p.grad for p in module.parameters()]
    return output, weights, query.grad, key.grad, value.grad, gradients, list(module.state_dict())


@both
def test_self_attention_of_one_sequence(t):
    module = _filled(t, t.nn.MultiheadAttention(6, 3))
    x = _values(t, 5, 6)
    output, weights = module(x, x, x)
    output.sum().backward()
    return output, weights, x.grad


@both
def test_attention_refuses(t):
    module, x = t.nn.MultiheadAttention(6, 2), t.ones(4, 2, 6)
    return (
        raised(t.nn.MultiheadAttention, 6, 4),
        raised(t.nn.MultiheadAttention, 0, 1),
        raised(module, t.ones(4), t.ones(4), t.ones(4)),
        raised(module, x, t.ones(4, 6), x),
        raised(module, t.ones(4, 2, 5), x, x),
        raised(module, x, x, t.ones(3, 2, 6)),
        raised(module, x, x, x, attn_mask=t.ones(3, 3)),
        raised(module, x, x, x, attn_mask=t.ones(4)),
        raised(module, x, x, x, key_padding_mask=t.ones(4)),
        raised(module, x, x, x, is_causal=True),
        raised(module, x, x, x, attn_mask=t.ones(4, 4).int()),
    )


ENCODERS = {"plain": {}, "gelu": {"activation": "gelu"}, "norm first": {"norm_first": True}, "batch first": {"batch_first": True}, "without bias": {"bias": False}}


@for_each(*((name,) for name in ENCODERS))
def test_encoder_layer(t, name):
    layer = _filled(t, t.nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, **ENCODERS[name]))
    x = _values(t, 4, 2, 6)
    mask = t.ones(2, 2).triu(1).bool() if name == "batch first" else t.ones(4, 4).triu(1).bool()
    output = layer(x, src_mask=mask)
    (output * output).sum().backward()
    return output, x.grad, [p.grad for p in layer.parameters()], list(layer.state_dict())


@both
def test_encoder(t):
    layer = _filled(t, t.nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0))
    encoder = t.nn.TransformerEncoder(layer, 2, norm=t.nn.LayerNorm(6).double())
    x = _values(t, 4, 2, 6)
    padding = t.tensor([[False, False, False, True], [False, False, True, True]])
    output = encoder(x, src_key_padding_mask=padding)
    output.pow(2).sum().backward()
    return output, x.grad, list(encoder.state_dict())


@both
def test_a_query_that_sees_nothing(t):
    q, k, v = (_values(t, 1, 3, 4, seed=seed) for seed in range(3))
    seen = t.tensor([[True, False, True], [False, False, False], [True, True, True]])
    output = t.nn.functional.scaled_dot_product_attention(q, k, v, seen)
    output.sum().backward()
    return output, q.grad, k.grad, v.grad
