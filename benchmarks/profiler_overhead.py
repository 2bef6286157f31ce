"""What the profiler costs an operator: nanoseconds off, on, and on with everything that it can record.

Each figure is the median over the rounds of the best of five repetitions, on tensors of four elements; the modes take
turns within a round. "off" is a process in which no profiler is running, as are all that do not profile.

    python benchmarks/profiler_overhead.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import timeit
from collections.abc import Callable

import tensorgrad
from tensorgrad.autograd.profiler import profile, record_function

N = 5000

x, y = tensorgrad.ones(4), tensorgrad.ones(4)
r = tensorgrad.ones(4, requires_grad=True)


def label() -> None:
    with record_function("label"):
        pass


CASES: dict[str, Callable[[], object]] = {
    "x + y": lambda: x + y,
    "x + y, recorded": lambda: r + y,
    "x.sin()": lambda: x.sin(),
    "x.sum()": lambda: x.sum(),
    "forward and backward": lambda: (r * y).sum().backward(),
    "record_function": label,
}
MODES: dict[str, dict[str, bool]] = {
    "off": {"enabled": False},
    "on": {},
    "shapes": {"record_shapes": True},
    "memory": {"profile_memory": True},
    "stacks": {"with_stack": True},
}


def measure(case: Callable[[], object], options: dict[str, bool]) -> float:
    """Nanoseconds a call."""
    best = float("inf")
    for _ in range(5):
        with profile(**options):
            best = min(best, timeit.timeit(case, number=N) / N * 1e9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    times: dict[tuple[str, str], list[float]] = {}
    events = {}
    for name, case in CASES.items():
        case()
        with profile() as counted:
            case()
        events[name] = len(counted.function_events)
    for _ in range(rounds):
        for name, case in CASES.items():
            for mode, options in MODES.items():
                times.setdefault((name, mode), []).append(measure(case, options))
    print("ns a call".ljust(24) + "".join(mode.rjust(10) for mode in MODES) + "    events  on - off, an event")
    for name in CASES:
        medians = [statistics.median(times[name, mode]) for mode in MODES]
        cost = (medians[1] - medians[0]) / events[name]
        print(name.ljust(24) + "".join(f"{value:10.0f}" for value in medians) + f"{events[name]:10}{cost:20.0f}")


if __name__ == "__main__":
    main()
