"""What is installed: versions, the marks of typed packages, requirements, BLAS."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tensorgrad
import tensorgrad_nn
import tensorgrad_optim

PACKAGES = [tensorgrad, tensorgrad_nn, tensorgrad_optim]


def name(package):
    return package.__name__


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_version_is_the_distributions(package):
    assert package.__version__ == metadata.version("tensorgrad")


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_package_is_marked_as_typed(package):
    assert Path(package.__file__).with_name("py.typed").is_file()


def test_numpy_is_the_only_runtime_requirement():
    requirements = metadata.requires("tensorgrad")
    names = [re.match(r"[\w.-]+", line).group() for line in requirements if "extra ==" not in line]
    assert names == ["numpy"]


def test_import_loads_no_requirement_of_the_build_or_of_an_extra():
    code = (
        "import sys, tensorgrad, tensorgrad_nn, tensorgrad_optim\n"
        "print(sorted({'Cython', 'scipy_openblas32', 'setuptools', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_blas_lies_in_the_package_with_its_licence():
    directory = Path(tensorgrad.__file__).with_name("_blas")
    library, _prefix, _suffix = (directory / "library.txt").read_text().splitlines()
    if not library:
        pytest.skip("built with TENSORGRAD_BLAS=none")
    if not (directory / library).exists():
        assert "openblas32" not in library, "the bundled library was not copied"
        pytest.skip("built with TENSORGRAD_BLAS=system")
    assert any("LICENSE" in path.name.upper() for path in directory.iterdir())


def test_headers_and_floor_plans_are_installed():
    root = Path(tensorgrad.__file__).parent
    assert (root / "_core" / "types.pxd").is_file()
    assert list((root / "kernels" / "cpu").glob("*.h"))


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_no_generated_source_is_installed(package):
    if (Path(package.__file__).parents[1] / "pyproject.toml").exists():
        pytest.skip("runs in a checkout")
    assert not list(Path(package.__file__).parent.rglob("*.c"))
