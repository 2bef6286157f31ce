"""The calls of CUDA's runtime."""

from __future__ import annotations

import ctypes
import os
import threading
from types import SimpleNamespace

memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice = 1, 2, 3
COUNT = int(os.environ.get("TENSORGRAD_CUDA_STAND_IN_DEVICES", "1"))
calls: list[str] = []
_local = threading.local()


class CUDARuntimeError(RuntimeError):
    pass


def driverGetVersion():
    return 13000


runtimeGetVersion = driverGetVersion


def getDeviceCount():
    return COUNT


def getDevice():
    return getattr(_local, "device", 0)


def setDevice(index):
    if not 0 <= index < COUNT:
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    _local.device = index


def getDeviceProperties(index):
    return {
        "name": b"NumPy in CuPy's place",
        "totalGlobalMem": 1 << 32,
        "major": 8,
        "minor": 0,
        "multiProcessorCount": 1,
    }


def deviceSynchronize():
    calls.append("deviceSynchronize")


def memset(address, value, size):
    ctypes.memset(address, value, size)


def memsetAsync(address, value, size, stream):
    ctypes.memset(address, value, size)


def memcpyAsync(target, source, size, kind, stream):
    assert kind in (memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice) and isinstance(stream, int)
    ctypes.memmove(target, source, size)


def pointerGetAttributes(address):
    from cupy.cuda.memory import PINNED

    inside = any(start <= address < start + size for start, size in PINNED.items())
    return SimpleNamespace(type=1 if inside else 0)
