"""The messages in the admin, by a stream and by a WebSocket, and when that ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import AsyncClient, override_settings

from eventcast.admin import ChannelAdmin
from eventcast.engine import presence
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish
from eventcast.security import revocation
from eventcast.websocket.consumer import EventcastConsumer
from tests.admin.conftest import ClientOf, url
from tests.fakes import Connection, FakeSubscriber, until, websocket


class Stream:
    """The stream of ``client``'s user. Use it inside an event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def __aenter__(self) -> Stream:
        response: Any = await self.client.get(url("messages", "/a"))
        assert response.status_code == 200, response
        assert response["Content-Type"] == "application/x-ndjson"
        self._pieces: AsyncIterator[bytes] = aiter(response)
        assert await self.next() == b"\n"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pieces.aclose()  # type: ignore[attr-defined]

    async def next(self) -> bytes:
        return await asyncio.wait_for(anext(self._pieces), 10)

    async def message(self) -> str:
        """The text of the next message, or its base64."""
        found = json.loads(await self.next())
        return str(found["data"] if "data" in found else found["base64"])

    async def ends(self) -> bool:
        """Whether nothing more comes than the end of the stream."""
        return await asyncio.wait_for(anext(self._pieces, None), 10) is None


@pytest.fixture
def watcher(client_of: ClientOf) -> AsyncClient:
    """The client of the user ann, with the view permission."""
    client = AsyncClient()
    client.cookies = client_of("view", username="ann").cookies
    return client


def test_tail_has_the_published_messages(watcher: AsyncClient) -> None:
    async def scene() -> None:
        async with Stream(watcher) as stream:
            await apublish("/a", "hello\n<b>")
            assert await stream.message() == "hello\n<b>"
            await apublish("/a", b"\x00")
            assert await stream.message() == "AA=="

    async_to_sync(scene)()


def test_tail_is_no_subscriber(watcher: AsyncClient) -> None:
    async def scene() -> None:
        async with Stream(watcher):
            assert list(current_hub().channels) == ["/a"]
            assert (presence.subscriber_count("/a"), presence.totals().subscribers) == (0, 0)
            assert presence.live_channels() == []
            page = (await watcher.get(url("figures", "/a"))).json()
            assert (page["cells"]["subscribers"], page["rows"]) == ("0", [])
            listed = (await watcher.get(url("list_figures"))).json()
            assert (listed["rows"], listed["totals"]["channels"], listed["totals"]["subscribers"]) == ([], "0", "0")
        await until(lambda: not current_hub().channels)

    async_to_sync(scene)()


def test_tail_does_not_hide_the_subscribers_of_its_channel(watcher: AsyncClient) -> None:
    async def scene() -> None:
        other = FakeSubscriber()
        await current_hub().subscribe("/a", other)
        async with Stream(watcher):
            page = (await watcher.get(url("figures", "/a"))).json()
            assert (page["cells"]["subscribers"], [row["id"] for row in page["rows"]]) == ("1", [other.id])
            listed = (await watcher.get(url("list_figures"))).json()
            assert [row["cells"]["subscribers"] for row in listed["rows"]] == ["1"]
            assert (listed["totals"]["channels"], listed["totals"]["subscribers"]) == ("1", "1")
        current_hub().unsubscribe(other)

    async_to_sync(scene)()


def test_tail_stays_when_all_are_disconnected(client_of: ClientOf) -> None:
    async def scene() -> None:
        client = AsyncClient()
        client.cookies = (await sync_to_async(client_of)("view", "disconnect", "publish")).cookies
        other = FakeSubscriber()
        await current_hub().subscribe("/a", other)
        async with Stream(client) as stream:
            answer = await client.post(url("publish", "/a"), {"data": "x"}, headers={"accept": "application/json"})
            assert answer.json()["message"].endswith(" to 1 subscriber.")
            assert await stream.message() == "x"
            answer = await client.post(
                url("disconnect", "/a"), {"subscriber": "all"}, headers={"accept": "application/json"}
            )
            assert answer.json()["message"] == "Disconnected all subscribers: 1."
            await until(lambda: other.closed)
            await apublish("/a", "still here")
            assert await stream.message() == "still here"
        current_hub().unsubscribe(other)

    async_to_sync(scene)()


def log_out(client: AsyncClient) -> None:
    client.logout()


def deactivate(client: AsyncClient) -> None:
    User.objects.filter(username="ann").update(is_active=False)


def demote(client: AsyncClient) -> None:
    User.objects.filter(username="ann").update(is_staff=False)


def forbid(client: AsyncClient) -> None:
    User.objects.get(username="ann").user_permissions.clear()


def change_password(client: AsyncClient) -> None:
    user = User.objects.get(username="ann")
    user.set_password("another")
    user.save()


def delete(client: AsyncClient) -> None:
    User.objects.filter(username="ann").delete()


def patiently(happen: Callable[[AsyncClient], None], client: AsyncClient) -> None:
    """SQLite's database in memory does not wait for another thread that reads a table, as a check does."""
    end = time.monotonic() + 10
    while True:
        try:
            return happen(client)
        except OperationalError:
            if time.monotonic() > end:
                raise


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("happen", [log_out, deactivate, demote, forbid, change_password, delete])
@override_settings(EVENTCAST={"RECHECK_INTERVAL": 1})
def test_tail_ends_when_its_user_loses_the_permission(
    watcher: AsyncClient, monkeypatch: pytest.MonkeyPatch, happen: Callable[[AsyncClient], None]
) -> None:
    monkeypatch.setattr(revocation, "TICK", 0.01)

    async def scene() -> None:
        async with Stream(watcher) as stream:
            await apublish("/a", "hello")
            assert await stream.message() == "hello"
            await sync_to_async(patiently)(happen, watcher)
            assert await stream.ends()
            assert presence.subscriber_count("/a") == 0

    async_to_sync(scene)()


@pytest.mark.django_db(transaction=True)
def test_tail_ends_at_once_when_its_user_logs_out(watcher: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "TICK", 3600.0)

    async def scene() -> None:
        async with Stream(watcher) as stream:
            await sync_to_async(log_out)(watcher)
            assert await stream.ends()

    async_to_sync(scene)()


# --- a WebSocket ------------------------------------------------------------------------------------------------------

CLOSED = {"AUTHORIZATION": "eventcast.authorization.Tokens"}
"""No cookie lets a client in, but for the admin's pages."""


async def watch(client: AsyncClient, origin: str = "http://testserver") -> Connection:
    """A WebSocket as a page of the admin opens it."""
    cookies = client.cookies.output(header="", sep=";").strip().encode()
    headers = [(b"host", b"testserver"), (b"origin", origin.encode()), (b"cookie", cookies)]
    offers = ["eventcast.v1", "eventcast.admin"]
    headers.append((b"sec-websocket-protocol", b", ".join(offer.encode() for offer in offers)))
    connection = websocket(EventcastConsumer.as_asgi(), "/a", headers=headers, subprotocols=offers)
    return await connection.connect()


@pytest.mark.django_db(transaction=True)
@override_settings(EVENTCAST=CLOSED)
def test_websocket_of_the_admin_needs_the_permission_of_the_admin_only(watcher: AsyncClient) -> None:
    async def scene() -> None:
        connection = await watch(watcher)
        assert connection.sent[0] == {"type": "websocket.accept", "subprotocol": "eventcast.v1"}
        assert [each.watching for each in current_hub().subscribers()] == [True]
        await apublish("/a", "hello")
        await until(lambda: len(connection.heard) == 2)
        assert json.loads(connection.heard[1])["data"] == "hello"
        await sync_to_async(log_out)(watcher)
        assert connection.task is not None
        await asyncio.wait({connection.task}, timeout=20)
        assert connection.sent[-1]["code"] == 3000

    async_to_sync(scene)()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("happen", [log_out, deactivate, demote, forbid, change_password, delete])
@override_settings(EVENTCAST={})
def test_websocket_of_the_admin_is_refused_without_the_permission(
    watcher: AsyncClient, happen: Callable[[AsyncClient], None]
) -> None:
    async def scene() -> None:
        await sync_to_async(patiently)(happen, watcher)
        assert "websocket.accept" not in (await watch(watcher)).types()

    async_to_sync(scene)()


@pytest.mark.django_db(transaction=True)
@override_settings(EVENTCAST={"RECHECK_INTERVAL": 1})
def test_websocket_of_the_admin_asks_the_registered_class(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site's own ``has_view_permission`` holds for it, at first and later."""
    monkeypatch.setattr(revocation, "TICK", 0.01)
    allowed = {"ann"}
    may_view = lambda self, request, obj=None: request.user.username in allowed  # noqa: E731
    monkeypatch.setattr(ChannelAdmin, "has_view_permission", may_view)

    async def scene() -> None:
        ann, bob = AsyncClient(), AsyncClient()
        ann.cookies = (await sync_to_async(client_of)(username="ann")).cookies
        bob.cookies = (await sync_to_async(client_of)("view", username="bob")).cookies
        assert "websocket.accept" not in (await watch(bob)).types()
        connection = await watch(ann)
        assert connection.types() == ["websocket.accept", "websocket.send"]
        allowed.clear()
        assert connection.task is not None
        await asyncio.wait({connection.task}, timeout=20)
        assert connection.sent[-1]["code"] == 3000

    async_to_sync(scene)()


@pytest.mark.django_db(transaction=True)
@override_settings(EVENTCAST=CLOSED | {"ALLOWED_ORIGINS": ["*"]})
def test_websocket_of_the_admin_is_refused_to_pages_elsewhere(watcher: AsyncClient) -> None:
    async def scene() -> None:
        assert "websocket.accept" not in (await watch(watcher, "http://evil.example")).types()

    async_to_sync(scene)()
