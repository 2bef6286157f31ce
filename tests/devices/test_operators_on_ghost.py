"""Every declared operator on another device, against the CPU: values, gradients, in-place forms."""

import numpy as np
import pytest

import tensorgrad
from tensorgrad import ops

from ..ops.sampling import (
    assert_close,
    is_inexact,
    results_of,
    samples_of,
    takes_only_numbers,
    tensors_in,
    to_numpy,
    with_tensors,
)

SAMPLED = [o for o in ops.registry() if not o.inplace and (o.samples is not None or takes_only_numbers(o))]
INPLACE = [o for o in SAMPLED if o.inplace_form is not None]
ELEMENTWISE = [o for o in SAMPLED if o.kind_name == "elementwise"]
SLACK = 64  # the ghost adds in double and has NumPy's functions


def on_ghost(x):
    """The same elements at the same places of another memory: strides, gaps, offset and all."""
    if x.numel() == 0:
        return x.detach().to("ghost").requires_grad_(x.requires_grad)
    whole = x.detach().as_strided((x.untyped_storage().nbytes() // x.itemsize,), (1,), 0)
    moved = whole.to("ghost").as_strided(tuple(x.shape), x.stride(), x.storage_offset())
    return moved.detach().requires_grad_(x.requires_grad)


def moved(args, kwargs):
    return with_tensors((args, kwargs), iter([on_ghost(x) for x in tensors_in((args, kwargs))]))


def called(operator, args, kwargs):
    """The result with the generator at a fixed place, or the type of the error."""
    tensorgrad.manual_seed(7)
    try:
        return operator(*args, **kwargs)
    except (NotImplementedError, RuntimeError, TypeError, IndexError) as error:
        return error


def compare(actual, expected, dtype, note):
    assert isinstance(actual, Exception) == isinstance(expected, Exception), (note, actual, expected)
    if isinstance(expected, Exception):
        assert type(actual) is type(expected), (note, actual, expected)
        return
    for a, e in zip(results_of(actual), results_of(expected), strict=True):
        assert a.device == tensorgrad.device("ghost", 0), note
        assert (a.dtype, a.shape) == (e.dtype, e.shape), note
        rounding = dtype if is_inexact(dtype) and is_inexact(e.dtype) else e.dtype
        if not is_inexact(e.dtype) or not e.numel():
            np.testing.assert_array_equal(to_numpy(a.cpu()), to_numpy(e), err_msg=note)
        else:
            assert_close(to_numpy(a.cpu()), to_numpy(e), rounding, SLACK, note)


def gradients(result, inputs, weight_of):
    outputs = [y for y in results_of(result) if y.requires_grad]
    if not outputs or not inputs:
        return None
    weights = [weight_of(y) for y in outputs]
    return tensorgrad.autograd.grad(outputs, inputs, weights, allow_unused=True)


def weights(y):
    """A gradient that differs from element to element."""
    place = np.arange(1, y.numel() + 1).reshape(tuple(y.shape))
    value = np.cos(place) + (0.5j * np.sin(place) if y.is_complex() else 0)
    return tensorgrad.tensor(value).to(y.dtype).to(y.device)


@pytest.mark.parametrize("dtype", [tensorgrad.float64, tensorgrad.complex128], ids=str)
@pytest.mark.parametrize("overload", SAMPLED, ids=lambda o: o.signature_text)
def test_values_and_gradients_are_the_cpus(overload, dtype, ghost):
    for args, kwargs in samples_of(overload, dtype, requires_grad=True):
        note = f"{overload.signature_text} of {args} {kwargs}"
        ghost_args, ghost_kwargs = moved(args, kwargs)
        expected, actual = (
            called(overload.op, args, kwargs),
            called(overload.op, ghost_args, ghost_kwargs),
        )
        compare(actual, expected, dtype, note)
        if isinstance(expected, Exception):
            continue
        inputs = [x for x in tensors_in((args, kwargs)) if x.requires_grad]
        ghost_inputs = [x for x in tensors_in((ghost_args, ghost_kwargs)) if x.requires_grad]
        expected, actual = gradients(expected, inputs, weights), gradients(actual, ghost_inputs, weights)
        assert (actual is None) == (expected is None), note
        for a, e in zip(actual or (), expected or (), strict=True):
            assert (a is None) == (e is None), note
            if e is not None:
                compare(a, e, dtype, f"gradient of {note}")


DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "complex64"]


@pytest.mark.parametrize("dtype", [getattr(tensorgrad, name) for name in DTYPES], ids=str)
@pytest.mark.parametrize("overload", ELEMENTWISE, ids=lambda o: o.signature_text)
def test_elementwise_operators_in_every_dtype(overload, dtype, ghost):
    for args, kwargs in samples_of(overload, dtype):
        expected = called(overload.op, args, kwargs)
        args, kwargs = moved(args, kwargs)
        compare(
            called(overload.op, args, kwargs),
            expected,
            dtype,
            f"{overload.signature_text} of {args} {kwargs}",
        )


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
def test_operators_without_samples(call, ghost):
    x = tensorgrad.tensor([[3.0, -1.0, 2.5, 3.0], [0.0, -2.0, 1.0, 7.0], [-1.0, 2.5, 4.0, -6.5]])
    x = x.to(tensorgrad.float64)
    expected = called(call, (x,), {})
    assert not isinstance(expected, Exception), expected
    compare(called(call, (x.to("ghost"),), {}), expected, tensorgrad.float64, "")


@pytest.mark.parametrize("overload", INPLACE, ids=lambda o: o.inplace_form.signature_text)
def test_in_place_forms(overload, ghost):
    for args, kwargs in samples_of(overload, tensorgrad.float64):
        if not isinstance(args[0], tensorgrad.Tensor):
            continue
        operator = overload.inplace_form.op
        ghost_args, ghost_kwargs = moved(args, kwargs)
        args, kwargs = with_tensors((args, kwargs), iter([x.clone() for x in tensors_in((args, kwargs))]))
        expected, actual = called(operator, args, kwargs), called(operator, ghost_args, ghost_kwargs)
        compare(actual, expected, tensorgrad.float64, overload.inplace_form.signature_text)
        if not isinstance(actual, Exception):
            assert actual is ghost_args[0]
