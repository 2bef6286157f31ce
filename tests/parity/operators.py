"""How an operator of PyTorch's own database (`op_db`) is run in both libraries and compared, an aspect at a time.

The database gives the names, the sample inputs, the dtypes and the inputs that must be refused.
"""

import itertools
import operator as python_operator
import warnings

import pytest

import tensorgrad
import tensorgrad_nn.functional

from .bridge import (
    DIFFERENTIABLE,
    DTYPES,
    TO_TENSORGRAD,
    difference,
    dtype_name,
    strides_differ,
    tensors_in,
    to_tensorgrad,
    torch,
)

pytest.importorskip("expecttest", reason="torch.testing._internal, which holds the operator database, needs expecttest")
from torch.testing._internal.common_methods_invocations import op_db

# Samples are spread over those that the database has, of which the first so many are looked at.
SAMPLES, SAMPLES_SEEN = 4, 12

# Their values are drawn, are what memory holds, or depend on the order of equal elements: shapes and dtypes are compared.
WITHOUT_VALUES = set(
    ["argsort", "bernoulli", "empty", "empty_like", "multinomial", "new_empty", "nn.functional.dropout", "normal", "rand_like", "randint", "randint_like", "randn", "randn_like", "resize_", "resize_as_", "uniform", "exponential", "cauchy", "geometric", "log_normal", "empty_strided", "new_empty_strided", "empty_permuted", "nn.functional.alpha_dropout", "nn.functional.dropout2d", "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout", "nn.functional.rrelu", "nn.functional.multi_head_attention_forward"]
)

REFLECTED = {
    "__radd__": python_operator.add,
    "__rand__": python_operator.and_,
    "__rmatmul__": python_operator.matmul,
    "__rmod__": python_operator.mod,
    "__rmul__": python_operator.mul,
    "__ror__": python_operator.or_,
    "__rpow__": python_operator.pow,
    "__rsub__": python_operator.sub,
    "__rxor__": python_operator.xor,
}

# Where the database calls an operator with its arguments in another order.
REORDERED = {
    "polygamma": lambda x, n: tensorgrad.polygamma(n, x),
    "special.polygamma": lambda x, n: tensorgrad.special.polygamma(n, x),
    "linalg.pinv(singular)": lambda a, b: tensorgrad.linalg.pinv(a @ b.mT),
    "linalg.lstsq(grad_oriented)": lambda a, b, driver: tensorgrad.linalg.lstsq(a, b, driver=driver)[0:2],
    "where": lambda x, condition, other: tensorgrad.where(condition, x, other),
    "zero_": lambda x: x.clone().zero_(),
    "einsum": lambda tensors, equation: tensorgrad.einsum(equation, *tensors),
    "nn.functional.embedding": lambda weight, index, **options: tensorgrad_nn.functional.embedding(index, weight, **options),
    "normal(in_place)": lambda x, mean, std: x.clone().normal_(mean, std),
}

# Among equal elements the index is any of theirs, in PyTorch too: the values are compared.
TIES = {"topk", "kthvalue", "sort", "msort", "mode"}

# The vectors of these decompositions are unique up to a sign or phase only: the database says what of them is compared.
UP_TO_PHASE = {"linalg.eigh", "linalg.svd"}

ASPECTS = ("forward", "strides", "method", "in-place", "backward", "forward mode", "double backward", "errors")

# The method and the in-place form run the kernels that the function has been compared with.
OF_SOME_DTYPES = {"strides": ("float32",), "method": ("int64", "float32"), "in-place": ("int64", "float32")}


def in_tensorgrad(name):
    """The function of tensorgrad that has the name of a database entry, or None."""
    if name.startswith("nn.functional."):
        return getattr(tensorgrad_nn.functional, name[len("nn.functional.") :], None)
    module, _, attribute = name.rpartition(".")
    if module:
        return getattr(getattr(tensorgrad, module, None), attribute, None)
    function = getattr(tensorgrad, name, None)
    # The casts (torch.Tensor.float, ...) have the names of dtypes.
    return function if callable(function) else getattr(tensorgrad.Tensor, name, None)


def full_name(info):
    return f"{info.name}({info.variant_test_name})" if info.variant_test_name else info.name


def _entries():
    unique = {}
    for info in op_db:
        unique.setdefault(full_name(info), info)
    return unique


ALL = _entries()
SHARED = {name: info for name, info in ALL.items() if in_tensorgrad(info.name) is not None}
MISSING = sorted({info.name for name, info in ALL.items() if name not in SHARED})


def spread(samples):
    seen = list(itertools.islice(samples, SAMPLES_SEEN))
    if len(seen) <= SAMPLES:
        return seen
    return [seen[i * (len(seen) - 1) // (SAMPLES - 1)] for i in range(SAMPLES)]


class Case:
    """One sample in both libraries: the arguments of each, and those of their tensors that require a gradient."""

    def __init__(self, sample, up_to_phase=False):
        self.up_to_phase = up_to_phase
        memo = {}
        self.theirs = (sample.input, tuple(sample.args), dict(sample.kwargs))
        self.ours = to_tensorgrad(self.theirs, memo)
        self.drawn = bool(sample.kwargs.get("dropout_p"))
        self.leaves = [t for t in tensors_in(self.theirs) if t.requires_grad and t.is_leaf]
        self.our_leaves = [memo[id(t)][0] for t in self.leaves]
        self.process = sample.output_process_fn_grad

    def run(self, theirs, ours):
        """Both results; None where PyTorch itself refuses the sample."""
        try:
            expected = theirs(self.theirs[0], *self.theirs[1], **self.theirs[2])
        except Exception:
            return None
        if any(t.dtype not in TO_TENSORGRAD for t in tensors_in(expected)):
            return None
        found = ours(self.ours[0], *self.ours[1], **self.ours[2])
        return (self.process(expected), self.process(found)) if self.up_to_phase else (expected, found)


def cases(info, dtype, requires_grad):
    torch.manual_seed(0)
    # `info.sample_inputs` would record the stack at each sample, which takes longer than all the rest.
    for sample in spread(info.sample_inputs_func(info, "cpu", getattr(torch, dtype), requires_grad)):
        try:
            yield Case(sample, info.name in UP_TO_PHASE)
        except KeyError:
            # a dtype that tensorgrad does not have
            continue


def dtypes_of(info, aspect):
    if aspect in OF_SOME_DTYPES or aspect == "forward":
        supported = info.supported_dtypes("cpu")
        return [name for name in OF_SOME_DTYPES.get(aspect, DTYPES) if getattr(torch, name) in supported]
    if not info.supports_autograd:
        return []
    if (aspect == "forward mode" and not info.supports_forward_ad) or (aspect == "double backward" and not info.supports_gradgrad):
        return []
    supported = info.supported_backward_dtypes("cpu")
    # equal elements are many where there are few bits
    names = DIFFERENTIABLE[2:] if info.name in TIES else DIFFERENTIABLE
    return [name for name in names if getattr(torch, name) in supported]


def _functions(info, aspect):
    """The callables of both libraries for an aspect; None where PyTorch's database has none."""
    theirs, ours = info.op, in_tensorgrad(info.name)
    if isinstance(ours, property):
        ours = ours.fget
    reordered = REORDERED.get(full_name(info)) or REORDERED.get(info.name)
    if reordered and aspect not in ("method", "in-place"):
        return theirs, reordered
    if info.name in REFLECTED:
        apply = REFLECTED[info.name]
        return (lambda x, y: apply(y, x)), (lambda x, y: apply(y, x))
    if aspect == "method":
        theirs = info.method_variant
        if theirs is None or theirs.__name__ == "<lambda>" or not hasattr(torch, info.name.rpartition(".")[2]):
            return None
        ours = getattr(tensorgrad.Tensor, theirs.__name__, None) or _absent(f"Tensor.{theirs.__name__}")
    elif aspect == "in-place":
        theirs = info.inplace_variant
        if theirs is None or getattr(theirs, "__name__", "<lambda>") == "<lambda>":
            return None
        ours = getattr(tensorgrad.Tensor, theirs.__name__, None) or _absent(f"Tensor.{theirs.__name__}")
    return theirs, ours


def _absent(name):
    def missing(*args, **kwargs):
        raise AttributeError(f"{name} is missing")

    return missing


def _differentiable(outputs):
    return [t for t in tensors_in(outputs) if t.requires_grad]


def _random_like(tensors):
    theirs = [torch.randn(t.shape, dtype=t.dtype) for t in tensors]
    return theirs, to_tensorgrad(theirs)


def _first(result):
    return result if hasattr(result, "dtype") else result[0]


def _gradients(case, results, create_graph):
    expected, found = _differentiable(results[0]), _differentiable(results[1])
    if len(expected) != len(found):
        return f"{len(expected)} differentiable outputs, not {len(found)}", None
    if not expected:
        return None, None
    vectors, our_vectors = _random_like(expected)
    if create_graph:
        for vector in (*vectors, *our_vectors):
            vector.requires_grad_()
    options = {"allow_unused": True, "create_graph": create_graph}
    theirs = _grad_of_theirs(expected, case.leaves, vectors, **options)
    ours = tensorgrad.autograd.grad(found, case.our_leaves, our_vectors, **options)
    return difference(theirs, ours, slack=4, where="gradient"), (theirs, ours, vectors, our_vectors)


class NotInPyTorch(Exception):
    """PyTorch has no derivative here: there is nothing to compare with."""


def _grad_of_theirs(*args, **options):
    try:
        return torch.autograd.grad(*args, **options)
    except NotImplementedError as error:
        raise NotInPyTorch from error


def _compare_backward(case, results):
    return _gradients(case, results, create_graph=False)[0]


def _compare_double_backward(case, results):
    wrong, graph = _gradients(case, results, create_graph=True)
    if wrong or graph is None:
        return wrong
    theirs, ours, vectors, our_vectors = graph
    pairs = [(a, b) for a, b in zip(theirs, ours) if a is not None and a.requires_grad]
    if any(not b.requires_grad for _, b in pairs):
        return "a gradient that should have a graph has none"
    if not pairs:
        return None
    weights, our_weights = _random_like([a for a, _ in pairs])
    second = _grad_of_theirs([a for a, _ in pairs], [*case.leaves, *vectors], weights, allow_unused=True)
    our_second = tensorgrad.autograd.grad(
        [b for _, b in pairs], [*case.our_leaves, *our_vectors], our_weights, allow_unused=True
    )
    expected = _zeros_for_none(second, [*case.leaves, *vectors])
    found = _zeros_for_none(our_second, [*case.our_leaves, *our_vectors])
    return difference(expected, found, slack=16, where="second gradient")


def _zeros_for_none(gradients, inputs):
    """Whether a second derivative that is zero is None, zeros or what rounding leaves of them is each formula's own affair."""
    return [x.detach().new_zeros(x.shape) if g is None else g for g, x in zip(gradients, inputs)]


def _compare_forward_mode(case, theirs, ours):
    tangents, our_tangents = _random_like(case.leaves)
    results = []
    for library, function, (first, args, kwargs), leaves, directions in (
        (torch, theirs, case.theirs, case.leaves, tangents),
        (tensorgrad, ours, case.ours, case.our_leaves, our_tangents),
    ):
        ad = library.autograd.forward_ad
        with ad.dual_level():
            duals = {id(x): ad.make_dual(x.detach(), v) for x, v in zip(leaves, directions)}
            try:
                out = function(_replaced(first, duals), *_replaced(args, duals), **_replaced(kwargs, duals))
            except NotImplementedError:
                if library is torch:
                    return None
                raise
            out = case.process(out) if case.up_to_phase else out
            unpacked = [ad.unpack_dual(t) for t in tensors_in(out) if t.is_floating_point() or t.is_complex()]
            results.append([(u.primal.detach(), None if u.tangent is None else u.tangent.detach()) for u in unpacked])
    return difference(*results, slack=4, where="dual")


def _replaced(value, by_id):
    if id(value) in by_id:
        return by_id[id(value)]
    if isinstance(value, (tuple, list)):
        return type(value)(_replaced(item, by_id) for item in value)
    if isinstance(value, dict):
        return {key: _replaced(item, by_id) for key, item in value.items()}
    return value


def compare(name, aspect, dtype):
    """What is different, in words; None where the aspect holds for the dtype; False where there is nothing to compare."""
    info = SHARED[name]
    functions = _functions(info, aspect)
    if functions is None:
        return False
    theirs, ours = functions
    values = info.name not in WITHOUT_VALUES
    compared = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases(info, dtype, requires_grad=aspect in ("backward", "forward mode", "double backward")):
            try:
                if aspect == "forward mode":
                    found = case.leaves and values and not case.drawn and _compare_forward_mode(case, theirs, ours)
                else:
                    results = case.run(theirs, ours)
                    if results is None:
                        continue
                    if aspect == "backward":
                        found = values and not case.drawn and _compare_backward(case, results)
                    elif aspect == "double backward":
                        found = values and not case.drawn and _compare_double_backward(case, results)
                    elif aspect == "strides":
                        found = strides_differ(*results)
                    elif info.name in TIES:
                        found = difference(*(_first(r) for r in results))
                    else:
                        found = difference(*results, values=values and not case.drawn)
            except NotInPyTorch:
                continue
            except Exception as error:
                found = f"{type(error).__name__}: {error}".splitlines()[0]
            compared = True
            if found:
                return f"{found} for {_described(case)}"
    return None if compared else False


def _described(case):
    def show(value):
        if isinstance(value, torch.Tensor):
            return f"{dtype_name(value.dtype)}{list(value.shape)}"
        if isinstance(value, (tuple, list)):
            return "(" + ", ".join(map(show, value)) + ")"
        return repr(value)

    first, args, kwargs = case.theirs
    return ", ".join([show(first), *map(show, args), *(f"{k}={show(v)}" for k, v in kwargs.items())])[:200]


def compare_errors(name):
    """The same for the inputs that PyTorch refuses: the exception's type, and its phrase."""
    info = SHARED[name]
    if info.error_inputs_func is None:
        return False
    ours = _functions(info, "forward")[1]
    compared = False
    torch.manual_seed(0)
    for wrong in info.error_inputs("cpu"):
        try:
            case = Case(wrong.sample_input)
        except (KeyError, ValueError):
            # a dtype that tensorgrad, or a number of dimensions that NumPy does not have
            continue
        try:
            info.op(case.theirs[0], *case.theirs[1], **case.theirs[2])
            continue
        except Exception as error:
            expected = error
        compared = True
        phrase = str(expected).splitlines()[0]
        try:
            ours(case.ours[0], *case.ours[1], **case.ours[2])
        except Exception as error:
            if not isinstance(error, type(expected).__mro__[0 if type(expected).__module__ == "builtins" else 1]):
                return f"{type(expected).__name__} ({phrase}), not {type(error).__name__}: {error} for {_described(case)}"
            if not same_phrase(phrase, str(error)):
                return f"{phrase!r}, not {str(error).splitlines()[0]!r} for {_described(case)}"
        else:
            return f"{type(expected).__name__} ({phrase}), not a result for {_described(case)}"
    return None if compared else False


def same_phrase(theirs, ours):
    """Whether a message begins with PyTorch's phrase: its first words up to a number, a quotation or the end of a clause."""
    theirs = theirs.replace("torch", "tensorgrad")
    end = len(theirs)
    for position, character in enumerate(theirs):
        if position >= 12 and (character in "0123456789'\"[(`" or theirs[position : position + 2] in (". ", ", ", "; ", ": ")):
            end = position
            break
    return ours.startswith(theirs[:end].rstrip(" .:,;"))
