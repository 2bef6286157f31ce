"""Containers of modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import operator
from collections import OrderedDict

from tensorgrad_nn._naming import typename
from tensorgrad_nn.module import Module, _indented

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
    from typing import Any, TypeVar

    Self = TypeVar("Self", bound="_Numbered")

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


def _checked_index(index: Any, length: int) -> int:
    """Return `index` counted from the start."""
    place: int = operator.index(index)
    if not -length <= place < length:
        raise IndexError(f"index {place} is out of range")
    return place % length


class _Numbered(Module):
    """What Sequential and ModuleList share: children in order, named '0', '1', ... unless named otherwise."""

    def _make(self: Self, modules: OrderedDict[str, Any]) -> Self:
        """Return a container of the same class with these children."""
        raise NotImplementedError

    def _name_at(self, index: Any) -> str:
        return list(self._modules)[_checked_index(index, len(self))]

    def _replace_all(self, modules: Iterable[Module | None]) -> None:
        self._modules = {str(place): module for place, module in enumerate(modules)}

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return self._make(OrderedDict(list(self._modules.items())[idx]))
        return self._modules[self._name_at(idx)]

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._name_at(idx), module)

    def __delitem__(self, idx: Any) -> None:
        names = list(self._modules)[idx] if isinstance(idx, slice) else [self._name_at(idx)]
        for name in names:
            delattr(self, name)
        # The names have to count without a gap again.
        self._replace_all(list(self._modules.values()))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def append(self: Self, module: Module) -> Self:
        """Add a module at the end.

        Parameters
        ----------
        module : Module
            The module to add.

        Returns
        -------
        Sequential or ModuleList
            Itself.

        Raises
        ------
        TypeError
            If `module` is not a Module.
        """
        self.add_module(str(len(self)), module)
        return self

    def pop(self, key: Any) -> Any:
        """Remove and return a module.

        Parameters
        ----------
        key : int or slice
            Which.

        Returns
        -------
        Module
            For a slice, a container of the modules removed.
        """
        removed = self[key]
        del self[key]
        return removed


class Sequential(_Numbered):
    """A chain of modules: each gets what the one before returned.

    Parameters
    ----------
    *args : Module, or one OrderedDict of str to Module
        The chain; a dictionary also gives the names.

    Raises
    ------
    TypeError
        If one of them is not a Module.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> model(tensorgrad.ones(4, 2)).shape
    tensorgrad.Size([4, 3])
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for place, module in enumerate(args):
                self.add_module(str(place), module)

    def _make(self: Self, modules: OrderedDict[str, Any]) -> Self:
        return type(self)(modules)

    def forward(self, input: Any) -> Any:
        """Lead `input` through the chain.

        Parameters
        ----------
        input : Tensor or other
            What the first module takes.

        Returns
        -------
        Tensor or other
            What the last module returns.
        """
        for module in self.__dict__["_modules"].values():
            input = module(input)  # type: ignore[misc]
        return input

    def __add__(self, other: Any) -> Sequential:
        return Sequential(*self).__iadd__(other)

    def __iadd__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but {type(other)} is given."
            )
        return self.extend(other)

    def __mul__(self, other: Any) -> Sequential:
        return Sequential(*self).__imul__(other)

    def __rmul__(self, other: Any) -> Sequential:
        return self.__mul__(other)

    def __imul__(self, other: Any) -> Sequential:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return self.extend(list(self) * (other - 1))

    def insert(self, index: int, module: Module) -> Sequential:
        """Insert a module before the one at `index`.

        Parameters
        ----------
        index : int
            From minus the length to the length.
        module : Module
            The module to insert.

        Returns
        -------
        Sequential
            Itself.

        Raises
        ------
        AssertionError
            If `module` is not a Module.
        IndexError
            If `index` is out of range.
        """
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        modules = list(self)
        modules.insert(index, module)
        self._replace_all(modules)
        return self

    def extend(self, sequential: Iterable[Module]) -> Sequential:
        """Add modules at the end.

        Parameters
        ----------
        sequential : iterable of Module
            The modules to add.

        Returns
        -------
        Sequential
            Itself.
        """
        for module in list(sequential):
            self.append(module)
        return self


class ModuleList(_Numbered):
    """A list of modules, all of them registered.

    Parameters
    ----------
    modules : iterable of Module, optional
        The first elements.

    Examples
    --------
    >>> import tensorgrad_nn as nn
    >>> nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _make(self: Self, modules: OrderedDict[str, Any]) -> Self:
        return type(self)(modules.values())

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before the one at `index`, as `list.insert` does.

        Parameters
        ----------
        index : int
            The place.
        module : Module
            The module to insert.

        Raises
        ------
        TypeError
            If `module` is not a Module.
        """
        if not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        modules = list(self)
        modules.insert(index, module)
        self._replace_all(modules)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end.

        Parameters
        ----------
        modules : iterable of Module
            The modules to add.

        Returns
        -------
        ModuleList
            Itself.

        Raises
        ------
        TypeError
            If `modules` is not iterable or holds something else.
        """
        if not hasattr(modules, "__iter__"):
            raise TypeError(
                f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def __repr__(self) -> str:
        """Show the modules, equal neighbours as one line with their number."""
        if not self._modules:
            return f"{self._get_name()}()"
        runs: list[tuple[int, int, str]] = []
        for place, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], place, text)
            else:
                runs.append((place, place, text))
        lines = [
            (f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x ")
            + _indented(text)
            for first, last, text in runs
        ]
        return "\n  ".join([f"{self._get_name()}(", *lines]) + "\n)"


def _pairs(who: str, called: str, source: Any) -> Iterable[tuple[Any, Any]]:
    """Check and return the key/value pairs that `called` got; `who` is its class."""
    if not hasattr(source, "__iter__"):
        raise TypeError(
            f"{called} should be called with an iterable of key/value pairs, but got {type(source).__name__}"
        )
    if hasattr(source, "items"):
        items: Iterable[tuple[Any, Any]] = source.items()
        return items
    pairs = []
    for place, element in enumerate(source):
        if not hasattr(element, "__iter__"):
            raise TypeError(
                f"{who} update sequence element #{place} should be Iterable; is {type(element).__name__}"
            )
        element = tuple(element)
        if len(element) != 2:
            raise ValueError(
                f"{who} update sequence element #{place} has length {len(element)}; 2 is required"
            )
        pairs.append(element)
    return pairs


class ModuleDict(Module):
    """A dictionary of modules, all of them registered.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        The first entries.

    Examples
    --------
    >>> import tensorgrad_nn as nn
    >>> nn.ModuleDict({"act": nn.ReLU()})
    ModuleDict(
      (act): ReLU()
    )
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all entries."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove an entry and return its module.

        Parameters
        ----------
        key : str
            Which.

        Returns
        -------
        Module

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module | None]:
        """Return the pairs of key and module."""
        return self._modules.items()

    def values(self) -> ValuesView[Module | None]:
        """Return the modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add entries, replacing those whose key exists.

        Parameters
        ----------
        modules : mapping of str to Module, or iterable of pairs
            The entries, taken in order.

        Raises
        ------
        TypeError, ValueError
            If it holds anything but pairs of str and Module.
        """
        for key, module in _pairs("ModuleDict", "ModuleDict.update", modules):
            self[key] = module
