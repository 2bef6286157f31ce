"""The contract between tensorgrad and a device: the class that a plugin's backend derives from."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from tensorgrad._core.graph import _type_names
from tensorgrad._core.primitives import DeviceArray


class KernelTime(NamedTuple):
    """How long a kernel (or a copy) ran on a device, for the profiler.

    Attributes
    ----------
    name : str
        What the backend calls it.
    device_index : int
    thread : int
        `threading.get_ident()` of the thread that asked for it.
    launched : int
        `time.perf_counter_ns()` of the CPU when it was asked for: the operator that was running in that
        thread at that time is the one it belongs to.
    duration : int
        Nanoseconds on the device, from its start to its end.
    """

    name: str
    device_index: int
    thread: int
    launched: int
    duration: int


class UnsupportedFunctionError(NotImplementedError):
    """An elementwise operator needs a function that the device does not have, as `Backend.functions` says.

    Attributes
    ----------
    operator : str
        The kernel's name, such as ``"i0"``.
    function : str
        What its expression calls, without ``tg_``: ``"i0_d"``.
    dtype : str
        The dtype that it is called for.
    device : str
        The device, with its index.

    Examples
    --------
    >>> from tensorgrad.devices import UnsupportedFunctionError
    >>> print(UnsupportedFunctionError("i0", "i0_d", "float64", "abacus:0"))
    "i0" not implemented for 'Double' on abacus:0: the device has no function 'i0_d' of float64; move the tensors \
to the CPU for it
    """

    def __init__(self, operator: str, function: str, dtype: str, device: str) -> None:
        super().__init__(operator, function, dtype, device)
        self.operator, self.function, self.dtype, self.device = operator, function, dtype, device

    def __str__(self) -> str:
        return (
            f"\"{self.operator}\" not implemented for '{_type_names[self.dtype]}' on {self.device}: the device has no "
            f"function '{self.function}' of {self.dtype}; move the tensors to the CPU for it"
        )


class Backend:
    """A device type: its memory, and the kernels that every operator is made of.

    A plugin derives from this class and implements what raises `NotImplementedError` here; one instance
    serves all devices of the type, which are numbered from 0. All methods may be called from any thread,
    with the GIL held; a kernel that takes long should release it.

    Kernels take :class:`DeviceArray` operands: a memory handle, a byte offset, a shape, strides (in
    elements; zero where an operand is broadcast, negative where it is flipped) and a dtype's name. The
    operands of one call live on one device, and those that are written to overlap nothing else but an
    operand of the very same geometry (in-place operators). Kernels are not called for arrays without
    elements, and shapes and dtypes have been checked. They may return before they are done, as long as
    the kernels, copies and `free` of one thread happen in the order of the calls.

    A kernel that cannot compute a dtype raises `NotImplementedError`, whose text is shown to the user after
    the operator, the dtype and the device. One that finds no room for scratch memory raises `MemoryError`;
    the user sees a `tensorgrad.OutOfMemoryError`. Other exceptions go to the user as they are. A function that an
    elementwise operator calls and that is not among `functions` is refused before a kernel is called for, by an
    `UnsupportedFunctionError`.

    What must be there: `is_available`, `device_count`, `allocate`, `free`, the three copies, `fill`, and the
    kernels `pointwise`, `reduce`, `argreduce`, `matmul`, `gather`, `scatter`, `random` and `arange`. Every
    operator is made of those. `tensorgrad.devices.reference` has the expressions, conversions and random numbers
    in NumPy, and a parser of expressions; `docs/plugins.md` has a plugin to start
    from, and ``pytest --pyargs tensorgrad.testing.device_conformance --device NAME`` tests one.

    Attributes
    ----------
    contract_version : int
        The version of the contract that the backend is written for; this text is version 1. A plugin must
        write ``contract_version = 1`` itself: an inherited number would always be the right one.

    Notes
    -----
    The dtypes are bool (a byte of 0 or 1), uint8, int8, int16, int32, int64, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64 and complex128. float16 and bfloat16 are computed in
    float32 and rounded (to nearest, ties to even) when they are stored.

    A conversion takes the real part of a complex number, tests a number against zero for bool, truncates
    towards zero for integers and lets integers wrap around. Floating point numbers that do not fit an
    integer may become anything.
    """

    contract_version: ClassVar[int]

    #: The functions that the expressions of `pointwise` may call on this device, without ``tg_``, each with the kinds
    #: of dtypes that it has them for: "i" (integers and bool), "f" and "c", as in ``{"exp": "fc", "abs": "ifc"}``.
    #: None stands for all. Which functions there are, and what they are of arguments of each kind, is what
    #: `tensorgrad.devices.reference.c_functions` says; those whose names end in ``_d`` take and return doubles, and
    #: `tensorgrad.devices.reference.c_source` has them as text for languages that are like C.
    functions: Mapping[str, str] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Programs without a plugin read no expressions, and need not wait for what reads them.
        importlib.import_module("tensorgrad.devices._functions")

    # ---- devices -----------------------------------------------------------------------------------

    def is_available(self) -> bool:
        """Whether there is a device and a driver for it; cheap, and never raises."""
        raise NotImplementedError

    def unavailable_reason(self) -> str | None:
        """Why `is_available` is false, in words for the user."""
        return None

    def device_count(self) -> int:
        """The number of devices, 0 when none is available."""
        raise NotImplementedError

    def current_device(self) -> int:
        """The index of the device that is meant where only the type is named."""
        return 0

    def set_device(self, index: int) -> None:
        """Make device `index` the one that is meant where only the type is named, for this thread."""
        raise NotImplementedError("this device type has no current device to set")

    def device_name(self, index: int) -> str:
        """What the maker calls device `index`."""
        return "unknown"

    def device_properties(self, index: int) -> dict[str, Any]:
        """What there is to know about device `index`, by name: ``total_memory`` in bytes, ``driver`` ..."""
        return {}

    def supports(self, dtype: str, index: int) -> bool:
        """Whether device `index` computes a dtype; its kernels raise `NotImplementedError` for the others.

        Every device stores and copies every dtype, and computes bool, int64, float32 and complex64.
        """
        return True

    def synchronize(self, index: int) -> None:
        """Wait until all that was asked of device `index` is done; errors of kernels surface here.

        All streams are meant. A backend that works while it is called has nothing to wait for.
        """

    # ---- memory ------------------------------------------------------------------------------------

    def allocate(self, nbytes: int, index: int) -> object:
        """Allocate memory on device `index`.

        Parameters
        ----------
        nbytes : int
            May be 0.
        index : int

        Returns
        -------
        object
            A handle, which comes back in `DeviceArray.handle` and in `free`. The memory must be aligned for
            every dtype. ``None`` stands for no memory and is not freed; only good for 0 bytes.

        Raises
        ------
        MemoryError
            When there is no room; the user sees a `tensorgrad.OutOfMemoryError`.
        """
        raise NotImplementedError

    def free(self, handle: object, nbytes: int, index: int) -> None:
        """Give memory back, once for each `allocate`.

        May be called from any thread, from the garbage collector, while an exception is on its way and while
        the interpreter shuts down. Kernels that use the memory may still be under way.
        """
        raise NotImplementedError

    def copy(self, dst: DeviceArray, src: DeviceArray) -> None:
        """``dst = src`` on one device, converting between any two dtypes; the shapes are the same."""
        raise NotImplementedError

    def copy_from_host(self, dst: DeviceArray, src: memoryview) -> None:
        """Copy from the CPU.

        Parameters
        ----------
        dst : DeviceArray
            Contiguous, of as many bytes as `src`.
        src : memoryview
            Bytes, valid until the method returns.
        """
        raise NotImplementedError

    def copy_to_host(self, dst: memoryview, src: DeviceArray) -> None:
        """Copy to the CPU, and return when the bytes have arrived; `src` is contiguous."""
        raise NotImplementedError

    def fill(self, dst: DeviceArray, value: complex) -> None:
        """Write a Python number, which the dtype holds exactly, to all elements."""
        raise NotImplementedError

    def memory_stats(self, index: int) -> dict[str, int]:
        """Bytes by name: ``live``, ``peak`` and ``cached``; more, or none, as the backend knows them."""
        return {}

    def reset_peak(self, index: int) -> None:
        """Let ``memory_stats(index)["peak"]`` start again from ``live``."""

    def empty_cache(self) -> None:
        """Give memory that is kept for later allocations back to the driver."""

    # ---- kernels -----------------------------------------------------------------------------------

    def pointwise(
        self,
        name: str,
        expression: str,
        dtype: str,
        out: DeviceArray,
        operands: Sequence[DeviceArray | complex],
    ) -> None:
        """Compute an elementwise operator from its C expression.

        Parameters
        ----------
        name : str
            The kernel's name; one name has one expression.
        expression : str
            A C expression in the operands ``x``, ``y`` and ``z``, such as ``"y > 0 ? x : (T)0"``. In it ``T``
            is the type of `dtype` (float for the 16-bit ones, _Bool for bool), ``R`` the type of its real
            part, and ``tg_NAME(...)`` a function of its argument's type, as ``kernels/cpu/scalar_math.h``
            defines it, of doubles where the name ends in ``_d``: one of `functions`. Beside C's operators, casts
            and ``sizeof``, it may use ``__builtin_signbit``.
        dtype : str
            The type to compute in. Operands are converted to it first, those of dtype bool too: a condition
            is true where it is not zero.
        out : DeviceArray
            What the value of the expression is converted to; its dtype may differ from `dtype` (comparisons
            give bool, the modulus of complex numbers is real, and in-place operators write what they have).
        operands : sequence of DeviceArray or number
            One to three. An array has the shape of `out`, or no dimensions; a Python number is exact in
            `dtype`.
        """
        raise NotImplementedError

    def reduce(self, op: str, out: DeviceArray, x: DeviceArray) -> None:
        """Reduce the dimensions in which `out` has size 1.

        Parameters
        ----------
        op : {"sum", "prod", "max", "min", "any", "all"}
            For "max" and "min" nan wins. Of bools a sum is "any" and a product "all".
        out : DeviceArray
            Of as many dimensions as `x`, and of its dtype; bool for "any" and "all".
        x : DeviceArray
            Of any dtype for "sum", "prod", "any" and "all", not complex for "max" and "min".
        """
        raise NotImplementedError

    def argreduce(self, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
        """The first index of the extreme value along `dim`, where nan is the extreme.

        Parameters
        ----------
        op : {"argmax", "argmin"}
        out : DeviceArray
            int64, of the shape of `x` but for size 1 in `dim`.
        x : DeviceArray
            Neither complex nor bool.
        dim : int
        """
        raise NotImplementedError

    def matmul(self, out: DeviceArray, a: DeviceArray, b: DeviceArray, beta: float) -> None:
        """``out = a @ b + beta * out``, where a `beta` of 0 means that `out` is not read.

        Parameters
        ----------
        out, a, b : DeviceArray
            Of shapes (..., m, n), (..., m, k) and (..., k, n) and of one dtype, which may be an integer.
            The leading dimensions are the same, by strides of 0 where need be. `out` overlaps neither.
        beta : float
            0 or 1.
        """
        raise NotImplementedError

    def gather(self, out: DeviceArray, x: DeviceArray, dim: int, index: DeviceArray) -> int | None:
        """``out[i][j] = x[index[i][j]][j]`` for ``dim == 0``, and so on.

        Parameters
        ----------
        out : DeviceArray
            Of the shape of `index` and the dtype of `x`.
        x : DeviceArray
            In the other dimensions at least as large as `index`.
        dim : int
        index : DeviceArray
            int64, never meant to be negative.

        Returns
        -------
        int or None
            An index that is out of range, for the error message, before anything is written; a device that
            cannot tell without waiting returns None and must not read out of bounds.
        """
        raise NotImplementedError

    def scatter(
        self, mode: str, out: DeviceArray, dim: int, index: DeviceArray, src: DeviceArray
    ) -> int | None:
        """``out[index[i][j]][j] op= src[i][j]`` for ``dim == 0``, and so on.

        Parameters
        ----------
        mode : {"set", "add", "mul", "max", "min"}
            Of several values that are "set" in one place any may stay (the last one on the CPU). Of bools a
            sum is "or" and a product "and".
        out : DeviceArray
            In the other dimensions at least as large as `index`; holds the values that are added to.
        dim : int
        index : DeviceArray
            int64.
        src : DeviceArray
            Of the dtype of `out`, at least as large as `index` in every dimension.

        Returns
        -------
        int or None
            As for `gather`.
        """
        raise NotImplementedError

    def random(self, kind: str, out: DeviceArray, seed: int, offset: int, p0: float, p1: float) -> None:
        """Fill `out` with random numbers from Philox4x32-10, the same as the CPU draws.

        Parameters
        ----------
        kind : {"uniform", "normal", "randint", "bernoulli", "exponential"}
            The interval [p0, p1); mean p0 and standard deviation p1; the integers p0, ..., p0 + p1 - 1 (a
            p1 of 0 stands for 2**64); 1 with probability p0; rate p0.
        out : DeviceArray
        seed : int
            The key of the generator, 64 bits.
        offset : int
            The counter of the first block of four words. ``kernels/cpu/random.h`` says which words an
            element is made of: they depend on its place in row-major order only.
        p0, p1 : float
            Integers for "randint".
        """
        raise NotImplementedError

    def arange(self, out: DeviceArray, start: float, step: float) -> None:
        """``out[i] = start + i * step``, computed in double and converted; `out` has one dimension."""
        raise NotImplementedError

    # ---- what may be left out ----------------------------------------------------------------------
    # A method that is None is not there.

    #: Operators that the device computes in its own way: ``{name: function}``. The function gets all
    #: parameters of the operator in the order of its signature (defaults filled in, dimensions not
    #: negative), whose tensors live on the device, and returns the result: new tensors
    #: (`tensorgrad.empty`), whose memory `tensorgrad.devices.device_array` names for kernels. It runs
    #: below autograd, which goes on as declared; NotImplemented asks for the usual way. A name with
    #: several overloads is given as the text of one's signature. Elementwise operators are overridden in
    #: `pointwise`, by name.
    overrides: Mapping[str, Callable[..., Any]] | None = None

    #: ``scan(op, out, x, dim)``: "sum" or "prod" of the elements up to each index along `dim`. Without
    #: it, scans are made of logarithmically many additions.
    scan: Callable[[str, DeviceArray, DeviceArray, int], None] | None = None

    #: ``sort(values, indices, x, dim, descending, stable)``: `x` in order along `dim`, and the int64 indices
    #: that the elements had; nan is the largest. Without it, sorting compares every pair of elements.
    sort: Callable[[DeviceArray, DeviceArray, DeviceArray, int, bool, bool], None] | None = None

    #: ``stream(index)``: a new stream, an object with ``synchronize()``, ``query()``, ``wait_event(event)``
    #: and ``record_event(event)``; ``current_stream(index)`` and ``set_stream(stream)`` go with it, and
    #: are a matter of the calling thread. Memory that is used in a stream other than the one it was
    #: allocated in must not be freed before that use is over.
    stream: Callable[[int], Any] | None = None
    current_stream: Callable[[int], Any] | None = None
    set_stream: Callable[[Any], None] | None = None

    #: ``event(enable_timing)``: an object with ``record(stream)``, ``wait(stream)``, ``query()``,
    #: ``synchronize()`` and ``elapsed_time(other)`` in milliseconds.
    event: Callable[[bool], Any] | None = None

    #: ``start_profiling()`` makes the backend remember how long its kernels take, on all devices and in all
    #: threads; ``stop_profiling()`` waits for them, returns what was remembered and forgets it.
    start_profiling: Callable[[], None] | None = None
    stop_profiling: Callable[[], Sequence[KernelTime]] | None = None

    #: ``copy_from_host_later(dst, src, keep)``: `copy_from_host` that may return while the bytes are still being
    #: read, for ``non_blocking=True``; `keep` is to be referred to until they have been.
    copy_from_host_later: Callable[[DeviceArray, memoryview, object], None] | None = None

    #: ``pinned_memory(nbytes)``: a buffer on the CPU that the device reads by itself, for `Tensor.pin_memory`, and
    #: ``is_pinned(address)``: whether an address lies in one.
    pinned_memory: Callable[[int], Any] | None = None
    is_pinned: Callable[[int], bool] | None = None

    #: ``to_dlpack(array, keep, stream, max_version)``: a DLPack capsule of an array's memory, in which `keep`
    #: is referred to until the consumer is done (the memory is freed when it dies). `stream` is what the
    #: consumer asked for.
    to_dlpack: Callable[[DeviceArray, object, int | None, tuple[int, int] | None], object] | None = None

    #: ``from_dlpack(capsule)``: a tensor of the memory of a capsule, without a copy.
    from_dlpack: Callable[[object], Any] | None = None
