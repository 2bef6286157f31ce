"""Convolutions and their transposes as modules."""

from __future__ import annotations

import math

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn import init
from tensorgrad_nn.module import Module
from tensorgrad_nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


def _many(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


class _ConvNd(Module):
    """What convolutions and their transposes share.

    Weight and bias are drawn from U(-k, k) with k = (in_channels / groups * prod(kernel_size))^-1/2, as in PyTorch.
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}")
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                "padding_mode must be one of {'zeros', 'reflect', 'replicate', 'circular'}, "
                f"but got padding_mode='{padding_mode}'"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        if transposed:
            shape = (in_channels, out_channels // groups, *kernel_size)
        else:
            shape = (out_channels, in_channels // groups, *kernel_size)
        self.weight = Parameter(tensorgrad.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(tensorgrad.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Tensor) -> tuple[Tensor, str | tuple[int, ...]]:
        """The input with a padding of its own elements, and the zeros that are left to add."""
        if self.padding_mode == "zeros":
            return input, self.padding
        sides: list[int] = []
        for d in reversed(range(len(self.kernel_size))):
            if self.padding == "same":
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                sides += [total // 2, total - total // 2]
            elif self.padding == "valid":
                sides += [0, 0]
            else:
                sides += [int(self.padding[d])] * 2
        return F.pad(input, sides, mode=self.padding_mode), (0,) * len(self.kernel_size)

    def extra_repr(self) -> str:
        """Return the options that are not the default ones."""
        n = len(self.kernel_size)
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    """A convolution over the last `_n` dimensions."""

    _n = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        n = self._n
        super().__init__(
            in_channels,
            out_channels,
            _many(kernel_size, n),
            _many(stride, n),
            padding if isinstance(padding, str) else _many(padding, n),
            _many(dilation, n),
            False,
            (0,) * n,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of `input`, (N, C, ...) or (C, ...)."""
        input, padding = self._padded(input)
        function = (F.conv1d, F.conv2d, F.conv3d)[self._n - 1]
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """A convolution over the last dimension of (N, C, L) or (C, L).

    Parameters are those of `Conv2d`.
    """

    _n = 1


class Conv2d(_Conv):
    """A convolution over the last two dimensions of (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int or tuple of int
        Size of the windows.
    stride : int or tuple of int, default 1
        The distance between windows.
    padding : int, tuple of int, 'same' or 'valid', default 0
        Elements added on either side.
    dilation : int or tuple of int, default 1
        The distance between the elements of a window.
    groups : int, default 1
        Groups of channels that see nothing of each other.
    bias : bool, default True
        Whether there is an additive term.
    padding_mode : {'zeros', 'reflect', 'replicate', 'circular'}, default 'zeros'
        What the added elements are.
    device : device or str, optional
        Where the parameters live.
    dtype : dtype, optional
        Their dtype, floating point or complex.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Notes
    -----
    y[o, p] = b[o] + sum_ck w[o, c, k] x[c, p stride - padding + k dilation]. Both are drawn from U(-k, k) with
    k = (in_channels / groups prod(kernel_size))^-1/2, as in PyTorch.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Conv2d(1, 8, 3, padding=1)(tensorgrad.zeros(2, 1, 5, 6)).shape
    tensorgrad.Size([2, 8, 5, 6])
    """

    _n = 2


class Conv3d(_Conv):
    """A convolution over the last three dimensions of (N, C, D, H, W) or (C, D, H, W).

    Parameters are those of `Conv2d`.
    """

    _n = 3


class _ConvTranspose(_ConvNd):
    """The transpose of a convolution over the last `_n` dimensions."""

    _n = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        n = self._n
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            _many(kernel_size, n),
            _many(stride, n),
            _many(padding, n),
            _many(dilation, n),
            True,
            _many(output_padding, n),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _extra(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output padding that gives an output of `output_size`."""
        if output_size is None:
            return self.output_padding
        n = self._n
        if len(output_size) not in (n, input.ndim):
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or {input.ndim} elements "
                f"(got {len(output_size)})"
            )
        wanted = list(output_size)[-n:]
        extra = []
        for d in range(n):
            least = (
                (input.shape[input.ndim - n + d] - 1) * self.stride[d]
                - 2 * int(self.padding[d])
                + self.dilation[d] * (self.kernel_size[d] - 1)
                + 1
            )
            if not least <= wanted[d] <= least + self.stride[d] - 1:
                raise ValueError(
                    f"requested an output size of {wanted}, but in dimension {d} valid sizes range from {least} to "
                    f"{least + self.stride[d] - 1} (for an input of {list(input.shape)})"
                )
            extra.append(wanted[d] - least)
        return tuple(extra)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Return the transposed convolution of `input`, (N, C, ...) or (C, ...), of `output_size` if it is given."""
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self._n - 1]
        extra = self._extra(input, output_size)
        return function(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d`. Parameters are those of `ConvTranspose2d`."""

    _n = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d`: what its gradient does to the gradient of its output.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, padding, dilation : int or tuple of int
        Of the convolution that this is the transpose of.
    output_padding : int or tuple of int, default 0
        Elements to add at the end, for several sizes are convolved to one.
    groups : int, default 1
        Groups of channels that see nothing of each other.
    bias : bool, default True
        Whether there is an additive term.
    padding_mode : 'zeros'
        There is no other.
    device : device or str, optional
        Where the parameters live.
    dtype : dtype, optional
        Their dtype.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.ConvTranspose2d(8, 1, 2, stride=2)(tensorgrad.zeros(2, 8, 5, 6)).shape
    tensorgrad.Size([2, 1, 10, 12])
    """

    _n = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of `Conv3d`. Parameters are those of `ConvTranspose2d`."""

    _n = 3
