"""PyTorch's values as tensorgrad's and back, and what it means that two results are equal."""

import math

import numpy as np
import pytest

import tensorgrad
import tensorgrad_nn

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed (tox -e parity installs it)")

torch.set_num_threads(1)

DTYPES = (
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
DIFFERENTIABLE = DTYPES[6:]

TO_TENSORGRAD = {getattr(torch, name): getattr(tensorgrad, name) for name in DTYPES}
EPSILON = {
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
    "complex64": 2.0**-23,
    "complex128": 2.0**-52,
}
# Kernels round in an order of their own: a result may be off by this many units in the last place of the largest element.
# The low dtypes round once a kernel, the high ones once an operation inside it.
ULPS = {"float16": 4, "bfloat16": 4, "float32": 128, "float64": 512, "complex64": 128, "complex128": 512}


def dtype_name(dtype):
    return str(dtype).rpartition(".")[2]


def _array(tensor):
    """The values of a tensor of either library; bfloat16 as the float32 that it is the upper half of."""
    tensor = tensor.detach()
    if isinstance(tensor, torch.Tensor) and torch._is_zerotensor(tensor):
        tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
    if dtype_name(tensor.dtype) == "bfloat16":
        tensor = tensor.float()
    return np.array(tensor.resolve_conj().resolve_neg().numpy())


def tensor_to_tensorgrad(tensor, storages=None):
    """A leaf with the same values, dtype, strides and `requires_grad`; `storages` has those that are shared, by address."""
    storages = {} if storages is None else storages
    dtype = TO_TENSORGRAD[tensor.dtype]
    resolved = tensor.detach().resolve_conj().resolve_neg()
    shape = tuple(tensor.shape)
    stored = resolved.untyped_storage().nbytes() // resolved.element_size()
    address = (resolved.untyped_storage().data_ptr(), dtype)
    if tensor.is_contiguous() and (stored == tensor.numel() or stored > 100_000) and address not in storages:
        out = tensorgrad.tensor(_array(resolved)).to(dtype)
        if stored == tensor.numel() and stored:
            storages[address] = out.reshape(-1)
    else:
        if address not in storages:
            storages[address] = tensorgrad.tensor(_array(resolved.as_strided((stored,), (1,), 0))).to(dtype)
        base = storages[address]
        out = tensorgrad.as_strided(base, shape, tuple(resolved.stride()), resolved.storage_offset()).detach()
    assert tuple(out.shape) == shape
    return out.requires_grad_() if tensor.requires_grad else out


def to_tensorgrad(value, memo=None):
    """`value`, any nest of containers, with each tensor, dtype, size and device replaced by tensorgrad's."""
    memo = {} if memo is None else memo
    if isinstance(value, torch.Tensor):
        if id(value) not in memo:
            memo[id(value)] = (tensor_to_tensorgrad(value, memo.setdefault("storages", {})), value)
        return memo[id(value)][0]
    if isinstance(value, torch.Size):
        return tensorgrad.Size(value)
    if isinstance(value, torch.dtype):
        return TO_TENSORGRAD[value]
    if isinstance(value, torch.device):
        return tensorgrad.device(str(value))
    if isinstance(value, torch.layout):
        return tensorgrad.strided
    if isinstance(value, (tuple, list)):
        items = [to_tensorgrad(item, memo) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: to_tensorgrad(item, memo) for key, item in value.items()}
    if isinstance(value, torch.memory_format):
        return getattr(tensorgrad, str(value).rpartition(".")[2])
    if isinstance(value, torch.nn.PairwiseDistance):
        return tensorgrad_nn.PairwiseDistance(value.norm, value.eps, value.keepdim)
    if isinstance(value, slice):
        return slice(*(to_tensorgrad(item, memo) for item in (value.start, value.stop, value.step)))
    return value


def tensors_in(value):
    """The tensors of either library in a nest of containers, each once, in order."""
    found, seen = [], set()

    def visit(item):
        if isinstance(item, (torch.Tensor, tensorgrad.Tensor)):
            if id(item) not in seen:
                seen.add(id(item))
                found.append(item)
        elif isinstance(item, (tuple, list)):
            for part in item:
                visit(part)
        elif isinstance(item, dict):
            for part in item.values():
                visit(part)

    visit(value)
    return found


def difference(theirs, ours, slack=1.0, values=True, where=""):
    """What is different between PyTorch's result and tensorgrad's, in words; None where nothing is."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(ours, tensorgrad.Tensor):
            return f"{where}: a tensor, not {type(ours).__name__}"
        if tuple(theirs.shape) != tuple(ours.shape):
            return f"{where}: shape {tuple(theirs.shape)}, not {tuple(ours.shape)}"
        name = dtype_name(theirs.dtype)
        if name != dtype_name(ours.dtype):
            return f"{where}: dtype {name}, not {dtype_name(ours.dtype)}"
        return _values_differ(_array(theirs), _array(ours), name, slack, where) if values else None
    if isinstance(theirs, (tuple, list)):
        if not isinstance(ours, (tuple, list)):
            return f"{where}: a sequence, not {type(ours).__name__}"
        if len(theirs) != len(ours):
            return f"{where}: {len(theirs)} items, not {len(ours)}"
        for position, (a, b) in enumerate(zip(theirs, ours)):
            found = difference(a, b, slack, values, f"{where}[{position}]")
            if found:
                return found
        return None
    if isinstance(theirs, torch.dtype):
        return None if dtype_name(theirs) == dtype_name(ours) else f"{where}: {theirs}, not {ours}"
    if isinstance(theirs, (float, complex)) and isinstance(ours, (float, complex)):
        close = theirs == ours or np.isclose(theirs, ours, rtol=1e-5, equal_nan=True)
        return None if close or not values else f"{where}: {theirs}, not {ours}"
    if theirs is None or isinstance(theirs, (bool, int, str)):
        same = type(theirs) is type(ours) and (theirs == ours or not values)
        return None if same else f"{where}: {theirs!r}, not {ours if not hasattr(ours, 'shape') else 'a tensor'!r}"
    return f"{where}: cannot compare {type(theirs).__name__}"


def _values_differ(theirs, ours, name, slack, where):
    if theirs.size == 0:
        return None
    if name not in EPSILON:
        unequal = theirs != ours
    else:
        finite = np.abs(theirs[np.isfinite(theirs)])
        scale = max(1.0, float(finite.max())) if finite.size else 1.0
        wide = np.complex128 if np.iscomplexobj(theirs) else np.float64
        tolerance = slack * ULPS[name] * EPSILON[name]
        with np.errstate(all="ignore"):
            a, b = theirs.astype(wide), ours.astype(wide)
            unequal = ~np.isclose(b, a, rtol=tolerance, atol=tolerance * scale if math.isfinite(scale) else 0.0, equal_nan=True)
    if not unequal.any():
        return None
    at = tuple(int(i) for i in np.argwhere(unequal)[0])
    return f"{where}: {theirs[at]} at {at}, not {ours[at]} ({int(unequal.sum())} of {theirs.size} differ)"


def strides_differ(theirs, ours):
    """Whether two results lie differently in memory; dimensions of one element have no stride that matters."""
    for a, b in zip(tensors_in(theirs), tensors_in(ours)):
        if a.numel() == 0:
            continue
        wanted = [s for n, s in zip(a.shape, a.stride()) if n != 1]
        found = [s for n, s in zip(b.shape, b.stride()) if n != 1]
        if wanted != found:
            return f"shape {tuple(a.shape)}: strides {tuple(a.stride())}, not {tuple(b.stride())}"
    return None
