"""Sums, products, extremes and their places: kernels/reduce.cuh, and a second round over long rows' parts."""

from __future__ import annotations

from typing import Any

from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.dtypes import STORED, computed, is_complex
from tensorgrad_cuda.layout import Arguments, Array, Layout, row_major
from tensorgrad_cuda.programs import Device, source

SERIAL = 32  # elements that a thread adds up by itself
CHUNK = 1 << 13  # elements of a long row for one block, where there are few rows
FEW_ROWS = 256
_OF_BOOL = {"sum": "any", "prod": "all", "max": "any", "min": "all"}
OPERATIONS = {
    "sum": "tg_sum",
    "prod": "tg_prod",
    "max": "tg_maximum",
    "min": "tg_minimum",
    "any": "tg_any",
    "all": "tg_all",
}
ITEMSIZE = {"tg_u8": 1, "tg_c64": 8, "tg_c128": 16, "float": 4, "double": 8, "bool": 1}


def accumulator(op: str, dtype: str) -> str:
    """The type that a reduction of a dtype is computed in."""
    return "tg_u8" if op in ("any", "all") else computed(dtype)


def reduce(device: Device, op: str, out: DeviceArray, x: DeviceArray) -> None:
    """See `tensorgrad.devices.Backend.reduce`."""
    if x.dtype == "bool":
        op = _OF_BOOL.get(op, op)
    if op in ("max", "min") and is_complex(x.dtype):
        raise NotImplementedError("complex numbers have no order")
    # a dimension of one element is reduced as well as kept
    kept = [d for d, size in enumerate(out.shape) if size != 1]
    reduced = [d for d, size in enumerate(out.shape) if size == 1]
    outer = Layout(*[[values[d] for d in kept] for values in (x.shape, x.strides, out.strides)])
    inner = Layout(*[[values[d] for d in reduced] for values in (x.shape, x.strides)])
    rows, length = outer.n, inner.n
    # where neighbouring rows are neighbours in memory and neighbouring elements of a row are not, threads take rows
    columns = rows >= 32 and length > 1 and outer.steps[0][-1:] == (1,) and inner.steps[0][-1:] != (1,)
    parts = 1
    if columns:
        parts = max(1, min(-(-length // 64), 65536 // rows))
    elif length >= 2 * CHUNK and rows < FEW_ROWS:
        parts = min(-(-length // CHUNK), 1024)
    tree = not columns and length > SERIAL
    if parts == 1:
        run(device, op, x.dtype, STORED[x.dtype], STORED[out.dtype], outer, inner, x, out, 1, tree)
        return
    acc = accumulator(op, x.dtype)
    partial = device.scratch(rows * parts * (ITEMSIZE.get(acc) or x.itemsize))
    between = Array(partial, 0, (parts, rows), (rows, 1), x)
    run(device, op, x.dtype, STORED[x.dtype], acc, outer, inner, x, between, parts, tree)
    # the partial results of a row lie `rows` apart
    second = Layout(outer.shape, row_major(outer.shape), outer.steps[1])
    run(device, op, x.dtype, acc, STORED[out.dtype], second, Layout((parts,), (rows,)), between, out, 1, parts > SERIAL)


def run(
    device: Device, op: str, dtype: str, of: str, to: str, outer: Layout, inner: Layout, x: Any, out: Any, parts: int,
    tree: bool,
) -> None:  # fmt: skip
    acc = accumulator(op, dtype)
    key = ("reduce", op, acc, of, to, outer.dims, inner.dims, tree)

    def make() -> str:
        parameters = f"{of}, {to}, {outer.dims}, {inner.dims}"
        return source(
            ("reduce",),
            f"typedef tg_reduce_args<{parameters}> Args;",
            f"tg_reduce<{OPERATIONS[op]}, {acc}, {'true' if tree else 'false'}>(a);",
        )

    arguments = Arguments().layout(outer).layout(inner).arrays(x, out).words(parts, -(-inner.n // parts))
    units = outer.n * parts
    device.launch(op, device.kernel(key, make), arguments, **({"blocks": units} if tree else {"items": units}))


def argreduce(device: Device, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
    """See `tensorgrad.devices.Backend.argreduce`."""
    others = [d for d in range(len(x.shape)) if d != dim]
    outer = Layout(*[[values[d] for d in others] for values in (x.shape, x.strides, out.strides)])
    length, tree = x.shape[dim], x.shape[dim] > SERIAL
    key = (op, x.dtype, outer.dims, tree)

    def make() -> str:
        return source(
            ("reduce",),
            f"typedef tg_arg_args<{STORED[x.dtype]}, {outer.dims}> Args;",
            f"tg_argreduce<{'true' if op == 'argmax' else 'false'}, {'true' if tree else 'false'}>(a);",
        )

    arguments = Arguments().layout(outer).arrays(x, out).words(length, x.strides[dim])
    device.launch(op, device.kernel(key, make), arguments, **({"blocks": outer.n} if tree else {"items": outer.n}))
