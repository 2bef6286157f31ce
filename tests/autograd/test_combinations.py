"""Parts of automatic differentiation together: dtypes, third derivatives, re-entrance, threads, cycles, stacks, loops."""

import gc
import threading
import warnings
import weakref

import pytest

import tensorgrad
from tensorgrad import autograd
from tensorgrad.autograd import Function, forward_ad, grad, graph
from tensorgrad.func import hessian, jacrev, vmap
from tensorgrad.utils.checkpoint import checkpoint

DTYPES = {
    name: getattr(tensorgrad, name) for name in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
}
EPSILON = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5, "float64": 1e-12, "complex64": 1e-5, "complex128": 1e-12}


def leaf(values=(1.0, 2.0), **options):
    return tensorgrad.tensor(values, requires_grad=True, **options)


def run_threads(work, count=6):
    errors = []

    def guarded(i):
        try:
            work(i)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return errors


# The six differentiable dtypes -----------------------------------------------------------------------


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x.conj()

    @staticmethod
    def jvp(ctx, t):
        return 2 * t * ctx.x


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(
    "square",
    [
        lambda x: x * x,
        lambda x: x**2,
        Square.apply,
        lambda x: checkpoint(lambda x: x * x, x, use_reentrant=False),
        lambda x: checkpoint(lambda x: x * x, x, use_reentrant=True),
        lambda x: vmap(lambda x: x * x)(x),
        lambda x: x.clone().mul_(x),
    ],
    ids=["mul", "pow", "Function", "checkpoint", "reentrant", "vmap", "in place"],
)
def test_gradients_in_every_dtype(square, name):
    dtype, near = DTYPES[name], EPSILON[name]
    values = [0.5, -1.25] if not dtype.is_complex else [0.5 + 1j, -1.25 - 0.5j]
    x = tensorgrad.tensor(values, dtype=dtype, requires_grad=True)
    seen = []
    y = square(x)
    y.register_hook(lambda g: seen.append(g.dtype))
    y.backward(tensorgrad.ones(2, dtype=dtype))
    assert x.grad.dtype is dtype and seen == [dtype]
    wanted = [2 * complex(v).conjugate() for v in values]
    assert [complex(v) for v in x.grad.tolist()] == pytest.approx(wanted, rel=near)


@pytest.mark.parametrize("name", DTYPES)
def test_second_derivatives_and_tangents_in_every_dtype(name):
    dtype, near = DTYPES[name], EPSILON[name]
    x = tensorgrad.tensor([0.5, -1.25], dtype=dtype, requires_grad=True)
    one = tensorgrad.ones(2, dtype=dtype)
    (g,) = grad(x**3, x, one, create_graph=True)
    (h,) = grad(g, x, one)
    assert h.dtype is dtype
    assert [complex(v) for v in h.tolist()] == pytest.approx([3.0, -7.5], rel=near)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual((forward_ad.make_dual(x.detach(), one)) ** 3).tangent
        assert tangent.dtype is dtype
        assert [complex(v) for v in tangent.tolist()] == pytest.approx([0.75, 4.6875], rel=near)


# Third derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "third"),
    [
        (lambda x: x.sin(), lambda x: -x.cos()),
        (lambda x: x.exp(), lambda x: x.exp()),
        (lambda x: x.log(), lambda x: 2 / x**3),
        (lambda x: x**4, lambda x: 24 * x),
        (lambda x: x.pow(x), lambda x: x**x * ((x.log() + 1) ** 3 + 3 * (x.log() + 1) / x - 1 / x**2)),
        (lambda x: x * x * x, lambda x: 6 * tensorgrad.ones_like(x)),
        (lambda x: 1 / x, lambda x: -6 / x**4),
        (lambda x: x.sqrt(), lambda x: 0.375 * x**-2.5),
        (lambda x: x.tanh(), lambda x: (1 - x.tanh() ** 2) * (6 * x.tanh() ** 2 - 2)),
        (lambda x: x.erf(), lambda x: (8 * x**2 - 4) * (-(x**2)).exp() / tensorgrad.pi**0.5),
        (lambda x: x.clone().exp_(), lambda x: x.exp()),
        (lambda x: checkpoint(lambda x: x.exp(), x, use_reentrant=False), lambda x: x.exp()),
    ],
)
def test_third_derivatives(function, third):
    x = leaf([0.7, 1.3], dtype=tensorgrad.float64)
    y = function(x)
    for _ in range(3):
        (y,) = grad(y.sum(), x, create_graph=True)
    assert tensorgrad.allclose(y, third(x.detach()), rtol=1e-9)


def test_third_derivatives_of_matrix_products_and_softmax():
    w = tensorgrad.tensor([[0.3, -0.2], [0.1, 0.5]], dtype=tensorgrad.float64)

    def f(x):
        return ((w @ x).softmax(0) * (w.T @ x)).sum()

    x = tensorgrad.tensor([0.7, -0.4], dtype=tensorgrad.float64)
    found = jacrev(hessian(f))(x)
    step = 1e-5
    for i in range(2):
        d = tensorgrad.zeros(2, dtype=tensorgrad.float64)
        d[i] = step
        wanted = (hessian(f)(x + d) - hessian(f)(x - d)) / (2 * step)
        assert tensorgrad.allclose(found[..., i], wanted, rtol=1e-6, atol=1e-8)
    assert found.abs().max() > 1e-3


# Backward within backward -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["tensor", "leaf", "node", "prehook", "accumulated", "multi"])
def test_backward_inside_every_kind_of_hook(where):
    x, inner = leaf(), leaf([3.0, 4.0])

    def run(*args):
        with tensorgrad.enable_grad():  # hooks run in the mode of the backward that calls them
            (inner * inner).sum().backward()

    y = x * 2
    if where == "tensor":
        y.register_hook(run)
    elif where == "leaf":
        x.register_hook(run)
    elif where == "node":
        y.grad_fn.register_hook(run)
    elif where == "prehook":
        y.grad_fn.register_prehook(run)
    elif where == "accumulated":
        x.register_post_accumulate_grad_hook(run)
    else:
        graph.register_multi_grad_hook([x, y], run)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and inner.grad.tolist() == [6.0, 8.0]


def test_backward_through_the_same_graph_inside_a_hook():
    x = leaf()
    y = (x * x).sum()
    seen = []
    z = y * 1
    z.register_hook(lambda g: seen.append(grad(y, x, retain_graph=True)[0].tolist()))
    z.backward()
    assert seen == [[2.0, 4.0]] and x.grad.tolist() == [2.0, 4.0]


def test_an_error_inside_a_nested_backward_passes_through_both():
    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            with tensorgrad.enable_grad():
                a = leaf()
                b = a * a
                b.sum().backward()
                b.sum().backward()

    x = leaf()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        Fails.apply(x).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert tensorgrad.is_grad_enabled()


# Threads ----------------------------------------------------------------------------------------------


def test_threads_accumulate_in_one_leaf():
    x = tensorgrad.ones(3, requires_grad=True)

    def work(i):
        for _ in range(50):
            (x * 2).sum().backward()

    assert not run_threads(work)
    assert x.grad.tolist() == [600.0] * 3


@pytest.mark.parametrize("shape", [(300_000,), (3, 100_000)])
def test_threads_accumulate_large_gradients_in_one_leaf(shape):
    # the kernels let go of the GIL
    x = tensorgrad.ones(shape, requires_grad=True)

    def work(i):
        for _ in range(10):
            (x * 2).sum().backward()

    assert not run_threads(work)
    assert (x.grad == 120).all()


def test_threads_that_share_a_graph_that_is_freed_end_with_an_error_or_a_gradient():
    for _ in range(10):
        x = leaf()
        y = x
        for _ in range(20):
            y = y.sin()
        y = y.sum()
        errors = run_threads(lambda i, y=y: y.backward(), 4)
        assert all("Trying to backward through the graph a second time" in str(error) for error in errors)
        assert len(errors) < 4 and x.grad is not None


def test_modes_of_other_threads_are_their_own():
    seen = {}
    with tensorgrad.no_grad():
        run_threads(lambda i: seen.update({i: tensorgrad.is_grad_enabled()}), 2)
    with tensorgrad.inference_mode():
        run_threads(lambda i: seen.update({i + 2: (leaf() * 2).is_inference()}), 2)
        x = tensorgrad.ones(2)
    assert seen == {0: True, 1: True, 2: False, 3: False}
    errors = run_threads(lambda i: leaf() * x, 1)
    assert len(errors) == 1 and "Inference tensors cannot be saved for backward" in str(errors[0])


def test_hooks_and_levels_of_other_threads_are_their_own():
    packed = []
    with graph.saved_tensors_hooks(lambda t: (packed.append(1), t)[1], lambda t: t), forward_ad.dual_level():
        errors = run_threads(lambda i: (leaf() * leaf()).sum().backward(), 2)
        assert not errors and not packed
        errors = run_threads(lambda i: forward_ad.make_dual(leaf(), leaf()), 1)
        assert len(errors) == 1 and "Trying to create a dual Tensor" in str(errors[0])


# Cycles ---------------------------------------------------------------------------------------------------


def cycle_through_a_tensor_hook(x):
    y = x * 2
    y.register_hook(lambda g: y * 1)
    return y


def cycle_through_a_node_hook(x):
    y = x * 2
    y.grad_fn.register_hook(lambda gi, go: y.grad_fn and None)
    return y


def cycle_through_a_leaf_hook(x):
    x.register_hook(lambda g: x * 1)
    return x * 2


def cycle_through_a_post_accumulate_hook(x):
    x.register_post_accumulate_grad_hook(lambda p: x.shape and None)
    return x * 2


def cycle_through_metadata(x):
    y = x * 2
    y.grad_fn.metadata["mine"] = y
    return y


def cycle_through_a_packed_tensor(x):
    with graph.saved_tensors_hooks(lambda t: [t, holder], lambda p: p[0]):
        holder = []
        y = x * x
        holder.append(y)
    return y


def cycle_through_a_context(x):
    class Keeps(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.me = ctx
            ctx.x = x
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    y = Keeps.apply(x)
    y.grad_fn.y = y
    return y


def cycle_through_a_multi_grad_hook(x):
    y = x * 2
    graph.register_multi_grad_hook([x, y], lambda grads: y.shape and None)
    return y


@pytest.mark.parametrize(
    "make",
    [
        cycle_through_a_tensor_hook,
        cycle_through_a_node_hook,
        cycle_through_a_leaf_hook,
        cycle_through_a_post_accumulate_hook,
        cycle_through_metadata,
        cycle_through_a_packed_tensor,
        cycle_through_a_context,
        cycle_through_a_multi_grad_hook,
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("runs", [False, True])
def test_cycles_are_collected(make, runs):
    x = leaf()
    y = make(x)
    watched = [weakref.ref(x), weakref.ref(y), weakref.ref(y.grad_fn)]
    if runs:
        y.sum().backward()
    del x, y
    gc.collect()
    assert [ref() for ref in watched] == [None, None, None]


# Anomaly mode ---------------------------------------------------------------------------------------------


def nan_made_here(x):
    return x.sqrt()


def test_the_stack_of_the_forward_call_is_shown():
    x = leaf([0.0])
    with autograd.set_detect_anomaly(True):
        y = nan_made_here(x) * 0
        with warnings.catch_warnings(record=True) as caught, pytest.raises(RuntimeError, match="returned nan values"):
            warnings.simplefilter("always")
            y.sum().backward()
    text = "".join(str(w.message) for w in caught)
    assert "nan_made_here" in text and "return x.sqrt()" in text and "test_combinations.py" in text


def test_without_a_stack_anomaly_mode_says_so():
    y = nan_made_here(leaf([0.0])) * 0
    with (
        autograd.set_detect_anomaly(True),
        pytest.warns(UserWarning, match="No forward pass information available. Enable detect anomaly during forward"),
        pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values"),
    ):
        y.sum().backward()


def test_the_operation_that_induced_the_failing_one_is_shown():
    x = leaf([0.0])
    with autograd.set_detect_anomaly(True, check_nan=False):
        (g,) = grad((x**1.5).sum(), x, create_graph=True)
    with (
        autograd.set_detect_anomaly(True),
        warnings.catch_warnings(record=True) as caught,
        pytest.raises(RuntimeError, match="returned nan values"),
    ):
        warnings.simplefilter("always")
        (g * 0).sum().backward()
    assert any("Previous calculation was induced by PowBackward" in str(w.message) for w in caught)


def write_here(a):
    return a.exp()


def test_a_write_to_a_saved_tensor_is_traced_to_its_operation():
    a = leaf() * 1
    with autograd.set_detect_anomaly(True):
        y = write_here(a)
        y.add_(1)
        with (
            warnings.catch_warnings(record=True) as caught,
            pytest.raises(RuntimeError, match=r"modified by an inplace operation.*Hint: the backtrace further above"),
        ):
            warnings.simplefilter("always")
            y.sum().backward()
    text = "".join(str(w.message) for w in caught)
    assert "Error detected in ExpBackward0" in text and "write_here" in text


# vmap ---------------------------------------------------------------------------------------------------


def test_an_operator_without_a_batching_rule_is_looped_over_and_warns_when_asked():
    x = tensorgrad.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)

    def ends(row):
        return row.as_strided((2,), (2,))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vmap(ends)(x).tolist() == [[1.0, 3.0], [4.0, 6.0]]
    autograd._debug_only_display_vmap_fallback_warnings(True)
    try:
        with pytest.warns(UserWarning, match="There is a performance drop because.*tensorgrad::as_strided"):
            y = vmap(ends)(x)
    finally:
        autograd._debug_only_display_vmap_fallback_warnings(False)
    y[0].sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 3, 7])
def test_randomness_with_chunks_and_in_place_draws(chunk_size):
    x = tensorgrad.zeros(6, 4)

    def draws(row):
        return row + tensorgrad.rand(4), tensorgrad.zeros_like(row).uniform_()

    for values in vmap(draws, randomness="different", chunk_size=chunk_size)(x):
        assert len({tuple(row) for row in values.tolist()}) == 6
    a, b = vmap(draws, randomness="same", chunk_size=chunk_size)(x)
    for values in (a, b):
        rows = [tuple(row) for row in values.tolist()]
        size = chunk_size or 6
        for start in range(0, 6, size):
            assert len(set(rows[start : start + size])) == 1
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(draws, chunk_size=chunk_size)(x)


def test_a_batched_gradient_of_a_graph_with_hooks_and_functions():
    x = leaf([0.5, 1.5, -1.0])
    seen = []
    a = x.sin()
    a.register_hook(lambda g: (seen.append(g.shape), g * 2)[1])
    (rows,) = grad(a * x, x, tensorgrad.eye(3), is_grads_batched=True, retain_graph=True)
    looped = [grad(a * x, x, row, retain_graph=True)[0] for row in tensorgrad.eye(3)]
    assert tensorgrad.allclose(rows, tensorgrad.stack(looped))
    assert tuple(seen[0]) == (3,)


# backward(inputs=...) ---------------------------------------------------------------------------------------


def test_gradients_of_inner_tensors_are_accumulated():
    x = leaf()
    y = x * 2
    z = (y * y).sum()
    z.backward(inputs=[y], retain_graph=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert y.grad.tolist() == [4.0, 8.0] and x.grad is None
        z.backward(inputs=[y, x])
        assert y.grad.tolist() == [8.0, 16.0] and x.grad.tolist() == [8.0, 16.0]


def test_only_what_is_needed_runs():
    ran = []

    class Notes(Function):
        @staticmethod
        def forward(ctx, x, name):
            ctx.noted = name
            return x * 1

        @staticmethod
        def backward(ctx, g):
            ran.append(ctx.noted)
            return g, None

    a, b = leaf(), leaf()
    y = (Notes.apply(a, "a") * Notes.apply(b, "b")).sum()
    grad(y, a, retain_graph=True)
    assert ran == ["a"]
    y.backward(inputs=[b])
    assert ran == ["a", "b"] and a.grad is None
