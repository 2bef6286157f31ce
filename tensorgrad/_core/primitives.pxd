"""The door to the kernels: every operator is written once over these calls, whatever the device."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from tensorgrad._core.device cimport tg_array, tg_kernel
from tensorgrad._core.types cimport TensorBase

cdef enum:      # elements; below, another thread would not get far
    RELEASE_GIL_AT = 1 << 15
    SORT_WITHOUT_GIL_AT = 1 << 10       # for what takes longer with an element: sorts and random draws

cdef enum ReduceOp:
    REDUCE_SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL

cdef enum ScatterMode:
    SCATTER_SET, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN

cdef bint has_shape(TensorBase x, int ndim, const int64_t* shape) noexcept
cdef TensorBase expand_to(TensorBase x, int ndim, const int64_t* shape)
cdef int pointwise(const tg_kernel* k, int dtype, TensorBase out, PyObject** inputs) except -1
cdef int copy(TensorBase dst, TensorBase src) except -1
cdef int fill(TensorBase dst, object value) except -1
cdef int reduce(int op, TensorBase out, TensorBase x) except -1
cdef int argreduce(bint is_max, TensorBase out, TensorBase x, int dim) except -1
cdef int scan(int op, TensorBase out, TensorBase x, int dim) except -1
cdef int sort(TensorBase values, TensorBase indices, TensorBase x, int dim, bint descending, bint stable) except -1
cdef int gather(TensorBase out, TensorBase x, int dim, TensorBase index, str name) except -1
cdef int scatter(TensorBase out, int dim, TensorBase index, TensorBase src, int mode, str name) except -1
cdef int matmul(TensorBase out, TensorBase a, TensorBase b, double beta) except -1
cdef int random(int kind, TensorBase out, uint64_t seed, uint64_t offset, double p0, double p1, int64_t lo,
                uint64_t range) except -1
cdef int randperm(TensorBase out, uint64_t seed, uint64_t offset) except -1
cdef int arange(TensorBase out, object start, object step) except -1
cdef bint has_kernel(TensorBase x, str name)
cdef int encode(object value, int dtype, char* element) except -1
cdef object decode(TensorBase x)
cdef object decode_element(char* p, int code)
cdef object as_device_array(TensorBase x)
