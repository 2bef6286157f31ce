"""Whole Jacobians and Hessians: one transform of one product for each row or column, as a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tensorgrad._core.operator import all_operators
from tensorgrad._core.tensor import Tensor
from tensorgrad.func._pytree import flatten, unflatten
from tensorgrad.func._transforms import Argnums, checked_argnums, jvp, replaced, selected, vjp
from tensorgrad.func._vmap import vmap

_ops = all_operators()
_zeros = _ops["zeros"]


def standard_basis(tensors: list[Tensor]) -> list[Any]:
    """For each tensor a batch of unit vectors: row by row one element of all the tensors together is one."""
    total = sum(x.numel() for x in tensors)
    basis, start = [], 0
    for x in tensors:
        n = x.numel()
        rows = _zeros((total, n), dtype=x.dtype, device=x.device)
        if n:
            rows.narrow(0, start, n).diagonal().fill_(1)
        basis.append(rows.view((total, *x.shape)))
        start += n
    return basis


def _split(batch: Tensor, like: list[Tensor], dim: int) -> list[Any]:
    """The batch dimension cut into one piece for each tensor and given its shape."""
    pieces, start = [], 0
    for x in like:
        piece = batch.narrow(dim, start, x.numel())
        shape = batch.shape
        pieces.append(piece.reshape((*shape[:dim], *x.shape, *shape[dim + 1 :])))
        start += x.numel()
    return pieces


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that gives the Jacobian of `func`, by reverse mode: for fewer outputs than inputs.

    Parameters
    ----------
    func : callable
        Returns tensors in any structure, or ``(output, aux)``.
    argnums : int or tuple of int, default: 0
        The arguments to differentiate.
    has_aux : bool, default: False
        `func` returns something more, which is handed through.
    chunk_size : int, optional
        Rows that are computed together. Default: all.

    Returns
    -------
    callable
        Returns the structure of the output, in each place of which is that of the argument, in each place
        of which is a tensor of shape ``(*output.shape, *input.shape)``.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.func.jacrev(lambda x: x * x)(tensorgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        numbers = checked_argnums(argnums, len(args))
        primals = selected(args, numbers)

        def of_primals(primals: Any) -> Any:
            return func(*replaced(args, numbers, primals))

        result = vjp(of_primals, primals, has_aux=has_aux)
        outputs, out_spec = flatten(result[0])
        inputs, in_spec = flatten(primals)

        def row(*cotangents: Any) -> Any:
            return tuple(flatten(result[1](unflatten(out_spec, cotangents)))[0])

        basis = standard_basis(outputs)
        columns = vmap(row, chunk_size=chunk_size)(*basis) if basis[0].shape[0] else _no_rows(outputs, inputs)
        by_input = [_split(column, outputs, 0) for column in columns]
        by_output = [unflatten(in_spec, [blocks[i] for blocks in by_input]) for i in range(len(outputs))]
        jacobian = unflatten(out_spec, by_output)
        return (jacobian, result[2]) if has_aux else jacobian

    return wrapper


def _no_rows(outputs: list[Tensor], inputs: list[Tensor]) -> tuple[Any, ...]:
    return tuple(_zeros((0, *x.shape), dtype=x.dtype, device=x.device) for x in inputs)


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """The function that gives the Jacobian of `func`, by forward mode: for fewer inputs than outputs.

    Parameters
    ----------
    func : callable
        Returns tensors in any structure, or ``(output, aux)``.
    argnums : int or tuple of int, default: 0
        The arguments to differentiate.
    has_aux : bool, default: False
        `func` returns something more, which is handed through.
    randomness : {"error", "different", "same"}
        As in `vmap`.

    Returns
    -------
    callable
        Returns what that of `jacrev` does.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.func.jacfwd(lambda x: x * x)(tensorgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        numbers = checked_argnums(argnums, len(args))
        inputs, in_spec = flatten(selected(args, numbers))
        kept: dict[str, Any] = {}

        def of_inputs(*values: Any) -> Any:
            return func(*replaced(args, numbers, unflatten(in_spec, values)))

        def column(*tangents: Any) -> Any:
            found = jvp(of_inputs, tuple(inputs), tangents, has_aux=has_aux)
            outputs, kept["spec"] = flatten(found[0])
            kept["count"] = len(outputs)
            aux, kept["aux"] = flatten(found[2]) if has_aux else ([], None)
            return (*flatten(found[1])[0], *outputs, *aux)

        basis = standard_basis(inputs)
        results = vmap(column, randomness=randomness, out_dims=0)(*basis)
        count = kept["count"]
        blocks = []
        for tangents, outputs in zip(results[:count], results[count : 2 * count], strict=True):
            # The batch counts the inputs' elements: behind the output's dimensions it is the Jacobian's.
            pieces = _split(tangents.movedim(0, -1), inputs, outputs.ndim - 1)
            blocks.append(unflatten(in_spec, pieces))
        jacobian = unflatten(kept["spec"], blocks)
        if not has_aux:
            return jacobian
        return jacobian, unflatten(kept["aux"], [x[0] for x in results[2 * count :]])

    return wrapper


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that gives the Hessian of `func`: forward mode over reverse mode.

    Parameters
    ----------
    func : callable
        Returns a tensor.
    argnums : int or tuple of int, default: 0
        The arguments to differentiate.

    Returns
    -------
    callable

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.func.hessian(lambda x: (x**3).sum())(tensorgrad.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
