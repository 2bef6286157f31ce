"""Matrix products, and those of a linear layer."""

from __future__ import annotations

from collections.abc import Callable

from cases.library import Library, Timed

SQUARE = (64, 128, 256, 512, 1024, 2048)
CURVE_SIZES = (4, 8, 16, 32, *SQUARE)
LINEAR = {
    "linear 16x1000x100": ("F.linear(x, w, b)", "x @ w.T + b"),
    "linear, gradient of the input": ("g @ w", "g @ w"),
    "linear, gradient of the weight": ("g.t() @ x", "g.T @ x"),
}
BMM = "bmm 64x32x32"


def square(size: int) -> str:
    """The name of the product of two square matrices."""
    return f"matmul {size}"


CASES = (*map(square, SQUARE), *LINEAR, BMM)


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """The products in float."""
    if library.name not in ("tensorgrad", "torch", "numpy"):
        return {}
    rng = library.np.random.default_rng(0)

    def normal(*shape: int) -> object:
        return library.tensor(rng.standard_normal(shape, "f4"))

    def layer(code: str) -> Timed:
        names = {"x": normal(16, 1000), "w": normal(100, 1000), "b": normal(100), "g": normal(16, 100)}
        return Timed(code, names if library.name == "numpy" else names | {"F": library.F})

    found: dict[str, Callable[[], Timed]] = {
        square(size): lambda size=size: Timed("a @ b", {"a": normal(size, size), "b": normal(size, size)})
        for size in CURVE_SIZES
    }
    for name, codes in LINEAR.items():
        found[name] = lambda code=codes[library.name == "numpy"]: layer(code)
    batched = "a @ b" if library.name == "numpy" else "a.bmm(b)"
    found[BMM] = lambda: Timed(batched, {"a": normal(64, 32, 32), "b": normal(64, 32, 32)})
    return found
