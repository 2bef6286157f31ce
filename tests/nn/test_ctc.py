"""The loss of connectionist temporal classification, against the sum over all paths."""

import itertools
import math

import numpy as np
import pytest

import tensorgrad as tg
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad.autograd import gradcheck, gradgradcheck


def log_probs(steps, batch, classes, seed=0):
    logits = tg.tensor(np.random.default_rng(seed).normal(size=(steps, batch, classes)))
    return logits.log_softmax(2)


def collapsed(path, blank):
    return [label for label, _ in itertools.groupby(path) if label != blank]


def by_all_paths(lp, labels, steps, blank=0):
    """Minus the logarithm of the sum over all paths that give the labels."""
    p = np.exp(lp)
    classes = range(p.shape[1])
    total = sum(
        math.prod(p[t, label] for t, label in enumerate(path))
        for path in itertools.product(classes, repeat=steps)
        if collapsed(path, blank) == list(labels)
    )
    return -math.log(total) if total else math.inf


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("labels", [[[1, 3], [3, 3]], [[1], [3, 1]], [[], [1, 3, 1]], [[], []]])
def test_the_sum_over_all_paths(labels, blank):
    lp, steps = log_probs(5, 2, 4), (5, 4)
    lengths = [len(row) for row in labels]
    width = max(lengths)
    rows = tg.tensor([row + [1] * (width - len(row)) for row in labels], dtype=tg.int64).reshape(2, width)
    expected = [by_all_paths(lp[:, n].numpy(), labels[n], steps[n], blank) for n in range(2)]
    each = F.ctc_loss(lp, rows, steps, lengths, blank, "none")
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-12)
    together = tg.tensor([label for row in labels for label in row], dtype=tg.int64)
    assert tg.allclose(F.ctc_loss(lp, together, tg.tensor(steps), tg.tensor(lengths), blank, "none"), each)
    assert F.ctc_loss(lp, rows, steps, lengths, blank, "sum").item() == pytest.approx(sum(expected))
    mean = np.mean([loss / max(n, 1) for loss, n in zip(expected, lengths, strict=True)])
    assert nn.CTCLoss(blank)(lp, rows, steps, lengths).item() == pytest.approx(mean)


def test_one_sample_alone():
    lp = log_probs(4, 1, 3)
    alone = F.ctc_loss(lp[:, 0], tg.tensor([1, 2]), (4,), (2,), reduction="none")
    assert alone.shape == () and alone.item() == pytest.approx(by_all_paths(lp[:, 0].numpy(), [1, 2], 4))


def test_derivatives_through_log_softmax():
    logits = tg.tensor(np.random.default_rng(0).normal(size=(4, 2, 3)), requires_grad=True)
    labels = tg.tensor([[1, 2], [2, 2]])

    def loss(x):
        return F.ctc_loss(x.log_softmax(2), labels, (4, 3), (2, 2))

    assert gradcheck(loss, (logits,), check_forward_ad=True)
    assert gradgradcheck(loss, (logits,))


def test_the_derivative_is_what_softmax_has_too_much():
    """p - (the probability of a class at a step, given the labels): zeros behind the end of a sample."""
    lp = log_probs(4, 2, 3).requires_grad_()
    F.ctc_loss(lp, tg.tensor([[1], [2]]), (4, 3), (1, 1), reduction="sum").backward()
    gradient = lp.grad.numpy()
    np.testing.assert_allclose(gradient.sum(2), np.zeros((4, 2)), atol=1e-12)
    assert np.abs(gradient[3, 1]).max() == 0.0
    p = np.exp(lp.detach().numpy()[:, 0])
    given = np.zeros((4, 3))
    for path in itertools.product(range(3), repeat=4):
        if collapsed(path, 0) == [1]:
            weight = math.prod(p[t, label] for t, label in enumerate(path))
            for t, label in enumerate(path):
                given[t, label] += weight
    np.testing.assert_allclose(gradient[:, 0], p - given / given.sum(1, keepdims=True), atol=1e-12)


def test_labels_that_do_not_fit():
    lp, rows = log_probs(5, 2, 4).requires_grad_(), tg.tensor([[1, 2], [3, 1]])
    each = F.ctc_loss(lp, rows, (1, 5), (2, 2), reduction="none")
    assert each[0].item() == math.inf and math.isfinite(each[1].item())
    assert F.ctc_loss(lp, rows, (0, 0), (0, 1), reduction="none").tolist() == [0.0, math.inf]
    zeroed = F.ctc_loss(lp, rows, (1, 5), (2, 2), reduction="none", zero_infinity=True)
    assert zeroed.tolist() == [0.0, each[1].item()]
    (gradient,) = tg.autograd.grad(zeroed.sum(), lp)
    assert gradient[:, 0].abs().max().item() == 0.0 and gradient.isfinite().all().item()
    certain = tg.tensor([[[0.0, -math.inf]]] * 3, dtype=tg.float64, requires_grad=True)
    loss = F.ctc_loss(certain, tg.tensor([[1]]), (3,), (1,), zero_infinity=True)
    loss.backward()
    assert loss.item() == 0.0 and certain.grad.isfinite().all().item()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (((2, 2), (5, 6), (2, 2)), {}, "Expected input_lengths to have value at most 5, but got value 6"),
        (((2, 2), (5, -1), (2, 2)), {}, "Expected input_lengths to have value at least 0, but got value -1"),
        (((2, 2), (5,), (2, 2)), {}, "input_lengths must be of size batch_size"),
        (((2, 2), (5, 5), (2,)), {}, "target_lengths must be of size batch_size"),
        (((2, 2), (5, 5), (2, 3)), {}, "Expected tensor to have size at least 3 at dimension 1, but got size 2 for argument #2 'targets'"),
        (((3,), (5, 5), (2, 2)), {}, "Expected tensor to have size 4 at dimension 0, but got size 3 for argument #2 'targets'"),
        (((2, 2), (5, 5), (2, 2)), {"blank": 7}, "blank must be in label range"),
        (((2, 2), tg.tensor([5.0, 5.0]), (2, 2)), {}, "input_lengths must be integral"),
    ],
)
def test_lengths_that_are_refused(arguments, options, message):
    shape, inputs, lengths = arguments
    with pytest.raises(RuntimeError, match=f"^{message}"):
        F.ctc_loss(log_probs(5, 2, 4), tg.ones(shape, dtype=tg.int64), inputs, lengths, **options)


def test_other_inputs_that_are_refused():
    rows = tg.ones(2, 2, dtype=tg.int64)
    with pytest.raises(RuntimeError, match="^log_probs tensor must not be empty"):
        F.ctc_loss(tg.zeros(0, 2, 4), rows, (0, 0), (2, 2))
    with pytest.raises(NotImplementedError, match="\"ctc_loss_cpu\" not implemented for 'Half'"):
        F.ctc_loss(log_probs(5, 2, 4).half(), rows, (5, 5), (2, 2))
    with pytest.raises(RuntimeError, match="^targets must be in label range: got 9 for 4 classes"):
        F.ctc_loss(log_probs(5, 2, 4), rows * 9, (5, 5), (2, 2))
    with pytest.raises(ValueError, match="bad is not a valid value for reduction"):
        F.ctc_loss(log_probs(5, 2, 4), rows, (5, 5), (2, 2), reduction="bad")
