"""Two commits beside each other: time of chosen cases of the table, each commit built in a worktree of its own.

The two run in turn, in processes of their own, for several rounds; the table shows medians over the rounds of the best
of five repetitions, and how many times the second commit is faster::

    python benchmarks/compare_commits.py main~10 main [--groups small,graphs] [--cases "x + y" sum] [--rounds 7]

Groups are those of ``benchmarks/cases``, which is taken from this checkout for both. The build is in place, with the
Python that runs this; a worktree can be kept for the next comparison with ``--directory``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cases.library import environment

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("cases") / "worker.py"


def git(*arguments: str) -> str:
    """The output of a git command in this checkout."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def build(commit: str, directory: Path) -> Path:
    """A worktree of the commit with its extension modules, which may be there already."""
    tree = directory / git("rev-parse", "--short", f"{commit}^{{commit}}")
    if not tree.exists():
        git("worktree", "add", "--detach", str(tree), commit)
    print(f"building {commit} in {tree}", flush=True)
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    built = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise SystemExit(f"{commit} does not build:\n{built.stdout[-2000:]}{built.stderr[-2000:]}")
    return tree


def measure(tree: Path, options: argparse.Namespace) -> dict[str, float | str]:
    """One round of one commit."""
    task = {
        "library": "tensorgrad",
        "threads": options.threads,
        "groups": options.groups,
        "budget": options.budget,
        "only": options.cases,
    }
    done = subprocess.run(
        [sys.executable, str(WORKER), json.dumps(task)],
        env=environment(options.threads) | {"PYTHONPATH": str(tree)},
        cwd=tree.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])["results"]


def compare(trees: list[Path], options: argparse.Namespace) -> None:
    """Measure in turn, and print the table."""
    rounds: list[list[dict[str, float | str]]] = [[], []]
    for number in range(options.rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            rounds[which].append(measure(trees[which], options))
    names = [tree.name for tree in trees]
    print(f"{'case':44}{names[0]:>14}{names[1]:>14}{'ratio':>8}{'spread':>9}")
    ratios = []
    for case in dict.fromkeys(case for of in rounds for results in of for case in results):
        times = [[t for results in of if isinstance(t := results.get(case), float)] for of in rounds]
        if not all(times):
            print(f"{case:44}{'':14}{'':14}{'not there':>17}")
            continue
        before, after = map(statistics.median, times)
        spread = max((max(of) - min(of)) / 2 / statistics.median(of) for of in times)
        ratios.append(before / after)
        print(f"{case:44}{before * 1e6:11.3f} us{after * 1e6:11.3f} us{before / after:8.2f}{spread:9.0%}")
    if ratios:
        print(f"{'geometric mean':44}{'':28}{statistics.geometric_mean(ratios):8.2f}")


def main() -> None:
    """Build both, compare, and remove the worktrees again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commits", nargs=2, metavar="COMMIT")
    parser.add_argument("--groups", type=lambda text: text.split(","), default=["small", "graphs"])
    parser.add_argument("--cases", nargs="+", help="only these")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=0.01, help="seconds of a repetition")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--directory", type=Path, help="where the worktrees are made, and kept")
    options = parser.parse_args()
    if options.directory:
        options.directory.mkdir(parents=True, exist_ok=True)
        compare([build(commit, options.directory.resolve()) for commit in options.commits], options)
        return
    with tempfile.TemporaryDirectory() as directory:
        trees = []
        try:
            for commit in options.commits:
                trees.append(build(commit, Path(directory)))
            compare(trees, options)
        finally:
            for tree in Path(directory).iterdir():
                git("worktree", "remove", "--force", str(tree))


if __name__ == "__main__":
    main()
