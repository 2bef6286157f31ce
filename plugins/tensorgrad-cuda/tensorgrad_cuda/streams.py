"""Streams and events: CuPy's, with the methods of PyTorch's."""

from __future__ import annotations

from typing import Any

from tensorgrad_cuda.discovery import cupy


class Stream:
    """A queue of work, whose parts run in order, beside other queues.

    Attributes
    ----------
    index : int
        The device's.
    cupy_stream : cupy.cuda.Stream
    """

    def __init__(self, index: int, cupy_stream: Any) -> None:
        self.index, self.cupy_stream = index, cupy_stream

    @property
    def cuda_stream(self) -> int:
        """The stream as CUDA knows it, for other libraries."""
        return int(self.cupy_stream.ptr)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.index, self.cuda_stream) == (other.index, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.index, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<tensorgrad.cuda.Stream device=cuda:{self.index} cuda_stream={self.cuda_stream:#x}>"

    def synchronize(self) -> None:
        """Wait until all that is in the queue is done."""
        self.cupy_stream.synchronize()

    def query(self) -> bool:
        """Whether all that is in the queue is done."""
        return bool(self.cupy_stream.done)

    def wait_event(self, event: Event) -> None:
        """What is put into the queue from now on runs after an event."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """What is put into the queue from now on runs after what is in another one now."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """Mark the place in the queue."""
        event = Event() if event is None else event
        event.record(self)
        return event


class Event:
    """A mark in a stream that can be waited for.

    Parameters
    ----------
    enable_timing : bool
    """

    def __init__(self, enable_timing: bool = False) -> None:
        self.timed = enable_timing
        self.mark: Any = None

    def record(self, stream: Stream | None = None) -> None:
        """Put the mark at the end of a stream, the current one by default."""
        if stream is None:
            self.mark = cupy.cuda.Event(disable_timing=not self.timed)
            self.mark.record()
            return
        with cupy.cuda.Device(stream.index):
            self.mark = cupy.cuda.Event(disable_timing=not self.timed)
            self.mark.record(stream.cupy_stream)

    def wait(self, stream: Stream) -> None:
        """What is put into `stream` from now on runs after the mark."""
        if self.mark is not None:
            stream.cupy_stream.wait_event(self.mark)

    def query(self) -> bool:
        """Whether the mark was reached; one that was never recorded was."""
        return self.mark is None or bool(self.mark.done)

    def synchronize(self) -> None:
        """Wait until the mark is reached."""
        if self.mark is not None:
            self.mark.synchronize()

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds from this mark to another."""
        if not (self.timed and other.timed):
            raise RuntimeError("Both events must be created with argument 'enable_timing=True'.")
        if self.mark is None or other.mark is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        self.synchronize()
        other.synchronize()
        return float(cupy.cuda.get_elapsed_time(self.mark, other.mark))
