"""Shapes and strides as kernels want them: as few dimensions as possible."""

from __future__ import annotations

from collections.abc import Sequence


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
        if sizes and all(s[-1] == stride[d] * size for s, stride in zip(steps, strides, strict=True)):
            sizes[-1] *= size
            for s, stride in zip(steps, strides, strict=True):
                s[-1] = stride[d]
        else:
            sizes.append(size)
            for s, stride in zip(steps, strides, strict=True):
                s.append(stride[d])
    return tuple(sizes), [tuple(s) for s in steps]


def padded(
    shape: tuple[int, ...], strides: Sequence[tuple[int, ...]], least: int = 0
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Add dimensions of one element in front, to 1, 3, 6, 12 ... dimensions (at least to `least`): a kernel is compiled
    for each number of dimensions that there is.

    Examples
    --------
    >>> padded((4, 5), [(5, 1)])
    ((1, 4, 5), [(0, 5, 1)])
    """
    ndim = max(len(shape), least)
    target = ndim
    if ndim > 1:
        target = 3
        while target < ndim:
            target *= 2
    extra = target - len(shape)
    return (1,) * extra + shape, [(0,) * extra + s for s in strides]


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements lie in order without gaps."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def offsets(index: str, ndim: int, shape: str, places: Sequence[tuple[str, str]]) -> str:
    """Statements that add to each place what the index of an element in row-major order comes to.

    Parameters
    ----------
    index : str
        An expression, evaluated once.
    ndim : int
    shape : str
        The sizes are the parameters ``{shape}0``, ``{shape}1``, ...
    places : sequence of (variable, strides)
        Likewise ``{strides}0``, ``{strides}1``, ...
    """
    if ndim == 0:
        return ""
    if ndim == 1:
        return "".join([f"{place} += ({index}) * {strides}0; " for place, strides in places])
    lines = [f"long rest_{shape} = {index};"]
    for d in reversed(range(ndim)):
        last = d == 0
        lines.append(
            f"{{ long at_d = rest_{shape}{'' if last else f' % {shape}{d}'};"
            + "".join([f" {place} += at_d * {strides}{d};" for place, strides in places])
            + (" }" if last else f" rest_{shape} /= {shape}{d}; }}")
        )
    return " ".join(lines)
