"""The inside of :class:`eventcast.layers.cluster.ClusterLayer`: a message until its subscribers are counted."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.bus import ignore, settle
from eventcast.layers.counting import Reach
from eventcast.layers.peers import logger
from eventcast.layers.questions import Question, Questions

Sends = Sequence[tuple[str, dict[str, Any]]]
Note = Callable[[dict[str, Any], LayerUnavailable | None], object]


class Broadcast(Question):
    """Messages that were sent to groups in one go, until it is known how many subscribers they have reached.

    :param heard: how many of the messages go over the bus, because other processes may want them.
    :param more: subscribers of this process, counted before.
    :param known: the counts of the other processes; None if these processes are asked.
    :param keep: called with the counts that they answer.
    :param living: how many of the processes that a message goes to can answer.
    :param deliver: delivers the messages in this process.
    :param note: called at the end with the first message, and None or the error.
    """

    __slots__ = (
        "_deliver",
        "_heard",
        "_keep",
        "_known",
        "_living",
        "_more",
        "_note",
        "_questions",
        "_results",
        "_sends",
        "outcome",
        "then",
    )

    def __init__(
        self,
        sends: Sends,
        heard: int,
        more: int,
        known: Reach | None,
        keep: Callable[[Reach], object],
        questions: Questions,
        living: Callable[[int], int],
        deliver: Callable[[Sends], object],
        note: Note,
    ) -> None:
        super().__init__()
        self._sends, self._heard, self._more, self._known, self._keep = sends, heard, more, known, keep
        self._questions, self._living, self._deliver, self._note = questions, living, deliver, note
        if known is None:
            questions.open(self)
        self._results: list[int | LayerUnavailable] = []
        self.outcome: Reach | LayerUnavailable | None = None
        """The counted subscribers, or the error; None until the broadcast is over."""
        self.then: Callable[[Reach | LayerUnavailable], object] = ignore
        """Called with the outcome."""

    async def reach(self) -> Reach:
        """Wait until the broadcast is over; returns or raises its outcome."""
        future: asyncio.Future[Reach] = asyncio.get_running_loop().create_future()
        self.then = functools.partial(settle, future)
        return await future

    def sent(self, result: int | LayerUnavailable) -> None:
        """Note the result of the next message; the result of the first is that of the broadcast."""
        self._results.append(result)
        if len(self._results) < self._heard:
            return
        try:
            receivers = add_up(self._results, self._living)
        except LayerUnavailable as error:
            self._questions.close(self)
            return self._end(error)
        self._deliver(self._sends)
        if self._known is None:
            self._questions.limit(self)
            self._questions.expect(self, receivers)
        else:
            self._end(self._known)

    def over(self) -> None:
        """The other processes have answered with their counts of subscribers, or time has run out."""
        reach = Reach(sum(self.answers), max((self.expected or 0) - self.arrived, 0))
        self._keep(reach)
        self._end(reach)

    def _end(self, outcome: Reach | LayerUnavailable) -> None:
        self.outcome = outcome.with_more(self._more) if isinstance(outcome, Reach) else outcome
        self._note(self._sends[0][1], None if isinstance(outcome, Reach) else outcome)
        try:
            self.then(self.outcome)
        except Exception:
            # An error of a callback must not break the bus's connection.
            logger.exception("A publisher could not be told what has become of its message.")


def add_up(results: Sequence[int | LayerUnavailable], living: Callable[[int], int] = int) -> int:
    """How many live processes got each of the messages of a broadcast, added up.

    :raises LayerUnavailable: the bus did not take the first message.
    """
    first, *others = results
    receivers = sum([living(each) for each in results if isinstance(each, int)])
    if isinstance(first, LayerUnavailable):
        raise LayerUnavailable("Only subscribers of patterns have got the message.") if receivers else first
    for each in others:
        if isinstance(each, LayerUnavailable):
            # Not the publisher's error: a publisher that tried again would send the message twice.
            logger.error("Publishing to subscribers of patterns failed: %s", each)
    return receivers
