"""Optimizers for tensorgrad."""

from tensorgrad_optim import lr_scheduler, swa_utils
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
