"""Programs: made of source text when first needed, kept in memory, and their binaries on disk."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorgrad.devices import KernelTime
from tensorgrad_opencl import library
from tensorgrad_opencl.binaries import BinaryCache
from tensorgrad_opencl.discovery import cl
from tensorgrad_opencl.memory import Block, Pool
from tensorgrad_opencl.streams import Stream

LOCAL = 64  # work items of a group, in kernels of one dimension
MOST_ITEMS = LOCAL * 4096  # beyond, each item has several elements
FLUSH_EVERY = 16


Parameter = tuple[str, "np.dtype | None"]
LONG = np.dtype(np.int64)


def text_of(parameters: Sequence[Parameter], body: str, attributes: str = "") -> tuple[str, list[np.dtype | None]]:
    """The source of a kernel ``k``, and the types of its arguments (None for memory)."""
    declared = ", ".join([declaration for declaration, _ in parameters])
    return f"__kernel {attributes}void k({declared}) {{\n{body}\n}}\n", [of for _, of in parameters]


def memory(name: str, c_type: str) -> list[Parameter]:
    """A parameter for memory, and one for the first element's place in it: an argument each."""
    return [(f"__global {c_type} *{name}", None), (f"long {name}_at", LONG)]


def longs(name: str, ndim: int) -> list[Parameter]:
    """As many parameters of type long: sizes or strides."""
    return [(f"long {name}{d}", LONG) for d in range(ndim)]


class OpenCLDevice:
    """A device with its context, memory, current streams and kernels."""

    def __init__(self, device: Any, index: int) -> None:
        self.cl_device, self.index = device, index
        self.context = cl.Context([device])
        self.pool = Pool(self.context, device)
        self.default_stream = Stream(self.context, device, index)
        self.current = threading.local()
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet([self.default_stream])
        self.doubles = "cl_khr_fp64" in device.extensions or bool(device.double_fp_config)
        self.atomics64 = "cl_khr_int64_base_atomics" in device.extensions
        self.options = []
        if device.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
            self.options.append("-cl-fp32-correctly-rounded-divide-sqrt")
        self.binaries = BinaryCache(device, self.options)
        self.unsaved: dict[int, tuple[Any, Any]] = {}
        self.kernels: dict[Any, Any] = {}
        # an index out of range that a kernel met, for the next who waits: [how many, the first one]
        self.trouble = cl.Buffer(
            self.context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=np.zeros(2, np.int64)
        )
        self.may_be_in_trouble = False
        self.lock = threading.RLock()
        self.launches = 0
        self.records: list[tuple[str, Any, int, int]] | None = None

    @property
    def stream(self) -> Stream:
        """The calling thread's stream."""
        return getattr(self.current, "stream", self.default_stream)

    @property
    def queue(self) -> Any:
        return self.stream.queue

    # ---- kernels -----------------------------------------------------------------------------------
    def kernel(self, key: Any, make: Callable[[], tuple[str, Sequence[np.dtype | None]]]) -> Any:
        """The kernel of that key.

        Parameters
        ----------
        key : hashable
            Whatever its source depends on.
        make : callable
            Gives the source of a program with one kernel, ``k``, and its arguments' types: None for memory.
        """
        kernel = self.kernels.get(key)
        if kernel is None:
            with self.lock:
                kernel = self.kernels.get(key)
                if kernel is None:
                    text, types = make()
                    program = self.program(library.source(text, self.doubles))
                    kernel = cl.Kernel(program, "k")
                    kernel.set_scalar_arg_dtypes(list(types))
                    self.kernels[key] = kernel
        return kernel

    def program(self, text: str) -> Any:
        """A program that is built: from the binary on disk, or from its text."""
        place = self.binaries.place(text)
        binary = self.binaries.load(place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            if binary is not None:
                try:
                    return cl.Program(self.context, [self.cl_device], [binary]).build()
                except cl.Error:  # the driver knows its own binaries; this one it does not like any more
                    self.binaries.forget(place)
            program = cl.Program(self.context, text).build(options=self.options, cache_dir=False)
        if place is not None:
            self.unsaved[program.int_ptr] = (place, program)
        return program

    def save(self, kernel: Any, queue: Any) -> None:
        """Put the binary of a kernel's program on disk, once it has run: some drivers compile no earlier."""
        place, program = self.unsaved.pop(kernel.program.int_ptr, (None, None))
        if program is not None:
            queue.finish()
            self.binaries.save(place, program.get_info(cl.program_info.BINARIES)[0])

    def launch(
        self, name: str, kernel: Any, items: int | tuple[int, ...], arguments: Sequence[Any], local: Any = (LOCAL,)
    ) -> None:
        """Put a kernel into the current queue; `items` of one dimension are rounded up to whole groups."""
        if isinstance(items, int):
            items = (min(-(-items // LOCAL) * LOCAL, MOST_ITEMS),)
        stream = self.stream
        queue = stream.queue
        with self.lock:  # arguments belong to the kernel, not to the call
            kernel.set_args(*[x.buffer if isinstance(x, Block) else x for x in arguments])
            event = stream.last = cl.enqueue_nd_range_kernel(queue, kernel, items, local)
            self.note(name, event)
            self.launches += 1
            if self.unsaved:
                self.save(kernel, queue)
            flush = self.launches % FLUSH_EVERY == 0
        if flush:
            queue.flush()

    def note(self, name: str, event: Any) -> None:
        """Remember an event, if somebody is profiling."""
        if self.records is not None:
            self.records.append((name, event, threading.get_ident(), time.perf_counter_ns()))

    def recorded(self) -> list[KernelTime]:
        """What was remembered, once all of it is done."""
        records, self.records = self.records or [], None
        self.finish()
        return [
            KernelTime(name, self.index, thread, launched, event.profile.end - event.profile.start)
            for name, event, thread, launched in records
        ]

    def finish(self) -> None:
        for stream in list(self.streams):
            stream.queue.finish()

    def check(self) -> None:
        """Raise the error of a kernel that has run."""
        if not self.may_be_in_trouble:
            return
        self.may_be_in_trouble = False
        found = np.zeros(2, np.int64)
        cl.enqueue_copy(self.queue, found, self.trouble)
        if found[0]:
            cl.enqueue_copy(self.queue, self.trouble, np.zeros(2, np.int64))
            raise IndexError(
                f"index {int(found[1])} is out of bounds: an operator on opencl:{self.index} was given it some time "
                "before this was noticed, and left out what it names"
            )

    # ---- memory for the duration of a kernel ---------------------------------------------------------
    def scratch(self, nbytes: int) -> Block:
        """Memory that is given back by `release` as soon as what uses it is in the queue."""
        return self.pool.allocate(max(nbytes, 1), self.queue)

    def release(self, *blocks: Block) -> None:
        for block in blocks:
            self.pool.free(block)
