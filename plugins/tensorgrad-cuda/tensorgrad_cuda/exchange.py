"""Memory that is shared: with other libraries on the device, by DLPack, and with the device on the CPU, by pinning."""

from __future__ import annotations

from typing import Any

import numpy as np

import tensorgrad
from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.discovery import cupy, runtime
from tensorgrad_cuda.memory import Block


class Foreign(Block):
    """Memory of another library, which is released when the tensor is."""

    __slots__ = ()


# ---- DLPack -------------------------------------------------------------------------------------------
def to_dlpack(array: DeviceArray, keep: object, stream: int | None, max_version: tuple[int, int] | None) -> object:
    """A capsule of an array's memory; see `tensorgrad.devices.Backend.to_dlpack`."""
    if array.dtype == "bfloat16":
        raise BufferError("CuPy does not export bfloat16 to DLPack: exchange tensor.view(tensorgrad.int16) instead")
    size = 0 if array.handle is None else array.handle.size
    address = 0 if array.handle is None else array.handle.ptr
    memory = cupy.cuda.UnownedMemory(address, size, keep, array.device_index)
    pointer = cupy.cuda.MemoryPointer(memory, array.offset)
    strides = tuple([step * array.itemsize for step in array.strides])
    shared = cupy.ndarray(array.shape, array.dtype, memptr=pointer, strides=strides)
    if max_version is None:
        return shared.__dlpack__(stream=stream)
    return shared.__dlpack__(stream=stream, max_version=max_version)


class _Producer:
    """An object that has one capsule to give."""

    def __init__(self, capsule: object) -> None:
        self.capsule = capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, runtime.getDevice()

    def __dlpack__(self, **wishes: object) -> object:
        return self.capsule


def from_dlpack(local: Any, capsule: object) -> Any:
    """A tensor of the memory of a capsule, without a copy; the tensor keeps it alive."""
    shared = cupy.from_dlpack(_Producer(capsule))
    itemsize = shared.itemsize
    strides = [step // itemsize for step in shared.strides]
    if any(step < 0 for step in strides):
        raise BufferError("tensors have no negative strides")
    span = 1 + sum([(size - 1) * step for size, step in zip(shared.shape, strides)]) if shared.size else 0
    dtype = getattr(tensorgrad, str(shared.dtype))
    place = f"cuda:{shared.device.id}"
    if span:
        local.adopted = Foreign(shared.data, span * itemsize)
    whole = tensorgrad.empty(span, dtype=dtype, device=place)
    return whole.as_strided(tuple(shared.shape), tuple(strides))


# ---- pinned memory --------------------------------------------------------------------------------------
def pinned_memory(nbytes: int) -> Any:
    """Bytes on the CPU that the device reads by itself, from CuPy's pool of such."""
    return np.frombuffer(cupy.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)


def is_pinned(address: int) -> bool:
    """Whether the driver knows memory of the CPU, and copies it while the program goes on."""
    return bool(runtime.pointerGetAttributes(address).type == 1)
