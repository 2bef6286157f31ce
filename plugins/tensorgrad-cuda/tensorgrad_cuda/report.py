"""``python -m tensorgrad_cuda.report``: what holds on this machine's GPU.

Runs the plugin's tests, those that need a GPU included, and the conformance suite of `tensorgrad.testing`, measures a
few operators, and prints all of it as one page. Without a GPU it says why there is none, and its exit status is 1.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorgrad
import tensorgrad.cuda
from tensorgrad import devices
from tensorgrad_cuda.discovery import cupy

SUITES = {
    "the plugin's tests": ["--pyargs", "tensorgrad_cuda.testing"],
    "the conformance suite": ["--pyargs", "tensorgrad.testing.device_conformance", "--device", "cuda"],
}


def machine(backend: devices.Backend) -> list[str]:
    """What the report is about."""
    lines = [f"- tensorgrad {tensorgrad.__version__}, CuPy {cupy.__version__}, Python {platform.python_version()}"]
    for index in range(backend.device_count()):
        found = backend.device_properties(index)
        memory = found["total_memory"] / 2**30
        lines.append(
            f"- cuda:{index}: {found['name']}, compute capability {found['major']}.{found['minor']}, {memory:.1f} GiB, "
            f"driver {found['driver']}, runtime {found['runtime']}"
        )
    return lines


def run(arguments: Sequence[str]) -> tuple[bool, str, str]:
    """Whether pytest passes, its last line, and what failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=short", *arguments]
    begin = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True)
    lines = result.stdout.strip().splitlines() or [result.stderr.strip()[-500:]]
    summary = re.sub(r"^=+ | =+$", "", lines[-1])
    failures = "\n".join(line for line in lines if line.startswith(("FAILED", "ERROR")))
    return result.returncode == 0, f"{summary} ({time.perf_counter() - begin:.0f} s in all)", failures


def seconds(call: Callable[[], Any], repeats: int = 20) -> float:
    """The time of a call on the device."""
    for _ in range(3):
        call()
    first, second = tensorgrad.cuda.Event(enable_timing=True), tensorgrad.cuda.Event(enable_timing=True)
    first.record()
    for _ in range(repeats):
        call()
    second.record()
    second.synchronize()
    return first.elapsed_time(second) * 1e-3 / repeats


def timings(n: int = 1 << 26, side: int = 4096) -> list[tuple[str, str, str]]:
    """Rows of a table: what, here, by CuPy."""
    x, y = tensorgrad.rand(n, device="cuda"), tensorgrad.rand(n, device="cuda")
    a = tensorgrad.rand(side, side, device="cuda")
    p, q, r = [cupy.from_dlpack(t) for t in (x, y, a)]
    rows: list[tuple[str, str, str]] = []

    def moved(name: str, arrays: int, ours: Callable[[], Any], cupys: Callable[[], Any]) -> None:
        rates = [f"{4e-9 * n * arrays / seconds(call):.0f} GB/s" for call in (ours, cupys)]
        rows.append((name, *rates))

    moved(f"x + y, {n} floats", 3, lambda: x + y, lambda: p + q)
    moved(f"exp(x), {n} floats", 2, x.exp, lambda: cupy.exp(p))
    moved(f"sum(x), {n} floats", 1, x.sum, p.sum)
    moved(f"cumsum(x), {n} floats", 2, lambda: x.cumsum(0), p.cumsum)
    wide, q_wide = x.reshape(-1, 4096), p.reshape(-1, 4096)
    moved("softmax, rows of 4096", 2, lambda: wide.softmax(1), lambda: _softmax(q_wide))
    moved("sum over columns of 4096", 1, lambda: wide.sum(0), lambda: q_wide.sum(0))
    for dtype in ("float32", "float16", "float64"):
        left, right = a.to(getattr(tensorgrad, dtype)), r.astype(dtype)
        rates = [f"{2e-12 * side**3 / seconds(call):.1f} TFLOP/s" for call in (_squared(left), _squared(right))]
        rows.append((f"{side} x {side} matrix product, {dtype}", *rates))
    small = tensorgrad.rand(16, device="cuda")
    begin = time.perf_counter()
    for _ in range(1000):
        small + small
    tensorgrad.cuda.synchronize()
    rows.append(("x + y of 16 floats, from Python", f"{1e3 * (time.perf_counter() - begin):.1f} us", ""))
    return rows


def _softmax(x: Any) -> Any:
    e = cupy.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _squared(x: Any) -> Callable[[], Any]:
    return lambda: x @ x


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tensorgrad_cuda.report", description=str(__doc__).partition("\n\n")[2]
    )
    parser.add_argument("--no-conformance", action="store_true", help="leave out the conformance suite (minutes)")
    parser.add_argument("--no-timings", action="store_true", help="leave out the measurements")
    parser.add_argument("--output", metavar="FILE", help="write the page to a file, too")
    options = parser.parse_args(arguments)
    backend = devices.backend("cuda")
    if not backend.is_available():
        print(f"There is no CUDA device: {backend.unavailable_reason()}")
        return 1
    page = ["# tensorgrad-cuda on this machine", "", *machine(backend), "", "| tests | |", "|---|---|"]
    passed, failed = True, []
    for name, selected in SUITES.items():
        if options.no_conformance and "conformance" in name:
            page.append(f"| {name} | left out |")
            continue
        good, summary, failures = run(selected)
        passed &= good
        page.append(f"| {name} | {'' if good else '**failed**: '}{summary} |")
        failed += [failures] if failures else []
    if not options.no_timings:
        page += ["", "| float32 unless it says otherwise | here | CuPy |", "|---|---|---|"]
        page += [f"| {' | '.join(row)} |" for row in timings()]
    page += ["", *failed]
    text = "\n".join(page)
    print(text)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
