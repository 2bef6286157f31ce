"""Streams, events and the times of kernels, on devices that have them."""

from __future__ import annotations

import threading
import time

import pytest

import tensorgrad
from tensorgrad import devices

pytestmark = pytest.mark.smoke


@pytest.fixture
def streams(backend):
    """The backend, if it has streams; the current one is put back."""
    if backend.stream is None:
        pytest.skip("the backend has no streams")
    before = [(i, backend.current_stream(i)) for i in range(backend.device_count())]
    yield backend
    for _, stream in before:
        backend.set_stream(stream)


def test_synchronize(device):
    x = tensorgrad.ones(100, 100, device=device)
    for _ in range(10):
        x = x @ x * 0.01
    devices.synchronize(device)
    assert x[0, 0].item() == pytest.approx(1.0)


def test_work_of_two_streams(device, streams, index):
    a, b = streams.stream(index), streams.stream(index)
    x = tensorgrad.ones(1000, device=device)
    devices.synchronize(device)
    streams.set_stream(a)
    assert streams.current_stream(index) is a
    y = x
    for _ in range(50):
        y = y + 1
    event = a.record_event()
    streams.set_stream(b)
    b.wait_event(event)
    z = y * 2
    b.synchronize()
    assert b.query()
    assert z.tolist() == [102.0] * 1000
    a.synchronize()


def test_the_current_stream_is_a_matter_of_the_thread(device, streams, index):
    mine = streams.stream(index)
    streams.set_stream(mine)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(streams.current_stream(index)))
    thread.start()
    thread.join()
    assert streams.current_stream(index) is mine and seen[0] is not mine


def test_events(device, streams, index):
    stream = streams.current_stream(index)
    first, second = streams.event(True), streams.event(True)
    x = tensorgrad.ones(200, 200, device=device)
    first.record(stream)
    for _ in range(5):
        x = x @ x * 0.005
    second.record(stream)
    second.synchronize()
    assert first.query() and second.query()
    assert first.elapsed_time(second) > 0


def test_times_of_kernels(device, backend, index):
    if backend.start_profiling is None:
        pytest.skip("the backend does not measure its kernels")
    x = tensorgrad.ones(300, 300, device=device)
    begin = time.perf_counter_ns()
    backend.start_profiling()
    (x @ x).exp().sum()
    times = backend.stop_profiling()
    end = time.perf_counter_ns()
    assert len(times) >= 3
    for kernel in times:
        assert isinstance(kernel, devices.KernelTime)
        assert begin <= kernel.launched <= end
        assert 0 < kernel.duration <= end - begin
        assert kernel.thread == threading.get_ident() and kernel.device_index == index
    names = [kernel.name for kernel in times]
    assert "matmul" in names and "exp" in names, names
    backend.start_profiling()
    assert not backend.stop_profiling(), "what was returned is forgotten"
