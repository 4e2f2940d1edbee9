"""Which road ``eventcast.publish`` takes from a process without subscribers, and where names without a slash are."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from channels.layers import BaseChannelLayer
from django.test import override_settings
from django.urls import include, path, set_script_prefix

import eventcast
from eventcast import elsewhere
from eventcast.engine import hub
from eventcast.exceptions import InvalidChannel, InvalidMessage, LayerUnavailable, MessageTooLarge, ServerUnreachable
from eventcast.layers import InMemoryChannelLayer
from eventcast.testing import capture
from tests.fakes import layer_in_use
from tests.live.servers import free_port
from tests.told import CUT, Told

urlpatterns = [path("live/", include("eventcast.urls"))]


class Nowhere:
    """The urls.py of a site that has not mounted eventcast."""

    urlpatterns: ClassVar[list[Any]] = []


@pytest.fixture(autouse=True)
def _without_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_all", [])
    monkeypatch.setattr(elsewhere, "_serving_process", 0)  # Another test may have served a request.
    monkeypatch.setattr(elsewhere, "_nowhere", elsewhere._Nowhere())


@pytest.fixture(autouse=True)
def _own_layer() -> Iterator[None]:
    with layer_in_use(InMemoryChannelLayer()):
        yield


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as server, override_settings(EVENTCAST={"URL": server.url}):
        yield server


def test_publish_without_a_road_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    assert [eventcast.publish("/a", "x"), eventcast.publish("/b", "x")] == [None, None]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("eventcast.publish", "WARNING")
    assert record.getMessage().startswith("Nothing that this process publishes reaches a subscriber")


async def test_apublish_without_a_road_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    assert [await eventcast.apublish("/a", "x"), await eventcast.apublish_many([("/b", "x")])] == [None, None]
    assert len(caplog.records) == 1


def test_publish_by_http_needs_the_setting() -> None:
    with override_settings(EVENTCAST={}):
        assert elsewhere.remote_publisher() is elsewhere._nowhere


def test_publish_goes_by_http(told: Told) -> None:
    told.subscribers = 3
    assert eventcast.publish("/a", {"b": 1}) == 3
    assert told.bodies == ['{"b":1}']


def test_publish_many_sends_texts_of_a_channel_together(told: Told) -> None:
    assert eventcast.publish_many([("/a", "1"), ("/a", "2"), ("/b", "3")]) == 3
    assert told.bodies == ["data=1&data=2", "data=3"]


async def test_apublish_goes_by_http(told: Told) -> None:
    told.subscribers = 3
    assert await eventcast.apublish("/a", "x") == 3
    assert await eventcast.apublish_many([("/a", "1"), ("/a", "2")]) == 2


def test_publish_many_checks_all_before_it_sends_the_first(told: Told) -> None:
    with pytest.raises(InvalidMessage):
        eventcast.publish_many([("/a", "1"), ("/a", object())])
    with pytest.raises(TypeError, match="takes pairs"):
        eventcast.publish_many(["/a"])  # type: ignore[list-item]
    assert told.bodies == []


def test_publish_many_of_nothing_sends_nothing(told: Told) -> None:
    assert eventcast.publish_many([]) == 0
    assert told.bodies == []


@pytest.mark.parametrize("status", [CUT, 403, 503])
def test_fail_silently_returns_none_and_logs(told: Told, caplog: pytest.LogCaptureFixture, status: int) -> None:
    told.statuses = [status]
    assert eventcast.publish("/a", "x", fail_silently=True) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_fail_silently_holds_for_apublish(told: Told) -> None:
    told.statuses = [CUT]
    assert await eventcast.apublish("/a", "x", fail_silently=True) is None


def test_fail_silently_does_not_hide_a_mistake_of_the_caller() -> None:
    with pytest.raises(InvalidMessage):
        eventcast.publish("/a", object(), fail_silently=True)
    with pytest.raises(MessageTooLarge):
        eventcast.publish("/a", "x" * 2_000_000, fail_silently=True)


def test_publish_raises_where_no_server_answers() -> None:
    with (
        override_settings(EVENTCAST={"URL": f"http://127.0.0.1:{free_port()}"}),
        pytest.raises(ServerUnreachable, match="127"),
    ):
        eventcast.publish("/a", "x")


def test_captured_messages_do_not_leave_the_process(told: Told) -> None:
    with capture() as outbox:
        eventcast.publish("/a", "x")
        eventcast.publish_many([("/b", "y")])
    assert [message.channel for message in outbox] == ["/a", "/b"]
    assert told.bodies == []


async def test_messages_that_wait_on_an_event_loop_are_bounded(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(elsewhere, "WAITING", 1)
    road = elsewhere._ByHTTP(told.url, "")
    events = [{"channel": "/a", "messages": ["x"]}]
    found = [road.send(events, on_loop=True) for _ in range(50)]
    assert found == [None] * 50
    assert "calls of publish() wait to be sent: what was to be sent next is lost." in caplog.text


# --- layers and green threads -----------------------------------------------------------------------------------------


class Spanning(BaseChannelLayer):  # type: ignore[misc]
    """A layer that spans processes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.sent.append(message)


def green(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("gevent.monkey")
    module.is_module_patched = lambda name: name == "threading"
    monkeypatch.setitem(sys.modules, "gevent.monkey", module)


def test_layer_that_spans_processes_is_used(told: Told) -> None:
    with layer_in_use(Spanning()) as layer:
        assert eventcast.publish("/a", "x") == 0
    assert [event["messages"] for event in layer.sent] == [["x"], ["x"]]  # once more for patterns
    assert told.bodies == []


def test_layer_that_spans_processes_is_refused_in_words_where_threads_are_green(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    green(monkeypatch)
    with layer_in_use(Spanning()), pytest.raises(LayerUnavailable, match=r"gevent.*EVENTCAST\['URL'\]"):
        eventcast.publish("/a", "x")


def test_publish_goes_by_http_where_threads_are_green(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    green(monkeypatch)
    with layer_in_use(Spanning()) as layer:
        assert eventcast.publish("/a", "x") == 0
    assert (told.bodies, layer.sent) == (["x"], [])


# --- names below the mount --------------------------------------------------------------------------------------------


@override_settings(ROOT_URLCONF=__name__)
def test_name_without_a_slash_is_below_the_mount() -> None:
    with capture() as outbox:
        eventcast.publish("orders/42", "x")
        eventcast.publish("/orders/42", "x")
        eventcast.publish_many([("orders/张", "x")])
    assert [message.channel for message in outbox] == ["/live/orders/42", "/orders/42", "/live/orders/张"]


@override_settings(ROOT_URLCONF=__name__, FORCE_SCRIPT_NAME="/app")
@pytest.mark.parametrize("prefix", ["/", "/app/"])
def test_name_without_a_slash_is_below_the_script_name(prefix: str) -> None:
    set_script_prefix(prefix)  # as in a thread of a program, and as in the main thread or a request
    try:
        assert elsewhere.mount() == "/app/live/"
    finally:
        set_script_prefix("/")


@override_settings(ROOT_URLCONF=Nowhere)
def test_name_without_a_slash_needs_a_mount() -> None:
    with pytest.raises(InvalidChannel, match=r"not in urls\.py"):
        eventcast.publish("orders/42", "x")
