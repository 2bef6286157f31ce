"""Where Python finds the compiled modules: all of them lie in one shared object, ``_compiled``.

Each shared object costs a fifth of a millisecond to open, and a page and a table of symbols on the disk; there are
seventy modules. Python asks a shared object for ``PyInit_`` and the last part of the module's name, so one can hold
them all.
"""

import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec

from tensorgrad import _compiled


class CompiledFinder:
    """Finds the modules that `_compiled` says it holds."""

    file = _compiled.__file__
    names = frozenset(_compiled.names)

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Return where a module is, or None for all modules of others."""
        if name not in cls.names:
            return None
        spec = ModuleSpec(name, ExtensionFileLoader(name, cls.file), origin=cls.file)
        spec.has_location = True
        return spec


if not any(getattr(finder, "file", None) == CompiledFinder.file for finder in sys.meta_path):
    sys.meta_path.insert(0, CompiledFinder)  # type: ignore[arg-type]
