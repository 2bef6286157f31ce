"""pickle, copy.copy and copy.deepcopy of tensors."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorgrad
import tensorgrad_nn
from tensorgrad import Tensor, from_numpy, tensor
from tensorgrad.interop.numpy_bridge import tensor_over
from tensorgrad.interop.pickling import rebuild_tensor

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


class Sub(Tensor):
    """A subclass that pickle finds by name."""


class Slotted(Tensor):
    __slots__ = ("note",)


class Stateful(Tensor):
    def __getstate__(self):
        return {"doubled": self.number * 2}


def round_trip(x, protocol=pickle.DEFAULT_PROTOCOL):
    return pickle.loads(pickle.dumps(x, protocol))


def same_storage(x, y):
    return x.untyped_storage() is y.untyped_storage()


COPIERS = {"pickle": round_trip, "deepcopy": copy.deepcopy}


@pytest.fixture(params=COPIERS)
def copier(request):
    return COPIERS[request.param]


@given(
    st.sampled_from(NAMES).flatmap(
        lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    )
)
def test_values_and_geometry(source):
    for x in (from_numpy(source), from_numpy(source.T), from_numpy(source[::2] if source.ndim else source)):
        for copier in COPIERS.values():
            y = copier(x)
            assert type(y) is Tensor and y.dtype is x.dtype
            assert (y.shape, y.stride(), y.storage_offset()) == (x.shape, x.stride(), x.storage_offset())
            assert y.numpy().tobytes() == x.numpy().tobytes()
            assert not x.numel() or y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocols(protocol):
    x = tensor([1.5, -2.0], dtype=tensorgrad.bfloat16, requires_grad=True)
    y = round_trip(x, protocol)
    assert y.tolist() == [1.5, -2.0] and y.dtype is tensorgrad.bfloat16 and y.requires_grad


def test_views_share_memory(copier):
    x = tensorgrad.arange(6)
    a, b, c = copier([x, x[2:], x.view(2, 3).t()])
    assert same_storage(a, b) and same_storage(a, c) and not same_storage(a, x)
    assert (b.storage_offset(), b.tolist()) == (2, [2, 3, 4, 5])
    assert c.stride() == (1, 3)
    a[3] = 30
    assert b.tolist() == [2, 30, 4, 5] and c[0, 1].item() == 30
    assert x[3].item() == 3


def test_the_same_tensor_stays_the_same(copier):
    x = tensor([1.0])
    a, b = copier([x, x])
    assert a is b


def test_views_take_their_storage_along(copier):
    y = copier(tensorgrad.arange(6)[2:])
    assert (len(y.untyped_storage()), y.storage_offset()) == (48, 2)
    assert copier(tensorgrad.zeros(0, 3)[:, 2:]).shape == (0, 1)


def test_copies_are_leaves_of_their_own(copier):
    x = tensor([1.0, 2.0], requires_grad=True)
    y = copier(x)
    assert y.requires_grad and y.is_leaf and y._version == 0
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0] and x.grad is None


def test_version_counters_are_apart():
    x = tensor([1.0])
    for copier in COPIERS.values():
        y = copier(x)
        y.add_(1)
        assert (x._version, y._version) == (0, 1)


def test_gradients():
    x = tensor([1.0, 2.0], requires_grad=True)
    x.grad = tensor([3.0, 4.0])
    y = copy.deepcopy(x)
    assert y.grad.tolist() == [3.0, 4.0] and y.grad is not x.grad
    assert round_trip(x).grad is None


def test_results():
    x = tensor([1.0], requires_grad=True) * 2
    with pytest.raises(
        RuntimeError,
        match=r"Only Tensors created explicitly by the user \(graph leaves\) support the deepcopy",
    ):
        copy.deepcopy(x)
    y = round_trip(x)
    assert y.requires_grad and y.is_leaf
    assert copy.deepcopy(x.detach()).tolist() == [2.0]


def test_attributes(copier):
    x = tensor([1.0])
    x.names = ["a"]
    x.itself = x
    y = copier(x)
    assert y.names == ["a"] and y.names is not x.names
    assert y.itself is y


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subclasses(protocol):
    x = tensor([1.0, 2.0]).as_subclass(Sub)
    x.number = 3
    for y in (round_trip(x, protocol), copy.deepcopy(x), copy.copy(x)):
        assert type(y) is Sub and y.number == 3 and y.tolist() == [1.0, 2.0]
    x = tensor([1.0]).as_subclass(Slotted)
    x.note, x.number = "n", 3
    for y in (round_trip(x, protocol), copy.deepcopy(x), copy.copy(x)):
        assert (type(y), y.note, y.number) == (Slotted, "n", 3)
    x = tensor([1.0]).as_subclass(Stateful)
    x.number = 3
    assert vars(round_trip(x, protocol)) == {"doubled": 6}


def test_parameters(copier):
    x = tensorgrad_nn.Parameter(tensor([1.0]))
    y = copier(x)
    assert type(y) is tensorgrad_nn.Parameter and y.requires_grad and y.tolist() == [1.0]


def test_copy_shares_memory():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = copy.copy(x)
    assert y is not x and same_storage(x, y) and y.requires_grad


def test_hooks_stay_behind():
    x = tensor([1.0], requires_grad=True)
    x.register_hook(lambda grad: grad)
    with pytest.warns(UserWarning, match="backward hook .* on tensor will not be serialized"):
        y = round_trip(x)
    assert y._backward_hooks is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert copy.deepcopy(x)._backward_hooks is None


def test_inference_tensors(copier):
    with tensorgrad.inference_mode():
        x = tensor([1.0])
    assert x.is_inference() and not copier(x).is_inference()


def test_devices(vault, copier):
    x = tensor([[1.0, 2.0], [3.0, 4.0]], device="vault:1")
    before = len(vault.boxes)
    y = copier(x[1])
    assert len(vault.boxes) == before + 1
    assert str(y.device) == "vault:1" and y.tolist() == [3.0, 4.0]


def test_tensors_of_transforms():
    message = "Cannot access storage of a tensor that belongs to a transform"
    for copier in COPIERS.values():
        with pytest.raises(RuntimeError, match=message):
            tensorgrad.func.vmap(copier)(tensorgrad.ones(2))
        with pytest.raises(RuntimeError, match=message):
            tensorgrad.func.grad(lambda x, copier=copier: copier(x).sum())(tensorgrad.ones(2))


@pytest.mark.parametrize("name", ["int32", "dtype", "Size", "device"])
def test_other_values(name, copier):
    x = tensorgrad.zeros(2, 3, dtype=tensorgrad.int32)
    value = {"int32": tensorgrad.int32}.get(name)
    value = value or {"dtype": x.dtype, "Size": x.shape, "device": x.device}[name]
    result = copier(value)
    assert result == value and type(result) is type(value)


# ---- forged arguments ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "shape, strides, offset",
    [
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((4,), (2,), 0),
        ((2,), (-1,), 0),
        ((1,), (1,), -1),
        ((1,), (1,), 4),
        ((1,), (1,), 2**60),
        ((2**60,), (1,), 0),
        ((2**40, 2**40), (0, 0), 0),
        ((2, 2), (2**62, 2**62), 0),
        ((-1,), (1,), 0),
        ((1,), (), 0),
        ((1,) * 65, (1,) * 65, 0),
        ((0,), (1,), -1),
    ],
)
def test_bounds(shape, strides, offset):
    storage = tensorgrad.zeros(4).untyped_storage()
    with pytest.raises(ValueError):
        rebuild_tensor(Tensor, storage, "float32", shape, strides, offset, False)


def test_more_forged_arguments():
    storage = tensorgrad.zeros(4).untyped_storage()
    with pytest.raises(ValueError):
        rebuild_tensor(Tensor, storage, "float64", (4,), (1,), 0, False)
    with pytest.raises(ValueError, match="there is no dtype 'text'"):
        rebuild_tensor(Tensor, storage, "text", (4,), (1,), 0, False)
    with pytest.raises(TypeError):
        rebuild_tensor(dict, storage, "float32", (4,), (1,), 0, False)
    with pytest.raises(TypeError):
        rebuild_tensor(Tensor, b"1234", "uint8", (4,), (1,), 0, False)
    with pytest.raises(TypeError):
        rebuild_tensor(Tensor, storage, "float32", ("4",), (1,), 0, False)
    with pytest.raises(OverflowError):
        rebuild_tensor(Tensor, storage, "float32", (2**70,), (1,), 0, False)
    with pytest.raises(RuntimeError, match="Only Tensors of floating point"):
        rebuild_tensor(Tensor, storage, "int32", (4,), (1,), 0, True)
    assert tensor_over(Tensor, storage, tensorgrad.float32, (2, 2), (-2, 1), 2, False).shape == (2, 2)


def test_memory(no_leak):
    x = tensorgrad.zeros(1000, requires_grad=True)
    x.note = np.zeros(3)
    x.grad = tensorgrad.ones(1000)
    for _ in range(50):
        round_trip([x, x.detach()[1:]])
        copy.deepcopy([x, x.detach()[1:]])
        copy.copy(x)
    del x
