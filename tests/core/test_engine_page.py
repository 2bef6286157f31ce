"""docs/engine.md tells the truth: the files and functions that it names exist, its example gives what it says."""

import re
from pathlib import Path

import pytest

import tensorgrad

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "engine.md"
PICTURE = ROOT / "docs" / "engine.svg"


def text():
    return PAGE.read_text(encoding="utf-8")


def rows():
    found = re.findall(r"^\| (\d+) \| `(\w+)` \| `([\w/.]+)` \|$", text(), re.M)
    assert len(found) > 30
    return found


def example():
    code = re.search(r"```python\n(import tensorgrad.*?)```", text(), re.S).group(1)
    names = {}
    exec(code, names)
    return names


@pytest.mark.parametrize(("step", "name", "path"), rows(), ids=lambda value: value)
def test_every_function_is_where_the_table_says(step, name, path):
    source = (ROOT / path).read_text(encoding="utf-8")
    python = rf"^\s*(?:def|cpdef|cdef|cdef inline)\b[^\n(]*\b{name}\("
    c = rf"^\s*(?:static|#define)\b[^\n(;]*\b{name}\("
    assert re.search(c if path.endswith(".h") else python, source, re.M), f"{name} is not defined in {path}"
    assert f"### {step}. " in text()


def test_every_path_exists():
    paths = set(re.findall(r"`(tensorgrad/[\w/]+\.\w+)`", text()))
    assert {"tensorgrad/_core/types.pxd", "tensorgrad/ops/binary.pyx"} <= paths
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_every_function_of_the_text_is_in_the_table():
    body = text().partition("## Where to find it")[0]
    table = {name for _, name, _ in rows()}
    # names of functions inside the library: they contain an underscore or are in the table
    named = {name for name in re.findall(r"`(_?\w+)`", body) if "_" in name}
    known_elsewhere = {"__call__", "grad_fn", "nb_multiply", "saved_tensors_hooks"}
    assert named - known_elsewhere <= table
    assert table <= set(re.findall(r"\b\w+\b", body)), "nothing is in the table that the text does not explain"


def test_the_example_gives_what_the_page_says():
    names = example()
    assert names["z"].tolist() == [10.0, 21.0]
    assert names["x"].grad.tolist() == [5.0, 7.0]
    assert type(names["z"].grad_fn).__name__ == "MulBackward0"
    assert '"self": "other", "other": "self"' in text()
    declared = (ROOT / "tensorgrad" / "ops" / "binary.pyx").read_text(encoding="utf-8")
    assert 'partials={"self": "other", "other": "self"}' in declared
    assert "TG_BINARY(mul, NUMERIC, x * y)" in declared


def picture():
    x = tensorgrad.tensor([2.0, 3.0], requires_grad=True)
    y = tensorgrad.tensor([5.0, 7.0], requires_grad=True)
    loss = (x * y).sum()
    return tensorgrad.autograd.graph.to_svg(loss, {"x": x, "y": y, "loss": loss}, show_saved=True)


def test_the_picture_is_the_present_one():
    assert PICTURE.read_text(encoding="utf-8") == picture() + "\n", f"to renew it: python {__file__}"


if __name__ == "__main__":
    PICTURE.write_text(picture() + "\n", encoding="utf-8")
