"""The C expressions of elementwise operators in OpenCL C.

OpenCL C is C, but for complex numbers, which it lacks, and for functions that choose by the type of their argument.
So the tree of an expression with C's types is walked, each operation is written out for the type that it has, and
functions become those of `library` for that type: ``tg_exp(x)`` is ``tg_exp_c64(x)`` where x is complex.
"""

from __future__ import annotations

from tensorgrad.devices.reference.syntax import number_type
from tensorgrad.devices.reference.typed import COMPARISONS, Typed, typed
from tensorgrad_opencl.dtypes import COMPUTED, Type, convert, nonzero


def translate(expression: str, compute: Type, doubles: bool = True) -> tuple[str, Type]:
    """The code for operands x, y, z, and its type: T, or a real one where T is complex and the value is not.

    Parameters
    ----------
    expression : str
    compute : Type
        What ``T`` stands for, and what the operands are.
    doubles : bool
        Whether the device has them; if not, float takes their place.
    """
    tree = typed(expression, compute.name, doubles)
    of = COMPUTED[tree.dtype]
    target = compute if not compute.is_complex or of.is_complex else of
    return convert(_code(tree), of, target), target


def _code(node: Typed) -> str:
    """The code of a part, whose type is ``node.dtype``."""
    if node.kind == "name":
        return node.text
    if node.kind == "number":
        return _number(node)
    if node.kind == "cast":
        return f"({_as(node.parts[0], node.dtype)})"
    if node.kind == "unary":
        (x,) = node.parts
        return f"(!({_truth(x)}))" if node.text == "!" else f"({node.text}({_code(x)}))"
    if node.kind == "ternary":
        condition, a, b = node.parts
        return f"(({_truth(condition)}) ? {_as(a, node.dtype)} : {_as(b, node.dtype)})"
    return _binary(node) if node.kind == "binary" else _call(node)


def _as(node: Typed, dtype: str) -> str:
    return convert(_code(node), COMPUTED[node.dtype], COMPUTED[dtype])


def _truth(node: Typed) -> str:
    return nonzero(_code(node), COMPUTED[node.dtype])


def _number(node: Typed) -> str:
    value, of = number_type(node.text)[0], COMPUTED[node.dtype]
    if of.is_float:
        return f"{float(value)!r}" + ("f" if of.name == "float32" else "")
    return f"{value}" + {"int32": "", "uint32": "u", "int64": "L", "uint64": "UL"}[of.name]


def _binary(node: Typed) -> str:
    text, (a, b), common = node.text, node.parts, COMPUTED[node.operand]
    if text in ("&&", "||"):
        return f"(({_truth(a)}) {text} ({_truth(b)}))"
    if text in ("<<", ">>"):
        return f"(({_code(a)}) {text} ({_code(b)}))"
    if text == "*" and COMPUTED[a.dtype].is_complex != COMPUTED[b.dtype].is_complex:
        # a real factor stays one
        a_code, b_code = [_as(x, common.name if COMPUTED[x.dtype].is_complex else common.real.name) for x in (a, b)]
        return f"(({a_code}) * ({b_code}))"
    a_code, b_code = _as(a, common.name), _as(b, common.name)
    if common.is_complex and (text in COMPARISONS or text in "*/"):
        name = {"*": "mul", "/": "div", "==": "eq", "!=": "ne"}[text]
        return f"tg_{name}_{common.suffix}({a_code}, {b_code})"
    return f"(({a_code}) {text} ({b_code}))"


def _call(node: Typed) -> str:
    arguments = ", ".join([_as(part, node.operand) for part in node.parts])
    if node.text.startswith("make_"):
        return f"({COMPUTED[node.dtype].c})({arguments})"
    if node.text.endswith("_d"):
        return f"tg_{node.text}({arguments})"
    return f"tg_{node.text}_{COMPUTED[node.operand].suffix}({arguments})"
