"""The profiler on a plugin's device: its kernels, its columns, its own rows."""

import itertools
import json
import re
import time

import pytest

import tensorgrad
from tensorgrad.autograd.profiler import profile
from tensorgrad.profiler import profile as scheduled_profile


@pytest.fixture
def slow_ghost(ghost, monkeypatch):
    """Each kernel takes a millisecond and more."""
    original = type(ghost).pointwise

    def pointwise(self, *args):
        time.sleep(0.001)
        original(self, *args)

    monkeypatch.setattr(type(ghost), "pointwise", pointwise)
    return ghost


class Stream:
    """Counts how much work it was given."""

    def __init__(self):
        self.clock = 0.0


class Event:
    def __init__(self):
        self.time = None

    def record(self, stream):
        stream.clock += 0.25
        self.time = stream.clock

    def elapsed_time(self, other):
        return other.time - self.time


def test_columns_and_rows_of_the_device(slow_ghost):
    x = tensorgrad.ones(2, 3, device="ghost")
    with profile(use_device="ghost") as prf:
        for _ in range(3):
            x * x
    averages = prf.key_averages()
    rows = {row.key: row for row in averages}
    mul, kernel = rows["tensorgrad::mul"], rows["ghost::mul"]
    assert mul.count == kernel.count == 3
    assert kernel.device_type == "ghost" and kernel.self_cpu_time_total == 0
    assert mul.self_device_time_total == mul.device_time_total == kernel.self_device_time_total >= 3000
    assert rows["ghostLaunchKernel"].count == 3
    assert rows["ghostLaunchKernel"].device_time_total == 0
    for name in ("ghostGetDeviceCount", "ghostGetDeviceProperties", "ghostDeviceSynchronize"):
        assert rows[name].count == 1
    table = averages.table(sort_by="self_ghost_time_total")
    header = re.split(r"\s{2,}", table.splitlines()[1].strip())
    assert header[6:10] == ["Self GHOST", "Self GHOST %", "GHOST total", "GHOST time avg"]
    assert header[10] == "# of Calls"
    assert re.search(r"tensorgrad::mul .* 100\.00% ", table)
    total = kernel.self_device_time_total / 1000
    assert table.splitlines()[-1] == f"Self GHOST time total: {total:.3f}ms"
    children = sum(child._ns for event in prf.function_events for child in event.cpu_children)
    assert children > 0
    top = sum(event.cpu_time_total for event in prf.function_events if event.cpu_parent is None)
    assert averages.self_cpu_time_total == pytest.approx(top)


def test_without_the_device_kernels_are_rows_of_the_cpu(ghost):
    x = tensorgrad.ones(2, 3, device="ghost")
    with profile() as prf:
        x + x
        x.cpu()
    rows = {row.key: row for row in prf.key_averages()}
    assert rows["ghost::add"].count == 1
    assert rows["ghost::add"].self_cpu_time_total > 0
    assert "ghost::copy_to_host" in rows
    assert "GHOST" not in prf.key_averages().table()


def test_copies_are_named_as_a_driver_names_them(ghost):
    with profile(use_device="ghost") as prf:
        x = tensorgrad.ones(2, 3).to("ghost")
        x.zero_()
        x.cpu()
    rows = {row.key for row in prf.key_averages()}
    assert {"ghostMemcpyHtoD", "ghostMemcpyDtoH", "ghostMemset"} <= rows


def test_memory_of_the_device(ghost):
    with profile(use_device="ghost", profile_memory=True) as prf:
        x = tensorgrad.ones(2, 3, device="ghost")
        y = x + x
        del x
    rows = {row.key: row for row in prf.key_averages()}
    assert rows["tensorgrad::add"].self_device_memory_usage == 24
    assert rows["tensorgrad::add"].cpu_memory_usage == 0
    assert rows["[memory]"].device_memory_usage == -24
    header = re.split(r"\s{2,}", prf.key_averages().table().splitlines()[1].strip())
    assert header[-5:] == ["CPU Mem", "Self CPU Mem", "GHOST Mem", "Self GHOST Mem", "# of Calls"]
    del y


def test_the_devices_own_events_give_the_time(ghost, monkeypatch):
    stream = Stream()
    monkeypatch.setattr(type(ghost), "event", lambda self, timing: Event())
    monkeypatch.setattr(type(ghost), "current_stream", lambda self, index: stream)
    x = tensorgrad.ones(2, 3, device="ghost")
    with profile(use_device="ghost") as prf:
        x * x
        x * x
    rows = {row.key: row for row in prf.key_averages()}
    assert rows["ghost::mul"].self_device_time_total == 2 * 250.0


def test_a_device_whose_events_fail_is_timed_by_the_clock(ghost, monkeypatch):
    class Broken(Event):
        def elapsed_time(self, other):
            raise RuntimeError("the queue does not measure time")

    x = tensorgrad.ones(2, 3, device="ghost")
    monkeypatch.setattr(type(ghost), "event", lambda self, timing: Broken())
    monkeypatch.setattr(type(ghost), "current_stream", lambda self, index: Stream())
    with profile(use_device="ghost") as prf:
        y = x + x
    with pytest.warns(UserWarning, match="the queue does not measure time"):
        rows = {row.key: row for row in prf.key_averages()}
    assert rows["ghost::add"].self_device_time_total > 0

    def refuse(self, timing):
        raise RuntimeError("no events left")

    monkeypatch.setattr(type(ghost), "event", refuse)
    with pytest.warns(UserWarning, match="no events left"), profile(use_device="ghost") as prf:
        y = x + x
    assert y.tolist() == [[2.0] * 3] * 2
    assert {row.key: row for row in prf.key_averages()}["ghost::add"].self_device_time_total > 0


def test_a_kernel_that_fails_closes_its_event(ghost, monkeypatch):
    def fail(self, *args):
        raise NotImplementedError("not this one")

    x = tensorgrad.ones(2, device="ghost")
    with profile(use_device="ghost") as prf:
        with monkeypatch.context() as patched:
            patched.setattr(type(ghost), "pointwise", fail)
            with pytest.raises(NotImplementedError, match="not this one"):
                x * x
        x + x
    mul, add = (e for e in prf.function_events if e.name in ("tensorgrad::mul", "tensorgrad::add"))
    assert mul.cpu_parent is add.cpu_parent is None


def test_trace_has_a_lane_for_the_device(ghost, tmp_path):
    x = tensorgrad.ones(2, 3, device="ghost")
    with scheduled_profile(activities=["ghost"], profile_memory=True) as prof:
        (x * x).sum()
    prof.export_chrome_trace(tmp_path / "trace.json")
    entries = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    kernels = [e for e in entries if e["ph"] == "X" and e["cat"] == "kernel"]
    assert [e["name"] for e in kernels] == ["ghost::mul", "ghost::reduce"]
    assert {e["pid"] for e in kernels} == {"ghost:0"}
    for before, after in itertools.pairwise(kernels):
        assert before["ts"] + before["dur"] <= after["ts"] + 1e-6
    assert len([e for e in entries if e["ph"] == "s" and e["cat"] == "ac2g"]) == 2
    assert "[memory] ghost:0" in {e["name"] for e in entries if e["ph"] == "C"}
