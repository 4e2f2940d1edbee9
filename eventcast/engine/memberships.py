"""The memberships of this process in channel layer groups: one for each channel with subscribers here. One layer
channel receives for all groups.

Layers may forget memberships (after ``group_expiry``, or when Redis restarts), fail for a while, or send to a group
that this process has left. All of these are handled here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from eventcast.engine import names
from eventcast.engine.background import in_task
from eventcast.engine.logs import SteadyLogger
from eventcast.exceptions import LayerUnavailable
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast.layers.cluster import ClusterLayer

logger = SteadyLogger("eventcast.hub")

DRAIN = 256
"""Layer events handled until the event loop runs other callbacks."""

LONGEST_RETRY = 5.0
"""Most seconds between two attempts to reach a channel layer that fails."""

STEADY = 2.0
"""Seconds without an error after which a channel layer that failed counts as working again."""


class _Membership:
    """The membership in one group: its number of users, and whether the layer has it."""

    __slots__ = ("joined", "lock", "users")

    def __init__(self) -> None:
        self.users = 0
        self.joined = False
        self.lock = asyncio.Lock()


class Memberships:
    """Joins and leaves groups as needed, and receives the events of the layer.

    :param accept: called with each event, on the event loop.
    """

    def __init__(self, accept: Callable[[dict[str, Any]], None]) -> None:
        self._accept = accept
        self._memberships: dict[str, _Membership] = {}
        self._layer: Any = None
        self._layer_channel = ""
        self._receiver: asyncio.Task[None] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._steady_timer: asyncio.TimerHandle | None = None  # Runs after an error until STEADY seconds have passed.
        self._start_lock = asyncio.Lock()
        self._failures = 0  # Consecutive errors of receive().
        self._tasks: set[asyncio.Task[Any]] = set()

    async def join(self, channel: str) -> None:
        """Join the group of a channel. Each call needs one :meth:`leave`, unless it raises.

        With the in-memory layer this does not suspend.

        :raises LayerUnavailable: the channel layer cannot be reached.
        """
        membership = self._memberships.get(channel)
        if membership is None:
            membership = self._memberships[channel] = _Membership()
        membership.users += 1
        if membership.joined:
            return
        if self._layer is None:
            self._layer = get_layer()
        if isinstance(self._layer, InMemoryChannelLayer):
            if not self._layer_channel:
                self._layer_channel = f"eventcast.hub.{secrets.token_hex(8)}"
                self._layer.receive_with(self._layer_channel, self._accept)
            self._layer.group_add_nowait(names.group_name(channel), self._layer_channel)
            membership.joined = True
            return
        try:
            async with membership.lock:
                if not membership.joined:
                    await in_task(self._add(channel))
                    membership.joined = True
        except BaseException:
            self.leave(channel)
            raise

    def leave(self, channel: str) -> None:
        """The reverse of :meth:`join`. The last call leaves the group, in a background task if the layer needs one."""
        membership = self._memberships[channel]
        membership.users -= 1
        if membership.users:
            return
        if isinstance(self._layer, InMemoryChannelLayer):
            self._layer.group_discard_nowait(names.group_name(channel), self._layer_channel)
            del self._memberships[channel]
            if not self._memberships:
                self._stop()
        else:
            self._in_background(self._discard(channel, membership))

    def count_changed(self, channel: str) -> None:
        """The number of subscribers of a channel has changed."""
        if isinstance(self._layer, ClusterLayer):
            self._layer.count_changed(names.group_name(channel))

    def leave_stale(self, channel: str) -> None:
        """Leave a group again: the layer sent an event although this process is no member."""
        if channel not in self._memberships and not isinstance(self._layer, InMemoryChannelLayer):
            # The membership has a lock: a join waits until this has left, so that the layer gets the two in order.
            membership = self._memberships[channel] = _Membership()
            self._in_background(self._discard(channel, membership, stale=True))

    async def _discard(self, channel: str, membership: _Membership, *, stale: bool = False) -> None:
        """Leave the group, unless it has users again."""
        try:
            async with membership.lock:
                if (membership.joined or stale) and not membership.users:
                    membership.joined = False
                    await self._layer.group_discard(names.group_name(channel), self._layer_channel)
        except Exception as error:
            # If the layer sends more events of the group, leave_stale() tries again.
            logger.warning("Leaving the group of %s failed: %r", names.quoted(channel), error)
        finally:
            if not membership.users and self._memberships.get(channel) is membership:
                del self._memberships[channel]
            if not self._memberships:
                self._stop()

    async def _add(self, channel: str) -> None:
        try:
            async with self._start_lock:
                if not self._layer_channel:
                    self._layer_channel = await self._layer.new_channel("eventcast.hub")
                    if isinstance(self._layer, ClusterLayer):
                        self._layer.receive_with(self._layer_channel, self._accept)
                    else:
                        self._receiver = asyncio.get_running_loop().create_task(self._receive())
                        self._schedule_renewal()
            await self._layer.group_add(names.group_name(channel), self._layer_channel)
        except Exception as error:
            logger.error("Joining the group of %s failed: %r", names.quoted(channel), error)
            raise LayerUnavailable("The channel layer cannot be reached. Try again later.") from error

    def forget(self) -> None:
        """Unregister from a layer of this process, because the event loop has ended with subscribers."""
        local = self._layer.local if isinstance(self._layer, ClusterLayer) else self._layer
        if isinstance(local, InMemoryChannelLayer):
            for channel in self._memberships:
                local.group_discard_nowait(names.group_name(channel), self._layer_channel)
                self.count_changed(channel)
            self._stop()

    def _stop(self) -> None:
        """Stop receiving, because this event loop has no subscribers any more."""
        if isinstance(self._layer, (InMemoryChannelLayer, ClusterLayer)):
            self._layer.receive_with(self._layer_channel, None)
        self._layer, self._layer_channel = None, ""
        if self._receiver is not None:
            self._receiver.cancel()
            self._receiver = None
        if self._renewal is not None:
            self._renewal.cancel()
        self._cancel_steady_timer()
        self._renewal, self._failures = None, 0

    def _cancel_steady_timer(self) -> None:
        if self._steady_timer is not None:
            self._steady_timer.cancel()
            self._steady_timer = None

    async def _receive(self) -> None:
        taken = 0
        while True:
            try:
                event = await self._layer.receive(self._layer_channel)
            except Exception as error:
                await self._try_again(error)
                continue
            self._recovered()
            try:
                self._accept(event)
            except Exception:
                # Another version may have sent it, for example. This process must go on receiving.
                logger.exception("An event of the channel layer could not be passed on.")
            taken += 1
            if taken % DRAIN == 0:
                await asyncio.sleep(0)

    async def _try_again(self, error: Exception) -> None:
        """Wait after an error of receive(), longer each time, and join all groups again."""
        self._failures += 1
        if self._failures == 1:
            logger.error("Receiving from the channel layer fails; retrying: %r", error)
        self._cancel_steady_timer()
        await asyncio.sleep(random.uniform(0, min(LONGEST_RETRY, 0.1 * 2 ** min(self._failures, 10))))
        if await self._rejoin():
            # Receiving may still fail, and returns nothing while nothing is published. So a timer decides.
            self._steady_timer = asyncio.get_running_loop().call_later(STEADY, self._recovered)

    def _recovered(self) -> None:
        self._cancel_steady_timer()
        if self._failures:
            self._failures = 0
            logger.warning("The channel layer is back; messages that were published meanwhile are lost.")

    async def _rejoin(self) -> bool:
        """Join all groups again; returns whether that worked."""
        with contextlib.suppress(Exception):
            for channel, membership in list(self._memberships.items()):
                if membership.joined:
                    await self._layer.group_add(names.group_name(channel), self._layer_channel)
            return True
        return False

    def _schedule_renewal(self) -> None:
        # Several times before the membership expires, so that one renewal may fail.
        expiry = getattr(self._layer, "group_expiry", None) or 86400
        self._renewal = asyncio.get_running_loop().call_later(expiry / 4, self._renew)

    def _renew(self) -> None:
        self._in_background(self._rejoin())
        self._schedule_renewal()

    def _in_background(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)  # The event loop keeps only weak references.
        task.add_done_callback(self._tasks.discard)
