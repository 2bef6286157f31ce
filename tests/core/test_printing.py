"""Text form of tensors. The expected strings are what PyTorch prints, with the package name replaced."""

from math import inf, nan

import pytest

import tensorgrad as tg
from tensorgrad._printing import tensor_str


@pytest.fixture(autouse=True)
def _default_options():
    tg.set_printoptions(profile="default")
    yield
    tg.set_printoptions(profile="default")


def _case(name, make, expected):
    return pytest.param(make, expected, id=name)


FLOATS = [
    _case("zero-dim", lambda: tg.tensor(3.14159265), "tensor(3.1416)"),
    _case("zero-dim-whole", lambda: tg.tensor(-2.0), "tensor(-2.)"),
    _case("vector", lambda: tg.tensor([1.0, -2.5, 3.25]), "tensor([ 1.0000, -2.5000,  3.2500])"),
    _case("whole", lambda: tg.tensor([1.0, -20.0, 300.0]), "tensor([  1., -20., 300.])"),
    _case("zeros", lambda: tg.zeros(3), "tensor([0., 0., 0.])"),
    _case("negative-zero", lambda: tg.tensor([-0.0, 1.0]), "tensor([-0., 1.])"),
    _case("negative-zero-fixed", lambda: tg.tensor([-0.0, 0.5]), "tensor([-0.0000, 0.5000])"),
    _case("nan-inf-only", lambda: tg.tensor([nan, inf, -inf]), "tensor([nan, inf, -inf])"),
    _case("nan-inf-whole", lambda: tg.tensor([nan, inf, -inf, 1.0]), "tensor([nan, inf, -inf, 1.])"),
    _case(
        "nan-inf-fixed", lambda: tg.tensor([nan, inf, -inf, 0.5]), "tensor([   nan,    inf,   -inf, 0.5000])"
    ),
    _case(
        "nan-inf-scientific",
        lambda: tg.tensor([nan, -inf, 1e9]),
        "tensor([       nan,       -inf, 1.0000e+09])",
    ),
    _case("ratio-1000", lambda: tg.tensor([1.0, 1000.0]), "tensor([   1., 1000.])"),
    _case("ratio-above-1000", lambda: tg.tensor([1.0, 1001.0]), "tensor([1.0000e+00, 1.0010e+03])"),
    _case("whole-1e8", lambda: tg.tensor(1e8), "tensor(100000000.)"),
    _case("whole-above-1e8", lambda: tg.tensor(1.5e8), "tensor(1.5000e+08)"),
    _case("float32-below-1e-4", lambda: tg.tensor(1e-4), "tensor(1.0000e-04)"),
    _case(
        "float64-equals-1e-4",
        lambda: tg.tensor(1e-4, dtype=tg.float64),
        "tensor(0.0001, dtype=tensorgrad.float64)",
    ),
    _case("small", lambda: tg.tensor([2e-5, -1e-5]), "tensor([ 2.0000e-05, -1.0000e-05])"),
    _case(
        "three-digit-exponent",
        lambda: tg.tensor([1e-200, -1e200], dtype=tg.float64),
        "tensor([ 1.0000e-200, -1.0000e+200], dtype=tensorgrad.float64)",
    ),
    _case(
        "zero-does-not-count",
        lambda: tg.tensor([0.0, 0.0, 12345.678]),
        "tensor([    0.0000,     0.0000, 12345.6777])",
    ),
    _case("float32-digits", lambda: tg.tensor([16777217.0, 0.5]), "tensor([1.6777e+07, 5.0000e-01])"),
    _case(
        "half",
        lambda: tg.tensor([0.1, 65504.0], dtype=tg.float16),
        "tensor([9.9976e-02, 6.5504e+04], dtype=tensorgrad.float16)",
    ),
    _case(
        "bfloat16",
        lambda: tg.tensor([[0.1, -3.0]], dtype=tg.bfloat16),
        "tensor([[ 0.1001, -3.0000]], dtype=tensorgrad.bfloat16)",
    ),
    _case(
        "float64",
        lambda: tg.tensor([0.1, 0.2], dtype=tg.float64),
        "tensor([0.1000, 0.2000], dtype=tensorgrad.float64)",
    ),
]

EXACT = [
    _case("int", lambda: tg.tensor([1, -20, 300]), "tensor([  1, -20, 300])"),
    _case("int-zero-dim", lambda: tg.tensor(7), "tensor(7)"),
    _case(
        "int-limits",
        lambda: tg.tensor([-(2**63), 2**63 - 1, 0]),
        "tensor([-9223372036854775808,  9223372036854775807,                    0])",
    ),
    _case(
        "int-matrix",
        lambda: tg.tensor([[1, -2], [100, 4]]),
        """\
tensor([[  1,  -2],
        [100,   4]])""",
    ),
    _case("uint8", lambda: tg.tensor([0, 255], dtype=tg.uint8), "tensor([  0, 255], dtype=tensorgrad.uint8)"),
    _case(
        "int8", lambda: tg.tensor([-128, 127], dtype=tg.int8), "tensor([-128,  127], dtype=tensorgrad.int8)"
    ),
    _case("int16", lambda: tg.tensor(-5, dtype=tg.int16), "tensor(-5, dtype=tensorgrad.int16)"),
    _case(
        "int32",
        lambda: tg.tensor([[5], [-5]], dtype=tg.int32),
        """\
tensor([[ 5],
        [-5]], dtype=tensorgrad.int32)""",
    ),
    _case("bool", lambda: tg.tensor([True, False]), "tensor([ True, False])"),
    _case("bool-false", lambda: tg.tensor([False, False]), "tensor([False, False])"),
    _case("bool-zero-dim", lambda: tg.tensor(True), "tensor(True)"),
]

COMPLEX = [
    _case("whole", lambda: tg.tensor([1 + 2j, -30 - 4j]), "tensor([  1.+2.j, -30.-4.j])"),
    _case(
        "fixed", lambda: tg.tensor([1.5 + 2j, -30.25 - 0.5j]), "tensor([  1.5000+2.0000j, -30.2500-0.5000j])"
    ),
    _case("zero-dim", lambda: tg.tensor(1 - 0.5j), "tensor(1.-0.5000j)"),
    _case(
        "scientific-imaginary",
        lambda: tg.tensor([1 + 2e9j, 2 - 3j]),
        "tensor([1.+2.0000e+09j, 2.-3.0000e+00j])",
    ),
    _case(
        "nan-inf",
        lambda: tg.tensor([complex(nan, inf), complex(-inf, nan), complex(0.5, -inf)]),
        "tensor([   nan+infj,   -inf+nanj, 0.5000-infj])",
    ),
    _case(
        "complex128",
        lambda: tg.tensor([[1 + 1j], [0.5 - 12.5j]], dtype=tg.complex128),
        """\
tensor([[1.0000+1.0000j],
        [0.5000-12.5000j]], dtype=tensorgrad.complex128)""",
    ),
    _case(
        "line-breaks",
        lambda: tg.tensor([1.25 - 0.5j] * 7),
        """\
tensor([1.2500-0.5000j, 1.2500-0.5000j, 1.2500-0.5000j, 1.2500-0.5000j,
        1.2500-0.5000j, 1.2500-0.5000j, 1.2500-0.5000j])""",
    ),
]

SHAPES = [
    _case("empty", lambda: tg.tensor([]), "tensor([])"),
    _case("empty-int", lambda: tg.zeros(0, dtype=tg.int64), "tensor([], dtype=tensorgrad.int64)"),
    _case(
        "empty-bool-0x3",
        lambda: tg.zeros(0, 3, dtype=tg.bool),
        "tensor([], size=(0, 3), dtype=tensorgrad.bool)",
    ),
    _case("empty-complex", lambda: tg.zeros(0, dtype=tg.complex64), "tensor([], dtype=tensorgrad.complex64)"),
    _case("empty-2x0", lambda: tg.zeros(2, 0), "tensor([], size=(2, 0))"),
    _case(
        "empty-3d-double",
        lambda: tg.zeros(1, 0, 2, dtype=tg.float64),
        "tensor([], size=(1, 0, 2), dtype=tensorgrad.float64)",
    ),
    _case(
        "matrix",
        lambda: tg.tensor([[1.0, 2.5], [-3.0, 4.0]]),
        """\
tensor([[ 1.0000,  2.5000],
        [-3.0000,  4.0000]])""",
    ),
    _case("row", lambda: tg.ones(1, 3), "tensor([[1., 1., 1.]])"),
    _case(
        "column",
        lambda: tg.ones(3, 1),
        """\
tensor([[1.],
        [1.],
        [1.]])""",
    ),
    _case(
        "3d",
        lambda: tg.arange(8).reshape(2, 2, 2),
        """\
tensor([[[0, 1],
         [2, 3]],

        [[4, 5],
         [6, 7]]])""",
    ),
    _case(
        "4d",
        lambda: tg.arange(12.0).reshape(2, 3, 1, 2),
        """\
tensor([[[[ 0.,  1.]],

         [[ 2.,  3.]],

         [[ 4.,  5.]]],


        [[[ 6.,  7.]],

         [[ 8.,  9.]],

         [[10., 11.]]]])""",
    ),
    _case(
        "5d",
        lambda: tg.arange(4).reshape(2, 1, 2, 1, 1),
        """\
tensor([[[[[0]],

          [[1]]]],



        [[[[2]],

          [[3]]]]])""",
    ),
    _case(
        "transposed",
        lambda: tg.arange(6).reshape(2, 3).t(),
        """\
tensor([[0, 3],
        [1, 4],
        [2, 5]])""",
    ),
    _case(
        "line-breaks",
        lambda: tg.arange(12.0) / 8,
        """\
tensor([0.0000, 0.1250, 0.2500, 0.3750, 0.5000, 0.6250, 0.7500, 0.8750, 1.0000,
        1.1250, 1.2500, 1.3750])""",
    ),
    _case(
        "line-breaks-exact-fit",
        lambda: tg.full((36,), 7),
        """\
tensor([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7])""",
    ),
    _case(
        "line-breaks-matrix",
        lambda: tg.arange(50).reshape(2, 25),
        """\
tensor([[ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
         18, 19, 20, 21, 22, 23, 24],
        [25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42,
         43, 44, 45, 46, 47, 48, 49]])""",
    ),
]

SUMMARISED = [
    _case("vector", lambda: tg.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    _case(
        "vector-float",
        lambda: tg.arange(2000.0) / 4,
        """\
tensor([0.0000e+00, 2.5000e-01, 5.0000e-01,  ..., 4.9925e+02, 4.9950e+02,
        4.9975e+02])""",
    ),
    _case(
        "width-from-shown-part",
        lambda: tg.where(tg.arange(3000) == 1500, 1e30, 1.0),
        "tensor([1., 1., 1.,  ..., 1., 1., 1.])",
    ),
    _case(
        "matrix",
        lambda: tg.arange(10000.0).reshape(100, 100),
        """\
tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 9.7000e+01, 9.8000e+01,
         9.9000e+01],
        [1.0000e+02, 1.0100e+02, 1.0200e+02,  ..., 1.9700e+02, 1.9800e+02,
         1.9900e+02],
        [2.0000e+02, 2.0100e+02, 2.0200e+02,  ..., 2.9700e+02, 2.9800e+02,
         2.9900e+02],
        ...,
        [9.7000e+03, 9.7010e+03, 9.7020e+03,  ..., 9.7970e+03, 9.7980e+03,
         9.7990e+03],
        [9.8000e+03, 9.8010e+03, 9.8020e+03,  ..., 9.8970e+03, 9.8980e+03,
         9.8990e+03],
        [9.9000e+03, 9.9010e+03, 9.9020e+03,  ..., 9.9970e+03, 9.9980e+03,
         9.9990e+03]])""",
    ),
    _case(
        "few-long-rows",
        lambda: tg.arange(2000).reshape(2, 1000),
        """\
tensor([[   0,    1,    2,  ...,  997,  998,  999],
        [1000, 1001, 1002,  ..., 1997, 1998, 1999]])""",
    ),
    _case(
        "many-short-rows",
        lambda: tg.arange(2000).reshape(1000, 2),
        """\
tensor([[   0,    1],
        [   2,    3],
        [   4,    5],
        ...,
        [1994, 1995],
        [1996, 1997],
        [1998, 1999]])""",
    ),
    _case(
        "3d",
        lambda: tg.arange(8 * 8 * 20).reshape(8, 8, 20),
        """\
tensor([[[   0,    1,    2,  ...,   17,   18,   19],
         [  20,   21,   22,  ...,   37,   38,   39],
         [  40,   41,   42,  ...,   57,   58,   59],
         ...,
         [ 100,  101,  102,  ...,  117,  118,  119],
         [ 120,  121,  122,  ...,  137,  138,  139],
         [ 140,  141,  142,  ...,  157,  158,  159]],

        [[ 160,  161,  162,  ...,  177,  178,  179],
         [ 180,  181,  182,  ...,  197,  198,  199],
         [ 200,  201,  202,  ...,  217,  218,  219],
         ...,
         [ 260,  261,  262,  ...,  277,  278,  279],
         [ 280,  281,  282,  ...,  297,  298,  299],
         [ 300,  301,  302,  ...,  317,  318,  319]],

        [[ 320,  321,  322,  ...,  337,  338,  339],
         [ 340,  341,  342,  ...,  357,  358,  359],
         [ 360,  361,  362,  ...,  377,  378,  379],
         ...,
         [ 420,  421,  422,  ...,  437,  438,  439],
         [ 440,  441,  442,  ...,  457,  458,  459],
         [ 460,  461,  462,  ...,  477,  478,  479]],

        ...,

        [[ 800,  801,  802,  ...,  817,  818,  819],
         [ 820,  821,  822,  ...,  837,  838,  839],
         [ 840,  841,  842,  ...,  857,  858,  859],
         ...,
         [ 900,  901,  902,  ...,  917,  918,  919],
         [ 920,  921,  922,  ...,  937,  938,  939],
         [ 940,  941,  942,  ...,  957,  958,  959]],

        [[ 960,  961,  962,  ...,  977,  978,  979],
         [ 980,  981,  982,  ...,  997,  998,  999],
         [1000, 1001, 1002,  ..., 1017, 1018, 1019],
         ...,
         [1060, 1061, 1062,  ..., 1077, 1078, 1079],
         [1080, 1081, 1082,  ..., 1097, 1098, 1099],
         [1100, 1101, 1102,  ..., 1117, 1118, 1119]],

        [[1120, 1121, 1122,  ..., 1137, 1138, 1139],
         [1140, 1141, 1142,  ..., 1157, 1158, 1159],
         [1160, 1161, 1162,  ..., 1177, 1178, 1179],
         ...,
         [1220, 1221, 1222,  ..., 1237, 1238, 1239],
         [1240, 1241, 1242,  ..., 1257, 1258, 1259],
         [1260, 1261, 1262,  ..., 1277, 1278, 1279]]])""",
    ),
    _case(
        "dtype-on-next-line",
        lambda: tg.full((2000,), 123456, dtype=tg.int32).reshape(1, 2000) * 1000,
        """\
tensor([[123456000, 123456000, 123456000,  ..., 123456000, 123456000,
         123456000]], dtype=tensorgrad.int32)""",
    ),
    _case(
        "complex",
        lambda: tg.full((1200,), 1.5 - 2j),
        """\
tensor([1.5000-2.j, 1.5000-2.j, 1.5000-2.j,  ..., 1.5000-2.j, 1.5000-2.j,
        1.5000-2.j])""",
    ),
    _case(
        "bool",
        lambda: tg.ones(7, 200, dtype=tg.bool),
        """\
tensor([[True, True, True,  ..., True, True, True],
        [True, True, True,  ..., True, True, True],
        [True, True, True,  ..., True, True, True],
        ...,
        [True, True, True,  ..., True, True, True],
        [True, True, True,  ..., True, True, True],
        [True, True, True,  ..., True, True, True]])""",
    ),
]

GRADIENT = [
    _case(
        "requires-grad",
        lambda: tg.tensor([1.0, 2.0], requires_grad=True),
        "tensor([1., 2.], requires_grad=True)",
    ),
    _case(
        "grad-fn", lambda: tg.zeros(2, requires_grad=True).sin(), "tensor([0., 0.], grad_fn=<SinBackward0>)"
    ),
    _case(
        "zero-dim", lambda: (tg.ones(3, requires_grad=True) * 2).sum(), "tensor(6., grad_fn=<SumBackward0>)"
    ),
    _case("detached", lambda: tg.ones(2, requires_grad=True).sin().detach(), "tensor([0.8415, 0.8415])"),
    _case(
        "dtype-first",
        lambda: tg.ones(2, dtype=tg.float64, requires_grad=True),
        "tensor([1., 1.], dtype=tensorgrad.float64, requires_grad=True)",
    ),
    _case("empty", lambda: tg.zeros(0, 2, requires_grad=True), "tensor([], size=(0, 2), requires_grad=True)"),
    _case("complex", lambda: tg.tensor([1j], requires_grad=True), "tensor([0.+1.j], requires_grad=True)"),
    _case(
        "after-matrix",
        lambda: tg.ones(2, 9, requires_grad=True).exp(),
        """\
tensor([[2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183],
        [2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183, 2.7183]],
       grad_fn=<ExpBackward0>)""",
    ),
    _case(
        "own-line",
        lambda: tg.full((8,), 1.5, requires_grad=True),
        """\
tensor([1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000],
       requires_grad=True)""",
    ),
    _case(
        "two-lines",
        lambda: tg.full((7,), 123.5, dtype=tg.float64, requires_grad=True).exp(),
        """\
tensor([4.3189e+53, 4.3189e+53, 4.3189e+53, 4.3189e+53, 4.3189e+53, 4.3189e+53,
        4.3189e+53], dtype=tensorgrad.float64, grad_fn=<ExpBackward0>)""",
    ),
]

OPTIONS = [
    pytest.param(
        {"precision": 2}, lambda: tg.tensor([3.14159, 100.0]), "tensor([  3.14, 100.00])", id="precision"
    ),
    pytest.param({"precision": 0}, lambda: tg.tensor([1.5, 2.25]), "tensor([2, 2])", id="precision-0"),
    pytest.param(
        {"precision": 10},
        lambda: tg.tensor([1e-7], dtype=tg.float64),
        "tensor([1.0000000000e-07], dtype=tensorgrad.float64)",
        id="precision-scientific",
    ),
    pytest.param({"threshold": 5}, lambda: tg.arange(7), "tensor([0, 1, 2,  ..., 4, 5, 6])", id="threshold"),
    pytest.param({"threshold": 5}, lambda: tg.arange(6), "tensor([0, 1, 2, 3, 4, 5])", id="threshold-short"),
    pytest.param({"threshold": 0}, lambda: tg.tensor(2.5), "tensor(2.5000)", id="threshold-0"),
    pytest.param(
        {"threshold": 5, "edgeitems": 1},
        lambda: tg.arange(20.0).reshape(4, 5),
        """\
tensor([[ 0.,  ...,  4.],
        ...,
        [15.,  ..., 19.]])""",
        id="edgeitems",
    ),
    pytest.param(
        {"threshold": 5, "edgeitems": 0}, lambda: tg.arange(6.0), "tensor([...], size=(6,))", id="edgeitems-0"
    ),
    pytest.param(
        {"edgeitems": 0},
        lambda: tg.ones(2, 2),
        """\
tensor([[1., 1.],
        [1., 1.]], size=(2, 2))""",
        id="edgeitems-0-all-shown",
    ),
    pytest.param(
        {"linewidth": 30},
        lambda: tg.arange(12),
        """\
tensor([ 0,  1,  2,  3,  4,
         5,  6,  7,  8,  9,
        10, 11])""",
        id="linewidth",
    ),
    pytest.param(
        {"linewidth": 30},
        lambda: tg.ones(2, dtype=tg.float64),
        """\
tensor([1., 1.],
       dtype=tensorgrad.float64)""",
        id="linewidth-dtype",
    ),
    pytest.param(
        {"linewidth": 1},
        lambda: tg.tensor([0.5, 1.5]),
        """\
tensor([0.5000,
        1.5000])""",
        id="linewidth-tiny",
    ),
    pytest.param(
        {"sci_mode": True},
        lambda: tg.tensor([1.0, -20.0, 0.0]),
        "tensor([ 1.0000e+00, -2.0000e+01,  0.0000e+00])",
        id="sci-mode",
    ),
    pytest.param(
        {"sci_mode": False},
        lambda: tg.tensor([1e-5, 1e9], dtype=tg.float64),
        "tensor([         0.0000, 1000000000.0000], dtype=tensorgrad.float64)",
        id="sci-mode-off",
    ),
    pytest.param(
        {"sci_mode": False},
        lambda: tg.tensor([1.0, -1e9]),
        "tensor([          1., -1000000000.])",
        id="sci-mode-off-whole",
    ),
    pytest.param(
        {"sci_mode": True, "precision": 1},
        lambda: tg.tensor([1 - 2.5j]),
        "tensor([1.0e+00-2.5e+00j])",
        id="sci-mode-complex",
    ),
    pytest.param({"sci_mode": True}, lambda: tg.tensor([1, 2]), "tensor([1, 2])", id="sci-mode-int"),
    pytest.param({"sci_mode": True}, lambda: tg.zeros(2), "tensor([0., 0.])", id="sci-mode-zeros"),
    pytest.param(
        {"profile": "short"},
        lambda: tg.arange(2000.0) / 3,
        "tensor([0.00e+00, 3.33e-01,  ..., 6.66e+02, 6.66e+02])",
        id="short",
    ),
    pytest.param(
        {"profile": "full", "linewidth": 10**6},
        lambda: tg.zeros(1001).sum(0, keepdim=True) + tg.zeros(3),
        "tensor([0., 0., 0.])",
        id="full",
    ),
]


@pytest.mark.parametrize(("make", "expected"), FLOATS)
def test_floats(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize(("make", "expected"), EXACT)
def test_exact(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize(("make", "expected"), COMPLEX)
def test_complex(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize(("make", "expected"), SHAPES)
def test_shapes(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize(("make", "expected"), SUMMARISED)
def test_summarised(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize(("make", "expected"), GRADIENT)
def test_gradient(make, expected):
    assert repr(make()) == expected


@pytest.mark.parametrize(("options", "make", "expected"), OPTIONS)
def test_options(options, make, expected):
    tensor = make()
    usual = repr(tensor)
    with tg.printoptions(**options):
        assert repr(tensor) == expected
    assert repr(tensor) == usual
    tg.set_printoptions(**options)
    assert repr(tensor) == expected


def test_str_is_repr():
    tensor = tg.tensor([[1.5], [2.0]], dtype=tg.float64)
    assert str(tensor) == repr(tensor)
    assert f"{tensor}" == repr(tensor)


def test_get_printoptions():
    assert tg.get_printoptions() == {
        "precision": 4,
        "threshold": 1000,
        "edgeitems": 3,
        "linewidth": 80,
        "sci_mode": None,
    }
    tg.set_printoptions(profile="short")
    assert tg.get_printoptions() == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 2,
        "linewidth": 80,
        "sci_mode": None,
    }
    tg.set_printoptions(profile="full", precision=7)
    assert tg.get_printoptions() == {
        "precision": 7,
        "threshold": inf,
        "edgeitems": 3,
        "linewidth": 80,
        "sci_mode": None,
    }


def test_set_printoptions_keeps_all_but_sci_mode():
    tg.set_printoptions(precision=2, sci_mode=True)
    tg.set_printoptions(edgeitems=5)
    options = tg.get_printoptions()
    assert (options["precision"], options["edgeitems"], options["sci_mode"]) == (2, 5, None)


def test_changing_the_returned_options_has_no_effect():
    tg.get_printoptions()["precision"] = 1
    assert tg.get_printoptions()["precision"] == 4


def test_unknown_profile_has_no_effect():
    tg.set_printoptions(precision=2)
    tg.set_printoptions(profile="no such profile")
    assert tg.get_printoptions()["precision"] == 2


def test_printoptions_is_undone_after_an_error():
    tg.set_printoptions(sci_mode=True)
    with pytest.raises(KeyError), tg.printoptions(precision=1, linewidth=20):
        raise KeyError
    assert tg.get_printoptions()["linewidth"] == 80
    assert repr(tg.tensor(1.5)) == "tensor(1.5000e+00)"


def test_printoptions_nests():
    tensor = tg.tensor(1.23456)
    with tg.printoptions(precision=3):
        with tg.printoptions(precision=1):
            assert repr(tensor) == "tensor(1.2)"
        assert repr(tensor) == "tensor(1.235)"


def test_default_dtype_is_not_shown():
    tg.set_default_dtype(tg.float64)
    try:
        shown = [
            repr(tg.ones(1, dtype=dtype)) for dtype in (tg.float64, tg.complex128, tg.float32, tg.complex64)
        ]
    finally:
        tg.set_default_dtype(tg.float32)
    assert shown == [
        "tensor([1.])",
        "tensor([1.+0.j])",
        "tensor([1.], dtype=tensorgrad.float32)",
        "tensor([1.+0.j], dtype=tensorgrad.complex64)",
    ]


def test_full_profile_shows_every_element():
    tg.set_printoptions(profile="full")
    text = repr(tg.zeros(1500))
    assert "..." not in text
    assert text.count("0.") == 1500


def test_large_tensor_is_not_converted():
    tensor = tg.zeros(1).expand(10**12)
    assert repr(tensor) == "tensor([0., 0., 0.,  ..., 0., 0., 0.])"


def test_printing_leaves_the_graph_alone():
    leaf = tg.ones(2, requires_grad=True)
    result = leaf.sin()
    repr(leaf)
    repr(result)
    result.sum().backward()
    assert leaf.is_leaf
    assert leaf.grad is not None


def test_custom_function_is_named_after_its_class():
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    assert repr(Twice.apply(tg.ones(2, requires_grad=True))) == "tensor([2., 2.], grad_fn=<TwiceBackward>)"


class MyTensor(tg.Tensor):
    pass


def test_subclass():
    assert repr(tg.ones(2).as_subclass(MyTensor)) == "MyTensor([1., 1.])"


def test_subclass_is_aligned():
    tensor = tg.arange(4.0).reshape(2, 2).as_subclass(MyTensor)
    assert (
        repr(tensor)
        == """\
MyTensor([[0., 1.],
          [2., 3.]])"""
    )


def test_tensor_contents():
    assert tensor_str(tg.ones(3), tensor_contents="...") == "tensor(...)"
    assert tensor_str(tg.zeros(0, 2, dtype=tg.float16), tensor_contents="none") == (
        "tensor(none, size=(0, 2), dtype=tensorgrad.float16)"
    )


def _shown_inside(transform, *args):
    texts = []

    def function(x):
        texts.append(repr(x))
        return x.sum()

    transform(function)(*args)
    return texts[0]


def test_inside_grad():
    assert (
        _shown_inside(tg.func.grad, tg.ones(2))
        == """\
GradTrackingTensor(lvl=1, value=
    tensor([1., 1.])
)"""
    )


def test_inside_vmap():
    assert (
        _shown_inside(lambda f: tg.func.vmap(f, in_dims=1), tg.ones(2, 2))
        == """\
BatchedTensor(lvl=1, bdim=1, value=
    tensor([[1., 1.],
            [1., 1.]])
)"""
    )


def test_inside_vmap_of_grad():
    assert (
        _shown_inside(lambda f: tg.func.vmap(tg.func.grad(f)), tg.ones(2, 2))
        == """\
GradTrackingTensor(lvl=2, value=
    BatchedTensor(lvl=1, bdim=0, value=
        tensor([[1., 1.],
                [1., 1.]])
    )
)"""
    )


@pytest.mark.skipif(not (hasattr(tg, "cuda") and tg.cuda.is_available()), reason="needs a CUDA device")
def test_cuda_device_is_shown():
    assert repr(tg.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"
    tensor = tg.ones(2, device="cuda", dtype=tg.float64, requires_grad=True)
    assert repr(tensor) == "tensor([1., 1.], device='cuda:0', dtype=tensorgrad.float64, requires_grad=True)"
