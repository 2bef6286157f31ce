"""What the autograd chapter prints, and the example that follows it.

What does not depend on a random draw is compared to the letter. What does is compared by form (a regular
expression) and by value, with closed formulas evaluated in double precision.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn
import tensorgrad_optim

WALKTHROUGH = Path(__file__).resolve().parents[2] / "examples" / "walkthrough.py"

ADDRESS = r"0x[0-9a-f]+"
NUMBER = r"-?\d+\.\d{4}(?:e[+-]\d{2})?"
# Ten numbers, of which as many are in the first line as fit into 80 columns.
TEN_NUMBERS = rf"tensor\(\[ *{NUMBER}(?:,\s+{NUMBER}){{9}}\]"


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """The same random numbers for every test, and grad mode left on."""
    tensorgrad.manual_seed(0)
    yield
    tensorgrad.set_grad_enabled(True)


def without_addresses(text: object) -> str:
    return re.sub(ADDRESS, "0x", str(text))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def double(x: tensorgrad.Tensor) -> np.ndarray:
    return np.array(x.detach().numpy(), dtype=np.float64)


# backward and grad ---------------------------------------------------------------------------------


def test_signature_of_backward() -> None:
    parameters = inspect.signature(tensorgrad.autograd.backward).parameters
    assert list(parameters)[:6] == [
        "tensors",
        "grad_tensors",
        "retain_graph",
        "create_graph",
        "grad_variables",
        "inputs",
    ]
    assert [p.default for p in parameters.values()][1:6] == [None, None, False, None, None]


def test_signature_of_grad() -> None:
    parameters = inspect.signature(tensorgrad.autograd.grad).parameters
    assert list(parameters)[:8] == [
        "outputs",
        "inputs",
        "grad_outputs",
        "retain_graph",
        "create_graph",
        "only_inputs",
        "allow_unused",
        "is_grads_batched",
    ]
    defaults = [p.default for p in parameters.values()][2:8]
    assert defaults[:4] == [None, None, False, True]
    # The chapter says False; since then PyTorch's default may be None, which means the same here.
    assert not defaults[4]
    assert defaults[5] is False


# Locally disabling gradient computation ------------------------------------------------------------


def test_no_grad() -> None:
    x = tensorgrad.tensor([1.0], requires_grad=True)
    with tensorgrad.no_grad():
        y = x * 2
    assert repr(y.requires_grad) == "False"

    @tensorgrad.no_grad()
    def doubler(x: tensorgrad.Tensor) -> tensorgrad.Tensor:
        return x * 2

    z = doubler(x)
    assert repr(z.requires_grad) == "False"


def test_enable_grad() -> None:
    x = tensorgrad.tensor([1.0], requires_grad=True)
    with tensorgrad.no_grad(), tensorgrad.enable_grad():
        y = x * 2
    assert repr(y.requires_grad) == "True"
    y.backward()
    assert repr(x.grad) == "tensor([2.])"

    @tensorgrad.enable_grad()
    def doubler(x: tensorgrad.Tensor) -> tensorgrad.Tensor:
        return x * 2

    with tensorgrad.no_grad():
        z = doubler(x)
    assert repr(z.requires_grad) == "True"


def test_set_grad_enabled() -> None:
    x = tensorgrad.tensor([1.0], requires_grad=True)
    is_train = False
    with tensorgrad.set_grad_enabled(is_train):
        y = x * 2
    assert repr(y.requires_grad) == "False"
    tensorgrad.set_grad_enabled(True)
    y = x * 2
    assert repr(y.requires_grad) == "True"
    tensorgrad.set_grad_enabled(False)
    y = x * 2
    assert repr(y.requires_grad) == "False"


def test_inference_mode() -> None:
    x = tensorgrad.ones(1, 2, 3, requires_grad=True)
    with tensorgrad.inference_mode():
        y = x * x
    assert repr(y.requires_grad) == "False"
    with pytest.raises(RuntimeError) as caught:
        y._version
    last_line = traceback.format_exception_only(caught.value)[-1]
    assert last_line == "RuntimeError: Inference tensors do not track version counter.\n"

    @tensorgrad.inference_mode()
    def func(x: tensorgrad.Tensor) -> tensorgrad.Tensor:
        return x * x

    out = func(x)
    assert repr(out.requires_grad) == "False"


# Functions of one's own ----------------------------------------------------------------------------


def test_exp_function() -> None:
    class Exp(tensorgrad.autograd.Function):
        @staticmethod
        def forward(ctx, i):
            result = i.exp()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx, grad_output):
            (result,) = ctx.saved_tensors
            return grad_output * result

    x = tensorgrad.tensor([0.0, 1.0, -2.0], dtype=tensorgrad.float64, requires_grad=True)
    output = Exp.apply(x)
    assert output.grad_fn.name() == "ExpBackward"
    np.testing.assert_allclose(double(output), np.exp([0.0, 1.0, -2.0]), rtol=1e-14)
    output.backward(tensorgrad.tensor([1.0, 2.0, 3.0], dtype=tensorgrad.float64))
    np.testing.assert_allclose(double(x.grad), np.exp([0.0, 1.0, -2.0]) * [1, 2, 3], rtol=1e-14)
    assert tensorgrad.autograd.gradcheck(Exp.apply, (x,))
    assert tensorgrad.autograd.gradgradcheck(Exp.apply, (x,))


# A one-layer network -------------------------------------------------------------------------------


def test_one_layer_network() -> None:
    x = tensorgrad.ones(5)
    y = tensorgrad.zeros(3)
    w = tensorgrad.randn(5, 3, requires_grad=True)
    b = tensorgrad.randn(3, requires_grad=True)
    z = tensorgrad.matmul(x, w) + b
    loss = tensorgrad_nn.functional.binary_cross_entropy_with_logits(z, y)

    assert re.fullmatch(
        f"Gradient function for z = <AddBackward0 object at {ADDRESS}>",
        f"Gradient function for z = {z.grad_fn}",
    )
    assert re.fullmatch(
        f"Gradient function for loss = <BinaryCrossEntropyWithLogitsBackward0 object at {ADDRESS}>",
        f"Gradient function for loss = {loss.grad_fn}",
    )
    logits = double(x) @ double(w) + double(b)
    np.testing.assert_allclose(double(z), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss.item(), np.log1p(np.exp(logits)).mean(), rtol=1e-5)

    loss.backward()
    row = rf"\[ *{NUMBER}, +{NUMBER}, +{NUMBER}\]"
    assert re.fullmatch(rf"tensor\(\[{row}(?:,\n        {row}){{4}}\]\)", str(w.grad))
    assert re.fullmatch(rf"tensor\({row}\)", str(b.grad))
    expected = (sigmoid(logits) - double(y)) / 3
    np.testing.assert_allclose(double(w.grad), np.outer(double(x), expected), rtol=1e-5)
    np.testing.assert_allclose(double(b.grad), expected, rtol=1e-5)


def test_disabled_tracking() -> None:
    x = tensorgrad.ones(5)
    w = tensorgrad.randn(5, 3, requires_grad=True)
    b = tensorgrad.randn(3, requires_grad=True)
    z = tensorgrad.matmul(x, w) + b
    assert str(z.requires_grad) == "True"
    with tensorgrad.no_grad():
        z = tensorgrad.matmul(x, w) + b
    assert str(z.requires_grad) == "False"
    z = tensorgrad.matmul(x, w) + b
    z_det = z.detach()
    assert str(z_det.requires_grad) == "False"


# Jacobian products ---------------------------------------------------------------------------------

ONCE = """\
tensor([[4., 2., 2., 2., 2.],
        [2., 4., 2., 2., 2.],
        [2., 2., 4., 2., 2.],
        [2., 2., 2., 4., 2.],
        [2., 2., 2., 2., 4.]])"""

TWICE = """\
tensor([[8., 4., 4., 4., 4.],
        [4., 8., 4., 4., 4.],
        [4., 4., 8., 4., 4.],
        [4., 4., 4., 8., 4.],
        [4., 4., 4., 4., 8.]])"""


def test_jacobian_products_accumulate() -> None:
    inp = tensorgrad.eye(5, requires_grad=True)
    out = (inp + 1).pow(2)
    out.backward(tensorgrad.ones_like(inp), retain_graph=True)
    assert str(inp.grad) == ONCE
    out.backward(tensorgrad.ones_like(inp), retain_graph=True)
    assert str(inp.grad) == TWICE
    inp.grad.zero_()
    out.backward(tensorgrad.ones_like(inp), retain_graph=True)
    assert str(inp.grad) == ONCE


# Autograd in practice ------------------------------------------------------------------------------

A = """\
tensor([0.0000, 0.2618, 0.5236, 0.7854, 1.0472, 1.3090, 1.5708, 1.8326, 2.0944,
        2.3562, 2.6180, 2.8798, 3.1416, 3.4034, 3.6652, 3.9270, 4.1888, 4.4506,
        4.7124, 4.9742, 5.2360, 5.4978, 5.7596, 6.0214, 6.2832],
       requires_grad=True)"""

B = """\
tensor([ 0.0000e+00,  2.5882e-01,  5.0000e-01,  7.0711e-01,  8.6603e-01,
         9.6593e-01,  1.0000e+00,  9.6593e-01,  8.6603e-01,  7.0711e-01,
         5.0000e-01,  2.5882e-01, -8.7423e-08, -2.5882e-01, -5.0000e-01,
        -7.0711e-01, -8.6603e-01, -9.6593e-01, -1.0000e+00, -9.6593e-01,
        -8.6603e-01, -7.0711e-01, -5.0000e-01, -2.5882e-01,  1.7485e-07],
       grad_fn=<SinBackward0>)"""

C = """\
tensor([ 0.0000e+00,  5.1764e-01,  1.0000e+00,  1.4142e+00,  1.7321e+00,
         1.9319e+00,  2.0000e+00,  1.9319e+00,  1.7321e+00,  1.4142e+00,
         1.0000e+00,  5.1764e-01, -1.7485e-07, -5.1764e-01, -1.0000e+00,
        -1.4142e+00, -1.7321e+00, -1.9319e+00, -2.0000e+00, -1.9319e+00,
        -1.7321e+00, -1.4142e+00, -1.0000e+00, -5.1764e-01,  3.4969e-07],
       grad_fn=<MulBackward0>)"""

D = """\
tensor([ 1.0000e+00,  1.5176e+00,  2.0000e+00,  2.4142e+00,  2.7321e+00,
         2.9319e+00,  3.0000e+00,  2.9319e+00,  2.7321e+00,  2.4142e+00,
         2.0000e+00,  1.5176e+00,  1.0000e+00,  4.8236e-01, -3.5763e-07,
        -4.1421e-01, -7.3205e-01, -9.3185e-01, -1.0000e+00, -9.3185e-01,
        -7.3205e-01, -4.1421e-01,  4.7684e-07,  4.8236e-01,  1.0000e+00],
       grad_fn=<AddBackward0>)"""

A_GRAD = """\
tensor([ 2.0000e+00,  1.9319e+00,  1.7321e+00,  1.4142e+00,  1.0000e+00,
         5.1764e-01, -8.7423e-08, -5.1764e-01, -1.0000e+00, -1.4142e+00,
        -1.7321e+00, -1.9319e+00, -2.0000e+00, -1.9319e+00, -1.7321e+00,
        -1.4142e+00, -1.0000e+00, -5.1764e-01,  2.3850e-08,  5.1764e-01,
         1.0000e+00,  1.4142e+00,  1.7321e+00,  1.9319e+00,  2.0000e+00])"""


@pytest.fixture
def sine() -> dict[str, tensorgrad.Tensor]:
    """The five tensors of the chapter's calculation, by their names in it."""
    a = tensorgrad.linspace(0.0, 2.0 * math.pi, steps=25, requires_grad=True)
    b = tensorgrad.sin(a)
    c = 2 * b
    d = c + 1
    return {"a": a, "b": b, "c": c, "d": d, "out": d.sum()}


@pytest.mark.parametrize(
    ("name", "printed"),
    [("a", A), ("b", B), ("c", C), ("d", D), ("out", "tensor(25., grad_fn=<SumBackward0>)")],
)
def test_sine_values(sine: dict[str, tensorgrad.Tensor], name: str, printed: str) -> None:
    assert str(sine[name]) == printed


def test_sine_graph(sine: dict[str, tensorgrad.Tensor]) -> None:
    d = sine["d"]
    node = d.grad_fn
    lines = ["d:", str(node), str(node.next_functions)]
    while node.next_functions:
        node = node.next_functions[0][0]
        lines.append(str(node.next_functions))
    lines += ["", "c:", str(sine["c"].grad_fn), "", "b:", str(sine["b"].grad_fn)]
    lines += ["", "a:", str(sine["a"].grad_fn)]
    assert without_addresses("\n".join(lines)) == (
        "d:\n"
        "<AddBackward0 object at 0x>\n"
        "((<MulBackward0 object at 0x>, 0), (None, 0))\n"
        "((<SinBackward0 object at 0x>, 0), (None, 0))\n"
        "((<AccumulateGrad object at 0x>, 0),)\n"
        "()\n"
        "\n"
        "c:\n"
        "<MulBackward0 object at 0x>\n"
        "\n"
        "b:\n"
        "<SinBackward0 object at 0x>\n"
        "\n"
        "a:\n"
        "None"
    )
    # The edges lead to the nodes of the tensors themselves.
    assert d.grad_fn.next_functions[0][0] is sine["c"].grad_fn
    assert sine["c"].grad_fn.next_functions[0][0] is sine["b"].grad_fn


def test_sine_gradient(sine: dict[str, tensorgrad.Tensor]) -> None:
    sine["out"].backward()
    assert str(sine["a"].grad) == A_GRAD
    np.testing.assert_allclose(double(sine["a"].grad), 2 * np.cos(double(sine["a"])), rtol=1e-6)


def test_only_leaves_have_a_gradient(sine: dict[str, tensorgrad.Tensor]) -> None:
    sine["out"].backward()
    with warnings.catch_warnings():
        # PyTorch warns here; that it is a warning and not an error is what counts.
        warnings.simplefilter("ignore")
        assert str(sine["c"].grad) == "None"


# Autograd in training ------------------------------------------------------------------------------

LEARNING_RATE = 0.001


class TinyModel(tensorgrad_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = tensorgrad_nn.Linear(1000, 100)
        self.relu = tensorgrad_nn.ReLU()
        self.layer2 = tensorgrad_nn.Linear(100, 10)

    def forward(self, x: tensorgrad.Tensor) -> tensorgrad.Tensor:
        x = self.layer1(x)
        x = self.relu(x)
        x = self.layer2(x)
        return x


class Training:
    """The chapter's model with its one batch, and what calculus says of it."""

    def __init__(self) -> None:
        self.some_input = tensorgrad.randn(16, 1000, requires_grad=False)
        self.ideal_output = tensorgrad.randn(16, 10, requires_grad=False)
        self.model = TinyModel()
        self.optimizer = tensorgrad_optim.SGD(self.model.parameters(), lr=LEARNING_RATE)

    def loss(self) -> tensorgrad.Tensor:
        prediction = self.model(self.some_input)
        return (self.ideal_output - prediction).pow(2).sum()

    def closed_form(self) -> tuple[float, np.ndarray]:
        """The loss, and its gradient for layer2.weight: 2 (prediction - ideal)^T hidden."""
        layer1, layer2 = self.model.layer1, self.model.layer2
        hidden = np.maximum(double(self.some_input) @ double(layer1.weight).T + double(layer1.bias), 0)
        prediction = hidden @ double(layer2.weight).T + double(layer2.bias)
        error = prediction - double(self.ideal_output)
        return float((error**2).sum()), 2 * error.T @ hidden


@pytest.fixture
def training() -> Training:
    return Training()


def test_model_before_training(training: Training) -> None:
    weight = training.model.layer2.weight
    assert re.fullmatch(TEN_NUMBERS + r", grad_fn=<SliceBackward0>\)", str(weight[0][0:10]))
    assert str(weight.grad) == "None"
    # Linear draws from the interval of half-width 1/sqrt(in_features).
    assert np.abs(double(weight)).max() <= 0.1
    assert double(weight).std() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)


def test_loss(training: Training) -> None:
    loss = training.loss()
    assert re.fullmatch(r"tensor\(\d+\.\d{4}, grad_fn=<SumBackward0>\)", str(loss))
    assert loss.item() == pytest.approx(training.closed_form()[0], rel=1e-5)


def test_gradient_of_the_loss(training: Training) -> None:
    weight = training.model.layer2.weight
    before = str(weight[0][0:10])
    training.loss().backward()
    assert str(weight[0][0:10]) == before
    assert re.fullmatch(TEN_NUMBERS + r"\)", str(weight.grad[0][0:10]))
    np.testing.assert_allclose(double(weight.grad), training.closed_form()[1], rtol=1e-4, atol=1e-4)


def test_optimizer_step(training: Training) -> None:
    weight = training.model.layer2.weight
    training.loss().backward()
    old, gradient = double(weight), double(weight.grad)
    training.optimizer.step()
    assert re.fullmatch(TEN_NUMBERS + r", grad_fn=<SliceBackward0>\)", str(weight[0][0:10]))
    # Within the rounding of float32 numbers no larger than 0.2.
    np.testing.assert_allclose(double(weight), old - LEARNING_RATE * gradient, rtol=0, atol=3e-8)
    assert not np.array_equal(double(weight), old)
    np.testing.assert_array_equal(double(weight.grad), gradient)


def test_gradients_accumulate_until_zeroed(training: Training) -> None:
    weight = training.model.layer2.weight
    training.loss().backward()
    training.optimizer.step()
    first = double(weight.grad)
    for _ in range(0, 5):
        training.loss().backward()
    assert re.fullmatch(TEN_NUMBERS + r"\)", str(weight.grad[0][0:10]))
    expected = first + 5 * training.closed_form()[1]
    np.testing.assert_allclose(double(weight.grad), expected, rtol=1e-4, atol=5e-4)

    training.optimizer.zero_grad()
    # PyTorch 2 leaves None here by default. The chapter prints zeros.
    assert str(weight.grad[0][0:10]) == "tensor([0., 0., 0., 0., 0., 0., 0., 0., 0., 0.])"


# Turning autograd off and on -----------------------------------------------------------------------


def filled(value: int, suffix: str = "") -> str:
    """How a tensor of two rows and three columns prints that is `value` everywhere."""
    row = ", ".join([f"{value}."] * 3)
    return f"tensor([[{row}],\n        [{row}]]{suffix})"


def test_requires_grad_flag() -> None:
    a = tensorgrad.ones(2, 3, requires_grad=True)
    assert str(a) == filled(1, ", requires_grad=True")
    b1 = 2 * a
    assert str(b1) == filled(2, ", grad_fn=<MulBackward0>")
    a.requires_grad = False
    b2 = 2 * a
    assert str(b2) == filled(2)


def test_no_grad_block() -> None:
    a = tensorgrad.ones(2, 3, requires_grad=True) * 2
    b = tensorgrad.ones(2, 3, requires_grad=True) * 3
    c1 = a + b
    assert str(c1) == filled(5, ", grad_fn=<AddBackward0>")
    with tensorgrad.no_grad():
        c2 = a + b
    assert str(c2) == filled(5)
    c3 = a * b
    assert str(c3) == filled(6, ", grad_fn=<MulBackward0>")


def test_no_grad_decorator() -> None:
    def add_tensors1(x: tensorgrad.Tensor, y: tensorgrad.Tensor) -> tensorgrad.Tensor:
        return x + y

    @tensorgrad.no_grad()
    def add_tensors2(x: tensorgrad.Tensor, y: tensorgrad.Tensor) -> tensorgrad.Tensor:
        return x + y

    a = tensorgrad.ones(2, 3, requires_grad=True) * 2
    b = tensorgrad.ones(2, 3, requires_grad=True) * 3
    c1 = add_tensors1(a, b)
    assert str(c1) == filled(5, ", grad_fn=<AddBackward0>")
    c2 = add_tensors2(a, b)
    assert str(c2) == filled(5)


def test_detach() -> None:
    x = tensorgrad.rand(5, requires_grad=True)
    y = x.detach()
    assert re.fullmatch(rf"tensor\(\[{NUMBER}(, {NUMBER}){{4}}\], requires_grad=True\)", str(x))
    assert str(y) == str(x).replace(", requires_grad=True", "")
    assert double(x).min() >= 0
    assert double(x).max() < 1
    assert y.data_ptr() == x.data_ptr()


# The profiler --------------------------------------------------------------------------------------


def test_profiler() -> None:
    x = tensorgrad.randn(2, 3, requires_grad=True)
    y = tensorgrad.rand(2, 3, requires_grad=True)
    z = tensorgrad.ones(2, 3, requires_grad=True)
    with tensorgrad.autograd.profiler.profile(use_cuda=False) as prf:
        for _ in range(1000):
            z = (z / x) * y
    table = prf.key_averages().table(sort_by="self_cpu_time_total")
    columns = r"Name +Self CPU % +Self CPU +CPU total % +CPU total +CPU time avg +# of Calls"
    assert re.search(columns, table)
    for name in ("div", "mul"):
        assert re.search(rf"tensorgrad::{name} +[\d.]+% +[\d.]+\ws +[\d.]+% +[\d.]+\ws +[\d.]+\ws +1000\b", table)
    assert re.search(r"^Self CPU time total: [\d.]+\ws$", table, re.MULTILINE)


# The example ---------------------------------------------------------------------------------------


def run_walkthrough(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(WALKTHROUGH), *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run of the example, and the directory that it was told to write to."""
    directory = tmp_path_factory.mktemp("walkthrough")
    return run_walkthrough(directory, "--output", "plots"), directory / "plots"


@pytest.fixture
def walkthrough(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module, that some other chapter may be put into."""
    spec = importlib.util.spec_from_file_location("walkthrough", WALKTHROUGH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "walkthrough", module)
    spec.loader.exec_module(module)
    return module


def test_walkthrough_succeeds(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    run, _ = finished
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "printed",
    [
        A,
        B,
        C,
        D,
        A_GRAD,
        f"First call\n{ONCE}\n\nSecond call\n{TWICE}\n\nCall after zeroing gradients\n{ONCE}\n",
        ">>> y._version\nRuntimeError: Inference tensors do not track version counter.\n",
        "Gradient function for z = <AddBackward0 object at 0x...>\n",
        "((<MulBackward0 object at 0x...>, 0), (None, 0))\n",
        "tensor([0., 0., 0., 0., 0., 0., 0., 0., 0., 0.])\n",
    ],
)
def test_walkthrough_prints(finished: tuple[subprocess.CompletedProcess[str], Path], printed: str) -> None:
    assert printed in finished[0].stdout


def test_walkthrough_plots(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    pytest.importorskip("matplotlib", reason="the plots need matplotlib")
    _, plots = finished
    pictures = sorted(plots.glob("*.png"))
    assert [path.name for path in pictures] == ["derivative.png", "jacobian.png", "sine.png"]
    for path in pictures:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert len(content) > 5000


def test_walkthrough_draws_the_graph(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    run, plots = finished
    names = ["w", "b", "loss", "BinaryCrossEntropyWithLogitsBackward0", "AddBackward0", "z"]
    picture = ElementTree.parse(plots / "graph.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    drawn = [text.strip() for text in picture.itertext() if text.strip()]
    for name in names:
        assert name in drawn
        assert re.search(rf'label="(\w+\\n)?{name}\\n', run.stdout)
    assert re.search(r"digraph \{\n(.*\n)* +v\d+ -> v\d+;\n", run.stdout)


def test_walkthrough_profiles(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    run, plots = finished
    assert re.search(r"tensorgrad::mul +[\d.]+% .* 1000 ", run.stdout)
    assert re.search(r"\blarge +[\d.]+%", run.stdout)
    assert "[[200, 300], []]" in run.stdout
    names = {entry["name"] for entry in json.loads((plots / "trace.json").read_text())["traceEvents"]}
    assert {"small", "large", "tensorgrad::mul", "MulBackward0"} <= names


def test_walkthrough_jacobian(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    assert "tensorgrad.Size([25, 25])\nTrue\n" in finished[0].stdout


def test_walkthrough_repeats_itself(
    finished: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path
) -> None:
    again = run_walkthrough(tmp_path)
    # The profiler's times differ; what comes after it is compared with what it should be elsewhere.
    before_profiler = [run.stdout.partition("The autograd profiler")[0] for run in (finished[0], again)]
    assert before_profiler[0] == before_profiler[1]
    if importlib.util.find_spec("matplotlib"):
        assert len(list((tmp_path / "walkthrough-output").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"source": "1 + 1"}, 0, ""),
        ({"source": "1 / 0"}, 1, "ZeroDivisionError: division by zero"),
        ({"source": "1 / 0", "session": True}, 1, "ZeroDivisionError: division by zero"),
        (
            {"source": "1 / 0", "session": True, "raises": "ZeroDivisionError: division by zero"},
            0,
            "",
        ),
        ({"source": "1", "session": True, "raises": "KeyError: 1"}, 1, "expected KeyError: 1"),
    ],
)
def test_walkthrough_exit_status(
    walkthrough: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: dict[str, object],
    status: int,
    message: str,
) -> None:
    chapter = (walkthrough.Section("Title", "About.", (walkthrough.Block(**arguments),)),)
    monkeypatch.setattr(walkthrough, "CHAPTER", chapter)
    monkeypatch.setattr(sys, "argv", ["walkthrough.py"])
    assert walkthrough.main() == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("module", ["matplotlib"])
def test_walkthrough_without_a_module(
    walkthrough: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
) -> None:
    # None is how sys.modules says that there is no such module.
    monkeypatch.setitem(sys.modules, module, None)
    chapter = (walkthrough.Section("Title", "About.", (walkthrough.Block("print('run')", needs=module),)),)
    monkeypatch.setattr(walkthrough, "CHAPTER", chapter)
    monkeypatch.setattr(sys, "argv", ["walkthrough.py"])
    assert walkthrough.main() == 0
    printed = capsys.readouterr().out
    assert walkthrough.NEEDS[module] in printed
    assert "\nrun" not in printed
