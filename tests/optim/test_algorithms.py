"""Every algorithm, step by step, against its formula in NumPy."""

import itertools
import math

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad_optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

STEPS = 7


# Each reference takes a parameter (real), the gradient of step t (from 1), a dict of its own, and the options.


def signed(grad, maximize):
    return -grad if maximize else grad


def rounded(number):
    """What lies in the state as a float32, in PyTorch too."""
    return float(np.float32(number))


def adam(p, g, s, t, *, lr, betas, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay):
    g = signed(g, maximize)
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    if amsgrad:
        v = s["h"] = np.maximum(s.get("h", 0), v)
    return p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def adamax(p, g, s, t, *, lr, betas, eps, weight_decay, maximize):
    g = signed(g, maximize) + weight_decay * p
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    u = s["u"] = np.maximum(betas[1] * s.get("u", 0), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * m / u


def nadam(p, g, s, t, *, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay, maximize):
    g = signed(g, maximize)
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    product = s["product"] = rounded(s.get("product", 1) * rounded(mu))
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    ahead = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    return p - lr * ahead / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def radam(p, g, s, t, *, lr, betas, eps, weight_decay, decoupled_weight_decay, maximize):
    g = signed(g, maximize)
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    m = s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    v = s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m = m / (1 - betas[0] ** t)
    limit = 2 / (1 - betas[1]) - 1
    length = limit - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if length <= 5:
        return p - lr * m
    r = math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
    return p - lr * m * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)


def adagrad(p, g, s, t, *, lr, lr_decay, weight_decay, initial_accumulator_value, eps, maximize):
    g = signed(g, maximize) + weight_decay * p
    total = s["sum"] = s.get("sum", initial_accumulator_value) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + eps)


def adadelta(p, g, s, t, *, lr, rho, eps, weight_decay, maximize):
    g = signed(g, maximize) + weight_decay * p
    v = s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    d = np.sqrt(s.get("u", 0) + eps) / np.sqrt(v + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * d * d
    return p - lr * d


def rmsprop(p, g, s, t, *, lr, alpha, eps, weight_decay, momentum, centered, maximize):
    g = signed(g, maximize) + weight_decay * p
    v = s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g * g
    if centered:
        a = s["a"] = alpha * s.get("a", 0) + (1 - alpha) * g
        v = v - a * a
    b = s["b"] = momentum * s.get("b", 0) + g / (np.sqrt(v) + eps)
    return p - lr * b


def rprop(p, g, s, t, *, lr, etas, step_sizes, maximize):
    g = signed(g, maximize)
    product = g * s.get("prev", np.zeros_like(g))
    size = np.where(product > 0, etas[1], np.where(product < 0, etas[0], 1)) * s.get("size", lr)
    s["size"] = size = np.clip(size, *step_sizes)
    s["prev"] = g = np.where(product < 0, 0, g)
    return p - np.sign(g) * size


def asgd(p, g, s, t, *, lr, lambd, alpha, t0, weight_decay, maximize):
    g = signed(g, maximize) + weight_decay * p
    eta, mu = s.get("eta", rounded(lr)), s.get("mu", 1)
    p = p * (1 - lambd * eta) - eta * g
    s["ax"] = s.get("ax", 0) + mu * (p - s.get("ax", 0))
    s["eta"] = rounded(lr / (1 + lambd * lr * t) ** alpha)
    s["mu"] = rounded(1 / max(1, t - t0))
    return p


BETAS, FLAGS, DECAYS = [(0.9, 0.999), (0.3, 0.9)], [False, True], [0, 0.1]
GRIDS = {
    "Adam": (
        adam,
        {
            "lr": [0.1],
            "betas": BETAS,
            "eps": [1e-8, 0.01],
            "weight_decay": DECAYS,
            "amsgrad": FLAGS,
            "maximize": FLAGS,
            "decoupled_weight_decay": FLAGS,
        },
    ),
    "Adamax": (
        adamax,
        {"lr": [0.1], "betas": BETAS, "eps": [1e-8], "weight_decay": DECAYS, "maximize": FLAGS},
    ),
    "NAdam": (
        nadam,
        {
            "lr": [0.1],
            "betas": BETAS,
            "eps": [1e-8],
            "weight_decay": DECAYS,
            "momentum_decay": [4e-3, 0.2],
            "decoupled_weight_decay": FLAGS,
            "maximize": FLAGS,
        },
    ),
    "RAdam": (
        radam,
        {
            "lr": [0.1],
            "betas": BETAS,
            "eps": [1e-8],
            "weight_decay": DECAYS,
            "decoupled_weight_decay": FLAGS,
            "maximize": FLAGS,
        },
    ),
    "Adagrad": (
        adagrad,
        {
            "lr": [0.1],
            "lr_decay": DECAYS,
            "weight_decay": DECAYS,
            "initial_accumulator_value": [0, 0.5],
            "eps": [1e-10, 0.01],
            "maximize": FLAGS,
        },
    ),
    "Adadelta": (
        adadelta,
        {"lr": [0.3], "rho": [0.9, 0.5], "eps": [1e-6], "weight_decay": DECAYS, "maximize": FLAGS},
    ),
    "RMSprop": (
        rmsprop,
        {
            "lr": [0.01],
            "alpha": [0.99, 0.5],
            "eps": [1e-8],
            "weight_decay": DECAYS,
            "momentum": [0, 0.9],
            "centered": FLAGS,
            "maximize": FLAGS,
        },
    ),
    "Rprop": (
        rprop,
        {
            "lr": [0.01],
            "etas": [(0.5, 1.2), (0.3, 1.5)],
            "step_sizes": [(1e-6, 50), (0.005, 0.02)],
            "maximize": FLAGS,
        },
    ),
    "ASGD": (
        asgd,
        {
            "lr": [0.01],
            "lambd": [1e-4, 0.1],
            "alpha": [0.75],
            "t0": [1e6, 2],
            "weight_decay": DECAYS,
            "maximize": FLAGS,
        },
    ),
}
CASES = [
    pytest.param(name, dict(zip(grid, values)), dtype, id=f"{name}-{number}-{dtype}")
    for name, (_, grid) in GRIDS.items()
    for number, values in enumerate(itertools.product(*grid.values()))
    for dtype in ("float32", "float64", "complex64", "complex128")
    # The short ones test roundings, for which every third combination will do.
    if dtype in ("float64", "complex128") or number % 3 == 0
]
TOLERANCE = {"float32": 2e-5, "float64": 1e-11, "complex64": 2e-5, "complex128": 1e-11}


def draw(rng, shape, dtype):
    x = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x).astype(dtype)


def real(x):
    """The parts of a complex array as the algorithms see them, in double precision."""
    return np.ascontiguousarray(x).view(x.real.dtype).astype("float64")


def numpy_of(x):
    return x.detach().numpy()


@pytest.mark.parametrize(("name", "options", "dtype"), CASES)
def test_formula(name, options, dtype):
    reference = GRIDS[name][0]
    rng = np.random.default_rng(0)
    starts = [draw(rng, shape, dtype) for shape in ((3, 2), (5,), (1,))]
    params = [nn.Parameter(tensorgrad.tensor(start)) for start in starts]
    optimizer = getattr(optim, name)(params, **options)
    expected = [real(start) for start in starts]
    memories, counts = [{} for _ in params], [0] * len(params)
    for step in range(STEPS):
        for i, param in enumerate(params):
            if i == 1 and step in (0, 3):  # no gradient this time
                param.grad = None
                continue
            grad = draw(rng, param.shape, dtype)
            param.grad = tensorgrad.tensor(grad)
            counts[i] += 1
            expected[i] = reference(expected[i], real(grad), memories[i], counts[i], **options)
            before = grad.tolist()
        optimizer.step()
        assert params[-1].grad.tolist() == before  # the gradient is only read
        for param, value in zip(params, expected):
            np.testing.assert_allclose(real(numpy_of(param)), value, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", sorted([*GRIDS, "AdamW", "SGD"]))
def test_tensor_lr(name):
    rate = tensorgrad.tensor(0.02, dtype=tensorgrad.float64)
    results = []
    for lr in (0.02, rate, rate.reshape(1)):
        param = nn.Parameter(tensorgrad.tensor([1.0, -2.0], dtype=tensorgrad.float64))
        optimizer = getattr(optim, name)([param], lr=lr)
        for grad in ([1.0, 2.0], [-0.5, 2.0]):
            param.grad = tensorgrad.tensor(grad, dtype=tensorgrad.float64)
            optimizer.step()
        results.append(param.tolist())
    assert results[0] == pytest.approx(results[1], rel=1e-14)
    assert results[0] == pytest.approx(results[2], rel=1e-14)


def test_adamw_is_adam_decoupled():
    results = []
    for make in (optim.AdamW, lambda p, **k: optim.Adam(p, decoupled_weight_decay=True, **k)):
        param = nn.Parameter(tensorgrad.tensor([1.0, -2.0]))
        optimizer = make([param], lr=0.1, weight_decay=0.3)
        for _ in range(3):
            param.grad = tensorgrad.tensor([1.0, 2.0])
            optimizer.step()
        results.append(param.tolist())
    assert results[0] == results[1]
    assert optim.AdamW([param]).defaults["weight_decay"] == 0.01


STATE = {
    "Adam": ["step", "exp_avg", "exp_avg_sq"],
    "AdamW": ["step", "exp_avg", "exp_avg_sq"],
    "Adamax": ["step", "exp_avg", "exp_inf"],
    "NAdam": ["step", "mu_product", "exp_avg", "exp_avg_sq"],
    "RAdam": ["step", "exp_avg", "exp_avg_sq"],
    "Adagrad": ["step", "sum"],
    "Adadelta": ["step", "square_avg", "acc_delta"],
    "RMSprop": ["step", "square_avg"],
    "Rprop": ["step", "prev", "step_size"],
    "ASGD": ["step", "eta", "mu", "ax"],
}


@pytest.mark.parametrize("name", sorted(STATE))
def test_state_and_its_copy(name):
    """The keys are PyTorch's, and an optimizer that loads the state goes on as the first does."""

    def make():
        param = nn.Parameter(tensorgrad.tensor([1.0, -2.0]))
        return param, getattr(optim, name)([param], lr=0.02)

    def step(param, optimizer, number):
        param.grad = tensorgrad.tensor([0.5, 1.0 + number])
        optimizer.step()

    first, optimizer = make()
    for number in range(3):
        step(first, optimizer, number)
    saved = optimizer.state_dict()
    assert sorted(saved["state"][0]) == sorted(STATE[name])
    assert saved["state"][0]["step"].tolist() == 3.0
    assert saved["state"][0]["step"].dtype == tensorgrad.float32
    second, other = make()
    with tensorgrad.no_grad():
        second.copy_(first)
    other.load_state_dict({"state": {0: {k: v.clone() for k, v in saved["state"][0].items()}}, **{
        k: v for k, v in saved.items() if k != "state"
    }})  # fmt: skip
    step(first, optimizer, 7)
    step(second, other, 7)
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", sorted(STATE))
def test_counts_that_were_python_numbers(name):
    param = nn.Parameter(tensorgrad.tensor([1.0, -2.0]))
    optimizer = getattr(optim, name)([param], lr=0.02)
    param.grad = tensorgrad.tensor([0.5, 1.0])
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = 1
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[param]["step"].tolist() == 2.0


@pytest.mark.parametrize("name", sorted([*STATE, "SGD"]))
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_dtypes_follow_the_long(name, dtype):
    results = []
    for kind in (dtype, "float64"):
        param = nn.Parameter(tensorgrad.tensor([1.0, -2.0, 0.5], dtype=getattr(tensorgrad, kind)))
        optimizer = getattr(optim, name)([param], lr=0.125)
        for number in range(4):
            param.grad = tensorgrad.tensor([0.5, 1.0 + number, -2.0]).to(param.dtype)
            optimizer.step()
        assert param.dtype == getattr(tensorgrad, kind)
        results.append(param.double().tolist())
    epsilon = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    np.testing.assert_allclose(results[0], results[1], atol=16 * epsilon)


@pytest.mark.parametrize("name", sorted([*STATE, "SGD"]))
def test_training_reduces_the_loss(name):
    tensorgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    x = tensorgrad.randn(32, 4)
    y = x.sum(dim=1, keepdim=True)
    rate = {"Adadelta": 3.0, "Adagrad": 0.1, "ASGD": 0.1, "SGD": 0.1}.get(name, 0.01)
    optimizer = getattr(optim, name)(model.parameters(), lr=rate)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(150):
        assert optimizer.step(closure).item() == losses[-1]
    assert losses[-1] < 0.1 * losses[0]


DIFFERENTIABLE = sorted([*STATE, "SGD"])


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_differentiable_step(name):
    """The parameters after two steps, differentiated with respect to start and gradients."""
    extra = {"SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True}}.get(name, {})

    def two_steps(start, grad1, grad2):
        param = start.clone()
        optimizer = getattr(optim, name)([param], lr=0.05, differentiable=True, **extra)
        for grad in (grad1, grad2):
            param.grad = grad.clone()
            optimizer.step()
        return param

    draws = np.random.default_rng(1).uniform(0.5, 1.5, (3, 4))
    inputs = tuple(tensorgrad.tensor(row, requires_grad=True) for row in draws)
    if name == "SGD":
        # The first momentum is taken off the graph, as in PyTorch: only what does not pass through it counts.
        out = two_steps(*inputs)
        (start,) = tensorgrad.autograd.grad(out.sum(), inputs[:1])
        assert start.tolist() == [1.0] * 4
        return
    assert tensorgrad.autograd.gradcheck(two_steps, inputs)


@pytest.mark.parametrize("name", sorted({*STATE, "SGD"} - {"Rprop", "ASGD"}))
@pytest.mark.parametrize("shape", [(), (1,)])
def test_differentiable_options(name, shape):
    """With respect to the learning rate and the weight decay, through two steps."""

    def two_steps(lr, weight_decay):
        param = tensorgrad.tensor([1.0, 2.0, -1.0], dtype=tensorgrad.float64).requires_grad_().clone()
        extra = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(optim, name)([param], lr=lr, weight_decay=weight_decay, differentiable=True, **extra)
        for grad in ([1.0, 0.5, 2.0], [0.3, -1.0, 1.0]):
            param.grad = tensorgrad.tensor(grad, dtype=tensorgrad.float64)
            optimizer.step()
        return param

    lr = tensorgrad.full(shape, 0.1, dtype=tensorgrad.float64, requires_grad=True)
    weight_decay = tensorgrad.tensor(0.2, dtype=tensorgrad.float64, requires_grad=True)
    if name == "SGD":  # the first momentum is taken off the graph
        (rate,) = tensorgrad.autograd.grad(two_steps(lr, weight_decay).sum(), [lr])
        assert rate.item() != 0
        return
    assert tensorgrad.autograd.gradcheck(two_steps, (lr, weight_decay))


BAD = [
    ("Adam", {"lr": -1}, ValueError, "Invalid learning rate: -1"),
    ("Adam", {"lr": float("nan")}, ValueError, "Invalid learning rate: nan"),
    ("Adam", {"betas": (1.0, 0.5)}, ValueError, "Invalid beta parameter at index 0: 1.0"),
    ("Adam", {"betas": (0.5, -0.5)}, ValueError, "Invalid beta parameter at index 1: -0.5"),
    ("Adam", {"betas": (0, 0.5)}, ValueError, "betas must be either both floats or both Tensors"),
    ("Adam", {"eps": -1}, ValueError, "Invalid epsilon value: -1"),
    ("Adam", {"weight_decay": -1}, ValueError, "Invalid weight_decay value: -1"),
    ("Adam", {"fused": True, "foreach": True}, RuntimeError, "`fused` and `foreach` cannot be `True` together"),
    ("Adam", {"fused": True, "differentiable": True}, RuntimeError, "`fused` does not support"),
    ("AdamW", {"lr": tensorgrad.ones(2)}, ValueError, "Tensor lr must be 1-element"),
    ("AdamW", {"lr": tensorgrad.ones(1), "foreach": True}, ValueError, "lr as a Tensor is not supported"),
    ("Adamax", {"betas": (1.0, 0.5)}, ValueError, "Invalid beta parameter at index 0: 1.0"),
    ("NAdam", {"momentum_decay": -1}, ValueError, "Invalid momentum_decay value: -1"),
    ("RAdam", {"eps": -1}, ValueError, "Invalid epsilon value: -1"),
    ("Adagrad", {"lr_decay": -1}, ValueError, "Invalid lr_decay value: -1"),
    ("Adagrad", {"initial_accumulator_value": -1}, ValueError, "Invalid initial_accumulator_value value: -1"),
    ("Adadelta", {"rho": 1.1}, ValueError, "Invalid rho value: 1.1"),
    ("RMSprop", {"alpha": -1}, ValueError, "Invalid alpha value: -1"),
    ("RMSprop", {"momentum": -1}, ValueError, "Invalid momentum value: -1"),
    ("Rprop", {"etas": (1.1, 1.2)}, ValueError, "Invalid eta values: 1.1, 1.2"),
    ("ASGD", {"weight_decay": -1}, ValueError, "Invalid weight_decay value: -1"),
    ("LBFGS", {"lr": -1}, ValueError, "Invalid learning rate: -1"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD)
def test_options_that_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(optim, name)([nn.Parameter(tensorgrad.ones(1))], **options)


def test_options_without_meaning_here_are_accepted():
    for name in STATE:
        options = {"foreach": True}
        if name != "Adagrad":
            options["capturable"] = True
        param = nn.Parameter(tensorgrad.ones(2))
        optimizer = getattr(optim, name)([param], **options)
        param.grad = tensorgrad.ones(2)
        optimizer.step()
        assert param.tolist() != [1.0, 1.0]


def test_groups_that_are_added_later():
    first, second = nn.Parameter(tensorgrad.ones(1)), nn.Parameter(tensorgrad.ones(1))
    for name in STATE:
        optimizer = getattr(optim, name)([first], lr=0.1)
        optimizer.add_param_group({"params": [second], "lr": 0.0})
        first.grad, second.grad = tensorgrad.ones(1), tensorgrad.ones(1)
        optimizer.step()
        assert len(optimizer.state) == 2


def test_global_hooks():
    param = nn.Parameter(tensorgrad.ones(1))
    optimizer = optim.Adam([param])
    seen = []
    handles = [
        register_optimizer_step_pre_hook(lambda *args: seen.append(("before", args[0]))),
        register_optimizer_step_post_hook(lambda *args: seen.append(("after", args[0]))),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == [("before", optimizer), ("after", optimizer)]
