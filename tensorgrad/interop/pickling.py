"""Copies of tensors that outlive them: pickle and `copy.deepcopy`.

A tensor is pickled as its class, its storage and how it looks at it. A Storage is pickled on its own, so
that tensors which share memory still share it after a round trip within one pickle (or one deep copy).
"""

from __future__ import annotations

import copy
import copyreg
import warnings
from typing import Any

from tensorgrad._core.dtype import names as _dtype_names
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.types import Storage
from tensorgrad.interop.numpy_bridge import copy_storage, storage_bytes, storage_from_bytes, tensor_over

__all__ = ["deepcopy", "rebuild_storage", "rebuild_tensor", "reduce", "set_state"]

_DTYPES = _dtype_names()


def rebuild_storage(device: str, data: bytes) -> Storage:
    """Make a storage on `device` with the given contents; pickles of storages call it."""
    return storage_from_bytes(data, device)


def _reduce_storage(storage: Storage) -> tuple[Any, ...]:
    return rebuild_storage, (str(storage.device), storage_bytes(storage))


copyreg.pickle(Storage, _reduce_storage)


def rebuild_tensor(
    cls: type[Tensor],
    storage: Storage,
    dtype: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    requires_grad: bool,
) -> Tensor:
    """Make a leaf over a storage; pickles of tensors call it.

    Parameters
    ----------
    cls : type
        Tensor or a subclass, whose `__new__` and `__init__` are not called.
    storage : Storage
    dtype : str
        The dtype's name.
    shape, strides : tuple of int
        Strides and `offset` count elements.
    offset : int
    requires_grad : bool

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        When the elements do not all lie in the storage.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"there is no dtype '{dtype}'")
    return tensor_over(cls, storage, _DTYPES[dtype], shape, strides, offset, requires_grad)


def _storage_of(tensor: Tensor, what: str) -> Storage:
    if tensor._transform_info() is not None:
        raise RuntimeError(
            f"Cannot access storage of a tensor that belongs to a transform (grad, jvp or vmap): {what} "
            "works outside of the function that is being transformed"
        )
    return tensor.untyped_storage()


def _slots(tensor: Tensor) -> dict[str, Any]:
    """What `__slots__` of subclasses written in Python hold."""
    if type(tensor) is Tensor:
        return {}
    names = copyreg._slotnames(type(tensor))  # type: ignore[attr-defined]
    return {name: getattr(tensor, name) for name in names if hasattr(tensor, name)}


def _state_of(tensor: Tensor) -> Any:
    """What pickle hands to `__setstate__`, or puts in `__dict__` and slots; None when there is nothing."""
    getstate = getattr(type(tensor), "__getstate__", None)
    if getstate is not None and getstate is not getattr(object, "__getstate__", None):
        return getstate(tensor)
    attributes, slots = vars(tensor), _slots(tensor)
    if slots:
        return attributes or None, slots
    return attributes or None


def set_state(tensor: Tensor, state: Any) -> None:
    """Take back the attributes that `reduce` found (`Tensor.__setstate__`)."""
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    vars(tensor).update(attributes or {})
    for name, value in (slots or {}).items():
        setattr(tensor, name, value)


def reduce(tensor: Tensor) -> tuple[Any, ...]:
    """Say how to pickle a tensor (`Tensor.__reduce_ex__`).

    The history, the gradient and the hooks stay behind: what comes back is a leaf. Views take their whole
    storage along.

    Parameters
    ----------
    tensor : Tensor
        Of any class.

    Returns
    -------
    tuple
        As `object.__reduce__` describes it.

    Warns
    -----
    UserWarning
        When hooks are registered on it.
    """
    storage = _storage_of(tensor, "pickling it")
    for hook in (tensor._backward_hooks or {}).values():
        warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.", stacklevel=2)
    arguments = (
        type(tensor),
        storage,
        tensor.dtype.name,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.storage_offset(),
        tensor.requires_grad,
    )
    state = _state_of(tensor)
    return (rebuild_tensor, arguments) if state is None else (rebuild_tensor, arguments, state)


def deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """Copy a leaf with its gradient and attributes (`Tensor.__deepcopy__`); hooks stay behind.

    Parameters
    ----------
    tensor : Tensor
        A leaf, of any class.
    memo : dict
        What `copy.deepcopy` has copied; tensors that share memory share that of their copies, too.

    Returns
    -------
    Tensor
        Of the same class, strides and device.

    Raises
    ------
    RuntimeError
        For the result of recorded operations.

    Examples
    --------
    >>> import copy, tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> copy.deepcopy(x)
    tensor([1., 2.], requires_grad=True)
    """
    if not tensor.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
            f"moment.  This one was made by {type(tensor.grad_fn).__name__}: copy x.detach() or use x.clone()"
        )
    if id(tensor) in memo:
        return memo[id(tensor)]
    storage = _storage_of(tensor, "copy.deepcopy")
    copied = memo.get(id(storage))
    if copied is None:
        copied = memo[id(storage)] = copy_storage(storage)
    result = tensor_over(
        type(tensor),
        copied,
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.storage_offset(),
        tensor.requires_grad,
    )
    # Before the attributes, which may lead back here.
    memo[id(tensor)] = result
    if tensor._grad is not None:
        result.grad = copy.deepcopy(tensor._grad, memo)
    for name, value in vars(tensor).items():
        vars(result)[name] = copy.deepcopy(value, memo)
    for name, value in _slots(tensor).items():
        setattr(result, name, copy.deepcopy(value, memo))
    return result
