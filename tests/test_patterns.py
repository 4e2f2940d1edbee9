"""Patterns: what they mean, what they refuse, and when one surely holds all of another."""

from __future__ import annotations

import pytest
from django.urls.resolvers import RoutePattern
from hypothesis import given
from hypothesis import strategies as st

from eventcast.engine import patterns
from eventcast.exceptions import ChannelTooLong, InvalidChannel, InvalidPattern

UUID = "075194d3-6885-417e-a8a8-6c931e272f00"


@pytest.mark.parametrize(
    ("pattern", "channel"),
    [
        ("/a", "/a"),
        ("/a/<x>", "/a/b"),
        ("/a/<str:x>", "/a/张三"),
        ("/a/<int:x>/c", "/a/42/c"),
        ("/a/b-<int:x>.log", "/a/b-7.log"),
        ("/<slug:x>", "/a-b_c"),
        ("/<uuid:x>", f"/{UUID}"),
        ("/a/<path:x>", "/a/b/c//"),
        ("/a/<path:x>", "/a/b\nc"),
        ("/a/v<path:x>", "/a/v1/b"),
        ("/<a>/<b>/", "/x/y/"),
        ("/a.b", "/a.b"),
    ],
)
def test_matches_channel(pattern: str, channel: str) -> None:
    assert patterns.parse(pattern).matches(channel)


@pytest.mark.parametrize(
    ("pattern", "channel"),
    [
        ("/a", "/a/"),
        ("/a", "/a\n"),
        ("/a/<x>", "/a/"),
        ("/a/<x>", "/a/b/c"),
        ("/a/<int:x>", "/a/b"),
        ("/<slug:x>", "/a.b"),
        ("/<uuid:x>", "/a"),
        ("/a/<path:x>", "/a/"),
        ("/a/<path:x>", "/a"),
        ("/a.b", "/axb"),
    ],
)
def test_matches_no_other_channel(pattern: str, channel: str) -> None:
    assert not patterns.parse(pattern).matches(channel)


@pytest.mark.parametrize(
    "text",
    [
        "/<date:x>",
        "/<:x>",
        "/<int:>",
        "/<int:a b>",
        "/<>",
        "/<int:x",
        "/int:x>",
        "/<<int:x>>",
        "/<int:a><int:b>",
        "/<int:a>-<int:b>",
        "/<path:a>/b",
        "/<path:a>.log",
        "/<a>/<int:a>",
        "/" + "/".join(f"<k{n}>" for n in range(17)),
        "/<x>" + "/a" * 32,
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InvalidPattern):
        patterns.parse(text)


@pytest.mark.parametrize("text", ["/<x>" + "/a" * 31, "/a" * 100, "/" * 500])
def test_parse_takes_many_segments(text: str) -> None:
    assert patterns.parse(text).text == text


def test_parse_refuses_what_is_no_path() -> None:
    with pytest.raises(InvalidChannel):
        patterns.parse("a/<x>")
    with pytest.raises(ChannelTooLong):
        patterns.parse("/" + "a" * 2000)


def test_literal_is_what_stands_before_the_first_converter() -> None:
    assert patterns.parse("/a/b-<x>/c").literal_prefix == "/a/b-"
    assert patterns.parse("/a").literal_prefix == "/a"


def test_equal_texts_are_equal_patterns() -> None:
    assert patterns.parse("/a/<x>") == patterns.parse("/a/<x>")
    assert patterns.parse("/a/<x>") != patterns.parse("/a/<str:x>")


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("/a", "/a"),
        ("/a/<x>", "/a/b"),
        ("/a/<x>", "/a/<int:y>"),
        ("/a/<int:x>", "/a/<int:y>"),
        ("/a/<int:x>", "/a/42"),
        ("/a/b<x>", "/a/bc<int:y>"),
        ("/<path:x>", "/a/<x>/<path:y>"),
        ("/<path:x>", "/a"),
        ("/a/<path:x>", "/a//"),
    ],
)
def test_covers(wide: str, narrow: str) -> None:
    assert patterns.parse(wide).covers(patterns.parse(narrow))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("/a", "/b"),
        ("/a/<int:x>", "/a/<x>"),
        ("/a/<x>", "/a/<path:x>"),
        ("/a/<x>", "/a/b/c"),
        ("/a/<path:x>", "/a/"),
        ("/a/<path:x>", "/<path:x>"),
        ("/a/<path:x>", "/a"),
        ("/a/<slug:x>", "/a/<uuid:x>"),  # true, but not told: each kind covers its own
    ],
)
def test_does_not_cover(narrow: str, wide: str) -> None:
    assert not patterns.parse(narrow).covers(patterns.parse(wide))


SEGMENTS = st.one_of(
    st.sampled_from(["", "a", "b", "ab", "1", "12", "a1", "\n"]),
    st.builds(
        "{}<{}:x>{}".format,
        st.sampled_from(["", "a", "1"]),
        st.sampled_from(["str", "int", "slug"]),
        st.sampled_from(["", "b", "1"]),
    ),
)


def with_names(text: str) -> str:
    """``text`` with a name of its own for each converter that is called x."""
    first, *others = text.split(":x>")
    return first + "".join(f":x{number}>{other}" for number, other in enumerate(others))


PATTERNS = st.builds(
    lambda segments, end: patterns.parse(with_names("/" + "/".join([*segments, *end]))),
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from([[], ["<path:p>"], ["a<path:p>"]]),
)
CHANNELS = st.lists(
    st.sampled_from(["", "a", "b", "ab", "1", "a1b", "11", "aab", "\n", "ä"]), min_size=1, max_size=4
).map(lambda segments: "/" + "/".join(segments))


@given(PATTERNS, PATTERNS, CHANNELS)
def test_what_is_covered_matches_nothing_else(wide: patterns.Pattern, narrow: patterns.Pattern, channel: str) -> None:
    if wide.covers(narrow) and narrow.matches(channel):
        assert wide.matches(channel)


@given(PATTERNS, CHANNELS)
def test_matches_begin_with_the_literal(pattern: patterns.Pattern, channel: str) -> None:
    if pattern.matches(channel):
        assert channel.startswith(pattern.literal_prefix)


@given(PATTERNS, CHANNELS)
def test_matches_as_django_does(pattern: patterns.Pattern, channel: str) -> None:
    # But for names with a line feed, which Django's <path:> stops at.
    if "\n" not in channel + pattern.text:
        assert pattern.matches(channel) == (RoutePattern(pattern.text, is_endpoint=True).match(channel) is not None)


def test_fits_does_not_go_back_over_a_long_name() -> None:
    pattern = patterns.parse(f"/<int:x>{'1' * 500}a")
    assert sum(pattern.matches_parts(["", "1" * 900]) for _ in range(1000)) == 0  # 0.5 s each by a regular expression
