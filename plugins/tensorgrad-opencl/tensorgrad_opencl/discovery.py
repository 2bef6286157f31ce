"""The devices there are."""

from __future__ import annotations

import os
from typing import Any

try:
    import pyopencl as cl
except Exception as error:  # its library may want a driver's that is not there; using the device says it
    cl = None
    _reason = f"PyOpenCL cannot be imported: {type(error).__name__}: {error}"


def find_devices() -> tuple[list[Any], str | None]:
    """The OpenCL devices of this machine, GPUs first, or the reason why there are none.

    ``TENSORGRAD_OPENCL_DEVICES`` restricts them: a list of parts of names of platforms or devices, such as
    ``"pocl"`` or ``"NVIDIA,Arc"``.
    """
    if cl is None:
        return [], _reason
    hint = 'install the driver of your device, or `pip install "pyopencl[pocl]"` for one that runs on the CPU'
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        return [], f"no OpenCL platform was found ({error}): {hint}"
    devices = []
    for platform in platforms:
        try:
            devices += platform.get_devices()
        except cl.Error:  # a platform without devices says so by an error; the others are asked as well
            continue
    if not devices:
        return [], f"there are {len(platforms)} OpenCL platforms, and none has a device: {hint}"
    wanted = [name.strip().lower() for name in os.environ.get("TENSORGRAD_OPENCL_DEVICES", "").split(",")]
    chosen = [
        d for d in devices if any(name in f"{d.platform.name} {d.platform.vendor} {d.name}".lower() for name in wanted)
    ]
    if not chosen:
        names = ", ".join([f"{d.name} ({d.platform.name})" for d in devices])
        return [], (
            f"TENSORGRAD_OPENCL_DEVICES={os.environ['TENSORGRAD_OPENCL_DEVICES']!r} names none of the devices there "
            f"are: {names}"
        )
    return sorted(chosen, key=lambda d: not d.type & cl.device_type.GPU), None
