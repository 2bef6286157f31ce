"""Checkpointing: compute a part of a model again in backward instead of keeping what it saved.

A region without re-entrance keeps its arguments alone. What its operations save goes through hooks
(`tensorgrad.autograd.graph.saved_tensors_hooks`) that keep an empty holder for each tensor; the first
holder that backward wants to see filled makes the region run again, which fills them all. Holders are
matched by their order, so the region must do the same each time: its random numbers are drawn from the
same state, and shapes, dtypes and devices are compared.

The re-entrant variant is one `Function` for the whole region, which calls backward in its backward.

References
----------
Chen, Xu, Zhang and Guestrin (2016), Training Deep Nets with Sublinear Memory Cost.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, NoReturn

from tensorgrad._core.engine import current_run, runs_whole_graph
from tensorgrad._core.graph import SavedTensor, save_tensor
from tensorgrad._core.locks import RLock, local
from tensorgrad._core.tensor import Tensor
from tensorgrad.autograd._backward import backward
from tensorgrad.autograd.function import Function
from tensorgrad.autograd.grad_mode import enable_grad, is_grad_enabled, no_grad
from tensorgrad.autograd.graph import saved_tensors_hooks
from tensorgrad.random import fork_rng, get_rng_state, set_rng_state

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


class CheckpointError(RuntimeError):
    """The region did not do in backward what it did in forward."""


class _Settings(local):
    """What the context managers below have set in this thread; None leaves the choice to each checkpoint."""

    early_stop: bool | None = None
    debug: bool | None = None


_settings = _Settings()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """The block whose checkpoints stop computing again as soon as backward has what it needs, or do not.

    Parameters
    ----------
    enable : bool
        Holds for the checkpoints whose forward runs in the block, wherever their backward runs.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.utils.checkpoint import checkpoint, set_checkpoint_early_stop
    >>> x = tensorgrad.tensor(2.0, requires_grad=True)
    >>> with set_checkpoint_early_stop(False):
    ...     y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False)
    >>> y.backward()
    """
    before = _settings.early_stop
    _settings.early_stop = enable
    try:
        yield
    finally:
        _settings.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """The block whose checkpoints say what was saved where when a recomputation differs; None: as each asks for."""
    before = _settings.debug
    _settings.debug = enabled
    try:
        yield
    finally:
        _settings.debug = before


def noop_context_fn() -> Contexts:
    """Nothing around forward, nothing around the recomputation."""
    return nullcontext(), nullcontext()


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tensors of a tuple detached, each as a leaf that requires grad if it did before; other values as they are."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")

    def detached(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        leaf = x.detach()
        leaf.requires_grad = x.requires_grad
        return leaf

    return tuple(map(detached, inputs))


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn when no tensor among `inputs` requires grad."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


# The re-entrant variant ----------------------------------------------------------------------------


class CheckpointFunction(Function):
    """A region as one operation: forward does not record, backward records it anew and goes back through that."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.preserve_rng_state = preserve_rng_state
        if preserve_rng_state:
            ctx.random_state = get_rng_state()
        ctx.others = [None if isinstance(x, Tensor) else x for x in args]
        ctx.positions = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.save_for_backward(*(args[i] for i in ctx.positions))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if not runs_whole_graph():
            raise RuntimeError(
                "When use_reentrant=True, tensorgrad.utils.checkpoint is incompatible with .grad() or passing an "
                "`inputs` parameter to .backward(). To resolve this error, you can either set "
                "use_reentrant=False, or call .backward() without passing the `inputs` argument."
            )
        args = list(ctx.others)
        for i, x in zip(ctx.positions, ctx.saved_tensors, strict=True):
            args[i] = x
        leaves = detach_variable(tuple(args))
        with fork_rng(enabled=ctx.preserve_rng_state):
            if ctx.preserve_rng_state:
                set_rng_state(ctx.random_state)
            with enable_grad():
                outputs = ctx.run_function(*leaves)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (out, grad)
            for out, grad in zip(outputs, grads, strict=True)
            if isinstance(out, Tensor) and out.requires_grad
        ]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([out for out, _ in pairs], [grad for _, grad in pairs])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in leaves))


# The variant without re-entrance -------------------------------------------------------------------


def _metadata(x: Tensor) -> dict[str, Any]:
    return {"shape": x.shape, "dtype": x.dtype, "device": x.device}


_determinism_checks: dict[str, Callable[[Tensor], Any]] = {"default": _metadata, "none": lambda x: None}

_tip = (
    "\nTip: To see a more detailed error message, either pass `debug=True` to "
    "`tensorgrad.utils.checkpoint.checkpoint(...)` or wrap the code block with `with "
    "tensorgrad.utils.checkpoint.set_checkpoint_debug_enabled(True):`."
)


# A graph that is kept may be run any number of times; a frame remembers the last few runs only.
_MOST_RUNS = 64


class _StopRecomputationError(Exception):
    """All that the region saved is there again."""


class _Holder:
    """Stands in the graph for a tensor that was not kept."""

    __slots__ = ("__weakref__", "found")

    def __init__(self) -> None:
        # For each backward run that has computed the region again: the tensor, or None once it was taken.
        self.found: dict[int, Tensor | None] = {}


class _Frame:
    """One call of a checkpointed region: how to run it again, and the holders of what it saved."""

    def __init__(
        self, rerun: Callable[..., None], args: Sequence[Any], early_stop: bool, describe: Callable[[Tensor], Any]
    ) -> None:
        self.rerun = rerun
        # Saved as an operation would save them: for an enclosing checkpoint they are tensors to compute again.
        self.args = [save_tensor(x) if isinstance(x, Tensor) else x for x in args]
        self.early_stop = early_stop
        self.describe = describe
        self.holders: list[weakref.ref[_Holder]] = []
        self.descriptions: list[Any] = []
        # Of each backward run that has computed the region again: how many tensors it saved then.
        self.counts: dict[int, int] = {}
        self.finished = False  # the forward is over
        self.differs = False  # backward inside the region has consumed a part: the numbers of tensors say nothing
        self.traces: tuple[list[str], list[str]] | None = None
        self.lock = RLock()

    def compute_again(self, run: int) -> None:
        """Run the region once more and put what it saves into the holders."""
        args = [x.unpack() if isinstance(x, SavedTensor) else x for x in self.args]
        if len(self.counts) >= _MOST_RUNS:
            self.forget(next(iter(self.counts)))
        self.counts[run] = 0
        try:
            with _Recomputation(self, run), enable_grad():
                self.rerun(*args)
        except _StopRecomputationError:
            pass
        except BaseException:
            del self.counts[run]
            raise
        self.check(run)

    def forget(self, run: int) -> None:
        """Drop what is known of a backward run, which is long over: else it would compute again."""
        del self.counts[run]
        for reference in self.holders:
            holder = reference()
            if holder is not None:
                holder.found.pop(run, None)

    def check(self, run: int) -> None:
        if self.differs:
            return
        if len(self.holders) != self.counts[run]:
            raise CheckpointError(
                "tensorgrad.utils.checkpoint: A different number of tensors was saved during the original forward "
                f"and recomputation.\nNumber of tensors saved during forward: {len(self.holders)}\nNumber of tensors "
                f"saved during recomputation: {self.counts[run]}.\n{self.explanation()}"
            )
        different = []
        for i, reference in enumerate(self.holders):
            holder = reference()
            found = None if holder is None else holder.found[run]
            if found is not None and self.descriptions[i] != self.describe(found):
                different.append(
                    f"tensor at position {i}:\nsaved metadata: {self.descriptions[i]}\n"
                    f"recomputed metadata: {self.describe(found)}\n"
                )
        if different:
            raise CheckpointError(
                "tensorgrad.utils.checkpoint: Recomputed values for the following tensors have different metadata "
                f"than during the forward pass.\n{''.join(different)}.\n{self.explanation()}"
            )

    def explanation(self) -> str:
        if self.traces is None:
            return _tip
        titles = ("the original forward", "recomputation")
        return "\n".join(
            f"Where tensors were saved during {title}:\n\n" + "\n".join(f"[{i}]\n{at}" for i, at in enumerate(places))
            for title, places in zip(titles, self.traces, strict=True)
        )

    def trace(self, which: int) -> None:
        if self.traces is not None:
            import traceback  # only for debugging

            # without this method, the hook and the operator's own frames
            self.traces[which].append("".join(traceback.format_stack()[:-2]))


class _Recomputation(saved_tensors_hooks):
    """The block in which a region runs again: what it saves goes into the holders of its forward."""

    __slots__ = ()

    def __init__(self, frame: _Frame, run: int) -> None:
        reference = weakref.ref(frame)

        def pack(x: Tensor) -> Tensor:
            x = x.detach()
            frame = reference()
            assert frame is not None
            i = frame.counts[run]
            frame.counts[run] += 1
            frame.trace(1)
            if i >= len(frame.holders):
                if frame.finished:
                    raise CheckpointError(
                        "tensorgrad.utils.checkpoint: trying to save more tensors during recomputation than during "
                        f"the original forward pass.\n{frame.explanation()}"
                    )
                frame.differs = True  # backward inside the region: its forward is not over yet
                return x
            holder = frame.holders[i]()
            if holder is not None:  # else a backward inside the region is done with it
                holder.found[run] = x
            if frame.early_stop and frame.counts[run] == len(frame.holders):
                raise _StopRecomputationError
            return x

        super().__init__(pack, lambda x: x)


_outside = itertools.count(-2, -1)


class _Recording(saved_tensors_hooks):
    """The block in which a region runs forward and saves holders in place of tensors."""

    __slots__ = ()

    def __init__(self, frame: _Frame) -> None:
        def pack(x: Tensor) -> _Holder:
            holder = _Holder()
            frame.holders.append(weakref.ref(holder))
            frame.descriptions.append(frame.describe(x))
            frame.trace(0)
            return holder

        def unpack(holder: _Holder) -> Tensor:
            run = current_run()
            if run == -1:
                run = next(_outside)  # somebody looks at a saved tensor outside of backward
            with frame.lock:
                if run not in frame.counts:
                    frame.compute_again(run)
            if holder.found.get(run) is None:
                raise CheckpointError(
                    "tensorgrad.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked "
                    "once. If you are calling ctx.saved_tensors in backward, make sure to do so only once."
                )
            found = holder.found[run]
            assert found is not None
            holder.found[run] = None  # it dies with its use, also where the graph is kept
            return found

        super().__init__(pack, unpack)


class _Forward:
    """The block in which the forward of a region runs."""

    def __init__(self, frame: _Frame, context: AbstractContextManager[Any]) -> None:
        self.frame, self.context, self.recording = frame, context, _Recording(frame)

    def __enter__(self) -> None:
        self.recording.__enter__()
        try:
            self.context.__enter__()
        except BaseException:
            self.recording.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            suppressed = self.context.__exit__(kind, error, trace)
        finally:
            self.recording.__exit__(None, None, None)
        if suppressed and error is not None:
            _refuse_suppression(error)
        self.frame.finished = True


def _refuse_suppression(error: BaseException) -> NoReturn:
    raise RuntimeError(
        "tensorgrad.utils.checkpoint: the forward context provided by context_fn suppressed an exception raised "
        "during the checkpointed forward. This is not supported because checkpoint cannot return a value for a "
        "failed forward."
    ) from error


def _without_reentrance(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve: bool,
    context_fn: Callable[[], Contexts],
    determinism_check: str,
    debug: bool,
    early_stop: bool,
) -> Any:
    debug = debug if _settings.debug is None else _settings.debug
    if debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    if determinism_check not in _determinism_checks:
        raise ValueError(f"determinism_check should be one of {list(_determinism_checks)}, but got {determinism_check}")
    forward_context, recompute_context = context_fn()
    random_state = get_rng_state() if preserve else None
    if not is_grad_enabled():
        return function(*args, **kwargs)

    def rerun(*args: Any) -> None:
        with fork_rng(enabled=preserve):
            if random_state is not None:
                set_rng_state(random_state)
            with recompute_context:
                function(*args, **kwargs)

    stop = early_stop if _settings.early_stop is None else _settings.early_stop
    frame = _Frame(rerun, args, stop, _determinism_checks[determinism_check])
    if debug:
        frame.traces = [], []
    with _Forward(frame, forward_context):
        return function(*args, **kwargs)


# ---------------------------------------------------------------------------------------------------

_recommended = (
    "use_reentrant=False is recommended, but if you need to preserve the current default behavior, you can pass "
    "use_reentrant=True. Refer to docs for more details on the differences between the two variants."
)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function(*args, **kwargs)`` and keep its arguments only: backward calls it again for what it saved.

    Parameters
    ----------
    function : callable
        Does the same each time for the same arguments and random state.
    *args
        Its arguments; tensors among them are kept.
    use_reentrant : bool
        False (recommended): the graph of the region is there at once, and everything works as without
        checkpoint. True: the region is one node whose backward calls backward; `grad`, ``inputs=``,
        keyword arguments and gradients that reach tensors inside nested structures do not work. None warns
        and is True.
    context_fn : callable, optional
        Gives two context managers: around the forward and around its repetition. Without re-entrance only.
    determinism_check : {"default", "none"}
        Compare shape, dtype and device of what is saved again with what was saved, or do not.
    debug : bool, default: False
        An error of that comparison shows where in the code the tensors were saved. Without re-entrance only.
    early_stop : bool, default: True
        End the repetition as soon as everything that was saved is there.
    preserve_rng_state : bool, default: True
        Let the repetition draw the same random numbers.
    **kwargs
        Keyword arguments of `function`. Without re-entrance only.

    Returns
    -------
    What `function` returns.

    Raises
    ------
    CheckpointError
        In backward, if the repetition saved other tensors than the forward.

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.utils.checkpoint import checkpoint
    >>> x = tensorgrad.tensor([0.0, 1.0], requires_grad=True)
    >>> y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False)
    >>> y.sum().backward()
    >>> x.grad
    tensor([ 0.5403, -2.4783])
    """
    if use_reentrant is None:
        warnings.warn(
            "tensorgrad.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch "
            f"2.9, calling checkpoint without use_reentrant will raise an exception. {_recommended}",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        return _without_reentrance(function, args, kwargs, preserve, context_fn, determinism_check, debug, early_stop)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Apply functions one after the other in segments, each but the last a `checkpoint`.

    Parameters
    ----------
    functions : sequence of callables, or a module with ``children()``
        Each takes what the one before it returns.
    segments : int
        Number of parts of (nearly) equal length.
    input : Tensor
    use_reentrant : bool
        As for `checkpoint`.
    preserve_rng_state : bool, default: True

    Examples
    --------
    >>> import tensorgrad
    >>> from tensorgrad.utils.checkpoint import checkpoint_sequential
    >>> x = tensorgrad.tensor(0.5, requires_grad=True)
    >>> y = checkpoint_sequential([tensorgrad.exp, tensorgrad.sin, tensorgrad.tanh], 3, x, use_reentrant=False)
    >>> y.backward()
    """
    if use_reentrant is None:
        warnings.warn(
            "tensorgrad.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed "
            f"explicitly. In version 2.9 we will raise an exception if use_reentrant is not passed. {_recommended}",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments

    def composed(part: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def forward(x: Any) -> Any:
            for step in part:
                x = step(x)
            return x

        return forward

    end = size * (segments - 1)
    # With fewer functions than segments there is nothing to split, as there is no whole function for each.
    for start in range(0, end, size) if size else ():
        input = checkpoint(
            composed(steps[start : start + size]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return composed(steps[end:])(input)
