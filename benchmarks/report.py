"""The page ``docs/benchmarks.md``, made from medians; its charts are in `charts`."""

from __future__ import annotations

import datetime
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from cases import arrays, graphs, imports, matrices, memory, products, small, training
from cases.library import LIBRARIES
from charts import draw
from wanted import NOTES, ROWS, Medians, ratio_of

INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
DETAILS = {
    "Small operators": (small.ADD, small.ADD_RECORDED, *small.OTHERS),
    "Graphs": (graphs.CHAIN, graphs.BACKWARD, graphs.FAN_OUT, graphs.HESSIAN),
    "Training steps": (
        training.SGD,
        training.ADAM,
        training.TINY,
        training.DEEP,
        training.MLP,
        training.RECURRENT,
        training.CNN,
    ),
    **{
        f"Elementwise operators and reductions, {size:,} floats": tuple(
            arrays.name_of(operator, size) for operator in arrays.OPERATORS
        )
        for size in arrays.SIZES
    },
    "Matrices of 1000x1000, and adds of a million elements": tuple(matrices.CASES),
    "Matrix products": products.CASES,
    "Import, size and memory": (imports.IMPORT, imports.SIZE, imports.SIZE_WITHOUT_BLAS, memory.PEAK),
}
BYTES = (imports.SIZE, imports.SIZE_WITHOUT_BLAS, memory.PEAK)
HEAD = """# Benchmarks

<!-- written by benchmarks/table.py: change that, not this -->

{machine}

Each library runs in processes of its own, in turn, on the same processors; a time is the best of five repetitions in a
round and the median over the rounds. JAX runs under `jit` with donated buffers and is waited for; `torch.compile`
compiles the model. "No slower" allows 5 % of noise; "the better" is the faster of PyTorch and NumPy, case by case. A
row of several cases shows the geometric mean of their times; the cases follow below. To measure again:

```sh
python benchmarks/table.py --python-torch PYTHON_WITH_PYTORCH --python-jax PYTHON_WITH_JAX
```
"""


def machine(versions: Mapping[str, str], threads: int) -> dict[str, str]:
    """What the numbers were measured on."""
    try:
        done = subprocess.run(["lscpu"], capture_output=True, text=True, check=True, env=os.environ | {"LC_ALL": "C"})
        fields = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    except (OSError, subprocess.CalledProcessError):  # not Linux
        fields = {}
    flags = fields.get("Flags", "").split()
    numbers = ", ".join(
        f"{name} {fields[key].strip()}" for name, key in (("family", "CPU family"), ("model", "Model")) if key in fields
    )
    model = fields.get("Model name", platform.processor()).strip()
    return {
        "processor": f"{model} ({numbers})" if numbers else model,
        "instruction sets": ", ".join(name for name in INSTRUCTION_SETS if name in flags) or "unknown",
        "processors": f"{fields.get('CPU(s)', '?').strip()}, {threads} used, with as many threads",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "date": datetime.date.today().isoformat(),
    }


def shown(case: str, value: float | None, spread: float | None = None) -> str:
    """A time or a number of bytes with three digits, and its spread."""
    if value is None:
        return "-"
    scales = ((1e6, "MB"),) if case in BYTES else ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
    scale, unit = next((pair for pair in scales if value >= pair[0]), scales[-1])
    number = value / scale
    digits = max(0, 2 - math.floor(math.log10(number))) if number > 0 else 0
    text = f"{number:.{digits}f} {unit}"
    return text if spread is None or case in BYTES else f"{text} ±{spread * 100:.0f} %"


def mean(cases: Iterable[str], of: Mapping[str, float]) -> float | None:
    """The geometric mean over the cases, None where one is missing."""
    values = [of.get(case) for case in cases]
    if not all(values):
        return None
    return math.exp(math.fsum(math.log(value) for value in values if value) / len(values))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main_table(medians: Medians) -> tuple[str, list[str]]:
    """The rows with their verdicts, and the notes on those that miss."""
    rows, notes = [], []
    for row in ROWS:
        verdicts = [want.judge(row.cases, medians) for want in row.wants]
        marks = ["?" if verdict.met is None else "✓" if verdict.met else "✗" for verdict in verdicts]
        times = [shown(row.cases[0], mean(row.cases, medians.get(library, {}))) for library in LIBRARIES]
        reached = "<br>".join(verdict.reached for verdict in verdicts)
        rows.append([row.title, *times, reached, "<br>".join(v.wanted for v in verdicts), "<br>".join(marks)])
        if "✗" in marks or "?" in marks:
            notes.append(f"- **{row.title}**: {NOTES.get(row.title, 'no note yet.')}")
    return table(["work", *LIBRARIES.values(), "reached", "wanted", "met"], rows), notes


def details(title: str, cases: Iterable[str], medians: Medians, spreads: Medians, errors: Mapping) -> str:
    """The cases of one family with every library's time, and how many times tensorgrad is faster."""
    cases = list(cases)
    present = [library for library in LIBRARIES if any(case in medians.get(library, {}) for case in cases)]
    if not present:
        return ""
    rows, missing = [], []
    for case in cases:
        cells = []
        for library in present:
            if case in errors.get(library, {}):
                cells.append("not there")
                missing.append(f"{LIBRARIES[library]}, {case}: `{errors[library][case]}`")
            else:
                cells.append(shown(case, medians[library].get(case), spreads[library].get(case)))
        ratios = [ratio_of(case, library, medians) for library in present if library != "tensorgrad"]
        rows.append([case, *cells, *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    head = ["case", *(LIBRARIES[library] for library in present)]
    head += [f"{LIBRARIES[library]} / tensorgrad" for library in present if library != "tensorgrad"]
    text = f"## {title}\n\n{table(head, rows)}\n"
    return text + ("\nNot there:\n\n" + "\n".join(f"- {line}" for line in missing) + "\n" if missing else "")


def page(medians: Medians, spreads: Medians, errors: Mapping, about: Mapping[str, str], charts: list[str]) -> str:
    """The whole page."""
    rows, notes = main_table(medians)
    parts = [HEAD.format(machine=table(["", ""], about.items())), rows + "\n"]
    if notes:
        parts.append("## Misses\n\n" + "\n".join(notes) + "\n")
    if charts:
        parts.append("## Time against size\n\n" + "\n\n".join(f"![{name}]({name})" for name in charts) + "\n")
    parts += [details(title, cases, medians, spreads, errors) for title, cases in DETAILS.items()]
    return "\n".join(filter(None, parts))


def verdicts(medians: Medians) -> str:
    """The verdicts as plain text, for the terminal."""
    lines = []
    for row in ROWS:
        for want in row.wants:
            verdict = want.judge(row.cases, medians)
            mark = {None: "?", True: "ok", False: "MISS"}[verdict.met]
            lines.append(f"{mark:5} {row.title:58} {verdict.wanted:32} {verdict.reached}")
    return "\n".join(lines)


def draw_charts(medians: Medians, directory: Path) -> list[str]:
    """Write the charts of time against size; their file names."""
    panels = {
        "benchmarks-elementwise.svg": (
            "elements",
            {
                operator: {n: arrays.name_of(operator, n) for n in (*arrays.CURVE_SIZES, arrays.SIZES[-1])}
                for operator in arrays.CURVES
            },
        ),
        "benchmarks-matmul.svg": (
            "rows and columns",
            {"matmul, float": {size: products.square(size) for size in products.CURVE_SIZES}},
        ),
        "benchmarks-training.svg": (
            "units of a layer",
            {"training step, 3 layers, batch 32": {size: training.width(size) for size in training.CURVE_SIZES}},
        ),
    }
    return [name for name, (axis, curves) in panels.items() if draw(directory / name, axis, curves, medians)]
