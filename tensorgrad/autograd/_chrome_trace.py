"""A profile as a file for Perfetto and chrome://tracing, in the trace event format.

The format is described in Google's "Trace Event Format". Times are microseconds since the profile began;
``baseTimeNanoseconds`` says when that was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from tensorgrad.autograd._profiler_events import Trace, forward_of
from tensorgrad.autograd.profiler_util import FunctionEvent

_CATEGORIES = {
    "operator": "cpu_op",
    "evaluate": "cpu_op",
    "node": "cpu_op",
    "accumulate": "cpu_op",
    "function": "cpu_op",
    "user": "user_annotation",
    "kernel": "runtime",
    "runtime": "runtime",
}


def _span(event: FunctionEvent, pid: Any, tid: int, category: str) -> dict[str, Any]:
    args: dict[str, Any] = {"Ev Idx": event.id}
    if event.sequence_nr >= 0:
        args["Sequence number"] = event.sequence_nr
    if event.fwd_thread is not None:
        args["Fwd thread id"] = event.fwd_thread
    if event.input_shapes:
        args["Input Dims"] = event.input_shapes
    if event.stack:
        args["Call stack"] = ";".join(event.stack)
    if event.args is not None:
        args["Args"] = event.args
    if event.cpu_memory_usage:
        args["Bytes"] = event.cpu_memory_usage
    return {
        "ph": "X",
        "cat": category,
        "name": event.name,
        "pid": pid,
        "tid": tid,
        "ts": event.time_range.start,
        "dur": event._ns / 1000,
        "args": args,
    }


def _arrow(category: str, number: int, source: dict[str, Any], target: dict[str, Any]) -> list[dict[str, Any]]:
    """From the beginning of one span to the beginning of another."""
    ends = []
    for phase, span in (("s", source), ("f", target)):
        end = {"ph": phase, "cat": category, "name": category, "id": number}
        end.update(pid=span["pid"], tid=span["tid"], ts=span["ts"])
        if phase == "f":
            end["bp"] = "e"  # binds to the span around it
        ends.append(end)
    return ends


def _metadata(kind: str, pid: Any, tid: int, **args: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": args}


def trace_events(trace: Trace) -> Iterator[dict[str, Any]]:
    """The entries of ``traceEvents``."""
    pid = os.getpid()
    native = {thread.number: thread.native_id for thread in trace.threads}
    yield _metadata("process_name", pid, 0, name="python")
    yield _metadata("process_labels", pid, 0, labels="CPU")
    for thread in trace.threads:
        yield _metadata("thread_name", pid, thread.native_id, name=f"thread {thread.native_id} ({thread.name})")
        yield _metadata("thread_sort_index", pid, thread.native_id, sort_index=thread.number)

    forward, arrows = forward_of(trace.events), 0
    launchers: dict[int, dict[str, Any]] = {}
    devices: set[str] = set()
    busy_until: dict[tuple[str, int], float] = {}
    for event in trace.events:
        if event.kind == "memory":
            continue  # shown by the counter
        if event.device_type == "cpu":
            span = _span(event, pid, native[event.thread], _CATEGORIES[event.kind])
            yield span
            if event.kind == "node" and event.sequence_nr in forward:
                arrows += 1
                source = forward[event.sequence_nr]
                yield from _arrow("fwdbwd", arrows, _span(source, pid, native[source.thread], "cpu_op"), span)
            elif event.kind == "kernel":
                launchers[round(event.time_range.start * 1000)] = span
            continue
        device = f"{event.device_type}:{event.device_index}"
        if device not in devices:
            devices.add(device)
            yield _metadata("process_name", device, 0, name=f"{device} (device)")
            yield _metadata("process_sort_index", device, 0, sort_index=5000000 + event.device_index)
        span = _span(event, device, native[event.thread], "kernel")
        # The device works one thing after another, at the earliest when it was asked.
        lane = device, native[event.thread]
        span["ts"] = max(span["ts"], busy_until.get(lane, 0.0))
        busy_until[lane] = span["ts"] + span["dur"]
        yield span
        launcher = launchers.get(round(event.time_range.start * 1000))
        if launcher is not None:
            arrows += 1
            yield from _arrow("ac2g", arrows, launcher, span)
    for record in trace.memory:
        yield {
            "ph": "C",
            "cat": "cpu_memory" if record.device == "cpu" else "device_memory",
            "name": f"[memory] {record.device}",
            "pid": pid,
            "tid": 0,
            "ts": record.time_ns / 1000,
            "args": {"Total Allocated": record.total},
        }


def export_chrome_trace(
    trace: Trace, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write the file, compressed when its name ends in ``.gz``."""
    # Imported here: a program that imports tensorgrad seldom profiles.
    import gzip
    import json

    path = os.fspath(path)
    opener: Any = gzip.open if path.endswith(".gz") else open
    heading = {
        "schemaVersion": 1,
        "displayTimeUnit": "ms",
        "baseTimeNanoseconds": trace.epoch_ns,
        **(metadata or {}),
    }
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(heading)[:-1])
        file.write(', "traceEvents": [\n')
        for i, entry in enumerate(trace_events(trace)):
            file.write(f"{',' if i else ' '}{json.dumps(entry)}\n")
        file.write("]}\n")
