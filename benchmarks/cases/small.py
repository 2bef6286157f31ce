"""A call on a few numbers: what the interpreter, the dispatch and the allocation cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cases.library import Library, Timed

ADD, ADD_RECORDED = "x + y", "x + y, recorded"
# name: (with PyTorch's interface, with NumPy); `r` requires a gradient
CASES = {
    ADD: ("x + y", "x + y"),
    ADD_RECORDED: ("r + y", None),
    "x * 2": ("x * 2", "x * 2"),
    "x * 2, recorded": ("r * 2", None),
    "x / y": ("x / y", "x / y"),
    "-x": ("-x", "-x"),
    "x.add_(y)": ("x.add_(z)", "np.add(x, z, x)"),
    "x > y": ("x > y", "x > y"),
    "sin": ("t.sin(x)", "np.sin(x)"),
    "exp, recorded": ("t.exp(r)", None),
    "relu": ("t.relu(x)", "np.maximum(x, 0)"),
    "where": ("t.where(c, x, y)", "np.where(c, x, y)"),
    "transposed": ("x.t()", "x.T"),
    "view": ("x.view(3, 2)", "x.reshape(3, 2)"),
    "reshape, recorded": ("r.reshape(6)", None),
    "x[0]": ("x[0]", "x[0]"),
    "x[:, 1:]": ("x[:, 1:]", "x[:, 1:]"),
    "x[:, 1:], recorded": ("r[:, 1:]", None),
    "clone": ("x.clone()", "x.copy()"),
    "detach": ("r.detach()", None),
    "cat": ("t.cat((x, y))", "np.concatenate((x, y))"),
    "sum": ("x.sum()", "x.sum()"),
    "sum, recorded": ("r.sum()", None),
    "sum over rows": ("x.sum(0)", "x.sum(0)"),
    "mean": ("x.mean()", "x.mean()"),
    "max": ("x.max()", "x.max()"),
    "matmul 8x8": ("m @ m", "m @ m"),
    "matmul 8x8, recorded": ("mr @ m", None),
    "softmax": ("t.softmax(x, 1)", None),
    "item": ("s.item()", "s.item()"),
    "tensor([...])": ("tensor([1.0, 2.0, 3.0])", "np.array([1.0, 2.0, 3.0])"),
    "zeros": ("t.zeros(2, 3)", "np.zeros((2, 3))"),
}
OTHERS = tuple(name for name in CASES if name not in (ADD, ADD_RECORDED))


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """Each statement on 2x3 floats."""
    if not library.has_torch_interface and library.name != "numpy":
        return {}
    np = library.np
    arrays = {"x": np.full((2, 3), 0.5, "f4"), "y": np.ones((2, 3), "f4"), "z": np.zeros((2, 3), "f4")}
    names = {name: library.tensor(array) for name, array in arrays.items()}
    names |= {"m": library.tensor(np.ones((8, 8), "f4")), "c": names["x"] > 0}
    names["s"] = names["x"].sum()
    if library.name == "numpy":
        return {name: partial(Timed, code, names | {"np": np}) for name, (_, code) in CASES.items() if code}
    names |= {"r": library.tensor(arrays["x"], True), "mr": library.tensor(np.ones((8, 8), "f4"), True)}
    names |= {"t": library.t, "tensor": library.t.tensor}
    return {name: partial(Timed, code, names) for name, (code, _) in CASES.items()}
