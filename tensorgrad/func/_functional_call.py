"""Calling a module with other tensors in the places of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tensorgrad._core.operator import all_operators
from tensorgrad._core.tensor import Tensor

_stack = all_operators()["stack"]


def _merged(dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, (tuple, list)) or not all(isinstance(d, Mapping) for d in dicts):
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}"
        )
    merged: dict[str, Tensor] = {}
    for d in dicts:
        for name, value in d.items():
            if name in merged:
                raise ValueError(f"{name} appears in multiple dictionaries; behavior of functional call is ambiguous")
            merged[name] = value
    return merged


def _named(module: Any) -> dict[str, Tensor]:
    """Every parameter and buffer by all the names that it has."""
    found = dict(module.named_parameters(remove_duplicate=False))
    found.update(module.named_buffers(remove_duplicate=False))
    return found


def _with_tied(values: dict[str, Tensor], named: dict[str, Tensor]) -> dict[str, Tensor]:
    """A value for one name of a shared tensor is one for all of its names."""
    names_of: dict[int, list[str]] = {}
    for name, x in named.items():
        names_of.setdefault(id(x), []).append(name)
    tied = dict(values)
    for name, value in values.items():
        for other in names_of.get(id(named.get(name)), ()):
            if other in values and values[other] is not value:
                raise ValueError(
                    f"functional_call got multiple values for keys {sorted({name, other})}, which are tied. Consider "
                    "using tie_weights=False"
                )
            tied[other] = value
    return tied


@contextmanager
def _exchanged(module: Any, values: dict[str, Tensor]) -> Iterator[None]:
    """The module with other tensors for a while; its own are back whatever happens."""
    places = []
    for name, value in values.items():
        prefix, _, last = name.rpartition(".")
        owner = module.get_submodule(prefix) if prefix else module
        table = owner._parameters if last in owner._parameters else owner._buffers
        places.append((table, last, table[last], value))
    try:
        for table, last, _, value in places:
            table[last] = value
        yield
    finally:
        for table, last, own, _ in reversed(places):
            table[last] = own


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call `module` with the given tensors in the places of its parameters and buffers.

    Parameters
    ----------
    module : Module
        Is as it was afterwards.
    parameter_and_buffer_dicts : dict of Tensor, or sequence of dicts
        By the names of ``named_parameters()`` and ``named_buffers()``.
    args : tuple or other, optional
        The arguments; anything but a tuple is the only one.
    kwargs : dict, optional
    tie_weights : bool, default: True
        A tensor that the module has under several names is exchanged under all of them.
    strict : bool, default: False
        Every parameter and buffer must be given, and nothing else.

    Returns
    -------
    object
        What the module returns.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> weights = {"weight": tensorgrad.tensor([[1.0, 2.0]])}
    >>> tensorgrad.func.functional_call(layer, weights, tensorgrad.tensor([3.0, 4.0]))
    tensor([11.])
    """
    values, named = _merged(parameter_and_buffer_dicts), _named(module)
    if tie_weights:
        values = _with_tied(values, named)
    unexpected = [name for name in values if name not in named]
    missing = [name for name in named if name not in values] if strict else []
    if strict and (unexpected or missing):
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}: unexpected keys {unexpected}, missing "
            f"keys {missing}"
        )
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _exchanged(module, {name: value for name, value in values.items() if name in named}):
        return module(*arguments, **(kwargs or {}))


def _stacked(tensors: Sequence[Tensor], name: str) -> Tensor:
    """One tensor of all, a leaf of its own."""
    wanting = [x.requires_grad for x in tensors]
    if any(wanting) and not all(wanting):
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    result: Tensor = _stack(tuple(tensors)).detach()
    return result.requires_grad_() if all(wanting) else result


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of modules of one class, each stacked, for `vmap` to run them as an ensemble.

    Parameters
    ----------
    models : sequence of Module
        Of one class and one mode (training or not).

    Returns
    -------
    params, buffers : dict of Tensor
        By the names of ``named_parameters()`` and ``named_buffers()``, with a new first dimension for the modules. They
        are leaves, apart from the modules' own tensors.

    Raises
    ------
    RuntimeError
        For no module, or for modules that differ in class, mode, names or ``requires_grad``.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> models = [nn.Linear(3, 2) for _ in range(4)]
    >>> params, buffers = tensorgrad.func.stack_module_state(models)
    >>> params["weight"].shape
    tensorgrad.Size([4, 2, 3])
    >>> def call(params, buffers, x):
    ...     return tensorgrad.func.functional_call(models[0], (params, buffers), x)
    >>> tensorgrad.func.vmap(call, in_dims=(0, 0, None))(params, buffers, tensorgrad.ones(3)).shape
    tensorgrad.Size([4, 2])
    """
    if not len(models):
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({bool(model.training) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    stacked: list[dict[str, Tensor]] = []
    for method in ("named_parameters", "named_buffers"):
        tables = [dict(getattr(model, method)()) for model in models]
        if any(table.keys() != tables[0].keys() for table in tables):
            raise RuntimeError(
                "stack_module_state: Expected all models to have the same parameters and buffers, but their names "
                "differ"
            )
        stacked.append({name: _stacked([table[name] for table in tables], name) for name in tables[0]})
    return stacked[0], stacked[1]
