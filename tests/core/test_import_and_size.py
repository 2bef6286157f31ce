"""Ceilings for what tensorgrad costs before its first use: importing it, and its size on the disk.

The promise is NumPy's time and 40 ms, which ``benchmarks/table.py`` measures. A test cannot take times on a busy
machine; it counts what makes an import slow and compares processor time with generous bounds.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tensorgrad
import tensorgrad_nn
import tensorgrad_optim

MEGABYTE = 10**6
IMPORT = "import tensorgrad, tensorgrad_nn, tensorgrad_optim"
# Modules of the standard library that tensorgrad may import though NumPy (1.26 to 2.4) does not, and why.
ALLOWED = {
    "__future__": "annotations",
    "copy": "deepcopy of tensors and of optimizers' states",
}
MOST_MODULES = 195  # of tensorgrad's own, 178 today: each costs 0.1 to 0.4 ms


def imported_by(code):
    """Names of the modules that `code` imports in a fresh process."""
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sorted(sys.modules), sep='\\n')"],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return set(run.stdout.split())


def environment():
    path = os.pathsep.join(entry for entry in sys.path if entry)
    # Each thread of a BLAS that starts with its library costs processor time of its own.
    return os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "TENSORGRAD_PLUGINS": ""}


def processor_seconds():
    """Processor time of NumPy's import and of ours after it, each the best of several processes.

    The wall clock would count other programs too; and they slow a process down, but never make it faster.
    """
    code = f"""
from time import process_time
start = process_time()
import numpy
between = process_time()
{IMPORT}
print(between - start, process_time() - between)
"""
    rounds = []
    for _ in range(9):
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
        rounds.append([float(seconds) for seconds in run.stdout.split()])
    return [min(column) for column in zip(*rounds, strict=True)]


def test_import_brings_no_further_modules_of_the_standard_library():
    ours = imported_by(f"import numpy\n{IMPORT}") - imported_by("import numpy")
    further = {name for name in ours if name.partition(".")[0] in sys.stdlib_module_names}
    assert further - ALLOWED.keys() == set()


def test_import_brings_no_module_beside_the_standard_library_and_numpy():
    ours = imported_by(f"import numpy\n{IMPORT}") - imported_by("import numpy")
    tops = {name.partition(".")[0] for name in ours} - sys.stdlib_module_names
    # Cython's modules share a module that they make, named after its version.
    assert {name for name in tops if not name.startswith("_cython_")} == {
        "tensorgrad",
        "tensorgrad_nn",
        "tensorgrad_optim",
    } | ({"cython_runtime"} & tops)


def test_number_of_own_modules():
    ours = [name for name in imported_by(IMPORT) if name.startswith("tensorgrad")]
    assert 20 < len(ours) <= MOST_MODULES


@pytest.mark.slow
def test_import_takes_less_processor_time_than_numpys():
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("what is run under a sanitizer costs more")
    numpy, ours = processor_seconds()
    # Measured on a quiet machine: 0.4 of NumPy's. Twice that and more leaves room for a busy one.
    assert 0 < ours <= numpy


def installed_bytes():
    """Bytes of the installed packages, and those of the library of BLAS among them; bytecode is not shipped."""
    roots = [Path(package.__file__).parent for package in (tensorgrad, tensorgrad_nn, tensorgrad_optim)]
    if (roots[0].parent / "pyproject.toml").exists():
        pytest.skip("measures what is installed, and this is a checkout")
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("what is built for a sanitizer is larger")
    sizes = {
        path: path.stat().st_size
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    blas = sum(size for path, size in sizes.items() if "_blas" in path.parts)
    return sum(sizes.values()), blas


def test_installed_size_beside_blas():
    total, blas = installed_bytes()
    assert MEGABYTE < total - blas <= 15 * MEGABYTE


def test_installed_size_in_all():
    total, _ = installed_bytes()
    assert total <= 45 * MEGABYTE
