"""Random state: seeds and generators, by the names of ``torch.random``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tensorgrad.ops.random import (
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = [
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


@contextmanager
def fork_rng(enabled: bool = True) -> Iterator[None]:
    """Put the random state back at the end of the block to what it was at its beginning.

    Parameters
    ----------
    enabled : bool
        False makes the block an ordinary one.

    Examples
    --------
    >>> import tensorgrad
    >>> with tensorgrad.random.fork_rng():
    ...     _ = tensorgrad.manual_seed(0)
    """
    if not enabled:
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
