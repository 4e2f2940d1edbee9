"""What a request is answered with: JSON, refusals with their lines in the log, and headers for pages elsewhere.

An :class:`Answer` is made without Django's machinery, because the door writes thousands of them a second. It becomes
bytes of HTTP/1.1 (RFC 9112) on connections that are our own, and a Django response in Django's view.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from eventcast.conf import conf
from eventcast.engine import names, presence
from eventcast.exceptions import Refused
from eventcast.http import cors, pages
from eventcast.security import refusals

JSON = "application/json"

CLOSE = b"Connection: close\r\n"
"""What an answer says after which the connection is closed."""

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

LONGEST_KNOWN = 1024
"""Characters of the longest ``Accept`` that is remembered."""

_encode = json.JSONEncoder(ensure_ascii=False).encode


class Answer:
    """A whole answer. Its headers are read and written as those of a Django response. It may have no media type."""

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, content: bytes = b"", content_type: str = JSON, status: int = 200) -> None:
        self.content = content
        self.status_code = status
        self.headers: dict[str, str] = {"Content-Type": content_type} if content_type else {}

    def __getitem__(self, header: str) -> str:
        return self.headers[header]

    def __setitem__(self, header: str, value: str) -> None:
        self.headers[header] = value

    def has_header(self, header: str) -> bool:
        """Whether the answer has a header."""
        return header in self.headers

    def head(self, more: bytes = b"") -> bytes:
        """The status line, the headers and further header lines, up to the empty line."""
        line = _LINES.get(self.status_code) or b"HTTP/1.1 %d Unknown\r\n" % self.status_code
        fields = _field_lines(tuple(self.headers.items()))
        return b"%b%b%b%b\r\n" % (line, _date_line(int(time.time())), fields, more)

    def as_bytes(self, more: bytes = b"", *, head_only: bool = False) -> bytes:
        """All of it, with further header lines; without the body, as for HEAD (RFC 9110 section 9.3.2), or with it."""
        if self.status_code not in (204, 304):
            more = b"%bContent-Length: %d\r\n" % (more, len(self.content))
        return self.head(more) if head_only else self.head(more) + self.content

    def for_django(self) -> HttpResponse:
        """The same as a Django response."""
        response = HttpResponse(self.content, status=self.status_code, headers=self.headers)
        if "Content-Type" not in self.headers:
            del response["Content-Type"]
        response._has_been_logged = True  # type: ignore[attr-defined]  # a refusal; Django would write a second line
        return response


@functools.lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    """The ``Date`` header (RFC 9110 section 6.6.1), made once a second."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()


@functools.lru_cache(maxsize=128)
def _field_lines(fields: tuple[tuple[str, str], ...]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1", "replace")


class StreamedResponse(StreamingHttpResponse):
    """A response whose body ends with it. Django cancels a response when its client leaves, and leaves a body that is
    not being read at that moment to the garbage collector; until then the subscriber would be counted."""

    def __init__(self, body: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(body, **options)
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in super().__aiter__():
                yield piece
        finally:
            await self._body.aclose()


Response = Answer | HttpResponseBase
"""A whole answer; or a page, or a stream, which Django serves."""

View = Callable[[HttpRequest], Coroutine[Any, Any, Any]]


def answering(view: View) -> View:
    """A view that may raise what it refuses, and whose answers pages elsewhere may read if they may ask: see
    ``eventcast.http.cors``."""

    @functools.wraps(view)
    async def answered(request: HttpRequest) -> Response:
        response: Response
        try:
            if (allowed := cors.preflight(request)) is None:
                response = await view(request)
            else:
                # 200 and not 204, whose answers must not have the Content-Length that servers add.
                response = Answer(content_type="text/plain")
                response.headers |= allowed
        except Refused as refusal:
            return refused(request, refusal)
        cors.share(request, response)  # type: ignore[arg-type]
        return response

    return answered


def preferred(meta: dict[str, str], *forms: str) -> str | None:
    """Which of these media types the client accepts best, by the headers as CGI named them; of equals the first."""
    accept = meta.get("HTTP_ACCEPT", "*/*")
    return (_preferred if len(accept) < LONGEST_KNOWN else _preferred.__wrapped__)(accept, forms)


@functools.lru_cache(maxsize=128)
def _preferred(accept: str, forms: tuple[str, ...]) -> str | None:
    """Clients of one kind all say the same. Reading it takes Django longer than letting a subscriber in."""
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = accept
    try:
        return request.get_preferred_type(forms)
    except (ValueError, TypeError) as error:  # parameters that contradict each other, at which Python fails
        raise Refused("The request cannot be read, for its Accept: {error}.", error=error) from None


def refused(request: HttpRequest, refusal: Refused) -> Answer:
    """The answer to a request that is refused, which pages elsewhere may read as any other, and its line in the log. A
    browser gets a page."""
    accept = request.META.get("HTTP_ACCEPT", "")
    subscribes = request.method == "GET" and any(each in accept for each in ("text/event-stream", "x-ndjson"))
    note_refused(request.method or "", request.path, refusal, subscribes=subscribes)
    found = refusal_answer(refusal, request)
    with contextlib.suppress(Refused):  # its Accept cannot be read
        if conf.CHANNEL_PAGE and pages.HTML in accept and preferred(request.META, JSON, pages.HTML) == pages.HTML:
            page = pages.refusal_page(request, refusal)
            found.content = page.content
            found.headers |= dict(page.items())
    cors.share(request, found)  # type: ignore[arg-type]
    return found


def refusal_answer(refusal: Refused, request: HttpRequest | None = None) -> Answer:
    """The answer to a refused request, in the language of the client; in English if the request is not known."""
    detail = pages.translated_for(request, refusal.detail) if request else refusal.detail
    answer = Answer(refusal.as_json(detail), status=refusal.status)
    if detail != refusal.detail:
        answer["Vary"] = "Accept-Language"
    answer.headers |= refusal.answer_headers()
    return answer


def note_refused(method: str, path: str, refusal: Refused, *, subscribes: bool = False) -> None:
    """Count a refused request, and write its line in the log."""
    other = refusals.PUBLISH if method in ("POST", "PUT") else refusals.REQUEST
    request = f"{names.printable(method[:20])} {names.quoted(path)}"
    refusals.note(refusals.SUBSCRIBE if subscribes else other, refusal, request)


def described(info: presence.ChannelInfo, kind: str = "channel") -> dict[str, Any]:
    """A channel, or a ``"pattern"``, and its figures."""
    return {kind: info.channel, "subscribers": info.subscribers} | asdict(info.figures)


def answer(data: dict[str, Any], status: int = 200) -> Answer:
    """JSON, which no cache keeps."""
    found = Answer(_encode(data).encode(), status=status)
    found["Cache-Control"] = "no-store"
    return found
