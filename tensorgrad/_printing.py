"""Text form of tensors, and the options that govern it.

A tensor is printed in three steps. :func:`_excerpt` copies the part that will be shown into nested lists,
with a marker where elements are left out; one :class:`_Column` per real component is fitted to those numbers;
:func:`_render` lays them out. Only the excerpt is ever converted to Python numbers, so the cost of printing
a large tensor does not depend on its size.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = ["get_printoptions", "printoptions", "set_printoptions", "tensor_str"]


class _Options(NamedTuple):
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}

_options = _PROFILES["default"]


def _float32_by_name() -> object:
    return "tensorgrad.float32"


# The package sets this to its own get_default_dtype, so that this module imports nothing from the package.
# Data types are compared by name throughout for the same reason.
_get_default_dtype: Callable[[], object] = _float32_by_name


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set options for printing tensors.

    Options left at ``None`` keep their value, except `sci_mode`, which returns to automatic.

    Parameters
    ----------
    precision : int, optional
        Number of digits after the decimal point (initially 4).
    threshold : float, optional
        Number of elements above which only the edges of a tensor are shown (initially 1000).
    edgeitems : int, optional
        Number of elements shown at each end of a dimension of a summarised tensor (initially 3).
    linewidth : int, optional
        Number of characters after which lines are broken (initially 80).
    profile : {"default", "short", "full"}, optional
        Set of values to start from, before the other options apply. Other names have no effect.
    sci_mode : bool, optional
        Whether to use scientific notation for floating point numbers. ``None`` decides for each tensor.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.set_printoptions(precision=2)
    >>> tensorgrad.tensor([1.12345])
    tensor([1.12])
    >>> tensorgrad.set_printoptions(profile="default")
    >>> tensorgrad.tensor([1.12345])
    tensor([1.1235])
    """
    global _options
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    base = _options if profile is None else _PROFILES.get(profile, _options)
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options = base._replace(sci_mode=sci_mode, **changes)


def get_printoptions() -> dict[str, Any]:
    """Return the current options for printing tensors.

    Returns
    -------
    dict
        The options by name, in a form that ``set_printoptions(**options)`` accepts.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.get_printoptions()
    {'precision': 4, 'threshold': 1000, 'edgeitems': 3, 'linewidth': 80, 'sci_mode': None}
    """
    return _options._asdict()


@contextlib.contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Change the options for printing tensors temporarily.

    Parameters
    ----------
    **kwargs
        Options as for :func:`set_printoptions`.

    Examples
    --------
    >>> import tensorgrad
    >>> with tensorgrad.printoptions(precision=1, sci_mode=True):
    ...     print(tensorgrad.tensor([1.25, 300.0]))
    tensor([1.2e+00, 3.0e+02])
    """
    global _options
    saved = _options
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        _options = saved


def tensor_str(tensor: Any, *, tensor_contents: str | None = None) -> str:
    """Return the text form of a tensor.

    Parameters
    ----------
    tensor : Tensor
        The tensor to describe.
    tensor_contents : str, optional
        Text to show in place of the elements.

    Returns
    -------
    str
        What ``repr(tensor)`` returns for a tensor.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad._printing import tensor_str
    >>> print(tensor_str(tensorgrad.tensor([1.0, 2.5], requires_grad=True)))
    tensor([1.0000, 2.5000], requires_grad=True)
    >>> print(tensor_str(tensorgrad.zeros(2, 1, dtype=tensorgrad.float64), tensor_contents="..."))
    tensor(..., dtype=tensorgrad.float64)
    """
    transform = _transform_of(tensor)
    if transform is not None:
        return _wrapper_str(*transform)

    options = _options
    plain = _is_plain(type(tensor))
    opening = "tensor(" if plain else f"{type(tensor).__name__}("
    if tensor_contents is None:
        tensor_contents = _contents_str(tensor, len(opening), options)
    notes = [*_storage_notes(tensor, options), *_gradient_notes(tensor)]
    text = _append_notes(opening + tensor_contents, notes, len(opening), options.linewidth) + ")"
    if not plain and _is_parameter(tensor):
        return f"Parameter({text})"
    return text


# --- what stands around the elements ---


def _transform_of(tensor: Any) -> tuple[str, int, int | None, object] | None:
    query = getattr(tensor, "_transform_info", None)
    return None if query is None else query()


def _wrapper_str(kind: str, level: int, bdim: int | None, value: object) -> str:
    position = f", bdim={bdim}" if kind == "BatchedTensor" else ""
    inner = textwrap.indent(repr(value), " " * 4)
    return f"{kind}(lvl={level}{position}, value=\n{inner}\n)"


def _is_own(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("tensorgrad", "tensorgrad_nn")


def _is_plain(cls: type) -> bool:
    return cls.__name__ in ("Tensor", "Parameter") and _is_own(cls)


def _is_parameter(tensor: Any) -> bool:
    # A parameter made from a tensor subclass keeps the type of that subclass and carries a mark instead.
    if getattr(tensor, "_is_param", False):
        return True
    return any(cls.__name__ == "Parameter" and _is_own(cls) for cls in type(tensor).__mro__)


def _storage_notes(tensor: Any, options: _Options) -> Iterator[str]:
    dtype = str(tensor.dtype)
    default = str(_get_default_dtype())
    device = tensor.device.type
    empty = tensor.numel() == 0

    if device != "cpu":
        yield f"device='{tensor.device}'"

    # Without elements, or with "..." only, the text between the brackets does not give the shape.
    shape_shown = tensor.ndim == 1 if empty else options.edgeitems != 0
    if device == "meta" or not shape_shown:
        yield f"size={tuple(tensor.shape)}"

    # The way elements are written tells int64, bool and the default types apart, if there are elements.
    inferred = {default}
    if not empty and device != "meta":
        complex_name = "complex128" if default.endswith(".float64") else "complex64"
        inferred |= {f"tensorgrad.{name}" for name in ("int64", "bool", complex_name)}
    if dtype not in inferred:
        yield f"dtype={dtype}"


def _gradient_notes(tensor: Any) -> Iterator[str]:
    try:
        grad_fn = tensor.grad_fn
    except RuntimeError:
        # The history of a view is refused after some in-place changes; printing must still work then.
        yield "grad_fn=<Invalid>"
        return
    if grad_fn is not None:
        yield f"grad_fn=<{type(grad_fn).__name__}>"
    elif tensor.requires_grad:
        yield "requires_grad=True"


def _append_notes(text: str, notes: Iterable[str], indent: int, linewidth: int) -> str:
    # PyTorch breaks lines as if the text were two characters longer than it is; so must this.
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        if column + len(note) + 2 > linewidth:
            text += ",\n" + " " * indent + note
            column = indent + len(note)
        else:
            text += ", " + note
            column += len(note) + 2
    return text


# --- the elements ---


class _Gap(enum.Enum):
    """Marks left-out elements in an excerpt."""

    GAP = "..."


class _Notation(enum.Enum):
    PLAIN = enum.auto()
    WHOLE = enum.auto()
    FIXED = enum.auto()
    SCIENTIFIC = enum.auto()


class _Column(NamedTuple):
    """The common notation and width of the numbers of a tensor."""

    notation: _Notation
    width: int
    precision: int

    def write(self, value: float) -> str:
        return _digits(value, self.notation, self.precision).rjust(self.width)


def _digits(value: float, notation: _Notation, precision: int) -> str:
    if notation is _Notation.PLAIN:
        return str(value)
    if notation is _Notation.SCIENTIFIC:
        return f"{value:.{precision}e}"
    if notation is _Notation.FIXED:
        return f"{value:.{precision}f}"
    # The point tells whole floating point numbers from integers.
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


def _write_complex(real: _Column, imaginary: _Column, value: complex) -> str:
    tail = imaginary.write(value.imag).lstrip()
    sign = "" if tail.startswith("-") else "+"
    return f"{real.write(value.real)}{sign}{tail}j"


def _fit_exact(values: Sequence[int], options: _Options) -> _Column:
    width = max((len(str(value)) for value in values), default=1)
    return _Column(_Notation.PLAIN, width, options.precision)


def _fit_floats(values: Iterable[float], options: _Options) -> _Column:
    # Zeros, infinities and nans take no part: a column of whole numbers may be too narrow for "-inf".
    decisive = [value for value in values if value != 0 and math.isfinite(value)]
    if not decisive:
        return _Column(_Notation.WHOLE, 1, options.precision)

    whole = all(value.is_integer() for value in decisive)
    scientific = options.sci_mode
    if scientific is None:
        smallest = min(map(abs, decisive))
        largest = max(map(abs, decisive))
        scientific = largest / smallest > 1000.0 or largest > 1.0e8 or (not whole and smallest < 1.0e-4)
    notation = _Notation.SCIENTIFIC if scientific else _Notation.WHOLE if whole else _Notation.FIXED
    width = max(len(_digits(value, notation, options.precision)) for value in decisive)
    return _Column(notation, width, options.precision)


def _contents_str(tensor: Any, indent: int, options: _Options) -> str:
    if tensor.device.type == "meta":
        return _Gap.GAP.value
    if tensor.numel() == 0:
        return "[]"

    write: Callable[[Any], str]
    edge = options.edgeitems if tensor.numel() > options.threshold else None
    excerpt = _excerpt(tensor.detach(), edge)
    numbers = list(_flatten(excerpt))
    if tensor.dtype.is_complex:
        real = _fit_floats([number.real for number in numbers], options)
        imaginary = _fit_floats([number.imag for number in numbers], options)
        write = functools.partial(_write_complex, real, imaginary)
        # Room for the number, its separator, and the "j" of the imaginary part.
        step = real.width + imaginary.width + 3
    else:
        fit = _fit_floats if tensor.dtype.is_floating_point else _fit_exact
        column = fit(numbers, options)
        write = column.write
        step = column.width + 2
    return _render(excerpt, tensor.ndim, indent, step, options.linewidth, write)


def _excerpt(tensor: Any, edge: int | None) -> Any:
    """Copy the shown part of a tensor to nested lists; `edge` is ``None`` where all of it is shown."""
    if edge is None or tensor.ndim == 0:
        return tensor.tolist()
    size = tensor.shape[0]
    if edge == 0:
        return [_Gap.GAP]
    if size <= 2 * edge:
        return _excerpt_rows(tensor, edge)
    return [*_excerpt_rows(tensor[:edge], edge), _Gap.GAP, *_excerpt_rows(tensor[-edge:], edge)]


def _excerpt_rows(tensor: Any, edge: int) -> list[Any]:
    if tensor.ndim == 1:
        return list(tensor.tolist())
    return [_excerpt(tensor[i], edge) for i in range(tensor.shape[0])]


def _flatten(excerpt: Any) -> Iterator[Any]:
    if isinstance(excerpt, list):
        for part in excerpt:
            yield from _flatten(part)
    elif excerpt is not _Gap.GAP:
        yield excerpt


def _render(
    excerpt: Any, ndim: int, indent: int, step: int, linewidth: int, write: Callable[[Any], str]
) -> str:
    """Lay out an excerpt that starts in column `indent`, where an element takes `step` columns."""
    if ndim == 0:
        return write(excerpt)
    continuation = " " * (indent + 1)
    if ndim > 1:
        parts = [
            part.value if part is _Gap.GAP else _render(part, ndim - 1, indent + 1, step, linewidth, write)
            for part in excerpt
        ]
        return "[" + ("," + "\n" * (ndim - 1) + continuation).join(parts) + "]"

    gap = _Gap.GAP.value if len(excerpt) == 1 else " " + _Gap.GAP.value
    words = [gap if part is _Gap.GAP else write(part) for part in excerpt]
    per_line = max(1, (linewidth - indent) // step)
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + continuation).join(lines) + "]"
