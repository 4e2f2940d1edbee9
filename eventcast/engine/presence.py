"""Counts and figures of this process: its subscribers, and what passes. Readable from any thread.

Pages of the admin that listen are no subscribers.

What is marked as a question is what this process answers when another one asks, see ``eventcast.engine.asking``.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eventcast.engine import patterns
from eventcast.engine.asking import Answers, ask, own_name, question, slow_question
from eventcast.engine.closing import OPERATOR
from eventcast.engine.figures import Figures, past_figures
from eventcast.engine.hub import hubs
from eventcast.engine.subscribers import Subscriber

MOST = 10_000
"""Channels that a process names to another one that wants to know all."""

FigureName = Literal["subscribers", "messages", "delivered", "lost", "last_message_at"]


@dataclass(frozen=True)
class ChannelInfo:
    """What is known of a channel in this process, or in all together, or of the subscriptions to a pattern."""

    channel: str
    """Its name; the pattern as the first of its present subscribers has written it."""
    subscribers: int
    """Live connections that hear it now, by its name or by a pattern; those that listen by this pattern."""
    figures: Figures
    """What has come to pass since it has had subscribers of its own without a break."""
    last_message_at: float = 0.0
    """When the last message came in that time, seconds since the epoch; 0 if none has."""

    def row(self) -> list[Any]:
        """The same in JSON's types."""
        figures = self.figures
        return [self.channel, self.subscribers, figures.messages, figures.delivered, figures.lost, self.last_message_at]

    @classmethod
    def of(cls, row: Sequence[Any]) -> ChannelInfo:
        """The reverse of :meth:`row`."""
        channel, subscribers, messages, delivered, lost, *rest = row
        return cls(channel, subscribers, Figures(messages, delivered, lost), *rest)

    def __add__(self, other: ChannelInfo) -> ChannelInfo:
        """The same channel in several processes, each of which broadcasts each message."""
        mine, others = self.figures, other.figures
        messages = max(mine.messages, others.messages)
        return ChannelInfo(
            self.channel,
            self.subscribers + other.subscribers,
            Figures(messages, mine.delivered + others.delivered, mine.lost + others.lost),
            max(self.last_message_at, other.last_message_at),
        )


@dataclass(frozen=True)
class Totals:
    """This process as a whole."""

    channels: int
    """Channels that have subscribers of their own now."""
    subscribers: int
    """Live connections that listen now."""
    figures: Figures
    """What has come to pass since the process began, on channels without subscribers by now too."""


def subscriber_count(channel: str, *, patterns: bool = True) -> int:
    """How many subscribers that hear ``channel`` are connected to this process right now.

    :param patterns: whether subscribers to patterns that match it count.
    """
    if not patterns:
        return sum(local.count for hub in hubs() if (local := hub.channels.get(channel)) is not None)
    return sum(local.count for hub in hubs() for local in hub.channels_for(channel))


async def asubscriber_count(channel: str) -> int:
    """How many subscribers that hear ``channel`` are connected to all processes.

    Each process is asked, and has 250 ms to answer. Those of a process that does not are not in the number. With a
    channel layer that is not eventcast's, the number is that of :func:`subscriber_count`.
    """
    return sum(row[1] for rows in (await ask("infos", channels=[channel])).found for row in rows)


def channel_info(channel: str) -> ChannelInfo:
    """What is known of ``channel`` in this process; zeros if it has no subscribers."""
    found = [local for hub in hubs() if (local := hub.channels.get(channel)) is not None]
    return ChannelInfo(
        channel,
        subscriber_count(channel),
        sum((local.figures for local in found), Figures()),
        max((local.last_message_at for local in found), default=0.0),
    )


@question
def infos(channels: list[str]) -> list[list[Any]]:
    """The rows of some channels. Subscribers to patterns hear channels that have no other subscribers here, too."""
    return [channel_info(name).row() for name in channels]


@question
def listening(pattern: str) -> int:
    """How many subscribers of this process listen by a pattern."""
    return sum(info.subscribers for info in live_patterns() if info.channel == pattern)


def merged(rows: Iterable[Sequence[Any]]) -> dict[str, ChannelInfo]:
    """The rows of several processes, those of one channel as one, in the order of their names."""
    found: dict[str, ChannelInfo] = {}
    for info in map(ChannelInfo.of, rows):
        found[info.channel] = found[info.channel] + info if info.channel in found else info
    return dict(sorted(found.items()))


def infos_in(answers: Answers) -> list[ChannelInfo]:
    """What all processes that have answered the question ``infos`` know, in the order of the names."""
    return list(merged(row for rows in answers.found for row in rows).values())


def live_channels(*, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
    """The names of the channels that have subscribers in this process, in their order.

    :param prefix: only those whose names begin with it.
    :param after: only those whose names come after it: the last one of the page before.
    :param limit: how many at most.
    """
    names = {
        name
        for hub in hubs()
        for name, local in list(hub.channels.items())
        if local.count and name > after and name.startswith(prefix)
    }
    return heapq.nsmallest(limit, names)


def live_patterns(*, prefix: str = "", limit: int = 1000) -> list[ChannelInfo]:
    """The patterns that have subscribers in this process, in the order of their texts.

    :param prefix: only those all of whose channels' names begin with it.
    :param limit: how many at most.
    """
    found: dict[str, ChannelInfo] = {}
    for local in [local for hub in hubs() for local in hub.patterns if local.count]:
        if not patterns.parse(local.name).literal_prefix.startswith(prefix):
            continue
        known = found.get(local.name, ChannelInfo(local.name, 0, Figures()))
        found[local.name] = ChannelInfo(local.name, known.subscribers + local.count, known.figures + local.figures)
    return [found[text] for text in heapq.nsmallest(limit, found)]


def figure_of_all(figure: FigureName) -> dict[str, float]:
    """One figure of every live channel of this process, in no order; for thousands of channels much quicker than
    :func:`live_channels`."""
    value_of = operator.attrgetter("count" if figure == "subscribers" else figure)
    join = max if figure == "last_message_at" else operator.add
    found: dict[str, float] = {}
    everywhere = hubs()
    for hub in everywhere:
        here = {name: value_of(local) for name, local in list(hub.channels.items()) if local.count}
        found = here | {name: join(value, here.get(name, 0)) for name, value in found.items()}
    if figure == "subscribers" and any(hub.patterns for hub in everywhere):
        return {name: subscriber_count(name) for name in found}
    return found


def subscribers(channel: str, *, limit: int = 1000, offset: int = 0, matching: str = "") -> list[Subscriber]:
    """The subscribers of ``channel`` in this process without pages of the admin, the first to come at the top.

    :param limit: how many at most.
    :param offset: how many to leave out at the top.
    :param matching: only those whose peer, user or transport contains this, whatever its case.
    """
    found = _find(channel, matching)
    return heapq.nsmallest(offset + limit, found, key=operator.attrgetter("id"))[offset:]


def subscriber(channel: str, id: int) -> Subscriber | None:
    """The subscriber of ``channel`` that has this ``id``; None if it is not here (any more)."""
    return next((subscriber for subscriber in _find(channel) if subscriber.id == id), None)


def _find(channel: str, matching: str = "") -> Iterator[Subscriber]:
    text = matching.lower()
    for local in [local for hub in hubs() for local in hub.channels_for(channel)]:
        for subscriber in local:
            if subscriber.watching:
                continue
            if not text or text in f"{subscriber.peer}\n{subscriber.user}\n{subscriber.transport}".lower():
                yield subscriber


def largest(found: dict[str, float]) -> dict[str, float]:
    """What this process names to others, if it is not alone: the :data:`MOST` channels with the most subscribers."""
    if not own_name() or len(found) <= MOST:
        return found
    return {name: found[name] for name in heapq.nlargest(MOST, found, found.__getitem__)}


@slow_question
def overview() -> tuple[int, list[str]]:
    """The number of subscribers, and the channels that they listen to."""
    return totals().subscribers, list(largest(figure_of_all("subscribers")))


def disconnect(channel: str, id: int | None = None) -> int:
    """Close the subscriber with this ``id`` that hears ``channel``, or all of the channel's own; safe in any thread.

    Subscribers to patterns hear other channels too, and are closed only by their ``id``. Returns how many are closed, a
    moment later.
    """
    number = 0
    for hub in hubs():
        own = hub.channels.get(channel)
        found = [
            subscriber
            for local in hub.channels_for(channel)
            for subscriber in local
            if subscriber.id == id or (id is None and local is own and not subscriber.watching)
        ]
        hub.call(_close, found)
        number += len(found)
    return number


def _close(found: list[Subscriber]) -> None:
    for subscriber in found:
        subscriber.close(OPERATOR)


def totals() -> Totals:
    """The figures of this process as a whole."""
    with past_figures.lock:
        here = [local for hub in hubs() for local in list(hub.channels.values())]
        everywhere = [*here, *(local for hub in hubs() for local in hub.patterns)]
        # Three sums of numbers: one of records takes five times as long.
        figures = past_figures.value + Figures(
            messages=sum(local.messages for local in everywhere),
            delivered=sum(local.delivered for local in everywhere),
            lost=sum(local.lost for local in everywhere),
        )
    channels = {local.name for local in here if local.count}
    return Totals(len(channels), sum(local.count for local in everywhere), figures)
