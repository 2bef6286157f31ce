"""Attention as functions: of one head, and of several with their projections."""

from __future__ import annotations

import math
import warnings

import tensorgrad
from tensorgrad import Tensor, linear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(q k^T scale + mask) v.

    Parameters
    ----------
    query : Tensor, shape (..., L, E)
        Queries.
    key, value : Tensor, shape (..., S, E) and (..., S, V)
        Keys, and what they stand for.
    attn_mask : Tensor, broadcastable to (..., L, S), optional
        Added to the scores; or True where a key takes part. A query that sees no key gets zeros.
    dropout_p : float, default 0.0
        Of the weights.
    is_causal : bool, default False
        Each query sees the keys up to its own place.
    scale : float, optional
        E^-1/2 by default.
    enable_gqa : bool, default False
        Several heads of the query share a head of the keys.

    Returns
    -------
    Tensor, shape (..., L, V)

    Notes
    -----
    Vaswani et al., arXiv:1706.03762.
    """
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    sees_none = None
    if is_causal:
        causal = tensorgrad.ones(query.shape[-2], key.shape[-2], dtype=tensorgrad.bool, device=query.device).tril()
        scores = tensorgrad.where(causal, scores, -math.inf)
    elif attn_mask is not None:
        if attn_mask.dtype is tensorgrad.bool:
            scores = tensorgrad.where(attn_mask, scores, -math.inf)
        else:
            scores = scores + attn_mask
        sees_none = (scores.detach() == -math.inf).all(-1, keepdim=True)
        scores = scores.masked_fill(sees_none, 0.0)  # a softmax of -inf alone would be nan
    weights = tensorgrad.softmax(scores, -1)
    if sees_none is not None:
        weights = weights.masked_fill(sees_none, 0.0)
    if dropout_p > 0:
        weights = tensorgrad.dropout(weights, dropout_p, True)
    return weights @ value


def additive_mask(mask: Tensor | None, name: str, other: Tensor | None, other_name: str, dtype: Any) -> Tensor | None:
    """What is added to scores: -inf where a mask of bools holds; numbers as they are."""
    if mask is None:
        return None
    if mask.dtype is not tensorgrad.bool and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype is not other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if mask.is_floating_point():
        return mask
    return tensorgrad.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)


def _is_batched(
    query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None, num_heads: int
) -> bool:
    """Whether there is a dimension of the batch; all inputs must agree on it."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
        )
    batched = query.ndim == 3
    given = f"For {'batched (3-D)' if batched else 'unbatched (2-D)'} `query`, expected"
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            f"{given} `key` and `value` to be {query.ndim}-D but found {key.ndim}-D and {value.ndim}-D tensors "
            "respectively"
        )
    if padding is not None and padding.ndim != query.ndim - 1:
        raise AssertionError(
            f"{given} `key_padding_mask` to be `None` or {query.ndim - 1}-D but found {padding.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(
            f"{given} `attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim == 3 and not batched:
        expected = (num_heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {tuple(mask.shape)}")
    return batched


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor],
    packed: Tensor | None,
    separate: tuple[Tensor | None, Tensor | None, Tensor | None],
    bias: Tensor | None,
) -> tuple[Tensor, ...]:
    """Queries, keys and values: products with three matrices, which may be one."""
    query, key, value = inputs
    if packed is not None and query is key and key is value:
        return linear(query, packed, bias).chunk(3, -1)
    weights = packed.chunk(3) if packed is not None else separate
    biases = (None, None, None) if bias is None else bias.chunk(3)
    results = []
    for name, x, weight, shift in zip("qkv", inputs, weights, biases, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        results.append(linear(x, weight, shift))
    return tuple(results)


def _with_one_more(mask: Tensor | None) -> Tensor | None:
    """A mask for one more key, which every query sees."""
    return None if mask is None else tensorgrad.constant_pad_nd(mask, (0, 1), 0)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return the attention of several heads, and its weights if they are needed; see `MultiheadAttention`.

    Parameters
    ----------
    query : Tensor, shape (L, E) or (L, N, E)
    key, value : Tensor, shape (S, E_k) or (S, N, E_k)
    embed_dim_to_check : int
        What E has to be.
    num_heads : int
        A divisor of E.
    in_proj_weight : Tensor, shape (3 E, E), or None
        The three projections on top of one another, unless `use_separate_proj_weight`.
    in_proj_bias : Tensor, shape (3 E,), or None
    bias_k, bias_v : Tensor, shape (1, 1, E), or None
        One more key and value.
    add_zero_attn : bool
        One more key and value of zeros.
    dropout_p : float
        Of the weights, in training.
    out_proj_weight, out_proj_bias : Tensor, shapes (E, E) and (E,)
        The last projection.
    key_padding_mask : Tensor, shape (S,) or (N, S), optional
        True for keys that nobody sees, or numbers to add.
    attn_mask : Tensor, shape (L, S) or (N num_heads, L, S), optional
        True where a query does not see a key, or numbers to add.
    q_proj_weight, k_proj_weight, v_proj_weight : Tensor, optional
        The projections, with `use_separate_proj_weight`.
    static_k, static_v : Tensor, shape (N num_heads, S, E / num_heads), optional
        In place of the projected keys and values.
    average_attn_weights : bool, default True
        The mean of the heads' weights, in place of each.
    is_causal : bool, default False
        A hint that `attn_mask` is the causal one.

    Returns
    -------
    output : Tensor, shape (L, E) or (L, N, E)
    weights : Tensor or None, shape (L, S) or (N, L, S), with num_heads before L if they are not averaged
    """
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same = query is key and key is value
        query = query.unsqueeze(1)
        key, value = (query, query) if same else (key.unsqueeze(1), value.unsqueeze(1))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    target, batch, width = query.shape
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    padding = additive_mask(key_padding_mask, "key_padding_mask", attn_mask, "attn_mask", query.dtype)
    is_causal = is_causal and padding is None and not need_weights
    mask = None if is_causal else additive_mask(attn_mask, "attn_mask", None, "", query.dtype)
    if width != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    if width % num_heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    head = width // num_heads
    if use_separate_proj_weight and key.shape[:2] != value.shape[:2]:
        raise AssertionError(
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
        )
    if not use_separate_proj_weight:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    q, k, v = _projected(
        (query, key, value),
        None if use_separate_proj_weight else in_proj_weight,
        (q_proj_weight, k_proj_weight, v_proj_weight),
        in_proj_bias,
    )
    if mask is not None:
        expected = (target, key.shape[0]) if mask.ndim == 2 else (batch * num_heads, target, key.shape[0])
        if tuple(mask.shape) != expected:
            raise RuntimeError(
                f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {expected}."
            )
        mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    if (bias_k is None) != (bias_v is None):
        missing, given = ("v", "k") if bias_v is None else ("k", "v")
        raise AssertionError(f"bias_{given} is set but bias_{missing} is None")
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError(f"bias cannot be added to static {'key' if static_k is not None else 'value'}.")
        k = tensorgrad.cat([k, bias_k.repeat(1, batch, 1)])
        v = tensorgrad.cat([v, bias_v.repeat(1, batch, 1)])
        mask, padding = _with_one_more(mask), _with_one_more(padding)
    # (N num_heads, L, head): the heads are more of the batch
    q = q.reshape(target, batch * num_heads, head).transpose(0, 1)
    k = _heads_of(k, static_k, "static_k", batch * num_heads, head)
    v = _heads_of(v, static_v, "static_v", batch * num_heads, head)
    if add_zero_attn:
        zeros = tensorgrad.zeros(batch * num_heads, 1, head, dtype=k.dtype, device=k.device)
        k, v = tensorgrad.cat([k, zeros], 1), tensorgrad.cat([v, zeros], 1)
        mask, padding = _with_one_more(mask), _with_one_more(padding)
    source = k.shape[1]
    if padding is not None:
        if tuple(padding.shape) != (batch, source):
            raise AssertionError(
                f"Expected key_padding_mask.shape of {(batch, source)}, but got {tuple(padding.shape)}"
            )
        padding = padding.reshape(batch, 1, 1, source).expand(-1, num_heads, -1, -1)
        padding = padding.reshape(batch * num_heads, 1, source)
        mask = padding if mask is None else mask + padding
    dropout = dropout_p if training else 0.0
    weights: Tensor | None = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)) @ k.transpose(-2, -1)
        weights = tensorgrad.softmax(scores if mask is None else scores + mask, -1)
        weights = tensorgrad.dropout(weights, dropout, True) if dropout > 0.0 else weights
        output = (weights @ v).transpose(0, 1).reshape(target, batch, width)
        weights = weights.reshape(batch, num_heads, target, source)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        if mask is not None:
            mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(batch, num_heads, -1, source)
        q, k, v = (x.reshape(batch, num_heads, -1, head) for x in (q, k, v))
        output = scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        output = output.permute(2, 0, 1, 3).reshape(target, batch, width)
    output = linear(output, out_proj_weight, out_proj_bias)
    if batched:
        return output, weights
    return output.squeeze(1), None if weights is None else weights.squeeze(0)


def _heads_of(x: Tensor, static: Tensor | None, name: str, heads: int, head: int) -> Tensor:
    if static is None:
        return x.reshape(x.shape[0], heads, head).transpose(0, 1)
    if static.shape[0] != heads:
        raise AssertionError(f"expecting {name}.size(0) of {heads}, but got {static.shape[0]}")
    if static.shape[2] != head:
        raise AssertionError(f"expecting {name}.size(2) of {head}, but got {static.shape[2]}")
    return static
