"""What operators accept at the edge of their domain, and with which exception and phrase they refuse the rest.

The types and phrases are those of PyTorch 2.13.
"""

import math

import numpy as np
import pytest

import tensorgrad as tg

ones, zeros, tensor = tg.ones, tg.zeros, tg.tensor


# ---- memory formats


def test_formats_lay_elements_out():
    x = tg.arange(24.0).reshape(1, 2, 3, 4)
    last = x.contiguous(memory_format=tg.channels_last)
    assert last.stride() == (24, 1, 8, 2) and last.tolist() == x.tolist()
    assert last.is_contiguous(memory_format=tg.channels_last) and not last.is_contiguous()
    assert last.contiguous(memory_format=tg.channels_last) is last
    assert last.clone().stride() == last.stride() == last.clone(memory_format=tg.preserve_format).stride()
    assert last.clone(memory_format=tg.contiguous_format).stride() == x.stride()
    assert last.double().stride() == last.stride()
    assert x.to(tg.float64, memory_format=tg.channels_last).stride() == last.stride()
    assert x.to(memory_format=tg.channels_last).stride() == last.stride()
    assert last.to(memory_format=tg.channels_last) is last and last.to(memory_format=tg.preserve_format) is last
    assert tg.zeros_like(x, memory_format=tg.channels_last).stride() == last.stride()
    assert tg.zeros_like(last, memory_format=tg.contiguous_format).stride() == x.stride()
    assert tg.empty_like(x, dtype=tg.int64, memory_format=tg.channels_last).dtype is tg.int64
    volume = zeros(1, 2, 3, 4, 5).contiguous(memory_format=tg.channels_last_3d)
    assert volume.stride() == (120, 1, 40, 10, 2)
    assert repr(tg.channels_last) == "tensorgrad.channels_last"


def test_joining_keeps_the_channels_last():
    last = zeros(2, 2, 2, 2).contiguous(memory_format=tg.channels_last)
    assert tg.cat([last, last], 1).stride() == (16, 1, 8, 4)
    assert tg.cat([last, zeros(2, 2, 2, 2)], 1).stride() == (16, 4, 2, 1)
    x = tg.arange(16.0).reshape(2, 2, 2, 2)
    joined = tg.cat([x.contiguous(memory_format=tg.channels_last), last], 2)
    np.testing.assert_array_equal(joined.numpy(), np.concatenate([x.numpy(), np.zeros((2, 2, 2, 2))], 2))


def test_gradients_pass_through_formats():
    x = tg.arange(24.0).reshape(1, 2, 3, 4).requires_grad_()
    weights = tg.arange(24.0).reshape(1, 2, 3, 4)
    for copy in (x.contiguous(memory_format=tg.channels_last), x.to(memory_format=tg.channels_last)):
        (gradient,) = tg.autograd.grad((copy * weights).sum(), x)
        assert gradient.tolist() == weights.tolist()


def test_formats_refuse():
    with pytest.raises(RuntimeError, match="^required rank 4 tensor to use channels_last format"):
        ones(2, 2).contiguous(memory_format=tg.channels_last)
    with pytest.raises(RuntimeError, match="^preserve memory format is unsupported by the contiguous operator"):
        ones(2, 2).contiguous(memory_format=tg.preserve_format)
    with pytest.raises(TypeError, match="memory_format must be tensorgrad.memory_format"):
        ones(2, 2).clone(memory_format=3)


# ---- copies, and where their elements lie


def test_copies_of_views_lie_in_order():
    x = tg.arange(6.0).reshape(1, 2, 3)
    assert tg.permute_copy(x, (2, 0, 1)).stride() == (2, 2, 1)
    assert tg.transpose_copy(x, 1, 2).stride() == (6, 2, 1)
    assert tg.squeeze_copy(ones(1, 2, 1)).shape == (2,) and tg.squeeze_copy(ones(1, 2, 1), 0).shape == (2, 1)
    part = x.narrow_copy(2, 1, 2)
    part.zero_()
    assert part.tolist() == [[[0.0, 0.0], [0.0, 0.0]]] and x.sum().item() == 15.0


def test_diag_of_a_matrix_is_a_copy():
    x = tg.arange(9.0).reshape(3, 3)
    d = x.diag()
    d.zero_()
    assert x.diag().tolist() == [0.0, 4.0, 8.0] and not d._is_view()


def test_ravel_lies_in_order():
    x = tg.arange(6.0)
    assert x[::2].ravel().stride() == (1,) and x[::2].ravel().tolist() == [0.0, 2.0, 4.0]
    assert x.reshape(2, 3).ravel().data_ptr() == x.data_ptr()


@pytest.mark.parametrize(("k", "strides"), [(1, (2, 4, 1)), (2, (4, 2, 1)), (3, (2, 4, 1))])
def test_turns_keep_the_order_of_memory(k, strides):
    x = tg.arange(8.0).reshape(2, 2, 2)
    turned = tg.rot90(x, k, (0, 1))
    assert turned.stride() == strides
    np.testing.assert_array_equal(turned.numpy(), np.rot90(x.numpy(), k, (0, 1)))
    assert x.transpose(0, 2).flip(0).stride() == (1, 2, 4)


def test_columns_of_nonzero_lie_in_order():
    x = tensor([[0, 3, 0], [1, 0, 2]])
    found = x.nonzero()
    assert found.tolist() == [[0, 1], [1, 0], [1, 2]] and found.stride() == (1, 3)
    assert [column.stride() for column in x.nonzero(as_tuple=True)] == [(1,), (1,)]
    assert tg.argwhere(zeros(2, 2)).shape == (0, 2)


# ---- indices


def test_index_reduce_of_no_dimension():
    x = tensor(2.0)
    assert x.index_reduce(0, tensor([0]), tensor(3.0), "amax").item() == 3.0
    assert x.index_reduce(0, tensor(0), tensor(3.0), "mean").item() == 2.5
    assert x.index_reduce(0, tensor([0]), tensor(3.0), "prod", include_self=False).item() == 3.0
    y = tensor(2.0)
    y.index_reduce_(0, tensor([0]), tensor(3.0), "prod")
    assert y.item() == 6.0


@pytest.mark.parametrize(
    ("index", "source", "reduce", "error", "message"),
    [
        ([0], (1, 3), "mean", RuntimeError, "source tensor shape must match self tensor shape, excluding the specified dimension"),
        ([0], (2,), "mean", RuntimeError, "source tensor shape must match self tensor shape"),
        ([0], (2, 2), "mean", RuntimeError, r"index_reduce_\(\): Number of indices \(1\) should be equal to source.size\(dim\): \(2\)"),
        ([0], (1, 2), "sum", RuntimeError, r"index_reduce\(\): Expected reduce to be one of prod, mean, amax or amin but got sum"),
        ([[0]], (1, 2), "mean", IndexError, r"index_reduce_\(\): Index is supposed to be a vector"),
        ([5], (1, 2), "amin", IndexError, "index 5 is out of bounds"),
    ],
)
def test_index_reduce_refuses(index, source, reduce, error, message):
    with pytest.raises(error, match=f"^{message}"):
        ones(3, 2).index_reduce(0, tensor(index), ones(source), reduce)


def test_narrow_from_a_tensor():
    x = tg.arange(5.0)
    assert tg.narrow(x, 0, tensor(1), 2).tolist() == [1.0, 2.0] and x.narrow(0, tensor(-2), 2)._is_view()
    for start in (tensor([1]), tensor(1.0), tensor(True)):
        with pytest.raises(RuntimeError, match="^start must be an 0-dim integral Tensor."):
            x.narrow(0, start, 1)


@pytest.mark.parametrize("name", ["gather", "scatter", "scatter_add"])
def test_an_index_that_is_not_there_is_both_errors(name):
    arguments = (0, tensor([7])) if name == "gather" else (0, tensor([7]), ones(1))
    for error in (RuntimeError, IndexError):
        with pytest.raises(error, match="^index 7 is out of bounds for dimension 0 with size 3"):
            getattr(ones(3), name)(*arguments)
    with pytest.raises(IndexError, match="^index out of range in self"):
        ones(3).index_select(0, tensor([7]))


# ---- the domain of arithmetic


def test_powers_of_bools():
    b = tensor([True, False])
    for power in (lambda: b**b, lambda: True**b, lambda: b.clone().pow_(b)):
        with pytest.raises(NotImplementedError, match="\"pow\" not implemented for 'Bool'"):
            power()
    assert (b**2).tolist() == [1, 0] and (b**True).tolist() == [True, False]


def test_xlogy_of_numbers():
    x = tensor([0.0, 1.0, 2.0], dtype=tg.float64)
    np.testing.assert_allclose(tg.xlogy(x, 3).numpy(), x.numpy() * math.log(3))
    np.testing.assert_allclose(tg.xlogy(2.5, x[1:]).numpy(), 2.5 * np.log([1.0, 2.0]))
    assert tg.xlogy(0, x).tolist() == [0.0, 0.0, 0.0]
    assert tg.xlogy(x, 0).tolist() == [0.0, -math.inf, -math.inf] and tg.xlogy(x, -1).isnan().tolist() == [False, True, True]
    y = x.clone()
    y.xlogy_(2.0)
    assert y.tolist() == tg.xlogy(x, 2.0).tolist()


def test_arange_of_an_integer_dtype_counts_whole_steps():
    assert tg.arange(1.0, 5.000001, 2.0, dtype=tg.int64).tolist() == [1, 3]
    assert tg.arange(0.5, 5.2, 1.5, dtype=tg.int64).tolist() == [0, 1, 2, 3, 4]
    assert tg.arange(-5, 4.9, 1, dtype=tg.int64).tolist() == list(range(-5, 4))
    assert tg.arange(-5, 4.9, 1, dtype=tg.int32).tolist() == list(range(-5, 5))
    assert tg.arange(1.0, 5.000001, 2.0, dtype=tg.uint8).tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="^step must be nonzero"):
        tg.arange(0, 10, 0.5, dtype=tg.int64)


def test_conversions_to_numbers():
    for convert in (float, int, complex):
        with pytest.raises(ValueError, match="^only one element tensors can be converted to Python scalars"):
            convert(ones(2))
    with pytest.raises(RuntimeError, match="^value cannot be converted to type double without overflow"):
        float(tensor(1 + 2j))
    with pytest.raises(RuntimeError, match="^value cannot be converted to type int64_t without overflow"):
        int(tensor(1 + 2j))
    assert float(tensor(3 + 0j)) == 3.0 and complex(tensor(1 + 2j)) == 1 + 2j and int(tensor(2.7)) == 2


# ---- refusals

i64 = tg.int64
REFUSED = [
    (lambda: tg.hstack(()), RuntimeError, "hstack expects a non-empty TensorList"),
    (lambda: tg.vstack(()), RuntimeError, "vstack expects a non-empty TensorList"),
    (lambda: tg.dstack(()), RuntimeError, "dstack expects a non-empty TensorList"),
    (lambda: tg.cat([]), ValueError, r"tensorgrad.cat\(\): expected a non-empty list of Tensors"),
    (lambda: tg.cat([ones(2), tensor(1.0)]), RuntimeError, r"zero-dimensional tensor \(at position 1\) cannot be concatenated"),
    (lambda: tg.tril(ones(4)), RuntimeError, "tril: input tensor must have at least 2 dimensions"),
    (lambda: tg.triu(ones(4)), RuntimeError, "triu: input tensor must have at least 2 dimensions"),
    (lambda: tg.amax(ones(2, 2), (0, 0)), RuntimeError, "dim 0 appears multiple times in the list of dims"),
    (lambda: ones(2, 2).permute(0, 0), RuntimeError, r"permute\(\): duplicate dims are not allowed"),
    (lambda: tg.movedim(ones(2, 3), (0, 0), (0, 1)), RuntimeError, r"movedim: repeated dim in `source` \(\[0, 0\]\)"),
    (lambda: tg.movedim(ones(2, 3), (0, 1), (1, -1)), RuntimeError, r"movedim: repeated dim in `destination` \(\[1, -1\]\)"),
    (lambda: tg.diag_embed(ones(2, 3), dim1=1, dim2=1), RuntimeError, "diagonal dimensions cannot be identical 1, 1"),
    (lambda: tg.diag_embed(ones(2, 3), dim1=9), IndexError, r"Dimension out of range \(expected to be in range of \[-3, 2\]"),
    (lambda: tg.roll(ones(5), ()), RuntimeError, "`shifts` required"),
    (lambda: tg.aminmax(ones(5, 0)), RuntimeError, r"aminmax\(\): cannot compute aminmax over an empty dimension"),
    (lambda: tg.aminmax(ones(5, 0), dim=1), IndexError, "aminmax: Expected reduction dim 1 to have non-zero size"),
    (lambda: ones(2, 0).max(1), IndexError, r"max\(\): Expected reduction dim 1 to have non-zero size"),
    (lambda: ones(2, 0).argmin(1), IndexError, r"argmin\(\): Expected reduction dim 1 to have non-zero size"),
    (lambda: tg.complex(ones(2), ones(2).int()), RuntimeError, "Expected both inputs to be Half, Float or Double tensors but got Float and Int"),
    (lambda: tg.complex(ones(2), ones(2).double()), RuntimeError, "Expected object of scalar type Float but got scalar type Double"),
    (lambda: tg.isclose(ones(2), ones(2), rtol=-0.4), RuntimeError, "rtol must be greater than or equal to zero, but got -0.4"),
    (lambda: tg.allclose(ones(2), ones(2), atol=-1.0), RuntimeError, "atol must be greater than or equal to zero"),
    (lambda: ones(2, 3).unflatten(0, (3, 3)), RuntimeError, r"unflatten: Provided sizes \[3, 3\] don't multiply up to the size of dim 0"),
    (lambda: ones(2, 3).unflatten(0, ()), RuntimeError, "unflatten: sizes must be non-empty"),
    (lambda: tg.broadcast_tensors(ones(5, 4), ones(5)), RuntimeError, r"The size of tensor a \(4\) must match the size of tensor b \(5\) at non-singleton dimension 1"),
    (lambda: ones(3).masked_scatter(ones(3), ones(3)), RuntimeError, "masked_scatter_ only supports boolean masks, but got mask with dtype Float"),
    (lambda: ones(3).masked_scatter(ones(3).bool(), ones(1)), RuntimeError, "Number of elements of source < number of ones in mask"),
    (lambda: ones(2).long().masked_fill(tensor(True), tensor(1j)), RuntimeError, "value cannot be converted to type int64_t without overflow"),
    (lambda: ones(3, 5).double().scatter_add(0, zeros(2, 2, dtype=i64), ones(2, 5)), RuntimeError, r"scatter\(\): Expected self.dtype to be equal to src.dtype"),
    (lambda: ones(3, 2).index_add(0, tensor([0, 1]), ones(2)), RuntimeError, "source tensor shape must match self tensor shape"),
    (lambda: tg.dsplit(ones(5), 1), RuntimeError, "tensorgrad.dsplit requires a tensor with at least 3 dimension, but got"),
    (lambda: tg.vdot(ones(1), ones(1).half()), RuntimeError, "dot : expected both vectors to have same dtype, but found Float and Half"),
    (lambda: tg.linalg.cross(ones(5, 3), ones(5, 1)), RuntimeError, "linalg.cross: inputs dimension 1 must have length 3. Got 3 and 1"),
    (lambda: tg.linalg.cross(ones(5, 5, 3), ones(5, 3)), RuntimeError, "linalg.cross: inputs must have the same number of dimensions"),
    (lambda: tg.fft.fft(tensor(1.0)), IndexError, "Dimension specified as -1 but tensor has no dimensions"),
    (lambda: tg.cov(ones(5), fweights=ones(5)), RuntimeError, r"cov\(\): expected fweights to have integral dtype but got fweights with Float"),
    (lambda: tg.cov(ones(5), aweights=-ones(5)), RuntimeError, r"cov\(\): aweights cannot be negative"),
    (lambda: tg.cov(ones(5), aweights=ones(1)), RuntimeError, r"cov\(\): expected aweights to have the same numel as there are observations"),
    (lambda: tg.multinomial(tensor([-1.0, 2.0]), 1, True), RuntimeError, r"invalid multinomial distribution \(encountering probability entry < 0\)"),
    (lambda: tg.multinomial(tensor([math.nan, 2.0]), 1, True), RuntimeError, r"invalid multinomial distribution \(encountering probability entry = infinity or NaN\)"),
    (lambda: tg.pow(2, 3), TypeError, r"pow\(\) received an invalid combination of arguments - got \(int, int\), but expected one of:"),
    (lambda: tg.float_power(2, 3), TypeError, r"float_power\(\) received an invalid combination of arguments"),
    (lambda: tg.xlogy(2, 3), TypeError, r"xlogy\(\) received an invalid combination of arguments"),
    (lambda: tg.eq(2, ones(3)), TypeError, r"eq\(\) received an invalid combination of arguments - got \(int, Tensor\), but expected one of:"),
    (lambda: tg.linspace(0, 3, 1.0), TypeError, r"linspace\(\) received an invalid combination of arguments - got \(int, int, float\)"),
    (lambda: tg.add(ones(2), "a"), TypeError, r"add\(\): argument 'other' \(position 2\) must be Tensor"),
    (lambda: zeros(3, 4).__setitem__(0, ones(3)), RuntimeError, r"The expanded size of the tensor \(4\) must match the existing size \(3\) at non-singleton dimension 0"),
    (lambda: ones(2, dtype=i64).requires_grad_(), RuntimeError, "only Tensors of floating point dtype can require gradients"),
]


@pytest.mark.parametrize(("call", "error", "phrase"), REFUSED, ids=[phrase[:40] for *_, phrase in REFUSED])
def test_refused(call, error, phrase):
    with pytest.raises(error, match=f"^{phrase}"):
        call()


def test_out_of_another_dtype():
    index = zeros(2, 2, dtype=i64)
    for call, message in (
        (lambda: tg.gather(ones(2, 2), 1, index, out=ones(2, 2).double()), "Expected out tensor to have dtype float, but got double instead"),
        (lambda: tg.multinomial(ones(1, 2), 2, out=ones(1, 2).double()), "multinomial expects Long tensor out, got: Double"),
        (lambda: tg.amax(ones(2, 2), 0, out=ones(2).int()), "Expected the dtype for input and out to match, but got Float for input's dtype and Int"),
        (lambda: tg.complex(ones(2).double(), ones(2).double(), out=tg.complex(ones(2), ones(2))), "Expected object of scalar type ComplexDouble but got scalar type ComplexFloat"),
    ):
        with pytest.raises(RuntimeError, match=f"^{message}"):
            call()
