"""What Twisted holds of a response, and an end to it."""

from __future__ import annotations

import socket
from typing import Any

from eventcast.server import daphne
from tests.daphne.site import Site, on_reactor, request


@on_reactor
async def test_pending_of_a_request_is_what_twisted_keeps(site: Site) -> None:
    pending: list[int] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        descriptor = daphne.descriptor_of(daphne.find_request(scope))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"5000")]})
        before = daphne.pending(descriptor)
        await send({"type": "http.response.body", "body": b"x" * 5000, "more_body": True})
        pending.append(daphne.pending(descriptor) - before)

    await request(site, handler)
    assert pending[0] >= 5000


@on_reactor
async def test_abort_cuts_a_request_off(site: Site) -> None:
    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert daphne.abort(daphne.descriptor_of(daphne.find_request(scope)))

    client = await request(site, handler)
    assert await client.rest() == b""


@on_reactor
async def test_give_up_after_sets_the_time_the_kernel_waits(site: Site) -> None:
    times: list[int] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        descriptor: Any = daphne.descriptor_of(daphne.find_request(scope))
        daphne.give_up_after(descriptor, 1.5)
        times.append(descriptor.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    await request(site, handler)
    assert times == [1500]


def test_nothing_is_pending_of_no_connection() -> None:
    daphne.give_up_after(None, 1)
    assert (daphne.pending(None), daphne.abort(None)) == (0, False)
