"""Neural-network layers, losses and initialisation for tensorgrad."""

from tensorgrad_nn import functional, init, parameter, utils
from tensorgrad_nn.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from tensorgrad_nn.container import ModuleDict, ModuleList, Sequential
from tensorgrad_nn.dropout import Dropout
from tensorgrad_nn.linear import Identity, Linear
from tensorgrad_nn.loss import BCELoss, BCEWithLogitsLoss, L1Loss, MSELoss
from tensorgrad_nn.module import Module
from tensorgrad_nn.parameter import Buffer, Parameter
from tensorgrad_nn.parameter_container import ParameterDict, ParameterList

__version__ = "0.1.0"

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "Buffer",
    "Dropout",
    "Identity",
    "L1Loss",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
    "parameter",
    "utils",
]
