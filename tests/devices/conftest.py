"""Registers the ghost device, once for all tests of devices."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for directory in (HERE, HERE.parent / "ops"):  # helpers of tests are no packages
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

from ghost import GhostBackend  # noqa: E402

from tensorgrad import devices  # noqa: E402

BACKEND = GhostBackend()
devices.register_backend("ghost", BACKEND)


@pytest.fixture
def ghost():
    """The backend of the device type "ghost", with nothing switched and nobody's kernels remembered."""
    BACKEND.available, BACKEND.current, BACKEND.out_of_memory = True, 0, False
    BACKEND.calls.clear()
    return BACKEND
