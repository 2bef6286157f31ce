"""Memory layouts, of which there is one, and memory formats: the orders in which the elements of a tensor may lie."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class layout:
    """How a tensor lies in memory; every tensor here is ``tensorgrad.strided``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"tensorgrad.{self._name}"

    def __reduce__(self) -> str:
        return self._name


strided = layout("strided")


class memory_format:
    """The order of the dimensions in memory, for operators that make tensors."""

    __slots__ = ("_name", "ndim")

    def __init__(self, name: str, ndim: int | None = None) -> None:
        self._name = name
        self.ndim = ndim

    def __repr__(self) -> str:
        return f"tensorgrad.{self._name}"

    def __reduce__(self) -> str:
        return self._name


# In the order of the indices; in that of another tensor; with the channels (dimension 1) next to each other, of
# images and of volumes.
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last", 4)
channels_last_3d = memory_format("channels_last_3d", 5)


def strides_of(order: memory_format, shape: Sequence[int]) -> list[int]:
    """The strides of a tensor of this shape whose elements lie in this order without gaps."""
    ndim = len(shape)
    if order.ndim is not None and ndim != order.ndim:
        raise RuntimeError(
            f"required rank {order.ndim} tensor to use {order._name} format, got one of shape {list(shape)}"
        )
    fastest_first = [*reversed(range(ndim))] if order.ndim is None else [1, *reversed(range(2, ndim)), 0]
    strides, step = [0] * ndim, 1
    for d in fastest_first:
        strides[d] = step
        step *= max(shape[d], 1)
    return strides


def lies_in_order(order: memory_format, shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements with these strides lie in this order without gaps; a dimension of one element may have any."""
    if order.ndim is not None and len(shape) != order.ndim:
        return False
    return all(n == 1 or a == b for n, a, b in zip(shape, strides, strides_of(order, shape), strict=True))
