"""Calls of Functions and transforms, modes and hooks, in the cases where only PyTorch's behaviour says what is right."""

import pytest

import tensorgrad as tg
import tensorgrad_nn as nn
from tensorgrad.autograd import Function
from tensorgrad.func import functional_call, jvp, stack_module_state, vmap


class Scaled(Function):
    @staticmethod
    def forward(ctx, x, factor=2, shift=None):
        ctx.factor = factor
        return x * factor + (0 if shift is None else shift)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor


def test_apply_hands_keywords_to_forward():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    shift = tg.tensor([10.0, 20.0], requires_grad=True)
    y = Scaled.apply(x, factor=3, shift=shift)
    assert y.tolist() == [13.0, 26.0] and y.grad_fn.needs_input_grad == (True,)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert shift.grad is None  # a keyword is a constant
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        Scaled.apply(x, nothing=1)


def test_a_function_is_not_called():
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        instance = Scaled()
    with pytest.raises(RuntimeError, match="^Legacy autograd function with non-static forward method is deprecated"):
        instance(tg.ones(1))


def test_grad_hands_out_what_has_not_passed_the_hooks_where_the_traversal_goes_on():
    x = tg.tensor([2.0], requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 5)
    z = y * 3
    of_y, of_x = tg.autograd.grad(z, [y, x], retain_graph=True)
    assert (of_y.tolist(), of_x.tolist()) == ([3.0], [30.0])
    (of_y,) = tg.autograd.grad(z, y, retain_graph=True)
    assert of_y.tolist() == [15.0]  # nothing is computed from it: it has passed
    x.register_hook(lambda g: g + 1)
    assert tg.autograd.grad(z, x)[0].tolist() == [31.0]


def test_a_hook_that_returns_no_tensor():
    x = tg.tensor([1.0], requires_grad=True)
    x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match="^expected Variable, but hook returned 'int'"):
        (x * 2).backward()


@pytest.mark.parametrize("mode", [tg.no_grad, tg.inference_mode])
def test_views_made_without_recording_say_that_they_require_a_gradient(mode):
    x = tg.ones(3, requires_grad=True)
    recorded = x * 1
    with mode():
        views = [x[:2], x.view(3, 1), recorded[0], *x.chunk(2)]
        computed, detached = x * 2, x.detach()
    assert all(view.requires_grad and view.is_leaf and view.grad_fn is None for view in views)
    assert not computed.requires_grad and not detached.requires_grad
    with pytest.raises(RuntimeError, match="^A view was created in"):
        views[0].mul_(2)
    with mode():
        assert not tg.ones(3)[:2].requires_grad and not x.long()[:2].requires_grad


def test_writing_to_a_view_that_is_a_leaf():
    x = tg.ones(3)
    view = x[:2].requires_grad_()
    with pytest.raises(RuntimeError, match="^a view of a leaf Variable that requires grad is being used in an in-place operation"):
        view.add_(1)


def test_anomaly_mode_notes_the_stack_in_the_metadata():
    x = tg.tensor([1.0], requires_grad=True)
    assert "traceback_" not in (x * 2).grad_fn.metadata
    with tg.autograd.detect_anomaly():
        node = (x * 2).grad_fn
    assert any("test_anomaly_mode_notes_the_stack" in line for line in node.metadata["traceback_"])
    assert node.metadata["parent_"] is None
    assert Scaled.apply(x).grad_fn.metadata == {}


def test_clones_of_modes():
    assert type(tg.no_grad().clone()) is tg.no_grad
    before = tg.is_grad_enabled()
    off = tg.set_grad_enabled(False).clone()
    try:
        assert type(off) is tg.set_grad_enabled and off.mode is False
    finally:
        tg.set_grad_enabled(before)
    with tg.inference_mode(False).clone():
        assert not tg.is_inference_mode_enabled()


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("offset", tg.randn(2))

    def forward(self, x):
        return self.linear(x) + self.offset


def test_stacked_modules_run_as_an_ensemble():
    models = [Normed() for _ in range(4)]
    params, buffers = stack_module_state(models)
    assert list(params) == ["linear.weight", "linear.bias"] and list(buffers) == ["offset"]
    assert params["linear.weight"].shape == (4, 2, 3)
    assert all(p.is_leaf and p.requires_grad for p in params.values()) and not buffers["offset"].requires_grad
    x = tg.randn(5, 3)
    out = vmap(lambda p, b, x: functional_call(models[0], (p, b), x), in_dims=(0, 0, None))(params, buffers, x)
    for model, one in zip(models, out, strict=True):
        assert tg.allclose(model(x), one, atol=1e-6)
    out.sum().backward()
    assert params["linear.bias"].grad.shape == (4, 2) and models[0].linear.bias.grad is None


def test_modules_that_cannot_be_stacked():
    with pytest.raises(RuntimeError, match="^stack_module_state: Expected at least one model, got 0."):
        stack_module_state([])
    with pytest.raises(RuntimeError, match="^stack_module_state: Expected all models to have the same training/eval mode."):
        stack_module_state([Normed(), Normed().eval()])
    with pytest.raises(RuntimeError, match="^stack_module_state: Expected all models to be of the same class."):
        stack_module_state([Normed(), nn.Linear(2, 2)])
    frozen = Normed()
    frozen.linear.weight.requires_grad_(False)
    with pytest.raises(RuntimeError, match="^Expected linear.weight from each model to have the same .requires_grad"):
        stack_module_state([Normed(), frozen])
    with pytest.raises(RuntimeError, match="^stack_module_state: Expected all models to have the same parameters"):
        stack_module_state([nn.Linear(2, 2), nn.Linear(2, 2, bias=False)])


def test_transforms_refuse():
    with pytest.raises(RuntimeError, match=r"^jvp\(f, primals, tangents\): Expected primals to contain at least one Tensor."):
        jvp(lambda x: x, (), ())
    for out_dims in ("a", 1.5, True):
        with pytest.raises(ValueError, match="`out_dims` must be an int, None or a python collection of ints"):
            vmap(lambda x: x, out_dims=out_dims)(tg.ones(2))
