"""Operators that make tensors."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport cpu, memory_device
from tensorgrad._core.dtype cimport (
    CAT_COMPLEX, CAT_FLOAT, TG_BOOL, TG_F64, TG_I64, default_code, dtype_of, to_complex_code)
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.declaration cimport native
from tensorgrad._core.operator cimport handle
from tensorgrad._core.types cimport (
    CONTIGUOUS, REQUIRES_GRAD, TensorBase, device_of, empty, new_tensor, set_geometry, shape_tuple)

import math

from tensorgrad._core.layout import contiguous_format, preserve_format, strides_of
from tensorgrad._core.layout import memory_format as MemoryFormat
from tensorgrad._core.declaration import composite, operator

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object x, int* overflow) except? -1

FACTORY = "*, DType? dtype=None, Device? device=None, bool requires_grad=False, Any layout=None, bool pin_memory=False"
LIKE = FACTORY + ", Any memory_format=None"


cdef TensorBase make(object size, object dtype, object device, bint requires_grad, int code):
    """An uninitialised tensor; `code` is the dtype when none is named."""
    cdef int64_t shape[64]
    cdef int64_t extent
    cdef int i, n = <int>len(<tuple>size)
    cdef DType d = dtype_of(code) if dtype is None else dtype
    cdef TensorBase x
    if n > 64:
        raise RuntimeError(f"tensors have at most 64 dimensions, got {n}")
    for i in range(n):
        extent = <object>(<tuple>size)[i]
        if extent < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {extent}: {list(size)}")
        shape[i] = extent
    if requires_grad and d.category < CAT_FLOAT:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    x = empty(n, shape, d, cpu if device is None else memory_device(device))
    if requires_grad:
        x.flags |= REQUIRES_GRAD
    return x


cdef TensorBase filled(PyObject** size, PyObject** options, object value, int code):
    """A tensor of a number, from the slots of a factory: `options` are its dtype, device and requires_grad."""
    cdef TensorBase x = make(<object>size[0], <object>options[0], <object>options[1], <object>options[2] is True, code)
    if value is not None:
        primitives.fill(x, value)
    return x


cdef object _empty(PyObject** a):
    return filled(a, a + 1, None, default_code())


cdef object _zeros(PyObject** a):
    try:
        return filled(a, a + 1, 0, default_code())
    except RuntimeError as error:
        if any([extent < 0 for extent in <tuple><object>a[0]]):
            raise RuntimeError(f"zeros: Dimension size must be non-negative. {error}") from None
        raise


cdef object _ones(PyObject** a):
    return filled(a, a + 1, 1, default_code())


cdef object _full(PyObject** a):
    return filled(a, a + 2, <object>a[1], code_of_number(<object>a[1]))


cdef object _scalar(PyObject** a):
    cdef object size = ()
    cdef PyObject* shape = <PyObject*>size
    return filled(&shape, a + 1, <object>a[0], code_of_number(<object>a[0]))


cdef int code_of_number(object value):
    if isinstance(value, bool):
        return TG_BOOL
    if isinstance(value, int):
        return TG_I64
    return default_code() if isinstance(value, float) else to_complex_code(default_code())


operator(f"empty(Size size, {FACTORY}, Any memory_format=None)",
native(_empty), method=False, doc="A tensor of the given shape whose elements are whatever was in memory.")
operator(f"zeros(Size size, {FACTORY})", native(_zeros), method=False, doc="""A tensor of zeros.

    Examples
    --------
    >>> tensorgrad.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """)
operator(f"ones(Size size, {FACTORY})", native(_ones), method=False, doc="""A tensor of ones.

    Examples
    --------
    >>> tensorgrad.ones(3)
    tensor([1., 1., 1.])
    """)
operator(f"full(Size size, Number fill_value, {FACTORY})", native(_full), method=False, doc="""A tensor filled with a number.

    Examples
    --------
    >>> tensorgrad.full((2,), 7)
    tensor([7, 7])
    """)
operator("scalar_tensor(Number s, *, DType? dtype=None, Device? device=None, bool requires_grad=False)",
         native(_scalar), method=False, doc="A tensor of no dimensions that holds a number.")


cdef TensorBase empty_like(TensorBase x, DType dtype):
    """An uninitialised tensor of x's shape and device, and of its layout where that is dense."""
    cdef TensorBase y = empty(x.ndim, x.shape, dtype, device_of(x))
    cdef int64_t strides[64]
    if not x.flags & CONTIGUOUS and dense_strides(x, strides):
        set_geometry(y, x.ndim, x.shape, strides)
    return y


cdef TensorBase in_order(TensorBase x, DType dtype, Device place, object order):
    """An uninitialised tensor of x's shape whose elements lie in a memory format."""
    cdef TensorBase y
    cdef int64_t strides[64]
    cdef int d
    if not isinstance(order, MemoryFormat):
        raise TypeError(f"memory_format must be tensorgrad.memory_format, not {type(order).__name__}")
    y = empty(x.ndim, x.shape, dtype, place)
    if order is preserve_format:
        if not x.flags & CONTIGUOUS and dense_strides(x, strides):
            set_geometry(y, x.ndim, x.shape, strides)
    elif order is not contiguous_format:
        wanted = strides_of(order, shape_tuple(x))
        for d in range(x.ndim):
            strides[d] = wanted[d]
        set_geometry(y, x.ndim, x.shape, strides)
    return y


cdef TensorBase like(PyObject** x, PyObject** options, object value):
    """A tensor for another, from the slots of a factory: of its shape, dtype and device where nothing else is said."""
    cdef TensorBase source = <TensorBase>x[0]
    cdef TensorBase y
    if <object>options[5] is not None:
        y = in_order(source, source.dtype if <object>options[0] is None else <object>options[0],
                     device_of(source) if <object>options[1] is None else memory_device(<object>options[1]), <object>options[5])
        (<object>y).requires_grad_(<object>options[2])
    elif <object>options[0] is None and <object>options[1] is None and <object>options[2] is False:
        y = empty_like(source, source.dtype)
    else:
        y = _like(source, None, <object>options[0], <object>options[1], <object>options[2], None)
    if value is not None:
        primitives.fill(y, value)
    return y


cdef object _empty_like(PyObject** a):
    return like(a, a + 1, None)


cdef object _zeros_like(PyObject** a):
    return like(a, a + 1, 0)


cdef object _ones_like(PyObject** a):
    return like(a, a + 1, 1)


cdef object _full_like(PyObject** a):
    return like(a, a + 2, <object>a[1])


def _like(TensorBase x, value, dtype, device, requires_grad, size=None):
    """A tensor for `x`: of its shape, dtype and device where nothing else is said, and of its layout where it is dense."""
    cdef TensorBase y = make(shape_tuple(x) if size is None else size, x.dtype if dtype is None else dtype,
                             device_of(x) if device is None else device, requires_grad, 0)
    cdef int64_t strides[64]
    if size is None and not x.flags & CONTIGUOUS and dense_strides(x, strides):
        set_geometry(y, x.ndim, x.shape, strides)
    if value is not None:
        primitives.fill(y, value)
    return y


cdef bint dense_strides(TensorBase x, int64_t* strides):
    """The strides of `x` if its elements fill its memory without gaps or overlap, in whatever order."""
    cdef int64_t expected = 1
    cdef int d
    for d in sorted(range(x.ndim), key=lambda i: (x.strides[i], -i)):
        if x.shape[d] != 1:
            if x.strides[d] != expected:
                return False
            expected *= x.shape[d]
    for d in range(x.ndim):
        strides[d] = x.strides[d]
    return True


operator(f"empty_like(Tensor self, {LIKE})",
         native(_empty_like), method=False,
         doc="An uninitialised tensor of the shape, dtype and device of another.")
operator(f"zeros_like(Tensor self, {LIKE})",
         native(_zeros_like), method=False,
         doc="Zeros of the shape, dtype and device of another tensor.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="np.zeros_like(self)")
operator(f"ones_like(Tensor self, {LIKE})",
         native(_ones_like), method=False,
         doc="Ones of the shape, dtype and device of another tensor.",
         samples=lambda make: [((make(3, 4),), {})],
         reference="np.ones_like(self)")
operator(f"full_like(Tensor self, Number fill_value, {LIKE})",
         native(_full_like), method=False,
         doc="A number repeated in the shape, dtype and device of a tensor.",
         samples=lambda make: [((make(3, 4), 3), {})],
         reference="np.full_like(self, fill_value)")
operator(f"new_empty(Tensor self, Size size, {FACTORY})",
         lambda self, size, dtype, device, requires_grad, layout, pin_memory:
         _like(self, None, dtype, device, requires_grad, size), function=False,
         doc="An uninitialised tensor of the dtype and device of this one.")
operator(f"new_zeros(Tensor self, Size size, {FACTORY})",
         lambda self, size, dtype, device, requires_grad, layout, pin_memory:
         _like(self, 0, dtype, device, requires_grad, size), function=False,
         doc="Zeros of the dtype and device of this tensor.")
operator(f"new_ones(Tensor self, Size size, {FACTORY})",
         lambda self, size, dtype, device, requires_grad, layout, pin_memory:
         _like(self, 1, dtype, device, requires_grad, size), function=False,
         doc="Ones of the dtype and device of this tensor.")
operator(f"new_full(Tensor self, Size size, Number fill_value, {FACTORY})",
         lambda self, size, fill_value, dtype, device, requires_grad, layout, pin_memory:
         _like(self, fill_value, dtype, device, requires_grad, size), function=False,
         doc="A number repeated, in the dtype and device of this tensor.")


def _eye(n, m, dtype, device, requires_grad, layout, pin_memory):
    cdef TensorBase x, diagonal
    cdef int64_t size, step
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {n}" if n < 0 else f"m must be greater or equal to 0, got {m}")
    x = make((n, m), dtype, device, requires_grad, default_code())
    primitives.fill(x, 0)
    size, step = min(n, m), m + 1
    diagonal = new_tensor(x.storage, x.dtype, 1, &size, &step, 0)
    primitives.fill(diagonal, 1)
    return x


operator(f"eye(int n, int? m=None, {FACTORY})", _eye, method=False, doc="""Ones on the diagonal, zeros elsewhere.

    Examples
    --------
    >>> tensorgrad.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """)


def _arange(start, end, step, dtype, device, requires_grad, layout, pin_memory):
    cdef TensorBase x
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = isinstance(start, int) and isinstance(end, int) and isinstance(step, int)
    count = math.ceil((end - start) / step) if not whole else -((start - end) // step)
    if dtype is not None and (<DType>dtype).category < CAT_FLOAT and not whole:
        # integers count from and by what is left of the numbers; int64 counts so how many there are, too
        start, step = int(start), int(step)
        if (<DType>dtype).code == TG_I64:
            if step == 0:
                raise ValueError("step must be nonzero: it is below 1, and an int64 is a whole number")
            count = -((start - int(end)) // step)
    x = make((count,), dtype, device, requires_grad, TG_I64 if whole else default_code())
    primitives.arange(x, start, step)
    return x


cdef bint is_moderate(object x, int64_t* value) except -1:
    """Whether `x` is an int with which int64 cannot overflow."""
    cdef int overflow = 0
    if type(x) is not int:
        return False
    value[0] = PyLong_AsLongLongAndOverflow(x, &overflow)
    return not overflow and -(<int64_t>1 << 61) < value[0] < <int64_t>1 << 61


cdef object counted(object start, object end, object step, PyObject** options):
    """From the slots of the factory: `options` are its dtype and what follows. Ints are the common case."""
    cdef int64_t first, last, stride, count
    cdef TensorBase x
    if <object>options[0] is None and is_moderate(start, &first) and is_moderate(end, &last) and is_moderate(step, &stride) \
            and ((stride > 0 and first <= last) or (stride < 0 and first >= last)):
        count = (last - first + stride - 1) // stride if stride > 0 else (first - last - stride - 1) // -stride
        x = make((count,), None, <object>options[1], <object>options[2], TG_I64)
        primitives.arange(x, start, step)
        return x
    return _arange(start, end, step, *[<object>options[i] for i in range(5)])


cdef object _arange_to(PyObject** a):
    return counted(0, <object>a[0], 1, a + 1)


cdef object _arange_between(PyObject** a):
    return counted(<object>a[0], <object>a[1], <object>a[2], a + 3)


operator(f"arange(Number end, {FACTORY})", native(_arange_to), method=False,
         doc="""Numbers from `start` (0), below `end`, in steps of `step` (1).

    Examples
    --------
    >>> tensorgrad.arange(1, 8, 3)
    tensor([1, 4, 7])
    """)
operator(f"arange(Number start, Number end, Number step=1, {FACTORY})", native(_arange_between), method=False)


def _linspace(start, end, steps, dtype, device, requires_grad, layout, pin_memory):
    """start + i * step in the first half, end - (steps - 1 - i) * step in the second, so that both ends are exact."""
    cdef TensorBase x, step
    cdef int64_t half, rest, one = 1
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    complex_ends = isinstance(start, complex) or isinstance(end, complex)
    x = make((steps,), dtype, device, requires_grad, to_complex_code(default_code()) if complex_ends else default_code())
    complex_ends = complex_ends or x.dtype.category == CAT_COMPLEX
    if steps == 1:
        primitives.fill(x, start)
    elif steps > 1 and (complex_ends or x.dtype.category < CAT_FLOAT):
        compute = x.dtype if complex_ends else dtype_of(TG_F64)
        if not complex_ends:
            start, end = int(start), int(end)
        i = handle("arange")(steps, dtype=compute, device=device_of(x))
        apart = (end - start) / (steps - 1)
        primitives.copy(x, handle("where")(i.real < steps // 2 if complex_ends else i < steps // 2, start + i * apart,
                                           end - (steps - 1 - i) * apart))
    elif steps > 1:
        # the step is rounded to the dtype before it is used, as PyTorch does; what follows is rounded once
        step = make((), x.dtype, None, False, 0)
        primitives.fill(step, end)
        low = make((), x.dtype, None, False, 0)
        primitives.fill(low, start)
        wide = primitives.decode((step - low) / (steps - 1))
        first, last = primitives.decode(low), primitives.decode(step)
        half = steps // 2
        rest = steps - half
        primitives.arange(new_tensor(x.storage, x.dtype, 1, &half, &one, 0), first, wide)
        primitives.arange(new_tensor(x.storage, x.dtype, 1, &rest, &one, half), last - wide * (rest - 1), wide)
    return x


operator(f"linspace(Number start, Number end, int steps, {FACTORY})", _linspace, method=False, overloaded=True,
         doc="""Evenly spaced numbers from `start` to `end`, both included.

    Examples
    --------
    >>> tensorgrad.linspace(0, 1, steps=3)
    tensor([0.0000, 0.5000, 1.0000])
    """)
composite(f"logspace(Number start, Number end, int steps, Number base=10.0, {FACTORY})",
          lambda start, end, steps, base, dtype, device, requires_grad, layout, pin_memory:
          _logspace(start, end, steps, base, dtype, device, requires_grad), method=False, overloaded=True,
          doc="Numbers whose logarithms to `base` are evenly spaced.")


def _logspace(start, end, steps, base, dtype, device, requires_grad):
    if dtype is not None and (<DType>dtype).category < CAT_FLOAT:
        exponents = handle("linspace")(int(start), int(end), steps, dtype=dtype_of(TG_F64), device=device)
        return handle("to")(handle("pow")(base, exponents), dtype)
    exponents = handle("linspace")(start, end, steps, dtype=dtype, device=device)
    return handle("pow")(base, exponents).detach().requires_grad_(requires_grad)
