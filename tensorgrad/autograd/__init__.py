"""Automatic differentiation: `backward`, `grad`, and what one needs to write, steer and check derivatives."""

from tensorgrad._core.leaves import mark_grads_zero as zero_grad_
from tensorgrad._core.profiler import is_running as _profiler_enabled
from tensorgrad._core.tensor import services
from tensorgrad._core.transforms import set_fallback_warnings as _debug_only_display_vmap_fallback_warnings
from tensorgrad.autograd import forward_ad, functional, graph, profiler, profiler_util
from tensorgrad.autograd._backward import backward, grad
from tensorgrad.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from tensorgrad.autograd.function import Function
from tensorgrad.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)
from tensorgrad.autograd.gradcheck import gradcheck, gradgradcheck
from tensorgrad.ops.optim import with_grad

__all__ = [
    "Function",
    "_debug_only_display_vmap_fallback_warnings",
    "_profiler_enabled",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "profiler",
    "profiler_util",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
    "with_grad",
    "zero_grad_",
]

services["backward"] = backward
