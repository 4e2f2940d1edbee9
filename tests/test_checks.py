"""System checks: one test for each mistake that they find."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.test import override_settings

from eventcast import checks, edits
from eventcast.conf import CLOSING, SETTINGS, conf
from tests.conftest import MakeApp

OURS = {"BACKEND": "eventcast.layers.InMemoryChannelLayer"}
STOCK = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
CORE: dict[str, Any] = {"BACKEND": "channels_redis.core.RedisChannelLayer"}
PATIENT = {"address": "redis://127.0.0.1:6379/0", "socket_timeout": 30}
SHARED = {"BACKEND": "eventcast.layers.RedisChannelLayer", "CONFIG": {"hosts": [PATIENT]}}
PUBSUB = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}
GOOD_KEY = "0123456789abcdef"

# One value for each way to be wrong, by setting and id.
WRONG: list[tuple[str, str, Any]] = [
    ("eventcast.W001", "MAX_MESAGE_SIZE", 1),
    ("eventcast.W001", "CHANNEL_LAYER", "default"),
    *(("eventcast.E002", "MAX_MESSAGE_SIZE", value) for value in (0, -1, "1024", 1.5, None, True)),
    *(("eventcast.E002", "MAX_SUBSCRIBERS", value) for value in (-1, None, True)),
    *(("eventcast.E002", name, value) for name in ("MAX_PENDING_BYTES", "DRAIN") for value in (-1, 0.5, None)),
    ("eventcast.E002", "BODY_TIMEOUT", 0),
    ("eventcast.E002", "SLOW_SUBSCRIBERS", "wait"),
    *(("eventcast.E002", "CHANNEL_PAGE", value) for value in ("off", 1, [])),
    *(("eventcast.E002", "TRUSTED_PROXIES", value) for value in ("127.0.0.1", ["proxy.example"], [7], [[]], None)),
    *(
        ("eventcast.E002", "URL", value)
        for value in ("", "127.0.0.1:8000", "http://", "ws://127.0.0.1:8000", "http://h:port", b"http://h", None)
    ),
    *(("eventcast.E010", "ALLOWED_ORIGINS", value) for value in ("https://app.example", None, {"https://a": True})),
    *(("eventcast.E004", "AUTHORIZATION", value) for value in ("", "Keys", "eventcast.engine.hub.Hub", None)),
]

# One value for each way in which the settings of a class of eventcast.authorization can be wrong.
WRONG_FOR_AUTHORIZATION: list[tuple[str, Any]] = [
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
    ("Sessions", [{"path": "/a", "subscribe": "all"}]),
    ("Sessions", [{"path": "/a", "publish": True}]),
    ("Sessions", [{"path": "/a", "may": "staff"}]),
    ("Sessions", [{"path": "/a", "subscribe": "owner"}]),
    ("Sessions", [{"path": "/<user.pk>/<user.pk>", "subscribe": "owner"}]),
    ("Sessions", [{"path": "/<user.name>", "subscribe": "staff"}]),
    ("Rules", {}),
    ("Rules", ["/a"]),
    ("Rules", [("a", "eventcast.authorization.Open")]),
    ("Rules", [("/a", "eventcast.authorization.Missing")]),
    ("Rules", [("/a", "eventcast.authorization.Rules")]),
    ("Rules", [("/a", None)]),
    ("Rules", [("/a", {"listen": "eventcast.authorization.Open"})]),
]


def findings(*, deploy: bool = False) -> list[CheckMessage]:
    found = run_checks(tags=["eventcast"], include_deployment_checks=deploy)
    return [message for message in found if not message.is_silenced()]


def ids(*, deploy: bool = False, **changed: Any) -> list[str]:
    """The ids of all findings with the changed settings, from Django's registry of checks."""
    with override_settings(**changed):
        return [str(message.id) for message in findings(deploy=deploy)]


def test_settings_of_the_tests_are_right() -> None:
    call_command("check", fail_level="WARNING")
    assert ids() == []


def test_ids_are_unique() -> None:
    source = "".join(Path(str(module.__file__)).read_text() for module in (checks, edits))
    used = re.findall(r'id="(eventcast\.[EW]\d{3})"', source)
    assert len(used) == len(set(used)) == 22


# --- EVENTCAST --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[], None])
def test_eventcast_that_is_no_dict_is_an_error(value: Any) -> None:
    assert ids(EVENTCAST=value, deploy=True) == ["eventcast.E001"]


@pytest.mark.parametrize(("expected", "name", "value"), WRONG)
def test_wrong_value_is_found(expected: str, name: str, value: Any) -> None:
    assert ids(EVENTCAST={name: value}) == [expected]


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - checks.CHECKED_ELSEWHERE))
def test_value_of_every_setting_is_checked(name: str) -> None:
    assert ids(EVENTCAST={name: object()}) == ["eventcast.E002"]


def test_defaults_are_right() -> None:
    assert ids(EVENTCAST={name: getattr(conf, name) for name in set(SETTINGS).difference(CLOSING)}) == []


def test_right_values_are_right() -> None:
    right: dict[str, Any] = {
        name: setting.choices[-1] if setting.choices else setting.least and 4096 for name, setting in SETTINGS.items()
    }
    right |= {
        "URL": "https://events.example.com/live/",
        "KEY": "secret",
        "TRUSTED_PROXIES": ("127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"),
        "ALLOWED_ORIGINS": [
            "HTTP://A.example:8000",
            "http://[::1]:80",
            "https://*.a.b",
            "*.a:81",
            "*",
            "null",
            "app://x",
        ],
        "AUTHORIZATION": "eventcast.authorization.Rules",
        "KEYS": [{"key": "sha256:" + 64 * "a"}, {"key": GOOD_KEY, "name": "x", "publish": ["/a"]}],
        "SESSIONS": [{"path": "/a/<path:b>", "publish": "staff", "subscribe": "shop.view_order"}],
        "RULES": [
            ("/a", "eventcast.authorization.Keys"),
            ["/b/<path:any>", {"publish": None, "subscribe": "eventcast.authorization.Sessions"}],
        ],
    }
    assert ids(EVENTCAST=right) == []


# --- authorization ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["KEYS", "SESSIONS", "RULES", "AUTHORISATION", "authorization"])
@pytest.mark.parametrize("also", [{}, {"AUTHORIZATION": "eventcast.authorization.Open"}])
def test_setting_that_was_to_close_an_open_server_is_an_error(name: str, also: dict[str, str]) -> None:
    assert "eventcast.E006" in ids(EVENTCAST={name: [], **also})


@pytest.mark.parametrize("name", ["KEYS", "AUTHORISATION"])
def test_setting_beside_an_authorization_is_no_such_error(name: str) -> None:
    assert "eventcast.E006" not in ids(EVENTCAST={name: [], "AUTHORIZATION": "eventcast.authorization.Tokens"})


@pytest.mark.parametrize(("name", "value"), WRONG_FOR_AUTHORIZATION)
def test_wrong_setting_of_authorization_is_an_error(name: str, value: Any) -> None:
    wrong = {"AUTHORIZATION": f"eventcast.authorization.{name}", name.upper(): value}
    assert ids(EVENTCAST=wrong) == ["eventcast.E005"]


def test_keys_of_a_rule_are_checked_and_not_shown() -> None:
    rules = [("/a", "eventcast.authorization.Keys")]
    wrong = {"AUTHORIZATION": "eventcast.authorization.Rules", "RULES": rules, "KEYS": [{"key": "secret"}]}
    with override_settings(EVENTCAST=wrong):
        (found,) = findings()
    assert found.id == "eventcast.E005"
    assert "secret" not in str(found)


@pytest.mark.parametrize("name", ["Keys", "Sessions", "Rules"])
def test_empty_list_of_permissions_is_a_warning(name: str) -> None:
    assert ids(EVENTCAST={"AUTHORIZATION": f"eventcast.authorization.{name}"}) == ["eventcast.W005"]


@pytest.mark.parametrize(
    "configured",
    [
        {"AUTHORIZATION": "eventcast.authorization.Tokens"},
        {"AUTHORIZATION": "eventcast.authorization.Sessions", "SESSIONS": [{"path": "/a", "subscribe": "staff"}]},
    ],
)
def test_permission_for_one_client_is_no_such_warning(configured: dict[str, Any]) -> None:
    assert ids(EVENTCAST=configured) == []


@pytest.mark.parametrize(("name", "expected"), [("Open", ["eventcast.W004"]), ("Keys", []), ("Missing", [])])
def test_open_server_is_a_warning_of_a_deployment(name: str, expected: list[str]) -> None:
    configured = {"AUTHORIZATION": f"eventcast.authorization.{name}"}
    assert "eventcast.W004" not in ids(EVENTCAST=configured)
    assert [each for each in ids(EVENTCAST=configured, deploy=True) if each == "eventcast.W004"] == expected


# --- origins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        "https://app.example/",
        "https://app.example/live",
        "app.example",
        "wss://app.example",
        "wss://*.app.example",
        "https://bücher.example",
        "https://app.*",
        None,
    ],
)
def test_entry_that_is_no_origin_is_an_error(entry: Any) -> None:
    with override_settings(EVENTCAST={"ALLOWED_ORIGINS": ["https://right.example", entry]}):
        (message,) = findings()
    assert (message.id, message.msg.count(repr(entry))) == ("eventcast.E011", 1)
    assert "https://app.example" in str(message.hint)


@pytest.mark.parametrize(("entries", "expected"), [(["https://a", "*"], ["eventcast.W010"]), (["https://*.a"], [])])
def test_any_origin_is_a_warning_of_a_deployment(entries: list[str], expected: list[str]) -> None:
    configured = {"ALLOWED_ORIGINS": entries}
    assert ids(EVENTCAST=configured) == []
    assert [each for each in ids(EVENTCAST=configured, deploy=True) if each == "eventcast.W010"] == expected


# --- other settings and files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({"default": STOCK}, ["eventcast.W002"]),
        ({"eventcast": STOCK}, ["eventcast.W002"]),
        ({"default": STOCK, "eventcast": OURS}, []),
        ({"default": CORE | {"CONFIG": {"hosts": [PATIENT]}}}, ["eventcast.W002"]),
        ({"default": CORE | {"CONFIG": {"capacity": 10_000, "hosts": [PATIENT]}}}, []),
        ({"default": CORE | {"CONFIG": {"capacity": 10_000, "hosts": [PATIENT["address"]]}}}, ["eventcast.W012"]),
        (
            {"default": CORE | {"CONFIG": {"capacity": 10_000, "hosts": [PATIENT | {"socket_timeout": 5}]}}},
            ["eventcast.W012"],
        ),
        ({"default": CORE | {"CONFIG": {"capacity": 10_000, "hosts": [PATIENT["address"] + "?socket_timeout=9"]}}}, []),
        ({"default": SHARED}, []),
        ({"default": CORE | {"CONFIG": {}}, "eventcast": PUBSUB}, []),
        ({"events": OURS}, ["eventcast.W006"]),
        ({"default": {"BACKEND": "no_such_package.Layer"}}, ["eventcast.E003"]),
    ],
)
def test_channel_layer_is_checked(layers: dict[str, dict[str, Any]], expected: list[str]) -> None:
    assert ids(CHANNEL_LAYERS=layers) == expected


def test_listeners_that_cannot_be_imported_are_a_warning(make_app: MakeApp) -> None:
    make_app("shop", "import no_such_package")
    (message,) = findings()
    assert message.id == "eventcast.W020"
    assert "shop/listeners.py, line 1: ModuleNotFoundError: No module named 'no_such_package'" in message.msg
    assert "eventcast listen" in str(message.hint)


# --- workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"CELERY_BROKER_URL": "redis://"}, ["eventcast.W030"]),
        ({"CELERY_BROKER_URL": "redis://", "EVENTCAST": {"URL": "http://127.0.0.1:8000"}}, []),
        ({"RQ_QUEUES": {}, "CHANNEL_LAYERS": {"eventcast": {"BACKEND": "tests.test_elsewhere.Spanning"}}}, []),
    ],
    ids=str,
)
def test_task_queue_without_a_road_is_found(options: dict[str, Any], expected: list[str]) -> None:
    with override_settings(**options):
        assert [message.id for message in checks.check_workers()] == expected
