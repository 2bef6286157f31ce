"""Gather and scatter.

An index that is out of range is found when something waits: to ask at once would stop the queue.
"""

from __future__ import annotations

from typing import Any

from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.dtypes import BITS, STORED, is_complex
from tensorgrad_cuda.layout import Arguments, Layout
from tensorgrad_cuda.programs import Device, source


def gather(device: Device, out: Any, x: Any, dim: int, index: Any) -> None:
    """See `tensorgrad.devices.Backend.gather`."""
    still = tuple([0 if d == dim else step for d, step in enumerate(x.strides)])
    layout = Layout(index.shape, out.strides, still, index.strides)
    of = BITS[x.itemsize]

    def make() -> str:
        return source(("indexing",), f"typedef tg_gather_args<{of}, {layout.dims}> Args;", "tg_gather(a);")

    arguments = Arguments().layout(layout).arrays(out, x, index).words(x.shape[dim], x.strides[dim], device.trouble)
    device.launch("gather", device.kernel(("gather", of, layout.dims), make), arguments, items=layout.n)


def scatter(device: Device, mode: str, out: DeviceArray, dim: int, index: DeviceArray, src: DeviceArray) -> None:
    """See `tensorgrad.devices.Backend.scatter`.

    A thread takes an element, and places are updated by atomic operations, in any order. Where there are enough rows to
    keep the device busy, or no atomic operation is wide enough, a thread walks along the dimension.
    """
    if mode in ("max", "min") and is_complex(out.dtype):
        raise NotImplementedError("complex numbers have no order")
    length = index.shape[dim]
    others = [d for d in range(len(index.shape)) if d != dim]
    rows = Layout(*[[values[d] for d in others] for values in (index.shape, out.strides, index.strides, src.strides)])
    wide = out.dtype == "complex128" and mode == "mul"
    parallel = mode == "set" or not (wide or length == 1 or (rows.n >= 1 << 16 and length <= 64))
    if mode == "set":
        of = BITS[out.itemsize]
    else:
        of = STORED[out.dtype]

    def make() -> str:
        return source(
            ("indexing",),
            f"typedef tg_scatter_args<{of}, {rows.dims}> Args;",
            f"tg_scatter<tg_mode_{mode}, {'true' if parallel else 'false'}>(a);",
        )

    kernel = device.kernel(("scatter", mode, of, rows.dims, parallel), make)
    arguments = Arguments().layout(rows).arrays(out, index, src)
    arguments.words(length, out.shape[dim], out.strides[dim], index.strides[dim], src.strides[dim], device.trouble)
    device.launch(f"scatter_{mode}", kernel, arguments, items=rows.n * (length if parallel else 1))
