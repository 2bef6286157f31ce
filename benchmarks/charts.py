"""Charts of time against size, on logarithmic axes, as SVG."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from cases.library import LIBRARIES

COLOURS = {"tensorgrad": "#1f6fb4", "torch": "#d9541e", "jax": "#5b9a3c", "numpy": "#8a8a8a", "compile": "#b06fc0"}
MARKS = {"tensorgrad": "o", "torch": "s", "jax": "^", "numpy": "D", "compile": "v"}


def draw(path: Path, axis: str, panels: Mapping[str, Mapping[int, str]], medians: Mapping) -> bool:
    """One panel for each title of `panels`, whose cases are given by size; False where there is nothing to draw."""
    if not any(case in medians.get("tensorgrad", {}) for cases in panels.values() for case in cases.values()):
        return False
    try:
        import matplotlib as mpl
    except ImportError:
        print(f"{path.name} is not drawn: matplotlib is not installed", file=sys.stderr)
        return False
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": path.name, "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns + 0.8, 3.2 * rows), squeeze=False)
    for place, (title, cases) in zip(axes.flat, panels.items(), strict=False):
        for library in LIBRARIES:
            times = medians.get(library, {})
            points = sorted((size, times[case]) for size, case in cases.items() if case in times)
            if points:
                sizes, seconds = zip(*points, strict=True)
                place.loglog(
                    sizes,
                    seconds,
                    label=LIBRARIES[library],
                    color=COLOURS[library],
                    marker=MARKS[library],
                    markersize=3.5,
                    linewidth=1.4,
                )
        place.set_title(title)
        place.set_xlabel(axis)
        place.set_ylabel("seconds")
        place.grid(True, which="major", linewidth=0.4, alpha=0.6)
        place.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True
