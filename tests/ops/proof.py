"""What the hand-written tests of the ten proof operators share."""

import numpy as np

import tensorgrad as tg
from tensorgrad.autograd import forward_ad, gradcheck, gradgradcheck

DOUBLES = [tg.float64, tg.complex128]
INEXACT = [tg.float16, tg.bfloat16, tg.float32, tg.float64, tg.complex64, tg.complex128]


def values(*shape, dtype=tg.float64, seed=1, requires_grad=True):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.3, 1.7, shape) * rng.choice([-1.0, 1.0], shape)
    if dtype.is_complex:
        x = x + 1j * rng.uniform(-1, 1, shape)
    return tg.tensor(x).to(dtype).requires_grad_(requires_grad)


def close(actual, expected, rtol=1e-12):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=rtol, atol=rtol)


def derivatives_agree(function, *inputs):
    """First and second derivatives, backward and forward, against finite differences."""
    assert gradcheck(function, inputs, check_forward_ad=True)
    assert gradgradcheck(function, inputs, check_fwd_over_rev=True)


def node_name(x):
    return type(x.grad_fn).__name__


def tangent(function, x, t):
    with forward_ad.dual_level():
        out = function(forward_ad.make_dual(x, t))
        return forward_ad.unpack_dual(out).tangent.clone()
