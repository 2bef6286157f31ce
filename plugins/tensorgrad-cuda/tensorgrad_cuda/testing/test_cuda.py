"""`tensorgrad.cuda`, streams, shared memory and DLPack: also with NumPy in CuPy's place."""

from __future__ import annotations

import gc
import threading

import pytest

import tensorgrad
import tensorgrad.cuda
from tensorgrad import devices
from tensorgrad_cuda.discovery import cupy


def test_what_there_is(backend):
    assert tensorgrad.cuda.is_available() and tensorgrad.cuda.device_count() == backend.device_count() >= 1
    assert tensorgrad.cuda.get_device_name() == backend.device_name(0) != ""
    assert tensorgrad.cuda.current_device() == 0
    assert backend.device_properties(0)["total_memory"] > 0
    assert str(tensorgrad.ones(2).to("cuda").device) == "cuda:0"


def test_the_current_device_is_a_matter_of_a_block(backend):
    last = backend.device_count() - 1
    with tensorgrad.cuda.device(last):
        assert str(tensorgrad.ones(1, device="cuda").device) == f"cuda:{last}"
    assert tensorgrad.cuda.current_device() == 0
    with pytest.raises(RuntimeError, match="does not exist"):
        tensorgrad.cuda.set_device(last + 1)


def test_memory_that_is_taken_and_given_back(backend):
    gc.collect()
    before = tensorgrad.cuda.memory_allocated()
    x = tensorgrad.zeros(1 << 20, device="cuda")
    assert tensorgrad.cuda.memory_allocated() == before + (1 << 22)
    assert tensorgrad.cuda.max_memory_allocated() >= before + (1 << 22)
    del x
    assert tensorgrad.cuda.memory_allocated() == before
    assert tensorgrad.cuda.memory_reserved() >= before
    tensorgrad.cuda.reset_peak_memory_stats()
    assert tensorgrad.cuda.max_memory_allocated() == before
    tensorgrad.cuda.empty_cache()


def test_too_much_memory(backend):
    with pytest.raises(tensorgrad.OutOfMemoryError, match="cuda:0 out of memory"):
        tensorgrad.empty(1 << 50, device="cuda", dtype=tensorgrad.uint8)


def test_streams(backend):
    stream = tensorgrad.cuda.Stream()
    before = tensorgrad.cuda.current_stream()
    with tensorgrad.cuda.stream(stream):
        assert tensorgrad.cuda.current_stream() is stream
        assert cupy.cuda.get_current_stream().ptr == stream.cuda_stream, "CuPy's current stream is ours"
        x = tensorgrad.ones(1000, device="cuda") * 3
        event = stream.record_event()
    assert tensorgrad.cuda.current_stream() == before
    before.wait_event(event)
    assert (x + 1).tolist() == [4.0] * 1000
    event.synchronize()
    assert event.query() and stream.query()


def test_the_stream_that_cupy_was_told_is_used(backend):
    stream = cupy.cuda.Stream(non_blocking=True)
    before = tensorgrad.cuda.current_stream()
    stream.use()
    try:
        assert tensorgrad.cuda.current_stream().cuda_stream == stream.ptr
    finally:
        backend.set_stream(before)


def test_events_measure(backend):
    first, second = tensorgrad.cuda.Event(enable_timing=True), tensorgrad.cuda.Event(enable_timing=True)
    first.record()
    x = tensorgrad.ones(300, 300, device="cuda")
    (x @ x).exp()
    second.record()
    tensorgrad.cuda.synchronize()
    assert first.elapsed_time(second) > 0
    with pytest.raises(RuntimeError, match="enable_timing=True"):
        tensorgrad.cuda.Event().elapsed_time(second)


def test_a_late_error_goes_to_the_one_who_waits(backend):
    x = tensorgrad.ones(3, device="cuda")
    y = x.gather(0, tensorgrad.tensor([2, 9], device="cuda"))
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        tensorgrad.cuda.synchronize()
    del y
    assert x.tolist() == [1.0] * 3


def test_seeds(backend):
    results = []
    for _ in range(2):
        tensorgrad.cuda.manual_seed(5)
        results.append(tensorgrad.rand(4, device="cuda").tolist())
    tensorgrad.cuda.manual_seed_all(5)
    assert results[0] == results[1] == tensorgrad.rand(4).tolist()


# ---- DLPack ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "int64", "complex64", "float16", "bool", "uint8"])
def test_cupy_shares_memory_with_tensors(dtype, backend):
    x = tensorgrad.arange(12, device="cuda").reshape(3, 4).to(getattr(tensorgrad, dtype))[1:, ::2]
    shared = cupy.from_dlpack(x)
    assert shared.data.ptr == devices.device_array(x).handle.ptr + devices.device_array(x).offset, "not a copy"
    assert tuple(shared.shape) == (2, 2) and str(shared.dtype) == dtype
    again = tensorgrad.from_dlpack(shared)
    assert again.device == x.device and again.dtype is x.dtype and again.stride() == x.stride()
    again.zero_()
    assert x.to(tensorgrad.int64).tolist() == [[0, 0], [0, 0]], "one memory"


def test_shared_memory_lives_as_long_as_somebody_uses_it(backend):
    shared = cupy.from_dlpack(tensorgrad.full((5,), 7.0, device="cuda"))
    gc.collect()
    tensorgrad.zeros(5, device="cuda")
    x = tensorgrad.from_dlpack(shared)
    del shared
    gc.collect()
    tensorgrad.zeros(5, device="cuda")
    assert x.tolist() == [7.0] * 5
    live = tensorgrad.cuda.memory_allocated()
    del x
    gc.collect()
    assert tensorgrad.cuda.memory_allocated() <= live


def test_what_cannot_be_shared(backend):
    with pytest.raises(BufferError, match="bfloat16"):
        cupy.from_dlpack(tensorgrad.ones(2, dtype=tensorgrad.bfloat16, device="cuda"))
    with pytest.raises(BufferError, match="require gradient"):
        cupy.from_dlpack(tensorgrad.ones(2, device="cuda", requires_grad=True))


def test_threads_have_streams_of_their_own(backend):
    seen = []

    def work():
        with tensorgrad.cuda.stream(tensorgrad.cuda.Stream()):
            x = tensorgrad.arange(100.0, device="cuda")
            for _ in range(10):
                x = x + 1
            seen.append(x.sum().item())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [99 * 50 + 1000.0] * 3


# ---- pinned memory --------------------------------------------------------------------------------------------
def test_pinned_memory(backend):
    x = tensorgrad.arange(6.0).reshape(2, 3)
    assert not x.is_pinned()
    y = x.pin_memory()
    assert y.is_pinned() and y.pin_memory() is y and y.tolist() == x.tolist() and y.device.type == "cpu"
    assert y.to("cuda", non_blocking=True).tolist() == x.tolist()
    assert y.cuda(non_blocking=True).tolist() == x.tolist()
    z = tensorgrad.empty(2, 3, device="cuda")
    z.copy_(y, non_blocking=True)
    assert z.tolist() == x.tolist()
    half = x.to(tensorgrad.bfloat16).t().pin_memory()
    assert half.dtype is tensorgrad.bfloat16 and half.tolist() == x.t().tolist()
    with pytest.raises(RuntimeError, match="cannot pin"):
        z.pin_memory()


def test_only_copies_that_may_be_late_are(backend, monkeypatch):
    """A program that did not ask may write to its memory as soon as the copy returns."""
    pinned, pageable = tensorgrad.ones(4).pin_memory(), tensorgrad.ones(4)
    calls = []
    genuine = backend.copy_from_host_later
    monkeypatch.setattr(backend, "copy_from_host_later", lambda *args: (calls.append(args[2]), genuine(*args)))
    pinned.to("cuda")
    pageable.to("cuda")
    assert not calls
    pinned.to("cuda", non_blocking=True)
    assert len(calls) == 1, "and what is read is referred to"
    with pytest.raises(RuntimeError):
        tensorgrad.empty(3, device="cuda").copy_(pinned, non_blocking=True)
    pinned.to("cuda")
    assert len(calls) == 1, "an error leaves nothing behind"
