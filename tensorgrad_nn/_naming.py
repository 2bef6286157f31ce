"""How error messages and reprs spell the type of a value."""

from __future__ import annotations

from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TENSOR_TYPES = {
    "float16": "HalfTensor",
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "bfloat16": "BFloat16Tensor",
    "complex64": "ComplexFloatTensor",
    "complex128": "ComplexDoubleTensor",
    "uint8": "ByteTensor",
    "int8": "CharTensor",
    "int16": "ShortTensor",
    "int32": "IntTensor",
    "int64": "LongTensor",
    "bool": "BoolTensor",
}


def typename(value: Any) -> str:
    """Return the name under which `value`'s type (or `value`, if it is a type) is known."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).rpartition(".")[2]
        return "tensorgrad." + _TENSOR_TYPES.get(dtype, "Tensor")
    cls = value if isinstance(value, type) else type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
