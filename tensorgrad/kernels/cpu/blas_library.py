"""Where the BLAS is that the build put beside the package."""

from __future__ import annotations

from pathlib import Path

from tensorgrad.kernels.cpu import cpu


def register() -> None:
    """Name the library to the CPU's kernels, which open it with the first product that is worth it.

    ``tensorgrad/_blas/library.txt`` holds its file name (or a name for the dynamic linker, or nothing), and
    what its symbols are wrapped in.
    """
    directory = Path(__file__).parents[2] / "_blas"
    try:
        name, prefix, suffix = (directory / "library.txt").read_text().split("\n")[:3]
    except FileNotFoundError:
        return
    if name:
        bundled = directory / name
        cpu.use_blas(str(bundled) if bundled.exists() else name, prefix, suffix)
