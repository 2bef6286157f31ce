"""The device under test, from the option ``--device``."""

from __future__ import annotations

import pytest

import tensorgrad
from tensorgrad import devices

pytest.register_assert_rewrite("tensorgrad.testing.device_conformance.comparing")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Without a device there is nothing to test: doctests of the whole package pass by here."""
    return None if config.getoption("--device", default=None) else True


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call():
    """A test of an operator whose functions the device lacks, as its backend declares, is skipped with that reason."""
    try:
        return (yield)
    except devices.UnsupportedFunctionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """The device, with its index, once it is known to be there."""
    name = request.config.getoption("--device")
    return str(tensorgrad.empty(1, device=name).device)


@pytest.fixture
def backend(device: str) -> devices.Backend:
    """The device's backend."""
    return devices.backend(device.partition(":")[0])


@pytest.fixture
def index(device: str) -> int:
    """The device's number."""
    return tensorgrad.device(device).index
