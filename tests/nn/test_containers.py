"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from collections import OrderedDict

import pytest

import tensorgrad
import tensorgrad_nn as nn


def names(container):
    return [(name, type(module).__name__) for name, module in container.named_children()]


def chain():
    return nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())


def test_sequential_runs_in_order():
    model = nn.Sequential(nn.Tanh(), nn.ReLU())
    assert model(tensorgrad.tensor([-1.0, 0.0])).tolist() == [0.0, 0.0]
    assert nn.Sequential()(3) == 3


def test_sequential_index():
    model = chain()
    assert model[-1] is model[2]
    assert names(model[1:]) == [("1", "Tanh"), ("2", "Sigmoid")]
    for bad in (3, -4):
        with pytest.raises(IndexError, match=f"index {bad} is out of range"):
            model[bad]
    with pytest.raises(TypeError, match="'str' object cannot be interpreted as an integer"):
        model["0"]


def test_sequential_changes():
    model = chain()
    model[-1] = nn.Identity()
    del model[0]
    assert names(model) == [("0", "Tanh"), ("1", "Identity")]
    assert type(model.pop(1)).__name__ == "Identity"
    model.append(nn.ReLU()).insert(0, nn.Sigmoid()).insert(-1, nn.Identity()).extend([nn.Dropout()])
    assert [name for _, name in names(model)] == ["Sigmoid", "Tanh", "Identity", "ReLU", "Dropout"]
    assert names(model.pop(slice(0, 2))) == [("0", "Sigmoid"), ("1", "Tanh")]
    assert len(model) == 3
    with pytest.raises(IndexError, match="Index out of range: 9"):
        model.insert(9, nn.ReLU())
    with pytest.raises(AssertionError, match="module should be of type"):
        model.insert(0, 3)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        model.append(3)


def test_sequential_operators():
    model = nn.Sequential(nn.ReLU())
    assert len(model + chain()) == 4
    assert len(model * 3) == len(3 * model) == 3
    model += nn.Sequential(nn.Tanh())
    model *= 2
    assert [type(module).__name__ for module in model] == ["ReLU", "Tanh", "ReLU", "Tanh"]
    with pytest.raises(ValueError, match="add operator supports only objects of Sequential class"):
        model + [nn.ReLU()]
    with pytest.raises(ValueError, match="Non-positive multiplication factor 0"):
        model * 0
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*"):
        model * "a"


def test_sequential_from_an_ordered_dict():
    model = nn.Sequential(OrderedDict(first=nn.ReLU(), second=nn.Tanh()))
    assert model.second is model[1]
    assert names(model[1:]) == [("second", "Tanh")]
    with pytest.raises(TypeError, match="dict is not a Module subclass"):
        nn.Sequential({"first": nn.ReLU()})


def test_module_list_repr_gathers_neighbours():
    layers = nn.ModuleList([nn.Linear(1, 2), nn.Linear(1, 2), nn.ReLU(), chain()[:1], chain()[:1]])
    assert repr(layers) == (
        "ModuleList(\n"
        "  (0-1): 2 x Linear(in_features=1, out_features=2, bias=True)\n"
        "  (2): ReLU()\n"
        "  (3-4): 2 x Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_sequential_repr_does_not_gather():
    assert repr(nn.Sequential(nn.ReLU(), nn.ReLU())) == "Sequential(\n  (0): ReLU()\n  (1): ReLU()\n)"


def test_module_list():
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layers.insert(1, nn.Sigmoid())
    layers += [nn.Identity()]
    layers.append(nn.Dropout())
    assert [name for _, name in names(layers)] == ["ReLU", "Sigmoid", "Tanh", "Identity", "Dropout"]
    assert names(layers[3:]) == [("0", "Identity"), ("1", "Dropout")]
    assert len(layers + [nn.ReLU()]) == 6
    del layers[1:4]
    assert names(layers) == [("0", "ReLU"), ("1", "Dropout")]
    assert type(layers.pop(0)).__name__ == "ReLU"
    with pytest.raises(TypeError, match="ModuleList.extend should be called with an iterable, but got int"):
        layers.extend(3)
    with pytest.raises(NotImplementedError, match=r"Module \[ModuleList\] is missing"):
        layers(1)


def test_module_dict():
    modules = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    modules["c"] = nn.Sigmoid()
    modules.update([("a", nn.Identity())])
    assert names(modules) == [("a", "Identity"), ("b", "Tanh"), ("c", "Sigmoid")]
    assert list(modules.keys()) == list(modules) == ["a", "b", "c"]
    assert [key for key, _ in modules.items()] == ["a", "b", "c"]
    assert next(iter(modules.values())) is modules.pop("a")
    assert "a" not in modules and len(modules) == 2
    with pytest.raises(KeyError):
        modules["a"]
    with pytest.raises(KeyError, match="attribute 'keys' already exists"):
        modules["keys"] = nn.ReLU()
    with pytest.raises(
        TypeError, match="ModuleDict.update should be called with an iterable of key/value pairs"
    ):
        modules.update(3)
    with pytest.raises(ValueError, match="ModuleDict update sequence element #0 has length 3; 2 is required"):
        modules.update([(1, 2, 3)])
    modules.clear()
    assert repr(modules) == "ModuleDict()"


def test_parameter_list():
    values = nn.ParameterList([nn.Parameter(tensorgrad.ones(2)), tensorgrad.ones(1, 3), "note"])
    assert repr(values) == (
        "ParameterList(\n"
        f"    (0): Parameter containing: [{tensorgrad.float32} of size 2]\n"
        f"    (1): Parameter containing: [{tensorgrad.float32} of size 1x3]\n"
        "    (2): Object of type: str\n"
        ")"
    )
    assert isinstance(values[1], nn.Parameter) and values[-1] == "note"
    assert list(values.state_dict()) == ["0", "1"]
    values[0] = tensorgrad.zeros(1)
    values += [tensorgrad.ones(4)]
    assert [type(one).__name__ for one in values] == ["Parameter", "Parameter", "str", "Parameter"]
    assert len(values[1:3]) == 2
    with pytest.raises(IndexError, match="index 9 is out of range"):
        values[9]
    with pytest.raises(
        TypeError, match="ParameterList.extend should be called with an iterable, but got Tensor"
    ):
        values.extend(tensorgrad.ones(2))
    with pytest.raises(RuntimeError, match="ParameterList should not be called."):
        values(1)


def test_parameter_dict():
    values = nn.ParameterDict({"b": tensorgrad.ones(2), "a": 3})
    assert list(values) == ["a", "b"]
    assert repr(values) == (
        "ParameterDict(\n"
        "    (a): Object of type: int\n"
        "    (b): Parameter containing: [tensorgrad.FloatTensor of size 2]\n"
        ")"
    )
    assert list(values.state_dict()) == ["b"]
    assert values.setdefault("c", tensorgrad.zeros(1)).tolist() == [0.0]
    assert values.get("z") is None and values.get("a") == 3
    assert list(reversed(values)) == ["c", "b", "a"]
    assert values.popitem()[0] == "c" and values.pop("a") == 3
    assert list(values | {"d": 1}) == ["b", "d"]
    assert {"d": 1} | values == {"d": 1, "b": values["b"]}
    values |= {"e": 2}
    assert list(values.copy().keys()) == ["b", "e"]
    assert list(values.fromkeys(["x", "y"], 1).items()) == [("x", 1), ("y", 1)]
    assert values.values()[1] == 2
    with pytest.raises(TypeError, match="cannot be used as a key as it is not a string"):
        values[3] = 1
    with pytest.raises(KeyError, match="attribute 'keys' already exists"):
        values["keys"] = tensorgrad.ones(1)
    values.clear()
    assert len(values) == 0 and list(values.parameters()) == []
