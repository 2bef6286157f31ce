"""tensorgrad: tensors with automatic differentiation on the CPU, with PyTorch's interface."""

from __future__ import annotations

from math import e, inf, nan, pi

from tensorgrad import _loading, _printing, _threads
from tensorgrad._core import return_types
from tensorgrad._core.device import device
from tensorgrad._core.dtype import (
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    promote_types,
    set_default_dtype,
)
from tensorgrad._core.dtype import names as _dtype_names
from tensorgrad._core.elementwise import result_type
from tensorgrad._core.grad_mode import is_grad_enabled, is_inference_mode_enabled
from tensorgrad._core.layout import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from tensorgrad._core.size import Size
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.tensor import services as _services
from tensorgrad._core.types import OutOfMemoryError
from tensorgrad._core.types import Storage as UntypedStorage
from tensorgrad._printing import get_printoptions, printoptions, set_printoptions
from tensorgrad._threads import get_num_threads, set_num_threads
from tensorgrad.kernels.cpu import blas_library as _blas_library

from tensorgrad import ops as _ops  # isort: skip  (declares the operators; all that follows may use them)
from tensorgrad import interop as _interop
from tensorgrad.interop import (
    as_tensor,
    asarray,
    from_dlpack,
    from_numpy,
    frombuffer,
    load,
    save,
    serialization,
    tensor,
)
from tensorgrad.ops import indexing as _indexing
from tensorgrad.ops.broadcast import broadcast_shapes
from tensorgrad.ops.contraction import chain_matmul, einsum
from tensorgrad.ops.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

_blas_library.register()
_threads.install()
_interop.install()
_indexing.set_tensor_maker(tensor)
_printing._get_default_dtype = get_default_dtype
_services.update(repr=_printing.tensor_str, getitem=_indexing.getitem, setitem=_indexing.setitem)
globals().update(_dtype_names())
globals().update({name: op for name, op, is_function, _ in _ops.public_names() if is_function})

# These are written in public names, and so come after them.
from tensorgrad import (  # noqa: E402
    __config__,
    autograd,
    cpu,
    cuda,
    devices,
    fft,
    func,
    linalg,
    profiler,
    random,
    special,
    testing,
    utils,
)
from tensorgrad.autograd import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: E402
from tensorgrad.autograd.anomaly_mode import is_anomaly_check_nan_enabled, is_anomaly_enabled  # noqa: E402

_services["strided"] = strided
__version__ = "0.1.0"


def is_tensor(obj: object) -> bool:
    """Whether `obj` is a Tensor.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.is_tensor(tensorgrad.ones(1))
    True
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether a tensor's dtype is a floating point one."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether a tensor's dtype is complex."""
    return input.is_complex()


def numel(input: Tensor) -> int:
    """The number of elements of a tensor."""
    return input.numel()
