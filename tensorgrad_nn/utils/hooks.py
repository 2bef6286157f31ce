"""The handle that removes a hook again."""

from __future__ import annotations

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import OrderedDict
    from typing import Any

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """Removes the hook it was returned for.

    Parameters
    ----------
    hooks_dict : OrderedDict
        The hooks, by id. Held weakly: a handle does not keep a module alive.
    extra_dict : OrderedDict or list of OrderedDict, optional
        More dictionaries with entries under the same id.

    Notes
    -----
    Usable as a context manager, which removes the hook on leaving.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> layer = nn.Identity()
    >>> handle = layer.register_forward_hook(lambda module, args, output: output + 1)
    >>> layer(tensorgrad.ones(1))
    tensor([2.])
    >>> handle.remove()
    >>> layer(tensorgrad.ones(1))
    tensor([1.])
    """

    next_id: int = 0

    def __init__(self, hooks_dict: OrderedDict[int, Any], *, extra_dict: Any = None) -> None:
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extras = extra_dict if isinstance(extra_dict, list) else [] if extra_dict is None else [extra_dict]
        self._references = tuple(weakref.ref(one) for one in (hooks_dict, *extras))

    def remove(self) -> None:
        """Remove the hook; harmless when it is gone already."""
        for reference in self._references:
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> tuple[Any, int]:
        return tuple(reference() for reference in self._references), self.id

    def __setstate__(self, state: tuple[Any, int]) -> None:
        hooks, self.id = state
        # A dictionary that was dead when pickled comes back as None and stays dead.
        self._references = tuple(weakref.ref(one) for one in hooks if one is not None)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        self.remove()


def add_hook(
    hooks: OrderedDict[int, Any],
    hook: Any,
    *,
    prepend: bool = False,
    marks: tuple[OrderedDict[int, Any], ...] = (),
) -> RemovableHandle:
    """Add `hook` to `hooks`, record its id in each of `marks`, and return its handle."""
    handle = RemovableHandle(hooks, extra_dict=list(marks))
    hooks[handle.id] = hook
    for mark in marks:
        mark[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle
