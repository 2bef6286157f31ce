"""The backend: `tensorgrad.devices.Backend` on CUDA."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorgrad.devices import Backend, DeviceArray, KernelTime
from tensorgrad_cuda import exchange, fused, indexing, matmul, ordering, pointwise, reductions, sequences
from tensorgrad_cuda.discovery import cupy, find_devices, runtime
from tensorgrad_cuda.functions import FUNCTIONS
from tensorgrad_cuda.memory import Block
from tensorgrad_cuda.programs import Device
from tensorgrad_cuda.streams import Event, Stream


class CudaBackend(Backend):
    """Every CUDA device of the machine; see `tensorgrad.devices.Backend` for the methods."""

    contract_version = 1
    functions = FUNCTIONS

    def __init__(self) -> None:
        self._count, self._reason = find_devices()
        self._opened: dict[int, Device] = {}
        self._lock = threading.RLock()
        self._local = threading.local()
        self.overrides = fused.overrides(self._device)

    # ---- devices -----------------------------------------------------------------------------------
    def is_available(self) -> bool:
        return self._count > 0

    def unavailable_reason(self) -> str | None:
        return self._reason

    def device_count(self) -> int:
        return self._count

    def current_device(self) -> int:
        return getattr(self._local, "index", 0)

    def set_device(self, index: int) -> None:
        if not 0 <= index < self._count:
            raise RuntimeError(f"CUDA device {index} does not exist: there are {self._count}")
        self._local.index = index

    def device_name(self, index: int) -> str:
        name = runtime.getDeviceProperties(index)["name"]
        return name.decode() if isinstance(name, bytes) else str(name)

    def device_properties(self, index: int) -> dict[str, Any]:
        found = runtime.getDeviceProperties(index)
        return {
            "name": self.device_name(index),
            "total_memory": int(found["totalGlobalMem"]),
            "major": int(found["major"]),
            "minor": int(found["minor"]),
            "multi_processor_count": int(found["multiProcessorCount"]),
            "driver": int(runtime.driverGetVersion()),
            "runtime": int(runtime.runtimeGetVersion()),
        }

    def synchronize(self, index: int) -> None:
        with self._device(index) as device:
            runtime.deviceSynchronize()
            device.forget()
            device.check()

    def _device(self, index: int) -> Device:
        device = self._opened.get(index)
        if device is None:
            with self._lock:
                device = self._opened.get(index)
                if device is None:
                    device = Device(index, self._count == 1)
                    self._opened[index] = device
        return device

    # ---- memory ------------------------------------------------------------------------------------
    def allocate(self, nbytes: int, index: int) -> object:
        adopted = self._local.__dict__.pop("adopted", None)
        if adopted is not None:
            return adopted
        if nbytes == 0:
            return None
        with self._device(index) as device:
            block = Block(cupy.cuda.alloc(nbytes), nbytes)  # CuPy's OutOfMemoryError is a MemoryError
            with device.lock:
                device.live += nbytes
                device.peak = max(device.peak, device.live)
        return block

    def free(self, handle: Any, nbytes: int, index: int) -> None:
        if handle is None:
            return
        if not isinstance(handle, exchange.Foreign):
            device = self._opened[index]
            with device.lock:
                device.live -= handle.size
        handle.memory = None

    def copy(self, dst: DeviceArray, src: DeviceArray) -> None:
        with self._device(dst.device_index) as device:
            pointwise.copy(device, dst, src)

    def copy_from_host(self, dst: DeviceArray, src: memoryview) -> None:
        self._copy_from_host(dst, src, None)

    def _copy_from_host(self, dst: DeviceArray, src: memoryview, keep: object) -> None:
        with self._device(dst.device_index) as device:
            host = np.frombuffer(src, np.uint8)
            stream = cupy.cuda.get_current_stream()
            target, kind = dst.handle.ptr + dst.offset, runtime.memcpyHostToDevice
            # of pageable memory CUDA has a copy when this returns; pinned memory is read later
            device.timed(
                "copy_from_host", lambda: runtime.memcpyAsync(target, host.ctypes.data, host.nbytes, kind, stream.ptr)
            )
            if not exchange.is_pinned(host.ctypes.data):
                return
            if keep is None:
                stream.synchronize()
            else:
                device.keep(keep)

    def copy_from_host_later(self, dst: DeviceArray, src: memoryview, keep: object) -> None:
        self._copy_from_host(dst, src, keep)

    def pinned_memory(self, nbytes: int) -> Any:
        return exchange.pinned_memory(nbytes)

    def is_pinned(self, address: int) -> bool:
        return exchange.is_pinned(address)

    def copy_to_host(self, dst: memoryview, src: DeviceArray) -> None:
        with self._device(src.device_index) as device:
            host = np.frombuffer(dst, np.uint8)
            stream = cupy.cuda.get_current_stream()
            origin, kind = src.handle.ptr + src.offset, runtime.memcpyDeviceToHost
            device.timed(
                "copy_to_host", lambda: runtime.memcpyAsync(host.ctypes.data, origin, host.nbytes, kind, stream.ptr)
            )
            stream.synchronize()
            device.check()

    def fill(self, dst: DeviceArray, value: complex) -> None:
        with self._device(dst.device_index) as device:
            pointwise.fill(device, dst, value)

    def memory_stats(self, index: int) -> dict[str, int]:
        device = self._opened.get(index)
        if device is None:
            return {"live": 0, "peak": 0, "cached": 0}
        with device:
            cached = int(cupy.get_default_memory_pool().free_bytes())
        return {"live": device.live, "peak": device.peak, "cached": cached}

    def reset_peak(self, index: int) -> None:
        device = self._device(index)
        device.peak = device.live

    def empty_cache(self) -> None:
        for device in list(self._opened.values()):
            with device:
                cupy.get_default_memory_pool().free_all_blocks()

    # ---- kernels -----------------------------------------------------------------------------------
    def pointwise(
        self, name: str, expression: str, dtype: str, out: DeviceArray, operands: Sequence[DeviceArray | complex]
    ) -> None:
        with self._device(out.device_index) as device:
            pointwise.pointwise(device, name, expression, dtype, out, operands)

    def reduce(self, op: str, out: DeviceArray, x: DeviceArray) -> None:
        with self._device(out.device_index) as device:
            reductions.reduce(device, op, out, x)

    def argreduce(self, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
        with self._device(out.device_index) as device:
            reductions.argreduce(device, op, out, x, dim)

    def matmul(self, out: DeviceArray, a: DeviceArray, b: DeviceArray, beta: float) -> None:
        with self._device(out.device_index) as device:
            matmul.matmul(device, out, a, b, beta)

    def gather(self, out: DeviceArray, x: DeviceArray, dim: int, index: DeviceArray) -> int | None:
        with self._device(out.device_index) as device:
            indexing.gather(device, out, x, dim, index)
        return None

    def scatter(self, mode: str, out: DeviceArray, dim: int, index: DeviceArray, src: DeviceArray) -> int | None:
        with self._device(out.device_index) as device:
            indexing.scatter(device, mode, out, dim, index, src)
        return None

    def random(self, kind: str, out: DeviceArray, seed: int, offset: int, p0: float, p1: float) -> None:
        with self._device(out.device_index) as device:
            sequences.random(device, kind, out, seed, offset, p0, p1)

    def arange(self, out: DeviceArray, start: float, step: float) -> None:
        with self._device(out.device_index) as device:
            sequences.arange(device, out, start, step)

    def scan(self, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
        with self._device(out.device_index) as device:
            ordering.scan(device, op, out, x, dim)

    def sort(
        self,
        values: DeviceArray,
        indices: DeviceArray,
        x: DeviceArray,
        dim: int,
        descending: bool,
        stable: bool,
    ) -> None:
        with self._device(x.device_index) as device:
            ordering.sort(device, values, indices, x, dim, descending, stable)

    # ---- streams and events --------------------------------------------------------------------------
    def stream(self, index: int) -> Stream:
        with self._device(index):
            return Stream(index, cupy.cuda.Stream(non_blocking=True))

    def current_stream(self, index: int) -> Stream:
        """The one that CuPy uses, too: both may set it."""
        with self._device(index):
            found = cupy.cuda.get_current_stream()
        streams = self._local.__dict__.setdefault("streams", {})
        known: Stream | None = streams.get(index)
        if known is None or known.cuda_stream != found.ptr:
            known = streams[index] = Stream(index, found)
        return known

    def set_stream(self, stream: Stream) -> None:
        with self._device(stream.index):
            stream.cupy_stream.use()
        self._local.__dict__.setdefault("streams", {})[stream.index] = stream

    def event(self, enable_timing: bool = False) -> Event:
        return Event(enable_timing)

    # ---- profiling -----------------------------------------------------------------------------------
    def start_profiling(self) -> None:
        for index in range(self._count):
            self._device(index).records = []

    def stop_profiling(self) -> Sequence[KernelTime]:
        times: list[KernelTime] = []
        for device in list(self._opened.values()):
            with device:
                times += device.recorded()
        return times

    # ---- exchange ------------------------------------------------------------------------------------
    def to_dlpack(
        self, array: DeviceArray, keep: object, stream: int | None, max_version: tuple[int, int] | None
    ) -> object:
        with self._device(array.device_index):
            return exchange.to_dlpack(array, keep, stream, max_version)

    def from_dlpack(self, capsule: object) -> Any:
        return exchange.from_dlpack(self._local, capsule)
