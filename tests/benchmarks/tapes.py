"""The messages of a run, and the bytes that all subscribers of a channel have to get."""

from __future__ import annotations

from collections.abc import Callable

DIGITS = 8
"""Hexadecimal digits of a message's number. A message is at least that long."""


def payload(number: int, size: int) -> bytes:
    """The message with this number: the number again and again, so that every misplaced byte shows."""
    return (b"%08x" % number * (size // DIGITS + 1))[:size]


class Tape(bytearray):
    """The bytes of one channel, as the first subscriber of each position got them."""

    def learn(self, part: bytes, position: int) -> bool:
        """Whether ``part`` may stand at ``position``: what is there is the same, and the rest is appended."""
        known = len(self) - position
        if known < len(part) and self[position:] == part[:known]:
            self.extend(part[known:])
        return self.startswith(part, position)

    def faults(self, published: dict[int, int], frame: Callable[[int], bytes]) -> list[str]:
        """What is wrong on the tape.

        :param published: the numbers of the messages of this channel, and the publisher of each.
        :param frame: the bytes that the message with this number is sent as.
        """
        numbers = {frame(number): number for number in published}
        length = len(next(iter(numbers), b"?"))
        faults, last = [], dict.fromkeys(published.values(), -1)
        for start in range(0, len(self), length):
            number = numbers.pop(bytes(self[start : start + length]), None)
            if number is None:
                faults.append(f"came twice or was not published: {bytes(self[start : start + 40])!r}")
            elif number < last[published[number]]:
                faults.append(f"message {number} came after message {last[published[number]]} of the same publisher")
            else:
                last[published[number]] = number
        return faults + [f"message {number} did not come" for number in numbers.values()]
