"""The stream of messages in the admin, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, override_settings

from eventcast.engine import presence
from eventcast.engine.publishing import apublish
from eventcast.security import revocation
from tests.admin.conftest import ClientOf, url
from tests.fakes import until


class Stream:
    """The stream of ``client``'s user. Use it inside an event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def __aenter__(self) -> Stream:
        response: Any = await self.client.get(url("messages", "/a"))
        assert response.status_code == 200, response
        assert response["Content-Type"] == "text/event-stream"
        self._pieces: AsyncIterator[bytes] = aiter(response)
        assert (await self.next()).startswith(b"retry: ")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pieces.aclose()  # type: ignore[attr-defined]

    async def next(self) -> bytes:
        return await asyncio.wait_for(anext(self._pieces), 10)

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
            assert await stream.next() == b"data: hello\ndata: <b>\n\n"
            await apublish("/a", b"\x00")
            assert await stream.next() == b"event: binary\ndata: AA==\n\n"

    async_to_sync(scene)()


def test_tail_is_among_the_subscribers(watcher: AsyncClient) -> None:
    async def scene() -> None:
        async with Stream(watcher):
            (found,) = presence.subscribers("/a")
            assert (found.user, found.transport) == ("ann", "sse")
        await until(lambda: presence.subscriber_count("/a") == 0)

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
            assert await stream.next() == b"data: hello\n\n"
            await sync_to_async(happen)(watcher)
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
