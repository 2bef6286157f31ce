"""Recurrent layers: Elman's, LSTM and GRU, step by step (cells) and over sequences."""

from __future__ import annotations

import math
import warnings

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn import init
from tensorgrad_nn.module import Module
from tensorgrad_nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]


# One step, from what the input and the hidden state contribute to the gates.


def _elman_step(x: Tensor, h: Tensor, nonlinearity: str) -> Tensor:
    return tensorgrad.tanh(x + h) if nonlinearity == "tanh" else tensorgrad.relu(x + h)


def _lstm_step(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """With i, f, g, o: c' = f c + i g and h' = o tanh(c')."""
    i, f, g, o = (x + h).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru_step(x: Tensor, gates: Tensor, h: Tensor) -> Tensor:
    """With r, z: n = tanh(x_n + r h_n) and h' = n + z (h - n)."""
    x_r, x_z, x_n = x.chunk(3, -1)
    h_r, h_z, h_n = gates.chunk(3, -1)
    n = (x_n + (x_r + h_r).sigmoid() * h_n).tanh()
    return n + (x_z + h_z).sigmoid() * (h - n)


class _Cell(Module):
    """Weights of one step, drawn from U(-k, k) with k = hidden_size^-1/2, as in PyTorch."""

    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(tensorgrad.empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(tensorgrad.empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(
                name, Parameter(tensorgrad.empty(rows, device=device, dtype=dtype)) if bias else None
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _gates(self, input: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return F.linear(input, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)

    def _state(self, input: Tensor, h: Tensor | None) -> Tensor:
        if input.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if h is not None and h.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected hidden to be 1D or 2D, got {h.ndim}D instead")
        if h is None:
            return tensorgrad.zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)
        return h

    def extra_repr(self) -> str:
        """Return the sizes and the options that are not the default ones."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.RNNCell(3, 4)(tensorgrad.zeros(2, 3)).shape
    tensorgrad.Size([2, 4])
    """

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next hidden state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return _elman_step(*self._gates(input, self._state(input, hx)), self.nonlinearity)


class LSTMCell(_Cell):
    """One step of an LSTM (Hochreiter and Schmidhuber, 1997), with gates in the order i, f, g, o."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the next hidden state and the next cell state."""
        h = self._state(input, None if hx is None else hx[0])
        c = self._state(input, None if hx is None else hx[1])
        return _lstm_step(*self._gates(input, h), c)


class GRUCell(_Cell):
    """One step of a GRU (Cho et al., arXiv:1406.1078), with gates in the order r, z, n."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next hidden state."""
        h = self._state(input, hx)
        return _gru_step(*self._gates(input, h), h)


class _Recurrent(Module):
    """Layers of recurrence over sequences, in one or both directions."""

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    _chunks = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        rows = self._chunks * hidden_size
        for layer in range(num_layers):
            columns = input_size if layer == 0 else hidden_size * len(self._suffixes)
            for suffix in self._suffixes:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, columns),
                    "weight_hh": (rows, hidden_size),
                }
                if bias:
                    shapes.update({"bias_ih": (rows,), "bias_hh": (rows,)})
                for name, shape in shapes.items():
                    value = Parameter(tensorgrad.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{name}_l{layer}{suffix}", value)
        self.reset_parameters()

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def reset_parameters(self) -> None:
        """Draw the weights anew, from U(-k, k) with k = hidden_size^-1/2."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, x: Tensor, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _direction(self, x: Tensor, layer: int, suffix: str, state: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        """One layer in one direction: (L, N, D) and the last state."""
        name = f"l{layer}{suffix}"
        weight, bias = getattr(self, f"weight_hh_{name}"), getattr(self, f"bias_hh_{name}", None)
        # What the inputs contribute does not wait for the state: one product for all steps.
        inputs = F.linear(x, getattr(self, f"weight_ih_{name}"), getattr(self, f"bias_ih_{name}", None)).unbind(0)
        outputs = []
        for step in reversed(inputs) if suffix else inputs:
            state = self._step(step, F.linear(state[0], weight, bias), state)
            outputs.append(state[0])
        return tensorgrad.stack(outputs[::-1] if suffix else outputs), state

    def _run(self, input: Tensor, states: tuple[Tensor, ...] | None, n_states: int) -> tuple[Tensor, list[Tensor]]:
        if input.ndim not in (2, 3):
            raise ValueError(f"{self.mode}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        single = input.ndim == 2
        x = input.unsqueeze(1) if single else input.transpose(0, 1) if self.batch_first else input
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}"
            )
        directions = len(self._suffixes)
        shape = (self.num_layers * directions, x.shape[1], self.hidden_size)
        if states is None:
            zeros = tensorgrad.zeros(*shape, dtype=x.dtype, device=x.device)
            states = (zeros,) * n_states
        elif single:
            states = tuple(state.unsqueeze(1) for state in states)
        for state in states:
            if tuple(state.shape) != shape:
                raise RuntimeError(f"Expected hidden size {shape}, got {list(state.shape)}")
        last = []
        for layer in range(self.num_layers):
            parts = []
            for direction, suffix in enumerate(self._suffixes):
                at = layer * directions + direction
                part, final = self._direction(x, layer, suffix, tuple(state[at] for state in states))
                parts.append(part)
                last.append(final)
            x = parts[0] if directions == 1 else tensorgrad.cat(parts, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout)
        finals = [tensorgrad.stack([state[k] for state in last]) for k in range(n_states)]
        if single:
            return x.squeeze(1), [state.squeeze(1) for state in finals]
        return x.transpose(0, 1) if self.batch_first else x, finals

    def extra_repr(self) -> str:
        """Return the sizes and the options that are not the default ones."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu of it, over sequences.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of the input and of the state.
    num_layers : int, default 1
        Layers, each of which takes the outputs of the one before.
    nonlinearity : {'tanh', 'relu'}, default 'tanh'
        The activation.
    bias : bool, default True
        Whether there are additive terms.
    batch_first : bool, default False
        Whether sequences are (N, L, D) and not (L, N, D).
    dropout : float, default 0.0
        Probability of dropping outputs of all layers but the last.
    bidirectional : bool, default False
        Whether there is a second set of layers that reads the sequence backwards.
    device : device or str, optional
        Where the weights live.
    dtype : dtype, optional
        Their dtype.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> output, state = nn.RNN(3, 4, num_layers=2)(tensorgrad.zeros(5, 2, 3))
    >>> output.shape, state.shape
    (tensorgrad.Size([5, 2, 4]), tensorgrad.Size([2, 2, 4]))
    """

    mode = "RNN"
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        )
        self.nonlinearity = nonlinearity

    def _step(self, x: Tensor, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (_elman_step(x, gates, self.nonlinearity),)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs of the last layer, and the last state of each layer."""
        output, (state,) = self._run(input, None if hx is None else (hx,), 1)
        return output, state


class GRU(_Recurrent):
    """`GRUCell` over sequences. Parameters are those of `RNN`, without the nonlinearity."""

    mode = "GRU"
    _chunks = 3

    def _step(self, x: Tensor, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (_gru_step(x, gates, state[0]),)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs of the last layer, and the last state of each layer."""
        output, (state,) = self._run(input, None if hx is None else (hx,), 1)
        return output, state


class LSTM(_Recurrent):
    """`LSTMCell` over sequences. Parameters are those of `RNN`, without the nonlinearity."""

    mode = "LSTM"
    _chunks = 4

    def _step(self, x: Tensor, gates: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return _lstm_step(x, gates, state[1])

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the outputs of the last layer, and the last hidden and cell states of each layer."""
        output, (h, c) = self._run(input, hx, 2)
        return output, (h, c)
