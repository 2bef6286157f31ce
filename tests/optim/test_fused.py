"""The fused steps as operators: what they compute, and what they refuse."""

import itertools

import numpy as np
import pytest

import tensorgrad


def pieces(count, dtype="float64", shape=(3, 5), order=None):
    """Tensors of one shape; `order` lays them out transposed, which no kernel takes."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        x = tensorgrad.tensor(np.abs(rng.standard_normal(shape)) + 0.5).to(getattr(tensorgrad, dtype))
        made.append(x.t().contiguous().t() if order == "transposed" else x)
    return made


def sgd(p, g, m, **options):
    settings = {"weight_decay": 0.1, "momentum": 0.9, "lr": 0.1, "dampening": 0.2, "nesterov": False,
                "maximize": False, "is_first_step": False}  # fmt: skip
    tensorgrad._fused_sgd_([p], [g], [m], **{**settings, **options})


def adam(p, g, m, v, h, **options):
    step = options.pop("step", tensorgrad.tensor(3.0))
    decoupled = options.pop("decoupled", False)
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1, "eps": 1e-8, "amsgrad": True,
                "maximize": False}  # fmt: skip
    operator = tensorgrad._fused_adamw_ if decoupled else tensorgrad._fused_adam_
    operator([p], [g], [m], [v], [h], [step], **{**settings, **options})


def adagrad(p, g, s, **options):
    settings = {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-8, "maximize": False}
    tensorgrad._fused_adagrad_([p], [g], [s], [tensorgrad.tensor(3.0)], **{**settings, **options})


FAMILIES = {"sgd": (sgd, 3), "adam": (adam, 5), "adagrad": (adagrad, 3)}
OPTIONS = {
    "sgd": [
        dict(zip(("weight_decay", "nesterov", "maximize", "is_first_step"), values))
        for values in itertools.product((0, 0.1), (False, True), (False, True), (False, True))
    ],
    "adam": [
        dict(zip(("weight_decay", "amsgrad", "maximize", "decoupled"), values))
        for values in itertools.product((0, 0.1), (False, True), (False, True), (False, True))
    ],
    "adagrad": [dict(zip(("weight_decay", "maximize"), v)) for v in itertools.product((0, 0.1), (False, True))],
}
CASES = [(name, options) for name, some in OPTIONS.items() for options in some]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_kernel_and_the_formula_agree(name, options, dtype):
    step, count = FAMILIES[name]
    fused = pieces(count, dtype, shape=(7, 11))
    formula = pieces(count, dtype, shape=(7, 11), order="transposed")
    assert not formula[0].is_contiguous()
    step(*fused, **options)
    step(*formula, **options)
    tolerance = 1e-12 if dtype in ("float64", "complex128") else 1e-5
    for a, b in zip(fused, formula):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [0, 1, 3, 255, 256, 257, 1000, 40_000])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_length(name, dtype, size):
    """Ends of vectors and of tiles, and the lengths that run without the interpreter's lock."""
    step, count = FAMILIES[name]
    long = pieces(count, "float64", shape=(size,))
    short = [x.to(getattr(tensorgrad, dtype)) for x in long]
    long = [x.double() for x in short]
    step(*long)
    step(*short)
    epsilon = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-21, "float64": 2.0**-50}[dtype]
    for a, b in zip(short, long):
        np.testing.assert_allclose(a.double().numpy(), b.numpy(), rtol=2 * epsilon, atol=2 * epsilon)


def test_infinite_parameters_without_decay():
    """Zero times infinity would be NaN: without weight decay the parameter does not enter the gradient."""
    for name, (step, count) in FAMILIES.items():
        tensors = pieces(count, shape=(4,))
        tensors[0].fill_(float("inf"))
        step(*tensors, weight_decay=0)
        assert all(value == float("inf") for value in tensors[0].tolist()), name


def test_nan_stays_visible():
    tensors = pieces(5, shape=(4,))
    tensors[1][2] = float("nan")
    adam(*tensors)
    for tensor in (tensors[0], *tensors[2:]):
        assert np.isnan(tensor.numpy()).tolist() == [False, False, True, False]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_versions_count_the_writes(name):
    step, count = FAMILIES[name]
    tensors = pieces(count)
    before = [x._version for x in tensors]
    step(*tensors)
    assert [x._version - b for x, b in zip(tensors, before)] == [1, 0] + [1] * (count - 2)


def test_a_saved_parameter_that_was_stepped_is_noticed():
    p = tensorgrad.ones(3, requires_grad=True)
    loss = (p * p).sum()
    tensorgrad._fused_sgd_([p], [tensorgrad.ones(3)], [], 0, 0, 0.1, 0, False, False, False)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_step_count():
    tensors, step = pieces(5), tensorgrad.tensor(0.0)
    for number in (1, 2, 3):
        adam(*tensors, step=step, advance=True)
        assert step.item() == number
    wide = tensorgrad.tensor(7.0, dtype=tensorgrad.float64)
    adam(*tensors, step=wide)
    assert wide.item() == 7.0


def test_grad_scale_and_found_inf():
    plain, scaled, skipped = pieces(3), pieces(3), pieces(3)
    scaled[1].mul_(8)
    before = [x.tolist() for x in skipped]
    adagrad(*plain)
    adagrad(*scaled, grad_scale=tensorgrad.tensor(8.0), found_inf=tensorgrad.tensor(0.0))
    adagrad(*skipped, grad_scale=tensorgrad.tensor(8.0), found_inf=tensorgrad.tensor(1.0))
    assert [x.tolist() for x in plain] == [x.tolist() for x in scaled]
    assert [x.tolist() for x in skipped] == before


def test_nothing_is_written_when_one_is_refused():
    good, bad = pieces(3), pieces(3)
    before = good[0].tolist()
    with pytest.raises(RuntimeError, match="params, grads and states must have same dtype"):
        tensorgrad._fused_adagrad_(
            [good[0], bad[0]],
            [good[1], bad[1].float()],
            [good[2], bad[2]],
            [tensorgrad.tensor(1.0), tensorgrad.tensor(1.0)],
            0.1,
            0,
            0,
            1e-8,
            False,
        )
    assert good[0].tolist() == before


def test_refusals():
    p, g, m = pieces(3)
    big = tensorgrad.ones(6, 5, dtype=tensorgrad.float64)
    for arguments, message in [
        (([p], [g, g], [m]), "Tensor lists must have the same number of tensors, got 1 and 2"),
        (([p], [g], []), "Tensor lists must have the same number of tensors, got 1 and 0"),
        (([p], [g[:2]], [m]), "and the same shape"),
        (([p], [g.float()], [m]), "same dtype"),
        (([tensorgrad.tensor([1])], [tensorgrad.tensor([1])], [tensorgrad.tensor([1])]), "must be floating point"),
        (([p], [g], [p]), "single memory location"),
        (([big[:3]], [big[1:4]], [m]), "single memory location"),
        (([tensorgrad.ones(1, dtype=tensorgrad.float64).expand(3, 5)], [g], [m]), "more than one element"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            tensorgrad._fused_sgd_(*arguments, 0, 0.9, 0.1, 0, False, False, False)
    with pytest.raises(RuntimeError, match="state_steps must be a single float32 or float64"):
        adam(*pieces(5), step=tensorgrad.tensor(1))
    with tensorgrad.inference_mode():
        frozen = tensorgrad.ones(2)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
        tensorgrad._fused_sgd_([frozen], [tensorgrad.ones(2)], [], 0, 0, 0.1, 0, False, False, False)


def test_a_gradient_may_be_the_parameter_itself():
    p = tensorgrad.tensor([1.0, 2.0])
    tensorgrad._fused_sgd_([p], [p], [], 0, 0, 0.25, 0, False, False, False)
    assert p.tolist() == [0.75, 1.5]


def test_with_grad():
    x, y = tensorgrad.ones(2, requires_grad=True), tensorgrad.ones(3, requires_grad=True)
    with_grad = tensorgrad.autograd.with_grad
    assert with_grad([x, y]) == ((), ())
    y.sum().backward()
    (params, grads, counts) = with_grad([x, y], {y: {"n": 4}}, ("n",))
    assert (params[0] is y, grads[0] is y.grad, counts) == (True, True, (4,))
    assert with_grad([y], {y: {"n": None}}, ("n",)) is None
    assert with_grad([y], {y: {}}, ("n",)) is None
    tensorgrad.autograd.zero_grad_([y])
    assert with_grad((y,))[1][0].tolist() == [0.0, 0.0, 0.0]
    for arguments in (([1],), ([y], [], ("n",)), ([y], {y: 3}, ("n",))):
        with pytest.raises(TypeError, match="with_grad"):
            with_grad(*arguments)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_under_a_transform(name):
    """A step of batched tensors takes the formula, and is that of each member of the batch."""
    step, count = FAMILIES[name]

    def functional(*tensors):
        copies = [x.clone() for x in tensors]
        step(*copies)
        return copies[0]

    tensors = pieces(count, shape=(4, 3))
    batched = tensorgrad.func.vmap(functional)(*tensors)
    for row in range(4):
        alone = functional(*[x[row] for x in tensors])
        np.testing.assert_allclose(batched[row].numpy(), alone.numpy(), rtol=1e-12)
