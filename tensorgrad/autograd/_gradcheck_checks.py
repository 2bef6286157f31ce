"""The checks that make up `gradcheck`, apart from how it is called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tensorgrad
from tensorgrad.autograd import forward_ad
from tensorgrad.autograd._numerical_jacobian import (
    NumericalJacobian,
    as_tuple,
    continuous_outputs,
    contract,
    differentiable_outputs,
    directions,
    is_continuous,
    numerical_jacobians,
    random_like,
    random_probe,
    stack,
)
from tensorgrad.autograd.function import Function


class GradcheckError(RuntimeError):
    """A derivative that does not agree with the function it belongs to.

    Examples
    --------
    >>> from tensorgrad.autograd.gradcheck import GradcheckError
    >>> issubclass(GradcheckError, RuntimeError)
    True
    """

    # Where users import it from, and what a traceback should name.
    __module__ = "tensorgrad.autograd.gradcheck"


class _CutGradient(Function):
    """The identity, whose backward passes an undefined gradient on."""

    @staticmethod
    def forward(ctx: Any, x: tensorgrad.Tensor) -> tensorgrad.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: tensorgrad.Tensor) -> Any:
        return None


def is_target(value: Any) -> bool:
    """Whether the gradient of this argument is checked."""
    return isinstance(value, tensorgrad.Tensor) and value.requires_grad


def _allclose(a: tensorgrad.Tensor, b: tensorgrad.Tensor, rtol: float, atol: float) -> bool:
    common = tensorgrad.promote_types(a.dtype, b.dtype)
    return bool(tensorgrad.allclose(a.to(common), b.to(common), rtol=rtol, atol=atol))


def _largest_difference(a: tensorgrad.Tensor, b: tensorgrad.Tensor) -> float:
    return float((a - b).abs().max()) if a.numel() else 0.0


def _part(values: tensorgrad.Tensor, part: str) -> tensorgrad.Tensor:
    return tensorgrad.imag(values) if part == "imag" else tensorgrad.real(values)


def _parts(values: tensorgrad.Tensor) -> tuple[str, ...]:
    """The real functions of which a complex tensor is made, or ("",) for a real one."""
    return ("imag", "real") if values.is_complex() else ("",)


def _turned(direction: tensorgrad.Tensor, part: str) -> tensorgrad.Tensor:
    return direction * 1j if part == "imag" else direction


def _considering(part: str, what: str) -> str:
    """The opening of a message about one part of a complex `what`."""
    name = {"imag": "imaginary", "real": "real", "": ""}[part]
    return f"While considering the {name} part of complex {what} only, " if name else ""


class Check:
    """One call of `gradcheck`; each method is one of its checks and raises `GradcheckError`."""

    def __init__(
        self,
        func: Callable[..., Any],
        inputs: tuple[Any, ...],
        eps: float,
        atol: float,
        rtol: float,
        nondet_tol: float,
        fast: bool,
    ) -> None:
        self.func, self.inputs = func, inputs
        self.eps, self.atol, self.rtol, self.nondet_tol, self.fast = eps, atol, rtol, nondet_tol, fast
        self.targets: list[tensorgrad.Tensor] = [value for value in self.inputs if is_target(value)]
        # A generator of its own: every check draws the same vectors, and none of the user's random numbers.
        self.rng = np.random.default_rng(20130)
        self.outputs = differentiable_outputs(self.func(*self.inputs))
        self.input_probes = [random_probe(x, self.rng) if self.fast else None for x in self.targets]
        self.output_probes = [random_probe(out, self.rng) if self.fast else None for out in self.outputs]

    @functools.cached_property
    def numerical(self) -> list[list[NumericalJacobian]]:
        """Indexed by input, then by output."""
        return [
            numerical_jacobians(
                self.func,
                self.inputs,
                target,
                self.outputs,
                self.eps,
                input_probe=probe,
                output_probes=self.output_probes,
            )
            for target, probe in zip(self.targets, self.input_probes, strict=True)
        ]

    def vanishing_gradient(self) -> None:
        """Where no output requires a gradient, moving the inputs must not change any."""
        outputs = continuous_outputs(self.func(*self.inputs))
        for j, target in enumerate(self.targets):
            found = numerical_jacobians(
                self.func, self.inputs, target, outputs, self.eps, select=continuous_outputs
            )
            for i, jacobian in enumerate(found):
                for change in jacobian:
                    if change is not None and bool((change != 0).any()):
                        raise GradcheckError(
                            "Numerical gradient for function expected to be zero: no output requires grad, "
                            f"yet output {i} changes with input {j}. Was it computed under no_grad() or "
                            "detached?"
                        )

    # Backward mode ---------------------------------------------------------------------------------

    def vjp(self, output: tensorgrad.Tensor, cotangent: tensorgrad.Tensor) -> list[tensorgrad.Tensor | None]:
        """The gradients of all targets, None for those that `output` does not depend on."""
        return list(
            tensorgrad.autograd.grad(output, self.targets, cotangent, retain_graph=True, allow_unused=True)
        )

    def backward_numerical(self, i: int, j: int, part: str) -> tensorgrad.Tensor:
        """The gradients of one part of output `i` as backward reports them: d/dx + 1j d/dy."""
        real, imag = self.numerical[j][i]
        if imag is None:
            return _part(real, part)
        return tensorgrad.complex(_part(real, part), _part(imag, part))

    def backward_analytical(self, i: int, part: str, dtypes: bool) -> list[tensorgrad.Tensor]:
        """The same as `backward_numerical`, by backward: a matrix for each input."""
        output = self.outputs[i]
        columns: list[list[tensorgrad.Tensor]] = [[] for _ in self.targets]
        for direction in directions(output, self.output_probes[i]):
            grads = self.vjp(output, _turned(direction, part))
            for j, (grad, target, probe) in enumerate(
                zip(grads, self.targets, self.input_probes, strict=True)
            ):
                if grad is None:
                    grad = tensorgrad.zeros_like(target)
                if grad.shape != target.shape:
                    raise GradcheckError(
                        f"Analytical gradient has incorrect size: {tuple(grad.shape)} for input {j} "
                        f"of size {tuple(target.shape)}"
                    )
                if dtypes and grad.dtype != target.dtype:
                    raise GradcheckError(
                        f"Backward returned gradient of incorrect type: {grad.dtype} for input {j} "
                        f"of type {target.dtype}"
                    )
                columns[j].append(contract(grad.detach(), probe))
        return [
            stack(column, target.numel() if probe is None else 1, target, 1)
            for column, target, probe in zip(columns, self.targets, self.input_probes, strict=True)
        ]

    def backward_mode(self, dtypes: bool) -> None:
        """Backward agrees with the finite differences, and with itself when run again."""
        for i, output in enumerate(self.outputs):
            for part in _parts(output):
                analytical = self.backward_analytical(i, part, dtypes)
                again = self.backward_analytical(i, part, dtypes)
                for j, (one, two) in enumerate(zip(analytical, again, strict=True)):
                    difference = _largest_difference(one, two)
                    # A NaN is not larger than anything: it is left to the comparison below, which it fails.
                    if difference > self.nondet_tol:
                        raise GradcheckError(
                            "Backward is not reentrant, i.e., running backward with same input and "
                            f"grad_output multiple times gives different values: output {i}, input {j}, "
                            f"largest difference {difference}. The tolerance for nondeterminism was "
                            f"{self.nondet_tol}; a larger nondet_tol allows it."
                        )
                for j, found in enumerate(analytical):
                    self.compare(i, j, part, self.backward_numerical(i, j, part), found, forward=False)

    def multiplied_by_grad_output(self) -> None:
        """A gradient is linear in the incoming one: zeros come out where zeros go in."""
        zeros = [tensorgrad.zeros_like(out) for out in self.outputs]
        grads = tensorgrad.autograd.grad(
            self.outputs, self.targets, zeros, retain_graph=True, allow_unused=True
        )
        for j, (grad, target) in enumerate(zip(grads, self.targets, strict=True)):
            if grad is None:
                continue
            if grad.shape != target.shape:
                raise GradcheckError(f"grad is incorrect size: {tuple(grad.shape)} for input {j}")
            if grad.device != target.device:
                raise GradcheckError(f"grad is incorrect device: {grad.device} for input {j}")
            if bool((grad != 0).any()):
                raise GradcheckError(
                    f"backward not multiplied by grad_output: the gradient of input {j} is not zero "
                    "where every grad_output is"
                )

    def undefined_gradients(self) -> None:
        """Backward copes with outputs that nothing downstream has a gradient for."""
        count = len(self.outputs)
        cuts = [set(range(count))]
        if count > 1:
            cuts += [{i} for i in range(count)]
        for cut in cuts:
            outputs = [
                _CutGradient.apply(out) if i in cut else out
                for i, out in enumerate(differentiable_outputs(self.func(*self.inputs)))
            ]
            zeros = [tensorgrad.zeros_like(out) for out in outputs]
            which = f"output gradients {sorted(cut)} undefined"
            try:
                grads = tensorgrad.autograd.grad(outputs, self.targets, zeros, allow_unused=True)
            except (RuntimeError, TypeError, AttributeError, ValueError) as error:
                raise GradcheckError(
                    f"Expected backward function to handle undefined output grads: with {which} it "
                    f"raised {type(error).__name__}: {error}. Treat None as zeros, or leave "
                    "ctx.set_materialize_grads at True."
                ) from error
            for j, grad in enumerate(grads):
                if grad is not None and bool((grad != 0).any()):
                    raise GradcheckError(
                        "Expected all input grads to be undefined or zero when all output grads are "
                        f"undefined or zero: with {which} that of input {j} is\n{grad}"
                    )

    def batched_backward(self) -> None:
        """Backward over a batch of cotangents gives what a loop over them gives."""
        for i, output in enumerate(self.outputs):
            cotangents = [random_like(output, self.rng) for _ in range(2)]
            looped = [self.vjp(output, cotangent) for cotangent in cotangents]
            try:
                batched = tensorgrad.autograd.grad(
                    output,
                    self.targets,
                    tensorgrad.stack(cotangents),
                    retain_graph=True,
                    allow_unused=True,
                    is_grads_batched=True,
                )
            except RuntimeError as error:
                raise GradcheckError(
                    f"While computing batched gradients, got: {error}\n\nbackward works for one grad_output "
                    "but not under vmap; check_batched_grad=False leaves this check out."
                ) from error
            for j, (got, target) in enumerate(zip(batched, self.targets, strict=True)):
                rows = [tensorgrad.zeros_like(target) if row[j] is None else row[j] for row in looped]
                self.compare_batches(i, j, rows, got, "gradients")

    # Forward mode ----------------------------------------------------------------------------------

    def jvp(self, j: int, tangent: tensorgrad.Tensor, zeros: bool = True) -> list[tensorgrad.Tensor]:
        """The tangents of the outputs for a tangent of target `j`; the others get zeros, or none at all."""
        with forward_ad.dual_level():
            arguments = []
            for value in self.inputs:
                if not is_target(value):
                    arguments.append(value)
                    continue
                primal = value.detach().requires_grad_()
                # By identity: a tensor that is given twice moves in both places.
                if value is self.targets[j]:
                    arguments.append(forward_ad.make_dual(primal, tangent))
                elif zeros:
                    arguments.append(forward_ad.make_dual(primal, tensorgrad.zeros_like(primal)))
                else:
                    arguments.append(primal)
            tangents = []
            for out in differentiable_outputs(self.func(*arguments)):
                dual = forward_ad.unpack_dual(out)
                found = tensorgrad.zeros_like(out) if dual.tangent is None else dual.tangent
                tangents.append(found.detach().clone())
        return tangents

    def forward_mode(self, dtypes: bool) -> None:
        """The tangents of the outputs agree with the finite differences."""
        for j, (target, probe) in enumerate(zip(self.targets, self.input_probes, strict=True)):
            for part in _parts(target):
                rows: list[list[tensorgrad.Tensor]] = [[] for _ in self.outputs]
                for direction in directions(target, probe):
                    tangents = self.jvp(j, _turned(direction, part))
                    for i, (tangent, out) in enumerate(zip(tangents, self.outputs, strict=True)):
                        if dtypes and tangent.dtype != out.dtype:
                            raise GradcheckError(
                                f"Forward mode returned tangent of incorrect type: {tangent.dtype} "
                                f"for output {i} of type {out.dtype}"
                            )
                        rows[i].append(contract(tangent, self.output_probes[i]))
                for i, (row, out) in enumerate(zip(rows, self.outputs, strict=True)):
                    length = out.numel() if self.output_probes[i] is None else 1
                    expected = self.numerical[j][i].imag if part == "imag" else self.numerical[j][i].real
                    assert expected is not None
                    self.compare(i, j, part, expected, stack(row, length, out, 0), forward=True)

    def undefined_tangents(self) -> None:
        """An input without a tangent is one with a tangent of zeros."""
        for j, target in enumerate(self.targets):
            tangent = random_like(target, self.rng)
            expected = self.jvp(j, tangent)
            try:
                got = self.jvp(j, tangent, zeros=False)
            except (RuntimeError, TypeError, AttributeError, ValueError) as error:
                raise GradcheckError(
                    f"Expected forward AD to handle undefined tangents: with a tangent for input {j} "
                    f"alone it raised {type(error).__name__}: {error}"
                ) from error
            for i, (one, two) in enumerate(zip(got, expected, strict=True)):
                if not _allclose(one, two, self.rtol, self.atol):
                    raise GradcheckError(
                        f"Expected the tangent of output {i} to be the same where the inputs other than "
                        f"input {j} have undefined tangents and where they have zeros:\n"
                        f"undefined:{one}\nzeros:{two}"
                    )

    def batched_forward(self) -> None:
        """Forward mode over a batch of tangents gives what a loop over them gives."""
        results = as_tuple(self.func(*self.inputs))
        kept = [place for place, out in enumerate(results) if is_continuous(out) and out.requires_grad]
        primals = tuple(target.detach() for target in self.targets)

        def outputs_of(*targets: tensorgrad.Tensor) -> tuple[tensorgrad.Tensor, ...]:
            fresh = iter(targets)
            found = as_tuple(
                self.func(*[next(fresh) if is_target(value) else value for value in self.inputs])
            )
            return tuple(found[place] for place in kept)

        for j, target in enumerate(self.targets):

            def batch_member(
                tangent: tensorgrad.Tensor, moved: tensorgrad.Tensor = target
            ) -> tuple[tensorgrad.Tensor, ...]:
                # A transform and not `self.jvp`: transforms nest, whereas requires_grad_() is refused in one.
                tangents = tuple(tangent if x is moved else tensorgrad.zeros_like(x) for x in self.targets)
                return tuple(tensorgrad.func.jvp(outputs_of, primals, tangents)[1])

            tangents = [random_like(target, self.rng) for _ in range(2)]
            looped = [self.jvp(j, tangent) for tangent in tangents]
            try:
                batched = tensorgrad.func.vmap(batch_member)(tensorgrad.stack(tangents))
            except RuntimeError as error:
                raise GradcheckError(
                    f"While computing batched gradients, got: {error}\n\nforward mode works for one tangent "
                    "but not under vmap; check_batched_forward_grad=False leaves this check out."
                ) from error
            for i, got in enumerate(batched):
                self.compare_batches(i, j, [row[i] for row in looped], got, "tangents")

    # Comparisons -----------------------------------------------------------------------------------

    def compare_batches(
        self, i: int, j: int, rows: Sequence[Any], got: tensorgrad.Tensor | None, what: str
    ) -> None:
        expected = tensorgrad.stack(list(rows))
        got = tensorgrad.zeros_like(expected) if got is None else got
        if got.shape != expected.shape or not _allclose(got, expected, self.rtol, self.atol):
            raise GradcheckError(
                f"For output {i} and input {j} the batched {what} differ from those computed one by one:\n"
                f"got:\n{got}\nexpected:\n{expected}"
            )

    def compare(
        self,
        i: int,
        j: int,
        part: str,
        numerical: tensorgrad.Tensor,
        analytical: tensorgrad.Tensor,
        forward: bool,
    ) -> None:
        """Raise unless the two Jacobians agree."""
        u, v = self.input_probes[j], self.output_probes[i]
        # Element by element each may be off by atol; summed with the probes' weights that makes this much.
        atol = self.atol if u is None or v is None else self.atol * float(u.sum()) * float(v.sum())
        if _allclose(analytical, numerical, self.rtol, atol):
            return
        mode = "computed with forward mode " if forward else ""
        lead = f"{_considering(part, 'inputs' if forward else 'outputs')}Jacobian {mode}mismatch"
        where = f"for output {i} with respect to input {j}"
        if not self.fast:
            raise GradcheckError(f"{lead} {where},\nnumerical:{numerical}\nanalytical:{analytical}\n")
        raise GradcheckError(
            f"{lead} {where},\nnumerical:{numerical.item()}\nanalytical:{analytical.item()}\n\n"
            + self.slow_report(i, j, part, forward)
        )

    def slow_report(self, i: int, j: int, part: str, forward: bool) -> str:
        """The element-wise Jacobians for a mismatch that the projections of fast mode showed."""
        slow = Check(self.func, self.inputs, self.eps, self.atol, self.rtol, self.nondet_tol, fast=False)
        target, output = slow.targets[j], slow.outputs[i]
        if forward:
            rows = [slow.jvp(j, _turned(unit, part))[i].reshape(-1) for unit in directions(target, None)]
            analytical = stack(rows, output.numel(), output, 0)
            jacobian = slow.numerical[j][i]
            numerical = jacobian.imag if part == "imag" and jacobian.imag is not None else jacobian.real
        else:
            analytical = slow.backward_analytical(i, part, dtypes=False)[j]
            numerical = slow.backward_numerical(i, j, part)
        report = (
            "The above quantities are the Jacobians projected on random vectors (fast mode). "
            f"Element by element they are\n\nNumerical:\n{numerical}\nAnalytical:\n{analytical}\n\n"
            f"The max per-element difference (slow mode) is: {_largest_difference(numerical, analytical)}.\n"
        )
        if _allclose(analytical, numerical, self.rtol, self.atol):
            report += (
                "Fast gradcheck failed but element-wise differences are small: with fast_mode=False the "
                "check passes.\n"
            )
        return report
