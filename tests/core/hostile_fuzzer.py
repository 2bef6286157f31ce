"""Calls every operator with random hostile arguments; a crash of this process, or its time limit, is a finding.

    python tests/core/hostile_fuzzer.py SEED CALLS [OPERATOR...]

Arguments follow the operator's signature often enough to reach its kernel and are nonsense otherwise. What was called
last is in the file that TENSORGRAD_FUZZ_LOG names, or on stderr.
"""

import faulthandler
import os
import random
import resource
import sys
import warnings

import numpy as np

import tensorgrad as tg
from tensorgrad import autograd
from tensorgrad._core.operator import all_operators
from tensorgrad.autograd import forward_ad

SECONDS_PER_CALL = 60
MEMORY = 6 << 30  # bytes of address space; AddressSanitizer needs terabytes

SHAPES = [(), (0,), (1,), (3,), (7,), (2, 3), (3, 3), (2, 0, 3), (3, 1), (2, 3, 4), (1, 2, 5), (1, 2, 5, 5), (2, 4, 3, 3),
          (1, 1, 4, 4, 4), (1,) * 8, (2,) + (1,) * 63, (40, 50), (1 << 14,)]  # fmt: skip
INTS = [-2, -1, 0, 0, 1, 1, 2, 2, 3, 4, 5, 8, 31, 64, 100]
EXTREME_INTS = [
    1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32, 1 << 40, 1 << 58, 1 << 61, 1 << 62, (1 << 63) - 1, -(1 << 63), 1 << 63, 1 << 64, 10**30,
]  # fmt: skip
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 3.7, 1e-300, 1e308, float("nan"), float("inf"), -float("inf")]
DTYPES = [
    tg.bool, tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64, tg.uint16, tg.uint32, tg.uint64,
    tg.float16, tg.bfloat16, tg.float32, tg.float64, tg.complex64, tg.complex128,
]  # fmt: skip


class Sub(tg.Tensor):
    """A subclass whose instances die noisily."""

    def __del__(self):
        self.shape


class Raises:
    """Every conversion raises."""

    def fail(self, *args):
        raise ValueError("no conversion")

    __index__ = __int__ = __float__ = __complex__ = __bool__ = __len__ = __iter__ = __getitem__ = __eq__ = fail
    __hash__ = object.__hash__


class Meddler:
    """A conversion that changes the other arguments while they are being parsed."""

    def __init__(self, fuzzer):
        self.fuzzer = fuzzer

    def meddle(self):
        self.fuzzer.meddle()
        return self.fuzzer.rng.choice([0, 1, 2])

    def __index__(self):
        return self.meddle()

    def __float__(self):
        return float(self.meddle())

    def __len__(self):
        return self.meddle()

    def __getitem__(self, i):
        if i > 2:
            raise IndexError(i)
        return self.meddle()


class MeddlingInt(int):
    fuzzer = None

    def __index__(self):
        self.fuzzer.meddle()
        return 1

    def __float__(self):
        self.fuzzer.meddle()
        return 1.0

    __int__ = __trunc__ = __index__

    def __lt__(self, other):
        self.fuzzer.meddle()
        return True

    __le__ = __lt__
    __hash__ = int.__hash__


class Fuzzer:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.tensors = []
        MeddlingInt.fuzzer = self

    def meddle(self):
        """Give a tensor of the present call other memory and another shape."""
        if not self.tensors:
            return
        x = self.rng.choice(self.tensors)
        try:
            how = self.rng.randrange(5)
            if how == 0:
                x.data = tg.ones(self.rng.choice(SHAPES), dtype=x.dtype)
            elif how == 1:
                x.data = tg.ones(2, 3)
            elif how == 2:
                x.detach_().resize_(self.rng.choice([(0,), (1,), (1 << 12,)]))
            elif how == 3:
                x.set_(tg.ones((1,) * 7, dtype=x.dtype))
            else:
                x.requires_grad_(False).t_()
        except (RuntimeError, AttributeError, TypeError, IndexError):
            pass  # it may not be changed in this way

    # ---- arguments ----------------------------------------------------------------------------------
    def tensor(self, dtype=None, shape=None):
        rng = self.rng
        shape = rng.choice(SHAPES) if shape is None else shape
        dtype = rng.choice(DTYPES) if dtype is None else dtype
        if rng.random() < 0.5:
            dtype = rng.choice([tg.float32, tg.float64, tg.int64])
        count = int(np.prod(shape))
        values = np.array([rng.choice((0, 1, 2, 3, 5, -1)) for _ in range(min(count, 50))] or [0])
        x = tg.from_numpy(np.resize(values, shape).astype(np.float64)).to(dtype)
        if dtype.is_floating_point and count and rng.random() < 0.1:
            x.view(-1)[0] = rng.choice(FLOATS)
        if dtype is tg.int64 and count and rng.random() < 0.1:
            x.view(-1)[0] = rng.choice([-(1 << 63), (1 << 63) - 1, 1 << 40])
        kind = rng.randrange(12)
        if kind == 0 and x.ndim >= 2:
            x = x.transpose(0, -1)
        elif kind == 1 and x.ndim and x.shape[-1] > 1:
            x = x[..., ::2]
        elif kind == 2 and x.ndim < 60:
            x = x.expand(rng.choice([0, 1, 4]), *x.shape)
        elif kind == 3 and count > 6:
            x = x.reshape(-1).as_strided((3, 3), (1, 1))
        elif kind == 4 and count:
            x = tg.from_numpy(np.flip(x.to(tg.float64).numpy()))
        elif kind == 5:
            x = x.as_subclass(Sub)
        elif kind == 6 and x.ndim:
            x = x[1:]
        if rng.random() < 0.25 and (x.is_floating_point() or x.is_complex()):
            x = x.detach().requires_grad_()
            if rng.random() < 0.5:
                x = x * 1
        self.tensors.append(x)
        return x

    def integer(self):
        p = self.rng.random()
        return self.rng.choice(INTS) if p < 0.85 else self.rng.choice(EXTREME_INTS) if p < 0.97 else MeddlingInt(2)

    def nonsense(self):
        rng = self.rng
        return rng.choice([
            lambda: None, lambda: True, self.integer, lambda: rng.choice(FLOATS), lambda: 1j, lambda: "x", lambda: b"x", tuple,
            lambda: [], dict, lambda: [self.integer() for _ in range(rng.randrange(70))], lambda: (2, "a"), lambda: [[1], [2, 3]],
            object, Raises, lambda: Meddler(self), lambda: slice(None), lambda: slice(Meddler(self), None), lambda: ...,
            lambda: rng.choice(DTYPES), lambda: tg.device("cpu"), lambda: tg.Size([2, 3]), self.tensor, self.tensor,
            lambda: [self.tensor() for _ in range(rng.randrange(4))], lambda: (self.tensor(), None),
            lambda: tg.Tensor.__new__(tg.Tensor), lambda: (Meddler(self), 2), lambda: iter([1, 2]), lambda: np.float32(2),
            lambda: np.ones((2, 3)), lambda: (x for x in (1, Raises())), lambda: MeddlingInt(1), lambda: range(3), lambda: tg.Tensor,
        ])()  # fmt: skip

    def argument(self, type_name):
        """Something that a parameter of this type might take."""
        rng = self.rng
        if rng.random() < 0.06:
            return self.nonsense()
        if type_name.endswith("?") and rng.random() < 0.4:
            return None
        kind = type_name.rstrip("?!")
        if kind == "Tensor":
            return self.tensor()
        if kind == "Operand":
            return self.tensor() if rng.random() < 0.7 else rng.choice([self.integer(), rng.choice(FLOATS), True, 1j])
        if kind in ("Tensor[]", "Tensor..."):
            shape = rng.choice(SHAPES)
            return [self.tensor(shape=shape if rng.random() < 0.8 else None) for _ in range(rng.randrange(4))]
        if kind == "Number":
            return rng.choice([self.integer(), rng.choice(FLOATS), True, 1j])
        if kind in ("int", "Dim", "NewDim"):
            return self.integer()
        if kind == "float":
            return rng.choice(FLOATS)
        if kind == "bool":
            return rng.random() < 0.5
        if kind in ("Dims", "Size"):
            if rng.random() < 0.2:
                return self.integer()
            return tuple([self.integer() for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 65]))])
        if kind == "DType":
            return rng.choice(DTYPES)
        if kind == "Device":
            return "cpu"
        if kind == "Indices":
            return [rng.choice([None, self.tensor(dtype=tg.int64)]) for _ in range(rng.randrange(1, 4))]
        if kind == "str":
            return rng.choice(["mean", "sum", "none", "max", "reflect", "x", "ij", "i,j->ij", "...i->i", "constant"])
        return self.nonsense()

    # ---- calls --------------------------------------------------------------------------------------
    def call(self, name, op, tell):
        rng = self.rng
        self.tensors = []
        overload = rng.choice(op.overloads)
        params = overload.parsed().params
        texts = [str(p).partition("=")[0].split() for p in params]  # [type, name]
        args, kwargs = [], {}
        for (type_name, param), p in zip(texts, params):
            optional = "=" in str(p)
            if optional and rng.random() < 0.5:
                continue
            if optional or rng.random() < 0.1:
                kwargs[param] = self.argument(type_name)
            elif not kwargs:
                args.append(self.argument(type_name))
            else:
                kwargs[param] = self.argument(type_name)
        if rng.random() < 0.03:
            args.append(self.nonsense())
        if rng.random() < 0.08:
            kwargs["out"] = rng.choice([self.tensor(), (self.tensor(), self.tensor()), None, self.nonsense()])
        how = rng.randrange(20)
        tell(name, how, args, kwargs)
        function = op
        if how < 4 and args and isinstance(args[0], tg.Tensor) and hasattr(args[0], name):
            function = getattr(args.pop(0), name)
        if how == 4:
            with tg.no_grad():
                return function(*args, **kwargs)
        if how == 5:
            with tg.inference_mode():
                return function(*args, **kwargs)
        if how == 6 and args:
            return tg.func.vmap(lambda *a: function(*a, **kwargs))(*args)
        if how == 7 and args and isinstance(args[0], tg.Tensor):
            return tg.func.vmap(lambda x: function(x, *args[1:], **kwargs))(args[0])
        if how == 8 and args and isinstance(args[0], tg.Tensor):
            with forward_ad.dual_level():
                return function(forward_ad.make_dual(args[0], tg.ones_like(args[0])), *args[1:], **kwargs)
        if how == 9 and args and isinstance(args[0], tg.Tensor):
            return tg.func.grad(lambda x: function(x, *args[1:], **kwargs).abs().sum())(args[0])
        result = function(*args, **kwargs)
        self.backward(result)
        return result

    def backward(self, result):
        results = [x for x in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(x, tg.Tensor)]
        results = [x for x in results if x.requires_grad and x.numel() < 1 << 16]
        if not results:
            return
        grads = [self.tensor(dtype=x.dtype, shape=tuple(x.shape)) if self.rng.random() < 0.3 else tg.ones_like(x) for x in results]
        if self.rng.random() < 0.3:
            self.tensors += results
            if self.rng.random() < 0.5:
                results[0].register_hook(lambda g: self.meddle())
            else:
                self.meddle()
        inputs = [x for x in self.tensors if x.requires_grad]
        create_graph = self.rng.random() < 0.2
        found = autograd.grad(results, inputs, grads, create_graph=create_graph, allow_unused=True)
        for g in found:
            if g is not None and create_graph and g.requires_grad:
                autograd.grad(g, inputs, tg.ones_like(g), allow_unused=True)


def shown(x):
    if isinstance(x, tg.Tensor):
        try:
            return f"T{list(x.shape)[:9]}{str(x.dtype)[11:]}s{x.stride()[:9]}{'g' if x.requires_grad else ''}"
        except RuntimeError:
            return "T?"
    if isinstance(x, (list, tuple)):
        return type(x).__name__ + "(" + ", ".join([shown(i) for i in x[:70]]) + ")"
    return type(x).__name__ if isinstance(x, (Raises, Meddler, np.ndarray)) else repr(x)[:60]


def main(seed, calls, names):
    faulthandler.enable()
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(3000)
    if "asan" not in os.environ.get("LD_PRELOAD", ""):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    fuzzer = Fuzzer(seed)
    operators = sorted(all_operators().items())
    operators = [(n, op) for n, op in operators if not names or n in names]
    raised = returned = 0
    log = open(os.environ.get("TENSORGRAD_FUZZ_LOG", "/dev/stderr"), "w")  # noqa: SIM115

    def tell(name, how, args, kwargs):
        log.seek(0) if log.seekable() else None
        shown_kwargs = ", ".join([f"{k}={shown(v)}" for k, v in kwargs.items()])
        print(f"seed {seed} call {i}: {name} ({how}) {shown(args)} {shown_kwargs}", file=log, flush=True)
        log.truncate() if log.seekable() else None

    for i in range(calls):
        name, op = operators[i % len(operators)]
        faulthandler.dump_traceback_later(SECONDS_PER_CALL, exit=True)
        try:
            fuzzer.call(name, op, tell)
            returned += 1
        except (Exception, SystemExit):
            raised += 1
        fuzzer.tensors = []
    faulthandler.cancel_dump_traceback_later()
    x = tg.ones(2, 2)
    assert (x + x).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    print(returned, raised)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), set(sys.argv[3:]))
