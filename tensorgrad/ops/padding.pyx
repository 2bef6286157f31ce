"""Padding: constants around a tensor, or its own elements again."""
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty

from tensorgrad._core.declaration import composite, operator

cdef Operator constant_pad, index_select, movedim, arange, clamp, cat, narrow
constant_pad, index_select, movedim, arange, clamp, cat, narrow = (
    handle(n) for n in ("constant_pad_nd", "index_select", "movedim", "arange", "clamp", "cat", "narrow"))


def _constant_pad(TensorBase self, pad, value):
    """A negative number crops."""
    cdef int64_t shape[64]
    cdef TensorBase out
    cdef int d, n = <int>len(pad) // 2
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if n > self.ndim:
        raise RuntimeError("Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
                           f"{len(pad)} while the input has {self.ndim} dimensions.")
    sizes = [self.shape[d] for d in range(self.ndim)]
    new = list(sizes)
    for d in range(n):
        new[self.ndim - 1 - d] += pad[2 * d] + pad[2 * d + 1]
    if any([size < 0 for size in new]):
        raise RuntimeError(f"The input size {sizes}, plus negative padding {list(pad)}, resulted in a negative output size, which is "
                           "invalid. Check the padding of constant_pad_nd.")
    for d in range(self.ndim):
        shape[d] = new[d]
    out = empty(self.ndim, shape, self.dtype, self.storage.device)
    if any([p > 0 for p in pad]):
        primitives.fill(out, value)
    source, target = self, out
    for d in range(n):
        axis, left, right = self.ndim - 1 - d, pad[2 * d], pad[2 * d + 1]
        length = sizes[axis] + min(left, 0) + min(right, 0)
        if length <= 0:
            return out
        source, target = narrow(source, axis, max(-left, 0), length), narrow(target, axis, max(left, 0), length)
    primitives.copy(<TensorBase>target, <TensorBase>source)
    return out


operator("constant_pad_nd(Tensor self, Size pad, Number value=0)", _constant_pad, method=False,
         batch=lambda batch_size, in_dims, self, pad, value: (constant_pad(movedim(self, in_dims[0], 0), pad, value), 0),
         vjp={"self": lambda grad, pad: constant_pad(grad, tuple([-p for p in pad]), 0)},
         jvp=lambda self_t, pad: constant_pad(self_t, pad, 0),
         reference="np.pad(self, [(0, 0)] * (self.ndim - len(pad) // 2) + [(pad[2 * i], pad[2 * i + 1]) "
                   "for i in reversed(range(len(pad) // 2))], constant_values=value)",
         samples=lambda make: [((make(2, 3), (1, 2)), {}), ((make(2, 3), (0, 1, 2, 0), 1), {})],
         doc="""A constant around the last dimensions.

    Parameters
    ----------
    self : Tensor
    pad : tuple of int
        Elements to add before and after the last dimension, then the one before it, and so on; a negative number crops.
    value : number, default: 0
    """)


# ---- a tensor's own elements ------------------------------------------------------------------------------
def _mirrored(where, size):
    """Indices that turn round at the ends: -1 is 1."""
    return (size - 1) - ((size - 1) - where.abs()).abs()


def _own_indices(x, axis, left, right, mode):
    size = x.shape[axis]
    where = arange(-left, size + right, device=x.device)
    if mode == "replicate":
        return clamp(where, 0, size - 1)
    if mode == "reflect":
        return _mirrored(where, size)
    first, last = max(-left, 0), size - max(-right, 0)      # what is cropped does not come round again
    return (where - first).remainder(last - first) + first


def _pad(self, pad, mode, value):
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got {len(pad)}")
    if len(pad) // 2 > self.ndim:
        raise RuntimeError("Padding length should be less than or equal to two times the input dimension but got padding length "
                           f"{len(pad)} and input of dimension {self.ndim}")
    if mode == "constant":
        return constant_pad(self, tuple(pad), 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f"Padding mode \"{mode}\" doesn't take in value argument")
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    n = len(pad) // 2
    if self.ndim not in (n + 1, n + 2) or n > 3:
        raise NotImplementedError("Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now")
    x = self
    for d in range(n):
        axis, left, right = x.ndim - 1 - d, pad[2 * d], pad[2 * d + 1]
        size = x.shape[axis]
        if size + left + right < 1:
            raise RuntimeError(f"padding ({left}, {right}) at dimension {axis} of input {list(self.shape)} leaves nothing")
        if mode == "reflect" and (left >= size or right >= size):
            raise RuntimeError("Padding size should be less than the corresponding input dimension, but got: padding "
                               f"({left}, {right}) at dimension {axis} of input {list(self.shape)}")
        if mode == "circular" and (left > size or right > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and size + min(left, 0) + min(right, 0) < 1:
            raise RuntimeError("Negative padding value is resulting in an empty dimension, which leaves nothing to wrap around: "
                               f"padding ({left}, {right}) at dimension {axis} of input {list(self.shape)}")
        if left or right:
            x = index_select(x, axis, _own_indices(x, axis, left, right, mode))
    return x


composite("pad(Tensor self, Size pad, str mode='constant', Number? value=None)", _pad, method=False,
          samples=lambda make: [((make(2, 3, 4), (1, 2), "reflect"), {}), ((make(2, 3, 4), (1, 2), "replicate"), {}),
                                ((make(2, 3, 4), (1, 2), "circular"), {}), ((make(1, 3, 3), (1, 1, 2, 0), "reflect"), {})],
          doc="`constant_pad_nd`, or padding with the tensor's own elements: 'reflect', 'replicate' or 'circular'.")
