"""What recording keeps alive, and what it does not, in live bytes of the allocator."""

import tensorgrad
from tensorgrad._core.types import memory_stats, reset_peak

SIZE = 4 * 256 * 256


def live():
    return memory_stats()["live"]


def peak_of(function):
    reset_peak()
    before = live()
    result = function()
    return memory_stats()["peak"] - before, result


def chain(x, steps=10):
    for _ in range(steps):
        x = x.sin()
    return x


def test_intermediate_results_die_at_once_without_recording():
    x = tensorgrad.ones(256, 256, requires_grad=True)
    with tensorgrad.no_grad():
        peak, result = peak_of(lambda: chain(x))
    # the one being computed, the one it is computed from
    assert peak <= 2 * SIZE + 4096
    assert result.grad_fn is None


def test_recording_keeps_what_backward_needs_and_backward_lets_it_go():
    x = tensorgrad.ones(256, 256, requires_grad=True)
    before = live()
    y = chain(x).sum()
    assert live() - before >= 9 * SIZE           # sin saves its input
    y.backward()
    assert live() - before <= SIZE + 4096        # the gradient
    del y
    x.grad = None
    assert live() == before


def test_addition_saves_nothing():
    x = tensorgrad.ones(256, 256, requires_grad=True)
    before = live()
    y = x
    for _ in range(10):
        y = y + 1
    assert live() - before <= SIZE + 4096
    del y
    assert live() == before


def test_live_bytes_do_not_grow_with_steps():
    w = tensorgrad.ones(16, 16, requires_grad=True)
    x = tensorgrad.ones(4, 16)

    def step():
        (x @ w).relu().sum().backward()
        with tensorgrad.no_grad():
            w.sub_(w.grad, alpha=0.01)
        w.grad = None

    for _ in range(10):
        step()
    after_ten = live()
    for _ in range(9_990):
        step()
    assert live() == after_ten


def test_the_memory_of_large_gradients_is_given_back_while_they_are_zero():
    x = tensorgrad.ones(1 << 16, requires_grad=True)
    x.sum().backward()
    size = 4 << 16
    before = memory_stats()["live"]
    tensorgrad.autograd.zero_grad_([x])
    assert before - memory_stats()["live"] >= size - 64
    assert (x.grad == 0).all()  # written out when somebody looks
    (2 * x).sum().backward()
    assert (x.grad == 2).all()
    held = x.grad
    tensorgrad.autograd.zero_grad_([x])
    assert (held == 0).all() and x.grad is held  # whoever holds it sees it become zero
