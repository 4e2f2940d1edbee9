"""Counts and figures of this process: its channels, subscribers and messages. Safe in any thread.

Pages of the admin that listen are not counted as subscribers. Other processes can call the functions that are marked as
questions, see ``eventcast.engine.asking``.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eventcast.engine import patterns
from eventcast.engine.asking import Answers, ask, own_name, question
from eventcast.engine.closing import OPERATOR
from eventcast.engine.figures import Figures, past_figures
from eventcast.engine.hub import hubs
from eventcast.engine.subscribers import Subscriber

MAX_LISTED = 10_000
"""Most channels that a process lists for another process."""

FigureName = Literal["subscribers", "messages", "delivered", "lost", "last_message_at"]


@dataclass(frozen=True)
class ChannelInfo:
    """The counts of one channel, or of the subscriptions to one pattern, in this process or in all processes."""

    channel: str
    """The channel's name, or the pattern as the first of its current subscribers wrote it."""
    subscribers: int
    """Current subscribers of the channel, including those to matching patterns; or of this pattern."""
    figures: Figures
    """The figures since the first of its subscribers; reset after the last has left."""
    last_message_at: float = 0.0
    """When the last message arrived in that time, seconds since the epoch; 0 if none has."""

    def row(self) -> list[Any]:
        """The record as a list of JSON types."""
        figures = self.figures
        return [self.channel, self.subscribers, figures.messages, figures.delivered, figures.lost, self.last_message_at]

    @classmethod
    def of(cls, row: Sequence[Any]) -> ChannelInfo:
        """The reverse of :meth:`row`."""
        channel, subscribers, messages, delivered, lost, *rest = row
        return cls(channel, subscribers, Figures(messages, delivered, lost), *rest)

    def __add__(self, other: ChannelInfo) -> ChannelInfo:
        """Add the counts of another process. ``messages`` is not added, since each process broadcasts each message."""
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
    """The counts of this process."""

    channels: int
    """Channels with current subscribers, without those to patterns."""
    subscribers: int
    """Current subscribers."""
    figures: Figures
    """The figures since the process started, including channels without current subscribers."""


def subscriber_count(channel: str, *, patterns: bool = True) -> int:
    """How many subscribers of ``channel`` this process has now.

    :param patterns: whether to count subscribers to patterns that match the channel.
    """
    if not patterns:
        return sum(local.count for hub in hubs() if (local := hub.channels.get(channel)) is not None)
    return sum(local.count for hub in hubs() for local in hub.channels_for(channel))


async def asubscriber_count(channel: str) -> int:
    """How many subscribers of ``channel`` all processes have.

    Each process has 250 ms to answer; otherwise its subscribers are not counted. With a channel layer of another
    project, only this process is counted.
    """
    return sum(row[1] for rows in (await ask("infos", channels=[channel])).found for row in rows)


def channel_info(channel: str) -> ChannelInfo:
    """The counts of ``channel`` in this process; zeros if it has no subscribers."""
    found = [local for hub in hubs() if (local := hub.channels.get(channel)) is not None]
    return ChannelInfo(
        channel,
        subscriber_count(channel),
        sum((local.figures for local in found), Figures()),
        max((local.last_message_at for local in found), default=0.0),
    )


@question
def infos(channels: list[str]) -> list[list[Any]]:
    """The rows of these channels, also of channels with no subscribers but those of patterns."""
    return [channel_info(name).row() for name in channels]


@question
def listening(pattern: str) -> int:
    """How many subscribers to a pattern this process has."""
    return sum(info.subscribers for info in live_patterns() if info.channel == pattern)


def merged(rows: Iterable[Sequence[Any]]) -> dict[str, ChannelInfo]:
    """The rows of several processes, one record for each channel, sorted by name."""
    found: dict[str, ChannelInfo] = {}
    for info in map(ChannelInfo.of, rows):
        found[info.channel] = found[info.channel] + info if info.channel in found else info
    return dict(sorted(found.items()))


def infos_in(answers: Answers) -> list[ChannelInfo]:
    """The answers of all processes to the question ``infos``, one record for each channel, sorted by name."""
    return list(merged(row for rows in answers.found for row in rows).values())


def live_channels(*, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
    """The names of the channels with subscribers in this process, sorted.

    :param prefix: only names that begin with it.
    :param after: only names after it: the last name of the previous page.
    :param limit: most names to return.
    """
    names = {
        name
        for hub in hubs()
        for name, local in list(hub.channels.items())
        if local.count and name > after and name.startswith(prefix)
    }
    return heapq.nsmallest(limit, names)


def live_patterns(*, prefix: str = "", limit: int = 1000) -> list[ChannelInfo]:
    """The patterns with subscribers in this process, sorted by text.

    :param prefix: only patterns with a literal prefix that begins with it.
    :param limit: most patterns to return.
    """
    found: dict[str, ChannelInfo] = {}
    for local in [local for hub in hubs() for local in hub.patterns if local.count]:
        if not patterns.parse(local.name).literal_prefix.startswith(prefix):
            continue
        known = found.get(local.name, ChannelInfo(local.name, 0, Figures()))
        found[local.name] = ChannelInfo(local.name, known.subscribers + local.count, known.figures + local.figures)
    return [found[text] for text in heapq.nsmallest(limit, found)]


def figure_of_all(figure: FigureName) -> dict[str, float]:
    """One figure of every channel with subscribers in this process, not sorted. Much faster for thousands of channels
    than :func:`live_channels`."""
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
    """The subscribers of ``channel`` in this process, the oldest first, without pages of the admin.

    :param limit: most subscribers to return.
    :param offset: how many to skip at the start.
    :param matching: only subscribers with this text in their peer, user or transport, in any case.
    """
    found = _find(channel, matching)
    return heapq.nsmallest(offset + limit, found, key=operator.attrgetter("id"))[offset:]


def subscriber(channel: str, id: int) -> Subscriber | None:
    """The subscriber of ``channel`` with this ``id``; None if this process has none."""
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
    """Only the :data:`MAX_LISTED` channels with the most subscribers, unless only this process is asked."""
    if not own_name() or len(found) <= MAX_LISTED:
        return found
    return {name: found[name] for name in heapq.nlargest(MAX_LISTED, found, found.__getitem__)}


def disconnect(channel: str, id: int | None = None) -> int:
    """Close the subscriber of ``channel`` with this ``id``, or all its subscribers. Safe in any thread.

    Subscribers to patterns are closed only by their ``id``, because they also get other channels. Returns how many
    subscribers will be closed; the event loops close them.
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
    """The sums of all channels of this process."""
    with past_figures.lock:
        here = [local for hub in hubs() for local in list(hub.channels.values())]
        everywhere = [*here, *(local for hub in hubs() for local in hub.patterns)]
        # Three sums of numbers, because one sum of records takes five times as long.
        figures = past_figures.value + Figures(
            messages=sum(local.messages for local in everywhere),
            delivered=sum(local.delivered for local in everywhere),
            lost=sum(local.lost for local in everywhere),
        )
    channels = {local.name for local in here if local.count}
    return Totals(len(channels), sum(local.count for local in everywhere), figures)
