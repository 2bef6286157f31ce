"""Memory: after work of every kind as much is live as before. (No counterpart in PyTorch.)"""

import gc

import pytest

import tensorgrad
from tensorgrad import autograd
from tensorgrad._core.types import memory_stats
from tensorgrad.autograd import Function, forward_ad, functional
from tensorgrad.func import grad, jvp, vmap


class Twice(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.kept = x * 3
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2 + 0 * ctx.saved_tensors[0]


def backward():
    x = tensorgrad.ones(1000, requires_grad=True)
    y = (x * x).exp().view(10, 100)
    y.retain_grad()
    y.sum().backward()


def unused():
    x = tensorgrad.ones(1000, requires_grad=True)
    (x * x).exp()


def in_place():
    x = tensorgrad.ones(1000, requires_grad=True)
    y = x * 1
    y[:10].exp_()
    y.mul_(x)
    y.sum().backward()


def double():
    x = tensorgrad.ones(1000, requires_grad=True)
    (g,) = autograd.grad((x**3).sum(), x, create_graph=True)
    g.sum().backward()


def custom():
    x = tensorgrad.ones(1000, requires_grad=True)
    Twice.apply(Twice.apply(x)).sum().backward()
    Twice.apply(x)


def fails():
    x = tensorgrad.ones(1000, requires_grad=True)
    a = x * 1
    y = a.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def hooks():
    x = tensorgrad.ones(1000, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 2)
    y.grad_fn.register_hook(lambda gi, go: None)
    y.sum().backward()


def forward():
    x = tensorgrad.ones(1000)
    with forward_ad.dual_level():
        forward_ad.make_dual(x, x).exp()


def transforms():
    x = tensorgrad.ones(10, 100)
    vmap(grad(lambda x: (x**3).sum()))(x)
    jvp(grad(lambda x: (x**3).sum()), (x,), (x,))
    tensorgrad.func.jacrev(lambda x: (x * x).sum(1))(x)


def jacobians():
    x = tensorgrad.ones(30)
    functional.jacobian(lambda x: x * x, x)
    functional.hessian(lambda x: (x**3).sum(), x, vectorize=True)


@pytest.mark.parametrize(
    "work",
    [backward, unused, in_place, double, custom, fails, hooks, forward, transforms, jacobians],
    ids=lambda f: f.__name__,
)
def test_nothing_stays_behind(work):
    work()
    gc.collect()
    before, objects = memory_stats()["live"], len(gc.get_objects())
    for _ in range(20):
        work()
    gc.collect()
    assert memory_stats()["live"] == before
    assert len(gc.get_objects()) <= objects + 20


@pytest.mark.parametrize("work", [backward, unused, in_place, double, hooks, forward], ids=lambda f: f.__name__)
def test_reference_counts_do_it_without_the_collector(work):
    work()
    gc.collect()
    gc.disable()
    try:
        before = memory_stats()["live"]
        for _ in range(5):
            work()
        assert memory_stats()["live"] == before
    finally:
        gc.enable()
