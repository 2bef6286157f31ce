"""Products of matrices, and of batches of them.

Everything ends in `primitives.matmul`, which takes operands with any strides: a transposed matrix is
multiplied as it lies, and an operand that is broadcast over a batch is read, not repeated.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport fused, primitives
from tensorgrad._core.operator cimport Operator, call2, call3, handle
from tensorgrad._core.primitives cimport expand_to
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dispatch cimport invoke
from tensorgrad._core.dtype cimport CAT_BOOL, CAT_COMPLEX, CAT_FLOAT
from tensorgrad._core.types cimport CONTIGUOUS, REQUIRES_GRAD, TensorBase, empty, new_tensor

from math import prod

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import type_name

cdef Operator mm, mv, dot, bmm, matmul, batched_matmul, unsafe_view, conj, reshape, transpose, movedim, unsqueeze, squeeze
cdef Operator sum_to_size
mm, mv, dot, bmm, matmul, batched_matmul = (handle(n) for n in ("mm", "mv", "dot", "bmm", "matmul", "_batched_matmul"))
unsafe_view, conj, reshape, transpose = (handle(n) for n in ("_unsafe_view", "conj_physical", "reshape", "transpose"))
movedim, unsqueeze, squeeze, sum_to_size = (handle(n) for n in ("movedim", "unsqueeze", "squeeze", "sum_to_size"))


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
    if a.dtype.category < CAT_FLOAT:    # the factors are of the tensors' dtype
        beta, alpha = int(beta), int(alpha)
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


_PLUS = "np.asarray(beta).astype(self.dtype) * self + np.asarray(alpha).astype(self.dtype) * "


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
         reference=_PLUS + "(mat1 @ mat2)",
         samples=lambda make: [((make(2, 4), make(2, 3), make(3, 4)), {}),
                               ((make(4), make(2, 3), make(3, 4)), {"beta": 0.5, "alpha": 2.0})],
         doc="``beta * self + alpha * (mat1 @ mat2)``, in one product.")


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
         reference=_PLUS + "(batch1 @ batch2)",
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
