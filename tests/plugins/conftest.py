"""Plugins that are installed for the tests, with pip, into directories of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Installed:
    """A directory of distributions, and programs that see it."""

    def __init__(self, directory):
        self.directory = directory

    def install(self, source):
        """Install a distribution from a directory, without asking the network for anything."""
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        command += ["--disable-pip-version-check", "--target", str(self.directory), str(source)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr

    def run(self, *arguments, **environment):
        """What ``python ARGUMENTS`` prints, run where the plugins are found."""
        path = os.pathsep.join([str(self.directory), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        result = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": path, **environment},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def conformance(self, device, *options):
        """Run the conformance suite, or a part of it."""
        # the plugin is loaded by its entry point where tensorgrad is installed, and by name where it is run in place
        pytest_options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "_tensorgrad_pytest", "-c", os.devnull]
        pytest_options += ["--rootdir", str(self.directory), "-W", "error::pytest.PytestUnknownMarkWarning"]
        suite = ["--pyargs", "tensorgrad.testing.device_conformance", "--device", device]
        return self.run(*pytest_options, *suite, *options)


@pytest.fixture
def installed(tmp_path):
    return Installed(tmp_path)
