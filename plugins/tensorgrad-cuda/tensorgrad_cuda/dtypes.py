"""The dtypes in CUDA C++: how elements lie in memory, and what they are computed in."""

from __future__ import annotations

#: The types of elements in memory.
STORED = {
    "bool": "bool",
    "uint8": "tg_u8",
    "int8": "tg_i8",
    "int16": "tg_i16",
    "int32": "tg_i32",
    "int64": "tg_i64",
    "uint16": "tg_u16",
    "uint32": "tg_u32",
    "uint64": "tg_u64",
    "float16": "tg_half",
    "bfloat16": "tg_bfloat",
    "float32": "float",
    "float64": "double",
    "complex64": "tg_c64",
    "complex128": "tg_c128",
}
#: Types that move elements as they are, by their size.
BITS = {1: "tg_u8", 2: "tg_u16", 4: "tg_u32", 8: "tg_u64", 16: "tg_c128"}
HALVES = ("float16", "bfloat16")


def computed(dtype: str) -> str:
    """What elements are computed in: float for the 16-bit floating point types."""
    return "float" if dtype in HALVES else STORED[dtype]


def is_complex(dtype: str) -> bool:
    return dtype.startswith("complex")


def is_inexact(dtype: str) -> bool:
    return "float" in dtype or dtype.startswith("complex")
