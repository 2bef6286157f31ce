"""The door to the kernels: every operator is written once over these calls, whatever the device.

The CPU's kernels are C functions in a table; a plugin's are methods of its Backend, which receive
`DeviceArray`s (memory handle, byte offset, shape, strides), never a pointer. What they are called
with is written down in `tensorgrad.devices.Backend`.
"""
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from tensorgrad._core.device cimport TG_BAD_INDEX, TG_DIV_ZERO, TG_NO_KERNEL, TG_NO_MEMORY, TG_OK, tg_kernel_table
from tensorgrad._core.device cimport cpu as cpu_device
from tensorgrad._core.dtype cimport (
    CAT_BOOL, CAT_COMPLEX, CAT_FLOAT, TG_BF16, TG_BOOL, TG_C64, TG_F16, TG_F32, TG_F64, TG_I8, TG_I16, TG_I32, TG_I64,
    TG_U8, TG_U16, TG_U32, TG_U64, category_of, dtype_of)
from tensorgrad._core.grad_mode cimport thread_state
from tensorgrad._core.profiler cimport profiled_kernel
from tensorgrad._core.types cimport CONTIGUOUS, TensorBase, empty, new_tensor, shape_tuple

from tensorgrad._core.graph import _type_names
from tensorgrad._core.locks import local
from tensorgrad._core.types import OutOfMemoryError

cdef extern from "array.h" nogil:
    float tg_half_to_float(uint16_t h)
    uint16_t tg_float_to_half(float f)
    float tg_bf16_to_float(uint16_t h)
    uint16_t tg_float_to_bf16(float f)

cdef class DeviceArray:
    """What a plugin's kernel sees of a tensor.

    Attributes
    ----------
    handle : object
        What the backend's `allocate` returned.
    offset : int
        Bytes from the start of that memory to the first element.
    shape, strides : tuple of int
        Strides count elements; they may be zero or negative.
    dtype : str
        The dtype's name, such as ``"float32"``.
    """
    cdef readonly object handle
    cdef readonly object offset
    cdef readonly tuple shape
    cdef readonly tuple strides
    cdef readonly str dtype
    cdef readonly int itemsize
    cdef readonly int device_index

    @property
    def ndim(self):
        """The number of dimensions."""
        return len(self.shape)

    @property
    def numel(self):
        """The number of elements."""
        cdef int64_t n = 1
        for size in self.shape:
            n *= size
        return n

    def __repr__(self):
        return (f"DeviceArray({self.dtype}, shape={self.shape}, strides={self.strides}, offset={self.offset}, "
                f"handle={self.handle!r})")


cdef object as_device_array(TensorBase x):
    cdef DeviceArray a = DeviceArray.__new__(DeviceArray)
    a.handle = x.storage.handle
    a.offset = x.offset * x.dtype.itemsize
    a.shape = shape_tuple(x)
    a.strides = tuple([x.strides[d] for d in range(x.ndim)])
    a.dtype, a.itemsize, a.device_index = x.dtype.name, x.dtype.itemsize, x.storage.device.number
    return a


def device_array(TensorBase tensor):
    """What the kernels of a plugin see of a tensor on its device.

    Parameters
    ----------
    tensor : Tensor
        Not on the CPU, whose kernels take pointers.

    Returns
    -------
    DeviceArray
    """
    if table_of(tensor) != NULL:
        raise TypeError("device_array(): the tensor is on the CPU, which is no plugin")
    return as_device_array(tensor)


cdef inline const tg_kernel_table* table_of(TensorBase x) except? NULL:
    if x.storage is None:
        raise RuntimeError("a tensor that belongs to a transform has no memory: it may have escaped from the function that "
                           "is being transformed (grad, jvp or vmap)")
    return x.storage.device.table


cdef inline void describe(TensorBase x, tg_array* a) noexcept:
    a.data = x.storage.data + x.offset * x.dtype.itemsize
    a.shape = x.shape
    a.strides = x.strides
    a.ndim = x.ndim
    a.dtype = x.dtype.code
    a.numel = x.numel
    a.contiguous = x.flags & CONTIGUOUS


cdef struct Held:
    int64_t dims[128]
    PyObject* storage           # owned


cdef void hold(TensorBase x, tg_array* a, Held* held) noexcept:
    """Let `a` describe what `x` is now whatever another thread does to the tensor while a kernel runs without the GIL:
    `resize_` and a new `.data` give it another shape and free its memory."""
    if a.ndim:
        memcpy(held.dims, a.shape, a.ndim * sizeof(int64_t))
        memcpy(&held.dims[64], a.strides, a.ndim * sizeof(int64_t))
        a.shape, a.strides = held.dims, &held.dims[64]
    held.storage = <PyObject*>x.storage
    Py_INCREF(x.storage)


cdef void let_go(Held* held, int n) noexcept:
    cdef int i
    for i in range(n):
        Py_DECREF(<object>held[i].storage)


cdef bint has_shape(TensorBase x, int ndim, const int64_t* shape) noexcept:
    cdef int d
    if x.ndim != ndim:
        return False
    for d in range(ndim):
        if x.shape[d] != shape[d]:
            return False
    return True


cdef void broadcast_strides(TensorBase x, int ndim, const int64_t* shape, int64_t* strides) noexcept:
    """Strides of zero where `x` is repeated; the shapes are known to fit."""
    cdef int d, shift = ndim - x.ndim
    for d in range(ndim):
        strides[d] = 0 if d < shift or (x.shape[d - shift] == 1 and shape[d] != 1) else x.strides[d - shift]


cdef TensorBase expand_to(TensorBase x, int ndim, const int64_t* shape):
    """A view of `x` broadcast to `shape`."""
    cdef int64_t strides[64]
    broadcast_strides(x, ndim, shape, strides)
    return new_tensor(x.storage, x.dtype, ndim, shape, strides, x.offset)


cdef int check(int status, str name, TensorBase x) except -1:
    if status == TG_OK:
        return 0
    if status == TG_NO_MEMORY:
        raise OutOfMemoryError(f"{name}: can't allocate scratch memory")
    if status == TG_NO_KERNEL:
        raise NotImplementedError(f"\"{name}\" not implemented for '{_spoken(x)}' on {x.storage.device}")
    if status == TG_DIV_ZERO:
        raise ZeroDivisionError("ZeroDivisionError")
    raise RuntimeError(f"{name}: kernel failed with status {status}")


cdef str _spoken(TensorBase x):
    return _type_name(x.dtype.name)


cdef str _type_name(str dtype_name):
    return _type_names[dtype_name]


cdef bint has_kernel(TensorBase x, str name):
    """Has this device a kernel of that name? The CPU has them all."""
    return table_of(x) != NULL or getattr(x.storage.device.backend, name, None) is not None


cdef object call_plugin(TensorBase x, str method, str name, tuple args):
    """Call a kernel of the plugin that `x` lives on; one that is missing is told by the name of what wanted it."""
    function = getattr(x.storage.device.backend, method, None)
    if thread_state().profiling:
        function = profiled_kernel(function, x, method, name)
    try:
        if function is None:
            raise NotImplementedError(f"the backend has no kernel '{method}'")
        return function(*args)
    except NotImplementedError as error:
        raise NotImplementedError(f"\"{name}\" not implemented for '{_spoken(x)}' on {x.storage.device}: {error}") from error
    except MemoryError as error:
        raise OutOfMemoryError(f"{x.storage.device} out of memory: {name} needs scratch memory ({error})") from error


_function_check = None               # refuses what a backend says it lacks; the contract lives above
cdef set _accepted = set()            # what it has let pass


def set_function_check(function):
    """`function(device, backend, kernel, expression, dtype)` raises where a device lacks what an expression calls."""
    global _function_check
    _function_check = function


cdef int encode(object value, int dtype, char* element) except -1:
    """Write a Python number as one element of `dtype`."""
    cdef double d, imaginary
    cdef int category = category_of(dtype)
    if category == CAT_FLOAT:
        if isinstance(value, complex):
            if value.imag != 0:
                raise RuntimeError(f"value cannot be converted to type {dtype_of(dtype).name} without overflow")
            value = value.real
        d = value
        if dtype == TG_F32:
            (<float*>element)[0] = <float>d
        elif dtype == TG_F64:
            (<double*>element)[0] = d
        elif dtype == TG_F16:
            (<uint16_t*>element)[0] = tg_float_to_half(<float>d)
        else:
            (<uint16_t*>element)[0] = tg_float_to_bf16(<float>d)
        return 0
    if category == CAT_COMPLEX:
        value = complex(value)      # by parts: a C complex made of an infinite one would be nan
        d, imaginary = value.real, value.imag
        if dtype == TG_C64:
            (<float*>element)[0] = <float>d
            (<float*>element)[1] = <float>imaginary
        else:
            (<double*>element)[0] = d
            (<double*>element)[1] = imaginary
        return 0
    if category == CAT_BOOL:
        (<uint8_t*>element)[0] = 1 if value else 0
        return 0
    if isinstance(value, complex):
        if value.imag != 0:
            raise RuntimeError(f"value cannot be converted to type {dtype_of(dtype).name} without overflow")
        value = value.real
    if type(value) is float and (value != value or value in (float("inf"), float("-inf"))):
        raise RuntimeError(f"value cannot be converted to type {dtype_of(dtype).name} without overflow")
    value = int(value)
    try:
        if dtype == TG_I64:
            (<int64_t*>element)[0] = value
        elif dtype == TG_I32:
            (<int32_t*>element)[0] = value
        elif dtype == TG_I16:
            (<int16_t*>element)[0] = value
        elif dtype == TG_I8:
            (<int8_t*>element)[0] = value
        elif dtype == TG_U8:
            (<uint8_t*>element)[0] = (value + 256) if -256 < value < 0 else value
        elif dtype == TG_U16:
            (<uint16_t*>element)[0] = value
        elif dtype == TG_U32:
            (<uint32_t*>element)[0] = value
        else:
            (<uint64_t*>element)[0] = value
    except OverflowError:
        raise RuntimeError(f"value cannot be converted to type {dtype_of(dtype).name} without overflow") from None
    return 0


cdef object decode(TensorBase x):
    """The one element of `x` as a Python number."""
    cdef TensorBase y = x
    if table_of(x) == NULL:
        y = empty(0, NULL, x.dtype, cpu_device)
        copy(y, x if x.ndim == 0 else _first(x))
    return decode_element(y.storage.data + y.offset * y.dtype.itemsize, y.dtype.code)


cdef object decode_element(char* p, int code):
    """The inverse of `encode`."""
    if code == TG_F32:
        return (<float*>p)[0]
    if code == TG_F64:
        return (<double*>p)[0]
    if code == TG_I64:
        return (<int64_t*>p)[0]
    if code == TG_BOOL:
        return p[0] != 0
    if code == TG_I32:
        return (<int32_t*>p)[0]
    if code == TG_I16:
        return (<int16_t*>p)[0]
    if code == TG_I8:
        return (<int8_t*>p)[0]
    if code == TG_U8:
        return (<uint8_t*>p)[0]
    if code == TG_U16:
        return (<uint16_t*>p)[0]
    if code == TG_U32:
        return (<uint32_t*>p)[0]
    if code == TG_U64:
        return (<uint64_t*>p)[0]
    if code == TG_F16:
        return tg_half_to_float((<uint16_t*>p)[0])
    if code == TG_BF16:
        return tg_bf16_to_float((<uint16_t*>p)[0])
    if code == TG_C64:
        return complex((<float*>p)[0], (<float*>p)[1])
    return complex((<double*>p)[0], (<double*>p)[1])


cdef TensorBase _first(TensorBase x):
    return new_tensor(x.storage, x.dtype, 0, NULL, NULL, x.offset)


cdef int pointwise(const tg_kernel* k, int dtype, TensorBase out, PyObject** inputs) except -1:
    """Run an elementwise kernel in compute type `dtype`; an input is a tensor that broadcasts to the output's shape (of no
    dimensions also on the CPU, whatever the device), or a Python number."""
    cdef tg_array o
    cdef tg_array ins[3]
    cdef int64_t strides[3][64]
    cdef TensorBase x
    cdef char elements[3][16]
    cdef int i, code, status
    cdef const tg_kernel_table* table = table_of(out)
    if table == NULL:
        return _plugin_pointwise(k, dtype, out, inputs)
    describe(out, &o)
    for i in range(k.n_inputs):
        if isinstance(<object>inputs[i], TensorBase):
            x = <TensorBase>inputs[i]
            describe(x, &ins[i])
            if x.ndim and not has_shape(x, out.ndim, out.shape):
                broadcast_strides(x, out.ndim, out.shape, strides[i])
                ins[i].shape, ins[i].strides, ins[i].ndim = out.shape, strides[i], out.ndim
                ins[i].numel, ins[i].contiguous = out.numel, 0
        else:
            code = TG_BOOL if k.bool_first and i == 0 else dtype
            encode(<object>inputs[i], code, elements[i])
            ins[i].data = elements[i]
            ins[i].shape = NULL
            ins[i].strides = NULL
            ins[i].ndim = 0
            ins[i].dtype = code
            ins[i].numel = 1
            ins[i].contiguous = 1
    if out.numel >= RELEASE_GIL_AT:
        status = _pointwise_unlocked(table, k, dtype, out, &o, inputs, ins)
    else:
        status = table.pointwise(k, dtype, &o, ins)
    return check(status, k.name.decode(), out) if status != TG_OK else 0


cdef int _pointwise_unlocked(const tg_kernel_table* table, const tg_kernel* k, int dtype, TensorBase out, tg_array* o,
                             PyObject** inputs, tg_array* ins) noexcept:
    cdef Held held[4]
    cdef int i, status, n = 1
    hold(out, o, &held[0])
    for i in range(k.n_inputs):
        if isinstance(<object>inputs[i], TensorBase):
            hold(<TensorBase>inputs[i], &ins[i], &held[n])
            n += 1
    with nogil:
        status = table.pointwise(k, dtype, o, ins)
    let_go(held, n)
    return status


cdef int _plugin_pointwise(const tg_kernel* k, int dtype, TensorBase out, PyObject** inputs) except -1:
    cdef TensorBase x
    cdef int i, code
    cdef str name = k.name.decode(), expression = k.expr.decode(), dtype_name = dtype_of(dtype).name
    # what the CPU has no loop for is no operator of that type: shifts of floats, say
    if k.loop[0][TG_F32 if dtype == TG_F16 or dtype == TG_BF16 else dtype] == NULL:
        raise NotImplementedError(f"\"{name}\" not implemented for '{_type_name(dtype_name)}' on {out.storage.device}")
    if out.numel == 0:
        return 0
    key = (out.storage.device.type, expression, dtype_name)
    if _function_check is not None and key not in _accepted:
        _function_check(out.storage.device, out.storage.device.backend, name, expression, dtype_name)
        _accepted.add(key)
    operands = []
    for i in range(k.n_inputs):
        code = TG_BOOL if k.bool_first and i == 0 else dtype
        if not isinstance(<object>inputs[i], TensorBase):
            operands.append(_as_number(<object>inputs[i], code))
            continue
        x = <TensorBase>inputs[i]
        if x.storage.device.table != NULL:
            operands.append(_number_of(x, code))
        else:
            operands.append(as_device_array(x if x.ndim == 0 else expand_to(x, out.ndim, out.shape)))
    call_plugin(out, "pointwise", name, (name, expression, dtype_name, as_device_array(out), operands))
    return 0


cdef object _as_number(object value, int code):
    """The number that an element of this dtype holds when `value` is written to it."""
    cdef char element[16]
    encode(value, code, element)
    return decode_element(element, code)


cdef object _number_of(TensorBase x, int code):
    """A CPU tensor of no dimensions as a number of the given dtype."""
    cdef TensorBase y = x
    if x.dtype.code != code:
        y = empty(0, NULL, dtype_of(code), cpu_device)
        copy(y, x)
    return decode(y)


cdef int copy(TensorBase dst, TensorBase src) except -1:
    """dst = src, with broadcasting by strides already done, a cast, and a transfer where the devices differ."""
    cdef Held held[2]
    cdef tg_array d, s
    cdef int status
    cdef const tg_kernel_table* to = table_of(dst)
    cdef const tg_kernel_table* source = table_of(src)
    if not has_shape(src, dst.ndim, dst.shape):     # an operator's derivative may be called with anything
        raise RuntimeError(f"cannot copy a tensor of shape {list(shape_tuple(src))} into one of shape {list(shape_tuple(dst))}")
    if to == NULL or source == NULL:
        return _transfer(dst, src)
    describe(dst, &d)
    describe(src, &s)
    if dst.numel >= RELEASE_GIL_AT:
        hold(dst, &d, &held[0])
        hold(src, &s, &held[1])
        with nogil:
            status = to.copy(&d, &s)
        let_go(held, 2)
    else:
        status = to.copy(&d, &s)
    return check(status, "copy_", dst) if status != TG_OK else 0


cdef TensorBase _packed(TensorBase x):
    """`x` itself if its elements lie in order without gaps, else such a copy on its device."""
    if x.flags & CONTIGUOUS:
        return x
    cdef TensorBase y = empty(x.ndim, x.shape, x.dtype, x.storage.device)
    copy(y, x)
    return y


#: ``.on`` while copies from the CPU may be under way when they return: ``non_blocking=True``.
hurried = local()


cdef int _transfer(TensorBase dst, TensorBase src) except -1:
    cdef TensorBase tmp
    cdef int64_t nbytes
    if dst.numel == 0:
        return 0
    if dst.storage.device is src.storage.device:
        call_plugin(dst, "copy", "copy_", (as_device_array(dst), as_device_array(src)))
        return 0
    if src.ndim != dst.ndim or src.dtype is not dst.dtype or not dst.flags & CONTIGUOUS:
        # cast and pack on the source's device, unpack on the destination's
        tmp = empty(dst.ndim, dst.shape, dst.dtype, dst.storage.device)
        src = _packed(src)
        if src.dtype is not dst.dtype:
            cast = empty(src.ndim, src.shape, dst.dtype, src.storage.device)
            copy(cast, src)
            src = cast
        if tmp.numel != src.numel:
            raise RuntimeError("copy between devices needs operands of one shape")
        _transfer(tmp, src)
        return copy(dst, tmp)
    src = _packed(src)
    nbytes = dst.numel * dst.dtype.itemsize
    if src.storage.device.table != NULL:
        arguments = (as_device_array(dst), PyMemoryView_FromMemory(
            src.storage.data + src.offset * src.dtype.itemsize, nbytes, PyBUF_READ))
        if getattr(hurried, "on", False) and has_kernel(dst, "copy_from_host_later"):
            call_plugin(dst, "copy_from_host_later", "copy_", (*arguments, src.storage))
        else:
            call_plugin(dst, "copy_from_host", "copy_", arguments)
    elif dst.storage.device.table != NULL:
        call_plugin(src, "copy_to_host", "copy_", (PyMemoryView_FromMemory(
            dst.storage.data + dst.offset * dst.dtype.itemsize, nbytes, PyBUF_WRITE), as_device_array(src)))
    else:
        tmp = empty(src.ndim, src.shape, src.dtype, cpu_device)
        _transfer(tmp, src)
        _transfer(dst, tmp)
    return 0


cdef int fill(TensorBase dst, object value) except -1:
    cdef Held held[1]
    cdef tg_array d
    cdef char element[16]
    encode(value, dst.dtype.code, element)
    if table_of(dst) == NULL:
        if dst.numel:
            call_plugin(dst, "fill", "fill_", (as_device_array(dst), decode_element(element, dst.dtype.code)))
        return 0
    describe(dst, &d)
    cdef int status
    cdef const tg_kernel_table* table = dst.storage.device.table
    if dst.numel >= RELEASE_GIL_AT:
        hold(dst, &d, &held[0])
        with nogil:
            status = table.fill(&d, element)
        let_go(held, 1)
    else:
        status = table.fill(&d, element)
    return check(status, "fill_", dst) if status != TG_OK else 0


cdef tuple _reduce_names = ("sum", "prod", "max", "min", "any", "all")


cdef int reduce(int op, TensorBase out, TensorBase x) except -1:
    """Reduce the dimensions in which `out` has size 1 and `x` may have more; both have the same ndim."""
    cdef Held held[2]
    cdef tg_array o, a
    cdef int status
    cdef const tg_kernel_table* table = table_of(out)
    if table == NULL:
        if out.numel and not x.numel:
            return fill(out, op == REDUCE_PROD or op == REDUCE_ALL)
        if out.numel:
            call_plugin(x, "reduce", _reduce_names[op], (_reduce_names[op], as_device_array(out), as_device_array(x)))
        return 0
    describe(out, &o)
    describe(x, &a)
    if x.numel >= RELEASE_GIL_AT:
        hold(out, &o, &held[0])
        hold(x, &a, &held[1])
        with nogil:
            status = table.reduce(op, &o, &a)
        let_go(held, 2)
    else:
        status = table.reduce(op, &o, &a)
    return check(status, _reduce_names[op], x) if status != TG_OK else 0


cdef int argreduce(bint is_max, TensorBase out, TensorBase x, int dim) except -1:
    cdef Held held[2]
    cdef tg_array o, a
    if table_of(out) == NULL:
        name = "argmax" if is_max else "argmin"
        if out.numel:
            call_plugin(x, "argreduce", name, (name, as_device_array(out), as_device_array(x), dim))
        return 0
    describe(out, &o)
    describe(x, &a)
    cdef int status
    cdef const tg_kernel_table* table = out.storage.device.table
    if x.numel >= RELEASE_GIL_AT:
        hold(out, &o, &held[0])
        hold(x, &a, &held[1])
        with nogil:
            status = table.argreduce(is_max, &o, &a, dim)
        let_go(held, 2)
    else:
        status = table.argreduce(is_max, &o, &a, dim)
    return check(status, "argmax" if is_max else "argmin", x) if status != TG_OK else 0


cdef int scan(int op, TensorBase out, TensorBase x, int dim) except -1:
    cdef Held held[2]
    cdef tg_array o, a
    if table_of(out) == NULL:
        if out.numel:
            call_plugin(x, "scan", "cum" + _reduce_names[op], (_reduce_names[op], as_device_array(out), as_device_array(x), dim))
        return 0
    describe(out, &o)
    describe(x, &a)
    cdef int status
    cdef const tg_kernel_table* table = out.storage.device.table
    if x.numel >= RELEASE_GIL_AT:
        hold(out, &o, &held[0])
        hold(x, &a, &held[1])
        with nogil:
            status = table.scan(op, &o, &a, dim)
        let_go(held, 2)
    else:
        status = table.scan(op, &o, &a, dim)
    return check(status, "cum" + _reduce_names[op], x) if status != TG_OK else 0


cdef int sort(TensorBase values, TensorBase indices, TensorBase x, int dim, bint descending, bint stable) except -1:
    cdef Held held[3]
    cdef tg_array v, i, a
    cdef int status
    if table_of(values) == NULL:
        if x.numel:
            call_plugin(x, "sort", "sort", (as_device_array(values), as_device_array(indices), as_device_array(x), dim,
                                            bool(descending), bool(stable)))
        return 0
    cdef const tg_kernel_table* table = values.storage.device.table
    describe(values, &v)
    describe(indices, &i)
    describe(x, &a)
    if x.numel >= SORT_WITHOUT_GIL_AT:
        hold(values, &v, &held[0])
        hold(indices, &i, &held[1])
        hold(x, &a, &held[2])
        with nogil:
            status = table.sort(&v, &i, &a, dim, descending, stable)
        let_go(held, 3)
    else:
        status = table.sort(&v, &i, &a, dim, descending, stable)
    return check(status, "sort", x) if status != TG_OK else 0


cdef int gather(TensorBase out, TensorBase x, int dim, TensorBase index, str name) except -1:
    cdef Held held[3]
    cdef tg_array o, a, i
    cdef int64_t bad = 0
    cdef int status
    if table_of(out) == NULL:
        if index.numel == 0:
            return 0
        found = call_plugin(x, "gather", name, (as_device_array(out), as_device_array(x), dim, as_device_array(index)))
        if found is not None:
            raise _bad_index(name, found, dim, x.shape[dim])
        return 0
    describe(out, &o)
    describe(x, &a)
    describe(index, &i)
    cdef const tg_kernel_table* table = out.storage.device.table
    if out.numel >= RELEASE_GIL_AT:
        hold(out, &o, &held[0])
        hold(x, &a, &held[1])
        hold(index, &i, &held[2])
        with nogil:
            status = table.gather(&o, &a, dim, &i, &bad)
        let_go(held, 3)
    else:
        status = table.gather(&o, &a, dim, &i, &bad)
    if status == TG_BAD_INDEX:
        raise _bad_index(name, bad, dim, x.shape[dim])
    return check(status, name, x)


cdef int scatter(TensorBase out, int dim, TensorBase index, TensorBase src, int mode, str name) except -1:
    cdef Held held[3]
    cdef tg_array o, i, s
    cdef int64_t bad = 0
    cdef int status
    if table_of(out) == NULL:
        if index.numel == 0:
            return 0
        found = call_plugin(out, "scatter", name, (("set", "add", "mul", "max", "min")[mode], as_device_array(out), dim,
                                                   as_device_array(index), as_device_array(src)))
        if found is not None:
            raise _bad_index(name, found, dim, out.shape[dim])
        return 0
    describe(out, &o)
    describe(index, &i)
    describe(src, &s)
    cdef const tg_kernel_table* table = out.storage.device.table
    if index.numel >= RELEASE_GIL_AT:
        hold(out, &o, &held[0])
        hold(index, &i, &held[1])
        hold(src, &s, &held[2])
        with nogil:
            status = table.scatter(&o, dim, &i, &s, mode, &bad)
        let_go(held, 3)
    else:
        status = table.scatter(&o, dim, &i, &s, mode, &bad)
    if status == TG_BAD_INDEX:
        raise _bad_index(name, bad, dim, out.shape[dim])
    return check(status, name, out)


class IndexOutOfRangeError(IndexError, RuntimeError):
    """An index that a tensor does not have. PyTorch raises an IndexError from some operators, a RuntimeError from others."""


cdef object _bad_index(str name, int64_t bad, int dim, int64_t size):
    wrong = f"index {bad} is out of bounds for dimension {dim} with size {size}"
    if name == "index":
        return IndexError(wrong)
    if name == "index_select":
        return IndexError(f"index out of range in self: {wrong} in index_select()")
    return IndexOutOfRangeError(f"{wrong} in {name}()")


cdef int matmul(TensorBase out, TensorBase a, TensorBase b, double beta) except -1:
    cdef Held held[3]
    cdef tg_array o, x, y
    cdef int status
    cdef const tg_kernel_table* table = table_of(out)
    if table == NULL:
        if out.numel and not a.numel:       # sums of no products
            return 0 if beta else fill(out, 0)
        if out.numel:
            call_plugin(a, "matmul", "matmul", (as_device_array(out), as_device_array(a), as_device_array(b), beta))
        return 0
    describe(out, &o)
    describe(a, &x)
    describe(b, &y)
    if a.numel + b.numel >= 4096:
        hold(out, &o, &held[0])
        hold(a, &x, &held[1])
        hold(b, &y, &held[2])
        with nogil:
            status = table.matmul(&o, &x, &y, beta)
        let_go(held, 3)
    else:
        status = table.matmul(&o, &x, &y, beta)
    return check(status, "matmul", a) if status != TG_OK else 0


cdef tuple _random_names = ("uniform", "normal", "randint", "bernoulli", "exponential")


cdef int random(int kind, TensorBase out, uint64_t seed, uint64_t offset, double p0, double p1, int64_t lo,
                uint64_t range) except -1:
    cdef Held held[1]
    cdef tg_array o
    cdef int status
    cdef const tg_kernel_table* table = table_of(out)
    if table == NULL:
        if out.numel:
            call_plugin(out, "random", _random_names[kind], (
                _random_names[kind], as_device_array(out), seed, offset, lo if kind == 2 else p0, range if kind == 2 else p1))
        return 0
    describe(out, &o)
    if out.numel >= SORT_WITHOUT_GIL_AT:
        hold(out, &o, &held[0])
        with nogil:
            status = table.random(kind, &o, seed, offset, p0, p1, lo, range)
        let_go(held, 1)
    else:
        status = table.random(kind, &o, seed, offset, p0, p1, lo, range)
    return check(status, _random_names[kind], out) if status != TG_OK else 0


cdef int randperm(TensorBase out, uint64_t seed, uint64_t offset) except -1:
    cdef Held held[1]
    cdef tg_array o
    cdef TensorBase host = out
    if table_of(out) == NULL:       # a shuffle is sequential: the same one is drawn on the CPU
        host = empty(out.ndim, out.shape, out.dtype, cpu_device)
    describe(host, &o)
    cdef int status
    cdef const tg_kernel_table* table = host.storage.device.table
    hold(host, &o, &held[0])
    with nogil:
        status = table.randperm(&o, seed, offset)
    let_go(held, 1)
    check(status, "randperm", out)
    return 0 if host is out else copy(out, host)


cdef int arange(TensorBase out, object start, object step) except -1:
    """out[i] = start + i * step; exact for integers of up to 53 bits, in double for the rest."""
    cdef tg_array o
    if table_of(out) == NULL:
        if out.numel:
            call_plugin(out, "arange", "arange", (as_device_array(out), start, step))
        return 0
    describe(out, &o)
    return check(out.storage.device.table.arange(&o, start, step), "arange", out)
