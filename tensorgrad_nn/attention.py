"""Attention of several heads, and the encoder that is made of it."""

from __future__ import annotations

import copy

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn import init
from tensorgrad_nn._functional_attention import additive_mask
from tensorgrad_nn.container import ModuleList
from tensorgrad_nn.dropout import Dropout
from tensorgrad_nn.linear import Linear
from tensorgrad_nn.module import Module
from tensorgrad_nn.normalization import LayerNorm
from tensorgrad_nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["MultiheadAttention", "TransformerEncoder", "TransformerEncoderLayer"]


class MultiheadAttention(Module):
    """Attention of several heads, each with projections of the queries, keys and values of its own.

    Parameters
    ----------
    embed_dim : int
        The length E of queries and outputs.
    num_heads : int
        A divisor of E.
    dropout : float, default 0.0
        Of the weights, in training.
    bias : bool, default True
        Whether the projections have additive terms.
    add_bias_kv : bool, default False
        One more key and value, which are learned.
    add_zero_attn : bool, default False
        One more key and value of zeros.
    kdim, vdim : int, optional
        The lengths of keys and values; E by default.
    batch_first : bool, default False
        (N, L, E) in place of (L, N, E).
    device : device or str, optional
        Where the parameters live.
    dtype : dtype, optional
        Their dtype.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 E, E), or None
        The projections on top of one another; where keys or values have another length there are `q_proj_weight`,
        `k_proj_weight` and `v_proj_weight` instead.
    in_proj_bias : Parameter, shape (3 E,), or None
    bias_k, bias_v : Parameter, shape (1, 1, E), or None
    out_proj : Linear

    Notes
    -----
    head_i = softmax(Q_i K_i^T / sqrt(E / heads)) V_i of the projections, beside each other and projected once more
    (Vaswani et al., arXiv:1706.03762).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = tensorgrad.randn(3, 5, 8)
    >>> output, weights = attention(x, x, x)
    >>> output.shape, weights.shape
    (tensorgrad.Size([3, 5, 8]), tensorgrad.Size([3, 5, 5]))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError(f"embed_dim must be divisible by num_heads: got {embed_dim} and {num_heads}")
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim

        def make(*shape: int) -> Parameter:
            return Parameter(tensorgrad.empty(shape, device=device, dtype=dtype))

        packed = self._qkv_same_embed_dim
        self.register_parameter("in_proj_weight", make(3 * embed_dim, embed_dim) if packed else None)
        self.register_parameter("q_proj_weight", None if packed else make(embed_dim, embed_dim))
        self.register_parameter("k_proj_weight", None if packed else make(embed_dim, self.kdim))
        self.register_parameter("v_proj_weight", None if packed else make(embed_dim, self.vdim))
        self.register_parameter("in_proj_bias", make(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.register_parameter("bias_k", make(1, 1, embed_dim) if add_bias_kv else None)
        self.register_parameter("bias_v", make(1, 1, embed_dim) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.constant_(bias, 0.0)
        for vector in (self.bias_k, self.bias_v):
            if vector is not None:
                init.xavier_normal_(vector)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Let the queries look at the keys.

        Parameters
        ----------
        query : Tensor, shape (L, E), or (L, N, E), or (N, L, E) with `batch_first`
        key : Tensor, shape (S, kdim), with the dimension of the batch where the query has it
        value : Tensor, shape (S, vdim), likewise
        key_padding_mask : Tensor, shape (S,) or (N, S), optional
            True for keys that nobody sees, or numbers to add to the scores.
        need_weights : bool, default True
            Return the weights too; False lets them be forgotten at once.
        attn_mask : Tensor, shape (L, S) or (N num_heads, L, S), optional
            True where a query does not see a key, or numbers to add to the scores.
        average_attn_weights : bool, default True
            The mean of the heads' weights, in place of each.
        is_causal : bool, default False
            A hint that `attn_mask` is the causal one.

        Returns
        -------
        output : Tensor, the shape of `query`
        weights : Tensor or None, shape (L, S) or (N, L, S), with num_heads before L if they are not averaged
        """
        turned = self.batch_first and query.ndim == 3
        if turned:
            same = query is key, key is value
            query = query.transpose(1, 0)
            key = query if same[0] else key.transpose(1, 0)
            value = key if same[1] else value.transpose(1, 0)
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return output.transpose(1, 0) if turned else output, weights


def _activation(activation: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return F.relu if activation == "relu" else F.gelu


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, then two affine maps of each element; both with shortcut and normalisation.

    Parameters
    ----------
    d_model : int
        The length E of each element.
    nhead : int
        Heads, a divisor of E.
    dim_feedforward : int, default 2048
        The length between the two maps.
    dropout : float, default 0.1
        Of the weights and of what goes past the shortcuts, in training.
    activation : {'relu', 'gelu'} or callable, default relu
        Between the two maps.
    layer_norm_eps : float, default 1e-5
    batch_first : bool, default False
        (N, S, E) in place of (S, N, E).
    norm_first : bool, default False
        Normalise what goes in, in place of what comes out.
    bias : bool, default True
        Whether maps and normalisations have additive terms.
    device : device or str, optional
        Where the parameters live.
    dtype : dtype, optional
        Their dtype.

    Notes
    -----
    x = norm(x + attention(x)), x = norm(x + maps(x)) (Vaswani et al., arXiv:1706.03762); with `norm_first`
    x = x + attention(norm(x)), x = x + maps(norm(x)) (Xiong et al., arXiv:2002.04745).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> layer(tensorgrad.randn(3, 5, 8)).shape
    tensorgrad.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Encode a sequence.

        Parameters
        ----------
        src : Tensor, shape (S, E), or (S, N, E), or (N, S, E) with `batch_first`
        src_mask : Tensor, shape (S, S) or (N nhead, S, S), optional
            True where an element does not see another, or numbers to add to the scores.
        src_key_padding_mask : Tensor, shape (S,) or (N, S), optional
            True for elements that nobody sees, or numbers to add.
        is_causal : bool, default False
            A hint that `src_mask` is the causal one.

        Returns
        -------
        Tensor, the shape of `src`
        """
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", src_mask, "src_mask", src.dtype)
        mask = additive_mask(src_mask, "src_mask", None, "", src.dtype)
        if self.norm_first:
            x = src + self._attended(self.norm1(src), mask, padding, is_causal)
            return x + self._mapped(self.norm2(x))
        x = self.norm1(src + self._attended(src, mask, padding, is_causal))
        output: Tensor = self.norm2(x + self._mapped(x))
        return output

    def _attended(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Tensor:
        output: Tensor = self.self_attn(
            x, x, x, key_padding_mask=padding, need_weights=False, attn_mask=mask, is_causal=is_causal
        )[0]
        output = self.dropout1(output)
        return output

    def _mapped(self, x: Tensor) -> Tensor:
        output: Tensor = self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return output


class TransformerEncoder(Module):
    """Layers of an encoder one after the other.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        What the layers are copies of: they begin with equal parameters.
    num_layers : int
        How many there are.
    norm : Module, optional
        Applied to the result.
    enable_nested_tensor, mask_check : bool, default True
        For PyTorch's signature; there are no nested tensors.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, dim_feedforward=16), num_layers=2)
    >>> encoder(tensorgrad.randn(5, 3, 8)).shape
    tensorgrad.Size([5, 3, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Encode a sequence, with the parameters of `TransformerEncoderLayer.forward`."""
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", mask, "mask", src.dtype)
        mask = additive_mask(mask, "mask", None, "", src.dtype)
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, src_key_padding_mask=padding, is_causal=bool(is_causal))
        return output if self.norm is None else self.norm(output)
