"""`backward` and `grad`: what is asked of the engine, and the checks before it runs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tensorgrad._core.backward import run_backward
from tensorgrad._core.grad_mode import transform_depth
from tensorgrad._core.operator import all_operators
from tensorgrad._core.size import Size
from tensorgrad._core.tensor import Tensor
from tensorgrad.autograd.graph import GradientEdge
from tensorgrad.func._vmap import vmap_with_none

__all__ = ["backward", "grad"]

_ones_like = all_operators()["ones_like"]
_ones = all_operators()["ones"]


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, (Tensor, GradientEdge)) else tuple(value)


def _shape_and_dtype(root: Tensor | GradientEdge) -> tuple[Size, Any]:
    if isinstance(root, Tensor):
        return root.shape, root.dtype
    shape, dtype = root.node._input_metadata[root.output_nr]
    return shape, dtype


def _check_grad(i: int, grad: Tensor, root: Tensor | GradientEdge, batched: bool) -> None:
    """Refuse a gradient that does not fit the output it is for."""
    shape, dtype = _shape_and_dtype(root)
    found = Size(grad.shape[1:]) if batched else grad.shape
    if found != shape:
        if batched:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                "dimension. The sizes of the remaining dimensions are expected to match the shape of "
                "corresponding output, but a mismatch was detected: "
                f"grad_output[{i}] has a shape of {found} and output[{i}] has a shape of {shape}. If you only "
                "want some tensors in `grad_output` to be considered batched, consider using vmap."
            )
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {found} and output[{i}] has a shape of {shape}."
        )
    if dtype.is_complex != grad.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in "
            f"dtype: grad_output[{i}] has a dtype of {grad.dtype} and output[{i}] has a dtype of {dtype}."
        )


def _implicit_grad(root: Tensor | GradientEdge) -> Tensor | None:
    """One, for a real scalar."""
    shape, dtype = _shape_and_dtype(root)
    if isinstance(root, Tensor) and not root.requires_grad:
        return None
    if shape.numel() != 1:
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs (this one has shape {list(shape)}: give "
            "its gradient)"
        )
    if not dtype.is_floating_point:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {dtype}")
    if isinstance(root, Tensor):
        ones: Tensor = _ones_like(root)
    else:
        ones = _ones(shape, dtype=dtype)
    return ones


def _make_grads(roots: tuple[Any, ...], grads: Any, batched: bool) -> tuple[Tensor | None, ...]:
    """The gradient of each output: the one given, after checks, or one for a scalar."""
    if grads is None:
        given: Sequence[Any] = (None,) * len(roots)
    else:
        given = (grads,) if isinstance(grads, Tensor) else tuple(grads)
        if len(given) < len(roots):
            raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    made = []
    for i, (root, grad) in enumerate(zip(roots, given, strict=False)):
        if isinstance(grad, Tensor):
            _check_grad(i, grad, root, batched)
        elif grad is None:
            grad = _implicit_grad(root)
        else:
            raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
        made.append(grad)
    return tuple(made)


def backward(
    tensors: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Tensor | Sequence[Tensor | None] | None = None,
    inputs: Any = None,
) -> None:
    """Accumulate the sum of the gradients of `tensors` in the ``.grad`` of the leaves they were computed from.

    Parameters
    ----------
    tensors : Tensor, GradientEdge or sequence of these
        What is differentiated.
    grad_tensors : Tensor, None or sequence of these, optional
        The gradient of each of `tensors`: the vector of the vector-Jacobian product. May be None for a
        tensor of one element.
    retain_graph : bool, optional
        Keep what the graph saved, so that it can be traversed again. Default: the value of `create_graph`.
    create_graph : bool, default: False
        Record the computation of the gradients, so that these can be differentiated.
    grad_variables
        The former name of `grad_tensors`.
    inputs : Tensor, GradientEdge, dict of Tensor or sequence, optional
        Accumulate in these only. Default: in all leaves.

    Raises
    ------
    RuntimeError
        If a tensor of several elements has no gradient, if shapes do not fit, if a tensor does not require
        grad, or if the graph has been freed.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> tensorgrad.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    if transform_depth():
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use "
            "tensorgrad.func.grad or vjp instead or call backward() outside of functorch transforms."
        )
    if grad_tensors is None and inputs is None and grad_variables is None and not create_graph:
        # One scalar loss and no options: the way that nearly every call goes.
        if isinstance(tensors, Tensor) and tensors.numel() == 1 and tensors.is_floating_point():
            run_backward((tensors,), (_ones_like(tensors),), bool(retain_graph), False, None, True, True)
            return
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please "
                "only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    roots = _as_tuple(tensors)
    if inputs is not None:
        inputs = _as_tuple(inputs.values() if isinstance(inputs, dict) else inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        _check_inputs(inputs)
        # one that is named twice is accumulated into once
        inputs = tuple({id(x): x for x in inputs}.values())
    grads = _make_grads(roots, grad_tensors, False)
    if create_graph:
        warnings.warn(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and "
            "its gradient which can cause a memory leak. We recommend using autograd.grad when creating the "
            "graph to avoid this. If you have to use this function, make sure to reset the .grad fields of your "
            "parameters to None after use to break the cycle and avoid the leak.",
            stacklevel=2,
        )
    keep = create_graph if retain_graph is None else retain_graph
    run_backward(roots, grads, bool(keep), bool(create_graph), inputs, True, True)


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    for x in inputs:
        if not isinstance(x, (Tensor, GradientEdge)):
            raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(x).__name__}")


def grad(
    outputs: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    inputs: Any,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The sum of the gradients of `outputs` with respect to each of `inputs`.

    Parameters
    ----------
    outputs : Tensor, GradientEdge or sequence of these
        What is differentiated.
    inputs : Tensor, GradientEdge, dict of Tensor or sequence
        With respect to what. Nothing is accumulated in them.
    grad_outputs : Tensor, None or sequence of these, optional
        The gradient of each output: the vector of the vector-Jacobian product.
    retain_graph : bool, optional
        Keep what the graph saved. Default: the value of `create_graph`.
    create_graph : bool, default: False
        Record the computation of the gradients, so that these can be differentiated.
    only_inputs : bool, default: True
        Ignored, as in PyTorch.
    allow_unused : bool, optional
        Give None for an input that the outputs do not depend on, instead of raising. Default: the value of
        `materialize_grads`.
    is_grads_batched : bool, default: False
        The first dimension of each of `grad_outputs` is a batch, and so is that of the result: as many
        vector-Jacobian products in one run.
    materialize_grads : bool, default: False
        Give zeros in place of None.

    Returns
    -------
    tuple of Tensor, or dict for a dict of inputs

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> tensorgrad.autograd.grad((x * x).sum(), x)
    (tensor([2., 4.]),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    allow = materialize_grads if allow_unused is None else allow_unused
    names = None
    if isinstance(inputs, dict):
        names, inputs = tuple(inputs), tuple(inputs.values())
    wanted = _as_tuple(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    _check_inputs(wanted)
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient "
            "for other parts of the graph, please use tensorgrad.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    roots = _as_tuple(outputs)
    grads = _make_grads(roots, grad_outputs, is_grads_batched)
    keep = bool(create_graph if retain_graph is None else retain_graph)
    if is_grads_batched:

        def vjp(*cotangents: Tensor) -> tuple[Tensor | None, ...]:
            found: tuple[Tensor | None, ...] = run_backward(
                roots, cotangents, keep, bool(create_graph), wanted, bool(allow), False
            )
            return found

        result = vmap_with_none(vjp)(*grads)
    else:
        result = run_backward(roots, grads, keep, bool(create_graph), wanted, bool(allow), False)
    if materialize_grads:
        if any(g is None and not isinstance(x, Tensor) for g, x in zip(result, wanted, strict=True)):
            raise RuntimeError(
                "materialize_grads cannot be used when the given input is a GradientEdge that the outputs do "
                "not depend on"
            )
        zeros_like = all_operators()["zeros_like"]
        result = tuple(
            zeros_like(x, requires_grad=create_graph) if g is None else g for g, x in zip(result, wanted, strict=True)
        )
    return result if names is None else dict(zip(names, result, strict=True))
