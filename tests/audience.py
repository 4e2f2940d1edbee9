"""Subscribers of this event loop's hub, all of which leave in the end."""

from __future__ import annotations

from typing import TypeVar

from eventcast.engine.hub import Hub, current_hub
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from tests.fakes import FakeSubscriber

Kind = TypeVar("Kind", bound=Subscriber)


class Audience:
    """Subscribers of the hub of the running event loop."""

    def __init__(self) -> None:
        self.hub: Hub = current_hub()
        self.present: list[Subscriber] = []

    async def join(self, wanted: str | Pattern) -> FakeSubscriber:
        """A subscriber whose client takes everything."""
        return await self.add(wanted, FakeSubscriber())

    async def add(self, wanted: str | Pattern, subscriber: Kind) -> Kind:
        await self.hub.subscribe(wanted, subscriber)
        self.present.append(subscriber)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        self.present.remove(subscriber)
        self.hub.unsubscribe(subscriber)

    def leave_all(self) -> None:
        for subscriber in list(self.present):
            self.leave(subscriber)
