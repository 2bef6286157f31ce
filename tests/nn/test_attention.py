"""Attention of one and of several heads, the encoder made of it, and the bilinear layer, against formulas in NumPy."""

import math

import numpy as np
import pytest

import tensorgrad as tg
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad.autograd import gradcheck


def values(*shape, seed=0, requires_grad=True):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=requires_grad)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attended(module, query, key, value, mask=0.0):
    """(output, weights of each head) of (N, L, E), head by head."""
    e, heads = module.embed_dim, module.num_heads
    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}
    bias = parameters.get("in_proj_bias", np.zeros(3 * e))
    if "in_proj_weight" in parameters:
        matrices = np.split(parameters["in_proj_weight"], 3)
    else:
        matrices = [parameters[f"{name}_proj_weight"] for name in "qkv"]
    q, k, v = (x @ m.T + b for x, m, b in zip((query, key, value), matrices, np.split(bias, 3), strict=True))
    outputs, weights = [], []
    for head in range(heads):
        part = slice(head * e // heads, (head + 1) * e // heads)
        scores = q[..., part] @ np.swapaxes(k[..., part], -1, -2) / math.sqrt(e / heads) + mask
        weights.append(softmax(scores))
        outputs.append(weights[-1] @ v[..., part])
    output = np.concatenate(outputs, -1) @ parameters["out_proj.weight"].T + parameters.get("out_proj.bias", 0.0)
    return output, np.stack(weights, 1)


def drawn(module):
    """In double, with biases that are not zero."""
    module = module.double()
    for number, p in enumerate(module.parameters()):
        p.data.copy_(values(*p.shape, seed=number, requires_grad=False) / 2)
    return module


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 3, "vdim": 5}])
def test_several_heads(options):
    module = drawn(nn.MultiheadAttention(6, 2, batch_first=True, **options))
    query, key, value = values(2, 4, 6), values(2, 5, module.kdim, seed=1), values(2, 5, module.vdim, seed=2)
    output, weights = attended(module, query.detach().numpy(), key.detach().numpy(), value.detach().numpy())
    found, averaged = module(query, key, value)
    np.testing.assert_allclose(found.detach().numpy(), output, atol=1e-12)
    np.testing.assert_allclose(averaged.detach().numpy(), weights.mean(1), atol=1e-12)
    each = module(query, key, value, average_attn_weights=False)[1]
    np.testing.assert_allclose(each.detach().numpy(), weights, atol=1e-12)
    quick, none = module(query, key, value, need_weights=False)
    assert none is None
    np.testing.assert_allclose(quick.detach().numpy(), output, atol=1e-12)


def test_sequences_without_a_batch_and_with_the_batch_second():
    module = drawn(nn.MultiheadAttention(6, 3))
    x = values(4, 6)
    alone, weights = module(x, x, x)
    assert alone.shape == (4, 6) and weights.shape == (4, 4)
    together = module(tg.stack([x, x * 2], 1), tg.stack([x, x * 2], 1), tg.stack([x, x * 2], 1))[0]
    assert together.shape == (4, 2, 6) and tg.allclose(together[:, 0], alone)


@pytest.mark.parametrize("need_weights", [True, False])
def test_masks(need_weights):
    module = drawn(nn.MultiheadAttention(6, 2, batch_first=True))
    x = values(2, 4, 6)
    causal = tg.ones(4, 4).triu(1).bool()
    padding = tg.tensor([[False, False, False, True], [False] * 4])
    added = np.where(causal.numpy(), -np.inf, 0.0) + np.where(padding.numpy(), -np.inf, 0.0)[:, None, :]
    expected = attended(module, *[x.detach().numpy()] * 3, mask=added)[0]
    for mask in (causal, causal.double().masked_fill(causal, -math.inf)):
        pads = padding if mask.dtype is tg.bool else tg.zeros(2, 4).double().masked_fill(padding, -math.inf)
        found = module(x, x, x, key_padding_mask=pads, attn_mask=mask, need_weights=need_weights)[0]
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)
    of_each_head = tg.stack([causal] * 4)
    one = module(x, x, x, attn_mask=of_each_head, need_weights=need_weights)[0]
    two = module(x, x, x, attn_mask=causal, need_weights=need_weights)[0]
    assert tg.allclose(one, two)
    if not need_weights:
        assert tg.allclose(module(x, x, x, attn_mask=causal, is_causal=True, need_weights=False)[0], two)


def test_one_more_key():
    module = drawn(nn.MultiheadAttention(6, 2, add_bias_kv=True, add_zero_attn=True))
    x = values(3, 1, 6)
    output, weights = module(x, x, x, attn_mask=tg.zeros(3, 3).bool())
    assert weights.shape == (1, 3, 5)
    np.testing.assert_allclose(weights.sum(-1).detach().numpy(), np.ones((1, 3)))
    assert set(module.state_dict()) >= {"bias_k", "bias_v"} and output.shape == (3, 1, 6)


def test_derivatives_of_several_heads():
    module = drawn(nn.MultiheadAttention(4, 2))
    query, key, value = values(2, 1, 4), values(3, 1, 4, seed=1), values(3, 1, 4, seed=2)
    assert gradcheck(lambda *x: module(*x)[0], (query, key, value), check_forward_ad=True)
    assert gradcheck(lambda x: module(x, x, x, need_weights=False)[0], (query,), check_forward_ad=True)


def test_dropout_of_weights():
    module = nn.MultiheadAttention(4, 2, dropout=0.5)
    x = tg.ones(8, 3, 4)
    tg.manual_seed(0)
    weights = module(x, x, x, average_attn_weights=False)[1]
    assert set(np.round(weights.detach().numpy().reshape(-1), 6)) == {0.0, 0.25}
    assert module.eval()(x, x, x)[1].min().item() == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: nn.MultiheadAttention(6, 4), AssertionError, "embed_dim must be divisible by num_heads"),
        (lambda m, x: nn.MultiheadAttention(0, 1), ValueError, "embed_dim and num_heads must be greater than 0"),
        (lambda m, x: m(x[0, 0], x, x), AssertionError, "query should be unbatched 2D or batched 3D tensor but received 1-D"),
        (lambda m, x: m(x, x[0], x), AssertionError, r"For batched \(3-D\) `query`, expected `key` and `value` to be 3-D"),
        (lambda m, x: m(x[..., :5], x, x), AssertionError, "was expecting embedding dimension of 6, but got 5"),
        (lambda m, x: m(x, x, x[:3]), AssertionError, "key shape .* does not match value shape"),
        (lambda m, x: m(x, x, x, attn_mask=tg.ones(3, 3)), RuntimeError, "The shape of the 2D attn_mask is"),
        (lambda m, x: m(x, x, x, key_padding_mask=tg.ones(1, 4)), AssertionError, "Expected key_padding_mask.shape of"),
        (lambda m, x: m(x, x, x, is_causal=True), RuntimeError, "Need attn_mask if specifying the is_causal hint"),
        (lambda m, x: m(x, x, x, attn_mask=tg.ones(4, 4).int()), AssertionError, "only bool and floating types of attn_mask"),
    ],
)
def test_attention_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.MultiheadAttention(6, 2), tg.ones(4, 2, 6))


def normed(x, layer):
    z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return z * layer.weight.detach().numpy() + layer.bias.detach().numpy()


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", F.tanh])
def test_encoder_layer(norm_first, activation):
    layer = drawn(nn.TransformerEncoderLayer(6, 2, 8, 0.0, activation, norm_first=norm_first, batch_first=True))
    nonlinear = np.tanh if activation is F.tanh else lambda x: np.maximum(x, 0)

    def maps(x):
        w1, b1, w2, b2 = (p.detach().numpy() for p in (*layer.linear1.parameters(), *layer.linear2.parameters()))
        return nonlinear(x @ w1.T + b1) @ w2.T + b2

    src = values(2, 4, 6)
    x = src.detach().numpy()
    if norm_first:
        n = normed(x, layer.norm1)
        x = x + attended(layer.self_attn, n, n, n)[0]
        expected = x + maps(normed(x, layer.norm2))
    else:
        x = normed(x + attended(layer.self_attn, x, x, x)[0], layer.norm1)
        expected = normed(x + maps(x), layer.norm2)
    np.testing.assert_allclose(layer(src).detach().numpy(), expected, atol=1e-12)
    assert gradcheck(layer, (values(1, 2, 6),), atol=1e-4)


def test_encoder_is_made_of_copies():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 3, norm=nn.LayerNorm(4)).eval()
    assert len(encoder.layers) == 3 and len(list(encoder.parameters())) == 3 * 12 + 2
    first, second = encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight
    assert first is not second and tg.equal(first, second)
    src, mask = tg.randn(5, 2, 4), tg.ones(5, 5).triu(1).bool()
    x = src
    for layer in encoder.layers:
        x = layer(x, src_mask=mask)
    assert tg.allclose(encoder(src, mask, is_causal=True), encoder.norm(x), atol=1e-6)
    with pytest.raises(RuntimeError, match="activation should be relu/gelu, not sine"):
        nn.TransformerEncoderLayer(4, 2, activation="sine")


def test_a_query_that_sees_nothing_gets_zeros():
    q, k, v = (values(1, 3, 4, seed=seed) for seed in range(3))
    seen = tg.tensor([[True, False, True], [False, False, False], [True, True, True]])
    numbers = tg.zeros(3, 3).double().masked_fill(~seen, -math.inf)
    for mask in (seen, numbers):
        output = F.scaled_dot_product_attention(q, k, v, mask)
        assert output[0, 1].tolist() == [0.0] * 4
        gradients = tg.autograd.grad(output.sum(), (q, k, v))
        assert gradients[0][0, 1].tolist() == [0.0] * 4 and all(g.isfinite().all().item() for g in gradients)


# ---- bilinear


def test_bilinear():
    layer = drawn(nn.Bilinear(3, 4, 5))
    x, y = values(2, 6, 3), values(2, 6, 4, seed=1)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.einsum("...i,kij,...j->...k", x.detach().numpy(), w, y.detach().numpy()) + b
    np.testing.assert_allclose(layer(x, y).detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(F.bilinear(x, y, layer.weight).detach().numpy(), expected - b, atol=1e-12)
    assert F.bilinear(x[0, 0], y[0, 0], layer.weight).shape == (5,)
    assert repr(layer) == "Bilinear(in1_features=3, in2_features=4, out_features=5, bias=True)"
    assert nn.Bilinear(3, 4, 5, bias=False).bias is None
    bound = 1 / math.sqrt(3)
    assert nn.Bilinear(3, 40, 50).weight.abs().max().item() <= bound


def test_derivatives_of_bilinear():
    x, y, w, b = values(2, 3), values(2, 2, seed=1), values(4, 3, 2, seed=2), values(4, seed=3)
    assert gradcheck(F.bilinear, (x, y, w, b), check_forward_ad=True)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3), (2,)), "input dimensions do not match: got 2 and 1"),
        (((2, 3), (4, 2)), "input batch dimensions do not match at dim 0: got 2 and 4"),
        (((2, 2), (2, 2)), "input1 size does not match weight size: got 2 but expected 3"),
        (((2, 3), (2, 3)), "input2 size does not match weight size: got 3 but expected 2"),
    ],
)
def test_bilinear_refuses(shapes, message):
    with pytest.raises(RuntimeError, match=rf"^bilinear\(\): {message}"):
        F.bilinear(tg.ones(shapes[0]), tg.ones(shapes[1]), tg.ones(4, 3, 2))
    with pytest.raises(RuntimeError, match=r"^bilinear\(\): bias size does not match weight size: got 3 but expected 4"):
        F.bilinear(tg.ones(2, 3), tg.ones(2, 2), tg.ones(4, 3, 2), tg.ones(3))
    with pytest.raises(ValueError, match="^in1_features must be > 0"):
        nn.Bilinear(0, 1, 1)
