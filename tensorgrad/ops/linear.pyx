"""Linear layers."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty
from tensorgrad.ops.broadcast cimport summed_to
from tensorgrad.ops.matmul cimport (
    _are_plain_matrices, _plain_product, check_added, check_matrices, check_operands, expand_checked, shaped, sizes_of,
    turned, view2)

from math import prod

from tensorgrad._core.declaration import operator
from tensorgrad.ops.matmul import _adjoint, _conj, _front, _product_tangent

cdef Operator mm, mv, matmul, linear, sum_, reshape, transpose, unsqueeze, squeeze, sum_to_size
mm, mv, matmul, linear, sum_, reshape = (handle(n) for n in ("mm", "mv", "matmul", "linear", "sum", "reshape"))
transpose, unsqueeze, squeeze, sum_to_size = (handle(n) for n in ("transpose", "unsqueeze", "squeeze", "sum_to_size"))


cdef object _linear(PyObject** a):
    """The input's leading dimensions are one; the bias is written first and the product added to it."""
    cdef TensorBase input = <TensorBase>a[0], weight = <TensorBase>a[1], bias = <object>a[2]
    cdef int64_t shape[2]
    cdef TensorBase x = input, w, out
    cdef bint vector = weight.ndim == 1
    cdef list sizes = sizes_of(input) if input.ndim != 2 or vector else None
    if input.ndim == 0 or weight.ndim not in (1, 2):
        raise RuntimeError("both arguments to linear need to be at least 1D, but they are "
                           f"{input.ndim}D and {weight.ndim}D" if input.ndim == 0 or weight.ndim == 0
                           else f"linear: weight must be a matrix or a vector, but it has {weight.ndim} dimensions")
    if input.ndim == 1:
        x = view2(input, 1, input.shape[0], 1, input.strides[0])
    elif input.ndim > 2:
        if not x.flags & CONTIGUOUS:
            x = empty(input.ndim, input.shape, input.dtype, input.storage.device)
            primitives.copy(x, input)
        x = shaped(x, [prod(sizes[:-1]), sizes[-1]])
    w = view2(weight, weight.shape[0], 1, weight.strides[0], 1) if vector else \
        turned(weight)
    check_matrices(x, w)
    check_operands(x, w, "addmm")
    shape[0], shape[1] = x.shape[0], w.shape[1]
    out = empty(2, shape, x.dtype, x.storage.device)
    if bias is None:
        primitives.matmul(out, x, w, 0.0)
    else:
        check_added(bias, w)
        primitives.copy(out, expand_checked(bias, 2, shape))
        primitives.matmul(out, x, w, 1.0)
    if input.ndim == 2 and not vector:
        return out
    return shaped(out, sizes[:-1] if vector else sizes[:-1] + [w.shape[1]])


def linear_input_vjp(TensorBase grad, TensorBase weight):
    if _are_plain_matrices(grad, weight):
        return _plain_product(grad, weight)
    if weight.ndim == 1:
        return unsqueeze(grad, -1) * _conj(weight)
    return matmul(grad, _conj(weight))


def linear_weight_vjp(TensorBase grad, TensorBase input, weight_shape):
    if _are_plain_matrices(grad, input):
        return _plain_product(turned(grad), input)
    if len(weight_shape) == 1:
        return mv(_adjoint(_rows(input)), reshape(grad, (-1,)))
    return mm(transpose(_rows(grad), 0, 1), _conj(_rows(input)))


def _rows(TensorBase x):
    """The leading dimensions as one."""
    if x.ndim == 2:
        return x
    sizes = sizes_of(x)
    return reshape(x, (prod(sizes[:-1]), sizes[-1]))


def linear_bias_vjp(TensorBase grad, tuple bias_shape, weight_shape):
    cdef TensorBase out = summed_to(grad, bias_shape) if len(weight_shape) == 2 else None
    if out is not None:
        return out
    return sum_to_size(unsqueeze(grad, -1) if len(weight_shape) == 1 else grad, bias_shape)


def _linear_jvp(input, weight, input_t, weight_t, bias_t):
    tangent = _product_tangent(linear, input, weight, input_t, weight_t)
    if bias_t is None:
        return tangent
    return bias_t if tangent is None else tangent + bias_t


def linear_batch(batch_size, in_dims, input, weight, bias):
    rank = input.ndim - (in_dims[0] is not None)
    input, weight = _front(input, in_dims[0]), _front(weight, in_dims[1])
    if in_dims[1] is None:
        if in_dims[2] is None:
            return linear(input, weight, bias), 0
        out = linear(input, weight)
    elif weight.ndim == 2:      # a batch of vectors
        out = sum_(input * _front(weight, 0, rank), -1)
    else:
        transposed = transpose(weight, 1, 2)
        if rank == 1:
            out = squeeze(matmul(unsqueeze(input, -2), transposed), -2)
        elif in_dims[0] is None:
            out = reshape(matmul(_rows(input), transposed), (batch_size, *input.shape[:-1], weight.shape[1]))
        else:
            out = reshape(matmul(reshape(input, (batch_size, prod(input.shape[1:-1]), input.shape[-1])), transposed),
                          (batch_size, *input.shape[1:-1], weight.shape[1]))
    return (out if bias is None else out + _front(bias, in_dims[2], rank)), 0


operator("linear(Tensor input, Tensor weight, Tensor? bias=None)", native(_linear), batch=linear_batch, method=False,
         vjp={"input": lambda grad, weight: linear_input_vjp(grad, weight),
              "weight": lambda grad, input, weight_shape: linear_weight_vjp(grad, input, weight_shape),
              "bias": lambda grad, bias_shape, weight_shape: linear_bias_vjp(grad, bias_shape, weight_shape)},
         jvp=lambda input, weight, input_t, weight_t, bias_t: _linear_jvp(input, weight, input_t, weight_t, bias_t),
         reference="self @ weight.T + (0 if bias is None else bias)".replace("self", "input"),
         samples=lambda make: [((make(2, 3), make(4, 3), make(4)), {}), ((make(2, 3), make(4, 3)), {}),
                               ((make(2, 2, 3), make(4, 3), make(4)), {}), ((make(3), make(4, 3), make(4)), {}),
                               ((make(2, 3), make(3)), {})],
         doc="""``input @ weight.T + bias``, as one product.

    Parameters
    ----------
    input : Tensor of shape (..., in_features)
    weight : Tensor of shape (out_features, in_features) or (in_features,)
    bias : Tensor of shape (out_features,), optional

    Examples
    --------
    >>> tensorgrad.linear(tensorgrad.ones(2, 3), tensorgrad.ones(1, 3), tensorgrad.ones(1))
    tensor([[4.],
            [4.]])
    """)
