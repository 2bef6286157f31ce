"""What happens when a module is called, and the hooks around it."""

from __future__ import annotations

import warnings

from tensorgrad_nn._backward_hooks import BackwardHooks
from tensorgrad_nn.utils.hooks import add_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Callable
    from typing import Any

    from tensorgrad_nn.utils.hooks import RemovableHandle


def _forward_unimplemented(self: Any, *input: Any) -> None:
    """Say that the subclass has to define `forward`."""
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Calling:
    """The part of `Module` that calls `forward` and keeps the hooks."""

    _forward_hooks: OrderedDict[int, Any]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _forward_pre_hooks: OrderedDict[int, Any]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _backward_hooks: OrderedDict[int, Any]
    _backward_pre_hooks: OrderedDict[int, Any]

    forward: Callable[..., Any] = _forward_unimplemented

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the hooks and `forward`."""
        state = self.__dict__  # once: a class with __getattr__ finds its attributes the long way
        try:
            hooked = (
                state["_forward_hooks"] or state["_forward_pre_hooks"]
                or state["_backward_hooks"] or state["_backward_pre_hooks"]
            )  # fmt: skip
        except KeyError as missing:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute {missing}") from None
        if not hooked:
            return self.forward(*args, **kwargs) if kwargs else self.forward(*args)
        if not self._forward_hooks_always_called:
            return self._call_with_hooks(args, kwargs, set())
        called: set[int] = set()
        try:
            return self._call_with_hooks(args, kwargs, called)
        except Exception:
            self._call_remaining(args, kwargs, called)
            raise

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> Any:
        """Call between the hooks; `called` collects the ids of the always-called hooks that have run."""
        for hook_id, hook in list(self._forward_pre_hooks.items()):
            if hook_id in self._forward_pre_hooks_with_kwargs:
                answer = hook(self, args, kwargs)
                if answer is not None:
                    if not (isinstance(answer, tuple) and len(answer) == 2):
                        raise RuntimeError(
                            f"forward pre-hook must return None or a tuple of "
                            f"(new_args, new_kwargs), but got {answer}."
                        )
                    args, kwargs = answer
            else:
                answer = hook(self, args)
                if answer is not None:
                    args = answer if isinstance(answer, tuple) else (answer,)

        backward = None
        if self._backward_hooks or self._backward_pre_hooks:
            backward = BackwardHooks(self, self._backward_pre_hooks.values(), self._backward_hooks.values())
            args = backward.watch_inputs(args)

        result = self.forward(*args, **kwargs)

        for hook_id, hook in list(self._forward_hooks.items()):
            if hook_id in self._forward_hooks_always_called:
                called.add(hook_id)
            answer = self._call_forward_hook(hook_id, hook, args, kwargs, result)
            if answer is not None:
                result = answer
        return result if backward is None else backward.watch_outputs(result)

    def _call_forward_hook(self, hook_id: int, hook: Any, args: Any, kwargs: Any, result: Any) -> Any:
        if hook_id in self._forward_hooks_with_kwargs:
            return hook(self, args, kwargs, result)
        return hook(self, args, result)

    def _call_remaining(self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> None:
        """After an error, run the always-called hooks that it kept from running."""
        for hook_id, hook in list(self._forward_hooks.items()):
            if hook_id in self._forward_hooks_always_called and hook_id not in called:
                try:
                    self._call_forward_hook(hook_id, hook, args, kwargs, None)
                except Exception as error:
                    # The error that is under way is the one worth reporting.
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that "
                        "was silenced as "
                        f"another error was raised in forward: {error}",
                        stacklevel=3,
                    )

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before every `forward`.

        Parameters
        ----------
        hook : callable
            May return new arguments: a tuple, or a single value. With
            `with_kwargs` it is called as `hook(module, args, kwargs)` and may
            return `(new_args, new_kwargs)`.
        prepend : bool, default False
            Run before the hooks that are there already.
        with_kwargs : bool, default False
            Pass the keyword arguments to the hook too.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook away.

        Raises
        ------
        RuntimeError
            When called, if a `with_kwargs` hook returns anything but None or a pair.
        """
        marks = (self._forward_pre_hooks_with_kwargs,) if with_kwargs else ()
        return add_hook(self._forward_pre_hooks, hook, prepend=prepend, marks=marks)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after every `forward`.

        Parameters
        ----------
        hook : callable
            May return a value that replaces the output. With `with_kwargs` it
            is called as `hook(module, args, kwargs, output)`.
        prepend : bool, default False
            Run before the hooks that are there already.
        with_kwargs : bool, default False
            Pass the keyword arguments to the hook too.
        always_call : bool, default False
            Run the hook also when `forward` or another hook raised; its output is None then.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook away.

        Examples
        --------
        >>> import tensorgrad, tensorgrad_nn as nn
        >>> layer = nn.ReLU()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output * 2)
        >>> layer(tensorgrad.ones(2))
        tensor([2., 2.])
        """
        marks = []
        if with_kwargs:
            marks.append(self._forward_hooks_with_kwargs)
        if always_call:
            marks.append(self._forward_hooks_always_called)
        return add_hook(self._forward_hooks, hook, prepend=prepend, marks=tuple(marks))

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are computed.

        Parameters
        ----------
        hook : callable
            `grad_input` has one entry per positional argument, None for what
            is not a tensor. May return a tuple that replaces it.
        prepend : bool, default False
            Run before the hooks that are there already.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook away.

        Raises
        ------
        RuntimeError
            In the backward pass, if the hook returns the wrong number of gradients.

        Notes
        -----
        When no input requires a gradient, the hook runs when the gradients of
        the outputs are known, and `grad_input` holds None only.

        Examples
        --------
        >>> import tensorgrad, tensorgrad_nn as nn
        >>> layer = nn.ReLU()
        >>> handle = layer.register_full_backward_hook(lambda module, grad_in, grad_out: print(grad_out))
        >>> layer(tensorgrad.ones(2, requires_grad=True)).sum().backward()
        (tensor([1., 1.]),)
        """
        return add_hook(self._backward_hooks, hook, prepend=prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are computed.

        Parameters
        ----------
        hook : callable
            May return a tuple, or for a single output a tensor, that replaces `grad_output`.
        prepend : bool, default False
            Run before the hooks that are there already.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook away.

        Raises
        ------
        RuntimeError
            In the backward pass, if the hook returns the wrong number of gradients.
        """
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)
