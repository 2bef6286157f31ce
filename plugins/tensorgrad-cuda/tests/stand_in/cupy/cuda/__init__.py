"""Streams and events that are always done, and a device or two."""

from __future__ import annotations

import threading
import time

from cupy.cuda import device, function, memory, runtime
from cupy.cuda.memory import MemoryPointer, UnownedMemory

OutOfMemoryError = memory.OutOfMemoryError
_local = threading.local()


def alloc(size):
    return memory.POOL.malloc(size)


class Device:
    def __init__(self, id):
        self.id = id

    def __enter__(self):
        _local.__dict__.setdefault("devices", []).append(runtime.getDevice())
        runtime.setDevice(self.id)
        return self

    def __exit__(self, *error):
        runtime.setDevice(_local.devices.pop())


class Stream:
    _count = 0

    def __init__(self, null=False, non_blocking=False):
        if null:
            self.ptr = 0
        else:
            Stream._count += 1
            self.ptr = 0x1000 + Stream._count
        self.done = True

    def use(self):
        _local.__dict__.setdefault("streams", {})[runtime.getDevice()] = self
        return self

    def synchronize(self):
        runtime.calls.append("synchronize")

    def wait_event(self, event):
        assert isinstance(event, Event)


Stream.null = Stream(null=True)


def get_current_stream():
    return _local.__dict__.setdefault("streams", {}).get(runtime.getDevice(), Stream.null)


class Event:
    def __init__(self, disable_timing=False):
        self.timed, self.at, self.done = not disable_timing, None, True

    def record(self, stream=None):
        self.at = time.perf_counter_ns()

    def synchronize(self):
        pass


def get_elapsed_time(a, b):
    if not (a.timed and b.timed):
        raise RuntimeError("cudaErrorInvalidResourceHandle: an event without a time")
    return (b.at - a.at) * 1e-6


def alloc_pinned_memory(size):
    return memory.pinned(size)
