"""Containers of parameters: ParameterList, ParameterDict."""

from __future__ import annotations

from collections import OrderedDict

from tensorgrad import Tensor
from tensorgrad_nn._naming import typename
from tensorgrad_nn.container import _checked_index, _pairs
from tensorgrad_nn.module import Module
from tensorgrad_nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, KeysView, Mapping
    from typing import Any

__all__ = ["ParameterDict", "ParameterList"]


def _as_entry(value: Any) -> Any:
    """Make a plain tensor a Parameter; leave everything else alone."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _described(value: Any, tensor_type: str) -> str:
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    size = "x".join(str(length) for length in value.shape)
    device = "" if value.device.type == "cpu" else f" ({value.device})"
    return f"Parameter containing: [{tensor_type} of size {size}{device}]"


class ParameterList(Module):
    """A list of parameters, all of them registered.

    Tensors become Parameters; other objects are kept as they are.

    Parameters
    ----------
    values : iterable, optional
        The first elements.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.ParameterList([tensorgrad.ones(2, 3), tensorgrad.ones(4)])
    ParameterList(
        (0): Parameter containing: [tensorgrad.float32 of size 2x3]
        (1): Parameter containing: [tensorgrad.float32 of size 4]
    )
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return type(self)([self[place] for place in range(*idx.indices(len(self)))])
        return getattr(self, str(_checked_index(idx, len(self))))

    def __setitem__(self, idx: int, param: Any) -> None:
        setattr(self, str(_checked_index(idx, len(self))), _as_entry(param))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[place] for place in range(len(self))])

    def __iadd__(self, parameters: Iterable[Any]) -> ParameterList:
        return self.extend(parameters)

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end.

        Parameters
        ----------
        value : Tensor or other
            A tensor becomes a Parameter.

        Returns
        -------
        ParameterList
            Itself.
        """
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end.

        Parameters
        ----------
        values : iterable
            The values; tensors become Parameters.

        Returns
        -------
        ParameterList
            Itself.

        Raises
        ------
        TypeError
            If `values` is not iterable or is a Tensor.
        """
        if not hasattr(values, "__iter__") or isinstance(values, Tensor):
            raise TypeError(
                f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """Return one line per element."""
        return "\n".join(
            f"  ({place}): {_described(value, str(getattr(value, 'dtype', '')))}"
            for place, value in enumerate(self)
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a list is not a layer."""
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dictionary of parameters, all of them registered.

    Tensors become Parameters; other objects are kept as they are.

    Parameters
    ----------
    parameters : mapping of str to Tensor, or iterable of pairs, optional
        The first entries.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> choices = nn.ParameterDict({"left": tensorgrad.ones(2), "right": tensorgrad.zeros(2)})
    >>> choices["left"]
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._as_key(key))

    def __setitem__(self, key: str, value: Any) -> None:
        key = self._as_key(key)
        if key not in self._keys and hasattr(self, key):
            raise KeyError(f"attribute '{key}' already exists")
        setattr(self, key, _as_entry(value))
        self._keys[key] = None

    def _as_key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(
                "Index given to ParameterDict cannot be used as a key as it is not a string "
                f"(type is '{type(key).__name__}')."
            )
        return key

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Return a new dictionary that holds the same parameters."""
        return ParameterDict(self.items())

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, after setting it to `default` if there is none.

        Parameters
        ----------
        key : str
            Which.
        default : Tensor or other, optional
            A tensor becomes a Parameter.

        Returns
        -------
        Parameter or other
        """
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Remove all entries."""
        for key in list(self):
            del self[key]

    def pop(self, key: str) -> Any:
        """Remove an entry and return its value.

        Parameters
        ----------
        key : str
            Which.

        Returns
        -------
        Parameter or other
        """
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the entry that was added last and return its key and value."""
        key, _ = self._keys.popitem()
        value = getattr(self, key)
        delattr(self, key)
        return key, value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none.

        Parameters
        ----------
        key : str
            Which.
        default : optional
            Returned as it is.

        Returns
        -------
        Parameter or other
        """
        if key not in self:
            return default
        return self[key]

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a new dictionary with `default` under each of `keys`.

        Parameters
        ----------
        keys : iterable of str
            The keys.
        default : Tensor or other, optional
            A tensor becomes a Parameter.

        Returns
        -------
        ParameterDict
        """
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._keys.keys()

    def items(self) -> list[tuple[str, Any]]:
        """Return the pairs of key and value."""
        return [(key, self[key]) for key in self]

    def values(self) -> list[Any]:
        """Return the values."""
        return [self[key] for key in self]

    def update(self, parameters: Mapping[str, Any] | ParameterDict | Iterable[tuple[str, Any]]) -> None:
        """Add entries, replacing those whose key exists.

        Parameters
        ----------
        parameters : mapping of str to Tensor, or iterable of pairs
            The entries. Those of a plain mapping are taken in the order of their keys.

        Raises
        ------
        TypeError, ValueError
            If it holds anything but pairs with a str.
        """
        pairs = _pairs("ParameterDict", "ParametersDict.update", parameters)
        if hasattr(parameters, "items") and not isinstance(parameters, (OrderedDict, ParameterDict)):
            pairs = sorted(pairs, key=lambda pair: pair[0])
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        """Return one line per entry."""
        return "\n".join(f"  ({key}): {_described(value, typename(value))}" for key, value in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a dictionary is not a layer."""
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other: Mapping[str, Any] | ParameterDict) -> ParameterDict:
        result = self.copy()
        result.update(other)
        return result

    def __ror__(self, other: Any) -> Any:
        # The result is of the left operand's class, a plain dict for a plain dict.
        result = other.copy()
        result.update(self)
        return result

    def __ior__(self, other: Mapping[str, Any] | ParameterDict) -> ParameterDict:
        self.update(other)
        return self
