"""Tensors on the CPU whose memory a device reads by itself, while the program goes on."""

from __future__ import annotations

from typing import Any

from tensorgrad._core.device import device as _device
from tensorgrad._core.device import find_backend, registered_backends
from tensorgrad.interop.numpy_bridge import frombuffer


def _backend(which: Any) -> Any:
    kind = "cuda" if which is None else _device(which).type
    backend = find_backend(kind)
    if not backend.is_available() or backend.pinned_memory is None:
        reason = backend.unavailable_reason() or f"the backend of '{kind}' has no pinned memory"
        raise RuntimeError(f"Cannot access accelerator device when none is available. (pin_memory: {reason})")
    return backend


def pin_memory(self: Any, device: Any = None) -> Any:
    """The tensor in pinned memory; itself if it is there already.

    Copies from there to the device with ``non_blocking=True`` return at once.

    Parameters
    ----------
    device : device, optional
        Whose memory it is to be; CUDA's by default.

    Raises
    ------
    RuntimeError
        For a tensor that is not on the CPU, and where there is no device.
    """
    if self.device.type != "cpu":
        raise RuntimeError(f"cannot pin a tensor on {self.device}: only dense CPU tensors can be pinned")
    backend = _backend(device)
    if not self.numel() or is_pinned(self, device):
        return self
    memory = backend.pinned_memory(self.numel() * self.itemsize)
    return frombuffer(memory, dtype=self.dtype, count=self.numel()).reshape(self.shape).copy_(self)


def is_pinned(self: Any, device: Any = None) -> bool:
    """Whether the tensor lies in pinned memory; false where there is none."""
    backend = registered_backends().get("cuda" if device is None else _device(device).type)
    if self.device.type != "cpu" or backend is None or backend.is_pinned is None or not backend.is_available():
        return False
    return bool(backend.is_pinned(self.data_ptr()))
