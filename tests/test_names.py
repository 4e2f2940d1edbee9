from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from channels.layers import BaseChannelLayer
from channels_redis.core import RedisChannelLayer
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from eventcast.conf import conf
from eventcast.engine import names
from eventcast.exceptions import ChannelTooLong, InvalidChannel, ReservedChannel
from eventcast.http import channels
from eventcast.layers import InMemoryChannelLayer

PATHS = [
    ("/", "/"),
    ("/a", "/a"),
    ("/a/", "/a/"),
    ("/A", "/A"),
    ("//a/b", "//a/b"),
    ("/a//b", "/a//b"),
    ("/a;b", "/a;b"),
    ("/a;b=1/c", "/a;b=1/c"),
    ("/a.b/..c", "/a.b/..c"),
    ("/.../a.", "/.../a."),
    ("/a%20b", "/a b"),
    ("/a+b", "/a+b"),
    ("/a%2Fb", "/a/b"),
    ("/a%2fb", "/a/b"),
    ("/%E5%BC%A0%E4%B8%89", "/张三"),
    ("/%f0%9f%98%80", "/😀"),
    ("/a%0Ab", "/a\nb"),
    ("/a%00b", "/a\0b"),
    ("/a%3Fb", "/a?b"),
    ("/a%23b", "/a#b"),
    ("/a%25b", "/a%b"),
    ("/a%2525b", "/a%25b"),
    ("/%EF%BF%BD", "/\ufffd"),
    ("/a%zzb", "/a%zzb"),
    ("/a%", "/a%"),
    ("/a?b=c", "/a"),
    ("/a?b?c", "/a"),
    ("/?/b", "/"),
    ("/" + "x" * 1000, "/" + "x" * 1000),
]

SHA256_OF_A = "6a50dc8584134c7de537c0052ff6d236bf874355e050c90523e0c5ff2a543a28"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map(lambda text: "/" + text)
paths = texts.filter(lambda path: {".", ".."}.isdisjoint(path.split("/")))


@pytest.mark.parametrize(("target", "channel"), PATHS)
def test_target_names_its_decoded_path(target: str, channel: str) -> None:
    assert names.channel_from_target(target.encode()) == channel


@pytest.mark.parametrize("target", ["/%FF", "/%FE", "/%E4%B8", "/a%80", "/%ED%A0%80", "/%C0%AF"])
def test_target_is_refused_when_not_utf8(target: str) -> None:
    with pytest.raises(InvalidChannel, match="UTF-8"):
        names.channel_from_target(target.encode())


def test_target_is_refused_when_raw_bytes_are_not_utf8() -> None:
    with pytest.raises(InvalidChannel):
        names.channel_from_target(b"/\xff")


@pytest.mark.parametrize("target", ["", "a", "*", "http://host/a", "host:443", "?a", "a/b"])
def test_target_is_refused_when_no_absolute_path(target: str) -> None:
    with pytest.raises(InvalidChannel, match="begins with"):
        names.channel_from_target(target.encode())


@pytest.mark.parametrize("target", ["/.", "/..", "/./a", "/a/../b", "/a/..", "/%2E%2e/a", "/a/%2e", "/a%2F..%2Fb"])
def test_target_is_refused_when_a_segment_is_one_or_two_dots(target: str) -> None:
    with pytest.raises(InvalidChannel, match="segment"):
        names.channel_from_target(target.encode())


@given(paths)
def test_target_round_trips_whatever_is_percent_encoded(path: str) -> None:
    target = b"/" + quote_from_bytes(path[1:].encode(), safe="").encode()
    assert names.channel_from_target(target) == path


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_targets_share_a_channel_only_if_their_bytes_are_the_same(one: bytes, other: bytes) -> None:
    def channel(path: bytes) -> str | None:
        try:
            return names.channel_from_target(b"/" + quote_from_bytes(path, safe="").encode())
        except InvalidChannel:
            return None

    if one != other and channel(one) is not None:
        assert channel(one) != channel(other)


@given(paths)
def test_url_path_is_the_opposite_of_channel_from_target(path: str) -> None:
    assert names.channel_from_target(names.url_path(path).encode()) == path


@given(paths)
def test_url_path_is_plain_ascii_below_the_root(path: str) -> None:
    found = names.url_path(path)
    assert found.isascii()
    assert found.startswith("/")
    assert not found.startswith("//")
    assert not set(found) & set("?#; \n\\")


# --- scopes and requests ----------------------------------------------------------------------------------------------


def test_scope_raw_path_is_believed_before_path() -> None:
    # Daphne's decoded path of a WebSocket to //a/b is "/b".
    assert names.channel_from_scope({"raw_path": b"//a/b", "path": "/b"}) == "//a/b"


@pytest.mark.parametrize("extra", [{}, {"raw_path": None}, {"raw_path": b""}])
def test_scope_path_is_taken_as_decoded_without_raw_path(extra: dict[str, Any]) -> None:
    assert names.channel_from_scope({"path": "/a%20b?c", **extra}) == "/a%20b?c"


def test_scope_is_refused_when_server_replaced_bytes() -> None:
    with pytest.raises(InvalidChannel, match=r"U\+FFFD"):
        names.channel_from_scope({"path": "/\ufffd"})


def test_scope_query_string_is_no_part_of_the_channel() -> None:
    assert names.channel_from_scope({"raw_path": b"/a?b", "path": "/a"}) == "/a"


def test_request_takes_the_raw_path_of_its_scope() -> None:
    request = AsyncRequestFactory().get("/x")
    request.scope["raw_path"] = b"/a%2525"
    assert channels.channel_of(request) == "/a%25"


def test_request_takes_its_path_under_wsgi() -> None:
    assert channels.channel_of(RequestFactory().get("/a%20b")) == "/a b"


def test_request_keeps_the_script_name() -> None:
    assert channels.channel_of(RequestFactory().get("/a", SCRIPT_NAME="/app")) == "/app/a"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_check_channel_takes_the_longest() -> None:
    assert names.check_channel("/" + "a" * 1023)


def test_check_channel_refuses_a_byte_more() -> None:
    with pytest.raises(ChannelTooLong, match="1025 bytes"):
        names.check_channel("/" + "a" * 1024)


def test_check_channel_counts_bytes_not_characters() -> None:
    with override_settings(EVENTCAST={"MAX_CHANNEL_LENGTH": 6}), pytest.raises(ChannelTooLong, match="7 bytes"):
        names.check_channel("/张三")


def test_check_channel_takes_multibyte_name_at_the_limit() -> None:
    with override_settings(EVENTCAST={"MAX_CHANNEL_LENGTH": 7}):
        assert names.check_channel("/张三") == "/张三"


@pytest.mark.parametrize("channel", [None, 5, b"/a", "", "a", " /a"])
def test_check_channel_refuses_what_is_no_absolute_path(channel: Any) -> None:
    with pytest.raises(InvalidChannel):
        names.check_channel(channel)


def test_check_channel_refuses_surrogates() -> None:
    with pytest.raises(InvalidChannel, match="surrogates"):
        names.check_channel("/\ud800")


@pytest.mark.parametrize("channel", ["/live/-/a", "/live/-/", "/live//-/a", "/live///-/a"])
def test_check_not_reserved_refuses_the_servers_own(channel: str) -> None:
    with pytest.raises(ReservedChannel):
        names.check_not_reserved(channel, "/live/")


@pytest.mark.parametrize("channel", ["/live/-", "/live/a/-/b", "/live/-a/", "/live/--/", "/live/", "/live/a-/"])
def test_check_not_reserved_lets_others_pass(channel: str) -> None:
    assert names.check_not_reserved(channel, "/live/") == channel


# --- groups -----------------------------------------------------------------------------------------------------------


@given(paths)
def test_group_name_is_legal_in_every_layer(path: str) -> None:
    group = names.group_name(path)
    for layer in (BaseChannelLayer, InMemoryChannelLayer, RedisChannelLayer):
        assert layer.group_name_regex.match(group)
    assert len(group) < 100


@given(paths)
def test_group_name_is_ascii_and_stays_in_one_line(path: str) -> None:
    assert names.group_name(path).isascii()
    assert len(names.group_name(path).split()) == 1


@given(st.lists(paths, unique=True, max_size=20))
def test_group_name_is_injective(found: list[str]) -> None:
    assert len({names.group_name(path) for path in found}) == len(found)


@pytest.mark.parametrize("one", ["/a", "/a/", "/A", "//a", "/a%20", "/a ", "/a\n", "/a\0", "/á", "/a\u0301"])
def test_group_name_differs_for_neighbours(one: str) -> None:
    others = {"/a", "/a/", "/A", "//a", "/a%20", "/a ", "/a\n", "/a\0", "/á", "/a\u0301"} - {one}
    assert names.group_name(one) not in {names.group_name(other) for other in others}


def test_group_name_is_the_same_in_every_process() -> None:
    # Processes of different versions share a Redis: what this gives may not change.
    assert names.group_name("/a") == f"eventcast.{SHA256_OF_A}"


def test_limits_leave_room_for_a_thousand_characters() -> None:
    assert conf.MAX_CHANNEL_LENGTH >= 1001
