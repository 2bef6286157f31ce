"""docs/operators.md: every public operator, by the file that declares it."""

from __future__ import annotations

from typing import Any

from declarations import all_declarations, declaration_of, family_titles

from tensorgrad._core import docstrings

INTRODUCTION = """# Operators

Made by `tools/generate_stubs.py` from the declarations in `tensorgrad/ops`; not to be edited.

A function is `tensorgrad.NAME`, a method `Tensor.NAME`. The tensor that is called `input` here is `self` in a
formula. A *partial derivative* is multiplied by the incoming gradient (conjugated, and summed where the input
was broadcast); a *gradient* is the whole formula, with `grad` for the incoming gradient and `out` for the
result. Operators without either are made of others, which are differentiated instead, or have none.
"""


def _summary(operator: Any) -> str:
    text = docstrings.compose(operator) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def _forms(operator: Any, names: dict[str, Any]) -> str:
    first = operator.overloads[0]
    name = operator.__name__
    function, method = names[name]
    forms = []
    if function:
        forms.append(f"`tensorgrad.{name}`")
    if method == "property":
        forms.append(f"`Tensor.{name}` (a property)")
    elif method:
        forms.append(f"`Tensor.{name}`")
    if any(o.inplace_form is not None for o in operator.overloads):
        forms.append(f"in place `Tensor.{name}_`")
    if function and any(docstrings.takes_out(o) for o in operator.overloads):
        forms.append("`out=`")
    if first.options.get("aliases"):
        forms.append("also called " + ", ".join(f"`{alias}`" for alias in first.options["aliases"]))
    return ", ".join(forms)


def _derivative(operator: Any, declarations: list[Any]) -> str:
    lines = []
    for overload in operator.overloads:
        if overload.functional is not None or overload.kind_name == "composite" or not overload.inputs():
            continue
        declaration = declaration_of(overload.signature_text, declarations)
        said = "; ".join(f"`{name}`: `{formula}`" for name, formula in declaration.derivatives.items())
        kind = declaration.kind if len(declaration.derivatives) != 1 else declaration.kind.rstrip("s")
        line = f"- {kind}: {said}" if said else f"- differentiable: {', '.join(overload.inputs())}"
        if line not in lines:
            lines.append(line)
    return "\n".join(lines)


def operator_pages(operators: dict[str, Any], public: list[tuple[str, Any, bool, Any]]) -> str:
    """The text of the page."""
    declarations = all_declarations()
    titles = family_titles()
    names = {name: (function, method) for name, _, function, method in public}
    families: dict[str, list[str]] = {}
    for name, operator in sorted(operators.items()):
        # An in-place form is mentioned where its function is.
        if name not in names or all(o.functional is not None for o in operator.overloads):
            continue
        family = declaration_of(operator.overloads[0].signature_text, declarations).family
        entry = [f"### {name}", "", _summary(operator), ""]
        entry += [f"- `{docstrings.call_text(o)}`" for o in operator.overloads]
        entry += [f"- {_forms(operator, names)}", _derivative(operator, declarations)]
        families.setdefault(family, []).append("\n".join(entry).rstrip() + "\n")
    parts = [INTRODUCTION]
    for family, entries in sorted(families.items()):
        parts.append(f"## {family}\n\n{titles[family]}.\n")
        parts += entries
    return "\n".join(parts)
