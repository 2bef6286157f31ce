"""The training steps in JAX: each one jitted function, whose buffers are donated, and waited for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from cases import training as names
from cases.library import Library, Timed, call


def cases(library: Library) -> dict[str, Callable[[], Timed]]:
    """The steps, by the name of the row; for JAX alone."""
    jax, np = library.jax, library.np
    jnp, lax = jax.numpy, jax.lax

    def parameters(sizes: tuple[int, ...], rng: Any) -> list[Any]:
        pairs = pairwise(sizes)
        return [(jnp.array(rng.uniform(-1, 1, (m, n)) / m**0.5, "float32"), jnp.zeros(n, "float32")) for m, n in pairs]

    def apply(params: list[Any], x: Any, activation: Callable[[Any], Any]) -> Any:
        for w, b in params[:-1]:
            x = activation(x @ w + b)
        w, b = params[-1]
        return x @ w + b

    def cross_entropy(logits: Any, y: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    def mean_square(out: Any, y: Any) -> Any:
        return ((out - y) ** 2).mean()

    def square_sum(out: Any, y: Any) -> Any:
        return ((out - y) ** 2).sum()

    def sgd(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda p, g: p - 1e-5 * g, params, grads), state

    def momentum(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        state = jax.tree.map(lambda m, g: 0.9 * m + g, state, grads)
        return jax.tree.map(lambda p, m: p - 1e-5 * m, params, state), state

    def adam(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        count, first, second = state
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        correction = jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        params = jax.tree.map(lambda p, m, v: p - 1e-5 * correction * m / (jnp.sqrt(v) + 1e-8), params, first, second)
        return params, (count, first, second)

    def step(loss: Callable[[Any, Any, Any], Any], update: Callable[..., Any], params: Any, x: Any, y: Any) -> Timed:
        def zeros() -> Any:
            return jax.tree.map(jnp.zeros_like, params)

        state: Any = {"sgd": lambda: None, "momentum": zeros, "adam": lambda: (jnp.float32(0), zeros(), zeros())}
        kept = [params, state[update.__name__]()]

        def pure(params: Any, state: Any, x: Any, y: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(params, x, y)
            return value, *update(params, grads, state)

        jitted = jax.jit(pure, donate_argnums=(0, 1))

        def train() -> None:
            value, kept[0], kept[1] = jitted(kept[0], kept[1], x, y)
            value.block_until_ready()  # all results of a call are there at once

        return call(train)

    def regression(
        sizes: tuple[int, ...], batch: int, activation: str, update: Callable[..., Any], criterion: Any = mean_square
    ) -> Timed:
        rng = np.random.default_rng(0)
        function = {"Tanh": jnp.tanh, "ReLU": jax.nn.relu}[activation]
        x, y = (jnp.array(rng.standard_normal((batch, n), "f4")) for n in (sizes[0], sizes[-1]))
        return step(lambda p, x, y: criterion(apply(p, x, function), y), update, parameters(sizes, rng), x, y)

    def classification() -> Timed:
        rng = np.random.default_rng(0)
        x, y = jnp.array(rng.standard_normal((128, 784), "f4")), jnp.arange(128) % 10
        params = parameters((784, 1024, 1024, 10), rng)
        return step(lambda p, x, y: cross_entropy(apply(p, x, jax.nn.relu), y), momentum, params, x, y)

    def recurrent() -> Timed:
        rng = np.random.default_rng(0)
        params = [jnp.array(rng.standard_normal(shape) * 0.1, "float32") for shape in ((32, 32), (32, 32), (32,))]
        xs = jnp.array(rng.standard_normal((50, 4, 32), "f4"))

        def loss(params: Any, xs: Any) -> Any:
            w, u, b = params
            last, _ = lax.scan(lambda h, x: (jnp.tanh(x @ w + h @ u + b), None), jnp.zeros((4, 32)), xs)
            return last.sum()

        jitted = jax.jit(jax.grad(loss))
        return call(lambda: jax.block_until_ready(jitted(params, xs)))

    def convolutions() -> Timed:
        rng = np.random.default_rng(0)
        kernels = [
            jnp.array(rng.uniform(-0.2, 0.2, shape), "float32") for shape in ((8, 1, 3, 3), (8,), (16, 8, 3, 3), (16,))
        ]
        params = [*kernels, *parameters((784, 10), rng)[0]]

        def loss(params: Any, x: Any, y: Any) -> Any:
            k1, b1, k2, b2, w, b = params
            for k, bias in ((k1, b1), (k2, b2)):
                x = jax.nn.relu(lax.conv(x, k, (1, 1), "SAME") + bias[:, None, None])
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            return cross_entropy(x.reshape(32, -1) @ w + b, y)

        x, y = jnp.array(rng.standard_normal((32, 1, 28, 28), "f4")), jnp.arange(32) % 10
        return step(loss, sgd, params, x, y)

    found: dict[str, Callable[[], Timed]] = {
        names.SGD: lambda: regression((2, 8, 1), 4, "Tanh", sgd),
        names.ADAM: lambda: regression((2, 8, 1), 4, "Tanh", adam),
        names.TINY: lambda: regression((1000, 100, 10), 16, "ReLU", sgd, square_sum),
        names.DEEP: lambda: regression((64,) * 31, 8, "Tanh", sgd),
        names.MLP: classification,
        names.CNN: convolutions,
        names.RECURRENT: recurrent,
    }
    for size in names.CURVE_SIZES:
        found[names.width(size)] = lambda size=size: regression((size,) * 4, 32, "ReLU", sgd)
    return found
