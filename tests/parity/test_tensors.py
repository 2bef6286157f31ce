"""Tensors apart from derivatives: printing, creation, promotion, indexing, conversion; nn and optim."""

import copy
import pickle

import pytest

from .compare import both, each, raised

pytestmark = pytest.mark.parity

PRINTED = {
    "a scalar": lambda t: t.tensor(3.5),
    "integers": lambda t: t.tensor([1, 20, -3]),
    "booleans": lambda t: t.tensor([True, False]),
    "floats": lambda t: t.tensor([1.0, 2.5, -3.125]),
    "whole floats": lambda t: t.tensor([1.0, 200.0]),
    "large and small": lambda t: t.tensor([1e-8, 1.0, 1e8]),
    "scientific": lambda t: t.tensor([1e10, 1.5]),
    "nan and inf": lambda t: t.tensor([float("nan"), float("inf"), -1.0]),
    "doubles": lambda t: t.tensor([1 / 3], dtype=t.float64),
    "halves": lambda t: t.tensor([1 / 3], dtype=t.float16),
    "bfloat16": lambda t: t.tensor([1 / 3], dtype=t.bfloat16),
    "complex": lambda t: t.tensor([1 + 2j, -3.5j]),
    "empty": lambda t: t.tensor([]),
    "empty of a shape": lambda t: t.empty(0, 3),
    "a matrix": lambda t: t.mat(requires_grad=False),
    "three dimensions": lambda t: t.arange(12).reshape(2, 3, 2),
    "a leaf": lambda t: t.vec(1.0, 2.0),
    "a result": lambda t: t.vec(1.0, 2.0) * 2,
    "a view": lambda t: t.vec(1.0, 2.0)[0],
    "summarised": lambda t: t.arange(2000),
    "a summarised matrix": lambda t: t.arange(10000).reshape(100, 100),
    "long lines": lambda t: t.arange(40) * 1.0,
    "negative zero": lambda t: t.tensor([-0.0, 0.0]),
    "int8": lambda t: t.tensor([1], dtype=t.int8),
    "a size": lambda t: t.ones(2, 3).shape,
    "a dtype": lambda t: t.float32,
    "a device": lambda t: t.ones(1).device,
    "a parameter": lambda t: t.nn.Parameter(t.ones(2)),
    "a module": lambda t: t.nn.Sequential(t.nn.Linear(2, 3), t.nn.ReLU(), t.nn.Linear(3, 1, bias=False)),
    "sort's result": lambda t: t.tensor([2, 1]).sort(),
    "max's result": lambda t: t.tensor([[2.0, 1.0]]).max(1),
    "finfo": lambda t: t.finfo(t.float32),
    "iinfo": lambda t: t.iinfo(t.int8),
    "an optimiser": lambda t: t.optim.SGD([t.nn.Parameter(t.ones(2))], lr=0.1, momentum=0.9),
    "a layout": lambda t: t.strided,
    "a generator's type": lambda t: type(t.Generator()).__name__,
}


@pytest.mark.parametrize("name", PRINTED)
def test_repr(name, record_property):
    def feature(t):
        return repr(PRINTED[name](t))

    feature.__module__, feature.__doc__ = __name__, f"repr of {name}"
    both(feature)(record_property)


DTYPES = ["uint8", "int8", "int16", "int32", "int64", "bool", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"]


@both
def test_promotion_of_every_pair(t):
    return [t.promote_types(getattr(t, a), getattr(t, b)) for a in DTYPES for b in DTYPES]


@both
def test_result_type_with_scalars_and_numbers(t):
    values = [1, 1.5, 1j, True]
    tensors = [t.ones(2, dtype=getattr(t, d)) for d in DTYPES]
    return [t.result_type(x, v) for x in tensors for v in values] + [t.result_type(x, y[0]) for x in tensors for y in tensors]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "floor_divide", "remainder", "eq", "lt", "maximum", "atan2", "bitwise_and"])
def test_dtypes_of(name, record_property):
    def feature(t):
        found = []
        for a in DTYPES:
            for b in DTYPES:
                try:
                    found.append(getattr(t, name)(t.ones(2, dtype=getattr(t, a)), t.ones(2, dtype=getattr(t, b))).dtype)
                except Exception as error:
                    found.append(type(error).__name__.replace("NotImplementedError", "RuntimeError"))
        return found

    feature.__module__, feature.__doc__ = __name__, f"dtype of {name} for every pair"
    both(feature)(record_property)


INDICES = {
    "int": lambda t, x: x[1],
    "negative": lambda t, x: x[-1],
    "slice": lambda t, x: x[1:],
    "step": lambda t, x: x[::2],
    "none": lambda t, x: x[None],
    "ellipsis": lambda t, x: x[..., 0],
    "tuple": lambda t, x: x[1, 2],
    "list": lambda t, x: x[[0, 2]],
    "two lists": lambda t, x: x[[0, 2], [1, 0]],
    "separated": lambda t, x: x[[0, 2], :, [1, 0]],
    "together": lambda t, x: x[:, [0, 2], [1, 0]],
    "tensor": lambda t, x: x[t.tensor([[0, 1], [2, 0]])],
    "mask": lambda t, x: x[x > 10],
    "mask of rows": lambda t, x: x[t.tensor([True, False, True])],
    "mask and slice": lambda t, x: x[t.tensor([True, False, True]), 1:],
    "bool": lambda t, x: x[True],
    "uint8 mask": lambda t, x: x[t.tensor([1, 0, 1], dtype=t.uint8)],
    "tensor scalar": lambda t, x: x[t.tensor(1)],
    "range": lambda t, x: x[range(2)],
    "broadcast": lambda t, x: x[t.tensor([[0], [1]]), t.tensor([0, 2])],
    "too many": lambda t, x: raised(lambda: x[0, 0, 0, 0]),
    "out of range": lambda t, x: raised(lambda: x[7]),
    "list out of range": lambda t, x: raised(lambda: x[[7]]),
    "negative step": lambda t, x: raised(lambda: x[::-1]),
    "float": lambda t, x: raised(lambda: x[1.0]),
    "float tensor": lambda t, x: raised(lambda: x[t.tensor([1.0])]),
    "mask of another shape": lambda t, x: raised(lambda: x[t.tensor([True, False])]),
    "string": lambda t, x: raised(lambda: x["a"]),
    "shapes that do not broadcast": lambda t, x: raised(lambda: x[[0, 1], [0, 1, 2]]),
    "of a scalar": lambda t, x: raised(lambda: t.tensor(1.0)[0]),
}


@pytest.mark.parametrize("name", INDICES)
def test_index(name, record_property):
    def feature(t):
        return INDICES[name](t, t.arange(36).reshape(3, 4, 3))

    feature.__module__, feature.__doc__ = __name__, f"indexing: {name}"
    both(feature)(record_property)


@both
def test_assignment(t):
    results = []
    for index, value in [
        ((0,), 5),
        ((slice(None), 1), t.tensor([7, 8, 9])),
        (([0, 2],), t.zeros(4, dtype=t.int64)),
        ((t.tensor([True, False, True]),), 1),
        ((Ellipsis, 0), 3.7),
    ]:
        x = t.arange(12).reshape(3, 4)
        x[index] = value
        results.append(x)
    x = t.arange(12).reshape(3, 4)
    return results, raised(x.__setitem__, 0, t.ones(3)), raised(x.__setitem__, 9, 1)


@each(22)
def test_conversions(t):
    return (
        raised(float, t.ones(2)),
        raised(bool, t.ones(2)),
        raised(int, t.ones(2)),
        raised(t.ones(2).item),
        float(t.ones(1)),
        int(t.tensor(3.7)),
        raised(bool, t.ones(0)),
        raised(len, t.tensor(1)),
        raised(iter, t.tensor(1)),
        complex(t.tensor(1 + 2j)),
        raised(float, t.tensor(1 + 2j)),
        [x.tolist() for x in t.ones(2, 2)],
        t.tensor(3).tolist(),
        raised(t.tensor, [[1, 2], [3]]),
        raised(t.tensor, "a"),
        raised(t.tensor, [1, "a"]),
        f"{t.tensor(3.14159):.2f}",
        raised(lambda: [1, 2, 3][t.tensor(1.5)]),
        [1, 2, 3][t.tensor(1)],
        hash(t.ones(1)) == hash(t.ones(1)),
        t.ones(1) in [t.ones(1)],
        3 in t.tensor([1, 3]),
    )


@each(45)
def test_shapes_that_do_not_fit(t):
    a, b = t.ones(2, 3), t.ones(4, 3)
    return (
        raised(lambda: a + b),
        raised(lambda: a @ b),
        raised(t.mm, a, b),
        raised(t.mv, a, t.ones(2)),
        raised(t.dot, t.ones(2), t.ones(3)),
        raised(t.dot, a, b),
        raised(t.bmm, a, b),
        raised(a.view, 4),
        raised(a.reshape, 4),
        raised(a.t().view, 6),
        raised(a.expand, 4, 3),
        raised(a.permute, 0, 0),
        raised(a.permute, 0),
        raised(a.transpose, 0, 5),
        raised(a.sum, 5),
        raised(a.squeeze, 5),
        raised(t.cat, [a, t.ones(2, 4)]),
        raised(t.stack, [a, b]),
        raised(t.cat, []),
        raised(a.gather, 0, t.zeros(1, 1)),
        raised(t.where, a, a, a),
        raised(a.split, 0),
        raised(a.chunk, 0),
        raised(a.repeat, 1),
        raised(a.narrow, 0, 1, 5),
        raised(a.select, 0, 5),
        raised(a.unflatten, 0, (3, 3)),
        raised(a.topk, 9),
        raised(t.nn.functional.linear, a, t.ones(2, 2)),
        raised(a.masked_fill, t.ones(2, 3), 0),
        raised(a.index_select, 0, t.tensor([5])),
        raised(t.einsum, "ij,jk->ik", a, b),
        raised(t.einsum, "ij", a, b),
        raised(t.tensordot, a, b),
        raised(t.arange, 0, 1, 0),
        raised(t.arange, 0, 5, -1),
        raised(t.linspace, 0, 1, -1),
        raised(t.eye, -1),
        raised(t.zeros, -1),
        raised(t.full, (2,), "a"),
        raised(t.randint, 5, 2, (2,)),
        raised(t.ones(2, dtype=t.int64).mean),
        raised(t.ones(0).max),
        raised(t.ones(0).argmax),
        raised(t.ones(2, 0).max, 1),
    )


@each(18)
def test_numbers_of_arguments(t):
    x = t.ones(2)
    return (
        raised(x.exp, 1),
        raised(t.exp),
        raised(t.exp, "a"),
        raised(t.add, x),
        raised(t.add, x, "a"),
        raised(x.sum, dim="a"),
        raised(x.sum, nothing=1),
        raised(t.ones, "a"),
        raised(t.ones, 2, dtype="float"),
        raised(lambda: x.nothing),
        raised(lambda: x + "a"),
        raised(lambda: "a" + x),
        raised(lambda: x @ 3),
        raised(lambda: ~x),
        raised(lambda: x & x),
        raised(lambda: -t.tensor([True])),
        raised(lambda: t.tensor([True]) - t.tensor([True])),
        raised(lambda: x << 1.5),
    )


@both
def test_copies(t):
    x = t.vec(1.0, 2.0)
    y = copy.deepcopy(x)
    z = pickle.loads(pickle.dumps(x))
    return y, y.requires_grad, y is x, z, z.requires_grad, copy.copy(x).data_ptr() == x.data_ptr()


@each(19)
def test_modules(t):
    m = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Tanh(), t.nn.Linear(3, 1))
    return (
        [(n, tuple(p.shape)) for n, p in m.named_parameters()],
        list(m.state_dict()),
        [n for n, _ in m.named_modules()],
        [type(c).__name__ for c in m.children()],
        m.training,
        m.eval().training,
        len(m),
        type(m[1]).__name__,
        raised(m.load_state_dict, {}),
        raised(m.load_state_dict, {**m.state_dict(), "other": t.ones(1)}),
        raised(m.load_state_dict, {**m.state_dict(), "0.bias": t.ones(7)}),
        list(m.load_state_dict({}, strict=False)),
        raised(lambda: m.nothing),
        raised(m.register_parameter, "a.b", None),
        raised(m.register_parameter, "a", t.ones(1)),
        raised(m.register_buffer, "training", t.ones(1)),
        raised(m.add_module, "x", 3),
        raised(setattr, m[0], "weight", t.ones(1)),
        raised(t.nn.Module().forward, 1),
    )


@both
def test_module_hooks(t):
    order = []
    m = t.nn.Linear(1, 1, bias=False).double()
    m.weight.data.fill_(2.0)
    m.register_forward_pre_hook(lambda mod, args: order.append(("pre", len(args))))
    m.register_forward_hook(lambda mod, args, out: order.append(("forward", tuple(out.shape))))
    m.register_full_backward_pre_hook(lambda mod, go: order.append(("backward pre", go[0].item())))
    m.register_full_backward_hook(lambda mod, gi, go: order.append(("backward", gi[0].item(), go[0].item())))
    x = t.vec(3.0)
    m(x).backward()
    return order, x.grad, m.weight.grad


@both
def test_module_hooks_replace(t):
    m = t.nn.Linear(1, 1, bias=False).double()
    m.weight.data.fill_(2.0)
    m.register_forward_pre_hook(lambda mod, args: (args[0] * 10,))
    m.register_forward_hook(lambda mod, args, out: out + 1)
    m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 100,))
    x = t.vec(3.0)
    y = m(x)
    y.backward()
    return y, x.grad, m.weight.grad


@both
def test_module_to(t):
    m = t.nn.Linear(2, 1)
    weight = m.weight
    m.double()
    return m.weight.dtype, m.weight is weight, m.half().weight.dtype, m.to(t.float32).weight.dtype, raised(m.to, t.int64)


@both
def test_requires_grad_and_zero_grad_of_modules(t):
    m = t.nn.Linear(1, 1)
    m(t.ones(1)).backward()
    before = m.weight.grad
    m.zero_grad(set_to_none=True)
    m.requires_grad_(False)
    return before, m.weight.grad, m.weight.requires_grad


@both
def test_buffers(t):
    class M(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("a", t.ones(1))
            self.register_buffer("b", t.ones(1), persistent=False)
            self.p = t.nn.Parameter(t.zeros(1))

    m = M()
    return list(m.state_dict()), [n for n, _ in m.named_buffers()], repr(m), [n for n, _ in m.named_parameters()]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}, {"momentum": 0.5, "dampening": 0.1}, {"maximize": True}], ids=str)
def test_sgd(options, record_property):
    def feature(t):
        p = t.nn.Parameter(t.tensor([1.0, 2.0], dtype=t.float64))
        o = t.optim.SGD([p], lr=0.1, **options)
        seen = []
        for _ in range(4):
            o.zero_grad()
            (p**3).sum().backward()
            o.step()
            seen.append(p.detach().clone())
        return seen, list(o.state_dict()), sorted(o.state_dict()["state"].get(0, {}))

    feature.__module__, feature.__doc__ = __name__, f"SGD with {options}"
    both(feature)(record_property)


@each(8)
def test_optimizer_checks(t):
    p = t.nn.Parameter(t.ones(1))
    return (
        raised(t.optim.SGD, [], lr=0.1),
        raised(t.optim.SGD, [p], lr=-1),
        raised(t.optim.SGD, [p], lr=0.1, momentum=-1),
        raised(t.optim.SGD, [p], lr=0.1, nesterov=True),
        raised(t.optim.SGD, p, lr=0.1),
        raised(t.optim.SGD, [3], lr=0.1),
        raised(t.optim.SGD, [p * 2], lr=0.1),
        raised(t.optim.SGD, [{"params": [p]}, {"params": [p]}], lr=0.1),
    )


@both
def test_optimizer_closure_and_groups(t):
    p, q = t.nn.Parameter(t.ones(1)), t.nn.Parameter(t.ones(1))
    o = t.optim.SGD([{"params": [p], "lr": 1.0}, {"params": [q]}], lr=0.1)

    def closure():
        o.zero_grad()
        loss = (p + q).sum()
        loss.backward()
        return loss

    return o.step(closure), p, q, [g["lr"] for g in o.param_groups], len(o.state_dict()["param_groups"])


@both
def test_losses(t):
    F, x, y = t.nn.functional, t.vec(0.2, 0.7), t.vec(0.5, 0.4, requires_grad=False)
    return [
        getattr(F, name)(x, y, reduction=reduction)
        for name in ("mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
        for reduction in ("none", "mean", "sum")
    ] + [raised(F.mse_loss, x, y, reduction="other"), raised(F.binary_cross_entropy, x * 9, y)]
