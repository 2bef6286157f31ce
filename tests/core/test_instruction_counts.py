"""What a small operator costs, in instructions: unlike time, the same on a busy machine.

One process under callgrind imports the library and warms up, then forks a child for N and one for 2N
calls of each case; the difference of their counts, over N, is the cost of a call, with neither import
nor exit in it. A cost may not exceed the ceiling recorded for this Python. To record ceilings::

    python tests/core/test_instruction_counts.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CEILINGS = Path(__file__).with_name("instruction_ceilings.json")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CALLS = 200
CALLS_OF_LONG_CASES = 10
# BLAS and libm choose their code by the processor; recorded on one machine, checked on others.
MARGIN = 1.25

CASES = {
    "loop": "pass",
    "x + y": "x + y",
    "x + y, recorded": "r + y",
    "x * 2": "x * 2",
    "x * 2, recorded": "r * 2",
    "sin": "sin(x)",
    "sin, recorded": "sin(r)",
    "x.sin()": "x.sin()",
    "x.add_(y)": "x.add_(y)",
    "x > 0": "x > 0",
    "x[1:3]": "x[1:3]",
    "x[1:3], recorded": "r[1:3]",
    "x[1]": "x[1]",
    "sum": "x.sum()",
    "sum, recorded": "r.sum()",
    "sum over rows": "m.sum(0)",
    "mean": "x.mean()",
    "max": "x.max()",
    "m @ m": "m @ m",
    "m @ m, recorded": "n @ m",
    "view": "m.view(64)",
    "view, recorded": "n.view(64)",
    "transposed": "m.t()",
    "reshape": "m.reshape(64)",
    "softmax": "softmax(m, 1)",
    "softmax, recorded": "softmax(n, 1)",
    "detach": "r.detach()",
    "tensor([...])": "tensor([1.0, 2.0, 3.0])",
    "zeros": "zeros(4)",
    "item": "s.item()",
    "forward and backward": "(r * y).sum().backward()",
    "forward and backward of 100 chained muls": "chain()",
    "SGD step of a 2-8-1 network": "step()",
}
LONG_CASES = ("forward and backward of 100 chained muls", "SGD step of a 2-8-1 network")

WORKER = """
import os, sys
import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_optim as optim
from tensorgrad import sin, softmax, tensor, zeros
x, y, s = tensorgrad.ones(4), tensorgrad.ones(4), tensorgrad.ones(())
r = tensorgrad.ones(4, requires_grad=True)
m, n = tensorgrad.ones(8, 8), tensorgrad.ones(8, 8, requires_grad=True)
def chain():
    z = r
    for _ in range(100):
        z = z * y
    z.sum().backward()

model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer, loss = optim.SGD(model.parameters(), lr=0.01), nn.MSELoss()
inputs, targets = tensorgrad.ones(4, 2), tensorgrad.ones(4, 1)

def step():
    optimizer.zero_grad()
    loss(model(inputs), targets).backward()
    optimizer.step()

cases, long_cases = {cases}, {long_cases}
functions = {{}}
for name, code in cases.items():
    exec(f"def run(times):\\n    for _ in range(times):\\n        {{code}}")
    functions[name] = run
    run(10 if name in long_cases else 100)
for name, run in functions.items():
    calls = {few} if name in long_cases else {calls}
    for times in (calls, calls * 2):
        child = os.fork()
        if child == 0:
            run(times)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(child, times, name, sep="\\t", flush=True)
os._exit(0)
"""


def counted(directory):
    """Instructions of a call, by case."""
    outputs = Path(directory)
    worker = outputs / "worker.py"
    worker.write_text(WORKER.format(cases=CASES, long_cases=LONG_CASES, calls=CALLS, few=CALLS_OF_LONG_CASES))
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={outputs}/%p.out", sys.executable]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    # A second thread would spin for as long as it pleases.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TENSORGRAD_PLUGINS": ""}
    run = subprocess.run(
        [*command, str(worker)], env=environment, cwd=outputs, capture_output=True, text=True, timeout=900
    )
    assert run.returncode == 0, run.stderr[-2000:]
    totals = {}
    for line in run.stdout.splitlines():
        child, times, name = line.split("\t")
        report = (outputs / f"{child}.out").read_text()
        totals[name, int(times)] = int(
            re.search(r"^(?:summary|totals): (\d+)", report, re.MULTILINE).group(1)
        )
    calls = {name: CALLS_OF_LONG_CASES if name in LONG_CASES else CALLS for name in CASES}
    costs = {name: (totals[name, 2 * n] - totals[name, n]) / n for name, n in calls.items()}
    return {name: round(cost - costs["loop"]) for name, cost in costs.items() if name != "loop"}


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    if PYTHON not in json.loads(CEILINGS.read_text()):
        pytest.skip(f"no ceilings are recorded for Python {PYTHON}: python {Path(__file__).name}")
    if os.environ.get("LD_PRELOAD") or os.environ.get("TENSORGRAD_NO_POOL"):
        pytest.skip("what is built or run for debugging costs more")
    return counted(tmp_path_factory.mktemp("callgrind"))


@pytest.mark.slow
@pytest.mark.parametrize("case", [name for name in CASES if name != "loop"])
def test_cost_is_under_its_ceiling(costs, case):
    ceiling = json.loads(CEILINGS.read_text())[PYTHON][case]
    assert 0 < costs[case] <= ceiling, (
        f"{case}: {costs[case]} instructions a call, at most {ceiling} are allowed"
    )


@pytest.mark.slow
def test_ceilings_are_not_slack(costs):
    """A ceiling far above the cost would let a regression through: record anew after an improvement."""
    recorded = json.loads(CEILINGS.read_text())[PYTHON]
    assert recorded.keys() == costs.keys()
    slack = {
        case: (costs[case], recorded[case]) for case in costs if recorded[case] > 2.5 * costs[case] + 500
    }
    assert not slack


def record():
    with tempfile.TemporaryDirectory() as directory:
        costs = counted(directory)
    recorded = json.loads(CEILINGS.read_text()) if CEILINGS.exists() else {}
    recorded[PYTHON] = {name: round(cost * MARGIN) for name, cost in costs.items()}
    CEILINGS.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
    for name, cost in costs.items():
        print(f"{name:44} {cost}")


if __name__ == "__main__":
    record()
