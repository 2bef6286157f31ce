"""Cumulative operators (kernels/scan.cuh), and sorting (CuPy's, which is Thrust's)."""

from __future__ import annotations

from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.discovery import cupy
from tensorgrad_cuda.dtypes import STORED, computed, is_complex
from tensorgrad_cuda.indexing import gather
from tensorgrad_cuda.layout import Arguments, Array, Layout, row_major
from tensorgrad_cuda.memory import Block
from tensorgrad_cuda.pointwise import copy
from tensorgrad_cuda.programs import Device, source
from tensorgrad_cuda.reductions import OPERATIONS

SERIAL = 64
CHUNK = 1 << 13


def scan(device: Device, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
    """Sums or products up to each index along `dim`."""
    if out.dtype == "bool":
        op = {"sum": "any", "prod": "all"}[op]
    acc, of, to = computed(out.dtype), STORED[x.dtype], STORED[out.dtype]
    others = [d for d in range(len(x.shape)) if d != dim]
    outer = Layout(*[[values[d] for d in others] for values in (x.shape, x.strides, out.strides)])
    length = x.shape[dim]
    tree = length > SERIAL and outer.n < 1 << 14
    parts = -(-length // CHUNK) if tree and length >= 2 * CHUNK and outer.n < 256 else 1
    chunk = -(-length // parts)

    def run(of: str, to: str, tree: bool, only_totals: bool, arguments: Arguments, units: int, dims: int) -> None:
        def make() -> str:
            flags = f"{'true' if tree else 'false'}, {'true' if only_totals else 'false'}"
            return source(
                ("reduce", "scan"),
                f"typedef tg_scan_args<{of}, {to}, {acc}, {dims}> Args;",
                f"tg_scan<{OPERATIONS[op]}, {flags}>(a);",
            )

        kernel = device.kernel(("scan", op, of, to, acc, dims, tree, only_totals), make)
        device.launch(f"scan_{op}", kernel, arguments, **({"blocks": units} if tree else {"items": units}))

    def arguments(totals: int) -> Arguments:
        described = Arguments().layout(outer).arrays(x, out)
        return described.words(length, x.strides[dim], out.strides[dim], parts, chunk, totals)

    if parts == 1:
        run(of, to, tree, False, arguments(0), outer.n, outer.dims)
        return
    totals = device.scratch(outer.n * parts * 16)
    run(of, to, True, True, arguments(totals.ptr), outer.n * parts, outer.dims)
    rows = Layout((outer.n,), (parts,), (parts,))
    between = Arguments().layout(rows).words(totals.ptr, totals.ptr, parts, 1, 1, 1, parts, 0)
    run(acc, acc, False, False, between, outer.n, rows.dims)
    run(of, to, True, False, arguments(totals.ptr), outer.n * parts, outer.dims)


def sort(
    device: Device, values: DeviceArray, indices: DeviceArray, x: DeviceArray, dim: int, descending: bool, stable: bool
) -> None:
    """CuPy's argsort, which is stable, finds the order; kernels bring keys into rows, and results to their places."""
    if is_complex(x.dtype):
        raise NotImplementedError("complex numbers have no order")

    def rows(y: DeviceArray) -> Array:
        """The same array with `dim` at the end."""
        order = [*[d for d in range(len(y.shape)) if d != dim], dim]
        return Array(y.handle, y.offset, [y.shape[d] for d in order], [y.strides[d] for d in order], y)

    source_rows = rows(x)
    shape = source_rows.shape
    # NumPy has no bfloat16, and a bool is a byte
    dtype = {"bfloat16": "float32", "bool": "uint8"}.get(x.dtype, x.dtype)
    keys = cupy.empty(shape, dtype)
    packed = Array(Block(keys.data, keys.nbytes), 0, shape, row_major(shape), x, dtype)
    packed.itemsize = keys.itemsize
    copy(device, packed, source_rows)

    def ordered() -> object:
        if not descending:
            return cupy.argsort(keys, axis=-1, kind="stable")
        # equal elements keep their order in this direction, too
        backwards = cupy.argsort(cupy.ascontiguousarray(keys[..., ::-1]), axis=-1, kind="stable")
        return cupy.ascontiguousarray((shape[-1] - 1 - backwards)[..., ::-1])

    order = cupy.ascontiguousarray(device.timed("sort", ordered))
    places = rows(indices)
    found = Array(Block(order.data, order.nbytes), 0, shape, row_major(shape), places)
    copy(device, places, found)
    gather(device, rows(values), source_rows, len(shape) - 1, found)
