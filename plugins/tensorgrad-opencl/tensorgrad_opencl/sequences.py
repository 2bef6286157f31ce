"""Random numbers, the same that the CPU draws, and arithmetic sequences."""

from __future__ import annotations

import numpy as np

from tensorgrad.devices import DeviceArray
from tensorgrad_opencl.dtypes import COMPUTED, Type, computed, convert, load, store, stored
from tensorgrad_opencl.layout import collapse, offsets, padded
from tensorgrad_opencl.programs import LONG, OpenCLDevice, longs, memory, text_of

ULONG = np.dtype(np.uint64)
_BITS = {"float16": 11, "bfloat16": 8}


def random(device: OpenCLDevice, kind: str, out: DeviceArray, seed: int, offset: int, p0: float, p1: float) -> None:
    """See `tensorgrad.devices.Backend.random`, and kernels/cpu/random.h for which words make an element."""
    of = computed(out.dtype)
    if kind in ("uniform", "normal", "exponential") and (of.is_integer or (of.is_complex and kind == "exponential")):
        raise NotImplementedError(f"{kind} numbers are not drawn as {out.dtype}")
    if kind == "normal" and of.is_complex:
        p1 *= 0.70710678118654752440
    shape, (steps,) = padded(*collapse(out.shape, out.strides), 1)

    def make():
        declared = [("long n", LONG), ("ulong seed", ULONG), ("ulong first", ULONG)]
        declared += [*longs("d", len(shape)), *longs("os", len(shape)), *memory("o", stored(out.dtype))]
        if kind in ("bernoulli", "randint"):
            declared += [("ulong low", ULONG), ("ulong scale", ULONG)]
        else:
            declared += [(f"{of.real.c} {name}", of.scalar) for name in ("low", "scale", "high")]
        value, source = _drawn(kind, out.dtype, of)
        narrowed = ""
        if kind == "uniform" and out.dtype in _BITS:  # narrowing rounds once more, and may reach the bound
            narrowed = f"if ({load(out.dtype, 'o', 'oi')} >= high) {store(out.dtype, 'o', 'oi', 'low')}"
        text, types = text_of(declared, f"""
        for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{
            long oi = o_at; {offsets("e", len(shape), "d", [("oi", "os")])}
            {store(out.dtype, "o", "oi", convert(value, source, of))}
            {narrowed}
        }}""")  # fmt: skip
        return _helpers(kind, of, out.dtype) + text, types

    kernel = device.kernel((kind, out.dtype, len(shape)), make)
    arguments = [out.numel, seed, offset, *shape, *steps, out.handle, out.offset // out.itemsize]
    if kind == "bernoulli":
        arguments += [2**32 if p0 >= 1 else int(p0 * 2.0**32) if p0 > 0 else 0, 0]
    elif kind == "randint":
        arguments += [int(p0) & 0xFFFFFFFFFFFFFFFF, int(p1)]
    else:
        arguments += [float(p0), float(p1) - float(p0) if kind == "uniform" else float(p1), float(p1)]
    device.launch(kind, kernel, out.numel, arguments)


def _drawn(kind: str, dtype: str, of: Type) -> tuple[str, Type]:
    """Element e, and its type."""
    if kind == "bernoulli":
        return "(uchar)(tg_word(seed, first, e) < low)", COMPUTED["bool"]
    if kind == "randint":
        drawn = "low + (scale ? mul_hi(tg_pair(seed, first, e), scale) : tg_pair(seed, first, e))"
        return (drawn, COMPUTED["uint64"]) if dtype == "uint64" else (f"(long)({drawn})", COMPUTED["int64"])
    parameters = "seed, first, {}, low, scale, high"
    if of.is_complex:
        parts = [f"draw({parameters.format(f'2 * e + {part}')})" for part in (0, 1)]
        return f"({of.c})({parts[0]}, {parts[1]})", of
    return f"draw({parameters.format('e')})", of


def _helpers(kind: str, of: Type, dtype: str) -> str:
    """The function that draws real number k."""
    if kind in ("bernoulli", "randint"):
        return ""
    real = of.real.c
    if real == "double":
        word = "tg_pair(seed, first, {})"
        unit, opened = "(double)({} >> 11) * 0x1p-53", "((double)({} >> 12) + 0.5) * 0x1p-52"
        turn = "6.28318530717958647692"
    else:
        bits = _BITS.get(dtype, 24)
        word = "tg_word(seed, first, {})"
        unit = f"(float)({{}} >> {32 - bits}) / {1 << bits}.0f"
        opened, turn = "((float)({} >> 9) + 0.5f) * 0x1p-23f", "6.28318530717958647692f"
        if kind == "normal":
            unit = "(float)({} >> 8) / 16777216.0f"
    if kind == "uniform":
        body = f"const {real} x = low + scale * ({unit.format(word.format('k'))}); return x < high ? x : low;"
    elif kind == "exponential":
        body = f"return -log({opened.format(word.format('k'))}) / low;"
    else:  # Box and Muller: two words become two numbers
        body = f"""
    const {real} radius = scale * sqrt(-2 * log({opened.format(word.format("(k & ~1UL)"))}));
    const {real} angle = {turn} * ({unit.format(word.format("(k | 1UL)"))});
    return low + radius * (k & 1 ? sin(angle) : cos(angle));"""
    return f"""
{real} draw(ulong seed, ulong first, ulong k, {real} low, {real} scale, {real} high) {{ {body} }}
"""


def arange(device: OpenCLDevice, out: DeviceArray, start: float, step: float) -> None:
    """See `tensorgrad.devices.Backend.arange`."""
    real = COMPUTED["float64" if device.doubles else "float32"]

    def make():
        declared = [("long n", LONG), ("long stride", LONG), *memory("o", stored(out.dtype))]
        declared += [(f"{real.c} start", real.scalar), (f"{real.c} step", real.scalar)]
        return text_of(declared, f"""
        for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{
            const {real.c} value = start + ({real.c})e * step;
            {store(out.dtype, "o", "o_at + e * stride", convert("value", real, computed(out.dtype)))}
        }}""")  # fmt: skip

    kernel = device.kernel(("arange", out.dtype), make)
    device.launch("arange", kernel, out.numel, [
        out.numel, out.strides[0], out.handle, out.offset // out.itemsize, float(start), float(step)
    ])  # fmt: skip
