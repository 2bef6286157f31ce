"""Where the BLAS is that the build put beside the package."""

from __future__ import annotations

import os.path

from tensorgrad.kernels.cpu import cpu


def register() -> None:
    """Name the library to the CPU's kernels, which open it with the first product that is worth it.

    ``tensorgrad/_blas/library.txt`` holds its file name (or a name for the dynamic linker, or nothing), and
    what its symbols are wrapped in.
    """
    # Not pathlib, which NumPy has not imported: it brings urllib and costs 4 ms.
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "_blas")
    try:
        with open(os.path.join(directory, "library.txt"), encoding="utf-8") as file:
            name, prefix, suffix = file.read().split("\n")[:3]
    except FileNotFoundError:
        return
    if name:
        bundled = os.path.normpath(os.path.join(directory, name))
        cpu.use_blas(bundled if os.path.exists(bundled) else name, prefix, suffix)
