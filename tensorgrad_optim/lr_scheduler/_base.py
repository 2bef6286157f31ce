"""LRScheduler: what all schedules of the learning rate have in common."""

from __future__ import annotations

import contextlib
import types
import warnings
from functools import wraps
from weakref import ref

from tensorgrad import Tensor
from tensorgrad_optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use `scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from "
    "None, the closed form is used instead of the new chainable form, where available."
)


class LRScheduler:
    """Base class of schedules of the learning rate.

    A subclass defines `get_lr`, and where there is one `_get_closed_form_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' 'lr' is set: to its first value at once.
    last_epoch : int, default -1
        The number of the last step when a schedule goes on; the groups must then have an 'initial_lr'.

    Attributes
    ----------
    base_lrs : list of float or Tensor
        The rates that the schedule begins with.
    last_epoch : int
        The number of steps so far.

    Raises
    ------
    TypeError
        If `optimizer` is not an Optimizer.
    KeyError
        If a schedule is to go on without 'initial_lr'.

    Notes
    -----
    The behaviour is that of `torch.optim.lr_scheduler.LRScheduler` (PyTorch 2.13). Call `step` after the optimizer's.
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False
    _step_count: int
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for place, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{place}] when resuming scheduler with "
                    f"last_epoch >= 0 (here {last_epoch}): load the optimizer's state before, or leave last_epoch out"
                )
        self.base_lrs: list[Any] = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Any]:
        """Return the rates for `last_epoch`; for subclasses to define.

        Returns
        -------
        list of float or Tensor
            One for each group of the optimizer.
        """
        raise NotImplementedError

    def get_last_lr(self) -> list[Any]:
        """Return the rates that the last `step` has set.

        Returns
        -------
        list of float or Tensor
            One for each group; tensors are copies.
        """
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Set the next rates.

        Parameters
        ----------
        epoch : int, optional
            Deprecated: the number of the step whose rates are wanted.

        Warns
        -----
        UserWarning
            If the optimizer has not stepped before, or `epoch` is given.
        """
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(
                    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                    "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`.",
                    stacklevel=2,
                )
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(
                    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the "
                    "opposite order: `optimizer.step()` before `lr_scheduler.step()`. Failure to do this will result "
                    "in skipping the first value of the learning rate schedule.",
                    stacklevel=2,
                )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._within_step():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
                values = closed_form()
        self._set(values)

    def _set(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values):
            put(group, "lr", value)
        self._last_lr = values_of(self.optimizer, "lr")

    @contextlib.contextmanager
    def _within_step(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                stacklevel=3,
            )

    # What most schedules are made of

    def _unchanged(self) -> list[Any]:
        return values_of(self.optimizer, "lr")

    def _scaled(self, factor: float) -> list[Any]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _base_scaled(self, factor: float) -> list[Any]:
        return [base * factor for base in self.base_lrs]

    # Saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer.

        Returns
        -------
        dict
        """
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Parameters
        ----------
        state_dict : dict
        """
        self.__dict__.update(state_dict)


def check_optimizer(optimizer: Any) -> None:
    """Refuse anything that is not an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def copied(value: Any) -> Any:
    """Return a number as it is and a copy of a tensor."""
    return value.clone() if isinstance(value, Tensor) else value


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """Return an option of each group."""
    return [copied(group[key]) for group in optimizer.param_groups]


def put(group: dict[str, Any], key: str, value: Any) -> None:
    """Set an option, in place where it is a tensor: somebody else may hold that."""
    if isinstance(group[key], Tensor):
        group[key].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[key] = value


def one_for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Return a list of as many values as there are groups."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {groups}."
        )
    return [copied(one) for one in value]


def saved_functions(functions: list[Any]) -> list[Any]:
    """Return the attributes of callable objects; None for plain functions, which cannot be saved."""
    return [None if isinstance(one, types.FunctionType) else one.__dict__.copy() for one in functions]


def _watch_steps(optimizer: Optimizer) -> None:
    """Let the optimizer remember that it has stepped, so that a wrong order of calls is noticed."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    function = optimizer.step.__func__  # type: ignore[attr-defined]
    weak = ref(optimizer)

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        self = weak()
        self._opt_called = True  # type: ignore[union-attr]
        return function(self, *args, **kwargs)

    wrapper._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = wrapper  # type: ignore[method-assign]
