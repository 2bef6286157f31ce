"""Changing the dtype or device of everything a module holds."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Self = TypeVar("Self", bound="Conversion")


class Conversion:
    """The part of `Module` that replaces the data of parameters and buffers."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    children: Callable[[], Any]

    def apply(self: Self, fn: Callable[[Any], Any]) -> Self:
        """Call `fn` on every module below and then on this one.

        Parameters
        ----------
        fn : callable
            Takes a module.

        Returns
        -------
        Module
            Itself.
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the data of every parameter, gradient and buffer by `fn` of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            grad = parameter.grad
            with tensorgrad.no_grad():
                data = fn(parameter)
                grad_data = None if grad is None else fn(grad)
            # The parameter stays the same object: an optimizer may hold it. Its gradient is
            # taken off meanwhile, for dtype and device of the two must agree at any time.
            parameter.grad = None
            parameter.data = data
            if grad is not None:
                grad.data = grad_data
                parameter.grad = grad
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device, or convert floating point and complex values to a dtype.

        Called as `to(device=None, dtype=None, non_blocking=False)`,
        `to(dtype, non_blocking=False)` or `to(tensor, non_blocking=False)`.

        Parameters
        ----------
        device : device or str or int, optional
            Where to move parameters and buffers.
        dtype : dtype, optional
            What to convert to; integer and bool buffers stay as they are.
        tensor : Tensor
            Take device and dtype from it.
        non_blocking : bool, default False
            Do not wait for the copy, where the device can do that.

        Returns
        -------
        Module
            Itself, changed in place.

        Raises
        ------
        TypeError
            If `dtype` is not floating point or complex.

        Examples
        --------
        >>> import tensorgrad, tensorgrad_nn as nn
        >>> nn.Linear(1, 1).to(tensorgrad.float64).weight.dtype
        tensorgrad.float64
        """
        device, dtype, non_blocking = _parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(tensor: Tensor) -> Tensor:
            target = dtype if tensor.is_floating_point() or tensor.is_complex() else None
            options: dict[str, Any] = {"non_blocking": non_blocking}
            if device is not None:
                options["device"] = device
            if target is not None:
                options["dtype"] = target
            return tensor.to(**options)

        return self._apply(convert)

    def to_empty(self: Self, *, device: Any, recurse: bool = True) -> Self:
        """Move to a device without copying the values.

        Parameters
        ----------
        device : device or str
            Where to move.
        recurse : bool, default True
            Include the modules below.

        Returns
        -------
        Module
            Itself; its parameters and buffers are uninitialised.
        """
        return self._apply(lambda tensor: tensorgrad.empty_like(tensor, device=device), recurse=recurse)

    def cpu(self: Self) -> Self:
        """Move to the CPU.

        Returns
        -------
        Module
            Itself.
        """
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self: Self, device: Any = None) -> Self:
        """Move to a CUDA device.

        Parameters
        ----------
        device : int or device, optional
            Which; the current one when left out.

        Returns
        -------
        Module
            Itself.
        """
        return self._apply(lambda tensor: tensor.cuda(device))

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype.

        Parameters
        ----------
        dst_type : dtype or str
            The dtype, also for integer buffers.

        Returns
        -------
        Module
            Itself.
        """
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self: Self) -> Self:
        """Convert floating point parameters and buffers to float32; returns itself."""
        return self._apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

    def double(self: Self) -> Self:
        """Convert floating point parameters and buffers to float64; returns itself."""
        return self._apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    def half(self: Self) -> Self:
        """Convert floating point parameters and buffers to float16; returns itself."""
        return self._apply(lambda tensor: tensor.half() if tensor.is_floating_point() else tensor)

    def bfloat16(self: Self) -> Self:
        """Convert floating point parameters and buffers to bfloat16; returns itself."""
        return self._apply(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, bool]:
    """Return device, dtype and non_blocking of a call of `Module.to`."""
    found = dict(kwargs)
    rest = list(args)
    if rest and isinstance(rest[0], Tensor):
        found.setdefault("tensor", rest.pop(0))
    elif rest and isinstance(rest[0], tensorgrad.dtype):
        found.setdefault("dtype", rest.pop(0))
    else:
        for name in ("device", "dtype"):
            if rest:
                found.setdefault(name, rest.pop(0))
    if rest:
        found.setdefault("non_blocking", rest.pop(0))
    tensor = found.pop("tensor", None)
    device, dtype = found.pop("device", None), found.pop("dtype", None)
    non_blocking = bool(found.pop("non_blocking", False))
    found.pop("memory_format", None)
    bad_dtype = dtype is not None and not isinstance(dtype, tensorgrad.dtype)
    if rest or found or bad_dtype:
        got = [type(one).__name__ for one in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()]
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({', '.join(got)}), but expected "
            "(device, dtype, non_blocking), (dtype, non_blocking) or (tensor, non_blocking)"
        )
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    elif device is not None:
        # Also checks the name before anything is moved.
        device = tensorgrad.device(device)
    return device, dtype, non_blocking
