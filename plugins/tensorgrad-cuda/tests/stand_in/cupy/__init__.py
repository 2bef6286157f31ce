"""NumPy in CuPy's place: that part of CuPy's interface that tensorgrad_cuda uses, for machines without a GPU.

Device memory is the CPU's, behind addresses; kernels are compiled for the CPU (`host_build`); what is put into a stream
is done at once. Put the directory that this package lies in on ``PYTHONPATH``.
"""

from __future__ import annotations

import numpy
from host_build import HostKernel

from cupy import cuda
from cupy.cuda.memory import MemoryPointer, UnownedMemory

__version__ = "0 (the stand-in of tensorgrad-cuda's tests)"


class ndarray:
    """An array over device memory; `host` has its elements."""

    def __init__(self, shape, dtype="float32", memptr=None, strides=None):
        dtype = numpy.dtype(dtype)
        count = int(numpy.prod(shape, dtype=numpy.int64))
        if memptr is None:
            memptr = cuda.alloc(count * dtype.itemsize)
        self.data = memptr
        steps = strides if strides is not None else numpy.empty(shape, numpy.void).strides
        if strides is None:
            steps, step = [], dtype.itemsize
            for size in reversed(tuple(shape)):
                steps.append(step)
                step *= size
            steps = tuple(reversed(steps))
        span = sum([(n - 1) * s for n, s in zip(shape, steps)]) + dtype.itemsize if count else 0
        memory = cuda.memory.bytes_at(memptr.ptr, span)
        self.host = numpy.ndarray(tuple(shape), dtype, memory, 0, steps)
        self.shape, self.dtype, self.strides = self.host.shape, dtype, self.host.strides
        self.itemsize, self.size, self.nbytes = dtype.itemsize, self.host.size, self.host.nbytes
        self.device = cuda.Device(memptr.device_id)

    def __getitem__(self, key):
        return _array(self.host[key])

    def __rsub__(self, number):
        return _array(number - self.host)

    def __dlpack_device__(self):
        return 2, self.device.id

    def __dlpack__(self, stream=None, max_version=None):
        from cupy.capsules import export

        return export(self)


def _array(values):
    result = ndarray(values.shape, values.dtype)
    result.host[...] = values
    return result


def empty(shape, dtype):
    return ndarray(shape, dtype)


def ascontiguousarray(a):
    return a if a.host.flags.c_contiguous else _array(a.host)


def argsort(a, axis=-1, kind=None):
    assert kind == "stable"
    return _array(numpy.argsort(a.host, axis=axis, kind="stable"))


def from_dlpack(producer):
    from cupy.capsules import load

    return load(producer.__dlpack__())


class RawKernel:
    """A kernel, compiled when it is first called."""

    def __init__(self, code, name, options=(), backend="nvrtc"):
        assert name == "k" and backend == "nvrtc"
        self.code, self.kernel, self.calls = code, None, 0

    def __call__(self, grid, block, args, *, shared_mem=0):
        if self.kernel is None:
            self.kernel = HostKernel(self.code)
        (structure,) = args
        # odd calls go through the threads backwards, so that what depends on their order shows
        self.calls += 1
        self.kernel.run(grid[0], block[0], structure.values.tobytes(), self.calls % 2 == 0)


def get_default_memory_pool():
    return cuda.memory.POOL
