"""System checks: one test for every mistake they find, and one that they are bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import override_settings

from eventcast import checks

OURS = "eventcast.layers.InMemoryChannelLayer"


def ids(eventcast: Any = None, layers: Any = None) -> list[str]:
    """The ids of what is found with these settings, by the registry."""
    changed = {} if eventcast is None else {"EVENTCAST": eventcast}
    changed |= {} if layers is None else {"CHANNEL_LAYERS": layers}
    with override_settings(**changed):
        return [str(message.id) for message in run_checks(tags=["eventcast"])]


def test_settings_of_the_tests_are_right() -> None:
    call_command("check", fail_level="WARNING")
    assert ids() == []


@pytest.mark.parametrize("value", [[], "x", None, 7])
def test_eventcast_that_is_no_dict_is_an_error(value: Any) -> None:
    found = ids(eventcast=value) if value is not None else ids_of_none()
    assert found == ["eventcast.E001"]


def ids_of_none() -> list[str]:
    with override_settings(EVENTCAST=None):
        return [str(message.id) for message in run_checks(tags=["eventcast"])]


@pytest.mark.parametrize("name", ["MAX_MESAGE_SIZE", "max_message_size", "CHANNEL_LAYER"])
def test_unknown_setting_is_a_warning(name: str) -> None:
    assert ids(eventcast={name: 1}) == ["eventcast.W001"]


@pytest.mark.parametrize("value", [0, -1, "1024", 1.5, None, True])
@pytest.mark.parametrize("name", ["MAX_CHANNEL_LENGTH", "MAX_MESSAGE_SIZE", "MAX_BODY_SIZE", "SUBSCRIBER_BUFFER"])
def test_size_that_is_no_positive_number_is_an_error(name: str, value: Any) -> None:
    assert ids(eventcast={name: value}) == ["eventcast.E002"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLOW_SUBSCRIBERS", "wait"),
        ("TRANSPORT", "fast"),
        ("TRANSPORT", None),
        ("CHANNEL_PAGE", "off"),
        ("CHANNEL_PAGE", 1),
        ("CHANNEL_PAGE", []),
    ],
)
def test_choice_that_is_none_of_them_is_an_error(name: str, value: Any) -> None:
    assert ids(eventcast={name: value}) == ["eventcast.E002"]


@pytest.mark.parametrize(
    "value", ["", "127.0.0.1:8000", "http://", "ws://127.0.0.1:8000", "http://h:port", "ftp://h", b"http://h", None, 80]
)
def test_url_that_is_none_of_http_is_an_error(value: Any) -> None:
    assert ids(eventcast={"URL": value}) == ["eventcast.E002"]


def test_every_setting_with_a_right_value_is_right() -> None:
    right = {name: checks.CHOICES[name][-1] if name in checks.CHOICES else 4096 for name in checks.SETTINGS}
    assert ids(eventcast=right | {"URL": "https://events.example.com/live/"}) == []


@pytest.mark.parametrize("alias", ["default", "eventcast"])
def test_stock_in_memory_layer_is_a_warning(alias: str) -> None:
    assert ids(layers={alias: {"BACKEND": "channels.layers.InMemoryChannelLayer"}}) == ["eventcast.W002"]


def test_stock_layer_that_is_not_ours_to_use_is_left_alone() -> None:
    layers = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}, "eventcast": {"BACKEND": OURS}}
    assert ids(layers=layers) == []


def test_layer_that_cannot_be_imported_is_an_error() -> None:
    assert ids(layers={"default": {"BACKEND": "no_such_package.Layer"}}) == ["eventcast.E003"]


def test_ids_are_unique() -> None:
    source = Path(checks.__file__).read_text()
    used = re.findall(r'id="(eventcast\.[EW]\d{3})"', source)
    # E002 is one kind of mistake, found for three kinds of settings.
    assert sorted(set(used)) == [
        "eventcast.E001",
        "eventcast.E002",
        "eventcast.E003",
        "eventcast.W001",
        "eventcast.W002",
        "eventcast.W003",
    ]
    assert used.count("eventcast.E002") == 3
    assert len(used) == 8


@pytest.mark.parametrize(
    "path", ["no_such_project.asgi.application", "tests.no_such_module.application", "application"]
)
def test_application_that_is_not_there_is_a_warning(path: str) -> None:
    with override_settings(ASGI_APPLICATION=path):
        assert ids() == ["eventcast.W003"]


def test_application_that_is_there_is_right() -> None:
    with override_settings(ASGI_APPLICATION="tests.site.asgi.application"):
        assert ids() == []


@pytest.mark.parametrize(("apps", "expected"), [(["daphne", "eventcast"], ["eventcast.W003"]), (["eventcast"], [])])
def test_application_is_missed_where_daphnes_runserver_needs_it(apps: list[str], expected: list[str]) -> None:
    with override_settings(ASGI_APPLICATION=None):
        settings.INSTALLED_APPS, before = apps, settings.INSTALLED_APPS
        try:
            assert [message.id for message in checks.check_application()] == expected
        finally:
            settings.INSTALLED_APPS = before
