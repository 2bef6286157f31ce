"""A device with its kernels: made of source text when first needed, and kept; CuPy keeps binaries on disk."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np

from tensorgrad.devices import KernelTime
from tensorgrad_cuda import functions
from tensorgrad_cuda.discovery import cupy, runtime
from tensorgrad_cuda.layout import Arguments
from tensorgrad_cuda.memory import Block

THREADS = 256  # of a block; kernels/reduce.cuh relies on it
MOST_BLOCKS = 1 << 16  # beyond, a thread has several elements
OPTIONS = ("--std=c++17", "--fmad=false")  # separate roundings, as the CPU has them where it has no fma
END_OF_PRELUDE = "// ---- the kernel ----\n"


@functools.cache
def part(name: str) -> str:
    """The text of ``kernels/NAME.cuh``."""
    return resources.files("tensorgrad_cuda").joinpath("kernels", f"{name}.cuh").read_text(encoding="utf-8")


@functools.cache
def source(parts: tuple[str, ...], arguments: str, body: str) -> str:
    """A program with one kernel ``k``.

    Parameters
    ----------
    parts : tuple of str
        What it needs of ``kernels/``, beside base and math.
    arguments : str
        The definition of the structure ``Args`` that it takes.
    body : str
        Statements about ``a``, the arguments.
    """
    texts = [part("base"), functions.real_functions(), part("math"), functions.special_functions()]
    texts += [part(name) for name in parts]
    return (
        "\n".join(texts)
        + f'\n{END_OF_PRELUDE}{arguments}\nextern "C" __global__ void k(const Args a) {{\n    {body}\n}}\n'
    )


class Device:
    """A CUDA device: its kernels, the trouble that they report, and the times they take.

    In a ``with`` block it is the one that the runtime's calls are for.
    """

    def __init__(self, index: int, alone: bool) -> None:
        from cupy.cuda.function import CNumpyArray

        self.index, self.alone = index, alone
        self.by_value = CNumpyArray
        self.kernels: dict[Any, Any] = {}
        self.lock = threading.RLock()
        self.local = threading.local()
        self.live = self.peak = 0
        self.records: list[tuple[str, Any, Any, int, int]] | None = None
        self.may_be_in_trouble = False
        self._trouble: Any = None
        self._kept: list[tuple[Any, object]] = []

    def __enter__(self) -> Device:
        if not self.alone:
            stack = self.local.__dict__.setdefault("stack", [])
            stack.append(runtime.getDevice())
            runtime.setDevice(self.index)
        return self

    def __exit__(self, *error: object) -> None:
        if not self.alone:
            runtime.setDevice(self.local.stack.pop())

    # ---- kernels -------------------------------------------------------------------------------------
    def kernel(self, key: Any, make: Callable[[], str]) -> Any:
        """The kernel of a key, which says all that its source depends on; `make` gives the source."""
        kernel = self.kernels.get(key)
        if kernel is None:
            with self.lock:
                kernel = self.kernels.get(key)
                if kernel is None:
                    kernel = cupy.RawKernel(make(), "k", options=OPTIONS, backend="nvrtc")
                    self.kernels[key] = kernel
        return kernel

    def launch(self, name: str, kernel: Any, arguments: Arguments, *, items: int = 0, blocks: int = 0) -> None:
        """Put a kernel into the current stream: a thread an item, or whole blocks."""
        blocks = min(blocks or -(-items // THREADS), MOST_BLOCKS)
        structure = self.by_value(np.frombuffer(arguments.packed(), np.uint8))
        if self.records is None:
            kernel((blocks,), (THREADS,), (structure,))
        else:
            self.timed(name, lambda: kernel((blocks,), (THREADS,), (structure,)))

    # ---- profiling -----------------------------------------------------------------------------------
    def timed(self, name: str, call: Callable[[], Any]) -> Any:
        """Call something that puts work into the current stream, and remember how long that takes."""
        records = self.records
        if records is None:
            return call()
        before, after = cupy.cuda.Event(), cupy.cuda.Event()
        launched = time.perf_counter_ns()
        before.record()
        result = call()
        after.record()
        records.append((name, before, after, threading.get_ident(), launched))
        return result

    def recorded(self) -> list[KernelTime]:
        """What was remembered, once all of it is done."""
        records, self.records = self.records or [], None
        times = []
        for name, before, after, thread, launched in records:
            after.synchronize()
            duration = int(cupy.cuda.get_elapsed_time(before, after) * 1e6)
            times.append(KernelTime(name, self.index, thread, launched, max(duration, 1)))
        return times

    # ---- errors that are found late --------------------------------------------------------------------
    @property
    def trouble(self) -> int:
        """The address of two words: how many indices were out of range, and the first one."""
        if self._trouble is None:
            with self.lock:
                if self._trouble is None:
                    memory = cupy.cuda.alloc(16)
                    runtime.memset(memory.ptr, 0, 16)
                    self._trouble = memory
        self.may_be_in_trouble = True
        return int(self._trouble.ptr)

    def check(self) -> None:
        """Raise the error of a kernel that has run."""
        if not self.may_be_in_trouble:
            return
        self.may_be_in_trouble = False
        found = np.zeros(2, np.int64)
        stream = cupy.cuda.get_current_stream()
        runtime.memcpyAsync(found.ctypes.data, self._trouble.ptr, 16, runtime.memcpyDeviceToHost, stream.ptr)
        stream.synchronize()
        if found[0]:
            runtime.memsetAsync(self._trouble.ptr, 0, 16, stream.ptr)
            raise IndexError(
                f"index {int(found[1])} is out of bounds: an operator on cuda:{self.index} was given it some time "
                "before this was noticed, and left out what it names"
            )

    # ---- memory of the CPU that is being read ------------------------------------------------------------
    def keep(self, memory: object) -> None:
        """Refer to something until what is in the current stream is done."""
        mark = cupy.cuda.Event(disable_timing=True)
        mark.record()
        self.forget()
        with self.lock:
            self._kept.append((mark, memory))

    def forget(self) -> None:
        """Let go of what has been read."""
        with self.lock:
            self._kept = [(mark, memory) for mark, memory in self._kept if not mark.done]

    # ---- memory for the duration of a kernel -----------------------------------------------------------
    def scratch(self, nbytes: int) -> Block:
        """Memory that returns to the pool when the handle dies: streams run in order, and nobody has to wait."""
        return Block(cupy.cuda.alloc(max(nbytes, 1)), nbytes)
