"""The table of a profile, column for column as PyTorch 2.13 prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_WIDTH = 12
_SPACING = "  "
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}


def format_time(microseconds: float, unit: str | None = None) -> str:
    """A time with the unit that suits it, or with the one that is named."""
    if unit is None:
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    return f"{microseconds / _UNITS[unit]:.3f}{unit}"


def format_share(part: float, total: float) -> str:
    """A part of a total in percent."""
    return f"{part * 100 / total:.2f}%" if total else "NaN"


def format_memory(nbytes: int) -> str:
    """A size with the unit that suits it."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(nbytes) >= factor:
            return f"{nbytes / factor:.2f} {unit}"
    return f"{nbytes} B"


def _cut_name(name: str, width: int | None) -> str:
    return name if width is None or len(name) < width - 3 else name[: width - 3] + "..."


def _cut_path(path: str, width: int) -> str:
    return path if len(path) <= width else "..." + path[len(path) - width + 3 :]


def _fitting(lengths: Sequence[int], limit: int | None) -> int:
    width = max(lengths, default=0) + 4
    return width if limit is None else min(width, limit)


def _sorted(events: Sequence[Any], sort_by: str, use_device: str | None) -> list[Any]:
    attribute = sort_by
    for device in ("cuda", "xpu", "privateuse1", *((use_device,) if use_device else ())):
        attribute = attribute.replace(device, "device")
    if not isinstance(getattr(events[0], attribute, None), (int, float)):
        raise AttributeError(
            f"'{type(events[0]).__name__}' object has no attribute '{sort_by}' to sort by: it is one of cpu_time, "
            "cpu_time_total, self_cpu_time_total, device_time, device_time_total, self_device_time_total, "
            "cpu_memory_usage, self_cpu_memory_usage, device_memory_usage, self_device_memory_usage and count"
        )
    return sorted(events, key=lambda event: getattr(event, attribute), reverse=True)


def build_table(
    events: Sequence[Any],
    use_device: str | None,
    profile_memory: bool,
    *,
    sort_by: str | None,
    row_limit: int,
    max_src_column_width: int | None,
    max_name_column_width: int | None,
    max_shapes_column_width: int | None,
    header: str | None,
    top_level_events_only: bool,
    time_unit: str | None,
) -> str:
    """See `EventList.table`."""
    if time_unit not in (None, *_UNITS):
        raise ValueError(f"time_unit must be one of 's', 'ms', 'us' and None, got {time_unit!r}")
    if not events:
        return ""
    if sort_by is not None:
        events = _sorted(events, sort_by, use_device)
    has_time = use_device is not None and any(event.self_device_time_total > 0 for event in events)
    has_memory = use_device is not None and any(event.self_device_memory_usage > 0 for event in events)
    has_shapes = any(event.input_shapes for event in events)
    stacks = [event.stack for event in events if event.stack]
    cpu_sum = sum(event.self_cpu_time_total for event in events)
    # A kernel's time is counted for the operator that ran it, and in a row of its own: here once.
    device_sum = sum(event.self_device_time_total for event in events if event.device_type != "cpu")
    device = (use_device or "").upper()

    names = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
    if has_time:
        names += [f"Self {device}", f"Self {device} %", f"{device} total", f"{device} time avg"]
    if profile_memory:
        names += ["CPU Mem", "Self CPU Mem"]
        if has_memory:
            names += [f"{device} Mem", f"Self {device} Mem"]
    names.append("# of Calls")
    widths = [_fitting([len(event.key) for event in events], max_name_column_width)]
    widths += [_WIDTH] * (len(names) - 1)
    if has_shapes:
        names.append("Input Shapes")
        widths.append(_fitting([len(str(event.input_shapes)) for event in events], max_shapes_column_width))
    if stacks:
        names.append("Source Location")
        widths.append(_fitting([len(entry) for stack in stacks for entry in stack], max_src_column_width))
    directions = [">"] * len(widths)
    if stacks:
        directions[-1] = "<"
    layout = "".join(f"{{: {way}{width}}}{_SPACING}" for way, width in zip(directions, widths))
    rule = "".join("-" * width + _SPACING for width in widths)
    length = sum(widths) + len(_SPACING) * (len(widths) - 1)

    def time(value: float) -> str:
        return format_time(value, time_unit)

    def cells(event: Any) -> list[Any]:
        row = [
            _cut_name(event.key, max_name_column_width),
            format_share(event.self_cpu_time_total, cpu_sum),
            time(event.self_cpu_time_total),
            format_share(event.cpu_time_total, cpu_sum),
            time(event.cpu_time_total),
            time(event.cpu_time),
        ]
        if has_time:
            row += [
                time(event.self_device_time_total),
                format_share(event.self_device_time_total, device_sum),
                time(event.device_time_total),
                time(event.device_time),
            ]
        if profile_memory:
            row += [format_memory(event.cpu_memory_usage), format_memory(event.self_cpu_memory_usage)]
            if has_memory:
                row += [format_memory(event.device_memory_usage), format_memory(event.self_device_memory_usage)]
        row.append(event.count)
        if has_shapes:
            row.append(str(event.input_shapes)[: widths[len(row)]])
        if stacks:
            row.append(_cut_path(event.stack[0], widths[-1]) if event.stack else "")
        return row

    lines = []
    if header is not None:
        lines += ["=" * length, header]
    if top_level_events_only:
        lines += ["=" * length, "This report only display top-level ops statistics"]
    lines += [rule, layout.format(*names), rule]
    shown = [event for event in events if not (top_level_events_only and event.cpu_parent is not None)]
    for event in shown if row_limit < 0 else shown[:row_limit]:
        lines.append(layout.format(*cells(event)))
        if stacks:
            blank = [""] * (len(widths) - 1)
            lines += [layout.format(*blank, _cut_path(entry, widths[-1])) for entry in event.stack[1:]]
            lines.append(layout.format(*blank, ""))
    lines += [rule, f"Self CPU time total: {time(cpu_sum)}"]
    if has_time:
        lines.append(f"Self {device} time total: {time(device_sum)}")
    return "".join(f"{line}\n" for line in lines)
