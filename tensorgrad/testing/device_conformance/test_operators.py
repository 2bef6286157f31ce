"""Every declared operator against the CPU, dtype by dtype."""

from __future__ import annotations

import pytest

import tensorgrad
from tensorgrad import ops
from tensorgrad.testing.device_conformance.comparing import (
    SLACK,
    called,
    compare,
    compare_gradients,
    gradients,
    moved,
    require,
    widest,
)
from tensorgrad.testing.sampling import DTYPES, is_inexact, samples_of, takes_only_numbers, tensors_in, with_tensors

SAMPLED = [o for o in ops.registry() if not o.inplace and (o.samples is not None or takes_only_numbers(o))]
INPLACE = [o for o in SAMPLED if o.inplace_form is not None]
WIDE = [tensorgrad.float64, tensorgrad.complex128]
NARROW = [dtype for dtype in DTYPES if dtype not in WIDE]


def signature(overload):
    return overload.signature_text


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("overload", SAMPLED, ids=signature)
def test_values_and_derivatives(overload, kind, device):
    """Forward, backward, and backward through that, in the widest dtype."""
    dtype = widest(device, kind == "complex")
    for args, kwargs in samples_of(overload, dtype, requires_grad=True):
        note = f"{overload.signature_text} of {args} {kwargs}"
        there = moved((args, kwargs), device)
        expected, actual = called(overload.op, args, kwargs), called(overload.op, *there)
        compare(actual, expected, device, dtype, note)
        if isinstance(expected, Exception):
            continue
        inputs, inputs_there = tensors_in((args, kwargs)), tensors_in(there)
        first, first_there = gradients(expected, inputs, True), gradients(actual, inputs_there, True)
        compare_gradients(first_there, first, device, dtype, f"gradient of {note}")
        if first is None:
            continue
        compare_gradients(
            gradients([x for x in first_there if x is not None], inputs_there),
            gradients([x for x in first if x is not None], inputs),
            device,
            dtype,
            f"second gradient of {note}",
            16 * SLACK,  # large numbers cancel
        )


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("overload", SAMPLED, ids=signature)
def test_values_and_gradients_in_every_dtype(overload, dtype, device):
    """Forward in all the other dtypes, and backward where there are gradients."""
    require(device, dtype)
    for args, kwargs in samples_of(overload, dtype, requires_grad=True):
        note = f"{overload.signature_text} of {args} {kwargs}"
        there = moved((args, kwargs), device)
        expected, actual = called(overload.op, args, kwargs), called(overload.op, *there)
        compare(actual, expected, device, dtype, note)
        if isinstance(expected, Exception) or not is_inexact(dtype):
            continue
        inputs, inputs_there = tensors_in((args, kwargs)), tensors_in(there)
        first, first_there = gradients(expected, inputs), gradients(actual, inputs_there)
        compare_gradients(first_there, first, device, dtype, f"gradient of {note}", 4 * SLACK)


@pytest.mark.parametrize("dtype", ["widest", "int64", "bool", "float32", "complex64"])
@pytest.mark.parametrize("overload", INPLACE, ids=signature)
def test_in_place_forms(overload, dtype, device):
    """The in-place form writes what the function returns, into the tensor that it was given."""
    dtype = widest(device) if dtype == "widest" else getattr(tensorgrad, dtype)
    for args, kwargs in samples_of(overload, dtype):
        if not isinstance(args[0], tensorgrad.Tensor):
            continue
        operator = overload.inplace_form.op
        there = moved((args, kwargs), device)
        here = with_tensors((args, kwargs), iter([x.clone() for x in tensors_in((args, kwargs))]))
        expected, actual = called(operator, *here), called(operator, *there)
        compare(actual, expected, device, dtype, overload.inplace_form.signature_text)
        if not isinstance(actual, Exception):
            assert actual is there[0][0]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.unique(return_inverse=True, return_counts=True),
        lambda x: tensorgrad.nonzero(x > 0),
        lambda x: x.isclose(x * (1 + 1e-7)),
        lambda x: x.masked_scatter(x > 0, x.flip((0, 1))),
        lambda x: (x.median(), *x.median(1), *x.kthvalue(2, 0), x.max(), x.min(), *x.max(0)),
        lambda x: (*tensorgrad.std_mean(x, 1), *tensorgrad.var_mean(x), x.nansum(), x.nanmean(0)),
        lambda x: tensorgrad.meshgrid((x[0], x[:, 0]), indexing="ij"),
        lambda x: (*x.split([1, 2]), *x.tensor_split(2, 1), x.sum_to_size(1, 4), x.unflatten(1, (2, 2))),
        lambda x: tensorgrad.view_as_real(tensorgrad.view_as_complex(x.reshape(3, 2, 2)) * 1j),
        lambda x: (x.softmax(1), x.log_softmax(0), x.argsort(1), x.count_nonzero(1), x.round(decimals=1)),
        lambda x: (x.bernoulli(0.4), tensorgrad.rand_like(x), tensorgrad.dropout(x, 0.5, True)),
        lambda x: (x.abs().multinomial(2), tensorgrad.normal(x, 0.5), x.new_full((2,), 3.0)),
        lambda x: (x.index_fill(1, (x[0] > 0).nonzero()[:, 0], 9.0), x[x > 0], x.diag_embed()),
        lambda x: (x.half(), x.int(), x.to(tensorgrad.complex64), x.type_as(x > 0), x.contiguous()),
    ],
)
def test_operators_without_samples(call, device):
    """What returns integers, draws random numbers, or has a form that samples do not show."""
    x = tensorgrad.tensor([[3.0, -1.0, 2.5, 3.0], [0.0, -2.0, 1.0, 7.0], [-1.0, 2.5, 4.0, -6.5]])
    x = x.to(widest(device))
    expected = called(call, (x,), {})
    assert not isinstance(expected, Exception), expected
    compare(called(call, (x.to(device),), {}), expected, device, x.dtype, "")


def test_gradients_by_differences(device):
    dtype = tensorgrad.float64
    require(device, dtype)
    x = tensorgrad.tensor([[0.3, -1.2], [0.7, 2.0]], dtype=dtype, device=device, requires_grad=True)
    w = tensorgrad.tensor([[1.0, 0.5], [-0.4, 0.9]], dtype=dtype, device=device, requires_grad=True)

    def function(x, w):
        return (x @ w).sigmoid().log_softmax(1)

    assert tensorgrad.autograd.gradcheck(function, (x, w))
    assert tensorgrad.autograd.gradgradcheck(function, (x, w))


@pytest.mark.parametrize("dtype", ["float32", "int64", "bfloat16", "complex64", "bool"])
@pytest.mark.parametrize("size", [33, 300, 70000])
def test_long_rows(size, dtype, device, backend):
    """Reductions, scans, sorts and scatters that no single work item does by itself."""
    dtype = getattr(tensorgrad, dtype)
    tensorgrad.manual_seed(0)
    x = tensorgrad.randint(-3, 4, (3, size)).to(dtype)
    index = tensorgrad.randint(0, 5, (3, size))
    there, index_there = x.to(device), index.to(device)

    def calls(x, index):
        results = [x.any(1), x.all(0), x.count_nonzero(1), x.flip(1).contiguous()]
        if dtype is not tensorgrad.bfloat16:  # of which long sums have no digit right
            results += [x.sum(), x.sum(1), x.t().sum(0), x.sum(0), x.cumsum(1)]
            wide = x if dtype is not tensorgrad.bool else x.long()
            results += [tensorgrad.zeros(3, 5, dtype=wide.dtype, device=x.device).scatter_add(1, index, wide)]
        if not dtype.is_complex and dtype is not tensorgrad.bool:
            results += [x.amax(1), x.amin(), x.argmax(1), x.argmin()]
        if results[-1].dtype is tensorgrad.int64 and (size < 1000 or backend.sort is not None):
            # without a kernel for it, sorting compares every pair
            results += [*x.sort(1, stable=True), *x.sort(1, descending=True, stable=True)]
        return results

    # sums of small integers are exact below 2^24
    for a, e in zip(calls(there, index_there), calls(x, index), strict=True):
        compare(a, e, device, dtype, str(size))


@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.smoke), "widest", "complex64", "int64"]
)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (17, 16, 33), (70, 65, 90)])
def test_matrix_products(shape, dtype, device):
    """Sizes around those of tiles, transposed operands, batches and accumulation."""
    m, k, n = shape
    dtype = widest(device) if dtype == "widest" else getattr(tensorgrad, dtype)
    tensorgrad.manual_seed(1)
    a, b, c = [tensorgrad.randint(-4, 5, size).to(dtype) for size in ((2, m, k), (2, n, k), (m, n))]

    def products(a, b, c):
        return [a[0] @ b[1].t(), a @ b.mT, tensorgrad.addmm(c, a[0], b[0].t()), a.mT @ a, a[1] @ b[0, 0]]

    compare(products(a.to(device), b.to(device), c.to(device)), products(a, b, c), device, dtype, str(shape))
