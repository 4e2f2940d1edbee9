from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from eventcast.conf import SETTINGS, conf


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_is_read_at_access_time(name: str) -> None:
    default = getattr(conf, name)
    with override_settings(EVENTCAST={name: 7}):
        assert getattr(conf, name) == 7
    assert getattr(conf, name) == default


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
