"""cuBLAS's gemmStridedBatchedEx in NumPy, column by column as it is."""

from __future__ import annotations

import numpy
from cupy.cuda.memory import bytes_at

_DTYPES = {0: "float32", 1: "float64", 2: "float16", 4: "complex64", 5: "complex128", 14: "bfloat16"}
_COMPUTE = {"float16": (68, numpy.float32), "bfloat16": (68, numpy.float32), "float32": (68, numpy.float32)} | {
    "float64": (70, numpy.float64), "complex64": (68, numpy.complex64), "complex128": (70, numpy.complex128)
}  # fmt: skip


def _batch(address, name, rows, columns, leading, step, count):
    """The matrices of a batch, column-major, as they lie in memory."""
    assert leading >= max(1, rows), "the leading dimension is too small"
    dtype = numpy.dtype("uint16" if name == "bfloat16" else name)
    span = ((count - 1) * step + (columns - 1) * leading + rows) * dtype.itemsize
    strides = (step * dtype.itemsize, dtype.itemsize, leading * dtype.itemsize)
    return numpy.ndarray((count, rows, columns), dtype, bytes_at(address, span), 0, strides)


def _values(stored, name, compute):
    if name == "bfloat16":
        return (stored.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32)
    return stored.astype(compute)


def gemmStridedBatchedEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta,
    C, Ctype, ldc, strideC, batchCount, computeType, algo,
):  # fmt: skip
    assert handle == 1 and Atype == Btype == Ctype and algo == -1
    assert all(isinstance(value, int) for value in (m, n, k, lda, ldb, ldc, strideA, strideB, strideC, batchCount))
    name = _DTYPES[Ctype]
    wanted, compute = _COMPUTE[name]
    assert computeType == wanted
    factors = [numpy.frombuffer(bytes_at(x, numpy.dtype(compute).itemsize), compute)[0] for x in (alpha, beta)]
    a = _batch(A, name, *((k, m) if transa else (m, k)), lda, strideA, batchCount)
    b = _batch(B, name, *((n, k) if transb else (k, n)), ldb, strideB, batchCount)
    c = _batch(C, name, m, n, ldc, strideC, batchCount)
    a, b = _values(a, name, compute), _values(b, name, compute)
    a, b = (a.transpose(0, 2, 1) if transa else a), (b.transpose(0, 2, 1) if transb else b)
    with numpy.errstate(all="ignore"):
        product = factors[0] * numpy.matmul(a, b)
        if factors[1] != 0:
            product = product + factors[1] * _values(c, name, compute)
        if name == "bfloat16":
            bits = product.astype(numpy.float32).view(numpy.uint32).astype(numpy.int64)
            rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
            product = numpy.where(numpy.isnan(product), bits >> 16 | 0x40, rounded)
        c[...] = product.astype(c.dtype)
