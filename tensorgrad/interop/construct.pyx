"""Tensors from Python objects: `tensor`, `as_tensor`, `asarray` and the constructor ``Tensor(...)``."""
cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_CheckExact
from libc.stdint cimport int64_t

from tensorgrad._core cimport primitives
from tensorgrad._core.device cimport as_device, cpu, memory_device
from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport as_dtype, default_code, dtype_of
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.operator cimport Operator, call1, call3, handle
from tensorgrad._core.types cimport MAX_DIMS, TensorBase, device_of, empty, set_geometry
from tensorgrad.interop.numpy_bridge cimport copy_array, share_array, want_gradient
from tensorgrad.interop.sequences cimport from_sequences, is_nested

import operator as py_operator
import warnings

import numpy as np

from tensorgrad._core.size import Size
from tensorgrad.interop.dlpack import from_dlpack
from tensorgrad.interop.numpy_bridge import frombuffer

cnp.import_array()

cdef Operator op_detach, op_to_copy, op_to, op_alias
op_detach, op_to_copy, op_to, op_alias = (handle(name) for name in ("detach", "_to_copy", "to", "alias"))


# ---- the public functions -------------------------------------------------------------------------------
cdef DType dtype_argument(str function, object dtype):
    if dtype is None or isinstance(dtype, DType):
        return dtype
    if dtype is float or dtype is int or dtype is bool or dtype is complex:
        return as_dtype(dtype)
    raise TypeError(f"{function}(): argument 'dtype' must be tensorgrad.dtype, not {type(dtype).__name__}")


cdef TensorBase placed(TensorBase x, DType dtype, object device):
    """A new leaf in the dtype and on the device that are asked for."""
    cdef TensorBase y
    cdef Device place = device_of(x) if device is None else memory_device(as_device(device))
    if (dtype is None or dtype is x.dtype) and place is device_of(x):
        return x
    y = empty(x.ndim, x.shape, x.dtype if dtype is None else dtype, place)
    if x.numel:
        primitives.copy(y, x)
    return y


cdef TensorBase build(object data, DType dtype, object device, bint copy):
    """A tensor of `data`, which is not a tensor itself; sharing memory where `copy` is false and it can."""
    if cnp.PyArray_Check(data):
        return placed(copy_array(data) if copy else share_array(data, True), dtype, device)
    if type(data) is not list and type(data) is not tuple and not cnp.PyArray_CheckScalar(data) and (
            hasattr(data, "__array__") or hasattr(data, "__array_interface__")) and not isinstance(data, type):
        return placed(copy_array(np.asarray(data)), dtype, device)
    return placed(from_sequences(data, dtype), dtype, device)


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """Make a tensor by copying data.

    Parameters
    ----------
    data : nested sequence, number, numpy.ndarray or Tensor
        Sequences of one nesting level must have one length. An object with ``__array__`` is taken for the array.
    dtype : dtype, optional
        By default that of an array or tensor; of Python numbers int64, bool, the default floating point dtype or
        its complex counterpart, whichever holds them all.
    device : device, optional
        By default that of a tensor, else the CPU.
    requires_grad : bool
        Whether operations on the result are recorded.
    pin_memory : bool
        Has no effect: it is a hint for devices that copy faster from such memory.

    Returns
    -------
    Tensor
        A leaf.

    Raises
    ------
    ValueError
        When sequences differ in length, or an integer does not fit 64 bits.
    TypeError
        When an element is no number.
    RuntimeError
        When a dtype cannot be inferred or cannot hold a value, or cannot require a gradient.

    Warns
    -----
    UserWarning
        When `data` is a tensor: ``x.detach().clone()`` says it more clearly.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> tensorgrad.tensor([1, 2.5], dtype=tensorgrad.float64)
    tensor([1.0000, 2.5000], dtype=tensorgrad.float64)
    """
    cdef DType d = None if dtype is None else dtype_argument("tensor", dtype)
    cdef TensorBase x
    if isinstance(data, TensorBase):
        warnings.warn("To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
                      "sourceTensor.detach().clone().requires_grad_(True), rather than "
                      "tensorgrad.tensor(sourceTensor).")
        x = copied(data, d, device)
    elif device is None and (type(data) is list or type(data) is float):
        x = from_sequences(data, d)
    else:
        x = build(data, d, device, True)
    if requires_grad:
        want_gradient(x)
    return x


cdef TensorBase copied(TensorBase x, DType dtype, object device):
    return call3(op_to_copy, call1(op_detach, x), x.dtype if dtype is None else dtype,
                 device_of(x) if device is None else as_device(device))


def as_tensor(data, dtype=None, device=None):
    """Make a tensor that shares memory with `data` where that is possible.

    Parameters
    ----------
    data : Tensor, numpy.ndarray, nested sequence or number
    dtype : dtype, optional
    device : device, optional

    Returns
    -------
    Tensor
        `data` itself if it is a tensor of that dtype on that device; a conversion of a tensor keeps its history.
        The memory of an array is shared if dtype and device allow it.

    Examples
    --------
    >>> import numpy as np, tensorgrad
    >>> array = np.array([1.0, 2.0])
    >>> tensorgrad.as_tensor(array)[0] = 7
    >>> array.tolist()
    [7.0, 2.0]
    """
    cdef DType d = dtype_argument("as_tensor", dtype)
    if isinstance(data, TensorBase):
        if d is None and device is None:
            return data
        return op_to(data, device=device_of(data) if device is None else device,
                     dtype=(<TensorBase>data).dtype if d is None else d)
    return build(data, d, device, False)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=None):
    """Make a tensor of anything that holds numbers.

    Parameters
    ----------
    obj : object
        A tensor, an array, an object with ``__dlpack__`` or Python's buffer protocol (whose bytes are taken for
        `dtype`), a nested sequence or a number.
    dtype, device : optional
    copy : bool, optional
        True always copies; False raises where memory cannot be shared; None copies when it must.
    requires_grad : bool, optional
        By default that of a tensor, else false. False cuts a tensor off from its history.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        When `copy` is false and a copy is needed.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.asarray(bytearray([1, 0, 2, 0]), dtype=tensorgrad.int16)
    tensor([1, 2], dtype=tensorgrad.int16)
    """
    cdef DType d = dtype_argument("asarray", dtype)
    cdef TensorBase x
    cdef TensorBase result
    if isinstance(obj, TensorBase):
        x = obj
    elif cnp.PyArray_CheckScalar(obj):
        x = copy_array(np.asarray(obj))
    elif cnp.PyArray_Check(obj):
        x = share_array(obj, True)
    elif PyCapsule_CheckExact(obj) or hasattr(obj, "__dlpack__"):
        x = from_dlpack(obj)
    elif not isinstance(obj, str) and has_buffer(obj):
        x = frombuffer(obj, dtype=dtype_of(default_code()) if d is None else d)
    else:
        if copy is not None and not copy:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        x = build(obj, d, device, True)
        if requires_grad:
            want_gradient(x)
        return x
    result = adapted(x, d, device, copy)
    # What nobody asked to record is recorded only where it is the very tensor that was given.
    if not requires_grad and result.requires_grad and (requires_grad is not None or result is not x):
        return call1(op_detach, result)
    if requires_grad and not result.requires_grad:
        want_gradient(result)
    return result


cdef bint has_buffer(object x):
    try:
        memoryview(x)
    except (TypeError, BufferError, ValueError):
        return False
    return True


cdef TensorBase adapted(TensorBase x, DType dtype, object device, object copy):
    """`x` in that dtype and on that device; `copy` as for `asarray`."""
    cdef Device place = device_of(x) if device is None else memory_device(as_device(device))
    if dtype is None:
        dtype = x.dtype
    if copy is not None and not copy:
        if place is not device_of(x):
            raise ValueError(f"can't alias tensor from device '{device_of(x)}' to '{place}'.")
        if dtype is not x.dtype:
            raise ValueError(f"can't alias tensor with dtype '{x.dtype}' into dtype '{dtype}'.")
    return op_to(x, device=place, dtype=dtype, copy=bool(copy))


# ---- Tensor(...) --------------------------------------------------------------------------------------------
def init_tensor(self, *args, device=None, **kwargs):
    """The constructor ``Tensor(2, 3)``, ``Tensor([1, 2])``, ``Tensor(tensor)`` or ``Tensor()``: fills `self`.

    Sizes make an uninitialised tensor of the default dtype, data one of that dtype; a tensor is shared, with
    its history.
    """
    cdef TensorBase source
    if not isinstance(self, TensorBase) or (<TensorBase>self).shape != NULL:
        raise TypeError("only a new instance of Tensor can be filled")
    if device is not None and as_device(device).type != "cpu":
        raise RuntimeError(f"legacy constructor expects device type: cpu but device type: {as_device(device).type} "
                           "was passed")
    for name in kwargs:
        if name not in ("data", "size", "other") or len(kwargs) > 1 or args:
            raise TypeError(f"new() received an invalid combination of arguments: '{name}' is not expected here. It "
                            "takes sizes, or "
                            "data, and a device; tensorgrad.tensor(data, dtype=..., requires_grad=...) takes more")
    if "size" in kwargs:
        source = uninitialised(kwargs["size"])
    else:
        source = legacy(tuple(kwargs.values()) or args)
    take_over(self, source)


cdef TensorBase legacy(tuple args):
    cdef object data
    if not args:
        return uninitialised((0,))
    if len(args) > 1:
        return uninitialised(args)
    data = args[0]
    if isinstance(data, TensorBase):
        return call1(op_alias, data)
    if isinstance(data, Size):
        return uninitialised(data)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if not is_nested(data):
        if isinstance(data, (bool, float, complex)) or not hasattr(data, "__index__"):
            kind = type(data)
            raise TypeError("new(): data must be a sequence (got " + (
                kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}") + ")")
        return uninitialised(args)
    return build(data, dtype_of(default_code()), None, False)


cdef TensorBase uninitialised(object size):
    cdef int64_t shape[64]
    cdef int i, n = <int>len(size)
    if n > MAX_DIMS:
        raise RuntimeError(f"tensors have at most {MAX_DIMS} dimensions, got {n}")
    for i in range(n):
        if isinstance(size[i], bool) or not hasattr(size[i], "__index__"):
            raise TypeError("new() received an invalid combination of arguments: sizes must be ints, but number "
                            f"{i + 1} is {type(size[i]).__name__}; data goes in one sequence")
        shape[i] = py_operator.index(size[i])
        if shape[i] < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {shape[i]}: {list(size)}")
    return empty(n, shape, dtype_of(default_code()), cpu)


cdef int take_over(TensorBase self, TensorBase source) except -1:
    """Make a new instance, of whatever subclass, the tensor that `source` is."""
    self.storage, self.dtype, self.offset, self.wrap = source.storage, source.dtype, source.offset, source.wrap
    set_geometry(self, source.ndim, source.shape, source.strides)
    self.flags, self.version, self.meta = source.flags, source.version, source.meta
    self.grad_fn, self.output_nr = source.grad_fn, source.output_nr
    self.base, self.step = source.base, source.step
    self.creation_meta, self.view_version = source.creation_meta, source.view_version
    return 0
