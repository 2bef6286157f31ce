"""The C expressions of elementwise operators with the dtype that each part has in C.

A generator of kernels for a language without C's conversions (or without `_Generic`) walks this tree and writes the
conversions out. The library itself asks `calls` whether a device has what an expression needs.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from tensorgrad.devices.reference.syntax import TYPES, Node, number_type, parse

INT = np.dtype("int32")
#: Functions that integers have, too; of all others integers are converted to double.
ON_INTEGERS = frozenset(
    ("abs", "sign", "max", "min", "truncdiv", "floordiv", "fmod", "remainder", "pow", "isnan", "gcd", "lcm")
)
REAL_OF_COMPLEX = frozenset(("abs", "real", "imag", "arg"))
TESTS = frozenset(("isnan", "signbit"))
COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))
_REAL_PARTS = {"complex64": "float32", "complex128": "float64"}
_HALVES = {"float64": "float32", "complex128": "complex64"}


class Typed(NamedTuple):
    """A part of an expression.

    Attributes
    ----------
    kind : str
        That of `syntax.Node`; ``sizeof`` has become a number.
    text : str
        Likewise, but for functions, which go without ``tg_``.
    dtype : str
        What the value has; of comparisons int32.
    operand : str
        What the operands are converted to first; a condition stays what it is.
    parts : tuple of Typed
    """

    kind: str
    text: str
    dtype: str
    operand: str
    parts: tuple[Typed, ...] = ()


# ---- C's conversions ---------------------------------------------------------------------------------
def promoted(dtype: np.dtype) -> np.dtype:
    """Integers smaller than int are computed as int."""
    return INT if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize < 4) else dtype


def common_type(a: np.dtype, b: np.dtype) -> np.dtype:
    """The usual arithmetic conversions."""
    a, b = promoted(a), promoted(b)
    if a.kind in "fc" or b.kind in "fc":
        double = any(t in (np.float64, np.complex128) for t in (a, b))
        if "c" in a.kind + b.kind:
            return np.dtype(np.complex128 if double else np.complex64)
        return np.dtype(np.float64 if double else np.float32)
    if a.kind == b.kind:
        return a if a.itemsize >= b.itemsize else b
    unsigned, signed = (a, b) if a.kind == "u" else (b, a)
    return unsigned if unsigned.itemsize >= signed.itemsize else signed


# ---- expressions -------------------------------------------------------------------------------------
@functools.cache
def typed(expression: str, dtype: str, doubles: bool = True) -> Typed:
    """The tree of an expression.

    Parameters
    ----------
    expression : str
    dtype : str
        What it is computed in; of the 16-bit floating point types float32.
    doubles : bool
        Whether there are numbers of double precision; if not, those of single precision take their place.

    Examples
    --------
    >>> from tensorgrad.devices.reference.typed import typed
    >>> typed("tg_exp(x) * 2", "float32").parts[0]
    Typed(kind='call', text='exp', dtype='float32', operand='float32', parts=(Typed(kind='name', text='x', \
dtype='float32', operand='float32', parts=()),))
    """
    return _Typing(dtype, doubles).of(parse(expression))


def calls(expression: str, dtype: str) -> list[tuple[str, str]]:
    """The functions that an expression calls when it is computed in a dtype, each with its arguments' dtype.

    Examples
    --------
    >>> from tensorgrad.devices.reference.typed import calls
    >>> calls("tg_log1p(tg_abs(x)) + tg_i0_d(1)", "complex64")
    [('abs', 'complex64'), ('i0_d', 'float64'), ('log1p', 'float32')]
    """
    found: set[tuple[str, str]] = set()

    def visit(node: Typed) -> None:
        if node.kind == "call":
            found.add((node.text, node.operand))
        for part in node.parts:
            visit(part)

    visit(typed(expression, dtype))
    return sorted(found)


class _Typing:
    def __init__(self, dtype: str, doubles: bool) -> None:
        self.compute = "float32" if dtype in ("float16", "bfloat16") else dtype
        self.types = {**TYPES, "T": self.compute, "R": _REAL_PARTS.get(self.compute, self.compute)}
        self.doubles = doubles

    def there_is(self, dtype: str) -> str:
        return dtype if self.doubles else _HALVES.get(dtype, dtype)

    def of(self, node: Node) -> Typed:
        parts = tuple([self.of(part) for part in node.parts])
        text = node.text
        if node.kind == "number":
            of = self.there_is(number_type(text)[1])
        elif node.kind == "name":
            of = "float32" if text in ("INFINITY", "NAN") else self.compute
        elif node.kind == "cast":
            of = self.there_is(self.types[text])
        elif node.kind == "sizeof":
            return Typed("number", f"{np.dtype(self.types[text]).itemsize}UL", "uint64", "uint64")
        elif node.kind == "unary":
            operand = self.there_is(promoted(np.dtype(parts[0].dtype)).name)
            return Typed("unary", text, "int32" if text == "!" else operand, operand, parts)
        elif node.kind == "ternary":
            a, b = parts[1].dtype, parts[2].dtype
            of = a if a == b else self.common(a, b)
        elif node.kind == "binary":
            operand = self.common(parts[0].dtype, parts[1].dtype)
            if text in ("<<", ">>"):
                operand = self.there_is(promoted(np.dtype(parts[0].dtype)).name)
            logical = text in ("&&", "||") or text in COMPARISONS
            return Typed("binary", text, "int32" if logical else operand, operand, parts)
        else:
            return self.call(node, parts)
        return Typed(node.kind, text, of, of, parts)

    def call(self, node: Node, parts: tuple[Typed, ...]) -> Typed:
        name = {"__builtin_signbit": "signbit"}.get(node.text, node.text.removeprefix("tg_"))
        if name in ("make_c64", "make_c128"):
            single = name == "make_c64"
            of = self.there_is("complex64" if single else "complex128")
            return Typed("call", name, of, self.there_is("float32" if single else "float64"), parts)
        operand = parts[0].dtype
        if name.endswith("_d") or (np.dtype(operand).kind in "iub" and name not in ON_INTEGERS):
            operand = self.there_is("float64")
        elif operand == "bool":
            operand = "uint8"
        of = "int32" if name in TESTS else operand
        if name in REAL_OF_COMPLEX:
            of = _REAL_PARTS.get(operand, operand)
        return Typed("call", name, of, operand, parts)

    def common(self, a: str, b: str) -> str:
        return self.there_is(common_type(np.dtype(a), np.dtype(b)).name)
