"""Leaves: what happens to a gradient at the end of the graph, and gradients that are zero without being written."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.graph cimport set_accumulate
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.types cimport (
    CONTIGUOUS, INFERENCE, REQUIRES_GRAD, AutogradMeta, NodeBase, Storage, TensorBase, meta_of, new_storage)

import os

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o)

cdef extern from "pythread.h":
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) nogil
    void PyThread_release_lock(PyThread_type_lock lock) nogil
    unsigned long PyThread_get_thread_ident() nogil

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define TG_ALWAYS_LOCKS 1
    #else
    #define TG_ALWAYS_LOCKS 0
    #endif
    """
    const bint TG_ALWAYS_LOCKS

cdef Operator op_add = handle("add")
cdef Operator op_add_ = handle("add_")
cdef Operator op_clone = handle("clone")
cdef Operator op_copy_ = handle("copy_")
cdef Operator op_detach = handle("detach")
cdef Operator op_zero_ = handle("zero_")


cdef TensorBase read_grad(TensorBase x):
    """``x.grad``, with a gradient that was only marked zero written out."""
    cdef AutogradMeta meta = x.meta
    cdef int before
    if meta is None or meta.grad is None:
        return None
    if meta.grad_is_zero:
        meta.grad_is_zero = False
        if meta.grad.storage is not None and meta.grad.storage.length < meta.grad.numel * meta.grad.dtype.itemsize:
            _give_memory(meta.grad, meta.grad.numel * meta.grad.dtype.itemsize)
        before = thread_state().grad
        thread_state().grad = 0
        try:
            call1(op_zero_, meta.grad)
        finally:
            thread_state().grad = before
    return meta.grad


cdef int _give_memory(TensorBase x, int64_t nbytes) except -1:
    """Exchange the memory of a contiguous tensor that nobody else holds, and whose elements nobody will miss."""
    cdef Storage s = new_storage(nbytes, x.storage.device)
    s.version = x.storage.version
    if x.version != NULL:
        x.version = &s.version
    x.storage, x.offset = s, 0
    return 0


def mark_grads_zero(params):
    """Set the gradients of `params` to zero without writing them, where nobody else can see the difference.

    The next accumulation overwrites a marked gradient, and reading ``.grad`` first writes the zeros out. The memory of a
    large one is given back until then: the forward pass may have use for it.
    """
    cdef TensorBase x
    cdef AutogradMeta meta
    for x in params:
        meta = x.meta
        if meta is None or meta.grad is None:
            continue
        if meta.grad.grad_fn is not None:
            meta.grad = call1(op_detach, meta.grad)
        meta.grad.flags &= ~<unsigned int>REQUIRES_GRAD
        meta.grad_is_zero = True
        # Someone else holds the tensor or its memory: they must see zeros now.
        if Py_REFCNT(<PyObject*>meta.grad) > 1 or meta.grad.storage is None or Py_REFCNT(<PyObject*>meta.grad.storage) > 1:
            read_grad(x)
        elif meta.grad.flags & CONTIGUOUS and meta.grad.numel >= LARGE_GRAD and meta.grad.storage.owner is None \
                and (meta.grad.version == NULL or meta.grad.version == &meta.grad.storage.version):
            _give_memory(meta.grad, 0)


cdef enum:
    LARGE_GRAD = 1 << 10        # elements


# Two threads may reach one leaf. The GIL keeps them apart but for kernels that let it go, and Python code of plugins.
cdef enum:
    N_LOCKS = 16
    LOCK_AT = 1 << 15           # elements, as RELEASE_GIL_AT in primitives.pyx

cdef PyThread_type_lock _leaf_locks[N_LOCKS]
cdef unsigned long _leaf_lock_owners[N_LOCKS]


def _make_leaf_locks():
    cdef int i
    for i in range(N_LOCKS):
        _leaf_locks[i] = PyThread_allocate_lock()
        _leaf_lock_owners[i] = 0
        if _leaf_locks[i] == NULL:
            raise MemoryError("no memory for a lock")


_make_leaf_locks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_make_leaf_locks)    # whoever held one does not exist there


cdef int _lock_leaf(AutogradMeta meta, TensorBase new, bint always) noexcept:
    """Keep other threads from accumulating where `meta` is; the number for `_unlock_leaf`, -1 where no lock is needed."""
    cdef int i
    if not TG_ALWAYS_LOCKS and not always and new.numel < LOCK_AT and new.storage is not None and new.storage.data != NULL:
        return -1
    i = <int>((<size_t><PyObject*>meta >> 6) % N_LOCKS)
    if _leaf_lock_owners[i] == PyThread_get_thread_ident():
        return -1       # a finalizer of what the accumulation has freed has called backward
    if not PyThread_acquire_lock(_leaf_locks[i], 0):
        with nogil:
            PyThread_acquire_lock(_leaf_locks[i], 1)
    _leaf_lock_owners[i] = PyThread_get_thread_ident()
    return i


cdef void _unlock_leaf(int i) noexcept:
    if i >= 0:
        _leaf_lock_owners[i] = 0
        PyThread_release_lock(_leaf_locks[i])


cdef int retain(TensorBase x, TensorBase grad) except -1:
    """Add to the gradient that an inner tensor keeps (`retain_grad`): several threads may pass it at once."""
    cdef AutogradMeta meta = meta_of(x)
    cdef int lock = _lock_leaf(meta, grad, True)
    try:
        meta.grad = call1(op_clone, grad) if meta.grad is None else call2(op_add, meta.grad, grad)
    finally:
        _unlock_leaf(lock)
    return 0


cdef int accumulate_grad(NodeBase node, PyObject** grads, PyObject** result) except -1:
    cdef TensorBase x = <TensorBase>node.context
    cdef TensorBase new = <object>grads[0]
    cdef AutogradMeta meta = meta_of(x)
    cdef int lock
    if new is None:
        return 0
    lock = _lock_leaf(meta, new, False)
    try:
        _add_to_grad(x, meta, new)
    finally:
        _unlock_leaf(lock)
    if meta.post_hooks is not None:
        for hook in list(meta.post_hooks.values()):
            if hook(x) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    return 0


cdef int _add_to_grad(TensorBase x, AutogradMeta meta, TensorBase new) except -1:
    cdef TensorBase old = meta.grad
    if old is None or (meta.grad_is_zero and Py_REFCNT(<PyObject*>old) <= 2):
        meta.grad = _own_grad(x, new)
    elif meta.grad_is_zero:
        call2(op_copy_, old, new)
    elif thread_state().grad or (old.flags & INFERENCE) or old.wrap is not None or new.wrap is not None:
        meta.grad = call2(op_add, old, new)
    else:
        call2(op_add_, old, new)
    meta.grad_is_zero = False
    return 0


cdef TensorBase _own_grad(TensorBase x, TensorBase new):
    """The incoming gradient itself when nobody else holds it or its memory, else a copy."""
    if thread_state().grad:
        return call1(op_clone, new)
    if (Py_REFCNT(<PyObject*>new) <= 2 and new.flags & CONTIGUOUS and new.storage is not None
            and Py_REFCNT(<PyObject*>new.storage) == 1 and new.meta is None and new.grad_fn is None
            and new.storage.owner is None):
        return new
    return call1(op_detach, call1(op_clone, new))


set_accumulate(accumulate_grad)
