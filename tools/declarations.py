"""The declarations of operators as they stand in tensorgrad/ops: which file, which formulas.

At run time a formula is a compiled function; what a reader wants to see is its text.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CALL = re.compile(r"^ *(elementwise|operator|composite)\(", re.MULTILINE)
_CAST = re.compile(r"<\w+>&?")  # Cython's casts, which Python cannot parse


@dataclass
class Declaration:
    """One call that declares an operator."""

    family: str
    pattern: re.Pattern[str]
    derivatives: dict[str, str] = field(default_factory=dict)  # what is said about each parameter
    kind: str = ""  # "partial derivatives" or "gradients"

    def matches(self, signature: str) -> bool:
        return self.pattern.fullmatch(signature) is not None


def _call_text(text: str, start: int) -> str:
    """The call that begins at `start`, up to the parenthesis that closes it."""
    depth = 0
    lines = io.StringIO(text[start:])
    for token in tokenize.generate_tokens(lines.readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if depth == 0 and token.string == ")":
                rows = text[start:].splitlines(keepends=True)[: token.end[0]]
                rows[-1] = rows[-1][: token.end[1]]
                return "".join(rows)
    raise ValueError("a declaration is not closed")


def _pattern(node: ast.expr) -> re.Pattern[str]:
    """What a signature that was declared by this expression looks like."""
    if isinstance(node, ast.JoinedStr):
        parts = [re.escape(p.value) if isinstance(p, ast.Constant) else ".*?" for p in node.values]
        return re.compile("".join(parts))
    return re.compile(re.escape(ast.literal_eval(node)))


def _formula(node: ast.expr) -> str:
    if isinstance(node, ast.Lambda):
        return ast.unparse(node.body)
    return ast.unparse(node)


def _derivatives(call: ast.Call) -> tuple[str, dict[str, str]]:
    options = {keyword.arg: keyword.value for keyword in call.keywords}
    for name, kind in (("partials", "partial derivatives"), ("vjp", "gradients")):
        if name in options:
            table = options[name]
            if isinstance(table, ast.Dict):
                return kind, {ast.literal_eval(k): _formula(v) for k, v in zip(table.keys, table.values) if k}
            return kind, {"all": _formula(table)}
    return "", {}


def declarations_in(path: Path) -> list[Declaration]:
    """Every declaration of a file, in order."""
    text = path.read_text()
    found = []
    for match in _CALL.finditer(text):
        start = match.start() + len(match.group()) - len(match.group().lstrip())
        call = ast.parse(_CAST.sub("", _call_text(text, start)), mode="eval").body
        assert isinstance(call, ast.Call)
        signature = call.args[1] if match.group(1) == "elementwise" else call.args[0]
        if not isinstance(signature, (ast.Constant, ast.JoinedStr)):
            continue  # in a helper of the file: found by the text of its signature alone
        kind, derivatives = _derivatives(call)
        found.append(Declaration(path.stem, _pattern(signature), derivatives, kind))
    return found


def family_titles() -> dict[str, str]:
    """The first line of each file's docstring, by the file's name."""
    titles = {}
    for path in sorted((ROOT / "tensorgrad/ops").glob("*.pyx")):
        match = re.match(r'"""(.*?)(?:"""|\n)', path.read_text())
        titles[path.stem] = match.group(1).rstrip(".") if match else path.stem
    return titles


def all_declarations() -> list[Declaration]:
    """Every declaration there is; exact signatures before patterns."""
    found = [d for path in sorted((ROOT / "tensorgrad/ops").glob("*.pyx")) for d in declarations_in(path)]
    return sorted(found, key=lambda d: ".*?" in d.pattern.pattern)


def declaration_of(signature: str, declarations: list[Declaration]) -> Declaration:
    for declaration in declarations:
        if declaration.matches(signature):
            return declaration
    for path in sorted((ROOT / "tensorgrad/ops").glob("*.pyx")):
        if f'"{signature.partition("(")[0]}(' in path.read_text():
            return Declaration(path.stem, re.compile(re.escape(signature)))
    raise LookupError(f"no declaration in tensorgrad/ops reads {signature}")
