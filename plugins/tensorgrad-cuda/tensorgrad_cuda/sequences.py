"""Random numbers, the same that the CPU draws, and arithmetic sequences."""

from __future__ import annotations

from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.dtypes import STORED, is_complex, is_inexact
from tensorgrad_cuda.layout import Arguments, Layout
from tensorgrad_cuda.programs import Device, source

_BITS = {"float16": 11, "bfloat16": 8}  # of a uniform number; 24 elsewhere


def random(device: Device, kind: str, out: DeviceArray, seed: int, offset: int, p0: float, p1: float) -> None:
    """See `tensorgrad.devices.Backend.random`, and kernels/cpu/random.h for which words make an element."""
    reals = kind in ("uniform", "normal", "exponential")
    if reals and (not is_inexact(out.dtype) or (is_complex(out.dtype) and kind == "exponential")):
        raise NotImplementedError(f"{kind} numbers are not drawn as {out.dtype}")
    if kind == "normal" and is_complex(out.dtype):
        p1 *= 0.70710678118654752440
    layout = Layout(out.shape, out.strides)

    def make() -> str:
        if reals:
            body = f"tg_random_reals<tg_{kind}, {_BITS.get(out.dtype, 24)}>(a);"
        else:
            body = "tg_random_integers(a);" if kind == "randint" else "tg_random_bernoulli(a);"
        return source(("random",), f"typedef tg_random_args<{STORED[out.dtype]}, {layout.dims}> Args;", body)

    arguments = Arguments().layout(layout).arrays(out).unsigned(seed, offset)
    if reals:
        scale = float(p1) - float(p0) if kind == "uniform" else float(p1)
        arguments.doubles(float(p0), scale, float(p1)).unsigned(0, 0)
    elif kind == "randint":
        arguments.doubles(0.0, 0.0, 0.0).unsigned(int(p0), int(p1))
    else:
        threshold = 2**32 if p0 >= 1 else int(p0 * 2.0**32) if p0 > 0 else 0
        arguments.doubles(0.0, 0.0, 0.0).unsigned(threshold, 0)
    device.launch(kind, device.kernel((kind, out.dtype, layout.dims), make), arguments, items=layout.n)


def arange(device: Device, out: DeviceArray, start: float, step: float) -> None:
    """See `tensorgrad.devices.Backend.arange`."""

    def make() -> str:
        return source(("random",), f"typedef tg_arange_args<{STORED[out.dtype]}> Args;", "tg_arange(a);")

    arguments = Arguments().arrays(out).words(out.numel, out.strides[0]).doubles(float(start), float(step))
    device.launch("arange", device.kernel(("arange", out.dtype), make), arguments, items=out.numel)
