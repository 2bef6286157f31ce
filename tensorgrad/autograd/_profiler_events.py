"""From what the core wrote down to events: names, nesting, kernels, and which node belongs to which operator."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from tensorgrad.autograd.profiler_util import EventList, FunctionEvent, Kernel

KINDS = ("operator", "evaluate", "node", "accumulate", "function", "user", "kernel", "runtime")
ACCUMULATE = "tensorgrad::autograd::AccumulateGrad"
# What a call is in the words of a driver; the device's own row has the kernel's name.
RUNTIME_CALLS = {"copy": "Memcpy", "copy_from_host": "MemcpyHtoD", "copy_to_host": "MemcpyDtoH", "fill": "Memset"}


class ThreadInfo(NamedTuple):
    """A thread that took part: its number in the events, the system's number, and its name."""

    number: int
    native_id: int
    name: str


class MemoryRecord(NamedTuple):
    """Memory that was allocated, or freed (then `nbytes` is negative), and how much was in use after it."""

    time_ns: int
    nbytes: int
    total: int
    device: str


class Trace(NamedTuple):
    """A profile that has been read: all of it, in order."""

    events: EventList
    threads: list[ThreadInfo]
    memory: list[MemoryRecord]
    duration_ns: int
    epoch_ns: int
    dropped: int


def _name(name: str, kind: str) -> str:
    if kind == "operator":
        return f"tensorgrad::{name}"
    if kind == "accumulate":
        return ACCUMULATE
    if kind == "evaluate":
        return f"autograd::engine::evaluate_function: {ACCUMULATE if name == 'AccumulateGrad' else name}"
    return name


def _format_stack(frames: tuple[tuple[str, int, str], ...]) -> list[str]:
    return [f"{file}({line}): {function}" for file, line, function in frames]


class _Reader:
    """Reads one profile."""

    def __init__(self, start_ns: int, use_device: str | None, profile_memory: bool) -> None:
        self.start_ns = start_ns
        self.use_device = use_device
        self.events = EventList([], use_device, profile_memory)
        self.threads: list[ThreadInfo] = []
        self.records: list[tuple[int, int, int, str | None]] = []
        self.synchronized: set[int] = set()

    def read_thread(self, native_id: int, name: str | None, events: list[Any], records: list[Any]) -> None:
        thread = ThreadInfo(len(self.threads) + 1, native_id, name or f"thread {native_id}")
        self.threads.append(thread)
        made: list[FunctionEvent] = []
        kernels: list[FunctionEvent] = []
        for name_, number, start, end, parent, sequence, cpu_bytes, device_bytes, details in events:
            kind = KINDS[number]
            event = FunctionEvent(
                len(self.events) + len(made),
                _name(name_, kind),
                kind,
                thread.number,
                start - self.start_ns,
                end - self.start_ns,
                sequence,
                self.use_device,
            )
            event.cpu_memory_usage, event.device_memory_usage = cpu_bytes, device_bytes
            if parent >= 0:
                event.cpu_parent = made[parent]
                made[parent].cpu_children.append(event)
            made.append(event)
            if kind == "kernel":
                kernel = self.read_kernel(event, name_, *details)
                if kernel is not None:
                    kernels.append(kernel)
            elif details is not None:
                shapes, stack, *args = details
                if shapes is not None:
                    event.input_shapes = [
                        [list(size) for size in shape] if isinstance(shape, list) else list(shape) for shape in shapes
                    ]
                if stack is not None:
                    event.stack = _format_stack(stack)
                event.args = args[0] if args else None
        for event in reversed(made):  # children come after their parents
            event._device_ns += event._self_device_ns
            if event.cpu_parent is not None:
                event.cpu_parent._device_ns += event._device_ns
        self.events += made
        for record in records:
            self.records.append(record[:4])
            if record[4] < 0:
                self.read_free_memory(thread.number, *record[:4])
        for kernel in kernels:
            kernel.id = len(self.events)
            self.events.append(kernel)

    def read_kernel(
        self, event: FunctionEvent, name: str, method: str, device: str, start: Any, end: Any
    ) -> FunctionEvent | None:
        """Name the call of a kernel; on the device that the profile looks at, make the kernel's own event."""
        kind = device.partition(":")[0]
        label = f"{kind}::{name if method == 'pointwise' else method}"
        if kind != self.use_device:
            event.name = event.key = label
            return None
        event.name = event.key = f"{kind}{RUNTIME_CALLS.get(method, 'LaunchKernel')}"
        begin_ns, duration = round(event.time_range.start * 1000), event._ns
        if start is not None:
            stop, backend, index = end
            try:
                if index not in self.synchronized:
                    backend.synchronize(index)
                    self.synchronized.add(index)
                duration = max(0, round(start.elapsed_time(stop) * 1e6))
            except Exception as error:  # whatever a plugin raises: the profile is worth more than this time
                warnings.warn(f"the events of {device} give no time, that of the call stands in: {error}", stacklevel=2)
        kernel = FunctionEvent(
            -1, label, "kernel", event.thread, begin_ns, begin_ns + duration, use_device=self.use_device
        )
        kernel.device_type, kernel.device_index = kind, int(device.partition(":")[2] or 0)
        kernel._device_ns = kernel._self_device_ns = duration
        launcher = event.cpu_parent or event
        launcher.kernels.append(Kernel(label, device, duration / 1000))
        launcher._self_device_ns += duration
        return kernel

    def read_free_memory(self, thread: int, time: int, nbytes: int, total: int, device: str | None) -> None:
        """Memory outside of any event is an event of no length."""
        at = time - self.start_ns
        event = FunctionEvent(
            len(self.events), "[memory]", "memory", thread, at, at, use_device=self.use_device
        )
        if device is None:
            event.cpu_memory_usage = nbytes
        else:
            event.device_memory_usage = nbytes
        self.events.append(event)

    def connect(self) -> None:
        """Give every node the thread and the stack of the operator that recorded it."""
        forward = forward_of(self.events)
        for event in self.events:
            if event.kind != "node" or event.sequence_nr not in forward:
                continue
            source = forward[event.sequence_nr]
            event.fwd_thread = source.thread
            if source.stack:
                below = [event]
                while below:
                    event = below.pop()
                    event.stack = source.stack
                    below += event.cpu_children

    def memory(self) -> list[MemoryRecord]:
        in_use: dict[str, int] = {}
        found = []
        for time, nbytes, total, device in sorted(self.records, key=lambda record: record[0]):
            if device is not None:
                in_use[device] = total = in_use.get(device, 0) + nbytes
            found.append(MemoryRecord(time - self.start_ns, nbytes, total, device or "cpu"))
        return found


def read_trace(raw: tuple[Any, ...], use_device: str | None, profile_memory: bool) -> Trace:
    """Make a `Trace` of what `_core.profiler.stop` returned."""
    start_ns, end_ns, epoch_ns, threads = raw
    reader = _Reader(start_ns, use_device, profile_memory)
    dropped = 0
    # in the order in which they began; the core lists the youngest thread first
    for native_id, name, events, records, lost in reversed(threads):
        reader.read_thread(native_id, name, events, records)
        dropped += lost
    reader.connect()
    return Trace(reader.events, reader.threads, reader.memory(), end_ns - start_ns, epoch_ns, dropped)


def forward_of(events: EventList) -> dict[int, FunctionEvent]:
    """The operator that recorded each node, by sequence number; of a composite and its parts the last part."""
    return {
        event.sequence_nr: event
        for event in events
        if event.kind in ("operator", "function") and event.sequence_nr >= 0
    }
