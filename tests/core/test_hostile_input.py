"""No input from Python may crash the interpreter: every operator is called with nonsense, in a process of its own."""

import subprocess
import sys
import textwrap

import pytest

# Each chunk is a process: a crash names the operators among which it happened.
CHUNKS = 8

PROGRAM = textwrap.dedent("""
    import faulthandler, itertools, random, sys, warnings
    faulthandler.enable()
    warnings.simplefilter("ignore")
    import tensorgrad as tg

    chunk, chunks = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(chunk)

    class Liar:
        __index__ = lambda self: 1 << 70
        __len__ = lambda self: -1

    def pool():
        x = tg.arange(6.0).reshape(2, 3)
        return [
            None, True, 0, -1, 3, 10**30, 1 << 62, -(1 << 63), 2.5, float("nan"), float("inf"), 1j, "x", b"x", (), [], {},
            (1, 2), [0, -5], [1 << 62, 1 << 62], (2, "a"), [[1], [2, 3]], object(), Liar(), slice(None), Ellipsis,
            tg.float64, tg.int8, tg.device("cpu"), tg.Size([2, 3]), x, x.t(), x[:, 1], x.expand(4, 2, 3), x[:0],
            tg.ones(()), tg.ones(0), tg.tensor([1, -7, 1 << 60]), tg.tensor([True, False]), tg.zeros(2, 3, dtype=tg.bool),
            tg.ones(2, 3, dtype=tg.complex64), tg.ones(2, dtype=tg.bfloat16), tg.ones(2, 3, requires_grad=True),
            [tg.ones(2), tg.ones(3)], (tg.ones(2, 3), None), tg.Tensor.__new__(tg.Tensor), tg.ones(1, 1, 1, 1, 1, 1, 1, 1),
        ]

    names = sorted(tg._core.operator.all_operators().items())[chunk::chunks]
    calls = 0
    for name, op in names:
        print(name, file=sys.stderr, flush=True)
        for n in (0, 1, 2, 3, 4, 5):
            for _ in range(1 if n == 0 else 25):
                args = [rng.choice(pool()) for _ in range(n)]
                if n > 1 and rng.random() < 0.7:      # get past the first check
                    args[0] = rng.choice([p for p in pool() if isinstance(p, tg.Tensor)])
                calls += 1
                try:
                    result = op(*args)
                    if isinstance(result, tg.Tensor) and result.requires_grad and result.numel() < 1000:
                        result.sum().backward() if not result.is_complex() else result.abs().sum().backward()
                except Exception:
                    pass
        x = tg.ones(2, 2)
        assert (x + x).tolist() == [[2.0, 2.0], [2.0, 2.0]], name
    print(calls)
""")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_operators_survive_nonsense(chunk):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(chunk), str(CHUNKS)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 1000


def test_attributes_survive_nonsense():
    program = textwrap.dedent("""
        import faulthandler, warnings
        faulthandler.enable()
        warnings.simplefilter("ignore")
        import tensorgrad as tg
        values = [None, 1, -1, "x", 2.5, (), [1], object(), tg.ones(3), tg.ones(2, 3), tg.float64, slice(None), True]
        makers = [lambda: tg.ones(2, 3), lambda: tg.ones(2, 3, requires_grad=True) * 1, lambda: tg.ones(()),
                  lambda: tg.ones(2, 3)[0], lambda: tg.Tensor.__new__(tg.Tensor), lambda: tg.ones(2, 3).sum().detach()]
        for make in makers:
            for name in dir(tg.Tensor):
                for value in values:
                    x = make()
                    for act in (lambda: setattr(x, name, value), lambda: getattr(x, name)(value), lambda: getattr(x, name)(),
                                lambda: getattr(x, name)(value, value), lambda: delattr(x, name)):
                        try:
                            act()
                        except (Exception, SystemExit):
                            continue
        nodes = [(tg.ones(2, requires_grad=True) * 2).grad_fn]
        nodes.append(nodes[0].next_functions[0][0])
        for node in nodes:
            for name in dir(type(node)):
                for value in values:
                    for act in (lambda: getattr(node, name)(value), lambda: getattr(node, name)(), lambda: node(value),
                                lambda: type(node).__new__(type(node)), lambda: getattr(type(node).__new__(type(node)), name)):
                        try:
                            act()
                        except (Exception, SystemExit):
                            continue
        print("alive")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("alive")
