"""The door to fused kernels, which a device may lack: then an operator is made of others."""
from libc.stdint cimport int32_t, int64_t

from tensorgrad._core.dtype cimport dtype as DType
from tensorgrad._core.types cimport TensorBase

cdef extern from "fused_table.h" nogil:
    ctypedef struct tg_conv:
        int64_t batch, groups, in_channels, out_channels
        int64_t[3] kernel, stride, padding, dilation, out
        int64_t[3] inside "in"
        int32_t dtype
    ctypedef struct tg_windows:
        int64_t planes
        int64_t[3] out, step
        int64_t[3] inside "in"
        const int64_t* start[3]
        const int64_t* count[3]
        const double* divisor[3]
        int32_t dtype
    ctypedef struct tg_classes:
        const int64_t* target
        const char* weight
        int64_t ignore_index
        double smoothing
        int64_t outer, n, inner
        int32_t dtype
    ctypedef struct tg_fused_table:
        int (*softmax)(int logarithm, int dtype, char* out, const char* x, int64_t outer, int64_t n, int64_t inner) noexcept nogil
        int (*softmax_backward)(int logarithm, int dtype, char* out, const char* grad, const char* y,
                                int64_t outer, int64_t n, int64_t inner) noexcept nogil
        int (*cross_entropy)(const tg_classes* c, char* loss, char* counts, char* lse, const char* x, int64_t* bad) noexcept nogil
        int (*cross_entropy_backward)(const tg_classes* c, char* out, const char* grad, int64_t grad_stride,
                                      const char* x, const char* lse) noexcept nogil
        int (*layer_norm)(int dtype, char* out, char* mean, char* rstd, const char* x, const char* weight, const char* bias,
                          int64_t rows, int64_t n, double eps) noexcept nogil
        int (*layer_norm_backward)(int dtype, char* dx, char* dweight, char* dbias, const char* grad, const char* x,
                                   const char* mean, const char* rstd, const char* weight, int64_t rows, int64_t n) noexcept nogil
        int (*conv)(const tg_conv* c, char* y, const char* x, const char* w, const char* bias) noexcept nogil
        int (*conv_input)(const tg_conv* c, char* x, const char* y, const char* w, const char* bias) noexcept nogil
        int (*conv_weight)(const tg_conv* c, char* w, const char* y, const char* x) noexcept nogil
        int (*max_pool)(const tg_windows* p, char* out, int64_t* indices, const char* x) noexcept nogil
        int (*max_pool_backward)(int dtype, int64_t planes, int64_t size, int64_t pooled, char* out, const char* grad,
                                 const int64_t* indices) noexcept nogil
        int (*avg_pool)(const tg_windows* p, char* out, const char* x) noexcept nogil
        int (*avg_pool_backward)(const tg_windows* p, char* out, const char* grad) noexcept nogil

cdef void set_cpu_fused(const tg_fused_table* table)
cdef const tg_fused_table* fused_of(TensorBase x) except? NULL
cdef const tg_fused_table* fused_of_cpu() noexcept nogil
cdef bint is_plain(TensorBase x) noexcept
cdef TensorBase packed(TensorBase x)
cdef char* memory(TensorBase x) noexcept
cdef int expect(str name, TensorBase x, int64_t numel, DType dtype) except -1
cdef list storages(tuple tensors)
cdef int settle(int status, str name, TensorBase x) except -1
cdef bint softmax(bint logarithm, TensorBase out, TensorBase x, int dim) except -1
cdef bint softmax_backward(bint logarithm, TensorBase out, TensorBase grad, TensorBase y, int dim) except -1
cdef bint layer_norm(TensorBase out, TensorBase mean, TensorBase rstd, TensorBase x, TensorBase weight, TensorBase bias,
                     int64_t rows, int64_t n, double eps) except -1
cdef bint layer_norm_backward(TensorBase dx, TensorBase dweight, TensorBase dbias, TensorBase grad, TensorBase x, TensorBase mean,
                              TensorBase rstd, TensorBase weight, int64_t rows, int64_t n) except -1
