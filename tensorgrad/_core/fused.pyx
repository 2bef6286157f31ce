"""The door to fused kernels, which a device may lack: then an operator is made of others.

What goes through is contiguous (`packed`). A function returns False where the device has no such kernel.
"""
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport TG_NO_KERNEL, TG_NO_MEMORY, TG_OK
from tensorgrad._core.dtype cimport TG_F32, TG_F64
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.grad_mode cimport tg_thread_state, thread_state
from tensorgrad._core.types cimport CONTIGUOUS, HAS_TANGENT, TensorBase, empty

from tensorgrad._core.graph import _type_names
from tensorgrad._core.types import OutOfMemoryError

cdef enum:
    RELEASE_GIL_AT = 1 << 14     # elements; exponentials cost more than sums

cdef const tg_fused_table* _cpu = NULL


cdef void set_cpu_fused(const tg_fused_table* table):
    global _cpu
    _cpu = table


cdef const tg_fused_table* fused_of(TensorBase x) except? NULL:
    """The fused kernels of the device that `x` lives on, or NULL."""
    if x.storage is None:
        raise RuntimeError("a tensor that belongs to a transform has no memory: it may have escaped from the function that "
                           "is being transformed (grad, jvp or vmap)")
    return _cpu if x.storage.device.table != NULL else NULL


cdef const tg_fused_table* fused_of_cpu() noexcept nogil:
    return _cpu


cdef bint is_plain(TensorBase x) noexcept:
    """Whether a derivative may be computed from `x` by a kernel: nothing records it, no transform and no tangent is about."""
    cdef tg_thread_state* st = thread_state()
    return x is None or (not st.grad and not st.slow and x.storage is not None and x.storage.device.table != NULL
                         and not x.flags & HAS_TANGENT and (x.dtype.code == TG_F32 or x.dtype.code == TG_F64))


cdef TensorBase packed(TensorBase x):
    """`x` itself if its elements lie in order without gaps, else such a copy."""
    if x.flags & CONTIGUOUS:
        return x
    cdef TensorBase y = empty(x.ndim, x.shape, x.dtype, x.storage.device)
    primitives.copy(y, x)
    return y


cdef char* memory(TensorBase x) noexcept:
    """The first element; NULL for None."""
    return NULL if x is None else x.storage.data + x.offset * x.dtype.itemsize


cdef int expect(str name, TensorBase x, int64_t numel, DType dtype) except -1:
    """Raise unless a saved tensor is what the forward pass has seen: its `.data` may have been exchanged since, which no
    version counts."""
    if x is not None and (x.numel != numel or x.dtype is not dtype or not x.flags & CONTIGUOUS or x.storage is None
                          or x.storage.device.table == NULL):
        raise RuntimeError(f"{name}: a tensor needed for gradient computation has been given other data: expected {numel} elements "
                           f"of {dtype}, got {x.numel} of {x.dtype}")
    return 0


cdef list storages(tuple tensors):
    """What must live as long as a kernel runs without the GIL: another thread may give a tensor other memory meanwhile."""
    return [None if x is None else (<TensorBase>x).storage for x in tensors]


cdef int settle(int status, str name, TensorBase x) except -1:
    """Raise what a kernel's status stands for."""
    if status == TG_OK:
        return 0
    if status == TG_NO_MEMORY:
        raise OutOfMemoryError(f"{name}: can't allocate scratch memory")
    if status == TG_NO_KERNEL:
        raise NotImplementedError(f"\"{name}\" not implemented for '{_type_names[x.dtype.name]}'")
    raise RuntimeError(f"{name}: kernel failed with status {status}")


cdef bint softmax(bint logarithm, TensorBase out, TensorBase x, int dim) except -1:
    cdef const tg_fused_table* table = fused_of(x)
    cdef int64_t outer = 1, n = 1, inner = 1
    cdef char* to
    cdef char* source
    cdef int d, status
    if table == NULL:
        return False
    for d in range(x.ndim):
        if d < dim:
            outer *= x.shape[d]
        elif d == dim:
            n = x.shape[d]
        else:
            inner *= x.shape[d]
    to, source = memory(out), memory(x)
    if x.numel >= RELEASE_GIL_AT:
        _held = storages((out, x))
        with nogil:
            status = table.softmax(logarithm, x.dtype.code, to, source, outer, n, inner)
    else:
        status = table.softmax(logarithm, x.dtype.code, to, source, outer, n, inner)
    if status != TG_OK:
        settle(status, "softmax", x)
    return True


cdef bint softmax_backward(bint logarithm, TensorBase out, TensorBase grad, TensorBase y, int dim) except -1:
    cdef const tg_fused_table* table = fused_of(y)
    cdef int64_t outer = 1, n = 1, inner = 1
    cdef int d, status
    if table == NULL:
        return False
    for d in range(y.ndim):
        if d < dim:
            outer *= y.shape[d]
        elif d == dim:
            n = y.shape[d]
        else:
            inner *= y.shape[d]
    cdef char* to = memory(out)
    cdef char* g = memory(grad)
    cdef char* o = memory(y)
    if y.numel >= RELEASE_GIL_AT:
        _held = storages((out, grad, y))
        with nogil:
            status = table.softmax_backward(logarithm, y.dtype.code, to, g, o, outer, n, inner)
    else:
        status = table.softmax_backward(logarithm, y.dtype.code, to, g, o, outer, n, inner)
    settle(status, "softmax_backward", y)
    return True


cdef bint layer_norm(TensorBase out, TensorBase mean, TensorBase rstd, TensorBase x, TensorBase weight, TensorBase bias,
                     int64_t rows, int64_t n, double eps) except -1:
    cdef const tg_fused_table* table = fused_of(x)
    cdef int status
    if table == NULL:
        return False
    cdef char* o = memory(out)
    cdef char* m = memory(mean)
    cdef char* r = memory(rstd)
    cdef char* i = memory(x)
    cdef char* w = memory(weight)
    cdef char* b = memory(bias)
    _held = storages((out, mean, rstd, x, weight, bias))
    with nogil:
        status = table.layer_norm(x.dtype.code, o, m, r, i, w, b, rows, n, eps)
    settle(status, "layer_norm", x)
    return True


cdef bint layer_norm_backward(TensorBase dx, TensorBase dweight, TensorBase dbias, TensorBase grad, TensorBase x, TensorBase mean,
                              TensorBase rstd, TensorBase weight, int64_t rows, int64_t n) except -1:
    cdef const tg_fused_table* table = fused_of(x)
    cdef int status
    if table == NULL:
        return False
    for t in (dx, grad, x):
        expect("layer_norm_backward", t, rows * n, x.dtype)
    for t in (mean, rstd):
        expect("layer_norm_backward", t, rows, x.dtype)
    for t in (dweight, dbias, weight):
        expect("layer_norm_backward", t, n, x.dtype)
    cdef char* d = memory(dx)
    cdef char* dw = memory(dweight)
    cdef char* db = memory(dbias)
    cdef char* g = memory(grad)
    cdef char* i = memory(x)
    cdef char* m = memory(mean)
    cdef char* r = memory(rstd)
    cdef char* w = memory(weight)
    _held = storages((dx, dweight, dbias, grad, x, mean, rstd, weight))
    with nogil:
        status = table.layer_norm_backward(x.dtype.code, d, dw, db, g, i, m, r, w, rows, n)
    settle(status, "layer_norm_backward", x)
    return True
