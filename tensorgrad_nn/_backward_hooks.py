"""The two boundaries that let a module's hooks see the gradients passing through it."""

from __future__ import annotations

import warnings

import tensorgrad
from tensorgrad import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class BackwardHookFunction(tensorgrad.autograd.Function):
    """Identity, whose backward pass hands its gradients to a callback and returns what that answers."""

    @staticmethod
    def forward(ctx: Any, callback: Any, materialize: bool, *tensors: Tensor) -> Any:
        ctx.callback = callback
        ctx.set_materialize_grads(materialize)
        # Views, because an output that is the very input would be taken for a modified input.
        outputs = tuple([tensor.view_as(tensor) for tensor in tensors])
        needed = ctx.needs_input_grad[2:]
        ctx.mark_non_differentiable(*[output for output, need in zip(outputs, needed) if not need])
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return (None, None, *ctx.callback(grads))


class BackwardHooks:
    """The backward hooks of one call of a module.

    `watch_inputs` and `watch_outputs` put an identity around the call. Going
    backward, the one at the outputs runs the pre-hooks and remembers the
    gradients, the one at the inputs runs the hooks.
    """

    def __init__(
        self, module: Any, pre_hooks: Iterable[Callable[..., Any]], hooks: Iterable[Callable[..., Any]]
    ) -> None:
        self.module = module
        self.pre_hooks = list(pre_hooks)
        self.hooks = list(hooks)
        self.grad_outputs: tuple[Any, ...] = ()
        self.n_inputs = 0
        self.inputs_watched = False

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return `args` with every tensor led through the boundary."""
        self.n_inputs = len(args)
        watched, self.input_places = _lead_through(self._at_inputs, True, args)
        self.inputs_watched = bool(self.input_places)
        return watched

    def watch_outputs(self, result: Any) -> Any:
        """Return `result`, a tensor or a tuple, with every tensor led through the boundary."""
        outputs = result if isinstance(result, tuple) else (result,)
        if not isinstance(result, (tuple, Tensor)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                f"but received {type(result)}",
                stacklevel=4,
            )
            return result
        self.n_outputs = len(outputs)
        watched, self.output_places = _lead_through(self._at_outputs, False, outputs)
        return watched if isinstance(result, tuple) else watched[0]

    def _at_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        self.grad_outputs = _spread(grads, self.output_places, self.n_outputs)
        for hook in self.pre_hooks:
            answer = hook(self.module, self.grad_outputs)
            if answer is not None:
                self.grad_outputs = _checked(answer, self.n_outputs, "Backward pre hook", "grad_output")
        if not self.inputs_watched and self.hooks:
            self._without_inputs()
        return tuple([self.grad_outputs[place] for place in self.output_places])

    def _without_inputs(self) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs "
            "since no inputs require gradients.",
            stacklevel=5,
        )
        nothing = (None,) * self.n_inputs
        for hook in self.hooks:
            answer = hook(self.module, nothing, self.grad_outputs)
            if answer is not None and any(one is not None for one in answer):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or "
                    "None for all gradients."
                )

    def _at_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        grad_inputs = _spread(grads, self.input_places, self.n_inputs)
        for hook in self.hooks:
            answer = hook(self.module, grad_inputs, self.grad_outputs)
            if answer is not None:
                grad_inputs = _checked(answer, self.n_inputs, "Backward hook", "grad_input")
        return tuple([grad_inputs[place] for place in self.input_places])


def _lead_through(
    callback: Any, materialize: bool, values: tuple[Any, ...]
) -> tuple[tuple[Any, ...], list[int]]:
    """Lead the tensors among `values` through the boundary.

    Also return their places; none, if no gradient flows.
    """
    places = [place for place, value in enumerate(values) if isinstance(value, Tensor)]
    if not (tensorgrad.is_grad_enabled() and any(values[place].requires_grad for place in places)):
        return values, []
    watched = list(values)
    new = BackwardHookFunction.apply(callback, materialize, *[values[place] for place in places])
    for place, tensor in zip(places, new):
        watched[place] = tensor
    # A named tuple keeps its type.
    remake = getattr(type(values), "_make", tuple)
    return remake(watched), places


def _spread(grads: tuple[Any, ...], places: list[int], length: int) -> tuple[Any, ...]:
    full: list[Any] = [None] * length
    for place, grad in zip(places, grads):
        full[place] = grad
    return tuple(full)


def _checked(answer: Any, expected: int, who: str, what: str) -> tuple[Any, ...]:
    if isinstance(answer, Tensor):
        answer = (answer,)
    if len(answer) != expected:
        raise RuntimeError(
            f"{who} returned an invalid number of {what}, got {len(answer)}, but expected {expected}"
        )
    return tuple(answer)
