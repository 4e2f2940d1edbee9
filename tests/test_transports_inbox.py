"""What has come and is not taken yet is bounded, because nothing more is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventcast.server.daphne.inbox import Inbox


class Source:
    """A connection that is read, or not."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def queue() -> asyncio.Queue[dict[str, Any]]:
    return asyncio.Queue()


@pytest.fixture
def inbox(queue: asyncio.Queue[dict[str, Any]], source: Source) -> Inbox:
    return Inbox(queue, source)


def test_event_goes_to_the_queue(inbox: Inbox, queue: asyncio.Queue[dict[str, Any]]) -> None:
    inbox.put_nowait({"text": "x"})
    assert queue.get_nowait() == {"text": "x"}


def test_events_taken_one_by_one_hold_nobody_back(
    inbox: Inbox, queue: asyncio.Queue[dict[str, Any]], source: Source
) -> None:
    for _ in range(3):
        inbox.put_nowait({})
        queue.get_nowait()
        inbox.taken()
    assert source.calls == []


def test_second_event_that_waits_holds_its_client_back(inbox: Inbox, source: Source) -> None:
    for _ in range(5):
        inbox.put_nowait({})
    assert source.calls == ["pause"]


def test_reading_goes_on_when_nothing_waits_any_more(
    inbox: Inbox, queue: asyncio.Queue[dict[str, Any]], source: Source
) -> None:
    for _ in range(2):
        for _ in range(3):
            inbox.put_nowait({})
        for _ in range(3):
            assert source.calls[-1] == "pause"
            queue.get_nowait()
            inbox.taken()
    assert source.calls == ["pause", "resume"] * 2
