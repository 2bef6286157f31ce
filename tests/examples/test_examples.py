"""The examples run: with a fixed seed and a small budget, and what they promise holds."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tensorgrad

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS_NEED = ["sklearn", "tqdm", "safetensors", "matplotlib"]


def load_example(name, *needs):
    """An example as a module; skips where what it needs is not installed."""
    for module in needs:
        pytest.importorskip(module, reason=f"examples/{name}.py needs {module}")
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits():
    return load_example("digits", *DIGITS_NEED)


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """One run with a small budget: the accuracy, and the directory."""
    output = tmp_path_factory.mktemp("digits")
    return digits.main(["--epochs", "8", "--seed", "0", "--output", str(output)]), output


def test_all_examples_are_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"walkthrough", "digits", "freezing"}, (
        "a new example needs a test (the walkthrough has its own in tests/chapter)"
    )


# ---- digits ------------------------------------------------------------------------------------------
def test_digits_are_learned(trained):
    accuracy, _ = trained
    assert accuracy >= 0.95


@pytest.mark.slow
def test_digits_full_budget(digits, tmp_path):
    assert digits.main(["--seed", "1", "--output", str(tmp_path)]) >= 0.97


def test_digits_draws_its_pictures(trained):
    _, output = trained
    assert {path.name for path in output.iterdir()} == {
        "loss.png",
        "confusion.png",
        "misread.png",
        "digits.safetensors",
    }
    for path in output.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size > 5000


def test_digits_as_a_program(trained, tmp_path):
    accuracy, output = trained
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / "digits.py"), "--epochs", "8", "--output", "results"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert "1438 images to train with, 359 to test with, on cpu" in run.stdout
    assert f"accuracy on the test images: {accuracy:.2%}" in run.stdout  # the same seed, the same result
    assert re.search(r"training: 100%.*8/8.*accuracy=\d+\.\d+%.*loss=\d", run.stderr)
    contents = (output / "digits.safetensors").read_bytes()
    assert (tmp_path / "results" / "digits.safetensors").read_bytes() == contents


def test_digits_weights_load_in_another_run(digits, trained, tmp_path):
    accuracy, output = trained
    again = digits.main(["--load", str(output / "digits.safetensors"), "--output", str(tmp_path)])
    assert again == accuracy
    assert not (tmp_path / "loss.png").exists()


def test_digits_file_is_safetensors(digits, trained):
    from safetensors.numpy import load_file

    arrays = load_file(trained[1] / "digits.safetensors")
    expected = {name: tuple(value.shape) for name, value in digits.make_network().state_dict().items()}
    assert {name: array.shape for name, array in arrays.items()} == expected


@pytest.mark.parametrize("failing", ["os.fsync", "os.replace"])
def test_digits_crash_while_saving_leaves_the_old_file(digits, tmp_path, monkeypatch, failing):
    path = tmp_path / "digits.safetensors"
    network = digits.make_network()
    digits.save_weights(network, path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("the disk is full")

    with tensorgrad.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    with monkeypatch.context() as patched:
        patched.setattr(failing, fail)
        with pytest.raises(OSError, match="the disk is full"):
            digits.save_weights(network, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
    digits.save_weights(network, path)
    assert path.read_bytes() != before


def test_digits_killed_while_saving_leaves_the_old_file(digits, tmp_path):
    """No handler runs when a process dies at once."""
    path = tmp_path / "digits.safetensors"
    digits.save_weights(digits.make_network(), path)
    before = path.read_bytes()
    child = os.fork()
    if child == 0:
        os.fsync = lambda handle: os._exit(9)
        digits.save_weights(digits.make_network(), path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_bytes() == before


def test_digits_confusion_matrix(digits):
    labels = tensorgrad.tensor([0, 0, 3, 9])
    matrix = digits.confusion_matrix(
        digits.np.array([0, 1, 3, 9]), digits.Digits(tensorgrad.zeros(4, 64), labels)
    )
    assert matrix.sum() == 4
    assert (matrix[0, 0], matrix[0, 1], matrix[3, 3], matrix[9, 9]) == (1, 1, 1, 1)


@pytest.mark.parametrize("device", ["opencl", "cuda"])
def test_digits_on_another_device(digits, tmp_path, device):
    try:
        tensorgrad.zeros(1, device=device)
    except RuntimeError as error:
        pytest.skip(f"no {device} device: {error}")
    assert digits.main(["--device", device, "--epochs", "2", "--output", str(tmp_path)]) > 0.8


# ---- freezing ----------------------------------------------------------------------------------------
def test_freezing(capsys):
    freezing = load_example("freezing", "sklearn")
    results = freezing.main(["--epochs", "5", "--seed", "0"])
    assert results["pretrained, 0 to 4"] > 0.9
    assert results["new head, untrained"] < 0.5
    assert results["fine-tuned, 5 to 9"] > 0.7
    printed = capsys.readouterr().out
    assert "the 4 frozen tensors are bit-identical, and have no gradients" in printed
    assert "recorded for backward, frozen: LinearBackward0, AccumulateGrad, AccumulateGrad\n" in printed
    assert re.search(r"recorded for backward, before: .*(LinearBackward0.*){3}\n", printed)
