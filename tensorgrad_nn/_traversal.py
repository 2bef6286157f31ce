"""Walking through a module's children, parameters and buffers, and finding one by its path."""

from __future__ import annotations

from tensorgrad_nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tensorgrad import Tensor
    from tensorgrad_nn.module import Module


class Traversal:
    """The part of `Module` that enumerates what it holds.

    Every `named_*` method yields pairs of a dotted path and an object; a
    path starts with `prefix`.
    """

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def _named_members(
        self,
        get_members_fn: Callable[[Any], Iterable[tuple[str, Any]]],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """Yield what `get_members_fn` finds in this module and, with `recurse`, in all below it."""
        seen: set[Any] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else ((prefix, self),)
        )
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield (f"{path}.{name}" if path else name), member

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once.

        Parameters
        ----------
        recurse : bool, default True
            Include those of the modules below.

        Yields
        ------
        Parameter

        Examples
        --------
        >>> import tensorgrad_nn as nn
        >>> [tuple(parameter.shape) for parameter in nn.Linear(2, 3).parameters()]
        [(3, 2), (3,)]
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their paths.

        Parameters
        ----------
        prefix : str, default ''
            Put before every path.
        recurse : bool, default True
            Include those of the modules below.
        remove_duplicate : bool, default True
            Yield a shared parameter once only.

        Yields
        ------
        (str, Parameter)

        Examples
        --------
        >>> import tensorgrad_nn as nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(1, 1)).named_parameters()]
        ['0.weight', '0.bias']
        """
        return self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once.

        Parameters
        ----------
        recurse : bool, default True
            Include those of the modules below.

        Yields
        ------
        Tensor
        """
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers with their paths.

        Parameters
        ----------
        prefix : str, default ''
            Put before every path.
        recurse : bool, default True
            Include those of the modules below.
        remove_duplicate : bool, default True
            Yield a shared buffer once only.

        Yields
        ------
        (str, Tensor)
        """
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below, each once.

        Yields
        ------
        Module
        """
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly below with their names, each once.

        Yields
        ------
        (str, Module)
        """
        seen: set[Any] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all below it, parents first.

        Parameters
        ----------
        remove_duplicate : bool, default True
            Yield a shared module once only.

        Yields
        ------
        Module
        """
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield this module and all below it with their paths, parents first.

        Parameters
        ----------
        memo : set of Module, optional
            Modules to leave out; those that are yielded are added.
        prefix : str, default ''
            The path of this module.
        remove_duplicate : bool, default True
            Yield a shared module once only.

        Yields
        ------
        (str, Module)

        Examples
        --------
        >>> import tensorgrad_nn as nn
        >>> [name for name, _ in nn.Sequential(nn.ReLU(), nn.Tanh()).named_modules()]
        ['', '0', '1']
        """
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path.

        Parameters
        ----------
        target : str
            The path, such as 'encoder.0'; '' is this module.

        Returns
        -------
        Module

        Raises
        ------
        AttributeError
            If the path leads nowhere, or to something that is not a module.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Traversal):
                raise AttributeError(f"`{name}` is not an nn.Module")
        found: Module = module
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at a dotted path.

        Parameters
        ----------
        target : str
            The path; its parent has to exist.
        module : Module
            The module to put there.
        strict : bool, default False
            Insist that there is a module at the path already.

        Raises
        ------
        ValueError
            If `target` is empty or `module` is not a module.
        AttributeError
            If the path leads nowhere, or to something that is not a module.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Traversal):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        parent_path, _, name = target.rpartition(".")
        parent = self.get_submodule(parent_path)
        if strict or hasattr(parent, name):
            parent.get_submodule(name)
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path.

        Parameters
        ----------
        target : str
            The path, such as '0.weight'.

        Returns
        -------
        Parameter

        Raises
        ------
        AttributeError
            If the path leads nowhere, or to something that is not a parameter.
        """
        module, name = self._find(target)
        found = getattr(module, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path.

        Parameters
        ----------
        target : str
            The path, such as '1.running_mean'.

        Returns
        -------
        Tensor

        Raises
        ------
        AttributeError
            If the path leads nowhere, or to something that is not a buffer.
        """
        module, name = self._find(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        buffer: Tensor = getattr(module, name)
        return buffer

    def _find(self, target: str) -> tuple[Module, str]:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return module, name
