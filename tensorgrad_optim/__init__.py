"""Optimizers for tensorgrad."""

from __future__ import annotations

import importlib

from tensorgrad_optim.adadelta import Adadelta
from tensorgrad_optim.adagrad import Adagrad
from tensorgrad_optim.adam import Adam, AdamW
from tensorgrad_optim.adamax import Adamax
from tensorgrad_optim.asgd import ASGD
from tensorgrad_optim.lbfgs import LBFGS
from tensorgrad_optim.nadam import NAdam
from tensorgrad_optim.optimizer import Optimizer
from tensorgrad_optim.radam import RAdam
from tensorgrad_optim.rmsprop import RMSprop
from tensorgrad_optim.rprop import Rprop
from tensorgrad_optim.sgd import SGD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from tensorgrad_optim import lr_scheduler, swa_utils

__version__ = "0.1.0"

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> ModuleType:
    # Many programs train without a schedule. (The package `tensorgrad` has no such function: with one, Python 3.11
    # looks up each `tensorgrad.zeros` the long way, for 50 ns.)
    if name in ("lr_scheduler", "swa_utils"):
        return importlib.import_module(f"tensorgrad_optim.{name}")
    raise AttributeError(f"module 'tensorgrad_optim' has no attribute '{name}'")
