"""The plugin that docs/plugins.md shows: taken from the page, installed, found, and used."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"

PROGRAM = """
import sys
import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad.testing.device_conformance.test_training import TinyModel

assert "tensorgrad_mydevice" not in sys.modules
tensorgrad.manual_seed(0)
model = TinyModel()
x, target = tensorgrad.randn(16, 1000), tensorgrad.randn(16, 10)
model, x, target = model.to(sys.argv[1]), x.to(sys.argv[1]), target.to(sys.argv[1])
optimizer = optim.SGD(model.parameters(), lr=1e-4)
for _ in range(5):
    optimizer.zero_grad()
    loss = (target - model(x)).pow(2).sum()
    loss.backward()
    optimizer.step()
    print(loss.item())
assert {p.grad.device.type for p in model.parameters()} == {sys.argv[1]}
"""


@pytest.fixture
def template(tmp_path_factory, installed):
    """The template, installed."""
    directory = tmp_path_factory.mktemp("template")
    files = re.findall(r"\n`([\w.]+)`\n\n```\w+\n(.*?)```\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in files] == ["pyproject.toml", "tensorgrad_mydevice.py"]
    for name, text in files:
        (directory / name).write_text(text, encoding="utf-8")
    installed.install(directory)
    return installed


def test_the_template_trains_tiny_model(template):
    table = template.run("-m", "tensorgrad.devices", "--load")
    assert re.search(r"^mydevice +loaded +1 +tensorgrad-mydevice 0\.1\.0$", table, re.MULTILINE), table
    there = [float(line) for line in template.run("-c", PROGRAM, "mydevice").split()]
    here = [float(line) for line in template.run("-c", PROGRAM, "cpu").split()]
    assert there == pytest.approx(here, rel=1e-5)
    assert len(there) == 5 and there[-1] < there[0]


def test_the_template_passes_the_suite(template):
    out = template.conformance("mydevice", "-m", "smoke")
    assert re.search(r"\d{3} passed", out), out


def test_what_a_device_says_it_lacks_is_skipped_with_the_reason(template):
    module = template.directory / "tensorgrad_mydevice.py"
    text = module.read_text(encoding="utf-8")
    lacking = '    contract_version = 1\n    functions = {"exp": "f", "i0e_d": "f", "sign": "f"}\n'
    assert text.count("    contract_version = 1\n") == 1
    module.write_text(text.replace("    contract_version = 1\n", lacking), encoding="utf-8")
    chosen = "in_every_dtype and float32 and (special_i0e or sin or exp)"
    out = template.conformance("mydevice", "-rs", "-k", chosen)
    assert "\"sin\" not implemented for 'Float' on mydevice:0: the device has no function 'sin' of float32" in out
    assert "the device has no function 'i1e_d' of float64" in out, "the gradient's"
    assert re.search(r"\d+ passed", out), out
