"""The code of docs/security.md runs as it stands there; that of users also on real servers, in tests/live."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory, override_settings

import eventcast
from eventcast.security.authorization import asking, tokens
from eventcast.testing import capture

TEXT = (Path(__file__).parent.parent / "docs" / "security.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SETTINGS = [code for language, code in CODE if language == "python" and code.startswith("EVENTCAST = ")]
DIGEST = hashlib.sha256(b"test").hexdigest()


def block(language: str, part: str) -> str:
    """The one block of code that has this part in it."""
    (found,) = [code for kind, code in CODE if kind == language and part in code]
    return str(found)


@pytest.mark.parametrize("code", SETTINGS)
def test_settings_are_without_a_mistake(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"os": type("os", (), {"environ": {"SHOP_KEY": "a-key-of-the-shop-0123"}})}
    assert DIGEST.startswith("9f86d081")
    exec(
        code.replace("9f86d081…", DIGEST).replace("mysite.live", "tests.test_users").replace("Members", "Teams"), given
    )
    with override_settings(EVENTCAST=given["EVENTCAST"]):
        kind = asking.find(given["EVENTCAST"]["AUTHORIZATION"])
        if kind.__name__ != "Rules":  # whose example leaves KEYS and SESSIONS to the others
            assert kind.problems() == []
        assert asking.current()


def test_every_class_of_settings_is_shown() -> None:
    shown = {
        name for code in SETTINGS for name in re.findall(r'"AUTHORIZATION": "eventcast\.authorization\.(\w+)"', code)
    }
    assert shown == {"Tokens", "Keys", "Sessions", "Rules"}


def test_token_is_made_as_shown() -> None:
    request = RequestFactory().get("/")
    request.user = User(username="zhang")
    given: dict[str, Any] = {"eventcast": eventcast, "request": request}
    exec(block("python", "token = eventcast.token("), given)
    assert tokens.read(given["token"]).name == "zhang"


def test_page_has_tokens_as_shown() -> None:
    request = RequestFactory().get("/")
    request.user = User(username="zhang")
    page = Template("{% load static %}" + block("html", "{% eventcast_token ")).render(Context({"request": request}))
    found = re.search(r'<event-cast path="/orders/42" token="([\w.-]+)"></event-cast>', page)
    assert found
    assert tokens.read(found[1]).name == "zhang"
    assert r'fetch("/my\u002Dtoken")' in page


def test_view_renews_the_token_as_shown() -> None:
    given: dict[str, Any] = {"eventcast": eventcast, "HttpResponse": HttpResponse, "login_required": login_required}
    exec(block("python", "def my_token("), given)
    request = RequestFactory().get("/my-token")
    request.user = AnonymousUser()
    assert given["my_token"](request).status_code == 302
    request.user = User(username="zhang")
    answer = given["my_token"](request)
    assert answer.headers["Content-Type"] == "text/plain"
    assert [each.text for each in tokens.read(answer.content.decode()).subscribe] == ["/orders/42"]


def test_users_own_channel_is_published_to_and_linked_as_shown() -> None:
    sessions: dict[str, Any] = {}
    exec(next(code for code in SETTINGS if "<user.pk>" in code), sessions)
    request = RequestFactory().get("/")
    request.user = User(pk=7, username="zhang")
    with override_settings(EVENTCAST=sessions["EVENTCAST"]), capture() as outbox:
        exec(block("python", "publish_to("), {"eventcast": eventcast, "request": request})
        html = block("html", "{% eventcast_url ")
        page = Template("{% load eventcast %}" + html).render(Context({"request": request}))
    assert [(each.channel, each.json()) for each in outbox] == [("/users/7/orders", {"id": 42, "paid": True})]
    assert 'eventcast("/users/7/orders"' in page
