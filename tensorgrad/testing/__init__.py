"""Helpers for tests: comparing tensors and making them."""

from __future__ import annotations

from typing import Any

import tensorgrad

__all__ = ["assert_close", "make_tensor"]

# (rtol, atol) by dtype, as PyTorch's torch.testing.assert_close documents them.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    msg: str | None = None,
) -> None:
    """Raise AssertionError unless two tensors (or nested sequences, mappings or numbers) are close.

    Parameters
    ----------
    actual, expected : Tensor, number, sequence or mapping
    rtol, atol : float, optional
        Both or neither; by default they follow from the dtypes.
    equal_nan : bool
        Let nan equal nan.
    check_device, check_dtype : bool
        Demand equal devices and dtypes.
    msg : str, optional
        Replaces the message.

    Notes
    -----
    ``|actual - expected| <= atol + rtol * |expected|`` for each element, see
    https://docs.pytorch.org/docs/stable/testing.html.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.testing.assert_close(tensorgrad.ones(2), tensorgrad.tensor([1.0, 1.0]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError("rtol and atol must both be specified or both be unspecified")
    if isinstance(expected, dict):
        if actual.keys() != expected.keys():
            raise AssertionError(f"The keys of the mappings do not match: {list(actual)} and {list(expected)}")
        pairs = [(actual[key], expected[key]) for key in expected]
    elif isinstance(expected, (tuple, list)):
        if len(actual) != len(expected):
            raise AssertionError(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}")
        pairs = list(zip(actual, expected, strict=True))
    else:
        _compare(actual, expected, rtol, atol, equal_nan, check_device, check_dtype, msg)
        return
    for a, b in pairs:
        assert_close(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=check_device,
                     check_dtype=check_dtype, msg=msg)


def _compare(actual, expected, rtol, atol, equal_nan, check_device, check_dtype, msg) -> None:
    def fail(text: str) -> None:
        raise AssertionError(msg or text)

    numbers = not isinstance(actual, tensorgrad.Tensor) and not isinstance(expected, tensorgrad.Tensor)
    a, b = tensorgrad.as_tensor(actual).detach(), tensorgrad.as_tensor(expected).detach()
    if a.shape != b.shape:
        fail(f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}.")
    if check_device and a.device != b.device:
        fail(f"The values for attribute 'device' do not match: {a.device} != {b.device}.")
    if check_dtype and not numbers and a.dtype != b.dtype:
        fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.")
    if rtol is None:
        kinds = [_TOLERANCES.get(str(x.dtype).partition(".")[2], (0.0, 0.0)) for x in (a, b)]
        rtol, atol = max(k[0] for k in kinds), max(k[1] for k in kinds)
    if a.numel() == 0:
        return
    a, b = a.cpu(), b.cpu()
    wide = tensorgrad.complex128 if a.is_complex() or b.is_complex() else (
        tensorgrad.float64 if a.is_floating_point() or b.is_floating_point() else a.dtype)
    a, b = a.to(wide), b.to(wide)
    close = tensorgrad.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if bool(close.all()):
        return
    wrong = ~close
    distance = (a - b).abs() if wide is not tensorgrad.bool else (a ^ b).to(tensorgrad.int64)
    fail(
        f"Tensor-likes are not close!\n\nMismatched elements: {int(wrong.sum())} / {a.numel()}\n"
        f"Greatest absolute difference: {distance.max().item()} (up to {atol} allowed)\n"
        f"actual:\n{actual}\nexpected:\n{expected}"
    )


def make_tensor(
    *shape: int,
    dtype: Any,
    device: Any = "cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
) -> Any:
    """A tensor of random values for a test.

    Parameters
    ----------
    *shape : int
    dtype : dtype
    device : device
    low, high : float, optional
        Bounds of the uniform distribution; by default -9 and 9 (0 and 10 for uint8, 0 and 2 for bool).
    requires_grad, noncontiguous, exclude_zero : bool

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.testing.make_tensor(2, 3, dtype=tensorgrad.float32).shape
    tensorgrad.Size([2, 3])
    """
    size = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if noncontiguous and size:
        size = (*size[:-1], 2 * size[-1])
    if dtype is tensorgrad.bool:
        x = tensorgrad.randint(0, 2, size).to(dtype)
    elif dtype.is_floating_point or dtype.is_complex:
        a, b = -9.0 if low is None else low, 9.0 if high is None else high
        x = tensorgrad.rand(size, dtype=tensorgrad.float64) * (b - a) + a
        if dtype.is_complex:
            x = tensorgrad.complex(x, tensorgrad.rand(size, dtype=tensorgrad.float64) * (b - a) + a)
        x = x.to(dtype)
    else:
        a = (-9 if dtype.is_signed else 0) if low is None else int(low)
        x = tensorgrad.randint(a, 10 if high is None else int(high), size).to(dtype)
    if exclude_zero:
        x = tensorgrad.where(x == 0, tensorgrad.ones((), dtype=dtype), x)
    x = x.to(device)
    if noncontiguous and size:
        x = x[..., ::2]
    return x.detach().requires_grad_(requires_grad)
