"""The backend: `tensorgrad.devices.Backend` on OpenCL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad.devices import Backend, DeviceArray, KernelTime
from tensorgrad_opencl import indexing, library, matmul, ordering, pointwise, reductions, sequences
from tensorgrad_opencl.discovery import cl, find_devices
from tensorgrad_opencl.dtypes import DOUBLES, computed
from tensorgrad_opencl.programs import OpenCLDevice
from tensorgrad_opencl.streams import Event, Stream


class OpenCLBackend(Backend):
    """Every OpenCL device of the machine, GPUs first; see `tensorgrad.devices.Backend` for the methods."""

    contract_version = 1
    functions = library.FUNCTIONS

    def __init__(self) -> None:
        self._devices, self._reason = find_devices()
        self._opened: dict[int, OpenCLDevice] = {}
        self._lock = threading.RLock()
        self._current = threading.local()

    # ---- devices -----------------------------------------------------------------------------------
    def is_available(self) -> bool:
        return bool(self._devices)

    def unavailable_reason(self) -> str | None:
        return self._reason

    def device_count(self) -> int:
        return len(self._devices)

    def current_device(self) -> int:
        return getattr(self._current, "index", 0)

    def set_device(self, index: int) -> None:
        if not 0 <= index < len(self._devices):
            raise RuntimeError(f"OpenCL device {index} does not exist: there are {len(self._devices)}")
        self._current.index = index

    def device_name(self, index: int) -> str:
        return str(self._devices[index].name).strip()

    def device_properties(self, index: int) -> dict[str, Any]:
        device = self._devices[index]
        return {
            "total_memory": int(device.global_mem_size),
            "platform": device.platform.name,
            "vendor": device.vendor,
            "driver": device.driver_version,
            "version": device.version,
            "compute_units": int(device.max_compute_units),
            "local_memory": int(device.local_mem_size),
        }

    def supports(self, dtype: str, index: int) -> bool:
        return dtype not in DOUBLES or self._device(index).doubles

    def synchronize(self, index: int) -> None:
        device = self._device(index)
        device.finish()
        device.check()

    def _device(self, index: int) -> OpenCLDevice:
        device = self._opened.get(index)
        if device is None:
            with self._lock:
                device = self._opened.get(index)
                if device is None:
                    device = OpenCLDevice(self._devices[index], index)
                    self._opened[index] = device
        return device

    def _of(self, *arrays: Any) -> OpenCLDevice:
        """The device of the arrays, once it is known to compute their dtypes."""
        device = self._device(arrays[0].device_index)
        if not device.doubles and any(isinstance(x, DeviceArray) and x.dtype in DOUBLES for x in arrays):
            raise NotImplementedError(f"{self.device_name(device.index)} has no numbers of double precision")
        return device

    # ---- memory ------------------------------------------------------------------------------------
    def allocate(self, nbytes: int, index: int) -> object:
        if nbytes == 0:
            return None
        device = self._device(index)
        return device.pool.allocate(nbytes, device.queue)

    def free(self, handle: Any, nbytes: int, index: int) -> None:
        if handle is not None:
            self._opened[index].pool.free(handle)

    def copy(self, dst: DeviceArray, src: DeviceArray) -> None:
        pointwise.copy(self._of(dst, src), dst, src)

    def copy_from_host(self, dst: DeviceArray, src: memoryview) -> None:
        device = self._device(dst.device_index)
        host = np.frombuffer(src, np.uint8)
        event = cl.enqueue_copy(device.queue, dst.handle.buffer, host, dst_offset=dst.offset, is_blocking=True)
        device.note("copy_from_host", event)

    def copy_to_host(self, dst: memoryview, src: DeviceArray) -> None:
        device = self._device(src.device_index)
        host = np.frombuffer(dst, np.uint8)
        event = cl.enqueue_copy(device.queue, host, src.handle.buffer, src_offset=src.offset, is_blocking=True)
        device.note("copy_to_host", event)
        device.check()

    def fill(self, dst: DeviceArray, value: complex) -> None:
        pointwise.fill(self._of(dst), dst, value)

    def memory_stats(self, index: int) -> dict[str, int]:
        device = self._opened.get(index)
        if device is None:
            return {"live": 0, "peak": 0, "cached": 0}
        pool = device.pool
        return {"live": pool.live, "peak": pool.peak, "cached": pool.cached}

    def reset_peak(self, index: int) -> None:
        pool = self._device(index).pool
        pool.peak = pool.live

    def empty_cache(self) -> None:
        for device in self._opened.values():
            device.pool.empty()

    # ---- kernels -----------------------------------------------------------------------------------
    def pointwise(
        self, name: str, expression: str, dtype: str, out: DeviceArray, operands: Sequence[DeviceArray | complex]
    ) -> None:
        device = self._of(out, *operands)
        if dtype in DOUBLES and not device.doubles:
            raise NotImplementedError(f"{self.device_name(device.index)} has no numbers of double precision")
        pointwise.pointwise(device, name, expression, dtype, out, operands)

    def reduce(self, op: str, out: DeviceArray, x: DeviceArray) -> None:
        reductions.reduce(self._of(out, x), op, out, x)

    def argreduce(self, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
        reductions.argreduce(self._of(out, x), op, out, x, dim)

    def matmul(self, out: DeviceArray, a: DeviceArray, b: DeviceArray, beta: float) -> None:
        matmul.matmul(self._of(out), out, a, b, beta)

    def gather(self, out: DeviceArray, x: DeviceArray, dim: int, index: DeviceArray) -> int | None:
        indexing.gather(self._device(out.device_index), out, x, dim, index)
        return None

    def scatter(self, mode: str, out: DeviceArray, dim: int, index: DeviceArray, src: DeviceArray) -> int | None:
        indexing.scatter(self._of(out), mode, out, dim, index, src)
        return None

    def random(self, kind: str, out: DeviceArray, seed: int, offset: int, p0: float, p1: float) -> None:
        sequences.random(self._of(out), kind, out, seed, offset, p0, p1)

    def arange(self, out: DeviceArray, start: float, step: float) -> None:
        sequences.arange(self._of(out), out, start, step)

    def scan(self, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
        ordering.scan(self._of(out), op, out, x, dim)

    def sort(
        self,
        values: DeviceArray,
        indices: DeviceArray,
        x: DeviceArray,
        dim: int,
        descending: bool,
        stable: bool,
    ) -> None:
        if computed(x.dtype).is_complex:
            raise NotImplementedError("complex numbers have no order")
        ordering.sort(self._of(x), values, indices, x, dim, descending, stable)

    # ---- streams and events --------------------------------------------------------------------------
    def stream(self, index: int) -> Stream:
        device = self._device(index)
        new = Stream(device.context, device.cl_device, index)
        device.streams.add(new)
        return new

    def current_stream(self, index: int) -> Stream:
        return self._device(index).stream

    def set_stream(self, stream: Stream) -> None:
        self._device(stream.index).current.stream = stream

    def event(self, enable_timing: bool = False) -> Event:
        return Event(enable_timing)

    # ---- profiling -----------------------------------------------------------------------------------
    def start_profiling(self) -> None:
        for index in range(len(self._devices)):
            self._device(index).records = []

    def stop_profiling(self) -> Sequence[KernelTime]:
        return [time for device in self._opened.values() for time in device.recorded()]
