"""Optimizers for tensorgrad."""

from tensorgrad_optim.optimizer import Optimizer
from tensorgrad_optim.sgd import SGD

__version__ = "0.1.0"

__all__ = ["SGD", "Optimizer"]
