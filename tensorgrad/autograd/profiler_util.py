"""What a profile consists of: events, their averages, and lists of either."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tensorgrad.autograd._profiler_table import build_table, format_time

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval", "Kernel"]


class Interval:
    """A span of time, in microseconds since the profile began.

    Parameters
    ----------
    start, end : float
    """

    __slots__ = ("end", "start")

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        """The length of the span."""
        return self.end - self.start

    def __repr__(self) -> str:
        return f"Interval(start={self.start}, end={self.end})"


class Kernel(NamedTuple):
    """A kernel that an operator has run on a device; the duration is in microseconds."""

    name: str
    device: str
    duration: float


class _Times:
    """The times that follow from totals and a count, also as text."""

    __slots__ = ()

    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    device_time_total: float
    self_device_time_total: float

    @property
    def cpu_time(self) -> float:
        """CPU time of a call, in microseconds."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """Device time of a call, in microseconds."""
        return self.device_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        """`cpu_time` with its unit."""
        return format_time(self.cpu_time)

    @property
    def device_time_str(self) -> str:
        """`device_time` with its unit."""
        return format_time(self.device_time)

    @property
    def cpu_time_total_str(self) -> str:
        """`cpu_time_total` with its unit."""
        return format_time(self.cpu_time_total)

    @property
    def device_time_total_str(self) -> str:
        """`device_time_total` with its unit."""
        return format_time(self.device_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        """`self_cpu_time_total` with its unit."""
        return format_time(self.self_cpu_time_total)

    @property
    def self_device_time_total_str(self) -> str:
        """`self_device_time_total` with its unit."""
        return format_time(self.self_device_time_total)


class FunctionEvent(_Times):
    """One thing that happened: a call of an operator, of a node in backward, of a kernel, a labelled block.

    Attributes
    ----------
    id : int
    name : str
    key : str
        What it is averaged under: the name, but for numbered steps.
    kind : str
        "operator", "evaluate", "node", "accumulate", "function", "user", "kernel", "runtime" or "memory".
    thread : int
        The thread, numbered from 1.
    fwd_thread : int or None
        Of a node: the thread that ran its forward operator.
    sequence_nr : int
        The same for an operator and the node that it recorded; -1 without one.
    time_range : Interval
    cpu_parent : FunctionEvent or None
    cpu_children : list of FunctionEvent
    cpu_time_total, self_cpu_time_total : float
        In microseconds, with and without what its children took.
    device_type : str
        "cpu", or the type of the device on which it ran.
    use_device : str or None
        The device type that the profile looks at.
    kernels : list of Kernel
        What it has run on that device, its children aside.
    device_time_total, self_device_time_total : float
        In microseconds.
    cpu_memory_usage, self_cpu_memory_usage, device_memory_usage, self_device_memory_usage : int
        Bytes allocated less bytes freed.
    input_shapes : list
        With ``record_shapes=True``: a list of sizes for each argument, empty where it is no tensor.
    stack : list of str
        With ``with_stack=True``: the Python functions in which it was called, innermost first.
    is_user_annotation : bool
    args : str or None
        What `record_function` was given beside the name.
    """

    __slots__ = (
        "_device_ns",
        "_ns",
        "_self_device_ns",
        "args",
        "count",
        "cpu_children",
        "cpu_memory_usage",
        "cpu_parent",
        "device_index",
        "device_memory_usage",
        "device_type",
        "fwd_thread",
        "id",
        "input_shapes",
        "kernels",
        "key",
        "kind",
        "name",
        "sequence_nr",
        "stack",
        "thread",
        "time_range",
        "use_device",
    )

    def __init__(
        self,
        id: int,
        name: str,
        kind: str,
        thread: int,
        start_ns: int,
        end_ns: int,
        sequence_nr: int = -1,
        use_device: str | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.key = "ProfilerStep*" if name.startswith("ProfilerStep#") else name
        self.kind = kind
        self.thread = thread
        self.fwd_thread: int | None = None
        self.sequence_nr = sequence_nr
        self.time_range = Interval(start_ns / 1000, end_ns / 1000)
        self._ns = end_ns - start_ns
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []
        self.count = 1
        self.device_type = "cpu"
        self.device_index = 0
        self.use_device = use_device
        self.kernels: list[Kernel] = []
        self._device_ns = self._self_device_ns = 0
        self.cpu_memory_usage = self.device_memory_usage = 0
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []
        self.args: str | None = None

    @property
    def is_user_annotation(self) -> bool:
        """Whether a program has named it."""
        return self.kind == "user"

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """CPU time in microseconds."""
        return self._ns / 1000 if self.device_type == "cpu" else 0.0

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """CPU time without that of the children, in microseconds."""
        if self.device_type != "cpu":
            return 0.0
        return (self._ns - sum(child._ns for child in self.cpu_children)) / 1000

    @property
    def device_time_total(self) -> float:  # type: ignore[override]
        """Time on the device in microseconds."""
        return self._device_ns / 1000

    @property
    def self_device_time_total(self) -> float:  # type: ignore[override]
        """Time on the device of what it has run itself, in microseconds."""
        return self._self_device_ns / 1000

    @property
    def self_cpu_memory_usage(self) -> int:
        """Bytes without those of the children."""
        return self.cpu_memory_usage - sum(child.cpu_memory_usage for child in self.cpu_children)

    @property
    def self_device_memory_usage(self) -> int:
        """Bytes on the device without those of the children."""
        return self.device_memory_usage - sum(child.device_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        device = self.use_device
        return (
            f"<FunctionEvent id={self.id} name={self.name} device_type={self.device_type} "
            f"cpu_time={self.cpu_time_str} start_us={self.time_range.start} end_us={self.time_range.end} "
            f"cpu_children={[child.id for child in self.cpu_children]} {device}_time={self.device_time_str} "
            f"thread={self.thread} input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} "
            f"{device}_memory_usage={self.device_memory_usage} seq_nr={self.sequence_nr}>"
        )


class FunctionEventAvg(_Times):
    """Events of one key together. The attributes are sums of those of `FunctionEvent`.

    Attributes
    ----------
    key : str
    count : int
    cpu_parent : FunctionEvent or None
        None when one of the events is at the top level.
    """

    def __init__(self) -> None:
        self.key: str | None = None
        self.count = 0
        self.use_device: str | None = None
        self.device_type = "cpu"
        self.is_user_annotation = False
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.device_time_total = self.self_device_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.device_memory_usage = self.self_device_memory_usage = 0
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []

    def add(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Count an event, or another average, in."""
        if self.key is None:
            self.key = other.key
            self.use_device, self.device_type = other.use_device, other.device_type
            self.is_user_annotation, self.cpu_parent = other.is_user_annotation, other.cpu_parent
            self.input_shapes, self.stack = other.input_shapes, other.stack
        elif other.key != self.key:
            raise ValueError(f"Expected keys to match, but got {other.key} vs {self.key}")
        if other.cpu_parent is None:
            self.cpu_parent = None
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.device_time_total += other.device_time_total
        self.self_device_time_total += other.self_device_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        self.device_memory_usage += other.device_memory_usage
        self.self_device_memory_usage += other.self_device_memory_usage
        self.count += other.count
        return self

    __iadd__ = add

    def __repr__(self) -> str:
        device = self.use_device or "cuda"
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str}  self_{device}_time={self.self_device_time_total_str} "
            f"{device}_time={self.device_time_str} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage} {device}_memory_usage={self.device_memory_usage}>"
        )


class EventList(list[Any]):
    """Events in the order in which they began, thread by thread, or averages of them.

    Parameters
    ----------
    events : iterable of FunctionEvent or FunctionEventAvg
    use_device : str, optional
        The device type that has columns of its own.
    profile_memory : bool, default: False
        Whether there are columns of memory.
    """

    def __init__(
        self, events: Iterable[Any] = (), use_device: str | None = None, profile_memory: bool = False
    ) -> None:
        super().__init__(events)
        self._use_device = use_device
        self._profile_memory = profile_memory

    @property
    def self_cpu_time_total(self) -> float:
        """All CPU time that was spent in events, in microseconds."""
        return float(sum(event.self_cpu_time_total for event in self))

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """Average events of the same name.

        Parameters
        ----------
        group_by_input_shapes : bool, default: False
            Tell calls with arguments of different shapes apart; needs ``record_shapes=True``.
        group_by_stack_n : int, default: 0
            Tell calls apart that differ in so many innermost frames of the stack; needs ``with_stack=True``.

        Returns
        -------
        EventList
            Of `FunctionEventAvg`.
        """
        averages: dict[tuple[Any, ...], FunctionEventAvg] = {}
        for event in self:
            key = (
                event.key,
                event.device_type,
                event.is_user_annotation,
                str(event.input_shapes) if group_by_input_shapes else "",
                *event.stack[:group_by_stack_n],
            )
            average = averages.get(key)
            if average is None:
                average = averages[key] = FunctionEventAvg()
            average.add(event)
        for average in averages.values():
            average.stack = average.stack[:group_by_stack_n]
            if not group_by_input_shapes:
                average.input_shapes = []
        return EventList(averages.values(), self._use_device, self._profile_memory)

    def total_average(self) -> FunctionEventAvg:
        """All events in one average, whose key is "Total"."""
        total = FunctionEventAvg()
        for event in self:
            total.key = event.key
            total.add(event)
        total.key = "Total"
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int | None = 75,
        max_name_column_width: int | None = 55,
        max_shapes_column_width: int | None = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """Lay the events out as a table.

        Parameters
        ----------
        sort_by : str, optional
            The attribute by which rows are sorted, the largest first: ``cpu_time``, ``cpu_time_total``,
            ``self_cpu_time_total``, ``device_time``, ``device_time_total``, ``self_device_time_total``,
            ``cpu_memory_usage``, ``self_cpu_memory_usage``, ``device_memory_usage``,
            ``self_device_memory_usage`` or ``count``; a device type may stand for "device".
        row_limit : int, default: 100
            So many rows at most; -1 for all.
        max_src_column_width, max_name_column_width, max_shapes_column_width : int or None
            What is longer is cut.
        header : str, optional
            A line above the table.
        top_level_events_only : bool, default: False
            Leave out what only happened inside other events.
        time_unit : {"s", "ms", "us"}, optional
            For all times; by default each has a unit that suits it.
        """
        return build_table(
            self,
            self._use_device,
            self._profile_memory,
            sort_by=sort_by,
            row_limit=row_limit,
            max_src_column_width=max_src_column_width,
            max_name_column_width=max_name_column_width,
            max_shapes_column_width=max_shapes_column_width,
            header=header,
            top_level_events_only=top_level_events_only,
            time_unit=time_unit,
        )

    def supported_export_stacks_metrics(self) -> list[str]:
        """What `export_stacks` takes."""
        metrics = ["self_cpu_time_total", "self_cuda_time_total"]
        device = f"self_{self._use_device}_time_total"
        return metrics if self._use_device is None or device in metrics else [*metrics, device]

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks with a time each, as flame graph tools read them; needs ``with_stack=True``.

        Parameters
        ----------
        path : str
        metric : str
            One of `supported_export_stacks_metrics`.
        """
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()}")
        attribute = "self_cpu_time_total" if "cpu" in metric else "self_device_time_total"
        table = str.maketrans(" ;\t\n", "____")
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                value = int(getattr(event, attribute))
                if event.stack and value > 0:
                    frames = ";".join(entry.translate(table) for entry in reversed(event.stack))
                    file.write(f"{frames} {value}\n")

    def __str__(self) -> str:
        return self.table()
