"""The recorded graph: its nodes and edges, and hooks on what it saves and computes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from tensorgrad._core.backward import gradient_edge_of
from tensorgrad._core.engine import current_run, will_execute
from tensorgrad._core.grad_mode import pop_saved_hooks, push_saved_hooks
from tensorgrad._core.graph import Node, SavedTensor
from tensorgrad._core.hooks import RemovableHandle
from tensorgrad._core.locks import Lock, local
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.transforms import set_write_observer
from tensorgrad._core.view import increment_version as _increment_version

__all__ = [
    "GradientEdge",
    "Node",
    "SavedTensor",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
    "to_dot",
    "to_svg",
]

if TYPE_CHECKING:
    from tensorgrad.autograd._graph_picture import to_dot, to_svg
else:

    def __getattr__(name: str) -> Any:
        """The drawing of pictures is imported with the first one."""
        if name not in ("to_dot", "to_svg"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from tensorgrad.autograd import _graph_picture

        return getattr(_graph_picture, name)


class GradientEdge(NamedTuple):
    """Where a gradient goes: what `tensorgrad.autograd.grad` and `backward` take in place of a tensor.

    Attributes
    ----------
    node : Node
    output_nr : int
        Which output of the node.
    ownership_token : object, optional
        Something to be kept alive with the edge.
    """

    node: Node
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge that the gradient of `tensor` takes.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> edge = tensorgrad.autograd.graph.get_gradient_edge(x * 3)
    >>> tensorgrad.autograd.grad(edge, x, tensorgrad.ones(2))
    (tensor([3., 3.]),)
    """
    node, output_nr = gradient_edge_of(tensor)
    if node is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(node, output_nr)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a write to `tensor` that tensorgrad did not see, so that backward notices it."""
    tensors = (tensor,) if isinstance(tensor, Tensor) else tensor
    if not isinstance(tensors, Iterable):
        raise RuntimeError("increment_version expect a Iterable[Tensor] as input")
    for x in tensors:
        if not isinstance(x, Tensor):
            raise RuntimeError(
                "increment_version expects each element of the iterable to be a tensor, got "
                f"{type(x).__name__}"
            )
        if not x.is_inference():  # which count nothing
            _increment_version(x)


# Saved tensors -------------------------------------------------------------------------------------


class _SavedHooks(local):
    """Of this thread: how many pairs of hooks are in force, and why none may be."""

    active = 0
    refusals: tuple[str, ...] = ()


_saved_hooks = _SavedHooks()


class saved_tensors_hooks:
    """The block in which tensors saved for backward go through two functions.

    Parameters
    ----------
    pack_hook : callable
        ``pack_hook(tensor)`` is called when a tensor is saved, and its result is kept instead.
    unpack_hook : callable
        ``unpack_hook(packed)`` is called when backward needs the tensor, and returns it.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.autograd.graph import saved_tensors_hooks
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> with saved_tensors_hooks(lambda x: x.detach().numpy(), tensorgrad.from_numpy):
    ...     y = x * x
    >>> y.sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("pack_hook", "unpack_hook")

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if _saved_hooks.refusals:
            raise RuntimeError(_saved_hooks.refusals[-1])
        push_saved_hooks(self.pack_hook, self.unpack_hook)
        _saved_hooks.active += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _saved_hooks.active -= 1
        pop_saved_hooks()


class save_on_cpu(saved_tensors_hooks):
    """The block in which what is saved for backward is kept on the CPU and returns to its device when needed.

    Parameters
    ----------
    pin_memory : bool, default: False
        For PyTorch's signature; tensorgrad has no pinned memory.
    device_type : str, default: "cuda"
        For PyTorch's signature.
    """

    __slots__ = ()

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(tensor: Tensor) -> tuple[Any, Tensor]:
            kept = tensor.detach()
            # A copy in any case: a later write to the tensor must not reach what was saved.
            return tensor.device, kept.clone() if kept.is_cpu else kept.to("cpu")

        def unpack(packed: tuple[Any, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device)

        super().__init__(pack, unpack)


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """The block in which `saved_tensors_hooks` raises ``RuntimeError(error_message)``."""
    if _saved_hooks.active:
        raise RuntimeError(error_message)
    before = _saved_hooks.refusals
    _saved_hooks.refusals = (*before, error_message)
    try:
        yield
    finally:
        _saved_hooks.refusals = before


# Writing to what was saved ----------------------------------------------------------------------------


class _SavedValue:
    """A tensor as it was when it was saved: itself, or its clone from before the first write to its memory."""

    __slots__ = ("__weakref__", "cloned", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor
        self.cloned = False


class _Mutations:
    """The saved tensors of one `allow_mutation_on_saved_tensors` block, by the memory in which they lie."""

    def __init__(self) -> None:
        self.values: weakref.WeakKeyDictionary[Any, weakref.WeakSet[_SavedValue]] = weakref.WeakKeyDictionary()
        self.closed = False

    @property
    def cloned(self) -> list[_SavedValue]:
        return [value for values in self.values.values() for value in values if value.cloned]

    @property
    def original(self) -> list[_SavedValue]:
        return [value for values in self.values.values() for value in values if not value.cloned]

    def pack(self, tensor: Tensor) -> _SavedValue:
        known = self.values.setdefault(tensor.untyped_storage(), weakref.WeakSet())
        for value in known:
            if value.tensor is tensor and not value.cloned:
                return value
        value = _SavedValue(tensor)
        known.add(value)
        return value

    def unpack(self, value: _SavedValue) -> Tensor:
        if self.closed or value.tensor is None:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was "
                "originally recorded."
            )
        return value.tensor

    def before_write(self, tensor: Tensor) -> None:
        """Keep the values of all that was saved from the memory that is about to be written."""
        values = self.values.get(tensor.untyped_storage())
        if not values:
            return
        for value in list(values):
            if not value.cloned and value.tensor is not None:
                value.tensor = value.tensor.detach().clone()
                value.cloned = True

    def clear(self) -> None:
        self.closed = True
        for values in self.values.values():
            for value in values:
                value.tensor = None
        self.values.clear()


class _AllowingMutation(local):
    active = False


_allowing_mutation = _AllowingMutation()


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Mutations]:
    """The block in which tensors saved for backward may be written: they are cloned before the first write.

    Forward and backward both run in the block. Nothing is cloned that is not written, nor what backward has
    used already.

    Examples
    --------
    >>> import tensorgrad
    >>> a = tensorgrad.ones(2, requires_grad=True)
    >>> with tensorgrad.autograd.graph.allow_mutation_on_saved_tensors():
    ...     b = a.clone()
    ...     out = (b**2).sum()
    ...     _ = b.sin_()
    ...     out.backward()
    >>> a.grad
    tensor([2., 2.])
    """
    if _allowing_mutation.active:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    context = _Mutations()
    observer = context.before_write
    with saved_tensors_hooks(context.pack, context.unpack):
        _allowing_mutation.active = True
        set_write_observer(observer)
        try:
            yield context
        finally:
            set_write_observer(None)
            _allowing_mutation.active = False
            context.clear()


# Hooks on several gradients -------------------------------------------------------------------------


class _MultiHandle(RemovableHandle):
    """Takes out one hook for each of several tensors."""

    __slots__ = ("_handles",)

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> RemovableHandle:
    """Call a function when the gradients of several tensors have been computed.

    Parameters
    ----------
    tensors : sequence of Tensor
        All require grad; with "any" others are left out.
    fn : callable
        With "all": ``fn(gradients)``, once for each backward that reaches any of the tensors and when all
        that it reaches are done, with None for the others. With "any": ``fn(gradient)``, with the first one.
    mode : {"all", "any"}

    Returns
    -------
    RemovableHandle

    Examples
    --------
    >>> import tensorgrad
    >>> a = tensorgrad.tensor(2.0, requires_grad=True)
    >>> b = tensorgrad.tensor(3.0, requires_grad=True)
    >>> handle = tensorgrad.autograd.graph.register_multi_grad_hook([a, b], print)
    >>> (a * b).backward()
    [tensor(3.), tensor(2.)]
    >>> handle.remove()
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    for i, x in enumerate(tensors):
        if mode == "all" and not x.requires_grad:
            raise AssertionError(f"Expected gradient function to be set (tensor {i} does not require grad)")
    lock = Lock()
    if mode == "any":
        seen: set[int] = set()

        def first(grad: Tensor) -> None:
            run = current_run()
            with lock:
                if run in seen:
                    return
                seen.clear()
                seen.add(run)
            fn(grad)

        return _MultiHandle([x.register_hook(first) for x in tensors if x.requires_grad])

    nodes = [gradient_edge_of(x)[0] for x in tensors]
    # For each run: the gradients so far, and how many are still to come.
    pending: dict[int, tuple[list[Tensor | None], list[int]]] = {}

    def collect(i: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            run = current_run()
            with lock:
                if run not in pending:
                    expected = sum(map(will_execute, nodes))
                    pending[run] = ([None] * len(nodes), [expected])
                grads, left = pending[run]
                grads[i] = grad
                left[0] -= 1
                done = left[0] == 0
                if done:
                    del pending[run]
            if done:
                fn(grads)

        return hook

    return _MultiHandle([x.register_hook(collect(i)) for i, x in enumerate(tensors)])
