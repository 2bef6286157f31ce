"""Streams are command queues that run in order; events are marks in them."""

from __future__ import annotations

from typing import Any

from tensorgrad_opencl.discovery import cl


class Stream:
    """A queue of work, whose parts run in order, beside other queues.

    Attributes
    ----------
    index : int
        The device's.
    queue : pyopencl.CommandQueue
    last : pyopencl.Event or None
        The end of what was put into the queue last.
    """

    def __init__(self, context: Any, device: Any, index: int) -> None:
        self.index = index
        self.queue = cl.CommandQueue(context, device, cl.command_queue_properties.PROFILING_ENABLE)
        self.last: Any = None

    def synchronize(self) -> None:
        """Wait until all that is in the queue is done."""
        self.queue.finish()

    def query(self) -> bool:
        """Whether all that is in the queue is done."""
        self.queue.flush()
        return self.last is None or self.last.command_execution_status == cl.command_execution_status.COMPLETE

    def wait_event(self, event: Event) -> None:
        """What is put into the queue from now on runs after an event."""
        event.wait(self)

    def record_event(self, event: Event | None = None) -> Event:
        """Mark the place in the queue."""
        event = Event(True) if event is None else event
        event.record(self)
        return event


class Event:
    """A mark in a stream that can be waited for."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.timed = enable_timing
        self.mark: Any = None

    def record(self, stream: Stream) -> None:
        """Put the mark at the end of a stream."""
        self.mark = stream.last = cl.enqueue_marker(stream.queue)
        stream.queue.flush()

    def wait(self, stream: Stream) -> None:
        """What is put into `stream` from now on runs after the mark."""
        if self.mark is not None:
            stream.last = cl.enqueue_barrier(stream.queue, wait_for=[self.mark])

    def query(self) -> bool:
        """Whether the mark was reached; one that was never recorded was."""
        return self.mark is None or self.mark.command_execution_status == cl.command_execution_status.COMPLETE

    def synchronize(self) -> None:
        """Wait until the mark is reached."""
        if self.mark is not None:
            self.mark.wait()

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds from this mark to another."""
        if not (self.timed and other.timed):
            raise RuntimeError("Both events must be created with argument 'enable_timing=True'.")
        if self.mark is None or other.mark is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        self.synchronize()
        other.synchronize()
        return (other.mark.profile.end - self.mark.profile.end) * 1e-6
