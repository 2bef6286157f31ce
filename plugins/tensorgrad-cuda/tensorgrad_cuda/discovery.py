"""CuPy, and the devices there are: both may be missing, and the plugin loads all the same."""

from __future__ import annotations

import importlib
from typing import Any

cupy: Any = None
runtime: Any = None
_reason: str | None = None
try:
    cupy = importlib.import_module("cupy")
    runtime = importlib.import_module("cupy.cuda").runtime
except Exception as error:  # not installed, or without a library of CUDA's; using the device says which
    _reason = (
        f"CuPy cannot be imported ({type(error).__name__}: {error}): install it for your version of CUDA, "
        '`pip install "tensorgrad-cuda[cuda13x]"` or `pip install "tensorgrad-cuda[cuda12x]"`'
    )

#: PyTorch's words.
NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from "
    "http://www.nvidia.com/Download/index.aspx"
)


def find_devices() -> tuple[int, str | None]:
    """The number of devices, or why there are none."""
    if runtime is None:
        return 0, _reason
    try:
        if runtime.driverGetVersion() == 0:
            return 0, NO_DRIVER
        count = int(runtime.getDeviceCount())
    except Exception as error:  # CUDARuntimeError, or a driver too old for CuPy's CUDA: the text says which
        if "InsufficientDriver" in str(error) and _driver_version() == 0:
            return 0, f"{NO_DRIVER} ({error})"
        return 0, f"No CUDA GPUs are available ({type(error).__name__}: {error})"
    return (count, None) if count else (0, "No CUDA GPUs are available")


def _driver_version() -> int:
    try:
        return int(runtime.driverGetVersion())
    except Exception:  # a driver that does not even say its version is none
        return 0
