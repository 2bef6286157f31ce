"""Writes what is generated from the operators' declarations: the stubs and docs/operators.md.

    python tools/generate_stubs.py            write them
    python tools/generate_stubs.py --check    say what would change, and fail if anything would

Types come from the signatures. Objects that are no operators come from Python modules, which have
annotations, or stand in stub_template.pyi; one that does neither is an error.
"""

from __future__ import annotations

import difflib
import inspect
import keyword
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import tensorgrad
except ImportError:  # not installed: built in place
    sys.path.insert(0, str(ROOT))
    import tensorgrad

from operator_pages import operator_pages  # noqa: E402

from tensorgrad._core import docstrings, return_types  # noqa: E402
from tensorgrad._core.operator import Operator, all_operators  # noqa: E402
from tensorgrad.ops import public_names  # noqa: E402

HEADER = "# Made by tools/generate_stubs.py from the operators' declarations; not to be edited.\n"
ANNOTATIONS = {
    "Tensor": "Tensor",
    "Tensor[]": "Sequence[Tensor]",
    "Tensor...": "Sequence[Tensor]",
    "Operand": "_Operand",
    "Number": "_Number",
    "int": "_int",
    "float": "_float",
    "bool": "_bool",
    "Dim": "_int",
    "NewDim": "_int",
    "Dims": "_int | Sequence[_int]",
    "Size": "_int | Sequence[_int]",
    "DType": "_DType",
    "Device": "_Device",
    "Generator": "Generator",
    "str": "_str",
    "Indices": "Sequence[Tensor | None]",
    "Any": "Any",
}


# ---- operators -----------------------------------------------------------------------------------------
def parameter(param: Any) -> str:
    kind = ANNOTATIONS[param.type_name.rstrip("?!")]
    if param.optional or (param.has_default and param.default is None):
        kind += " | None" if kind != "Any" else ""
    name = docstrings.shown_name(param)
    name += "_" if keyword.iskeyword(name) else ""
    return f"{name}: {kind}" + (f" = {param.default!r}" if param.has_default else "")


def result(overload: Any) -> str:
    """The annotation of an overload's result."""
    declared = overload.signature_text.partition("->")[2].strip() or "Tensor"
    if declared == "Tensor[]":
        return "tuple[Tensor, ...]"
    if declared[0] == "(":
        if hasattr(return_types, overload.name):
            return f"return_types.{overload.name}"
        return f"tuple[{', '.join(['Tensor'] * len(overload.parsed().outputs))}]"
    return {"bool": "_bool", "int": "_int", "float": "_float"}.get(declared, declared)


def definitions(overload: Any, method: bool) -> Iterator[str]:
    """``(...) -> ...`` for each way of writing the arguments of an overload."""
    params = overload.parsed().params
    place = docstrings.loose(params)
    for spread in (False, True) if place >= 0 else (False,):
        parts, star = [], False
        for i, param in enumerate(params):
            if method and i == 0:
                parts.append("self")
            elif spread and i == place:
                kind = "Tensor" if param.type_name == "Tensor..." else "_int"
                parts.append(f"*{docstrings.shown_name(param)}: {kind}")
                star = True
            else:
                if param.keyword_only and not star:
                    parts.append("*")
                    star = True
                parts.append(parameter(param))
        if not method and docstrings.takes_out(overload):
            outs = len(overload.parsed().outputs)
            kind = "Tensor" if outs == 1 else f"tuple[{', '.join(['Tensor'] * outs)}]"
            parts += [] if star else ["*"]
            parts.append(f"out: {kind} | None = None")
        yield f"({', '.join(parts)}) -> {result(overload)}"


def operator_stub(name: str, operator: Any, method: bool) -> list[str]:
    # polygamma(n, x) has its tensor second: as a method it is another overload
    kinds = ("Tensor", "Operand")
    overloads = [o for o in operator.overloads if not method or o.parsed().params[0].type_name.startswith(kinds)]
    texts = list(dict.fromkeys(text for o in overloads for text in definitions(o, method)))
    if len(texts) == 1:
        return [f"def {name}{texts[0]}: ..."]
    # Short ones first: std(unbiased) would else be taken for std(dim), a bool being an int.
    return [
        line
        for text in sorted(texts, key=lambda text: text.count(","))
        for line in ("@overload", f"def {name}{text}: ...")
    ]


def is_alias(name: str, operator: Any) -> bool:
    return name != operator.__name__


def function_stubs() -> Iterator[str]:
    for name, operator in sorted(vars(tensorgrad).items()):
        if isinstance(operator, Operator) and name[0] != "_" and not is_alias(name, operator):
            yield from operator_stub(name, operator, False)
    for name, operator in sorted(vars(tensorgrad).items()):
        if isinstance(operator, Operator) and name[0] != "_" and is_alias(name, operator):
            yield f"{name} = {operator.__name__}"


def method_stubs() -> Iterator[str]:
    members = vars(tensorgrad.Tensor)
    methods = {k: v for k, v in sorted(members.items()) if isinstance(v, Operator) and k[0] != "_"}
    for name, operator in methods.items():
        if not is_alias(name, operator):
            yield from operator_stub(name, operator, True)
    for name, operator in methods.items():
        if is_alias(name, operator):
            yield f"{name} = {operator.__name__}"
    for name, operator, _, method in sorted(public_names(), key=lambda entry: entry[0]):
        if method == "property":
            yield "@property"
            yield f"def {name}(self) -> {result(operator.overloads[0])}: ..."


# ---- everything else ---------------------------------------------------------------------------------------
def names_in_template(template: str, indent: str) -> set[str]:
    pattern = rf"^{indent}(?:class |def )?(\w+)(?=[(:\[ ])"
    return {name for name in re.findall(pattern, template, re.MULTILINE) if name not in ("from", "import")}


def home_of(name: str, value: Any) -> str | None:
    """The Python module of tensorgrad from which a name is imported; None for what is written in Cython."""
    if not inspect.isfunction(value):
        source = getattr(sys.modules.get(getattr(value, "__module__", "")), "__file__", None) or ""
        if not isinstance(value, type) or not source.endswith(".py"):
            return None
    modules = [m for m in sys.modules.values() if isinstance(m, types.ModuleType)]
    homes = [
        m.__name__
        for m in modules
        if m.__name__.startswith("tensorgrad.")
        and (getattr(m, "__file__", None) or "").endswith(".py")
        and getattr(m, name, None) is value
    ]
    return min(
        homes,
        key=lambda home: (home != getattr(value, "__module__", ""), "._" in home, len(home)),
        default=None,
    )


def import_stubs(known: set[str]) -> Iterator[str]:
    """Modules, and objects from Python modules, that the package shows under its own name."""
    missing = []
    lines = []
    for name, value in sorted(vars(tensorgrad).items()):
        if name[0] == "_" or name in known or isinstance(value, (Operator, tensorgrad.dtype)):
            continue
        if type(value).__module__ == "__future__":
            continue
        if isinstance(value, types.ModuleType):
            if value.__name__ == f"tensorgrad.{name}":
                lines.append(f"from tensorgrad import {name} as {name}")
            elif value.__name__.startswith("tensorgrad."):
                parent, _, last = value.__name__.rpartition(".")
                lines.append(f"from {parent} import {last} as {name}")
        elif (home := home_of(name, value)) is not None:
            lines.append(f"from {home} import {name} as {name}")
        else:
            missing.append(name)
    if missing:
        raise SystemExit(f"stub_template.pyi says nothing about: {', '.join(missing)}")
    yield from sorted(lines)


def check_members(template: str) -> None:
    """Every member of Tensor that is no operator stands in the template, and nothing else does."""
    text = template.partition("\nclass Tensor:\n")[2].partition("# @methods")[0]
    said = {name for name in names_in_template(text, "    ") if name != "self"}
    base = vars(object).keys() | {
        "__pyx_vtable__",
        "__dict__",
        "__module__",
        "__weakref__",
        "__annotations__",
    }
    own = {
        name
        for name, value in vars(tensorgrad.Tensor).items()
        if not isinstance(value, Operator) and (name[0] != "_" or name.startswith("__")) and name not in base
    } - {name for name, _, _, method in public_names() if method == "property"}
    if own - said:
        raise SystemExit(f"stub_template.pyi says nothing about Tensor's {', '.join(sorted(own - said))}")
    gone = {name for name in said - own if not hasattr(tensorgrad.Tensor, name)}
    if gone:
        raise SystemExit(f"stub_template.pyi describes members that Tensor lacks: {', '.join(sorted(gone))}")


def package_stub() -> str:
    template = (ROOT / "tools/stub_template.pyi").read_text().partition("import builtins\n")
    template = template[1] + template[2]
    check_members(template)
    known = names_in_template(template, "") | {"return_types"}
    dtypes = [
        f"{name}: dtype" for name, v in sorted(vars(tensorgrad).items()) if isinstance(v, tensorgrad.dtype)
    ]
    insertions = {
        "# @imports": list(import_stubs(known)),
        "# @dtypes": dtypes,
        "    # @methods": [f"    {line}" for line in method_stubs()],
        "# @functions": list(function_stubs()),
    }
    lines = []
    for line in template.splitlines():
        lines += insertions.get(line, [line])
    return HEADER + "\n".join(lines).rstrip() + "\n"


def return_types_stub() -> str:
    lines = [HEADER, "from tensorgrad import Tensor\n"]
    for name, kind in sorted(vars(return_types).items()):
        if isinstance(kind, type) and name[0] != "_" and issubclass(kind, tuple):
            lines.append(f"class {name}(tuple[{', '.join(['Tensor'] * len(kind._fields))}]):")
            for entry in kind._fields:
                lines += ["    @property", f"    def {entry}(self) -> Tensor: ..."]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def generated() -> dict[str, str]:
    """The text of every generated file, by its path in the repository."""
    return {
        "tensorgrad/__init__.pyi": package_stub(),
        "tensorgrad/_core/return_types.pyi": return_types_stub(),
        "docs/operators.md": operator_pages(all_operators(), public_names()),
    }


def differences() -> str:
    """How the committed files differ from those that would be written; empty where they do not."""
    text = []
    for path, new in generated().items():
        old = (ROOT / path).read_text() if (ROOT / path).exists() else ""
        text += difflib.unified_diff(old.splitlines(True), new.splitlines(True), path, "generated", n=1)
    return "".join(text)


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        changes = differences()
        sys.stdout.write(changes)
        return 1 if changes else 0
    if arguments:
        print(__doc__)
        return 2
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
