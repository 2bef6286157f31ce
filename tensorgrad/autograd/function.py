"""Functions of one's own: forward in any code, backward (or vjp) and jvp by hand."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tensorgrad._core.function import FunctionNode, apply_function
from tensorgrad._core.grad_mode import (
    current_level,
    enter_below,
    is_grad_enabled,
    leave_below,
    transform_depth,
)
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.transforms import unwrap_value, wrap_value
from tensorgrad.autograd._batched_function import VMAP, batched_function, wrap_outputs
from tensorgrad.autograd.grad_mode import no_grad

__all__ = ["Function", "FunctionCtx", "once_differentiable"]

FunctionCtx = FunctionNode


class VmapInfo(NamedTuple):
    """What the ``vmap`` staticmethod of a Function is told.

    Attributes
    ----------
    batch_size : int
    randomness : str
        "error", "different" or "same".
    """

    batch_size: int
    randomness: str


class Function:
    """Base class of functions with derivatives written by hand.

    A subclass has static methods: ``forward(ctx, *args)`` and ``backward(ctx, *grad_outputs)``, or
    ``forward(*args)`` and ``setup_context(ctx, inputs, output)``, which transforms (`tensorgrad.func`)
    need; ``jvp(ctx, *tangents)`` for forward mode; ``vmap(info, in_dims, *args)`` or
    ``generate_vmap_rule = True`` for vmap. It is called through `apply`.

    Notes
    -----
    ``ctx`` is the node that stays in the graph: tensors are kept with ``ctx.save_for_backward``, anything
    else as its attribute.

    Examples
    --------
    >>> import tensorgrad
    >>> class Exp(tensorgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         result = x.exp()
    ...         ctx.save_for_backward(result)
    ...         return result
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (result,) = ctx.saved_tensors
    ...         return grad_output * result
    >>> x = tensorgrad.tensor([0.0, 1.0], requires_grad=True)
    >>> y = Exp.apply(x)
    >>> y
    tensor([1.0000, 2.7183], grad_fn=<ExpBackward>)
    >>> y.sum().backward()
    >>> x.grad
    tensor([1.0000, 2.7183])
    """

    generate_vmap_rule: bool = False
    _backward_cls: type[FunctionNode] = FunctionNode

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        namespace = {"__slots__": (), "__module__": "tensorgrad.autograd.function", "_forward_cls": cls}
        cls._backward_cls = type(f"{cls.__name__}Backward", (FunctionNode,), namespace)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you "
            "should invoke them on the class itself. Instantiating an autograd function will raise an error "
            "in a future version.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            f"function with static forward method: call {type(self).__name__}.apply(...) on the class."
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from ``(ctx, *args)``, or from ``args`` where there is a `setup_context`."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep in `ctx` what the derivatives need."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Give the gradient of each argument of forward (None where there is none) from those of its outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it "
            "with backward mode AD."
        )

    # One function under two names; a subclass overrides either of them.
    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Give the tangent of each output from those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """Compute a batch: return the outputs and the dimension of the batch in each, None where there is none."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record this call.

        Parameters
        ----------
        *args
            Handed on to forward; backward returns a gradient for each.
        **kwargs
            Handed on to forward too, as constants: tensors among them get no gradient. Where there is a
            `setup_context`, they take their places among `args` instead.

        Raises
        ------
        RuntimeError
            Under a transform, if there is no `setup_context`.
        """
        depth = transform_depth()
        if cls.setup_context is Function.setup_context:
            if depth:
                raise RuntimeError(
                    "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, "
                    f"...), it must override the setup_context staticmethod ({cls.__name__} does not)."
                )
            forward = functools.partial(cls.forward, **kwargs) if kwargs else cls.forward
            return apply_function(cls, cls._backward_cls, args, forward, None)
        return _apply_at(cls, _bind(cls.forward, args, kwargs), depth)

    @classmethod
    def _pullback(cls, ctx: Any, *grads: Any) -> Any:
        """What the engine calls."""
        backward, vjp = cls.backward, cls.vjp
        if vjp is Function.vjp:
            return backward(ctx, *grads)
        if backward is not Function.backward:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                f"implement one of them. ({cls.__name__})"
            )
        return vjp(ctx, *grads)

    @classmethod
    def _pushforward(cls, ctx: Any, *tangents: Any) -> Any:
        return cls.jvp(ctx, *tangents)


def _bind(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of forward by position, defaults included."""
    code = getattr(forward, "__code__", None)
    if code is None or (not kwargs and len(args) >= code.co_argcount):
        if kwargs:
            raise TypeError(f"{forward!r} takes no keyword arguments")
        return args
    names = code.co_varnames[: code.co_argcount]
    defaults = dict(zip(reversed(names), reversed(forward.__defaults__ or ()), strict=False))
    values, given = list(args), dict(kwargs)
    for name in names[len(args) :]:
        if name in given:
            values.append(given.pop(name))
        elif name in defaults:
            values.append(defaults[name])
        else:
            raise TypeError(f"missing a required argument: '{name}'")
    if given:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(given))}'")
    return tuple(values)


# Transforms ----------------------------------------------------------------------------------------


def _apply_at(cls: type[Function], args: tuple[Any, ...], depth: int) -> Any:
    """Apply `cls` at the level of transforms in force, the innermost of which is `depth`."""
    if not depth:
        return apply_function(cls, cls._backward_cls, args, cls.forward, cls.setup_context)
    level = current_level()
    if level.kind == VMAP:
        return _apply_batched(cls, args, level)
    return apply_function(cls, cls._backward_cls, args, _one_level_down(cls, level), cls.setup_context)


def _one_level_down(cls: type[Function], level: Any) -> Callable[..., Any]:
    """The forward of `cls` on tensors of a grad or jvp level: `cls` applied to the values that they wrap."""

    def forward(*args: Any) -> Any:
        values = tuple(unwrap_value(x, level.number)[0] for x in args)
        before = enter_below(level)
        try:
            result = _apply_at(cls, values, level.number - 1)
        finally:
            leave_below(before)
        # An input that was written in place comes back as the very tensor that was given.
        known = {id(value): x for value, x in zip(values, args, strict=True) if isinstance(x, Tensor)}

        def wrapped(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            return known[id(x)] if id(x) in known else wrap_value(x, level.number)

        return tuple(map(wrapped, result)) if isinstance(result, tuple) else wrapped(result)

    return forward


def _apply_batched(cls: type[Function], args: tuple[Any, ...], level: Any) -> Any:
    """Apply `cls` under a vmap, by the rule that it has or by one made from its own methods."""
    pairs = [unwrap_value(x, level.number) for x in args]
    values, in_dims = tuple(value for value, _ in pairs), tuple(dim for _, dim in pairs)
    has_rule = cls.vmap is not Function.vmap
    if cls.generate_vmap_rule and has_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overridden "
            "vmap staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod "
            "to avoid ambiguity."
        )
    if not cls.generate_vmap_rule and not has_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and "
            "implement the vmap staticmethod or set generate_vmap_rule=True."
        )
    before = enter_below(level)
    try:
        if all(dim is None for dim in in_dims):
            return _apply_at(cls, args, level.number - 1)
        if cls.generate_vmap_rule:
            batched, out_dims = batched_function(Function, cls, level, in_dims)
            result = _apply_at(batched, values, level.number - 1)
            return wrap_outputs(result, out_dims(), level.number, args)
        result = cls.vmap(VmapInfo(level.batch_size, level.randomness), in_dims, *values)
    finally:
        leave_below(before)
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure "
            f"compatible with the output. Got a {type(result)} instead"
        )
    return wrap_outputs(result[0], result[1], level.number, args)


# once_differentiable -------------------------------------------------------------------------------


class _Refusal(Function):
    """The history of gradients that cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, name: str, *grads: Any) -> Any:
        ctx.name_of_function = name
        return tuple(grad.detach() for grad in grads)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable "
            f"({ctx.name_of_function})"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward that is not made of differentiable operations: differentiating it is an error.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.autograd.function import once_differentiable
    >>> class Double(tensorgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> x = tensorgrad.tensor(1.0, requires_grad=True)
    >>> tensorgrad.autograd.grad(Double.apply(x), x)
    (tensor(2.),)
    """

    @functools.wraps(backward)
    def once(ctx: Any, *args: Any) -> Any:
        with no_grad():
            outputs = backward(ctx, *args)
        if not is_grad_enabled() or not any(isinstance(x, Tensor) and x.requires_grad for x in args):
            return outputs
        items: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
        fakes = [x.detach().requires_grad_() for x in items if x is not None]
        refused = iter(_Refusal.apply(ctx.name(), *fakes))
        guarded = tuple(None if x is None else next(refused) for x in items)
        return guarded if isinstance(outputs, tuple) else guarded[0]

    return once
