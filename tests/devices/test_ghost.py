"""The core's side of the contract, as the ghost device shows it; what every device does is in the conformance suite."""

import numpy as np
import pytest

import tensorgrad
from tensorgrad import devices
from tensorgrad.devices.reference import philox
from tensorgrad.devices.reference.expression import evaluate


def values(x):
    x = x.detach().cpu()
    return (x.float() if x.dtype is tensorgrad.bfloat16 else x).numpy()


# ---- expressions -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "expression, value",
    [
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("1 + 2 * 3 << 1", 14),
        ("1 | 6 & 3 ^ 1", 3),
        ("1 < 2 == 1", True),
        ("0 ? 1 : 0 ? 2 : 3", 3),
        ("1 || 0 && 0", True),
        ("!3 + ~0", -1),
        ("-(T)1 - -1", 0),
        ("(uint64_t)-1 > 0 ? sizeof(T) : 0", 4),
        ("0x10 + .5f + 1e1", 26.5),
        ("1.5f * 2", 3.0),
        ("(int8_t)200", -56),
        ("(_Bool)0.5", True),
        ("tg_max(tg_abs(-3), 2)", 3),
        ("INFINITY", np.inf),
    ],
)
def test_expression(expression, value):
    assert evaluate(expression, {}, np.int32) == value


def test_small_integers_are_computed_as_int():
    x, y = np.uint8(200), np.uint8(100)
    assert evaluate("x + y", {"x": x, "y": y}, np.uint8) == 300
    assert evaluate("-x", {"x": x}, np.uint8) == -200


@pytest.mark.parametrize("expression", ["1 +", "(1", "tg_abs(1", "1 2", "x @ 1", "1 ? 2"])
def test_expression_that_is_not_c(expression):
    with pytest.raises(SyntaxError):
        evaluate(expression, {"x": 1.0}, np.float32)


# ---- random numbers ----------------------------------------------------------------------------------
def test_philox_gives_the_known_answer():
    """The first vector of Random123's kat_vectors for philox4x32-10."""
    assert [hex(w) for w in philox.words(0, 0, 4)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def test_numbers_come_to_kernels_as_the_dtype_holds_them(ghost):
    x = tensorgrad.tensor([1, 2], dtype=tensorgrad.int8)
    wide = tensorgrad.tensor(300)
    assert (x.to("ghost") + wide).tolist() == (x + wide).tolist() == [45, 46]
    with pytest.raises(RuntimeError, match="value cannot be converted to type int8 without overflow"):
        x.to("ghost") + 300


# ---- memory --------------------------------------------------------------------------------------------


def test_running_out_of_memory(ghost):
    x = tensorgrad.ones(4, device="ghost")
    with ghost.refusing_memory():
        with pytest.raises(tensorgrad.OutOfMemoryError, match="ghost:0 out of memory.* 16 bytes") as caught:
            x + 1
        assert isinstance(caught.value.__cause__, MemoryError)
        assert x.add_(1).tolist() == [2.0] * 4, "in place nothing is needed"
    assert (x + 1).tolist() == [3.0] * 4


def test_no_pointer_leads_to_the_memory(ghost):
    x = tensorgrad.ones(4, device="ghost")
    assert x.data_ptr() == 0
    assert x.untyped_storage().nbytes() == 16
    with pytest.raises(TypeError):
        x.numpy()
    assert not isinstance(next(iter(ghost._buffers)), int)


# ---- devices by number -----------------------------------------------------------------------------------
def test_two_devices_of_one_type(ghost):
    x = tensorgrad.arange(6.0, device="ghost:1").reshape(2, 3)
    assert str(x.device) == "ghost:1" and x.device.index == 1 and x.get_device() == 1
    assert (x.t() * 2).to("ghost:0").sum().item() == 30.0
    assert {owner for _, owner in ghost._buffers.values()} >= {1}


def test_the_current_device_is_the_one_without_a_number(ghost):
    ghost.set_device(1)
    assert tensorgrad.ones(2, device="ghost").device == tensorgrad.device("ghost:1")


def test_a_device_that_does_not_exist(ghost):
    with pytest.raises(RuntimeError, match="device 'ghost:2' does not exist: the backend has 2 device"):
        tensorgrad.ones(2, device="ghost:2")


def test_a_device_that_is_not_available(ghost, monkeypatch):
    class Hidden(type(ghost)):
        def is_available(self):
            return False

        def unavailable_reason(self):
            return "the ghost was told to hide"

    devices.register_backend("hidden_ghost", Hidden())
    with pytest.raises(RuntimeError, match="no device of type 'hidden_ghost' is available: .* told to hide"):
        tensorgrad.ones(2, device="hidden_ghost")
    row = next(row for row in devices.list() if row.name == "hidden_ghost")
    assert (row.state, row.devices, row.error) == ("loaded", 0, "the ghost was told to hide")


# ---- kernels ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("device", ["cpu", "ghost"])
def test_an_index_out_of_range(device, ghost):
    x = tensorgrad.ones(3, 2, device=device)
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 0 with size 3"):
        x.gather(0, tensorgrad.tensor([[7, 0]], device=device))
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        x[tensorgrad.tensor([1, 5], device=device)]
    with pytest.raises(IndexError, match="index -1 is out of bounds"):
        x.scatter_add(0, tensorgrad.tensor([[-1, 0]], device=device), x[:1])


def test_a_missing_kernel_is_told_by_the_operators_name(ghost, monkeypatch):
    x = tensorgrad.ones(2, 2, device="ghost")
    monkeypatch.setattr(ghost, "matmul", None)
    with pytest.raises(NotImplementedError, match="\"matmul\" not implemented for 'Float' on ghost:0"):
        x @ x

    def pointwise(name, expression, dtype, out, operands):
        raise NotImplementedError(f"no {dtype} here")

    monkeypatch.setattr(ghost, "pointwise", pointwise)
    with pytest.raises(NotImplementedError, match='"sin" not implemented for .* on ghost:0: no float32 here'):
        x.sin()
    with pytest.raises(NotImplementedError, match="\"bitwise_and\" not implemented for 'Float' on ghost:0"):
        x & x


@pytest.mark.parametrize("name", ["scan", "sort"])
def test_optional_kernels_replace_the_decomposition(name, ghost, monkeypatch):
    tensorgrad.manual_seed(0)
    x = tensorgrad.randn(5, 7).to("ghost")
    x[2, 3] = float("nan")
    results = []
    for _ in range(2):
        results.append([*x.sort(0), *x.sort(1, descending=True), x.cumsum(1), x.cumprod(0), *x.topk(2)])
        monkeypatch.setattr(ghost, name, getattr(ghost, f"numpy_{name}"), raising=False)
    assert {"scan": "scan_sum", "sort": "sort"}[name] in ghost.calls
    for with_kernel, without in zip(*results):
        np.testing.assert_allclose(values(with_kernel), values(without), rtol=1e-6)


def test_what_a_kernel_is_called_with(ghost, monkeypatch):
    seen = []
    monkeypatch.setattr(ghost, "pointwise", lambda *args: seen.append(args))
    x = tensorgrad.zeros(2, 3, dtype=tensorgrad.int64, device="ghost")
    x[:, 1:].t().mul(2.5)
    (name, expression, dtype, out, (a, b)) = seen.pop()
    assert (name, expression, dtype, b) == ("mul", "x * y", "float32", 2.5)
    assert isinstance(a, devices.DeviceArray)
    assert (a.dtype, a.shape, a.strides, a.offset, a.itemsize) == ("int64", (2, 2), (1, 3), 8, 8)
    assert (out.dtype, out.ndim, out.numel, out.device_index) == ("float32", 2, 4, 0)
    assert "int64" in repr(a) and "ghost memory" in repr(a)
