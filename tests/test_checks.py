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
from tests.conftest import MakeApp

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


@pytest.mark.parametrize("value", [-1, "10", 1.5, None, True])
@pytest.mark.parametrize("name", [*sorted(checks.COUNTS), "BODY_TIMEOUT", "HANDSHAKE_TIMEOUT"])
def test_limit_that_is_no_number_is_an_error(name: str, value: Any) -> None:
    assert ids(eventcast={name: value}) == ["eventcast.E002"]


@pytest.mark.parametrize("name", sorted(checks.COUNTS))
def test_limit_may_be_none(name: str) -> None:
    assert ids(eventcast={name: 0}) == []


@pytest.mark.parametrize("name", ["BODY_TIMEOUT", "HANDSHAKE_TIMEOUT"])
def test_time_must_be_some(name: str) -> None:
    assert ids(eventcast={name: 0}) == ["eventcast.E002"]


@pytest.mark.parametrize("value", ["127.0.0.1", ["proxy.example.com"], ["10.0.0.0/33"], [7, None], [[]], None, {}])
def test_proxies_that_are_no_networks_are_an_error(value: Any) -> None:
    assert ids(eventcast={"TRUSTED_PROXIES": value}) == ["eventcast.E002"]


@pytest.mark.parametrize("value", [[], ["127.0.0.1"], ("10.0.0.0/8", "fd00::/8", "unix")])
def test_proxies_that_are_networks_are_right(value: Any) -> None:
    assert ids(eventcast={"TRUSTED_PROXIES": value}) == []


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
    right |= {
        "URL": "https://events.example.com/live/",
        "TRUSTED_PROXIES": ["127.0.0.1"],
        "ALLOWED_ORIGINS": ["https://app.example"],
        "AUTHORIZATION": "eventcast.authorization.Rules",
        "KEYS": [{"key": "sha256:" + 64 * "a"}, {"key": "0123456789abcdef", "name": "x", "publish": ["/a"]}],
        "SESSIONS": [{"path": "/a/<path:b>", "publish": "staff", "subscribe": "shop.view_order"}],
        "RULES": [
            ("/a", "eventcast.authorization.Keys"),
            ["/b/<path:any>", {"publish": None, "subscribe": "eventcast.authorization.Sessions"}],
        ],
    }
    assert ids(eventcast=right) == []


@pytest.mark.parametrize("path", ["", "Keys", "eventcast.authorization.Nobody", "eventcast.engine.hub.Hub", None, 7])
def test_authorization_that_is_no_class_of_one_is_an_error(path: Any) -> None:
    assert ids(eventcast={"AUTHORIZATION": path}) == ["eventcast.E004"]


@pytest.mark.parametrize("name", ["KEYS", "SESSIONS", "RULES", "AUTHORISATION", "AUTHORIZATIONS", "authorization"])
@pytest.mark.parametrize("also", [{}, {"AUTHORIZATION": "eventcast.authorization.Open"}])
def test_setting_that_was_to_close_an_open_server_is_an_error(name: str, also: dict[str, str]) -> None:
    assert "eventcast.E006" in ids(eventcast={name: [], **also})


@pytest.mark.parametrize("name", ["KEYS", "AUTHORISATION"])
def test_setting_beside_one_that_closes_is_not_missed(name: str) -> None:
    assert "eventcast.E006" not in ids(eventcast={name: [], "AUTHORIZATION": "eventcast.authorization.Tokens"})


GOOD_KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Keys", {}),
        ("Keys", [GOOD_KEY]),
        ("Keys", [{"name": "x"}]),
        ("Keys", [{"key": GOOD_KEY[1:]}]),
        ("Keys", [{"key": GOOD_KEY + " "}]),
        ("Keys", [{"key": GOOD_KEY + "é"}]),
        ("Keys", [{"key": "sha256:123"}]),
        ("Keys", [{"key": GOOD_KEY}, {"key": GOOD_KEY}]),
        ("Keys", [{"key": GOOD_KEY, "name": 1}]),
        ("Keys", [{"key": GOOD_KEY, "publish": "/a"}]),
        ("Keys", [{"key": GOOD_KEY, "publish": ["a"]}]),
        ("Keys", [{"key": GOOD_KEY, "subscribe": ["/<date:x>"]}]),
        ("Keys", [{"key": GOOD_KEY, "subscibe": []}]),
        ("Sessions", {}),
        ("Sessions", ["/a"]),
        ("Sessions", [{"subscribe": "staff"}]),
        ("Sessions", [{"path": "/<a><b>"}]),
        ("Sessions", [{"path": "/a", "subscribe": "everybody"}]),
        ("Sessions", [{"path": "/a", "publish": True}]),
        ("Sessions", [{"path": "/a", "may": "staff"}]),
        ("Rules", {}),
        ("Rules", ["/a"]),
        ("Rules", [("a", "eventcast.authorization.Open")]),
        ("Rules", [("/a", "eventcast.authorization.Nobody")]),
        ("Rules", [("/a", "eventcast.authorization.Rules")]),
        ("Rules", [("/a", None)]),
        ("Rules", [("/a", {"listen": "eventcast.authorization.Open"})]),
    ],
)
def test_settings_of_authorization_that_mean_nothing_are_an_error(name: str, value: Any) -> None:
    found = ids(eventcast={"AUTHORIZATION": f"eventcast.authorization.{name}", name.upper(): value})
    assert found == ["eventcast.E005"]


def test_keys_named_by_a_rule_are_checked_too() -> None:
    rules = [("/a", "eventcast.authorization.Keys")]
    wrong = {"AUTHORIZATION": "eventcast.authorization.Rules", "RULES": rules, "KEYS": [{"key": "short"}]}
    assert ids(eventcast=wrong) == ["eventcast.E005"]


def test_key_is_not_shown_by_the_check() -> None:
    with override_settings(EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Keys", "KEYS": [{"key": "secret"}]}):
        (found,) = run_checks(tags=["eventcast"])
    assert "secret" not in str(found)


@pytest.mark.parametrize(("name", "expected"), [("Open", ["eventcast.W004"]), ("Keys", []), ("Nobody", [])])
def test_server_that_is_open_to_everybody_is_a_warning_where_it_is_deployed(name: str, expected: list[str]) -> None:
    with override_settings(EVENTCAST={"AUTHORIZATION": f"eventcast.authorization.{name}"}):
        assert [message.id for message in checks.check_closed()] == expected
        assert "eventcast.W004" not in ids()


@pytest.mark.parametrize("value", ["https://app.example", "*", None, {"https://app.example": True}, 1])
def test_origins_that_are_no_list_are_an_error(value: Any) -> None:
    assert ids(eventcast={"ALLOWED_ORIGINS": value}) == ["eventcast.E010"]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("https://app.example/", "ends with a slash"),
        ("https://app.example/live", "has a path"),
        ("https://app.example?x", "has a path"),
        ("app.example", "has no scheme"),
        ("localhost:8000", "has no scheme"),
        ("", "has no scheme"),
        ("wss://app.example", "has the scheme of a socket"),
        ("ws://*.example.com", "has the scheme of a socket"),
        ("https://bücher.example", "is not ASCII"),
        ("https://", "is no origin"),
        ("https://app.*", "is no origin"),
        ("https://*", "is no origin"),
        ("*.0.0.1", "has no scheme"),
        ("https://app.example:port", "is no origin"),
        ("https://app.example:65536", "is no origin"),
        ("https://app.example\n", "is no origin"),
        (b"https://app.example", "is no string"),
        (["https://app.example"], "is no string"),
        (None, "is no string"),
    ],
)
def test_entry_that_is_no_origin_is_an_error_that_says_why(entry: Any, why: str) -> None:
    with override_settings(EVENTCAST={"ALLOWED_ORIGINS": ["https://right.example", entry]}):
        (message,) = run_checks(tags=["eventcast"])
    assert (message.id, message.msg.count(why)) == ("eventcast.E011", 1)
    assert "https://app.example" in str(message.hint)


@pytest.mark.parametrize(
    "entry",
    ["https://a", "HTTP://A.example:8000", "http://[::1]:80", "https://*.a.b", "*.a", "*.a:81", "*", "null", "app://x"],
)
def test_entry_that_is_an_origin_is_right(entry: str) -> None:
    assert ids(eventcast={"ALLOWED_ORIGINS": (entry,)}) == []


@pytest.mark.parametrize(("entries", "expected"), [(["https://a", "*"], ["eventcast.W010"]), (["https://*.a"], [])])
def test_everybodys_pages_are_a_warning_of_a_deployment(entries: list[str], expected: list[str]) -> None:
    with override_settings(EVENTCAST={"ALLOWED_ORIGINS": entries}):
        assert run_checks(tags=["eventcast"]) == []
        deployed = run_checks(tags=["eventcast"], include_deployment_checks=True)
    assert [message.id for message in deployed if message.id == "eventcast.W010"] == expected


@pytest.mark.parametrize("alias", ["default", "eventcast"])
def test_stock_in_memory_layer_is_a_warning(alias: str) -> None:
    assert ids(layers={alias: {"BACKEND": "channels.layers.InMemoryChannelLayer"}}) == ["eventcast.W002"]


def test_stock_layer_that_is_not_ours_to_use_is_left_alone() -> None:
    layers = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}, "eventcast": {"BACKEND": OURS}}
    assert ids(layers=layers) == []


def test_layer_that_cannot_be_imported_is_an_error() -> None:
    assert ids(layers={"default": {"BACKEND": "no_such_package.Layer"}}) == ["eventcast.E003"]


def test_listeners_that_cannot_be_imported_are_a_warning(make_app: MakeApp) -> None:
    make_app("shop", "import no_such_package")
    (message,) = run_checks(tags=["eventcast"])
    assert message.id == "eventcast.W020"
    assert "shop/listeners.py, line 1: ModuleNotFoundError: No module named 'no_such_package'" in message.msg
    assert "eventcast listen" in str(message.hint)


def test_ids_are_unique() -> None:
    source = Path(checks.__file__).read_text()
    used = re.findall(r'id="(eventcast\.[EW]\d{3})"', source)
    # E002 is one kind of mistake, found for five kinds of settings.
    assert sorted(set(used)) == [
        "eventcast.E001",
        "eventcast.E002",
        "eventcast.E003",
        "eventcast.E004",
        "eventcast.E005",
        "eventcast.E006",
        "eventcast.E010",
        "eventcast.E011",
        "eventcast.W001",
        "eventcast.W002",
        "eventcast.W003",
        "eventcast.W004",
        "eventcast.W010",
        "eventcast.W020",
    ]
    assert used.count("eventcast.E002") == 5
    assert len(used) == len(set(used)) + 4


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
