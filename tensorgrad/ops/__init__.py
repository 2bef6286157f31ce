"""The operators, a file for each family; importing this package declares them all."""

import functools

from tensorgrad._core.operator import all_operators, check_handles
from tensorgrad._core.tensor import add_method
from tensorgrad.ops import (
    advanced_indexing,
    assembly,
    binary,
    broadcast,
    complex_numbers,
    contraction,
    conv,
    conversion,
    creation,
    cross_entropy,
    diagonal,
    extrema,
    indexing,
    joining,
    least_squares,
    linalg,
    linear,
    loss,
    masking,
    matmul,
    nn,
    norm,
    optim,
    padding,
    pairs,
    permutation,
    pooling,
    random,
    reduction,
    scan,
    scatter,
    shape,
    slicing,
    sorting,
    special,
    special_functions,
    spectral,
    statistics,
    strided,
    unary,
    variance,
    vector_norm,
    vector_products,
    windows,
)

__all__ = ["public_names", "registry"]


def registry():
    """Every declared overload, in the order of the operators' names."""
    return [overload for _, op in sorted(all_operators().items()) for overload in op.overloads]


@functools.cache
def public_names():
    """``(name, operator, is_function, is_method)`` for each public name of an operator, aliases included."""
    names = []
    operators = all_operators()
    for name, op in operators.items():
        options = op.overloads[0].options
        if options.get("internal"):
            continue
        method = options.get("method", True)
        for alias in (name, *options.get("aliases", ())):
            names.append((alias, op, options.get("function", True), method))
            # the in-place form of an alias
            inplace = operators.get(name + "_")
            if alias != name and inplace is not None:
                names.append((alias + "_", inplace, inplace.overloads[0].options.get("function", True), True))
    return names


def install_methods():
    """Put the operators on Tensor."""
    for name, op, _, method in public_names():
        if method == "property":
            # With a doc of its own, property does not ask for the operator's, which would be composed at every import.
            add_method(name, property(op, doc=op.overloads[0].doc))
        elif method and any(" self" in overload.signature_text.partition(",")[0] for overload in op.overloads):
            add_method(name, op)


check_handles()
install_methods()
