"""Tensors and the rest of the world: Python data, NumPy, DLPack, pickle and files."""

from __future__ import annotations

from tensorgrad._core.tensor import add_method, services
from tensorgrad.interop import pickling, pinned
from tensorgrad.interop.construct import as_tensor, asarray, init_tensor, tensor
from tensorgrad.interop.dlpack import dlpack_device, from_dlpack, to_dlpack
from tensorgrad.interop.numpy_bridge import array, from_numpy, frombuffer, to_numpy, tolist
from tensorgrad.interop.serialization import load, save

__all__ = [
    "as_tensor",
    "asarray",
    "from_dlpack",
    "from_numpy",
    "frombuffer",
    "install",
    "load",
    "save",
    "tensor",
]


def install() -> None:
    """Give Tensor the methods that are written here."""
    services.update(
        init_tensor=init_tensor,
        tolist=tolist,
        deepcopy=pickling.deepcopy,
        reduce=pickling.reduce,
        to_numpy=to_numpy,
        array=array,
        to_dlpack=to_dlpack,
        dlpack_device=dlpack_device,
    )
    add_method("__setstate__", pickling.set_state)
    add_method("pin_memory", pinned.pin_memory)
    add_method("is_pinned", pinned.is_pinned)
