"""Gradients, vector-Jacobian and Jacobian-vector products of functions, as functions that nest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad._core.backward import gradient_edge_of, run_backward
from tensorgrad._core.grad_mode import pop_level, push_level
from tensorgrad._core.operator import all_operators
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.transforms import (
    get_tangent,
    level_of_tensor,
    make_leaf,
    put_tangent,
    unwrap_value,
    wrap_value,
)
from tensorgrad.func._pytree import flatten, map_leaves, unflatten

_GRAD, _JVP = 0, 1
_ops = all_operators()
_zeros_like, _ones_like = _ops["zeros_like"], _ops["ones_like"]

Argnums = int | tuple[int, ...]


# Arguments and results ---------------------------------------------------------------------------


def checked_argnums(argnums: Any, count: int) -> Argnums:
    """The numbers of the arguments to differentiate, none negative."""
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    for number in numbers:
        if not isinstance(number, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(number)} in it")
        if not -count <= number < count:
            raise RuntimeError(f"Got argnum={number}, but only {count} positional inputs")
    positive = tuple(number % count for number in numbers)
    if len(set(positive)) != len(positive):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return positive if isinstance(argnums, tuple) else positive[0]


def selected(args: tuple[Any, ...], argnums: Argnums) -> Any:
    """The arguments to differentiate: a tuple for a tuple of numbers."""
    return args[argnums] if isinstance(argnums, int) else tuple(args[i] for i in argnums)


def replaced(args: tuple[Any, ...], argnums: Argnums, values: Any) -> tuple[Any, ...]:
    """`args` with those of `argnums` exchanged."""
    result = list(args)
    if isinstance(argnums, int):
        result[argnums] = values
    else:
        for i, value in zip(argnums, values, strict=True):
            result[i] = value
    return tuple(result)


def _unwrap(tree: Any, level: int) -> Any:
    return map_leaves(lambda x: unwrap_value(x, level)[0], tree)


def _split_aux(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def _require_tensors(leaves: Sequence[Any], name: str) -> None:
    for x in leaves:
        if not isinstance(x, Tensor):
            raise RuntimeError(f"{name}: expected f(*primals) to return only tensors, got unsupported type {type(x)}")


# Reverse mode ------------------------------------------------------------------------------------


def _as_leaf(x: Any, level: int) -> Any:
    """`x` as a tensor of a grad level that can be differentiated."""
    if not isinstance(x, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    if not (x.is_floating_point() or x.is_complex()):
        raise RuntimeError(f"only Tensors of floating point dtype can require gradients (this one is {x.dtype})")
    return make_leaf(wrap_value(x, level))


def _belongs(x: Tensor, level: int) -> bool:
    return bool(x.requires_grad and level_of_tensor(x) == level)


def _gradients(
    roots: Sequence[Any], ends: tuple[Any, ...], grads: Sequence[Any], like: Sequence[Tensor], keep: bool
) -> list[Any]:
    """The gradients at `ends`, zeros for one that the roots do not depend on."""
    pairs = [(root, grad) for root, grad in zip(roots, grads, strict=True) if root[0] is not None]
    if not pairs:
        return [_zeros_like(x) for x in like]
    # create_graph: the levels below may want to differentiate these gradients in turn.
    found = run_backward(
        tuple(root for root, _ in pairs), tuple(grad for _, grad in pairs), keep, True, ends, True, False
    )
    return [_zeros_like(x) if g is None else g for x, g in zip(like, found, strict=True)]


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives both the gradient and the value of `func`.

    Parameters
    ----------
    func : callable
        Returns a tensor of one element, or ``(output, aux)``.
    argnums : int or tuple of int, default: 0
        The arguments to differentiate.
    has_aux : bool, default: False
        `func` returns something more, which is handed through.

    Returns
    -------
    callable
        Returns ``(gradient, value)``, or ``(gradient, (value, aux))``.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.func.grad_and_value(lambda x: (x * x).sum())(tensorgrad.tensor([1.0, 2.0]))
    (tensor([2., 4.]), tensor(5.))
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        numbers = checked_argnums(argnums, len(args))
        level = push_level(_GRAD).number
        try:
            flat, spec = flatten(selected(args, numbers))
            leaves = [_as_leaf(x, level) for x in flat]
            result = func(*replaced(args, numbers, unflatten(spec, leaves)), **kwargs)
            output, aux = _split_aux(result, has_aux, "grad_and_value(f)(*args)")
            if not isinstance(output, Tensor):
                raise RuntimeError(
                    f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}"
                )
            if output.ndim:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
                    f"{output.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            if output.is_complex():
                raise RuntimeError(
                    f"grad can be implicitly created only for real scalar outputs but got {output.dtype}"
                )
            root = gradient_edge_of(output) if _belongs(output, level) else (None, 0)
            ends = tuple(gradient_edge_of(x) for x in leaves)
            grads = _gradients([root], ends, [_ones_like(output)], flat, False)
            gradient = unflatten(spec, [unwrap_value(g, level)[0] for g in grads])
            value, aux = unwrap_value(output, level)[0], _unwrap(aux, level)
        finally:
            pop_level()
        return gradient, ((value, aux) if has_aux else value)

    return wrapper


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives the gradient of `func`; nesting gives the higher derivatives.

    Parameters
    ----------
    func : callable
        Returns a tensor of one element, or ``(output, aux)``.
    argnums : int or tuple of int, default: 0
        The arguments to differentiate.
    has_aux : bool, default: False
        `func` returns something more, which is handed through.

    Returns
    -------
    callable
        Returns the gradient, of the structure of the argument, or ``(gradient, aux)``.

    Raises
    ------
    RuntimeError
        If the output is not a tensor of no dimensions.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor(2.0)
    >>> tensorgrad.func.grad(lambda x: x**3)(x)
    tensor(12.)
    >>> tensorgrad.func.grad(tensorgrad.func.grad(lambda x: x**3))(x)
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `func`, and the function that multiplies vectors by its Jacobian from the left.

    Parameters
    ----------
    func : callable
        Returns tensors in any structure, or ``(output, aux)``.
    *primals
        Its arguments.
    has_aux : bool, default: False
        `func` returns something more, which is handed through.

    Returns
    -------
    output
        ``func(*primals)``.
    vjp_fn : callable
        Takes cotangents of the structure of the output, returns a tuple of one for each of `primals`.
    aux
        Only with `has_aux`.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([1.0, 2.0])
    >>> output, vjp_fn = tensorgrad.func.vjp(lambda x: x * x, x)
    >>> vjp_fn(tensorgrad.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    level = push_level(_GRAD).number
    try:
        flat, spec = flatten(primals)
        leaves = [_as_leaf(x, level) for x in flat]
        result, aux = _split_aux(func(*unflatten(spec, leaves)), has_aux, "vjp(f, *primals)")
        outputs, out_spec = flatten(result)
        _require_tensors(outputs, "vjp(f, *primals)")
        values = [unwrap_value(x, level)[0] for x in outputs]
        aux = _unwrap(aux, level)
        # The level ends here, its graph lives on: what the graph has saved is unwrapped when backward runs.
        roots = [gradient_edge_of(x) if _belongs(x, level) else (None, 0) for x in outputs]
        ends = tuple(gradient_edge_of(x) for x in leaves)
    finally:
        pop_level()

    def vjp_fn(*cotangents: Any, retain_graph: bool = True) -> Any:
        grads, given_spec = flatten(cotangents[0] if len(cotangents) == 1 else cotangents)
        if given_spec != out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {given_spec}, primal output: {out_spec}"
            )
        for i, (grad, value) in enumerate(zip(grads, values, strict=True)):
            if grad.shape != value.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {grad.shape} and output[{i}] has a "
                    f"shape of {value.shape}."
                )
        return unflatten(spec, _gradients(roots, ends, grads, flat, retain_graph))

    value = unflatten(out_spec, values)
    return (value, vjp_fn, aux) if has_aux else (value, vjp_fn)


# Forward mode ------------------------------------------------------------------------------------


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """The value of `func` and the product of its Jacobian with `tangents`, by forward mode.

    Parameters
    ----------
    func : callable
        Returns tensors in any structure, or ``(output, aux)``.
    primals, tangents : tuple
        The arguments of `func`, and a tangent for each.
    strict : bool, default: False
        An output that does not depend on `primals` is an error; otherwise its tangent is zeros.
    has_aux : bool, default: False
        `func` returns something more, which is handed through.

    Returns
    -------
    output, tangent
        Both of the structure that `func` returns. With `has_aux` the third is ``aux``.

    Examples
    --------
    >>> import tensorgrad
    >>> x, t = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 0.0])
    >>> tensorgrad.func.jvp(lambda x: x * x, (x,), (t,))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    name = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{name}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    flat, spec = flatten(primals)
    flat_tangents, tangents_spec = flatten(tangents)
    if not flat:
        raise RuntimeError(f"{name}: Expected primals to contain at least one Tensor.")
    if spec != tangents_spec:
        raise RuntimeError(
            f"{name}: Expected primals and tangents to have the same python structure. For example, if primals "
            "is a tuple of 3 tensors, tangents also must be. Got primals with structure "
            f"{spec} and tangents with structure {tangents_spec}"
        )
    for what, leaves in (("primals", flat), ("tangents", flat_tangents)):
        for x in leaves:
            if not isinstance(x, Tensor):
                raise RuntimeError(f"{name}: Expected {what} to only contain Tensors, got {type(x)}")
    for x, t in zip(flat, flat_tangents, strict=True):
        if x.shape != t.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, "
                f"this is not supported. Tensor is of size {list(x.shape)} while the given forward gradient is "
                f"of size {list(t.shape)}."
            )
    level = push_level(_JVP).number
    try:
        duals = [_dual(x, t, level) for x, t in zip(flat, flat_tangents, strict=True)]
        result, aux = _split_aux(func(*unflatten(spec, duals)), has_aux, name)
        outputs, out_spec = flatten(result)
        _require_tensors(outputs, name)
        found = [get_tangent(x) for x in outputs]
        values = [unwrap_value(x, level)[0] for x in outputs]
        aux = _unwrap(aux, level)
    finally:
        pop_level()
    if strict and any(t is None for t in found):
        raise RuntimeError(
            f"{name[:-1]}, strict=True): The output of f is independent of the inputs. This is not allowed with "
            "strict=True."
        )
    made = [_zeros_like(x) if t is None else t for x, t in zip(values, found, strict=True)]
    output, tangent = unflatten(out_spec, values), unflatten(out_spec, made)
    return (output, tangent, aux) if has_aux else (output, tangent)


def _dual(x: Tensor, tangent: Tensor, level: int) -> Any:
    dual = wrap_value(x, level)
    put_tangent(dual, tangent)
    return dual


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `func`, and the function that multiplies tangents by its Jacobian at `primals`.

    Parameters
    ----------
    func : callable
        Returns tensors in any structure.
    *primals
        Its arguments.

    Returns
    -------
    output
        ``func(*primals)``.
    jvp_fn : callable
        Takes a tangent for each of `primals`, returns one of the structure of the output.

    Notes
    -----
    `func` runs once: the Jacobian is kept as the recorded backward, a linear function of the cotangents,
    and a tangent is pulled back through that in turn.

    Examples
    --------
    >>> import tensorgrad
    >>> output, jvp_fn = tensorgrad.func.linearize(tensorgrad.square, tensorgrad.tensor([1.0, 2.0]))
    >>> jvp_fn(tensorgrad.tensor([1.0, 10.0]))
    tensor([ 2., 40.])
    """
    output, vjp_fn = vjp(func, *primals)
    outputs, out_spec = flatten(output)
    flat, spec = flatten(primals)
    # vjp_fn is linear: its own transpose at any point is the Jacobian.
    _, transpose = vjp(lambda *cotangents: vjp_fn(unflatten(out_spec, cotangents)), *map(_zeros_like, outputs))

    def jvp_fn(*tangents: Any) -> Any:
        given, given_spec = flatten(tangents)
        if given_spec != spec:
            raise RuntimeError(f"Expected the tangents {given_spec} to have the same structure as the primals {spec}")
        for i, (x, t) in enumerate(zip(flat, given, strict=True)):
            if x.shape != t.shape:
                raise RuntimeError(
                    f"tangent:{i} with shape {t.shape} in flattened pytree doesn't match the shape {x.shape} of "
                    "the corresponding primal."
                )
        return unflatten(out_spec, transpose(tangents))

    return output, jvp_fn
