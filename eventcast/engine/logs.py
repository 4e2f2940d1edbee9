"""Loggers for code that must not fail if a site's log handler raises an exception."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter  # no generic class until Python 3.11


class SteadyLogger(Adapter):
    """Logs, and never raises: an exception in a fan-out would cost other subscribers their messages."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        try:
            super().log(level, msg, *args, stacklevel=2, **kwargs)
        except Exception as error:
            # To the handler of last resort only, because the site's handler might fail again.
            if logging.lastResort is not None:
                made = logging.makeLogRecord({"msg": "A log handler failed: %r", "args": (error,), "levelno": level})
                logging.lastResort.handle(made)
