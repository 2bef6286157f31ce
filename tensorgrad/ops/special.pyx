"""Special functions, and everyday operators made of others."""
from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.operator cimport Operator, handle

import math

from tensorgrad._core.declaration import composite, elementwise
from tensorgrad._core.dtype import finfo

cdef Operator sin, cos, where, log, reshape, unsqueeze, stack, expand, digamma, polygamma, roll
sin, cos, where, log, reshape = (handle(n) for n in ("sin", "cos", "where", "log", "reshape"))
unsqueeze, stack, expand, roll = (handle(n) for n in ("unsqueeze", "stack", "expand", "roll"))
digamma, polygamma = handle("digamma"), handle("_polygamma")

cdef extern from *:
    """
    #include "loops.h"
    #include "special_math.h"
    TG_UNARY(lgamma, FLOAT, tg_lgamma(x))
    TG_UNARY(erfinv, FLOAT, tg_erfinv_d(x))
    TG_UNARY(digamma, FLOAT, tg_digamma_d(x))
    TG_UNARY(logit, FLOAT, tg_log(x / (1 - x)))
    TG_BINARY(polygamma, FLOAT, tg_polygamma_d(x, y))
    TG_UNARY_WITHIN(sinc, FLOAT_AND_COMPLEX, TG_TRIG_LIMIT / 4,                                                  \
                    x == 0 ? (T)1 : tg_sin(x * (R)3.14159265358979323846) / (x * (R)3.14159265358979323846))
    """
    const tg_kernel tg_k_erfinv, tg_k_lgamma, tg_k_digamma, tg_k_polygamma, tg_k_sinc, tg_k_logit

elementwise(<size_t>&tg_k_lgamma, "lgamma(Tensor self)", to_float=True, partials={"self": lambda self: digamma(self)},
            reference="np.vectorize(math.lgamma, otypes=[float])(self)", domain=(0.3, 4.0),
            doc="Logarithm of the absolute value of the gamma function.")
elementwise(<size_t>&tg_k_erfinv, "erfinv(Tensor self)", to_float=True,
            partials={"self": lambda out: 0.5 * math.sqrt(math.pi) * handle("exp")(out * out)}, domain=(-0.8, 0.8),
            doc="The inverse of the error function.")
elementwise(<size_t>&tg_k_digamma, "digamma(Tensor self)", to_float=True, partials={"self": lambda self: polygamma(self, 1)},
            domain=(0.3, 4.0), doc="Logarithmic derivative of the gamma function.")
elementwise(<size_t>&tg_k_polygamma, "_polygamma(Tensor self, Number n)", to_float=True,
            partials={"self": lambda self, n: polygamma(self, n + 1)}, domain=(0.3, 4.0), internal=True, inplace=False,
            samples=lambda make: [((make(3, low=0.3, high=4.0), 1), {}), ((make(3, low=0.3, high=4.0), 2), {})],
            doc="The n-th derivative of `digamma`.", node="polygamma")
composite("polygamma(int n, Tensor self)", lambda n, self: _polygamma(n, self),
          doc="The n-th derivative of `digamma`; digamma itself for n = 0.",
          samples=lambda make: [((1, make(3, low=0.5, high=3)), {}), ((2, make(3, low=0.5, high=3)), {})])


composite("polygamma(Tensor self, int n)", lambda self, n: _polygamma(n, self), inplace=True,
          samples=lambda make: [((make(3, low=0.5, high=3), 1), {})])


def _polygamma(n, self):
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return digamma(self) if n == 0 else polygamma(self, n)


def _sinc_partial(self, out):
    """(cos(pi x) - sinc(x)) / x, and 0 at 0."""
    return where(self == 0, 0, (cos(math.pi * self) - out) / self)


elementwise(<size_t>&tg_k_sinc, "sinc(Tensor self)", to_float=True, partials={"self": _sinc_partial}, domain=(0.2, 2.0),
            reference="np.sinc(self)", doc="``sin(pi x) / (pi x)`` of each element, 1 at 0.")
elementwise(<size_t>&tg_k_logit, "_logit(Tensor self)", to_float=True, partials={"self": lambda self: _logit_partial(self)}, internal=True,
            inplace=False, node="logit", domain=(0.1, 0.9), reference="np.log(self / (1 - self * 1.0))", doc="`logit` without bounds.")
composite("logit(Tensor self, Number? eps=None)",
          lambda self, eps: handle("_logit")(self if eps is None else self.clamp(eps, 1 - eps)), domain=(0.1, 0.9), inplace=True,
          reference="np.log(self / (1 - self))", doc="``log(x / (1 - x))`` of each element: the inverse of `sigmoid`.")


def _logit_partial(self):
    """1 / (x (1 - x)), infinite at 0 and 1; beyond them there is no value and no derivative."""
    return where((self < 0) | (self > 1), math.nan, 1 / (self * (1 - self)))


composite("xlogy(Operand self, Operand other)", lambda self, other: _xlogy(self, other), domain=(0.3, 2.0), inplace=True,
          reference="np.where(self == 0, 0, self * np.log(other))",
          samples=lambda make: [((make(3, 4, low=0.3, high=2.0), make(4, low=0.3, high=2.0)), {}), ((make(3), 2.5), {}),
                                ((2.5, make(3, low=0.3, high=2.0)), {})],
          doc="``x * log(y)``, and 0 where x is 0.")


def _xlogy(self, other):
    if not hasattr(self, "dtype") and not hasattr(other, "dtype"):
        raise TypeError(f"xlogy() received an invalid combination of arguments - got ({type(self).__name__}, {type(other).__name__}), but "
                        "expected one of:\n * (Tensor input, Tensor other)\n * (Number self, Tensor other)\n * (Tensor input, Number "
                        "other)\n")
    if isinstance(other, (int, float)):
        logarithm = math.log(other) if other > 0 else -math.inf if other == 0 else math.nan
        return self * logarithm if math.isfinite(logarithm) else where((self == 0) & (other == other), 0, self * logarithm)
    return times_log(self, other, log, 0)


def times_log(self, other, logarithm, least):
    """x log(y), of which 0 log(0) is 0; where the logarithm is finite, it is the derivative at x = 0 too."""
    singular = (self == 0) & ((other <= least) | (other == math.inf))
    return where(singular, 0, self * logarithm(where(singular, 1, other)))


composite("nan_to_num(Tensor self, Number? nan=None, Number? posinf=None, Number? neginf=None)",
          lambda self, nan, posinf, neginf: _nan_to_num(self, nan, posinf, neginf), inplace=True,
          reference="np.nan_to_num(self)", doc="nan replaced by 0 and infinities by the largest finite numbers, or by what is given.")


def _nan_to_num(self, nan, posinf, neginf):
    if not self.is_floating_point():
        return self.clone()
    limits = finfo(self.dtype)
    x = where(self != self, 0.0 if nan is None else nan, self)
    x = where(x == math.inf, limits.max if posinf is None else posinf, x)
    return where(x == -math.inf, limits.min if neginf is None else neginf, x)


composite("kron(Tensor self, Tensor other)", lambda self, other: _kron(self, other), reference="np.kron(self, other)",
          samples=lambda make: [((make(2, 2), make(2, 3)), {}), ((make(2), make(3)), {})], doc="The Kronecker product.")


def _kron(self, other):
    n = max(self.ndim, other.ndim)
    a = [1] * (n - self.ndim) + list(self.shape)
    b = [1] * (n - other.ndim) + list(other.shape)
    left = reshape(self, tuple([m for p in a for m in (p, 1)]))
    right = reshape(other, tuple([m for p in b for m in (1, p)]))
    return reshape(left * right, tuple([p * q for p, q in zip(a, b)]))


composite("cross(Tensor self, Tensor other, Dim dim=-1)", lambda self, other, dim: _cross(self, other, dim),
          reference="np.cross(self, other, axis=dim)", samples=lambda make: [((make(2, 3), make(2, 3)), {})],
          doc="The cross product of vectors of three elements along a dimension.")


def _cross(self, other, dim):
    if self.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions: got shapes "
                           f"{list(self.shape)} and {list(other.shape)}")
    if self.size(dim) != 3 or other.size(dim) != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {self.size(dim)} and {other.size(dim)}")
    self, other = handle("broadcast_tensors")((self, other))
    return (roll(self, -1, dim) * roll(other, -2, dim)) - (roll(self, -2, dim) * roll(other, -1, dim))


composite("meshgrid(Tensor... tensors, *, str? indexing=None) -> Tensor[]",
          lambda tensors, indexing: _meshgrid(tensors, indexing), method=False,
          doc="Coordinates of a grid from those along its axes: with indexing='ij' the first varies along the first dimension.",
          samples=lambda make: [(((make(2), make(3)),), {"indexing": 'ij'}), (((make(2), make(3)),), {"indexing": 'xy'})],
          reference="np.meshgrid(*tensors, indexing=indexing)")


def _meshgrid(tensors, indexing):
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f"torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: {indexing}".replace("torch.", ""))
    if indexing == "xy" and len(tensors) > 1:
        grids = list(_meshgrid((tensors[1], tensors[0], *tensors[2:]), "ij"))
        grids[0], grids[1] = grids[1], grids[0]
        return tuple(grids)
    shape = tuple([x.numel() for x in tensors])
    grids = []
    for i, x in enumerate(tensors):
        if x.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x}".replace("torch.", ""))
        grids.append(expand(reshape(x, (1,) * i + (-1,) + (1,) * (len(tensors) - i - 1)), shape))
    return tuple(grids)


composite("diff(Tensor self, int n=1, Dim dim=-1, Tensor? prepend=None, Tensor? append=None)",
          lambda self, n, dim, prepend, append: _diff(_between(prepend, self, append, dim) if n else self, n, dim),
          reference="np.diff(self, n, dim)",
          samples=lambda make: [((make(2, 5),), {}), ((make(5), 2), {})], doc="Differences of neighbours along a dimension, `n` times.")


def _between(before, x, after, dim):
    parts = tuple([part for part in (before, x, after) if part is not None])
    return handle("cat")(parts, dim) if len(parts) > 1 else x


def _diff(self, n, dim):
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if self.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    for _ in range(min(n, self.size(dim))):      # then nothing is left
        size = self.size(dim)
        later, earlier = self.narrow(dim, 1, max(size - 1, 0)), self.narrow(dim, 0, max(size - 1, 0))
        self = later ^ earlier if str(self.dtype) == "tensorgrad.bool" else later - earlier
    return self
