"""CUDA devices, when a plugin offers them: PyTorch's ``torch.cuda`` in small.

The functions ask the backend of the device type ``"cuda"``. `is_available` and `device_count` answer on
every machine; the others raise a RuntimeError that says what is missing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tensorgrad._core.device import device as _device
from tensorgrad._core.device import find_backend, registered_backends
from tensorgrad.devices import Backend
from tensorgrad.random import manual_seed as _manual_seed

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """Whether tensors can be made on a CUDA device; never raises.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.ones(2, device="cuda" if tensorgrad.cuda.is_available() else "cpu")
    """
    return device_count() > 0


def device_count() -> int:
    """The number of CUDA devices: 0 where there is no plugin, no driver or no device; never raises."""
    try:
        backend = find_backend("cuda")
        return backend.device_count() if backend.is_available() else 0
    except Exception:  # whatever is wrong with the plugin: using the device says it
        return 0


def is_initialized() -> bool:
    """Whether the plugin for CUDA devices is loaded."""
    return "cuda" in registered_backends()


def _backend() -> Backend:
    backend: Backend = find_backend("cuda")
    if not backend.is_available():
        reason = backend.unavailable_reason() or "no driver was found"
        raise RuntimeError(f"no CUDA device is available: {reason}")
    return backend


def _optional(name: str) -> Any:
    function = getattr(_backend(), name, None)
    if function is None:
        raise RuntimeError(f"the plugin for CUDA devices has no '{name}'")
    return function


def _index(which: Any) -> int:
    """The index of a device given as PyTorch takes it: None, an int, a str or a device."""
    if which is None:
        return current_device()
    index = which if isinstance(which, int) else _device(which).index
    if not isinstance(which, int) and _device(which).type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {which}")
    if index is None:
        return current_device()
    if not 0 <= index < _backend().device_count():
        raise RuntimeError(f"CUDA device {index} does not exist: there are {_backend().device_count()}")
    return index


def current_device() -> int:
    """The index of the device that ``device="cuda"`` stands for."""
    return _backend().current_device()


def set_device(device: Any) -> None:
    """Make a device the one that ``device="cuda"`` stands for."""
    _backend().set_device(_index(device))


class device:
    """Make a device the current one inside a ``with`` block.

    Parameters
    ----------
    device : device, str or int
    """

    def __init__(self, device: Any) -> None:
        self.index = _index(device)
        self._before: int | None = None

    def __enter__(self) -> device:
        self._before = current_device()
        set_device(self.index)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        set_device(self._before)


def get_device_name(device: Any = None) -> str:
    """What the maker calls a device."""
    return _backend().device_name(_index(device))


def synchronize(device: Any = None) -> None:
    """Wait until all that was asked of a device is done."""
    _backend().synchronize(_index(device))


def memory_allocated(device: Any = None) -> int:
    """The bytes that tensors on a device take."""
    return _backend().memory_stats(_index(device)).get("live", 0)


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors on a device have taken."""
    return _backend().memory_stats(_index(device)).get("peak", 0)


def memory_reserved(device: Any = None) -> int:
    """The bytes that tensors take on a device, and those kept for later ones."""
    stats = _backend().memory_stats(_index(device))
    return stats.get("live", 0) + stats.get("cached", 0)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let `max_memory_allocated` start again."""
    _backend().reset_peak(_index(device))


def empty_cache() -> None:
    """Give memory that is kept for later tensors back to the driver; does nothing where there is none."""
    if is_initialized():
        find_backend("cuda").empty_cache()


def manual_seed(seed: int) -> None:
    """Seed the generator: there is one for all devices, which draw the same numbers (`tensorgrad.manual_seed`)."""
    _manual_seed(seed)


manual_seed_all = manual_seed


def Stream(device: Any = None) -> Any:
    """Make a new stream: a queue of work whose parts run in order, beside other queues."""
    return _optional("stream")(_index(device))


def Event(enable_timing: bool = False) -> Any:
    """Make a new event: a mark in a stream that can be waited for."""
    return _optional("event")(enable_timing)


def current_stream(device: Any = None) -> Any:
    """The stream that work on a device goes to."""
    return _optional("current_stream")(_index(device))


class stream:
    """Send work to a stream inside a ``with`` block; ``None`` changes nothing.

    Parameters
    ----------
    stream : Stream or None
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._before: Any = None

    def __enter__(self) -> stream:
        if self.stream is not None:
            self._before = current_stream()
            _optional("set_stream")(self.stream)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.stream is not None:
            _optional("set_stream")(self._before)
