"""DLPack capsules of device memory: NumPy's, with the device written in."""

from __future__ import annotations

import ctypes

import numpy

from cupy.cuda.memory import MemoryPointer, UnownedMemory

_CPU, _CUDA = 1, 2
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_valid = ctypes.pythonapi.PyCapsule_IsValid
_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]


class _Kept(numpy.ndarray):
    """Elements, and what owns them."""


def _set_device(capsule, device):
    """DLManagedTensor begins with the data's address, and the device's type."""
    assert _valid(capsule, b"dltensor"), "a capsule before DLPack 1.0, or one that was used"
    ctypes.c_int32.from_address(_pointer(capsule, b"dltensor") + 8).value = device


def export(array):
    kept = array.host.view(_Kept)
    kept.owner = array
    capsule = kept.__dlpack__()
    _set_device(capsule, _CUDA)
    return capsule


class _Producer:
    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack_device__(self):
        return _CPU, 0

    def __dlpack__(self, **wishes):
        return self.capsule


def load(capsule):
    from cupy import ndarray

    _set_device(capsule, _CPU)
    host = numpy.from_dlpack(_Producer(capsule))
    memory = UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
    return ndarray(host.shape, host.dtype, memptr=MemoryPointer(memory, 0), strides=host.strides)
