"""Gather and scatter.

An index that is out of range is left out; its value is kept on the device for the next who waits
(`OpenCLDevice.check`), since to ask at once would stop the queue.
"""

from __future__ import annotations

from tensorgrad.devices import DeviceArray
from tensorgrad_opencl.dtypes import computed, load, store, stored
from tensorgrad_opencl.layout import collapse, offsets, padded
from tensorgrad_opencl.programs import LONG, OpenCLDevice, longs, memory, text_of

_CHECKED = """
            const long t = index[ii];
            if (t < 0 || t >= size) {
                if (atomic_inc((volatile __global int *)trouble) == 0) trouble[1] = t;
                continue;
            }"""


def gather(device: OpenCLDevice, out: DeviceArray, x: DeviceArray, dim: int, index: DeviceArray) -> None:
    """See `tensorgrad.devices.Backend.gather`."""
    still = tuple([0 if d == dim else step for d, step in enumerate(x.strides)])
    shape, (out_steps, steps, index_steps) = padded(*collapse(index.shape, out.strides, still, index.strides), 1)

    # elements are moved as they are, whatever their bits mean
    def make():
        declared = [("long n", LONG), ("long size", LONG), ("long step", LONG), *longs("d", len(shape))]
        for name in ("os", "xs", "is"):
            declared += longs(name, len(shape))
        declared += (
            memory("o", stored(x.dtype)) + memory("x", f"const {stored(x.dtype)}") + memory("index", "const long")
        )
        declared.append(("__global long *trouble", None))
        return text_of(declared, f"""
        for (long e = get_global_id(0); e < n; e += get_global_size(0)) {{
            long oi = o_at, xi = x_at, ii = index_at;
            {offsets("e", len(shape), "d", [("oi", "os"), ("xi", "xs"), ("ii", "is")])}
            {_CHECKED}
            o[oi] = x[xi + t * step];
        }}""")  # fmt: skip

    kernel = device.kernel(("gather", stored(x.dtype), len(shape)), make)
    arguments = [index.numel, x.shape[dim], x.strides[dim], *shape, *out_steps, *steps, *index_steps]
    for array in (out, x, index):
        arguments += [array.handle, array.offset // array.itemsize]
    device.launch("gather", kernel, index.numel, [*arguments, device.trouble])
    device.may_be_in_trouble = True


def scatter(device: OpenCLDevice, mode: str, out: DeviceArray, dim: int, index: DeviceArray, src: DeviceArray) -> None:
    """See `tensorgrad.devices.Backend.scatter`.

    Usually a work item walks along `dim`, so that no two write to one place and the result is always the same. Where
    that would leave most of a device idle, elements are added by atomic operations, in any order.
    """
    length = index.shape[dim]
    rows = index.numel // length
    of = computed(out.dtype)
    if mode in ("max", "min") and of.is_complex:
        raise NotImplementedError("complex numbers have no order")
    width = of.scalar.itemsize
    atomic = mode == "add" and stored(out.dtype) != "ushort" and (width == 4 or (width == 8 and device.atomics64))
    parallel = rows < 32 and length > 256 and (atomic or mode == "set")
    others = [d for d in range(len(index.shape)) if d != dim]

    def pick(values):
        return [values[d] for d in others]

    shape, steps = padded(*collapse(pick(index.shape), pick(out.strides), pick(index.strides), pick(src.strides)), 1)

    def make():
        ndim = len(shape)
        declared = [(f"long {name}", LONG) for name in ("rows", "length", "size", "ostep", "istep", "sstep")]
        declared += longs("d", ndim)
        for name in ("os", "is", "ss"):
            declared += longs(name, ndim)
        declared += (
            memory("o", stored(out.dtype)) + memory("index", "const long") + memory("s", f"const {stored(out.dtype)}")
        )
        declared.append(("__global long *trouble", None))
        update = _atomic_add(of) if parallel and mode == "add" else _update(mode, out.dtype, of)
        inner = f"""
            long oi = row_o + 0, ii = row_i + j * istep, si = row_s + j * sstep;
            {_CHECKED}
            oi += t * ostep;
            {update}"""
        begin = f"""
            long row_o = o_at, row_i = index_at, row_s = s_at;
            {offsets("row", ndim, "d", [("row_o", "os"), ("row_i", "is"), ("row_s", "ss")])}"""
        if parallel:
            body = f"""
        for (long e = get_global_id(0); e < rows * length; e += get_global_size(0)) {{
            const long row = e / length, j = e % length;
            {begin} {inner}
        }}"""
        else:
            body = f"""
        for (long row = get_global_id(0); row < rows; row += get_global_size(0)) {{
            {begin}
            for (long j = 0; j < length; j++) {{ {inner} }}
        }}"""
        atomics = "#pragma OPENCL EXTENSION cl_khr_int64_base_atomics : enable\n" if parallel and width == 8 else ""
        text, types = text_of(declared, body)
        return atomics + text, types

    kernel = device.kernel(("scatter", mode, out.dtype, len(shape), parallel), make)
    arguments = [rows, length, out.shape[dim], out.strides[dim], index.strides[dim], src.strides[dim], *shape]
    for step in steps:
        arguments += step
    for array in (out, index, src):
        arguments += [array.handle, array.offset // array.itemsize]
    device.launch(f"scatter_{mode}", kernel, rows * (length if parallel else 1), [*arguments, device.trouble])
    device.may_be_in_trouble = True


def _update(mode, dtype, of):
    if mode == "set":
        return "o[oi] = s[si];"
    a, b = load(dtype, "o", "oi"), load(dtype, "s", "si")
    if mode in ("max", "min"):
        value = f"v != v ? v : tg_{mode}_{of.suffix}(w, v)" if of.is_float else f"tg_{mode}_{of.suffix}(w, v)"
    elif mode == "mul" and of.is_complex:
        value = f"tg_mul_{of.suffix}(w, v)"
    elif of.name == "bool":
        value = "w | v" if mode == "add" else "w & v"
    else:
        value = f"({of.c})(w {'+' if mode == 'add' else '*'} v)"
    return f"{{ const {of.c} w = {a}, v = {b}; {store(dtype, 'o', 'oi', value)} }}"


def _atomic_add(of):
    if of.is_integer:
        kind = "atom_add" if of.scalar.itemsize == 8 else "atomic_add"
        return f"{kind}((volatile __global {of.c} *)&o[oi], s[si]);"
    real = of.real
    bits, exchange = ("uint", "atomic_cmpxchg") if real.scalar.itemsize == 4 else ("ulong", "atom_cmpxchg")
    parts = 2 if of.is_complex else 1
    return f"""
            for (int part = 0; part < {parts}; part++) {{
                volatile __global {bits} *place = (volatile __global {bits} *)(__global {real.c} *)&o[oi] + part;
                const {real.c} v = ((__global const {real.c} *)&s[si])[part];
                {bits} before = *place, seen;
                while ((seen = {exchange}(place, before, as_{bits}(as_{real.c}(before) + v))) != before) before = seen;
            }}"""
