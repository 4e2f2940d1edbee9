"""All errors of eventcast, in one tree: ``EventcastError`` on top, below it ``Refused`` for a caller's mistakes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, ClassVar


class EventcastError(Exception):
    """Base of all errors raised by eventcast."""


class Sentence(str):
    """An English sentence that can be told in another language: it keeps its template, and the values in that.

    :param template: a format string if there are values, otherwise the sentence itself.
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, **values: object) -> Sentence:
        made = super().__new__(cls, template.format(**values) if values else template)
        made.template, made.values = template, values
        return made


class Refused(EventcastError):
    """Raised when a publish or a subscription is refused. The detail says why, and what to do about it.

    The HTTP answer has ``status`` and ``{"error": code, "detail": detail}``. Codes are stable, details are not.
    Logs and programs get the detail in English; people get it in their language, if a catalogue has its template.

    A subclass names what is its own in its head: ``class X(Refused, status=403, code="x", retry_after=10)``.

    :param detail: a sentence, or its template with ``{name}`` for each of the values.
    :param status: the HTTP status, if it is not the class' own. A client raises what a server answered.
    :param code: the error code, likewise.
    :param retry_after: seconds until the next try; None if the answer does not say.
    """

    status: int = 400
    code: str = "refused"
    retry_after: float | None = None
    headers: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **own: Any) -> None:
        for name, value in own.items():
            setattr(cls, name, value)

    @classmethod
    def kinds(cls) -> Iterator[type[Refused]]:
        """All classes below this one."""
        for kind in cls.__subclasses__():
            yield kind
            yield from kind.kinds()

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        **values: object,
    ) -> None:
        self.detail: str = detail if isinstance(detail, Sentence) else Sentence(detail, **values)
        super().__init__(self.detail)
        self.status = self.status if status is None else status
        self.code = self.code if code is None else code
        self.retry_after = self.retry_after if retry_after is None else retry_after

    def answer_headers(self) -> dict[str, str]:
        """The headers of the answer."""
        if self.retry_after is None:
            return self.headers
        return {**self.headers, "Retry-After": str(max(1, math.ceil(self.retry_after)))}

    def as_json(self, detail: str = "") -> bytes:
        """The body of the answer.

        :param detail: the detail in another language.
        """
        return json.dumps({"error": self.code, "detail": detail or self.detail}, ensure_ascii=False).encode()


class InvalidChannel(Refused, ValueError, code="invalid_channel"):
    """Raised when a path cannot name a channel: not UTF-8, or without a leading ``/``."""


class ChannelTooLong(InvalidChannel, status=414, code="channel_too_long"):
    """Raised when a channel's name is longer than ``MAX_CHANNEL_LENGTH`` bytes (414, RFC 9110 section 15.5.15)."""


class ReservedChannel(InvalidChannel, status=404, code="reserved_path"):
    """Raised when a path belongs to the server itself (``<mount>/-/…``) or to another part of the site."""


class InvalidPattern(Refused, ValueError, code="invalid_pattern"):
    """Raised when a pattern of channels is not valid, or cannot be matched quickly."""


class Unauthorized(Refused, status=401, code="unauthorized"):
    """Raised when a caller must identify itself and has not done so (401, RFC 9110 section 15.5.2)."""

    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="eventcast"'}


class Forbidden(Refused, status=403, code="forbidden"):
    """Raised when an identified caller does not have the permission (403, RFC 9110 section 15.5.4)."""


class InvalidMessage(Refused, ValueError, code="invalid_message"):
    """Raised when a message cannot be sent, for example a text that UTF-8 cannot encode."""


class InvalidEventName(InvalidMessage, code="invalid_event_name"):
    """Raised when the name of an event has a line break, or is too long."""


class MissingData(InvalidMessage, code="missing_data"):
    """Raised when a publish request has no message: a form without ``data``, or no body."""


class MalformedBody(InvalidMessage, code="malformed_body"):
    """Raised when the body of a publish request does not match its Content-Type."""


class InvalidEncoding(InvalidMessage, code="invalid_encoding"):
    """Raised when a text in a publish request is not valid in its character encoding."""


class UnsupportedMediaType(InvalidMessage, status=415, code="unsupported_media_type"):
    """Raised when a character set or Content-Encoding is not supported (415, RFC 9110 section 15.5.16)."""


class MessageTooLarge(InvalidMessage, status=413, code="message_too_large"):
    """Raised when a message is over ``MAX_MESSAGE_SIZE``, or a request over ``MAX_BODY_SIZE`` (413, RFC 9110)."""


class TooManyMessages(InvalidMessage, status=413, code="too_many_messages"):
    """Raised when a publish request has too many lines, form fields or parts (413, RFC 9110)."""


class InvalidRequest(Refused, code="invalid_request"):
    """Raised when a request breaks the rules of HTTP/1.1, or cannot be read (RFC 9112)."""


class HeadTooLarge(Refused, status=431, code="head_too_large"):
    """Raised when the head of a request has too many bytes or headers (431, RFC 6585 section 5)."""


class InvalidHandshake(Refused, code="invalid_handshake"):
    """Raised when a request to open a WebSocket is not one that RFC 6455 section 4.2.1 allows."""


class UnsupportedVersion(InvalidHandshake, status=426, code="unsupported_version"):
    """Raised when a WebSocket is opened by another version than 13 (426, RFC 6455 section 4.2.2)."""

    headers: ClassVar[dict[str, str]] = {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"}


class RequestTimeout(Refused, status=408, code="request_timeout"):
    """Raised when a request arrives more slowly than ``HANDSHAKE_TIMEOUT`` and ``BODY_TIMEOUT`` allow (408)."""


class TooManyPublishes(Refused, status=429, code="too_many_publishes"):
    """Raised when a publisher exceeds its ``PUBLISH_RATE`` (429, RFC 6585 section 4)."""


class TooManyConnections(Refused, status=429, code="too_many_connections", retry_after=10):
    """Raised when an address has as many subscribers as ``MAX_SUBSCRIBERS_PER_ADDRESS`` allows (429)."""


class TooManyFrames(Refused, status=429, code="too_many_frames"):
    """Raised when a WebSocket that does not publish exceeds ``MAX_INBOUND_FRAMES`` or ``MAX_INBOUND_BYTES``.

    An open WebSocket gets no HTTP answer: it is closed with 1008 ("policy violation", RFC 6455 section 7.4.1).
    """


class ServerFull(Refused, status=503, code="server_full", retry_after=10):
    """Raised when the server has as many subscribers as ``MAX_SUBSCRIBERS`` allows (503, RFC 9110 section 15.6.4)."""


class ChannelFull(Refused, status=503, code="channel_full", retry_after=10):
    """Raised when a channel has as many subscribers as ``MAX_SUBSCRIBERS_PER_CHANNEL`` allows (503)."""


class TooManyPatterns(Refused, status=503, code="too_many_patterns", retry_after=10):
    """Raised when there are as many subscribed patterns as ``MAX_PATTERNS`` allows (503)."""


class DisallowedHost(Refused, code="disallowed_host"):
    """Raised when the ``Host`` of a request is not in ``ALLOWED_HOSTS``."""


class OriginNotAllowed(Refused, status=403, code="origin_not_allowed"):
    """Raised when a page of another site sends a request, and its origin is not in ``ALLOWED_ORIGINS`` (403)."""


class InvalidQuery(Refused, ValueError, code="invalid_query"):
    """Raised when a query parameter has an invalid value, such as ``limit=x``."""


class MethodNotAllowed(Refused, status=405, code="method_not_allowed"):
    """Raised when a URL does not support the request's method (405, RFC 9110 section 15.5.6)."""

    headers: ClassVar[dict[str, str]] = {"Allow": "GET, HEAD, OPTIONS, POST, PUT"}


class StreamingUnavailable(Refused, status=501, code="streaming_unavailable"):
    """Raised when a stream is requested from a WSGI server, which cannot stream (501)."""


class MetricsUnavailable(Refused, status=501, code="metrics_unavailable"):
    """Raised when metrics are requested and the package prometheus_client is not installed (501)."""


class LayerUnavailable(Refused, status=503, code="layer_unavailable", retry_after=1):
    """Raised when the channel layer cannot be reached, for example because Redis is down (503)."""


class NothingToShow(Refused, status=404, code="not_found"):
    """Raised when the snapshot of a channel finds nothing at its path (404, ``Http404`` of Django)."""


class SnapshotFailed(Refused, status=500, code="snapshot_failed"):
    """Raised when the function that makes the first message of a channel has failed."""


class InternalError(Refused, status=500, code="internal_error"):
    """Raised when the server has made a mistake, which stands in its log (500)."""


class ServerUnreachable(EventcastError, ConnectionError):
    """Raised by a client when the server does not answer: it is down or too slow, or the connection breaks."""


class UndecodableMessage(EventcastError, ValueError):
    """Raised when a message is not in its receiver's format: JSON for a listener, unless its options say otherwise."""


class BrokenListeners(EventcastError):
    """Raised when an app's ``listeners.py`` cannot be imported. The text names the line and the reason."""
