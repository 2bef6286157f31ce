"""The backend under test, and what needs a real GPU."""

from __future__ import annotations

import pytest

from tensorgrad import devices


def _reason() -> str | None:
    """Why there is no real GPU."""
    backend = devices.backend("cuda")
    if not backend.is_available():
        return backend.unavailable_reason()
    from tensorgrad_cuda.discovery import cupy

    return "NumPy stands in for CuPy" if "stand-in" in cupy.__version__ else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU and the plugin for it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reason = _reason()
    if reason is None:
        return
    how = "`python -m tensorgrad_cuda.report` runs this test where there is a CUDA device"
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=f"{reason}; {how}"))


@pytest.fixture(scope="session")
def backend() -> devices.Backend:
    """The backend, if it has a device or what stands in for one."""
    found = devices.backend("cuda")
    if not found.is_available():
        pytest.skip(str(found.unavailable_reason()))
    return found
