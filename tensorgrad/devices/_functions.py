"""Which of the functions that expressions call a device has: what a backend does not declare, the library refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorgrad._core.primitives import set_function_check
from tensorgrad.devices._backend import UnsupportedFunctionError
from tensorgrad.devices.reference.typed import calls


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
