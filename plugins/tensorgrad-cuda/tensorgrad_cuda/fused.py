"""Operators that have a kernel of their own, where others are made of several: softmax and its kin, layer norm."""

from __future__ import annotations

from typing import Any

import tensorgrad
from tensorgrad.devices import device_array
from tensorgrad_cuda.dtypes import STORED, is_complex, is_inexact
from tensorgrad_cuda.layout import Arguments, Layout
from tensorgrad_cuda.programs import Device, source
from tensorgrad_cuda.reductions import SERIAL


def overrides(open_device: Any) -> dict[str, Any]:
    """The functions for `tensorgrad.devices.Backend.overrides`; `open_device` gives the `Device` of an index."""

    def forward(logarithm: bool) -> Any:
        def function(self: Any, dim: int) -> Any:
            return rows_of(open_device, "softmax", logarithm, dim, self)

        return function

    def backward(logarithm: bool) -> Any:
        def function(grad_output: Any, output: Any, dim: int) -> Any:
            return rows_of(open_device, "softmax_backward", logarithm, dim, grad_output, output)

        return function

    def layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
        return normalized(open_device, input, tuple(normalized_shape), weight, bias, eps)

    found = {
        "softmax(Tensor self, Dim dim)": forward(False),
        "log_softmax(Tensor self, Dim dim)": forward(True),
        "_softmax_backward_data": backward(False),
        "_log_softmax_backward_data": backward(True),
    }
    if hasattr(tensorgrad, "native_layer_norm"):  # the first releases have no such operator
        found["native_layer_norm"] = layer_norm
    return found


def rows_of(open_device: Any, name: str, logarithm: bool, dim: int, *tensors: Any) -> Any:
    """Run a kernel of kernels/softmax.cuh on the rows along `dim`; NotImplemented for what it is not made for."""
    x = device_array(tensors[0])
    same = all(t.dtype is tensors[0].dtype and t.shape == tensors[0].shape for t in tensors)
    if not same or not x.shape or 0 in x.shape or not is_inexact(x.dtype) or is_complex(x.dtype):
        return NotImplemented
    result = tensorgrad.empty(tuple(x.shape), dtype=tensors[0].dtype, device=tensors[0].device)
    out, last = device_array(result), device_array(tensors[-1])
    others = [d for d in range(len(x.shape)) if d != dim]
    rows = Layout(*[[values[d] for d in others] for values in (x.shape, out.strides, x.strides, last.strides)])
    length, tree, of = x.shape[dim], x.shape[dim] > SERIAL, STORED[x.dtype]

    def make() -> str:
        flags = f"{'true' if logarithm else 'false'}, {'true' if tree else 'false'}"
        return source(
            ("reduce", "softmax"), f"typedef tg_softmax_args<{of}, {rows.dims}> Args;", f"tg_{name}<{flags}>(a);"
        )

    arguments = Arguments().layout(rows).arrays(out, x, last)
    arguments.words(length, out.strides[dim], x.strides[dim], last.strides[dim])
    device: Device
    with open_device(x.device_index) as device:
        kernel = device.kernel((name, logarithm, of, rows.dims, tree), make)
        launch_name = ("log_" if logarithm else "") + name
        device.launch(launch_name, kernel, arguments, **({"blocks": rows.n} if tree else {"items": rows.n}))
    return result


def normalized(open_device: Any, input: Any, shape: tuple[int, ...], weight: Any, bias: Any, eps: float) -> Any:
    """Run kernels/norm.cuh: the result, the means and the reciprocals of the deviations."""
    kept = input.ndim - len(shape)
    fits = len(shape) > 0 and kept >= 0 and tuple(input.shape[kept:]) == shape and input.numel() > 0
    given = [t for t in (weight, bias) if t is not None]
    fits = fits and all(tuple(t.shape) == shape and t.dtype is input.dtype for t in given)
    dtype = str(input.dtype).rpartition(".")[2]
    if not fits or not is_inexact(dtype) or is_complex(dtype):
        return NotImplemented  # the usual way says what is wrong
    input, weight, bias = [None if t is None else t.contiguous() for t in (input, weight, bias)]
    of, statistics = STORED[dtype], "double" if dtype == "float64" else "float"
    wide = tensorgrad.float64 if dtype == "float64" else tensorgrad.float32
    sizes = (*input.shape[:kept], *(1,) * len(shape))
    out = tensorgrad.empty(tuple(input.shape), dtype=input.dtype, device=input.device)
    mean, rstd = [tensorgrad.empty(sizes, dtype=wide, device=input.device) for _ in range(2)]
    n = 1
    for size in shape:
        n *= size
    rows, tree = input.numel() // n, n > SERIAL

    def make() -> str:
        return source(
            ("reduce", "softmax", "norm"),
            f"typedef tg_layer_norm_args<{of}, {statistics}> Args;",
            f"tg_layer_norm<{'true' if tree else 'false'}>(a);",
        )

    arguments = Arguments().arrays(*[device_array(t) for t in (out, mean, rstd, input)])
    for t in (weight, bias):
        arguments = arguments.words(0) if t is None else arguments.arrays(device_array(t))
    arguments.words(rows, n).doubles(float(eps))
    device: Device
    with open_device(device_array(input).device_index) as device:
        kernel = device.kernel(("layer_norm", of, tree), make)
        device.launch("layer_norm", kernel, arguments, **({"blocks": rows} if tree else {"items": rows}))
    return out, mean.to(input.dtype), rstd.to(input.dtype)
