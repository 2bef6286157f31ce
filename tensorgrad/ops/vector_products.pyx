"""Products with vectors: dot, inner and outer products, and a matrix times a vector."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty, new_tensor
from tensorgrad.ops.matmul cimport check_operands, product_plus, shaped, sizes_of, view2

from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.matmul import _adjoint, _bilinear, _conj, _front, _plus_batch, _plus_tangent, _product_tangent, _times, plus

cdef Operator mv, dot, vdot, bmm, matmul, outer, tensordot, reshape, transpose, unsqueeze, squeeze, sum_to_size, expand
mv, dot, vdot, bmm, matmul, outer, tensordot = (handle(n) for n in ("mv", "dot", "vdot", "bmm", "matmul", "outer", "tensordot"))
reshape, transpose, unsqueeze, squeeze = (handle(n) for n in ("reshape", "transpose", "unsqueeze", "squeeze"))
sum_to_size, expand = handle("sum_to_size"), handle("expand")


def _mv_batch(batch_size, in_dims, self, vec):
    if in_dims[0] is None:
        return matmul(_front(vec, in_dims[1]), transpose(self, 0, 1)), 0
    if in_dims[1] is None:
        return matmul(_front(self, in_dims[0]), vec), 0
    return squeeze(bmm(_front(self, in_dims[0]), unsqueeze(_front(vec, in_dims[1]), 2)), 2), 0


def _dot_batch(batch_size, in_dims, self, other):
    if in_dims[0] is None:
        return mv(_front(other, in_dims[1]), self), 0
    if in_dims[1] is None:
        return mv(_front(self, in_dims[0]), other), 0
    return reshape(bmm(unsqueeze(_front(self, in_dims[0]), 1), unsqueeze(_front(other, in_dims[1]), 2)), (batch_size,)), 0


def _outer_batch(batch_size, in_dims, self, other):
    return unsqueeze(_front(self, in_dims[0]), -1) * unsqueeze(_front(other, in_dims[1]), -2), 0


cdef TensorBase _dot_of(TensorBase self, TensorBase other, str name):
    cdef TensorBase out
    cdef int64_t one[2]
    if self.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {self.ndim}D and {other.ndim}D tensors")
    check_operands(self, other, name)
    if self.shape[0] != other.shape[0]:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{self.shape[0]}] and src [{other.shape[0]}] to have the same "
                           f"number of elements, but got {self.shape[0]} and {other.shape[0]} elements respectively")
    one[0] = one[1] = 1
    out = empty(2, one, self.dtype, self.storage.device)
    primitives.matmul(out, view2(self, 1, self.shape[0], 1, self.strides[0]),
                      view2(other, other.shape[0], 1, other.strides[0], 1), 0.0)
    return new_tensor(out.storage, out.dtype, 0, NULL, NULL, 0)


def _dot(TensorBase self, TensorBase tensor):
    return _dot_of(self, tensor, "dot")


def _vdot(TensorBase self, TensorBase other):
    return _dot_of(_conj(self), other, "vdot")


operator("dot(Tensor self, Tensor tensor)", _dot, batch=_dot_batch,
         vjp={"self": lambda grad, tensor: grad * _conj(tensor), "tensor": lambda grad, self: grad * _conj(self)},
         jvp=lambda self, tensor, self_t, tensor_t: _bilinear(dot, self, tensor, self_t, tensor_t),
         reference="np.dot(self, tensor)", samples=lambda make: [((make(4), make(4)), {})],
         doc="""Product of two vectors, without conjugation.

    Examples
    --------
    >>> tensorgrad.dot(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([3.0, 4.0]))
    tensor(11.)
    """)
operator("vdot(Tensor self, Tensor other)", _vdot,
         batch=lambda batch_size, in_dims, self, other: _dot_batch(batch_size, in_dims, _conj(self), other),
         vjp={"self": lambda grad, other: _conj(grad) * other, "other": lambda grad, self: grad * self},
         jvp=lambda self, other, self_t, other_t: _bilinear(vdot, self, other, self_t, other_t),
         reference="np.vdot(self, other)", samples=lambda make: [((make(4), make(4)), {})],
         doc="Product of two vectors, the first one conjugated.")


def _outer(TensorBase self, TensorBase vec2):
    for name, x in (("self", self), ("vec2", vec2)):
        if x.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    return reshape(self, (self.shape[0], 1)) * vec2


composite("outer(Tensor self, Tensor vec2)", _outer, aliases=("ger",), reference="np.outer(self, vec2)",
          samples=lambda make: [((make(3), make(2)), {})], doc="Every product of an element of one vector and one of another.")


def _inner(TensorBase self, TensorBase other):
    if self.ndim == 0 or other.ndim == 0:
        return self * other
    if self.shape[self.ndim - 1] != other.shape[other.ndim - 1]:
        raise RuntimeError("inner() the last dimension must match on both input tensors but got shapes "
                           f"{sizes_of(self)} and {sizes_of(other)}")
    return tensordot(self, other, ((-1,), (-1,)))


composite("inner(Tensor self, Tensor other)", _inner, reference="np.inner(self, other)",
          samples=lambda make: [((make(3), make(3)), {}), ((make(2, 3), make(4, 3)), {})],
          doc="Sums of products over the last dimensions of two tensors.")


cdef int check_mv(TensorBase x, TensorBase mat, TensorBase vec) except -1:
    if mat.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {1 if x is None else x.ndim}, {mat.ndim}, {vec.ndim}")
    rows = mat.shape[0] if x is None or x.numel == 1 else x.shape[x.ndim - 1]
    if mat.shape[1] != vec.shape[0] or rows != mat.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({rows}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})")
    return 0


cdef object _mv(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0], vec = <TensorBase>a[1]
    cdef TensorBase out
    check_mv(None, self, vec)
    check_operands(self, vec, "addmv")
    out = empty(1, self.shape, self.dtype, self.storage.device)
    primitives.matmul(view2(out, out.shape[0], 1, 1, 1), self, view2(vec, vec.shape[0], 1, vec.strides[0], 1), 0.0)
    return out


operator("mv(Tensor self, Tensor vec)", native(_mv), batch=_mv_batch,
         vjp={"self": lambda grad, vec: outer(grad, _conj(vec)), "vec": lambda grad, self: mv(_adjoint(self), grad)},
         jvp=lambda self, vec, self_t, vec_t: _bilinear(mv, self, vec, self_t, vec_t), reference="self @ vec",
         samples=lambda make: [((make(2, 3), make(3)), {})], doc="Product of a matrix and a vector.")


def _addmv(TensorBase self, TensorBase mat, TensorBase vec, beta, alpha):
    cdef TensorBase out
    check_mv(self, mat, vec)
    out = product_plus(self if self.ndim == 0 else unsqueeze(self, -1), mat, view2(vec, vec.shape[0], 1, vec.strides[0], 1),
                       beta, alpha, "addmv")
    return shaped(out, [mat.shape[0]])


operator("addmv(Tensor self, Tensor mat, Tensor vec, *, Number beta=1, Number alpha=1)", _addmv,
         batch=_plus_batch(mv, _mv_batch, 1), inplace=True,
         vjp={"self": lambda grad, self_shape, beta: sum_to_size(_times(grad, beta), self_shape),
              "mat": lambda grad, vec, alpha: _times(outer(grad, _conj(vec)), alpha),
              "vec": lambda grad, mat, alpha: _times(mv(_adjoint(mat), grad), alpha)},
         jvp=lambda self_t, mat, vec, mat_t, vec_t, beta, alpha:
         _plus_tangent(self_t, _product_tangent(mv, mat, vec, mat_t, vec_t), beta, alpha),
         reference="np.asarray(beta).astype(self.dtype) * self + np.asarray(alpha).astype(self.dtype) * (mat @ vec)",
         samples=lambda make: [((make(2), make(2, 3), make(3)), {}), ((make(2), make(2, 3), make(3)), {"beta": 0.5, "alpha": 2.0})],
         doc="``beta * self + alpha * (mat @ vec)``.")


def _addr(self, vec1, vec2, beta, alpha):
    if vec1.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"addr: Expected 1-D argument vec1, but got {vec1.ndim}-D" if vec1.ndim != 1
                           else f"addr: Expected 1-D argument vec2, but got {vec2.ndim}-D")
    if vec1.dtype is vec2.dtype is self.dtype and vec1.dtype.name == "bool":
        product = handle("logical_and")(unsqueeze(vec1, 1), vec2)
        kept = expand(self, product.shape)
        return product & bool(alpha) | kept & bool(beta)
    check_operands(vec1, vec2, "addr")
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if (<TensorBase>vec1).dtype.category < CAT_FLOAT and isinstance(factor, (float, complex)):
            raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    return plus(expand(self, (vec1.shape[0], vec2.shape[0])), outer(vec1, vec2), beta, alpha)


operator("addr(Tensor self, Tensor vec1, Tensor vec2, *, Number beta=1, Number alpha=1)", _addr,
         batch=_plus_batch(outer, _outer_batch, 2), inplace=True,
         vjp={"self": lambda grad, self_shape, beta: sum_to_size(_times(grad, beta), self_shape),
              "vec1": lambda grad, vec2, alpha: _times(mv(grad, _conj(vec2)), alpha),
              "vec2": lambda grad, vec1, alpha: _times(mv(transpose(grad, 0, 1), _conj(vec1)), alpha)},
         jvp=lambda self_t, vec1, vec2, vec1_t, vec2_t, beta, alpha:
         _plus_tangent(self_t, _product_tangent(outer, vec1, vec2, vec1_t, vec2_t), beta, alpha),
         reference="(beta * self + alpha * np.outer(vec1, vec2)).astype(self.dtype)",
         samples=lambda make: [((make(2, 3), make(2), make(3)), {}), ((make(3), make(2), make(3)), {"beta": 3, "alpha": 2})],
         doc="``beta * self + alpha * outer(vec1, vec2)``.")
