"""Handles by which hooks are removed again."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

_ids = itertools.count()


class RemovableHandle:
    """Returned by every `register_hook`; `remove()` takes the hook out, also at the end of a `with` block.

    Parameters
    ----------
    hooks : dict
        The dictionary that holds the hook.
    """

    __slots__ = ("__weakref__", "_hooks", "id")

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.id = next(_ids)
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class HookDict(dict):
    """A dictionary of hooks in the order of their registration, which a handle can refer to weakly."""

    __slots__ = ("__weakref__",)

    def add(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        """Register `hook`, last or first, and return its handle."""
        handle = RemovableHandle(self)
        if prepend:
            rest = dict(self)
            self.clear()
            self[handle.id] = hook
            self.update(rest)
        else:
            self[handle.id] = hook
        return handle
