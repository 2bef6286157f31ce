"""The traversal itself: depth, order, threads, re-entry, and that nothing stays behind."""

import gc
import threading
import weakref

import pytest

import tensorgrad
from tensorgrad import autograd
from tensorgrad.autograd import Function

DEPTH = 100_000


def leaf(values, **kwargs):
    return tensorgrad.tensor(values, requires_grad=True, **kwargs)


def test_a_deep_graph_runs_and_dies_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(DEPTH):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0
    del y
    y = x
    for _ in range(DEPTH):
        y = y * 1.0
    del y, x


def test_a_deep_graph_with_inputs():
    x = leaf(1.0)
    y = x
    for _ in range(DEPTH):
        y = y + 1
    (g,) = autograd.grad(y, x)
    assert g.item() == 1.0


def test_a_deep_graph_of_functions():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x + 0

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = Same.apply(y)
    y.backward()
    assert x.grad.item() == 1.0
    y = x
    for _ in range(20_000):
        y = Same.apply(y)
    del y


def test_a_deep_graph_of_in_place_writes():
    x = leaf([1.0, 1.0])
    y = x * 1
    for _ in range(2_000):
        y[0].mul_(1.0)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_a_wide_graph():
    x = leaf(1.0)
    parts = [x * i for i in range(1000)]
    tensorgrad.stack(parts).sum().backward()
    assert x.grad.item() == sum(range(1000))


def test_a_graph_that_doubles_runs_each_node_once():
    x = leaf(1.0, dtype=tensorgrad.float64)
    y = x
    for _ in range(50):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**50


def test_retain_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6.0, 12.0]
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()
    z = x.sum()
    z.backward()
    z.backward()


def test_a_failing_backward_leaves_a_working_engine():
    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("mine")

    x = leaf([1.0])
    with pytest.raises(KeyError, match="mine"):
        (Fails.apply(x) * 2).sum().backward()
    assert x.grad is None and tensorgrad.is_grad_enabled()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_backward_inside_backward():
    class Reentrant(Function):
        @staticmethod
        def forward(ctx, x):
            with tensorgrad.enable_grad():
                ctx.x = x.detach().requires_grad_()
                ctx.y = (ctx.x**2).sum()
            return ctx.y.detach()

        @staticmethod
        def backward(ctx, g):
            with tensorgrad.enable_grad():
                ctx.y.backward(retain_graph=True)
            return ctx.x.grad * g

    x = leaf([1.0, 2.0])
    (Reentrant.apply(x) * 3).backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_nested_reentry():
    class Deeper(Function):
        @staticmethod
        def forward(ctx, x, depth):
            ctx.depth = depth
            return x * 1

        @staticmethod
        def backward(ctx, g):
            if ctx.depth:
                with tensorgrad.enable_grad():
                    inner = tensorgrad.ones(1, requires_grad=True)
                    Deeper.apply(inner, ctx.depth - 1).sum().backward()
                return g * (1 + inner.grad.item()), None
            return g, None

    x = leaf([1.0])
    Deeper.apply(x, 20).sum().backward()
    assert x.grad.tolist() == [21.0]


def test_the_grad_mode_of_backward():
    modes = []

    class F(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            modes.append(tensorgrad.is_grad_enabled())
            return g

    x = leaf([1.0])
    F.apply(x).sum().backward()
    autograd.grad(F.apply(x).sum(), x, create_graph=True)
    y = F.apply(x).sum()
    with tensorgrad.no_grad():
        y.backward()
    assert modes == [False, True, False]


def test_threads_run_graphs_of_their_own():
    results = {}

    def work(i):
        x = leaf([float(i)] * 50, dtype=tensorgrad.float64)
        y = x
        for _ in range(200):
            y = y * 1.01
        y.sum().backward()
        results[i] = x.grad[0].item()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(results) == list(range(8))
    assert all(v == pytest.approx(1.01**200) for v in results.values())


def test_threads_share_a_graph_that_is_kept():
    x = leaf([1.0, 2.0])
    y = x
    for _ in range(50):
        y = y * 1.0
    y = (y * y).sum()
    found = []

    def work():
        found.append(autograd.grad(y, x, retain_graph=True)[0].tolist())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [[2.0, 4.0]] * 8


def test_threads_add_to_a_gradient_that_an_inner_tensor_keeps():
    x = tensorgrad.ones(1 << 16, requires_grad=True)  # large enough for kernels to let the GIL go
    y = x * 2.0
    y.retain_grad()
    z = (y * 3.0).sum()
    start = threading.Barrier(4)

    def work():
        start.wait()
        for _ in range(5):
            z.backward(retain_graph=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert (y.grad == 60.0).all()
    assert (x.grad == 120.0).all()


def test_the_graph_dies_with_its_output():
    gc.collect()
    gc.disable()
    try:
        x = leaf([1.0])
        for make in (
            lambda: x.exp(),
            lambda: (x * x).sum(),
            lambda: x.view(1, 1)[0],
            lambda: x.tanh().sigmoid(),
        ):
            y = make()
            node = weakref.ref(y.grad_fn)
            del y
            assert node() is None
        y = x * 1
        y[:1].exp_()
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_saved_tensors_are_freed_as_backward_passes():
    x = leaf([1.0, 2.0])
    a = x * 2
    watch = weakref.ref(a)
    y = (a * a).sum()
    del a
    assert watch() is not None
    y.backward()
    assert watch() is None


def test_anomaly_mode_names_the_operation():
    x = leaf([0.0])
    with autograd.set_detect_anomaly(True):
        y = x.sqrt()
        with (
            pytest.warns(UserWarning, match="Error detected in SqrtBackward0. Traceback of forward call"),
            pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"),
        ):
            (y * 0).sum().backward()
    with autograd.set_detect_anomaly(True, check_nan=False):
        (x.sqrt() * 0).sum().backward()
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"), autograd.detect_anomaly():
        (x * 2).sum().backward()


def test_cycles_through_gradients_are_collected():
    x = leaf([1.0])
    watch = weakref.ref(x)
    with pytest.warns(UserWarning, match="create_graph"):
        (x**3).sum().backward(create_graph=True)
    del x
    gc.collect()
    assert watch() is None
