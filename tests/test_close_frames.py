"""Close frames and the text of messages: RFC 6455 sections 5.5.1, 7.4 and 8.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventcast.websocket.frames import CLOSE, BrokenRule, check_utf8, close_frame, read_close
from tests.fakes import frames_in


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
def test_read_close_returns_a_code_that_may_be_sent(code: int) -> None:
    assert read_close(code.to_bytes(2, "big") + "zàijiàn".encode()) == code


def test_read_close_without_a_payload_has_no_code() -> None:
    assert read_close(b"") is None


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1100, 2000, 2999, 5000, 65535])
def test_read_close_refuses_a_code_that_may_not_be_sent(code: int) -> None:
    with pytest.raises(BrokenRule) as broken:
        read_close(code.to_bytes(2, "big"))
    assert broken.value.code == 1002


def test_read_close_refuses_half_a_code() -> None:
    with pytest.raises(BrokenRule) as broken:
        read_close(b"\x03")
    assert broken.value.code == 1002


def test_read_close_refuses_a_reason_that_is_not_utf8() -> None:
    with pytest.raises(BrokenRule) as broken:
        read_close(b"\x03\xe8\xff")
    assert broken.value.code == 1007


@pytest.mark.parametrize("payload", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "张".encode()[:2]])
def test_check_utf8_refuses_what_is_not_utf8(payload: bytes) -> None:
    with pytest.raises(BrokenRule) as broken:
        check_utf8(payload)
    assert broken.value.code == 1007


@given(st.text())
def test_check_utf8_returns_any_text(text: str) -> None:
    assert check_utf8(text.encode()) == text


@given(st.text(max_size=200))
def test_close_frame_is_one_valid_frame_whatever_the_reason(reason: str) -> None:
    ((opcode, payload),) = frames_in(close_frame(1008, reason))
    assert (opcode, payload[:2], len(payload) <= 125) == (CLOSE, b"\x03\xf0", True)
    assert reason.startswith(payload[2:].decode())


def test_close_frame_says_a_short_reason_whole() -> None:
    assert close_frame(1000, "再见") == b"\x88\x08\x03\xe8" + "再见".encode()
