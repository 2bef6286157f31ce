"""Optimizer: groups, closures, hooks, saving and loading."""

import copy
import pickle

import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim


def parameter(value=1.0):
    return nn.Parameter(tensorgrad.tensor([value]))


def test_repr():
    optimizer = optim.SGD([{"params": parameter()}, {"params": [parameter()], "lr": 3}], lr=0.1, momentum=0.9)
    options = "    momentum: 0.9\n    nesterov: False\n    weight_decay: 0\n"
    first = "    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
    assert repr(optimizer) == (
        "SGD (\n"
        f"Parameter Group 0\n{first}    lr: 0.1\n    maximize: False\n{options}"
        "\n"
        f"Parameter Group 1\n{first}    lr: 3\n    maximize: False\n{options})"
    )


def test_groups():
    first, second = parameter(), parameter()
    optimizer = optim.SGD([{"params": first}, {"params": (second,), "lr": 3}], lr=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 3]
    assert optimizer.param_groups[1]["params"] == [second]
    first.grad = second.grad = tensorgrad.ones(1)
    optimizer.step()
    assert (first.tolist(), second.tolist()) == ([0.5], [-2.0])
    assert optimizer.defaults["lr"] == 0.5


def test_groups_that_are_refused():
    shared = parameter()
    for params, error, message in [
        (
            shared,
            TypeError,
            "params argument given to the optimizer should be an iterable of Tensors or dicts",
        ),
        ([], ValueError, "optimizer got an empty parameter list"),
        ([3], TypeError, "optimizer can only optimize Tensors, but one of the params is int"),
        ([shared * 2], ValueError, "can't optimize a non-leaf Tensor"),
        (
            [{"params": {shared}}],
            TypeError,
            "optimizer parameters need to be organized in ordered collections",
        ),
        ([{"params": [shared]}, {"params": [shared]}], ValueError, "some parameters appear in more than one"),
        ([{"params": [shared]}, shared], TypeError, "param_group must be a dict, but got"),
        ([{"lr": 3}], KeyError, "params"),
        ([("a", shared), parameter()], ValueError, "Some param names are missing"),
    ]:
        with pytest.raises(error, match=message):
            optim.SGD(params)
    with pytest.warns(UserWarning, match="optimizer contains a parameter group with duplicate parameters"):
        optim.SGD([shared, shared])


def test_named_parameters():
    optimizer = optim.SGD(nn.Linear(1, 1).named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["params"] == [0, 1]
    with pytest.raises(ValueError, match="cannot add param group without names to the optimizer"):
        optimizer.add_param_group({"params": [parameter()]})
    optimizer.add_param_group({"params": [("more", parameter())]})


def test_zero_grad():
    used, unused = parameter(), parameter()
    optimizer = optim.SGD([used, unused])
    (used * 3).sum().backward()
    optimizer.zero_grad()
    assert used.grad.tolist() == [0.0] and unused.grad is None
    (used * 3).sum().backward()
    assert used.grad.tolist() == [3.0]
    optimizer.zero_grad(set_to_none=True)
    assert used.grad is None


def test_closure():
    weight = parameter(2.0)
    optimizer = optim.SGD([weight], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    with tensorgrad.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert weight.tolist() == [1.0]


def test_base_class():
    optimizer = optim.Optimizer([parameter()], {"a": 1})
    assert repr(optimizer) == "Optimizer (\nParameter Group 0\n    a: 1\n)"
    with pytest.raises(NotImplementedError):
        optimizer.step()


def test_step_hooks():
    log = []
    optimizer = optim.SGD([parameter()])
    handle = optimizer.register_step_pre_hook(lambda self, args, kwargs: log.append(("pre", len(args), list(kwargs))))
    optimizer.register_step_post_hook(lambda self, args, kwargs: log.append(("post", self is optimizer)))
    optimizer.step(closure=lambda: 3)
    handle.remove()
    optimizer.step()
    assert log == [("pre", 1, ["closure"]), ("post", True), ("post", True)]
    handle = optimizer.register_step_pre_hook(lambda self, args, kwargs: ((self, lambda: 9), {}))
    assert optimizer.step() == 9
    handle.remove()
    optimizer.register_step_pre_hook(lambda self, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3."):
        optimizer.step()


def stepped(dtype=None):
    weight = nn.Parameter(tensorgrad.ones(1, dtype=dtype))
    optimizer = optim.SGD([weight], lr=0.5, momentum=0.9)
    weight.grad = tensorgrad.full((1,), 2.0, dtype=dtype)
    optimizer.step()
    return optimizer


def test_state_dict():
    state = stepped().state_dict()
    assert list(state) == ["state", "param_groups"]
    assert state["state"][0]["momentum_buffer"].tolist() == [2.0]
    assert state["param_groups"] == [
        {
            "lr": 0.5,
            "momentum": 0.9,
            "dampening": 0,
            "weight_decay": 0,
            "nesterov": False,
            "maximize": False,
            "foreach": None,
            "differentiable": False,
            "fused": None,
            "params": [0],
        }
    ]


def test_load_state_dict():
    weight = nn.Parameter(tensorgrad.ones(1, dtype=tensorgrad.float64))
    optimizer = optim.SGD([weight], lr=7)
    optimizer.load_state_dict(stepped().state_dict())
    buffer = optimizer.state[weight]["momentum_buffer"]
    assert (buffer.tolist(), buffer.dtype) == ([2.0], tensorgrad.float64)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["params"][0] is weight
    weight.grad = tensorgrad.zeros(1, dtype=tensorgrad.float64)
    optimizer.step()
    assert weight.tolist() == pytest.approx([1 - 0.5 * 0.9 * 2])


def test_load_state_dict_that_does_not_fit():
    optimizer = optim.SGD([parameter()])
    with pytest.raises(ValueError, match="loaded state dict has a different number of parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(optim.SGD([parameter(), parameter()]).state_dict())


def test_state_dict_hooks():
    log = []
    optimizer = optim.SGD([parameter()])
    optimizer.register_state_dict_pre_hook(lambda self: log.append("save"))
    optimizer.register_state_dict_post_hook(lambda self, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda self, state: log.append(state["more"]))
    optimizer.register_load_state_dict_post_hook(lambda self: log.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert log == ["save", 1, "loaded"]


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(copier):
    copied = copier(stepped())
    (weight,) = copied.param_groups[0]["params"]
    assert copied.state[weight]["momentum_buffer"].tolist() == [2.0]
    weight.grad = tensorgrad.zeros(1)
    copied.step()
    assert weight.tolist() == pytest.approx([0.0 - 0.5 * 0.9 * 2])
