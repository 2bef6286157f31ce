"""The plugin for OpenCL: installed from this repository, on whatever OpenCL device there is.

The whole conformance suite is run by tox's environment ``opencl``; here the part of it that says most.
"""

import re
import shutil
from pathlib import Path

import pytest

from .conftest import Installed

pytest.importorskip("pyopencl", reason="PyOpenCL is not installed")

SOURCE = Path(__file__).parents[2] / "plugins" / "tensorgrad-opencl"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The plugin, installed."""
    copy = tmp_path_factory.mktemp("source") / "tensorgrad-opencl"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    installed = Installed(tmp_path_factory.mktemp("site"))
    installed.install(copy)
    return installed


@pytest.fixture
def working(plugin):
    """The plugin, where there is a device for it."""
    table = plugin.run("-m", "tensorgrad.devices", "--load")
    if re.search(r"^opencl +loaded +0 ", table, re.MULTILINE):
        pytest.skip(table[table.index("\nopencl:") :].strip())
    assert re.search(r"^opencl +loaded +[1-9]\d* +tensorgrad-opencl 0\.1\.0$", table, re.MULTILINE), table
    return plugin


def test_a_part_of_the_conformance_suite(working):
    assert re.search(r"\d{3} passed", working.conformance("opencl", "-m", "smoke"))


def test_the_plugins_own_tests(working):
    out = working.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(SOURCE / "tests"))
    assert re.search(r"\d+ passed", out), out


NO_DRIVER = """
import tensorgrad
from tensorgrad import devices
print((tensorgrad.ones(2) + 1).tolist())
try:
    tensorgrad.ones(2, device="opencl")
except RuntimeError as error:
    print(error)
print(devices.list()[-1].state, devices.list()[-1].devices)
"""


# The loader finds drivers in places of its own, PoCL's wheel among them, so what it says is said for it.
NO_PLATFORM = """
import pyopencl
def get_platforms():
    raise pyopencl.LogicError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR")
pyopencl.get_platforms = get_platforms
"""
NO_DEVICE = """
import pyopencl
class Platform:
    def get_devices(self):
        raise pyopencl.RuntimeError("clGetDeviceIDs failed: DEVICE_NOT_FOUND")
pyopencl.get_platforms = lambda: [Platform()]
"""


@pytest.mark.parametrize(
    "setting, reason",
    [
        (NO_PLATFORM, "no OpenCL platform was found (clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR)"),
        (NO_DEVICE, "there are 1 OpenCL platforms, and none has a device"),
    ],
)
def test_no_driver_is_a_clear_error(setting, reason, plugin):
    cpu, error, state = plugin.run("-c", setting + NO_DRIVER).splitlines()
    assert cpu == "[2.0, 2.0]"
    assert error.startswith(f"no device of type 'opencl' is available: {reason}"), error
    assert error.endswith('or `pip install "pyopencl[pocl]"` for one that runs on the CPU')
    assert state == "loaded 0"


def test_devices_are_chosen_by_name(plugin):
    out = plugin.run("-c", NO_DRIVER, TENSORGRAD_OPENCL_DEVICES="no such device")
    assert "TENSORGRAD_OPENCL_DEVICES='no such device' names none of the devices there are: " in out or (
        "no OpenCL platform was found" in out
    )


def test_pyopencl_that_does_not_import(plugin, tmp_path):
    (tmp_path / "pyopencl.py").write_text("raise ImportError('libOpenCL.so.1: cannot open shared object file')\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + NO_DRIVER
    _, error, state = plugin.run("-c", program).splitlines()
    assert error == (
        "no device of type 'opencl' is available: PyOpenCL cannot be imported: "
        "ImportError: libOpenCL.so.1: cannot open shared object file"
    )
    assert state == "loaded 0"
