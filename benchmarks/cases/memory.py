"""The most bytes that are alive at once while the MLP of the table takes training steps."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from cases.library import Library
from cases.training import layers

PEAK = "peak of live bytes, MLP step"


def cases(library: Library) -> dict[str, Callable[[], float]]:
    """The peak in bytes, counted by the library's own allocator: model, batch, gradients, momenta and temporaries."""
    if library.name not in ("tensorgrad", "torch"):
        return {}
    t = library.t

    def train() -> None:
        t.manual_seed(0)
        model = layers(library, (784, 1024, 1024, 10), "ReLU")
        x, y = t.randn(128, 784), t.tensor([i % 10 for i in range(128)])
        optimizer = library.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            library.F.cross_entropy(model(x), y).backward()
            optimizer.step()

    def counted_by_tensorgrad() -> float:
        before = t.cpu.memory_allocated()
        t.cpu.reset_peak_memory_stats()
        train()
        return float(t.cpu.max_memory_allocated() - before)

    def counted_by_torch() -> float:
        profiler = t.profiler
        with profiler.profile(activities=[profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            train()
        with tempfile.TemporaryDirectory() as directory:
            trace = Path(directory) / "trace.json"
            profile.export_chrome_trace(str(trace))
            events = json.loads(trace.read_text())["traceEvents"]
        return float(max(event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]"))

    return {PEAK: counted_by_tensorgrad if library.name == "tensorgrad" else counted_by_torch}
