"""Where the tests find CuPy: the real one where there is a GPU for it, else NumPy in its place (``stand_in/``).

``TENSORGRAD_CUDA_TESTS=gpu`` wants the real one, ``stand_in`` the other.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def _has_gpu() -> bool:
    try:
        import cupy
    except Exception:  # not there, or not usable: then the stand-in is what can be tested
        return False
    return bool(cupy.cuda.is_available()) if hasattr(cupy.cuda, "is_available") else False


WANTED = os.environ.get("TENSORGRAD_CUDA_TESTS")
GPU = WANTED != "stand_in" and (WANTED == "gpu" or _has_gpu())
if not GPU:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupy_backends")]:
        del sys.modules[name]
    sys.path.insert(0, str(HERE / "stand_in"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU and the plugin for it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reason = "there is no CUDA device here: `python -m tensorgrad_cuda.report` runs these tests where there is one"
    for item in items:
        if item.get_closest_marker("gpu") and not GPU:
            item.add_marker(pytest.mark.skip(reason=reason))
        if "stand_in" in item.fixturenames and GPU:
            item.add_marker(pytest.mark.skip(reason="this machine has a GPU, and tests the real CuPy"))


@pytest.fixture(scope="session")
def stand_in():
    """NumPy in CuPy's place, for tests of what only it has."""
    import cupy

    assert "stand-in" in cupy.__version__
    return cupy


@pytest.fixture(scope="session")
def backend():
    """The backend, registered."""
    from tensorgrad import devices

    return devices.backend("cuda")
