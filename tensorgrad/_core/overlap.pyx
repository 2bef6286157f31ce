"""Whether tensors share memory, and in what way: what is asked before something is written."""
from libc.stdint cimport int64_t


cdef bint overlaps_itself(TensorBase x):
    cdef int d
    for d in range(x.ndim):
        if x.strides[d] == 0 and x.shape[d] > 1:
            return True
    return False


cdef bint same_geometry(TensorBase x, TensorBase y):
    cdef int d
    if x.ndim != y.ndim or x.offset != y.offset:
        return False
    for d in range(x.ndim):
        if x.shape[d] != y.shape[d] or (x.strides[d] != y.strides[d] and x.shape[d] > 1):
            return False
    return True


cdef bint ranges_meet(TensorBase x, TensorBase y):
    cdef int64_t x0 = x.offset, x1 = x.offset, y0 = y.offset, y1 = y.offset
    cdef int d
    if x.numel == 0 or y.numel == 0:
        return False
    for d in range(x.ndim):
        if x.strides[d] > 0:
            x1 += x.strides[d] * (x.shape[d] - 1)
        else:
            x0 += x.strides[d] * (x.shape[d] - 1)
    for d in range(y.ndim):
        if y.strides[d] > 0:
            y1 += y.strides[d] * (y.shape[d] - 1)
        else:
            y0 += y.strides[d] * (y.shape[d] - 1)
    return x0 <= y1 and y0 <= x1


cdef bint is_dense(TensorBase x) noexcept:
    """Whether the elements fill a stretch of memory without gaps."""
    cdef int64_t last = 0
    cdef int d
    for d in range(x.ndim):
        if x.shape[d] > 1 and x.strides[d] <= 0:
            return False
        last += (x.shape[d] - 1) * x.strides[d]
    return last + 1 == x.numel


cdef int check_apart(TensorBase target, list arguments, bint wholly) except -1:
    """Refuse an `out` whose elements share memory, or that overlaps with an argument (`wholly`: the same tensor, too)."""
    cdef TensorBase x
    if target.storage is None:
        return 0
    if overlaps_itself(target):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                           "location. Please clone() the tensor before performing the operation.")
    for argument in arguments:
        for item in argument if isinstance(argument, (tuple, list)) else (argument,):
            if not isinstance(item, TensorBase):
                continue
            x = <TensorBase>item
            if x.storage is not target.storage or not ranges_meet(x, target):
                continue
            if wholly or (is_dense(x) and is_dense(target) and not same_geometry(x, target)):
                raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer "
                                   "to a single memory location. Please clone() the tensor before performing the operation.")
    return 0
