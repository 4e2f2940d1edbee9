"""How the server asks the authorization of the settings, and what each shipped one answers."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

import eventcast
from eventcast.authorization import Authorization, Keys, Open, Permit, Tokens
from eventcast.engine import patterns
from eventcast.exceptions import Forbidden, InvalidPattern, OriginNotAllowed, Refused, Unauthorized
from eventcast.security import admission
from eventcast.security.authorization import tokens
from eventcast.security.authorization.asking import current
from eventcast.security.threads import THREADS, in_thread
from tests.fakes import permit

HERE = "tests.test_authorization"
ALL = patterns.parse("/<path:any>")


def request(user: Any = None, **headers: str) -> HttpRequest:
    made = RequestFactory().get("/a", headers={name.replace("_", "-"): value for name, value in headers.items()})
    if user is not None:
        made.user = user
    return made


def using(name: str, **settings: Any) -> Any:
    path = name if "." in name else f"eventcast.authorization.{name}"
    return override_settings(EVENTCAST={"AUTHORIZATION": path, **settings})


async def refusal(*arguments: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await permit(*arguments)
    return refused.value


# --- a class of one's own ---------------------------------------------------------------------------------------------


class Closed(Authorization):
    """Overrides nothing."""


class Members(Authorization):
    """Plain functions, which may wait."""

    threads: list[int] = []  # noqa: RUF012

    def can_publish(self, request: HttpRequest, channel: str) -> bool:
        self.threads.append(threading.get_ident())
        return channel == "/members"


class Quick(Authorization):
    """In the event loop, by a coroutine."""

    uses_database = False

    async def can_subscribe(self, request: HttpRequest, channel: str) -> bool:
        await asyncio.sleep(0)
        return channel == "/quick"


class Vague(Authorization):
    """Answers what counts as true in Python."""

    def can_publish(self, request: HttpRequest, channel: str) -> Any:
        return [channel]


@pytest.mark.parametrize("wanted", ["/a", ALL])
async def test_class_refuses_what_it_does_not_override(wanted: Any) -> None:
    with using(f"{HERE}.Closed"):
        assert isinstance(await refusal("subscribe", request(), wanted), Unauthorized)
        assert isinstance(await refusal("subscribe", request(User(username="zhang")), wanted), Forbidden)


async def test_plain_function_is_asked_in_a_thread() -> None:
    with using(f"{HERE}.Members"):
        assert await permit("publish", request(User(username="zhang")), "/members") == Permit("zhang")
    assert Members.threads != [threading.get_ident()]


class Slow(Authorization):
    """Lets nobody in before as many threads as there may be are at it."""

    threads: set[threading.Thread] = set()  # noqa: RUF012
    full = threading.Event()

    def can_publish(self, request: HttpRequest, channel: str) -> Permit:
        self.threads.add(threading.current_thread())
        if len(self.threads) == THREADS:
            self.full.set()
        assert self.full.wait(10)
        return Permit()


async def test_plain_functions_share_a_few_threads() -> None:
    with using(f"{HERE}.Slow"):
        await asyncio.gather(*(permit("publish", request(), "/a") for _ in range(200)))
    assert len(Slow.threads) == THREADS


async def test_coroutine_may_be_called_in_the_thread_of_a_plain_function() -> None:
    async def where() -> tuple[asyncio.AbstractEventLoop, int]:
        return asyncio.get_running_loop(), await in_thread(threading.get_ident)

    loop, thread = await in_thread(async_to_sync(where))
    assert loop is asyncio.get_running_loop()
    assert thread != threading.get_ident()


async def test_context_variables_reach_the_thread_of_a_plain_function() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("set")
    assert await in_thread(variable.get) == "set"


def test_plain_function_runs_in_the_thread_that_waits_for_it() -> None:
    assert async_to_sync(in_thread)(threading.get_ident) == threading.get_ident()


async def test_false_is_401_to_nobody_and_403_to_somebody() -> None:
    with using(f"{HERE}.Members"):
        assert (await refusal("publish", request(), "/a")).status == 401
        assert (await refusal("publish", request(AnonymousUser()), "/a")).status == 401
        assert (await refusal("publish", request(User(username="zhang")), "/a")).status == 403


async def test_user_of_channels_middleware_is_known() -> None:
    asking = request()
    asking.scope = {"user": User(username="zhang")}  # type: ignore[attr-defined]
    with using(f"{HERE}.Members"):
        assert (await refusal("publish", asking, "/a")).status == 403


async def test_coroutine_is_awaited() -> None:
    with using(f"{HERE}.Quick"):
        assert await permit("subscribe", request(), "/quick") == Permit()
        assert (await refusal("subscribe", request(), "/slow")).status == 401


async def test_answer_that_is_neither_yes_nor_no_lets_nobody_in() -> None:
    with using(f"{HERE}.Vague"), pytest.raises(TypeError, match="Vague"):
        await permit("publish", request(), "/a")


def test_object_is_made_once_for_the_same_settings() -> None:
    with using("Open"):
        first = current()
        assert current() is first
    with using("Open"):
        assert current() is not first


def test_default_is_open() -> None:
    assert type(current()) is Open


@pytest.mark.parametrize("path", ["eventcast.authorization.Nobody", "eventcast.engine.hub.Hub", ""])
async def test_class_that_is_not_there_lets_nobody_in(path: str) -> None:
    with override_settings(EVENTCAST={"AUTHORIZATION": path}), pytest.raises(ImproperlyConfigured):
        await permit("publish", request(), "/a")


async def test_settings_that_mean_nothing_let_nobody_in() -> None:
    with using("Keys", KEYS=[{"key": "short"}]), pytest.raises(ImproperlyConfigured):
        await permit("publish", request(), "/a")


@pytest.mark.parametrize("name", ["KEYS", "SESSIONS", "RULES", "AUTHORISATION"])
async def test_settings_that_were_to_close_an_open_server_let_nobody_in(name: str) -> None:
    with override_settings(EVENTCAST={name: []}), pytest.raises(ImproperlyConfigured, match=name):
        await permit("publish", request(), "/a")


async def test_open_paths_of_rules_stay_open_beside_keys() -> None:
    with using("Rules", KEYS=[], RULES=[("/a", "eventcast.authorization.Open")]):
        assert await permit("publish", request(), "/a") == Permit()


@pytest.mark.parametrize(
    ("name", "expected"), [("Open", False), ("Keys", False), ("Tokens", False), ("Sessions", True), ("Members", True)]
)
def test_classes_say_whether_they_use_cookies(name: str, expected: bool) -> None:
    path = f"{HERE}.{name}" if name == "Members" else f"eventcast.authorization.{name}"
    with using(path):
        assert current().uses_cookies is expected
    with using("Rules", RULES=[("/a", "eventcast.authorization.Keys"), ("/b", path)]):
        assert current().uses_cookies is expected


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_user_of_a_class_of_ones_own_is_worth_nothing_on_a_page_elsewhere(origin: str) -> None:
    asking = request(User(username="zhang"), Origin=origin, Cookie="sessionid=x")
    with using(f"{HERE}.Members", ALLOWED_ORIGINS=["*", "null"]), pytest.raises(OriginNotAllowed):
        await admission.check_publish(asking, "/members")


def test_permit_of_two_ends_with_the_first_of_them() -> None:
    both = Permit() & Permit("a", 5.0, identity="key a") & Permit("b", 3.0, identity="user 1")
    assert both == Permit("a", 3.0, identity="key a")


def test_names_of_different_kinds_are_different_people() -> None:
    kinds = [Permit("shop", identity=f"{kind} shop") for kind in ("key", "token")]
    assert (
        len({permit.publisher for permit in [*kinds, Permit("shop"), Permit("shop", identity="user 1"), Permit()]}) == 5
    )
    assert not Permit().publisher


async def test_token_for_nobody_in_particular_is_nobodys_allowance() -> None:
    with using("Tokens"):
        asking = bearing(eventcast.token(subscribe="/a"))
        assert not (await permit("subscribe", asking, "/a")).publisher
        asking = bearing(eventcast.token(subscribe="/a", user="shop"))
        assert (await permit("subscribe", asking, "/a")).publisher == "token shop"


# --- keys -------------------------------------------------------------------------------------------------------------

KEY, HASHED = "key-0123456789abcdef", "hashed-0123456789abc"
KEYS = [
    {"key": KEY, "name": "shop", "publish": ["/orders/<int:id>"], "subscribe": ["/orders/<path:any>"]},
    {"key": "sha256:" + hashlib.sha256(HASHED.encode()).hexdigest().upper(), "publish": ["/hashed"]},
]


@pytest.fixture
def keys() -> Iterator[None]:
    with using("Keys", KEYS=KEYS):
        yield


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY}"}, {"X_API_Key": KEY}]
)
async def test_key_is_taken_from_its_header(keys: None, headers: dict[str, str]) -> None:
    assert await permit("publish", request(**headers), "/orders/42") == Permit("shop", identity="key shop")


async def test_key_given_by_its_digest_is_good(keys: None) -> None:
    assert (await permit("publish", request(X_API_Key=HASHED), "/hashed")).user.startswith("key ")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer "},
        {"X_API_Key": KEY + "x"},
        {"X_API_Key": "sha256:" + hashlib.sha256(HASHED.encode()).hexdigest()},
        {"X_API_Key": "schlüssel"},
    ],
)
async def test_key_that_is_none_is_unauthorized_and_not_told(keys: None, headers: dict[str, str]) -> None:
    found = await refusal("publish", request(**headers), "/orders/42")
    assert found.status == 401
    assert not any(value in found.detail for value in headers.values() if value.strip() not in ("", "Bearer"))


@pytest.mark.parametrize(
    ("action", "wanted", "status"),
    [
        ("publish", "/orders/42", None),
        ("publish", "/orders/42/x", 403),
        ("publish", "/hashed", 403),
        ("subscribe", "/orders/42/x", None),
        ("subscribe", "/orders", 403),
        ("subscribe", patterns.parse("/orders/<int:x>/<y>"), None),
        ("subscribe", patterns.parse("/<a>/<b>"), 403),
        ("subscribe", ALL, 403),
    ],
)
async def test_key_is_good_for_its_paths(keys: None, action: Any, wanted: Any, status: int | None) -> None:
    asking = request(X_API_Key=KEY)
    if status is None:
        assert (await permit(action, asking, wanted)).user == "shop"
    else:
        assert (await refusal(action, asking, wanted)).status == status


def test_key_is_not_kept_in_the_clear(keys: None) -> None:
    made = current()
    assert isinstance(made, Keys)
    assert KEY not in repr(vars(made))


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_tokens() -> Iterator[None]:
    with using("Tokens"):
        yield


def bearing(token: str) -> HttpRequest:
    return request(Authorization=f"Bearer {token}")


async def test_token_is_good_for_what_it_says(with_tokens: None) -> None:
    asking = bearing(eventcast.token(subscribe="/orders/<path:any>", publish=["/chat"], expires_in=60, user="张三"))
    found = await permit("subscribe", asking, "/orders/42")
    assert found.user == "张三"
    assert found.expires_at is not None
    assert 55 < found.expires_at - time.time() <= 61
    assert await permit("publish", asking, "/chat") == found
    for action, wanted in (("publish", "/orders/42"), ("subscribe", "/chat"), ("subscribe", ALL)):
        assert (await refusal(action, asking, wanted)).status == 403


async def test_token_is_taken_from_a_subprotocol(with_tokens: None) -> None:
    token = eventcast.token(subscribe="/a")
    asking = request(Sec_WebSocket_Protocol=f"eventcast, eventcast.token.{token}")
    assert await permit("subscribe", asking, "/a")


def test_token_can_be_the_name_of_a_subprotocol() -> None:
    token = eventcast.token(subscribe=["/" + "张" * 300], user='<">')
    assert all(char.isascii() and (char.isalnum() or char in "-_.") for char in token)


async def test_token_that_has_expired_is_unauthorized(with_tokens: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = bearing(eventcast.token(subscribe="/a", expires_in=10))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 12)
    found = await refusal("subscribe", asking, "/a")
    assert (found.status, "expired" in found.detail) == (401, True)


@pytest.mark.parametrize("change", [str.upper, lambda token: token + "x", lambda token: "x" + token, lambda token: "."])
async def test_token_that_was_changed_is_unauthorized(with_tokens: None, change: Any) -> None:
    assert (await refusal("subscribe", bearing(change(eventcast.token(subscribe="/a"))), "/a")).status == 401


async def test_token_of_another_secret_is_unauthorized(with_tokens: None) -> None:
    token = eventcast.token(subscribe="/a")
    with override_settings(SECRET_KEY="another"):
        assert (await refusal("subscribe", bearing(token), "/a")).status == 401
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert await permit("subscribe", bearing(token), "/a")


@pytest.mark.parametrize(
    "options",
    [{}, {"subscribe": []}, {"subscribe": "/a", "expires_in": 0}, {"publish": "/a", "expires_in": float("inf")}],
)
def test_token_that_would_be_good_for_nothing_or_for_ever_is_not_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        eventcast.token(**options)


def test_token_for_what_is_no_pattern_is_not_made() -> None:
    with pytest.raises(InvalidPattern):
        eventcast.token(subscribe="/<date:x>")


def test_token_is_read_as_it_was_made() -> None:
    read = tokens.read(eventcast.token(publish=["/a", "/b/<x>"]))
    assert ([pattern.text for pattern in read.publish], read.subscribe, read.name) == (["/a", "/b/<x>"], (), "")
    assert Tokens.problems() == []
