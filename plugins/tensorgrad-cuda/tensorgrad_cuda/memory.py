"""Memory: handles over what CuPy's pool gives, which other users of CuPy in the process share."""

from __future__ import annotations

from typing import Any


class Block:
    """A handle: memory of one device.

    Attributes
    ----------
    memory : cupy.cuda.MemoryPointer or None
        It goes back to the pool, for the stream that was current when it was allocated, as soon as nobody refers to it.
    ptr : int
        Its address.
    size : int
    """

    __slots__ = ("memory", "ptr", "size")

    def __init__(self, memory: Any, size: int) -> None:
        self.memory, self.ptr, self.size = memory, int(memory.ptr), size

    def __repr__(self) -> str:
        return f"<CUDA memory of {self.size} bytes at {self.ptr:#x}>"
