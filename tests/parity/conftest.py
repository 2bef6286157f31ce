"""Writes what the comparison found, for `tools/parity_report.py`, where the environment asks for it."""

import importlib.util
import json
import os

import pytest

from .expected import FEATURES

# Every module beside this one compares with PyTorch, and imports it: without it there is nothing to collect.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*.py"]

RESULTS = []


def pytest_runtest_logreport(report):
    if "/parity/" not in report.nodeid and not report.nodeid.startswith("parity/"):
        return
    if report.when == "call" or (report.outcome != "passed" and report.when == "setup"):
        entry = dict(report.user_properties)
        entry["test"] = report.nodeid
        entry["outcome"] = "expected" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        entry["reason"] = getattr(report, "wasxfail", "").removeprefix("reason: ")
        if report.failed:
            entry["failure"] = str(report.longrepr)[-2000:]
        RESULTS.append(entry)


def pytest_sessionfinish(session):
    path = os.environ.get("TENSORGRAD_PARITY_RESULTS")
    if path and not hasattr(session.config, "workerinput"):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(RESULTS, file, indent=1)


def pytest_collection_modifyitems(items):
    """A difference of a feature that `expected.py` records must be there: a test that begins to hold fails the run."""
    for item in items:
        reason = FEATURES.get(f"{item.path.name}::{item.name}")
        if reason and item.path.parent.name == "parity":
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
