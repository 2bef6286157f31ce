"""Matrix products from tiles in local memory, of which each work item computes a square."""

from __future__ import annotations

from tensorgrad.devices import DeviceArray
from tensorgrad_opencl.dtypes import computed, load, store, stored
from tensorgrad_opencl.layout import collapse, offsets, padded
from tensorgrad_opencl.programs import LONG, OpenCLDevice, longs, memory, text_of

SIDE = 8  # work items of a group, in each direction
DEPTH = 16  # of a tile, along the sum
SQUARE = 4  # elements of a work item in each direction, where the product is large enough


def matmul(device: OpenCLDevice, out: DeviceArray, a: DeviceArray, b: DeviceArray, beta: float) -> None:
    """See `tensorgrad.devices.Backend.matmul`."""
    m, n = out.shape[-2:]
    k = a.shape[-1]
    batch, steps = padded(*collapse(out.shape[:-2], out.strides[:-2], a.strides[:-2], b.strides[:-2]), 1)
    square = SQUARE if m > SIDE * SQUARE // 2 and n > SIDE * SQUARE // 2 else 1
    key = ("matmul", out.dtype, len(batch), square, bool(beta))
    kernel = device.kernel(key, lambda: _make(out.dtype, len(batch), square, bool(beta)))
    count = out.numel // (m * n)
    block = SIDE * square
    items = (-(-n // block) * SIDE, -(-m // block) * SIDE, count)
    arguments = [m, n, k, *out.strides[-2:], *a.strides[-2:], *b.strides[-2:], *batch]
    for step in steps:
        arguments += step
    for x in (out, a, b):
        arguments += [x.handle, x.offset // x.itemsize]
    device.launch("matmul", kernel, items, arguments, (SIDE, SIDE, 1))


def _make(dtype, n_batch, square, accumulates):
    of, block = computed(dtype), SIDE * square
    declared = [(f"long {name}", LONG) for name in ("m", "n", "k", "om", "on", "am", "ak", "bk", "bn")]
    declared += longs("d", n_batch)
    for name in ("os", "as", "bs"):
        declared += longs(name, n_batch)
    declared += (
        memory("o", stored(dtype)) + memory("a", f"const {stored(dtype)}") + memory("b", f"const {stored(dtype)}")
    )
    product = f"tg_mul_{of.suffix}(u, v)" if of.is_complex else "u * v"
    add = f"({of.c})(acc[i][j] + {product})" if of.name != "bool" else "(uchar)(acc[i][j] | (u & v))"
    value = f"({of.c})(acc[i][j] + {load(dtype, 'o', 'at')})" if accumulates else "acc[i][j]"
    body = f"""
    __local {of.c} A[{DEPTH}][{block}], B[{DEPTH}][{block}];
    const int lx = get_local_id(0), ly = get_local_id(1), lane = ly * {SIDE} + lx;
    const long row0 = get_group_id(1) * {block}, column0 = get_group_id(0) * {block};
    long oi = o_at, ai = a_at, bi = b_at;
    {offsets("(long)get_group_id(2)", n_batch, "d", [("oi", "os"), ("ai", "as"), ("bi", "bs")])}
    {of.c} acc[{square}][{square}];
    for (int i = 0; i < {square}; i++) for (int j = 0; j < {square}; j++) acc[i][j] = 0;
    for (long k0 = 0; k0 < k; k0 += {DEPTH}) {{
        for (int e = lane; e < {DEPTH * block}; e += {SIDE * SIDE}) {{
            long row = row0 + e / {DEPTH}, depth = k0 + e % {DEPTH};
            A[e % {DEPTH}][e / {DEPTH}] =
                row < m && depth < k ? {load(dtype, "a", "ai + row * am + depth * ak")} : ({of.c})0;
            long column = column0 + e % {block};
            depth = k0 + e / {block};
            B[e / {block}][e % {block}] =
                column < n && depth < k ? {load(dtype, "b", "bi + depth * bk + column * bn")} : ({of.c})0;
        }}
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int d = 0; d < {DEPTH}; d++)
            for (int i = 0; i < {square}; i++) for (int j = 0; j < {square}; j++) {{
                const {of.c} u = A[d][ly * {square} + i], v = B[d][lx * {square} + j];
                acc[i][j] = {add};
            }}
        barrier(CLK_LOCAL_MEM_FENCE);
    }}
    for (int i = 0; i < {square}; i++) for (int j = 0; j < {square}; j++) {{
        const long row = row0 + ly * {square} + i, column = column0 + lx * {square} + j;
        if (row < m && column < n) {{
            const long at = oi + row * om + column * on;
            {store(dtype, "o", "at", value)}
        }}
    }}"""
    return text_of(declared, body, f"__attribute__((reqd_work_group_size({SIDE}, {SIDE}, 1))) ")
