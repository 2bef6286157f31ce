"""One library in one process: its modules, its threads, and what is timed with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# In the order of the table's columns: the name in the code, the name in the table.
LIBRARIES = {
    "tensorgrad": "tensorgrad",
    "torch": "PyTorch",
    "compile": "torch.compile",
    "jax": "JAX jit",
    "numpy": "NumPy",
}


@dataclass(frozen=True)
class Timed:
    """A statement to be timed, and what the names in it mean; they are local variables of the loop."""

    code: str
    names: dict[str, Any] = field(default_factory=dict)


def call(function: Callable[[], object]) -> Timed:
    """A function of no arguments as a case."""
    return Timed("f()", {"f": function})


def environment(threads: int) -> dict[str, str]:
    """The environment of a worker: as many threads for every library, and bytecode may be kept."""
    # Intel's name for oneMKL is what PyTorch's products run on; XLA takes its threads from the affinity mask.
    names = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "TENSORGRAD")
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        **{f"{name}_NUM_THREADS": str(threads) for name in names},
        "JAX_PLATFORMS": "cpu",
        "TENSORGRAD_PLUGINS": "",
    }


class Library:
    """The modules of a library: ``t``, ``nn``, ``F``, ``optim`` where it has PyTorch's interface, ``np``, ``jax``."""

    def __init__(self, name: str, threads: int) -> None:
        import numpy

        self.name, self.np = name, numpy
        self.has_torch_interface = name in ("tensorgrad", "torch", "compile")
        if name == "tensorgrad":
            import tensorgrad
            import tensorgrad_nn
            import tensorgrad_optim

            self.t, self.nn, self.F, self.optim = tensorgrad, tensorgrad_nn, tensorgrad_nn.functional, tensorgrad_optim
            if hasattr(tensorgrad, "set_num_threads"):
                tensorgrad.set_num_threads(threads)
        elif self.has_torch_interface:
            import torch

            torch.set_num_threads(threads)
            self.t, self.nn, self.F, self.optim = torch, torch.nn, torch.nn.functional, torch.optim
        elif name == "jax":
            import jax

            self.jax = jax

    def versions(self) -> dict[str, str]:
        """The versions of what is measured."""
        found = {"NumPy": self.np.__version__}
        if self.name == "jax":
            import jaxlib

            return found | {"JAX": self.jax.__version__, "jaxlib": jaxlib.__version__}
        return found | (
            {LIBRARIES["torch" if self.name == "compile" else self.name]: self.t.__version__}
            if self.has_torch_interface
            else {}
        )

    def tensor(self, array: Any, requires_grad: bool = False) -> Any:
        """A NumPy array as a tensor (or array) of the library, in memory of its own."""
        if self.name == "jax":
            return self.jax.numpy.array(array)
        if self.name == "numpy":
            return array.copy()
        tensor = self.t.from_numpy(array).clone()
        return tensor.requires_grad_() if requires_grad else tensor
