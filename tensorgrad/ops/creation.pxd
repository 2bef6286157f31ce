"""What makes a tensor, for the families that fill it in other ways."""
from cpython.object cimport PyObject

from tensorgrad._core.device cimport device as Device
from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.types cimport TensorBase

cdef TensorBase make(object size, object dtype, object device, bint requires_grad, int code)
cdef TensorBase filled(PyObject** size, PyObject** options, object value, int code)
cdef TensorBase empty_like(TensorBase x, DType dtype)
cdef TensorBase in_order(TensorBase x, DType dtype, Device place, object order)
