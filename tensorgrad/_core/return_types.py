"""Named results: tuples such as `tensorgrad.return_types.sort`, with PyTorch's names and printing."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter


class _Result(tuple):
    """A tuple whose items have names; made from one sequence, like PyTorch's structseqs."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __new__(cls, items: Iterable[object]) -> _Result:
        self = tuple.__new__(cls, items)
        if len(self) != len(cls._fields):
            raise TypeError(f"{cls.__qualname__} takes {len(cls._fields)} items, got {len(self)}")
        return self

    def __repr__(self) -> str:
        items = ",\n".join(f"{name}={item!r}" for name, item in zip(self._fields, self, strict=True))
        return f"{type(self).__module__}.{type(self).__name__}(\n{items})"

    def __reduce__(self):
        return type(self), (tuple(self),)


def _define(name: str, fields: tuple[str, ...]) -> type[_Result]:
    body = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
    return type(name, (_Result,), {"__slots__": (), "_fields": fields, "__module__": "tensorgrad.return_types", **body})


max = _define("max", ("values", "indices"))
min = _define("min", ("values", "indices"))
sort = _define("sort", ("values", "indices"))
topk = _define("topk", ("values", "indices"))
median = _define("median", ("values", "indices"))
mode = _define("mode", ("values", "indices"))
kthvalue = _define("kthvalue", ("values", "indices"))
cummax = _define("cummax", ("values", "indices"))
cummin = _define("cummin", ("values", "indices"))
aminmax = _define("aminmax", ("min", "max"))
frexp = _define("frexp", ("mantissa", "exponent"))
linalg_eigh = _define("linalg_eigh", ("eigenvalues", "eigenvectors"))
linalg_lstsq = _define("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
linalg_qr = _define("linalg_qr", ("Q", "R"))
linalg_slogdet = _define("linalg_slogdet", ("sign", "logabsdet"))
linalg_svd = _define("linalg_svd", ("U", "S", "Vh"))
