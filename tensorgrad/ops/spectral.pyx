"""Discrete Fourier transforms: numpy.fft below autograd, and PyTorch's `torch.fft` above it.

Three operators are differentiated (complex to complex, real to complex, complex to real, as in PyTorch); the functions of
`tensorgrad.fft` are made of them. Each transform is linear, so that its derivative is the transform the other way.
"""
from tensorgrad._core.dtype cimport CAT_COMPLEX, TG_C64, TG_C128, TG_F32, TG_F64, default_code, dtype_of, to_complex_code
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase

import numpy as np

from tensorgrad._core.declaration import composite, operator

cdef Operator c2c, r2c, c2r, to, cat, zeros, conj, roll, real
c2c, r2c, c2r = handle("_fft_c2c"), handle("_fft_r2c"), handle("_fft_c2r")
to, cat, zeros, conj, roll, real = (handle(n) for n in ("to", "cat", "zeros", "conj_physical", "roll", "real"))


# ---- the three transforms -----------------------------------------------------------------------------------------
cdef object values_of(TensorBase x):
    """In double: numpy computes single precision in it too."""
    return x.detach().cpu().to(dtype_of(TG_C128 if x.dtype.category == CAT_COMPLEX else TG_F64)).numpy()


cdef TensorBase tensor_of(object array, int code, object device):
    from tensorgrad.interop import tensor
    return tensor(np.ascontiguousarray(array), dtype=dtype_of(code), device=device)


def _c2c(TensorBase self, dim, str norm, bint forward):
    x = values_of(self)
    y = np.fft.fftn(x, axes=dim, norm=norm) if forward else np.fft.ifftn(x, axes=dim, norm=norm)
    return tensor_of(y, self.dtype.code, self.storage.device)


def _r2c(TensorBase self, dim, str norm):
    return tensor_of(np.fft.rfftn(values_of(self), axes=dim, norm=norm), to_complex_code(self.dtype.code), self.storage.device)


def _c2r(TensorBase self, dim, str norm, int last):
    x = values_of(self)
    sizes = [x.shape[d] for d in dim[:-1]] + [last]
    return tensor_of(np.fft.irfftn(x, sizes, dim, norm), TG_F32 if self.dtype.code == TG_C64 else TG_F64, self.storage.device)


_OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _r2c_vjp(grad, self_shape, dim, norm):
    """The half that was left out has no gradient: zeros, and the transform the other way; of it the real part."""
    last = dim[len(dim) - 1]
    missing = self_shape[last] - grad.size(last)
    if missing:
        shape = list(grad.shape)
        shape[last] = missing
        grad = cat((grad, zeros(tuple(shape), dtype=grad.dtype, device=grad.device)), last)
    return real(c2c(grad, dim, _OTHER[norm], False))


def _c2r_vjp(grad, self_shape, dim, norm, last_size):
    """Elements in the middle stand for their mirror images too, and count twice."""
    last = dim[len(dim) - 1]
    g = r2c(grad, dim, _OTHER[norm])
    twice = last_size - g.size(last)
    if twice > 0:
        g = cat((g.narrow(last, 0, 1), g.narrow(last, 1, twice) * 2, g.narrow(last, 1 + twice, g.size(last) - 1 - twice)), last)
    return g


operator("_fft_c2c(Tensor self, Dims dim, str norm, bool forward)", _c2c, jvp="linear", node="FftC2C", internal=True,
         vjp={"self": lambda grad, dim, norm, forward: c2c(grad, dim, _OTHER[norm], not forward)},
         samples=lambda make: [], doc="The Fourier transform of complex numbers over some dimensions.")
operator("_fft_r2c(Tensor self, Dims dim, str norm)", _r2c, jvp="linear", node="FftR2C", internal=True, vjp={"self": _r2c_vjp},
         samples=lambda make: [], doc="The half of the Fourier transform of real numbers that says all of it.")
operator("_fft_c2r(Tensor self, Dims dim, str norm, int last_size)", _c2r, jvp="linear", node="FftC2R", internal=True,
         vjp={"self": _c2r_vjp}, samples=lambda make: [], doc="Real numbers from half of their Fourier transform.")


# ---- sizes and dimensions --------------------------------------------------------------------------------------------
def _norm(name, norm):
    norm = "backward" if norm is None else norm
    if norm not in _OTHER:
        raise RuntimeError(f"Invalid normalization mode: \"{norm}\"")
    return norm


def _fit(x, dim, n):
    """Cut off, or padded with zeros, to `n` indices."""
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    size = x.size(dim)
    if n < size:
        return x.narrow(dim, 0, n)
    if n > size:
        shape = list(x.shape)
        shape[dim] = n - size
        return cat((x, zeros(tuple(shape), dtype=x.dtype, device=x.device)), dim)
    return x


def _inexact(x, complex_):
    if not (x.is_floating_point() or x.is_complex()):
        x = to(x, dtype_of(default_code()))
    if x.dtype.itemsize == 2 and not x.is_complex():
        raise RuntimeError(f"Unsupported dtype {'Half' if 'bf' not in str(x.dtype) else 'BFloat16'}: transforms are only supported in "
                           "single and double precision")
    return to(x, x.dtype.to_complex()) if complex_ and not x.is_complex() else x


def _dims(x, s, dim, name):
    """(dimensions, sizes) of a transform over several."""
    if dim is None:
        dim = tuple(range(x.ndim)) if s is None else tuple(range(x.ndim - len(s), x.ndim))
    for d in dim:
        if x.ndim == 0:
            raise IndexError(f"Dimension specified as {d} but tensor has no dimensions: {name} needs at least one")
        if not -x.ndim <= d < x.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], but got {d})")
    dim = tuple([d % x.ndim for d in dim])
    if len(set(dim)) != len(dim):
        raise RuntimeError("FFT dims must be unique")
    if s is not None and len(s) != len(dim):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    sizes = [x.size(d) for d in dim] if s is None else [x.size(d) if n == -1 else n for n, d in zip(s, dim)]
    return dim, sizes


# ---- torch.fft -----------------------------------------------------------------------------------------------------------
def _complex(x, s, dim, norm, forward, name):
    x = _inexact(x, True)
    dim, sizes = _dims(x, s, dim, name)
    for d, n in zip(dim, sizes):
        x = _fit(x, d, n)
    return c2c(x, dim, _norm(name, norm), forward) if dim else x


def _half(x, s, dim, norm, name):
    if x.is_complex():
        raise RuntimeError(f"{name} expects a real input tensor, but got {'ComplexFloat' if x.dtype.itemsize == 8 else 'ComplexDouble'} ("
                           "it must be real: take x.real, or the transform of complex numbers)")
    x = _inexact(x, False)
    dim, sizes = _dims(x, s, dim, name)
    if not dim:
        raise RuntimeError(f"{name} must transform at least one axis")
    for d, n in zip(dim, sizes):
        x = _fit(x, d, n)
    return r2c(x, dim, _norm(name, norm))


def _whole(x, s, dim, norm, name):
    x = _inexact(x, True)
    given = s is not None and s[len(s) - 1] != -1
    dim, sizes = _dims(x, s, dim, name)
    if not dim:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = sizes[-1] if given else 2 * (x.size(dim[len(dim) - 1]) - 1)
    if last < 1:
        raise RuntimeError(f"Invalid number of data points ({last}) specified")
    for d, n in zip(dim, sizes[:-1] + [last // 2 + 1]):
        x = _fit(x, d, n)
    return c2r(x, dim, _norm(name, norm), last)


def _turned(norm):
    """hfft and ihfft are the real transforms the other way."""
    return _OTHER["backward" if norm is None else norm] if norm in (None, *_OTHER) else norm


for _name, _what, _forward in (
        ("fft", "The Fourier transform", lambda x, s, dim, norm: _complex(x, s, dim, norm, True, "fft")),
        ("ifft", "The inverse Fourier transform", lambda x, s, dim, norm: _complex(x, s, dim, norm, False, "ifft")),
        ("rfft", "The half of the Fourier transform of real numbers that says all of it",
         lambda x, s, dim, norm: _half(x, s, dim, norm, "rfft")),
        ("irfft", "The inverse of `rfft`", lambda x, s, dim, norm: _whole(x, s, dim, norm, "irfft")),
        ("hfft", "The real Fourier transform of half of a Hermitian signal",
         lambda x, s, dim, norm: _whole(conj(x) if x.is_complex() else x, s, dim, _turned(norm), "hfft")),
        ("ihfft", "The inverse of `hfft`",
         lambda x, s, dim, norm: conj(_half(x, s, dim, _turned(norm), "ihfft")))):
    composite(f"fft_{_name}(Tensor self, int? n=None, int dim=-1, str? norm=None)",
              lambda self, n, dim, norm, f=_forward: f(self, None if n is None else (n,), (dim,), norm), method=False,
              samples=lambda make: [((make(2, 5),), {}), ((make(3, 4), 6, 0), {"norm": "ortho"}), ((make(5), 3, -1), {"norm": "forward"})],
              doc=_what + " along one dimension.")
    composite(f"fft_{_name}2(Tensor self, Size? s=None, Size? dim=None, str? norm=None)",
              lambda self, s, dim, norm, f=_forward: f(self, s, (-2, -1) if dim is None else dim, norm), method=False,
              samples=lambda make: [((make(3, 4),), {})], doc=_what + " over two dimensions, the last two unless others are named.")
    composite(f"fft_{_name}n(Tensor self, Size? s=None, Size? dim=None, str? norm=None)",
              lambda self, s, dim, norm, f=_forward: f(self, s, dim, norm), method=False,
              samples=lambda make: [((make(3, 4),), {}), ((make(2, 3, 4), (5, 2), (0, 2)), {})],
              doc=_what + " over several dimensions, all unless some are named.")


def _shift(self, dim, inverse):
    dims = tuple(range(self.ndim)) if dim is None else dim
    return roll(self, tuple([(self.size(d) + 1) // 2 if inverse else self.size(d) // 2 for d in dims]), tuple(dims))


composite("fft_fftshift(Tensor self, Dims? dim=None)", lambda self, dim: _shift(self, dim, False), method=False,
          samples=lambda make: [((make(4, 5),), {})], reference="np.fft.fftshift(self, dim)", doc="The zero frequency moved to the middle.")
composite("fft_ifftshift(Tensor self, Dims? dim=None)", lambda self, dim: _shift(self, dim, True), method=False,
          samples=lambda make: [((make(4, 5),), {})], reference="np.fft.ifftshift(self, dim)", doc="The inverse of `fftshift`.")
for _name in ("fftfreq", "rfftfreq"):
    composite(f"fft_{_name}(int n, float d=1.0, *, DType? dtype=None, Device? device=None, bool requires_grad=False)",
              lambda n, d, dtype, device, requires_grad, name=_name: _frequencies(
                  getattr(np.fft, name)(n, d), dtype, device, requires_grad),
              method=False,
              doc="The frequencies that a transform has.")


def _frequencies(values, dtype, device, requires_grad):
    x = to(tensor_of(values, TG_F64, device), dtype_of(default_code()) if dtype is None else dtype)
    return x.requires_grad_(requires_grad)
