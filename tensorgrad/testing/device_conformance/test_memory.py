"""Memory and errors: nothing is lost, nothing is freed twice, and what goes wrong says what it was."""

from __future__ import annotations

import gc
import sys
import threading

import pytest

import tensorgrad
from tensorgrad import devices

pytestmark = pytest.mark.smoke


@pytest.fixture
def counted(backend, monkeypatch):
    """Allocations and frees of the backend, from here on."""
    counts = {"allocate": 0, "free": 0, "live": {}}
    allocate, free = backend.allocate, backend.free

    def counting_allocate(nbytes, index):
        handle = allocate(nbytes, index)
        if handle is not None:
            counts["allocate"] += 1
            assert id(handle) not in counts["live"], "a handle was given out twice"
            counts["live"][id(handle)] = handle
        return handle

    def counting_free(handle, nbytes, index):
        counts["free"] += 1
        counts["live"].pop(id(handle), None)
        free(handle, nbytes, index)

    gc.collect()
    monkeypatch.setattr(backend, "allocate", counting_allocate)
    monkeypatch.setattr(backend, "free", counting_free)
    yield counts
    gc.collect()


def test_every_allocation_is_freed_once(device, counted):
    x = tensorgrad.ones(8, 8, device=device, requires_grad=True)
    loss = (x @ x).sigmoid().log().sum()
    loss.backward()
    with pytest.raises(RuntimeError):
        x.reshape(3)
    assert counted["live"]
    del x, loss
    gc.collect()
    assert not counted["live"]
    assert counted["allocate"] == counted["free"] > 0


def test_memory_does_not_grow(device, backend, index):
    """A loop of training needs as much memory after a hundred steps as after ten."""

    def steps(n):
        w = tensorgrad.ones(64, 64, device=device, requires_grad=True)
        for _ in range(n):
            loss = (w @ w).tanh().sum()
            (gradient,) = tensorgrad.autograd.grad(loss, [w])
            w = (w.detach() - 1e-3 * gradient).requires_grad_()
        loss.item()
        return backend.memory_stats(index)

    gc.collect()
    first, second = steps(10), steps(100)
    assert {"live", "peak", "cached"} & set(first) == {"live", "peak", "cached"} & set(second)
    for name in first:
        assert second[name] <= first[name] + (1 << 16), (name, first, second)


def test_statistics(device, backend, index):
    stats = backend.memory_stats(index)
    if "live" not in stats:
        pytest.skip("the backend keeps no statistics of its memory")
    gc.collect()
    before = backend.memory_stats(index)["live"]
    x = tensorgrad.zeros(1 << 16, device=device)
    assert backend.memory_stats(index)["live"] >= before + (1 << 18)
    del x
    gc.collect()
    assert backend.memory_stats(index)["live"] == before
    backend.empty_cache()
    assert backend.memory_stats(index).get("cached", 0) == 0
    assert tensorgrad.ones(3, device=device).tolist() == [1.0] * 3


def test_memory_is_freed_from_another_thread(device, counted):
    box = [tensorgrad.ones(4, device=device)]
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert not counted["live"]


def test_threads_work_side_by_side(device):
    errors = []

    def work(seed):
        try:
            x = tensorgrad.arange(1000.0, device=device) + seed
            for _ in range(20):
                x = x * 0.5 + seed
                assert abs(x[0].item() - x.cpu()[0].item()) == 0
            expected = tensorgrad.arange(1000.0) + seed
            for _ in range(20):
                expected = expected * 0.5 + seed
            assert (x.cpu() - expected).abs().max().item() < 1e-4 * max(1, seed)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_a_free_that_fails_is_reported_and_goes_on(device, backend, monkeypatch):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(str(report.exc_value)))
    x = tensorgrad.ones(4, device=device)
    genuine = backend.free

    def free(handle, nbytes, index):
        genuine(handle, nbytes, index)
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(backend, "free", free)
    with pytest.raises(KeyError):
        del x
        raise KeyError
    assert reports == ["the driver is gone"]


def test_running_out_of_memory(device, backend, monkeypatch):
    """What the device cannot have is refused as such, and nothing is broken afterwards."""
    x = tensorgrad.ones(4, device=device)
    with pytest.raises(tensorgrad.OutOfMemoryError, match=f"{device} out of memory") as caught:
        tensorgrad.empty(1 << 47, dtype=tensorgrad.uint8, device=device)
    assert isinstance(caught.value.__cause__, MemoryError)
    with monkeypatch.context() as patched:

        def allocate(nbytes, index):
            raise MemoryError

        patched.setattr(backend, "allocate", allocate)
        with pytest.raises(tensorgrad.OutOfMemoryError, match="16 bytes"):
            x + 1
        assert x.add_(1).tolist() == [2.0] * 4, "in place nothing is needed"
    assert (x + 1).tolist() == [3.0] * 4


def test_no_pointer_leads_to_the_memory(device):
    x = tensorgrad.ones(4, device=device)
    assert x.data_ptr() == 0
    assert x.untyped_storage().nbytes() == 16
    with pytest.raises(TypeError):
        x.numpy()


def test_an_index_out_of_range_is_an_error(device):
    """At once, or from a device that cannot tell without waiting, when something waits for it."""
    x = tensorgrad.ones(3, 2, device=device)

    def waited(call):
        call()
        devices.synchronize(device)

    for call, wrong in (
        (lambda: x.gather(0, tensorgrad.tensor([[7, 0]], device=device)), 7),
        (lambda: x[tensorgrad.tensor([1, 5], device=device)], 5),
        (lambda: x.scatter_add(0, tensorgrad.tensor([[-1, 0]], device=device), x[:1]), -1),
    ):
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds"):
            waited(call)
        assert (x + 1).tolist() == [[2.0] * 2] * 3, "the device goes on"


def test_a_device_that_does_not_exist(device, backend):
    kind = device.partition(":")[0]
    count = backend.device_count()
    with pytest.raises(RuntimeError, match=f"device '{kind}:{count}' does not exist"):
        tensorgrad.ones(2, device=f"{kind}:{count}")


def test_what_the_backend_says_of_itself(device, backend, index):
    assert backend.contract_version == devices.CONTRACT_VERSION
    assert "contract_version" in vars(type(backend)), "an inherited version would always be the right one"
    assert backend.is_available() is True
    assert 0 <= index < backend.device_count()
    assert 0 <= backend.current_device() < backend.device_count()
    assert isinstance(backend.device_name(index), str)
    assert isinstance(backend.device_properties(index), dict)
    for dtype in ("bool", "int64", "float32", "complex64"):
        assert backend.supports(dtype, index), "every device computes these"
