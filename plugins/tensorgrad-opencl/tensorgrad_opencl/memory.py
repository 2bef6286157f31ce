"""Memory: buffers of the driver, kept for the next allocation of their size."""

from __future__ import annotations

import threading
from typing import Any

from tensorgrad_opencl.discovery import cl

SMALLEST = 512


class Block:
    """A handle: memory of one device.

    Attributes
    ----------
    buffer : pyopencl.Buffer
    size : int
        Bytes, of which a tensor may use fewer.
    queue : pyopencl.CommandQueue
        The one that was current when it was allocated; it orders the block's next use after those before.
    """

    __slots__ = ("buffer", "queue", "size")

    def __init__(self, buffer: Any, size: int, queue: Any) -> None:
        self.buffer, self.size, self.queue = buffer, size, queue

    def __repr__(self) -> str:
        return f"<OpenCL memory of {self.size} bytes>"


def rounded(nbytes: int) -> int:
    """A size of which there are not too many: the next with three significant bits.

    Examples
    --------
    >>> [rounded(n) for n in (1, 512, 513, 5000, 1 << 20)]
    [512, 512, 640, 5120, 1048576]
    """
    if nbytes <= SMALLEST:
        return SMALLEST
    step = 1 << max((nbytes - 1).bit_length() - 3, 0)
    return -(-nbytes // step) * step


class Pool:
    """The memory of one device.

    A freed block goes back to the queue it was allocated in. Queues run in order, so that its next user runs after the
    last one, and nobody has to wait.
    """

    def __init__(self, context: Any, device: Any) -> None:
        self.context = context
        self.total = int(device.global_mem_size)
        self.largest = int(device.max_mem_alloc_size)
        self.free_blocks: dict[tuple[Any, int], list[Block]] = {}
        self.live = self.peak = self.cached = 0
        # re-entrant: the collector may free memory while it is held
        self.lock = threading.RLock()

    def allocate(self, nbytes: int, queue: Any) -> Block:
        """A block of at least `nbytes`; MemoryError where there is no room."""
        size = rounded(nbytes)
        with self.lock:
            blocks = self.free_blocks.get((queue, size))
            if blocks:
                block = blocks.pop()
                self.cached -= size
            else:
                block = Block(self._driver_buffer(size), size, queue)
            self.live += size
            self.peak = max(self.peak, self.live)
        return block

    def free(self, block: Block) -> None:
        with self.lock:
            self.live -= block.size
            self.cached += block.size
            self.free_blocks.setdefault((block.queue, block.size), []).append(block)

    def _driver_buffer(self, size: int) -> Any:
        if size > self.largest:
            raise MemoryError(f"{size} bytes, of which the device allocates {self.largest} at most at a time")
        # drivers promise more than there is, and fail when the memory is used
        if self.live + self.cached + size > self.total:
            self.empty()
        if self.live + size > self.total:
            raise MemoryError(f"{self.live} bytes of {self.total} are taken")
        try:
            return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, size)
        except (cl.MemoryError, cl.RuntimeError) as error:
            self.empty()
            try:
                return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, size)
            except (cl.MemoryError, cl.RuntimeError):
                raise MemoryError(f"the driver gives no more memory: {error}") from error

    def empty(self) -> None:
        """Give what is kept back to the driver; it waits itself for those that use it."""
        with self.lock:
            blocks, self.free_blocks = self.free_blocks, {}
            self.cached = 0
        del blocks
