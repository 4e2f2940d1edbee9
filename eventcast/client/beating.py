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
from eventcast.client.reconnecting import OnState, State
from eventcast.engine.messages import to_data
from eventcast.exceptions import EventcastError, Refused

logger = logging.getLogger("eventcast.client")

EVERY = 5.0
"""Seconds between two beats, by default."""

DATA = "alive"
"""What a beat says, by default. Any message is one."""

CLOSING = 2.0
"""Seconds that a beat on its way has until whoever leaves does not wait for it."""


def next_beat(last: int, every: float, elapsed: float) -> int:
    """The number of the beat after ``last``: number n is due n times ``every`` after the first, however long one took.

    Those whose time has passed are left out: ten at once say no more than one.

    :param elapsed: seconds since the first.
    """
    return max(last + 1, math.ceil(elapsed / every))


def beat(
    url: str,
    *,
    every: float = EVERY,
    data: Any = DATA,
    on_state: OnState | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Beat:
    """Say on a channel that this service lives, from a thread of its own, as long as the ``with`` lasts::

        with beat("http://127.0.0.1:8000/heartbeat/logserver"):
            serve()

    A server that cannot be reached is tried again at each beat. ``eventcast.client`` logs one warning then, and one
    when it is back. One that refuses for good gets no beat any more, and that is logged as an error. A process that
    forks has to begin in its children.

    :param url: of the channel.
    :param every: seconds between two beats.
    :param data: what a beat says; as :func:`publish` takes it.
    :param on_state: called in that thread with a :class:`State`: ``waiting`` when the server cannot be reached, and
        ``open`` when it is there, each once.
    :param headers: more headers of the requests, such as ``Authorization``.
    :param tls: how to check the server's certificate; default: as the system does.
    :raises InvalidMessage: ``data`` has no JSON form.
    :raises ValueError: ``url`` is none, or ``every`` is not above 0.
    """
    return Beat(url, every=every, data=data, on_state=on_state, headers=headers, tls=tls)


class Beat:
    """What :func:`beat` returns: enter it to begin, once. :meth:`run` is the same without a thread."""

    def __init__(
        self,
        url: str,
        *,
        every: float,
        data: Any,
        on_state: OnState | None,
        headers: Mapping[str, str] | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        if not 0 < every < math.inf:
            raise ValueError(f"The seconds between two beats are a number above 0, not {every!r}.")
        # A beat that takes longer than until the next but one is of no use to anybody.
        self._publisher = Publisher(url, headers=headers, timeout=min(TIMEOUT, max(1.0, 2 * every)), tls=tls)
        self._every = every
        self._data = to_data(data)
        self._on_state = on_state
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost_at: float | None = None
        self._reached = False

    def __enter__(self) -> Beat:
        self._thread = threading.Thread(target=self._run_and_log, name="eventcast beat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Beat no more. Waits for a beat on its way, but not for long."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(CLOSING)

    def run(self) -> None:
        """Beat until :meth:`close` is called by another thread.

        :raises Refused: the server turns the beats down for good.
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
            logger.error(
                "No more beats to %s, it refuses them: %s %s. %s",
                self._publisher.target.authority,
                error.status,
                error.code,
                error.detail,
            )

    def _beat(self) -> float:
        """Publish one; returns the seconds for which the server asks for no more."""
        try:
            self._publisher.publish(self._data)
        except EventcastError as error:
            if isinstance(error, Refused) and not _passes(error):
                raise
            pause = (error.retry_after or 0.0) if isinstance(error, Refused) else 0.0
            if self._lost_at is None:
                self._lost_at = time.monotonic()
                self._tell(State("waiting", delay=max(pause, self._every), reason=str(error)))
            return pause
        if self._lost_at is not None or not self._reached:
            missed = 0.0 if self._lost_at is None else time.monotonic() - self._lost_at
            self._lost_at, self._reached = None, True
            self._tell(State("open", missed=missed))
        return 0.0

    def _tell(self, state: State) -> None:
        if self._thread is not None:  # else run() has a caller, who says what is to be said
            self._log(state)
        if self._on_state is not None:
            self._on_state(state)

    def _log(self, state: State) -> None:
        whom = self._publisher.target.authority
        if state.name == "waiting":
            logger.warning("Beats do not reach %s, and are tried on: %s", whom, state.reason)
        elif state.missed:
            logger.warning("Beats reach %s again after %.1f s.", whom, state.missed)


def _passes(error: Refused) -> bool:
    """Whether the next beat may fare better: the server is busy or failing, and not of another mind."""
    return error.status >= 500 or error.status in (408, 425, 429)
