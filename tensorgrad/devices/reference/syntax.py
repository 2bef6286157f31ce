"""The C expressions that elementwise operators are declared by, as trees.

The grammar is C's, restricted to what declarations use: the operators without assignments, casts,
``sizeof(type)``, numbers, the operands ``x``, ``y``, ``z``, and calls of functions. The types are C's, and ``T``
and ``R`` for the type that is computed in and its real part.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFuUlL]*)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(),]))"
)
#: The dtypes that C's types hold.
TYPES = {
    "_Bool": "bool",
    "int": "int32",
    "float": "float32",
    "double": "float64",
    "tg_c64": "complex64",
    "tg_c128": "complex128",
    "size_t": "uint64",
    **{f"{sign}int{bits}_t": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
UNARY = ("-", "+", "~", "!")
#: Binary operators, from the loosest to the tightest.
LEVELS = (
    *(("||",), ("&&",), ("|",), ("^",), ("&",)),
    *(("==", "!="), ("<", "<=", ">", ">="), ("<<", ">>"), ("+", "-"), ("*", "/", "%")),
)


class Node(NamedTuple):
    """A part of an expression.

    Attributes
    ----------
    kind : str
        "number" (`text` is its literal), "name", "cast" and "sizeof" (`text` is the type), "unary" and "binary"
        (`text` is the operator), "ternary", or "call" (`text` is the function).
    text : str
    parts : tuple of Node
        The operands, in the order in which they are written.
    """

    kind: str
    text: str
    parts: tuple[Node, ...] = ()


@functools.cache
def parse(expression: str) -> Node:
    """The tree of an expression.

    Raises
    ------
    SyntaxError
        When it is none.

    Examples
    --------
    >>> from tensorgrad.devices.reference.syntax import parse
    >>> parse("-x < (T)1").parts[1]
    Node(kind='cast', text='T', parts=(Node(kind='number', text='1', parts=()),))
    """
    parser = _Parser(expression)
    tree = parser.ternary()
    if parser.token is not None:
        raise SyntaxError(f"'{parser.token}' is left over in the expression '{expression}'")
    return tree


def number_type(literal: str) -> tuple[float, str]:
    """The value and the dtype of a number: ``1`` is an int32, ``1.0`` a float64, ``1.0f`` a float32.

    Examples
    --------
    >>> from tensorgrad.devices.reference.syntax import number_type
    >>> number_type("0x10"), number_type("2.5f")
    ((16, 'int32'), (2.5, 'float32'))
    """
    hexadecimal = literal[:2] in ("0x", "0X")
    body = literal.rstrip("uUlL" if hexadecimal else "fFuUlL")
    suffix = literal[len(body) :].lower()
    if not hexadecimal and ("." in body or "e" in body.lower()):
        return float(body), "float32" if "f" in suffix else "float64"
    value = int(body, 0)
    wide = "l" in suffix or value >= 2**31
    return value, ("uint" if "u" in suffix else "int") + ("64" if wide else "32")


class _Parser:
    """Recursive descent, a level of `LEVELS` at a time."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.token: str | None = None
        self.kind: str | None = None
        self.advance()

    def advance(self) -> str:
        """Move on to the next token, and return the one that was current."""
        before = self.token
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            if self.text[self.at :].strip():
                raise SyntaxError(f"'{self.text[self.at :]}' is not understood in '{self.text}'")
            self.kind = self.token = None
        else:
            self.at, self.kind = match.end(), match.lastgroup
            self.token = match.group(self.kind or 0)
        return before or ""

    def expect(self, token: str) -> None:
        if self.token != token:
            raise SyntaxError(f"expected '{token}', got '{self.token}' in '{self.text}'")
        self.advance()

    def ternary(self) -> Node:
        condition = self.binary(0)
        if self.token != "?":
            return condition
        self.advance()
        a = self.ternary()
        self.expect(":")
        return Node("ternary", "?", (condition, a, self.ternary()))

    def binary(self, level: int) -> Node:
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.token in LEVELS[level]:
            left = Node("binary", self.advance(), (left, self.binary(level + 1)))
        return left

    def unary(self) -> Node:
        if self.token in UNARY:
            return Node("unary", self.advance(), (self.unary(),))
        if self.token == "sizeof":
            self.advance()
            self.expect("(")
            size = Node("sizeof", self.type_name())
            self.expect(")")
            return size
        if self.token == "(":
            self.advance()
            if self.token in TYPES or self.token in ("T", "R"):
                name = self.type_name()
                self.expect(")")
                return Node("cast", name, (self.unary(),))
            inner = self.ternary()
            self.expect(")")
            return inner
        return self.primary()

    def type_name(self) -> str:
        if self.token not in TYPES and self.token not in ("T", "R"):
            raise SyntaxError(f"expected a type, got '{self.token}' in '{self.text}'")
        return self.advance()

    def primary(self) -> Node:
        if self.kind == "number":
            return Node("number", self.advance())
        if self.kind != "name":
            raise SyntaxError(f"expected an operand, got '{self.token}' in '{self.text}'")
        name = self.advance()
        if self.token != "(":
            return Node("name", name)
        self.advance()
        arguments = [self.ternary()]
        while self.token == ",":
            self.advance()
            arguments.append(self.ternary())
        self.expect(")")
        return Node("call", name, tuple(arguments))
