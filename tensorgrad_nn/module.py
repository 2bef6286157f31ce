"""Module: the base class of everything that has parameters."""

from __future__ import annotations

from collections import OrderedDict

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn._calling import Calling
from tensorgrad_nn._conversion import Conversion
from tensorgrad_nn._naming import typename
from tensorgrad_nn._state import State
from tensorgrad_nn._traversal import Traversal
from tensorgrad_nn.parameter import Buffer, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Self = TypeVar("Self", bound="Module")

_HOOK_DICTS = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Module(Calling, Traversal, State, Conversion):
    """Base class of all layers and models.

    A subclass calls `super().__init__()`, assigns parameters and other
    modules as attributes, and defines `forward`. What is assigned is
    registered under its attribute's name.

    Attributes
    ----------
    training : bool
        Whether layers such as `Dropout` behave as in training.

    Notes
    -----
    The behaviour is that of `torch.nn.Module` (PyTorch 2.13) except that
    `zero_grad` sets gradients to zero by default, as PyTorch 1.x did.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> class TinyModel(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(3, 2)
    ...         self.relu = nn.ReLU()
    ...
    ...     def forward(self, x):
    ...         return self.relu(self.layer(x))
    >>> TinyModel()
    TinyModel(
      (layer): Linear(in_features=3, out_features=2, bias=True)
      (relu): ReLU()
    )
    >>> TinyModel()(tensorgrad.ones(4, 3)).shape
    tensorgrad.Size([4, 2])
    """

    training: bool
    call_super_init: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            name = type(self).__name__
            if kwargs:
                raise TypeError(
                    f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
                )
            raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        # Into __dict__ at once: __setattr__ would look at every value.
        state = self.__dict__
        state["training"] = True
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_non_persistent_buffers_set"] = set()
        for name in _HOOK_DICTS:
            state[name] = OrderedDict()
        state["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # Attributes

    def __getattr__(self, name: str) -> Any:
        """Find a parameter, buffer or module; called only for what is not in `__dict__`."""
        state = self.__dict__
        # Spelled out: this runs for every `self.layer` and `self.weight` of a forward.
        if "_modules" in state:  # __init__ makes it last
            if name in (members := state["_parameters"]):
                return members[name]
            if name in (members := state["_modules"]):
                return members[name]
            if name in (members := state["_buffers"]):
                return members[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        """Register parameters, modules and buffers; store everything else."""
        state = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in state:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_buffers", "_modules")
            self.register_parameter(name, value)
            return
        parameters = state.get("_parameters")
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    "(tensorgrad_nn.Parameter or None expected)"
                )
            parameters[name] = None
            return
        modules = state.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_buffers")
            modules[name] = value
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(tensorgrad_nn.Module or None expected)"
                )
            modules[name] = None
            return
        buffers = state.get("_buffers")
        # The first test is for speed: that for Buffer runs Python code.
        if isinstance(value, Tensor) and isinstance(value, Buffer):
            if buffers is None:
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            self._forget(name)
            self._put_buffer(name, value, getattr(value, "persistent", True))
            return
        if buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{typename(value)}' as buffer '{name}' "
                    "(tensorgrad_nn.Buffer, tensorgrad.Tensor or None expected)"
                )
            buffers[name] = value
            return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        """Remove a registered member or an ordinary attribute."""
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            object.__delattr__(self, name)

    def _forget(self, name: str, *kinds: str) -> None:
        """Remove `name` where it would hide the member that is about to be registered under it."""
        state = self.__dict__
        state.pop(name, None)
        for kind in kinds:
            state[kind].pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __dir__(self) -> list[str]:
        """List attributes and members whose names are identifiers."""
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[:1].isdigit())

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a pickle."""
        self.__dict__.update(state)
        for name in _HOOK_DICTS:
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.setdefault("_non_persistent_buffers_set", set())

    # Registration

    def _check_name(self, name: Any, kind: str, members: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if hasattr(self, name) and name not in members:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter.

        Parameters
        ----------
        name : str
            The attribute's name.
        param : Parameter or None
            None reserves the name; such an entry is not part of `state_dict`.

        Raises
        ------
        AttributeError
            Before `Module.__init__()` was called.
        TypeError
            If `name` is not a str or `param` is not a Parameter.
        KeyError
            If the name is taken, empty or contains a dot.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name(name, "parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{typename(param)}' object to parameter '{name}' "
                "(tensorgrad_nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                "created explicitly. "
                f"To express '{name}' as a function of another Tensor, compute the value in the "
                "forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer: state that is moved and saved with the module but not trained.

        Parameters
        ----------
        name : str
            The attribute's name.
        tensor : Tensor or None
            None reserves the name; such an entry is not part of `state_dict`.
        persistent : bool, default True
            Whether it belongs to `state_dict`.

        Raises
        ------
        AttributeError
            Before `Module.__init__()` was called.
        TypeError
            If `name` is not a str or `tensor` is not a Tensor.
        KeyError
            If the name is taken, empty or contains a dot.

        Examples
        --------
        >>> import tensorgrad, tensorgrad_nn as nn
        >>> module = nn.Module()
        >>> module.register_buffer("mean", tensorgrad.zeros(2))
        >>> module.mean
        tensor([0., 0.])
        """
        self._put_buffer(name, tensor, persistent)

    def _put_buffer(self, name: str, tensor: Tensor | None, persistent: bool) -> None:
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (tensorgrad Tensor "
                "or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module.

        Parameters
        ----------
        name : str
            The attribute's name.
        module : Module or None
            None reserves the name.

        Raises
        ------
        TypeError
            If `module` is not a Module or `name` is not a str.
        KeyError
            If the name is taken, empty or contains a dot.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name(name, "module", self._modules)
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child module; the same as `add_module`.

        Parameters
        ----------
        name : str
            The attribute's name.
        module : Module or None
            None reserves the name.
        """
        self.add_module(name, module)

    # Modes and gradients

    def train(self: Self, mode: bool = True) -> Self:
        """Set `training` in this module and all below it.

        Parameters
        ----------
        mode : bool, default True
            The value to set.

        Returns
        -------
        Module
            Itself.

        Raises
        ------
        ValueError
            If `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Leave training mode: `train(False)`.

        Returns
        -------
        Module
            Itself.
        """
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters.

        Parameters
        ----------
        requires_grad : bool, default True
            The value to set.

        Returns
        -------
        Module
            Itself.
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Reset the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool, default False
            Set `grad` to None instead of to zero.

        Notes
        -----
        Zero is the default here, as in PyTorch 1.x. It costs no write: the
        gradient is marked, and filled with zeros only if somebody reads it.
        """
        if set_to_none:
            for parameter in self.parameters():
                parameter.grad = None
        else:
            tensorgrad.autograd.zero_grad_(list(self.parameters()))

    # Representation

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """Return what `repr` shows between the parentheses; for subclasses to override.

        Returns
        -------
        str
            One line, or several.
        """
        return ""

    def __repr__(self) -> str:
        """Show the tree of modules."""
        children = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        return _tree(self, children)


def _tree(module: Module, children: list[str]) -> str:
    """Lay out a module's name, extra lines and children."""
    extra = module.extra_repr()
    # No line at all where extra_repr() is empty.
    extra_lines = extra.split("\n") if extra else []
    name = module._get_name()
    if not children and len(extra_lines) <= 1:
        return f"{name}({extra})"
    return "\n  ".join([f"{name}(", *extra_lines, *children]) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
