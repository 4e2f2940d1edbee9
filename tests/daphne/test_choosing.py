"""The transport that each kind of connection gets, and that it works."""

from __future__ import annotations

import ssl
import zlib
from pathlib import Path

import pytest

from eventcast.server import daphne
from tests.daphne.client import TEXT
from tests.daphne.site import Site, daphne_on, on_reactor
from tests.fakes import until


def test_unix_socket_is_written_to_straight(tmp_path: Path) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        client, subscriber, _ = await site.connect_straight()
        site.listener.publish("x")
        assert await client.frame() == (TEXT, b"x")
        assert subscriber.transport.name == "direct"

    with daphne_on(f"unix:{tmp_path}/socket") as site:
        test(site)


def certificate(directory: Path) -> tuple[Path, Path]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (directory / "cert").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "cert", directory / "key"


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted's
def test_tls_goes_through_twisted(tmp_path: Path) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client, subscriber = await site.connect(ssl=context)
        site.listener.publish("x" * 100_000)
        assert await client.frame() == (TEXT, b"x" * 100_000)
        assert (subscriber.transport.name, subscriber.position) == ("twisted", -1)
        subscriber.transport.close(1013, "")
        assert await client.close_code() == 1013

    cert, key = certificate(tmp_path)
    with daphne_on(f"ssl:port=0:interface=127.0.0.1:privateKey={key}:certKey={cert}") as site:
        test(site)


@on_reactor
async def test_compression_goes_through_autobahn(site: Site) -> None:
    from autobahn.websocket.compress import PerMessageDeflateOfferAccept

    factory = site.server.ws_factory
    factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0]))
    try:
        client, subscriber = await site.connect("/a", "Sec-WebSocket-Extensions: permessage-deflate")
    finally:
        factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: None)
    site.listener.publish("x" * 100, "y")
    inflate, received = zlib.decompressobj(-15), []
    for _ in range(2):
        head = await client.reader.readexactly(2)
        assert head[0] == 0xC1
        received.append(inflate.decompress(await client.reader.readexactly(head[1]) + b"\0\0\xff\xff"))
    assert received == [b"x" * 100, b"y"]
    assert subscriber.position == -1


@on_reactor
async def test_wrapped_protocol_without_a_socket_is_left_to_asgi(site: Site) -> None:
    await site.connect()
    protocol = site.listener.protocols[-1]
    transport, protocol.transport = protocol.transport, object()
    try:
        assert daphne.transport_for(protocol) is None
    finally:
        protocol.transport = transport


@on_reactor
async def test_connection_that_is_gone_already_is_left_to_asgi(site: Site) -> None:
    client, _ = await site.connect()
    client.reset()
    await until(lambda: not site.listener.running)
    assert daphne.transport_for(site.listener.protocols[-1]) is None


@pytest.mark.usefixtures("changed_insides")
@on_reactor
async def test_changed_insides_are_left_to_asgi(site: Site) -> None:
    client, subscriber = await site.connect()
    site.listener.publish("x")
    assert await client.frame() == (TEXT, b"x")
    assert subscriber.transport.name == "asgi"
