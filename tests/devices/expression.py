"""Evaluates the C expressions that elementwise kernels are declared by, over NumPy arrays.

``evaluate("y > 0 ? x : (T)0", {"x": ..., "y": ...}, T)`` parses the text by recursive descent, a function for
each level of C's precedence, into a closure that is kept for the next call.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from . import c_functions as c

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFuUlL]*)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(),]))"
)
_TYPES = {
    "_Bool": "bool",
    "int": "int32",
    "float": "float32",
    "double": "float64",
    "tg_c64": "complex64",
    "tg_c128": "complex128",
    "size_t": "uint64",
    **{f"{sign}int{bits}_t": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_CONSTANTS = {"INFINITY": np.float32(np.inf), "NAN": np.float32(np.nan)}


def evaluate(expression, operands, dtype):
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
    """
    dtype = np.dtype(dtype)
    real = np.empty(0, dtype).real.dtype
    names = {name: np.asarray(value) for name, value in operands.items()}
    with np.errstate(all="ignore"):
        return np.asarray(parse(expression)(names, {"T": dtype, "R": real}))


@functools.cache
def parse(expression):
    """A function of the operands and of the types T and R."""
    parser = _Parser(expression)
    evaluator = parser.ternary()
    if parser.token is not None:
        raise SyntaxError(f"'{parser.token}' is left over in the expression '{expression}'")
    return evaluator


# ---- operators over arrays ---------------------------------------------------------------------------
def _arithmetic(function):
    def operator(a, b):
        dtype = c.common_type(a.dtype, b.dtype)
        return function(a.astype(dtype), b.astype(dtype))

    return operator


def _divide(a, b):
    return c.truncated_quotient(a, b) if a.dtype.kind in "iu" else a / b


def _shift(function):
    def operator(a, b):
        dtype = c.promoted(a.dtype)
        # a shift by as many bits as there are is undefined in C, and no expression looks at its value
        steps = np.minimum(c.convert(b, np.uint64), 8 * dtype.itemsize - 1)
        return function(a.astype(dtype), steps.astype(dtype))

    return operator


_BINARY = {
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
_UNARY = {
    "-": lambda a: np.negative(a.astype(c.promoted(a.dtype))),
    "+": lambda a: a.astype(c.promoted(a.dtype)),
    "~": lambda a: np.invert(a.astype(c.promoted(a.dtype))),
    "!": lambda a: a == 0,
}
# from the loosest to the tightest
_LEVELS = [("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", "<=", ">", ">="), ("<<", ">>")]
_LEVELS += [("+", "-"), ("*", "/", "%")]


def _choose(condition, a, b):
    dtype = a.dtype if a.dtype == b.dtype else c.common_type(a.dtype, b.dtype)
    return np.where(condition != 0, a.astype(dtype), b.astype(dtype))


def _literal(text):
    """A number with its suffixes: ``1`` is an int, ``1.0`` a double, ``1.0f`` a float."""
    body = text.rstrip("uUlL") if text[:2] in ("0x", "0X") else text.rstrip("fFuUlL")
    suffix = text[len(body) :].lower()
    if text[:2] not in ("0x", "0X") and ("." in body or "e" in body.lower()):
        return np.asarray(float(body), dtype=np.float32 if "f" in suffix else np.float64)
    value = int(body, 0)
    wide = "l" in suffix or value >= 2**31
    return np.asarray(value, dtype=("uint" if "u" in suffix else "int") + ("64" if wide else "32"))


# ---- the parser ----------------------------------------------------------------------------------------
class _Parser:
    def __init__(self, text):
        self.text, self.at = text, 0
        self.advance()

    def advance(self):
        """Move on to the next token, and return the one that was current."""
        before = getattr(self, "token", None)
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            if self.text[self.at :].strip():
                raise SyntaxError(f"'{self.text[self.at :]}' is not understood in '{self.text}'")
            self.kind = self.token = None
        else:
            self.at, self.kind, self.token = match.end(), match.lastgroup, match.group(match.lastgroup)
        return before

    def expect(self, token):
        if self.token != token:
            raise SyntaxError(f"expected '{token}', got '{self.token}' in '{self.text}'")
        self.advance()

    def ternary(self):
        condition = self.binary(0)
        if self.token != "?":
            return condition
        self.advance()
        a = self.ternary()
        self.expect(":")
        b = self.ternary()
        return lambda names, types: _choose(condition(names, types), a(names, types), b(names, types))

    def binary(self, level):
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.token in _LEVELS[level]:
            left = _apply(_BINARY[self.advance()], left, self.binary(level + 1))
        return left

    def unary(self):
        if self.token in _UNARY:
            return _apply(_UNARY[self.advance()], self.unary())
        if self.token == "sizeof":
            self.advance()
            self.expect("(")
            name = self.advance()
            self.expect(")")
            return lambda names, types: np.asarray(_type(name, types).itemsize, dtype=c.SIZE_T)
        if self.token == "(":
            self.advance()
            if self.token in _TYPES or self.token in ("T", "R"):
                name = self.advance()
                self.expect(")")
                operand = self.unary()
                return lambda names, types: c.convert(operand(names, types), _type(name, types))
            inner = self.ternary()
            self.expect(")")
            return inner
        return self.primary()

    def primary(self):
        if self.kind == "number":
            value = _literal(self.advance())
            return lambda names, types: value
        if self.kind != "name":
            raise SyntaxError(f"expected an operand, got '{self.token}' in '{self.text}'")
        name = self.advance()
        if self.token == "(":
            return self.call(name)
        if name in _CONSTANTS:
            return lambda names, types: np.asarray(_CONSTANTS[name])
        return lambda names, types: names[name]

    def call(self, name):
        self.expect("(")
        arguments = [self.ternary()]
        while self.token == ",":
            self.advance()
            arguments.append(self.ternary())
        self.expect(")")
        if name == "__builtin_signbit":
            return _apply(np.signbit, *arguments)
        return _apply(lambda *values: c.call(name.removeprefix("tg_"), values), *arguments)


def _type(name, types):
    return types[name] if name in types else np.dtype(_TYPES[name])


def _apply(function, *operands):
    return lambda names, types: np.asarray(function(*[operand(names, types) for operand in operands]))
