"""Profiles of long programs: `profile` with a schedule, over `tensorgrad.autograd.profiler`."""

from __future__ import annotations

import enum
import os
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from tensorgrad._core.device import registered_backends
from tensorgrad.autograd import profiler as _autograd
from tensorgrad.autograd.profiler import record_function
from tensorgrad.autograd.profiler_util import EventList

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """What a profile looks at: operators on the CPU, or the kernels of a device, too."""

    CPU = "cpu"
    CUDA = "cuda"
    OPENCL = "opencl"


class ProfilerAction(enum.Enum):
    """What a profiler does in one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The activities that can be profiled here; a plugin counts when it is loaded."""
    found = {ProfilerActivity.CPU}
    for name, backend in registered_backends().items():
        if name in ("cuda", "opencl") and backend.is_available():
            found.add(ProfilerActivity(name))
    return found


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """A schedule for `profile`: after `skip_first` steps cycles of waiting, warming up and recording.

    Parameters
    ----------
    wait, warmup, active : int
        Steps of each in a cycle. What is recorded while warming up is thrown away.
    repeat : int, default: 0
        So many cycles; 0 for no end.
    skip_first : int, default: 0
    skip_first_wait : int, default: 0
        Unless it is 0, the first cycle does not wait.

    Examples
    --------
    >>> from tensorgrad.profiler import schedule
    >>> [schedule(wait=1, warmup=1, active=2, repeat=1)(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise ValueError(
            f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
            f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
        )
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise ValueError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        if repeat > 0 and step >= repeat * length:
            return ProfilerAction.NONE
        step %= length
        if step < wait:
            return ProfilerAction.NONE
        if step < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if step < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[Any], None]:
    """For `on_trace_ready`: write each trace to a file in a directory.

    Parameters
    ----------
    dir_name : str
        Is made if need be.
    worker_name : str, optional
        What file names begin with; by default the machine's name and the process's number.
    use_gzip : bool, default: False
    """

    def handler(prof: profile) -> None:
        import socket
        import time

        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        file = f"{worker}.{time.time_ns()}.pt.trace.json{'.gz' if use_gzip else ''}"
        prof.export_chrome_trace(os.path.join(dir_name, file))

    return handler


class profile:
    """Write down what happens in some of the steps of a loop.

    Parameters
    ----------
    activities : iterable of ProfilerActivity or str, optional
        By default `supported_activities`. A str is the type of any other device. Of devices one has columns of
        its own, the first by name.
    schedule : callable, optional
        From the number of a step to a `ProfilerAction`; by default every step is recorded.
    on_trace_ready : callable, optional
        Called with this object at the end of each cycle, when its results can be read.
    record_shapes, profile_memory, with_stack : bool, default: False
        As for `tensorgrad.autograd.profiler.profile`.
    use_cuda : bool, default: False
        Look at CUDA devices, whatever `activities` says.
    acc_events : bool, default: False
        Let `events` and `key_averages` tell of all cycles together.
    max_events : int, default: 1000000
        As for `tensorgrad.autograd.profiler.profile`. Of cycles only the last one is kept, unless `acc_events`
        asks for more: then recording ends when all together have so many events.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.profiler import profile, schedule
    >>> def show(prof):
    ...     print(f"step {prof.step_num}:", sorted(row.key for row in prof.key_averages()))
    >>> x = tensorgrad.ones(3)
    >>> with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=1), on_trace_ready=show) as prof:
    ...     for _ in range(6):
    ...         y = x * 2
    ...         prof.step()
    step 4: ['ProfilerStep*', 'tensorgrad::mul']
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity | str] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        use_cuda: bool = False,
        acc_events: bool = False,
        max_events: int = 1_000_000,
    ) -> None:
        self.activities: set[ProfilerActivity | str] = set(
            supported_activities() if activities is None else activities
        )
        if use_cuda:
            self.activities.add(ProfilerActivity.CUDA)
        if not self.activities:
            raise ValueError("No valid profiler activities found")
        names = {x.value if isinstance(x, ProfilerActivity) else x for x in self.activities}
        devices = sorted(names - {"cpu"})
        self.use_device = devices[0] if devices else None
        self.schedule = schedule or _always
        self.record_steps = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.acc_events = acc_events
        self.max_events = max_events
        self.step_num = 0
        self.current_action = self.schedule(0)
        self.profiler: _autograd.profile | None = None
        self._metadata: dict[str, Any] = {}
        self._accumulated: EventList | None = None
        self._step: record_function | None = None
        self._running = False

    # ---- the loop ----------------------------------------------------------------------------------
    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with the first step."""
        if self._running:
            raise RuntimeError("the profiler has been started already")
        self._running = True
        self._change(ProfilerAction.NONE, self.current_action)
        self._begin_step()

    def stop(self) -> None:
        """End with the present step; a cycle that has recorded something counts as finished."""
        if not self._running:
            return
        self._end_step()
        self._running = False
        self._change(self.current_action, None)

    def step(self) -> None:
        """The next step begins."""
        if not self._running:
            raise RuntimeError("step() is for a profiler that has been started")
        action = self.schedule(self.step_num + 1)  # before anything changes: it may raise
        self._end_step()
        before, self.current_action = self.current_action, action
        self.step_num += 1
        self._change(before, action)
        self._begin_step()

    def _begin_step(self) -> None:
        if self.record_steps:
            self._step = record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def _end_step(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            step.__exit__(None, None, None)

    def _change(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        """Start, drop or finish a recording between two steps."""
        recorded = before in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        goes_on = after in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if before is ProfilerAction.WARMUP:
            self._finish(keep=False)  # what warmed up is thrown away
        elif recorded and (before is ProfilerAction.RECORD_AND_SAVE or not goes_on):
            self._finish(keep=True)
        if (goes_on and before is not ProfilerAction.RECORD) or after is ProfilerAction.WARMUP:
            self._record()

    def _record(self) -> None:
        self._recorder = _autograd.profile(
            use_device=self.use_device,
            record_shapes=self.record_shapes,
            profile_memory=self.profile_memory,
            with_stack=self.with_stack,
            max_events=self.max_events,
        )
        self._recorder.__enter__()

    def _finish(self, keep: bool) -> None:
        recorder = self._recorder
        del self._recorder
        if not keep:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it was not whole
                recorder.__exit__(None, None, None)
            return
        recorder.__exit__(None, None, None)
        self.profiler = recorder
        if self.acc_events:
            if self._accumulated is None:
                self._accumulated = EventList([], recorder.use_device, self.profile_memory)
            room = self.max_events - len(self._accumulated)
            self._accumulated.extend(recorder.function_events[:room])
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    # ---- results -----------------------------------------------------------------------------------
    def _last(self) -> _autograd.profile:
        if self.profiler is None:
            raise RuntimeError("the profiler has recorded nothing yet: a cycle of its schedule must end first")
        return self.profiler

    def events(self) -> EventList:
        """The events of the last cycle, or of all cycles with ``acc_events=True``."""
        return self._last().function_events if self._accumulated is None else self._accumulated

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """Averages of `events`; see `tensorgrad.autograd.profiler.profile.key_averages`."""
        self._last()
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the last cycle to a file; see `tensorgrad.autograd.profiler.profile.export_chrome_trace`."""
        self._last()._export(path, self._metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the last cycle's stacks to a file; needs ``with_stack=True``."""
        self._last().export_stacks(path, metric)

    def add_metadata(self, key: str, value: str) -> None:
        """Put a text into the head of trace files."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put a value, given as JSON, into the head of trace files."""
        import json

        self._metadata[key] = json.loads(value)
