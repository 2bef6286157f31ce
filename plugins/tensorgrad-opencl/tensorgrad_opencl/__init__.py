"""OpenCL devices for tensorgrad: ``tensorgrad.ones(3, device="opencl")``.

Nothing here needs to be imported by a program: tensorgrad finds the plugin when the device type "opencl" is first
named.
"""

from tensorgrad_opencl.backend import OpenCLBackend

__all__ = ["OpenCLBackend"]
