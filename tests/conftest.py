"""For every test: nothing may be skipped where everything is there, as in CI."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

# No test is timed: a busy machine is no fault of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Taken out of the environment, so that the servers the tests start don't take it for a setting.
REQUIRE_ALL = os.environ.pop("EVENTCAST_REQUIRE_ALL", "") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: Any) -> None:
    if REQUIRE_ALL and report.skipped:
        *_, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nEVENTCAST_REQUIRE_ALL is set: a test that is skipped has failed."
