"""Conversions between any two dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad
from tensorgrad.testing.device_conformance.comparing import require, values
from tensorgrad.testing.sampling import DTYPES


@pytest.mark.parametrize("source", DTYPES, ids=str)
def test_conversions(source, device):
    """Real parts, tests against zero, truncation, wrapping around, rounding to even; on the device and on the way."""
    require(device, source)
    x = tensorgrad.tensor([0.0, 1.0, -2.75, 300.5, 65519.0, 1.00390625, 3e-6])
    if not source.is_signed:
        x = tensorgrad.tensor([0, 1, 2, 255])
    x = x.to(source)
    there = x.to(device)
    for target in DTYPES:
        np.testing.assert_array_equal(values(x.to(device, target)), values(x.to(target)), err_msg=str(target))
        np.testing.assert_array_equal(values(there.to("cpu", target)), values(x.to(target)), err_msg=str(target))
        result = there.to(target)
        assert result.dtype is target and result.device == there.device
        np.testing.assert_array_equal(values(result), values(x.to(target)), err_msg=str(target))
