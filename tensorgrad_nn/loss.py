"""Losses as modules."""

from __future__ import annotations

from tensorgrad import Tensor
from tensorgrad_nn import _reduction
from tensorgrad_nn import functional as F
from tensorgrad_nn.module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss", "L1Loss", "MSELoss"]


class _Loss(Module):
    """A loss with a reduction."""

    reduction: str

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = _reduction.legacy_get_string(size_average, reduce, stacklevel=4)
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss with a weight for each element."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        # A buffer, so that it moves with the module.
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """The squared error (x - y)^2, reduced.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.MSELoss()(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of two tensors of the same shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The absolute error abs(x - y), reduced.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.L1Loss(reduction="sum")(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of two tensors of the same shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class BCELoss(_WeightedLoss):
    """The cross entropy between probabilities, reduced.

    Parameters
    ----------
    weight : Tensor, broadcastable to the input, optional
        The weight of each element.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.

    Notes
    -----
    -w (y log(x) + (1 - y) log(1 - x)); see `functional.binary_cross_entropy`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.BCELoss()(tensorgrad.tensor([0.5]), tensorgrad.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of two tensors of the same shape, both with values from 0 to 1."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """The cross entropy between probabilities, the first given as logits, reduced.

    Parameters
    ----------
    weight : Tensor, broadcastable to the input, optional
        The weight of each element.
    size_average, reduce : bool, optional
        Deprecated; they decide the reduction when given.
    reduction : {'none', 'mean', 'sum'}, default 'mean'
        What to do with the elements' losses.
    pos_weight : Tensor, broadcastable to the input, optional
        The weight of the positive part.

    Notes
    -----
    -w (p y log(s(x)) + (1 - y) log(1 - s(x))) with the sigmoid s; see
    `functional.binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.BCEWithLogitsLoss()(tensorgrad.zeros(3), tensorgrad.ones(3))
    tensor(0.6931)
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits and of probabilities of the same shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )
