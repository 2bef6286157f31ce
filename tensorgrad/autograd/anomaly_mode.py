"""Finding the operation whose backward fails or gives NaN."""

from __future__ import annotations

import warnings
from types import TracebackType

from tensorgrad._core.grad_mode import anomaly_state, set_anomaly

__all__ = ["detect_anomaly", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "set_detect_anomaly"]


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    enabled: bool = anomaly_state()[0]
    return enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection looks for NaN."""
    check_nan: bool = anomaly_state()[1]
    return check_nan


class set_detect_anomaly:
    """Switch anomaly detection on or off, at once; in a ``with`` statement until the end of the block.

    Operations remember the stack in which they were called. When a backward fails, or with `check_nan`
    gives NaN, a warning shows where its operation was called.

    Parameters
    ----------
    mode : bool
    check_nan : bool, default: True
        Raise an error when a backward gives NaN.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([0.0], requires_grad=True)
    >>> with tensorgrad.autograd.set_detect_anomaly(True, check_nan=False):
    ...     x.sqrt().sum().backward()
    >>> x.grad
    tensor([inf])
    """

    __slots__ = ("_before",)

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = anomaly_state()
        set_anomaly(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        set_anomaly(*self._before)


class detect_anomaly:
    """The block in which anomaly detection is on; see `set_detect_anomaly`.

    Parameters
    ----------
    check_nan : bool, default: True
    """

    __slots__ = ("_before", "check_nan")

    def __init__(self, check_nan: bool = True) -> None:
        self._before = anomaly_state()
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled "
            "for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = anomaly_state()
        set_anomaly(True, self.check_nan)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        set_anomaly(*self._before)
