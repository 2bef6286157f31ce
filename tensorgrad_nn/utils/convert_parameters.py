"""All parameters as one vector, and back."""

from __future__ import annotations

import tensorgrad
from tensorgrad import Tensor
from tensorgrad_nn._naming import typename

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Join parameters to one vector, which autograd can follow.

    Parameters
    ----------
    parameters : iterable of Tensor, any shapes
        In the order in which they are to be joined.

    Returns
    -------
    Tensor, one dimension

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> nn.utils.parameters_to_vector([tensorgrad.ones(2, 1), tensorgrad.zeros(1)])
    tensor([1., 1., 0.])
    """
    return tensorgrad.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make parameters the parts of a vector.

    Parameters
    ----------
    vec : Tensor, one dimension
        As `parameters_to_vector` returns it.
    parameters : iterable of Tensor
        Their data become views of `vec`.

    Raises
    ------
    TypeError
        If `vec` is not a Tensor.

    Examples
    --------
    >>> import tensorgrad, tensorgrad_nn as nn
    >>> weight = nn.Parameter(tensorgrad.zeros(2))
    >>> nn.utils.vector_to_parameters(tensorgrad.tensor([1.0, 2.0]), [weight])
    >>> weight
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected tensorgrad.Tensor, but got: {typename(vec)}")
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.data = vec[start:stop].view(parameter.shape).detach()
        start = stop
