"""Recurrent layers: cells against their formulas, sequences against cells."""

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
from tensorgrad.autograd import gradcheck


def values(*shape, seed=0):
    return tensorgrad.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def arrays(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_cells_are_their_formulas():
    x, h, c = values(2, 3), values(2, 4, seed=1), values(2, 4, seed=2)
    xs, hs, cs = (t.detach().numpy() for t in (x, h, c))

    def gates(cell):
        p = arrays(cell)
        return xs @ p["weight_ih"].T + p["bias_ih"], hs @ p["weight_hh"].T + p["bias_hh"]

    cell = nn.RNNCell(3, 4).double()
    np.testing.assert_allclose(cell(x, h).detach().numpy(), np.tanh(sum(gates(cell))), rtol=1e-12)
    cell = nn.LSTMCell(3, 4).double()
    i, f, g, o = np.split(sum(gates(cell)), 4, 1)
    new = sigmoid(f) * cs + sigmoid(i) * np.tanh(g)
    out = cell(x, (h, c))
    np.testing.assert_allclose(out[1].detach().numpy(), new, rtol=1e-12)
    np.testing.assert_allclose(out[0].detach().numpy(), sigmoid(o) * np.tanh(new), rtol=1e-12)
    cell = nn.GRUCell(3, 4).double()
    (xr, xz, xn), (hr, hz, hn) = (np.split(part, 3, 1) for part in gates(cell))
    n = np.tanh(xn + sigmoid(xr + hr) * hn)
    z = sigmoid(xz + hz)
    np.testing.assert_allclose(cell(x, h).detach().numpy(), (1 - z) * n + z * hs, rtol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_sequences_are_steps_of_cells(kind):
    layer = getattr(nn, kind)(3, 4, bidirectional=True).double()
    cells = []
    for suffix in ("_l0", "_l0_reverse"):
        cell = getattr(nn, kind + "Cell")(3, 4).double()
        cell.load_state_dict({n.removesuffix(suffix): p for n, p in layer.state_dict().items() if n.endswith(suffix)})
        cells.append(cell)
    x = values(5, 2, 3)
    output, _ = layer(x)
    for cell, order, part in ((cells[0], range(5), slice(0, 4)), (cells[1], reversed(range(5)), slice(4, 8))):
        state = None
        for step in order:
            state = cell(x[step], state)
            h = state[0] if kind == "LSTM" else state
            np.testing.assert_allclose(output[step, :, part].detach().numpy(), h.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_shapes_and_gradients(kind):
    layer = getattr(nn, kind)(3, 4, num_layers=2, batch_first=True).double()
    x = values(2, 3, 3)
    output, state = layer(x)
    assert output.shape == (2, 3, 4)
    assert (state[0] if kind == "LSTM" else state).shape == (2, 2, 4)
    assert gradcheck(lambda x: layer(x)[0], (x,))
    single, _ = layer(x[0])
    np.testing.assert_allclose(single.detach().numpy(), output[0].detach().numpy(), rtol=1e-12)
    with pytest.raises(RuntimeError, match="input.size\\(-1\\) must be equal to input_size. Expected 3, got 5"):
        layer(values(2, 3, 5))
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        h = values(1, 2, 4)
        layer(x, (h, h) if kind == "LSTM" else h)


def test_repr_and_options():
    assert repr(nn.LSTM(3, 4, 2, bidirectional=True)) == "LSTM(3, 4, num_layers=2, bidirectional=True)"
    assert repr(nn.RNNCell(3, 4, bias=False, nonlinearity="relu")) == "RNNCell(3, 4, bias=False, nonlinearity=relu)"
    assert list(nn.GRU(3, 4, bias=False).state_dict()) == ["weight_ih_l0", "weight_hh_l0"]
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last recurrent layer"):
        nn.GRU(3, 4, dropout=0.5)
    with pytest.raises(ValueError, match="Unknown nonlinearity 'sin'"):
        nn.RNN(3, 4, nonlinearity="sin")
