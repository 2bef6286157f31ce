"""The vmap of a Function that has no rule of its own: its methods, each run under a vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad._core.grad_mode import pop_level, push_level
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.transforms import unwrap_value, wrap_value

GRAD, JVP, VMAP = range(3)

Dims = Sequence["int | None"]


def wrap_outputs(result: Any, dims: Any, level: int, args: Sequence[Any]) -> Any:
    """The outputs of a batched computation as tensors of the vmap `level`; an argument comes back as itself."""
    known = {id(unwrap_value(x, level)[0]): x for x in args if isinstance(x, Tensor)}

    def wrapped(x: Any, dim: int | None) -> Any:
        if id(x) in known:
            return known[id(x)]
        if dim is None or not isinstance(x, Tensor):
            return x
        return wrap_value(x, level, dim % x.ndim)

    if not isinstance(result, tuple):
        return wrapped(result, dims)
    if dims is None or isinstance(dims, int):
        dims = (dims,) * len(result)
    return tuple(wrapped(x, dim) for x, dim in zip(result, dims, strict=True))


def _wrapped(values: Sequence[Any], dims: Dims, level: int) -> tuple[Any, ...]:
    return tuple(
        x if dim is None or not isinstance(x, Tensor) else wrap_value(x, level, dim)
        for x, dim in zip(values, dims, strict=True)
    )


def _unwrapped(values: Sequence[Any], level: int) -> tuple[tuple[Any, ...], tuple[int | None, ...]]:
    pairs = [unwrap_value(x, level) for x in values]
    return tuple(value for value, _ in pairs), tuple(dim for _, dim in pairs)


class _BatchedContext:
    """A ctx as seen from inside the vmap: what it saves is unwrapped, what was saved is wrapped again."""

    def __init__(self, ctx: Any, level: int, dims: Any) -> None:
        object.__setattr__(self, "_ctx", ctx)
        object.__setattr__(self, "_level", level)
        object.__setattr__(self, "_dims", dims)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._ctx, name, value)

    def save_for_backward(self, *tensors: Any) -> None:
        values, self._dims["backward"] = _unwrapped(tensors, self._level)
        self._ctx.save_for_backward(*values)

    def save_for_forward(self, *tensors: Any) -> None:
        values, self._dims["forward"] = _unwrapped(tensors, self._level)
        self._ctx.save_for_forward(*values)

    def mark_dirty(self, *tensors: Any) -> None:
        self._ctx.mark_dirty(*_unwrapped(tensors, self._level)[0])

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self._ctx.mark_non_differentiable(*_unwrapped(tensors, self._level)[0])

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        saved = self._ctx.saved_tensors
        dims = self._dims["forward" if self._dims.get("in_jvp") and "forward" in self._dims else "backward"]
        return _wrapped(saved, dims, self._level)


def batched_function(base: type, cls: Any, level: Any, in_dims: Dims) -> tuple[Any, Callable[[], Dims | int | None]]:
    """A Function of whole batches, and where the batches are in its outputs once it has been applied.

    Parameters
    ----------
    base : type
        `Function`.
    cls : type
        The Function of single elements.
    level : Level
        The vmap.
    in_dims : sequence of int or None
        The batch dimension of each argument.
    """
    size, randomness = level.batch_size, level.randomness
    noted: dict[str, Any] = {}
    single: list[bool] = []

    def inside(function: Callable[..., Any], *args: Any) -> Any:
        number = push_level(VMAP, size, randomness).number
        try:
            return function(number, *args)
        finally:
            pop_level()

    def as_tuple(value: Any) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value,)

    def batched(x: Any, number: int, like_dim: int | None) -> Any:
        """A gradient or tangent whose batch, if any, is where that of its tensor is (`like_dim`)."""
        value, at = unwrap_value(x, number)
        if not isinstance(value, Tensor):
            return value
        if at is None:
            return value if like_dim is None else value.unsqueeze(0).expand(size, *value.shape).movedim(0, like_dim)
        return value.sum(at) if like_dim is None else value.movedim(at, like_dim)

    class Batched(base):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(*values: Any) -> Any:
            def run(number: int) -> Any:
                result = cls.forward(*_wrapped(values, in_dims, number))
                single[:] = [not isinstance(result, tuple)]
                outputs, noted["out"] = _unwrapped(as_tuple(result), number)
                return outputs[0] if single[0] else outputs

            return inside(run)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            def run(number: int) -> None:
                outputs = _wrapped(as_tuple(output), noted["out"], number)
                context = _BatchedContext(ctx, number, noted)
                given = _wrapped(inputs, in_dims, number)
                cls.setup_context(context, given, outputs[0] if single[0] else outputs)

            inside(run)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            def run(number: int) -> Any:
                context = _BatchedContext(ctx, number, noted)
                result = as_tuple(cls._pullback(context, *_wrapped(grads, noted["out"], number)))
                dims = (*in_dims, *(None,) * (len(result) - len(in_dims)))
                return tuple(batched(g, number, dim) for g, dim in zip(result, dims, strict=False))

            return inside(run)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            def run(number: int) -> Any:
                context = _BatchedContext(ctx, number, {**noted, "in_jvp": True})
                result = as_tuple(cls.jvp(context, *_wrapped(tangents, in_dims, number)))
                found = tuple(batched(t, number, dim) for t, dim in zip(result, noted["out"], strict=True))
                return found[0] if single[0] else found

            return inside(run)

    Batched.__name__ = Batched.__qualname__ = f"Vmapped{cls.__name__}"
    Batched._backward_cls.__name__ = f"Vmapped{cls.__name__}Backward"

    def out_dims() -> Dims | int | None:
        dims: tuple[int | None, ...] = noted["out"]
        return dims[0] if single[0] else dims

    return Batched, out_dims
