"""Tests that every operator passes because it was declared: none of them names one.

What they draw on is the declaration: its samples (or its signature), its NumPy expression, its
domain. A new operator needs no change here.
"""

import functools
import re

import numpy as np
import pytest

import tensorgrad
from tensorgrad.autograd import forward_ad, gradcheck, gradgradcheck
from tensorgrad.ops import registry
from tensorgrad.testing import sampling
from tensorgrad.testing.sampling import DTYPES, assert_close, is_inexact, samples_of, tensors_in, to_numpy

DOUBLES = [tensorgrad.float64, tensorgrad.complex128]
LOWER = [getattr(tensorgrad, name) for name in ("float32", "float16", "bfloat16", "complex64")]
REFUSAL = re.compile(
    "not implemented|not supported|unsupported|only support|only implemented|must be|can't be cast|"
    "could not infer|should be|[Ee]xpected|does not support|requires",
)


def call(overload, args, kwargs, name=None):
    """Call an overload through its operator, with the same random numbers every time."""
    tensorgrad.manual_seed(0)
    return getattr(overload, "op" if name is None else name)(*args, **kwargs)


def runner(overload, args, kwargs):
    return sampling.as_function(lambda *a, **k: call(overload, a, k), args, kwargs)


@functools.cache
def accepts(overload, dtype):
    """Whether an operator computes in a dtype. Any error but a refusal is for the tests to run into."""
    try:
        for args, kwargs in samples_of(overload, dtype):
            call(overload, args, kwargs)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        return REFUSAL.search(str(error)) is None
    return True


@functools.cache
def differentiable_in(overload, dtype):
    if not (dtype in DOUBLES and accepts(overload, dtype)):
        return False
    args, kwargs = samples_of(overload, dtype, requires_grad=True)[0]
    try:
        return any(out.requires_grad for out in sampling.results_of(call(overload, args, kwargs)))
    except Exception:  # a test says so better than a failing collection
        return True


def overloads(condition=lambda overload: True):
    """Every overload with samples for which a condition holds, as parameters of a test."""
    chosen = []
    for overload in registry():
        if overload.functional is None and samples_of(overload, tensorgrad.float64) and condition(overload):
            chosen.append(pytest.param(overload, id=overload.signature_text.replace("Tensor ", "")))
    return chosen


def differentiable(overload):
    return any(differentiable_in(overload, dtype) for dtype in DOUBLES)


@functools.cache
def is_deterministic(overload):
    """Whether a call leaves the random number generator alone."""
    try:
        for args, kwargs in samples_of(overload, tensorgrad.float64):
            tensorgrad.manual_seed(0)
            before = tensorgrad.get_rng_state()
            overload.op(*args, **kwargs)
            if not tensorgrad.equal(tensorgrad.get_rng_state(), before):
                return False
    except Exception:  # for the tests to run into
        pass
    return not overload.is_random


def real_part(x):
    return x.real if x.is_complex() else x


def weighted_sum(outputs):
    """A real number that depends on every element of the outputs in a way of its own."""
    total = 0.0
    for out in outputs:
        if is_inexact(out.dtype):
            weights = np.cos(np.arange(out.numel()) + 1.0).reshape(tuple(out.shape))
            weights = tensorgrad.tensor(weights).to(out.dtype)
            total = total + real_part((out * weights * (1 - 0.5j) if out.is_complex() else out * weights).sum())
    return total


def gradients(function, tensors):
    """Gradients of the weighted sum, by backward."""
    wanted = [x for x in tensors if x.requires_grad]
    total = weighted_sum(sampling.results_of(function(*tensors)))
    found = tensorgrad.autograd.grad(total, wanted, allow_unused=True)
    return [tensorgrad.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]


# ---- values --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("overload", overloads(lambda overload: overload.reference is not None))
def test_value_is_numpys_in_every_dtype(overload):
    computed = [dtype for dtype in DTYPES if accepts(overload, dtype)]
    missing = set(overload.kernel_dtypes()) & set(DTYPES) - set(computed)
    assert computed
    assert not missing or {"check", "check_integers"} & set(overload.options), f"has a kernel for {missing}, but refuses them"
    for dtype in computed:
        for args, kwargs in samples_of(overload, dtype):
            expected = sampling.reference_of(overload, args, kwargs)
            expected = expected if isinstance(expected, (tuple, list)) else (expected,)
            actual = sampling.results_of(call(overload, args, kwargs))
            assert len(actual) == len(expected)
            for out, value in zip(actual, expected, strict=True):
                check_dtype(out, np.asarray(value), dtype)
                assert_close(to_numpy(out), value, out.dtype, 32, f"{dtype}, {args}, {kwargs}")


def check_dtype(out, value, dtype):
    """Inexact results have the precision of the inputs, and every result is of the kind that NumPy gives."""
    if not is_inexact(dtype):
        assert out.dtype is tensorgrad.bool or value.dtype.kind != "b"
    elif value.dtype.kind == "b":
        assert out.dtype is tensorgrad.bool
    elif value.dtype.kind in "iu":
        assert out.dtype is tensorgrad.int64
    else:
        assert out.dtype is (dtype.to_complex() if value.dtype.kind == "c" else dtype.to_real())


@pytest.mark.parametrize("overload", overloads())
def test_result_is_of_the_declared_type(overload):
    declared = overload.signature_text.partition("->")[2].strip() or "Tensor"
    dtype = next(dtype for dtype in reversed(DTYPES) if accepts(overload, dtype))
    result = call(overload, *samples_of(overload, dtype)[0])
    if declared == "Tensor[]" or declared[0] == "(":
        assert isinstance(result, (tuple, list))
        names = overload.parsed().outputs
        assert declared == "Tensor[]" or getattr(result, "_fields", names) == names
    else:
        assert type(result) is {"Tensor": tensorgrad.Tensor, "bool": bool}[declared]


def test_most_operators_have_a_reference():
    """The test of values must not run dry without anybody noticing."""
    assert len(overloads(lambda overload: overload.reference is not None)) > 150


@pytest.mark.parametrize("overload", overloads(lambda o: o.inplace_form is not None and is_deterministic(o)))
def test_inplace_form_writes_what_the_function_returns(overload):
    checked = 0
    for dtype in (tensorgrad.float64, tensorgrad.complex128, tensorgrad.int64):
        if not accepts(overload, dtype):
            continue
        for variant, (args, kwargs) in enumerate(samples_of(overload, dtype)):
            expected = call(overload, args, kwargs)
            x = args[0]
            if not isinstance(x, tensorgrad.Tensor) or expected.shape != x.shape:
                continue
            if is_inexact(expected.dtype) and not is_inexact(x.dtype):
                with pytest.raises(RuntimeError, match="can't be cast"):
                    call(overload.inplace_form, (x, *args[1:]), kwargs)
                continue
            check_inplace(overload, x, args[1:], kwargs, expected.to(x.dtype), variant)
            checked += 1
    assert checked


def check_inplace(overload, x, rest, kwargs, expected, variant):
    """Into a view of a larger tensor: view, sibling and base all see it, and nothing else changes."""
    other = sampling.mapped(lambda t: t, x) + 1
    base = tensorgrad.stack([other, x, other])
    view, sibling = base[1], base[1]
    version = base._version
    written = call(overload.inplace_form, (view, *rest), kwargs)
    assert written is view
    changed = not tensorgrad.equal(expected, x)
    assert base._version > version or not changed
    for seen in (view, sibling, base[1]):
        np.testing.assert_array_equal(to_numpy(seen), to_numpy(expected), err_msg=str(variant))
    for place in (0, 2):
        np.testing.assert_array_equal(to_numpy(base[place]), to_numpy(other))


@pytest.mark.parametrize(
    "overload", overloads(lambda o: o.inplace_form is not None and is_deterministic(o) and differentiable(o))
)
def test_gradient_through_a_view_written_in_place(overload):
    dtype = tensorgrad.float64 if differentiable_in(overload, tensorgrad.float64) else tensorgrad.complex128
    checked = 0
    for args, kwargs in samples_of(overload, dtype):
        x = args[0]
        if not isinstance(x, tensorgrad.Tensor) or call(overload, args, kwargs).shape != x.shape:
            continue
        leaf = tensorgrad.stack([x + 1, x]).requires_grad_()

        def through_views(whole, args=args, kwargs=kwargs):
            base = whole.clone()
            view, sibling = base[1], base[1]
            call(overload.inplace_form, (view, *args[1:]), kwargs)
            return base, sibling

        def without(whole, args=args, kwargs=kwargs):
            part = call(overload, (whole[1], *args[1:]), kwargs)
            return tensorgrad.stack([whole[0], part]), part

        (actual,), (expected,) = gradients(through_views, (leaf,)), gradients(without, (leaf,))
        assert_close(to_numpy(actual), to_numpy(expected), dtype)
        checked += 1
    assert checked


@pytest.mark.parametrize("overload", overloads(lambda o: not o.is_view and not o.inplace and is_deterministic(o)))
def test_out_receives_what_the_function_returns(overload):
    dtype = next(dtype for dtype in reversed(DTYPES) if accepts(overload, dtype))
    args, kwargs = samples_of(overload, dtype)[0]
    expected = call(overload, args, kwargs)
    if not isinstance(expected, tensorgrad.Tensor):
        outs = tuple(tensorgrad.empty(0, dtype=x.dtype) for x in sampling.results_of(expected))
        result = call(overload, args, {**kwargs, "out": outs})
        assert all(a is b for a, b in zip(result, outs, strict=True))
    else:
        outs = (tensorgrad.empty(0, dtype=expected.dtype),)
        assert call(overload, args, {**kwargs, "out": outs[0]}) is outs[0]
    for out, value in zip(outs, sampling.results_of(expected), strict=True):
        np.testing.assert_array_equal(to_numpy(out), to_numpy(value))


def as_tensor(number, dtype):
    kept = dtype if is_inexact(dtype) or isinstance(number, int) else tensorgrad.float32
    return tensorgrad.tensor(number, dtype=kept)


@pytest.mark.parametrize(
    "overload",
    overloads(lambda o: any(sampling.kind_of(p) == "Operand" for p in o.parsed().params) and is_deterministic(o)),
)
def test_a_number_acts_like_a_tensor_of_no_dimensions(overload):
    checked = 0
    for dtype in (tensorgrad.float32, tensorgrad.float64, tensorgrad.int64):
        if not accepts(overload, dtype):
            continue
        for args, kwargs in samples_of(overload, dtype):
            if not any(isinstance(x, (int, float)) for x in args):
                continue
            spelled = tuple(as_tensor(x, dtype) if isinstance(x, (int, float)) else x for x in args)
            actual, expected = call(overload, args, kwargs), call(overload, spelled, kwargs)
            assert actual.dtype is expected.dtype
            assert_close(to_numpy(actual), to_numpy(expected), expected.dtype, 4)
            checked += 1
    assert checked


# ---- derivatives ------------------------------------------------------------------------------------------
def in_doubles(condition=lambda overload: True):
    """(overload, dtype) for both double precision dtypes in which an overload is differentiable."""
    return [
        pytest.param(*p.values, dtype, id=f"{p.id}-{str(dtype).rpartition('.')[2]}")
        for p in overloads(lambda o: is_deterministic(o) and differentiable(o) and condition(o))
        for dtype in DOUBLES
        if differentiable_in(p.values[0], dtype)
    ]


@pytest.mark.parametrize("overload", overloads(lambda o: bool(o.inputs()) and is_deterministic(o)))
def test_what_declares_a_derivative_is_recorded(overload):
    names = []
    for dtype in DOUBLES:
        if accepts(overload, dtype):
            args, kwargs = samples_of(overload, dtype, requires_grad=True)[0]
            names += [x.grad_fn.name() for x in sampling.results_of(call(overload, args, kwargs)) if x.grad_fn]
    assert names and all(re.fullmatch("[A-Z][A-Za-z0-9]*Backward0", name) for name in names)


@pytest.mark.parametrize(("overload", "dtype"), in_doubles())
def test_gradient(overload, dtype):
    for args, kwargs in samples_of(overload, dtype, requires_grad=True):
        assert gradcheck(*runner(overload, args, kwargs), check_grad_dtypes=True)


@pytest.mark.parametrize(("overload", "dtype"), in_doubles())
def test_second_gradient(overload, dtype):
    for args, kwargs in samples_of(overload, dtype, requires_grad=True):
        function, tensors = runner(overload, args, kwargs)
        assert gradgradcheck(function, tensors)


@pytest.mark.parametrize(("overload", "dtype"), in_doubles())
def test_forward_mode(overload, dtype):
    for args, kwargs in samples_of(overload, dtype, requires_grad=True):
        function, tensors = runner(overload, args, kwargs)
        assert gradcheck(function, tensors, check_forward_ad=True, check_backward_ad=False)


@pytest.mark.parametrize("overload", overloads(lambda o: o.is_view and differentiable(o)))
def test_tangent_of_a_view_is_a_view_of_the_tangent(overload):
    dtype = next(d for d in DOUBLES if differentiable_in(overload, d))
    for args, kwargs in samples_of(overload, dtype):
        x, tangent = args[0], tensorgrad.ones_like(args[0])
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, tangent)
            for out in sampling.results_of(call(overload, (dual, *args[1:]), kwargs)):
                part = forward_ad.unpack_dual(out).tangent
                assert part.untyped_storage().data_ptr() == tangent.untyped_storage().data_ptr()
                assert (part.shape, part.stride()) == (out.shape, out.stride())


@pytest.mark.parametrize("overload", overloads(lambda o: is_deterministic(o) and differentiable(o)))
def test_gradient_in_lower_precision(overload):
    """Held against the double's gradient at the same (rounded) inputs."""
    for dtype in LOWER:
        if not (accepts(overload, dtype) and differentiable_in(overload, sampling.wide(dtype))):
            continue
        for args, kwargs in samples_of(overload, dtype, requires_grad=True):
            function, tensors = runner(overload, args, kwargs)
            doubles = [t.detach().to(sampling.wide(t.dtype)).requires_grad_(t.requires_grad) for t in tensors]
            expected = gradients(function, doubles)
            for actual, value in zip(gradients(function, tensors), expected, strict=True):
                assert actual.dtype is dtype
                assert_close(to_numpy(actual), to_numpy(value), dtype, 64, f"{dtype}, {args}, {kwargs}")


# ---- vmap ------------------------------------------------------------------------------------------------
def batches(overload, dtype, n, requires_grad=False):
    """For each sample ``(function, [tensors of variant 0, of variant 1, ...])``."""
    variants = [samples_of(overload, dtype, variant=k) for k in range(n)]
    for same in zip(*variants, strict=True):
        function, _ = runner(overload, *same[0])
        yield function, [tensors_in(sample) for sample in same]


def vmappable(overload):
    """False where the shape of the result depends on the values, or the result is no tensor."""
    if not is_deterministic(overload) or overload.options.get("data_dependent"):
        return False
    dtype = vmap_dtype(overload)
    samples = samples_of(overload, dtype) if accepts(overload, dtype) else []
    try:
        return any(tensors_in(sample) and tensors_in(call(overload, *sample)) for sample in samples)
    except Exception:
        return True


def vmap_dtype(overload):
    return DOUBLES[0] if accepts(overload, DOUBLES[0]) else DOUBLES[1]


def assert_stacked(actual, singles):
    """The results of a batch are those of its elements, one after the other."""
    outs = [sampling.results_of(single) for single in singles]
    for k, out in enumerate(sampling.results_of(actual)):
        expected = np.stack([to_numpy(single[k]) for single in outs])
        assert_close(to_numpy(out), expected, out.dtype)


@pytest.mark.parametrize("overload", overloads(vmappable))
def test_vmap_is_a_loop(overload):
    for function, variants in batches(overload, vmap_dtype(overload), 3):
        n = len(variants[0])
        stacked = [tensorgrad.stack(same) for same in zip(*variants, strict=True)]
        singles = [function(*tensors) for tensors in variants]
        assert_stacked(tensorgrad.func.vmap(function)(*stacked), singles)
        last = [x.movedim(0, -1) for x in stacked]
        assert_stacked(tensorgrad.func.vmap(function, in_dims=-1)(*last), singles)
        for only in range(n if n > 1 else 0):
            dims = tuple(0 if i == only else None for i in range(n))
            mixed = [stacked[i] if i == only else variants[0][i] for i in range(n)]
            singles = [function(*[t[i] if i == only else variants[0][i] for i in range(n)]) for t in variants]
            assert_stacked(tensorgrad.func.vmap(function, in_dims=dims)(*mixed), singles)


@pytest.mark.parametrize("overload", overloads(vmappable))
def test_nested_vmap_is_two_loops(overload):
    for function, variants in batches(overload, vmap_dtype(overload), 4):
        stacked = [tensorgrad.stack(same) for same in zip(*variants, strict=True)]
        squares = [x.reshape(2, 2, *x.shape[1:]) for x in stacked]
        actual = tensorgrad.func.vmap(tensorgrad.func.vmap(function))(*squares)
        rows = [tuple(x.flatten(0, 1) for x in sampling.results_of(actual))]
        assert_stacked(rows, [function(*tensors) for tensors in variants])


@pytest.mark.parametrize("overload", overloads(lambda o: vmappable(o) and differentiable(o)))
def test_vmap_of_grad_and_grad_of_vmap(overload):
    dtype = vmap_dtype(overload)
    recording = [tensors_in(sample) for sample in samples_of(overload, dtype, requires_grad=True)]
    for (function, variants), tensors in zip(batches(overload, dtype, 2), recording, strict=True):
        flags = [x.requires_grad for x in tensors]
        places = tuple(i for i, recorded in enumerate(flags) if recorded)

        def scalar(*tensors, function=function):
            return weighted_sum(sampling.results_of(function(*tensors)))

        grad = tensorgrad.func.grad(scalar, argnums=places)
        stacked = [tensorgrad.stack(same) for same in zip(*variants, strict=True)]
        singles = [grad(*tensors) for tensors in variants]
        assert_stacked(tensorgrad.func.vmap(grad)(*stacked), singles)

        def total(*tensors, scalar=scalar):
            return tensorgrad.func.vmap(scalar)(*tensors).sum()

        assert_stacked(tensorgrad.func.grad(total, argnums=places)(*stacked), singles)
