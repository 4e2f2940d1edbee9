"""What is revoked while a handshake is under way is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.test import override_settings

import eventcast
from eventcast.authorization import Authorization, Permit, SessionClaim
from eventcast.engine.closing import POLICY_VIOLATION
from eventcast.engine.patterns import Pattern
from eventcast.engine.presence import subscriber_count
from eventcast.security import revocation
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import FlakyLayer, layer_in_use, until, websocket
from tests.test_revocation import Badge, closed, enter, leave, quick  # noqa: F401
from tests.test_views import call

REFUSED = {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "forbidden"}


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
    leave(other)


async def disconnect(**chosen: Any) -> None:
    eventcast.disconnect(**chosen)


async def disconnect_many(number: int) -> None:
    for _ in range(number):
        eventcast.disconnect(user="li")


@pytest.mark.parametrize(
    ("target", "revoke", "is_refused"),
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
    slow: type[Slow], target: str, revoke: Callable[[], Awaitable[None]], is_refused: bool
) -> None:
    await disconnect(user="zhang")  # An earlier revocation is not about this handshake.
    connection = websocket(EventcastConsumer.as_asgi(), target)
    task = connection.start()
    connection.inbox.put_nowait({"type": "websocket.connect"})
    await asyncio.wait_for(slow.asked.wait(), 10)
    await revoke()
    slow.answer.set()
    if is_refused:
        await asyncio.wait_for(task, 10)
        assert connection.sent == [REFUSED]
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
    assert connection.sent == [REFUSED]


async def test_stream_ends_at_once_if_its_permission_was_revoked_meanwhile(slow: type[Slow]) -> None:
    asking = asyncio.create_task(call(ASGIHandler(), "GET", "/a", headers=[("Accept", "text/event-stream")]))
    await asyncio.wait_for(slow.asked.wait(), 10)
    await disconnect(user="zhang")
    slow.answer.set()
    answer = await asyncio.wait_for(asking, 10)
    assert answer.status == 200
    assert subscriber_count("/a") == 0
