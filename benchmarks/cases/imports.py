"""What a library costs before its first use: the time of its import, and its size on the disk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from cases.library import environment

IMPORT, SIZE, SIZE_WITHOUT_BLAS = "import", "installed size", "installed size without BLAS"
STATEMENTS = {
    "tensorgrad": "import tensorgrad, tensorgrad_nn, tensorgrad_optim",
    "torch": "import torch",
    "jax": "import jax",
    "numpy": "import numpy",
}
# The packages that are part of a distribution, and what of them is not installed by a wheel.
PACKAGES = {
    "tensorgrad": ("tensorgrad", "tensorgrad_nn", "tensorgrad_optim"),
    "torch": ("torch", "torchgen", "functorch"),
    "jax": ("jax", "jaxlib"),
    "numpy": ("numpy",),
}
TIME = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""
SIZES = """
import importlib.util, json, pathlib
total = blas = 0
for name in {packages}:
    spec = importlib.util.find_spec(name)
    for root in spec.submodule_search_locations if spec else ():
        for path in pathlib.Path(root).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyx", ".c"):
                total += path.stat().st_size
                blas += path.stat().st_size if "_blas" in path.parts else 0
print(json.dumps([total, blas]))
"""


def _run(python: str, code: str, threads: int, directory: Path) -> str:
    done = subprocess.run(
        [python, "-c", code],
        env=environment(threads),
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def import_seconds(library: str, python: str, threads: int, directory: Path, times: int) -> float:
    """The wall time of the import in a fresh process: the best of several, after one that writes the bytecode."""
    code = TIME.format(statement=STATEMENTS[library])
    return min([float(_run(python, code, threads, directory)) for _ in range(times + 1)][1:])


def installed_bytes(library: str, python: str, threads: int, directory: Path) -> dict[str, float]:
    """The bytes of the installed packages, in all and without the library of BLAS; sources and bytecode left out."""
    total, blas = json.loads(_run(python, SIZES.format(packages=PACKAGES[library]), threads, directory))
    return {SIZE: float(total), SIZE_WITHOUT_BLAS: float(total - blas)}
