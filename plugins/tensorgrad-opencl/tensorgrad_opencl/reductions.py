"""Sums, products, extremes and their places: trees in local memory, and a second round over long rows' parts."""

from __future__ import annotations

from tensorgrad.devices import DeviceArray
from tensorgrad_opencl.dtypes import COMPUTED, computed, convert, load, nonzero, store, stored
from tensorgrad_opencl.layout import collapse, offsets, padded
from tensorgrad_opencl.programs import LOCAL, LONG, OpenCLDevice, longs, memory, text_of

SERIAL = 32  # elements that one work item adds up by itself
CHUNK = 1 << 14  # elements of a row for one group, where there are few rows
_OF_BOOL = {"sum": "any", "prod": "all", "max": "any", "min": "all"}


def split(x: DeviceArray, out: DeviceArray):
    """The kept and the reduced dimensions of `x`: ``(shape, x strides, out strides), (shape, x strides)``."""
    # a dimension of one element is reduced as well as kept
    kept = [d for d, size in enumerate(out.shape) if size != 1]
    reduced = [d for d, size in enumerate(out.shape) if size == 1]

    def merged(dims, *strides):
        return padded(*collapse([x.shape[d] for d in dims], *[[s[d] for d in dims] for s in strides]), 1)

    shape, (steps, out_steps) = merged(kept, x.strides, out.strides)
    inner, (inner_steps,) = merged(reduced, x.strides)
    return (shape, steps, out_steps), (inner, inner_steps)


def reduce(device: OpenCLDevice, op: str, out: DeviceArray, x: DeviceArray) -> None:
    """See `tensorgrad.devices.Backend.reduce`."""
    if x.dtype == "bool":
        op = _OF_BOOL.get(op, op)
    if op in ("max", "min") and computed(x.dtype).is_complex:
        raise NotImplementedError("complex numbers have no order")
    (shape, steps, out_steps), (inner, inner_steps) = split(x, out)
    rows, length = out.numel, x.numel // out.numel
    parts = 1
    if length >= 2 * CHUNK and rows < 64:
        parts = min(-(-length // CHUNK), 256)
    if parts == 1:
        _reduce(device, op, x.dtype, out.dtype, rows, length, 1, (shape, steps, out_steps), (inner, inner_steps),
                (x.handle, x.offset // x.itemsize), (out.handle, out.offset // out.itemsize))  # fmt: skip
        return
    of = _accumulator(op, x.dtype)
    partial = device.scratch(rows * parts * of.scalar.itemsize * (2 if of.is_complex else 1))
    _reduce(device, op, x.dtype, of.name, rows, length, parts, (shape, steps, ()), (inner, inner_steps),
            (x.handle, x.offset // x.itemsize), (partial, 0))  # fmt: skip
    # the partial results lie row by row
    out_shape, (row_steps, place_steps) = padded(*collapse(shape, _row_major(shape, parts), out_steps), 1)
    _reduce(device, op, of.name, out.dtype, rows, parts, 1, (out_shape, row_steps, place_steps), ((parts,), (1,)),
            (partial, 0), (out.handle, out.offset // out.itemsize))  # fmt: skip
    device.release(partial)


def _row_major(shape, step):
    strides = []
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _accumulator(op, dtype):
    return COMPUTED["uint8"] if op in ("any", "all") else computed(dtype)


def _identity(op, of):
    if op in ("max", "min"):
        if of.is_float:
            return "-INFINITY" if op == "max" else "INFINITY"
        limit = {"short": "SHRT", "ushort": "USHRT"}.get(of.c, of.c.upper())
        return f"{limit}_MAX" if op == "min" else "0" if of.suffix[0] == "u" else f"{limit}_MIN"
    one = op in ("prod", "all")
    return f"({of.c})({int(one)}, 0)" if of.is_complex else str(int(one))


def _combine(op, of, a, b):
    if op == "prod" and of.is_complex:
        return f"tg_mul_{of.suffix}({a}, {b})"
    if op in ("max", "min"):
        # a nan wins, wherever it stands
        extreme = f"tg_{op}_{of.suffix}({a}, {b})"
        return f"({b} != {b} ? {b} : {extreme})" if of.is_float else extreme
    return f"({of.c})({a} {dict(sum='+', prod='*', any='|', all='&')[op]} {b})"


def _element(op, dtype, of, pointer, index):
    value = load(dtype, pointer, index)
    if op in ("any", "all"):
        return f"(uchar)({nonzero(value, computed(dtype))})"
    return convert(value, computed(dtype), of)


def _reduce(device, op, dtype, out_dtype, rows, length, parts, outer, inner, source, target):
    """`rows` rows of `length` elements, `parts` of each apart: with more than one, the results lie row by row."""
    (shape, steps, out_steps), (inner_shape, inner_steps) = outer, inner
    tree = length > SERIAL
    key = ("reduce", op, dtype, out_dtype, len(shape), len(inner_shape), tree, parts > 1)

    def make():
        of, ndim, n_inner = _accumulator(op, dtype), len(shape), len(inner_shape)
        declared = [("long rows", LONG), ("long length", LONG), ("long parts", LONG)]
        declared += [*longs("d", ndim), *longs("xs", ndim), *(longs("os", ndim) if parts == 1 else [])]
        declared += [*longs("m", n_inner), *longs("ms", n_inner)]
        declared += [*memory("x", f"const {stored(dtype)}"), *memory("o", stored(out_dtype))]
        places = [("base", "xs"), *([("place", "os")] if parts == 1 else [])]
        start = "0" if parts == 1 else "part * chunk"
        stop = "length" if parts == 1 else "min(length, (part + 1) * chunk)"
        lane, lanes = ("get_local_id(0)", LOCAL) if tree else ("0", 1)
        accumulate = f"""
            long base = x_at, place = {"o_at" if parts == 1 else "o_at + unit"};
            {offsets("row", ndim, "d", places)}
            {of.c} acc = {_identity(op, of)};
            for (long j = {start} + {lane}; j < {stop}; j += {lanes}) {{
                long i = base;
                {offsets("j", n_inner, "m", [("i", "ms")])}
                const {of.c} value = {_element(op, dtype, of, "x", "i")};
                acc = {_combine(op, of, "acc", "value")};
            }}"""
        write = store(out_dtype, "o", "place", convert("acc", of, computed(out_dtype)))
        head = "const long row = unit / parts, part = unit % parts, chunk = (length + parts - 1) / parts;"
        if not tree:
            return text_of(declared, f"""
        for (long unit = get_global_id(0); unit < rows * parts; unit += get_global_size(0)) {{
            {head} {accumulate}
            {write}
        }}""")  # fmt: skip
        return text_of(
            declared,
            f"""
        __local {of.c} tree[{LOCAL}];
        for (long unit = get_group_id(0); unit < rows * parts; unit += get_num_groups(0)) {{
            {head} {accumulate}
            tree[get_local_id(0)] = acc;
            for (int half_ = {LOCAL // 2}; half_ > 0; half_ /= 2) {{
                barrier(CLK_LOCAL_MEM_FENCE);
                if (get_local_id(0) < half_) {{
                    const {of.c} a = tree[get_local_id(0)], b = tree[get_local_id(0) + half_];
                    tree[get_local_id(0)] = {_combine(op, of, "a", "b")};
                }}
            }}
            barrier(CLK_LOCAL_MEM_FENCE);
            if (get_local_id(0) == 0) {{ acc = tree[0]; {write} }}
            barrier(CLK_LOCAL_MEM_FENCE);
        }}""",
            f"__attribute__((reqd_work_group_size({LOCAL}, 1, 1))) ",
        )

    kernel = device.kernel(key, make)
    arguments = [rows, length, parts, *shape, *steps, *(out_steps if parts == 1 else ()), *inner_shape, *inner_steps]
    device.launch(op, kernel, rows * parts * (LOCAL if tree else 1), [*arguments, *source, *target])


def argreduce(device: OpenCLDevice, op: str, out: DeviceArray, x: DeviceArray, dim: int) -> None:
    """See `tensorgrad.devices.Backend.argreduce`: a tree of (value, place)."""
    length = x.shape[dim]
    others = [d for d in range(len(x.shape)) if d != dim]
    shape, (steps, out_steps) = padded(
        *collapse([x.shape[d] for d in others], [x.strides[d] for d in others], [out.strides[d] for d in others]), 1
    )
    tree = length > SERIAL
    key = (op, x.dtype, len(shape), tree)

    def make():
        of, ndim = computed(x.dtype), len(shape)
        sign = ">" if op == "argmax" else "<"
        nans = "(a != a && b == b) || (a == a && b == b && {})" if of.is_float else "{}"
        # whether (a, p) comes before (b, q): an earlier place wins among equals, and nan among all
        same = "(a == b || (a != a && b != b))" if of.is_float else "a == b"
        better = f"(q < 0 || (p >= 0 && ({nans.format(f'a {sign} b')} || ({same} && p < q))))"
        declared = [("long rows", LONG), ("long length", LONG), ("long step", LONG)]
        declared += [*longs("d", ndim), *longs("xs", ndim), *longs("os", ndim)]
        declared += [*memory("x", f"const {stored(x.dtype)}"), *memory("o", "long")]
        lane, lanes = ("get_local_id(0)", LOCAL) if tree else ("0", 1)
        search = f"""
            long base = x_at, place = o_at;
            {offsets("row", ndim, "d", [("base", "xs"), ("place", "os")])}
            {of.c} b = 0; long q = -1;
            for (long p = {lane}; p < length; p += {lanes}) {{
                const {of.c} a = {load(x.dtype, "x", "base + p * step")};
                if {better} {{ b = a; q = p; }}
            }}"""
        if not tree:
            return text_of(declared, f"""
        for (long row = get_global_id(0); row < rows; row += get_global_size(0)) {{
            {search}
            o[place] = q;
        }}""")  # fmt: skip
        return text_of(
            declared,
            f"""
        __local {of.c} values[{LOCAL}];
        __local long places[{LOCAL}];
        for (long row = get_group_id(0); row < rows; row += get_num_groups(0)) {{
            {search}
            values[get_local_id(0)] = b; places[get_local_id(0)] = q;
            for (int half_ = {LOCAL // 2}; half_ > 0; half_ /= 2) {{
                barrier(CLK_LOCAL_MEM_FENCE);
                if (get_local_id(0) < half_) {{
                    const {of.c} a = values[get_local_id(0) + half_]; const long p = places[get_local_id(0) + half_];
                    b = values[get_local_id(0)]; q = places[get_local_id(0)];
                    if {better} {{ values[get_local_id(0)] = a; places[get_local_id(0)] = p; }}
                }}
            }}
            barrier(CLK_LOCAL_MEM_FENCE);
            if (get_local_id(0) == 0) o[place] = places[0];
            barrier(CLK_LOCAL_MEM_FENCE);
        }}""",
            f"__attribute__((reqd_work_group_size({LOCAL}, 1, 1))) ",
        )

    kernel = device.kernel(key, make)
    arguments = [out.numel, length, x.strides[dim], *shape, *steps, *out_steps]
    arguments += [x.handle, x.offset // x.itemsize, out.handle, out.offset // out.itemsize]
    device.launch(op, kernel, out.numel * (LOCAL if tree else 1), arguments)
