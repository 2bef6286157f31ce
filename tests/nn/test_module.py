"""Module: registration, attributes, traversal, modes, conversion, repr."""

import copy
import pickle

import pytest

import tensorgrad
import tensorgrad_nn as nn


class TinyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(4, 3)
        self.relu = nn.ReLU()
        self.layer2 = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer2(self.relu(self.layer1(x)))


def parameter(*shape):
    return nn.Parameter(tensorgrad.ones(*shape))


def test_repr_of_the_tree():
    assert repr(TinyModel()) == (
        "TinyModel(\n"
        "  (layer1): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (relu): ReLU()\n"
        "  (layer2): Linear(in_features=3, out_features=2, bias=True)\n"
        ")"
    )


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("", "Shown(\n  (act): ReLU()\n  (none): None\n)"),
        ("a=1", "Shown(\n  a=1\n  (act): ReLU()\n  (none): None\n)"),
        ("a=1\nb=2", "Shown(\n  a=1\n  b=2\n  (act): ReLU()\n  (none): None\n)"),
    ],
)
def test_repr_with_extra_lines(extra, expected):
    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.register_module("none", None)

        def extra_repr(self):
            return extra

    assert repr(Shown()) == expected


def test_forward_of_the_model():
    model = TinyModel()
    nn.init.constant_(model.layer1.weight, 1.0)
    nn.init.constant_(model.layer1.bias, -3.0)
    nn.init.constant_(model.layer2.weight, 2.0)
    nn.init.constant_(model.layer2.bias, 0.5)
    assert model(tensorgrad.ones(1, 4)).tolist() == [[6.5, 6.5]]


def test_missing_forward():
    class NoForward(nn.Module):
        pass

    with pytest.raises(
        NotImplementedError, match=r'Module \[NoForward\] is missing the required "forward" function'
    ):
        NoForward()(1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda: parameter(1), "cannot assign parameters before Module.__init__() call"),
        (lambda: nn.Linear(1, 1), "cannot assign module before Module.__init__() call"),
        (lambda: nn.Buffer(tensorgrad.ones(1)), "cannot assign buffer before Module.__init__() call"),
    ],
)
def test_assignment_before_init(value, message):
    class Hasty(nn.Module):
        def __init__(self):
            self.member = value()

    with pytest.raises(AttributeError) as caught:
        Hasty()
    assert str(caught.value) == message


def test_plain_attribute_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.size = 3
            super().__init__()

    assert Early().size == 3


def test_init_takes_no_arguments():
    with pytest.raises(TypeError, match=r"Module.__init__\(\) takes 1 positional argument but 3 were given"):
        nn.Module(1, 2)
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'a'"):
        nn.Module(a=1)


def test_assignment_registers_and_replaces():
    module = nn.Module()
    module.x = None
    assert "x" in vars(module)
    module.x = nn.ReLU()
    assert "x" not in vars(module)
    assert list(module._modules) == ["x"]
    module.x = parameter(2)
    assert (list(module._parameters), list(module._modules)) == (["x"], [])
    module.x = None
    assert module._parameters == {"x": None}
    assert module.x is None


def test_assignment_of_the_wrong_type():
    module = nn.Module()
    module.p = parameter(1)
    module.register_buffer("b", tensorgrad.ones(1))
    module.c = nn.ReLU()
    for name, value, message in [
        ("p", 3, "cannot assign 'int' as parameter 'p' (tensorgrad_nn.Parameter or None expected)"),
        (
            "p",
            tensorgrad.ones(1),
            "cannot assign 'tensorgrad.FloatTensor' as parameter 'p' (tensorgrad_nn.Parameter or "
            "None expected)",
        ),
        (
            "b",
            3,
            "cannot assign 'int' as buffer 'b' (tensorgrad_nn.Buffer, tensorgrad.Tensor or None expected)",
        ),
        ("c", 3, "cannot assign 'int' as child module 'c' (tensorgrad_nn.Module or None expected)"),
    ]:
        with pytest.raises(TypeError) as caught:
            setattr(module, name, value)
        assert str(caught.value) == message


@pytest.mark.parametrize("register", ["register_parameter", "register_buffer", "add_module"])
def test_names_that_are_refused(register):
    kind = {"register_parameter": "parameter", "register_buffer": "buffer", "add_module": "module"}[register]
    method = getattr(nn.Module(), register)
    with pytest.raises(TypeError, match=f"{kind} name should be a string. Got int"):
        method(3, None)
    with pytest.raises(KeyError, match=f"{kind} name can.+t be empty string"):
        method("", None)
    with pytest.raises(KeyError, match=f"{kind} name can.+t contain"):
        method("a.b", None)
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        method("forward", None)


def test_values_that_are_refused():
    module = nn.Module()
    with pytest.raises(TypeError, match="cannot assign 'int' object to parameter 'p'"):
        module.register_parameter("p", 3)
    with pytest.raises(TypeError, match="cannot assign 'int' object to buffer 'b'"):
        module.register_buffer("b", 3)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        module.add_module("c", 3)


def test_missing_attribute():
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'nope'"):
        nn.Linear(1, 1).nope
    with pytest.raises(AttributeError):
        del nn.Linear(1, 1).nope
    assert getattr(nn.Module(), "nope", 4) == 4


def test_deletion():
    layer = nn.Linear(1, 1)
    del layer.weight
    assert list(layer._parameters) == ["bias"]
    module = nn.Module()
    module.register_buffer("b", tensorgrad.ones(1), persistent=False)
    del module.b
    assert module._buffers == {} and module._non_persistent_buffers_set == set()


def test_dir_lists_members():
    names = dir(nn.Sequential(nn.ReLU()))
    assert "forward" in names and "training" in names and "0" not in names
    assert "weight" in dir(nn.Linear(1, 1))


def test_buffers():
    module = nn.Module()
    module.register_buffer("saved", tensorgrad.ones(1))
    module.temporary = nn.Buffer(tensorgrad.zeros(1), persistent=False)
    module.register_buffer("nothing", None)
    assert [name for name, _ in module.named_buffers()] == ["saved", "temporary"]
    assert list(module.state_dict()) == ["saved"]
    assert module.nothing is None
    assert type(module.temporary) is type(module.saved)
    assert isinstance(module.temporary, nn.Buffer) and not isinstance(module.saved, nn.Buffer)
    module.saved = tensorgrad.full((1,), 5.0)
    assert [buffer.tolist() for buffer in module.buffers()] == [[5.0], [0.0]]


def test_shared_members_are_yielded_once():
    shared = nn.Linear(1, 1)
    module = nn.Module()
    module.a, module.b, module.w = shared, shared, shared.weight
    names = [name for name, _ in module.named_parameters()]
    assert names == ["w", "a.bias"]
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    assert names == ["w", "a.weight", "a.bias", "b.weight", "b.bias"]
    assert [name for name, _ in module.named_parameters("p", recurse=False)] == ["p.w"]
    assert [name for name, _ in module.named_modules(prefix="q")] == ["q", "q.a"]
    assert [name for name, _ in module.named_modules(remove_duplicate=False)] == ["", "a", "b"]
    assert [name for name, _ in module.named_children()] == ["a"]
    assert list(module.modules()) == [module, shared]
    assert list(module.children()) == [shared]
    assert list(module.parameters()) == [shared.weight, shared.bias]


def test_members_by_path():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.ReLU())
    model[1].register_buffer("count", tensorgrad.zeros(1))
    assert model.get_submodule("") is model
    assert model.get_submodule("0.0") is model[0][0]
    assert model.get_parameter("0.0.weight") is model[0][0].weight
    assert model.get_buffer("1.count") is model[1].count
    for call, message in [
        (lambda: model.get_submodule("5"), "Sequential has no attribute `5`"),
        (lambda: model.get_submodule("0.0.weight"), "`weight` is not an nn.Module"),
        (lambda: model.get_parameter("0.0.nope"), "Linear has no attribute `nope`"),
        (lambda: model.get_parameter("0"), "`0` is not an nn.Parameter"),
        (lambda: model.get_buffer("0.0.weight"), "`weight` is not a buffer"),
    ]:
        with pytest.raises(AttributeError) as caught:
            call()
        assert str(caught.value) == message


def test_set_submodule():
    model = nn.Sequential(nn.Sequential(nn.ReLU()))
    model.set_submodule("0.0", nn.Tanh())
    model.set_submodule("1", nn.Sigmoid())
    assert repr(model) == "Sequential(\n  (0): Sequential(\n    (0): Tanh()\n  )\n  (1): Sigmoid()\n)"
    with pytest.raises(AttributeError, match="Sequential has no attribute `9`"):
        model.set_submodule("9", nn.ReLU(), strict=True)
    with pytest.raises(ValueError, match="Cannot set the submodule without a target name!"):
        model.set_submodule("", nn.ReLU())


def test_train_and_eval():
    model = nn.Sequential(nn.Dropout())
    assert model.eval() is model
    assert not model.training and not model[0].training
    model.train()
    assert model.training and model[0].training
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        model.train("yes")


def test_apply_goes_children_first():
    seen = []
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["ReLU", "Tanh", "Sequential"]


def test_requires_grad_():
    layer = nn.Linear(1, 1).requires_grad_(False)
    assert [one.requires_grad for one in layer.parameters()] == [False, False]


def test_zero_grad_leaves_zeros_by_default():
    layer = nn.Linear(2, 1)
    layer(tensorgrad.ones(3, 2)).sum().backward()
    assert layer.weight.grad.tolist() == [[3.0, 3.0]]
    layer.zero_grad()
    assert layer.weight.grad.tolist() == [[0.0, 0.0]]
    layer.zero_grad(set_to_none=True)
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda module: module.double(), "float64"),
        (lambda module: module.half(), "float16"),
        (lambda module: module.bfloat16(), "bfloat16"),
        (lambda module: module.double().float(), "float32"),
        (lambda module: module.to(tensorgrad.float64), "float64"),
        (lambda module: module.to("cpu", tensorgrad.float64), "float64"),
        (lambda module: module.to(dtype=tensorgrad.float64, device="cpu"), "float64"),
        (lambda module: module.to(tensorgrad.ones(1, dtype=tensorgrad.float64)), "float64"),
        (lambda module: module.cpu(), "float32"),
    ],
)
def test_conversion(convert, dtype):
    module = nn.Linear(1, 1)
    module.register_buffer("steps", tensorgrad.ones(1, dtype=tensorgrad.int64))
    weight = module.weight
    weight.grad = tensorgrad.ones(1, 1)
    assert convert(module) is module
    # The parameter is still the object that an optimizer holds.
    assert module.weight is weight and weight.is_leaf and weight.requires_grad
    assert weight.dtype is weight.grad.dtype is getattr(tensorgrad, dtype)
    assert module.steps.dtype is tensorgrad.int64


def test_conversion_that_is_refused():
    with pytest.raises(TypeError, match="nn.Module.to only accepts floating point or complex dtypes"):
        nn.Linear(1, 1).to(tensorgrad.int32)
    with pytest.raises(TypeError, match=r"to\(\) received an invalid combination of arguments"):
        nn.Linear(1, 1).to(foo=1)


def test_copies():
    model = TinyModel()
    model.eval()
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(nn.Sequential(*model.children())))):
        assert not copied.training if isinstance(copied, TinyModel) else True
        ours, theirs = list(model.parameters()), list(copied.parameters())
        assert [one.tolist() for one in ours] == [one.tolist() for one in theirs]
        assert all(one is not other for one, other in zip(ours, theirs))
        assert all(isinstance(one, nn.Parameter) and one.requires_grad for one in theirs)
