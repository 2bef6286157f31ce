"""Kernels compiled for the CPU by g++, and run block by block.

Compiled kernels are kept in ``TENSORGRAD_CUDA_HOST_CACHE`` (``~/.cache/tensorgrad-cuda-host`` by default).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

END_OF_PRELUDE = "// ---- the kernel ----\n"  # as tensorgrad_cuda.programs has it, which imports this

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-fwrapv", "-ffp-contract=off", "-fno-strict-aliasing", "-w"]
_lock = threading.RLock()


@functools.cache
def directory() -> Path:
    """Where what is compiled lies: for this header, this compiler."""
    chosen = os.environ.get("TENSORGRAD_CUDA_HOST_CACHE")
    base = Path(chosen) if chosen else Path.home() / ".cache" / "tensorgrad-cuda-host"
    version = subprocess.run([COMPILER or "g++", "--version"], capture_output=True, text=True, check=True).stdout
    text = (HERE / "cuda_host.h").read_text() + (HERE / "host_runtime.cpp").read_text() + version + repr(FLAGS)
    place = base / hashlib.sha256(text.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    return place


def _compile(text_or_path: str | Path, target: Path, *flags: str) -> None:
    """Build a target at once or not at all, since other processes look for it."""
    with tempfile.TemporaryDirectory(dir=directory()) as folder:
        made = Path(folder) / target.name
        command = [COMPILER or "g++", *FLAGS, *flags, "-o", str(made)]
        if isinstance(text_or_path, Path):
            result = subprocess.run([*command, str(text_or_path)], capture_output=True, text=True)
        else:
            result = subprocess.run([*command, "-x", "c++", "-"], input=text_or_path, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"g++ does not compile a kernel:\n{result.stderr[:4000]}\n{str(text_or_path)[-3000:]}")
        os.replace(made, target)


@functools.cache
def _runtime() -> ctypes.CDLL:
    target = directory() / "libhost_runtime.so"
    if not target.exists():
        _compile(HERE / "host_runtime.cpp", target, "-shared")
    library = ctypes.CDLL(str(target), mode=ctypes.RTLD_GLOBAL)
    library.tg_host_run.argtypes = [ctypes.c_void_p, ctypes.c_char_p, *[ctypes.c_uint] * 2, *[ctypes.c_int] * 2]
    return library


@functools.cache
def _header(prelude: str) -> Path:
    """The header and what all kernels begin with, precompiled."""
    name = hashlib.sha256(prelude.encode()).hexdigest()[:16]
    header = directory() / f"{name}.h"
    compiled = directory() / f"{name}.h.gch"
    if not compiled.exists():
        text = (HERE / "cuda_host.h").read_text() + prelude
        with tempfile.NamedTemporaryFile("w", dir=directory(), delete=False) as file:
            file.write(text)
        os.replace(file.name, header)
        _compile(header, compiled, "-x", "c++-header")
    kept = directory() / f"{name}.prelude"
    if not kept.exists():
        kept.write_text(prelude)
    return header


class HostKernel:
    """A kernel ``k`` that takes one structure ``Args``.

    Parameters
    ----------
    code : str
        What `tensorgrad_cuda.programs.source` gives.
    """

    def __init__(self, code: str) -> None:
        prelude, _, text = code.partition(END_OF_PRELUDE)
        # kernels without barriers run as plain loops, which is faster
        self.fibred = "__syncthreads" in prelude
        header = _header(prelude)
        text += '\nextern "C" void tg_thread(const void *a) { k(*(const Args *)a); }\n'
        name = hashlib.sha256((header.name + text).encode()).hexdigest()[:32]
        target = directory() / name[:2] / f"{name[2:]}.so"
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            _compile(f'#include "{header}"\n{text}', target, "-shared")
        kept = target.with_suffix(".cu")
        if not kept.exists():  # for the tests that compile every kernel there was for real devices
            kept.write_text(f"// {header.name}\n{text}")
        _runtime()
        self.library = ctypes.CDLL(str(target))
        self.entry = ctypes.cast(self.library.tg_thread, ctypes.c_void_p)

    def run(self, blocks: int, threads: int, arguments: bytes, backwards: bool = False) -> None:
        """Run all blocks."""
        with _lock:  # threadIdx and its kin are there once
            status = _runtime().tg_host_run(self.entry, arguments, blocks, threads, self.fibred, backwards)
        if status:
            raise RuntimeError("threads of a block wait for each other in vain" if status == 1 else "too many threads")
