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
