"""What is logged about a listener's connection."""

from __future__ import annotations

import re
from typing import Any

import pytest

from eventcast.client import State
from eventcast.listeners import Registration
from eventcast.listeners.sources import log_states


def handle(message: Any) -> None: ...


def test_lost_connection_is_logged_once_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "eventcast.listen")
    on_state = log_states(Registration(name="app.mail", path="/a", function=handle))
    waiting = [State("waiting", delay=2.0, reason=reason) for reason in ("Closed.", "No answer", "No answer")]
    for state in [State("open"), *waiting, State("open", missed=7.5), waiting[0]]:
        on_state(state)
    said = [(record.levelname, re.sub(r"\d+\.\d s", "… s", record.getMessage())) for record in caplog.records]
    assert said == [
        ("INFO", "app.mail listens to /a"),
        ("WARNING", "app.mail: Closed. Trying again."),
        ("WARNING", "app.mail: the server is back after … s. Messages of that time are missing."),
        ("INFO", "app.mail listens to /a"),
        ("WARNING", "app.mail: Closed. Trying again."),
    ]
