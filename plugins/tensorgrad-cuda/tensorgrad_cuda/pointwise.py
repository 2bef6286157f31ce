"""Elementwise kernels, generated from the C expressions of the operators' declarations; copies and fills.

CUDA C++ overloads functions and operators, so that an expression is compiled as it stands: ``x`` has the type ``T``,
and ``tg_exp(x)`` is the function for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.discovery import cupy, runtime
from tensorgrad_cuda.dtypes import BITS, STORED, computed
from tensorgrad_cuda.layout import Arguments, Layout, is_contiguous
from tensorgrad_cuda.programs import Device, source


def pointwise(device: Device, name: str, expression: str, dtype: str, out: Any, operands: Sequence[Any]) -> None:
    """``out = expression`` for each element; see `tensorgrad.devices.Backend.pointwise`."""
    arrays = [x for x in operands if not isinstance(x, (int, float, complex))]
    strides = [x.strides if x.shape == out.shape else (0,) * len(out.shape) for x in arrays]
    layout = Layout(out.shape, out.strides, *strides)
    kinds = tuple([None if isinstance(x, (int, float, complex)) else STORED[x.dtype] for x in operands])
    key = (expression, dtype, out.dtype, kinds, layout.dims)
    kernel = device.kernel(key, lambda: text(expression, computed(dtype), STORED[out.dtype], kinds, layout.dims))
    arguments = Arguments().layout(layout).arrays(out, *arrays)
    for x in operands:
        if isinstance(x, (int, float, complex)):
            arguments.number(x, dtype)
    device.launch(name, kernel, arguments, items=out.numel)


def text(expression: str, compute: str, out: str, kinds: tuple[str | None, ...], dims: int) -> str:
    """The source of an elementwise kernel.

    Parameters
    ----------
    expression : str
    compute, out : str
        The types of ``T`` and of the result's elements.
    kinds : tuple of (str or None)
        The types of the operands' elements; None for numbers.
    dims : int
    """
    count = 1 + sum(kind is not None for kind in kinds)
    members = [f"tg_layout<{count}, {dims}> layout;", f"{out} *out;"]
    loads, k = [], 1
    for letter, kind in zip("xyz", kinds):
        if kind is not None:
            members.append(f"const {kind} *{letter};")
            loads.append(f"const T {letter} = tg_to<T>(tg_load(a.{letter} + at[{k}]));")
            k += 1
    for letter, kind in zip("xyz", kinds):
        if kind is None:
            members.append(f"tg_number {letter};")
            loads.append(f"const T {letter} = tg_number_as<T>(a.{letter});")
    lines = [
        f"typedef {compute} T;",
        "typedef tg_real_type<T>::type R;",
        "TG_ELEMENTS(e, a.layout.n) {",
        f"    tg_i64 at[{count}];",
        "    tg_places(a.layout, e, at);",
        *[f"    {line}" for line in loads],
        f"    const auto v = {expression};",
        "    typedef tg_value<T, tg_plain<decltype(v)>::type>::type V;",
        f"    tg_store(a.out + at[0], tg_to<tg_computed<{out}>::type>(tg_to<V>(v)));",
        "}",
    ]
    return source((), "struct Args { " + " ".join(members) + " };", "\n    ".join(lines))


def copy(device: Device, out: Any, x: Any) -> None:
    """``out = x``, converted."""
    if out.dtype != x.dtype:
        pointwise(device, "copy", "x", computed_name(x.dtype), out, [x])
        return
    if is_contiguous(out.shape, out.strides) and is_contiguous(x.shape, x.strides):
        stream = cupy.cuda.get_current_stream().ptr
        target, origin, nbytes = out.handle.ptr + out.offset, x.handle.ptr + x.offset, out.numel * out.itemsize
        device.timed("copy", lambda: runtime.memcpyAsync(target, origin, nbytes, runtime.memcpyDeviceToDevice, stream))
        return
    # elements as they are, so that a nan stays what it is
    layout = Layout(out.shape, out.strides, x.strides)
    bits = BITS[out.itemsize]
    kernel = device.kernel(("move", bits, layout.dims), lambda: text("x", bits, bits, (bits,), layout.dims))
    device.launch("copy", kernel, Arguments().layout(layout).arrays(out, x), items=out.numel)


def computed_name(dtype: str) -> str:
    """The dtype that a dtype is computed in."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def fill(device: Device, out: DeviceArray, value: complex) -> None:
    """The same value everywhere."""
    pointwise(device, "fill", "x", out.dtype, out, [value])
