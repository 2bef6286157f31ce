"""A device that exists in memory only, and whose memory no pointer of the CPU reaches.

Its handles are tokens without content; the bytes lie in NumPy buffers that the backend keeps to itself, and
every kernel is NumPy on strided views of them. It is strict: a token of another device, or one that was
freed, is an error.
"""

from __future__ import annotations

import contextlib
import threading

import numpy as np

from tensorgrad.devices import Backend
from tensorgrad.devices.reference import c_functions, philox
from tensorgrad.devices.reference.expression import evaluate

STORED_AS = {"bfloat16": np.dtype("uint16")}


class Token:
    """A handle; it holds nothing."""

    __slots__ = ()

    def __repr__(self):
        return f"<ghost memory {id(self):#x}>"


def compute_type(dtype):
    """The NumPy type that a dtype is computed in."""
    return np.dtype("float32" if dtype in ("float16", "bfloat16") else dtype)


class GhostBackend(Backend):
    """The backend; tests count and steer it through its attributes.

    Attributes
    ----------
    available : bool
    current : int
        The index that "ghost" stands for.
    allocations, frees : int
    out_of_memory : bool
        Whether `allocate` raises MemoryError.
    calls : list of str
        The names of the kernels that have run, those of elementwise operators among them.
    """

    contract_version = 1

    def __init__(self):
        self.available = True
        self.current = 0
        self.allocations = self.frees = 0
        self.out_of_memory = False
        self.calls = []
        self._buffers = {}  # token -> (buffer, index)
        self._lock = threading.RLock()

    # ---- devices -----------------------------------------------------------------------------------
    def is_available(self):
        return self.available

    def unavailable_reason(self):
        return None if self.available else "the ghost was told to hide"

    def device_count(self):
        return 2 if self.available else 0

    def current_device(self):
        return self.current

    def set_device(self, index):
        self.current = index

    def device_name(self, index):
        return f"Ghost {index}"

    # ---- memory ------------------------------------------------------------------------------------
    def allocate(self, nbytes, index):
        if self.out_of_memory:
            raise MemoryError(f"the ghost was told to refuse {nbytes} bytes")
        token = Token()
        with self._lock:
            # not zeros: what an operator forgets to write must not look right
            self._buffers[token] = (np.full(nbytes, 0xA5, np.uint8), index)
            self.allocations += 1
        return token

    def free(self, handle, nbytes, index):
        with self._lock:
            buffer, owner = self._buffers.pop(handle)
            self.frees += 1
        assert buffer.nbytes == nbytes and owner == index

    def memory_stats(self, index):
        return {"live": sum(buffer.nbytes for buffer, owner in self._buffers.values() if owner == index)}

    @property
    def live(self):
        """How many allocations there are."""
        return len(self._buffers)

    @contextlib.contextmanager
    def refusing_memory(self):
        """Inside the block every allocation fails."""
        self.out_of_memory = True
        try:
            yield
        finally:
            self.out_of_memory = False

    def _view(self, a):
        """The stored elements, writable, as a strided view."""
        buffer, owner = self._buffers[a.handle]
        assert owner == a.device_index, f"memory of ghost:{owner} was given for ghost:{a.device_index}"
        dtype = STORED_AS.get(a.dtype, np.dtype("uint16" if a.dtype == "bfloat16" else a.dtype))
        strides = [step * a.itemsize for step in a.strides]
        return np.ndarray(a.shape, dtype, buffer, a.offset, strides)

    def _load(self, a):
        """The values, of a type that computes: float32 for the 16-bit floats."""
        view = self._view(a)
        if a.dtype == "bfloat16":
            return c_functions.bfloat16_to_float(view)
        return view.astype(compute_type(a.dtype))

    def _store(self, a, values):
        """Convert values to the dtype of `a` and write them."""
        if a.dtype == "bfloat16":
            values = c_functions.float_to_bfloat16(c_functions.convert(values, np.float32))
        view = self._view(a)
        view[...] = c_functions.convert(values, view.dtype)

    def copy(self, dst, src):
        self.calls.append("copy")
        self._store(dst, self._load(src))

    def copy_from_host(self, dst, src):
        view = self._view(dst)
        assert view.flags.c_contiguous and view.nbytes == src.nbytes and src.readonly
        view.reshape(-1).view(np.uint8)[:] = np.frombuffer(src, np.uint8)

    def copy_to_host(self, dst, src):
        view = self._view(src)
        assert view.flags.c_contiguous and view.nbytes == dst.nbytes
        dst[:] = view.tobytes()

    def fill(self, dst, value):
        self.calls.append("fill")
        self._store(dst, np.asarray(value))

    # ---- kernels -----------------------------------------------------------------------------------
    def pointwise(self, name, expression, dtype, out, operands):
        self.calls.append(name)
        compute = compute_type(dtype)
        names = {}
        for letter, operand in zip("xyz", operands):
            is_number = isinstance(operand, (bool, int, float, complex))
            value = np.asarray(operand) if is_number else self._load(operand)
            names[letter] = c_functions.convert(value, compute)
        self._store(out, evaluate(expression, names, compute))

    def reduce(self, op, out, x):
        self.calls.append(op)
        values = self._load(x)
        axes = tuple(d for d, size in enumerate(out.shape) if size == 1)
        if x.dtype == "bool":
            op = {"sum": "any", "prod": "all", "max": "any", "min": "all"}.get(op, op)
        if op in ("max", "min") and values.dtype.kind == "c":
            raise NotImplementedError("complex numbers have no order")
        function = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}.get(op)
        if function is None:
            function = np.logical_or if op == "any" else np.logical_and
            values = values != 0
        elif op in ("sum", "prod") and values.dtype.kind in "fc":
            values = values.astype(np.float64 if values.dtype.kind == "f" else np.complex128)
        with np.errstate(all="ignore"):
            self._store(out, function.reduce(values, axis=axes, keepdims=True, dtype=values.dtype))

    def argreduce(self, op, out, x, dim):
        self.calls.append(op)
        self._store(out, getattr(np, op)(self._load(x), axis=dim, keepdims=True))

    def matmul(self, out, a, b, beta):
        self.calls.append("matmul")
        with np.errstate(all="ignore"):
            product = np.matmul(self._load(a), self._load(b))
            self._store(out, product + self._load(out) if beta else product)

    def gather(self, out, x, dim, index):
        self.calls.append("gather")
        places, values = self._view(index), self._load(x)
        bad = places[(places < 0) | (places >= x.shape[dim])]
        if bad.size:
            return int(bad[0])
        others = tuple(slice(None) if d == dim else slice(0, size) for d, size in enumerate(index.shape))
        self._store(out, np.take_along_axis(values[others], places, dim))
        return None

    def scatter(self, mode, out, dim, index, src):
        self.calls.append(f"scatter_{mode}")
        places = self._view(index)
        bad = places[(places < 0) | (places >= out.shape[dim])]
        if bad.size:
            return int(bad[0])
        target = list(np.indices(index.shape, sparse=True))
        target[dim] = places
        values, updates = self._load(out), self._load(src)[tuple(slice(0, size) for size in index.shape)]
        modes = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
        if mode == "set":
            values[tuple(target)] = updates
        else:
            modes[mode].at(values, tuple(target), updates)
        self._store(out, values)
        return None

    def random(self, kind, out, seed, offset, p0, p1):
        self.calls.append(kind)
        count = out.numel
        values = philox.draw(kind, out.dtype, count, seed, offset, p0, p1).reshape(out.shape)
        self._store(out, values)
        if kind == "uniform" and out.dtype in ("float16", "bfloat16"):  # narrowing may have reached the bound
            narrow = self._load(out)
            self._store(out, np.where(narrow >= np.float32(p1), np.float32(p0), narrow))

    def arange(self, out, start, step):
        self.calls.append("arange")
        self._store(out, float(start) + np.arange(out.numel) * float(step))

    # ---- optional kernels: tests switch them on under their real names ------------------------------
    def numpy_scan(self, op, out, x, dim):
        self.calls.append(f"scan_{op}")
        values = self._load(x)
        self._store(out, (np.cumsum if op == "sum" else np.cumprod)(values, axis=dim))

    def numpy_sort(self, values, indices, x, dim, descending, stable):
        self.calls.append("sort")
        data = self._load(x)
        if descending:  # stable in the other direction, too
            order = data.shape[dim] - 1 - np.argsort(np.flip(data, dim), axis=dim, kind="stable")
            order = np.flip(order, dim)
        else:
            order = np.argsort(data, axis=dim, kind="stable")
        self._store(indices, order)
        self._store(values, np.take_along_axis(data, order, dim))
