"""Which of several paths in order count, for a channel and for a pattern."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Refused
from eventcast.security.authorization.asking import ask, current
from eventcast.security.authorization.grants import deciding, disjoint
from eventcast.security.authorization.permits import Permit
from tests.fakes import permit

segments = st.sampled_from(["", "a", "b", "ab", "1", "<x>", "<int:x>", "a<x>", "<x>b", "a<int:x>", "<slug:x>"])
ends = st.sampled_from(["", "/<path:x>", "/a<path:x>"])
texts = st.builds(
    lambda parts, end: with_names("/" + "/".join(parts) + end), st.lists(segments, min_size=1, max_size=3), ends
)
names = st.lists(st.sampled_from(["", "a", "b", "ab", "abb", "1", "a1"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def with_names(text: str) -> str:
    """``text`` with a name of its own for each converter, for those are called x."""
    first, *others = text.split("x>")
    return first + "".join(f"x{number}>{other}" for number, other in enumerate(others))


def listed(*texts: str) -> list[tuple[Pattern, str]]:
    """An ordered list with an entry for each pattern, which is its text."""
    return [(patterns.parse(text), text) for text in texts]


@given(texts, texts, names)
def test_patterns_that_are_disjoint_have_no_channel_in_common(one: str, other: str, name: str) -> None:
    first, second = patterns.parse(one), patterns.parse(other)
    if first.matches(name) and second.matches(name):
        assert not disjoint(first, second)
    assert disjoint(first, second) == disjoint(second, first)


@given(st.lists(texts, max_size=4), texts, names)
def test_channel_of_a_pattern_is_decided_by_one_of_those_that_decide_the_pattern(
    of_the_list: list[str], wanted: str, name: str
) -> None:
    entries, pattern = listed(*of_the_list), patterns.parse(wanted)
    found = deciding(entries, pattern)
    if found and pattern.matches(name):
        assert deciding(entries, name)[0] in found


ENTRIES = listed("/a/<int:x>", "/a/<path:x>", "/b/<x>")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("/a/1", ["/a/<int:x>"]),
        ("/a/x", ["/a/<path:x>"]),
        ("/c", []),
        (patterns.parse("/a/<int:y>"), ["/a/<int:x>"]),
        (patterns.parse("/a/<y>"), ["/a/<int:x>", "/a/<path:x>"]),
        (patterns.parse("/a/b/<y>"), ["/a/<path:x>"]),
        (patterns.parse("/b/<y>"), ["/b/<x>"]),
        (patterns.parse("/<x>/<y>"), []),
    ],
)
def test_first_that_matches_counts(wanted: Any, expected: list[str]) -> None:
    assert deciding(ENTRIES, wanted) == expected


# --- rules ------------------------------------------------------------------------------------------------------------

OPEN, KEYS = "eventcast.authorization.Open", "eventcast.authorization.Keys"
KEY = "key-0123456789abcdef"


def asking(key: str | None = None) -> HttpRequest:
    return RequestFactory().get("/", headers={"X-API-Key": key} if key else {})


@pytest.mark.parametrize(
    ("action", "wanted", "key", "status"),
    [
        ("subscribe", "/public/a", None, None),
        ("publish", "/public/a", None, 401),
        ("publish", "/public/a", KEY, None),
        ("subscribe", "/a", None, 401),
        ("subscribe", "/a", KEY, None),
        ("publish", "/a", KEY, 403),  # no rule lets anybody
        ("subscribe", "/", KEY, 403),  # no rule at all
        ("subscribe", patterns.parse("/public/<x>"), None, None),
        ("subscribe", patterns.parse("/<path:x>"), None, 401),
        ("subscribe", patterns.parse("/<path:x>"), KEY, None),
    ],
)
async def test_rule_says_who_is_asked(action: Any, wanted: Any, key: str | None, status: int | None) -> None:
    rules = [
        ("/public/<path:any>", {"subscribe": OPEN, "publish": KEYS}),
        ("/<path:any>", {"subscribe": KEYS}),
    ]
    keys = [{"key": KEY, "subscribe": ["/<path:any>"], "publish": ["/<path:any>"]}]
    with override_settings(EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Rules", "RULES": rules, "KEYS": keys}):
        if status is None:
            await permit(action, asking(key), wanted)
        else:
            with pytest.raises(Refused) as refused:
                await permit(action, asking(key), wanted)
            assert refused.value.status == status


def test_publisher_that_a_rule_leaves_to_a_key_waits_for_nothing() -> None:
    rules = [("/a", KEYS), ("/c", {"subscribe": KEYS})]
    keys = [{"key": KEY, "name": "shop", "publish": ["/<path:any>"]}]
    with override_settings(EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Rules", "RULES": rules, "KEYS": keys}):
        found = ask(current(), "publish", asking(KEY), "/a")
        assert isinstance(found, Permit)
        assert found.user == "shop"
        with pytest.raises(Forbidden):
            ask(current(), "publish", asking(), "/c")
