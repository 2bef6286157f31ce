"""What only a real GPU can show: asynchrony, other libraries' memory, the driver's limits, speed that is not absurd."""

from __future__ import annotations

import time

import numpy as np
import pytest

import tensorgrad
import tensorgrad.cuda
from tensorgrad_cuda.discovery import cupy, runtime

pytestmark = pytest.mark.gpu


def test_kernels_run_while_the_program_goes_on(backend):
    x = tensorgrad.ones(4096, 4096, device="cuda")
    x @ x
    tensorgrad.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(20):
        y = x @ x
    asked = time.perf_counter() - begin
    tensorgrad.cuda.synchronize()
    assert asked < 0.5 * (time.perf_counter() - begin)
    assert y[0, 0].item() == 4096.0


def test_torch_shares_memory_with_tensors(backend):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    x = tensorgrad.arange(6.0, device="cuda").reshape(2, 3)
    shared = torch.from_dlpack(x)
    assert shared.is_cuda and shared.tolist() == x.tolist()
    shared.mul_(2)
    torch.cuda.synchronize()
    assert x.tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
    back = tensorgrad.from_dlpack(torch.full((3,), 5.0, device="cuda"))
    assert back.device.type == "cuda" and back.tolist() == [5.0] * 3


def test_memory_is_the_drivers(backend):
    pool = cupy.get_default_memory_pool()
    tensorgrad.cuda.empty_cache()
    free, _ = runtime.memGetInfo()
    x = tensorgrad.zeros(1 << 26, device="cuda")
    tensorgrad.cuda.synchronize()
    assert pool.used_bytes() >= 1 << 28
    assert runtime.memGetInfo()[0] <= free - (1 << 28) + (1 << 22)
    del x
    tensorgrad.cuda.empty_cache()
    assert runtime.memGetInfo()[0] >= free - (1 << 24)


def test_running_out_and_going_on(backend):
    total = backend.device_properties(0)["total_memory"]
    kept = []
    with pytest.raises(tensorgrad.OutOfMemoryError):
        for _ in range(64):
            kept.append(tensorgrad.empty(total // 16, dtype=tensorgrad.uint8, device="cuda"))
    kept.clear()
    assert tensorgrad.ones(4, device="cuda").sum().item() == 4.0


def test_two_streams_do_not_disturb_each_other(backend):
    streams = [tensorgrad.cuda.Stream() for _ in range(2)]
    results = []
    for i, stream in enumerate(streams):
        with tensorgrad.cuda.stream(stream):
            x = tensorgrad.full((1 << 20,), float(i), device="cuda")
            for _ in range(50):
                x = x + 1
            results.append(x)
    for i, (stream, x) in enumerate(zip(streams, results)):
        stream.synchronize()
        with tensorgrad.cuda.stream(stream):
            assert (x - (50 + i)).abs().max().item() == 0


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("float64", 1e-12), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_large_products_keep_their_digits(dtype, rtol, backend):
    """float32 is not rounded to TF32, and halves are added up in float."""
    rng = np.random.default_rng(0)
    a, b = rng.random((512, 700)), rng.random((700, 256))
    x, y = [tensorgrad.tensor(v).to(getattr(tensorgrad, dtype)) for v in (a, b)]
    exact = x.double().numpy() @ y.double().numpy()
    product = (x.to("cuda") @ y.to("cuda")).cpu().double().numpy()
    np.testing.assert_allclose(product, exact, rtol=rtol)


def test_long_rows_of_all_kinds(backend):
    x = (tensorgrad.arange(1 << 24) % 7).float()
    there = x.to("cuda")
    assert there.sum().item() == x.double().sum().item()
    assert there.reshape(4096, 4096).sum(0).cpu().equal(x.reshape(4096, 4096).double().sum(0).float())
    assert there.cumsum(0, dtype=tensorgrad.float64)[-1].item() == x.double().sum().item()
    values, order = there[: 1 << 20].sort(stable=True)
    expected, places = x[: 1 << 20].sort(stable=True)
    assert values.cpu().equal(expected) and order.cpu().equal(places)


def test_elementwise_kernels_are_bound_by_memory(backend):
    """At least a third of what a copy by the driver moves in the same time."""
    n = 1 << 26
    x, y = tensorgrad.ones(n, device="cuda"), tensorgrad.ones(n, device="cuda")

    def seconds(call):
        call()
        first, second = tensorgrad.cuda.Event(True), tensorgrad.cuda.Event(True)
        first.record()
        for _ in range(10):
            call()
        second.record()
        second.synchronize()
        return first.elapsed_time(second) / 1e4

    copied = 2 * 4 * n / seconds(lambda: y.copy_(x))
    added = 3 * 4 * n / seconds(lambda: tensorgrad.add(x, y, out=y))
    assert added > copied / 3
