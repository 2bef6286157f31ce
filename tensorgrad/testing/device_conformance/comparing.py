"""What the tests of a device share: arguments moved to it, and its results held against the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tensorgrad
from tensorgrad import devices
from tensorgrad.testing.sampling import (
    DTYPES,
    assert_close,
    is_inexact,
    results_of,
    tensors_in,
    to_numpy,
    with_tensors,
)

#: Rounding errors that may add up, in units of the last place of the largest value: decompositions add in another
#: order, and a device's functions err by a few units each.
SLACK = 64
REFUSALS = (NotImplementedError, RuntimeError, TypeError, IndexError)


def named(dtype: Any) -> str:
    """``"float32"`` for `tensorgrad.float32`."""
    return str(dtype).removeprefix("tensorgrad.")


def supports(device: str, dtype: Any) -> bool:
    """Whether the device says that it computes a dtype."""
    place = tensorgrad.device(device)
    return devices.backend(place.type).supports(named(dtype), place.index)


def require(device: str, *dtypes: Any) -> None:
    """Skip a test of dtypes that the device does not compute."""
    for dtype in dtypes:
        if not supports(device, dtype):
            pytest.skip(f"{device} does not compute {named(dtype)}, as its backend says")


def widest(device: str, complex: bool = False) -> Any:
    """The dtype with the most digits that the device has."""
    wide, narrow = ("complex128", "complex64") if complex else ("float64", "float32")
    name = wide if supports(device, getattr(tensorgrad, wide)) else narrow
    return getattr(tensorgrad, name)


def tested_dtypes(device: str) -> list[Any]:
    """All that it computes."""
    return [dtype for dtype in DTYPES if supports(device, dtype)]


def on_device(x: Any, device: str) -> Any:
    """The same elements at the same places of another memory: strides, gaps, offset and all."""
    if x.numel() == 0:
        return x.detach().to(device).requires_grad_(x.requires_grad)
    whole = x.detach().as_strided((x.untyped_storage().nbytes() // x.itemsize,), (1,), 0)
    moved = whole.to(device).as_strided(tuple(x.shape), x.stride(), x.storage_offset())
    return moved.detach().requires_grad_(x.requires_grad)


def moved(arguments: Any, device: str) -> Any:
    """Arguments with their tensors on the device."""
    return with_tensors(arguments, iter([on_device(x, device) for x in tensors_in(arguments)]))


def called(operator: Any, args: Any, kwargs: Any) -> Any:
    """The result with the generator at a fixed place, or the error."""
    tensorgrad.manual_seed(7)
    try:
        return operator(*args, **kwargs)
    except devices.UnsupportedFunctionError:
        raise  # no result to be compared: the test is skipped (conftest.py)
    except REFUSALS as error:
        return error


def compare(actual: Any, expected: Any, device: str, dtype: Any, note: str, slack: float = SLACK) -> None:
    """Assert that a device gives what the CPU gives, errors included.

    Parameters
    ----------
    actual, expected
        Results (any tree of tensors), or the exceptions that came instead.
    device : str
    dtype : dtype
        That of the computation, whose rounding a result may carry although its own dtype is wider.
    note : str
    slack : float
    """
    assert isinstance(actual, Exception) == isinstance(expected, Exception), (note, actual, expected)
    if isinstance(expected, Exception):
        assert type(actual) is type(expected), (note, actual, expected)
        return
    for a, e in zip(results_of(actual), results_of(expected), strict=True):
        assert str(a.device) == device, note
        assert (a.dtype, a.shape) == (e.dtype, e.shape), note
        if not is_inexact(e.dtype) or not e.numel():
            np.testing.assert_array_equal(to_numpy(a.cpu()), to_numpy(e), err_msg=note)
        else:
            coarse = is_inexact(dtype) and tensorgrad.finfo(dtype).eps > tensorgrad.finfo(e.dtype).eps
            assert_close(to_numpy(a.cpu()), to_numpy(e), dtype if coarse else e.dtype, slack, note)


def weights(y: Any) -> Any:
    """A gradient that differs from element to element."""
    place = np.arange(1, y.numel() + 1).reshape(tuple(y.shape))
    value = np.cos(place) + (0.5j * np.sin(place) if y.is_complex() else 0)
    return tensorgrad.tensor(value).to(y.dtype).to(y.device)


def gradients(result: Any, inputs: Any, create_graph: bool = False) -> tuple[Any, ...] | None:
    """The gradients of a weighted sum of all results; None where there are none to take."""
    outputs = [y for y in results_of(result) if y.requires_grad]
    inputs = [x for x in inputs if x.requires_grad]
    if not outputs or not inputs:
        return None
    found: tuple[Any, ...] = tensorgrad.autograd.grad(
        outputs, inputs, [weights(y) for y in outputs], allow_unused=True, create_graph=create_graph
    )
    return found


def compare_gradients(actual: Any, expected: Any, device: str, dtype: Any, note: str, slack: float = SLACK) -> None:
    """`compare`, for what `gradients` gives."""
    assert (actual is None) == (expected is None), note
    for a, e in zip(actual or (), expected or (), strict=True):
        assert (a is None) == (e is None), note
        if e is not None:
            compare(a, e, device, dtype, note, slack)


def values(x: Any) -> Any:
    """A tensor's elements in NumPy."""
    return to_numpy(x.detach().cpu())


def on_both(function: Any, device: str) -> tuple[Any, Any]:
    """The values that a function of a device gives on the CPU and on the device, from one seed."""
    results = []
    for place in ("cpu", device):
        tensorgrad.manual_seed(3)
        x = function(place)
        assert str(x.device) == place
        results.append(values(x))
    return results[0], results[1]
