"""For all tests: how many run at once, which of them run alone, and that no test is skipped in CI."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import pytest
from django.apps import AppConfig, apps

from eventcast.security import refusals
from tests import side_by_side

# No test is timed: a busy machine is no fault of the code.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

# Taken out of the environment, so that the servers the tests start don't take it for a setting.
REQUIRE_ALL = os.environ.pop("EVENTCAST_REQUIRE_ALL", "") not in ("", "0")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share all tests out among workers. Tests that the command line names run in this process."""
    return side_by_side.workers() if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    # The workers inherit the environment, from which the variable was taken.
    node.workerinput["require_all"] = REQUIRE_ALL


def pytest_configure(config: pytest.Config) -> None:
    global REQUIRE_ALL
    # A shell that starts pytest in the background makes it ignore Ctrl-C, and the servers of the tests would, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    REQUIRE_ALL = getattr(config, "workerinput", {}).get("require_all", REQUIRE_ALL)


@pytest.fixture(autouse=True)
def untold_refusals() -> None:
    """The log of refusals is limited: start each test with an unused limit."""
    refusals._bursts.clear()


@pytest.fixture(autouse=True)
def subscribers_of_one_test() -> Iterator[None]:
    """Each test ends its subscribers: they would count in the limits of later tests, until they are garbage."""
    from eventcast.engine.quotas import quotas  # here, for Django is not set up when this file is read

    yield
    assert quotas.subscribers == 0


@pytest.fixture(autouse=True)
def no_warning_of_unheard_messages() -> None:
    """Publishing without a subscriber is no mistake here, and the warning would be in the log of the first test."""
    from eventcast import elsewhere  # here, for Django is not set up when this file is read

    elsewhere._nowhere.said_in = os.getpid()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    folder = side_by_side.shared_folder(item.config)
    with side_by_side.turn(folder, alone=item.get_closest_marker("alone") is not None):
        if folder is None:
            return (yield)  # started by hand: it may be watched, or told to take longer
        with time_limit(900 if item.get_closest_marker("slow") else 300):
            return (yield)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Fail what takes longer: a wait that has no bound of its own would stop the whole run."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"The test took {seconds} s.")

    handler = signal.signal(signal.SIGALRM, give_up)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, 60)  # once more after a minute, for the fixtures
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.location[2]}: {name}: {value}")


def _refuse_skip(report: Any) -> None:
    if REQUIRE_ALL and report.skipped:
        *_, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nEVENTCAST_REQUIRE_ALL is set: a test that is skipped has failed."


@pytest.fixture
def own_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hubs of tests before: one may be stopping, or be freed in the middle of a test and take its figures along."""
    from eventcast.engine import hub  # here, for Django is not set up when this file is read

    monkeypatch.setattr(hub, "_hubs", weakref.WeakKeyDictionary())
    monkeypatch.setattr(hub, "_all", [])


MakeApp = Callable[[str, str], AppConfig]


@pytest.fixture
def make_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeApp]:
    """Installs an app with a listeners.py: ``make_app("shop", "from eventcast import listener")``."""
    from eventcast.listeners import registry  # here, for Django is not set up when this file is read

    made = []

    def make_app(name: str, source: str) -> AppConfig:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "listeners.py").write_text(source)
        importlib.invalidate_caches()
        config = AppConfig(name, importlib.import_module(name))
        monkeypatch.setitem(apps.app_configs, name, config)
        made.append(name)
        return config

    monkeypatch.syspath_prepend(tmp_path)
    with mock.patch.dict(registry, clear=True):
        yield make_app
    for module in [module for module in sys.modules if module.partition(".")[0] in made]:
        del sys.modules[module]
