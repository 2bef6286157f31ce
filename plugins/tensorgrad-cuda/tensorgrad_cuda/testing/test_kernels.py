"""Each hand-written kernel against the CPU: here compiled for the host and run block by block, on a GPU as it is."""

import numpy as np
import pytest

import tensorgrad
import tensorgrad.cuda
from tensorgrad import devices
from tensorgrad.testing.sampling import to_numpy

FLOATS = ["float32", "float64", "float16", "bfloat16"]


def both(function, *tensors):
    """What a function gives on the CPU and on the device."""
    here, there = function(*tensors), function(*[x.to("cuda") for x in tensors])
    here, there = [x if isinstance(x, tuple) else (x,) for x in (here, there)]
    for a, b in zip(here, there, strict=True):
        assert b.device.type == "cuda" and a.dtype is b.dtype and a.shape == b.shape
    return [to_numpy(x) for x in here], [to_numpy(x.cpu()) for x in there]


def agree(function, *tensors, rtol=0.0, atol=0.0):
    for expected, actual in zip(*both(function, *tensors)):
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def integers(shape, dtype="float32", low=-3, high=4):
    tensorgrad.manual_seed(0)
    return tensorgrad.randint(low, high, shape).to(getattr(tensorgrad, dtype))


# ---- reductions: short rows, whole blocks, rows in parts, columns -------------------------------------------
@pytest.mark.parametrize("shape", [(5, 7), (3, 33), (2, 256), (2, 257), (1, 40000), (3, 16385), (600, 130)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int8", "complex64", "uint8"])
def test_sums(shape, dtype, backend):
    x = integers(shape, dtype, 0 if dtype == "uint8" else -3)
    agree(lambda x: (x.sum(0, dtype=x.dtype), x.sum(1, dtype=x.dtype), x.sum(dtype=x.dtype)), x)


@pytest.mark.parametrize("length", [20, 300, 20000])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "bfloat16", "uint16"])
def test_extremes_and_their_places(length, dtype, backend):
    x = integers((2, length), dtype, 0)
    agree(lambda x: (x.amax(1), x.amin(1), x.any(1), x.all(0), x.amax(0)), x)
    if dtype not in ("bool", "uint16"):
        agree(lambda x: (x.argmax(1), x.argmin(1), x.argmax()), x)


@pytest.mark.parametrize("place", [0, 31, 32, 255, 256, 999])
def test_nan_is_the_extreme_and_the_first_of_several(place, backend):
    x = integers((1000,))
    x[place] = float("nan")
    x[999] = float("nan")
    agree(lambda x: (x.amax(), x.amin(), x.argmax(), x.argmin(), x.sum()), x)


def test_products(backend):
    x = 1 + tensorgrad.arange(3000.0).reshape(3, 1000) * 1e-6
    agree(lambda x: (x.prod(1), x.to(tensorgrad.complex128).prod(1)), x.double(), rtol=1e-12)


# ---- scans: a thread a row, tiles of a block, parts of a row ---------------------------------------------------
@pytest.mark.parametrize("shape", [(4, 30), (4, 255), (4, 256), (4, 257), (2, 20000), (1, 100001)])
@pytest.mark.parametrize("dtype", ["float64", "int64", "complex128", "int16"])
def test_cumulative_sums(shape, dtype, backend):
    x = integers(shape, dtype)
    agree(lambda x: (x.cumsum(1, dtype=x.dtype), x.cumsum(0, dtype=x.dtype), x.t().cumsum(0, dtype=x.dtype)), x)


def test_cumulative_products(backend):
    x = 1 + tensorgrad.arange(40000.0).reshape(2, 20000).double() * 1e-9
    agree(lambda x: x.cumprod(1), x, rtol=1e-12)


# ---- gather and scatter -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int16", "int32", "int64", "uint8", "complex64", "complex128"])
def test_scattered_additions_are_complete(dtype, backend):
    """Many into few places, so that they collide: 16-bit numbers and bytes share words."""
    count = 600 if dtype in ("float16", "bfloat16", "int8", "uint8") else 5000
    index = tensorgrad.arange(count) % 5
    ones = tensorgrad.ones(count, dtype=getattr(tensorgrad, dtype))
    if dtype in ("float16", "bfloat16", "int8", "uint8"):
        index, ones = index[:500], ones[:500]
    agree(lambda i, v: tensorgrad.zeros(7, dtype=v.dtype, device=v.device).scatter_add(0, i, v), index, ones)


@pytest.mark.parametrize("mode", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("shape", [(3, 200), (70000, 3)])
@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        "float16",
        "bfloat16",
        "float64",
        "bool",
        "int8",
        "int16",
        "int64",
        "uint64",
        "complex64",
        "complex128",
    ],
)
def test_scattered_reductions(dtype, shape, mode, backend):
    """By atomic operations, and where there are many rows by threads that walk along them; small powers are exact."""
    if mode in ("max", "min") and dtype.startswith("complex"):
        return
    tensorgrad.manual_seed(1)
    index = tensorgrad.randint(0, 9, shape)
    x = tensorgrad.where(tensorgrad.arange(index.numel()).reshape(shape) % 37 == 0, 2, 1).to(getattr(tensorgrad, dtype))
    out = tensorgrad.ones(shape[0], 9, dtype=x.dtype)
    expected = to_numpy(out).copy()
    function = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[mode]
    function.at(expected, (np.arange(shape[0])[:, None], index.numpy()), to_numpy(x))
    there = [t.to("cuda") for t in (out, index, x)]
    o, i, v = [devices.device_array(t) for t in there]
    assert backend.scatter(mode, o, 1, i, v) is None
    np.testing.assert_array_equal(to_numpy(there[0].cpu()), expected)


def test_scattered_values_and_gathered_ones(backend):
    x = integers((40, 30), "int16")
    tensorgrad.manual_seed(2)
    order = tensorgrad.randperm(40)
    index = order[:, None].expand(40, 30).contiguous()
    agree(lambda x, i: (x.gather(0, i), tensorgrad.zeros_like(x).scatter(0, i, x), x.t().gather(1, i.t())), x, index)


# ---- matrix products -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["int64", "int8", "uint16", "float32", "bfloat16", "complex64", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 16, 16), (17, 33, 15), (3, 70, 40)])
def test_matrix_products(shape, dtype, backend):
    m, k, n = shape
    low = 0 if dtype == "uint16" else -3
    a, b = integers((2, m, k), dtype, low), integers((2, n, k), dtype, low)
    agree(lambda a, b: (a @ b.mT, a.mT @ a, a[0] @ b[1].t(), b[:, :, ::2] @ a[:, :, ::2].mT), a, b)


def test_batches_that_no_single_stride_describes(backend):
    a = integers((2, 3, 4, 5)).permute(1, 0, 2, 3)
    b = integers((2, 5, 4))
    agree(lambda a, b: (a @ b, b.mT[:, None] @ a.permute(1, 0, 3, 2), a.expand(3, 2, 4, 5) @ b[:1]), a, b)
    c = integers((4, 4))
    agree(lambda a, b, c: (tensorgrad.addmm(c.t(), a[0, 0], b[0]), tensorgrad.baddbmm(c[None], a[0], b)), a, b, c)


# ---- random numbers --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(1,), (1001,), (7, 301)])
def test_random_numbers_are_the_cpus(shape, backend):
    def drawn(device):
        tensorgrad.manual_seed(77)
        results = [tensorgrad.rand(shape, dtype=getattr(tensorgrad, dtype), device=device) for dtype in FLOATS]
        results += [
            tensorgrad.randint(-(2**62), 2**62, shape, device=device),
            tensorgrad.empty(shape, device=device).bernoulli_(0.3),
        ]
        return [to_numpy(x.cpu()) for x in results]

    for expected, actual in zip(drawn("cpu"), drawn("cuda"), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("float64", 1e-13), ("complex64", 1e-5)])
def test_normal_numbers_are_the_cpus(dtype, rtol, backend):
    def drawn(device):
        tensorgrad.manual_seed(78)
        return to_numpy(tensorgrad.randn(501, dtype=getattr(tensorgrad, dtype), device=device).cpu())

    np.testing.assert_allclose(drawn("cuda"), drawn("cpu"), rtol=rtol, atol=rtol / 10)


# ---- fused operators -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype, rtol", [("float32", 3e-5), ("float64", 1e-12), ("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize(
    "shape, dim", [((3, 10), 1), ((3, 32), 1), ((3, 33), 1), ((2, 1000), 1), ((300, 4), 0), ((2, 40, 3), 1)]
)
def test_softmax_and_its_gradients(shape, dim, dtype, rtol, backend):
    tensorgrad.manual_seed(3)
    x = (3 * tensorgrad.randn(shape)).to(getattr(tensorgrad, dtype))
    weights = tensorgrad.randn(shape).to(x.dtype)

    def run(x, weights):
        x = x.detach().requires_grad_()
        y, z = x.softmax(dim), x.log_softmax(dim)
        gradients = [tensorgrad.autograd.grad(t, [x], [weights])[0] for t in (y, z)]
        return y.detach(), z.detach(), *gradients

    agree(run, x, weights, rtol=rtol, atol=rtol)


def test_softmax_of_extremes(backend):
    x = tensorgrad.tensor([[1e4, -1e4, 0.0], [float("-inf"), 0.0, 1.0]])
    agree(lambda x: (x.softmax(1), x.log_softmax(1)), x, rtol=1e-6)


def test_softmax_is_one_kernel(backend):
    x = tensorgrad.ones(3, 5, device="cuda")
    backend.start_profiling()
    x.softmax(1)
    assert [time.name for time in backend.stop_profiling()] == ["softmax"]


@pytest.mark.parametrize("dtype, rtol", [("float32", 3e-5), ("float64", 1e-12), ("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("shape, rank", [((3, 10), 1), ((4, 33), 1), ((2, 700), 1), ((2, 5, 40), 2), ((300, 8), 1)])
def test_layer_norm(shape, rank, dtype, rtol, backend):
    tensorgrad.manual_seed(4)
    x = (100 + tensorgrad.randn(shape)).to(getattr(tensorgrad, dtype))
    w, b = [tensorgrad.randn(shape[-rank:]).to(x.dtype) for _ in range(2)]
    run = tensorgrad.native_layer_norm
    if dtype in ("float16", "bfloat16"):
        x = x - 100
    agree(lambda x, w, b: run(x, shape[-rank:], w, b, 1e-5), x, w, b, rtol=30 * rtol, atol=100 * rtol)
    agree(lambda x, w: run(x, shape[-rank:], w, None, 1e-5), x, w, rtol=30 * rtol, atol=100 * rtol)
    backend.start_profiling()
    run(x.to("cuda"), shape[-rank:], w.to("cuda"), None, 1e-5)
    assert "layer_norm" in [time.name for time in backend.stop_profiling()]


# ---- elementwise kernels and copies -----------------------------------------------------------------------------
def test_many_dimensions(backend):
    x = integers((2,) * 10)
    agree(
        lambda x: (
            x.permute(9, 1, 3, 5, 7, 0, 2, 4, 6, 8) * 2 + x,
            x[::2, :, ::2].permute(2, 1, 0, *range(3, 10)).clone(),
        ),
        x,
    )


def test_more_elements_than_threads(backend):
    x = tensorgrad.arange(1 << 17, dtype=tensorgrad.int32)
    agree(lambda x: (x * 3 - 1, x.reshape(256, 512).t().contiguous(), x.flip(0)), x)


def test_half_rounds_as_the_cpu_does(backend):
    bits = tensorgrad.arange(-32768, 32768).to(tensorgrad.int16)
    halves = bits.view(tensorgrad.float16)
    agree(lambda x: x.float(), halves)
    tensorgrad.manual_seed(5)
    floats = tensorgrad.randn(5000) * tensorgrad.tensor([1e-8, 1e-5, 1.0, 1e4, 1e6])[tensorgrad.arange(5000) % 5]
    for dtype in (tensorgrad.float16, tensorgrad.bfloat16):
        agree(lambda x, dtype=dtype: x.to(dtype), floats)
