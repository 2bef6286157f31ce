"""Averages of a model's parameters along the way, and the schedule that goes with them."""

from __future__ import annotations

import itertools
import math
from copy import deepcopy

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn import Module
from tensorgrad_optim.lr_scheduler._base import LRScheduler, one_for_each_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from tensorgrad_optim.optimizer import Optimizer

    Tensors = tuple[Tensor, ...] | list[Tensor]

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Return the function of an exponential moving average, for `AveragedModel`.

    Parameters
    ----------
    decay : float, default 0.999
        How much of the average is kept; between 0 and 1.

    Returns
    -------
    callable
        (average, parameter, number of averaged ones) -> decay average + (1 - decay) parameter
    """
    _check_decay(decay)

    def average(averaged: Tensor, current: Tensor, number: Any) -> Tensor:
        with tensorgrad.no_grad():
            return decay * averaged + (1 - decay) * current

    return average


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Return the function of an equally weighted average, for `AveragedModel`.

    Returns
    -------
    callable
        (average, parameter, number n of averaged ones) -> average + (parameter - average) / (n + 1)
    """

    def average(averaged: Tensor, current: Tensor, number: Any) -> Tensor:
        with tensorgrad.no_grad():
            return averaged + (current - averaged) / (number + 1)

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Tensors, Tensors, Any], None]:
    """Return `get_ema_avg_fn(decay)` for lists, in place.

    Parameters
    ----------
    decay : float, default 0.999

    Returns
    -------
    callable
        (averages, parameters, number of averaged ones) -> None
    """
    return _for_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[Tensors, Tensors, Any], None]:
    """Return `get_swa_avg_fn()` for lists, in place.

    Returns
    -------
    callable
        (averages, parameters, number of averaged ones) -> None
    """
    return _for_lists(get_swa_avg_fn())


def _for_lists(average: Callable[[Tensor, Tensor, Any], Tensor]) -> Callable[[Tensors, Tensors, Any], None]:
    def average_all(averaged: Tensors, current: Tensors, number: Any) -> None:
        with tensorgrad.no_grad():
            for one, new in zip(averaged, current):
                one.copy_(average(one, new, number))

    return average_all


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's.

    Parameters
    ----------
    model : Module
    device : device, optional
        Where the averages live.
    avg_fn : callable, optional
        (average, parameter, number of averaged ones) -> the new average. Default: `get_swa_avg_fn()`.
    multi_avg_fn : callable, optional
        The same for lists, in place.
    use_buffers : bool, default False
        Average the buffers too; otherwise they are copied.

    Attributes
    ----------
    module : Module
        The copy.
    n_averaged : Tensor
        How often `update_parameters` was called.

    Notes
    -----
    Stochastic weight averaging [1]_; the behaviour is that of `torch.optim.swa_utils.AveragedModel` (PyTorch 2.13).

    .. [1] P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged(tensorgrad.ones(1)).item()
    3.0
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: Callable[[Tensors, Tensors, Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensorgrad.tensor(0, dtype=tensorgrad.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the copy."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the averages.

        Parameters
        ----------
        model : Module
            Of the same structure.
        """
        with tensorgrad.no_grad():
            averaged, current = [], []
            for one, new in zip(self._averaged_of(self.module), self._averaged_of(model)):
                averaged.append(one.detach())
                current.append(new.detach().to(one.device))
            number = int(self.n_averaged)
            if number == 0:
                for one, new in zip(averaged, current):
                    one.copy_(new)
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn(averaged, current, self.n_averaged)
            else:
                _for_lists(self.avg_fn or get_swa_avg_fn())(averaged, current, self.n_averaged)
            if not self.use_buffers:
                for one, new in zip(self.module.buffers(), model.buffers()):
                    one.copy_(new.to(one.device))
            self.n_averaged += 1

    def _averaged_of(self, model: Module) -> Iterable[Tensor]:
        if self.use_buffers:
            return itertools.chain(model.parameters(), model.buffers())
        return model.parameters()


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of a model's batch normalisations anew.

    Parameters
    ----------
    loader : iterable of Tensor, or of tuples or lists that begin with one
        Inputs of the model.
    model : Module
    device : device, optional
        Where inputs are moved.

    Notes
    -----
    Averages of parameters do not have the averages of the statistics. Every batch counts the same here.
    """
    layers = [one for one in model.modules() if hasattr(one, "reset_running_stats") and hasattr(one, "momentum")]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    with tensorgrad.no_grad():
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """To the rate of averaging, and on at that.

    Parameters
    ----------
    optimizer : Optimizer
    swa_lr : float, or list of float, one for each group
        The rate at which the parameters are averaged.
    anneal_epochs : int, default 10
        How many steps lead there.
    anneal_strategy : {'cos', 'linear'}, default 'cos'
    last_epoch : int, default -1
        See `LRScheduler`.

    Notes
    -----
    lr_t = swa_lr a(t) + lr (1 - a(t)), where lr is the rate that others have given and a rises from 0 to 1.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> optimizer = optim.SGD([nn.Parameter(tensorgrad.ones(1))], lr=1.0)
    >>> scheduler = optim.swa_utils.SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(scheduler.get_last_lr()[0])
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(one_for_each_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        part = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * part)) / 2 if self._anneal_strategy == "cos" else part

    def get_lr(self) -> list[Any]:
        """Return the rates for the next step; called by `step`."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            # The rate that others have given shines through what this schedule has made of it.
            given = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + given * (1 - now))
        return rates
