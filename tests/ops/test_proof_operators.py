"""The ten operators that prove the design, everything about each asserted by hand.

What the generated tests find by themselves stands here in plain words: values, dtypes, the recorded
node, writing through a view and its sibling, first and second derivatives, tangents (also of views),
vmap nested and under grad, and the operator's place in the stub and in the docs.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import forward_ad
from tensorgrad.func import grad, vmap

from .proof import DOUBLES, INEXACT, close, derivatives_agree, node_name, tangent, values

ROOT = Path(__file__).resolve().parents[2]


# ---- sin ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", INEXACT)
def test_sin_in_every_dtype(dtype):
    x = values(3, 4, dtype=dtype, requires_grad=False)
    out = tg.sin(x)
    assert out.dtype is dtype
    wide = x.to(tg.complex128 if dtype.is_complex else tg.float64).numpy()
    actual = out.to(tg.complex128 if dtype.is_complex else tg.float64)
    close(actual, np.sin(wide), 4 * tg.finfo(dtype).eps)


def test_sin_of_integers_is_floating_point():
    assert tg.sin(tg.tensor([0, 1])).dtype is tg.float32
    assert tg.tensor([True]).sin().item() == pytest.approx(math.sin(1), rel=1e-6)


@pytest.mark.parametrize("dtype", DOUBLES)
def test_sin_derivatives(dtype):
    x = values(2, 3, dtype=dtype)
    assert node_name(x.sin()) == "SinBackward0"
    derivatives_agree(tg.sin, x)
    (g,) = tg.autograd.grad(x.sin().sum().real if dtype.is_complex else x.sin().sum(), x)
    close(g, np.conj(np.cos(x.detach().numpy())))


def test_sin_in_place_through_a_view_and_its_sibling():
    leaf = values(2, 3)
    base = leaf.clone()
    view, sibling = base[1], base[1]
    assert view.sin_() is view
    expected = np.sin(leaf.detach().numpy()[1])
    close(sibling, expected)
    close(base[1], expected)
    (base.sum() + 2 * sibling.sum()).backward()
    close(leaf.grad, np.stack([np.ones(3), 3 * np.cos(leaf.detach().numpy()[1])]))


def test_sin_tangent_and_vmap():
    x, t = values(3, 4, requires_grad=False), values(3, 4, seed=2, requires_grad=False)
    close(tangent(tg.sin, x, t), np.cos(x.numpy()) * t.numpy())
    close(tangent(lambda d: d[1:].t().sin(), x, t), (np.cos(x.numpy()) * t.numpy())[1:].T)
    close(vmap(vmap(tg.sin))(x), np.sin(x.numpy()))
    close(vmap(vmap(grad(tg.sin)))(x), np.cos(x.numpy()))
    close(grad(lambda y: vmap(tg.sin)(y).sum())(x), np.cos(x.numpy()))


# ---- mul ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (tg.int32, tg.int64, tg.int64),
        (tg.bool, tg.uint8, tg.uint8),
        (tg.int64, tg.float16, tg.float16),
        (tg.float16, tg.bfloat16, tg.float32),
        (tg.float32, tg.float64, tg.float64),
        (tg.float64, tg.complex64, tg.complex128),
    ],
)
def test_mul_promotes(a, b, expected):
    x, y = tg.tensor([1, 1]).to(a), tg.tensor([1, 0]).to(b)
    assert (x * y).dtype is (y * x).dtype is expected
    assert (x * y).tolist() == [1, 0]


def test_mul_by_a_number_keeps_the_dtype():
    assert (tg.ones(2, dtype=tg.float16) * 2.5).dtype is tg.float16
    assert (tg.tensor([2]) * 1.5).dtype is tg.float32
    assert (3 * tg.tensor([2])).tolist() == [6]


@pytest.mark.parametrize("dtype", DOUBLES)
def test_mul_derivatives_with_broadcasting(dtype):
    x, y = values(2, 1, dtype=dtype), values(3, dtype=dtype, seed=2)
    assert node_name(x * y) == "MulBackward0"
    derivatives_agree(tg.mul, x, y)
    real = values(2, 1)
    derivatives_agree(tg.mul, real, y)
    out = (real * y).sum()
    assert tg.autograd.grad(out.real if dtype.is_complex else out, real)[0].dtype is tg.float64


def test_mul_in_place_through_a_view_and_its_sibling():
    leaf, factor = values(2, 3), values(3, seed=2)
    base = leaf.clone()
    view, sibling = base[0], base[0]
    view *= factor
    a, f = leaf.detach().numpy(), factor.detach().numpy()
    close(sibling, a[0] * f)
    (base.sum() + sibling.sum()).backward()
    close(leaf.grad, np.stack([2 * f, np.ones(3)]))
    close(factor.grad, 2 * a[0])


def test_mul_tangent_and_vmap():
    x, y = values(3, 4, requires_grad=False), values(4, seed=2, requires_grad=False)
    close(tangent(lambda d: d * y, x, tg.ones_like(x)), np.broadcast_to(y.numpy(), (3, 4)))
    close(tangent(lambda d: (d * d)[0], x, tg.ones_like(x)), 2 * x.numpy()[0])
    close(vmap(tg.mul, in_dims=(0, None))(x, y), x.numpy() * y.numpy())
    close(vmap(vmap(tg.mul), in_dims=(0, None))(x, y), x.numpy() * y.numpy())
    product = grad(lambda a, b: (a * b).sum(), argnums=(0, 1))
    a, b = vmap(product, in_dims=(0, None))(x, y)
    close(a, np.broadcast_to(y.numpy(), (3, 4)))
    close(b, x.numpy())


# ---- sum ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.bool, tg.uint8, tg.int32, *INEXACT])
def test_sum_in_every_dtype(dtype):
    x = tg.tensor([[1, 0, 1], [1, 1, 1]]).to(dtype)
    out = x.sum()
    assert out.dtype is (tg.int64 if dtype in (tg.bool, tg.uint8, tg.int32) else dtype)
    assert out.item() == 5
    assert x.sum(1, keepdim=True).tolist() == [[2], [3]]
    assert x.sum((0, 1), dtype=tg.float64).dtype is tg.float64


@pytest.mark.parametrize("dtype", DOUBLES)
def test_sum_derivatives(dtype):
    x = values(2, 3, 2, dtype=dtype)
    assert node_name(x.sum()) == "SumBackward0"
    for arguments in ({}, {"dim": 1}, {"dim": (0, -1), "keepdim": True}):
        derivatives_agree(lambda y, arguments=arguments: y.sum(**arguments), x)


def test_sum_after_writing_through_a_view():
    leaf = values(2, 3)
    base = leaf.clone()
    view, sibling = base[1], base[1]
    view.mul_(3)
    (base.sum() + sibling.sum(0)).backward()
    assert leaf.grad.tolist() == [[1, 1, 1], [6, 6, 6]]


def test_sum_tangent_and_vmap():
    x, t = values(2, 3, requires_grad=False), values(2, 3, seed=2, requires_grad=False)
    close(tangent(lambda d: d.sum(0), x, t), t.numpy().sum(0))
    close(tangent(lambda d: d[:, 1:].sum(), x, t), t.numpy()[:, 1:].sum())
    close(vmap(lambda row: row.sum(-1))(x), x.numpy().sum(1))
    close(vmap(vmap(tg.sum))(x), x.numpy())
    close(vmap(lambda row: row.sum(0), in_dims=1)(x), x.numpy().sum(0))
    close(vmap(grad(lambda row: row.sum() ** 2))(x), np.repeat(2 * x.numpy().sum(1, keepdims=True), 3, 1))


# ---- slicing -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.bool, tg.int64, *INEXACT])
def test_slice_is_a_view_in_every_dtype(dtype):
    x = tg.tensor([0, 1, 1, 0]).to(dtype)
    part = x[1:3]
    assert (part.dtype, part.tolist()) == (dtype, [1, 1])
    assert part._base is x
    assert part.storage_offset() == 1
    part.zero_()
    assert x.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", DOUBLES)
def test_slice_derivatives(dtype):
    x = values(5, 2, dtype=dtype)
    assert node_name(x[1:3]) == "SliceBackward0"
    derivatives_agree(lambda y: y[1:3], x)
    derivatives_agree(lambda y: y[::2, 1:], x)


def test_slice_written_in_place_reaches_base_and_sibling():
    leaf, other = values(4), values(2, seed=2)
    base = leaf.clone()
    part, sibling = base[1:3], base[2:]
    part.copy_(other)
    close(sibling[:1], other.detach().numpy()[1:])
    (base * base).sum().backward()
    a, b = leaf.detach().numpy(), other.detach().numpy()
    close(leaf.grad, [2 * a[0], 0, 0, 2 * a[3]])
    close(other.grad, 2 * b)
    base = leaf.clone()
    base[1:3] = 7.0
    (g,) = tg.autograd.grad(base.sum(), leaf)
    assert g.tolist() == [1, 0, 0, 1]


def test_tangent_of_a_slice_is_a_slice_of_the_tangent():
    x, t = values(4, requires_grad=False), values(4, seed=2, requires_grad=False)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, t)
        part = forward_ad.unpack_dual(dual[1:3]).tangent
        assert part.data_ptr() == t.data_ptr() + t.itemsize
        before = part.numpy().copy()
        dual[1:3].mul_(2)
        close(forward_ad.unpack_dual(dual).tangent[1:3], 2 * before)


def test_slice_vmap():
    x = values(2, 3, 5, requires_grad=False)
    close(vmap(vmap(lambda v: v[1:3]))(x), x.numpy()[:, :, 1:3])
    close(vmap(lambda v: v[1:2], in_dims=2, out_dims=1)(x), x.numpy()[1:2].swapaxes(1, 2))
    g = vmap(vmap(grad(lambda v: (v[1:3] ** 2).sum())))(x)
    expected = np.zeros((2, 3, 5))
    expected[:, :, 1:3] = 2 * x.numpy()[:, :, 1:3]
    close(g, expected)


# ---- matmul ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.int64, *INEXACT])
def test_matmul_in_every_dtype(dtype):
    a = tg.tensor([[1, 2, 3], [4, 5, 6]]).to(dtype)
    assert (a @ a.t()).dtype is dtype
    assert (a @ a.t()).tolist() == [[14, 32], [32, 77]]
    assert (a @ a[0]).tolist() == [14, 32]
    assert (a[1] @ a[0]).item() == 32


def test_matmul_refuses_mixed_dtypes():
    with pytest.raises(RuntimeError, match="same dtype"):
        tg.ones(2, 2) @ tg.ones(2, 2, dtype=tg.float64)


@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize(
    "shapes", [((2, 3), (3, 2)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 1, 2, 3), (3, 3, 1))]
)
def test_matmul_derivatives(dtype, shapes):
    a, b = values(*shapes[0], dtype=dtype), values(*shapes[1], dtype=dtype, seed=2)
    out = a @ b
    close(out, a.detach().numpy() @ b.detach().numpy())
    assert re.fullmatch(r"\w+Backward0", node_name(out))
    derivatives_agree(tg.matmul, a, b)


def test_matmul_of_a_view_written_in_place():
    leaf = values(2, 2, 2)
    base = leaf.clone()
    view, sibling = base[0], base[0]
    view.mul_(2)
    (sibling @ base[1]).sum().backward()
    a = leaf.detach().numpy()
    close(leaf.grad[0], 2 * np.tile(a[1].sum(1), (2, 1)))
    close(leaf.grad[1], np.tile(2 * a[0].sum(0)[:, None], (1, 2)))


def test_matmul_tangent_and_vmap():
    a, b = values(4, 2, 3, requires_grad=False), values(3, 2, seed=2, requires_grad=False)
    t = values(4, 2, 3, seed=3, requires_grad=False)
    close(tangent(lambda d: d[0] @ b, a, t), t.numpy()[0] @ b.numpy())
    close(vmap(tg.matmul, in_dims=(0, None))(a, b), a.numpy() @ b.numpy())
    close(vmap(vmap(tg.matmul, in_dims=(0, None)), in_dims=(0, None))(a, b[:, 0]), a.numpy() @ b.numpy()[:, 0])
    g = vmap(grad(lambda x: (x @ b).sum()))(a)
    close(g, np.broadcast_to(b.numpy().sum(1), (4, 2, 3)))


# ---- where -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [tg.bool, tg.int64, *INEXACT])
def test_where_in_every_dtype(dtype):
    x, y = tg.tensor([1, 1, 1]).to(dtype), tg.tensor([0, 0, 0]).to(dtype)
    out = tg.where(tg.tensor([True, False, True]), x, y)
    assert (out.dtype, out.tolist()) == (dtype, [1, 0, 1])


@pytest.mark.parametrize("dtype", DOUBLES)
def test_where_derivatives(dtype):
    condition = tg.tensor([[True], [False]])
    x, y = values(2, 3, dtype=dtype), values(3, dtype=dtype, seed=2)
    assert node_name(tg.where(condition, x, y)) == "WhereBackward0"
    derivatives_agree(lambda a, b: tg.where(condition, a, b), x, y)
    derivatives_agree(lambda a: tg.where(condition, a, 2.0), x)


def test_where_keeps_nan_of_the_other_branch_out():
    x = tg.tensor([0.0, 4.0], requires_grad=True)
    tg.where(x > 0, x, 1.0).log().sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_where_of_views_after_writing_in_place():
    leaf = values(2, 2)
    base = leaf.clone()
    view, sibling = base[0], base[0]
    view.mul_(5)
    tg.where(tg.tensor([True, False]), sibling, base[1]).sum().backward()
    assert leaf.grad.tolist() == [[5, 0], [0, 1]]


def test_where_tangent_and_vmap():
    x, t = values(3, 2, requires_grad=False), values(3, 2, seed=2, requires_grad=False)
    keep = x > 0
    close(tangent(lambda d: tg.where(keep, d, 0.0), x, t), np.where(keep.numpy(), t.numpy(), 0))
    close(tangent(lambda d: tg.where(keep, d, 0.0)[1:], x, t), np.where(keep.numpy(), t.numpy(), 0)[1:])
    clip = vmap(vmap(lambda c, v: tg.where(c, v, 0.0)))
    close(clip(keep, x), np.where(keep.numpy(), x.numpy(), 0))
    close(vmap(lambda v: tg.where(keep[0], v, 1.0))(x), np.where(keep.numpy()[0], x.numpy(), 1))
    g = vmap(grad(lambda v: tg.where(v > 0, v * v, 0.0).sum()))(x)
    close(g, np.where(keep.numpy(), 2 * x.numpy(), 0))


# ---- where they are written down ---------------------------------------------------------------------
PROOFS = ["sin", "mul", "sum", "matmul", "where", "sort", "index_put_", "dropout", "linear_relu"]


@pytest.mark.parametrize("name", PROOFS)
def test_stub_and_docs_have_it(name):
    stub = (ROOT / "tensorgrad/__init__.pyi").read_text()
    assert re.search(rf"^ *def {name}\(.*\) -> ", stub, re.MULTILINE)
    assert f"\n### {name}\n" in (ROOT / "docs/operators.md").read_text()
    assert getattr(tg, name, getattr(tg.Tensor, name, None)).__doc__.strip()


def test_stub_has_slicing():
    stub = (ROOT / "tensorgrad/__init__.pyi").read_text()
    assert re.search(r"^    def __getitem__\(self, index: .*\) -> Tensor", stub, re.MULTILINE)
