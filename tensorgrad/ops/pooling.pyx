"""Pooling: the largest, the mean or a norm of windows of the last dimensions.

All kinds share a table of windows, dimension by dimension, in which padding is already cut off; adaptive pooling differs only
in how its table is made.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from tensorgrad._core cimport fused
from tensorgrad._core.device cimport TG_BAD_INDEX, cpu
from tensorgrad._core.dtype cimport CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_BOOL, TG_F16, TG_F32, TG_F64, TG_I64, dtype_of
from tensorgrad._core.fused cimport tg_windows
from tensorgrad._core.operator cimport Operator, handle
from tensorgrad._core.types cimport TensorBase, empty

from functools import lru_cache
from math import prod

from tensorgrad._core.declaration import composite, operator
from tensorgrad._core.graph import type_name
from tensorgrad.ops.windows import ints

cdef Operator reshape, movedim, expand, gather, scatter_add, scatter, to, index_select, permute, max_, matmul, sum_, arange
reshape, movedim, expand, gather, scatter_add, scatter, to = (
    handle(n) for n in ("reshape", "movedim", "expand", "gather", "scatter_add", "scatter", "to"))
index_select, permute, max_, matmul, sum_, arange = (
    handle(n) for n in ("index_select", "permute", "max", "matmul", "sum", "arange"))
cdef Operator pool_scatter = handle("_pool_scatter")


cdef str spoken(TensorBase x):
    return type_name(x).partition(".")[2].removesuffix("Tensor")


# ---- tables of windows ----------------------------------------------------------------------------------
cdef class Windows:
    """For each dimension the first index, the number of elements and a mean's divisor of every window; immutable."""
    cdef readonly tuple sizes       # of the input
    cdef readonly tuple out         # how many windows
    cdef readonly tuple step        # between the elements of a window
    cdef readonly tuple table       # for each dimension a tuple of (start, count, divisor)
    cdef readonly object override   # a mean's divisor in place of the product
    cdef tg_windows c
    cdef int64_t* numbers
    cdef double* shares

    def __init__(self, sizes, step, table, override=None):
        cdef int d, n = <int>len(sizes), shift = 3 - n
        cdef int64_t total, at = 0
        self.sizes, self.step, self.table, self.override = tuple(sizes), tuple(step), tuple(table), override
        self.out = tuple([len(windows) for windows in table])
        total = sum(self.out) + 3
        self.numbers = <int64_t*>malloc(2 * total * sizeof(int64_t))
        self.shares = <double*>malloc(total * sizeof(double))
        if self.numbers == NULL or self.shares == NULL:
            raise MemoryError("pooling: can't allocate the table of windows")
        for d in range(3):
            windows = table[d - shift] if d >= shift else ((0, 1, 1),)
            self.c.inside[d] = sizes[d - shift] if d >= shift else 1
            self.c.out[d], self.c.step[d] = len(windows), step[d - shift] if d >= shift else 1
            self.c.start[d], self.c.count[d], self.c.divisor[d] = self.numbers + at, self.numbers + total + at, self.shares + at
            for start, count, divisor in windows:
                self.numbers[at], self.numbers[total + at], self.shares[at] = start, count, divisor
                at += 1
        if override is not None:
            for at in range(total):
                self.shares[at] = 1
            for at in range(len(table[n - 1])):
                self.shares[<int64_t>(self.c.divisor[2] - self.shares) + at] = override

    def __dealloc__(self):
        free(self.numbers)
        free(self.shares)

    def __repr__(self):
        return f"<windows {self.sizes} -> {self.out}>"


def _pooled_size(size, kernel, stride, padding, dilation, ceil_mode):
    """A window that would begin in the padding on the right is none."""
    n = (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)) // stride + 1
    return n - 1 if ceil_mode and (n - 1) * stride >= size + padding else n


@lru_cache(maxsize=256)
def _windows(sizes, kernel, stride, padding, dilation, ceil_mode, count_include_pad, override):
    table = []
    for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation):
        windows = []
        for o in range(_pooled_size(size, k, s, p, d, ceil_mode)):
            first = o * s - p
            skipped = -(first // d) if first < 0 else 0
            count = max(0, min(k, -((first - size) // d)) - skipped)
            whole = min(first + k, size + p) - first        # means have no dilation
            windows.append((first + skipped * d if count else 0, count, whole if count_include_pad else max(count, 1)))
        table.append(tuple(windows))
    return Windows(sizes, dilation, table, override)


@lru_cache(maxsize=256)
def _adaptive_windows(sizes, out):
    table = []
    for size, n in zip(sizes, out):
        bounds = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        table.append(tuple([(a, b - a, b - a) for a, b in bounds]))
    return Windows(sizes, (1,) * len(sizes), table)


cdef TensorBase _new(TensorBase x, Windows w, tuple last, dtype):
    """Of x's leading dimensions and the given last ones."""
    cdef int64_t shape[64]
    cdef int d, n = <int>len(last)
    for d in range(x.ndim):
        shape[d] = x.shape[d] if d < x.ndim - n else last[d - (x.ndim - n)]
    return empty(x.ndim, shape, dtype, x.storage.device)


cdef int _refuse(TensorBase x, str name, bint refused) except -1:
    if x.dtype.category != CAT_FLOAT and refused:
        raise NotImplementedError(f"\"{name}\" not implemented for '{spoken(x)}'")
    return 0


cdef int _check_last(TensorBase x, tuple last, str name) except -1:
    cdef int d, n = <int>len(last)
    if x.ndim < n or any([x.shape[x.ndim - n + d] != last[d] for d in range(n)]):
        raise RuntimeError(f"{name}: expected last dimensions {list(last)}, got a tensor of shape {[x.shape[d] for d in range(x.ndim)]}")
    return 0


cdef int64_t _planes(TensorBase x, int n):
    cdef int64_t planes = 1
    cdef int d
    for d in range(x.ndim - n):
        planes *= x.shape[d]
    return planes


cdef bint _is_half(TensorBase x):
    return x.dtype.code == TG_F16 or x.dtype.code == TG_BF16


# ---- the largest ----------------------------------------------------------------------------------------
def _max_pool(TensorBase self, Windows windows not None):
    cdef TensorBase x, out, indices
    cdef tg_windows c = windows.c
    cdef char* o
    cdef char* i
    cdef int64_t* where
    cdef int status
    _refuse(self, "max_pool", self.dtype.category == CAT_COMPLEX or self.dtype.code == TG_BOOL)
    _check_last(self, windows.sizes, "max_pool")
    if _is_half(self):
        values, where_ = _max_pool(to(self, dtype_of(TG_F32)), windows)
        return to(values, self.dtype), where_
    if fused.fused_of(self) == NULL or self.dtype.category != CAT_FLOAT:
        return _max_of_others(self, windows)
    x = fused.packed(self)
    out, indices = _new(x, windows, windows.out, x.dtype), _new(x, windows, windows.out, dtype_of(TG_I64))
    c.planes, c.dtype = _planes(x, <int>len(windows.sizes)), x.dtype.code
    o, where, i = fused.memory(out), <int64_t*>fused.memory(indices), fused.memory(x)
    _held = fused.storages((x,))
    if out.numel:
        with nogil:
            status = fused.fused_of_cpu().max_pool(&c, o, where, i)
        fused.settle(status, "max_pool", self)
    return out, indices


cdef object _tensor_of(list numbers, int code, like):
    """Numbers on the device of `like`."""
    cdef int64_t n = len(numbers), i
    cdef TensorBase host = empty(1, &n, dtype_of(code), cpu)
    for i in range(n):
        if code == TG_I64:
            (<int64_t*>fused.memory(host))[i] = numbers[i]
        else:
            (<double*>fused.memory(host))[i] = numbers[i]
    return (<object>host).to(like.device)


def _max_of_others(x, Windows windows):
    """Windows of one size by repeating the last element of the smaller ones."""
    n, first = len(windows.sizes), x.ndim - len(windows.sizes)
    places = arange(prod(windows.sizes), device=x.device).reshape(windows.sizes)
    pairs = []
    for d in range(n):
        step, table = windows.step[d], windows.table[d]
        most = max([count for _, count, _ in table], default=1)
        where = _tensor_of([start + min(k, count - 1) * step for start, count, _ in table for k in range(most)], TG_I64, x)
        x, places = index_select(x, first + d, where), index_select(places, d, where)
        pairs += [len(table), most]
    order = [*range(0, 2 * n, 2), *range(1, 2 * n, 2)]
    lead = tuple(x.shape[:first])
    x = permute(x.reshape(lead + tuple(pairs)), tuple(range(first)) + tuple([first + a for a in order])).reshape(lead + windows.out + (-1,))
    places = expand(permute(places.reshape(tuple(pairs)), tuple(order)).reshape(windows.out + (-1,)), x.shape)
    values, k = max_(x, -1)
    return values, gather(places, -1, k.unsqueeze(-1)).squeeze(-1)


cdef TensorBase _flat_indices(TensorBase indices, int n):
    return fused.packed(indices if indices.dtype.code == TG_I64 else to(indices, dtype_of(TG_I64)))


def _pool_scatter(TensorBase grad_output, TensorBase indices, sizes):
    """Each element added to the place of its plane that its index names."""
    cdef TensorBase out, g, i
    cdef int n = <int>len(sizes), status
    cdef int64_t planes, size = prod(sizes), pooled
    cdef int code = grad_output.dtype.code
    cdef char* o
    cdef char* from_
    cdef int64_t* where
    if n > grad_output.ndim or any([s < 0 for s in sizes]):
        raise RuntimeError(f"pooling: expected sizes of at most {grad_output.ndim} dimensions, none negative, got {list(sizes)}")
    if _is_half(grad_output):
        return to(_pool_scatter(to(grad_output, dtype_of(TG_F32)), indices, sizes), grad_output.dtype)
    if fused.fused_of(grad_output) == NULL or grad_output.dtype.category != CAT_FLOAT:
        lead = tuple((<object>grad_output).shape)[:grad_output.ndim - n]
        flat = (<object>grad_output).reshape(lead + (-1,))
        return scatter_add(flat.new_zeros(lead + (size,)), -1, (<object>indices).reshape(lead + (-1,)), flat).reshape(lead + tuple(sizes))
    out = _new(grad_output, None, tuple(sizes), grad_output.dtype)
    g, i = fused.packed(grad_output), _flat_indices(indices, n)
    planes = _planes(g, n)
    pooled = g.numel // planes if planes else 0
    o, from_, where = fused.memory(out), fused.memory(g), <int64_t*>fused.memory(i)
    if i.numel != g.numel:
        raise RuntimeError(f"pooling: indices of shape {list((<object>indices).shape)} for values of shape {list((<object>g).shape)}")
    _held = fused.storages((g, i))
    with nogil:
        status = fused.fused_of_cpu().max_pool_backward(code, planes, size, pooled, o, from_, where)
    if status == TG_BAD_INDEX:
        raise RuntimeError(f"found an invalid max index: pooling indices must be from 0 to {size - 1}")
    fused.settle(status, "max_pool_backward", grad_output)
    return out


def _gathered(x, indices, n):
    lead = tuple(indices.shape[:indices.ndim - n])
    return gather(x.reshape(lead + (-1,)), -1, indices.reshape(lead + (-1,))).reshape(indices.shape)


def _scatter_batch(batch_size, in_dims, grad_output, indices, sizes):
    grad_output, indices = (expand(x, (batch_size, *x.shape)) if d is None else movedim(x, d, 0)
                            for x, d in zip((grad_output, indices), in_dims))
    return pool_scatter(grad_output, indices, sizes), 0


operator("_pool_scatter(Tensor grad_output, Tensor indices, Size sizes)", _pool_scatter, batch=_scatter_batch, internal=True,
         node="max_pool_backward",
         vjp={"grad_output": lambda grad, indices, sizes: _gathered(grad, indices, len(sizes))},
         jvp=lambda grad_output_t, indices, sizes: pool_scatter(grad_output_t, indices, sizes),
         samples=lambda make: [((make(2, 2, 3), make(2, 2, 3, integer=12), (3, 4)), {})],
         doc="Elements of a pooled tensor added where their indices say; the gradient of the pooling.")


# ---- means ------------------------------------------------------------------------------------------------
def _mean_by(TensorBase self, Windows windows not None, bint backward):
    cdef TensorBase x, out
    cdef tg_windows c = windows.c
    cdef char* o
    cdef char* i
    cdef int status
    _refuse(self, "avg_pool", backward or self.dtype.code != TG_I64)
    _check_last(self, windows.out if backward else windows.sizes, "avg_pool")
    if _is_half(self):
        return to(_mean_by(to(self, dtype_of(TG_F32)), windows, backward), self.dtype)
    if fused.fused_of(self) == NULL or self.dtype.code == TG_I64:
        return _mean_of_others(self, windows, backward)
    x = fused.packed(self)
    out = _new(x, windows, windows.sizes if backward else windows.out, x.dtype)
    c.planes, c.dtype = _planes(x, <int>len(windows.sizes)), x.dtype.code
    o, i = fused.memory(out), fused.memory(x)
    _held = fused.storages((x,))
    if out.numel:
        with nogil:
            status = fused.fused_of_cpu().avg_pool_backward(&c, o, i) if backward else fused.fused_of_cpu().avg_pool(&c, o, i)
        fused.settle(status, "avg_pool", self)
    return out


def _mean_of_others(x, Windows windows, backward):
    """A mean over a box is a mean along each of its dimensions: products with matrices that hold the shares."""
    n, integers = len(windows.sizes), (<TensorBase>x).dtype.code == TG_I64
    divisor_of = 1 if windows.override is None else windows.override
    for d in range(n):
        size, table = windows.sizes[d], windows.table[d]
        rows = [[0.0] * size for _ in table]
        for row, (start, count, divisor) in zip(rows, table):
            for k in range(count):
                row[start + k * windows.step[d]] = 1.0 if windows.override is not None or integers else 1.0 / divisor
        shares = to(_tensor_of([share for row in rows for share in row], TG_F64, x), x.dtype).reshape(len(table), size)
        if integers and windows.override is None:
            divisors = _tensor_of([divisor for _, _, divisor in table], TG_I64, x)
            divisor_of = divisor_of * divisors.reshape((-1,) + (1,) * (n - 1 - d))
        axis = x.ndim - n + d
        x = movedim(matmul(movedim(x, axis, -1), shares if backward else shares.t()), -1, axis)
    if integers:        # the whole sum is divided, towards zero
        return handle("div")(x, divisor_of, rounding_mode="trunc")
    return x if windows.override is None else x / windows.override


# ---- declarations ---------------------------------------------------------------------------------------------
def _batch_in_front(op):
    return lambda batch_size, in_dims, self, windows: (op(movedim(self, in_dims[0], 0), windows), 0)


def _batch_of_two(op):
    return lambda batch_size, in_dims, self, windows: (op(movedim(self, in_dims[0], 0), windows), (0, 0))


def _declare(int n, bint adaptive):
    """The operators of `n` dimensions, whose nodes have PyTorch's names."""
    cdef Operator largest, average, average_backward
    kind = f"{'adaptive_' if adaptive else ''}"
    title = f"{'Adaptive' if adaptive else ''}"
    largest, average = handle(f"_{kind}max_pool{n}d"), handle(f"_{kind}avg_pool{n}d")
    average_backward = handle(f"_{kind}avg_pool{n}d_backward")
    shape = (5, 4, 3)[:n]
    windows = _adaptive_windows(shape, (2, 3, 2)[:n]) if adaptive else \
        _windows(shape, (2, 3, 2)[:n], (2,) * n, (1, 1, 0)[:n], (1,) * n, True, False, None)
    operator(f"_{kind}max_pool{n}d(Tensor self, Any windows) -> (Tensor out, Tensor indices)", _max_pool, batch=_batch_of_two(largest),
             internal=True, nondifferentiable=("indices",), node=f"{title}MaxPool{n}D" + ("" if adaptive else "WithIndices"),
             vjp={"self": lambda grad_out, indices, windows: pool_scatter(grad_out, indices, windows.sizes)},
             jvp=lambda self_t, indices: (_gathered(self_t, indices, n), None),
             samples=lambda make: [((make(2, *shape), windows), {})], doc="The largest elements of windows, and where they are.")
    operator(f"_{kind}avg_pool{n}d(Tensor self, Any windows)", lambda self, windows: _mean_by(self, windows, False),
             batch=_batch_in_front(average), internal=True, node=f"{title}AvgPool{n}D",
             vjp={"self": lambda grad, windows: average_backward(grad, windows)}, jvp="linear",
             samples=lambda make: [((make(2, *shape), windows), {})], doc="Means of windows.")
    operator(f"_{kind}avg_pool{n}d_backward(Tensor grad_output, Any windows)", lambda grad, windows: _mean_by(grad, windows, True),
             batch=_batch_in_front(average_backward), internal=True, node=f"{title}AvgPool{n}DBackward",
             vjp={"grad_output": lambda grad, windows: average(grad, windows)}, jvp="linear",
             samples=lambda make: [((make(2, *windows.out), windows), {})], doc="The gradient of means of windows.")


for _n in (1, 2, 3):
    _declare(_n, False)
    _declare(_n, True)


def _ranked(x, n, name):
    if x.ndim not in (n + 1, n + 2) or any([size == 0 for size in x.shape[x.ndim - n - 1:]]):
        if name == "avg_pool3d":
            raise RuntimeError(f"non-empty 4D or 5D (batch mode) tensor expected for input, but got {list(x.shape)} (avg_pool3d)")
        raise RuntimeError(f"{'max_pool1d: ' if name == 'max_pool1d' else ''}Expected {n + 1}D or {n + 2}D (batch mode) tensor with "
                           f"optional 0 dim batch size for input, but got:{list(x.shape)} ({name})")


def _adaptive_ranked(x, n, name):
    if n > 1 and x.ndim <= n:
        raise ValueError(f"Input dimension should be at least {n + 1}: {name} got {list(x.shape)}")
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got {list(x.shape)}")
    _ranked(x, n, name)


def _strides(stride, kernel, n):
    return kernel if stride is None or (isinstance(stride, (tuple, list)) and not stride) else ints(stride, n, "stride")


def _geometry(self, n, name, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad=True, override=None):
    kernel, padding, dilation = ints(kernel_size, n, "kernel_size"), ints(padding, n, "padding"), ints(dilation, n, "dilation")
    stride = _strides(stride, kernel, n)
    if name == "max_pool1d":
        for (value,), what in ((kernel, "kernel_size"), (stride, "stride"), (dilation, "dilation")):
            if value <= 0:
                raise RuntimeError(f"max_pool1d() {what} must be greater than zero, but got {value}")
    if any([k <= 0 for k in kernel]):
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(kernel)} ({name})")
    if any([s <= 0 for s in stride]):
        raise RuntimeError(f"stride should not be zero, but got {list(stride)} ({name})")
    if any([d <= 0 for d in dilation]):
        raise RuntimeError(f"dilation should be greater than zero, but got dilation: {list(dilation)} ({name})")
    if any([p < 0 for p in padding]):
        raise RuntimeError(f"pad must be non-negative, but got pad: {list(padding)} ({name})")
    if any([p > ((k - 1) * d + 1) // 2 for p, k, d in zip(padding, kernel, dilation)]):
        p, k, d = next(values for values in zip(padding, kernel, dilation) if values[0] > ((values[1] - 1) * values[2] + 1) // 2)
        raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d} "
                           f"({name})")
    _ranked(self, n, name)
    sizes = tuple(self.shape[self.ndim - n:])
    out = [_pooled_size(*values, ceil_mode) for values in zip(sizes, kernel, stride, padding, dilation)]
    if name == "max_pool1d" and out[0] < 1:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {out[0]} for an input of size {list(self.shape)}")
    if any([o < 1 for o in out]):
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, self.shape[self.ndim - n - 1:]))}). Calculated output size: "
                           f"({'x'.join(map(str, [self.shape[self.ndim - n - 1], *out]))}). Output size is too small ({name})")
    if any([o > 1 << 24 for o in out]):
        raise RuntimeError(f"{name}: an output of {out} exceeds the {1 << 24} windows that a dimension may have")
    return _windows(sizes, kernel, stride, padding, dilation, bool(ceil_mode), bool(count_include_pad), override)


def _out_sizes(self, output_size, n, name):
    sizes = tuple(self.shape[self.ndim - n:])
    if output_size is None or hasattr(output_size, "__index__"):
        output_size = (output_size,) * n
    if len(output_size) != n:
        if n == 1:
            raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(output_size)})")
        raise RuntimeError(f"{name}: output_size must be {n} numbers, got {len(output_size)}")
    out = tuple([size if o is None else o.__index__() for size, o in zip(sizes, output_size)])
    if any([o < 0 for o in out]):
        negative = f"Trying to create tensor with negative dimension {min(out)}: " if "max" in name else ""
        raise RuntimeError(f"{negative}{name}: elements of output_size must be greater than or equal to 0 but received {list(out)}")
    if any([o > 1 << 24 for o in out]):
        raise RuntimeError(f"{name}: an output_size of {list(out)} exceeds the {1 << 24} windows that a dimension may have")
    return sizes, out


def _publish(n):
    largest, average = handle(f"_max_pool{n}d"), handle(f"_avg_pool{n}d")
    adaptive_largest, adaptive_average = handle(f"_adaptive_max_pool{n}d"), handle(f"_adaptive_avg_pool{n}d")

    def max_with_indices(self, kernel_size, stride, padding, dilation, ceil_mode):
        return largest(self, _geometry(self, n, f"max_pool{n}d", kernel_size, stride, padding, dilation, ceil_mode))

    def avg(self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override=None):
        if divisor_override == 0:
            raise RuntimeError(f"divisor must be not zero (avg_pool{n}d)")
        return average(self, _geometry(self, n, f"avg_pool{n}d", kernel_size, stride, padding, 1, ceil_mode, count_include_pad,
                                       divisor_override))

    def adaptive_max(self, output_size):
        _adaptive_ranked(self, n, f"adaptive_max_pool{n}d")
        return adaptive_largest(self, _adaptive_windows(*_out_sizes(self, output_size, n, f"adaptive_max_pool{n}d")))

    def adaptive_avg(self, output_size):
        _adaptive_ranked(self, n, f"adaptive_avg_pool{n}d")
        return adaptive_average(self, _adaptive_windows(*_out_sizes(self, output_size, n, f"adaptive_avg_pool{n}d")))

    size, kernel = (4,) * n, ((3,) * n)
    last = f"the last {n} dimensions" if n > 1 else "the last dimension"
    window = """kernel_size : int or tuple of int
    stride : int or tuple of int, optional
        `kernel_size` by default.
    padding : int or tuple of int, default: 0
        {}
    """
    geometry = "Any kernel_size, Any stride=None, Any padding=0, Any dilation=1, bool ceil_mode=False"
    composite(f"max_pool{n}d_with_indices(Tensor self, {geometry}) -> (Tensor out, Tensor indices)", max_with_indices, method=False,
              samples=lambda make: [((make(2, *size), kernel), {})],
              doc=f"`max_pool{n}d`, and where in its plane each of the elements is.")
    composite(f"max_pool{n}d(Tensor self, {geometry})", lambda *args: max_with_indices(*args)[0], method=False,
              samples=lambda make: [((make(2, *size), 2), {}), ((make(1, 2, *size), kernel, 2, 1, 1, True), {})],
              doc=f"""The largest element of each window of {last}.

    Parameters
    ----------
    self : Tensor of shape (N, C, ...) or (C, ...)
    {window.format("Places on either side that no element can be taken from.")}dilation : int or tuple of int, default: 1
        The distance between elements of a window.
    ceil_mode : bool, default: False
        Let the last window reach over the end.
    """)
    override = "" if n == 1 else ", int? divisor_override=None"
    composite(f"avg_pool{n}d(Tensor self, Any kernel_size, Any stride=None, Any padding=0, bool ceil_mode=False, "
              f"bool count_include_pad=True{override})", avg, method=False,
              samples=lambda make: [((make(2, *size), 2), {}), ((make(1, 2, *size), kernel, 2, 1, True, False), {})],
              doc=f"""The mean of each window of {last}.

    Parameters
    ----------
    self : Tensor of shape (N, C, ...) or (C, ...)
    {window.format("Zeros on either side.")}ceil_mode : bool, default: False
        Let the last window reach over the end.
    count_include_pad : bool, default: True
        Whether the padding counts in the mean.
    """ + ("" if n == 1 else """divisor_override : int, optional
        What the sum is divided by instead.
    """))
    composite(f"adaptive_max_pool{n}d(Tensor self, Any output_size) -> (Tensor out, Tensor indices)", adaptive_max, method=False,
              samples=lambda make: [((make(2, *size), 3), {})],
              doc=f"The largest elements of windows of {last} that are chosen to give `output_size` of them, and where they are.")
    composite(f"adaptive_avg_pool{n}d(Tensor self, Any output_size)", adaptive_avg, method=False,
              samples=lambda make: [((make(2, *size), 3), {})],
              doc=f"""Means of windows of {last} that are chosen to give `output_size` of them.

    Notes
    -----
    Window i of n over a dimension of size L is from ``floor(i * L / n)`` to ``ceil((i + 1) * L / n)``.
    """)

    def unpool(self, indices, output_size):
        sizes = ints(output_size, n, "output_size")
        if tuple(self.shape) != tuple(indices.shape):
            raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(self.shape)}) but got indices "
                               f"tensor with shape: {list(indices.shape)}")
        if (<TensorBase>indices).dtype.code != TG_I64:
            raise RuntimeError("elements in indices should be type int64 but got: " + spoken(<TensorBase>indices))
        _ranked(self, n, f"max_unpool{n}d")
        lead, total = tuple(self.shape[:self.ndim - n]), prod(sizes)
        flat, where = self.reshape(lead + (-1,)), indices.reshape(lead + (-1,))
        try:
            return scatter(flat.new_zeros(lead + (total,)), -1, where, flat).reshape(lead + sizes)
        except IndexError as error:
            raise RuntimeError(f"Found an invalid max index: max_unpool{n}d got an index outside of output_size {sizes}") from error

    composite(f"max_unpool{n}d(Tensor self, Tensor indices, Any output_size)", unpool, method=False,
              samples=lambda make: [((make(1, *(2,) * n), arange(2 ** n).reshape(1, *(2,) * n), (3,) * n), {})],
              doc="Elements put back where their indices say, zeros elsewhere: a partial inverse of the pooling of the largest.")


for _n in (1, 2, 3):
    _publish(_n)
