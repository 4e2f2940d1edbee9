"""The beats of a service, by which a watchdog knows that it lives."""

from __future__ import annotations

import logging
import math
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any

from eventcast.client.publishing import TIMEOUT, Publisher
from eventcast.client.reconnecting import OnState, Outage, State, may_pass
from eventcast.engine.messages import to_data
from eventcast.exceptions import EventcastError, Refused

logger = logging.getLogger("eventcast.client")

EVERY = 5.0
"""Seconds between two beats, by default."""

DATA = "alive"
"""The message of a beat, by default. A watchdog takes any message for a beat."""

CLOSING = 2.0
"""Seconds that :meth:`Beat.close` waits for a beat on its way."""


def next_beat(last: int, every: float, elapsed: float) -> int:
    """The number of the beat after ``last``: beat n is due n * ``every`` seconds after the first.

    Overdue beats are skipped: ten beats at once tell a watchdog no more than one.

    :param elapsed: seconds since the first beat.
    """
    return max(last + 1, math.ceil(elapsed / every))


class Beat:
    """Publishes a beat again and again, in a thread of its own, as long as the ``with`` lasts::

        with beat("http://127.0.0.1:8000/heartbeat/logserver"):
            serve()

    When the server cannot be reached, each beat tries again. ``eventcast.client`` logs one warning then, and one when
    the server is back. When the server refuses for good, the beats end, with a logged error. A process that forks must
    start its beats in the children. It can be entered once. :meth:`run` does the same without a thread.

    :param url: of the channel.
    :param every: seconds between two beats.
    :param data: the message, as for :func:`publish`.
    :param on_state: called in that thread with a :class:`State`: once ``waiting`` when the server cannot be reached,
        and once ``open`` when it can.
    :param headers: more headers of the requests, such as ``Authorization``.
    :param tls: how to check the server's certificate; default: as the system does.
    :raises InvalidMessage: ``data`` has no JSON form.
    :raises ValueError: ``url`` is not a URL, or ``every`` is not above 0.
    """

    def __init__(
        self,
        url: str,
        *,
        every: float = EVERY,
        data: Any = DATA,
        on_state: OnState | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not 0 < every < math.inf:
            raise ValueError(f"The seconds between two beats are a number above 0, not {every!r}.")
        # A beat that takes longer than two intervals is useless: the next one replaces it.
        self._publisher = Publisher(url, headers=headers, timeout=min(TIMEOUT, max(1.0, 2 * every)), tls=tls)
        self._every = every
        self._data = to_data(data)
        self._listeners = [] if on_state is None else [on_state]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run_and_log, name="eventcast beat", daemon=True)
        self._state = ""
        self._lost_at = 0.0

    def __enter__(self) -> Beat:
        name = f"Beats to {self._publisher.target.authority}"
        self._listeners.insert(0, Outage(name, logger.warning, meanwhile="Trying again with each beat.").take)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the beats. Waits a short time for a beat on its way."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING)

    def run(self) -> None:
        """Publish beats until another thread calls :meth:`close`.

        :raises Refused: the server refuses the beats for good.
        """
        began, number = time.monotonic(), 0
        with self._publisher:
            while not self._closed.wait(max(0.0, began + number * self._every - time.monotonic())):
                pause = self._beat()
                number = next_beat(number, self._every, time.monotonic() + pause - began)

    def _run_and_log(self) -> None:
        try:
            self.run()
        except Refused as error:
            server, refused = self._publisher.target.authority, f"{error.status} {error.code}. {error.detail}"
            logger.error("Beats to %s: they end, because the server refuses them: %s", server, refused)

    def _beat(self) -> float:
        """Publish one beat; returns the seconds that the server asks to wait."""
        try:
            self._publisher.send(self._publisher.target.path, self._data)
        except EventcastError as error:
            if not may_pass(error):
                raise
            pause = (error.retry_after or 0.0) if isinstance(error, Refused) else 0.0
            if self._state != "waiting":
                self._lost_at = time.monotonic()
                self._tell(State("waiting", delay=max(pause, self._every), reason=str(error)))
            return pause
        if self._state != "open":
            self._tell(State("open", missed=time.monotonic() - self._lost_at if self._state else 0.0))
        return 0.0

    def _tell(self, state: State) -> None:
        self._state = state.name
        for listener in self._listeners:
            listener(state)


beat = Beat
"""The name to use with ``with``."""
