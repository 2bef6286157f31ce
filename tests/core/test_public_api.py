"""A snapshot of the public API: every public name with its signature.

A change of the API is a change of public_api.txt, which a review sees. After an intended change::

    python tests/core/test_public_api.py
"""

import enum
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import tensorgrad
from tensorgrad._core.docstrings import call_text
from tensorgrad._core.operator import Operator
from tensorgrad._loading import CompiledFinder

SNAPSHOT = Path(__file__).with_name("public_api.txt")
PACKAGES = ("tensorgrad", "tensorgrad_nn", "tensorgrad_optim")
# What every extension type has, and what pickle and copy use.
PLUMBING = {"__pyx_vtable__", "__reduce_cython__", "__setstate_cython__"}


def public_modules():
    for package in PACKAGES:
        module = importlib.import_module(package)
        yield module
        names = {info.name for info in pkgutil.walk_packages(module.__path__, f"{package}.")}
        names |= {name for name in CompiledFinder.names if name.startswith(f"{package}.")}
        for name in sorted(names):
            # floors 1 and 2 are reached through the package only; a suite of tests is run, not called
            inner = ("ops", "kernels", "device_conformance")
            if not any(part[0] == "_" or part in inner for part in name.split(".")):
                yield importlib.import_module(name)


def public_names(module):
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = []
    for name, value in sorted(vars(module).items()):
        home = getattr(value, "__module__", None) or module.__name__
        imported = inspect.ismodule(value) or not home.startswith(module.__name__.partition(".")[0])
        # A module without __all__ shows what it defines; the packages themselves, all that they gather.
        elsewhere = module.__name__ not in PACKAGES and home != module.__name__
        if name[0] != "_" and not imported and not elsewhere:
            own.append(name)
    return own


def signature(value):
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return "(value)"  # what inspect says of it depends on the version of Python
    try:
        return re.sub(r" at 0x[0-9a-f]+>", ">", str(inspect.signature(value)))
    except (TypeError, ValueError):
        return "(...)"


def described(path, value):
    """The lines of a public object: one a way to call it, one a public member of a class."""
    if isinstance(value, Operator):
        prefix = path.rpartition(".")[0]
        return [
            f"{prefix}.{call_text(o)}" for o in value.overloads if path.endswith(f".{value.__name__}")
        ] or [f"{path} = {value.__name__}"]
    if inspect.isclass(value):
        lines = [f"class {path}{signature(value)}"]
        for name in sorted(vars(value)):
            member = vars(value)[name]
            if name[0] == "_" or name in PLUMBING:
                continue
            if isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            lines += described(f"{path}.{name}", member)
        return lines
    if isinstance(value, property) or inspect.isdatadescriptor(value):
        return [f"{path} (property)"]
    if callable(value):
        return [f"{path}{signature(value)}"]
    return [f"{path}: {type(value).__name__}"]


def snapshot():
    lines = []
    for module in public_modules():
        for name in public_names(module):
            lines += described(f"{module.__name__}.{name}", getattr(module, name))
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def test_public_api_is_the_recorded_one():
    now, recorded = snapshot().splitlines(), SNAPSHOT.read_text().splitlines()
    gone, new = sorted(set(recorded) - set(now)), sorted(set(now) - set(recorded))
    assert not gone and not new, f"gone: {gone}\nnew: {new}\nif intended: python {__file__}"


def test_every_public_name_resolves():
    for module in public_modules():
        for name in public_names(module):
            assert getattr(module, name) is not None or name in vars(module)
    assert "sin" in vars(tensorgrad)


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
