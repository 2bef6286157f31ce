"""Pooling as modules; the formulas are in the docstrings of `functional`."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_nn import functional as F
from tensorgrad_nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _MaxPool(Module):
    """The largest element of each window of the last `_n` dimensions."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    return_indices: bool
    ceil_mode: bool
    _n = 0

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Pool `input`, (N, C, ...) or (C, ...); with the indices if `return_indices`."""
        function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self._n - 1]
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """Return the geometry."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of the last dimension."""

    _n = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window of the last two dimensions."""

    _n = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window of the last three dimensions."""

    _n = 3


class _AvgPool(Module):
    """The mean of each window of the last `_n` dimensions."""

    kernel_size: Any
    stride: Any
    padding: Any
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None
    _n = 0

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Pool `input`, (N, C, ...) or (C, ...)."""
        options = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        function = (F.avg_pool2d, F.avg_pool3d)[self._n - 2]
        return function(input, *options, self.divisor_override)

    def extra_repr(self) -> str:
        """Return the geometry."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(Module):
    """The mean of each window of the last dimension."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool
    count_include_pad: bool

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(stride if stride is not None else kernel_size)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Pool `input`, (N, C, L) or (C, L)."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """Return the geometry."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _single(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


class AvgPool2d(_AvgPool):
    """The mean of each window of the last two dimensions."""

    _n = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of the last three dimensions."""

    _n = 3


class _AdaptivePool(Module):
    """Pooling to a given size."""

    output_size: Any
    _n = 0

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """Return the size."""
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_AdaptivePool):
    """Means of windows that cover the last `_n` dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Pool `input`, (N, C, ...) or (C, ...)."""
        function = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self._n - 1]
        return function(input, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    """The largest elements of windows that cover the last `_n` dimensions."""

    return_indices: bool

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Pool `input`, (N, C, ...) or (C, ...); with the indices if `return_indices`."""
        function = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[self._n - 1]
        return function(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of windows that cover the last dimension."""

    _n = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of windows that cover the last two dimensions."""

    _n = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of windows that cover the last three dimensions."""

    _n = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of windows that cover the last dimension."""

    _n = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of windows that cover the last two dimensions."""

    _n = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of windows that cover the last three dimensions."""

    _n = 3


class _MaxUnpool(Module):
    """Elements put back where a pooling of the largest found them, zeros elsewhere."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    _n = 0

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = self._many(kernel_size)
        self.stride = self._many(stride if stride is not None else kernel_size)
        self.padding = self._many(padding)

    def _many(self, value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * self._n

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Put the elements of `input` back where `indices` say."""
        function = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self._n - 1]
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """Return the geometry."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Elements put back where a pooling of the last dimension found them, zeros elsewhere."""

    _n = 1


class MaxUnpool2d(_MaxUnpool):
    """Elements put back where a pooling of the last two dimensions found them, zeros elsewhere."""

    _n = 2


class MaxUnpool3d(_MaxUnpool):
    """Elements put back where a pooling of the last three dimensions found them, zeros elsewhere."""

    _n = 3


class _LPPool(Module):
    """(sum x^p)^(1/p) over each window of the last `_n` dimensions."""

    norm_type: float
    kernel_size: Any
    stride: Any
    ceil_mode: bool
    _n = 0

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """Pool `input`, (N, C, ...) or (C, ...)."""
        function = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self._n - 1]
        return function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """Return the geometry."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum x^p)^(1/p) over each window of the last dimension."""

    _n = 1


class LPPool2d(_LPPool):
    """(sum x^p)^(1/p) over each window of the last two dimensions."""

    _n = 2


class LPPool3d(_LPPool):
    """(sum x^p)^(1/p) over each window of the last three dimensions."""

    _n = 3
