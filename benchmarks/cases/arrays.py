"""Elementwise operators and reductions of vectors from small to far larger than the caches."""

from __future__ import annotations

from collections.abc import Callable

from cases.library import Library, Timed

SIZES = (10**4, 10**6, 16 * 10**6)
CURVE_SIZES = (10, 100, 1000, 10**4, 10**5, 10**6, 10**7)
# name: (with PyTorch's interface, with NumPy); `p` is positive
OPERATORS = {
    "add": ("x + y", "x + y"),
    "sub": ("x - y", "x - y"),
    "mul": ("x * y", "x * y"),
    "div": ("x / p", "x / p"),
    "exp": ("t.exp(x)", "np.exp(x)"),
    "log": ("t.log(p)", "np.log(p)"),
    "sin": ("t.sin(x)", "np.sin(x)"),
    "tanh": ("t.tanh(x)", "np.tanh(x)"),
    "sigmoid": ("t.sigmoid(x)", "1 / (1 + np.exp(-x))"),
    "relu": ("t.relu(x)", "np.maximum(x, 0)"),
    "sqrt": ("t.sqrt(p)", "np.sqrt(p)"),
    "pow": ("t.pow(p, y)", "np.power(p, y)"),
    "greater": ("x > y", "x > y"),
    "clone": ("x.clone()", "x.copy()"),
    "sum": ("x.sum()", "x.sum()"),
    "max": ("x.max()", "x.max()"),
}
CURVES = ("add", "exp", "tanh", "sum")


def name_of(operator: str, size: int) -> str:
    """The name of a case: ``exp, 1e6``."""
    digits = str(size).rstrip("0")
    return f"{operator}, {digits}e{len(str(size)) - len(digits)}"


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """Every operator at each of `SIZES`, some at `CURVE_SIZES` too."""
    if library.name not in ("tensorgrad", "torch", "numpy"):
        return {}
    np = library.np
    made: dict[str, object] = {}

    def tensors(size: int) -> dict[str, object]:
        if made.get("size") != size:  # those of one size at a time
            made.clear()
            rng = np.random.default_rng(0)
            x = rng.standard_normal(size, "f4")
            p = rng.random(size, "f4") + np.float32(0.1)
            made.update(size=size, x=library.tensor(x), y=library.tensor(x[::-1].copy()), p=library.tensor(p))
            made["np" if library.name == "numpy" else "t"] = np if library.name == "numpy" else library.t
        return {name: value for name, value in made.items() if name != "size"}

    found: dict[str, Callable[[], Timed]] = {}
    for size in sorted({*SIZES, *CURVE_SIZES}):
        for operator in OPERATORS if size in SIZES else CURVES:
            code = OPERATORS[operator][library.name == "numpy"]
            found[name_of(operator, size)] = lambda code=code, size=size: Timed(code, tensors(size))
    return found
