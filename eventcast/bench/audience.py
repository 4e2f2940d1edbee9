"""A worker's subscribers by file descriptor: where each is on its channel's tape, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from eventcast.bench.tapes import Contents, Stray, Tape, control_frame

CLOSE, PING = 8, 9

REMEMBER = 10_000
"""Messages before the latest that are looked through for what a subscriber has got when it leaves."""


class Audience:
    """Everybody who is connected.

    :param hang_up: called with the file descriptor of one who is to be disconnected.
    :param pong: called with a file descriptor and what to answer a ping with.
    """

    def __init__(self, contents: Contents, hang_up: Callable[[int], None], pong: Callable[[int, bytes], None]) -> None:
        self.contents = contents
        self.tapes = [Tape(channel, contents) for channel in range(contents.channels)]
        self.idle = Tape(-1, contents)
        """The tape of all channels that nothing is published to: anything on it is wrong."""
        self.nobody = Tape(-1, contents)
        """The tape of file descriptors that are no subscriber's."""
        # Lists, as looking up a small number in them is quicker than in a dict.
        self.positions: list[int] = []
        """By file descriptor: bytes of the tape it has got."""
        self.tape_of: list[Tape] = []
        """By file descriptor."""
        self.seen: list[int] = []
        """The number of the message for each delivery; emptied by whoever counts them."""
        self.disconnected = 0
        self._broken = 0
        self._out_of_order = 0
        self._hang_up = hang_up
        self._pong = pong
        self._rests: dict[int, bytes] = {}
        self._strays: dict[int, Stray] = {}

    def make_room(self, descriptor: int) -> None:
        """There is a file descriptor with this number now."""
        more = descriptor + 1 - len(self.positions)
        if more > 0:
            self.positions.extend([0] * more)
            self.tape_of.extend([self.nobody] * more)

    def join(self, descriptor: int, tape: Tape) -> None:
        """A handshake is over. Who comes later than others has nothing to catch up with."""
        tape.alive += 1
        tape.subscribers.add(descriptor)
        self.tape_of[descriptor] = tape
        self.positions[descriptor] = tape.end

    def leave(self, descriptor: int) -> set[int]:
        """A connection is over; returns the latest of the messages it has got."""
        tape = self.tape_of[descriptor]
        frames = self.positions[descriptor] // self.contents.length
        had = set(tape.order[max(0, frames - REMEMBER) : frames])
        stray = self._strays.pop(descriptor, None)
        if stray is not None:
            had |= stray.had_of(tape.order[-REMEMBER:])
            self._broken += stray.broken
            self._out_of_order += stray.out_of_order
        self._rests.pop(descriptor, None)
        tape.subscribers.discard(descriptor)
        tape.alive -= 1
        self.tape_of[descriptor] = self.nobody
        self.disconnected += 1
        return had

    @property
    def broken(self) -> int:
        """Frames that were no message of the run."""
        return self._broken + sum(stray.broken for stray in self._strays.values())

    @property
    def out_of_order(self) -> int:
        """Messages that came twice, or after a later one of the same publisher."""
        return self._out_of_order + sum(stray.out_of_order for stray in self._strays.values())

    @property
    def alive(self) -> int:
        """Who is connected and listens to a channel that is published to."""
        return sum(tape.alive for tape in self.tapes)

    def take(self, descriptor: int, data: bytes) -> None:
        """Take what was read and is not simply what the tape has at that place, frame by frame."""
        tape = self.tape_of[descriptor]
        if tape is self.nobody:
            return
        if not data:
            self._hang_up(descriptor)
            return
        if descriptor in self._strays:
            self._take_from_stray(descriptor, data)
            return
        data = self._rests.pop(descriptor, b"") + data
        length = self.contents.length
        position = self.positions[descriptor]
        offset = 0
        while offset < len(data):
            within = position % length
            if within == 0 and data[offset] & 8:
                taken = self._control(descriptor, data[offset : offset + 127])
                if taken is None:
                    self._rests[descriptor] = data[offset:]
                    break
                if taken < 0:
                    return
                offset += taken
                continue
            if position == tape.end:
                head = data[offset : offset + self.contents.known]
                if len(head) < self.contents.known and self.contents.may_begin(head):
                    self._rests[descriptor] = data[offset:]
                    break
                if not tape.learn(head):
                    self._let_stray(descriptor, position, data[offset:])
                    return
            part = data[offset : offset + length - within]
            if not tape.data.startswith(part, position - tape.base):
                self._let_stray(descriptor, position, data[offset:])
                return
            offset += len(part)
            position += len(part)
            if position % length == 0:
                self.seen.append(tape.order[position // length - 1])
        self.positions[descriptor] = position

    def shorten(self, channels: Iterable[int]) -> None:
        """Cut from the tapes of these channels what all their subscribers have got, where there is much of it."""
        for tape in (self.tapes[channel] for channel in channels):
            if len(tape.data) > tape.keep:
                tape.cut(min((self.positions[descriptor] for descriptor in tape.subscribers), default=tape.end))

    def _control(self, descriptor: int, data: bytes) -> int | None:
        """Act on a control frame; its length, None if it is not all there, -1 if the connection is over with it."""
        frame = control_frame(data)
        if frame is None:
            return None
        opcode, payload, length = frame
        if opcode == PING:
            self._pong(descriptor, payload)
        elif length < 0:
            self._broken += 1
        if length < 0 or opcode == CLOSE:
            self._hang_up(descriptor)
            return -1
        return length

    def _let_stray(self, descriptor: int, position: int, data: bytes) -> None:
        tape = self.tape_of[descriptor]
        frames, within = divmod(position, self.contents.length)
        begin = position - tape.base
        partial = bytes(tape.data[begin - within : begin])
        tape.subscribers.discard(descriptor)
        self.positions[descriptor] = position
        self._strays[descriptor] = Stray(tape, self.contents, tape.order[:frames], partial)
        self._take_from_stray(descriptor, data)

    def _take_from_stray(self, descriptor: int, data: bytes) -> None:
        stray = self._strays[descriptor]
        self.seen += stray.feed(data)
        while not stray.lost_track and stray.rest and stray.rest[0] & 8:
            taken = self._control(descriptor, stray.rest[:127])
            if taken is None or taken < 0:
                return
            stray.rest = stray.rest[taken:]
            self.seen += stray.feed(b"")
        if stray.lost_track:
            stray.broken += 1
            self._hang_up(descriptor)
