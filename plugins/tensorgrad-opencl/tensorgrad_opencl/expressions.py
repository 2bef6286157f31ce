"""The C expressions of elementwise operators in OpenCL C.

OpenCL C is C, but for complex numbers, which it lacks, and for functions that choose by the type of their argument.
So the tree of an expression is walked with C's types, each operation is written out for the type that it has, and
functions become those of `library` for that type: ``tg_exp(x)`` is ``tg_exp_c64(x)`` where x is complex.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from tensorgrad.devices.reference import c_functions
from tensorgrad.devices.reference.syntax import TYPES, Node, number_type, parse
from tensorgrad_opencl import library
from tensorgrad_opencl.dtypes import COMPUTED, Type, convert, nonzero

ON_INTEGERS = {"abs", "sign", "max", "min", "truncdiv", "floordiv", "fmod", "remainder", "pow", "isnan"}
ONLY_REAL = {"exp2", "expm1", "log1p"}
ONLY_DOUBLE = {"erfinv", "digamma", "polygamma"}
REAL_OF_COMPLEX = {"abs", "real", "imag", "arg"}
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}


@functools.cache
def library_text() -> str:
    """The source of the functions that expressions may call."""
    return Path(library.__file__).read_text(encoding="utf-8")


class Translator:
    """Translates expressions for one type T.

    Parameters
    ----------
    compute : Type
        What ``T`` stands for, and what the operands are.
    doubles : bool
        Whether the device has them; if not, float takes their place.
    """

    def __init__(self, compute: Type, doubles: bool = True) -> None:
        self.compute, self.doubles = compute, doubles
        self.types = {**TYPES, "T": compute.name, "R": compute.real.name}

    def translate(self, expression: str) -> tuple[str, Type]:
        """The code for operands x, y, z, and its type: T, or a real one where T is complex and the value is not."""
        code, of = self.emit(parse(expression))
        target = self.compute if not self.compute.is_complex or of.is_complex else of
        return convert(code, of, target), target

    def named(self, dtype: str) -> Type:
        if not self.doubles:
            dtype = {"float64": "float32", "complex128": "complex64"}.get(dtype, dtype)
        return COMPUTED[dtype]

    def emit(self, node: Node) -> tuple[str, Type]:
        """The code of a part, and the type that it has in C."""
        parts = [self.emit(part) for part in node.parts]
        return getattr(self, "emit_" + node.kind)(node.text, parts)

    def emit_number(self, text, parts):
        value, dtype = number_type(text)
        of = self.named(dtype)
        if of.is_float:
            return f"{float(value)!r}" + ("f" if of.name == "float32" else ""), of
        return f"{value}" + {"int32": "", "uint32": "u", "int64": "L", "uint64": "UL"}[of.name], of

    def emit_name(self, text, parts):
        return text, COMPUTED["float32"] if text in ("INFINITY", "NAN") else self.compute

    def emit_cast(self, text, parts):
        ((code, of),) = parts
        target = self.named(self.types[text])
        return f"({convert(code, of, target)})", target

    def emit_sizeof(self, text, parts):
        return f"{np.dtype(self.types[text]).itemsize}UL", COMPUTED["uint64"]

    def emit_unary(self, text, parts):
        ((code, of),) = parts
        if text == "!":
            return f"(!({nonzero(code, of)}))", COMPUTED["int32"]
        return f"({text}({code}))", self.promoted(of)

    def emit_ternary(self, text, parts):
        (condition, of), (a, a_type), (b, b_type) = parts
        common = a_type if a_type.name == b_type.name else self.common(a_type, b_type)
        return (
            f"(({nonzero(condition, of)}) ? {convert(a, a_type, common)} : {convert(b, b_type, common)})",
            common,
        )

    def emit_binary(self, text, parts):
        (a, a_type), (b, b_type) = parts
        if text in ("&&", "||"):
            return f"(({nonzero(a, a_type)}) {text} ({nonzero(b, b_type)}))", COMPUTED["int32"]
        if text in ("<<", ">>"):
            return f"(({a}) {text} ({b}))", self.promoted(a_type)
        common = self.common(a_type, b_type)
        if text == "*" and a_type.is_complex != b_type.is_complex:
            a, b = (convert(x, t, common if t.is_complex else common.real) for x, t in parts)
            return f"(({a}) * ({b}))", common
        a, b = convert(a, a_type, common), convert(b, b_type, common)
        if common.is_complex and text not in ("+", "-"):
            name = {"*": "mul", "/": "div", "==": "eq", "!=": "ne"}[text]
            return f"tg_{name}_{common.suffix}({a}, {b})", COMPUTED["int32"] if text in COMPARISONS else common
        return f"(({a}) {text} ({b}))", COMPUTED["int32"] if text in COMPARISONS else common

    def emit_call(self, text, parts):
        name = {"__builtin_signbit": "signbit"}.get(text, text.removeprefix("tg_"))
        # written out there, or in its list of OpenCL's own functions
        if not (name.startswith("make_") or f"tg_{name}_" in library_text() or f'"{name}"' in library_text()):
            raise NotImplementedError(f"the expression calls {text}, which is unknown here")
        of = self.argument_type(name, parts[0][1])
        if of.is_complex and name in ONLY_REAL:
            raise NotImplementedError(f"the expression calls {text} of a complex number, which is unknown here")
        arguments = ", ".join([convert(code, source, of) for code, source in parts])
        if name.startswith("make_"):
            result = self.named({"make_c64": "complex64", "make_c128": "complex128"}[name])
            return f"({result.c})({arguments})", result
        result = COMPUTED["int32"] if name in ("isnan", "signbit") else of
        return f"tg_{name}_{of.suffix}({arguments})", of.real if name in REAL_OF_COMPLEX else result

    def argument_type(self, name: str, first: Type) -> Type:
        if name.startswith("make_"):
            return self.named("float32" if name == "make_c64" else "float64")
        if name in ONLY_DOUBLE or (first.is_integer and name not in ON_INTEGERS):
            return self.named("float64")
        return COMPUTED["uint8"] if first.name == "bool" else first

    def promoted(self, of: Type) -> Type:
        return self.named(c_functions.promoted(np.dtype(of.name)).name)

    def common(self, a: Type, b: Type) -> Type:
        """C's usual arithmetic conversions."""
        return self.named(c_functions.common_type(np.dtype(a.name), np.dtype(b.name)).name)
