"""The services of a deployment. They are simulated: the state of each is kept in this process's memory."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

HAPPENED = {"start": "was started", "stop": "was stopped", "restart": "was restarted"}
"""The words for each action."""


@dataclass
class Service:
    """One service, and the time of its last change."""

    name: str
    purpose: str
    running: bool
    since: datetime


class Services:
    """All services. Threads may share them."""

    def __init__(self, purposes: dict[str, str]) -> None:
        """:param purposes: what each service is for, by its name. All services run at first."""
        now = datetime.now(timezone.utc)
        self._services = {name: Service(name, purpose, True, now) for name, purpose in purposes.items()}
        self._lock = threading.Lock()
        self._version = time.time_ns() // 1000

    def act(self, name: str, action: str) -> str | None:
        """Start, stop or restart a service.

        :param action: ``start``, ``stop`` or ``restart``.
        :returns: the change in words; None if there was no change.
        :raises KeyError: there is no such service or action.
        """
        happened = HAPPENED[action]
        with self._lock:
            service = self._services[name]
            if service.running == (action == "start"):
                return None
            service.running = action != "stop"
            service.since = datetime.now(timezone.utc)
            # From the clock, so that the version grows over a restart of the server, too.
            self._version = max(self._version + 1, time.time_ns() // 1000)
        return f"{name} {happened}"

    def snapshot(self) -> dict[str, Any]:
        """All services, and a ``version`` that grows with each change."""
        with self._lock:
            return {"version": self._version, "services": [vars(service).copy() for service in self._services.values()]}


services = Services(
    {
        "web": "The shop's pages",
        "billing": "Takes the money",
        "search": "Finds the tea",
        "mailer": "Sends the newsletters",
    }
)
