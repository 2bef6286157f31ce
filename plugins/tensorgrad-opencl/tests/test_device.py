"""What the conformance suite cannot know: the pool, the cache of binaries, threads and streams of this plugin."""

import gc

import numpy as np
import pytest

import tensorgrad
from tensorgrad import devices
from tensorgrad_opencl.binaries import BinaryCache

try:
    BACKEND = devices.backend("opencl")
    REASON = BACKEND.unavailable_reason()
except RuntimeError as error:
    BACKEND, REASON = None, str(error)
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def device():
    tensorgrad.ones(1, device="opencl")
    return BACKEND._device(0)


def test_freed_memory_is_used_again():
    gc.collect()
    pool = device().pool
    x = tensorgrad.zeros(1000, device="opencl")
    buffer = devices.device_array(x).handle.buffer
    del x
    cached = pool.cached
    y = tensorgrad.zeros(999, device="opencl")
    assert devices.device_array(y).handle.buffer is buffer
    assert pool.cached < cached


def test_memory_of_another_queue_is_left_alone():
    stream = BACKEND.stream(0)
    x = tensorgrad.zeros(5000, device="opencl")
    buffer = devices.device_array(x).handle.buffer
    del x
    before = BACKEND.current_stream(0)
    BACKEND.set_stream(stream)
    try:
        y = tensorgrad.zeros(5000, device="opencl")
        assert devices.device_array(y).handle.buffer is not buffer
    finally:
        BACKEND.set_stream(before)


def test_more_than_the_device_allocates_at_a_time():
    pool = device().pool
    with pytest.raises(tensorgrad.OutOfMemoryError) as caught:
        tensorgrad.empty(pool.largest + 1, dtype=tensorgrad.uint8, device="opencl")
    assert "at most at a time" in str(caught.value.__cause__)


def test_binaries_are_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORGRAD_OPENCL_CACHE", str(tmp_path))
    cl_device = device()
    monkeypatch.setattr(cl_device, "binaries", BinaryCache(cl_device.cl_device, cl_device.options))
    x = tensorgrad.tensor([1.5, 2.5], device="opencl")
    expected = (x * 3 - 1).tolist()
    for _ in range(2):
        monkeypatch.setattr(cl_device, "kernels", {})
        assert (x * 3 - 1).tolist() == expected
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2, "an operator each"
    times = [path.stat().st_mtime_ns for path in files]
    for path in files:
        path.write_bytes(b"cut off")
    monkeypatch.setattr(cl_device, "kernels", {})
    assert (x * 3 - 1).tolist() == expected
    assert [path.stat().st_mtime_ns for path in files] != times


def test_atomic_additions_are_complete():
    index = tensorgrad.randint(0, 3, (10000,))
    for dtype in (tensorgrad.float32, tensorgrad.int32, tensorgrad.int64, tensorgrad.complex64):
        ones = tensorgrad.ones(10000, dtype=dtype)
        expected = tensorgrad.zeros(3, dtype=dtype).index_add(0, index, ones)
        there = tensorgrad.zeros(3, dtype=dtype, device="opencl").index_add(0, index.to("opencl"), ones.to("opencl"))
        np.testing.assert_array_equal(there.cpu().numpy(), expected.numpy())


def test_the_name_of_the_device_is_the_drivers():
    assert BACKEND.device_name(0) == device().cl_device.name.strip()
    properties = BACKEND.device_properties(0)
    assert properties["total_memory"] > 0 and properties["platform"]
    with pytest.raises(RuntimeError, match="OpenCL device 99 does not exist"):
        BACKEND.set_device(99)
