"""Operators along the rows and columns of matrices, and adds of other types than float."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cases.library import Library, Timed

ROWS = {
    "add a row, 1000x1000": "m + row",
    "add a column, 1000x1000": "m + column",
    "sum over rows, 1000x1000": "m.sum(0)",
    "sum of each row, 1000x1000": "m.sum(1)",
    "softmax, 1000x1000": "t.softmax(m, 1)",
    "layer norm, 1000x1000": "F.layer_norm(m, (1000,), row, row)",
    "strided add, 1000x1000": "m[:, ::2] + m[:, 1::2]",
    "transposed copy, 1000x1000": "m.t().contiguous()",
    "cumsum, 1000x1000": "m.cumsum(1)",
    "argmax, 1000x1000": "m.argmax(1)",
}
DTYPES = ("float16", "bfloat16", "float64", "complex64")
ADDS = {f"add, {dtype}": f"x_{dtype} + y_{dtype}" for dtype in DTYPES}
CASES = ROWS | ADDS


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """The matrices are 1000x1000, the vectors of other types have a million elements."""
    if library.name not in ("tensorgrad", "torch"):
        return {}
    rng = library.np.random.default_rng(0)
    names = {
        "t": library.t,
        "F": library.F,
        "m": library.tensor(rng.standard_normal((1000, 1000), "f4")),
        "row": library.tensor(rng.standard_normal(1000, "f4")),
        "column": library.tensor(rng.standard_normal((1000, 1), "f4")),
    }
    for dtype in DTYPES:
        for name in "xy":
            vector = library.tensor(rng.standard_normal(10**6, "f4"))
            names[f"{name}_{dtype}"] = vector.to(getattr(library.t, dtype))
    return {name: partial(Timed, code, names) for name, code in CASES.items()}
