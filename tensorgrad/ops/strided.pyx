"""Views with any strides, and windows that slide along a dimension."""
from libc.stdint cimport int64_t

from tensorgrad._core.dtype cimport TG_I64, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase
from tensorgrad.ops.shape cimport sizes_of, strided, strides_of

from tensorgrad._core.declaration import operator

cdef Operator reshape, unsqueeze, zeros, movedim, as_strided
reshape, unsqueeze, zeros, movedim, as_strided = (handle(n) for n in ("reshape", "unsqueeze", "zeros", "movedim", "as_strided"))


# ---- arbitrary strides ------------------------------------------------------------------------------------------
def _as_strided(TensorBase self, size, stride, storage_offset):
    cdef int64_t offset = self.offset if storage_offset is None else storage_offset
    cdef object high = offset           # no C number: it may exceed any
    cdef bint is_empty = False
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    for n, s in zip(size, stride):
        if n < 0:
            raise RuntimeError(f"as_strided: negative size {n}")
        if s < 0:
            raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
        is_empty |= n == 0
        high += (n - 1) * s
    if offset < 0 or (not is_empty and (high + 1) * <object>self.dtype.itemsize > self.storage.length):
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize "
                           f"{self.dtype.itemsize} requiring a storage size of {(high + 1) * <object>self.dtype.itemsize} are out of "
                           f"bounds "
                           f"for storage of size {self.storage.length}")
    return strided(self, list(size), list(stride), offset)


def _places(size, stride, offset, device):
    """Where in memory each element lies, in order."""
    where = handle("full")((), offset, dtype=dtype_of(TG_I64), device=device)
    for n, step in zip(size, stride):
        where = unsqueeze(where, -1) + handle("arange")(n, device=device) * step
    return reshape(where, (-1,))


def _memory_of(self, size, stride, storage_offset):
    """(elements of memory, places of self's elements, places of the result's), counted from the first that either has."""
    offset = self.storage_offset() if storage_offset is None else storage_offset
    first = min(offset, self.storage_offset())
    mine = _places(self.shape, self.stride(), self.storage_offset() - first, self.device)
    theirs = _places(size, stride, offset - first, self.device)
    length = max([1 + int(places.max().item()) for places in (mine, theirs) if places.numel()], default=0)
    return length, mine, theirs


def _as_strided_vjp(grad, self, size, stride, storage_offset):
    """The gradients are added up in memory as the result lies there, and read as `self` lies there; where several elements
    of `self` are one in memory, they share it (PyTorch's as_strided_backward)."""
    cdef Operator index_add = handle("index_add"), take = handle("index_select")
    length, mine, theirs = _memory_of(self, size, stride, storage_offset)
    memory = index_add(zeros(length, dtype=grad.dtype, device=grad.device), 0, theirs, reshape(grad, (-1,)))
    shared = take(index_add(zeros(length, dtype=grad.dtype, device=grad.device), 0, mine,
                            handle("ones")(mine.numel(), dtype=grad.dtype, device=grad.device)), 0, mine)
    return reshape(take(memory, 0, mine) / shared, tuple(self.shape))


def _as_strided_jvp(self, self_t, size, stride, storage_offset):
    if self.is_contiguous() and self.storage_offset() == 0:
        return as_strided(self_t.contiguous(), size, stride, storage_offset)
    length, mine, theirs = _memory_of(self, size, stride, storage_offset)
    memory = handle("index_put")(zeros(length, dtype=self_t.dtype, device=self_t.device), (mine,), reshape(self_t, (-1,)))
    return reshape(handle("index_select")(memory, 0, theirs), size)


operator("as_strided(Tensor self, Size size, Size stride, int? storage_offset=None)", _as_strided, view=True, batch="fallback",
         vjp={"self": _as_strided_vjp}, jvp=_as_strided_jvp,
         samples=lambda make: [((make(6), (2, 3), (2, 1)), {})],
         doc="A view of this tensor's memory with any shape and strides.")


# ---- windows ------------------------------------------------------------------------------------------------------
def _unfold(TensorBase self, int dim, int64_t size, int64_t step):
    cdef list shape = sizes_of(self), strides = strides_of(self)
    cdef int64_t n = shape[dim] if self.ndim else 1
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if self.ndim == 0:
        return strided(self, [size], [1], self.offset)
    shape.append(size)
    strides.append(strides[dim])
    shape[dim] = (n - size) // step + 1
    strides[dim] *= step
    return strided(self, shape, strides, self.offset)


def _unfold_vjp(grad, self_shape, dimension, size, step):
    """Each window's gradient at the places that it shows."""
    if not self_shape:
        return grad.sum()
    index = reshape(unsqueeze(handle("arange")(grad.size(dimension), device=grad.device) * step, -1)
                    + handle("arange")(size, device=grad.device), (-1,))
    windows = movedim(grad, -1, dimension + 1).flatten(dimension, dimension + 1)
    return handle("index_add")(zeros(self_shape, dtype=grad.dtype, device=grad.device), dimension, index, windows)


operator("unfold(Tensor self, Dim dimension, int size, int step)", _unfold, view=True, vjp={"self": _unfold_vjp}, jvp="linear",
         function=False, reference="np.lib.stride_tricks.sliding_window_view(self, size, dimension)[::step]",
         samples=lambda make: [((make(5, 2), 0, 3, 1), {}), ((make(7), 0, 3, 2), {})],
         doc="Windows of `size` indices of a dimension, `step` apart, as a view with the windows in a last dimension.")
