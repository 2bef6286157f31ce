"""A device that can only hold bytes, and a count of the memory that tensors use."""

import gc

import pytest

from tensorgrad import devices
from tensorgrad._core.types import memory_stats


class VaultBackend(devices.Backend):
    """Memory that the CPU cannot follow, without any kernel but copies of whole arrays."""

    contract_version = 1

    def __init__(self):
        self.boxes = {}
        self.exported = []

    def is_available(self):
        return True

    def device_count(self):
        return 2

    def allocate(self, nbytes, index):
        box = object()
        self.boxes[box] = bytearray(nbytes)
        return box

    def free(self, handle, nbytes, index):
        del self.boxes[handle]

    def _bytes(self, array):
        size = array.itemsize
        for n in array.shape:
            size *= n
        return memoryview(self.boxes[array.handle])[array.offset : array.offset + size]

    def copy(self, dst, src):
        assert dst.dtype == src.dtype
        self._bytes(dst)[:] = self._bytes(src)

    def copy_from_host(self, dst, src):
        self._bytes(dst)[:] = src.cast("B")

    def copy_to_host(self, dst, src):
        dst.cast("B")[:] = self._bytes(src)


VAULT = VaultBackend()
devices.register_backend("vault", VAULT)


@pytest.fixture
def vault():
    """The backend of the device type "vault"."""
    return VAULT


@pytest.fixture
def no_leak():
    """Fail when a test leaves more memory of tensors behind than it found."""
    gc.collect()
    before = memory_stats()["live"]
    yield
    gc.collect()
    assert memory_stats()["live"] == before
