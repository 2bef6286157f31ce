"""Switching the recording of operations off and on.

The switches themselves are in `tensorgrad._core.grad_mode` and belong to the thread; here are the
context managers and decorators that throw them and put them back.
"""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar, overload

from tensorgrad._core.grad_mode import (
    is_forward_grad_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    restore_inference,
    set_forward_grad,
    set_grad,
    set_inference,
)
from tensorgrad._core.locks import local

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_multithreading_enabled",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

_F = TypeVar("_F", bound=Callable[..., Any])

# The code flags of the functions whose bodies run in pieces (inspect.CO_*; importing inspect takes 10 ms).
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def _code_flags(func: Any) -> int:
    while isinstance(func, functools.partial):
        func = func.func
    func = getattr(func, "__func__", func)
    return getattr(getattr(func, "__code__", None), "co_flags", 0)


def _drive(body: Any, mode: _Mode) -> Generator[Any, Any, Any]:
    """Run a generator or coroutine with the mode set while its own code runs, and only then."""
    send, value = body.send, None
    while True:
        try:
            with mode:
                yielded = send(value)
        except StopIteration as stop:
            return stop.value
        try:
            send, value = body.send, (yield yielded)
        except GeneratorExit:
            with mode:
                body.close()
            raise
        except BaseException as error:
            send, value = body.throw, error


class _Awaitable:
    """What an ``async def`` awaits to be driven by a plain generator."""

    __slots__ = ("steps",)

    def __init__(self, steps: Generator[Any, Any, Any]) -> None:
        self.steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.steps


def _decorate(func: Any, make: Callable[[], _Mode]) -> Any:
    """Wrap `func` so that its body runs in the mode; each call gets a context of its own."""
    if isinstance(func, type):
        warnings.warn(
            "Decorating classes is deprecated and will be disabled in future versions. You should only decorate "
            "functions or methods. To preserve the current behavior of class decoration, you can directly "
            "decorate the `__init__` method and nothing else.",
            FutureWarning,
            stacklevel=3,
        )
    flags = _code_flags(func)
    if flags & _GENERATOR:

        @functools.wraps(func)
        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from _drive(func(*args, **kwargs), make()))

        return generator
    if flags & _COROUTINE:

        @functools.wraps(func)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return await _Awaitable(_drive(func(*args, **kwargs), make()))

        return coroutine
    if flags & _ASYNC_GENERATOR:

        @functools.wraps(func)
        async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            body, mode = func(*args, **kwargs), make()
            step: Coroutine[Any, Any, Any] = body.asend(None)
            while True:
                try:
                    yielded = await _Awaitable(_drive(step, mode))
                except StopAsyncIteration:
                    return
                try:
                    step = body.asend((yield yielded))
                except GeneratorExit:
                    await _Awaitable(_drive(body.aclose(), mode))
                    raise
                except BaseException as error:
                    step = body.athrow(error)

        return async_generator

    @functools.wraps(func)
    def function(*args: Any, **kwargs: Any) -> Any:
        with make():
            return func(*args, **kwargs)

    return function


class _Mode:
    """A context manager that is a decorator too. One object may be entered again while it is in force."""

    __slots__ = ("_before",)

    _before: list[Any]

    def _switch(self) -> Any:
        """Set the mode and return what `_restore` needs."""
        raise NotImplementedError

    def _restore(self, before: Any) -> None:
        set_grad(before)

    def _copy(self) -> _Mode:
        return type(self)()

    def clone(self) -> Any:
        """Another manager of the same mode."""
        return self._copy()

    def __enter__(self) -> None:
        self._before.append(self._switch())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._restore(self._before.pop())

    def __call__(self, func: _F) -> _F:
        decorated: _F = _decorate(func, self._copy)
        return decorated


class _PlainMode(_Mode):
    """A mode without arguments, of which ``@mode`` and ``@mode()`` are the same."""

    __slots__ = ()

    @overload
    def __new__(cls, func: _F) -> _F: ...  # type: ignore[misc]
    @overload
    def __new__(cls, func: None = None) -> _PlainMode: ...
    def __new__(cls, func: Any = None) -> Any:
        self = super().__new__(cls)
        self._before = []
        return self if func is None else self(func)


class no_grad(_PlainMode):
    """Do not record operations: their results do not require grad, whatever their inputs.

    A context manager and a decorator (of functions, methods, generators and coroutines, with or without
    parentheses). It concerns the current thread only.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0], requires_grad=True)
    >>> with tensorgrad.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    >>> @tensorgrad.no_grad()
    ... def doubler(x):
    ...     return x * 2
    >>> doubler(x).requires_grad
    False
    """

    __slots__ = ()

    def _switch(self) -> Any:
        before = is_grad_enabled()
        set_grad(False)
        return before


class enable_grad(_PlainMode):
    """Record operations again, inside a `no_grad` or after ``set_grad_enabled(False)``.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0], requires_grad=True)
    >>> with tensorgrad.no_grad(), tensorgrad.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    __slots__ = ()

    def _switch(self) -> Any:
        before = is_grad_enabled()
        set_grad(True)
        return before


class set_grad_enabled(_Mode):
    """Switch recording on or off: at once when called, until the end of the block in a ``with`` statement.

    Parameters
    ----------
    mode : bool
        Whether operations are recorded.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0], requires_grad=True)
    >>> with tensorgrad.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    >>> _ = tensorgrad.set_grad_enabled(False)
    >>> tensorgrad.is_grad_enabled()
    False
    >>> _ = tensorgrad.set_grad_enabled(True)
    """

    __slots__ = ("_prior", "mode")

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        self._before = []
        # Called as a function it must take effect now, so what a block restores is noted now.
        self._prior: list[bool] = [is_grad_enabled()]
        self.mode = mode
        set_grad(mode)

    def _switch(self) -> Any:
        before = self._prior.pop() if self._prior else is_grad_enabled()
        set_grad(self.mode)
        return before

    def _copy(self) -> _Mode:
        return type(self)(self.mode)

    def __call__(self, func: _F) -> _F:
        if self._prior:
            set_grad(self._prior.pop())  # a decorator concerns the function's calls only
        mode = self.mode
        decorated: _F = _decorate(func, lambda: _SetGrad(mode))
        return decorated

    def __repr__(self) -> str:
        return f"tensorgrad.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    __str__ = __repr__


class _SetGrad(_Mode):
    """`set_grad_enabled` that waits until it is entered."""

    __slots__ = ("mode",)

    def __init__(self, mode: bool) -> None:
        self._before = []
        self.mode = mode

    def _switch(self) -> Any:
        before = is_grad_enabled()
        set_grad(self.mode)
        return before


class inference_mode(_Mode):
    """Switch off recording, view tracking and version counting, for code that autograd never meets.

    Parameters
    ----------
    mode : bool, default: True
        Whether inference mode is on.

    Notes
    -----
    Tensors made here are inference tensors for good: they cannot be saved for backward, nor written to
    in place outside. Unlike after `no_grad` a ``clone()`` is needed to use them in recorded operations.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.ones(1, 2, 3, requires_grad=True)
    >>> with tensorgrad.inference_mode():
    ...     y = x * x
    >>> y.requires_grad
    False
    >>> y._version
    Traceback (most recent call last):
        ...
    RuntimeError: Inference tensors do not track version counter.
    """

    __slots__ = ("mode",)

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if isinstance(mode, bool):
            return self
        if not callable(mode):
            raise TypeError(f"inference_mode(): argument 'mode' must be bool, not {type(mode).__name__}")
        self.__init__()  # type: ignore[misc]
        return self(mode)

    def __init__(self, mode: bool = True) -> None:
        self._before = []
        self.mode = mode

    def _switch(self) -> Any:
        return set_inference(self.mode)

    def _restore(self, before: Any) -> None:
        restore_inference(before)

    def _copy(self) -> _Mode:
        return type(self)(self.mode)


class _ForwardGrad(_Mode):
    """Propagate tangents, or not."""

    __slots__ = ("mode",)

    def __init__(self, mode: bool) -> None:
        self._before = []
        self.mode = mode

    def _switch(self) -> Any:
        before = is_forward_grad_enabled()
        set_forward_grad(self.mode)
        return before

    def _restore(self, before: Any) -> None:
        set_forward_grad(before)


# The engine's threads --------------------------------------------------------------------------------


class _Threads(local):
    enabled = True


_threads = _Threads()


def is_multithreading_enabled() -> bool:
    """Whether backward may use several threads, by the wish of this thread."""
    return _threads.enabled


class set_multithreading_enabled(_Mode):
    """Allow backward to run on several threads, or not: at once, in a ``with`` statement until the end of the block.

    Parameters
    ----------
    mode : bool

    Notes
    -----
    For PyTorch's signature: tensorgrad's engine runs each backward on the thread that calls it, whatever is set.

    Examples
    --------
    >>> import tensorgrad
    >>> with tensorgrad.autograd.set_multithreading_enabled(False):
    ...     pass
    """

    __slots__ = ("_prior", "mode")

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(
                f"set_multithreading_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        self._before = []
        self._prior: list[bool] = [_threads.enabled]
        self.mode = mode
        _threads.enabled = mode

    def _switch(self) -> Any:
        before = self._prior.pop() if self._prior else _threads.enabled
        _threads.enabled = self.mode
        return before

    def _restore(self, before: Any) -> None:
        _threads.enabled = before

    def _copy(self) -> _Mode:
        return type(self)(self.mode)

    def __call__(self, func: _F) -> _F:
        if self._prior:
            _threads.enabled = self._prior.pop()  # a decorator concerns the function's calls only
        return super().__call__(func)
