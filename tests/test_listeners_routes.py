"""What the path of a listener means, and what is asked of a server for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import converters, register_converter

from eventcast.engine import patterns
from eventcast.routes import Route


class EvenConverter:
    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        if int(value) % 2:
            raise ValueError
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class OptionalConverter(EvenConverter):
    regex = "[0-9]*"


@pytest.fixture(autouse=True)
def site_converters() -> Iterator[None]:
    before = dict(converters.REGISTERED_CONVERTERS)
    register_converter(EvenConverter, "even")
    register_converter(OptionalConverter, "optional")
    yield
    converters.REGISTERED_CONVERTERS.clear()
    converters.REGISTERED_CONVERTERS.update(before)
    converters.get_converters.cache_clear()


@pytest.mark.parametrize("path", ["/", "/orders", "/a b/张/", "//a", "/a%2Fb"])
def test_route_without_converters_is_one_channel(path: str) -> None:
    route = Route(path)
    assert (route.pattern, route.match(path), route.match(path + "x")) == (None, {}, None)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/orders/<int:id>", "/orders/<int:id>"),
        ("/<a>/x-<slug:b>.txt", "/<a>/x-<slug:b>.txt"),
        ("/files/<path:rest>", "/files/<path:rest>"),
        ("/days/<even:a>", "/days/<path:rest>"),
        ("/days/d<even:a>/<int:b>", "/days/d<path:rest>"),
        ("/<int:x>/<int:a>-<int:b>", "/<int:x>/<path:rest>"),
        ("/<path:a>/end", "/<path:rest>"),
        ("/a/<path:b>/c/<even:d>", "/a/<path:rest>"),
        ("/a/<optional:b>", "/a<path:rest>"),
        ("/<int:a>/<optional:b>", "/<path:rest>"),
        ("/a<optional:b>/c", "/a<path:rest>"),
    ],
)
def test_pattern_is_the_tightest_that_a_server_can_match(path: str, pattern: str) -> None:
    assert Route(path).pattern == pattern


def test_pattern_has_no_more_converters_than_a_server_allows() -> None:
    converters = [f"/<int:a{number}>" for number in range(17)]
    assert Route("".join(converters)).pattern == "".join(converters[:15]) + "/<path:rest>"


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ("/days/<even:a>", "/days/4"),
        ("/days/d<even:a>/<int:b>", "/days/d4/5"),
        ("/<int:x>/<int:a>-<int:b>", "/1/2-3"),
        ("/<path:a>/end", "/a/b/end"),
        ("/a/<optional:b>", "/a/"),
        ("/<int:a>/<optional:b>", "/1/"),
        ("/a<optional:b>/c", "/a/c"),
    ],
)
def test_pattern_has_every_channel_of_the_route(path: str, channel: str) -> None:
    route = Route(path)
    assert route.pattern is not None
    assert route.has(channel)
    assert patterns.parse(route.pattern).matches(channel)


def test_pattern_does_without_a_converter_that_the_site_has_replaced() -> None:
    converters.REGISTERED_CONVERTERS["int"] = OptionalConverter()
    converters.get_converters.cache_clear()
    assert Route("/a/b/<int:id>").pattern == "/a/b<path:rest>"


@pytest.mark.parametrize(
    ("channel", "found"),
    [
        ("/a/4/x", {"number": 4, "name": "x"}),
        ("/a/3/x", None),
        ("/a/4/x/y", None),
        ("/b/a/4/x", None),
        ("/a/4/张 三", {"number": 4, "name": "张 三"}),
    ],
)
def test_match_returns_what_the_converters_make(channel: str, found: dict[str, Any] | None) -> None:
    assert Route("/a/<even:number>/<name>").match(channel) == found


def test_has_tells_others_channels_from_its_own() -> None:
    route = Route("/a/<even:number>")
    assert [channel for channel in ("/a/4", "/a/3", "/a/b", "/a/4/5") if route.has(channel)] == ["/a/4", "/a/3"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "absolute"),
        ("orders", "absolute"),
        (None, "absolute"),
        ("/a/<int:id", "converter is written"),
        ("/a/int:id>", "converter is written"),
        ("/a/<nothing:id>", "nothing"),
        ("/a/<int:1d>", "1d"),
        ("/a/<int:id>/<int:id>", "redefinition"),
        ("/a/<int: id>", "whitespace"),
        ("/" + "x" * 1024, "1024"),
    ],
)
def test_route_refuses_what_is_none(path: Any, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=reason):
        Route(path)
