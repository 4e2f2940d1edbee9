"""What a benchmark is made of."""

from __future__ import annotations

from dataclasses import dataclass

from eventcast.bench.contents import DIGITS
from eventcast.bench.exceptions import BenchError

LARGEST_SIZE = 1 << 30
MOST_MESSAGES = 1 << 30


@dataclass(frozen=True)
class Options:
    """The options of ``manage.py eventcast bench`` that are about the load."""

    subscribers: int = 1000
    channels: int = 1
    """Subscribers and messages are spread evenly over so many."""
    size: int = 100
    """Bytes of a message."""
    publishers: int = 1
    """Connections that publish, each one message at a time."""
    messages: int = 300
    """In total."""
    in_flight: int = 1
    """Messages that some subscriber has not got yet, at most. 1: the next one goes out when all have the last."""
    idle_channels: int = 0
    """Channels with one subscriber each and no messages, for a second measurement beside them."""
    idle_patterns: int = 0
    """The same with patterns that match none of the channels."""
    processes: int = 0
    """Processes that hold the subscribers; 0 for as few as the limit of open files allows."""
    timeout: float = 10.0
    """Seconds without any delivery after which the rest counts as lost."""

    @property
    def connections(self) -> int:
        """Subscribers of all kinds."""
        return self.subscribers + self.idle

    @property
    def idle(self) -> int:
        """Subscribers that are there for the second measurement only, and hear nothing."""
        return self.idle_channels + self.idle_patterns

    def check(self) -> None:
        """:raises BenchError: no benchmark can be made of this."""
        for name in ("subscribers", "channels", "publishers", "messages", "in_flight"):
            if getattr(self, name) < 1:
                raise BenchError(f"--{name.replace('_', '-')} is at least 1.")
        for name in ("idle_channels", "idle_patterns", "processes", "timeout"):
            if getattr(self, name) < 0:
                raise BenchError(f"--{name.replace('_', '-')} is not negative.")
        if self.channels > self.subscribers:
            raise BenchError(f"{self.channels} channels need as many subscribers: --subscribers {self.channels}")
        if not DIGITS <= self.size <= LARGEST_SIZE:
            raise BenchError(f"--size is at least {DIGITS}, for a message carries its number, and at most 1 GiB.")
        if self.publishers > 0xFFFF or self.messages > MOST_MESSAGES:
            raise BenchError(f"There are at most 65535 --publishers and {MOST_MESSAGES} --messages.")
