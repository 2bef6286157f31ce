"""Arrays as kernels want them: shapes and strides of as few dimensions as possible, and arguments that hold them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

FEW = 6  # dimensions that kernels have room for usually
MANY = 64  # and what they have where that does not do


class Array:
    """A strided array in scratch memory, with the attributes of a `DeviceArray`."""

    __slots__ = ("device_index", "dtype", "handle", "itemsize", "numel", "offset", "shape", "strides")

    def __init__(
        self, handle: Any, offset: int, shape: Sequence[int], strides: Sequence[int], like: Any, dtype: str = ""
    ) -> None:
        self.handle, self.offset, self.shape, self.strides = handle, offset, tuple(shape), tuple(strides)
        self.dtype, self.itemsize, self.device_index = dtype or like.dtype, like.itemsize, like.device_index
        self.numel = 1
        for size in self.shape:
            self.numel *= size


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous array.

    Examples
    --------
    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements lie in order without gaps."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Merge the dimensions that lie behind each other in every operand, and drop those of one element.

    Examples
    --------
    >>> collapse((2, 3, 4), (12, 4, 1), (0, 0, 1))
    ((6, 4), [(4, 1), (0, 1)])
    >>> collapse((1,), (5,))
    ((), [()])
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(s[-1] == stride[d] * size for s, stride in zip(steps, strides)):
            sizes[-1] *= size
            for s, stride in zip(steps, strides):
                s[-1] = stride[d]
        else:
            sizes.append(size)
            for s, stride in zip(steps, strides):
                s.append(stride[d])
    return tuple(sizes), [tuple(s) for s in steps]


class Layout:
    """A shape and the strides of `K` arrays as a kernel's ``tg_layout<K, D>``.

    Attributes
    ----------
    dims : int
        ``D``, the number of dimensions that there is room for.
    words : list of int
        The structure, a word each.
    """

    __slots__ = ("dims", "n", "shape", "steps", "words")

    def __init__(self, shape: Sequence[int], *strides: Sequence[int]) -> None:
        self.n = 1
        for size in shape:
            self.n *= size
        self.shape, self.steps = collapse(shape, *strides)
        shape, steps = self.shape, self.steps
        ndim = len(shape)
        # one element is where it is; several that lie in order need no arithmetic
        linear = ndim == 0 or (ndim == 1 and all(step == (1,) for step in steps))
        self.dims = FEW if ndim <= FEW else MANY
        blank = [0] * (self.dims - ndim)
        self.words = [self.n, 0 if linear else ndim, *shape, *blank]
        for step in steps:
            self.words += [*step, *blank]


class Arguments:
    """What a kernel is called with: one structure, of members of eight bytes."""

    __slots__ = ("format", "values")

    def __init__(self) -> None:
        self.format: list[str] = []
        self.values: list[Any] = []

    def words(self, *values: int) -> Arguments:
        self.format.append(f"{len(values)}q")
        self.values += values
        return self

    def layout(self, layout: Layout) -> Arguments:
        return self.words(*layout.words)

    def arrays(self, *arrays: Any) -> Arguments:
        """The addresses of first elements."""
        return self.words(*[x.handle.ptr + x.offset for x in arrays])

    def unsigned(self, *values: int) -> Arguments:
        self.format.append(f"{len(values)}Q")
        self.values += [value & 0xFFFFFFFFFFFFFFFF for value in values]
        return self

    def doubles(self, *values: float) -> Arguments:
        self.format.append(f"{len(values)}d")
        self.values += values
        return self

    def number(self, value: complex, dtype: str) -> Arguments:
        """A number of a dtype, as ``tg_number``."""
        if dtype.startswith("complex"):
            value = complex(value)
            return self.doubles(value.real, value.imag)
        if "float" in dtype:
            return self.doubles(float(value.real), 0.0)
        return self.unsigned(int(value.real)).doubles(0.0)

    def packed(self) -> bytes:
        return struct.pack("<" + "".join(self.format), *self.values)
