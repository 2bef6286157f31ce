"""Memory, continued: fused operators, optimisers, profiler, checkpoints, long chains of views, attributes, subclasses, threads."""

import collections
import gc
import sys
import threading
import weakref

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad._core.types import memory_stats
from tensorgrad.autograd import profiler
from tensorgrad.utils.checkpoint import checkpoint
from tensorgrad_nn import functional as F


def fused():
    x = tensorgrad.rand(4, 3, 8, 8, requires_grad=True)
    weight = tensorgrad.rand(6, 3, 3, 3, requires_grad=True)
    y = F.max_pool2d(F.conv2d(x, weight, padding=1), 2)
    y = F.avg_pool2d(F.layer_norm(y, y.shape[1:]), 2).flatten(1)
    F.cross_entropy(y, tensorgrad.zeros(4, dtype=tensorgrad.int64)).backward()
    F.log_softmax(y, -1).softmax(0).sum()


def native_forwards():
    x = tensorgrad.rand(3, 4, 5, requires_grad=True)
    y = x.transpose(0, 1).reshape(12, 5)[2:, ::2].unsqueeze(0).squeeze().expand(2, 10, 3)
    y = tensorgrad.cat(tensorgrad.stack(y.unbind(1)).split((4, 6)), 0).flatten().view(-1, 2)
    y[tensorgrad.tensor([0, 1])].sum().backward()
    x.max(1).values.argmax(0)
    tensorgrad.zeros_like(x).new_ones(3).cumsum(0)
    x.detach().sort(descending=True)


def errors():
    x = tensorgrad.rand(3, 4, requires_grad=True)
    for f in (
        lambda: x.view(5, 5),
        lambda: x + tensorgrad.ones(7),
        lambda: x @ x,
        lambda: x.narrow(0, 2, 9),
        lambda: x.view(object()),
        lambda: tensorgrad.cat([x, x[0]]),
        lambda: x.sum("a"),
        lambda: x.gather(0, tensorgrad.full((1, 4), 9)),
        lambda: x.expand(1 << 40, 1 << 40, 4),
        lambda: F.conv2d(x, x),
        lambda: F.cross_entropy(x, tensorgrad.full((3,), 9)),
    ):
        with pytest.raises((RuntimeError, TypeError, IndexError)):
            f()


def steps(optimizer):
    def work():
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2))
        opt = optimizer(model.parameters(), lr=0.01)
        for _ in range(3):
            opt.zero_grad()
            model(tensorgrad.ones(5, 4)).sum().backward()
            opt.step()
        opt.load_state_dict(opt.state_dict())

    work.__name__ = optimizer.__name__
    return work


def profiled():
    x = tensorgrad.ones(100, requires_grad=True)
    with profiler.profile(profile_memory=True, record_shapes=True) as p:
        (x * x).exp().sum().backward()
    p.key_averages()


def checkpointed():
    x = tensorgrad.ones(1000, requires_grad=True)
    for use_reentrant in (False, True):
        checkpoint(lambda x: (x * x).exp(), x, use_reentrant=use_reentrant).sum().backward()


def attributes():
    x = tensorgrad.ones(1000, requires_grad=True)
    x.note, x.self = [x], x
    y = x * 1
    y.kept = (y, x)
    y.sum().backward()
    del x.__dict__["self"]


class Noisy(tensorgrad.Tensor):
    died = 0

    def __del__(self):
        Noisy.died += 1
        (self + 1).sum()


def subclasses():
    before = Noisy.died
    x = tensorgrad.ones(1000).as_subclass(Noisy)
    x.requires_grad_()
    x.loop = x
    y = (x * 1).as_subclass(Noisy)
    y.sum().backward()
    del x, y
    gc.collect()
    assert Noisy.died == before + 2


def weak():
    x = tensorgrad.ones(1000, requires_grad=True)
    y = x * 2
    seen = []
    references = [weakref.ref(o, seen.append) for o in (x, y, y.grad_fn)]
    y.sum().backward()
    del x, y
    assert len(seen) == 3
    assert all(r() is None for r in references)


WORK = [fused, native_forwards, errors, steps(optim.SGD), steps(optim.Adam), steps(optim.RMSprop), profiled, checkpointed, attributes,
        subclasses, weak]  # fmt: skip


@pytest.mark.parametrize("work", WORK, ids=lambda f: f.__name__)
def test_nothing_stays_behind(work):
    for _ in range(3):
        work()
    gc.collect()
    before, objects = memory_stats()["live"], len(gc.get_objects())
    for _ in range(10):
        work()
    gc.collect()
    assert memory_stats()["live"] == before
    assert len(gc.get_objects()) <= objects + 10


def test_chains_of_views_die_without_recursion():
    before = memory_stats()["live"]
    x = tensorgrad.ones(2, 3)
    view = x
    for _ in range(300_000):
        view = view.t()
    assert view._base is x
    assert view.tolist() == x.tolist()
    del view
    for recording in (False, True):
        y = tensorgrad.ones(2, requires_grad=recording)
        for _ in range(50_000):
            y = y.view(2)[:]
        del y
    del x
    assert memory_stats()["live"] == before


def test_long_chains_of_attributes_die_without_recursion():
    before = memory_stats()["live"]
    x = tensorgrad.ones(1)
    for _ in range(50_000):
        y = tensorgrad.ones(1)
        y.before = x
        x = y
    del x, y
    gc.collect()
    assert memory_stats()["live"] == before


# ---- training -----------------------------------------------------------------------------------------------
def train(steps, measure_from, found):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    opt = optim.Adam(model.parameters(), lr=1e-3)
    x, target = tensorgrad.rand(6, 4), tensorgrad.tensor([0, 1, 2, 0, 1, 2])
    for step in range(steps):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        opt.step()
        if step == measure_from or step == steps - 1:
            del loss
            found.append(state())


def state():
    gc.collect()
    kinds = collections.Counter([type(o).__name__ for o in gc.get_objects()])
    return memory_stats()["live"], {k: n for k, n in kinds.items() if k not in ("frame", "tuple", "list", "dict", "cell")}


def test_ten_thousand_steps_keep_memory_and_objects_constant():
    state()     # what is counted fills caches of Python's own when it first runs
    found = []
    train(10_000, 100, found)
    assert found[0][0] == found[1][0]
    grown = {k: (found[0][1].get(k, 0), n) for k, n in found[1][1].items() if n > found[0][1].get(k, 0)}
    assert not grown


def test_two_threads_train_and_leave_nothing():
    def run():
        threads = [threading.Thread(target=train, args=(500, 0, [])) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    run()
    before, kinds = state()
    for _ in range(3):
        run()
    live, after = state()
    assert live == before
    grown = {k: (kinds.get(k, 0), n) for k, n in after.items() if n > kinds.get(k, 0) + 3}
    assert not grown


# ---- tensors that change under a running kernel -----------------------------------------------------------------
@pytest.mark.parametrize("change", ["data", "resize_", "set_"])
def test_a_kernel_keeps_the_memory_that_it_was_given(change):
    """Kernels run without the GIL: another thread may exchange a tensor's memory and shape meanwhile."""
    n = 300
    box = {"x": tensorgrad.ones(n, n), "stop": False}
    index = tensorgrad.zeros(n, n, dtype=tensorgrad.int64)

    def exchange():
        while not box["stop"]:
            x = box["x"]
            if change == "data":
                x.data = tensorgrad.ones(1)
                x.data = tensorgrad.ones(n, n)
            elif change == "resize_":
                x.set_(tensorgrad.ones(2))
                x.resize_(n, n).fill_(1)
            else:
                x.set_(tensorgrad.ones(1, 1, 1))
                x.set_(tensorgrad.ones(n, n))

    thread = threading.Thread(target=exchange)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    done = 0
    try:
        for i in range(600):
            x = box["x"]
            try:
                (
                    lambda x: x.exp(),
                    lambda x: x.t() + x,
                    lambda x: x.sum(0),
                    lambda x: x @ x,
                    lambda x: x.softmax(1),
                    lambda x: x.argmax(1),
                    lambda x: x.cumsum(0),
                    lambda x: x.gather(0, index),
                    lambda x: x.sort(0),
                    lambda x: x.t().clone(),
                    lambda x: F.layer_norm(x, (n,)),
                    lambda x: F.avg_pool2d(x[None], 2),
                )[i % 12](x)
                done += 1
            except (RuntimeError, IndexError, ValueError):
                pass  # its shape no longer fits
    finally:
        box["stop"] = True
        thread.join()
        sys.setswitchinterval(interval)
    assert done > 10
