"""Derivatives held against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad.autograd._gradcheck_checks import Check, GradcheckError, is_target
from tensorgrad.autograd._numerical_jacobian import as_tuple, differentiable_outputs, random_like

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


def _validate_inputs(inputs: tuple[Any, ...]) -> None:
    """Refuse inputs of which the finite differences would mean nothing."""
    if not any(is_target(value) for value in inputs):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, "
            "but none of them have requires_grad=True."
        )
    for index, value in enumerate(inputs):
        if not is_target(value):
            continue
        if value.dtype not in (tensorgrad.float64, tensorgrad.complex128):
            warnings.warn(
                f"Input #{index} requires gradient and is not a double precision floating point or "
                f"complex: it is {value.dtype}, in which rounding hides the difference that eps makes. "
                "This check will likely fail.",
                stacklevel=3,
            )
        overlaps = [
            stride == 0 and size > 1 for stride, size in zip(value.stride(), value.shape, strict=True)
        ]
        if any(overlaps) and value.numel():
            raise RuntimeError(
                f"The {index}th input has a dimension with stride 0. gradcheck only supports inputs that "
                "are non-overlapping to be able to compute the numerical gradients correctly. You should "
                "call .contiguous on the input before passing it to gradcheck."
            )


def gradcheck(
    func: Callable[..., Any],
    inputs: tensorgrad.Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    r"""Check the gradients of a function against small finite differences.

    Parameters
    ----------
    func : callable
        A function of tensors and other things that returns a tensor or a tuple of tensors.
    inputs : Tensor or sequence
        Its arguments. Those that require grad are checked; they should be float64 or complex128.
    eps : float, default: 1e-6
        How far an input is moved each way.
    atol, rtol : float, default: 1e-5 and 1e-3
        Tolerances, as in `tensorgrad.allclose`, relative to the finite differences.
    raise_exception : bool, default: True
        False: return False where a check fails, instead of raising.
    nondet_tol : float, default: 0.0
        How much two runs of the same backward may differ.
    check_undefined_grad : bool, default: True
        Also check that undefined gradients (and, in forward mode, tangents) are taken for zeros.
    check_grad_dtypes : bool, default: False
        Also check that gradients have the dtypes of their inputs.
    check_batched_grad : bool, default: False
        Also check backward over a batch of gradients, through `tensorgrad.func.vmap`.
    check_batched_forward_grad : bool, default: False
        The same of forward mode.
    check_forward_ad : bool, default: False
        Also check forward mode.
    check_backward_ad : bool, default: True
        False leaves backward mode out.
    fast_mode : bool, default: False
        Compare a random projection of the Jacobians, which takes one backward and two evaluations for
        each pair of output and input rather than one for each of their elements.
    masked : bool, optional
        For PyTorch's signature; concerns sparse tensors only, which tensorgrad does not have.

    Returns
    -------
    bool
        True where every check passes.

    Raises
    ------
    GradcheckError
        Where one does not and `raise_exception` is set.
    ValueError
        If no input requires grad.
    RuntimeError
        If elements of an input share memory.

    Notes
    -----
    A complex output counts as two real ones. For a real output :math:`L` and a complex input
    :math:`z = x + iy` backward is held against the conjugate Wirtinger gradient
    :math:`\partial L / \partial x + i\, \partial L / \partial y`, forward mode against the derivatives
    along either axis. The inputs are moved in place, so that a function which reaches them by another
    way than its arguments is checked too, and are put back. Random vectors come from a generator of its
    own: neither does `tensorgrad.manual_seed` change a result, nor does a check draw from the user's
    random numbers.

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([0.5, 1.0], dtype=tensorgrad.float64, requires_grad=True)
    >>> tensorgrad.autograd.gradcheck(tensorgrad.sin, (x,))
    True
    >>> tensorgrad.autograd.gradcheck(lambda x: x * x.detach(), (x,), raise_exception=False)
    False
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    arguments = as_tuple(inputs)
    _validate_inputs(arguments)
    check = Check(func, arguments, eps, atol, rtol, nondet_tol, fast_mode)
    try:
        if not check.outputs:
            check.vanishing_gradient()
            return True
        if check_backward_ad:
            check.backward_mode(check_grad_dtypes)
        if check_forward_ad:
            check.forward_mode(check_grad_dtypes)
            if check_undefined_grad:
                check.undefined_tangents()
            if check_batched_forward_grad:
                check.batched_forward()
        if check_backward_ad:
            if check_batched_grad:
                check.batched_backward()
            check.multiplied_by_grad_output()
            if check_undefined_grad:
                check.undefined_gradients()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _random_grad_output(
    output: tensorgrad.Tensor, rng: np.random.Generator, noncontiguous: bool
) -> tensorgrad.Tensor:
    values = random_like(output, rng)
    if noncontiguous and values.numel() > 1:
        # Every other element of a longer row: the same values with a stride of 2.
        values = tensorgrad.stack([values, values], -1)[..., 0]
    return values.requires_grad_()


def gradgradcheck(
    func: Callable[..., Any],
    inputs: tensorgrad.Tensor | Sequence[Any],
    grad_outputs: tensorgrad.Tensor | Sequence[tensorgrad.Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the gradients of a function's gradients against small finite differences.

    The function ``grad(func)(inputs, grad_outputs)`` goes through `gradcheck`.

    Parameters
    ----------
    func, inputs, eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes
        As in `gradcheck`.
    grad_outputs : Tensor or sequence of Tensor, optional
        The gradients with respect to the outputs. Random ones by default.
    gen_non_contig_grad_outputs : bool, default: False
        Whether the random `grad_outputs` are non-contiguous.
    check_batched_grad, fast_mode, masked : bool, default: False
        As in `gradcheck`.
    check_fwd_over_rev : bool, default: False
        Also differentiate backward in forward mode.
    check_rev_over_rev : bool, default: True
        False leaves backward over backward out.

    Returns
    -------
    bool
        True where every check passes.

    Raises
    ------
    GradcheckError
        Where one does not and `raise_exception` is set.

    See Also
    --------
    gradcheck

    Examples
    --------
    >>> import tensorgrad
    >>> x = tensorgrad.tensor([0.5, 1.0], dtype=tensorgrad.float64, requires_grad=True)
    >>> tensorgrad.autograd.gradgradcheck(tensorgrad.sin, (x,))
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    arguments = as_tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(20131)
        gradients = tuple(
            _random_grad_output(out, rng, gen_non_contig_grad_outputs)
            for out in differentiable_outputs(func(*arguments))
        )
    else:
        gradients = as_tuple(grad_outputs)

    def first_gradients(*values: Any) -> tuple[tensorgrad.Tensor, ...]:
        given, cotangents = values[: len(arguments)], values[len(arguments) :]
        outputs = differentiable_outputs(func(*given))
        targets = [value for value in given if is_target(value)]
        found = tensorgrad.autograd.grad(outputs, targets, cotangents, create_graph=True, allow_unused=True)
        return tuple(grad for grad in found if grad is not None)

    return gradcheck(
        first_gradients,
        arguments + gradients,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )
