"""The examples in docstrings run: of operators, of the Python modules, and of what is written in Cython."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import tensorgrad
import tensorgrad_nn
import tensorgrad_optim
from tensorgrad._core.operator import all_operators

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
HEADINGS = ["Parameters", "Returns", "Raises", "See Also", "Notes", "References", "Examples"]
OPERATORS = {
    name: op
    for name, op in sorted(all_operators().items())
    if not (name.startswith("__") and op.overloads[0].options.get("internal"))
}


def run(name, text):
    """Run the examples of a docstring; returns how many there were."""
    tensorgrad.manual_seed(0)
    test = doctest.DocTestParser().get_doctest(text, {"tensorgrad": tensorgrad}, name, None, None)
    output = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=output.append)
    assert not output, "".join(output)
    return len(test.examples)


@pytest.mark.parametrize("name", [name for name, op in OPERATORS.items() if ">>>" in op.__doc__])
def test_operator_examples(name):
    assert run(name, OPERATORS[name].__doc__)


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_docstring_is_numpydoc(name):
    text = OPERATORS[name].__doc__
    summary = text.splitlines()[0]
    assert summary and summary[-1] in ".:", summary
    found = re.findall(r"^(\w[\w ]*)\n-{3,}$", text, re.MULTILINE)
    assert found == [heading for heading in HEADINGS if heading in found], (
        "sections in numpydoc's order, none twice"
    )
    assert "Parameters" in found or not OPERATORS[name].overloads[0].parsed().params
    assert "Returns" in found
    entries = re.findall(
        r"^(\w+) : ", text.partition("Parameters\n")[2].partition("\nReturns\n")[0], re.MULTILINE
    )
    for overload in OPERATORS[name].overloads:
        for param in overload.parsed().params:
            assert ("input" if param.name == "self" else param.name) in entries


def test_examples_import_what_they_use():
    text = tensorgrad.sin.__doc__
    assert ">>> import tensorgrad\n>>> tensorgrad.sin(" in text


def modules():
    for package in (tensorgrad, tensorgrad_nn, tensorgrad_optim):
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(info.name)


def documented():
    """Everything with examples that the modules define, in Python or in Cython: doctest's own finder
    passes over the functions and methods of extension modules."""
    found = {}

    def visit(path, value, home):
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        text = getattr(value, "__doc__", None)
        if isinstance(text, str) and ">>>" in text:
            found[path] = text
        if inspect.isclass(value):
            for name, member in vars(value).items():
                if path.count(".") < 8 and not (inspect.isclass(member) and member.__module__ != home):
                    visit(f"{path}.{name}", member, home)

    for module in modules():
        if isinstance(module.__doc__, str) and ">>>" in module.__doc__:
            found[module.__name__] = module.__doc__
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and type(value).__name__ != "Operator" and (callable(value) or inspect.isclass(value)):
                visit(f"{module.__name__}.{name}", value, module.__name__)
    return found


DOCUMENTED = documented()


@pytest.mark.parametrize("path", sorted(DOCUMENTED))
def test_module_examples(path):
    assert run(path, DOCUMENTED[path])
