"""Losses of classes: the negative log-likelihood and the cross-entropy."""
from libc.stdint cimport int64_t

from tensorgrad._core cimport fused
from tensorgrad._core.device cimport TG_BAD_INDEX
from tensorgrad._core.dtype cimport CAT_FLOAT, TG_F32, TG_F64, TG_I64, TG_U8, dtype_of
from tensorgrad._core.fused cimport tg_classes
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty
from tensorgrad.ops.loss cimport spoken

from tensorgrad._core.declaration import composite, operator
from tensorgrad.ops.loss import MEAN, NONE, _reduced

cdef Operator where, sum_, reshape, movedim, expand, gather, scatter_add, unsqueeze, squeeze, log_softmax, ones_like, nll_loss
cdef Operator to
where, sum_, reshape, movedim, expand, gather = (handle(n) for n in ("where", "sum", "reshape", "movedim", "expand", "gather"))
scatter_add, unsqueeze, squeeze, log_softmax = (handle(n) for n in ("scatter_add", "unsqueeze", "squeeze", "log_softmax"))
ones_like, nll_loss, to = (handle(n) for n in ("ones_like", "nll_loss", "to"))


def _class_weights(TensorBase self, TensorBase target, weight, ignore_index, bint batched):
    """(targets with 0 in place of what is ignored, what each of them counts)."""
    counted = target != ignore_index
    safe = to(where(counted, target, 0), dtype_of(TG_I64))
    if weight is None:
        return safe, to(counted, self.dtype)
    if batched:
        chosen = reshape(gather(weight, 1, reshape(safe, (safe.shape[0], -1))), safe.shape)
    else:
        chosen = reshape(gather(weight, 0, reshape(safe, (-1,))), safe.shape)
    return safe, where(counted, chosen, 0.0)


def _picked(self, target, int dim):
    """The element of each target's class."""
    return squeeze(gather(self, dim, unsqueeze(target, dim)), dim)


def _check_classes(TensorBase self, TensorBase target, TensorBase weight):
    cdef int dim = 1 if self.ndim > 1 else 0
    if self.ndim == 0:
        raise RuntimeError("nll_loss: input must have at least one dimension, the classes")
    if self.dtype.category != CAT_FLOAT:
        raise NotImplementedError(f"\"nll_loss_out_frame\" not implemented for '{spoken(self)}'")
    if target.dtype.code != TG_I64 and target.dtype.code != TG_U8:
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {spoken(target)}")
    sizes = [self.shape[d] for d in range(self.ndim)]
    wanted = sizes[:dim] + sizes[dim + 1:]
    if target.ndim != self.ndim - 1:
        raise RuntimeError(f"nll_loss: expected a target of {self.ndim - 1} dimensions for an input of {self.ndim}, got {target.ndim}")
    if self.ndim > 1 and target.shape[0] != self.shape[0]:
        raise ValueError(f"Expected input batch_size ({self.shape[0]}) to match target batch_size ({target.shape[0]}).")
    if any([target.shape[d] != wanted[d] for d in range(target.ndim)]):
        raise RuntimeError(f"size mismatch (got input: {sizes}, target: {[target.shape[d] for d in range(target.ndim)]})")
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != self.shape[dim]):
        raise RuntimeError(f"weight tensor should be defined either for all {self.shape[dim]} classes or no classes but got weight "
                           f"tensor of shape: {[weight.shape[d] for d in range(weight.ndim)]}")
    return dim


def _nll_forward(self, target, weight, reduction, ignore_index):
    dim = _check_classes(self, target, weight)
    try:
        safe, counts = _class_weights(self, target, weight, ignore_index, False)
        picked = _picked(self, safe, dim)
    except IndexError:
        outside = handle("masked_select")(target, ((target < 0) | (target >= self.shape[dim])) & (target != ignore_index))
        raise IndexError(f"Target {outside[0].item()} is out of bounds.") from None
    return _nll_reduced(-picked * counts, counts, reduction, None)


def _nll_reduced(values, counts, reduction, dims):
    """The mean is a weighted one."""
    if reduction == NONE:
        return values
    return sum_(values, dims) / sum_(counts, dims) if reduction == MEAN else sum_(values, dims)


def _nll_vjp(grad, self_shape, target, weight, reduction, ignore_index):
    """-grad * weight at each target's class."""
    dim = 1 if len(self_shape) > 1 else 0
    safe, counts = _class_weights(grad, target, weight, ignore_index, False)
    if reduction == MEAN:
        grad = grad / sum_(counts)
    share = where(target != ignore_index, -grad * counts, 0.0)     # where all are ignored the mean divides zero by zero
    return scatter_add(grad.new_zeros(self_shape), dim, unsqueeze(safe, dim), unsqueeze(share, dim))


def _nll_batch(batch_size, in_dims, self, target, weight, reduction, ignore_index):
    self = movedim(self, in_dims[0], 0) if in_dims[0] is not None else expand(self, (batch_size, *self.shape))
    target = movedim(target, in_dims[1], 0) if in_dims[1] is not None else expand(target, (batch_size, *target.shape))
    if weight is not None:      # a constant here as there
        weight = handle("detach")(weight if in_dims[2] is None else movedim(weight, in_dims[2], 0))
    safe, counts = _class_weights(self, target, weight, ignore_index, in_dims[2] is not None)
    values = -_picked(self, safe, 2 if self.ndim > 2 else 1) * counts
    if reduction == NONE:
        return values, 0
    return _nll_reduced(reshape(values, (batch_size, -1)), reshape(counts, (batch_size, -1)), reduction, (1,)), 0


operator("nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100)", _nll_forward,
         batch=_nll_batch, method=False,
         vjp={"self": lambda grad, self_shape, target, weight, reduction, ignore_index:
              _nll_vjp(grad, self_shape, target, weight, reduction, ignore_index)},
         jvp="linear",
         samples=lambda make: [((make(3, 4), make(3, integer=4)), {}), ((make(4), make(integer=4)), {}),
                               ((make(3, 4), make(3, integer=4), make(4, low=0.5, requires_grad=False)), {}),
                               ((make(2, 4, 3), make(2, 3, integer=4), None, 0), {}), ((make(3, 4), make(3, integer=4), None, 2, 1), {})],
         doc="""Negative log likelihood: minus the element of each target's class.

    Parameters
    ----------
    self : Tensor of shape (C,), (N, C) or (N, C, d1, ...)
        Logarithms of probabilities.
    target : Tensor of shape (), (N,) or (N, d1, ...)
        Classes.
    weight : Tensor of shape (C,), optional
        What each class counts, in the sum and in the mean's denominator.
    reduction : int, default: 1
        0 none, 1 mean, 2 sum.
    ignore_index : int, default: -100
        A target that counts nothing.
    """)


cdef bint _is_fusable(TensorBase self, TensorBase target, TensorBase weight, int reduction) except -1:
    """Whether the kernel of classes serves: on the CPU, in float or double, with no transform in force."""
    if thread_state().slow or self.storage is None or fused.fused_of(self) == NULL or self.numel == 0 or not 0 <= reduction <= 2:
        return False
    if self.dtype.code != TG_F32 and self.dtype.code != TG_F64:
        return False
    if target.storage is None or fused.fused_of(target) == NULL:
        return False
    return weight is None or (weight.storage is not None and weight.dtype is self.dtype and fused.fused_of(weight) != NULL)


cdef int _describe_classes(tg_classes* c, TensorBase self, TensorBase target, TensorBase weight, ignore_index, double smoothing) except -1:
    cdef int dim = 1 if self.ndim > 1 else 0, d
    if self.ndim == 0:
        raise RuntimeError("cross_entropy: expected an input of at least one dimension")
    c.outer = self.shape[0] if dim else 1
    c.n, c.inner = self.shape[dim], 1
    for d in range(dim + 1, self.ndim):
        c.inner *= self.shape[d]
    c.target, c.weight = <const int64_t*>fused.memory(target), fused.memory(weight)
    c.ignore_index, c.smoothing, c.dtype = ignore_index, smoothing, self.dtype.code
    return dim


cdef TensorBase _packed_classes(TensorBase target):
    return fused.packed(target if target.dtype.code == TG_I64 else to(target, dtype_of(TG_I64)))


def _class_entropy(TensorBase self, TensorBase target, TensorBase weight, int reduction, ignore_index, double label_smoothing):
    """(loss, what each target counts, log(sum(exp)) of each)."""
    cdef tg_classes c
    cdef int64_t bad = 0
    cdef int status
    cdef TensorBase x, classes, w, loss, counts, lse
    cdef char* l
    cdef char* k
    cdef char* e
    cdef char* i
    _check_classes(self, target, weight)
    if not _is_fusable(self, target, weight, reduction):
        raise NotImplementedError("cross entropy of classes: expected floats or doubles on the CPU, and a weight of their dtype")
    x, classes, w = fused.packed(self), _packed_classes(target), None if weight is None else fused.packed(weight)
    _describe_classes(&c, self, classes, w, ignore_index, label_smoothing)
    loss = empty(target.ndim, target.shape, self.dtype, self.storage.device)
    counts = empty(target.ndim, target.shape, self.dtype, self.storage.device)
    lse = empty(target.ndim, target.shape, self.dtype, self.storage.device)
    l, k, e, i = fused.memory(loss), fused.memory(counts), fused.memory(lse), fused.memory(x)
    _held = fused.storages((x, classes, w))
    with nogil:
        status = fused.fused_of_cpu().cross_entropy(&c, l, k, e, i, &bad)
    if status == TG_BAD_INDEX:
        raise IndexError(f"Target {bad} is out of bounds.")
    fused.settle(status, "cross_entropy", self)
    return _nll_reduced(loss, counts, reduction, None), counts, lse


def _class_entropy_vjp(TensorBase grad, TensorBase self, TensorBase target, TensorBase weight, int reduction, ignore_index,
                       double label_smoothing, TensorBase counts, TensorBase log_sums):
    """By one pass over the logits; by operators where that is itself to be differentiated."""
    cdef tg_classes c
    cdef TensorBase x, classes, w, out, g
    cdef char* o
    cdef char* p
    cdef char* i
    cdef char* e
    cdef int64_t step
    cdef int status
    if reduction == MEAN:
        grad = grad / sum_(counts)
    if not (fused.is_plain(grad) and fused.is_plain(self) and fused.is_plain(weight)):
        return _class_entropy_slope(grad, self, target, weight, ignore_index, label_smoothing)
    x, classes, w = fused.packed(self), _packed_classes(target), None if weight is None else fused.packed(weight)
    _describe_classes(&c, self, classes, w, ignore_index, label_smoothing)
    g = fused.packed(grad)
    fused.expect("cross_entropy_backward", classes, c.outer * c.inner, dtype_of(TG_I64))
    fused.expect("cross_entropy_backward", log_sums, c.outer * c.inner, self.dtype)
    fused.expect("cross_entropy_backward", w, c.n, self.dtype)
    fused.expect("cross_entropy_backward", g, 1 if g.numel == 1 else c.outer * c.inner, self.dtype)
    step = 0 if g.ndim < target.ndim or g.numel == 1 else 1
    out = empty(self.ndim, self.shape, self.dtype, self.storage.device)
    o, p, i, e = fused.memory(out), fused.memory(g), fused.memory(x), fused.memory(log_sums)
    _held = fused.storages((x, classes, w, g, log_sums))
    with nogil:
        status = fused.fused_of_cpu().cross_entropy_backward(&c, o, p, step, i, e)
    fused.settle(status, "cross_entropy_backward", self)
    return out


def _class_entropy_slope(grad, self, target, weight, ignore_index, label_smoothing):
    """g ((1 - s) w_t + s / n sum(w)) softmax(x) - g s / n w, and minus g (1 - s) w_t at the target's class t."""
    dim = 1 if self.ndim > 1 else 0
    safe, counts = _class_weights(self, target, weight, ignore_index, False)
    counted = target != ignore_index
    grad = where(counted, grad, 0.0)
    own, spread = grad * counts * (1 - label_smoothing), grad * (label_smoothing / self.shape[dim])
    total = self.shape[dim] if weight is None else sum_(weight)
    slope = unsqueeze(own + spread * total, dim) * handle("softmax")(self, dim)
    if label_smoothing:
        slope = slope - _weighted(expand(unsqueeze(spread, dim), self.shape), weight, dim)
    return scatter_add(slope, dim, unsqueeze(safe, dim), unsqueeze(-own, dim))


def _class_entropy_jvp(self, self_t, target, weight, reduction, ignore_index, label_smoothing, counts):
    dim = 1 if self.ndim > 1 else 0
    slope = _class_entropy_slope(ones_like(counts), self, target, weight, ignore_index, label_smoothing)
    return _nll_reduced(sum_(slope * self_t, (dim,)), counts, reduction, None), None, None


cdef Operator class_entropy = handle("_cross_entropy_of_classes")
operator("_cross_entropy_of_classes(Tensor self, Tensor target, Tensor? weight, int reduction, int ignore_index, float label_smoothing) "
         "-> (Tensor loss, Tensor counts, Tensor log_sums)", _class_entropy, internal=True, batch="fallback", node="nll_loss",
         nondifferentiable=("counts", "log_sums"),
         vjp={"self": lambda grad_loss, self, target, weight, reduction, ignore_index, label_smoothing, counts, log_sums:
              _class_entropy_vjp(grad_loss, self, target, weight, reduction, ignore_index, label_smoothing, counts, log_sums)},
         jvp=lambda self, self_t, target, weight, reduction, ignore_index, label_smoothing, counts:
         _class_entropy_jvp(self, self_t, target, weight, reduction, ignore_index, label_smoothing, counts),
         doc="`cross_entropy` of logits and classes, in one pass over the logits.")


def _cross_entropy(TensorBase self, TensorBase target, weight, reduction, ignore_index, label_smoothing):
    cdef int dim = 1 if self.ndim > 1 else 0
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    classes = self.shape[dim] if self.ndim else 0
    if self.ndim == target.ndim and target.dtype.category == CAT_FLOAT:
        if any([self.shape[d] != target.shape[d] for d in range(self.ndim)]):
            raise RuntimeError("Expected floating point type for target with class probabilities, of the shape of the input: "
                               f"{[self.shape[d] for d in range(self.ndim)]}, got {[target.shape[d] for d in range(target.ndim)]}")
        if label_smoothing > 0:
            target = target * (1 - label_smoothing) + label_smoothing / classes
        values = -sum_(_weighted(log_softmax(self, dim), weight, dim) * target, (dim,))
        return sum_(values) / (self.numel / classes) if reduction == MEAN else _reduced(values, reduction)
    if _is_fusable(self, target, weight, reduction):
        return class_entropy(self, target, weight, reduction, ignore_index, label_smoothing)[0]
    logarithms = log_softmax(self, dim)
    loss = nll_loss(logarithms, target, weight, reduction, ignore_index)
    if label_smoothing == 0:
        return loss
    _, counts = _class_weights(self, target, weight, ignore_index, False)
    counted = target != ignore_index
    smooth = where(counted, -sum_(_weighted(logarithms, weight, dim), (dim,)), 0.0)
    smooth = sum_(smooth) / sum_(counts) if reduction == MEAN else _reduced(smooth, reduction)
    return loss * (1 - label_smoothing) + smooth * (label_smoothing / classes)


def _weighted(x, weight, int dim):
    """Each class times its weight."""
    return x if weight is None else x * reshape(weight, (weight.shape[0], *(1,) * (x.ndim - dim - 1)))


composite("cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100, "
          "float label_smoothing=0.0)", _cross_entropy, method=False,
          samples=lambda make: [((make(3, 4), make(3, integer=4)), {}), ((make(4), make(integer=4)), {}),
                                ((make(3, 4), make(3, 4, low=0.1, high=0.5)), {}),
                                ((make(3, 4), make(3, integer=4), make(4, low=0.5, requires_grad=False)), {"label_smoothing": 0.1}),
                                ((make(2, 4, 3), make(2, 3, integer=4), None, 0), {})],
          doc="""Cross entropy of logits and classes: `nll_loss` of `log_softmax`.

    Parameters
    ----------
    self : Tensor of shape (C,), (N, C) or (N, C, d1, ...)
        Logits.
    target : Tensor
        Classes, of the input's shape without C; or probabilities, of its shape.
    weight, reduction, ignore_index
        As in `nll_loss`.
    label_smoothing : float, default: 0.0
        How much of the target is spread evenly over all classes.

    Examples
    --------
    >>> tensorgrad.cross_entropy(tensorgrad.zeros(1, 4), tensorgrad.tensor([2]))
    tensor(1.3863)
    """)
