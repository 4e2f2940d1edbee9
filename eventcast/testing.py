"""For the tests of a site: what the site publishes, without a server, checked as in production.

::

    class OrderTest(PublishedMixin, TestCase):
        def test_page_hears_of_the_payment(self):
            self.client.post("/orders/42/pay/")
            self.assertPublished("/live/orders/42", {"paid": True})

:func:`capture` does it for one block, and the fixture ``eventcast_outbox`` for tests of pytest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, overload

from django.db import connections

from eventcast.engine import messages, publishing, sending

_ANY: Any = object()


@dataclass(frozen=True)
class Published:
    """A message that was published."""

    channel: str
    """The channel's whole name, with the mount."""
    data: str | bytes
    """What subscribers get: text (``str``) or binary (``bytes``)."""
    event: str = ""
    """The name of its event."""

    def json(self) -> Any:
        """The value of a message in JSON.

        :raises ValueError: it is not in JSON.
        """
        return json.loads(self.data)

    def carries(self, data: Any) -> bool:
        """Whether publishing ``data`` makes this message. The order of a dict's keys makes no difference."""
        expected = messages.to_data(data)
        if isinstance(data, (str, bytes, bytearray, memoryview)) or not isinstance(self.data, str):
            return self.data == expected
        try:
            return bool(self.json() == json.loads(expected))
        except ValueError:
            return False


class Outbox(Sequence[Published]):
    """What was published since the capture began, in order; by this process, in any thread.

    A message with ``on_commit=True`` is in it as soon as its ``atomic`` block has ended, though the transaction of a
    ``TestCase`` never commits; not after a rollback.
    """

    def __init__(self) -> None:
        self._published: list[Published] = []

    @overload
    def __getitem__(self, index: int) -> Published: ...
    @overload
    def __getitem__(self, index: slice) -> list[Published]: ...
    def __getitem__(self, index: int | slice) -> Published | list[Published]:
        self._commit()
        return self._published[index]

    def __len__(self) -> int:
        self._commit()
        return len(self._published)

    def __repr__(self) -> str:
        return repr(list(self))

    def on(self, channel: str) -> list[Published]:
        """The messages on one channel, named as for ``publish``.

        :raises InvalidChannel: that cannot be a channel's name.
        """
        name = publishing.whole_name(channel)
        return [message for message in self if message.channel == name]

    def clear(self) -> None:
        """Remove all messages."""
        self._commit()
        self._published.clear()

    def assert_published(
        self, channel: str, data: Any = _ANY, *, event: str | None = None, times: int | None = None
    ) -> None:
        """Fail unless a message was published on ``channel``.

        :param data: what was given to ``publish``; default: anything.
        :param event: the name of its event; default: any name or none.
        :param times: how many such messages there are; default: at least one.
        """
        here = self.on(channel)
        found = [
            message for message in here if (data is _ANY or message.carries(data)) and event in (None, message.event)
        ]
        if len(found) == times or (times is None and found):
            return
        what = "a message" if data is _ANY else repr(data)
        often = "" if times is None else f" {times} times, but {len(found)} times"
        named = "" if event is None else f" as event {event!r}"
        raise AssertionError(
            f"{what} was not published on {channel!r}{named}{often}. Published: {here or list(self)!r}."
        )

    def _add(self, event: dict[str, Any]) -> None:
        self._published += [Published(event["channel"], data, event.get("event", "")) for data in event["messages"]]

    def _commit(self) -> None:
        """Publish what waits for the transaction of a ``TestCase``."""
        for connection in connections.all(initialized_only=True):
            blocks: list[Any] = connection.atomic_blocks
            if not (blocks and blocks[0]._from_testcase):
                continue  # A transaction that is real, or none.
            inside = zip(connection.savepoint_ids, blocks[1:], strict=False)
            is_open = {savepoint for savepoint, block in inside if not block._from_testcase}
            ready = [
                entry
                for entry in connection.run_on_commit
                if entry[1].__module__ == publishing.__name__ and is_open.isdisjoint(entry[0])
            ]
            connection.run_on_commit = [entry for entry in connection.run_on_commit if entry not in ready]
            for entry in ready:
                entry[1]()


@contextmanager
def capture() -> Iterator[Outbox]:
    """Capture what is published while the block runs, and what was published with ``on_commit`` in it.

    Subscribers of this process get the messages, too, if the channel layer is the in-memory one. Nothing leaves the
    process: no message goes to Redis, nor to the server of ``EVENTCAST["URL"]``.
    """
    outbox = Outbox()
    sending.captures.append(outbox._add)
    try:
        yield outbox
        outbox._commit()
    finally:
        sending.captures.remove(outbox._add)


class PublishedMixin:
    """For ``SimpleTestCase``, ``TestCase`` and ``TransactionTestCase``: captures what each test publishes.

    ``class OrderTest(PublishedMixin, TestCase)``: before Django's class.
    """

    published: Outbox
    """What the test has published so far."""

    def run(self, result: Any = None) -> Any:
        """Run the test with an empty outbox. Not in ``setUp``: as with Django's classes, a ``setUp`` of the site's own
        need not call ``super().setUp()``."""
        with capture() as self.published:
            return super().run(result)  # type: ignore[misc]  # of unittest.TestCase

    def assertPublished(
        self, channel: str, data: Any = _ANY, *, event: str | None = None, times: int | None = None
    ) -> None:
        """Fail unless a message was published on ``channel``: see :meth:`Outbox.assert_published`."""
        self.published.assert_published(channel, data, event=event, times=times)

    def assertNotPublished(self, channel: str, data: Any = _ANY) -> None:
        """Fail if a message was published on ``channel``."""
        self.published.assert_published(channel, data, times=0)
