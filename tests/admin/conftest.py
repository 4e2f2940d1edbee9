"""Fixtures: channels with subscribers, and users with permissions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from eventcast.admin.recorder import Recorder, recorder
from eventcast.engine import presence
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import publish
from tests.fakes import FakeSubscriber, close_loop, until
from tests.layer_tools import Clock

_numbers = itertools.count(1)


def url(page: str, *names: str) -> str:
    """The URL of a page of the admin: ``url("change", "/a")``."""
    return reverse(f"admin:eventcast_channel_{page}", args=[quote(name) for name in names])


@pytest.fixture(autouse=True)
def clock() -> Clock:
    """The clock of the admin's recorder, before its first reading."""
    clock = Clock()
    vars(recorder).update(vars(Recorder(clock)))
    return clock


def record(recorder: Recorder) -> None:
    """Read the counters of all channels at once."""
    for _ in recorder.read():
        pass


class Room:
    """Channels with subscribers, on an event loop that runs during each method call."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._present: list[FakeSubscriber] = []

    def enter(self, channel: Any, subscriber: FakeSubscriber | None = None, **described: str) -> FakeSubscriber:
        """A subscriber joins: this one, or one with this description."""
        subscriber = subscriber or FakeSubscriber(**described)

        async def enter() -> None:
            await current_hub().subscribe(channel, subscriber)

        self._loop.run_until_complete(enter())
        self._present.append(subscriber)
        return subscriber

    def fill(self, channels: list[str]) -> None:
        """Add one subscriber to each channel."""
        for channel in channels:
            self.enter(channel)

    def publish(self, channel: str, *data: str | bytes) -> None:
        """Publish, and wait until all messages are broadcast."""
        before = presence.channel_info(channel).figures.messages
        for each in data:
            publish(channel, each)
        self.run_until(lambda: presence.channel_info(channel).figures.messages == before + len(data))

    def run_until(self, condition: Callable[[], Any]) -> None:
        self._loop.run_until_complete(until(condition))

    def leave(self, subscriber: FakeSubscriber) -> None:
        """A subscriber leaves."""
        self._present.remove(subscriber)
        self._loop.run_until_complete(self._leave(subscriber))

    async def _leave(self, subscriber: FakeSubscriber) -> None:
        current_hub().unsubscribe(subscriber)

    def close(self) -> None:
        """All subscribers leave."""
        for subscriber in list(self._present):
            self.leave(subscriber)
        close_loop(self._loop)


@pytest.fixture
def room(own_hubs: None) -> Iterator[Room]:
    room = Room()
    yield room
    room.close()


ClientOf = Callable[..., Client]


@pytest.fixture
def client_of(db: None) -> ClientOf:
    """Log a new user in: ``client_of("view", "publish")`` has these permissions on channels, and no others."""

    def client_of(*permissions: str, **fields: Any) -> Client:
        user = User.objects.create_user(**{"username": f"user{next(_numbers)}", "is_staff": True, **fields})
        codenames = [f"{permission}_channel" for permission in permissions]
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(permissions)
        client = Client()
        client.force_login(user)
        return client

    return client_of


@pytest.fixture
def superuser(client_of: ClientOf) -> Client:
    return client_of(is_superuser=True)
