"""The dtypes in OpenCL C: how elements lie in memory, and what they are computed in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Type(NamedTuple):
    """A dtype that kernels compute in.

    Attributes
    ----------
    name : str
        The dtype's name.
    c : str
        The type in OpenCL C; complex numbers are vectors of two.
    suffix : str
        What the names of the library's functions for it end in.
    scalar : numpy.dtype
        What a number comes to a kernel as: of a complex one, each part.
    """

    name: str
    c: str
    suffix: str
    scalar: np.dtype

    @property
    def is_complex(self) -> bool:
        return self.name.startswith("complex")

    @property
    def is_float(self) -> bool:
        return self.name.startswith("float")

    @property
    def is_integer(self) -> bool:
        """Bool is one, too."""
        return not self.is_complex and not self.is_float

    @property
    def real(self) -> Type:
        return {"complex64": COMPUTED["float32"], "complex128": COMPUTED["float64"]}.get(self.name, self)


def _type(name: str, c: str, suffix: str) -> tuple[str, Type]:
    scalar = {"bool": "uint8", "complex64": "float32", "complex128": "float64"}.get(name, name)
    return name, Type(name, c, suffix, np.dtype(scalar))


COMPUTED = dict(
    [
        _type("bool", "uchar", "u8"),
        _type("uint8", "uchar", "u8"),
        _type("int8", "char", "i8"),
        _type("int16", "short", "i16"),
        _type("int32", "int", "i32"),
        _type("int64", "long", "i64"),
        _type("uint16", "ushort", "u16"),
        _type("uint32", "uint", "u32"),
        _type("uint64", "ulong", "u64"),
        _type("float32", "float", "f32"),
        _type("float64", "double", "f64"),
        _type("complex64", "float2", "c64"),
        _type("complex128", "double2", "c128"),
    ]
)
DOUBLES = ("float64", "complex128")


def computed(dtype: str) -> Type:
    """What a dtype is computed in: float for the 16-bit floating point types."""
    return COMPUTED["float32" if dtype in ("float16", "bfloat16") else dtype]


def stored(dtype: str) -> str:
    """The type of an element in memory; 16-bit floating point numbers are known by their bits."""
    return "ushort" if dtype in ("float16", "bfloat16") else COMPUTED[dtype].c


def load(dtype: str, pointer: str, index: str) -> str:
    """The value of an element, of type ``computed(dtype)``."""
    if dtype == "float16":
        return f"vload_half({index}, (__global const half *){pointer})"
    if dtype == "bfloat16":
        return f"as_float((uint){pointer}[{index}] << 16)"
    return f"{pointer}[{index}]"


def store(dtype: str, pointer: str, index: str, value: str) -> str:
    """The statement that writes a value of type ``computed(dtype)``."""
    if dtype == "float16":
        return f"vstore_half_rte({value}, {index}, (__global half *){pointer});"
    if dtype == "bfloat16":
        return f"{pointer}[{index}] = tg_bfloat16_f32({value});"
    return f"{pointer}[{index}] = {value};"


def convert(value: str, source: Type, target: Type) -> str:
    """A value of one type as one of another, by the rules of `tensorgrad.devices.Backend`."""
    if source.name == target.name:
        return value
    if target.name == "bool":
        return f"(uchar)({nonzero(value, source)})"
    if target.is_complex:
        if source.is_complex:
            return f"convert_{target.c}({value})"
        return f"({target.c})(({target.real.c})({value}), 0)"
    if source.is_complex:
        return convert(f"({value}).x", source.real, target)
    if source.is_float and target.is_integer:
        # what C leaves undefined is what kernels/cpu/cast.h gives: narrow integers wrap around
        wide = target.suffix if target.name in ("int32", "int64", "uint64") else "i64"
        whole = f"tg_{wide}_of_{source.suffix}({value})"
        return whole if wide == target.suffix else f"({target.c}){whole}"
    return f"({target.c})({value})"


def nonzero(value: str, of: Type) -> str:
    """The condition that a value is not zero."""
    return f"tg_nonzero_{of.suffix}({value})" if of.is_complex else f"({value}) != 0"


def number(value: complex, of: Type) -> list[object]:
    """A number as the arguments of a kernel that `parameters` declares."""
    if of.is_complex:
        value = complex(value)
        return [value.real, value.imag]
    return [int(value) if of.is_integer else float(value.real)]


def parameters(name: str, of: Type) -> list[tuple[str, np.dtype]]:
    """The parameters that a number comes in, with their types; ``constant`` makes the value of them."""
    parts = [f"{name}_re", f"{name}_im"] if of.is_complex else [name]
    return [(f"{of.real.c} {part}", of.scalar) for part in parts]


def constant(name: str, of: Type) -> str:
    return f"({of.c})({name}_re, {name}_im)" if of.is_complex else name
