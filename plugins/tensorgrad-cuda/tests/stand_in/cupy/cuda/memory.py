"""Device memory: the CPU's. What is freed is overwritten, so that whoever still reads it notices."""

from __future__ import annotations

import ctypes
import mmap
import threading

from cupy.cuda import runtime

TOTAL = 1 << 32


class OutOfMemoryError(MemoryError):
    pass


def bytes_at(address, size):
    """A writable buffer over memory at an address."""
    return (ctypes.c_char * size).from_address(address) if size else b""


class _Allocation:
    """Memory with an address that is a multiple of 512, as CUDA's is; returned when it dies."""

    def __init__(self, pool, size):
        self.pool, self.size, self.device_id = pool, size, runtime.getDevice()
        self.raw = ctypes.create_string_buffer(size + 512)
        self.ptr = -(-ctypes.addressof(self.raw) // 512) * 512
        ctypes.memset(self.ptr, 0xAB, size)

    def __del__(self):
        ctypes.memset(self.ptr, 0xCD, self.size)
        with self.pool.lock:
            self.pool.used -= self.size
            self.pool.free += self.size


class UnownedMemory:
    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device_id


class MemoryPointer:
    def __init__(self, mem, offset):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id


class _Pool:
    def __init__(self):
        self.used = self.free = 0
        self.lock = threading.RLock()

    def malloc(self, size):
        if self.used + size > TOTAL:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes).")
        size = max(size, 1)
        with self.lock:
            self.used += size
            self.free = max(self.free - size, 0)
        return MemoryPointer(_Allocation(self, size), 0)

    def free_bytes(self):
        return self.free

    def free_all_blocks(self):
        self.free = 0


POOL = _Pool()
PINNED = {}


def pinned(size):
    """Whole pages, which runtime.pointerGetAttributes knows; the buffer protocol gives them, as CuPy's class does."""
    pages = mmap.mmap(-1, max(size, 1))
    PINNED[ctypes.addressof(ctypes.c_char.from_buffer(pages))] = size
    return pages
