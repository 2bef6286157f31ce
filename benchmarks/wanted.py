"""The rows of the table: which cases a row is made of, and what tensorgrad has to reach in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cases import arrays, graphs, imports, matrices, memory, products, small, training

NOISE = 1.05  # what "no slower" allows
Medians = Mapping[str, Mapping[str, float]]  # library -> case -> median over the rounds


@dataclass(frozen=True)
class Verdict:
    """One requirement held against the measurement; `met` is None where a side was not measured."""

    reached: str
    wanted: str
    met: bool | None


@dataclass(frozen=True)
class Ratio:
    """The other's time over tensorgrad's, in every case of a row or in the geometric mean.

    `against` names a library, or "best" for the faster of PyTorch and NumPy, case by case. `size` picks cases.
    """

    against: str
    ratio: float
    mean: bool = False
    ending: str = ""

    def judge(self, cases: tuple[str, ...], medians: Medians) -> Verdict:
        """The ratio that was reached."""
        chosen = [case for case in cases if case.endswith(self.ending)]
        found = {case: ratio for case in chosen if (ratio := ratio_of(case, self.against, medians)) is not None}
        name = {"torch": "PyTorch", "jax": "JAX", "numpy": "NumPy", "best": "the better"}[self.against]
        where = f" ({self.ending.strip(', ')})" if self.ending else ""
        if self.mean:
            wanted = f"{self.ratio:g}x {name} in the mean{where}"
        elif self.ratio == 1:
            wanted = f"no slower than {name}"
        else:
            wanted = f"{self.ratio:g}x {name}" + (" in each" if len(chosen) > 1 else "")
        if not found:
            return Verdict("not there", wanted, None)
        if self.mean:
            value, text = math.exp(math.fsum(map(math.log, found.values())) / len(found)), ""
        else:
            case, value = min(found.items(), key=lambda item: item[1])
            text = f" ({case})" if len(chosen) > 1 else ""
        missing = f", {len(chosen) - len(found)} of {len(chosen)} not there" if len(found) < len(chosen) else ""
        enough = value >= (self.ratio / NOISE if self.ratio == 1 else self.ratio)
        return Verdict(f"{value:.2f}x{text}{missing}", wanted, enough and not missing)


@dataclass(frozen=True)
class Sum:
    """Another library's number and some more at most: ``import`` may take NumPy's time and 40 ms."""

    against: str
    more: float
    unit: str

    def judge(self, cases: tuple[str, ...], medians: Medians) -> Verdict:
        """How far tensorgrad is from the other."""
        (case,) = cases
        ours, theirs = medians["tensorgrad"].get(case), medians.get(self.against, {}).get(case, 0.0)
        name = {"numpy": "NumPy's + ", "torch": "PyTorch's + ", "": ""}[self.against]
        scale = {"ms": 1e3, "MB": 1e-6}[self.unit]
        wanted = f"{name}{self.more * scale:.0f} {self.unit}"
        if ours is None or (self.against and not theirs):
            return Verdict("not there", wanted, None)
        return Verdict(f"{name}{(ours - theirs) * scale:.1f} {self.unit}", wanted, ours - theirs <= self.more)


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    title: str
    cases: tuple[str, ...]
    wants: tuple[Ratio | Sum, ...]


def ratio_of(case: str, against: str, medians: Medians) -> float | None:
    """How many times tensorgrad is faster, None where one of the two was not measured."""
    ours = medians.get("tensorgrad", {}).get(case)
    others = ("torch", "numpy") if against == "best" else (against,)
    times = [medians[other][case] for other in others if case in medians.get(other, {})]
    return min(times) / ours if ours and times else None


ELEMENTWISE = tuple(arrays.name_of(operator, size) for size in arrays.SIZES for operator in arrays.OPERATORS)
LARGEST = arrays.name_of("", arrays.SIZES[-1])
ROWS = (
    Row("`x + y`, 2x3 floats", (small.ADD,), (Ratio("torch", 8), Ratio("numpy", 2))),
    Row("`x + y`, 2x3 floats, recorded", (small.ADD_RECORDED,), (Ratio("torch", 9),)),
    Row("other small operators", small.OTHERS, (Ratio("torch", 6, mean=True), Ratio("torch", 4))),
    Row("forward and backward over 1000 chained muls", (graphs.CHAIN,), (Ratio("torch", 12),)),
    Row("fan-out of 300", (graphs.FAN_OUT,), (Ratio("torch", 10),)),
    Row("ten rows of a Hessian", (graphs.HESSIAN,), (Ratio("torch", 6),)),
    Row("training step 4x2-8-1, SGD", (training.SGD,), (Ratio("torch", 16), Ratio("jax", 1.2))),
    Row("training step 4x2-8-1, Adam", (training.ADAM,), (Ratio("torch", 16), Ratio("jax", 1.2))),
    Row("TinyModel 16x1000-100-10, SGD", (training.TINY,), (Ratio("torch", 2.7), Ratio("jax", 1.7))),
    Row("30 layers of 64, batch 8, SGD", (training.DEEP,), (Ratio("torch", 6.5), Ratio("jax", 1.3))),
    Row("MLP 128x784-1024-1024-10, SGD with momentum", (training.MLP,), (Ratio("torch", 1.3), Ratio("jax", 1))),
    Row("recurrent loop, 50 steps of 4x32", (training.RECURRENT,), (Ratio("torch", 9),)),
    Row("CNN 32x1x28x28, two convolutions, a step", (training.CNN,), (Ratio("torch", 1),)),
    Row(
        "elementwise, 1e4, 1e6 and 16e6 floats",
        ELEMENTWISE,
        (Ratio("best", 1.3, mean=True), Ratio("best", 1), Ratio("torch", 3, mean=True, ending=LARGEST)),
    ),
    Row(
        "rows and columns of 1000x1000, adds of other types at 1e6",
        tuple(matrices.CASES),
        (Ratio("torch", 1.3, mean=True), Ratio("torch", 1)),
    ),
    Row("matrix products", products.CASES, (Ratio("best", 1),)),
    Row("import of all three packages", (imports.IMPORT,), (Sum("numpy", 0.040, "ms"),)),
    Row("installed size without BLAS", (imports.SIZE_WITHOUT_BLAS,), (Sum("", 15e6, "MB"),)),
    Row("installed size beside NumPy", (imports.SIZE,), (Sum("", 45e6, "MB"),)),
    # PyTorch counts what was asked for, tensorgrad the blocks, which are multiples of 64 bytes: 1 kB for the difference
    Row("peak of live bytes, MLP step", (memory.PEAK,), (Sum("torch", 1e3, "MB"),)),
)

# What limits a row that misses, and what was tried; shown when it does.
NOTES: dict[str, str] = {
    "`x + y`, 2x3 floats": (
        "A call is 1,550 instructions, of which Python itself takes 300. What is left is Python's slot, a tensor and "
        "its storage from a pool, and reference counts; the loop is reached without a description of the operands."
    ),
    "`x + y`, 2x3 floats, recorded": (
        "As above; the node, its edges and its output's description come from a pool too."
    ),
    "other small operators": (
        "Where views are recorded, the node, the accumulator of the leaf and the step of the view's chain are half of "
        "the time, and parsing loose sizes (`x.reshape(-1)`) a tenth. `x.shape`, `tolist` and `contiguous` are near "
        "what Python itself takes and are not counted."
    ),
    "forward and backward over 1000 chained muls": (
        "Each node allocates a gradient, whose memory is that of the one before; the traversal is C and hands "
        "gradients on in arrays of references."
    ),
    "fan-out of 300": "300 additions in place into one gradient, each of which is a call of the operator.",
    "ten rows of a Hessian": "Each row is a backward pass of its own, with a map of its own.",
    "training step 4x2-8-1, SGD": (
        "JAX's jitted step calls one function; here some 60 operators are called, and a third of the time is "
        "Python's: calls of modules, of the loss and of the optimizer."
    ),
    "30 layers of 64, batch 8, SGD": "Python's calls of modules are a third of the time.",
    "MLP 128x784-1024-1024-10, SGD with momentum": (
        "Nine tenths of it are OpenBLAS's products, which run at 170 to 200 GFLOP/s as we cut them, 6 to 12 % faster "
        "than PyTorch's MKL and than OpenBLAS cuts them itself; the optimizer's 5 % wait for memory."
    ),
    "recurrent loop, 50 steps of 4x32": (
        "A third of it are five products of 4x32 by 32x32 a step, in which OpenBLAS takes as long as their calls."
    ),
    "elementwise, 1e4, 1e6 and 16e6 floats": (
        "pow of two tensors keeps 2 ULP over its whole range and is computed in double for that, where NumPy's allows "
        "4 ULP; it takes two thirds of PyTorch's time. tanh and sigmoid take an exponential and a division anyway. "
        "At 16e6, sums read at the memory's speed."
    ),
    "rows and columns of 1000x1000, adds of other types at 1e6": (
        "A row takes a call of the loop, whose last turn is mispredicted; a column is repeated in a tile of 512 bytes "
        "for each row. Prefetching the next row and beginning rows at cache lines did not help."
    ),
    "matrix products": (
        "OpenBLAS against MKL; rows or columns of the result are shared between threads, which beats OpenBLAS's own "
        "threads by 5 to 10 % on the shapes of the MLP."
    ),
    "import of all three packages": (
        "110 Python modules of 0.1 to 0.4 ms, and one shared object; Python's garbage collector takes 3 to 7 ms of it."
    ),
    "peak of live bytes, MLP step": "Blocks are multiples of 64 bytes, from 64 KiB on of a 32nd of their size.",
}
