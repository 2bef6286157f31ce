"""Every kernel compiles for real devices, by the compilers that need none: NVRTC, which CuPy uses, and nvcc.

The kernels are those that the other tests and the conformance suite have met with NumPy in CuPy's place: their sources
are kept beside what g++ made of them. ``tox -e cuda`` runs this file last.
"""

from __future__ import annotations

import collections
import re

import compilers
import pytest

from tensorgrad_cuda.programs import OPTIONS

needs_nvrtc = pytest.mark.skipif(
    compilers.nvrtc() is None, reason="there is no NVRTC: the wheel nvidia-cuda-nvrtc has it"
)
needs_nvcc = pytest.mark.skipif(compilers.NVCC is None, reason="there is no nvcc on the PATH")
FAST = "--Ofast-compile=max"  # all of the compiler but its optimisations
BATCH = 200


@pytest.fixture(scope="session")
def kernels(stand_in):
    """The texts of kernels, by what they begin with."""
    from host_build import directory

    found = collections.defaultdict(list)
    for path in sorted(directory().glob("*/*.cu")):
        first, _, text = path.read_text().partition("\n")
        prelude = directory() / (re.fullmatch(r"// (\w+)\.h", first)[1] + ".prelude")
        found[prelude.read_text()].append(text.partition('\nextern "C" void tg_thread')[0])
    if sum(map(len, found.values())) < 100:
        pytest.skip(
            "fewer than 100 kernels have been met: run the conformance suite with the stand-in first (tox -e cuda)"
        )
    return found


def families(kernels):
    """A kernel of each kind, with all optimisations."""
    chosen = {}
    for prelude, texts in kernels.items():
        for text in texts:
            if not re.search(r"tg_\w+_args|tg_layout", text):
                continue  # a kernel of test_stand_in.py
            called = re.search(r"\b(tg_\w+)(<[^;]*>)?\(a\);", text)  # the hand-written ones are one call
            kind = called[1] if called else "pointwise"
            chosen.setdefault((prelude, kind), text)
    grouped = collections.defaultdict(list)
    for (prelude, _), text in chosen.items():
        grouped[prelude].append(text)
    return grouped


@needs_nvrtc
@pytest.mark.parametrize("architecture", compilers.ARCHITECTURES)
def test_nvrtc_compiles_every_kernel(architecture, kernels):
    count = 0
    for prelude, texts in kernels.items():
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            binary = compilers.compile_by_nvrtc(compilers.joined(prelude, part), architecture, (*OPTIONS, FAST))
            assert binary[:4] == b"\x7fELF"
            count += len(part)
    print(f"{count} kernels for {architecture}")
    assert count == sum(map(len, kernels.values()))


@needs_nvrtc
@pytest.mark.parametrize("architecture", compilers.ARCHITECTURES)
def test_nvrtc_compiles_one_of_each_kind_as_the_plugin_asks_it_to(architecture, kernels):
    chosen = families(kernels)
    names = {re.search(r"tg_\w+_args|tg_layout", text)[0] for texts in chosen.values() for text in texts}
    assert {"tg_reduce_args", "tg_scan_args", "tg_gather_args", "tg_scatter_args", "tg_matmul_args"} <= names, names
    assert {"tg_random_args", "tg_arg_args", "tg_arange_args", "tg_softmax_args", "tg_layout"} <= names, names
    for prelude, texts in chosen.items():
        for text in texts:
            source = f"{prelude}\n{text}"
            assert compilers.compile_by_nvrtc(source, architecture, OPTIONS)[:4] == b"\x7fELF"


@needs_nvcc
def test_nvcc_compiles_one_of_each_kind(kernels, tmp_path):
    for prelude, texts in families(kernels).items():
        joined = compilers.joined(prelude, texts)
        assert compilers.compile_by_nvcc(joined, tmp_path, compilers.ARCHITECTURES, ("--std=c++17", "--fmad=false")) > 0


@needs_nvrtc
def test_an_error_is_one(kernels):
    prelude = next(iter(kernels))
    with pytest.raises(RuntimeError, match="undefined"):
        compilers.compile_by_nvrtc(
            compilers.joined(prelude, ["__global__ void k() { tg_there_is_none(); }"]), "sm_90", OPTIONS
        )
