"""What Redis says, cut into pieces anywhere."""

from __future__ import annotations

import pytest

from eventcast.layers.resp import Answers, Refusal, command, parse

SAID = (
    b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\n"
    b":12\r\n+OK\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n>1\r\n$0\r\n\r\n"
)
MEANT = [[b"subscribe", b"a", 1], [b"message", b"a", b"\r\n\r\n"], 12, b"OK", [b"unsubscribe", None, 0], [b""]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_answers_are_whole_however_they_come(size: int) -> None:
    answers = Answers()
    found = [answer for at in range(0, len(SAID), size) for answer in answers.feed(SAID[at : at + size])]
    assert found == MEANT


def test_error_is_a_refusal_with_its_text() -> None:
    found = parse(b"-OOM command not allowed\r\n")
    assert found is not None
    assert isinstance(found[0], Refusal)
    assert str(found[0]) == "OOM command not allowed"


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b"*1\r\n?\r\n"])
def test_what_is_not_redis_is_an_error(said: bytes) -> None:
    with pytest.raises(ValueError):
        list(Answers().feed(said))


def test_command_is_packed() -> None:
    assert command(b"PUBLISH", b"a", b"") == b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$0\r\n\r\n"
