"""Permission that is taken away, and whom that closes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.test import override_settings

import eventcast
from eventcast.engine import patterns
from eventcast.engine.closing import TAKEN_AWAY
from eventcast.engine.hub import current_hub
from eventcast.engine.patterns import Pattern
from eventcast.engine.presence import subscriber_count
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import InvalidChannel
from eventcast.security import revocation
from eventcast.security.authorization import Authorization, Claim, Permit, SessionClaim
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import FakeTransport, FlakyLayer, layer_in_use, until, websocket
from tests.test_views import call


@dataclass(frozen=True)
class Badge(Claim):
    """A claim that lapses when the test says so."""

    name: str
    taken: ClassVar[set[str]] = set()
    asked: ClassVar[list[int]] = []
    broken: ClassVar[bool] = False

    @classmethod
    def lapsed(cls, claims: Sequence[Badge]) -> Collection[Badge]:
        cls.asked.append(len(claims))
        if cls.broken:
            raise ConnectionError("the database is down")
        return [claim for claim in claims if claim.name in cls.taken]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "TICK", 0.01)
    Badge.taken, Badge.asked, Badge.broken = set(), [], False


async def enter(wanted: Any = "/a", permit: Permit = Permit(), user: str = "") -> Subscriber:  # noqa: B008
    """Somebody comes to listen, let in by a permit."""
    subscriber = Subscriber(FakeTransport(), user=user or permit.user, identity=permit.identity)
    await current_hub().subscribe(wanted, subscriber)
    revocation.watch(current_hub(), wanted, subscriber, permit)
    return subscriber


async def leave(*subscribers: Subscriber, wanted: Any = "/a", permit: Permit = Permit()) -> None:  # noqa: B008
    for subscriber in subscribers:
        revocation.forget(current_hub(), subscriber, permit)
        await current_hub().unsubscribe(wanted, subscriber)


def closed(subscriber: Subscriber) -> int | None:
    assert isinstance(subscriber.transport, FakeTransport)
    return subscriber.transport.close_code if subscriber.transport.closed else None


async def test_subscriber_is_closed_when_its_permit_expires() -> None:
    permit, later = Permit(expires_at=time.time() - 1), Permit(expires_at=time.time() + 3600)
    gone, staying = await enter(permit=permit), await enter(permit=later)
    await until(lambda: closed(gone) == 3000)
    assert gone.channel is None
    assert closed(staying) is None
    await leave(gone, permit=permit)
    await leave(staying, permit=later)


async def test_timer_is_set_anew_for_who_expires_before() -> None:
    later, sooner = Permit(expires_at=time.time() + 3600), Permit(expires_at=time.time() - 1)
    staying = await enter(permit=later)
    gone = await enter(permit=sooner)
    await until(lambda: closed(gone))
    await leave(gone, permit=sooner)
    await leave(staying, permit=later)


async def test_nothing_is_kept_of_who_has_left() -> None:
    permit = Permit(expires_at=time.time() + 3600, claims=(Badge("a"),))
    for _ in range(3):
        await leave(await enter(permit=permit), permit=permit)
    watching = revocation._watches[current_hub()]
    assert (watching._ending, watching._claims, watching._timer, watching._recheck) == ({}, {}, None, None)


async def test_permit_without_an_end_is_not_watched() -> None:
    subscriber = await enter()
    assert current_hub() not in revocation._watches
    await leave(subscriber)


async def test_subscribers_are_closed_when_a_claim_lapses() -> None:
    good, bad = Permit(claims=(Badge("good"),)), Permit(claims=(Badge("good"), Badge("bad")))
    staying, one, two = await enter(permit=good), await enter(permit=bad), await enter(permit=bad)
    with override_settings(EVENTCAST={"RECHECK_INTERVAL": 1}):
        Badge.taken = {"bad"}
        await until(lambda: closed(one) and closed(two))
    assert closed(staying) is None
    await leave(one, two, permit=bad)
    await leave(staying, permit=good)


async def test_equal_claims_are_asked_about_once() -> None:
    permit = Permit(claims=(Badge("same"),))
    everybody = [await enter(permit=permit) for _ in range(20)]
    await until(lambda: len(Badge.asked) >= 2)
    assert set(Badge.asked) == {1}
    await leave(*everybody, permit=permit)


async def test_claims_are_asked_about_in_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    permits = [Permit(claims=(Badge(str(number)),)) for number in range(10)]
    everybody = [await enter(permit=permit) for permit in permits]
    monkeypatch.setattr(revocation, "TICK", 0.2)
    with override_settings(EVENTCAST={"RECHECK_INTERVAL": 1}):
        revocation._watches[current_hub()]._round = []
        await until(lambda: len(Badge.asked) >= 2)
    for subscriber, permit in zip(everybody, permits, strict=True):
        await leave(subscriber, permit=permit)
    assert max(Badge.asked) < 10


async def test_nobody_is_closed_while_nobody_can_tell(caplog: pytest.LogCaptureFixture) -> None:
    permit = Permit(claims=(Badge("bad"),))
    subscriber = await enter(permit=permit)
    Badge.broken, Badge.taken = True, {"bad"}
    await until(lambda: len(Badge.asked) >= 2)
    assert closed(subscriber) is None
    Badge.broken = False
    await until(lambda: closed(subscriber))
    assert "Rechecking 1 permissions failed" in caplog.text
    await leave(subscriber, permit=permit)


async def test_who_logs_out_is_closed_at_once_and_no_other_session() -> None:
    mine, other = (Permit(claims=(SessionClaim(key, 1, "authenticated"),)) for key in ("mine", "other"))
    gone, staying = await enter(permit=mine), await enter(permit=other)
    request = type("Request", (), {"session": type("Session", (), {"session_key": "mine"})})
    # As from the thread of a view.
    await asyncio.to_thread(user_logged_out.send, sender=None, request=request, user=None)
    await until(lambda: closed(gone) == 3000)
    assert closed(staying) is None
    await leave(gone, permit=mine)
    await leave(staying, permit=other)


# --- during a handshake -----------------------------------------------------------------------------------------------


class Lasting(SessionClaim):
    """The claim of a session that no recheck finds to be over."""

    @classmethod
    def lapsed(cls, claims: Sequence[SessionClaim]) -> Collection[SessionClaim]:
        return []


class Slow(Authorization):
    """Lets a user in by a session and a badge, after a while."""

    uses_database = False
    asked = asyncio.Event()
    answer = asyncio.Event()
    permit = Permit("zhang", identity="user 1", claims=(Badge("zhang"), Lasting("mine", 1, "authenticated")))

    async def can_subscribe(self, request: HttpRequest, channel: str) -> Permit:
        self.asked.set()
        await self.answer.wait()
        return self.permit

    async def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Permit:
        return await self.can_subscribe(request, "")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Slow]]:
    monkeypatch.setattr(Slow, "asked", asyncio.Event())
    monkeypatch.setattr(Slow, "answer", asyncio.Event())
    with override_settings(EVENTCAST={"AUTHORIZATION": f"{__name__}.Slow"}):
        yield Slow


async def log_out(session_key: str) -> None:
    request = type("Request", (), {"session": type("Session", (), {"session_key": session_key})})
    await asyncio.to_thread(user_logged_out.send, sender=None, request=request, user=None)


async def lapse(name: str) -> None:
    """A claim is found to be over, as that of another subscriber."""
    Badge.taken = {name}
    permit = Permit(claims=(Badge(name),))
    other = await enter("/other", permit=permit)
    await until(lambda: closed(other))
    await leave(other, wanted="/other", permit=permit)


async def disconnect(**chosen: Any) -> None:
    eventcast.disconnect(**chosen)


async def disconnect_many(number: int) -> None:
    for _ in range(number):
        eventcast.disconnect(user="li")


@pytest.mark.parametrize(
    ("target", "revoke", "is_closed"),
    [
        ("/a", lambda: disconnect(user="zhang"), True),
        ("/a", lambda: disconnect(user=User(pk=1, username="zhang")), True),
        ("/a", lambda: disconnect(channel="/a"), True),
        ("/a", lambda: disconnect(channel="/<x>", user="zhang"), True),
        ("/-/subscribe?pattern=/<x>", lambda: disconnect(channel="/a"), True),
        ("/-/subscribe?pattern=/<x>", lambda: disconnect(channel="/<path:x>"), True),
        ("/a", lambda: log_out("mine"), True),
        ("/a", lambda: lapse("zhang"), True),
        ("/a", lambda: disconnect_many(revocation.REMEMBERED + 1), True),
        ("/a", lambda: disconnect_many(revocation.REMEMBERED), False),
        ("/a", lambda: disconnect(user="li"), False),
        ("/a", lambda: disconnect(channel="/b", user="zhang"), False),
        ("/-/subscribe?pattern=/<x>", lambda: disconnect(channel="/a/b"), False),
        ("/a", lambda: log_out("other"), False),
        ("/a", lambda: lapse("li"), False),
    ],
)
async def test_permission_that_is_revoked_during_a_handshake_is_revoked(
    slow: type[Slow], target: str, revoke: Callable[[], Awaitable[None]], is_closed: bool
) -> None:
    await disconnect(user="zhang")  # An earlier revocation is not about this handshake.
    connection = websocket(EventcastConsumer.as_asgi(), target)
    task = connection.start()
    connection.inbox.put_nowait({"type": "websocket.connect"})
    await asyncio.wait_for(slow.asked.wait(), 10)
    await revoke()
    slow.answer.set()
    if is_closed:
        await asyncio.wait_for(task, 10)
        assert (connection.sent[-1]["code"], connection.sent[-1]["reason"]) == TAKEN_AWAY
    else:
        await until(lambda: connection.sent)
        assert connection.types() == ["websocket.accept"]
        await connection.disconnect()
    assert subscriber_count("/a", patterns=True) == 0


async def test_permission_that_is_revoked_while_the_layer_is_slow_is_revoked(slow: type[Slow]) -> None:
    slow.answer.set()
    with layer_in_use(FlakyLayer()) as layer:
        layer.gate = asyncio.Event()
        connection = websocket(EventcastConsumer.as_asgi(), "/a")
        task = connection.start()
        connection.inbox.put_nowait({"type": "websocket.connect"})
        await until(lambda: "group_add" in layer.calls)
        await disconnect(user="zhang")
        layer.gate.set()
        await asyncio.wait_for(task, 10)
    assert connection.sent[-1]["code"] == TAKEN_AWAY.code


async def test_stream_ends_at_once_if_its_permission_was_revoked_meanwhile(slow: type[Slow]) -> None:
    asking = asyncio.create_task(call(ASGIHandler(), "GET", "/a", headers=[("Accept", "text/event-stream")]))
    await asyncio.wait_for(slow.asked.wait(), 10)
    await disconnect(user="zhang")
    slow.answer.set()
    answer = await asyncio.wait_for(asking, 10)
    assert answer.status == 200
    assert subscriber_count("/a") == 0


# --- on purpose -------------------------------------------------------------------------------------------------------

ALL_BELOW = patterns.parse("/a/<path:x>")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"channel": "/a/1"}, "exact1 exact2 pattern"),
        ({"channel": "/a/2"}, "pattern"),
        ({"user": "zhang"}, "exact1 elsewhere"),
        ({"channel": "/a/1", "user": "zhang"}, "exact1"),
        ({"channel": "/a/<int:x>"}, "exact1 exact2"),
        ({"channel": "/a/<path:y>"}, "exact1 exact2 pattern"),
        ({"channel": "/<path:y>", "user": "li"}, "exact2"),
        ({"channel": "/a<b><c>"}, ""),
    ],
)
async def test_disconnect_closes_whom_it_names(chosen: dict[str, Any], expected: str) -> None:
    places = {
        "exact1": ("/a/1", "zhang"),
        "exact2": ("/a/1", "li"),
        "pattern": (ALL_BELOW, ""),
        "elsewhere": ("/b", "zhang"),
    }
    found = {name: await enter(wanted, user=user) for name, (wanted, user) in places.items()}
    thread = threading.Thread(target=eventcast.disconnect, kwargs=chosen)
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert " ".join(name for name, subscriber in found.items() if closed(subscriber) == 3000) == expected
    for name, subscriber in found.items():
        await leave(subscriber, wanted=places[name][0])


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("zhang", "key token session other renamed name"),
        (User(pk=1, username="zhang"), "session renamed name"),
        (User(username="zhang"), "name"),
    ],
)
async def test_disconnect_takes_a_name_of_anybody_or_one_user(user: Any, expected: str) -> None:
    permits = {
        "key": Permit("zhang", identity="key zhang"),
        "token": Permit("zhang", identity="token zhang"),
        "session": Permit("zhang", identity="user 1"),
        "other": Permit("zhang", identity="user 2"),
        "renamed": Permit("zhang", identity="user 1"),
        "name": Permit("zhang"),
        "stranger": Permit("li", identity="user 3"),
        "nobody": Permit(),
    }
    found = {name: await enter(permit=permit) for name, permit in permits.items()}
    found["renamed"].user = "zhang" if user == "zhang" else "chang"
    eventcast.disconnect(user=user)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert " ".join(name for name, subscriber in found.items() if closed(subscriber)) == expected
    await leave(*found.values())


@pytest.mark.parametrize("user", ["", AnonymousUser()])
@pytest.mark.parametrize("also", [{}, {"channel": "/a"}])
def test_disconnect_of_a_user_who_is_nobody_is_an_error(user: Any, also: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no name"):
        eventcast.disconnect(user=user, **also)


def test_disconnect_of_nobody_in_particular_is_an_error() -> None:
    with pytest.raises(ValueError, match="which subscribers"):
        eventcast.disconnect()


def test_disconnect_of_what_is_no_channel_is_an_error() -> None:
    with pytest.raises(InvalidChannel):
        eventcast.disconnect(channel="a")
