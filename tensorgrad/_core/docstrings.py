"""Docstrings of operators, composed from their declarations.

A declaration says in `doc` only what is particular to its operator: a summary line, perhaps more text,
Raises, Notes and Examples. What the signature says already is added here, when somebody asks for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

# What the types of a signature (signature.pyx) are called in a docstring.
TYPES = {
    "Tensor": "Tensor",
    "Tensor[]": "sequence of Tensor",
    "Tensor...": "sequence of Tensor, or several",
    "Operand": "Tensor or number",
    "Number": "number",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "Dim": "int",
    "NewDim": "int",
    "Dims": "int or tuple of int",
    "Size": "int or tuple of int",
    "DType": "dtype",
    "Device": "device or str",
    "Generator": "Generator",
    "str": "str",
    "Indices": "tuple of Tensor or None",
    "Any": "object",
}

# What a parameter means wherever its name occurs; "type name" goes before "name".
PARAMETERS = {
    "self": "The tensor to work on.",
    "Operand self": "The first operand.",
    "other": "The second operand, which must broadcast with the first one.",
    "out": "Where to write the result, resized if need be, instead of into a new tensor; never recorded.",
    "dim": "The dimension; negative ones count from the last.",
    "Dims dim": "The dimensions; negative ones count from the last. All of them by default.",
    "NewDim dim": "Where the new dimension is inserted; negative places count from behind the last one.",
    "dim0": "The first of the two dimensions.",
    "dim1": "The first of the two dimensions.",
    "dim2": "The second of the two dimensions.",
    "dims": "The dimensions; negative ones count from the last.",
    "keepdim": "Keep the dimensions that are reduced, with size one.",
    "dtype": "The dtype of the result.",
    "device": "The device of the result.",
    "layout": "For PyTorch's signature; tensors here are always strided.",
    "pin_memory": "For PyTorch's signature; has no effect.",
    "memory_format": "In what order the elements lie in memory; in that of the input where it is dense, by default.",
    "non_blocking": "For PyTorch's signature; copies are finished when they return.",
    "copy": "Copy even where the tensor would do as it is.",
    "requires_grad": "Whether operations on the result are recorded.",
    "generator": "Where the random numbers come from. The default generator of the device by default.",
    "size": "The shape.",
    "shape": "The shape; one size may be -1 and follows from the others.",
    "sizes": "The sizes.",
    "input_sizes": "The shape of the result.",
    "stride": "The step in memory, in elements, for each dimension.",
    "storage_offset": "The place of the first element in memory.",
    "offset": "Which diagonal: 0 the main one, above it if positive, below it if negative.",
    "diagonal": "Which diagonal: 0 the main one, above it if positive, below it if negative.",
    "fill_value": "The number to fill with.",
    "value": "The number that is used.",
    "Tensor value": "A tensor of no dimensions that holds the number.",
    "alpha": "The factor by which the second operand is multiplied.",
    "beta": "The factor by which the first operand is multiplied.",
    "exponent": "The power, which must broadcast with `self`.",
    "condition": "A bool tensor that broadcasts with the operands.",
    "rounding_mode": "How the quotient is rounded: not at all, towards zero ('trunc') or down ('floor').",
    "min": "The lower bound, if there is one.",
    "max": "The upper bound, if there is one.",
    "weight": "The weight of `end`; 0 gives `self`, 1 gives `end`.",
    "start": "Where to start.",
    "end": "Where to end.",
    "step": "The distance between neighbours.",
    "steps": "How many numbers.",
    "base": "The base of the logarithms.",
    "n": "The number of rows.",
    "m": "The number of columns; as many as rows by default.",
    "Tensor mask": "A bool tensor that broadcasts with the tensor.",
    "index": "The indices, int64 or int32.",
    "int index": "The index; negative ones count from the last.",
    "indices": "Index tensors, one (or None) for each leading dimension.",
    "Tensor indices": "The indices, int64 or int32.",
    "values": "The values, which must broadcast with what the indices select.",
    "accumulate": "Add to what is there instead of overwriting it.",
    "src": "Where the elements come from.",
    "source": "Where the elements come from.",
    "Dims source": "The dimensions to move.",
    "destination": "Where they go.",
    "tensors": "The tensors.",
    "tensor1": "The first factor, or the dividend.",
    "tensor2": "The second factor, or the divisor.",
    "correction": "Subtracted from the number of elements in the divisor: 1 is Bessel's correction.",
    "unbiased": "Whether to divide by n - 1 instead of n.",
    "descending": "From the largest to the smallest.",
    "stable": "Keep the order of equal elements.",
    "sorted": "For PyTorch's signature; the result is always in order.",
    "largest": "The largest elements, or else the smallest.",
    "k": "How many, or which one.",
    "p": "The order of the norm.",
    "decimals": "How many digits to keep behind the decimal point.",
    "rtol": "The relative tolerance.",
    "atol": "The absolute tolerance.",
    "equal_nan": "Whether nan equals nan.",
    "as_tuple": "A tuple with one vector of indices for each dimension, instead of a matrix.",
    "chunks": "How many parts.",
    "split_size": "The size of a part, or the sizes of all.",
    "split_sizes": "The sizes of the parts.",
    "indices_or_sections": "How many parts, or the indices at which to cut.",
    "repeats": "How many times.",
    "shifts": "By how many places.",
    "length": "How many indices.",
    "start_dim": "The first dimension.",
    "end_dim": "The last dimension.",
    "return_inverse": "Also return where each element went.",
    "return_counts": "Also return how often each element occurs.",
    "the_template": "The tensor whose shape is taken.",
    "sparse_grad": "For PyTorch's signature; gradients are always dense.",
    "implicit": "For PyTorch's signature; has no effect.",
    "grad_output": "The gradient of the result.",
    "output": "The result.",
    "inplace": "Write the result over the input.",
    "training": "Whether to apply it at all; otherwise the input is returned.",
    "approximate": "'none' for the exact function, 'tanh' for its approximation by tanh.",
    "reduction": "'none', 'mean' or 'sum' of the losses.",
    "bias": "What is added to the result, if anything.",
    "target": "What is aimed at.",
    "eps": "A small number that keeps the divisor away from zero.",
    "num_samples": "How many samples to draw.",
    "low": "The smallest number that may be drawn.",
    "high": "One more than the largest number that may be drawn.",
    "mean": "The mean.",
    "std": "The standard deviation.",
}

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_ORDER = ("Parameters", "Returns", "Raises", "See Also", "Notes", "References", "Examples")


def sections_of(doc: str) -> dict[str, str]:
    """A numpydoc text cut at its section headings; what stands before the first one is under ""."""
    pieces = _SECTION.split(inspect.cleandoc(doc))
    return {"": pieces[0].strip()} | {
        name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def shown_name(param: Any) -> str:
    """The name of a parameter as a function has it: the tensor is called `input`, as in PyTorch."""
    return "input" if param.name == "self" else param.name


def _kind(param: Any) -> str:
    return param.type_name.rstrip("?!")


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def call_text(overload: Any) -> str:
    """One way of calling an operator: ``sum(input, dim=None, keepdim=False, *, dtype=None) -> Tensor``."""
    parts, star = [], False
    for param in overload.parsed().params:
        if param.keyword_only and not star:
            parts.append("*")
            star = True
        parts.append(shown_name(param) + (f"={_literal(param.default)}" if param.has_default else ""))
    return f"{overload.name}({', '.join(parts)}) -> {result_text(overload)}"


def loose(params: tuple[Any, ...]) -> int:
    """Which parameter may be given as several arguments, ``view(2, 3)``; -1 for none."""
    for i, p in enumerate(params):
        kind = _kind(p)
        if kind == "Tensor...":
            return i
        if not p.keyword_only and (kind == "Size" or (kind == "Dims" and not p.has_default)):
            if all(q.has_default or q.keyword_only for q in params[i + 1 :]):
                return i
    return -1


def text_signature(operator: Any) -> str | None:
    """The signature for `inspect` and `help`; None where an operator can be called in several ways."""
    overloads = operator.overloads
    if len(overloads) != 1 or loose(overloads[0].parsed().params) >= 0:
        return None
    inside = call_text(overloads[0]).partition("(")[2].partition(") -> ")[0]
    if overloads[0].options.get("function", True) and takes_out(overloads[0]):
        inside += ", out=None" if "*" in inside else ", *, out=None"
    return f"({inside})"


def result_text(overload: Any) -> str:
    """The type of an overload's result."""
    declared = overload.signature_text.partition("->")[2].strip() or "Tensor"
    if declared == "Tensor[]":
        return "tuple of Tensor"
    if declared[0] != "(":
        return declared
    return f"({', '.join(overload.parsed().outputs)})"


def _type_line(params: list[Any]) -> str:
    kinds: list[str] = []
    for param in params:
        kind = TYPES[_kind(param)]
        kinds.extend(part for part in kind.split(" or ") if part not in kinds)
    text = " or ".join(kinds)
    first = params[0]
    if first.has_default and first.default is not None:
        return f"{text}, default: {_literal(first.default)}"
    return f"{text}, optional" if first.has_default or first.optional else text


def described(param: Any) -> str:
    """What a parameter means, as far as its name and type tell; empty where they do not."""
    return PARAMETERS.get(f"{_kind(param)} {param.name}", PARAMETERS.get(param.name, ""))


def _parameters(overloads: Iterable[Any], said: str, has_out: bool) -> str:
    """The Parameters section: every parameter of every overload once; `said` is what the declaration says."""
    own = {}
    for entry in re.split(r"\n(?=\S)", said):
        if entry:
            own[entry.partition(" : ")[0].strip()] = entry
    merged: dict[str, list[Any]] = {}
    for overload in overloads:
        for param in overload.parsed().params:
            merged.setdefault(shown_name(param), []).append(param)
    lines = []
    for name, params in merged.items():
        lines.append(f"{name} : {_type_line(params)}")
        text = own[name].partition("\n")[2].strip() if name in own else described(params[0])
        if text:
            lines.append(f"    {text.replace('`self`', '`input`')}")
    if has_out:
        lines += ["out : Tensor, optional", f"    {PARAMETERS['out']}"]
    return "\n".join(lines)


def takes_out(overload: Any) -> bool:
    """Whether ``out=`` makes sense: for a result in memory of its own."""
    declared = overload.signature_text.partition("->")[2].strip()
    returns_tensors = not declared or declared == "Tensor" or declared[0] == "("
    return returns_tensors and not (overload.is_view or overload.inplace or overload.is_random)


def _returns(overloads: list[Any]) -> str:
    first = overloads[0]
    if first.inplace:
        return "Tensor\n    The tensor itself."
    kinds = list(dict.fromkeys(result_text(overload) for overload in overloads))
    lines = []
    for kind in kinds:
        lines.append("tuple of Tensor" if kind[0] == "(" else kind)
        if kind[0] == "(":
            lines.append(f"    The fields {kind[1:-1]}.")
        elif first.is_view and kind == "Tensor":
            lines.append("    A view: it shares the memory of the input.")
    return "\n".join(lines)


def _notes(operator: Any, overloads: list[Any]) -> list[str]:
    first = overloads[0]
    notes = []
    aliases = first.options.get("aliases", ())
    if aliases and not first.inplace:
        names = ", ".join(f"`{name}`" for name in aliases)
        notes.append(f"Also called {names}.")
    if any(overload.inplace_form is not None for overload in overloads):
        notes.append(f"`Tensor.{operator.__name__}_` is the in-place form.")
    declared = [overload for overload in overloads if overload.kind_name != "composite"]
    inputs = dict.fromkeys(name for overload in declared for name in overload.inputs())
    if inputs and not first.inplace:
        shown = ", ".join("`input`" if name == "self" else f"`{name}`" for name in inputs)
        notes.append(f"Differentiable with respect to {shown}.")
    return notes


def _examples(text: str) -> str:
    """Examples stand on their own: each imports the library."""
    if ">>> import tensorgrad" in text or ">>> " not in text:
        return text
    return ">>> import tensorgrad\n" + text


def compose(operator: Any) -> str | None:
    """The numpydoc text of an operator."""
    overloads = operator.overloads
    said = next((overload.doc for overload in overloads if overload.doc), "")
    sections = sections_of(said)
    intro = sections.pop("")
    if len(overloads) > 1:
        calls = "\n".join(f"    {call_text(overload)}" for overload in overloads)
        intro = f"{intro}\n\nIt can be called as::\n\n{calls}".strip()
    function = overloads[0].options.get("function", True)
    has_out = function and any(takes_out(overload) for overload in overloads)
    sections["Parameters"] = _parameters(overloads, sections.get("Parameters", ""), has_out)
    sections.setdefault("Returns", _returns(overloads))
    notes = _notes(operator, overloads)
    if notes:
        sections["Notes"] = "\n\n".join(filter(None, [sections.get("Notes", ""), " ".join(notes)]))
    if "Examples" in sections:
        sections["Examples"] = _examples(sections["Examples"])
    text = [intro]
    for name in (*_ORDER, *(name for name in sections if name not in _ORDER)):
        if sections.get(name):
            text.append(f"{name}\n{'-' * len(name)}\n{sections[name]}")
    return "\n\n".join(text) + "\n"
