"""tensorgrad: tensors with automatic differentiation on the CPU, with PyTorch's interface."""

from tensorgrad import _printing
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
from tensorgrad._core.grad_mode import is_grad_enabled, is_inference_mode_enabled
from tensorgrad._core.dispatch import result_type
from tensorgrad._core.size import Size
from tensorgrad._core.tensor import Tensor, services
from tensorgrad._core.types import OutOfMemoryError
from tensorgrad.kernels.cpu import cpu as _cpu  # noqa: F401  (fills the CPU's kernel table)

from tensorgrad import ops  # isort: skip
from tensorgrad._core.types import Storage as UntypedStorage
from tensorgrad.ops.indexing import getitem, set_tensor_maker, setitem
from tensorgrad.ops.shape import broadcast_shapes

__version__ = "0.1.0"

globals().update(_dtype_names())
globals().update({name: op for name, op, is_function, _ in ops.public_names() if is_function})
