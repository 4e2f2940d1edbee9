"""When a service counts as silent, and when as alive again: all in numbers, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.client import watching
from eventcast.client.watching import Heartbeat, Watches

TIMEOUT = 10.0
STEP = 1.0


class Observer:
    """The watch of one service, and its clock, with a look each second."""

    def __init__(self, *, connected: bool = True) -> None:
        self.watch = Watches(TIMEOUT, ["/a"])
        self.now = 100.0
        self.told: list[tuple[bool, float]] = []
        if connected:
            self.watch.connected(self.now)

    def passes(self, seconds: float, *, unseen: bool = False) -> None:
        steps = 1 if unseen else round(seconds / STEP)
        for _ in range(steps):
            self.now += seconds / steps
            self._note(*self.watch.look(self.now))

    def beats(self) -> None:
        self._note(self.watch.beat("/a", self.now))

    def reconnects(self, away: float) -> None:
        self.watch.lost()
        self.passes(away)
        self.watch.connected(self.now)

    def _note(self, *found: Heartbeat | None) -> None:
        for each in found:
            if each is not None:
                assert each.channel == "/a"
                self.told.append((each.alive, each.silence))


@pytest.fixture
def seen() -> Observer:
    return Observer()


def test_watch_tells_silence_at_the_timeout(seen: Observer) -> None:
    seen.beats()
    seen.passes(TIMEOUT - STEP)
    assert seen.told == []
    seen.passes(STEP)
    assert seen.told == [(False, 10.0)]


def test_watch_tells_silence_once(seen: Observer) -> None:
    seen.beats()
    seen.passes(5 * TIMEOUT)
    assert seen.told == [(False, 10.0)]


def test_watch_tells_return_once_and_how_long_it_was(seen: Observer) -> None:
    seen.beats()
    seen.passes(25)
    seen.beats()
    seen.beats()
    assert seen.told == [(False, 10.0), (True, 25.0)]


def test_watch_tells_the_next_silence_again(seen: Observer) -> None:
    seen.passes(TIMEOUT)
    seen.beats()
    seen.passes(TIMEOUT)
    assert [alive for alive, _ in seen.told] == [False, True, False]


def test_watch_tells_nothing_while_beats_come(seen: Observer) -> None:
    for _ in range(20):
        seen.passes(TIMEOUT - STEP)
        seen.beats()
    assert seen.told == []


def test_watch_tells_of_a_service_that_has_never_been_heard(seen: Observer) -> None:
    seen.passes(TIMEOUT)
    assert seen.told == [(False, 10.0)]


def test_watch_tells_nothing_before_it_is_connected() -> None:
    seen = Observer(connected=False)
    seen.passes(5 * TIMEOUT)
    assert seen.told == []


def test_watch_tells_nothing_while_the_connection_is_lost(seen: Observer) -> None:
    seen.beats()
    seen.watch.lost()
    seen.passes(5 * TIMEOUT)
    assert seen.told == []


def test_watch_counts_anew_after_the_connection_was_lost(seen: Observer) -> None:
    seen.beats()
    seen.passes(9)
    seen.reconnects(7)
    seen.passes(9)
    assert seen.told == []
    seen.passes(1)
    assert seen.told == [(False, 26.0)]  # since its last beat, and not since the connection


def test_watch_keeps_an_alarm_over_a_lost_connection(seen: Observer) -> None:
    seen.passes(TIMEOUT)
    seen.reconnects(5)
    seen.passes(5 * TIMEOUT)
    assert seen.told == [(False, 10.0)]
    seen.beats()
    assert seen.told[1:] == [(True, 65.0)]


def test_watch_counts_anew_after_a_time_without_looks(seen: Observer) -> None:
    seen.beats()
    seen.passes(5 * TIMEOUT, unseen=True)
    assert seen.told == []
    seen.passes(TIMEOUT)
    assert seen.told == [(False, 60.0)]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("passes"), st.integers(1, 40)),
            st.tuples(st.just("beats")),
            st.tuples(st.just("reconnects"), st.integers(1, 40)),
        ),
        max_size=40,
    )
)
def test_watch_keeps_its_rules_whatever_happens(happens: list[tuple[str, int]]) -> None:
    seen = Observer()
    heard = since = seen.now  # since: the last beat or connection
    silent = False
    for what, *seconds in happens:
        before = len(seen.told)
        getattr(seen, what)(*map(float, seconds))
        told = seen.told[before:]
        if what == "passes" and not silent and seen.now - since >= TIMEOUT:
            assert told == [(False, pytest.approx(since + TIMEOUT - heard))]
            silent = True
        elif what == "beats" and silent:
            assert told == [(True, seen.now - heard)]
            silent = False
        else:
            assert told == []
        if what == "beats":
            heard = since = seen.now
        if what == "reconnects":
            since = seen.now


# --- several ----------------------------------------------------------------------------------------------------------


def test_watches_watch_what_is_heard_from_its_first_beat_on() -> None:
    watches = Watches(TIMEOUT)
    watches.connected(0.0)
    told = []
    for second in range(1, 26):
        if second in (12, 15):
            watches.beat("/a", float(second))
        if second == 20:
            watches.beat("/b", 20.0)
        told += watches.look(float(second))
    assert told == [Heartbeat("/a", alive=False, silence=10.0)]
    assert watches.beat("/a", 26.0) == Heartbeat("/a", alive=True, silence=11.0)


def test_watches_judge_nothing_while_the_connection_is_lost() -> None:
    watches = Watches(TIMEOUT, ["/a"])
    watches.connected(0.0)
    watches.lost()
    watches.beat("/b", 1.0)
    assert [watches.look(float(second)) for second in range(2, 40)] == [[]] * 38


def test_watches_watch_no_more_than_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LIMIT", 2)
    left_out: list[str] = []
    watches = Watches(TIMEOUT, ["/a"], on_full=left_out.append)
    watches.connected(0.0)
    for channel in ("/b", "/c", "/b", "/d"):
        watches.beat(channel, 0.0)
    assert watches.look(TIMEOUT / 2) == []
    assert [found.channel for found in watches.look(TIMEOUT)] == ["/a", "/b"]
    assert left_out == ["/c"]
