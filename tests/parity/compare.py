"""A feature is a function of a library: it runs with PyTorch and with tensorgrad and returns plain data, which must be the same."""

import functools
import warnings

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn
import tensorgrad_optim

from .bridge import EPSILON, dtype_name, torch


class Library:
    """One of the two, under the names that features use: those of `torch`, and `nn`, `optim`, `func`."""

    def __init__(self, module, nn, optim):
        self.module, self.nn, self.optim = module, nn, optim
        self.ad = module.autograd.forward_ad
        self.name = module.__name__

    def __getattr__(self, name):
        return getattr(self.module, name)

    def vec(self, *values, dtype="float64", requires_grad=True):
        """A leaf of one dimension."""
        return self.module.tensor(values, dtype=getattr(self.module, dtype), requires_grad=requires_grad)

    def mat(self, rows=2, columns=3, dtype="float64", requires_grad=True):
        """A leaf of two dimensions with the values 1, 2, ..."""
        values = np.arange(1.0, rows * columns + 1).reshape(rows, columns).tolist()
        return self.module.tensor(values, dtype=getattr(self.module, dtype), requires_grad=requires_grad)


TORCH = Library(torch, torch.nn, torch.optim)
TENSORGRAD = Library(tensorgrad, tensorgrad_nn, tensorgrad_optim)


class Raised:
    """An exception: the names of its type, and its message."""

    def __init__(self, error):
        self.type = type(error).__name__
        # torch's own subclasses count as what they are subclasses of where ours is that
        self.types = [t.__name__ for t in type(error).__mro__]
        self.message = str(error).replace("tensorgrad", "torch")

    def __repr__(self):
        return f"{self.type}: {self.message.splitlines()[0] if self.message else ''}"


def raised(function, *args, **kwargs):
    """The exception that a call raises, or "no error"."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return Raised(error)
    return "no error"


def warned(function, *args, **kwargs):
    """The categories of the warnings of a call, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return sorted({w.category.__name__ for w in caught})


def plain(value):
    """Tensors as (dtype, shape, values), names of types without their modules, containers as they are."""
    if isinstance(value, (torch.Tensor, tensorgrad.Tensor)):
        dtype = dtype_name(value.dtype)
        detached = value.detach()
        detached = detached.float() if dtype == "bfloat16" else detached
        return dtype, tuple(value.shape), np.array(detached.resolve_conj().resolve_neg().numpy())
    if isinstance(value, (torch.Size, tensorgrad.Size)):
        return tuple(value)
    if isinstance(value, (torch.dtype, tensorgrad.dtype)):
        return dtype_name(value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, str):
        return value.replace("tensorgrad", "torch")
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, complex, Raised)):
        return value
    return type(value).__name__


def phrase(message):
    """What a message begins with: its first clause."""
    line = message.splitlines()[0] if message else ""
    for position in range(16, len(line)):
        if line[position] in "0123456789'\"[(`" or line[position : position + 2] in (". ", ", ", "; ", ": "):
            return line[:position].rstrip()
    return line.rstrip(".")


def same(theirs, ours):
    if isinstance(theirs, Raised):
        if not isinstance(ours, Raised) or (theirs.type not in ours.types and ours.type not in theirs.types[:2]):
            return False
        return ours.message.startswith(phrase(theirs.message))
    if isinstance(theirs, tuple) and len(theirs) == 3 and isinstance(theirs[2], np.ndarray):
        if not isinstance(ours, tuple) or theirs[:2] != ours[:2]:
            return False
        tolerance = 64 * EPSILON.get(theirs[0], 0.0)
        return bool(np.isclose(theirs[2], ours[2], rtol=tolerance, atol=tolerance, equal_nan=True).all())
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(theirs) == len(ours) and all(map(same, theirs, ours))
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and list(theirs) == list(ours) and all(same(theirs[k], ours[k]) for k in theirs)
    if isinstance(theirs, float) and isinstance(ours, float):
        return theirs == ours or bool(np.isclose(theirs, ours, rtol=1e-6, equal_nan=True))
    return type(theirs) is type(ours) and theirs == ours


def both(feature):
    """A test that runs `feature(library)` with PyTorch and with tensorgrad and compares what they return."""

    @functools.wraps(feature)
    def test(record_property):
        record_property("feature", feature.__module__.rpartition(".")[2].removeprefix("test_"))
        record_property("says", (feature.__doc__ or feature.__name__[5:].replace("_", " ")).splitlines()[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = plain(feature(TORCH))
            try:
                ours = plain(feature(TENSORGRAD))
            except Exception as error:
                raise AssertionError(f"tensorgrad raises {type(error).__name__}: {error}; PyTorch: {theirs}") from error
        assert same(theirs, ours), f"\nPyTorch:    {theirs}\ntensorgrad: {ours}"

    # pytest reads the parameters of what __wrapped__ names
    del test.__wrapped__
    return test


def each(count):
    """As `both`, for a feature that returns a tuple of `count` facts: a test for each of them."""

    def decorate(feature):
        @pytest.mark.parametrize("fact", range(count))
        @functools.wraps(feature)
        def test(fact, record_property):
            def one(t):
                facts = feature(t)
                assert len(facts) == count
                return facts[fact]

            functools.update_wrapper(one, feature)
            one.__doc__ = f"{feature.__name__[5:].replace('_', ' ')}, fact {fact}"
            both(one)(record_property)

        del test.__wrapped__
        return test

    return decorate


def for_each(*cases):
    """As `both`, for a feature of more arguments: a test for each tuple of them."""

    def decorate(feature):
        @pytest.mark.parametrize("case", cases, ids=lambda case: "-".join(map(str, case)))
        @functools.wraps(feature)
        def test(case, record_property):
            def one(t):
                return feature(t, *case)

            functools.update_wrapper(one, feature)
            one.__doc__ = f"{feature.__name__[5:].replace('_', ' ')}: {', '.join(map(str, case))}"
            both(one)(record_property)

        del test.__wrapped__
        return test

    return decorate


def differs(reason):
    """A difference that is known: the test must fail, and one that begins to hold fails the run."""
    return pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)
