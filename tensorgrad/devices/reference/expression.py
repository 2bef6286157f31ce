"""Evaluates the C expressions that elementwise kernels are declared by, over NumPy arrays.

`evaluate` walks the tree of `syntax.parse`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tensorgrad.devices.reference import c_functions as c
from tensorgrad.devices.reference.syntax import TYPES, Node, number_type, parse
from tensorgrad.devices.reference.typed import common_type, promoted

_CONSTANTS = {"INFINITY": np.float32(np.inf), "NAN": np.float32(np.nan)}


def evaluate(expression: str, operands: Mapping[str, Any], dtype: Any) -> Any:
    """The value of a C expression.

    Parameters
    ----------
    expression : str
    operands : dict
        The arrays (or scalars) that x, y and z stand for.
    dtype : numpy.dtype
        What ``T`` stands for.

    Returns
    -------
    numpy.ndarray
        Of the type that the expression has in C, but for comparisons, which are bool.

    Examples
    --------
    >>> from tensorgrad.devices.reference.expression import evaluate
    >>> evaluate("x > 1 ? x : (T)0", {"x": [1.0, 2.0]}, "float64")
    array([0., 2.])
    """
    dtype = np.dtype(dtype)
    types = {**TYPES, "T": dtype, "R": np.empty(0, dtype).real.dtype}
    names = {name: np.asarray(value) for name, value in operands.items()}
    with np.errstate(all="ignore"):
        return np.asarray(_value(parse(expression), names, types))


def _value(node: Node, names: Mapping[str, Any], types: Mapping[str, Any]) -> Any:
    if node.kind == "number":
        value, dtype = number_type(node.text)
        return np.asarray(value, dtype=dtype)
    if node.kind == "name":
        return np.asarray(_CONSTANTS[node.text]) if node.text in _CONSTANTS else names[node.text]
    if node.kind == "sizeof":
        return np.asarray(np.dtype(types[node.text]).itemsize, dtype=np.uint64)
    return np.asarray(_applied(node, [_value(part, names, types) for part in node.parts], types))


def _applied(node: Node, values: list[Any], types: Mapping[str, Any]) -> Any:
    if node.kind == "cast":
        return c.convert(values[0], np.dtype(types[node.text]))
    if node.kind == "unary":
        return _UNARY[node.text](values[0])
    if node.kind == "binary":
        return _BINARY[node.text](*values)
    if node.kind == "ternary":
        return _choose(*values)
    if node.text == "__builtin_signbit":
        return np.signbit(values[0])
    return c.call(node.text.removeprefix("tg_"), values)


# ---- operators over arrays ---------------------------------------------------------------------------
def _arithmetic(function: Callable[..., Any]) -> Callable[..., Any]:
    def operator(a: Any, b: Any) -> Any:
        dtype = common_type(a.dtype, b.dtype)
        return function(a.astype(dtype), b.astype(dtype))

    return operator


def _divide(a: Any, b: Any) -> Any:
    return c.truncated_quotient(a, b) if a.dtype.kind in "iu" else a / b


def _shift(function: Callable[..., Any]) -> Callable[..., Any]:
    def operator(a: Any, b: Any) -> Any:
        dtype = promoted(a.dtype)
        # a shift by as many bits as there are is undefined in C, and no expression looks at its value
        steps = np.minimum(c.convert(b, np.uint64), 8 * dtype.itemsize - 1)
        return function(a.astype(dtype), steps.astype(dtype))

    return operator


_BINARY: dict[str, Callable[..., Any]] = {
    "|": _arithmetic(np.bitwise_or),
    "^": _arithmetic(np.bitwise_xor),
    "&": _arithmetic(np.bitwise_and),
    "==": _arithmetic(np.equal),
    "!=": _arithmetic(np.not_equal),
    "<": _arithmetic(np.less),
    "<=": _arithmetic(np.less_equal),
    ">": _arithmetic(np.greater),
    ">=": _arithmetic(np.greater_equal),
    "<<": _shift(np.left_shift),
    ">>": _shift(np.right_shift),
    "+": _arithmetic(np.add),
    "-": _arithmetic(np.subtract),
    "*": _arithmetic(np.multiply),
    "/": _arithmetic(_divide),
    "%": _arithmetic(c.truncated_remainder),
    "&&": lambda a, b: (a != 0) & (b != 0),
    "||": lambda a, b: (a != 0) | (b != 0),
}
_UNARY: dict[str, Callable[..., Any]] = {
    "-": lambda a: np.negative(a.astype(promoted(a.dtype))),
    "+": lambda a: a.astype(promoted(a.dtype)),
    "~": lambda a: np.invert(a.astype(promoted(a.dtype))),
    "!": lambda a: a == 0,
}


def _choose(condition: Any, a: Any, b: Any) -> Any:
    dtype = a.dtype if a.dtype == b.dtype else common_type(a.dtype, b.dtype)
    return np.where(condition != 0, a.astype(dtype), b.astype(dtype))
