"""The channel layer for one process: like Channels' own in-memory layer, without scans, deep copies and silent drops.

Specification: https://channels.readthedocs.io/en/stable/channel_layer_spec.html
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from channels import layers as channels_layers
from channels.exceptions import ChannelFull, MessageTooLarge

from eventcast.layers.keeping import Keeping


@dataclass(frozen=True)
class LayerStatistics:
    """Figures of an :class:`InMemoryChannelLayer`; messages are counted since it was made, once for each receiver."""

    sent: int
    """Messages put in a channel: one for each member when a group is sent to."""
    dropped: int
    """Messages for a group that a member lost because its channel was full."""
    refused: int
    """Messages that send() refused with ChannelFull."""
    expired: int
    """Messages that were not read within ``expiry`` seconds."""
    channels: int
    """Channels that have a message, a waiting reader or a membership now."""
    groups: int
    """Groups that have a member now."""


class InMemoryChannelLayer(Keeping):
    """A drop-in for ``channels.layers.InMemoryChannelLayer``: one process, any number of threads and event loops.

    - **Cost**: sending to a group costs a few microseconds for each member, whatever else is open.
    - **Threads**: all methods are safe in every thread and event loop. A reader is woken at once, on its own loop.
    - **Loss**: group_send() drops a message for a full channel; send() raises ChannelFull. A message expires when it is
      not read within ``expiry``. All losses are counted (:meth:`statistics`). Drops and expired messages are logged to
      ``eventcast.layers``, once per burst. A sender lets the readers of its event loop run when a channel is half full.
    - **Copies**: each receiver gets its own shallow copy. All receivers share nested objects: don't change these.
    - **Memberships** end ``group_expiry`` seconds after the last group_add(), but not while a receive() waits on the
      channel, nor within that time of the last receive(). An expired message ends the memberships of its channel,
      unless a receive() waits there or the task of the last receive() still runs.
    - Expired messages and memberships that nothing meets are removed every ``expiry`` and ``group_expiry`` seconds, by
      the next receive() or group_send().

    :param expiry: seconds an unread message is kept.
    :param group_expiry: seconds a membership outlives its last group_add() and the last receive() on its channel.
    :param capacity: unread messages a channel holds, 0 for any number. Not Channels' 100, because a burst of publishes
        comes within one turn of the event loop, before any reader runs. A message costs some 300 bytes and its
        contents, which all receivers share.
    :param channel_capacity: capacities of channels by name (glob or compiled expression); the first match counts.
    """

    # Channels' expressions also accept a final newline, and digits and letters of other scripts. The specification asks
    # for names of up to 100 characters; Channels accepts 99.
    MAX_NAME_LENGTH = 101
    channel_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+(![a-zA-Z0-9\-_.]*)?\Z")
    group_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+\Z")
    invalid_name_error = channels_layers.BaseChannelLayer.invalid_name_error.replace("< 100", "< 101")

    # The specification asks for these two attributes.
    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to one channel.

        :raises ChannelFull: the channel is at its capacity.
        :raises TypeError: the name is not valid, or the message is not a dict.
        """
        accepted, crowded = self.send_nowait(channel, message)
        if crowded:
            await asyncio.sleep(0)
        if not accepted:
            raise ChannelFull(channel)

    def send_nowait(self, channel: str, message: dict[str, Any]) -> tuple[bool, bool]:
        """:meth:`send` without ``await``, for any thread.

        :returns: whether the message was accepted, and whether the channel is more than half full.
        """
        _require_dict(message)
        with self._lock:
            mailbox = self._open(channel)
            accepted = self._put(mailbox, message, self._now())
            self._refused += not accepted
            crowded = mailbox.is_crowded
        self._report()
        return accepted, crowded

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the next message of a channel. Of several readers, one gets the message.

        :raises TypeError: the name is not valid.
        """
        while True:
            with self._lock:
                now = self._now()
                self._clean(now)
                mailbox = self._open(channel)
                mailbox.note_reader(now)
                self._expire(mailbox, now)
                self.channels[channel] = mailbox  # It may just have been removed.
                message: dict[str, Any] | None = mailbox.messages.popleft()[1] if mailbox.messages else None
                waiter = mailbox.wait() if message is None else None
                self._tidy(mailbox)
            self._report()
            if message is not None:
                return message
            try:
                await waiter  # type: ignore[misc]
            except BaseException:
                with self._lock:
                    mailbox.stop_waiting(waiter, self._now())  # type: ignore[arg-type]
                    self._tidy(mailbox)
                raise

    async def new_channel(self, prefix: str = "specific.") -> str:
        """A new channel name, for a reader in this process."""
        return f"{prefix}.inmemory.{secrets.token_hex(8)}!{secrets.token_hex(4)}"

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member of a group, or renew its membership.

        :raises TypeError: a name is not valid.
        """
        self.group_add_nowait(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """End a channel's membership in a group, if there is one.

        :raises TypeError: a name is not valid.
        """
        self.group_discard_nowait(group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to every channel of a group. A full channel loses it.

        :raises TypeError: the name is not valid, or the message is not a dict.
        """
        if self.group_send_nowait(group, message):
            await asyncio.sleep(0)

    def group_send_nowait(self, group: str, message: dict[str, Any]) -> bool:
        """:meth:`group_send` without ``await``: for any thread, with an event loop or without.

        :returns: whether a channel is more than half full. Readers cannot run between two calls on their event loop, so
            that a long loop of calls fills their channels.
        """
        _require_dict(message)
        if (members := self.groups.get(group)) is None:
            self.require_valid_group_name(group)
            members = {}
        receivers = [self._receivers.get(channel) for channel in list(members)]
        crowded, now = False, self._now()
        if None in receivers or now > self._next_cleaning:
            crowded = self._put_all(group, message, now)
        for receiver in receivers:  # without the lock, because a receiver may publish
            if receiver is not None:
                receiver(message)
        return crowded

    def _put_all(self, group: str, message: dict[str, Any], now: float) -> bool:
        """Put a message in the mailboxes of a group; returns whether one of them is more than half full."""
        crowded = False
        with self._lock:
            self._clean(now)
            for channel, added in list(self.groups.get(group, {}).items()):
                if channel in self._receivers:
                    continue
                mailbox = self._open(channel)
                if self._is_over(mailbox, added, now):
                    self._leave(group, mailbox)
                elif not self._put(mailbox, message, now):
                    self._note_dropped(mailbox)
                crowded = crowded or mailbox.is_crowded
        self._report()
        return crowded

    def receive_with(self, channel: str, receiver: Callable[[dict[str, Any]], None] | None) -> None:
        """Call ``receiver`` with each message that a group sends to a channel, in the sender's call and thread.

        Such a channel keeps no messages: none waits, expires or is dropped here. Its memberships do not age.

        :param receiver: must not block and not change the message, which all receivers share; None to end this.
        """
        if receiver is None:
            self._receivers.pop(channel, None)
        else:
            self._receivers[channel] = receiver

    def group_add_nowait(self, group: str, channel: str) -> None:
        """:meth:`group_add` without ``await``: for any thread, with an event loop or without."""
        self.require_valid_group_name(group)
        with self._lock:
            self._open(channel).groups.add(group)
            self.groups.setdefault(group, {})[channel] = self._now()

    def group_discard_nowait(self, group: str, channel: str) -> None:
        """:meth:`group_discard` without ``await``."""
        self.require_valid_group_name(group)
        with self._lock:
            self._leave(group, self._open(channel))

    async def flush(self) -> None:
        """Remove all messages and memberships. A waiting receive() gets the next message."""
        with self._lock:
            self.groups.clear()
            for mailbox in list(self.channels.values()):
                mailbox.messages.clear()
                mailbox.groups.clear()
                self._tidy(mailbox)
        self._report()

    async def close(self) -> None:
        """Do nothing, because nothing is held open. The layer can be used as before."""

    def statistics(self) -> LayerStatistics:
        """The layer's current figures."""
        return LayerStatistics(
            sent=self._sent,
            dropped=self._dropped,
            refused=self._refused,
            expired=self._expired,
            channels=len(self.channels),
            groups=len(self.groups),
        )


def _require_dict(message: dict[str, Any]) -> None:
    if not isinstance(message, dict):
        raise TypeError(f"A message must be a dict, not {type(message).__name__}.")
