"""The thread pool, and that no result depends on the number of threads."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad
from tensorgrad import _threads

COUNTS = (1, 2, 3)
# Around the sizes at which work is shared, and the chunks that it is cut into.
EDGES = (1023, 1024, 1025, 16384, 32767, 32768, 32769, 65535, 65536, 65537, 81920, 131071, 131073)


@pytest.fixture(autouse=True)
def number_of_threads_is_put_back():
    before = tensorgrad.get_num_threads()
    yield
    tensorgrad.set_num_threads(before)


def with_each_count(function):
    """The results of a function of no arguments with 1, 2 and 3 threads, as arrays."""
    results = []
    for count in COUNTS:
        tensorgrad.set_num_threads(count)
        out = function()
        results.append([x.numpy() for x in (out if isinstance(out, (tuple, list)) else (out,))])
    return results


def assert_same_bits(function):
    first, *others = with_each_count(function)
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert a.tobytes() == b.tobytes()
    return first


def numbers(shape, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("int") or dtype.startswith("uint"):
        return rng.integers(0, 100, shape).astype(dtype)
    x = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


# ---- results ---------------------------------------------------------------------------------------
REDUCTIONS = {
    "sum": (lambda x, d: x.sum(d), lambda a, d: a.sum(d, dtype="float64")),
    "mean": (lambda x, d: x.mean(d), lambda a, d: a.mean(d, dtype="float64")),
    "amax": (lambda x, d: x.amax(d), lambda a, d: a.max(d)),
    "amin": (lambda x, d: x.amin(d), lambda a, d: a.min(d)),
    "argmax": (lambda x, d: x.argmax(d), lambda a, d: a.argmax(d)),
    "argmin": (lambda x, d: x.argmin(d), lambda a, d: a.argmin(d)),
    "var": (lambda x, d: x.var(d), lambda a, d: a.astype("float64").var(d, ddof=1)),
    "any": (lambda x, d: (x > 3).any(d), lambda a, d: (a > 3).any(d)),
    "all": (lambda x, d: (x > -9).all(d), lambda a, d: (a > -9).all(d)),
    "logsumexp": (lambda x, d: x.logsumexp(d), lambda a, d: np.log(np.exp(a.astype("float64")).sum(d))),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((200_000,), 0), ((3, 70_000), 1), ((400, 500), 1), ((400, 500), 0), ((30_000, 7), 0), ((7, 30, 400), 1)],
    ids=str,
)
def test_reductions_have_the_same_bits_for_any_number_of_threads(name, shape, dim):
    ours, reference = REDUCTIONS[name]
    a = numbers(shape)
    (found,) = assert_same_bits(lambda: ours(tensorgrad.from_numpy(a), dim))
    np.testing.assert_allclose(found, reference(a, dim), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64", "complex64", "int32", "bool", "uint8"])
def test_sums_of_every_kind_of_dtype(dtype):
    a = numbers((301, 333), dtype)
    for dim in (None, 0, 1):
        (found,) = assert_same_bits(
            lambda: tensorgrad.from_numpy(a).sum() if dim is None else tensorgrad.from_numpy(a).sum(dim)  # noqa: B023
        )
        wide = a.astype("complex128" if dtype == "complex64" else "float64").sum(dim)
        np.testing.assert_allclose(found, wide, rtol=2e-3 if dtype == "float16" else 1e-5, atol=1e-2)


@given(
    n=st.sampled_from(EDGES),
    step=st.sampled_from([1, 2, 3]),
    start=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None)
def test_sum_and_extrema_around_chunk_boundaries(n, step, start):
    a = numbers(start + n * step)[start::step]
    x = tensorgrad.from_numpy(a)
    total, least, where = assert_same_bits(lambda: (x.sum(), x.min(), x.argmin()))
    np.testing.assert_allclose(total, a.sum(dtype="float64"), atol=1e-2)
    assert least == a.min() and where == a.argmin()


@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    transposed=st.booleans(),
    row_step=st.integers(1, 3),
    column_step=st.integers(1, 3),
    dtype=st.sampled_from(["float32", "float64", "float16", "int64"]),
)
@settings(max_examples=30, deadline=None)
def test_strided_operators_agree_with_numpy(rows, columns, transposed, row_step, column_step, dtype):
    a = numbers((rows * row_step, columns * column_step), dtype)[::row_step, ::column_step]
    b = numbers(a.shape[1], dtype, seed=1)
    x, y = tensorgrad.from_numpy(a), tensorgrad.from_numpy(b)
    if transposed:
        a, x, b, y = a.T, x.t(), b[:, None], y[:, None]
    total, copied, wide, negated = assert_same_bits(lambda: (x + y, x.contiguous(), x.double(), -x))
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(copied, a)
    np.testing.assert_array_equal(wide, a.astype("float64"))
    np.testing.assert_array_equal(negated, -a)


@pytest.mark.parametrize("n", EDGES)
def test_elementwise_at_the_edges(n):
    a, b = numbers(n), numbers(n, seed=1)
    x, y = tensorgrad.from_numpy(a), tensorgrad.from_numpy(b)
    total, scaled, chosen, tested = assert_same_bits(lambda: (x + y, x * 2, tensorgrad.where(x > y, x, y), x < y))
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(scaled, a * 2)
    np.testing.assert_array_equal(chosen, np.maximum(a, b))
    np.testing.assert_array_equal(tested, a < b)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_scans(dim, dtype):
    a = numbers((301, 303), dtype)
    x = tensorgrad.from_numpy(a)
    sums, maxima = assert_same_bits(lambda: (x.cumsum(dim), x.cummax(dim)[0] if hasattr(x, "cummax") else x))
    np.testing.assert_allclose(sums, a.astype("float64").cumsum(dim), rtol=1e-5, atol=1e-4)
    if hasattr(x, "cummax"):
        np.testing.assert_array_equal(maxima, np.maximum.accumulate(a, dim))


def test_indexing_and_sorting():
    a = numbers((700, 130))
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 700, 900)
    each = rng.integers(0, 130, (700, 130))
    x, i, j = tensorgrad.from_numpy(a), tensorgrad.from_numpy(rows), tensorgrad.from_numpy(each)
    source = tensorgrad.from_numpy(numbers((900, 130), seed=3))
    taken, gathered, added, scattered, values, order = assert_same_bits(
        lambda: (
            x.index_select(0, i),
            x.gather(1, j),
            x.index_add(0, i, source),
            x.scatter_add(1, j, x),
            *x.sort(1),
        )
    )
    np.testing.assert_array_equal(taken, a[rows])
    np.testing.assert_array_equal(gathered, np.take_along_axis(a, each, 1))
    expected = a.copy()
    np.add.at(expected, rows, source.numpy())
    np.testing.assert_array_equal(added, expected)  # the same order of additions
    expected = a.copy()
    np.add.at(expected, (np.arange(700)[:, None], each), a)
    np.testing.assert_array_equal(scattered, expected)
    np.testing.assert_array_equal(values, np.sort(a, 1))
    np.testing.assert_array_equal(order, np.argsort(a, 1, kind="stable"))


@pytest.mark.parametrize("draw", ["rand", "randn", "randint", "bernoulli"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_random_draws_do_not_depend_on_threads(draw, dtype):
    dtype = getattr(tensorgrad, dtype)

    def drawn():
        tensorgrad.manual_seed(7)
        if draw == "randint":
            return tensorgrad.randint(0, 1000, (100_001,))
        if draw == "bernoulli":
            return tensorgrad.full((100_001,), 0.3, dtype=dtype).bernoulli()
        return getattr(tensorgrad, draw)(100_001, dtype=dtype)

    (values,) = assert_same_bits(drawn)
    assert 0.2 < values.astype("float64").std() and len(np.unique(values)) > 1


@pytest.mark.parametrize(
    ("m", "k", "n"), [(300, 200, 250), (16, 1000, 100), (1000, 16, 100), (1, 600, 700), (600, 700, 1), (129, 131, 257)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64", "float16"])
def test_products_that_threads_share(m, k, n, dtype):
    a, b = numbers((m, k), dtype), numbers((k, n), dtype, seed=1)
    wide = "complex128" if dtype == "complex64" else "float64" if dtype != "int64" else dtype
    expected = a.astype(wide) @ b.astype(wide)
    tolerance = {"float16": 0.5, "float32": 1e-3, "complex64": 1e-3, "float64": 1e-10, "int64": 0}[dtype]
    x, y = tensorgrad.from_numpy(a), tensorgrad.from_numpy(b)
    xt, yt = tensorgrad.from_numpy(np.ascontiguousarray(a.T)).t(), tensorgrad.from_numpy(np.ascontiguousarray(b.T)).t()
    for products in with_each_count(lambda: (x @ y, xt @ y, x @ yt, xt @ yt)):
        for found in products:
            np.testing.assert_allclose(found, expected, rtol=1e-2 if dtype == "float16" else 1e-5, atol=tolerance)


def test_batches_that_threads_share():
    a, b = numbers((64, 32, 32)), numbers((64, 32, 32), seed=1)
    x, y = tensorgrad.from_numpy(a), tensorgrad.from_numpy(b)
    (found,) = assert_same_bits(lambda: x @ y)
    np.testing.assert_allclose(found, a @ b, rtol=1e-4, atol=1e-4)


def test_large_fills_and_ranges():
    filled, pattern, column, counted = assert_same_bits(
        lambda: (
            tensorgrad.full((100_003,), 1.5),
            tensorgrad.full((50_001,), 1 + 2j),
            tensorgrad.zeros(300, 400).fill_(3),
            tensorgrad.arange(100_003),
        )
    )
    assert (filled == 1.5).all() and (pattern == 1 + 2j).all() and (column == 3).all()
    np.testing.assert_array_equal(counted, np.arange(100_003))


# ---- fused kernels -----------------------------------------------------------------------------------
def with_gradients(function, *arrays):
    """The result of a function, and the gradients of its arguments."""
    inputs = [tensorgrad.from_numpy(a.copy()).requires_grad_() for a in arrays]
    out = function(*inputs)
    out.backward(tensorgrad.from_numpy(numbers(tuple(out.shape), str(arrays[0].dtype), seed=9)))
    return (out.detach(), *(x.grad for x in inputs))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "dim"), [((301, 203), 1), ((301, 203), 0), ((3, 70, 301), 1), ((70_001,), 0), ((20_000, 3), 1)])
def test_softmax_and_its_gradient(shape, dim, dtype):
    a = numbers(shape, dtype)
    out, grad, logs, log_grad = assert_same_bits(
        lambda: (
            *with_gradients(lambda x: tensorgrad.softmax(x, dim), a),
            *with_gradients(lambda x: tensorgrad.log_softmax(x, dim), a),
        )
    )
    g, wide = numbers(shape, dtype, seed=9).astype("float64"), np.exp(a.astype("float64"))
    expected = wide / wide.sum(dim, keepdims=True)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(out, expected, **tolerance)
    np.testing.assert_allclose(grad, expected * (g - (g * expected).sum(dim, keepdims=True)), **tolerance)
    np.testing.assert_allclose(logs, np.log(expected), **tolerance)
    tolerance["atol"] *= 10
    np.testing.assert_allclose(log_grad, g - expected * g.sum(dim, keepdims=True), **tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 7), (3000, 17), (301, 203), (17, 9001)])
def test_layer_norm_and_its_gradients(shape, dtype):
    a, w, b = numbers(shape, dtype), numbers(shape[1], dtype, 1), numbers(shape[1], dtype, 2)
    out, dx, dw, db = assert_same_bits(
        lambda: with_gradients(lambda x, w, b: tensorgrad.layer_norm(x, shape[1:], w, b), a, w, b)
    )
    g, wide = numbers(shape, dtype, seed=9).astype("float64"), a.astype("float64")
    r = 1 / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    z = (wide - wide.mean(1, keepdims=True)) * r
    h = g * w
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(out, z * w + b, **tolerance)
    np.testing.assert_allclose(dw, (g * z).sum(0), **tolerance)
    np.testing.assert_allclose(db, g.sum(0), **tolerance)
    np.testing.assert_allclose(dx, r * (h - h.mean(1, keepdims=True) - z * (h * z).mean(1, keepdims=True)), **tolerance)


@pytest.mark.parametrize("shape", [(5000, 10), (300, 11, 13)])
def test_cross_entropy_of_classes(shape):
    a = numbers(shape)
    rng = np.random.default_rng(3)
    classes = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target = tensorgrad.from_numpy(classes)
    loss, grad = assert_same_bits(
        lambda: with_gradients(lambda x: tensorgrad.cross_entropy(x, target, label_smoothing=0.1), a)
    )
    wide = a.astype("float64")
    logs = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    picked = np.take_along_axis(logs, classes[:, None], 1)[:, 0]
    np.testing.assert_allclose(loss, (-0.9 * picked - 0.1 * logs.mean(1)).mean(), rtol=1e-5)
    ones = np.zeros(shape)
    np.put_along_axis(ones, classes[:, None], 1, 1)
    scale = numbers((), seed=9) / classes.size
    np.testing.assert_allclose(grad, scale * (np.exp(logs) - 0.9 * ones - 0.1 / shape[1]), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("index", [0, 2500, 4999])
def test_a_class_out_of_bounds_is_found_by_any_thread(index):
    classes = np.zeros(5000, "int64")
    classes[index] = 10
    x, target = tensorgrad.from_numpy(numbers((5000, 10))), tensorgrad.from_numpy(classes)
    for count in COUNTS:
        tensorgrad.set_num_threads(count)
        with pytest.raises(IndexError, match="Target 10 is out of bounds"):
            tensorgrad.cross_entropy(x, target)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("images", "kernels", "arguments"),
    [
        ((33, 3, 14, 13), (8, 3, 3, 3), (1, 1, 1, 1)),  # directly
        ((17, 4, 15, 16), (6, 2, 3, 3), (2, 1, 1, 2)),  # by the matrix of windows, in groups
        ((9, 40, 12, 12), (35, 40, 3, 3), (1, 1, 1, 1)),  # many channels
        ((1, 40, 20, 20), (35, 40, 1, 1), (1, 0, 1, 1)),  # one image, pointwise
    ],
    ids=str,
)
def test_convolutions_and_their_gradients(images, kernels, arguments, dtype):
    x, w, b = numbers(images, dtype), numbers(kernels, dtype, 1), numbers(kernels[0], dtype, 2)
    stride, padding, dilation, groups = arguments
    # The product of a single image is shared as any other, and BLAS may add up its parts in another order.
    results = with_each_count if images[0] == 1 else assert_same_bits
    found = results(
        lambda: with_gradients(lambda x, w, b: tensorgrad.conv2d(x, w, b, stride, padding, dilation, groups), x, w, b)
    )
    out, dx, dw, db = found[-1] if images[0] == 1 else found
    # The same, tap by tap.
    g = numbers(out.shape, dtype, seed=9).astype("float64")
    n, _, height, width = out.shape
    padded = np.pad(x.astype("float64"), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    wide = w.astype("float64").reshape(groups, -1, *kernels[1:])
    y, gx, gw = np.zeros(out.shape), np.zeros_like(padded), np.zeros_like(wide)
    for i in range(kernels[2]):
        for j in range(kernels[3]):
            place = (
                slice(None), slice(None),
                slice(i * dilation, i * dilation + stride * (height - 1) + 1, stride),
                slice(j * dilation, j * dilation + stride * (width - 1) + 1, stride),
            )
            taken = padded[place].reshape(n, groups, kernels[1], height, width)
            slopes = g.reshape(n, groups, -1, height, width)
            y += np.einsum("goc,ngchw->ngohw", wide[..., i, j], taken).reshape(out.shape)
            gw[..., i, j] = np.einsum("ngohw,ngchw->goc", slopes, taken)
            gx[place] += np.einsum("goc,ngohw->ngchw", wide[..., i, j], slopes).reshape(n, -1, height, width)
    inner = (slice(None), slice(None), slice(padding, padding + images[2]), slice(padding, padding + images[3]))
    tolerance = {"rtol": 1e-3, "atol": 2e-3} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(out, y + b.reshape(-1, 1, 1), **tolerance)
    np.testing.assert_allclose(dx, gx[inner], **tolerance)
    np.testing.assert_allclose(dw, gw.reshape(kernels), **tolerance)
    np.testing.assert_allclose(db, g.sum((0, 2, 3)), **tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pooling_and_its_gradients(dtype):
    a = numbers((37, 5, 16, 14), dtype)
    largest, largest_grad, mean, mean_grad = assert_same_bits(
        lambda: (
            *with_gradients(lambda x: tensorgrad.max_pool2d(x, 2), a),
            *with_gradients(lambda x: tensorgrad.avg_pool2d(x, 2), a),
        )
    )
    windows = a.reshape(37, 5, 8, 2, 7, 2).transpose(0, 1, 2, 4, 3, 5).reshape(37, 5, 8, 7, 4)
    g = numbers((37, 5, 8, 7), dtype, seed=9)
    np.testing.assert_array_equal(largest, windows.max(-1))
    np.testing.assert_allclose(mean, windows.mean(-1), rtol=1e-5, atol=1e-6)
    each = mean_grad.reshape(37, 5, 8, 2, 7, 2).transpose(0, 1, 2, 4, 3, 5).reshape(windows.shape)
    np.testing.assert_array_equal(each, np.broadcast_to((g / 4)[..., None], windows.shape))
    each = largest_grad.reshape(37, 5, 8, 2, 7, 2).transpose(0, 1, 2, 4, 3, 5).reshape(windows.shape)
    np.testing.assert_array_equal(each, np.where(windows == windows.max(-1, keepdims=True), g[..., None], 0))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "complex64"])
def test_steps_of_optimisers(dtype):
    n = 70_003

    def stepped():
        real = numbers(n, "complex64" if dtype == "complex64" else "float32")
        p, g, m, v = (tensorgrad.from_numpy(abs(real) + k if k == 3 else real + k).to(getattr(tensorgrad, dtype)) for k in range(4))
        q, b = p.clone(), m.clone()
        step = tensorgrad.tensor(3.0)
        tensorgrad._fused_sgd_([q], [g], [b], weight_decay=0.1, momentum=0.9, lr=0.01, dampening=0.0, nesterov=True,
                               maximize=False, is_first_step=False)
        tensorgrad._fused_adam_([p], [g], [m], [v], [], [step], lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8,
                                amsgrad=False, maximize=False)
        return [x.float() if dtype == "bfloat16" else x for x in (q, b, p, m, v)]

    q, b, *_ = assert_same_bits(stepped)
    if dtype in ("float32", "float64"):
        real = numbers(n).astype("float64")
        slope = real + 1 + 0.1 * real
        buffer = 0.9 * (real + 2) + slope
        np.testing.assert_allclose(b, buffer, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(q, real - 0.01 * (slope + 0.9 * buffer), rtol=1e-4, atol=1e-5)


# ---- the pool --------------------------------------------------------------------------------------
def test_number_of_threads_can_be_set():
    for count in (3, 1, 2):
        tensorgrad.set_num_threads(count)
        assert tensorgrad.get_num_threads() == count


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, RuntimeError, "set_num_threads expects a positive integer"),
        (-2, RuntimeError, "set_num_threads expects a positive integer"),
        (1.5, RuntimeError, "set_num_threads expects an int, but got float"),
        ("2", RuntimeError, "set_num_threads expects an int, but got str"),
        (True, RuntimeError, "set_num_threads expects an int, but got bool"),
        (None, RuntimeError, "set_num_threads expects an int, but got NoneType"),
        (257, ValueError, "at most 256 threads"),
        (10**30, ValueError, "at most 256 threads"),
    ],
)
def test_bad_numbers_of_threads_are_refused(value, error, message):
    before = tensorgrad.get_num_threads()
    with pytest.raises(error, match=message):
        tensorgrad.set_num_threads(value)
    assert tensorgrad.get_num_threads() == before


def test_many_python_threads_share_the_pool():
    """Who finds the pool at work goes on alone; nobody waits for ever, and nobody gets another's result."""
    tensorgrad.set_num_threads(3)
    inputs = [numbers(100_000, seed=i) for i in range(6)]
    expected = [tensorgrad.from_numpy(a).sum().item() for a in inputs]
    failures = []

    def work(i):
        x = tensorgrad.from_numpy(inputs[i])
        for _ in range(50):
            if (x + 0).sum().item() != expected[i]:
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures


def run(code, **environment):
    """What a program prints, read as JSON."""
    variables = {k: v for k, v in os.environ.items() if k not in ("TENSORGRAD_NUM_THREADS", "OMP_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**variables, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_forked_child_starts_threads_of_its_own():
    result = run(
        """
        import json, os
        import tensorgrad
        from tensorgrad.kernels.cpu.cpu import pool_state
        tensorgrad.set_num_threads(3)
        x = tensorgrad.ones(300_000)
        before = (x + x).sum().item(), pool_state()[1]
        pid = os.fork()
        if pid == 0:
            fresh = pool_state()[1]
            ok = (x + x).sum().item() == 600_000 and fresh == 0 and pool_state()[1] == 2
            os._exit(0 if ok else 1)
        status = os.waitpid(pid, 0)[1]
        print(json.dumps([before, status, (x + x).sum().item()]))
        """
    )
    assert result == [[600_000.0, 2], 0, 600_000.0]


def test_the_program_ends_while_threads_wait_or_work():
    assert run(
        """
        import json, threading
        import tensorgrad
        tensorgrad.set_num_threads(3)
        x = tensorgrad.ones(3_000_000)
        def work():
            while True:
                x + x
        threading.Thread(target=work, daemon=True).start()
        print(json.dumps((x + x).sum().item()))
        """
    ) == 6_000_000


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TENSORGRAD_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"TENSORGRAD_NUM_THREADS": "2", "OMP_NUM_THREADS": "5"}, 2),
    ],
    ids=str,
)
def test_environment(environment, expected):
    assert run("import tensorgrad; print(tensorgrad.get_num_threads())", **environment) == expected


def test_a_wrong_environment_variable_is_told_and_ignored():
    with pytest.warns(RuntimeWarning, match="TENSORGRAD_NUM_THREADS must be a positive integer, not 'many'"):
        assert _threads.threads_of_environment({"TENSORGRAD_NUM_THREADS": "many", "OMP_NUM_THREADS": "2"}) == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity masks")
def test_affinity_mask_bounds_the_default():
    code = """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import tensorgrad
        print(tensorgrad.get_num_threads())
        """
    assert run(code) == 1


def test_default_is_at_most_what_is_allowed():
    found = run("import tensorgrad; print(tensorgrad.get_num_threads())")
    quota = _threads.cgroup_processors()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= found <= allowed
    assert quota is None or found <= max(1, int(quota))


def test_parallel_info_tells_the_number_of_threads():
    tensorgrad.set_num_threads(3)
    text = tensorgrad.__config__.parallel_info()
    assert "get_num_threads() : 3\n" in text
    assert "BLAS: " in text


# ---- control groups --------------------------------------------------------------------------------
CGROUPS = {
    "version 2, half of the parent": (
        {"proc": "0::/a/b\n", "a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "cpu.max": "max 100000\n"},
        1.5,
    ),
    "version 2, no quota": ({"proc": "0::/a\n", "a/cpu.max": "max 100000\n"}, None),
    "version 2, in a container": ({"proc": "0::/host/path\n", "cpu.max": "400000 100000\n"}, 4.0),
    "version 1": (
        {
            "proc": "5:memory:/x\n4:cpu,cpuacct:/x\n",
            "cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n",
            "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "version 1, no quota": (
        {"proc": "4:cpu:/\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "both": (
        {
            "proc": "4:cpu:/\n0::/y\n",
            "cpu/cpu.cfs_quota_us": "300000\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "unified/y/cpu.max": "200000 100000\n",
        },
        2.0,
    ),
    "nonsense": ({"proc": "0::/a\nwhat\n", "a/cpu.max": "1 2 3\n"}, None),
    "a period of zero": ({"proc": "0::/a\n", "a/cpu.max": "100 0\n"}, None),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_quota_of_the_control_group(case, tmp_path):
    files, expected = CGROUPS[case]
    for name, text in files.items():
        path = tmp_path / ("proc/self/cgroup" if name == "proc" else f"cgroup/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert _threads.cgroup_processors(str(tmp_path / "proc"), str(tmp_path / "cgroup")) == expected


def test_no_control_groups_no_quota(tmp_path):
    assert _threads.cgroup_processors(str(tmp_path), str(tmp_path)) is None


def test_quota_bounds_the_default():
    code = """
        from tensorgrad import _threads
        from tensorgrad.kernels.cpu import cpu
        cpu.limit_threads(1)
        print(cpu.get_num_threads())
        """
    assert run(code) == 1


# ---- threadpoolctl ---------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["import threadpoolctl, tensorgrad", "import tensorgrad, threadpoolctl"])
def test_threadpoolctl_sees_and_steers_the_pool(order):
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    if not hasattr(threadpoolctl, "register"):
        pytest.skip("this threadpoolctl takes no controllers")
    code = f"""
        {order}
        import json, sys
        tensorgrad.set_num_threads(3)
        found = [i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "tensorgrad"]
        with threadpoolctl.threadpool_limits(1):
            inside = tensorgrad.get_num_threads()
        print(json.dumps([found, inside, tensorgrad.get_num_threads()]))
        """
    assert run(code) == [[3], 1, 3]


def test_threadpoolctl_is_not_imported():
    assert run("import sys, tensorgrad; print(int('threadpoolctl' in sys.modules))") == 0


# ---- memory ----------------------------------------------------------------------------------------
def test_a_large_block_is_used_again_and_given_back():
    n = 2_000_001
    tensorgrad.cpu.empty_cache()
    before = tensorgrad.cpu.memory_stats()
    x = tensorgrad.zeros(n)
    assert tensorgrad.cpu.memory_allocated() - before["allocated_bytes.all.current"] >= 4 * n
    address = x.data_ptr()
    del x
    if os.environ.get("TENSORGRAD_NO_POOL", "0") in ("", "0"):
        assert tensorgrad.cpu.memory_stats()["inactive_bytes.all.current"] >= 4 * n
        assert tensorgrad.zeros(n).data_ptr() == address
    tensorgrad.cpu.empty_cache()
    after = tensorgrad.cpu.memory_stats()
    assert after["inactive_bytes.all.current"] == 0
    assert after["allocated_bytes.all.current"] == before["allocated_bytes.all.current"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory")
@pytest.mark.parametrize("pieces", [1, 2000])
def test_empty_cache_returns_memory_to_the_system(pieces):
    code = f"""
        import json, os
        import tensorgrad
        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        tensorgrad.ones(100_000) + 1
        before = resident()
        blocks = [tensorgrad.ones(20_000_000 // {pieces}) for _ in range({pieces})]
        full = resident()
        del blocks
        tensorgrad.cpu.empty_cache()
        print(json.dumps([full - before, resident() - before]))
        """
    grown, left = run(code)
    assert grown > 70_000_000
    assert left < 10_000_000


def test_cache_is_bounded_and_makes_room_for_the_newest():
    code = """
        import json
        import tensorgrad as t
        t.cpu.set_cache_limit(10_000_000)
        small = [t.zeros(1_000_000) for _ in range(4)]
        del small
        first = t.cpu.memory_stats()["inactive_bytes.all.current"]
        big = t.zeros(2_000_000)
        address = big.data_ptr()
        del big
        second = t.cpu.memory_stats()["inactive_bytes.all.current"]
        again = t.zeros(2_000_000).data_ptr() == address
        t.cpu.set_cache_limit(0)
        print(json.dumps([first, second, again, t.cpu.memory_stats()["inactive_bytes.all.current"]]))
        """
    first, second, again, last = run(code, TENSORGRAD_NO_POOL="0")
    assert 4_000_000 <= first <= 10_000_000
    assert 8_000_000 <= second <= 10_000_000
    assert again and last == 0


def test_peak_can_be_started_anew():
    x = tensorgrad.zeros(1_000_000)
    del x
    tensorgrad.cpu.reset_peak_memory_stats()
    low = tensorgrad.cpu.max_memory_allocated()
    x = tensorgrad.zeros(1_000_000)
    assert tensorgrad.cpu.max_memory_allocated() - low >= 4_000_000
    assert tensorgrad.cpu.memory_reserved() >= tensorgrad.cpu.memory_allocated() > 0
    with pytest.raises(ValueError, match="must not be negative"):
        tensorgrad.cpu.set_cache_limit(-1)
    assert x.sum().item() == 0


def test_no_pool_keeps_nothing():
    code = """
        import tensorgrad
        x = tensorgrad.zeros(1_000_000); del x
        print(tensorgrad.cpu.memory_stats()["inactive_bytes.all.current"])
        """
    assert run(code, TENSORGRAD_NO_POOL="1") == 0


def test_huge_pages_are_a_setting():
    code = "import tensorgrad; x = tensorgrad.ones(3_000_000); print(int(x.sum().item()), end=''); del x"
    assert run(code, TENSORGRAD_HUGE_PAGES="1") == run(code, TENSORGRAD_HUGE_PAGES="0") == 3_000_000
