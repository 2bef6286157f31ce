"""What pytest must know of `tensorgrad.testing.device_conformance` before it reads the command line.

A module of its own at the top, since pytest imports it in every run: it imports nothing.
"""


def pytest_addoption(parser):
    """Add ``--device``, unless another plugin has one: any will do that holds a device type."""
    try:
        parser.addoption(
            "--device",
            action="store",
            default=None,
            metavar="NAME",
            help="the device type that tensorgrad.testing.device_conformance tests, such as 'cuda' or 'opencl:1'",
        )
    except ValueError:
        return


def pytest_configure(config):
    """Declare the suite's marker."""
    config.addinivalue_line("markers", "smoke: a small part of the device conformance suite that says most")
