"""Which transport a connection gets."""

from __future__ import annotations

from typing import Any

from eventcast.engine.subscribers import Transport
from eventcast.server.daphne.compatibility import problems
from eventcast.server.daphne.descriptors import descriptor_behind
from eventcast.server.daphne.direct import DirectTransport
from eventcast.server.daphne.twisted import TwistedTransport


def transport_for(protocol: Any) -> Transport | None:
    """The fastest safe transport for a connection, or None if Daphne's insides are not what they should be."""
    if problems():
        return None
    descriptor = descriptor_behind(protocol.transport)
    if descriptor is None or not descriptor.connected:
        return None
    wrapped = descriptor is not protocol.transport or descriptor.TLS
    return (TwistedTransport if wrapped else DirectTransport)(protocol, descriptor)
