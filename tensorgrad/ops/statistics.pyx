"""Counting, searching in order, quantiles, running extremes, integrals of samples and distances."""
from tensorgrad._core.dtype cimport CAT_COMPLEX, TG_BOOL, TG_I32, TG_I64, dtype_of
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase

import math

import numpy as np

from tensorgrad._core import return_types
from tensorgrad._core.declaration import composite, operator

cdef Operator where, sort, gather, arange, zeros, scatter_add, reshape, expand, unsqueeze, squeeze, to, cat, sum_, cumsum, movedim
where, sort, gather, arange, zeros = (handle(n) for n in ("where", "sort", "gather", "arange", "zeros"))
scatter_add, reshape, expand, unsqueeze, squeeze = (handle(n) for n in ("scatter_add", "reshape", "expand", "unsqueeze", "squeeze"))
to, cat, sum_, cumsum, movedim = (handle(n) for n in ("to", "cat", "sum", "cumsum", "movedim"))
cdef Operator full_like, zeros_like, clone, searchsorted, cummax, norm
full_like, zeros_like, clone = handle("full_like"), handle("zeros_like"), handle("clone")
searchsorted, cummax, norm = handle("searchsorted"), handle("cummax"), handle("norm")
cdef Operator put_back = handle("value_selecting_backward")


# ---- NumPy below autograd -------------------------------------------------------------------------------
cdef object as_array(TensorBase x):
    """The values in NumPy's hands, brought to the CPU; bfloat16, which it lacks, as float32."""
    y = x.detach().cpu()
    return (y.float() if y.dtype.itemsize == 2 and not y.dtype.is_floating_point or str(y.dtype).endswith("bfloat16") else y).numpy()


cdef object from_array(object array, object dtype, object device):
    from tensorgrad.interop import tensor
    return tensor(np.ascontiguousarray(array), dtype=dtype, device=device).reshape(np.shape(array))


# ---- searching -----------------------------------------------------------------------------------------------
def _searchsorted(TensorBase sequence, TensorBase values, bint int32, bint right):
    """Binary search, in each row of the sequence for that row of the values."""
    side = "right" if right else "left"
    a, v = as_array(sequence), as_array(values)
    if a.ndim == 1:
        found = np.searchsorted(a, v, side)
    else:
        rows, wanted = a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), v.reshape(math.prod(v.shape[:-1]), v.shape[-1])
        found = np.stack([np.searchsorted(row, w, side) for row, w in zip(rows, wanted)]) if len(rows) else np.zeros(v.shape)
        found = found.reshape(v.shape)
    return from_array(np.asarray(found), dtype_of(TG_I32 if int32 else TG_I64), values.storage.device)


operator("_searchsorted(Tensor sorted_sequence, Tensor values, bool out_int32, bool right)", _searchsorted, batch="fallback", internal=True,
         samples=lambda make: [((sort_of(make(5, requires_grad=False)), make(2, 3, requires_grad=False), False, False), {})],
         doc="`searchsorted` of a sequence in order.")


def sort_of(x):
    """A sequence for a sample; complex numbers have no order, which the operator is to say."""
    return x if x.is_complex() else sort(x)[0]


composite("searchsorted(Tensor sorted_sequence, Operand self, *, bool out_int32=False, bool right=False, str? side=None, "
          "Tensor? sorter=None)",
          lambda sequence, self, out_int32, right, side, sorter: _search(sequence, self, out_int32, right, side, sorter), method=False,
          reference="np.searchsorted(sorted_sequence, self, 'right' if right else 'left')",
          samples=lambda make: [((sort_of(make(5, requires_grad=False)), make(2, 3, requires_grad=False)), {}),
                                ((sort_of(make(4, requires_grad=False)), 1), {"right": True})],
          doc="Where each value would be inserted into a sequence (a row of it for each row of values) to keep it in order.")
composite("bucketize(Operand self, Tensor boundaries, *, bool out_int32=False, bool right=False)",
          lambda self, boundaries, out_int32, right: _bucketize(self, boundaries, out_int32, right), method=False,
          reference="np.searchsorted(boundaries, self, 'right' if right else 'left')",
          samples=lambda make: [((make(2, 3, requires_grad=False), sort_of(make(5, requires_grad=False))), {}),
                                ((1, sort_of(make(5, requires_grad=False))), {})],
          doc="The number of the interval between boundaries that each element is in.")


def _search(sequence, values, out_int32, right, side, sorter):
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}".replace("torch.", ""))
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
                           .replace("torch.", ""))
    if sorter is not None:
        sequence = gather(sequence, -1, sorter)
    if not isinstance(values, TensorBase):
        if sequence.ndim != 1:
            raise RuntimeError("torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1"
                               .replace("torch.", ""))
        values = handle("scalar_tensor")(values, device=sequence.device)
    if sequence.ndim != 1 and (sequence.ndim != values.ndim or tuple(sequence.shape[:-1]) != tuple(values.shape[:-1])):
        raise RuntimeError("torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor "
                           .replace("torch.", "") + f"and input value tensor must match, but we got boundaries tensor "
                           f"{list(sequence.shape)} and "
                           f"input value tensor {list(values.shape)}")
    return handle("_searchsorted")(sequence, values, out_int32, right or side == "right")


def _bucketize(self, boundaries, out_int32, right):
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, self, out_int32=out_int32, right=right)


composite("isin(Operand elements, Operand test_elements, *, bool assume_unique=False, bool invert=False)",
          lambda elements, test_elements, assume_unique, invert: _isin(elements, test_elements, invert), method=False,
          reference="np.isin(elements, test_elements, invert=invert)",
          samples=lambda make: [((make(3, 4, requires_grad=False), make(5, requires_grad=False)), {}),
                                ((make(3, requires_grad=False), 1), {})],
          doc="Whether each element is among the test elements.")


def _isin(elements, test_elements, invert):
    device = (elements if isinstance(elements, TensorBase) else test_elements).device
    elements, test_elements = (x if isinstance(x, TensorBase) else handle("scalar_tensor")(x, device=device)
                               for x in (elements, test_elements))
    ordered = sort(reshape(test_elements.detach(), (-1,)))[0]
    elements = elements.detach()
    if ordered.numel() == 0:
        return full_like(elements, invert, dtype=dtype_of(TG_BOOL))
    place = searchsorted(ordered, elements).clamp(max=ordered.numel() - 1)
    found = handle("take")(ordered, place) == elements
    return ~found if invert else found


# ---- counting ---------------------------------------------------------------------------------------------------
composite("bincount(Tensor self, Tensor? weights=None, int minlength=0)",
          lambda self, weights, minlength: _bincount(self, weights, minlength), data_dependent=True,
          doc="How often each non-negative integer is there; with weights the sums of those.")


def _bincount(self, weights, minlength):
    if self.ndim != 1 or self.is_floating_point() or self.is_complex():
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if self.numel() and self.min().item() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and tuple(weights.shape) != tuple(self.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    n = max(minlength, int(self.max().item()) + 1 if self.numel() else 0)
    index = to(self, dtype_of(TG_I64))
    if weights is None:
        weights = handle("ones_like")(index)
    elif str(weights.dtype) not in ("tensorgrad.float32", "tensorgrad.float64"):
        weights = weights.double()
    return scatter_add(zeros(n, dtype=weights.dtype, device=self.device), 0, index, weights.detach())


composite("histc(Tensor self, int bins=100, Number min=0, Number max=0)",
          lambda self, bins, min, max: _histc(self.detach(), bins, min, max),
          samples=lambda make: [((make(20, requires_grad=False), 5), {})], data_dependent=True,
          reference="np.histogram(self, bins)[0] * 1.0", doc="How many elements are in each of `bins` equal intervals from `min` to `max`.")


def _histc(self, bins, low, high):
    if not self.is_floating_point():
        raise RuntimeError("\"histogram_cpu\" not implemented for integers and complex numbers (histc)")
    if bins <= 0:
        raise RuntimeError("torch.histc(): bins must be > 0".replace("torch.", ""))
    if low == high and self.numel():
        low, high = self.min().item(), self.max().item()
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("max must be larger than min")
    # the ends are numbers of the dtype: a half has few of them
    low, high = handle("scalar_tensor")(low, dtype=self.dtype).item(), handle("scalar_tensor")(high, dtype=self.dtype).item()
    x = reshape(self, (-1,))
    x = x[(x >= low) & (x <= high)]
    place = to((x - low) * bins / (high - low), dtype_of(TG_I64)).clamp(max=bins - 1)
    return scatter_add(zeros(bins, dtype=self.dtype, device=self.device), 0, place, handle("ones_like")(x))


# ---- running extremes ----------------------------------------------------------------------------------------------
def _running(bint is_max):
    def forward(TensorBase self, int dim):
        kind = return_types.cummax if is_max else return_types.cummin
        if self.dtype.category == CAT_COMPLEX:
            raise RuntimeError(f"\"{'cummax' if is_max else 'cummin'}_cpu\" not implemented for complex tensors, which have no order")
        if self.ndim == 0 or self.numel == 0:
            return kind((clone(self), zeros_like(self, dtype=dtype_of(TG_I64))))
        x = as_array(self)
        values = (np.maximum if is_max else np.minimum).accumulate(x, dim)
        place = np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - dim - 1))
        # of equal ones the last; a nan stays the extreme, and each further one is the latest
        indices = np.maximum.accumulate(np.where((x == values) | (x != x), place, 0), dim)
        return kind((from_array(values, self.dtype, self.storage.device), from_array(indices, dtype_of(TG_I64), self.storage.device)))
    return forward


for _name, _of in (("cummax", True), ("cummin", False)):
    operator(f"{_name}(Tensor self, Dim dim) -> (Tensor values, Tensor indices)", _running(_of),
             vjp={"self": lambda grad_values, self_shape, dim, indices: put_back(grad_values, dim, indices, self_shape, True)},
             jvp=lambda self_t, dim, indices: (gather(self_t, dim, indices) if self_t.ndim else self_t, None),
             nondifferentiable=("indices",), samples=lambda make: [((make(3, 4), 1), {}), ((make(5), 0), {})],
             doc=f"The {'largest' if _of else 'smallest'} element up to each index of a dimension, and where it was (the last).")


# ---- modes, quantiles ------------------------------------------------------------------------------------------------
def _mode(TensorBase self, int dim, bint keepdim):
    """In order equal elements are neighbours: the first whose run gets longest is the smallest of the most frequent ones."""
    if self.ndim == 0:
        return return_types.mode((clone(self), zeros_like(self, dtype=dtype_of(TG_I64))))
    if self.shape[dim] == 0:
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    x = movedim(self, dim, -1)
    n = x.size(-1)
    values, order = sort(x, -1, stable=True)
    place = expand(arange(n, device=self.storage.device), values.shape)
    new = cat((handle("ones_like")(values[..., :1], dtype=dtype_of(TG_BOOL)), values[..., 1:] != values[..., :-1]), -1)
    run = place - cummax(where(new, place, 0), -1)[0]
    at = unsqueeze(handle("argmax")(run, -1), -1)
    results = [gather(t, -1, at) for t in (values, order)]
    return return_types.mode(tuple([clone(movedim(t, -1, dim) if keepdim else squeeze(t, -1)).detach() for t in results]))


operator("mode(Tensor self, Dim dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)", _mode,
         vjp={"self": lambda grad_values, self_shape, dim, indices, keepdim: put_back(grad_values, dim, indices, self_shape, keepdim)},
         jvp=lambda self_t, dim, indices, keepdim: (_pick(self_t, dim, indices, keepdim), None), nondifferentiable=("indices",),
         samples=lambda make: [((make(3, 4),), {}), ((make(3, 4), 0, True), {})],
         doc="The most frequent element along a dimension (of several the smallest), and an index that it has.")


def _pick(x, dim, indices, keepdim):
    if x.ndim == 0:
        return x
    return gather(x, dim, indices) if keepdim else squeeze(gather(x, dim, unsqueeze(indices, dim)), dim)


composite("nanmedian(Tensor self)", lambda self: _nanmedian(reshape(self, (-1,)), 0, False)[0], samples=lambda make: [((make(5),), {})],
          doc="The middle element (the lower of two) of those that are not nan; along a dimension also the index it had.")
composite("nanmedian(Tensor self, Dim dim, bool keepdim=False) -> (Tensor values, Tensor indices)", lambda self, dim, keepdim:
          _nanmedian(self, dim, keepdim), samples=lambda make: [((make(3, 5), 1), {})])


def _nanmedian(self, dim, keepdim):
    kind = handle("median")(self, dim, True) if self.ndim and self.size(dim) == 0 else None
    if self.ndim == 0:
        return return_types.median((clone(self), zeros_like(self, dtype=dtype_of(TG_I64))))
    values, indices = sort(self, dim, stable=True) if kind is None else kind
    place = ((sum_(self == self, dim, True) - 1) // 2).clamp(min=0)
    values, indices = gather(values, dim, place), gather(indices, dim, place)
    return return_types.median((values, indices) if keepdim else (squeeze(values, dim), squeeze(indices, dim)))


for _name, _skip in (("quantile", False), ("nanquantile", True)):
    composite(f"{_name}(Tensor self, Operand q, Dim? dim=None, bool keepdim=False, *, str interpolation='linear')",
              lambda self, q, dim, keepdim, interpolation, skip=_skip: _quantile(self, q, dim, keepdim, interpolation, skip),
              reference=f"np.{_name}(self, q, axis=dim, keepdims=keepdim, method=interpolation)",
              samples=lambda make: [((make(3, 5), 0.25), {}), ((make(3, 5), 0.5), {"dim": 1, "keepdim": True}),
                                    ((make(3, 4), 0.5), {"dim": 0, "interpolation": "lower"})],
              doc="The values below which a part `q` of the elements lies" + (", nan left out." if _skip else "; nan if there is one."))


def _quantile(self, q, dim, keepdim, interpolation, skip):
    if not self.is_floating_point() or self.dtype.itemsize < 4:
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError("quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got " + interpolation)
    if isinstance(q, TensorBase):
        if q.ndim > 1:
            raise RuntimeError(f"quantile() q must be a scalar or 1D tensor, but got a tensor of {q.ndim} dimensions")
        if q.dtype is not self.dtype:
            raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
        if bool(((q < 0) | (q > 1)).any().item()):
            raise RuntimeError("quantile() q values must be in the range [0, 1]")
    else:
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
        q = handle("scalar_tensor")(q, dtype=self.dtype, device=self.device)
    ndim = self.ndim
    if self.numel() == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    x = reshape(self, (-1,)) if dim is None or ndim == 0 else movedim(self, dim, -1)
    n = x.size(-1)
    x = sort(x, -1)[0]
    points = reshape(q, (-1,) + (1,) * x.ndim)                        # (how many, 1, ..., 1) against (rows, 1)
    numbers = sum_((x == x).detach(), (-1,), True)
    ranks = points * (to(numbers if skip else full_like(numbers, n), self.dtype) - 1)
    if skip:
        ranks = ranks.clamp(min=0)
    else:
        ranks = where(numbers < n, n - 1, ranks)
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": handle("floor"), "higher": handle("ceil"), "nearest": handle("round")}[interpolation](ranks)
    below = to(ranks.detach(), dtype_of(TG_I64))
    above = to(ranks.detach().ceil(), dtype_of(TG_I64))
    rows = expand(unsqueeze(x, 0), (points.size(0), *x.shape))
    low, high = gather(rows, -1, below), gather(rows, -1, above)
    weight = full_like(low, 0.5) if interpolation == "midpoint" else ranks - below
    result = squeeze(low + weight * (high - low) if interpolation in ("linear", "midpoint") else low, -1)
    if keepdim and ndim:
        result = reshape(result, (points.size(0),) + (1,) * ndim) if dim is None else unsqueeze(result, (dim % ndim) + 1)
    return result if q.ndim else squeeze(result, 0)


# ---- integrals of samples ------------------------------------------------------------------------------------------------
for _name in ("trapezoid", "trapz"):
    composite(f"{_name}(Tensor y, *, Number dx=1, Dim dim=-1)", lambda y, dx, dim: sum_(_panels(y, dx, dim), (dim,)), method=False,
              reference="np.sum((np.delete(y, 0, dim) + np.delete(y, -1, dim)) * dx / 2, axis=dim)",
              samples=lambda make: [((make(3, 4),), {}), ((make(3, 4),), {"dx": 0.5, "dim": 0})],
              doc="The integral along a dimension by the trapezoidal rule, of samples `dx` apart or at the points `x`.")
    composite(f"{_name}(Tensor y, Tensor x, *, Dim dim=-1)", lambda y, x, dim: sum_(_panels_at(y, x, dim), (dim,)), method=False,
              samples=lambda make: [((make(3, 4), make(4)), {})],
              reference="np.sum((y[:, 1:] + y[:, :-1]) * np.diff(x * 1.0) / 2, axis=dim)")
composite("cumulative_trapezoid(Tensor y, *, Number dx=1, Dim dim=-1)", lambda y, dx, dim: cumsum(_panels(y, dx, dim), dim), method=False,
          samples=lambda make: [((make(3, 4),), {})], reference="np.cumsum((y[:, 1:] + y[:, :-1]) * dx / 2, axis=dim)",
          doc="The running integral along a dimension by the trapezoidal rule.")
composite("cumulative_trapezoid(Tensor y, Tensor x, *, Dim dim=-1)", lambda y, x, dim: cumsum(_panels_at(y, x, dim), dim), method=False,
          samples=lambda make: [((make(3, 4), make(4)), {})],
          reference="np.cumsum((y[:, 1:] + y[:, :-1]) * np.diff(x * 1.0) / 2, axis=dim)")


def _panels(y, dx, dim):
    if y.ndim == 0:
        raise RuntimeError("trapezoid expects at least a 1-dimensional tensor")
    return _neighbours(y, dim) * dx / 2.0


def _neighbours(y, dim):
    """The sums of neighbours; of integers as floating point numbers, which do not wrap around."""
    if not (y.is_floating_point() or y.is_complex()):
        y = y * 1.0
    n = max(y.size(dim) - 1, 0)
    return y.narrow(dim, y.size(dim) - n, n) + y.narrow(dim, 0, n)


def _panels_at(y, x, dim):
    along = dim - y.ndim
    if not (x.is_floating_point() or x.is_complex()):
        x = x * 1.0
    if x.ndim == 1:
        if x.size(0) != y.size(dim):
            raise RuntimeError("trapezoid: There must be one `x` value for each sample point")
        steps = reshape(handle("diff")(x), (-1,) + (1,) * (-along - 1))
    else:
        steps = handle("diff")(x, 1, along)
    return _neighbours(y, dim) * steps / 2.0


# ---- distances ------------------------------------------------------------------------------------------------------------
composite("dist(Tensor self, Tensor other, Number p=2)", lambda self, other, p: norm(self - other, p),
          reference="np.linalg.norm(np.ravel(self - other))", doc="The p-norm of the difference.",
          samples=lambda make: [((make(3, 4), make(3, 4)), {})])
composite("cdist(Tensor x1, Tensor x2, float p=2.0, Any compute_mode=None)", lambda x1, x2, p, compute_mode: _cdist(x1, x2, p),
          method=False,
          reference="np.linalg.norm(x1[:, None] - x2, axis=-1)", samples=lambda make: [((make(2, 3), make(4, 3)), {})],
          doc="The p-norm of the difference of each row of `x1` and each of `x2`.")
composite("pdist(Tensor self, float p=2.0)", lambda self, p: _pdist(self, p), method=False, samples=lambda make: [((make(4, 3),), {})],
          doc="The p-norm of the difference of each pair of rows.")


def _cdist(x1, x2, p):
    if x1.ndim < 2 or x2.ndim < 2:
        raise RuntimeError(f"cdist only supports at least 2D tensors, X1 got: {x1.ndim}D, X2 got: {x2.ndim}D")
    if x1.size(-1) != x2.size(-1):
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.size(-1)} X2: {x2.size(-1)}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    apart = unsqueeze(x1, -2) - unsqueeze(x2, -3)
    # of order 0: what differs is counted, with a gradient that is zero
    return norm(apart, p, -1) if p else sum_(apart.sgn().abs(), (-1,))


def _pdist(self, p):
    if self.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {self.ndim}D")
    rows, columns = np.triu_indices(self.size(0), 1)
    rows, columns = (from_array(i, dtype_of(TG_I64), self.device) for i in (rows, columns))
    return norm(self[rows] - self[columns], p, -1)


# ---- covariance -------------------------------------------------------------------------------------------------------------
composite("cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None)",
          lambda self, correction, fweights, aweights: _cov(self, correction, fweights, aweights),
          reference="np.cov(self, ddof=correction)", samples=lambda make: [((make(3, 4),), {}), ((make(5),), {})],
          doc="The covariances of variables, a row of observations for each.")
composite("corrcoef(Tensor self)", lambda self: _corrcoef(self), reference="np.corrcoef(self)", samples=lambda make: [((make(3, 4),), {})],
          doc="The correlation coefficients of variables, a row of observations for each.")


def _cov(self, correction, fweights, aweights):
    if self.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {self.ndim} dimensions")
    x = self if self.ndim == 2 else reshape(self, (1, -1))
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is not None and w.ndim > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w.ndim} dimensions")
        if w is not None and (w.is_floating_point() or w.is_complex()) != (name == "aweights"):
            raise RuntimeError(f"cov(): expected {name} to have {'floating point' if name == 'aweights' else 'integral'} dtype but got "
                               f"{name} with {w.type().rpartition('.')[2].removesuffix('Tensor')} dtype")
        if w is not None and w.numel() != x.size(1):
            raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations in the input but got "
                               f"{w.numel()} != {x.size(1)}")
        if w is not None and w.numel() and bool((w < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    total = x.size(1) if weights is None else sum_(weights)
    mean = (sum_(x, (1,), True) if weights is None else sum_(x * weights, (1,), True)) / total
    degrees = total - correction
    if aweights is not None and correction:
        degrees = total - correction * sum_(weights * aweights) / total
    centred = x - mean
    scaled = centred if weights is None else centred * weights
    degrees = max(degrees, 0) if weights is None else degrees.clamp(min=0)
    c = handle("matmul")(scaled, handle("conj")(centred.t()))
    c = c / (degrees if isinstance(degrees, TensorBase) or degrees else 0.0)
    return reshape(c, ()) if c.numel() == 1 else c


def _corrcoef(self):
    if self.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {self.ndim} dimensions")
    c = _cov(self, 1, None, None)
    if c.ndim == 0:
        return c / c
    size = handle("diagonal")(c)
    size = (handle("real")(size) if size.is_complex() else size).sqrt()
    return c / unsqueeze(size, 1) / unsqueeze(size, 0)
