"""Cumulative operators and sorting."""

from __future__ import annotations

from tensorgrad.devices import DeviceArray
from tensorgrad_opencl.dtypes import computed, load, store, stored
from tensorgrad_opencl.layout import collapse, offsets, padded
from tensorgrad_opencl.programs import LOCAL, LONG, OpenCLDevice, longs, memory, text_of


def _others(dim, first, *arrays):
    """What `collapse` makes of the dimensions other than `dim`."""
    dims = [d for d in range(len(first.shape)) if d != dim]
    return padded(*collapse([first.shape[d] for d in dims], *[[x.strides[d] for d in dims] for x in arrays]), 1)


def scan(device: OpenCLDevice, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
    """Sums or products up to each index: a group takes a row tile by tile (Hillis and Steele, 1986, within one);
    where there are many rows, a work item takes one by itself."""
    shape, (out_steps, steps) = _others(dim, out, out, x)
    length = x.shape[dim]
    rows = x.numel // length
    serial = rows >= LOCAL or length <= LOCAL // 4

    def make():
        of = computed(out.dtype)
        if of.name == "bool":
            combine = "({0} | {1})" if op == "sum" else "({0} & {1})"
        elif op == "prod" and of.is_complex:
            combine = f"tg_mul_{of.suffix}({{0}}, {{1}})"
        else:
            combine = f"({of.c})({{0}} {'+' if op == 'sum' else '*'} {{1}})"
        first = str(int(op == "prod"))
        first = f"({of.c})({first}, 0)" if of.is_complex else first
        declared = [(f"long {name}", LONG) for name in ("rows", "length", "ostep", "xstep")]
        declared += [*longs("d", len(shape)), *longs("os", len(shape)), *longs("xs", len(shape))]
        declared += memory("o", stored(out.dtype)) + memory("x", f"const {stored(x.dtype)}")
        begin = f"""
            long oi = o_at, xi = x_at;
            {offsets("row", len(shape), "d", [("oi", "os"), ("xi", "xs")])}
            {of.c} carry = {first};"""
        if serial:
            return text_of(declared, f"""
        for (long row = get_global_id(0); row < rows; row += get_global_size(0)) {{
            {begin}
            for (long j = 0; j < length; j++) {{
                carry = {combine.format("carry", load(x.dtype, "x", "xi + j * xstep"))};
                {store(out.dtype, "o", "oi + j * ostep", "carry")}
            }}
        }}""")  # fmt: skip
        return text_of(
            declared,
            f"""
        __local {of.c} tile[{LOCAL}];
        const int lane = get_local_id(0);
        for (long row = get_group_id(0); row < rows; row += get_num_groups(0)) {{
            {begin}
            for (long j0 = 0; j0 < length; j0 += {LOCAL}) {{
                const long j = j0 + lane;
                tile[lane] = j < length ? {load(x.dtype, "x", "xi + j * xstep")} : {first};
                for (int step = 1; step < {LOCAL}; step *= 2) {{
                    barrier(CLK_LOCAL_MEM_FENCE);
                    const {of.c} earlier = lane >= step ? tile[lane - step] : {first};
                    const {of.c} later = tile[lane];
                    barrier(CLK_LOCAL_MEM_FENCE);
                    tile[lane] = {combine.format("earlier", "later")};
                }}
                barrier(CLK_LOCAL_MEM_FENCE);
                if (j < length) {{
                    const {of.c} value = {combine.format("carry", "tile[lane]")};
                    {store(out.dtype, "o", "oi + j * ostep", "value")}
                }}
                carry = {combine.format("carry", f"tile[{LOCAL - 1}]")};
                barrier(CLK_LOCAL_MEM_FENCE);
            }}
        }}""",
            f"__attribute__((reqd_work_group_size({LOCAL}, 1, 1))) ",
        )

    kernel = device.kernel(("scan", op, out.dtype, len(shape), serial), make)
    arguments = [rows, length, out.strides[dim], x.strides[dim], *shape, *out_steps, *steps]
    arguments += [out.handle, out.offset // out.itemsize, x.handle, x.offset // x.itemsize]
    device.launch(f"scan_{op}", kernel, rows * (1 if serial else LOCAL), arguments)


def sort(
    device: OpenCLDevice,
    values: DeviceArray,
    indices: DeviceArray,
    x: DeviceArray,
    dim: int,
    descending: bool,
    stable: bool,
) -> None:
    """Merge sort: in each round an element's place in its merged run is its place in its own, plus the number of
    those in the other run that come before it, which binary search finds. Always stable."""
    length = x.shape[dim]
    n = x.numel
    of, c = computed(x.dtype), stored(x.dtype)
    keys, order, other = (device.scratch(n * x.itemsize), device.scratch(4 * n), device.scratch(4 * n))
    shape, (steps, value_steps, index_steps) = _others(dim, x, x, values, indices)
    ndim = len(shape)
    row = "const long row = e / length, j = e % length;"

    def begin():
        declared = [("long n", LONG), ("long length", LONG), ("long step", LONG), *longs("d", ndim), *longs("xs", ndim)]
        declared += [*memory("x", f"const {c}"), (f"__global {c} *keys", None), ("__global int *order", None)]
        return text_of(declared, f"""
        for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{
            {row} long xi = x_at; {offsets("row", ndim, "d", [("xi", "xs")])}
            keys[e] = x[xi + j * step]; order[e] = (int)j;
        }}""")  # fmt: skip

    def merge():
        sign = ">" if descending else "<"
        nans = ("({0} != {0} && {1} == {1})" if descending else "({0} == {0} && {1} != {1})") if of.is_float else "0"
        before = f"({{0}} {sign} {{1}} || {nans})"
        declared = [("long n", LONG), ("long length", LONG), ("long width", LONG), (f"__global const {c} *keys", None)]
        declared += [("__global const int *order", None), ("__global int *merged", None)]
        key_of = load(x.dtype, "keys", "base + order[base + {0}]")
        return text_of(declared, f"""
        for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{
            {row}
            const long base = e - j, start = j / (2 * width) * (2 * width);
            const long middle = min(start + width, length), stop = min(start + 2 * width, length);
            const int left = j < middle;
            const {of.c} a = {key_of.format("j")};
            long low = left ? middle : start;
            const long first = low;
            long high = left ? stop : middle;
            while (low < high) {{
                const long half_ = (low + high) / 2;
                const {of.c} b = {key_of.format("half_")};
                /* of equal ones those of the left run come first */
                const int precedes = left ? {before.format("b", "a")} : !{before.format("a", "b")};
                if (precedes) low = half_ + 1; else high = half_;
            }}
            merged[base + (left ? j : j - middle + start) + (low - first)] = order[e];
        }}""")  # fmt: skip

    def finish():
        declared = [("long n", LONG), ("long length", LONG), ("long vstep", LONG), ("long istep", LONG)]
        declared += [*longs("d", ndim), *longs("vs", ndim), *longs("is", ndim), *memory("values", c)]
        declared += [
            *memory("indices", "long"),
            (f"__global const {c} *keys", None),
            ("__global const int *order", None),
        ]
        return text_of(declared, f"""
        for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{
            {row} long vi = values_at, ii = indices_at;
            {offsets("row", ndim, "d", [("vi", "vs"), ("ii", "is")])}
            values[vi + j * vstep] = keys[e - j + order[e]];
            indices[ii + j * istep] = order[e];
        }}""")  # fmt: skip

    kernel = device.kernel(("sort begins", c, ndim), begin)
    arguments = [n, length, x.strides[dim], *shape, *steps, x.handle, x.offset // x.itemsize]
    device.launch("sort", kernel, n, [*arguments, keys, order])
    kernel = device.kernel(("sort merges", x.dtype, bool(descending)), merge)
    width = 1
    while width < length:
        device.launch("sort", kernel, n, [n, length, width, keys, order, other])
        order, other = other, order
        width *= 2
    kernel = device.kernel(("sort ends", c, ndim), finish)
    arguments = [n, length, values.strides[dim], indices.strides[dim], *shape, *value_steps, *index_steps]
    arguments += [values.handle, values.offset // values.itemsize, indices.handle, indices.offset // indices.itemsize]
    device.launch("sort", kernel, n, [*arguments, keys, order])
    device.release(keys, order, other)
