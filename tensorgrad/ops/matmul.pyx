"""Matrix products, and what is made of them.

Everything ends in `primitives.matmul`, which takes operands with any strides: a transposed matrix is
multiplied as it lies, and an operand that is broadcast over a batch is read, not repeated.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport fused, primitives
from tensorgrad._core.primitives cimport expand_to
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.dtype cimport CAT_BOOL, CAT_COMPLEX
from tensorgrad._core.operator cimport Operator, call2, call3, handle
from tensorgrad._core.types cimport CONTIGUOUS, REQUIRES_GRAD, TensorBase, empty, new_tensor

from math import prod

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import type_name

cdef Operator mm, mv, dot, vdot, bmm, matmul, linear, batched_matmul, outer, tensordot, unsafe_view
mm, mv, dot, vdot, bmm, matmul = (handle(n) for n in ("mm", "mv", "dot", "vdot", "bmm", "matmul"))
linear, batched_matmul, outer, tensordot, unsafe_view = (
    handle(n) for n in ("linear", "_batched_matmul", "outer", "tensordot", "_unsafe_view"))
cdef Operator add, mul, conj, sum_, reshape, permute, transpose, movedim, unsqueeze, squeeze, sum_to_size, diagonal, expand
add, mul, conj, sum_, reshape, permute, transpose = (
    handle(n) for n in ("add", "mul", "conj_physical", "sum", "reshape", "permute", "transpose"))
movedim, unsqueeze, squeeze, sum_to_size, diagonal, expand = (
    handle(n) for n in ("movedim", "unsqueeze", "squeeze", "sum_to_size", "diagonal", "expand"))


# ---- checks ---------------------------------------------------------------------------------------
cdef dict C_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "bool": "bool",
    "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}


cdef str spoken(TensorBase x):
    """A dtype as PyTorch's messages call it: Float, Long."""
    return type_name(x).partition(".")[2].removesuffix("Tensor")


cdef int check_operands(TensorBase a, TensorBase b, str name) except -1:
    if a.dtype is not b.dtype:
        if name == "dot" or name == "vdot":
            raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {spoken(a)} and {spoken(b)} ({name})")
        if name == "addmv":
            raise RuntimeError(f"addmv input tensors must have the same dtype, but got {spoken(b)}, {spoken(a)}, and {spoken(b)}")
        if name == "bmm":
            raise RuntimeError(f"expected scalar type {spoken(a)} but found {spoken(b)} (bmm: convert one of them with .to(dtype))")
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {C_NAMES.get(a.dtype.name, a.dtype.name)} != "
                           f"{C_NAMES.get(b.dtype.name, b.dtype.name)} ({name}: convert one of them with .to(dtype))")
    if a.dtype.category == CAT_BOOL:
        raise NotImplementedError(f"\"{'addmm_impl_cpu_' if name == 'addmm' else name}\" not implemented for 'Bool'")
    if a.storage.device is not b.storage.device:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {a.storage.device} and "
                           f"{b.storage.device}! ({name}: move one of them with .to(device))")
    return 0


cdef int check_added(TensorBase x, TensorBase b) except -1:
    if x.dtype is not b.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {spoken(x)} and {spoken(b)}")
    return 0


cdef int check_matrices(TensorBase a, TensorBase b) except -1:
    if a.shape[1] != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})")
    return 0


cdef list sizes_of(TensorBase x):
    return [x.shape[d] for d in range(x.ndim)]


# ---- products of plain tensors --------------------------------------------------------------------
cdef TensorBase view2(TensorBase x, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride):
    """The memory of `x` as a matrix."""
    cdef int64_t shape[2]
    cdef int64_t strides[2]
    shape[0], shape[1], strides[0], strides[1] = rows, columns, row_stride, column_stride
    return new_tensor(x.storage, x.dtype, 2, shape, strides, x.offset)


cdef TensorBase turned(TensorBase x):
    """The memory of a matrix as its transpose."""
    return view2(x, x.shape[1], x.shape[0], x.strides[1], x.strides[0])


cdef TensorBase shaped(TensorBase x, list sizes):
    """A contiguous tensor in another shape."""
    cdef int64_t shape[64]
    cdef int64_t strides[64]
    cdef int64_t step = 1
    cdef int d, n = <int>len(sizes)
    for d in range(n - 1, -1, -1):
        shape[d], strides[d] = sizes[d], step
        step *= shape[d] if shape[d] > 1 else 1
    return new_tensor(x.storage, x.dtype, n, shape, strides, x.offset)


cdef TensorBase matrix_product(TensorBase a, TensorBase b, str name):
    cdef int64_t shape[2]
    cdef TensorBase out
    check_matrices(a, b)
    check_operands(a, b, name)
    shape[0], shape[1] = a.shape[0], b.shape[1]
    out = empty(2, shape, a.dtype, a.storage.device)
    primitives.matmul(out, a, b, 0.0)
    return out


cdef TensorBase product_plus(TensorBase x, TensorBase a, TensorBase b, object beta, object alpha, str name):
    """beta x + alpha a b, for matrices or batches of them; x is broadcast. One product writes on a copy of x
    where both factors are one."""
    cdef int64_t shape[3]
    cdef int d, n = a.ndim
    cdef TensorBase out
    check_operands(a, b, name)
    check_added(x, b)
    for d in range(n - 1):
        shape[d] = a.shape[d]
    shape[n - 1] = b.shape[n - 1]
    out = empty(n, shape, a.dtype, a.storage.device)
    if beta == 1 and alpha == 1:
        primitives.copy(out, expand_checked(x, n, shape))
        primitives.matmul(out, a, b, 1.0)
        return out
    expand_checked(x, n, shape)
    primitives.matmul(out, a, b, 0.0)
    return plus(x, out, beta, alpha)


def plus(x, product, beta, alpha):
    """beta x + alpha product; what is multiplied by zero may be nan."""
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return product + (x if beta == 1 else x * beta)


cdef TensorBase expand_checked(TensorBase x, int ndim, const int64_t* shape):
    cdef int d, i, shift = ndim - x.ndim
    if shift < 0:
        raise RuntimeError(f"expand({sizes_of(x)}): the number of sizes provided ({ndim}) must be greater or equal to the number of "
                           f"dimensions in the tensor ({x.ndim})")
    for d in range(x.ndim):
        if x.shape[d] != 1 and x.shape[d] != shape[shift + d]:
            raise RuntimeError(f"The expanded size of the tensor ({shape[shift + d]}) must match the existing size ({x.shape[d]}) at "
                               f"non-singleton dimension {shift + d}.  Target sizes: {[shape[i] for i in range(ndim)]}.  "
                               f"Tensor sizes: {sizes_of(x)}")
    return expand_to(x, ndim, shape)


# ---- derivatives and batches, as all products have them ---------------------------------------------
def _adjoint(TensorBase x):
    """The conjugate transpose of the last two dimensions."""
    y = transpose(x, -2, -1)
    return conj(y) if x.dtype.category == CAT_COMPLEX else y


def _conj(TensorBase x):
    return conj(x) if x.dtype.category == CAT_COMPLEX else x


def _times(x, number):
    """x times the conjugate of a factor."""
    if number == 1:
        return x
    return x * (number.conjugate() if isinstance(number, complex) else number)


def _bilinear(product, x, y, x_t, y_t):
    """The tangent of a product."""
    if x_t is None:
        return product(x, y_t)
    if y_t is None:
        return product(x_t, y)
    return product(x_t, y) + product(x, y_t)


def _plus_tangent(self_t, product_t, beta, alpha):
    if product_t is None:
        return None if self_t is None else self_t * beta
    product_t = product_t if alpha == 1 else product_t * alpha
    return product_t if self_t is None else product_t + self_t * beta


def _product_tangent(product, x, y, x_t, y_t):
    return None if x_t is None and y_t is None else _bilinear(product, x, y, x_t, y_t)


def _front(x, dim, int rank=-1):
    """The batch dimension first, and `rank` dimensions behind it; a tensor without one as it is."""
    if dim is None:
        return x
    x = x if dim == 0 else movedim(x, dim, 0)
    if 0 <= rank and x.ndim - 1 < rank:
        x = reshape(x, (x.shape[0], *(1,) * (rank - x.ndim + 1), *x.shape[1:]))
    return x


def _mm_batch(batch_size, in_dims, self, mat2):
    return matmul(_front(self, in_dims[0]), _front(mat2, in_dims[1])), 0


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


def _batched_matmul_batch(batch_size, in_dims, self, other):
    rank = max(x.ndim - (d is not None) for x, d in zip((self, other), in_dims))
    return matmul(_front(self, in_dims[0], rank), _front(other, in_dims[1], rank)), 0


def _plus_batch(product, product_batch, rank):
    """The rule of an operator that adds a product to something of (at most) `rank` dimensions."""
    def rule(batch_size, in_dims, self, x, y, beta, alpha):
        batched = in_dims[1] is not None or in_dims[2] is not None
        value = product_batch(batch_size, in_dims[1:3], x, y)[0] if batched else product(x, y)
        return plus(_front(self, in_dims[0], rank), value, beta, alpha), 0
    return rule


# ---- two vectors --------------------------------------------------------------------------------------
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


# ---- matrices -------------------------------------------------------------------------------------------
cdef object _mm(PyObject** a):
    cdef TensorBase self = <TensorBase>a[0], mat2 = <TensorBase>a[1]
    if self.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"{'self' if self.ndim != 2 else 'mat2'} must be a matrix")
    return matrix_product(self, mat2, "addmm")


def _mm_self_vjp(TensorBase grad, TensorBase mat2):
    if _are_plain_matrices(grad, mat2):
        return _plain_product(grad, turned(mat2))
    return mm(grad, _adjoint(mat2))


def _mm_mat2_vjp(TensorBase grad, TensorBase self):
    if _are_plain_matrices(grad, self):
        return _plain_product(turned(self), grad)
    return mm(_adjoint(self), grad)


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


operator("mm(Tensor self, Tensor mat2)", native(_mm), batch=_mm_batch,
         vjp={"self": lambda grad, mat2: _mm_self_vjp(grad, mat2), "mat2": lambda grad, self: _mm_mat2_vjp(grad, self)},
         jvp=lambda self, mat2, self_t, mat2_t: _bilinear(mm, self, mat2, self_t, mat2_t), reference="self @ mat2",
         samples=lambda make: [((make(2, 3), make(3, 4)), {}), ((make(1, 3), make(3, 1)), {})],
         doc="""Product of two matrices.

    Examples
    --------
    >>> tensorgrad.mm(tensorgrad.ones(2, 3), tensorgrad.ones(3, 2))
    tensor([[3., 3.],
            [3., 3.]])
    """)
operator("mv(Tensor self, Tensor vec)", native(_mv), batch=_mv_batch,
         vjp={"self": lambda grad, vec: outer(grad, _conj(vec)), "vec": lambda grad, self: mv(_adjoint(self), grad)},
         jvp=lambda self, vec, self_t, vec_t: _bilinear(mv, self, vec, self_t, vec_t), reference="self @ vec",
         samples=lambda make: [((make(2, 3), make(3)), {})], doc="Product of a matrix and a vector.")


def _addmm(TensorBase self, TensorBase mat1, TensorBase mat2, beta, alpha):
    if mat1.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"mat1 and mat2 must be matrices, got {mat1.ndim}-D and {mat2.ndim}-D tensors" if mat1.ndim != 2
                           else f"mat2 must be a matrix, got {mat2.ndim}-D tensor")
    check_matrices(mat1, mat2)
    return product_plus(self, mat1, mat2, beta, alpha, "addmm")


operator("addmm(Tensor self, Tensor mat1, Tensor mat2, *, Number beta=1, Number alpha=1)", _addmm,
         batch=_plus_batch(mm, _mm_batch, 2), inplace=True,
         vjp={"self": lambda grad, self_shape, beta: sum_to_size(_times(grad, beta), self_shape),
              "mat1": lambda grad, mat2, alpha: _times(mm(grad, _adjoint(mat2)), alpha),
              "mat2": lambda grad, mat1, alpha: _times(mm(_adjoint(mat1), grad), alpha)},
         jvp=lambda self_t, mat1, mat2, mat1_t, mat2_t, beta, alpha:
         _plus_tangent(self_t, _product_tangent(mm, mat1, mat2, mat1_t, mat2_t), beta, alpha),
         reference="beta * self + alpha * (mat1 @ mat2)",
         samples=lambda make: [((make(2, 4), make(2, 3), make(3, 4)), {}),
                               ((make(4), make(2, 3), make(3, 4)), {"beta": 0.5, "alpha": 2.0})],
         doc="``beta * self + alpha * (mat1 @ mat2)``, in one product.")


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
         reference="beta * self + alpha * (mat @ vec)",
         samples=lambda make: [((make(2), make(2, 3), make(3)), {}), ((make(2), make(2, 3), make(3)), {"beta": 0.5, "alpha": 2.0})],
         doc="``beta * self + alpha * (mat @ vec)``.")


def _addr(self, vec1, vec2, beta, alpha):
    if vec1.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"addr: Expected 1-D argument vec1, but got {vec1.ndim}-D" if vec1.ndim != 1
                           else f"addr: Expected 1-D argument vec2, but got {vec2.ndim}-D")
    check_operands(vec1, vec2, "addr")
    return plus(expand(self, (vec1.shape[0], vec2.shape[0])), outer(vec1, vec2), beta, alpha)


operator("addr(Tensor self, Tensor vec1, Tensor vec2, *, Number beta=1, Number alpha=1)", _addr,
         batch=_plus_batch(outer, _outer_batch, 2), inplace=True,
         vjp={"self": lambda grad, self_shape, beta: sum_to_size(_times(grad, beta), self_shape),
              "vec1": lambda grad, vec2, alpha: _times(mv(grad, _conj(vec2)), alpha),
              "vec2": lambda grad, vec1, alpha: _times(mv(transpose(grad, 0, 1), _conj(vec1)), alpha)},
         jvp=lambda self_t, vec1, vec2, vec1_t, vec2_t, beta, alpha:
         _plus_tangent(self_t, _product_tangent(outer, vec1, vec2, vec1_t, vec2_t), beta, alpha),
         reference="beta * self + alpha * np.outer(vec1, vec2)",
         samples=lambda make: [((make(2, 3), make(2), make(3)), {}), ((make(3), make(2), make(3)), {"beta": 0.5, "alpha": 2.0})],
         doc="``beta * self + alpha * outer(vec1, vec2)``.")


# ---- batches ----------------------------------------------------------------------------------------------
cdef int check_batches(TensorBase a, TensorBase b) except -1:
    if a.ndim != 3 or b.ndim != 3:
        raise RuntimeError(f"{'batch1' if a.ndim != 3 else 'batch2'} must be a 3D tensor")
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] but got: "
                           f"[{b.shape[0]}, {b.shape[1]}].")
    return 0


cdef object _bmm(PyObject** a):
    check_batches(<TensorBase>a[0], <TensorBase>a[1])
    return batched_product(<TensorBase>a[0], <TensorBase>a[1])


cdef object _batched(PyObject** a):
    return batched_product(<TensorBase>a[0], <TensorBase>a[1])


cdef TensorBase batched_product(TensorBase self, TensorBase other):
    """(..., m, k) times (..., k, n), batches broadcast; no operand is copied for it."""
    cdef int64_t shape[64]
    cdef int n = max(self.ndim, other.ndim), d, i, j
    cdef int64_t p, q
    cdef TensorBase a, b, out
    check_operands(self, other, "bmm")
    for d in range(n - 2):
        i, j = d - n + self.ndim, d - n + other.ndim
        p, q = self.shape[i] if i >= 0 else 1, other.shape[j] if j >= 0 else 1
        if p != q and p != 1 and q != 1:
            raise RuntimeError(f"The size of tensor a ({p}) must match the size of tensor b ({q}) at non-singleton dimension {d}")
        shape[d] = q if p == 1 else p
    if self.shape[self.ndim - 1] != other.shape[other.ndim - 2]:
        batch = prod([shape[d] for d in range(n - 2)])
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {self.shape[self.ndim - 1]}] but "
                           f"got: [{batch}, {other.shape[other.ndim - 2]}].")
    shape[n - 2], shape[n - 1] = self.shape[self.ndim - 2], self.shape[self.ndim - 1]
    a = expand_to(self, n, shape)
    shape[n - 2], shape[n - 1] = other.shape[other.ndim - 2], other.shape[other.ndim - 1]
    b = expand_to(other, n, shape)
    shape[n - 2] = self.shape[self.ndim - 2]
    out = empty(n, shape, self.dtype, self.storage.device)
    primitives.matmul(out, a, b, 0.0)
    return out


operator("bmm(Tensor self, Tensor mat2)", native(_bmm), batch=_batched_matmul_batch,
         vjp={"self": lambda grad, mat2: bmm(grad, _adjoint(mat2)), "mat2": lambda grad, self: bmm(_adjoint(self), grad)},
         jvp=lambda self, mat2, self_t, mat2_t: _bilinear(bmm, self, mat2, self_t, mat2_t), reference="self @ mat2",
         samples=lambda make: [((make(2, 2, 3), make(2, 3, 4)), {})], doc="Products of two batches of matrices.")
operator("_batched_matmul(Tensor self, Tensor other)", native(_batched), batch=_batched_matmul_batch, node="bmm", internal=True,
         vjp={"self": lambda grad, other, self_shape: sum_to_size(matmul(grad, _adjoint(other)), self_shape),
              "other": lambda grad, self, other_shape: sum_to_size(matmul(_adjoint(self), grad), other_shape)},
         jvp=lambda self, other, self_t, other_t: _bilinear(batched_matmul, self, other, self_t, other_t), reference="self @ other",
         samples=lambda make: [((make(2, 1, 2, 3), make(3, 3, 2)), {})],
         doc="Products of two batches of matrices, the batches broadcast against each other.")


def _baddbmm(TensorBase self, TensorBase batch1, TensorBase batch2, beta, alpha):
    check_batches(batch1, batch2)
    return product_plus(self, batch1, batch2, beta, alpha, "bmm")


operator("baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1)", _baddbmm,
         batch=_plus_batch(bmm, _batched_matmul_batch, 3), inplace=True,
         vjp={"self": lambda grad, self_shape, beta: sum_to_size(_times(grad, beta), self_shape),
              "batch1": lambda grad, batch2, alpha: _times(bmm(grad, _adjoint(batch2)), alpha),
              "batch2": lambda grad, batch1, alpha: _times(bmm(_adjoint(batch1), grad), alpha)},
         jvp=lambda self_t, batch1, batch2, batch1_t, batch2_t, beta, alpha:
         _plus_tangent(self_t, _product_tangent(bmm, batch1, batch2, batch1_t, batch2_t), beta, alpha),
         reference="beta * self + alpha * (batch1 @ batch2)",
         samples=lambda make: [((make(2, 2, 4), make(2, 2, 3), make(2, 3, 4)), {}),
                               ((make(4), make(2, 2, 3), make(2, 3, 4)), {"beta": 0.5, "alpha": 2.0})],
         doc="``beta * self + alpha * bmm(batch1, batch2)``.")

# What was just made, in another shape: not a view of anything that the user holds.
operator("_unsafe_view(Tensor self, Size size)", lambda self, size: shaped(self, list(size)), internal=True,
         batch=lambda batch_size, in_dims, self, size: (reshape(_front(self, in_dims[0]), (batch_size, *size)), 0),
         vjp={"self": lambda grad, self_shape: reshape(grad, self_shape)}, jvp=lambda self_t, size: reshape(self_t, size),
         doc="A tensor that nothing else refers to, in another shape.")


# ---- all ranks --------------------------------------------------------------------------------------------
cdef object _matmul(PyObject** a):
    cdef int m = (<TensorBase>a[0]).ndim, n = (<TensorBase>a[1]).ndim
    if m == 2 and n == 2:
        return invoke(mm, a)
    if m == 2 and n == 1:
        return invoke(mv, a)
    return product_of_any(<TensorBase>a[0], <TensorBase>a[1])


cdef object product_of_any(TensorBase self, TensorBase other):
    cdef int m = self.ndim, n = other.ndim
    cdef list sizes
    if m == 1 and n == 1:
        return call2(dot, self, other)
    if m == 0 or n == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {m}D and {n}D")
    if m == 1 and n == 2:
        return call2(squeeze, call2(mm, call2(unsqueeze, self, 0), other), 0)
    if m == 3 and n == 3 and self.shape[0] == other.shape[0]:
        return call2(bmm, self, other)
    # One large product instead of a batch. A gradient of the small factor would otherwise be as large as the batch.
    if n <= 2 and (self.flags & CONTIGUOUS or other.flags & REQUIRES_GRAD):
        sizes = sizes_of(self)
        folded = call2(reshape, self, (prod(sizes[:m - 1]), sizes[m - 1]))
        return call2(unsafe_view, call2(mm if n == 2 else mv, folded, other), (*sizes[:m - 1], *sizes_of(other)[1:]))
    if m <= 2 and self.flags & REQUIRES_GRAD:
        product = call2(matmul, call3(transpose, other, -2, -1), self if m == 1 else call3(transpose, self, 0, 1))
        return product if m == 1 else call3(transpose, product, -2, -1)
    if m == 1:
        return call2(squeeze, call2(batched_matmul, call2(unsqueeze, self, 0), other), -2)
    if n == 1:
        return call2(squeeze, call2(batched_matmul, self, call2(unsqueeze, other, 1)), -1)
    return call2(batched_matmul, self, other)


composite("matmul(Tensor self, Tensor other)", native(_matmul), reference="self @ other",
          samples=lambda make: [((make(*a), make(*b)), {}) for a, b in (
              ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 2)), ((2, 2, 3), (3,)), ((2, 2, 3), (3, 2)), ((3,), (2, 3, 2)),
              ((2, 3), (2, 3, 2)), ((2, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (2, 3, 2)))],
          doc="""Product of two tensors: of vectors, of matrices, or of batches of matrices (broadcast), by their ranks.

    Examples
    --------
    >>> tensorgrad.matmul(tensorgrad.ones(2, 3), tensorgrad.ones(3))
    tensor([3., 3.])
    """)


# ---- linear layers ------------------------------------------------------------------------------------------
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


cdef bint _are_plain_matrices(TensorBase a, TensorBase b):
    """Whether their product may be taken as it is: nothing records it, and there is nothing to conjugate or to fold."""
    return a.ndim == 2 and b.ndim == 2 and a.dtype is b.dtype and fused.is_plain(a) and fused.is_plain(b)


cdef TensorBase _plain_product(TensorBase a, TensorBase b):
    cdef int64_t shape[2]
    cdef TensorBase out
    shape[0], shape[1] = a.shape[0], b.shape[1]
    out = empty(2, shape, a.dtype, a.storage.device)
    primitives.matmul(out, a, b, 0.0)
    return out


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


def linear_bias_vjp(TensorBase grad, bias_shape, weight_shape):
    cdef TensorBase out
    cdef int64_t shape[2]
    if grad.ndim == 2 and fused.is_plain(grad) and len(bias_shape) == 1 and bias_shape[0] == grad.shape[1]:
        shape[0], shape[1] = 1, grad.shape[1]
        out = empty(2, shape, grad.dtype, grad.storage.device)
        primitives.reduce(primitives.REDUCE_SUM, out, grad)
        return new_tensor(out.storage, out.dtype, 1, &shape[1], &out.strides[1], 0)
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
        turned = transpose(weight, 1, 2)
        if rank == 1:
            out = squeeze(matmul(unsqueeze(input, -2), turned), -2)
        elif in_dims[0] is None:
            out = reshape(matmul(_rows(input), turned), (batch_size, *input.shape[:-1], weight.shape[1]))
        else:
            out = reshape(matmul(reshape(input, (batch_size, prod(input.shape[1:-1]), input.shape[-1])), turned),
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
