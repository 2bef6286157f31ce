"""Elementwise computation: promotion, broadcasting, the output's memory, and the kernel."""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from tensorgrad._core.declaration cimport RULE_FLOAT
from tensorgrad._core.device cimport cpu
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.device cimport tg_kernel, tg_loop
from tensorgrad._core.dtype cimport (
    CAT_COMPLEX, CAT_FLOAT, CAT_INT, TG_BOOL, TG_I64, TG_U8, category_of, combine_categories, default_code, dtype_of, promote,
    to_complex_code, to_real_code)
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.operator cimport Operator, call1, handle
from tensorgrad._core.overlap cimport overlaps_itself, ranges_meet, same_geometry
from tensorgrad._core.primitives cimport RELEASE_GIL_AT, encode, has_shape, pointwise
from tensorgrad._core.signature cimport P_NUMBER, Param
from tensorgrad._core.types cimport CONTIGUOUS, INLINE_DIMS, empty, empty_of_shape, is_tensor, memory, new_tensor

from tensorgrad._core.graph import _type_names

cdef extern from "Python.h":
    object PyObject_Vectorcall(object f, PyObject** args, size_t nargsf, PyObject* kwnames)

cdef enum:
    FEW_BYTES = 1024        # a number is repeated for as many
    SHORTEST_ROW = 4        # a call for each row pays from here on
    NO_CATEGORY = 1 << 10

cdef Operator op_clone = handle("clone")


cdef int check_cast(TensorBase value, TensorBase target) except -1:
    if category_of(value.dtype.code) > category_of(target.dtype.code):
        raise RuntimeError(f"result type {legacy_name(value.dtype)} can't be cast to the desired output type {legacy_name(target.dtype)}")
    return 0


cdef str legacy_name(DType d):
    return _type_names[d.name]


cdef int refuse_escaped(Overload o, TensorBase x) except -1:
    """A tensor of a transform that is not in force here."""
    if x.wrap.bdim >= 0:
        raise RuntimeError(
            "Either your tensor may have escaped from inside a function being vmapped and this is a user error, or it is used "
            f"below its own transform. ({o.name} got a batched tensor of level {x.wrap.level})")
    raise RuntimeError(
        f"{o.name}: a tensor that belongs to a transform has escaped from the function that was transformed (grad, vjp or jvp "
        f"at level {x.wrap.level}); return it from that function instead")


cdef int compute_dtype(Overload o, PyObject** a) except -1:
    """The type in which an elementwise operator computes."""
    cdef int dims = -1, zeros = -1, numbers = -1, i, code
    cdef int first = o.kernel.bool_first
    cdef object x
    if first == 0 and isinstance(<object>a[0], TensorBase) and (o.kernel.n_inputs == 1 or (
            o.kernel.n_inputs == 2 and isinstance(<object>a[1], TensorBase)
            and (<TensorBase>a[0]).dtype is (<TensorBase>a[1]).dtype)):
        code = (<TensorBase>a[0]).dtype.code
        return default_code() if o.rule == RULE_FLOAT and category_of(code) < CAT_FLOAT else code
    for i in range(first, o.kernel.n_inputs):
        x = <object>a[i]
        if isinstance(x, TensorBase):
            code = (<TensorBase>x).dtype.code
            if (<TensorBase>x).ndim > 0:
                dims = code if dims < 0 else promote(dims, code)
            else:
                zeros = code if zeros < 0 else promote(zeros, code)
        elif (<Param>o.signature.params[i]).type == P_NUMBER and (dims >= 0 or zeros >= 0):
            continue
        elif type(x) is float:
            numbers = default_code() if numbers < 0 else promote(numbers, default_code())
        elif type(x) is bool:
            numbers = TG_BOOL if numbers < 0 else promote(numbers, TG_BOOL)
        elif type(x) is int:
            numbers = TG_I64 if numbers < 0 else promote(numbers, TG_I64)
        else:
            numbers = to_complex_code(default_code())
    code = combine_categories(combine_categories(dims, zeros), numbers)
    if o.rule == RULE_FLOAT and category_of(code) < CAT_FLOAT:
        code = default_code()
    return code


cdef int _broadcast(PyObject** a, int n, int64_t* shape) except -1:
    """The common shape of the tensors among `a`; returns its ndim."""
    cdef int i, d, ndim = 0
    cdef int64_t size
    cdef TensorBase x
    for i in range(n):
        if isinstance(<object>a[i], TensorBase):
            x = <TensorBase>a[i]
            if x.ndim > ndim:
                for d in range(ndim - 1, -1, -1):
                    shape[d + x.ndim - ndim] = shape[d]
                for d in range(x.ndim - ndim):
                    shape[d] = 1
                ndim = x.ndim
            for d in range(x.ndim):
                size = x.shape[d]
                if size != shape[ndim - x.ndim + d]:
                    if shape[ndim - x.ndim + d] == 1:
                        shape[ndim - x.ndim + d] = size
                    elif size != 1:
                        raise RuntimeError(
                            f"The size of tensor a ({shape[ndim - x.ndim + d]}) must match the size of tensor b ({size}) at "
                            f"non-singleton dimension {ndim - x.ndim + d}")
    return ndim


cdef bint _is_repeated(TensorBase y, TensorBase x) noexcept:
    """Whether contiguous `y` has the shape of x's last dimensions: a bias that is added to each row."""
    return y.ndim < x.ndim and y.numel >= SHORTEST_ROW and has_shape(y, y.ndim, x.shape + (x.ndim - y.ndim))


cdef int _fill_copies(char* copies, TensorBase x, object value) except -1:
    """As many copies of a number, in the dtype of `x`, as `x` has elements."""
    cdef int64_t at = x.dtype.itemsize, nbytes = x.numel * x.dtype.itemsize
    encode(value, x.dtype.code, copies)
    while at < nbytes:      # twice as many each time
        memcpy(&copies[at], copies, min(at, nbytes - at))
        at *= 2
    return 0


cdef void _loop_over_rows(tg_loop loop, char** p, int64_t rows, int64_t n, int64_t out_size, int64_t size) noexcept:
    cdef char* q[3]
    cdef int64_t r
    for r in range(rows):
        q[0], q[1], q[2] = p[0] + r * n * out_size, p[1] + r * n * size, p[2]
        loop(q, n)


cdef TensorBase _plain_result(Overload o, PyObject** a, TensorBase out):
    """The short way, for small tensors of one dtype that are contiguous and on the CPU: of one shape, or with a second one
    that is repeated, or a number. Into `out` if it is given. None where there is no short way."""
    cdef const tg_kernel* k = o.kernel
    cdef TensorBase x, y
    cdef int64_t n
    cdef tg_loop loop
    cdef char* p[3]
    cdef char copies[FEW_BYTES]
    if not is_tensor(a[0]):
        return None
    x = <TensorBase>a[0]
    if not x.flags & CONTIGUOUS or x.numel >= RELEASE_GIL_AT or x.ndim > INLINE_DIMS or x.storage is None \
            or x.storage.device.table == NULL or (out is not None and (out is not x or k.bool_output)):
        return None
    if x.dtype.category < CAT_FLOAT:
        if o.check is not None or o.rule == RULE_FLOAT:
            return None
    elif x.dtype.category == CAT_COMPLEX and k.real_output:
        return None
    n = x.numel
    if k.n_inputs == 2:
        if is_tensor(a[1]):
            y = <TensorBase>a[1]
            if y.dtype is not x.dtype or not y.flags & CONTIGUOUS or y.storage is None \
                    or y.storage.device is not x.storage.device \
                    or (out is not None and y.storage is x.storage and y is not x):
                return None
            if not has_shape(y, x.ndim, x.shape):
                if n == 0 or not _is_repeated(y, x):
                    return None
                n = y.numel
            p[2] = memory(y)
        elif x.numel * x.dtype.itemsize <= FEW_BYTES and x.dtype.category >= (
                CAT_INT if type(<object>a[1]) is int else CAT_FLOAT if type(<object>a[1]) is float else NO_CATEGORY):
            _fill_copies(copies, x, <object>a[1])
            p[2] = copies
        else:
            return None
    loop = x.storage.device.table.plain_loop(k, x.dtype.code)
    if loop == NULL:
        return None
    if out is None:
        out = empty_of_shape(x, dtype_of(TG_BOOL) if k.bool_output else x.dtype)
    p[0], p[1] = memory(out), memory(x)
    if n == x.numel:
        loop(p, n)
    else:
        _loop_over_rows(loop, p, x.numel // n, n, out.dtype.itemsize, x.dtype.itemsize)
    return out


cdef TensorBase pointwise_result(Overload o, PyObject** a, TensorBase out):
    """Promotion, broadcasting, allocation and the kernel; into `out` when it is given."""
    cdef const tg_kernel* k = o.kernel
    cdef int i, n = k.n_inputs, ndim, code, out_code
    cdef int64_t shape[64]
    cdef TensorBase x, first = None
    cdef bint same = True
    cdef Device device = None
    if o.plain:
        x = _plain_result(o, a, out)
        if x is not None:
            return x
    for i in range(n):
        if isinstance(<object>a[i], TensorBase):
            x = <TensorBase>a[i]
            if x.storage is None:
                refuse_escaped(o, x)
            if first is None:
                first = x
                device = x.storage.device
            else:
                same &= has_shape(x, first.ndim, first.shape)
                if x.storage.device is not device:
                    device = _common_device(o, first, x, device)
    if o.check is not None:
        PyObject_Vectorcall(o.check, a, n, NULL)
    if first is None:
        return _numbers_only(o, a)
    if k.bool_first and isinstance(<object>a[0], TensorBase) and (<TensorBase>a[0]).dtype.code != TG_BOOL \
            and (<TensorBase>a[0]).dtype.code != TG_U8 and o.signature.params[0].name == "condition":
        raise RuntimeError(f"{o.name} expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{legacy_name((<TensorBase>a[0]).dtype).capitalize()}")
    code = compute_dtype(o, a)
    out_code = TG_BOOL if k.bool_output else (to_real_code(code) if k.real_output else code)
    if out is not None:
        return _pointwise_into(o, k, code, out_code, a, out)
    if same:
        if first.flags & CONTIGUOUS:
            out = empty(first.ndim, first.shape, dtype_of(out_code), device)
        else:
            out = _empty_like_layout(first, dtype_of(out_code), device)
    else:
        ndim = _broadcast(a, n, shape)
        out = empty(ndim, shape, dtype_of(out_code), device)
    pointwise(k, code, out, a)
    return out


cdef TensorBase _numbers_only(Overload o, PyObject** a):
    cdef TensorBase out
    code = compute_dtype(o, a)
    out = empty(0, NULL, dtype_of(TG_BOOL if o.kernel.bool_output else code), cpu)
    pointwise(o.kernel, code, out, a)
    return out


cdef Device _common_device(Overload o, TensorBase a, TensorBase b, Device device):
    """A zero-dimensional CPU tensor may join any device; nothing else moves silently."""
    if b.ndim == 0 and b.storage.device.table != NULL:
        return device
    if a.ndim == 0 and a.storage.device.table != NULL:
        return b.storage.device
    raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {device} and "
                       f"{b.storage.device}! ({o.name}: move one of them with .to(device))")


cdef TensorBase _empty_like_layout(TensorBase x, DType dtype, Device device):
    """Of x's shape, and with its strides when these leave no gaps (a transposed matrix stays one)."""
    cdef int64_t strides[64]
    cdef int order[64]
    cdef int d, e, t
    cdef int64_t step = 1
    cdef TensorBase out = empty(x.ndim, x.shape, dtype, device)
    for d in range(x.ndim):
        if x.strides[d] <= 0 and x.shape[d] != 1:
            return out
        order[d] = d
    for d in range(1, x.ndim):      # outermost first, ties as they stand
        e = d
        while e > 0 and x.strides[order[e - 1]] < x.strides[order[e]]:
            t = order[e]
            order[e] = order[e - 1]
            order[e - 1] = t
            e -= 1
    for d in range(x.ndim - 1, -1, -1):
        strides[order[d]] = step
        step *= max(x.shape[order[d]], 1)
    return new_tensor(out.storage, dtype, x.ndim, x.shape, strides, 0)


cdef TensorBase _pointwise_into(Overload o, const tg_kernel* k, int code, int out_code, PyObject** a, TensorBase out):
    """An in-place operator: every check comes before the first write."""
    cdef int64_t shape[64]
    cdef int ndim, i, d
    cdef PyObject* operands[3]
    cdef list copies = None
    cdef TensorBase x
    if category_of(out_code) > category_of(out.dtype.code):
        raise RuntimeError(f"result type {legacy_name(dtype_of(out_code))} can't be cast to the desired output type "
                           f"{legacy_name(out.dtype)}")
    ndim = _broadcast(a, k.n_inputs, shape)
    if not has_shape(out, ndim, shape):
        raise RuntimeError(f"output with shape {[out.shape[d] for d in range(out.ndim)]} doesn't match the broadcast shape "
                           f"{[shape[d] for d in range(ndim)]}")
    if overlaps_itself(out):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                           "location. Please clone() the tensor before performing the operation.")
    for i in range(k.n_inputs):
        operands[i] = a[i]
        if not isinstance(<object>a[i], TensorBase):
            continue
        x = <TensorBase>a[i]
        if x is not out and x.storage is out.storage and not same_geometry(x, out) and ranges_meet(x, out):
            if x.flags & CONTIGUOUS and out.flags & CONTIGUOUS:
                raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer "
                                   "to a single memory location. Please clone() the tensor before performing the operation.")
            x = call1(op_clone, x)      # interleaved or transposed: read it before it is overwritten
            copies = [x, copies]
            operands[i] = <PyObject*>x
    pointwise(k, code, out, operands)
    return out


def result_type(x, y):
    """The dtype of an arithmetic operation between two tensors or numbers.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.result_type(tensorgrad.tensor([1, 2], dtype=tensorgrad.int32), 1.0)
    tensorgrad.float32
    """
    cdef int dims = -1, zeros = -1, numbers = -1
    for v in (x, y):
        if isinstance(v, TensorBase):
            code = (<TensorBase>v).dtype.code
            if (<TensorBase>v).ndim:
                dims = code if dims < 0 else promote(dims, code)
            else:
                zeros = code if zeros < 0 else promote(zeros, code)
        else:
            code = (TG_BOOL if isinstance(v, bool) else TG_I64 if isinstance(v, int) else default_code()
                    if isinstance(v, float) else to_complex_code(default_code()))
            numbers = code if numbers < 0 else promote(numbers, code)
    return dtype_of(combine_categories(combine_categories(dims, zeros), numbers))
