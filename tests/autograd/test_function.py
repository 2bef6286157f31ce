"""User-defined functions: their contexts, histories, errors, and how they meet transforms."""

import gc
import weakref

import pytest

import tensorgrad
from tensorgrad import autograd
from tensorgrad.autograd import Function
from tensorgrad.autograd.function import once_differentiable
from tensorgrad.func import grad, jacrev, jvp, vmap

F64 = tensorgrad.float64


def leaf(values, dtype=F64):
    return tensorgrad.tensor(values, requires_grad=True, dtype=dtype)


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (result,) = ctx.saved_tensors
        return grad_output * result


class Cube(Function):
    """With setup_context and jvp; the derivative is saved as an output of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3, 3 * x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        _, dx = output
        ctx.save_for_backward(x, dx)
        ctx.save_for_forward(x, dx)

    @staticmethod
    def backward(ctx, grad_output, grad_dx):
        x, dx = ctx.saved_tensors
        return grad_output * dx + grad_dx * 6 * x

    @staticmethod
    def jvp(ctx, tangent):
        x, dx = ctx.saved_tensors
        return tangent * dx, tangent * 6 * x


class Scale(Function):
    """A number among the arguments, and a rule for vmap."""

    @staticmethod
    def forward(x, factor=2.0):
        return x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None

    @staticmethod
    def vmap(info, in_dims, x, factor):
        assert info.batch_size == x.shape[in_dims[0]] and info.randomness == "error" and in_dims[1] is None
        return Scale.apply(x, factor), in_dims[0]


def test_forward_and_backward():
    x = leaf([0.0, 1.0])
    y = Exp.apply(x)
    y.backward(tensorgrad.ones(2, dtype=F64))
    assert x.grad.tolist() == y.tolist() == x.exp().tolist()
    assert type(y.grad_fn).__name__ == "ExpBackward" and y.grad_fn.name() == "ExpBackward"
    assert y.grad_fn.next_functions[0][0].variable is x
    assert autograd.gradcheck(Exp.apply, (x,)) and autograd.gradgradcheck(Exp.apply, (x,))


def test_the_context_is_the_node():
    nodes = []

    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.note = "kept"
            nodes.append(ctx)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            assert ctx.note == "kept" and ctx is nodes[0]
            return g * 2

    y = F.apply(leaf(1.0))
    assert y.grad_fn is nodes[0]
    y.backward()


def test_forward_is_not_recorded_and_nothing_is_without_grad():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            assert not tensorgrad.is_grad_enabled()
            assert ctx.needs_input_grad == (x.requires_grad,)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    assert F.apply(leaf(1.0)).requires_grad
    assert not F.apply(tensorgrad.ones(1)).requires_grad
    with tensorgrad.no_grad():
        assert F.apply(leaf(1.0)).grad_fn is None


def test_arguments_of_all_kinds_and_needs_input_grad():
    seen = []

    class F(Function):
        @staticmethod
        def forward(ctx, a, n, b, name, items):
            assert name == "x" and items == [1]
            ctx.n = n
            ctx.save_for_backward(a, None, b)
            return a * b * n

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            a, nothing, b = ctx.saved_tensors
            assert nothing is None
            return g * b * ctx.n, None, g * a * ctx.n, None, None

    a, b = leaf(2.0), tensorgrad.tensor(3.0, dtype=F64)
    F.apply(a, 5, b, "x", [1]).backward()
    assert seen == [(True, False, False, False, False)]
    assert a.grad.item() == 15.0


def test_outputs_of_all_kinds():
    given = []

    class F(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, "text", None, x * 3, tensorgrad.tensor([1])

        @staticmethod
        def backward(ctx, *grads):
            given.append([g if g is None else g.tolist() for g in grads])
            return grads[0] * 2 + grads[3] * 3

    x = leaf(1.0)
    a, text, nothing, b, integers = F.apply(x)
    assert (text, nothing) == ("text", None) and not integers.requires_grad
    assert (a.output_nr, b.output_nr) == (0, 3)
    b.backward()
    assert given == [[0.0, None, None, 1.0, [0]]]
    assert x.grad.item() == 3.0


def test_one_output_in_a_tuple_stays_in_a_tuple():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            return (x * 2,)

        @staticmethod
        def backward(ctx, g):
            return (g * 2,)

    (y,) = F.apply(leaf(1.0))
    assert y.requires_grad


def test_materialize_grads():
    class F(Function):
        @staticmethod
        def forward(ctx, x, flag):
            ctx.set_materialize_grads(flag)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            seen.append(b if b is None else b.item())
            return a * 2, None

    for flag, expected in ((True, 0.0), (False, None)):
        seen = []
        F.apply(leaf(1.0), flag)[0].backward()
        assert seen == [expected]


def test_an_undefined_gradient_stops_there():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return None

    x = leaf(1.0)
    (F.apply(x) + x).backward()
    assert x.grad.item() == 1.0


def test_double_backward_of_hand_written_derivatives():
    x = leaf([0.5, 1.5])
    y, _ = Cube.apply(x)
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [0.75, 6.75]
    assert autograd.grad(g.sum(), x)[0].tolist() == [3.0, 9.0]
    assert autograd.gradcheck(lambda x: Cube.apply(x)[0], (x,))
    assert autograd.gradgradcheck(lambda x: Cube.apply(x)[0], (x,))


def test_mark_dirty():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf([1.0, 2.0])
    y = x * 1
    z = F.apply(y)
    assert z is y and type(y.grad_fn).__name__ == "FBackward" and y._version == 2
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad has been used in an in-place operation"):
        F.apply(leaf([1.0]))


def test_mark_dirty_on_a_view_rewrites_the_history_of_its_base():
    class F(Function):
        @staticmethod
        def forward(ctx, x, factor):
            x.mul_(factor)
            ctx.mark_dirty(x)
            ctx.save_for_backward(factor)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0], None

    x = leaf([1.0, 2.0, 3.0])
    base = x * 1
    view = base[:2]
    assert F.apply(view, tensorgrad.tensor(5.0, dtype=F64)) is view
    assert type(base.grad_fn).__name__ == "CopySlices"
    assert base.tolist() == [5.0, 10.0, 3.0]
    base.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0, 1.0]


def test_dirty_tensors_must_be_returned():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="Some elements marked as dirty during the forward method were not returned"):
        F.apply(leaf(1.0) * 1)


def test_an_input_returned_as_it_is_becomes_a_view():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf([1.0, 2.0])
    y = F.apply(x)
    assert y is not x and x.grad_fn is None and y._base is x
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]
    with pytest.raises(RuntimeError, match="This view was created inside a custom Function"):
        F.apply(x * 1).mul_(2)


def test_a_view_returned_keeps_the_hand_written_backward():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            return x.view(2, 1)

        @staticmethod
        def backward(ctx, g):
            return g.view(2) * 10

    x = leaf([1.0, 2.0])
    base = x * 1
    y = F.apply(base)
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]
    base = x * 1
    y = F.apply(base)
    with pytest.raises(RuntimeError, match="Output 0 of F is a view and is being modified inplace"):
        y.add_(1)
    base.mul_(2)
    with pytest.raises(RuntimeError, match="Output 0 of F is a view and its base or another view of its base"):
        y * 2


def test_mark_non_differentiable():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            order = x.argsort()
            values = x * 0 + 7
            ctx.mark_non_differentiable(order, values)
            return x * 2, order, values

        @staticmethod
        def backward(ctx, g, g_order, g_values):
            assert g_values.tolist() == [0.0, 0.0]
            return g * 2

    y, order, values = F.apply(leaf([1.0, 2.0]))
    assert y.requires_grad and not order.requires_grad and not values.requires_grad and values.is_leaf
    y.sum().backward()


def test_the_graph_of_a_function_is_freed():
    x = leaf([1.0])
    y = Exp.apply(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.sum().backward()


def test_a_write_to_a_saved_tensor_is_noticed():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    a = leaf([1.0]) * 1
    y = F.apply(a)
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_saving_its_own_output_makes_no_cycle():
    gc.collect()
    gc.disable()
    try:
        y = Exp.apply(leaf([1.0]))
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_a_cycle_through_an_attribute_is_collected():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.out = x * 2
            return ctx.out

        @staticmethod
        def backward(ctx, g):
            return g * 2

    y = F.apply(leaf([1.0]))
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None


def test_once_differentiable():
    class F(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not tensorgrad.is_grad_enabled()
            return 2 * g * ctx.saved_tensors[0]

    x, v = leaf(3.0), leaf(1.0)
    (g,) = autograd.grad(F.apply(x), x, v, create_graph=True)
    assert g.item() == 6.0 and g.requires_grad
    with pytest.raises(RuntimeError, match="trying to differentiate twice a function that was marked with @once"):
        g.backward()
    (g,) = autograd.grad(F.apply(x), x)
    assert not g.requires_grad


def _function(backward, forward=lambda ctx, x: x * 2):
    return type("MyFn", (Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


@pytest.mark.parametrize(
    ("made", "args", "message"),
    [
        (
            _function(lambda ctx, g: g, lambda ctx, a, b: a * b),
            (1.0, 2.0),
            r"function MyFnBackward returned an incorrect number of gradients \(expected 2, got 1\)",
        ),
        (
            _function(lambda ctx, g: (g, g)),
            (1.0,),
            r"function MyFnBackward returned an incorrect number of gradients \(expected 1, got 2\)",
        ),
        (_function(lambda ctx, g: "text"), (1.0,), r"expected Variable or None \(got str\)"),
    ],
)
def test_wrong_gradients_name_the_function(made, args, message):
    out = made.apply(*[leaf(a) for a in args])
    with pytest.raises(RuntimeError, match=message):
        out.backward()


def test_a_gradient_of_the_wrong_shape_names_the_function():
    out = _function(lambda ctx, g: tensorgrad.ones(5)).apply(leaf([1.0, 2.0])).sum()
    message = r"Function MyFnBackward returned an invalid gradient at index 0 - got \[5\] but expected shape"
    with pytest.raises(RuntimeError, match=message):
        out.backward()


def test_more_errors():
    with pytest.raises(
        RuntimeError, match="returned a gradient different than None at position 2, but the corresponding"
    ):
        _function(lambda ctx, g: (g, g), lambda ctx, x, n: x * n).apply(leaf(1.0), 3).backward()
    _function(lambda ctx, g: (g, None, None)).apply(leaf(1.0)).backward()
    with pytest.raises(NotImplementedError, match="You must implement the forward function for custom"):
        type("G", (Function,), {}).apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="You must implement either the backward or vjp method"):
        type("G", (Function,), {"forward": staticmethod(lambda ctx, x: x * 2)}).apply(leaf(1.0)).backward()
    with pytest.raises(TypeError, match="save_for_backward can only save variables, but argument 0 is of type int"):
        _function(lambda ctx, g: g, lambda ctx, x: (ctx.save_for_backward(3), x * 2)[1]).apply(leaf(1.0))
    both = {"forward": staticmethod(lambda ctx, x: x * 2)}
    both.update(dict.fromkeys(("backward", "vjp"), staticmethod(lambda ctx, g: g)))
    with pytest.raises(
        RuntimeError, match="Implementing both 'backward' and 'vjp' for a custom Function is not allowed"
    ):
        type("G", (Function,), both).apply(leaf(1.0)).backward()
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        Exp()


def test_vjp_is_another_name_of_backward():
    x = leaf(3.0)
    methods = {"forward": staticmethod(lambda ctx, x: x * 2), "vjp": staticmethod(lambda ctx, g: g * 2)}
    type("G", (Function,), methods).apply(x).backward()
    assert x.grad.item() == 2.0


def test_keyword_and_default_arguments_with_setup_context():
    x = leaf([1.0, 2.0])
    assert Scale.apply(x).tolist() == [2.0, 4.0]
    Scale.apply(x, factor=5.0).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_forward_mode():
    x, t = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([1.0, 10.0])
    with autograd.forward_ad.dual_level():
        y, dx = Cube.apply(autograd.forward_ad.make_dual(x, t))
        assert autograd.forward_ad.unpack_dual(y).tangent.tolist() == [3.0, 120.0]
        assert autograd.forward_ad.unpack_dual(dx).tangent.tolist() == [6.0, 120.0]
        with pytest.raises(NotImplementedError, match="You must implement the jvp function for custom"):
            Exp.apply(autograd.forward_ad.make_dual(x, t))


def test_under_transforms():
    x = tensorgrad.tensor([1.0, 2.0], dtype=F64)
    assert grad(lambda x: Cube.apply(x)[0].sum())(x).tolist() == [3.0, 12.0]
    assert grad(lambda x: grad(lambda y: Cube.apply(y)[0].sum())(x).sum())(x).tolist() == [6.0, 12.0]
    assert jvp(lambda x: Cube.apply(x)[0], (x,), (x,))[1].tolist() == [3.0, 24.0]
    assert jacrev(lambda x: Cube.apply(x)[0])(x).tolist() == [[3.0, 0.0], [0.0, 12.0]]
    assert vmap(lambda x: Cube.apply(x)[0])(x).tolist() == [1.0, 8.0]
    assert vmap(grad(lambda x: Cube.apply(x)[0]))(x).tolist() == [3.0, 12.0]
    assert grad(lambda x: vmap(lambda y: Cube.apply(y)[0])(x).sum())(x).tolist() == [3.0, 12.0]
    rows = tensorgrad.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=F64)
    assert vmap(vmap(lambda x: Cube.apply(x)[0]))(rows).tolist() == [[1.0, 8.0], [27.0, 64.0]]
    assert vmap(lambda x: Scale.apply(x, 3.0), in_dims=1)(rows).tolist() == [[3.0, 9.0], [6.0, 12.0]]
    assert grad(lambda x: vmap(lambda y: Scale.apply(y, 3.0))(x).sum())(rows).tolist() == [[3.0] * 2] * 2


def test_a_generated_rule_sums_the_gradient_of_an_unbatched_argument():
    class Mul(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(a, b):
            return a * b

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, g * a

    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([5.0, 6.0])
    out = vmap(Mul.apply, in_dims=(0, None))(a, b)
    assert out.tolist() == [[5.0, 12.0], [15.0, 24.0]]
    out.sum().backward()
    assert a.grad.tolist() == [[5.0, 6.0], [5.0, 6.0]] and b.grad.tolist() == [4.0, 6.0]


def test_what_transforms_need():
    x = tensorgrad.ones(2)
    with pytest.raises(RuntimeError, match="it must override the setup_context staticmethod"):
        grad(lambda x: Exp.apply(x).sum())(x)

    class F(Cube):
        generate_vmap_rule = False

    with pytest.raises(RuntimeError, match="You tried to vmap over F, but it does not have vmap support"):
        vmap(F.apply)(x)

    class G(Scale):
        generate_vmap_rule = True

    with pytest.raises(RuntimeError, match="it has both generate_vmap_rule=True and an overridden vmap"):
        vmap(G.apply)(x)

    class H(Scale):
        @staticmethod
        def vmap(info, in_dims, x, factor):
            return x

    with pytest.raises(RuntimeError, match="Expected the vmap staticmethod to have two returns"):
        vmap(H.apply)(x)


def test_mark_dirty_under_transforms():
    class Double(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.mul_(2)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.mark_dirty(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    def function(x):
        y = x * 1
        Double.apply(y)
        return (y * y).sum()

    row, rows = tensorgrad.tensor([1.0, 2.0]), tensorgrad.tensor([[1.0, 2.0]])
    assert grad(function)(row).tolist() == [8.0, 16.0]
    assert vmap(grad(function))(rows).tolist() == [[8.0, 16.0]]
    assert grad(lambda x: vmap(function)(x).sum())(rows).tolist() == [[8.0, 16.0]]
