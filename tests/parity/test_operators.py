"""Each operator that both libraries have, an aspect at a time, on every dtype that PyTorch supports."""

import pytest

import tensorgrad

from . import operators
from .expected import expected_difference

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("aspect", operators.ASPECTS)
@pytest.mark.parametrize("name", operators.SHARED)
def test_operator(name, aspect, record_property):
    info = operators.SHARED[name]
    record_property("operator", name)
    record_property("aspect", aspect)
    if aspect == "errors":
        outcome = {"": operators.compare_errors(name)}
    else:
        outcome = {dtype: operators.compare(name, aspect, dtype) for dtype in operators.dtypes_of(info, aspect)}
    compared = {dtype: found for dtype, found in outcome.items() if found is not False}
    wrong = {dtype: found for dtype, found in compared.items() if found}
    record_property("dtypes", sorted(compared))
    record_property("differs", wrong)
    expected, reason = expected_difference(name, aspect, compared)
    unexpected = {dtype: found for dtype, found in wrong.items() if dtype not in expected}
    assert not unexpected, "\n".join(f"{dtype or 'error'}: {found}" for dtype, found in unexpected.items())
    holds = sorted(set(expected) - set(wrong))
    assert not holds, f"holds now, and is recorded as a difference in expected.py: {holds} ({reason})"
    if not compared:
        pytest.skip("PyTorch's database has nothing to compare here")
    if expected:
        pytest.xfail(reason)


def test_there_are_operators_to_compare(record_property):
    record_property("missing", operators.MISSING)
    record_property("versions", f"{tensorgrad.__version__} and PyTorch {operators.torch.__version__.partition('+')[0]}")
    assert len(operators.SHARED) > 250
