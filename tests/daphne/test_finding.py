"""The connection behind a wrapped ``send`` or a copied scope, and never another one."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from eventcast.server import daphne
from tests.daphne.site import Site, on_reactor


def through_partial(send: Any) -> Any:
    return functools.partial(send)


def through_partial_argument(send: Any) -> Any:
    async def call(inner: Any, event: Any) -> None:
        await inner(event)

    return functools.partial(call, send)


def through_closure(send: Any) -> Any:
    async def call(event: Any) -> None:
        await send(event)

    return call


def through_method(send: Any) -> Any:
    class Wrapper:
        def __init__(self) -> None:
            self.inner = send

        async def call(self, event: Any) -> None:
            await self.inner(event)

    return Wrapper().call


def through_object(send: Any) -> Any:
    class Wrapper:
        def __init__(self) -> None:
            self.inner = send
            self.other = 5

        async def __call__(self, event: Any) -> None:
            await self.inner(event)

    return Wrapper()


def through_empty_cell(send: Any) -> Any:
    async def call(event: Any) -> None:
        if event is None:
            return unset
        await send(event)

    if send is None:
        unset = 1
    return call


def through_many_layers(send: Any) -> Any:
    for _ in range(5):
        send = through_method(through_closure(through_partial(send)))
    return send


WRAPPERS = [
    through_partial,
    through_partial_argument,
    through_closure,
    through_method,
    through_object,
    through_empty_cell,
    through_many_layers,
]


@pytest.mark.parametrize("wrap", WRAPPERS, ids=lambda wrap: wrap.__name__)
@on_reactor
async def test_protocol_is_found_behind_a_wrapper(site: Site, wrap: Any) -> None:
    found: list[Any] = []

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        found.append(daphne.find_protocol(scope, wrap(send)))

    await site.request(handler)
    assert found == site.protocols
    assert found[0] is not None


@pytest.mark.django_db(transaction=True)
@on_reactor
async def test_protocol_is_found_behind_the_auth_middleware_stack_of_channels(site: Site) -> None:
    from channels.auth import AuthMiddlewareStack

    found: list[Any] = []

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        found.append(daphne.find_protocol(scope, send))

    await site.request(AuthMiddlewareStack(handler))
    assert found == site.protocols
    assert found[0] is not None


@on_reactor
async def test_protocol_of_another_connection_is_not_taken(site: Site) -> None:
    """A middleware may hold the ``send`` of an earlier connection, and come to it before this one's."""
    others: list[Any] = []
    found: list[Any] = []

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        others.append(send)

        async def tee(first: Any, event: Any) -> None:
            await first(event)
            await send(event)

        found.append(daphne.find_protocol(scope, functools.partial(tee, others[0])))

    for _ in range(2):
        await site.request(handler)
    assert found[0] is site.protocols[0]
    assert found[1] in (None, site.protocols[1])


@pytest.mark.parametrize(
    "send",
    [None, print, functools.partial(print), lambda event: None, object(), through_closure(print)],
    ids=["None", "builtin", "partial", "lambda", "object", "closure"],
)
def test_protocol_of_another_server_is_none(send: Any) -> None:
    assert daphne.find_protocol({"client": ["192.0.2.1", 5], "headers": []}, send) is None


def test_protocol_is_not_looked_for_where_daphne_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "daphne.server")
    assert daphne.find_protocol({}, print) is None


@pytest.mark.parametrize("noted", [True, False])
@on_reactor
async def test_request_is_that_of_its_connection(site: Site, noted: bool) -> None:
    found: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if noted:  # as EventcastRouter does
            scope["eventcast.protocol"] = daphne.find_protocol(scope, send)
        found.append(daphne.find_protocol(scope))

    await site.connect()  # there are others
    client = await site.request(handler)
    assert found[0].transport.getPeer().port == client.writer.get_extra_info("sockname")[1]


@on_reactor
async def test_request_is_never_a_strangers_whatever_address_a_client_claims(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # daphne --proxy-headers: the address in the scope is what the client says.
    monkeypatch.setattr(site.server, "proxy_forwarded_address_header", "X-Forwarded-For")
    monkeypatch.setattr(site.server, "proxy_forwarded_port_header", "X-Forwarded-Port")
    found: list[Any] = []
    clients: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        clients.append(scope["client"])
        found.append(daphne.find_protocol(scope))

    victim = await site.request(handler)
    address, port = victim.writer.get_extra_info("sockname")
    attacker = await site.request(handler, f"X-Forwarded-For: {address}", f"X-Forwarded-Port: {port}")
    assert clients[1] == [address, port]
    assert found[1].transport.getPeer().port == attacker.writer.get_extra_info("sockname")[1]


@on_reactor
async def test_request_is_found_by_a_scope_that_middleware_has_copied(site: Site) -> None:
    found: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        copied = {**scope, "user": "ann", "client": ["192.0.2.1", 1]}
        found.append(daphne.find_protocol(copied))

    client = await site.request(handler)
    assert found[0].transport.getPeer().port == client.writer.get_extra_info("sockname")[1]


def test_request_of_another_server_is_none() -> None:
    assert daphne.find_protocol({"client": ["192.0.2.1", 1], "headers": []}) is None
