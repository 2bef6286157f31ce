"""What a program spends its time and memory on: `profile`, and `record_function` to label parts of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tensorgrad._core.device import find_backend
from tensorgrad._core.profiler import begin_user, end_user, start, stop
from tensorgrad.autograd.grad_mode import _decorate
from tensorgrad.autograd.profiler_util import EventList, FunctionEvent, FunctionEventAvg, Interval, Kernel

if TYPE_CHECKING:
    from tensorgrad.autograd._profiler_events import Trace

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval", "Kernel", "profile", "record_function"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _available_device(name: str) -> tuple[str | None, Any]:
    """A device type and its backend; None for both, with a warning, where it cannot be used."""
    try:
        backend = find_backend(name)
    except RuntimeError:
        backend = None
    if backend is None and name != "cuda":
        warnings.warn(f"The {name} is not a valid device option.", stacklevel=3)
        return None, None
    if backend is None or not backend.is_available():
        warnings.warn(f"{name.upper()} is not available, disabling {name.upper()} profiling", stacklevel=3)
        return None, None
    return name, backend


class profile:
    """Write down what happens in a ``with`` block, in all threads: operators, backward, kernels, labels.

    Parameters
    ----------
    enabled : bool, default: True
        Whether to do anything.
    use_cuda : bool, default: False
        The same as ``use_device="cuda"``.
    use_device : str, optional
        A device type whose kernels are timed. When there is no such device, a warning says so, and the profile
        is of the CPU.
    record_shapes : bool, default: False
        Note the shapes of arguments.
    profile_memory : bool, default: False
        Note what memory is allocated and freed.
    with_stack : bool, default: False
        Note in which Python functions operators are called.
    use_kineto, use_cpu
        Accepted for PyTorch's sake; without effect.
    max_events : int, default: 1000000
        So many events of a thread are kept; a warning says how many more there were. For long programs
        `tensorgrad.profiler.profile` has a schedule.

    Attributes
    ----------
    function_events : EventList
        All events, when the block has been left.

    Raises
    ------
    RuntimeError
        When it is asked for results before the block has been left, or entered twice.

    Notes
    -----
    Profiles may be nested; an operator inside both is in both. What is still running when a profile ends, such
    as a block of `record_function` around it or an operator in another thread, is counted up to the end. An
    event's self time is its total time less those of the events directly inside it, so that the self times of
    all events add up to the total times of those at the top level.

    A kernel's time on a device is measured by the device's own events where the plugin has them, and else is
    that of the call.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.ones(2, 3, requires_grad=True)
    >>> with tensorgrad.autograd.profiler.profile() as prf:
    ...     for _ in range(10):
    ...         y = (x * x).sum()
    >>> [(row.key, row.count) for row in prf.key_averages()][:2]
    [('tensorgrad::mul', 10), ('tensorgrad::sum', 10)]
    >>> print(prf.key_averages().table(sort_by="self_cpu_time_total"))
    -----...
             Name    Self CPU %      Self CPU   CPU total %     CPU total  CPU time avg    # of Calls
    ...
    Self CPU time total: ...
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        max_events: int = 1_000_000,
    ) -> None:
        self.enabled = enabled
        self.entered = False
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.max_events = max_events
        self._backend: Any = None
        self._recording: Any = None
        self._raw: tuple[Any, ...] | None = None
        self._trace: Trace | None = None
        self.use_device = "cuda" if use_cuda else use_device
        if enabled and self.use_device is not None:
            self.use_device, self._backend = _available_device(self.use_device)
        self.use_cuda = self.use_device == "cuda"

    def __enter__(self) -> profile:
        if not self.enabled:
            return self
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.enabled:
            self._stop()

    def _start(self) -> None:
        self._recording = start(
            self.record_shapes,
            self.with_stack,
            self.profile_memory,
            self.use_device,
            self._backend,
            self.max_events,
        )
        if self._backend is not None:
            self._call("GetDeviceCount", self._backend.device_count)
            index = self._call("GetDevice", self._backend.current_device)
            self._call("GetDeviceProperties", self._backend.device_name, index)

    def _stop(self) -> None:
        try:
            if self._backend is not None:
                self._call("DeviceSynchronize", self._backend.synchronize, self._backend.current_device())
        finally:
            recording, self._recording = self._recording, None
            self._raw = stop(recording)
            dropped = sum(thread[4] for thread in self._raw[3])
        if dropped:
            warnings.warn(
                f"the profile is not whole: {dropped} events or memory records did not fit under max_events="
                f"{self.max_events} a thread. Raise it, or profile some steps only: "
                "tensorgrad.profiler.profile(schedule=...)",
                stacklevel=3,
            )

    def _call(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """A call of the device's backend, as an event."""
        event = begin_user(f"{self.use_device}{name}", True)
        try:
            return function(*args)
        finally:
            end_user(event)

    def _finished(self) -> Trace:
        if self._trace is None:
            if self._raw is None:
                raise RuntimeError("Profiler didn't finish running")
            from tensorgrad.autograd._profiler_events import read_trace  # only after profiling

            self._trace = read_trace(self._raw, self.use_device, self.profile_memory)
            self._raw = None
        return self._trace

    @property
    def function_events(self) -> EventList:
        """All events, thread by thread, in the order in which they began."""
        return self._finished().events

    @property
    def self_cpu_time_total(self) -> float:
        """The time spent in events, in microseconds."""
        return self.function_events.self_cpu_time_total

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """Average events of the same name.

        Parameters
        ----------
        group_by_input_shape : bool, default: False
            Tell calls with arguments of different shapes apart; needs ``record_shapes=True``.
        group_by_stack_n : int, default: 0
            Tell calls apart that differ in so many innermost frames of the stack; needs ``with_stack=True``.
        """
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n)

    def total_average(self) -> FunctionEventAvg:
        """All events in one average."""
        return self.function_events.total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """A table of all events; see `EventList.table`."""
        return self.function_events.table(*args, **kwargs)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a file for Perfetto (https://ui.perfetto.dev) or chrome://tracing.

        Parameters
        ----------
        path : str or path
            Compressed with gzip when it ends in ``.gz``.
        """
        self._export(path, None)

    def _export(self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None) -> None:
        from tensorgrad.autograd._chrome_trace import export_chrome_trace  # only when a file is written

        export_chrome_trace(self._finished(), path, metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write stacks for a flame graph; see `EventList.export_stacks`."""
        if not self.with_stack:
            raise RuntimeError("export_stacks() requires with_stack=True")
        self.function_events.export_stacks(path, metric)

    def __str__(self) -> str:
        return repr(self) if self._trace is None and self._raw is None else str(self.function_events)

    def __repr__(self) -> str:
        if self._trace is None and self._raw is None:
            return "<unfinished tensorgrad.autograd.profile>"
        return repr(self.function_events)


class record_function:
    """Label what happens in a ``with`` block, or in a function that is decorated.

    Parameters
    ----------
    name : str
    args : str, optional
        Shown beside the label in a trace.

    Notes
    -----
    A label costs little when no profiler is running. Of a decorated generator or coroutine each stretch of work
    is labelled, the pauses between them are not. A block that is left while another is open inside it, as when
    a generator is suspended in a ``with`` block, closes that one, too: the spans of a thread are always nested.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.autograd.profiler import profile, record_function
    >>> with profile() as prf:
    ...     with record_function("forward"):
    ...         y = tensorgrad.ones(2) + 1
    >>> [(row.key, row.count) for row in prf.key_averages()]
    [('forward', 1), ('tensorgrad::ones', 1), ('tensorgrad::add', 1)]
    """

    __slots__ = ("_open", "args", "name")

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._open: Any = None

    def __enter__(self) -> record_function:
        self._open = begin_user(self.name, False, self.args), self._open
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        event, self._open = self._open
        end_user(event)

    def __call__(self, func: _F) -> _F:
        """Decorate a function, a method, a generator or a coroutine."""
        make: Callable[[], Any] = lambda: record_function(self.name, self.args)  # noqa: E731
        decorated: _F = _decorate(func, make)
        return decorated
