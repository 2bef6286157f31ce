"""The test device passes the suite that plugins have to pass.

The tests are those of `tensorgrad.testing.device_conformance`; the fixtures that name the device are in conftest.py.
"""

import pytest

pytest.register_assert_rewrite("tensorgrad.testing.device_conformance")

from tensorgrad.testing.device_conformance.test_autograd import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_conversions import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_memory import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_operators import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_random import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_streams import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_training import *  # noqa: E402, F403
from tensorgrad.testing.device_conformance.test_views_and_copies import *  # noqa: E402, F403

pytestmark = []
