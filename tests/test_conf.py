from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from eventcast.conf import Conf, conf

DEFAULTS = {
    "MAX_CHANNEL_LENGTH": 1024,
    "MAX_MESSAGE_SIZE": 1024 * 1024,
    "MAX_BODY_SIZE": 8 * 1024 * 1024,
    "SUBSCRIBER_BUFFER": 1024 * 1024,
    "SLOW_SUBSCRIBERS": "close",
    "TRANSPORT": "auto",
    "CHANNEL_PAGE": True,
    "PATTERN_SUBSCRIPTIONS": True,
    "AUTHORIZATION": "eventcast.authorization.Open",
    "KEYS": [],
    "SESSIONS": [],
    "RULES": [],
    "RECHECK_INTERVAL": 30,
    "ALLOWED_ORIGINS": [],
    "WEBSOCKET_PUBLISH": False,
    "URL": "http://127.0.0.1:8000",
    "MAX_SUBSCRIBERS": 0,
    "MAX_SUBSCRIBERS_PER_CHANNEL": 0,
    "MAX_SUBSCRIBERS_PER_ADDRESS": 0,
    "MAX_PATTERNS": 1000,
    "MAX_INBOUND_FRAMES": 200,
    "MAX_INBOUND_BYTES": 256 * 1024,
    "PUBLISH_RATE": 0,
    "PUBLISH_BURST": 0,
    "TRUSTED_PROXIES": [],
    "HANDSHAKE_TIMEOUT": 30,
    "BODY_TIMEOUT": 30,
}


def test_defaults_are_pinned_for_every_setting() -> None:
    names = {name for name in vars(Conf) if name.isupper()} - {"CHANNEL_LAYER"}
    assert {name: getattr(conf, name) for name in names} == DEFAULTS


@pytest.mark.parametrize(("name", "value"), [(name, 7) for name in DEFAULTS])
def test_setting_is_read_at_access_time(name: str, value: Any) -> None:
    with override_settings(EVENTCAST={name: value}):
        assert getattr(conf, name) == value
    assert getattr(conf, name) == DEFAULTS[name]


def test_default_holds_for_what_eventcast_dict_leaves_out() -> None:
    with override_settings(EVENTCAST={"TRANSPORT": "asgi"}):
        assert DEFAULTS["MAX_MESSAGE_SIZE"] == conf.MAX_MESSAGE_SIZE


def test_default_body_holds_the_largest_message_percent_encoded() -> None:
    assert 3 * conf.MAX_MESSAGE_SIZE + len("data=") <= conf.MAX_BODY_SIZE


@override_settings(CHANNEL_LAYERS={"default": {}, "eventcast": {}})
def test_channel_layer_prefers_its_own_alias() -> None:
    assert conf.CHANNEL_LAYER == "eventcast"


@override_settings(CHANNEL_LAYERS={"default": {}})
def test_channel_layer_falls_back_to_default_alias() -> None:
    assert conf.CHANNEL_LAYER == "default"


def test_channel_layer_needs_no_setting(settings: Any) -> None:
    del settings.CHANNEL_LAYERS
    assert conf.CHANNEL_LAYER == "default"
