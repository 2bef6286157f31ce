"""The autograd chapter, block by block: each block's code is printed, run, and followed by what it prints.

    python walkthrough.py [--output DIRECTORY]

All blocks share one namespace, as the cells of a notebook do. The plots go into the directory as PNG files,
beside the picture of a graph (SVG) and a trace of the profiler. Addresses of objects are printed as ``0x...`` and
the seed is set once, so that two runs print the same (but for the times that the profiler takes). The exit status
is 1 if any block fails.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import importlib
import io
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorgrad


@dataclasses.dataclass(frozen=True)
class Block:
    """One code block of the chapter.

    Parameters
    ----------
    source : str
        Its code.
    session : bool, default: False
        Whether to show it as typed at the prompt, each statement followed by its output; otherwise the
        whole code comes first, and the value of a last line that is an expression counts as output.
    raises : str, optional
        The last line of the traceback that the block is there to show.
    needs : str, optional
        A module (a key of `NEEDS`) without which the block is left out.
    figure : str, optional
        Save what was plotted under this name.
    """

    source: str
    session: bool = False
    raises: str | None = None
    needs: str | None = None
    figure: str | None = None


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading of the chapter, what it is about, and its blocks."""

    title: str
    about: str
    blocks: tuple[Block, ...]


NEEDS = {"matplotlib": "Left out, for it needs matplotlib: python -m pip install matplotlib"}

CHAPTER = (
    Section(
        "Automatic differentiation (autograd)",
        "A scalar, a vector and a matrix are tensors of order 0, 1 and 2.",
        (
            Block(r"""
import tensorgrad
import tensorgrad_nn
import tensorgrad_optim

tensorgrad.manual_seed(0)

for data in (5., [1., 2.], [[1., 2., 3.], [4., 5., 6.], [7., 8., 9.], [10., 11., 12.]]):
    t = tensorgrad.tensor(data)
    print(t.ndim, t.shape)
"""),
        ),
    ),
    Section(
        "backward and grad",
        "The sum of gradients: accumulated in the leaves' .grad, or returned.",
        (
            Block(r"""
import inspect

print(*inspect.signature(tensorgrad.autograd.backward).parameters)
print(*inspect.signature(tensorgrad.autograd.grad).parameters)
"""),
        ),
    ),
    Section(
        "Locally disabling gradient computation: no_grad",
        "Results do not require grad, even where inputs do. Also a decorator.",
        (
            Block(
                r"""
x = tensorgrad.tensor([1.], requires_grad=True)
with tensorgrad.no_grad():
    y = x * 2
y.requires_grad
@tensorgrad.no_grad()
def doubler(x):
    return x * 2
z = doubler(x)
z.requires_grad
""",
                session=True,
            ),
        ),
    ),
    Section(
        "Locally disabling gradient computation: enable_grad",
        "Records again inside no_grad.",
        (
            Block(
                r"""
x = tensorgrad.tensor([1.], requires_grad=True)
with tensorgrad.no_grad():
    with tensorgrad.enable_grad():
        y = x * 2
y.requires_grad
y.backward()
x.grad
@tensorgrad.enable_grad()
def doubler(x):
    return x * 2
with tensorgrad.no_grad():
    z = doubler(x)
z.requires_grad
""",
                session=True,
            ),
        ),
    ),
    Section(
        "Locally disabling gradient computation: set_grad_enabled",
        "On or off by its argument, as a context manager or as a function.",
        (
            Block(
                r"""
x = tensorgrad.tensor([1.], requires_grad=True)
is_train = False
with tensorgrad.set_grad_enabled(is_train):
    y = x * 2
y.requires_grad
_ = tensorgrad.set_grad_enabled(True)
y = x * 2
y.requires_grad
_ = tensorgrad.set_grad_enabled(False)
y = x * 2
y.requires_grad
""",
                session=True,
            ),
        ),
    ),
    Section(
        "Locally disabling gradient computation: inference_mode",
        "As no_grad, without version counters and view tracking too.",
        (
            Block(
                r"""
import tensorgrad
x = tensorgrad.ones(1, 2, 3, requires_grad=True)
with tensorgrad.inference_mode():
    y = x * x
y.requires_grad
y._version
@tensorgrad.inference_mode()
def func(x):
    return x * x
out = func(x)
out.requires_grad
""",
                session=True,
                raises="RuntimeError: Inference tensors do not track version counter.",
            ),
        ),
    ),
    Section(
        "Functions of one's own",
        "A subclass of Function with forward and backward, called through apply.",
        (
            Block(
                r"""
from tensorgrad.autograd import Function
class Exp(Function):
    @staticmethod
    def forward(ctx, i):
        result = i.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        result, = ctx.saved_tensors
        return grad_output * result
input = tensorgrad.tensor([0., 1.], dtype=tensorgrad.float64, requires_grad=True)
output = Exp.apply(input)  # apply, not forward
output
tensorgrad.autograd.gradcheck(Exp.apply, (input,))
""",
                session=True,
            ),
        ),
    ),
    Section(
        "Automatic differentiation of a one-layer network",
        "The loss is computed from the parameters w and b, and each step is recorded.",
        (
            Block(r"""
import tensorgrad

x = tensorgrad.ones(5)  # input tensor
y = tensorgrad.zeros(3)  # expected output
w = tensorgrad.randn(5, 3, requires_grad=True)
b = tensorgrad.randn(3, requires_grad=True)
z = tensorgrad.matmul(x, w)+b
loss = tensorgrad_nn.functional.binary_cross_entropy_with_logits(z, y)
"""),
            Block(r"""
print(f"Gradient function for z = {z.grad_fn}")
print(f"Gradient function for loss = {loss.grad_fn}")
"""),
            Block(r"""
# the graph that was recorded, as text for Graphviz and as a picture that browsers show
named = {'w': w, 'b': b, 'z': z, 'loss': loss}
print(tensorgrad.autograd.graph.to_dot(loss, named))

directory.mkdir(parents=True, exist_ok=True)
(directory / 'graph.svg').write_text(tensorgrad.autograd.graph.to_svg(loss, named), encoding='utf-8')
print('(picture saved as graph.svg)')
"""),
        ),
    ),
    Section(
        "Computing gradients",
        "The derivatives of the loss with respect to the parameters.",
        (
            Block(r"""
loss.backward()
print(w.grad)
print(b.grad)
"""),
        ),
    ),
    Section(
        "Disabling gradient tracking",
        "For frozen parameters, and where only the forward pass is wanted.",
        (
            Block(r"""
z = tensorgrad.matmul(x, w)+b
print(z.requires_grad)

with tensorgrad.no_grad():
    z = tensorgrad.matmul(x, w)+b
print(z.requires_grad)
"""),
            Block(r"""
z = tensorgrad.matmul(x, w)+b
z_det = z.detach()
print(z_det.requires_grad)
"""),
        ),
    ),
    Section(
        "Tensor gradients and Jacobian products",
        "For an output that is no scalar, backward takes the v of the product v^T J; gradients add up.",
        (
            Block(r"""
inp = tensorgrad.eye(5, requires_grad=True)
out = (inp+1).pow(2)
out.backward(tensorgrad.ones_like(inp), retain_graph=True)
print(f"First call\n{inp.grad}")

out.backward(tensorgrad.ones_like(inp), retain_graph=True)
print(f"\nSecond call\n{inp.grad}")

inp.grad.zero_()
out.backward(tensorgrad.ones_like(inp), retain_graph=True)
print(f"\nCall after zeroing gradients\n{inp.grad}")
"""),
        ),
    ),
    Section(
        "Autograd in practice",
        "A sine, what is recorded of it, and its derivative.",
        (
            Block(r"""
import tensorgrad

import math
"""),
            Block(
                r"""
# %matplotlib inline

import matplotlib.pyplot as plt
import matplotlib.ticker as ticker
""",
                needs="matplotlib",
            ),
            Block(r"""
a = tensorgrad.linspace(0., 2. * math.pi, steps=25, requires_grad=True)
print(a)
"""),
            Block(r"""
b = tensorgrad.sin(a)
"""),
            Block(
                r"""
plt.plot(a.detach(), b.detach())
""",
                needs="matplotlib",
                figure="sine.png",
            ),
            Block(r"""
print(b)
"""),
            Block(r"""
c = 2 * b
print(c)

d = c + 1
print(d)
"""),
            Block(r"""
out = d.sum()
print(out)
"""),
            Block(r"""
node = d.grad_fn
print(f"d:\n{node}\n{node.next_functions}")
while node.next_functions:
    node = node.next_functions[0][0]
    print(node.next_functions)

print(f"\nc:\n{c.grad_fn}")
print(f"\nb:\n{b.grad_fn}")
print(f"\na:\n{a.grad_fn}")
"""),
            Block(r"""
out.backward()
print(a.grad)
"""),
            Block(
                r"""
plt.plot(a.detach(), a.grad.detach())
""",
                needs="matplotlib",
                figure="derivative.png",
            ),
            Block(r"""
a = tensorgrad.linspace(0., 2. * math.pi, steps=25, requires_grad=True)
b = tensorgrad.sin(a)
c = 2 * b
d = c + 1
out = d.sum()
"""),
        ),
    ),
    Section(
        "Autograd in training",
        "A small model, before and after one batch.",
        (
            Block(r"""
BATCH_SIZE = 16
DIM_IN = 1000
HIDDEN_SIZE = 100
DIM_OUT = 10

class TinyModel(tensorgrad_nn.Module):

    def __init__(self):
        super(TinyModel, self).__init__()

        self.layer1 = tensorgrad_nn.Linear(1000, 100)
        self.relu = tensorgrad_nn.ReLU()
        self.layer2 = tensorgrad_nn.Linear(100, 10)

    def forward(self, x):
        x = self.layer1(x)
        x = self.relu(x)
        x = self.layer2(x)
        return x

some_input = tensorgrad.randn(BATCH_SIZE, DIM_IN, requires_grad=False)
ideal_output = tensorgrad.randn(BATCH_SIZE, DIM_OUT, requires_grad=False)

model = TinyModel()
"""),
            Block(r"""
print(model.layer2.weight[0][0:10]) # a slice
print(model.layer2.weight.grad)
"""),
            Block(r"""
optimizer = tensorgrad_optim.SGD(model.parameters(), lr=0.001)

prediction = model(some_input)

loss = (ideal_output - prediction).pow(2).sum()
print(loss)
"""),
            Block(r"""
loss.backward()
print(model.layer2.weight[0][0:10])
print(model.layer2.weight.grad[0][0:10])
"""),
            Block(r"""
optimizer.step()
print(model.layer2.weight[0][0:10])
print(model.layer2.weight.grad[0][0:10])
"""),
            Block(r"""
print(model.layer2.weight.grad[0][0:10])

for i in range(0, 5):
    prediction = model(some_input)
    loss = (ideal_output - prediction).pow(2).sum()
    loss.backward()

print(model.layer2.weight.grad[0][0:10])

optimizer.zero_grad()

print(model.layer2.weight.grad[0][0:10])
"""),
        ),
    ),
    Section(
        "Turning autograd off and on",
        "By a tensor's flag, for a while, for a function, or for a copy.",
        (
            Block(r"""
a = tensorgrad.ones(2, 3, requires_grad=True)
print(a)

b1 = 2 * a
print(b1)

a.requires_grad = False
b2 = 2 * a
print(b2)
"""),
            Block(r"""
a = tensorgrad.ones(2, 3, requires_grad=True) * 2
b = tensorgrad.ones(2, 3, requires_grad=True) * 3

c1 = a + b
print(c1)

with tensorgrad.no_grad():
    c2 = a + b

print(c2)

c3 = a * b
print(c3)
"""),
            Block(r"""
def add_tensors1(x, y):
    return x + y

@tensorgrad.no_grad()
def add_tensors2(x, y):
    return x + y


a = tensorgrad.ones(2, 3, requires_grad=True) * 2
b = tensorgrad.ones(2, 3, requires_grad=True) * 3

c1 = add_tensors1(a, b)
print(c1)

c2 = add_tensors2(a, b)
print(c2)
"""),
            Block(r"""
x = tensorgrad.rand(5, requires_grad=True)
y = x.detach()

print(x)
print(y)
"""),
        ),
    ),
    Section(
        "The autograd profiler",
        "How often each operator ran, and for how long.",
        (
            Block(r"""
device = tensorgrad.device('cpu')
run_on_gpu = False
if tensorgrad.cuda.is_available():
    device = tensorgrad.device('cuda')
    run_on_gpu = True

x = tensorgrad.randn(2, 3, requires_grad=True)
y = tensorgrad.rand(2, 3, requires_grad=True)
z = tensorgrad.ones(2, 3, requires_grad=True)

with tensorgrad.autograd.profiler.profile(use_cuda=run_on_gpu) as prf:
    for _ in range(1000):
        z = (z / x) * y

print(prf.key_averages().table(sort_by='self_cpu_time_total'))
"""),
            Block(r"""
# labels on blocks of code, the data by input shape, and a file for Chrome's trace viewer
record_function = tensorgrad.autograd.profiler.record_function
with tensorgrad.autograd.profiler.profile(record_shapes=True) as prf:
    with record_function('small'):
        (x * y).sum().backward()
    with record_function('large'):
        (tensorgrad.ones(200, 300) * 2).sum()

print(prf.key_averages(group_by_input_shape=True).table(sort_by='cpu_time_total', row_limit=8))
directory.mkdir(parents=True, exist_ok=True)
prf.export_chrome_trace(directory / 'trace.json')
"""),
        ),
    ),
    Section(
        "The Jacobian",
        "The derivative of every output with respect to every input: here of sums of sines, so that row i ends at\n"
        "column i and column j holds cos(x[j]).",
        (
            Block(r"""
def f(x):
    return tensorgrad.cumsum(tensorgrad.sin(x), 0)

x = tensorgrad.linspace(0., 2. * math.pi, steps=25)
J = tensorgrad.autograd.functional.jacobian(f, x)
print(J.shape)
print(tensorgrad.allclose(J, tensorgrad.cos(x).expand(25, 25).tril()))
"""),
            Block(
                r"""
plt.imshow(J, cmap='RdBu_r', vmin=-1, vmax=1)
plt.colorbar(label='dy[i] / dx[j]')
plt.xlabel('input j')
plt.ylabel('output i')
plt.title('Jacobian of cumsum(sin(x))')
""",
                needs="matplotlib",
                figure="jacobian.png",
            ),
        ),
    ),
)


class BlockFailed(Exception):
    """A block raised what it should not, or did not raise what it should."""


def is_missing(module: str) -> bool:
    """Whether `module` is not installed; a module that is there and broken is not missing, it raises."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return True
        raise
    return False


def without_addresses(text: str) -> str:
    """`text` with every address replaced, since they differ from run to run."""
    return re.sub(r"\b0x[0-9a-fA-F]+", "0x...", text)


def statements(source: str) -> Iterator[tuple[str, ast.stmt]]:
    """The top-level statements of `source`, each with its text, from its decorators on."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))])
        yield "\n".join(lines[first - 1 : node.end_lineno]), node


def run_statement(node: ast.stmt, namespace: dict[str, Any], show: bool) -> str:
    """Run one statement and return what it printed; with `show` an expression prints its value."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if show and isinstance(node, ast.Expr):
            value = eval(compile(ast.Expression(node.value), "<block>", "eval"), namespace)
            if value is not None:
                print(repr(value))
        else:
            exec(compile(ast.Module([node], []), "<block>", "exec"), namespace)
    return without_addresses(printed.getvalue())


def run_session(block: Block, namespace: dict[str, Any]) -> None:
    """Run a block as it would be typed: every statement is followed by its output."""
    raised = None
    for text, node in statements(block.source.strip("\n")):
        first, *rest = text.splitlines()
        print(f">>> {first}")
        for line in rest:
            print(f"... {line}".rstrip())
        if rest:
            print("...")
        try:
            print(run_statement(node, namespace, show=True), end="")
        except Exception as error:
            raised = traceback.format_exception_only(error)[-1].strip()
            if raised != block.raises:
                raise
            print(raised)
    if raised != block.raises:
        raise BlockFailed(f"expected {block.raises}")


def run_script(block: Block, namespace: dict[str, Any]) -> None:
    """Show a block's code, run it, and show what it printed."""
    source = block.source.strip("\n")
    for line in source.splitlines():
        print(f"    {line}".rstrip())
    nodes = [node for _, node in statements(source)]
    heading = "\nOutput:\n\n"
    for node in nodes:
        output = run_statement(node, namespace, show=node is nodes[-1])
        if output:
            print(f"{heading}{output}", end="")
            heading = ""


def save_figure(path: Path) -> None:
    """Write the current plot to `path` and start a new one."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path)
    plt.close()
    print(f"(plot saved as {path.name})")


def run_block(block: Block, namespace: dict[str, Any], output: Path) -> bool:
    """Run one block; tell whether it did what it should."""
    if block.needs is not None and is_missing(block.needs):
        for line in block.source.strip("\n").splitlines():
            print(f"    {line}".rstrip())
        print(f"\n{NEEDS[block.needs]}")
        return True
    try:
        (run_session if block.session else run_script)(block, namespace)
        if block.figure is not None:
            save_figure(output / block.figure)
    except Exception:
        sys.stdout.flush()
        print(f"This block failed:\n{block.source}\n{traceback.format_exc()}", file=sys.stderr)
        return False
    finally:
        # The chapter's set_grad_enabled(False) leaves the mode off, and its next block needs it on.
        tensorgrad.set_grad_enabled(True)
    return True


def main() -> int:
    """Run the chapter; return the exit status."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("walkthrough-output"), help="directory for the plots"
    )
    output = parser.parse_args().output
    if not is_missing("matplotlib"):
        import matplotlib

        # Draws into files, on machines without a display too.
        matplotlib.use("Agg")
    namespace: dict[str, Any] = {"__name__": "walkthrough", "directory": output}
    failures = 0
    for number, section in enumerate(CHAPTER, 1):
        title = f"{number}. {section.title}"
        print(f"{title}\n{'=' * len(title)}\n\n{section.about}\n")
        for block in section.blocks:
            failures += not run_block(block, namespace, output)
            print()
    if failures:
        print(f"{failures} blocks failed; see above.", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
