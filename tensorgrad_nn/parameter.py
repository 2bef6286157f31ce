"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that a module trains.

    Assigned as an attribute of a `Module`, it appears in `Module.parameters()`.
    It shares its memory with `data`, is always a leaf, and operators on it
    return plain tensors.

    Parameters
    ----------
    data : Tensor, any shape, floating point or complex when `requires_grad`
        The values; an empty float tensor when left out.
    requires_grad : bool, default True
        Whether gradients are accumulated in it. This holds also when it is
        created under `no_grad`.

    Raises
    ------
    RuntimeError
        If an integer or bool tensor is to require gradients.

    Notes
    -----
    Follows `torch.nn.Parameter` (PyTorch 2.13). A copy made with
    `copy.deepcopy` or pickle keeps the values and `requires_grad`, not the
    gradient.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.Parameter(tensorgrad.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        """Make a leaf of class `cls` over the memory of `data`."""
        if data is None:
            data = tensorgrad.empty(0)
        return data.detach().as_subclass(cls).requires_grad_(requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        # Everything is done in __new__; this keeps Tensor.__init__ from seeing the arguments.
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """Copy the values; the copy is made once per `memo`."""
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Pickle as a plain tensor plus the flag."""
        return _rebuild_parameter, (type(self), self.detach(), self.requires_grad)

    def __repr__(self, **kwargs: Any) -> str:
        """Return 'Parameter containing:' and the values."""
        # Printed through a plain tensor, so that the subclass's name does not appear twice.
        return "Parameter containing:\n" + repr(self.detach().requires_grad_(self.requires_grad))


def _rebuild_parameter(cls: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return cls(data, requires_grad)


class _BufferMeta(type(Tensor)):  # type: ignore[misc]
    """Lets `isinstance(x, Buffer)` recognise the marked plain tensors that `Buffer(...)` makes."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Buffer:
            return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)
        return super().__instancecheck__(instance)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that is part of a module's state without being trained.

    Assigned as an attribute of a `Module`, it is registered as a buffer. What
    the call returns is a plain Tensor that carries the mark.

    Parameters
    ----------
    data : Tensor, any shape and dtype
        The values; an empty float tensor when left out.
    persistent : bool, default True
        Whether it belongs to the module's `state_dict`.

    Returns
    -------
    Tensor
        Shares its memory with `data`.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> module = nn.Module()
    >>> module.mean = nn.Buffer(tensorgrad.zeros(2))
    >>> dict(module.state_dict())
    {'mean': tensor([0., 0.])}
    """

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Tensor:  # type: ignore[misc]
        """Mark a tensor over the memory of `data`."""
        if data is None:
            data = tensorgrad.empty(0)
        result = data.detach().requires_grad_(data.requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result
