"""CUDA devices for tensorgrad, on CuPy: ``tensorgrad.ones(3, device="cuda")``.

Nothing here needs to be imported by a program: tensorgrad finds the plugin when the device type "cuda" is first named,
and `tensorgrad.cuda` has streams, events and what else PyTorch's ``torch.cuda`` has.
"""

from tensorgrad_cuda.backend import CudaBackend

__all__ = ["CudaBackend"]
