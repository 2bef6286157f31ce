"""Which of the functions that expressions call a device has: a backend declares them, and the library refuses the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorgrad._core.graph import _type_names
from tensorgrad._core.primitives import set_function_check
from tensorgrad.devices.reference.typed import calls


class UnsupportedFunctionError(NotImplementedError):
    """An elementwise operator needs a function that the device does not have, as `Backend.functions` says.

    Attributes
    ----------
    operator : str
        The kernel's name, such as ``"i0"``.
    function : str
        What its expression calls, without ``tg_``: ``"i0_d"``.
    dtype : str
        The dtype that it is called for.
    device : str
        The device, with its index.

    Examples
    --------
    >>> from tensorgrad.devices import UnsupportedFunctionError
    >>> print(UnsupportedFunctionError("i0", "i0_d", "float64", "abacus:0"))
    "i0" not implemented for 'Double' on abacus:0: the device has no function 'i0_d' of float64; move the tensors \
to the CPU for it
    """

    def __init__(self, operator: str, function: str, dtype: str, device: str) -> None:
        super().__init__(operator, function, dtype, device)
        self.operator, self.function, self.dtype, self.device = operator, function, dtype, device

    def __str__(self) -> str:
        return (
            f"\"{self.operator}\" not implemented for '{_type_names[self.dtype]}' on {self.device}: the device has no "
            f"function '{self.function}' of {self.dtype}; move the tensors to the CPU for it"
        )


def kind_of(dtype: str) -> str:
    """The kind of a dtype in `Backend.functions`: "c", "f" or "i", which bool is, too."""
    return "c" if dtype.startswith("complex") else "f" if "float" in dtype else "i"


def missing_function(functions: Mapping[str, str], expression: str, dtype: str) -> tuple[str, str] | None:
    """The first function that an expression calls and that is not among `functions`, with its dtype."""
    for name, of in calls(expression, dtype):
        if kind_of(of) not in functions.get(name, ""):
            return name, of
    return None


def _check(device: Any, backend: Any, name: str, expression: str, dtype: str) -> None:
    functions = getattr(backend, "functions", None)
    missing = None if functions is None else missing_function(functions, expression, dtype)
    if missing is not None:
        raise UnsupportedFunctionError(name, *missing, str(device))


set_function_check(_check)
