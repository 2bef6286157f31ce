"""state_dict and load_state_dict."""

from collections import OrderedDict

import pytest

import tensorgrad
import tensorgrad_nn as nn


def tiny():
    class TinyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer1 = nn.Linear(2, 3)
            self.layer2 = nn.Linear(3, 1)

    return TinyModel()


def test_keys_metadata_and_sharing():
    model = tiny()
    state = model.state_dict()
    assert list(state) == ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
    assert state._metadata == OrderedDict((path, {"version": 1}) for path in ("", "layer1", "layer2"))
    assert not state["layer1.bias"].requires_grad
    state["layer1.bias"].fill_(4.0)
    assert model.layer1.bias.tolist() == [4.0, 4.0, 4.0]
    assert model.state_dict(keep_vars=True)["layer1.bias"] is model.layer1.bias
    assert list(nn.Linear(1, 1).state_dict(prefix="p.")) == ["p.weight", "p.bias"]


def test_round_trip():
    source, target = tiny(), tiny()
    result = target.load_state_dict(source.state_dict())
    assert repr(result) == str(result) == "<All keys matched successfully>"
    assert result == ([], [])
    assert [one.tolist() for one in source.parameters()] == [one.tolist() for one in target.parameters()]
    assert target.layer1.weight.requires_grad


def message(state, **options):
    with pytest.raises(RuntimeError) as caught:
        tiny().load_state_dict(state, **options)
    return str(caught.value)


def test_missing_keys():
    assert message({}) == (
        "Error(s) in loading state_dict for TinyModel:\n"
        '\tMissing key(s) in state_dict: "layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias". '
    )
    result = tiny().load_state_dict({}, strict=False)
    assert result.missing_keys == ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
    assert result.unexpected_keys == []
    assert repr(result).startswith("_IncompatibleKeys(missing_keys=['layer1.weight', ")


def test_unexpected_keys():
    state = tiny().state_dict()
    state.update({"extra": 1, "layer1.extra": 1, "layer2.weight.extra": 1})
    assert message(state) == (
        "Error(s) in loading state_dict for TinyModel:\n"
        '\tUnexpected key(s) in state_dict: "extra", "layer1.extra", "layer2.weight.extra". '
    )
    assert tiny().load_state_dict(state, strict=False).unexpected_keys == [
        "extra",
        "layer1.extra",
        "layer2.weight.extra",
    ]


def test_everything_wrong_at_once():
    state = {
        "layer1.weight": tensorgrad.ones(2),
        "layer1.bias": 3,
        "layer2.weight": tensorgrad.ones(1, 3),
        "x": 1,
    }
    assert message(state) == (
        "Error(s) in loading state_dict for TinyModel:\n"
        '\tMissing key(s) in state_dict: "layer2.bias". \n'
        '\tUnexpected key(s) in state_dict: "x". \n'
        f"\tsize mismatch for layer1.weight: copying a param with shape {tensorgrad.ones(2).shape} "
        "from checkpoint, "
        f"the shape in current model is {tensorgrad.ones(3, 2).shape}.\n"
        '\tWhile copying the parameter named "layer1.bias", expected tensorgrad.Tensor or '
        "Tensor-like object from "
        "checkpoint but received <class 'int'>"
    )


def test_size_mismatch_is_an_error_without_strict_too():
    assert "size mismatch for layer2.bias" in message({"layer2.bias": tensorgrad.ones(5)}, strict=False)


def test_what_is_not_a_mapping():
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'int'>."):
        tiny().load_state_dict(3)


def test_assign():
    layer = nn.Linear(2, 1).requires_grad_(False)
    weight = tensorgrad.ones(1, 2, dtype=tensorgrad.float64)
    layer.load_state_dict({"weight": weight, "bias": nn.Parameter(tensorgrad.ones(1))}, assign=True)
    assert isinstance(layer.weight, nn.Parameter) and layer.weight.dtype is tensorgrad.float64
    assert [one.requires_grad for one in layer.parameters()] == [False, False]
    weight.fill_(9.0)
    assert layer.weight.tolist() == [[9.0, 9.0]]


def test_copy_converts_the_dtype():
    layer = nn.Linear(1, 1)
    state = {name: value.double() for name, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    assert layer.weight.dtype is tensorgrad.float32


def test_one_element_vector_for_a_scalar():
    module = nn.Module()
    module.register_buffer("scale", tensorgrad.tensor(0.0))
    module.load_state_dict({"scale": tensorgrad.ones(1)})
    assert module.scale.item() == 1.0


class WithExtra(nn.Module):
    def get_extra_state(self):
        return {"steps": 3}

    def set_extra_state(self, state):
        self.restored = state


def test_extra_state():
    module = WithExtra()
    assert module.state_dict() == {"_extra_state": {"steps": 3}}
    module.load_state_dict(module.state_dict())
    assert module.restored == {"steps": 3}
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "_extra_state"'):
        module.load_state_dict({})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "_extra_state"'):
        nn.Module().load_state_dict({"_extra_state": 1})


def test_version_reaches_the_loader():
    seen = []

    class Versioned(nn.Module):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            seen.append((prefix, local_metadata.get("version")))
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    model = nn.Sequential(Versioned())
    model.load_state_dict(model.state_dict())
    model.load_state_dict({})
    assert seen == [("0.", 2), ("0.", None)]


def test_saving_hooks():
    log = []
    layer = nn.Linear(1, 1)
    layer.register_state_dict_pre_hook(lambda module, prefix, keep_vars: log.append((prefix, keep_vars)))
    handle = layer.register_state_dict_post_hook(
        lambda module, state, prefix, metadata: log.append(list(state))
    )
    layer.state_dict()
    assert log == [("", False), ["weight", "bias"]]
    handle.remove()
    layer.state_dict()
    assert len(log) == 3
    layer.register_state_dict_post_hook(lambda *args: 3)
    with pytest.raises(RuntimeError, match="state_dict post-hook must return None"):
        layer.state_dict()


def test_loading_hooks():
    log = []
    model = nn.Sequential(nn.Linear(1, 1))
    layer = model[0]
    layer.register_load_state_dict_pre_hook(
        lambda module, state, prefix, *rest: log.append((module is layer, prefix))
    )
    layer.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    assert (
        repr(model.load_state_dict({"0.weight": tensorgrad.ones(1, 1)})) == "<All keys matched successfully>"
    )
    assert log == [(True, "0.")]
    layer.register_load_state_dict_post_hook(lambda module, keys: 3)
    with pytest.raises(AssertionError, match="are not expected to return new values"):
        model.load_state_dict({})
