"""Vectorization: one call of a function for a whole batch of arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad._core.grad_mode import pop_level, push_level
from tensorgrad._core.operator import all_operators
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.transforms import unwrap_value, wrap_value
from tensorgrad.func._pytree import TreeSpec, broadcast, flatten, unflatten

_VMAP = 2
_cat = all_operators()["cat"]


def _name(func: Any) -> str:
    return getattr(func, "__name__", repr(func))


def _checked_in_dims(func: Any, in_dims: Any, args: tuple[Any, ...]) -> tuple[list[Any], TreeSpec, list[int | None]]:
    """The leaves of the arguments, their structure and the batch dimension of each."""
    where = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, int) and not isinstance(in_dims, tuple):
        raise ValueError(
            f"{where}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of "
            f"inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to "
            "vmap over a function with no inputs. The latter is unsupported."
        )
    leaves, spec = flatten(args)
    dims = broadcast(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{where}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    checked: list[int | None] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)):
            raise ValueError(
                f"{where}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
            )
        if dim is not None and not isinstance(leaf, Tensor):
            raise ValueError(
                f"{where}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap "
                "over non-Tensor arguments, please use None as the respective in_dim"
            )
        if dim is not None and not -leaf.ndim <= dim < leaf.ndim:
            raise ValueError(
                f"{where}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
                f"{leaf.ndim} so expected in_dim to satisfy -{leaf.ndim} <= in_dim < {leaf.ndim}."
            )
        checked.append(dim if dim is None else dim % leaf.ndim)
    return leaves, spec, checked


def _batch_size(leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
    sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(size != sizes[0] for size in sizes):
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return int(sizes[0])


def _unwrap_output(out: Any, out_dim: int | None, level: int, size: int, func: Any, none_passes: bool) -> Any:
    """One result as the level below sees it, with the batch where `out_dim` says."""
    if out is None and none_passes:
        return None
    if not isinstance(out, Tensor):
        if out_dim is None:
            return out
        raise ValueError(
            f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(out)}. Did you "
            "mean to set out_dims= to None for output?"
        )
    value, dim = unwrap_value(out, level)
    if out_dim is None:
        if dim is not None:
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim is None"
            )
        return value
    if dim is None:
        value, dim = value.unsqueeze(0).expand(size, *value.shape), 0
    return value if dim == out_dim else value.movedim(dim, out_dim)


def _call_batched(
    func: Callable[..., Any],
    leaves: Sequence[Any],
    spec: TreeSpec,
    dims: Sequence[int | None],
    out_dims: Any,
    size: int,
    randomness: str,
    kwargs: dict[str, Any],
    none_passes: bool,
) -> Any:
    level = push_level(_VMAP, size, randomness).number
    try:
        wrapped = [
            leaf if dim is None else wrap_value(leaf, level, dim) for leaf, dim in zip(leaves, dims, strict=True)
        ]
        result = func(*unflatten(spec, wrapped), **kwargs)
    finally:
        pop_level()
    outputs, out_spec = flatten(result)
    found = broadcast(out_dims, out_spec)
    if found is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and out_spec.kind is None:
        found = list(out_dims)
    if found is None:
        raise ValueError(
            f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the "
            f"structure of `outputs`. out_dims has structure {flatten(out_dims)[1]} but outputs has structure "
            f"{out_spec}."
        )
    if any(dim is not None and (isinstance(dim, bool) or not isinstance(dim, int)) for dim in found):
        raise ValueError(
            f"vmap({_name(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of "
            "ints representing where in the outputs the vmapped dimension should appear."
        )
    unwrapped = [
        _unwrap_output(out, dim, level, size, func, none_passes) for out, dim in zip(outputs, found, strict=True)
    ]
    return unflatten(out_spec, unwrapped)


def _call_in_chunks(
    chunk_size: int, call: Callable[..., Any], leaves: Sequence[Any], dims: Sequence[int | None], size: int
) -> Any:
    """The batch in parts, each of `chunk_size` elements at most; `call` puts the batch of its results in front."""
    parts, spec = [], None
    for start in range(0, size, chunk_size):
        length = min(chunk_size, size - start)
        chunk = [
            leaf if dim is None else leaf.narrow(dim, start, length) for leaf, dim in zip(leaves, dims, strict=True)
        ]
        outputs, spec = flatten(call(chunk, length))
        parts.append(outputs)
    assert spec is not None
    return [list(column) for column in zip(*parts, strict=True)], spec


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that calls `func` once for a batch of arguments, each operation on the whole batch.

    Parameters
    ----------
    func : callable
        Of tensors, or of nested tuples, lists and dicts of tensors, which it returns as well.
    in_dims : int or nested tuple, default: 0
        For each argument the dimension of the batch; None for one that is the same for the whole batch.
    out_dims : int or nested tuple, default: 0
        For each result where the batch goes.
    randomness : {"error", "different", "same"}
        Whether the elements of the batch draw different random numbers, the same, or none.
    chunk_size : int, optional
        Elements in one call, so that less memory is needed.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        For dimensions that do not fit the arguments or results.
    RuntimeError
        Where `func` branches on the values of a batched tensor, draws random numbers unasked, or writes a
        batched value into an unbatched tensor.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tensorgrad.func.vmap(lambda row: row.sum())(x)
    tensor([3., 7.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec, dims = _checked_in_dims(func, in_dims, args)
        size = _batch_size(leaves, dims)
        if chunk_size is None or chunk_size >= size:
            return _call_batched(func, leaves, spec, dims, out_dims, size, randomness, kwargs, False)

        def call(chunk: list[Any], length: int) -> Any:
            return _call_batched(func, chunk, spec, dims, out_dims, length, randomness, kwargs, False)

        columns, out_spec = _call_in_chunks(chunk_size, call, leaves, dims, size)
        places = broadcast(out_dims, out_spec) or list(out_dims)
        joined = [
            column[0] if place is None else _cat(tuple(column), place)
            for column, place in zip(columns, places, strict=True)
        ]
        return unflatten(out_spec, joined)

    return wrapped


def vmap_with_none(func: Callable[..., Any]) -> Callable[..., Any]:
    """`vmap` of a function that may return None: gradients that are not there."""

    def wrapped(*args: Any) -> Any:
        leaves, spec, _ = _checked_in_dims(func, tuple(0 if isinstance(x, Tensor) else None for x in args), args)
        dims = [0 if isinstance(x, Tensor) else None for x in leaves]
        return _call_batched(func, leaves, spec, dims, 0, _batch_size(leaves, dims), "error", {}, True)

    return wrapped
