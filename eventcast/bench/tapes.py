"""Checking what subscribers get, every byte of it, without parsing frames.

All subscribers of a channel get the same bytes, so what one of them got first is kept on the channel's *tape*, and what
the others read is compared with it at their place: one ``memcmp``, whatever it holds. A subscriber's progress is a
count of bytes. Only who comes to the end of the tape has a frame looked at: its number says which message it is, and
with the number the whole frame is known; if it may come now, it goes on the tape.

Whoever gets anything else, such as a message less than the others, *strays*: from then on its frames are parsed and
counted one by one. That is slow, and a benchmark that loses messages has other worries.
"""

from __future__ import annotations

from eventcast.bench.contents import DIGITS, TEXT_FRAME, header, number_in, payload
from eventcast.bench.shared import Shared

KEEP = 1 << 20
"""Bytes kept of a tape before it is looked at what of it nobody needs any more."""

LARGEST_FRAME = 1 << 30
"""Bytes; a longer one is no frame but garbage read as its length."""


class Contents:
    """What the messages of a run look like, and which of them may come on which channel.

    :param size: bytes of a message. :param channels: message ``n`` goes to channel ``n % channels``.
    """

    def __init__(self, size: int, channels: int, shared: Shared) -> None:
        self.size = size
        self.channels = channels
        self.shared = shared
        self.header = header(size)
        self.length = len(self.header) + size
        """Bytes of a frame."""
        self.known = len(self.header) + DIGITS
        """Bytes of a frame until it is known which one it is."""

    def may_begin(self, head: bytes) -> bool:
        """Whether a frame may begin with ``head``, which is too short to say which one."""
        return head.startswith(self.header) if len(head) > len(self.header) else self.header.startswith(head)

    def belongs(self, number: int, channel: int) -> bool:
        """Whether a message with this number was published to the channel."""
        sent = self.shared.sent
        return 0 <= number < len(sent) and number % self.channels == channel and sent[number] > 0

    def is_message(self, text: bytes, number: int, channel: int) -> bool:
        """Whether ``text`` is the message with this number, and may be on the channel."""
        return self.belongs(number, channel) and text == payload(number, self.size)

    def none_of_a_channel(self) -> bytearray:
        """A flag for each message of one channel, at ``number // channels``, none of them set."""
        return bytearray(len(self.shared.sent) // self.channels + 1)


class Tape:
    """The bytes of one channel, as they are the same for all its subscribers.

    :param channel: its index; one that no message is published to has the index -1.
    """

    def __init__(self, channel: int, contents: Contents) -> None:
        self.channel = channel
        self.data = bytearray()
        self.base = 0
        """How many bytes were on the tape before those of ``data``."""
        self.order: list[int] = []
        """The numbers of all messages that were ever on the tape."""
        self.subscribers: set[int] = set()
        """The file descriptors of those who are open and have not strayed."""
        self.alive = 0
        """Subscribers with an open connection."""
        self.keep = max(KEEP, 4 * contents.length)
        self._contents = contents
        self._last: dict[int, int] = {}
        self._had = contents.none_of_a_channel()

    @property
    def end(self) -> int:
        """How many bytes have been on the tape."""
        return self.base + len(self.data)

    def learn(self, head: bytes) -> bool:
        """Put the frame that begins with ``head`` on the tape; False if it may not come now.

        ``head`` is as long as ``Contents.known``.
        """
        contents = self._contents
        number = number_in(head[len(contents.header) :])
        if not head.startswith(contents.header) or not contents.belongs(number, self.channel):
            return False
        if self._had[number // contents.channels]:
            return False
        publisher = contents.shared.publisher[number]
        if self._last.get(publisher, -1) > number:
            return False
        self._last[publisher] = number
        self._had[number // contents.channels] = 1
        self.order.append(number)
        self.data += contents.header + payload(number, contents.size)
        return True

    def cut(self, needed_from: int) -> None:
        """Forget what stands before a position that is the least of all subscribers'."""
        if needed_from > self.base:
            del self.data[: needed_from - self.base]
            self.base = needed_from
        self.keep = max(self.keep, 2 * len(self.data))


class Stray:
    """A subscriber whose stream differs from the others': its frames are parsed.

    :param had: the numbers of the messages it has got. :param partial: what it has of the next frame.
    """

    def __init__(self, tape: Tape, contents: Contents, had: list[int], partial: bytes) -> None:
        self.broken = 0
        """Frames that are no message of the run."""
        self.out_of_order = 0
        """Messages that came a second time, or after a later one of the same publisher."""
        self.lost_track = False
        """Whether something came that is no frame a server may send."""
        self.rest = partial
        self._tape = tape
        self._contents = contents
        self._had = contents.none_of_a_channel()
        self._last: dict[int, int] = {}
        for number in had:
            self._had[number // contents.channels] = 1
            self._last[contents.shared.publisher[number]] = number

    def feed(self, data: bytes) -> list[int]:
        """Take what was read; returns the numbers of the messages in it. Stops at a control frame, see ``rest``."""
        self.rest += data
        numbers = []
        while not self.lost_track and (frame := self._next()) is not None:
            first, begin, end = frame
            if first & 8:
                break
            text, self.rest = self.rest[begin:end], self.rest[end:]
            number = number_in(text)
            if first == TEXT_FRAME and self._contents.is_message(text, number, self._tape.channel):
                if self._is_next(number):
                    numbers.append(number)
            else:
                self.broken += 1
        return numbers

    def had_of(self, numbers: list[int]) -> set[int]:
        """Those of ``numbers`` that it has got."""
        return {number for number in numbers if self._had[number // self._contents.channels]}

    def _is_next(self, number: int) -> bool:
        publisher = self._contents.shared.publisher[number]
        index = number // self._contents.channels
        if self._had[index]:
            self.out_of_order += 1
            return False
        if number < self._last.get(publisher, -1):
            self.out_of_order += 1
        else:
            self._last[publisher] = number
        self._had[index] = 1
        return True

    def _next(self) -> tuple[int, int, int] | None:
        """First byte, begin and end of the payload of the frame in ``rest``; None if it is not all there."""
        rest = self.rest
        if len(rest) < 2:
            return None
        first, length = rest[0], rest[1]
        begin = 2
        if length in (126, 127):
            begin = 4 if length == 126 else 10
            if len(rest) < begin:
                return None
            length = int.from_bytes(rest[2:begin], "big")
        elif length > 127:
            self.lost_track = True
        if first & 0x70 or not first & 0x80 or first & 15 not in (1, 2, 8, 9, 10) or length > LARGEST_FRAME:
            self.lost_track = True
        end = begin + length
        return None if self.lost_track or end > len(rest) else (first, begin, end)


def control_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """The control frame that ``data`` begins with: opcode, payload, its length with header; None if not all is there.

    A length of -1 says that it begins with no control frame (RFC 6455 section 5.5: unfragmented, up to 125 bytes).
    """
    if (data and data[0] not in (0x88, 0x89, 0x8A)) or (len(data) > 1 and data[1] > 125):
        return 0, b"", -1
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    end = 2 + data[1]
    return data[0] & 15, data[2:end], end
