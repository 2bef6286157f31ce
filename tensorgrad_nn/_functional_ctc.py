"""The loss of connectionist temporal classification: sequences of labels whose places in the input are not known."""

from __future__ import annotations

import math

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import _reduction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ctc_loss"]


def _lengths(name: str, lengths: Tensor | Sequence[int], batch: int, most: int | None) -> list[int]:
    """The lengths as numbers, one for each sample."""
    if isinstance(lengths, Tensor):
        if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype is tensorgrad.bool:
            raise RuntimeError(f"{name} must be integral")
        lengths = lengths.reshape(-1).tolist()
    found = [int(n) for n in lengths]
    if len(found) != batch:
        raise RuntimeError(f"{name} must be of size batch_size: got {len(found)} lengths for {batch} samples")
    for n in found:
        if n < 0:
            raise RuntimeError(f"Expected {name} to have value at least 0, but got value {n} (ctc_loss)")
        if most is not None and n > most:
            raise RuntimeError(f"Expected {name} to have value at most {most}, but got value {n} (ctc_loss)")
    return found


def _labels(targets: Tensor, lengths: list[int], classes: int) -> list[list[int]]:
    """The labels of each sample, from rows that are as long as the longest, or from one vector of all."""
    longest = max(lengths, default=0)
    if targets.ndim == 1:
        if targets.shape[0] != sum(lengths):
            raise RuntimeError(
                f"Expected tensor to have size {sum(lengths)} at dimension 0, but got size {targets.shape[0]} for "
                "argument #2 'targets' (ctc_loss: one vector holds the labels of all samples)"
            )
        whole, start, found = [int(label) for label in targets.tolist()], 0, []
        for n in lengths:
            found.append(whole[start : start + n])
            start += n
    elif targets.ndim == 2:
        if targets.shape[0] != len(lengths):
            raise RuntimeError(
                f"Expected tensor to have size {len(lengths)} at dimension 0, but got size {targets.shape[0]} for "
                "argument #2 'targets' (ctc_loss)"
            )
        if targets.shape[1] < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size {targets.shape[1]} for "
                "argument #2 'targets' (ctc_loss)"
            )
        rows = targets.tolist()
        found = [[int(label) for label in row[:n]] for row, n in zip(rows, lengths, strict=True)]
    else:
        raise RuntimeError(f"targets must be 1-D or 2-D, got {targets.ndim}-D (ctc_loss)")
    for label in (label for row in found for label in row):
        if not 0 <= label < classes:
            raise RuntimeError(f"targets must be in label range: got {label} for {classes} classes (ctc_loss)")
    return found


def _log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """log(sum(exp(x))), which is -inf, and has derivatives of zero, where all elements are -inf."""
    top = x.detach().amax(dim, keepdim=True)
    nothing = top == -math.inf
    top = top.masked_fill(nothing, 0.0)
    total = (x - top).exp().sum(dim)
    nothing, top = nothing.squeeze(dim), top.squeeze(dim)
    return (total.masked_fill(nothing, 1.0).log() + top).masked_fill(nothing, -math.inf)


def _log_likelihoods(lp: Tensor, labels: list[list[int]], lengths: list[int], blank: int) -> Tensor:
    """The logarithm of the probability of each sample's labels, summed over their places by the forward variables.

    alpha_t(s) is that of the first s labels (blanks between them counted) at the first t steps.
    """
    (steps, batch, _), device = lp.shape, lp.device
    width = 2 * max(len(row) for row in labels) + 1
    between = [[blank] * width for _ in labels]
    for row, label_row in zip(between, labels, strict=True):
        row[1 : 2 * len(label_row) : 2] = label_row
    path = tensorgrad.tensor(between, dtype=tensorgrad.int64, device=device)
    # a blank between two labels may be left out where they differ
    skips = [[s >= 2 and row[s] != blank and row[s] != row[s - 2] for s in range(width)] for row in between]
    may_skip = tensorgrad.tensor(skips, dtype=tensorgrad.bool, device=device)
    starts = [[s == 0 or (s == 1 and len(row) > 0) for s in range(width)] for row in labels]
    ends = [[s in (2 * len(row), 2 * len(row) - 1) for s in range(width)] for row in labels]
    emitted = lp.gather(2, path.unsqueeze(0).expand(steps, batch, width))

    def shifted(alpha: Tensor, by: int) -> Tensor:
        if width <= by:
            return tensorgrad.full_like(alpha, -math.inf)
        none = tensorgrad.full((batch, by), -math.inf, dtype=alpha.dtype, device=device)
        return tensorgrad.cat([none, alpha[:, :-by]], 1)

    alpha = emitted[0].masked_fill(~tensorgrad.tensor(starts, dtype=tensorgrad.bool, device=device), -math.inf)
    alphas = [alpha]
    for t in range(1, max(lengths)):
        two_back = shifted(alpha, 2).masked_fill(~may_skip, -math.inf)
        alpha = _log_sum_exp(tensorgrad.stack([alpha, shifted(alpha, 1), two_back]), 0) + emitted[t]
        alphas.append(alpha)
    last = tensorgrad.tensor([max(n - 1, 0) for n in lengths], dtype=tensorgrad.int64, device=device)
    final = tensorgrad.stack(alphas).gather(0, last.reshape(1, -1, 1).expand(1, batch, width)).squeeze(0)
    return _log_sum_exp(
        final.masked_fill(~tensorgrad.tensor(ends, dtype=tensorgrad.bool, device=device), -math.inf), 1
    )


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return minus the logarithm of the probability of sequences of labels, over all their places in the input.

    Parameters
    ----------
    log_probs : Tensor, shape (T, N, C) or (T, C), single or double precision
        Logarithms of the classes' probabilities at each step, as from `log_softmax`.
    targets : Tensor, shape (N, S), or all labels in one vector
        Labels, none of them the blank.
    input_lengths, target_lengths : sequence of int or Tensor
        How many steps and labels each sample has.
    blank : int, default 0
        The class that stands for no label.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        The mean is that of the losses divided by their number of labels.
    zero_infinity : bool, default False
        Zero, also in the derivative, where the labels are too many for the input.

    Returns
    -------
    Tensor, a scalar, or shape (N,) for 'none'

    Notes
    -----
    -log(sum_paths prod_t p_t(path_t)) over the paths that give the labels when repetitions and then blanks are left
    out (Graves et al., "Connectionist Temporal Classification", 2006). As in PyTorch the derivative is that with
    respect to what `log_softmax` got: p - (the probability that a step is on a path at this class).

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn.functional as F
    >>> x = tensorgrad.zeros(2, 1, 3).log_softmax(2)
    >>> loss = F.ctc_loss(x, tensorgrad.tensor([[1]]), (2,), (1,))
    >>> round(loss.exp().item(), 4)  # of 9 paths 11, 01 and 10 give the label
    3.0
    """
    code = _reduction.get_enum(reduction)
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(f"log_probs must be 2-D or 3-D, got {log_probs.ndim}-D (ctc_loss)")
    if log_probs.numel() == 0:
        raise RuntimeError("log_probs tensor must not be empty")
    spoken = log_probs.type().rpartition(".")[2].removesuffix("Tensor")
    if log_probs.dtype not in (tensorgrad.float32, tensorgrad.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{spoken}'")
    single = log_probs.ndim == 2
    lp = log_probs.unsqueeze(1) if single else log_probs
    steps, batch, classes = lp.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: got {blank} for {classes} classes")
    inputs = _lengths("input_lengths", input_lengths, batch, steps)
    lengths = _lengths("target_lengths", target_lengths, batch, None)
    labels = _labels(targets.reshape(1, -1) if single and targets.ndim == 1 else targets, lengths, classes)
    loss = -_log_likelihoods(lp, labels, inputs, blank)
    # what is zero, and whose derivative is p: of the steps that a sample has
    there = tensorgrad.tensor([[t < n for n in inputs] for t in range(steps)], device=lp.device)
    p = lp.exp() * there.unsqueeze(2)
    loss = loss + (p - p.detach()).sum((0, 2))
    # of no steps, no labels are certain and labels impossible
    certain = [0.0 if not n and not labels[k] else math.inf if not n else math.nan for k, n in enumerate(inputs)]
    if not all(math.isnan(value) for value in certain):
        known = tensorgrad.tensor(certain, dtype=lp.dtype, device=lp.device)
        loss = tensorgrad.where(known.isnan(), loss, known)
    if zero_infinity:
        loss = loss.masked_fill(loss.detach() == math.inf, 0.0)
    if code == 1:
        divisors = tensorgrad.tensor([max(n, 1) for n in lengths], dtype=lp.dtype, device=lp.device)
        return (loss / divisors).mean()
    if code == 2:
        return loss.sum()
    return loss.squeeze(0) if single else loss
