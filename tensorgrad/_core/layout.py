"""Memory layouts, of which there is one."""

from __future__ import annotations


class layout:
    """How a tensor lies in memory; every tensor here is ``tensorgrad.strided``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"tensorgrad.{self._name}"

    def __reduce__(self) -> str:
        return self._name


strided = layout("strided")
