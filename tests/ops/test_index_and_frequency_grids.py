"""Operators that make a grid from numbers alone, against NumPy: no tensor goes in, so no sample is drawn for them."""

import numpy as np
import pytest

import tensorgrad as tg

SIZES = [(0, 0), (1, 1), (3, 3), (2, 5), (5, 2), (0, 4), (4, 0)]
TRIANGLES = {"tril_indices": np.tril_indices, "triu_indices": np.triu_indices}
FREQUENCIES = {"fftfreq": np.fft.fftfreq, "rfftfreq": np.fft.rfftfreq}


# ---- the indices of a triangle --------------------------------------------------------------------------
@pytest.mark.parametrize("offset", [-6, -2, -1, 0, 1, 2, 6])
@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("name", TRIANGLES)
def test_indices_of_a_triangle(name, rows, columns, offset):
    found = getattr(tg, name)(rows, columns, offset)
    expected = np.stack(TRIANGLES[name](rows, offset, columns))
    assert found.dtype is tg.int64
    assert found.is_contiguous()
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(("name", "cut"), [("tril_indices", tg.tril), ("triu_indices", tg.triu)])
def test_indices_of_a_triangle_name_what_it_keeps(name, cut):
    x = tg.arange(1.0, 13.0).reshape(3, 4)
    rows, columns = getattr(tg, name)(3, 4, 1)
    kept = tg.zeros(3, 4)
    kept[rows, columns] = x[rows, columns]
    assert tg.equal(kept, cut(x, 1))


@pytest.mark.parametrize("name", TRIANGLES)
def test_dtype_of_the_indices_of_a_triangle(name):
    function = getattr(tg, name)
    assert function(2, 3, dtype=tg.int32).dtype is tg.int32
    assert function(2, 3, dtype=tg.int32).tolist() == function(2, 3).tolist()
    assert function(2, 3, device="cpu").device == tg.device("cpu")


@pytest.mark.parametrize("sizes", [(-1, 2), (2, -1)])
@pytest.mark.parametrize("name", TRIANGLES)
def test_a_triangle_of_negative_size_is_refused(name, sizes):
    with pytest.raises(RuntimeError):
        getattr(tg, name)(*sizes)


# ---- frequencies ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("spacing", [1.0, 0.1, 2.5])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 101])
@pytest.mark.parametrize("name", FREQUENCIES)
def test_frequencies(name, n, spacing):
    found = getattr(tg.fft, name)(n, spacing, dtype=tg.float64)
    expected = FREQUENCIES[name](n, spacing)
    assert found.dtype is tg.float64
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", FREQUENCIES)
def test_frequencies_are_in_the_default_dtype_and_may_require_a_gradient(name):
    function = getattr(tg.fft, name)
    assert function(4).dtype is tg.get_default_dtype()
    assert function(4).tolist() == FREQUENCIES[name](4).tolist()  # quarters are exact in any dtype
    assert not function(4).requires_grad
    x = function(4, requires_grad=True)
    assert x.is_leaf and x.requires_grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * FREQUENCIES[name](4).astype(np.float32))


@pytest.mark.parametrize("n", [4, 5])
def test_frequencies_are_those_of_the_transform(n):
    """A transform of a wave of each frequency has its peak where that frequency stands."""
    time = np.arange(n)
    for place, frequency in enumerate(tg.fft.fftfreq(n, dtype=tg.float64).tolist()):
        wave = tg.tensor(np.exp(2j * np.pi * frequency * time))
        assert tg.fft.fft(wave).abs().argmax().item() == place
