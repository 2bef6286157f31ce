"""The committed stubs and docs/operators.md are what the declarations make; mypy accepts the stubs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/generate_stubs.py"


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(TOOL.parent))  # for the modules beside it
    try:
        spec = importlib.util.spec_from_file_location("generate_stubs", TOOL)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOL.parent))
    return module


@pytest.fixture(scope="module")
def generated(tool):
    return tool.generated()


@pytest.mark.parametrize(
    "path", ["tensorgrad/__init__.pyi", "tensorgrad/_core/return_types.pyi", "docs/operators.md"]
)
def test_generated_files_are_up_to_date(generated, path):
    assert set(generated) >= {path}
    committed = (ROOT / path).read_text()
    assert committed == generated[path], "run: python tools/generate_stubs.py"


def test_a_change_is_found(tool, generated, monkeypatch):
    """The comparison itself must be able to fail."""
    monkeypatch.setattr(
        tool, "generated", lambda: {"docs/operators.md": generated["docs/operators.md"] + "x\n"}
    )
    assert "+x" in tool.differences()
    assert tool.main(["--check"]) == 1


def test_mypy_accepts_the_stubs_and_infers_from_them(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    example = tmp_path / "example.py"
    example.write_text(
        "import tensorgrad\n"
        "x = tensorgrad.zeros(2, 3, dtype=tensorgrad.float64)\n"
        "reveal_type(x.sin() + 1)\n"
        "reveal_type(x.sort(dim=0).values)\n"
        "reveal_type(x.shape[0])\n"
        "reveal_type(x.requires_grad)\n"
        "x.sum(dim='rows')\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--no-incremental",
    ]
    run = subprocess.run(
        [*command, "--follow-imports=silent", str(example)],
        env={"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin", "MYPY_CACHE_DIR": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    # some versions of mypy say builtins.int
    found = [line.partition(": ")[2].replace("builtins.", "") for line in run.stdout.splitlines()]
    kinds = ["tensorgrad.Tensor", "tensorgrad.Tensor", "int", "bool"]
    assert found[:4] == [f'note: Revealed type is "{kind}"' for kind in kinds], run.stdout
    assert "error:" in found[4] and "sum" in found[4], run.stdout
    stubs = subprocess.run(
        [*command, str(ROOT / "tensorgrad/__init__.pyi"), str(ROOT / "tensorgrad/_core/return_types.pyi")],
        env={"PATH": "/usr/bin:/bin", "MYPY_CACHE_DIR": str(tmp_path / "cache")},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    errors = [line for line in stubs.stdout.splitlines() if ".pyi:" in line]
    assert not errors, "\n".join(errors)
