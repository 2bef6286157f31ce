"""Transforms of functions, which nest: vmap, grad, vjp, jvp and what is made of them."""

from tensorgrad.func._functional_call import functional_call, stack_module_state
from tensorgrad.func._jacobians import hessian, jacfwd, jacrev
from tensorgrad.func._transforms import grad, grad_and_value, jvp, linearize, vjp
from tensorgrad.func._vmap import vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
