"""Matrix products: cuBLAS for floating point and complex numbers, a kernel for integers and bools."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorgrad.devices import DeviceArray
from tensorgrad_cuda.discovery import cupy
from tensorgrad_cuda.dtypes import STORED, is_inexact
from tensorgrad_cuda.layout import Arguments, Array, Layout, row_major
from tensorgrad_cuda.pointwise import copy
from tensorgrad_cuda.programs import Device, source

TILE = 16
#: dtype: (cudaDataType, cublasComputeType, the type of the factors). Halves are added up in float; float32 is not
#: rounded to TF32, which is PyTorch's default, too.
_TYPES = {
    "float16": (2, 68, np.float32),
    "bfloat16": (14, 68, np.float32),
    "float32": (0, 68, np.float32),
    "float64": (1, 70, np.float64),
    "complex64": (4, 68, np.complex64),
    "complex128": (5, 70, np.complex128),
}
_PLAIN, _TRANSPOSED, _DEFAULT_ALGORITHM = 0, 1, -1


def matmul(device: Device, out: DeviceArray, a: DeviceArray, b: DeviceArray, beta: float) -> None:
    """See `tensorgrad.devices.Backend.matmul`."""
    if is_inexact(out.dtype):
        _products(device, out, a, b, beta)
    else:
        _integers(device, out, a, b, beta)


# ---- cuBLAS ---------------------------------------------------------------------------------------------
class Matrix(NamedTuple):
    """A matrix as BLAS takes it, row by row: transposed or not, and how far its rows (or columns) are apart."""

    transposed: bool
    leading: int


def as_matrix(x: Any) -> Matrix | None:
    """How BLAS takes the last two dimensions of an array; None where it does not.

    Examples
    --------
    >>> from types import SimpleNamespace as Strided
    >>> as_matrix(Strided(shape=(2, 3), strides=(4, 1)))
    Matrix(transposed=False, leading=4)
    >>> as_matrix(Strided(shape=(2, 3), strides=(1, 2)))
    Matrix(transposed=True, leading=2)
    >>> as_matrix(Strided(shape=(2, 3), strides=(6, 2))) is None
    True
    """
    (rows, columns), (down, across) = x.shape[-2:], x.strides[-2:]
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return Matrix(False, columns if rows == 1 else down)
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return Matrix(True, rows if columns == 1 else across)
    return None


def packed(device: Device, x: Any) -> Array:
    """A contiguous copy in scratch memory."""
    y = Array(device.scratch(x.numel * x.itemsize), 0, x.shape, row_major(x.shape), x)
    copy(device, y, x)
    return y


def _transpose(x: Any) -> Array:
    return Array(
        x.handle,
        x.offset,
        (*x.shape[:-2], x.shape[-1], x.shape[-2]),
        (*x.strides[:-2], x.strides[-1], x.strides[-2]),
        x,
    )


def _products(device: Device, out: Any, a: Any, b: Any, beta: float) -> None:
    target = as_matrix(out)
    if target is not None and target.transposed:  # the transposes' product is the product's transpose
        _products(device, _transpose(out), _transpose(b), _transpose(a), beta)
        return
    batch = Layout(out.shape[:-2], out.strides[:-2], a.strides[:-2], b.strides[:-2])
    if target is None or (len(batch.shape) > 1 and row_major(out.shape) != out.strides):
        between = packed(device, out) if beta else _like(device, out)
        _products(device, between, a, b, beta)
        copy(device, out, between)
        return
    if as_matrix(a) is None or len(batch.shape) > 1:
        a = packed(device, a)
    if as_matrix(b) is None or len(batch.shape) > 1:
        b = packed(device, b)
    batch = Layout(out.shape[:-2], out.strides[:-2], a.strides[:-2], b.strides[:-2])
    left, right = as_matrix(a), as_matrix(b)
    assert left is not None and right is not None and len(batch.shape) < 2
    out_step, a_step, b_step = [step[0] if step else 0 for step in batch.steps]
    kind, compute, scalar = _TYPES[out.dtype]
    one, factor = np.ones(1, scalar), np.full(1, beta, scalar)
    # cuBLAS goes column by column: it sees every matrix transposed, and the product with its factors swapped
    m, n, k = out.shape[-2], out.shape[-1], a.shape[-1]
    device.timed(
        "matmul",
        lambda: cublas().gemmStridedBatchedEx(
            cupy.cuda.device.get_cublas_handle(),
            _TRANSPOSED if right.transposed else _PLAIN,
            _TRANSPOSED if left.transposed else _PLAIN,
            *(n, m, k, one.ctypes.data),
            *(b.handle.ptr + b.offset, kind, right.leading, b_step),
            *(a.handle.ptr + a.offset, kind, left.leading, a_step),
            factor.ctypes.data,
            *(out.handle.ptr + out.offset, kind, target.leading, out_step),
            *(batch.n, compute, _DEFAULT_ALGORITHM),
        ),
    )


def cublas() -> Any:
    """CuPy's door to cuBLAS, whose library is opened with the first product."""
    from cupy_backends.cuda.libs import cublas

    return cublas


def _like(device: Device, x: Any) -> Array:
    return Array(device.scratch(x.numel * x.itemsize), 0, x.shape, row_major(x.shape), x)


# ---- integers and bools ---------------------------------------------------------------------------------
def _integers(device: Device, out: Any, a: Any, b: Any, beta: float) -> None:
    (m, n), k = out.shape[-2:], a.shape[-1]
    batch = Layout(out.shape[:-2], out.strides[:-2], a.strides[:-2], b.strides[:-2])
    of = STORED[out.dtype]

    def make() -> str:
        return source(
            ("matmul",),
            f"typedef tg_matmul_args<{of}, {batch.dims}> Args;",
            f"tg_matmul<{'true' if beta else 'false'}>(a);",
        )

    kernel = device.kernel(("matmul", of, batch.dims, bool(beta)), make)
    arguments = Arguments().layout(batch).arrays(out, a, b)
    arguments.words(m, n, k, *out.strides[-2:], *a.strides[-2:], *b.strides[-2:])
    device.launch("matmul", kernel, arguments, blocks=batch.n * -(-m // TILE) * -(-n // TILE))
