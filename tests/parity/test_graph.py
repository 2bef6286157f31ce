"""The graph that is recorded: names of nodes, edges, what they save."""

import pytest

from .compare import both, differs, raised

pytestmark = pytest.mark.parity

EXPRESSIONS = {
    "add": lambda t, x, y: x + y,
    "add a number": lambda t, x, y: x + 1,
    "sub": lambda t, x, y: x - y,
    "rsub": lambda t, x, y: 1 - x,
    "mul": lambda t, x, y: x * y,
    "mul by a number": lambda t, x, y: x * 2,
    "div": lambda t, x, y: x / y,
    "rdiv": lambda t, x, y: 1 / x,
    "neg": lambda t, x, y: -x,
    "pow": lambda t, x, y: x**2,
    "pow of tensors": lambda t, x, y: x**y,
    "rpow": lambda t, x, y: 2**x,
    "matmul": lambda t, x, y: x @ y.t(),
    "mm": lambda t, x, y: t.mm(x, y.t()),
    "mv": lambda t, x, y: t.mv(x, y[0]),
    "dot": lambda t, x, y: t.dot(x[0], y[0]),
    "bmm": lambda t, x, y: t.bmm(x[None], y.t()[None]),
    "matmul of batches": lambda t, x, y: t.matmul(x.expand(4, 2, 3), y.t()),
    "addmm": lambda t, x, y: t.addmm(x[:, :2], x, y.t()),
    "exp": lambda t, x, y: x.exp(),
    "log": lambda t, x, y: x.log(),
    "sqrt": lambda t, x, y: x.sqrt(),
    "rsqrt": lambda t, x, y: x.rsqrt(),
    "sin": lambda t, x, y: x.sin(),
    "tanh": lambda t, x, y: x.tanh(),
    "sigmoid": lambda t, x, y: x.sigmoid(),
    "relu": lambda t, x, y: x.relu(),
    "abs": lambda t, x, y: x.abs(),
    "clamp": lambda t, x, y: x.clamp(1, 2),
    "clamp_min": lambda t, x, y: x.clamp(min=1),
    "sum": lambda t, x, y: x.sum(),
    "sum of a dim": lambda t, x, y: x.sum(0),
    "mean": lambda t, x, y: x.mean(),
    "mean of a dim": lambda t, x, y: x.mean(1),
    "prod": lambda t, x, y: x.prod(),
    "prod of a dim": lambda t, x, y: x.prod(0),
    "max": lambda t, x, y: x.max(),
    "max of a dim": lambda t, x, y: x.max(0)[0],
    "amax": lambda t, x, y: x.amax(0),
    "var": lambda t, x, y: x.var(),
    "std": lambda t, x, y: x.std(0),
    "norm": lambda t, x, y: x.norm(),
    "logsumexp": lambda t, x, y: x.logsumexp(0),
    "softmax": lambda t, x, y: t.softmax(x, 0),
    "log_softmax": lambda t, x, y: t.log_softmax(x, 0),
    "cumsum": lambda t, x, y: x.cumsum(0),
    "cumprod": lambda t, x, y: x.cumprod(0),
    "index": lambda t, x, y: x[0],
    "slice": lambda t, x, y: x[:, 1:],
    "index by a list": lambda t, x, y: x[[0, 1, 0]],
    "index by a mask": lambda t, x, y: x[x > 2],
    "view": lambda t, x, y: x.view(6),
    "reshape": lambda t, x, y: x.reshape(6),
    "reshape that copies": lambda t, x, y: x.t().reshape(6),
    "flatten": lambda t, x, y: x.flatten(),
    "transpose": lambda t, x, y: x.transpose(0, 1),
    "t": lambda t, x, y: x.t(),
    "T": lambda t, x, y: x.T,
    "mT": lambda t, x, y: x.mT,
    "permute": lambda t, x, y: x.permute(1, 0),
    "expand": lambda t, x, y: x.expand(4, 2, 3),
    "squeeze": lambda t, x, y: x[:, None].squeeze(),
    "squeeze of a dim": lambda t, x, y: x[:, None].squeeze(1),
    "unsqueeze": lambda t, x, y: x.unsqueeze(0),
    "narrow": lambda t, x, y: x.narrow(1, 0, 2),
    "select": lambda t, x, y: x.select(0, 1),
    "split": lambda t, x, y: x.split(1)[0],
    "chunk": lambda t, x, y: x.chunk(2)[0],
    "unbind": lambda t, x, y: x.unbind()[1],
    "diagonal": lambda t, x, y: x.diagonal(),
    "diag": lambda t, x, y: x.diag(),
    "cat": lambda t, x, y: t.cat([x, y]),
    "stack": lambda t, x, y: t.stack([x, y]),
    "repeat": lambda t, x, y: x.repeat(2, 1),
    "flip": lambda t, x, y: x.flip(0),
    "roll": lambda t, x, y: x.roll(1, 0),
    "where": lambda t, x, y: t.where(x > 1, x, y),
    "gather": lambda t, x, y: x.gather(0, t.zeros(1, 3, dtype=t.int64)),
    "index_select": lambda t, x, y: x.index_select(0, t.tensor([0])),
    "masked_fill": lambda t, x, y: x.masked_fill(x > 1, 0),
    "masked_select": lambda t, x, y: x.masked_select(x > 1),
    "scatter": lambda t, x, y: x.scatter(0, t.zeros(1, 3, dtype=t.int64), y),
    "maximum": lambda t, x, y: t.maximum(x, y),
    "lerp": lambda t, x, y: x.lerp(y, 0.5),
    "addcmul": lambda t, x, y: x.addcmul(y, y),
    "clone": lambda t, x, y: x.clone(),
    "to": lambda t, x, y: x.to(t.float32),
    "double of a double": lambda t, x, y: x.double(),
    "contiguous": lambda t, x, y: x.t().contiguous(),
    "sort": lambda t, x, y: x.sort()[0],
    "topk": lambda t, x, y: x.topk(2)[0],
    "kthvalue": lambda t, x, y: x.kthvalue(1)[0],
    "median": lambda t, x, y: x.median(),
    "tril": lambda t, x, y: x.tril(),
    "outer": lambda t, x, y: t.outer(x[0], y[0]),
    "einsum": lambda t, x, y: t.einsum("ij,kj->ik", x, y),
    "atan2": lambda t, x, y: t.atan2(x, y),
    "in-place add": lambda t, x, y: (x * 1).add_(y),
    "in-place mul": lambda t, x, y: (x * 1).mul_(y),
    "in-place relu": lambda t, x, y: (x * 1).relu_(),
    "in-place fill": lambda t, x, y: (x * 1).fill_(2),
    "in-place zero": lambda t, x, y: (x * 1).zero_(),
    "in-place copy": lambda t, x, y: t.zeros(2, 3, dtype=t.float64).copy_(x),
    "mse_loss": lambda t, x, y: t.nn.functional.mse_loss(x, y),
    "linear": lambda t, x, y: t.nn.functional.linear(x, y),
    "linear with bias": lambda t, x, y: t.nn.functional.linear(x, y, x[:, 0]),
    "dropout": lambda t, x, y: t.nn.functional.dropout(x, 0.5),
    "binary_cross_entropy": lambda t, x, y: t.nn.functional.binary_cross_entropy(x.sigmoid(), y.detach().sigmoid()),
}
assert len(EXPRESSIONS) > 90


def _graph(node, depth=3):
    """Names without the number of the overload, and edges without those of operands that need no gradient."""
    if node is None or depth == 0:
        return None
    name = type(node).__name__.rstrip("0123456789")
    return [name, [(_graph(n, depth - 1), number) for n, number in node.next_functions if n is not None]]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_graph_of(name, record_property):
    def feature(t):
        x, y = t.mat(), t.mat()
        return _graph(EXPRESSIONS[name](t, x, y).grad_fn)

    feature.__module__, feature.__doc__ = __name__, f"nodes and edges of {name}"
    both(feature)(record_property)


SAVED = {
    "mul": ("self", "other"),
    "div": ("self", "other"),
    "pow": ("self", "exponent"),
    "pow of tensors": ("self", "exponent", "result"),
    "exp": ("result",),
    "sin": ("self",),
    "relu": ("result",),
    "mm": ("self", "mat2"),
    "tanh": ("result",),
    "softmax": ("result", "dim"),
    "log_softmax": ("result",),
    "clamp": ("self", "min", "max"),
    "where": ("condition",),
    "permute": ("dims",),
    "select": ("dim", "index"),
    "cumsum": ("dim",),
    "sigmoid": ("result",),
    "sum of a dim": ("dim", "keepdim"),
    "gather": ("index", "dim"),
    "index_select": ("index", "dim"),
    "atan2": ("self", "other"),
    "lerp": ("weight",),
    "log": ("self",),
    "prod": ("self", "result"),
    "transpose": ("dim0", "dim1"),
}


@pytest.mark.parametrize("name", SAVED)
def test_saved_by(name, record_property):
    def feature(t):
        node = EXPRESSIONS[name](t, t.mat(), t.mat()).grad_fn
        return [getattr(node, f"_saved_{part}") for part in SAVED[name]]

    feature.__module__, feature.__doc__ = __name__, f"what {name} saves"
    both(feature)(record_property)


@both
def test_leaves_have_no_node(t):
    x = t.vec(1.0)
    return x.grad_fn, x.is_leaf, x.output_nr, t.ones(1).is_leaf, t.ones(1).grad_fn


@both
def test_accumulate_grad(t):
    x = t.vec(1.0)
    node = (x * 2).grad_fn.next_functions[0][0]
    return node.variable is x, node is (x * 3).grad_fn.next_functions[0][0], type(node).__name__, node.next_functions


@differs("the name is AccumulateGrad, as that of the type; PyTorch prefixes it with torch::autograd::")
@both
def test_name_of_accumulate_grad(t):
    return (t.vec(1.0) * 2).grad_fn.next_functions[0][0].name()


@differs("an operator has one node type, numbered 0; PyTorch numbers the overloads (sum() is SumBackward0, sum(0) SumBackward1)")
@both
def test_numbers_of_overloads(t):
    return [n.grad_fn.name() for n in (t.mat().sum(0), t.mat().mean(0), t.mat().prod(0), 2 ** t.mat())]


@differs("a number as an operand has an edge to None, as a tensor that needs no gradient has; PyTorch has none for some overloads")
@both
def test_edges_of_numbers(t):
    return len((t.vec(1.0) ** 2).grad_fn.next_functions), len((1 - t.vec(1.0)).grad_fn.next_functions)


@both
def test_types_of_nodes(t):
    y = t.vec(1.0) * 2
    return type(y.grad_fn), isinstance(y.grad_fn, t.autograd.graph.Node), y.grad_fn.name(), type(y.grad_fn.metadata)


@both
def test_metadata(t):
    y = t.vec(1.0) * 2
    y.grad_fn.metadata["key"] = 3
    return y.grad_fn.metadata


@both
def test_output_nr(t):
    a, b = t.mat().unbind()
    values, _ = t.mat().max(0)
    return a.output_nr, b.output_nr, values.output_nr, a.grad_fn is b.grad_fn


@both
def test_saved_tensors_of_a_freed_graph(t):
    y = t.vec(1.0).exp()
    y.backward()
    return raised(lambda: y.grad_fn._saved_result)


@both
def test_a_node_cannot_be_made(t):
    return raised(t.autograd.graph.Node)


@both
def test_increment_version(t):
    x = t.ones(2)
    t.autograd.graph.increment_version(x)
    return x._version


@both
def test_repr_of_a_node(t):
    return repr((t.vec(1.0) * 2).grad_fn).partition(" at ")[0]


@both
def test_sequence_numbers_grow(t):
    x = t.vec(1.0)
    a = x * 2
    b = a * 2
    return a.grad_fn._sequence_nr() < b.grad_fn._sequence_nr()


@both
def test_grad_fn_under_no_grad(t):
    x = t.vec(1.0)
    with t.no_grad():
        y = x * 2
    return y.grad_fn, y.requires_grad


@both
def test_nodes_of_integer_results(t):
    x = t.vec(1.0, 2.0)
    return (x > 1).requires_grad, x.argmax().requires_grad, x.sort()[1].requires_grad, x.long().requires_grad
