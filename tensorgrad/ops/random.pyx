"""Random numbers: generators, and the operators that draw from them.

Numbers are counter-based (Philox): a generator is a seed and an offset, the offset advances by the number
of elements drawn, and element i depends on nothing else, whatever the layout, the threads or the device.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport (
    TG_BERNOULLI, TG_EXPONENTIAL, TG_NORMAL, TG_RANDINT, TG_UNIFORM, as_device, cpu)
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport (
    CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_BOOL, TG_F16, TG_F32, TG_F64, TG_I8, TG_I16, TG_I32, TG_I64, TG_U8, TG_U16,
    TG_U32, TG_U64, default_code, dtype_of)
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, device_of, empty
from tensorgrad.ops.creation cimport filled, make

import os

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.transforms import set_generator_source
from tensorgrad._core.graph import type_name
from tensorgrad.ops.creation import _like

cdef Operator zeros, zeros_like, lt, mul, add, cumsum, cat, sort, scatter, topk, argmax, reshape, div, multinomial, to
zeros, zeros_like, lt, mul, add, cumsum, cat, sort = (
    handle(n) for n in ("zeros", "zeros_like", "lt", "mul", "add", "cumsum", "cat", "sort"))
scatter, topk, argmax, reshape, div, multinomial, to = (
    handle(n) for n in ("scatter", "topk", "argmax", "reshape", "div", "_multinomial", "to"))

cdef uint64_t DEFAULT_SEED = 67280421310721


# ---- generators -----------------------------------------------------------------------------------
cdef uint64_t as_seed(object seed) except? 0:
    """A seed as 64 bits; a negative one wraps around."""
    if isinstance(seed, float) or not hasattr(seed, "__index__"):
        raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
    seed = seed.__index__()
    if not -2**63 <= seed < 2**64:
        raise ValueError(f"Overflow when unpacking long long: a seed must be in [-2**63, 2**64), got {seed}")
    return <uint64_t>(seed % 2**64)


cdef class Generator:
    """A source of random numbers: a seed and how many numbers have been drawn.

    Parameters
    ----------
    device : device, default: cpu
        The same seed draws the same numbers on every device.

    Examples
    --------
    >>> g = tensorgrad.Generator().manual_seed(0)
    >>> bool((tensorgrad.rand(3, generator=g) == tensorgrad.rand(3, generator=g.manual_seed(0))).all())
    True
    """
    cdef readonly Device device
    cdef uint64_t seed_value
    cdef uint64_t drawn
    cdef object __weakref__

    def __init__(self, device="cpu"):
        self.device = as_device(device)
        self.seed_value = DEFAULT_SEED
        self.drawn = 0

    cdef uint64_t reserve(self, int64_t numel):
        """Where to draw `numel` elements; no two calls are given the same place."""
        cdef uint64_t start = self.drawn
        self.drawn += <uint64_t>numel
        return start

    def manual_seed(self, seed):
        """Start over from a seed; returns the generator."""
        self.seed_value = as_seed(seed)
        self.drawn = 0
        return self

    def seed(self):
        """Start over from a seed of the operating system's; returns the seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self.seed_value

    def initial_seed(self):
        """The seed that was started from."""
        return self.seed_value

    def get_offset(self):
        """How many numbers have been drawn since."""
        return self.drawn

    def set_offset(self, offset):
        """Go on from there."""
        if not isinstance(offset, int) or not 0 <= offset < 2**64:
            raise ValueError(f"set_offset expects an int in [0, 2**64), got {offset}")
        self.drawn = offset

    def get_state(self):
        """Seed and offset as a tensor of 16 bytes."""
        cdef int64_t size = 16
        cdef TensorBase state = empty(1, &size, dtype_of(TG_U8), cpu)
        (<uint64_t*>state.storage.data)[0] = self.seed_value
        (<uint64_t*>state.storage.data)[1] = self.drawn
        return state

    def set_state(self, new_state):
        """Go on from what `get_state` has returned; returns the generator."""
        cdef TensorBase x
        if not isinstance(new_state, TensorBase):
            raise TypeError(f"expected a tensorgrad.ByteTensor, but got {type(new_state).__name__}")
        x = new_state
        if x.dtype.code != TG_U8 or device_of(x) is not cpu:
            raise TypeError("RNG state must be a tensorgrad.ByteTensor")
        if x.numel != 16:
            raise RuntimeError(f"Expected a generator state of size 16 but found the input RNG state size to be {x.numel}")
        x = x.contiguous()
        self.seed_value = (<uint64_t*>(x.storage.data + x.offset))[0]
        self.drawn = (<uint64_t*>(x.storage.data + x.offset))[1]
        return self

    def clone_state(self):
        """Another generator that draws the same numbers from here on."""
        cdef Generator g = Generator(self.device)
        g.seed_value, g.drawn = self.seed_value, self.drawn
        return g

    def __reduce__(self):
        return _restore, (str(self.device), self.seed_value, self.drawn)


def _restore(device, seed, offset):
    cdef Generator g = Generator(device)
    g.seed_value, g.drawn = seed, offset
    return g


default_generator = Generator()


def generator_of(generator):
    """The generator to draw from: the one that is given, else the default one."""
    return default_generator if generator is None else generator


set_generator_source(generator_of)


def manual_seed(seed):
    """Let the default generator start over from a seed.

    Parameters
    ----------
    seed : int
        In [-2**63, 2**64); a negative seed stands for the unsigned number of the same bits.

    Returns
    -------
    Generator
        The default generator.
    """
    return default_generator.manual_seed(seed)


def seed():
    """Let the default generator start over from a seed of the operating system's, and return that seed."""
    return default_generator.seed()


def initial_seed():
    """The seed from which the default generator started."""
    return default_generator.initial_seed()


def get_rng_state():
    """The state of the default generator, a tensor of bytes."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Put the default generator back to what `get_rng_state` has returned."""
    default_generator.set_state(new_state)


# ---- drawing ----------------------------------------------------------------------------------------
cdef str spoken(TensorBase x):
    return type_name(x).partition(".")[2].removesuffix("Tensor")


cdef int draw(int kind, TensorBase out, object generator, double p0, double p1, int64_t lo=0, uint64_t span=0) except -1:
    cdef Generator g
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"generator must be a tensorgrad.Generator, not {type(generator).__name__}")
    g = default_generator if generator is None else generator
    if generator is not None and g.device is not cpu and g.device.type != device_of(out).type:
        raise RuntimeError(f"Expected a '{device_of(out).type}' device type for generator but found '{g.device.type}'")
    return primitives.random(kind, out, g.seed_value, g.reserve(out.numel), p0, p1, lo, span)


cdef int check_floating(TensorBase x, str name) except -1:
    if x.dtype.category < CAT_FLOAT:
        raise NotImplementedError(f"\"{name}\" not implemented for '{spoken(x)}'")
    return 0


def _uniform(TensorBase x, double low, double high, generator):
    check_floating(x, "check_uniform_bounds")
    if not low <= high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    draw(TG_UNIFORM, x, generator, low, high)
    return x


def _normal(TensorBase x, double mean, double std, generator):
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    check_floating(x, "normal_kernel_cpu")
    draw(TG_NORMAL, x, generator, mean, std)
    return x


def _exponential(TensorBase x, double rate, generator):
    if x.dtype.category != CAT_FLOAT:
        raise RuntimeError("Exponential distribution is a continuous probability distribution. dtype must be a floating point but you "
                           f"specified {spoken(x)}")
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    draw(TG_EXPONENTIAL, x, generator, rate, 0)
    return x


def _bernoulli(TensorBase x, double p, generator):
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    draw(TG_BERNOULLI, x, generator, p, 0)
    return x


def _bernoulli_tensor(TensorBase x, TensorBase p, generator):
    """1 where a uniform number is below the probability of its element."""
    cdef TensorBase u, below
    if p.dtype.category != CAT_FLOAT:
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{spoken(p)}'")
    low, high = _extremes(p)
    if not (low >= 0 and high <= 1):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false (bernoulli: every probability must be in [0, 1])")
    u = empty(x.ndim, x.shape, dtype_of(TG_F64 if p.dtype.code == TG_F64 else TG_F32), x.storage.device)
    draw(TG_UNIFORM, u, generator, 0, 1)
    below = lt(u, p)
    if below.numel != x.numel or below.ndim != x.ndim:
        raise RuntimeError(f"output with shape {[x.shape[d] for d in range(x.ndim)]} doesn't match the broadcast shape "
                           f"{[below.shape[d] for d in range(below.ndim)]}")
    primitives.copy(x, below)
    return x


def _extremes(x):
    """The smallest and largest element, nan if there is one; of no elements numbers that pass every check."""
    if x.numel() == 0:
        return 0.0, 0.0
    return x.amin().item(), x.amax().item()


# C's names of the integer types and what fits into them; floating point types count as far as they count exactly.
cdef dict RANGES = {
    TG_BOOL: ("bool", 0, 1), TG_U8: ("unsigned char", 0, 2**8 - 1), TG_I8: ("signed char", -2**7, 2**7 - 1),
    TG_I16: ("short", -2**15, 2**15 - 1), TG_I32: ("int", -2**31, 2**31 - 1), TG_I64: ("long", -2**63, 2**63 - 1),
    TG_U16: ("unsigned short", 0, 2**16 - 1), TG_U32: ("unsigned int", 0, 2**32 - 1), TG_U64: ("unsigned long", 0, 2**64 - 1)}
cdef dict EXACT = {TG_F16: 2**11, TG_BF16: 2**8, TG_F32: 2**24, TG_F64: 2**53}


def _random(TensorBase x, low, high, generator):
    """Integers in [low, high); None: from 0, up to the last that the dtype counts to."""
    if x.dtype.category == CAT_COMPLEX:
        raise NotImplementedError(f"\"random_\" not implemented for '{spoken(x)}'")
    name, least, most = RANGES.get(x.dtype.code, ("", None, EXACT.get(x.dtype.code)))
    low, end = 0 if low is None else low, most + 1 if high is None else high
    if low >= end:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={end}")
    if least is not None and not least <= low <= most:
        raise RuntimeError(f"from is out of bounds for {name}")
    if least is not None and end - 1 > most:
        raise RuntimeError(f"to - 1 is out of bounds for {name}")
    draw(TG_RANDINT, x, generator, 0, 0, <int64_t>(low - 2**64 if low >= 2**63 else low), <uint64_t>((end - low) % 2**64))
    return x


# ---- in place -----------------------------------------------------------------------------------------
# What is overwritten gets no gradient.
cdef dict NO_GRADIENT = {"self": lambda grad: zeros_like(grad)}


def _declare_inplace(str signature, forward, str doc, **options):
    operator(signature, forward, vjp=dict(NO_GRADIENT, **options.pop("vjp", {})),
             jvp=lambda self_t: None if self_t is None else zeros_like(self_t), random=True, function=False, doc=doc, **options)


_declare_inplace("uniform_(Tensor! self, float from=0, float to=1, *, Generator? generator=None)", _uniform,
                 "Fill with numbers from the uniform distribution over [from, to).")
_declare_inplace("normal_(Tensor! self, float mean=0, float std=1, *, Generator? generator=None)", _normal,
                 "Fill with numbers from a normal distribution.")
_declare_inplace("exponential_(Tensor! self, float lambd=1, *, Generator? generator=None)", _exponential,
                 "Fill with numbers from the exponential distribution of rate `lambd`.")
_declare_inplace("bernoulli_(Tensor! self, Tensor p, *, Generator? generator=None)", _bernoulli_tensor,
                 "Fill with ones with probability `p` (of all elements, or of each), else zeros.",
                 vjp={"p": lambda grad, p_shape: grad.new_zeros(p_shape)})
_declare_inplace("bernoulli_(Tensor! self, float p=0.5, *, Generator? generator=None)", _bernoulli, None)
_declare_inplace("random_(Tensor! self, *, Generator? generator=None)", lambda self, generator: _random(self, None, None, generator),
                 "Fill with integers in [from, to); by default all that the dtype counts to, from 0.")
_declare_inplace("random_(Tensor! self, int to, *, Generator? generator=None)",
                 lambda self, to, generator: _random(self, 0, to, generator), None)
_declare_inplace("random_(Tensor! self, int from, int? to, *, Generator? generator=None)", _random, None)


# ---- factories -------------------------------------------------------------------------------------------
OPTIONS = "DType? dtype=None, Device? device=None, bool requires_grad=False, Any layout=None, bool pin_memory=False"
FACTORY = f"*, Generator? generator=None, {OPTIONS}"
LIKE = f"{FACTORY}, Any memory_format=None"
cdef object INT64 = dtype_of(TG_I64)


def _empty(size, dtype, device, requires_grad, *rest):
    return make(size, dtype, device, requires_grad, default_code())


cdef object _rand(PyObject** a):
    cdef TensorBase x = filled(a, a + 2, None, default_code())
    check_floating(x, "check_uniform_bounds")
    draw(TG_UNIFORM, x, <object>a[1], 0, 1)
    return x


cdef object _randn(PyObject** a):
    cdef TensorBase x = filled(a, a + 2, None, default_code())
    check_floating(x, "normal_kernel_cpu")
    draw(TG_NORMAL, x, <object>a[1], 0, 1)
    return x


def _randint(low, high, size, generator, dtype, *options):
    return _random(_empty(size, INT64 if dtype is None else dtype, *options), low, high, generator)


def _randperm(n, generator, dtype, device, *options):
    cdef Generator g = generator_of(generator)
    cdef int64_t size
    cdef TensorBase order, out
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    out = _empty((n,), INT64 if dtype is None else dtype, device, *options)
    _, _, most = RANGES.get(out.dtype.code, ("", 0, EXACT.get(out.dtype.code, 2**53)))
    if n - 1 > most:
        raise RuntimeError(f"n is too large for result tensor type: '{type_name(out)}' holds no more than {most + 1} of them")
    size = n
    order = empty(1, &size, INT64, cpu)
    primitives.randperm(order, g.seed_value, g.reserve(n))
    primitives.copy(out, order)
    return out


operator(f"rand(Size size, {FACTORY})", native(_rand), random=True, method=False, doc="""Numbers from the uniform distribution over [0, 1).

    Examples
    --------
    >>> tensorgrad.rand(2, 3).shape
    tensorgrad.Size([2, 3])
    """)
operator(f"randn(Size size, {FACTORY})", native(_randn), random=True, method=False,
         doc="""Numbers from the normal distribution of mean 0 and variance 1; complex ones of variance 1 in all.

    Examples
    --------
    >>> tensorgrad.randn(2, 3).shape
    tensorgrad.Size([2, 3])
    """)
operator(f"randint(int high, Size size, {FACTORY})", lambda high, size, *rest: _randint(0, high, size, *rest), random=True,
         method=False, doc="""Integers in [low, high), `low` being 0 where it is left out.

    Examples
    --------
    >>> (tensorgrad.randint(3, 5, (4,)) >= 3).all()
    tensor(True)
    """)
operator(f"randint(int low, int high, Size size, {FACTORY})", _randint, random=True, method=False)
operator(f"randperm(int n, {FACTORY})", _randperm, random=True, method=False, doc="""The integers from 0 to n - 1 in random order.

    Examples
    --------
    >>> tensorgrad.randperm(5).sort().values
    tensor([0, 1, 2, 3, 4])
    """)


def _for(self, dtype, device, requires_grad):
    return _like(self, None, dtype, device, requires_grad)


operator(f"rand_like(Tensor self, {LIKE})",
         lambda self, generator, dtype, device, requires_grad, *rest:
         _uniform(_for(self, dtype, device, requires_grad), 0, 1, generator),
         random=True, method=False, doc="Numbers from the uniform distribution over [0, 1), in the shape of a tensor.")
operator(f"randn_like(Tensor self, {LIKE})",
         lambda self, generator, dtype, device, requires_grad, *rest:
         _normal(_for(self, dtype, device, requires_grad), 0, 1, generator),
         random=True, method=False, doc="Numbers from the normal distribution, in the shape of a tensor.")
operator(f"randint_like(Tensor self, int high, {LIKE})",
         lambda self, high, generator, dtype, device, requires_grad, *rest:
         _random(_for(self, dtype, device, requires_grad), 0, high, generator),
         random=True, method=False, doc="Integers in [low, high), in the shape of a tensor.")
operator(f"randint_like(Tensor self, int low, int high, {LIKE})",
         lambda self, low, high, generator, dtype, device, requires_grad, *rest:
         _random(_for(self, dtype, device, requires_grad), low, high, generator), random=True, method=False)


# ---- distributions with parameters -----------------------------------------------------------------------
def _normal_tensors(mean, std, generator):
    """Standard normal numbers, scaled and moved."""
    if isinstance(std, TensorBase):
        if std.is_complex():
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if not _extremes(std)[0] >= 0:
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    moved = mean + std * 0 if isinstance(mean, TensorBase) and isinstance(std, TensorBase) else (
        mean if isinstance(mean, TensorBase) else std)
    z = _normal(_like(moved, None, (mean if isinstance(mean, TensorBase) else std).dtype, None, False), 0, 1, generator)
    return z.mul_(std).add_(mean)


cdef object MEAN_VJP = lambda grad, mean_shape: grad.new_zeros(mean_shape)
cdef object STD_VJP = lambda grad, std_shape: grad.new_zeros(std_shape)
operator("normal(Tensor mean, Tensor std, *, Generator? generator=None)", _normal_tensors, random=True, method=False,
         vjp={"mean": MEAN_VJP, "std": STD_VJP}, jvp=lambda out: zeros_like(out),
         doc="""Numbers from normal distributions whose means and standard deviations are given.

    Examples
    --------
    >>> tensorgrad.normal(tensorgrad.zeros(3), 1.0).shape
    tensorgrad.Size([3])
    """)
operator("normal(Tensor mean, float std=1, *, Generator? generator=None)", _normal_tensors, random=True, method=False,
         vjp={"mean": MEAN_VJP}, jvp=lambda out: zeros_like(out))
operator("normal(float mean, Tensor std, *, Generator? generator=None)", _normal_tensors, random=True, method=False,
         vjp={"std": STD_VJP}, jvp=lambda out: zeros_like(out))
operator(f"normal(float mean, float std, Size size, {FACTORY})",
         lambda mean, std, size, generator, *options: _normal(_empty(size, *options), mean, std, generator), random=True, method=False)
operator("bernoulli(Tensor self, *, Generator? generator=None)",
         lambda self, generator: _bernoulli_tensor(_like(self, None, None, None, False), self, generator), random=True,
         vjp=NO_GRADIENT, jvp=lambda out: zeros_like(out), doc="""Ones with the probabilities that the elements give, else zeros.

    Examples
    --------
    >>> tensorgrad.bernoulli(tensorgrad.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """)
operator("bernoulli(Tensor self, float p, *, Generator? generator=None)",
         lambda self, p, generator: _bernoulli(_like(self, None, None, None, False), p, generator), random=True,
         vjp=NO_GRADIENT, jvp=lambda out: zeros_like(out))


def _multinomial_checked(TensorBase self, num_samples, replacement, generator):
    if self.dtype.category != CAT_FLOAT:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {spoken(self)}")
    if self.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if self.shape[self.ndim - 1] > 1 << 24:
        raise RuntimeError(f"number of categories cannot exceed 2^24 (multinomial: got {self.shape[self.ndim - 1]})")
    if not replacement and num_samples > self.shape[self.ndim - 1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    return multinomial(self, num_samples, replacement, generator)


def _multinomial(TensorBase self, int64_t num_samples, bint replacement, generator):
    cdef TensorBase weights, draws
    weights = to(self, dtype_of(TG_F64))
    if weights.numel:
        low, high = _extremes(weights)
        if not (low >= 0 and high < float("inf")):
            if not replacement:
                raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
            raise RuntimeError("invalid multinomial distribution (encountering probability entry "
                               f"{'< 0' if low < 0 else '= infinity or NaN'})")
        if not _extremes(weights.sum(-1))[0] > 0:
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement:     # the largest of p / Exp(1) is a draw, the second largest a draw from the rest, and so on
        draws = empty(weights.ndim, weights.shape, weights.dtype, weights.storage.device)
        draw(TG_EXPONENTIAL, draws, generator, 1, 0)
        return topk(weights / draws, num_samples, -1)[1]
    # Where would the uniform numbers stand among the cumulated weights? Sort all and count the weights before each.
    bounds = cumsum(weights, -1)
    shape = tuple([weights.shape[d] for d in range(weights.ndim - 1)])
    categories = weights.shape[weights.ndim - 1]
    draws = _empty((*shape, num_samples), weights.dtype, weights.storage.device, False, None, False)
    draw(TG_UNIFORM, draws, generator, 0, 1)
    order = sort(cat((bounds, draws * bounds[..., -1:]), -1), -1, stable=True)[1]
    before = cumsum(order < categories, -1)
    return scatter(before, -1, order, before)[..., categories:].contiguous()


operator("_multinomial(Tensor self, int num_samples, bool replacement, Generator? generator)", _multinomial, random=True, internal=True,
         doc="`multinomial` with any number of leading dimensions.")
composite("multinomial(Tensor self, int num_samples, bool replacement=False, *, Generator? generator=None)", _multinomial_checked,
          out_exact="multinomial expects Long tensor out, got: {got}",
          doc="""Indices drawn with the (unnormalised) probabilities in a vector, or in each row of a matrix.

    Examples
    --------
    >>> tensorgrad.multinomial(tensorgrad.tensor([0.0, 1.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """)
