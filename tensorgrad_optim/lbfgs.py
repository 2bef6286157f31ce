"""L-BFGS, a quasi-Newton method of limited memory."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_optim._checks import checked, number_of
from tensorgrad_optim._line_search import strong_wolfe
from tensorgrad_optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["LBFGS"]

# Pairs of a smaller curvature would make the approximation of the Hessian nearly singular.
_LEAST_CURVATURE = 1e-10


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last few gradients.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor), or of one dict
        What to optimize; see `Optimizer`. There can be only one group.
    lr : float or Tensor with one element, default 1
        The length of a step, or what the line search begins with.
    max_iter : int, default 20
        The largest number of iterations in a step.
    max_eval : int, optional
        The largest number of calls of the closure in a step. Default: 1.25 `max_iter`.
    tolerance_grad : float, default 1e-7
        A gradient with no larger element ends the step.
    tolerance_change : float, default 1e-9
        A smaller change of the loss or of the parameters ends the step.
    history_size : int, default 100
        How many pairs of changes are remembered.
    line_search_fn : 'strong_wolfe', optional
        Search each direction until the strong Wolfe conditions hold.

    Raises
    ------
    ValueError
        If `lr` is negative, or there is more than one group.

    Notes
    -----
    The direction is -H g, where H is built by the two-loop recursion, algorithm 7.4 of [1]_, from the pairs
    s = p_k+1 - p_k and y = g_k+1 - g_k, and begins with (s . y) / (y . y) times the identity. The behaviour is that of
    `torch.optim.LBFGS` (PyTorch 2.13). Memory: `history_size` + 1 times that of the parameters, twice.

    .. [1] J. Nocedal and S. J. Wright, "Numerical optimization", 2nd ed., 2006.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn, tensorgrad_optim as optim
    >>> weight = nn.Parameter(tensorgrad.tensor([3.0, -2.0]))
    >>> optimizer = optim.LBFGS([weight], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((weight - tensorgrad.tensor([1.0, 2.0])) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)
    tensor(20., grad_fn=<SumBackward0>)
    >>> [round(element, 3) for element in weight.tolist()]
    [1.0, 2.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            checked(
                lr=lr,
                max_iter=max_iter,
                max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
                tolerance_grad=tolerance_grad,
                tolerance_change=tolerance_change,
                history_size=history_size,
                line_search_fn=line_search_fn,
            ),
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    # All parameters as one vector; complex ones by their parts

    def _flat_grad(self) -> Tensor:
        pieces = []
        for param in self.param_groups[0]["params"]:
            grad = tensorgrad.zeros_like(param, requires_grad=False) if param.grad is None else param.grad
            pieces.append((tensorgrad.view_as_real(grad) if grad.is_complex() else grad).reshape(-1))
        return tensorgrad.cat(pieces, 0)

    def _move(self, length: Any, direction: Tensor) -> None:
        start = 0
        for param in self.param_groups[0]["params"]:
            parts = tensorgrad.view_as_real(param) if param.is_complex() else param
            end = start + parts.numel()
            parts.add_(direction[start:end].reshape(parts.shape), alpha=float(length))
            start = end

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Do up to `max_iter` iterations.

        Parameters
        ----------
        closure : callable
            Computes the gradients anew and returns the loss.

        Returns
        -------
        Tensor or float
            What `closure` returned at first.
        """
        with tensorgrad.no_grad():
            return self._iterate(closure)

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        lr, max_iter, max_eval = number_of(group["lr"]), group["max_iter"], group["max_eval"]
        tolerance_change, search = group["tolerance_change"], group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")

        # There is only one state; it hangs on the first parameter, so that loading casts it.
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first_loss = self._evaluate(closure)
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if _largest(grad) <= group["tolerance_grad"]:
            return first_loss

        iteration = 0
        while iteration < max_iter:
            iteration += 1
            state["n_iter"] += 1
            direction = self._direction(state, grad, group["history_size"])
            if state.get("prev_flat_grad") is None:
                state["prev_flat_grad"] = grad.clone()
            else:
                state["prev_flat_grad"].copy_(grad)
            state["prev_loss"] = previous_loss = loss
            state["d"] = direction

            length = min(1.0, 1.0 / float(grad.abs().sum())) * lr if state["n_iter"] == 1 else lr
            state["t"] = length
            slope = float(grad.dot(direction))
            if slope > -tolerance_change:
                break

            used = 0
            if search is not None:
                loss, grad, length, used = self._search(
                    closure, length, direction, loss, grad, slope, max_eval - evaluations
                )
                state["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                # The loss after the last iteration is left to the next step's first evaluation.
                if iteration != max_iter:
                    loss, grad, used = float(self._evaluate(closure)), self._flat_grad(), 1
            evaluations += used
            state["func_evals"] += used
            if (
                iteration == max_iter
                or evaluations >= max_eval
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(direction * length) <= tolerance_change
                or abs(loss - previous_loss) < tolerance_change
            ):
                break
        return first_loss

    def _direction(self, state: dict[str, Any], grad: Tensor, history_size: int) -> Tensor:
        """Return -H g, having taken the last change into H."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -grad
        changes, moves, inverses = state["old_dirs"], state["old_stps"], state["ro"]
        change, move = grad - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = change.dot(move)
        if curvature > _LEAST_CURVATURE:
            if len(changes) == history_size:
                for memory in (changes, moves, inverses):
                    memory.pop(0)
            changes.append(change)
            moves.append(move)
            inverses.append(1.0 / curvature)
            state["H_diag"] = curvature / change.dot(change)

        along = state.setdefault("al", [None] * history_size)
        result = -grad
        for i in reversed(range(len(changes))):
            along[i] = moves[i].dot(result) * inverses[i]
            result.sub_(changes[i] * along[i])
        result.mul_(state["H_diag"])
        for i in range(len(changes)):
            result.add_(moves[i] * (along[i] - changes[i].dot(result) * inverses[i]))
        return result

    def _search(
        self,
        closure: Callable[[], Any],
        length: float,
        direction: Tensor,
        loss: float,
        grad: Tensor,
        slope: float,
        budget: int,
    ) -> tuple[float, Tensor, float, int]:
        """Search along a direction from where the parameters are, and put them back there."""
        params = self.param_groups[0]["params"]
        origin = [param.clone() for param in params]

        def evaluate(at: float) -> tuple[float, Tensor]:
            self._move(at, direction)
            value, gradient = float(self._evaluate(closure)), self._flat_grad()
            for param, value_before in zip(params, origin):
                param.copy_(value_before)
            return value, gradient

        return strong_wolfe(evaluate, length, direction, loss, grad, slope, budget)


def _largest(x: Tensor) -> float:
    return x.abs().max().item()
