"""state_dict and load_state_dict: a module's values as a flat dictionary, and back."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from types import MethodType

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn.parameter import Parameter
from tensorgrad_nn.utils.hooks import add_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from tensorgrad_nn.utils.hooks import RemovableHandle

_EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` found missing and unexpected."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class State:
    """The part of `Module` that saves and restores its values."""

    _version: int = 1

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_hooks: OrderedDict[int, Any]
    _state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_post_hooks: OrderedDict[int, Any]

    def get_extra_state(self) -> Any:
        """Return what `state_dict` is to hold beside parameters and buffers.

        A subclass that has such state overrides this and `set_extra_state`.

        Returns
        -------
        object
            Anything that can be pickled.
        """
        raise RuntimeError("Module.get_extra_state() is to be overridden by a subclass that has extra state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` returned.

        Parameters
        ----------
        state : object
            The extra state of a loaded `state_dict`.
        """
        raise RuntimeError("Module.set_extra_state() is to be overridden by a subclass that has extra state")

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield this module's own parameters and persistent buffers."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                yield name, buffer

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put this module's own state, without that of its children, into `destination`."""
        for name, value in self._own_state():
            destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + _EXTRA_STATE] = self.get_extra_state()

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Return the parameters and persistent buffers by path.

        Parameters
        ----------
        destination : OrderedDict, optional
            Where to put them; a new one when left out.
        prefix : str, default ''
            Put before every path.
        keep_vars : bool, default False
            Give the parameters themselves instead of detached tensors.

        Returns
        -------
        OrderedDict of str to Tensor
            The tensors share their memory with the module. Its `_metadata`
            holds the `_version` of every module by path.

        Examples
        --------
        >>> import tensorgrad_nn as nn
        >>> list(nn.Sequential(nn.Linear(2, 1)).state_dict())
        ['0.weight', '0.bias']
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead.", FutureWarning, stacklevel=2
            )
            if destination is None:
                destination = args[0]
            if len(args) > 1 and prefix == "":
                prefix = args[1]
            if len(args) > 2 and keep_vars is False:
                keep_vars = args[2]
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()

        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            answer = hook(self, destination, prefix, local_metadata)
            if answer is None:
                continue
            if getattr(hook, "_returns_nothing", False):
                raise RuntimeError("state_dict post-hook must return None")
            destination = answer
        return destination

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own values out of `state_dict`, appending to the three lists what is wrong."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

        assign = local_metadata.get("assign_to_params_buffers", False)
        own = dict(self._own_state())
        for name, current in own.items():
            key = prefix + name
            if key in state_dict:
                self._load_one(name, current, key, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)

        extra_key = prefix + _EXTRA_STATE
        has_extra = type(self).set_extra_state is not State.set_extra_state
        if has_extra and extra_key in state_dict:
            self.set_extra_state(state_dict[extra_key])
        elif has_extra and strict:
            missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)

        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    name, dot, _ = key[len(prefix) :].partition(".")
                    if name not in (self._modules if dot else own):
                        unexpected_keys.append(key)

    def _load_one(
        self, name: str, current: Tensor, key: str, value: Any, assign: bool, error_msgs: list[str]
    ) -> None:
        if not isinstance(value, Tensor):
            error_msgs.append(
                f'While copying the parameter named "{key}", expected tensorgrad.Tensor or '
                "Tensor-like object from "
                f"checkpoint but received {type(value)}"
            )
            return
        if current.ndim == 0 and value.ndim == 1 and len(value) == 1:
            # Files of early PyTorch hold one-element vectors where scalars are meant.
            value = value[0]
        if value.shape != current.shape:
            error_msgs.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from "
                "checkpoint, the shape in "
                f"current model is {current.shape}."
            )
            return
        try:
            with tensorgrad.no_grad():
                if not assign:
                    current.copy_(value)
                    return
                if isinstance(current, Parameter):
                    if isinstance(value, Parameter):
                        value.requires_grad_(current.requires_grad)
                    else:
                        value = Parameter(value, requires_grad=current.requires_grad)
                setattr(self, name, value)
        except Exception as error:
            error_msgs.append(
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{current.size()} and "
                f"whose dimensions in the checkpoint are {value.size()}, an exception occurred : "
                f"{error.args}."
            )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy values into this module and all below it.

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            As `state_dict()` returns it.
        strict : bool, default True
            Insist that the keys are exactly those of `state_dict()`.
        assign : bool, default False
            Make the given tensors the module's own instead of copying their
            values. They then keep their dtype and device; `requires_grad` stays
            the module's.

        Returns
        -------
        (missing_keys, unexpected_keys)
            A named tuple of two lists of str.

        Raises
        ------
        TypeError
            If `state_dict` is not a mapping.
        RuntimeError
            If shapes do not match or, with `strict`, keys do not. What fits
            has been loaded by then.

        Examples
        --------
        >>> import tensorgrad_nn as nn
        >>> model = nn.Linear(2, 1)
        >>> model.load_state_dict(nn.Linear(2, 1).state_dict())
        <All keys matched successfully>
        """
        if not (hasattr(state_dict, "keys") and hasattr(state_dict, "__getitem__")):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None) or {}
        state: Any = OrderedDict(state_dict)
        state._metadata = metadata

        def load(module: Any, state: Any, prefix: str) -> None:
            local_metadata = dict(metadata.get(prefix[:-1], {}))
            if assign:
                local_metadata["assign_to_params_buffers"] = True
            module._load_from_state_dict(state, prefix, local_metadata, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    child_prefix = f"{prefix}{name}."
                    # Only what concerns the child, so that a deep tree is not searched at every level.
                    load(child, {k: v for k, v in state.items() if k.startswith(child_prefix)}, child_prefix)
            incompatible = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, incompatible) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new "
                        "values, if incompatible_keys need to be modified, it should be done inplace."
                    )

        load(self, state, "")
        if strict:
            problems = []
            for kind, keys in (("Missing", missing), ("Unexpected", unexpected)):
                if keys:
                    quoted = ", ".join(f'"{key}"' for key in keys)
                    problems.append(f"{kind} key(s) in state_dict: {quoted}. ")
            errors[:0] = problems
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        return _IncompatibleKeys(missing, unexpected)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after saving.

        It may return another dictionary.
        """
        if getattr(hook, "_returns_nothing", False):
            raise RuntimeError("previously registered via register_state_dict_post_hook")
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before this module's state is saved.

        Parameters
        ----------
        hook : callable

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after this module's state is saved.

        Parameters
        ----------
        hook : callable
            Changes `state_dict` in place and returns None.

        Returns
        -------
        RemovableHandle
        """
        hook._returns_nothing = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """Call `hook`, with this module as its first argument if `with_module`, before loading."""
        if with_module:
            # A bound method: a deep copy of the module passes the copy, and it can be pickled.
            hook = MethodType(hook, self)
        return add_hook(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook` before this module's values are loaded.

        Parameters
        ----------
        hook : callable
            `hook(module, state_dict, prefix, local_metadata, strict,
            missing_keys, unexpected_keys, error_msgs)`

        Returns
        -------
        RemovableHandle
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after this module's values are loaded.

        Parameters
        ----------
        hook : callable
            May change the two lists in `incompatible_keys` in place; returns None.

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._load_state_dict_post_hooks, hook)
