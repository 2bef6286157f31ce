"""Optimizer: parameter groups, state and hooks, common to all algorithms."""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict
from copy import deepcopy
from functools import wraps

import tensorgrad
from tensorgrad import Tensor
from tensorgrad.autograd import _profiler_enabled
from tensorgrad.autograd.profiler import record_function
from tensorgrad_nn._naming import typename
from tensorgrad_nn.utils.hooks import add_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from tensorgrad_nn.utils.hooks import RemovableHandle

    _F = TypeVar("_F", bound=Callable[..., Any])

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_pre_hooks: OrderedDict[int, Any] = OrderedDict()
_global_post_hooks: OrderedDict[int, Any] = OrderedDict()

_HOOK_DICTS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


def _label(optimizer: Any, method: Callable[..., Any]) -> record_function:
    """Label a call in profiles, as ``Optimizer.step#SGD.step``."""
    return record_function(f"Optimizer.{method.__name__}#{type(optimizer).__name__}.{method.__name__}")


def _labelled(method: _F) -> _F:
    """Show the calls of a method in profiles."""

    @wraps(method)
    def labelled(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _profiler_enabled():
            return method(self, *args, **kwargs)
        with _label(self, method):
            return method(self, *args, **kwargs)

    return labelled  # type: ignore[return-value]


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """Put the step hooks around a subclass's `step`, and show its calls in profiles."""

    @wraps(step)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        self = args[0]
        if not (
            self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
            or _global_pre_hooks or _global_post_hooks or _profiler_enabled()
        ):  # fmt: skip
            return step(*args, **kwargs) if kwargs else step(*args)
        with _label(self, step):
            return _call_with_hooks(step, args, kwargs)

    return wrapper


def _call_with_hooks(step: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    self = args[0]
    for hook in [*_global_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()]:
        answer = hook(self, args, kwargs)
        if answer is not None:
            if not (isinstance(answer, tuple) and len(answer) == 2):
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {answer}.")
            args, kwargs = answer
    result = step(*args, **kwargs)
    for hook in [*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()]:
        hook(self, args, kwargs)
    return result


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before every step of every optimizer.

    Parameters
    ----------
    hook : callable
        As for `Optimizer.register_step_pre_hook`.

    Returns
    -------
    RemovableHandle
    """
    return add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after every step of every optimizer.

    Parameters
    ----------
    hook : callable

    Returns
    -------
    RemovableHandle
    """
    return add_hook(_global_post_hooks, hook)


class Optimizer:
    """Base class of all optimizers.

    A subclass passes its options to `__init__` and defines `step`.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor), or of dict
        What to optimize. A dict is a parameter group: 'params' and options
        of its own.
    defaults : dict of str to object
        The options of groups that do not say otherwise.

    Attributes
    ----------
    param_groups : list of dict
        The groups, with all their options.
    state : dict of Tensor to dict
        What the algorithm remembers for each parameter.
    defaults : dict

    Raises
    ------
    TypeError
        If `params` is a Tensor, or holds anything else.
    ValueError
        If there are no parameters, or a parameter is not a leaf or is in two groups.

    Notes
    -----
    The behaviour is that of `torch.optim.Optimizer` (PyTorch 2.13) except that
    `zero_grad` sets gradients to zero by default, as PyTorch 1.x did.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> class Sign(optim.Optimizer):
    ...     def step(self, closure=None):
    ...         with tensorgrad.no_grad():
    ...             for group in self.param_groups:
    ...                 for parameter in group["params"]:
    ...                     parameter.sub_(parameter.grad.sign(), alpha=group["lr"])
    >>> weight = nn.Parameter(tensorgrad.ones(2))
    >>> optimizer = Sign([weight], {"lr": 0.5})
    >>> (weight * weight).sum().backward()
    >>> optimizer.step()
    >>> weight
    Parameter containing:
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    _optimizer_step_pre_hooks: OrderedDict[int, Any]
    _optimizer_step_post_hooks: OrderedDict[int, Any]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Any]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Any]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Any]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._make_hooks()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + typename(params)
            )
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _make_hooks(self) -> None:
        for name in _HOOK_DICTS:
            self.__dict__.setdefault(name, OrderedDict())

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle without the hooks."""
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_hooks()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        """Show the options of each group."""
        lines = [f"{type(self).__name__} ("]
        for place, group in enumerate(self.param_groups):
            if place:
                lines.append("")
            lines.append(f"Parameter Group {place}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # Parameter groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            'params', a Tensor or an ordered iterable of Tensor or (str,
            Tensor), and options that differ from the defaults. Completed in place.

        Raises
        ------
        TypeError
            If it is not a dict, or 'params' holds anything but tensors or is a set.
        ValueError
            If a parameter is not a leaf or is in another group, or only some have names.

        Warns
        -----
        UserWarning
            If a parameter is in the group twice.

        Examples
        --------
        >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
        >>> optimizer = optim.SGD([nn.Parameter(tensorgrad.ones(1))], lr=0.1)
        >>> optimizer.add_param_group({"params": nn.Parameter(tensorgrad.ones(1)), "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in "
                "sets will change between runs. Please use a list instead."
            )
        params = list(params)
        named = [isinstance(param, tuple) for param in params]
        if any(named):
            if not all(named):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = [param[0] for param in params]
            params = [param[1] for param in params]
        param_group["params"] = params

        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {typename(param)}")
            if not (self.defaults.get("differentiable", False) or param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, value in self.defaults.items():
            param_group.setdefault(name, value)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error",
                stacklevel=3,
            )
        if self.param_groups and ("param_names" in param_group) != ("param_names" in self.param_groups[0]):
            which = "with" if "param_names" in param_group else "without"
            raise ValueError(
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {which} names to the optimizer"
            )
        others = {param for group in self.param_groups for param in group["params"]}
        if not others.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    # The step

    @_labelled
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
        for group in self.param_groups:
            if set_to_none:
                for param in group["params"]:
                    param.grad = None
            else:
                tensorgrad.autograd.zero_grad_(group["params"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters once; for subclasses to define.

        Parameters
        ----------
        closure : callable, optional
            Computes the gradients anew and returns the loss.

        Returns
        -------
        Tensor or float or None
            What `closure` returned.
        """
        raise NotImplementedError

    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        """Call a closure, which computes gradients."""
        with tensorgrad.enable_grad():
            return closure()

    def _complete(self, options: dict[str, Any], numbers: tuple[str, ...] = ("step",)) -> None:
        """Bring groups and state of older files up to date: options they lack, counts that were Python numbers."""
        for group in self.param_groups:
            for name, value in options.items():
                group.setdefault(name, value)
            for param in group["params"]:
                state = self.state.get(param, {})
                for name in numbers:
                    if name in state and not isinstance(state[name], Tensor):
                        state[name] = scalar(state[name])

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before every `step`.

        Parameters
        ----------
        hook : callable
            `args` begins with the optimizer. May return `(new_args, new_kwargs)`.

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after every `step`.

        Parameters
        ----------
        hook : callable

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._optimizer_step_post_hooks, hook)

    # Saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Return state and options, with numbers in the place of parameters.

        Returns
        -------
        dict
            'state': dict of int to dict; 'param_groups': list of dict, whose
            'params' are the numbers. Tensors are shared with the optimizer.

        Examples
        --------
        >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
        >>> optim.SGD([nn.Parameter(tensorgrad.ones(1))], lr=0.1).state_dict()["param_groups"][0]["params"]
        [0]
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers.setdefault(id(param), len(numbers)) for param in group["params"]]
            groups.append(packed)
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            answer = hook(self, result)
            if answer is not None:
                result = answer
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over state and options.

        Parameters
        ----------
        state_dict : dict
            As `state_dict()` returned it. Floating point tensors of the state
            are converted to the dtype of their parameter.

        Raises
        ------
        ValueError
            If groups or parameters are not as many.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            answer = hook(self, state_dict)
            if answer is not None:
                state_dict = answer
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(saved_groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(ours["params"]) != len(saved["params"]) for ours, saved in zip(self.param_groups, saved_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params: dict[Any, Tensor] = {}
        for ours, saved in zip(self.param_groups, saved_groups):
            params.update(zip(saved["params"], ours["params"]))
            saved["params"] = ours["params"]
            if "param_names" in ours:
                saved.setdefault("param_names", ours["param_names"])

        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _cast(params[key], value)
            else:
                state[key] = value
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict`.

        Parameters
        ----------
        hook : callable
        prepend : bool, default False
            Run before the hooks that are there already.

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after `state_dict`; it may return another dictionary.

        Parameters
        ----------
        hook : callable
        prepend : bool, default False
            Run before the hooks that are there already.

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before `load_state_dict`; it may return another dictionary.

        Parameters
        ----------
        hook : callable
        prepend : bool, default False
            Run before the hooks that are there already.

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after `load_state_dict`.

        Parameters
        ----------
        hook : callable
        prepend : bool, default False
            Run before the hooks that are there already.

        Returns
        -------
        RemovableHandle
        """
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)


def scalar(value: float) -> Tensor:
    """Return a number as state holds it: on the CPU, and precise enough to count steps."""
    default = tensorgrad.get_default_dtype()
    return tensorgrad.tensor(float(value), dtype=default if default == tensorgrad.float64 else tensorgrad.float32)


def _cast(param: Tensor, value: Any, key: Any = None) -> Any:
    """Bring loaded state to the dtype and device of its parameter."""
    if isinstance(value, Tensor):
        # A step count must not be rounded to a short dtype.
        if key != "step" and param.is_floating_point():
            return value.to(device=param.device, dtype=param.dtype)
        return value if key == "step" else value.to(device=param.device)
    if isinstance(value, dict):
        return {name: _cast(param, one, name) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_cast(param, one, key) for one in value])
    return value
