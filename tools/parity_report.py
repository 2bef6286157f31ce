"""Writes docs/parity.md from the results of the parity tests.

    TENSORGRAD_PARITY_RESULTS=results.json pytest -m parity tests/parity
    python tools/parity_report.py results.json
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "parity.md"

ASPECTS = ("forward", "strides", "method", "in-place", "backward", "forward mode", "double backward", "errors")

TITLES = {
    "backward": "`backward` and `grad`",
    "hooks": "Hooks",
    "inplace_views": "Views and in-place writes",
    "modes": "Gradient modes, anomaly mode, forward mode",
    "function": "`autograd.Function`",
    "func": "`func`, `autograd.functional`, `gradcheck`",
    "graph": "The graph: nodes, edges, saved values",
    "tensors": "Tensors, modules, optimisers",
    "layers": "Layers: values and gradients",
    "optimisers": "Optimisers and learning rates",
    "checkpoint": "Checkpoints, saved values, switches of the engine",
}

HEAD = """# Parity with PyTorch

Written by `tools/parity_report.py` from the results of the tests in `tests/parity` (`tox -e parity`), which run
tensorgrad {versions} in one process and compare what they return. Do not edit.

A difference that is known is recorded in `tests/parity/expected.py` with its reason; one that is not, or one that no
longer is there, fails the tests.
"""


def cell(text):
    """A text in a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def features(results):
    by_feature = defaultdict(list)
    for result in results:
        if "feature" in result:
            by_feature[result["feature"]].append(result)
    lines = ["## Features", "", "| feature | comparisons | hold | differ |", "| --- | --: | --: | --: |"]
    for name, found in by_feature.items():
        holds = sum(r["outcome"] == "passed" for r in found)
        lines.append(f"| {TITLES.get(name, name)} | {len(found)} | {holds} | {len(found) - holds} |")
    lines += ["", "What differs, and how:", ""]
    for name, found in by_feature.items():
        different = [r for r in found if r["outcome"] != "passed"]
        if different:
            lines += [f"### {TITLES.get(name, name)}", "", "| comparison | difference |", "| --- | --- |"]
            lines += [f"| {cell(r['says'])} | {cell(r['reason'] or 'unexpected')} |" for r in different]
            lines.append("")
    return lines


def operators(results):
    table, reasons = defaultdict(dict), {}
    for result in results:
        if "operator" in result:
            table[result["operator"]][result["aspect"]] = result
            if result["outcome"] == "expected":
                reasons.setdefault(result["operator"], {}).setdefault(result["reason"], []).append(result)
    counts = Counter()
    lines = [
        "## Operators",
        "",
        "The names are those of PyTorch's own operator database (`op_db`), its samples are the inputs. Each aspect is",
        "compared on every dtype that PyTorch supports for it; strides, methods and in-place forms on one or two.",
        "**yes**: holds for all; a fraction: so many hold of so many dtypes; **no**: for none; –: nothing to compare.",
        "",
        "| operator | " + " | ".join(ASPECTS) + " |",
        "| --- |" + " --- |" * len(ASPECTS),
    ]
    for name in sorted(table):
        cells = []
        for aspect in ASPECTS:
            result = table[name].get(aspect)
            compared = result["dtypes"] if result else []
            if not compared:
                cells.append("–")
                continue
            wrong = len(result["differs"])
            counts[aspect, wrong == 0] += 1
            share = "no" if wrong == len(compared) else f"{len(compared) - wrong}/{len(compared)}"
            cells.append(share if wrong else "yes")
        lines.append(f"| {cell(name)} | " + " | ".join(cells) + " |")
    lines += ["", "| aspect | operators compared | hold |", "| --- | --: | --: |"]
    lines += [f"| {a} | {counts[a, True] + counts[a, False]} | {counts[a, True]} |" for a in ASPECTS]
    lines += ["", "### What differs", "", "| operator | aspects | reason |", "| --- | --- | --- |"]
    for name in sorted(reasons):
        for reason, found in reasons[name].items():
            aspects = ", ".join(r["aspect"] for r in found)
            lines.append(f"| {cell(name)} | {aspects} | {cell(reason)} |")
    return lines


def missing(results):
    names = next((r["missing"] for r in results if "missing" in r), [])
    groups = defaultdict(list)
    for name in names:
        groups[name.rpartition(".")[0]].append(name)
    lines = ["## Operators of PyTorch that are missing", "", f"{len(names)} names of the database:", ""]
    for group in sorted(groups):
        lines.append(f"- {group or 'torch'}: " + ", ".join(f"`{name}`" for name in groups[group]))
    return lines


def page(results):
    versions = next((r["versions"] for r in results if "versions" in r), "and PyTorch")
    sections = [HEAD.format(versions=versions).splitlines(), features(results), operators(results), missing(results)]
    return "\n\n".join("\n".join(section).rstrip() for section in sections) + "\n"


def main():
    results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if not any("missing" in r for r in results) or not any("feature" in r for r in results):
        print("these are the results of a part of the tests; the page needs all of tests/parity and stays as it is")
        return
    PAGE.write_text(page(results), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
