"""Elementwise operators, conversions and fills: one kernel for each expression, dtypes and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorgrad.devices import DeviceArray
from tensorgrad_opencl.dtypes import computed, constant, convert, load, number, parameters, store, stored
from tensorgrad_opencl.expressions import translate
from tensorgrad_opencl.layout import collapse, offsets, padded
from tensorgrad_opencl.programs import LONG, OpenCLDevice, longs, memory, text_of

LETTERS = "xyz"


def pointwise(
    device: OpenCLDevice,
    name: str,
    expression: str,
    dtype: str,
    out: DeviceArray,
    operands: Sequence[DeviceArray | complex],
) -> None:
    """``out = expression`` for each element; see `tensorgrad.devices.Backend.pointwise`."""
    arrays = [x for x in operands if isinstance(x, DeviceArray)]
    strides = [x.strides if x.shape == out.shape else (0,) * len(out.shape) for x in arrays]
    linear, shape, (out_steps, *steps) = _layout(out.shape, out.strides, *strides)
    kinds = tuple([x.dtype if isinstance(x, DeviceArray) else None for x in operands])
    key = (expression, dtype, out.dtype, kinds, len(shape), linear)
    kernel = device.kernel(key, lambda: _make(device, expression, dtype, out.dtype, kinds, len(shape), linear))

    arguments: list[Any] = [out.numel, *shape, out.handle, out.offset // out.itemsize]
    arguments += out_steps
    compute = computed(dtype)
    i = 0
    for x in operands:
        if isinstance(x, DeviceArray):
            arguments += [x.handle, x.offset // x.itemsize, *steps[i]]
            i += 1
        else:
            arguments += number(x, compute)
    device.launch(name, kernel, out.numel, arguments)


def _layout(shape, *strides):
    """Whether all elements lie in order, and the arguments that say where they lie: none, if so."""
    shape, steps = collapse(shape, *strides)
    if all(step in ((1,), ()) for step in steps):
        return True, (), [()] * len(steps)
    return False, *padded(shape, steps, 3)


def _make(device, expression, dtype, out_dtype, kinds, ndim, linear):
    compute = computed(dtype)
    declared = [("long n", LONG), *longs("d", ndim), *memory("o", stored(out_dtype)), *longs("os", ndim)]
    places, values = [("oi", "os")], []
    for letter, kind in zip(LETTERS, kinds):
        if kind is None:
            declared += parameters(f"{letter}_number", compute)
            values.append((letter, constant(f"{letter}_number", compute)))
            continue
        declared += [*memory(f"{letter}_memory", f"const {stored(kind)}"), *longs(f"{letter}s", ndim)]
        places.append((f"{letter}i", f"{letter}s"))
        values.append((letter, convert(load(kind, f"{letter}_memory", f"{letter}i"), computed(kind), compute)))
    begin = "long oi = o_at; " + " ".join([f"long {p} = {p[0]}_memory_at;" for p, _ in places[1:]])
    moves = " ".join([f"{place} += e;" for place, _ in places]) if linear else offsets("e", ndim, "d", places)
    code, of = translate(expression, compute, device.doubles)
    out_compute = computed(out_dtype)
    result = f"const {of.c} r = {code};"
    value = convert("r", of, out_compute)
    lines = [f"const {compute.c} {letter} = {value};" for letter, value in values]
    body = "\n        ".join([begin, moves, *lines, result, store(out_dtype, "o", "oi", value)])
    return text_of(
        declared,
        f"    for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{\n        {body}\n    }}",
    )


def copy(device: OpenCLDevice, out: DeviceArray, x: DeviceArray) -> None:
    """``out = x``, converted."""
    if out.dtype == x.dtype and out.dtype in ("float16", "bfloat16"):
        # their bits, so that a nan stays what it is
        _copy(device, "uint16", "uint16", out, x)
    else:
        _copy(device, x.dtype, out.dtype, out, x)


def _copy(device, source, target, out, x):
    linear, shape, (out_steps, steps) = _layout(out.shape, out.strides, x.strides)
    key = ("copy", source, target, len(shape), linear)
    kernel = device.kernel(key, lambda: _make(device, "x", source, target, (source,), len(shape), linear))
    arguments = [out.numel, *shape, out.handle, out.offset // out.itemsize, *out_steps]
    arguments += [x.handle, x.offset // x.itemsize, *steps]
    device.launch("copy", kernel, out.numel, arguments)


def fill(device: OpenCLDevice, out: DeviceArray, value: complex) -> None:
    """The same value everywhere."""
    pointwise(device, "fill", "x", out.dtype, out, [value])
