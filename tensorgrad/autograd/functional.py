"""Jacobians, Hessians and products with them, of functions that are given and called here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorgrad._core.operator import all_operators
from tensorgrad._core.tensor import Tensor
from tensorgrad.autograd._backward import grad
from tensorgrad.autograd.grad_mode import enable_grad, is_grad_enabled, set_grad_enabled
from tensorgrad.func._jacobians import jacfwd, standard_basis

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_ops = all_operators()
_zeros_like, _ones_like, _stack, _zeros = (_ops[name] for name in ("zeros_like", "ones_like", "stack", "zeros"))

Tensors = tuple[Any, ...]


# Arguments and results ---------------------------------------------------------------------------


def _as_tuple(value: Any, what: str, function: str) -> tuple[bool, Tensors]:
    """Whether `value` is a tuple, and it as one."""
    items = value if isinstance(value, tuple) else (value,)
    for i, x in enumerate(items):
        if not isinstance(x, Tensor):
            where = f"value at index {i}" if isinstance(value, tuple) else f"given {what}"
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {where} "
                f"has type {type(x)}."
            )
    return isinstance(value, tuple), items


def _prepared(inputs: Tensors, create_graph: bool) -> Tensors:
    """Inputs of which the derivative is taken: with create_graph connected to the ones given, else cut off."""
    if create_graph:
        # An alias: the same tensor given twice is two inputs.
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs)
    return tuple(x.detach().requires_grad_() for x in inputs)


def _vector(v: Any, like: Tensors, is_tuple: bool, function: str, what: str) -> Tensors:
    """The vector of a product, checked; one for a single element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                "The vector v can only be None if the "
                + ("user-provided function returns" if what == "outputs" else "input to the user-provided function is")
                + " a single Tensor with a single element."
            )
        return (_ones_like(like[0]),)
    _, items = _as_tuple(v, "v", function)
    if len(items) != len(like):
        if is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(items)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (x, y) in enumerate(zip(items, like, strict=True)):
        if x.shape != y.shape:
            prefix = f"Entry {i} in " if is_tuple else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {y.shape} but got {x.shape}.")
    return items


def _outputs_of(func: Callable[..., Any], inputs: Tensors, function: str, strict: bool) -> tuple[bool, Tensors]:
    is_tuple, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", function)
    if strict:
        for i, out in enumerate(outputs):
            if not out.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The outputs must be "
                    "computed in a differentiable manner from the input when running in strict mode."
                )
    return is_tuple, outputs


def _grad(
    outputs: Tensors,
    inputs: Tensors,
    vectors: Sequence[Any] | None,
    create_graph: bool,
    batched: bool = False,
) -> tuple[Any, ...]:
    """The gradients, None where there is none, of those outputs that have any."""
    kept = [i for i, out in enumerate(outputs) if out.requires_grad]
    if not kept:
        return (None,) * len(inputs)
    found: tuple[Any, ...] = grad(
        [outputs[i] for i in kept],
        inputs,
        None if vectors is None else [vectors[i] for i in kept],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        is_grads_batched=batched,
    )
    return found


_INDEPENDENT = {
    "back": "The output of the user-provided function is independent of input {}.",
    "back_trick": "The gradient with respect to the input is independent of entry {} in the grad_outputs when using "
    "the double backward trick to compute forward mode gradients.",
    "double_back": "The jacobian of the user-provided function is independent of input {}.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {} in the grad_jacobian.",
}


def _filled(grads: Sequence[Any], like: Tensors, strict: bool, create_graph: bool, stage: str) -> Tensors:
    """Zeros in place of None, unless that is an error; `stage` says what these are gradients of."""
    filled = []
    for i, (g, x) in enumerate(zip(grads, like, strict=True)):
        if g is None:
            if strict:
                raise RuntimeError(f"{_INDEPENDENT[stage].format(i)} This is not allowed in strict mode.")
            g = _zeros_like(x)
        elif strict and create_graph and not g.requires_grad:
            what = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(
                f"The {what} of the user-provided function is independent of input {i}. This is not allowed in strict "
                "mode when create_graph=True."
            )
        filled.append(g)
    return tuple(filled)


def _returned(values: Tensors, create_graph: bool, is_tuple: bool) -> Any:
    values = values if create_graph else tuple(x.detach() for x in values)
    return values if is_tuple else values[0]


def _checked_jacobian(jac: Tensors, strict: bool) -> None:
    if not strict:
        return
    for i, g in enumerate(jac):
        if not g.requires_grad:
            raise RuntimeError(
                "While computing the hessian, found that the jacobian of the user-provided function with respect to "
                f"input {i} is independent of the input. This is not allowed in strict mode. You should ensure that "
                "your function is twice differentiable and that the jacobian depends on the inputs (this would be "
                "violated by a linear function for example)."
            )


def _single_output(out: Any, function: str) -> Any:
    if not isinstance(out, Tensor):
        _as_tuple(out, "outputs of the user-provided function", function)
        raise RuntimeError(f"The function given to {function} should return a single Tensor")
    if out.numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    return out


# Products ----------------------------------------------------------------------------------------


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of `func`, and the product of a vector with its Jacobian.

    Parameters
    ----------
    func : callable
        Of tensors; returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
    v : Tensor or tuple of Tensor, optional
        Of the shapes of the outputs; may be left out for one output of one element.
    create_graph : bool, default: False
        Make the results differentiable.
    strict : bool, default: False
        An input that the output does not depend on is an error, instead of zeros.

    Returns
    -------
    outputs, vjp : Tensor or tuple of Tensor

    Examples
    --------
    >>> import tensorgrad
    >>> x, v = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 10.0])
    >>> tensorgrad.autograd.functional.vjp(tensorgrad.square, x, v)
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        is_tuple, given = _as_tuple(inputs, "inputs", "vjp")
        primals = _prepared(given, create_graph)
        outputs_tuple, outputs = _outputs_of(func, primals, "vjp", strict)
        vectors = _vector(v, outputs, outputs_tuple, "vjp", "outputs")
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = _filled(_grad(outputs, primals, vectors, create_graph), primals, strict, create_graph, "back")
    return _returned(outputs, create_graph, outputs_tuple), _returned(found, create_graph, is_tuple)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of `func`, and the product of its Jacobian with a vector.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    v : Tensor or tuple of Tensor, optional
        Of the shapes of the inputs; may be left out for one input of one element.

    Returns
    -------
    outputs, jvp : Tensor or tuple of Tensor

    Notes
    -----
    Works by differentiating backward with respect to the vector it multiplies (the "double backward
    trick"), so that `func` needs no forward mode; `tensorgrad.func.jvp` is cheaper where there is one.

    Examples
    --------
    >>> import tensorgrad
    >>> x, v = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 10.0])
    >>> tensorgrad.autograd.functional.jvp(tensorgrad.square, x, v)
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        is_tuple, given = _as_tuple(inputs, "inputs", "jvp")
        primals = _prepared(given, create_graph)
        vectors = _vector(v, given, is_tuple, "jvp", "inputs")
        outputs_tuple, outputs = _outputs_of(func, primals, "jvp", strict)
        probes = tuple(_zeros_like(out).requires_grad_() for out in outputs)
        rows = _filled(_grad(outputs, primals, probes, True), primals, strict, True, "back")
        found = _grad(rows, probes, vectors, create_graph)
        result = _filled(found, outputs, strict, create_graph, "back_trick")
    return _returned(outputs, create_graph, outputs_tuple), _returned(result, create_graph, outputs_tuple)


def _gradient(func: Callable[..., Any], primals: Tensors, function: str, strict: bool) -> tuple[Any, Tensors]:
    """The value of a scalar function and its differentiable gradient."""
    out = _single_output(func(*primals), function)
    if strict:
        _outputs_of(lambda *_: out, primals, function, True)
    jac = _grad((out,), primals, (_ones_like(out),), True)
    filled = _filled(jac, primals, strict, False, "back")
    _checked_jacobian(filled, strict)
    return out, filled


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a scalar function, and the product of a vector with its Hessian.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`; `func` returns a tensor of one element.
    v : Tensor or tuple of Tensor, optional
        Of the shapes of the inputs; may be left out for one input of one element.

    Returns
    -------
    output : Tensor
    vhp : Tensor or tuple of Tensor

    Examples
    --------
    >>> import tensorgrad
    >>> x, v = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 10.0])
    >>> tensorgrad.autograd.functional.vhp(lambda x: (x**3).sum(), x, v)
    (tensor(9.), tensor([  6., 120.]))
    """
    with enable_grad():
        is_tuple, given = _as_tuple(inputs, "inputs", "vhp")
        primals = _prepared(given, create_graph)
        vectors = _vector(v, given, is_tuple, "vhp", "inputs")
        out, jac = _gradient(func, primals, "vhp", strict)
        found = _grad(jac, primals, vectors, create_graph)
        result = _filled(found, primals, strict, create_graph, "double_back")
    return _returned((out,), create_graph, False), _returned(result, create_graph, is_tuple)


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a scalar function, and the product of its Hessian with a vector.

    Parameters
    ----------
    func, inputs, v, create_graph, strict
        As in `vhp`, which gives the same with less work wherever the Hessian is symmetric.

    Returns
    -------
    output : Tensor
    hvp : Tensor or tuple of Tensor

    Examples
    --------
    >>> import tensorgrad
    >>> x, v = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 10.0])
    >>> tensorgrad.autograd.functional.hvp(lambda x: (x**3).sum(), x, v)
    (tensor(9.), tensor([  6., 120.]))
    """
    with enable_grad():
        is_tuple, given = _as_tuple(inputs, "inputs", "hvp")
        primals = _prepared(given, create_graph)
        vectors = _vector(v, given, is_tuple, "hvp", "inputs")
        out, jac = _gradient(func, primals, "hvp", strict)
        probes = tuple(_zeros_like(x).requires_grad_() for x in primals)
        rows = _filled(_grad(jac, primals, probes, True), primals, strict, True, "double_back")
        found = _grad(rows, probes, vectors, create_graph)
        result = _filled(found, primals, strict, create_graph, "double_back_trick")
    return _returned((out,), create_graph, False), _returned(result, create_graph, is_tuple)


# Matrices ----------------------------------------------------------------------------------------


def _check_strategy(strategy: str, vectorize: bool, strict: bool, create_graph: bool) -> None:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs '
            'than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        for option, wanted, error in (
            ("create_graph", create_graph, NotImplementedError),
            ("strict", strict, RuntimeError),
        ):
            if wanted:
                raise error(
                    f'tensorgrad.autograd.functional.jacobian: `{option}=True` and `strategy="forward-mode"` are not '
                    f'supported together (yet). Please either set `{option}=False` or `strategy="reverse-mode"`.'
                )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian is only implemented for "
                "`vectorize=True`."
            )
    elif vectorize and strict:
        raise RuntimeError(
            "tensorgrad.autograd.functional.jacobian: `strict=True` and `vectorize=True` are not supported together. "
            "Please either set `strict=False` or `vectorize=False`."
        )


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func`.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    vectorize : bool, default: False
        All rows in one run, through vmap.
    strategy : {"reverse-mode", "forward-mode"}
        Forward mode, for fewer inputs than outputs, needs `vectorize`.

    Returns
    -------
    Tensor, tuple, or tuple of tuples
        ``jacobian[i][j]``, of shape ``(*outputs[i].shape, *inputs[j].shape)``; without the index of whichever
        is a single tensor.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.autograd.functional.jacobian(tensorgrad.square, tensorgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    _check_strategy(strategy, vectorize, strict, create_graph)
    is_tuple, given = _as_tuple(inputs, "inputs", "jacobian")
    with enable_grad():
        if strategy == "forward-mode":
            return _forward_jacobian(func, given, is_tuple)
        primals = _prepared(given, create_graph)
        outputs_tuple, outputs = _outputs_of(func, primals, "jacobian", strict)
        if vectorize:
            blocks = _batched_rows(outputs, primals, create_graph)
        else:
            blocks = [_rows(i, out, primals, strict, create_graph) for i, out in enumerate(outputs)]
    rows = [_returned(tuple(row), create_graph, is_tuple) for row in blocks]
    return tuple(rows) if outputs_tuple else rows[0]


def _forward_jacobian(func: Callable[..., Any], inputs: Tensors, is_tuple: bool) -> Any:
    def checked(*values: Any) -> Any:
        result = func(*values)
        _as_tuple(result, "outputs of the user-provided function", "jacobian")
        return result

    numbers = tuple(range(len(inputs))) if is_tuple else 0
    # Below the caller's graph: forward mode's result is not meant to be differentiated.
    return jacfwd(checked, numbers)(*(x.detach() for x in inputs))


def _rows(i: int, out: Any, inputs: Tensors, strict: bool, create_graph: bool) -> list[Any]:
    """Output `i`'s part of the Jacobian, one backward for each element."""
    rows: list[list[Any]] = [[] for _ in inputs]
    for element in out.reshape(-1) if out.ndim else (out,):
        found = _grad((element,), inputs, None, create_graph)
        for j, (g, x) in enumerate(zip(found, inputs, strict=True)):
            if g is None:
                if strict:
                    raise RuntimeError(
                        f"Output {i} of the user-provided function is independent of input {j}. This is not allowed in "
                        "strict mode."
                    )
                g = _zeros_like(x)
            elif strict and create_graph and not g.requires_grad:
                raise RuntimeError(
                    f"The jacobian of the user-provided function is independent of input {j}. This is not allowed in "
                    "strict mode when create_graph=True."
                )
            rows[j].append(g)
    return [
        (_stack(tuple(row)) if row else _zeros((0,), dtype=x.dtype, device=x.device)).reshape((*out.shape, *x.shape))
        for row, x in zip(rows, inputs, strict=True)
    ]


def _batched_rows(outputs: Tensors, inputs: Tensors, create_graph: bool) -> list[list[Any]]:
    """The whole Jacobian from one run of backward over a batch of unit vectors."""
    basis = standard_basis(list(outputs))
    total = basis[0].shape[0]
    found = _grad(outputs, inputs, basis, create_graph, batched=True) if total else (None,) * len(inputs)
    blocks: list[list[Any]] = []
    start = 0
    for out in outputs:
        row = []
        for g, x in zip(found, inputs, strict=True):
            shape = (*out.shape, *x.shape)
            if g is None:
                row.append(_zeros(shape, dtype=x.dtype, device=x.device))
            else:
                row.append(g.narrow(0, start, out.numel()).reshape(shape))
        blocks.append(row)
        start += out.numel()
    return blocks


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vhp`.
    vectorize : bool, default: False
        All rows in one run, through vmap.
    outer_jacobian_strategy : {"reverse-mode", "forward-mode"}
        How the gradient is differentiated.

    Returns
    -------
    Tensor, or tuple of tuples
        ``hessian[i][j]``, of shape ``(*inputs[i].shape, *inputs[j].shape)``; the tensor itself for a single
        input.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.autograd.functional.hessian(lambda x: (x**3).sum(), tensorgrad.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    is_tuple, given = _as_tuple(inputs, "inputs", "hessian")
    _check_strategy(outer_jacobian_strategy, vectorize, strict, False)

    def scalar(*values: Any) -> Any:
        out = _single_output(func(*values), "hessian")
        if strict:
            _outputs_of(lambda *_: out, values, "hessian", True)
        return out.reshape(())

    def gradient(*values: Any) -> Any:
        if outer_jacobian_strategy == "forward-mode":
            values = tuple(x.requires_grad_() for x in values)
        jac = jacobian(scalar, values, create_graph=True)
        _checked_jacobian(jac, strict)
        return jac

    result = jacobian(
        gradient,
        given,
        create_graph=create_graph,
        strict=strict,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )
    return result if is_tuple else result[0][0]
