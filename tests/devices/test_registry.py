"""How plugins are found: entry points of made-up distributions, each in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tensorgrad
from tensorgrad import cuda, devices

from .ghost import GhostBackend

TESTS = Path(__file__).parents[1]


class Site:
    """A directory of distributions that a new Python process finds."""

    def __init__(self, directory):
        self.directory = directory

    def add(self, distribution, device_type, source, version="1.2"):
        """Install a distribution whose entry point `device_type` is the class `Plugin` of a module."""
        module = distribution.replace("-", "_")
        (self.directory / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.directory / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[tensorgrad.devices]\n{device_type} = {module}:Plugin\n")

    def run(self, code, **environment):
        """What a program prints; it has a function `error_of` that gives an exception and its causes."""
        prelude = f"""
            import sys
            sys.path[:0] = [{str(self.directory)!r}, {str(TESTS)!r}]
            import tensorgrad
            def error_of(device):
                try:
                    tensorgrad.ones(2, device=device)
                except Exception as error:
                    while error is not None:
                        print(f"{{type(error).__name__}}: {{error}}")
                        error = error.__cause__
                else:
                    print("no error")
        """
        program = textwrap.dedent(prelude) + textwrap.dedent(code)
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
        )
        assert result.returncode == 0, result.stderr
        return result.stdout


GOOD = "from devices.ghost import GhostBackend as Plugin"
BROKEN = "raise ImportError('libspook.so.7: cannot open shared object file')"
OTHER_VERSION = """
    from devices.ghost import GhostBackend
    class Plugin(GhostBackend):
        contract_version = 99
"""
NO_VERSION = """
    from tensorgrad.devices import Backend
    class Plugin(Backend):
        pass
"""
CPU_WORKS = "print((tensorgrad.ones(2) + 1).tolist(), 'importlib.metadata' in sys.modules)"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_good_plugin_is_loaded_when_it_is_named(site):
    site.add("tensorgrad-spook", "spook", GOOD)
    out = site.run(
        """
        print("tensorgrad_spook" in sys.modules)
        x = tensorgrad.ones(2, device="spook") + 1
        print("tensorgrad_spook" in sys.modules, x.device, x.tolist())
        """
    )
    assert out.split("\n")[:2] == ["False", "True spook:0 [2.0, 2.0]"]


def test_a_plugin_that_cannot_be_imported(site):
    site.add("tensorgrad-spook", "spook", BROKEN)
    lines = site.run(CPU_WORKS + "\nerror_of('spook')\nerror_of('spook')\n" + CPU_WORKS).splitlines()
    assert lines[0] == "[2.0, 2.0] False", "nothing is scanned, and the CPU works"
    assert lines[1] == (
        "RuntimeError: the plugin tensorgrad-spook 1.2 for device type 'spook' could not be loaded "
        "(tensorgrad_spook:Plugin): ImportError: libspook.so.7: cannot open shared object file"
    )
    assert lines[2] == "ImportError: libspook.so.7: cannot open shared object file"
    assert lines[3:5] == lines[1:3]
    assert lines[5].startswith("[2.0, 2.0]")


@pytest.mark.parametrize(
    "source, reason",
    [
        (OTHER_VERSION, "is built for contract version 99; this tensorgrad speaks version 1"),
        (NO_VERSION, "its class must have `contract_version = 1`"),
        ("Plugin = 5", "TypeError: 'int' object is not callable"),
        ("", "AttributeError"),
    ],
)
def test_a_plugin_that_does_not_fit(site, source, reason):
    site.add("tensorgrad-spook", "spook", source)
    lines = site.run("error_of('spook')\n" + CPU_WORKS).splitlines()
    assert lines[0].startswith("RuntimeError: the plugin tensorgrad-spook 1.2 for device type 'spook'")
    assert reason in lines[0]
    assert lines[-1].startswith("[2.0, 2.0]")


def test_two_distributions_that_claim_one_name(site):
    site.add("tensorgrad-spook", "spook", GOOD)
    site.add("other-spook", "spook", GOOD, version="3.0")
    site.add("tensorgrad-wraith", "wraith", GOOD)
    lines = site.run("error_of('spook')\nerror_of('wraith')").splitlines()
    assert lines == [
        "RuntimeError: several distributions offer the device type 'spook': other-spook 3.0, "
        "tensorgrad-spook 1.2; uninstall all but one",
        "no error",
    ]


@pytest.mark.parametrize(
    "allowed, errors", [("spook", [False, True]), ("", [True, True]), (" wraith , spook", [False] * 2)]
)
def test_plugins_are_restricted_by_the_environment(site, allowed, errors):
    for name in ("spook", "wraith"):
        site.add(f"tensorgrad-{name}", name, GOOD)
    lines = site.run("error_of('spook')\nerror_of('wraith')", TENSORGRAD_PLUGINS=allowed).splitlines()
    assert [line != "no error" for line in lines] == errors
    for line, name in zip(lines, ("spook", "wraith")):
        if line != "no error":
            message = f"the device type '{name}' is not among TENSORGRAD_PLUGINS={allowed!r}"
            assert line == f"RuntimeError: {message}"


def test_a_type_that_nobody_offers(site):
    (line,) = site.run("error_of('nowhere')").splitlines()
    assert line.startswith("RuntimeError: tensorgrad has no device type 'nowhere'")
    assert "tensorgrad-nowhere" in line


def test_the_table_of_devices(site):
    for name, source in (("good", GOOD), ("broken", BROKEN), ("twice", GOOD), ("off", GOOD)):
        site.add(f"tensorgrad-{name}", name, source)
    site.add("another-twice", "twice", GOOD)
    code = "from tensorgrad.devices.__main__ import main; main({}); print('devices.ghost' in sys.modules)"
    allowed = "good,broken,twice"

    lines = site.run(code.format([]), TENSORGRAD_PLUGINS=allowed).splitlines()
    table = {line.split()[0]: line for line in lines if line and not line.split()[0].endswith(":")}
    assert table["cpu"].split() == ["cpu", "built", "in", "1"]
    assert table["good"].split() == ["good", "installed", "tensorgrad-good", "1.2"]
    assert "installed" in table["broken"]
    assert "conflict" in table["twice"] and "another-twice 1.2, tensorgrad-twice 1.2" in table["twice"]
    assert "switched off" in table["off"]
    assert lines[-1] == "False", "only metadata is read"

    lines = site.run(code.format(["--load"]), TENSORGRAD_PLUGINS=allowed).splitlines()
    table = {line.split()[0]: line for line in lines if line}
    assert table["good"].split() == ["good", "loaded", "2", "tensorgrad-good", "1.2"]
    assert "libspook.so.7" in table["broken:"]


def test_the_table_is_a_program():
    command = [sys.executable, "-W", "error", "-m", "tensorgrad.devices"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.startswith("DEVICE") and "built in" in result.stdout


# ---- backends made in a program ----------------------------------------------------------------------------
def test_registering(ghost):
    with pytest.raises(RuntimeError, match="'cpu' is built in"):
        devices.register_backend("cpu", ghost)
    with pytest.raises(RuntimeError, match="must be an identifier"):
        devices.register_backend("my device", ghost)
    with pytest.raises(RuntimeError, match="'ghost' has a backend already"):
        devices.register_backend("ghost", type(ghost)())
    devices.register_backend("ghost", ghost)  # the same one again is no harm
    rows = {row.name: row for row in devices.list()}
    assert rows["ghost"] == ("ghost", "loaded", (), 2, None)
    assert rows["cpu"].state == "built in"


def test_the_contract_is_documented():
    for name, method in vars(devices.Backend).items():
        if callable(method) and not name.startswith("_"):
            assert method.__doc__, name
    assert devices.CONTRACT_VERSION == 1


# ---- CUDA ------------------------------------------------------------------------------------------------
def test_cuda_without_a_plugin(site):
    out = site.run(
        """
        from tensorgrad import cuda
        print(cuda.is_available(), cuda.device_count(), cuda.is_initialized())
        cuda.empty_cache()
        for call in (cuda.current_device, cuda.synchronize, cuda.memory_allocated, cuda.Stream):
            try:
                call()
            except RuntimeError as error:
                print(error)
        error_of("cuda")
        """,
        TENSORGRAD_PLUGINS="cuda",
    )
    first, *errors = out.splitlines()
    if first == "True" or "tensorgrad-cuda" not in out:
        pytest.skip("a plugin for CUDA is installed")
    assert first == "False 0 False"
    assert len(errors) == 5
    assert all("tensorgrad has no device type 'cuda'" in error for error in errors)


@pytest.mark.parametrize("source", [BROKEN, OTHER_VERSION])
def test_cuda_with_a_plugin_that_does_not_work(site, source):
    site.add("tensorgrad-cuda", "cuda", source)
    assert (
        site.run("from tensorgrad import cuda; print(cuda.is_available(), cuda.device_count())")
        == "False 0\n"
    )


def test_cuda_with_a_plugin(site):
    if devices.plugin_entry_points().get("cuda"):
        pytest.skip("a plugin for CUDA is installed")
    site.add("tensorgrad-cuda", "cuda", GOOD)
    out = site.run(
        """
        from tensorgrad import cuda
        print(cuda.is_available(), cuda.device_count(), cuda.current_device(), cuda.get_device_name(1))
        x = tensorgrad.ones(4).cuda()
        print(x.is_cuda, x.device, cuda.memory_allocated(), cuda.memory_allocated("cuda:1"))
        with cuda.device(1):
            print(tensorgrad.ones(2, device="cuda").device, cuda.current_device())
        print(tensorgrad.ones(2, device=1).device, cuda.current_device())
        cuda.synchronize("cuda")
        cuda.synchronize(tensorgrad.device("cuda", 1))
        for wrong in (5, "cpu"):
            try:
                cuda.synchronize(wrong)
            except (RuntimeError, ValueError) as error:
                print(error)
        """
    )
    assert out.splitlines() == [
        "True 2 0 Ghost 1",
        "True cuda:0 16 0",
        "cuda:1 1",
        "cuda:1 0",
        "CUDA device 5 does not exist: there are 2",
        "Expected a cuda device, but got: cpu",
    ]


def test_cuda_is_a_module_of_the_package():
    assert tensorgrad.cuda is cuda


# ---- operators in a device's own way -------------------------------------------------------------------
def overriding(overrides):
    """A backend like the ghost that computes some operators itself."""

    class Overriding(GhostBackend):
        pass

    Overriding.overrides = overrides
    return Overriding()


def test_a_backend_overrides_operators():
    seen = []

    def softmax(x, dim):
        seen.append((devices.device_array(x).shape, dim))
        if x.dim() == 1:
            return NotImplemented
        return tensorgrad.full_like(x, 7.0)

    devices.register_backend("overriding", overriding({"softmax": softmax}))
    x = tensorgrad.zeros(2, 4, device="overriding", requires_grad=True)
    y = x.softmax(-1)
    assert y.tolist() == [[7.0] * 4] * 2
    assert seen == [((2, 4), 1)]
    assert type(y.grad_fn).__name__ == "SoftmaxBackward0", "its derivative is as declared"
    y[0, 0].backward()
    assert x.grad[0].tolist() == [7.0 * (1 - 7.0), -49.0, -49.0, -49.0]
    assert x[0].softmax(0).tolist() == [0.25] * 4, "asked for the usual way"
    assert x.cpu().softmax(1).tolist() == [[0.25] * 4] * 2
    with pytest.raises(TypeError, match="is on the CPU"):
        devices.device_array(x.cpu())


@pytest.mark.parametrize("name", ["sin", "no_such_operator", "zeros_like.nonsense"])
def test_what_cannot_be_overridden(name):
    with pytest.raises(RuntimeError, match=f"overrides '{name}', of which there are 0 overloads"):
        devices.register_backend("wrong", overriding({name: print}))
    assert "wrong" not in [row.name for row in devices.list()]


def test_scratch_memory_runs_out(ghost, monkeypatch):
    def matmul(out, a, b, beta):
        raise MemoryError("no tile left")

    monkeypatch.setattr(ghost, "matmul", matmul)
    x = tensorgrad.ones(2, 2, device="ghost")
    with pytest.raises(tensorgrad.OutOfMemoryError, match="ghost:0 out of memory: matmul needs scratch memory"):
        x @ x


def test_a_backend_by_name(ghost):
    assert devices.backend("ghost") is ghost
    waited = []
    ghost.synchronize = waited.append
    try:
        devices.synchronize("ghost:1")
        devices.synchronize(tensorgrad.device("ghost"))
    finally:
        del ghost.synchronize
    assert waited == [1, 0]
