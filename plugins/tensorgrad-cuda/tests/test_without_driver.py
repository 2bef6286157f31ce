"""Without CuPy, a driver or a device nothing breaks, and the reason is told. Each test has a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


def run(program: str, **environment: str) -> str:
    """The output of a program that sees neither the stand-in nor a GPU."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    path = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and "stand_in" not in p]
    variables |= {"PYTHONPATH": os.pathsep.join(path), "CUDA_VISIBLE_DEVICES": "", **environment}
    if not path:
        del variables["PYTHONPATH"]
    command = [sys.executable, "-c", textwrap.dedent(program)]
    result = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert result.returncode == 0, result.stderr
    return result.stdout


def has_real_cupy() -> bool:
    program = "import importlib.util; print(importlib.util.find_spec('cupy') is not None)"
    return run(program).strip() == "True"


ASK = """
    import tensorgrad, tensorgrad.cuda
    print(tensorgrad.cuda.is_available(), tensorgrad.cuda.device_count())
    for call in (lambda: tensorgrad.ones(2).to("cuda"), lambda: tensorgrad.ones(2, device="cuda:0"),
                 lambda: tensorgrad.cuda.synchronize(), lambda: tensorgrad.cuda.Stream()):
        try:
            call()
        except RuntimeError as error:
            print(error)
        else:
            print("no error")
    print((tensorgrad.ones(2) + 1).tolist())
"""


def test_without_cupy():
    lines = run("import sys; sys.modules['cupy'] = None\n" + textwrap.dedent(ASK)).splitlines()
    assert lines[0] == "False 0" and lines[-1] == "[2.0, 2.0]" and len(lines) == 6
    for line in lines[1:5]:
        assert "CuPy cannot be imported" in line and "tensorgrad-cuda[cuda13x]" in line


def test_without_a_driver_or_a_device():
    if not has_real_cupy():
        pytest.skip("CuPy is not installed")
    lines = run(ASK).splitlines()
    assert lines[0] == "False 0" and lines[-1] == "[2.0, 2.0]" and len(lines) == 6
    for line in lines[1:5]:
        assert "Found no NVIDIA driver on your system" in line or "No CUDA GPUs are available" in line


def test_the_list_of_devices_says_why():
    program = """
        import sys
        from tensorgrad.devices.__main__ import main
        raise SystemExit(main(["--load"]))
    """
    if not has_real_cupy():
        program = "import sys; sys.modules['cupy'] = None\n" + textwrap.dedent(program)
    output = run(program)
    assert "tensorgrad-cuda" in output
    assert any(line.startswith("cuda: ") and len(line) > 30 for line in output.splitlines()), output


def test_the_report_says_that_there_is_nothing_to_report():
    program = """
        import sys
        sys.modules.setdefault("cupy", None)
        from tensorgrad_cuda.report import main
        print("status", main([]))
    """
    output = run(program)
    assert output.startswith("There is no CUDA device: ") and output.rstrip().endswith("status 1")


def test_naming_another_device_does_not_import_cupy():
    program = """
        import sys, tensorgrad
        tensorgrad.ones(2, device="cpu")
        print("cupy" in sys.modules, "tensorgrad_cuda" in sys.modules)
    """
    assert run(program).split() == ["False", "False"]
