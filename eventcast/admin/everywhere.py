"""The admin's figures and operations in all processes: each is asked, and the answers are joined."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple, cast

from eventcast.admin.recorder import ALL, INTERVAL, Point, recorder
from eventcast.engine import presence
from eventcast.engine.asking import Answers, ask_now, own_name, question, slow_question
from eventcast.engine.figures import Figures
from eventcast.engine.subscribers import Subscriber

# --- all channels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AllChannels:
    """The channels of all processes at one moment."""

    totals: presence.Totals
    audiences: dict[str, float]
    """The subscribers of each channel."""
    rates: dict[str, float] | None
    """Messages per second of each channel, as far as they are known; None without a reading to compare with."""
    overall: float | None
    """Messages per second of all together; None likewise."""
    figures: dict[str, dict[str, float]]
    """Further figures of each channel, by their names."""
    missing: int
    """Processes that have not answered."""


def look(figures: Iterable[str] = ()) -> AllChannels:
    """Look at all channels.

    :param figures: the names of further figures to read.
    """
    answers = ask_now("channels_now", figures=list(figures))
    found = answers.found
    audiences = _joined([each["audiences"] for each in found], operator.add)
    subscribers, *counts = map(sum, zip(*(each["totals"] for each in found), strict=True))
    rates = [each["rates"] for each in found if each["rates"] is not None]
    return AllChannels(
        presence.Totals(len(audiences), subscribers, Figures(*counts)),
        audiences,
        # Not a sum: each process broadcasts each message of a channel.
        _joined(rates, max) if rates else None,
        _joined_rates(sum, *(each["overall"] for each in found)),
        {
            name: _joined(
                [each["figures"][name] for each in found], operator.add if name in ("delivered", "lost") else max
            )
            for name in figures
        },
        answers.missing,
    )


@slow_question
def channels_now(figures: list[str]) -> dict[str, Any]:
    """All channels of this process."""
    now, everything = recorder.look(), presence.figure_of_all("subscribers")
    audiences = presence.largest(everything)

    def named(values: dict[str, float]) -> dict[str, float]:
        return values if audiences is everything else {name: values[name] for name in audiences if name in values}

    return {
        "totals": [now.totals.subscribers, *astuple(now.totals.figures)],
        "audiences": audiences,
        "rates": now.by_channel and named(now.by_channel),
        "overall": now.overall,
        "figures": {name: named(presence.figure_of_all(cast(presence.FigureName, name))) for name in figures},
    }


def points_of_all(after: float) -> Sequence[Any]:
    """The last hour of all channels together.

    :param after: the time after which points are wanted.
    """
    found = ask_now("all_points", after=_earlier(after)).found
    return _joined_points(found, after, sum)


@question
def all_points(after: float) -> list[Any]:
    """The last hour of this process."""
    total = presence.totals()
    return recorder.points(ALL, total.subscribers, total.figures.messages, after)


def infos(names: list[str]) -> dict[str, presence.ChannelInfo]:
    """Some channels, in the order of their names."""
    return {info.channel: info for info in presence.infos_in(ask_now("infos", channels=names))}


# --- one channel ------------------------------------------------------------------------------------------------------


class Guest(NamedTuple):
    """A subscriber in any process."""

    id: int | str
    """Its number, with the name of its process in front if there are several."""
    connected_at: float
    peer: str
    user: str
    transport: str
    pattern: str
    pending: int
    lost: int

    @classmethod
    def of(cls, subscriber: Subscriber) -> Guest:
        """A subscriber of this process."""
        found = cls(*operator.attrgetter(*cls._fields)(subscriber))
        return found._replace(id=f"{own_name()}-{found.id}") if own_name() else found


@dataclass(frozen=True)
class Report:
    """One channel."""

    info: presence.ChannelInfo
    guests: list[Guest]
    """One page of its subscribers, and one more if there is another page."""
    points: Sequence[Any]
    """Its last hour."""
    missing: int
    """Processes that have not answered."""


def report(name: str, *, offset: int, limit: int, matching: str, after: float) -> Report:
    """A channel, with some of its subscribers, the oldest first.

    :param after: the time after which points of the charts are wanted.
    """
    first = 0 if own_name() else offset  # Each of several sends its first ones, to be sorted together.
    most, since = offset - first + limit, _earlier(after)
    answers = ask_now("channel_now", name=name, first=first, limit=most, matching=matching, after=since)
    found = answers.found
    guests = [Guest(*row) for each in found for row in each["guests"]]
    if len(found) > 1:
        guests.sort(key=operator.attrgetter("connected_at"))
    return Report(
        presence.merged(each["info"] for each in found)[name],
        guests[offset - first :][:limit],
        _joined_points([each["points"] for each in found], after, max),
        answers.missing,
    )


@question
def channel_now(name: str, first: int, limit: int, matching: str, after: float) -> dict[str, Any]:
    """A channel in this process."""
    info = presence.channel_info(name)
    guests = presence.subscribers(name, limit=limit, offset=first, matching=matching)
    return {
        "info": info.row(),
        "guests": [Guest.of(each) for each in guests],
        "points": recorder.points(name, info.subscribers, info.figures.messages, after),
    }


def guest(name: str, id: str) -> Guest | None:
    """The subscriber of a channel with this ``id``; None if it is not there (any more)."""
    process, _, number = id.rpartition("-")
    found = ask_now("guest_here", name=name, process=process, number=int(number)).found
    return next((Guest(*row) for row in found if row is not None), None)


@question
def guest_here(name: str, process: str, number: int) -> Guest | None:
    """A subscriber of this process."""
    found = presence.subscriber(name, number) if process == own_name() else None
    return None if found is None else Guest.of(found)


def disconnect(name: str, id: str | None = None) -> Answers:
    """Close one subscriber of a channel, or all but those to patterns. Each answers how many."""
    process, _, number = (id or "").rpartition("-")
    return ask_now("close_here", name=name, process=process, number=int(number) if id else None)


@question
def close_here(name: str, process: str, number: int | None) -> int:
    """Close subscribers of this process."""
    return presence.disconnect(name, number) if number is None or process == own_name() else 0


# --- putting together -------------------------------------------------------------------------------------------------


def _joined(found: list[dict[str, float]], join: Callable[[float, float], float]) -> dict[str, float]:
    result, *more = found
    for each in more:
        result = result | {name: join(value, result[name]) if name in result else value for name, value in each.items()}
    return result


def _joined_rates(join: Callable[[list[float]], float], *rates: float | None) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return join(known) if known else None


def _earlier(after: float) -> float:
    """The ``after`` to ask processes for: earlier, because their points are then moved to common intervals."""
    return after - 2 * INTERVAL if own_name() else after


def _joined_points(found: list[Sequence[Any]], after: float, join: Callable[[list[float]], float]) -> Sequence[Any]:
    """The readings of several processes, which have clocks of their own: one point for each :data:`INTERVAL`."""
    if len(found) == 1:
        return [*(point for point in found[0][:-1] if point[0] > after), found[0][-1]]
    sums: dict[int, Point] = {}

    def add(number: int, time: float, subscribers: int, rate: float | None) -> None:
        _, others, before = sums.get(number, (time, 0, None))
        sums[number] = Point(time, others + subscribers, _joined_rates(join, before, rate))

    for points in found:
        numbered = {round(time / INTERVAL): (subscribers, rate) for time, subscribers, rate in points[:-1]}
        for number in list(numbered):
            numbered.setdefault(number + 1, numbered[number])  # A late timer skips one: repeat the last.
        for number, reading in numbered.items():
            add(number, number * INTERVAL, *reading)
        add(-1, *points[-1])
    now = sums.pop(-1)
    # The present interval is left out: it is not complete.
    return [*(sums[number] for number in sorted(sums) if after < sums[number].time <= now.time - INTERVAL / 2), now]
