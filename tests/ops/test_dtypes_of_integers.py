"""What becomes of integers and bools: the dtype of the result, and of the numbers that go with them."""

import pytest

import tensorgrad as tg

INTEGERS = [tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    ("name", "shapes", "product"),
    [("addmm", [(2, 2)] * 3, 2), ("addmv", [(2,), (2, 2), (2,)], 2), ("baddbmm", [(2, 2, 2)] * 3, 2), ("addbmm", [(2, 2), (2, 2, 2), (2, 2, 2)], 4)],
)  # fmt: skip
def test_factors_of_integers_lose_their_fractions(dtype, name, shapes, product):
    ones = [tg.ones(*shape, dtype=dtype) for shape in shapes]
    for factors, expected in (({}, 1 + product), ({"beta": 2.6, "alpha": 3.9}, 2 + 3 * product), ({"beta": 0.5}, product)):
        out = getattr(tg, name)(*ones, **factors)
        assert out.dtype is dtype
        assert set(out.flatten().tolist()) == {expected}
    assert getattr(ones[0].clone(), name + "_")(*ones[1:]).dtype is dtype
    assert getattr(ones[0], name)(*ones[1:]).dtype is dtype


def test_squares():
    assert tg.square(tg.tensor([True, False])).tolist() == [1, 0]
    assert tg.square(tg.tensor([True])).dtype is tg.int64
    assert tg.square(tg.tensor([3], dtype=tg.uint8)).dtype is tg.uint8
    x = tg.tensor([2.0, -3.0], requires_grad=True)
    assert tg.autograd.grad((x * 1).square_().sum(), x)[0].tolist() == [4, -6]
    with pytest.raises(RuntimeError, match="can't be cast"):
        tg.tensor([True]).square_()


def test_addr():
    a = tg.tensor([True, False])
    assert tg.addr(tg.tensor([[False, True]]), a, a).tolist() == [[True, True], [False, True]]
    assert tg.addr(tg.ones(2, 2, dtype=tg.bool), a, a, beta=0).tolist() == [[True, False], [False, False]]
    assert tg.addr(tg.ones(2, 2, dtype=tg.bool), a, a, alpha=0).dtype is tg.bool
    whole = tg.tensor([1, 2])
    assert tg.addr(tg.zeros(2, 2, dtype=tg.int64), whole, whole, alpha=2).tolist() == [[2, 4], [4, 8]]
    with pytest.raises(RuntimeError, match="For integral input tensors, argument alpha must not be a floating point number"):
        tg.addr(tg.zeros(2, 2, dtype=tg.int64), whole, whole, alpha=0.5)


def test_truth_of_uint8_is_uint8():
    x = tg.tensor([[1, 0], [2, 3]], dtype=tg.uint8)
    for out, expected in ((x.all(1), [0, 1]), (x.any(), 1), (x.any(1, keepdim=True), [[1], [1]])):
        assert out.dtype is tg.uint8 and out.tolist() == expected
    assert x.to(tg.int8).all().dtype is tg.bool


def test_sums_of_integers_to_no_dimensions_are_int64():
    for dtype in (*INTEGERS, tg.bool):
        assert tg.ones((), dtype=dtype).sum_to_size(()).dtype is tg.int64
        assert tg.ones(2, 3, dtype=dtype).sum_to_size(2, 3).dtype is dtype
    x = tg.ones((), requires_grad=True)
    assert x.sum_to_size(()) is x


@pytest.mark.parametrize("dtype", [*INTEGERS, tg.bool])
def test_index_add_without_dimensions(dtype):
    out = tg.zeros((), dtype=dtype).index_add(0, tg.tensor([0]), tg.ones((), dtype=dtype))
    assert (out.dtype, out.item()) == (dtype, 1)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_grids_of_integers(dtype):
    assert tg.logspace(0, 3, 4, base=2, dtype=dtype).tolist() == [1, 2, 4, 8]
    assert tg.logspace(0.9, 2.2, 3, base=2, dtype=dtype).tolist() == [1, 2, 4]      # from 0 to 2
    assert tg.logspace(0, 0, 0, dtype=dtype).dtype is dtype
    for x in tg.unravel_index(tg.tensor([5, 3], dtype=dtype), (2, 3)):
        assert x.dtype is tg.int64
    assert tg.arange(0.9, 5.0, 1.9, dtype=dtype).tolist()[:3] == [0, 1, 2]


def test_linspace_of_integers_ends_at_its_end():
    for dtype in INTEGERS:
        assert tg.linspace(0, 1, 50, dtype=dtype).tolist() == [0] * 49 + [1]
        assert tg.linspace(0.9, 10.2, 4, dtype=dtype).tolist() == [0, 3, 6, 10]
    assert tg.linspace(10, -10, 6, dtype=tg.int64).tolist() == [10, 6, 2, -2, -6, -10]
    assert tg.linspace(0, 1j, 3).tolist() == [0, 0.5j, 1j]


def test_arange_counts_int64_by_integers():
    assert tg.arange(1.0, 5.000001, 2.0, dtype=tg.int64).tolist() == [1, 3]
    assert tg.arange(1.0, 5.000001, 2.0, dtype=tg.int32).tolist() == [1, 3, 5]
    assert tg.arange(1.5, 4, dtype=tg.float64).tolist() == [1.5, 2.5, 3.5]
    assert tg.arange(1.0, 2.0, 0.5, dtype=tg.int32).tolist() == [1, 1]
    with pytest.raises(ValueError, match="step must be nonzero"):
        tg.arange(0.0, 2.0, 0.5, dtype=tg.int64)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_tensordot_of_broadcast_integers(dtype):
    out = tg.tensordot(tg.ones(1, 1, 1, dtype=dtype), tg.ones(2, 1, 2, dtype=dtype), dims=((0, 1), (2, 0)))
    assert out.dtype is dtype and out.tolist() == [[4]]


def test_histc_of_one_half():
    """Its ends are halves, so that the element is a little below the middle."""
    out = tg.histc(tg.tensor(0.34765625 + 2**-12, dtype=tg.float16), 10)
    assert out.sum().item() == 1 and out.dtype is tg.float16
