"""Losses: an elementwise function of a prediction and a target, then nothing, a mean or a sum.

`reduction` is a number as in PyTorch's native functions: 0 none, 1 mean, 2 sum. (Those of classes are in cross_entropy.pyx.)
"""
from cpython.object cimport PyObject

from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.declaration cimport native
from tensorgrad._core.dtype cimport CAT_FLOAT
from tensorgrad._core.operator cimport Operator, call1, call2, handle
from tensorgrad._core.primitives cimport has_shape
from tensorgrad._core.types cimport TensorBase, shape_tuple

from tensorgrad._core.declaration import composite, elementwise, operator
from tensorgrad._core.graph import type_name

cdef Operator where, exp, log, log1p, sigmoid, logsigmoid, clamp, clamp_min, sum_, mean, reshape, movedim, expand, sum_to_size
where, exp, log, log1p, sigmoid, logsigmoid = (handle(n) for n in ("where", "exp", "log", "log1p", "sigmoid", "logsigmoid"))
clamp, clamp_min, sum_, mean, reshape = (handle(n) for n in ("clamp", "clamp_min", "sum", "mean", "reshape"))
movedim, expand, sum_to_size = (handle(n) for n in ("movedim", "expand", "sum_to_size"))
NONE, MEAN, SUM = 0, 1, 2


cdef str spoken(TensorBase x):
    return type_name(x).partition(".")[2].removesuffix("Tensor")


# ---- common ground --------------------------------------------------------------------------------
def _reduced(values, int reduction):
    if reduction == NONE:
        return values
    if reduction == MEAN:
        return mean(values)
    if reduction == SUM:
        return sum_(values)
    raise RuntimeError(f"{reduction} is not a valid value for reduction: 0 is none, 1 is mean, 2 is sum")


def _float_loss(TensorBase self, str name):
    if self.dtype.category != CAT_FLOAT:
        raise NotImplementedError(f"\"{name}\" not implemented for '{spoken(self)}'")


def _backward(grad, slope, int reduction, shape, weight=None):
    """The gradient of one argument, of the loss's slope in it."""
    if weight is not None:
        slope = slope * weight
    if reduction == MEAN:
        grad = grad / slope.numel()
    return sum_to_size(grad * slope, shape)


def _forward(int reduction, weight, *terms):
    """The tangent of a loss: (slope, tangent) for each argument."""
    total = None
    for slope, tangent in terms:
        if tangent is not None:
            term = slope() * tangent
            total = term if total is None else total + term
    if total is None:
        return None
    return _reduced(total if weight is None else total * weight, reduction)


def _aligned(x, dim, int rank):
    """The batch dimension in front and `rank` dimensions behind it."""
    if dim is None:
        return x
    x = movedim(x, dim, 0)
    return reshape(x, (x.shape[0], *(1,) * (rank - x.ndim + 1), *x.shape[1:]))


def _loss_batch(str name, int n_tensors):
    """The batching rule of a loss whose first arguments are tensors: no reduction inside, then one over all but the batch."""
    op = handle(name)
    at = n_tensors      # where the reduction stands

    def rule(batch_size, in_dims, *args):
        rank = max(x.ndim - (d is not None) for x, d in zip(args[:at], in_dims) if x is not None)
        tensors = [x if x is None else _aligned(x, d, rank) for x, d in zip(args[:at], in_dims)]
        if in_dims[0] is None and in_dims[1] is None:
            tensors[0] = expand(tensors[0], (batch_size, *(1,) * (rank - tensors[0].ndim), *tensors[0].shape))
        values = op(*tensors, NONE, *args[at + 1:])
        if args[at] == NONE:
            return values, 0
        values = reshape(values, (batch_size, values.numel() // batch_size if batch_size else 0))
        return (mean if args[at] == MEAN else sum_)(values, (1,)), 0
    return rule


# ---- differences ------------------------------------------------------------------------------------
cdef extern from *:
    """
    #include "loops.h"
    TG_BINARY(squared_difference, FLOAT, (x - y) * (x - y))
    TG_TERNARY(smooth_l1, FLOAT, tg_abs(x - y) < z ? (T)0.5 * (x - y) * (x - y) / z : tg_abs(x - y) - (T)0.5 * z)
    TG_TERNARY(huber, FLOAT, tg_abs(x - y) <= z ? (T)0.5 * (x - y) * (x - y) : z * (tg_abs(x - y) - (T)0.5 * z))
    """
    const tg_kernel tg_k_squared_difference, tg_k_smooth_l1, tg_k_huber

cdef Operator squared_difference, smooth_l1, huber
squared_difference = elementwise(<size_t>&tg_k_squared_difference, "_squared_difference(Tensor self, Tensor other)", inplace=False,
                                 internal=True, reference="(self - other) ** 2", doc="The values of `mse_loss`.")
smooth_l1 = elementwise(<size_t>&tg_k_smooth_l1, "_smooth_l1(Tensor self, Tensor other, Number beta)", inplace=False, internal=True,
                        doc="The values of `smooth_l1_loss`.")
huber = elementwise(<size_t>&tg_k_huber, "_huber(Tensor self, Tensor other, Number delta)", inplace=False, internal=True,
                    doc="The values of `huber_loss`.")


cdef object _mse(PyObject** a):
    cdef int reduction = <object>a[2]
    _float_loss(<TensorBase>a[0], "mse_cpu")
    squares = call2(squared_difference, <object>a[0], <object>a[1])
    return call1(mean, squares) if reduction == MEAN else _reduced(squares, reduction)


def _mse_backward(grad, TensorBase self, other, int reduction):
    """The gradient of `self`, ``2 (self - other) grad``; the small factors go together first."""
    cdef TensorBase difference = self - other
    gradient = difference * (grad * (2.0 / difference.numel if reduction == MEAN and difference.numel else 2.0))
    if has_shape(difference, self.ndim, self.shape):
        return gradient
    return sum_to_size(gradient, shape_tuple(self))


operator("mse_loss(Tensor self, Tensor target, int reduction=1)", native(_mse), batch=_loss_batch("mse_loss", 2), method=False,
         vjp={"self": lambda grad, self, target, reduction: _mse_backward(grad, self, target, reduction),
              "target": lambda grad, self, target, reduction: _mse_backward(grad, target, self, reduction)},
         jvp=lambda self, target, reduction, self_t, target_t: _forward(
             reduction, None, (lambda: 2 * (self - target), self_t), (lambda: 2 * (target - self), target_t)),
         reference="np.mean((self - target) ** 2) if reduction == 1 else (self - target) ** 2 if reduction == 0 "
                   "else np.sum((self - target) ** 2)",
         samples=lambda make: [((make(2, 3), make(2, 3)), {}), ((make(3), make(3), 0), {}), ((make(2, 3), make(3), 2), {})],
         doc="""Squared differences.

    Parameters
    ----------
    self, target : Tensor
    reduction : int, default: 1
        0 none, 1 mean, 2 sum.

    Examples
    --------
    >>> tensorgrad.mse_loss(tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 4.0]))
    tensor(2.)
    """)
composite("l1_loss(Tensor self, Tensor target, int reduction=1)",
          lambda self, target, reduction: _reduced((self - target).abs(), reduction), method=False,
          reference="np.mean(np.abs(self - target)) if reduction == 1 else np.abs(self - target) if reduction == 0 "
                    "else np.sum(np.abs(self - target))",
          samples=lambda make: [((make(2, 3), make(2, 3)), {}), ((make(3), make(3), 0), {}), ((make(3), make(3), 2), {})],
          doc="Absolute differences.")


def _smooth_l1(self, target, reduction, beta):
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    _float_loss(self, "smooth_l1_cpu")
    return _reduced((self - target).abs() if beta == 0 else smooth_l1(self, target, beta), reduction)


def _smooth_l1_slope(difference, beta):
    return difference.sign() if beta == 0 else clamp(difference / beta, -1.0, 1.0)


operator("smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.0)", _smooth_l1,
         batch=_loss_batch("smooth_l1_loss", 2), method=False,
         vjp={"self": lambda grad, self, target, reduction, beta:
              _backward(grad, _smooth_l1_slope(self - target, beta), reduction, self.shape),
              "target": lambda grad, self, target, reduction, beta:
              _backward(grad, _smooth_l1_slope(target - self, beta), reduction, target.shape)},
         jvp=lambda self, target, reduction, beta, self_t, target_t: _forward(
             reduction, None, (lambda: _smooth_l1_slope(self - target, beta), self_t),
             (lambda: _smooth_l1_slope(target - self, beta), target_t)),
         samples=lambda make: [((make(2, 3), make(2, 3)), {}), ((make(3), make(3), 0, 0.5), {}), ((make(3), make(3), 2, 0.0), {})],
         doc="Squared differences over ``2 * beta`` where they are smaller than `beta`, else absolute ones less half of `beta`.")


def _huber(self, target, reduction, delta):
    if not delta > 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    _float_loss(self, "huber_cpu")
    return _reduced(huber(self, target, delta), reduction)


operator("huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.0)", _huber, batch=_loss_batch("huber_loss", 2),
         vjp={"self": lambda grad, self, target, reduction, delta:
              _backward(grad, clamp(self - target, -delta, delta), reduction, self.shape),
              "target": lambda grad, self, target, reduction, delta:
              _backward(grad, clamp(target - self, -delta, delta), reduction, target.shape)},
         jvp=lambda self, target, reduction, delta, self_t, target_t: _forward(
             reduction, None, (lambda: clamp(self - target, -delta, delta), self_t),
             (lambda: clamp(target - self, -delta, delta), target_t)),
         samples=lambda make: [((make(2, 3), make(2, 3)), {}), ((make(3), make(3), 0, 0.5), {}), ((make(3), make(3), 2), {})],
         method=False, doc="`smooth_l1_loss` times `delta`: half of the squared difference where it is smaller than `delta`.")

# ---- cross entropies of probabilities and logits ---------------------------------------------------
cdef extern from *:
    """
    TG_BINARY(bce, FLOAT, (y - 1) * tg_max(tg_log1p(-x), (T)-100) - y * tg_max(tg_log(x), (T)-100))
    TG_BINARY(bce_logits, FLOAT, (1 - y) * x + tg_log1p(tg_exp(-tg_abs(x))) + tg_max(-x, (T)0))
    TG_TERNARY(bce_logits_weighted, FLOAT, (1 - y) * x + (1 + (z - 1) * y) * (tg_log1p(tg_exp(-tg_abs(x))) + tg_max(-x, (T)0)))
    """
    const tg_kernel tg_k_bce, tg_k_bce_logits, tg_k_bce_logits_weighted

cdef Operator bce, bce_logits, bce_logits_weighted
bce = elementwise(<size_t>&tg_k_bce, "_bce(Tensor self, Tensor target)", inplace=False, internal=True,
                  doc="The values of `binary_cross_entropy`; logarithms end at -100.")
bce_logits = elementwise(<size_t>&tg_k_bce_logits, "_bce_logits(Tensor self, Tensor target)", inplace=False, internal=True,
                         doc="The values of `binary_cross_entropy_with_logits`.")
bce_logits_weighted = elementwise(<size_t>&tg_k_bce_logits_weighted, "_bce_logits_weighted(Tensor self, Tensor target, Tensor pos_weight)",
                                  inplace=False, internal=True,
                                  doc="The values of `binary_cross_entropy_with_logits` with a weight for the positive class.")


def _bce_forward(self, target, weight, reduction):
    _float_loss(self, "binary_cross_entropy")
    if self.numel() and not (self.amin().item() >= 0 and self.amax().item() <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")
    values = bce(self, target)
    return _reduced(values if weight is None else values * weight, reduction)


def _bce_slope(self, target):
    return (self - target) / clamp_min(self * (1 - self), 1e-12)


def _bce_target_slope(self):
    return log1p(-self) - log(self)


operator("binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1)", _bce_forward,
         batch=_loss_batch("binary_cross_entropy", 3), method=False,
         vjp={"self": lambda grad, self, target, weight, reduction:
              _backward(grad, _bce_slope(self, target), reduction, self.shape, weight),
              "target": lambda grad, self, target_shape, weight, reduction:
              _backward(grad, _bce_target_slope(self), reduction, target_shape, weight)},
         jvp=lambda self, target, weight, reduction, self_t, target_t: _forward(
             reduction, weight, (lambda: _bce_slope(self, target), self_t), (lambda: _bce_target_slope(self), target_t)),
         samples=lambda make: [((make(2, 3, low=0.1, high=0.9), make(2, 3, low=0.1, high=0.9)), {}),
                               ((make(3, low=0.1, high=0.9), make(3, low=0.1, high=0.9), make(3, low=0.5, requires_grad=False), 0), {}),
                               ((make(3, low=0.1, high=0.9), make(3, low=0.1, high=0.9), None, 2), {})],
         doc="""Cross entropy of probabilities and the (probabilities of the) classes 0 and 1.

    Notes
    -----
    ``-(target * log(x) + (1 - target) * log(1 - x))``, the logarithms no less than -100.
    """)


def _bce_logits_forward(self, target, weight, pos_weight, reduction):
    _float_loss(self, "binary_cross_entropy_with_logits")
    values = bce_logits(self, target) if pos_weight is None else bce_logits_weighted(self, target, pos_weight)
    return _reduced(values if weight is None else values * weight, reduction)


def _bce_logits_slope(self, target, pos_weight):
    if pos_weight is None:
        return sigmoid(self) - target
    positive = pos_weight * target
    return (positive + 1 - target) * sigmoid(self) - positive


def _bce_logits_target_slope(self, pos_weight):
    if pos_weight is None:
        return -self
    return logsigmoid(-self) - pos_weight * logsigmoid(self)


operator("binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1)",
         _bce_logits_forward, batch=_loss_batch("binary_cross_entropy_with_logits", 4), method=False,
         vjp={"self": lambda grad, self, target, weight, pos_weight, reduction:
              _backward(grad, _bce_logits_slope(self, target, pos_weight), reduction, self.shape, weight),
              "target": lambda grad, self, target_shape, weight, pos_weight, reduction:
              _backward(grad, _bce_logits_target_slope(self, pos_weight), reduction, target_shape, weight)},
         jvp=lambda self, target, weight, pos_weight, reduction, self_t, target_t: _forward(
             reduction, weight, (lambda: _bce_logits_slope(self, target, pos_weight), self_t),
             (lambda: _bce_logits_target_slope(self, pos_weight), target_t)),
         samples=lambda make: [((make(2, 3), make(2, 3, low=0.1, high=0.9)), {}),
                               ((make(3), make(3, low=0.1, high=0.9), make(3, low=0.5, requires_grad=False), None, 0), {}),
                               ((make(2, 3), make(2, 3, low=0.1, high=0.9), None, make(3, low=0.5, requires_grad=False), 2), {})],
         doc="""`binary_cross_entropy` of the `sigmoid` of the input, in one stable formula.

    Notes
    -----
    ``(1 - target) * x + (1 + (pos_weight - 1) * target) * (log(1 + exp(-|x|)) + max(-x, 0))``
    """)
composite("kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False)",
          lambda self, target, reduction, log_target: _reduced(_kl_div(self, target, log_target), reduction), method=False,
          samples=lambda make: [((make(2, 3), make(2, 3, low=0.1, high=0.9)), {}), ((make(3), make(3), 2), {"log_target": True})],
          doc="""Kullback-Leibler divergence of a distribution from a prediction of its logarithms.

    Notes
    -----
    ``target * (log(target) - x)``, or ``exp(target) * (target - x)`` where the target is given by its logarithms.
    """)


def _kl_div(self, target, log_target):
    if log_target:
        return exp(target) * (target - self)
    vanishing = target == 0
    return where(vanishing, 0.0, target * log(where(vanishing, 1.0, target))) - target * self
