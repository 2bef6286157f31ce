"""Forward and backward hooks."""

import warnings

import pytest

import tensorgrad
import tensorgrad_nn as nn


class Scale(nn.Module):
    """x -> 2x, and 3y if there is a y."""

    def forward(self, x, y=None, bonus=0):
        return x * 2 + bonus if y is None else (x * 2, y * 3)


def leaf():
    return tensorgrad.ones(2, requires_grad=True)


def test_forward_hooks_replace_arguments_and_output():
    log = []
    module = Scale()
    module.register_forward_pre_hook(lambda module, args: log.append("second"))
    module.register_forward_pre_hook(lambda module, args: (args[0] + 1,), prepend=True)
    module.register_forward_hook(lambda module, args, output: output + 0.5)
    module.register_forward_hook(lambda module, args, output: log.append((args[0].tolist(), output.tolist())))
    assert module(tensorgrad.ones(1)).tolist() == [4.5]
    assert log == ["second", ([2.0], [4.5])]


def test_single_value_from_a_pre_hook():
    module = Scale()
    module.register_forward_pre_hook(lambda module, args: tensorgrad.full((1,), 5.0))
    assert module(tensorgrad.ones(1)).tolist() == [10.0]


def test_hooks_with_kwargs():
    log = []
    module = Scale()
    module.register_forward_pre_hook(lambda module, args, kwargs: (args, {"bonus": 10}), with_kwargs=True)
    module.register_forward_hook(lambda module, args, kwargs, output: log.append(kwargs), with_kwargs=True)
    assert module(tensorgrad.ones(1), bonus=1).tolist() == [12.0]
    assert log == [{"bonus": 10}]
    module.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(
        RuntimeError, match=r"forward pre-hook must return None or a tuple of \(new_args, new_kwargs\)"
    ):
        module(tensorgrad.ones(1))


def test_removal():
    module = Scale()
    handle = module.register_forward_hook(lambda module, args, output: output * 0)
    with module.register_forward_hook(lambda module, args, output: output + 1):
        assert module(tensorgrad.ones(1)).tolist() == [1.0]
    assert module(tensorgrad.ones(1)).tolist() == [0.0]
    handle.remove()
    handle.remove()
    assert module(tensorgrad.ones(1)).tolist() == [2.0]
    assert not module._forward_hooks


def test_always_called_hook():
    log = []

    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    def broken_hook(module, args, output):
        raise KeyError("hook")

    module = Failing()
    module.register_forward_hook(lambda module, args, output: log.append("never"))
    module.register_forward_hook(lambda module, args, output: log.append(output), always_call=True)
    module.register_forward_hook(broken_hook, always_call=True)
    silenced = "was silenced as another error was raised in forward: 'hook'"
    with pytest.warns(UserWarning, match=silenced), pytest.raises(ValueError, match="broken"):
        module(1)
    assert log == [None]


def test_backward_hooks_see_both_gradients():
    log = []
    module = Scale()
    module.register_full_backward_pre_hook(lambda module, grad_output: log.append(grad_output[0].tolist()))
    module.register_full_backward_hook(
        lambda module, grad_input, grad_output: log.append((grad_input[0].tolist(), grad_output[0].tolist()))
    )
    x = leaf()
    (module(x) * 5).sum().backward()
    assert log == [[5.0, 5.0], ([10.0, 10.0], [5.0, 5.0])]
    assert x.grad.tolist() == [10.0, 10.0]


def test_backward_hooks_replace_gradients():
    module = Scale()
    module.register_full_backward_pre_hook(lambda module, grad_output: (grad_output[0] * 10,))
    module.register_full_backward_hook(lambda module, grad_input, grad_output: (grad_input[0] + 1,))
    x = leaf()
    module(x).sum().backward()
    assert x.grad.tolist() == [21.0, 21.0]


def test_backward_hook_with_several_inputs_and_outputs():
    log = []
    module = Scale()
    module.register_full_backward_hook(lambda module, *grads: log.append(grads))
    x, y = leaf(), leaf()
    first, second = module(x, y)
    (first + second * 5).sum().backward()
    (grad_input, grad_output) = log[0]
    assert [grad.tolist() for grad in grad_input] == [[2.0, 2.0], [15.0, 15.0]]
    assert [grad.tolist() for grad in grad_output] == [[1.0, 1.0], [5.0, 5.0]]
    module(x, None)[0].backward()
    assert log[1][0][0].tolist() == [2.0, 0.0] and log[1][0][1] is None


def test_backward_hook_keeps_constants_constant():
    module = Scale()
    module.register_full_backward_hook(lambda module, *grads: None)
    first, second = module(leaf(), tensorgrad.ones(2))
    assert first.requires_grad and not second.requires_grad


def test_backward_hook_without_inputs_that_require_gradients():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(tensorgrad.ones(2))

        def forward(self, x):
            return self.weight * x

    log = []
    module = Weighted()
    handle = module.register_full_backward_hook(
        lambda module, grad_input, grad_output: log.append(grad_input)
    )
    with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed"):
        module(tensorgrad.ones(2)).sum().backward()
    assert log == [(None,)]
    assert module.weight.grad.tolist() == [1.0, 1.0]
    handle.remove()
    module.register_full_backward_hook(lambda module, grad_input, grad_output: (tensorgrad.ones(2),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="where no input requires gradient should always return None"):
            module(tensorgrad.ones(2)).sum().backward()


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (
            "register_full_backward_hook",
            "Backward hook returned an invalid number of grad_input, got 2, but expected 1",
        ),
        (
            "register_full_backward_pre_hook",
            "Backward pre hook returned an invalid number of grad_output, got 2, but expected 1",
        ),
    ],
)
def test_wrong_number_of_gradients(register, message):
    module = Scale()
    getattr(module, register)(lambda module, *grads: (None, None))
    with pytest.raises(RuntimeError, match=message):
        module(leaf()).sum().backward()


def test_second_derivative_passes_through_hooks():
    module = Scale()
    module.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    x = leaf()
    (grad,) = tensorgrad.autograd.grad((module(x) ** 2).sum(), x, create_graph=True)
    assert grad.tolist() == [8.0, 8.0]
    assert tensorgrad.autograd.grad(grad.sum(), x)[0].tolist() == [8.0, 8.0]


def test_output_without_tensors():
    class Named(nn.Module):
        def forward(self, x):
            return {"x": x}

    module = Named()
    module.register_full_backward_hook(lambda *args: None)
    with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple of Tensors"):
        module(leaf())
