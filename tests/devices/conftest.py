"""Registers the ghost device, once for all tests of devices, and is what the conformance suite tests here."""

import pytest

from tensorgrad import devices

from .ghost import GhostBackend

BACKEND = GhostBackend()
devices.register_backend("ghost", BACKEND)


@pytest.fixture
def ghost():
    """The backend of the device type "ghost", with nothing switched and nobody's kernels remembered."""
    BACKEND.available, BACKEND.current, BACKEND.out_of_memory = True, 0, False
    BACKEND.calls.clear()
    return BACKEND


@pytest.fixture
def device(ghost):
    """The device that the conformance suite tests."""
    return "ghost:0"


@pytest.fixture
def backend(ghost):
    """Its backend."""
    return ghost


@pytest.fixture
def index(ghost):
    """Its number."""
    return 0
