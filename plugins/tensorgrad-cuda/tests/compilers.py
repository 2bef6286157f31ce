"""CUDA's compilers, which work without a device: NVRTC, which CuPy compiles kernels with, and nvcc.

NVRTC is found where the wheel ``nvidia-cuda-nvrtc`` (or CUDA's toolkit) has put it, nvcc on the ``PATH``.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
NVCC = shutil.which("nvcc")


@functools.cache
def nvrtc() -> ctypes.CDLL | None:
    """The library, or None."""
    folders = [Path(p) / "nvidia" for p in sys.path if p]
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("libnvrtc.so.*"))]
    for name in [*map(str, found), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]:
        try:
            return ctypes.CDLL(name)
        except OSError:  # not there; the next one may be
            continue
    return None


def joined(prelude: str, kernels: Iterable[str]) -> str:
    """One program of many kernels ``k``: each in a namespace of its own, its text as it is otherwise."""
    parts = [prelude]
    for i, text in enumerate(kernels):
        text = re.sub(r'extern "C" __global__ void k\(', "__global__ void k(", text)
        parts.append(f"namespace n{i} {{\n{text}\n}}\n")
    return "\n".join(parts)


def compile_by_nvrtc(source: str, architecture: str, options: Iterable[str]) -> bytes:
    """The binary for an architecture; RuntimeError with the compiler's text where it has none."""
    library = nvrtc()
    assert library is not None
    program = ctypes.c_void_p()
    status = library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    assert status == 0, status
    try:
        arguments = [f"--gpu-architecture={architecture}".encode(), *[option.encode() for option in options]]
        array = (ctypes.c_char_p * len(arguments))(*arguments)
        status = library.nvrtcCompileProgram(program, len(arguments), array)
        size = ctypes.c_size_t()
        if status:
            library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            library.nvrtcGetProgramLog(program, log)
            raise RuntimeError(log.value.decode()[:4000])
        library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        binary = ctypes.create_string_buffer(size.value)
        library.nvrtcGetCUBIN(program, binary)
        return binary.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def compile_by_nvcc(source: str, folder: Path, architectures: Iterable[str], options: Iterable[str]) -> int:
    """The size of the fat binary; RuntimeError with the compiler's text where it has none."""
    place = folder / "kernels.cu"
    place.write_text(source)
    wanted = [f"-gencode=arch={a.replace('sm', 'compute')},code={a}" for a in architectures]
    command = [str(NVCC), *options, *wanted, "-fatbin", "-o", str(folder / "kernels.fatbin"), str(place)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr[:4000])
    return (folder / "kernels.fatbin").stat().st_size
