"""Nested tuples, lists and dicts as flat lists of leaves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any


class TreeSpec:
    """The structure of a tree without its leaves.

    Attributes
    ----------
    kind : type or None
        tuple, list, dict, OrderedDict or a named tuple's class; None for a leaf.
    keys : tuple or None
        Of a dict.
    children : list of TreeSpec
    """

    __slots__ = ("children", "keys", "kind")

    def __init__(self, kind: type | None, keys: tuple[Any, ...] | None, children: list[TreeSpec]) -> None:
        self.kind, self.keys, self.children = kind, keys, children

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TreeSpec)
            and self.kind is other.kind
            and self.keys == other.keys
            and self.children == other.children
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        keys = None if self.keys is None else list(self.keys)
        return f"TreeSpec({self.kind.__name__}, {keys}, {self.children})"

    def count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(child.count() for child in self.children)


LEAF = TreeSpec(None, None, [])


def _parts(tree: Any) -> tuple[type, tuple[Any, ...] | None, Sequence[Any]] | None:
    """Kind, keys and members of a container; None of a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return kind, None, tree
    if kind is dict or kind is OrderedDict:
        return kind, tuple(tree), tuple(tree.values())
    return None


def flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree from left to right, and its structure."""
    parts = _parts(tree)
    if parts is None:
        return [tree], LEAF
    kind, keys, members = parts
    leaves: list[Any] = []
    children = []
    for member in members:
        found, spec = flatten(member)
        leaves += found
        children.append(spec)
    return leaves, TreeSpec(kind, keys, children)


def unflatten(spec: TreeSpec, leaves: Sequence[Any]) -> Any:
    """The tree of this structure with these leaves."""
    remaining = iter(leaves)

    def build(spec: TreeSpec) -> Any:
        if spec.kind is None:
            return next(remaining)
        members = [build(child) for child in spec.children]
        if spec.keys is not None:
            return spec.kind(zip(spec.keys, members, strict=True))
        if hasattr(spec.kind, "_make"):
            return spec.kind._make(members)
        return spec.kind(members)

    return build(spec)


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` applied to each leaf."""
    leaves, spec = flatten(tree)
    return unflatten(spec, [function(x) for x in leaves])


def broadcast(prefix: Any, spec: TreeSpec) -> list[Any] | None:
    """A value for each leaf of `spec`, from a tree in which one may stand for a branch; None if it does not fit."""
    parts = _parts(prefix)
    if parts is None:
        return [prefix] * spec.count()
    kind, keys, members = parts
    if kind is not spec.kind or keys != spec.keys or len(members) != len(spec.children):
        return None
    values: list[Any] = []
    for member, child in zip(members, spec.children, strict=True):
        found = broadcast(member, child)
        if found is None:
            return None
        values += found
    return values
