"""Random clients come by any way, publish by any road, read or do not, and leave.

All that is published arrives at each client that reads, and nothing is left of a client that has left.

``DELIVERY_EXAMPLES`` is the number of random stories for each server; another ``DELIVERY_SEED`` makes other stories.
With ``DELIVERY_SHRINKS=1`` a story that fails is made as short as it can be. That may take minutes, because each try
may wait for a message that never comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.live import servers
from tests.live.bodies import FORM, MIB
from tests.live.conftest import Start
from tests.live.http_client import HTTP
from tests.live.inside import ROADS, SETTINGS, message
from tests.live.members import WAYS, Member, join
from tests.live.servers import TRACEBACK, Server
from tests.live.waiting import until

EXAMPLES = int(os.environ.get("DELIVERY_EXAMPLES", "15"))
SEED = int(os.environ.get("DELIVERY_SEED", "1"))
SHRINKS = bool(os.environ.get("DELIVERY_SHRINKS"))
STEPS = 15

CHANNELS = ("/story/1", "/story/2")
PATTERN = "/story/<int:number>"

GUEST = st.tuples(st.sampled_from(WAYS), st.sampled_from(CHANNELS), st.booleans())
"""The way a client comes, its channel, and whether it sleeps."""

IDENTIFIED = 20
"""Bytes from which on a message names its publisher."""

LARGEST = 8 * MIB - 100
"""What a form has room for, beside its field's name."""

SIZES = {
    "empty": [0],
    "three of 0, 20 and 0 bytes": [0, 20, 0],
    "short": [20],
    "20 short": [20] * 20,
    "1000 of 1 kB": [1000] * 1000,
    "12 of 80 kB": [80_000] * 12,
    "one of 1 MiB": [MIB],
}
LARGE = {"one of 8 MiB": [LARGEST], "12 of 600 kB": [600_000] * 12, "7500 of 1 kB": [1000] * 7500}
"""What only one publisher sends at a time, and no loop of calls on the event loop, which cannot wait."""


class Story(RuleBasedStateMachine):
    """Clients of one server, and what each has to hear."""

    server: Server
    drops: bool
    """Whether slow subscribers are kept and lose messages."""
    at_first: dict[str, int]
    """What the server's process held before anything happened."""

    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.admin = HTTP(self.server.port)
        self.there: list[Guest] = []
        self.publishers = 0
        self.counted_before = self.least = self.most = 0
        """Messages times the clients that were there: what the server had counted, and what is to come, at least and at
        most."""

    def run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(steps)

    # Without the first ones most stories would be told to nobody: hypothesis leaves rules out of a whole story.
    @initialize(target=members, guests=st.lists(GUEST, min_size=2, max_size=5))
    def story_begins(self, guests: list[tuple[str, str, bool]]) -> Any:
        self.run(self.wait_until_left())
        self.counted_before = self.run(self.held())["delivered and lost"]
        return multiple(*[self.run(self.come(*guest)) for guest in guests])

    # --- what may happen ----------------------------------------------------------------------------------------

    @rule(target=members, guest=GUEST)
    def comes(self, guest: tuple[str, str, bool]) -> Guest:
        return self.run(self.come(*guest))  # type: ignore[no-any-return]

    async def come(self, way: str, channel: str, sleeps: bool) -> Guest:
        reading = not sleeps or way == "listener"
        guest = Guest(await join(self.server.port, way, channel, PATTERN, reads=reading), way, channel, reading)
        self.there.append(guest)
        await self.wait_for_counts()
        return guest

    @rule(
        channel=st.sampled_from(CHANNELS),
        publishers=st.lists(
            st.tuples(st.sampled_from(["form", "ndjson", *ROADS]), st.sampled_from(list(SIZES))), min_size=1, max_size=3
        ),
    )
    def is_published(self, channel: str, publishers: list[tuple[str, str]]) -> None:
        self.run(self.publish_and_check(channel, [(road, SIZES[sizes]) for road, sizes in publishers]))

    @rule(
        channel=st.sampled_from(CHANNELS),
        road=st.sampled_from(["form", "ndjson", "thread", "apublish"]),
        sizes=st.sampled_from(list(LARGE)),
    )
    def much_is_published(self, channel: str, road: str, sizes: str) -> None:
        # A form of 7 500 messages has more fields than Django's limit.
        kept = LARGE[sizes][:900] if road == "form" else LARGE[sizes]
        self.run(self.publish_and_check(channel, [(road, kept)]))

    @rule(guest=consumes(members), how=st.sampled_from(["fin", "reset", "abort"]))
    def leaves(self, guest: Guest, how: str) -> None:
        if guest in self.there:  # not disconnected before
            self.run(self.leave([guest], how))

    @rule(
        guest=consumes(members), how=st.sampled_from(["fin", "reset", "abort"]), road=st.sampled_from(["form", *ROADS])
    )
    def leaves_while_messages_come(self, guest: Guest, how: str, road: str) -> None:
        async def leave_and_publish() -> None:
            self.there.remove(guest)
            publishing = asyncio.ensure_future(
                self.publish_and_check(guest.channel, [(road, [20] * 300)], besides_one=True)
            )
            await asyncio.sleep(0)
            getattr(guest.member, how)()
            await publishing
            guest.member.abort()
            await self.wait_for_counts()

        if guest in self.there:
            self.run(leave_and_publish())

    @rule(channel=st.sampled_from(CHANNELS))
    def permission_is_taken_away(self, channel: str) -> None:
        async def disconnect() -> None:
            await self.admin.request("POST", "/admin/inside/disconnect", channel.encode())
            gone = [guest for guest in self.there if guest.way == "pattern" or guest.channel == channel]
            await until(lambda: all(guest.member.over or not guest.reads for guest in gone), f"{gone} are closed")
            await self.leave(gone, "abort")

        self.run(disconnect())

    # --- what has to be so --------------------------------------------------------------------------------------

    async def publish_and_check(
        self, channel: str, publishers: list[tuple[str, list[int]]], *, besides_one: bool = False
    ) -> None:
        hearing = [guest for guest in self.there if guest.hears(channel)]
        before = await self.held()
        made = []
        for road, sizes in publishers:
            self.publishers += 1
            made.append((road, str(self.publishers), sizes))
        await asyncio.gather(*(self.publish(road, channel, name, sizes) for road, name, sizes in made))
        expected = {name: [message(name, number, size) for number, size in enumerate(sizes)] for _, name, sizes in made}
        for guest in hearing:
            if guest.reads:
                await guest.has_to_hear(expected)
        count = sum(map(len, expected.values()))
        listening = len(hearing) + besides_one
        most, least = count * listening, 0

        async def adds_up() -> bool:
            nonlocal least
            now = await self.held()
            found = sum(now[name] - before[name] for name in ("delivered and lost", "owed"))
            assert found <= most, f"{found} delivered, lost and owed of {count} messages to {listening}"
            exact = not besides_one and now["subscribers"] == len(self.there)  # None was too slow.
            least = most if exact else count * sum(guest.reads for guest in hearing)
            return bool(found >= least)

        await until(adds_up, f"{count} messages to {listening} are delivered, lost or owed")
        self.most += most
        self.least += least
        assert not [guest for guest in self.there if guest.reads and guest.member.over], "a client that reads is closed"
        assert TRACEBACK not in self.server.log, self.server.log

    async def publish(self, road: str, channel: str, name: str, sizes: list[int]) -> None:
        client = HTTP(self.server.port)
        made = [message(name, number, size) for number, size in enumerate(sizes)]
        if road == "form" or (road == "ndjson" and 0 in sizes):  # An empty line is no message.
            answer = await client.post(channel, urlencode([("data", each) for each in made]), FORM)
        elif road == "ndjson":
            answer = await client.post(channel, "\n".join(made), "application/x-ndjson")
        else:
            wanted = {"road": road, "channel": channel, "publisher": name, "sizes": sizes}
            answer = await client.post("/admin/inside/publish", json.dumps(wanted), "application/json")
        await client.close()
        assert answer.status in (200, 201, 202), answer

    async def leave(self, guests: list[Guest], how: str) -> None:
        for guest in guests:
            self.there.remove(guest)
            getattr(guest.member, how)()
        if how == "fin" and not all(guest.reads for guest in guests):
            # What a client that does not read is owed may keep it until its connection is gone.
            for guest in guests:
                guest.member.abort()
        await self.wait_for_counts()
        for guest in guests:
            guest.member.abort()

    async def wait_for_counts(self) -> None:
        reading = sum(guest.reads for guest in self.there)

        async def is_so() -> bool:
            count = (await self.held())["subscribers"]
            return count == len(self.there) if self.drops else reading <= count <= len(self.there)

        await until(is_so, f"the server counts the {len(self.there)} subscribers")

    async def held(self) -> dict[str, int]:
        found: dict[str, int] = (await self.admin.request("GET", "/admin/inside/held")).json()
        return found

    async def wait_until_left(self) -> None:
        found: dict[str, int] = {}

        async def is_left() -> bool:
            found.update(await self.held_and_process())
            return all(found[name] <= value for name, value in self.at_first.items())

        try:
            await until(is_left, "all is as it was at first")
        except AssertionError:
            raise AssertionError(f"left: {found}, at first: {self.at_first}") from None

    async def held_and_process(self) -> dict[str, int]:
        held = await self.held()
        del held["delivered and lost"]
        process = Path(f"/proc/{self.server.pid}")
        return held | {
            "descriptors": len(os.listdir(process / "fd")),
            "threads": len(os.listdir(process / "task")),
        }

    def teardown(self) -> None:
        for guest in self.there:
            guest.member.abort()
        try:
            self.run(self.wait_until_left())
            counted = self.run(self.held())["delivered and lost"] - self.counted_before
            assert self.least <= counted <= self.most, f"{counted} delivered and lost of {self.least} to {self.most}"
            assert TRACEBACK not in self.server.log, self.server.log
        finally:
            self.run(self.admin.close())
            self.loop.close()


class Guest:
    """One subscriber of a story."""

    def __init__(self, member: Member, way: str, channel: str, reads: bool) -> None:
        self.member, self.way, self.channel, self.reads = member, way, channel, reads

    def hears(self, channel: str) -> bool:
        return self.way == "pattern" or self.channel == channel

    async def has_to_hear(self, expected: dict[str, list[str]]) -> None:
        """All messages of these publishers, those of each in order, and nothing else."""
        count = sum(map(len, expected.values()))
        heard = self.member.heard
        with contextlib.suppress(AssertionError):  # What is missing is said below.
            await until(lambda: len(heard) >= count or self.member.over)
        assert len(heard) == count, f"{self} heard {len(heard)} messages of {count}"
        by_publisher: dict[str, list[str]] = defaultdict(list)
        for each in heard:
            by_publisher[each.partition(" ")[0] if len(each) >= IDENTIFIED else ""].append(each)
        heard.clear()
        for publisher, messages in expected.items():
            identified = [each for each in messages if len(each) >= IDENTIFIED]
            assert by_publisher.get(publisher, []) == identified, f"{self} did not hear {publisher} in order"

    def __repr__(self) -> str:
        return f"<{'reading' if self.reads else 'sleeping'} {self.way} of {self.channel}>"


async def warm_up(server: Server) -> dict[str, int]:
    """Let the server start the threads that stay, and open what all sockets share; returns what it holds then."""
    Story.server, Story.drops = server, False
    story = Story()
    await asyncio.gather(*(story.publish("thread", CHANNELS[0], "warm-up", [20]) for _ in range(40)))
    await story.publish("form", CHANNELS[0], "warm-up", [20])
    (await join(server.port, "websocket", CHANNELS[0], PATTERN)).abort()
    await story.wait_for_counts()
    first = await story.held_and_process()
    await story.admin.close()
    story.loop.close()
    return first


@pytest.fixture(params=["serve", "daphne", "uvicorn"])
def storied(request: pytest.FixtureRequest, start: Start) -> type[Story]:
    drops = request.param == "daphne"
    env = SETTINGS | {
        "EVENTCAST_MAX_MESSAGE_SIZE": str(8 * MIB),
        "EVENTCAST_SLOW_SUBSCRIBERS": "drop" if drops else "close",
    }
    # The test's own connection may be idle between two steps.
    options = ["--timeout-keep-alive", "300"] if request.param == "uvicorn" else []
    server = start(getattr(servers, request.param), *options, env=env)
    at_first = asyncio.run(warm_up(server))
    return type("Story", (Story,), {"server": server, "drops": drops, "at_first": at_first})


def test_what_is_published_arrives_and_nothing_is_left(storied: type[Story]) -> None:
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        phases=[Phase.generate, *([Phase.shrink] if SHRINKS else [])],
    )
    run_state_machine_as_test(seed(SEED)(storied), settings=chosen)
